"""The declared layout: what every number of a row and of the params array is.

A replica is one int64 row; a plant is one read-only int64 params array. Both hold records: all fields of one unit, one
station, one part stand side by side (a cache line or two), so a kernel function computes a record's place once and
reaches its fields at constant distances:

    s = p[AT_STATION] + STATION_W * station       # in the row;     row[s + Q_LEN]
    t = p[TO_STATION] + STATION_PW * station      # in the params;  p[t + CAPACITY]

The constants are made from the declarations below. Everyone outside the kernel uses named views:
`State(row, layout).q_len`, `layout.view(rows, "q_len")` for a batch, `layout.at("q_len", 3)` for one position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]

LAYOUT_VERSION = 3
INFINITY = 1 << 58
NOBODY = -1
NO_LIMIT = 1 << 40
"""Capacity, cap, kanban or level that never binds."""
UNDRAWN = -3
"""`part_target` of a part whose next step has not been drawn."""

# --- scalars of a row, at fixed positions -------------------------------------------------------------------------

(
    NOW, SEED, REPLICA, ERROR, EVENTS, PART_FREE, PART_USED, WORK_HEAD, WORK_LEN, WORK_SEG,
    POWER, BAND, BAND_NEXT, ENERGY_LAST, STATS_FROM,
) = range(15)  # fmt: skip
SCALARS = (
    "now", "seed", "replica", "error", "events", "part_free", "part_used", "work_head", "work_len", "work_seg",
    "power", "band", "band_next", "energy_last", "stats_from",
)  # fmt: skip
"""now: tick; error: 0 or an error code; events: timed events so far; part_free: record freed last (-1 none); part_used:
records ever used; work_*: the worklist of zero-time consequences (empty between events); power: watts now; band: tariff
band now; band_next: number of the next tariff change; energy_last: up to when energy has been accumulated; stats_from:
when accumulation began."""

ERRORS = {
    1: "more parts in the system than `unlimited:` allows",
    2: "more orders in transit to a stock than the table holds",
    3: "a zero-time loop: more than a million consequences of one event",
    4: "more late customer orders than the table holds",
}

SIZES = (
    "units", "clocks", "stations", "doors", "crews", "pools", "calendars", "products", "groups", "stocks", "lanes",
    "suppliers", "demands", "parts", "slots", "entities", "steps", "bands", "transit", "ring", "periods",
    "own",
)  # fmt: skip
"""How many there are: a *clock* is one mode of one unit; a *door* is a set of stations between which a part may choose
(first those of one station each, in order, then the others); a *lane* is one way of supply to a stock (first the
regular lanes in the order of stocks, then the express ones); an *entity* is a station or a product; transit: places of
orders in a lane; ring: places of late orders of a demand; periods: demand periods kept for forecasts; own: numbers that
rules written in SimPy keep."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the row: the record it belongs to, its shape in it (numbers or `SIZES`), unit, meaning."""

    name: str
    of: str
    shape: tuple[int | str, ...]
    unit: str
    doc: str


def _fields(of: str, *rows: tuple[Any, ...]) -> list[Field]:
    """Rows are (name, unit, doc) or (name, shape, unit, doc)."""
    return [Field(r[0], of, (), r[1], r[2]) if len(r) == 3 else Field(r[0], of, r[1], r[2], r[3]) for r in rows]


