"""One machine that wears makes one product to stock: its chain, its best policy, the exact cost of any table.

Condition k = 0 .. n-1 or failed; net stock x from `low` (demand beyond it is lost) to `high`. All clocks are
exponential. Two readings of what may be chosen:

- *at every event*: idle, produce or pm at every event, also in the middle of a part. State: (x, mode), mode one of the
  conditions, in maintenance, in repair. A plant does it with `surplus: scrapped` and maintenance with `finish: no`.
- *parts are finished*: without these a part once begun is finished, after a repair too; the choice is made when the
  machine is free, or, with `finish: no` alone, maintenance may interrupt. State: (x, mode) with further modes for a
  part in hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from agents.errors import NotExactError
from agents.exact.optimum_read import Scale, control, exactly, plain, whole_plant
from agents.exact.optimum_solver import Clocks, Move, Problem
from sim.plant import Plant

ACTIONS = ("idle", "produce", "pm")


@dataclass(frozen=True, slots=True)
class MakeToStock:
    """Rates a time unit and money, by condition where a tuple; `most`: customers that wait at most as the plant file
    says (None: any number; then `low` is only where the chain is cut). `interrupts`: may maintenance stop a part?
    """

    demand: float
    mu: tuple[float, ...]
    wear: tuple[float, ...]
    fail: tuple[float, ...]
    scrap: tuple[float, ...]
    preventive: float
    corrective: float
    holding: float
    backlog: float
    lost: float
    preventive_cost: float
    corrective_cost: float
    scrap_cost: float
    low: int
    high: int
    most: int | None
    stops: bool
    interrupts: bool
    kept: bool
    mended: bool
    initial: int

    @property
    def free(self) -> bool:
        """Can the plant idle, produce or maintain at every event?"""
        return self.stops and self.interrupts

    @property
    def conditions(self) -> int:
        """Number of conditions before failure."""
        return len(self.mu)

    def rate(self, x: int) -> float:
        """Money a time unit at net stock x."""
        return self.holding * max(x, 0) + self.backlog * max(-x, 0)


CUT = -60
"""Where backorders without a limit are cut at first; `agents.exact.optimum` moves it until that changes nothing."""


def read(plant: Plant) -> MakeToStock:
    """The plant as this kind; `NotExactError` says what does not fit."""
    whole_plant(plant)
    product, machine, stock, demand = plant.products[0], plant.stations[0], plant.stocks[0], plant.demands[0]
    scale = Scale(plant)
    plain(machine, machine.id, {"id", "modes", "condition", "buffer", "capacity", "dispatch", "priority"})
    condition = machine.condition
    if condition is None:
        raise NotExactError(f"{machine.id}: expected a condition, found none")
    plain(stock, stock.id, {"id", "item", "source", "initial", "holding", "priority"})
    exactly((stock.source, stock.item), ("line", product.id), f"{stock.id}, where it comes from and what it holds")
    plain(demand, demand.id, {"id", "stock", "arrivals", "backlog", "unmet", "lost_cost", "most", "priority"})
    _made(plant)
    planned, corrective = _modes(plant)
    base, _ = control(plant, f"release.{product.id}.base_stock"), control(plant, f"stations.{machine.id}.at_level")
    most = 0 if demand.unmet == "lost" else getattr(demand, "most", None)
    work = scale.rate(product.steps[0].work, f"work of {machine.id}")
    found = MakeToStock(
        demand=scale.rate(demand.arrivals, f"arrivals of {demand.id}"),
        mu=tuple(work / slow for slow in condition.slow),
        wear=tuple(scale.rate(d, f"wear of {machine.id}") for d in condition.wear),
        fail=tuple(scale.rate(d, f"fails of {machine.id}") for d in condition.fails),
        scrap=condition.scrap,
        preventive=scale.rate(machine.modes[planned].repair, f"preventive of {machine.id}"),
        corrective=scale.rate(machine.modes[corrective].repair, f"corrective of {machine.id}"),
        holding=scale.money("on_hand_area"),
        backlog=scale.money("waiting_area"),
        lost=scale.money("lost_units"),
        preventive_cost=scale.money("begun", planned),
        corrective_cost=scale.money("begun", corrective),
        scrap_cost=scale.money("scrapped"),
        low=CUT if most is None else -most,
        high=base.high,
        most=most,
        stops=getattr(product.release, "stops", False),
        interrupts=not machine.modes[planned].finish,
        kept=machine.modes[planned].part != "scrapped",
        mended=machine.modes[corrective].part != "scrapped",
        initial=min(stock.initial, base.high),
    )
    scale.settled()
    if found.scrap_cost != 0.0 and not (found.kept and found.mended and not found.stops):
        raise NotExactError(
            f"{product.id}: a part that is stopped is scrapped and costs {found.scrap_cost:g}, expected that it costs "
            f"nothing"
        )
    if max(found.mu) <= found.demand and most is None:
        raise NotExactError(
            f"{machine.id} makes at most {max(found.mu):g} a {plant.time_unit} and {demand.id} asks for "
            f"{found.demand:g}: no policy has a finite cost"
        )
    return found


def _made(plant: Plant) -> None:
    """The product: one operation, released one by one up to a base stock."""
    product, release = plant.products[0], plant.products[0].release
    plain(product, product.id, {"id", "steps", "release", "revenue", "scrap_cost", "family", "priority"})
    exactly(len(product.steps), 1, f"{product.id}, number of operations")
    step = product.steps[0]
    exactly((step.next, step.others, step.needs), (((-1, 1.0),), (), ()), f"{product.id}, what follows its operation")
    plain(release, f"release of {product.id}", {"policy", "cap", "base_stock", "stops"})
    exactly((release.policy, release.cap), ("conwip", 1), f"release of {product.id}, policy and cap")


def _modes(plant: Plant) -> tuple[int, int]:
    """Positions of the preventive and the corrective mode of the machine."""
    machine = plant.stations[0]
    planned = [i for i, m in enumerate(machine.modes) if m.planned]
    broken = [i for i, m in enumerate(machine.modes) if not m.planned]
    if len(planned) != 1 or len(broken) != 1:
        raise NotExactError(
            f"{machine.id}: expected one preventive and one corrective maintenance, found {len(planned)} and "
            f"{len(broken)}"
        )
    known = {"id", "clock", "repair", "restores", "cost", "priority", "planned", "finish", "at_level", "part"}
    for i, clock in ((planned[0], "none"), (broken[0], "condition")):
        mode = machine.modes[i]
        plain(mode, f"{machine.id} {mode.id}", known)
        exactly(
            (mode.clock, mode.restores), (clock, True), f"{machine.id} {mode.id}, its clock and whether it restores"
        )
    return planned[0], broken[0]


class Chain:
    """The chain of a plant of this kind. `chosen(policy)` gives the pairs of a policy.

    `free`: may idle, produce or pm be chosen at every event (else a part once begun is finished)?
    """

    def __init__(self, m: MakeToStock, free: bool) -> None:
        self.m, self.free = m, free
        self._goes_on = m.mended and not free
        n = m.conditions
        # machine free k, maintenance, repair | working k, maintenance with a part in hand
        self.modes = n + 2 if free else 2 * n + 3
        clocks = Clocks()
        for x in range(m.low, m.high + 1):
            for mode in range(self.modes):
                self._add(clocks, x, mode)
        self.problem: Problem = clocks.problem()
        self.labels = clocks.labels
        self._pair = {label: i for i, label in enumerate(clocks.labels)}
        self.start = self.state(m.initial, 0)

    def state(self, x: int, mode: int) -> int:
        """Number of a state."""
        return (x - self.m.low) * self.modes + mode

    def _asked(self, x: int, mode: int) -> Move:
        m = self.m
        return (m.demand, self.state(x - 1, mode), 0.0) if x > m.low else (m.demand, self.state(x, mode), m.lost)

    def _add(self, clocks: Clocks, x: int, mode: int) -> None:
        m, n, here = self.m, self.m.conditions, self.state(x, mode)
        rate, asked = m.rate(x), self._asked(x, mode)
        if mode < n:
            clocks.wait(here, "idle", rate, [asked])
            if x < m.high and self.free:
                clocks.wait(here, "produce", rate, [asked, *self._work(x, mode, mode)])
            elif x < m.high:
                clocks.jump(here, "produce", 0.0, self.state(x, n + 2 + mode))
            clocks.jump(here, "pm", m.preventive_cost, self.state(x, n))
        elif mode == n:
            clocks.wait(here, "", rate, [asked, (m.preventive, self.state(x, 0), 0.0)])
        elif mode == n + 1:
            # a failure always comes while a part is in hand
            clocks.wait(here, "", rate, [asked, (m.corrective, self.state(x, n + 2 if self._goes_on else 0), 0.0)])
        elif mode < 2 * n + 2:
            k = mode - n - 2
            moves = self._work(x, k, mode) if x < m.high else []
            clocks.wait(here, "produce", rate, [asked, *moves])
            if m.interrupts:
                clocks.jump(here, "pm", m.preventive_cost, self.state(x, 2 * n + 2 if m.kept else n))
        else:
            clocks.wait(here, "", rate, [asked, (m.preventive, self.state(x, n + 2), 0.0)])

    def _work(self, x: int, k: int, mode: int) -> list[Move]:
        """What may happen beside a demand while the machine works in condition k."""
        m, n = self.m, self.m.conditions
        failed = (self.state(x, n + 1), m.corrective_cost)
        worn = (self.state(x, mode + 1), 0.0) if k + 1 < n else failed
        moves = [(m.mu[k] * (1.0 - m.scrap[k]), self.state(x + 1, k), 0.0)]
        if m.scrap[k] > 0.0:
            moves.append((m.mu[k] * m.scrap[k], self.state(x, k), m.scrap_cost))
        moves.append((m.wear[k], *worn))
        if m.fail[k] > 0.0:
            moves.append((m.fail[k], *failed))
        return moves

    def chosen(self, policy: dict[str, str]) -> np.ndarray:
        """Pairs [S] of a table {"x,k": action}; `NotExactError` where an entry is missing or means nothing.

        Where a part is in hand and maintenance may not interrupt there is no choice, else the table's `pm` counts.
        """
        m, n = self.m, self.m.conditions
        pairs = np.array(self.problem.first, dtype=np.int64)
        for x in range(m.low, m.high + 1):
            for k in range(n):
                here = self.state(x, k)
                action = _entry(policy, m, x, k)
                # a table made for a smaller range says nothing about the ends: there is no room to produce at the top
                pairs[here] = self._pair[here, "idle" if action == "produce" and x == m.high else action]
                working = self.state(x, n + 2 + k)
                if not self.free and m.interrupts and action == "pm":
                    pairs[working] = self._pair[working, "pm"]
        return pairs

    def table(self, chosen: np.ndarray) -> dict[str, str]:
        """{"x,k": action} of pairs [S], for the conditions of a free machine."""
        m = self.m
        return {
            f"{x},{k}": self.labels[chosen[self.state(x, k)]][1]
            for x in range(m.low, m.high + 1)
            for k in range(m.conditions)
        }


def _entry(policy: dict[str, str], m: MakeToStock, x: int, k: int) -> str:
    """What a table says of (x, k); where backorders have no limit, its lowest row holds for all below it."""
    action = policy.get(f"{x},{k}")
    if action is None and m.most is None and x < 0:
        told = [int(key.split(",")[0]) for key in policy if key.endswith(f",{k}")]
        action = policy.get(f"{min(told)},{k}") if told and x < min(told) else None
    if action not in ACTIONS:
        raise NotExactError(
            f"policy at stock {x}, condition {k}: expected one of {', '.join(ACTIONS)}, found {action!r}; it must say "
            f"what to do from {m.low} to {m.high} in each of {m.conditions} conditions"
        )
    return action


def per_condition(m: MakeToStock, levels: list[int], care: list[int]) -> dict[str, str]:
    """The rule with two numbers a condition: pm where the stock is at least care[k], else produce below levels[k]."""
    return {
        f"{x},{k}": "pm" if x >= care[k] else "produce" if x < levels[k] else "idle"
        for x in range(m.low, m.high + 1)
        for k in range(m.conditions)
    }


def constant(m: MakeToStock, base: int, care: int) -> dict[str, str]:
    """The rule of two numbers: maintain from condition `care` on, else produce below `base`."""
    never = m.high + 1
    return per_condition(m, [base] * m.conditions, [m.low if k >= care else never for k in range(m.conditions)])


def structure(m: MakeToStock, table: dict[str, str]) -> list[str]:
    """What a table does, a line a condition: `condition 2: produce to 5, idle to 7, pm from 8 on`."""
    lines = []
    for k in range(m.conditions):
        row = [table[f"{x},{k}"] for x in range(m.low, m.high + 1)]
        starts = [m.low, *(x + m.low + 1 for x, (a, b) in enumerate(pairwise(row)) if a != b), m.high + 1]
        parts = [
            f"{row[a - m.low]} {'at' if b - 1 == a else 'from'} {a}" + ("" if b - 1 == a else f" to {b - 1}")
            for a, b in pairwise(starts)
        ]
        lines.append(f"condition {k}: {', '.join(parts)}")
    return lines
