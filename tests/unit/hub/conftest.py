import pytest
from immutables import Map

from serai.analytics.state import AnalyticsState
from serai.analytics.state import apply as apply_evaluation
from serai.analytics.statements import Evaluation
from serai.charter.agreements import Agreement, AgreementText, Clause, Term
from serai.charter.members import Standing
from serai.charter.state import CharterState
from serai.hub.rules import Evidence, RunOutcome
from serai.hub.state import HubState, ReleaseRecord
from serai.hub.statements import Release
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Said
from serai.kernel.units import Instant

ALMATY, BERN, CUSCO = MemberId("almaty"), MemberId("bern"), MemberId("cusco")
AGREEMENT, RUN, MODEL = Digest("a9" * 32), Digest("01" * 32), Digest("0d" * 32)


def agreement_of(**changes):
    given = {
        "title": "Heart",
        "language": "en",
        "text": "Joint training.",
        "scope": ("train", "evaluate", "release"),
        "clauses": (Clause(id="1", text="Models may be shared."), Clause(id="2", text="Three members at least.")),
        "terms": (
            Term(name="outputs", value=("model", "metrics"), clause="1"),
            Term(name="min_participants", value=3, clause="2"),
            Term(name="min_cohort", value=50, clause="2"),
        ),
    }
    text = AgreementText(**{**given, **changes})
    signatures = Map({ALMATY: 10, BERN: 10, CUSCO: 10})
    return Agreement(id=AGREEMENT, text=text, adopted_ms=10, ratified_ms=10, signatures=signatures)


def charter_of(agreement, **standings):
    found = {ALMATY: Standing.GOOD, BERN: Standing.GOOD, CUSCO: Standing.GOOD, **standings}
    return CharterState(standings=Map(found), agreements=Map({agreement.id: agreement}))


def evaluated(members):
    analytics = AnalyticsState()
    for number, member in enumerate(members):
        body = Evaluation(run=RUN, model=MODEL, offer=Digest("0f" * 32), counts={"n": 10 + number, "correct": 8})
        id_ = Digest(f"e{number}" * 32)
        said = Said(id_, body, member, Role.ZONE, KeyId("00" * 32), Digest("11" * 32))
        analytics = apply_evaluation(analytics, said, Instant(40 + number, 1_000))
    return analytics


@pytest.fixture
def outcome():
    return RunOutcome(
        run=RUN,
        agreement=AGREEMENT,
        purpose="health.heart",
        code=Digest("c0" * 32),
        outputs=("model", "metrics"),
        minimum=3,
        participants=frozenset({ALMATY, BERN, CUSCO}),
        model=MODEL,
    )


@pytest.fixture
def evidence(outcome):
    return Evidence(charter=charter_of(agreement_of()), analytics=evaluated([ALMATY, BERN, CUSCO]), run=outcome)


@pytest.fixture
def body():
    return Release(
        run=RUN,
        model=MODEL,
        size_bytes=912,
        format="safetensors",
        title="Heart 1",
        card=Digest("ca" * 32),
        license="Apache-2.0",
        evaluations=tuple(Digest(f"e{number}" * 32) for number in range(3)),
    )


@pytest.fixture
def release(body):
    return ReleaseRecord(id=Digest("5e" * 32), member=ALMATY, body=body, at=Instant(50, 2_000))


@pytest.fixture
def make():
    """What the tests bend: agreements, charters and evaluations by hand."""

    class Make:
        agreement = staticmethod(agreement_of)
        charter = staticmethod(charter_of)
        evaluations = staticmethod(evaluated)
        hub = HubState()

    return Make
