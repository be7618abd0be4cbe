"""Closed forms of Factory Physics and inventory theory, to stand beside simulated values.

Times are in one unit throughout, rates in its inverse. All values are means of the long run; a queue that is not
stable, or an argument without meaning, is a `ValueError`. `sim.closed_forms` says which of them hold for a plant.

Sources: Erlang (1917) for M/M/c; Pollaczek (1930) and Khinchine (1932) for M/G/1; Jackson (1957) for open networks;
Reiser and Lavenberg (1980) for MVA; Hopp and Spearman, Factory Physics, 3rd edition (2008), chapters 7 and 8, for VUT,
outages, departures and the best and practical worst case, the parallel-server form by Sakasegawa (1977); Arrow, Harris
and Marschak (1951) for the newsvendor; Harris (1913) for the EOQ; Palm (1938) for base-stock with Poisson demand;
Little (1961).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, log, sqrt
from statistics import NormalDist

_SWEEPS = 10_000


@dataclass(frozen=True, slots=True)
class Queue:
    """One station: utilisation of a server, mean wait in queue, jobs in queue, flow time, jobs in queue and work."""

    utilisation: float
    wait: float
    queue: float
    flow_time: float
    wip: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed network: jobs a time unit through its reference point, jobs at each station (in work or waiting)."""

    throughput: float
    at_station: tuple[float, ...]
    utilisation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StockPoint:
    """Mean units on hand, mean units backordered, share of demand met at once."""

    on_hand: float
    backorders: float
    fill_rate: float


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < inf:
            raise ValueError(f"{name} {value:g}: expected a number above 0")


def _stable(rate: float, work: float, servers: int) -> float:
    """Utilisation; refused from 1 on."""
    _positive(rate=rate, work=work, servers=servers)
    load = rate * work / servers
    if load >= 1:
        raise ValueError(f"utilisation {load:g}: expected below 1; lower the rate, or add servers")
    return load


def _queue(rate: float, work: float, servers: int, wait: float) -> Queue:
    return Queue(rate * work / servers, wait, rate * wait, wait + work, rate * (wait + work))


def little(rate: float, time: float) -> float:
    """Mean number in a system that is entered at `rate` and kept for `time`: L = lambda W."""
    return rate * time


def mmc(rate: float, work: float, servers: int = 1) -> Queue:
    """M/M/c: Poisson arrivals at `rate`, exponential work of mean `work`, first come, first served (Erlang C)."""
    load = _stable(rate, work, servers)
    blocked = 1.0  # Erlang B by its recursion, which neither overflows nor cancels
    for k in range(1, servers + 1):
        blocked = load * servers * blocked / (k + load * servers * blocked)
    waits = blocked / (1 - load * (1 - blocked))
    return _queue(rate, work, servers, waits * work / (servers * (1 - load)))


def mg1(rate: float, work: float, scv: float) -> Queue:
    """M/G/1 with a squared coefficient of variation `scv` of the work: wait = u / (1 - u) (1 + scv) / 2 work."""
    load = _stable(rate, work, 1)
    if scv < 0:
        raise ValueError(f"scv {scv:g}: expected 0 or more")
    return _queue(rate, work, 1, load / (1 - load) * (1 + scv) / 2 * work)


def vut(rate: float, work: float, servers: int, arrival_scv: float, work_scv: float) -> Queue:
    """G/G/m approximately: wait = (ca2 + ce2) / 2 * u^(sqrt(2 (m + 1)) - 1) / (m (1 - u)) * work."""
    load = _stable(rate, work, servers)
    utilisation = load ** (sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load))
    return _queue(rate, work, servers, (arrival_scv + work_scv) / 2 * utilisation * work)


def departures(load: float, servers: int, arrival_scv: float, work_scv: float) -> float:
    """Scv of the times between departures, approximately: 1 + (1 - u^2)(ca2 - 1) + u^2 (ce2 - 1) / sqrt(m)."""
    return 1 + (1 - load**2) * (arrival_scv - 1) + load**2 * (work_scv - 1) / sqrt(servers)


def with_outages(work: float, work_scv: float, up: float, repair: float, repair_scv: float) -> tuple[float, float]:
    """Mean and scv of the time from start to end of a job on a machine that fails while it works and then resumes.

    Exact for exponential times to failure of mean `up`: t / A and scv + (1 + repair_scv) A (1 - A) repair / t.
    """
    _positive(work=work, up=up)
    available = up / (up + repair)
    return work / available, work_scv + (1 + repair_scv) * available * (1 - available) * repair / work


