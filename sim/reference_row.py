"""The SimPy reference model as a kernel row, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.draws import ARRIVAL, DEMAND, LEAD
from sim.reference_clock import Part, known
from sim.reference_supply import Order, ProductLine, StockPoint
from sim.state import (
    BLOCKED,
    DOWN,
    INFINITY,
    K_ARRIVAL,
    K_DEMAND,
    K_FAILURE,
    K_REPAIR_END,
    K_REVIEW,
    K_WORK_END,
    NOBODY,
    WORKING,
    Array,
    State,
)

if TYPE_CHECKING:
    from sim.reference import Reference
    from sim.reference_floor import WorkUnit

_PRODUCT_COUNTS = ("released", "finished", "scrapped", "flow_sum")
_STOCK_COUNTS = ("demanded", "met", "shipped", "orders", "ordered", "received")
_CENTER_COUNTS = ("started", "ended", "failures")
_CENTER_SCALES = ("work_scale", "fail_scale", "repair_scale")


def to_row(model: Reference) -> Array:
    """The row of a model's present state, int64[W]."""
    layout = model.compiled.layout
    state = State(np.zeros(layout.width, dtype=np.int64), layout)
    state.now, state.seed, state.replica = model.now, model.shared.luck.seed, model.shared.luck.replica
    state.events = model.past_events + len(model.trace)
    state.next_time = model.clock.next_times()
    state.stats_from = model.stats_from
    _write_parts(model, state)
    _write_units(model, state)
    _write_centers(model, state)
    for c, calendar in enumerate(model.calendars):
        state.cal_open[c], state.cal_next[c] = calendar.is_open, calendar.number
    for i, product in enumerate(model.products):
        _write_product(model, state, i, product)
    for k, stock in enumerate(model.stocks):
        _write_stock(model, state, k, stock)
    for d, demand in enumerate(model.compiled.plant.demands):
        stream = model.streams[K_DEMAND, demand.id]
        state.demand_left[d] = stream.left if stream.is_paused else NOBODY
        state.demand_scale[d] = stream.scale
        state.demand_draws[d] = _stream(model, demand.id, DEMAND)
    return state.row


def _stream(model: Reference, name: str, purpose: int) -> tuple[int, int]:
    luck = model.shared.luck
    return luck.counts.get((name, purpose), 0), luck.spare(name, purpose)


def _chain(links: Array, members: list[int]) -> int:
    """Link the members of a list in order; return its head."""
    following = NOBODY
    for member in reversed(members):
        links[member] = following
        following = member
    return following


def _write_parts(model: Reference, state: State) -> None:
    parts = model.parts
    freed = set(parts.freed)
    for record, part in enumerate(parts.records):
        if record in freed:
            continue
        state.part_next[record] = NOBODY
        state.part_product[record] = model.products.index(part.product)
        state.part_step[record] = _first_step(model, part.product) + part.step
        state.part_release[record] = part.released
    state.part_used = len(parts.records)
    state.part_free = _chain(state.part_next, parts.freed[::-1])


def _first_step(model: Reference, product: ProductLine) -> int:
    return model.compiled.step_index[product.spec.id, product.spec.steps[0].id]


def _write_units(model: Reference, state: State) -> None:
    state.unit_link = NOBODY * np.ones(state.unit_link.shape, dtype=np.int64)
    for u, unit in enumerate(model.units):
        state.unit_state[u] = unit.state
        state.unit_part[u] = NOBODY if unit.part is None else unit.part.record
        state.unit_asked[u] = unit.asked if unit.is_waiting else 0
        state.unit_left[u] = unit.work_left if unit.state == DOWN else 0
        state.unit_ttf[u] = 0 if unit.state in (WORKING, DOWN) else unit.until_failure
        state.unit_since[u] = model.now
        for purpose in range(4):
            state.unit_draws[u, purpose] = _stream(model, unit.name, purpose)
    for c, crew in enumerate(model.crews):
        state.crew_free[c] = crew.free
        state.crew_head[c] = _chain(state.unit_link, [unit.rank for unit in crew.waiting])


