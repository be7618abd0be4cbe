"""The plant as described: frozen types that the plant file is read into.

Everything is in base units after reading: times in ticks (float where a distribution parameter,
int where a duration), money in the file's currency, rates already turned into times between
arrivals. Ids refer to ids; `sim.compile` turns them into positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a routing. `next` holds (target, probability); target is a step index, DONE or SCRAP."""

    id: str
    station: str
    work: Dist
    next: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Release:
    """How parts of a product enter the line.

    policy `push`: on arrivals (`arrivals`: time between them; paused while `calendar` is closed);
    `conwip`: while released-and-unfinished parts < `cap` and, where `base_stock` is given,
    on hand - backorders + released-and-unfinished < `base_stock`;
    `saturated`: whenever the first station's queue is empty.
    `consumes`: units of each stock taken at release; a release waits until all are on hand.
    """

    policy: str
    cap: int | None = None
    base_stock: int | None = None
    arrivals: Dist | None = None
    calendar: str | None = None
    consumes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Product:
    id: str
    steps: tuple[Step, ...]
    release: Release
    revenue: float = 0.0  # at shipment (or at completion where no stock receives the product)
    scrap_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """`odf`: the clock runs only while the unit works. `crew` None: repaired at once by nobody scarce."""

    clock: str
    after: Dist
    repair: Dist
    crew: str | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """ISA-95 work center of `units` parallel work units with one FIFO queue in front of them."""

    id: str
    units: int = 1
    fails: Failure | None = None
    calendar: str | None = None  # None: always open
    buffer: str | None = None  # id of the declared buffer that is its queue
    capacity: int = UNLIMITED  # places in that queue
    holding: float = 0.0  # money per part and tick in the queue


@dataclass(frozen=True, slots=True)
class Crew:
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """Weekly opening hours in local time.

    `open`: (weekday 0 = Monday, start minute of the day, end minute > start; may exceed 1440 over
    midnight), sorted. At closing the part in hand is finished.
    """

    id: str
    open: tuple[tuple[int, int, int], ...]
    at_close: str = "finish"


@dataclass(frozen=True, slots=True)
class Stock:
    """A stock point. `source` is "line" (filled by finished parts of `item`) or a supplier's id.

    For a supplied stock: base-stock policy; `review` None means an order at every withdrawal, else
    an order up to `level` every `review` ticks, the first at tick 0. `lead` is the time from order to receipt.
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


@dataclass(frozen=True, slots=True)
class Supplier:
    id: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """Single-unit customer orders on a stock point; what cannot be met waits (backorder)."""

    id: str
    stock: str
    arrivals: Dist
    calendar: str | None = None
    backlog: float = 0.0  # money per unit and tick backordered


@dataclass(frozen=True, slots=True)
class Control:
    """A number an agent or a person may set.

    `sets` is `release.PRODUCT.cap`, `release.PRODUCT.base_stock` or `stocks.STOCK.level`.
    `every` ticks must pass between two changes; `klass` is the action class (release, supply);
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
class Sensor:
    """A tag. `property` is one of state, in, out, scrap, level, on_hand, on_order, backorder, demand, shipped, wip,
    set.

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
    conventions: dict[str, str] = field(default_factory=dict)
    unlimited: int = 10_000
    question: str = ""  # first comment of the file: what it is for
    path: Path | None = None
