"""How a plant is played: the settings of its environment, and what they default to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.control.rollout import ticks
from agents.envs.epochs import INTERVAL
from agents.seeds import WARM, Spread, block_seed
from sim.compile import Compiled, compile_plant
from sim.ownrules import allow
from sim.plant import Plant

if TYPE_CHECKING:
    from twin.posterior_file import FilePosterior

WEEK_S = 7 * 86_400.0
Reward = Callable[[dict[str, Any]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a plant is played.

    `epoch_s`: seconds between decisions (default: see `agents.control.rollout.default_epoch`); `decide`: at equal
    intervals, or at "events", `epoch_s` being the longest time between two decisions then; `decide_on`: at events of
    these kinds only (`sim.state.KINDS`; default: all); `discount_s`: time constant of `info["discount"]` (default:
    `agents.envs.epochs.discount_s`). An episode ends after `max_episode_s` of plant time (default: four weeks) and,
    where given, after `max_episode_steps`, in whole intervals where decisions fall so. `first`: replica number of
    environment 0; `stagger`: spread the episode clocks evenly, so that not all environments reset together; `threads`
    of the kernel; `autoreset` same_step or disabled; `spread`: how far each episode's parameters may lie from the file;
    `reward_unit`: money of one unit of reward; `copy`: False hands out two observation arrays in turn, so that the one
    before last is overwritten;
    `allow_code`: rules of the plant's own (engine: simpy) may run. `posterior`: each episode's parameters are drawn
    from what a twin believes of them (`twin.posterior_file.read_posterior`; the plant is then its `plant_of`).
    `terms`: the parts of the operating cost by name in `info["terms"]` (`agents.envs.money`); `reward`: a function of
    `info`, `terms` included, that returns the rewards float64 [N] in place of minus the cost.
    """

    epoch_s: float | None = None
    decide: str = INTERVAL
    decide_on: tuple[str, ...] | None = None
    discount_s: float | None = None
    max_episode_s: float | None = None
    max_episode_steps: int | None = None
    first: int = 0
    stagger: bool = False
    threads: int = 1
    autoreset: str = "same_step"
    spread: Spread | None = None
    reward_unit: float | None = None
    copy: bool = True
    allow_code: bool = False
    posterior: FilePosterior | None = None
    terms: bool = False
    reward: Reward | None = None

    def check(self, device: str) -> None:
        """ValueError for what makes no sense, or is not there on this device."""
        if self.autoreset not in {"same_step", "disabled"}:
            raise ValueError(f"autoreset {self.autoreset!r}: expected same_step or disabled")
        if self.spread is not None and self.posterior is not None:
            raise ValueError(
                "expected spread or posterior, found both: the posterior says how far parameters may lie off"
            )
        if device != "cpu" and (self.terms or self.reward is not None):
            raise ValueError(f"terms and reward: expected device 'cpu', found {device!r}; on a device there is cost")


def compiled_plant(plant: str | Plant | Compiled, allow_code: bool = False) -> Compiled:
    """A compiled plant from a bundled name, a path, a plant or one already compiled.

    `allow_code`: may rules of the plant's own run? Raises `CompileError` where it has some and they may not.
    """
    if isinstance(plant, Compiled):
        return plant
    if isinstance(plant, str):
        from sim.plantfile import load

        plant = load(plant)
    return compile_plant(allow(plant) if allow_code else plant)


def typical_cost(compiled: Compiled, epoch: int) -> float:
    """Mean operating cost of an interval, as a magnitude, with the file's setpoints: 8 replicas, four weeks (one
    replica, one week where rules of the plant's own, which are slow, run); 1 where nothing costs.
    """
    from sim.engine import new_rows, run
    from sim.value import operating_cost

    replicas, weeks = (8, 4) if compiled.own is None else (1, 1)
    rows = new_rows(compiled, block_seed(WARM, 0), replicas)
    before = rows.copy()
    length = ticks(compiled, weeks * WEEK_S)
    run(rows, compiled, length)
    mean = float(np.abs(operating_cost(before, rows, compiled)).mean()) * epoch / length
    return mean if mean > 0.0 else 1.0
