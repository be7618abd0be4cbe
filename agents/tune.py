"""Tune the simple rules on common random numbers: random search with successive halving, then coordinate search,
then boosts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.controllers import Hold, RuleController
from agents.errors import TrainingError
from agents.grid import Grid
from agents.horizon import scale_s
from agents.rollout import Span, cost_of, default_epoch, ticks
from agents.rules import Boost, Rule
from agents.seeds import SELECT, TUNE, block_seed
from sim.value import operating_cost

if TYPE_CHECKING:
    from sim.compile import Compiled

Values = NDArray[np.int64]
Costs = NDArray[np.float64]
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search: `candidates` random setpoints on `replicas` first, `final` replicas for the last
    comparisons.
    """

    candidates: int = 96
    replicas: int = 6
    final: int = 96
    seed: int = 0
    threads: int = 1


@dataclass
class Result:
    """What tuning found. Costs are operating money an hour, on fresh seeds; `weeks` is simulated plant time in
    weeks.
    """

    rule: Rule
    cost: float
    nothing: float
    fixed: float
    weeks: float
    log: list[str] = field(default_factory=list)


def judge_span(compiled: Compiled) -> Span:
    """Warm-up and length that suit the plant's time scale: 3 and 10 of its slowest scale, whole weeks where it has
    calendars.
    """
    scale = scale_s(compiled.plant)
    warm, length = max(3.0 * scale, 0.25 * DAY_S), max(10.0 * scale, DAY_S)
    if compiled.plant.calendars:
        week = 7 * DAY_S
        warm, length = -(-warm // week) * week, max(-(-length // week), 4) * week
    return Span(default_epoch(compiled), ticks(compiled, warm), ticks(compiled, length))


class _Search:
    """Costs of setpoints on the same luck, and the simulated time spent on them."""

    def __init__(self, compiled: Compiled, effort: Effort) -> None:
        self.compiled, self.effort, self.grid = compiled, effort, Grid(compiled.plant)
        self.span = judge_span(compiled)
        self.seed = block_seed(TUNE, effort.seed)
        self.ticks = 0.0

    def fixed(self, values: Values, replicas: int) -> Costs:
        """Costs [K, replicas] of setpoints [K, C] held throughout, all in one batch of rows."""
        from sim.engine import new_rows, run, set_controls

        k = len(values)
        rows = np.tile(new_rows(self.compiled, self.seed, replicas), (k, 1))
        set_controls(
            rows, self.compiled, np.repeat(self.grid.limit(values, rows[:k], self.compiled.layout), replicas, axis=0)
        )
        run(rows, self.compiled, self.span.warmup, self.effort.threads)
        before = rows.copy()
        run(rows, self.compiled, self.span.warmup + self.span.length, self.effort.threads)
        self.ticks += k * replicas * (self.span.warmup + self.span.length)
        return operating_cost(before, rows, self.compiled).reshape(k, replicas)

    def rule(self, rule: Rule, replicas: int) -> Costs:
        """Costs [replicas] of any rule."""
        who = RuleController(rule, self.compiled, self.grid)
        self.ticks += replicas * (self.span.warmup + self.span.length)
        return cost_of(who, self.compiled, self.span, self.seed, replicas, self.effort.threads)


def _halving(search: _Search, start: Values) -> Values:
    """The best of the start and random setpoints [C]: after each round a quarter goes on, with twice the replicas."""
    rng = np.random.Generator(np.random.PCG64(search.effort.seed))
    draws = rng.integers(0, search.grid.counts, size=(search.effort.candidates, search.grid.size))
    values = np.concatenate([start[None, :], search.grid.decode(draws)])
    replicas = search.effort.replicas
    while len(values) > 1:
        costs = search.fixed(values, replicas).mean(axis=1)
        values = values[np.argsort(costs, kind="stable")[: max(len(values) // 4, 1)]]
        replicas = min(2 * replicas, search.effort.final)
    best: Values = values[0]
    return best


def _coordinates(search: _Search, best: Values) -> Values:
    """Move one control at a time, by ever smaller steps, while that helps on the same luck."""
    replicas = max(search.effort.final // 2, 2)
    stride = np.maximum((search.grid.counts - 1) // 4, 1)
    while True:
        moves = [best]
        for c in range(search.grid.size):
            for sign in (-1, 1):
                moved = best.copy()
                moved[c] = np.clip(
                    best[c] + sign * stride[c] * search.grid.step[c], search.grid.low[c], search.grid.high[c]
                )
                moves.append(moved)
        costs = search.fixed(np.array(moves), replicas).mean(axis=1)
        k = int(costs.argmin())
        if k > 0 and costs[k] < costs[0]:
            best = moves[k]
        elif (stride > 1).any():
            stride = np.maximum(stride // 2, 1)
        else:
            return best


def _boosts(search: _Search, rule: Rule) -> Rule:
    """Add, one after the other, boosts of release controls while their product's customers wait, where they help."""
    plant, replicas = search.compiled.plant, search.effort.final
    cost = float(search.rule(rule, replicas).mean())
    for control in plant.controls:
        kind, owner = control.sets.split(".")[:2]
        stock = next((s.id for s in plant.stocks if s.source == "line" and s.item == owner), None)
        if kind != "release" or stock is None or all(d.stock != stock for d in plant.demands):
            continue
        span = (control.high - control.low) // max(control.step, 1)
        for share, above in ((8, 0), (4, 0), (8, 5), (4, 5), (4, 15)):
            by = max(span // share, 1) * max(control.step, 1)
            tried = Rule(
                rule.values, (*(b for b in rule.boosts if b.control != control.id), Boost(control.id, stock, above, by))
            )
            new = float(search.rule(tried, replicas).mean())
            if new < cost:
                rule, cost = tried, new
    return rule


def tune(compiled: Compiled, effort: Effort | None = None, say: Callable[[str], None] = lambda _: None) -> Result:
    """The best rule found, judged on seeds it was not tuned on.

    A boost is kept only when it beats the constant setpoints significantly there (one-sided 5 %): the simpler rule
    wins ties.
    """
    effort = effort or Effort()
    search = _Search(compiled, effort)
    if search.grid.size == 0:
        raise TrainingError(
            f"plant {compiled.plant.id} has no controls: there is nothing to tune; add `controls:` to the plant file"
        )
    start = np.array([_present(compiled, k) for k in range(search.grid.size)], dtype=np.int64)
    found = _halving(search, start)
    say(f"after random search: {_named(search.grid, found)}")
    found = _coordinates(search, found)
    say(f"after coordinate search: {_named(search.grid, found)}")
    fixed = Rule(_named(search.grid, found))
    boosted = _boosts(search, fixed)
    chosen, costs = _choose(search, fixed, boosted)
    hours = search.span.length * compiled.plant.tick_s / 3600.0
    weeks = search.ticks * compiled.plant.tick_s / (7 * DAY_S)
    tuned: dict[str, Any] = {
        "plant_hash": compiled.hash,
        "seed": effort.seed,
        "weeks": round(weeks, 1),
        "effort": [effort.candidates, effort.replicas, effort.final],
        "warmup_s": search.span.warmup * compiled.plant.tick_s,
        "length_s": search.span.length * compiled.plant.tick_s,
        "cost_per_hour": {name: round(float(c.mean()) / hours, 4) for name, c in costs.items()},
    }
    mean = {name: float(c.mean()) / hours for name, c in costs.items()}
    rule = Rule(chosen.values, chosen.boosts, tuned)
    return Result(rule, mean["chosen"], mean["nothing"], mean["fixed"], weeks)


def _choose(search: _Search, fixed: Rule, boosted: Rule) -> tuple[Rule, dict[str, Costs]]:
    """The rule to keep, and the costs of nothing, fixed, boosted and chosen on the block of seeds for choices."""
    replicas, seed = max(2 * search.effort.final, 8), block_seed(SELECT, search.effort.seed)

    def cost(who: Hold | RuleController) -> Costs:
        search.ticks += replicas * (search.span.warmup + search.span.length)
        return cost_of(who, search.compiled, search.span, seed, replicas, search.effort.threads)

    costs = {"nothing": cost(Hold()), "fixed": cost(RuleController(fixed, search.compiled, search.grid))}
    costs["boosted"] = cost(RuleController(boosted, search.compiled, search.grid)) if boosted.boosts else costs["fixed"]
    gain = costs["fixed"] - costs["boosted"]
    significant = bool(boosted.boosts) and gain.mean() > 1.645 * gain.std(ddof=1) / np.sqrt(replicas)
    costs["chosen"] = costs["boosted"] if significant else costs["fixed"]
    return (boosted if significant else fixed), costs


def _present(compiled: Compiled, index: int) -> int:
    from sim.compile import control_field

    control = compiled.plant.controls[index]
    name, place = control_field(compiled.plant, control.sets)
    return int(np.clip(compiled.initial[name][place], control.low, control.high))


def _named(grid: Grid, values: Values) -> dict[str, int]:
    return {name: int(v) for name, v in zip(grid.ids, values, strict=True)}
