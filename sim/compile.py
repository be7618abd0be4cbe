"""From a plant as described to what the kernel reads: one params array, one layout, the values of a fresh row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from sim import state as st
from sim.calendars import transitions
from sim.draws import entity_number
from sim.plant import UNLIMITED, Dist, Plant, Product, Station
from sim.quantile import table
from sim.state import Array, Layout

NO_LIMIT = 1 << 40
"""Capacity or cap that never binds."""
TRANSIT_PERIODIC = 64
TRANSIT_CONTINUOUS = 256
"""Places for orders in transit to one stock. One order a review: 64 reviews within a lead time. Under continuous
review an order for every withdrawal; a fuller table is an error, never a drop."""
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
    def slot_index(self) -> dict[tuple[str, str], int]:
        return {slot: i for i, slot in enumerate(self.slots)}

    @cached_property
    def most_known_parts(self) -> int:
        """Parts that a state given from outside may hold, so that no release can exceed the records later."""
        admitted, records = _admitted(self.plant), self.layout.sizes["parts"]
        return admitted if admitted is not None and records == 2 * admitted else records

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
        return hashlib.sha256(st.LAYOUT_VERSION.to_bytes(4, "big") + self.params.tobytes()).hexdigest()

    def ticks(self, seconds: float) -> int:
        return round(seconds / self.plant.tick_s)


@dataclass
class _Builder:
    """Collects tables and puts them behind the header of the params array."""

    tables: dict[str, list[int]] = field(default_factory=dict)
    quantiles: list[Array] = field(default_factory=list)
    at: dict[Dist, int] = field(default_factory=dict)
    length: int = 0

    def distribution(self, dist: Dist | None) -> int:
        """Position of the distribution's quantile table, relative to the first one; -1 for none."""
        if dist is None:
            return -1
        if dist not in self.at:
            values = table(dist)
            self.at[dist] = self.length
            self.quantiles.append(values)
            self.length += len(values)
        return self.at[dist]

    def finish(self, sizes: dict[str, int], layout: Layout, week: int) -> Array:
        header = np.zeros(st.HEADER, dtype=np.int64)
        header[: len(st.SIZES)] = [sizes[name] for name in st.SIZES]
        first = len(st.SIZES)
        header[first : first + len(st.FIELDS)] = [layout.offset[f.name] for f in st.FIELDS]
        base = st.HEADER + sum(len(self.tables[name]) for name in st.TABLES)
        parts: list[Array] = [header]
        at = st.HEADER
        for i, name in enumerate(st.TABLES):
            values = np.array(self.tables[name], dtype=np.int64)
            if name in ("fail_table", "repair_table", "step_table", "arrival_table", "lead_table", "demand_table"):
                values[values >= 0] += base
            header[first + len(st.FIELDS) + i] = at
            at += len(values)
            parts.append(values)
        header[st.WEEK] = week
        params = np.concatenate([*parts, *self.quantiles])
        params.setflags(write=False)
        return params