FIELDS: tuple[Field, ...] = (
    *_fields(
        "slots",
        ("next_time", "tick", "when each timer fires; INFINITY when it does not run"),
    ),
    *_fields(
        "units",
        ("unit_state", "code", "index into sim.plant.STATES"),
        ("unit_phase", "code", "FREE without a part, IN_SETUP, IN_WORK, HOLDS ended parts that wait for room"),
        ("unit_part", "part", "first part in the unit, or -1; the others follow by part_next"),
        ("unit_count", "parts", "parts in the unit"),
        ("unit_link", "unit", "next unit in the same list of blocked units or of units waiting for a crew, or -1"),
        ("unit_asked", "tick", "when it joined that list; 0 outside one"),
        ("unit_left", "ticks", "setup or work left while it is interrupted, else 0"),
        ("unit_mode", "clock", "the clock for whose mode it is down, or -1"),
        ("unit_due", "bits", "planned modes (by number in the station) that wait for the unit to be free"),
        ("unit_family", "family", "family it is set up for, or -1"),
        ("unit_level", "level", "condition"),
        ("unit_wear", "ticks", "working time left at this level while it does not work, else 0; INFINITY without wear"),
        ("unit_since", "tick", "up to when its state has been accumulated"),
        ("unit_draws", (5, 2), "count, word", "streams work, route, setup, wear, scrap"),
    ),
    *_fields(
        "clocks",
        ("clock_left", "ticks or operations", "left while its slot does not run, else 0; INFINITY: never"),
        ("clock_draws", (2, 2), "count, word", "streams fail, repair"),
        ("begun", "times", "how often the unit went down for it"),
    ),
    *_fields(
        "stations",
        ("q_head", "part", "first part of the queue, or -1"),
        ("q_tail", "part", "last part of the queue, or -1"),
        ("q_len", "parts", "parts in the queue"),
        ("st_free", "units", "units without a part that are up and open"),
        ("st_reserved", "parts", "places promised to parts in work elsewhere (before_service)"),
        ("st_barred", "0/1", "a free unit could start but for room downstream (before_service)"),
        ("st_held", "products", "products with held = 1 that start here"),
        ("st_asked", "tick", "since when it waits for operators, or -1"),
        ("n_state", (7,), "units", "units in each state"),
        ("kanban", "parts", "most parts in queue and units (control); NO_LIMIT without"),
        ("at_level", "level", "condition at which planned maintenance begins (control); NO_LIMIT without"),
        ("weights", (10,), "1", "dispatching weights (controls), in the order of sim.plant.FEATURES"),
        ("work_scale", "2^-16", "factor on work times of this replica"),
        ("fail_scale", "2^-16", "factor on times to failure"),
        ("repair_scale", "2^-16", "factor on repair times"),
        ("q_area", "part-ticks", "parts in the queue over time"),
        ("q_last", "tick", "up to when q_area has been accumulated"),
        ("started", "parts", "operations started"),
        ("ended", "parts", "operations ended"),
        ("failures", "failures", "unplanned modes begun"),
        ("maintained", "times", "planned modes begun"),
        ("set_ups", "setups", "setups begun"),
        ("st_ticks", (7,), "unit-ticks", "time of the units in each state"),
        ("planned_down", "unit-ticks", "of the time down, that for planned modes"),
        ("planned_work", "ticks", "planned time of the parts ended, where the operations here differ in it; else 0"),
        ("spoilt", "parts", "ended parts that left as scrap"),
    ),
    *_fields("doors", ("blocked_head", "unit", "first unit that waits for room behind this door, or -1")),
    *_fields(
        "crews",
        ("crew_free", "people", "repairers free"),
        ("crew_head", "unit", "first unit waiting for the crew, or -1"),
    ),
    *_fields("pools", ("pool_free", "people", "operators free")),
    *_fields(
        "calendars",
        ("cal_open", "0/1", "open now"),
        ("cal_next", "index", "number of the next change in the calendar's table"),
        ("overtime", "ticks", "by which closings are put off (control)"),
        ("cal_extra", "0/1", "the present opening is in overtime"),
        ("overtime_ticks", "ticks", "overtime worked"),
    ),
    *_fields(
        "products",
        ("wip", "units", "released and not yet finished or scrapped"),
        ("pending", "lots", "arrived and not yet released"),
        ("held", "0/1", "held back by the decision alone"),
        ("cap", "units", "CONWIP cap (control)"),
        ("base_stock", "units", "base stock of the release (control); -1 without"),
        ("arrival_left", "ticks", "paused arrival clock, or -1"),
        ("arrival_draws", (2,), "count, word", "stream of arrivals"),
        ("due_draws", (2,), "count, word", "stream of times to due dates"),
        ("order_at", "index", "line of the order list that arrives next"),
        ("order_taken", "index", "line of the order list being released"),
        ("order_done", "lots", "lots of that line released"),
        ("arrival_scale", "2^-16", "factor on times between arrivals"),
        ("released", "units", "released"),
        ("finished", "units", "finished"),
        ("scrapped", "units", "scrapped"),
        ("flow_sum", "unit-ticks", "sum of flow times of finished units"),
        ("wip_area", "unit-ticks", "WIP over time"),
        ("wip_last", "tick", "up to when wip_area has been accumulated"),
        ("tardy", "units", "finished after their due date"),
        ("tardy_sum", "unit-ticks", "by how much"),
    ),
    *_fields(
        "groups",
        ("group_wip", "units", "WIP of the group's products"),
        ("group_cap", "units", "CONWIP cap of the group (control)"),
    ),
    *_fields(
        "stocks",
        ("on_hand", "units", "stock on hand"),
        ("backorders", "units", "ordered by customers, not yet shipped"),
        ("on_order", "units", "ordered and not yet received, all lanes"),
        ("level", "units", "order-up-to level (control)"),
        ("reorder", "units", "reorder point (control)"),
        ("express_level", "units", "order-up-to level of the express lane (control)"),
        ("seen", "units", "demanded when the last forecast period began"),
        ("past", ("periods",), "units", "demand of the last forecast periods, the latest first"),
        ("lead_scale", "2^-16", "factor on lead times"),
        ("on_hand_area", "unit-ticks", "stock on hand over time"),
        ("backorder_area", "unit-ticks", "backorders over time"),
        ("transit_area", "unit-ticks", "units in transit over time"),
        ("stock_last", "tick", "up to when the stock's areas have been accumulated"),
        ("demanded", "units", "demanded by customers"),
        ("met", "units", "met at once from stock"),
        ("shipped", "units", "shipped to customers"),
        ("lost", "units", "lost"),
        ("received", "units", "units received"),
    ),
    *_fields(
        "lanes",
        ("lane_order", "units", "ordered and not yet received"),
        ("owed", "units", "of these not yet shipped by the source stock, or waiting for the vehicle"),
        ("lead_draws", (2,), "count, word", "stream of lead times"),
        ("late_draws", (2, 2), "count, word", "streams: is it late, by how much"),
        ("orders", "orders", "orders placed"),
        ("ordered", "units", "units ordered"),
        ("transit_due", ("transit",), "tick", "when the order arrives; INFINITY where the place is empty"),
        ("transit_qty", ("transit",), "units", "its quantity; 0 where the place is empty"),
    ),
    *_fields("suppliers", ("busy_until", "tick", "until when its capacity is taken")),
    *_fields(
        "demands",
        ("demand_left", "ticks", "paused demand clock, or -1"),
        ("demand_draws", (2,), "count, word", "stream of times between orders"),
        ("quantity_draws", (2,), "count, word", "stream of order quantities"),
        ("book_at", "index", "line of the order book that comes next"),
        ("demand_scale", "2^-16", "factor on times between orders"),
        ("waiting", "units", "ordered, not yet shipped"),
        ("ring_len", "orders", "orders with a date that wait, the oldest first"),
        ("ring_due", ("ring",), "tick", "their promised dates; 0 where empty"),
        ("ring_qty", ("ring",), "units", "what is still to be shipped of them; 0 where empty"),
        ("waiting_area", "unit-ticks", "units waiting over time"),
        ("waiting_last", "tick", "up to when waiting_area has been accumulated"),
        ("asked", "units", "demanded"),
        ("served", "units", "met at once"),
        ("lost_units", "units", "lost"),
        ("late_units", "units", "shipped after their promised date"),
        ("late_sum", "unit-ticks", "by how much"),
    ),
    *_fields("bands", ("energy", "watt-ticks", "energy used at this price")),
    *_fields(
        "entities",
        ("work_list", "entity", "ring of woken entities (stations, then products)"),
        ("work_flag", "0/1", "is in the ring"),
    ),
    *_fields(
        "parts",
        ("part_product", "product", "product of the part"),
        (
            "part_step",
            "step",
            "operation it waits for or undergoes (global step index); DONE or SCRAP too in a unit that HOLDS",
        ),
        ("part_release", "tick", "when it was released"),
        ("part_due", "tick", "due date, INFINITY without"),
        ("part_queued", "tick", "when it joined its present queue (0 in a unit)"),
        ("part_target", "step", "next step, where it is drawn before the work (before_service), else UNDRAWN"),
        ("part_dest", "station", "station whose place it has reserved (before_service), else -1"),
        ("part_next", "part", "next part in its queue, unit or list of free records, or -1"),
    ),
    *_fields("own", ("own", "as the rules say", "state of the plant's own rules, written in SimPy")),
)

