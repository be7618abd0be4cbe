"""What each observed number means, in which unit, and between which bounds it lies: for people and for checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.envs.pipeline import Pipeline
from agents.envs.schema import CLIP, CLOCK, Column, columns, keeps_hours, stock_scale
from sim.plant import STATES, Control, Plant, Station

if TYPE_CHECKING:
    from sim.compile import Compiled

DOING = {
    "work": "work",
    "blocked": "hold a part that cannot go on",
    "starved": "have nothing to do",
    "setup": "are being set up",
    "down": "are down",
    "off": "are off by the calendar",
}
SETS = {
    "cap": "parts", "base_stock": "units", "level": "units", "reorder": "units", "express": "units", "kanban": "cards",
    "at_level": "condition", "overtime": "ticks",
}  # fmt: skip
"""Last word of what a control sets -> its unit; weights of dispatching have none."""


@dataclass(frozen=True, slots=True)
class Field:
    """One observed number: `name`, what it means, the `unit` of the quantity behind it, how much of that is observed
    as 1 (`one`) and as 0 (`zero`), and the bounds [low, high] of what is observed.
    """

    name: str
    meaning: str
    unit: str
    one: float
    zero: float
    low: float
    high: float


def unit_of(control: Control) -> str:
    """The unit of a control's setpoints."""
    return SETS.get(control.sets.rsplit(".", 1)[-1], "weight")


def fields(compiled: Compiled) -> list[Field]:
    """The observed numbers of a plant, in the order of an observation (`agents.envs.schema.Observer.fields`)."""
    plant, found = compiled.plant, [_field(c, compiled.plant) for c in columns(compiled.plant)]
    pipeline = Pipeline(compiled)
    shares = iter(pipeline.shares)
    for stretch in pipeline.stretches:
        period = f"{stretch.ticks * plant.tick_s / 3600:g} h"
        for k, name in enumerate(stretch.names):
            stock, part = next(shares)
            later = " and later" if k + 1 == stretch.count else ""
            said = f"arrives at {stock} in the {k + 1}. period of {period} from now{later}"
            found.append(Field(name, said, "units", part * stock_scale(plant, stock), 0.0, 0.0, CLIP))
    for name in CLOCK if keeps_hours(plant) else ():
        turn, wave = name.removeprefix("time.").split("_")
        word = {"sin": "sine", "cos": "cosine"}[wave]
        found.append(Field(name, f"{word} of the local time of {turn} as an angle", "", 1.0, 0.0, -1.0, 1.0))
    return found


def _field(column: Column, plant: Plant) -> Field:
    said, unit, high = _meaning(column, plant)
    one = 1.0 / column.scale
    # a unit that is not down stands at -1, whatever the clocks of the stations before it
    low = column.scale * min(-1.0 - column.shift, 0.0) if column.field == "unit_mode" else 0.0
    return Field(column.name, said, unit, one + column.shift, column.shift, max(low, -CLIP), high)


def _meaning(column: Column, plant: Plant) -> tuple[str, str, float]:
    """(what it means, unit of the quantity, upper bound of what is observed) of a column of the row."""
    thing, at = column.name.rpartition(".")[0], column.index[0]
    if column.field == "n_state":
        station = plant.stations[at]
        units = "unit" if station.units == 1 else "units"
        return f"units of {thing} that {DOING[STATES[column.index[1]]]}", units, 1.0
    if column.field == "unit_level":
        return f"condition of {thing}, 0 as new", "levels", 1.0
    if column.field == "unit_mode":
        return f"mode that {thing} is down for, in their order, 0 none", "modes", 1.0
    if column.field == "cal_open":
        return f"calendar {thing} is open", "", 1.0
    control = next((c for c in plant.controls if f"control.{c.id}" == column.name), None)
    if control is not None:
        return f"setpoint of {control.id}", unit_of(control), 1.0
    words = {
        "q_len": ("parts in front of {}", "parts"),
        "on_hand": ("on hand in {}", "units"),
        "backorders": ("owed to the customers of {}", "units"),
        "on_order": ("ordered for {} and not yet there", "units"),
        "wip": ("{} released and not yet finished", "parts"),
        "pending": ("orders of {} that wait for release", "orders"),
    }
    said, unit = words[column.field]
    return said.format(_queue(plant.stations[at]) if column.field == "q_len" else thing), unit, CLIP


def _queue(station: Station) -> str:
    return f"{station.id} (buffer {station.buffer})" if station.buffer else station.id
