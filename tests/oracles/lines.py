"""Serial lines of single machines with finite buffers, solved exactly as continuous-time Markov chains.

Work, time to failure and repair are exponential; the first machine is never starved, the last never blocked. A state
is what every machine holds, how many parts stand in every buffer and which machines are down; its transitions are
listed from the wording of the conventions below, and pi Q = 0 is solved as a sparse system. The conventions
are named as in Dallery and Gershwin, "Manufacturing flow line systems: a review of models and analytical results",
Queueing Systems 12 (1992).

Blocking. `after_service`: a finished part stays in its machine while there is no place downstream. `before_service`: a
machine starts only when there is a place downstream, which is then kept for the part. The part it may not start yet
`waits` in the "machine" already (server occupied), which frees a place upstream; or in the "queue" before it (server
not occupied); or in the queue while the free machine lends its place ("lent"): a place downstream is then one of
buffer + 1 as long as the machine there is up and holds nothing. "machine" and "lent" differ only where a machine can
fail while it may not start.

Failures. `odf`: a machine ages only while it works. `tdf`: it ages at all times, starved and blocked too; the work in
hand goes on after the repair, an empty machine takes no part while it is down, and a finished part that waits in a
down machine leaves as soon as there is a place when `leaves_while_down`, else after the repair.

Repair. `crew=None`: every down machine is repaired at once; `crew=n`: n repairers, first come first served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import LinearOperator, bicgstab, spilu, splu

EMPTY, HELD, WORKS, DONE = range(4)
"""What a machine holds: nothing, a part it may not start, a part in work, a finished part."""
MOST_STATES = 60_000
DIRECT = 1500
"""Up to so many states the factorisation is exact; beyond, an incomplete one steers an iteration (27 s become 3 s)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Rates per unit of time: parts while it works, failures, repairs."""

    work: float
    fail: float = 0.0
    repair: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """Machines in a row; `buffers[i]` places between machine i and machine i + 1."""

    machines: tuple[Machine, ...]
    buffers: tuple[int, ...]
    blocking: str = "after_service"
    clock: str = "odf"
    crew: int | None = None
    waits: str = "lent"
    leaves_while_down: bool = True

    def __post_init__(self) -> None:
        if len(self.buffers) != len(self.machines) - 1:
            raise ValueError(f"{len(self.machines)} machines have {len(self.machines) - 1} buffers between them")
        if self.blocking not in ("after_service", "before_service") or self.clock not in ("odf", "tdf"):
            raise ValueError(f"blocking {self.blocking!r} or clock {self.clock!r} is not known")
        if self.waits not in ("machine", "queue", "lent"):
            raise ValueError(f"waits {self.waits!r}: one of machine, queue, lent")

    def backwards(self) -> Line:
        """The same line run in the other direction."""
        return replace(self, machines=self.machines[::-1], buffers=self.buffers[::-1])


@dataclass(frozen=True, slots=True)
class State:
    """`holds[i]` of each machine, `parts[i]` in each buffer, machines that are down in the order of their repair."""

    holds: tuple[int, ...]
    parts: tuple[int, ...]
    down: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """Long-run figures: parts per unit of time, mean parts in each buffer, fractions of time of each machine."""

    throughput: float
    buffers: tuple[float, ...]
    works: tuple[float, ...]
    starved: tuple[float, ...]
    blocked: tuple[float, ...]
    down: tuple[float, ...]
    states: int


def solve(line: Line) -> Solution:
    """The line in the long run."""
    states, rates = explore(line)
    return _figures(line, states, stationary(rates))


def explore(line: Line) -> tuple[list[State], csc_array]:
    """All states that can be reached from the empty line, and the rates between them [from, to]."""
    count = len(line.machines)
    first = _settled(line, [EMPTY] * count, [0] * (count - 1), ())
    number = {first: 0}
    states, rows, columns, rates = [first], [], [], []
    for here, state in enumerate(states):  # grows while it is walked
        for rate, after in _moves(line, state):
            there = number.setdefault(after, len(states))
            if there == len(states):
                states.append(after)
            rows.append(here)
            columns.append(there)
            rates.append(rate)
        if len(states) > MOST_STATES:
            raise ValueError(f"more than {MOST_STATES} states: take a shorter line or smaller buffers")
    return states, csc_array(coo_array((rates, (rows, columns)), shape=(len(states), len(states))))


def stationary(rates: csc_array) -> NDArray[np.float64]:
    """Stationary probabilities of the chain with these rates [from, to]; state 0 has to be recurrent."""
    size = rates.shape[0]
    if size == 1:
        return np.ones(1)
    leaving = np.asarray(rates.sum(axis=1)).ravel()
    balance = csc_array(rates.T - coo_array((leaving, (range(size), range(size))), shape=(size, size)))
    matrix, known = csc_array(balance[1:, 1:]), -balance[1:, [0]].toarray().ravel()
    if size <= DIRECT:
        rest = splu(matrix).solve(known)
    else:
        nearly = LinearOperator(matrix.shape, spilu(matrix, drop_tol=1e-3, fill_factor=10).solve)
        rest, _ = bicgstab(matrix, known, M=nearly, rtol=1e-13, maxiter=500)
    chance = np.concatenate([[1.0], rest])
    chance /= chance.sum()
    wrong = float(np.abs(balance @ chance).max())
    if wrong > 1e-10 * float(leaving.max()) or float(chance.min()) < -1e-12:
        raise ArithmeticError(f"the balance equations are met to {wrong:.1e} only")
    return chance


def _room(line: Line, holds: list[int], parts: list[int], down: tuple[int, ...], i: int) -> bool:
    """Is there a place behind machine `i`?"""
    if i == len(holds) - 1:
        return True
    free = holds[i + 1] == EMPTY and i + 1 not in down
    if line.waits == "queue" and parts[i] > 0:  # the part that may not start takes its place from nobody
        free = False
    return parts[i] < line.buffers[i] + free


def _waits(parts: list[int], i: int) -> bool:
    """Does a part stand before machine `i`?"""
    return i == 0 or parts[i - 1] > 0


def _settled(line: Line, holds: list[int], parts: list[int], down: tuple[int, ...]) -> State:
    """The state after everything that takes no time has happened, from the end of the line forwards."""
    before = line.blocking == "before_service"
    moved = True
    while moved:
        moved = False
        for i in reversed(range(len(holds))):
            up = i not in down
            room = _room(line, holds, parts, down, i)
            if holds[i] == DONE and (before or (room and (up or line.leaves_while_down))):
                holds[i] = EMPTY
                if i < len(parts):
                    parts[i] += 1  # an empty buffer with a free machine is passed in no time
                moved = True
            elif holds[i] == HELD and up and room:
                holds[i] = WORKS
                moved = True
            elif holds[i] == EMPTY and up and _waits(parts, i) and (room or not before or line.waits == "machine"):
                holds[i] = HELD if before and not room else WORKS
                if i > 0:
                    parts[i - 1] -= 1
                moved = True
    return State(tuple(holds), tuple(parts), down)


def _moves(line: Line, state: State) -> list[tuple[float, State]]:
    """Rates and states after one completion, failure or repair."""
    found: list[tuple[float, State]] = []

    def to(rate: float, holds: tuple[int, ...], down: tuple[int, ...]) -> None:
        found.append((rate, _settled(line, list(holds), list(state.parts), _ordered(line, down))))

    for i, machine in enumerate(line.machines):
        up = i not in state.down
        works = up and state.holds[i] == WORKS
        if works:
            to(machine.work, (*state.holds[:i], DONE, *state.holds[i + 1 :]), state.down)
        if machine.fail > 0 and (works or (up and line.clock == "tdf")):
            to(machine.fail, state.holds, (*state.down, i))
    for i in state.down if line.crew is None else state.down[: line.crew]:
        to(line.machines[i].repair, state.holds, tuple(j for j in state.down if j != i))
    return found


def _ordered(line: Line, down: tuple[int, ...]) -> tuple[int, ...]:
    """Machines under repair are told apart by name only; those that wait keep their order."""
    at_work = len(down) if line.crew is None else line.crew
    return (*sorted(down[:at_work]), *down[at_work:])


def _figures(line: Line, states: list[State], chance: NDArray[np.float64]) -> Solution:
    count = len(line.machines)
    shares = np.zeros((4, count))
    buffers = np.zeros(count - 1)
    for state, weight in zip(states, chance, strict=True):
        buffers += weight * np.asarray(state.parts)
        for i in range(count):
            shares[_doing(state, i), i] += weight

    def told(values: NDArray[Any]) -> tuple[float, ...]:
        return tuple(float(value) for value in values)

    works, starved, blocked, down = (told(row) for row in shares)
    return Solution(line.machines[-1].work * works[-1], told(buffers), works, starved, blocked, down, len(states))


def _doing(state: State, i: int) -> int:
    """0 works, 1 starved, 2 blocked, 3 down."""
    if i in state.down:
        return 3
    if state.holds[i] == WORKS:
        return 0
    if state.holds[i] == EMPTY:  # a free machine that leaves a part standing may not start it
        return 2 if _waits(list(state.parts), i) else 1
    return 2
