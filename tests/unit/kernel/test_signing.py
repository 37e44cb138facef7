"""What it takes for a statement's signatures to hold: every part of the suite, of one key, over the same bytes."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from serai.errors import Malformed, Unverified
from serai.kernel.canonical import canonical
from serai.kernel.envelope import MAX_ENTRY_BYTES, parse_envelope, sign_payload, sign_statement, write_payload
from serai.kernel.extras import MAX_EXTRA_BYTES, MAX_EXTRAS, ExtraSignature, judge_extras
from serai.kernel.keys import (
    HYBRID_KEY_BYTES,
    Role,
    Suite,
    ed25519_part,
    ed25519_signature,
    find_suite,
    key_id,
    split_signature,
    verify_signature,
)
from serai.storage.keyring import Keyring


@pytest.fixture(scope="module")
def signers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signers")
    return {
        (suite, name): Keyring.create(folder / suite / name, [Role.ROOT], suite).signer(Role.ROOT)
        for suite in Suite
        for name in ("one", "two")
    }


@pytest.fixture(scope="module")
def hybrid(signers):
    return signers[Suite.HYBRID, "one"]


@pytest.fixture(scope="module")
def other(signers):
    return signers[Suite.HYBRID, "two"]


def entry_of(signer, predicate=None):
    return sign_statement("ballot", predicate or {"choice": "yes"}, {}, signer)


def bent(entry, change):
    """The entry with its list of signatures changed."""
    outer = json.loads(entry)
    outer["signatures"] = change(outer["signatures"])
    return canonical(outer)


@pytest.mark.parametrize("suite", Suite)
def test_an_entry_of_each_suite_verifies_with_its_key_and_with_no_other(signers, suite):
    signer, other = signers[suite, "one"], signers[suite, "two"]
    envelope = parse_envelope(entry_of(signer))
    envelope.verify(signer.public)
    assert envelope.encode() == entry_of(signer) or suite is Suite.HYBRID  # ML-DSA draws its own randomness
    with pytest.raises(Unverified):
        envelope.verify(other.public)


def test_the_length_of_a_key_tells_its_suite(signers):
    for (suite, _), signer in signers.items():
        assert find_suite(signer.public) is suite
    assert find_suite(b"x" * 33) is None
    with pytest.raises(Unverified, match="known suite"):
        verify_signature(b"x" * 33, b"y" * 64, b"z")


def test_both_signatures_stand_in_the_entry_under_the_one_key_id_the_first_plain_ed25519(hybrid):
    entry = entry_of(hybrid)
    signatures = json.loads(entry)["signatures"]
    assert [item["keyid"] for item in signatures] == [key_id(hybrid.public)] * 2
    message = parse_envelope(entry).message
    Ed25519PublicKey.from_public_bytes(hybrid.public[:32]).verify(base64.b64decode(signatures[0]["sig"]), message)
    assert len(hybrid.public) == HYBRID_KEY_BYTES


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[:1],
        lambda items: items[1:],
        lambda items: items[::-1],
        lambda items: [items[0], items[0]],
        lambda items: [items[1], items[1]],
        lambda items: [{**items[0], "sig": base64.b64encode(b"".join(map(raw, items))).decode()}],
    ],
    ids=["without ML-DSA", "without Ed25519", "swapped", "Ed25519 twice", "ML-DSA twice", "in one"],
)
def test_a_hybrid_statement_without_both_signatures_in_order_does_not_hold(hybrid, change):
    with pytest.raises(Unverified, match="expected 2 signatures"):
        parse_envelope(bent(entry_of(hybrid), change)).verify(hybrid.public)


def raw(item):
    return base64.b64decode(item["sig"])


@pytest.mark.parametrize("number", [0, 1])
def test_one_signature_of_another_key_spoils_a_hybrid_statement(hybrid, other, number):
    """The other's signature is over the same bytes: only the key differs."""
    payload = write_payload("ballot", {"choice": "yes"}, {}, key_id(hybrid.public))
    message = sign_payload(payload, hybrid).message
    parts = list(split_signature(hybrid.public, hybrid.sign(message)))
    parts[number] = split_signature(other.public, other.sign(message))[number]
    with pytest.raises(Unverified):
        verify_signature(hybrid.public, b"".join(parts), message)


@pytest.mark.parametrize("place", [0, 63, 64, 64 + 1951, 64 + 1952, -1])
def test_one_bent_byte_anywhere_spoils_a_hybrid_signature(hybrid, place):
    signature = bytearray(hybrid.sign(b"hello"))
    verify_signature(hybrid.public, bytes(signature), b"hello")
    signature[place] ^= 1
    with pytest.raises(Unverified):
        verify_signature(hybrid.public, bytes(signature), b"hello")


