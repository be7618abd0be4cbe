"""What a controller does differently from another and what that changes: numbers for plots, by runs on the same luck.

When it moves which control (hour of the local week), with what it sees the move goes along, how much it buys from the
faster source, how often it maintains, when power is drawn, and which costs fall or rise by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.control.controllers import Controller
from agents.control.rollout import Operation, default_epoch, ticks
from agents.envs.schema import Observer
from agents.rules.tune import judge_span
from agents.seeds import TEST, block_seed
from sim import state as st
from sim.value import Term, kwh, lanes_of, operating_terms, weights

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
WEEK_H = 168
HOUR_S = 3600.0
PARTS = 10
"""Parts of equal size into which what is seen is cut."""
MOVES = 0.01
"""A control counts as moved where it differs by so much of its range, in standard deviation or on average."""


@dataclass(frozen=True, slots=True)
class Look:
    """How much to look at: `replicas` of `weeks` each, after the usual warm-up under the other controller and a week
    under one's own.
    """

    replicas: int = 64
    weeks: int = 4
    seed: int = 0


@dataclass(slots=True)
class _Seen:
    """What one controller did: setpoints [T, R, C], watts [T, R], observations [T, R, D], the row's changes [R, W]."""

    values: list[Rows] = field(default_factory=list)
    watts: list[Rows] = field(default_factory=list)
    observed: list[NDArray[np.float32]] = field(default_factory=list)
    change: Rows = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))


