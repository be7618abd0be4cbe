"""When a training has reached what it was to reach: a stated cost, or a share above the optimum where that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.errors import NotExactError, TooLargeError, TrainingError
from agents.exact.optimum_read import UNIT_S

if TYPE_CHECKING:
    from sim.compile import Compiled

Costs = NDArray[np.float64]
SURE = 1.645
"""Standard errors (one-sided 5 %) between a mean and what is said of it."""
ROUNDS = 5
"""A checkpoint that may have reached the target is judged again on fresh replicas, at most so often, each time on twice
as many as before.
"""
PATIENCE_S = 30.0
"""Wall time in which the optimum must be found to be shown."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Costs are operating money an hour. `target`: where training may end (None: never early); `optimum`: the least
    there is, where the plant is small enough to know.
    """

    target: float | None = None
    optimum: float | None = None


def goal_of(compiled: Compiled, target: str | None, known: bool = True) -> Goal:
    """What a training of this plant aims at. `target`: a cost an hour (`8.7`), a time unit (`8.7/h`, `4.4/d`), or a
    share above the optimum (`1%`). `known`: whether the plant is played as its file says, so that the exact optimum is
    its own. Raises `TrainingError` for a target that cannot be understood, or that needs an optimum nobody knows.
    """
    optimum, why = known_optimum(compiled) if known else (None, "its parameters are drawn afresh in each episode")
    if target is None:
        return Goal(None, optimum)
    number, unit = _parts(target)
    if unit == "%":
        if optimum is None:
            raise TrainingError(
                f"target {target}: the optimum of plant {compiled.plant.id} is not known ({why}); state a cost, "
                f"such as 8.7 {compiled.plant.currency}/h as --target 8.7"
            )
        return Goal(optimum + abs(optimum) * number / 100.0, optimum)
    return Goal(number * 3600.0 / UNIT_S[unit], optimum)


def check_target(target: str | None) -> None:
    """`TrainingError` for a target that cannot be understood, whatever the plant."""
    if target is not None:
        _parts(target)


def _parts(target: str) -> tuple[float, str]:
    """(number, `%` or the time unit) of a target."""
    text = target.strip().replace(" ", "")
    number, _, unit = (text[:-1], "", "%") if text.endswith("%") else text.partition("/")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    unit = unit or "h"
    if not abs(value) < float("inf") or (unit != "%" and unit not in UNIT_S):
        raise TrainingError(
            f"target {target!r}: expected a cost an hour (8.7), a time unit (4.4/d), or a share above the optimum (1%)"
        )
    return value, unit


def known_optimum(compiled: Compiled) -> tuple[float | None, str]:
    """(the least cost an hour, "") where the plant can be solved exactly in short time, else (None, why not)."""
    from agents.exact.optimum import Effort, optimum

    if compiled.own is not None:
        return None, "it has rules of its own"
    try:
        found = optimum(compiled.plant, Effort(1e-6, PATIENCE_S))
    except (NotExactError, TooLargeError) as e:
        return None, str(e)
    if found.high - found.low > 1e-3 * abs(found.cost):
        return None, f"it was not found within {PATIENCE_S:g} s"
    return found.cost * 3600.0 / UNIT_S[found.unit.rpartition("/")[2]], ""


def reached(target: float, first: Costs, more: Callable[[int, int], Costs]) -> bool:
    """Is the mean cost below the target, surely (one-sided 5 %)? `first`: costs of the replicas that a checkpoint was
    judged on; where their mean is not above the target, `more(round, replicas)` gives fresh ones, each time twice as
    many, until it is clear. The first costs chose the checkpoint and so flatter it: they do not count.
    """
    if not first.size or first.mean() > target:
        return False
    told: list[Costs] = []
    for k in range(ROUNDS):
        told.append(more(k, first.size << k))
        costs = np.concatenate(told)
        error = SURE * float(costs.std(ddof=1)) / float(np.sqrt(costs.size))
        if costs.mean() + error <= target:
            return True
        if costs.mean() - error > target:
            return False
    return False
