"""A model of rounds under a center that lies: everything it may do next, and what must hold whatever it does.

Theory of operation
    The rules are those of ``aggregation.rules`` and ``aggregation.state``, what
    members do is what their real zones do (``round_zones``). The model adds the
    adversary: a center that puts any statement it holds into any history, or
    none, opens and closes what it likes, lets log time pass, and splits members
    between two histories; and members that tell it all they know.

    A history has the members that follow it. Each of them acts as soon as it may,
    for a center that knows more can do all that one that knows less can; a
    member that is slow, crashed or lost is one whose statements the center leaves
    out. Entries commute, so a history is kept as the state that it adds up to.
    Histories with one content count as one under the witnesses' eyes, which gives
    the center more than it has.
"""

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from typing import Final, TypeAlias

from immutables import Map

from serai.aggregation import rules
from serai.aggregation.state import (
    Closed,
    Round,
    RoundsState,
    SaidInRound,
    agreed_model,
    apply,
    close_from_ms,
    current_round,
    final_model,
    lost_members,
)
from serai.aggregation.statements import RoundClose, RoundOpen, RoundRecover, RoundRelease, RoundStatement, RoundUpload
from serai.kernel.ids import Digest, KeyId, MemberId, digest_of
from serai.kernel.keys import Role
from serai.kernel.quorum import quorum
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED
from serai.testing.round_secrets import learn, read_vectors
from serai.testing.round_zones import ROUND_MS, RUN, Memory, RoundView, Zones

