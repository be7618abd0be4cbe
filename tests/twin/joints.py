"""A line with three controls, and a recommendation that moves them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.plant import Plant
from tests.twin.journals import LINE, SENSORS, written
from twin.decisions import Present

CONTROLS = """
controls:
  cap: {sets: release.a.cap, from: 2, to: 11, step: 1, every: 10 min, class: release, worth: 5 EUR, approve: operator}
  cap_b: {sets: release.b.cap, from: 2, to: 11, step: 1, every: 10 min, class: release, worth: 5 EUR}
  base_a: {sets: release.a.base_stock, from: 4, to: 40, step: 4, every: 1 h, class: release, worth: 5 EUR}
limits:
  - {if: cut.down, then: cap <= 8}
  - {if: wash.down, then: base_a <= 16}
sensors:
"""
PRESENT = {"cap": 6, "cap_b": 4, "base_a": 12}
MOVES = [
    {"control": "cap", "from": 6, "to": 8},
    {"control": "cap_b", "from": 4, "to": 5},
    {"control": "base_a", "from": 12, "to": 20},
]
IDS = {"cap": "c-r-1", "cap_b": "c2-r-1", "base_a": "c3-r-1"}
NOW = Present(t=1_000_000, pos=7, speed=60.0, controls=PRESENT, states={"cut": ["work"], "wash": ["idle"]})


def joint_line(folder: Path) -> Plant:
    """The line of `journals` with three controls."""
    return written(folder, LINE[: LINE.index("\ncontrols:")] + CONTROLS + SENSORS, "joint")


def body(number: int = 1, moves: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A recommendation of several moves."""
    moves = MOVES if moves is None else moves
    gain = {"mean": 18.0, "lo": 4.0, "hi": 31.0, "unit": "EUR", "worse": 0.04}
    made = {"id": f"r-{number}", **moves[0], "moves": moves, "gain": gain, "horizon_s": 600, "lease_s": 300}
    return made | more
