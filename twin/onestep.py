"""A one-step model of several signals of one machine: what the next values should be, and how far off they were.

Two layers, both recursive, so that the model is a pure fold over the frames and any number of them costs the same:

1. A vector autoregression on the last `lags` frames of all signals, fitted by recursive least squares with ridge prior
   and exponential forgetting (Ljung, System Identification, 2nd ed. 1999, section 11.2; errors are cut at four standard
   deviations first, so that one wild value does not bend the coefficients).
2. The level of its residuals, signal by signal: exponential smoothing with the gain, out of `GAINS`, whose one-step
   errors have been smallest. It whitens what a linear model with constant coefficients leaves: a pump that warms up, a
   temperature that wanders. Gain 0 is a level that stays where it was learned.

An error is standardised by its own predictive spread: running variance, times what the uncertainty of the coefficients
adds.
"""

from __future__ import annotations

from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GAINS = np.array([0.0, 0.01, 0.03, 0.1, 0.3, 0.6])
CUT = 4.0
LEVEL_MEMORY = 600
"""Frames over which the gains are compared."""
SPREAD_MEMORY = 300
FARTHEST = 50.0
"""Values are cut at so many standard deviations of the first frames: a broken sensor is a change, not an infinity."""
MOST = 1e6
"""Largest trace of the recursion's matrix: forgetting makes it grow where nothing moves."""
WARM = 6
"""Frames for each coefficient before errors are told: until then they say more about the start than about the plant."""


class Saved(msgspec.Struct):
    """The model as lists of numbers."""

    lags: int
    memory: int
    n: int
    past: list[list[float]]
    mean: list[float]
    sd: list[float]
    gain: list[list[float]]
    weights: list[list[float]]
    level: list[list[float]]
    loss: list[list[float]]
    variance: list[float]
    chosen: list[int]


_ARRAYS = ("mean", "sd", "gain", "weights", "level", "loss", "variance")


class OneStep:
    """`first` [frames, signals]: frames that fix the units (they are not taken in; `step` them).

    Coefficients are forgotten over `memory` frames. Raises ValueError for a shape or number that makes no model.
    """

    def __init__(self, first: Array, lags: int = 2, memory: int = 2000) -> None:
        if first.ndim != 2 or len(first) < 2 or first.shape[1] < 1 or lags < 1 or memory < 10:
            raise ValueError(
                "a one-step model needs frames [at least 2, signals], lags from 1 and a memory from 10 frames; found "
                f"shape {first.shape}, {lags} and {memory}"
            )
        signals, size = first.shape[1], 1 + lags * first.shape[1]
        self.lags, self.memory, self.n = lags, memory, 0
        self.past: list[Array] = []
        self.mean, self.sd = first.mean(axis=0), np.maximum(first.std(axis=0), 1e-9)
        self.gain, self.weights = np.eye(size), np.zeros((size, signals))
        self.level = np.zeros((len(GAINS), signals))
        self.loss = np.ones((len(GAINS), signals)) + 1e-6 * np.arange(len(GAINS))[:, None]
        self.variance, self.chosen = np.ones(signals), np.zeros(signals, dtype=np.int64)

    @classmethod
    def load(cls, saved: Saved) -> Self:
        """The model that `save` has written down."""
        model = cls(np.zeros((2, len(saved.mean))), saved.lags, saved.memory)
        model.n, model.past = saved.n, [np.array(p) for p in saved.past]
        for name in _ARRAYS:
            setattr(model, name, np.array(getattr(saved, name)))
        model.chosen = np.array(saved.chosen, dtype=np.int64)
        return model

    def save(self) -> Saved:
        """All of it; numbers are exact, so a model that was saved goes on as if it had not been."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        past = [p.tolist() for p in self.past]
        return Saved(self.lags, self.memory, self.n, past, chosen=self.chosen.tolist(), **arrays)

    def restart(self) -> None:
        """The next frame does not follow the last one (a gap): forget the lagged values, keep the model."""
        self.past.clear()

    def step(self, values: Array, hold: NDArray[np.bool_]) -> tuple[Array, Array] | None:
        """Take a frame [signals]; (standardised errors, errors before the level is taken off), or None while there are
        too few frames. Of signals in `hold` the gain is not chosen anew: a change under way must not look like drift.
        """
        z = np.clip((values - self.mean) / self.sd, -FARTHEST, FARTHEST)
        result = self._errors(z, hold) if len(self.past) == self.lags else None
        self.past = [z, *self.past[: self.lags - 1]]
        return result

    def _errors(self, z: Array, hold: NDArray[np.bool_]) -> tuple[Array, Array] | None:
        self.n += 1
        lagged = np.concatenate([[1.0], *self.past])
        warm = WARM * len(lagged)
        projected = self.gain @ lagged
        doubt = float(lagged @ projected)
        widened = np.sqrt(1 + doubt)
        spread = np.sqrt(self.variance)
        raw = z - lagged @ self.weights
        cut = raw if self.n <= warm else np.clip(raw, -CUT * spread * widened, CUT * spread * widened)
        keep = 1.0 - 1.0 / self.memory
        self.weights += np.outer(projected / (keep + doubt), cut)
        self.gain = (self.gain - np.outer(projected, projected) / (keep + doubt)) / keep
        self.gain *= min(1.0, MOST / float(np.trace(self.gain)))
        if self.n <= warm:
            return None
        raw = raw / widened
        return self._whitened(raw, spread, hold, self.n - warm), raw

    def _whitened(self, raw: Array, spread: Array, hold: NDArray[np.bool_], n: int) -> Array:
        self.chosen = np.where(hold, self.chosen, self.loss.argmin(axis=0))
        error = raw - self.level[self.chosen, np.arange(len(raw))]
        cut = np.clip((raw - self.level) / spread, -CUT, CUT) * spread
        share = max(1.0 / (n + 1), 1.0 / LEVEL_MEMORY)
        self.loss = (1 - share) * self.loss + share * cut**2
        self.level += GAINS[:, None] * cut
        share = max(1.0 / (n + 1), 1.0 / SPREAD_MEMORY)
        self.variance = (1 - share) * self.variance + share * (np.clip(error / spread, -CUT, CUT) * spread) ** 2
        return error / spread
