"""The exact Bayes filter of a small serial line of which some events are seen: a hidden Markov chain in continuous
time.

A line of single machines with finite buffers and blocking after service is a Markov chain when work times are
exponential or Erlang (as phases) and times to failure and repair exponential. Split its generator into the transitions
that are seen, by what they show, and the silent ones: Q = Q0 + sum of R_y over what can be seen, Q0 with the full
outflow on its diagonal. Then, with p the row of probabilities,

    silence of length t:   p <- p exp(Q0 t)      (a sub-generator: what is lost is the chance of having seen something)
    y is seen:             p <- p R_y            (rate times jump)

and dividing by the sum is Bayes' rule (Bremaud, Point Processes and Queues, 1981, ch. IV; the forward recursion of a
hidden Markov model, in continuous time). exp(Q0 t) is taken by uniformisation (Jensen 1953). Nothing here is shared
with the twin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import poisson

Floats = NDArray[np.float64]
FREE, WORKS, HOLDS = range(3)
Machine = tuple[int, int, int, int]
"""(parts in its queue, FREE / WORKS / HOLDS, stages of the work that are left, 1 when it is up)."""
State = tuple[Machine, ...]
Shown = tuple[tuple[int, ...], tuple[int, ...]]
"""What a transition shows: (ends by station that is seen, what the seen machines are at afterwards)."""


@dataclass(frozen=True)
class Spec:
    """One machine: rate of each stage of work, stages, places before it, rates of failure and repair (0: never fails).

    `always`: it ages whenever it is up (time-dependent failures), else only at work (operation-dependent).
    """

    rate: float
    stages: int = 1
    places: int = 0
    fails: float = 0.0
    repair: float = 1.0
    always: bool = False


@dataclass(frozen=True)
class Line:
    """Machines in series; the first never lacks material, from the last one parts leave. `seen`: the machines whose
    ends and states (free, at work, blocked, down) are seen.
    """

    machines: tuple[Spec, ...]
    seen: tuple[int, ...]

    def empty(self) -> State:
        """The first machine begins, nothing else is there."""
        first = (0, WORKS, self.machines[0].stages, 1)
        return (first, *((0, FREE, 0, 1) for _ in self.machines[1:]))

    def transitions(self, state: State) -> Iterator[tuple[float, State, int]]:
        """(rate, next state, machine whose work ended or -1) of everything that can happen next."""
        for k, (queue, at, left, up) in enumerate(state):
            spec = self.machines[k]
            if at == WORKS and up:
                if left > 1:
                    yield spec.rate, _with(state, k, (queue, WORKS, left - 1, 1)), -1
                else:
                    yield spec.rate, self._settled(_with(state, k, (queue, HOLDS, 0, 1))), k
            if spec.fails and up and (spec.always or at == WORKS):
                yield spec.fails, _with(state, k, (queue, at, left, 0)), -1
            if not up:
                yield spec.repair, self._settled(_with(state, k, (queue, at, left, 1))), -1

    def _settled(self, state: State) -> State:
        """Blocked parts go on where there is room, free machines take what waits, from the end to the beginning."""
        machines = [list(machine) for machine in state]
        last = len(machines) - 1
        moved = True
        while moved:
            moved = False
            for k in range(last, -1, -1):
                here = machines[k]
                if here[1] == HOLDS and here[3]:
                    there = machines[k + 1] if k < last else None
                    free = there is not None and there[1] == FREE and there[3] == 1
                    if there is None or there[0] < self.machines[k + 1].places + free:
                        here[1], moved = FREE, True
                        if there is not None:
                            there[0] += 1
                if here[1] == FREE and here[3] and (here[0] or k == 0):
                    here[0] -= k > 0
                    here[1], here[2], moved = WORKS, self.machines[k].stages, True
        return tuple((m[0], m[1], m[2], m[3]) for m in machines)

    def shown(self, before: State, after: State, ended: int) -> Shown | None:
        """What is seen of a transition, None when nothing is."""
        looks = tuple(_look(after[k]) for k in self.seen)
        ends = tuple(int(k == ended) for k in self.seen)
        return None if not any(ends) and looks == tuple(_look(before[k]) for k in self.seen) else (ends, looks)


def _look(machine: Machine) -> int:
    """What a sensor says of a machine: its state, or down (3)."""
    return machine[1] if machine[3] else 3


def _with(state: State, k: int, machine: Machine) -> State:
    return (*state[:k], machine, *state[k + 1 :])


def wip(state: State) -> list[int]:
    """Parts at each machine: in its queue and in it."""
    return [queue + (at != FREE) for queue, at, _, _ in state]


class BayesFilter:
    """Probabilities of all states of a line, given what has been seen so far. Starts in a known state."""

    def __init__(self, line: Line, start: State | None = None) -> None:
        self.line = line
        start = line.empty() if start is None else start
        index: dict[State, int] = {start: 0}
        todo, entries = [start], []
        while todo:
            state = todo.pop()
            for rate, after, ended in line.transitions(state):
                if after not in index:
                    index[after] = len(index)
                    todo.append(after)
                entries.append((index[state], index[after], rate, line.shown(state, after, ended)))
        self.states = list(index)
        self.wip = np.array([wip(state) for state in self.states], dtype=np.float64)
        self.down = np.array([[1.0 - machine[3] for machine in state] for state in self.states])
        self._matrices(entries)
        self.p = np.zeros(len(index))
        self.p[0] = 1.0

    def _matrices(self, entries: list[tuple[int, int, float, Shown | None]]) -> None:
        n = len(self.states)
        outflow = np.zeros(n)
        parts: dict[Shown | None, list[tuple[int, int, float]]] = {}
        for i, j, rate, shown in entries:
            outflow[i] += rate
            parts.setdefault(shown, []).append((i, j, rate))
        self.fastest = float(outflow.max())

        def matrix(of: list[tuple[int, int, float]]) -> sparse.csr_matrix:
            rows, columns, rates = zip(*of, strict=True) if of else ((), (), ())
            return sparse.csr_matrix((rates, (columns, rows)), shape=(n, n))  # transposed: acts on columns

        silent = matrix(parts.pop(None, []))
        self.jump = (silent - sparse.diags(outflow)) / self.fastest + sparse.identity(n)
        self.jump = sparse.csr_matrix(self.jump)
        self.of = {shown: matrix(of) for shown, of in parts.items()}

    def silence(self, t: float) -> float:
        """Nothing was seen for `t`; the probability of that."""
        load = self.fastest * t
        most = int(poisson.isf(1e-13, load)) + 2
        chances = poisson.pmf(np.arange(most), load)
        term, total = self.p, np.zeros_like(self.p)
        for chance in chances:
            total += chance * term
            term = self.jump @ term
        return self._normalise(total)

    def see(self, shown: Shown) -> float:
        """`shown` was seen now; its probability density."""
        return self._normalise(self.of[shown] @ self.p)

    def _normalise(self, p: Floats) -> float:
        total = float(p.sum())
        if total <= 0.0:
            raise ValueError("what was seen cannot happen in this line from any state that is left")
        self.p = p / total
        return total

    def mean(self) -> Floats:
        """Expected parts at each machine."""
        return np.asarray(self.p @ self.wip)

    def spread(self) -> Floats:
        """Standard deviation of the parts at each machine."""
        return np.sqrt(np.maximum(self.p @ self.wip**2 - self.mean() ** 2, 0.0))

    def is_down(self) -> Floats:
        """Probability that each machine is down."""
        return np.asarray(self.p @ self.down)


def path(line: Line, events: int, rng: np.random.Generator) -> Iterator[tuple[float, State, Shown | None]]:
    """One path of the line, from empty: (time, state from then on, what it shows) of `events` transitions."""
    state, t = line.empty(), 0.0
    known: dict[State, list[tuple[float, State, int]]] = {}
    for _ in range(events):
        if state not in known:
            known[state] = list(line.transitions(state))
        options = known[state]
        rates = np.array([rate for rate, _, _ in options])
        total = float(rates.sum())
        t += rng.exponential(1.0 / total)
        _, after, ended = options[int(np.searchsorted(np.cumsum(rates), rng.random() * total))]
        yield t, after, line.shown(state, after, ended)
        state = after
