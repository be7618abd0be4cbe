"""The drift benchmark measures what it says: a chart that knows calls at its rate, and a small run has all figures."""

from __future__ import annotations

import numpy as np

from benchmarks import drift
from benchmarks._record import in_order
from twin.drift import limit_for, run_length


def test_true_distribution_functions_make_uniform_shares() -> None:
    rng = np.random.default_rng(1)
    for stream in (drift.Stream("work", "a", 1.0, 0.3), drift.Stream("repair", "a", 1.0, 0.0)):
        shares = np.sort([stream.share(v) for v in stream.draw(rng, 4000)])
        assert np.max(np.abs(shares - np.arange(1, 4001) / 4000)) < 1.63 / 4000**0.5  # Kolmogorov, 1 %


def test_the_rival_calls_at_the_rate_it_is_set_to() -> None:
    rng = np.random.default_rng(2)
    rival = drift.Known(limit_for(200.0))
    calls = sum(rival.feed(float(u)) for u in rng.uniform(size=40_000))
    assert 160 <= 40_000 / calls <= 250
    assert run_length(rival.limit) == 200.0 or abs(run_length(rival.limit) - 200.0) < 1e-6


def test_a_small_run_has_all_figures() -> None:
    figures, detail = drift.measure(2, 2)
    assert [f.row for f in figures] == ["Q8"] * 5
    assert detail["weeks"] == 2
    assert all(f.ratio is not None and f.ratio >= 0 for f in figures)
    rows: list[int | str] = [3, "Q8", 12, "Q13"]
    assert sorted(rows, key=in_order) == [3, 12, "Q8", "Q13"]
