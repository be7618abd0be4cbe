"""What has happened in a plant, read from a row: a comparison of engines is worth what happens in it."""

from __future__ import annotations

import numpy as np

from sim.compile import Compiled
from sim.plant import STATES
from sim.state import FREE, HOLDS, IN_SETUP, IN_WORK, OFF, State

ON_THE_FLOOR = (
    *STATES,
    *("down without a part", "down with ended parts", "down in setup", "interrupted", "frozen"),
    *("maintenance due", "worn"),
    *("crew queue", "several blocked", "blocked before several stations", "barred", "place reserved"),
    *("operators waited for", "batch", "batch after waiting", "waits for components"),
    *("scrapped by a failure", "set up"),
    *("maintained", "scrapped", "tardy", "part of a lot done", "overtime", "energy in several bands"),
)
IN_TRADE = (
    *("held", "pending", "arrivals paused", "demand paused", "order list", "group full", "backorders", "lost"),
    *("several in transit", "owed", "owed express", "late delivery", "supplier busy", "forecast", "shipped later"),
    *("dates kept in mind", "shipped late", "lumpy orders", "book", "lost while others wait"),
)
ALL = (*ON_THE_FLOOR, *IN_TRADE)
"""Everything that is looked for."""


def happened(state: State, compiled: Compiled) -> set[str]:
    """What a row shows to have happened, or to be the case."""
    return {name for name, true in (_floor(state, compiled) | _trade(state, compiled)).items() if true}


def _floor(state: State, compiled: Compiled) -> dict[str, object]:
    stations = compiled.plant.stations
    phase, down = state.unit_phase, state.unit_mode >= 0
    station = np.array([next(i for i, s in enumerate(stations) if s.id == name) for name, _ in compiled.units])
    in_hand = np.zeros(len(stations), dtype=np.int64)
    np.add.at(in_hand, station, np.where((phase == IN_WORK) | (phase == IN_SETUP), state.unit_count, 0))
    least = np.array([s.batch.least if s.batch else 0 for s in stations])[station]
    plain = np.array([s.batch is None for s in stations])
    ready = (state.q_len > 0) & (state.st_free > 0) & (state.st_asked < 0) & (state.st_barred == 0) & plain
    parts = np.array([p.lot // p.transfer for p in compiled.plant.products])
    return {
        **{name: state.st_ticks[:, code].any() for code, name in enumerate(STATES)},
        "down without a part": (down & (phase == FREE)).any(),
        "down with ended parts": (down & (phase == HOLDS)).any(),
        "down in setup": (down & (phase == IN_SETUP)).any(),
        "interrupted": (down & (phase == IN_WORK) & (state.unit_left > 0)).any(),
        "frozen": ((state.unit_state == OFF) & (phase != FREE)).any(),
        "maintenance due": state.unit_due.any(),
        "worn": state.unit_level.any(),
        "crew queue": (state.crew_head >= 0).any(),
        "several blocked": any(state.unit_link[head] >= 0 for head in state.blocked_head if head >= 0),
        "blocked before several stations": (state.blocked_head[len(stations) :] >= 0).any(),
        "barred": state.st_barred.any(),
        "place reserved": state.st_reserved.any(),
        "operators waited for": (state.st_asked >= 0).any(),
        "batch": (state.unit_count > 1).any(),
        "batch after waiting": ((phase == IN_WORK) & (state.unit_count < least)).any(),
        "waits for components": ready.any(),
        "scrapped by a failure": (state.started > state.ended + in_hand).any(),
        "set up": state.set_ups.any(),
        "maintained": state.maintained.any(),
        "scrapped": state.scrapped.any(),
        "tardy": state.tardy.any(),
        "part of a lot done": ((state.finished % np.maximum(parts, 1) > 0) & (parts > 1)).any(),
        "overtime": state.overtime_ticks.any(),
        "energy in several bands": (state.energy > 0).sum() > 1,
    }


def _trade(state: State, compiled: Compiled) -> dict[str, object]:
    express = np.array([which == "express" for _, which in compiled.lanes], dtype=bool)
    return {
        "held": state.held.any(),
        "pending": state.pending.any(),
        "arrivals paused": (state.arrival_left >= 0).any(),
        "demand paused": (state.demand_left >= 0).any(),
        "order list": state.order_taken.any(),
        "group full": (state.group_wip == state.group_cap).any(),
        "backorders": state.backorders.any(),
        "lost": state.lost_units.any(),
        "several in transit": ((state.transit_qty > 0).sum(axis=-1) > 1).any(),
        "owed": state.owed[~express].any(),
        "owed express": state.owed[express].any(),
        "late delivery": state.late_draws[:, 1, 0].any(),
        "supplier busy": (state.busy_until > state.now).any(),
        "forecast": state.past.any(),
        "shipped later": (state.shipped > state.met).any(),
        "dates kept in mind": (state.ring_len > 1).any(),
        "shipped late": state.late_units.any(),
        "lumpy orders": state.quantity_draws.any(),
        "book": state.book_at.any(),
        "lost while others wait": ((state.waiting > 0) & (state.lost_units > 0)).any(),
    }
