"""`plantwin gateway --check CONFIG`: is the file right, and does every raw name give a value?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hardware.adapter import Fieldbus, FieldbusError, Sample
from hardware.buses import make_bus
from hardware.gateway_file import Checked, check_file
from hardware.service import say
from hardware.tagbus import TagBus
from ingest.mapping import load
from ingest.wire import BAD, GOOD, QUALITIES, wall_ms

PATIENCE_S = 15.0
"""Longest wait for the first complete image."""


@dataclass(frozen=True, slots=True)
class Line:
    """One tag as it was read. `age_s` by the device's clock, None where it tells none."""

    tag: str
    raw: str
    value: int | float | str | None
    quality: str
    age_s: float | None
    note: str

    @property
    def unread(self) -> bool:
        return self.value is None or self.quality == QUALITIES[BAD]


def run_check(path: Path, data: Path, *, connect: bool, as_json: bool) -> int:
    """Print what there is to say; the exit code: 0 fine, 1 a tag uncovered or unread, 2 the file is wrong."""
    checked = check_file(path, data)
    lines: list[Line] = []
    failure = ""
    if checked.config is not None and connect:
        lines, failure = asyncio.run(read_all(checked))
    code = _code(checked, lines, failure)
    if as_json:
        print(json.dumps(_report(path, checked, lines, failure, code)))
    else:
        _print(path, checked, lines, failure)
    return code


def _code(checked: Checked, lines: list[Line], failure: str) -> int:
    if checked.problems:
        return 2
    return int(bool(checked.uncovered or failure or any(line.unread for line in lines)))


def _report(path: Path, checked: Checked, lines: list[Line], failure: str, code: int) -> dict[str, Any]:
    return {
        "file": str(path),
        "ok": code == 0,
        "problems": checked.problems,
        "uncovered": checked.uncovered,
        "notes": checked.notes,
        "failure": failure,
        "tags": [asdict(line) for line in lines],
    }


async def read_all(checked: Checked) -> tuple[list[Line], str]:
    """Every tag of the table (or of the virtual plant's sensors) read once, and why none could be."""
    config, plant = checked.config, checked.plant
    assert config is not None
    assert plant is not None
    heard = asyncio.Event()

    def listen(message: dict[str, Any]) -> None:
        if message.get("all"):
            heard.set()

    try:
        raws = load(config.mapping, plant).raw_names() if config.mapping is not None else ()
        bus = make_bus(config, [c.id for c in plant.controls], listen, wall_ms, raws)
    except ValueError as error:
        return [], str(error)
    names = bus.names if isinstance(bus, TagBus) else {s.tag: s.tag for s in plant.sensors}
    running = asyncio.get_running_loop().create_task(bus.run_once())
    try:
        failure = await _wait(running, heard)
        if failure:
            return [], failure
        return await _lines(bus, names), ""
    except FieldbusError as error:
        return [], str(error)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _wait(running: asyncio.Task[None], heard: asyncio.Event) -> str:
    """Wait for the first image; says why there is none."""
    end = time.monotonic() + PATIENCE_S
    while not heard.is_set():
        if running.done():
            error = running.exception()
            return str(error) if error is not None else "the fieldbus ended the connection"
        if time.monotonic() > end:
            return f"the fieldbus told nothing within {PATIENCE_S:g} s"
        await asyncio.sleep(0.02)  # both may end it: the image or the connection
    return ""


async def _lines(bus: Fieldbus, names: Mapping[str, str]) -> list[Line]:
    if isinstance(bus, TagBus):
        found = await bus.samples(*names)
    else:
        found = {tag: Sample(value) for tag, value in (await bus.read(*names)).items()}
    now = wall_ms()
    lines = []
    for tag, raw in names.items():
        sample = found.get(tag)
        if sample is None:
            lines.append(Line(tag, raw, None, QUALITIES[BAD], None, "nothing heard"))
            continue
        age = None if sample.t is None else (now - sample.t) / 1000
        note = sample.note
        if age is not None and age < -1:
            note = f"{note} its clock is {-age:.0f} s ahead".strip()
        lines.append(Line(tag, raw, sample.value, QUALITIES[sample.quality], age, note))
    return lines


def _print(path: Path, checked: Checked, lines: list[Line], failure: str) -> None:
    import sys

    for problem in checked.problems:
        print(problem, file=sys.stderr)
    if checked.config is None:
        return
    for tag in checked.uncovered:
        print(f"{path}: tags: {tag} of the plant file has no raw name")
    for note in checked.notes:
        print(f"{path}: {note}")
    if failure:
        say("gateway", failure)
    if lines:
        _table(lines)
    unread = sum(line.unread for line in lines)
    told = f"{len(lines) - unread} of {len(lines)} tags read" if lines else f"{len(checked.config.tags)} raw names"
    print(f"{path}: {told}, {len(checked.uncovered)} tags of the plant file without a raw name")


def _table(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("tag", "raw name", "value", "quality", "age", "note"):
        table.add_column(name, justify="right" if name in ("value", "age") else "left", overflow="fold")
    for line in lines:
        colour = "green" if line.quality == QUALITIES[GOOD] else "red" if line.unread else "yellow"
        value = "" if line.value is None else f"{line.value:g}" if isinstance(line.value, float) else str(line.value)
        age = "" if line.age_s is None else _age(line.age_s)
        table.add_row(line.tag, Text(line.raw), Text(value), f"[{colour}]{line.quality}[/]", age, Text(line.note))
    Console().print(table)


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
