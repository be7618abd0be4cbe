"""Stock points under every ordering policy against exact inventory theory. Times are in days."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sim
from tests.oracles import inventory, lost_sales, multiechelon, ss_policy
from tests.oracles.inventory import Figures
from tests.theory.compare import Case
from tests.theory.plants import HEAD

DAY = 86_400.0
RATE, LEAD, EVERY = 2.0, 2.5, 3.0
SINGLE = "arrivals: poisson(2/d)"
SHARP = {"shelf.fill_rate": 0.0075, "shelf.on_hand": 0.0075, "shelf.backorders": 0.03, "shelf.order_rate": 0.0075}


def supplied(policy: str, demand: str, lead: str = "2.5 d", initial: int = 6, more: str = "") -> str:
    """One stock that a supplier fills and customers empty."""
    head = HEAD.format(tick="1 s", unlimited=100).replace("time_unit: s", "time_unit: d")
    return head + "\n".join(
        (
            f"suppliers: {{maker: {{lead: constant({lead})}}}}",
            "stocks:",
            f"  shelf: {{item: unit, from: maker, policy: {{{policy}}}, initial: {initial}{more}}}",
            f"demand: {{customer: {{stock: shelf, {demand}}}}}\n",
        )
    )


def stock_case(name: str, text: str, known: Figures, days: float = 4000, sharp: dict[str, float] | None = None) -> Case:
    """Every figure of a stock point that is not 0."""
    exact = {
        "shelf.on_hand": known.on_hand, "shelf.backorders": known.backorders, "shelf.fill_rate": known.fill_rate,
        "shelf.order_rate": known.order_rate,
    }  # fmt: skip
    exact = {figure: value for figure, value in exact.items() if value > 0}
    return Case(f"supply_{name}", text, exact, days * DAY, 60 * DAY, SHARP | (sharp or {}))


def _batches() -> Case:
    """(s, S) when customers ask for one, two or three units."""
    size = np.array([0.0, 0.5, 0.3, 0.2])
    text = supplied("kind: s_S, reorder: 6, level: 14", f"{SINGLE}, quantity: {{1: 50 %, 2: 30 %, 3: 20 %}}")
    return stock_case("ss_batches", text, ss_policy.continuous(6, 14, RATE, size, LEAD), 6000)


def _lost_over_time() -> Case:
    """Lost sales, demand in single units: stock over the time within a period, not at its end."""
    model = lost_sales.LostSales(5.0, 2, 1.0, 4.0, 32, 16)
    orders = lost_sales.capped_base_stock(model, 16, 16)
    text = supplied("level: 16, every: 1 d", "arrivals: poisson(5/d), unmet: lost", "2 d", 10)
    fill = 1 - lost_sales.lost(model, orders) / model.mean
    exact = {"shelf.on_hand": lost_sales.time_on_hand(model, orders), "shelf.fill_rate": fill}
    return Case("supply_lost_over_time", text, exact, 3000 * DAY, 60 * DAY, SHARP)


def _serial() -> Case:
    """The bundled chain of three: each stage's stock, what the customers wait for, and the cost of a day.

    Goods on their way are not charged here; the oracle's cost charges them what they cost where they come from.
    """
    system, levels = multiechelon.poisson_serial((5.0, 5.0, 10.0), (1.0, 1.0, 1.0), 20.0), (9, 15, 26)
    shop, warehouse, depot = multiechelon.stages(system, levels)
    exact = {
        "shop.on_hand": shop.on_hand, "warehouse.on_hand": warehouse.on_hand, "depot.on_hand": depot.on_hand,
        "shop.backorders": shop.backorders, "shop.fill_rate": shop.fill_rate,
        "cost_rate": multiechelon.cost(system, levels) - (1.0 + 2.0) * 5.0,
    }  # fmt: skip
    sharp = {"shop.on_hand": 0.01, "shop.backorders": 0.04, "warehouse.on_hand": 0.01, "depot.on_hand": 0.01}
    return Case("supply_serial3", bundled("serial_supply3"), exact, 5000 * DAY, 60 * DAY, sharp | {"cost_rate": 0.01})


def bundled(name: str) -> str:
    """Text of a plant that comes with plantwin."""
    return (Path(sim.__file__).parent / "plants" / f"{name}.yaml").read_text(encoding="utf-8")


CASES = (
    stock_case(
        "r_q",
        supplied("kind: r_Q, reorder: 5, quantity: 6", SINGLE),
        inventory.reorder_point(5, 6, RATE, LEAD),
        8000,
    ),
    stock_case(
        "r_q_periodic",
        supplied("kind: r_Q, reorder: 8, quantity: 4, every: 3 d", SINGLE),
        inventory.reorder_point_periodic(8, 4, RATE, LEAD, EVERY),
        8000,
    ),
    stock_case(
        "ss_periodic",
        supplied("kind: s_S, reorder: 9, level: 17, every: 3 d", SINGLE, initial=17),
        ss_policy.periodic(9, 17, RATE, LEAD, EVERY),
        8000,
        {"shelf.backorders": 0.06},
    ),
    _batches(),
    stock_case(
        "lost",
        supplied("level: 5", f"{SINGLE}, unmet: lost", initial=5),
        inventory.base_stock_lost(5, RATE, LEAD),
        8000,
    ),
    _lost_over_time(),
    _serial(),
)
