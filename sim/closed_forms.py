"""Which closed forms hold for a plant, and their values: what theory says of the figures `simulate` prints.

A value is `exact` where the form's assumptions are the plant's (as docs/kernel.md has it); VUT values of other open
networks are approximations and say so. A plant with anything these forms do not know (a bounded queue that can fill, a
calendar, a feature added later) has no value: a field of the plant's types that is not listed here silences them unless
it has its default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from itertools import chain
from typing import Any

from sim import analytic
from sim.distributions import mean, variance
from sim.plant import UNLIMITED, Dist, Plant, Product, Station, Stock
from sim.traffic import completed, visits
from sim.units import TIME_UNITS

_KNOWN = {
    "Plant": "id site area line timezone tick_s time_unit currency start products stations crews calendars stocks "
    "suppliers demands controls limits sensors pools tariff enterprise conventions unlimited question path",
    "Product": "id steps release revenue scrap_cost family due priority holding tardiness",
    "Release": "policy cap base_stock arrivals calendar consumes",
    "Step": "id station work next",
    "Station": "id units fails modes calendar buffer capacity holding priority power part_energy",
    "Failure": "clock after repair crew",
    "Mode": "id clock after repair crew priority cost",
    "Stock": "id item source initial holding level review lead order_cost price priority",
    "Supplier": "id note",
    "Demand": "id stock arrivals calendar backlog priority",
}
"""Type -> fields whose every value is taken into account below, or moves no figure given here."""
_SWEEPS = 1000


@dataclass(frozen=True, slots=True)
class Theory:
    """What a form says of one figure: `group` is kpis, stations or stocks, `owner` the id ("" for kpis).

    Times and rates are in the plant file's `time_unit`. Two names are no simulated figures: `utilisation` of a station
    (`work` and `down` together) and `best_level` of a stock.
    """

    group: str
    owner: str
    name: str
    value: float
    form: str
    exact: bool


def theory(plant: Plant) -> list[Theory]:
    """All values that closed forms give for a plant; empty where none holds."""
    if not _plain(plant):
        return []
    return [*_line(plant), *chain.from_iterable(_stock(plant, stock) for stock in plant.stocks)]


def as_json(found: list[Theory]) -> dict[str, Any]:
    """The `analytic` part of `simulate --json`: group -> (owner ->) name -> value, form, exact."""
    result: dict[str, Any] = {}
    for t in found:
        group = result.setdefault(t.group, {})
        place = group.setdefault(t.owner, {}) if t.owner else group
        place[t.name] = {"value": t.value, "form": t.form, "exact": t.exact}
    return result


def _plain(thing: Any) -> bool:
    """Has a thing only what these forms know?"""
    known = _KNOWN[type(thing).__name__].split()
    for field in fields(thing):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if field.name not in known and getattr(thing, field.name) != default:
            return False
    return True


def _unit(plant: Plant) -> float:
    """Ticks in the plant's time unit."""
    return float(TIME_UNITS[plant.time_unit]) / plant.tick_s


def _scv(dist: Dist) -> float:
    return variance(dist) / mean(dist) ** 2


def _line(plant: Plant) -> Iterator[Theory]:
    """Figures of the line where every part, station and release is of a kind known here."""
    releases = [p.release for p in plant.products]
    parts = chain(plant.products, releases, plant.stations, chain.from_iterable(p.steps for p in plant.products))
    if not releases or not all(_plain(part) for part in parts) or any(r.consumes or r.calendar for r in releases):
        return
    if any(s.calendar for s in plant.stations) or any(mean(x.work) <= 0 for p in plant.products for x in p.steps):
        return
    if not all(_fails_simply(s) for s in plant.stations):
        return
    if all(r.policy == "push" for r in releases):
        yield from _open(plant)
    elif len(releases) == 1 and releases[0].policy == "conwip" and releases[0].base_stock is None:
        yield from _closed(plant, plant.products[0])
    elif len(releases) == 1 and releases[0].policy == "saturated":
        yield from _saturated(plant, plant.products[0])


def _fails_simply(station: Station) -> bool:
    """Never, or in one way that ages with work and lets the part resume."""
    modes = [m for m in getattr(station, "modes", (station.fails,)) if m is not None]
    return not modes or (len(modes) == 1 and modes[0].clock == "odf" and _plain(modes[0]) and modes[0] is station.fails)


@dataclass(frozen=True, slots=True)
class _Place:
    """A station as theory sees it: rate of visits, mean and scv of a visit's work with repairs; `product_form`: one
    exponential work for all visits and no failures; `exact`: the two moments are.
    """

    station: Station
    rate: float
    work: float
    scv: float
    product_form: bool
    exact: bool


