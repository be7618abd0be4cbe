"""Scores of the machine-shop forecasts: completions, WIP per work center, remaining time per open order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks._shop import BEGIN, DAYS, HORIZONS, SETTLED, Origin, Past, Samples, by_center, midnights, plant_ms
from twin.orders import DAY_MS

Row = dict[str, float]
Scored = tuple[Samples, float]  # a forecast as equally likely values, and what came
REPORTS = (2, 5, 10, 20)
"""Orders with at most so many reports are compared with each other by the second naive forecast of remaining times."""


def crps(samples: Samples, actual: float) -> float:
    """Continuous ranked probability score of an ensemble (Gneiting and Raftery, JASA 102, 2007, eq. 21)."""
    ordered = np.sort(samples)
    n = len(ordered)
    spread = 2.0 * np.sum((2 * np.arange(1, n + 1) - n - 1) * ordered) / n**2
    return float(np.mean(np.abs(ordered - actual)) - 0.5 * spread)


def score(pairs: Sequence[Scored]) -> Row:
    """Bias and mean absolute error of the mean, CRPS, share of outcomes inside the central 90 % band."""
    means = np.array([samples.mean() for samples, _ in pairs])
    truth = np.array([actual for _, actual in pairs])
    inside = [np.quantile(s, 0.05) <= a <= np.quantile(s, 0.95) for s, a in pairs]
    return {
        "n": len(truth),
        "bias": float(np.mean(means - truth)),
        "mae": float(np.mean(np.abs(means - truth))),
        "crps": float(np.mean([crps(s, a) for s, a in pairs])),
        "coverage90": float(np.mean(inside)),
    }


def poisson(mean: float, n: int = 199) -> Samples:
    """Quantiles of a Poisson distribution: the spread that is given to a naive count so that it can be scored as a
    distribution."""
    from scipy.stats import poisson as law

    if mean <= 0:
        return np.zeros(n)
    return np.asarray(law.ppf((np.arange(n) + 0.5) / n, mean), dtype=float)


def completions(origins: Sequence[Origin], past: Past, end: int) -> dict[int, dict[str, list[Scored]]]:
    """By horizon and forecaster; only horizons that end by plant ms `end` are scored."""
    result: dict[int, dict[str, list[Scored]]] = {h: defaultdict(list) for h in HORIZONS}
    for o, h in _scored(origins, end):
        actual = float(past.completions(o.midnight, o.midnight + h * DAY_MS))
        week = past.completions(o.midnight - 7 * DAY_MS, o.midnight + (h - 7) * DAY_MS)
        average = past.completions(plant_ms(BEGIN), o.midnight) / (o.day - BEGIN).days * h
        result[h]["twin"].append((o.forecast.completions[h], actual))
        result[h]["same as last week"].append((poisson(week), actual))
        result[h]["average so far"].append((poisson(average), actual))
    return result


def wip(origins: Sequence[Origin], past: Past, end: int) -> dict[int, dict[str, list[Scored]]]:
    """Orders at each work center at the horizon's end, all centers together in one list."""
    result: dict[int, dict[str, list[Scored]]] = {h: defaultdict(list) for h in HORIZONS}
    for o, h in _scored(origins, end):
        at = {t: by_center(past.at[t].wip, o.forecast) for t in map(plant_ms, midnights(SETTLED, o.day))}
        at[o.midnight] = by_center(o.snapshot.wip, o.forecast)
        actual = by_center(past.at[o.midnight + h * DAY_MS].wip, o.forecast)
        week = at[o.midnight + (h - 7) * DAY_MS]
        average = np.mean(list(at.values()), axis=0)
        changes = np.array([at[t + h * DAY_MS] - now for t, now in at.items() if t + h * DAY_MS in at])
        for c, came in enumerate(actual):
            result[h]["twin"].append((o.forecast.wip[h][:, c], came))
            result[h]["same as last week"].append((poisson(week[c]), came))
            result[h]["average so far"].append((poisson(average[c]), came))
            moved = np.maximum(at[o.midnight][c] + changes[:, c], 0.0)
            result[h]["as now, with past changes"].append((moved, came))
    return result


