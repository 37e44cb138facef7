"""Negotiating text: what is not agreed stands in square brackets, alternatives stacked, each with who proposes it.

    No sum holds fewer than [bern: three | lima, oslo: four] members.

Prose and machine terms are one text, so a bracket may stand in either, and
taking an alternative settles both. A text is *clean* when no bracket is left.
Brackets that do not begin with members and a colon are ordinary text, such as
a list of terms or a link.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from serai.errors import Malformed, Missing
from serai.kernel.ids import MemberId

_MEMBER: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
_OPENING: Final = re.compile(rf"\[\s*{_MEMBER}(\s*,\s*{_MEMBER})*\s*:(?!//)")
_PROPOSED: Final = re.compile(rf"\s*({_MEMBER}(?:\s*,\s*{_MEMBER})*)\s*:(.*)", re.DOTALL)
MAX_BRACKETS: Final = 1_000  # of one text; a text with more is not yet one to settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One wording.

    Attributes:
        members: who proposes it.
        text: the words; empty to leave them out.

    """

    members: tuple[MemberId, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """What is not agreed at one place.

    Attributes:
        number: from 1, in the order of the text.
        start: where it begins in the text.
        end: where it ends.
        alternatives: in the order of the text.

    """

    number: int
    start: int
    end: int
    alternatives: tuple[Alternative, ...]


class Change(StrEnum):
    """What became of a clause."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A clause with its machine terms, as files and agreements have them.

    Attributes:
        id: the clause's number.
        text: its prose.
        terms: what zones check for it.

    """

    id: str
    text: str
    terms: Mapping[str, str | int | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One clause that differs between two versions.

    Attributes:
        clause: its number.
        change: what became of it.
        words: the prose, with ``[-what left-]`` and ``{+what came+}``.
        terms: each term that differs, with its value before and after; None where it is not there.

    """

    clause: str
    change: Change
    words: str
    terms: Mapping[str, tuple[str | None, str | None]]


def find_brackets(text: str) -> tuple[Bracket, ...]:
    """The open brackets of a text; brackets within an alternative show once that is taken.

    Raises:
        Malformed: a bracket does not end, or an alternative says not whose it is.

    """
    found: list[Bracket] = []
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        end = _end_of(text, opening.start())
        if text[end : end + 1] == "(":  # a Markdown link
            at = end
            continue
        parts = tuple(_alternative(part) for part in _split(text[opening.start() + 1 : end - 1]))
        found.append(Bracket(number=len(found) + 1, start=opening.start(), end=end, alternatives=parts))
        if len(found) > MAX_BRACKETS:
            raise Malformed("bracket-count", f"expected at most {MAX_BRACKETS} open brackets; settle some first")
        at = end
    return tuple(found)


def settle_brackets(text: str, taken: Mapping[int, MemberId]) -> str:
    """The text with the alternative of a member in place of each bracket named by number.

    Raises:
        Malformed: the text has a bracket of another form.
        Missing: there is no such bracket, or the member proposes nothing there.

    """
    brackets = {bracket.number: bracket for bracket in find_brackets(text)}
    if unknown := sorted(set(taken) - set(brackets)):
        raise Missing("bracket-unknown", f"the text has no bracket {unknown[0]}; it has {len(brackets)}")
    for number in sorted(taken, reverse=True):  # from the end, so that places before stay where they are
        bracket = brackets[number]
        chosen = next((item for item in bracket.alternatives if taken[number] in item.members), None)
        if chosen is None:
            known = ", ".join(member for item in bracket.alternatives for member in item.members)
            raise Missing("bracket-member", f"{taken[number]} proposes nothing in bracket {number}; {known} do")
        text = text[: bracket.start] + chosen.text + text[bracket.end :]
    return text


def stack(versions: Mapping[MemberId, str]) -> str:
    """One text of several members' wordings: theirs where all agree, else a bracket with each.

    Raises:
        Malformed: a wording holds a bar, or a bracket that does not end, and could not be told apart again.

    """
    wordings: dict[str, list[MemberId]] = {}
    for member in sorted(versions):
        wordings.setdefault(versions[member], []).append(member)
    if len(wordings) == 1:
        return next(iter(wordings))
    stacked = "[" + " | ".join(f"{', '.join(members)}: {text}" for text, members in wordings.items()) + "]"
    found = find_brackets(stacked)
    if len(found) != 1 or [item.text for item in found[0].alternatives] != [text.strip() for text in wordings]:
        raise Malformed("bracket-wording", "a wording holds a | or a bracket that does not end; write it without")
    return stacked


def compare(before: Sequence[Part], after: Sequence[Part]) -> Iterator[Difference]:
    """Each clause that differs between two versions, in the order of the later one, then those that left."""
    old = {part.id: part for part in before}
    new = {part.id: part for part in after}
    nothing = Part(id="", text="", terms={})
    for clause, part in new.items():
        was = old.get(clause, nothing)
        if clause not in old or (part.text, part.terms) != (was.text, was.terms):
            yield _difference(clause, Change.CHANGED if clause in old else Change.ADDED, was, part)
    for clause, part in old.items():
        if clause not in new:
            yield _difference(clause, Change.REMOVED, part, nothing)


def check_translation(authoritative: Sequence[Part], translation: Sequence[Part]) -> Iterator[str]:
    """What keeps a translation from being one: clauses that are not matched, terms that are not the same."""
    wanted, found = [part.id for part in authoritative], [part.id for part in translation]
    if found != wanted:
        yield f"expected the clauses {', '.join(wanted)} in this order, got {', '.join(found) or 'none'}"
    terms = {part.id: part.terms for part in authoritative}
    for part in translation:
        if part.terms and part.terms != terms.get(part.id):
            yield f"clause {part.id} has other terms than the authoritative text; leave terms to that"


def _end_of(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    raise Malformed("bracket-open", f"the bracket that begins {text[start : start + 40]!r} does not end")


def _split(text: str) -> Iterator[str]:
    depth, begin = 0, 0
    for place, char in enumerate(text):
        depth += {"[": 1, "]": -1}.get(char, 0)
        if char == "|" and depth == 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def _alternative(text: str) -> Alternative:
    found = _PROPOSED.fullmatch(text)
    if found is None:
        raise Malformed("bracket-form", f"expected MEMBER: TEXT in each alternative of a bracket, got {text[:60]!r}")
    members = tuple(MemberId(member.strip()) for member in found[1].split(","))
    return Alternative(members=members, text=found[2].strip())


def _difference(clause: str, change: Change, was: Part, part: Part) -> Difference:
    names = sorted({*was.terms, *part.terms})
    terms = {
        name: (_shown(was.terms.get(name)), _shown(part.terms.get(name)))
        for name in names
        if was.terms.get(name) != part.terms.get(name)
    }
    return Difference(clause=clause, change=change, words=_words(was.text, part.text), terms=terms)


def _shown(value: str | int | tuple[str, ...] | None) -> str | None:
    return ", ".join(value) if isinstance(value, tuple) else None if value is None else str(value)


def _words(before: str, after: str) -> str:
    old, new = before.split(), after.split()
    parts: list[str] = []
    for what, i, j, k, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            parts += old[i:j]
            continue
        parts += [f"[-{' '.join(old[i:j])}-]"] if i < j else []
        parts += [f"{{+{' '.join(new[k:end])}+}}"] if k < end else []
    return " ".join(parts)
