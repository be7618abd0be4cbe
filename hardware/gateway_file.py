"""The gateway's configuration file: read, and checked against the plant file, with `file:line` errors.

Every problem reads `file:line: what, expected, found, what to do`, as those of a plant file do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from hardware.adapter_modbus import ModbusOptions
from hardware.adapter_mqtt import MqttOptions
from hardware.adapter_opcua import MODES, POLICIES, OpcUaOptions
from hardware.buses import check_raw, check_url
from hardware.gateway_config import GatewayConfig
from hardware.link import host_port
from hardware.outbox import Limits
from hardware.plcnodes import ControlNodes, PlcNodes
from hardware.registers import ORDERS
from ingest.mapping import MappingError
from ingest.mapping import load as load_mapping
from ingest.tls import Tls, TlsError
from sim.plant import Plant
from sim.plantfile import PlantError, load
from sim.units import QuantityError, number, suggestion
from sim.yamlfile import Fields, Item, Problems, convert, one_of, read_tree

T = TypeVar("T")

KEYS = (
    "plant", "fieldbus", "broker", "data", "hist_rate", "outbox", "deadband", "cells", "tags", "plc", "opcua", "modbus",
    "mqtt", "csv", "skew", "mapping", "tls",
)  # fmt: skip


class ConfigError(ValueError):
    """A configuration that cannot be used. `problems` lists every one, a line of text each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass
class Checked:
    """What became of a file: the configuration and its plant (None with problems), and what it leaves open.

    `uncovered` are sensors of the plant file that have no raw name; `notes` say what cannot be done.
    """

    problems: list[str]
    config: GatewayConfig | None = None
    plant: Plant | None = None
    uncovered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def between(low: float, high: float, unit: str = "") -> Callable[[str], float]:
    """A reader of a number from `low` to `high`."""
    expected = f"a number from {low:g} to {high:g}" + (f" ({unit})" if unit else "")

    def read(text: str) -> float:
        found = number(text, expected)
        if not low <= found <= high:
            raise QuantityError(expected, text, "choose one in that range")
        return found

    return read


def _count(low: int, high: int, unit: str = "") -> Callable[[str], int]:
    real = between(low, high, unit)

    def read(text: str) -> int:
        found = real(text)
        if found != int(found):
            raise QuantityError("a whole number", text, "leave the fraction out")
        return int(found)

    return read


def _checked(check: Callable[[str], object], todo: str) -> Callable[[str], str]:
    """A reader of a text that `check` accepts; its ValueError becomes the problem."""

    def read(text: str) -> str:
        try:
            check(text)
        except ValueError as error:
            raise QuantityError(f"something that fits ({error})", text, todo) from error
        return text

    return read


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise QuantityError("a file that exists", text, "correct the path (relative ones start where plantwin runs)")
    return path


def read_config(path: Path, data: Path) -> GatewayConfig:
    """A configuration file; ConfigError lists what is wrong. `data` holds where the file names no folder."""
    checked = check_file(path, data)
    if checked.config is None:
        raise ConfigError(checked.problems)
    return checked.config


def check_file(path: Path, data: Path) -> Checked:
    """Read a file and hold it against its plant file."""
    problems = Problems(str(path))
    if path.is_file() and not path.read_bytes().strip():
        return Checked([f"{path}:1: the file: expected a gateway's configuration, found nothing; see docs/gateway.md"])
    tree = read_tree(path, problems)
    if tree is None:
        return Checked(problems.lines())
    top = Fields(tree, KEYS)
    plant, foreign = _plant(top)
    config = _config(top, data)
    config = replace(config, mapping=path.parent / config.mapping if config.mapping is not None else None)
    if plant is not None:
        _against_plant(top, plant)
        foreign = foreign + _mapping_problems(config, plant)
    if problems.errors or foreign or plant is None:
        return Checked(problems.lines() + foreign)
    return _open_ends(Checked([], config, plant))


def _plant(top: Fields) -> tuple[Plant | None, list[str]]:
    """The plant named in the file, and the problems of its own file."""
    name = top.need("plant", str, "", "line3")
    if not name:
        return None, []
    try:
        return load(name), []
    except PlantError as error:
        item = top.entries["plant"]
        item.fail("a bundled plant or a plant file without errors", "correct it, or see plantwin validate")
        return None, list(error.problems)


