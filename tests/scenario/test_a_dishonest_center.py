"""What members do about a center that shows a false log: it is refused with its reason, or leaves the evidence that halts a zone.

Every story here is the one of ``test_the_story``, which passes where nobody
lies; ``without the lie`` marks where a test shows that again on the spot.
"""

import json
from dataclasses import replace

import pytest

from serai.agent.admission import judge_run
from serai.aggregation.state import Stage, stage_of
from serai.charter.statements import AgreementWithdraw
from serai.errors import Conflict, Refused, Unverified
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import cosign
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses, count_members, open_witnessed, require_quorum
from serai.ledger.statements import Clock
from serai.state import Jobs
from serai.testing.faults import Claiming, Forked, Frozen, Garbling, Losing, see_through
from serai.training.statements import RunCancel

FEATURES = {"features": "3"}
MEMBERS = ("bern", "lima", "oslo")


# The log shows different people different things


def test_without_a_lie_a_fork_of_nothing_is_the_log_itself(agreed):
    story, agreement = agreed
    story.show_fork("lima", story.bloc.entries)
    story.bloc.step()
    assert story.bloc.members["lima"].refusal is None
    story.bloc.deceive("lima", None)
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    assert story.round(run).summed == set(MEMBERS)


def test_two_histories_for_two_members_are_evidence_that_halts_the_zone(agreed):
    story, agreement = agreed
    bloc = story.bloc
    common = bloc.entries
    fork = story.show_fork("lima", common)
    # lima is told that bern has left, the others are not.
    fork.submit(sign_body(AgreementWithdraw(agreement=agreement, reason="x"), bloc.signer("bern", Role.DELEGATE)))
    bloc.step()
    assert bloc.members["lima"].zone.mirror.view.size == len(common) + 1
    bloc.say("oslo", AgreementWithdraw(agreement=agreement, reason="y"))
    bloc.deceive("lima", see_through(lambda center: center))
    bloc.step()
    lima = bloc.members["lima"]
    assert lima.refusal.code in {"log-root", "log-fork"}
    halt = f"the log signed two roots for its first {len(common) + 1} entries"
    assert lima.zone.mirror.view.halt == halt
    bloc.restart("lima")
    bloc.step()
    lima = bloc.members["lima"]
    assert (lima.refusal.code, lima.refusal.message) == ("zone-halted", halt), "a restart does not lift the halt"


def test_a_zone_that_halts_in_mid_round_uploads_nothing(running):
    story, run = running
    bloc = story.bloc
    bloc.members["lima"].follower.step(0)
    opened = story.round(run).id
    assert opened in bloc.members["lima"].state.rounds.rounds, "it has seen that its upload is due"
    other = sign_body(RunCancel(plan=run, reason="x"), bloc.signer("bern", Role.DELEGATE))
    fork = story.show_fork("lima", [*bloc.entries[:-1], other])
    for _ in range(3):
        bloc.step_member("lima")
    assert bloc.members["lima"].zone.mirror.view.halt
    assert fork.entries[-1] == other, "it says nothing"
    assert bloc.members["lima"].zone.journal.upload(opened) is None


def test_a_halted_zone_keeps_the_two_signed_notes_and_takes_part_in_nothing(agreed):
    story, agreement = agreed
    bloc = story.bloc
    fork = story.show_fork("lima", bloc.entries)
    fork.submit(sign_body(AgreementWithdraw(agreement=agreement), bloc.signer("bern", Role.DELEGATE)))
    bloc.step()
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.deceive("lima", see_through(lambda center: center))
    bloc.settle()
    evidence = json.loads(bloc.members["lima"].zone.mirror._store.get("fork"))
    roots = {parse_note(note).text for note in evidence["notes"]}
    assert len(roots) == 2
    assert len({text.split("\n")[1] for text in roots}) == 1, "two roots of one size, both signed by the log"
    assert all(bloc.log.key in parse_note(note).verify([bloc.log.key]) for note in evidence["notes"])
    assert set(story.run(run).keys) == {"bern", "oslo"}


