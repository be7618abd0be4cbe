"""What the tracker needs of a plant file, worked out once: who feeds whom, and what each tag means."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.distributions import mean
from sim.plant import DONE, SCRAP, UNLIMITED, Mode, Plant, Product, Sensor, Station
from sim.settings import settings
from sim.traits import end_products
from twin.model import DemandState, Meters, StationState, StockState, TwinState, Unit


@dataclass(frozen=True, slots=True)
class Topology:
    """Positions and neighbours. `likely[p][k]` is the most probable target of step k of product p, `alts[p][k]` the
    others.

    `into[s]` are (product, step) pairs whose part is worked at station s; `feeds[s]` the stations that hand to s;
    `fills[p]` the stock product p fills (or -1); `tags` maps a tag to its sensor; `sensed[s]` the properties sensed
    at s;
    `mean_ms[p][k]` the mean work time; `counters` the tags that count (where several counters say the same, the
    finest), `signals` those that tell of a machine's condition alone.
    `needs[p][k]` the (stock, units) that go into a part when its step k begins; `family[p]` decides setups
    and batches; `patient[s]`: parts may wait there beside a free unit (for companions, components, people);
    `claims[k]` the demands on stock k in the order in which they are served, `served[k]` with the lanes from it: (lane,
    "" for a demand; position of the demand or of the stock the lane leads to); `mode[s]` the mode of a unit that is
    down for nobody knows what; `rests[s]`: its units also go down without work; `clocks[s]`: its modes have ages of
    their own; `freezes[s]`: its work stops at closing; `kanban[s]` the limit, or the control that sets it.
    """

    plant: Plant
    station: dict[str, int]
    product: dict[str, int]
    stock: dict[str, int]
    at: list[list[int]]
    likely: list[list[int]]
    alts: list[list[list[int]]]
    into: list[list[tuple[int, int]]]
    feeds: list[set[int]]
    fills: list[int]
    consumes: list[list[tuple[int, int]]]
    tags: dict[str, Sensor]
    sensed: list[set[str]]
    buffers: dict[str, int]
    needs: list[list[list[tuple[int, int]]]]
    family: list[str]
    patient: list[bool]
    claims: list[list[int]]
    served: list[list[tuple[str, int]]]
    mode: list[Mode | None]
    rests: list[bool]
    clocks: list[bool]
    freezes: list[bool]
    kanban: list[int | str | None]
    demand: dict[str, int] = field(default_factory=dict)
    demand_stock: dict[str, int] = field(default_factory=dict)
    mean_ms: list[list[float]] = field(default_factory=list)
    counters: frozenset[str] = frozenset()
    ends: list[int] = field(default_factory=list)
    signals: frozenset[str] = frozenset()


def build(plant: Plant) -> Topology:
    """The topology of `plant`."""
    station = {s.id: i for i, s in enumerate(plant.stations)}
    product = {p.id: i for i, p in enumerate(plant.products)}
    stock = {s.id: i for i, s in enumerate(plant.stocks)}
    at = [[station[step.station] for step in p.steps] for p in plant.products]
    likely: list[list[int]] = []
    alts: list[list[list[int]]] = []
    into: list[list[tuple[int, int]]] = [[] for _ in plant.stations]
    feeds: list[set[int]] = [set() for _ in plant.stations]
    for i, p in enumerate(plant.products):
        likely.append([max(step.next, key=lambda choice: choice[1])[0] for step in p.steps])
        alts.append([[t for t, _ in step.next if t != likely[i][k]] for k, step in enumerate(p.steps)])
        for k, step in enumerate(p.steps):
            into[at[i][k]].append((i, k))
            for target, _ in step.next:
                if target not in (DONE, SCRAP):
                    feeds[at[i][target]].add(at[i][k])
    buffers = {s.buffer: i for i, s in enumerate(plant.stations) if s.buffer}
    return Topology(
        plant=plant,
        station=station,
        product=product,
        stock=stock,
        at=at,
        likely=likely,
        alts=alts,
        into=into,
        feeds=feeds,
        fills=[_filled_by(plant, p.id, stock) for p in plant.products],
        consumes=[[(stock[s], n) for s, n in p.release.consumes] for p in plant.products],
        tags={s.tag: s for s in plant.sensors if s.signal is None},
        signals=frozenset(s.tag for s in plant.sensors if s.signal is not None),
        sensed=_sensed(plant, station, buffers),
        buffers=buffers,
        needs=[[[(stock[k], n) for k, n in step.needs] for step in p.steps] for p in plant.products],
        family=[family(p) for p in plant.products],
        patient=[_patient(plant, s) for s in plant.stations],
        claims=[[i for lane, i in _served(plant, k.id) if not lane] for k in plant.stocks],
        served=[_served(plant, k.id) for k in plant.stocks],
        mode=[s.fails or (s.modes[0] if s.modes else None) for s in plant.stations],
        rests=[any(m.planned or m.clock in ("tdf", "parts") for m in s.modes) for s in plant.stations],
        clocks=[len(s.modes) > 1 or any(m.clock != "odf" for m in s.modes) for s in plant.stations],
        freezes=[_freezes(plant, s) for s in plant.stations],
        kanban=[_kanban(plant, s) for s in plant.stations],
        demand={d.id: i for i, d in enumerate(plant.demands)},
        demand_stock={d.id: stock[d.stock] for d in plant.demands},
        mean_ms=[[mean(step.work) * plant.tick_s * 1000 for step in p.steps] for p in plant.products],
        counters=_authoritative(plant),
        ends=end_products(plant),
    )


def family(product: Product) -> str:
    """What decides setups and batches of a product."""
    return product.family or product.id


def _patient(plant: Plant, s: Station) -> bool:
    needs = any(step.needs for p in plant.products for step in p.steps if step.station == s.id)
    return bool(s.batch or s.operators or needs)


def _served(plant: Plant, stock: str) -> list[tuple[str, int]]:
    """Who is served from a stock, first served first: by priority, demands before lanes, regular before express."""
    demands = [(d.priority, 0, "", i) for i, d in enumerate(plant.demands) if d.stock == stock]
    lanes = [(k.priority, 1, "regular", i) for i, k in enumerate(plant.stocks) if k.source == stock]
    fast = [k.express is not None and k.express.source == stock for k in plant.stocks]
    lanes += [(k.priority, 2, "express", i) for i, k in enumerate(plant.stocks) if fast[i]]
    return [(lane, i) for _, _, lane, i in sorted([*demands, *lanes], key=lambda claim: (claim[0], claim[1], claim[3]))]


def _freezes(plant: Plant, s: Station) -> bool:
    return s.batch is None and any(c.id == s.calendar and c.at_close == "freeze" for c in plant.calendars)


def _kanban(plant: Plant, s: Station) -> int | str | None:
    return next((c.id for c in plant.controls if c.sets == f"buffers.{s.buffer}.kanban"), s.kanban)


def _filled_by(plant: Plant, item: str, stock: dict[str, int]) -> int:
    return next((stock[s.id] for s in plant.stocks if s.source == "line" and s.item == item), -1)


def _sensed(plant: Plant, station: dict[str, int], buffers: dict[str, int]) -> list[set[str]]:
    sensed: list[set[str]] = [set() for _ in plant.stations]
    for sensor in plant.sensors:
        where = station.get(sensor.thing, buffers.get(sensor.thing, -1))
        if where >= 0 and sensor.signal is None:
            sensed[where].add(sensor.property)
    return sensed


def _authoritative(plant: Plant) -> frozenset[str]:
    """Of the counters of one thing and property: those by product, else by unit, else the total."""
    best: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for sensor in plant.sensors:
        if sensor.type != "counter":
            continue
        fine = 2 * (sensor.product is not None) + (sensor.unit is not None)
        found = best.get((sensor.thing, sensor.property), (-1, []))
        if fine > found[0]:
            best[sensor.thing, sensor.property] = (fine, [sensor.tag])
        elif fine == found[0]:
            found[1].append(sensor.tag)
    return frozenset(tag for _, tags in best.values() for tag in tags)


def counter_key(topology: Topology, thing: str, kind: str, unit: int | None, product: str | None) -> str:
    """The channel in which an event's count is kept: the tag of the register it stands for, or one of its own where the
    thing has no such counter.
    """
    wanted = {"work_start": "in", "work_end": "out", "scrap": "scrap"}.get(kind)
    for sensor in topology.plant.sensors:
        counts = sensor.tag in topology.counters and (sensor.thing, sensor.property) == (thing, wanted)
        if counts and sensor.unit in (None, unit) and sensor.product in (None, product):
            return sensor.tag
    return f"@{thing}/{kind}"


def release_key(topology: Topology, product: str) -> str | None:
    """The tag that counts a product's releases."""
    tags = (s.tag for s in topology.plant.sensors if (s.thing, s.property) == (product, "in"))
    return next((tag for tag in tags if tag in topology.counters), None)


