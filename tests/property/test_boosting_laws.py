"""Boosting goes by the rows that there are, whoever has them, and by nothing else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serai.aggregation.codec import check, decode, encode
from serai.kernel.ids import MemberId
from serai.recipes.registry import build
from serai.training.methods import Context, Data
from serai.training.tensors import digest_model

MEMBERS = 3
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0]), st.floats(-100, 100), st.floats(allow_nan=False, allow_infinity=False)
)


def train(recipe, parts, dtype=np.float64):
    codec, memories = recipe.codec(len(parts)), [{} for _ in parts]
    check(codec, len(parts))
    model = recipe.initial()
    for number in range(recipe.rounds):
        total = codec.ring.zeros(codec.lanes)
        for (x, y), memory in zip(parts, memories, strict=True):
            data = Data(x=x, y=y, test_x=x, test_y=y, names=())
            context = Context(round=number, seed=bytes(32), member=MemberId("bern"), memory=memory)
            lanes, clipped = encode(codec, recipe.contribute(model, data, context))
            assert clipped == 0
            codec.ring.add(total, lanes)
        codec.ring.reduce(total)
        model = recipe.combine(model, decode(codec, total, dtype), len(parts))
    return model


@settings(max_examples=40)
@given(data=st.data(), loss=st.sampled_from(["log_loss", "squared_error"]), depth=st.integers(1, 4))
def test_however_rows_are_split_among_members_the_trees_are_those_of_all_rows(data, loss, depth):
    rows, features = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 3))
    x = data.draw(arrays.arrays(np.float64, (rows, features), elements=NUMBERS))
    labels = st.sampled_from([0.0, 1.0]) if loss == "log_loss" else st.floats(-2, 3)
    y = data.draw(arrays.arrays(np.float64, rows, elements=labels))
    owner = data.draw(arrays.arrays(np.int64, rows, elements=st.integers(0, MEMBERS - 1)))
    recipe = build(
        "boosting",
        {
            "features": str(features),
            "loss": loss,
            "max_depth": str(depth),
            "max_iter": "2",
            "max_bins": str(data.draw(st.integers(2, 9))),
            "edge_rounds": "2",
            "min_samples_leaf": "1",
            "rows": "64",
        },
        {},
    )
    pooled = train(recipe, [(x, y)])
    parts = [(x[owner == member], y[owner == member]) for member in range(MEMBERS)]
    joint = train(recipe, parts, np.float32)  # as a zone reads sums that are exact in it
    assert digest_model(joint) == digest_model(pooled)
    assert pooled["trees"].tolist() == [2]
    assert np.isfinite(recipe.scores(pooled, x)).all()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from(["log_loss", "squared_error"]),
    reach=st.sampled_from([1, 100, 2**17]),
    lowest=st.sampled_from([-1, 0]),
)
def test_whatever_a_member_makes_up_the_sum_leaves_trees_that_answer(seed, loss, reach, lowest):
    params = {"features": "2", "loss": loss, "max_iter": "2", "max_depth": "3", "max_bins": "3", "rows": "64"}
    recipe = build("boosting", {**params, "min_samples_leaf": "1"}, {})
    generator = np.random.default_rng(seed)
    model = recipe.initial()
    for _ in range(recipe.rounds + 6):
        total = generator.integers(lowest * reach, reach, recipe.length, endpoint=True).astype(float)
        total[0] = max(1, total[0])
        model = recipe.combine(model, total, MEMBERS)
        assert np.isfinite(recipe.scores(model, generator.normal(size=(20, 2)))).all()