RECORDS = tuple(dict.fromkeys(f.of for f in FIELDS))
"""The records of the row, in order."""

ACCUMULATED = (
    "q_area", "started", "ended", "failures", "maintained", "set_ups", "begun", "st_ticks", "planned_down",
    "planned_work", "spoilt", "overtime_ticks", "released", "finished", "scrapped", "flow_sum", "wip_area", "tardy",
    "tardy_sum", "on_hand_area", "backorder_area", "transit_area", "demanded", "met", "shipped", "lost", "received",
    "orders", "ordered", "waiting_area", "asked", "served", "lost_units", "late_units", "late_sum", "energy",
)  # fmt: skip
"""Fields that `clear_stats` sets to 0 (`seen` is lowered by what `demanded` loses)."""
SINCE = ("unit_since", "q_last", "wip_last", "stock_last", "waiting_last", "energy_last", "stats_from")
"""Fields that `clear_stats` sets to now."""


def _size(shape: tuple[int | str, ...]) -> int:
    """Numbers in a field of fixed shape."""
    return math.prod(int(n) for n in shape)


def _varies(field: Field) -> bool:
    """Does the field's size depend on the plant? Such fields stand in arrays of their own, behind all records."""
    return any(isinstance(n, str) for n in field.shape)


PLACE: dict[str, int] = {}
"""Distance of each field of fixed shape from the beginning of its record."""
WIDTH: dict[str, int] = {}
"""Numbers in each record."""
for _field in (f for f in FIELDS if not _varies(f)):
    PLACE[_field.name] = WIDTH.get(_field.of, 0)
    WIDTH[_field.of] = PLACE[_field.name] + _size(_field.shape)
