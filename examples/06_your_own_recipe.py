"""Your own recipe: an age pyramid of all members' patients, through masks, in one round."""

import tempfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from serai.aggregation.codec import Block, Codec, Encoder
from serai.aggregation.exchange import masked_chunks, read_total, sum_chunks
from serai.aggregation.masking import Release, Roster, leftover_masks
from serai.kernel.ids import MemberId
from serai.ledger.merkle import leaf_hash
from serai.storage.keyring import Keyring
from serai.training.methods import Context, Data, Recipe, Vector
from serai.training.tensors import Model

DECADES = np.arange(0, 101, 10)


class AgePyramid:
    """How many patients there are in each decade of life."""

    name = "age_pyramid"
    outputs = ("aggregate",)
    length = len(DECADES) - 1

    def codec(self, members: int) -> Codec:
        """Counts of up to a million, in a ring with room for the sum of all members."""
        whole = Block(length=self.length, step=Fraction(1))
        return Codec(bits=(2 * 10**6 * members).bit_length(), limit=10**6, blocks=(whole,))

    def initial(self) -> Model:
        """Nobody counted yet."""
        return {"count": np.zeros(self.length)}

    def contribute(self, _model: Model, data: Data, _context: Context) -> Vector:
        """What one member adds; any library may compute it."""
        return np.histogram(data.x[:, 0], DECADES)[0].astype(float)

    def combine(self, _model: Model, total: Vector, _members: float) -> Model:
        """What everybody makes of the sum: the same bits on every machine."""
        return {"count": total.copy()}

    def evaluate(self, _model: Model, data: Data) -> Mapping[str, int]:
        """Statistics are not scored."""
        return {"n": len(data.x)}


def main() -> None:
    """Run it over three members' ages as a round would, without the processes around it."""
    recipe: Recipe = AgePyramid()  # a type checker holds the class against the contract here
    generator = np.random.default_rng(7)
    ages = {MemberId(name): generator.uniform(18, 95, (200, 1)) for name in ("almaty", "bern", "cusco")}
    codec, salt, none = recipe.codec(len(ages)), leaf_hash(b"round.open"), np.zeros(0)
    with tempfile.TemporaryDirectory() as folder:
        agreements = {name: Keyring.create(Path(folder) / name, []).agreement("run") for name in ages}
    keys = {name: agreement.public for name, agreement in agreements.items()}
    uploads, releases = [], {}
    for name, x in ages.items():
        data = Data(x=x, y=none, test_x=x[:0], test_y=none, names=("age",))
        vector = recipe.contribute(recipe.initial(), data, Context(round=0, seed=bytes(32), member=name))
        seed = generator.bytes(32)
        masks = Roster(me=name, keys=keys, salt=salt).masks(agreements[name], seed)
        uploads.append(b"".join(masked_chunks(codec, Encoder(codec, vector).chunk, masks)))
        releases[name] = Release(seed, {})
    masked = b"".join(sum_chunks(codec, [[upload].__getitem__ for upload in uploads]))
    total = np.empty(codec.length)
    read_total(codec, [masked].__getitem__, leftover_masks(releases), total)
    model = recipe.combine(recipe.initial(), total, len(ages))

    for decade, count in zip(DECADES, model["count"], strict=False):
        print(f"{decade:>3} to {decade + 9:<3} {'#' * int(count // 2)} {count:.0f}")
    assert model["count"].tolist() == np.histogram(np.concatenate(list(ages.values())), DECADES)[0].tolist()
    print(f"proved: {len(uploads[0])} masked bytes from each member give the counts of all {total.sum():.0f} patients")


if __name__ == "__main__":
    main()
