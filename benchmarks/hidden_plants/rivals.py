"""Who forecasts beside the twin, and who is better."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

RIVALS = ("last shift", "same shift a day before", "same shift a week before", "mean so far")
"""The naive forecasts, single numbers."""
SPREAD = "spread so far"
"""The rival that is no single number: all shifts of that kind so far, as a sample."""


def best_single(results: Sequence[dict[str, Any]]) -> str:
    """The rival with the least CRPS over all plants, each plant's in units of its mean output."""
    return min(RIVALS, key=lambda who: fmean(r["crps"][who] / r["output"] for r in results))


def better(result: dict[str, Any], rival: str, who: str = "twin") -> bool:
    """Is `who` better than a rival ("best": the best of this plant, chosen afterwards)?"""
    bar = min(result["crps"][name] for name in RIVALS) if rival == "best" else result["crps"][rival]
    return bool(result["crps"][who] < bar)
