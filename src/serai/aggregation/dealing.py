"""A participant deals its seeds to the others, so that enough of them can release in its place.

Theory of operation
    In the resilient profile a participant sends a *deal* with its upload: shares
    (``shares.py``) of its self seed and of each of its pair seeds, those for one
    recipient encrypted to that one. Nobody uses them while it releases by itself.
    If it is lost after the close, each member in the sum makes known its shares
    of exactly what the lost one's release would have said: its self seed, and
    the pair seeds with those outside the sum. Of the pair seeds with members in
    the sum, nobody ever shows a share.

    Pair seeds are dealt too because a lost member may have a partner that never
    uploaded: the keystream of that pair is then in the sum, and the only two that
    can compute its seed are both away.

    A deal is a table. Row x has what recipient x gets: the value at x of each
    polynomial; row 0 has the seeds themselves. The upload commits to the table
    by one digest over the digests of its rows, each over the digests of its
    cells. Whoever shows cells of a row shows that row's digests with them, so a
    share that was not dealt is found by itself and names who says it, and a seed
    that comes out is known to be the committed one. Seeds and shares have 256
    random bits, so their digests say nothing.

    A deal is a function of the roster, the participant's seeds and one more seed,
    which it draws once for that roster and journals: it sends the same bytes after
    every crash, and no two deals share a polynomial or a nonce.

What it costs
    The masks of the plain profile hold against all other members together; with a
    deal they hold against fewer than ``threshold`` of them. So the threshold is
    more than half of those invited: a majority that would betray a member could
    outvote it as well.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from serai.aggregation.masking import SEED_BYTES, KeyAgreement, Release, Roster
from serai.aggregation.shares import PRIME, SHARE_BYTES, Random, combine, split
from serai.aggregation.statements import Deal, RoundRecover
from serai.errors import Unverified
from serai.kernel.ids import Digest, MemberId, digest_of

MAX_DEALT: Final = 128  # of more participants, the digests of a row would no longer fit into a log entry
_DIGEST_BYTES: Final = 32
_TAG_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_AES_BLOCK: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one recipient finds in a deal.

    Attributes:
        rows: digest of each row, row 0 first, 32 bytes each.
        seeds: digest of each seed, in the participants' order.
        shares: this recipient's share of each seed, by the partner it is shared
            with; under the dealer's own name that of its self seed.

    """

    rows: bytes
    seeds: bytes
    shares: Mapping[MemberId, bytes] = field(repr=False)

    @property
    def row(self) -> bytes:
        """Digest of each share, in the participants' order."""
        return _digests([self.shares[member] for member in sorted(self.shares)])


def deal(roster: Roster, agreement: KeyAgreement, self_seed: bytes, draw: tuple[int, bytes]) -> tuple[Deal, bytes]:
    """What a participant says of its deal, and the blob that goes with it.

    Args:
        roster: the round, as seen by the dealer.
        agreement: the dealer's private X25519 key.
        self_seed: of its upload.
        draw: the threshold, and 32 random bytes that draw this deal's polynomials and nonces and nothing else.

    """
    threshold, seed = draw
    names = sorted(roster.keys)
    others = [name for name in names if name != roster.me]
    seeds = roster.pair_seeds(agreement, others) | {roster.me: self_seed}
    random = _stream(seed)
    columns = [split(seeds[name], threshold, len(names), random) for name in names]
    table = [[seeds[name] for name in names], *([column[x] for column in columns] for x in range(len(names)))]
    rows = b"".join(hashlib.sha256(_digests(row)).digest() for row in table)
    parts = [rows, _digests(table[0])]
    for x, name in enumerate(names, 1):
        if name != roster.me:
            key = _row_key(agreement.exchange(roster.keys[name]), roster.salt, roster.me, name)
            nonce = random(_NONCE_BYTES)
            parts.append(nonce + AESGCM(key).encrypt(nonce, b"".join(table[x]), None))
    blob = b"".join(parts)
    said = Deal(
        threshold=threshold,
        seed=digest_of(self_seed),
        rows=digest_of(rows),
        blob=digest_of(blob),
        size_bytes=len(blob),
    )
    return said, blob


def deal_bytes(participants: int) -> int:
    """The size of a deal's blob."""
    return (2 * participants + 1) * _DIGEST_BYTES + (participants - 1) * _row_bytes(participants)


