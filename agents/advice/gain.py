"""What an action gains over another on the same luck: mean, prediction interval, how sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gain:
    """Money over the horizon, positive is better; `lo`, `hi`: 90 % prediction interval of the difference itself;
    `worse`: its probability to be below 0; `t`: mean over its standard error.
    """

    mean: float
    lo: float
    hi: float
    worse: float
    t: float

    def as_json(self, unit: str) -> dict[str, Any]:
        """The shape of `gain` and `vs` in a recommendation."""
        return {
            "mean": round(self.mean, 4),
            "lo": round(self.lo, 4),
            "hi": round(self.hi, 4),
            "unit": unit,
            "worse": round(self.worse, 4),
        }


def gain_of(reference: Costs, action: Costs, presents: int = 0) -> Gain:
    """Paired gain of costs [R] over reference costs [R]; the interval takes the outer order statistics, so it is
    never too narrow.
    """
    unsorted = reference - action
    # futures of one present share its hidden residuals: the error of the mean comes from the presents, not from the
    # futures
    whole = len(unsorted) // presents * presents if presents else 0
    means = unsorted[:whole].reshape(-1, presents).mean(axis=0) if whole else unsorted
    d = np.sort(unsorted)
    n = len(d)
    edge = int(np.floor(0.05 * (n + 1)))
    sd, n_means = float(means.std(ddof=1)), len(means)
    t = float(d.mean()) / (sd / np.sqrt(n_means)) if sd > 0 else (np.inf if d.mean() > 0 else 0.0)
    return Gain(
        float(d.mean()), float(d[max(edge - 1, 0)]), float(d[min(n - edge, n - 1)]), float((d < 0).mean()), float(t)
    )