def _write_centers(model: Reference, state: State) -> None:
    for s, center in enumerate(model.centers):
        queue = [part.record for part in center.queue]
        state.q_head[s] = _chain(state.part_next, queue)
        state.q_tail[s] = queue[-1] if queue else NOBODY
        state.q_len[s] = len(queue)
        state.q_area[s], state.q_last[s] = center.queued.integral(), model.now
        state.blocked_head[s] = _chain(state.unit_link, [unit.rank for unit in center.waiting_units])
        state.n_state[s] = [level.value for level in center.in_state]
        state.st_ticks[s] = [level.integral() for level in center.in_state]
        state.st_held[s] = sum(product.held for product in center.starters)
        for name in _CENTER_COUNTS + _CENTER_SCALES:
            getattr(state, name)[s] = getattr(center, name)


def _write_product(model: Reference, state: State, i: int, product: ProductLine) -> None:
    stream = model.streams.get((K_ARRIVAL, product.spec.id))
    state.arrival_left[i] = stream.left if stream and stream.is_paused else NOBODY
    state.arrival_scale[i] = product.arrival_scale if stream is None else stream.scale
    state.arrival_draws[i] = _stream(model, product.spec.id, ARRIVAL)
    state.wip[i], state.pending[i], state.held[i] = product.wip.value, product.pending, product.held
    state.cap[i], state.base_stock[i] = product.cap, product.base_stock
    state.wip_area[i], state.wip_last[i] = product.wip.integral(), model.now
    for name in _PRODUCT_COUNTS:
        getattr(state, name)[i] = getattr(product, name)


def _write_stock(model: Reference, state: State, k: int, stock: StockPoint) -> None:
    state.on_hand[k], state.backorders[k] = stock.on_hand.value, stock.backorders.value
    state.on_order[k], state.level[k], state.lead_scale[k] = stock.on_order, stock.level, stock.lead_scale
    state.on_hand_area[k], state.backorder_area[k] = stock.on_hand.integral(), stock.backorders.integral()
    state.stock_last[k] = model.now
    state.lead_draws[k] = _stream(model, stock.spec.id, LEAD)
    state.transit_due[k] = [order.due if order else INFINITY for order in stock.transit]
    state.transit_qty[k] = [order.quantity if order else 0 for order in stock.transit]
    for name in _STOCK_COUNTS:
        getattr(state, name)[k] = getattr(stock, name)


def fill(model: Reference, state: State) -> list[int]:
    """Put a freshly built, empty model into the state of a row; return the tick of each stock's next review."""
    model.past_events = state.events
    model.stats_from = int(state.stats_from[0])
    for c, calendar in enumerate(model.calendars):
        calendar.is_open, calendar.number = bool(state.cal_open[c]), int(state.cal_next[c])
    for i, product in enumerate(model.products):
        _read_product(model, state, i, product)
    _read_parts(model, state)
    for u, unit in enumerate(model.units):
        _read_unit(model, state, u, unit)
    _read_lists(model, state)
    for k, stock in enumerate(model.stocks):
        _read_stock(model, state, k, stock)
    for d, demand in enumerate(model.compiled.plant.demands):
        _read_stream(model, state, (K_DEMAND, demand.id), int(state.demand_left[d]))
        model.streams[K_DEMAND, demand.id].scale = int(state.demand_scale[d])
        model.shared.luck.counts[demand.id, DEMAND] = int(state.demand_draws[d, 0])
    slots = model.shared.slots
    return [
        int(state.next_time[slots[K_REVIEW, stock.spec.id]]) if (K_REVIEW, stock.spec.id) in slots else INFINITY
        for stock in model.stocks
    ]


def _time_left(model: Reference, state: State, kind: int, name: str) -> int:
    return int(state.next_time[model.shared.slots[kind, name]]) - model.now


def _read_stream(model: Reference, state: State, key: tuple[int, str], paused: int) -> None:
    stream = model.streams[key]
    stream.left = paused if stream.is_paused else _time_left(model, state, *key)


def _members(links: Array, head: int) -> list[int]:
    """The members of a linked list in order."""
    members = []
    while head != NOBODY:
        members.append(int(head))
        head = links[head]
    return members


