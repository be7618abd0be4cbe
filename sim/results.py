"""The result file of an experiment: one line a unit of work, so that an interrupted experiment goes on.

The first line says which code made it; each further line holds a unit's key, its figures and a check sum. Units are
written in their order, whoever computes them, so a resumed file equals an uninterrupted one byte for byte. A line that
a kill tore is cut off; the units after it are computed again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from sim.cache import fingerprint
from sim.work import Executor, Figures, Unit

FORMAT = "plantwin experiment 1"


class ResultError(ValueError):
    """A result file that cannot be gone on with; the message says why and what to do."""


def _line(body: object) -> str:
    text = json.dumps(body, allow_nan=True, separators=(",", ":"))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n"


def _body(line: bytes) -> object:
    """What a line holds; None when it is torn or damaged."""
    check, _, text = line.partition(b" ")
    if not line.endswith(b"\n") or hashlib.sha256(text[:-1]).hexdigest()[:16].encode() != check:
        return None
    return json.loads(text)


class Store:
    """Units that are done, in memory and (with a `path`) on disk.

    Raises `ResultError` when the file at `path` is none of ours or was made by other code.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._done: dict[str, Figures] = {}
        self._file: IO[bytes] | None = None
        self.resumed = 0
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
            try:
                _claim(file, path)
                end = self._read(path)
                file.truncate(end)
            except BaseException:
                file.close()
                raise
            self._file = file
            if end == 0:
                self._append([FORMAT, fingerprint()])
        self.resumed = len(self._done)

    def _read(self, path: Path) -> int:
        """Take in the whole lines; where the first torn one begins."""
        end = 0
        with path.open("rb") as file:
            for line in file:
                body = _body(line)
                if end == 0 and line.endswith(b"\n"):
                    _check_head(body, path)
                if body is None:
                    break
                if end and isinstance(body, list):
                    key, found = body
                    self._done[json.dumps(key)] = {k: np.array(v, dtype=np.float64) for k, v in found.items()}
                end += len(line)
        return end

    def _append(self, body: object) -> None:
        if self._file is not None:
            self._file.write(_line(body).encode())
            self._file.flush()

    def done(self, unit: Unit) -> bool:
        return json.dumps(unit.key()) in self._done

    def get(self, unit: Unit) -> Figures:
        return self._done[json.dumps(unit.key())]

    def put(self, unit: Unit, found: Figures) -> None:
        self._append([unit.key(), {name: values.tolist() for name, values in found.items()}])
        self._done[json.dumps(unit.key())] = found

    def fill(self, units: list[Unit], workers: Executor) -> Iterator[Unit]:
        """Compute what is not done yet and store it; gives each unit as it is there."""
        missing = [unit for unit in units if not self.done(unit)]
        yield from (unit for unit in units if self.done(unit))
        for unit, found in zip(missing, workers.map(missing), strict=True):
            self.put(unit, found)
            yield unit

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _claim(file: IO[bytes], path: Path) -> None:
    """One writer a file, until it is closed or its process ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ResultError(f"{path}: another experiment writes this file now; wait, or give another '--out'") from error


def _check_head(body: object, path: Path) -> None:
    if not (isinstance(body, list) and body[:1] == [FORMAT]):
        raise ResultError(f"{path}: expected results of an experiment, found something else; give another '--out'")
    if body[1:] != [fingerprint()]:
        raise ResultError(
            f"{path}: expected results of this version of plantwin, numba and Python, found those of another; give "
            "'--fresh' to begin anew or another '--out'"
        )


def write_parquet(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write columns of equal length as a Parquet file (zstd), the same bytes for the same columns."""
    import duckdb

    scratch = path.with_suffix(".partial")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("columns_given", columns)
        connection.table("columns_given").write_parquet(str(scratch), compression="zstd")
    scratch.replace(path)
