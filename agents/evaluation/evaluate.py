"""Which of two controllers is better, by how much, and how sure that is: paired runs on the same luck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.control.controllers import Controller
from agents.control.rollout import Operation, Span, ticks
from agents.control.watched import watched
from agents.evaluation.families import Families
from agents.evaluation.tails import doubts, largest_share, needed, tail_index
from agents.rules.tune import judge_span
from agents.seeds import TEST, Spread, block_seed, spread_parameters
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Costs = NDArray[np.float64]
Rows = NDArray[np.int64]
CHUNK = 256
"""Replicas run at a time: bounds memory and lets progress be shown."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`pairs` of runs of `length_s` seconds after `warmup_s` (None: what suits the plant), addresses of the test
    block of `seed`, from `first` on.

    `spread`: how far each pair's plant may lie from its file (the same in both runs of a pair). `scales`: factors by
    field of the row, int64 [pairs, n], in force from the first draw on, the same in both runs of a pair.
    """

    pairs: int = 1000
    seed: int = 0
    warmup_s: float | None = None
    length_s: float | None = None
    threads: int = 1
    spread: Spread | None = None
    first: int = 0
    scales: dict[str, Rows] | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """What a controller cost in each run of a trial, operating money an hour: `costs` [pairs], of which `families`
    [F, pairs]. `outside`: share of its decisions in states outside what it has seen (None where it does not say what
    it has seen).
    """

    name: str
    costs: Costs
    families: Costs
    outside: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Costs are operating money an hour; `difference` is cost of A minus cost of B, so negative means that A is better.

    `lo`, `hi`: 95 % interval of the mean difference. `p_worse`: share of pairs in which A cost more. `worst_decile`:
    mean difference of the tenth of the pairs that is worst for A. `correlation` of the two costs: what the common luck
    gave; `worth`: pairs on luck of their own that tell as much as one of these (variance of A plus that of B, over that
    of the difference). `kurtosis`, `tail_index`, `largest_share` (part of the variance that the largest hundredth of
    the pairs makes) and `needed` (pairs for so skewed differences): see `agents.evaluation.tails`.
    `doubts`: why the interval cannot be trusted. `families`: (difference, lo, hi) by family of products;
    `worst_family`: the one that A is worst for.
    `outside_a`, `outside_b`: see `Played`.
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
    worth: float | None
    kurtosis: float
    tail_index: float | None
    largest_share: float
    needed: int
    doubts: tuple[str, ...]
    families: dict[str, tuple[float, float, float]]
    worst_family: str | None
    outside_a: float | None
    outside_b: float | None
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
    return verdict(run_all(a, compiled, trial), run_all(b, compiled, trial, tick), compiled, trial)


def run_all(who: Controller, compiled: Compiled, trial: Trial, tick: Callable[[int], None] = lambda _: None) -> Played:
    """Every run of a trial under one controller; `tick` is told how many are done."""
    if trial.pairs < 2:
        raise ValueError(f"{trial.pairs} pairs: expected at least 2")
    span, families, watch = span_of(compiled, trial), Families(compiled), watched(who)
    costs = np.empty((1 + len(families.names), trial.pairs), dtype=np.float64)
    for first in range(0, trial.pairs, CHUNK):
        n = min(CHUNK, trial.pairs - first)
        rows = _rows(compiled, trial, first, n)
        operation = Operation(compiled, watch or who, span.epoch, trial.threads)
        operation.run(rows, span.warmup)
        before = rows.copy()
        if watch is not None:
            watch.counts = True
        operation.run(rows, span.warmup + span.length)
        if watch is not None:
            watch.counts = False
        costs[0, first : first + n] = operating_cost(before, rows, compiled)
        costs[1:, first : first + n] = families.cost(before, rows)
        tick(first + n)
    costs /= span.length * compiled.plant.tick_s / 3600.0
    return Played(who.name, costs[0], costs[1:], None if watch is None else watch.share)


def span_of(compiled: Compiled, trial: Trial) -> Span:
    """Interval, warm-up and length of the runs of a trial."""
    usual = judge_span(compiled)
    warm = usual.warmup if trial.warmup_s is None else ticks(compiled, trial.warmup_s)
    length = usual.length if trial.length_s is None else ticks(compiled, trial.length_s)
    return Span(usual.epoch, warm, length)


def _rows(compiled: Compiled, trial: Trial, first: int, n: int) -> Rows:
    """Rows [n, W] of the runs from `first` on."""
    from sim.engine import new_rows

    scales = None if trial.scales is None else {k: v[first : first + n] for k, v in trial.scales.items()}
    rows = new_rows(compiled, block_seed(TEST, trial.seed), n, trial.first + first, scales)
    if trial.spread is not None:
        for i in range(n):  # each its own seed, so that a pair's plant does not depend on how many run together
            seed = block_seed(TEST, trial.seed) + trial.first + first + i
            spread_parameters(rows[i : i + 1], compiled, trial.spread, seed)
    return rows


def interval(x: Costs) -> tuple[float, float, float]:
    """Mean of differences [N] and its 95 % interval by Student's distribution."""
    mean, n = float(x.mean()), len(x)
    half = float(stats.t.ppf(0.975, n - 1)) * float(x.std(ddof=1)) / float(np.sqrt(n))
    return mean, mean - half, mean + half


