"""Boosted trees over masked sums beside scikit-learn's on pooled rows, each member alone, and each one's trees joined.

Usage: python benchmarks/boosting.py [--results]

Needs scikit-learn and the data of the demo: pip install 'serai[demo,sklearn]'.

Three sets of rows: the four hospitals of UCI Heart Disease with the demo's own split;
Wisconsin breast cancer, and a generated set (Hastie, Tibshirani, Friedman: The
Elements of Statistical Learning, example 10.2), each dealt to four members, one of
whom has twenty rows. Settings are the same on both sides: 50 trees of depth 3 with
rate 0.1, at least 20 rows a leaf, 32 bins. Figures are of rows that nobody trained on.
Joined are as many trees, or up to three more, of one member's rows each, grown here in the same bins
the way Flower's FedXgbBagging joins them: a tree of each member a round.

Every sum is masked: keys agreed on anew for each round, vectors quantised, masked,
packed, added, unmasked and decoded, in this process; no log, no network. Seconds are
CPU time of the process for all members together.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, make_hastie_10_2
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score

from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.aggregation.codec import Encoder
from serai.aggregation.exchange import masked_chunks, read_total, sum_chunks
from serai.aggregation.masking import Release, Roster, leftover_masks
from serai.cli.demo.hospitals import DATASET, HOSPITALS, find_csv, write_settings
from serai.kernel.ids import MemberId
from serai.ledger.merkle import leaf_hash
from serai.recipes.boosting import Boosting
from serai.storage.keyring import Keyring
from serai.training.methods import Context, Data
from serai.training.tensors import Model

TREES, DEPTH, BINS, EDGE_ROUNDS = 50, 3, 32, 4
AUC_WITHIN, NATS_WITHIN = 0.005, 0.005
MEMBERS = ("almaty", "bern", "cusco", "delhi")
SETS = {
    "heart disease, four hospitals": "32,2,2,2,2,32,32,2,2,2,32,2,32",
    "breast cancer, four members": str(BINS),
    "Hastie 10.2, four members": str(BINS),
}


@dataclass(frozen=True)
class Outcome:
    """One set: how good the models are on held-back rows, and what the joint one cost."""

    rows: int
    joint: tuple[float, float]
    pooled: tuple[float, float]
    alone: Mapping[str, tuple[float, float]]
    joined: tuple[float, float]
    rounds: int
    upload_bytes: int
    seconds: float


def hearts(folder: Path) -> Iterator[tuple[str, Data]]:
    """Each hospital's rows, as its zone in the demo reads them."""
    for hospital in HOSPITALS:
        home = folder / hospital.id
        home.mkdir()
        (home / "zone.toml").write_text(f'member = "{hospital.id}"\njurisdiction = "XX"\n', encoding="utf-8")
        write_settings(home, hospital, find_csv())
        yield hospital.id, Vault(load_settings(home)).load(DATASET)


