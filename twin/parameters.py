"""The parameters of a plant file that readings can say something about, and what has been seen of each."""

from __future__ import annotations

from dataclasses import dataclass

from sim.distributions import mean, variance
from sim.facts_supply import mean_quantity
from sim.plant import SCRAP, Demand, Dist, Plant, Station
from twin import fit
from twin.learned import Learned

SPREADS = {"work": 0.05, "setup": 0.15, "fail": 0.25, "repair": 0.25, "arrival": 0.1, "lead": 0.2, "demand": 0.1}
"""Prior spread (log standard deviation) of the factors on the plant file's times: it is a description, not the
plant."""
YIELD_SPREAD = 0.3
"""Prior relative standard deviation of a share of scrap."""
FIELDS = {
    "work": ("work_scale", "stations"),
    "fail": ("fail_scale", "stations"),
    "repair": ("repair_scale", "stations"),
    "arrival": ("arrival_scale", "products"),
    "lead": ("lead_scale", "stocks"),
    "demand": ("demand_scale", "demands"),
}
"""Kind of parameter -> the kernel's factor that forecasts draw, and what there is one of it for. A setup and a share of
scrap have none: they are shown and proposed, and take effect with a new plant file."""
POOLED = 400
"""Newest spans of a group that count."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: `dist` as in the plant file, its mean `size` in ms (operations; a share where `dist` is None).

    `cv` of the file's distribution, of a count the root of its dispersion. `group` names the factor it belongs to.
    """

    name: str
    dist: Dist | None
    size: float
    cv: float = 0.0

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]

    @property
    def group(self) -> str:
        """Work, failures, repairs and lead times have one factor for all at a station or stock."""
        parts = self.name.split("/")
        return "/".join(parts[:2]) if self.kind in FIELDS else self.name

    @property
    def shape(self) -> str:
        """The family its likelihood is of."""
        found = self.dist.kind if self.dist is not None else ""
        return found if found in ("exponential", "lognormal", "weibull") else "gamma"

    @property
    def title(self) -> str:
        """As people say it: "repair of paint", "work of mill: a, step 2"."""
        kind, thing, *more = self.name.split("/")
        words = {"fail": "time to failure", "lead": "lead time", "arrival": "time between arrivals"}
        words |= {"demand": "time between orders", "yield": "share of scrap"}
        more = [m for m in more if m not in ("failure", "regular")]
        more = [" to ".join(more)] if kind == "setup" else more
        return f"{words.get(kind, kind)} of {thing}" + (f": {' '.join(more)}" if more else "")


def parameters(plant: Plant) -> list[Parameter]:
    """All that can be calibrated, in the order of the plant file."""
    ms = plant.tick_s * 1000
    found: list[Parameter] = []
    for product in plant.products:
        for step in product.steps:
            for station, work in step.eligible:
                _add(found, f"work/{station}/{product.id}/{step.id}", work, ms)
            scrap = sum(p for target, p in step.next if target == SCRAP)
            if scrap > 0:
                found.append(Parameter(f"yield/{product.id}/{step.id}", None, scrap))
        _add(found, f"arrival/{product.id}", product.release.arrivals, ms)
    for s in plant.stations:
        _station(s, found, ms)
    _supply(plant, found)
    for demand in plant.demands:
        if demand.arrivals is not None and mean(demand.arrivals) > 0:
            size = mean(demand.arrivals) * ms
            found.append(Parameter(f"demand/{demand.id}", demand.arrivals, size, _dispersion(demand)))
    return found


def _add(found: list[Parameter], name: str, dist: Dist | None, ms: float) -> None:
    size = mean(dist) if dist is not None else 0.0
    if size > 0:
        assert dist is not None
        found.append(Parameter(name, dist, size * ms, variance(dist) ** 0.5 / size))


def _station(s: Station, found: list[Parameter], ms: float) -> None:
    for a, b, time in s.setups:
        _add(found, f"setup/{s.id}/{a}/{b}", time, ms)
    for mode in s.modes:
        if not mode.planned:
            _add(found, f"repair/{s.id}/{mode.id}", mode.repair, ms)
            _add(found, f"fail/{s.id}/{mode.id}", mode.after, ms)
            if mode.after is None and mode.life:
                found.append(Parameter(f"fail/{s.id}/{mode.id}", None, mean_quantity(mode.life), 0.5))


