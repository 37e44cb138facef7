"""Facts of policies that a zone gathers by itself: places, instruments, uses, hours, work, and what it deletes in time."""

from dataclasses import replace
from pathlib import Path

import pytest

from serai.agent.app import _warn_of_terms
from serai.agent.reports import FOLDER as REPORTS
from serai.agent.retention import Retention
from serai.agent.vault import Vault
from serai.charter.agreements import Term
from serai.kernel.envelope import parse_envelope
from serai.testing.federation import START_MS, Terms
from serai.zones.state import find_deletion
from serai.zones.transfers import Instrument

FEATURES = {"features": "3"}
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
PLACES = {"bern": "XX", "lima": "PE", "oslo": "NO"}


def set_zone(story, member, **changes):
    """Give a member other settings, as if its ``zone.toml`` had been changed and its agent started again."""

    def change(zone):
        settings = replace(zone.settings, **changes)
        return replace(zone, settings=settings, vault=Vault(settings))

    story.bloc.deceive(member, change)


def limits(name, value):
    return (Term(name=name, value=value, clause="house 1"),)


def reasons(story, run, member="bern"):
    return " | ".join(reason.text for reason in story.run(run).declines.get(member, ()))


def train(story, agreement, rounds=1):
    run = story.bloc.train(agreement, "newton", rounds, FEATURES)
    story.bloc.settle()
    return run


def test_outputs_go_only_where_every_recipient_is_placed_and_allowed(agreed):
    story, agreement = agreed
    allowed = limits("output_to", ("XX", "PE", "NO"))
    for places, says in (({"bern": "XX", "lima": "PE"}, "missing fact"), ({**PLACES, "oslo": "SE"}, "would go to SE")):
        set_zone(story, "bern", policy=allowed, places=places)
        assert says in reasons(story, train(story, agreement))
    set_zone(story, "bern", policy=allowed, places=PLACES)
    assert "bern" in story.run(train(story, agreement)).keys


def test_an_instrument_that_ends_in_mid_run_stops_the_next_vector(running):
    story, run = running
    treaty = Instrument(
        name="treaty-7", to=frozenset({"PE", "NO"}), since_ms=0, until_ms=story.bloc.state.time_ms + HOUR_MS
    )
    legal = limits("transfer_basis", ("treaty-7",))
    set_zone(story, "bern", legal=legal, places=PLACES, instruments=(treaty,))
    story.step_until(lambda: "bern" in story.round(run).uploads)
    assert story.bloc.members["bern"].refusal is None

    set_zone(story, "bern", legal=legal, places=PLACES, instruments=(replace(treaty, until_ms=1),))
    story.bloc.settle()
    assert "bern" in story.round(run, 0).uploads
    later = story.round(run, 1)
    assert later is None or "bern" not in later.uploads


def test_a_run_beyond_the_number_of_uses_is_declined_even_if_both_were_planned_at_once(story):
    agreement = story.bloc.agree(Terms(offer=limits("max_uses", 1)))
    first, second = (story.bloc.train(agreement, "newton", 1, FEATURES) for _ in range(2))
    story.bloc.settle()
    assert set(story.run(first).keys) == set(story.bloc.members)
    assert not story.run(second).keys
    assert "allows 1 run(s), 1 already used the data" in reasons(story, second)