def _scored(origins: Sequence[Origin], end: int) -> Iterator[tuple[Origin, int]]:
    return ((o, h) for o in origins for h in HORIZONS if o.midnight + h * DAY_MS <= end)


def _group(activity: str, reports: int, by: str) -> str:
    return activity if by == "activity" else f"{sum(reports > bound for bound in REPORTS)}"


def _alike(past: Past, day_ms: int, by: str) -> dict[str, Samples]:
    """Probability that an order is open 1 to DAYS days on, by group, over all past midnights whose days have ended."""
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for t, snapshot in past.at.items():
        if plant_ms(SETTLED) <= t <= day_ms - DAYS * DAY_MS:
            for order, (activity, reports) in snapshot.orders.items():
                left = past.days_left(order, t)
                seen[_group(activity, reports, by)].append(left)
                seen["all"].append(left)
    days = np.arange(1, DAYS + 1)
    return {group: (np.array(lefts)[:, None] > days).mean(axis=0) for group, lefts in seen.items()}


def remaining(origins: Sequence[Origin], past: Past, end: int) -> dict[str, Row]:
    """Time to completion of each order open at a midnight, up to DAYS days, by forecaster.

    `crps` (days) is the integral of the squared error of the distribution up to DAYS days, by whole days (a proper
    score that needs no outcome beyond them); `mae` and `bias` (days) are of the mean of the time cut at DAYS days.
    """
    days = np.arange(1, DAYS + 1)
    errors: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for o in origins:
        if o.midnight + DAYS * DAY_MS > end:
            continue
        alike = {by: _alike(past, o.midnight, by) for by in ("activity", "reports")}
        for i, order in enumerate(o.forecast.orders):
            activity, reports = o.snapshot.orders[order]
            came = (past.days_left(order, o.midnight) > days).astype(float)
            said = {"twin": o.forecast.open_after[i]}
            for by, name in (("activity", "past orders at the same activity"), ("reports", "past orders as far on")):
                said[name] = alike[by].get(_group(activity, reports, by), alike[by]["all"])
            for name, still in said.items():
                errors[name].append((float(np.sum((still - came) ** 2)), float(np.sum(still - came))))
    return {
        name: {
            "n": len(found),
            "bias": float(np.mean([e for _, e in found])),
            "mae": float(np.mean([abs(e) for _, e in found])),
            "crps": float(np.mean([s for s, _ in found])),
        }
        for name, found in errors.items()
    }


def all_scores(origins: Sequence[Origin], past: Past, end: int) -> dict[str, Any]:
    """Every target by horizon and forecaster: {"completions": {"1 d": {forecaster: row}}, "wip": ..., "remaining"}."""
    return {
        "completions": _rows(completions(origins, past, end)),
        "wip": _rows(wip(origins, past, end)),
        "remaining": {f"up to {DAYS} d": remaining(origins, past, end)},
    }


def _rows(found: dict[int, dict[str, list[Scored]]]) -> dict[str, dict[str, Row]]:
    return {f"{h} d": {name: score(pairs) for name, pairs in by.items()} for h, by in found.items() if by}


def total(scores: dict[str, Any]) -> float:
    """One number for choosing options: the CRPS of the twin relative to that of the average so far (for remaining
    times: past orders at the same activity), averaged over horizons within a target, then over the three targets."""
    ratios = []
    for target, base in (("completions", "average so far"), ("wip", "average so far"),
                         ("remaining", "past orders at the same activity")):  # fmt: skip
        ratios.append(np.mean([by["twin"]["crps"] / by[base]["crps"] for by in scores[target].values() if by]))
    return float(np.mean(ratios))
