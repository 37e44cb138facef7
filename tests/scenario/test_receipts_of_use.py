"""The book of uses has a receipt of everything that left a zone, through every crash; the log shows if it had not."""

from collections import Counter
from dataclasses import replace

from serai.agent.held import RELEASED, WAITING
from serai.agent.uses import compare, find_zone_key
from serai.agent.vault import Vault
from serai.charter.agreements import Term
from serai.testing.faults import Crash, deadly
from serai.zones.uses import Left, verify_uses

FEATURES = {"features": "3"}
MEMBER = "bern"


def book(story):
    """Bern's receipts, checked."""
    state, zone = story.bloc.state, story.bloc.members[MEMBER].zone
    return verify_uses(zone.journal.uses.receipts(), lambda key: find_zone_key(state, MEMBER, key))


def compared(story):
    return compare(story.bloc.state, MEMBER, book(story))


def test_each_use_is_on_record_with_what_left_for_whom_and_by_what_right(running):
    story, run = running
    story.bloc.settle()
    plan, uses = story.run(run).plan, book(story)
    assert [use.left for use in uses] == [Left.VECTOR, Left.UNMASKING] * 3 + [Left.COUNTS]
    assert compared(story).missing == compared(story).unseen == ()
    data = story.data(MEMBER)
    for use in uses:
        assert (use.run, use.agreement, use.planner, use.purpose) == (run, plan.agreement, MEMBER, "research")
        assert (use.recipe, use.code, use.offer) == ("newton", plan.code, plan.offers[MEMBER])
        assert use.dataset == story.bloc.members[MEMBER].zone.vault.digest("rows")
        assert use.receivers == ("bern", "lima", "oslo")
        assert (use.privacy, use.airlock) == (None, "")
        assert use.rows == (len(data.test_x) if use.left is Left.COUNTS else len(data.x))
    first = story.round(run, 0)
    assert (uses[0].about, uses[0].digest, uses[0].bytes) == (
        first.id,
        first.uploads[MEMBER].body.blob,
        plan.codec.upload_bytes,
    )
    assert dict(uses[0].shown) == dict(first.uploads[MEMBER].body.figures)
    assert (uses[1].about, uses[1].bytes) == (first.id, 32)
    (evaluation,) = [record for record in story.bloc.state.analytics.evaluations.values() if record.member == MEMBER]
    assert (uses[-1].about, dict(uses[-1].shown)) == (story.final(run), dict(evaluation.body.counts))


def test_a_look_in_the_airlock_is_on_record(running):
    story, run = running
    zone = story.bloc.members[MEMBER].zone

    def change(zone):
        settings = replace(zone.settings, policy=(Term(name="airlock", value="always", clause="house 1"),))
        return replace(zone, settings=settings, vault=Vault(settings))

    story.bloc.deceive(MEMBER, change)
    story.bloc.settle()
    assert book(story) == (), "what waits has not left"
    zone = story.bloc.members[MEMBER].zone
    for held in zone.journal.airlock.all():
        if held.decision == WAITING:
            zone.journal.airlock.decide(held.id, RELEASED, "anna", "", 1_790_000_000_001)
    story.bloc.settle()
    assert {use.airlock for use in book(story)} == {"released by anna, 1790000000001 ms"}
    assert run


def test_a_zone_that_is_killed_before_and_after_every_step_loses_no_receipt_and_writes_none_twice(running):
    story, run = running
    deaths = Counter()
    story.bloc.deceive(MEMBER, lambda zone: deadly(zone, deaths))
    for _ in range(1_000):
        try:
            story.bloc.settle()
            break
        except Crash as crash:
            story.bloc.restart(crash.member)
    story.bloc.deceive(MEMBER, None)
    story.bloc.settle()
    assert story.final(run) is not None
    assert sum(count >= 2 for mark, count in deaths.items() if mark.startswith("write ")) == 7
    assert compared(story).missing == compared(story).unseen == ()
    assert len(book(story)) == 7


def test_a_receipt_that_is_missing_shows_in_the_log(running):
    story, _run = running
    story.bloc.settle()
    uses = book(story)
    for gone in range(1, len(uses)):
        found = compare(story.bloc.state, MEMBER, uses[:gone])
        assert len(found.missing) == len(uses) - gone
        assert found.unseen == ()


def test_a_receipt_of_what_never_left_is_told_apart(running):
    story, run = running
    story.bloc.settle()
    uses = book(story)
    other = replace(uses[0], about=story.round(run, 0).body.model)
    found = compare(story.bloc.state, MEMBER, [*uses, other])
    assert found.unseen == (other,)
    assert found.missing == ()


def test_what_left_before_the_book_was_begun_is_not_asked_for(running):
    story, _run = running
    story.bloc.settle()
    uses = book(story)
    begun = [use for use in uses if use.size >= uses[2].size]
    assert len(begun) < len(uses)
    assert compare(story.bloc.state, MEMBER, begun).missing == ()
