"""How an offer describes its dataset to people: in which languages, who made it, whom to ask; and what is wrong with a description that is not well-formed."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

UNDETERMINED: Final = "und"
"""The tag of a language that nobody has told (BCP 47 section 4.1)."""

_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,6}")
_ADDRESS: Final = re.compile(r"(https://|mailto:)[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{3,500}")
_LICENSE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnText:
    """What a column means, in the language of the text that it stands in."""

    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A dataset described in one more language.

    Attributes:
        title: one line for people.
        description: what the data are and how they came about.
        keywords: words to find it by.
        columns: what some of the columns mean.

    """

    title: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    columns: tuple[ColumnText, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What catalogs ask of a dataset beside its title, description and columns.

    Attributes:
        language: BCP 47 tag of the offer's own title, description and columns.
        keywords: words to find it by, in that language.
        texts: the same in other languages, by BCP 47 tag.
        creator: who made the data; the member itself where empty.
        contact: where to ask, as ``https:`` or ``mailto:``; empty for nowhere.
        license: SPDX identifier or ``https:`` address of a licence; empty where none is given
            and an agreement alone lets anybody use the data.

    """

    language: str
    keywords: tuple[str, ...] = ()
    texts: Mapping[str, Text] = field(default_factory=dict)
    creator: str = ""
    contact: str = ""
    license: str = ""


def find_fault(about: About, columns: Collection[str]) -> str | None:
    """Why a description could not stand in a catalog, or None.

    Args:
        about: the description.
        columns: names of the offer's columns.

    """
    return next(_faults(about, columns), None)


def _faults(about: About, columns: Collection[str]) -> Iterator[str]:
    tags = [about.language, *about.texts]
    yield from (f"expected a language tag such as de or pt-BR, got {tag[:40]!r}" for tag in tags if not is_tag(tag))
    if len({tag.lower() for tag in tags}) < len(tags):
        yield "each language is described once, and the offer's own title is in one already"
    for tag, text in about.texts.items():
        if not text.title:
            yield f"the text in {tag} needs a title"
        if strange := [column.name for column in text.columns if column.name not in columns]:
            yield f"the text in {tag} describes the column {strange[0][:80]!r}, which is not offered"
    if about.contact and not _ADDRESS.fullmatch(about.contact):
        yield f"expected a contact that starts with https:// or mailto:, got {about.contact[:80]!r}"
    if about.license and not (_LICENSE.fullmatch(about.license) or is_address(about.license)):
        yield f"expected an SPDX identifier or an https:// address as licence, got {about.license[:80]!r}"


def is_tag(text: str) -> bool:
    """Whether a text has the form of a language tag (BCP 47; neither private use alone nor grandfathered ones)."""
    return _TAG.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether a text is an ``https:`` address."""
    return text.startswith("https://") and _ADDRESS.fullmatch(text) is not None