def _read_product(model: Reference, state: State, i: int, product: ProductLine) -> None:
    product.wip.value, product.wip.total = int(state.wip[i]), int(state.wip_area[i])
    product.pending, product.held = int(state.pending[i]), bool(state.held[i])
    product.cap, product.base_stock = int(state.cap[i]), int(state.base_stock[i])
    for name in _PRODUCT_COUNTS:
        setattr(product, name, int(getattr(state, name)[i]))
    model.shared.luck.counts[product.spec.id, ARRIVAL] = int(state.arrival_draws[i, 0])
    product.arrival_scale = int(state.arrival_scale[i])
    if product.spec.release.policy == "push":
        _read_stream(model, state, (K_ARRIVAL, product.spec.id), int(state.arrival_left[i]))
        model.streams[K_ARRIVAL, product.spec.id].scale = product.arrival_scale


def _read_parts(model: Reference, state: State) -> None:
    for record in range(state.part_used):
        product = model.products[int(state.part_product[record])]
        step = int(state.part_step[record]) - _first_step(model, product)
        model.parts.records.append(Part(record, product, step, int(state.part_release[record])))
    model.parts.freed = _members(state.part_next, state.part_free)[::-1]


def _read_unit(model: Reference, state: State, u: int, unit: WorkUnit) -> None:
    unit.asked = int(state.unit_asked[u])
    unit.work_left, unit.until_failure = int(state.unit_left[u]), int(state.unit_ttf[u])
    for purpose in range(4):
        model.shared.luck.counts[unit.name, purpose] = int(state.unit_draws[u, purpose, 0])
    unit.enter(int(state.unit_state[u]))
    if state.unit_part[u] != NOBODY:
        unit.part = model.parts.records[int(state.unit_part[u])]
    if unit.state == WORKING:
        unit.work_left = _time_left(model, state, K_WORK_END, unit.name)
        if unit.center.spec.fails is not None:
            unit.until_failure = _time_left(model, state, K_FAILURE, unit.name)
    if unit.state == DOWN:
        left = _time_left(model, state, K_REPAIR_END, unit.name)
        unit.repair_left = None if left + model.now == INFINITY else left
    if unit.state in (WORKING, DOWN):
        unit.loaded.succeed()


def _read_lists(model: Reference, state: State) -> None:
    for s, center in enumerate(model.centers):
        center.queue = [known(model.parts.records[r]) for r in _members(state.part_next, state.q_head[s])]
        center.queued.value, center.queued.total = len(center.queue), int(state.q_area[s])
        center.waiting_units = [model.units[u] for u in _members(state.unit_link, state.blocked_head[s])]
        if any(unit.state != BLOCKED for unit in center.waiting_units):
            raise ValueError(f"row: a unit waits for room at station {center.spec.id} without being blocked")
        for level, total in zip(center.in_state, state.st_ticks[s], strict=True):
            level.total = int(total)
        for name in _CENTER_COUNTS + _CENTER_SCALES:
            setattr(center, name, int(getattr(state, name)[s]))
    for c, crew in enumerate(model.crews):
        crew.free = int(state.crew_free[c])
        crew.waiting = [model.units[u] for u in _members(state.unit_link, state.crew_head[c])]


def _read_stock(model: Reference, state: State, k: int, stock: StockPoint) -> None:
    stock.on_hand.value, stock.on_hand.total = int(state.on_hand[k]), int(state.on_hand_area[k])
    stock.backorders.value, stock.backorders.total = int(state.backorders[k]), int(state.backorder_area[k])
    stock.on_order, stock.level = int(state.on_order[k]), int(state.level[k])
    stock.lead_scale = int(state.lead_scale[k])
    model.shared.luck.counts[stock.spec.id, LEAD] = int(state.lead_draws[k, 0])
    for name in _STOCK_COUNTS:
        setattr(stock, name, int(getattr(state, name)[k]))
    for place, (due, quantity) in enumerate(zip(state.transit_due[k], state.transit_qty[k], strict=True)):
        if due != INFINITY:
            stock.expect(place, Order(int(quantity), int(due)))
