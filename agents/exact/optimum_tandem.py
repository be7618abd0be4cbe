"""Two machines in line that make one product to stock: when should the first one start a part?

State: (first busy or not, parts at the second in queue and work, net stock x). All clocks are exponential; a part once
begun is finished. Whenever the first machine is free it may start or wait, within what the plant's cap (parts released
and unfinished) and base stock (these and the net stock) may be set to. Holding between the machines is charged on the
queue of the second, as the plant does. For what is known of the best policy see Veatch and Wein, "Optimal control of a
two-station tandem production/inventory system", Operations Research 42 (1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.errors import NotExactError
from agents.exact.optimum_read import Scale, exactly, plain, whole_plant
from agents.exact.optimum_solver import Clocks, Indices, Move, Problem
from sim.plant import UNLIMITED, Plant

ACTIONS = ("wait", "start")
CUT = -80


@dataclass(frozen=True, slots=True)
class Tandem:
    """Rates a time unit, money; `cap` and `base`: (lowest, highest) values that may be set; `most`: customers that wait
    at most (None: any number; then `low` is where the chain is cut).
    """

    demand: float
    first: float
    second: float
    between: float
    unfinished: float
    holding: float
    backlog: float
    lost: float
    cap: tuple[int, int]
    base: tuple[int, int]
    low: int
    most: int | None
    initial: int

    def rate(self, busy: int, n: int, x: int) -> float:
        """Money a time unit in a state."""
        stock = self.holding * max(x, 0) + self.backlog * max(-x, 0)
        return self.between * max(n - 1, 0) + self.unfinished * (busy + n) + stock


def read(plant: Plant) -> Tandem:
    """The plant as this kind; `NotExactError` says what does not fit."""
    whole_plant(plant)
    product, stock, demand, scale = plant.products[0], plant.stocks[0], plant.demands[0], Scale(plant)
    release = product.release
    plain(product, product.id, {"id", "steps", "release", "revenue", "scrap_cost", "family", "priority", "holding"})
    plain(release, f"release of {product.id}", {"policy", "cap", "base_stock"})
    exactly(release.policy, "conwip", f"release of {product.id}, policy")
    exactly([s.station for s in product.steps], [s.id for s in plant.stations], f"{product.id}, its routing")
    exactly([s.next for s in product.steps], [((1, 1.0),), ((-1, 1.0),)], f"{product.id}, what follows its operations")
    for station, room in zip(plant.stations, (0, UNLIMITED), strict=True):
        plain(station, station.id, {"id", "buffer", "capacity", "holding", "dispatch", "priority"})
        exactly(station.capacity, room, f"{station.id}, places before it ({UNLIMITED}: without a limit)")
    for step in product.steps:
        exactly((step.others, step.needs), ((), ()), f"{product.id} {step.id}, alternatives and components")
    plain(stock, stock.id, {"id", "item", "source", "initial", "holding", "priority"})
    exactly((stock.source, stock.item), ("line", product.id), f"{stock.id}, where it comes from and what it holds")
    plain(demand, demand.id, {"id", "stock", "arrivals", "backlog", "unmet", "lost_cost", "most", "priority"})
    ranges = {c.sets: (c.low, c.high) for c in plant.controls}
    cap, base = (ranges.get(f"release.{product.id}.{name}") for name in ("cap", "base_stock"))
    if cap is None and base is None:
        raise NotExactError(f"controls: expected one that sets the cap or the base stock of {product.id}, found none")
    if (cap is None and release.cap is None) or (base is None and release.base_stock is None):
        raise NotExactError(f"release of {product.id}: expected a cap and a base stock, found only one of them")
    most = 0 if demand.unmet == "lost" else getattr(demand, "most", None)
    work = [scale.rate(s.work, f"work of {s.station}") for s in product.steps]
    scale.money("q_area", 0)  # nothing ever waits before the first machine: there is no place
    found = Tandem(
        demand=scale.rate(demand.arrivals, f"arrivals of {demand.id}"), first=work[0], second=work[1],
        between=scale.money("q_area", 1), unfinished=scale.money("wip_area"),
        holding=scale.money("on_hand_area"), backlog=scale.money("waiting_area"), lost=scale.money("lost_units"),
        cap=cap or (release.cap or 0,) * 2, base=base or (release.base_stock or 0,) * 2,
        low=CUT if most is None else -most, most=most, initial=stock.initial,
    )  # fmt: skip
    scale.settled()
    if min(work) <= found.demand and most is None:
        raise NotExactError(
            f"{plant.id} makes at most {min(work):g} a {plant.time_unit} and {demand.id} asks for {found.demand:g}: no "
            f"policy has a finite cost"
        )
    return found


class Chain:
    """The chain of a plant of this kind."""

    def __init__(self, m: Tandem) -> None:
        self.m = m
        widest, top = m.cap[1], max(m.base[1], m.initial)
        self._number: dict[tuple[int, int, int], int] = {}
        for x in range(m.low, top + 1):
            for n in range(widest + 1):
                for busy in (0, 1):
                    if busy + n <= widest and (x + busy + n <= top):
                        self._number[busy, n, x] = len(self._number)
        clocks = Clocks()
        for busy, n, x in self._number:
            self._add(clocks, busy, n, x)
        self.problem: Problem = clocks.problem()
        self.labels = clocks.labels
        self._pair = {label: i for i, label in enumerate(clocks.labels)}
        self.start = self._number[0, 0, m.initial]

    def _add(self, clocks: Clocks, busy: int, n: int, x: int) -> None:
        m, here, rate = self.m, self._number[busy, n, x], self.m.rate(busy, n, x)
        moves: list[Move] = [(m.demand, here, m.lost)]
        if x > m.low:
            moves = [(m.demand, self._number[busy, n, x - 1], 0.0)]
        if n > 0:
            moves.append((m.second, self._number[busy, n - 1, x + 1], 0.0))
        if busy:
            clocks.wait(here, "", rate, [*moves, (m.first, self._number[0, n + 1, x], 0.0)])
            return
        may = n < m.cap[1] and x + n < m.base[1]
        must = n < m.cap[0] and x + n < m.base[0]
        if not must:
            clocks.wait(here, "wait", rate, moves)
        if may:
            clocks.jump(here, "start", 0.0, self._number[1, n, x])

    def table(self, chosen: Indices) -> dict[str, str]:
        """{"n,x": start | wait} of pairs [S], for a free first machine."""
        free = sorted((n, x, i) for (busy, n, x), i in self._number.items() if not busy)
        return {f"{n},{x}": self.labels[chosen[i]][1] for n, x, i in free}

    def chosen(self, policy: dict[str, str]) -> Indices:
        """Pairs [S] of such a table; where backorders have no limit its lowest row holds for all below it."""
        pairs = np.array(self.problem.first, dtype=np.int64)
        lowest: dict[int, int] = {}
        for key in policy:
            n, x = (int(part) for part in key.split(","))
            lowest[n] = min(x, lowest.get(n, x))
        for (busy, n, x), i in self._number.items():
            if busy:
                continue
            row = max(x, lowest.get(n, x)) if self.m.most is None else x
            action = policy.get(f"{n},{row}")
            if action not in ACTIONS or (i, action) not in self._pair:
                may = [label for state, label in self.labels if state == i]
                raise NotExactError(
                    f"policy with {n} parts at the second machine and net stock {x}: expected one of {may}, found "
                    f"{action!r}"
                )
            pairs[i] = self._pair[i, action]
        return pairs


def by_levels(chain: Chain, cap: int, base: int) -> dict[str, str]:
    """The table of constant setpoints: start while fewer than `cap` parts are unfinished and they and the net stock are
    fewer than `base`.
    """
    m = chain.m
    free = [(n, x) for busy, n, x in chain._number if not busy]
    return {f"{n},{x}": "start" if n < min(cap, m.cap[1]) and x + n < min(base, m.base[1]) else "wait" for n, x in free}


def structure(chain: Chain, table: dict[str, str]) -> list[str]:
    """`n parts at the second machine: start while the net stock is at most x`, a line an n."""
    lines = []
    for n in range(chain.m.cap[1]):
        rows = [x for busy, m, x in chain._number if not busy and m == n and table[f"{n},{x}"] == "start"]
        says = f"start while net stock is at most {max(rows)}" if rows else "wait"
        lines.append(f"{n} parts at the second machine: {says}")
    return lines
