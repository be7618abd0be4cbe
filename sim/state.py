"""The declared layout: what every number of a row and of the params array is.

A replica is one int64 row; a plant is one read-only int64 params array. The params array starts with a
header: sizes, then the offset in the row of every field, then the offset in params of every table. The
constants below are positions in that header (upper case), so kernel code reads `row[params[Q_LEN] + s]`.
Everyone else uses named views: `State(row, layout).q_len`, or `layout.view(rows, "q_len")` for a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]

LAYOUT_VERSION = 1
INFINITY = 1 << 58
NOBODY = -1

# Scalars of a row, at fixed positions.
NOW, SEED, REPLICA, ERROR, EVENTS, PART_FREE, PART_USED, WORK_HEAD, WORK_LEN, WORK_SEG = range(10)
SCALARS = ("now", "seed", "replica", "error", "events", "part_free", "part_used", "work_head", "work_len", "work_seg")
"""now: tick; error: 0 or an error code; events: timed events so far; part_free: record freed last (-1 none);
part_used: records ever used; work_*: the worklist of zero-time consequences (empty between events)."""

ERRORS = {
    1: "more parts in the system than `unlimited:` allows",
    2: "more orders in transit to a stock than the table holds",
    3: "a zero-time loop: more than a million consequences of one event",
}

# Sizes, at fixed positions of the header.
SIZES = (
    "units",
    "stations",
    "products",
    "stocks",
    "demands",
    "calendars",
    "crews",
    "parts",
    "transit",
    "slots",
    "entities",
    "steps",
)
(
    N_UNITS,
    N_STATIONS,
    N_PRODUCTS,
    N_STOCKS,
    N_DEMANDS,
    N_CALENDARS,
    N_CREWS,
    N_PARTS,
    N_TRANSIT,
    N_SLOTS,
    N_ENTITIES,
    N_STEPS,
) = range(12)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the row: its shape in terms of `SIZES` (or a number), its unit and its meaning."""

    name: str
    shape: tuple[str | int, ...]
    unit: str
    doc: str


FIELDS = (
    Field("next_time", ("slots",), "tick", "when each timer fires; INFINITY when it does not run"),
    Field("unit_state", ("units",), "code", "index into sim.plant.STATES"),
    Field("unit_part", ("units",), "part", "the part in the unit, or -1"),
    Field(
        "unit_link",
        ("units",),
        "unit",
        "next unit in the same list of blocked units or of units waiting for a crew, or -1",
    ),
    Field("unit_asked", ("units",), "tick", "when it joined that list"),
    Field("unit_left", ("units",), "ticks", "work left of a unit that is down"),
    Field("unit_ttf", ("units",), "ticks", "time to failure left while it does not work"),
    Field("unit_since", ("units",), "tick", "up to when its state has been accumulated"),
    Field("unit_draws", ("units", 4, 2), "count, word", "streams work, route, fail, repair"),
    Field("q_head", ("stations",), "part", "first part of the queue, or -1"),
    Field("q_tail", ("stations",), "part", "last part of the queue, or -1"),
    Field("q_len", ("stations",), "parts", "parts in the queue"),
    Field("blocked_head", ("stations",), "unit", "first unit blocked by this station's full queue, or -1"),
    Field("n_state", ("stations", 7), "units", "units in each state"),
    Field("st_held", ("stations",), "products", "products with held = 1 that start here"),
    Field("crew_free", ("crews",), "people", "repairers free"),
    Field("crew_head", ("crews",), "unit", "first unit waiting for the crew, or -1"),
    Field("cal_open", ("calendars",), "0/1", "open now"),
    Field("cal_next", ("calendars",), "index", "number of the next change in the calendar's table"),
    Field("wip", ("products",), "parts", "released and not yet finished or scrapped"),
    Field("pending", ("products",), "parts", "arrived and not yet released"),
    Field("held", ("products",), "0/1", "held back by the decision alone"),
    Field("cap", ("products",), "parts", "CONWIP cap (control)"),
    Field("base_stock", ("products",), "parts", "base stock of the release (control)"),
    Field("arrival_left", ("products",), "ticks", "paused arrival clock, or -1"),
    Field("arrival_draws", ("products", 2), "count, word", "stream of arrivals"),
    Field("on_hand", ("stocks",), "units", "stock on hand"),
    Field("backorders", ("stocks",), "units", "ordered by customers, not yet shipped"),
    Field("on_order", ("stocks",), "units", "ordered from the supplier, not yet received"),
    Field("level", ("stocks",), "units", "base-stock level (control)"),
    Field("lead_draws", ("stocks", 2), "count, word", "stream of lead times"),
    Field("transit_due", ("stocks", "transit"), "tick", "when the order arrives; INFINITY where the place is empty"),
    Field("transit_qty", ("stocks", "transit"), "units", "its quantity; 0 where the place is empty"),
    Field("demand_left", ("demands",), "ticks", "paused demand clock, or -1"),
    Field("demand_draws", ("demands", 2), "count, word", "stream of demands"),
    Field("work_scale", ("stations",), "2^-16", "factor on work times of this replica"),
    Field("fail_scale", ("stations",), "2^-16", "factor on times to failure"),
    Field("repair_scale", ("stations",), "2^-16", "factor on repair times"),
    Field("arrival_scale", ("products",), "2^-16", "factor on times between arrivals"),
    Field("demand_scale", ("demands",), "2^-16", "factor on times between demands"),
    Field("lead_scale", ("stocks",), "2^-16", "factor on lead times"),
    Field("work_list", ("entities",), "entity", "ring of woken entities (stations, then products)"),
    Field("work_flag", ("entities",), "0/1", "is in the ring"),
    Field("part_product", ("parts",), "product", "product of the part"),
    Field("part_step", ("parts",), "step", "operation it waits for or undergoes (global step index)"),
    Field("part_release", ("parts",), "tick", "when it was released"),
    Field("part_next", ("parts",), "part", "next part in its queue or in the list of free records, or -1"),
    # accumulated since the last clear_stats
    Field("st_ticks", ("stations", 7), "unit-ticks", "time of the units in each state"),
    Field("q_area", ("stations",), "part-ticks", "parts in the queue over time"),
    Field("q_last", ("stations",), "tick", "up to when q_area has been accumulated"),
    Field("started", ("stations",), "parts", "operations started"),
    Field("ended", ("stations",), "parts", "operations ended"),
    Field("failures", ("stations",), "failures", "failures"),
    Field("released", ("products",), "parts", "parts released"),
    Field("finished", ("products",), "parts", "parts finished"),
    Field("scrapped", ("products",), "parts", "parts scrapped"),
    Field("flow_sum", ("products",), "part-ticks", "sum of flow times of finished parts"),
    Field("wip_area", ("products",), "part-ticks", "WIP over time"),
    Field("wip_last", ("products",), "tick", "up to when wip_area has been accumulated"),
    Field("on_hand_area", ("stocks",), "unit-ticks", "stock on hand over time"),
    Field("backorder_area", ("stocks",), "unit-ticks", "backorders over time"),
    Field("stock_last", ("stocks",), "tick", "up to when the stock's areas have been accumulated"),
    Field("demanded", ("stocks",), "units", "demanded"),
    Field("met", ("stocks",), "units", "met at once from stock"),
    Field("shipped", ("stocks",), "units", "shipped to customers"),
    Field("orders", ("stocks",), "orders", "orders placed at the supplier"),
    Field("ordered", ("stocks",), "units", "units ordered"),
    Field("received", ("stocks",), "units", "units received"),
    Field("stats_from", (1,), "tick", "when accumulation began"),
)

