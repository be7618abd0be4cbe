"""A safetensors file of a policy, read with suspicion: every claim of its header is checked before memory is taken.

The library checks that a file hangs together; what a policy may hold (float32, few tensors, at most two dimensions)
is checked here, with the name of the tensor.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import BundleError

MOST_TENSORS = 64
MOST_HEADER = 64 * 1024


def unpack(path: Path, content: bytes) -> dict[str, NDArray[np.float32]]:
    """The arrays in a file's content by name; `BundleError` names the tensor, what was expected and what was found."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    _check(path, content)
    try:
        arrays: dict[str, NDArray[np.float32]] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise BundleError(f"{path}: not a safetensors file ({e}); take the bundle afresh") from e
    for name, array in arrays.items():
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            raise BundleError(f"{path}, tensor {name}: expected finite numbers, found {bad} that are not; train again")
    return arrays


def _check(path: Path, content: bytes) -> None:
    header, size = _header(path, content)
    if not 0 < len(header) <= MOST_TENSORS:
        raise BundleError(f"{path}: expected 1 to {MOST_TENSORS} tensors, found {len(header)}; train again")
    spans = sorted((_span(f"{path}, tensor {name!r:.80}", about), name) for name, about in header.items())
    ends = [0, *(end for (_, end), _ in spans)]
    for ((begin, _), name), end in zip(spans, ends[:-1], strict=True):
        if begin != end:
            raise BundleError(
                f"{path}, tensor {name!r:.80}: expected its numbers at byte {end}, after those of the tensor before, "
                f"found {begin}; the header is false, take the bundle afresh"
            )
    if ends[-1] != size:
        raise BundleError(
            f"{path}: expected {ends[-1]} bytes of numbers as the header says, found {size}; take the bundle afresh"
        )


def _header(path: Path, content: bytes) -> tuple[dict[str, Any], int]:
    """(tensor -> its entry, bytes of numbers after the header)."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, MOST_HEADER):
        raise BundleError(
            f"{path}: not a safetensors file (expected a header of at most {min(max(len(content) - 8, 0), MOST_HEADER)}"
            f" bytes, found one of {length}); take the bundle afresh"
        )
    try:
        header = json.loads(content[8 : 8 + length], object_pairs_hook=_once)
    except (ValueError, RecursionError) as e:
        raise BundleError(f"{path}: not a safetensors file (its header: {e}); take the bundle afresh") from e
    if not isinstance(header, dict):
        raise BundleError(f"{path}: not a safetensors file (its header is {type(header).__name__})")
    header.pop("__metadata__", None)
    return header, len(content) - 8 - length


def _span(where: str, about: Any) -> tuple[int, int]:
    """(first byte, byte after the last) of a tensor whose entry is consistent."""
    if not isinstance(about, dict) or set(about) != {"dtype", "shape", "data_offsets"}:
        raise BundleError(f"{where}: expected dtype, shape and data_offsets, found {about!r:.120}")
    if about["dtype"] != "F32":
        raise BundleError(f"{where}: expected dtype F32, found {about['dtype']!r:.40}; save the weights as float32")
    shape, offsets = about["shape"], about["data_offsets"]
    if not _whole(shape) or not 1 <= len(shape) <= 2 or 0 in shape:
        raise BundleError(f"{where}: expected a shape of one or two lengths, found {shape!r:.80}")
    if not _whole(offsets) or len(offsets) != 2:
        raise BundleError(f"{where}: expected two offsets, found {offsets!r:.80}")
    needed = 4 * math.prod(shape)
    if offsets[1] - offsets[0] != needed:
        raise BundleError(
            f"{where}: expected {needed} bytes for shape {shape}, found {offsets[1] - offsets[0]}; the header is "
            f"false, take the bundle afresh"
        )
    return offsets[0], offsets[1]


def _whole(value: Any) -> bool:
    return isinstance(value, list) and all(type(x) is int and 0 <= x < 1 << 40 for x in value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = [a for a, b in pairwise(sorted(names)) if a == b]
    if twice:
        raise ValueError(f"{twice[0]!r:.80} occurs twice")
    return dict(pairs)
