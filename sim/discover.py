"""Draft a plant file from a shop-floor event log.

The draft is semi-Markov: an order at a work center is worked on for a time, then nothing is reported for a time
(it queues, travels, waits for papers), then the next report comes, at the same or another center, with the
probabilities seen. A log shows when work was reported, not why it waited, so the wait is kept as what it is, a delay:
`pause-CENTER` before more work at the same center, `leave-CENTER` before another one; no queue is invented that the
log cannot show; only the hours for which the next center was closed just before it began are taken out of the wait
(half of them: when it became ready is not known), since the draft's calendar makes the order wait for them anyway. A
draft is where an engineer starts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from sim.eventlog import Report

HOUR = 3600.0
OTHER = "other"
RARE = 5
"""Activities with fewer reports than this share one work center `other`."""
ABANDONED = timedelta(days=14)
"""Close rule, because the log has none: an order without a report for this long has left without reaching its last
activity."""
FIRST_DAYS = timedelta(days=7)
"""Orders first reported this soon after the log begins may have been running before: their first report is not an
arrival."""
QUANTILES = 60
HUNDREDTHS = 100
OPEN_SHARE = 0.25
"""An hour of the week counts as open when work was reported in this share of the weeks."""
OWN_CALENDAR = 20
"""Reports a work center needs for a calendar of its own; others keep the plant's."""
READY_SHARE = 0.5
"""An order that starts right after an opening became ready somewhere in the closed time before: the middle is
assumed."""
SELDOM = 0.02
"""A weekday with a smaller share of a center's starts is closed there; so are the hours of the day before and after the
middle 96 % of its starts."""


@dataclass(frozen=True)
class Weighing:
    """How often an observation counts that was made at a time: an integer, so that everything below stays a count.

    The weight is 2 to the minus (age / `half_life`); with `rng` the count is Poisson with that mean (a bootstrap that
    also forgets: what is known from few or old observations varies most between draws), else it is the weight in
    units of 1 / `grain`.
    """

    until: datetime
    half_life: timedelta | None = None
    rng: np.random.Generator | None = None
    grain: int = 1

    def weight(self, t: datetime) -> float:
        """Between 0 and 1; 1 without forgetting."""
        return 1.0 if self.half_life is None else 0.5 ** (max(self.until - t, timedelta()) / self.half_life)

    def copies(self, t: datetime) -> int:
        """How often an observation made at `t` counts (drawn anew at each call where there is a generator)."""
        weight = self.weight(t)
        return round(weight * self.grain) if self.rng is None else int(self.rng.poisson(weight))


@dataclass
class Center:
    """What the log shows of one work center; durations in hours."""

    id: str
    label: str
    reports: int = 0
    work: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)  # waits before more work here
    moves: list[float] = field(default_factory=list)  # waits before work elsewhere
    censored: list[float] = field(default_factory=list)  # waits still going on at the cut-off
    again: int = 0  # reports followed by another one here
    next: Counter[str] = field(default_factory=Counter)  # the first report elsewhere
    abandoned: int = 0
    operators: int = 1
    parallel: int = 1  # orders at once
    waiting: int = 1  # orders that waited after it at once
    open_hours: frozenset[int] = frozenset()


@dataclass
class Discovery:
    """A draft and what it could not know."""

    centers: dict[str, Center]
    first: Counter[str]
    arrivals: int
    arrival_days: frozenset[int]
    arrivals_per_hour: float
    last: str
    begin: datetime
    until: datetime
    notes: list[str]
    open_hours: frozenset[int]
    aliases: dict[str, str]  # activity -> center (rare ones -> other)


def _most_at_once(spans: Iterable[tuple[datetime, datetime]]) -> int:
    """Largest number of overlapping spans."""
    changes = sorted(
        [(a, 1) for a, b in spans if b > a] + [(b, -1) for a, b in spans if b > a], key=lambda c: (c[0], c[1])
    )
    most = now = 0
    for _, step in changes:
        now += step
        most = max(most, now)
    return max(most, 1)


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Union of spans, so that one worker's overlapping reports count once."""
    result: list[tuple[datetime, datetime]] = []
    for a, b in sorted(spans):
        if result and a <= result[-1][1]:
            result[-1] = (result[-1][0], max(b, result[-1][1]))
        else:
            result.append((a, b))
    return result


