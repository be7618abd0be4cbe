"""The SimPy reference model as a kernel row, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.reference_clock import FAIL, REPAIR, ROUTE, SCRAPS, SETUP, WEAR, WORK, Part
from sim.reference_row_floor import chain, clocks_of, fill_floor, members, start_slot, write_floor
from sim.state import NOBODY, UNDRAWN, Array, State

if TYPE_CHECKING:
    from sim.reference import Reference

_UNIT_STREAMS = (WORK, ROUTE, SETUP, WEAR, SCRAPS)
_CLOCK_STREAMS = (FAIL, REPAIR)
"""Purposes of the streams, in the order of the row."""


def to_row(model: Reference) -> Array:
    """The row of a model's present state, int64[W]."""
    layout = model.compiled.layout
    state = State(layout.blank_row(), layout)
    state.now, state.seed, state.replica = model.now, model.shared.luck.seed, model.shared.luck.replica
    state.events = model.past_events + len(model.trace)
    state.next_time = model.clock.next_times()
    state.stats_from = model.stats_from
    _write_parts(model, state)
    _write_draws(model, state)
    _write_time(model, state)
    write_floor(model, state)
    model.supply.write(state)
    return state.row


def fill(model: Reference, state: State) -> None:
    """Put the state of a row into an empty model whose processes have not begun."""
    model.past_events, model.stats_from = state.events, state.stats_from
    _fill_time(model, state)
    _fill_parts(model, state)
    _fill_draws(model, state)
    fill_floor(model, state)
    model.supply.read(state)


# --- calendars and energy


def _write_time(model: Reference, state: State) -> None:
    for c, calendar in enumerate(model.calendars):
        state.cal_open[c], state.cal_next[c] = calendar.is_open, calendar.number
        state.overtime[c], state.cal_extra[c] = calendar.overtime, calendar.extra
        state.overtime_ticks[c] = calendar.overtime_ticks
    state.energy = model.meter.totals()
    state.power, state.band, state.energy_last = model.meter.power, model.meter.band, model.meter.since
    state.band_next = 0 if model.tariff is None else model.tariff.number


def _fill_time(model: Reference, state: State) -> None:
    for c, calendar in enumerate(model.calendars):
        calendar.is_open, calendar.number = bool(state.cal_open[c]), int(state.cal_next[c])
        calendar.overtime, calendar.extra = int(state.overtime[c]), bool(state.cal_extra[c])
        calendar.overtime_ticks = int(state.overtime_ticks[c])
        start_slot(model, state, calendar.change)
    model.meter.used, model.meter.band = [int(v) for v in state.energy], state.band
    if model.tariff is not None:
        model.tariff.number = state.band_next
        start_slot(model, state, model.tariff.change)


# --- parts and draws


def _write_parts(model: Reference, state: State) -> None:
    parts = model.parts
    freed = set(parts.freed)
    for record, part in enumerate(parts.records):
        if record in freed:
            continue
        first = model.shared.routes[part.product.spec.id].first_step
        state.part_product[record] = model.products.index(part.product)
        state.part_step[record] = part.step if part.step < 0 else first + part.step
        state.part_release[record], state.part_due[record] = part.released, part.due
        state.part_queued[record] = part.queued
        state.part_target[record] = UNDRAWN
        if part.target is not None:
            state.part_target[record] = part.target if part.target < 0 else first + part.target
        state.part_dest[record] = NOBODY if part.dest is None else part.dest.rank
        state.part_next[record] = NOBODY
    state.part_used = len(parts.records)
    state.part_free = chain(state.part_next, parts.freed[::-1])


def _fill_parts(model: Reference, state: State) -> None:
    for record in range(state.part_used):
        product = model.products[int(state.part_product[record])]
        first = model.shared.routes[product.spec.id].first_step
        step, target = int(state.part_step[record]), int(state.part_target[record])
        part = Part(record, product, step if step < 0 else step - first, int(state.part_release[record]))
        part.due, part.queued = int(state.part_due[record]), int(state.part_queued[record])
        part.target = None if target == UNDRAWN else target if target < 0 else target - first
        dest = int(state.part_dest[record])
        part.dest = None if dest == NOBODY else model.centers[dest]
        model.parts.records.append(part)
    model.parts.freed = members(state.part_next, state.part_free)[::-1]


def _write_draws(model: Reference, state: State) -> None:
    luck = model.shared.luck
    for u, unit in enumerate(model.units):
        state.unit_draws[u] = [luck.pair(unit.name, purpose) for purpose in _UNIT_STREAMS]
    for c, clock in enumerate(clocks_of(model)):
        state.clock_draws[c] = [luck.pair(clock.name, purpose) for purpose in _CLOCK_STREAMS]


def _fill_draws(model: Reference, state: State) -> None:
    counts = model.shared.luck.counts
    for u, unit in enumerate(model.units):
        for i, purpose in enumerate(_UNIT_STREAMS):
            counts[unit.name, purpose] = int(state.unit_draws[u, i, 0])
    for c, clock in enumerate(clocks_of(model)):
        for i, purpose in enumerate(_CLOCK_STREAMS):
            counts[clock.name, purpose] = int(state.clock_draws[c, i, 0])
