"""From a plant as described to what the kernel reads: one params array, one layout, the values of a fresh row."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from sim import distributions, tariff
from sim import state as st
from sim.calendars import transitions
from sim.deadlock import most_parts_of
from sim.ownrules import Loaded, OwnRulesError, load
from sim.plant import FEATURES, UNLIMITED, Plant, Station, Stock
from sim.state import Array, Layout
from sim.tables import (
    Index,
    Writer,
    clock_name,
    dispatch_weights,
    lane_name,
    write_products,
    write_stations,
    write_supply,
)
from sim.traits import before_service

TRANSIT_PERIODIC = 64
TRANSIT_PIECES = 160
TRANSIT_CONTINUOUS = 256
"""Places for orders in transit to one stock. One order a review: 64 reviews within a lead time. A stock that is short
sends what it owes another one piece by piece as it gets it (gearmotor with random setpoints: up to 84 on a way of
30 h). Under continuous review an order for every withdrawal. A fuller table is an error, never a drop."""
RING = 1024
"""Places for the late orders of a demand that promises dates; a fuller one is an error, never a drop."""
CALENDAR_WEEKS = 54
"""Weeks of explicit calendar changes (daylight saving included); afterwards the last week repeats."""


class CompileError(ValueError):
    """The plant cannot be compiled; says what and why."""


@dataclass(frozen=True)
class Compiled:
    """A plant ready for the kernel.

    `params` int64[], read-only; `layout` of the row; `initial` values of a fresh row by field name; `controls` int64[C]
    positions of the controls in the row, in file order; `slots` (kind name, owner id) of every timer; `start` is tick
    0.
    """

    plant: Plant
    params: Array
    layout: Layout
    initial: dict[str, Array]
    controls: Array
    slots: tuple[tuple[str, str], ...]
    start: datetime
    units: tuple[tuple[str, int], ...]
    """(station id, unit from 1) of every unit index."""
    steps: tuple[tuple[str, str], ...]
    """(product id, step id) of every global step index."""
    clocks: tuple[tuple[str, int, str], ...]
    """(station id, unit from 1, mode id) of every clock."""
    doors: tuple[tuple[int, ...], ...]
    """Stations (indices) of every door."""
    lanes: tuple[tuple[str, str], ...]
    """(stock id, "regular" or "express") of every lane."""
    families: tuple[str, ...]
    """Family of every family index."""
    tariff_changes: tuple[tuple[int, int], ...]
    """(tick, band from then on); the last `tariff_weekly` of them repeat every week."""
    tariff_weekly: int
    season_start: int
    """Ticks of the local week that had passed at tick 0."""
    own: Loaded | None = None
    """Rules of the plant's own: only the SimPy model knows them."""

    @cached_property
    def station_index(self) -> dict[str, int]:
        return {s.id: i for i, s in enumerate(self.plant.stations)}

    @cached_property
    def product_index(self) -> dict[str, int]:
        return {p.id: i for i, p in enumerate(self.plant.products)}

    @cached_property
    def stock_index(self) -> dict[str, int]:
        return {s.id: i for i, s in enumerate(self.plant.stocks)}

    @cached_property
    def demand_index(self) -> dict[str, int]:
        return {d.id: i for i, d in enumerate(self.plant.demands)}

    @cached_property
    def control_index(self) -> dict[str, int]:
        return {c.id: i for i, c in enumerate(self.plant.controls)}

    @cached_property
    def unit_index(self) -> dict[tuple[str, int], int]:
        return {unit: i for i, unit in enumerate(self.units)}

    @cached_property
    def step_index(self) -> dict[tuple[str, str], int]:
        return {step: i for i, step in enumerate(self.steps)}

    @cached_property
    def clock_index(self) -> dict[tuple[str, int, str], int]:
        return {clock: i for i, clock in enumerate(self.clocks)}

    @cached_property
    def lane_index(self) -> dict[tuple[str, str], int]:
        return {lane: i for i, lane in enumerate(self.lanes)}

    @cached_property
    def slot_index(self) -> dict[tuple[str, str], int]:
        return {slot: i for i, slot in enumerate(self.slots)}

    @cached_property
    def most_known_parts(self) -> int:
        """Parts that a state given from outside may hold, so that no release can exceed the records later."""
        admitted, others = _bounds(self.plant)
        records = self.layout.sizes["parts"]
        return admitted + others if others is not None and records == 2 * admitted + others else records

    @property
    def tick_ms(self) -> float:
        return self.plant.tick_s * 1000.0

    @property
    def start_ms(self) -> int:
        """Plant time (UTC milliseconds) of tick 0."""
        return round(self.start.timestamp() * 1000)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over layout version and params: two equal hashes mean the same physics."""
        own = b""
        if self.own is not None:
            own = f"{self.own.sha256} {self.own.model.__name__} {self.layout.sizes['own']}".encode()
        return hashlib.sha256(st.LAYOUT_VERSION.to_bytes(4, "big") + self.params.tobytes() + own).hexdigest()

    def ticks(self, seconds: float) -> int:
        return round(seconds / self.plant.tick_s)


def _bounds(plant: Plant) -> tuple[int, int | None]:
    """Parts that the CONWIP caps admit at their highest, and those that the stations hold which the other products
    come to (None where nothing bounds these).
    """
    grouped = {name for g in plant.groups for name, _ in g.mix}
    free = [
        p for p in plant.products if p.release.policy != "conwip" or (p.release.cap is None and p.id not in grouped)
    ]
    admitted = most_parts_of(plant, [p.id for p in plant.products if p not in free])
    assert admitted is not None, "each of them has a cap"
    theirs = [_places(plant, s) for s in plant.stations if any(s.id in dict(i.eligible) for p in free for i in p.steps)]
    return admitted, None if None in theirs else sum(n for n in theirs if n is not None)


def _max_parts(plant: Plant) -> int:
    """Records for parts: the least of twice what CONWIP caps admit with what else there may be, what finite queues and
    units hold, and `unlimited`.
    """
    bounds = [plant.unlimited]
    admitted, others = _bounds(plant)
    if others is not None:
        bounds.append(2 * admitted + others)  # a live state may hold one product far over its cap beside full others
    places = [_places(plant, s) for s in plant.stations]
    if None not in places:
        bounds.append(sum(n for n in places if n is not None))
    return max(min(bounds), 1)


def _places(plant: Plant, station: Station) -> int | None:
    """Parts a station holds in queue and units; None where nothing bounds it. A saturated product keeps one lot in
    its first queue.
    """
    routed = any(
        station.id in dict(p.steps[i].eligible) for p in plant.products for s in p.steps for i, _ in s.next if i >= 0
    )
    starters = [p for p in plant.products if station.id in dict(p.steps[0].eligible)]
    if station.capacity != UNLIMITED:
        places = station.capacity
    elif not routed and all(p.release.policy == "saturated" for p in starters):
        places = sum(p.lot // p.transfer for p in starters)
    else:
        return None
    most = station.batch.most if station.batch else 1
    return places + (1 + most) * station.units  # a part handed to a free unit passes through the queue


def _transit(plant: Plant, stock: Stock) -> int:
    """Places for what is on its way to a stock. Where a vehicle leaves once a review and every one takes as long, there
    are few; twice as many, because a replica may stretch its lead times.
    """
    if stock.review is None:
        return TRANSIT_CONTINUOUS
    if stock.vehicle and stock.express is None and stock.lead is not None and stock.lead.kind == "constant":
        supplier = next((s for s in plant.suppliers if s.id == stock.source), None)
        if supplier is None or (supplier.unit_ticks == 0 and supplier.late is None):
            return min(2 * math.ceil(distributions.mean(stock.lead) / stock.review) + 2, TRANSIT_PIECES)
    return TRANSIT_PIECES if any(k.id == stock.source for k in plant.stocks) else TRANSIT_PERIODIC


def _scanned(slots: int) -> int:
    """Places of the first block of timers that are looked at for the next event: as many as are used, in eights."""
    return max(min(-(-slots // 8) * 8, st.SLOT_BLOCK_SIZE), 8)


def _sizes(plant: Plant, index: Index) -> dict[str, int]:
    transit = max([_transit(plant, k) for k in plant.stocks if k.source != "line"], default=0)
    dated = any(d.due is not None or any(o.due is not None for o in d.book) for d in plant.demands)
    return {
        "units": len(index.units), "clocks": len(index.clocks), "stations": len(plant.stations),
        "doors": len(index.doors), "crews": len(plant.crews), "pools": len(plant.pools),
        "calendars": len(plant.calendars), "products": len(plant.products), "groups": len(plant.groups),
        "stocks": len(plant.stocks), "lanes": len(index.lanes), "suppliers": len(plant.suppliers),
        "demands": len(plant.demands), "parts": _max_parts(plant), "slots": len(index.slots),
        "entities": len(plant.stations) + len(plant.products), "steps": sum(len(p.steps) for p in plant.products),
        "bands": len(plant.tariff.prices) if plant.tariff else 1, "transit": transit, "ring": RING if dated else 0,
        "periods": max([k.window for k in plant.stocks], default=0), "own": plant.rules.state if plant.rules else 0,
    }  # fmt: skip


def _calendars(w: Writer, start: datetime) -> tuple[list[int], list[int]]:
    """Calendar records; (open at tick 0, tick of the first change) of each. Tick 0 is after a change at it."""
    plant = w.plant
    week = round(7 * 86400 / plant.tick_s)
    opened, firsts = [], []
    for i, c in enumerate(plant.calendars):
        is_open, changes = transitions(c, plant.timezone, start, CALENDAR_WEEKS, plant.tick_s)
        opened.append(int(is_open))
        firsts.append(int(changes[0]) if len(changes) else st.INFINITY)
        at, end = w.put(changes)
        last = int(np.count_nonzero(changes >= (CALENDAR_WEEKS - 1) * week)) if len(changes) else 0
        keep = w.put(n for n, s in enumerate(plant.stations) if s.calendar == c.id)
        w.record(
            "calendars", i, calendar_slot=w.index.slot["calendar", c.id], changes_at=at, changes_end=end,
            changes_weekly=max(last, 1), cal_stations_at=keep[0], cal_stations_end=keep[1],
        )  # fmt: skip
    return opened, firsts


def _tariff(w: Writer, start: datetime) -> tuple[int, list[tuple[int, int]], int]:
    """Band at tick 0, changes, and how many of them repeat weekly."""
    plant = w.plant
    w.header["tariff_slot"] = w.index.slot.get(("tariff", "tariff"), -1)
    if plant.tariff is None:
        return 0, [], 1
    week = round(7 * 86400 / plant.tick_s)
    band, changes = tariff.changes(plant.tariff, plant.timezone, start, CALENDAR_WEEKS, plant.tick_s)
    w.header["tariff_at"], w.header["tariff_end"] = w.put(v for change in changes for v in change)
    weekly = max(sum(tick >= (CALENDAR_WEEKS - 1) * week for tick, _ in changes), 1)
    w.header["tariff_weekly"] = weekly
    return band, changes, weekly


def _write_slots(w: Writer, plant: Plant) -> None:
    index = w.index
    names = {
        "work_end": [f"{s}/{u}" for s, u in index.units], "calendar": [c.id for c in plant.calendars],
        "tariff": ["tariff"], "wait": [s.id for s in plant.stations], "arrival": [p.id for p in plant.products],
        "demand": [d.id for d in plant.demands], "review": [k.id for k in plant.stocks],
        "failure": [clock_name(*clock) for clock in index.clocks],
        "delivery": [lane_name(*lane) for lane in index.lanes],
    }  # fmt: skip
    names["repair_end"] = names["wear"] = names["work_end"]
    for i, (kind, owner) in enumerate(index.slots):
        w.record("slots", i, slot_kind=st.KINDS.index(kind), slot_owner=names[kind].index(owner))


def _initial(w: Writer, opened: list[int], firsts: list[int], tariff_first: int) -> dict[str, Array]:
    """Values of a fresh row's fields, where they are not those of `sim.kernel.blank_rows`."""
    plant, index = w.plant, w.index
    is_open = [s.calendar is None or opened[index.calendars[s.calendar]] == 1 for s in plant.stations]
    state = [st.STARVED if now else st.OFF for now in is_open]
    n_state = np.zeros((len(plant.stations), 7), dtype=np.int64)
    for i, s in enumerate(plant.stations):
        n_state[i, state[i]] = s.units
    next_time = np.full(len(index.slots), st.INFINITY, dtype=np.int64)
    for c, first in zip(plant.calendars, firsts, strict=True):
        next_time[index.slot["calendar", c.id]] = first
    for k in plant.stocks:
        if ("review", k.id) in index.slot:
            next_time[index.slot["review", k.id]] = 0
    if plant.tariff:
        next_time[index.slot["tariff", "tariff"]] = tariff_first
    caps = [st.NO_LIMIT if p.release.cap is None else p.release.cap for p in plant.products]
    bases = [st.NOBODY if p.release.base_stock is None else p.release.base_stock for p in plant.products]
    levels = [next((m.at_level for m in s.modes if m.at_level is not None), st.NO_LIMIT) for s in plant.stations]
    values = {
        "unit_state": [state[i] for i, s in enumerate(plant.stations) for _ in range(s.units)], "n_state": n_state,
        "st_free": [s.units if now else 0 for s, now in zip(plant.stations, is_open, strict=True)],
        "kanban": [st.NO_LIMIT if s.kanban is None else s.kanban for s in plant.stations], "at_level": levels,
        "weights": [dispatch_weights(s) for s in plant.stations], "next_time": next_time, "cal_open": opened,
        "overtime": [c.overtime for c in plant.calendars], "crew_free": [c.size for c in plant.crews],
        "pool_free": [c.size for c in plant.pools], "cap": caps, "base_stock": bases,
        "group_cap": [g.cap for g in plant.groups], "on_hand": [k.initial for k in plant.stocks],
        "level": [k.level or 0 for k in plant.stocks], "reorder": [k.reorder or 0 for k in plant.stocks],
        "express_level": [k.express.level if k.express else 0 for k in plant.stocks],
    }  # fmt: skip
    return {name: np.asarray(v, dtype=np.int64) for name, v in values.items()}


