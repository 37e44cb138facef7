"""Checkpoints and the quorum of members that must have cosigned them."""

import pytest

from serai.errors import Malformed, Misconfigured, Unverified
from serai.kernel.ids import MemberId
from serai.kernel.keys import Role
from serai.kernel.records import from_json, to_json
from serai.ledger.checkpoint import (
    Checkpoint,
    LogSigner,
    cosign,
    log_key,
    open_checkpoint,
    parse_checkpoint,
    verify_cosignature,
    witness_key,
)
from serai.ledger.merkle import EMPTY_ROOT
from serai.ledger.note import parse_note
from serai.ledger.policy import (
    Witnesses,
    count_members,
    median_time_ms,
    open_witnessed,
    quorum,
    require_quorum,
)
from serai.ledger.statements import STATEMENTS, Clock

ORIGIN = "center.example/serai"
NAMES = tuple(MemberId(name) for name in ("astana", "bern", "cairo", "delhi"))
ROOT = bytes(range(32))
BODY = Checkpoint(ORIGIN, 42, ROOT).body()


@pytest.fixture
def log(signer):
    return LogSigner(ORIGIN, signer(1))


@pytest.fixture
def witnesses(signer):
    return {name: signer(10 + place) for place, name in enumerate(NAMES)}


@pytest.fixture
def policy(witnesses):
    return Witnesses({name: witness.public for name, witness in witnesses.items()})


def signed(log, witnesses, names=NAMES, time_s=1_700_000_000):
    return log.sign(42, ROOT) + "".join(
        cosign(BODY, name, witnesses[name], time_s + place) for place, name in enumerate(names)
    )


def test_a_checkpoint_is_three_lines():
    body = Checkpoint(ORIGIN, 42, ROOT).body()

    assert body == f"{ORIGIN}\n42\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert parse_checkpoint(body) == Checkpoint(ORIGIN, 42, ROOT)
    assert Checkpoint(ORIGIN, 0, EMPTY_ROOT).body().endswith("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")


@pytest.mark.parametrize(
    "body",
    [
        "",
        BODY[:-1],
        BODY + "extension\n",
        BODY.replace("42", "042"),
        BODY.replace("42", "-1"),
        BODY.replace("42", "\u0664\u0662"),
        BODY.replace("42", "9" * 30),
        BODY.replace("AAEC", "AAE"),
        BODY.replace("Hh8=", "Hh9="),
        BODY.replace("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AAEC"),
        BODY.replace(ORIGIN, ""),
    ],
)
def test_what_is_no_checkpoint_is_refused(body):
    with pytest.raises(Malformed):
        parse_checkpoint(body)


def test_a_signed_checkpoint_opens_with_its_logs_key(log):
    assert open_checkpoint(parse_note(log.sign(42, ROOT)), log.key) == Checkpoint(ORIGIN, 42, ROOT)


def test_a_checkpoint_of_another_log_or_key_is_refused(log, signer):
    note = parse_note(log.sign(42, ROOT))
    with pytest.raises(Unverified, match=r"got one of center\.example/serai"):
        open_checkpoint(note, log_key("other.example/log", signer(1).public))
    with pytest.raises(Unverified, match="has none"):
        open_checkpoint(note, log_key(ORIGIN, signer(2).public))


def test_a_cosignature_holds_for_its_checkpoint_member_and_log_only(witnesses):
    line = cosign(BODY, NAMES[0], witnesses[NAMES[0]], 1_700_000_000)
    key = witness_key(ORIGIN, NAMES[0], witnesses[NAMES[0]].public)

    assert verify_cosignature(BODY, line, key) == 1_700_000_000
    with pytest.raises(Unverified):
        verify_cosignature(BODY.replace("42", "43"), line, key)
    with pytest.raises(Unverified, match=r"got one of center\.example/serai/witness/astana"):
        verify_cosignature(BODY, line, witness_key(ORIGIN, NAMES[1], witnesses[NAMES[1]].public))
    with pytest.raises(Unverified):
        verify_cosignature(BODY, line, witness_key("other.example/log", NAMES[0], witnesses[NAMES[0]].public))
    with pytest.raises(Malformed):
        verify_cosignature(BODY, line.strip(), key)


