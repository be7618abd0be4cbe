"""Which of several rules or policies to keep, from paired runs on fresh luck: a change only where it is surely better,
looked at again while that is not decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
Play = Callable[[str, int, int], Costs]
"""Costs [n] of a rule by name on the replicas `first` to `first + n`, the same luck for all."""

LOOKS = 4
"""A pair that is not decided is played on, twice as many runs at each further look."""
SURE = 2.067
"""Standard errors by which a richer rule must be better at one of the looks: one-sided 5 % for the four of them
together (Pocock 1977, Biometrika 64).
"""
USUAL = 1.96
PROOFS, CLEARLY, FAIRLY = 3, 2.0, 1.0
"""Looks of `proves`, and standard errors by which a change must cost less at any of them, and at the last one."""


class Fresh:
    """Costs of rules by name on the first replicas of a block of seeds, played as they are needed."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.costs: dict[str, Costs] = {}

    def first(self, name: str, replicas: int) -> Costs:
        """Costs [replicas] of a rule."""
        known = self.costs.get(name, np.zeros(0))
        if len(known) < replicas:
            known = np.concatenate([known, self.play(name, len(known), replicas - len(known))])
            self.costs[name] = known
        return known[:replicas]

    def gain(self, a: str, b: str, replicas: int) -> tuple[float, float]:
        """(by how much B costs less than A, standard error of that), paired."""
        gain = self.first(a, replicas) - self.first(b, replicas)
        return float(gain.mean()), float(gain.std(ddof=1)) / float(np.sqrt(replicas))

    def against(self, a: str, b: str, unit: float = 1.0) -> tuple[float, float, float]:
        """Mean by which B costs more than A, and its 95 % interval, on all replicas that both have played; costs are
        multiplied by `unit`.
        """
        both = min(len(self.costs[a]), len(self.costs[b]))
        gain, error = self.gain(a, b, both)
        return -gain * unit, (-gain - USUAL * error) * unit, (-gain + USUAL * error) * unit


def keep(fresh: Fresh, names: Sequence[str], replicas: int) -> str:
    """The name to keep of rules that grow richer: each takes the place of the one before where it is surely better.

    A pair is looked at after `replicas` runs, and after two, four and eight times as many while it is not decided.
    """
    kept = names[0]
    fresh.first(kept, replicas)
    for name in names[1:]:
        for look in range(LOOKS):
            gain, error = fresh.gain(kept, name, replicas << look)
            if abs(gain) > SURE * error:
                kept = name if gain > 0.0 else kept
                break
            if gain == 0.0 and error == 0.0:  # the same rule in other words
                break
    return kept


def proves(fresh: Fresh, before: str, change: str, runs: int) -> bool:
    """Does a change of a policy cost less? It is dropped at the first look at which it costs more, taken where it costs
    clearly less, and run on, twice as many runs at each look, while neither is so.

    One of many changes is asked here, and all of them are judged together afterwards: so less is asked of each than
    `keep` asks. One look at 64 runs by one standard error was luck where costs have heavy tails: on a random plant it
    took a change for -2.2 ± 1.6 % whose median was +0.6 %.
    """
    for look in range(PROOFS):
        gain, error = fresh.gain(before, change, runs << look)
        if gain <= 0.0:
            return False
        if gain > CLEARLY * error:
            return True
    return gain > FAIRLY * error