def _open_hours(reports: Sequence[Report], begin: datetime, until: datetime) -> frozenset[int]:
    """Hours of the week (0 = Monday 00:00) in which work went on in at least a quarter of the weeks."""
    weeks: defaultdict[int, set[int]] = defaultdict(set)
    for r in reports:
        hour = r.start.replace(minute=0)
        while hour < min(r.complete, until):
            weeks[hour.weekday() * 24 + hour.hour].add((hour - begin).days // 7)
            hour += timedelta(hours=1)
    total = max((until - begin).days / 7.0, 1.0)
    return frozenset(h for h, seen in weeks.items() if len(seen) >= OPEN_SHARE * total)


def closed_since(hours: frozenset[int], t: datetime) -> datetime:
    """When a center that is closed at `t` closed; `t` itself where it is open (or never opens)."""
    hour = t.replace(minute=0, second=0, microsecond=0)
    if hour.weekday() * 24 + hour.hour in hours or not hours:
        return t
    while (hour - timedelta(hours=1)).weekday() * 24 + (hour - timedelta(hours=1)).hour not in hours:
        hour -= timedelta(hours=1)
    return hour


def last_opened(hours: frozenset[int], t: datetime) -> datetime:
    """The earliest moment from which an order that starts at `t`, in the first hour after a closed time, may have
    waited for the opening.

    That is when the center closed before; `t` itself when it did not start right after an opening.
    """
    hour = t.replace(minute=0, second=0, microsecond=0)
    before = hour - timedelta(hours=1)
    if hour.weekday() * 24 + hour.hour not in hours or before.weekday() * 24 + before.hour in hours:
        return t
    return closed_since(hours, before)


def _own_hours(reports: Sequence[Report], plant: frozenset[int]) -> frozenset[int]:
    """Those of the plant's open hours in which this center starts work.

    Weekdays and hours of the day are judged apart: a center with five reports a week shows no pattern hour by hour.
    """
    if len(reports) < OWN_CALENDAR:
        return plant
    days = Counter(r.start.weekday() for r in reports)
    hours = sorted(r.start.hour for r in reports)
    early, late = hours[int(SELDOM * len(hours))], hours[int((1 - SELDOM) * (len(hours) - 1))]
    return frozenset(h for h in plant if days[h // 24] >= SELDOM * len(reports) and early <= h % 24 <= late)


def order_reports(reports: Iterable[Report], aliases: dict[str, str], last: str) -> list[Report]:
    """Reports of one order up to its first report at the last activity; what follows it is not part of the flow."""
    result = []
    for r in sorted(reports, key=lambda r: (r.start, r.complete)):
        result.append(r)
        if aliases.get(r.activity, OTHER) == last:
            break
    return result


def discover(
    log: Sequence[Report], until: datetime, last: str = "packing", weighing: Weighing | None = None
) -> Discovery:
    """Draft from what was known at `until`: reports completed by then, and the starts of those still running.

    `last` is the activity whose first report completes an order. `weighing` says how often each observation of a time,
    a way or an arrival counts; without it each counts once. Opening hours and capacities are never weighed.
    """
    weigh = weighing or Weighing(until)
    known = [r for r in log if r.start < until]
    if not known:
        raise ValueError(f"no report starts before {until}")
    begin = min(r.start for r in known).replace(hour=0, minute=0)
    counts = Counter(r.activity for r in known)
    aliases = {a: a if n >= RARE or a == last else OTHER for a, n in counts.items()}
    centers: dict[str, Center] = {}
    for r in known:
        center = centers.setdefault(aliases[r.activity], Center(aliases[r.activity], r.label))
        center.reports += 1
        if r.complete <= until:
            hours = (r.complete - r.start).total_seconds() / HOUR
            center.work += [hours] * weigh.copies(r.start)
    if OTHER in centers:
        centers[OTHER].label = "rare activities"
    _capacities(known, centers, aliases, until)
    plant_hours = _open_hours(known, begin, until)
    for center in centers.values():
        mine = [r for r in known if aliases[r.activity] == center.id]
        center.open_hours = _own_hours(mine, plant_hours)
    orders: defaultdict[str, list[Report]] = defaultdict(list)
    for r in known:
        orders[r.order].append(r)
    firsts = {order: min(r.start for r in reports) for order, reports in orders.items()}
    first: Counter[str] = Counter()
    arrivals = 0
    for order, reports in orders.items():
        flow = order_reports(reports, aliases, last)
        _count_flow(flow, centers, aliases, last, weigh)
        if firsts[order] >= begin + FIRST_DAYS:
            copies = weigh.copies(firsts[order])
            arrivals += copies
            first[aliases[flow[0].activity]] += copies
    if weighing is not None:
        seen = discover(log, until, last)
        _keep_ways((centers, first), (seen.centers, seen.first))
    late = [t for t in firsts.values() if t >= begin + FIRST_DAYS]
    days = Counter(t.weekday() for t in late)
    arrival_days = frozenset(d for d in range(7) if days[d] >= 0.02 * max(len(late), 1))
    open_days = _weighed_days(begin + FIRST_DAYS, weigh, arrival_days)
    first = +first
    if not first:
        first[aliases[min(known, key=lambda r: r.start).activity]] = 1
    return Discovery(
        centers=centers,
        first=first,
        arrivals=len(late),
        arrival_days=arrival_days or frozenset(range(5)),
        arrivals_per_hour=max(arrivals, 0.5) / weigh.grain / max(24.0 * open_days, 24.0) if late else 0.0,
        last=last,
        begin=begin,
        until=until,
        notes=_notes(orders, firsts, aliases, last, (begin, until)),
        open_hours=plant_hours,
        aliases=aliases,
    )


def _count_flow(
    flow: list[Report], centers: dict[str, Center], aliases: dict[str, str], last: str, weigh: Weighing
) -> None:
    """Waits and transitions of one order. A wait counts by when it began, whether or not it has ended."""
    until = weigh.until
    for a, b in pairwise(flow):
        center = centers[aliases[a.activity]]
        again = aliases[a.activity] == aliases[b.activity]
        copies = weigh.copies(a.complete)
        if again:
            center.again += copies
        elif copies:
            center.next[aliases[b.activity]] += copies
        if a.complete <= until:
            earliest = max(last_opened(centers[aliases[b.activity]].open_hours, b.start), a.complete)
            ready = (b.start - a.complete).total_seconds() - READY_SHARE * max(
                (b.start - earliest).total_seconds(), 0.0
            )
            waits = center.pauses if again else center.moves
            waits += [max(ready, 0.0) / HOUR] * copies
    end = flow[-1]
    if aliases[end.activity] != last and end.complete <= until:
        center = centers[aliases[end.activity]]
        copies = weigh.copies(end.complete)
        if until - end.complete >= ABANDONED:
            center.abandoned += copies
        else:
            center.censored += [(until - end.complete).total_seconds() / HOUR] * copies


def _weighed_days(begin: datetime, weigh: Weighing, weekdays: frozenset[int]) -> float:
    """Days of these weekdays since `begin`, each with its weight."""
    since = [begin + timedelta(days=i) for i in range((weigh.until - begin).days)]
    return sum(weigh.weight(d + timedelta(days=0.5)) for d in since if d.weekday() in weekdays)


def _keep_ways(found: tuple[dict[str, Center], Counter[str]], seen: tuple[dict[str, Center], Counter[str]]) -> None:
    """Every way ever `seen` stays in the weighed `found`, with the weight of a hundredth of an observation (counts are
    in hundredths after this); a time of which the weighing has left nothing takes all that was seen of it.
    """
    (centers, first), (whole, whole_first) = found, seen
    for target in whole_first:
        first[target] = HUNDREDTHS * first[target] + 1
    for name, mine in centers.items():
        all_of = whole[name]
        mine.again = HUNDREDTHS * mine.again + bool(all_of.again)
        mine.abandoned = HUNDREDTHS * mine.abandoned + bool(all_of.abandoned)
        mine.next = Counter({target: HUNDREDTHS * mine.next[target] + 1 for target in all_of.next})
        mine.work = mine.work or all_of.work
        mine.pauses = mine.pauses or all_of.pauses
        if not mine.moves:
            mine.moves, mine.censored = all_of.moves, all_of.censored


def _capacities(known: Sequence[Report], centers: dict[str, Center], aliases: dict[str, str], until: datetime) -> None:
    for center in centers.values():
        mine = [r for r in known if aliases[r.activity] == center.id]
        workers: defaultdict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
        orders: defaultdict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
        for r in mine:
            span = (r.start, min(r.complete, until))
            workers[r.worker].append(span)
            orders[r.order].append(span)
        center.operators = _most_at_once([s for spans in workers.values() for s in _merged(spans)])
        center.parallel = _most_at_once([s for spans in orders.values() for s in _merged(spans)])


def _notes(
    orders: dict[str, list[Report]],
    firsts: dict[str, datetime],
    aliases: dict[str, str],
    last: str,
    span: tuple[datetime, datetime],
) -> list[str]:
    """What the log cannot tell."""
    begin, until = span
    truncated = sum(t < begin + FIRST_DAYS for t in firsts.values())
    packed = [
        o for o, reports in orders.items() if any(aliases[r.activity] == last and r.complete <= until for r in reports)
    ]
    lost = sum(
        o not in packed and until - max(r.complete for r in reports) >= ABANDONED for o, reports in orders.items()
    )
    overlapping = sum(
        any(b.start < a.complete for a, b in pairwise(rs))
        for rs in (sorted(reports, key=lambda r: (r.start, r.complete)) for reports in orders.values())
    )
    rare = sorted(a for a, c in aliases.items() if c == OTHER)
    gone = f"without a report for {ABANDONED.days} days it counts as gone elsewhere ({lost} orders), shown as scrap"
    first_days = (
        f"{truncated} of {len(orders)} orders are first reported within {FIRST_DAYS.days} days of the log's begin"
    )
    notes = [
        f"{first_days} and may have been running before: they give no arrival and no first activity; the rest counts",
        f"no event closes an order: it is finished at the `complete` of its first {last} report ({len(packed)} so far)",
        gone,
        f"in {overlapping} orders reports overlap: the wait between them is taken as 0",
        "why an order waits is not in the log: waits are delays `pause-CENTER` and `leave-CENTER`, not queues",
        "such a delay does not shrink when a center gets faster",
        "how many machines there are is not in the log: `units` is the largest number of orders worked on at once",
        "quantities, setups and breaks are reports like any other here; costs, demand and stocks are not in the log",
    ]
    return [*notes, *([f"rare activities share the center `{OTHER}`: {', '.join(rare)}"] if rare else [])]


def kaplan_meier(durations: Sequence[float], censored: Sequence[float], n: int = QUANTILES) -> list[float]:
    """`n` equally likely values of a duration some of whose observations are still going on (product-limit estimate).

    Mass beyond the last completed observation is put at the longest time seen. Kaplan and Meier, JASA 53 (1958).
    """
    times = sorted(durations)
    if not times:
        return sorted(censored) or [0.0]
    waiting = sorted(censored)
    survival, curve = 1.0, []
    at_risk = len(times) + len(waiting)
    i = j = 0
    while i < len(times):
        while j < len(waiting) and waiting[j] < times[i]:
            at_risk -= 1
            j += 1
        survival *= 1.0 - 1.0 / at_risk
        at_risk -= 1
        curve.append((times[i], 1.0 - survival))
        i += 1
    longest = max([times[-1], *waiting])
    levels = (np.arange(n) + 0.5) / n
    values, cumulative = [t for t, _ in curve] + [longest], [c for _, c in curve] + [1.0]
    picks = np.searchsorted(np.array(cumulative), levels, side="left")
    return [float(values[min(p, len(values) - 1)]) for p in picks]
