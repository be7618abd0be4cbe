"""Money of a run as sums of accumulators: one list of terms for cash and for operating cost.

Cash is what was spent less what was earned. Inside a short horizon it misleads: ordering less material "saves" its
price, shipping a waiting order an hour sooner "earns" its revenue. Operating cost is the part that decisions can change
in the long run: material bought counts as value held, and the margin of an order is booked when the customer orders it
(an order that is lost loses it again). What remains is holding, backlog, tardiness, the cost of placing orders, setups,
repairs, overtime, energy, and scrap with the material in it; where nobody orders (a product that leaves the plant when
finished), also minus the margin of what is finished. `tests/agents/test_value.py` proves the identity

    operating cost = cash cost - change of value held + margin x units demanded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.plant import Express, Plant, Stock

if TYPE_CHECKING:
    from sim.compile import Compiled

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Term:
    """`coefficient` units of money for each unit of accumulator `field[index]`; `kind` and `thing` name it for
    people.
    """

    kind: str
    """One of holding, backlog, tardiness, ordering, setup, repair, overtime, energy, purchase, scrap, lost, revenue,
    margin.
    """
    thing: str
    field: str
    index: int
    coefficient: float


def lanes_of(plant: Plant) -> list[tuple[Stock, Stock | Express]]:
    """(stock, terms of the lane) of every supply lane, in the order of the row: regular ones, then express ones."""
    regular: list[tuple[Stock, Stock | Express]] = [(k, k) for k in plant.stocks if k.source != "line"]
    return regular + [(k, k.express) for k in plant.stocks if k.express is not None]


def _visits(plant: Plant, index: int) -> NDArray[np.float64]:
    """Expected number of times a unit of a product undergoes each of its operations."""
    steps = plant.products[index].steps
    onward = np.zeros((len(steps), len(steps)))
    for i, step in enumerate(steps):
        for target, probability in step.next:
            if target >= 0:
                onward[i, target] += probability
    first = np.zeros(len(steps))
    first[0] = 1.0
    return np.asarray(np.linalg.solve(np.eye(len(steps)) - onward.T, first))


def _worth(plant: Plant) -> tuple[dict[str, float], dict[str, float]]:
    """(material in a unit of each product, value of a unit in each stock), from the prices of the regular lanes up
    through all that is made of it. Parts of parts are reached in as many rounds as there are products.
    """
    material = {p.id: 0.0 for p in plant.products}
    stocks = {k.id: k for k in plant.stocks}

    def value(stock: Stock, depth: int = 0) -> float:
        if stock.source == "line":
            return material.get(stock.item, 0.0)
        deeper = stock.source in stocks and depth <= len(stocks)
        return stock.price + (value(stocks[stock.source], depth + 1) if deeper else 0.0)

    for _ in plant.products:
        values = {k.id: value(k) for k in plant.stocks}
        material = {p.id: _material(plant, i, values) for i, p in enumerate(plant.products)}
    return material, {k.id: value(k) for k in plant.stocks}


def _material(plant: Plant, index: int, values: dict[str, float]) -> float:
    product = plant.products[index]
    total = sum(n * values.get(stock, 0.0) for stock, n in product.release.consumes)
    if any(step.needs for step in product.steps):
        times = _visits(plant, index)
        needs = ((j, need) for j, step in enumerate(product.steps) for need in step.needs)
        total += sum(float(times[j]) * n * values.get(stock, 0.0) for j, (stock, n) in needs)
    return total


def material_cost(plant: Plant) -> dict[str, float]:
    """Price of the bought material in one unit of each product: what its release consumes and what its operations need,
    as often as its routing lets expect, components made here too. (Scrap is charged the whole, whenever it leaves.)
    """
    return _worth(plant)[0]


def unit_values(plant: Plant) -> list[tuple[float, float]]:
    """(value of a unit held, revenue of a unit shipped) of every stock, in file order. A stock supplied from another
    one is worth what that one's units are, plus the price of the lane between them.
    """
    revenue = {p.id: p.revenue for p in plant.products}
    values = _worth(plant)[1]
    return [(values[k.id], revenue.get(k.item, 0.0)) for k in plant.stocks]


def _holding(plant: Plant) -> Iterable[Term]:
    charged = plant.conventions.get("pipeline_holding") == "charged"
    for i, s in enumerate(plant.stations):
        yield Term("holding", s.buffer or s.id, "q_area", i, s.holding)
    for i, k in enumerate(plant.stocks):
        yield Term("holding", k.id, "on_hand_area", i, k.holding)
        yield Term("holding", k.id, "transit_area", i, k.holding if charged else 0.0)
    for i, p in enumerate(plant.products):
        yield Term("holding", p.id, "wip_area", i, p.holding)


def _customers(plant: Plant) -> Iterable[Term]:
    for i, d in enumerate(plant.demands):
        only = sum(other.stock == d.stock for other in plant.demands) == 1
        yield Term("backlog", d.stock if only else d.id, "waiting_area", i, d.backlog)
        yield Term("tardiness", d.id, "late_sum", i, d.tardiness)
    for i, p in enumerate(plant.products):
        yield Term("tardiness", p.id, "tardy_sum", i, p.tardiness)


def _running(plant: Plant) -> Iterable[Term]:
    """Setups, repairs, overtime, energy."""
    clock = 0
    for i, s in enumerate(plant.stations):
        yield Term("setup", s.id, "set_ups", i, s.setup_cost)
        for _ in range(s.units):
            for mode in s.modes:
                yield Term("repair", s.id if mode.id == "failure" else f"{s.id} {mode.id}", "begun", clock, mode.cost)
                clock += 1
    for i, c in enumerate(plant.calendars):
        yield Term("overtime", c.id, "overtime_ticks", i, c.overtime_cost)
    if plant.tariff is not None:
        for i, price in enumerate(plant.tariff.prices):
            yield Term("energy", f"band {i + 1}", "energy", i, price * kwh(plant))


def kwh(plant: Plant) -> float:
    """Kilowatt-hours in a watt-tick."""
    return plant.tick_s / HOUR_S / 1000.0


def _common(plant: Plant) -> list[Term]:
    """What counts in cash and in operating cost alike."""
    terms = [*_holding(plant), *_customers(plant)]
    terms += [Term("ordering", k.id, "orders", i, lane.order_cost) for i, (k, lane) in enumerate(lanes_of(plant))]
    return terms + list(_running(plant))


def _some(terms: Iterable[Term]) -> list[Term]:
    return [term for term in terms if term.coefficient != 0.0]


def cash_terms(plant: Plant) -> list[Term]:
    """Money spent less money earned; revenue at shipment, or at completion where no stock holds the product. Terms with
    coefficient 0 are left out.
    """
    terms = _common(plant)
    terms += [Term("purchase", k.id, "ordered", i, lane.price) for i, (k, lane) in enumerate(lanes_of(plant))]
    terms += [Term("lost", d.id, "lost_units", i, d.lost_cost) for i, d in enumerate(plant.demands)]
    stocked = {k.item for k in plant.stocks if k.source == "line"}
    for i, p in enumerate(plant.products):
        terms.append(Term("scrap", p.id, "scrapped", i, p.scrap_cost))
        if p.id not in stocked:
            terms.append(Term("revenue", p.id, "finished", i, -p.revenue))
    for k, (_, revenue) in enumerate(unit_values(plant)):
        if plant.stocks[k].item in stocked:
            terms.append(Term("revenue", plant.stocks[k].id, "shipped", k, -revenue))
    return _some(terms)


def operating_terms(plant: Plant) -> list[Term]:
    """Everything that operating cost is made of; terms with coefficient 0 are left out."""
    material, values = material_cost(plant), unit_values(plant)
    stocked = {k.item for k in plant.stocks if k.source == "line"}
    at = {k.id: i for i, k in enumerate(plant.stocks)}
    terms = _common(plant)
    for i, (k, lane) in enumerate(lanes_of(plant)):
        # a dearer lane pays more than the unit is then worth; the regular one pays just that
        above = lane.price - (values[at[k.id]][0] - (values[at[lane.source]][0] if lane.source in at else 0.0))
        terms.append(Term("purchase", k.id, "ordered", i, above if abs(above) > 1e-9 else 0.0))
    for i, d in enumerate(plant.demands):
        value, revenue = values[at[d.stock]]
        margin = revenue - value if d.can_lose else 0.0
        terms.append(Term("lost", d.id, "lost_units", i, d.lost_cost + margin))
    for i, p in enumerate(plant.products):
        terms.append(Term("scrap", p.id, "scrapped", i, p.scrap_cost + material[p.id]))
        if p.id not in stocked:
            terms.append(Term("margin", p.id, "finished", i, material[p.id] - p.revenue))
    return _some(terms)


def weights(compiled: Compiled, terms: Sequence[Term]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(positions[K] in the row, coefficients[K]) of terms: their money between two moments of one row without
    `clear_stats` in between is `(after[positions] - before[positions]) @ coefficients`, in the plant's currency.
    """
    positions = np.array([compiled.layout.at(t.field, t.index) for t in terms], dtype=np.int64)
    return positions, np.array([t.coefficient for t in terms], dtype=np.float64)


def operating_weights(compiled: Compiled) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(positions[K], coefficients[K]) of operating cost."""
    return weights(compiled, operating_terms(compiled.plant))


def cost_between(
    before: NDArray[np.int64], after: NDArray[np.int64], compiled: Compiled, terms: Sequence[Term]
) -> NDArray[np.float64]:
    """Money of the terms between two moments of rows [..., W], in the plant's currency."""
    positions, coefficients = weights(compiled, terms)
    # not a matrix product: its order of summation depends on the number of rows, and so would the last bit
    return np.asarray(((after[..., positions] - before[..., positions]) * coefficients).sum(axis=-1))


def operating_cost(before: NDArray[np.int64], after: NDArray[np.int64], compiled: Compiled) -> NDArray[np.float64]:
    """Operating cost of rows [..., W] between two moments, in the plant's currency."""
    return cost_between(before, after, compiled, operating_terms(compiled.plant))
