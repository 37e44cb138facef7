"""Policies as a steward reads and tests them: where each term stands, and what example jobs would meet."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from serai.agent.legal import read_profile
from serai.agent.session import Session
from serai.agent.settings import SETTINGS_FILE, ZoneSettings
from serai.agent.toml_files import find_lines, read_text
from serai.agent.vault import Vault
from serai.charter.agreements import AgreementText, Term
from serai.cli.example_jobs import Answer, Job, merge
from serai.cli.moments import unix_ms
from serai.cli.proposals import read_proposal
from serai.client.find import find_id
from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import MemberId
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied
from serai.zones.facts import Change, JobFacts
from serai.zones.forms import parse_dp
from serai.zones.policy import (
    LEGAL_PROFILE,
    ZONE_POLICY,
    CompiledPolicies,
    Policy,
    agreement_source,
    compile_policies,
    grant_source,
    offer_source,
)
from serai.zones.state import find_grant
from serai.zones.terms import article_of, judge_form
from serai.zones.transfers import Instrument, find_jurisdictions, find_transfers


@dataclass(frozen=True, slots=True)
class Source:
    """A policy and where people find it.

    Attributes:
        policy: as refusals cite it.
        files: the files it was read from; none for one in the log.
        texts: the words of its clauses, by id, where the clause of a term is not its own words.

    """

    policy: Policy
    files: tuple[Path, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Each term that no zone could enforce: file and lines, what was expected, what came."""
        for term in self.policy.terms:
            bent = judge_form(term, self.policy.source)
            if isinstance(bent, Denied):
                yield f"{self._place(term)}: {bent.reason}"

    def _place(self, term: Term) -> str:
        for file in self.files:
            if lines := find_lines(read_text(file, "it was here just now"), term.name):
                return f"{file}, line {' or '.join(map(str, lines))}"
        return ", ".join([article_of(self.policy.source, term), *map(str, self.files)])


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Everything that a job of a zone, or under some files, must satisfy, and what is known besides.

    Attributes:
        sources: the policies.
        jurisdiction: the zone's own.
        places: jurisdictions of members.
        instruments: for sending outputs abroad.
        known: facts that the zone's settings and data give.

    """

    sources: tuple[Source, ...]
    jurisdiction: str | None = None
    places: Mapping[MemberId, str] = field(default_factory=dict)
    instruments: tuple[Instrument, ...] = ()
    known: Job = field(default_factory=Job)

    @property
    def policies(self) -> CompiledPolicies:
        """All policies, merged and read."""
        return compile_policies(source.policy for source in self.sources)

    def clause(self, article: str) -> str:
        """The words of a clause that a refusal cites; empty where the article has them itself."""
        for source in self.sources:
            for id_, text in source.texts.items():
                if article == f"{source.policy.source}, clause {id_}":
                    return text
        return ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an example job.

    Attributes:
        job: as the file has it.
        denials: every reason against it.
        failure: in what it is not as expected; empty if it is, or if nothing was.

    """

    job: Job
    denials: tuple[Denied, ...]
    failure: str

    @property
    def answer(self) -> Answer:
        """What the policy says."""
        return Answer.DENY if self.denials else Answer.ALLOW


def from_files(paths: Iterable[Path]) -> Rulebook:
    """The policies of files: profiles, and agreements as they are proposed.

    Raises:
        Misconfigured, Malformed, Missing: a file is not there, or is neither.

    """
    sources: list[Source] = []
    places: dict[MemberId, str] = {}
    instruments: list[Instrument] = []
    for path in paths:
        if path.suffix == ".md":
            sources.append(_agreement(f"agreement {path.name}", _text_of(path), (path,)))
            continue
        profile = read_profile(path)
        sources.append(Source(Policy(source=path.name, terms=profile.limits), (path,)))
        places.update({MemberId(name): place for name, place in profile.members.items()})
        instruments += [note.instrument for note in profile.instruments]
    return Rulebook(tuple(sources), None, places, tuple(instruments))


def from_zone(settings: ZoneSettings, dataset: str | None) -> Rulebook:
    """The policies of a zone's own files: its policy, its legal profile, and what a dataset is offered for.

    Raises:
        Missing, Misconfigured, Malformed: the zone has no such dataset, or it cannot be read.

    """
    files = (settings.home / SETTINGS_FILE, *settings.profiles)
    sources = [
        Source(Policy(source=ZONE_POLICY, terms=settings.policy), files),
        Source(Policy(source=LEGAL_PROFILE, terms=settings.legal), files),
    ]
    known = Job(
        jurisdiction=settings.jurisdiction,
        retention_days=settings.retention_days,
        secure_sum=True,
        has_airlock=True,
    )
    if dataset is not None:
        vault = Vault(settings)
        terms = vault.settings_of(dataset).terms
        sources.append(Source(Policy(source=f"offer of {dataset}", terms=terms), files))
        known = replace(known, rows=vault.rows(dataset), subjects=vault.subjects(dataset))
    return Rulebook(tuple(sources), settings.jurisdiction, settings.places, settings.instruments, known)


