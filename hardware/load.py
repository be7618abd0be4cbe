"""How much work a plant's file gives each station: enough to find its bottleneck, from the file alone."""

from __future__ import annotations

import numpy as np

from hardware.sampling import mean_of
from hardware.shop_part import family_of
from sim.plant import DONE, SCRAP, Calendar, Demand, Plant, Product, Quantity, Station

WEEK_MIN = 7 * 1440
AVOIDED = 0.5
"""Share of the setups that remain where dispatching looks at setups (a guess; only a simulation knows)."""


def open_share(calendar: Calendar | None) -> float:
    """Share of the week in which a calendar is open, breaks taken off; 1 without one."""
    if calendar is None:
        return 1.0
    return max(sum(b - a for _, a, b in calendar.open) - sum(b - a for _, a, b in calendar.breaks), 1) / WEEK_MIN


def counts(product: Product) -> list[float]:
    """How often a released part of a product comes to each of its steps."""
    n = len(product.steps)
    into = np.zeros((n, n))
    for j, step in enumerate(product.steps):
        for target, p in step.next:
            if target not in (DONE, SCRAP):
                into[target, j] += p
    first = np.zeros(n)
    first[0] = 1.0
    return [float(x) for x in np.linalg.lstsq(np.eye(n) - into, first, rcond=None)[0]]


def _mean(quantity: Quantity) -> float:
    return sum(n * p for n, p in quantity)


def _asked(plant: Plant, demand: Demand) -> tuple[str | None, float]:
    """The product that a demand draws on, through whatever warehouses, and units a tick (0 where a book says)."""
    stocks, stock = {k.id: k for k in plant.stocks}, demand.stock
    while stocks[stock].source in stocks:
        stock = stocks[stock].source
    calendars = {c.id: c for c in plant.calendars}
    share = open_share(calendars.get(demand.calendar or ""))
    rate = share * _mean(demand.quantity) / mean_of(demand.arrivals) if demand.arrivals is not None else 0.0
    return (stocks[stock].item if stocks[stock].source == "line" else None), rate


def needed(product: Product) -> dict[str, float]:
    """Units of each stock that go into a released part."""
    found = {stock: float(n) for stock, n in product.release.consumes}
    for step, times in zip(product.steps, counts(product), strict=True):
        for stock, n in step.needs:
            found[stock] = found.get(stock, 0.0) + n * times
    return found


def shares(plant: Plant) -> dict[str, float]:
    """Relative numbers of parts of each product: as customers ask for it, or as it arrives, else all alike; components
    as their parents need them. Products that are no components weigh 1 on average.
    """
    fills = {k.id: k.item for k in plant.stocks if k.source == "line"}
    ids = [p.id for p in plant.products]
    parts = {fills[stock] for p in plant.products for stock in needed(p) if stock in fills}
    rate = dict.fromkeys(ids, 0.0)
    for demand in plant.demands:
        item, asked = _asked(plant, demand)
        if item in rate:
            rate[item] += asked
    for p in plant.products:
        if p.release.arrivals is not None:
            rate[p.id] += 1 / mean_of(p.release.arrivals)
    final = [name for name in ids if name not in parts] or ids
    known = [rate[name] for name in final if rate[name] > 0]
    mean = sum(known) / len(known) if known else 1.0
    weights = {name: (rate[name] or mean) / mean if name in final else rate[name] / mean for name in ids}
    scale = len(final) / sum(weights[name] for name in final)
    return _with_components(plant, {name: w * scale for name, w in weights.items()}, fills)


def _with_components(plant: Plant, own: dict[str, float], fills: dict[str, str]) -> dict[str, float]:
    total = dict(own)
    for _ in plant.products:  # as deep as components of components can be
        new = dict(own)
        for p in plant.products:
            for stock, n in needed(p).items():
                if stock in fills:
                    new[fills[stock]] += n * total[p.id]
        total = new
    return total


def visits(plant: Plant) -> dict[str, float]:
    """Expected seconds of work per finished unit at each station, divided by its units and the parts of a full batch
    (a step's alternatives share it; products count by `shares`).
    """
    load = {s.id: 0.0 for s in plant.stations}
    places = {s.id: max(s.units, 1) * (s.batch.most if s.batch is not None else 1) for s in plant.stations}
    for product in plant.products:
        weight = shares(plant)[product.id]
        for step, times in zip(product.steps, counts(product), strict=True):
            for name, work in step.eligible:
                load[name] += weight * times * mean_of(work) * plant.tick_s / places[name] / len(step.eligible)
    return load


def setup_s(plant: Plant, station: Station) -> float:
    """Expected seconds of setup per finished unit at a station, divided by its units: parts in random order, or half
    of that where dispatching looks at setups.
    """
    if not station.setups:
        return 0.0
    flow: dict[str, float] = {}
    for product in plant.products:
        here = sum(
            n / len(step.eligible)
            for step, n in zip(product.steps, counts(product), strict=True)
            if station.id in dict(step.eligible)
        )
        flow[family_of(product)] = flow.get(family_of(product), 0.0) + here * shares(plant)[product.id]
    total = sum(flow.values())
    if total <= 0:
        return 0.0
    pairs = sum(flow.get(a, 0.0) * flow.get(b, 0.0) * mean_of(time) for a, b, time in station.setups)
    avoided = AVOIDED if dict(station.dispatch).get("setup", 0) > 0 else 1.0
    return pairs / total * plant.tick_s * avoided / max(station.units, 1)


def operation_s(plant: Plant, station: str) -> float:
    """Mean seconds of an operation at a station."""
    seconds = total = 0.0
    for product in plant.products:
        for step, times in zip(product.steps, counts(product), strict=True):
            work = dict(step.eligible).get(station)
            if work is not None:
                seconds += shares(plant)[product.id] * times * mean_of(work) * plant.tick_s
                total += shares(plant)[product.id] * times
    return seconds / total if total > 0 else 0.0


def loads(plant: Plant) -> dict[str, float]:
    """Seconds that each station needs for a finished unit, setups and failures too, over its share of open time."""
    load, calendars = visits(plant), {c.id: c for c in plant.calendars}
    for station in plant.stations:
        lost = sum(mean_of(m.repair) / max(mean_of(m.after), 1e-9) for m in station.modes if m.after is not None)
        busy = load[station.id] * (1 + lost) + setup_s(plant, station)
        load[station.id] = busy / open_share(calendars.get(station.calendar or ""))
    return load


def bottleneck(plant: Plant) -> str:
    """The station with the highest load; ValueError for a plant without stations."""
    if not plant.stations:
        raise ValueError(f"plant {plant.id}: expected a station to be its bottleneck, found none; give it stations")
    load = loads(plant)
    return max(load, key=lambda s: load[s])
