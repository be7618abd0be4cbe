"""The fidelity certificate: where, for what and until when the twin may be believed, from its own record.

A line for each series and horizon, of the newest `WINDOW` epochs that do not overlap: coverage with its interval, bias
against a declared tolerance in the series' own unit, whether the ranks are uniform, and whether the forecast beats
those that need no model. Uniform ranks are necessary, not sufficient (a forecast of "as it ever was" passes), hence the
last.

Lights: **red** where the record rules the promise out, **amber** where it speaks against it, **green** where as many
epochs as a verdict needs (`twin.verdict`) speak for it, else **unknown**. Red on a KPI of the whole plant switches
advice off; those are judged each alone, all other lines as so many of one page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from scipy.special import gammaincc

from twin.scores import DAY_MS, Group, Scores
from twin.verdict import ALONE, biased, inside, interval, needed, wilson, worse

LIGHTS = ("green", "amber", "red", "unknown")
PLANT_WIDE = ("wip", "output", "backlog")
WIDENED = 2.0
"""A band that had to be doubled says that the model is wrong."""
VALID_MS = DAY_MS
"""How long after its newest epoch a certificate is worth something."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Bias that is no fault: a share of the mean of what came, at least so many units of the series."""

    share: float = 0.1
    least: float = 0.5

    def of(self, values: Iterable[float]) -> float:
        found = [abs(v) for v in values]
        return max(self.share * fmean(found), self.least)


@dataclass(frozen=True, slots=True)
class Lines:
    """How many lines are looked at: with a score (`all`), and those that are judged as so many (`many`)."""

    all: int
    many: int

    @classmethod
    def of(cls, scores: Scores) -> Lines:
        """Those count that wait for their first score: else each horizon that comes due would move the limits."""
        known = set(scores.groups) | {(check["name"], check["ahead_s"]) for check in scores.waiting}
        return cls(len(scores.groups), max(sum(name not in PLANT_WIDE for name, _ in known), 1))


def uniform(shares: list[float]) -> float | None:
    """p-value of uniform ranks: chi-squared over 5 bins (10 from 50 ranks on); None below 25 ranks."""
    n = len(shares)
    if n < 25:
        return None
    bins = 10 if n >= 50 else 5
    seen = [0] * bins
    for share in shares:
        seen[min(int(share * bins), bins - 1)] += 1
    found = sum((k - n / bins) ** 2 for k in seen) / (n / bins)
    return float(gammaincc((bins - 1) / 2, found / 2))


def line(name: str, ahead_s: int, group: Group, lines: Lines, tolerance: Tolerance) -> dict[str, Any]:
    """One line of the certificate. `need`: forecasts from which on it may be green."""
    rows, many = list(group.rows), None if name in PLANT_WIDE else lines.many
    need = ALONE if many is None else needed(many)
    found: dict[str, Any] = {"name": name, "ahead_s": ahead_s, "n": len(rows), "need": need, "light": "unknown"}
    early = [f"too early: {len(rows)} of {need} forecasts"]
    if len(rows) < ALONE:
        return found | {"why": early}
    hits = sum(row["covered"] for row in rows)
    errors = [row["mean"] - row["value"] for row in rows]
    low, high = interval(errors, 0.9)
    p = uniform([row["share"] for row in rows if "share" in row])
    found |= {
        "coverage90": round(hits / len(rows), 4),
        "coverage_lo": round(wilson(hits, len(rows), 0.9)[0], 4),
        "coverage_hi": round(wilson(hits, len(rows), 0.9)[1], 4),
        "bias": round(fmean(errors), 4),
        "bias_lo": round(low, 4),
        "bias_hi": round(high, 4),
        "tolerance": round(tolerance.of(row["value"] for row in rows), 4),
        "p_uniform": None if p is None else round(p, 5),
        "crps": round(fmean(row["crps"] for row in rows), 4),
        "skill": {what: _skill(rows, key) for what, key in _RIVALS.items()},
        "widen": round(group.widen, 3),
        "seen": [min(row["value"] for row in rows), max(row["value"] for row in rows)],
        "newest": rows[-1]["t"],
    }
    cover = inside(hits, len(rows), many)
    misses = [f"{hits} of {len(rows)} inside the 90 % band"]
    red = (misses if cover == "red" else []) + _bias(rows, errors, tolerance, many)
    amber = (misses if cover == "amber" else []) + _doubts(rows, found, p, lines.all, many)
    found["light"] = "red" if red else "amber" if amber else "green" if len(rows) >= need else "unknown"
    return found | {"why": red or amber or (early if len(rows) < need else [])}


