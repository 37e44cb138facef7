"""From a released model back to the votes, and a manifest that anybody can build again."""

from dataclasses import replace

import pytest
from immutables import Map

from serai.analytics.state import evaluations_of
from serai.errors import Malformed
from serai.hub.lineage import AgreementView, DecisionView, RoundView, RunView, Vote, trace, walk
from serai.hub.manifest import MEDIA_TYPE, encode_manifest, manifest_of, parse_manifest
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.units import Instant
from serai.zones.state import GrantRecord, OfferRecord, ZonesState
from serai.zones.statements import Grant, Offer

MEMBERS = tuple(MemberId(name) for name in ("almaty", "bern", "cusco"))
OFFERS = {member: Digest(f"b{number}" * 32) for number, member in enumerate(MEMBERS)}
GRANTS = {member: Digest(f"f{number}" * 32) for number, member in enumerate(MEMBERS)}
AGREEMENT = Digest("a9" * 32)
OTHER = Digest("ff" * 32)


def offer_of(member):
    body = Offer(
        dataset=OTHER, title=f"Heart {member}", description="", rows=100, columns=(), jurisdiction="CH", terms=()
    )
    return OfferRecord(id=OFFERS[member], member=member, body=body, at=Instant(1, 1))


def grant_of(member):
    body = Grant(offer=OFFERS[member], agreement=AGREEMENT, terms=())
    return GrantRecord(id=GRANTS[member], member=member, body=body, at=Instant(2, 1))


@pytest.fixture
def zones():
    return ZonesState(
        offers=Map({OFFERS[member]: offer_of(member) for member in MEMBERS}),
        grants=Map({GRANTS[member]: grant_of(member) for member in MEMBERS}),
        latest=Map({(OFFERS[member], AGREEMENT): GRANTS[member] for member in MEMBERS}),
    )


@pytest.fixture
def run(outcome):
    last = RoundView(number=0, open=Digest("70" * 32), close=Digest("71" * 32), members=MEMBERS, model=outcome.model)
    return RunView(outcome=outcome, title="Heart run", planner=MEMBERS[0], offers=OFFERS, rounds=(last,))


@pytest.fixture
def agreement():
    votes = (
        Vote(member=MEMBERS[0], choice="yes", reason=""),
        Vote(member=MEMBERS[1], choice="reserve", reason="our courts decide"),
    )
    decision = DecisionView(
        proposal=AGREEMENT, title="Heart", opener=MEMBERS[2], article="agreement", result="adopted", votes=votes
    )
    return AgreementView(id=AGREEMENT, title="Heart agreement", parties=MEMBERS, decision=decision)


def test_a_complete_lineage_has_no_gap_and_reaches_every_vote(release, run, agreement, zones, evidence):
    lineage = trace(release, run, agreement, zones, evidence.analytics)
    assert lineage.gaps == ()
    assert [use.member for use in lineage.data] == list(MEMBERS)
    assert [record.member for record in lineage.evaluations] == list(MEMBERS)
    links = list(walk(lineage))
    kinds = [link.kind for link in links]
    assert kinds == [
        "release",
        *["evaluation"] * 3,
        "run.plan",
        "round",
        *["offer", "grant"] * 3,
        "agreement",
        "proposal.open",
        "ballot",
        "ballot",
    ]
    assert links[-1].text == "reserve: our courts decide"
    assert links[-1].member == "bern"
    assert links[4].text == "Heart run"
    assert "almaty, bern, cusco" in links[5].text
    assert [link.depth for link in links] == [0, 1, 1, 1, 1, 2, 2, 3, 2, 3, 2, 3, 2, 3, 4, 4]


def test_a_grant_that_was_revoked_later_still_belongs_to_the_models_past(release, run, agreement, zones, evidence):
    revoked = replace(grant_of(MEMBERS[1]), revoked=Instant(60, 9))
    lineage = trace(
        release, run, agreement, replace(zones, grants=zones.grants.set(revoked.id, revoked)), evidence.analytics
    )
    assert lineage.gaps == ()
    assert "revoked later, at entry 60" in " ".join(link.text for link in walk(lineage))


def test_each_missing_link_is_named(release, run, agreement, zones, evidence):
    def gaps(**changes):
        given = {"release": release, "run": run, "agreement": agreement, "zones": zones, **changes}
        return " | ".join(trace(**given, analytics=evidence.analytics).gaps)

    assert "took part without an offer" in gaps(run=replace(run, offers={MEMBERS[0]: OFFERS[MEMBERS[0]]}))
    assert "no grant joined bern's offer" in gaps(zones=replace(zones, grants=zones.grants.delete(GRANTS[MEMBERS[1]])))
    assert "has no finished round" in gaps(run=replace(run, rounds=()))
    assert "last round made model ffff" in gaps(run=replace(run, rounds=(replace(run.rounds[0], model=OTHER),)))
    assert "cites agreement a9a9" in gaps(agreement=replace(agreement, id=OTHER))
    assert "did not agree on model" in gaps(run=replace(run, outcome=replace(run.outcome, model=OTHER)))
    assert "names run 0101" in gaps(run=replace(run, outcome=replace(run.outcome, run=OTHER)))
    cited = replace(release, body=replace(release.body, evaluations=(*release.body.evaluations, OTHER)))
    assert "1 of the cited evaluations" in gaps(release=cited)
    other = replace(release, body=replace(release.body, model=OTHER))
    assert "is of another model" in gaps(release=other)


def test_gaps_are_shown_where_the_lineage_is_shown(release, run, agreement, zones, evidence):
    lineage = trace(release, replace(run, rounds=()), agreement, zones, evidence.analytics)
    assert [link.text for link in walk(lineage) if link.kind == "gap"] == ["the run has no finished round"]


def test_a_manifest_is_the_same_bytes_for_everybody(release, outcome, evidence):
    records = evaluations_of(evidence.analytics, outcome.run, outcome.model).values()
    manifest = manifest_of(release, outcome, records)
    data = encode_manifest(manifest)
    assert encode_manifest(manifest_of(release, outcome, reversed(list(records)))) == data
    assert parse_manifest(data) == manifest
    assert digest_of(encode_manifest(parse_manifest(data))) == digest_of(data)
    assert manifest.media_type == MEDIA_TYPE
    assert [file.name for file in manifest.files] == ["model.safetensors", "README.md"]
    assert manifest.counts["cusco"] == {"n": 12, "correct": 8}
    assert manifest.pooled == {"correct": 24, "n": 33}


def test_bytes_that_are_no_manifest_are_refused(release, outcome):
    data = encode_manifest(manifest_of(release, outcome, ()))
    for bent in (data[:-1], data.replace(b'"run"', b'"ran"'), data + b" "):
        with pytest.raises(Malformed):
            parse_manifest(bent)
