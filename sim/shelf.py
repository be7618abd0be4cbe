"""Quantile tables kept between processes: building one takes longer than reading it, and some want scipy.

A table is a function of its distribution and of the code that builds it, so it lies under a name made of the
distribution, in the folder of `sim.cache` (named by all of `sim/*.py`), in one of this numpy, this scipy and this
processor, whose vector instructions may round a sum differently. A file is a SHA-256 and the table; one that does not
match, as after a full disk, is as good as none.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim import cache
from sim.plant import Dist

MOST = 512
"""Tables of a folder (10 MB); what comes later, as from an experiment over many distributions, is built anew."""
_DIGEST = 32

Ints = npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def _folder() -> Path:
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]  # where numpy says what it found

    try:
        scipy = version("scipy")
    except PackageNotFoundError:
        scipy = "none"
    features = sorted(name for name, has in _multiarray_umath.__cpu_features__.items() if has)
    made_by = hashlib.sha256(repr((np.__version__, scipy, os.uname().machine, features)).encode()).hexdigest()
    return cache.folder() / f"tables-{made_by[:16]}"


def _path(dist: Dist) -> Path:
    exact = " ".join([dist.kind, *(float(value).hex() for value in dist.args)])
    return _folder() / hashlib.sha256(exact.encode()).hexdigest()[:32]


def get(dist: Dist, length: int) -> Ints | None:
    """The kept table int64[length] of a distribution, or None."""
    try:
        content = _path(dist).read_bytes()
    except OSError:
        return None
    if len(content) != _DIGEST + 8 * length or hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    return np.frombuffer(content, dtype="<i8", offset=_DIGEST).astype(np.int64)


def put(dist: Dist, table: Ints) -> None:
    """Keep a table, complete or not at all."""
    path, content = _path(dist), table.astype("<i8").tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if sum(1 for _ in os.scandir(path.parent)) >= MOST:
            return
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        Path(temporary).replace(path)
    except OSError:
        return