def _place(plant: Plant, station: Station, rates: dict[str, float]) -> _Place | None:
    """None where no part comes."""
    shares, works = [], []
    for p in plant.products:
        for step, times in zip(p.steps, visits(p), strict=True):
            if step.station == station.id:
                shares.append(rates[p.id] * times)
                works.append(step.work)
    rate = sum(shares)
    if rate <= 0:
        return None
    work = sum(s * mean(w) for s, w in zip(shares, works, strict=True)) / rate
    second = sum(s * (variance(w) + mean(w) ** 2) for s, w in zip(shares, works, strict=True)) / rate
    scv = second / work**2 - 1
    form = all(w.kind == "exponential" and w.args == works[0].args for w in works) and station.fails is None
    fails = station.fails
    if fails is None or fails.after is None:
        return _Place(station, rate, work, scv, form, exact=True)
    up = fails.after
    work, scv = analytic.with_outages(work, scv, mean(up), mean(fails.repair), _scv(fails.repair))
    return _Place(station, rate, work, scv, form, exact=up.kind == "exponential" and fails.crew is None)


def _open(plant: Plant) -> Iterator[Theory]:
    """Push releases, unlimited queues, no station overloaded: M/M/c, M/G/1, Jackson or VUT."""
    arrivals = {p.id: p.release.arrivals for p in plant.products}
    rates = {name: 1 / mean(dist) for name, dist in arrivals.items() if dist is not None}
    found = [_place(plant, s, rates) for s in plant.stations]
    places = [place for place in found if place is not None]
    if any(p.rate * p.work >= p.station.units or p.station.capacity != UNLIMITED for p in places):
        return
    poisson = all(dist is not None and dist.kind == "exponential" for dist in arrivals.values())
    single = len(places) == 1 and all(
        len(p.steps) == 1 and all(to < 0 for to, _ in p.steps[0].next) for p in plant.products
    )
    exact, form = True, "Jackson"
    if poisson and all(p.product_form for p in places):
        queues = [analytic.mmc(p.rate, p.work, p.station.units) for p in places]
        form = f"M/M/{places[0].station.units}" if single else form
    elif poisson and single and places[0].station.units == 1 and places[0].exact:
        queues, form = [analytic.mg1(places[0].rate, places[0].work, places[0].scv)], "M/G/1"
    else:
        queues, form, exact = _vut(plant, places, rates), "VUT", False
    yield from _open_figures(plant, places, queues, rates, (form, exact))


def _vut(plant: Plant, places: list[_Place], rates: dict[str, float]) -> list[analytic.Queue]:
    """VUT station by station; the variation of arrivals by mixing and splitting the departures before them.

    A share p of a stream of scv c has scv p c + 1 - p; a mixture has the mean of its streams' scv by their rates
    (Whitt, The queueing network analyzer, 1983, in its simplest form).
    """
    index = {p.station.id: i for i, p in enumerate(places)}
    flow = [[0.0] * len(places) for _ in places]
    outside: list[list[tuple[float, float]]] = [[] for _ in places]
    for product in plant.products:
        counts = visits(product)
        if product.release.arrivals is not None:
            first = index[product.steps[0].station]
            outside[first].append((rates[product.id], _scv(product.release.arrivals)))
        for step, times in zip(product.steps, counts, strict=True):
            for target, share in step.next:
                if target >= 0:
                    to = index[product.steps[target].station]
                    flow[index[step.station]][to] += rates[product.id] * times * share
    loads = [p.rate * p.work / p.station.units for p in places]
    scv = [1.0] * len(places)
    for _ in range(_SWEEPS):
        leaving = [
            analytic.departures(load, p.station.units, c, p.scv) for load, p, c in zip(loads, places, scv, strict=True)
        ]
        before, scv = scv, [_mixed(j, places, flow, leaving, outside[j]) for j in range(len(places))]
        if max(abs(x - y) for x, y in zip(before, scv, strict=True)) < 1e-12:
            break
    return [analytic.vut(p.rate, p.work, p.station.units, c, p.scv) for p, c in zip(places, scv, strict=True)]


def _mixed(
    to: int, places: list[_Place], flow: list[list[float]], leaving: list[float], outside: list[tuple[float, float]]
) -> float:
    """Scv of all that arrives at a station."""
    total = sum(rate * c for rate, c in outside)
    for i, place in enumerate(places):
        share = flow[i][to] / place.rate
        total += flow[i][to] * (share * leaving[i] + 1 - share)
    return total / places[to].rate


