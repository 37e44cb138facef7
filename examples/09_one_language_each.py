"""One language each: three members train a language model through masks, a few bits a parameter and round."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from serai.aggregation.codec import Encoder
from serai.aggregation.exchange import masked_chunks, read_total, sum_chunks
from serai.aggregation.masking import KeyAgreement, Release, Roster, leftover_masks
from serai.kernel.ids import MemberId
from serai.ledger.merkle import leaf_hash
from serai.recipes.language_model import LanguageModel
from serai.storage.keyring import Keyring
from serai.training.methods import Context, Data
from serai.training.tensors import Model

ALPHABETS = {"athens": "αβγδεζηθικλμ", "lima": "abcdefghijkl", "tbilisi": "აბგდევზთიკლმ"}
ROUNDS, STEPS = 10, 25
SIZES = {"width": 48, "layers": 1, "context": 32, "batch": 8}
PARAMS = {name: str(value) for name, value in {**SIZES, "rounds": ROUNDS, "steps": STEPS, "lr": "0.006"}.items()}


def corpus(alphabet: str, seed: int) -> Data:
    """A made-up language: forty words, frequent and rare ones, in any order."""
    generator = np.random.default_rng(seed)
    words = ["".join(generator.choice(list(alphabet), generator.integers(2, 7))) for _ in range(40)]
    often = 1 / np.arange(1, 41)
    text = " ".join(generator.choice(words, 6000, p=often / often.sum())).encode()
    train, held_back = (np.frombuffer(part, np.uint8) for part in (text[:-4000], text[-4000:]))
    one, label = np.zeros((1, 0)), np.zeros(1)
    return Data(x=one, y=label, test_x=one, test_y=label, names=(), text=train, test_text=held_back)


def train(texts: dict[MemberId, Data], agreements: dict[MemberId, KeyAgreement]) -> tuple[Model, int]:
    """Every round: local steps, digits, masks, the sum, the outer step. The model, and what one member sent."""
    recipe = LanguageModel(PARAMS, {})
    codec, model, sent = recipe.codec(len(texts)), recipe.initial(), 0
    keys = {name: agreements[name].public for name in texts}
    memories: dict[MemberId, dict[str, np.ndarray]] = {name: {} for name in texts}
    for number in range(ROUNDS):
        uploads, releases = [], {}
        for name, data in texts.items():
            context = Context(round=number, seed=bytes([number, *name.encode()]), member=name, memory=memories[name])
            vector = recipe.contribute(model, data, context)
            seed = np.random.default_rng([number, len(uploads)]).bytes(32)
            roster = Roster(me=name, keys=keys, salt=leaf_hash(b"round %d" % number))
            masks = roster.masks(agreements[name], seed)
            uploads.append(b"".join(masked_chunks(codec, Encoder(codec, vector).chunk, masks)))
            releases[name] = Release(seed, {})
        masked = b"".join(sum_chunks(codec, [[upload].__getitem__ for upload in uploads]))
        total = np.empty(codec.length)
        read_total(codec, [masked].__getitem__, leftover_masks(releases), total)
        model = recipe.combine(model, total, len(texts))
        sent += len(uploads[0])
    return model, sent


def main() -> None:
    """Train together and alone, and compare on everybody's held-back text."""
    torch.set_num_threads(1)  # so small a model gains nothing from a second core
    texts = {MemberId(name): corpus(letters, seed) for seed, (name, letters) in enumerate(ALPHABETS.items())}
    with tempfile.TemporaryDirectory() as folder:
        agreements = {name: Keyring.create(Path(folder) / name, []).agreement("run") for name in texts}
    model, sent = train(texts, dict(agreements))
    alone, _ = train({MemberId("lima"): texts[MemberId("lima")]}, dict(agreements))
    recipe, losses = LanguageModel(PARAMS, {}), {}
    for title, trained in (("together", model), ("lima alone", alone)):
        counts = {name: recipe.evaluate(trained, data) for name, data in texts.items()}
        losses[title] = {name: count["micronats"] / count["predicted"] / 1e6 for name, count in counts.items()}
        print(f"{title:>10}:", ", ".join(f"{name} {loss:.2f}" for name, loss in losses[title].items()), "nats a byte")
    assert all(losses["together"][name] < losses["lima alone"][name] for name in ("athens", "tbilisi"))
    parallel = 4 * STEPS * ROUNDS * sum(model[name].size for name in model if "/" not in name)
    assert parallel > 200 * sent
    print(f"proved: one model for three languages, {parallel / sent:.0f} times less sent than a gradient every step")


if __name__ == "__main__":
    main()
