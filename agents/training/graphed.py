"""One minibatch of `ResidentPPO` as a CUDA graph: its 150 launches become one replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from agents.training.resident import ResidentPPO

WARM = 3
"""Updates before the capture (torch asks for some); their effect on the weights is undone."""


class GraphedUpdate:
    """Loss, gradient, its clipping and Adam's step of the minibatch `which` [B], captured once and replayed.

    Learning rate and clip range are read from tensors, so that their schedules go on. Made for a buffer that keeps
    its memory; `told` [5] sums what `ResidentPPO.loss` tells.
    """

    def __init__(self, model: ResidentPPO) -> None:
        device = model.device
        self.model = model
        self.which = torch.arange(model.batch_size, device=device)
        self.clip, self.rate = torch.zeros((), device=device), torch.zeros((), device=device)
        self.told = torch.zeros(5, device=device)
        optimizer = model.policy.optimizer
        for group in optimizer.param_groups:
            group["capturable"], group["lr"] = True, self.rate
        for state in optimizer.state.values():
            state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=device)
        self._capture(optimizer)

    def _capture(self, optimizer: Any) -> None:
        parameters = list(self.model.policy.parameters())
        weights = [p.detach().clone() for p in parameters]
        known = {p: {k: v.clone() for k, v in state.items()} for p, state in optimizer.state.items()}
        side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                optimizer.zero_grad(set_to_none=True)
                self._update(optimizer)
        torch.cuda.current_stream().wait_stream(side)
        optimizer.zero_grad(set_to_none=True)
        self.graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._update(optimizer)
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(weight)
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    before = known.get(parameter, {}).get(key)
                    value.zero_() if before is None else value.copy_(before)

    def _update(self, optimizer: Any) -> None:
        model = self.model
        batch = next(model.rollout_buffer.batches(self.which, len(self.which)))  # type: ignore[attr-defined]
        total, numbers = model.loss(batch, self.clip, None)
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(model.policy.parameters(), model.max_grad_norm)
        optimizer.step()
        self.told.add_(numbers)

    def epochs(self, rate: float, clip: float) -> Tensor:
        """All epochs over the buffer; the mean of what the minibatches told."""
        model, size = self.model, len(self.which)
        total = model.rollout_buffer.buffer_size * model.n_envs
        self.rate.fill_(rate)
        self.clip.fill_(clip)
        self.told.zero_()
        for _ in range(model.n_epochs):
            order = torch.randperm(total, device=model.device)
            for start in range(0, total, size):
                self.which.copy_(order[start : start + size])
                self.graph.replay()
        return self.told / (model.n_epochs * total // size)


def usable() -> bool:
    """Can a CUDA device be used here?"""
    return bool(torch.cuda.is_available())
