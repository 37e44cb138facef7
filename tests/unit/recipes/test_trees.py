"""Parts of boosting: numbers as keys, cells that narrow, edges between them, and the best split of a node."""

import numpy as np
import pytest

from serai.recipes.trees.edges import count_cells, cut_cells, edges_between, first_cells, keys_of, values_of
from serai.recipes.trees.growth import Growth, best_splits, leaf_values
from serai.recipes.trees.layout import Layout


def edges_after(rounds, values, bins, cells=192):
    bounds = first_cells(cells)
    for _ in range(rounds - 1):
        bounds = cut_cells(bounds, count_cells(bounds, values))
        assert len(bounds) == cells + 1
        assert (np.diff(bounds.astype(object)) >= 0).all()
    return edges_between(bounds, count_cells(bounds, values), bins)


def test_keys_are_in_the_order_of_numbers_and_lead_back_to_them():
    tiny, huge = np.finfo(float).tiny, np.finfo(float).max
    numbers = np.array([-huge, -1.5, -1.0, -tiny, -5e-324, 0.0, 5e-324, tiny, 1.0, np.nextafter(1.0, 2), huge])
    keys = keys_of(numbers)
    assert (keys[1:] > keys[:-1]).all()
    np.testing.assert_array_equal(values_of(keys), numbers)
    assert keys_of(np.array([-0.0])) == keys_of(np.array([0.0]))


def test_every_number_has_a_cell():
    values = np.array([-np.finfo(float).max, -1e300, -1.0, 0.0, 5e-324, 1e300, np.finfo(float).max])
    for cells in (3, 4, 64, 192, 193):
        assert count_cells(first_cells(max(cells, 5)), values).sum() == len(values)


def test_no_row_leaves_the_cells_when_they_are_cut():
    values = np.random.default_rng(1).standard_cauchy(5_000) * 1e5
    bounds = first_cells(64)
    for _ in range(12):
        counts = count_cells(bounds, values)
        assert counts.sum() == len(values)
        bounds = cut_cells(bounds, counts)


@pytest.mark.parametrize("make", ["normal", "lognormal", "standard_cauchy", "exponential"])
def test_bins_hold_about_as_many_rows_each_whatever_the_distribution(make):
    values = getattr(np.random.default_rng(3), make)(size=20_000) * 1e3
    edges = edges_after(4, values, 32)
    assert np.isfinite(edges[:-1]).all()
    rows = np.bincount(np.searchsorted(edges[:-1], values), minlength=32)
    assert abs(rows - 20_000 / 32).max() < 0.35 * 20_000 / 32


@pytest.mark.parametrize(
    "distinct",
    [[0.0, 1.0], [1.0, 2.0], [-1.0, 0.0, 1.0], [29.0, 30.0, 31.0, 77.0], [1985.0, 1986.0, 1987.0], [1e-9, 2e9, 3e9]],
)
def test_values_that_many_rows_have_get_bins_of_their_own_with_edges_between(distinct):
    values = np.repeat(distinct, 50)
    edges = edges_after(4, values, 8)
    found = edges[np.isfinite(edges)]
    assert len(found) == len(distinct) - 1
    assert np.searchsorted(found, distinct).tolist() == list(range(len(distinct)))


def test_an_edge_lies_in_the_middle_of_what_is_empty():
    edges = edges_after(8, np.repeat([10.0, 20.0], 50), 4)
    assert edges[0] == pytest.approx(15.0, abs=0.01)


def test_a_feature_that_never_varies_has_no_edge():
    assert np.isinf(edges_after(3, np.full(20, 7.0), 4)).all()


def test_neighbouring_numbers_are_told_apart():
    values = np.repeat([1.0, np.nextafter(1.0, 2)], 10)
    edges = edges_after(14, values, 2)
    assert np.searchsorted(edges[:-1], values).tolist() == [0] * 10 + [1] * 10


# Splits


def growth(bins, penalty=0.0, least_rows=1):
    return Growth(
        layout=Layout(bins=bins, depth=2, planes=3),
        steps=(1.0, 1.0, 1.0),
        rate=0.5,
        penalty=penalty,
        least_rows=least_rows,
    )


def node(*columns):
    """A node's rows, gradients and Hessians by column."""
    return np.array(columns, float).T[:, None, :]


EDGES = np.array([1.0, np.inf, 5.0, 6.0, np.inf])


def test_of_equal_gains_the_lowest_feature_and_bin_wins():
    both = node((4, -2, 1), (4, 2, 1), (4, -2, 1), (0, 0, 0), (4, 2, 1))
    splits = best_splits(growth((2, 3)), both, EDGES)
    assert (splits.feature.tolist(), splits.threshold.tolist()) == ([0], [1.0])
    only = node((4, 0, 1), (4, 0, 1), (4, -2, 1), (0, 0, 0), (4, 2, 1))
    splits = best_splits(growth((2, 3)), only, EDGES)
    assert (splits.feature.tolist(), splits.threshold.tolist()) == ([1], [5.0])


def test_a_split_that_leaves_too_few_rows_is_none_and_all_rows_go_left():
    parts = node((3, -2, 1), (5, 2, 1), (3, -2, 1), (2, 1, 0.5), (3, 1, 0.5))
    splits = best_splits(growth((2, 3), least_rows=4), parts, EDGES)
    assert splits.threshold.tolist() == [np.inf]
    assert splits.left[:, 0].tolist() == [8, 0, 2]
    assert splits.right[:, 0].tolist() == [0, 0, 0]


def test_a_leaf_is_a_shrunken_newton_step_and_an_empty_one_adds_nothing():
    splits = best_splits(
        growth((2, 3), penalty=3.0), node((4, -2, 1), (4, 2, 1), (8, 0, 2), (0, 0, 0), (0, 0, 0)), EDGES
    )
    assert leaf_values(growth((2, 3), penalty=3.0), splits).tolist() == [0.25, -0.25]
    none = best_splits(growth((2, 3)), node((8, 1, 2), (0, 0, 0), (8, 1, 2), (0, 0, 0), (0, 0, 0)), EDGES)
    assert leaf_values(growth((2, 3)), none).tolist() == [-0.25, 0.0]
