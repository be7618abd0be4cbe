"""What the tags of a plant let the twin know, before anything is connected (`plantwin observe`).

The plant file's SimPy reference runs as if it were the plant; its tags, and only those, are read by the twin's tracker.
How far what the tracker believes is from what is true is the spread of a quantity. No events, no lost messages and no
documents: it is what the tags can say at best. One tag is added or taken away at a time, on the same simulated plant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.wire import Birth, Data, Row, Tag, encode
from sim.compile import Compiled, compile_plant
from sim.distributions import mean
from sim.plant import STATES, Plant, Sensor
from twin.limits import refuse
from twin.observability_plant import Seen, candidates, watch
from twin.track import believe, difference
from twin.tracker import Tracker

PARTS = 150
"""Parts through the plant that a simulated stretch should see."""
TICKS = 100_000
"""Ticks of the twin in all replays together: decides how long the simulated stretch can be."""
LEAST_GAIN = 0.002
"""A change of the mean share that counts as one (the share of what is not known, 0 to 1)."""
GREEDY = 3
LOOKED = 8
"""Replays that each tag after the first needs, more or less (for the progress alone)."""
TICK_MS = 30_000
UNITS = {"wip": "parts", "state": "of the time wrong", "on_hand": "units", "flow": "parts an hour"}


def read_tags(path: Path, plant: Plant) -> list[Sensor]:
    """The tags named in a file, one a line (`#` begins a comment); ValueError names one the plant does not have."""
    known = {s.tag: s for s in [*candidates(plant), *plant.sensors]}
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--tags {path}: expected a file with one tag a line; {error}") from error
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        if name and name not in known:
            some = ", ".join(sorted(known)[:6])
            raise ValueError(f"{path}:{number}: expected a tag of plant {plant.id} ({some}, ..), found {name!r}")
        if name:
            found.append(known[name])
    return found


Progress = Callable[[int, int], None]
"""Told after each replay: how many are done, and of how many, more or less."""


def _silent(_done: int, _of: int) -> None:
    """Nobody looks."""


@dataclass(slots=True)
class _Study:
    """One simulated stretch and what tag sets make of it."""

    compiled: Compiled
    seen: Seen
    blind: dict[str, float]
    replays: int  # how many there will be, more or less
    tell: Progress
    done: int = 0

    def spreads(self, sensors: Sequence[Sensor]) -> dict[str, float]:
        """Root mean square of believed less true by quantity, with these tags alone."""
        found = follow(replace(self.compiled.plant, sensors=tuple(sensors)), self.seen)
        self.done += 1
        self.tell(self.done, max(self.replays, self.done))
        return found

    def unknown(self, spreads: dict[str, float]) -> float:
        """Mean over the quantities of spread / spread without any tag, each at most 1: 0 all is known, 1 nothing is."""
        shares = [min(s / self.blind[k], 1.0) for k, s in spreads.items() if self.blind[k] > 0]
        return float(np.mean(shares)) if shares else 0.0


def follow(plant: Plant, seen: Seen) -> dict[str, float]:
    """The tracker on the readings of the plant's tags; root mean square error by quantity over the second half."""
    tracker, n = Tracker(plant), 0
    index = {s.tag: i for i, s in enumerate(plant.sensors)}
    releases = {(p.id, "in") for p in plant.products}
    rank = {s.tag: (s.type != "counter", (s.thing, s.property) not in releases) for s in plant.sensors}
    source = f"ptw/v1/{plant.site}/{plant.area}/{plant.line}/observe"

    def put(kind: str, t: int, body: bytes, s: int | None = None) -> None:
        nonlocal n
        n += 1
        tracker.apply(Row(n, t, t, kind, source, None if s is None else "observe", s, body))

    def data(t: int, values: dict[str, int]) -> None:
        # counters first, as the tracker orders a moment: then nothing has to be gone through again
        ordered = sorted((tag for tag in values if tag in index), key=lambda tag: rank[tag])
        mine = {index[tag]: float(values[tag]) for tag in ordered}
        if mine:
            k = len(mine)
            payload = Data(e="observe", s=n + 1, t0=t, i=list(mine), dt=[0] * k, v=list(mine.values()), q=[0] * k)
            put("data", t, encode(payload), n + 1)

    tags = [Tag(i=i, name=s.tag, type=s.type, enum=list(STATES) if s.type == "enum" else None)  # type: ignore[arg-type]
            for i, s in enumerate(plant.sensors)]  # fmt: skip
    if tags:
        put("birth", seen.begin, encode(Birth(v=1, e="observe", s=1, sw="observe", tags=tags)))
    data(seen.begin, seen.first)
    errors: list[dict[str, float]] = []
    flows: list[tuple[dict[str, float], dict[str, float]]] = []
    k, ticked = 0, seen.begin
    for t, truth in seen.truth:
        while k < len(seen.changes) and seen.changes[k][0] < t:
            at, values = seen.changes[k]
            while ticked + TICK_MS < at:
                ticked += TICK_MS
                put("tick", ticked, b'{"t":%d}' % ticked)
            data(at, values)
            k += 1
        while ticked + TICK_MS <= t:
            ticked += TICK_MS
            put("tick", ticked, b'{"t":%d}' % ticked)
        state = tracker.state
        believed, _ = believe(tracker.topology, state)
        errors.append({key: difference(key, believed[key], v) for key, v in truth.items() if key in believed})
        ended = {f"flow/{s.id}": float(x.ended) for s, x in zip(plant.stations, state.stations, strict=True)}
        flows.append((ended, {key: v for key, v in truth.items() if key.startswith("flow/")}))
    half = errors[len(errors) // 2 :]
    found = {key: float(np.sqrt(np.mean([row[key] ** 2 for row in half]))) for key in half[0]}
    return found | {key: _flow_error(flows, key) for key in flows[0][1]}


def _flow_error(flows: list[tuple[dict[str, float], dict[str, float]]], key: str) -> float:
    """RMS error of the parts ended within an hour (or in the second half, where that is shorter), as parts an hour."""
    half = flows[len(flows) // 2 :]
    span = min(60, len(half) - 1)
    miss = [(half[i + span][0][key] - half[i][0][key]) - (half[i + span][1][key] - half[i][1][key])
            for i in range(len(half) - span)]  # fmt: skip
    return float(np.sqrt(np.mean(np.square(miss)))) * 60 / span


def _blind(seen: Seen) -> dict[str, float]:
    """The spread of someone who knows the plant's averages and nothing else: that of the truth around its mean."""
    half = [row for _, row in seen.truth][len(seen.truth) // 2 :]
    found = {}
    for key in half[0]:
        values = np.array([row[key] for row in half])
        if key.startswith("state/"):
            common = np.bincount(values.astype(int)).max() / len(values)
            found[key] = float(np.sqrt(1 - common))
        elif key.startswith("flow/"):
            span = min(60, len(values) - 1)
            found[key] = float(np.std(values[span:] - values[:-span])) * 60 / span
        else:
            found[key] = float(np.std(values))
    return found


def stretch(plant: Plant, hours: float, runs: int) -> float:
    """Plant hours to simulate: `PARTS` parts through a station of median speed, within what all replays may take."""
    if hours > 0:
        return hours
    works = [
        mean(step.work) * plant.tick_s / next(s.units for s in plant.stations if s.id == step.station)
        for p in plant.products for step in p.steps
    ]  # fmt: skip
    a_part = float(np.median(works))
    affordable = TICKS / runs * TICK_MS / 1000
    return max(min(PARTS * a_part, affordable), 10 * a_part, 1800.0) / 3600


def observe(
    plant: Plant, tags: Sequence[Sensor] | None, hours: float, seed: int, tell: Progress = _silent
) -> dict[str, Any]:
    """The report: quantities with what they are and to what spread, tags that would help, that are needed, and not.

    ValueError for a plant without stations; TwinLimitError for one that cannot be tracked.
    """
    refuse(plant)
    if not plant.stations or not plant.products:
        raise ValueError(f"plant {plant.id}: expected stations and products to observe, found none")
    if plant.rules is not None:
        raise ValueError(f"plant {plant.id}: rules of its own are not run here; take them out of the plant file")
    parts = [s for s in plant.sensors if s.signal is None]  # a machine's signals tell nothing of parts
    mine = [s for s in (parts if tags is None else tags) if s.signal is None]
    have = {s.tag for s in mine}
    more = [s for s in [*parts, *candidates(plant)] if s.tag not in have]
    compiled = compile_plant(plant)
    time_s = stretch(plant, hours, len(mine) + GREEDY * len(more) + 1) * 3600
    warmup = compiled.ticks(_warm(plant, time_s))
    seen = watch(compiled, [*mine, *more], seed, warmup, compiled.ticks(time_s))
    replays = 1 + len(mine) + len(more) + (GREEDY - 1) * min(len(more), LOOKED)
    study = _Study(compiled, seen, _blind(seen), replays, tell)
    base = study.spreads(mine)
    now = study.unknown(base)
    without = {s.tag: study.unknown(study.spreads([x for x in mine if x is not s])) - now for s in mine}
    order = sorted(without, key=lambda tag: -without[tag])
    return {
        "plant": plant.id,
        "tags": len(mine),
        "hours": round(time_s / 3600, 2),
        "how": f"Computed from {time_s / 3600:.1f} h of the plant file's own SimPy reference (seed {seed}) read "
        f"through these tags by the twin's tracker, without events, loss or documents; spreads are of the second half. "
        f"Unknown share {now:.3f}: mean over all quantities of spread / spread without any tag.",
        "unknown": now,
        "quantities": [_quantity(key, spread, study.blind[key], mine, plant) for key, spread in base.items()],
        "more": _greedy(study, mine, more, now),
        "needed": [{"tag": tag, "gain": without[tag]} for tag in order if without[tag] > LEAST_GAIN],
        "unneeded": [tag for tag in order if without[tag] <= LEAST_GAIN],
    }


def _warm(plant: Plant, time_s: float) -> float:
    """A warm-up as long as the stretch; with calendars to nine in the morning of the second day."""
    return 33 * 3600.0 if plant.calendars else time_s


def _greedy(study: _Study, mine: list[Sensor], more: list[Sensor], now: float) -> list[dict[str, Any]]:
    """The tags that would help most, one after another, each on top of those before it.

    After the first round lazily (Minoux 1978): the tags are tried in the order of what they gained before, until none
    that is left had gained as much as the best now. That is the best of all as long as no tag helps more beside others
    than it did alone.
    """
    found: list[dict[str, Any]] = []
    chosen = list(mine)
    gains = [(float("inf"), s) for s in more]
    for _ in range(GREEDY):
        gains = _lazily(study, chosen, gains, now)
        if not gains or gains[0][0] <= LEAST_GAIN:
            break
        gain, best = gains[0]
        listed = any(s.tag == best.tag for s in study.compiled.plant.sensors)
        why = f"{best.property} of {best.thing}" + ("" if listed else ", not in the plant file")
        found.append({"tag": best.tag, "gain": gain, "why": why})
        chosen.append(best)
        now -= gain
        gains = [(g, s) for g, s in gains[1:] if g > 0]
    return found


def _lazily(
    study: _Study, chosen: list[Sensor], gains: list[tuple[float, Sensor]], now: float
) -> list[tuple[float, Sensor]]:
    """Tags with what each would gain now, the best first; of those that cannot be the best, what they gained before."""
    best = float("-inf")
    fresh: list[tuple[float, Sensor]] = []
    for k, (before, sensor) in enumerate(gains):
        if before <= best:
            return sorted([*fresh, *gains[k:]], key=lambda pair: -pair[0])
        fresh.append((now - study.unknown(study.spreads([*chosen, sensor])), sensor))
        best = max(best, fresh[-1][0])
    return sorted(fresh, key=lambda pair: -pair[0])


def _quantity(key: str, spread: float, blind: float, mine: list[Sensor], plant: Plant) -> dict[str, Any]:
    group, _, thing = key.partition("/")
    station = thing.partition("/")[0]
    buffer = next((s.buffer for s in plant.stations if s.id == station), None)
    direct = {"wip": ("level", "wip"), "state": ("state",), "on_hand": ("on_hand", "level"), "flow": ("out",)}[group]
    about = [s for s in mine if s.thing in (station, buffer)]
    tags = [s.tag for s in about if s.property in direct]
    share = min(spread / blind, 1.0) if blind > 0 else float(spread > 0)
    told = bool(tags) and share <= 0.5
    kind = "measured" if told else "unknown" if share >= 0.9 else "estimated"
    shown = spread**2 if group == "state" else spread
    return {
        "what": key.replace("/", " ", 1),
        "is": kind,
        "spread": shown,
        "blind": blind**2 if group == "state" else blind,
        "unit": UNITS[group],
        "tags": tags,
    }
