"""Stations that share something or change over, with exponential times, solved as Markov chains.

Setups: a server for two families that must be set up when the family changes (a polling system with exhaustive service
where it avoids changes; Takagi, "Analysis of Polling Systems", 1986). Operators: stations that need people of one pool
from the start of their work to its end. Assembly: a station that takes components from two stocks, each refilled by a
machine of its own up to a level (a fork-join station with kanbans). Queues are cut off where their law ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.oracles.chain import LongRun, long_run


@dataclass(frozen=True, slots=True)
class Families:
    """Two families: rates of arrival and of work, mean setup to each."""

    arrival: tuple[float, float]
    work: tuple[float, float]
    setup: tuple[float, float]


Exhausting = tuple[int, int, int, str]
"""Parts waiting of each family, the family the server is set up (or being set up) for, what it does."""


def exhaustive(given: Families, far: int = 40) -> LongRun[Exhausting]:
    """The server goes on with its family while there are parts of it, and takes the other one only then."""

    def settled(waiting: tuple[int, int], family: int) -> Exhausting:
        """The server is free."""
        if waiting[family]:
            return (*_less(waiting, family), family, "work")
        other = 1 - family
        return (*_less(waiting, other), other, "setup") if waiting[other] else (0, 0, family, "idle")

    def moves(state: Exhausting) -> Iterator[tuple[float, Exhausting]]:
        waiting, family, doing = (state[0], state[1]), state[2], state[3]
        for i in (0, 1):
            if waiting[i] < far:
                more = (waiting[0] + (i == 0), waiting[1] + (i == 1))
                yield given.arrival[i], settled(more, family) if doing == "idle" else (*more, family, doing)
        if doing == "setup":
            yield 1 / given.setup[family], (*waiting, family, "work")
        elif doing == "work":
            yield given.work[family], settled(waiting, family)

    return long_run((0, 0, 0, "idle"), moves)


def _less(waiting: tuple[int, int], family: int) -> tuple[int, int]:
    return (waiting[0] - (family == 0), waiting[1] - (family == 1))


InTurn = tuple[int, int, str]
"""Parts waiting (each of either family, as they arrive), the server's family, what it does."""


def in_turn(given: Families, far: int = 250) -> LongRun[InTurn]:
    """First come first served: who is next has a family that is independent of all before."""
    total = sum(given.arrival)

    def start(waiting: int, family: int) -> Iterator[tuple[float, InTurn]]:
        """Chances of what the server does with the first of those waiting."""
        for i in (0, 1):
            yield given.arrival[i] / total, (waiting - 1, i, "work" if i == family else "setup")

    def moves(state: InTurn) -> Iterator[tuple[float, InTurn]]:
        waiting, family, doing = state
        if doing == "idle":
            yield from ((total * share, after) for share, after in start(1, family))
            return
        if waiting < far:
            yield total, (waiting + 1, family, doing)
        if doing == "setup":
            yield 1 / given.setup[family], (waiting, family, "work")
        elif waiting:
            yield from ((given.work[family] * share, after) for share, after in start(waiting, family))
        else:
            yield given.work[family], (0, family, "idle")

    return long_run((0, 0, "idle"), moves)


@dataclass(frozen=True, slots=True)
class Place:
    """A station of `units`, each of which needs `people` to work; rates of arrival and work; who is served first."""

    arrival: float
    work: float
    units: int = 1
    people: int = 1
    priority: int = 0


Pooled = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Parts waiting and units at work of each station, stations that wait for people in the order of asking."""


def pooled(places: Sequence[Place], size: int, far: int = 40) -> LongRun[Pooled]:
    """Stations that wait are served in the order of (priority, asking), and nobody is passed over who needs more."""
    rank = range(len(places))

    def settled(waiting: list[int], busy: list[int], asking: list[int]) -> Pooled:
        moved = True
        while moved:
            moved = False
            free = size - sum(places[i].people * busy[i] for i in rank)
            able = [i for i in rank if waiting[i] and busy[i] < places[i].units]
            asking = [i for i in asking if i in able]  # those from before; who asks now follows, in order of rank
            line = sorted([*asking, *(i for i in able if i not in asking)], key=lambda i: places[i].priority)
            if line and places[line[0]].people <= free:
                first = line[0]
                asking = [i for i in asking if i != first]
                waiting[first] -= 1
                busy[first] += 1
                moved = True
        return tuple(waiting), tuple(busy), tuple(line)

    def moves(state: Pooled) -> Iterator[tuple[float, Pooled]]:
        for i, place in enumerate(places):
            waiting, busy, asking = (list(part) for part in state)
            if waiting[i] < far:
                waiting[i] += 1
                yield place.arrival, settled(waiting, busy, asking)
            waiting, busy, asking = (list(part) for part in state)
            if busy[i]:
                busy[i] -= 1
                yield place.work * state[1][i], settled(waiting, busy, asking)

    nobody = (0,) * len(places)
    return long_run((nobody, nobody, ()), moves)


@dataclass(frozen=True, slots=True)
class Kit:
    """Of two components: rate of the machine that makes it, level up to which it is made, units in a finished part.
    `work`: rate of the assembly station, which always has something to assemble for.
    """

    make: tuple[float, float]
    level: tuple[int, int]
    needs: tuple[int, int]
    work: float


Assembling = tuple[int, int, bool]
"""Units on hand of both components; is the assembly station at work?"""


def assembly(given: Kit) -> LongRun[Assembling]:
    """A machine works while fewer units than its level are on hand."""

    def settled(hand: tuple[int, int], busy: bool) -> Assembling:
        if not busy and all(have >= need for have, need in zip(hand, given.needs, strict=True)):
            return hand[0] - given.needs[0], hand[1] - given.needs[1], True
        return (*hand, busy)

    def moves(state: Assembling) -> Iterator[tuple[float, Assembling]]:
        hand, busy = (state[0], state[1]), state[2]
        for i in (0, 1):
            if hand[i] < given.level[i]:
                yield given.make[i], settled((hand[0] + (i == 0), hand[1] + (i == 1)), busy)
        if busy:
            yield given.work, settled(hand, False)

    return long_run((0, 0, False), moves)