LONG = tuple(f for f in FIELDS if _varies(f))


def _distances(of: str) -> tuple[int, ...]:
    return tuple(PLACE[f.name] for f in FIELDS if f.of == of and not _varies(f))


(
    UNIT_STATE, UNIT_PHASE, UNIT_PART, UNIT_COUNT, UNIT_LINK, UNIT_ASKED, UNIT_LEFT, UNIT_MODE, UNIT_DUE,
    UNIT_FAMILY, UNIT_LEVEL, UNIT_WEAR, UNIT_SINCE, UNIT_DRAWS,
) = _distances("units")  # fmt: skip
(
    CLOCK_LEFT, CLOCK_DRAWS, BEGUN,
) = _distances("clocks")  # fmt: skip
(
    Q_HEAD, Q_TAIL, Q_LEN, ST_FREE, ST_RESERVED, ST_BARRED, ST_HELD, ST_ASKED, N_STATE, KANBAN, AT_LEVEL,
    WEIGHTS, WORK_SCALE, FAIL_SCALE, REPAIR_SCALE, Q_AREA, Q_LAST, STARTED, ENDED, FAILURES, MAINTAINED,
    SET_UPS, ST_TICKS, PLANNED_DOWN, PLANNED_WORK, SPOILT,
) = _distances("stations")  # fmt: skip
(
    BLOCKED_HEAD,
) = _distances("doors")  # fmt: skip
(
    CREW_FREE, CREW_HEAD,
) = _distances("crews")  # fmt: skip
(
    POOL_FREE,
) = _distances("pools")  # fmt: skip
(
    CAL_OPEN, CAL_NEXT, OVERTIME, CAL_EXTRA, OVERTIME_TICKS,
) = _distances("calendars")  # fmt: skip
(
    WIP, PENDING, HELD, CAP, BASE_STOCK, ARRIVAL_LEFT, ARRIVAL_DRAWS, DUE_DRAWS, ORDER_AT, ORDER_TAKEN,
    ORDER_DONE, ARRIVAL_SCALE, RELEASED, FINISHED, SCRAPPED, FLOW_SUM, WIP_AREA, WIP_LAST, TARDY, TARDY_SUM,
) = _distances("products")  # fmt: skip
(
    GROUP_WIP, GROUP_CAP,
) = _distances("groups")  # fmt: skip
(
    ON_HAND, BACKORDERS, ON_ORDER, LEVEL, REORDER, EXPRESS_LEVEL, SEEN, LEAD_SCALE, ON_HAND_AREA,
    BACKORDER_AREA, TRANSIT_AREA, STOCK_LAST, DEMANDED, MET, SHIPPED, LOST, RECEIVED,
) = _distances("stocks")  # fmt: skip
(
    LANE_ORDER, OWED, LEAD_DRAWS, LATE_DRAWS, ORDERS, ORDERED,
) = _distances("lanes")  # fmt: skip
(
    BUSY_UNTIL,
) = _distances("suppliers")  # fmt: skip
(
    DEMAND_LEFT, DEMAND_DRAWS, QUANTITY_DRAWS, BOOK_AT, DEMAND_SCALE, WAITING, RING_LEN, WAITING_AREA,
    WAITING_LAST, ASKED, SERVED, LOST_UNITS, LATE_UNITS, LATE_SUM,
) = _distances("demands")  # fmt: skip
(
    ENERGY,
) = _distances("bands")  # fmt: skip
(
    WORK_LIST, WORK_FLAG,
) = _distances("entities")  # fmt: skip
(
    PART_PRODUCT, PART_STEP, PART_RELEASE, PART_DUE, PART_QUEUED, PART_TARGET, PART_DEST, PART_NEXT,
) = _distances("parts")  # fmt: skip

