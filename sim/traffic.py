"""Utilisation from the traffic equations: what demand and arrivals ask of every station, without simulating.

Rates are means over the week. A part released at step 0 visits step j v_j times, v = e_0 + P' v. A product's release
rate is its arrival rate (push), or what demand, other stocks and assemblies take from its stock, divided by the share
of parts that is not scrapped. Where nothing outside sets it (saturated, or CONWIP without demand) the line runs as fast
as its bottleneck lets it. What stretches work is in `sim.capacity`; people and crews that are waited for are not
counted. Source of the relations: Hopp and Spearman, Factory Physics, and Jackson's traffic equations.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim import distributions, quantities
from sim.calendars import WEEK_MINUTES, open_minutes
from sim.capacity import Capacity, capacity_of, setup_bound, setup_per_unit
from sim.plant import DONE, Demand, Dist, Order, Plant, Product, Stock


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of one station: `utilisation` is work, setups and repairs over what its units can do while open.

    `fixed` is the share of it that demand and arrivals cause; the rest is a free-running product's. `setups` is the
    share of it that setups cause with lots in random order, or what a rule that avoids them leaves where there is no
    time for so many.
    """

    station: str
    utilisation: float
    fixed: float
    setups: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Loads in file order; release rates (units per tick, mean over the week) by product.

    `free` names the products whose rate nothing outside sets; their rate is what the bottleneck leaves (at equal
    rates where there are several, or in the mix of their group).
    """

    loads: tuple[Load, ...]
    rates: dict[str, float]
    free: tuple[str, ...]

    @property
    def bottleneck(self) -> Load:
        """The station with the highest load; raises `ValueError` for a plant without stations."""
        return max(self.loads, key=lambda load: load.utilisation)


def visits(product: Product) -> list[float]:
    """Mean number of visits to each step, of a part released at the first."""
    n = len(product.steps)
    matrix = [[float(i == j) for j in range(n)] for i in range(n)]
    for i, step in enumerate(product.steps):
        for target, share in step.next:
            if target >= 0:
                matrix[target][i] -= share
    return _solve(matrix, [1.0] + [0.0] * (n - 1))


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination with row exchange; the systems here are small."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        best = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for k in range(i + 1, n):
            factor = rows[k][i] / rows[i][i]
            if factor:
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    result = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][j] * result[j] for j in range(i + 1, n))
        result[i] = (rows[i][n] - known) / rows[i][i]
    return result


def completed(product: Product) -> float:
    """Share of released parts that are finished rather than scrapped by the routing."""
    leave = (dict(step.next).get(DONE, 0.0) for step in product.steps)
    return sum(v * share for v, share in zip(visits(product), leave, strict=True))


def open_share(plant: Plant, calendar: str | None) -> float:
    """Share of the week that a calendar is open (1 for none)."""
    for c in plant.calendars:
        if c.id == calendar:
            return open_minutes(c) / WEEK_MINUTES
    return 1.0


def _listed_rate(orders: tuple[Order, ...], size: int = 1) -> float | None:
    """Units a tick over the span of a list; None where all lines are known at the start."""
    span = max((o.at for o in orders), default=0)
    return size * sum(o.quantity for o in orders) / span if span else None


def demand_rate(plant: Plant, demand: Demand) -> float:
    """Units a tick that a demand asks for, mean over the week."""
    if demand.arrivals is None:
        return _listed_rate(demand.book) or 0.0
    season = sum(demand.season) / len(demand.season) if demand.season else 1.0
    share = open_share(plant, demand.calendar) * season
    return share * quantities.mean(demand.quantity) / distributions.mean(demand.arrivals)


Rate = tuple[float, float]
"""Units a tick: what is fixed from outside, and how often the pace of the free-running products comes on top."""


class _Rates:
    """Release rates of all products; each asks for those of what takes from its stock."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.known: dict[str, Rate | None] = {}

    def release(self, product: Product) -> Rate:
        """The rate at which units of a product are released."""
        release = product.release
        if release.policy == "push" and release.arrivals is not None:
            share = open_share(self.plant, release.calendar)
            return share * product.lot / distributions.mean(release.arrivals), 0.0
        if release.policy == "orders":
            listed = _listed_rate(release.orders, product.lot)
            return (listed, 0.0) if listed is not None else (0.0, 1.0)
        asked = self._asked(product) if release.policy == "conwip" else None
        share = completed(product)
        if asked is None or share <= 0:
            mixes = [dict(g.mix)[product.id] for g in self.plant.groups if product.id in dict(g.mix)]
            return 0.0, float(mixes[0]) if mixes else 1.0
        return asked[0] / share, asked[1] / share

    def _asked(self, product: Product) -> Rate | None:
        """What is taken from the product's stock; None where nothing is."""
        if product.id in self.known:
            return self.known[product.id]
        self.known[product.id] = None  # a circle of needs ends here
        takes = [self._taken(k) for k in self.plant.stocks if k.source == "line" and k.item == product.id]
        found = [rate for rate in takes if rate is not None]
        self.known[product.id] = (sum(a for a, _ in found), sum(b for _, b in found)) if found else None
        return self.known[product.id]

    def _taken(self, stock: Stock) -> Rate | None:
        """Units a tick that demand, stocks downstream and products take from a stock."""
        found: list[Rate] = [(demand_rate(self.plant, d), 0.0) for d in self.plant.demands if d.stock == stock.id]
        below = [self._taken(k) for k in self.plant.stocks if k.source == stock.id]
        found += [rate for rate in below if rate is not None]
        for p in self.plant.products:
            units = float(sum(n for name, n in p.release.consumes if name == stock.id))
            for step, times in zip(p.steps, visits(p) if p.steps else [], strict=True):
                units += times * sum(n for name, n in step.needs if name == stock.id)
            if units:
                fixed, free = self.release(p)
                found.append((fixed * units, free * units))
        return (sum(a for a, _ in found), sum(b for _, b in found)) if found else None


