"""Ovens, setups, operators, assembly, opening hours, customers and suppliers: exact values by chains and by renewal."""

from __future__ import annotations

import numpy as np

from tests.oracles import inventory
from tests.oracles.hours import shifted
from tests.oracles.ovens import Oven, bulk, patient
from tests.oracles.sharing import Families, Kit, Place, assembly, exhaustive, in_turn, pooled
from tests.theory.cases_supply import LEAD, RATE, SINGLE, stock_case, supplied
from tests.theory.compare import Case
from tests.theory.plants import plant, push

POSITIVE = 1e-9


def oven_case(name: str, batch: str, work: str, rate: float, known: Oven) -> Case:
    text = plant(
        "products: {part: {routing: [oven]}}",
        f"stations: {{oven: {{work: {work}, batch: {{{batch}}}}}}}",
        f"release: {{part: {{{push(rate)}}}}}",
    )
    exact = {
        "oven.queue": known.queue, "wip": known.wip, "flow_time": known.flow_time, "oven.work": known.work,
        "oven.starved": 1 - known.work,
    }  # fmt: skip
    sharp = {"oven.queue": 0.02, "wip": 0.02, "flow_time": 0.02, "oven.starved": 0.015}
    return Case(f"oven_{name}", text, exact, 25_000, 500, sharp)


OVENS = (
    oven_case("constant", "min: 3, max: 6", "4 s", 1.0, bulk(1.0, 3, 6, 4.0)),
    oven_case("exponential", "min: 2, max: 4", "exponential(2 s)", 1.2, bulk(1.2, 2, 4, 2.0, 1)),
    oven_case("full", "min: 5, max: 5", "'erlang(mean=3 s, k=3)'", 1.0, bulk(1.0, 5, 5, 3.0, 3)),
    oven_case("patient", "min: 4, max: 60, wait: 2.5 s", "2 s", 0.8, patient(0.8, 4, 2.5, 2.0)),
)

FAMILIES = Families((0.25, 0.35), (1.0, 1.25), (0.6, 0.4))


def setup_text(dispatch: str) -> str:
    return plant(
        "products: {a: {routing: [m]}, b: {routing: [m]}}",
        "stations:",
        "  m:",
        "    work: {a: exponential(1 s), b: exponential(0.8 s)}",
        "    setup: {matrix: {a: {b: exponential(0.4 s)}, b: {a: exponential(0.6 s)}}}",
        *([f"    dispatch: {dispatch}"] if dispatch else []),
        f"release: {{a: {{{push(0.25)}}}, b: {{{push(0.35)}}}}}",
    )


def setup_case(name: str, dispatch: str, queue: float, setup: float) -> Case:
    exact = {"m.queue": queue, "m.setup": setup, "m.work": 0.25 + 0.35 * 0.8}
    return Case(f"setups_{name}", setup_text(dispatch), exact, 60_000, 1000, {"m.queue": 0.02, "m.setup": 0.0075})


STAYS, TURNS = exhaustive(FAMILIES), in_turn(FAMILIES)
SETUPS = (
    setup_case("first_come", "", TURNS.mean(lambda s: s[0]), TURNS.share(lambda s: s[2] == "setup")),
    setup_case("avoided", "setup", STAYS.mean(lambda s: s[0] + s[1]), STAYS.share(lambda s: s[3] == "setup")),
)


def pool_case(name: str, places: tuple[Place, ...], size: int) -> Case:
    """Stations a, b, .. with products of their own, and one pool of operators."""
    names = "abc"[: len(places)]
    told = zip(names, places, strict=True)
    text = plant(
        f"products: {{{', '.join(f'p{n}: {{routing: [{n}]}}' for n in names)}}}",
        "stations:",
        *(
            f"  {n}: {{units: {p.units}, work: exponential({1 / p.work:.9g} s), operators: {{staff: {p.people}}}, "
            f"priority: {p.priority}}}"
            for n, p in told
        ),
        f"operators: {{staff: {{size: {size}}}}}",
        f"release: {{{', '.join(f'p{n}: {{{push(p.arrival)}}}' for n, p in zip(names, places, strict=True))}}}",
    )
    chain = pooled(places, size)
    exact, sharp = dict[str, float](), dict[str, float]()
    for i, (n, p) in enumerate(zip(names, places, strict=True)):
        exact |= {f"{n}.queue": chain.mean(lambda s, i=i: s[0][i]), f"{n}.work": p.arrival / p.work / p.units}  # type: ignore[misc]
        sharp |= {f"{n}.queue": 0.03, f"{n}.work": 0.0075}
    return Case(f"operators_{name}", text, exact, 40_000, 1000, sharp)