def open_row(roster: Roster, agreement: KeyAgreement, dealer: MemberId, said: Deal, blob: bytes) -> Row:
    """The shares that ``dealer`` dealt to ``roster.me``.

    Raises:
        Unverified: the blob is not the one in the log, or the dealer did not deal as it committed to.

    """
    names = sorted(roster.keys)
    count = len(names)
    if len(blob) != deal_bytes(count) or digest_of(blob) != said.blob:
        raise Unverified("deal-blob", f"the center's copy of {dealer}'s deal is not what {dealer} signed")
    split_at = (count + 1) * _DIGEST_BYTES
    rows, seeds = blob[:split_at], blob[split_at : split_at + count * _DIGEST_BYTES]
    place = [name for name in names if name != dealer].index(roster.me)
    start = split_at + len(seeds) + place * _row_bytes(count)
    key = _row_key(agreement.exchange(roster.keys[dealer]), roster.salt, dealer, roster.me)
    sealed = blob[start : start + _row_bytes(count)]
    try:
        plain = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    except InvalidTag:
        raise _badly_dealt(dealer, roster.me) from None
    cells = [plain[at : at + SHARE_BYTES] for at in range(0, len(plain), SHARE_BYTES)]
    row = Row(rows=rows, seeds=seeds, shares=dict(zip(names, cells, strict=True)))
    if find_fault(said, names, roster.me, _say_all(row, dealer)):
        raise _badly_dealt(dealer, roster.me)
    return row


def find_fault(said: Deal, participants: Sequence[MemberId], giver: MemberId, body: RoundRecover) -> str | None:
    """What is wrong with the shares in a ``round.recover``; None if its sayer was dealt exactly these.

    Args:
        said: the lost member's deal.
        participants: of the round, in ascending order.
        giver: who says it.
        body: what it says.

    """
    count = len(participants)
    if len(body.rows) != (count + 1) * _DIGEST_BYTES or digest_of(body.rows) != said.rows:
        return f"the digests of the rows are not those that {body.member} committed to"
    if len(body.seeds) != count * _DIGEST_BYTES or not _is_row(body.rows, 0, body.seeds):
        return f"the digests of the seeds are not those that {body.member} committed to"
    if _cell(body.seeds, participants.index(body.member)) != said.seed:
        return f"{body.member} committed to two self seeds"
    if len(body.row) != count * _DIGEST_BYTES or not _is_row(body.rows, participants.index(giver) + 1, body.row):
        return f"the digests of the shares are not those that {body.member} dealt to {giver}"
    for partner, share in body.shares.items():
        if len(share) != SHARE_BYTES or _cell(body.row, participants.index(partner)) != digest_of(share):
            return f"the share for {partner} is not the one that {body.member} dealt to {giver}"
        if int.from_bytes(share) >= PRIME:
            return f"the share for {partner} that {body.member} dealt to {giver} is no element of the field"
    return None


def recover_release(
    said: Deal, participants: Sequence[MemberId], given: Mapping[MemberId, RoundRecover]
) -> Release | None:
    """What a lost member would have released, from the shares that others gave; None while it does not come out.

    It does not come out before the threshold, nor from a deal whose shares lie on no
    common polynomial; each share was found by ``find_fault`` to be as dealt.

    Args:
        said: the lost member's deal.
        participants: of the round, in ascending order.
        given: what was said of that member, by giver.

    """
    if len(given) < said.threshold:
        return None
    givers = sorted(given)[: said.threshold]
    any_one = given[givers[0]]
    found: dict[MemberId, bytes] = {}
    for partner in sorted(any_one.shares):
        value = combine({participants.index(giver) + 1: given[giver].shares[partner] for giver in givers})
        seed = value.to_bytes(SHARE_BYTES)[1:]
        if value >> 8 * SEED_BYTES or digest_of(seed) != _cell(any_one.seeds, participants.index(partner)):
            return None
        found[partner] = seed
    return Release(found.pop(any_one.member), found)


def _say_all(row: Row, dealer: MemberId) -> RoundRecover:
    """A whole row as a statement, which is checked here and never said."""
    return RoundRecover(close=Digest(""), member=dealer, rows=row.rows, seeds=row.seeds, row=row.row, shares=row.shares)


def _row_key(shared: bytes, salt: bytes, dealer: MemberId, recipient: MemberId) -> bytes:
    """Encrypts what ``dealer`` deals to ``recipient`` in one round (HKDF-SHA256, RFC 5869)."""
    info = f"serai/secagg/v1 deal {dealer} {recipient}".encode()
    return HKDF(hashes.SHA256(), SEED_BYTES, salt, info).derive(shared)


def _stream(seed: bytes) -> Random:
    """Randomness from a seed, the same each time: AES-256 in counter mode."""
    cipher = Cipher(algorithms.AES(seed), modes.CTR(bytes(_AES_BLOCK))).encryptor()
    return lambda count: cipher.update(bytes(count))


def _row_bytes(participants: int) -> int:
    return _NONCE_BYTES + participants * SHARE_BYTES + _TAG_BYTES


def _digests(cells: Sequence[bytes]) -> bytes:
    return b"".join(hashlib.sha256(cell).digest() for cell in cells)


def _cell(digests: bytes, place: int) -> Digest:
    return Digest(digests[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES].hex())


def _is_row(rows: bytes, x: int, digests: bytes) -> bool:
    return _cell(rows, x) == digest_of(digests)


def _badly_dealt(dealer: MemberId, recipient: MemberId) -> Unverified:
    return Unverified("deal-wrong", f"{dealer} dealt {recipient} other shares than it committed to; they are of no use")