def test_a_hybrid_signature_is_none_of_its_ed25519_key_alone(hybrid):
    with pytest.raises(Unverified, match="expected a signature of 64 bytes"):
        verify_signature(ed25519_part(hybrid.public), hybrid.sign(b"hello"), b"hello")
    verify_signature(ed25519_part(hybrid.public), ed25519_signature(hybrid, b"hello"), b"hello")
    # ... and the Ed25519 part cannot be passed off as a statement by that key: the statement names the whole one.
    entry = bent(entry_of(hybrid), lambda items: [{**items[0], "keyid": key_id(ed25519_part(hybrid.public))}])
    with pytest.raises(Malformed, match="by the signer"):
        parse_envelope(entry)


@given(size=st.integers(0, 6000))
def test_a_signature_of_any_other_size_is_refused(hybrid, size):
    if size != 64 + 1952 + 3309:
        with pytest.raises(Unverified, match="expected a signature of"):
            verify_signature(hybrid.public, bytes(size), b"hello")


def test_the_entry_limit_holds_with_two_signatures(hybrid, signers):
    text = {"text": "x" * 46_000}
    assert len(entry_of(signers[Suite.ED25519, "one"], text)) < MAX_ENTRY_BYTES
    with pytest.raises(Malformed, match=str(MAX_ENTRY_BYTES)):
        entry_of(hybrid, text)


def test_a_statement_is_signed_only_with_the_key_that_it_names(hybrid, other):
    payload = write_payload("ballot", {"choice": "yes"}, {}, key_id(hybrid.public))
    with pytest.raises(Malformed, match="use the key it asks for"):
        sign_payload(payload, other)


# Further signatures


@pytest.fixture
def envelope(hybrid):
    return parse_envelope(entry_of(hybrid))


def test_further_signatures_are_kept_in_order_and_change_nothing_that_is_said(envelope, hybrid):
    later = envelope.with_extra(ExtraSignature("sm2:ministry", b"\x01")).with_extra(ExtraSignature("gost:key", b"\x02"))
    again = parse_envelope(later.encode())
    assert again == later
    assert [extra.key for extra in again.extras] == ["gost:key", "sm2:ministry"]
    assert (again.id, again.predicate, again.parts) == (envelope.id, envelope.predicate, envelope.parts)
    again.verify(hybrid.public)


def test_a_further_signature_counts_only_where_there_is_a_verifier_and_never_against_the_statement(envelope, hybrid):
    later = envelope.with_extra(ExtraSignature("toy:good", b"good")).with_extra(ExtraSignature("toy:bad", b"worse"))
    later = later.with_extra(ExtraSignature("gost:key", b"\x02"))
    toy = {"toy": lambda key, signature, message: signature == key.encode() and message == envelope.message}
    assert judge_extras(later.extras, later.message, toy) == {"toy:good": True, "toy:bad": False, "gost:key": None}
    assert judge_extras(later.extras, later.message, {}) == dict.fromkeys(["toy:good", "toy:bad", "gost:key"])
    later.verify(hybrid.public)


@pytest.mark.parametrize(
    "key", ["gost", "gost:", ":key", "GOST:key", "gost:k y", "gost:k\n", "g" * 33 + ":k", "g:" + "k" * 129]
)
def test_a_further_signature_names_its_suite_and_key_in_few_plain_characters(key):
    with pytest.raises(Malformed, match="suite:name"):
        ExtraSignature(key, b"x")


def test_further_signatures_are_bounded_in_size_and_number(envelope):
    for size in (0, MAX_EXTRA_BYTES + 1):
        with pytest.raises(Malformed, match="expected a signature of 1 to"):
            ExtraSignature("toy:key", bytes(size))
    for number in range(MAX_EXTRAS):
        envelope = envelope.with_extra(ExtraSignature(f"toy:{number}", b"x"))
    with pytest.raises(Malformed, match=f"at most {MAX_EXTRAS} further"):
        envelope.with_extra(ExtraSignature("toy:one-more", b"x"))


def extra(key):
    return {"keyid": key, "sig": "eA=="}


@pytest.mark.parametrize(
    "change",
    [
        lambda items: [extra("toy:a"), *items],
        lambda items: [items[0], extra("toy:a"), *items[1:]],
        lambda items: [*items, extra("toy:b"), extra("toy:a")],
        lambda items: [*items, extra("toy:a"), extra("toy:a")],
        lambda items: [*items, extra("0" * 64)],
        lambda items: [*items, {**extra("toy:a"), "cert": ""}],
        lambda items: [*items, {"keyid": ["toy:a"], "sig": "eA=="}],
        lambda items: [*items, *items],
        lambda items: items * 100,
        lambda _items: [],
        lambda _items: [extra("toy:a")],
        lambda _items: {},
    ],
    ids=lambda _: "",
)
def test_an_envelope_whose_signatures_stand_otherwise_is_no_entry(hybrid, change):
    with pytest.raises(Malformed):
        parse_envelope(bent(entry_of(hybrid), change))