def _powers(plant: Plant, initial: dict[str, Array]) -> int:
    """Watts of the empty plant."""
    total, unit = 0, 0
    for s in plant.stations:
        for _ in range(s.units):
            total += s.power[int(initial["unit_state"][unit])] if s.power else 0
            unit += 1
    return total


def control_field(plant: Plant, sets: str) -> tuple[str, tuple[int, ...]]:
    """(row field, index) that a control's `sets` means, such as `release.housing.cap` -> ("cap", (0,)).

    Raises `CompileError` for a path that is no setting.
    """
    where, _, rest = sets.partition(".")
    owner, _, what = rest.partition(".")
    owners: dict[str, list[str | None]] = {
        "release": [p.id for p in plant.products], "groups": [g.id for g in plant.groups],
        "stocks": [k.id for k in plant.stocks], "buffers": [s.buffer for s in plant.stations],
        "stations": [s.id for s in plant.stations], "calendars": [c.id for c in plant.calendars],
    }  # fmt: skip
    ids = owners.get(where, [])
    name = CONTROL_FIELDS.get((where, what))
    feature = what.removeprefix("dispatch.")
    if where == "stations" and feature in FEATURES and what != feature and owner in ids:
        return "weights", (ids.index(owner), FEATURES.index(feature))
    if name is None or owner not in ids:
        raise CompileError(
            f"plant {plant.id}: control sets {sets!r}; expected one of "
            + ", ".join(f"{a}.NAME.{b}" for a, b in CONTROL_FIELDS)
            + ", stations.NAME.dispatch.FEATURE"
        )
    return name, (ids.index(owner),)


