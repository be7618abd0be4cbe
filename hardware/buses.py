"""A fieldbus by its URL. Each adapter's library is imported only when its URL is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hardware.adapter import Adapter, Fieldbus
from hardware.deviceclock import DeviceClock
from hardware.fieldbus import FieldbusClient
from hardware.gateway_config import GatewayConfig
from hardware.link import host_port
from hardware.tagbus import TagBus

EXAMPLES = (
    "127.0.0.1:5020, opc.tcp://plc1:4840, modbus://plc1:502?unit=1, mqtt://localhost:1883, "
    "csv:export.csv?speed=60 or csv:export.csv?follow=1"
)
SCHEMES = ("opc.tcp", "modbus", "mqtt", "csv")
MAX_SPEED = 100_000.0


def scheme_of(url: str) -> str:
    """`opc.tcp`, `modbus`, `mqtt`, `csv`, or `plant` for the HOST:PORT of a virtual plant; ValueError otherwise."""
    head = url.partition(":")[0]
    if head in SCHEMES and (head == "csv" or url.startswith(f"{head}://")):
        return head
    if "://" in url:
        raise ValueError(f"fieldbus {url!r}: expected one of {EXAMPLES}")
    host_port(url, "--fieldbus")
    return "plant"


def check_raw(scheme: str, raw: str) -> None:
    """ValueError in one sentence where `raw` is no raw name of that protocol."""
    if scheme == "modbus":
        from hardware.registers import parse

        parse(raw)
    elif scheme == "opc.tcp":
        head, _, rest = raw.rpartition(";")
        if rest[:2] not in ("i=", "s=", "g=", "b=") or (head and not (head.startswith("ns=") and head[3:].isdigit())):
            raise ValueError(f"{raw!r} is no node id: expected for example ns=2;s=Turn.State or ns=3;i=1007")
    elif scheme == "mqtt" and (not raw.partition("#")[0] or "+" in raw or raw.partition("#")[2].startswith("/")):
        raise ValueError(f"{raw!r}: expected one topic without wildcards, perhaps with #FIELD.PATH behind it")


def _endpoint(url: str, default: int) -> tuple[tuple[str, int], dict[str, str]]:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"fieldbus {url!r}: expected a host; one of {EXAMPLES}")
    return (parts.hostname, parts.port or default), dict(parse_qsl(parts.query))


def _csv(url: str) -> tuple[Path, float]:
    path, _, query = url.removeprefix("csv:").partition("?")
    options = dict(parse_qsl(query))
    follow, speed = options.pop("follow", ""), options.pop("speed", "")
    if options or bool(follow) == bool(speed) or not path:
        raise ValueError(f"fieldbus {url!r}: expected csv:FILE?speed=60 or csv:FILE?follow=1")
    if follow:
        return Path(path), 0.0
    try:
        number = float(speed)
    except ValueError:
        number = -1.0
    if not 0.1 <= number <= MAX_SPEED:
        raise ValueError(f"fieldbus {url!r}: expected a speed of 0.1 to {MAX_SPEED:g}, found {speed}")
    return Path(path), number


def check_url(url: str) -> str:
    """The URL's scheme; ValueError in one sentence where the URL cannot be used."""
    scheme = scheme_of(url)
    if scheme == "csv":
        _csv(url)
    elif scheme == "modbus":
        _unit(url, _endpoint(url, 502)[1])
    elif scheme == "mqtt":
        _endpoint(url, 1883)
    elif scheme == "opc.tcp" and (_endpoint(url, 4840) and urlsplit(url).password):
        raise ValueError("fieldbus: no password in a URL, which logs show; use opcua.username and opcua.password_file")
    return scheme


def _unit(url: str, query: Mapping[str, str]) -> int:
    unit = query.get("unit", "1")
    if set(query) - {"unit"} or not unit.isdigit() or not 0 <= int(unit) <= 247:
        raise ValueError(f"fieldbus {url!r}: expected modbus://HOST:PORT?unit=0..247")
    return int(unit)


def make_adapter(config: GatewayConfig, raws: list[str]) -> Adapter:
    """The adapter of the configuration's URL for these raw names."""
    url, scheme = config.fieldbus, scheme_of(config.fieldbus)
    if scheme == "opc.tcp":
        from hardware.adapter_opcua import OpcUaAdapter

        bands = {config.tags[tag]: band for tag, band in config.deadband.items() if tag in config.tags}
        return OpcUaAdapter(url, raws, replace(config.opcua, deadband=bands))
    if scheme == "modbus":
        from hardware.adapter_modbus import ModbusAdapter

        address, query = _endpoint(url, 502)
        return ModbusAdapter(address, _unit(url, query), raws, config.modbus)
    if scheme == "mqtt":
        from hardware.adapter_mqtt import MqttAdapter

        return MqttAdapter(_endpoint(url, 1883)[0], raws, config.mqtt)
    if scheme == "csv":
        from hardware.adapter_csv import CsvAdapter, CsvOptions

        path, speed = _csv(url)
        return CsvAdapter(path, raws, CsvOptions(speed, config.csv_time))
    raise ValueError(f"fieldbus {url!r}: expected one of {EXAMPLES}")


def make_bus(
    config: GatewayConfig,
    controls: list[str],
    listen: Callable[[dict[str, Any]], None],
    now: Callable[[], int],
    raws: Sequence[str] = (),
) -> Fieldbus:
    """The fieldbus of a configuration, not yet connected.

    `raws` are raw names that are handed on as they are, beside the table `tags`: a mapping makes tags of them.
    """
    if scheme_of(config.fieldbus) == "plant":
        return FieldbusClient(*host_port(config.fieldbus, "--fieldbus"), listen)
    names = {**{raw: raw for raw in raws}, **config.tags}
    if not names:
        raise ValueError(f"fieldbus {config.fieldbus}: a table 'tags' is needed; write a file and use --config")
    clock = DeviceClock(config.skew_tolerance_ms, config.late_ms)
    bus = TagBus(make_adapter(config, list(dict.fromkeys(names.values()))), names, listen, now, clock)
    bus.holds(config.plc, controls)
    return bus
