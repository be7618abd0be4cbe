"""A policy over a rule: a network says by how many steps of the grid each of the rule's setpoints is moved.

A rule with boosts, tables or orders answers to events that a network decides of once a shift at best, and knows what
took a search to find. A policy that had to set everything by itself would first have to learn all of that again: on a
random shop whose rule sets base stocks by the condition of a machine its constants alone cost 14 % more than the rule.
Over the rule it begins as the rule, and every control on its own may prove better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.bundles.policy import Floats, Network
from agents.envs.grid import Grid

if TYPE_CHECKING:
    from agents.control.controllers import RuleController

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


class Moves:
    """The grid of moves, int64 [C] each: from `low` in steps of `step`, `counts` of them; the one in the middle is
    none.
    """

    def __init__(self, grid: Grid) -> None:
        self.ids, self.size = grid.ids, grid.size
        self.step = grid.step
        self.low = -(grid.counts - 1) * grid.step
        self.counts = 2 * grid.counts - 1


def decided(network: Network, grid: Grid, rule: RuleController | None, seen: Floats, rows: Rows) -> Values:
    """Setpoints [R, C] of a network, alone or over a rule, in the states of rows [R, W], observed as `seen` [R, D]."""
    index = network.decide(seen)
    return grid.decode(index) if rule is None else applied(index, rule, rows)


def applied(index: Values, rule: RuleController, rows: Rows) -> Values:
    """Setpoints [R, C] within their ranges where the rule's are moved, in the states of rows [R, W], by moves of these
    indices [R, C].
    """
    grid, moves = rule.grid, Moves(rule.grid)
    return np.clip(rule.act(rows) + moves.low + index * moves.step, grid.low, grid.high)


def unmoved(grid: Grid, inputs: int) -> Network:
    """The network of `inputs` fields that moves nothing: the policy over a rule that is the rule."""
    counts = tuple(int(n) for n in Moves(grid).counts)
    bias = np.concatenate([np.arange(n) == n // 2 for n in counts]).astype(np.float32)
    return Network((np.zeros((sum(counts), inputs), dtype=np.float32),), (bias,), counts, "mode")