# Widths of the records of the row.
UNIT_W = WIDTH["units"]
CLOCK_W = WIDTH["clocks"]
STATION_W = WIDTH["stations"]
CREW_W = WIDTH["crews"]
CALENDAR_W = WIDTH["calendars"]
PRODUCT_W = WIDTH["products"]
GROUP_W = WIDTH["groups"]
STOCK_W = WIDTH["stocks"]
LANE_W = WIDTH["lanes"]
DEMAND_W = WIDTH["demands"]
ENTITY_W = WIDTH["entities"]
PART_W = WIDTH["parts"]

# --- the params array ---------------------------------------------------------------------------------------------

TABLES: dict[str, tuple[str, ...]] = {
    "units": ("station", "unit_entity", "first_clock", "clock_total", "repair_slot", "wear_slot"),
    "clocks": (
        "clock_unit", "clock_entity", "clock_kind", "clock_slot", "clock_table", "repair_table", "clock_crew",
        "clock_priority", "work_after", "planned", "finish", "renews", "restores", "watches_level", "clock_number",
    ),
    "stations": (
        "first_unit", "unit_total", "capacity", "st_calendar", "freezes", "batch_least", "batch_most", "batch_wait",
        "batch_by", "wait_slot", "picks", "eager", "st_pool", "st_people", "st_priority", "setup_at", "levels",
        "condition_at", "power_at", "part_energy", "starters_at", "starters_end", "doors_at", "doors_end",
        "feeders_at", "feeders_end", "counts", "varies", "plain",
    ),
    "doors": ("door_at", "door_end"),
    "pools": ("mates_at", "mates_end"),
    "calendars": (
        "calendar_slot", "changes_at", "changes_end", "changes_weekly", "cal_stations_at", "cal_stations_end",
    ),
    "steps": (
        "step_station", "step_table", "step_door", "choices_at", "choices_end", "route_at", "route_end", "needs_at",
        "needs_end", "mean_left", "steps_left",
    ),
    "products": (
        "first_step", "policy", "product_stock", "product_calendar", "product_entity", "arrival_table", "arrival_slot",
        "consumes_at", "consumes_end", "family", "lot", "transfer", "due_table", "part_priority", "product_group",
        "mix", "list_at", "list_end", "stops",
    ),
    "groups": ("members_at", "members_end"),
    "stocks": (
        "stock_entity", "filler", "users_at", "users_end", "needers_at", "needers_end", "claims_at", "claims_end",
        "lane_regular", "lane_express", "review_slot", "review_ticks", "order_policy", "order_quantity", "echelon",
        "below_at", "below_end", "source_stock", "window", "cover", "safety", "continuous",
    ),
    "lanes": (
        "lane_stock", "lane_supplier", "lane_source", "lead_table", "delivery_slot", "least", "multiple", "lane_entity",
        "lead_mean", "vehicle",
    ),
    "suppliers": ("unit_ticks", "in_time", "late_table"),
    "demands": (
        "demand_stock", "demand_calendar", "demand_entity", "demand_table", "demand_slot", "most_owed", "quantity_at",
        "quantity_end", "promise", "season_at", "book_start", "book_end",
    ),
    "slots": ("slot_kind", "slot_owner"),
}  # fmt: skip
"""Records of the params array. X_at and X_end delimit a list that belongs to the thing, as positions in params. Lists:
starters, feeders, mates, users, needers, members, below, cal_stations, door: indices; doors: doors that contain the
station; choices: (station, work table, mean work, c-mu index) of a step; route: (threshold, target); needs, consumes:
(stock, quantity); claims: (0 demand or 1 lane, index) in the order of service; changes: ticks, the last
`changes_weekly` of which repeat weekly; list, book: (tick, quantity, due) of orders; quantity: (threshold, value);
season: factors 2^-16 of 168 hours; setup: (table or -1, mean) by (from family + 1) * families + to family; condition:
for each level wear table, failure table or -1, slow 2^-16, scrap threshold 2^-32; power: watts of the seven states.
plain: 1 where a station is not eager and has no dispatching weights, setups, operators, condition, parts clocks and no
door that it shares with others."""


def _table_distances(of: str) -> tuple[int, ...]:
    return tuple(range(len(TABLES[of])))


