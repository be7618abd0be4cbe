"""The gateway's settings, and what follows from the plant file for its sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardware.adapter_modbus import ModbusOptions
from hardware.adapter_mqtt import MqttOptions
from hardware.adapter_opcua import OpcUaOptions
from hardware.outbox import Limits
from hardware.plcnodes import PlcNodes
from ingest.tls import Tls
from sim.plant import STATES, Plant, Sensor


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`hist_rate` is messages of backlog a wall second; `deadband` the change of a float tag worth a message.

    `tags` is the table `tag: raw name` that every fieldbus but the virtual plant's needs.
    """

    plant: str
    fieldbus: str
    broker: str
    data: Path = Path("plantwin-data")
    hist_rate: float = 200.0
    outbox: Limits = field(default_factory=Limits)
    deadband: Mapping[str, float] = field(default_factory=dict)
    cells: tuple[str, ...] = ()  # only these cells; empty: all of the plant file
    mapping: Path | None = None  # mapping.yaml, where the fieldbus speaks raw names
    tags: Mapping[str, str] = field(default_factory=dict)
    plc: PlcNodes = field(default_factory=PlcNodes)
    opcua: OpcUaOptions = field(default_factory=OpcUaOptions)
    modbus: ModbusOptions = field(default_factory=ModbusOptions)
    mqtt: MqttOptions = field(default_factory=MqttOptions)
    csv_time: str = "t"  # the column with the time
    skew_tolerance_ms: int = 2_000  # a device time that is less off than this is taken as it is
    late_ms: int = 60_000  # readings older than this are flagged
    tls: Tls | None = None


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


def birth_tags(plant: Plant, cell: str, own: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The tags of a source in the order of their aliases: its sensors, at home `mode` and the setpoints, and `own`."""
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
    tags += [{"name": name, "type": "int"} for name in own]
    return tags


def config_tls(config: GatewayConfig, cell: str) -> Tls | None:
    """The TLS files of one cell's connection."""
    return None if config.tls is None else config.tls.for_cell(cell)
