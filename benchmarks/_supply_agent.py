"""A PPO on the serial chain, beside the plans and rules of `supply.py`: it starts as a plan that was made once.

What is learnt is a *change* of what the plan orders in a period: order = rounded (plan + unit x action), cut to what a
stage may order; the untrained policy changes next to nothing. The learner is that of `plantwin train`
(`agents.training.resident.ResidentPPO`). It sees by how much the chain differs from what it usually looks like in this
period under the plan, and which period it is. The discount is in the rewards, and an episode really ends after its
periods (what a chain is worth then counts nothing), so nothing is discounted or bootstrapped beyond. From each reward
the mean is taken that the plan earns in that period, so that the critic begins near its goal. Of the start and the
checkpoints the one is kept that earns most on paths of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from agents.envs.schema import Floats
from agents.envs.supply import Chain, SupplyVectorEnv
from agents.rules.supply_rules import Orders, Policy, played
from agents.training.lanes import Lanes
from agents.training.resident import ResidentPPO

LANES = 1024
"""Environments stepped together."""
FOR_CHOICE, CHOICE_PATHS, EVERY = 8, 512, 5
"""Seed and number of the paths on which a checkpoint is chosen, and updates between two of these."""
BOUND = 5.0
"""Observations and actions are cut at this bound."""


@dataclass(frozen=True)
class Usual:
    """An episode as it usually goes under a plan [T, S], with some noise in the orders: observations' mean [T, D] and
    one over their spread [T, D], mean reward [T]; `unit`: units of an action of 1.
    """

    plan: Orders
    unit: float
    seen: NDArray[np.float64]
    factor: NDArray[np.float64]
    reward: NDArray[np.float64]

    def orders(self, t: int, actions: NDArray[np.floating[Any]], most: NDArray[np.int64]) -> Orders:
        """Quantities [N, S] of actions [N, S] in period t."""
        return np.asarray(np.clip(np.rint(self.plan[t] + self.unit * actions), 0, most), dtype=np.int64)

    def features(self, t: int, seen: Floats) -> Floats:
        """What the network sees [N, D + T] of observations [N, D]: how far they are from the usual ones, the period."""
        out = np.zeros((len(seen), seen.shape[1] + len(self.plan)), np.float32)
        np.clip((seen - self.seen[t]) * self.factor[t], -BOUND, BOUND, out=out[:, : seen.shape[1]], casting="same_kind")
        out[:, seen.shape[1] + t] = 1.0
        return out


def usual(chain: Chain, plan: Orders, unit: float, seed: int, paths: int = LANES) -> Usual:
    """Measured on the paths of `reset(seed=seed)`."""
    env = SupplyVectorEnv(paths, chain.compiled, chain.trade)
    rng = np.random.Generator(np.random.PCG64(seed))
    means, spreads, rewards = [], [], []
    seen, _ = env.reset(seed=seed)
    for ordered in plan:
        means.append(seen.mean(axis=0))
        spreads.append(seen.std(axis=0))
        noise = rng.normal(0.0, unit / 3, (paths, len(ordered)))
        orders = np.clip(np.rint(ordered + noise), 0, chain.most).astype(np.int64)
        seen, reward, *_ = env.step(orders)
        rewards.append(float(reward.mean()))
    # where nothing varies a change of some units is large
    return Usual(plan, unit, np.array(means), 1.0 / (np.array(spreads) + 0.02), np.array(rewards))


class ChainLanes(Lanes):
    """`SupplyVectorEnv` for the learner; the end of an episode is an end, not a truncation. A reward is what is earned
    beyond the usual, over a twentieth of what an episode usually earns.
    """

    def __init__(self, chains: SupplyVectorEnv, knows: Usual, seed: int) -> None:
        vector: Any = chains
        super().__init__(vector)
        self.chains, self.knows, self.start = chains, knows, seed
        size = len(chains.fields) + chains.trade.periods
        self.observation_space = spaces.Box(-BOUND, BOUND, (size,), np.float32)
        self.action_space = spaces.Box(-BOUND, BOUND, (len(chains.chain.most),), np.float32)
        self.unit_reward = max(abs(float(knows.reward.sum())), 1e-9) / 20.0
        self._given: Any = None

    def reset(self) -> Floats:
        """Observations [N, D + T] of new episodes."""
        return self.knows.features(0, self.chains.reset(seed=self.start)[0])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._given = actions

    def step_wait(self) -> tuple[Floats, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Play one period."""
        env, t = self.chains, period(self.chains)
        seen, reward, _, ended, _ = env.step(self.knows.orders(t, self._given, env.chain.most))
        beyond = (reward - self.knows.reward[t]) / self.unit_reward
        return self.knows.features(period(env), seen), beyond.astype(np.float32), ended, self._infos


def period(env: SupplyVectorEnv) -> int:
    """The period of the episode that comes next."""
    return env.trade.periods - env.periods_left


class Choice(BaseCallback):
    """Keeps the weights that earn most on the paths for choices, those of the start among them."""

    def __init__(self, env: SupplyVectorEnv, policy: Policy) -> None:
        super().__init__()
        self.env, self.policy = env, policy
        self.best, self.weights, self.at, self.updates = -np.inf, {}, 0, 0  # type: ignore[var-annotated]

    def judge(self) -> None:
        """Play the present weights."""
        earned = float(played(self.env, self.policy, FOR_CHOICE).sum(axis=0).mean())
        if earned > self.best:
            self.best, self.at = earned, self.num_timesteps
            self.weights = {k: v.clone() for k, v in self.model.policy.state_dict().items()}

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.updates % EVERY == 0:
            self.judge()
        self.updates += 1


def trained(chain: Chain, plan: Orders, steps: int, seed: int = 0, lanes: int = LANES) -> Policy:
    """A policy trained for `steps` periods of all lanes together from a plan [T, S]; it decides without exploring.
    Reproducible on one machine: seeds fix luck and weights.
    """
    torch.set_num_threads(1)
    knows = usual(chain, plan, unit=10.0, seed=1 + seed)
    source = ChainLanes(SupplyVectorEnv(lanes, chain.compiled, chain.trade), knows, 1 + seed)
    periods = chain.trade.periods
    model = ResidentPPO(
        "MlpPolicy", source, n_steps=periods, batch_size=lanes * periods // 4, n_epochs=6,
        gamma=1.0, gae_lambda=0.95, learning_rate=lambda left: 1e-3 * left, seed=seed, device="cpu",
        policy_kwargs={"net_arch": [64, 64], "log_std_init": -0.7},
    )  # fmt: skip

    def policy(env: SupplyVectorEnv, seen: Floats) -> Orders:
        actions = model.predict(knows.features(period(env), seen), deterministic=True)[0]
        return knows.orders(period(env), actions, env.chain.most)

    choice = Choice(SupplyVectorEnv(CHOICE_PATHS, chain.compiled, chain.trade), policy)
    model.learn(steps, callback=choice)
    choice.judge()
    model.policy.load_state_dict(choice.weights)
    return policy
