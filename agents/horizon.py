"""How long the plant takes to show what an action did."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sim.distributions import mean
from sim.plant import Control, Plant

if TYPE_CHECKING:
    from sim.compile import Compiled

SHIFT_S = 8 * 3600.0
HOUR_S = 3600.0
LONGEST_S = 60 * 86_400.0


def repair_s(plant: Plant) -> float:
    """Longest mean repair time of the plant, seconds."""
    return max([mean(s.fails.repair) for s in plant.stations if s.fails], default=0.0) * plant.tick_s


def flow_s(plant: Plant, product: str | None = None) -> float:
    """Flow time to expect of a product (of the slowest one if None), seconds: twice its raw process time, since a part in a
    line loaded as these are waits about as long as it is worked on. An estimate for horizons, not a KPI."""
    raw = [sum(mean(step.work) for step in p.steps) for p in plant.products if product in {None, p.id}]
    return 2.0 * max(raw, default=0.0) * plant.tick_s


def lead_s(plant: Plant, stock: str | None = None) -> float:
    """Mean lead time plus review period of a supplied stock (of the slowest one if None), seconds."""
    found = [mean(s.lead) + (s.review or 0) for s in plant.stocks if s.lead is not None and stock in {None, s.id}]
    return max(found, default=0.0) * plant.tick_s


def scale_s(plant: Plant) -> float:
    """The plant's slowest time scale, seconds: what runs, warm-ups and discounting are measured against."""
    return max(lead_s(plant), 3.0 * repair_s(plant) + flow_s(plant))


def open_time_s(control: Control, plant: Plant) -> float:
    """Open time an action needs to show its effect, seconds: three repair times plus the flow time of what it touches, and a shift
    (an hour at a plant without calendars) at least; for a supply action the plant must then still use what the order brings."""
    owner = control.sets.split(".")[1]
    product = owner if control.sets.startswith("release.") else None
    return max(3.0 * repair_s(plant) + flow_s(plant, product), SHIFT_S if plant.calendars else HOUR_S)


def horizon_ticks(control: Control, compiled: Compiled, now: int) -> int:
    """Ticks from tick `now` over which an action is judged: its lead time first, then its open time."""
    plant = compiled.plant
    wait = 0.0
    if control.sets.startswith("stocks."):
        stock = next(s for s in plant.stocks if s.id == control.sets.split(".")[1])
        # two days of a late delivery must not hide behind the mean: half a lead time of slack
        wait = lead_s(plant, stock.id) + 0.5 * (mean(stock.lead) * plant.tick_s if stock.lead else 0.0)
    needed = open_time_s(control, plant)
    if not plant.calendars:
        return round((wait + needed) / plant.tick_s)
    total, opened = wait, 0.0
    quarter = 900.0
    while opened < needed and total < LONGEST_S:
        if _open_at(compiled, now, total):
            opened += quarter
        total += quarter
    return round(total / plant.tick_s)


def _open_at(compiled: Compiled, now: int, after_s: float) -> bool:
    """Whether any calendar of the plant is open `after_s` seconds after tick `now`."""
    local = (compiled.start + timedelta(seconds=now * compiled.plant.tick_s + after_s)).astimezone(ZoneInfo(compiled.plant.timezone))
    minute = local.hour * 60 + local.minute
    for calendar in compiled.plant.calendars:
        for day, start, end in calendar.open:
            if day == local.weekday() and start <= minute < end:
                return True
            if (day + 1) % 7 == local.weekday() and start <= minute + 1440 < end:
                return True
    return False
