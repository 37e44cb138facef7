from dataclasses import replace

import pytest

from serai.charter.agreements import Life, Term
from serai.kernel.ids import Digest, MemberId
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.zones.admission import (
    Admission,
    AgreementFacts,
    Budget,
    DataFacts,
    DigestFacts,
    LogFacts,
    RequestFacts,
    effective_policies,
)
from serai.zones.facts import JobFacts
from serai.zones.guard import STEPS, judge_admission
from serai.zones.policy import Policy
from serai.zones.state import GrantRecord, OfferRecord
from serai.zones.statements import Column, Grant, Offer

ALMATY, BERN, CUSCO = MemberId("almaty"), MemberId("bern"), MemberId("cusco")
ALL = frozenset({ALMATY, BERN, CUSCO})
RUN, AGREEMENT, OFFER, GRANT = (Digest(part * 32) for part in ("01", "a9", "0f", "94"))
CODE, DATASET, MODEL, GENESIS, OTHER = (Digest(part * 32) for part in ("c0", "da", "0d", "9e", "ff"))
AT = Instant(50, 10_000)


def term(name, value, clause="2"):
    return Term(name=name, value=value, clause=clause)


def offer_record(**changes):
    body = Offer(
        dataset=DATASET,
        title="Heart",
        description="Cleveland",
        rows=303,
        columns=(Column(name="age", kind="number", unit="a", description="age"),),
        jurisdiction="CH",
        terms=(term("min_cohort", 50), term("residency", ("CH",))),
    )
    return replace(OfferRecord(id=OFFER, member=BERN, body=body, at=Instant(20, 1)), **changes)


def grant_record(**changes):
    body = Grant(offer=OFFER, agreement=AGREEMENT, terms=(term("approvals", 1),))
    return replace(GrantRecord(id=GRANT, member=BERN, body=body, at=Instant(30, 1)), **changes)


FACTS = JobFacts(
    action="train",
    purpose="health.heart",
    code=CODE,
    rows=303,
    cohort=303,
    outputs=("model",),
    participants=ALL,
    minimum=3,
    recipients=("almaty", "bern", "cusco"),
    approvals=1,
    jurisdiction="CH",
    secure_sum=True,
    parties=ALL,
)
LOG = LogFacts(
    pinned_genesis=GENESIS,
    replayed_genesis=GENESIS,
    cosigners=3,
    quorum=3,
    witnessed_size=50,
    accepted_size=48,
    consistent=True,
    replayed_size=50,
    newest_witness_ms=9_500,
    now_ms=10_000,
    max_age_ms=1_000,
    halt=None,
)
REQUEST = RequestFacts(id=RUN, member=ALMATY, signature_holds=True, key_valid=True, index=49, seen=False)
AGREED = AgreementFacts(
    id=AGREEMENT, life=Life.IN_FORCE, scope=("train", "evaluate"), parties=ALL, in_good_standing=ALL
)
POLICIES = (
    Policy(source="agreement a9a9a9a9a9a9", terms=(term("purpose", ("health",)), term("recipients", ("parties",)))),
    Policy(source="offer 0f0f0f0f0f0f", terms=offer_record().body.terms),
    Policy(source="grant 949494949494", terms=grant_record().body.terms),
    Policy(source="zone policy", terms=(term("outputs", ("model", "aggregate")),)),
    Policy(source="legal profile", terms=()),
)
GOOD = Admission(
    member=BERN,
    at=AT,
    log=LOG,
    request=REQUEST,
    agreement=AGREED,
    data=DataFacts(offer=offer_record(), grant=grant_record()),
    digests=(
        DigestFacts(what="code", expected=CODE, found=CODE),
        DigestFacts(what="dataset", expected=DATASET, found=DATASET),
        DigestFacts(what="model", expected=MODEL, found=MODEL),
    ),
    policies=POLICIES,
    facts=FACTS,
    budgets=(Budget(name="cpu_s", limit=100, spent=40, requested=60),),
    kill_switch=None,
)


def bent(part, **changes):
    return replace(GOOD, **{part: replace(getattr(GOOD, part), **changes)})


def with_term(source, added):
    return replace(
        GOOD,
        policies=tuple(
            replace(policy, terms=(*policy.terms, added)) if policy.source.startswith(source) else policy
            for policy in POLICIES
        ),
    )


def with_data(**changes):
    return replace(GOOD, data=replace(GOOD.data, **changes))


def with_digest(what, **changes):
    return replace(
        GOOD, digests=tuple(replace(item, **changes) if item.what == what else item for item in GOOD.digests)
    )


def test_a_job_that_everything_allows_is_admitted():
    decision = judge_admission(GOOD)
    assert decision.denials == ()
    assert decision.allowed
    assert decision.verdict == GRANTED