OPERATOR: Final = MemberId("operator")
Move: TypeAlias = tuple[str, "World"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lies:
    """What the adversary may do.

    Attributes:
        colluders: members that tell the center all they know and say what it likes.
        false_witnesses: whether they cosign more than one history.
        lost_mirrors: whether members can lose their mirrors, and are then shown the other history.
        lost_journals: whether a restart loses what a zone must remember.
        histories: how many there are at most.
        openings: how many rounds of a history are opened at most.
        is_honest: whether the center only ever does what it should, and soon.
        absent: members whose releases never come, though their uploads did.

    """

    colluders: frozenset[MemberId] = frozenset()
    false_witnesses: bool = False
    lost_mirrors: bool = False
    lost_journals: bool = False
    histories: int = 1
    openings: int = 2
    is_honest: bool = False
    absent: frozenset[MemberId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One history that some members are shown.

    Attributes:
        members: who follows it.
        rounds: what it adds up to.
        time_ms: its log time.
        witnesses: who has cosigned each close.

    """

    members: frozenset[MemberId]
    rounds: RoundsState = field(default_factory=RoundsState)
    time_ms: int = 0
    witnesses: Map[Digest, frozenset[MemberId]] = field(default_factory=Map)

    @property
    def current(self) -> Round | None:
        """The round that was opened last."""
        return current_round(self.rounds, RUN)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where everybody stands.

    Attributes:
        histories: what members are shown.
        said: all that members ever said to the center, by statement id.
        memories: what each zone's journal holds.

    """

    histories: tuple[History, ...]
    said: frozenset[Digest] = frozenset()
    memories: Map[MemberId, Memory]


class Model:
    """Moves, and promises.

    Args:
        zones: the members and their run.
        lies: what the adversary may do.

    Attributes:
        refused: what zones would not say, in their words.

    """

    def __init__(self, zones: Zones, lies: Lies) -> None:
        self.zones = zones
        self.lies = lies
        self.members = frozenset(zones.job.keys)
        self.honest = self.members - lies.colluders
        self.refused: set[str] = set()
        self._statements: dict[Digest, SaidInRound] = {}
        self._closes: dict[Digest, RoundClose] = {}
        self._names: dict[Hashable, int] = {}
        self._leaks: dict[frozenset[Digest], str | None] = {}
        self._faults: dict[Hashable, str | None] = {}

    @property
    def start(self) -> World:
        """A run that everybody has joined, and nothing else."""
        return World(
            histories=(History(members=self.members),),
            memories=Map({member: Memory() for member in self.members}),
        )

    def key(self, world: World) -> Hashable:
        """Equal for worlds that have the same future and break the same promises."""
        histories = sorted(self._history_key(history) for history in world.histories)
        memories = tuple(self._name(world.memories[member]) for member in sorted(self.members))
        return (*histories, self._name(world.said), memories)

    # What may happen

    def moves(self, world: World) -> Iterator[Move]:
        """Everything that may happen next, in words, and where it leads."""
        for place, history in enumerate(world.histories):
            where = f" in history {place}" if len(world.histories) > 1 else ""
            for words, after in self._entries(world, history):
                yield words + where, self._shown(world, place, after)
        yield from self._splits(world)
        yield from self._losses(world)

    def _entries(self, world: World, history: History) -> Iterator[tuple[str, History]]:
        made = False
        for words, said in chain(
            self._sayings(world, history), self._openings(history), self._closings(world, history)
        ):
            after = self._with(history, said)
            if after is not None:
                made = True
                yield words, after
        if not (made and self.lies.is_honest):
            yield from self._passing(history)

    def _sayings(self, world: World, history: History) -> Iterator[tuple[str, SaidInRound]]:
        """What members have said, and what accomplices would say."""
        for name in sorted(world.said):
            said = self._statements[name]
            if not (said.member in self.lies.absent and isinstance(said.body, RoundRelease)):
                yield _in_words(said), said
        this = history.current
        if this is None:
            return
        view = self._view(history, this, is_witnessed=True)
        for member in sorted(self.lies.colluders):
            known = Memory()
            if this.closed is not None and member in this.releases:
                known = Memory(words=((f"release {this.id}", this.closed.id, b""),))
            deed = self.zones.show(member, known, view)
            for said in deed.said:
                yield _in_words(said), said

    def _openings(self, history: History) -> Iterator[tuple[str, SaidInRound]]:
        progress = history.rounds.runs.get(RUN)
        number = progress.opened if progress else 0
        if number >= self.lies.openings:
            return
        fair = [found] if (found := rules.find_participants(self.zones.job, history.rounds)) else []
        for participants in fair if self.lies.is_honest else _subsets(self.members, 2):
            body = RoundOpen(
                run=RUN,
                number=number,
                model=agreed_model(history.rounds, self.zones.job),
                participants=participants,
                deadline_ms=history.time_ms + ROUND_MS,
            )
            yield f"open round {number} for {', '.join(participants)}", _operator_says(body)

    def _closings(self, world: World, history: History) -> Iterator[tuple[str, SaidInRound]]:
        this = history.current
        if this is None:
            return
        blobs = {member: upload.body.blob for member, upload in this.uploads.items()}
        if not self.lies.is_honest:
            for name in sorted(world.said):
                said = self._statements[name]
                if isinstance(said.body, RoundUpload) and said.body.open == this.id:
                    blobs.setdefault(said.member, said.body.blob)
        for named in _subsets(blobs, len(this.uploads) if self.lies.is_honest else 1):
            masked_sum = self.zones.masked_sum(tuple(blobs[member] for member in named))
            body = RoundClose(open=this.id, uploads={m: blobs[m] for m in named}, masked_sum=masked_sum)
            yield f"close round {this.body.number} over {', '.join(named)}", _operator_says(body)

    def _passing(self, history: History) -> Iterator[tuple[str, History]]:
        """Log time passes the next point at which something becomes due."""
        job, this = self.zones.job, history.current
        if this is None or this.is_released:
            return
        due = [close_from_ms(job, this)]
        if this.closed is not None:
            due = [this.closed.at.time_ms + wait * ROUND_MS for wait in ((1, 2) if job.threshold else (1,))]
        for time_ms in (time_ms for time_ms in due if time_ms > history.time_ms):
            yield "log time passes a deadline", replace(history, time_ms=time_ms)
            return

    def _splits(self, world: World) -> Iterator[Move]:
        """The center shows some of the members another history from here on."""
        if len(world.histories) >= self.lies.histories:
            return
        for place, history in enumerate(world.histories):
            first = min(history.members)
            for some in _subsets(history.members - {first}, 1):
                apart = frozenset(some)
                one, other = (replace(history, members=these) for these in (history.members - apart, apart))
                rest = world.histories[:place] + world.histories[place + 1 :]
                yield f"show {', '.join(some)} another history", replace(world, histories=(*rest, one, other))

    def _losses(self, world: World) -> Iterator[Move]:
        if self.lies.lost_journals:
            for member in sorted(self.honest):
                memory = world.memories[member]
                if not memory.losses and memory != Memory():
                    memories = world.memories.set(member, Memory(losses=1))
                    yield f"{member} restarts and remembers nothing", replace(world, memories=memories)
        if self.lies.lost_mirrors and len(world.histories) == 2:
            for place, history in enumerate(world.histories):
                other = world.histories[1 - place]
                for member in sorted(history.members & self.honest):
                    if len(history.members) > 1:
                        yield self._moved(world, member, history, other)

    def _moved(self, world: World, member: MemberId, history: History, other: History) -> Move:
        """A member that lost its mirror begins again from the other history, and cosigns that too."""
        left = replace(history, members=history.members - {member})
        witnesses = Map({close: those | {member} for close, those in other.witnesses.items()})
        joined = replace(other, members=other.members | {member}, witnesses=witnesses)
        after = replace(world, histories=(left, joined))
        return f"{member} loses its mirror and follows the other history", self._acted(after, joined)

    def _with(self, history: History, said: SaidInRound) -> History | None:
        """A history with one more entry; None where the entry is void."""
        at = Instant(0, history.time_ms)
        if rules.judge({RUN: self.zones.job}, history.rounds, said, at) != GRANTED:
            return None
        rounds = apply(history.rounds, said, at)
        witnesses = history.witnesses
        if isinstance(said.body, RoundClose):
            self._closes[said.id] = said.body
            witnesses = witnesses.set(said.id, history.members)
        return replace(history, rounds=rounds, witnesses=witnesses)

    def _shown(self, world: World, place: int, history: History) -> World:
        """The members that follow a history see its next state, and act."""
        histories = (*world.histories[:place], history, *world.histories[place + 1 :])
        return self._acted(replace(world, histories=histories), history)

    def _acted(self, world: World, history: History) -> World:
        this = history.current
        if this is None:
            return world
        said, memories = world.said, world.memories
        view = self._view(history, this, is_witnessed=self._is_witnessed(history, this))
        for member in sorted(history.members & self.honest):
            deed = self.zones.show(member, memories[member], view)
            memories = memories.set(member, deed.memory)
            self._statements.update((one.id, one) for one in deed.said)
            said = said.union(one.id for one in deed.said)
            if deed.refused:
                self.refused.add(deed.refused)
        return replace(world, said=said, memories=memories)

    def _view(self, history: History, this: Round, *, is_witnessed: bool) -> RoundView:
        lost = lost_members(self.zones.job, this, Instant(0, history.time_ms))
        return RoundView(this, self._round_name(this), lost, is_witnessed)

    def _is_witnessed(self, history: History, this: Round) -> bool:
        if this.closed is None:
            return False
        those = history.witnesses[this.closed.id]
        if self.lies.false_witnesses:
            those |= self.lies.colluders
        return len(those) >= quorum(len(self.members))

    # What must hold

    def fault(self, world: World) -> str | None:
        """The promise that a world breaks, in words; None if it keeps them all."""
        return self.find_leak(world) or self.find_double_release(world) or self.find_wrong_sum(world)

    def find_leak(self, world: World) -> str | None:
        """No leak: all that the center and its accomplices know does not determine an honest member's vector."""
        if world.said not in self._leaks:
            statements = [self._statements[name] for name in sorted(world.said)]
            shown = read_vectors(learn(self.zones, self.lies.colluders, statements, self._closes))
            self._leaks[world.said] = f"leak: the center reads what {', '.join(sorted(shown))} sent" if shown else None
        return self._leaks[world.said]

    def find_double_release(self, world: World) -> str | None:
        """No double release: one close of a round for each member, and never both kinds of seeds of another."""
        closes: dict[tuple[MemberId, Digest], set[Digest]] = {}
        pairs: set[tuple[MemberId, Digest, MemberId]] = set()
        selves: set[tuple[MemberId, Digest, MemberId]] = set()
        for name in world.said:
            one = self._statements[name]
            if isinstance(one.body, RoundRelease | RoundRecover):
                opened = self._closes[one.body.close].open
                if isinstance(one.body, RoundRelease):
                    closes.setdefault((one.member, opened), set()).add(one.body.close)
                    pairs.update((one.member, opened, other) for other in one.body.pair_seeds)
                else:
                    selves.add((one.member, opened, one.body.member))
        for (member, _), those in closes.items():
            if len(those) > 1:
                return f"double release: {member} releases for {len(those)} closes of one round"
        for member, _, other in pairs & selves:
            return f"double release: {member} shows both kinds of seeds of {other}"
        return None

    def find_wrong_sum(self, world: World) -> str | None:
        """A close names exactly the uploads before it, and a readable sum is that of their vectors."""
        for this in (history.current for history in world.histories):
            if this is not None and this.closed is not None:
                case = (self._round_name(this), this.is_released)
                if case not in self._faults:
                    self._faults[case] = self._sum_fault(this, this.closed)
                if (fault := self._faults[case]) is not None:
                    return fault
        return None

    def _sum_fault(self, this: Round, closed: Closed) -> str | None:
        logged = {member: upload.body.blob for member, upload in this.uploads.items()}
        if dict(closed.body.uploads) != logged:
            return "wrong sum: a close does not name the uploads before it"
        if this.is_released:
            found, wanted = self.zones.read_sum(this)[0], sum(self.zones.vectors[member] for member in this.summed)
            if found != wanted:
                return f"wrong sum: it reads {found:.0f}, the vectors add up to {wanted:.0f}"
        return None

    def is_over(self, world: World) -> bool:
        """Whether the run has come to its end in every history."""
        return all(final_model(history.rounds, self.zones.job) for history in world.histories)

    # Names

    def _history_key(self, history: History) -> tuple[int, int, int]:
        this = history.current
        passed = history.time_ms
        if this is not None:
            passed -= this.closed.at.time_ms if this.closed else this.body.deadline_ms
        rounds = frozenset(self._round_name(this) for this in history.rounds.rounds.values())
        witnesses = frozenset(history.witnesses.items())
        return self._name(rounds), passed, self._name((history.members, witnesses))

    def _round_name(self, this: Round) -> int:
        uploads = frozenset((member, upload.id) for member, upload in this.uploads.items())
        releases = frozenset((member, body.self_seed) for member, body in this.releases.items())
        shares = frozenset((lost, giver) for lost, given in this.shares.items() for giver in given)
        results = frozenset((member, body.total, body.model) for member, body in this.results.items())
        closed = this.closed.id if this.closed else None
        return self._name((this.id, uploads, closed, releases, shares, results))

    def _name(self, value: Hashable) -> int:
        return self._names.setdefault(value, len(self._names))


def _operator_says(body: RoundStatement) -> SaidInRound:
    name = digest_of(repr(body).encode())
    return Said(id=name, body=body, member=OPERATOR, role=Role.OPERATOR, key=KeyId(name), leaf=digest_of(name.encode()))


def _in_words(said: SaidInRound) -> str:
    lost = f" of {said.body.member}" if isinstance(said.body, RoundRecover) else ""
    return f"{said.body.KIND} by {said.member}{lost}"


def _subsets(members: Collection[MemberId], least: int) -> Iterator[tuple[MemberId, ...]]:
    ordered = sorted(members)
    return chain.from_iterable(combinations(ordered, size) for size in range(max(least, 1), len(ordered) + 1))
