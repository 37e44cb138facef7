"""A center that lies over HTTP: each way ends in a refusal with its article or a halt, and nothing leaves the zone.

The members' own programs talk to the real application on a loopback socket; it
tells each of them what the test wants told. ``bloc.heard`` is what the center got.
The first story is told without a lie; where a test says so, the lie ends within it.
"""

from dataclasses import replace

import pytest

from serai.agent.admission import judge_run
from serai.aggregation.statements import RoundClose, RoundUpload
from serai.charter.agreements import Life, Term
from serai.charter.decision import Choice
from serai.charter.state import life_of
from serai.charter.statements import AgreementSign, Ballot, ProposalOpen
from serai.errors import Refused, Unverified
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.state import replay
from serai.storage.keyring import Keyring
from serai.testing.faults import Claiming, Frozen, accomplice, see_through
from serai.testing.federation import Terms
from serai.testing.served import ServedFederation
from serai.training.statements import RunCancel, RunJoin
from serai.zones.statements import Grant, GrantRevoke

FEATURES = {"features": "3"}
MEMBERS = ("bern", "lima", "oslo")


@pytest.fixture
def story(make_bloc):
    """A bloc whose charter is in force, with a network in between."""
    made = make_bloc(bloc=ServedFederation)
    with made.bloc:
        yield made


class Ear:
    """What the center hears from a member from now on, that is more than questions and cosignatures."""

    def __init__(self, bloc, member):
        self._heard = bloc.heard[member]
        self._start = len(self._heard)

    @property
    def words(self):
        later = self._heard[self._start :]
        return [parse_envelope(item.body).kind for item in later if item.path == "/entries"]

    @property
    def blob_bytes(self):
        return sum(len(item.body) for item in self._heard[self._start :] if item.method == "PUT")

    @property
    def is_silent(self):
        return not self.words and not self.blob_bytes


def steps(bloc, member, count=3):
    """Let only that member work, and say what the center hears of it."""
    ear = Ear(bloc, member)
    for _ in range(count):
        bloc.step_member(member)
    return ear


def forged_open(story, run, **changes):
    return sign_body(replace(story.round(run).body, **changes), story.bloc.operator)


def void_of(bloc, member, index):
    denied = bloc.members[member].state.void[index]
    return denied.article, denied.reason


def test_without_a_lie_vectors_are_sent_and_the_run_ends_with_a_model(running):
    story, run = running
    ears = {name: Ear(story.bloc, name) for name in MEMBERS}
    story.bloc.settle()
    assert story.final(run) is not None
    upload_bytes = story.run(run).plan.codec.upload_bytes
    for ear in ears.values():
        assert ear.blob_bytes >= 3 * upload_bytes
        assert [word for word in ear.words if word.startswith("round")].count("round.release") == 3


# What the log says


def test_split_view(running):
    story, run = running
    bloc = story.bloc
    bloc.members["lima"].follower.step(0)
    assert story.round(run).id in bloc.members["lima"].state.rounds.rounds, "its upload is due"
    size = len(bloc.entries)
    other = sign_body(RunCancel(plan=run, reason="x"), bloc.signer("bern", Role.DELEGATE))
    story.show_fork("lima", [*bloc.entries[:-1], other])
    assert steps(bloc, "lima").is_silent
    halt = f"the log signed two roots for its first {size} entries"
    assert bloc.members["lima"].zone.mirror.view.halt == halt
    bloc.deceive("lima", see_through(lambda center: center))
    assert steps(bloc, "lima").is_silent, "the truth does not lift the halt"
    lima = bloc.members["lima"]
    assert (lima.refusal.code, lima.refusal.message) == ("zone-halted", halt)


def test_rollback(running):
    story, _run = running
    bloc = story.bloc
    bloc.members["lima"].follower.step(0)
    size = len(bloc.entries)
    story.show_fork("lima", bloc.entries[:-2])
    ear = Ear(bloc, "lima")
    with pytest.raises(Unverified, match=f"holds {size} entries that the log signed, and the log now shows") as caught:
        bloc.members["lima"].follower.step(0)
    assert caught.value.code == "log-rollback"
    assert ear.is_silent
    assert bloc.members["lima"].zone.mirror.view.size == size
    bloc.deceive("lima", None)
    assert steps(bloc, "lima").blob_bytes, "without the lie it uploads"


