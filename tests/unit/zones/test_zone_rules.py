"""Offers, grants and approvals: who may say what, and what it adds up to."""

from dataclasses import replace

import pytest

from serai.charter.agreements import Term
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role
from serai.kernel.records import from_json, to_json
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied
from serai.zones.admission import agreement_facts, data_facts
from serai.zones.descriptions import About, ColumnText, Text
from serai.zones.facts import PrivacyCost, Unit
from serai.zones.rules import judge
from serai.zones.state import (
    ZonesState,
    apply,
    approving_members,
    find_deletion,
    find_grant,
    find_steward_approval,
    is_offer_open,
)
from serai.zones.statements import (
    STATEMENTS,
    Approval,
    Column,
    DataDeletion,
    Grant,
    GrantRevoke,
    Offer,
    OfferWithdraw,
    PrivacyCharge,
)

AGREEMENT, DRAFT, RUN = Digest("a9" * 32), Digest("d4" * 32), Digest("01" * 32)
OFFER = Offer(
    dataset=Digest("da" * 32),
    title="Heart disease",
    description="Consecutive patients, 1988.",
    rows=303,
    columns=(Column(name="age", kind="number", unit="a", description="age at admission"),),
    jurisdiction="CH",
    terms=(Term(name="min_cohort", value=50, clause="1"), Term(name="expires_ms", value=5_000, clause="2")),
)


class Log:
    """A log of statements about data: says one after the other and keeps what was granted."""

    def __init__(self, charter):
        self.charter = charter
        self.zones = ZonesState()
        self.index = 0
        self.time_ms = 1_000

    @property
    def at(self):
        return Instant(self.index, self.time_ms)

    def say(self, member, body, role=None):
        self.index += 1
        id_ = Digest(f"{self.index:064x}")
        role = role or min(body.ROLES)
        said = Said(id_, body, MemberId(member), role, KeyId("00" * 32), Digest("11" * 32))
        verdict = judge(self.charter, self.zones, said, self.at)
        if verdict == GRANTED:
            self.zones = apply(self.zones, said, self.at)
            return id_
        return verdict


@pytest.fixture
def log(charter):
    return Log(charter)


def denied(verdict, article, says):
    assert isinstance(verdict, Denied), verdict
    assert verdict.article == article
    assert says in verdict.reason


def test_an_offer_and_a_grant_open_the_data_to_one_agreement_only(log):
    offer = log.say("bern", OFFER)
    assert is_offer_open(log.zones, offer, log.at)
    assert find_grant(log.zones, offer, AGREEMENT, log.at) is None
    grant = log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=()))
    assert find_grant(log.zones, offer, AGREEMENT, log.at).id == grant
    assert find_grant(log.zones, offer, DRAFT, log.at) is None


def test_a_member_that_is_suspended_or_unknown_offers_nothing(log):
    denied(log.say("delhi", OFFER), "zones 1", "delhi is not")
    denied(log.say("nobody", OFFER), "zones 1", "nobody is not")


@pytest.mark.parametrize(
    ("changes", "article", "says"),
    [
        ({"title": ""}, "zones 1", "title"),
        ({"jurisdiction": ""}, "zones 1", "jurisdiction"),
        ({"rows": 0}, "zones 1", "at least one row"),
        ({"columns": ()}, "zones 1", "at least one column"),
        ({"columns": OFFER.columns * 2}, "zones 1", "name of its own"),
        ({"terms": (Term(name="colour", value=1, clause="9"),)}, "zones 2", "this offer, clause 9"),
        ({"terms": (Term(name="min_cohort", value="9", clause="9"),)}, "zones 2", "whole number"),
        ({"terms": (Term(name="expires_ms", value=1_000, clause="9"),)}, "zones 3", "log time is 1000"),
    ],
)
def test_an_offer_that_could_not_be_used_or_enforced_is_refused_when_it_is_made(log, changes, article, says):
    denied(log.say("bern", replace(OFFER, **changes)), article, says)


ABOUT = About(
    language="de",
    texts={"en": Text(title="Heart", columns=(ColumnText(name="age", description="age"),))},
    contact="https://bern.example/data",
    license="CC-BY-4.0",
)


def test_an_offer_says_what_catalogs_ask_for(log):
    offer = log.say("bern", replace(OFFER, about=ABOUT))
    assert log.zones.offers[offer].body.about == ABOUT
    assert from_json(Offer, to_json(replace(OFFER, about=ABOUT))) == replace(OFFER, about=ABOUT)


