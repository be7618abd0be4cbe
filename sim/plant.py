"""The plant as described: frozen types that the plant file is read into.

Everything is in base units after reading: times in ticks (float where a distribution parameter,
int where a duration), money in the file's currency, rates already turned into times between
arrivals. Ids refer to ids; `sim.compile` turns them into positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

UNLIMITED = -1
"""Capacity of a buffer that never blocks (it overflows, as an error, at `Plant.unlimited` parts)."""

DONE = -1
"""Routing target: the part is finished."""
SCRAP = -2
"""Routing target: the part is scrapped."""

STATES = ("idle", "work", "blocked", "starved", "setup", "down", "off")
"""States of a work unit, in the order of their codes 0..6 (wire, kernel and statistics alike)."""


@dataclass(frozen=True, slots=True)
class Dist:
    """A distribution of a duration in ticks.

    `kind` is one of constant, exponential, erlang, gamma, lognormal, weibull, normal (truncated at
    0), uniform, triangular, discrete, empirical. `args` are, in ticks where they are times:
    constant (value,), exponential (mean,), erlang (mean, k), gamma (mean, cv), lognormal (mean, cv),
    weibull (scale, shape), normal (mean, sd), uniform (low, high), triangular (low, mode, high),
    discrete (v1, p1, v2, p2, ...), empirical (v1, v2, ...: equally likely observations).
    """

    kind: str
    args: tuple[float, ...]


FEATURES = ("work", "work_left", "steps_left", "waited", "due", "slack", "ratio", "setup", "cmu", "priority")
"""What a dispatching weight can multiply, in the order of the kernel's tables; docs/kernel.md says how each is
computed.
"""
RULES = {
    "fifo": (),
    "spt": (("work", 1),),
    "mwkr": (("work_left", -1),),
    "mor": (("steps_left", -1),),
    "edd": (("due", 1),),
    "slack": (("slack", 1),),
    "cr": (("ratio", 1),),
    "setup": (("setup", 1),),
    "cmu": (("cmu", -1),),
    "priority": (("priority", 1),),
}
"""Dispatching rules by name: the weights they stand for; the part with the least weighted sum goes first."""

Quantity = tuple[tuple[int, float], ...]
"""A random whole number: (value, probability) pairs, by rising value. Values are 1 or more; a demand's may be 0 (nobody
ordered in that period).
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a routing. `next` holds (target, probability); target is a step index, DONE or SCRAP.

    `others`: further stations that may do it, each with its work time. `needs`: units of stocks that go into the part
    when the operation starts (assembly).
    """

    id: str
    station: str
    work: Dist
    next: tuple[tuple[int, float], ...]
    others: tuple[tuple[str, Dist], ...] = ()
    needs: tuple[tuple[str, int], ...] = ()

    @property
    def eligible(self) -> tuple[tuple[str, Dist], ...]:
        """All (station, work time) that may do the operation, in file order."""
        return ((self.station, self.work), *self.others)


@dataclass(frozen=True, slots=True)
class Order:
    """One line of an order list (`quantity` lots) or of a demand's book (`quantity` units): known at tick `at`, wanted
    by tick `due` (None: no date).
    """

    at: int
    quantity: int = 1
    due: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """How parts of a product enter the line.

    policy `push`: on arrivals (`arrivals`: time between them; paused while `calendar` is closed);
    `conwip`: while released-and-unfinished units + lot <= `cap` (None: no cap) and, where `base_stock` is given,
    on hand - backorders + released-and-unfinished < `base_stock`;
    `saturated`: whenever the first station's queue is empty;
    `orders`: the lots of the order list `orders`, each from its tick on.
    `consumes`: units of each stock taken for each unit at release; a release waits until all are on hand.
    `stops`: a base stock that is lowered by more than a lot below what is on hand and in the line stops work in hand,
    whose part is scrapped.
    """

    policy: str
    cap: int | None = None
    base_stock: int | None = None
    arrivals: Dist | None = None
    calendar: str | None = None
    consumes: tuple[tuple[str, int], ...] = ()
    orders: tuple[Order, ...] = ()
    stops: bool = False


@dataclass(frozen=True, slots=True)
class Product:
    """`lot` units are released together, as lot / transfer transfer batches of `transfer` units that move as one part.

    `due`: time from release to due date. `holding`: money per unit and tick in the system. `tardiness`: per unit and
    tick finished late. `family` decides setups and batches.
    """

    id: str
    steps: tuple[Step, ...]
    release: Release
    revenue: float = 0.0  # at shipment (or at completion where no stock receives the product)
    scrap_cost: float = 0.0
    family: str = ""  # "": the product's id
    lot: int = 1
    transfer: int = 1
    due: Dist | None = None
    priority: int = 0  # the lower, the more urgent
    holding: float = 0.0
    tardiness: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """CONWIP over several products: together at most `cap` units released and unfinished. `mix`: (product, share)."""

    id: str
    cap: int
    mix: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Mode:
    """Something that takes a unit out of work: a failure, a minor stop, a tool at its end, planned maintenance.

    `clock`: "odf" ages while the unit works, "tdf" whenever it is not down, "parts" with each operation ended,
    "condition" belongs to the station's `Condition`, "none" only where `at_level` decides. `after`: time to it (odf,
    tdf); `life`: operations to it (parts). `part`: what happens to the work in hand, "resumes", "repeats" (drawn
    anew) or "scrapped". `crew` None: repaired at once by nobody scarce; `priority`: the lower is served first.
    `planned`: maintenance, counted apart. `finish`: waits until the unit has no part. `renews`: the modes whose
    clocks are drawn anew at the end of the repair, besides its own; `restores`: the condition is as new. `at_level`:
    planned, begins when the unit is free and its condition has reached this level. `cost`: money each time.
    """

    id: str
    clock: str
    repair: Dist
    after: Dist | None = None
    life: Quantity = ()
    crew: str | None = None
    part: str = "resumes"
    priority: int = 0
    planned: bool = False
    finish: bool = False
    renews: tuple[str, ...] = ()
    restores: bool = False
    at_level: int | None = None
    cost: float = 0.0


def Failure(  # noqa: N802 - reads as the type it makes
    clock: str, after: Dist, repair: Dist, crew: str | None = None
) -> Mode:
    """The ordinary failure: resumes its part, renews only itself."""
    return Mode("failure", clock, repair, after=after, crew=crew)


@dataclass(frozen=True, slots=True)
class Condition:
    """Wear of a unit in levels 0 .. n-1 while it works.

    `wear[k]`: working time from level k to k + 1; after the last level the unit fails (its mode with clock
    "condition"). `fails[k]`: working time at level k to a sudden failure, None for never. `slow[k]`: factor on work
    times. `scrap[k]`: probability that a part ended at this level is scrap. All tuples have length n.
    """

    wear: tuple[Dist, ...]
    fails: tuple[Dist | None, ...]
    slow: tuple[float, ...]
    scrap: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """An oven: starts with `least` .. `most` parts of one key (`by`: "family", "product" or "any"), or with fewer once
    the first of them has waited `wait` ticks (None: never with fewer).
    """

    least: int
    most: int
    wait: int | None = None
    by: str = "family"


@dataclass(frozen=True, slots=True)
class Station:
    """ISA-95 work center of `units` parallel work units with one queue in front of them.

    `modes`: failures and maintenance of each unit. `setups`: (from family, to family, time); no entry, no setup.
    `dispatch`: (feature, weight) pairs, empty is first in first out. `kanban`: most parts in queue and units together.
    `operators`: (pool, number) a unit needs from the start of setup or work to its end; `priority` among stations that
    wait for one. `power`: watts of a unit in each of the seven states. `part_energy`: watt-hours an operation.
    """

    id: str
    units: int = 1
    modes: tuple[Mode, ...] = ()
    calendar: str | None = None  # None: always open
    buffer: str | None = None  # id of the declared buffer that is its queue
    capacity: int = UNLIMITED  # places in that queue
    holding: float = 0.0  # money per part and tick in the queue
    setups: tuple[tuple[str, str, Dist], ...] = ()
    setup_cost: float = 0.0
    batch: Batch | None = None
    dispatch: tuple[tuple[str, int], ...] = ()
    kanban: int | None = None
    condition: Condition | None = None
    operators: tuple[str, int] | None = None
    priority: int = 0
    power: tuple[int, ...] = ()
    part_energy: float = 0.0

    @property
    def fails(self) -> Mode | None:
        """The first unplanned mode with a clock in time: the failures that a forecast or a load must count with."""
        return next((m for m in self.modes if not m.planned and m.after is not None), None)


@dataclass(frozen=True, slots=True)
class Crew:
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Operators as a number of people, never persons."""

    id: str
    size: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """Weekly opening hours in local time.

    `open`: (weekday 0 = Monday, start minute of the day, end minute > start; may exceed 1440 over
    midnight), sorted. `breaks`: the same form, closed within the opening hours. `closed`: (first day, last day) of
    planned stops, whole local days. `at_close`: "finish" the part in hand or "freeze" it. `overtime`: ticks by which
    each closing is put off (a control may set it); `overtime_cost`: money per tick of it.
    """

    id: str
    open: tuple[tuple[int, int, int], ...]
    at_close: str = "finish"
    breaks: tuple[tuple[int, int, int], ...] = ()
    closed: tuple[tuple[date, date], ...] = ()
    overtime: int = 0
    overtime_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Express:
    """A second, faster source of a stock: orders up to `level` on what will be there within its own lead time."""

    source: str
    lead: Dist
    level: int
    price: float = 0.0
    order_cost: float = 0.0
    least: int = 1
    multiple: int = 1


