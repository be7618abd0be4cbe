"""The records and lists of the params array, made from a plant (see `sim.state.TABLES`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from sim import distributions
from sim import state as st
from sim.draws import ONE, entity_number
from sim.plant import FEATURES, UNLIMITED, Demand, Dist, Mode, Plant, Product, Quantity, Station, Stock
from sim.quantile import table
from sim.state import Array
from sim.traits import counts, is_eager, is_plain, mean_ticks, picks, varies

HALF = 1 << 32
"""Probability one of a choice."""
HOUR_S = 3600.0


@dataclass
class Index:
    """Positions of the plant's things by id (None: -1), and what the compiler derives from it once."""

    plant: Plant
    stations: dict[str | None, int] = field(init=False)
    products: dict[str | None, int] = field(init=False)
    stocks: dict[str | None, int] = field(init=False)
    calendars: dict[str | None, int] = field(init=False)
    crews: dict[str | None, int] = field(init=False)
    pools: dict[str | None, int] = field(init=False)
    suppliers: dict[str | None, int] = field(init=False)
    families: tuple[str, ...] = field(init=False)
    units: tuple[tuple[str, int], ...] = field(init=False)
    clocks: tuple[tuple[str, int, str], ...] = field(init=False)
    doors: tuple[tuple[int, ...], ...] = field(init=False)
    lanes: tuple[tuple[str, str], ...] = field(init=False)
    slots: tuple[tuple[str, str], ...] = field(init=False)
    slot: dict[tuple[str, str], int] = field(init=False)

    def __post_init__(self) -> None:
        p = self.plant
        self.stations = _index(s.id for s in p.stations)
        self.products = _index(q.id for q in p.products)
        self.stocks = _index(k.id for k in p.stocks)
        self.calendars = _index(c.id for c in p.calendars)
        self.crews = _index(c.id for c in p.crews)
        self.pools = _index(c.id for c in p.pools)
        self.suppliers = _index(s.id for s in p.suppliers)
        self.families = tuple(dict.fromkeys(family_of(q) for q in p.products))
        self.units = tuple((s.id, u + 1) for s in p.stations for u in range(s.units))
        self.clocks = tuple((s.id, u + 1, m.id) for s in p.stations for u in range(s.units) for m in s.modes)
        sets = [tuple(sorted(self.stations[s] for s, _ in step.eligible)) for q in p.products for step in q.steps]
        singles = [(i,) for i in range(len(p.stations))]
        self.doors = tuple(dict.fromkeys([*singles, *sets]))
        regular = [(k.id, "regular") for k in p.stocks if k.source != "line"]
        self.lanes = (*regular, *((k.id, "express") for k in p.stocks if k.express))
        self.slots = tuple(_slots(self))
        self.slot = {pair: i for i, pair in enumerate(self.slots)}


def _index(ids: Iterable[str]) -> dict[str | None, int]:
    return {None: -1, **{name: i for i, name in enumerate(ids)}}


def family_of(product: Product) -> str:
    return product.family or product.id


def clock_name(station: str, unit: int, mode: str) -> str:
    """Id of a clock: what its draws and its slot are called."""
    return f"{station}/{unit}" if mode == "failure" else f"{station}/{unit}/{mode}"


def lane_name(stock: str, lane: str) -> str:
    """Id of a lane: what its draws and its slot are called."""
    return stock if lane == "regular" else f"{stock}/express"


REVIEW_ORDERS = {
    "receive_satisfy_review_order": ("delivery", "arrival", "demand", "review"),
    "receive_review_order_satisfy": ("delivery", "arrival", "review", "demand"),
    "review_order_receive_satisfy": ("review", "delivery", "arrival", "demand"),
}
"""Order of the last slots by the convention `review_order`."""


def _slots(index: Index) -> list[tuple[str, str]]:
    plant = index.plant
    modes = {(s.id, m.id): m for s in plant.stations for m in s.modes}
    timed = ("odf", "tdf", "condition")
    owners = {
        "work_end": [f"{s}/{u}" for s, u in index.units],
        "failure": [clock_name(s, u, m) for s, u, m in index.clocks if modes[s, m].clock in timed],
        "repair_end": [f"{s.id}/{u + 1}" for s in plant.stations if s.modes for u in range(s.units)],
        "wear": [f"{s.id}/{u + 1}" for s in plant.stations if s.condition for u in range(s.units)],
        "wait": [s.id for s in plant.stations if s.batch and s.batch.wait is not None],
        "calendar": [c.id for c in plant.calendars],
        "tariff": ["tariff"] if plant.tariff else [],
        "delivery": [lane_name(*lane) for lane in index.lanes],
        "arrival": [p.id for p in plant.products if p.release.policy in ("push", "orders")],
        "demand": [d.id for d in plant.demands],
        "review": [k.id for k in plant.stocks if k.source != "line" and k.review is not None],
    }
    last = REVIEW_ORDERS[plant.conventions.get("review_order", "receive_satisfy_review_order")]
    return [(kind, owner) for kind in (*st.KINDS[:7], *last) for owner in owners[kind]]


