"""The quantiles of intervals, against scipy's."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from sim.student import quantile, upper_normal, upper_tail


@pytest.mark.parametrize("df", [1, 2, 3, 4.5, 9, 30, 99, 999, 12_345, 999_999])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.95, 0.975, 0.9995, 1 - 1e-7])
def test_the_quantile_of_student_s_t(probability: float, df: float) -> None:
    assert quantile(probability, df) == pytest.approx(float(stats.t.ppf(probability, df)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("df", [1, 2.5, 7, 100, 5000])
@pytest.mark.parametrize("t", [0.0, 0.01, 0.7, 2.0, 12.0, 1e4])
def test_the_tail_of_student_s_t(t: float, df: float) -> None:
    assert upper_tail(t, df) == pytest.approx(float(stats.t.sf(t, df)), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("z", [-8.0, -1.0, 0.0, 0.5, 3.0, 20.0])
def test_the_tail_of_the_normal(z: float) -> None:
    assert upper_normal(z) == pytest.approx(float(stats.norm.sf(z)), rel=1e-12)


@pytest.mark.parametrize(("probability", "df"), [(0.4, 3), (1.0, 3), (0.9, 0), (math.nan, 3), (0.9, math.nan)])
def test_what_has_no_quantile_is_refused(probability: float, df: float) -> None:
    with pytest.raises(ValueError, match="Student's t"):
        quantile(probability, df)
