"""The words in which a live state is told to the simulator: what is known about a plant at one moment.

Times are ticks. What a field leaves out counts as unknown and is filled in as its docstring says.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class FactsError(ValueError):
    """The facts contradict the plant (too many parts in a buffer, an unknown product): says which and by how much."""


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A part (a transfer batch moves as one): its product, the operation it waits for or undergoes, when it was
    released (tick; None: now), the date it is due (None: none) and, in a queue, when it joined it (None: now).

    A part that has ended and waits in its unit behind a blocked one may be at the step "done" or "scrap".

    `then`: where it goes after that, a step, "done" or "scrap", where blocking before service has settled it already
    ("": drawn).
    """

    product: str
    step: str
    released: int | None = None
    due: int | None = None
    queued: int | None = None
    then: str = ""


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """A work unit. `state`: free, setup, work, blocked or down (a closed calendar makes a free unit off by itself).

    `part`: what it has in hand (setup, work, blocked; down where the part stays in the unit); a blocked part's step is
    the one it waits for. `parts`: what an oven holds besides. `worked`: ticks of work (in setup: of setup) done on it.
    `age`: ticks worked since the last repair, for clocks that run in time. `since`: tick its present state began
    (order among blocked units and in the crew's queue). `repaired`: ticks of repair done; None: waiting for the crew,
    or unknown (the crew takes the longest waiting).

    `mode`: what it is down for ("": the first unplanned mode with a clock in time, else the first mode). `doing`: what
    it was at when it went down: work, setup, blocked or nothing ("": work where it has a part). `ages`: of single modes
    by id instead of `age`: ticks, for modes that count operations the operations since the last repair (without it 0).
    `due`: planned modes that wait for it to be free. `family`: what it is set up for, in setup what it was set up for
    before (None: in work the part's, else unknown). `level`: condition; `worn`: ticks worked at this level.
    """

    state: str = "free"
    part: PartFacts | None = None
    worked: int = 0
    age: int = 0
    since: int = 0
    repaired: int | None = None
    parts: tuple[PartFacts, ...] = ()
    mode: str = ""
    doing: str = ""
    ages: dict[str, int] = field(default_factory=dict)
    due: tuple[str, ...] = ()
    family: str | None = None
    level: int = 0
    worn: int = 0


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """An order in transit: quantity and either the tick its lead time began, when it was placed or its supplier has it
    ready (what remains is drawn; later than now: still to be made), or the tick it is due.
    """

    quantity: int
    placed: int | None = None
    due: int | None = None


@dataclass(frozen=True, slots=True)
class StockFacts:
    """A stock. `orders`: in transit in the regular lane; `express`: in the express lane. `owed`: ordered in the regular
    lane from the source, which has not sent them yet (`express_owed`: in the express lane). `period`: demanded
    since the last forecast period began; `past`: demand of the last forecast periods, the latest first (empty: what the
    plant file lets expect).
    """

    on_hand: int = 0
    backorders: int = 0
    orders: tuple[OrderFacts, ...] = ()
    express: tuple[OrderFacts, ...] = ()
    owed: int = 0
    period: int = 0
    past: tuple[int, ...] = ()
    express_owed: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known at `tick`. Units by (station id, unit from 1), queues (first in front) by station id; what is
    missing is empty.

    `pending`: lots that have arrived and are not released. `waiting`: units that wait for each demand (what remains of
    a stock's backorders is put to the demands served last). `dates`: (promised tick, units) of waiting orders, the
    oldest first; units without a known date were ordered now. `released`: units released so far, where a group's mix
    depends on it. `busy`: tick until which a supplier's capacity is taken.
    """

    tick: int
    units: dict[tuple[str, int], UnitFacts] = field(default_factory=dict)
    queues: dict[str, tuple[PartFacts, ...]] = field(default_factory=dict)
    stocks: dict[str, StockFacts] = field(default_factory=dict)
    controls: dict[str, int] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    arrival_age: dict[str, int] = field(default_factory=dict)  # ticks since a product's last arrival
    demand_age: dict[str, int] = field(default_factory=dict)  # ticks since a demand's last order
    waiting: dict[str, int] = field(default_factory=dict)
    dates: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
