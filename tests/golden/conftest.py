"""Fed-Heart-Disease as FLamby splits it, and whole runs of a recipe through masked sums."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from serai.aggregation.codec import check, decode, encode
from serai.aggregation.masking import Keystreams, Release, Roster, leftover_masks
from serai.aggregation.ring import CHUNK_VALUES, chunk_count
from serai.kernel.ids import MemberId, digest_of
from serai.training.methods import Context, Data

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "heart_disease"
HOSPITALS = {"cleveland": "cleveland", "hungary": "hungarian", "switzerland": "switzerland", "long_beach": "va"}
NAMES = [
    "age",
    "sex",
    "resting_bp",
    "cholesterol",
    "fasting_sugar",
    "max_heart_rate",
    "angina",
    "st_depression",
    "pain_2",
    "pain_3",
    "pain_4",
    "ecg_1",
    "ecg_2",
]


@dataclass(frozen=True)
class Key:
    """A member's X25519 key, made from its name so that runs repeat."""

    private: X25519PrivateKey

    @property
    def public(self):
        return self.private.public_key().public_bytes_raw()

    def exchange(self, public):
        return self.private.exchange(X25519PublicKey.from_public_bytes(public))


class MaskedSums:
    """Everything a round does to a vector: quantise, mask, pack, sum, unmask, decode."""

    def __init__(self, members):
        self.agreements = {
            member: Key(X25519PrivateKey.from_private_bytes(digest_of(member.encode()).encode()[:32]))
            for member in members
        }
        self.keys = {member: key.public for member, key in self.agreements.items()}
        self.clipped = 0

    def sum(self, codec, vectors, number):
        salt = digest_of(b"round.open %d" % number).encode()[:32]
        ring = codec.ring
        total = ring.zeros(codec.length)
        releases = {}
        for member, vector in vectors.items():
            lanes, clipped = encode(codec, vector)
            self.clipped += clipped
            releases[member] = Release(digest_of(f"{member} {number}".encode()).encode()[:32], {})
            roster = Roster(me=member, keys=self.keys, salt=salt)
            self._add(ring, lanes, roster.masks(self.agreements[member], releases[member].self_seed))
            ring.reduce(lanes)
            ring.add(total, ring.unpack(bytes(ring.pack(lanes)), codec.length))
        self._add(ring, total, leftover_masks(releases))
        ring.reduce(total)
        return decode(codec, total)

    @staticmethod
    def _add(ring, lanes, masks):
        keystreams = Keystreams(ring, masks)
        for chunk in range(chunk_count(lanes.size)):
            keystreams.add(lanes[chunk * CHUNK_VALUES : (chunk + 1) * CHUNK_VALUES], chunk)


@dataclass(frozen=True)
class Heart:
    """The split's arrays, and each hospital's rows as a zone would read them."""

    arrays: dict
    data: dict

    def start(self, seed):
        return {"weight": self.arrays[f"init_{seed}_weight"][0], "bias": self.arrays[f"init_{seed}_bias"]}

    def train(self, recipe, rounds):
        """The final model of a run in which all four take part; no value may be clipped."""
        sums = MaskedSums(list(self.data))
        codec = recipe.codec(len(self.data))
        check(codec, len(self.data))
        memories = {member: {} for member in self.data}
        model = recipe.initial()
        for number in range(rounds):
            vectors = {
                member: recipe.contribute(
                    model,
                    rows,
                    Context(round=number, seed=bytes(32), member=member, memory=memories[member]),
                )
                for member, rows in self.data.items()
            }
            model = recipe.combine(model, sums.sum(codec, vectors, number), len(vectors))
        assert sums.clipped == 0
        return model


def _required(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(
            f"{path} is not here: these tests compare with published figures on data kept beside the repository"
        )
    return path


@pytest.fixture(scope="session")
def heart():
    with np.load(_required("flamby_split.npz")) as archive:
        arrays = dict(archive)
    data = {
        MemberId(hospital): Data(
            x=arrays[f"{hospital}_train_x"].astype(np.float64),
            y=arrays[f"{hospital}_train_y"],
            test_x=arrays[f"{hospital}_test_x"].astype(np.float64),
            test_y=arrays[f"{hospital}_test_y"],
            names=tuple(NAMES),
        )
        for hospital in HOSPITALS
    }
    return Heart(arrays=arrays, data=data)


def raw_rows(file_name):
    """A hospital's rows with FLamby's 13 features, before scaling: complete rows, categories 2 and 6 as indicators."""
    table = np.genfromtxt(_required(file_name), delimiter=",", missing_values="?")
    table = np.delete(table, [10, 11, 12], axis=1)[:, :-1]
    table = table[~np.isnan(table).any(axis=1)]
    pain, ecg = table[:, 2], table[:, 6]
    plain = np.delete(table, [2, 6], axis=1)
    indicators = [pain == 2, pain == 3, pain == 4, ecg == 1, ecg == 2]
    return np.column_stack((plain, *indicators))


@pytest.fixture(scope="session")
def unscaled(heart):
    """Each hospital's train and test rows in the files' own units.

    The split holds rows scaled by their hospital. Scale and offset follow from
    all of a hospital's rows, which are the same rows in both files.
    """
    rows = {}
    for hospital, file_part in HOSPITALS.items():
        raw = raw_rows(f"processed.{file_part}.data")
        data = heart.data[hospital]
        split = np.concatenate((data.x, data.test_x))
        spread = split.std(axis=0)
        scale = np.where(spread > 0, raw.std(axis=0) / np.where(spread > 0, spread, 1), 1.0)
        offset = raw.mean(axis=0) - scale * split.mean(axis=0)
        rows[hospital] = (data.x * scale + offset, data.test_x * scale + offset)
        assert len(raw) == len(split)
    return rows


@pytest.fixture(scope="session")
def pooled_test(heart, unscaled):
    """FLamby's pooled test set: all test rows, scaled by all training rows together."""
    train = np.concatenate([train for train, _ in unscaled.values()])
    test = np.concatenate([test for _, test in unscaled.values()])
    return (test - train.mean(axis=0)) / train.std(axis=0), np.concatenate([d.test_y for d in heart.data.values()])
