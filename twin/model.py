"""What the twin believes: plain mutable structs that can be written to bytes and read back unchanged.

Times are plant time in UTC milliseconds. Stations, products, steps and stocks are positions in the
plant's lists; step numbers count within a product. -1 means unknown or none.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from twin.hidden_state import Hidden
from twin.learned import Learned

MEASURED, ESTIMATED, STALE, BAD = "measured", "estimated", "stale", "bad"
"""Marks of a value; every value has exactly one."""

IDLE, WORK, BLOCKED, STARVED, SETUP, DOWN, OFF = range(7)
FREE = (IDLE, STARVED, OFF)
"""States in which a unit holds no part."""


class Part(msgspec.Struct):
    """A part that is believed to exist. `guess`: its product or place was inferred, not observed.

    `alts` are the other steps (or DONE, SCRAP) it may have gone to when it last left a station with
    a choice; `came` is that station, `moved` when. `done`: the operation in the unit has ended, it waits to leave.
    """

    product: int
    step: int
    born: int
    since: int
    guess: bool = False
    came: int = -1
    moved: int = 0
    alts: list[int] = []
    done: bool = False


class Unit(msgspec.Struct):
    """A work unit. `state` -1: never seen. `parts`: what it holds, in their order (an oven holds several)."""

    state: int = -1
    since: int = 0
    was: int = -1  # its state before it went down or off
    said: int = -1  # what its state sensor last said, and when
    seen: int = 0
    measured: bool = False
    odd: int = 0  # since when `said` contradicts what it is believed to hold (0: it does not)
    assumed: bool = False  # the start of the part in hand was not seen
    parts: list[Part] = []
    started: int = 0
    ended: int = 0  # when an operation last ended here
    on_part: int = 0  # ms worked on the parts in hand
    on_setup: int = 0  # ms of setup for them
    worked: int = 0  # ms worked since the last repair that was seen (age of the failure clock)
    age_known: bool = False
    ages: dict[str, int] = {}  # the same by mode where there are several, in operations for modes that count those
    family: str = ""  # what it is set up for, in setup what it was set up for before; "" unknown
    mode: str = ""  # what it is down for, "" unknown
    repair: int = 0  # since when somebody is believed to repair it, 0 nobody yet

    @property
    def part(self) -> Part | None:
        """The first part in hand."""
        return self.parts[0] if self.parts else None

    @property
    def done(self) -> bool:
        """Has all that it holds ended, and waits for room downstream?"""
        return bool(self.parts) and all(part.done for part in self.parts)


class StationState(msgspec.Struct):
    """A work center: its units, its queue in order, and what its level sensor says against that."""

    units: list[Unit]
    queue: list[Part] = []
    level: int | None = None  # newest reading of the level sensor, as sent
    level_t: int = 0
    bias: int = 0  # what the sensor shows when physics says the queue is empty
    misses: int = 0  # readings in a row that differ from the queue by the same number
    miss_by: int = 0
    miss_since: int = 0
    suspect: bool = True  # counts may have been missed: the next level reading is believed
    events: bool = False  # work_start and work_end events are received
    started: int = 0
    ended: int = 0
    ended_of: list[int] = []
    failures: int = 0
    set_ups: int = 0
    refill: bool = False  # a unit without start events may have taken the next part at this moment


class Shipment(msgspec.Struct):
    """What a source stock has sent of an order: units, and when they left."""

    quantity: int
    left: int


class Order(msgspec.Struct):
    """An order at a supplier or at another stock (then with what has been sent and received of it, by document).

    `version` -1: known only from what was sent or received of it.
    """

    doc: str
    version: int = -1
    quantity: int = 0
    issued: int = 0
    due: int = 0
    lane: str = "regular"
    from_stock: bool = False
    sent: dict[str, Shipment] = {}
    got: dict[str, int] = {}
    versions: dict[str, int] = {}  # of its receipts and shipment notices
    due_said: tuple[int, int, str] = (0, -1, "")  # a notice before an order, then the version, then the document

    @property
    def shipped(self) -> int:
        return sum(s.quantity for s in self.sent.values())

    @property
    def received(self) -> int:
        return sum(self.got.values())


class StockState(msgspec.Struct):
    """A stock point. `measured_t` by property: when a sensor last said so; `ordered` and `placed` (orders) by lane."""

    on_hand: int
    backorder: int = 0
    on_order: int = 0
    measured_t: dict[str, int] = {}
    orders: dict[str, Order] = {}
    ahead: dict[str, int] = {}  # by lane: units that its source must have sent although no notice has come
    closed: dict[str, Order] = {}  # orders of which nothing is to come; a later document opens them again
    by_sensor: bool = False  # a sensor of its own says what is on hand
    grown: int = 0  # when more came to hand last
    demanded: int = 0
    shipped: int = 0
    received: int = 0
    ordered: dict[str, int] = {}
    placed: dict[str, int] = {}


class Standing(msgspec.Struct):
    """What is still to come of an order: units on their way, and units that a source stock has yet to send."""

    order: Order
    on_way: int
    owed: int = 0


def standing(stock: StockState, lane: str) -> list[Standing]:
    """The orders of a lane of which something is to come, the oldest first.

    A source stock sends in the order of the orders: before the last one it has sent something of, it owes nothing.
    """
    orders = sorted((o for o in stock.orders.values() if o.lane == lane), key=lambda o: (o.issued, o.doc))
    last = max((i for i, o in enumerate(orders) if o.sent or o.got), default=-1)
    found = []
    for i, order in enumerate(orders):
        if order.from_stock:
            done = max(order.shipped, order.received)
            entry = Standing(order, done - order.received, max(order.quantity - done, 0) if i >= last else 0)
        else:
            ordered = order.quantity if order.version >= 0 else order.shipped  # of an unknown order, what was announced
            entry = Standing(order, max(ordered - order.received, 0))
        if entry.on_way or entry.owed:
            found.append(entry)
    return found


def owed(stock: StockState, lane: str) -> int:
    """Units of a lane that its source stock still owes. What documents say beyond what a sensor has on order was sent
    before the first document came.
    """
    entries = {name: standing(stock, name) for name in LANES}
    total = sum(e.on_way + e.owed for found in entries.values() for e in found)
    over = max(total - stock.on_order, 0) if "on_order" in stock.measured_t else 0
    return max(sum(e.owed for e in entries[lane]) - over - stock.ahead.get(lane, 0), 0)


LANES = ("regular", "express")


class DemandState(msgspec.Struct):
    """Customers of a stock. `waiting` units, their orders (ms, units) in `dates`, the oldest first; `counted`: a sensor
    counts them, `last` when it last rose.
    """

    waiting: int = 0
    dates: list[tuple[int, int]] = []
    counted: bool = False
    last: int = 0
    demanded: int = 0
    lost: int = 0


class Meters(msgspec.Struct):
    """What was measured over time since the twin's first row; differences of two copies give a realised effect.

    `queue_ms` part-ms per station queue, `hand_ms` and `back_ms` unit-ms per stock, `wait_ms` unit-ms per demand,
    `wip_ms` part-ms per product, `state_ms` ms in each of the seven states per station (all units together).
    """

    queue_ms: list[int]
    hand_ms: list[int]
    back_ms: list[int]
    wait_ms: list[int]
    wip_ms: list[int]
    state_ms: list[list[int]]
    released: list[int]
    finished: list[int]
    scrapped: list[int]


class Channel(msgspec.Struct):
    """A cumulative counter as sent: its newest value and when that held. `guessed`: what was made up since, last at
    `guess_t`, and will be counted if it is true.
    """

    last: int
    t: int
    resets: int = 0
    guessed: int = 0
    guess_t: int = 0


class TagState(msgspec.Struct):
    """The newest reading of one tag and how its readings fared."""

    value: float
    t: int
    quality: int = 0
    flag: str = ""  # newest failed check, "" when the newest reading passed all
    changed: int = 0  # when the value last changed
    same: int = 1  # readings in a row with this value
    n: int = 1
    failed: dict[str, int] = {}


class Contradiction(msgspec.Struct):
    """Sensors that cannot all be right, and by how much (parts or units)."""

    what: str
    sensors: list[str]
    by: float
    since: int
    t: int
    n: int = 1


class Command(msgspec.Struct):
    """What the journal holds about one command."""

    target: str = ""
    value: int = 0
    step: str = ""
    read_back: float | None = None
    reason: str = ""
    t: int = 0


class Manual(msgspec.Struct):
    """The newest manual count of something, with its spread (1 sigma)."""

    value: float
    sd: float
    t: int
    role: str


class Refit(msgspec.Struct):
    """An approved refit of a parameter: the factor on the plant file's value (for a yield the share scrapped itself),
    its spread (log standard deviation), since when it holds, who approved it, and its id and reason as JSON.
    """

    value: float
    sd: float
    t: int
    role: str
    text: str = ""

    @property
    def said(self) -> dict[str, Any]:
        """What `text` holds; empty where it is no JSON object (a row of the journal may hold anything)."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Booking(msgspec.Struct):
    """Good parts of a product (or of the line) as a document `production_performance` has them, issued at plant ms."""

    item: str
    quantity: float
    issued: int
    version: int


