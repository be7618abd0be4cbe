"""Forecasts against what was then measured: ranks, coverage, bias and CRPS over epochs that do not overlap.

Overlapping forecasts of one stretch of time fail together, so that a valid twin would fail a test of their ranks in
up to 90 % of cases: a check is taken only when the one before of the same series and horizon has ended.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

RANKED = 99
"""Replicas whose values a check keeps, sorted: what comes has one of 100 equally likely ranks among them."""
LOW, HIGH = 4, 94
"""Positions of the 5th and 95th of 99 sorted values: the ends of the 90 % band."""
KEPT = 500
WINDOW = 200
"""Newest scored epochs of one series and horizon that the figures are about."""
DAY_MS = 86_400_000
PACE = 0.1
"""How fast the band's factor follows misses; the share of misses over T epochs is then within log(range) / (PACE T)
of a tenth, whatever comes (Gibbs and Candes 2021; quantile tracking of Angelopoulos et al. 2023)."""
NARROW, WIDE = 0.5, 10.0


def crps(values: Sequence[float], value: float) -> float:
    """Continuous ranked probability score of an equally weighted sample (sorted), in the unit of the value.

    The fair form (Ferro 2014), which does not reward a small sample: mean |x - y| - sum |x - x'| / (2 n (n - 1)).
    """
    n = len(values)
    error = sum(abs(x - value) for x in values) / n
    if n == 1:
        return error
    apart = sum((2 * i - n + 1) * x for i, x in enumerate(values))
    return error - apart / (n * (n - 1))


def share_below(values: Sequence[float], value: float, key: str) -> float:
    """Where `value` stands among the sorted `values`, 0 to 1; among equals a place is drawn, the same for one `key`."""
    below, upto = bisect_left(values, value), bisect_right(values, value)
    place = zlib.crc32(key.encode()) % (upto - below + 1)
    return (below + place + 0.5) / (len(values) + 1)


@dataclass(slots=True)
class Group:
    """The scored epochs of one series at one horizon. `widen`: factor on its band's half width."""

    n: int = 0
    widen: float = 1.0
    rows: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, scored: dict[str, Any]) -> None:
        self.n += 1
        self.rows.append(scored)
        missed = not scored.get("held", scored["covered"])
        self.widen = min(max(self.widen * exp(PACE * (missed - 0.1)), NARROW), WIDE)

    def mean(self, name: str) -> float | None:
        """Mean of a figure over the epochs that have it."""
        found = [float(row[name]) for row in self.rows if row.get(name) is not None]
        return sum(found) / len(found) if found else None

    def bias(self) -> float:
        """Mean of forecast less measured."""
        return sum(row["mean"] - row["value"] for row in self.rows) / max(len(self.rows), 1)

    def row(self, name: str, ahead_s: int) -> dict[str, Any]:
        return {
            "name": name,
            "ahead_s": ahead_s,
            "n": self.n,
            "coverage90": round(self.mean("covered") or 0.0, 4),
            "bias": round(self.bias(), 4),
            "crps": round(self.mean("crps") or 0.0, 4),
            "crps_persistence": round(self.mean("still") or 0.0, 4),
            "widen": round(self.widen, 3),
        }


