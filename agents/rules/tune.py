"""Tune the simple rules on common random numbers, family after family with the same budget of simulated time: constants
(random search with successive halving, then a race), boosts, one number per condition, orders by position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.advice.horizon import relaxation_s, scale_s
from agents.control.controllers import RuleController
from agents.control.rollout import Span, cost_of, cost_over, default_epoch, ticks
from agents.envs.grid import Grid
from agents.errors import TrainingError
from agents.rules import conditions, orders, wearmodel
from agents.rules.conditions import Many
from agents.rules.keep import Fresh, keep
from agents.rules.race import Course, Price, race
from agents.rules.rule import Boost, Rule, sentences
from agents.rules.surface import POINTS, Reach, coefficients, descend
from agents.rules.wearruns import Runs, machines
from agents.seeds import SELECT, TUNE, block_seed

if TYPE_CHECKING:
    from sim.compile import Compiled

Values = NDArray[np.int64]
Costs = NDArray[np.float64]
DAY_S = 86_400.0
ROWS = 4096
"""Replicas run together when points are compared; bounds memory."""
JUDGING = 16
"""A family is judged on fresh seeds at first with so small a share of the budget, or with twice `Effort.final`
replicas.
"""
WIDE, RACED = 0.3, 0.65
"""Parts of the budget that are spent when the wide surfaces, and when the race has ended."""
FEWER = 3
"""Random rules of ordering are a third as many as random constants: what the constants order is a good beginning."""
STAKE, STAKED = 20, 0.25
"""The first race over constants takes so many times `Effort.final` runs a control, of a stated budget this part.
What it moves is better on luck of its own: a coordinate search on the same few runs again and again, which was here
before, ended 10 % above the plant file's setpoints on a random plant (16 replicas).
"""
HEAT, ORDERED, NEAR = 8, 0.6, 24
"""Replicas of a race's first heats between them, the part of the budget spent when it ends, and how many points about
its end, a step away in any of their numbers, share what is left.
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search: `candidates` random setpoints on `replicas` first, `final` replicas for the last
    comparisons. `hours`: simulated plant time that each family of rules may take (None: what the constants took).
    """

    candidates: int = 96
    replicas: int = 6
    final: int = 96
    seed: int = 0
    threads: int = 1
    hours: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The best rule of a family: its cost on fresh seeds, operating money an hour; the plant hours and the wall time,
    seconds, that its search took; by how much it costs more than the constants on the same luck, and the 95 % interval.
    """

    rule: Rule
    cost: float
    hours: float
    wall_s: float
    more: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass
class Result:
    """What tuning found. Costs are operating money an hour, on fresh seeds; `weeks` is simulated plant time in
    weeks; `families` by name: fixed, boost, condition, order, echelon (where the plant has a use for it).
    """

    rule: Rule
    cost: float
    nothing: float
    fixed: float
    weeks: float
    families: dict[str, Found] = field(default_factory=dict)


