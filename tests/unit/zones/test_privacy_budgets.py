"""Privacy terms and charges: what they accept, what they allow, how a ledger in the log adds up."""

from dataclasses import replace

import pytest
from immutables import Map

from serai.charter.agreements import Term
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.zones.budgets import limits_of, privacy_budgets
from serai.zones.checks import shown_cost
from serai.zones.facts import JobFacts, PrivacyCost, Unit
from serai.zones.forms import parse_dp
from serai.zones.guard import judge_budgets
from serai.zones.policy import Policy
from serai.zones.rules import judge
from serai.zones.state import OfferRecord, ZonesState, apply, charges_of
from serai.zones.statements import Offer, PrivacyCharge
from serai.zones.terms import judge_form, judge_term

AT = Instant(7, 1_000)
ALMATY, BERN = MemberId("almaty"), MemberId("bern")
OFFER_ID, AGAIN, RUN, OTHER = (Digest(text * 32) for text in ("0f", "1f", "01", "02"))
TERM = Term(name="dp", value=("record", "3", "1e-5"), clause="4")


def cost(epsilon, delta=10**6, unit=Unit.RECORD):
    return PrivacyCost(unit=unit, epsilon_millionths=round(epsilon * 10**6), delta_trillionths=delta)


def facts(privacy, outputs=("model",)):
    return JobFacts(
        action="train",
        purpose="health",
        code=None,
        rows=100,
        outputs=outputs,
        participants=None,
        minimum=3,
        recipients=None,
        approvals=None,
        jurisdiction=None,
        secure_sum=True,
        privacy=privacy,
    )


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (("record", "3", "1e-5"), (Unit.RECORD, 3_000_000, 10_000_000)),
        (("member", "0.5", "1/1000000"), (Unit.MEMBER, 500_000, 1_000_000)),
        (("record", "1.2345678", "0.0000000000019"), None),
        (("record", "1.2345678", "0.000001"), (Unit.RECORD, 1_234_567, 1_000_000)),
        (("row", "3", "1e-5"), None),
        (("record", "3"), None),
        (("record", "3", "1e-5", "x"), None),
        (("record", "-3", "1e-5"), None),
        (("record", "0", "1e-5"), None),
        (("record", "3", "0"), None),
        (("record", "3", "1"), None),
        (("record", "3", "1/0"), None),
        (("record", "inf", "1e-5"), None),
        (("record", "1e99", "1e-5"), None),
        ("record 3 1e-5", None),
        (3, None),
    ],
)
def test_a_limit_is_read_exactly_and_rounded_down(value, parsed):
    found = parse_dp(value)
    assert (found and (found.unit, found.epsilon_millionths, found.delta_trillionths)) == parsed
    assert (judge_form(Term(name="dp", value=value, clause="4"), "offer x") == GRANTED) is (parsed is not None)


@pytest.mark.parametrize(
    ("term", "job", "reason"),
    [
        (TERM, facts(cost(2.9)), None),
        (TERM, facts(cost(2.9, unit=Unit.MEMBER)), None),
        (TERM, facts(None), "missing fact"),
        (TERM, facts(cost(3.1)), "alone costs epsilon 3.1"),
        (TERM, facts(cost(1, delta=10**8)), "alone costs"),
        (TERM, facts(cost(1), ("model", "metrics")), "without metrics"),
        (replace(TERM, value=("member", "3", "1e-5")), facts(cost(1)), "whole contribution"),
        (replace(TERM, value=("member", "3", "1e-5")), facts(cost(1, unit=Unit.MEMBER)), None),
    ],
)
def test_a_term_holds_for_a_job_that_adds_enough_noise(term, job, reason):
    verdict = judge_term(term, job, AT, "offer 0f0f0f")
    if reason is None:
        assert verdict == GRANTED
    else:
        assert isinstance(verdict, Denied)
        assert reason in verdict.reason
        assert verdict.article == "offer 0f0f0f, clause 4"


def denials(charges, requested, term=TERM):
    limits = limits_of([Policy(source="offer 0f0f0f", terms=(term, Term(name="min_cohort", value=5, clause="1")))])
    return list(judge_budgets(privacy_budgets(limits, charges, requested)))


