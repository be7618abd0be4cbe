"""The plant as a Gymnasium environment: many replicas of the compiled kernel stepped in one call.

An observation is what `agents.envs.schema` names, an action is one grid index a control, a step is one decision
interval, or lasts until the next event (`agents.envs.epochs`). The reward is minus the operating cost of the step
(`sim.value`) in units of `reward_unit`, or what a function of one's own makes of its named parts; real money stands in
`info`. An episode never terminates (a factory does not end); it is truncated at its time limit, so learners must
bootstrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from agents.control.rollout import default_epoch, ticks
from agents.envs.epochs import ENDLESS, Moves, Pace, decision_kinds, discount_s
from agents.envs.grid import Grid
from agents.envs.money import Terms, rewards
from agents.envs.schema import CLIP, Floats, Observer, Rows
from agents.envs.settings import WEEK_S, Settings, compiled_plant, typical_cost
from agents.errors import SchemaError
from agents.seeds import TRAIN, block_seed, draw_parameters, spread_parameters
from sim.compile import Compiled
from sim.plant import Plant

if TYPE_CHECKING:
    from sim.batch import Prices

__all__ = ["PlantEnv", "PlantVectorEnv", "Settings", "compiled_plant", "typical_cost"]

STAGGERED = 32
"""Groups of environments whose episodes end together when they are staggered: enough that a batch holds all ages, few
enough that most steps end none.
"""


def _count(found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of each row [N, C] are true, int64 [N]."""
    return np.count_nonzero(found, axis=1) if found.any() else np.zeros(len(found), dtype=np.int64)


