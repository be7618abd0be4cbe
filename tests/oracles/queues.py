"""Single-station queues in the long run.

Sources: Kleinrock, "Queueing Systems I" (1975), chapters 3 and 5; Gross, Shortle, Thompson and Harris, "Fundamentals
of Queueing Theory" (2008); Cobham, "Priority assignment in waiting line problems", Operations Research 2 (1954); Cox
and Smith, "Queues" (1961) for the c-mu order; White and Christie, "Queuing with preemptive priorities or with
breakdown", Operations Research 6 (1958) for a server that fails while it works. Rates are per unit of time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq


@dataclass(frozen=True, slots=True)
class Queue:
    """Mean wait before service, mean flow time, mean parts waiting, mean parts in the system."""

    wait: float
    flow_time: float
    queue: float
    wip: float


def from_wait(arrival: float, service_mean: float, wait: float) -> Queue:
    """Little's law applied to the queue and to the system."""
    return Queue(wait, wait + service_mean, arrival * wait, arrival * (wait + service_mean))


def mm1(arrival: float, service: float) -> Queue:
    """M/M/1: L = rho / (1 - rho)."""
    load = _stable(arrival / service)
    return from_wait(arrival, 1 / service, load / (service - arrival))


def mmc(arrival: float, service: float, servers: int) -> Queue:
    """M/M/c: Wq = C(c, a) / (c mu - lambda), C by the recursion of Erlang's B: C = B / (1 - rho (1 - B))."""
    load = _stable(arrival / (servers * service))
    lost = erlang_b(arrival / service, servers)
    delayed = lost / (1 - load * (1 - lost))
    return from_wait(arrival, 1 / service, delayed / (servers * service - arrival))


def erlang_b(offered: float, servers: int) -> float:
    """Share lost of M/G/c/c: B(n) = a B(n-1) / (n + a B(n-1)), whatever the distribution of service."""
    lost = 1.0
    for n in range(1, servers + 1):
        lost = offered * lost / (n + offered * lost)
    return lost


def mg1(arrival: float, mean: float, cv: float) -> Queue:
    """M/G/1 (Pollaczek-Khinchine): Wq = lambda E[S^2] / (2 (1 - rho)), E[S^2] = mean^2 (1 + cv^2)."""
    load = _stable(arrival * mean)
    return from_wait(arrival, mean, arrival * mean**2 * (1 + cv**2) / (2 * (1 - load)))


def md1(arrival: float, mean: float) -> Queue:
    """M/D/1: half the wait of M/M/1."""
    return mg1(arrival, mean, 0.0)


def gm1(transform: Callable[[float], float], arrival: float, service: float) -> Queue:
    """GI/M/1: Wq = sigma / (mu (1 - sigma)), sigma the root in (0, 1) of sigma = A*(mu (1 - sigma)).

    `transform` is the Laplace-Stieltjes transform A* of the time between arrivals.
    """
    _stable(arrival / service)
    root = float(brentq(lambda x: transform(service * (1 - x)) - x, 0.0, 1 - 1e-9, xtol=1e-14))
    return from_wait(arrival, 1 / service, root / (service * (1 - root)))


def with_breakdowns(mean: float, cv: float, fail: float, repair_mean: float, repair_cv: float) -> tuple[float, float]:
    """Mean and cv of the time a part occupies a server that fails at rate `fail` of working time and resumes.

    E[C] = E[S] (1 + fail E[R]); Var[C] = (1 + fail E[R])^2 Var[S] + E[S] fail E[R^2].
    """
    stretch = 1 + fail * repair_mean
    variance = (stretch * mean * cv) ** 2 + mean * fail * repair_mean**2 * (1 + repair_cv**2)
    return mean * stretch, float(np.sqrt(variance)) / (mean * stretch)


def with_repeats(unfailed: float, fail: float, repair_mean: float) -> float:
    """Mean time to one good part of a saturated server whose work is drawn anew after every failure.

    `unfailed` is E[exp(-fail S)], the chance that a work ends before the failure. It takes 1 / unfailed attempts, each
    of (1 - unfailed) / fail at work on average: E[C] = (1 / unfailed - 1) (1 / fail + E[R]). A server that scraps the
    part instead makes as many good ones, and 1 / unfailed - 1 scrapped ones to each of them.
    """
    return (1 / unfailed - 1) * (1 / fail + repair_mean)


@dataclass(frozen=True, slots=True)
class Class:
    """A class of parts: arrivals per unit of time, mean and cv of service, cost of a unit of time in the system."""

    arrival: float
    mean: float
    cv: float
    cost: float = 1.0


