"""The grid of admissible setpoints, and the limits that no setpoint may break."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.envs.schema import FREE_S, digest
from agents.errors import SchemaError
from sim.plant import STATES, Control, Limit, Plant

if TYPE_CHECKING:
    from sim.state import Layout

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


class Grid:
    """The controls of a plant as a MultiDiscrete grid: index k of control c is `low + k * step`.

    `limit(values, rows, layout)` moves setpoints to the nearest admissible grid value, so nothing that leaves an agent
    breaks a limit of the plant file; what was moved is counted by the caller.
    """

    def __init__(self, plant: Plant) -> None:
        self.controls: tuple[Control, ...] = plant.controls
        self.ids: tuple[str, ...] = tuple(c.id for c in plant.controls)
        self.low = np.array([c.low for c in plant.controls], dtype=np.int64)
        self.step = np.array([max(c.step, 1) for c in plant.controls], dtype=np.int64)
        self.high = np.array(
            [c.low + (c.high - c.low) // max(c.step, 1) * max(c.step, 1) for c in plant.controls], dtype=np.int64
        )
        self.counts: Values = (self.high - self.low) // self.step + 1
        self.size = len(self.ids)
        self._alike: tuple[Values, ...] = (self.low, self.step, self.high, self.counts - 1)
        self._limits = [(limit, self.ids.index(limit.control), _watched(plant, limit)) for limit in plant.limits]
        self._nearest = self.nearest()
        self.hash = digest({"controls": [(c.id, c.sets, c.low, c.high, c.step) for c in plant.controls]})

    def decode(self, indices: NDArray[np.integer]) -> Values:
        """Setpoints [..., C] of grid indices [..., C]; indices outside the grid are cut to it."""
        low, step, _, last = self._spread(np.shape(indices))
        return low + np.clip(indices, 0, last) * step

    def _spread(self, shape: tuple[int, ...]) -> tuple[Values, ...]:
        """Low, step, high and last index as arrays of this shape [..., C]: numpy is several times as fast on arrays
        that are alike as on a short one spread over a long one.
        """
        alike = self._alike  # another thread may ask for another shape meanwhile
        if alike[0].shape != shape:
            each = (self.low, self.step, self.high, self.counts - 1)
            self._alike = alike = tuple(np.array(np.broadcast_to(x, shape)) for x in each)
        return alike

    def encode(self, values: Values) -> Values:
        """Nearest grid indices [..., C] of setpoints [..., C]."""
        low, step, _, last = self._spread(np.shape(values))
        return np.clip((np.asarray(values) - low + step // 2) // step, 0, last)

    def vector(self, values: dict[str, int]) -> Values:
        """Setpoints [C] from a mapping that names every control once."""
        if set(values) != set(self.ids):
            raise SchemaError(
                f"setpoints for {sorted(values)}, but the plant's controls are {sorted(self.ids)}; name each once"
            )
        return np.array([values[i] for i in self.ids], dtype=np.int64)

    def limit(self, values: Values, rows: Rows, layout: Layout) -> Values:
        """Admissible setpoints [R, C] nearest to `values` [R, C] in the states of rows [R, W]."""
        low, _, high, _ = self._spread(np.shape(values))
        out = np.clip(values, low, high)
        if not self._limits:
            return out
        index = self.encode(out)
        for c, watched, nearest in self._nearest:
            column = index[:, c]
            if watched is None:
                index[:, c] = nearest[column]
            else:
                active = rows[:, layout.at("n_state", *watched)] > 0
                index[:, c] = np.where(active, nearest[column], column)
        return self.decode(index)

    def nearest(self) -> list[tuple[int, tuple[int, int] | None, NDArray[np.int64]]]:
        """The limits as tables: control, (station, state) that switches the limit on or None for always, and by grid
        index the nearest index that it admits.
        """
        found = []
        for limit, c, watched in self._limits:
            allowed = np.flatnonzero(_holds(self.low[c] + np.arange(self.counts[c]) * self.step[c], limit))
            if allowed.size:
                away = np.abs(allowed[None, :] - np.arange(self.counts[c])[:, None])
                found.append((c, watched, allowed[away.argmin(axis=1)]))
        return found

    def depends(self, values: Values) -> bool:
        """May a limit that holds in some states only move any of these setpoints [R, C]? Otherwise they can be set
        once and left.
        """
        return any(
            watched is not None and not _holds(np.asarray(values)[:, c], limit).all()
            for limit, c, watched in self._limits
        )

    def broken(self, values: Values, rows: Rows, layout: Layout) -> list[str]:
        """Limits of the plant file that setpoints [C] would break in any of the rows' states, as text."""
        found = []
        for limit, c, watched in self._limits:
            active = watched is None or bool((layout.view(rows, "n_state")[:, watched[0], watched[1]] > 0).any())
            if active and not _holds(np.array([values[c]]), limit)[0]:
                found.append(
                    f"{limit.control} {limit.op} {limit.value:g}"
                    + (f" while {limit.condition}" if limit.condition else "")
                )
        return found


def switches(plant: Plant) -> tuple[str, ...]:
    """Controls that, asked at every event, only say yes or no: all that matters is on which side of the plant's present
    state they lie, so their lowest and highest values say all there is to say. Such are, where they may move at any
    time: the condition at which the one unit of a station is maintained, and the base stock of a product of which at
    most one part may be on its way.
    """
    found = []
    for control in plant.controls:
        if control.every * plant.tick_s >= FREE_S:
            continue
        kind, name, what = (*control.sets.split("."), "", "")[:3]
        one_unit = any(s.id == name and s.units == 1 for s in plant.stations)
        one_part = any(p.id == name and p.release.policy == "conwip" and p.release.cap == 1 for p in plant.products)
        capped = any(c.sets == f"release.{name}.cap" for c in plant.controls)
        if (kind, what) == ("stations", "at_level") and one_unit:
            found.append(control.id)
        if (kind, what) == ("release", "base_stock") and one_part and not capped:
            found.append(control.id)
    return tuple(found)


def as_switches(plant: Plant) -> Plant:
    """The plant with only the lowest and the highest value of each control that is a switch."""
    names = switches(plant)
    controls = tuple(replace(c, step=c.high - c.low) if c.id in names else c for c in plant.controls)
    return replace(plant, controls=controls)


def _holds(values: Values, limit: Limit) -> NDArray[np.bool_]:
    compare = {
        "<=": np.less_equal,
        ">=": np.greater_equal,
        "<": np.less,
        ">": np.greater,
        "==": np.equal,
        "!=": np.not_equal,
    }[limit.op]
    result: NDArray[np.bool_] = compare(values, limit.value)
    return result


def _watched(plant: Plant, limit: Limit) -> tuple[int, int] | None:
    """(station index, state code) that a limit's condition looks at; None for a limit that always holds."""
    if not limit.condition:
        return None
    thing, state = limit.condition.split(".")
    return next(i for i, s in enumerate(plant.stations) if s.id == thing), STATES.index(state)