_FIELD0 = len(SIZES)
(
    NEXT_TIME, UNIT_STATE, UNIT_PART, UNIT_LINK, UNIT_ASKED, UNIT_LEFT, UNIT_TTF, UNIT_SINCE, UNIT_DRAWS,
    Q_HEAD, Q_TAIL, Q_LEN, BLOCKED_HEAD, N_STATE, ST_HELD, CREW_FREE, CREW_HEAD, CAL_OPEN, CAL_NEXT,
    WIP, PENDING, HELD, CAP, BASE_STOCK, ARRIVAL_LEFT, ARRIVAL_DRAWS,
    ON_HAND, BACKORDERS, ON_ORDER, LEVEL, LEAD_DRAWS, TRANSIT_DUE, TRANSIT_QTY, DEMAND_LEFT, DEMAND_DRAWS,
    WORK_SCALE, FAIL_SCALE, REPAIR_SCALE, ARRIVAL_SCALE, DEMAND_SCALE, LEAD_SCALE, WORK_LIST, WORK_FLAG,
    PART_PRODUCT, PART_STEP, PART_RELEASE, PART_NEXT,
    ST_TICKS, Q_AREA, Q_LAST, STARTED, ENDED, FAILURES, RELEASED, FINISHED, SCRAPPED, FLOW_SUM, WIP_AREA, WIP_LAST,
    ON_HAND_AREA, BACKORDER_AREA, STOCK_LAST, DEMANDED, MET, SHIPPED, ORDERS, ORDERED, RECEIVED, STATS_FROM,
) = range(_FIELD0, _FIELD0 + len(FIELDS))  # fmt: skip

CLEARED = tuple(f.name for f in FIELDS[ST_TICKS - _FIELD0 :] if not f.name.endswith(("_last", "_from")))
"""Fields that `clear_stats` sets to 0."""

