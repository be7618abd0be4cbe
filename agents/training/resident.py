"""PPO of Stable-Baselines3 whose rollout buffer and update stay on the device, CPU or CUDA: `ResidentPPO`.

Stock SB3 keeps its buffer in numpy: each step copies observations, values and log-probabilities there, each minibatch
copies them back, and every finished environment costs a call of the network. Here all of it is tensors where the
network is; truncated episodes are bootstrapped in one batch at the end of a rollout; nothing waits for the device
within an update. Policies, `predict`, `learn`, callbacks, logger, schedules and `save` are SB3's own, and on the same
data the update is SB3's to rounding (`tests/agents/test_resident.py`).

Steps may last differently long (decisions at events): where the environment says by how much a step discounts the
future, that stands in the place of gamma (Puterman 1994, Markov Decision Processes, ch. 11).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from agents.errors import TrainingError
from agents.training.graphed import GraphedUpdate
from agents.training.heads import Heads, through


class Batch(NamedTuple):
    """A minibatch: observations [B, D], actions [B, A], the rest [B]."""

    observations: Tensor
    actions: Tensor
    old_values: Tensor
    old_log_prob: Tensor
    advantages: Tensor
    returns: Tensor
    free: Tensor | None = None


class ResidentBuffer(RolloutBuffer):
    """SB3's rollout buffer as tensors on the device: `observations` [T, N, D], the others [T, N].

    `frames` [T + 1, N, D] holds the observation after the last step too, so a device environment can write all of them
    where they stay. Advantages are those of SB3 (GAE, arXiv:1506.02438) with a discount by step.
    """

    frames: Tensor
    discounts: Tensor
    free: Tensor | None = None  # float32 [T, N, A]: which controls could move; None: not asked for
    # SB3 names these arrays; here they are tensors
    rewards: Any
    returns: Any
    values: Any
    log_probs: Any
    advantages: Any

    def reset(self) -> None:
        """Forget; memory is taken once."""
        self.pos, self.full, self.generator_ready = 0, False, False
        if hasattr(self, "frames"):
            return
        t, n = self.buffer_size, self.n_envs
        self.use(torch.zeros((t + 1, n, *self.obs_shape), device=self.device))
        kind = torch.float32 if isinstance(self.action_space, spaces.Box) else torch.int64
        self.actions: Any = torch.zeros((t, n, self.action_dim), dtype=kind, device=self.device)
        names = ("rewards", "returns", "values", "log_probs", "advantages", "discounts")
        for name in names:
            setattr(self, name, torch.zeros((t, n), device=self.device))
        self.episode_starts: Any = torch.zeros((t + 1, n), device=self.device)

    def use(self, frames: Tensor) -> None:
        """Keep observations in this memory."""
        self.frames = frames
        self.observations: Any = frames[: self.buffer_size]

    def compute_returns_and_advantage(self, last_values: Tensor, dones: NDArray[np.bool_] | None = None) -> None:
        """Advantages and returns; `dones` is not looked at, `episode_starts[T]` says it."""
        del dones
        keep = 1.0 - self.episode_starts[1:]
        reach = self.discounts * keep
        trace = torch.zeros_like(last_values)
        later = last_values
        for t in reversed(range(self.buffer_size)):
            trace = self.rewards[t] + reach[t] * later - self.values[t] + (self.gae_lambda * reach[t]) * trace
            self.advantages[t] = trace
            later = self.values[t]
        torch.add(self.advantages, self.values, out=self.returns)
        self.full = True

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        """Minibatches in a fresh random order (torch's generator on the device)."""
        total = self.buffer_size * self.n_envs
        order = torch.randperm(total, device=self.device)
        yield from self.batches(order, batch_size or total)

    def batches(self, order: Tensor, size: int) -> Iterator[Batch]:
        """Minibatches of the flattened [T * N] in the given order."""
        total = self.buffer_size * self.n_envs
        flat = [self.observations.reshape(total, -1), self.actions.reshape(total, -1)]
        flat += [x.reshape(total) for x in (self.values, self.log_probs, self.advantages, self.returns)]
        if self.free is not None:
            flat.append(self.free.reshape(total, -1))
        for start in range(0, total, size):
            which = order[start : start + size]
            yield Batch(*(x.index_select(0, which) for x in flat))


@dataclass(frozen=True, slots=True)
class Played:
    """One step of all environments: reward [N], discount [N] or None (gamma), which ended (indices [K], on the host),
    the last observations [K, D] of those of them that were cut off rather than ended, and which these are.
    """

    reward: Tensor
    discount: Tensor | None
    ended: NDArray[np.intp]
    cut: NDArray[np.intp]
    final: Tensor | None


class ResidentPPO(PPO):
    """`stable_baselines3.PPO` with a `ResidentBuffer`; arguments and meaning are PPO's own.

    `graphs=True` replays minibatches as a CUDA graph where that is possible (a device, equal minibatches, no
    `target_kl`, no value clipping). The environment is any SB3 `VecEnv`; one with a method `play`
    (`agents.training.device_lanes.DeviceLanes`) hands out tensors and nothing passes through the host.

    `masked=True`: a control that may not move at a decision (the environment's `free` [N, C] says so) has no part in
    the probability of an action there: what is drawn for it does nothing, and would only be noise in the ratio.
    """

    def __init__(self, *arguments: Any, graphs: bool = False, masked: bool = False, **settings: Any) -> None:
        self.graphs, self.masked = graphs, masked
        super().__init__(*arguments, **{"rollout_buffer_class": ResidentBuffer, **settings})

    def _setup_model(self) -> None:
        super()._setup_model()
        self._heads = None
        space, policy = self.action_space, self.policy
        plain = type(policy) is ActorCriticPolicy and policy.share_features_extractor and not self.use_sde
        if plain and isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            counts = (int(space.n),) if isinstance(space, spaces.Discrete) else tuple(int(n) for n in space.nvec)
            self._heads = Heads(counts, self.device)
        if self.masked and self._heads is None:
            raise TrainingError("masks: expected a plain policy of discrete controls, found another")
        self._frames_of: Any = None  # the environment that gave the buffer its memory
        self._graphed: GraphedUpdate | None = None

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_heads", "_frames_of", "_graphed"]

    def _maybe_recommend_cpu(self, mlp_class_name: str = "ActorCriticPolicy") -> None:
        """Nothing: with the simulation beside it, a small network belongs on the device."""
        del mlp_class_name

    # -- acting -------------------------------------------------------------------------------------------------------

    def _outputs(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, sum(counts)] and values [N]."""
        policy: Any = self.policy
        features, nets = policy.extract_features(observations), policy.mlp_extractor
        actor, critic = through(nets.policy_net, features), through(nets.value_net, features)
        return policy.action_net(actor), policy.value_net(critic).flatten()

    def _act(self, observations: Tensor, free: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Sampled actions [N, A], values [N] and log-probabilities [N]."""
        if self._heads is None:
            actions, values, log_prob = self.policy(observations)
            return actions.reshape(len(actions), -1), values.flatten(), log_prob
        logits, values = self._outputs(observations)
        actions, log_prob = self._heads.draw(logits, free=free)
        return actions, values, log_prob

    def collect_rollouts(self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer; False where a callback stopped it."""
        buffer: ResidentBuffer = rollout_buffer
        source: Any = env if hasattr(env, "play") else _Host(self, env, buffer)
        self.policy.set_training_mode(False)
        if source is env and self._frames_of is not env:
            buffer.use(env.frames(buffer.buffer_size + 1))
            self._frames_of = env
        source.look(0, self._last_obs)  # not the last frame: `learn` may have reset the environment since
        buffer.reset()
        if self.masked and buffer.free is None:
            buffer.free = torch.zeros((buffer.buffer_size, env.num_envs, buffer.action_dim), device=self.device)
        callback.on_rollout_start()
        cut: list[tuple[int, Played]] = []
        with torch.no_grad():
            for t in range(n_rollout_steps):
                if buffer.free is None:
                    actions, values, log_prob = self._act(buffer.frames[t])
                else:
                    buffer.free[t] = torch.as_tensor(env.free(), device=self.device)
                    actions, values, log_prob = self._act(buffer.frames[t], buffer.free[t])
                played: Played = source.play(actions, t + 1)
                self.num_timesteps += env.num_envs
                callback.update_locals({"self": self, "env": env, "n_steps": t})
                if not callback.on_step():
                    return False
                buffer.actions[t], buffer.values[t], buffer.log_probs[t] = actions, values, log_prob
                buffer.rewards[t] = played.reward
                buffer.discounts[t] = self.gamma if played.discount is None else played.discount
                buffer.episode_starts[t + 1] = 0.0
                if played.ended.size:
                    buffer.episode_starts[t + 1, torch.as_tensor(played.ended, device=self.device)] = 1.0
                if played.cut.size:
                    cut.append((t, played))
            self._bootstrap(buffer, cut)
            last = self.policy.predict_values(buffer.frames[n_rollout_steps]).flatten()
        buffer.compute_returns_and_advantage(last)
        callback.update_locals({"self": self, "env": env})
        callback.on_rollout_end()
        return True

    def _bootstrap(self, buffer: ResidentBuffer, cut: list[tuple[int, Played]]) -> None:
        """Add to the reward of each step that was cut off what the critic thinks would have followed."""
        if not cut:
            return
        final: list[Any] = [played.final for _, played in cut]
        worth = self.policy.predict_values(torch.cat(final)).flatten()
        steps = np.concatenate([np.full(played.cut.size, t) for t, played in cut])
        lanes = np.concatenate([played.cut for _, played in cut])
        at = torch.as_tensor(steps, device=self.device), torch.as_tensor(lanes, device=self.device)
        buffer.rewards[at] += buffer.discounts[at] * worth

    # -- learning -----------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, clip: float | Tensor, clip_value: float | None) -> tuple[Tensor, Tensor]:
        """The loss of a minibatch as in SB3's PPO, and [policy loss, value loss, entropy loss, KL, share clipped]."""
        if self._heads is None:
            actions = batch.actions.flatten() if isinstance(self.action_space, spaces.Discrete) else batch.actions
            values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, actions)
            values = values.flatten()
            entropy_loss = log_prob.mean() if entropy is None else -entropy.mean()
        else:
            logits, values = self._outputs(batch.observations)
            log_prob = self._heads.log_prob(logits, batch.actions, free=batch.free)
            entropy_loss = values.new_zeros(())
            if self.ent_coef:
                entropy_loss = -self._heads.entropy(logits, free=batch.free).mean()
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = log_prob - batch.old_log_prob
        ratio = log_ratio.exp()
        low, high = 1.0 - clip, 1.0 + clip
        policy_loss = -torch.min(advantages * ratio, advantages * ratio.clamp(low, high)).mean()  # type: ignore[arg-type]
        if clip_value is not None:
            values = batch.old_values + (values - batch.old_values).clamp(-clip_value, clip_value)
        value_loss = torch.nn.functional.mse_loss(batch.returns, values)
        total = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        with torch.no_grad():
            told = (policy_loss, value_loss, entropy_loss, (ratio - 1.0 - log_ratio).mean())
            clipped = ((ratio - 1.0).abs() > clip).float().mean()
        return total, torch.stack([*(x.detach() for x in told), clipped])

    def train(self) -> None:
        """One update from the buffer; the host waits for the device once, at its end (or, with `target_kl`, at each
        minibatch).
        """
        self.policy.set_training_mode(True)
        if self._graphed is None:
            self._update_learning_rate(self.policy.optimizer)
        left, ranges = self._current_progress_remaining, (self.clip_range, self.clip_range_vf)
        clip, clip_value = (None if scheduled is None else float(scheduled(left)) for scheduled in ranges)  # type: ignore[operator]
        assert clip is not None
        if self._can_replay():
            self._graphed = self._graphed or GraphedUpdate(self)
            told = self._graphed.epochs(float(self.lr_schedule(left)), clip)
            self._n_updates += self.n_epochs
        else:
            told = self._epochs(clip, clip_value)
        self._record(told.tolist(), clip)

    def _can_replay(self) -> bool:
        """May minibatches be replayed as a graph?"""
        even = self.rollout_buffer.buffer_size * self.n_envs % self.batch_size == 0
        plain = self.target_kl is None and self.clip_range_vf is None and self._heads is not None
        return self.graphs and self.device.type == "cuda" and even and plain

    def _epochs(self, clip: float, clip_value: float | None) -> Tensor:
        """All epochs over the buffer; the mean of what the minibatches told."""
        told = []
        for _ in range(self.n_epochs):
            stop = False
            batches: Iterator[Any] = self.rollout_buffer.get(self.batch_size)
            for batch in batches:
                total, numbers = self.loss(batch, clip, clip_value)
                told.append(numbers)
                if self.target_kl is not None and float(numbers[3]) > 1.5 * self.target_kl:
                    stop = True
                    break
                self.policy.optimizer.zero_grad()
                torch.autograd.backward(total)
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
                self.policy.optimizer.step()
            self._n_updates += 1
            if stop:
                break
        return torch.stack(told).mean(dim=0)

    def _record(self, numbers: list[float], clip: float) -> None:
        if not np.isfinite(numbers).all():
            raise TrainingError(
                f"the loss is no longer finite after {self.num_timesteps:,} decisions: learning diverged; use a "
                f"smaller learning rate or check the scale of the rewards"
            )
        names = ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")
        for name, number in zip(names, numbers, strict=True):
            if name != "entropy_loss" or self.ent_coef:  # where it counts for nothing it is not worked out
                self.logger.record(f"train/{name}", number)
        buffer: Any = self.rollout_buffer
        spread = float(buffer.returns.var())
        unexplained = float((buffer.returns - buffer.values).var())
        self.logger.record("train/explained_variance", 1.0 - unexplained / spread if spread > 0.0 else float("nan"))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip)


