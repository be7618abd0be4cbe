"""What may not be chosen has no probability, and what may be chosen is carried out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.distributions import MultiCategoricalDistribution

from agents.envs.env import PlantVectorEnv
from agents.envs.masks import action_masks, free
from agents.errors import TrainingError
from agents.training.heads import Heads
from agents.training.lanes import Lanes
from agents.training.learning import Config
from agents.training.recipe import Recipe
from agents.training.resident import ResidentPPO
from sim.kernel import get_controls

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("two_motors", {}),
    ("line3", {"decide": "events", "epoch_s": 1200.0}),
    ("line3", {}),
)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_what_the_masks_allow_is_carried_out(
    name: str, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    plant = request.getfixturevalue(name)
    env = PlantVectorEnv(12, plant, reward_unit=1.0, **settings)
    env.reset(seed=5)
    rng = np.random.Generator(np.random.PCG64(8))
    ends = np.cumsum([0, *env.grid.counts])
    held = limited = 0
    for _ in range(150):
        may, masks = free(env), action_masks(env)
        parts = [masks[:, a:b] for a, b in pairwise(ends)]
        actions = np.stack([(rng.random(p.shape) * p).argmax(axis=1) for p in parts], axis=1)
        assert all(p.any(axis=1).all() for p in parts)
        limited += int(sum((may[:, c] & ~p.all(axis=1)).sum() for c, p in enumerate(parts)))
        *_, info = env.step(actions)
        after = get_controls(env.rows, env.compiled)
        assert np.array_equal(after, env.grid.decode(actions))
        assert not info["held"][np.all(may, axis=1)].any()
        held += int((~may).sum())
    assert (held > 0) == (name == "two_motors" or bool(settings)), "a cap every ten minutes may move at every hour"
    assert (limited > 0) == (not settings), "the first minutes are without failures"
    # what is held is what the environment says, for actions from the whole grid
    wanted = rng.integers(0, env.grid.counts, size=(12, env.grid.size))
    expected = (~free(env) & (env.grid.decode(wanted) != get_controls(env.rows, env.compiled))).sum(axis=1)
    assert np.array_equal(env.step(wanted)[4]["held"], expected)


@pytest.mark.parametrize("padded", [False, True])
def test_a_control_without_a_choice_has_no_part_in_the_probability(padded: bool) -> None:
    heads = Heads((3, 2, 4), torch.device("cpu"))
    heads.padded = padded
    torch.manual_seed(1)
    logits = torch.randn(40, 9, requires_grad=True)
    may = (torch.rand(40, 3) < 0.5).float()
    actions, told = heads.draw(logits, free=may)
    expected = torch.zeros(40)
    entropy = torch.zeros(40)
    for c, part in enumerate(torch.split(logits, [3, 2, 4], dim=1)):
        each = MultiCategoricalDistribution([part.shape[1]]).proba_distribution(part)
        expected = expected + may[:, c] * each.log_prob(actions[:, c : c + 1])
        entropy = entropy + may[:, c] * each.entropy()
    torch.testing.assert_close(heads.log_prob(logits, actions, free=may), expected)
    torch.testing.assert_close(told, expected)
    torch.testing.assert_close(heads.entropy(logits, free=may), entropy)
    torch.autograd.backward(heads.log_prob(logits, actions, free=may).sum())
    assert logits.grad is not None
    for c, part in enumerate(torch.split(logits.grad, [3, 2, 4], dim=1)):
        assert not part[may[:, c] == 0].any()
        assert part[may[:, c] == 1].any()


def test_resident_ppo_leaves_held_controls_out(two_motors: Any) -> None:
    models: list[Any] = []
    for masked in (False, True):
        lanes = Lanes(PlantVectorEnv(8, two_motors, reward_unit=1.0, copy=False), 1.0, 5.0)
        model = ResidentPPO("MlpPolicy", lanes, n_steps=8, batch_size=64, seed=3, device="cpu", masked=masked)
        model.learn(64)
        models.append(model)
    plain, mine = (m.rollout_buffer for m in models)
    assert isinstance(mine.free, torch.Tensor)
    assert 0.0 < float(mine.free.mean()) < 1.0
    # the weights are learned on the same luck: the first rollout's actions are the same, their probabilities are not
    assert torch.equal(torch.as_tensor(mine.actions), torch.as_tensor(plain.actions))
    all_may = mine.free.all(dim=2)
    told, other = torch.as_tensor(mine.log_probs), torch.as_tensor(plain.log_probs)
    assert torch.equal(told[all_may], other[all_may])
    assert bool((told[~all_may] > other[~all_may]).all())


def test_masks_in_the_form_of_others(line3: Any) -> None:
    lanes = Lanes(PlantVectorEnv(3, line3, reward_unit=1.0, copy=False))
    lanes.reset()
    masks = lanes.env_method("action_masks", indices=[0, 2])
    assert [m.shape for m in masks] == [(10,), (10,)]
    with pytest.raises(NotImplementedError, match="share one environment object"):
        lanes.env_method("close")
    with pytest.raises(TrainingError, match="masks: stock PPO has none"):
        Recipe(config=Config(masks=True, trainer="stock")).check()
