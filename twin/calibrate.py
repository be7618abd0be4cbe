"""The calibration table: each parameter as the plant file has it and as it was seen, and what follows from that."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from sim.moments import masses, quantiles
from sim.plant import Dist, Plant
from twin import fit
from twin.believe import base_of, believe, groups, in_force, prior_of
from twin.inforce import shaped, shapes, with_values
from twin.learned import Learned
from twin.model import Refit
from twin.parameters import SPREADS, YIELD_SPREAD, Parameter, Seen, counted, parameters, seen
from twin.tells import untold
from twin.topology import build

LEAST = 10
"""Fewer spans (or events) than this say nothing against the plant file."""
SHAPE_LEAST = 50
TABLE_LEAST = 100
"""Fewer spans than this change no coefficient of variation, or replace no distribution by a table."""
TOLERANCE = 0.02
"""A difference of a mean smaller than this is none that matters; one is believed outside the 99.9 % interval, for a
plant has a hundred parameters that are looked at again and again."""
SPREAD_TOLERANCE = 0.2
"""The same for the logarithm of a coefficient of variation (outside its 90 % interval)."""
DISTINCT = 0.001
"""Probability of the Kolmogorov distance below which a distribution is of another shape."""
CRPS_LEVELS = np.linspace(0.005, 0.995, 100)
TABLE_LEVELS = np.linspace(0.0125, 0.9875, 40)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Times in seconds (operations, shares where `unit` says so). `lo`, `hi`: 90 % interval.

    `mean`: the posterior under the plant file's prior; `seen`: what the readings alone say. `cut`: censored spans;
    `left_out`: spans that were not certain. `score`: mean score of the held-out half as the file has it and refitted
    (CRPS over the mean, or minus the log score of counts and failures; less is better), None where too few.
    `untold`: why nothing is seen of it, where no tag and no event tells.
    """

    name: str
    title: str
    unit: str
    file: float
    mean: float
    lo: float
    hi: float
    seen: float
    seen_lo: float
    seen_hi: float
    n: float
    cut: int
    left_out: int
    cv_file: float
    cv_seen: float
    ks: float
    ks_p: float
    score: tuple[float, float] | None
    verdict: str
    refit: str
    untold: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def table(plant: Plant, learned: Learned, refits: dict[str, Refit] | None = None) -> list[Row]:
    """A row for every parameter of the plant file, in its order."""
    refits = refits or {}
    approved = shapes(plant, refits)
    plant = with_values(plant, approved)
    found = groups(plant)
    topology, rows = build(plant), []
    for p in parameters(plant):
        one = _unwritten(row(learned, [p], in_force(found[p.group], refits)), approved.get(p.name))
        rows.append(one if one.n or one.cut else replace(one, untold=untold(topology, learned, p)))
    return rows


def _unwritten(one: Row, approved: Dist | float | None) -> Row:
    """A shape that was approved is still to be written into the plant file."""
    from twin.texts import dist_text, scaled

    if one.refit or not isinstance(approved, Dist):
        return one
    tick_ms = 1000 * one.file / _mean(approved)  # of a factor that was approved as well, too
    return replace(one, refit=dist_text(scaled(approved, 1.0), tick_ms))


def group_table(plant: Plant, learned: Learned, refits: dict[str, Refit]) -> list[Row]:
    """A row for every factor that forecasts draw, and every parameter that has none: what may be refitted."""
    found = groups(shaped(plant, refits))
    return [row(learned, members, in_force(members, refits), name) for name, members in found.items()]


