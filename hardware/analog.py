"""Analog signals of the virtual plant's machines: noise with a memory, and a shift of its mean on a worn machine.

A machine is worn when less than `WORN` of the mean life of one of its failures is left. All signals of a machine feel
it, in the same direction. Nothing else of the plant depends on them: it draws the same numbers with and without.
"""

from __future__ import annotations

from collections.abc import Iterator

from hardware.sampling import mean_of, stream
from hardware.shop import Shop
from hardware.shop_unit import WorkUnit
from sim.plant import Sensor

WORN = 0.1
SHIFT, SPREAD, LEVEL = 3.0, 0.2, 10.0
"""Of a worn machine's mean, in standard deviations of the innovations; these; the mean of one that is not worn."""
MEMORY = 0.5
"""Share of a deviation that is still there a sample later."""


def worn(unit: WorkUnit, tick_s: float) -> bool:
    """Is a failure of this machine near?"""
    lives = ((clock.left, clock.mode.after) for clock in unit.clocks if clock.mode.clock in ("odf", "tdf"))
    return any(after is not None and left < WORN * mean_of(after) * tick_s for left, after in lives)


class Analog:
    """All signals of a shop; `samples(now)` gives those of the time since the last call (plant seconds)."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.sensors = [s for s in shop.plant.sensors if s.signal is not None]
        self._rng = {s.tag: stream(shop.seed, f"signal {s.tag}") for s in self.sensors}
        self._off = dict.fromkeys(self._rng, 0.0)
        self._next = {s.tag: self._after(s, shop.env.now) for s in self.sensors}
        self.shown = dict.fromkeys(self._rng, LEVEL)

    @staticmethod
    def _after(sensor: Sensor, now: float) -> float:
        """The next whole multiple of the sensor's step."""
        assert sensor.signal is not None
        step = sensor.signal.every_ms / 1000
        return (now // step + 1) * step

    def skip(self) -> None:
        """Time has gone by unwatched."""
        self._next = {s.tag: self._after(s, self.shop.env.now) for s in self.sensors}

    def samples(self, now: float) -> Iterator[tuple[float, dict[str, float]]]:
        """(plant second, values by tag) of every sample up to `now`, the oldest first."""
        while self.sensors and (at := min(self._next.values())) <= now:
            taken = {s.tag: self._value(s) for s in self.sensors if self._next[s.tag] == at}
            self.shown |= taken
            self._next |= {s.tag: self._after(s, at) for s in self.sensors if s.tag in taken}
            yield at, taken

    def _value(self, sensor: Sensor) -> float:
        units = [u for u in self.shop.stations[sensor.thing].units if sensor.unit in (None, u.number)]
        self._off[sensor.tag] = MEMORY * self._off[sensor.tag] + float(self._rng[sensor.tag].standard_normal())
        moved = SHIFT * any(worn(u, self.shop.plant.tick_s) for u in units)
        low, high = sensor.range or (float("-inf"), float("inf"))
        return round(min(max(LEVEL + SPREAD * (self._off[sensor.tag] + moved), low), high), 4)
