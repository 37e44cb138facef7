"""Laws of rounds: whatever is said in whatever order, no member's vector can be read."""

from collections import defaultdict
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from serai.aggregation.codec import Block, Codec
from serai.aggregation.job import Job
from serai.aggregation.rules import judge
from serai.aggregation.state import RoundsState, agreed_model, apply, current_round
from serai.aggregation.statements import RoundClose, RoundOpen, RoundRelease, RoundResult, RoundUpload
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED

MEMBERS = ("aarau", "bern", "chur", "davos", "engi")
RUN = digest_of(b"run")
JOB = Job(
    run=RUN,
    keys=dict.fromkeys(MEMBERS, bytes(32)),
    minimum=2,
    rounds=4,
    codec=Codec(bits=16, limit=100, blocks=(Block(length=1, step=Fraction(1)),)),
    length=1,
    initial=digest_of(b"0"),
    round_ms=10,
)

MEMBER = st.sampled_from(MEMBERS)
SUBSET = st.sets(MEMBER)
ACTION = st.one_of(
    st.tuples(st.just("open"), st.sets(MEMBER, min_size=2)),
    st.tuples(st.just("upload"), SUBSET),
    st.tuples(st.just("close"), st.one_of(st.none(), SUBSET)),
    st.tuples(st.just("release"), SUBSET, st.one_of(st.none(), SUBSET)),
    st.tuples(st.just("result"), SUBSET, st.integers(0, 8).map(lambda n: n // 4)),
    st.tuples(st.just("wait"), st.integers(1, 12)),
)


class Log:
    def __init__(self):
        self.state = RoundsState()
        self.granted = []
        self.time_ms = 0
        self.index = 0

    def say(self, body, member):
        role = Role.OPERATOR if member == "operator" else Role.ZONE
        name = digest_of(f"{self.index}".encode())
        said = Said(id=name, body=body, member=member, role=role, key=name, leaf=name)
        at = Instant(self.index, self.time_ms)
        self.index += 1
        if judge({RUN: JOB}, self.state, said, at) == GRANTED:
            self.state = apply(self.state, said, at)
            self.granted.append((said, at))


def play(actions):
    log = Log()
    for kind, *rest in actions:
        this = current_round(log.state, RUN)
        if kind == "wait":
            log.time_ms += rest[0]
        elif kind == "open":
            number = log.state.runs[RUN].opened if this else 0
            body = RoundOpen(
                run=RUN,
                number=number,
                model=agreed_model(log.state, JOB),
                participants=tuple(sorted(rest[0])),
                deadline_ms=log.time_ms + 10,
            )
            log.say(body, "operator")
        elif this and kind == "upload":
            for member in sorted(rest[0]):
                log.say(RoundUpload(open=this.id, blob=RUN, chunks=RUN, size_bytes=2), member)
        elif this and kind == "close":
            uploads = dict.fromkeys(this.uploads if rest[0] is None else rest[0], RUN)
            log.say(RoundClose(open=this.id, uploads=uploads, masked_sum=RUN), "operator")
        elif this and this.closed and kind == "release":
            for member in sorted(rest[0]):
                others = this.missing if rest[1] is None else rest[1]
                seeds = dict.fromkeys(others, bytes(32))
                log.say(RoundRelease(close=this.closed.id, self_seed=bytes(32), pair_seeds=seeds), member)
        elif this and this.closed and kind == "result":
            model = digest_of(bytes([rest[1]]))
            for member in sorted(rest[0]):
                log.say(RoundResult(close=this.closed.id, total=RUN, model=model), member)
    return log


STORIES = st.lists(ACTION, max_size=40)


def steered(draw):
    """Mostly sensible stories with a dishonest turn here and there, so that later stages are reached too."""
    story = []
    for _ in range(draw(st.integers(1, 4))):
        who = draw(st.sets(MEMBER, min_size=2))
        part = st.one_of(st.just(who), st.sets(st.sampled_from(sorted(who)), min_size=2))
        story += [("open", who), ("upload", draw(part)), ("wait", 12)]
        story += draw(st.lists(ACTION, max_size=2))
        story += [("close", None), ("release", draw(SUBSET), draw(SUBSET)), ("release", draw(part), None), ("wait", 12)]
        story += [("result", draw(part), draw(st.integers(0, 1)))]
    return story


STEERED = st.composite(steered)()


@given(st.one_of(STORIES, STEERED))
def test_nobody_ever_sees_both_masks_of_one_member(actions):
    for this in play(actions).state.rounds.values():
        unmasked = set(this.releases)
        betrayed = {other for release in this.releases.values() for other in release.pair_seeds}
        assert not unmasked & betrayed


@given(st.one_of(STORIES, STEERED))
def test_sums_from_one_model_never_leave_the_vector_of_fewer_than_the_minimum(actions):
    sums = defaultdict(set)
    for this in play(actions).state.rounds.values():
        if this.closed:
            assert len(this.summed) >= JOB.minimum
            sums[this.body.model].add(this.summed)
    for sets in sums.values():
        assert len(sets) <= 2
        if len(sets) == 2:
            first, second = sets
            assert len(first ^ second) >= JOB.minimum


@given(STEERED)
def test_a_replay_of_what_was_granted_gives_the_same_state(actions):
    log = play(actions)
    again = RoundsState()
    for said, at in log.granted:
        assert judge({RUN: JOB}, again, said, at) == GRANTED
        again = apply(again, said, at)
    assert again == log.state


@given(STEERED)
def test_a_close_names_every_upload_that_came_before_it_and_no_other(actions):
    for this in play(actions).state.rounds.values():
        if this.closed:
            assert this.summed == set(this.uploads)
            assert this.summed | this.missing == set(this.body.participants)
