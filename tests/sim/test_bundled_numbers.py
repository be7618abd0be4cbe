"""The numbers that the bundled plants of theory state in their first comment, computed from their own parameters."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from sim import distributions
from sim.plant import Dist, Plant
from sim.plantfile import load
from sim.quantities import mean

HOUR, DAY = 3_600_000, 86_400
"""Ticks of an hour at 1 ms and of a day at 1 s."""


def numbers(plant: Plant) -> str:
    return plant.question + (plant.path.read_text(encoding="utf-8") if plant.path is not None else "")


def test_mm3_waits_as_erlang_says() -> None:
    plant = load("mm3")
    work = distributions.mean(plant.products[0].steps[0].work)
    arrivals = plant.products[0].release.arrivals
    assert arrivals is not None
    load_, c = work / distributions.mean(arrivals), plant.stations[0].units
    last = load_**c / math.factorial(c) * c / (c - load_)
    delayed = last / (sum(load_**k / math.factorial(k) for k in range(c)) + last)
    wait = delayed / (c - load_)  # in mean work times
    assert f"wait {wait:.3f}, flow time {wait + 1:.3f}" in numbers(plant)


def test_machine_repair_runs_as_the_finite_source_queue() -> None:
    plant = load("machine_repair")
    mode, units = plant.stations[0].modes[0], plant.stations[0].units
    assert mode.after is not None
    ratio = distributions.mean(mode.repair) / distributions.mean(mode.after)
    running = []
    for crew in (1, 2):
        weights = [1.0]
        for down in range(units):
            weights.append(weights[-1] * (units - down) * ratio / min(down + 1, crew))
        running.append(sum((units - down) * w for down, w in enumerate(weights)) / sum(weights))
    assert f"({running[0]:.2f} of them run with one, {running[1]:.2f} with two)" in numbers(plant)


def test_conwip4_has_the_best_cap_it_states() -> None:
    plant = load("conwip4")
    part, control = plant.products[0], plant.controls[0]
    minute = 60_000
    gain = {w: part.revenue * w / (w + 3) - part.holding * minute * w for w in range(control.low, control.high + 1)}
    assert f"the best cap is {max(gain, key=lambda w: gain[w])}" in numbers(plant)


State = tuple[int, int, int]
Move = tuple[float, State, float]
"""Probability, next state, cost."""


def average(start: State, step: Callable[[State], list[Move]]) -> float:
    """Long-run cost a period of a finite chain; `step` gives (probability, next state, cost)."""
    index, queue = {start: 0}, [start]
    moves = []
    for state in queue:
        options = step(state)
        for probability, after, cost in options:
            if after not in index:
                index[after] = len(index)
                queue.append(after)
            moves.append((index[state], index[after], probability, cost))
    n = len(index)
    matrix, costs = np.zeros((n, n)), np.zeros(n)
    for a, b, probability, cost in moves:
        matrix[a, b] += probability
        costs[a] += probability * cost
    left = np.vstack([matrix.T - np.eye(n), np.ones(n)])
    stationary = np.linalg.lstsq(left, np.append(np.zeros(n), 1.0), rcond=None)[0]
    return float(stationary @ costs)


def test_lost_sales_has_the_best_base_stock_level_it_states() -> None:
    plant = load("lost_sales")
    stock, demand = plant.stocks[0], plant.demands[0]
    assert mean(demand.quantity) == pytest.approx(5)

    def cost(level: int) -> float:
        def step(state: State) -> list[Move]:
            """State: on hand, what comes now and in the next period; ordered first, then received, then sold."""
            on_hand, now, then = state
            order = max(level - on_hand - now - then, 0)
            here = on_hand + now
            result: list[Move] = []
            for units, probability in demand.quantity:
                left = max(here - units, 0)
                money = stock.holding * DAY * left + demand.lost_cost * max(units - here, 0)
                result.append((probability, (left, then, order), money))
            return result

        return average((level, 0, 0), step)

    costs = {level: cost(level) for level in range(14, 19)}
    best = min(costs, key=lambda level: costs[level])
    assert stock.level == best
    assert f"level is {best} and costs {costs[best]:.2f} a day" in numbers(plant)


def test_dual_sourcing_has_the_best_dual_index_levels_it_states() -> None:
    plant = load("dual_sourcing")
    stock, demand = plant.stocks[0], plant.demands[0]
    assert stock.express is not None
    dearer = stock.express.price - stock.price

    def cost(at_once: int, in_all: int) -> float:
        def step(state: State) -> list[Move]:
            """State: on hand less owed, what comes now and tomorrow from the cheap source."""
            net, now, then = state
            express = max(at_once - net - now, 0)
            order = max(in_all - net - now - then - express, 0)
            result: list[Move] = []
            for units, probability in demand.quantity:
                left = net + now + express - units
                money = (stock.holding * max(left, 0) + demand.backlog * max(-left, 0)) * DAY + dearer * express
                result.append((probability, (left, then, order), money))
            return result

        return average((at_once, 0, 0), step)

    costs = {(e, r): cost(e, r) for e in range(2, 6) for r in range(6, 11) if r >= e}
    best = min(costs, key=lambda pair: costs[pair])
    assert (stock.express.level, stock.level) == best
    assert f"about {costs[best]:.1f} EUR a day" in numbers(plant)


def test_cmu3_orders_its_products_as_it_states() -> None:
    plant = load("cmu3")
    hour = 3600.0 / plant.tick_s
    index = {p.id: p.holding * hour / (distributions.mean(p.steps[0].work) / hour) for p in plant.products}
    order = sorted(index, key=lambda name: -index[name])
    assert f"{', '.join(order)} is the best order" in numbers(plant)
    assert sorted(index, key=lambda n: distributions.mean(load_of(plant, n))) != order
    assert "Cost over mean work is " + ", ".join(f"{index[n]:.2g}" for n in "ab") in numbers(plant)


def load_of(plant: Plant, name: str) -> Dist:
    return next(p.steps[0].work for p in plant.products if p.id == name)


def test_make_to_stock_has_the_rates_it_states() -> None:
    plant = load("make_to_stock")
    machine = plant.stations[0]
    condition = machine.condition
    assert condition is not None
    broken, planned = machine.modes

    def rate(dist: Dist | None) -> float:
        """Events an hour."""
        return 0.0 if dist is None else 3600 / plant.tick_s / distributions.mean(dist)

    work = rate(plant.products[0].steps[0].work)
    assert [work / slow for slow in condition.slow] == pytest.approx([1.1, 1.1, 1.0, 0.9, 0.7])
    assert [rate(d) for d in condition.wear] == pytest.approx([0.08, 0.1, 0.12, 0.15, 0.22])
    assert [rate(d) for d in condition.fails] == pytest.approx([0, 0.003, 0.01, 0.03, 0.09])
    assert (rate(planned.repair), rate(broken.repair)) == pytest.approx((0.22, 0.07))
    assert (planned.cost, broken.cost) == (7.0, 55.0)
    assert rate(plant.demands[0].arrivals) == pytest.approx(0.7)
    customers = plant.demands[0]
    assert (customers.most, customers.lost_cost) == (12, 35.0)
    assert customers.backlog * 3600 / plant.tick_s == pytest.approx(5)
