"""Orders on a shop floor that reports work, not parts: what is open, where it is, and the twin state this makes.

A cursor over the journal's `/event` rows of kinds `report_start` and `report_complete` (see `plantwin replay`); both
assert, so a repeated one changes nothing, and the completion of a report whose start was lost implies the start.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from sim.discover import OTHER, Discovery, closed_since, kaplan_meier
from sim.facts import Facts, PartFacts, UnitFacts
from sim.state import Array

DAY_MS = 86_400_000
GONE = "gone"
"""Station of a draft that keeps orders which have left without their last activity (sim.draft.plant_file)."""
MARK = 1 << 40
"""Open orders are due at this tick and the next ones: a date no order meets, by which a row's parts are recognised."""


@dataclass(slots=True)
class Order:
    """One order: first report (plant ms), reports running (activity -> start), the last completed report."""

    first: int
    running: dict[str, int] = field(default_factory=dict)
    last_activity: str = ""
    last_time: int = 0
    finished: int | None = None


@dataclass(slots=True)
class OrderBook:
    """Open and finished orders. `last` is the activity whose first completed report finishes an order."""

    last: str = "packing"
    abandoned_ms: int = 14 * DAY_MS
    orders: dict[str, Order] = field(default_factory=dict)
    now: int = 0
    late: int = 0

    def apply(self, t: int, kind: str, order: str, activity: str) -> None:
        """Take in one report event at plant time `t` (ms). Events of one order may come out of order; those before
        its state only count.
        """
        self.now = max(self.now, t)
        entry = self.orders.setdefault(order, Order(first=t))
        entry.first = min(entry.first, t)
        if kind == "report_start":
            if t >= entry.last_time or activity != entry.last_activity:
                entry.running[activity] = t
            else:
                self.late += 1
        elif kind == "report_complete":
            entry.running.pop(activity, None)
            if t >= entry.last_time:
                entry.last_time, entry.last_activity = t, activity
            else:
                self.late += 1
            if activity == self.last and (entry.finished is None or t < entry.finished):
                entry.finished = t

    def open(self, now: int) -> dict[str, Order]:
        """Orders neither finished nor without any report for so long that they count as gone."""
        return {
            name: o
            for name, o in self.orders.items()
            if o.finished is None and (o.running or now - o.last_time < self.abandoned_ms)
        }

    def at(self, order: Order) -> str:
        """The work center an open order is at: where it is worked on, else where it was last."""
        return max(order.running, key=lambda a: order.running[a]) if order.running else order.last_activity

    def wip(self, now: int) -> Counter[str]:
        """Open orders per work center."""
        return Counter(self.at(o) for o in self.open(now).values())

    def completions(self, begin: int, end: int) -> int:
        """Orders finished in [begin, end) plant ms."""
        return sum(o.finished is not None and begin <= o.finished < end for o in self.orders.values())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an order that is not worked on may stand: (station, weight) pairs; no station means it has left unseen."""

    weights: tuple[tuple[str, float], ...]


def _places(order: Order, found: Discovery, at: str, now: datetime, waits: dict[str, list[float]]) -> _Place:
    """A waiting order is in one of the two delays after its last center, or ready in front of a closed center, or gone.

    Prior: the delays and transitions of the draft; evidence: no report has come since the last one.
    """
    center = found.centers[at]
    last = local(order.last_time)
    age = (now - last).total_seconds() / 3600.0
    total = center.again + sum(center.next.values()) + center.abandoned
    ends = [(at, center.again, waits[f"pause-{at}"])]
    ends += [(target, n, waits[f"leave-{at}"]) for target, n in sorted(center.next.items())]
    ends += [("", center.abandoned, waits[f"leave-{at}"])]
    weights: defaultdict[str, float] = defaultdict(float)
    for target, n, delays in ends:
        share = n / total if total else 0.0
        still = sum(d > age for d in delays) / len(delays)
        weights[f"pause-{at}" if target == at else f"leave-{at}"] += share * still
        if target:
            closed = closed_since(found.centers[target].open_hours, now)
            earliest = max((closed - last).total_seconds() / 3600.0, 0.0)
            ready = sum(earliest <= d <= age for d in delays) / len(delays) if closed < now else 0.0
            weights[target] += share * ready
        else:
            weights[""] += share * (1.0 - still)
    if sum(weights.values()) <= 0.0:
        weights[f"leave-{at}"] = 1.0
    return _Place(tuple(weights.items()))


def local(ms: int) -> datetime:
    """The log's local time of a plant time (the log says no zone; it is carried as UTC)."""
    return datetime.fromtimestamp(ms / 1000.0, UTC).replace(tzinfo=None)