class TwinState(msgspec.Struct):
    """Everything believed at plant time `t`, after all readings up to then in event-time order."""

    t: int
    stations: list[StationState]
    stocks: list[StockState]
    demands: list[DemandState]
    meters: Meters
    wip: list[int]
    controls: dict[str, int]
    control_t: dict[str, int] = {}
    tags: dict[str, TagState] = {}
    channels: dict[str, Channel] = {}
    contradictions: dict[str, Contradiction] = {}
    commands: dict[str, Command] = {}
    manual: dict[str, Manual] = {}
    lately: list[Part] = []  # parts that were believed finished or scrapped but may have gone elsewhere
    counts: dict[str, int] = {}
    mode: str = ""
    hidden: dict[str, Hidden] = {}  # what no sensor sees, by stretch of stations
    history: list[list[int]] = []  # per whole minute: time, then the columns of `twin.forecast.series_names`
    started: int = 0  # time of the first row
    papers: dict[str, int] = {}  # kind of supply document -> when the newest was issued
    differs: dict[str, str] = {}  # product/component -> how a bill of material differs from the plant file
    bom_versions: dict[str, tuple[int, int]] = {}
    booked: dict[str, Booking] = {}  # finished output by its document, the newest
    refits: dict[str, Refit] = {}  # approved, by the parameter's name
    learned: Learned = msgspec.field(default_factory=Learned)  # of what has left the lateness window; the tracker's own


def held(station: StationState) -> int:
    """Parts at a station: in its queue and in its units."""
    return len(station.queue) + sum(len(unit.parts) for unit in station.units)


def guess(state: TwinState, key: str | None) -> None:
    """Something was made up that counter `key` must show with its next step, if it is true."""
    channel = state.channels.get(key or "")
    if channel is not None:
        channel.guessed, channel.guess_t = channel.guessed + 1, state.t


def done(state: TwinState, ends: list[int]) -> int:
    """How many of these products have been finished since the first row."""
    return sum(state.meters.finished[p] for p in ends)


def count(state: TwinState, what: str, n: int = 1) -> None:
    """Add to a visible counter of the state."""
    state.counts[what] = state.counts.get(what, 0) + n
