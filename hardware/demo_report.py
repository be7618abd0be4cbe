"""The figures of a demo run, each from where it is recorded: journal, outbox, truth log, the twin's API.

Pure functions from plain values to the report, so that they can be tested on inputs made by hand.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Source = tuple[str, str]
"""(topic root, epoch of the gateway's session): numbers are issued within one."""
Gap = tuple[Source, int, int]
"""First and last number that the gateway gave up."""


ACTION = ("control", "from", "to")
"""What says which setpoint is changed, and how."""

NOT_YET = {
    "proposed": "nobody has decided yet",
    "accepted": "its commands are not all sent yet",
    "sent": "its commands are not all confirmed yet",
    "confirmed": "in force; its horizon is not over",
}
"""Why a recommendation of this status has no effect to show."""


@dataclass(frozen=True, slots=True)
class StateSample:
    """One look at the twin: plant ms, its age in seconds, and mean parts at each station."""

    t: int
    age_s: float
    wip: dict[str, float]


@dataclass(slots=True)
class Observed:
    """Everything the report is made from."""

    plant: str
    samples: list[StateSample] = field(default_factory=list)
    truth: list[Json] = field(default_factory=list)
    scores: Json = field(default_factory=dict)
    evaluated: int = 0
    recommendations: list[Json] = field(default_factory=list)
    journal: dict[Source, set[int]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    issued: dict[Source, int] = field(default_factory=dict)
    abandoned: int = 0
    duplicate: int = 0
    commands: list[str] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    restarts: int = 0


def lost(journal: Mapping[Source, set[int]], issued: Mapping[Source, int], gaps: Iterable[Gap]) -> int:
    """How many of the numbers 1 … newest issued are not in the journal, those covered by gap records included.

    A gap record says that its range will never come, so a number of the range counts once, whether or not a stray
    copy of it did arrive before the record.
    """
    given_up: dict[Source, set[int]] = {}
    for source, first, last in gaps:
        given_up.setdefault(source, set()).update(range(first, last + 1))
    total = 0
    for source, newest in issued.items():
        present = journal.get(source, set()) - given_up.get(source, set())
        total += newest - sum(1 for number in present if 1 <= number <= newest)
    return total


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 1000) // 1000))
    return ordered[rank - 1]


def wip_error(samples: Sequence[StateSample], truth: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean absolute difference, in parts, between the twin's and the true parts at a station.

    The mean is over stations and samples. The truth log has a row each minute of plant time: a sample is compared with
    the row nearest in time. One from before the first or after the last row is left out; None when nothing is left.
    """
    rows = sorted(truth, key=lambda row: int(row["t"]))
    times = [int(row["t"]) for row in rows]
    errors = []
    for sample in samples:
        place = bisect.bisect_right(times, sample.t) - 1
        if place < 0 or sample.t > times[-1]:
            continue
        if place + 1 < len(times) and times[place + 1] - sample.t < sample.t - times[place]:
            place += 1
        actual = rows[place]["wip"]
        errors += [abs(mean - float(actual[station])) for station, mean in sample.wip.items() if station in actual]
    return sum(errors) / len(errors) if errors else None


def commands(sent: Sequence[str], steps: Iterable[tuple[str, str]]) -> Json:
    """Counts of commands sent, confirmed (a `cmdack` says executed, with the value read back) and rejected.

    `sent` are command ids, `steps` (id, step of a `cmdack`). Each command counts at most once in each.
    """
    known = set(sent)
    by_step: dict[str, set[str]] = {}
    for name, step in steps:
        by_step.setdefault(step, set()).add(name)
    confirmed = by_step.get("executed", set()) & known
    rejected = set().union(*(by_step.get(step, set()) for step in ("rejected", "failed", "expired"))) & known
    return {"sent": len(known), "confirmed": len(confirmed), "rejected": len(rejected - confirmed)}


def recommendation(row: Mapping[str, Any]) -> Json:
    """What the report says of one recommendation: its promise, how it ended, and the effect or the reason. `action` is
    its first setpoint, `moves` all of them where there are several.
    """
    gain = row.get("gain") or {}
    told: Json = {
        "id": row.get("id"),
        "action": {name: row.get(name) for name in ACTION},
        "gain": {name: gain.get(name) for name in ("mean", "lo", "hi", "unit")},
        "status": row.get("status"),
    }
    if len(row.get("moves") or ()) > 1:
        told["moves"] = [{name: move.get(name) for name in ACTION} for move in row["moves"]]
    if row.get("realised") is not None:
        told["realised"] = row["realised"]
    else:
        given = row.get("reason") or _last_note(row.get("timeline") or [])
        told["reason"] = NOT_YET.get(str(row.get("status"))) or given or "none given"
    return told


def _last_note(timeline: Sequence[Mapping[str, Any]]) -> str:
    return next((str(step["note"]) for step in reversed(timeline) if step.get("note")), "")


def report(seen: Observed) -> Json:
    """The report as it is written to the file."""
    ages = [sample.age_s for sample in seen.samples]
    return {
        "plant": seen.plant,
        "readings": {
            "received": sum(len(numbers) for numbers in seen.journal.values()),
            "duplicate": seen.duplicate,
            "lost": lost(seen.journal, seen.issued, seen.gaps) + seen.abandoned,
        },
        "twin_age_s": {"p50": _rounded(percentile(ages, 0.5)), "p99": _rounded(percentile(ages, 0.99))},
        "wip_error_mean": _rounded(wip_error(seen.samples, seen.truth)),
        "forecast": {"n": int(seen.scores.get("n") or 0), "coverage90": seen.scores.get("coverage90")},
        "advice": {"evaluated": seen.evaluated, "recommended": len(seen.recommendations)},
        "recommendations": [recommendation(row) for row in seen.recommendations],
        "commands": commands(seen.commands, seen.steps),
        "restarts": seen.restarts,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