CONTROL_FIELDS = {
    ("release", "cap"): "cap", ("release", "base_stock"): "base_stock", ("groups", "cap"): "group_cap",
    ("stocks", "level"): "level", ("stocks", "reorder"): "reorder", ("stocks", "express"): "express_level",
    ("buffers", "kanban"): "kanban", ("stations", "at_level"): "at_level", ("calendars", "overtime"): "overtime",
}  # fmt: skip
"""Row field of every kind of setting."""


def compile_plant(plant: Plant, start: datetime | None = None) -> Compiled:
    """Compile a plant; tick 0 is `start` (aware datetime; default the plant's own start, in its time zone).

    Raises `CompileError`, also where the plant has rules of its own that may not run (`sim.ownrules.allow`) or are
    broken.
    """
    try:
        own = load(plant)
    except OwnRulesError as error:
        raise CompileError(str(error)) from error
    begin = start or plant.start
    if begin.tzinfo is None:
        begin = begin.replace(tzinfo=ZoneInfo(plant.timezone))
    index = Index(plant)
    sizes = _sizes(plant, index)
    layout = Layout(sizes)
    w = Writer(index, sizes)
    write_stations(w)
    write_products(w)
    write_supply(w)
    opened, firsts = _calendars(w, begin)
    band, changes, weekly = _tariff(w, begin)
    _write_slots(w, plant)
    season_start = _week_ticks(begin, plant)
    w.header |= {
        **{f"n_{name}": n for name, n in sizes.items() if name != "own"},
        **{f"at_{name}": at for name, at in layout.start.items() if name != "own"},
        "n_timers": layout.timers, "slot_block": _scanned(layout.sizes["slots"]),
        "week": round(7 * 86400 / plant.tick_s), "families": len(index.families),
        "before_service": int(before_service(plant)),
        "powered": int(any(s.power or s.part_energy for s in plant.stations)),
        "season_start": season_start,
    }  # fmt: skip
    initial = _initial(w, opened, firsts, changes[0][0] if changes else st.INFINITY)
    initial["power"] = np.array(_powers(plant, initial), dtype=np.int64)
    initial["band"] = np.array(band, dtype=np.int64)
    positions = [layout.at(name, *place) for name, place in (control_field(plant, c.sets) for c in plant.controls)]
    compiled = Compiled(
        plant=plant,
        params=w.finish(),
        layout=layout,
        initial=initial,
        controls=np.array(positions, dtype=np.int64),
        slots=index.slots,
        start=begin,
        units=index.units,
        steps=tuple((p.id, step.id) for p in plant.products for step in p.steps),
        clocks=index.clocks,
        doors=index.doors,
        lanes=index.lanes,
        families=index.families,
        tariff_changes=tuple(changes),
        tariff_weekly=weekly,
        season_start=season_start,
        own=own,
    )
    if own is not None:
        try:
            initial["own"] = own.model.first_own(compiled)
        except Exception as error:
            raise CompileError(f"plant {plant.id}: {own.blame(error)}") from error
    return compiled


def _week_ticks(start: datetime, plant: Plant) -> int:
    """Ticks of the local week that have passed at `start`."""
    local = start.astimezone(ZoneInfo(plant.timezone))
    hours = local.weekday() * 24 + local.hour
    return round((hours * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6) / plant.tick_s)
