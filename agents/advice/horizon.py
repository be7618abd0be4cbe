"""How long the plant takes to show what an action did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sim.distributions import mean
from sim.plant import Control, Mode, Plant
from sim.traffic import open_share, traffic

if TYPE_CHECKING:
    from sim.compile import Compiled

SHIFT_S = 8 * 3600.0
HOUR_S = 3600.0
LONGEST_S = 60 * 86_400.0


def repair_s(plant: Plant) -> float:
    """Longest mean time that a unit is down for one of its modes, seconds."""
    modes: list[Mode] = [m for s in plant.stations for m in s.modes]
    return max([mean(m.repair) for m in modes], default=0.0) * plant.tick_s


def flow_s(plant: Plant) -> float:
    """Flow time to expect of the slowest product, seconds: twice its raw process time, since a
    part in a line loaded as these are waits about as long as it is worked on. An estimate for horizons, not a KPI.
    """
    raw = [sum(mean(step.work) for step in p.steps) * p.transfer for p in plant.products]
    return 2.0 * max(raw, default=0.0) * plant.tick_s


def lead_s(plant: Plant, stock: str | None = None) -> float:
    """Mean lead time plus review period of a supplied stock (of the slowest one if None), seconds."""
    found = [mean(s.lead) + (s.review or 0) for s in plant.stocks if s.lead is not None and stock in {None, s.id}]
    return max(found, default=0.0) * plant.tick_s


def scale_s(plant: Plant) -> float:
    """The plant's slowest time scale, seconds: what runs, warm-ups and discounting are measured against."""
    return max(lead_s(plant), 3.0 * repair_s(plant) + flow_s(plant))


def open_time_s(plant: Plant) -> float:
    """Open time an action on the floor needs to show its effect, seconds: three repair times plus the flow time of the
    slowest product, and a shift (an hour at a plant without calendars) at least. The same for all products, so that
    what changes them can be compared over one horizon.
    """
    return max(3.0 * repair_s(plant) + flow_s(plant), SHIFT_S if plant.calendars else HOUR_S)


def relaxation_s(plant: Plant) -> float:
    """Open time in which a disturbance of the busiest station fades, seconds; 0 where nothing outside sets its load.

    Twice 1 / (mu (1 - sqrt(rho))^2), the relaxation time of a single M/M/1 queue (Abate and Whitt 1987) that is
    served as fast as the whole bottleneck. At 90 % load it is days, not hours: a plant near its limit pays for a
    missing part long after the action that caused it. Measured on gearmotor: the paired cost of one shift with a
    lower base stock had one sign over 24 h, the other over 80 h, and still grew then.
    """
    found = traffic(plant)
    rate = sum(found.rates[p.id] for p in plant.products if p.id not in found.free)
    share = max([open_share(plant, c.id) for c in plant.calendars], default=1.0)
    rho = found.bottleneck.fixed
    if rate <= 0.0 or not 0.0 < rho < 1.0:
        return 0.0
    mu = rate / share / rho
    return 2.0 / (mu * (1.0 - rho**0.5) ** 2) * plant.tick_s


@dataclass(frozen=True, slots=True)
class Reach:
    """An action is in force for `lease` ticks, then the setpoint before it returns; it is judged over `horizon` ticks.

    Judging only while it is in force would call every emptying of stocks a gain, because the refilling comes later.
    """

    lease: int
    horizon: int


def reach(control: Control, compiled: Compiled, now: int) -> Reach:
    """Lease and horizon of an action of this control taken at tick `now`.

    Release: a lease of `open_time_s` of open time. Supply: a lease of lead time plus review period (what is ordered
    must still come). The judgement goes on until what was ordered last has come, and then for the open time in which
    the plant forgets (`relaxation_s`, at least `open_time_s`, at most ten times that).
    """
    plant = compiled.plant
    needed = open_time_s(plant)
    fade = min(max(relaxation_s(plant), needed), 10.0 * needed)
    if control.sets.startswith("stocks."):
        lease = max(lead_s(plant, control.sets.split(".")[1]), needed)
        total = _until_open(compiled, now, 2.0 * lease, fade)
    else:
        lease = _until_open(compiled, now, 0.0, needed)
        total = _until_open(compiled, now, lease, fade)
    return Reach(round(lease / plant.tick_s), round(total / plant.tick_s))


def _until_open(compiled: Compiled, now: int, wait_s: float, needed_s: float) -> float:
    """Seconds from tick `now` until, after `wait_s`, the plant has been open for `needed_s`, in quarters of an hour."""
    if not compiled.plant.calendars:
        return wait_s + needed_s
    quarter = 900.0
    total, opened = wait_s, 0.0
    while opened < needed_s and total < LONGEST_S:
        opened += quarter if _open_at(compiled, now, total) else 0.0
        total += quarter
    return total


def _open_at(compiled: Compiled, now: int, after_s: float) -> bool:
    """Whether any calendar of the plant is open `after_s` seconds after tick `now`."""
    local = (compiled.start + timedelta(seconds=now * compiled.plant.tick_s + after_s)).astimezone(
        ZoneInfo(compiled.plant.timezone)
    )
    minute = local.hour * 60 + local.minute
    for calendar in compiled.plant.calendars:
        for day, start, end in calendar.open:
            if day == local.weekday() and start <= minute < end:
                return True
            if (day + 1) % 7 == local.weekday() and start <= minute + 1440 < end:
                return True
    return False
