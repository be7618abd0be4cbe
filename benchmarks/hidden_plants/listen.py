"""One plant from its tag list to its forecasts: a week of listening, then fifteen shifts forecast at their beginning.

Everybody knows the booked output of the shifts that are over (the truth): the rivals take it as it is, the twin uses it
to put its own forecasts right (`twin/experience.py`). The twin's own forecast stands beside the corrected one. At the
end of the week the engineer approves the hours of work that the twin proposes; nothing else is touched by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
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
from benchmarks.hidden_plants.rivals import RIVALS, SPREAD
from benchmarks.hidden_plants.spec import DAY, WEEK, Plant, draw, official_shifts
from ingest.mapping import load as load_mapping
from ingest.wire import Row
from sim import engine
from sim.compile import Compiled, compile_plant
from sim.plantfile import load
from sim.traits import end_products
from twin.estimate import ensemble, to_tick
from twin.experience import Experience
from twin.model import TwinState
from twin.scores import HIGH, LOW, RANKED, crps
from twin.shiftplan import Difference, differences, opening_hours
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
    """Everything that came of one plant. `rows` one for each shift that was forecast and scored."""

    plant: Plant
    wiring: Wiring
    rows: list[dict[str, Any]] = field(default_factory=list)
    found: list[Difference] = field(default_factory=list)
    went_wrong: list[str] = field(default_factory=list)


def run(seed: int, folder: Path, listen: float = WEEK, shifts: int = SHIFTS) -> dict[str, Any]:
    """The result of one plant, as plain JSON."""
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
    story.went_wrong = why.went_wrong(story, twin, border, floor)
    return summary(story)


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
        self.experience = Experience()

    def shift(self, shift: Shift, state: TwinState | None = None) -> list[float]:
        """Replicas of the good parts of a shift from the live state (or one that is kept), sorted."""
        state = self.tracker.state if state is None else state
        rows = ensemble(self.compiled, state, round(shift.a) % 1_000_003, RANKED)
        done = self.compiled.layout.view(rows, "finished")
        products = end_products(self.compiled.plant)
        engine.run(rows, self.compiled, to_tick(self.compiled, ms(shift.a)))
        before = done[:, products].sum(axis=1)
        engine.run(rows, self.compiled, to_tick(self.compiled, ms(shift.b)))
        return sorted(float(v) for v in done[:, products].sum(axis=1) - before)

    def look_back(self, kept: Sequence[tuple[Shift, TwinState]]) -> None:
        """Forecast the shifts that are over from the states kept at their beginning, with what is known now."""
        self.experience = Experience()
        for shift, state in kept:
            state.learned = self.tracker.learned
            self.experience.add(shift.kind, self.shift(shift, state), shift.out)

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
    ahead = [s for s in worked if s.a >= DAY]  # the first day everything is new
    before = [s for s in worked if 0 <= s.a < DAY]  # the line began empty before that
    kept: list[tuple[Shift, TwinState]] = []
    running: tuple[Shift, list[float]] | None = None
    for row in rows:
        while ahead and row.recv >= ms(ahead[0].a):
            shift = ahead.pop(0)
            if shift.a < listen:
                kept.append((shift, deepcopy(twin.tracker.state)))
            else:
                if kept:
                    story.found = differences(twin.compiled.plant, twin.tracker.learned.active)
                    twin.approve(story.found)
                    twin.look_back([k for k in kept if k[0].b <= shift.a])
                    kept = []
                if running is not None:
                    twin.experience.add(running[0].kind, running[1], running[0].out)
                running = shift, twin.shift(shift)
                story.rows.append(_score(twin, shift, running[1], before))
            before.append(shift)
        twin.tracker.apply(row)


def _score(twin: Twin, shift: Shift, values: list[float], before: Sequence[Shift]) -> dict[str, Any]:
    """A scored shift: everybody's CRPS (of a single number the absolute error), the twin's band and mean."""
    over = [s for s in before if s.b <= shift.a]
    same = [s for s in over if s.kind == shift.kind]
    week = [s.out for s in over if s.a == shift.a - WEEK]
    single = {
        "last shift": over[-1].out,
        "same shift a day before": same[-1].out,
        "same shift a week before": week[0] if week else same[-1].out,
        "mean so far": fmean(s.out for s in over),
    }
    right = sorted(twin.experience.corrected(shift.kind, values))
    out = float(shift.out)
    return {
        "kind": shift.kind,
        "t": MONDAY_MS + round(shift.a * 1000),
        "out": shift.out,
        "mean": fmean(right),
        "lo": right[LOW],
        "hi": right[HIGH],
        "covered": bool(right[LOW] <= out <= right[HIGH]),
        "twin": crps(right, out),
        "alone": crps(values, out),
        "alone_mean": fmean(values),
        "mae": abs(fmean(right) - out),
        **{name: abs(value - out) for name, value in single.items()},
        SPREAD: crps(sorted(float(s.out) for s in same), out),
    }


def summary(story: Story) -> dict[str, Any]:
    """One plant's line of the table."""
    rows, plant = story.rows, story.plant
    means = {who: fmean(r[who] for r in rows) for who in ("twin", "alone", "mae", *RIVALS, SPREAD)}
    return {
        "seed": plant.seed,
        "kind": plant.kind,
        "release": plant.release,
        "stations": len(plant.stations),
        "dirt": story.wiring.dirt,
        "n": len(rows),
        "output": fmean(r["out"] for r in rows),
        "coverage": fmean(r["covered"] for r in rows),
        "bias": fmean(r["mean"] - r["out"] for r in rows),
        "bias_alone": fmean(r["alone_mean"] - r["out"] for r in rows),
        "crps": means,
        "calendar": [one.text for one in story.found],
        "went_wrong": story.went_wrong,
        "shifts": rows,
    }
