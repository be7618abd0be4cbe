"""The compiled event kernel: run, trace, steer and copy many replicas of a plant.

A replica is one row of int64 (`sim.state`), so `rows.copy()` is a snapshot or a fork, and comparing
rows compares plants. `rows` is always int64[R, W], contiguous, changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, starmap

import numpy as np
from numpy.typing import NDArray

from sim import state as st
from sim.compile import Compiled
from sim.draws import ONE
from sim.jit import JIT, entry, leaf, prefetch, rare, rule
from sim.rules_base import (
    change_wip,
    count_demand,
    count_queue,
    count_stock,
    of_unit,
    set_state,
    station_at,
    stock_at,
    unit_at,
)
from sim.rules_begin import begin_clocks, begin_streams, wake_everything
from sim.rules_clock import count_planned_down
from sim.rules_event import fire, settle
from sim.state import ACCUMULATED, ERROR, ERRORS, INFINITY, NOBODY, NOW, SINCE, Array
from sim.stuck import explain


class KernelError(RuntimeError):
    """A replica stopped: it names the replica, the tick and what overflowed."""


# --- compiled ----------------------------------------------------------------------------------------------------


SPAN = 4 * st.SLOT_BLOCK_SIZE
_KEY_BITS = 5
assert 1 << _KEY_BITS == st.SLOT_BLOCK_SIZE
_LOWEST = 1 << 62

if JIT:

    @leaf
    def slot_key(time: int, place: int) -> int:
        """Orders slots of a block by (time, place): below 2^63, as times are at most 2^58, in sums that wrap."""
        return (time << _KEY_BITS) + (place - _LOWEST)

else:

    def slot_key(time: int, place: int) -> int:
        """The same on Python's integers: numpy's would warn of the wrap."""
        return (int(time) << _KEY_BITS) + (place - _LOWEST)


@leaf
def next_slot(row: Array, p: Array) -> int:
    """The slot that fires next; ties go to the lowest.

    Written for vector instructions, without a branch that depends on the times (one that does is mispredicted at
    every event). One block of timers: the least (time, place) in one number. More: the least time of each span, then
    the place of the least in the span that has it. Blocks are whole: the row is padded with INFINITY.
    """
    at = p[st.AT_SLOTS]
    block = p[st.SLOT_BLOCK]  # a constant would be unrolled, not made into vectors
    end = at + p[st.N_TIMERS]
    if p[st.N_TIMERS] == st.SLOT_BLOCK_SIZE:
        found = slot_key(row[at], 0)
        for i in range(block):
            key = slot_key(row[at + i], i)
            found = key if key < found else found  # noqa: FURB136
        slot = found & (st.SLOT_BLOCK_SIZE - 1)
    else:
        first = at
        time = row[at]
        b = at
        while b < end:
            least = row[b]
            for i in range(b, b + SPAN if b + SPAN < end else end):  # noqa: FURB136
                least = row[i] if row[i] < least else least  # noqa: FURB136
            if least < time:
                time = least
                first = b
            b += SPAN
        width = SPAN if first + SPAN < end else end - first
        place = width
        for i in range(width):
            here = i if row[first + i] == time else width
            place = here if here < place else place  # noqa: FURB136
        slot = first + place - at
    return slot


@rare
def flush(row: Array, p: Array) -> None:
    """Bring every accumulated unit-tick up to now."""
    for u in range(p[st.N_UNITS]):
        s = p[of_unit(p, u) + st.STATION]
        if row[unit_at(p, u) + st.UNIT_MODE] >= 0:
            count_planned_down(row, p, u, s)
        set_state(row, p, u, s, row[unit_at(p, u) + st.UNIT_STATE])
    for s in range(p[st.N_STATIONS]):
        count_queue(row, station_at(p, s))
    for i in range(p[st.N_PRODUCTS]):
        change_wip(row, p, i, 0)
    for k in range(p[st.N_STOCKS]):
        count_stock(row, p, k)
        row[stock_at(p, k) + st.STOCK_LAST] = row[NOW]
    for d in range(p[st.N_DEMANDS]):
        count_demand(row, p, d)
    row[p[st.AT_BANDS] + row[st.BAND]] += row[st.POWER] * (row[NOW] - row[st.ENERGY_LAST])
    row[st.ENERGY_LAST] = row[NOW]


@rule
def steer_row(row: Array, p: Array, positions: Array, values: Array) -> None:
    """Write control values [C] at the first C `positions` of the row; everybody shall look."""
    for c in range(values.shape[0]):
        row[positions[c]] = values[c]
    wake_everything(row, p)


@rare
def move_controls(row: Array, p: Array, positions: Array, values: Array) -> None:
    """As `steer_row`, with all that follows at once; where no control moves nobody looks."""
    moved = False
    for c in range(values.shape[0]):
        moved = moved or row[positions[c]] != values[c]
    if moved:
        steer_row(row, p, positions, values)
        settle(row, p)


RUN, STEP, TRACE, BEGIN, STEER, SETTLE = range(6)
"""What `drive` does with a row: run it to its tick; run it to its next decision; run it, noting events; begin it; set
controls; let it react."""
_NO_CONTROLS = np.zeros(0, dtype=np.int64)
_NO_VALUES = np.zeros((1, 0), dtype=np.int64)
_NO_EVENTS = np.zeros((0, 3), dtype=np.int64)
NOT_SEEN = (
    np.zeros(0, dtype=np.float64), np.zeros((0, 0), dtype=np.float32), _NO_CONTROLS, np.zeros((0, 0)), 0
)  # fmt: skip
"""The last arguments of `drive` where nothing is observed, nothing priced and no event asks for a decision."""
LINE = 8
"""Numbers in a cache line."""
AHEAD = 8
"""Lines of the next row that are asked for at every event of this one."""
FIRST = 32
"""Lines of it asked for at once where a row may have but one event."""


@entry
def drive(
    rows: Array, p: Array, task: int, until: Array, positions: Array, values: Array, out: Array,
    scales: NDArray[np.float64], seen: NDArray[np.float32], ends: Array, money: NDArray[np.float64], kinds: int,
) -> int:  # fmt: skip
    """The one compiled entry to the rules, so that they are compiled once.

    rows [R, W]; until [R] or [1] for all; out [N, 3] for the events of one row (`TRACE`). Positions: of C controls,
    set to values [R, C] (`STEER`; before a `RUN` or `STEP`, in the rows where one of them differs); then of J numbers
    written, times scales[:J], to seen [R, J] or [0, 0] (`RUN`, `STEP`); then of what is priced by scales[J:], list k
    of it up to ends[k] (counted from J), into money [R, K] or [0, 0]. kinds: a bit for each kind of event after which
    a decision is due (`STEP`); `until` is then the last tick whose events may happen, and a row stands at the tick
    of such an event, or at `until`, with all events of that tick behind it. Returns the number of events noted.

    A batch does not fit into the caches, so the next row is fetched while one row runs, and a row is steered and looked
    at while it is there.
    """
    noted = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        ahead = 0
        last = p[st.AT_PARTS] + st.PART_W * row[st.PART_USED] if i + 1 < rows.shape[0] else 0  # the next is alike
        if task <= TRACE:
            if values.shape[1] > 0:
                move_controls(row, p, positions, values[i])
            end = until[i] if until.shape[0] > 1 else until[0]
            began = INFINITY  # an event after which a decision is due comes later than this
            if task == STEP:
                end += 1
                began = row[NOW]
                while ahead < last and ahead < LINE * FIRST:
                    prefetch(rows, i + 1, ahead)
                    ahead += LINE
            while row[ERROR] == 0:
                slot = next_slot(row, p)
                if row[p[st.AT_SLOTS] + slot] >= end or (task == TRACE and noted == out.shape[0]):
                    break
                fire(row, p, slot)
                if row[NOW] > began and asks(p, slot, kinds):
                    end = row[NOW] + 1
                if ahead < last:
                    for k in range(AHEAD):
                        prefetch(rows, i + 1, ahead + LINE * k)
                    ahead += LINE * AHEAD
                if task == TRACE:
                    note(row, p, slot, out, noted)
                    noted += 1
            if row[ERROR] == 0 and (task != TRACE or noted < out.shape[0]):
                row[NOW] = end - 1 if task == STEP else end
            flush(row, p)
            if seen.shape[0] > 0:
                gather_row(row, positions, values.shape[1], scales, seen[i])
            if money.shape[0] > 0:
                price_row(row, positions, values.shape[1], seen.shape[1], scales, ends, money[i])
        else:
            prompt_row(row, p, task, positions, values[i if task == STEER else 0])
    return noted


@rule
def prompt_row(row: Array, p: Array, task: int, positions: Array, values: Array) -> None:
    """Begin the row, set its controls or only let everybody look, with all that follows at once."""
    if task == STEER:
        steer_row(row, p, positions, values)
    else:
        if task == BEGIN:
            begin_clocks(row, p)
            begin_streams(row, p)
        wake_everything(row, p)
    settle(row, p)
    flush(row, p)


@rule
def asks(p: Array, slot: int, kinds: int) -> bool:
    """Is a decision due after the event of this slot? `kinds` has a bit for each kind after which one is."""
    return (kinds >> p[p[st.TO_SLOTS] + st.SLOT_PW * slot + st.SLOT_KIND]) & 1 == 1


@rule
def gather_row(row: Array, positions: Array, first: int, scales: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """out[j] = row[positions[first + j]] * scales[j]."""
    for j in range(out.shape[0]):
        out[j] = row[positions[first + j]] * scales[j]


@rule
def price_row(
    row: Array, positions: Array, first: int, skipped: int, scales: NDArray[np.float64], ends: Array,
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    """out[k] = sum over the j of list k of row[positions[first + j]] * scales[j]; the lists begin at j = `skipped`."""
    j = skipped
    for k in range(ends.shape[0]):
        total = 0.0
        while j < skipped + ends[k]:
            total += row[positions[first + j]] * scales[j]
            j += 1
        out[k] = total


@rule
def note(row: Array, p: Array, slot: int, out: Array, n: int) -> None:
    """Write the event just executed as (tick, slot, kind) into out[n]."""
    out[n, 0] = row[NOW]
    out[n, 1] = slot
    out[n, 2] = p[p[st.TO_SLOTS] + st.SLOT_PW * slot + st.SLOT_KIND]


def react(rows: Array, compiled: Compiled) -> None:
    """Wake everything in rows [R, W] that were written from outside, and let it act at its present tick."""
    only_known_rules(compiled)
    drive(rows, compiled.params, SETTLE, _NO_CONTROLS, _NO_CONTROLS, _NO_VALUES, _NO_EVENTS, *NOT_SEEN)


@entry
def gather_rows(rows: Array, positions: Array, scales: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """out[i, j] = rows[i, positions[j]] * scales[j]: observations."""
    for i in range(rows.shape[0]):
        gather_row(rows[i], positions, 0, scales, out[i])


@entry
def linear_rows(rows: Array, positions: Array, weights: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """out[i] = sum over j of rows[i, positions[j]] * weights[j]: money."""
    for i in range(rows.shape[0]):
        total = 0.0
        for j in range(positions.shape[0]):
            total += rows[i, positions[j]] * weights[j]
        out[i] = total


# --- for everyone ------------------------------------------------------------------------------------------------


def blank_rows(compiled: Compiled, seed: int, replicas: int, first: int = 0) -> Array:
    """Rows [replicas, W] of the empty plant at tick 0, before its first draw; replica r has the address (seed, first
    + r).
    """
    layout = compiled.layout
    rows = np.zeros((replicas, layout.width), dtype=np.int64)

    def put(name: str, value: object) -> None:
        given = np.asarray(value, dtype=np.int64)
        layout.view(rows, name)[...] = given.reshape(layout.shape[name]) if given.ndim else given

    rows[:, st.SEED] = seed
    rows[:, st.REPLICA] = np.arange(first, first + replicas)
    rows[:, st.PART_FREE] = NOBODY
    for name in (
        "unit_part", "unit_link", "unit_mode", "unit_family", "q_head", "q_tail", "st_asked", "blocked_head",
        "crew_head",
        "arrival_left", "demand_left",
    ):  # fmt: skip
        put(name, NOBODY)
    rows[:, layout.start["slots"] : layout.start["slots"] + layout.timers] = INFINITY
    put("transit_due", INFINITY)
    for name in ("work_scale", "fail_scale", "repair_scale", "arrival_scale", "demand_scale", "lead_scale"):
        put(name, ONE)
    for name, values in compiled.initial.items():
        put(name, values)
    return rows


def new_rows(
    compiled: Compiled, seed: int, replicas: int, first: int = 0, scales: dict[str, Array] | None = None
) -> Array:
    """Rows [replicas, W] of the empty plant at tick 0, ready to run.

    `scales`: parameter factors by field (`work_scale` [R, stations] and so on; 65,536 is one), in force from the first
    draw on.
    """
    only_known_rules(compiled)
    rows = blank_rows(compiled, seed, replicas, first)
    for name, values in (scales or {}).items():
        compiled.layout.view(rows, name)[...] = values
    begin(rows, compiled)
    return rows


def begin(rows: Array, compiled: Compiled) -> None:
    """Make blank rows [R, W] ready to run: their first draws, and all that follows at once."""
    drive(rows, compiled.params, BEGIN, _NO_CONTROLS, _NO_CONTROLS, _NO_VALUES, _NO_EVENTS, *NOT_SEEN)
    check(rows, compiled)


def only_known_rules(compiled: Compiled) -> None:
    """Raise ValueError for a plant with rules of its own: the kernel would quietly run it without them."""
    if compiled.own is not None:
        raise ValueError(
            f"plant {compiled.plant.id}: expected no rules of its own, found {compiled.own.file.name}, which "
            "the compiled kernel and what is built on it do not know; use the engine simpy (sim.engine in Python)"
        )


def check(rows: Array, compiled: Compiled) -> None:
    """Raise `KernelError` if a replica stopped with an error."""
    bad = np.flatnonzero(rows[:, ERROR])
    if bad.size:
        row = rows[bad[0]]
        now = compiled.start_ms + int(row[NOW]) * compiled.tick_ms
        waits = explain(row, compiled) if row.size == compiled.layout.width else ""  # a device sends its scalars only
        raise KernelError(
            f"plant {compiled.plant.id}: replica {int(row[st.REPLICA])} of seed {int(row[st.SEED])} stopped at tick "
            f"{int(row[NOW])} (plant time {now:.0f} ms): {ERRORS[int(row[ERROR])]}"
            f" ({bad.size} of {len(rows)} replicas)"
            + (f"; these parts can never move again:\n{waits}" if waits else "")
        )


@dataclass(frozen=True)
class Observation:
    """What `run` looks at in every row when it has arrived: out[i, j] = rows[i, positions[j]] * scales[j].

    positions int64[J], scales float64[J], out float32[R, J].
    """

    positions: Array
    scales: NDArray[np.float64]
    out: NDArray[np.float32]


def run(
    rows: Array, compiled: Compiled, until: int | Array, threads: int = 1, observe: Observation | None = None
) -> None:
    """Advance all replicas in place to tick `until` (events with t < until), or each to its own tick `until` [R].

    `observe` is as `gather_rows` afterwards, but cheaper: a row is looked at while it is still in the cache.
    Raises `KernelError` on overflow, `ValueError` when a replica is past `until` already.
    """
    only_known_rules(compiled)
    ends = np.require(np.atleast_1d(until), np.int64, ["C", "W"])
    forward(rows, ends)
    positions, scales, out = _NO_CONTROLS, *NOT_SEEN[:2]
    if observe is not None:
        positions, scales, out = observe.positions, observe.scales, observe.out
        if out.shape != (len(rows), len(positions)):
            raise ValueError(f"observations: expected shape {(len(rows), len(positions))}, found {out.shape}")

    def advance(part: slice) -> None:
        own = ends[part] if len(ends) > 1 else ends
        drive(
            rows[part], compiled.params, RUN, own, positions, _NO_VALUES, _NO_EVENTS, scales, out[part], *NOT_SEEN[2:]
        )

    in_parts(advance, len(rows), threads)
    check(rows, compiled)


def in_parts(advance: Callable[[slice], None], replicas: int, threads: int) -> None:
    """`advance` all replicas in as many threads, each its part of them."""
    if threads <= 1 or replicas < 2 * threads:
        advance(slice(None))
        return
    edges = np.linspace(0, replicas, threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(advance, starmap(slice, pairwise(edges))))


def forward(rows: Array, until: Array) -> None:
    """Time never runs backwards: raise ValueError for a row beyond its `until` ([1] or [R])."""
    if len(rows) and bool(np.any(rows[:, NOW] > until)):
        late = int(np.argmax(rows[:, NOW] > until))
        raise ValueError(
            f"run until tick {int(until[min(late, len(until) - 1)])}: "
            f"a replica stands at tick {int(rows[late, NOW])} already"
        )


def trace(row: Array, compiled: Compiled, until: int, block: int = 65536) -> Array:
    """Advance one row [W] in place to `until`; the events as int64[n, 3] of tick, slot, kind."""
    only_known_rules(compiled)
    end = np.array([until], dtype=np.int64)
    forward(row[None], end)
    parts: list[Array] = []
    while True:
        out = np.empty((block, 3), dtype=np.int64)
        n = drive(row[None], compiled.params, TRACE, end, _NO_CONTROLS, _NO_VALUES, out, *NOT_SEEN)
        parts.append(out[:n])
        if n < block:
            break
    check(row[None], compiled)
    return np.concatenate(parts)


def set_controls(rows: Array, compiled: Compiled, values: Array) -> None:
    """Set all controls, values [R, C] or [C] in the order of the plant file; the plant reacts at its present tick."""
    only_known_rules(compiled)
    # writable: numba would compile the kernel once more for a read-only array, which is another type to it
    shape = (len(rows), len(compiled.controls))
    wanted = np.require(np.broadcast_to(np.asarray(values, dtype=np.int64), shape), requirements=["C", "W"])
    drive(rows, compiled.params, STEER, _NO_CONTROLS, compiled.controls, wanted, _NO_EVENTS, *NOT_SEEN)
    check(rows, compiled)


def get_controls(rows: Array, compiled: Compiled) -> Array:
    """Present control values [R, C]."""
    return rows[:, compiled.controls]


def clear_stats(rows: Array, compiled: Compiled) -> None:
    """Forget what was accumulated (end of warm-up); the plant itself is not touched."""
    layout = compiled.layout
    layout.view(rows, "seen")[...] -= layout.view(rows, "demanded")
    for name in ACCUMULATED:
        layout.view(rows, name)[...] = 0
    for name in SINCE:
        view = layout.view(rows, name)
        view[...] = rows[:, NOW].reshape((-1,) + (1,) * (view.ndim - 1))
