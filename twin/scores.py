"""Forecasts against what was then measured: coverage, bias and CRPS over non-overlapping horizons."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from twin.forecast import QUANTILES

KEPT = 500
NAMES = 3
"""Columns of the history before the stocks: WIP, finished, backorders."""


def crps(quantiles: list[float], value: float) -> float:
    """Continuous ranked probability score from quantiles at `QUANTILES`: twice the mean pinball loss (unit of the
    value).
    """
    loss = 0.0
    for level, q in zip(QUANTILES, quantiles, strict=True):
        loss += (level if value >= q else level - 1.0) * (value - q)
    return 2.0 * loss / len(QUANTILES)


@dataclass(slots=True)
class Group:
    """Scores of one series at one horizon."""

    n: int = 0
    covered: int = 0
    bias: float = 0.0
    crps: float = 0.0
    still: float = 0.0  # the same score of "it stays as it is"

    def row(self, name: str, ahead_s: int) -> dict[str, Any]:
        n = max(self.n, 1)
        return {
            "name": name,
            "ahead_s": ahead_s,
            "n": self.n,
            "coverage90": round(self.covered / n, 4),
            "bias": round(self.bias / n, 4),
            "crps": round(self.crps / n, 4),
            "crps_persistence": round(self.still / n, 4),
        }


@dataclass(slots=True)
class Scores:
    """Waiting checks and the scores so far. `names` are the series in the order of the history's columns.

    A check is taken only when the one before of the same series and horizon has ended (epochs do not overlap).
    """

    names: list[str]
    waiting: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[tuple[str, int], Group] = field(default_factory=dict)
    rows: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    unscored: int = 0
    _busy: dict[tuple[str, int], int] = field(default_factory=dict)

    def take(self, checks: Iterable[dict[str, Any]]) -> None:
        """Keep those checks of a new forecast whose epoch does not overlap one that is kept."""
        for check in checks:
            key = (check["name"], check["ahead_s"])
            if check["made"] >= self._busy.get(key, 0) and check["name"] in self.names:
                self._busy[key] = check["t"]
                self.waiting.append(check)

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
        column = 1 + self.names.index(check["name"])
        value = float(row[column] - (check["base"] if check["name"] == "output" else 0))
        scored = {
            "t": check["t"],
            "name": check["name"],
            "ahead_s": check["ahead_s"],
            "value": value,
            "mean": check["mean"],
            "lo": check["q"][0],
            "hi": check["q"][-1],
            "made": check["made"],
            "covered": bool(check["q"][0] <= value <= check["q"][-1]),
            "crps": round(crps(check["q"], value), 4),
            "still": abs(value - check["now"]),
        }
        self.add(scored)
        return scored

    def add(self, scored: dict[str, Any]) -> None:
        """Count a score (also one read back from the log)."""
        group = self.groups.setdefault((scored["name"], scored["ahead_s"]), Group())
        group.n += 1
        group.covered += scored["covered"]
        group.bias += scored["mean"] - scored["value"]
        group.crps += scored["crps"]
        group.still += scored["still"]
        self.rows.append(scored)
        key = (scored["name"], scored["ahead_s"])
        self._busy[key] = max(self._busy.get(key, 0), scored["t"])

    def summary(self) -> dict[str, Any]:
        """`{n, coverage90, bias, crps, rows, groups, unscored}`; null where nothing has ended yet. Bias and CRPS are
        means over
        all series in parts or orders; `groups` has them apart.
        """
        n = sum(g.n for g in self.groups.values())
        total = {
            name: sum(float(getattr(g, name)) for g in self.groups.values()) for name in ("covered", "bias", "crps")
        }
        return {
            "n": n,
            "coverage90": round(total["covered"] / n, 4) if n else None,
            "bias": round(total["bias"] / n, 4) if n else None,
            "crps": round(total["crps"] / n, 4) if n else None,
            "groups": [g.row(*key) for key, g in sorted(self.groups.items())],
            "rows": list(self.rows)[-100:],
            "unscored": self.unscored,
        }