_RIVALS = {"persistence": "still", "season": "season", "ever": "ever"}
"""Forecasts that need no model: it stays as it is; as a day before; as it ever was (all epochs before)."""


def _skill(rows: list[dict[str, Any]], rival: str) -> float | None:
    """1 less CRPS / CRPS of the rival, over the epochs that have both."""
    pairs = [(row["crps"], row[rival]) for row in rows if row.get(rival) is not None]
    other = sum(b for _, b in pairs)
    return round(1 - sum(a for a, _ in pairs) / other, 4) if len(pairs) >= ALONE and other > 0 else None


def _bias(rows: list[dict[str, Any]], errors: list[float], tolerance: Tolerance, many: int | None) -> list[str]:
    allowed, mean = tolerance.of(row["value"] for row in rows), fmean(errors)
    if not biased(errors, [row["share"] for row in rows if "share" in row], allowed, many):
        return []
    return [f"forecasts {abs(mean):.3g} too {'high' if mean > 0 else 'low'} on the mean, {allowed:.3g} allowed"]


def _doubts(
    rows: list[dict[str, Any]], found: dict[str, Any], p: float | None, lines: int, many: int | None
) -> list[str]:
    why = []
    if p is not None and p < 0.01 / max(lines, 1):
        why.append(f"ranks are not uniform (p = {p:.1g})")
    if found["widen"] > WIDENED:
        why.append(f"the band had to be widened {found['widen']:.1f} times")
    pairs = [(row["crps"], row["still"]) for row in rows if row.get("still") is not None]
    if worse([a for a, _ in pairs], [b for _, b in pairs], many):
        why.append("no better than 'it stays as it is'")
    return why


def worst(lights: Iterable[str]) -> str:
    """The worst of some lights; unknown ones count only where there is no other."""
    known = [light for light in lights if light != "unknown"]
    return max(known, key=LIGHTS.index) if known else "unknown"


def certify(
    scores: Scores, now: int, places: dict[str, float], notices: Iterable[str] = (), tolerance: Tolerance | None = None
) -> dict[str, Any]:
    """The certificate at plant ms `now`. `places` are the series' present values (for where it holds), `notices` the
    things with an open notice of drift: their lights are amber at best.

    `{t, light, why, expires, lines, stations: {id: light}, outside: [series beyond what has been seen], n}`.
    """
    drifting = set(notices)
    groups, counted = sorted(scores.groups.items()), Lines.of(scores)
    lines = [line(name, ahead, group, counted, tolerance or Tolerance()) for (name, ahead), group in groups]
    for one in lines:
        if one["name"].partition("/")[2] in drifting and one["light"] == "green":
            one["light"], one["why"] = "amber", ["an open notice of drift"]
    newest = max((one["newest"] for one in lines if "newest" in one), default=0)
    expired = bool(newest) and now > newest + VALID_MS
    stations: dict[str, list[str]] = {}
    for one in lines:
        if one["name"].startswith(("at/", "out/")):
            stations.setdefault(one["name"].partition("/")[2], []).append(one["light"])
    light = "unknown" if expired else worst(one["light"] for one in lines if one["name"] in PLANT_WIDE)
    why = ["expired: no forecast has come due for a day"] if expired else [
        f"{one['name']} {one['ahead_s'] // 60} min ahead: {'; '.join(one['why'])}"
        for one in lines if one["name"] in PLANT_WIDE and one["light"] == light and one["why"]
    ]  # fmt: skip
    return {
        "t": now,
        "light": light,
        "why": why,
        "expires": newest + VALID_MS if newest else None,
        "n": sum(one["n"] for one in lines),
        "lines": lines,
        "stations": {name: worst(lights) for name, lights in stations.items()},
        "outside": _outside(lines, places),
    }


def _outside(lines: list[dict[str, Any]], places: dict[str, float]) -> list[str]:
    """Series (levels, not counts) whose present value lies beyond all that the scored epochs have seen."""
    seen: dict[str, list[float]] = {}
    for one in lines:
        if "seen" in one and one["name"] in places:
            low, high = seen.get(one["name"], one["seen"])
            seen[one["name"]] = [min(low, one["seen"][0]), max(high, one["seen"][1])]
    return sorted(name for name, (low, high) in seen.items() if not low <= places[name] <= high)
