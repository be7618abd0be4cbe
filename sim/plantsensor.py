"""The tag table of a plant file: what each sensor observes, and whether such a thing exists."""

from __future__ import annotations

import re
from dataclasses import replace

from sim.plant import Plant, Sensor, Signal
from sim.plantcheck import Path, Reporter
from sim.plantdraft import Draft
from sim.schema import ID, PERIOD, TEXT, Key, Kind, Reader, Section, inner, whole_of, word
from sim.units import QuantityError, number, whole
from sim.yamlfile import Item, convert

PROPERTIES: dict[str, tuple[str, ...]] = {
    "station": ("state", "in", "out", "scrap", "level", "wip"),
    "buffer": ("level", "in", "out"),
    "stock": ("on_hand", "on_order", "backorder", "demand", "shipped", "in"),
    "demand": ("demand", "shipped", "backorder"),
    "product": ("in", "out", "scrap", "wip"),
    "control": ("set",),
}
"""What a sensor can observe of each kind of thing."""

_COUNTERS = ("in", "out", "scrap", "demand", "shipped")
_TAG = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*\Z")
_MAX_TAG = 128
_UNIT = re.compile(r"[A-Za-z°µΩ%][A-Za-z0-9°µΩ%/·*^²³().-]{0,15}\Z")
SECOND_MS = 1000
LEAST_LEARNED = 40
"""Frames below which nothing can be said of how a machine usually behaves."""


def types(prop: str) -> tuple[str, ...]:
    """Tag types that fit a property."""
    if prop == "state":
        return ("enum",)
    return ("counter",) if prop in _COUNTERS else ("int", "float")


def read_sensors(draft: Draft, items: list[Item]) -> list[Sensor]:
    """The sensors in file order."""
    return [_sensor(draft, n, item) for n, item in enumerate(items, 1)]


def read_signals(draft: Draft, items: list[Item]) -> list[Sensor]:
    """The analog signals in file order, as sensors of the property `signal`."""
    return [_signal(draft, n, item) for n, item in enumerate(items, 1)]


def _signal(draft: Draft, n: int, item: Item) -> Sensor:
    draft.where[f"signals.{n}"] = item.line
    r = Reader(draft, replace(item, what=f"signals.{n}"), SIGNAL)
    every = SECOND_MS if r["every"] is None else max(round(r["every"] * float(draft.scale.tick_s) * 1000), 1)
    return Sensor(
        thing=r["of"],
        property="signal",
        tag=r["tag"] or f"signal-{n}",
        type="float",
        cell=r["cell"],
        unit=r["unit"],
        range=_range(r),
        signal=Signal(r["in"], every, r["learn"]),
    )


def _sensor(draft: Draft, n: int, item: Item) -> Sensor:
    draft.where[f"sensors.{n}"] = item.line
    r = Reader(draft, replace(item, what=f"sensors.{n}"), SENSOR)
    prop = r["property"]
    return Sensor(
        thing=r["thing"],
        property=prop,
        tag=r["tag"] or f"sensor-{n}",
        type=r["type"] or types(prop)[0],
        cell=r["cell"],
        unit=r["unit"],
        product=r["product"],
        bits=r["bits"],
        resets=r["resets"],
        range=_range(r),
    )


def _bits(text: str) -> int:
    bits = whole(text, 1, "a number of bits")
    if bits not in (8, 16, 32, 64):
        raise QuantityError("8, 16, 32 or 64 bits", text, "give the width of the counter")
    return bits


SENSOR = Section(
    "sensors",
    "What the plant really reports, under which tag.",
    (
        Key("thing", ID, "a station, buffer, stock, demand, product or control", "", example="turn"),
        Key("property", TEXT, "what of it (see above)", "state", example="state"),
        Key("tag", TEXT, "its name on the wire", "", example="turn/state"),
        Key("type", word("enum", "counter", "int", "float"), "of the values", None, "follows from the property"),
        Key("cell", ID, "last level of the topic", "cell1"),
        Key("unit", whole_of(1), "one of several parallel units"),
        Key("product", ID, "restricts a counter to one product"),
        Key("bits", Kind("8, 16, 32 or 64", lambda _draft, item: _bits(item.text())), "width at which a counter wraps"),
        Key("resets", word("shift", "day", "never"), "when a counter starts again"),
        Key("range", inner("[lowest, highest]"), "possible values"),
    ),
    {"scale": "scaling of readings", "deadband": "deadbands", "noise": "sensor noise models"},
)


def _measured_in(text: str) -> str:
    if not _UNIT.match(text):
        raise QuantityError("a unit such as mm/s, °C or A, up to 16 letters", text, "leave it out where there is none")
    return text