def test_freeze(agreed):
    story, agreement = agreed
    bloc = story.bloc
    bloc.members["lima"].is_up = False
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    shown = bloc.center.news(0, 0, 0)
    bloc.members["lima"].is_up = True
    bloc.deceive("lima", see_through(lambda center: Frozen(center, shown)))
    bloc.tick(2 * 3_600_000)
    assert steps(bloc, "lima").is_silent
    zone = bloc.members["lima"].zone
    ((step, denied),) = judge_run(zone, story.run(run), zone.mirror.view).denials
    assert (step, denied.article) == ("freshness", "guard 4")
    assert "a withdrawal may be kept from this zone" in denied.reason
    bloc.deceive("lima", None)
    ear = Ear(bloc, "lima")
    bloc.settle()
    assert ear.words[0] == "run.join", "without the lie it joins"


def test_key_substitution(running):
    story, run = running
    bloc = story.bloc
    place = story.position("run.join", 2)  # of a member whose key one of the others has not seen yet
    before, after = (set(replay(bloc.entries[:end]).runs.plans[run].keys) for end in (place, place + 1))
    (last,) = after - before
    victim = next(name for name, member in bloc.members.items() if name != last and member.state.size <= place)
    key = Keyring.create(bloc.folder / "mole", []).agreement("mole").public
    forged = sign_body(RunJoin(plan=run, agg_key=key), bloc.operator)
    story.show_fork(victim, [*bloc.entries[:place], forged, forged_open(story, run)])
    assert steps(bloc, victim).is_silent
    assert void_of(bloc, victim, place) == (
        "log 5",
        "a run.join needs a zone key, and was signed with a operator key",
    )
    article, reason = void_of(bloc, victim, place + 1)
    assert article == "sums 7"
    assert f"{last} did not join the run" in reason


def test_a_ballot_that_is_kept_back_and_dated_back(agreed):
    story, agreement = agreed
    bloc = story.bloc
    text = bloc.state.charter.agreements[agreement].text
    opening = ProposalOpen(topic="agreement", title="More", text="", agreement=text)
    proposal = bloc.say("bern", opening)
    for name in ("bern", "lima"):
        bloc.say(name, Ballot(proposal=proposal, choice=Choice.YES))
    bloc.settle()
    ballot = sign_body(Ballot(proposal=proposal, choice=Choice.OBJECT, reason="no"), bloc.signer("oslo", Role.DELEGATE))
    kept_from = len(bloc.entries)
    rule = bloc.state.charter.proposals[proposal].rule
    bloc.pass_time(rule.window_ms + 60_000)
    size = len(bloc.entries)
    with pytest.raises(Refused, match="the proposal is adopted already") as caught:
        bloc.put(ballot)  # later than its time: it counts by when it was logged
    assert caught.value.article.startswith("articles.agreement")
    # Put in where it would have counted, it is another history for whoever has the first one.
    story.show_fork("lima", [*bloc.entries[:kept_from], ballot, *bloc.entries[kept_from:size]])
    assert steps(bloc, "lima").is_silent
    assert "does not begin with the" in bloc.members["lima"].zone.mirror.view.halt


# What may be done


def test_forged_in_force(agreed):
    story, agreement = agreed
    bloc = story.bloc
    text = bloc.state.charter.agreements[agreement].text
    proposal = bloc.say("bern", ProposalOpen(topic="agreement", title="Ours", text="?", agreement=text))
    for name in MEMBERS:
        bloc.say(name, Ballot(proposal=proposal, choice=Choice.YES))
    bloc.say("bern", AgreementSign(agreement=proposal))  # one of the two that it takes
    bloc.settle()
    size = len(bloc.entries)
    plan = replace(bloc.plan(agreement, "newton", 1, FEATURES), agreement=proposal)
    signing = AgreementSign(agreement=proposal)
    fork = story.show_fork("lima", [*bloc.entries, sign_body(signing, bloc.operator)])
    fork.submit(sign_body(plan, bloc.signer("bern", Role.DELEGATE)))
    assert steps(bloc, "lima").is_silent
    assert void_of(bloc, "lima", size) == (
        "log 5",
        "a agreement.sign needs a delegate key, and was signed with a operator key",
    )
    article, reason = void_of(bloc, "lima", size + 1)
    assert article == "training 1"
    assert "in force" in reason
    state = bloc.members["lima"].state
    assert life_of(state.charter, proposal, state.now) is Life.OPEN_FOR_SIGNATURE
    honest = replay([*bloc.entries, sign_body(signing, bloc.signer("oslo", Role.DELEGATE))])
    assert life_of(honest.charter, proposal, honest.now) is Life.IN_FORCE, "without the lie it is"