def test_a_run_waits_for_its_hours_and_an_embargo(agreed):
    story, agreement = agreed
    hour = START_MS // HOUR_MS % 24
    window = f"{(hour + 2) % 24:02}-{(hour + 5) % 24:02}"
    set_zone(story, "bern", policy=limits("hours", window))
    set_zone(story, "lima", policy=limits("embargo_until_ms", START_MS + 3 * HOUR_MS))
    run = train(story, agreement)
    assert set(story.run(run).keys) == {"oslo"}
    assert not story.run(run).declines
    story.bloc.pass_time(5 * HOUR_MS // 2)
    assert set(story.run(run).keys) == {"bern", "oslo"}
    story.bloc.pass_time(HOUR_MS)
    assert set(story.run(run).keys) == set(story.bloc.members)


def test_a_member_whose_hours_end_in_mid_run_sits_out_the_later_rounds(agreed):
    story, agreement = agreed
    hour = START_MS // HOUR_MS % 24
    set_zone(story, "bern", policy=limits("hours", f"{hour:02}-{(hour + 1) % 24 or 24:02}"))
    run = story.bloc.train(agreement, "newton", 3, FEATURES)
    story.step_until(lambda: story.round(run) and "bern" in story.round(run).uploads)
    story.bloc.pass_time(HOUR_MS)
    story.bloc.settle()
    later = [this for this in story.bloc.state.rounds.rounds.values() if this.body.number > 0]
    assert later
    assert not any("bern" in this.uploads for this in later)


def test_for_what_an_answer_waits_is_told_once(agreed, caplog):
    story, agreement = agreed
    caplog.set_level("INFO")
    set_zone(story, "bern", policy=limits("approvals", 2))
    train(story, agreement)
    told = [record.message for record in caplog.records if "is not answered yet" in record.message]
    assert len(told) == 1
    assert "clause house 1: approvals: needs 2 approving members, 0 approved" in told[0]


def test_a_zone_says_at_its_start_which_of_its_own_terms_it_could_not_enforce(agreed, caplog):
    settings = agreed[0].bloc.members["bern"].zone.settings
    _warn_of_terms(replace(settings, policy=limits("min_cohrt", 5), legal=limits("min_cohort", 5)))
    (record,) = caplog.records
    assert "every run is refused by zone policy, clause house 1: the term 'min_cohrt' is not known" in record.message


def test_a_program_that_has_worked_long_enough_works_no_more(running):
    story, run = running
    set_zone(story, "bern", policy=limits("compute_cap_s", 60))
    story.bloc.members["bern"].zone.journal.add_work(run, 60_000)
    story.bloc.settle()
    assert "bern" not in story.round(run, 0).uploads
    assert story.bloc.members["lima"].zone.journal.worked_ms(run) < 60_000


def test_what_a_run_derived_is_deleted_after_its_days_and_the_log_has_the_receipt(agreed):
    story, agreement = agreed
    set_zone(story, "bern", retention_days=3, policy=limits("retention_days", 3))
    run = train(story, agreement, rounds=2)
    zone = story.bloc.members["bern"].zone
    page = zone.settings.home / REPORTS / f"{run}.html"
    model = story.final(run)
    seed = zone.journal.seed(story.round(run, 0).id, lambda: b"new")
    assert zone.blobs.has(model)
    assert page.exists()
    assert seed != b"new"

    story.bloc.pass_time(3 * DAY_MS - HOUR_MS)
    assert zone.blobs.has(model)
    story.bloc.pass_time(HOUR_MS)
    assert not zone.blobs.has(model)
    assert not page.exists()
    assert zone.journal.progress(run) is None
    assert zone.journal.upload(story.round(run, 1).id) is None
    assert seed not in (zone.settings.home / "journal.sqlite").read_bytes()
    assert find_deletion(story.bloc.state.zones, run, "bern") is not None
    assert find_deletion(story.bloc.state.zones, run, "lima") is None
    assert story.bloc.members["lima"].zone.blobs.has(model)

    set_zone(story, "bern", retention_days=3)
    story.bloc.settle()
    kinds = [parse_envelope(entry).kind for entry in story.bloc.entries]
    assert kinds.count("data.deletion") == 1
    assert not page.exists()


def test_a_crash_between_deleting_and_saying_so_ends_in_one_receipt(agreed, monkeypatch):
    story, agreement = agreed
    set_zone(story, "bern", retention_days=0)
    run = story.bloc.train(agreement, "newton", 1, FEATURES)
    with monkeypatch.context() as patched:
        patched.setattr(Retention, "due", lambda *_: iter(()))
        story.bloc.settle()
    zone = story.bloc.members["bern"].zone
    zone.journal.decide(f"forget {run}", run)
    zone.blobs.delete(story.final(run))
    set_zone(story, "bern", retention_days=0)
    story.bloc.pass_time(DAY_MS)
    assert find_deletion(story.bloc.state.zones, run, "bern") is not None
    assert story.bloc.members["bern"].refusal is None


def test_a_run_in_which_nothing_is_said_any_more_is_over_and_never_taken_up_again(running):
    story, run = running
    set_zone(story, "bern", retention_days=0)
    story.step_until(lambda: "bern" in story.round(run).uploads)
    story.bloc.members["lima"].is_up = story.bloc.members["oslo"].is_up = False
    zone = story.bloc.members["bern"].zone
    this = story.round(run)
    seed = zone.journal.seed(this.id, lambda: b"new")
    story.bloc.tick(DAY_MS + HOUR_MS)
    story.bloc.step_member("bern")
    assert zone.journal.upload(this.id) is None
    assert seed not in (zone.settings.home / "journal.sqlite").read_bytes()
    story.bloc.members["lima"].is_up = story.bloc.members["oslo"].is_up = True
    story.bloc.settle()
    assert "bern" not in story.round(run).releases
    assert find_deletion(story.bloc.state.zones, run, "bern") is not None


def test_a_promise_of_retention_that_the_zone_does_not_keep_is_refused(story):
    agreement = story.bloc.agree(Terms(offer=limits("retention_days", 30)))
    set_zone(story, "bern", retention_days=31)
    set_zone(story, "lima", retention_days=30)
    run = train(story, agreement)
    assert "would keep 31" in reasons(story, run)
    assert "missing fact" in reasons(story, run, "oslo")
    assert set(story.run(run).keys) == {"lima"}


@pytest.mark.parametrize(("least", "joins"), [(10, True), (11, False)])
def test_subjects_are_counted_by_their_column_and_not_by_rows(agreed, least, joins):
    story, agreement = agreed
    rows = story.bloc.members["bern"].zone.settings.datasets["rows"]
    settings = {"datasets": {"rows": replace(rows, subject="patient")}, "policy": limits("min_subjects", least)}
    set_zone(story, "bern", **settings)
    path = Path(rows.path)
    lines = path.read_text().splitlines()
    told = [f"{lines[0]},patient", *(f"{line},p{number % 10}" for number, line in enumerate(lines[1:]))]
    path.write_text("\n".join(told) + "\n")
    offer = story.bloc.grant("bern", agreement)

    plan = story.bloc.plan(agreement, "newton", 1, FEATURES)
    run = story.bloc.say("bern", replace(plan, offers={**plan.offers, "bern": offer}))
    story.bloc.settle()
    assert ("bern" in story.run(run).keys) is joins
    if not joins:
        assert "the rows are about fewer" in reasons(story, run)
