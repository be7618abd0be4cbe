"""`mapping.yaml` to rules, checked against the plant file; every problem with its file and line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ingest.codes import PACKML_CODES, PACKML_STATES, UNIT_STATES
from ingest.mapping import Choice, Edge, Happening, Kind, Mapping, MappingError, Reason, Resets, Rule, Source
from ingest.mapping_source import key_of
from ingest.mapping_targets import Targets
from sim.plant import Plant, Sensor
from sim.units import QuantityError, number, seconds, suggestion, whole
from sim.yamlfile import Fields, Item, Problems, WrongKindError, convert, one_of, read_tree

SOURCE = ("from", "field", "bit", "bits", "signed", "is", "not")
VALUE = (*SOURCE, "scale", "offset", "values", "else", "deadband", "debounce")
STATE = (*SOURCE, "packml", "values", "else", "priority", "debounce", "microstop", "reason")
COUNTER = (*SOURCE, "counter", "resets")
EDGES = (*SOURCE, "count", "debounce")
EVENT = (*SOURCE, "event", "thing", "unit", "product", "state", "text", "edge", "codes", "each", "debounce")
MODES = ("auto", "manual")
RISING: Edge = "rising"
WIDTHS = (8, 16, 32, 64)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\Z")
_KIND = re.compile(r"[a-z0-9_-]{1,64}\Z")


def read(path: Path, plant: Plant) -> Mapping:
    """The mapping in a file; raises MappingError with every problem."""
    problems = Problems(str(path))
    top = read_tree(path, problems)
    reader = Reader(Targets(plant))
    if top is not None:
        fields = Fields(top, ("mapping", "tags", "events"))
        fields.need("mapping", one_of("1"), "1", "1")
        for tag, item in fields.mapping("tags").items():
            reader.tag(tag, item)
        for n, item in enumerate(fields.sequence("events"), 1):
            reader.event(n, item)
        if not reader.rules and not problems.errors:
            top.fail("'tags:' or 'events:' with a rule or more", "see docs/mapping.md", "none")
    if problems.errors:
        raise MappingError(problems.lines())
    unfed = tuple(sorted(set(reader.targets.sensors) - {rule.tag for rule in reader.rules}))
    return Mapping(tuple(reader.rules), tuple(reader.notes), unfed, str(path))


class Reader:
    """Collects rules and notes; problems go to the items."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.rules: list[Rule] = []
        self.notes: list[str] = []

    # tags --------------------------------------------------------------------------------------------

    def tag(self, tag: str, item: Item) -> None:
        """One entry under `tags`."""
        sensor = self.targets.sensor(tag)
        if sensor is None:
            names = self.targets.tags()
            item.fail("a tag of the plant file", suggestion(tag, names), repr(tag))
            return
        if not item.is_mapping:
            self.rules.append(self._plain_rule(tag, sensor, item))
        elif sensor.type == "enum" and tag != "mode":
            self.rules.append(self._state(tag, sensor, item))
        elif sensor.type == "counter":
            self.rules.append(self._counter(tag, sensor, item))
        else:
            self.rules.append(self._value(tag, sensor, item))

    def _plain_rule(self, tag: str, sensor: Sensor, item: Item) -> Rule:
        """`TAG: RAW NAME` alone: the value as it is."""
        source = Source(convert(item, _raw, "?"))
        if sensor.type == "counter":
            return Rule(
                tag, "counter", item.line, source, tag, bits=sensor.bits, resets=self._resets(sensor.resets or "never")
            )
        if sensor.type == "enum":
            names = MODES if tag == "mode" else UNIT_STATES
            values = {key: float(k) for k, name in enumerate(names) for key in (name, str(k))}
            kind: Kind = "value" if tag == "mode" else "state"
            return Rule(tag, kind, item.line, source, tag, values=values, thing=sensor.thing, unit=sensor.unit)
        return Rule(tag, "value", item.line, source, tag, whole=sensor.type == "int")

    def _value(self, tag: str, sensor: Sensor, item: Item) -> Rule:
        fields = Fields(item, VALUE)
        read = _choice_of(MODES) if tag == "mode" else _number
        if fields.has("values") and (fields.has("scale") or fields.has("offset")):
            item.fail("either values or scale and offset", "give the numbers themselves in values", "both")
        values = {_code(key): convert(entry, read, 0.0) for key, entry in fields.mapping("values").items()}
        if tag == "mode" and not fields.has("values"):
            values = {key: float(k) for k, name in enumerate(MODES) for key in (name, str(k))}
        return Rule(
            tag,
            "value",
            item.line,
            self._source(fields),
            tag,
            whole=sensor.type in {"int", "enum"},
            scale=fields.take("scale", _factor, 1.0),
            offset=fields.take("offset", _number, 0.0),
            deadband=fields.take("deadband", _positive, 0.0),
            debounce=_debounce(fields),
            values=values,
            otherwise=fields.take("else", read, None) if fields.has("else") else None,
        )

    def _state(self, tag: str, sensor: Sensor, item: Item) -> Rule:
        fields = Fields(item, STATE)
        ways = [key for key in ("packml", "values", "priority") if fields.has(key)]
        if len(ways) != 1:
            item.fail("one of packml, values, priority", "say how the state is told", " and ".join(ways) or "none")
        code = _choice_of(UNIT_STATES)
        lines = fields.sequence("priority")
        choices = tuple(self._choice(entry) for entry in lines)
        values = self._packml(fields) if fields.has("packml") else {}
        values |= {_code(key): convert(entry, code, 0.0) for key, entry in fields.mapping("values").items()}
        if choices and any(fields.has(key) for key in (*SOURCE, "else")):
            item.fail("from, bit and so on in the lines of priority", "move them there", "them beside priority")
        for entry, choice in zip(lines[:-1], choices, strict=False):
            if choice.source is None:
                entry.fail(
                    "the line without 'from' last", "it always holds: what follows is never reached", "it earlier"
                )
        if choices and choices[-1].source is not None:
            self.notes.append(
                f"{tag}: priority has no last line without 'from'; while no bit is set the tag keeps its state"
            )
        return Rule(
            tag,
            "state",
            item.line,
            None if choices else self._source(fields),
            tag,
            debounce=_debounce(fields),
            values=values,
            otherwise=fields.take("else", code, None) if fields.has("else") else None,
            choices=choices,
            microstop=fields.take("microstop", _ms, 0),
            reason=self._reason(fields.entries["reason"]) if fields.has("reason") else None,
            thing=sensor.thing,
            unit=sensor.unit,
        )

    def _choice(self, item: Item) -> Choice:
        fields = Fields(item, ("state", *SOURCE))
        state = fields.need("state", _choice_of(UNIT_STATES), 0.0, "down")
        return Choice(int(state), self._source(fields) if set(fields.entries) - {"state"} else None)

    def _packml(self, fields: Fields) -> dict[str, float]:
        """PackML's names and numbers to our states, with a plant's own differences put in."""
        item = fields.entries["packml"]
        states = dict(PACKML_STATES)
        if item.is_mapping:
            for name, entry in item.entries().items():
                if name.lower() not in states:
                    entry.fail("a PackML state", suggestion(name.lower(), states), repr(name))
                states[name.lower()] = UNIT_STATES[int(convert(entry, _choice_of(UNIT_STATES), 0.0))]
        else:
            convert(item, one_of("true"), "true")
        found = {name: float(UNIT_STATES.index(state)) for name, state in states.items()}
        return found | {str(k): found[name] for k, name in enumerate(PACKML_CODES) if name in found}

    def _reason(self, item: Item) -> Reason | None:
        fields = Fields(item, (*SOURCE, "codes", "within"))
        codes = {_code(key): convert(entry, str, "") for key, entry in fields.mapping("codes").items()}
        if not codes:
            item.fail("'codes:' with what each means", "write for example 'codes: {1: tool, 2: jam}'", "none")
        return Reason(self._source(fields), codes, fields.take("within", _ms, 600_000))

    def _counter(self, tag: str, sensor: Sensor, item: Item) -> Rule:
        entries = _names(item)
        if "count" in entries:
            fields = Fields(item, EDGES)
            edge = fields.take("count", _edge, RISING)
            source = self._source(fields)
            return Rule(tag, "edges", item.line, source, tag, debounce=_debounce(fields), edge=edge)
        fields = Fields(item, COUNTER)
        bits = fields.take("counter", _width, sensor.bits or 0) or None
        if fields.has("resets"):
            resets = self._reset_item(fields.entries["resets"])
        else:
            resets = self._resets(sensor.resets or "never")
        return Rule(tag, "counter", item.line, self._source(fields), tag, bits=bits, resets=resets)

    def _reset_item(self, item: Item) -> Resets:
        if item.is_mapping:
            fields = Fields(item, ("on", *SOURCE[1:]))
            return Resets("told", source=self._source(fields, "on"))
        return convert(item, self._resets, Resets())

    def _resets(self, text: str) -> Resets:
        if text == "never":
            return Resets()
        if text in {"shift", "job", "day"}:
            return Resets("sometimes")
        clock = _CLOCK.match(text)
        if clock is None:
            raise QuantityError("never, shift, job, a time such as '06:00', or {on: RAW NAME}", text, "correct it")
        return Resets("daily", int(clock[1]) * 60 + int(clock[2]), self.targets.plant.timezone)

    # events ------------------------------------------------------------------------------------------

    def event(self, n: int, item: Item) -> None:
        """One element under `events`."""
        fields = Fields(item, EVENT)
        kind = fields.need("event", _event_kind, "alarm", "work_end")
        thing = fields.need("thing", self.targets.thing, "?", "turn")
        unit = fields.take("unit", self.targets.unit(thing), None)
        product = fields.take("product", self.targets.product, None)
        state = fields.take("state", one_of(*UNIT_STATES), None)
        text = fields.take("text", _text, None)
        key = f"event {n} {kind} of {thing}"
        told = Happening(0, kind, thing, unit, product, None, state, text, rule=key)
        ways = [name for name in ("edge", "codes", "each") if fields.has(name)]
        if len(ways) != 1:
            item.fail("one of edge, codes, each", "say when it happens", " and ".join(ways) or "none")
            return
        self.rules.append(self._event_rule(key, ways[0], fields, told))

    def _event_rule(self, key: str, way: str, fields: Fields, told: Happening) -> Rule:
        line = fields.item.line
        if way == "each":
            counted = {r.tag for r in self.rules if r.kind in {"counter", "edges"}}
            of = fields.take("each", _known(counted, "a counter tag of this file"), "")
            for name in ("debounce", *SOURCE):
                if fields.has(name):
                    fields.entries[name].fail("no such key beside each", f"the rule of {of} says it")
            return Rule(key, "each", line, of=of, event=told)
        source, debounce = self._source(fields), _debounce(fields)
        if way == "codes":
            texts = {_code(k): convert(entry, _text, "") for k, entry in fields.mapping("codes").items()}
            return Rule(key, "codes", line, source, debounce=debounce, texts=texts, event=told)
        edge = fields.take("edge", _edge, RISING)
        if told.kind in {"work_start", "work_end", "scrap", "part_in", "part_out"}:
            self.notes.append(
                f"{key}: an edge carries no count, so a lost one is lost; count the edges in a counter tag "
                "('count: rising') and use 'each: TAG'"
            )
        return Rule(key, "edge", line, source, debounce=debounce, edge=edge, event=told)

    # what a rule looks at ----------------------------------------------------------------------------

    def _source(self, fields: Fields, key: str = "from") -> Source:
        raw = fields.need(key, _raw, "?", "holding/100:uint16")
        low, width = None, 1
        if fields.has("bit") and fields.has("bits"):
            fields.item.fail("bit or bits", "leave one out", "both")
        if fields.has("bit"):
            low = fields.take("bit", _bit, 0)
        elif fields.has("bits"):
            low, width = fields.take("bits", _bit_range, (0, 1))
        none: tuple[str, ...] = ()
        path = fields.take("field", _path, none)
        signed, negate = (fields.take(name, _truth, False) for name in ("signed", "not"))
        return Source(raw, path, low, width, signed, fields.take("is", _code, None), negate)


