"""The states of every work unit over a window of time, for a state chart, from one replica of the kernel.

The kernel is not changed for it: a replica is run to each event in turn and its row is looked at in between, which is
slow (thousands of events a second) and costs a run without a chart nothing. What is drawn is what the kernel did, since
running in pieces and in one go are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sim.compile import Compiled
from sim.kernel import new_rows, run
from sim.plant import STATES
from sim.state import INFINITY, NOBODY

MOST_BARS = 20_000
MOST_IN_A_ROW = 3_000
ENOUGH = 30
"""Bars a unit of a chart whose end nobody named."""
LONGEST_DAYS = 7
MANY = 60
"""In a plant of more units, those that do no work in the window are left out."""
STEPS = 50
"""Pieces in which the time before the window is run, so that progress shows."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One unit in one state from `start` to `end` (ticks); `product` and `step` are ids where it holds a part, else "".

    `released`: tick at which that part was released (-1 without a part).
    """

    unit: int
    state: str
    start: int
    end: int
    product: str = ""
    step: str = ""
    released: int = -1


@dataclass(slots=True)
class Chart:
    """Bars of all units between two ticks; `units` are their names, `station` the position of each one's station."""

    plant: str
    seed: int
    start: int
    end: int
    units: list[str] = field(default_factory=list)
    station: list[int] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    left_out: int = 0

    def without_resting(self) -> Chart:
        """The chart without the units that did no work at all in the window; `left_out` counts them."""
        worked = sorted({bar.unit for bar in self.bars if bar.state == "work"})
        place = {unit: n for n, unit in enumerate(worked)}
        bars = [replace(bar, unit=place[bar.unit]) for bar in self.bars if bar.unit in place]
        units, stations = [self.units[u] for u in worked], [self.station[u] for u in worked]
        left_out = len(self.units) - len(worked)
        return Chart(self.plant, self.seed, self.start, self.end, units, stations, bars, left_out)

    def shares(self, unit: int) -> dict[str, float]:
        """Share of the window that a unit spent in each state (sums to one)."""
        spent = dict.fromkeys(STATES, 0)
        for bar in self.bars:
            if bar.unit == unit:
                spent[bar.state] += bar.end - bar.start
        return {state: ticks / (self.end - self.start) for state, ticks in spent.items()}


class _Watch:
    """One replica with, for every unit, the state it is in, since when, and with which part."""

    def __init__(self, compiled: Compiled, seed: int) -> None:
        self.compiled = compiled
        self.rows = new_rows(compiled, seed, 1)
        view = compiled.layout.view
        row = self.rows[0]
        self.state, self.part = view(row, "unit_state"), view(row, "unit_part")
        self.product, self.step = view(row, "part_product"), view(row, "part_step")
        self.release, self.timer = view(row, "part_release"), view(row, "next_time")
        slots = [slot for slot, (kind, _) in enumerate(compiled.slots) if kind == "work_end"]
        self.work_end = slots  # one for each unit, in order
        self.steps = [step.id for p in compiled.plant.products for step in p.steps]
        self.open: list[Bar] = []

    def look(self, unit: int, now: int) -> Bar:
        """The bar that begins (or goes on) now."""
        part = int(self.part[unit])
        state = STATES[int(self.state[unit])]
        if part == NOBODY:
            return Bar(unit, state, now, now)
        product = self.compiled.plant.products[int(self.product[part])].id
        return Bar(unit, state, now, now, product, self.steps[int(self.step[part])], int(self.release[part]))

    def begin(self, now: int) -> None:
        self.open = [self.look(u, now) for u in range(len(self.work_end))]

    def advance(self) -> list[Bar]:
        """Run the next event and all of its tick; the bars that it ended."""
        now = int(self.timer.min())
        ended_work = [int(self.timer[slot]) == now for slot in self.work_end]
        run(self.rows, self.compiled, now + 1)
        closed = []
        for u, old in enumerate(self.open):
            new = self.look(u, now)
            same = (old.state, old.product, old.step, old.released) == (new.state, new.product, new.step, new.released)
            if same and not (ended_work[u] and old.state == "work"):
                continue
            if now > old.start:
                closed.append(Bar(u, old.state, old.start, now, old.product, old.step, old.released))
            self.open[u] = new
        return closed

    def next_event(self) -> int:
        return int(self.timer.min())


def collect(
    compiled: Compiled, seed: int, start: int, end: int | None, progress: Callable[[float], None] = lambda share: None
) -> Chart:
    """The chart of replica 0 of `seed` from tick `start` to `end`; without an end, until there is enough to see.

    `progress` is told the share done, 0 to 1. Raises ValueError where the window is empty or holds more bars than can
    be drawn, and KernelError as `run`.
    """
    if start < 0 or (end is not None and end <= start):
        raise ValueError(
            f"a chart from tick {start} to {end}: expected an end after the beginning; see --gantt-from, --gantt-until"
        )
    watch = _Watch(compiled, seed)
    for piece in range(1, STEPS + 1):
        run(watch.rows, compiled, start * piece // STEPS)
        progress(0.5 * piece / STEPS)
    stations = [s for s, spec in enumerate(compiled.plant.stations) for _ in range(spec.units)]
    names = [
        spec.id if spec.units == 1 else f"{spec.id}/{n + 1}"
        for spec in compiled.plant.stations
        for n in range(spec.units)
    ]
    chart = Chart(compiled.plant.id, seed, start, end or start, names, stations)
    watch.begin(start)
    day = compiled.ticks(86_400)
    last = end if end is not None else start + LONGEST_DAYS * day
    count = [0] * len(names)
    while (now := watch.next_event()) < min(last, INFINITY):
        closed = watch.advance()
        chart.bars += closed
        for bar in closed:
            count[bar.unit] += 1
        if len(chart.bars) > MOST_BARS or max(count) > MOST_IN_A_ROW:
            raise ValueError(_too_many(compiled, len(chart.bars), now, chart))
        if end is None and len(chart.bars) >= ENOUGH * len(names):
            last = now + 1
        progress(0.5 + 0.5 * (now - start) / (last - start))
    chart.end = last
    chart.bars += [
        Bar(b.unit, b.state, b.start, last, b.product, b.step, b.released) for b in watch.open if b.start < last
    ]
    chart.bars.sort(key=lambda bar: (bar.unit, bar.start))
    return chart.without_resting() if len(names) > MANY else chart


def _too_many(compiled: Compiled, bars: int, now: int, chart: Chart) -> str:
    tick = compiled.plant.tick_s
    reached = (now - chart.start) * tick
    return (
        f"--gantt: expected at most {MOST_BARS:,} bars and {MOST_IN_A_ROW:,} of one unit, found {bars:,} within the "
        f"first {reached:,.0f} s of the window; end it earlier, such as --gantt-until "
        f"'{chart.start * tick + 0.9 * reached:.0f} s'"
    )
