"""One plant from its tag list to its forecasts: a week of listening, then fifteen shifts forecast at their beginning.

Everybody knows the booked output of the shifts that are over (the truth): the rivals take it as it is, the twin uses it
to put its own forecasts right. How is the running twin's own code (`twin/shiftcast.py`); what it does by itself live
(`twin/shiftbook.py`: the state kept at the change of shift, forecasts made again after a week and with new hours) is
done here at the given moments. The twin's own forecast stands beside the corrected one. At the end of the week the
engineer approves the hours of work that the twin proposes; nothing else is touched by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml

from benchmarks.hidden_plants import engineer, why
from benchmarks.hidden_plants.border import MONDAY_MS, Border, ms
from benchmarks.hidden_plants.field import Field, Wiring, wire
from benchmarks.hidden_plants.model import Floor
from benchmarks.hidden_plants.rivals import SPREAD
from benchmarks.hidden_plants.spec import DAY, WEEK, Plant, draw, official_shifts
from ingest.mapping import load as load_mapping
from ingest.wire import Row
from sim.compile import Compiled, compile_plant
from sim.plantfile import load
from twin.shiftbook import SETTLED_MS
from twin.shiftcast import again, good_by, pack, replicas
from twin.shiftplan import Difference, differences, opening_hours
from twin.shifts import Shift as Window
from twin.tracker import Tracker

SHIFTS = 15


@dataclass
class Shift:
    """Seconds; `out` good parts that the hidden plant really finished in it."""

    kind: str
    a: float
    b: float
    out: int


@dataclass
class Story:
    """Everything that came of one plant. `rows` one for each shift that was forecast, `past` one for each of the
    time of listening, forecast at its end; `out` of both is the truth, `counted` what the twin itself has counted.
    """

    plant: Plant
    wiring: Wiring
    rows: list[dict[str, Any]] = field(default_factory=list)
    past: list[dict[str, Any]] = field(default_factory=list)
    found: list[Difference] = field(default_factory=list)


def run(seed: int, folder: Path, listen: float = WEEK, shifts: int = SHIFTS) -> dict[str, Any]:
    """The raw result of one plant, as plain JSON; `rivals.score` makes the figures of it."""
    plant, wiring = draw(seed), wire(draw(seed))
    registers = Field(plant, wiring)
    floor = Floor(plant, registers.tell)
    worked = plan_of(plant, floor, listen, shifts)
    end = worked[-1].b + 120
    files = engineer.write(plant, wiring, folder)
    story = Story(plant, wiring)
    twin = Twin(files[0])
    border = Border(twin.compiled.plant, load_mapping(files[1], twin.compiled.plant), wiring, seed)
    _listen(story, twin, border.rows(registers.stream(), 0.0, end), worked, listen)
    return {
        "seed": seed,
        "kind": plant.kind,
        "release": plant.release,
        "stations": len(plant.stations),
        "dirt": wiring.dirt,
        "calendar": [one.text for one in story.found],
        "went_wrong": why.went_wrong(story, twin, border, floor),
        "past": story.past,
        "shifts": story.rows,
    }


def plan_of(plant: Plant, floor: Floor, listen: float, shifts: int) -> list[Shift]:
    """Run the hidden plant; its official shifts until `shifts` of them lie behind the time of listening."""
    plan = [(n, a, b) for n, a, b in official_shifts(plant, 21) if b > 0 or a < 0]
    scored = [s for s in plan if s[1] >= listen][:shifts]
    end = scored[-1][2]
    floor.run(end + 600)
    at = np.array([t for t, _ in floor.done])
    found = []
    for name, a, b in plan:
        if b <= end:
            found.append(Shift(name, a, b, int(((at >= a) & (at < b)).sum())))
    return found


class Twin:
    """The tracker of the engineer's plant file, and the model that forecasts are made with."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.compiled: Compiled = compile_plant(load(str(file)))
        self.tracker = Tracker(self.compiled.plant)

    def shift(self, shift: Shift, kept: bytes | None = None) -> list[float]:
        """Replicas of the good parts of a shift from the live state (or one that is kept), as the running twin has them
        (a gateway whose clock runs ahead has told of what comes).
        """
        state, seed = self.tracker.state, round(shift.a) % 1_000_003
        window = Window(shift.kind, ms(shift.a), ms(shift.b))
        if kept is not None:
            return again(self.compiled, kept, window, state.learned, state.refits, seed)
        return replicas(self.compiled, state, window.a, window.b, seed)

    def look_back(self, kept: Sequence[tuple[Shift, bytes]]) -> list[dict[str, Any]]:
        """Forecast the shifts that are over from the states kept at their beginning, with what is known now."""
        return [{"kind": s.kind, "a": s.a, "b": s.b, "values": self.shift(s, state), "out": s.out} for s, state in kept]

    def approve(self, found: list[Difference]) -> None:
        """The hours of work that were proposed, in a plant file of its own; forecasts use it from now on."""
        if not found:
            return
        content = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        for name, calendar in content["calendars"].items():
            calendar["open"] = opening_hours(self.compiled.plant, name, found)
            calendar.pop("breaks", None)
        path = self.file.with_name("approved.yaml")
        path.write_text("# As lived.\n" + yaml.safe_dump(content, sort_keys=False, width=200), encoding="utf-8")
        self.compiled = compile_plant(load(str(path)))


def _listen(story: Story, twin: Twin, rows: Iterator[Row], worked: Sequence[Shift], listen: float) -> None:
    counts: dict[float, int | None] = {}
    changes = sorted({t for s in worked if s.a >= 0 for t in (s.a, s.b)})
    ahead = [s for s in worked if s.a >= DAY]  # the first day everything is new
    before = [s for s in worked if 0 <= s.a < DAY]  # the line began empty before that
    kept: list[tuple[Shift, bytes]] = []
    for row in rows:
        while ahead and row.recv >= ms(ahead[0].a):
            shift = ahead.pop(0)
            if shift.a < listen:
                kept.append((shift, pack(twin.tracker.state)))
            else:
                if kept:
                    story.found = differences(twin.compiled.plant, twin.tracker.learned.active)
                    twin.approve(story.found)
                    story.past = twin.look_back([k for k in kept if k[0].b <= shift.a])
                    kept = []
                story.rows.append(_forecast(twin, shift, before))
            before.append(shift)
        twin.tracker.apply(row)
        while changes and row.recv >= ms(changes[0]) + SETTLED_MS:
            counts[changes[0]] = good_by(twin.tracker.state, ms(changes[0]))
            changes.pop(0)
    for told in story.past + story.rows:
        began, end = (counts.get(told[side]) for side in ("a", "b"))
        told["counted"] = None if began is None or end is None else end - began


def _forecast(twin: Twin, shift: Shift, before: Sequence[Shift]) -> dict[str, Any]:
    """Everybody's forecast of a shift: the twin's replicas, the rivals' numbers, all shifts of its kind so far."""
    over = [s for s in before if s.b <= shift.a]
    same = [s for s in over if s.kind == shift.kind]
    week = [s.out for s in over if s.a == shift.a - WEEK]
    return {
        "kind": shift.kind,
        "a": shift.a,
        "b": shift.b,
        "t": MONDAY_MS + round(shift.a * 1000),
        "out": shift.out,
        "values": twin.shift(shift),
        "last shift": over[-1].out,
        "same shift a day before": same[-1].out,
        "same shift a week before": week[0] if week else same[-1].out,
        "mean so far": fmean(s.out for s in over),
        SPREAD: sorted(float(s.out) for s in same),
    }