def _names(item: Item) -> Iterable[str]:
    try:
        return list(item.entries())
    except WrongKindError:
        return []


def _debounce(fields: Fields) -> int:
    return fields.take("debounce", _ms, 0)


def _raw(text: str) -> str:
    if not text or len(text) > 256 or not text.isprintable():
        raise QuantityError("a raw name of up to 256 characters", text[:60], "write for example 'holding/100:uint16'")
    return text


def _ms(text: str) -> int:
    found = seconds(text) * 1000
    if found.denominator != 1 or found > 366 * 86_400_000:
        raise QuantityError("a duration of whole milliseconds up to a year", text, "correct it")
    return int(found)


def _number(text: str) -> float:
    return number(text)


def _factor(text: str) -> float:
    found = number(text)
    if found == 0:
        raise QuantityError("a factor other than 0", text, "with 0 every value would be the same")
    return found


def _positive(text: str) -> float:
    found = number(text)
    if found < 0:
        raise QuantityError("a number of 0 or more", text, "correct it")
    return found


def _width(text: str) -> int:
    if text == "endless":
        return 0
    found = whole(text, 1, "a number of bits")
    if found not in WIDTHS:
        raise QuantityError("8, 16, 32 or 64 bits, or 'endless'", text, "give the width of the register")
    return found


