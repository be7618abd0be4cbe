"""How much more orders vary than demand: Var(order) / Var(demand) of order-up-to policies.

Source: Chen, Drezner, Ryan and Simchi-Levi, "Quantifying the bullwhip effect in a simple supply chain", Management
Science 46 (2000); for smoothing Chen, Ryan and Simchi-Levi, Naval Research Logistics 47 (2000). At the end of period
t - 1 the level is y_t = L * forecast of a period + safety stock, the order q_t = y_t - y_{t-1} + D_{t-1}. L counts the
review period. Demand is AR(1) with correlation rho. With a constant safety stock the figures are exact; with one that
follows an estimated deviation they are the paper's lower bound.
"""

from __future__ import annotations


def known_mean() -> float:
    """A level that never moves orders what was demanded."""
    return 1.0


def moving_average(lead: float, window: int, rho: float = 0.0) -> float:
    """1 + (2 L / p + 2 L^2 / p^2) (1 - rho^p) for a forecast that is the mean of the last p = `window` demands."""
    share = lead / window
    return 1 + (2 * share + 2 * share**2) * (1 - rho**window)


def smoothing(lead: float, weight: float) -> float:
    """1 + 2 L a + 2 L^2 a^2 / (2 - a) for exponential smoothing with weight a, independent demands."""
    return 1 + 2 * lead * weight + 2 * lead**2 * weight**2 / (2 - weight)


def shared_demand(leads: tuple[float, ...], window: int) -> float:
    """Last stage of a chain in which every stage sees the customers' demand: as one stage with all lead times."""
    return moving_average(sum(leads), window)


def orders_only(leads: tuple[float, ...], window: int) -> float:
    """Lower bound at the last stage of a chain in which every stage sees only the orders of the one before it."""
    ratio = 1.0
    for lead in leads:
        ratio *= moving_average(lead, window)
    return ratio
