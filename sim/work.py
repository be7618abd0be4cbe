"""Units of work of an experiment and who does them.

A unit is a pure function of its key: the plant (by the hash of its text), the scenario's overrides, seed, replicas,
warm-up, end, engine and how often it looks. So it does not matter who computes it, where, how often or in which order:
every executor gives the same numbers, bit for bit.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sim.compile import Compiled
    from sim.plant import OwnRules, Plant

Values = NDArray[np.float64]
Figures = dict[str, Values]
"""Name -> float64[replicas, looks]: `throughput`, `stations.turn.work`, `stocks.finished.on_hand`, ..."""

PINNED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""One thread a worker: the workers are the parallelism."""


class WorkError(RuntimeError):
    """A unit could not be computed; the message names its scenario, what went wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A plant file that travels: where it was, its text, and the SHA-256 of that."""

    path: str
    text: str
    sha256: str
    rules: tuple[str, str] | None = None
    """Rules of the plant's own that may run: (path from the plant file, text); part of the hash."""

    @classmethod
    def of(cls, path: Path, rules: OwnRules | None = None) -> Source:
        """A plant file, with the plant's own rules where they are allowed."""
        data = path.read_bytes()
        file = str(path.resolve())
        if rules is None or not rules.allowed:
            return cls(file, data.decode("utf-8"), hashlib.sha256(data).hexdigest())
        code = rules.file.read_bytes()
        beside = rules.file.relative_to(path.resolve().parent).as_posix()
        both = hashlib.sha256(data + b"\0" + code).hexdigest()
        return cls(file, data.decode("utf-8"), both, (beside, code.decode("utf-8")))

    def is_there(self) -> bool:
        """Does this machine have the same files?"""
        path = Path(self.path)
        files = [path] if self.rules is None else [path, path.parent / self.rules[0]]
        if not all(file.is_file() for file in files):
            return False
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest() == self.sha256

    def plant(self, path: Path, overrides: tuple[tuple[str, str], ...]) -> Plant:
        """The plant of a scenario, read from `path`."""
        from sim.ownrules import allow
        from sim.plantfile import load

        plant = load(path, dict(overrides))
        return plant if self.rules is None else allow(plant)


@dataclass(frozen=True, slots=True)
class Unit:
    """Replicas `first` .. `first + count - 1` of seed `seed` of a scenario, from tick 0 to `until`.

    The figures are of `looks` equal spans of time between `warmup` and `until` (ticks).
    """

    source: Source
    overrides: tuple[tuple[str, str], ...]
    seed: int
    first: int
    count: int
    warmup: int
    until: int
    engine: str = "kernel"
    looks: int = 1

    def key(self) -> list[object]:
        """What the numbers depend on, as JSON can hold it."""
        return [
            self.source.sha256, [list(pair) for pair in self.overrides], self.seed, self.first, self.count,
            self.warmup, self.until, self.engine, self.looks,
        ]  # fmt: skip

    def named(self) -> str:
        return ", ".join(f"{path}={text}" for path, text in self.overrides) or "the plant file as it is"


def compute(unit: Unit) -> Figures:
    """The figures of a unit. Raises `WorkError` when a replica stops with an error."""
    from sim.engine import engine_of
    from sim.kernel import KernelError

    try:
        compiled = compiled_of(unit.source, unit.overrides)
        engine = engine_of(compiled, unit.engine)
        return _simpy(unit, compiled) if engine == "simpy" and compiled.own is None else _rows(unit, compiled)
    except (KernelError, OverflowError) as error:
        raise WorkError(f"scenario {unit.named()}: {error}") from error


