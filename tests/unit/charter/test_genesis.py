"""A center begins when all its founders have signed one charter."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serai.charter.agreements import Life
from serai.charter.constitution import genesis_of
from serai.charter.members import KeyHolder, Standing
from serai.charter.rules import judge, judge_speaker
from serai.charter.state import (
    CharterState,
    apply,
    get_proposal,
    holder_of,
    in_good_standing,
    life_of,
    obliged_by,
    parties_of,
    standing_of,
    witness_faults,
    witness_keys,
)
from serai.charter.statements import CharterAdopt, ProposalOpen
from serai.errors import Missing
from serai.kernel.envelope import parse_envelope
from serai.kernel.keys import Role, key_id
from serai.kernel.records import from_json
from serai.kernel.statement import Said, sign_body
from serai.kernel.units import Instant
from serai.kernel.verdict import Denied, Granted
from serai.ledger.statements import Clock


class RootSigner:
    def __init__(self):
        self._private = Ed25519PrivateKey.from_private_bytes(bytes(32))

    @property
    def public(self):
        return self._private.public_key().public_bytes_raw()

    def sign(self, message):
        return self._private.sign(message)


def test_the_charter_is_in_force_when_the_last_founder_has_signed(make_center, make_charter):
    center = make_center(make_charter())
    for member in "abcd":
        center.do(member, CharterAdopt(charter=center.founding), Role.ROOT)
        assert not center.state.in_force
    center.do("e", CharterAdopt(charter=center.founding), Role.ROOT)
    assert center.state.in_force
    assert center.state.genesis == genesis_of(center.founding)
    assert center.state.version == 1


def test_nothing_is_said_before_every_founder_has_signed(make_center, make_charter):
    center = make_center(make_charter())
    proposal = ProposalOpen(topic="project", title="T", text="t")
    assert "the founders" in center.refuse("a", proposal).reason
    center.do("a", CharterAdopt(charter=center.founding), Role.ROOT)
    denied = center.refuse("a", proposal)
    assert denied.article == "charter, adoption"
    assert "waiting for b, c, d, e" in denied.reason


def test_only_the_clock_is_let_through_before_that(make_center, make_charter):
    center = make_center(make_charter())
    clock = Said("0" * 64, Clock(checkpoint=""), "operator", Role.OPERATOR, "0" * 64, "0" * 64)
    assert judge_speaker(center.state, clock, center.at) == Granted()


def test_founders_sign_the_same_text(make_center, make_charter):
    center = make_center(make_charter())
    center.do("a", CharterAdopt(charter=center.founding), Role.ROOT)
    other = make_charter(name="Another caravan")
    assert "sign the same text" in center.refuse("b", CharterAdopt(charter=other), Role.ROOT).reason


def test_a_founder_signs_once_and_a_stranger_never(make_center, make_charter):
    center = make_center(make_charter())
    center.do("a", CharterAdopt(charter=center.founding), Role.ROOT)
    assert "already signed" in center.refuse("a", CharterAdopt(charter=center.founding), Role.ROOT).reason
    assert "no founder" in center.refuse("z", CharterAdopt(charter=center.founding), Role.ROOT).reason


def test_a_charter_in_force_is_not_adopted_again(center):
    assert "amend it" in center.refuse("a", CharterAdopt(charter=center.founding), Role.ROOT).reason


def test_a_signed_entry_finds_its_holder_in_the_charter_it_adopts(make_charter, make_record):
    signer = RootSigner()
    founder = make_record("a")
    founder = replace(founder, keys={**founder.keys, "root": (signer.public,)})
    founding = replace(make_charter(), members=(founder,), faulty=0)
    envelope = parse_envelope(sign_body(CharterAdopt(charter=founding), signer))
    body = from_json(CharterAdopt, envelope.predicate)
    holder = holder_of(CharterState(), envelope.signer, body)
    assert holder == KeyHolder("a", Role.ROOT, signer.public)
    envelope.verify(holder.public)
    said = Said(envelope.id, body, holder.member, holder.role, envelope.signer, envelope.id)
    state = apply(CharterState(), said, Instant(0, 0))
    assert state.in_force
    assert holder_of(state, envelope.signer, None) == holder


def test_every_key_of_the_charter_has_its_holder(center):
    for member in center.founding.members:
        for holder in member.holders():
            assert holder_of(center.state, key_id(holder.public), None) == holder
    operator = holder_of(center.state, key_id(center.founding.operator), None)
    assert operator == KeyHolder("operator", Role.OPERATOR, center.founding.operator)
    assert holder_of(center.state, key_id(b"stranger"), None) is None
    assert holder_of(CharterState(), key_id(b"stranger"), CharterAdopt(charter=center.founding)) is None


def test_each_member_witnesses_with_one_key(center):
    assert witness_keys(center.state) == {member.id: member.keys["witness"][0] for member in center.founding.members}
    assert witness_faults(center.state) == 1
    assert witness_faults(CharterState()) == 0


def test_what_is_not_there_permits_nothing(center):
    nothing = "0" * 64
    assert life_of(center.state, nothing, center.at) is Life.UNKNOWN
    assert parties_of(center.state, nothing, center.at) == frozenset()
    assert obliged_by(center.state, nothing, center.at) == frozenset()
    assert standing_of(center.state, "z", center.at) is Standing.UNKNOWN
    assert not in_good_standing(center.state, "z", center.at)
    with pytest.raises(Missing, match="no proposal 000000000000"):
        get_proposal(center.state, nothing)


def test_the_operator_may_speak_once_the_charter_is_in_force(center):
    said = Said("0" * 64, ProposalOpen(topic="x", title="", text=""), "operator", Role.OPERATOR, "0" * 64, "0" * 64)
    assert not isinstance(judge_speaker(center.state, said, center.at), Denied)


def test_a_statement_of_another_room_is_a_mistake_and_not_a_denial(center):
    clock = Said("0" * 64, Clock(checkpoint=""), "operator", Role.OPERATOR, "0" * 64, "0" * 64)
    with pytest.raises(AssertionError, match="expected a statement of the charter room"):
        judge(center.state, clock, center.at)
    with pytest.raises(AssertionError, match="expected a statement of the charter room"):
        apply(center.state, clock, center.at)