def _supply(plant: Plant, found: list[Parameter]) -> None:
    suppliers = {s.id: s for s in plant.suppliers}
    for stock in plant.stocks:
        lanes = [("regular", stock.source, stock.lead)]
        if stock.express is not None:
            lanes.append(("express", stock.express.source, stock.express.lead))
        for lane, source, lead in lanes:
            if lead is None or mean(lead) <= 0:
                continue
            size, var, of = mean(lead), variance(lead), suppliers.get(source)
            if of is not None and of.late is not None and of.reliability < 1:
                late, p = mean(of.late), 1 - of.reliability
                size, var = size + p * late, var + p * (variance(of.late) + late * late) - (p * late) ** 2
            found.append(Parameter(f"lead/{stock.id}/{lane}", lead, size * plant.tick_s * 1000, var**0.5 / size))


def _dispersion(demand: Demand) -> float:
    """Root of the long-run variance of the counted orders over their mean (a compound renewal process)."""
    assert demand.arrivals is not None
    each = mean_quantity(demand.quantity)
    spread = sum(p * (value - each) ** 2 for value, p in demand.quantity) / max(each * each, 1e-12)
    return max(variance(demand.arrivals) / mean(demand.arrivals) ** 2 + spread, 0.04) ** 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """Spans of a parameter or a group in units of what the file says: `t` ms when they ended, `data`; `left_out`."""

    t: tuple[int, ...]
    data: fit.Data
    left_out: int


def seen(learned: Learned, members: list[Parameter], since: int = 0, centre: float = 1.0) -> Seen:
    """The newest spans of these parameters after `since`, over `centre` times the file's mean; what is open counts as
    censored.
    """
    found: list[tuple[int, float, bool]] = []
    left_out = 0
    for parameter in members:
        size = parameter.size * centre
        spans = learned.spans.get(parameter.name)
        if spans is not None:
            left_out += spans.left_out
            rows = zip(spans.t, spans.x, spans.cut, strict=True)
            found += [(t, x / size, bool(cut)) for t, x, cut in rows if t > since]
        found += [(learned.t, x / size, True) for x in still_open(learned, parameter, since)]
    found = sorted(found)[-POOLED:]
    weights = tuple(weight(learned, t) for t, _, _ in found)
    data = fit.Data(tuple(x for _, x, _ in found), weights, tuple(cut for _, _, cut in found))
    return Seen(tuple(t for t, _, _ in found), data, left_out)


def weight(learned: Learned, t: int) -> float:
    return 0.5 ** ((learned.t - t) / learned.forget_ms) if learned.forget_ms else 1.0


def still_open(learned: Learned, parameter: Parameter, since: int) -> list[float]:
    """Ms (operations) of the spans of a parameter that have not ended."""
    kind, thing, *more = parameter.name.split("/")
    if kind in ("lead", "repair"):
        rows = learned.open_leads if kind == "lead" else learned.open_repairs
        return [float(age) for name, age in rows if name == parameter.name and learned.t - age > since]
    if kind != "fail" or not more:
        return []
    plain = parameter.dist is not None and parameter.dist.kind == "exponential"
    units = learned.units[learned_index(learned, thing)] if learned.units else []
    return [float(u.age.get(more[0], 0)) for u in units if u.age.get(more[0], 0) and (plain or u.fresh.get(more[0]))]


def learned_index(learned: Learned, station: str) -> int:
    return learned.stations.index(station)


def counted(learned: Learned, parameter: Parameter, since: int = 0) -> tuple[float, float]:
    """(what happened, exposure in ms or parts) of a parameter that has counts, weighted, in bins that began after
    `since`.
    """
    tally = learned.tallies.get(parameter.name)
    if tally is None:
        return 0.0, 0.0
    rows = [(weight(learned, t), n, x) for t, n, x in zip(tally.t, tally.n, tally.x, strict=True) if t >= since]
    return sum(w * n for w, n, _ in rows), sum(w * x for w, _, x in rows)
