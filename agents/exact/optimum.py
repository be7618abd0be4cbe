"""The exact optimum of plants small enough: which kind a plant is, its least long-run cost and a policy that has it.

Costs are operating costs (`sim.value`) a time unit of the plant, as everything in `agents` is judged by: material that
is bought and sold again in any case is left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agents.errors import NotExactError, SchemaError, TooLargeError
from agents.exact import optimum_order, optimum_periodic, optimum_priority, optimum_stock, optimum_tandem
from agents.exact.optimum_read import Scale
from agents.exact.optimum_solver import Indices, Problem, Say, Solution, gain, solve
from sim.plant import Plant

Table = dict[str, str]
M = TypeVar("M", optimum_stock.MakeToStock, optimum_tandem.Tandem)
R = TypeVar("R")
STATES = 2_000_000
"""Most states of a chain in continuous time."""
DEEPEST = 5000
"""Backorders at which doubling them is given up."""
STILL = 1e-6
"""A chain whose backorders are cut is cut low enough when twice as many move the cost by less than this share."""


@dataclass(frozen=True, slots=True)
class Effort:
    """`precision`: width of the bounds wanted, as a share of the cost; `limit_s`: seconds of wall time; `say`: where
    lines about progress go.
    """

    precision: float = 1e-8
    limit_s: float = 600.0
    say: Say | None = None


@dataclass(frozen=True, slots=True)
class Optimum:
    """`low` and `high`: proved bounds of the least cost, in `unit`; `policy` costs at most `high`; `shape` says in
    lines what it does, `about` how it was found and what was assumed; `also`: further optima, by what they allow.
    """

    plant: str
    kind: str
    low: float
    high: float
    unit: str
    policy: Table
    states: int
    shape: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    also: tuple[tuple[str, float], ...] = ()
    wall_s: float = 0.0

    @property
    def cost(self) -> float:
        """The middle of the bounds."""
        return (self.low + self.high) / 2.0

    def as_json(self) -> dict[str, Any]:
        """Everything, for `--json`."""
        return {
            "plant": self.plant, "kind": self.kind, "cost": self.cost, "bounds": [self.low, self.high],
            "unit": self.unit, "states": self.states, "about": list(self.about), "shape": list(self.shape),
            "also": dict(self.also), "wall_s": self.wall_s, "policy": self.policy,
        }  # fmt: skip


class Chain(Protocol):
    """What the chains of all kinds have in common."""

    problem: Problem
    start: int

    def chosen(self, policy: Table) -> Indices: ...

    def table(self, chosen: Indices) -> Table: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of small plant: `counts` are its numbers of stations, products and stocks (None: two or more)."""

    name: str
    says: str
    counts: tuple[int | None, int | None, int]
    optimum: Callable[[Plant, Effort], Optimum]
    cost: Callable[[Plant, Table, Effort], tuple[float, float]]


def kind_of(plant: Plant) -> Kind:
    """The kind a plant could be, by what it has; `NotExactError` names what it has and the kinds there are."""
    has = (len(plant.stations), len(plant.products), len(plant.stocks))
    for kind in KINDS:
        if all(n == k if k is not None else n > 1 for n, k in zip(has, kind.counts, strict=True)):
            if kind.counts[2] and len(plant.demands) != 1:
                raise NotExactError(f"plant {plant.id}: expected one demand, found {len(plant.demands)}")
            return kind
    kinds = "; ".join(k.says for k in KINDS)
    raise NotExactError(
        f"plant {plant.id} has {has[0]} stations, {has[1]} products and {has[2]} stocks, not of a kind that can be "
        f"solved exactly: expected {kinds}"
    )


def optimum(plant: Plant, effort: Effort | None = None) -> Optimum:
    """The least long-run cost of a plant, and a policy. Raises `NotExactError` or `TooLargeError`, with the reason."""
    try:
        return kind_of(plant).optimum(plant, effort or Effort())
    except NotExactError as e:
        raise _because(plant, e) from e