def _ragged(rows: list[list[int]], width: int = 1) -> tuple[list[int], list[int]]:
    """Entries of all rows in one list, and where each row's entries begin (counted in entries of `width` numbers)."""
    ends = np.cumsum([0] + [len(row) // width for row in rows])
    return [int(e) for e in ends], [value for row in rows for value in row]


def _slots(plant: Plant) -> list[tuple[str, str]]:
    units = [f"{s.id}/{u + 1}" for s in plant.stations for u in range(s.units)]
    failing = [f"{s.id}/{u + 1}" for s in plant.stations if s.fails for u in range(s.units)]
    supplied = [k.id for k in plant.stocks if k.source != "line"]
    reviewed = [k.id for k in plant.stocks if k.source != "line" and k.review is not None]
    owners = {
        "work_end": units,
        "failure": failing,
        "repair_end": failing,
        "calendar": [c.id for c in plant.calendars],
        "delivery": supplied,
        "arrival": [p.id for p in plant.products if p.release.policy == "push"],
        "demand": [d.id for d in plant.demands],
        "review": reviewed,
    }
    return [(kind, owner) for kind in st.KINDS for owner in owners[kind]]


def _max_parts(plant: Plant) -> int:
    """Records for parts: the least of twice what CONWIP caps admit, what finite queues and units hold, `unlimited`."""
    bounds = [plant.unlimited]
    if (admitted := _admitted(plant)) is not None:
        bounds.append(2 * admitted)  # a live state may hold one product far over its cap when the others fill theirs
    places = [_places(plant, s) for s in plant.stations]
    if None not in places:
        bounds.append(sum(n for n in places if n is not None))
    return max(min(bounds), 1)


def _admitted(plant: Plant) -> int | None:
    """Parts that the CONWIP caps admit at their highest; None where a product has none."""
    if any(p.release.policy != "conwip" or p.release.cap is None for p in plant.products):
        return None
    return sum(
        max([p.release.cap or 0] + [c.high for c in plant.controls if c.sets == f"release.{p.id}.cap"])
        for p in plant.products
    )


def _places(plant: Plant, station: Station) -> int | None:
    """Parts a station holds in queue and units; None where nothing bounds it. A saturated product keeps one part in
    its first queue.
    """
    routed = any(p.steps[i].station == station.id for p in plant.products for s in p.steps for i, _ in s.next if i >= 0)
    starters = [p for p in plant.products if p.steps[0].station == station.id]
    if station.capacity != UNLIMITED:
        places = station.capacity
    elif not routed and all(p.release.policy == "saturated" for p in starters):
        places = len(starters)
    else:
        return None
    return places + 2 * station.units  # a part handed to a free unit passes through the queue


def _sizes(plant: Plant, slots: int) -> dict[str, int]:
    supplied = [k for k in plant.stocks if k.source != "line"]
    transit = max([TRANSIT_CONTINUOUS if k.review is None else TRANSIT_PERIODIC for k in supplied], default=0)
    return {
        "units": sum(s.units for s in plant.stations),
        "stations": len(plant.stations),
        "products": len(plant.products),
        "stocks": len(plant.stocks),
        "demands": len(plant.demands),
        "calendars": len(plant.calendars),
        "crews": len(plant.crews),
        "parts": _max_parts(plant),
        "transit": transit,
        "slots": slots,
        "entities": len(plant.stations) + len(plant.products),
        "steps": sum(len(p.steps) for p in plant.products),
    }


def _index(ids: list[str]) -> dict[str | None, int]:
    return {None: -1, **{name: i for i, name in enumerate(ids)}}


def _first_steps(plant: Plant) -> list[int]:
    firsts, at = [], 0
    for product in plant.products:
        firsts.append(at)
        at += len(product.steps)
    return firsts


def _stations(b: _Builder, plant: Plant, slot: dict[tuple[str, str], int]) -> None:
    calendars = _index([c.id for c in plant.calendars])
    crews = _index([c.id for c in plant.crews])
    t = b.tables
    units = [(i, s, u + 1) for i, s in enumerate(plant.stations) for u in range(s.units)]
    t["unit_station"] = [i for i, _, _ in units]
    t["unit_entity"] = [entity_number(f"{s.id}/{u}") for _, s, u in units]
    t["fail_slot"] = [slot.get(("failure", f"{s.id}/{u}"), -1) for _, s, u in units]
    t["repair_slot"] = [slot.get(("repair_end", f"{s.id}/{u}"), -1) for _, s, u in units]
    t["unit_count"] = [s.units for s in plant.stations]
    t["first_unit"] = [int(v) for v in np.cumsum([0] + t["unit_count"])[:-1]]
    t["capacity"] = [NO_LIMIT if s.capacity == UNLIMITED else s.capacity for s in plant.stations]
    t["st_calendar"] = [calendars[s.calendar] for s in plant.stations]
    t["st_crew"] = [crews[s.fails.crew] if s.fails else -1 for s in plant.stations]
    t["fail_table"] = [b.distribution(s.fails.after if s.fails else None) for s in plant.stations]
    t["repair_table"] = [b.distribution(s.fails.repair if s.fails else None) for s in plant.stations]
    starters = [[i for i, p in enumerate(plant.products) if p.steps[0].station == s.id] for s in plant.stations]
    t["starters_at"], t["starters"] = _ragged(starters)


def _route(product: Product, first: int, step: int) -> list[int]:
    """(threshold, target) pairs: cumulative probability in 2^-32, target as a global step index or negative."""
    pairs, cumulative = [], 0.0
    for target, probability in product.steps[step].next:
        cumulative += probability
        pairs += [round(cumulative * (1 << 32)), target if target < 0 else first + target]
    return pairs


def _products(b: _Builder, plant: Plant, slot: dict[tuple[str, str], int]) -> None:
    stations = _index([s.id for s in plant.stations])
    calendars = _index([c.id for c in plant.calendars])
    stocks = _index([k.id for k in plant.stocks])
    filled = {k.item: k.id for k in plant.stocks if k.source == "line"}
    t = b.tables
    firsts = _first_steps(plant)
    steps = [(p, first, i) for p, first in zip(plant.products, firsts, strict=True) for i in range(len(p.steps))]
    t["step_station"] = [stations[p.steps[i].station] for p, _, i in steps]
    t["step_table"] = [b.distribution(p.steps[i].work) for p, _, i in steps]
    t["route_at"], t["route"] = _ragged([_route(p, first, i) for p, first, i in steps], width=2)
    t["first_step"] = firsts
    t["policy"] = [st.POLICIES.index(p.release.policy) for p in plant.products]
    t["product_stock"] = [stocks[filled.get(p.id)] for p in plant.products]
    t["product_calendar"] = [calendars[p.release.calendar] for p in plant.products]
    t["product_entity"] = [entity_number(p.id) for p in plant.products]
    t["arrival_table"] = [b.distribution(p.release.arrivals) for p in plant.products]
    t["arrival_slot"] = [slot.get(("arrival", p.id), -1) for p in plant.products]
    consumed = [[v for k, n in p.release.consumes for v in (stocks[k], n)] for p in plant.products]
    t["consumes_at"], t["consumes"] = _ragged(consumed, width=2)


def _supply(b: _Builder, plant: Plant, slot: dict[tuple[str, str], int]) -> None:
    products = _index([p.id for p in plant.products])
    calendars = _index([c.id for c in plant.calendars])
    stocks = _index([k.id for k in plant.stocks])
    t = b.tables
    t["stock_entity"] = [entity_number(k.id) for k in plant.stocks]
    t["delivery_slot"] = [slot.get(("delivery", k.id), -1) for k in plant.stocks]
    t["review_slot"] = [slot.get(("review", k.id), -1) for k in plant.stocks]
    t["review_ticks"] = [k.review or 0 for k in plant.stocks]
    t["lead_table"] = [b.distribution(k.lead) for k in plant.stocks]
    t["filler"] = [products.get(k.item, -1) if k.source == "line" else -1 for k in plant.stocks]
    t["continuous"] = [int(k.source != "line" and k.review is None) for k in plant.stocks]
    users = [
        [i for i, p in enumerate(plant.products) if any(name == k.id for name, _ in p.release.consumes)]
        for k in plant.stocks
    ]
    t["users_at"], t["users"] = _ragged(users)
    t["demand_stock"] = [stocks[d.stock] for d in plant.demands]
    t["demand_calendar"] = [calendars[d.calendar] for d in plant.demands]
    t["demand_entity"] = [entity_number(d.id) for d in plant.demands]
    t["demand_table"] = [b.distribution(d.arrivals) for d in plant.demands]
    t["demand_slot"] = [slot[("demand", d.id)] for d in plant.demands]


def _calendars(b: _Builder, plant: Plant, start: datetime, slot: dict[tuple[str, str], int]) -> dict[str, Array]:
    """Calendar tables; returns the row's initial calendar fields. Tick 0 counts as after a change at tick 0."""
    opened, tables, weekly = [], [], []
    week = round(7 * 86400 / plant.tick_s)
    for c in plant.calendars:
        is_open, changes = transitions(c, plant.timezone, start, CALENDAR_WEEKS, plant.tick_s)
        opened.append(int(is_open))
        tables.append([int(v) for v in changes])
        last = int(np.count_nonzero(changes >= (CALENDAR_WEEKS - 1) * week)) if len(changes) else 0
        weekly.append(max(last, 1))
    b.tables["cal_at"], b.tables["cal_ticks"] = _ragged(tables)
    b.tables["cal_weekly"] = weekly
    b.tables["calendar_slot"] = [slot[("calendar", c.id)] for c in plant.calendars]
    firsts = [rows[0] if rows else st.INFINITY for rows in tables]
    return {"cal_open": np.array(opened, dtype=np.int64), "first_change": np.array(firsts, dtype=np.int64)}


def _initial(
    plant: Plant, layout: Layout, calendars: dict[str, Array], slot: dict[tuple[str, str], int]
) -> dict[str, Array]:
    open_now = dict(zip([c.id for c in plant.calendars], calendars["cal_open"], strict=True))
    state = [st.STARVED if s.calendar is None or open_now[s.calendar] else st.OFF for s in plant.stations]
    n_state = np.zeros((len(plant.stations), 7), dtype=np.int64)
    for i, s in enumerate(plant.stations):
        n_state[i, state[i]] = s.units
    next_time = np.full(layout.shape["next_time"], st.INFINITY, dtype=np.int64)
    for c, change in zip(plant.calendars, calendars["first_change"], strict=True):
        next_time[slot[("calendar", c.id)]] = change
    for k in plant.stocks:
        if ("review", k.id) in slot:
            next_time[slot[("review", k.id)]] = 0
    caps = [NO_LIMIT if p.release.cap is None else p.release.cap for p in plant.products]
    bases = [st.NOBODY if p.release.base_stock is None else p.release.base_stock for p in plant.products]
    return {
        "unit_state": np.array(
            [state[i] for i, s in enumerate(plant.stations) for _ in range(s.units)], dtype=np.int64
        ),
        "n_state": n_state,
        "next_time": next_time,
        "cal_open": calendars["cal_open"],
        "crew_free": np.array([c.size for c in plant.crews], dtype=np.int64),
        "cap": np.array(caps, dtype=np.int64),
        "base_stock": np.array(bases, dtype=np.int64),
        "on_hand": np.array([k.initial for k in plant.stocks], dtype=np.int64),
        "level": np.array([k.level or 0 for k in plant.stocks], dtype=np.int64),
    }


def _control_position(plant: Plant, layout: Layout, sets: str) -> int:
    kind, thing, name = sets.split(".")
    ids = [p.id for p in plant.products] if kind == "release" else [k.id for k in plant.stocks]
    if (kind, name) not in (("release", "cap"), ("release", "base_stock"), ("stocks", "level")) or thing not in ids:
        raise CompileError(
            f"plant {plant.id}: control sets {sets!r}; expected release.PRODUCT.cap, release.PRODUCT.base_stock or "
            "stocks.STOCK.level"
        )
    return layout.offset[name] + ids.index(thing)


def compile_plant(plant: Plant, start: datetime | None = None) -> Compiled:
    """Compile a plant; tick 0 is `start` (aware datetime; default the plant's own start, in its time zone)."""
    begin = start or plant.start
    if begin.tzinfo is None:
        begin = begin.replace(tzinfo=ZoneInfo(plant.timezone))
    slots = _slots(plant)
    slot = {pair: i for i, pair in enumerate(slots)}
    sizes = _sizes(plant, len(slots))
    layout = Layout(sizes)
    builder = _Builder()
    _stations(builder, plant, slot)
    _products(builder, plant, slot)
    _supply(builder, plant, slot)
    calendars = _calendars(builder, plant, begin, slot)
    kinds = {pair: st.KINDS.index(pair[0]) for pair in slots}
    builder.tables["slot_kind"] = [kinds[pair] for pair in slots]
    builder.tables["slot_owner"] = [_owner(plant, kind, owner) for kind, owner in slots]
    params = builder.finish(sizes, layout, round(7 * 86400 / plant.tick_s))
    return Compiled(
        plant=plant,
        params=params,
        layout=layout,
        initial=_initial(plant, layout, calendars, slot),
        controls=np.array([_control_position(plant, layout, c.sets) for c in plant.controls], dtype=np.int64),
        slots=tuple(slots),
        start=begin,
        units=tuple((s.id, u + 1) for s in plant.stations for u in range(s.units)),
        steps=tuple((p.id, step.id) for p in plant.products for step in p.steps),
    )


def _owner(plant: Plant, kind: str, owner: str) -> int:
    """Position of a slot's owner among the things of its kind."""
    if kind in ("work_end", "failure", "repair_end"):
        names = [f"{s.id}/{u + 1}" for s in plant.stations for u in range(s.units)]
    elif kind == "calendar":
        names = [c.id for c in plant.calendars]
    elif kind in ("delivery", "review"):
        names = [k.id for k in plant.stocks]
    elif kind == "arrival":
        names = [p.id for p in plant.products]
    else:
        names = [d.id for d in plant.demands]
    return names.index(owner)
