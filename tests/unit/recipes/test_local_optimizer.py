"""The local optimizer in PyTorch: Muon for some matrices, AdamW for the rest, and a memory that lasts over rounds."""

import numpy as np
import pytest

from serai.recipes.transformer_shape import Shape, hidden_matrices, shapes_of
from serai.training.tensors import model_bytes, read_model

torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install 'serai[torch]'")
optimizer = pytest.importorskip("serai.recipes.engines.local_optimizer")

INNER = optimizer.Inner(decay=0.0, clip=None, muon=frozenset({"wide"}))


def parameters():
    generator = np.random.default_rng(1)
    shapes = {"wide": (6, 24), "embedding": (5, 4), "norm": (6,)}
    return {
        name: torch.nn.Parameter(torch.from_numpy(generator.normal(size=shape).astype(np.float32)))
        for name, shape in shapes.items()
    }


def take(values, memory, steps, inner=INNER, seed=0):
    """Steps down a linear loss whose slope is another at each step."""
    local = optimizer.LocalOptimizer(values, inner, memory)
    for number in range(steps):
        slopes = np.random.default_rng(seed + number)
        loss = sum(
            (value * torch.from_numpy(slopes.normal(size=tuple(value.shape)).astype(np.float32))).sum()
            for value in values.values()
        )
        local.step(loss, 0.01)
    local.remember(memory)


def test_muon_moves_a_matrix_equally_along_every_direction_and_as_far_as_adamw():
    values = parameters()
    before = {name: value.detach().clone() for name, value in values.items()}
    take(values, {}, 1)
    moved = (values["wide"].detach() - before["wide"]).numpy()
    strengths = np.linalg.svd(moved, compute_uv=False)
    assert strengths.max() / strengths.min() < 2, "five Newton-Schulz iterations make them nearly equal"
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.2 * 0.01, rel=0.25)
    assert (values["embedding"].detach() - before["embedding"]).abs().numpy() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("inner", [INNER, optimizer.Inner()])
def test_two_rounds_with_a_memory_are_one_round_of_as_many_steps(inner):
    whole, parts, memory = parameters(), parameters(), {}
    take(whole, {}, 4, inner)
    take(parts, memory, 2, inner)
    stored = dict(read_model(model_bytes(memory)))
    take(parts, stored, 2, inner, seed=2)
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
    assert int(stored["inner/step"][0]) == 4


def test_each_matrix_is_kept_by_the_optimizer_that_moves_it_alone():
    memory = {}
    take(parameters(), memory, 1)
    assert set(memory) == {
        *("inner/step", "inner/muon/wide"),
        *(f"inner/{moment}/{name}" for moment in "mv" for name in ("embedding", "norm")),
    }


def test_muon_is_for_the_matrices_between_layers():
    shape = Shape(width=16, layers=2, heads=2, context=8)
    names = hidden_matrices(shape)
    assert len(names) == 2 * 4
    assert all(len(shapes_of(shape)[name]) == 2 for name in names)
    assert not names & {"embedding", "position", "norm"}