def test_replayed_job(agreed):
    story, agreement = agreed
    bloc = story.bloc
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    plan = bloc.entries[story.position("run.plan")]
    opening = bloc.entries[story.position("round.open")]
    size = len(bloc.entries)
    story.show_fork("lima", [*bloc.entries, plan, opening])
    assert steps(bloc, "lima").is_silent
    stands = story.run(run).at.index
    assert void_of(bloc, "lima", size) == (
        "log 4",
        f"this statement already stands at index {stands}; once is enough",
    )
    assert void_of(bloc, "lima", size + 1)[0] == "log 4"


def test_narrowed_then_widened_grant(agreed):
    story, agreement = agreed
    bloc = story.bloc
    wide = next(grant for grant in bloc.state.zones.grants.values() if grant.member == "lima")
    again = bloc.entries[wide.at.index]
    bloc.say("lima", GrantRevoke(grant=wide.id), Role.STEWARD)
    terms = (Term(clause="2", name="min_participants", value=4),)
    bloc.say("lima", Grant(offer=wide.body.offer, agreement=agreement, terms=terms), Role.STEWARD)
    size = len(bloc.entries)
    widened = sign_body(replace(wide.body, terms=()), bloc.operator)
    helpers = {
        name: accomplice(name, bloc.signer(name, Role.WITNESS), lambda: bloc.now_ms // 1000)
        for name in ("bern", "oslo")
    }  # even under a quorum
    fork = story.show_fork("lima", [*bloc.entries, again, widened], accomplices=helpers, claims=3)
    run_plan = bloc.plan(agreement, "newton", 1, FEATURES)
    plan = sign_body(run_plan, bloc.signer("bern", Role.DELEGATE))
    fork.submit(plan)
    ear = steps(bloc, "lima")
    assert void_of(bloc, "lima", size)[0] == "log 4"
    assert void_of(bloc, "lima", size + 1)[0] == "log 5"
    assert (ear.words, ear.blob_bytes) == (["run.decline"], 0)
    (reason,) = bloc.members["lima"].state.runs.plans[parse_envelope(plan).id].declines["lima"]
    assert reason.article.startswith("grant ")
    assert reason.text == "min_participants: needs sums of at least 4 members, the run allows 2"


def test_unknown_constraint(agreed):
    """The pattern of a connector that drops constraints it has no binding for, and then permits."""
    story, agreement = agreed
    bloc = story.bloc
    misspelt = Term(clause="1", name="min_cohrt", value=1000)
    text = replace(bloc.state.charter.agreements[agreement].text, terms=(misspelt,))
    proposal = sign_body(
        ProposalOpen(topic="agreement", title="?", text="?", agreement=text), bloc.signer("bern", Role.DELEGATE)
    )
    size = len(bloc.entries)
    story.show_fork("lima", [*bloc.entries, proposal])
    assert steps(bloc, "lima").is_silent
    article, reason = void_of(bloc, "lima", size)
    assert article == "agreement, clause 1"
    assert "'min_cohrt' is not known, and what is not understood is not permitted" in reason
    # The same in the zone's own policy, which no log judges.
    bloc.deceive("oslo", lambda zone: replace(zone, settings=replace(zone.settings, policy=(misspelt,))))
    run = bloc.train(agreement, "newton", 1, FEATURES)
    ear = Ear(bloc, "oslo")
    bloc.settle()
    (denied,) = story.run(run).declines["oslo"]
    assert "'min_cohrt' is not known" in denied.text
    assert (ear.words, ear.blob_bytes) == (["run.decline"], 0)


def test_missing_fact(story):
    """The pattern of a policy engine in which a prohibition that cannot be evaluated does not apply."""
    bloc = story.bloc
    agreement = bloc.agree(Terms(offer=(Term(clause="4", name="output_to", value=("XX",)),)))
    ear = Ear(bloc, "lima")
    run = bloc.train(agreement, "newton", 1, FEATURES)
    bloc.settle()
    denied = {reason.text for reason in story.run(run).declines["lima"]}
    assert any("missing fact: the jurisdictions of the recipients is not known" in text for text in denied)
    assert (ear.words, ear.blob_bytes) == (["run.decline"], 0)


def test_slow_machine(running):
    """The pattern of a verdict that hangs on how fast a machine is: here it hangs on the log alone."""
    story, run = running
    bloc = story.bloc
    zone, view = bloc.members["lima"].zone, bloc.members["lima"].zone.mirror.follow(bloc.center, 0, 0)
    quick = judge_run(zone, story.run(run), view)
    slow = replace(zone, now_ms=lambda: bloc.tick(300) or bloc.now_ms)
    assert judge_run(slow, story.run(run), view) == quick
    ear = Ear(bloc, "lima")
    # Too slow for the round itself, it is left out of it, and its late vector counts for nothing.
    bloc.members["lima"].is_up = False
    bloc.settle()
    opened = story.round(run)
    bloc.pass_time(120_000)
    blob = b"x" * story.run(run).plan.codec.upload_bytes
    bloc.client("lima").put_blob(digest_of(blob), blob)
    body = RoundUpload(open=opened.id, blob=digest_of(blob), chunks=digest_of(blob), size_bytes=len(blob))
    with pytest.raises(Refused) as caught:
        bloc.say("lima", body, Role.ZONE)
    assert caught.value.article == "sums 9"
    assert "lima" not in story.round(run, 0).summed
    assert "round.release" not in ear.words


# Rounds


def test_a_different_model_for_one_member(running):
    story, run = running
    bloc = story.bloc
    place = story.position("round.open")
    story.show_fork("lima", [*bloc.entries[:place], forged_open(story, run, model=digest_of(b"another model"))])
    assert steps(bloc, "lima").is_silent
    article, reason = void_of(bloc, "lima", place)
    assert article == "sums 6"
    assert "the run has come to model" in reason


def test_two_closes(uploaded):
    story, run = uploaded
    bloc = story.bloc
    story.step_until(lambda: story.round(run).closed)
    first = story.round(run).closed
    size = len(bloc.entries)
    second = sign_body(replace(first.body, masked_sum=digest_of(b"another sum")), bloc.operator)
    bloc.center.submit(second)
    ear = Ear(bloc, "lima")
    bloc.settle()
    assert void_of(bloc, "lima", size) == (
        "sums 11",
        f"round 0 was closed at entry {first.at.index}; the first close wins",
    )
    assert ear.words.count("round.release") == 3, "one for each round of the run"


def test_fake_drop_out(uploaded):
    story, run = uploaded
    bloc = story.bloc
    uploads = {m: upload.body.blob for m, upload in story.round(run).uploads.items()}
    bloc.tick(120_000)
    size = len(bloc.entries)
    rest = {m: blob for m, blob in uploads.items() if m != "oslo"}
    close = RoundClose(open=story.round(run).id, uploads=rest, masked_sum=digest_of(b"sum"))
    story.show_fork("lima", [*bloc.entries, sign_body(close, bloc.operator)])
    assert steps(bloc, "lima").is_silent, "it shows no pair seed of oslo's"
    article, reason = void_of(bloc, "lima", size)
    assert article == "sums 12"
    assert "the uploads of oslo are not as the log has them" in reason


def test_a_threshold_met_by_one_key(uploaded):
    """The pattern of CVE-2026-49834."""
    story, run = uploaded
    bloc = story.bloc
    story.step_until(lambda: story.round(run).closed)
    now_s = bloc.now_ms // 1000

    def claim(note):
        return story.cosigned(note, ("bern",), [now_s, now_s + 1, now_s + 2])

    bloc.deceive("lima", see_through(lambda center: Claiming(center, claim)))
    assert steps(bloc, "lima").is_silent, "it releases nothing for a close that one witness has seen"
    view = bloc.members["lima"].zone.mirror.view
    closed = view.state.rounds.rounds[story.round(run).id].closed
    assert closed is not None
    assert view.witnessed_size <= closed.at.index
    bloc.deceive("lima", None)
    ear = Ear(bloc, "lima")
    bloc.settle()
    assert "round.release" in ear.words, "without the lie it does"