def test_an_offer_that_says_nothing_beside_has_the_bytes_that_it_always_had():
    assert "about" not in to_json(OFFER)
    assert from_json(Offer, to_json(OFFER)) == OFFER


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"language": ""}, "language tag"),
        ({"language": "de_CH"}, "language tag"),
        ({"language": "En"}, "described once"),
        ({"texts": {"en": Text(title="")}}, "needs a title"),
        ({"texts": {"en": Text(title="t", columns=(ColumnText(name="sex", description="x"),))}}, "'sex'"),
        ({"contact": "http://bern.example"}, "contact"),
        ({"contact": 'https://bern.example/" <b>'}, "contact"),
        ({"license": "see below"}, "SPDX"),
    ],
)
def test_a_description_that_no_catalog_could_hold_is_refused(log, changes, says):
    denied(log.say("bern", replace(OFFER, about=replace(ABOUT, **changes))), "zones 1", says)


def test_an_offer_of_a_single_row_is_an_offer(log):
    offer = log.say("bern", replace(OFFER, rows=1))
    assert is_offer_open(log.zones, offer, log.at)


def test_only_the_owner_takes_an_offer_back_and_only_once(log):
    offer = log.say("bern", OFFER)
    denied(log.say("almaty", OfferWithdraw(offer=offer)), "zones 4", "bern's")
    assert log.say("bern", OfferWithdraw(offer=offer)) != offer
    denied(log.say("bern", OfferWithdraw(offer=offer)), "zones 4", "withdrawn at entry 3")
    denied(log.say("bern", OfferWithdraw(offer=RUN)), "zones 4", "no offer")


def test_withdrawing_an_offer_ends_every_grant_under_it_at_once(log):
    offer = log.say("bern", OFFER)
    log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=()))
    log.say("bern", OfferWithdraw(offer=offer))
    assert find_grant(log.zones, offer, AGREEMENT, log.at) is None
    denied(log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=())), "zones 3", "withdrawn at entry 3")


def test_an_offer_ends_at_its_log_time_and_its_grants_with_it(log):
    offer = log.say("bern", OFFER)
    log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=()))
    log.time_ms = 4_999
    assert find_grant(log.zones, offer, AGREEMENT, log.at) is not None
    log.time_ms = 5_000
    assert not is_offer_open(log.zones, offer, log.at)
    assert find_grant(log.zones, offer, AGREEMENT, log.at) is None
    denied(log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=())), "zones 3", "expired")


def test_a_grant_may_end_before_its_offer_and_be_given_again(log):
    offer = log.say("bern", OFFER)
    short = Grant(offer=offer, agreement=AGREEMENT, terms=(Term(name="expires_ms", value=2_000, clause="1"),))
    log.say("bern", short)
    log.time_ms = 2_000
    assert find_grant(log.zones, offer, AGREEMENT, log.at) is None
    denied(log.say("bern", short), "zones 3", "ended")
    again = log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=()))
    assert find_grant(log.zones, offer, AGREEMENT, log.at).id == again


def test_nobody_grants_the_data_of_another(log):
    offer = log.say("bern", OFFER)
    denied(log.say("almaty", Grant(offer=offer, agreement=AGREEMENT, terms=())), "zones 4", "bern's")
    denied(log.say("almaty", Grant(offer=RUN, agreement=AGREEMENT, terms=())), "zones 4", "no offer")


def test_a_grant_needs_an_adopted_agreement_to_which_the_member_is_a_party(log):
    offer = log.say("bern", OFFER)
    denied(log.say("bern", Grant(offer=offer, agreement=DRAFT, terms=())), "zones 5", "is draft")
    denied(log.say("bern", Grant(offer=offer, agreement=RUN, terms=())), "zones 5", "is unknown")
    cusco = log.say("cusco", OFFER)
    denied(log.say("cusco", Grant(offer=cusco, agreement=AGREEMENT, terms=())), "zones 5", "not a party")


def test_a_grant_whose_terms_no_zone_could_enforce_is_refused(log):
    offer = log.say("bern", OFFER)
    bent = Grant(offer=offer, agreement=AGREEMENT, terms=(Term(name="approvals", value="two", clause="4"),))
    denied(log.say("bern", bent), "zones 2", "this grant, clause 4")


def test_one_grant_at_a_time_so_that_revoking_it_leaves_nothing_open(log):
    offer = log.say("bern", OFFER)
    grant = log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=()))
    denied(log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=())), "zones 6", grant[:12])
    denied(log.say("almaty", GrantRevoke(grant=grant)), "zones 4", "bern's")
    log.say("bern", GrantRevoke(grant=grant))
    assert find_grant(log.zones, offer, AGREEMENT, log.at) is None
    denied(log.say("bern", GrantRevoke(grant=grant)), "zones 4", "revoked at entry")
    denied(log.say("bern", GrantRevoke(grant=RUN)), "zones 4", "no grant")
    assert isinstance(log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=())), str)


