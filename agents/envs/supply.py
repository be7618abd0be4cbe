"""Serial supply chains: how the stages trade, and the environment in which each orders a quantity every period.

The goods flow as the kernel has it, by a plant file alone (`serial_backlog4`): stocks that order a constant quantity,
set by a control, and vehicles that leave at reviews. What a period earns is a sum of the kernel's accumulators. Where
the chain is plain enough, `sim.serial` plays it in a fraction of the time, to the same numbers. The order of
events, and the profit with `OR_GYM`, are those of the class InvManagementBacklogEnv of or-gym-inventory, after Hubbs et
al., "OR-Gym: a reinforcement learning library for operations research problems" (2020), and Glasserman and Tayur
(1995); docs/agents.md says where that package departs from its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from agents.envs.env import compiled_plant
from agents.envs.pipeline import Pipeline
from agents.envs.schema import Floats, Rows
from agents.errors import SchemaError
from agents.seeds import TRAIN, block_seed
from sim.compile import Compiled
from sim.distributions import mean
from sim.plant import Plant
from sim.serial import chain_of, look_rows, period_rows, serial

Money = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trade:
    """What m stages pay each other, the one that customers buy from first, the supplier last.

    `prices` and `costs` [m]: money for a unit sold, and what that unit had cost the stage that sells it, booked when it
    leaves. `owed` [m - 1]: money for a unit of a stage's orders that the next one owes at the end of a period.
    `discount`: factor on the profit from a period to the next. `periods` of an episode. Holding and what customers are
    owed are in the plant file.
    """

    prices: tuple[float, ...]
    costs: tuple[float, ...]
    owed: tuple[float, ...]
    discount: float
    periods: int


OR_GYM = Trade((2.0, 1.5, 1.0, 0.75), (1.5, 1.0, 0.75, 0.5), (0.075, 0.05, 0.025), 0.97, 30)
"""The trade of or-gym's first inventory example."""