def distributions_of(plant: Plant) -> list[Dist]:
    """Every distribution of a duration in the plant, each once."""
    found: list[Dist | None] = []
    for s in plant.stations:
        found += [d for m in s.modes for d in (m.after, m.repair)]
        found += [d for _, _, d in s.setups]
        if s.condition:
            found += [*s.condition.wear, *s.condition.fails]
    for p in plant.products:
        found += [p.release.arrivals, p.due, *(d for step in p.steps for _, d in step.eligible)]
    for k in plant.stocks:
        found += [k.lead, k.express.lead if k.express else None]
    found += [s.late for s in plant.suppliers]
    found += [d.arrivals for d in plant.demands]
    return list(dict.fromkeys(d for d in found if d is not None))


class Writer:
    """Fills the params array: header, records, quantile tables, lists."""

    def __init__(self, index: Index, sizes: dict[str, int]) -> None:
        self.index, self.plant, self.sizes = index, index.plant, sizes
        self.header = dict.fromkeys(st.HEADER_NAMES, 0)
        at = st.HEADER
        for name, columns in st.TABLES.items():
            self.header[f"to_{name}"] = at
            at += sizes[name] * len(columns)
        self.records = np.zeros(at - st.HEADER, dtype=np.int64)
        self.tables: list[Array] = []
        self.where: dict[Dist, int] = {}
        for dist in distributions_of(self.plant):
            self.where[dist] = at
            self.tables.append(table(dist))
            at += len(self.tables[-1])
        self.lists: list[int] = []
        self.lists_at = at

    def dist(self, dist: Dist | None) -> int:
        """Position of a distribution's quantile table; -1 for none."""
        return -1 if dist is None else self.where[dist]

    def put(self, values: Iterable[int]) -> tuple[int, int]:
        """Append a list; its first position and the one behind it."""
        at = self.lists_at + len(self.lists)
        self.lists += [int(v) for v in values]
        return at, self.lists_at + len(self.lists)

    def record(self, of: str, i: int, **values: int) -> None:
        """Write the record `i` of a table; every column must be given."""
        columns = st.TABLES[of]
        if set(columns) != set(values):
            raise KeyError(f"{of}: {set(columns) ^ set(values)}")
        at = self.header[f"to_{of}"] - st.HEADER + i * len(columns)
        self.records[at : at + len(columns)] = [values[c] for c in columns]

    def finish(self) -> Array:
        head = np.array([self.header[name] for name in st.HEADER_NAMES], dtype=np.int64)
        params = np.concatenate([head, self.records, *self.tables, np.array(self.lists, dtype=np.int64)])
        params.setflags(write=False)
        return params


def threshold(probability: float) -> int:
    return round(probability * HALF)


def choice(quantity: Quantity) -> list[int]:
    """(threshold, value) pairs of a random whole number."""
    pairs, total = [], 0.0
    for value, probability in quantity:
        total += probability
        pairs += [threshold(total), value]
    return pairs


def write_stations(w: Writer) -> None:
    """Records of units, clocks, stations, doors, pools."""
    index, plant = w.index, w.plant
    unit = clock = 0
    for i, s in enumerate(plant.stations):
        first = unit
        for u in range(s.units):
            w.record(
                "units", unit, station=i, unit_entity=entity_number(f"{s.id}/{u + 1}"), first_clock=clock,
                clock_total=len(s.modes), repair_slot=index.slot.get(("repair_end", f"{s.id}/{u + 1}"), -1),
                wear_slot=index.slot.get(("wear", f"{s.id}/{u + 1}"), -1),
            )  # fmt: skip
            for number, mode in enumerate(s.modes):
                _write_clock(w, s, mode, clock, unit, number)
                clock += 1
            unit += 1
        _write_station(w, s, i, first)
    for i, members in enumerate(index.doors):
        at, end = w.put(members)
        w.record("doors", i, door_at=at, door_end=end)
    for i, pool in enumerate(plant.pools):
        at, end = w.put(n for n, s in enumerate(plant.stations) if s.operators and s.operators[0] == pool.id)
        w.record("pools", i, mates_at=at, mates_end=end)