(
    STATION, UNIT_ENTITY, FIRST_CLOCK, CLOCK_TOTAL, REPAIR_SLOT, WEAR_SLOT,
) = _table_distances("units")  # fmt: skip
(
    CLOCK_UNIT, CLOCK_ENTITY, CLOCK_KIND, CLOCK_SLOT, CLOCK_TABLE, REPAIR_TABLE, CLOCK_CREW, CLOCK_PRIORITY,
    WORK_AFTER, PLANNED, FINISH, RENEWS, RESTORES, WATCHES_LEVEL, CLOCK_NUMBER,
) = _table_distances("clocks")  # fmt: skip
(
    FIRST_UNIT, UNIT_TOTAL, CAPACITY, ST_CALENDAR, FREEZES, BATCH_LEAST, BATCH_MOST, BATCH_WAIT, BATCH_BY,
    WAIT_SLOT, PICKS, EAGER, ST_POOL, ST_PEOPLE, ST_PRIORITY, SETUP_AT, LEVELS, CONDITION_AT, POWER_AT,
    PART_ENERGY, STARTERS_AT, STARTERS_END, DOORS_AT, DOORS_END, FEEDERS_AT, FEEDERS_END, COUNTS, VARIES, PLAIN,
) = _table_distances("stations")  # fmt: skip
(
    DOOR_AT, DOOR_END,
) = _table_distances("doors")  # fmt: skip
(
    MATES_AT, MATES_END,
) = _table_distances("pools")  # fmt: skip
(
    CALENDAR_SLOT, CHANGES_AT, CHANGES_END, CHANGES_WEEKLY, CAL_STATIONS_AT, CAL_STATIONS_END,
) = _table_distances("calendars")  # fmt: skip
(
    STEP_STATION, STEP_TABLE, STEP_DOOR, CHOICES_AT, CHOICES_END, ROUTE_AT, ROUTE_END, NEEDS_AT, NEEDS_END,
    MEAN_LEFT, STEPS_LEFT,
) = _table_distances("steps")  # fmt: skip
(
    FIRST_STEP, POLICY, PRODUCT_STOCK, PRODUCT_CALENDAR, PRODUCT_ENTITY, ARRIVAL_TABLE, ARRIVAL_SLOT,
    CONSUMES_AT, CONSUMES_END, FAMILY, LOT, TRANSFER, DUE_TABLE, PART_PRIORITY, PRODUCT_GROUP, MIX, LIST_AT,
    LIST_END, STOPS,
) = _table_distances("products")  # fmt: skip
(
    MEMBERS_AT, MEMBERS_END,
) = _table_distances("groups")  # fmt: skip
(
    STOCK_ENTITY, FILLER, USERS_AT, USERS_END, NEEDERS_AT, NEEDERS_END, CLAIMS_AT, CLAIMS_END, LANE_REGULAR,
    LANE_EXPRESS, REVIEW_SLOT, REVIEW_TICKS, ORDER_POLICY, ORDER_QUANTITY, ECHELON, BELOW_AT, BELOW_END,
    SOURCE_STOCK, WINDOW, COVER, SAFETY, CONTINUOUS,
) = _table_distances("stocks")  # fmt: skip
(
    LANE_STOCK, LANE_SUPPLIER, LANE_SOURCE, LEAD_TABLE, DELIVERY_SLOT, LEAST, MULTIPLE, LANE_ENTITY, LEAD_MEAN,
    VEHICLE,
) = _table_distances("lanes")  # fmt: skip
(
    UNIT_TICKS, IN_TIME, LATE_TABLE,
) = _table_distances("suppliers")  # fmt: skip
(
    DEMAND_STOCK, DEMAND_CALENDAR, DEMAND_ENTITY, DEMAND_TABLE, DEMAND_SLOT, MOST_OWED, QUANTITY_AT, QUANTITY_END,
    PROMISE, SEASON_AT, BOOK_START, BOOK_END,
) = _table_distances("demands")  # fmt: skip
(
    SLOT_KIND, SLOT_OWNER,
) = _table_distances("slots")  # fmt: skip

# Widths of the records of params.
UNIT_PW = len(TABLES["units"])
CLOCK_PW = len(TABLES["clocks"])
STATION_PW = len(TABLES["stations"])
DOOR_PW = len(TABLES["doors"])
POOL_PW = len(TABLES["pools"])
CALENDAR_PW = len(TABLES["calendars"])
STEP_PW = len(TABLES["steps"])
PRODUCT_PW = len(TABLES["products"])
GROUP_PW = len(TABLES["groups"])
STOCK_PW = len(TABLES["stocks"])
LANE_PW = len(TABLES["lanes"])
SUPPLIER_PW = len(TABLES["suppliers"])
DEMAND_PW = len(TABLES["demands"])
SLOT_PW = len(TABLES["slots"])


