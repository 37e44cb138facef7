"""Log entries as people read them: index, speaker, a sentence, and why it is void if it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from serai.charter.state import holder_of
from serai.cli.words import sentence
from serai.errors import Malformed
from serai.kernel.envelope import Envelope, parse_envelope
from serai.kernel.ids import Digest
from serai.kernel.records import from_json
from serai.kernel.statement import Body
from serai.kernel.verdict import Denied
from serai.state import KINDS, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One entry as a person reads it.

    Attributes:
        id: the statement's id; empty where the bytes hold no statement.
        member: who said it, as far as the charter knows the key.
        role: the key's role.
        body: what was said; None where it cannot be read.
        void: why it has no effect; None where it has.

    """

    index: int
    id: Digest
    kind: str
    member: str
    role: str
    text: str
    body: Body | None
    void: Denied | None


def read_lines(state: State, entries: Iterable[bytes], first: int) -> Iterator[Line]:
    """Read consecutive entries of a log that adds up to ``state``, from index ``first``."""
    for index, entry in enumerate(entries, first):
        yield read_line(state, entry, index)


def read_line(state: State, entry: bytes, index: int) -> Line:
    """Read the entry at an index."""
    void = state.void.get(index)
    try:
        envelope = parse_envelope(entry)
    except Malformed as error:
        return Line(index=index, id=Digest(""), kind="", member="", role="", text=error.message, body=None, void=void)
    body = _body(envelope)
    holder = holder_of(state.charter, envelope.signer, body)
    member = holder.member if holder else f"a stranger ({envelope.signer[:12]})"
    return Line(
        index=index,
        id=envelope.id,
        kind=envelope.kind,
        member=member,
        role=holder.role.value if holder else "",
        text=f"{member} says something of kind {envelope.kind}" if body is None else sentence(member, body),
        body=body,
        void=void,
    )


def _body(envelope: Envelope) -> Any:
    kind = KINDS.get(envelope.kind)
    if kind is None:
        return None
    try:
        return from_json(kind, envelope.predicate)
    except Malformed:
        return None