class _Host:
    """An ordinary `VecEnv` as a source of tensors."""

    def __init__(self, model: ResidentPPO, env: Any, buffer: ResidentBuffer) -> None:
        self.model, self.env, self.buffer = model, env, buffer

    def look(self, at: int, observation: NDArray[np.float32]) -> None:
        into = self.buffer.frames[at]
        into.copy_(torch.from_numpy(np.ascontiguousarray(observation)).reshape(into.shape))

    def play(self, actions: Tensor, at: int) -> Played:
        model, device = self.model, self.model.device
        given = actions.cpu().numpy()
        space = model.action_space
        if isinstance(space, spaces.Box):
            given = np.clip(given, space.low, space.high)
        elif isinstance(space, spaces.Discrete):
            given = given.reshape(-1)
        observation, reward, dones, infos = self.env.step(given)
        model._last_obs = observation
        model._update_info_buffer(infos, dones)
        self.look(at, observation)
        ended = np.flatnonzero(dones)
        cut = np.array([i for i in ended.tolist() if infos[i].get("TimeLimit.truncated", False)], dtype=np.intp)
        final = None
        if cut.size:
            last = np.stack([infos[i]["terminal_observation"] for i in cut.tolist()])
            final = torch.as_tensor(last, device=device).reshape(len(cut), *self.buffer.obs_shape)
        discount = getattr(self.env, "discount", None)
        return Played(
            torch.as_tensor(reward, device=device),
            None if discount is None else torch.as_tensor(discount, dtype=torch.float32, device=device),
            ended,
            cut,
            final,
        )
