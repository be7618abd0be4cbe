"""One place that advances rows: by the compiled kernel, or by the SimPy model where a plant has rules of its own.

Same functions and meanings as in `sim.kernel`; whoever starts, runs or steers rows calls these. A row of a plant with
own rules goes through the model one by one (from_row, run, to_row): slower, same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from sim import batch, kernel
from sim import state as st
from sim.compile import Compiled
from sim.kernel import KernelError
from sim.ownrules import Loaded
from sim.state import Array


class OwnRulesFault(KernelError):  # noqa: N818 - OwnRulesError is taken: a file that cannot be used
    """A replica stopped in the plant's own rules: says the replica, the tick, file, class and line."""


def engine_of(compiled: Compiled, asked: str | None) -> str:
    """The engine to use: the one asked for, else the plant's. Raises ValueError for one that cannot run the plant."""
    if compiled.own is None:
        return asked or "kernel"
    if asked not in (None, "", "simpy"):
        raise ValueError(
            f"engine {asked}: expected simpy, because plant {compiled.plant.id} has rules of its own "
            f"({compiled.own.file.name}) that only the SimPy model knows; leave '--engine' out"
        )
    return "simpy"


def new_rows(
    compiled: Compiled, seed: int, replicas: int, first: int = 0, scales: dict[str, Array] | None = None
) -> Array:
    """Rows [replicas, W] of the empty plant at tick 0, ready to run; `scales` as in `sim.kernel.new_rows` (with rules
    of the plant's own they hold from the second draw of each stream on: the model draws the first when it is made).
    """
    own = compiled.own
    if own is None:
        return kernel.new_rows(compiled, seed, replicas, first, scales)
    rows = np.zeros((replicas, compiled.layout.width), dtype=np.int64)
    for i in range(replicas):
        with _replica(own, compiled, first + i, seed, 0):
            rows[i] = own.model(compiled, seed, first + i).to_row()
    for name, values in (scales or {}).items():
        compiled.layout.view(rows, name)[...] = values
    return rows


def run(rows: Array, compiled: Compiled, until: int | Array, threads: int = 1) -> None:
    """Advance all replicas in place to tick `until` (events with t < until), or each to its own tick `until` [R].

    Raises `KernelError` when a replica stops, `ValueError` when one is past `until` already. `threads` of the kernel.
    """
    own = compiled.own
    if own is None:
        kernel.run(rows, compiled, until, threads)
        return
    ends = np.broadcast_to(np.asarray(until, dtype=np.int64), len(rows))
    kernel.forward(rows, np.atleast_1d(ends))
    for row, end in zip(rows, ends.tolist(), strict=True):
        with _row(own, compiled, row):
            model = own.model.from_row(compiled, row)
            model.run(end)
            row[:] = model.to_row()


def play(rows: Array, compiled: Compiled, turn: batch.Turn) -> None:
    """One turn of all replicas in place (see `sim.batch.play`): steer, run to a tick or to the next decision, look."""
    own = compiled.own
    if own is None:
        batch.play(rows, compiled, turn)
        return
    if turn.values is not None:
        wanted = np.broadcast_to(np.asarray(turn.values, dtype=np.int64), (len(rows), len(compiled.controls)))
        moved = np.flatnonzero((wanted != rows[:, compiled.controls]).any(axis=1))
        steered = rows[moved]
        set_controls(steered, compiled, wanted[moved])
        rows[moved] = steered
    ends = np.broadcast_to(np.asarray(turn.until, dtype=np.int64), len(rows))
    kernel.forward(rows, np.atleast_1d(ends))
    for row, end in zip(rows, ends.tolist(), strict=True):
        with _row(own, compiled, row):
            model = own.model.from_row(compiled, row)
            if turn.kinds:
                model.step(end, turn.kinds)
            else:
                model.run(end)
            row[:] = model.to_row()
    batch.look(rows, turn)


def set_controls(rows: Array, compiled: Compiled, values: Array) -> None:
    """Set all controls, values [R, C] or [C] in the order of the plant file; the plant reacts at its present tick."""
    own = compiled.own
    if own is None:
        kernel.set_controls(rows, compiled, values)
        return
    wanted = np.broadcast_to(np.asarray(values, dtype=np.int64), (len(rows), len(compiled.controls)))
    for row, chosen in zip(rows, wanted.tolist(), strict=True):
        with _row(own, compiled, row):
            model = own.model.from_row(compiled, row)
            model.set_controls(chosen)
            row[:] = model.to_row()


def react(rows: Array, compiled: Compiled) -> None:
    """Wake everything in rows [R, W] that were written from outside, and let it act at its present tick."""
    own = compiled.own
    if own is None:
        kernel.react(rows, compiled)
        return
    for row in rows:
        with _row(own, compiled, row):
            model = own.model.from_row(compiled, row)
            model.react()
            row[:] = model.to_row()


def simpy_trace(compiled: Compiled, seed: int, until: int) -> list[tuple[int, int, int]]:
    """(tick, slot, kind) of the events of replica 0 in the SimPy model, with the plant's own rules if it has any."""
    from sim.reference import Reference

    own = compiled.own
    with nullcontext() if own is None else _replica(own, compiled, 0, seed, 0):
        model = (Reference if own is None else own.model)(compiled, seed, 0)
        model.run(until)
    return model.trace


def _row(own: Loaded, compiled: Compiled, row: Array) -> AbstractContextManager[None]:
    return _replica(own, compiled, int(row[st.REPLICA]), int(row[st.SEED]), int(row[st.NOW]))


@contextmanager
def _replica(own: Loaded, compiled: Compiled, replica: int, seed: int, tick: int) -> Iterator[None]:
    """Errors of the model name the replica, where it started from, and the rules."""
    try:
        yield
    except Exception as error:
        where = f"plant {compiled.plant.id}: replica {replica} of seed {seed}, running from tick {tick}, stopped"
        if isinstance(error, OverflowError):
            raise KernelError(f"{where}: {error}") from error
        raise OwnRulesFault(f"{where}: {own.blame(error)}") from error