def dealt(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, Data]]:
    """Two thirds of the rows among four members, one of whom has twenty; the rest in four parts to test with."""
    order = np.random.default_rng(0).permutation(len(x))
    train, rest = np.split(order, [len(x) * 2 // 3])
    parts = np.split(train, [20, len(x) // 4, len(x) // 2])
    for member, mine, test in zip(MEMBERS, parts, np.array_split(rest, 4), strict=True):
        yield member, Data(x=x[mine], y=y[mine], test_x=x[test], test_y=y[test], names=())


def members_of(name: str, folder: Path) -> dict[str, Data]:
    """The rows of a set by member."""
    if name.startswith("heart"):
        return dict(hearts(folder))
    if name.startswith("breast"):
        x, y = load_breast_cancer(return_X_y=True)
    else:
        x, y = make_hastie_10_2(12_000, random_state=1)
    return dict(dealt(x, (y > 0).astype(float)))


class Masks:
    """Masked sums among some members, whose keys lie in a folder."""

    def __init__(self, folder: Path, members: Mapping[str, Data]) -> None:
        self._agreements = {
            MemberId(name): Keyring.create(folder / "keys" / name, []).agreement("run") for name in members
        }
        self._keys = {name: agreement.public for name, agreement in self._agreements.items()}

    def total(self, recipe: Boosting, vectors: Mapping[str, np.ndarray], number: int) -> np.ndarray:
        """The sum of the members' vectors, of which nobody sees any."""
        codec, salt = recipe.codec(len(vectors)), leaf_hash(b"round.open %d" % number)
        uploads, releases = [], {}
        for name, agreement in self._agreements.items():
            seed = leaf_hash(f"{name} {number}".encode())
            encoder = Encoder(codec, vectors[name])
            masks = Roster(me=name, keys=self._keys, salt=salt).masks(agreement, seed)
            uploads.append([bytes(chunk) for chunk in masked_chunks(codec, encoder.chunk, masks)])
            releases[name] = Release(seed, {})
            assert encoder.clipped == 0
        masked = [bytes(chunk) for chunk in sum_chunks(codec, [upload.__getitem__ for upload in uploads])]
        total = np.empty(codec.length)
        read_total(codec, masked.__getitem__, leftover_masks(releases), total)
        return total


def train(
    recipe: Boosting, members: Mapping[str, Data], masks: Masks | None = None, rounds: int | None = None
) -> Model:
    """The model after a whole run or its first rounds; without masks, of plain sums."""
    model, memories = recipe.initial(), {name: {} for name in members}
    for number in range(rounds or recipe.rounds):
        vectors = {
            name: recipe.contribute(
                model, data, Context(round=number, seed=bytes(32), member=MemberId(name), memory=memories[name])
            )
            for name, data in members.items()
        }
        total = masks.total(recipe, vectors, number) if masks else sum(vectors.values())
        model = recipe.combine(model, total, len(members))
    return model


def join(recipe: Boosting, members: Mapping[str, Data], model: Model, rounds: int) -> Model:
    """Trees that members grow on their own rows, one of each a round, all from the model of the round before."""
    for _ in range(rounds):
        first = int(model["trees"][0])
        after = {name: value.copy() for name, value in model.items()}
        for place, (name, data) in enumerate(members.items(), first):
            own, context = model, Context(round=0, seed=bytes(32), member=MemberId(name))
            for _ in range(DEPTH):
                own = recipe.combine(own, recipe.contribute(own, data, context), 1)
            for part in ("feature", "threshold", "value"):
                after[part][place] = own[part][first]
        model = {**after, "trees": model["trees"] + len(members)}
    return model


def measure(name: str) -> Outcome:
    """Train jointly, on pooled rows, and alone."""
    with tempfile.TemporaryDirectory() as home:
        members = members_of(name, Path(home))
        x, y, test_x, test_y = (
            np.concatenate([getattr(data, part) for data in members.values()])
            for part in ("x", "y", "test_x", "test_y")
        )
        params = {"features": str(x.shape[1]), "max_bins": SETS[name], "rows": "8192", "edge_rounds": str(EDGE_ROUNDS)}
        recipe = Boosting({**params, "max_iter": str(TREES), "max_depth": str(DEPTH)}, {})
        masks = Masks(Path(home), members)
        began_s = time.process_time()
        model = train(recipe, members, masks)
        seconds = time.process_time() - began_s

    turns = -(-TREES // len(members))
    bagging = Boosting({**params, "max_iter": str(turns * len(members) + 1), "max_depth": str(DEPTH)}, {})
    joined = join(bagging, members, train(bagging, members, rounds=EDGE_ROUNDS), turns)

    def figures(scores: np.ndarray) -> tuple[float, float]:
        return roc_auc_score(test_y, scores), log_loss(test_y, scores)

    peer = HistGradientBoostingClassifier(
        max_iter=TREES, max_depth=DEPTH, max_leaf_nodes=None, max_bins=BINS, early_stopping=False
    ).fit(x, y)
    return Outcome(
        rows=len(x),
        joint=figures(recipe.scores(model, test_x)),
        pooled=figures(peer.predict_proba(test_x)[:, 1]),
        alone={
            member: figures(recipe.scores(train(recipe, {member: data}), test_x)) for member, data in members.items()
        },
        joined=figures(bagging.scores(joined, test_x)),
        rounds=recipe.rounds,
        upload_bytes=recipe.codec(len(members)).upload_bytes,
        seconds=seconds,
    )


def results(name: str, found: Outcome) -> Iterator[dict[str, object]]:
    """One set's figures as results."""
    where = f"boosted trees on {name}"
    best = max(auc for auc, _ in found.alone.values())
    nearest = min(nats for _, nats in found.alone.values())
    quality = {
        "issue": 5,
        "unit": "",
        "limit": f"{TREES} trees of depth {DEPTH}, {BINS} bins; {found.rows} training rows",
    }
    yield {
        **quality,
        "name": f"{where}, AUC on held-back rows",
        "value": round(found.joint[0], 4),
        "bar": f"at most {AUC_WITHIN} below pooled",
        "holds": found.joint[0] >= found.pooled[0] - AUC_WITHIN,
        "peer": f"scikit-learn on pooled rows: {found.pooled[0]:.4f}; here, members' own trees joined: "
        f"{found.joined[0]:.4f}, best member alone: {best:.4f}",
    }
    yield {
        **quality,
        "name": f"{where}, log-loss on held-back rows",
        "unit": "nats",
        "value": round(found.joint[1], 4),
        "bar": f"at most {NATS_WITHIN} above pooled",
        "holds": found.joint[1] <= found.pooled[1] + NATS_WITHIN,
        "peer": f"scikit-learn on pooled rows: {found.pooled[1]:.4f}; here, members' own trees joined: "
        f"{found.joined[1]:.4f}, best member alone: {nearest:.4f}",
    }
    cost = {"issue": 5, "bar": "", "holds": None, "peer": ""}
    yield {
        **cost,
        "name": f"{where}, sent by a member in a run",
        "value": round(found.rounds * found.upload_bytes / 1e6, 3),
        "unit": "MB",
        "limit": f"{found.rounds} rounds of {found.upload_bytes} bytes",
    }
    yield {
        **cost,
        "name": f"{where}, CPU of a run, all members, masked in one process",
        "value": round(found.seconds, 2),
        "unit": "s",
        "limit": "no log, no network",
    }


def main() -> None:
    """Measure the three sets, and print."""
    options = argparse.ArgumentParser(description="Boosted trees over masked sums beside scikit-learn's.")
    options.add_argument("--results", action="store_true", help="print results as JSON lines")
    given = options.parse_args()
    for name in SETS:
        found = measure(name)
        if given.results:
            for result in results(name, found):
                print(json.dumps(result), flush=True)
            continue
        print(f"{name}: {found.rows} rows; {found.rounds} rounds of {found.upload_bytes} bytes, {found.seconds:.2f} s")
        rows = {"joint": found.joint, "pooled, scikit-learn": found.pooled, "own trees joined": found.joined}
        for who, (auc, nats) in (
            rows | {f"{member} alone": figures for member, figures in found.alone.items()}
        ).items():
            print(f"  {who:24} AUC {auc:.4f}  log-loss {nats:.4f}")


if __name__ == "__main__":
    main()