def setup_ms(topology: Topology, s: int, before: str, after: str) -> float:
    """Mean setup time (plant ms) at station `s` from one family to another, 0 where none is made or the first is
    unknown.
    """
    for a, b, time in topology.plant.stations[s].setups:
        if before and (a, b) == (before, after):
            return mean(time) * topology.plant.tick_s * 1000
    return 0.0


def capacity(topology: Topology, s: int) -> int | None:
    """Places in the queue of station `s`, None where unlimited."""
    places = topology.plant.stations[s].capacity
    return None if places == UNLIMITED else places


def first_controls(plant: Plant) -> dict[str, int]:
    """The value of every control as the plant file has it (0 where it sets nothing yet)."""
    present = settings(plant)
    return {control.id: present.get(control.sets, 0) for control in plant.controls}


def empty_state(topology: Topology) -> TwinState:
    """Before the first row: nothing on the floor, stocks as the plant file says, all of it only believed."""
    plant = topology.plant
    n_s, n_p, n_k = len(plant.stations), len(plant.products), len(plant.stocks)
    return TwinState(
        t=0,
        stations=[StationState(units=[Unit() for _ in range(s.units)], ended_of=[0] * n_p) for s in plant.stations],
        stocks=[StockState(on_hand=s.initial) for s in plant.stocks],
        demands=[DemandState() for _ in plant.demands],
        meters=Meters(
            queue_ms=[0] * n_s,
            hand_ms=[0] * n_k,
            back_ms=[0] * n_k,
            wait_ms=[0] * len(plant.demands),
            wip_ms=[0] * n_p,
            state_ms=[[0] * 7 for _ in range(n_s)],
            released=[0] * n_p,
            finished=[0] * n_p,
            scrapped=[0] * n_p,
        ),
        wip=[0] * n_p,
        controls=first_controls(plant),
    )
