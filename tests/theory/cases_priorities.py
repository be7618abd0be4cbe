"""Priorities in one queue (Cobham), work repeated or scrapped at a failure, demand lost at an empty shelf."""

from __future__ import annotations

from math import exp

from tests.oracles import queues as q
from tests.theory.compare import Case
from tests.theory.plants import plant, push

CLASSES = (q.Class(0.2, 1.0, 1.0, 1.0), q.Class(0.1, 2.0, 0.5, 5.0), q.Class(0.3, 0.8, 0.0, 1.5))
NAMES = ("red", "blue", "green")
WORKS = "red: exponential(1 s), blue: 'gamma(mean=2 s, cv=0.5)', green: 0.8 s"


def ranked_plant(dispatch: str, order: tuple[int, ...]) -> str:
    """Three products at one station; `order` gives their priorities, most urgent first."""
    described = (
        f"  {NAMES[i]}: {{routing: [a], priority: {order.index(i)}, holding: {3600 * c.cost:g} EUR/h}}"
        for i, c in enumerate(CLASSES)
    )
    return plant(
        "products:",
        *described,
        f"stations: {{a: {{dispatch: {dispatch}, work: {{{WORKS}}}}}}}",
        "release:",
        *(f"  {NAMES[i]}: {{{push(c.arrival)}}}" for i, c in enumerate(CLASSES)),
    )


def ranked(name: str, dispatch: str, order: tuple[int, ...]) -> Case:
    """Flow times by product, and what holding the parts in the system costs."""
    waits = q.cobham([CLASSES[i] for i in order])
    exact = {f"{NAMES[i]}.flow_time": wait + CLASSES[i].mean for i, wait in zip(order, waits, strict=True)}
    exact["cost_rate"] = q.holding_rate(CLASSES, order)
    return Case(f"priority_{name}", ranked_plant(dispatch, order), exact, 80_000, 2000, dict.fromkeys(exact, 0.0125))


def interrupted(part: str) -> Case:
    """Constant work that is drawn anew (here: begun anew) after a failure, or lost with its part."""
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations:",
        f"  a: {{work: 5 s, fails: {{clock: odf, after: exponential(20 s), repair: exponential(4 s), part: {part}}}}}",
        "release: {part: {policy: saturated}}",
    )
    good = 1 / q.with_repeats(exp(-5 / 20), 1 / 20, 4.0)
    return Case(f"interrupted_{part}", text, {"throughput": good, "a.down": 4.0 / 24.0}, 90_000, 500, {"a.down": 0.01})


def lost_sales(base_stock: int) -> Case:
    """The shelf of `shelf_case` with demand that does not wait: M/M/1/K."""
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations: {a: {work: exponential(1 s)}}",
        f"release: {{part: {{policy: conwip, cap: 400, base_stock: {base_stock}}}}}",
        f"stocks: {{shelf: {{item: part, from: line, initial: {base_stock}}}}}",
        "demand: {customer: {stock: shelf, arrivals: poisson(0.9/s), unmet: lost}}",
    )
    known = q.make_to_stock_with_loss(0.9, 1.0, base_stock)
    exact = {"fill_rate": known.fill_rate, "throughput": 0.9 * known.fill_rate, "shelf.on_hand": known.on_hand}
    return Case(f"lost_sales_{base_stock}", text, exact, 40_000, 1000, {"shelf.on_hand": 0.01})


CASES = (
    ranked("static", "priority", (0, 2, 1)),
    ranked("cmu", "cmu", tuple(q.c_mu(CLASSES))),
    ranked("spt", "spt", (2, 0, 1)),
    interrupted("repeats"),
    interrupted("scrapped"),
    lost_sales(1),
    lost_sales(6),
)
