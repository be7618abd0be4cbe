"""One story told on the CPU and on a device: `python -m tests.sim.resident_rows REPLICAS NAME=UNTIL ...` prints JSON.

Advance together, read, steer, forget, advance each to its own tick, replace some replicas by new ones, put some back
to an earlier moment, go on from decision to decision, go on. The digest of every moment covers rows, observations and
money of all replicas.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sim import kernel
from sim.batch import Turn, play
from sim.compile import Compiled
from sim.state import EVERY_KIND, K_DEMAND, K_WORK_END, Array
from tests.sim.engine_rows import find
from tests.sim.engines import SEED


class Machine(Protocol):
    """What both machines can do."""

    def advance(self, until: Any) -> None: ...
    def advance_events(self, last: Any, kinds: int) -> None: ...
    def set_controls(self, values: Array) -> None: ...
    def move_controls(self, values: Array) -> None: ...
    def clear_stats(self) -> None: ...
    def put(self, which: Array, rows: Array) -> None: ...
    def remember(self) -> None: ...
    def put_back(self, mask: NDArray[np.bool_]) -> None: ...
    def read(self) -> tuple[Array, NDArray[np.float32], NDArray[np.float64]]: ...


def reading(compiled: Compiled) -> tuple[Array, NDArray[np.float64]]:
    """Some positions of the row, and factors that no float holds exactly."""
    positions = np.arange(0, compiled.layout.width, 3, dtype=np.int64)
    return positions, 0.1 + np.sin(positions) / 3


class Host:
    """The story on the CPU."""

    def __init__(self, rows: Array, compiled: Compiled) -> None:
        self.rows, self.compiled = rows.copy(), compiled
        self.kept = self.rows

    def advance(self, until: Any) -> None:
        for i, tick in enumerate(np.broadcast_to(until, len(self.rows))):
            kernel.run(self.rows[i : i + 1], self.compiled, int(tick))

    def advance_events(self, last: Any, kinds: int) -> None:
        play(self.rows, self.compiled, Turn(last, kinds))

    def set_controls(self, values: Array) -> None:
        kernel.set_controls(self.rows, self.compiled, values)

    def move_controls(self, values: Array) -> None:
        play(self.rows, self.compiled, Turn(self.rows[:, 0].copy(), 0, values))

    def clear_stats(self) -> None:
        kernel.clear_stats(self.rows, self.compiled)

    def put(self, which: Array, rows: Array) -> None:
        self.rows[which] = rows

    def remember(self) -> None:
        self.kept = self.rows.copy()

    def put_back(self, mask: NDArray[np.bool_]) -> None:
        self.rows[mask] = self.kept[mask]

    def read(self) -> tuple[Array, NDArray[np.float32], NDArray[np.float64]]:
        positions, factors = reading(self.compiled)
        seen = np.empty((len(self.rows), len(positions)), dtype=np.float32)
        money = np.empty(len(self.rows))
        kernel.gather_rows(self.rows, positions, factors, seen)
        kernel.linear_rows(self.rows, positions, factors, money)
        return self.rows, seen, money


class Device:
    """The story on a device."""

    def __init__(self, rows: Array, compiled: Compiled, stream: Any = None) -> None:
        from sim.cuda import Resident

        self.resident = self.kept = Resident(rows, compiled, stream)
        self.selection = self.resident.selection(*reading(compiled))
        self.seen: Any = None
        self.money: Any = None

    def advance(self, until: Any) -> None:
        self.resident.advance(until)

    def advance_events(self, last: Any, kinds: int) -> None:
        self.resident.advance_events(last, kinds)

    def set_controls(self, values: Array) -> None:
        self.resident.set_controls(values)

    def move_controls(self, values: Array) -> None:
        self.resident.set_controls(values, always=False)

    def clear_stats(self) -> None:
        self.resident.clear_stats()

    def put(self, which: Array, rows: Array) -> None:
        self.resident.put(which, rows)

    def remember(self) -> None:
        self.kept = self.resident.copy()

    def put_back(self, mask: NDArray[np.bool_]) -> None:
        self.resident.restore(mask, self.kept)

    def read(self) -> tuple[Array, NDArray[np.float32], NDArray[np.float64]]:
        self.seen = self.resident.gather(self.selection, self.seen)  # the second time into the same memory
        self.money = self.resident.linear(self.selection, self.money)
        self.resident.check()
        rows = self.resident.to_host()
        some = np.arange(0, len(rows), 2)
        assert np.array_equal(self.resident.to_host(some), rows[some])
        return rows, self.seen.copy_to_host(), self.money.copy_to_host()


def moments(machine: Machine, compiled: Compiled, replicas: int, until: int) -> Iterator[str]:
    """The digest after each step of the story, which ends at tick 2 * `until`."""

    def digest() -> str:
        rows, seen, money = machine.read()
        assert np.isfinite(seen).all()
        parts = (np.ascontiguousarray(part).tobytes() for part in (rows, seen, money))
        return hashlib.sha256(b"".join(parts)).hexdigest()

    numbers = np.arange(replicas)
    odd = numbers % 2 == 1
    first = kernel.get_controls(kernel.new_rows(compiled, SEED, 1), compiled)[0]
    machine.advance(until // 2)
    yield digest()
    machine.set_controls(np.where(first < 3, 1, first - 1))
    machine.remember()
    yield digest()
    machine.advance(until // 2 + numbers * (until // (2 * replicas)))
    yield digest()
    machine.clear_stats()
    machine.put(numbers[::3], kernel.new_rows(compiled, SEED + 1, len(numbers[::3]), 100))
    yield digest()
    machine.set_controls(np.maximum(first[None] + numbers[:, None] % 3, 1))
    machine.put_back(odd)
    yield digest()
    for _ in range(3):
        machine.advance_events(2 * until - 1 - numbers, EVERY_KIND)
    yield digest()
    low = [control.low for control in compiled.plant.controls]
    if low:
        machine.move_controls(np.where(numbers[:, None] % 2 == 1, np.array(low), first))
    machine.advance_events(2 * until - 1, 1 << K_WORK_END | 1 << K_DEMAND)
    yield digest()
    machine.advance(2 * until)
    yield digest()


def told(machine: type[Host | Device], replicas: int, plants: dict[str, int], **options: Any) -> dict[str, Any]:
    """The digests of each plant."""
    found = {}
    for name, until in plants.items():
        compiled = find(name)
        rows = kernel.new_rows(compiled, SEED, replicas)
        found[name] = list(moments(machine(rows, compiled, **options), compiled, replicas, until))
    return found


if __name__ == "__main__":
    wanted = {name: int(until) for name, until in (pair.split("=") for pair in sys.argv[2:])}
    json.dump(told(Device, int(sys.argv[1]), wanted), sys.stdout)
