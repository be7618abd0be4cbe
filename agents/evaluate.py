"""Which of two controllers is better, by how much, and how sure that is: paired runs on the same luck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.controllers import Controller
from agents.rollout import Span, cost_over, ticks
from agents.seeds import TEST, Spread, block_seed, spread_parameters
from agents.tune import judge_span

if TYPE_CHECKING:
    from sim.compile import Compiled

Costs = NDArray[np.float64]
CHUNK = 256
"""Replicas run at a time: bounds memory and lets progress be shown."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`pairs` of runs of `length_s` seconds after `warmup_s` (None: what suits the plant), addresses of the test
    block of `seed`.

    `spread`: how far each pair's plant may lie from its file (the same in both runs of a pair).
    """

    pairs: int = 1000
    seed: int = 0
    warmup_s: float | None = None
    length_s: float | None = None
    threads: int = 1
    spread: Spread | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Costs are operating money an hour; `difference` is cost of A minus cost of B, so negative means that A is better.

    `lo`, `hi`: 95 % interval of the mean difference. `p_worse`: share of pairs in which A cost more. `worst_decile`:
    mean difference of the tenth of the pairs that is worst for A. `correlation` of the two costs: what the common
    luck gave.
    """

    a: str
    b: str
    plant: str
    pairs: int
    cost_a: float
    cost_b: float
    difference: float
    lo: float
    hi: float
    p_worse: float
    worst_decile: float
    correlation: float | None
    kurtosis: float
    unit: str
    warmup_s: float
    length_s: float
    seed: int

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        share = f" ({100 * abs(self.difference) / abs(self.cost_b):.1f} %)" if self.cost_b else ""
        if self.lo <= 0.0 <= self.hi:
            return (
                f"no difference between A and B is shown: {self.difference:+.3f} {self.unit} "
                f"[{self.lo:+.3f}, {self.hi:+.3f}]{share}"
            )
        word = "less" if self.difference < 0 else "more"
        return f"A costs {abs(self.difference):.3f} {self.unit} {word} than B [{self.lo:+.3f}, {self.hi:+.3f}]{share}"

    def as_json(self) -> dict[str, Any]:
        """All fields and the sentence."""
        return {**asdict(self), "sentence": self.sentence}


def compare(
    a: Controller, b: Controller, compiled: Compiled, trial: Trial, tick: Callable[[int], None] = lambda _: None
) -> Verdict:
    """Run both on the same addresses and judge the paired differences; `tick` is told how many pairs are done."""
    if trial.pairs < 2:
        raise ValueError(f"{trial.pairs} pairs: expected at least 2")
    span = _span(compiled, trial)
    costs = np.empty((2, trial.pairs), dtype=np.float64)
    for first in range(0, trial.pairs, CHUNK):
        n = min(CHUNK, trial.pairs - first)
        for k, who in enumerate((a, b)):
            costs[k, first : first + n] = _cost(who, compiled, trial, span, (first, n))
        tick(first + n)
    costs /= span.length * compiled.plant.tick_s / 3600.0
    return _verdict((a.name, b.name), compiled, trial, span, costs)


def _span(compiled: Compiled, trial: Trial) -> Span:
    usual = judge_span(compiled)
    warm = usual.warmup if trial.warmup_s is None else ticks(compiled, trial.warmup_s)
    length = usual.length if trial.length_s is None else ticks(compiled, trial.length_s)
    return Span(usual.epoch, warm, length)


def _cost(who: Controller, compiled: Compiled, trial: Trial, span: Span, which: tuple[int, int]) -> Costs:
    from sim.engine import new_rows

    first, n = which
    rows = new_rows(compiled, block_seed(TEST, trial.seed), n, first)
    if trial.spread is not None:
        spread_parameters(rows, compiled, trial.spread, block_seed(TEST, trial.seed) + first)
    return cost_over(rows, compiled, who, span, trial.threads)


def _verdict(names: tuple[str, str], compiled: Compiled, trial: Trial, span: Span, costs: Costs) -> Verdict:
    difference = costs[0] - costs[1]
    n = len(difference)
    half = float(stats.t.ppf(0.975, n - 1)) * float(difference.std(ddof=1)) / float(np.sqrt(n))
    tail = np.sort(difference)[-max(n // 10, 1) :]
    varies = min(float(costs[0].std()), float(costs[1].std())) > 0.0
    spread = float(difference.std())
    moment = float(np.mean((difference - difference.mean()) ** 4)) / spread**4 if spread > 0 else 0.0
    second = compiled.plant.tick_s
    return Verdict(
        a=names[0],
        b=names[1],
        plant=compiled.plant.id,
        pairs=n,
        cost_a=float(costs[0].mean()),
        cost_b=float(costs[1].mean()),
        difference=float(difference.mean()),
        lo=float(difference.mean()) - half,
        hi=float(difference.mean()) + half,
        p_worse=float((difference > 0).mean()),
        worst_decile=float(tail.mean()),
        correlation=float(np.corrcoef(costs[0], costs[1]).flat[1]) if varies else None,
        kurtosis=moment,
        unit=f"{compiled.plant.currency}/h",
        warmup_s=span.warmup * second,
        length_s=span.length * second,
        seed=trial.seed,
    )
