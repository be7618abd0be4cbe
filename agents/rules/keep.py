"""Which of several rules to keep, from paired runs on fresh luck: the richer one only where it is surely better."""

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
