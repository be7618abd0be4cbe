"""Checks of a single reading: plain functions of one signature that name what is wrong and change nothing.

`check(sensor, old, new) -> ""` or the name of the failed check. `sensor` is the plant file's (None for a tag it
does not list), `old` the tag's newest earlier reading, `new` the reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sim.plant import STATES, Sensor
from twin.model import TagState

STUCK_AFTER = 50
"""Equal readings in a row of a continuous signal before it counts as stuck."""
LATE_MS = 300_000
"""Plant ms after which a reading is late: it arrives behind the lateness window."""
AHEAD_MS = 60_000
"""A reading stamped further ahead of the twin's clock comes from a wrong clock."""
LEVEL_RATE = 50.0
"""Largest believable change of a level (parts a second of plant time); counters have a rate of their own."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A reading as the checks see it: `now` is the plant time of the newest tick (ms)."""

    value: float
    t: int
    quality: int
    now: int


Check = Callable[[Sensor | None, TagState | None, Probe], str]


def unit(sensor: Sensor | None, _: TagState | None, new: Probe) -> str:
    """A state must be one of the seven, a count a whole number, any number finite."""
    if not math.isfinite(new.value):
        return "unit"
    if sensor is None:
        return ""
    if sensor.type == "enum" and not (new.value.is_integer() and 0 <= new.value < len(STATES)):
        return "unit"
    return "unit" if sensor.type in ("counter", "int") and not float(new.value).is_integer() else ""


def value_range(sensor: Sensor | None, _: TagState | None, new: Probe) -> str:
    """Inside the declared range; a counter or level is never negative."""
    if sensor is None or sensor.type == "enum":
        return ""
    if sensor.range is not None and not sensor.range[0] <= new.value <= sensor.range[1]:
        return "range"
    return "range" if sensor.type in ("counter", "int") and new.value < 0 else ""


def rate(sensor: Sensor | None, old: TagState | None, new: Probe) -> str:
    """No jump that the plant cannot make."""
    if sensor is None or old is None or sensor.type == "enum" or new.t < old.t:
        return ""
    seconds = max(new.t - old.t, 1000) / 1000
    return "rate" if abs(new.value - old.value) > 100 + LEVEL_RATE * seconds else ""


def stuck(sensor: Sensor | None, old: TagState | None, new: Probe) -> str:
    """A continuous signal that never moves at all."""
    if sensor is None or old is None or sensor.type != "float":
        return ""
    return "stuck" if new.value == old.value and old.same >= STUCK_AFTER else ""


def stale(_: Sensor | None, __: TagState | None, new: Probe) -> str:
    """The sender itself says that the value is stale, bad or uncertain."""
    return {1: "uncertain", 2: "stale", 3: "bad"}.get(new.quality, "")


def late(_: Sensor | None, __: TagState | None, new: Probe) -> str:
    """Stamped far behind or ahead of the twin's clock."""
    if new.now and new.t > new.now + AHEAD_MS:
        return "ahead"
    return "late" if new.now and new.t < new.now - LATE_MS else ""


CHECKS: tuple[tuple[str, Check], ...] = (
    ("unit", unit),
    ("range", value_range),
    ("rate", rate),
    ("stuck", stuck),
    ("stale", stale),
    ("late", late),
)
REFUSED = frozenset({"unit", "range", "rate", "bad", "ahead"})
"""Failures after which the reading is shown with its flag but not believed; the others are believed and flagged."""


def run_checks(sensor: Sensor | None, old: TagState | None, new: Probe) -> list[str]:
    """Names of all failed checks, in the order of `CHECKS`."""
    return [name for _, check in CHECKS if (name := check(sensor, old, new))]
