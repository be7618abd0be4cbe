"""Texts of plant files for what theory knows. Times are in seconds, a tick is a millisecond."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracles.lines import Line, Machine

HEAD = """plantwin: 1
site: test
area: theory
line: case
tick: {tick}
time_unit: s
unlimited: {unlimited}
"""


def plant(*sections: str, tick: str = "1 ms", unlimited: int = 1000) -> str:
    """A whole file from its sections."""
    return HEAD.format(tick=tick, unlimited=unlimited) + "\n".join(sections) + "\n"


def single(work: str, release: str, units: int = 1, unlimited: int = 1000) -> str:
    """One station `a`, one product."""
    return plant(
        "products: {part: {routing: [a]}}",
        f"stations: {{a: {{units: {units}, work: {work}}}}}",
        f"release: {{part: {{{release}}}}}",
        unlimited=unlimited,
    )


def push(rate: float) -> str:
    """Poisson arrivals."""
    return f"policy: push, arrivals: poisson({rate}/s)"


def routed(routing: str, stations: Sequence[str], release: str) -> str:
    """One product; `stations` are lines such as `a: {work: 2 s}`."""
    return plant(
        f"products:\n  part:\n    routing: {routing}",
        "stations:\n" + "\n".join(f"  {line}" for line in stations),
        f"release: {{part: {{{release}}}}}",
    )


def machine(name: str, given: Machine, clock: str = "odf", crew: bool = False) -> str:
    """A station with exponential work, failures and repairs."""
    fails = ""
    if given.fail > 0:
        repair = f"exponential({1 / given.repair:.9g} s)" + (", crew: fitters" if crew else "")
        fails = f", fails: {{clock: {clock}, after: exponential({1 / given.fail:.9g} s), repair: {repair}}}"
    return f"{name}: {{work: exponential({1 / given.work:.9g} s){fails}}}"


def serial(line: Line) -> str:
    """The line of the oracle as a plant: stations m1, m2, .., the first one saturated."""
    names = [f"m{i}" for i in range(1, len(line.machines) + 1)]
    told = zip(names, line.machines, strict=True)
    places = zip(names[1:], line.buffers, strict=True)
    return plant(
        f"products: {{part: {{routing: [{', '.join(names)}]}}}}",
        "stations:\n" + "\n".join(f"  {machine(n, m, line.clock, line.crew is not None)}" for n, m in told),
        "buffers:\n" + "\n".join(f"  b{name}: {{before: {name}, capacity: {size}}}" for name, size in places),
        "release: {part: {policy: saturated}}",
        *([f"crews: {{fitters: {{size: {line.crew}}}}}"] if line.crew is not None else []),
        f"conventions: {{blocking: {line.blocking}, failure_clock: {line.clock}}}",
    )
