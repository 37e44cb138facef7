"""DP-SGD in numpy and through Opacus is one method: the same rows, the same cuts, the same noise, the same weights."""

from fractions import Fraction

import numpy as np
import pytest

from serai.errors import Refused
from serai.kernel.ids import MemberId
from serai.recipes.local_sgd import InnerSgd, LogisticModel, shuffled
from serai.training.local_steps import Drift, train_locally
from serai.training.methods import Context, Data
from serai.training.privacy import RowNoise

torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install 'serai[torch]'")
pytest.importorskip("opacus", reason="Opacus is an extra: pip install 'serai[torch,privacy]'")
pytestmark = [
    pytest.mark.slow,  # importing torch and opacus takes seconds
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]

BERN = MemberId("bern")
INNER = InnerSgd(lr=0.05, batch=8, steps=60)
PRIVATE = RowNoise(clip=Fraction(1, 2), noise=Fraction(6, 5), batch=8)


def rows(seed=0, n=50):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, 3))
    y = (x @ [2.0, -1.0, 0.5] + generator.logistic(size=n) > 0).astype(np.float64)
    return Data(x=x, y=y, test_x=x, test_y=y, names=("a", "b", "c"))


def at(secret=b"s" * 32):
    return Context(round=0, seed=bytes(32), member=BERN, secret=secret)


class Logistic(torch.nn.Module):
    """The numpy recipe's model, with its parameters' names."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x).squeeze(1)


def adapter(module, inner=INNER, private=PRIVATE):
    from serai.recipes.private_torch import PrivateTorch  # noqa: PLC0415  # needs the extras

    loss = torch.nn.BCEWithLogitsLoss(reduction="sum")
    return PrivateTorch(module, loss, inner, private)


def both(drift, inner=INNER, private=PRIVATE):
    numpy_model = LogisticModel(3, inner, shuffled, private)
    numpy_model.inner_steps(rows(), at(), drift)
    torch_model = adapter(Logistic(), inner, private)
    for name in torch_model.names:
        torch_model.write(name, np.zeros_like(torch_model.read(name)))
    named = {f"layer.{name}": value.reshape(-1) for name, value in drift.corrections.items()}
    named = {name: value.reshape(torch_model.read(name).shape) for name, value in named.items()}
    torch_model.inner_steps(rows(), at(), Drift(proximal=drift.proximal, corrections=named))
    return [
        (numpy_model.read(name).reshape(-1), torch_model.read(f"layer.{name}").reshape(-1))
        for name in ("bias", "weight")
    ]


@pytest.mark.parametrize(
    "drift",
    [
        Drift(),
        Drift(proximal=0.3),
        Drift(corrections={"bias": np.ones(1, np.float32), "weight": np.ones(3, np.float32)}),
    ],
    ids=["plain", "fedprox", "scaffold"],
)
def test_both_give_the_same_weights(drift):
    for ours, theirs in both(drift):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_both_give_the_same_weights_where_some_steps_draw_no_row():
    rare = RowNoise(clip=Fraction(1), noise=Fraction(1), batch=1)
    for ours, theirs in both(Drift(), InnerSgd(lr=0.05, batch=1, steps=30), rare):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_deeper_network_trains_under_the_adapter_and_a_repeated_step_gives_the_same_bits():
    def once():
        torch.manual_seed(1)
        module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1), torch.nn.Flatten(0))
        model = adapter(module)
        start = {name: model.read(name) for name in model.names}
        return train_locally(model, start, rows(), at(), Drift())

    np.testing.assert_array_equal(once(), once())
    assert np.abs(once()[:-40]).max() > 0


def test_without_a_secret_nothing_is_trained():
    with pytest.raises(Refused, match="secret"):
        adapter(Logistic()).inner_steps(rows(), at(secret=b""), Drift())


def test_a_layer_that_mixes_rows_is_refused():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    with pytest.raises(NotImplementedError, match="BatchNorm"):
        adapter(module)
