"""What the tests of the mapping share: a plant, mappings written to a file, and a field that tells them things."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from ingest.mapping import Happening, Mapping, Output, Raw, Value, load
from ingest.mapping_engine import Engine
from sim.plant import Plant
from sim.plantfile import load as load_plant

T0 = 1_767_600_000_000
"""Monday 2026-01-05, 09:00 in Berlin."""

CELL = """\
mapping: 1
tags:
  turn/state:
    from: word/1
    bits: 0..4
    packml: true
    debounce: 2 s
    microstop: 30 s
    reason: {from: word/2, codes: {1: tool, 2: jam}, within: 10 min}
  turn/count: {from: word/3, counter: 16, resets: {on: coil/9}}
  mill/state:
    priority:
      - {state: down, from: word/4, bit: 3}
      - {state: work, from: word/4, bit: 0}
      - {state: idle}
  mill/count: {from: coil/7, count: rising, debounce: 200 ms}
  wash/count: {from: word/5, counter: 8, resets: never}
  b1/level: word/6
  b2/level: {from: word/7, scale: 0.5, offset: -1, deadband: 2, debounce: 1 s}
events:
  - {event: work_end, thing: mill, product: housing, each: mill/count}
  - {event: alarm, thing: wash, from: word/4, bit: 5, edge: both, text: door, debounce: 100 ms}
  - {event: alarm, thing: wash, from: word/8, codes: {1: overload, 2: coolant}}
"""


@cache
def line3() -> Plant:
    """The plant that the mappings of the tests are for."""
    return load_plant("line3")


def mapped(text: str, plant: Plant | None = None) -> Mapping:
    """The mapping in a text; MappingError as of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mapping.yaml"
        path.write_text(text)
        return load(path, plant or line3())


def tag(name: str, rule: str) -> Engine:
    """An engine with one rule."""
    return mapped(f"mapping: 1\ntags:\n  {name}: {rule}\n").engine()


def values(outputs: list[Output], name: str) -> list[float]:
    """The values of a tag."""
    return [o.value for o in outputs if isinstance(o, Value) and o.tag == name]


def events(outputs: list[Output], kind: str = "") -> list[Happening]:
    """The events, or those of one kind."""
    return [o for o in outputs if isinstance(o, Happening) and kind in {"", o.kind}]


def told(engine: Engine, *history: tuple[int, str, Raw]) -> list[Output]:
    """Feed (ms after T0, raw name, value) and, with a name of "", let time pass."""
    out: list[Output] = []
    for t, name, value in history:
        out += engine.feed(T0 + t, name, value) if name else engine.advance(T0 + t)
    return out
