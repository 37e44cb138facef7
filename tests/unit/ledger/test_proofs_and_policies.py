"""Files for outsiders: proofs of entries, and the policy by which they are judged."""

import pytest

from serai.errors import Malformed, Unverified
from serai.kernel.ids import MemberId
from serai.ledger.checkpoint import Checkpoint, LogSigner, cosign
from serai.ledger.merkle import leaf_hash, prove_inclusion, reader_of, root_of
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses
from serai.ledger.proof import LogProof, parse_proof
from serai.ledger.trust_policy import parse_policy, policy_of

ENTRIES = [b"entry %d" % number for number in range(11)]
MEMBERS = ("astana", "bern", "cairo", "delhi", "lima")


@pytest.fixture
def log(signer):
    return LogSigner("center.example/log", signer(1))


@pytest.fixture
def witnesses(signer):
    return {MemberId(name): signer(10 + place) for place, name in enumerate(MEMBERS)}


@pytest.fixture
def policy(log, witnesses):
    keys = {name: signer.public for name, signer in witnesses.items()}
    return policy_of(log.key, Witnesses(keys, 1), {}, {log.key.encode(): "https://center.example"})


def checkpoint(log, witnesses, names):
    root = root_of([leaf_hash(entry) for entry in ENTRIES])
    body = Checkpoint(log.origin, len(ENTRIES), root).body()
    lines = [cosign(body, MemberId(name), witnesses[name], 1_700_000_000) for name in names]
    return parse_note(log.sign(len(ENTRIES), root) + "".join(lines))


def proof_of(index, note):
    hashes = prove_inclusion(index, len(ENTRIES), reader_of([leaf_hash(entry) for entry in ENTRIES]))
    return LogProof(index, hashes, note)


@pytest.mark.parametrize("index", [0, 5, 10])
def test_a_proof_survives_its_file_and_proves_its_entry_only(log, witnesses, policy, index):
    text = proof_of(index, checkpoint(log, witnesses, MEMBERS[:4])).encode()
    proof = parse_proof(text)
    assert proof.encode() == text
    assert proof.check(ENTRIES[index]).size == len(ENTRIES)
    found, times = policy.open(proof.note)
    assert (found.size, set(times)) == (len(ENTRIES), set(MEMBERS[:4]))
    with pytest.raises(Unverified, match="does not lead to the root"):
        proof.check(ENTRIES[index - 1])


def test_extra_bytes_travel_with_a_proof(log, witnesses):
    proof = LogProof(0, (), checkpoint(log, witnesses, ()), b"context")
    assert proof.encode().split("\n")[1] == "extra Y29udGV4dA=="
    assert parse_proof(proof.encode()).extra == b"context"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("c2sp.org/tlog-proof@v2\nindex 0\n\n", "begins with"),
        ("c2sp.org/tlog-proof@v1\nindex 007\n\nx", "index"),
        ("c2sp.org/tlog-proof@v1\nextra !\nindex 0\n\nx", "base64"),
        ("c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\nx", "32 bytes"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n" + "A" * 43 + "=\n" * 1 + "\n\nx", "note|signature|text"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n" + ("A" * 43 + "=\n") * 64 + "\nx", "at most 63"),
    ],
)
def test_what_is_no_proof_is_refused(text, reason):
    with pytest.raises(Malformed, match=reason):
        parse_proof(text)


def test_the_policy_file_says_what_the_charter_does(log, witnesses, policy):
    text = policy.encode()
    assert text.splitlines()[0] == f"log {log.key.encode()} https://center.example"
    assert text.splitlines()[-2:] == [f"group members 4 {' '.join(MEMBERS)}", "quorum members"]
    assert parse_policy(text) == policy
    with pytest.raises(Unverified, match="not members"):
        policy.open(checkpoint(log, witnesses, MEMBERS[:3]))


def test_constituencies_become_nested_groups_which_together_are_a_quorum(log, witnesses):
    keys = {name: signer.public for name, signer in witnesses.items()}
    parts = {"north": [MemberId("astana"), MemberId("bern")], "south": [MemberId("lima"), MemberId("bern")]}
    policy = policy_of(log.key, Witnesses(keys, 1), parts, {})
    assert parse_policy(policy.encode()) == policy
    assert {name: (group.threshold, group.members) for name, group in policy.groups.items()} == {
        "constituency-north": (2, ("astana", "bern")),
        "constituency-south": (1, ("lima",)),
        "others": (2, ("cairo", "delhi")),
        "members": (3, ("constituency-north", "constituency-south", "others")),
    }
    with pytest.raises(Unverified):
        policy.open(checkpoint(log, witnesses, MEMBERS[:4]))  # nobody from the south
    assert policy.open(checkpoint(log, witnesses, MEMBERS))[0].size == len(ENTRIES)


def test_groups_of_groups_of_groups_hold_where_each_of_them_does(log, witnesses, policy):
    lines = policy.encode().splitlines()[: 1 + len(MEMBERS)]
    groups = ["group a 1 astana bern", "group b all a cairo", "group c any b delhi", "group d 2 c lima", "quorum d"]
    nested = parse_policy("\n".join([*lines, *groups]) + "\n")
    for those, holds in [
        (("astana", "cairo", "lima"), True),
        (("delhi", "lima"), True),
        (("astana", "bern", "lima"), False),
        (("astana", "bern", "cairo", "delhi"), False),
    ]:
        note = checkpoint(log, witnesses, tuple(MemberId(name) for name in those))
        if holds:
            assert set(nested.open(note)[1]) == set(those)
        else:
            with pytest.raises(Unverified, match="not d"):
                nested.open(note)


def test_a_reader_who_asks_for_freshness_counts_new_cosignatures_only(log, witnesses, policy):
    made_s = 1_700_000_000
    note = checkpoint(log, witnesses, MEMBERS[:4])
    assert policy.open(note, made_s)[1] == dict.fromkeys(MEMBERS[:4], made_s)
    with pytest.raises(Unverified, match=f"cosigned since {made_s + 1} by nobody: not members"):
        policy.open(note, made_s + 1)


def test_a_policy_may_have_comments_tabs_and_words_for_thresholds(policy):
    lines = policy.encode().splitlines()
    text = "\n".join(["# who to believe", "", *(f"  {line}\t" for line in lines[:-2]), "group a any astana bern"])
    text += "\ngroup b all a cairo\nquorum b\n"
    parsed = parse_policy(text)
    assert (parsed.groups["a"].threshold, parsed.groups["b"].threshold) == (1, 2)
    assert parse_policy("quorum none\n").quorum == "none"


@pytest.mark.parametrize(
    "bend",
    [
        lambda lines: lines[:-1],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [lines[0], *lines],
        lambda lines: [*lines[:-2], "group members 6 astana bern", lines[-1]],
        lambda lines: [*lines[:-2], "group members 1 astana astana", lines[-1]],
        lambda lines: [*lines[:-2], "group x 1 astana", "group members 1 astana x", lines[-1]],
        lambda lines: [*lines[:-2], "group none 1 astana", "quorum none"],
        lambda lines: [lines[-1], *lines[:-1]],
        lambda lines: [*lines[:2], lines[1].replace("astana", "other", 1), *lines[2:]],
        lambda lines: [lines[0].replace("log ", "witness log ", 1), *lines[1:]],
        lambda lines: [*lines, "mirror x"],
        lambda lines: [*lines, "\x01"],
    ],
)
def test_what_is_no_policy_is_refused(policy, bend):
    with pytest.raises(Malformed):
        parse_policy("\n".join(bend(policy.encode().splitlines())) + "\n")
