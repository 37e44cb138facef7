"""One language each: four members train a language model through masks, a few bits a parameter and round.

With ``--debian`` the texts are real ones from Debian packages (apt-get; a few minutes of training).
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from serai.aggregation.state import find_round
from serai.analytics.state import evaluations_of
from serai.recipes.language_model import LanguageModel
from serai.state import outcome_of
from serai.testing.corpora import load_corpora
from serai.testing.federation import Federation
from serai.training.methods import Context

ALPHABETS = {"athens": "αβγδεζηθικλμ", "lima": "abcdefghijkl", "sofia": "абвгдежзиклм", "tbilisi": "აბგდევზთიკლმ"}
REAL = "--debian" in sys.argv
SIZES = {"width": 128, "layers": 4, "context": 64} if REAL else {"width": 48, "layers": 1, "context": 32}
ROUNDS, STEPS = (24, 40) if REAL else (10, 25)
PACE = {"rounds": ROUNDS, "steps": STEPS, "ahead": STEPS // 2, "batch": 8, "lr": "0.004", "levels": 3}
PARAMS = {name: str(value) for name, value in {**SIZES, **PACE}.items()}


def made_up(alphabet: str, seed: int) -> str:
    """A language of forty words, frequent and rare ones, in any order."""
    generator = np.random.default_rng(seed)
    words = ["".join(generator.choice(list(alphabet), generator.integers(2, 7))) for _ in range(40)]
    often = 1 / np.arange(1, 41)
    return "\n\n".join(" ".join(generator.choice(words, 60, p=often / often.sum())) for _ in range(100))


def texts() -> dict[str, str]:
    """A text of each member."""
    if REAL:
        found = load_corpora(Path.home() / ".cache/serai-lowcomm")
        return {corpus.name: corpus.private[:2_000_000].decode(errors="ignore") for corpus in found}
    return {name: made_up(letters, seed) for seed, (name, letters) in enumerate(ALPHABETS.items())}


def main() -> None:
    """Train together, and one of them alone; compare on everybody's held-back text."""
    torch.set_num_threads(1)  # so small a model gains nothing from a second core
    with tempfile.TemporaryDirectory() as folder:
        bloc = Federation(Path(folder), texts())
        bloc.found()
        first = next(iter(bloc.members))
        run = bloc.train(bloc.agree(), "language_model", ROUNDS, {**PARAMS, "last_levels": "7"})
        bloc.settle()
        model = outcome_of(bloc.state, run, bloc.state.now).model
        said = evaluations_of(bloc.state.analytics, run, model)
        sent = sum(find_round(bloc.state.rounds, run, n).uploads[first].body.size_bytes for n in range(ROUNDS))
        data = {name: member.zone.vault.load("rows") for name, member in bloc.members.items()}
    alone, recipe = f"{first} alone", LanguageModel(PARAMS, {})
    own, memory = recipe.initial(), {}
    for number in range(ROUNDS):
        seed = bytes([number] * 32)
        context = Context(round=number, seed=seed, member=first, memory=memory, done=number, rounds=ROUNDS)
        own = recipe.combine(own, recipe.contribute(own, data[first], context), 1)
    counts = {
        "together": {name: evaluation.body.counts for name, evaluation in said.items()},
        alone: {name: recipe.evaluate(own, part) for name, part in data.items()},
    }
    losses = {title: {n: c["micronats"] / c["predicted"] / 1e6 for n, c in of.items()} for title, of in counts.items()}
    for title, found in losses.items():
        print(f"{title:>12}:", ", ".join(f"{name} {loss:.2f}" for name, loss in found.items()), "nats a byte")
    assert all(losses["together"][name] < losses[alone][name] for name in data if name != first)
    parallel = 4 * STEPS * ROUNDS * sum(own[name].size for name in own if "/" not in name)
    print(f"proved: one model for {len(data)} languages, {parallel / sent:.0f} times less sent than a gradient a step")


if __name__ == "__main__":
    main()
