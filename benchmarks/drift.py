"""False notices a week and delays of the drift charts (figure Q8): `plantwin bench drift [--json] [--weeks 240]`.

A plant of 60 streams with the rates and spreads of a real one (work, setups, repairs, failures, lead times, yields, and
forecast ranks) runs for many weeks without any change, learning included: every notice is false. Then one parameter
changes, and the delay is set beside a CUSUM with the same allowance that knows the true distribution and has the limit
for the same rate.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean

import numpy as np
from scipy import special

from benchmarks._record import Figure, keep, show, versions
from twin.drift import ALLOWANCE, BUDGET, WEEK_MS, Drift, limit_for

_NORMAL = NormalDist()
MOST = 1500
"""Values after a change within which it has to be called; later counts as this."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Values of one parameter: how many a week, and their distribution with mean 1 (`cv`, 0: exponential)."""

    kind: str
    place: str
    a_week: float
    cv: float

    def draw(self, rng: np.random.Generator, n: int) -> list[float]:
        if self.kind == "forecast":
            return [float(v) for v in rng.uniform(size=n)]
        if self.cv == 0:
            return [float(v) for v in rng.exponential(size=n)]
        s = np.sqrt(np.log1p(self.cv**2))
        return [float(v) for v in rng.lognormal(-s * s / 2, s, n)]

    def share(self, value: float) -> float:
        """The true distribution function."""
        if self.cv == 0:
            return 1 - float(np.exp(-value))
        s = np.sqrt(np.log1p(self.cv**2))
        return float(special.ndtr((np.log(max(value, 1e-12)) + s * s / 2) / s))


def plant() -> list[Stream]:
    """Sixty streams as a plant of ten work centers has them."""
    found = [Stream("work", f"s{i}", 900.0 - 60 * i, (0.05, 0.1, 0.2, 0.4, 0.0)[i % 5]) for i in range(10)]
    found += [Stream("setup", f"s{i}", 40.0, 0.2) for i in range(6)]
    found += [Stream("repair", f"s{i}", 8.0 + i, 0.0 if i % 2 else 0.8) for i in range(10)]
    found += [Stream("failure", f"s{i}", 8.0 + i, 0.0) for i in range(10)]
    found += [Stream("yield", f"s{i}", 20.0, 0.0) for i in range(4)]
    found += [Stream("lead", f"k{i}", 6.0, 0.3) for i in range(6)]
    found += [Stream("forecast", f"out/s{i}", 480.0, 0.0) for i in range(10)]
    return found + [Stream("forecast", name, 480.0, 0.0) for name in ("wip", "output", "backlog", "stock")]


def give(drift: Drift, stream: Stream, value: float, t: int) -> bool:
    """One value to its chart; was there a notice?"""
    if stream.kind == "forecast":
        return drift.rank(stream.kind, stream.place, value, t) is not None
    return drift.feed(stream.kind, stream.place, value, t) is not None


