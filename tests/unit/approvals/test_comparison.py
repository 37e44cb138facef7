"""A run beside the one that was approved before it: what is kept decides what can be compared."""

from dataclasses import replace

import pytest

from serai.approvals.comparison import LOST, compare, find_earlier
from serai.approvals.subject import Approved, Cost, Subject
from serai.approvals.terms import Kind
from serai.charter.agreements import Term
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.records import from_json, to_json
from serai.testing.documents import run_plan
from serai.zones.policy import Policy

JOINT, OTHER = Digest("a1" * 32), Digest("a2" * 32)
OFFERS = {"bern": Digest("b0" * 32), "lima": Digest("b1" * 32)}
FIRST, SECOND = b"x = 1\n", b"x = 2\n"
A, B = digest_of(FIRST), digest_of(SECOND)
SOURCES = {A: FIRST, B: SECOND}


def subject(run="11", files=None, agreement=JOINT, **changes):
    plan = run_plan(agreement, OFFERS, "newton", {"features": "2"}, rounds=3, round_ms=1000)
    return Subject(
        run=Digest(run * 32),
        plan=replace(plan, **changes),
        policies=(Policy(source="zone policy", terms=(Term(name="min_cohort", value=9, clause="1"),)),),
        files={"recipe.py": A} if files is None else files,
        parties=(MemberId("bern"), MemberId("lima")),
        retention_days=30,
    )


def approved(entry=5, **changes):
    return Approved(subject=subject(**changes), entry=entry, shown=True)


def test_nothing_differs_from_a_run_that_is_the_same():
    assert compare(approved(run="00"), subject(), SOURCES, SOURCES).is_same


def test_without_an_earlier_one_everything_is_new():
    found = compare(None, subject(), SOURCES, {})
    assert not found.is_same
    assert {
        change.kind for part in (found.plan, found.participants, found.terms, found.parties) for change in part
    } == {Kind.ADDED}
    assert found.code[0].lines == ("+x = 1",)


def test_each_part_that_differs_is_told():
    now = replace(subject(params={"features": "3"}, inputs={"start": A}, rounds=9), retention_days=None)
    found = compare(approved(run="00"), now, SOURCES, SOURCES)
    assert [(one.name, one.kind, one.before, one.after) for one in found.params] == [
        ("features", Kind.CHANGED, "2", "3")
    ]
    assert [(one.name, one.kind) for one in found.inputs] == [("start", Kind.ADDED)]
    assert {(one.name, one.kind) for one in found.plan} == {
        ("rounds", Kind.CHANGED),
        ("retention_days", Kind.REMOVED),
    }
    assert found.code == ()


def test_a_file_whose_earlier_form_is_lost_is_shown_whole_with_a_word_about_it():
    (change,) = compare(approved(run="00"), subject(files={"recipe.py": B}), SOURCES, {}).code
    assert change.lines == ("+x = 2",)
    assert change.warnings == (LOST,)
    found = compare(approved(run="00", files={"recipe.py": A, "gone.py": B}), subject(), SOURCES, {A: FIRST}).code
    assert [(one.name, one.kind, one.warnings) for one in found] == [("gone.py", Kind.REMOVED, (LOST,))]


def test_a_file_that_is_the_same_needs_no_copy_of_it():
    assert compare(approved(run="00"), subject(), SOURCES, {}).code == ()


def test_a_program_that_nobody_has_is_compared_by_its_digest_alone():
    found = compare(approved(run="00"), subject(files={}, code=B), {}, SOURCES)
    assert found.code == ()
    assert [one.name for one in found.plan] == ["code"]


@pytest.mark.parametrize(
    ("past", "entry"),
    [
        ([approved(run="00", entry=5), approved(run="22", entry=8)], 8),
        ([approved(run="11", entry=9), approved(run="00", entry=5)], 5),
        ([approved(run="00", entry=5, agreement=OTHER)], None),
        ([], None),
    ],
)
def test_the_earlier_one_is_the_last_other_run_under_the_same_agreement(past, entry):
    found = find_earlier(past, subject())
    assert (found and found.entry) == entry


def test_a_record_comes_back_as_it_was():
    one = approved(threshold=2)
    assert from_json(Approved, to_json(one)) == one


def test_traffic_counts_the_last_round_as_it_is():
    cost = Cost(
        budgets=(),
        privacy_note="",
        rounds=4,
        round_bytes=10,
        last_bytes=25,
        experience=None,
        cap_s=None,
        worked_s=0,
        kept_days=None,
    )
    assert cost.traffic_bytes == 55
