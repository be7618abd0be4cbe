"""How the virtual plant differs from what its plant file says.

A twin that is tested against its own model proves nothing. The twist changes parameters (times,
demand, lead times, spread) and structure the plant file cannot say (a repairer walks, a station has
minor stops its state never shows, a shift starts slowly). It is drawn from the seed, written to the
header of the truth log, and never sent to the twin.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from hardware.sampling import mean_of
from sim.plant import DONE, SCRAP, Plant


@dataclass(frozen=True, slots=True)
class Twist:
    """Factors are 1 and durations 0 (seconds) in a plant that is exactly as described."""

    repair_scale: float = 1.0
    slow_station: str | None = None
    slow_scale: float = 1.0
    work_cv: float = 1.0
    lead_scale: float = 1.0
    lead_cv: float = 1.0
    demand_scale: float = 1.0  # more than 1: customers order more often
    setup_scale: float = 1.0
    walk_s: tuple[float, float] = (0.0, 0.0)  # the repairer's way to the machine, uniform
    micro_station: str | None = None
    micro_every_s: float = 0.0  # working time between two minor stops
    micro_s: tuple[float, float] = (0.0, 0.0)
    slow_start_s: float = 0.0  # how long after opening people are slow
    slow_start_scale: float = 1.0
    level_off_by_one: float = 0.0  # probability that a new level reading is one off
    late_s: float = 0.0  # longest delay of a state or level tag, plant seconds
    duplicate: float = 0.0  # probability that a change is sent twice

    def header(self) -> dict[str, object]:
        """The twist as plain values for the truth log."""
        return asdict(self)

    def parameters(self) -> int:
        """How many parameters differ from the plant file."""
        factors = (self.repair_scale, self.slow_scale, self.work_cv, self.lead_scale, self.lead_cv, self.demand_scale)
        return sum(f != 1.0 for f in factors)

    def structures(self) -> int:
        """How many pieces of structure the plant file does not know."""
        return (self.walk_s[1] > 0) + (self.micro_every_s > 0) + (self.slow_start_s > 0)


def visits(plant: Plant) -> dict[str, float]:
    """Expected seconds of work per finished unit at each station, divided by its units (products weigh alike)."""
    load = {s.id: 0.0 for s in plant.stations}
    units = {s.id: max(s.units, 1) for s in plant.stations}
    for product in plant.products:
        n = len(product.steps)
        into = np.zeros((n, n))
        for j, step in enumerate(product.steps):
            for target, p in step.next:
                if target not in (DONE, SCRAP):
                    into[target, j] += p
        first = np.zeros(n)
        first[0] = 1.0
        count = np.linalg.lstsq(np.eye(n) - into, first, rcond=None)[0]
        for step, times in zip(product.steps, count, strict=True):
            load[step.station] += float(times) * mean_of(step.work) * plant.tick_s / units[step.station]
    return load


def bottleneck(plant: Plant) -> str:
    """The station with the highest load, repairs counted in."""
    load = visits(plant)
    for station in plant.stations:
        fails = station.fails
        if fails is not None and fails.after is not None:
            load[station.id] *= 1 + mean_of(fails.repair) / max(mean_of(fails.after), 1e-9)
    return max(load, key=lambda s: load[s])


def draw_twist(plant: Plant, seed: int) -> Twist:
    """A believable difference for this plant: never the bottleneck made slower (that would be another plant)."""
    rng = np.random.default_rng([seed, 0x7415])
    neck = bottleneck(plant)
    others = sorted((s.id for s in plant.stations if s.id != neck), key=lambda s: visits(plant)[s])
    load = visits(plant)
    slow = str(rng.choice([s for s in others if load[s] < 0.9 * load[neck]] or others or [neck]))
    micro = next((s for s in others if "test" in s and s != slow), None)
    micro = micro or str(rng.choice([s for s in others if s != slow] or [neck]))
    work_s = max(load[micro], 1.0)

    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 3)

    twist = Twist(
        slow_station=slow,
        slow_scale=between(1.05, 1.09) if slow != neck else 1.02,
        work_cv=between(1.1, 1.25),
        micro_station=micro,
        micro_every_s=round(20 * work_s, 1),
        micro_s=(round(0.1 * work_s, 2), round(0.6 * work_s, 2)),
        level_off_by_one=0.01,
        late_s=round(min(4.0, 0.5 * work_s), 3),  # a signal is never later than a fraction of the work it tells of
        duplicate=0.01,
    )
    if any(s.fails for s in plant.stations):
        mean = min(mean_of(s.fails.repair) * plant.tick_s for s in plant.stations if s.fails)
        walk = round(min(180.0, 0.2 * mean), 2)
        twist = replace(twist, repair_scale=between(1.1, 1.3), walk_s=(0.3 * walk, walk))
    if any(s.lead for s in plant.stocks):
        twist = replace(twist, lead_scale=between(1.1, 1.25), lead_cv=between(1.2, 1.5))
    if plant.demands or any(p.release.arrivals for p in plant.products):
        twist = replace(twist, demand_scale=between(1.01, 1.03))
    if any(s.calendar for s in plant.stations):
        twist = replace(twist, slow_start_s=600.0, slow_start_scale=between(1.15, 1.4))
    return twist
