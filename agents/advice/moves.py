"""What advice may propose at a decision moment: one control moved, or several with one click."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.advice.futures import Block, play
from agents.advice.horizon import Reach, reach
from agents.envs.grid import Grid
from sim import state as st
from twin.joint import moves_of

if TYPE_CHECKING:
    from agents.advice.compare import Question

Values = NDArray[np.int64]
Wanted = list[tuple[str, Values]]

MOST = 20
"""Candidates checked at one decision moment."""
LITTLE = 0.05
"""Moves of a joint one are left out whose absence costs less than this part of its gain, all of them together."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Controls moved together, each to one value, and who proposed it. `moves` are in the plant file's order, except
    that the one that matters most may stand first.
    """

    moves: tuple[tuple[str, int], ...]
    by: str

    @property
    def control(self) -> str:
        """The control of the first move."""
        return self.moves[0][0]

    @property
    def value(self) -> int:
        """Where the first move ends."""
        return self.moves[0][1]

    @property
    def joint(self) -> bool:
        """Does it move several controls?"""
        return len(self.moves) > 1

    @property
    def words(self) -> str:
        """`cap to 132, base40 to 64 and base63 to 40`."""
        return listed([f"{control} to {value}" for control, value in self.moves])

    def path(self, present: dict[str, int]) -> str:
        """`cap 116 to 132 and base40 60 to 64`."""
        return listed([f"{control} {present[control]} to {value}" for control, value in self.moves])

    def steps(self, present: dict[str, int]) -> list[dict[str, Any]]:
        """The shape of `moves` in a recommendation."""
        return [{"control": control, "from": present[control], "to": value} for control, value in self.moves]

    def vector(self, grid: Grid, present: dict[str, int]) -> Values:
        """Setpoints [C] after the moves."""
        return grid.vector({**present, **dict(self.moves)})


def moved(rec: dict[str, Any]) -> Candidate:
    """What a recommendation moves, as a candidate."""
    return Candidate(tuple((str(m["control"]), int(m["to"])) for m in moves_of(rec)), "")


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def reaches(q: Question, grid: Grid) -> dict[str, Reach]:
    """Lease and horizon of an action of each control, taken now."""
    now = int(q.rows[0, st.NOW])
    return {c.id: reach(c, q.compiled, now) for c in grid.controls}


def together(candidate: Candidate, of: dict[str, Reach]) -> Reach:
    """Lease and horizon of moves made with one click: the longest among their controls."""
    found = [of[control] for control, _ in candidate.moves]
    return Reach(max(r.lease for r in found), max(r.horizon for r in found))


def propose_candidates(q: Question, grid: Grid, of: dict[str, Reach] | None = None) -> list[Candidate]:
    """Single moves: what policy and rule would set, then neighbours of the present setpoints, nearest first. Then joint
    ones. `MOST` at most, all of them.
    """
    wanted: Wanted = []
    for who in (q.policy, q.rule):
        values = None if who is None else who.act(q.rows)
        if who is not None and values is not None:
            middle = np.rint(np.median(values, axis=0)).astype(np.int64)
            wanted.append((who.name, grid.decode(grid.encode(middle))))
    joints = _joints(q, grid, wanted, of or reaches(q, grid)) if q.joint else []
    return [*_singles(q, grid, wanted)[: MOST - len(joints)], *joints]


def _singles(q: Question, grid: Grid, wanted: Wanted) -> list[Candidate]:
    """One control moved each."""
    layout, present = q.compiled.layout, grid.vector(q.present)
    moves = [(name, c, int(values[c])) for name, values in wanted for c in range(grid.size)]
    for stride in (-1, 1, -2, 2, -4, 4):
        unit = np.maximum(grid.counts // 16, 1) * grid.step
        moves += [("neighbour", c, int(present[c] + stride * unit[c])) for c in range(grid.size)]
    found: dict[tuple[int, int], Candidate] = {}
    for name, c, raw in moves:
        vector = present.copy()
        vector[c] = np.clip(raw, grid.low[c], grid.high[c])
        allowed = grid.limit(vector[None, :], q.rows[:1], layout)[0]
        value = int(allowed[c])
        if (
            value == present[c]
            or grid.ids[c] in q.locked
            or (c, value) in found
            or grid.broken(allowed, q.rows, layout)
        ):
            continue
        found[c, value] = Candidate(((grid.ids[c], value),), name)
    return list(found.values())


def _joints(q: Question, grid: Grid, wanted: Wanted, of: dict[str, Reach]) -> list[Candidate]:
    """All that policy and rule would set and that may move now; and of it what acts soonest, since the moves made with
    one click share the longest lease among them.
    """
    layout, present = q.compiled.layout, grid.vector(q.present)
    found: dict[tuple[tuple[str, int], ...], Candidate] = {}
    for name, values in wanted:
        moved = [c for c in range(grid.size) if grid.ids[c] not in q.locked and values[c] != present[c]]
        soonest = min((of[grid.ids[c]].horizon for c in moved), default=0)
        for part in (moved, [c for c in moved if of[grid.ids[c]].horizon == soonest]):
            vector = present.copy()
            vector[part] = values[part]
            # a limit may move what it holds for, never a control that is not part of the move
            vector[part] = grid.limit(vector[None, :], q.rows[:1], layout)[0][part]
            moves = tuple((grid.ids[c], int(vector[c])) for c in part if vector[c] != present[c])
            if len(moves) > 1 and not grid.broken(vector, q.rows, layout):
                found.setdefault(moves, Candidate(moves, name))
    return list(found.values())


def pruned(q: Question, grid: Grid, choice: Block, candidate: Candidate, over: Reach) -> Candidate:
    """The joint candidate without moves that surely add (almost) nothing, and with the move first whose absence would
    cost most; both judged on the choosing block, where each move is left out once.
    """
    values = [candidate.vector(grid, q.present)]
    for control, _ in candidate.moves:
        rest = tuple(m for m in candidate.moves if m[0] != control)
        values.append(replace(candidate, moves=rest).vector(grid, q.present))
    arms = np.array([grid.vector(q.present), *values])
    costs = play(choice, q.compiled, arms, over, q.threads, min(q.looks, len(choice.rows))).costs
    left = LITTLE * float((costs[0] - costs[1]).mean())
    lost = costs[2:] - costs[1]
    mean = lost.mean(axis=1)
    most = mean + lost.std(axis=1, ddof=1) / np.sqrt(lost.shape[1])
    keep = set(range(len(candidate.moves)))
    for m in np.argsort(most, kind="stable"):
        cost = max(float(most[m]), 0.0)
        if cost > left or left <= 0.0 or len(keep) == 1:
            break
        left -= cost
        keep.discard(int(m))
    first = max(keep, key=lambda m: mean[m])
    order = [first, *sorted(keep - {first})]
    return replace(candidate, moves=tuple(candidate.moves[m] for m in order))