def explain(who: Controller, other: Controller, compiled: Compiled, look: Look | None = None) -> dict[str, Any]:
    """Everything a page about `who` beside `other` needs, as plain data."""
    look = look or Look()
    hour = ticks(compiled, HOUR_S)
    mine, theirs = (_watch(c, other, compiled, look) for c in (who, other))
    start = compiled.start
    first = start.weekday() * 24 + start.hour + (judge_span(compiled).warmup // hour) % WEEK_H
    hours = (first + np.arange(len(mine.watts))) % WEEK_H
    hours_counted = look.weeks * WEEK_H
    return {
        "plant": compiled.plant.id,
        "who": who.name,
        "other": other.name,
        "says": [list(getattr(c, "says", ())) for c in (who, other)],
        "replicas": look.replicas,
        "weeks": look.weeks,
        "currency": compiled.plant.currency,
        "costs": _costs(compiled, mine.change, theirs.change, hours_counted),
        "controls": _controls(compiled, (mine, theirs), hours),
        "supply": _supply(compiled, mine.change, theirs.change, look.weeks),
        "maintenance": _maintenance(compiled, mine.change, theirs.change, look.weeks),
        "power": _power(compiled, (mine, theirs), hours, look.weeks),
        "open": _open(compiled),
    }


def _watch(who: Controller, warm: Controller, compiled: Compiled, look: Look) -> _Seen:
    """Run the warm-up under `warm`, then `who` for a week unseen and the weeks that are looked at, hour by hour."""
    from sim.engine import new_rows, run
    from sim.kernel import get_controls

    hour, epoch = ticks(compiled, HOUR_S), default_epoch(compiled)
    rows = new_rows(compiled, block_seed(TEST, look.seed), look.replicas)
    at = -(-judge_span(compiled).warmup // hour) * hour
    Operation(compiled, warm, epoch).run(rows, at)
    operation, observer, seen = Operation(compiled, who, epoch), Observer(compiled), _Seen()
    at += WEEK_H * hour
    operation.run(rows, at)
    before = rows.copy()
    step = max(operation.epoch // hour, 1)
    for k in range(look.weeks * WEEK_H):
        seen.observed.append(observer(rows))
        at += hour
        if operation.kinds or k % step == 0:
            operation.run(rows, at)  # asks now, and within the hour only what decides at events or more often
        else:
            run(rows, compiled, at)
        seen.values.append(np.array(get_controls(rows, compiled)))
        seen.watts.append(rows[:, st.POWER].copy())
    seen.change = rows - before
    return seen


def _interval(difference: Floats) -> dict[str, float]:
    """Mean and 95 % interval of paired differences [R]."""
    n = len(difference)
    half = float(stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n))
    mean = float(difference.mean())
    return {"mean": mean, "lo": mean - half, "hi": mean + half}


def _costs(compiled: Compiled, mine: Rows, theirs: Rows, hours: float) -> list[dict[str, Any]]:
    """Operating cost an hour by kind: with `other`, and the difference; largest first, the whole last."""
    kinds: dict[str, list[Term]] = {}
    for term in operating_terms(compiled.plant):
        kinds.setdefault(term.kind, []).append(term)
    found: list[dict[str, Any]] = []
    total = np.zeros((2, len(mine)))
    for kind, terms in kinds.items():
        positions, coefficients = weights(compiled, terms)
        both = np.array([(rows[:, positions] * coefficients).sum(axis=1) / hours for rows in (mine, theirs)])
        total += both
        found.append({"kind": kind, "other": float(both[1].mean()), **_interval(both[0] - both[1])})
    found.sort(key=lambda line: -abs(line["mean"]))
    return [*found, {"kind": "all", "other": float(total[1].mean()), **_interval(total[0] - total[1])}]


def _controls(compiled: Compiled, both: tuple[_Seen, _Seen], hours: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Every control: the other's setpoint, this one's spread, its mean by hour of the week, what it goes along with."""
    mine, theirs = (np.array(seen.values) for seen in both)
    observer = Observer(compiled)
    seen = np.array(both[0].observed)
    found = []
    for c, control in enumerate(compiled.plant.controls):
        away = mine[:, :, c] - theirs[:, :, c]
        span = max(control.high - control.low, 1)
        moved = bool(max(mine[:, :, c].std(), abs(float(away.mean()))) > MOVES * span)
        line: dict[str, Any] = {
            "control": control.id,
            "sets": control.sets,
            "other": float(theirs[:, :, c].mean()),
            "mean": float(mine[:, :, c].mean()),
            "sd": float(mine[:, :, c].std()),
            "moved": moved,
            "by_hour": [float(away[hours == h].mean()) if (hours == h).any() else 0.0 for h in range(WEEK_H)],
        }
        if mine[:, :, c].std() > 0:
            line["with"] = _along(observer.fields, seen, mine[:, :, c], control.id)
        found.append(line)
    return found


def _along(fields: tuple[str, ...], seen: NDArray[np.float32], values: Rows, control: str) -> list[dict[str, Any]]:
    """The three observed columns that a setpoint [T, R] goes along with most, and its mean by tenths of each."""
    y = values.reshape(-1).astype(np.float64)
    x = seen.reshape(-1, seen.shape[-1]).astype(np.float64)
    spread = x.std(axis=0)
    usable = [
        i
        for i, name in enumerate(fields)
        if spread[i] > 1e-6 and not name.startswith(("time.", "control.")) and name != f"control.{control}"
    ]
    centred = (x[:, usable] - x[:, usable].mean(axis=0)) / spread[usable]
    r = centred.T @ (y - y.mean()) / len(y) / y.std()
    found = []
    for k in np.argsort(-np.abs(r))[:3]:
        column = x[:, usable[k]]
        edges = np.unique(np.quantile(column, np.linspace(0, 1, PARTS + 1)[1:-1]))
        part = np.searchsorted(edges, column, side="left")
        points = [[float(column[part == p].mean()), float(y[part == p].mean())] for p in np.unique(part)]
        found.append({"field": fields[usable[k]], "r": float(r[k]), "points": points})
    return found


def _supply(compiled: Compiled, mine: Rows, theirs: Rows, weeks: int) -> list[dict[str, Any]]:
    """Units a week by every faster source."""
    view, regular = compiled.layout.view, sum(k.source != "line" for k in compiled.plant.stocks)
    found = []
    for i, (stock, lane) in enumerate(lanes_of(compiled.plant)):
        if i < regular:
            continue
        a, b = (view(rows, "ordered")[:, i] / weeks for rows in (mine, theirs))
        found.append({"stock": stock.id, "source": lane.source, "other": float(b.mean()), **_interval(a - b)})
    return found


def _maintenance(compiled: Compiled, mine: Rows, theirs: Rows, weeks: int) -> list[dict[str, Any]]:
    """Planned maintenance and failures a week of every station that a control maintains."""
    view, found = compiled.layout.view, []
    for control in compiled.plant.controls:
        if not control.sets.endswith(".at_level"):
            continue
        station = control.sets.split(".")[1]
        s = compiled.station_index[station]
        for what in ("maintained", "failures"):
            a, b = (view(rows, what)[:, s] / weeks for rows in (mine, theirs))
            found.append({"station": station, "what": what, "other": float(b.mean()), **_interval(a - b)})
    return found


def _power(compiled: Compiled, both: tuple[_Seen, _Seen], hours: NDArray[np.int64], weeks: int) -> dict[str, Any]:
    """Load in kW by hour of the week with both, and kWh a week in each band of the tariff."""
    if compiled.plant.tariff is None:
        return {}
    by_hour = [
        [float(np.array(seen.watts)[hours == h].mean() / 1000.0) if (hours == h).any() else 0.0 for h in range(WEEK_H)]
        for seen in both
    ]
    unit, bands = kwh(compiled.plant), []
    for i, price in enumerate(compiled.plant.tariff.prices):
        a, b = (compiled.layout.view(seen.change, "energy")[:, i] * unit / weeks for seen in both)
        bands.append({"price": float(price), "other": float(b.mean()), **_interval(a - b)})
    return {"mine": by_hour[0], "other": by_hour[1], "bands": bands}


def _open(compiled: Compiled) -> list[bool]:
    """Whether the calendar that is open least is open, by hour of the local week."""
    calendars = [c for c in compiled.plant.calendars if c.open]
    if not calendars:
        return [True] * WEEK_H
    least = min(calendars, key=lambda c: sum(end - start for _, start, end in c.open))
    found = [False] * WEEK_H
    for day, start, end in least.open:
        for minute in range(start, end, 60):
            found[(day * 24 + minute // 60) % WEEK_H] = True
    return found
