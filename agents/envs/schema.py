"""What an agent sees and may do: named observation fields and the grid of its controls.

Both are derived from the plant file alone, in file order, and carry a hash, so that a policy made for one plant is
refused on another whose fields or grids differ (and accepted where only numbers such as times and costs changed).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.envs.pipeline import Pipeline
from agents.errors import SchemaError
from sim.plant import STATES, UNLIMITED, Plant

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

CLIP = 10.0
"""Observations are cut at this bound: beyond ten times its scale a quantity says only "very much"."""


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of a value, as `sha256:...`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Column:
    """One observed quantity: `scale` x (row field `field[index]` - `shift`)."""

    name: str
    field: str
    index: tuple[int, ...]
    scale: float
    shift: float = 0.0


def stock_scale(plant: Plant, stock_id: str) -> float:
    """A quantity of this stock that counts as "full": its highest admissible level, else what the file starts with."""
    stock = next(s for s in plant.stocks if s.id == stock_id)
    highs = [c.high for c in plant.controls if c.sets == f"stocks.{stock_id}.level"]
    if stock.source == "line":
        highs += [c.high for c in plant.controls if c.sets.startswith(f"release.{stock.item}.")]
    return float(max([*highs, stock.level or 0, stock.reorder or 0, stock.initial, 10]))


def _product_scale(plant: Plant, index: int) -> float:
    """Parts of this product that count as "full": the highest cap that may be set for it or for a group it is in."""
    product = plant.products[index]
    groups = [g for g in plant.groups if product.id in {name for name, _ in g.mix}]
    sets = {f"release.{product.id}.cap", *(f"groups.{g.id}.cap" for g in groups)}
    highs = [c.high for c in plant.controls if c.sets in sets]
    return float(max([*highs, *(g.cap for g in groups), product.release.cap or 0, 10]))


def _of_stations(plant: Plant, wip_scale: float) -> list[Column]:
    out: list[Column] = []
    first_unit = first_clock = 0
    for i, station in enumerate(plant.stations):
        empty = _forgets(plant, station.id)
        states = [] if empty else ["work", "blocked", "starved"]
        states += ["setup"] if station.setups else []
        states += ["down"] if station.modes else []
        states += ["off"] if station.calendar else []
        for state in states:
            out.append(Column(f"{station.id}.{state}", "n_state", (i, STATES.index(state)), 1.0 / station.units))
        if station.condition is not None:
            levels = float(len(station.condition.wear))
            for u in range(station.units):
                name = f"{station.id}.condition" if station.units == 1 else f"{station.id}.{u + 1}.condition"
                out.append(Column(name, "unit_level", (first_unit + u,), 1.0 / levels))
                if len(station.modes) > 1:  # being maintained and being repaired last differently long
                    before = float(first_clock + u * len(station.modes) - 1)
                    name = f"{name.removesuffix('.condition')}.mode"
                    out.append(Column(name, "unit_mode", (first_unit + u,), 1.0 / len(station.modes), before))
        first_unit += station.units
        first_clock += station.units * len(station.modes)
        room = float(station.capacity) if station.capacity not in {UNLIMITED, 0} else wip_scale
        if not empty:
            out.append(Column(f"{station.id}.queue", "q_len", (i,), 1.0 / room))
    return out


def columns(plant: Plant) -> list[Column]:
    """The observed columns of a plant that are fields of its row (without arrivals and clock); see docs/agents.md for
    the meaning of each.
    """
    from sim.compile import control_field

    out: list[Column] = []
    wip_scale = max([_product_scale(plant, i) for i in range(len(plant.products))], default=10.0)
    out += _of_stations(plant, wip_scale)
    for i, stock in enumerate(plant.stocks):
        scale = 1.0 / stock_scale(plant, stock.id)
        out.append(Column(f"{stock.id}.on_hand", "on_hand", (i,), scale))
        if any(d.stock == stock.id for d in plant.demands):
            out.append(Column(f"{stock.id}.backorders", "backorders", (i,), scale))
        if stock.source != "line":
            out.append(Column(f"{stock.id}.on_order", "on_order", (i,), scale))
    for i, product in enumerate(plant.products):
        if all(_forgets(plant, s) for step in product.steps for s, _ in step.eligible):
            continue
        out.append(Column(f"{product.id}.wip", "wip", (i,), 1.0 / _product_scale(plant, i)))
        if product.release.policy in {"push", "orders"}:
            out.append(Column(f"{product.id}.pending", "pending", (i,), 0.1))
    for control in plant.controls:
        if control.every * plant.tick_s < FREE_S:
            continue
        name, index = control_field(plant, control.sets)
        span = max(control.high - control.low, 1)
        out.append(Column(f"control.{control.id}", name, index, 1.0 / span, float(control.low)))
    for i, calendar in enumerate(plant.calendars):
        out.append(Column(f"{calendar.id}.open", "cal_open", (i,), 1.0))
    return out


def _forgets(plant: Plant, station: str) -> bool:
    """Does what this station has in hand say nothing about what is to come? So it is where every part that comes here
    may be given up at any event (`surplus: scrapped`), has no other operation, and its work forgets how long it lasted.
    """
    visits = [(p, s) for p in plant.products for s in p.steps if station in {name for name, _ in s.eligible}]
    plain = not next(s for s in plant.stations if s.id == station).setups
    return (
        plain
        and bool(visits)
        and all(
            p.release.stops and len(p.steps) == 1 and all(work.kind == "exponential" for _, work in s.eligible)
            for p, s in visits
        )
    )


FREE_S = 60.0
"""A control that may move again sooner than this is free: where it stands says nothing about what is to come."""
CLOCK = ("time.day_sin", "time.day_cos", "time.week_sin", "time.week_cos")
"""Local time of tick 0 plus elapsed time, as angles; an hour's shift at a daylight-saving change is ignored."""


