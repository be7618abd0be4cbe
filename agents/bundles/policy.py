"""A trained policy as plain numpy: what it weighs, how it decides. Knows nothing of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import BundleError

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
DECODE = ("mode", "median")


@dataclass(frozen=True, slots=True)
class Network:
    """A multilayer perceptron with tanh between layers: weights[k] [out, in], biases[k] [out].

    The last layer's outputs are the logits of all controls, one after the other; `counts` says how many belong to each.
    `decode`: what is decided is the most probable grid index of a control (mode), or the one in the middle of the
    probability (median): a grid is in order, and what matters is often only on which side of a number a setpoint lies
    (of the stock, of the condition), which is what more than half of the probability says.
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    counts: tuple[int, ...]
    decode: str = "mode"
    starts: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.weights or self.weights[0].ndim != 2:
            raise BundleError("expected layers of weights with two lengths, found others; the file is malformed")
        width = self.weights[0].shape[1]
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            if w.ndim != 2 or w.shape[1] != width or b.shape != (w.shape[0],):
                raise BundleError(
                    f"layer {k}: weights {w.shape} and biases {b.shape} do not follow a width of {width}; the "
                    f"file is malformed"
                )
            if not (np.isfinite(w).all() and np.isfinite(b).all()):
                raise BundleError(f"layer {k} holds numbers that are not finite; train again")
            width = w.shape[0]
        if width != sum(self.counts):
            raise BundleError(f"{width} outputs for grids of {self.counts} values; the file is malformed")
        if self.decode not in DECODE:
            raise BundleError(f"decode {self.decode!r}: expected {' or '.join(DECODE)}")
        object.__setattr__(self, "starts", tuple(np.cumsum([0, *self.counts[:-1]]).tolist()))

    def logits(self, observation: Floats) -> Floats:
        """Logits [..., sum(counts)] of observations [..., D]."""
        x = observation
        last = len(self.weights) - 1
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ w.T + b
            if k < last:
                np.tanh(x, out=x)
        return x

    def decide(self, observation: Floats) -> Indices:
        """Grid index of every control [..., C], by `decode` (no exploration)."""
        if self.decode == "median":
            half = [np.cumsum(p, axis=-1) < 0.5 for p in self.probabilities(observation)]
            middle = [np.minimum(h.sum(axis=-1), h.shape[-1] - 1) for h in half]  # sums may end just below 1
            return np.stack(middle, axis=-1)
        z = self.logits(observation)
        return np.stack(
            [z[..., s : s + n].argmax(axis=-1) for s, n in zip(self.starts, self.counts, strict=True)], axis=-1
        )

    def probabilities(self, observation: Floats) -> list[Floats]:
        """Probability of every grid value, one array [..., n] a control."""
        z = self.logits(observation)
        out = []
        for s, n in zip(self.starts, self.counts, strict=True):
            e = np.exp(z[..., s : s + n] - z[..., s : s + n].max(axis=-1, keepdims=True))
            out.append(e / e.sum(axis=-1, keepdims=True))
        return out


def tensors(network: Network) -> dict[str, Floats]:
    """Named arrays for a safetensors file: `layer0.weight`, `layer0.bias`, ..."""
    out: dict[str, Floats] = {}
    for k, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        out[f"layer{k}.weight"] = np.ascontiguousarray(w, dtype=np.float32)
        out[f"layer{k}.bias"] = np.ascontiguousarray(b, dtype=np.float32)
    return out


def network(arrays: dict[str, Any], counts: tuple[int, ...], decode: str = "mode") -> Network:
    """The network in a file's named arrays; `BundleError` when a layer is missing."""
    depth = len(arrays) // 2
    try:
        weights = tuple(np.ascontiguousarray(arrays[f"layer{k}.weight"], dtype=np.float32) for k in range(depth))
        biases = tuple(np.ascontiguousarray(arrays[f"layer{k}.bias"], dtype=np.float32) for k in range(depth))
    except KeyError as e:
        raise BundleError(
            f"the tensor {e} is missing among {sorted(arrays)}; expected layerN.weight and layerN.bias"
        ) from e
    if depth == 0 or len(arrays) != 2 * depth:
        raise BundleError(f"expected pairs of layerN.weight and layerN.bias, found {sorted(arrays)}")
    return Network(weights, biases, counts, decode)
