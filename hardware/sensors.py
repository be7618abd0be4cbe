"""What the virtual plant's sensors say: registers that wrap, levels that are sometimes off by one, late tags.

The image of all tags is compared after every event; what changed goes out, some of it late or twice.
Counter registers are never late: a PLC counts in its own memory; what is noisy is the level probe and
the state signal on its way.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hardware.analog import Analog
from hardware.sampling import stream
from hardware.shop import Shop, Station
from sim.plant import STATES, Control, Sensor

Value = int | float
MODES = ("auto", "manual")
_SEVERITY = ("down", "blocked", "setup", "work", "idle", "starved", "off")
"""Which state a station with several units shows when one sensor speaks for all of them."""


@dataclass(slots=True)
class Register:
    """A counter as a PLC keeps it: `bits` wide, back to 0 at a shift change where `resets` is declared."""

    bits: int | None
    resets: bool
    base: int = 0

    def show(self, total: int) -> int:
        shown = total - self.base
        return shown % (1 << self.bits) if self.bits else shown

    def before(self, shown: int, n: int) -> int:
        """What it showed `n` counts before it showed `shown` (a reset in between is not looked behind)."""
        return (shown - n) % (1 << self.bits) if self.bits and not self.resets else max(shown - n, 0)


def resets(sensor: Sensor) -> bool:
    """Does this counter go back to 0 at a shift (or job) change?"""
    return sensor.resets not in (None, "never")


def station_state(station: Station, unit: int | None) -> int:
    """State code of one unit or, for the whole station, of its units: work if any works, else the gravest."""
    states = [u.state for u in station.units if unit in (None, u.number)]
    if "work" in states:
        return STATES.index("work")
    return STATES.index(min(states, key=_SEVERITY.index))


def _count(counter: Mapping[tuple[int, str], int], unit: int | None, product: str | None) -> int:
    return sum(n for (u, p), n in counter.items() if unit in (None, u) and product in (None, p))


def _of_station(shop: Shop, s: Sensor) -> Callable[[], Value] | None:
    station = shop.stations.get(s.thing)
    if station is None:
        return None
    return {
        "state": lambda: station_state(station, s.unit),
        "in": lambda: _count(station.started, s.unit, s.product),
        "out": lambda: _count(station.ended_, s.unit, s.product),
        "scrap": lambda: _count(station.scrap, s.unit, s.product),
        "level": lambda: len(station.queue),
        "wip": lambda: station.wip,
    }.get(s.property)


def _of_buffer(shop: Shop, s: Sensor) -> Callable[[], Value] | None:
    station = next((x for x in shop.stations.values() if x.spec.buffer == s.thing), None)
    return (lambda: len(station.queue)) if station is not None and s.property == "level" else None


def _of_stock(shop: Shop, s: Sensor) -> Callable[[], Value] | None:
    room = shop.rooms.get(s.thing)
    if room is None:
        return None
    return {
        "on_hand": lambda: room.on_hand,
        "level": lambda: room.on_hand,
        "on_order": lambda: room.on_order,
        "backorder": lambda: room.backorders,
        "demand": lambda: room.demanded,
        "shipped": lambda: room.shipped,
        "in": lambda: room.received,
        "out": lambda: room.shipped,
    }.get(s.property)


def _of_product(shop: Shop, s: Sensor) -> Callable[[], Value] | None:
    name = s.thing
    if name not in shop.wip:
        return None
    return {
        "in": lambda: shop.released[name],
        "out": lambda: shop.finished[name],
        "scrap": lambda: shop.scrapped[name],
        "wip": lambda: shop.wip[name],
    }.get(s.property)


def _of_demand(shop: Shop, s: Sensor) -> Callable[[], Value] | None:
    market = shop.markets.get(s.thing)
    if market is None:
        return None
    return {
        "demand": lambda: market.count,
        "shipped": lambda: market.shipped,
        "backorder": lambda: market.waiting,
    }.get(s.property)


def _of_control(shop: Shop, s: Sensor) -> Callable[[], Value] | None:
    control = next((c for c in shop.plant.controls if c.id == s.thing), None)
    if control is None or s.property != "set":
        return None
    path = control.sets
    return lambda: shop.settings[path]


def reader(shop: Shop, s: Sensor) -> Callable[[], Value]:
    """The true value behind a sensor; ValueError where the plant has no such thing."""
    for find in (_of_station, _of_buffer, _of_stock, _of_product, _of_demand, _of_control):
        found = find(shop, s)
        if found is not None:
            return found
    raise ValueError(
        f"sensor {s.tag}: the plant {shop.plant.id} has no {s.property} of {s.thing}; correct the plant file"
    )


def tag_of(sensor: Sensor) -> dict[str, Any]:
    """A sensor as the fieldbus announces it."""
    tag: dict[str, Any] = {"name": sensor.tag, "type": sensor.type, "cell": sensor.cell}
    if sensor.type == "enum":
        tag["enum"] = list(STATES)
    if sensor.bits:
        tag["bits"] = sensor.bits
    if resets(sensor):
        tag["resets"] = sensor.resets
    if sensor.range:
        tag["range"] = list(sensor.range)
    return tag


def set_tag(control: Control) -> dict[str, Any]:
    """The setpoint tag of a control."""
    return {"name": f"set/{control.id}", "type": "int", "range": [control.low, control.high]}


class Image:
    """All tag values as the plant's controllers hold them, and what of it changes.

    `scan(now)` returns lines for the fieldbus (without times other than `t` in plant seconds):
    ("v", t, {tag: value}) and ("event", t, event).
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.mode = "auto"
        self._rng = stream(shop.seed, "sensors")
        self._sensors = {s.tag: s for s in shop.plant.sensors}
        self._read = {s.tag: reader(shop, s) for s in shop.plant.sensors if s.signal is None}
        self._analog = Analog(shop)
        self._registers = {s.tag: Register(s.bits, resets(s)) for s in shop.plant.sensors if s.type == "counter"}
        self._shift = {s.thing: shop.shift_of(s.thing) for s in shop.plant.sensors}
        self._true: dict[str, Value] = {}
        self.shown: dict[str, Value] = {}
        self._late: list[tuple[float, int, str, Value]] = []
        self._order = 0
        self.tags = [tag_of(s) for s in shop.plant.sensors]
        self.tags += [set_tag(c) for c in shop.plant.controls]
        self.tags.append({"name": "mode", "type": "enum", "enum": list(MODES)})
        self.refresh()

    def _now(self) -> dict[str, Value]:
        values = {tag: read() for tag, read in self._read.items()}
        for tag, register in self._registers.items():
            values[tag] = register.show(int(values[tag]))
        for control in self.shop.plant.controls:
            values[f"set/{control.id}"] = self.shop.settings[control.sets]
        values["mode"] = MODES.index(self.mode)
        return values

    def _shift_change(self) -> None:
        for tag, register in self._registers.items():
            thing = self._sensors[tag].thing
            if register.resets and self.shop.shift_of(thing) != self._shift[thing]:
                register.base = int(self._read[tag]())
        self._shift = {thing: self.shop.shift_of(thing) for thing in self._shift}

    def refresh(self) -> None:
        """Take over everything as it is, without noise (start of the bus)."""
        self._shift_change()
        self._true = self._now()
        self._analog.skip()
        self.shown = self._true | self._analog.shown
        self._late.clear()
        self.shop.news.clear()

    def scan(self, now: float) -> list[tuple[str, float, dict[str, Any]]]:
        """Lines for everything that changed up to `now` (plant seconds), late ones included."""
        lines = self.due(now)
        self._shift_change()
        values = self._now()
        out: dict[str, Value] = {}
        for tag, value in values.items():
            if value == self._true[tag]:
                continue
            noisy = self._noise(tag, value)
            if self._delay(tag, noisy, now):
                continue
            out[tag] = noisy
        self._true = values
        if out:
            self.shown |= out
            lines.append(("v", now, out))
            if self._rng.random() < self.shop.twist.duplicate:
                lines.append(("v", now, dict(out)))
        lines += [("event", now, event) for event in self._events()]
        self.shop.news.clear()
        return lines

    def _events(self) -> list[dict[str, Any]]:
        """The news as events, each with the register value that it leads to itself: of several of one moment (the
        parts of a batch) the last one leads to the present value, those before it to less.
        """
        later: Counter[str] = Counter()
        events: list[dict[str, Any]] = []
        for happening in reversed(self.shop.news):
            event = self._event(happening)
            tag = event.get("tag")
            if tag is not None:
                event["count"] = self._registers[tag].before(int(self._true[tag]), later[tag])
                later[tag] += 1
            events.append(event)
        return events[::-1]

    def due(self, now: float) -> list[tuple[str, float, dict[str, Any]]]:
        """Late tags whose time has come: a slow signal carries the time at which it got through. And the samples of
        analog signals since then.
        """
        lines: list[tuple[str, float, dict[str, Any]]] = []
        for at, taken in self._analog.samples(now):
            self.shown |= taken
            lines.append(("v", at, taken))
        while self._late and self._late[0][0] <= now:
            at, _, tag, value = heapq.heappop(self._late)
            self.shown[tag] = value
            lines.append(("v", at, {tag: value}))
        return lines

    def _noise(self, tag: str, value: Value) -> Value:
        sensor, p = self._sensors.get(tag), self.shop.twist.level_off_by_one
        if sensor is None or sensor.property != "level" or p <= 0 or self._rng.random() >= p:
            return value
        wrong = value + (1 if self._rng.random() < 0.5 else -1)
        low, high = sensor.range or (0, float("inf"))
        return type(value)(min(max(wrong, low), high))

    def _delay(self, tag: str, value: Value, now: float) -> bool:
        """Some states and levels arrive late; a tag with something under way keeps its order."""
        sensor, longest = self._sensors.get(tag), self.shop.twist.late_s
        if sensor is None or longest <= 0 or sensor.property not in ("state", "level"):
            return False
        waiting = [entry[0] for entry in self._late if entry[2] == tag]
        if not waiting and self._rng.random() >= 0.05:
            return False
        self._order += 1
        at = max([now + float(self._rng.uniform(0.2, 1.0)) * longest, *waiting])
        heapq.heappush(self._late, (at, self._order, tag, value))
        return True

    def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event with its register and the present value of it, where a counter of the thing exists."""
        prop = {"work_start": "in", "work_end": "out", "scrap": "scrap"}.get(event["kind"])
        if prop is None:
            return dict(event)
        fits = [
            s
            for s in self.shop.plant.sensors
            if s.thing == event["thing"]
            and s.property == prop
            and s.type == "counter"
            and s.unit in (None, event["unit"])
            and s.product in (None, event["product"])
        ]
        if not fits:
            return dict(event)
        sensor = max(fits, key=lambda s: (s.product is not None, s.unit is not None))
        return {**event, "tag": sensor.tag, "count": self._true[sensor.tag]}


def without_noise(shop: Shop) -> None:
    """Make the sensors of a shop perfect (tests)."""
    shop.twist = replace(shop.twist, level_off_by_one=0.0, late_s=0.0, duplicate=0.0)
