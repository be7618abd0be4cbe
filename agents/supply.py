"""Serial supply chains: how the stages trade, and the environment in which each orders a quantity every period.

The goods flow in the kernel, by a plant file alone (`serial_backlog4`): stocks that order a constant quantity, set by a
control, and vehicles that leave at reviews. What a period earns is a sum of the kernel's accumulators. The order of
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

from agents.env import compiled_plant
from agents.errors import SchemaError
from agents.schema import Floats, Rows
from agents.seeds import TRAIN, block_seed
from sim.compile import Compiled
from sim.distributions import mean
from sim.plant import Plant

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
    `flows` and `standing`: (positions, money for each unit) such that the profit of a
    period is the change of `row[positions] @ money` of the flows, plus that of the standing ones at its end.
    """

    def __init__(self, plant: str | Plant | Compiled, trade: Trade = OR_GYM) -> None:
        """Raises `SchemaError` for a plant that is not such a chain, or that has another number of stages."""
        self.compiled, self.trade = compiled_plant(plant), trade
        plant = self.compiled.plant
        at = {k.id: i for i, k in enumerate(plant.stocks)}
        self.stages: list[int] = []
        name = plant.demands[0].stock if plant.demands else ""
        while name in at:
            self.stages.append(at[name])
            name = plant.stocks[at[name]].source
        stocks = [plant.stocks[i] for i in self.stages]
        sets = [f"stocks.{k.id}.level" for k in stocks]
        lengths = {k.review for k in stocks}
        if (
            plant.stations or plant.products or len(plant.demands) != 1 or len(stocks) != len(plant.stocks)
            or any(k.policy != "constant_order" or not k.vehicle for k in stocks) or len(lengths) != 1
            or [c.sets for c in plant.controls] != sets or any(c.low or c.step != 1 for c in plant.controls)
        ):  # fmt: skip
            raise SchemaError(
                f"plant {plant.id}: expected a serial chain, which is one demand, stocks that supply each other, each "
                "with a vehicle and a constant order in the same period, and a control from 0 in steps of 1 for each "
                "order, customers' end first; see serial_backlog4"
            )
        if not len(trade.prices) == len(trade.costs) == len(trade.owed) + 1 == len(stocks) + 1:
            raise SchemaError(f"trade of {len(trade.prices)} stages: expected {len(stocks) + 1}, with the supplier")
        self.period = int(stocks[0].review or 0)
        self.leads = [mean(k.lead) / self.period for k in stocks if k.lead is not None]
        self.most = np.array([c.high for c in plant.controls], dtype=np.int64)
        self.flows, self.standing = self._flows(), self._standing()

    def _lane(self, field: str) -> list[int]:
        """Positions of a field of the lane that fills each stage."""
        compiled = self.compiled
        names = [compiled.plant.stocks[i].id for i in self.stages]
        return [compiled.layout.at(field, compiled.lane_index[name, "regular"]) for name in names]

    def _flows(self) -> tuple[NDArray[np.int64], Money]:
        plant, at, trade = self.compiled.plant, self.compiled.layout.at, self.trade
        margins = [price - cost for price, cost in zip(trade.prices, trade.costs, strict=True)]
        terms = [(at("shipped", self.stages[0]), margins[0])]
        for ordered, owed, margin in zip(self._lane("ordered"), self._lane("owed"), margins[1:], strict=True):
            terms += [(ordered, margin), (owed, -margin)]  # what has left is what was ordered and is not owed
        terms += [(at("on_hand_area", i), -plant.stocks[i].holding) for i in self.stages]
        terms.append((at("waiting_area", 0), -plant.demands[0].backlog))
        return np.array([p for p, _ in terms], dtype=np.int64), np.array([m for _, m in terms])

    def _standing(self) -> tuple[NDArray[np.int64], Money]:
        return np.array(self._lane("owed"), dtype=np.int64), -np.array(self.trade.owed)

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
    [N, D]: `fields` names the columns (`Chain.columns`). Rewards float64 [N]: the discounted profit of the period, in
    money; `info["profit"]` is the profit, `info["cost"]` minus that. An episode is truncated after `trade.periods`; in
    a step that ends episodes `info` has `final_obs` with `_final_obs`, and new ones have begun (autoreset SAME_STEP).
    `reset(options={"state": row or rows})` starts from any state between two periods. The two arrays of observations
    are handed out in turn: the one before last is overwritten.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - gymnasium's own shape

    def __init__(
        self,
        num_envs: int = 1,
        plant: str | Plant | Compiled = "serial_backlog4",
        trade: Trade = OR_GYM,
        first: int = 0,
        threads: int = 1,
    ) -> None:
        """`first`: replica number of environment 0; `threads` of the kernel. Raises `SchemaError` as `Chain`."""
        from sim.batch import Prices
        from sim.kernel import Observation

        self.chain = Chain(plant, trade)
        self.compiled, self.trade, self.num_envs = self.chain.compiled, trade, num_envs
        self.first, self.threads = first, threads
        columns = self.chain.columns()
        self.fields = tuple(name for name, _, _ in columns)
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (len(columns),), np.float32)
        self.single_action_space = gymnasium.spaces.MultiDiscrete(self.chain.most + 1)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rows: Rows = np.zeros((num_envs, self.compiled.layout.width), dtype=np.int64)
        self._opening = self.chain.opening()
        self._discounts = trade.discount ** np.arange(trade.periods)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._episode = np.zeros(num_envs, dtype=np.int64)
        self._seed: int | None = None
        positions = np.array([position for _, position, _ in columns], dtype=np.int64)
        scales = np.array([factor for _, _, factor in columns])
        self._seen = [Observation(positions, scales, np.zeros((num_envs, len(columns)), np.float32)) for _ in range(2)]
        flows, standing = self.chain.flows, self.chain.standing
        self._prices = Prices(
            np.concatenate((flows[0], standing[0])),
            np.concatenate((flows[1], standing[1])),
            np.array([len(flows[0]), len(flows[0]) + len(standing[0])], dtype=np.int64),
            np.zeros((num_envs, 2)),
        )
        self._booked = np.zeros(num_envs)
        # the same in every row: arrays of one shape are gone through at once, a short row again and again is not
        self._most = np.tile(self.chain.most, (num_envs, 1))
        self._quantities = np.zeros_like(self._most)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """New episodes. With a seed, environment i plays the addresses (seed, first + i); without one, new luck."""
        super().reset(seed=seed)
        if seed is not None:
            self._seed = block_seed(TRAIN, seed)
            self._episode[:] = 0
        elif self._seed is None:
            self._seed = block_seed(TRAIN, int(self.np_random.integers(1 << 31)))
        self._seen.reverse()
        self._begin(np.arange(self.num_envs))
        if options is not None and "state" in options:
            self.rows[...] = options["state"]
            self._elapsed[...] = self.rows[:, self.compiled.layout.at("now")] // self.chain.period - 1
            self._booked[...] = self.rows[:, self.chain.flows[0]] @ self.chain.flows[1]
        return self._look(), {}

    @property
    def periods_left(self) -> int:
        """Periods left of the episode of environment 0 (all begin together, so of all)."""
        return self.trade.periods - int(self._elapsed[0])

    def _begin(self, who: NDArray[np.intp]) -> None:
        """New episodes of the environments `who`, each at an address of its own."""
        from sim.state import REPLICA, SEED

        assert self._seed is not None, "call reset() before step()"
        self.rows[who] = self._opening
        self.rows[who, SEED] = self._seed
        self.rows[who, REPLICA] = (self._episode[who] << 32) + self.first + who
        self._episode[who] += 1
        self._elapsed[who] = 0
        self._booked[who] = self._opening[self.chain.flows[0]] @ self.chain.flows[1]

    def _look(self) -> Floats:
        """Observations of all rows, into the array whose turn it is."""
        from sim.kernel import gather_rows

        seen = self._seen[0]
        gather_rows(self.rows, seen.positions, seen.scales, seen.out)
        return seen.out

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Order the quantities [N, S] and play one period."""
        from sim.batch import Turn, play

        quantities = self._quantities
        np.minimum(actions, self._most, out=quantities, casting="same_kind")
        np.maximum(quantities, 0, out=quantities)
        self._seen.reverse()
        seen, money = self._seen[0], self._prices.out
        until = (self._elapsed + 2) * self.chain.period
        turn = Turn(until, values=quantities, observe=seen, price=self._prices, threads=self.threads)
        play(self.rows, self.compiled, turn)
        profit = money[:, 0] - self._booked + money[:, 1]
        self._booked[...] = money[:, 0]
        reward = profit * self._discounts[self._elapsed]
        self._elapsed += 1
        truncated = self._elapsed >= self.trade.periods
        info: dict[str, Any] = {"profit": profit, "cost": -profit}
        observation = seen.out
        if truncated.any():
            info |= {"final_obs": observation.copy(), "_final_obs": truncated}
            self._begin(np.flatnonzero(truncated))
            observation = self._look()
        return observation, reward, np.zeros(self.num_envs, dtype=np.bool_), truncated, info
