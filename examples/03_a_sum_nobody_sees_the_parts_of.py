"""A sum that nobody sees the parts of: masks, one member gone, and still the exact sum."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from serai.aggregation.codec import Block, Codec, decode, encode
from serai.aggregation.masking import Keystreams, Release, Roster, leftover_masks
from serai.aggregation.ring import Lanes
from serai.kernel.ids import MemberId
from serai.ledger.merkle import leaf_hash
from serai.storage.keyring import Keyring

ALMATY, BERN, CUSCO, DELHI = (MemberId(name) for name in ("almaty", "bern", "cusco", "delhi"))
VECTORS = {ALMATY: [1.5, -2.0, 0.25], BERN: [0.5, 0.5, 0.5], CUSCO: [3.0, 1.0, -1.0]}  # delhi's line is down
CODEC = Codec(bits=16, limit=8000, blocks=(Block(length=3, step=Fraction(1, 100)),))
ROUND = leaf_hash(b"round.open: these four, this model")  # what everybody saw in the log salts the masks


def main() -> None:
    """One round of a secure sum, first honest, then with a member who was shown another round."""
    with tempfile.TemporaryDirectory() as folder:
        rings = {name: Keyring.create(Path(folder) / name, []) for name in (*VECTORS, DELHI)}
        agreements = {name: ring.agreement("run") for name, ring in rings.items()}
    keys = {name: agreement.public for name, agreement in agreements.items()}
    seeds = {name: os.urandom(32) for name in VECTORS}

    def upload(name: MemberId, salt: bytes) -> Lanes:
        """What a member sends: its numbers as integers, plus its own mask and one with each other member."""
        lanes, _ = encode(CODEC, np.array(VECTORS[name]))
        roster = Roster(me=name, keys=keys, salt=salt)
        Keystreams(CODEC.ring, roster.masks(agreements[name], seeds[name])).add(lanes, 0)
        return lanes

    def release(name: MemberId) -> Release:
        """What a member makes known after the close: its own seed, and the one it shares with whoever is missing."""
        roster = Roster(me=name, keys=keys, salt=ROUND)
        return Release(seeds[name], roster.pair_seeds(agreements[name], [DELHI]))

    def read(uploads: dict[MemberId, Lanes]) -> list[float]:
        """What anybody can do then: add the uploads, take the released masks out."""
        total = CODEC.ring.zeros(CODEC.length)
        for lanes in uploads.values():
            CODEC.ring.add(total, lanes)
        Keystreams(CODEC.ring, leftover_masks({name: release(name) for name in uploads})).add(total, 0)
        CODEC.ring.reduce(total)
        return [float(value) for value in decode(CODEC, total)]

    uploads = {name: upload(name, ROUND) for name in VECTORS}
    for name, lanes in uploads.items():
        print(f"{name:<7} holds {VECTORS[name]!s:<17} and sends {lanes}")
    total = read(uploads)
    print(f"sum     {total}, though delhi never came")

    # A center shows bern another roster or model: bern's masks no longer fit, and the sum is noise, not a leak.
    noise = read({**uploads, BERN: upload(BERN, leaf_hash(b"round.open: another story"))})
    print(f"noise   {noise}, since bern was shown another round")

    plain = [float(value) for value in np.sum(list(VECTORS.values()), axis=0)]
    assert total == plain
    assert noise != plain
    print("proved: the masked sum is the plain sum, and a member who saw another round makes it unreadable")


if __name__ == "__main__":
    main()
