"""What a zone checks before it runs anything: seventeen steps over facts that the agent gathered.

Theory of operation. An agreement permits; it never compels. The agent gathers
every fact first (from its own mirror of the log, its disk, its settings and its
clock) and hands them over as one ``Admission``; this module alone decides, so
the same facts give the same decision in a test, in a zone and in an audit. All
steps are always taken: the first that fails decides, and the reasons of all are
recorded, so that one look at a refusal shows everything that must change. A
fact that nobody knows is ``None`` and denies at the step that needs it.

====  ===============  ===============================================================
step  name             denies when
====  ===============  ===============================================================
1     genesis          the replayed charter is not the one this zone pinned
2     quorum           too few distinct members cosigned the checkpoint
3     rollback         the log is shorter than, or does not contain, what was accepted
4     freshness        the newest witness time is too old, or lies in the future
5     replay           entries are missing from the replay, a fork is known, or a halt
6     signature        the request's signature or its key's role does not hold
7     inclusion        request, offer or grant are not witnessed yet, or it came before
8     agreement        the cited agreement is not in force now
9     parties          requester, this member or a participant is no party, or suspended
10    scope            the action is not in scope, or no grant covers the data
11    digests          model, code or dataset on disk differ from what was agreed; the
                       program is foreign and not permitted, or cannot be confined
12    policy           a policy is missing, or one of its terms does not hold
13    transfer         residency, cohort, subjects, recipients or transfer basis do not hold
14    budget           the job would overdraw a budget
15    approvals        too few members approved
16    hours            it is not the hour, or an embargo has not ended
17    kill switch      the operator of this zone said stop, or has frozen what the job touches
====  ===============  ===============================================================

The order is that of the trust it builds: nothing read from a log counts before
the log does (1 to 5), nothing said in a request before the request does (6, 7),
and no dataset is looked at for a purpose that nobody agreed on (8 to 13).
Budgets are *reserved* by the agent in one transaction after the decision; step
14 sees what was spent and what is reserved, never what another job may take.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from serai.charter.agreements import Life
from serai.kernel.ids import Digest
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.zones.admission import Admission, Budget, DataFacts, ProgramFacts
from serai.zones.policy import (
    LEGAL_PROFILE,
    ZONE_POLICY,
    Policy,
    agreement_source,
    grant_source,
    judge_policies,
    names_code,
    offer_source,
    select_terms,
)

TRANSFER_TERMS: Final = frozenset(
    {"residency", "min_cohort", "min_subjects", "max_subjects", "recipients", "output_to", "transfer_basis"}
)
APPROVAL_TERMS: Final = frozenset({"approvals"})
HOUR_TERMS: Final = frozenset({"hours", "embargo_until_ms"})


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a job may run, and every reason why not.

    Attributes:
        denials: step and denial, in the order of the steps; empty when allowed.

    """

    denials: tuple[tuple[str, Denied], ...]

    @property
    def allowed(self) -> bool:
        """Whether no step denied."""
        return not self.denials

    @property
    def verdict(self) -> Verdict:
        """What the first failing step said, or granted."""
        return self.denials[0][1] if self.denials else GRANTED


Check: TypeAlias = Callable[[Admission], Iterable[Denied]]


def judge_admission(admission: Admission) -> Decision:
    """Take all steps, in order."""
    return Decision(tuple((name, denied) for name, check in STEPS for denied in check(admission)))


def _genesis(admission: Admission) -> Iterator[Denied]:
    log = admission.log
    if log.replayed_genesis is None:
        yield Denied("guard 1", "the log holds no charter that all founders signed")
    elif log.replayed_genesis != log.pinned_genesis:
        yield Denied(
            "guard 1",
            f"this zone pinned charter {log.pinned_genesis[:12]}, the log has {log.replayed_genesis[:12]}: another log",
        )


def _quorum(admission: Admission) -> Iterator[Denied]:
    log = admission.log
    if log.quorum < 1:
        yield Denied("guard 2", f"expected a quorum of at least one member, got {log.quorum}")
    if log.cosigners < log.quorum:
        yield Denied("guard 2", f"needs cosignatures of {log.quorum} members, the checkpoint has {log.cosigners}")


def _rollback(admission: Admission) -> Iterator[Denied]:
    log = admission.log
    if log.witnessed_size < log.accepted_size:
        yield Denied("guard 3", f"this zone accepted {log.accepted_size} entries, the log shows {log.witnessed_size}")
    elif not log.consistent:
        yield Denied("guard 3", f"the log does not contain the {log.accepted_size} entries this zone accepted")