def row(learned: Learned, members: list[Parameter], refit: Refit | None = None, name: str = "") -> Row:
    """The line of one parameter, or of a group that has one factor (then times are those of its mean)."""
    first = members[0]
    share = first.kind == "yield"
    size = base_of(members)
    prior = fit.Prior(YIELD_SPREAD) if share else prior_of(members, refit)
    after = believe(learned, members, prior, refit)
    alone = _alone(learned, members, refit)
    unit = "" if share else "operations" if first.dist is None else "s"
    base = (refit.value if refit else 1.0) * (size / 1000 if unit == "s" else size)
    scale = 1.0 if share else base
    if share:
        base = refit.value if refit else first.size
    spans = seen(learned, members, refit.t if refit else 0, refit.value if refit else 1.0)
    found = _score(learned, members, spans, refit)
    ks = _shape(members, spans, alone) if len(members) == 1 and first.dist is not None else (0.0, 1.0)
    verdict = _verdict(members, base / scale, alone, found, ks)
    return Row(
        name=name or first.name,
        title=first.title if len(members) == 1 else f"{first.kind} of {first.name.split('/')[1]}, all",
        unit=unit,
        file=base,
        mean=scale * after.mean,
        lo=scale * after.lo,
        hi=scale * after.hi,
        seen=scale * alone.mean,
        seen_lo=scale * alone.lo,
        seen_hi=scale * alone.hi,
        n=alone.n,
        cut=sum(spans.data.cut),
        left_out=spans.left_out,
        cv_file=first.cv,
        cv_seen=alone.cv,
        ks=ks[0],
        ks_p=ks[1],
        score=found,
        verdict=verdict,
        refit=_refit(members, alone, verdict, spans, refit),
    )


def _alone(learned: Learned, members: list[Parameter], refit: Refit | None) -> fit.Belief:
    """What the readings say by themselves: a prior so wide that it says next to nothing."""
    if members[0].kind == "yield":
        n, x = counted(learned, members[0], refit.t if refit else 0)
        return fit.share(members[0].size, 3.0, min(n, x), x)
    prior = prior_of(members)
    return believe(learned, members, fit.Prior(0.99, prior.kind, prior.cv, robust=False), refit)


def _verdict(
    members: list[Parameter],
    file: float,
    alone: fit.Belief,
    score: tuple[float, float] | None,
    shape: tuple[float, float],
) -> str:
    first = members[0]
    if alone.n < LEAST:
        return "too few"
    sure_lo, sure_hi = alone.quantiles[0], alone.quantiles[-1]
    if not sure_lo <= file <= sure_hi and abs(alone.mean / max(file, 1e-9) - 1) > TOLERANCE:
        return "differs" if score is not None and score[1] < score[0] else "differs so far"
    if len(members) == 1 and first.kind not in ("fail", "demand", "arrival", "yield"):
        if alone.n >= TABLE_LEAST and shape[1] < DISTINCT and shape[0] > 0.1:
            return "another shape"
        if alone.n >= SHAPE_LEAST and first.cv > 0 and _other_spread(first.cv, alone):
            return "another spread"
    return "agrees"


def _other_spread(cv: float, alone: fit.Belief) -> bool:
    return alone.cv > 0 and not alone.cv_lo <= cv <= alone.cv_hi and abs(math.log(alone.cv / cv)) > SPREAD_TOLERANCE


def _shape(members: list[Parameter], spans: Seen, alone: fit.Belief) -> tuple[float, float]:
    """Kolmogorov distance of the spans that ended from the file's distribution, scaled to their mean, and its p."""
    ended = np.sort([x for x, cut in zip(spans.data.x, spans.data.cut, strict=True) if not cut])
    if len(ended) < LEAST:
        return 0.0, 1.0
    points = np.array(_ratios(members[0], 400))
    levels = (np.arange(400) + 0.5) / 400
    if points[0] == points[-1]:
        return 0.0, 1.0
    return fit.kolmogorov(ended, np.interp(ended / alone.mean, points, levels, left=0.0, right=1.0))


@lru_cache(maxsize=512)
def _ratios(parameter: Parameter, n: int) -> tuple[float, ...]:
    """Quantiles of the file's distribution over its mean at the middles of `n` equally likely bins."""
    levels = (np.arange(n) + 0.5) / n
    return tuple(float(v) for v in dist_quantiles(parameter.dist, levels) / _mean(parameter.dist))


def dist_quantiles(dist: Dist | None, levels: fit.Values) -> fit.Values:
    """Quantiles of a distribution (ticks) at `levels`."""
    assert dist is not None, "a share has no quantiles"
    if dist.kind == "constant":
        return np.full(len(levels), dist.args[0])
    if dist.kind in ("discrete", "empirical"):
        values, weights = masses(dist)
        return values[np.minimum(np.searchsorted(np.cumsum(weights), levels), len(values) - 1)]
    return np.asarray(quantiles(dist).lower(levels), dtype=np.float64)


def _mean(dist: Dist | None) -> float:
    from sim.distributions import mean

    assert dist is not None, "a share has no mean time"
    return mean(dist)