def jackson(
    arrivals: Sequence[float], routing: Sequence[Sequence[float]], works: Sequence[float], servers: Sequence[int]
) -> tuple[Queue, ...]:
    """Open network: Poisson `arrivals` from outside by station; routing[i][j]: chance to go from i to j, else to leave.

    Each station is an M/M/c of its own at the rate that solves the traffic equations rate = arrivals + routing' rate.
    """
    rates = flows(arrivals, routing)
    return tuple(mmc(rate, work, c) for rate, work, c in zip(rates, works, servers, strict=True))


def flows(arrivals: Sequence[float], routing: Sequence[Sequence[float]]) -> list[float]:
    """Rates that solve the traffic equations, by repeated substitution (a routing that lets every job out)."""
    rates = list(arrivals)
    for _ in range(_SWEEPS):
        following = [
            a + sum(rate * row[j] for rate, row in zip(rates, routing, strict=True)) for j, a in enumerate(arrivals)
        ]
        done = max(abs(x - y) for x, y in zip(rates, following, strict=True)) <= 1e-14 * max(following)
        rates = following
        if done:
            return rates
    raise ValueError("routing: expected one that every job leaves in the end; some go round for ever")


def mva(works: Sequence[float], jobs: int) -> Closed:
    """Closed network of single exponential servers; works[i]: mean work at station i a round, all its visits together.

    Mean value analysis: a job that arrives sees the network with one job less, R_i(n) = works_i (1 + Q_i(n - 1)).
    """
    if jobs < 1 or not works:
        raise ValueError(f"{jobs} jobs at {len(works)} stations: expected at least one of each")
    _positive(**{f"works[{i}]": w for i, w in enumerate(works)})
    at = [0.0] * len(works)
    rate = 0.0
    for n in range(1, jobs + 1):
        stays = [w * (1 + q) for w, q in zip(works, at, strict=True)]
        rate = n / sum(stays)
        at = [rate * stay for stay in stays]
    return Closed(rate, tuple(at), tuple(rate * w for w in works))


def best_case(jobs: int, bottleneck_rate: float, raw_process_time: float) -> float:
    """Throughput of a line without any variability at constant WIP: min(w / T0, r_b)."""
    _positive(jobs=jobs, bottleneck_rate=bottleneck_rate, raw_process_time=raw_process_time)
    return min(jobs / raw_process_time, bottleneck_rate)


def practical_worst_case(jobs: int, bottleneck_rate: float, raw_process_time: float) -> float:
    """Throughput of the balanced line of exponential single machines: w / (W0 + w - 1) r_b, W0 = r_b T0."""
    _positive(jobs=jobs, bottleneck_rate=bottleneck_rate, raw_process_time=raw_process_time)
    return jobs / (bottleneck_rate * raw_process_time + jobs - 1) * bottleneck_rate


def eoq(demand_rate: float, order_cost: float, holding: float) -> tuple[float, float]:
    """Economic order quantity sqrt(2 K D / h), and what ordering and holding then cost a time unit."""
    _positive(demand_rate=demand_rate, order_cost=order_cost, holding=holding)
    return sqrt(2 * order_cost * demand_rate / holding), sqrt(2 * order_cost * demand_rate * holding)


def newsvendor(mean: float, sd: float, under: float, over: float) -> tuple[float, float]:
    """Best level and its expected cost for a normal demand; `under` a unit short, `over` a unit left."""
    _positive(sd=sd, under=under, over=over)
    z = NormalDist().inv_cdf(under / (under + over))
    return mean + z * sd, (under + over) * sd * NormalDist().pdf(z)


def poisson(mean: float, most: int) -> list[float]:
    """P(D = 0) .. P(D = most) of a Poisson demand."""
    _positive(mean=mean)
    return [exp(n * log(mean) - mean - lgamma(n + 1)) for n in range(most + 1)]


def newsvendor_poisson(mean: float, under: float, over: float) -> int:
    """Smallest level S with P(D <= S) >= under / (under + over) for a Poisson demand."""
    _positive(under=under, over=over)
    wanted, far = under / (under + over), int(mean + 40 * sqrt(mean) + 40)
    total = 0.0
    for n, chance in enumerate(poisson(mean, far)):
        total += chance
        if total >= wanted:
            return n
    raise ValueError(f"under / (under + over) {wanted!r}: expected a share that double precision tells from 1")


def base_stock(level: int, lead_demand: float) -> StockPoint:
    """One order a unit demanded, Poisson demand of mean `lead_demand` in a lead time, unmet demand waits.

    Orders outstanding are Poisson for any independent lead times; on hand = E max(S - N, 0), fill rate = P(N < S).
    """
    if level < 0:
        raise ValueError(f"level {level}: expected 0 or more")
    law = poisson(lead_demand, level)
    on_hand = sum((level - n) * chance for n, chance in enumerate(law))
    return StockPoint(on_hand, on_hand - level + lead_demand, sum(law[:level]))