def _freshness(admission: Admission) -> Iterator[Denied]:
    log = admission.log
    if log.newest_witness_ms is None:
        yield Denied("guard 4", "missing fact: no member's timestamp is known")
        return
    age_ms = log.now_ms - log.newest_witness_ms
    if age_ms > log.max_age_ms:
        yield Denied(
            "guard 4",
            f"the newest witness time is {age_ms} ms old, at most {log.max_age_ms} ms is allowed:"
            " a withdrawal may be kept from this zone",
        )
    elif age_ms < -log.max_age_ms:
        yield Denied("guard 4", f"the newest witness time lies {-age_ms} ms ahead of this zone's clock; set the clock")


def _replay(admission: Admission) -> Iterator[Denied]:
    log = admission.log
    if log.halt is not None:
        yield Denied("guard 5", f"this zone halted: {log.halt}")
    if log.replayed_size < log.witnessed_size:
        yield Denied(
            "guard 5", f"replayed {log.replayed_size} of {log.witnessed_size} witnessed entries; read on first"
        )


def _signature(admission: Admission) -> Iterator[Denied]:
    request = admission.request
    if not request.signature_holds:
        yield Denied("guard 6", f"the signature of request {request.id[:12]} does not hold")
    if not request.key_valid:
        yield Denied("guard 6", f"the key that signed had no role to ask this for {request.member} at that index")


def _inclusion(admission: Admission) -> Iterator[Denied]:
    request, size = admission.request, admission.log.witnessed_size
    if request.index is None:
        yield Denied("guard 7", f"request {request.id[:12]} was not shown to be in the log")
    elif request.index >= size:
        yield Denied("guard 7", f"the request is entry {request.index}, a quorum has witnessed {size}; wait for it")
    if request.seen:
        yield Denied("guard 7", f"this zone answered request {request.id[:12]} before")
    if admission.data is not None:
        # What permits must be witnessed too; what forbids counts as soon as it is seen.
        for record in (admission.data.offer, admission.data.grant):
            if record is not None and record.at.index >= size:
                kind = record.body.KIND
                yield Denied(
                    "guard 7", f"the {kind} is entry {record.at.index}, a quorum has witnessed {size}; wait for it"
                )


def _agreement(admission: Admission) -> Iterator[Denied]:
    agreement = admission.agreement
    if agreement.life is not Life.IN_FORCE:
        yield Denied("guard 8", f"{agreement_source(agreement.id)} is {agreement.life.value}, not in force")


def _parties(admission: Admission) -> Iterator[Denied]:
    agreement, participants = admission.agreement, admission.facts.participants
    if participants is None:
        yield Denied("guard 9", "missing fact: the participants are not known")
        participants = frozenset()
    elif admission.member not in participants:
        yield Denied("guard 9", f"{admission.member} is not among the participants")
    for member in sorted({admission.request.member, admission.member, *participants}):
        if member not in agreement.parties:
            yield Denied("guard 9", f"{member} is not a party of {agreement_source(agreement.id)}")
        elif member not in agreement.in_good_standing:
            yield Denied("guard 9", f"{member} is not in good standing")


def _scope(admission: Admission) -> Iterator[Denied]:
    agreement, action = admission.agreement, admission.facts.action
    if action not in agreement.scope:
        permitted = ", ".join(agreement.scope) or "nothing"
        yield Denied("guard 10", f"{agreement_source(agreement.id)} permits {permitted}, the job would {action}")
    if admission.data is not None:
        yield from _grant(admission, admission.data)


def _grant(admission: Admission, data: DataFacts) -> Iterator[Denied]:
    if data.offer is None:
        yield Denied("guard 10", "the run names no open offer for this member's data")
        return
    if data.offer.member != admission.member:
        yield Denied("guard 10", f"{offer_source(data.offer.id)} is {data.offer.member}'s, not this zone's")
    if data.offer.withdrawn is not None:
        yield Denied("guard 10", f"{offer_source(data.offer.id)} was withdrawn at entry {data.offer.withdrawn.index}")
    if data.grant is None:
        yield Denied("guard 10", f"no grant lets {agreement_source(admission.agreement.id)} use the data")
        return
    if (data.grant.body.offer, data.grant.body.agreement) != (data.offer.id, admission.agreement.id):
        yield Denied("guard 10", f"{grant_source(data.grant.id)} joins another offer or another agreement")
    if data.grant.member != admission.member or data.grant.revoked is not None:
        yield Denied("guard 10", f"{grant_source(data.grant.id)} is not this member's, or was revoked")


def is_foreign_permitted(program: ProgramFacts, policies: Iterable[Policy], code: Digest, witnessed_size: int) -> bool:
    """Whether a ``code`` term, or the own steward's witnessed word, permits a program that does not come with serai."""
    is_approved = program.approved_at is not None and program.approved_at < witnessed_size
    return is_approved or names_code(policies, code)