def cobham(classes: Sequence[Class]) -> list[float]:
    """Mean waits of M/G/1 with non-preemptive priorities; `classes[0]` goes first.

    W_k = W_0 / ((1 - s_{k-1}) (1 - s_k)), W_0 = sum lambda_i E[S_i^2] / 2, s_k = rho_1 + ... + rho_k.
    """
    residual = sum(c.arrival * c.mean**2 * (1 + c.cv**2) for c in classes) / 2
    waits, before = [], 0.0
    for c in classes:
        upto = _stable(before + c.arrival * c.mean)
        waits.append(residual / ((1 - before) * (1 - upto)))
        before = upto
    return waits


def holding_rate(classes: Sequence[Class], order: Sequence[int]) -> float:
    """Cost per unit of time of parts in the system when classes are served in this order of priority."""
    ranked = [classes[i] for i in order]
    return sum(c.cost * c.arrival * (w + c.mean) for c, w in zip(ranked, cobham(ranked), strict=True))


def c_mu(classes: Sequence[Class]) -> list[int]:
    """Classes in decreasing order of cost over mean service: the best static, non-preemptive order."""
    return sorted(range(len(classes)), key=lambda i: -classes[i].cost / classes[i].mean)


def best_order(classes: Sequence[Class]) -> tuple[int, ...]:
    """The cheapest order of priority, by trying them all."""
    return min(permutations(range(len(classes))), key=lambda order: holding_rate(classes, order))


def birth_death(births: Sequence[float], deaths: Sequence[float]) -> NDArray[np.float64]:
    """Stationary probabilities of states 0..n: births[i] from i to i + 1, deaths[i] from i + 1 to i."""
    ratios = np.divide(np.asarray(births, dtype=float), np.asarray(deaths, dtype=float))
    weights = np.concatenate([[1.0], np.cumprod(ratios)])
    return np.asarray(weights / weights.sum(), dtype=float)


@dataclass(frozen=True, slots=True)
class Loss:
    """Share of arrivals lost, accepted per unit of time, mean waiting and in the system, mean times of the accepted."""

    lost: float
    throughput: float
    queue: float
    wip: float
    wait: float
    flow_time: float


def mmck(arrival: float, service: float, servers: int, places: int) -> Loss:
    """M/M/c/K: at most `places` parts in the system (in service included), arrivals that find it full are lost."""
    deaths = [service * min(n, servers) for n in range(1, places + 1)]
    chance = birth_death([arrival] * places, deaths)
    n = np.arange(places + 1)
    queue, wip = float(chance @ np.maximum(n - servers, 0)), float(chance @ n)
    rate = arrival * (1 - float(chance[-1]))
    return Loss(float(chance[-1]), rate, queue, wip, queue / rate, wip / rate)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Share of demand met at once, mean units on hand, mean units backordered."""

    fill_rate: float
    on_hand: float
    backorders: float


def make_to_stock(demand: float, service: float, base_stock: int) -> Shelf:
    """M/M/1 that refills a shelf up to `base_stock`, unmet demand waiting (Buzacott and Shanthikumar 1993, chapter 4).

    Units missing from the shelf are the parts N of M/M/1: fill rate P(N < S) = 1 - rho^S, on hand E[(S - N)+] =
    S - (rho - rho^(S + 1)) / (1 - rho), backorders E[(N - S)+] = rho^(S + 1) / (1 - rho).
    """
    load = _stable(demand / service)
    short = load**base_stock
    on_hand = base_stock - load * (1 - short) / (1 - load)
    return Shelf(1 - short, on_hand, short * load / (1 - load))


def make_to_stock_with_loss(demand: float, service: float, base_stock: int) -> Shelf:
    """The same where unmet demand is lost: the parts are those of M/M/1/S."""
    found = mmck(demand, service, 1, base_stock)
    return Shelf(1 - found.lost, base_stock - found.wip, 0.0)


@dataclass(frozen=True, slots=True)
class Interference:
    """Units of a finite source: mean that work, mean that are down, mean that wait for a repairer, busy repairers."""

    working: float
    down: float
    waiting: float
    busy: float


def finite_source(units: int, fail: float, repair: float, crew: int) -> Interference:
    """Machine interference M/M/crew//units: each working unit fails at rate `fail`; repairs take 1 / `repair`."""
    births = [fail * (units - n) for n in range(units)]
    chance = birth_death(births, [repair * min(n, crew) for n in range(1, units + 1)])
    n = np.arange(units + 1)
    down, busy = float(chance @ n), float(chance @ np.minimum(n, crew))
    return Interference(units - down, down, down - busy, busy)


def machine_repair_sum(units: int, fail: float, repair: float) -> float:
    """Mean working units with one repairer by Palm's closed sum (Erlang B with load repair / fail)."""
    load = repair / fail
    weights = [prod([load] * k) / prod(range(1, k + 1)) for k in range(units + 1)]
    return load * (1 - weights[-1] / sum(weights))


def _stable(load: float) -> float:
    if not 0 < load < 1:
        raise ValueError(f"load {load:.4g}: a queue settles only between 0 and 1")
    return load
