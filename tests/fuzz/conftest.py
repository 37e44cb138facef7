"""A true log to bend: of a bloc that agreed, ran, evaluated, and said whatever else can be said."""

import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest

from serai.aggregation.state import final_model
from serai.aggregation.statements import RoundRecover
from serai.charter.decision import Choice
from serai.charter.members import MemberRecord, StandingAction
from serai.charter.statements import (
    AgreementWithdraw,
    Ballot,
    KeyRevoke,
    MemberAccede,
    MemberRotate,
    MemberWithdraw,
    OperatorAppoint,
    ProposalOpen,
    ProposalWithdraw,
    RecoveryObject,
    StandingChange,
)
from serai.hub.statements import Release
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import LogSigner
from serai.ledger.statements import Answered, Receipt, StateAttest
from serai.programme.items import Item, Kind
from serai.programme.projects import commitment_of
from serai.programme.stages import LIFE
from serai.programme.statements import (
    Document,
    HoldKind,
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
from serai.state import Jobs, State, advance
from serai.testing.federation import ROLES, Federation
from serai.training.statements import Pace, Reason, RunCancel, RunDecline, RunFreeze, RunThaw
from serai.zones.facts import PrivacyCost, Unit
from serai.zones.statements import Approval, DataDeletion, GrantRevoke, OfferWithdraw, PrivacyCharge

MEMORY = Path("/dev/shm")
ZONE_KEY = bytes(range(32))
ROWS = [[float(i % 7), float(i * i % 5), float(i % 2)] for i in range(24)]


@dataclass(frozen=True)
class Log:
    """Entries, the state before each, and keys of every role."""

    entries: list[bytes]
    states: list[State]
    signers: list
    charter: object
    note: str
    witnessed: str
    folder: Path


def _speak(bloc):
    agreement = bloc.agree()
    run = bloc.train(agreement, "newton", 1, {"features": "2"})
    params = {"features": "2", "hidden": "2", "steps": "2", "rounds": "1"}
    paced = replace(bloc.plan(agreement, "mlp", 1, params), pace=Pace(exchange_permille=500, least=2, most=9))
    bloc.say("bern", paced)
    bloc.settle()
    _set_out(bloc)
    bloc.train(agreement, "newton", 2, {"features": "2"})
    for _ in range(3):
        bloc.step()
    declined = bloc.train(agreement, "moments", 1, {"features": "2"})
    bloc.say("oslo", RunDecline(plan=declined, reasons=(Reason(article="guard 16", text="no"),)), Role.ZONE)
    text = bloc.state.charter.agreements[agreement].text
    record = MemberRecord(
        id="riga", name="Riga", keys={role: (digest_of(role.encode())[:32].encode(),) for role in ROLES}
    )
    for effect in (
        {"topic": "agreement", "agreement": text},
        {"topic": "standing", "standing": StandingChange(member="oslo", action=StandingAction.SUSPEND)},
        {"topic": "accession", "accession": record},
        {"topic": "operations"},
    ):
        concerned = ("oslo",) if effect["topic"] == "standing" else ()
        proposal = bloc.say("bern", ProposalOpen(title="?", text="?", concerned=concerned, **effect))
        bloc.say("lima", Ballot(proposal=proposal, choice=Choice.RESERVE, reason="but"))
    bloc.say("bern", ProposalWithdraw(proposal=proposal))
    bloc.say("bern", _release(bloc, run))
    bloc.say("lima", Approval(subject=run, comment=""), Role.STEWARD)
    grant = next(grant for grant in bloc.state.zones.grants.values() if grant.member == "lima")
    bloc.say("lima", GrantRevoke(grant=grant.id), Role.STEWARD)
    bloc.say("lima", OfferWithdraw(offer=grant.body.offer), Role.STEWARD)
    bloc.say("lima", RunFreeze(plan=run, reason="a doubt"))
    bloc.say("lima", RunThaw(plan=run))
    bloc.say("lima", RunCancel(plan=run, reason="done"))
    bloc.say("lima", AgreementWithdraw(agreement=agreement))
    bloc.say("lima", MemberWithdraw(reason="bye"), Role.ROOT)
    oslo = bloc.state.charter.members["oslo"]
    bloc.say("oslo", MemberRotate(member="oslo", version=2, keys={**oslo.keys, "zone": (ZONE_KEY,)}), Role.ROOT)
    bloc.say("oslo", KeyRevoke(key=key_id(ZONE_KEY), from_index=bloc.state.size, reason="lost"), Role.ROOT)
    objection = RecoveryObject(proposal=proposal, reason="no")
    bloc.center.submit(sign_body(objection, bloc.signer("oslo", Role.ROOT)))
    # Void, for nobody was invited, lost or charged; forms to bend nevertheless.
    bloc.center.submit(sign_body(MemberAccede(accession=proposal), bloc.signer("oslo", Role.ROOT)))
    recover = RoundRecover(close=run, member="bern", rows=b"r", seeds=b"s", row=b"w", shares={"bern": b"x"})
    cost = PrivacyCost(unit=Unit.RECORD, epsilon_millionths=1, delta_trillionths=1)
    charge = PrivacyCharge(offer=grant.body.offer, run=run, cost=cost)
    deleted = DataDeletion(offer=grant.body.offer, run=run, kept_days=30, items=4)
    receipt = Receipt(
        statement=run, handed_ms=0, seen_ms=60_000, size=1, answered=Answered.REFUSED, code="c", answer="a"
    )
    for body in (recover, charge, deleted, StateAttest(size=1024, digest=run), receipt):
        bloc.center.submit(sign_body(body, bloc.signer("bern", Role.ZONE)))
    root = bloc.state.frontier.root().hex()
    key = LogSigner("center.example/next", bloc.signer("lima", Role.ROOT))  # one that somebody has, so void as well
    bloc.center.submit(
        sign_body(
            OperatorAppoint(
                log_key=key.key.encode(), operator=key.signer.public, url="http://x", size=bloc.state.size, root=root
            ),
            bloc.signer("bern", Role.DELEGATE),
        )
    )


def _set_out(bloc):
    """What can be said of the programme; what is not due yet is void, and a form to bend nevertheless."""
    draft = bloc.say("bern", PlanAdd(items=(Item(number="1", kind=Kind.GOAL, title="Hearts"),)))
    bloc.say("lima", PlanObject(subject=draft, reason="no"))
    project = bloc.say("bern", ProjectOpen(title="Hearts", need="Few rows.", language="en"))
    bloc.say("lima", ProjectBack(project=project))
    for way in LIFE[:3]:
        documents = tuple(Document(kind=kind, digest=project, language="en") for kind in way.documents)
        bloc.say("bern", ProjectAdvance(project=project, to=way.to, documents=documents))
    review = ReviewOpen(project=project, technical=1, scientific=2, text="so", salt=bytes(32))
    for member in ("lima", "oslo"):
        bloc.say(member, ReviewDeclare(project=project))
        bloc.say(member, ReviewCommit(project=project, commitment=commitment_of(review, member)))
    bloc.say("lima", review)
    hold = bloc.say("oslo", ProjectHold(project=project, kind=HoldKind.INCIDENT, reason="leak"), Role.ZONE)
    bloc.say("oslo", ProjectLift(project=project, hold=hold, reason="none"))
    for body in (
        PlanReport(task="1.1.1", text="done", evidence=(project,), done=True),
        PlanDecide(subject=draft, proposal=project),
        PlanSnapshot(year=2026, values={"members": Fraction(3, 2)}),
        ProjectBenefit(project=project, text="much", evidence=(project,)),
    ):
        bloc.center.submit(sign_body(body, bloc.signer("bern", Role.DELEGATE)))


def _release(bloc, run):
    state = bloc.state
    model = final_model(state.rounds, Jobs(state, state.now)[run])
    return Release(
        run=run,
        model=model,
        size_bytes=bloc.center_parts.blobs.size(model),
        format="safetensors",
        title="A model",
        card=model,
        license="Apache-2.0",
        evaluations=tuple(state.analytics.by_model[run, model].values()),
    )


@pytest.fixture(scope="session")
def log():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        bloc = Federation(Path(home), dict.fromkeys(("bern", "lima", "oslo"), ROWS))
        bloc.found()
        _speak(bloc)
        states = [State()]
        for entry in bloc.entries:
            states.append(advance(states[-1], entry))
        signers = [bloc.signer(name, role) for name in bloc.members for role in ROLES] + [bloc.operator]
        head = bloc.center_parts.log
        yield Log(bloc.entries, states, signers, bloc.charter, head.head().note, head.witnessed().note, Path(home))
