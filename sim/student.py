"""Student's t and the normal distribution, as far as intervals need them.

`scipy.special` has what they are made of; `scipy.stats`, which wraps it, takes seconds to import on a busy machine.
"""

from __future__ import annotations

import math


def upper_normal(z: float) -> float:
    """Probability that a standard normal exceeds z."""
    return math.erfc(z / math.sqrt(2.0)) / 2


def upper_tail(t: float, df: float) -> float:
    """Probability that Student's t with `df` degrees of freedom exceeds t >= 0."""
    from scipy.special import stdtr

    return float(stdtr(df, -t))


def quantile(probability: float, df: float) -> float:
    """The value below which Student's t with `df` > 0 degrees of freedom lies with `probability` (0.5 to 1).

    Raises ValueError for other probabilities and degrees.
    """
    if not 0.5 <= probability < 1 or not df > 0:
        raise ValueError(
            f"quantile of Student's t: expected a probability from 0.5 to 1 and degrees of freedom above 0, found "
            f"{probability} and {df}"
        )
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))