def policy_cost(plant: Plant, policy: Table, effort: Effort | None = None) -> tuple[float, float]:
    """Bounds of the exact long-run cost a time unit of a table, begun as the plant file says."""
    try:
        return kind_of(plant).cost(plant, policy, effort or Effort())
    except NotExactError as e:
        raise _because(plant, e) from e


def _because(plant: Plant, e: NotExactError) -> NotExactError:
    if str(e).startswith(("plant ", "policy")):
        return e
    return NotExactError(f"plant {plant.id} is not of a kind that can be solved exactly: {e}")


def _refuse(states: float) -> None:
    """Before a chain is built."""
    if states > STATES:
        raise TooLargeError(
            f"too large: {states:.1e} states; at most {STATES:.0e} (smaller ranges of the controls would do)"
        )


def _cut(m: M, find: Callable[[M], R], cost: Callable[[R], float], effort: Effort) -> tuple[M, R, str]:
    """The model cut at so many backorders that twice as many change nothing, what `find` says of it, and a sentence."""
    if m.most is not None:
        return m, find(m), f"at most {m.most} customers wait, as the plant file says"
    began, before = time.monotonic(), find(m)
    while -m.low <= DEEPEST:
        m = replace(m, low=2 * m.low)
        found = find(m)
        moved = abs(cost(found) - cost(before)) / max(abs(cost(found)), 1e-12)
        if moved < STILL or time.monotonic() - began > effort.limit_s:
            says = f"cut at {-m.low} of them (so are the bounds): half as many move the cost by a share of {moved:.0e}"
            return m, found, f"any number of customers waits; {says}"
        before = found
    raise NotExactError(
        f"the cost still grows by a share of {moved:.0e} when {-m.low} customers may wait instead of half as many: the "
        f"plant hardly keeps up with the demand; expected more capacity (or `most`, the number of customers that wait)"
    )


def _solution(chain: Chain, effort: Effort) -> Solution:
    return solve(chain.problem, effort.precision, effort.limit_s, effort.say)


def _within(found: Solution, effort: Effort) -> str:
    late = "; stopped at the time limit" if found.wall_s > effort.limit_s else ""
    return f"policy iteration, {found.sweeps} sweeps; the bounds are the least and largest Bellman residual{late}"


def _stock(plant: Plant, effort: Effort) -> Optimum:
    m = optimum_stock.read(plant)
    _refuse(2.0 * (m.high - m.low + 1) * (2 * m.conditions + 3))

    def find(model: optimum_stock.MakeToStock) -> tuple[optimum_stock.Chain, Solution]:
        chain = optimum_stock.Chain(model, free=True)
        return chain, _solution(chain, effort)

    m, (chain, found), cut = _cut(m, find, lambda pair: pair[1].cost, effort)
    also: tuple[tuple[str, float], ...] = ()
    if not m.free:
        also = (
            (f"a part once begun is finished{_unless(m)}", _solution(optimum_stock.Chain(m, free=False), effort).cost),
        )
    policy = chain.table(found.chosen)
    about = ("idle, produce or pm may be chosen at every event", cut, _within(found, effort))
    return Optimum(
        plant.id, "make to stock", found.low, found.high, Scale(plant).unit, policy, chain.problem.states,
        tuple(optimum_stock.structure(m, policy)), about, also, found.wall_s,
    )  # fmt: skip


def _unless(m: optimum_stock.MakeToStock) -> str:
    return ", unless maintenance interrupts it" if m.interrupts else ", as the plant file says"


def _stock_cost(plant: Plant, policy: Table, effort: Effort) -> tuple[float, float]:
    def find(model: optimum_stock.MakeToStock) -> tuple[float, float]:
        chain = optimum_stock.Chain(model, free=True)
        return gain(chain.problem, chain.chosen(policy), chain.start, effort.limit_s)

    return _cut(optimum_stock.read(plant), find, lambda pair: pair[0], effort)[1]