@dataclass(frozen=True, slots=True)
class Stock:
    """A stock point. `source` is "line" (filled by finished parts of `item`), a supplier's id or another stock's id.

    For a supplied stock `review` None means a decision at every withdrawal, else every `review` ticks, the first at
    tick 0. `policy`: "base_stock" (up to `level`), "s_S" (at `reorder` or below up to `level`), "r_Q" (at `reorder`
    or below as many `quantity` as lift it above), "forecast" (up to `cover` review periods of mean demand over the
    last `window` periods, plus `safety`), "constant_order" (`level` units at every review). `echelon`: the position
    counts everything downstream as well. `least`, `multiple`: smallest order, and its granularity. `lead`: from order
    (or shipment, from a stock) to receipt. `vehicle`: orders leave only at a review, so many at once (0: no vehicle).
    """

    id: str
    item: str
    source: str
    initial: int
    holding: float = 0.0  # money per unit and tick on hand
    level: int | None = None
    review: int | None = None
    lead: Dist | None = None
    order_cost: float = 0.0  # money per order
    price: float = 0.0  # money per unit ordered
    policy: str = "base_stock"
    reorder: int | None = None
    quantity: int | None = None
    echelon: bool = False
    least: int = 1
    multiple: int = 1
    vehicle: int = 0
    window: int = 0
    cover: float = 0.0
    safety: int = 0
    express: Express | None = None
    priority: int = 0  # among those its source serves