_SECTORS = 4096
_SECTOR = 2.0 * np.pi / _SECTORS
_SINES, _COSINES = np.sin(np.arange(_SECTORS) * _SECTOR), np.cos(np.arange(_SECTORS) * _SECTOR)


def angle(turns: Doubles) -> tuple[Doubles, Doubles]:
    """Sine and cosine of 2 pi x `turns` >= 0, to 1e-9: by a table and the angle addition formulas, many times as fast
    as the functions themselves, which would cost a batch as much as its simulation.
    """
    place = turns * _SECTORS
    sector = place.astype(np.int64)
    rest = (place - sector) * _SECTOR
    sector &= _SECTORS - 1
    cosine = 1.0 - 0.5 * (rest * rest)
    a, b = _SINES[sector], _COSINES[sector]
    return a * cosine + b * rest, b * cosine - a * rest


def keeps_hours(plant: Plant) -> bool:
    """Does anything in this plant depend on the time of day or week?"""
    return bool(plant.calendars) or plant.tariff is not None or any(d.season for d in plant.demands)


class Observer:
    """Turns rows [R, W] into observations [R, D], float32 in [-10, 10], whose columns are `fields`."""

    def __init__(self, compiled: Compiled) -> None:
        layout = compiled.layout
        cols = columns(compiled.plant)
        self.clock = CLOCK if keeps_hours(compiled.plant) else ()
        self.pipeline = Pipeline(compiled)
        self.fields: tuple[str, ...] = tuple(c.name for c in cols) + self.pipeline.names + self.clock
        self.size = len(self.fields)
        self.offsets = np.array([layout.at(c.field, *c.index) for c in cols], dtype=np.int64)
        coming = [1.0 / (part * stock_scale(compiled.plant, stock)) for stock, part in self.pipeline.shares]
        self.scale = np.array([*(c.scale for c in cols), *coming], dtype=np.float32)
        self.shift = np.array([*(c.shift * c.scale for c in cols), *(0.0 for _ in coming)], dtype=np.float32)
        self._now = layout.at("now")
        self._shifts = np.zeros((0, self.size), dtype=np.float32)
        made = self.size - self.offsets.size
        self.positions = np.concatenate([self.offsets, np.full(made, self._now)])
        """Where the columns stand in a row, int64 [D]; those of arrivals and of the clock are made by `finish`."""
        start = compiled.start
        since_monday = ((start.weekday() * 24 + start.hour) * 60 + start.minute) * 60 + start.second
        self.tick_s = compiled.plant.tick_s
        self.start_s = float(since_monday)
        seen = {"observation": [(c.name, c.field, c.index) for c in cols], "clock": self.clock, "clip": CLIP}
        # only where there are such columns: policies made before there were any keep their hash
        self.hash = digest(seen | ({"arriving": self.pipeline.names} if self.pipeline.names else {}))

    def scaling(self) -> dict[str, list[float]]:
        """What a policy file keeps so that the scales of its training are used, not those of a changed plant file."""
        return {"scale": [float(x) for x in self.scale], "shift": [float(x) for x in self.shift]}

    def use_scaling(self, scaling: dict[str, list[float]]) -> None:
        """Take the scales a policy was trained with."""
        scale, shift = (np.array(scaling[k], dtype=np.float32) for k in ("scale", "shift"))
        if scale.shape != self.scale.shape or shift.shape != self.shift.shape:
            raise SchemaError(
                f"scaling for {scale.size} observed columns, this plant has {self.scale.size}; train for this plant"
            )
        self.scale, self.shift = scale, shift
        self._shifts = np.zeros((0, self.size), dtype=np.float32)

    @property
    def factors(self) -> NDArray[np.float64]:
        """What the kernel multiplies the numbers at `positions` with, float64 [D]."""
        factors = np.zeros(self.size)
        factors[: self.offsets.size] = self.scale[: self.offsets.size]
        return factors

    def finish(self, rows: Rows, out: Floats) -> None:
        """From the numbers of rows [R, W] at `positions` times `factors`, in `out` [R, D], to observations."""
        n = self.offsets.size
        self.pipeline.write(rows, self.scale[n:], n, out)
        shifts = self._shifts
        if len(shifts) < len(out):  # numpy is several times as fast on two arrays that are alike
            shifts = np.zeros(out.shape, dtype=np.float32)
            shifts[:, : self.shift.size] = self.shift
            self._shifts = shifts
        out -= shifts[: len(out)]
        np.clip(out, -CLIP, CLIP, out=out)
        if not self.clock:
            return
        day = (self.start_s + rows[:, self._now] * self.tick_s) / 86_400.0
        sines, cosines = angle(np.array([day, day / 7.0]))
        n = self.scale.size
        out[:, n], out[:, n + 2] = sines
        out[:, n + 1], out[:, n + 3] = cosines

    def __call__(self, rows: Rows, out: Floats | None = None) -> Floats:
        """Observations of rows [R, W]; written into `out` [R, D] where given."""
        if out is None:
            out = np.empty((rows.shape[0], self.size), dtype=np.float32)
        n = self.offsets.size
        np.multiply(rows[:, self.offsets], self.scale[:n], out=out[:, :n], casting="same_kind")
        out[:, n:] = 0.0
        self.finish(rows, out)
        return out
