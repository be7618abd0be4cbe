"""The posteriors by themselves: they cover the truth as often as they say, censored or not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twin import fit
from twin.fit import Data, Prior

RUNS = 120
KINDS = (("exponential", 1.0), ("lognormal", 0.9), ("gamma", 0.15), ("weibull", 0.7276))


def times(rng: np.random.Generator, kind: str, cv: float, n: int) -> fit.Values:
    """Spans of mean 1."""
    if kind == "exponential":
        return rng.exponential(1.0, n)
    if kind == "lognormal":
        s = math.sqrt(math.log1p(cv * cv))
        return np.exp(s * rng.standard_normal(n) - s * s / 2)
    if kind == "gamma":
        return rng.gamma(1 / cv**2, cv**2, n)
    return rng.weibull(1.4, n) / math.gamma(1 + 1 / 1.4)


@pytest.mark.parametrize(("kind", "cv"), KINDS)
def test_intervals_cover_what_was_drawn_from_the_prior(kind: str, cv: float) -> None:
    """Truth drawn from the prior, a third of the spans censored: 90 % intervals cover 90 %. Limits: binomial, 1e-4."""
    rng = np.random.default_rng(5)
    prior, covered = Prior(0.25, kind, cv), 0
    for _ in range(RUNS):
        truth = math.exp(0.25 * rng.standard_normal() - 0.25**2 / 2)
        x, limit = truth * times(rng, kind, cv, 12), rng.exponential(2.5, 12)
        data = Data(tuple(np.minimum(x, limit)), (1.0,) * 12, tuple(limit < x))
        found = fit.spans(prior, data)
        covered += found.lo <= truth <= found.hi
    assert 93 <= covered <= 119, covered


@pytest.mark.parametrize(("kind", "cv"), KINDS)
def test_without_censoring_it_would_be_biased(kind: str, cv: float) -> None:
    """What has not ended yet is long: leaving it out, or taking it for ended, is biased; ours is not."""
    rng = np.random.default_rng(6)
    x, limit = times(rng, kind, cv, 400), rng.uniform(0.3, 1.4, 400)
    cut = limit < x
    seen = np.minimum(x, limit)
    assert seen[~cut].mean() < 1 - 0.15 * cv
    assert seen.mean() < 0.85
    found = fit.spans(Prior(0.99, kind, cv, robust=False), Data(tuple(seen), (1.0,) * 400, tuple(cut)))
    assert found.mean == pytest.approx(1.0, abs=0.12)
    assert found.lo < 1.0 < found.hi


def test_a_gamma_posterior_is_the_textbooks() -> None:
    """Gamma(a + n, b + T) for the rate with a = 1 / 0.5^2, b = a - 1: the factor's mean is (b + T) / (a + n - 1)."""
    found = fit.spans(Prior(0.5, "exponential", robust=False), Data((0.5,) * 10, (1.0,) * 10, (False,) * 10))
    assert found.mean == pytest.approx((3 + 5.0) / (4 + 10 - 1), rel=2e-3)
    assert found.n == 10


def test_a_strong_contradiction_is_believed() -> None:
    """The robust prior: three times the file's value is not averaged with it, a mild difference is."""
    x = tuple(3 * v for v in times(np.random.default_rng(1), "exponential", 1.0, 40))
    data = Data(x, (1.0,) * 40, (False,) * 40)
    stiff = fit.spans(Prior(0.15, "exponential", robust=False), data).mean
    assert stiff < 0.75 * np.mean(x)
    assert fit.spans(Prior(0.15, "exponential"), data).mean == pytest.approx(np.mean(x), rel=0.1)


def test_a_share_of_scrap_is_beta() -> None:
    """Mean of Beta(p m + hits, (1 - p) m + rest), m from the prior's relative standard deviation."""
    m = 0.96 / (0.04 * 0.3**2) - 1
    found = fit.share(0.04, 0.3, 30, 500)
    assert found.mean == pytest.approx((0.04 * m + 30) / (m + 500), rel=0.01)
    assert 0.04 < found.lo < found.mean < found.hi < 0.075


def test_draws_are_of_the_posterior() -> None:
    found = fit.spans(Prior(0.25, "lognormal", 0.5), Data((1.2,) * 5, (1.0,) * 5, (False,) * 5))
    drawn = found.draw(np.random.default_rng(2), 4000)
    assert drawn.mean() == pytest.approx(found.mean, rel=2e-3)
    assert np.quantile(drawn, [0.05, 0.95]) == pytest.approx([found.lo, found.hi], rel=5e-3)


def test_kolmogorov_of_a_known_case() -> None:
    """Ten equally spaced points of a uniform are 0.05 away from it; all at the middle are half away."""
    assert fit.kolmogorov((np.arange(10) + 0.5) / 10, (np.arange(10) + 0.5) / 10)[0] == pytest.approx(0.05)
    distance, p = fit.kolmogorov(np.full(40, 0.5), np.full(40, 0.5))
    assert distance == pytest.approx(0.5)
    assert p < 1e-6
