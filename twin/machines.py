"""The condition of every machine whose signals the plant file names: one fold of `twin.condition` for each.

Readings of signals go no other way: they move no part, and are not gone through again when something comes late. A fold
takes them in the order of the journal (what is more than two frames late only counts), so a replay and a restart from
a snapshot give the same notices. A change is told, never acted on: it neither stops advice nor dims a station's light.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from ingest.wire import Reading
from sim.plant import Plant, Sensor
from twin.condition import Change, Condition, Settings, State, sentence
from twin.drift import Notice, divided
from twin.learned import Learned
from twin.onestep import WARM

AHEAD_MS = 600_000
"""A reading so far ahead of plant time is of a wrong clock: believing it would leave the rest of the day behind it."""
SILENT_MS, SILENT_FRAMES = 60_000, 10
"""A signal is silent when nothing good has come for so long, and for so many frames."""
LAGS = 2
Kept = dict[str, State]
"""The folds of a plant, by machine."""


class Machine(msgspec.Struct, frozen=True):
    """A station, or one of its units (`unit` None: all of it), and its signals in the plant file's order."""

    station: str
    unit: int | None
    signals: tuple[Sensor, ...]

    @property
    def name(self) -> str:
        return self.station if self.unit is None else f"{self.station}/{self.unit}"


def machines_of(plant: Plant) -> list[Machine]:
    """The machines of a plant that tell signals."""
    found: dict[tuple[str, int | None], list[Sensor]] = {}
    for sensor in plant.sensors:
        if sensor.signal is not None:
            found.setdefault((sensor.thing, sensor.unit), []).append(sensor)
    return [Machine(station, unit, tuple(signals)) for (station, unit), signals in found.items()]


def _settings(machine: Machine, streams: int) -> Settings:
    signals = [s.signal for s in machine.signals if s.signal is not None]
    return Settings(
        machine.name,
        tuple(s.tag for s in machine.signals),
        step_ms=max(s.every_ms for s in signals),
        lags=LAGS,
        # the model says nothing before `WARM` frames a coefficient; as many again, for its errors to be ranked among
        learn=max(*(s.learn for s in signals), 2 * WARM * (1 + LAGS * len(signals))),
        streams=streams,
        budget=divided(signals=True).signals,
    )


class Machines:
    """The folds of a plant's machines. `kept` is what `keep` gave; ValueError where that is of another version."""

    def __init__(self, plant: Plant, kept: Kept | None = None) -> None:
        self.all = machines_of(plant)
        streams = sum(len(m.signals) for m in self.all)
        self.folds: dict[str, Condition] = {}
        for machine in self.all:
            state = (kept or {}).get(machine.name)
            fold = Condition(_settings(machine, streams)) if state is None else Condition.of(state)
            self.folds[machine.name] = fold
        self._of = {s.tag: self.folds[m.name] for m in self.all for s in m.signals}

    @property
    def tags(self) -> Collection[str]:
        return self._of.keys()

    def keep(self) -> Kept:
        """Everything needed to go on, by machine."""
        return {name: fold.keep() for name, fold in self.folds.items()}

    def sieve(self, found: list[Reading], now: int, learned: Learned) -> list[tuple[int, Reading]]:
        """What is left of a message without signals, which are taken here, and the place of each reading in it. Of
        nothing but signals the first stands for the message: that its number has come must be known.
        """
        rest = list(enumerate(found))
        if not self._of:
            return rest
        for reading in found:
            if reading.name in self._of and (change := self.take(reading, now)) is not None:
                learned.changed(change)
        return [pair for pair in rest if pair[1].name not in self._of] or rest[:1]

    def take(self, reading: Reading, now: int) -> Change | None:
        """A reading of one of `tags`; `now` is plant time (0: not known yet). A notice where one is due."""
        fold = self._of[reading.name]
        if now and reading.t > now + AHEAD_MS:
            fold.state.late += 1
            return None
        return fold.take(reading)

    def step_back(self) -> None:
        """The plant's clock was put back."""
        for fold in self.folds.values():
            fold.step_back()


def told(change: Change) -> dict[str, Any]:
    """A change as the API and the log give notices of drift; `moved` has the signals."""
    shift = change.moved[0].shift if change.moved else 0.0
    about = f"condition-{change.place}-{change.t}"
    notice = Notice(about, "condition", change.place, shift >= 0, shift, 0.0, 0.0, change.since, change.t, change.seen)
    moved = [{"tag": m.tag, "shift": m.shift} for m in change.moved]
    return msgspec.to_builtins(notice) | {"text": sentence(change), "moved": moved}


def rows(machines: Machines, t: int, notices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each machine at plant ms `t` (`GET /state`): `{machine, station, unit, condition, since, moved, have,
    need, silent, silent_s, signals: [{tag, name, in, value, age_s}]}`.

    `condition` is unheard, learning (`have` of `need` frames), learnt (as learnt) or changed (`since`, `moved`) as long
    as one of `notices` of it is open. `silent`: tags of which nothing good has come for `silent_s`.
    """
    return [_row(machine, machines.folds[machine.name], t, notices) for machine in machines.all]


def _row(machine: Machine, fold: Condition, t: int, notices: list[dict[str, Any]]) -> dict[str, Any]:
    settings, last = fold.state.settings, fold.state.last
    ages = [max(t - at, 0) if at else None for at, _ in last]
    limit = max(SILENT_MS, SILENT_FRAMES * settings.step_ms)
    gone = [(tag, age) for tag, age in zip(settings.tags, ages, strict=True) if age is not None and age > limit]
    silent = [tag for tag, _ in gone] + [tag for tag, age in zip(settings.tags, ages, strict=True) if age is None]
    mine = [n for n in notices if n["kind"] == "condition" and n["place"] == machine.name and not n["closed"]]
    changed = min(mine, key=lambda n: n["t"], default=None)  # the first of those nobody has settled
    learning = fold.learned < settings.learn
    heard = any(age is not None for age in ages)
    return {
        "machine": machine.name,
        "station": machine.station,
        "unit": machine.unit,
        "condition": "unheard" if not heard else "changed" if changed else "learning" if learning else "learnt",
        "since": changed["since"] if changed else None,
        "moved": list(dict.fromkeys(m["tag"] for n in mine for m in n["moved"])),
        "have": fold.learned,
        "need": settings.learn,
        "silent": silent,
        "silent_s": round(min((age for _, age in gone), default=0) / 1000, 1) if gone else None,
        "signals": [
            {
                "tag": s.tag,
                "name": s.tag.rpartition("/")[2],
                "in": s.signal.measured_in if s.signal else "",
                "value": value if at else None,
                "age_s": None if age is None else round(age / 1000, 1),
            }
            for s, (at, value), age in zip(machine.signals, last, ages, strict=True)
        ],
    }
