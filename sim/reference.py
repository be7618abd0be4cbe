"""The plant as readable SimPy processes: the oracle of the compiled kernel, and the engine `simpy`.

It is written from docs/kernel.md independently of the kernel, and shares with it only the draws, the quantile tables
and the compiled calendar. It must produce the same events at the same ticks in the same order, and the same row,
from the start of a run and from any row taken in the middle of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from sim import distributions, draws
from sim import state as st
from sim.compile import Compiled
from sim.plant import FEATURES
from sim.reference_calendar import WorkCalendar
from sim.reference_clock import Clock, Life, Luck, Parts, Shared, Timer, Wakeable, Worklist
from sim.reference_energy import Meter, TariffClock
from sim.reference_floor import OperatorPool, WorkCenter
from sim.reference_queue import Door, Route
from sim.reference_release import ProductLine
from sim.reference_repair import Crew
from sim.reference_row import fill, to_row
from sim.reference_rules import Rules
from sim.reference_stock import StockPoint
from sim.reference_supply import Supply
from sim.reference_unit import WorkUnit
from sim.state import KINDS, Array, State

OWN_NUMBERS = 1024
"""How many timers of own rules may wait for one tick."""


class Reference(Rules):
    """One replica of a plant in SimPy; rules of a plant's own are a subclass that overrides hooks of `Rules`.

    `trace` is the list of (tick, slot, kind) of the timed events so far. `calendars`, `centers`, `units`, `crews`,
    `pools`, `doors`, `products` and `stocks` are the model's things, in file order (doors: of the row).
    """

    def __init__(self, compiled: Compiled, seed: int, replica: int = 0) -> None:
        """An empty plant at tick 0, its first consequences done. Raises OverflowError as `run`."""
        self._build(compiled, 0, seed, replica)
        for calendar in self.calendars:
            calendar.set_first()
        if self.tariff is not None:
            self.tariff.set_first()
        for unit in self.units:
            unit.upkeep.draw_all()
        self.supply.draw_first()
        self._begin()
        self.react()

    @classmethod
    def from_row(cls, compiled: Compiled, row: Array) -> Reference:
        """The plant in the state of a kernel row (int64[W], between events); it goes on as the kernel would."""
        model = cls.__new__(cls)
        state = State(np.array(row, dtype=np.int64), compiled.layout)
        model._build(compiled, state.now, state.seed, state.replica)
        fill(model, state)
        model.load(state.own.copy())
        model._begin()
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

    def step(self, last: int, kinds: int) -> None:
        """Run to the next decision: to the first later tick with an event of `kinds` (bits), at most to tick `last`;
        all events of the tick where it stops have happened. Raises as `run`.
        """
        self.clock.step(last, kinds)

    def to_row(self) -> Array:
        """The kernel's row of this state, int64[W]."""
        row = to_row(self)
        self.save(self.compiled.layout.view(row, "own"))
        return row

    @classmethod
    def first_own(cls, compiled: Compiled) -> Array:
        """Own state of the rules in a plant of which they know nothing yet, int64[own]."""
        model, own = cls.__new__(cls), np.zeros(compiled.layout.sizes["own"], dtype=np.int64)
        model._build(compiled, 0, 0, 0)
        model.save(own)
        return own

    def react(self) -> None:
        """Let everything look at what it can do now."""
        self.shared.settle([*self.centers, *self.products])
        self.clock.flush()

    # --- what rules of a plant's own may use

    def station(self, name: str) -> WorkCenter:
        """The station of that id."""
        return self.center[name]

    def product(self, name: str) -> ProductLine:
        """The product of that id."""
        return self.supply.product[name]

    def stock(self, name: str) -> StockPoint:
        """The stock of that id."""
        return self.supply.stock[name]

    def process(self, life: Life) -> None:
        """Start a SimPy process: a generator that yields what `at` gives."""
        self.clock.env.process(life)

    def at(self, tick: int, number: int = 0) -> Timer:
        """What a process yields to go on at `tick` (now or later), after the plant's own events of that tick.

        Of several at one tick the one with the lowest `number`, 0..1023, comes first; no two may have the same one.
        Raises ValueError for a tick that has passed and for other numbers.
        """
        if tick < self.now or not 0 <= number < OWN_NUMBERS:
            raise ValueError(
                f"at: expected a tick from {self.now} on and a number in 0..{OWN_NUMBERS - 1}, "
                f"found {tick} and {number}"
            )
        return self.clock.timer(len(self.compiled.slots), tick - self.now, number / OWN_NUMBERS)

    def wake(self, things: Iterable[Wakeable]) -> None:
        """In a process: let stations and products look again at what they can do, with all that follows."""
        self.shared.settle(things)

    def uniform(self, count: int, stream: int = 0) -> float:
        """Random number `count` (0, 1, ...) of a stream, in [0, 1): of this seed and replica, always the same one.

        How many were used is own state of the rules.
        """
        luck = self.shared.luck
        return (draws.word(luck.seed, luck.replica, draws.entity_number(f"own/{stream}"), 0, count) >> 11) * 2.0**-53

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
            self._set(control.sets, int(value))
        self.react()

    def _set(self, sets: str, value: int) -> None:
        """Set one setting by its path."""
        kind, thing, name = sets.split(".", 2)
        if kind in ("release", "groups", "stocks"):
            self.supply.set_control(sets, value)
        elif kind == "calendars":
            self.calendar[thing].overtime = value
        elif kind == "buffers":
            next(center for center in self.centers if center.spec.buffer == thing).kanban = value
        elif name == "at_level":
            self.center[thing].at_level = value
        else:
            self.center[thing].dispatch.weights[FEATURES.index(name.removeprefix("dispatch."))] = value

    # --- making the model

    def _build(self, compiled: Compiled, now: int, seed: int, replica: int) -> None:
        """Make all things, empty and with no process running."""
        self.compiled = compiled
        kinds = [KINDS.index(kind) for kind, _ in compiled.slots]
        self.clock = Clock(kinds, now)
        slots = {(KINDS.index(kind), owner): slot for slot, (kind, owner) in enumerate(compiled.slots)}
        self.shared = Shared(self.clock, Luck(seed, replica), Worklist(), slots)
        self.shared.rules = self
        self.shared.before_service = compiled.plant.conventions.get("blocking") == "before_service"
        self.parts = Parts(self.clock, compiled.layout.sizes["parts"])
        self.past_events = 0
        self.stats_from = now
        self.meter = Meter(self.shared, compiled.layout.sizes["bands"])
        self.meter.band = int(compiled.initial["band"])
        self.tariff: TariffClock | None = None
        if (st.K_TARIFF, "tariff") in slots:
            self.tariff = TariffClock(self.shared, self.meter, partial(tariff_change, compiled))
        self._build_floor()
        self.supply = Supply(self)
        self.products, self.stocks = self.supply.products, self.supply.stocks
        self.supply.connect(self.center)
        self._build_routes()
        for center in self.centers:
            center.eager = self._is_eager(center)
        self.prepare()

    def _build_floor(self) -> None:
        plant = self.compiled.plant
        opened = self.compiled.initial["cal_open"]
        self.calendars = [
            WorkCalendar(self.shared, spec, bool(opened[c]), partial(change, self.compiled, c))
            for c, spec in enumerate(plant.calendars)
        ]
        self.calendar = {calendar.spec.id: calendar for calendar in self.calendars}
        self.crews = [Crew(spec.size) for spec in plant.crews]
        crews = dict(zip([spec.id for spec in plant.crews], self.crews, strict=True))
        self.pools = [OperatorPool(spec) for spec in plant.pools]
        pools = dict(zip([spec.id for spec in plant.pools], self.pools, strict=True))
        self.centers: list[WorkCenter] = []
        self.units: list[WorkUnit] = []
        for rank, spec in enumerate(plant.stations):
            calendar = self.calendar[spec.calendar] if spec.calendar else None
            center = WorkCenter(self.shared, spec, rank, calendar, self.meter)
            if spec.operators is not None:
                center.join_pool(pools[spec.operators[0]])
            center.energy_of_part = round(spec.part_energy * 3600 / plant.tick_s)
            self.centers.append(center)
            for number in range(1, spec.units + 1):
                self.units.append(WorkUnit(center, number, len(self.units), crews))
        self.center = {center.spec.id: center for center in self.centers}

    def _build_routes(self) -> None:
        """Where products go: stations, doors, components; and from where parts come to a station."""
        compiled, plant = self.compiled, self.compiled.plant
        self.doors = [Door([self.centers[s] for s in stations]) for stations in compiled.doors]
        planned: dict[str, set[int]] = {}
        by_stations = {frozenset(door.centers): door for door in self.doors}
        for spec in plant.products:
            route = Route(spec, compiled.step_index[spec.id, spec.steps[0].id], plant.tick_s)
            route.centers = [[self.center[name] for name, _ in step.eligible] for step in spec.steps]
            route.doors = [by_stations[frozenset(centers)] for centers in route.centers]
            route.needs = [[(self.supply.stock[name], n) for name, n in step.needs] for step in spec.steps]
            self.shared.routes[spec.id] = route
            for i, step in enumerate(spec.steps):
                for name, work in step.eligible:
                    planned.setdefault(name, set()).add(round(distributions.mean(work) * spec.transfer))
                for target in (target for target, _ in step.next if target >= 0):
                    for center in route.centers[target]:
                        center.feeders += [one for one in route.centers[i] if one not in center.feeders]
        for center in self.centers:
            center.varies = len(planned.get(center.spec.id, ())) > 1

    def _is_eager(self, center: WorkCenter) -> bool:
        """Must every handling of the station let the products that start there look whether they can enter?"""
        plant, spec = self.compiled.plant, center.spec
        steps = [step for product in plant.products for step in product.steps if spec.id in dict(step.eligible)]
        has_kanban = spec.kanban is not None or f"buffers.{spec.buffer}.kanban" in [c.sets for c in plant.controls]
        return (
            spec.capacity == 0
            or has_kanban
            or spec.batch is not None
            or spec.operators is not None
            or any(step.needs for step in steps)
            or any(mode.planned for mode in spec.modes)
            or any(
                spec.id in dict(product.steps[0].eligible)
                and (product.lot > product.transfer or len(product.steps[0].eligible) > 1)
                for product in plant.products
            )
            or self.shared.before_service
        )

    def _begin(self) -> None:
        """Start all processes."""
        for center in self.centers:
            center.begin()
        for calendar in self.calendars:
            calendar.begin()
        if self.tariff is not None:
            self.tariff.begin()
        self.supply.begin()
        self.start_own()