HEADER_NAMES = (
    *(f"n_{name}" for name in SIZES if name != "own"),
    *(f"at_{name}" for name in RECORDS if name != "own"),
    *(f"at_{f.name}" for f in LONG),
    *(f"to_{name}" for name in TABLES),
    "n_timers", "slot_block", "week", "families", "before_service",
    "tariff_slot", "tariff_at", "tariff_end", "tariff_weekly", "powered",
    "season_start",
)  # fmt: skip
"""Header of the params array: how many there are, where each record begins in the row and in params, and what belongs
to the plant as a whole (nothing of `own`: the kernel never runs such a plant). season_start: ticks of the local week
that had passed at tick 0."""
HEADER = len(HEADER_NAMES)
(
    N_UNITS, N_CLOCKS, N_STATIONS, N_DOORS, N_CREWS, N_POOLS, N_CALENDARS, N_PRODUCTS, N_GROUPS, N_STOCKS,
    N_LANES, N_SUPPLIERS, N_DEMANDS, N_PARTS, N_SLOTS, N_ENTITIES, N_STEPS, N_BANDS, N_TRANSIT, N_RING,
    N_PERIODS, AT_SLOTS, AT_UNITS, AT_CLOCKS, AT_STATIONS, AT_DOORS, AT_CREWS, AT_POOLS, AT_CALENDARS,
    AT_PRODUCTS, AT_GROUPS, AT_STOCKS, AT_LANES, AT_SUPPLIERS, AT_DEMANDS, AT_BANDS, AT_ENTITIES, AT_PARTS,
    AT_PAST, AT_TRANSIT_DUE, AT_TRANSIT_QTY, AT_RING_DUE, AT_RING_QTY, TO_UNITS, TO_CLOCKS, TO_STATIONS,
    TO_DOORS, TO_POOLS, TO_CALENDARS, TO_STEPS, TO_PRODUCTS, TO_GROUPS, TO_STOCKS, TO_LANES, TO_SUPPLIERS,
    TO_DEMANDS, TO_SLOTS, N_TIMERS, SLOT_BLOCK, WEEK, FAMILIES, BEFORE_SERVICE, TARIFF_SLOT,
    TARIFF_AT, TARIFF_END, TARIFF_WEEKLY,
    POWERED, SEASON_START,
) = range(HEADER)  # fmt: skip

# --- codes --------------------------------------------------------------------------------------------------------

KINDS = (
    "work_end", "failure", "repair_end", "wear", "wait", "calendar", "tariff", "delivery", "arrival", "demand",
    "review",
)  # fmt: skip
(
    K_WORK_END, K_FAILURE, K_REPAIR_END, K_WEAR, K_WAIT, K_CALENDAR, K_TARIFF, K_DELIVERY, K_ARRIVAL, K_DEMAND,
    K_REVIEW,
) = range(11)  # fmt: skip
K_OWN = len(KINDS)
"""Kind, in traces, of the timers of rules written in SimPy; they have no slot in the row."""
EVERY_KIND = (1 << K_OWN + 1) - 1
"""The set, as bits, of all kinds of events, those of such timers among them."""
IDLE, WORKING, BLOCKED, STARVED, SETUP, DOWN, OFF = range(7)
FREE, IN_SETUP, IN_WORK, HOLDS = range(4)
PUSH, CONWIP, SATURATED, LISTED = range(4)
POLICIES = ("push", "conwip", "saturated", "orders")
ODF, TDF, PER_PART, BY_CONDITION, NO_CLOCK = range(5)
CLOCK_WORDS = ("odf", "tdf", "parts", "condition", "none")
RESUMES, REPEATS, IS_SCRAPPED = range(3)
AFTER_WORDS = ("resumes", "repeats", "scrapped")
BASE_STOCK_POLICY, S_S, R_Q, FORECAST, CONSTANT_ORDER = range(5)
ORDER_WORDS = ("base_stock", "s_S", "r_Q", "forecast", "constant_order")
BY_FAMILY, BY_PRODUCT, BY_ANY = range(3)
BATCH_WORDS = ("family", "product", "any")
"""Codes in params of the words of `sim.plant`."""


SLOT_BLOCK_SIZE = 32
"""Timers are looked through in blocks of so many; the row has whole blocks, filled up with INFINITY."""


