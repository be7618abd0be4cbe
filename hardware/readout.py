"""What the fieldbus says, read by the plant file: known tags, unwrapped counters, states, setpoints, events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hardware.gateway_config import home_cell
from ingest.counters import Counter
from ingest.wire import GOOD, PACKML_STATES, UNIT_STATES, Event
from sim.plant import Plant


class Readout:
    """Raw values to readings. `counters` are those remembered on disk, by tag; `own` are tags of the gateway itself."""

    def __init__(
        self,
        plant: Plant,
        deadband: Mapping[str, float],
        counters: Mapping[str, Counter],
        own: Iterable[str] = (),
    ) -> None:
        self._plant, self._deadband = plant, deadband
        self._sensors = {s.tag: s for s in plant.sensors}
        self._home = home_cell(plant)
        self._own = {"mode", *(f"set/{c.id}" for c in plant.controls), *own}
        self._things: dict[str, str] = {}
        buffers = {s.buffer: s.id for s in plant.stations if s.buffer}
        for s in plant.sensors:
            self._things.setdefault(buffers.get(s.thing, s.thing), s.cell)
        self._counters: dict[str, Counter] = {}
        for tag, sensor in self._sensors.items():
            if sensor.type == "counter":
                known = counters.get(tag, Counter())
                known.bits, known.reset = sensor.bits, sensor.resets not in (None, "never")
                self._counters[tag] = known
        self._dirty: set[str] = set()
        self._codes: dict[str, dict[int, int]] = {}
        self._offered: set[str] = set()
        self._unit_state: dict[tuple[str, int], str] = {}
        self._values: dict[str, float] = {}

    def take_as_told(self, tags: Iterable[str]) -> None:
        """Counters of these tags come unwrapped from a mapping."""
        for tag in set(tags) & set(self._counters):
            self._counters[tag].bits, self._counters[tag].reset = None, False

    # what there is -----------------------------------------------------------------------------

    def announced(self, tags: Iterable[Mapping[str, Any]]) -> list[str]:
        """Take the fieldbus's list of tags; returns those nobody described."""
        self._offered = set()
        for tag in tags:
            name = str(tag["name"])
            self._offered.add(name)
            sensor = self._sensors.get(name)
            if sensor is not None and sensor.property == "state" and tag.get("enum"):
                self._codes[name] = _codes(name, tag["enum"])
        return sorted(self._offered - set(self._sensors) - self._own)

    def unheard(self) -> list[str]:
        """Tags of the plant file that the fieldbus does not offer."""
        return sorted((set(self._sensors) | self._own) - self._offered)

    def cell_of(self, tag: str) -> str | None:
        if tag in self._own and tag not in self._sensors:
            return self._home
        sensor = self._sensors.get(tag)
        return None if sensor is None else sensor.cell

    def cell_of_thing(self, thing: str) -> str:
        return self._things.get(thing, self._home)

    def forget(self) -> None:
        """Another plant: its counters start anew."""
        for counter in self._counters.values():
            counter.raw, counter.total = None, 0
        self._unit_state.clear()
        self._values.clear()

    # values ------------------------------------------------------------------------------------

    def take(self, tag: str, raw: Any, t: int, *, watched: bool) -> tuple[float, int]:
        """The reading behind a raw value: (value, quality); ValueError where it cannot be one."""
        if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw) or abs(raw) > 2**53:
            raise ValueError(f"{tag}: expected a finite number, found {str(raw)[:40]!r}")
        sensor, value, quality = self._sensors.get(tag), raw, GOOD
        if tag in self._counters:
            if raw != int(raw):
                raise ValueError(f"{tag}: expected a whole count, found {raw}")
            value, quality = self._counters[tag].feed(int(raw), t, watched=watched)
            self._dirty.add(tag)
        elif tag in self._codes:
            if raw not in self._codes[tag]:
                raise ValueError(f"{tag}: state code {raw} was not announced")
            value = self._codes[tag][int(raw)]
        if sensor is not None and sensor.property == "state":
            if value not in range(len(UNIT_STATES)):
                raise ValueError(f"{tag}: state code {raw} is none of {len(UNIT_STATES)}")
            self._unit_state[(sensor.thing, sensor.unit or 0)] = UNIT_STATES[int(value)]
        self._values[tag] = value
        return value, quality

    def worth(self, tag: str, before: tuple[float, int] | None, now: tuple[float, int]) -> bool:
        """Report by exception: is this change worth a message?"""
        if before is None or before[1] != now[1]:
            return True
        band = self._deadband.get(tag, 0.0)
        return abs(now[0] - before[0]) > band if band > 0 else now[0] != before[0]

    def event(self, t: int, event: Mapping[str, Any]) -> dict[str, Any]:
        """An event as it goes out, its register value unwrapped; ValueError (msgspec) where it is malformed."""
        payload = {"t": t, **{k: v for k, v in event.items() if v is not None and k != "tag"}}
        counter = self._counters.get(str(event.get("tag")))
        if counter is not None:
            count = counter.leads_to(int(event["count"]))
            payload.pop("count")
            if count is not None:
                payload["count"] = count
        msgspec.convert({"e": "x", "s": 0, **payload}, Event)
        return payload

    def dirty(self) -> list[tuple[str, Counter]]:
        """Counters that moved since `clean`."""
        return [(tag, self._counters[tag]) for tag in self._dirty]

    def clean(self) -> None:
        self._dirty.clear()

    # what commands are judged by ---------------------------------------------------------------

    def states(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for (thing, _), state in self._unit_state.items():
            found.setdefault(thing, set()).add(state)
        return found

    def settings(self) -> dict[str, int]:
        return {c.id: int(self._values[f"set/{c.id}"]) for c in self._plant.controls if f"set/{c.id}" in self._values}

    def mode(self) -> str | None:
        value = self._values.get("mode")
        return None if value is None else "auto" if value == 0 else "manual"


def _codes(tag: str, names: Iterable[Any]) -> dict[int, int]:
    """Codes of the fieldbus's own enumeration (our names or PackML's) to ours."""
    codes = {}
    for code, name in enumerate(names):
        ours = str(name).lower()
        ours = ours if ours in UNIT_STATES else PACKML_STATES.get(ours, "")
        if not ours:
            raise ValueError(f"{tag}: state {name!r} is neither one of {', '.join(UNIT_STATES)} nor a PackML state")
        codes[code] = UNIT_STATES.index(ours)
    return codes
