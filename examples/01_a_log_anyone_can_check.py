"""A log that anyone can check: append, prove, cosign; a bent entry is caught."""

import tempfile
from pathlib import Path

from serai.errors import Unverified
from serai.kernel.ids import MemberId
from serai.kernel.keys import Role
from serai.ledger.checkpoint import LogSigner
from serai.ledger.checkpoint import cosign as cosign_checkpoint
from serai.ledger.merkle import (
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    reader_of,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from serai.ledger.note import parse_note
from serai.ledger.policy import Witnesses, open_witnessed
from serai.storage.keyring import Keyring

MEMBERS = [MemberId(name) for name in ("almaty", "bern", "cusco", "delhi")]


def main() -> None:
    """Keep a log of a thousand entries and check it as an outsider would."""
    entries = [f"decision {number}".encode() for number in range(1000)]
    leaves = [leaf_hash(entry) for entry in entries]
    old_root, root = root_of(leaves[:600]), root_of(leaves)

    # Is entry 437 in it? Ten hashes say so, not a thousand entries.
    inclusion = prove_inclusion(437, 1000, reader_of(leaves))
    verify_inclusion(inclusion, 437, 1000, leaf_hash(entries[437]), root)
    print(f"entry 437 of 1000 is included: {len(inclusion)} hashes prove it")

    # Is what we saw at 600 entries still its beginning, or did somebody rewrite the past?
    consistency = prove_consistency(600, 1000, reader_of(leaves))
    verify_consistency(consistency, (600, old_root), (1000, root))
    print(f"the first 600 entries were not rewritten: {len(consistency)} hashes prove it")

    caught = ""
    try:
        verify_inclusion(inclusion, 437, 1000, leaf_hash(b"decision 437, slightly different"), root)
    except Unverified as error:
        caught = error.message
    print(f"a bent entry is caught: {caught}")

    # The log signs its head; each member's witness cosigns it. Four members, one of whom may lie, make a quorum of 3.
    with tempfile.TemporaryDirectory() as folder:
        keys = {member: Keyring.create(Path(folder) / member, [Role.WITNESS]) for member in MEMBERS}
        log = LogSigner(
            "center.example/log", Keyring.create(Path(folder) / "log", [Role.OPERATOR]).signer(Role.OPERATOR)
        )
        witnesses = Witnesses({member: ring.signer(Role.WITNESS).public for member, ring in keys.items()})
        note = log.sign(1000, root)
        body = parse_note(note).text
        final_from = 0
        for count, member in enumerate(MEMBERS, 1):
            note += cosign_checkpoint(body, member, keys[member].signer(Role.WITNESS), 1_790_000_000)
            try:
                assert open_witnessed(note, log.key, witnesses).checkpoint.root == root
            except Unverified as error:
                print(f"{count} of 4 members: not final, {error.message}")
            else:
                final_from = final_from or count
                print(f"{count} of 4 members: final")
    print(f"\n{note}")
    assert caught
    assert final_from == witnesses.quorum == 3
    print("proved: three of four members make it final; it holds entry 437, rewrites nothing, and lets none be bent")


if __name__ == "__main__":
    main()