@lru_cache(maxsize=16)
def compiled_of(source: Source, overrides: tuple[tuple[str, str], ...]) -> Compiled:
    """The compiled plant of a scenario. Raises `PlantError`, `CompileError`."""
    from sim.compile import compile_plant

    path = Path(source.path)
    if source.is_there():
        return compile_plant(source.plant(path, overrides))
    # on another machine, or the file was edited since: the text that came with the unit is the plant
    with tempfile.TemporaryDirectory(prefix="plantwin-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(source.text.encode("utf-8"))
        if source.rules is not None:
            code = Path(folder) / source.rules[0]
            code.parent.mkdir(parents=True, exist_ok=True)
            code.write_bytes(source.rules[1].encode("utf-8"))
        return compile_plant(source.plant(copy, overrides))


def figures(rows: NDArray[np.int64], compiled: Compiled) -> Figures:
    """Every figure of the rows, each [R], by its full name."""
    from sim import kpi

    found = dict(kpi.kpis(rows, compiled))
    for group, owners in (("stations", kpi.station_kpis(rows, compiled)), ("stocks", kpi.stock_kpis(rows, compiled))):
        for owner, values in owners.items():
            found |= {f"{group}.{owner}.{name}": v for name, v in values.items()}
    return found


def _ends(unit: Unit) -> list[int]:
    """The ticks at which the unit looks, the last one at its end."""
    span = unit.until - unit.warmup
    return [unit.warmup + span * (n + 1) // unit.looks for n in range(unit.looks)]


def _rows(unit: Unit, compiled: Compiled) -> Figures:
    """By the kernel, or by the plant's own rules."""
    from sim.engine import new_rows, run
    from sim.kernel import clear_stats

    rows = new_rows(compiled, unit.seed, unit.count, unit.first)
    if unit.warmup:
        run(rows, compiled, unit.warmup)
        clear_stats(rows, compiled)
    seen = []
    for end in _ends(unit):
        run(rows, compiled, end)
        seen.append(figures(rows, compiled))
        clear_stats(rows, compiled)
    return {name: np.stack([look[name] for look in seen], axis=1) for name in seen[0]}


def _simpy(unit: Unit, compiled: Compiled) -> Figures:
    from sim.kernel import clear_stats
    from sim.reference import Reference

    replicas = []
    for replica in range(unit.first, unit.first + unit.count):
        model = Reference(compiled, unit.seed, replica)
        seen = []
        for end in ([unit.warmup] if unit.warmup else []) + _ends(unit):
            model.run(end)
            row = model.to_row()[None].copy()
            if end != unit.warmup:
                seen.append(figures(row, compiled))
            clear_stats(row, compiled)
            model = Reference.from_row(compiled, row[0])
        replicas.append({name: np.concatenate([look[name] for look in seen]) for name in seen[0]})
    return {name: np.stack([one[name] for one in replicas]) for name in replicas[0]}


class Executor(Protocol):
    """Computes units; the results come in the order of the units."""

    def map(self, units: Iterable[Unit]) -> Iterator[Figures]: ...

    def close(self) -> None: ...


class Serial:
    """One unit after the other, in this process."""

    def map(self, units: Iterable[Unit]) -> Iterator[Figures]:
        return map(compute, units)

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def pinned() -> Iterator[None]:
    """Processes started inside use one thread for BLAS and numba."""
    before = {name: os.environ.get(name) for name in PINNED}
    os.environ |= dict.fromkeys(PINNED, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Processes:
    """A pool of fresh processes on this machine.

    They are started by `spawn`, because numba and BLAS threads do not survive a fork, and find the kernel compiled: the
    first unit's machine code is put into the cache by this process before they start.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
        self._warm = False

    def map(self, units: Iterable[Unit]) -> Iterator[Figures]:
        waiting: list[Future[Figures]] = []
        source = iter(units)
        try:
            while True:
                for unit in islice(source, 2 * self.workers - len(waiting)):
                    waiting.append(self._submit(unit))
                if not waiting:
                    return
                yield waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise WorkError(
                "a worker process ended unexpectedly (most often: out of memory); take fewer '--workers' and give the "
                "same command again: with '--out' it goes on where it stopped"
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def _submit(self, unit: Unit) -> Future[Figures]:
        if not self._warm:
            warm_cache(unit)
            self._warm = True
        with pinned():  # the pool starts its processes as work comes in
            return self._pool.submit(compute, unit)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """In a worker: when the experiment is killed, its pool must not wait for work for ever."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def warm_cache(unit: Unit) -> None:
    """Compile what `unit` needs into the cache on disk: the same work on one replica for a few ticks."""
    from dataclasses import replace

    if unit.engine == "kernel":
        compute(replace(unit, count=1, warmup=0, until=max(1, unit.looks), looks=1))


def executor(name: str, workers: int, address: str | None = None) -> Executor:
    """The executor of that name: `serial`, `processes` or `ray` (extra `[cluster]`)."""
    if name == "serial":
        return Serial()
    if name == "processes":
        return Processes(workers)
    if name == "ray":
        from sim.cluster import Cluster

        return Cluster(address, workers)
    raise WorkError(f"executor: expected serial, processes or ray, found '{name}'; choose one of them")
