"""Blocks of seeds that never meet: what is trained, chosen, judged and promised on must be different luck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sim.compile import Compiled
    from sim.state import Layout
    from twin.posterior_file import FilePosterior

Rows = NDArray[np.int64]

TRAIN, TUNE, SELECT, TEST, ADVICE_SELECT, ADVICE_PROMISE, WARM = range(1, 8)
"""Blocks: gradients, tuning of rules, choice of a checkpoint or rule, `evaluate`, choice of an action, its promise,
warm starts.
"""
AHEAD = 9
"""Block of the futures in which `agents.control.lookahead` tries what to do; their seeds are made from the state."""

LIMIT = 1 << 40
ONE = 1 << 16


def block_seed(block: int, seed: int) -> int:
    """The kernel seed of `seed` within a block; seeds are below 2^40."""
    if not 0 <= seed < LIMIT:
        raise ValueError(f"seed {seed}: expected 0 <= seed < 2^40")
    return (block << 40) + seed


def reseed(rows: Rows, layout: Layout, seed: int, first: int = 0) -> None:
    """Give rows [R, W] the addresses (seed, first + r) in place: the past stays, the future is drawn afresh.

    Counts of draws go back to 0 and the second words of blocks already drawn are forgotten, since they come from the
    old address. What is already under way (work in progress, running clocks) keeps its time.
    """
    rows[:, layout.at("seed")] = seed
    rows[:, layout.at("replica")] = first + np.arange(rows.shape[0])
    for name in layout.shape:
        if name.endswith("_draws"):
            layout.view(rows, name)[...] = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Relative standard deviations (of the logarithm) by which the plant may differ from its file, one factor a
    station, product, demand or stock and replica. A stated prior: what commissioning leaves open when nothing has
    been calibrated yet.
    """

    work: float = 0.03
    fail: float = 0.20
    repair: float = 0.20
    arrival: float = 0.05
    demand: float = 0.05
    lead: float = 0.10


def spread_parameters(rows: Rows, compiled: Compiled, spread: Spread, seed: int) -> None:
    """Multiply the scale factors of rows [R, W] in place by lognormal factors of median 1 drawn from `seed`."""
    rng = np.random.Generator(np.random.PCG64(seed))
    for name in ("work", "fail", "repair", "arrival", "demand", "lead"):
        view = compiled.layout.view(rows, f"{name}_scale")
        factor = np.exp(rng.standard_normal(view.shape) * getattr(spread, name))
        view[...] = np.maximum(np.rint(view * factor), 1).astype(np.int64)


def draw_parameters(
    posterior: FilePosterior, compiled: Compiled, address: tuple[int, int], replicas: int = 1
) -> dict[str, Rows]:
    """Scale factors int64[replicas, n] by field, drawn from a posterior by (kernel seed, address) alone."""
    return posterior.draw(compiled, np.random.Generator(np.random.PCG64([*address, 0x7077])), replicas)
