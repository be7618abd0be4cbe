"""The one-step model: errors that are white and of their own spread, whatever the signals look like; exact saving."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from twin.onestep import OneStep, Saved

Array = NDArray[np.float64]


def machine(n: int, seed: int) -> Array:
    """Four signals: an autoregression, one that follows it a frame later, a random walk with noise, white noise."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, 5))
    first, walk = np.zeros(n), np.cumsum(0.05 * noise[:, 4])
    for i in range(1, n):
        first[i] = 0.9 * first[i - 1] + noise[i, 0]
    second = np.concatenate([[0.0], 0.7 * first[:-1]]) + 0.5 * noise[:, 1]
    return np.column_stack([first + 20.0, second - 3.0, 80.0 + walk + 0.1 * noise[:, 2], 230.0 + 10.0 * noise[:, 3]])


def errors(values: Array) -> Array:
    model, no = OneStep(values[:200]), np.zeros(values.shape[1], dtype=bool)
    found = [model.step(v, no) for v in values]
    return np.array([pair[0] for pair in found if pair is not None])


def correlation(x: Array, lag: int) -> float:
    x = x - x.mean()
    return float((x[lag:] * x[:-lag]).sum() / (x * x).sum())


def test_errors_are_white_and_as_large_as_stated() -> None:
    values = machine(3000, 4)
    found = errors(values)[300:]
    assert correlation(values[:, 0], 1) > 0.85
    assert correlation(values[:, 2], 10) > 0.8
    for i in range(4):
        assert found[:, i].std() == pytest.approx(1.0, abs=0.1)
        for lag in (1, 2, 5):
            # a signal that wanders is whitened a little too much: that costs delay, positive correlation false notices
            assert -0.3 < correlation(found[:, i], lag) < 0.1, (i, lag)


def test_what_one_signal_says_about_another_is_used() -> None:
    values = machine(2000, 5)
    model, no = OneStep(values[:200]), np.zeros(4, dtype=bool)
    for v in values:
        model.step(v, no)
    # second = 0.7 first (a frame before), in standard deviations of the first 200 frames
    assert model.weights[1, 1] == pytest.approx(0.7 * model.sd[0] / model.sd[1], abs=0.08)


def test_a_saved_model_goes_on_exactly() -> None:
    values, no = machine(600, 6), np.zeros(4, dtype=bool)
    one, other = OneStep(values[:200]), OneStep(values[:200])
    for v in values[:400]:
        one.step(v, no)
        other.step(v, no)
    other = OneStep.load(msgspec.json.decode(msgspec.json.encode(other.save()), type=Saved))
    for v in values[400:]:
        a, b = one.step(v, no), other.step(v, no)
        assert a is not None
        assert b is not None
        assert np.array_equal(a[0], b[0])
    assert one.save() == other.save()


@pytest.mark.parametrize(("shape", "lags"), [((1, 3), 2), ((5, 0), 2), ((5, 3), 0)])
def test_what_makes_no_model_is_refused(shape: tuple[int, int], lags: int) -> None:
    with pytest.raises(ValueError, match="a one-step model needs"):
        OneStep(np.zeros(shape), lags)
