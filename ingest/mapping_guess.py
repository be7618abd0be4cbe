"""Lines of a mapping that may be meant: raw names nobody mapped, and tags nobody feeds, matched by their words.

How it guesses: a name is cut into words (at signs, digits and capitals), and so is what a tag stands for: its thing,
the unit's number where the station has several, and words for its property (`count`, `good`, `parts` for what went
out). A tag is proposed for a name that has all words of the thing and one of the property, where no other tag fits as
well and no other name fits the tag as well. A JSON object is looked into, field by field; values say how a state is
told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from ingest.codes import PACKML_STATES, UNIT_STATES
from ingest.mapping import Raw
from ingest.mapping_past import SPARKPLUG
from sim.plant import Plant, Sensor

WORDS: dict[str, frozenset[str]] = {
    "state": frozenset({"state", "status", "packml", "zustand"}),
    "out": frozenset({"out", "count", "counter", "good", "parts", "produced", "output", "total", "pieces"}),
    "in": frozenset({"in", "entered", "input", "infeed", "started"}),
    "scrap": frozenset({"scrap", "scrapped", "reject", "rejects", "bad", "ng", "nok", "defect", "defects"}),
    "level": frozenset({"level", "fill", "queue", "content", "waiting"}),
    "wip": frozenset({"wip", "inside"}),
    "on_hand": frozenset({"hand", "stock", "inventory", "onhand", "level"}),
    "on_order": frozenset({"order", "ordered", "onorder"}),
    "backorder": frozenset({"backorder", "backlog", "backorders"}),
    "demand": frozenset({"demand", "demanded"}),
    "shipped": frozenset({"shipped", "shipments", "delivered"}),
    "set": frozenset({"set", "setpoint", "cap", "target"}),
}
_CUT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MOST = 500


class Proposal(NamedTuple):
    """A rule line for `tags:`, and why."""

    tag: str
    line: str
    why: str


def words_of(name: str) -> frozenset[str]:
    """`Shop/TurnPartCount_2` -> shop, turn, part, count, 2 (and turnpartcount, as one may write PackML)."""
    whole = re.findall(r"[A-Za-z]+", name)
    return frozenset(word.lower() for word in (*_CUT.findall(name), *whole))


def proposals(unmapped: Mapping[str, Raw], unfed: Iterable[str], plant: Plant) -> list[Proposal]:
    """The obvious rules for raw names (with their newest value) and tags, in the order of the names."""
    sensors = {s.tag: s for s in plant.sensors}
    units = {s.id: s.units for s in plant.stations}
    wanted = [sensors[tag] for tag in unfed if tag in sensors]
    found: list[tuple[int, Sensor, str, str, Any]] = []
    for name, field, value in _leaves(unmapped):
        words = words_of(f"{name.removeprefix(SPARKPLUG)} {field}")
        scored = [(score, s) for s in wanted if (score := _score(words, s, units.get(s.thing, 1)))]
        best = max((score for score, _ in scored), default=0)
        fits = [s for score, s in scored if score == best]
        if len(fits) == 1:
            found.append((best, fits[0], name, field, value))
    result = []
    for score, sensor, name, field, value in found:
        rivals = [other for other in found if other[1] is sensor and other[0] >= score]
        if len(rivals) == 1:
            result.append(_proposal(sensor, name, field, value))
    return result


def _leaves(unmapped: Mapping[str, Raw]) -> list[tuple[str, str, Any]]:
    """(name, field, value): the value itself, or every number and text in a JSON object."""
    found: list[tuple[str, str, Any]] = []
    for name, raw in list(unmapped.items())[:_MOST]:
        value: Any = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.DecodeError, RecursionError):
                continue
        waiting: list[tuple[str, Any]] = [("", value)]
        while waiting and len(found) < _MOST:
            field, one = waiting.pop(0)
            if isinstance(one, dict):
                waiting += [(f"{field}.{k}" if field else str(k), v) for k, v in one.items() if "." not in str(k)]
            elif isinstance(one, bool | int | float | str):
                found.append((name, field, one))
    return found


def _score(words: frozenset[str], sensor: Sensor, units: int) -> int:
    """Words that a name shares with a tag; 0 where a needed one is missing."""
    thing = words_of(sensor.thing)
    if not thing <= words or not words & WORDS.get(sensor.property, frozenset({sensor.property})):
        return 0
    if sensor.unit is not None and units > 1 and str(sensor.unit) not in words:
        return 0
    product = words_of(sensor.product) if sensor.product else frozenset()
    if not product <= words:
        return 0
    return len(thing | product) + len(words & words_of(sensor.tag)) + 1


def _proposal(sensor: Sensor, name: str, field: str, value: Any) -> Proposal:
    shared = sorted(
        words_of(f"{name.removeprefix(SPARKPLUG)} {field}")
        & (words_of(sensor.thing) | WORDS.get(sensor.property, frozenset()))
    )
    why = f"the name has {' and '.join(shared)}"
    parts = [f"from: {_quoted(name)}"] + ([f"field: {field}"] if field else [])
    if sensor.type == "enum":
        said = (f"{value:g}" if isinstance(value, float) else str(value)).strip().lower()
        if said in PACKML_STATES and said != "idle":
            parts.append("packml: true")
            why += f"; {value!r} is a PackML state"
        elif said in UNIT_STATES:
            parts.append("values: {" + ", ".join(f"{s}: {s}" for s in UNIT_STATES) + "}")
            why += f"; {value!r} is a state of ours"
        else:
            parts.append("packml: true")
            why += f"; that {said!r} is a PackML number is a guess: look it up"
    elif sensor.type == "counter":
        parts.append(f"counter: {sensor.bits or 'endless'}")
        why += "; width and resets as in the plant file" if sensor.bits else "; give its width and resets"
    return Proposal(sensor.tag, f"{sensor.tag}: {{{', '.join(parts)}}}", why)


def _quoted(name: str) -> str:
    return f'"{name}"' if re.search(r"[^A-Za-z0-9_/.:-]", name) or ": " in name else name
