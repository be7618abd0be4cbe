"""The gateway's settings: from the command line, or from a YAML file with the same names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hardware.outbox import Limits
from ingest.tls import Tls, TlsError
from sim.plant import STATES, Plant, Sensor


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`hist_rate` is messages of backlog a wall second; `deadband` the change of a float tag worth a message."""

    plant: str
    fieldbus: str
    broker: str
    data: Path = Path("plantwin-data")
    hist_rate: float = 200.0
    outbox: Limits = field(default_factory=Limits)
    deadband: Mapping[str, float] = field(default_factory=dict)
    cells: tuple[str, ...] = ()  # only these cells; empty: all of the plant file
    tls: Tls | None = None


class _Outbox(msgspec.Struct, forbid_unknown_fields=True):
    max_mb: float = 256.0
    max_age_h: float = 24.0
    event_age_h: float = 168.0


class _Tls(msgspec.Struct, forbid_unknown_fields=True):
    ca: str
    cert: str | None = None
    key: str | None = None

    def files(self) -> Tls | None:
        cert, key = (None if name is None else Path(name) for name in (self.cert, self.key))
        return Tls.of(Path(self.ca), cert, key)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    plant: str
    fieldbus: str
    broker: str
    data: str | None = None
    hist_rate: float = 200.0
    outbox: _Outbox = msgspec.field(default_factory=_Outbox)
    deadband: dict[str, float] = msgspec.field(default_factory=dict)
    cells: list[str] = msgspec.field(default_factory=list)
    tls: _Tls | None = None


def read_config(path: Path, data: Path) -> GatewayConfig:
    """A configuration file; ValueError says which key is wrong. `data` holds where the file names no folder."""
    try:
        found: Any = yaml.safe_load(path.read_text())
        file = msgspec.convert(found, _File)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(
            f"{path}: {error}; expected plant, fieldbus, broker and perhaps data, hist_rate, outbox, "
            "deadband, cells, tls"
        ) from error
    if not 0.1 <= file.outbox.max_mb <= 1_000_000:
        raise ValueError(f"{path}: outbox.max_mb {file.outbox.max_mb}: expected 0.1 or more megabytes")
    try:
        tls = file.tls.files() if file.tls is not None else None
    except TlsError as error:
        raise ValueError(f"{path}: {error}") from None
    limits = Limits(int(file.outbox.max_mb * 2**20), file.outbox.max_age_h * 3600, file.outbox.event_age_h * 3600)
    return GatewayConfig(
        file.plant,
        file.fieldbus,
        file.broker,
        Path(file.data) if file.data is not None else data,
        file.hist_rate,
        limits,
        file.deadband,
        tuple(file.cells),
        tls,
    )


def home_cell(plant: Plant) -> str:
    """The cell whose source carries the plant's mode and setpoints: of a `set` sensor, else of the first."""
    chosen = next((s.cell for s in plant.sensors if s.property == "set"), None)
    return chosen or (plant.sensors[0].cell if plant.sensors else "cell1")


def cells_of(plant: Plant) -> dict[str, list[Sensor]]:
    """Sensors by cell, in the plant file's order; the home cell is always there."""
    found: dict[str, list[Sensor]] = {home_cell(plant): []}
    for sensor in plant.sensors:
        found.setdefault(sensor.cell, []).append(sensor)
    return found


def birth_tags(plant: Plant, cell: str) -> list[dict[str, Any]]:
    """The tags of a source in the order of their aliases: its sensors, and at home `mode` and the setpoints."""
    tags: list[dict[str, Any]] = []
    for s in cells_of(plant)[cell]:
        tag: dict[str, Any] = {"name": s.tag, "type": s.type}
        if s.type == "enum":
            tag["enum"] = list(STATES)
        if s.range is not None:
            tag["range"] = s.range
        tags.append(tag)
    if cell == home_cell(plant):
        tags.append({"name": "mode", "type": "enum", "enum": ["auto", "manual"]})
        named = {t["name"] for t in tags}
        for c in plant.controls:
            if f"set/{c.id}" not in named:
                tags.append({"name": f"set/{c.id}", "type": "int", "range": (float(c.low), float(c.high))})
    return tags


def config_tls(config: GatewayConfig, cell: str) -> Tls | None:
    """The TLS files of one cell's connection."""
    return None if config.tls is None else config.tls.for_cell(cell)
