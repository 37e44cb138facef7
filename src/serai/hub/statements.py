"""What can be said about released models: that one is released, under which licence and on which evidence."""

from dataclasses import dataclass
from typing import ClassVar, Final

from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A delegate releases the model that a run agreed on.

    Attributes:
        run: the run's id.
        model: digest of the model's file.
        size_bytes: length of that file.
        format: how the file is written, such as ``safetensors``.
        title: one line for people.
        card: digest of the model card in the blob store (Markdown, UTF-8).
        license: SPDX expression of the licence, such as ``Apache-2.0``.
        evaluations: ids of the participants' evaluations of this model.

    """

    KIND: ClassVar[str] = "release"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    run: Digest
    model: Digest
    size_bytes: int
    format: str
    title: str
    card: Digest
    license: str
    evaluations: tuple[Digest, ...]


STATEMENTS: Final[tuple[type[Body], ...]] = (Release,)
