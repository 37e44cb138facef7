"""A run beside the one that was approved before it under the same agreement."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from serai.approvals.source import FileChange, compare_files
from serai.approvals.subject import Approved, Subject
from serai.approvals.terms import Change, Kind, compare_policies
from serai.kernel.canonical import Json, canonical
from serai.kernel.ids import Digest
from serai.kernel.records import to_json
from serai.kernel.visible import visible_line

LOST: Final = "was another before, of which this home has no copy, so it is shown whole"
_ELSEWHERE: Final = frozenset(
    {"params", "inputs", "offers", "agreement", "title"}
)  # fields compared apart, or not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs.

    Attributes:
        earlier: what it is compared with; None if nothing was approved before, and all is new.
        code: the files of the program that differ.
        plan: fields of the plan.
        params: settings of the program.
        inputs: models that it starts from.
        participants: members that came, went, or take part with other data.
        parties: members that came to the agreement or left it, and with it what the run makes.
        terms: terms that bind.

    """

    earlier: Approved | None
    code: tuple[FileChange, ...]
    plan: tuple[Change, ...]
    params: tuple[Change, ...]
    inputs: tuple[Change, ...]
    participants: tuple[Change, ...]
    parties: tuple[Change, ...]
    terms: tuple[Change, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        parts = (self.code, self.plan, self.params, self.inputs, self.participants, self.parties, self.terms)
        return not any(parts)


def find_earlier(approved: Iterable[Approved], subject: Subject) -> Approved | None:
    """The last run that was approved under the same agreement, other than this one."""
    found = [
        one
        for one in approved
        if one.subject.plan.agreement == subject.plan.agreement and one.subject.run != subject.run
    ]
    return max(found, key=lambda one: one.entry, default=None)


def compare(
    earlier: Approved | None, subject: Subject, sources: Mapping[Digest, bytes], former: Mapping[Digest, bytes]
) -> Comparison:
    """What differs between a run and the one approved before it.

    Args:
        earlier: from ``find_earlier``.
        subject: the run.
        sources: its program's files, by digest.
        former: the earlier program's files, by digest, as far as they are kept.

    """
    old = earlier.subject if earlier else None
    return Comparison(
        earlier=earlier,
        code=tuple(_code(old.files if old else {}, subject.files, sources, former)),
        plan=_changes(_fields(old), _fields(subject)),
        params=_changes(old.plan.params if old else {}, subject.plan.params),
        inputs=_changes(old.plan.inputs if old else {}, subject.plan.inputs),
        participants=_changes(old.plan.offers if old else {}, subject.plan.offers),
        parties=_changes(_members(old), _members(subject)),
        terms=compare_policies(old.policies if old else (), subject.policies),
    )


def _code(
    before: Mapping[str, Digest],
    now: Mapping[str, Digest],
    sources: Mapping[Digest, bytes],
    former: Mapping[Digest, bytes],
) -> Iterator[FileChange]:
    if not now:
        return  # nobody has the program; that it is another one, its digest in the plan says
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        is_lost = old is not None and old not in former
        texts = {} if old is None or is_lost else {name: former[old]}
        changes = compare_files(texts, {} if new is None else {name: sources[new]})
        yield from (replace(one, warnings=(*one.warnings, LOST)) if is_lost else one for one in changes)
        if is_lost and new is None:
            yield FileChange(visible_line(name), Kind.REMOVED, (), (LOST,))


def _fields(subject: Subject | None) -> Mapping[str, str]:
    if subject is None:
        return {}
    plan = to_json(subject.plan)
    assert isinstance(plan, Mapping)
    kept = {"retention_days": subject.retention_days} if subject.retention_days is not None else {}
    return {name: _worded(value) for name, value in {**plan, **kept}.items() if name not in _ELSEWHERE}


def _members(subject: Subject | None) -> Mapping[str, str]:
    return {} if subject is None else {member: member for member in subject.parties}


def _worded(value: Json) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else canonical(value).decode()


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return tuple(Change(_kind(name, before, after), name, before.get(name, ""), after.get(name, "")) for name in names)


def _kind(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Kind:
    if name not in before:
        return Kind.ADDED
    return Kind.CHANGED if name in after else Kind.REMOVED