SIGNAL = Section(
    "signals",
    "Analog signals of machines (vibration, temperature, current): the twin learns how those of one machine usually "
    "behave together, and tells when they begin to behave differently. They say nothing of parts.",
    (
        Key("of", ID, "the station whose machine it is", "", example="turn"),
        Key("unit", whole_of(1), "one of several parallel units"),
        Key("tag", TEXT, "its name on the wire; the part after the last `/` is what people read", "", example="t/heat"),
        Key("in", Kind("unit", lambda _draft, item: _measured_in(item.text())), "of its values, such as `mm/s`", ""),
        Key("cell", ID, "last level of the topic", "cell1"),
        Key("every", PERIOD, "a frame: readings within are averaged. Of a machine's signals the longest counts",
            None, "`1 s`"),
        Key("learn", whole_of(LEAST_LEARNED), "quiet frames to learn from. Of a machine's signals the most counts",
            400),
        Key("range", inner("[lowest, highest]"), "possible values"),
    ),
    instead={"thing": "write 'of'", "property": "a signal has none; write a tag of parts under 'sensors'"},
)  # fmt: skip


def _range(fields: Reader) -> tuple[float, float] | None:
    if not fields.has("range"):
        return None
    bounds = [convert(e, number, 0.0) for e in fields.sequence("range")]
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        fields.entries["range"].fail("[lowest, highest]", "give both bounds in this order")
        return None
    return bounds[0], bounds[1]


def things(plant: Plant) -> dict[str, str]:
    """Kind (a key of `PROPERTIES`) of everything a sensor can name."""
    result = {s.id: "station" for s in plant.stations}
    result |= {s.buffer: "buffer" for s in plant.stations if s.buffer}
    result |= {k.id: "stock" for k in plant.stocks}
    result |= {d.id: "demand" for d in plant.demands}
    result |= {p.id: "product" for p in plant.products}
    return result | {c.id: "control" for c in plant.controls}


def check_sensors(plant: Plant, draft: Draft) -> None:
    """Record every sensor that names something unknown, or a tag that another sensor has."""
    report, kinds = Reporter(plant, draft), things(plant)
    tags: dict[str, str] = {}
    counted = {False: 0, True: 0}
    for sensor in plant.sensors:
        signal = sensor.signal is not None
        counted[signal] += 1
        path = ("signals" if signal else "sensors", str(counted[signal]))
        if sensor.tag in tags:
            found = f"'{sensor.tag}' of {tags[sensor.tag]} again"
            report.fault(path, "a tag of its own", found, "rename one", "tag")
        tags.setdefault(sensor.tag, f"{'signal' if signal else 'sensor'} {counted[signal]}")
        if signal:
            _check_signal(report, path, sensor)
            continue
        if not sensor.thing or not report.known(path, "a thing of this plant", sensor.thing, kinds):
            continue
        kind = kinds[sensor.thing]
        report.known(path, f"a property of a {kind}", sensor.property, PROPERTIES[kind])
        _check_tag(report, path, sensor, kind)
        _check_parts(report, path, sensor)


def _check_signal(report: Reporter, path: Path, sensor: Sensor) -> None:
    if sensor.thing and report.known(path, "a station", sensor.thing, [s.id for s in report.plant.stations]):
        _check_tag(report, path, sensor, "station")
        _check_parts(report, path, sensor)


def _check_tag(report: Reporter, path: Path, sensor: Sensor, kind: str) -> None:
    fits = types(sensor.property)
    if sensor.type not in fits:
        report.fault(path, f"{' or '.join(fits)} for {sensor.property}", f"'{sensor.type}'", "correct it", "type")
    own = f"set/{sensor.thing}"
    if not _TAG.match(sensor.tag) or len(sensor.tag) > _MAX_TAG:
        report.fault(path, "words of A-Z a-z 0-9 _ . - joined by '/'", f"'{sensor.tag}'", "rename it", "tag")
    elif kind == "control" and sensor.tag != own:
        report.fault(path, f"'{own}' for a control", f"'{sensor.tag}'", "rename it", "tag")
    elif kind != "control" and (sensor.tag.startswith("set/") or sensor.tag == "mode"):
        report.fault(path, "a tag other than 'set/..' and 'mode'", f"'{sensor.tag}'", "rename it", "tag")


def _check_parts(report: Reporter, path: Path, sensor: Sensor) -> None:
    """The unit and the product that a sensor is restricted to."""
    if sensor.unit is not None:
        units = next((s.units for s in report.plant.stations if s.id == sensor.thing), 0)
        if sensor.unit > units:
            report.fault(path, f"a unit of {sensor.thing} (1..{units})", sensor.unit, "correct it", "unit")
    if sensor.product is not None:
        report.known(path, "a product", sensor.product, [p.id for p in report.plant.products])