def ensemble(book: OrderBook, compiled: Compiled, found: Discovery, now: int, members: int, seed: int) -> list[Facts]:
    """The open orders as parts of the drafted plant, `members` times: what the log shows is the same in all, what it
    hides is drawn.

    An order is worked on at CENTER, or waits: in `pause-CENTER` or `leave-CENTER`, or in the queue of a closed
    center. An activity the draft has never seen stands at `other`, or at the draft's busiest center where there is no
    such one. One that has left unseen is no part, or stands at the station `GONE` where the plant has one.
    """
    rng = np.random.default_rng(seed)
    busiest = max(found.centers.values(), key=lambda c: c.reports).id
    fallback = OTHER if OTHER in found.centers else busiest
    waits = {f"pause-{c.id}": kaplan_meier(c.pauses, []) for c in found.centers.values()}
    waits |= {f"leave-{c.id}": kaplan_meier(c.moves, c.censored) for c in found.centers.values()}
    running: list[tuple[int, Order, str]] = []
    waiting: list[tuple[int, Order, _Place]] = []
    for i, (_, order) in enumerate(sorted(book.open(now).items())):
        at = found.aliases.get(book.at(order), fallback)
        if order.running:
            running.append((i, order, at))
        else:
            waiting.append((i, order, _places(order, found, at, local(now), waits)))
    result = []
    keeps = GONE if GONE in compiled.station_index else ""
    for _ in range(members):
        stands = list(running)
        for i, order, place in waiting:
            weights = np.array([w for _, w in place.weights])
            chosen = place.weights[int(rng.choice(len(weights), p=weights / weights.sum()))][0] or keeps
            if chosen:
                stands.append((i, order, chosen))
        result.append(_facts(stands, compiled, now))
    return result


def open_marks(rows: Array, compiled: Compiled, n: int) -> NDArray[np.bool_]:
    """Which of the `n` orders that were open (in the order of their names) are still in the plant: [replicas, n]."""
    due = compiled.layout.view(rows, "part_due")
    found = np.zeros((len(rows), n), dtype=bool)
    replica, part = np.nonzero((due >= MARK) & (due < MARK + n))
    found[replica, due[replica, part] - MARK] = True
    return found


def wip_by_center(rows: Array, compiled: Compiled, found: Discovery, seed: int) -> NDArray[np.int64]:
    """Orders at each center of the draft, in the order of `sorted(found.centers)`: [replicas, centers].

    As the order book counts: an order is where it was last reported. One that is ready in front of a center was
    reported at one of those from which orders go there (drawn by how often they do), or, new, not at all.
    """
    names = sorted(found.centers)
    steps = [step for _, step in compiled.steps]
    place = {name: i for i, name in enumerate(names)}
    at = np.array([place.get(s.removeprefix("pause-").removeprefix("leave-"), -1) for s in steps])
    into = [[found.centers[c].next[target] + (found.centers[c].again if c == target else 0) for c in names]
            + [found.first[target]] for target in names]  # fmt: skip
    view = compiled.layout.view
    centers = np.where(view(rows, "part_due") > 0, at[np.clip(view(rows, "part_step"), 0, len(steps) - 1)], -1)
    bare = np.array([s in place for s in steps])[np.clip(view(rows, "part_step"), 0, len(steps) - 1)]
    ready = bare & (view(rows, "part_queued") > 0) & (centers >= 0)
    rng = np.random.default_rng(seed)
    result = np.zeros((len(rows), len(names) + 1), dtype=np.int64)
    sure = (centers >= 0) & ~ready
    np.add.at(result, (np.nonzero(sure)[0], centers[sure]), 1)
    for target, counts in enumerate(into):
        waiting = (ready & (centers == target)).sum(axis=1)
        shares = np.array(counts, dtype=float)
        if waiting.any() and shares.sum() > 0:
            result += rng.multinomial(waiting, shares / shares.sum())
    return result[:, :-1]


def _facts(stands: list[tuple[int, Order, str]], compiled: Compiled, now: int) -> Facts:
    """Orders at stations as kernel facts: in a unit (worked on, or in its delay), or in the queue."""
    tick = round((now - compiled.start_ms) / compiled.tick_ms)
    stations = {s.id: s for s in compiled.plant.stations}
    centers = {at for at in stations if f"leave-{at}" in stations}
    product = compiled.plant.products[0].id
    units: dict[tuple[str, int], UnitFacts] = {}
    queues: dict[str, list[PartFacts]] = {}
    used: Counter[str] = Counter()
    for i, order, at in stands:
        released = round((order.first - compiled.start_ms) / compiled.tick_ms)
        part = PartFacts(product, at, released, due=MARK + i)
        in_unit = bool(order.running) or at.startswith(("pause-", "leave-")) or at not in centers
        if in_unit and used[at] < stations[at].units:
            used[at] += 1
            began = max(order.running.values()) if order.running else order.last_time
            worked = round((now - began) / compiled.tick_ms)
            units[(at, used[at])] = UnitFacts("work", part, worked=worked, since=tick - worked)
        else:
            queues.setdefault(at, []).append(part)
    return Facts(tick=tick, units=units, queues={s: tuple(q) for s, q in queues.items()})
