"""Every fact that a zone gathers about a job before its guard decides."""

from collections.abc import Iterable
from dataclasses import dataclass

from serai.charter.agreements import AgreementText, Life, Term
from serai.charter.state import CharterState, in_good_standing, life_of, parties_of
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.zones.facts import JobFacts
from serai.zones.policy import (
    LEGAL_PROFILE,
    ZONE_POLICY,
    Policy,
    agreement_source,
    grant_source,
    offer_source,
)
from serai.zones.state import GrantRecord, OfferRecord, ZonesState, find_grant


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """What the zone knows about the log itself.

    Attributes:
        pinned_genesis: digest of the charter that this zone's people checked by hand.
        replayed_genesis: digest of the charter that the replay found; None before all founders signed.
        cosigners: distinct members with valid cosignatures on the newest witnessed checkpoint.
        quorum: distinct members needed.
        witnessed_size: entries under that checkpoint.
        accepted_size: entries under the largest checkpoint this zone ever accepted.
        consistent: whether the witnessed tree was proved to contain the accepted one.
        replayed_size: entries that the replay has seen.
        newest_witness_ms: median member timestamp of the witnessed checkpoint, Unix ms.
        now_ms: this zone's own clock, Unix ms.
        max_age_ms: how old the newest witness time may be.
        halt: why the zone halted, such as fork evidence it holds; None when it did not.

    """

    pinned_genesis: Digest
    replayed_genesis: Digest | None
    cosigners: int
    quorum: int
    witnessed_size: int
    accepted_size: int
    consistent: bool
    replayed_size: int
    newest_witness_ms: int | None
    now_ms: int
    max_age_ms: int
    halt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What the zone knows about the statement that asks for the job.

    Attributes:
        id: the statement's id; for a run, the run's id.
        member: whose key signed it.
        signature_holds: whether the signature was verified.
        key_valid: whether that key held a role that may say this, at that index.
        index: its place in the log; None when no inclusion was shown.
        seen: whether this zone answered the same request before.

    """

    id: Digest
    member: MemberId
    signature_holds: bool
    key_valid: bool
    index: int | None
    seen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementFacts:
    """What the replay says about the cited agreement, now.

    Attributes:
        id: the agreement's id, as the request cites it.
        life: where it stands; unknown when the log has no such agreement.
        scope: actions it permits.
        parties: members bound by it.
        in_good_standing: members who are not suspended, expelled or withdrawn.

    """

    id: Digest
    life: Life
    scope: tuple[str, ...]
    parties: frozenset[MemberId]
    in_good_standing: frozenset[MemberId]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """The dataset a job would read.

    Attributes:
        offer: the offer that the run names for this member; None when the log has no such open offer.
        grant: the grant that joins the offer to the agreement now; None when there is none.

    """

    offer: OfferRecord | None
    grant: GrantRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestFacts:
    """One thing named by digest, and what lies on this zone's disk.

    Attributes:
        what: ``model``, ``code``, ``dataset``.
        expected: the digest that was agreed.
        found: the digest of what is here; None when nothing is.

    """

    what: str
    expected: Digest
    found: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFacts:
    """What the zone knows about the program of a job, beside its digest.

    Attributes:
        is_foreign: whether it does not come with serai.
        approved_at: the log entry in which this zone's own steward approved it by its
            digest; None when no steward did.
        obstacle: why the zone's own settings do not let it run, such as a missing sandbox; None when they do.

    """

    is_foreign: bool = False
    approved_at: int | None = None
    obstacle: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One allowance in this zone's own ledger.

    Attributes:
        name: what is counted, with its unit, such as ``cpu_s`` or ``rounds``.
        limit: how much there is in all.
        spent: how much is spent or reserved by other jobs.
        requested: how much this job may take at most.
        source: the clause that sets the limit, as a refusal cites it; empty for the zone's own.

    """

    name: str
    limit: int
    spent: int
    requested: int
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Everything that a zone knows when a job asks to run.

    Attributes:
        member: the zone's own member.
        at: log time of the decision.
        log: about the log.
        request: about the statement that asks.
        agreement: about the agreement it cites.
        data: about the dataset; None only for a job that is handed no dataset.
        digests: what must lie on disk, as agreed; at least the code.
        policies: the effective policy, from every source that applies.
        facts: about the job.
        budgets: allowances that the job would use.
        kill_switch: why this zone's operator said stop; None when nobody did.
        frozen: what the job touches that this zone has frozen, a sentence each.
        program: about the program.

    """

    member: MemberId
    at: Instant
    log: LogFacts
    request: RequestFacts
    agreement: AgreementFacts
    data: DataFacts | None
    digests: tuple[DigestFacts, ...]
    policies: tuple[Policy, ...]
    facts: JobFacts
    budgets: tuple[Budget, ...]
    kill_switch: str | None
    program: ProgramFacts = ProgramFacts()
    frozen: tuple[str, ...] = ()


def agreement_facts(
    charter: CharterState, agreement: Digest, members: Iterable[MemberId], at: Instant
) -> AgreementFacts:
    """What the replay says about an agreement, and about the members that a job concerns.

    Args:
        charter: the replayed charter.
        agreement: the agreement's id.
        members: requester, own member and participants.
        at: log time of the decision.

    """
    found = charter.agreements.get(agreement)
    return AgreementFacts(
        id=agreement,
        life=life_of(charter, agreement, at),
        scope=() if found is None else found.text.scope,
        parties=parties_of(charter, agreement, at),
        in_good_standing=frozenset(member for member in members if in_good_standing(charter, member, at)),
    )


def data_facts(zones: ZonesState, offer: Digest, agreement: Digest, at: Instant) -> DataFacts:
    """The offer that a run names, and the grant that joins it to the agreement now."""
    return DataFacts(offer=zones.offers.get(offer), grant=find_grant(zones, offer, agreement, at))


def effective_policies(
    text: tuple[Digest, AgreementText],
    data: DataFacts | None,
    zone_terms: tuple[Term, ...],
    legal_terms: tuple[Term, ...],
) -> tuple[Policy, ...]:
    """Every policy that a job must satisfy, each under the source that refusals cite.

    Args:
        text: the agreement's id and text.
        data: the dataset's offer and grant; None for a job without a dataset.
        zone_terms: this zone's own policy.
        legal_terms: the legal profile that this zone's counsel filled in.

    """
    agreement, terms = text[0], text[1].terms
    policies = [Policy(source=agreement_source(agreement), terms=terms)]
    if data is not None and data.offer is not None:
        policies.append(Policy(source=offer_source(data.offer.id), terms=data.offer.body.terms))
    if data is not None and data.grant is not None:
        policies.append(Policy(source=grant_source(data.grant.id), terms=data.grant.body.terms))
    policies.append(Policy(source=ZONE_POLICY, terms=zone_terms))
    policies.append(Policy(source=LEGAL_PROFILE, terms=legal_terms))
    return tuple(policies)