def test_costs_of_runs_add_up_to_the_limit_and_no_further():
    assert denials([cost(1), cost(1)], cost(1)) == []
    (denied,) = denials([cost(1), cost(1)], cost(1.000001))
    assert denied.article == "offer 0f0f0f, clause 4"
    assert "2000000 of 3000000 are taken, the job asks 1000001 more" in denied.reason


def test_deltas_add_up_as_well():
    (denied,) = denials([cost(0.1, delta=9 * 10**6)], cost(0.1, delta=2 * 10**6))
    assert "delta_trillionths per record" in denied.reason


def test_only_noise_that_hides_members_counts_against_a_members_limit():
    term = replace(TERM, value=("member", "3", "1e-5"))
    assert denials([cost(3)], cost(3, unit=Unit.MEMBER), term) == []
    assert denials([cost(3, unit=Unit.MEMBER)], cost(1, unit=Unit.MEMBER), term)
    assert denials([cost(3, unit=Unit.MEMBER)], cost(1))


def test_where_no_term_sets_a_limit_there_is_no_budget():
    assert limits_of([Policy(source="offer x", terms=(Term(name="min_cohort", value=5, clause="1"),))]) == ()


# The ledger in the log


class Log:
    def __init__(self, charter):
        self.charter, self.index = charter, 0
        offer = Offer(
            dataset=Digest("da" * 32), title="t", description="", rows=9, columns=(), jurisdiction="CH", terms=()
        )
        records = {id_: OfferRecord(id=id_, member=BERN, body=offer, at=AT) for id_ in (OFFER_ID, AGAIN)}
        self.zones = ZonesState(offers=Map(records))

    def charge(self, member, spent, run=RUN, offer=OFFER_ID):
        self.index += 1
        body = PrivacyCharge(offer=offer, run=run, cost=spent)
        said = Said(Digest(f"{self.index:064x}"), body, member, Role.ZONE, KeyId("00" * 32), Digest("11" * 32))
        verdict = judge(self.charter, self.zones, said, AT)
        if verdict == GRANTED:
            self.zones = apply(self.zones, said, AT)
        return verdict

    @property
    def ledger(self):
        return dict(charges_of(self.zones, BERN, Digest("da" * 32)))


@pytest.fixture
def log(charter):
    return Log(charter)


def test_everybody_can_read_what_runs_have_cost_a_dataset(log):
    assert log.charge(BERN, cost(1)) == GRANTED
    assert log.charge(BERN, cost(2), OTHER) == GRANTED
    assert log.ledger == {RUN: cost(1), OTHER: cost(2)}


def test_a_dataset_offered_twice_has_one_ledger(log):
    log.charge(BERN, cost(1))
    log.charge(BERN, cost(2), OTHER, AGAIN)
    assert len(log.ledger) == 2


@pytest.mark.parametrize(
    ("member", "offer", "reason"),
    [(ALMATY, OFFER_ID, "may not charge"), (BERN, Digest("ff" * 32), "no offer")],
)
def test_only_the_owner_charges_data_and_only_offered_ones(log, member, offer, reason):
    verdict = log.charge(member, cost(1), offer=offer)
    assert isinstance(verdict, Denied)
    assert verdict.article == "zones 8"
    assert reason in verdict.reason
    assert log.ledger == {}


@pytest.mark.parametrize(
    "later",
    [cost(1), cost(0.9), cost(1.1, delta=10**5), cost(2, unit=Unit.MEMBER)],
    ids=["the same", "less", "less delta", "another unit"],
)
def test_what_is_spent_is_never_given_back(log, later):
    log.charge(BERN, cost(1))
    verdict = log.charge(BERN, later)
    assert isinstance(verdict, Denied)
    assert "not given back" in verdict.reason
    assert log.ledger == {RUN: cost(1)}


def test_a_runs_cost_may_grow(log):
    log.charge(BERN, cost(1))
    assert log.charge(BERN, cost(1.5)) == GRANTED
    assert log.ledger == {RUN: cost(1.5)}


@pytest.mark.parametrize("spent", [cost(-1), cost(1, delta=-1), cost(1, delta=10**12 + 1)])
def test_a_cost_that_is_none_is_refused(log, spent):
    assert isinstance(log.charge(BERN, spent), Denied)


def test_a_cost_is_shown_in_words():
    assert shown_cost(cost(2.5, delta=10**7)) == "epsilon 2.5 at delta 1e-05 per record"