def work_per_part(plant: Plant, product: Product, capacities: dict[str, Capacity]) -> dict[str, float]:
    """Ticks of unit time at each station that one released unit causes, repairs included, setups not."""
    result = dict.fromkeys(capacities, 0.0)
    for step, times in zip(product.steps, visits(product), strict=True):
        for station, share in station_shares(plant, step.eligible).items():
            work = distributions.mean(dict(step.eligible)[station])
            result[station] += times * share * capacities[station].occupied(work, product.transfer)
    return result


def station_shares(plant: Plant, eligible: tuple[tuple[str, Dist], ...]) -> dict[str, float]:
    """How alternatives share a step: in proportion to what they can do of it alone."""
    if len(eligible) == 1:
        return {eligible[0][0]: 1.0}
    stations = {s.id: s for s in plant.stations}
    speeds = {
        k: stations[k].units * open_share(plant, stations[k].calendar) / max(distributions.mean(work), 1e-9)
        for k, work in eligible
    }
    total = sum(speeds.values())
    return {k: speed / total for k, speed in speeds.items()}


def traffic(plant: Plant) -> Traffic:
    """Loads of all stations and release rates of all products."""
    capacities = {s.id: capacity_of(s) for s in plant.stations}
    room_of = {
        s.id: max(s.units * open_share(plant, s.calendar) * capacities[s.id].available, 1e-12) for s in plant.stations
    }
    stations = {s.id: s for s in plant.stations}
    rates = _Rates(plant)
    release = {p.id: rates.release(p) for p in plant.products}
    works = {p.id: work_per_part(plant, p, capacities) for p in plant.products}
    weights = {name: fixed if fixed > 0 else free for name, (fixed, free) in release.items()}
    setups = setup_per_unit(plant, {p.id: visits(p) for p in plant.products}, weights)
    loads: dict[str, tuple[float, float, float, float]] = {}
    for s, room in room_of.items():
        each = [(release[p.id], works[p.id][s], setups[p.id].get(s, 0.0)) for p in plant.products]
        fixed = sum(rate[0] * (work + setup) for rate, work, setup in each) / room
        asked = sum(rate[1] * (work + setup) for rate, work, setup in each) / room
        set_up = [sum(rate[i] * setup for rate, _, setup in each) / room for i in (0, 1)]
        if fixed > 1.0:  # no time for lots in random order: queues form, and a rule that avoids setups can choose
            kept = min(set_up[0], setup_bound(stations[s]))
            fixed, set_up[0] = fixed - set_up[0] + kept, kept
        loads[s] = (fixed, asked, set_up[0], set_up[1])
    open_room = [max(1.0 - fixed, 0.0) / asked for fixed, asked, _, _ in loads.values() if asked > 0]
    pace = min(open_room) if open_room else 0.0
    return Traffic(
        tuple(Load(s, a + pace * b, a, c + pace * d) for s, (a, b, c, d) in loads.items()),
        {name: fixed + pace * free for name, (fixed, free) in release.items()},
        tuple(name for name, (_, free) in release.items() if free > 0),
    )