@dataclass(frozen=True, slots=True)
class Supplier:
    """`unit_ticks`: time the supplier needs for a unit (its capacity; 0: none). `reliability`: share of orders that are
    in time; the others take `late` longer.
    """

    id: str
    note: str = ""
    unit_ticks: int = 0
    reliability: float = 1.0
    late: Dist | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """Customer orders on a stock point: `quantity` units at a time; what cannot be met waits (`unmet` "backorder") or
    is "lost". `most`: units that wait at most; of an order that finds less room what fits waits, the rest is lost.

    `arrivals`: time between orders, at the factors `season` of the 168 hours of the local week (1 is the stated rate);
    or `book`: a trace. `due`: ticks from order to promised date; `tardiness`: money per unit and tick late.
    """

    id: str
    stock: str
    arrivals: Dist | None
    calendar: str | None = None
    backlog: float = 0.0  # money per unit and tick backordered
    unmet: str = "backorder"
    lost_cost: float = 0.0  # money per unit lost
    quantity: Quantity = ((1, 1.0),)
    priority: int = 0  # the lower is served first
    due: int | None = None
    tardiness: float = 0.0
    season: tuple[float, ...] = ()
    book: tuple[Order, ...] = ()
    most: int | None = None

    @property
    def can_lose(self) -> bool:
        """Can units that were asked for be lost?"""
        return self.unmet == "lost" or self.most is not None


