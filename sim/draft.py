"""A discovery written as a plant file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sim.discover import QUANTILES, Center, Discovery, kaplan_meier

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
INTAKE = "intake"
INTAKE_UNITS = 50
SCRAP = "scrap"
GONE_HOURS = 100_000


def _hours(values: Sequence[float]) -> str:
    """A list of hours as an empirical distribution, thinned to equally likely quantiles when it is long."""
    if len(values) > QUANTILES:
        values = [float(v) for v in np.quantile(values, (np.arange(QUANTILES) + 0.5) / QUANTILES)]
    if not values or max(values) <= 0:
        return "constant(0 h)"
    return "empirical([" + ", ".join(f"{v:.4g} h" for v in sorted(values)) + "])"


def _shares(counts: dict[str, int]) -> str:
    """Counts as routing probabilities; the most frequent target takes the rest so that they add up to one."""
    total = sum(counts.values())
    most = max(counts, key=lambda k: counts[k])
    parts = [f"{target}: {100 * n / total:.4f} %" for target, n in counts.items() if target != most]
    return "{" + ", ".join([*parts, f"{most}: rest"]) + "}"


def open_text(hours: frozenset[int]) -> str:
    """Hours of the week as the plant file writes opening hours: `Mon 06:00-22:00, Tue ...`."""
    spans = []
    for day, name in enumerate(WEEKDAYS):
        inside = [h for h in range(24) if day * 24 + h in hours]
        start = None
        for h in range(25):
            is_open = h in inside
            if is_open and start is None:
                start = h
            elif not is_open and start is not None:
                spans.append(f"{name} {start:02d}:00-{h:02d}:00")
                start = None
    return ", ".join(spans)


def _after(center: Center, gone: str) -> Counter[str]:
    """Where an order goes after a report and its wait; one without a report for long has gone elsewhere."""
    targets: Counter[str] = Counter(dict(sorted(center.next.items())))
    if center.abandoned:
        targets[gone] = center.abandoned
    return targets


def _routing(d: Discovery, gone: str) -> list[str]:
    lines = [f"      - {{step: {INTAKE}, station: {INTAKE}, next: {_shares(dict(sorted(d.first.items())))}}}"]
    for name, center in sorted(d.centers.items()):
        if name == d.last:
            lines.append(f"      - {{step: {name}, station: {name}, next: done}}")
            continue
        targets = _after(center, gone)
        onward = _shares(dict(targets)) if targets else gone
        ends = {f"pause-{name}": center.again, f"leave-{name}": max(sum(targets.values()), 1)}
        lines.append(
            f"      - {{step: {name}, station: {name}, next: {_shares({k: n for k, n in ends.items() if n})}}}"
        )
        if center.again:
            lines.append(f"      - {{step: pause-{name}, station: pause-{name}, next: {name}}}")
        lines.append(f"      - {{step: leave-{name}, station: leave-{name}, next: {onward}}}")
    if _has_keep(d, gone):
        lines.append(f"      - {{step: {gone}, station: {gone}, next: {SCRAP}}}")
    return lines


def _stations(d: Discovery) -> list[str]:
    lines = [f"  {INTAKE}: {{units: {INTAKE_UNITS}, calendar: always, work: {{default: constant(0 h)}}}}"]
    for name, center in sorted(d.centers.items()):
        lines.append(
            f"  {name}:  # {center.label}: {center.reports} reports, at most {center.operators} people at once"
        )
        lines.append(f"    units: {center.parallel}")
        lines.append(f"    calendar: {calendar_of(d, center)}")
        lines.append(f"    work: {{default: '{_hours(center.work)}'}}")
        if name != d.last:
            delays = {"pause": kaplan_meier(center.pauses, [])} if center.again else {}
            delays["leave"] = kaplan_meier(center.moves, center.censored)
            for kind, waits in delays.items():
                work = f"work: {{default: '{_hours(waits)}'}}"
                lines.append(f"  {kind}-{name}: {{units: {waiting_places(d)}, calendar: always, {work}}}")
    return lines


def _has_keep(d: Discovery, gone: str) -> bool:
    """Is there a station for orders that never end, and does any go there?"""
    return gone != SCRAP and any(c.abandoned or not c.next for c in d.centers.values() if c.id != d.last)


def _keeps(d: Discovery, gone: str) -> list[str]:
    work = f"work: {{default: constant({GONE_HOURS} h)}}"
    return [] if not _has_keep(d, gone) else [f"  {gone}: {{units: {waiting_places(d)}, calendar: always, {work}}}"]


def waiting_places(d: Discovery) -> int:
    """Units of a delay station: more than orders can be open, so that a delay never queues."""
    return max(40, d.arrivals // 2)


def calendar_of(d: Discovery, center: Center) -> str:
    return "shop" if center.open_hours == d.open_hours or not center.open_hours else f"{center.id}-hours"[:64]


def _calendars(d: Discovery) -> list[str]:
    lines = [f'  shop: {{open: "{open_text(d.open_hours)}", at_close: finish}}']
    days = ", ".join(f"{WEEKDAYS[day]} 00:00-24:00" for day in sorted(d.arrival_days))
    lines.append(f'  arrivals: {{open: "{days}", at_close: finish}}')
    for _, center in sorted(d.centers.items()):
        name = calendar_of(d, center)
        if name != "shop":
            lines.append(f'  {name}: {{open: "{open_text(center.open_hours)}", at_close: finish}}')
    return lines


def plant_file(d: Discovery, line: str, source: str, timezone: str = "UTC", gone: str = SCRAP) -> str:
    """The draft as the text of a plant file; its comments carry what the log could not tell.

    `gone`: where orders go that end without their last activity; another name than "scrap" makes a station that keeps
    them for ever, so that a forecast can tell them from the finished ones.
    """
    head = [
        "# How many orders will this shop finish in the next days?",
        "#",
        f"# Drafted from {source}, reports from {d.begin:%Y-%m-%d} to {d.until:%Y-%m-%d}.",
        *[f"# - {note}" for note in d.notes],
        "plantwin: 1", "site: demo", "area: shop", f"line: {line}", f"timezone: {timezone}", "tick: 1 s",
        "time_unit: h",
        f"start: {d.begin:%Y-%m-%d %H:%M}", "unlimited: 400",
        "products:",
        "  order:",
        "    routing:",
    ]  # fmt: skip
    rate = d.arrivals_per_hour * 24.0
    return "\n".join(
        [
            *head, *_routing(d, gone),
            "stations:", *_stations(d), *_keeps(d, gone),
            "calendars:", *_calendars(d),
            "release:",
            f"  # {d.arrivals} orders; the rate is that of the days that had any",
            f"  order: {{policy: push, arrivals: poisson({rate:.5g}/d), calendar: arrivals}}",
            "",
        ]
    )  # fmt: skip


def summary(d: Discovery) -> list[tuple[str, int, int, int, float, int]]:
    """Work center, reports, people at once, orders at once, mean hours a report, orders gone from here."""
    return [
        (c.id, c.reports, c.operators, c.parallel, float(np.mean(c.work)) if c.work else 0.0, c.abandoned)
        for c in sorted(d.centers.values(), key=lambda c: -c.reports)
    ]
