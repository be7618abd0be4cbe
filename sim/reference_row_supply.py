"""Products, stocks, lanes and customers of the SimPy reference model as parts of a kernel row, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.reference_clock import ARRIVAL, DEMAND, DUE, LATE, LATENESS, LEAD, QUANTITY, Level
from sim.reference_demand import Customer, Promise
from sim.reference_release import ProductLine
from sim.reference_stock import Lane, Order, StockPoint
from sim.state import INFINITY, K_REVIEW, NOBODY, State

if TYPE_CHECKING:
    from sim.reference_supply import Stream, Supply

_PRODUCT = (
    "pending", "cap", "base_stock", "order_at", "order_taken", "order_done", "arrival_scale", "released", "finished",
    "scrapped", "flow_sum", "tardy", "tardy_sum",
)  # fmt: skip
_STOCK = (
    "level", "reorder", "express_level", "seen", "lead_scale", "demanded", "met", "shipped", "lost", "received",
)  # fmt: skip
_LANE = ("owed", "orders", "ordered")
_CUSTOMER = ("book_at", "asked", "served", "lost_units", "late_units", "late_sum")
"""Fields of the row that are attributes of the same name."""


def write_supply(supply: Supply, state: State) -> None:
    """Write all fields of products, groups, stocks, lanes, suppliers and demands, and the ends of their areas."""
    for i, product in enumerate(supply.products):
        _write_product(supply, state, i, product)
    for g, group in enumerate(supply.groups):
        state.group_wip[g], state.group_cap[g] = group.wip, group.cap
    for k, stock in enumerate(supply.stocks):
        _write_stock(state, k, stock)
    for i, lane in enumerate(supply.lanes):
        _write_lane(supply, state, i, lane)
    for v, vendor in enumerate(supply.vendors):
        state.busy_until[v] = vendor.busy_until
    for d, customer in enumerate(supply.customers):
        _write_customer(supply, state, d, customer)


def read_supply(supply: Supply, state: State) -> None:
    """Take over a row: the opposite of `write_supply`. The calendars must have been read."""
    for i, product in enumerate(supply.products):
        _read_product(supply, state, i, product)
    for g, group in enumerate(supply.groups):
        group.wip, group.cap = int(state.group_wip[g]), int(state.group_cap[g])
    for k, stock in enumerate(supply.stocks):
        _read_stock(state, k, stock)
    for i, lane in enumerate(supply.lanes):
        _read_lane(supply, state, i, lane)
    for v, vendor in enumerate(supply.vendors):
        vendor.busy_until = int(state.busy_until[v])
    for d, customer in enumerate(supply.customers):
        _read_customer(supply, state, d, customer)


def _copy_out(state: State, at: int, thing: Any, names: tuple[str, ...]) -> None:
    for name in names:
        getattr(state, name)[at] = getattr(thing, name)


def _copy_in(state: State, at: int, thing: Any, names: tuple[str, ...]) -> None:
    for name in names:
        setattr(thing, name, int(getattr(state, name)[at]))


def _read_level(level: Level, value: int, area: int) -> None:
    level.value, level.total, level.since = int(value), int(area), level.clock.now


def _read_count(supply: Supply, entity: str, purpose: int, field: Any) -> None:
    supply.shared.luck.counts[entity, purpose] = int(field[0])


def _paused(stream: Stream | None) -> int:
    return stream.countdown.left if stream is not None and stream.is_paused else NOBODY


def _read_stream(state: State, stream: Stream, paused: int) -> None:
    """The time left of a stream, from its paused clock or from its slot."""
    due = int(state.next_time[stream.countdown.slot])
    left = due if due == INFINITY else due - state.now
    stream.countdown.reset(int(paused) if stream.is_paused else left)


def _write_product(supply: Supply, state: State, i: int, product: ProductLine) -> None:
    luck, stream = supply.shared.luck, supply.arrivals.get(product)
    _copy_out(state, i, product, _PRODUCT)
    state.wip[i], state.held[i] = product.wip.value, product.held
    state.wip_area[i], state.wip_last[i] = product.wip.integral(), state.now
    state.arrival_left[i] = _paused(stream)
    state.arrival_draws[i] = luck.pair(product.spec.id, ARRIVAL)
    state.due_draws[i] = luck.pair(product.spec.id, DUE)


def _read_product(supply: Supply, state: State, i: int, product: ProductLine) -> None:
    _copy_in(state, i, product, _PRODUCT)
    _read_level(product.wip, state.wip[i], state.wip_area[i])
    product.held = bool(state.held[i])
    _read_count(supply, product.spec.id, ARRIVAL, state.arrival_draws[i])
    _read_count(supply, product.spec.id, DUE, state.due_draws[i])
    if product in supply.arrivals:
        _read_stream(state, supply.arrivals[product], state.arrival_left[i])


def _write_stock(state: State, k: int, stock: StockPoint) -> None:
    _copy_out(state, k, stock, _STOCK)
    state.on_hand[k], state.on_hand_area[k] = stock.on_hand.value, stock.on_hand.integral()
    state.backorders[k], state.backorder_area[k] = stock.backorders.value, stock.backorders.integral()
    state.on_order[k], state.transit_area[k] = stock.on_order, stock.in_transit.integral()
    state.stock_last[k] = state.now
    state.past[k] = stock.past


def _read_stock(state: State, k: int, stock: StockPoint) -> None:
    _copy_in(state, k, stock, _STOCK)
    _read_level(stock.on_hand, state.on_hand[k], state.on_hand_area[k])
    _read_level(stock.backorders, state.backorders[k], state.backorder_area[k])
    _read_level(stock.in_transit, 0, state.transit_area[k])
    stock.past = [int(units) for units in state.past[k]]
    if (review := stock.shared.slots.get((K_REVIEW, stock.spec.id))) is not None:
        stock.next_review = int(state.next_time[review])


def _write_lane(supply: Supply, state: State, i: int, lane: Lane) -> None:
    luck = supply.shared.luck
    _copy_out(state, i, lane, _LANE)
    state.lane_order[i] = lane.on_order
    state.lead_draws[i] = luck.pair(lane.name, LEAD)
    state.late_draws[i] = (luck.pair(lane.name, LATE), luck.pair(lane.name, LATENESS))
    for place, order in enumerate(lane.transit):
        state.transit_due[i, place] = INFINITY if order is None else order.due
        state.transit_qty[i, place] = 0 if order is None else order.quantity


def _read_lane(supply: Supply, state: State, i: int, lane: Lane) -> None:
    _copy_in(state, i, lane, _LANE)
    lane.on_order = int(state.lane_order[i])
    _read_count(supply, lane.name, LEAD, state.lead_draws[i])
    for place, purpose in enumerate((LATE, LATENESS)):
        _read_count(supply, lane.name, purpose, state.late_draws[i, place])
    for place, due in enumerate(state.transit_due[i]):
        lane.transit[place] = None if due == INFINITY else Order(int(state.transit_qty[i, place]), int(due))
    lane.stock.in_transit.value += int(state.transit_qty[i].sum())


def _write_customer(supply: Supply, state: State, d: int, customer: Customer) -> None:
    luck, name = supply.shared.luck, customer.spec.id
    _copy_out(state, d, customer, _CUSTOMER)
    state.demand_left[d] = _paused(supply.orders[customer])
    state.demand_draws[d], state.quantity_draws[d] = luck.pair(name, DEMAND), luck.pair(name, QUANTITY)
    state.demand_scale[d] = customer.scale
    state.waiting[d], state.waiting_area[d] = customer.waiting.value, customer.waiting.integral()
    state.waiting_last[d] = state.now
    state.ring_len[d] = len(customer.promises)
    for place, promise in enumerate(customer.promises):
        state.ring_due[d, place], state.ring_qty[d, place] = promise.due, promise.quantity


def _read_customer(supply: Supply, state: State, d: int, customer: Customer) -> None:
    _copy_in(state, d, customer, _CUSTOMER)
    _read_stream(state, supply.orders[customer], state.demand_left[d])
    _read_count(supply, customer.spec.id, DEMAND, state.demand_draws[d])
    _read_count(supply, customer.spec.id, QUANTITY, state.quantity_draws[d])
    customer.scale = int(state.demand_scale[d])
    _read_level(customer.waiting, state.waiting[d], state.waiting_area[d])
    customer.promises = [
        Promise(int(state.ring_due[d, place]), int(state.ring_qty[d, place])) for place in range(state.ring_len[d])
    ]
