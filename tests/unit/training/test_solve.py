"""The solver agrees with LAPACK and, unlike LAPACK, with itself on every machine."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.errors import Refused
from serai.training.solve import solve_positive_definite


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_it_solves_what_lapack_solves(size, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size + 3, size))
    matrix = root.T @ root + 0.1 * np.eye(size)
    right = rng.normal(size=size)
    np.testing.assert_allclose(
        solve_positive_definite(matrix, right), np.linalg.solve(matrix, right), rtol=1e-6, atol=1e-9
    )


def exact_solution(rows, right):
    """Gauss-Jordan in fractions."""
    size = len(right)
    work = [[Fraction(value) for value in (*row, last)] for row, last in zip(rows, right, strict=True)]
    for k in range(size):
        work[k] = [value / work[k][k] for value in work[k]]
        for i in range(size):
            if i != k:
                work[i] = [a - work[i][k] * b for a, b in zip(work[i], work[k], strict=True)]
    return [float(row[-1]) for row in work]


def test_it_solves_the_hilbert_matrix_as_exact_fractions_do():
    hilbert = [[Fraction(1, i + j + 1) for j in range(5)] for i in range(5)]
    matrix = np.array(hilbert, np.float64)
    exact = exact_solution(matrix.tolist(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(solve_positive_definite(matrix, np.arange(1.0, 6.0)), exact, rtol=1e-9)


def test_the_arguments_are_left_alone():
    matrix, right = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])
    solve_positive_definite(matrix, right)
    np.testing.assert_array_equal(matrix, [[4.0, 1.0], [1.0, 3.0]])
    np.testing.assert_array_equal(right, [1.0, 2.0])


@pytest.mark.parametrize(
    "matrix", [[[1.0, 1.0], [1.0, 1.0]], [[0.0]], [[-1.0]], [[1.0, 2.0], [2.0, 1.0]], [[float("nan")]]]
)
def test_what_is_not_positive_definite_is_refused(matrix):
    with pytest.raises(Refused) as caught:
        solve_positive_definite(np.array(matrix), np.ones(len(matrix)))
    assert caught.value.code == "not-positive-definite"


def solve_with_python_floats(matrix, right):
    """The same algorithm, one IEEE 754 operation at a time."""
    work, x = [list(row) for row in matrix.tolist()], right.tolist()
    size = len(x)
    for k in range(size):
        for i in range(k + 1, size):
            factor = work[i][k] / work[k][k]
            for j in range(k + 1, size):
                work[i][j] -= factor * work[k][j]
            x[i] -= factor * x[k]
    for k in reversed(range(size)):
        x[k] /= work[k][k]
        for i in range(k):
            x[i] -= work[i][k] * x[k]
    return x


def test_vector_instructions_give_the_bits_that_single_operations_give():
    size = 24
    matrix = np.array([[1.0 / (i + j + 1) + (i == j) for j in range(size)] for i in range(size)])
    right = np.arange(size) / 7
    assert solve_positive_definite(matrix, right).tolist() == solve_with_python_floats(matrix, right)
