"""The plant as readable SimPy processes: the oracle of the compiled kernel, and the engine `simpy`.

It is written from docs/kernel.md independently of the kernel, and shares with it only the draws, the quantile tables
and the compiled calendar. It must produce the same events at the same ticks in the same order, and the same row,
from the start of a run and from any row taken in the middle of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from sim.compile import Compiled
from sim.draws import ARRIVAL, DEMAND
from sim.plant import Demand
from sim.reference_clock import Clock, Luck, Parts, Shared, Wakeable, Worklist, known
from sim.reference_floor import Crew, WorkCalendar, WorkCenter, WorkUnit
from sim.reference_row import fill, to_row
from sim.reference_supply import ProductLine, StockPoint, Stream
from sim.state import CAL_AT, CAL_TICKS, CAL_WEEKLY, K_ARRIVAL, K_DEMAND, KINDS, WEEK, Array, State


class Reference:
    """One replica of a plant in SimPy.

    `trace` is the list of (tick, slot, kind) of the timed events so far. `calendars`, `centers`, `units`, `crews`,
    `products`, `stocks` and `streams` are the model's things, in the order of the plant file.
    """

    def __init__(self, compiled: Compiled, seed: int, replica: int = 0) -> None:
        """An empty plant at tick 0, its first consequences done. Raises OverflowError as `run`."""
        self._build(compiled, 0, seed, replica)
        for unit in self.units:
            unit.draw_failure()
        for stream, draw in zip(self.streams.values(), self._draws, strict=True):
            stream.left = draw()
        self._begin([0] * len(self.stocks))
        self.shared.worklist.settle([*self.centers, *self.products])
        self.clock.flush()

    @classmethod
    def from_row(cls, compiled: Compiled, row: Array) -> Reference:
        """The plant in the state of a kernel row (int64[W], between events); it goes on as the kernel would."""
        model = cls.__new__(cls)
        state = State(np.array(row, dtype=np.int64), compiled.layout)
        model._build(compiled, state.now, state.seed, state.replica)
        reviews = fill(model, state)
        model._begin(reviews)
        model.clock.flush()
        return model

    @property
    def now(self) -> int:
        """Present tick."""
        return self.clock.now

    @property
    def trace(self) -> list[tuple[int, int, int]]:
        """(tick, slot, kind) of every timed event since this model was made."""
        return self.clock.trace

    def run(self, until: int) -> None:
        """Run the events before tick `until`. Raises OverflowError where the kernel ends in an error."""
        self.clock.run(until)

    def to_row(self) -> Array:
        """The kernel's row of this state, int64[W]."""
        return to_row(self)

    def set_controls(self, values: Sequence[int]) -> None:
        """Set all controls, in the order of the plant file, and let the plant react.

        Raises ValueError, changing nothing, when their number is not that of the plant's controls.
        """
        controls = self.compiled.plant.controls
        if len(values) != len(controls):
            raise ValueError(
                f"plant {self.compiled.plant.id}: expected {len(controls)} control values "
                f"({', '.join(control.id for control in controls)}), found {len(values)}"
            )
        for control, value in zip(controls, values, strict=True):
            kind, thing, name = control.sets.split(".")
            if kind == "stocks":
                self.stocks[self.compiled.stock_index[thing]].level = int(value)
            else:
                setattr(self.products[self.compiled.product_index[thing]], name, int(value))
        self.shared.worklist.settle(self.products)
        self.clock.flush()

    def _build(self, compiled: Compiled, now: int, seed: int, replica: int) -> None:
        """Make all things, empty and with no process running but those that wait for a first part."""
        plant, layout = compiled.plant, compiled.layout
        self.compiled = compiled
        kinds = [KINDS.index(kind) for kind, _ in compiled.slots]
        self.clock = Clock(kinds, now)
        slots = {(KINDS.index(kind), owner): slot for slot, (kind, owner) in enumerate(compiled.slots)}
        self.shared = Shared(self.clock, Luck(seed, replica), Worklist(), slots)
        self.parts = Parts(self.clock, layout.sizes["parts"])
        self.past_events = 0
        self.stats_from = now
        self._build_floor()
        places = layout.sizes["transit"]
        self.stocks = [StockPoint(self.shared, spec, places) for spec in plant.stocks]
        self._build_products()
        self.streams: dict[tuple[int, str], Stream] = {}
        self._draws: list[Callable[[], int]] = []
        self._happens: list[Callable[[], set[Wakeable]]] = []
        for product in self.products:
            if product.spec.release.policy == "push":
                self._add_arrivals(product)
        for demand in plant.demands:
            self._add_demand(demand)

    def _build_floor(self) -> None:
        plant = self.compiled.plant
        opened = self.compiled.initial["cal_open"]
        self.calendars = [
            WorkCalendar(self.shared, spec.id, bool(opened[c]), partial(change, self.compiled, c))
            for c, spec in enumerate(plant.calendars)
        ]
        self.calendar = {calendar.name: calendar for calendar in self.calendars}
        self.crews = [Crew(spec.size) for spec in plant.crews]
        crews = dict(zip([spec.id for spec in plant.crews], self.crews, strict=True))
        self.centers: list[WorkCenter] = []
        self.units: list[WorkUnit] = []
        for rank, station in enumerate(plant.stations):
            calendar = self.calendar[station.calendar] if station.calendar else None
            center = WorkCenter(self.shared, station, rank, calendar)
            self.centers.append(center)
            crew = crews[station.fails.crew] if station.fails and station.fails.crew else None
            for number in range(1, station.units + 1):
                self.units.append(WorkUnit(center, number, len(self.units), crew))

    def _build_products(self) -> None:
        compiled, plant = self.compiled, self.compiled.plant
        self.products: list[ProductLine] = []
        for rank, spec in enumerate(plant.products):
            product = ProductLine(self.shared, spec, len(self.centers) + rank, self.parts)
            self.products.append(product)
            product.cap = int(compiled.initial["cap"][rank])
            product.base_stock = int(compiled.initial["base_stock"][rank])
            product.route = [self.centers[compiled.station_index[step.station]] for step in spec.steps]
            product.route[0].starters.append(product)
            for name, quantity in spec.release.consumes:
                stock = self.stocks[compiled.stock_index[name]]
                product.consumes.append((stock, quantity))
                stock.users.append(product)
            if spec.release.calendar:
                product.calendar = self.calendar[spec.release.calendar]
                product.calendar.products.append(product)
        for stock in self.stocks:
            if stock.spec.source == "line":
                product = self.products[compiled.product_index[stock.spec.item]]
                stock.filler, product.fills = product, stock

    def _add_arrivals(self, product: ProductLine) -> None:
        name = product.spec.id
        stream = Stream(self.shared, (K_ARRIVAL, name), product.calendar)
        self.streams[K_ARRIVAL, name] = stream
        arrivals, luck = known(product.spec.release.arrivals), self.shared.luck
        self._draws.append(lambda: luck.duration(arrivals, name, ARRIVAL, stream.scale))
        self._happens.append(product.arrive)

    def _add_demand(self, demand: Demand) -> None:
        calendar = self.calendar[demand.calendar] if demand.calendar else None
        stream = Stream(self.shared, (K_DEMAND, demand.id), calendar)
        self.streams[K_DEMAND, demand.id] = stream
        luck = self.shared.luck
        self._draws.append(lambda: luck.duration(demand.arrivals, demand.id, DEMAND, stream.scale))
        self._happens.append(self.stocks[self.compiled.stock_index[demand.stock]].demand)

    def _begin(self, reviews: Sequence[int]) -> None:
        """Start all processes; `reviews` is the tick of each stock's next review (of stocks that have one)."""
        env = self.clock.env
        for unit in self.units:
            unit.begin()
        for calendar in self.calendars:
            calendar.begin()
        for stream, draw, happen in zip(self.streams.values(), self._draws, self._happens, strict=True):
            env.process(stream.live(draw, happen))
        for stock, first in zip(self.stocks, reviews, strict=True):
            if stock.spec.source != "line" and stock.spec.review is not None:
                env.process(stock.review(first))


def change(compiled: Compiled, calendar: int, number: int) -> int | None:
    """Tick of a calendar's change `number`: from its table, of which the last week repeats for ever."""
    params = compiled.params
    first, end = (int(v) for v in params[params[CAL_AT] + calendar : params[CAL_AT] + calendar + 2])
    if first == end:
        return None
    ticks = params[params[CAL_TICKS] + first : params[CAL_TICKS] + end]
    if number < len(ticks):
        return int(ticks[number])
    weekly = int(params[params[CAL_WEEKLY] + calendar])
    weeks, place = divmod(number - len(ticks), weekly)
    return int(ticks[len(ticks) - weekly + place] + (weeks + 1) * params[WEEK])