def number_and_weeks(number: int, length: int, weekly: int) -> tuple[int, int]:
    """Where change `number` stands in a table of `length` changes whose last `weekly` repeat: (place, weeks later)."""
    if number < length:
        return number, 0
    weeks, place = divmod(number - length, weekly)
    return length - weekly + place, weeks + 1


def change(compiled: Compiled, calendar: int, number: int) -> int | None:
    """Tick of a calendar's change `number`: from its table, of which the last week repeats for ever."""
    params = compiled.params
    record = params[params[st.TO_CALENDARS] + st.CALENDAR_PW * calendar :]
    ticks = params[record[st.CHANGES_AT] : record[st.CHANGES_END]]
    if len(ticks) == 0:
        return None
    place, weeks = number_and_weeks(number, len(ticks), int(record[st.CHANGES_WEEKLY]))
    return int(ticks[place] + weeks * params[st.WEEK])


def tariff_change(compiled: Compiled, number: int) -> tuple[int, int] | None:
    """(Tick, band) of the tariff's change `number`: from its table, of which the last week repeats for ever."""
    changes = compiled.tariff_changes
    if not changes:
        return None
    place, weeks = number_and_weeks(number, len(changes), compiled.tariff_weekly)
    tick, band = changes[place]
    return tick + weeks * int(compiled.params[st.WEEK]), band