LIMITS = [
    bent("log", quorum=1, cosigners=1),
    bent("log", accepted_size=50),
    bent("log", newest_witness_ms=9_000),
    bent("log", newest_witness_ms=11_000),
    bent("log", replayed_size=51),
    bent("request", index=0),
    with_data(offer=offer_record(at=Instant(49, 1)), grant=grant_record(at=Instant(49, 1))),
    bent("facts", rows=50),
    replace(GOOD, budgets=(Budget(name="cpu_s", limit=0, spent=0, requested=0),)),
]


@pytest.mark.parametrize("admission", LIMITS)
def test_a_fact_exactly_at_its_limit_is_within_it(admission):
    assert judge_admission(admission).denials == ()


CASES = [
    ("genesis", bent("log", replayed_genesis=OTHER), "pinned charter 9e9e9e9e9e9e"),
    ("genesis", bent("log", replayed_genesis=None), "all founders"),
    ("quorum", bent("log", cosigners=2), "of 3 members, the checkpoint has 2"),
    ("quorum", bent("log", quorum=0), "at least one member"),
    ("rollback", bent("log", accepted_size=51), "accepted 51 entries, the log shows 50"),
    ("rollback", bent("log", consistent=False), "does not contain"),
    ("freshness", bent("log", newest_witness_ms=8_999), "1001 ms old"),
    ("freshness", bent("log", newest_witness_ms=11_001), "ahead of this zone's clock"),
    ("freshness", bent("log", newest_witness_ms=None), "missing fact"),
    ("replay", bent("log", replayed_size=49), "replayed 49 of 50"),
    ("replay", bent("log", halt="two checkpoints disagree at size 40"), "two checkpoints disagree"),
    ("signature", bent("request", signature_holds=False), "does not hold"),
    ("signature", bent("request", key_valid=False), "no role"),
    ("inclusion", bent("request", index=None), "not shown to be in the log"),
    ("inclusion", bent("request", index=50), "witnessed 50"),
    ("inclusion", bent("request", seen=True), "before"),
    ("inclusion", with_data(offer=offer_record(at=Instant(50, 1))), "the offer is entry 50, a quorum has witnessed 50"),
    ("inclusion", with_data(grant=grant_record(at=Instant(50, 1))), "the grant is entry 50, a quorum has witnessed 50"),
    *(("agreement", bent("agreement", life=life), life.value) for life in Life if life is not Life.IN_FORCE),
    ("parties", bent("agreement", parties=ALL - {ALMATY}), "almaty is not a party"),
    ("parties", bent("agreement", parties=ALL - {BERN}), "bern is not a party"),
    ("parties", bent("agreement", parties=ALL - {CUSCO}), "cusco is not a party"),
    ("parties", bent("agreement", in_good_standing=ALL - {CUSCO}), "cusco is not in good standing"),
    ("parties", bent("facts", participants=None), "missing fact"),
    ("parties", bent("facts", participants=ALL - {BERN}), "bern is not among the participants"),
    ("scope", bent("agreement", scope=("evaluate",)), "permits evaluate, the job would train"),
    ("scope", bent("agreement", scope=()), "permits nothing"),
    ("scope", with_data(grant=None), "no grant"),
    ("scope", with_data(offer=None), "no open offer"),
    ("scope", with_data(offer=offer_record(withdrawn=Instant(45, 9))), "withdrawn at entry 45"),
    ("scope", with_data(offer=offer_record(member=CUSCO)), "cusco's, not this zone's"),
    ("scope", with_data(grant=grant_record(member=CUSCO)), "not this member's"),
    ("scope", with_data(grant=grant_record(revoked=Instant(45, 9))), "was revoked"),
    ("scope", with_data(grant=grant_record(body=Grant(offer=OFFER, agreement=OTHER, terms=()))), "another agreement"),
    ("scope", with_data(grant=grant_record(body=Grant(offer=OTHER, agreement=AGREEMENT, terms=()))), "another offer"),
    ("digests", with_digest("code", found=OTHER), "the code agreed on is c0c0c0c0c0c0"),
    ("digests", with_digest("model", found=OTHER), "the model agreed on"),
    ("digests", with_digest("dataset", found=None), "not on this zone's disk"),
    ("digests", replace(GOOD, digests=GOOD.digests[1:]), "digest of the code was not compared"),
    ("digests", replace(GOOD, digests=GOOD.digests[:1]), "digest of the dataset was not compared"),
    ("digests", bent("facts", code=OTHER), "is not the code compared"),
    ("digests", with_digest("dataset", expected=OTHER, found=OTHER), "not the one that was offered"),
    ("policy", bent("facts", purpose="advertising"), "purpose: allows health"),
    ("policy", bent("facts", outputs=("metrics",)), "outputs: allows"),
    ("policy", with_term("legal", term("colour", "blue")), "'colour' is not known"),
    ("transfer", bent("facts", rows=49), "min_cohort: needs at least 50"),
    ("transfer", bent("facts", rows=None), "missing fact"),
    ("transfer", bent("facts", jurisdiction="KZ"), "residency: allows CH"),
    ("transfer", bent("facts", recipients=("almaty", "public")), "recipients: allows parties"),
    ("transfer", with_term("legal", term("transfer_basis", ("treaty-7",))), "missing fact"),
    ("budget", replace(GOOD, budgets=(Budget(name="cpu_s", limit=99, spent=40, requested=60),)), "40 of 99"),
    ("budget", replace(GOOD, budgets=(Budget(name="cpu_s", limit=99, spent=40, requested=-60),)), "refill"),
    ("approvals", bent("facts", approvals=0), "needs 1 approving members, 0 approved"),
    ("hours", with_term("zone policy", term("hours", "06-22")), "allows the hours 06-22 UTC"),
    ("hours", with_term("legal profile", term("embargo_until_ms", 10_001)), "nothing before 10001 ms"),
    ("transfer", with_term("offer", term("min_subjects", 100)), "number of subjects (no column"),
    ("policy", with_term("offer", term("compute_cap_s", 60)), "has worked is not known"),
    ("kill switch", replace(GOOD, kill_switch="incident 12"), "incident 12"),
    ("kill switch", replace(GOOD, kill_switch=""), "no reason given"),
]