class Chain:
    """A serial chain as the kernel has it: its stages from the customers up, and what a period of it earns.

    `stages`: indices of the stocks; `leads`: their mean lead times in periods; `most`: what they may order at once;
    `rates`: money for a period's quantities, in the order of `sim.serial.period_rows`.
    """

    def __init__(self, plant: str | Plant | Compiled, trade: Trade = OR_GYM) -> None:
        """Raises `SchemaError` for a plant that is not such a chain, or that has another number of stages."""
        self.compiled, self.trade = compiled_plant(plant), trade
        plant = self.compiled.plant
        stocks = chain_of(plant)
        sets = [f"stocks.{k.id}.level" for k in stocks]
        if (
            not stocks or len({k.review for k in stocks}) != 1
            or any(k.policy != "constant_order" or not k.vehicle for k in stocks)
            or [c.sets for c in plant.controls] != sets or any(c.low or c.step != 1 for c in plant.controls)
        ):  # fmt: skip
            raise SchemaError(
                f"plant {plant.id}: expected a serial chain, which is one demand, stocks that supply each other, each "
                "with a vehicle and a constant order in the same period, and a control from 0 in steps of 1 for each "
                "order, customers' end first; see serial_backlog4"
            )
        if not len(trade.prices) == len(trade.costs) == len(trade.owed) + 1 == len(stocks) + 1:
            raise SchemaError(f"trade of {len(trade.prices)} stages: expected {len(stocks) + 1}, with the supplier")
        self.stages = [plant.stocks.index(k) for k in stocks]
        self.period = int(stocks[0].review or 0)
        self.leads = [mean(k.lead) / self.period for k in stocks if k.lead is not None]
        self.most = np.array([c.high for c in plant.controls], dtype=np.int64)
        self.pipeline = Pipeline(self.compiled)
        self.rates = self._rates()
        at, first = self.compiled.layout.at, self.stages[0]
        self._sold, self._waits = at("shipped", first), at("waiting_area", 0)
        self._ordered, self._owed = self._lane("ordered"), self._lane("owed")
        self._held = [at("on_hand_area", i) for i in self.stages]

    def _lane(self, field: str) -> list[int]:
        """Positions of a field of the lane that fills each stage."""
        compiled = self.compiled
        names = [compiled.plant.stocks[i].id for i in self.stages]
        return [compiled.layout.at(field, compiled.lane_index[name, "regular"]) for name in names]

    def _rates(self) -> Money:
        plant, trade = self.compiled.plant, self.trade
        margins = np.subtract(trade.prices, trade.costs)
        holding = [-plant.stocks[i].holding * self.period for i in self.stages]
        stages = zip(margins[1:].tolist(), holding, [-owed for owed in trade.owed], strict=True)
        return np.array([margins[0], -plant.demands[0].backlog * self.period, *(m for stage in stages for m in stage)])

    def booked(self, rows: Rows) -> NDArray[np.int64]:
        """What rows [N, W] have counted, int64 [2 + 2 S, N]: units sold, unit-ticks that customers waited, units that
        left for each stage, unit-ticks on hand of each stage.
        """
        left = [rows[:, i] - rows[:, j] for i, j in zip(self._ordered, self._owed, strict=True)]
        return np.array([rows[:, self._sold], rows[:, self._waits], *left, *(rows[:, i] for i in self._held)])

    def profit(self, counted: NDArray[np.int64], rows: Rows) -> Money:
        """Money [N] of the period that ended with rows [N, W], in which `counted` [2 + 2 S, N] was added to what they
        have booked: summed up in the order of `sim.serial.period_rows`, so that both give the same to the bit.
        """
        by, stages = self.rates, len(self.stages)
        left, held = counted[2 : 2 + stages], counted[2 + stages :] / self.period
        money = np.zeros(len(rows))
        for k, owed in enumerate(self._owed):
            money += by[2 + 3 * k] * left[k] + by[4 + 3 * k] * rows[:, owed]
        money += by[0] * counted[0] + by[1] * (counted[1] / self.period)
        for k in range(stages):
            money += by[3 + 3 * k] * held[k]
        return money

    def columns(self) -> list[tuple[str, int, float]]:
        """(Name, position, factor) of what an agent sees: units over the most that a stage may order at once."""
        compiled, at = self.compiled, self.compiled.layout.at
        found = []
        for i, owed, most in zip(self.stages, self._lane("owed"), self.most.tolist(), strict=True):
            name = compiled.plant.stocks[i].id
            found.append((f"{name}.on_hand", at("on_hand", i), 1.0 / most))
            found.append((f"{name}.on_order", at("on_order", i), 1.0 / most))
            found.append((f"{name}.owed", owed, 1.0 / most))
        name = compiled.plant.demands[0].id
        found.append((f"{name}.waiting", at("waiting", 0), 1.0 / float(self.most[0])))
        return [*found, ("time", at("now"), 1.0 / ((self.trade.periods + 1) * self.period))]

    def arrivals(self) -> list[tuple[int, int, np.float32]]:
        """(Stage, columns, factor) of each list of columns `STOCK.arriving.K` (`agents.envs.pipeline`)."""
        stage = {self.compiled.plant.stocks[i].id: k for k, i in enumerate(self.stages)}
        found = [(stage[s.stock], s.count) for s in self.pipeline.stretches]
        return [(k, count, np.float32(1.0 / self.most[k])) for k, count in found]

    def opening(self) -> NDArray[np.int64]:
        """The row [W] in which an episode begins: one period after tick 0, in which nobody orders or asks, so that the
        first period of the episode has customers. Nothing has been drawn until then, so all replicas open alike.
        """
        from sim.kernel import new_rows, run, set_controls
        from sim.state import REPLICA, SEED

        rows = new_rows(self.compiled, 0, 2)
        set_controls(rows, self.compiled, np.zeros(len(self.stages), dtype=np.int64))
        run(rows, self.compiled, self.period)
        rows[:, [SEED, REPLICA]] = 0
        if not np.array_equal(rows[0], rows[1]):
            raise SchemaError(
                f"plant {self.compiled.plant.id}: expected nothing to be drawn before the first customer comes after "
                "one period; make the time between orders and the lead times constant"
            )
        return rows[0]