def from_log(session: Session, prefix: str) -> tuple[Source, ...]:
    """An agreement in the log, and the member's own grants to it with their offers.

    Raises:
        Missing, Conflict: no agreement, or several, are called so.
        Unavailable: the center does not answer.

    """
    state = session.state()
    agreement = find_id(state.charter.agreements, prefix, "agreement")
    sources = [_agreement(agreement_source(agreement), state.charter.agreements[agreement].text, ())]
    for offer in state.zones.offers.values():
        grant = find_grant(state.zones, offer.id, agreement, state.now)
        if offer.member == session.settings.member and grant is not None:
            sources.append(Source(Policy(source=offer_source(offer.id), terms=offer.body.terms)))
            sources.append(Source(Policy(source=grant_source(grant.id), terms=grant.body.terms)))
    return tuple(sources)


def joined(first: Rulebook, second: Rulebook) -> Rulebook:
    """Both, as one; what the first knows goes before what the second does."""
    return Rulebook(
        (*first.sources, *second.sources),
        first.jurisdiction or second.jurisdiction,
        {**second.places, **first.places},
        (*first.instruments, *second.instruments),
        merge(second.known, first.known),
    )


def judge(rulebook: Rulebook, jobs: Iterable[Job]) -> Iterator[Outcome]:
    """What the policies say to each job, and whether that was expected."""
    policies = rulebook.policies
    for job in jobs:
        facts, at = _facts(rulebook, merge(rulebook.known, job))
        denials = policies.judge(facts, at)
        yield Outcome(job, denials, _failure(job, denials))


def _failure(job: Job, denials: tuple[Denied, ...]) -> str:
    answer = Answer.DENY if denials else Answer.ALLOW
    if job.expect is not None and job.expect is not answer:
        return f"expected {job.expect}"
    lacking = [name for name in job.because if not any(denied.reason.startswith(f"{name}: ") for denied in denials)]
    return f"expected {lacking[0]} among the reasons" if lacking else ""


def _facts(rulebook: Rulebook, job: Job) -> tuple[JobFacts, Instant]:
    at = Instant(0, 0 if job.at is None else unix_ms(datetime.fromisoformat(job.at)))
    recipients = job.recipients if job.recipients is not None else job.parties
    home = job.jurisdiction or rulebook.jurisdiction
    jurisdictions = None if recipients is None else find_jurisdictions(recipients, rulebook.places)
    transfers = None if home is None else find_transfers(jurisdictions, home, rulebook.instruments, at)
    facts = JobFacts(
        action=job.action,
        purpose=job.purpose,
        code=job.code,
        rows=job.rows,
        cohort=job.rows if job.cohort is None else job.cohort,
        outputs=job.outputs,
        participants=None if job.participants is None else frozenset(job.participants),
        minimum=job.minimum,
        recipients=recipients,
        approvals=job.approvals,
        jurisdiction=home,
        secure_sum=job.secure_sum,
        parties=None if job.parties is None else frozenset(job.parties),
        recipient_jurisdictions=jurisdictions,
        transfers=transfers,
        retention_days=job.retention_days,
        uses=job.uses,
        privacy=None if job.dp is None else parse_dp(job.dp),
        subjects=job.subjects,
        worked_s=job.worked_s,
        release_approvals=job.release_approvals,
        changes=_changes(job),
        advantage_millionths=None if job.advantage_permille is None else 1_000 * job.advantage_permille,
        has_airlock=job.has_airlock,
    )
    return facts, at


def _changes(job: Job) -> tuple[Change, ...] | None:
    told, member = job.changes_permille, min(job.participants or (MemberId("somebody"),))
    return None if told is None else tuple(Change(metric, member, 1_000 * by) for metric, by in sorted(told.items()))


def _agreement(source: str, text: AgreementText, files: tuple[Path, ...]) -> Source:
    return Source(Policy(source=source, terms=text.terms), files, {clause.id: clause.text for clause in text.clauses})


def _text_of(path: Path) -> AgreementText:
    proposal = read_proposal(path)
    if proposal.agreement is None:
        raise Malformed("policy-file", f"{path} proposes no agreement; name a profile (.toml) or an agreement (.md)")
    return proposal.agreement


def check_sources(rulebook: Rulebook) -> None:
    """Refuse a rulebook without a policy.

    Raises:
        Misconfigured: as above.

    """
    if not rulebook.sources:
        raise Misconfigured("policy-source", "whose policy? name files, or give --home with a zone's folder")
