"""The distribution of a grid of controls, one head a control, and the network under it, in few and cheap operations.

Same meaning as Stable-Baselines3's list of `Categorical`s (`tests/agents/test_resident.py` compares log-probabilities,
entropies and gradients), for less: one uniform number a control instead of one exponential a value, nothing that is
not asked for. On a CUDA device all heads are padded to one array, because there each operation costs its launch; on
the CPU they are taken one by one, because there padding costs its arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MASKED = -1.0e8
"""Logit of a value that may not be chosen: its probability is 0 in float32, and gradients stay finite."""
BELOW_ONE = 1.0 - 2.0**-22
"""Keeps a uniform number times a sum below the sum, after rounding."""


class _Tanh(torch.autograd.Function):
    """tanh(x) = 2 sigmoid(2x) - 1: with AVX2 torch's sigmoid takes 1.0 ms where its tanh takes 3.4 (16,384 x 64)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = (x * 2.0).sigmoid_()
        y = s.mul_(2.0).sub_(1.0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(grads[0], y)


def tanh(x: Tensor) -> Tensor:
    """tanh, to 2e-7 absolute, by whichever way is quick on this device."""
    found: Tensor = x.tanh() if x.is_cuda else _Tanh.apply(x)  # type: ignore[no-untyped-call]
    return found


def through(layers: Any, x: Tensor) -> Tensor:
    """A torch Sequential of a policy, with our tanh in the place of its own."""
    for layer in layers:
        x = tanh(x) if isinstance(layer, torch.nn.Tanh) else layer(x)
    return x


class Heads:
    """Heads of `counts` values each over logits [N, sum(counts)]; actions are int64 [N, C]."""

    def __init__(self, counts: tuple[int, ...], device: torch.device) -> None:
        self.counts, self.widest = counts, max(counts)
        self.padded = device.type != "cpu" and len(counts) > 1
        starts = [sum(counts[:c]) for c in range(len(counts))]
        # a padded place reads the last logit of its head and is then masked
        places = [[s + min(k, n - 1) for k in range(self.widest)] for s, n in zip(starts, counts, strict=True)]
        self._places = torch.tensor(places, device=device).flatten()
        self._spare = torch.tensor([[k >= n for k in range(self.widest)] for n in counts], device=device)

    def draw(self, logits: Tensor, mask: Tensor | None = None, free: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Actions [N, C] and their log-probability [N]; `mask` bool [N, sum(counts)] says what may be chosen, `free`
        [N, C] (1 or 0) which controls have a choice at all: the others count for nothing.
        """
        parts = self._parts(logits, mask)
        chance = torch.rand((len(logits), len(self.counts)), device=logits.device).mul_(BELOW_ONE)
        if self.padded:
            chosen, told = _draw(parts[0], chance)
            return chosen, told.sum(dim=1) if free is None else (told * free).sum(dim=1)
        found = [_draw(part, chance[:, c]) for c, part in enumerate(parts)]
        return torch.stack([chosen for chosen, _ in found], dim=1), _sum([told for _, told in found], free)

    def log_prob(
        self, logits: Tensor, actions: Tensor, mask: Tensor | None = None, free: Tensor | None = None
    ) -> Tensor:
        """Log-probability [N] of actions."""
        parts = self._parts(logits, mask)
        if self.padded:
            log_p = torch.log_softmax(parts[0], dim=-1)
            told = log_p.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
            return told.sum(dim=-1) if free is None else (told * free).sum(dim=-1)
        of = torch.nn.functional.cross_entropy
        return -_sum([of(part, actions[:, c], reduction="none") for c, part in enumerate(parts)], free)

    def entropy(self, logits: Tensor, mask: Tensor | None = None, free: Tensor | None = None) -> Tensor:
        """Entropy [N] of the joint distribution."""
        found = []
        for part in self._parts(logits, mask):
            log_p = torch.log_softmax(part, dim=-1)
            each = -(log_p.exp() * log_p).sum(dim=-1)
            if self.padded:
                return each.sum(dim=-1) if free is None else (each * free).sum(dim=-1)
            found.append(each)
        return _sum(found, free)

    def _parts(self, logits: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        """Logits of each head [N, n], or of all of them [N, C, widest]."""
        if mask is not None:
            logits = logits.masked_fill(~mask, MASKED)
        if not self.padded:
            return torch.split(logits, list(self.counts), dim=1)
        wide = logits.index_select(1, self._places).view(len(logits), len(self.counts), self.widest)
        return (wide.masked_fill(self._spare, 2.0 * MASKED),)


def _sum(parts: list[Tensor], free: Tensor | None) -> Tensor:
    """Sum [N] over controls of a number [N] each, of those that are free."""
    each = torch.stack(parts)
    return each.sum(dim=0) if free is None else (each * free.T).sum(dim=0)


def _draw(logits: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """Indices and log-probabilities [...] of a value each from logits [..., n], by inversion of the summed weights.

    An index is the number of sums that do not exceed chance x total, so a value of weight 0 is never taken.
    """
    top = logits - logits.amax(dim=-1, keepdim=True)
    sums = top.exp().cumsum(dim=-1)
    total = sums[..., -1]
    chosen = (sums <= (chance * total).unsqueeze(-1)).sum(dim=-1)
    return chosen, top.gather(-1, chosen.unsqueeze(-1)).squeeze(-1) - total.log()