def _score(learned: Learned, members: list[Parameter], spans: Seen, refit: Refit | None) -> tuple[float, float] | None:
    """Scores of the newer half, forecast one step ahead: as the file has it, and as fitted to the older half."""
    first = members[0]
    if first.kind in ("demand", "arrival", "yield"):
        return _count_score(learned, first, refit)
    ended = [i for i, cut in enumerate(spans.data.cut) if not cut]
    if len(ended) < LEAST:
        return None
    half = ended[len(ended) // 2]
    data = spans.data
    old = fit.Data(data.x[:half], data.w[:half], data.cut[:half])
    prior = prior_of(members)
    fitted = fit.spans(fit.Prior(0.99, prior.kind, prior.cv, robust=False), old).mean
    x, cut = np.array(data.x[half:]), np.array(data.cut[half:], dtype=bool)
    if first.kind == "fail":
        return tuple(float((x.sum() / c + (~cut).sum() * math.log(c)) / (~cut).sum()) for c in (1.0, fitted))  # type: ignore[return-value]
    levels = np.concatenate([_ratios(m, len(CRPS_LEVELS)) for m in members]).reshape(len(members), -1).mean(axis=0)
    return tuple(crps(levels * c, x[~cut]) for c in (1.0, fitted))  # type: ignore[return-value]


def crps(points: fit.Values, x: fit.Values) -> float:
    """Mean CRPS of observations under quantiles at the middles of equally likely bins (twice the pinball loss)."""
    levels = (np.arange(len(points)) + 0.5) / len(points)
    gap = x[:, None] - points[None, :]
    return float((2 * np.where(gap >= 0, levels * gap, (levels - 1) * gap)).mean())


def _count_score(learned: Learned, parameter: Parameter, refit: Refit | None) -> tuple[float, float] | None:
    """Minus the Poisson log score of the newer bins (a constant left out), per bin."""
    tally = learned.tallies.get(parameter.name)
    since = refit.t if refit else 0
    rows = [] if tally is None else [(n, x) for t, n, x in zip(tally.t, tally.n, tally.x, strict=True) if t >= since]
    half = len(rows) // 2
    if half < 2 or sum(n for n, _ in rows) < LEAST:
        return None
    centre = refit.value if refit else 1.0
    rate = centre if parameter.kind == "yield" and refit else parameter.size
    rate = rate if parameter.kind == "yield" else 1 / (parameter.size * centre)
    seen_rate = (sum(n for n, _ in rows[:half]) + 0.5) / max(sum(x for _, x in rows[:half]), 1e-9)
    scores = [sum(r * x - n * math.log(r) for n, x in rows[half:]) / (len(rows) - half) for r in (rate, seen_rate)]
    return scores[0], scores[1]


def _refit(members: list[Parameter], alone: fit.Belief, verdict: str, spans: Seen, refit: Refit | None) -> str:
    """What the plant file should say, "" where nothing is proposed (or approved and not yet in the file)."""
    from twin.texts import dist_text, scaled, with_cv

    first, centre = members[0], refit.value if refit is not None else 1.0
    if verdict not in ("differs", "another shape", "another spread"):
        approved = refit is not None and len(members) == 1 and first.dist is not None
        return dist_text(scaled(first.dist, centre), first.size / _mean(first.dist)) if approved and first.dist else ""
    if first.kind == "yield":
        return f"{100 * alone.mean:.3g} %"
    if len(members) > 1 or first.dist is None:
        return f"x {centre * alone.mean:.3g}"
    if verdict == "another shape":
        ended = np.array([x for x, cut in zip(spans.data.x, spans.data.cut, strict=True) if not cut])
        per_tick = _mean(first.dist)
        values = tuple(float(v) * per_tick * centre for v in np.quantile(ended, TABLE_LEVELS))
        return dist_text(Dist("empirical", values), first.size / per_tick)
    cv = alone.cv if alone.n >= SHAPE_LEAST and first.cv > 0 and _other_spread(first.cv, alone) else None
    shape = first.dist if cv is None else with_cv(first.dist, cv)
    return dist_text(scaled(shape, centre * alone.mean), first.size / _mean(first.dist))


__all__ = ["SPREADS", "Row", "crps", "dist_quantiles", "group_table", "row", "table"]
