"""The plants of `plantwin bench tracking`: lines of ten and three machines, sensed in different ways, and gearmotor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sim.plant import Plant
from sim.plantfile import load


@dataclass(frozen=True, slots=True)
class Case:
    """A plant that is recorded once. `events`: do its controllers tell events beside the values of their tags?"""

    name: str
    words: str
    hours: float
    events: bool = True


CASES = (
    Case("line10", "ten machines, all counted and with level sensors, events", 16.0),
    Case("half", "the same line, every second machine without any sensor", 16.0),
    Case("resets", "the same line, 16-bit counters back to 0 at every shift change, no events", 16.0, events=False),
    Case("gearmotor", "the bundled plant: 10 work centers, oven, rework, supply; noisy levels, late states", 12.0),
)


def line(n: int, *, half: bool = False, resets: bool = False, levels: bool = True) -> str:
    """A plant file: `n` machines of 60 s (exponential) with failures, ten places between them, 30 parts in work."""
    names = [f"s{i}" for i in range(1, n + 1)]
    stations = "\n".join(
        f"  {s}: {{work: exponential(60 s), fails: {{clock: odf, after: exponential(100 min), "
        "repair: exponential(10 min)}}"
        for s in names
    )
    buffers = "\n".join(f"  b{i}: {{before: s{i}, capacity: 10}}" for i in range(2, n + 1))
    how = ", bits: 16, resets: shift" if resets else ", resets: never"
    sensors = ["  - {thing: part, property: in, tag: release/part, type: counter" + how + "}"]
    for i, s in enumerate(names, 1):
        if half and i % 2 == 0:
            continue
        sensors.append(f"  - {{thing: {s}, property: state, tag: {s}/state, type: enum}}")
        sensors.append(f"  - {{thing: {s}, property: out, tag: {s}/out, type: counter{how}}}")
        if levels and i > 1:
            sensors.append(f"  - {{thing: b{i}, property: level, tag: b{i}/level, type: int, range: [0, 10]}}")
    return (
        f"""plantwin: 1
site: demo
area: tracking
line: line{n}
timezone: UTC
tick: 1 ms
time_unit: h
unlimited: 400
products:
  part: {{routing: [{", ".join(names)}]}}
stations:
{stations}
buffers:
{buffers}
release:
  part: {{policy: conwip, cap: {3 * n}}}
sensors:
"""
        + "\n".join(sensors)
        + "\n"
    )


def plant_of(name: str, folder: Path) -> Plant:
    """The plant of a case; files that are made lie in `folder`."""
    if name == "gearmotor":
        return load(name)
    text = {
        "line10": lambda: line(10),
        "half": lambda: line(10, half=True),
        "resets": lambda: line(10, resets=True),
        "line3": lambda: line(3, levels=False),
    }[name]()
    path = folder / f"{name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load(str(path))