def _bit(text: str) -> int:
    found = whole(text, 0, "a bit number")
    if found > 63:
        raise QuantityError("a bit from 0 to 63", text, "bit 0 is the lowest")
    return found


def _bit_range(text: str) -> tuple[int, int]:
    low, dots, high = text.partition("..")
    if not dots:
        raise QuantityError("a range of bits such as '0..3'", text, "for one bit write 'bit: 3'")
    first, last = _bit(low.strip()), _bit(high.strip())
    if last < first:
        raise QuantityError("the lower bit first", text, f"write '{last}..{first}'")
    return first, last - first + 1


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split("."))


def _edge(text: str) -> Edge:
    edges: dict[str, Edge] = {"rising": "rising", "falling": "falling", "both": "both"}
    return edges[one_of(*edges)(text)]


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise QuantityError("true or false", text, "correct it")
    return text == "true"


def _code(text: str) -> str:
    """A raw value as the key of a list: as `key_of` gives it for what the field sends."""
    try:
        return key_of(float(int(text, 16)) if text.lower().startswith("0x") else float(text))
    except ValueError:
        return key_of(text)


def _text(text: str) -> str:
    if len(text) > 256:
        raise QuantityError("a text of up to 256 characters", text[:40], "shorten it")
    return text


def _event_kind(text: str) -> str:
    if not _KIND.match(text):
        raise QuantityError("a kind of event in a-z, 0-9, _ and -", text, "for example work_end, alarm")
    return text


def _choice_of(names: tuple[str, ...]) -> Callable[[str], float]:
    """A reader of one of some names, giving its position."""
    word = one_of(*names)
    return lambda text: float(names.index(word(text)))


def _known(names: Iterable[str | None], what: str) -> Callable[[str], str]:
    known = sorted(name for name in names if name)

    def read(text: str) -> str:
        if text not in known:
            raise QuantityError(what, text, suggestion(text, known))
        return text

    return read
