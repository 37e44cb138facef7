"""What low-communication training sends and what it costs in loss, against data-parallel training on equal tokens.

Usage: python benchmarks/lowcomm.py [--steps 1029] [--times 200 400] [--cache ~/.cache/serai-lowcomm] [--results]

Four members hold one language each (Debian texts, see ``corpora``). All arms
begin from one public base, trained for a few steps on a tenth of the documents,
which are public; a quarter of each member's batches is public text as well. The
reference sends a float32 gradient every step; the others send three levels a
parameter every H steps, and fifteen in the last round, through quantising, masking, summing, unmasking and the
outer step, as a round does. H is the least with which a member sends so many
times less than the reference, counted in bytes of its masked uploads, with
their room for the sum of four. Every arm sees as many bytes of text, from the
same seed. Each is one process with one thread; two run at a time.

Each arm has the learning rate that was best for it, of those tried with seed 1. From this base the reference
reached 1.484, 1.487 and 1.510 nats a byte with 1.5e-3, 2.5e-3 and 4e-3, H=21 1.525 and 1.530 with 1e-3 and 1.5e-3.
"""

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from serai.aggregation.codec import Block, Codec, Encoder, Vector, decode, encode
from serai.aggregation.exchange import masked_chunks, read_total, sum_chunks
from serai.aggregation.masking import Release, Roster, leftover_masks
from serai.kernel.ids import MemberId
from serai.ledger.merkle import leaf_hash
from serai.recipes.engines.adapter import read_all, write_all
from serai.recipes.engines.device import choose_compute
from serai.recipes.equipment import DEFAULTS
from serai.recipes.language_model import ANCHOR, LanguageModel
from serai.recipes.low_communication import START, Pace
from serai.recipes.transformer import Transformer
from serai.recipes.transformer_shape import Shape, shapes_of, start_of
from serai.storage.keyring import Keyring
from serai.testing.corpora import Corpus, load_corpora
from serai.training.lowcomm import GAIN
from serai.training.methods import Context, Data
from serai.training.tensors import Model, model_bytes, read_model