def _tandem(plant: Plant, effort: Effort) -> Optimum:
    m = optimum_tandem.read(plant)
    _refuse(2.0 * (m.base[1] - m.low + 1) * (m.cap[1] + 1))

    def find(model: optimum_tandem.Tandem) -> tuple[optimum_tandem.Chain, Solution]:
        chain = optimum_tandem.Chain(model)
        return chain, _solution(chain, effort)

    _, (chain, found), cut = _cut(m, find, lambda pair: pair[1].cost, effort)
    policy = chain.table(found.chosen)
    about = ("the first machine, when free, may start or wait at every event", cut, _within(found, effort))
    return Optimum(
        plant.id, "tandem release", found.low, found.high, Scale(plant).unit, policy, chain.problem.states,
        tuple(optimum_tandem.structure(chain, policy)), about, (), found.wall_s,
    )  # fmt: skip


def _tandem_cost(plant: Plant, policy: Table, effort: Effort) -> tuple[float, float]:
    def find(model: optimum_tandem.Tandem) -> tuple[float, float]:
        chain = optimum_tandem.Chain(model)
        return gain(chain.problem, chain.chosen(policy), chain.start, effort.limit_s)

    return _cut(optimum_tandem.read(plant), find, lambda pair: pair[0], effort)[1]


def _periodic(plant: Plant, effort: Effort) -> Optimum:
    m = optimum_periodic.read(plant)
    chain = optimum_periodic.Chain(m)
    found = _solution(chain, effort)
    name = "lost sales" if m.lost_sales else "dual sourcing" if m.express is not None else "periodic review"
    when = "every review, after its demand," if m.late else "every review"
    about = (
        f"orders at {when} up to {max(m.levels)} in all, as the controls allow; nothing is cut",
        _within(found, effort),
    )
    return Optimum(
        plant.id, name, found.low, found.high, Scale(plant).unit, chain.table(found.chosen), chain.problem.states,
        tuple(optimum_periodic.structure(chain, found.chosen)), about, (), found.wall_s,
    )  # fmt: skip


def _periodic_cost(plant: Plant, policy: Table, effort: Effort) -> tuple[float, float]:
    chain = optimum_periodic.Chain(optimum_periodic.read(plant))
    return gain(chain.problem, chain.chosen(policy), chain.start, effort.limit_s)


def _priority(plant: Plant, effort: Effort) -> Optimum:
    del effort  # a formula
    best = optimum_priority.best(optimum_priority.read(plant))
    cost = optimum_priority.cost(best)
    names = [k.name for k in best]
    return Optimum(
        plant.id, "c-mu", cost, cost, Scale(plant).unit, {str(i + 1): name for i, name in enumerate(names)}, 0,
        (f"{', '.join(names)}: the first that waits is served first",),
        (optimum_priority.WHY,),
    )  # fmt: skip


def _priority_cost(plant: Plant, policy: Table, effort: Effort) -> tuple[float, float]:
    kinds = optimum_priority.read(plant)
    if any(" after " in state for state in policy):
        cost = optimum_order.cost(kinds, optimum_order.order_of(policy, kinds), effort.limit_s)
    else:  # a formula
        cost = optimum_priority.cost(optimum_priority.ordered(kinds, policy))
    return cost, cost


KINDS = (
    Kind("make to stock", "one machine that wears and makes one product to stock", (1, 1, 1), _stock, _stock_cost),
    Kind("periodic review", "one stock that suppliers fill", (0, 0, 1), _periodic, _periodic_cost),
    Kind("tandem release", "two machines in line that make one product to stock", (2, 1, 1), _tandem, _tandem_cost),
    Kind("c-mu", "several products that arrive by themselves at one machine", (1, None, 0), _priority, _priority_cost),
)  # fmt: skip
"""All kinds; `says` tells a user what a plant of the kind is."""


def read_policy(path: Path) -> Table:
    """A table in a JSON file {state: action}; `SchemaError` says what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise SchemaError(f"{path}: cannot be read ({e.strerror}); `plantwin policy table` makes one") from e
    except ValueError as e:
        raise SchemaError(f"{path}: not JSON ({e}); expected {{STATE: ACTION}}") from e
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise SchemaError(f'{path}: expected an object of texts, such as {{"-3,0": "produce"}}')
    return content


def write_policy(path: Path, policy: Table) -> None:
    """Write a table as JSON, a line a state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(policy, indent=0) + "\n", encoding="utf-8")
