"""Tails of distributions, against printed tables and, where it is installed, scipy."""

import math

import pytest

from serai.analytics.distributions import chi_square_p, f_p, normal_p, student_p, student_quantile


@pytest.mark.parametrize(
    ("found", "printed"),
    [
        (normal_p(1.96), 0.04999579),
        (chi_square_p(3.841459, 1), 0.05),
        (chi_square_p(18.30704, 10), 0.05),
        (student_p(2.228139, 10), 0.05),
        (student_p(12.7062, 1), 0.05),
        (f_p(4.964603, 1, 10), 0.05),
        (f_p(2.978237, 10, 10), 0.05),
        (student_quantile(10), 2.228139),
        (student_quantile(1e6), 1.959966),
    ],
)
def test_known_percentiles(found, printed):
    assert found == pytest.approx(printed, rel=2e-6)


def test_nothing_is_as_likely_as_anything_and_certainty_has_its_ends():
    assert normal_p(0) == student_p(0, 3) == chi_square_p(0, 2) == f_p(0, 2, 3) == 1
    assert chi_square_p(1e4, 3) < 1e-300
    assert math.isinf(student_quantile(0))


def test_scipy_agrees_far_into_the_tails():
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with scikit-learn, an extra")
    freedoms = (1, 2, 3, 7.5, 30, 400, 1e5)
    for freedom in freedoms:
        for x in (1e-6, 0.1, 0.9, 1, 2, 5, 17, 60):
            close = {"rel": 1e-9, "abs": 1e-300}
            assert student_p(x, freedom) == pytest.approx(2 * stats.t.sf(x, freedom), **close)
            assert chi_square_p(x * freedom, freedom) == pytest.approx(stats.chi2.sf(x * freedom, freedom), **close)
            for other in freedoms:
                assert f_p(x, freedom, other) == pytest.approx(stats.f.sf(x, freedom, other), **close)
        assert student_quantile(freedom) == pytest.approx(stats.t.isf(0.025, freedom), rel=1e-9)
