"""What a plant has, in the words of `tests.sim.plant_design`, read from the plant itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from sim.plant import DONE, SCRAP, UNLIMITED, Demand, Mode, Plant, Product, Release, Station, Stock
from tests.sim.plant_design import OF_STATION
from tests.sim.random_plants import form_of

Pair = frozenset[str]
Told = Iterator[tuple[str, object]]
"""(feature, whether it is there)."""


def features_of(plant: Plant) -> set[str]:
    """Every feature of a plant."""
    found = {name for name, there in _of_plant(plant) if there}
    for p in plant.products:
        found |= {name for name, there in _of_product(p, plant) if there}
    for s in plant.stations:
        found |= station_features(s, plant)
    for k in plant.stocks:
        found |= {name for name, there in _of_stock(k, plant) if there}
    for d in plant.demands:
        found |= {name for name, there in _of_demand(d) if there}
    return found


def pairs_of(plant: Plant) -> set[Pair]:
    """Pairs of features that meet in a plant; of two features of stations, at one station."""
    stations = set(OF_STATION)
    found = {frozenset(pair) for pair in combinations(sorted(features_of(plant)), 2)}
    found = {pair for pair in found if not pair <= stations}
    for s in plant.stations:
        found |= {frozenset(pair) for pair in combinations(sorted(station_features(s, plant) & stations), 2)}
    return found


def _of_plant(plant: Plant) -> Told:
    yield plant.conventions["review_order"], True
    yield plant.conventions["blocking"], True
    yield "tariff", plant.tariff is not None and len(plant.tariff.prices) > 1
    yield "group", plant.groups
    yield "mix", any(len({share for _, share in g.mix}) > 1 for g in plant.groups)
    used = {s.calendar for s in plant.stations} | {p.release.calendar for p in plant.products}
    used |= {d.calendar for d in plant.demands}
    hours = [c for c in plant.calendars if c.id in used]
    yield "breaks", any(c.breaks for c in hours)
    yield "planned stop", any(c.closed for c in hours) and plant.tick_s > 60
    yield "overtime", any(c.overtime for c in hours)
    yield "summer time", plant.timezone != "UTC" and hours
    yield "open at start", any(c.open[0][1] == 0 for c in hours)
    yield "supplier capacity", any(s.unit_ticks for s in plant.suppliers)
    yield "unreliable", any(s.reliability < 1 for s in plant.suppliers)
    for control in plant.controls:
        yield f"control {form_of(control.sets)}", True


def _of_product(p: Product, plant: Plant) -> Told:
    for i, step in enumerate(p.steps):
        targets = [target for target, _ in step.next]
        yield "rework", any(0 <= target < i for target in targets)
        yield "self loop", i in targets
        yield "scrap", SCRAP in targets
        yield "early end", len(targets) > 1 and DONE in targets and i + 1 < len(p.steps)
        yield "no work", step.work.args == (0.0,)
        yield "alternatives", step.others
        yield "needs", step.needs
    yield "lots", p.lot > p.transfer
    yield "transfer", p.transfer > 1
    yield "due", p.due is not None
    yield "priority", p.priority and len(plant.products) > 1
    yield "holding", p.holding and len(plant.products) > 1
    yield from _of_release(p.release)


def _of_release(release: Release) -> Told:
    yield release.policy, True
    yield "base stock", release.base_stock is not None
    yield "surplus", release.stops
    yield "no cap", release.policy == "conwip" and release.cap is None
    yield "release hours", release.calendar is not None
    yield "consumes", release.consumes
    yield "dates of orders", any(line.due is not None for line in release.orders)


def station_features(s: Station, plant: Plant) -> set[str]:
    """Every feature of a station."""
    told = [*_of_station(s, plant), *((name, there) for m in s.modes for name, there in _of_mode(m, s))]
    return {name for name, there in told if there}


def _of_station(s: Station, plant: Plant) -> Told:
    yield "parallel", s.units > 1
    yield "finite", s.capacity > 0
    yield "no queue", s.capacity == 0 and s.capacity != UNLIMITED
    yield "kanban", s.kanban is not None
    yield "setups", s.setups
    yield "first setup", any(before == "" for before, _, _ in s.setups)
    if s.batch is not None:
        yield f"batch by {s.batch.by}", True
        yield "batch wait", s.batch.wait is not None
    for feature, _ in s.dispatch:
        yield f"by {feature}", True
    if s.condition is not None:
        yield "slow", len(set(s.condition.slow)) > 1
        yield "worn scrap", any(s.condition.scrap)
        yield "level failures", any(s.condition.fails)
    if s.operators is not None:
        yield "operators", True
        yield "two operators", s.operators[1] > 1
        yield "rank for operators", s.priority
    if s.calendar is not None:
        closing = next(c.at_close for c in plant.calendars if c.id == s.calendar)
        yield ("freeze" if closing == "freeze" else "finish at close"), True
    yield "power", any(s.power)
    yield "part energy", s.part_energy


def _of_mode(m: Mode, s: Station) -> Told:
    yield (f"planned {m.clock}" if m.planned and m.clock != "none" else m.clock), m.clock != "none"
    yield "at level", m.at_level is not None
    yield "level at once", m.at_level is not None and not m.finish
    yield "finish", m.planned and m.finish
    yield "preempt", m.planned and not m.finish
    yield m.part, True
    yield "renews", m.renews
    yield "restores", m.restores and m.clock != "condition"
    yield "crew", m.crew is not None
    yield "ranks", m.crew is not None and m.priority and len(s.modes) > 1
    yield "no repair time", m.repair.args == (0.0,)


def _of_stock(k: Stock, plant: Plant) -> Told:
    if k.source == "line":
        return
    sources = {other.id: other.source for other in plant.stocks}
    yield k.policy, True
    yield "review", k.review is not None
    yield "echelon", k.echelon and any(other.source == k.id for other in plant.stocks)
    yield "least", k.least > 1
    yield "multiple", k.multiple > 1
    yield "rank of stock", k.priority and k.source in sources
    yield "stock from stock", k.source in sources and sources[k.source] != "line"
    yield "stock from goods", sources.get(k.source) == "line"
    yield "express", k.express is not None
    yield "express from stock", k.express is not None and k.express.source in sources


def _of_demand(d: Demand) -> Told:
    yield d.unmet, True
    yield "limited", d.most is not None
    yield "lumpy", len(d.quantity) > 1 and d.quantity[0][0] > 0
    yield "nobody", d.quantity[0][0] == 0
    yield "rank of demand", d.priority
    yield "promises", d.due is not None
    yield "season", d.season
    yield "demand hours", d.calendar is not None
    yield "book", d.book
    yield "dates of book", any(line.due is not None for line in d.book)
