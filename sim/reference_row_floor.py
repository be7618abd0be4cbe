"""The floor of the SimPy reference model as fields of a kernel row, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.reference_clock import Countdown, known
from sim.state import FREE, HOLDS, INFINITY, NOBODY, Array, State

if TYPE_CHECKING:
    from sim.reference import Reference
    from sim.reference_floor import WorkCenter
    from sim.reference_repair import ModeClock
    from sim.reference_unit import WorkUnit

_CENTER = (
    "started", "ended", "failures", "maintained", "set_ups", "planned_work", "spoilt", "work_scale",
    "fail_scale", "repair_scale", "kanban", "at_level",
)  # fmt: skip
"""Fields of the row that are attributes of a station."""


def clocks_of(model: Reference) -> list[ModeClock]:
    """All clocks, in the order of the row."""
    return [clock for unit in model.units for clock in unit.upkeep.clocks]


def start_slot(model: Reference, state: State, countdown: Countdown, left: int = 0) -> None:
    """Let a countdown run to the tick of its slot, or stand still with `left` where the slot does not run."""
    tick = int(state.next_time[countdown.slot])
    if tick == INFINITY:
        countdown.reset(left)
    else:
        countdown.start(tick - model.now)


def chain(links: Array, members: list[int]) -> int:
    """Link the members of a list in order; return its head."""
    following = NOBODY
    for member in reversed(members):
        links[member] = following
        following = member
    return following


def members(links: Array, head: int) -> list[int]:
    """The members of a linked list in order."""
    found = []
    while head != NOBODY:
        found.append(int(head))
        head = links[head]
    return found


def write_floor(model: Reference, state: State) -> None:
    """Write all fields of units, clocks, stations, doors, crews and pools."""
    state.unit_link = np.full(len(model.units), NOBODY)
    for u, unit in enumerate(model.units):
        _write_unit(model, state, u, unit)
    for c, clock in enumerate(clocks_of(model)):
        state.clock_left[c], state.begun[c] = clock.left, clock.begun
    for s, center in enumerate(model.centers):
        _write_center(model, state, s, center)
    for d, door in enumerate(model.doors):
        state.blocked_head[d] = chain(state.unit_link, [unit.rank for unit in door.waiting])
    for c, crew in enumerate(model.crews):
        state.crew_free[c] = crew.free
        state.crew_head[c] = chain(state.unit_link, [upkeep.unit.rank for upkeep in crew.waiting])
    for p, pool in enumerate(model.pools):
        state.pool_free[p] = pool.free


def _write_unit(model: Reference, state: State, u: int, unit: WorkUnit) -> None:
    upkeep = unit.upkeep
    state.unit_state[u], state.unit_phase[u] = unit.state, unit.phase
    state.unit_part[u] = chain(state.part_next, [part.record for part in unit.parts])
    state.unit_count[u] = len(unit.parts)
    state.unit_asked[u] = unit.asked
    state.unit_left[u] = 0 if unit.runs else unit.task.left
    state.unit_mode[u] = NOBODY if upkeep.mode is None else clocks_of(model).index(upkeep.mode)
    state.unit_due[u] = sum(1 << number for number in upkeep.due)
    families = model.compiled.families
    state.unit_family[u] = NOBODY if unit.family is None else families.index(unit.family)
    state.unit_level[u] = upkeep.level
    state.unit_wear[u] = INFINITY if upkeep.wear is None else upkeep.wear.left
    state.unit_since[u] = model.now


def _write_center(model: Reference, state: State, s: int, center: WorkCenter) -> None:
    queue = [part.record for part in center.queue]
    state.q_head[s] = chain(state.part_next, queue)
    state.q_tail[s] = queue[-1] if queue else NOBODY
    state.q_len[s], state.q_area[s], state.q_last[s] = len(queue), center.queued.integral(), model.now
    state.st_free[s] = len(center.free_units())
    state.st_reserved[s], state.st_barred[s], state.st_asked[s] = center.reserved, center.is_barred, center.asked
    state.st_held[s] = sum(product.held for product in center.starters)
    state.n_state[s] = [level.value for level in center.in_state]
    state.st_ticks[s] = [level.integral() for level in center.in_state]
    state.planned_down[s] = center.in_maintenance.integral()
    state.weights[s] = center.dispatch.weights
    for name in _CENTER:
        getattr(state, name)[s] = getattr(center, name)


def fill_floor(model: Reference, state: State) -> None:
    """Take over a row: the opposite of `write_floor`. Parts and calendars must be there."""
    for s, center in enumerate(model.centers):
        _fill_center(model, state, s, center)
    for c, clock in enumerate(clocks_of(model)):
        clock.begun = int(state.begun[c])
        if clock.time is None:
            clock.operations = int(state.clock_left[c])
        else:
            start_slot(model, state, clock.time, int(state.clock_left[c]))
    for u, unit in enumerate(model.units):
        _fill_unit(model, state, u, unit)
    for d, door in enumerate(model.doors):
        door.waiting = [model.units[u] for u in members(state.unit_link, state.blocked_head[d])]
        for unit in door.waiting:
            unit.door = door
            if unit.phase != HOLDS or unit.is_down:
                raise ValueError(f"row: unit {unit.name} waits for room without being blocked")
    for c, crew in enumerate(model.crews):
        crew.free = int(state.crew_free[c])
        crew.waiting = [model.units[u].upkeep for u in members(state.unit_link, state.crew_head[c])]
    for p, pool in enumerate(model.pools):
        pool.free = int(state.pool_free[p])


def _fill_unit(model: Reference, state: State, u: int, unit: WorkUnit) -> None:
    upkeep = unit.upkeep
    unit.phase, unit.asked = int(state.unit_phase[u]), int(state.unit_asked[u])
    unit.parts = [known(model.parts.records[r]) for r in members(state.part_next, state.unit_part[u])]
    if (unit.phase == FREE) != (not unit.parts):
        raise ValueError(f"row: unit {unit.name} has phase {unit.phase} with {len(unit.parts)} parts")
    mode, family = int(state.unit_mode[u]), int(state.unit_family[u])
    upkeep.mode = None if mode == NOBODY else clocks_of(model)[mode]
    unit.center.in_maintenance.value += upkeep.mode is not None and upkeep.mode.spec.planned
    upkeep.due = {m for m in range(len(upkeep.clocks)) if int(state.unit_due[u]) >> m & 1}
    unit.family = None if family == NOBODY else model.compiled.families[family]
    upkeep.level = int(state.unit_level[u])
    start_slot(model, state, unit.task, INFINITY if unit.runs else int(state.unit_left[u]))
    if upkeep.wear is not None:
        start_slot(model, state, upkeep.wear, int(state.unit_wear[u]))
    if upkeep.repair is not None:
        start_slot(model, state, upkeep.repair)
    unit.enter(int(state.unit_state[u]))


def _fill_center(model: Reference, state: State, s: int, center: WorkCenter) -> None:
    center.queue = [known(model.parts.records[r]) for r in members(state.part_next, state.q_head[s])]
    center.queued.value, center.queued.total = len(center.queue), int(state.q_area[s])
    center.reserved, center.is_barred, center.asked = (
        int(state.st_reserved[s]), bool(state.st_barred[s]), int(state.st_asked[s]),
    )  # fmt: skip
    for level, total in zip(center.in_state, state.st_ticks[s], strict=True):
        level.total = int(total)
    center.in_maintenance.total = int(state.planned_down[s])
    center.dispatch.weights = [int(v) for v in state.weights[s]]
    for name in _CENTER:
        setattr(center, name, int(getattr(state, name)[s]))
    if center.longest_wait is not None:
        start_slot(model, state, center.longest_wait)
