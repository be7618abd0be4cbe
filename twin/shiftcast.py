"""What a shift will make: replicas of its good parts from a state kept at its beginning, and what experience corrects.

Pure functions; the running twin (`twin/shiftbook.py`) and the benchmark of hidden plants share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import msgspec

from sim import engine
from sim.compile import Compiled
from sim.traits import end_products
from twin.estimate import ensemble, running, to_tick
from twin.experience import Experience
from twin.learned import Learned
from twin.model import Refit, TwinState
from twin.scores import HIGH, LOW, RANKED
from twin.shifts import Shift


def pack(state: TwinState) -> bytes:
    """A state as it is kept for a forecast that may be made again: without what was learned, and without its past."""
    return msgspec.msgpack.encode(msgspec.structs.replace(state, learned=Learned(), history=[]))


def unpack(data: bytes, learned: Learned, refits: dict[str, Refit]) -> TwinState:
    """A kept state with what is known of the parameters now. msgspec.ValidationError for another shape."""
    state = msgspec.msgpack.decode(data, type=TwinState)
    state.learned, state.refits = learned, refits
    return state


def replicas(compiled: Compiled, state: TwinState, a: int, b: int, seed: int) -> list[float]:
    """Good parts made from plant ms `a` (or from the state's time, where that is later) to `b`, `RANKED` replicas,
    sorted.
    """
    rows, live = ensemble(compiled, state, seed, RANKED), running(compiled, state.refits)
    done = compiled.layout.view(rows, "finished")
    products = end_products(compiled.plant)
    engine.run(rows, live, to_tick(compiled, max(a, state.t)))
    before = done[:, products].sum(axis=1)
    engine.run(rows, live, to_tick(compiled, b))
    return sorted(float(v) for v in done[:, products].sum(axis=1) - before)


def good_by(state: TwinState, t: int) -> int | None:
    """Good parts that were counted from the twin's beginning to a whole minute `t` (plant ms) of the state's past; None
    where that is not remembered.
    """
    return next((row[2] for row in reversed(state.history) if row[0] == t), None)


@dataclass(frozen=True, slots=True)
class Said:
    """What is forecast of a shift: mean and 90 % band as experience has it.

    `values`: the replicas, sorted, corrected, `alone_values` the model's own. `n`: shifts that have ended which the
    correction rests on, `same`: how many of them are of the same kind.
    """

    mean: float
    lo: float
    hi: float
    n: int
    same: int
    values: tuple[float, ...]
    alone_values: tuple[float, ...]

    @property
    def alone_mean(self) -> float:
        return fmean(self.alone_values)

    def brief(self) -> dict[str, Any]:
        """As the API gives it, parts to two decimals."""
        own = self.alone_values
        alone = {"mean": round(self.alone_mean, 2), "lo": round(own[LOW], 2), "hi": round(own[HIGH], 2)}
        band = {"mean": round(self.mean, 2), "lo": round(self.lo, 2), "hi": round(self.hi, 2)}
        return {**band, "alone": alone, "n": self.n, "same": self.same}


def said(experience: Experience, kind: str, values: Sequence[float]) -> Said:
    """The forecast of a shift of `kind` from the model's `RANKED` sorted replicas and what has ended before."""
    right = sorted(experience.corrected(kind, values))
    return Said(
        mean=fmean(right),
        lo=right[LOW],
        hi=right[HIGH],
        n=len(experience.past),
        same=sum(p.kind == kind for p in experience.past),
        values=tuple(right),
        alone_values=tuple(values),
    )


def again(
    compiled: Compiled, kept: bytes, shift: Shift, learned: Learned, refits: dict[str, Refit], seed: int
) -> list[float]:
    """The forecast of a shift from the state kept at its beginning, with what is known of the parameters now."""
    return replicas(compiled, unpack(kept, learned, refits), shift.a, shift.b, seed)