def _config(top: Fields, data: Path) -> GatewayConfig:
    url = top.need("fieldbus", _checked(check_url, "see docs/gateway.md"), "127.0.0.1:1", "opc.tcp://plc1:4840")
    scheme = check_url(url)
    tags = _names(top.mapping("tags"), scheme)
    mapping = Path(top.take("mapping", str, "")) if top.has("mapping") else None
    if scheme != "plant" and not tags and mapping is None and "fieldbus" in top.entries:
        todo = "write 'tags:' with lines 'tag: raw name', or name a mapping"
        top.entries["fieldbus"].fail("a table 'tags' beside it", todo, "none")
    tolerance, late = _skew(top)
    return GatewayConfig(
        plant=top.take("plant", str, ""),
        fieldbus=url,
        broker=top.need(
            "broker", _checked(lambda t: host_port(t, "broker"), "correct it"), "127.0.0.1:1883", "127.0.0.1:1883"
        ),
        data=top.take("data", Path, data),
        hist_rate=top.take("hist_rate", between(1, 100_000, "messages a second"), 200.0),
        outbox=_outbox(top),
        deadband={tag: convert(item, between(0, 1e15), 0.0) for tag, item in top.mapping("deadband").items()},
        cells=tuple(convert(item, str, "") for item in top.sequence("cells")),
        mapping=mapping,
        tags=tags,
        plc=_plc(top, scheme),
        opcua=_opcua(top),
        modbus=_modbus(top),
        mqtt=_mqtt(top),
        csv_time=_section(top, "csv", "time").take("time", str, "t"),
        skew_tolerance_ms=tolerance,
        late_ms=late,
        tls=_tls(top),
    )


def _mapping_problems(config: GatewayConfig, plant: Plant) -> list[str]:
    """What is wrong in the mapping's own file, raw names that the protocol does not know included."""
    if config.mapping is None:
        return []
    try:
        mapping = load_mapping(config.mapping, plant)
    except MappingError as error:
        return list(error.problems)
    found, scheme = [], check_url(config.fieldbus)
    for raw in mapping.raw_names():
        try:
            check_raw(scheme, raw)
        except ValueError as error:
            found.append(f"{config.mapping}: {error}; correct the raw name")
    return found


def _section(top: Fields, key: str, *known: str) -> Fields:
    """A section's fields; of one that is absent, none."""
    item = top.entries.get(key)
    if item is None or item.is_empty:
        return Fields(_nothing(top.item), known)
    return Fields(item, known)


def _nothing(item: Item) -> Item:
    import yaml

    return Item(yaml.MappingNode("tag:yaml.org,2002:map", [], item.node.start_mark), "", item.problems)


def _names(items: Mapping[str, Item], scheme: str) -> dict[str, str]:
    def check(raw: str) -> None:
        check_raw(scheme, raw)

    return {tag: convert(item, _checked(check, "correct the raw name"), "") for tag, item in items.items()}


def _tls(top: Fields) -> Tls | None:
    """The files of the broker's connection; `{cell}` in a path stands for the cell."""
    if not top.has("tls"):
        return None
    f = _section(top, "tls", "ca", "cert", "key")
    ca = f.need("ca", str, "", "keys/ca.crt")
    cert, key = (Path(f.take(name, str, "")) if f.has(name) else None for name in ("cert", "key"))
    try:
        return Tls.of(Path(ca), cert, key)
    except TlsError as error:
        top.entries["tls"].fail(str(error), "see docs/wire.md, TLS", "this")
        return None


def _skew(top: Fields) -> tuple[int, int]:
    f = _section(top, "skew", "tolerance_s", "late_s")
    tolerance = f.take("tolerance_s", between(0.05, 3600, "seconds"), 2.0)
    return int(tolerance * 1000), int(f.take("late_s", between(1, 86_400, "seconds"), 60.0) * 1000)


def _outbox(top: Fields) -> Limits:
    f = _section(top, "outbox", "max_mb", "max_age_h", "event_age_h")
    megabytes = f.take("max_mb", between(0.1, 1_000_000, "megabytes"), 256.0)
    age = f.take("max_age_h", between(0.01, 100_000, "hours"), 24.0)
    events = f.take("event_age_h", between(0.01, 100_000, "hours"), 168.0)
    return Limits(int(megabytes * 2**20), age * 3600, events * 3600)


def _plc(top: Fields, scheme: str) -> PlcNodes:
    f = _section(top, "plc", "heartbeat", "controls", "readback_s")
    raw = _checked(lambda text: check_raw(scheme, text), "correct the raw name")
    if "plc" in top.entries and scheme == "plant":
        top.entries["plc"].fail("no such section with a virtual plant", "take it out: that plant has its part built in")
    controls = {}
    for control, item in f.mapping("controls").items():
        c = Fields(item, ("request", "fallback", "expected", "serial", "heartbeat", "taken"))
        request, kept, seen, serial = (
            c.need(key, raw, "", "holding/101") for key in ("request", "fallback", "expected", "serial")
        )
        own, taken = (c.take(key, raw, "") or None for key in ("heartbeat", "taken"))
        controls[control] = ControlNodes(request, kept, seen, serial, own, taken)
    patience = f.take("readback_s", between(0.1, 60, "seconds"), 3.0)
    return PlcNodes(f.take("heartbeat", raw, "") or None, controls, patience)


