"""Serial lines with finite buffers against their Markov chains."""

from __future__ import annotations

from typing import TypedDict

from tests.oracles.lines import Line, Machine, solve
from tests.theory.compare import Case
from tests.theory.plants import serial

RELIABLE = Machine(1.0)
WEAK = Machine(1.0, 0.05, 0.2)
UNEQUAL = (
    Machine(1.0, 0.03, 0.25), Machine(1.25, 0.1, 0.5), Machine(0.8, 0.02, 0.2), Machine(1.0), Machine(1.6, 0.2, 0.4)
)  # fmt: skip


class _Tdf(TypedDict):
    clock: str
    leaves_while_down: bool


TDF = _Tdf(clock="tdf", leaves_while_down=False)
"""A machine that goes down with a finished part keeps it until it is repaired (docs/kernel.md, repair_end)."""

LINES: dict[str, tuple[Line, float]] = {
    "two": (Line((WEAK, Machine(1.25, 0.1, 0.5)), (3,)), 40_000),
    "two_without_a_place": (Line((RELIABLE, RELIABLE), (0,)), 20_000),
    "three_reliable": (Line((RELIABLE,) * 3, (1, 1)), 20_000),
    "three_unequal": (Line(UNEQUAL[:3], (2, 1)), 60_000),
    "three_crew_of_one": (Line((WEAK,) * 3, (2, 2), crew=1), 40_000),
    "four": (Line((WEAK,) * 4, (1, 2, 1)), 40_000),
    "four_crew_of_two": (Line((Machine(1.0, 0.05, 0.1),) * 4, (0, 1, 0), crew=2), 80_000),
    "five_reliable": (Line((RELIABLE,) * 5, (1,) * 4), 15_000),
    "five_unequal": (Line(UNEQUAL, (1, 0, 2, 1)), 50_000),
    "three_before_service": (Line((RELIABLE,) * 3, (1, 1), "before_service"), 20_000),
    "three_unequal_before_service": (Line(UNEQUAL[:3], (2, 1), "before_service"), 60_000),
    "five_before_service": (Line((RELIABLE,) * 5, (2, 0, 1, 3), "before_service"), 40_000),
    "three_tdf": (Line(UNEQUAL[:3], (2, 1), **TDF), 60_000),
    "three_tdf_crew": (Line((WEAK,) * 3, (2, 2), crew=1, **TDF), 50_000),
    "four_tdf": (Line((WEAK,) * 4, (1, 0, 1), **TDF), 70_000),
    "three_before_service_tdf": (Line((WEAK,) * 3, (1, 2), "before_service", **TDF), 50_000),
}
"""Lines by name, and the seconds of a replication."""

SHARP = {"work": 0.005, "down": 0.03, "starved": 0.02, "blocked": 0.02, "queue": 0.015}
RARE = 0.001
"""Share of the time (or parts) that is precise enough in absolute terms."""


def line_case(name: str, line: Line, seconds: float) -> Case:
    """Throughput, the state of every machine and the parts in every buffer."""
    known = solve(line)
    exact = {"throughput": known.throughput}
    for i in range(len(line.machines)):
        parts = {"work": known.works, "starved": known.starved, "blocked": known.blocked, "down": known.down}
        exact |= {f"m{i + 1}.{figure}": values[i] for figure, values in parts.items() if values[i] > 1e-9}
    exact |= {f"m{i + 2}.queue": level for i, level in enumerate(known.buffers) if level > 0}
    sharp = {}
    for figure in exact:
        if "." in figure:
            sharp[figure] = max(SHARP[figure.partition(".")[2]], RARE / exact[figure])
    return Case(f"line_{name}", serial(line), exact, seconds, 1000, sharp)


CASES = tuple(line_case(name, line, seconds) for name, (line, seconds) in LINES.items())
