"""The resilient profile at one member: deal the seeds with an upload, release for a member that is lost.

Theory of operation
-------------------
What a zone shows of a lost member is a share of the release that this member
owes, for the one close of the round. The log's rules ask for that; the zone asks
again, of its own journal, because a log may lie. It shows shares only for the
close that it released for itself, and it releases for one close only. So even if
it is shown another close later, under a quorum of liars and after the loss of
its mirror, it never gives both a pair seed with a member and a share of that
member's self seed.
"""

from collections.abc import Mapping

from serai.agent.rounds import key_name, roster_of
from serai.agent.zone import Zone
from serai.aggregation.dealing import Row, deal, open_row
from serai.aggregation.job import Job
from serai.aggregation.state import Round
from serai.aggregation.statements import Deal, RoundRecover
from serai.errors import Conflict, Missing, Unverified
from serai.kernel.ids import Digest, MemberId, digest_of


def send_deal(zone: Zone, job: Job, this: Round) -> Deal | None:
    """Bring this member's seeds in shares to the center; what its upload says of them, None in the plain profile.

    Raises:
        Unavailable: the center does not answer.

    """
    if not job.threshold:
        return None
    roster = roster_of(zone, job, this)
    draw = zone.journal.seed(deal_topic(this, job.keys), lambda: zone.random(32))
    self_seed = zone.journal.seed(this.id, lambda: zone.random(32))
    said, blob = deal(roster, zone.keys.agreement(key_name(job.run)), self_seed, (job.threshold, draw))
    zone.center.put_blob(said.blob, blob)
    return said


def deal_topic(this: Round, keys: Mapping[MemberId, bytes]) -> Digest:
    """Under which topic a round's deal is drawn: for these keys, among which are the participants'.

    Were the zone shown others, shares on the same polynomials would tell the seeds apart.
    """
    named = (keys[member] for member in sorted(this.body.participants))
    return digest_of(b"".join([b"deal", bytes.fromhex(this.salt), *named]))


def recover_all(zone: Zone, job: Job, this: Round, lost: frozenset[MemberId]) -> None:
    """Show this member's shares of the release of each lost member; one bad deal does not stop the others.

    Raises:
        Conflict: this zone has not released for this close.
        Missing: the center does not have a deal.
        Unverified: a deal is not what its member committed to.
        Unavailable: the center does not answer.

    """
    troubles: list[Missing | Unverified] = []
    for member in sorted(lost):
        if zone.member in this.shares.get(member, ()):
            continue
        try:
            recover(zone, job, this, member)
        except (Missing, Unverified) as error:
            troubles.append(error)
    if troubles:
        raise troubles[0]


def recover(zone: Zone, job: Job, this: Round, member: MemberId) -> None:
    """Show this member's shares of what ``member``'s release would say.

    Raises:
        Conflict: this zone has not released for this close.
        Missing: the center does not have the deal.
        Unverified: the deal is not what its member committed to.
        Unavailable: the center does not answer.

    """
    assert this.closed is not None
    close = this.closed.id
    if zone.journal.decision(f"release {this.id}") != close or member in this.missing:
        raise Conflict(
            "recover-otherwise",
            f"expected a member in the sum of the close that this zone released for, got {member} and {close[:12]}; "
            "its shares beside this zone's release could unmask it",
        )
    zone.say_once(f"recover {this.id} {member}", close, lambda: _recovery(zone, job, this, member, close))


def _recovery(zone: Zone, job: Job, this: Round, member: MemberId, close: Digest) -> RoundRecover:
    row = _read_row(zone, job, this, member)
    shares = {name: row.shares[name] for name in sorted(this.missing | {member})}
    return RoundRecover(close=close, member=member, rows=row.rows, seeds=row.seeds, row=row.row, shares=shares)


def _read_row(zone: Zone, job: Job, this: Round, member: MemberId) -> Row:
    said = this.uploads[member].body.deal
    if said is None:
        raise Unverified("deal-blob", f"{member} dealt no shares with its upload")
    blob = zone.center.read_blob(said.blob, 0, said.size_bytes)
    return open_row(roster_of(zone, job, this), zone.keys.agreement(key_name(job.run)), member, said, blob)