def verdict(a: Played, b: Played, compiled: Compiled, trial: Trial) -> Verdict:
    """What two controllers' runs of one trial say."""
    difference = a.costs - b.costs
    n, span = len(difference), span_of(compiled, trial)
    mean, lo, hi = interval(difference)
    tail = np.sort(difference)[-max(n // 10, 1) :]
    varies = min(float(a.costs.std()), float(b.costs.std())) > 0.0
    spread = float(difference.std())
    moment = float(np.mean((difference - mean) ** 4)) / spread**4 if spread > 0 else 0.0
    families = {
        name: interval(x - y) for name, x, y in zip(Families(compiled).names, a.families, b.families, strict=True)
    }
    second = compiled.plant.tick_s
    return Verdict(
        a=a.name,
        b=b.name,
        plant=compiled.plant.id,
        pairs=n,
        cost_a=float(a.costs.mean()),
        cost_b=float(b.costs.mean()),
        difference=mean,
        lo=lo,
        hi=hi,
        p_worse=float((difference > 0).mean()),
        worst_decile=float(tail.mean()),
        correlation=float(np.corrcoef(a.costs, b.costs).flat[1]) if varies else None,
        worth=float(a.costs.var() + b.costs.var()) / spread**2 if spread > 0 else None,
        kurtosis=moment,
        tail_index=tail_index(difference),
        largest_share=largest_share(difference),
        needed=needed(difference),
        doubts=doubts(difference),
        families=families,
        worst_family=max(families, key=lambda name: families[name][0], default=None),
        outside_a=a.outside,
        outside_b=b.outside,
        unit=f"{compiled.plant.currency}/h",
        warmup_s=span.warmup * second,
        length_s=span.length * second,
        seed=trial.seed,
    )


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """One training, several seeds: the mean difference to B of each seed's policy by its name, on the same pairs;
    their mean and its 95 % interval, in which a training seed is one observation. `lo`, `hi` None for one seed.
    """

    differences: dict[str, float]
    difference: float
    lo: float | None
    hi: float | None
    unit: str

    @property
    def sentence(self) -> str:
        """The verdict over seeds in one line."""
        if self.lo is None or self.hi is None:
            return f"one training seed says nothing about another: {self.difference:+.3f} {self.unit}"
        best, worst = min(self.differences.values()), max(self.differences.values())
        shown = "is not shown to differ from B" if self.lo <= 0.0 <= self.hi else "differs from B"
        return (
            f"over {len(self.differences)} training seeds A {shown}: {self.difference:+.3f} {self.unit} "
            f"[{self.lo:+.3f}, {self.hi:+.3f}]; the best seed {best:+.3f}, the worst {worst:+.3f}"
        )

    def as_json(self) -> dict[str, Any]:
        """All fields and the sentence."""
        return {**asdict(self), "sentence": self.sentence}


def over_seeds(seeds: dict[str, Controller], b: Played, compiled: Compiled, trial: Trial) -> OverSeeds:
    """Judge the policies of several training seeds, by name, against the runs of B."""
    found = {name: float((run_all(who, compiled, trial).costs - b.costs).mean()) for name, who in seeds.items()}
    values = np.array(list(found.values()))
    unit = f"{compiled.plant.currency}/h"
    if len(values) < 2:
        return OverSeeds(found, float(values.mean()), None, None, unit)
    return OverSeeds(found, *interval(values), unit)


def fresh(trial: Trial, pairs: int) -> Trial:
    """A trial of as many pairs on luck that this one has not used."""
    return replace(trial, pairs=pairs, first=trial.first + trial.pairs, scales=None)
