"""ResidentPPO does what stock PPO does, on the same data, to rounding."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.envs.env import PlantVectorEnv
from agents.training.heads import Heads, tanh
from agents.training.lanes import Lanes
from agents.training.resident import ResidentBuffer, ResidentPPO


class Walk(gymnasium.Env[Any, Any]):
    """A small world with every kind of end: terminated at the right, cut off after some steps."""

    def __init__(self, action_space: spaces.Space[Any], limit: int) -> None:
        self.observation_space = spaces.Box(-10.0, 10.0, (3,), np.float32)
        self.action_space, self.limit = action_space, limit

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        del options
        self.x, self.n = self.np_random.normal(size=3).astype(np.float32), 0
        return self.x, {}

    def step(self, action: Any) -> Any:
        self.n += 1
        self.x = np.clip(self.x + self.np_random.normal(size=3) * 0.3 + 0.02 * float(np.sum(action)), -9, 9).astype(
            np.float32
        )
        return self.x, float(-np.abs(self.x).sum()), bool(self.x[0] > 2.0), self.n >= self.limit, {}


SPACES = {
    "discrete": spaces.Discrete(4),
    "multi": spaces.MultiDiscrete([3, 7, 2]),
    "even": spaces.MultiDiscrete([4, 4]),
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
}


def worlds(kind: str) -> DummyVecEnv:
    env = DummyVecEnv([lambda k=k: Walk(SPACES[kind], 5 + k) for k in range(6)])  # type: ignore[misc]
    env.seed(3)
    return env


def pair(kind: str, **settings: Any) -> tuple[PPO, ResidentPPO]:
    common: dict[str, Any] = {
        "n_steps": 16,
        "batch_size": 96,
        "n_epochs": 1,
        "gamma": 0.97,
        "seed": 5,
        "device": "cpu",
        "ent_coef": 0.01,
        **settings,
    }
    stock, ours = PPO("MlpPolicy", worlds(kind), **common), ResidentPPO("MlpPolicy", worlds(kind), **common)
    ours.policy.load_state_dict(stock.policy.state_dict())
    return stock, ours


@pytest.mark.parametrize("kind", ["discrete", "multi", "even"])
@pytest.mark.parametrize("padded", [False, True])
def test_heads_are_the_distribution_of_stable_baselines(kind: str, padded: bool) -> None:
    _, ours = pair(kind)
    heads = ours._heads
    assert isinstance(heads, Heads)
    heads.padded = padded and len(heads.counts) > 1
    seen = torch.randn(50, 3)
    logits, values = ours._outputs(seen)
    actions, told = heads.draw(logits)
    flat = actions.flatten() if kind == "discrete" else actions
    expected: Any = ours.policy.evaluate_actions(seen, flat)
    torch.testing.assert_close(values, expected[0].flatten())
    torch.testing.assert_close(heads.log_prob(logits, actions), expected[1])
    torch.testing.assert_close(told, expected[1])
    torch.testing.assert_close(heads.entropy(logits), expected[2])


@pytest.mark.parametrize("padded", [False, True])
def test_samples_come_as_often_as_their_probability(padded: bool) -> None:
    heads = Heads((3, 5), torch.device("cpu"))
    heads.padded = padded
    torch.manual_seed(0)
    logits = torch.randn(1, 8)
    drawn, _ = heads.draw(logits.expand(200_000, 8))
    for c, part in enumerate(torch.split(logits[0], [3, 5])):
        share = torch.bincount(drawn[:, c], minlength=len(part)) / len(drawn)
        # five standard deviations of a share of a half
        torch.testing.assert_close(share, torch.softmax(part, dim=0), atol=5 * 0.5 / len(drawn) ** 0.5, rtol=0.0)


@pytest.mark.parametrize("padded", [False, True])
def test_a_masked_value_is_never_drawn_and_the_others_keep_their_ratio(padded: bool) -> None:
    heads = Heads((3, 2), torch.device("cpu"))
    heads.padded = padded
    mask = torch.tensor([[False, True, True, True, False]]).expand(1000, 5)
    logits = torch.zeros(1000, 5)
    drawn, told = heads.draw(logits, mask)
    assert set(drawn[:, 0].tolist()) == {1, 2}
    assert set(drawn[:, 1].tolist()) == {0}
    assert told[0].exp().item() == pytest.approx(0.5)
    assert heads.entropy(logits, mask)[0].item() == pytest.approx(np.log(2.0))


def test_the_least_and_the_greatest_chance_draw_values_that_may_be_drawn() -> None:
    from agents.training.heads import BELOW_ONE, MASKED, _draw

    logits = torch.tensor([[MASKED, 0.3, -40.0, 1.7, MASKED]])
    for chance, expected in ((0.0, 1), (BELOW_ONE * (1.0 - 2.0**-24), 3)):
        chosen, _ = _draw(logits, torch.tensor([chance], dtype=torch.float32))
        assert chosen.item() == expected


def test_our_tanh_is_tanh_and_so_is_its_slope() -> None:
    x = torch.linspace(-12.0, 12.0, 4001, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    torch.testing.assert_close(tanh(x), other.tanh(), atol=3e-7, rtol=0.0)
    torch.autograd.backward([tanh(x).sum(), other.tanh().sum()])
    torch.testing.assert_close(x.grad, other.grad, atol=1e-6, rtol=0.0)


class _Copy(BaseCallback):
    """Keeps what a rollout left in the buffer."""

    def _on_step(self) -> bool:
        return True


def filled(stock: PPO, ours: ResidentPPO) -> None:
    """Stock PPO plays one rollout; ours gets the same data, ends included, and its own way of bootstrapping."""
    _, callback = stock._setup_learn(1000, _Copy())
    plays: list[Any] = []
    step = stock.env.step  # type: ignore[union-attr]

    def watched(actions: Any) -> Any:
        result = step(actions)
        plays.append((np.array(result[0]), result[1].copy(), result[2].copy(), [dict(i) for i in result[3]]))
        return result

    stock.env.step = watched  # type: ignore[union-attr, method-assign]
    stock.collect_rollouts(stock.env, callback, stock.rollout_buffer, stock.n_steps)  # type: ignore[arg-type]
    replay(stock, ours, plays)


def replay(stock: PPO, ours: ResidentPPO, plays: list[Any]) -> None:
    buffer: Any = stock.rollout_buffer
    moments = iter(range(len(plays)))
    first = buffer.observations[0].copy()

    class Recorded:
        num_envs = 6
        discount = None

        def step(self, actions: Any) -> Any:
            del actions
            return plays[next(moments)]

    actions = [torch.as_tensor(a) for a in buffer.actions.copy()]
    given = iter(actions)
    kept = ours._act

    def act(observations: torch.Tensor) -> Any:
        """The stock model's action, with our values and log-probability of it."""
        chosen = next(given)
        flat = chosen.flatten() if isinstance(ours.action_space, spaces.Discrete) else chosen
        values, log_prob, _ = ours.policy.evaluate_actions(observations, flat)
        return chosen, values.flatten(), log_prob

    ours._act = act  # type: ignore[method-assign, assignment]
    _, callback = ours._setup_learn(1000, _Copy())
    ours._last_obs = first
    ours.collect_rollouts(Recorded(), callback, ours.rollout_buffer, ours.n_steps)
    ours._act = kept  # type: ignore[method-assign]


