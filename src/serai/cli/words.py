"""Every kind of log entry in plain words: who said what, in one sentence."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from serai.aggregation.statements import RoundClose, RoundOpen, RoundRecover, RoundRelease, RoundResult, RoundUpload
from serai.analytics.calibration import is_bin_count
from serai.analytics.statements import Evaluation
from serai.charter.decision import Choice
from serai.charter.statements import (
    AgreementSign,
    AgreementWithdraw,
    Ballot,
    CharterAdopt,
    KeyRevoke,
    MemberAccede,
    MemberRotate,
    MemberWithdraw,
    OperatorAppoint,
    ProposalOpen,
    ProposalWithdraw,
    RecoveryObject,
)
from serai.cli.output import count, short
from serai.hub.statements import Release
from serai.kernel.keys import key_id
from serai.kernel.statement import Body
from serai.ledger.statements import Clock, Receipt, StateAttest
from serai.programme.statements import (
    PlanAdd,
    PlanDecide,
    PlanObject,
    PlanReport,
    PlanSnapshot,
    ProjectAdvance,
    ProjectBack,
    ProjectBenefit,
    ProjectHold,
    ProjectLift,
    ProjectOpen,
    ReviewCommit,
    ReviewDeclare,
    ReviewOpen,
)
from serai.reports.plots import format_bytes
from serai.training.statements import EVALUATED, Action, RunCancel, RunDecline, RunFreeze, RunJoin, RunPlan, RunThaw
from serai.zones.checks import shown_cost
from serai.zones.statements import Approval, DataDeletion, Grant, GrantRevoke, Offer, OfferWithdraw, PrivacyCharge


def sentence(member: str, body: Body) -> str:
    """Say in one sentence what a member said."""
    words = _WORDS.get(type(body))
    return f"{member} {words(body)}" if words else f"{member} says {body.KIND}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _clock(body: Clock) -> str:
    size = body.checkpoint.split("\n")[1]
    return f"logs the members' time, cosigned at size {size}"


def _proposal(body: ProposalOpen) -> str:
    carried = {
        "the agreement": body.agreement,
        "a change of standing": body.standing,
        "an amendment of the charter": body.charter,
        "a new member": body.accession,
        "a change of an agreement": body.status,
        "new keys for a member": body.recovery,
    }
    effect = next((name for name, value in carried.items() if value is not None), "a question")
    return f"proposes {effect} \N{LEFT DOUBLE QUOTATION MARK}{body.title}\N{RIGHT DOUBLE QUOTATION MARK} under article {body.topic}"


_VOTES: Final[Mapping[Choice, str]] = {
    Choice.YES: "votes yes",
    Choice.NO: "votes no",
    Choice.ABSTAIN: "abstains",
    Choice.OBJECT: "objects",
    Choice.RESERVE: "votes yes with a reservation",
}


def _ballot(body: Ballot) -> str:
    return f"{_VOTES[body.choice]} on proposal {short(body.proposal)}{_because(body.reason)}"


def _rotation(body: MemberRotate) -> str:
    keys = "; ".join(
        f"{role} {' and '.join(short(key_id(public)) for public in publics)}"
        for role, publics in sorted(body.keys.items())
    )
    asked = f", {body.root_threshold} root keys to say the same" if body.root_threshold > 1 else ""
    return f"names keys of version {body.version} for {body.member}: {keys}{asked}"


def _plan(body: RunPlan) -> str:
    if body.action is Action.EVALUATE:
        members, model = count(len(body.offers), "member"), short(body.inputs[EVALUATED])
        return (
            f"asks {members} to evaluate model {model} by recipe {body.recipe}, under agreement {short(body.agreement)}"
        )
    return (
        f"plans the run \N{LEFT DOUBLE QUOTATION MARK}{body.title}\N{RIGHT DOUBLE QUOTATION MARK}: recipe {body.recipe}, "
        f"{count(body.rounds, 'round')}, {count(len(body.offers), 'member')}, under agreement {short(body.agreement)}"
    )


def _decline(body: RunDecline) -> str:
    reasons = "; ".join(f"{reason.article}: {reason.text}" for reason in body.reasons)
    return f"declines run {short(body.plan)}{_because(reasons)}"


def _evaluation(body: Evaluation) -> str:
    shown = {name: value for name, value in sorted(body.counts.items()) if not is_bin_count(name)}
    counts = ", ".join(f"{name} {value}" for name, value in shown.items())
    return f"evaluates model {short(body.model)} on its own rows: {counts}"


_WORDS: Final[Mapping[type, Callable[[Any], str]]] = {
    CharterAdopt: lambda body: f"signs the founding charter of {body.charter.name}",
    ProposalOpen: _proposal,
    ProposalWithdraw: lambda body: f"takes back proposal {short(body.proposal)}",
    Ballot: _ballot,
    AgreementSign: lambda body: f"signs agreement {short(body.agreement)}",
    AgreementWithdraw: lambda body: f"leaves agreement {short(body.agreement)}{_because(body.reason)}",
    MemberAccede: lambda body: f"accedes to the charter by {short(body.accession)}",
    OperatorAppoint: lambda body: (
        f"appoints {body.log_key.partition('+')[0]} at {body.url} to go on with the log from entry {body.size}"
    ),
    MemberWithdraw: lambda body: f"leaves the center{_because(body.reason)}",
    MemberRotate: _rotation,
    KeyRevoke: lambda body: f"revokes key {short(body.key)} from entry {body.from_index} on{_because(body.reason)}",
    RecoveryObject: lambda body: f"objects to the recovery {short(body.proposal)}{_because(body.reason)}",
    Clock: _clock,
    StateAttest: lambda body: f"finds state {short(body.digest)} after the first {body.size} entries",
    Receipt: lambda body: (
        f"handed statement {short(body.statement)} to the center and did not find it among {body.size} entries; "
        f"the center's answer: {body.answered}{_because(body.answer)}"
    ),
    Offer: lambda body: f"offers {body.title}: {count(body.rows, 'row')}, {count(len(body.columns), 'column')}",
    OfferWithdraw: lambda body: f"takes back offer {short(body.offer)}",
    Grant: lambda body: f"grants offer {short(body.offer)} to agreement {short(body.agreement)}",
    GrantRevoke: lambda body: f"takes back grant {short(body.grant)}",
    Approval: lambda body: f"approves {short(body.subject)}{_because(body.comment)}",
    PrivacyCharge: lambda body: f"charges offer {short(body.offer)} {shown_cost(body.cost)} for run {short(body.run)}",
    DataDeletion: lambda body: (
        f"has deleted what run {short(body.run)} derived from offer {short(body.offer)}: {count(body.items, 'item')}"
    ),
    RunPlan: _plan,
    RunJoin: lambda body: f"joins run {short(body.plan)}",
    RunDecline: _decline,
    RunFreeze: lambda body: f"freezes run {short(body.plan)}{_because(body.reason)}",
    RunThaw: lambda body: f"thaws run {short(body.plan)}",
    RunCancel: lambda body: f"cancels run {short(body.plan)}{_because(body.reason)}",
    RoundOpen: lambda body: (
        f"opens round {body.number} of run {short(body.run)} with {count(len(body.participants), 'member')}"
    ),
    RoundUpload: lambda body: f"uploads {format_bytes(body.size_bytes)} under a mask for round {short(body.open)}",
    RoundClose: lambda body: f"closes round {short(body.open)} with {count(len(body.uploads), 'upload')}",
    RoundRelease: lambda body: f"releases its masks for the sum of close {short(body.close)}",
    RoundRecover: lambda body: f"shows its shares of the release of {body.member} for close {short(body.close)}",
    RoundResult: lambda body: f"finds model {short(body.model)} from the sum of close {short(body.close)}",
    Evaluation: _evaluation,
    PlanAdd: lambda body: (
        f"puts {count(len(body.items), 'item')} of the plan on the table: {', '.join(item.number for item in body.items)}"
        f"{_because(body.reason)}"
    ),
    PlanReport: lambda body: f"reports on task {body.task}{', done' if body.done else ''}{_because(body.text)}",
    PlanObject: lambda body: f"objects to {short(body.subject)}{_because(body.reason)}",
    PlanDecide: lambda body: f"shows that proposal {short(body.proposal)} decides for {short(body.subject)}",
    PlanSnapshot: lambda body: f"fixes the figures of {body.year}",
    ProjectOpen: lambda body: f"opens the project {body.title}",
    ProjectBack: lambda body: f"backs project {short(body.project)}",
    ProjectAdvance: lambda body: f"takes project {short(body.project)} to {body.to}{_because(body.note)}",
    ReviewDeclare: lambda body: (
        f"declares {'a conflict' if body.conflict else 'no conflict'} over project {short(body.project)}"
        f"{_because(body.conflict)}"
    ),
    ReviewCommit: lambda body: f"commits to a review of project {short(body.project)}",
    ReviewOpen: lambda body: (
        f"opens its review of project {short(body.project)}, technical {body.technical}, "
        f"scientific {body.scientific}{_because(body.text)}"
    ),
    ProjectHold: lambda body: f"holds project {short(body.project)} for {body.kind}{_because(body.reason)}",
    ProjectLift: lambda body: f"lifts hold {short(body.hold)}{_because(body.reason)}",
    ProjectBenefit: lambda body: f"tells of the use of project {short(body.project)}{_because(body.text)}",
    Release: lambda body: f"releases model {short(body.model)} as {body.title}, licence {body.license}",
}
