"""Receipts of use are a chain: none can be taken out, changed, put elsewhere or signed by somebody else."""

from dataclasses import replace

import pytest

from serai.errors import Malformed, Unverified
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import Role, key_id
from serai.kernel.statement import sign_body
from serai.storage.keyring import Keyring
from serai.zones.facts import PrivacyCost, Unit
from serai.zones.statements import Grant
from serai.zones.uses import FIRST, Left, Use, parse_use, verify_uses

USE = Use(
    number=0,
    previous=FIRST,
    at_ms=1,
    size=40,
    left=Left.COUNTS,
    run=Digest("ab" * 32),
    about=Digest("cd" * 32),
    offer=Digest("01" * 32),
    dataset=Digest("02" * 32),
    agreement=Digest("03" * 32),
    purpose="research",
    planner=MemberId("lima"),
    recipe="newton",
    code=Digest("04" * 32),
    rows=10,
    subjects=None,
    bytes=20,
    digest=Digest("05" * 32),
    shown={"n": 10},
    receivers=("bern", "lima"),
    privacy=PrivacyCost(unit=Unit.RECORD, epsilon_millionths=5, delta_trillionths=7),
    airlock="",
)


@pytest.fixture
def keys(tmp_path):
    return Keyring.create(tmp_path / "keys", [Role.ZONE, Role.STEWARD])


def chain(signer, length=4):
    receipts, previous = [], FIRST
    for number in range(length):
        receipts.append(sign_body(replace(USE, number=number, previous=previous), signer))
        previous = digest_of(receipts[-1])
    return receipts


def known(*signers):
    return {key_id(signer.public): signer.public for signer in signers}.get


def test_a_whole_chain_is_read_as_it_was_written(keys):
    signer = keys.signer(Role.ZONE)
    read = verify_uses(chain(signer), known(signer))
    assert [use.number for use in read] == [0, 1, 2, 3]
    assert replace(read[0], number=0) == USE
    assert verify_uses([], known()) == ()


@pytest.mark.parametrize(
    "bend",
    [
        lambda receipts: receipts[1:],
        lambda receipts: [*receipts[:1], *receipts[2:]],
        lambda receipts: [receipts[1], receipts[0], *receipts[2:]],
        lambda receipts: [*receipts, receipts[-1]],
    ],
    ids=["the first is gone", "one is gone", "two are exchanged", "one stands twice"],
)
def test_what_is_taken_out_or_moved_shows(keys, bend):
    signer = keys.signer(Role.ZONE)
    with pytest.raises(Unverified, match="expected receipt"):
        verify_uses(bend(chain(signer)), known(signer))


def test_a_receipt_that_is_written_anew_breaks_those_after_it(keys):
    signer = keys.signer(Role.ZONE)
    receipts = chain(signer)
    receipts[1] = sign_body(replace(parse_use(receipts[1]), rows=1), signer)
    with pytest.raises(Unverified, match="expected receipt 2"):
        verify_uses(receipts, known(signer))


def test_a_strangers_signature_counts_for_nothing(keys):
    zone, steward = keys.signer(Role.ZONE), keys.signer(Role.STEWARD)
    with pytest.raises(Unverified, match="no zone key of this member"):
        verify_uses(chain(steward), known(zone))
    bent = bytearray(chain(zone)[0])
    place = bent.index(b'"sig":"') + 7
    bent[place] = ord("A") if bent[place] != ord("A") else ord("B")
    with pytest.raises(Unverified):
        verify_uses([bytes(bent)], known(zone))


def test_what_is_no_receipt_is_not_read(keys):
    other = sign_body(Grant(offer=USE.offer, agreement=USE.agreement, terms=()), keys.signer(Role.ZONE))
    with pytest.raises(Malformed, match="expected a receipt of use"):
        parse_use(other)