class Layout:
    """Where everything stands for one plant: `sizes`, `at(name, ...)`, `shape[name]`, `width` of a row."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = dict(sizes)
        self.timers = max(-(-sizes["slots"] // SLOT_BLOCK_SIZE), 1) * SLOT_BLOCK_SIZE
        """Places for timers, of which the first `slots` are used."""
        self.start: dict[str, int] = {}
        """Where each record's array, and each field of varying shape, begins in the row."""
        self.shape: dict[str, tuple[int, ...]] = dict.fromkeys(SCALARS, ())
        at = len(SCALARS)
        for record in RECORDS:
            self.start[record] = at
            at += self.timers if record == "slots" else sizes[record] * WIDTH[record]
        for f in FIELDS:
            self.shape[f.name] = (sizes[f.of], *(sizes[n] if isinstance(n, str) else n for n in f.shape))
        for f in LONG:
            self.start[f.name] = at
            at += math.prod(self.shape[f.name])
        self.width = at

    def blank_row(self) -> Array:
        """A row int64[W] of zeros, with INFINITY in the places for timers that no slot uses."""
        row = np.zeros(self.width, dtype=np.int64)
        row[self.start["slots"] + self.sizes["slots"] : self.start["slots"] + self.timers] = INFINITY
        return row

    def size(self, name: str) -> int:
        """Number of int64 of a field."""
        return math.prod(self.shape[name])

    def at(self, name: str, *index: int) -> int:
        """Position in the row of element `index` of a field (all zeros when left out)."""
        if name in _SCALAR:
            return _SCALAR[name]
        shape = self.shape[name]
        place = tuple(index) + (0,) * (len(shape) - len(index))
        inner = int(np.ravel_multi_index(place[1:], shape[1:])) if len(shape) > 1 else 0
        if name in PLACE:
            return self.start[_OF[name]] + place[0] * WIDTH[_OF[name]] + PLACE[name] + inner
        return self.start[name] + place[0] * math.prod(shape[1:]) + inner

    def view(self, rows: Array, name: str) -> Array:
        """Field `name` of rows [..., W] as a view of shape [..., *shape]; of a scalar, [...]."""
        if name in _SCALAR:
            return rows[..., _SCALAR[name]]
        shape, lead = self.shape[name], rows.shape[:-1]
        if name not in PLACE:
            return rows[..., self.start[name] : self.start[name] + self.size(name)].reshape(lead + shape)
        of, place = _OF[name], PLACE[name]
        width, begin = WIDTH[of], self.start[of]
        records = rows[..., begin : begin + shape[0] * width].reshape((*lead, shape[0], width))
        if len(shape) == 1:
            return records[..., place]
        return records[..., place : place + math.prod(shape[1:])].reshape(lead + shape)

    def name_at(self, position: int) -> str:
        """Readable name of a position in the row, such as `q_len[2]` (for error messages and diffs)."""
        if position < len(SCALARS):
            return SCALARS[position]
        name = max((n for n in self.start if self.start[n] <= position and self._extent(n)), key=self.start.__getitem__)
        inside = position - self.start[name]
        if name in WIDTH:
            record, inside = divmod(inside, WIDTH[name])
            name = max(
                (f.name for f in FIELDS if f.of == name and PLACE.get(f.name, WIDTH[name]) <= inside),
                key=PLACE.__getitem__,
            )
            index: tuple[Any, ...] = (record, *np.unravel_index(inside - PLACE[name], self.shape[name][1:] or (1,)))
        else:
            index = np.unravel_index(inside, self.shape[name])
        places = [int(i) for i in index[: len(self.shape[name])]]
        return f"{name}[{', '.join(map(str, places))}]"

    def _extent(self, name: str) -> int:
        return self.sizes[name] * WIDTH[name] if name in WIDTH else self.size(name)


_SCALAR = {name: i for i, name in enumerate(SCALARS)}
_OF = {f.name: f.of for f in FIELDS}


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
        if name not in layout.shape:
            raise AttributeError(f"the row has no field {name!r}")
        if name in _SCALAR:
            return int(self.row[_SCALAR[name]])
        return layout.view(self.row, name)

    def __setattr__(self, name: str, value: Any) -> None:
        layout: Layout = object.__getattribute__(self, "_layout")
        if name not in layout.shape:
            raise AttributeError(f"the row has no field {name!r}")
        if name in _SCALAR:
            self.row[_SCALAR[name]] = int(value)
        else:
            layout.view(self.row, name)[...] = np.asarray(value, dtype=np.int64)