class PlantVectorEnv(VectorEnv[Floats, NDArray[np.int64], NDArray[Any]]):
    """`num_envs` replicas of a plant.

    Observations float32 [N, D] in [-10, 10]; actions int64 [N, C]; rewards float64 [N]. `info` holds `fields` (names of
    the columns), `cost` (operating cost of the step, money), `cash` (cash cost, money; revenue negative), `clipped` and
    `held` (controls moved by a limit, or kept because their `every` had not passed), `elapsed` (ticks that the step
    took, int64), `discount` and `accrual` (see `agents.envs.epochs.Pace.discount`), where asked for `terms` (money [N]
    by name), and, in a step that ends episodes, `final_obs` with `_final_obs`. `reset(options={"state": row or rows})`
    starts from any state; in mode `disabled`, `options={"reset_mask": bool[N]}` says who is reset.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - gymnasium's own shape
    devices: tuple[str, ...] = ("cpu",)

    def __init__(
        self, num_envs: int = 1, plant: str | Plant | Compiled = "gearmotor", device: str = "cpu", **settings: Any
    ) -> None:
        """Arguments beside the plant are the fields of `Settings`."""
        if device not in self.devices:
            raise ValueError(
                f"device {device!r}: expected {' or '.join(self.devices)}; gymnasium.make_vec(..., device='cuda') and "
                f"agents.envs.device.PlantDeviceEnv give the environment on a CUDA device"
            )
        self.settings = Settings(**settings)
        self.settings.check(device)
        self.compiled = compiled_plant(plant, self.settings.allow_code)
        self.grid, self.observer = Grid(self.compiled.plant), Observer(self.compiled)
        if self.grid.size == 0:
            raise SchemaError(
                f"plant {self.compiled.plant.id} has no controls: there is nothing to decide; add `controls:` "
                f"to the plant file"
            )
        self.num_envs = num_envs
        self.metadata = {
            **self.metadata,
            "autoreset_mode": AutoresetMode.SAME_STEP
            if self.settings.autoreset == "same_step"
            else AutoresetMode.DISABLED,
        }
        self.epoch = (
            ticks(self.compiled, self.settings.epoch_s) if self.settings.epoch_s else default_epoch(self.compiled)
        )
        self.pace = self._pace()
        self.limit_steps = self.pace.most
        self.reward_unit = self.settings.reward_unit or typical_cost(self.compiled, self.epoch)
        self.single_observation_space = gymnasium.spaces.Box(-CLIP, CLIP, (self.observer.size,), np.float32)
        self.single_action_space = gymnasium.spaces.MultiDiscrete(self.grid.counts)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._make_buffers()

    def _pace(self) -> Pace:
        """The settings that say when decisions fall and episodes end, in ticks."""
        given, compiled = self.settings, self.compiled
        kinds = decision_kinds(given.decide, given.decide_on)
        limit = max(ticks(compiled, given.max_episode_s or 4 * WEEK_S), 1)
        steps = given.max_episode_steps or ENDLESS
        if not kinds and (given.max_episode_s or steps == ENDLESS):
            steps = min(steps, max(1, round(limit / self.epoch)))
        tick_s = compiled.plant.tick_s
        constant = (given.discount_s or discount_s(compiled, self.epoch * tick_s)) / tick_s
        return Pace(self.epoch, kinds, limit, steps, constant)

    def _make_buffers(self) -> None:
        from sim.kpi import cost_weights
        from sim.value import operating_weights

        n = self.num_envs
        self.money_weights = [operating_weights(self.compiled), cost_weights(self.compiled)]
        where, weights = (np.concatenate(parts) for parts in zip(*self.money_weights, strict=True))
        self._priced = where, weights, np.cumsum([len(at) for at, _ in self.money_weights])
        self.rows: Rows = np.zeros((n, self.compiled.layout.width), dtype=np.int64)
        self._elapsed = np.zeros(n, dtype=np.int64)
        self._episode = np.zeros(n, dtype=np.int64)
        self._ends = np.zeros(n, dtype=np.int64)
        self.moves = Moves(self.grid, n)
        self.money, self._after = np.zeros((n, 2)), np.zeros((n, 2))
        self._all = np.ones(n, dtype=np.bool_)
        self._fields = np.broadcast_to(np.array(self.observer.fields), (n, self.observer.size))
        self.ratio = np.maximum(-(-self.moves.every // self.epoch), 1)
        self._now = self.compiled.layout.at("now")
        self._kernel_seed: int | None = None
        self._empty: Rows | None = None
        self._observations = [np.empty((n, self.observer.size), dtype=np.float32) for _ in range(2)]
        named = self.settings.terms or self.settings.reward is not None
        self._terms = Terms(self.compiled, n) if named else None

    def _place(self) -> Floats:
        """Where the next observation goes, [N, D]."""
        if self.settings.copy:
            return np.empty((self.num_envs, self.observer.size), dtype=np.float32)
        self._observations.reverse()
        return self._observations[0]

    def _observe(self) -> Floats:
        return self.observer(self.rows, out=self._place())

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start new episodes. With a seed, environment i plays the addresses (seed, first + i); without one, new
        luck.
        """
        super().reset(seed=seed)
        options = options or {}
        mask: NDArray[np.bool_] = np.asarray(options.get("reset_mask", self._all), dtype=np.bool_)
        if seed is not None:
            self._kernel_seed = block_seed(TRAIN, seed)
            self._episode[:] = 0
        elif self._kernel_seed is None:
            self._kernel_seed = block_seed(TRAIN, int(self.np_random.integers(1 << 31)))
        self._begin(np.flatnonzero(mask), options.get("state"))
        if self.settings.stagger and mask.all():
            self._stagger()
        return self._observe(), self._info({})

    def _stagger(self) -> None:
        """Spread the ends of the episodes evenly over the first one, in groups that end together."""
        groups = min(STAGGERED, self.num_envs, self.limit_steps)
        group = np.arange(self.num_envs) * groups // self.num_envs
        if self.limit_steps < ENDLESS:
            self._elapsed[:] = group * self.limit_steps // groups
        self._ends -= group * self.pace.limit // groups

    def _begin(self, who: NDArray[np.intp], state: Rows | None = None) -> None:
        """New episodes for the environments `who`, each at an address of its own."""
        from sim.batch import Turn, look

        rows = np.ascontiguousarray(self._new(who, state))
        self.rows[who] = rows
        self._episode[who] += 1
        self._elapsed[who] = 0
        self._ends[who] = rows[:, self._now] + self.pace.limit
        self.moves.forget(who)
        money = np.empty((len(who), 2))
        look(rows, Turn(0, price=self.prices(money)))
        self.money[who] = money
        if self._terms is not None:
            self._terms.begin(who, rows)

    def _new(self, who: NDArray[np.intp], state: Rows | None) -> Rows:
        """Rows [K, W] of the next episodes of the environments `who` [K]."""
        from sim.engine import new_rows
        from sim.kernel import begin

        assert self._kernel_seed is not None, "call reset() before step()"
        width = self.compiled.layout.width
        if state is not None:
            given = np.asarray(state, dtype=np.int64)
            if given.shape[-1] != width:
                raise SchemaError(
                    f"state of width {given.shape[-1]}: rows of this plant have {width}; take it from the same plant"
                )
            return np.broadcast_to(given, (len(who), width)) if given.ndim == 1 else given[who]
        addresses = (self._episode[who] << 32) + self.settings.first + who
        if self.compiled.own is None and self.settings.posterior is None:
            rows = self._blank(addresses)
            begin(rows, self.compiled)
        else:
            seed = self._kernel_seed
            rows = np.concatenate(
                [new_rows(self.compiled, seed, 1, at, self._drawn(at)) for at in addresses.tolist()] or [self.rows[:0]]
            )
        if self.settings.spread is not None:
            for one, at in zip(rows, addresses.tolist(), strict=True):
                spread_parameters(one[None], self.compiled, self.settings.spread, (self._kernel_seed << 20) ^ at)
        return rows

    def _blank(self, addresses: NDArray[np.int64]) -> Rows:
        """Rows [K, W] of the empty plant before its first draw, at addresses [K]: copies of one that is kept."""
        from sim.kernel import blank_rows
        from sim.state import REPLICA, SEED

        if self._empty is None:
            self._empty = blank_rows(self.compiled, 0, 1)
        rows = np.repeat(self._empty, len(addresses), axis=0)
        rows[:, SEED], rows[:, REPLICA] = self._kernel_seed or 0, addresses
        return rows

    def _drawn(self, address: int) -> dict[str, Rows] | None:
        """Factors of the episode at an address, from its seed and address alone; None without a posterior."""
        if self.settings.posterior is None:
            return None
        return draw_parameters(self.settings.posterior, self.compiled, (self._kernel_seed or 0, address))

    def prices(self, out: NDArray[np.float64]) -> Prices:
        """Operating cost and cash since the beginning, into `out` [R, 2]."""
        from sim.batch import Prices

        return Prices(*self._priced, out)

    def _choose(self, actions: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """Setpoints [N, C] of actions, and how many controls a limit moved (`clipped`) and how many were kept by their
        `every` (`held`), for each environment.
        """
        present = self.rows[:, self.compiled.controls]
        admitted, wanted, kept = self.admit(self.rows, actions, self.moves)
        if self.pace.by_events:
            self.moves.note(self.rows[:, self._now], admitted, present)
        return admitted, {"clipped": _count(admitted != wanted), "held": _count(kept)}

    def admit(
        self, rows: Rows, actions: NDArray[np.integer[Any]], moves: Moves
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Setpoints [R, C] that grid indices [R, C] come to in rows [R, W] whose controls moved last as `moves` says;
        what they were before limits, and which controls were kept by their `every`.
        """
        now, present = rows[:, self._now], rows[:, self.compiled.controls]
        wanted = self.grid.decode(np.asarray(actions, dtype=np.int64))
        if self.pace.by_events:
            kept = moves.kept(now, wanted, present)
        else:
            kept = (now[:, None] // self.epoch % self.ratio != 0) & (wanted != present)
        wanted = np.where(kept, present, wanted)
        return self.grid.limit(wanted, rows, self.compiled.layout), wanted, kept

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Apply grid indices [N, C] and run to the next decision."""
        from sim.batch import Turn
        from sim.engine import play
        from sim.kernel import Observation

        values, told = self._choose(actions)
        before, observation = self.rows[:, self._now].copy(), self._place()
        look = Observation(self.observer.positions, self.observer.factors, observation)
        until, kinds = self.pace.last(before, self._ends), self.pace.kinds
        turn = Turn(until, kinds, values, look, self.prices(self._after), self.settings.threads)
        play(self.rows, self.compiled, turn)
        now = self.rows[:, self._now].copy()
        self.observer.finish(self.rows, observation)
        cost = self._after - self.money
        self.money[...] = self._after
        self._elapsed += 1
        truncated = self._elapsed >= self.limit_steps
        if kinds:
            truncated |= now >= self._ends
        discount, accrual = self.pace.discount(now - before)
        info = {"cost": cost[:, 0], "cash": cost[:, 1], **told}
        info |= {"elapsed": now - before, "discount": discount, "accrual": accrual}
        if self._terms is not None:
            info["terms"] = self._terms.step(self.rows)
        reward = self._reward(info)
        if self.settings.autoreset == "same_step" and truncated.any():
            info |= {"final_obs": observation.copy(), "_final_obs": truncated.copy()}
            ended = np.flatnonzero(truncated)
            self._begin(ended)
            observation[ended] = self.observer(self.rows[ended])
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        return observation, reward, terminated, truncated, self._info(info)

    def _reward(self, info: dict[str, Any]) -> NDArray[np.float64]:
        """Rewards [N] of a step: minus its cost in its unit, or what the user's function says."""
        if self.settings.reward is not None:
            return rewards(self.settings.reward, info, self.num_envs)
        reward: NDArray[np.float64] = info["cost"] / -self.reward_unit
        return reward

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        info["fields"] = self._fields
        return info | {f"_{key}": self._all for key in info if not key.startswith("_") and f"_{key}" not in info}


class PlantEnv(gymnasium.Env[Floats, NDArray[np.int64]]):
    """One replica, with the same meaning as one environment of `PlantVectorEnv` (which see)."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium's own shape

    def __init__(
        self, plant: str | Plant | Compiled = "gearmotor", render_mode: str | None = None, **settings: Any
    ) -> None:
        """Arguments beside the plant are the fields of `Settings`."""
        if render_mode is not None:
            raise ValueError(f"render_mode {render_mode!r}: this environment draws nothing; the dashboard does")
        self.render_mode = None
        self._vector = PlantVectorEnv(1, plant, **{**settings, "autoreset": "disabled"})
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the observed columns."""
        return self._vector.observer.fields

    @property
    def compiled(self) -> Compiled:
        """The compiled plant."""
        return self._vector.compiled

    @property
    def rows(self) -> Rows:
        """The kernel row, [1, W]."""
        return self._vector.rows

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode; `options={"state": row}` starts from a state."""
        super().reset(seed=seed)
        observation, _ = self._vector.reset(seed=seed, options=options)
        return observation[0], {"fields": self.fields}

    def step(self, action: NDArray[np.int64]) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Apply grid indices [C] and run to the next decision."""
        observation, reward, terminated, truncated, info = self._vector.step(np.asarray(action)[None, :])
        own = {k: info[k][0].item() for k in ("cost", "cash", "clipped", "held", "elapsed", "discount", "accrual")}
        if "terms" in info:
            own["terms"] = {name: float(money[0]) for name, money in info["terms"].items()}
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {"fields": self.fields, **own}