def _open_figures(
    plant: Plant, places: list[_Place], queues: list[analytic.Queue], rates: dict[str, float], label: tuple[str, bool]
) -> Iterator[Theory]:
    unit, rate = _unit(plant), sum(rates.values())
    done = sum(rates[p.id] * completed(p) for p in plant.products)
    wip = sum(q.wip for q in queues)
    shared = any(p.station.fails is not None and p.station.fails.crew is not None for p in places)
    yield Theory("kpis", "", "throughput", done * unit, "traffic", exact=not shared)
    yield Theory("kpis", "", "wip", wip, *label)
    yield Theory("kpis", "", "wait", sum(q.queue for q in queues) / rate / unit, *label)
    if done > rate * (1 - 1e-12):  # the flow time is that of finished parts: with scrap Little's law does not give it
        yield Theory("kpis", "", "flow_time", wip / rate / unit, *label)
    for place, queue in zip(places, queues, strict=True):
        yield Theory("stations", place.station.id, "utilisation", queue.utilisation, "traffic", exact=not shared)
        yield Theory("stations", place.station.id, "queue", queue.queue, *label)


def _closed(plant: Plant, product: Product) -> Iterator[Theory]:
    """CONWIP of one product with queues that never block: exponential single machines, or no variability at all."""
    cap = product.release.cap
    found = [_place(plant, s, {product.id: 1.0}) for s in plant.stations]
    places = [place for place in found if place is not None]
    wide = all(p.station.capacity == UNLIMITED or (cap and p.station.capacity >= cap - 1) for p in places)
    if cap is None or not wide or any(p.station.fails is not None for p in places):
        return
    unit, share = _unit(plant), completed(product)
    if all(p.product_form and p.station.units == 1 for p in places):
        closed, form = analytic.mva([p.rate * p.work for p in places], cap), "MVA"
        rate = closed.throughput
        waiting = [at - busy for at, busy in zip(closed.at_station, closed.utilisation, strict=True)]
        yield Theory("kpis", "", "wait", sum(waiting) / rate / unit, form, exact=True)
        for place, busy, queue in zip(places, closed.utilisation, waiting, strict=True):
            yield Theory("stations", place.station.id, "utilisation", busy, form, exact=True)
            yield Theory("stations", place.station.id, "queue", queue, form, exact=True)
    elif _straight(product) and all(s.work.kind == "constant" for s in product.steps):
        bottleneck = min(p.station.units / p.work for p in places)
        total = sum(p.work for p in places)
        rate, form = analytic.best_case(cap, bottleneck, total), "best case"
        yield Theory("kpis", "", "wait", (cap / rate - total) / unit, form, exact=True)
    else:
        return
    yield Theory("kpis", "", "throughput", rate * share * unit, form, exact=True)
    yield Theory("kpis", "", "wip", cap, form, exact=True)
    if share > 1 - 1e-12:
        yield Theory("kpis", "", "flow_time", cap / rate / unit, form, exact=True)


def _straight(product: Product) -> bool:
    """One visit to each station, each step followed by the next, nothing scrapped."""
    stations = [step.station for step in product.steps]
    last = len(stations) - 1
    ways = [step.next == (((i + 1) if i < last else -1, 1.0),) for i, step in enumerate(product.steps)]
    return len(set(stations)) == len(stations) and all(ways)


def _saturated(plant: Plant, product: Product) -> Iterator[Theory]:
    """One station that always has work makes units / (work with repairs), whatever the distributions."""
    place = _place(plant, next(s for s in plant.stations if s.id == product.steps[0].station), {product.id: 1.0})
    if place is None or len(product.steps) > 1 or not _straight(product):
        return
    if place.station.fails is None or place.station.fails.crew is None:
        rate = place.station.units / place.work * _unit(plant)
        yield Theory("kpis", "", "throughput", rate, "bottleneck rate", exact=True)


def _stock(plant: Plant, stock: Stock) -> Iterator[Theory]:
    """A supplied stock that orders each unit a Poisson customer takes."""
    demands = [d for d in plant.demands if d.stock == stock.id]
    asked = [k.source for k in plant.stocks] + [name for p in plant.products for name, _ in p.release.consumes]
    asked += [name for p in plant.products for step in p.steps for name, _ in getattr(step, "needs", ())]
    if stock.id in asked or stock.lead is None or stock.level is None or stock.review is not None or len(demands) != 1:
        return
    demand, source = demands[0], [s for s in plant.suppliers if s.id == stock.source]
    if not source or not all(_plain(thing) for thing in (stock, demand, *source)):
        return
    if demand.arrivals is None or demand.arrivals.kind != "exponential" or demand.calendar:
        return
    ordered = mean(stock.lead) / mean(demand.arrivals)
    if ordered <= 0:
        return
    found = analytic.base_stock(stock.level, ordered)
    for name in ("on_hand", "backorders", "fill_rate"):
        yield Theory("stocks", stock.id, name, getattr(found, name), "base-stock", exact=True)
    if stock.holding > 0 and demand.backlog > 0:
        best = analytic.newsvendor_poisson(ordered, demand.backlog, stock.holding)
        yield Theory("stocks", stock.id, "best_level", best, "newsvendor", exact=True)
