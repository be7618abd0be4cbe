"""How near the twin is to the truth: a recorded journal through the real tracker, beside the plant's truth log.

`follow` lets the tracker read what had arrived at each moment of the truth log and keeps believed less true for every
quantity; `report` says what that amounts to.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest.journal import Journal
from ingest.wire import Row
from sim.plant import STATES, Plant
from twin.estimate import spread_of
from twin.faults import Channelled, Faults, arrivals, inject
from twin.floor import Floor
from twin.hidden_view import places, present, totals
from twin.model import IDLE, STARVED, WORK, TwinState, held
from twin.topology import Topology, build
from twin.tracker import Tracker

Series = NDArray[np.float64]
Z90 = 1.645
GROUPS = ("wip", "state", "product_wip", "on_hand", "on_order", "backorder", "done")
"""Quantities: parts at a station, state of a unit (1: wrong), parts of a product, of a stock; parts finished."""
SETTLED = 10
"""Truth lines in a row at which the error must be no more than without the fault: then the twin is back in step."""
BLOCK_S = 3600.0


class TrackError(ValueError):
    """A log or truth log that cannot be used; one sentence."""


@dataclass(slots=True)
class Truth:
    """A truth log: its header and its lines in order of time (plant ms)."""

    header: dict[str, Any]
    lines: list[dict[str, Any]]


@dataclass(slots=True)
class Followed:
    """`t` plant ms of each comparison; by quantity (`GROUP/THING`) believed less true and the stated spread (1 sigma;
    NaN where none is stated); how often each tag was named in a contradiction or failed a check, by comparison.
    """

    t: NDArray[np.int64]
    error: dict[str, Series]
    spread: dict[str, Series]
    named: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)

    def total(self, group: str = "wip") -> Series:
        """Sum of the absolute errors of a group at each moment."""
        rows = [np.abs(v) for k, v in self.error.items() if k.startswith(f"{group}/")]
        return np.sum(rows, axis=0) if rows else np.zeros(len(self.t))


def read_truth(path: Path) -> Truth:
    """A truth log (`truth.jsonl`); TrackError says what is wrong with it."""
    header: dict[str, Any] = {}
    lines = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = json.loads(line)
            if "header" in found:
                header = found["header"]
            elif isinstance(found.get("t"), int) and isinstance(found.get("wip"), dict):
                lines.append(found)
            else:
                raise TrackError(f'{path}:{number}: expected {{"t": ms, "wip": {{..}}, ..}}, found {line[:60]!r}')
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TrackError(f"{path}: expected a truth log as `plantwin plant --record` writes one; {error}") from error
    if not lines:
        raise TrackError(f"{path}: no line of truth in it")
    return Truth(header, sorted(lines, key=lambda line: line["t"]))


def read_rows(path: Path) -> list[Row]:
    """All rows of a journal file."""
    from ingest.journal import JournalError

    try:
        journal = Journal.open_reader(path)
    except (OSError, JournalError) as error:
        raise TrackError(f"{path}: expected the journal of `plantwin ingest` or a recording; {error}") from error
    rows: list[Row] = []
    while found := journal.read(rows[-1].pos if rows else 0, 5000):
        rows += found
    return rows


def first_hours(truth: Truth, rows: Sequence[Row], hours: float) -> tuple[Truth, list[Row]]:
    """The first hours of both."""
    end = truth.lines[0]["t"] + round(hours * 3.6e6)
    at = arrivals(rows)
    kept = [row for row, t in zip(rows, at, strict=True) if t <= end + 60_000]
    return Truth(truth.header, [line for line in truth.lines if line["t"] <= end]), kept


def follow(plant: Plant, log: Channelled, truth: Truth) -> Followed:
    """Let a tracker read the log; compare at every line of truth from the first tick on."""
    tracker = Tracker(plant)
    topology = tracker.topology
    t: list[int] = []
    errors: list[dict[str, float]] = []
    spreads: list[dict[str, float]] = []
    found = Followed(np.zeros(0, np.int64), {}, {})
    k, first = 0, None
    for line in truth.lines:
        while k < len(log.rows) and log.at[k] < line["t"]:  # a line of truth is of just before its moment
            tracker.apply(msgspec.structs.replace(log.rows[k], pos=tracker.pos + 1))
            k += 1
        if not tracker.now or k >= len(log.rows):
            continue
        tracker.apply(_tick(tracker.pos + 1, line["t"] - 1))  # the twin's own clock goes on
        state = tracker.state
        believed, spread = believe(topology, state)
        true = tell(line)
        first = first if first is not None else true.get("done", 0.0) - believed["done"]
        believed["done"] += first
        t.append(line["t"])
        errors.append({key: difference(key, believed[key], value) for key, value in true.items() if key in believed})
        spreads.append(spread)
        for tag in {tag for c in state.contradictions.values() for tag in c.sensors}:
            found.named[tag] += 1
    if len(t) < 2:
        raise TrackError("the log and the truth have no time in common: are they of the same recording?")
    keys = [key for key in errors[0] if all(key in row for row in errors)]
    found.t = np.array(t)
    found.error = {key: np.array([row[key] for row in errors]) for key in keys}
    found.spread = {key: np.array([row.get(key, np.nan) for row in spreads]) for key in keys}
    found.failed = Counter({tag: sum(s.failed.values()) for tag, s in tracker.state.tags.items() if s.failed})
    found.counts = dict(sorted(tracker.state.counts.items()))
    return found


def _tick(pos: int, t: int) -> Row:
    return Row(pos, t, t, "tick", "", None, None, b'{"t":%d}' % t)


def difference(key: str, believed: float, true: float) -> float:
    """Believed less true; of a state 1 where they differ."""
    return float(believed != true) if key.startswith("state/") else believed - true


def tell(line: dict[str, Any]) -> dict[str, float]:
    """A line of truth by quantity."""
    found: dict[str, float] = {}
    names = {"wip": "wip", "product_wip": "product_wip", "stock": "on_hand"}
    for name in ("wip", "product_wip", "stock", "on_order", "backorder"):
        found |= {f"{names.get(name, name)}/{thing}": float(n) for thing, n in line.get(name, {}).items()}
    for unit, state in line.get("state", {}).items():
        found[f"state/{unit}"] = float(_free_is_one(STATES.index(state)))
    if "done" in line:
        found["done"] = float(line["done"])
    return found


def believe(topology: Topology, state: TwinState) -> tuple[dict[str, float], dict[str, float]]:
    """What is believed by quantity, and the spread stated for it: as `GET /state` says it."""
    floor = Floor(topology, state, state.t)
    found: dict[str, float] = {"done": float(sum(state.meters.finished))}
    now = present(topology, state)
    spread = {"done": totals(topology, state, now).gone_spread} if now else {}
    hidden = places(topology, state, now)
    for s, (spec, station) in enumerate(zip(topology.plant.stations, state.stations, strict=True)):
        found[f"wip/{spec.id}"] = float(held(station))
        spread[f"wip/{spec.id}"] = spread_of(station, covered=floor.covered(s))
        if place := hidden.get(s):
            found[f"wip/{spec.id}"], spread[f"wip/{spec.id}"] = place.held, place.spread
        for u, unit in enumerate(station.units, 1):
            code = unit.state if unit.state >= 0 else WORK if unit.parts else STARVED
            found[f"state/{spec.id}/{u}"] = float(_free_is_one(code))
    for p, product in enumerate(topology.plant.products):
        found[f"product_wip/{product.id}"] = float(state.wip[p])
    for spec_k, stock in zip(topology.plant.stocks, state.stocks, strict=True):
        for what in ("on_hand", "on_order", "backorder"):
            found[f"{what}/{spec_k.id}"] = float(getattr(stock, what))
    return found, spread


def _free_is_one(code: int) -> int:
    return STARVED if code == IDLE else code


def group_of(key: str) -> str:
    return key.partition("/")[0]


def figures(run: Followed, group: str) -> dict[str, float] | None:
    """RMSE, mean absolute error, greatest, share of the time out of step, and coverage of the 90 % band; None where
    the group has nothing. Out of step: any of the group is wrong by half or more (what is estimated is a mean, never
    whole). A band of whole numbers is half a number wider.
    """
    keys = [key for key in run.error if group_of(key) == group]
    if not keys:
        return None
    errors = np.abs(np.array([run.error[key] for key in keys]))
    spreads = np.array([run.spread[key] for key in keys])
    found = {
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "mean_abs": float(np.mean(errors)),
        "max": float(np.max(errors)),
        "out_of_step": float(np.mean((errors >= 0.5).any(axis=0))),
        "n": len(keys),
    }
    told = ~np.isnan(spreads)
    if told.any():
        found["coverage90"] = float(np.mean(errors[told] <= Z90 * spreads[told] + 0.5))
        found["spread"] = float(np.mean(spreads[told]))
    return found


def reconverged(run: Followed, clean: Followed, end: int) -> float | None:
    """Seconds from `end` (plant ms) until the WIP error is no more than without the faults and stays so for `SETTLED`
    comparisons; None: not before the log ends.
    """
    worse = run.total() > clean.total() + 1e-9
    after = np.flatnonzero(run.t >= end)
    for i in after:
        if i + SETTLED <= len(worse) and not worse[i : i + SETTLED].any():
            return float(max(run.t[i] - end, 0) / 1000)
    return None


def growth(runs: Sequence[Followed]) -> dict[str, float]:
    """Does the error grow? Hourly means of the total WIP error against time: slope (Theil-Sen, parts a day) and the
    two-sided p of Kendall's rank correlation, over the runs together.
    """
    from scipy import stats

    hours, means = [], []
    for run in runs:
        block = ((run.t - run.t[0]) / (1000 * BLOCK_S)).astype(int)
        total = run.total()
        for b in range(int(block.max()) + 1):
            if (block == b).sum() >= SETTLED:
                hours.append(float(b))
                means.append(float(total[block == b].mean()))
    if len(set(means)) < 2 or len(hours) < 4:
        return {"slope_per_day": 0.0, "p": 1.0, "blocks": len(hours)}
    tau = stats.kendalltau(hours, means)
    slope = stats.theilslopes(means, hours)
    return {"slope_per_day": float(slope[0]) * 24, "p": float(tau.pvalue), "blocks": len(hours)}


def report(
    plant: Plant, rows: Sequence[Row], truth: Truth, faults: Faults
) -> tuple[dict[str, Any], Followed, Followed]:
    """Everything `plantwin track` says, and the two runs behind it: with the faults and without."""
    clean = follow(plant, Channelled(list(rows), arrivals(rows)), truth)
    log = inject(build(plant), rows, faults)
    run = follow(plant, log, truth)
    return summary(plant, faults, run, clean) | {"messages": log.counts}, run, clean


def _named(plant: Plant, run: Followed, clean: Followed) -> list[dict[str, Any]]:
    """What contradictions name more often than without the faults; of two equally often named a tag comes first."""
    tags, n = {s.tag for s in plant.sensors}, len(run.t)
    more = sorted((run.named - clean.named).items(), key=lambda item: (-item[1], item[0] not in tags, item[0]))
    return [
        {"sensor": tag, "share": round(k / n, 4), "without_faults": round(clean.named[tag] / n, 4)}
        for tag, k in more[:5]
    ]


def summary(plant: Plant, faults: Faults, run: Followed, clean: Followed) -> dict[str, Any]:
    begin = int(run.t[0])
    quantities = {}
    for group in GROUPS:
        found = figures(run, group)
        if found is not None:
            without = figures(clean, group) or {}
            quantities[group] = found | {"clean_mean_abs": without.get("mean_abs", 0.0)}
    worst = sorted(((float(np.mean(np.abs(v))), key) for key, v in run.error.items()), reverse=True)
    ends = [round(b * 1000) for _, b in faults.outages]
    return {
        "plant": plant.id,
        "channel": faults.channel,
        "seed": faults.seed,
        "hours": (int(run.t[-1]) - begin) / 3.6e6,
        "comparisons": len(run.t),
        "quantities": quantities,
        "worst": [{"what": key, "mean_abs": round(e, 4)} for e, key in worst[:5] if e > 0],
        "outages": [
            {"from_s": a, "to_s": b, "reconverged_s": reconverged(run, clean, begin + end)}
            for (a, b), end in zip(faults.outages, ends, strict=True)
        ],
        "growth": growth([run]),
        "named": _named(plant, run, clean),
        "failed_checks": dict((run.failed - clean.failed).most_common(5)),
        "counts": run.counts,
    }
