"""Controllers on the same luck: what each costs after the same warm-up under a rule, and what a decision takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.control.controllers import Controller
from agents.control.rollout import Operation, default_epoch, ticks
from agents.control.timed import Timed
from agents.rules.tune import judge_span
from agents.seeds import TEST, block_seed
from sim.compile import Compiled
from sim.engine import new_rows
from sim.value import operating_cost

Floats = NDArray[np.float64]
WEEK_S = 7 * 86_400.0
CHUNK = 64


@dataclass(frozen=True)
class Size:
    """`pairs` of runs: the usual warm-up under the rule, `settle` weeks under the controller that are not counted, then
    `weeks` that are.
    """

    pairs: int
    settle: int
    weeks: int
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """Cost an hour of each pair, and CPU seconds a decision (None where nothing was decided)."""

    costs: Floats
    decision_s: float | None


@dataclass(frozen=True)
class Gap:
    """Mean of A's cost an hour less B's with its 95 % interval, and as shares of B's cost; `n` pairs (or seeds)."""

    mean: float
    lo: float
    hi: float
    share: float
    share_lo: float
    share_hi: float
    n: int

    def words(self) -> str:
        """For people: a gain is a negative share."""
        return f"{100 * self.share:+.2f} % [{100 * self.share_lo:+.2f}, {100 * self.share_hi:+.2f}]"

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def gap(difference: Floats, of: float) -> Gap:
    """The gap of paired differences, against a mean cost `of`."""
    n = len(difference)
    half = float(stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    mean = float(difference.mean())
    lo, hi, size = mean - half, mean + half, abs(of)
    return Gap(mean, lo, hi, mean / size, lo / size, hi / size, n)


def play(
    compiled: Compiled,
    rule: Controller,
    who: Controller,
    size: Size,
    tell: Callable[[str], None] = lambda _: None,
) -> Run:
    """Run a controller; every controller of the same `size` meets the same states and the same luck."""
    epoch, week = default_epoch(compiled), ticks(compiled, WEEK_S)
    warm = judge_span(compiled).warmup
    timed, found = Timed(who), []
    for first in range(0, size.pairs, CHUNK):
        n = min(CHUNK, size.pairs - first)
        rows = new_rows(compiled, block_seed(TEST, size.seed), n, first)
        Operation(compiled, rule, epoch).run(rows, warm)
        operation = Operation(compiled, timed, epoch)
        operation.run(rows, warm + size.settle * week)
        before = rows.copy()
        for w in range(size.weeks):
            operation.run(rows, warm + (size.settle + w + 1) * week)
            tell(f"{who.name[:24]}: pairs {first} to {first + n - 1}, week {w + 1} of {size.weeks}")
        found.append(operating_cost(before, rows, compiled))
    hours = size.weeks * WEEK_S / 3600.0
    return Run(np.concatenate(found) / hours, timed.each)