TABLES = (
    "unit_station", "unit_entity", "fail_slot", "repair_slot", "slot_kind", "slot_owner",
    "first_unit", "unit_count", "capacity", "st_calendar", "st_crew", "fail_table", "repair_table",
    "starters_at", "starters",
    "step_station", "step_table", "route_at", "route",
    "first_step", "policy", "product_stock", "product_calendar", "product_entity", "arrival_table", "arrival_slot",
    "consumes_at", "consumes",
    "stock_entity", "delivery_slot", "review_slot", "review_ticks", "lead_table", "filler", "continuous",
    "users_at", "users",
    "demand_stock", "demand_calendar", "demand_entity", "demand_table", "demand_slot",
    "calendar_slot", "cal_at", "cal_weekly", "cal_ticks",
)  # fmt: skip
"""Tables of the params array. `X_at` of length n + 1 delimits the entries of thing i in table X. route: (threshold,
target) pairs; consumes: (stock, quantity) pairs; calendar tables: ticks of changes, the last `cal_weekly` of which
repeat weekly."""

_TABLE0 = _FIELD0 + len(FIELDS)
(
    UNIT_STATION, UNIT_ENTITY, FAIL_SLOT, REPAIR_SLOT, SLOT_KIND, SLOT_OWNER,
    FIRST_UNIT, UNIT_COUNT, CAPACITY, ST_CALENDAR, ST_CREW, FAIL_TABLE, REPAIR_TABLE, STARTERS_AT, STARTERS,
    STEP_STATION, STEP_TABLE, ROUTE_AT, ROUTE,
    FIRST_STEP, POLICY, PRODUCT_STOCK, PRODUCT_CALENDAR, PRODUCT_ENTITY, ARRIVAL_TABLE, ARRIVAL_SLOT,
    CONSUMES_AT, CONSUMES,
    STOCK_ENTITY, DELIVERY_SLOT, REVIEW_SLOT, REVIEW_TICKS, LEAD_TABLE, FILLER, CONTINUOUS, USERS_AT, USERS,
    DEMAND_STOCK, DEMAND_CALENDAR, DEMAND_ENTITY, DEMAND_TABLE, DEMAND_SLOT,
    CALENDAR_SLOT, CAL_AT, CAL_WEEKLY, CAL_TICKS,
) = range(_TABLE0, _TABLE0 + len(TABLES))  # fmt: skip
WEEK = _TABLE0 + len(TABLES)
"""Header position of the number of ticks in a week."""
HEADER = WEEK + 1

KINDS = ("work_end", "failure", "repair_end", "calendar", "delivery", "arrival", "demand", "review")
K_WORK_END, K_FAILURE, K_REPAIR_END, K_CALENDAR, K_DELIVERY, K_ARRIVAL, K_DEMAND, K_REVIEW = range(8)
IDLE, WORKING, BLOCKED, STARVED, SETUP, DOWN, OFF = range(7)
PUSH, CONWIP, SATURATED = range(3)
POLICIES = ("push", "conwip", "saturated")


class Layout:
    """Where everything stands for one plant: `sizes`, `offset[name]`, `shape[name]`, `width` of a row."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = dict(sizes)
        self.offset: dict[str, int] = {name: i for i, name in enumerate(SCALARS)}
        self.shape: dict[str, tuple[int, ...]] = dict.fromkeys(SCALARS, ())
        at = len(SCALARS)
        for f in FIELDS:
            shape = tuple(sizes[n] if isinstance(n, str) else n for n in f.shape)
            self.offset[f.name] = at
            self.shape[f.name] = shape
            at += int(np.prod(shape))
        self.width = at

    def size(self, name: str) -> int:
        """Number of int64 of a field."""
        return int(np.prod(self.shape[name]))

    def view(self, rows: Array, name: str) -> Array:
        """Field `name` of rows [..., W] as a view of shape [..., *shape]."""
        at = self.offset[name]
        part = rows[..., at : at + self.size(name)]
        return part.reshape(rows.shape[:-1] + self.shape[name])

    def name_at(self, position: int) -> str:
        """Readable name of a position in the row, such as `q_len[2]` (for error messages and diffs)."""
        for name in reversed(self.offset):
            if self.offset[name] <= position:
                index = np.unravel_index(position - self.offset[name], self.shape[name] or (1,))
                return f"{name}[{', '.join(str(i) for i in index)}]" if self.shape[name] else name
        raise IndexError(position)


class State:
    """One row by name: `state.q_len[3] = 1` writes into the row; scalars are properties too."""

    __slots__ = ("_layout", "row")
    row: Array
    _layout: Layout

    def __init__(self, row: Array, layout: Layout) -> None:
        object.__setattr__(self, "row", row)
        object.__setattr__(self, "_layout", layout)

    def __getattr__(self, name: str) -> Any:
        layout: Layout = object.__getattribute__(self, "_layout")
        if name not in layout.offset:
            raise AttributeError(f"the row has no field {name!r}")
        if not layout.shape[name]:
            return int(self.row[layout.offset[name]])
        return layout.view(self.row, name)

    def __setattr__(self, name: str, value: Any) -> None:
        layout: Layout = object.__getattribute__(self, "_layout")
        if name not in layout.offset:
            raise AttributeError(f"the row has no field {name!r}")
        at = layout.offset[name]
        self.row[at : at + layout.size(name)] = np.asarray(value, dtype=np.int64).reshape(-1)