POOLS = (
    pool_case("in_turn", (Place(0.25, 1.0), Place(0.3, 0.8)), 1),
    pool_case("two_at_once", (Place(0.4, 0.8, units=2), Place(0.2, 1.0, people=2)), 2),
    pool_case("urgent", (Place(0.35, 1.0), Place(0.2, 0.8, priority=-1)), 1),
)


def _kit() -> Case:
    """A kit of one x and two y, both made up to a level."""
    given = Kit((1.0, 1.6), (3, 4), (1, 2), 1.1)
    chain = assembly(given)
    text = plant(
        "products:",
        "  x: {routing: [make_x]}",
        "  y: {routing: [make_y]}",
        "  kit: {routing: [{station: join, needs: {xs: 1, ys: 2}}]}",
        "stations:",
        "  make_x: {work: exponential(1 s)}",
        "  make_y: {work: exponential(0.625 s)}",
        f"  join: {{work: exponential({1 / 1.1:.9g} s)}}",
        "stocks: {xs: {item: x, from: line}, ys: {item: y, from: line}}",
        "release:",
        "  x: {policy: base_stock, level: 3}",
        "  y: {policy: base_stock, level: 4}",
        "  kit: {policy: saturated}",
    )
    busy = chain.share(lambda s: s[2])
    exact = {
        "join.work": busy, "join.starved": 1 - busy, "make_x.work": 1.1 * busy, "make_y.work": 2 * 1.1 * busy / 1.6,
        "xs.on_hand": chain.mean(lambda s: s[0]), "ys.on_hand": chain.mean(lambda s: s[1]),
    }  # fmt: skip
    sharp = {"xs.on_hand": 0.01, "ys.on_hand": 0.01, "join.starved": 0.0075}
    return Case("assembly_kit", text, exact, 25_000, 500, sharp)


def hours_case(name: str, finishes: bool) -> Case:
    """Sixteen hours of work a day; parts come at all hours."""
    known = shifted(0.4, 1.0, 16.0, 8.0, finishes)
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations: {a: {work: exponential(1 h), calendar: day}}",
        f"calendars: {{day: {{open: 'Mon-Sun 06:00-22:00', at_close: {'finish' if finishes else 'freeze'}}}}}",
        "release: {part: {policy: push, arrivals: poisson(0.4/h), calendar: always}}",
        tick="1 s",
    )
    exact = {
        "a.queue": known.queue, "wip": known.wip, "a.work": known.work, "a.off": known.off, "a.starved": known.starved,
    }  # fmt: skip
    exact = {figure: value for figure, value in exact.items() if finishes or figure != "a.off"}
    sharp = {"a.queue": 0.03, "wip": 0.02, "a.starved": 0.015, "a.work": 0.01}
    return Case(f"hours_{name}", text, exact, 600 * 86_400, 14 * 86_400, sharp)


def _compound() -> Case:
    """Base stock, and customers who ask for one, two or five units."""
    size = np.array([0.0, 0.5, 0.3, 0.0, 0.0, 0.2])
    law = inventory.compound_law(RATE * LEAD, size)
    known = inventory.figures(14, np.ones(1), law, RATE, size)
    text = supplied("kind: base_stock, level: 14", f"{SINGLE}, quantity: {{1: 50 %, 2: 30 %, 5: 20 %}}", initial=14)
    return stock_case("compound_base_stock", text, known, 6000)


def _unreliable() -> Case:
    """One order in five is late: orders on their way are a queue without waiting (Palm), so only the mean counts."""
    lead = 2.0 + 0.2 * 3.0
    known = inventory.figures(8, np.ones(1), inventory.poisson_law(RATE * lead), RATE)
    text = supplied("kind: base_stock, level: 8", SINGLE, "2 d", 8).replace(
        "lead: constant(2 d)", "lead: constant(2 d), reliability: 80 %, late: exponential(3 d)"
    )
    return stock_case("unreliable_supplier", text, known, 6000)


CASES = (
    *OVENS,
    *SETUPS,
    *POOLS,
    _kit(),
    hours_case("finish", True),
    hours_case("freeze", False),
    _compound(),
    _unreliable(),
)
