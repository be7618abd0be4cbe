"""PPO written by hand, as one would for one plant: the peer of row 9. Same nets, settings and arithmetic as SB3's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical as _Categorical

from agents.envs.env import PlantVectorEnv

Categorical: Any = _Categorical  # torch's distributions carry no types


class Net(nn.Module):
    def __init__(self, inputs: int, counts: list[int], hidden: int = 64) -> None:
        super().__init__()
        self.counts = counts
        self.actor = nn.Sequential(
            nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, sum(counts))
        )
        self.critic = nn.Sequential(
            nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
        )

    def heads(self, seen: torch.Tensor) -> list[Any]:
        return [Categorical(logits=part) for part in torch.split(self.actor(seen), self.counts, dim=1)]

    def act(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        heads = self.heads(seen)
        actions = torch.stack([head.sample() for head in heads], dim=1)
        log_prob = torch.stack([head.log_prob(actions[:, c]) for c, head in enumerate(heads)], dim=1).sum(dim=1)
        return actions, log_prob, self.critic(seen).flatten()

    def judge(self, seen: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        heads = self.heads(seen)
        log_prob = torch.stack([head.log_prob(actions[:, c]) for c, head in enumerate(heads)], dim=1).sum(dim=1)
        entropy = torch.stack([head.entropy() for head in heads], dim=1).sum(dim=1)
        return log_prob, entropy, self.critic(seen).flatten()


class PlainPPO:
    """Rollouts of `steps` decisions of an environment and updates, on one device."""

    def __init__(self, env: PlantVectorEnv, device: str, settings: dict[str, Any], scale: float) -> None:
        self.env, self.device, self.s, self.scale = env, torch.device(device), settings, scale
        self.net = Net(env.observer.size, [int(n) for n in env.grid.counts]).to(self.device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=settings["learning_rate"], eps=1e-5)
        t, n = settings["n_steps"], env.num_envs
        self.seen = torch.zeros((t, n, env.observer.size), device=self.device)
        self.actions = torch.zeros((t, n, env.grid.size), dtype=torch.int64, device=self.device)
        self.numbers = torch.zeros((4, t, n), device=self.device)  # log-probability, value, reward, ended
        first, _ = env.reset(seed=0)
        self.last = torch.from_numpy(first.copy()).to(self.device)

    @torch.no_grad()
    def rollout(self) -> None:
        gamma = self.s["gamma"]
        for t in range(self.s["n_steps"]):
            actions, log_prob, value = self.net.act(self.last)
            observation, _, _, truncated, info = self.env.step(actions.cpu().numpy())
            reward = torch.from_numpy(info["cost"] / -self.scale).float().to(self.device)
            ended = np.flatnonzero(truncated)
            if ended.size:
                final = torch.from_numpy(info["final_obs"][ended]).to(self.device)
                reward[torch.from_numpy(ended).to(self.device)] += gamma * self.net.critic(final).flatten()
            self.seen[t], self.actions[t] = self.last, actions
            self.numbers[:, t] = torch.stack(
                [log_prob, value, reward, torch.from_numpy(truncated).float().to(self.device)]
            )
            self.last = torch.from_numpy(observation).to(self.device).clone()
        _, values, rewards, ended_at = self.numbers
        later, trace = self.net.critic(self.last).flatten(), torch.zeros_like(values[0])
        self.advantages = torch.zeros_like(values)
        for t in reversed(range(self.s["n_steps"])):
            keep = gamma * (1.0 - ended_at[t])
            trace = rewards[t] + keep * later - values[t] + keep * self.s["gae_lambda"] * trace
            self.advantages[t], later = trace, values[t]
        self.returns = self.advantages + values

    def update(self) -> None:
        total = self.seen.shape[0] * self.seen.shape[1]
        seen, actions = self.seen.reshape(total, -1), self.actions.reshape(total, -1)
        old, advantages, returns = (x.reshape(total) for x in (self.numbers[0], self.advantages, self.returns))
        for _ in range(self.s["n_epochs"]):
            order = torch.randperm(total, device=self.device)
            for which in torch.split(order, self.s["batch_size"]):
                log_prob, entropy, value = self.net.judge(seen[which], actions[which])
                gain = advantages[which]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                ratio = (log_prob - old[which]).exp()
                policy = -torch.min(gain * ratio, gain * ratio.clamp(0.8, 1.2)).mean()
                loss = policy - 0.0 * entropy.mean() + 0.5 * nn.functional.mse_loss(returns[which], value)
                self.optimizer.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
                self.optimizer.step()
