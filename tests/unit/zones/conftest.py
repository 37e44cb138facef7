import pytest
from immutables import Map

from serai.charter.agreements import Agreement, AgreementText, Clause, Term
from serai.charter.members import Standing
from serai.charter.state import CharterState
from serai.kernel.ids import Digest, MemberId


@pytest.fixture
def agreement_text():
    return AgreementText(
        title="Heart",
        language="en",
        text="Joint training on heart disease.",
        scope=("train", "evaluate"),
        clauses=(Clause(id="2", text="Only sums of three members or more."),),
        terms=(Term(name="min_participants", value=3, clause="2"),),
        ratifications=2,
    )


@pytest.fixture
def charter(agreement_text):
    """Almaty and Bern are parties of agreement a9..., Cusco is not; Delhi is suspended."""
    agreement = Agreement(
        id=Digest("a9" * 32),
        text=agreement_text,
        adopted_ms=100,
        ratified_ms=200,
        signatures=Map({MemberId("almaty"): 150, MemberId("bern"): 200, MemberId("delhi"): 200}),
    )
    draft = Agreement(id=Digest("d4" * 32), text=agreement_text)
    return CharterState(
        standings=Map(
            {
                MemberId("almaty"): Standing.GOOD,
                MemberId("bern"): Standing.GOOD,
                MemberId("cusco"): Standing.GOOD,
                MemberId("delhi"): Standing.SUSPENDED,
            }
        ),
        agreements=Map({agreement.id: agreement, draft.id: draft}),
    )