@dataclass(slots=True)
class Scores:
    """Waiting checks and the scores so far. `names` are the series in the order of the history's columns."""

    names: list[str]
    waiting: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[tuple[str, int], Group] = field(default_factory=dict)
    rows: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    unscored: int = 0
    _busy: dict[tuple[str, int], int] = field(default_factory=dict)

    def take(self, checks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep those checks of a new forecast whose epoch does not overlap one that is kept; returns them."""
        taken = []
        for check in checks:
            key = (check["name"], check["ahead_s"])
            if "r" not in check:
                self.unscored += 1  # kept by an older version, without its replicas
            elif check["made"] >= self._busy.get(key, 0) and check["name"] in self.names:
                self._busy[key] = check["t"]
                taken.append(check)
        self.waiting += taken
        return taken

    def drop_after(self, t: int) -> None:
        """The clock went back to `t`: forecasts made later than that will never be scored."""
        kept = [check for check in self.waiting if check["made"] <= t]
        self.unscored += len(self.waiting) - len(kept)
        self.waiting = kept
        self._busy = {key: min(until, t) for key, until in self._busy.items()}

    def settle(self, history: list[list[int]]) -> list[dict[str, Any]]:
        """Score what has ended, against the history of the state; returns the new score rows."""
        if not history:
            return []
        at = {row[0]: row for row in history}
        fresh, still = [], []
        for check in self.waiting:
            row = at.get(check["t"])
            if row is not None:
                fresh.append(self.score(check, row))
            elif check["t"] < history[0][0]:
                self.unscored += 1
            else:
                still.append(check)
        self.waiting = still
        return fresh

    def score(self, check: dict[str, Any], row: list[int]) -> dict[str, Any]:
        """A score row: value, rank `share`, whether the band (`covered`) and the adjusted band (`held`) had it, CRPS of
        the forecast and of what it must beat: it stays (`still`), as a day before (`season`), as it ever was (`ever`).
        """
        name, ahead = check["name"], check["ahead_s"]
        value = float(row[1 + self.names.index(name)] - check["base"])
        group = self.groups.get((name, ahead), Group())
        lo, hi = check["r"][LOW], check["r"][HIGH]
        wide_lo, wide_hi = widened(check["mean"], lo, hi, check.get("widen", 1.0))
        scored = {
            "t": check["t"],
            "name": name,
            "ahead_s": ahead,
            "value": value,
            "mean": check["mean"],
            "lo": lo,
            "hi": hi,
            "made": check["made"],
            "share": round(share_below(check["r"], value, f"{name} {ahead} {check['made']}"), 4),
            "covered": bool(lo <= value <= hi),
            "held": bool(wide_lo <= value <= wide_hi),
            "crps": round(crps(check["r"], value), 4),
            "still": _still(group, check, value),
            "season": _season(group, check["t"], ahead, value),
            "ever": _ever(group, value),
        }
        self.add(scored)
        return scored

    def add(self, scored: dict[str, Any]) -> None:
        """Count a score (also one read back from the log)."""
        key = (scored["name"], scored["ahead_s"])
        self.groups.setdefault(key, Group()).add(scored)
        self.rows.append(scored)
        self._busy[key] = max(self._busy.get(key, 0), scored["t"])

    def widen(self, name: str, ahead_s: float) -> float:
        """Factor on the half width of a series' band `ahead_s` ahead: of the next horizon that is scored."""
        found = sorted((ahead, group.widen) for (of, ahead), group in self.groups.items() if of == name)
        return next((factor for ahead, factor in found if ahead >= ahead_s), found[-1][1] if found else 1.0)

    def newest(self, names: Iterable[str], last: int) -> list[dict[str, Any]]:
        """The `last` newest score rows of each horizon of some series, in the order of their time."""
        wanted = set(names)
        rows = [row for (of, _), g in self.groups.items() if of in wanted for row in list(g.rows)[-last:]]
        return sorted(rows, key=lambda row: (row["t"], row["name"], row["ahead_s"]))

    def ranks(self) -> list[int]:
        """How many of the kept epochs fell into each tenth of their forecast's replicas (uniform when it is right)."""
        found = [0] * 10
        for group in self.groups.values():
            for row in group.rows:
                if "share" in row:
                    found[min(int(row["share"] * 10), 9)] += 1
        return found

    def summary(self) -> dict[str, Any]:
        """`{n, coverage90, bias, crps, rows, groups, ranks, unscored}`; null where nothing has ended yet. Bias and CRPS
        are means over all series in parts or orders; `groups` has them apart.
        """
        n = sum(g.n for g in self.groups.values())
        recent = [row for g in self.groups.values() for row in g.rows]
        m = max(len(recent), 1)
        return {
            "n": n,
            "coverage90": round(sum(row["covered"] for row in recent) / m, 4) if recent else None,
            "bias": round(sum(row["mean"] - row["value"] for row in recent) / m, 4) if recent else None,
            "crps": round(sum(row["crps"] for row in recent) / m, 4) if recent else None,
            "groups": [g.row(*key) for key, g in sorted(self.groups.items())],
            "rows": list(self.rows)[-100:],
            "ranks": self.ranks(),
            "unscored": self.unscored,
        }


def widened(mean: float, lo: float, hi: float, factor: float) -> tuple[float, float]:
    """A band with its half widths times `factor`; above 1 a half unit more on each side, so that one value can grow."""
    if factor <= 1.0:
        return mean - factor * (mean - lo), mean + factor * (hi - mean)
    return mean - factor * (mean - lo + 0.5) + 0.5, mean + factor * (hi - mean + 0.5) - 0.5


def _still(group: Group, check: dict[str, Any], value: float) -> float | None:
    """Distance to "it stays as it is": a level as it was, a count as in the epoch just before."""
    if check["now"] is not None:
        return abs(value - float(check["now"]))
    last = group.rows[-1] if group.rows else None
    return (
        abs(value - last["value"]) if last is not None and check["made"] - last["t"] < 500 * check["ahead_s"] else None
    )


def _season(group: Group, t: int, ahead_s: int, value: float) -> float | None:
    """Distance to what came a day before (the epoch nearest to it, less than half a horizon away)."""
    before = [row for row in group.rows if abs(row["t"] - (t - DAY_MS)) <= ahead_s * 500]
    return abs(value - before[-1]["value"]) if before else None


def _ever(group: Group, value: float) -> float | None:
    """CRPS of all that came before (from ten epochs on)."""
    past = sorted(row["value"] for row in group.rows)
    return round(crps(past, value), 4) if len(past) >= 10 else None
