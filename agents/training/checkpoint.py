"""The file of a training that may go on later: named arrays and JSON facts in one safetensors file.

Nothing in it can run: no pickle, no name that is looked up. It is written beside its final place and then renamed, so
that a training that is killed while it writes leaves the checkpoint before.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import TrainingError

FORMAT = 1
KEY = "plantwin.training"
MOST_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class Saved:
    """Arrays by name, and facts that are JSON (floats come back exactly, integers of any length too)."""

    path: Path
    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]

    def array(self, name: str, like: NDArray[Any]) -> NDArray[Any]:
        """The array of this name; `TrainingError` unless it has the shape and the type of `like`."""
        found = self.arrays.get(name)
        if found is None:
            raise TrainingError(f"{self.path}: expected an array {name!r}, found none; begin the training anew")
        if found.shape != like.shape or found.dtype != like.dtype:
            raise TrainingError(
                f"{self.path}, {name}: expected {like.dtype} of shape {list(like.shape)}, found {found.dtype} of shape "
                f"{list(found.shape)}; it belongs to another training"
            )
        return found

    def fact(self, name: str) -> Any:
        """The fact of this name; `TrainingError` where there is none."""
        if name not in self.facts:
            raise TrainingError(f"{self.path}: expected a fact {name!r}, found none; begin the training anew")
        return self.facts[name]


def write(path: Path, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    """Write a checkpoint; after it returns, it or the one before is there, whatever happens to the machine."""
    from safetensors.numpy import save

    text = json.dumps({"format": FORMAT, **facts}, allow_nan=False)
    content = save({name: np.asarray(a, order="C") for name, a in arrays.items()}, {KEY: text})
    replace(path, content)


def replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> Saved:
    """Read a checkpoint back; `TrainingError` says what is wrong with the file."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MOST_BYTES:
            raise TrainingError(f"{path}: larger than {MOST_BYTES >> 30} GiB; this is no checkpoint of ours")
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise TrainingError(f"{path}: a safetensors file, but not a checkpoint of `plantwin train`")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        facts = json.loads(text)
        known = facts["format"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as e:
        raise TrainingError(f"{path}: no checkpoint can be read ({e}); begin the training anew") from e
    if known != FORMAT:
        raise TrainingError(f"{path}: a checkpoint of format {known!r}, expected {FORMAT}; begin the training anew")
    return Saved(path, arrays, facts)