def calm(weeks: int, seed: int) -> list[int]:
    """Notices in each week of a plant in which nothing changes."""
    streams = plant()
    drift = Drift(streams=len(streams))
    rng = np.random.default_rng(seed)
    events: list[tuple[int, int, float]] = []
    for k, stream in enumerate(streams):
        n = rng.poisson(stream.a_week * weeks)
        times = np.sort(rng.integers(0, weeks * WEEK_MS, n))
        events += [(int(t), k, v) for t, v in zip(times, stream.draw(rng, n), strict=True)]
    found = [0] * weeks
    for t, k, value in sorted(events):
        found[t // WEEK_MS] += give(drift, streams[k], value, t + 1)
    return found


class Known:
    """A two-sided CUSUM with the same allowance that knows the distribution."""

    def __init__(self, limit: float) -> None:
        self.limit, self.up, self.down = limit, 0.0, 0.0

    def feed(self, share: float) -> bool:
        """Take a value by its true distribution function; is this a call? (Then the sums begin anew.)"""
        score = _NORMAL.inv_cdf(min(max(share, 1e-9), 1 - 1e-9))
        self.up = max(self.up + score - ALLOWANCE, 0.0)
        self.down = max(self.down - score - ALLOWANCE, 0.0)
        if max(self.up, self.down) < self.limit:
            return False
        self.up = self.down = 0.0
        return True


CHANGES: list[tuple[str, Stream, Callable[[float], float]]] = [
    ("repair doubled (exponential)", Stream("repair", "x", 12.0, 0.0), lambda v: 2 * v),
    ("failures twice as often", Stream("failure", "x", 12.0, 0.0), lambda v: v / 2),
    ("work 10 % longer (cv 0.1)", Stream("work", "x", 600.0, 0.1), lambda v: 1.1 * v),
    ("lead time 30 % longer (cv 0.3)", Stream("lead", "x", 6.0, 0.3), lambda v: 1.3 * v),
]


def delays(stream: Stream, change: Callable[[float], float], before: int, n: int) -> tuple[float, float, int]:
    """Mean delay in values of our chart and of the CUSUM that knows, in `n` runs in which neither called before."""
    ours: list[int] = []
    theirs: list[int] = []
    step, seed = round(WEEK_MS / stream.a_week), 0
    while len(ours) < n:
        seed += 1
        rng = np.random.default_rng([seed, before])
        drift, rival = Drift(streams=60), Known(limit_for(stream.a_week * 60 / BUDGET))
        t = early = 0
        for value in stream.draw(rng, before):
            t += step
            early += (drift.feed(stream.kind, stream.place, value, t) is not None) + rival.feed(stream.share(value))
        if early:
            continue
        after = [change(v) for v in stream.draw(rng, MOST)]
        mine = (i for i, v in enumerate(after, 1) if drift.feed(stream.kind, stream.place, v, t + i * step))
        ours.append(next(mine, MOST))
        theirs.append(next((i for i, v in enumerate(after, 1) if rival.feed(stream.share(v))), MOST))
    return fmean(ours), fmean(theirs), n


def measure(weeks: int, runs: int) -> tuple[list[Figure], dict[str, object]]:
    """The figures and everything behind them."""
    plants, each = max(weeks // 12, 1), min(weeks, 12)
    counts = [n for seed in range(plants) for n in calm(each, seed)]
    total, m = sum(counts), len(counts)
    room = 1.96 * total**0.5 / m
    rows = [
        {"change": what, "before": before, **dict(zip(("ours", "known", "n"), delays(s, f, before, runs), strict=True))}
        for what, s, f in CHANGES
        for before in (50, 100, 200, 500)
    ]
    figures = [Figure("Q8", "false notices a week, plant of 60 charts", "1 a week", total / m, "<= 1", m,
                      (total / m - room, total / m + room))]  # fmt: skip
    for row in rows:
        if row["before"] == 500:
            ratio = float(str(row["ours"])) / float(str(row["known"]))
            what = f"delay, {row['change']}, after 500 values"
            figures.append(
                Figure("Q8", what, "CUSUM that knows the distribution", ratio, "<= 1.2x", int(str(row["n"])), None)
            )
    return figures, {"weeks": m, "notices": total, "first_week": sum(counts[::each]), "delays": rows}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="plantwin bench drift", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--weeks", type=int, default=240, help="plant weeks without a change (20 plants of 12 weeks)")
    parser.add_argument("--runs", type=int, default=200, help="runs of each change")
    given = parser.parse_args(argv)
    if given.weeks < 1 or given.runs < 2:
        parser.error("expected --weeks from 1 and --runs from 2")
    figures, detail = measure(given.weeks, given.runs)
    path = keep("drift", figures, versions("numpy", "scipy"), detail)
    print(json.dumps([asdict(f) for f in figures]) if given.json else f"{show(figures)}\nkept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
