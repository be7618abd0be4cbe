"""Networks of exponential stations in the long run, and the laws of the Penny Fab.

Sources: Jackson, "Networks of waiting lines", Operations Research 5 (1957); Gordon and Newell, "Closed queuing systems
with exponential servers", Operations Research 15 (1967); Reiser and Lavenberg, "Mean-value analysis of closed
multichain queuing networks", Journal of the ACM 27 (1980), with marginal probabilities for several servers; Hopp and
Spearman, "Factory Physics" (2008), chapter 7. Rates are per unit of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.oracles.queues import mmc


@dataclass(frozen=True, slots=True)
class Node:
    """A station: mean work of a visit and number of servers."""

    mean: float
    servers: int = 1


@dataclass(frozen=True, slots=True)
class Network:
    """Parts a unit of time that leave, mean flow time of a part, mean parts waiting and present at each station."""

    throughput: float
    flow_time: float
    queues: tuple[float, ...]
    wip: tuple[float, ...]
    load: tuple[float, ...]


def traffic(external: ArrayLike, routing: ArrayLike) -> NDArray[np.float64]:
    """Arrivals at each station: lambda = gamma + lambda P, `routing[i][j]` the chance to go from i to j."""
    p = np.asarray(routing, dtype=float)
    return np.asarray(np.linalg.solve(np.eye(len(p)) - p.T, np.asarray(external, dtype=float)), dtype=float)


def jackson(nodes: Sequence[Node], external: ArrayLike, routing: ArrayLike) -> Network:
    """An open network: each station is an M/M/c queue by itself; flow time by Little's law over the whole."""
    rates = traffic(external, routing)
    released = float(np.sum(np.asarray(external, dtype=float)))
    found = [mmc(float(rate), 1 / node.mean, node.servers) for rate, node in zip(rates, nodes, strict=True)]
    wip = tuple(one.wip for one in found)
    load = tuple(float(rate) * node.mean / node.servers for rate, node in zip(rates, nodes, strict=True))
    return Network(released, sum(wip) / released, tuple(one.queue for one in found), wip, load)


def closed(nodes: Sequence[Node], visits: Sequence[float], parts: int) -> Network:
    """`parts` in a closed network by exact mean value analysis; `visits` to each station for one part that leaves.

    W_k(n) = sum_j j / mu_k(j) p_k(j-1 | n-1); X(n) = n / sum_k v_k W_k(n); p_k(j | n) = v_k X(n) / mu_k(j)
    p_k(j-1 | n-1), with mu_k(j) = min(j, c_k) / mean_k.
    """
    count = len(nodes)
    j = np.arange(1, parts + 1)
    mu = np.array([np.minimum(j, node.servers) / node.mean for node in nodes])
    v = np.asarray(visits, dtype=float)
    p = np.zeros((count, parts + 1))
    p[:, 0] = 1.0
    rate, times = 0.0, np.zeros(count)
    for n in range(1, parts + 1):
        times = (j / mu * p[:, :-1]).sum(axis=1)
        rate = n / float(v @ times)
        p[:, 1:] = v[:, None] * rate / mu * p[:, :-1]
        p[:, 0] = 1 - p[:, 1:].sum(axis=1)
    return _closed_figures(nodes, v, rate, v * rate * times)


def closed_by_states(nodes: Sequence[Node], visits: Sequence[float], parts: int) -> Network:
    """The same by summing the product form of Gordon and Newell over every state: slow and independent of `closed`."""
    v = np.asarray(visits, dtype=float)
    total, wip, busy = 0.0, np.zeros(len(nodes)), np.zeros(len(nodes))
    servers = np.array([node.servers for node in nodes])
    for state in _spread(parts, len(nodes)):
        weight = 1.0
        for node, visit, n in zip(nodes, v, state, strict=True):
            weight *= (visit * node.mean) ** n / prod(min(i, node.servers) for i in range(1, n + 1))
        total += weight
        wip += weight * np.asarray(state)
        busy += weight * np.minimum(state, servers)
    rate = float(busy[0] / total / (v[0] * nodes[0].mean))
    return _closed_figures(nodes, v, rate, wip / total)


def _closed_figures(
    nodes: Sequence[Node], visits: NDArray[np.float64], rate: float, wip: NDArray[np.float64]
) -> Network:
    busy = [rate * float(visit) * node.mean for node, visit in zip(nodes, visits, strict=True)]
    queues = tuple(float(present) - work for present, work in zip(wip, busy, strict=True))
    load = tuple(work / node.servers for node, work in zip(nodes, busy, strict=True))
    return Network(rate, float(wip.sum()) / rate, queues, tuple(float(n) for n in wip), load)


def _spread(parts: int, stations: int) -> Iterator[tuple[int, ...]]:
    """All ways to put `parts` into `stations`."""
    if stations == 1:
        yield (parts,)
        return
    for here in range(parts + 1):
        for rest in _spread(parts - here, stations - 1):
            yield (here, *rest)


def best_case(parts: int, bottleneck: float, raw_time: float) -> tuple[float, float]:
    """Most throughput and least flow time of a line that holds `parts`: min(w / T0, rb), max(T0, w / rb).

    `bottleneck` is the rate rb of the slowest station, `raw_time` the sum T0 of the mean work of all.
    """
    return min(parts / raw_time, bottleneck), max(raw_time, parts / bottleneck)


def worst_case(parts: int, raw_time: float) -> tuple[float, float]:
    """Least throughput and longest flow time: 1 / T0, w T0 (all parts move as one)."""
    return 1 / raw_time, parts * raw_time


def practical_worst_case(parts: int, bottleneck: float, raw_time: float) -> tuple[float, float]:
    """Throughput and flow time where every state is as likely: w rb / (W0 + w - 1), T0 + (w - 1) / rb, W0 = rb T0."""
    critical = bottleneck * raw_time
    return parts * bottleneck / (critical + parts - 1), raw_time + (parts - 1) / bottleneck
