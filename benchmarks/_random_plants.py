"""Random job shops of gearmotor's size as plant files: a function of the seed alone.

Five to nine stations, of which each product visits four or more in an order of its own; three products made to stock
for random customers; failures, one machine that wears and is maintained, a station whose changeovers count, two shifts
beside three, a tariff, material from a supplier and a faster one. Controls: the CONWIP cap, a base stock a product, the
weight of setups, the condition at which the worn machine is maintained, the levels of material and of express orders.
Work times are scaled so that the stations are loaded to 55 to 86 % of their open time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

OPEN_H = {"two_shift": 80.0, "three_shift": 120.0}
WEEK_H = 168.0
DEMAND_H = 80.0
PRODUCTS = ("alpha", "beta", "gamma")
AVAILABLE = 0.9
"""About what failures, wear and maintenance leave."""


def random_plant(seed: int) -> str:
    """The plant file of this seed, as YAML."""
    rng = random.Random(seed)
    n = rng.randint(5, 9)
    stations = [f"m{i + 1}" for i in range(n)]
    units = {s: rng.choice((1, 1, 2)) for s in stations}
    calendars = {s: rng.choice(("two_shift", "two_shift", "three_shift")) for s in stations}
    worn, changed = rng.sample(stations, 2)
    units[worn] = 1
    routes = {p: rng.sample(stations, rng.randint(4, n)) for p in PRODUCTS}
    for s in stations:  # every machine has work
        if all(s not in route for route in routes.values()):
            routes[rng.choice(PRODUCTS)].append(s)
    rate = {p: round(rng.uniform(1.0, 2.6), 2) for p in PRODUCTS}  # orders an hour while customers order
    lines = [*_head(seed), *_products(rng, routes)]
    lines += _stations(rng, (stations, units, calendars), (worn, changed), (routes, rate))
    return "\n".join([*lines, *_supply(rng, rate), *_controls(rate, worn, changed)]) + "\n"


def _head(seed: int) -> Iterator[str]:
    yield f"# A random job shop of `plantwin bench q5`, seed {seed}."
    yield "plantwin: 1\nsite: bench\narea: random"
    yield f"line: shop{seed}"
    yield "timezone: Europe/Berlin\ntick: 1 ms\ntime_unit: h\ncurrency: EUR\nunlimited: 800"


def _products(rng: random.Random, routes: dict[str, list[str]]) -> Iterator[str]:
    yield "products:"
    for p, route in routes.items():
        worth = rng.uniform(20, 120)
        yield f"  {p}:"
        yield f"    routing: [{', '.join(route)}]"
        yield f"    revenue: {3 * worth:.0f} EUR"
        yield f"    scrap_cost: {worth:.0f} EUR"
        yield f"    holding: {worth * 6e-5:.4f} EUR/h"


def _stations(
    rng: random.Random,
    built: tuple[list[str], dict[str, int], dict[str, str]],
    special: tuple[str, str],
    asked: tuple[dict[str, list[str]], dict[str, float]],
) -> Iterator[str]:
    (stations, units, calendars), (worn, changed), (routes, rate) = built, special, asked
    yield "stations:"
    for s in stations:
        load = rng.uniform(0.55, 0.86) * (0.65 if s == changed else 1.0)  # changeovers come on top
        weights = {p: rng.uniform(0.7, 1.4) for p in PRODUCTS if s in routes[p]}
        week = sum(rate[p] * DEMAND_H * w for p, w in weights.items())
        hours = load * OPEN_H[calendars[s]] * AVAILABLE * units[s] / week
        cv = rng.choice((0.1, 0.2, 0.3))
        work = ", ".join(f'{p}: "gamma(mean={60 * hours * w:.2f} min, cv={cv})"' for p, w in weights.items())
        yield f"  {s}:"
        yield f"    units: {units[s]}"
        yield f"    calendar: {calendars[s]}"
        yield f"    work: {{{work}}}"
        yield f"    power: {{work: {rng.randint(5, 40)} kW, idle: {rng.randint(1, 5)} kW, down: 1 kW}}"
        if s == changed:
            yield f'    setup: {{default: "gamma(mean={rng.uniform(0.8, 1.6) * 60 * hours:.1f} min, cv=0.25)"}}'
            yield f"    setup_cost: {rng.randint(5, 25)} EUR"
            yield "    dispatch: {setup: 5, waited: -1}"
        if s == worn:
            yield from _wear(rng)
        else:
            repair = f'"lognormal(mean={rng.randint(30, 90)} min, cv=0.9)"'
            cost = rng.randint(40, 120)
            yield (
                f"    fails: {{clock: odf, after: exponential({rng.randint(30, 90)} h), repair: {repair}, "
                f"crew: fitters, cost: {cost} EUR}}"
            )
    yield "crews:\n  fitters: {size: 2}"
    yield "calendars:"
    yield '  two_shift: {open: "Mon-Fri 06:00-22:00", at_close: finish}'
    yield '  three_shift: {open: "Mon 06:00-24:00, Tue-Fri 00:00-24:00, Sat 00:00-06:00", at_close: finish}'


def _wear(rng: random.Random) -> Iterator[str]:
    """Four conditions; the worse, the likelier it breaks down, which takes long and is dear."""
    last = rng.uniform(12, 30)
    yield "    condition:"
    yield "      levels: 4"
    wear = ", ".join(f"exponential({k * last:.0f} h)" for k in (2, 1.5, 1, 1))
    fails = ", ".join(f"exponential({k * last:.0f} h)" for k in (12, 5, 2))
    yield f"      wear: [{wear}]"
    yield f"      fails: [never, {fails}]"
    yield "      speed: [1, 1, 0.97, 0.9]"
    yield "    maintenance:"
    yield f'      preventive: "gamma(mean={rng.uniform(1, 2.5):.1f} h, cv=0.2)"'
    yield f"      cost: {rng.randint(60, 160)} EUR"
    yield f'      corrective: "gamma(mean={rng.uniform(5, 10):.1f} h, cv=0.5)"'
    yield f"      corrective_cost: {rng.randint(400, 1200)} EUR"
    yield "      at_level: 3"


def _supply(rng: random.Random, rate: dict[str, float]) -> Iterator[str]:
    use = sum(rate.values()) * DEMAND_H / 7  # a day
    lead = rng.randint(3, 6)
    yield "suppliers:"
    lead_time, late = f'lead: "gamma(mean={lead} d, cv=0.2)"', 'late: "gamma(mean=5 d, cv=0.5)"'
    yield f"  mill: {{{lead_time}, reliability: {rng.randint(80, 95)} %, {late}, order_cost: 60 EUR}}"
    yield '  trader: {lead: "gamma(mean=26 h, cv=0.2)", price: 19 EUR, order_cost: 150 EUR}'
    yield "release:"
    for p in PRODUCTS:
        yield f"  {p}: {{policy: conwip, base_stock: {_base(rate[p])}, consumes: {{bars: 1}}}}"
    yield "groups:"
    yield f"  all: {{cap: {_cap(rate)}, mix: {{{', '.join(f'{p}: {round(10 * rate[p])}' for p in PRODUCTS)}}}}}"
    yield "stocks:"
    yield (
        f"  bars: {{item: bar, from: mill, policy: {{kind: base_stock, level: {_level(use, lead)}, every: 24 h}}, "
        f"price: 12 EUR, initial: {round(use * 4)}, holding: 0.0008 EUR/h, "
        f"express: {{from: trader, level: {round(use / 10) * 10}}}}}"
    )
    for p in PRODUCTS:
        holding = f"holding: {rng.uniform(0.006, 0.02):.4f} EUR/h"
        yield f"  {p}s: {{item: {p}, from: line, initial: {_base(rate[p]) // 2}, {holding}}}"
    yield "demand:"
    for p in PRODUCTS:
        yield (
            f"  buyers_{p}: {{stock: {p}s, arrivals: poisson({rate[p]}/h), calendar: two_shift, unmet: backorder, "
            f"backlog: {rng.uniform(0.8, 3):.2f} EUR/h}}"
        )
    yield "energy:\n  tariff:"
    yield '    day: {price: 0.26 EUR/kWh, hours: "Mon-Fri 07:00-21:00"}'
    yield "    night: {price: 0.16 EUR/kWh}"
    yield "conventions: {blocking: after_service}"


def _base(rate: float) -> int:
    return max(round(26 * rate / 2) * 2, 10)


def _cap(rate: dict[str, float]) -> int:
    return round(sum(rate.values()) * 16 / 4) * 4


def _level(use: float, lead: int) -> int:
    return round(use * (lead + 4) / 20) * 20


def _controls(rate: dict[str, float], worn: str, changed: str) -> Iterator[str]:
    use = sum(rate.values()) * DEMAND_H / 7
    cap, worth = _cap(rate), "class: release, worth: 15 EUR, approve: operator"
    yield "controls:"
    least = max(cap // 3 // 4 * 4, 8)
    yield f"  cap: {{sets: groups.all.cap, from: {least}, to: {2 * cap}, step: 4, every: 1 h, {worth}}}"
    for p in PRODUCTS:
        base = _base(rate[p])
        ends = f"from: {base // 4 * 2 - 2}, to: {3 * base}, step: 2"
        yield f"  base_{p}: {{sets: release.{p}.base_stock, {ends}, every: 2 h, {worth}}}"
    other, upkeep = worth.replace("release", "dispatch"), worth.replace("release", "maintenance")
    yield f"  setups: {{sets: stations.{changed}.dispatch.setup, from: 1, to: 39, step: 2, every: 8 h, {other}}}"
    yield f"  care: {{sets: stations.{worn}.at_level, from: 1, to: 4, every: 1 h, {upkeep}}}"
    supply = worth.replace("release", "supply")
    low, high = round(3 * use / 20) * 20, round(16 * use / 20) * 20
    yield f"  bars_level: {{sets: stocks.bars.level, from: {low}, to: {high}, step: 20, every: 24 h, {supply}}}"
    most = round(5 * use / 10) * 10
    yield f"  bars_express: {{sets: stocks.bars.express, from: 0, to: {most}, step: 10, every: 24 h, {supply}}}"