def _write_clock(w: Writer, s: Station, mode: Mode, clock: int, unit: int, number: int) -> None:
    name = clock_name(*w.index.clocks[clock])
    position = w.dist(mode.after)
    if mode.clock == "parts":
        pairs = choice(mode.life)
        position, _ = w.put([len(pairs) // 2, *pairs])
    others = {m.id: n for n, m in enumerate(s.modes)}
    w.record(
        "clocks", clock, clock_unit=unit, clock_entity=entity_number(name), clock_kind=st.CLOCK_WORDS.index(mode.clock),
        clock_slot=w.index.slot.get(("failure", name), -1), clock_table=position, repair_table=w.dist(mode.repair),
        clock_crew=w.index.crews[mode.crew], clock_priority=mode.priority, work_after=st.AFTER_WORDS.index(mode.part),
        planned=int(mode.planned), finish=int(mode.finish), renews=sum(1 << others[m] for m in set(mode.renews)),
        restores=int(mode.restores), watches_level=int(mode.at_level is not None), clock_number=number,
    )  # fmt: skip


def _write_station(w: Writer, s: Station, i: int, first: int) -> None:
    index, plant = w.index, w.plant
    calendar = index.calendars[s.calendar]
    freezes = calendar >= 0 and plant.calendars[calendar].at_close == "freeze" and s.batch is None
    starters = w.put(n for n, p in enumerate(plant.products) if s.id in dict(p.steps[0].eligible))
    doors = w.put(n for n, members in enumerate(index.doors) if i in members)
    feeders = w.put(index.stations[f] for f in _feeders(plant, s.id))
    batch, ticks_h = s.batch, HOUR_S / plant.tick_s
    w.record(
        "stations", i, first_unit=first, unit_total=s.units,
        capacity=st.NO_LIMIT if s.capacity == UNLIMITED else s.capacity, st_calendar=calendar, freezes=int(freezes),
        batch_least=batch.least if batch else 1, batch_most=batch.most if batch else 1,
        batch_wait=-1 if batch is None or batch.wait is None else batch.wait,
        batch_by=st.BATCH_WORDS.index(batch.by) if batch else 0, wait_slot=index.slot.get(("wait", s.id), -1),
        picks=int(picks(plant, s)), eager=int(is_eager(plant, s)),
        st_pool=index.pools[s.operators[0]] if s.operators else -1, st_people=s.operators[1] if s.operators else 0,
        st_priority=s.priority, setup_at=_setups(w, s), levels=len(s.condition.wear) if s.condition else 0,
        condition_at=_condition(w, s), power_at=w.put(s.power)[0] if s.power else -1,
        part_energy=round(s.part_energy * ticks_h), starters_at=starters[0], starters_end=starters[1],
        doors_at=doors[0], doors_end=doors[1], feeders_at=feeders[0], feeders_end=feeders[1],
        counts=int(counts(s)), varies=int(varies(plant, s)),
        plain=int(is_plain(plant, s) and doors[1] - doors[0] == 1),
    )  # fmt: skip


def _feeders(plant: Plant, station: str) -> list[str]:
    """Stations from which a routing leads to the station, in file order."""
    found = {
        name
        for p in plant.products
        for step in p.steps
        for target, _ in step.next
        if target >= 0 and station in dict(p.steps[target].eligible)
        for name, _ in step.eligible
    }
    return [s.id for s in plant.stations if s.id in found]


def _setups(w: Writer, s: Station) -> int:
    if not s.setups:
        return -1
    families = w.index.families
    times = {(a, b): d for a, b, d in s.setups}
    rows = [v for a in ("", *families) for b in families for v in _setup_entry(w, times.get((a, b)))]
    return w.put(rows)[0]


def _setup_entry(w: Writer, dist: Dist | None) -> tuple[int, int]:
    """(table, mean ticks) of a setup; (-1, 0) for none."""
    return (-1, 0) if dist is None else (w.dist(dist), mean_ticks(dist))


def _condition(w: Writer, s: Station) -> int:
    c = s.condition
    if c is None:
        return -1
    rows = zip(c.wear, c.fails, c.slow, c.scrap, strict=True)
    return w.put(v for a, f, slow, x in rows for v in (w.dist(a), w.dist(f), round(slow * ONE), threshold(x)))[0]


def write_products(w: Writer) -> None:
    """Records of steps, products, groups."""
    index, plant = w.index, w.plant
    filled = {k.item: k.id for k in plant.stocks if k.source == "line"}
    group = {p: i for i, g in enumerate(plant.groups) for p, _ in g.mix}
    mix = {p: share for g in plant.groups for p, share in g.mix}
    first = 0
    for i, p in enumerate(plant.products):
        _write_steps(w, p, first)
        consumes = w.put(v for k, n in p.release.consumes for v in (index.stocks[k], n))
        orders = w.put(v for o in p.release.orders for v in (o.at, o.quantity, st.INFINITY if o.due is None else o.due))
        w.record(
            "products", i, first_step=first, policy=st.POLICIES.index(p.release.policy),
            product_stock=index.stocks[filled.get(p.id)], product_calendar=index.calendars[p.release.calendar],
            product_entity=entity_number(p.id), arrival_table=w.dist(p.release.arrivals),
            arrival_slot=index.slot.get(("arrival", p.id), -1), consumes_at=consumes[0], consumes_end=consumes[1],
            family=index.families.index(family_of(p)), lot=p.lot, transfer=p.transfer, due_table=w.dist(p.due),
            part_priority=p.priority, product_group=group.get(p.id, -1), mix=mix.get(p.id, 1), list_at=orders[0],
            list_end=orders[1], stops=int(p.release.stops and p.id in filled and p.release.base_stock is not None),
        )  # fmt: skip
        first += len(p.steps)
    for i, g in enumerate(plant.groups):
        at, end = w.put(sorted(index.products[name] for name, _ in g.mix))
        w.record("groups", i, members_at=at, members_end=end)


def _write_steps(w: Writer, p: Product, first: int) -> None:
    index, plant = w.index, w.plant
    left, count = remaining(p)
    for i, step in enumerate(p.steps):
        door = index.doors.index(tuple(sorted(index.stations[s] for s, _ in step.eligible)))
        rows = [
            (index.stations[s], w.dist(d), mean_ticks(d, p.transfer), cmu(plant, p, step.work))
            for s, d in step.eligible
        ]
        choices = w.put(v for row in rows for v in row)
        route, total = [], 0.0
        for target, probability in step.next:
            total += probability
            route += [threshold(total), target if target < 0 else first + target]
        ways = w.put(route)
        needs = w.put(v for k, n in step.needs for v in (index.stocks[k], n))
        w.record(
            "steps", first + i, step_station=rows[0][0], step_table=rows[0][1], step_door=door, choices_at=choices[0],
            choices_end=choices[1], route_at=ways[0], route_end=ways[1], needs_at=needs[0], needs_end=needs[1],
            mean_left=left[i], steps_left=count[i],
        )  # fmt: skip


def cmu(plant: Plant, product: Product, work: Dist) -> int:
    """c-mu index: holding in money per hour over work in seconds, 2^-20."""
    seconds = max(distributions.mean(work) * plant.tick_s, 1e-3)
    return round(product.holding * HOUR_S / plant.tick_s * (1 << 20) / seconds)


def remaining(product: Product) -> tuple[list[int], list[int]]:
    """Expected ticks of work, and operations (2^-10), from each step on, over the routing's probabilities."""
    n = len(product.steps)
    onward = np.zeros((n, n))
    for i, step in enumerate(product.steps):
        for target, probability in step.next:
            if target >= 0:
                onward[i, target] += probability
    means = np.array([distributions.mean(step.work) * product.transfer for step in product.steps])
    solved = np.linalg.solve(np.eye(n) - onward, np.column_stack([means, np.full(n, 1024.0)]))
    return [round(float(v)) for v in solved[:, 0]], [round(float(v)) for v in solved[:, 1]]


def write_supply(w: Writer) -> None:
    """Records of stocks, lanes, suppliers, demands."""
    index, plant = w.index, w.plant
    lane = {pair: i for i, pair in enumerate(index.lanes)}
    for i, k in enumerate(plant.stocks):
        _write_stock(w, k, i, lane)
    for i, (name, which) in enumerate(index.lanes):
        k = plant.stocks[index.stocks[name]]
        way = k if which == "regular" or k.express is None else k.express
        w.record(
            "lanes", i, lane_stock=index.stocks[name], lane_supplier=index.suppliers.get(way.source, -1),
            lane_source=index.stocks.get(way.source, -1), lead_table=w.dist(way.lead),
            delivery_slot=index.slot["delivery", lane_name(name, which)], least=way.least, multiple=way.multiple,
            lane_entity=entity_number(lane_name(name, which)), lead_mean=mean_ticks(way.lead),
            vehicle=k.vehicle if which == "regular" else 0,
        )  # fmt: skip
    for i, s in enumerate(plant.suppliers):
        reliable = threshold(s.reliability) if s.late is not None else HALF
        w.record("suppliers", i, unit_ticks=s.unit_ticks, in_time=reliable, late_table=w.dist(s.late))
    for i, d in enumerate(plant.demands):
        quantity = w.put(choice(d.quantity))
        book = w.put(v for o in d.book for v in (o.at, o.quantity, _promise(o.due, o.at, d.due)))
        season = w.put(round(f * ONE) for f in d.season)[0] if d.season else -1
        w.record(
            "demands", i, demand_stock=index.stocks[d.stock], demand_calendar=index.calendars[d.calendar],
            demand_entity=entity_number(d.id), demand_table=w.dist(d.arrivals), demand_slot=index.slot["demand", d.id],
            most_owed=_most_owed(d), quantity_at=quantity[0], quantity_end=quantity[1],
            promise=_promise_kind(plant, i), season_at=season, book_start=book[0], book_end=book[1],
        )  # fmt: skip


def _most_owed(d: Demand) -> int:
    """Units of a demand that wait at most."""
    if d.unmet == "lost":
        return 0
    return st.NO_LIMIT if d.most is None else d.most


def _promise_kind(plant: Plant, i: int) -> int:
    """Ticks from order to promised date; 0 where a book gives the dates; -1 for no dates."""
    d = plant.demands[i]
    if d.due is not None:
        return d.due
    return 0 if any(o.due is not None for o in d.book) else -1


def _promise(due: int | None, at: int, promise: int | None) -> int:
    """Promised date of a line of a book: its own, else the demand's promise, else none."""
    if due is not None:
        return due
    return st.INFINITY if promise is None else at + promise


def downstream(plant: Plant, stock: str) -> list[str]:
    """All stocks supplied from a stock, directly or not, in file order."""
    found = {stock}
    while True:
        more = {k.id for k in plant.stocks if k.source in found} - found
        if not more:
            return [k.id for k in plant.stocks if k.id in found and k.id != stock]
        found |= more


def claims(index: Index, stock: str) -> list[tuple[int, int]]:
    """(0, demand) and (1, lane) that are served from a stock, in the order of service."""
    plant = index.plant
    found = [(d.priority, 0, i) for i, d in enumerate(plant.demands) if d.stock == stock]
    for i, (name, which) in enumerate(index.lanes):
        k = plant.stocks[index.stocks[name]]
        way = k if which == "regular" else k.express
        if way is not None and way.source == stock:
            found.append((k.priority, 1, i))
    return [(kind, i) for _, kind, i in sorted(found)]


def _write_stock(w: Writer, k: Stock, i: int, lane: dict[tuple[str, str], int]) -> None:
    index, plant = w.index, w.plant
    users = w.put(n for n, p in enumerate(plant.products) if any(name == k.id for name, _ in p.release.consumes))
    needing = {
        s for p in plant.products for step in p.steps if any(name == k.id for name, _ in step.needs)
        for s, _ in step.eligible
    }  # fmt: skip
    needers = w.put(n for n, s in enumerate(plant.stations) if s.id in needing)
    served = w.put(v for claim in claims(index, k.id) for v in claim)
    below = w.put(index.stocks[name] for name in downstream(plant, k.id))
    supplied = k.source != "line"
    w.record(
        "stocks", i, stock_entity=entity_number(k.id), filler=-1 if supplied else index.products.get(k.item, -1),
        users_at=users[0], users_end=users[1], needers_at=needers[0], needers_end=needers[1], claims_at=served[0],
        claims_end=served[1], lane_regular=lane.get((k.id, "regular"), -1),
        lane_express=lane.get((k.id, "express"), -1),
        review_slot=index.slot.get(("review", k.id), -1), review_ticks=k.review or 0,
        order_policy=st.ORDER_WORDS.index(k.policy), order_quantity=k.quantity or 1, echelon=int(k.echelon),
        below_at=below[0], below_end=below[1], source_stock=index.stocks.get(k.source, -1), window=max(k.window, 1),
        cover=round(k.cover * ONE), safety=k.safety, continuous=int(supplied and k.review is None),
    )  # fmt: skip


def dispatch_weights(s: Station) -> list[int]:
    """The ten weights of a station."""
    given = dict(s.dispatch)
    return [given.get(name, 0) for name in FEATURES]
