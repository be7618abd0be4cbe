"""The distribution of a grid of controls in a few large tensor operations: one head a control, all heads at once.

Stable-Baselines3 keeps one `Categorical` a control and loops over them; with ten controls that loop costs more than the
network. Here the logits of all heads are padded to one array. Same meaning: `tests/agents/test_resident.py` compares
log-probabilities, entropies and gradients with SB3's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = -1.0e8
"""Logit of a value that may not be chosen: its probability is 0 in float32, and gradients stay finite."""


class Heads:
    """Heads of `counts` values each over logits [N, sum(counts)]."""

    def __init__(self, counts: tuple[int, ...], device: torch.device) -> None:
        self.counts = counts
        self.widest = max(counts)
        self.even = all(n == self.widest for n in counts)
        starts = [sum(counts[:c]) for c in range(len(counts))]
        # a padded place reads the last logit of its head and is then masked
        places = [[s + min(k, n - 1) for k in range(self.widest)] for s, n in zip(starts, counts, strict=True)]
        self._places = torch.tensor(places, device=device).flatten()
        spare = [[k >= n for k in range(self.widest)] for n in counts]
        self._spare = torch.tensor(spare, device=device)

    def log_probabilities(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log-probabilities [N, C, widest]; `mask` bool [N, sum(counts)] says what may be chosen."""
        if mask is not None:
            logits = logits.masked_fill(~mask, MASKED)
        if self.even:
            return torch.log_softmax(logits.view(len(logits), len(self.counts), self.widest), dim=-1)
        padded = logits.index_select(1, self._places).view(len(logits), len(self.counts), self.widest)
        return torch.log_softmax(padded.masked_fill(self._spare, 2.0 * MASKED), dim=-1)

    def sample(self, log_p: Tensor) -> Tensor:
        """Indices int64 [N, C] drawn by the exponential race: argmax of p / Exp(1)."""
        noise = torch.empty_like(log_p).exponential_()
        return (log_p - noise.log_()).argmax(dim=-1)

    def of(self, log_p: Tensor, actions: Tensor) -> Tensor:
        """Log-probability [N] of joint actions int64 [N, C]."""
        return log_p.gather(-1, actions.unsqueeze(-1)).squeeze(-1).sum(dim=-1)

    def entropy(self, log_p: Tensor) -> Tensor:
        """Entropy [N] of the joint distribution."""
        return -(log_p.exp() * log_p).sum(dim=(-1, -2))
