"""What failures, maintenance, wear, batches and setups leave of a station's capacity, in the mean.

An `odf` mode stretches work by mean repair / mean time to it; a `parts` mode adds repair / life to each operation; a
`tdf` mode leaves after / (after + repair) of the time. A condition is followed from new to its repair with exponential
times in each level (exact where they are): time at work and down, over work done at full speed. Repairs that wait for a
crew are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim import distributions, quantities
from sim.plant import Condition, Plant, Product, Station


@dataclass(frozen=True, slots=True)
class Capacity:
    """`stretch`: unit time for a tick of work at full speed; `extra`: ticks besides for each operation; `available`:
    share of the open time that `tdf` modes leave; `most`: parts of a full batch.
    """

    stretch: float
    extra: float
    available: float
    most: int = 1

    def occupied(self, work: float, transfer: int) -> float:
        """Unit time for each unit of a product, with mean `work` a unit and full batches."""
        return (work * self.stretch + self.extra / transfer) / self.most

    def share(self, work: float) -> float:
        """Technical availability for operations of mean length `work`."""
        whole = work * self.stretch + self.extra
        return self.available * (work / whole if whole > 0 else 1.0)


def capacity_of(station: Station) -> Capacity:
    """The capacity of one unit of a station."""
    stretch, extra, available = 1.0, 0.0, 1.0
    for m in station.modes:
        repair = distributions.mean(m.repair)
        if m.clock == "odf" and m.after is not None:
            stretch += repair / distributions.mean(m.after)
        elif m.clock == "tdf" and m.after is not None:
            after = distributions.mean(m.after)
            available *= after / (after + repair)
        elif m.clock == "parts" and m.life:
            extra += repair / quantities.mean(m.life)
    if station.condition is not None:
        stretch *= _cycle(station, station.condition)
    return Capacity(stretch, extra, available, station.batch.most if station.batch is not None else 1)


def _cycle(station: Station, condition: Condition) -> float:
    """Time from new to repaired over the work done in it, at full speed."""
    broken = sum(distributions.mean(m.repair) for m in station.modes if m.clock == "condition")
    planned = [m for m in station.modes if m.at_level is not None]
    ends = min((m.at_level for m in planned if m.at_level is not None), default=len(condition.wear))
    alive, time, done, down = 1.0, 0.0, 0.0, 0.0
    for level, (wear, fails, slow) in enumerate(zip(condition.wear, condition.fails, condition.slow, strict=True)):
        if level == ends:
            down += alive * sum(distributions.mean(m.repair) for m in planned)
            alive = 0.0
            break
        wears = 1.0 / distributions.mean(wear)
        rate = wears + (1.0 / distributions.mean(fails) if fails is not None else 0.0)
        time += alive / rate
        done += alive / rate / slow
        down += alive * (1.0 - wears / rate) * broken
        alive *= wears / rate
    return (time + down + alive * broken) / done


def setup_per_unit(
    plant: Plant, visits: dict[str, list[float]], rates: dict[str, float]
) -> dict[str, dict[str, float]]:
    """Ticks of setup for each released unit, by product and station, with lots in random order at every station.

    A dispatching rule that avoids setups needs fewer. `rates`: units a tick by product, for their shares.
    """
    result: dict[str, dict[str, float]] = {p.id: {} for p in plant.products}
    for s in plant.stations:
        if not s.setups:
            continue
        times = {(a, b): distributions.mean(time) for a, b, time in s.setups}
        here = [(p, _visits_of(p, s.id, visits[p.id])) for p in plant.products]
        lots = {p.id: rates[p.id] * n / p.lot for p, n in here}
        total = sum(lots.values())
        if total <= 0:
            continue
        for p, n in here:
            family = p.family or p.id
            before = sum(lots[o.id] / total * times.get((o.family or o.id, family), 0.0) for o, _ in here)
            result[p.id][s.id] = n * before / p.lot / (s.batch.most if s.batch is not None else 1)
    return result


def setup_bound(station: Station) -> float:
    """The largest share of a unit's time that setups can take under the station's dispatching rule.

    With weights a of `setup` and -b of `waited`, a part that needs a setup of length S overtakes the running family
    only once it has waited a/b x S longer than the others: a run lasts about that long, so setups take at most
    S / (S + a/b S) of the time. (gearmotor's hobbing, 5 to 1: 16.7 %; simulated 17.1 %.) Without `waited` a family is
    run until none of it is left, and setups take no time that the work needs.
    """
    weights = dict(station.dispatch)
    avoided, patience = weights.get("setup", 0), -weights.get("waited", 0)
    if avoided <= 0 or patience < 0:
        return 1.0
    return patience / (patience + avoided)


def _visits_of(product: Product, station: str, visits: list[float]) -> float:
    """Visits of a unit to a station (alternatives counted in equal shares)."""
    steps = zip(product.steps, visits, strict=True)
    return sum(n / len(step.eligible) for step, n in steps if station in dict(step.eligible))
