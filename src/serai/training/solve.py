"""Solve a symmetric positive definite system with the same bits on every machine.

LAPACK and BLAS choose their order of operations by processor and thread count,
so two members could get two models from one sum. Here each operation is an
elementwise IEEE 754 multiply, subtract or divide, in one fixed order: the
right-looking LDL^T factorisation (Golub and Van Loan, Matrix Computations, 4.1.2).
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from serai.errors import Refused

Array: TypeAlias = npt.NDArray[np.float64]


def solve_positive_definite(matrix: Array, right: Array) -> Array:
    """The x with ``matrix @ x == right``.

    Args:
        matrix: ``(d, d) float64``, symmetric positive definite; not changed.
        right: ``(d,) float64``; not changed.

    Raises:
        Refused: the matrix is not positive definite to working precision.

    """
    work = matrix.copy()
    x = right.copy()
    size = len(x)
    floor = float(np.max(np.abs(np.diagonal(matrix)), initial=0.0)) * 2.0**-46
    for k in range(size):
        pivot = work[k, k]
        if not pivot > floor:
            raise Refused(
                "not-positive-definite",
                f"row {k} of the system depends on the rows before it; raise the ridge or drop that feature",
            )
        factors = work[k + 1 :, k] / pivot
        work[k + 1 :, k + 1 :] -= np.multiply.outer(factors, work[k, k + 1 :])
        x[k + 1 :] -= factors * x[k]
    for k in reversed(range(size)):
        x[k] /= work[k, k]
        x[:k] -= work[:k, k] * x[k]
    return x
