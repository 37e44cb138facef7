"""Search over what members offer, in each member's own replay of the log: nobody is asked, and nobody learns what was sought.

Theory of operation
-------------------
Words are compared after Unicode compatibility composition, case folding, and
without accents, harakat or niqqud (``folded``). A wanted word is found where a
word of the text begins with it, in any script and direction. Han, kana, Thai and
other scripts are written without spaces, so there a wanted run is found anywhere
within a run of the text. Every wanted word has to be found somewhere; where it is
found gives the rank.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from serai.catalog.record import CatalogRecord, Use
from serai.kernel.ids import MemberId

_KEPT_MARKS: Final = 9  # combining classes up to the virama change a letter into another one; accents have higher ones
_UNSPACED: Final = ("CJK ", "IDEOGRAPHIC ", "HIRAGANA", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ")
_WEIGHTS: Final = {
    "title": 8,
    "keyword": 6,
    "column": 5,
    "member": 3,
    "description": 2,
    "column meaning": 2,
    "purpose": 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What somebody looks for; what is empty asks for nothing.

    Attributes:
        words: in any language; all of them must be found.
        column: a column of that name, or whose meaning has these words.
        unit: a column in that unit.
        purpose: a purpose that the offer's terms leave open; dots descend.
        jurisdiction: whose law the data are under.
        member: whose data.
        language: a language that the dataset is described in.
        usable: only what the asking member could plan a run over now.

    """

    words: str = ""
    column: str = ""
    unit: str = ""
    purpose: str = ""
    jurisdiction: str = ""
    member: str = ""
    language: str = ""
    usable: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """Why a record was found: in which part of it, in which text, in which language if that has one."""

    part: str
    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """Whether a member could plan a run over a dataset now, under one agreement; ``obstacles`` say why not."""

    use: Use
    obstacles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was found.

    Attributes:
        record: the record.
        score: higher is nearer to what was sought.
        matches: why, the best first.
        access: under which agreements the dataset is used, and whether the member could now.

    """

    record: CatalogRecord
    score: int
    matches: tuple[Match, ...]
    access: tuple[Access, ...]

    @property
    def is_usable(self) -> bool:
        """Whether the member could plan a run over it now."""
        return any(not one.obstacles for one in self.access)


def search(records: Iterable[CatalogRecord], query: Query, member: MemberId) -> tuple[Hit, ...]:
    """The records that answer a query, the nearest first.

    Args:
        records: from ``records_of``.
        query: what is sought.
        member: who asks.

    """
    hits = [hit for record in records if (hit := _hit(record, query, member)) is not None]
    return tuple(sorted(hits, key=lambda hit: (-hit.score, not hit.is_usable, hit.record.member, hit.record.id)))


def access_of(record: CatalogRecord, member: MemberId) -> tuple[Access, ...]:
    """Under which agreements a dataset is used, and whether a member could plan a run now."""
    return tuple(Access(use, tuple(use.obstacles(member))) for use in record.uses)


def folded(text: str) -> str:
    """A text as it is compared."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", "".join(char for char in parts if unicodedata.combining(char) <= _KEPT_MARKS))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text as they are compared: runs of letters, marks and digits of one manner of writing."""
    runs = itertools.groupby(folded(text), _manner)
    return tuple("".join(chars) for manner, chars in runs if manner)


def _manner(char: str) -> str:
    if unicodedata.category(char)[0] not in "LMN":
        return ""
    return "unspaced" if unicodedata.name(char, "").startswith(_UNSPACED) else "spaced"


def _hit(record: CatalogRecord, query: Query, member: MemberId) -> Hit | None:
    access = access_of(record, member)
    if query.usable and not any(not one.obstacles for one in access):
        return None
    matches: list[Match] = []
    for asked, found in _filters(record, query):
        if asked and found is None:
            return None
        matches += [found] if asked and found is not None else []
    score = 0
    for word in words_of(query.words):
        points, best = max(_found(record, word), key=lambda one: one[0], default=(0, None))
        if best is None:
            return None
        score += points
        matches.append(best)
    return Hit(record, score, tuple(dict.fromkeys(matches)), access)


def _filters(record: CatalogRecord, query: Query) -> Iterator[tuple[str, Match | None]]:
    offer = record.offer
    yield query.column, _column(record, query.column)
    units = [column for column in offer.columns if column.unit and folded(column.unit) == folded(query.unit)]
    yield query.unit, Match("unit", f"{units[0].name} in {units[0].unit}") if units else None
    yield query.purpose, _purpose(record, query.purpose)
    is_there = folded(offer.jurisdiction) == folded(query.jurisdiction)
    yield query.jurisdiction, Match("jurisdiction", offer.jurisdiction) if is_there else None
    is_whose = query.member == record.member or _begins(words_of(record.publisher), query.member)
    yield query.member, Match("member", record.publisher) if is_whose else None
    tags = [tag for tag in record.texts if tag.lower().startswith(query.language.lower())]
    yield query.language, Match("language", record.texts[tags[0]].title, tags[0]) if tags else None


def _column(record: CatalogRecord, wanted: str) -> Match | None:
    for column in record.offer.columns:
        if _begins(words_of(column.name), wanted) or folded(column.name) == folded(wanted):
            return Match("column", column.name)
    for tag, text in record.texts.items():
        for item in text.columns:
            if _begins(words_of(item.description), wanted):
                return Match("column meaning", f"{item.name}: {item.description}", tag)
    return None


def _purpose(record: CatalogRecord, wanted: str) -> Match | None:
    """Whether each ``purpose`` term of the offer leaves a purpose open, as ``checks.check_purpose`` has it."""
    allowed = [term.value for term in record.offer.terms if term.name == "purpose" and isinstance(term.value, tuple)]
    if any(not any(wanted == code or wanted.startswith(f"{code}.") for code in codes) for codes in allowed):
        return None
    return Match("purpose", "; ".join(", ".join(codes) for codes in allowed) or "any")


def _begins(words: tuple[str, ...], wanted: str) -> bool:
    sought = words_of(wanted)
    return bool(sought) and all(any(_points(word, one) for word in words) for one in sought)


def _found(record: CatalogRecord, wanted: str) -> Iterator[tuple[int, Match]]:
    for match in _places(record):
        best = max((_points(word, wanted) for word in words_of(match.text)), default=0)
        if best:
            yield best * _WEIGHTS[match.part], match


def _points(word: str, wanted: str) -> int:
    """2 for the word itself, 1 for the beginning of one, or for a part of a run that is written without spaces."""
    if word == wanted:
        return 2
    return int(wanted in word if _manner(wanted[0]) == "unspaced" else word.startswith(wanted))


def _places(record: CatalogRecord) -> Iterator[Match]:
    for tag, text in record.texts.items():
        yield Match("title", text.title, tag)
        yield from (Match("keyword", word, tag) for word in text.keywords)
        yield Match("description", text.description, tag)
        yield from (Match("column meaning", f"{item.name}: {item.description}", tag) for item in text.columns)
    yield from (Match("column", column.name) for column in record.offer.columns)
    yield Match("member", f"{record.publisher} ({record.member})")
    for term in record.offer.terms:
        if term.name == "purpose" and isinstance(term.value, tuple):
            yield from (Match("purpose", code) for code in term.value)