def test_a_longer_history_that_does_not_begin_with_the_known_one_is_evidence_too(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    fork = story.show_fork("lima", bloc.entries[:-1])
    for reason in ("one", "two", "three"):
        fork.submit(
            sign_body(AgreementWithdraw(agreement=agreement, reason=reason), bloc.signer("bern", Role.DELEGATE))
        )
    bloc.step()
    lima = bloc.members["lima"]
    assert (type(lima.refusal), lima.refusal.code) == (Unverified, "log-root")
    halt = f"the log signed a history of {size + 2} entries that does not begin with the {size} kept here"
    assert lima.zone.mirror.view.halt == halt
    assert lima.zone.mirror.view.size == size, "nothing of it was taken"


def test_entries_bent_on_the_way_are_refused_and_prove_no_fork(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.deceive("lima", see_through(Garbling))
    bloc.step()
    lima = bloc.members["lima"]
    assert lima.refusal.code == "log-root"
    assert lima.zone.mirror.view.halt is None
    bloc.deceive("lima", None)
    bloc.settle()
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)


def test_a_shorter_history_with_another_root_is_evidence_too(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    other = sign_body(AgreementWithdraw(agreement=agreement), bloc.signer("bern", Role.DELEGATE))
    story.show_fork("lima", [*bloc.entries[: size - 3], other])
    bloc.step()
    view = bloc.members["lima"].zone.mirror.view
    assert view.halt == f"the log signed another history of its first {size - 2} entries"
    assert view.size == size


def test_a_rolled_back_log_is_refused_and_what_was_known_stays_known(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.settle()
    story.show_fork("lima", bloc.entries[:size])
    bloc.step()
    lima = bloc.members["lima"]
    assert lima.refusal.code == "log-rollback"
    assert f"holds {size + 1} entries that the log signed, and the log now shows {size}" in lima.refusal.message
    assert lima.zone.mirror.view.halt is None, "an old checkpoint of the same log proves no fork"
    assert "bern" not in story.bloc.members["lima"].state.charter.agreements[agreement].signatures


def test_a_center_that_lost_entries_says_so_and_members_do_not_follow_it_back(agreed):
    story = agreed[0]
    bloc = story.bloc
    with pytest.raises(Conflict, match="it lost some, or it is another log"):
        bloc.center.news(len(bloc.entries) + 1, 0, 0)


def test_a_frozen_log_ends_a_zones_consent_when_it_is_older_than_the_zone_allows(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.members["lima"].is_up = False
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    now = bloc.center.news(0, 0, 0)
    bloc.members["lima"].is_up = True
    bloc.deceive("lima", see_through(lambda center: Frozen(center, now)))
    bloc.tick(2 * 3_600_000)
    bloc.step()
    zone = bloc.members["lima"].zone
    assert zone.mirror.view.witnessed_size > story.run(run).at.index, "it has seen the plan under a quorum"
    decision = judge_run(zone, story.run(run), zone.mirror.view)
    ((step, denied),) = decision.denials
    assert (step, denied.article) == ("freshness", "guard 4")
    assert "a withdrawal may be kept from this zone" in denied.reason
    assert "lima" not in story.run(run).keys
    assert "lima" not in story.run(run).declines
    # Without the lie:
    bloc.deceive("lima", None)
    bloc.settle()
    assert "lima" in story.run(run).keys


def test_an_entry_that_the_center_drops_is_missed_by_who_said_it(agreed):
    story, agreement = agreed
    bloc = story.bloc
    lost = []

    def lens(center):
        lost.append(Losing(center, {"run.join"}))
        return lost[-1]

    bloc.deceive("lima", see_through(lens))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    lima = bloc.members["lima"]
    assert lost[-1].lost, "the center took the entry and answered with an index"
    assert "lima" not in lima.state.runs.plans[run].keys, "lima's own replay shows that it is not there"
    first = lost[-1].lost[0]
    assert all(entry == first for entry in lost[-1].lost), "it is said again, in the same bytes"
    # Without the lie the same bytes take effect:
    bloc.deceive("lima", None)
    bloc.settle()
    assert first in bloc.entries
    assert set(story.run(run).keys) == set(MEMBERS)


def test_entries_without_the_logs_signature_are_not_taken(agreed):
    story, _agreement = agreed
    bloc = story.bloc
    fork = story.show_fork("lima", [*bloc.entries, bloc.entries[0]])
    fork.note = lambda _size: ""
    bloc.step()
    assert bloc.members["lima"].refusal.code == "news-unsigned"
    stranger = replace(bloc.log, signer=bloc.signer("bern", Role.ZONE))
    fork.note = lambda size: Forked(bloc.center, stranger, fork.entries).note(size)
    bloc.step()
    assert bloc.members["lima"].refusal.code == "checkpoint-signature"
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)


# Time and witnesses


def test_a_clock_without_a_quorum_does_not_move_time(agreed):
    story = agreed[0]
    bloc = story.bloc
    later = bloc.now_ms // 1000 + 3_600
    note = bloc.center.news(0, 0, 0).checkpoint
    before = bloc.state.time_ms
    for witnesses in ((), ("bern",)):
        with pytest.raises(Refused, match="expected cosignatures of 2 of 3 members") as caught:
            story.operator_says(Clock(checkpoint=story.cosigned(note, witnesses, [later])))
        assert caught.value.article == "log 7"
    assert bloc.state.time_ms == before
    story.operator_says(Clock(checkpoint=story.cosigned(note, ("bern", "oslo"), [later])))  # without the lie
    assert bloc.state.time_ms == later * 1000


def test_time_does_not_go_back_and_no_clock_speaks_of_entries_to_come(agreed):
    story = agreed[0]
    bloc = story.bloc
    note = bloc.center.news(0, 0, 0).checkpoint
    early = story.cosigned(note, ("bern", "oslo"), [1])
    with pytest.raises(Refused, match="does not go back to 1000") as caught:
        story.operator_says(Clock(checkpoint=early))
    assert caught.value.article == "log 8"
    ahead = Forked(bloc.center, bloc.log, [*bloc.entries, *bloc.entries]).note(len(bloc.entries) * 2)
    with pytest.raises(Refused, match="the checkpoint is of") as caught:
        story.operator_says(Clock(checkpoint=story.cosigned(ahead, ("bern", "oslo"), [bloc.now_ms // 1000])))
    assert caught.value.article == "log 8"


def test_one_liar_among_the_witnesses_moves_the_median_no_further_than_an_honest_time(make_bloc):
    story = make_bloc("bern", "lima", "oslo", "pune")
    bloc = story.bloc
    note = bloc.center.news(0, 0, 0).checkpoint
    now_s = bloc.now_ms // 1000
    body = parse_note(note).text
    times_s = {"bern": now_s, "lima": now_s + 1, "oslo": 10**11}
    lines = [cosign(body, name, bloc.signer(name, Role.WITNESS), time_s) for name, time_s in times_s.items()]
    witnessed = open_witnessed(note + "".join(lines), bloc.log.key, story.witnesses)
    assert witnessed.time_ms == (now_s + 1) * 1000


def test_one_witness_counts_once_however_often_and_under_however_many_names_it_signs(agreed):
    """The pattern of CVE-2026-49834: a threshold met by one key."""
    story = agreed[0]
    bloc = story.bloc
    note = bloc.center.news(0, 0, 0).checkpoint
    now_s = bloc.now_ms // 1000
    thrice = story.cosigned(note, ("bern",), [now_s, now_s + 1, now_s + 2])
    assert set(count_members(parse_note(thrice), story.witnesses.keys)) == {"bern"}
    with pytest.raises(Unverified, match="expected cosignatures of 2 of 3 members, got 1: bern"):
        require_quorum(parse_note(thrice), story.witnesses)
    with pytest.raises(Refused, match="got 1: bern") as caught:
        story.operator_says(Clock(checkpoint=thrice))
    assert caught.value.article == "log 7"
    # One key in the place of two members, as a charter should never have it, is still one witness.
    bern = bloc.signer("bern", Role.WITNESS)
    shared = Witnesses({**story.witnesses.keys, "lima": bern.public}, 0)
    body = parse_note(note).text
    double = note + "".join(cosign(body, name, bern, now_s) for name in ("bern", "lima"))
    with pytest.raises(Unverified, match="got 1"):
        require_quorum(parse_note(double), shared)
    assert len(require_quorum(parse_note(story.cosigned(note, ("bern", "oslo"), [now_s])), story.witnesses)) == 2


def test_a_member_believes_no_witnessed_head_that_lacks_a_quorum_and_reads_on(agreed):
    story, agreement = agreed
    bloc = story.bloc
    before = bloc.members["lima"].zone.mirror.view.witnessed_size
    now_s = bloc.now_ms // 1000
    times_s = {"bern": [now_s, now_s + 1]}

    def claim(note):
        return note + "".join(story.cosigned(note, (name,), times_s[name]).removeprefix(note) for name in times_s)

    bloc.deceive("lima", see_through(lambda center: Claiming(center, claim)))
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.step_member("lima")
    view = bloc.members["lima"].zone.mirror.view
    assert (view.size, view.witnessed_size) == (len(bloc.entries), before)
    bloc.say("oslo", AgreementWithdraw(agreement=agreement))
    times_s["oslo"] = [now_s]
    bloc.step_member("lima")
    assert bloc.members["lima"].zone.mirror.view.witnessed_size == len(bloc.entries), "without the lie it does"
    assert bloc.members["lima"].refusal is None


def test_a_cosignature_that_does_not_hold_spoils_the_whole_claim_and_not_the_entries(agreed):
    story, agreement = agreed
    bloc = story.bloc
    now_s = bloc.now_ms // 1000
    other = bloc.log.sign(len(bloc.entries), bytes(32))
    stolen = story.cosigned(other, ("oslo",), [now_s]).removeprefix(other)
    bloc.deceive(
        "lima",
        see_through(lambda c: Claiming(c, lambda note: story.cosigned(note, ("bern", "lima"), [now_s]) + stolen)),
    )
    bloc.say("bern", AgreementWithdraw(agreement=agreement))
    bloc.step_member("lima")
    assert bloc.members["lima"].refusal.code == "signature"
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)
    bloc.deceive("lima", None)
    bloc.say("oslo", AgreementWithdraw(agreement=agreement))
    bloc.settle()
    assert bloc.members["lima"].zone.mirror.view.size == len(bloc.entries)


def test_a_quorum_for_another_history_halts_the_zone(agreed):
    story, agreement = agreed
    bloc = story.bloc
    size = len(bloc.entries)
    other = sign_body(AgreementWithdraw(agreement=agreement, reason="x"), bloc.signer("bern", Role.DELEGATE))
    forked = Forked(bloc.center, bloc.log, [*bloc.entries[:-1], other]).note(size)
    note = story.cosigned(forked, ("bern", "oslo"), [bloc.now_ms // 1000])
    bloc.deceive("lima", see_through(lambda c: Claiming(c, lambda _note: note)))
    bloc.step_member("lima")
    lima = bloc.members["lima"]
    assert lima.refusal.code == "log-fork"
    assert lima.zone.mirror.view.halt == "members cosigned another history than this zone holds"


def test_the_stage_of_a_round_is_a_matter_of_log_time_and_not_of_the_centers_clock(running):
    story, run = running
    bloc = story.bloc
    bloc.tick(10 * 60_000)
    state = bloc.state
    job = Jobs(state, state.now)[run]
    assert stage_of(job, story.round(run), state.now) is Stage.OPEN
    bloc.settle()
    assert story.final(run) is not None