@dataclass(frozen=True, slots=True)
class Tariff:
    """Price of energy by local hour of the week. `prices`: money per kWh of each band; `hours`: band of the 168 hours.
    `co2`: kilograms per kWh.
    """

    prices: tuple[float, ...]
    hours: tuple[int, ...]
    co2: float = 0.0


@dataclass(frozen=True, slots=True)
class Control:
    """A number an agent or a person may set.

    `sets` is one of the paths of `sim.settings`: `release.PRODUCT.cap`, `release.PRODUCT.base_stock`,
    `groups.GROUP.cap`, `stocks.STOCK.level`, `.reorder`, `.express`, `buffers.BUFFER.kanban`,
    `stations.STATION.at_level`, `stations.STATION.dispatch.FEATURE`, `calendars.CALENDAR.overtime`. `every` ticks
    must pass between two changes; `klass` is the action class (release, supply, dispatch, maintenance, capacity);
    `worth` is the smallest gain, in money, that deserves an operator's click.
    """

    id: str
    sets: str
    low: int
    high: int
    step: int
    every: int
    klass: str
    worth: float
    approve: str


@dataclass(frozen=True, slots=True)
class Limit:
    """`if` condition (`THING.STATE`, for example `turn.down`; "" is always) and what must then hold (`CONTROL OP
    NUMBER`).
    """

    condition: str
    control: str
    op: str  # one of <= >= < > == !=
    value: float


@dataclass(frozen=True, slots=True)
class Signal:
    """An analog signal of a machine: the unit its values are in ("" unsaid), how often it is looked at (ms; readings in
    between are averaged), and from how many of these frames its usual behaviour is learned.
    """

    measured_in: str
    every_ms: int
    learn: int


@dataclass(frozen=True, slots=True)
class Sensor:
    """A tag. `property` is one of state, in, out, scrap, level, on_hand, on_order, backorder, demand, shipped, wip,
    set; or signal, which tells nothing of parts (`signal` says more).

    `thing` is a station, buffer, stock, demand, product or control id; `unit` (1-based) picks one of
    several parallel units; `product` restricts a counter to one product.
    """

    thing: str
    property: str
    tag: str
    type: str  # enum | counter | int | float
    cell: str = "cell1"
    unit: int | None = None
    product: str | None = None
    bits: int | None = None
    resets: str | None = None
    range: tuple[float, float] | None = None
    signal: Signal | None = None


@dataclass(frozen=True, slots=True)
class OwnRules:
    """Rules of the plant's own, written in SimPy: class `name` of `file` (a path), with `state` int64 in the row.

    `allowed`: has the user said that code of this file may run? A plant file cannot say so (`sim.ownrules.allow`).
    """

    file: Path
    name: str
    state: int
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class Plant:
    """A whole plant file. `start` is local time of tick 0 unless a run says otherwise (default Monday 2026-01-05
    00:00).
    """

    id: str
    site: str
    area: str
    line: str
    timezone: str
    tick_s: float  # seconds a tick
    time_unit: str  # s, min, h or d: unit of reported times and rates
    currency: str
    start: datetime
    products: tuple[Product, ...]
    stations: tuple[Station, ...]
    crews: tuple[Crew, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    stocks: tuple[Stock, ...] = ()
    suppliers: tuple[Supplier, ...] = ()
    demands: tuple[Demand, ...] = ()
    controls: tuple[Control, ...] = ()
    limits: tuple[Limit, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    groups: tuple[Group, ...] = ()
    pools: tuple[Pool, ...] = ()
    tariff: Tariff | None = None
    enterprise: str = ""
    conventions: dict[str, str] = field(default_factory=dict)
    unlimited: int = 10_000
    question: str = ""  # first comment of the file: what it is for
    path: Path | None = None
    rules: OwnRules | None = None
