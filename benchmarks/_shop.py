"""Rolling-origin forecasts of the machine shop: from each midnight, with what came before it and nothing else.

A forecast is made of `drafts` plants, each drafted from a Poisson bootstrap of the log so far in which older reports
count less (`half_life`), each started from `draws` guesses of what the log hides of the open orders; together they
carry the uncertainty of the parameters, of the state and of the luck to come.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled, compile_plant
from sim.discover import OTHER, Discovery, Weighing, discover
from sim.draft import plant_file
from sim.eventlog import Report
from sim.facts import rows_from_facts
from sim.kernel import run
from sim.plantfile import load
from twin.orders import DAY_MS, GONE, OrderBook, ensemble, open_marks, wip_by_center

BEGIN = datetime(2012, 1, 2)
SETTLED = datetime(2012, 1, 9)
"""Before, orders that were there already appear one by one: no average begins earlier (but that of completions)."""
FIRST_ORIGIN = datetime(2012, 2, 6)
END = datetime(2012, 3, 5)
VALIDATION = (datetime(2012, 1, 19), datetime(2012, 2, 6))
"""First midnight and end of the weeks on which the options were chosen."""
HORIZONS = (1, 2, 3, 5, 7)
DAYS = 7
SEED = 20120205
Samples = NDArray[np.float64]
Event = tuple[int, str, str, str]  # plant ms, kind, order, activity


@dataclass(frozen=True)
class Method:
    """Options of a forecast. `half_life`: days, None for no forgetting; `bootstrap`: are the drafts resampled?"""

    half_life: float | None = None
    bootstrap: bool = True
    drafts: int = 12
    draws: int = 3
    replicas: int = 500

    @property
    def name(self) -> str:
        """Short, for tables."""
        memory = "no forgetting" if self.half_life is None else f"half-life {self.half_life:g} d"
        return f"{memory}, {'bootstrapped' if self.bootstrap else 'parameters as if known'}"


@dataclass
class Forecast:
    """Completions by horizon [replicas]; WIP by horizon [replicas, centers]; `open_after` [orders, DAYS]: probability
    that an order (in the order of `orders`) is not finished so many days on."""

    centers: list[str]
    aliases: dict[str, str]
    completions: dict[int, Samples]
    wip: dict[int, Samples]
    orders: list[str]
    open_after: Samples


@dataclass
class Snapshot:
    """What the order book says at a midnight: orders per activity; of each open order its activity and reports."""

    wip: Counter[str]
    orders: dict[str, tuple[str, int]]


@dataclass
class Past:
    """Snapshots by midnight (plant ms), each from what came before it, and when each order was finished."""

    at: dict[int, Snapshot] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)

    def completions(self, begin: int, end: int) -> int:
        """Orders finished in [begin, end) plant ms."""
        return sum(begin <= t < end for t in self.finished.values())

    def days_left(self, order: str, midnight: int) -> int:
        """Days until the order is finished, rounded up; DAYS + 1 for all that is later (or never)."""
        done = self.finished.get(order)
        return DAYS + 1 if done is None else min((done - midnight) // DAY_MS + 1, DAYS + 1)


@dataclass
class Origin:
    """One midnight: its forecast, and the book at that moment."""

    day: datetime
    midnight: int
    forecast: Forecast
    snapshot: Snapshot


def plant_ms(local: datetime) -> int:
    """The log's local time as plant time; it says no zone, so UTC."""
    return round(local.replace(tzinfo=UTC).timestamp() * 1000)


def midnights(first: datetime, end: datetime) -> Iterable[datetime]:
    """Every midnight from `first` up to `end`, `end` not included."""
    day = first
    while day < end:
        yield day
        day += timedelta(days=1)


def past_of(events: Sequence[Event]) -> Past:
    """The whole log, seen from every midnight."""
    book, past, i = OrderBook(), Past(), 0
    reports: Counter[str] = Counter()
    for day in midnights(BEGIN, END + timedelta(days=1)):
        midnight = plant_ms(day)
        while i < len(events) and events[i][0] < midnight:
            book.apply(*events[i])
            reports[events[i][2]] += events[i][1] == "report_complete"
            i += 1
        open_orders = {name: (book.at(o), reports[name]) for name, o in book.open(midnight).items()}
        past.at[midnight] = Snapshot(book.wip(midnight), open_orders)
    past.finished = {name: o.finished for name, o in book.orders.items() if o.finished is not None}
    return past


def _draft(log: Sequence[Report], day: datetime, method: Method, rng: np.random.Generator) -> Discovery:
    half_life = None if method.half_life is None else timedelta(days=method.half_life)
    if method.bootstrap:
        return discover(log, day, weighing=Weighing(day, half_life, rng))
    return discover(log, day, weighing=Weighing(day, half_life, grain=20)) if half_life else discover(log, day)


def _compiled(found: Discovery) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.yaml"
        path.write_text(plant_file(found, "machine_shop", "rolling origin", gone=GONE), encoding="utf-8")
        return compile_plant(load(path))


def forecast(log: Sequence[Report], book: OrderBook, day: datetime, method: Method) -> Forecast:
    """From what is known at midnight `day`; the same input gives the same forecast."""
    rng = np.random.default_rng([SEED, day.toordinal()])
    midnight = plant_ms(day)
    names = sorted(book.open(midnight))
    base = discover(log, day)
    known = [r for r in log if r.start < day]
    drafts = method.drafts if method.bootstrap else 1
    members = -(-method.drafts * method.draws // drafts)
    each = -(-method.replicas // (drafts * members))
    completions: dict[int, list[Samples]] = {h: [] for h in HORIZONS}
    wip: dict[int, list[Samples]] = {h: [] for h in HORIZONS}
    still = np.zeros((len(names), DAYS))
    for d in range(drafts):
        found = _draft(known, day, method, rng)
        compiled = _compiled(found)
        states = ensemble(book, compiled, found, midnight, members, SEED + d)
        first = d * members * each
        rows = np.concatenate(
            [rows_from_facts(compiled, s, SEED, each, first=first + i * each) for i, s in enumerate(states)]
        )
        for h in range(1, DAYS + 1):
            run(rows, compiled, states[0].tick + h * 86_400)
            still[:, h - 1] += open_marks(rows, compiled, len(names)).mean(axis=0) / drafts
            if h in completions:
                completions[h].append(compiled.layout.view(rows, "finished").sum(axis=1).astype(float))
                wip[h].append(wip_by_center(rows, compiled, found, SEED + h).astype(float))
    return Forecast(
        sorted(base.centers),
        base.aliases,
        {h: np.concatenate(parts) for h, parts in completions.items()},
        {h: np.concatenate(parts) for h, parts in wip.items()},
        names,
        still,
    )


def rolling(
    log: Sequence[Report], events: Sequence[Event], method: Method, first: datetime = FIRST_ORIGIN, end: datetime = END
) -> list[Origin]:
    """The forecast of every midnight from `first` up to `end`."""
    book, origins, i = OrderBook(), [], 0
    past = past_of(events)
    for day in midnights(first, end):
        midnight = plant_ms(day)
        while i < len(events) and events[i][0] < midnight:
            book.apply(*events[i])
            i += 1
        origins.append(Origin(day, midnight, forecast(log, book, day, method), past.at[midnight]))
    return origins


def by_center(wip: Counter[str], forecast_: Forecast) -> Samples:
    """Orders per activity as orders per center of the draft; an activity it has not seen stands at `other`."""
    counts: Counter[str] = Counter()
    for activity, n in wip.items():
        counts[forecast_.aliases.get(activity, OTHER)] += n
    return np.array([float(counts[c]) for c in forecast_.centers])