def judge_span(compiled: Compiled) -> Span:
    """Warm-up and length that suit the plant's time scale: 3 and 10 of its slowest scale, 1 and 3 of the time in which
    a queue before its bottleneck forgets, whole weeks where it has calendars.

    Without the second `tandem_release`, a line at 77 % load whose parts flow in four hours, was judged over two days
    from a stocked start: `tune` believed 15.7 EUR/h of caps that cost 26.8 in the long run.
    """
    plant = compiled.plant
    scale, forgets = scale_s(plant), relaxation_s(plant) if plant.products else 0.0
    warm, length = max(3.0 * scale, forgets, 0.25 * DAY_S), max(10.0 * scale, 3.0 * forgets, DAY_S)
    if plant.calendars:
        week = 7 * DAY_S
        warm, length = -(-warm // week) * week, max(-(-length // week), 4) * week
    return Span(default_epoch(compiled), ticks(compiled, warm), ticks(compiled, length))


@dataclass(frozen=True, slots=True)
class _Held:
    """Setpoints `values` [R, C], one row each, held throughout."""

    values: Values
    name: str = "held"
    static: bool = True
    epoch_s: float | None = None

    def act(self, rows: Values) -> Values | None:
        """The same again."""
        del rows
        return self.values


class _Search:
    """Costs of setpoints on the same luck, and the simulated time spent on them."""

    def __init__(self, compiled: Compiled, effort: Effort) -> None:
        self.compiled, self.effort, self.grid = compiled, effort, Grid(compiled.plant)
        self.span = judge_span(compiled)
        self.seed = block_seed(TUNE, effort.seed)
        self.ticks = 0.0
        self.budget = float("inf") if effort.hours is None else effort.hours * 3600.0 / compiled.plant.tick_s

    @property
    def each(self) -> int:
        """Ticks of one run."""
        return self.span.warmup + self.span.length

    def fixed(self, values: Values, replicas: int, first: int = 0) -> Costs:
        """Costs [K, replicas] of setpoints [K, C] held throughout (moved only by limits), all in one batch of rows."""
        from sim.engine import new_rows

        k = len(values)
        rows = np.tile(new_rows(self.compiled, self.seed, replicas, first), (k, 1))
        who = _Held(np.repeat(values, replicas, axis=0))
        self.ticks += k * replicas * self.each
        return cost_over(rows, self.compiled, who, self.span, self.effort.threads).reshape(k, replicas)

    def conditioned(self, rule: Rule, numbers: Values, replicas: int, first: int) -> Costs:
        """Costs [K, replicas] of the rule with `numbers` [K, T, N] in its tables, all in one batch of rows."""
        from sim.engine import new_rows

        k = len(numbers)
        rows = np.tile(new_rows(self.compiled, self.seed, replicas, first), (k, 1))
        kinds = RuleController(rule, self.compiled, self.grid).kinds
        own = np.repeat(numbers, replicas, axis=0)
        who = Many(self.compiled, rule.by_condition, self.grid.vector(rule.values), own, kinds)
        self.ticks += k * replicas * self.each
        return cost_over(rows, self.compiled, who, self.span, self.effort.threads).reshape(k, replicas)

    def ordered(self, family: orders.Family, values: Values, points: Values, replicas: int, first: int) -> Costs:
        """Costs [K, replicas] of the family's points [K, D], other setpoints as in `values` [C], all in one batch."""
        from sim.engine import new_rows

        k = len(points)
        rows = np.tile(new_rows(self.compiled, self.seed, replicas, first), (k, 1))
        numbers, faster = family.numbers(np.repeat(points, replicas, axis=0))
        own = np.repeat(values[None, :], len(rows), axis=0)
        own[:, list(family.faster)] = faster
        who = orders.Many(self.compiled, family.orders, own, numbers)
        self.ticks += k * replicas * self.each
        return cost_over(rows, self.compiled, who, self.span, self.effort.threads).reshape(k, replicas)

    def rule(self, rule: Rule, replicas: int) -> Costs:
        """Costs [replicas] of any rule."""
        who = RuleController(rule, self.compiled, self.grid)
        self.ticks += replicas * (self.span.warmup + self.span.length)
        return cost_of(who, self.compiled, self.span, self.seed, replicas, self.effort.threads)


def _halving(price: Price, points: Values, replicas: int, most: int) -> Values:
    """The best of points [K, D]: after each round a quarter goes on, with twice the replicas, at most so many."""
    while len(points) > 1:
        costs = price(points, 0, replicas).mean(axis=1)
        points = points[np.argsort(costs, kind="stable")[: max(len(points) // 4, 1)]]
        replicas = min(2 * replicas, most)
    best: Values = points[0]
    return best


def _boosts(search: _Search, rule: Rule) -> Rule:
    """Add, one after the other, boosts of release controls while their product's customers wait, where they help."""
    plant, replicas = search.compiled.plant, search.effort.final
    cost, begun = float(search.rule(rule, replicas).mean()), search.ticks
    for control in plant.controls:
        kind, owner = control.sets.split(".")[:2]
        stock = next((s.id for s in plant.stocks if s.source == "line" and s.item == owner), None)
        if kind != "release" or stock is None or all(d.stock != stock for d in plant.demands):
            continue
        span = (control.high - control.low) // max(control.step, 1)
        for share, above in ((8, 0), (4, 0), (8, 5), (4, 5), (4, 15)):
            if search.ticks - begun + replicas * search.each > search.budget:
                return rule
            by = max(span // share, 1) * max(control.step, 1)
            tried = Rule(
                rule.values, (*(b for b in rule.boosts if b.control != control.id), Boost(control.id, stock, above, by))
            )
            new = float(search.rule(tried, replicas).mean())
            if new < cost:
                rule, cost = tried, new
    return rule


def _in_pieces(price: Price) -> Price:
    """The same costs, of at most so many replicas at a time."""

    def costs(points: Values, first: int, replicas: int) -> Costs:
        piece = max(ROWS // len(points), 1)
        starts = range(first, first + replicas, piece)
        return np.concatenate([price(points, s, min(piece, first + replicas - s)) for s in starts], axis=1)

    return costs


def _raced(search: _Search, price: Price, start: Values, ends: tuple[Values, Values]) -> Values:
    """The numbers [D] between `ends` found within the budget: by wide surfaces, which see the valley; by a race over
    single numbers of all ranges, which sees other valleys; by near surfaces, which see its floor.
    """
    begun, budget, price = search.ticks, search.budget, _in_pieces(price)
    numbers = max(int(np.count_nonzero(ends[1] > ends[0])), 1)
    heat = int(np.clip(budget / search.each * (RACED - WIDE) / (24 * numbers), 8, 512))

    runs = budget / search.each * WIDE / 4
    each = int(np.clip(runs / (POINTS * coefficients(numbers)), 1, 16))

    def until(part: float) -> Callable[[float], bool]:
        """While more than a share of what is left now of this part of the budget is left."""
        end = begun + part * budget
        left = end - search.ticks
        return lambda share: end - search.ticks > share * left

    seed = 2 * search.effort.seed
    found = descend(price, start, Course(*ends, each, first=1 << 24), Reach((3, 5), seed, sure=False), until(WIDE))
    going = until(RACED)
    found = race(price, found, Course(*ends, heat), lambda: going(0.0))
    return descend(
        price, found, Course(*ends, each, first=1 << 25), Reach((8, 12, 12), seed + 1, sure=True), until(1.0)
    )


def _constants(search: _Search, say: Callable[[str], None]) -> Rule:
    """The best constant setpoints; where a budget is stated, all of it is used if it must."""
    compiled, grid = search.compiled, search.grid
    start = np.array([_present(compiled, k) for k in range(grid.size)], dtype=np.int64)
    effort, rng = search.effort, np.random.Generator(np.random.PCG64(search.effort.seed))
    draws = rng.integers(0, grid.counts, size=(effort.candidates, grid.size))
    points = np.concatenate([start[None, :], grid.decode(draws)])
    ends = (np.zeros(grid.size, dtype=np.int64), grid.counts - 1)

    def price(points: Values, first: int, replicas: int) -> Costs:
        return search.fixed(grid.decode(points), replicas, first)

    found = _halving(price, grid.encode(points), effort.replicas, effort.final)
    gain = np.subtract(*price(np.stack([grid.encode(start), found]), 1 << 22, 2 * effort.final))
    if gain.mean() <= gain.std(ddof=1) / np.sqrt(gain.size):
        found = grid.encode(start)  # the best of many by luck: more often so the more of them there are
    say(f"after random search: {_named(grid, grid.decode(found))}")
    begun, stake = search.ticks, min(STAKE * effort.final * grid.size * search.each, STAKED * search.budget)
    course = Course(*ends, max(effort.final // 6, HEAT), first=1 << 23)
    found = race(_in_pieces(price), found, course, lambda: search.ticks - begun < stake)
    say(f"after a race: {_named(grid, grid.decode(found))}")
    if search.effort.hours is None:
        search.budget = search.ticks
    else:
        search.budget -= search.ticks
        found = _raced(search, price, found, ends)
        search.budget = search.effort.hours * 3600.0 / compiled.plant.tick_s
        say(f"after surfaces and a longer race: {_named(grid, grid.decode(found))}")
    return Rule(_named(grid, grid.decode(found)))


def _conditions(search: _Search, fixed: Rule) -> Rule:
    """The rule with a number per condition found about the constants; the rule itself where nothing wears."""
    plant, grid = search.compiled.plant, search.grid
    family = conditions.family(plant, grid.vector(fixed.values))
    if not family.tables:
        return fixed
    shape, blank = family.low.shape, Rule(fixed.values, by_condition=family.tables)
    start, low, high, begun = conditions.numbers_of(family.tables), family.low, family.high, search.ticks
    modelled = machines(plant, family) if blank.free(plant) else []
    if modelled:
        low, high = low.copy(), high.copy()
        tables = [t for m in modelled for t in m.tables]
        free = np.count_nonzero(high > low)
        share = float(np.count_nonzero((high > low)[tables]) / free)
        runs = Runs(search.seed, 1 << 26, share * search.budget, search.span.epoch, search.effort.threads)
        start, ticks_taken = wearmodel.found(search.compiled, family, grid.vector(fixed.values), start, runs)
        search.ticks += ticks_taken
        low[tables], high[tables] = start[tables], start[tables]

    def price(points: Values, first: int, replicas: int) -> Costs:
        return search.conditioned(blank, points.reshape(-1, *shape), replicas, first)

    found = start
    if (high > low).any():
        budget, search.budget = search.budget, search.budget - (search.ticks - begun)
        found = _raced(search, price, start.reshape(-1), (low.reshape(-1), high.reshape(-1))).reshape(shape)
        search.budget = budget
    told = zip(family.tables, list(found), strict=True)
    tables_found = [replace(table, values=tuple(row[: len(table.values)].tolist())) for table, row in told]
    return Rule(fixed.values, by_condition=tuple(tables_found))


def _orders(search: _Search, fixed: Rule, whole: bool) -> Rule:
    """The rule with orders by inventory position found about the constants, by echelons with `whole`; the rule itself
    where no control orders.
    """
    values = search.grid.vector(fixed.values)
    family = orders.family(search.compiled.plant, values, whole)
    if family is None:
        return fixed
    known = family

    def price(points: Values, first: int, replicas: int) -> Costs:
        return search.ordered(known, values, points, replicas, first)

    effort, begun = search.effort, search.ticks
    rng = np.random.Generator(np.random.PCG64([effort.seed, int(whole)]))
    points = family.drawn(rng, max(effort.candidates // FEWER, 1))
    found = _halving(price, points, effort.replicas, effort.final)
    course = Course(family.low, family.high, HEAT, first=1 << 24)
    pieces = _in_pieces(price)
    found = race(pieces, found, course, lambda: search.ticks - begun < ORDERED * search.budget)
    points = family.near(rng, found, NEAR)
    runs = max(int((search.budget - (search.ticks - begun)) / search.each / (2 * len(points))), HEAT)
    found = _halving(lambda p, first, n: pieces(p, (1 << 25) + first, n), points, runs, 64 * runs)
    values[list(family.faster)] = family.numbers(found[None])[1][0]
    return Rule(_named(search.grid, values), orders=family.rules(found))


def tune(compiled: Compiled, effort: Effort | None = None, say: Callable[[str], None] = lambda _: None) -> Result:
    """The best rule found, judged on seeds it was not tuned on.

    A richer family (constants other than the plant file's, boosts, a number per condition, orders by position) is kept
    only where it beats the simpler one significantly there (one-sided 5 %, `agents.rules.keep`): the simpler rule wins
    ties, and a plant whose setpoints nothing is shown to beat keeps them.
    """
    effort = effort or Effort()
    search = _Search(compiled, effort)
    if search.grid.size == 0:
        raise TrainingError(
            f"plant {compiled.plant.id} has no controls: there is nothing to tune; add `controls:` to the plant file"
        )
    took: dict[str, tuple[Rule, float, float]] = {}
    fixed = Rule({})
    richer: dict[str, Callable[[], Rule]] = {
        "boost": lambda: _boosts(search, fixed),
        "condition": lambda: _conditions(search, fixed),
        "order": lambda: _orders(search, fixed, whole=False),
        "echelon": lambda: _orders(search, fixed, whole=True),
    }
    for name in ("fixed", *richer):
        began, ticks_before = perf_counter(), search.ticks
        if name == "fixed":
            fixed = found = _constants(search, say)
        else:
            found = richer[name]()
        if name == "fixed" or not found.static:
            took[name] = (found, search.ticks - ticks_before, perf_counter() - began)
            say("; ".join([f"family {name}: {found.values}", *sentences(found, compiled.plant)]))
    return _judged(search, took)


def _judged(search: _Search, took: dict[str, tuple[Rule, float, float]]) -> Result:
    """The rule to keep and what each family costs, from the block of seeds for choices; `took` by family: its rule,
    ticks and wall time.
    """
    compiled, effort = search.compiled, search.effort
    present = np.array([_present(compiled, k) for k in range(search.grid.size)], dtype=np.int64)
    rules = {"nothing": Rule(_named(search.grid, present))} | {name: rule for name, (rule, _, _) in took.items()}
    fresh = Fresh(lambda name, first, n: _on_fresh(search, rules[name], first, n))
    affordable = int(search.budget / search.each / JUDGING)
    replicas = max(2 * effort.final, affordable, 8)
    kept = keep(fresh, list(rules), replicas)
    fresh.first("nothing", len(fresh.costs[kept]))  # the two are told side by side: on the same luck
    hour = 3600.0 / compiled.plant.tick_s
    an_hour = hour / search.span.length
    mean = {name: float(c.mean()) * an_hour for name, c in fresh.costs.items()}
    mean["nothing"] = float(fresh.first("nothing", len(fresh.costs[kept])).mean()) * an_hour
    more = {name: fresh.against("fixed", name, an_hour) for name in took}
    weeks = search.ticks * compiled.plant.tick_s / (7 * DAY_S)
    tuned: dict[str, Any] = {
        "plant_hash": compiled.hash,
        "seed": effort.seed,
        "weeks": round(weeks, 1),
        "effort": [effort.candidates, effort.replicas, effort.final],
        "hours_of_each": {name: round(spent / hour, 1) for name, (_, spent, _) in took.items()},
        "warmup_s": search.span.warmup * compiled.plant.tick_s,
        "length_s": search.span.length * compiled.plant.tick_s,
        "judged_on": {name: len(c) for name, c in fresh.costs.items()},
        "cost_per_hour": {name: round(c, 4) for name, c in {**mean, "chosen": mean[kept]}.items()},
        "more_than_fixed": {name: [round(x, 4) for x in m] for name, m in more.items() if name != "fixed"},
    }
    families = {n: Found(rule, mean[n], spent / hour, wall, more[n]) for n, (rule, spent, wall) in took.items()}
    return Result(replace(rules[kept], tuned=tuned), mean[kept], mean["nothing"], mean["fixed"], weeks, families)


def _on_fresh(search: _Search, rule: Rule, begin: int, replicas: int) -> Costs:
    """Costs of a rule on replicas from `begin` on of the seeds for choices."""
    from sim.engine import new_rows

    who = RuleController(rule, search.compiled, search.grid)
    seed = block_seed(SELECT, search.effort.seed)
    search.ticks += replicas * search.each
    pieces = []
    for first in range(begin, begin + replicas, ROWS):
        rows = new_rows(search.compiled, seed, min(ROWS, begin + replicas - first), first)
        pieces.append(cost_over(rows, search.compiled, who, search.span, search.effort.threads))
    return np.concatenate(pieces)


def _present(compiled: Compiled, index: int) -> int:
    from sim.compile import control_field

    control = compiled.plant.controls[index]
    name, place = control_field(compiled.plant, control.sets)
    return int(np.clip(compiled.initial[name][place], control.low, control.high))


def _named(grid: Grid, values: Values) -> dict[str, int]:
    return {name: int(v) for name, v in zip(grid.ids, values, strict=True)}