@pytest.mark.parametrize("kind", list(SPACES))
def test_a_rollout_has_the_advantages_of_stable_baselines(kind: str) -> None:
    stock, ours = pair(kind)
    filled(stock, ours)
    theirs: Any = stock.rollout_buffer
    mine: Any = ours.rollout_buffer
    assert isinstance(mine, ResidentBuffer)
    assert theirs.episode_starts[1:].sum() > 5, "no episode ended: nothing was tested"
    for name in ("rewards", "values", "log_probs", "advantages", "returns"):
        np.testing.assert_allclose(
            getattr(mine, name).numpy(), getattr(theirs, name), atol=2e-6, rtol=2e-6, err_msg=name
        )


@pytest.mark.parametrize("kind", list(SPACES))
@pytest.mark.parametrize("value_clip", [None, 0.1])
def test_an_update_leaves_the_weights_of_stable_baselines(kind: str, value_clip: float | None) -> None:
    stock, ours = pair(kind, clip_range_vf=value_clip)
    filled(stock, ours)
    for model in (stock, ours):
        model._update_current_progress_remaining(96, 1000)
        model.train()  # one full batch: the order within it does not matter
    mine = ours.policy.state_dict()
    for name, value in stock.policy.state_dict().items():
        torch.testing.assert_close(mine[name], value, atol=1e-6, rtol=1e-6, msg=name)


def test_a_discount_by_step_stands_in_the_place_of_gamma() -> None:
    _, ours = pair("discrete")
    buffer: Any = ours.rollout_buffer
    buffer.rewards[:] = torch.randn(16, 6)
    buffer.values[:] = torch.randn(16, 6)
    buffer.discounts[:] = torch.rand(16, 6)
    buffer.gae_lambda = 1.0
    last = torch.randn(6)
    buffer.compute_returns_and_advantage(last)
    expected = last
    for t in reversed(range(16)):
        expected = buffer.rewards[t] + buffer.discounts[t] * expected
        torch.testing.assert_close(buffer.returns[t], expected)


def test_it_learns_on_our_lanes_predicts_saves_and_loads(tmp_path: Any) -> None:
    env = PlantVectorEnv(8, "line3", max_episode_steps=5, copy=False)
    model = ResidentPPO("MlpPolicy", Lanes(env), n_steps=8, batch_size=64, n_epochs=2, device="cpu", seed=1)
    head: Any = model.policy.action_net
    before = head.weight.detach().clone()
    model.learn(256)
    assert not torch.equal(before, head.weight)
    assert model.num_timesteps == 256
    seen, _ = env.reset(seed=0)
    chosen, _ = model.predict(seen, deterministic=True)
    model.save(tmp_path / "model.zip")
    again = ResidentPPO.load(tmp_path / "model.zip", env=Lanes(env), device="cpu")  # what this test itself has written
    assert np.array_equal(again.predict(seen, deterministic=True)[0], chosen)
    again.learn(64)


def test_learning_again_begins_where_the_environment_was_reset() -> None:
    _, ours = pair("discrete")
    ours.learn(96)
    buffer: Any = ours.rollout_buffer
    last = buffer.frames[16].clone()
    _, callback = ours._setup_learn(96, None)  # as `learn` does: a reset, after which the last frame is of the past
    fresh = torch.as_tensor(np.asarray(ours._last_obs))
    ours.collect_rollouts(ours.env, callback, buffer, 16)
    assert torch.equal(buffer.frames[0], fresh)
    assert not torch.equal(buffer.frames[0], last)