def _program(admission: Admission) -> Iterator[Denied]:
    program = admission.program
    for code in sorted({item.expected for item in admission.digests if item.what == "code"}):
        permitted = is_foreign_permitted(program, admission.policies, code, admission.log.witnessed_size)
        if program.is_foreign and not permitted:
            yield Denied(
                "guard 11",
                f"the program {code[:12]} does not come with serai: no code term of agreement, offer or grant names it,"
                f" and {admission.member}'s steward has not approved it",
            )
    if program.obstacle is not None:
        yield Denied(ZONE_POLICY, program.obstacle)


def _digests(admission: Admission) -> Iterator[Denied]:
    yield from _program(admission)
    named = {item.what for item in admission.digests}
    needed = {"code"} | ({"dataset"} if admission.data is not None else set())
    for what in sorted(needed - named):
        yield Denied("guard 11", f"missing fact: the digest of the {what} was not compared")
    for item in admission.digests:
        if item.found is None:
            yield Denied("guard 11", f"the {item.what} {item.expected[:12]} is not on this zone's disk")
        elif item.found != item.expected:
            yield Denied("guard 11", f"the {item.what} agreed on is {item.expected[:12]}, on disk is {item.found[:12]}")
    yield from _same_digests(admission)


def _same_digests(admission: Admission) -> Iterator[Denied]:
    # The digest compared with the disk must be the one that the offer and the terms speak of,
    # or a job could be judged by one program's digest and run another.
    data = admission.data
    for item in admission.digests:
        if item.what == "code" and admission.facts.code not in {None, item.expected}:
            yield Denied("guard 11", "the code that terms are judged by is not the code compared with the disk")
        if item.what == "dataset" and data and data.offer and data.offer.body.dataset != item.expected:
            yield Denied("guard 11", "the dataset compared with the disk is not the one that was offered")


def _policy(admission: Admission) -> Iterator[Denied]:
    present = {policy.source for policy in admission.policies}
    for source in _needed_sources(admission):
        if source not in present:
            yield Denied(
                "guard 12", f"missing policy: nothing was said for {source}; state it, even if it has no terms"
            )
    later = TRANSFER_TERMS | APPROVAL_TERMS | HOUR_TERMS
    policies = select_terms(admission.policies, lambda name: name not in later)
    yield from judge_policies(policies, admission.facts, admission.at)


def _needed_sources(admission: Admission) -> Iterator[str]:
    yield agreement_source(admission.agreement.id)
    if admission.data is not None and admission.data.offer is not None:
        yield offer_source(admission.data.offer.id)
    if admission.data is not None and admission.data.grant is not None:
        yield grant_source(admission.data.grant.id)
    yield ZONE_POLICY
    yield LEGAL_PROFILE


def _transfer(admission: Admission) -> Iterator[Denied]:
    policies = select_terms(admission.policies, lambda name: name in TRANSFER_TERMS)
    yield from judge_policies(policies, admission.facts, admission.at)


def _budget(admission: Admission) -> Iterator[Denied]:
    yield from judge_budgets(admission.budgets)


def judge_budgets(budgets: Iterable[Budget]) -> Iterator[Denied]:
    """Every budget that a job would overdraw, under the clause that sets it."""
    for budget in budgets:
        article = budget.source or "guard 14"
        if min(budget.spent, budget.requested) < 0:
            yield Denied(article, f"budget {budget.name}: expected amounts of at least 0; a job cannot refill it")
        elif budget.spent + budget.requested > budget.limit:
            yield Denied(
                article,
                f"budget {budget.name}: {budget.spent} of {budget.limit} are taken, the job asks {budget.requested} more",
            )


def _approvals(admission: Admission) -> Iterator[Denied]:
    policies = select_terms(admission.policies, lambda name: name in APPROVAL_TERMS)
    yield from judge_policies(policies, admission.facts, admission.at)


def _hours(admission: Admission) -> Iterator[Denied]:
    policies = select_terms(admission.policies, lambda name: name in HOUR_TERMS)
    yield from judge_policies(policies, admission.facts, admission.at)


def _kill_switch(admission: Admission) -> Iterator[Denied]:
    if admission.kill_switch is not None:
        yield Denied("guard 17", f"this zone's operator said stop: {admission.kill_switch or 'no reason given'}")
    for reason in admission.frozen:
        yield Denied("guard 17", reason)


STEPS: Final[tuple[tuple[str, Check], ...]] = (
    ("genesis", _genesis),
    ("quorum", _quorum),
    ("rollback", _rollback),
    ("freshness", _freshness),
    ("replay", _replay),
    ("signature", _signature),
    ("inclusion", _inclusion),
    ("agreement", _agreement),
    ("parties", _parties),
    ("scope", _scope),
    ("digests", _digests),
    ("policy", _policy),
    ("transfer", _transfer),
    ("budget", _budget),
    ("approvals", _approvals),
    ("hours", _hours),
    ("kill switch", _kill_switch),
)
"""The steps in order, each with its check."""