SHAPE = Shape(width=128, layers=5, heads=4, context=64)
BATCH = 4  # sequences a member and step
ANCHOR_FRACTION = "0.25"
BASE_LR = 2e-3
WARM = 20
EVALUATED = 2**16  # bytes of each language
BASE_SEED = 1
PARAMETERS = sum(math.prod(size) for size in shapes_of(SHAPE).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of training.

    Attributes:
        steps: local steps of each member.
        every: H, steps between two sums; 0 for data-parallel training.
        lr: peak rate of the local AdamW.
        momentum: of the outer step.
        seed: of the batches.

    """

    steps: int
    every: int
    lr: float = 1.5e-3
    momentum: float = 0.5
    seed: int = 1

    @property
    def rounds(self) -> int:
        """How often members send."""
        return self.steps // max(1, self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an arm gave.

    Attributes:
        arm: what was run.
        loss: nats a byte on held-back text, the mean of the languages.
        losses: of each language.
        uplink: bytes a member sent.
        seconds: it took.

    """

    arm: Arm
    loss: float
    losses: dict[str, float]
    uplink: int
    seconds: float


def data_of(corpus: Corpus) -> Data:
    """A language as a member's zone would read it."""
    none = np.zeros((1, 0))
    text, held_back = (np.frombuffer(part, np.uint8) for part in (corpus.private, corpus.held_back))
    label = np.zeros(1)
    return Data(x=none, y=label, test_x=none, test_y=label, names=(), text=text, test_text=held_back)


def public_text(corpora: tuple[Corpus, ...]) -> np.ndarray:
    """The public documents, as much of each language."""
    least = min(len(corpus.public) for corpus in corpora)
    return np.frombuffer(b"\n\n".join(corpus.public[:least] for corpus in corpora), np.uint8)


def draw(text: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Sequences from anywhere in a text."""
    windows = np.lib.stride_tricks.sliding_window_view(text, SHAPE.context + 1)
    return windows[generator.integers(0, len(windows), count)]


def rates_of(peak: float, steps: int) -> list[float]:
    """The learning rate of every step of a run, as the recipe has it."""
    return Pace(lr=peak, steps=steps, warm=WARM, rounds=1).rates(0)


def load_base(corpora: tuple[Corpus, ...], steps: int, cache: Path) -> Model:
    """The public base that every arm starts from, made on the first run."""
    path = cache / f"base-{SHAPE.width}x{SHAPE.layers}-{steps}.safetensors"
    if not path.exists():
        path.write_bytes(model_bytes(train_base(corpora, steps)))
    return read_model(path.read_bytes())


def train_base(corpora: tuple[Corpus, ...], steps: int) -> Model:
    """Plain training on the public documents."""
    engine, generator, text = open_engine(), np.random.default_rng(BASE_SEED), public_text(corpora)
    write_all(engine, start_of(SHAPE, BASE_SEED))
    batches = (draw(text, 4 * BATCH, generator) for _ in range(steps))
    engine.inner_steps(batches, rates_of(BASE_LR, steps), {})
    return read_all(engine)


def open_engine() -> Transformer:
    """A transformer on the best device there is."""
    return Transformer(SHAPE, choose_compute(DEFAULTS))


def held_back_loss(recipe: LanguageModel, model: Model, data: dict[str, Data]) -> dict[str, float]:
    """Nats a byte of each language."""
    counts = {name: recipe.evaluate(model, part) for name, part in data.items()}
    return {name: count["micronats"] / count["predicted"] / 1e6 for name, count in counts.items()}


def recipe_of(arm: Arm, base: Model, anchor: np.ndarray) -> LanguageModel:
    """The recipe as a plan would name it."""
    params = {
        "width": str(SHAPE.width),
        "layers": str(SHAPE.layers),
        "heads": str(SHAPE.heads),
        "context": str(SHAPE.context),
        "batch": str(BATCH),
        "anchor_fraction": ANCHOR_FRACTION,
        "lr": str(arm.lr),
        "warm_steps": str(WARM),
        "steps": str(max(1, arm.every)),
        "rounds": str(arm.rounds),
        "evaluated_bytes": str(EVALUATED),
        "momentum": str(arm.momentum),
        "warm_momentum": "0",  # a warm start has its early updates behind it
        "last_levels": "7",
    }
    return LanguageModel(params, {START: base, ANCHOR: {"text": anchor}})


class Exchange:
    """One masked sum of the members' vectors, as a round of the protocol computes it."""

    def __init__(self, folder: Path, members: list[MemberId]) -> None:
        self._agreements = {name: Keyring.create(folder / name, []).agreement("run") for name in members}
        self._keys = {name: agreement.public for name, agreement in self._agreements.items()}
        self.uplink = 0

    def sum(self, codec: Codec, vectors: dict[MemberId, Vector], number: int) -> Vector:
        """The sum that everybody reads; counts what one member sent."""
        salt = leaf_hash(f"round.open {number}".encode())
        uploads, releases = [], {}
        for name, vector in vectors.items():
            seed = np.random.default_rng([number, len(uploads)]).bytes(32)
            masks = Roster(me=name, keys=self._keys, salt=salt).masks(self._agreements[name], seed)
            uploads.append([bytes(chunk) for chunk in masked_chunks(codec, Encoder(codec, vector).chunk, masks)])
            releases[name] = Release(seed, {})
        masked = [bytes(chunk) for chunk in sum_chunks(codec, [upload.__getitem__ for upload in uploads])]
        self.uplink += sum(map(len, uploads[0]))
        total = np.empty(codec.length, np.float32)
        read_total(codec, masked.__getitem__, leftover_masks(releases), total)
        return total


def run_joint(arm: Arm, base: Model, corpora: tuple[Corpus, ...], folder: Path) -> tuple[Model, int]:
    """Rounds of the recipe; the final model and the bytes one member sent."""
    recipe = recipe_of(arm, base, public_text(corpora))
    data = {MemberId(corpus.name): data_of(corpus) for corpus in corpora}
    memories: dict[MemberId, dict] = {name: {} for name in data}
    model = recipe.initial()
    exchange = Exchange(folder, list(data))
    for number in range(arm.rounds):
        vectors = {}
        for place, (name, part) in enumerate(data.items()):
            seed = bytes([arm.seed, place]) + number.to_bytes(30)
            context = Context(
                round=number, seed=seed, member=name, memory=memories[name], done=number, rounds=arm.rounds
            )
            vectors[name] = recipe.contribute(model, part, context)
        codec = recipe.last_codec(len(data)) if number == arm.rounds - 1 else recipe.codec(len(data))
        assert codec is not None
        model = recipe.combine(model, exchange.sum(codec, vectors, number), len(data))
        rho, step = model[GAIN][0].tolist()
        print(f"H={arm.every}, round {number}: rho {rho:.2f}, effective step {step:.2f}", file=sys.stderr, flush=True)
    return model, exchange.uplink


def run_parallel(arm: Arm, base: Model, corpora: tuple[Corpus, ...]) -> tuple[Model, int]:
    """Data-parallel training: the mean gradient of all members' batches at every step."""
    engine, generator = open_engine(), np.random.default_rng(arm.seed)
    write_all(engine, base)
    texts = [np.frombuffer(corpus.private, np.uint8) for corpus in corpora]
    batches = (np.concatenate([draw(text, BATCH, generator) for text in texts]) for _ in range(arm.steps))
    engine.inner_steps(batches, rates_of(arm.lr, arm.steps), {})
    model = read_all(engine)
    return model, 4 * sum(tensor.size for tensor in model.values()) * arm.steps


def steps_for(times: int, base: Model, anchor: np.ndarray) -> int:
    """The least H with which a member sends ``times`` less than a float32 gradient every step."""
    recipe = recipe_of(Arm(steps=1, every=1), base, anchor)
    return math.ceil(times * recipe.codec(4).upload_bytes / (4 * PARAMETERS))


def run(arm: Arm, base: Model, cache: Path) -> Found:
    """Train one arm and measure it; the entry of its process."""
    torch.set_num_threads(1)
    corpora = load_corpora(cache)
    begin = time.perf_counter()
    if arm.every:
        with tempfile.TemporaryDirectory() as folder:
            model, uplink = run_joint(arm, base, corpora, Path(folder))
    else:
        model, uplink = run_parallel(arm, base, corpora)
    seconds = time.perf_counter() - begin
    data = {corpus.name: data_of(corpus) for corpus in corpora}
    losses = held_back_loss(recipe_of(arm, base, public_text(corpora)), model, data)
    return Found(arm=arm, loss=sum(losses.values()) / len(losses), losses=losses, uplink=uplink, seconds=seconds)


BARS = {200: 3.0}  # per cent of loss
PEERS = (
    "INTELLECT-1: 400x (int8, H=100, 10B parameters); Streaming DiLoCo: 400x vs bf16 (fp4, H=100); neither under masks"
)


def print_results(times: int, reference: Found, found: Found) -> None:
    """The figures of one arm as results to record."""
    ratio = reference.uplink / found.uplink
    gap = 100 * (found.loss / reference.loss - 1)
    setting = f"{found.arm.steps} steps of {BATCH} x {SHAPE.context} bytes, H={found.arm.every}, seed {found.arm.seed}"
    what = f"4 members, one language each, {PARAMETERS / 1e6:.2f}M parameters, ternary under masks, {setting}"
    bar = BARS.get(times)
    rows = (
        (f"{what}: uplink less than float32 data-parallel", ratio, "x", f"at least {times} x", ratio >= times, PEERS),
        (
            f"{what}: held-out loss above data-parallel at equal tokens",
            gap,
            "%",
            f"at most {bar:g} %" if bar else "",
            gap <= bar if bar else None,
            "",
        ),
    )
    limit = f"log2(9) = 3.17 bits a parameter and round; {8 * found.uplink / PARAMETERS / found.arm.rounds:.3f} sent"
    for name, value, unit, promise, holds, peer in rows:
        row = {"issue": 3, "name": name, "value": round(value, 2), "unit": unit, "bar": promise, "holds": holds}
        print(json.dumps({**row, "peer": peer, "limit": limit if unit == "x" else ""}), flush=True)


def print_codec_speed(values: int = 4_000_000) -> None:
    """What digits cost a member in processor time, a value."""
    block = Block(length=values, step=Fraction(1))
    codec = Codec(bits=64, limit=1, blocks=(block,), members=4)
    vector = np.random.default_rng(BASE_SEED).integers(-1, 2, values).astype(np.float32)
    begin = time.process_time()
    lanes, _ = encode(codec, vector)
    middle = time.process_time()
    decode(codec, lanes, np.float32)
    end = time.process_time()
    for what, seconds in (("pack", middle - begin), ("unpack", end - middle)):
        name, found = f"{what} ternary digits, 20 to 64 bits, one core", round(seconds / values * 1e9, 2)
        row = {
            "issue": 3,
            "name": name,
            "value": found,
            "unit": "ns/value",
            "bar": "at most 15 ns",
            "holds": found <= 15,
        }
        print(json.dumps({**row, "peer": "", "limit": ""}), flush=True)


def main() -> None:
    """Measure and print, one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1029)
    parser.add_argument("--base-steps", type=int, default=2400)
    parser.add_argument("--times", type=int, nargs="*", default=[200, 400])
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--reference-lr", type=float, default=1.5e-3)
    parser.add_argument("--momentum", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/serai-lowcomm")
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpora = load_corpora(options.cache)
    base = load_base(corpora, options.base_steps, options.cache)
    if options.results:
        print_codec_speed()
    data = {corpus.name: data_of(corpus) for corpus in corpora}
    losses = held_back_loss(recipe_of(Arm(steps=1, every=1), base, public_text(corpora)), base, data)
    print(f"the base: {sum(losses.values()) / len(losses):.4f} nats a byte", file=sys.stderr, flush=True)
    every = [0, *(steps_for(times, base, public_text(corpora)) for times in options.times)]
    setting = {"momentum": options.momentum, "seed": options.seed}
    arms = [
        Arm(
            steps=options.steps // max(1, h) * max(1, h),
            every=h,
            lr=options.lr if h else options.reference_lr,
            **setting,
        )
        for h in every
    ]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        waiting = [pool.apply_async(run, (arm, base, options.cache)) for arm in arms]
        reference = waiting[0].get()
        print_arm(reference, reference)
        for times, result in zip(options.times, waiting[1:], strict=True):
            found = result.get()
            if options.results:
                print_results(times, reference, found)
            else:
                print_arm(reference, found)


def print_arm(reference: Found, found: Found) -> None:
    """One arm in full, on stderr."""
    shown = {
        "H": found.arm.every,
        "times": round(reference.uplink / found.uplink, 1),
        "gap_percent": round(100 * (found.loss / reference.loss - 1), 2),
        "loss": round(found.loss, 4),
        **{name: round(loss, 4) for name, loss in found.losses.items()},
        "uplink_bytes": found.uplink,
        "seconds": round(found.seconds, 1),
    }
    print(json.dumps(shown), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