def _opcua(top: Fields) -> OpcUaOptions:
    f = _section(
        top, "opcua", "publish_ms", "sampling_ms", "watchdog_s", "timeout_s", "username", "password_file", "security",
        "mode", "certificate", "key", "server_certificate",
    )  # fmt: skip
    options = OpcUaOptions(
        publish_ms=f.take("publish_ms", _count(10, 60_000, "ms"), 500),
        sampling_ms=f.take("sampling_ms", _count(0, 60_000, "ms"), 250),
        watchdog_s=f.take("watchdog_s", between(1, 600, "seconds"), 10.0),
        timeout_s=f.take("timeout_s", between(0.2, 60, "seconds"), 4.0),
        username=f.take("username", str, "") or None,
        password_file=f.take("password_file", _file, Path()) if f.has("password_file") else None,
        security=f.take("security", one_of(*POLICIES), "") or None,
        mode=f.take("mode", one_of(*MODES), "SignAndEncrypt"),
        certificate=f.take("certificate", _file, Path()) if f.has("certificate") else None,
        key=f.take("key", _file, Path()) if f.has("key") else None,
        server_certificate=f.take("server_certificate", _file, Path()) if f.has("server_certificate") else None,
    )
    if options.security and not (f.has("certificate") and f.has("key")):
        f.entries["security"].fail("certificate and key beside it", "name both files")
    return options


def _modbus(top: Fields) -> ModbusOptions:
    f = _section(top, "modbus", "poll_s", "timeout_s", "order", "max_gap", "max_registers")
    return ModbusOptions(
        f.take("poll_s", between(0.02, 3600, "seconds"), 1.0),
        f.take("timeout_s", between(0.05, 60, "seconds"), 2.0),
        f.take("order", one_of(*ORDERS), "abcd"),
        f.take("max_gap", _count(0, 100, "registers"), 8),
        f.take("max_registers", _count(2, 125, "registers"), 120),
    )


def _mqtt(top: Fields) -> MqttOptions:
    f = _section(top, "mqtt", "time", "settle_s")
    return MqttOptions(f.take("time", str, "") or None, f.take("settle_s", between(0.1, 60, "seconds"), 1.0))


# against the plant file -------------------------------------------------------------------------


def _own(plant: Plant) -> list[str]:
    return ["mode", *(f"set/{c.id}" for c in plant.controls)]


def _against_plant(top: Fields, plant: Plant) -> None:
    """Tags, cells and controls that the plant file does not have."""
    known = [s.tag for s in plant.sensors] + _own(plant)
    for key in ("tags", "deadband"):
        for tag, item in top.mapping(key).items():
            if tag not in known:
                item.problems.error(
                    item.line, f"{key}: expected a tag of the plant {plant.id}, found '{tag}'; {suggestion(tag, known)}"
                )
    cells = sorted({s.cell for s in plant.sensors})
    for item in top.sequence("cells"):
        convert(item, one_of(*cells), "")
    if top.has("plc"):
        ids = [c.id for c in plant.controls]
        section = Fields(top.entries["plc"], ("heartbeat", "controls", "readback_s"))
        for control, item in section.mapping("controls").items():
            if control not in ids:
                item.problems.error(
                    item.line,
                    f"plc, controls: expected a control of the plant {plant.id}, found '{control}'; "
                    f"{suggestion(control, ids) if ids else 'it has none'}",
                )


def _open_ends(checked: Checked) -> Checked:
    """What a correct file leaves out: sensors without a raw name, controls that stay advisory."""
    config, plant = checked.config, checked.plant
    if config is None or plant is None or not (config.tags or config.mapping):
        return checked
    fed = {*config.tags, *(load_mapping(config.mapping, plant).tags() if config.mapping is not None else ())}
    heard = [s for s in plant.sensors if not config.cells or s.cell in config.cells]
    checked.uncovered = [s.tag for s in heard if s.tag not in fed]
    ids = [c.id for c in plant.controls]
    for control, why in config.plc.advisory(ids, config.tags).items():
        checked.notes.append(f"commands of {control} will be refused: {why}")
    if ids and "mode" not in fed:
        checked.notes.append("all commands will be refused: no raw name is configured for mode (0 auto, 1 manual)")
    return checked
