"""Evidence that a center withholds a statement: the statement itself, and receipts of members that handed it in.

One receipt proves nothing: whoever gives it may lie, or its line was down. Those of
a quorum hold an honest member's. Whoever has the log checks them without a network,
by the same replay by which everything else is judged, so that a center that refuses
a statement is judged by everybody: had the statement to be let in, or not?
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from serai.agent.mirror import Mirror
from serai.charter.state import witness_faults, witness_keys
from serai.errors import Malformed, SeraiError, Unverified
from serai.kernel.canonical import canonical, parse
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, MemberId
from serai.kernel.records import from_json, to_json
from serai.kernel.statement import Said
from serai.kernel.verdict import Denied
from serai.ledger.policy import Witnesses
from serai.ledger.statements import LEAST_WAIT_MS, Receipt
from serai.state import State, advance, recognise

MAX_RECEIPTS: Final = 128  # one of each member
MAX_EVIDENCE_BYTES: Final = 2**20  # a statement, and so many receipts under hybrid signatures
BLOB_NOT_HERE: Final = "blob-not-here"  # the one refusal that the log cannot judge: whether a blob was there
_BATCH: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A statement that does not show in the log, and what members say who handed it in.

    Attributes:
        entry: the signed statement.
        receipts: signed ``receipt`` statements, in any order.

    """

    entry: str
    receipts: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """As files and requests have it."""
        return canonical(to_json(self))


@dataclass(frozen=True, slots=True)
class Known:
    """The log as whoever judges has it.

    Attributes:
        state_at: what its first entries add up to, by their number.
        size: how many entries there are.
        find: where a statement stands; None if it does not.

    """

    state_at: Callable[[int], State]
    size: int
    find: Callable[[Digest], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What evidence comes to.

    Attributes:
        statement: id of the statement.
        author: whose statement it is; None where no member's key made it.
        kind: what is said in it.
        denied: why the center need not let it in; None if it has to.
        stands: where it is in the log; None if it is not.
        receipts: those that hold, by member.
        void: why each of the others counts for nothing.
        quorum: how many members must say so.

    """

    statement: Digest
    author: MemberId | None
    kind: str
    denied: Denied | None
    stands: int | None
    receipts: Mapping[MemberId, Receipt]
    void: tuple[str, ...]
    quorum: int

    @property
    def is_proved(self) -> bool:
        """Whether a quorum of members handed the statement in and waited in vain, though it had to be let in."""
        return self.denied is None and len(self.receipts) >= self.quorum


def parse_evidence(data: bytes) -> Evidence:
    """Read evidence; nothing in it is verified yet.

    Raises:
        Malformed: too large, or of another form.

    """
    evidence = from_json(Evidence, parse(data.strip(), MAX_EVIDENCE_BYTES))
    if len(evidence.receipts) > MAX_RECEIPTS:
        raise Malformed("evidence-receipts", f"expected at most {MAX_RECEIPTS} receipts, got {len(evidence.receipts)}")
    parse_envelope(evidence.entry.encode())
    return evidence


def judge_evidence(evidence: Evidence, log: Known) -> Finding:
    """Find what evidence comes to.

    Each receipt is judged by the log that its signer looked at, and so is the statement
    as that receipt speaks of it: keys may have changed since.

    Raises:
        Malformed: the statement is none.

    """
    entry = evidence.entry.encode()
    statement = parse_envelope(entry)
    held: dict[MemberId, Receipt] = {}
    void = []
    for receipt in evidence.receipts:
        try:
            said = _read_held(receipt.encode(), entry, log)
        except SeraiError as error:
            void.append(error.message)
            continue
        if said.member in held:
            void.append(f"{said.member} has given another receipt")
        held.setdefault(said.member, said.body)
    said_then = recognise(log.state_at(max((item.size for item in held.values()), default=log.size)), entry)
    charter = log.state_at(log.size).charter
    return Finding(
        statement=statement.id,
        author=None if isinstance(said_then, Denied) else said_then.member,
        kind=statement.kind,
        denied=said_then if isinstance(said_then, Denied) else None,
        stands=log.find(statement.id),
        receipts=held,
        void=tuple(void),
        quorum=Witnesses(witness_keys(charter), witness_faults(charter)).quorum,
    )


def _read_held(receipt: bytes, entry: bytes, log: Known) -> Said[Any]:
    """A receipt that holds.

    Raises:
        SeraiError: it does not, and why.

    """
    body, statement = read_receipt(receipt), parse_envelope(entry).id
    stands = log.find(statement)
    if body.statement != statement:
        raise Unverified("receipt-void", f"a receipt for another statement, {body.statement[:12]}")
    if not 0 <= body.size <= log.size:
        raise Unverified("receipt-void", f"a receipt about {body.size} entries, and {log.size} are here to judge it by")
    if stands is not None and stands < body.size:
        raise Unverified("receipt-void", f"the statement stands at index {stands}, within the {body.size} looked at")
    if body.seen_ms - body.handed_ms < LEAST_WAIT_MS:
        raise Unverified("receipt-void", f"a receipt without a wait of {LEAST_WAIT_MS // 1000} s, for news to come")
    if body.code == BLOB_NOT_HERE:
        raise Unverified("receipt-void", "the center asked for a blob first, and no log shows whether it had it")
    state = log.state_at(body.size)
    said, denied = recognise(state, receipt), recognise(state, entry)
    if isinstance(said, Denied):
        raise Unverified("receipt-void", f"a receipt that does not hold, by {said.article}: {said.reason}")
    if said.role not in Receipt.ROLES or said.member not in witness_keys(state.charter):
        raise Unverified("receipt-void", f"a receipt by the {said.role} key of {said.member}, which witnesses nothing")
    if isinstance(denied, Denied):
        raise Unverified(
            "receipt-void", f"{said.member} had nothing that must be let in, by {denied.article}: {denied.reason}"
        )
    return said


def read_receipt(entry: bytes) -> Receipt:
    """What an entry says that is a receipt; the signature is *not* checked here.

    Raises:
        Malformed: it says something else.

    """
    envelope = parse_envelope(entry)
    if envelope.kind != Receipt.KIND:
        raise Malformed("receipt-form", f"expected a receipt, got a statement of kind {envelope.kind}")
    return from_json(Receipt, envelope.predicate)


def judge_offline(evidence: Evidence, mirror: Mirror) -> Finding:
    """Find what evidence comes to, by one replay of a mirrored log up to each size that a receipt is about.

    Raises:
        Malformed: the statement is none.

    """
    size, sizes = mirror.view.size, set[int]()
    for receipt in evidence.receipts:
        with contextlib.suppress(SeraiError):  # it will be found void
            sizes.add(min(max(read_receipt(receipt.encode()).size, 0), size))
    states, state = {size: mirror.view.state}, State()
    for end in sorted(sizes - {size}):
        for start in range(state.size, end, _BATCH):
            for entry in mirror.entries(start, min(start + _BATCH, end)):
                state = advance(state, entry)
        states[end] = state
    return judge_evidence(evidence, Known(states.__getitem__, size, mirror.find))
