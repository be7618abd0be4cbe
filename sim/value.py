"""Operating cost: the part of the money that decisions can change in the long run.

Cash inside a short horizon misleads: ordering less material "saves" its price, shipping a waiting order an hour
sooner "earns" its revenue. So material bought is counted as value held, and the margin of an order is booked when the
customer orders it (unmet orders wait, so every one of them is met in the end). What remains is holding, backlog,
the cost of placing orders and scrap with the material in it; where nobody orders (a product that leaves the plant when
finished), also minus the margin of what is finished. `tests/agents/test_value.py` proves the identity

    operating cost = cash cost - change of value held + margin x units demanded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.plant import Plant

if TYPE_CHECKING:
    from sim.compile import Compiled


@dataclass(frozen=True, slots=True)
class Term:
    """`coefficient` units of money for each unit of accumulator `field[index]`; `kind` and `thing` name it for
    people.
    """

    kind: str  # holding | backlog | ordering | scrap | margin
    thing: str
    field: str
    index: int
    coefficient: float


def material_cost(plant: Plant) -> dict[str, float]:
    """Price of the material that one part of each product takes from supplied stocks."""
    price = {stock.id: stock.price for stock in plant.stocks if stock.source != "line"}
    return {p.id: sum(n * price.get(stock, 0.0) for stock, n in p.release.consumes) for p in plant.products}


def unit_values(plant: Plant) -> list[tuple[float, float]]:
    """(value of a unit held, revenue of a unit shipped) of every stock, in file order."""
    material = material_cost(plant)
    revenue = {p.id: p.revenue for p in plant.products}
    return [
        (material.get(s.item, 0.0), revenue.get(s.item, 0.0)) if s.source == "line" else (s.price, 0.0)
        for s in plant.stocks
    ]


def operating_terms(plant: Plant) -> list[Term]:
    """Everything that operating cost is made of; terms with coefficient 0 are left out."""
    material = material_cost(plant)
    stocked = {s.item for s in plant.stocks if s.source == "line"}
    terms = [Term("holding", s.buffer or s.id, "q_area", i, s.holding) for i, s in enumerate(plant.stations)]
    for i, stock in enumerate(plant.stocks):
        terms.append(Term("holding", stock.id, "on_hand_area", i, stock.holding))
        backlog = sum(d.backlog for d in plant.demands if d.stock == stock.id)
        terms.append(Term("backlog", stock.id, "backorder_area", i, backlog))
        terms.append(Term("ordering", stock.id, "orders", i, stock.order_cost))
    for i, product in enumerate(plant.products):
        terms.append(Term("scrap", product.id, "scrapped", i, product.scrap_cost + material[product.id]))
        if product.id not in stocked:
            terms.append(Term("margin", product.id, "finished", i, material[product.id] - product.revenue))
    return [term for term in terms if term.coefficient != 0.0]


def operating_weights(compiled: Compiled) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(offsets[K] into the row, coefficients[K]): operating cost between two moments of one row without `clear_stats`
    in between is `(after[offsets] - before[offsets]) @ coefficients`, in the plant's currency.
    """
    terms = operating_terms(compiled.plant)
    offsets = np.array([compiled.layout.at(t.field, t.index) for t in terms], dtype=np.int64)
    return offsets, np.array([t.coefficient for t in terms], dtype=np.float64)


def operating_cost(before: NDArray[np.int64], after: NDArray[np.int64], compiled: Compiled) -> NDArray[np.float64]:
    """Operating cost of rows [..., W] between two moments, in the plant's currency."""
    offsets, coefficients = operating_weights(compiled)
    # not a matrix product: its order of summation depends on the number of rows, and so would the last bit
    return np.asarray(((after[..., offsets] - before[..., offsets]) * coefficients).sum(axis=-1))