def test_approvals_count_members_not_keys(log):
    log.say("bern", Approval(subject=RUN, comment="seen by the steward"))
    denied(log.say("bern", Approval(subject=RUN, comment="seen by the delegate")), "zones 7", "approved")
    log.say("almaty", Approval(subject=RUN, comment=""))
    denied(log.say("delhi", Approval(subject=RUN, comment="")), "zones 7", "good standing")
    assert approving_members(log.zones, RUN) == {"almaty", "bern"}
    assert approving_members(log.zones, AGREEMENT) == frozenset()


def test_a_steward_confirms_what_a_delegate_approved_and_only_a_steward_counts_as_one(log):
    log.say("bern", Approval(subject=RUN, comment="seen by the delegate"), Role.DELEGATE)
    first = log.zones.approvals[RUN]["bern"]
    assert find_steward_approval(log.zones, RUN, "bern") is None
    denied(log.say("bern", Approval(subject=RUN, comment="again"), Role.DELEGATE), "zones 7", "approved")
    log.say("bern", Approval(subject=RUN, comment="seen by the steward"), Role.STEWARD)
    assert find_steward_approval(log.zones, RUN, "bern").index > first.index
    assert log.zones.approvals[RUN]["bern"] == first
    denied(log.say("bern", Approval(subject=RUN, comment="again"), Role.STEWARD), "zones 7", "approved")


def test_the_facts_about_an_agreement_are_those_of_the_replay(log):
    everybody = [MemberId(name) for name in ("almaty", "bern", "cusco", "delhi")]
    facts = agreement_facts(log.charter, AGREEMENT, everybody, log.at)
    assert facts.life.value == "in-force"
    assert facts.scope == ("train", "evaluate")
    assert facts.parties == {"almaty", "bern"}
    assert facts.in_good_standing == {"almaty", "bern", "cusco"}
    unknown = agreement_facts(log.charter, RUN, everybody, log.at)
    assert (unknown.life.value, unknown.scope, unknown.parties) == ("unknown", (), frozenset())


def test_the_facts_about_data_keep_a_withdrawn_offer_so_that_the_refusal_can_name_it(log):
    offer = log.say("bern", OFFER)
    log.say("bern", Grant(offer=offer, agreement=AGREEMENT, terms=()))
    assert data_facts(log.zones, offer, AGREEMENT, log.at).grant is not None
    log.say("bern", OfferWithdraw(offer=offer))
    facts = data_facts(log.zones, offer, AGREEMENT, log.at)
    assert facts.offer.withdrawn is not None
    assert facts.grant is None
    assert data_facts(log.zones, RUN, AGREEMENT, log.at).offer is None


def test_a_deletion_is_stated_once_by_the_member_whose_data_it_was(log):
    offer = log.say("bern", OFFER)
    receipt = DataDeletion(offer=offer, run=RUN, kept_days=30, items=4)
    denied(log.say("almaty", receipt), "zones 9", "not almaty's")
    denied(log.say("bern", DataDeletion(offer=RUN, run=RUN, kept_days=30, items=4)), "zones 9", "not bern's")
    denied(log.say("bern", DataDeletion(offer=offer, run=RUN, kept_days=-1, items=4)), "zones 9", "at least 0")
    assert find_deletion(log.zones, RUN, "bern") is None
    log.say("bern", receipt)
    assert find_deletion(log.zones, RUN, "bern").time_ms == 1_000
    denied(log.say("bern", receipt), "zones 9", "at entry")


def test_an_earlier_state_is_left_as_it_was(log):
    before = log.zones
    log.say("bern", OFFER)
    assert len(before.offers) == 0


BODIES = [
    OFFER,
    OfferWithdraw(offer=RUN),
    Grant(offer=RUN, agreement=AGREEMENT, terms=OFFER.terms),
    GrantRevoke(grant=RUN),
    Approval(subject=RUN, comment="да"),
    PrivacyCharge(offer=RUN, run=RUN, cost=PrivacyCost(unit=Unit.RECORD, epsilon_millionths=1, delta_trillionths=1)),
    DataDeletion(offer=RUN, run=RUN, kept_days=30, items=4),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.KIND)
def test_a_statement_survives_its_json(body):
    assert from_json(type(body), to_json(body)) == body


def test_every_statement_of_the_room_is_listed_with_a_kind_of_its_own():
    assert [type(body) for body in BODIES] == list(STATEMENTS)
    assert len({body.KIND for body in STATEMENTS}) == len(STATEMENTS)
    assert [body for body in STATEMENTS if Role.ZONE in body.ROLES] == [
        PrivacyCharge,
        DataDeletion,
    ]  # people decide, a zone reports