class SupplyVectorEnv(VectorEnv[Floats, NDArray[np.int64], NDArray[Any]]):
    """`num_envs` replicas of a serial chain, a step a period: every stage orders, then what follows happens.

    Actions int64 [N, S]: units that each stage orders, customers' end first, cut to 0 .. most. Observations float32
    [N, D]: `fields` names the columns (`Chain.columns`, then when orders under way arrive). Rewards float64 [N]: the
    discounted profit of the period, in money; `info["profit"]` is the profit, `info["cost"]` minus that. An episode is
    truncated after `trade.periods`; in a step that ends episodes `info` has `final_obs` with `_final_obs`, and new ones
    have begun (autoreset SAME_STEP). `reset(options={"state": row or rows})` starts from any state between two periods.
    The two arrays of observations are handed out in turn: the one before last is overwritten.

    Episodes that begin as the chain does are played by `sim.serial`, if it knows such chains (`quick`); the kernel's
    `rows` are then made when somebody asks for them, by playing the same orders there.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - gymnasium's own shape

    def __init__(
        self,
        num_envs: int = 1,
        plant: str | Plant | Compiled = "serial_backlog4",
        trade: Trade = OR_GYM,
        first: int = 0,
        threads: int = 1,
        quick: bool = True,
    ) -> None:
        """`first`: replica number of environment 0; `threads`: of the simulation; `quick`: may `sim.serial` play it?
        Raises `SchemaError` as `Chain`.
        """
        self.chain = Chain(plant, trade)
        self.compiled, self.trade, self.num_envs = self.chain.compiled, trade, num_envs
        self.first, self.threads = first, threads
        columns, arrivals = self.chain.columns(), self.chain.arrivals()
        self.fields = tuple(name for name, _, _ in columns) + self.chain.pipeline.names
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (len(self.fields),), np.float32)
        self.single_action_space = gymnasium.spaces.MultiDiscrete(self.chain.most + 1)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._opening = self.chain.opening()
        self._serial = serial(self.compiled, [(k, n) for k, n, _ in arrivals]) if quick else None
        self._state: Rows | None = None
        """States of `sim.serial`, while it plays."""
        self._discounts = trade.discount ** np.arange(trade.periods)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._episode = np.zeros(num_envs, dtype=np.int64)
        self._seed: int | None = None
        self._coming = np.array([factor for _, n, factor in arrivals for _ in range(n)], dtype=np.float32)
        self._make_buffers(columns)

    def _make_buffers(self, columns: list[tuple[str, int, float]]) -> None:
        from sim.kernel import Observation

        n, now, more = self.num_envs, self.compiled.layout.at("now"), len(self._coming)
        self._basic = len(columns)
        positions = np.array([*(position for _, position, _ in columns), *[now] * more], dtype=np.int64)
        scales = np.array([*(factor for _, _, factor in columns), *[0.0] * more])
        self._seen = [Observation(positions, scales, np.zeros((n, len(positions)), np.float32)) for _ in range(2)]
        self._by = np.concatenate((self.chain.rates, scales[: self._basic], self._coming.astype(np.float64)))
        self._by.flags.writeable = False
        self._booked = np.zeros((2 + 2 * len(self.chain.stages), n), dtype=np.int64)
        self._rows: Rows = np.zeros((n, self.compiled.layout.width), dtype=np.int64)
        self._played = -1
        """Periods of the episode that the rows have seen; -1: not even its beginning."""
        self._orders = np.zeros((self.trade.periods, n, len(self.chain.most)), dtype=np.int64)

    @property
    def quick(self) -> bool:
        """Does `sim.serial` play the present episodes?"""
        return self._state is not None

    @property
    def rows(self) -> Rows:
        """The kernel's rows [N, W] of all environments as they stand; to look at, not to write into."""
        if self._state is not None:
            if self._played < 0:
                self._open_rows(np.arange(self.num_envs), self._episode - 1)
            for t in range(self._played, int(self._elapsed[0])):
                self._run(self._orders[t], np.full(self.num_envs, t))
            self._played = int(self._elapsed[0])
        rows = self._rows.view()
        rows.flags.writeable = False
        return rows

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """New episodes. With a seed, environment i plays the addresses (seed, first + i); without one, new luck."""
        super().reset(seed=seed)
        if seed is not None:
            self._seed = block_seed(TRAIN, seed)
            self._episode[:] = 0
        elif self._seed is None:
            self._seed = block_seed(TRAIN, int(self.np_random.integers(1 << 31)))
        self._seen.reverse()
        given = None if options is None else options.get("state")
        self._state = None
        if self._serial is not None and given is None:
            self._state = np.zeros((self.num_envs, self._serial.width), dtype=np.int64)
        self._begin(np.arange(self.num_envs))
        if given is not None:
            self._rows[...] = given
            self._elapsed[...] = self._rows[:, self.compiled.layout.at("now")] // self.chain.period - 1
            self._booked[...] = self.chain.booked(self._rows)
        return self._look(), {}

    @property
    def periods_left(self) -> int:
        """Periods left of the episode of environment 0 (all begin together, so of all)."""
        return self.trade.periods - int(self._elapsed[0])

    def _begin(self, who: NDArray[np.intp]) -> None:
        """New episodes of the environments `who`, each at an address of its own."""
        assert self._seed is not None, "call reset() before step()"
        if self._state is not None and self._serial is not None:  # then all of them
            self._serial.open(self._state, self._seed, self._addresses(who, self._episode))
            self._played = -1
        else:
            self._open_rows(who, self._episode)
        self._episode[who] += 1
        self._elapsed[who] = 0

    def _addresses(self, who: NDArray[np.intp], episode: NDArray[np.int64]) -> NDArray[np.int64]:
        return (episode[who] << 32) + self.first + who

    def _open_rows(self, who: NDArray[np.intp], episode: NDArray[np.int64]) -> None:
        """The kernel's rows as their episodes begin."""
        from sim.state import REPLICA, SEED

        self._rows[who] = self._opening
        self._rows[who, SEED] = self._seed or 0
        self._rows[who, REPLICA] = self._addresses(who, episode)
        self._booked[:, who] = self.chain.booked(self._opening[None])
        self._played = 0

    def _look(self) -> Floats:
        """Observations of all environments, into the array whose turn it is."""
        from sim.kernel import gather_rows

        seen = self._seen[0]
        if self._state is not None and self._serial is not None:
            look_rows(self._state, self._serial.params, self._by, seen.out)
        else:
            gather_rows(self._rows, seen.positions, seen.scales, seen.out)
            self.chain.pipeline.write(self._rows, self._coming, self._basic, seen.out)
        return seen.out

    def _run(self, orders: NDArray[np.int64], elapsed: NDArray[np.int64]) -> NDArray[np.float64]:
        """A period of the kernel's rows; the profits [N]."""
        from sim.batch import Turn, play

        seen = self._seen[0]
        watched = None if self._state is not None else seen
        play(self._rows, self.compiled, Turn((elapsed + 2) * self.chain.period, 0, orders, watched, None, self.threads))
        if watched is not None:
            self.chain.pipeline.write(self._rows, self._coming, self._basic, seen.out)
        before, self._booked = self._booked, self.chain.booked(self._rows)
        return self.chain.profit(self._booked - before, self._rows)

    def _hurry(self, given: NDArray[np.int64]) -> NDArray[np.float64]:
        """A period of `sim.serial`, with orders [N, S] not yet cut; the profits [N]."""
        from sim.kernel import in_parts

        assert self._state is not None
        assert self._serial is not None
        state, params, seen, profit = self._state, self._serial.params, self._seen[0].out, np.empty(self.num_envs)
        actions, orders = np.require(given, np.int64, ["C", "W"]), self._orders[self._elapsed[0]]
        in_parts(
            lambda part: period_rows(
                state[part], actions[part], orders[part], params, self._by, seen[part], profit[part]
            ),
            self.num_envs,
            self.threads,
        )
        return profit

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Order the quantities [N, S] and play one period."""
        self._seen.reverse()
        if self._state is not None:
            profit = self._hurry(actions)
            reward = profit * self._discounts[self._elapsed[0]]
        else:
            profit = self._run(np.clip(actions, 0, self.chain.most), self._elapsed)
            reward = profit * self._discounts[self._elapsed]
        self._elapsed += 1
        truncated = self._elapsed >= self.trade.periods
        info: dict[str, Any] = {"profit": profit, "cost": -profit}
        observation = self._seen[0].out
        if truncated.any():
            info |= {"final_obs": observation.copy(), "_final_obs": truncated}
            self._begin(np.flatnonzero(truncated))
            observation = self._look()
        return observation, reward, np.zeros(self.num_envs, dtype=np.bool_), truncated, info
