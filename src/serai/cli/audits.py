"""Audits that any member can run: the whole published log, or every sum of a run, bit for bit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from serai.agent.session import Session
from serai.aggregation.audit import ReadBlob, verify_round
from serai.aggregation.ring import CHUNK_VALUES
from serai.aggregation.state import Round, find_round
from serai.charter.constitution import Charter, genesis_of
from serai.charter.state import witness_faults, witness_keys
from serai.charter.statements import CharterAdopt
from serai.cli.reading import read_line
from serai.errors import Missing, Unverified
from serai.kernel.ids import Digest, MemberId
from serai.ledger.audit import audit_log
from serai.ledger.note import NoteKey, parse_vkey
from serai.ledger.policy import Witnesses
from serai.ledger.statements import is_compared
from serai.ledger.tiles import ENTRIES, read_bundle, tile_of
from serai.state import State, advance, digest_state
from serai.training.state import form_of
from serai.transport.published import PublicFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAudit:
    """What the audit of a published log found; everything in it held.

    Attributes:
        entries: how many were checked.
        void: how many of them have no effect.
        root: of the Merkle tree, hex.
        witnesses: members whose cosignatures hold.
        state: digest of what the log adds up to; members compare it.
        attested: how many times a zone has said what this audit finds as well.
        disagreeing: zones that found something else, and after how many entries.
        genesis: digest of the founding charter.

    """

    entries: int
    void: int
    root: str
    witnesses: tuple[MemberId, ...]
    state: Digest
    attested: int
    disagreeing: tuple[tuple[MemberId, int], ...]
    genesis: Digest


@dataclass(frozen=True, slots=True)
class RoundAudit:
    """A round whose masked sum, total and results were recomputed and agree.

    Attributes:
        number: of the round.
        members: whose vectors are in the sum.
        is_kept: whether the center still has the uploads; without them nothing was recomputed, and what is known is that
            the members in the sum stated one result.

    """

    number: int
    members: tuple[MemberId, ...]
    is_kept: bool = True


def founding_charter(url: str) -> Charter:
    """The charter in the log's first entry; compare its digest with the one you hold before you trust it.

    Raises:
        Missing: the log is empty.
        Unverified: the first entry is no charter.

    """
    read = PublicFiles(url).read
    size = int(read("checkpoint").split(b"\n")[1])
    (first, *_) = read_bundle(tile_of(ENTRIES, 0, size), read)
    body = read_line(State(), first, 0).body
    if not isinstance(body, CharterAdopt):
        raise Unverified("log-unfounded", "the log does not begin with a charter; it is no center's")
    return body.charter


def read_published(url: str) -> tuple[State, list[bytes]]:
    """Every published entry and what they add up to, trusting the charter in the first one.

    Raises:
        Unverified: the entries do not have the root that the log signed.

    """
    charter = founding_charter(url)
    entries: list[bytes] = []
    state = State()

    def receive(_index: int, entry: bytes) -> None:
        nonlocal state
        entries.append(entry)
        state = advance(state, entry)

    audit_log(PublicFiles(url).read, lambda: _log_key(state, charter), lambda: _witnesses(state), receive)
    return state, entries


def audit_published(url: str, charter: Charter) -> LogAudit:
    """Check a published log from its bytes and replay it.

    Args:
        url: where the center answers.
        charter: the founding charter that you trust.

    Raises:
        Unverified: something does not hold; the message says what.

    """
    state, marked = State(), dict[int, State]()

    def receive(_index: int, entry: bytes) -> None:
        nonlocal state
        state = advance(state, entry)
        if is_compared(state.size):
            marked[state.size] = state  # shares all but the latest changes with its neighbours

    witnessed = audit_log(PublicFiles(url).read, lambda: _log_key(state, charter), lambda: _witnesses(state), receive)
    genesis = genesis_of(charter)
    if state.charter.genesis != genesis:
        raise Unverified("log-genesis", f"the log was founded on {state.charter.genesis}, and not on {genesis}")
    attested, disagreeing = _compare(state, marked)
    return LogAudit(
        entries=witnessed.checkpoint.size,
        void=len(state.void),
        root=witnessed.checkpoint.root.hex(),
        witnesses=tuple(sorted(witnessed.times_s)),
        state=digest_state(state),
        attested=attested,
        disagreeing=disagreeing,
        genesis=genesis,
    )


def _compare(state: State, marked: Mapping[int, State]) -> tuple[int, tuple[tuple[MemberId, int], ...]]:
    """How many attests agree with this replay, and which do not."""
    agreeing, disagreeing = 0, list[tuple[MemberId, int]]()
    for size in sorted(state.attested):
        digest = digest_state(marked[size])
        for member, found in sorted(state.attested[size].items()):
            agreeing += found == digest
            disagreeing += [] if found == digest else [(member, size)]
    return agreeing, tuple(disagreeing)


def _log_key(state: State, charter: Charter) -> NoteKey:
    """The key of the log after the last entry: the founders', or that of the successor that members appointed."""
    successions = state.charter.successions
    return parse_vkey(successions[-1].body.log_key if successions else charter.log_key)


def _witnesses(state: State) -> Witnesses:
    """Who the witnesses are after the last entry: a member's key as it has rotated, from the founders' on."""
    return Witnesses(witness_keys(state.charter), witness_faults(state.charter))


def audit_run(session: Session, run: Digest) -> Iterator[RoundAudit]:
    """Recompute every released round of a run from uploads and releases.

    Raises:
        Missing: the center no longer has an upload of a round in which somebody in the sum has not stated its result.
        Unverified: a sum or somebody's result is not what the log says.

    """
    state = session.state()
    plan = state.runs.plans[run].plan
    for this in released_rounds(state, run):
        codec = form_of(plan, this.done).codec
        done = RoundAudit(this.body.number, tuple(sorted(this.summed)))
        try:
            verify_round(codec, this, _chunk_reader(session, codec.ring.packed_bytes(CHUNK_VALUES)))
        except Missing:
            if not this.summed <= set(this.results):
                raise
            done = replace(done, is_kept=False)
        yield done


def _chunk_reader(session: Session, size: int) -> ReadBlob:
    return lambda blob, number: session.center.read_blob(blob, number * size, size)


def released_rounds(state: State, run: Digest) -> Iterator[Round]:
    """The rounds of a run whose sums are readable, in order."""
    number = 0
    while (this := find_round(state.rounds, run, number)) is not None:
        if this.is_released:
            yield this
        number += 1
