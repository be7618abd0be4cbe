"""Who forecasts beside the twin, and who is better."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from twin.experience import Experience
from twin.scores import crps
from twin.shiftcast import said

RIVALS = ("last shift", "same shift a day before", "same shift a week before", "mean so far")
"""The naive forecasts, single numbers."""
SPREAD = "spread so far"
"""The rival that is no single number: all shifts of that kind so far, as a sample."""

LOOKED_AT = 6
"""Seeds below this were looked at while the correction by experience was written."""


def best_single(results: Sequence[dict[str, Any]]) -> str:
    """The rival with the least CRPS over all plants, each plant's in units of its mean output."""
    return min(RIVALS, key=lambda who: fmean(r["crps"][who] / r["output"] for r in results))


def better(result: dict[str, Any], rival: str, who: str = "twin") -> bool:
    """Is `who` better than a rival ("best": the best of this plant, chosen afterwards)?"""
    bar = min(result["crps"][name] for name in RIVALS) if rival == "best" else result["crps"][rival]
    return bool(result["crps"][who] < bar)


def score(raw: dict[str, Any]) -> dict[str, Any]:
    """The figures of a plant. A shift is corrected by those that were over when it began: the forecasts of the time of
    listening and those since then; *counted* is the twin corrected by what it has counted itself instead of by what was
    booked. CRPS of a single number is its absolute error.
    """
    booked, counted = Experience(), Experience()

    def learn(over: dict[str, Any]) -> None:
        booked.add(over["kind"], over["values"], over["out"])
        if over["counted"] is not None:
            counted.add(over["kind"], over["values"], over["counted"])

    rows = []
    for past in raw["past"]:
        learn(past)
    for shift in raw["shifts"]:
        own = said(counted, shift["kind"], shift["values"])
        rows.append(_row(booked, shift) | {"counted": crps(own.values, float(shift["out"]))})
        learn(shift)
    means = {
        who: fmean(r[who] for r in rows) for who in ("twin", "counted", "alone", "mae", "alone_mae", *RIVALS, SPREAD)
    }
    return {
        **{key: raw[key] for key in ("seed", "kind", "release", "stations", "dirt", "calendar", "went_wrong")},
        "n": len(rows),
        "output": fmean(r["out"] for r in rows),
        "coverage": fmean(r["covered"] for r in rows),
        "bias": fmean(r["mean"] - r["out"] for r in rows),
        "bias_alone": fmean(r["alone_mean"] - r["out"] for r in rows),
        "crps": means,
        "shifts": rows,
    }


def _row(experience: Experience, shift: dict[str, Any]) -> dict[str, Any]:
    told, out = said(experience, shift["kind"], shift["values"]), float(shift["out"])
    return {
        "kind": shift["kind"],
        "t": shift["t"],
        "out": shift["out"],
        "mean": round(told.mean, 2),
        "lo": round(told.lo, 2),
        "hi": round(told.hi, 2),
        "covered": bool(told.lo <= out <= told.hi),
        "twin": crps(told.values, out),
        "alone": crps(told.alone_values, out),
        "alone_mean": told.alone_mean,
        "mae": abs(told.mean - out),
        "alone_mae": abs(told.alone_mean - out),
        **{name: abs(shift[name] - out) for name in RIVALS},
        SPREAD: crps(shift[SPREAD], out),
    }