@pytest.mark.parametrize(
    ("members", "faulty", "needed"),
    [
        (1, None, 1),
        (2, None, 2),
        (3, None, 2),
        (4, None, 3),
        (5, None, 4),
        (7, None, 5),
        (10, None, 7),
        (100, None, 67),
        (5, 0, 3),
        (10, 1, 6),
    ],
)
def test_the_quorum_makes_any_two_quorums_share_an_honest_member(members, faulty, needed):
    f = (members - 1) // 3 if faulty is None else faulty

    assert quorum(members, faulty) == needed
    assert 2 * needed - members > f
    assert needed <= members - f


@pytest.mark.parametrize(("members", "faulty"), [(0, None), (0, 0), (3, 1), (6, 2), (4, -1)])
def test_a_policy_that_no_honest_quorum_can_meet_is_refused(members, faulty):
    with pytest.raises(Misconfigured, match="name at least"):
        quorum(members, faulty)


def test_a_quorum_of_members_makes_a_checkpoint_witnessed(log, witnesses, policy):
    witnessed = open_witnessed(signed(log, witnesses, NAMES[:3]), log.key, policy)

    assert witnessed.checkpoint == Checkpoint(ORIGIN, 42, ROOT)
    assert witnessed.times_s == {name: 1_700_000_000 + place for place, name in enumerate(NAMES[:3])}
    assert witnessed.time_ms == 1_700_000_001_000


def test_too_few_members_make_none_however_often_they_sign(log, witnesses, policy):
    note = signed(log, witnesses, (NAMES[0], NAMES[1], NAMES[0], NAMES[1], NAMES[0]))

    with pytest.raises(Unverified, match="expected cosignatures of 3 of 4 members, got 2: astana, bern"):
        open_witnessed(note, log.key, policy)


def test_one_key_under_two_names_is_one_witness(log, witnesses):
    shared = witnesses[NAMES[0]]
    note = parse_note(signed(log, dict.fromkeys(NAMES, shared)))

    assert list(count_members(note, dict.fromkeys(NAMES, shared.public))) == [NAMES[0]]


def test_a_cosigner_who_is_no_member_does_not_count(log, witnesses, policy, signer):
    note = signed(log, {**witnesses, "mallory": signer(99)}, (NAMES[0], NAMES[1], MemberId("mallory")))

    with pytest.raises(Unverified, match="got 2"):
        require_quorum(parse_note(note), policy)


def test_one_false_cosignature_spoils_even_a_full_quorum(log, witnesses, policy):
    lines = signed(log, witnesses, NAMES[:3]) + cosign(
        BODY.replace("42", "41"), NAMES[3], witnesses[NAMES[3]], 1_700_000_000
    )

    with pytest.raises(Unverified, match="does not hold"):
        open_witnessed(lines, log.key, policy)


def test_cosignatures_do_not_replace_the_logs_own_signature(log, witnesses, policy):
    note = signed(log, witnesses).replace(f"\u2014 {ORIGIN} ", f"\u2014 {ORIGIN}/nobody ")

    with pytest.raises(Unverified, match="has none"):
        open_witnessed(note, log.key, policy)


def test_the_median_lies_between_honest_times_whatever_one_of_four_says():
    assert median_time_ms([100, 101, 102, 2**63]) == 101_000
    assert median_time_ms([0, 100, 101, 102]) == 100_000
    assert median_time_ms([7]) == 7_000
    with pytest.raises(Unverified, match="at least one"):
        median_time_ms([])


def test_a_clock_is_said_by_the_operator_and_carries_the_note(log, witnesses):
    clock = Clock(checkpoint=signed(log, witnesses))

    assert from_json(Clock, to_json(clock)) == clock
    assert {(body.KIND, *body.ROLES) for body in STATEMENTS} == {
        ("clock", Role.OPERATOR),
        ("state.attest", Role.ZONE),
        ("receipt", Role.ZONE),
    }
