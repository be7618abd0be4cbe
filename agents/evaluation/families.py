"""Operating cost by family of products: a policy that is better on the whole may be worse for one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.traits import end_products
from sim.value import Term, cost_between, lanes_of, operating_terms

if TYPE_CHECKING:
    from sim.compile import Compiled
    from sim.plant import Plant

Rows = NDArray[np.int64]
SHARED = "shared"
"""Whatever serves several families: stations, energy, repairs, material that is bought, components."""
OF_PRODUCT = ("wip_area", "tardy_sum", "scrapped", "finished")
OF_STOCK = ("on_hand_area", "transit_area", "shipped")
OF_DEMAND = ("waiting_area", "late_sum", "lost_units")
OF_LANE = ("orders", "ordered")


def family_of(plant: Plant, term: Term) -> str:
    """The family (of the product's, or its id) that a part of the cost belongs to, or `SHARED`."""
    if term.field in OF_PRODUCT:
        item = plant.products[term.index].id
    elif term.field in OF_STOCK:
        item = plant.stocks[term.index].item
    elif term.field in OF_DEMAND:
        item = next(s.item for s in plant.stocks if s.id == plant.demands[term.index].stock)
    elif term.field in OF_LANE:
        item = lanes_of(plant)[term.index][0].item
    else:
        return SHARED
    sold = {plant.products[i].id: plant.products[i].family or plant.products[i].id for i in end_products(plant)}
    return sold.get(item, SHARED)


class Families:
    """The families of a plant by `names`, `SHARED` last where there is such a cost."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        parts: dict[str, list[Term]] = {}
        for term in operating_terms(compiled.plant):
            parts.setdefault(family_of(compiled.plant, term), []).append(term)
        self.names = tuple(sorted(parts, key=lambda name: name == SHARED))
        self._terms = [parts[name] for name in self.names]

    def cost(self, before: Rows, after: Rows) -> NDArray[np.float64]:
        """Operating cost [families, R] of rows [R, W] between two moments, in the plant's currency."""
        found = [cost_between(before, after, self.compiled, terms) for terms in self._terms]
        return np.array(found) if found else np.zeros((0, len(before)))
