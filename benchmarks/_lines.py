"""Lines of any length and with any number of parts in them, described as a user would: a plant file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import sim.plantfile
from sim.compile import Compiled, compile_plant

HEAD = """\
plantwin: 1
site: bench
area: bench
line: {name}
tick: 1 ms
time_unit: s
"""
STATION = "{work: exponential(1 s), fails: {clock: odf, after: exponential(100 s), repair: exponential(10 s)}}"


def line(stations: int, places: int = 10) -> Compiled:
    """`line10` with another number of stations: unreliable, `places` places before each, never out of raw parts."""
    names = [f"s{i + 1}" for i in range(stations)]
    lines = [HEAD.format(name=f"line{stations}"), "products:\n  part: {routing: [", ", ".join(names), "]}\nstations:\n"]
    lines += [f"  {name}: {STATION}\n" for name in names]
    lines.append("buffers:\n")
    lines += [f"  b{i + 1}: {{before: {name}, capacity: {places}}}\n" for i, name in enumerate(names) if i]
    lines.append("release:\n  part: {policy: saturated}\n")
    return _compiled("".join(lines))


def full(parts: int, stations: int = 10) -> Compiled:
    """The same stations with unlimited queues and a fixed number of parts in the system (CONWIP)."""
    names = [f"s{i + 1}" for i in range(stations)]
    lines = [HEAD.format(name=f"full{parts}"), f"unlimited: {parts}\n", "products:\n  part: {routing: ["]
    lines += [", ".join(names), "]}\nstations:\n", *(f"  {name}: {STATION}\n" for name in names)]
    lines.append(f"release:\n  part: {{policy: conwip, cap: {parts}}}\n")
    return _compiled("".join(lines))


def _compiled(text: str) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plant.yaml"
        path.write_text(text, encoding="utf-8")
        return compile_plant(sim.plantfile.load(path))