@pytest.mark.parametrize(("step", "admission", "says"), CASES)
def test_one_fact_that_is_wrong_denies_at_its_own_step_only(step, admission, says):
    decision = judge_admission(admission)
    assert not decision.allowed
    assert {name for name, _ in decision.denials} == {step}
    assert says in " | ".join(denied.reason for _, denied in decision.denials)


def test_every_step_has_a_case_that_only_it_refuses():
    assert {step for step, _, _ in CASES} == {name for name, _ in STEPS}


@pytest.mark.parametrize("missing", [policy.source for policy in POLICIES])
def test_a_policy_that_nobody_stated_denies_it_is_never_taken_as_empty(missing):
    admission = replace(GOOD, policies=tuple(policy for policy in POLICIES if policy.source != missing))
    decision = judge_admission(admission)
    assert [name for name, _ in decision.denials] == ["policy"]
    assert missing in decision.denials[0][1].reason


def test_terms_are_cited_by_source_and_clause():
    decision = judge_admission(bent("facts", rows=10))
    assert decision.verdict == Denied(
        "offer 0f0f0f0f0f0f, clause 2", "min_cohort: needs at least 50 rows, the job would read 10"
    )


def test_the_first_failing_step_decides_and_all_reasons_are_recorded():
    admission = replace(
        GOOD,
        log=replace(LOG, cosigners=0),
        facts=replace(FACTS, purpose="war", rows=1, approvals=0),
        kill_switch="stop",
    )
    decision = judge_admission(admission)
    assert [name for name, _ in decision.denials] == ["quorum", "policy", "transfer", "approvals", "kill switch"]
    assert decision.verdict == decision.denials[0][1]


def test_the_steps_are_numbered_in_the_order_in_which_they_are_taken():
    articles = []
    for number, (name, _) in enumerate(STEPS, 1):
        admission = next(item for step, item, _ in CASES if step == name)
        denied = judge_admission(admission).denials[0][1]
        if denied.article.startswith("guard"):
            articles.append((denied.article, f"guard {number}"))
    assert len(articles) >= 13
    assert all(found == expected for found, expected in articles)


def test_a_job_that_is_handed_no_dataset_needs_no_offer_and_no_grant():
    admission = replace(
        GOOD,
        data=None,
        digests=GOOD.digests[:1],
        policies=tuple(policy for policy in POLICIES if not policy.source.startswith(("offer", "grant"))),
        facts=replace(FACTS, rows=None),
    )
    assert judge_admission(admission).allowed


def test_terms_of_another_agreement_do_not_stand_in_for_those_of_the_cited_one():
    swapped = replace(POLICIES[0], source="agreement ffffffffffff")
    decision = judge_admission(replace(GOOD, policies=(swapped, *POLICIES[1:])))
    assert [name for name, _ in decision.denials] == ["policy"]


def test_nothing_that_is_said_in_a_request_can_make_up_for_a_log_without_quorum():
    for cosigners in range(3):
        assert judge_admission(bent("log", cosigners=cosigners)).denials[0][0] == "quorum"


def test_the_agreements_own_terms_come_first_in_the_effective_policy(agreement_text):
    policies = effective_policies((AGREEMENT, agreement_text), GOOD.data, (term("max_uses", 3),), ())
    assert [policy.source for policy in policies] == [policy.source for policy in POLICIES]
    assert policies[0].terms == agreement_text.terms
    assert [policy.source for policy in effective_policies((AGREEMENT, agreement_text), None, (), ())] == [
        "agreement a9a9a9a9a9a9",
        "zone policy",
        "legal profile",
    ]
