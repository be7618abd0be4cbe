"""Utilisation from the traffic equations: what demand and arrivals ask of every station, without simulating.

Rates are means over the week. A part released at step 0 visits step j v_j times, v = e_0 + P' v. A product's release
rate is its arrival rate (push), or the demand on its stock divided by the share of parts that is not scrapped. Where
neither is given (saturated, or CONWIP without demand) the line runs as fast as its bottleneck lets it.
Failures of an `odf` clock stretch work by 1 + mean repair / mean time to failure (repairs waiting for a crew not
counted). Source of the relations: Hopp and Spearman, Factory Physics, and Jackson's traffic equations.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim import distributions
from sim.calendars import WEEK_MINUTES, open_minutes
from sim.plant import DONE, Plant, Product, Station


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of one station: `utilisation` is work (and repair) over what its units can do while open.

    `fixed` is the share of it that demand and arrivals cause; the rest is a free-running product's.
    """

    station: str
    utilisation: float
    fixed: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Loads in file order; release rates (parts per tick, mean over the week) by product.

    `free` names the products whose rate nothing outside sets; their rate is what the bottleneck leaves (at equal
    rates where there are several).
    """

    loads: tuple[Load, ...]
    rates: dict[str, float]
    free: tuple[str, ...]

    @property
    def bottleneck(self) -> Load:
        return max(self.loads, key=lambda load: load.utilisation)


def visits(product: Product) -> list[float]:
    """Mean number of visits to each step, of a part released at the first."""
    n = len(product.steps)
    matrix = [[float(i == j) for j in range(n)] for i in range(n)]
    for i, step in enumerate(product.steps):
        for target, share in step.next:
            if target >= 0:
                matrix[target][i] -= share
    return _solve(matrix, [1.0] + [0.0] * (n - 1))


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination with row exchange; the systems here are small."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        best = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for k in range(i + 1, n):
            factor = rows[k][i] / rows[i][i]
            if factor:
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    result = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][j] * result[j] for j in range(i + 1, n))
        result[i] = (rows[i][n] - known) / rows[i][i]
    return result


def completed(product: Product) -> float:
    """Share of released parts that are finished rather than scrapped."""
    leave = (dict(step.next).get(DONE, 0.0) for step in product.steps)
    return sum(v * share for v, share in zip(visits(product), leave, strict=True))


def open_share(plant: Plant, calendar: str | None) -> float:
    """Share of the week that a calendar is open (1 for none)."""
    for c in plant.calendars:
        if c.id == calendar:
            return open_minutes(c) / WEEK_MINUTES
    return 1.0


def release_rate(plant: Plant, product: Product) -> float | None:
    """Parts released per tick, mean over the week; None where nothing outside the line sets it."""
    release = product.release
    if release.policy == "push" and release.arrivals is not None:
        return open_share(plant, release.calendar) / distributions.mean(release.arrivals)
    if release.policy == "conwip":
        stocks = [k.id for k in plant.stocks if k.source == "line" and k.item == product.id]
        demands = [d for d in plant.demands if d.stock in stocks]
        rates = [open_share(plant, d.calendar) / distributions.mean(d.arrivals) for d in demands]
        share = completed(product)
        return sum(rates) / share if rates and share > 0 else None
    return None


def work_per_part(plant: Plant, product: Product) -> dict[str, float]:
    """Ticks of work at each station that one released part causes, repairs included."""
    stretch = {s.id: _stretch(s) for s in plant.stations}
    result = dict.fromkeys(stretch, 0.0)
    for step, times in zip(product.steps, visits(product), strict=True):
        result[step.station] += times * distributions.mean(step.work) * stretch[step.station]
    return result


def _stretch(station: Station) -> float:
    if station.fails is None:
        return 1.0
    return 1.0 + distributions.mean(station.fails.repair) / distributions.mean(station.fails.after)


def traffic(plant: Plant) -> Traffic:
    """Loads of all stations and release rates of all products."""
    capacity = {s.id: max(s.units * open_share(plant, s.calendar), 1e-12) for s in plant.stations}
    rates = {p.id: release_rate(plant, p) for p in plant.products}
    works = {p.id: work_per_part(plant, p) for p in plant.products}
    fixed = {
        s: sum(rate * works[p][s] for p, rate in rates.items() if rate is not None) / capacity[s] for s in capacity
    }
    free = tuple(p for p, rate in rates.items() if rate is None)
    asked = {s: sum(works[p][s] for p in free) / capacity[s] for s in capacity}
    room = [max(1.0 - fixed[s], 0.0) / asked[s] for s in capacity if asked[s] > 0]
    pace = min(room) if room else 0.0
    loads = tuple(Load(s, fixed[s] + pace * asked[s], fixed[s]) for s in capacity)
    return Traffic(loads, {p: pace if rate is None else rate for p, rate in rates.items()}, free)
