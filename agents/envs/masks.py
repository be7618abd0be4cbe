"""What may be chosen now: which controls may move, and which of their values no limit of the plant file forbids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.envs.env import PlantVectorEnv

Mask = NDArray[np.bool_]


def free(env: PlantVectorEnv) -> Mask:
    """Which controls [N, C] may move at this decision: their `every` has passed (`info["held"]` counts the others)."""
    now = env.rows[:, env._now][:, None]
    if env.pace.by_events:
        return now - env.moves.last >= env.moves.every
    return now // env.epoch % env.ratio == 0


def action_masks(env: PlantVectorEnv) -> Mask:
    """Grid values [N, sum of the controls' counts] that may be chosen now, in the form that sb3-contrib's MaskablePPO
    asks for: those that no limit would move, and of a control that may not move yet the one where it stands (or where
    a limit moves it to). Whatever is chosen among them is carried out as it is.
    """
    from sim.kernel import get_controls

    grid, layout = env.grid, env.compiled.layout
    may, parts = free(env), []
    present = grid.encode(grid.limit(get_controls(env.rows, env.compiled), env.rows, layout))
    admitted = [np.ones((env.num_envs, int(n)), dtype=np.bool_) for n in grid.counts]
    for c, watched, nearest in grid.nearest():
        holds = nearest == np.arange(len(nearest))
        active = np.ones(env.num_envs, np.bool_) if watched is None else env.rows[:, layout.at("n_state", *watched)] > 0
        admitted[c] &= holds | ~active[:, None]
    for c, n in enumerate(grid.counts.tolist()):
        stays = np.arange(n) == present[:, c][:, None]
        part = np.where(may[:, c][:, None], admitted[c], stays)
        none = ~part.any(axis=1)  # limits that forbid everything move nothing
        part[none] = stays[none]
        parts.append(part)
    found: Any = np.concatenate(parts, axis=1)
    return found
