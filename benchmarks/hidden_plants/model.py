"""The hidden plant at work: a SimPy model that knows nothing of the twin, with what plant files do not say.

Blocking before service, dips of the power that stop half of the line, a slow start, one pair of hands for two
stations, parts that people carry past a station that is down: all of it is here and in no plant file. `Floor.run`
calls `tell(t, station, unit, what, detail)` for everything that a controller could see.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from benchmarks.hidden_plants.spec import WARM, Plant, Station

Told = Callable[[float, str, int, str, Any], None]
Steps = Generator[Any, Any, None]
SLOW_S = 2700.0
"""Seconds after an opening in which a slow start wears off."""


@dataclass(eq=False)
class Part:
    """`at`: which step of its route it is at or before; `free`: it holds no place of a queue."""

    product: str
    at: int = 0
    free: bool = False


@dataclass(eq=False)
class Unit:
    number: int
    life: float = float("inf")
    family: str = ""
    dip_until: float = -1e12
    working: bool = False
    state: str = ""
    process: Any = None


class Floor:
    """One run. `done` are the moments (seconds) of good parts, `made` how many entered, `lost` how many were scrapped,
    `inside` how many are there, `carried` how many were moved by hand.
    """

    def __init__(self, plant: Plant, tell: Told) -> None:
        self.plant, self.tell = plant, tell
        self.env = simpy.Environment(initial_time=-WARM)
        self.rng = np.random.default_rng([plant.seed, 0x900D])
        self.by_name = {s.name: s for s in plant.stations}
        self.queue = {s.name: simpy.Store(self.env) for s in plant.stations}
        self.places = {s.name: simpy.Container(self.env, init=s.places) for s in plant.stations}
        self.crew = simpy.Resource(self.env, plant.crew)
        self.hands = simpy.Resource(self.env, max(plant.hands, 1))
        self.tokens = simpy.Container(self.env, init=plant.cap)
        self.units = {s.name: [Unit(u) for u in range(s.units)] for s in plant.stations}
        self.done: list[tuple[float, str]] = []
        self.made = self.lost = self.carried = 0
        self.inside = 0
        self._starts = [a for a, _ in plant.windows]
        for s in plant.stations:
            for unit in self.units[s.name]:
                unit.life = self._life(s)
                unit.process = self.env.process(self._unit(s, unit))
        self.env.process(self._release())
        if plant.dips:
            self.env.process(self._dips())
        if plant.carried:
            self.env.process(self._carry())

    def run(self, until: float) -> None:
        self.env.run(until)

    # time ----------------------------------------------------------------------------------------

    def _open(self, t: float) -> tuple[bool, float]:
        """(open, until when) at a time."""
        i = bisect_right(self._starts, t + 1e-6) - 1
        if i >= 0 and t < self.plant.windows[i][1] - 1e-6:
            return True, self.plant.windows[i][1]
        return False, self._starts[i + 1] if i + 1 < len(self._starts) else float("inf")

    def _opened(self) -> Steps:
        opened, until = self._open(self.env.now)
        if not opened:
            yield self.env.timeout(until - self.env.now)

    def _pace(self) -> float:
        """How much slower than usual everything goes just after an opening."""
        i = bisect_right(self._starts, self.env.now) - 1
        since = self.env.now - self._starts[i] if i >= 0 else SLOW_S
        return 1 + self.plant.slow * max(0.0, 1 - since / SLOW_S) * 2

    def _time(self, mean: float, cv: float) -> float:
        return float(self.rng.gamma(1 / cv**2, mean * cv**2))

    def _life(self, s: Station) -> float:
        if not s.mtbf:
            return float("inf")
        return float(s.mtbf * self.rng.weibull(2.0) / 0.8862 if s.by_age else self.rng.exponential(s.mtbf))

    # units ---------------------------------------------------------------------------------------

    def _say(self, s: Station, unit: Unit, state: str) -> None:
        if unit.state != state:
            unit.state = state
            self.tell(self.env.now, s.name, unit.number, "state", state)

    def _unit(self, s: Station, unit: Unit) -> Steps:
        while True:
            yield from self._closed(s, unit)
            parts = yield from self._load(s, unit)
            yield from self._closed(s, unit)
            if self.plant.before_service:
                yield from self._room(s, unit, parts)
            yield from self._serve(s, unit, parts)
            for part in parts:
                yield from self._on(s, unit, part)

    def _closed(self, s: Station, unit: Unit) -> Steps:
        if not self._open(self.env.now)[0]:
            self._say(s, unit, "off")
            yield from self._opened()
        if unit.dip_until > self.env.now:
            self._say(s, unit, "down")
            yield self.env.timeout(unit.dip_until - self.env.now)
        yield from self._opened()

    def _load(self, s: Station, unit: Unit) -> Generator[Any, Any, list[Part]]:
        queue = self.queue[s.name]
        if not queue.items:
            self._say(s, unit, "starved")
        parts = [(yield queue.get())]
        if s.batch > 1:
            waited = 0.0
            while len(queue.items) < s.batch - 1 and waited < 1200:
                self._say(s, unit, "starved")
                yield self.env.timeout(30)
                waited += 30
            while len(parts) < s.batch and queue.items:
                parts.append((yield queue.get()))
        for part in parts:
            if not part.free:
                yield self.places[s.name].put(1)
        self._level(s.name)
        return parts

    def _serve(self, s: Station, unit: Unit, parts: list[Part]) -> Steps:
        request = self.hands.request() if s.hands else None
        if request is not None:
            if self.hands.count >= self.hands.capacity:
                self._say(s, unit, "idle")
            yield request
        product = parts[0].product
        if s.setup and unit.family and unit.family != product:
            self._say(s, unit, "setup")
            yield self.env.timeout(self._time(s.setup, 0.3))
        unit.family = product
        self._say(s, unit, "work")
        for part in parts:
            self.tell(self.env.now, s.name, unit.number, "start", part.product)
        yield from self._work(s, unit, self._time(s.work[product], s.cv) * self._pace())
        if request is not None:
            self.hands.release(request)
        for part in parts:
            self.tell(self.env.now, s.name, unit.number, "end", part.product)

    def _work(self, s: Station, unit: Unit, left: float) -> Steps:
        while left > 1e-6:
            if unit.life <= 0:
                yield from self._repair(s, unit)
            piece, begun = min(left, unit.life), self.env.now
            unit.working = True
            try:
                yield self.env.timeout(piece)
            except simpy.Interrupt:
                pass
            unit.working = False
            worked = min(self.env.now - begun, piece)
            left -= worked
            unit.life = 0.0 if worked >= unit.life - 1e-9 else unit.life - worked
            if unit.dip_until > self.env.now:
                self._say(s, unit, "down")
                yield self.env.timeout(unit.dip_until - self.env.now)
                self._say(s, unit, "work")

    def _repair(self, s: Station, unit: Unit) -> Steps:
        self._say(s, unit, "down")
        self.tell(self.env.now, s.name, unit.number, "reason", "mechanical")
        request = self.crew.request() if s.crew else None
        if request is not None:
            yield request
        yield self.env.timeout(self._time(s.repair, 0.7))
        if request is not None:
            self.crew.release(request)
        unit.life = self._life(s)
        self._say(s, unit, "work")

    # ways ----------------------------------------------------------------------------------------

    def _next(self, part: Part) -> str | None:
        route = self.plant.routes[part.product]
        return route[part.at + 1] if part.at + 1 < len(route) else None

    def _room(self, s: Station, unit: Unit, parts: list[Part]) -> Steps:
        """Wait until there is room behind; the places are taken before work begins."""
        for part in parts:
            after = self._next(part)
            if after is not None:
                yield from self._place(s, unit, after)

    def _place(self, s: Station, unit: Unit, after: str) -> Steps:
        if self.places[after].level < 1:
            self._say(s, unit, "blocked")
        yield self.places[after].get(1)

    def _on(self, s: Station, unit: Unit, part: Part) -> Steps:
        """A part leaves: scrapped, sent back, on its way, or finished. What is sent back needs no place."""
        after, luck = self._next(part), float(self.rng.random())
        if luck < s.scrap:
            self.tell(self.env.now, s.name, unit.number, "scrap", part.product)
            self._leave(part, lost=True)
        elif luck < s.scrap + s.back:
            part.at -= 1
            self._enter(part, self.plant.routes[part.product][part.at], free=True)
        elif after is None:
            self._leave(part)
        else:
            if not self.plant.before_service:
                yield from self._place(s, unit, after)
            part.at += 1
            self._enter(part, after)
            return
        if self.plant.before_service and after is not None:
            yield self.places[after].put(1)

    def _enter(self, part: Part, name: str, *, free: bool = False) -> None:
        part.free = free
        self.queue[name].put(part)
        self._level(name)

    def _level(self, name: str) -> None:
        self.tell(self.env.now, name, 0, "level", len(self.queue[name].items))

    def _leave(self, part: Part, *, lost: bool = False) -> None:
        self.inside -= 1
        if lost:
            self.lost += 1
        else:
            self.done.append((self.env.now, part.product))
        if self.plant.release == "conwip":
            self.tokens.put(1)

    # what drives it, and what disturbs it -----------------------------------------------------------

    def _release(self) -> Steps:
        plant, products = self.plant, list(self.plant.share)
        lot: list[str] = []
        while True:
            yield from self._opened()
            if not lot:
                product = products[int(self.rng.random() >= plant.share["a"])]
                lot = [product] * (4 if plant.kind == "mix" else 1)
            first = plant.routes[lot[0]][0]
            if plant.release in ("push", "demand"):
                busy = 1.25 if plant.release == "demand" and (self.env.now // 3600) % 24 < 14 else 0.85
                rate = busy if plant.release == "demand" else 1.0
                yield self.env.timeout(float(self.rng.exponential(plant.gap / rate)))
                yield from self._opened()
            elif plant.release == "conwip":
                yield self.tokens.get(1)
            yield self.places[first].get(1)
            yield from self._opened()
            self.made += 1
            self.inside += 1
            part = Part(lot.pop())
            self.tell(self.env.now, "release", 0, "in", part.product)
            self._enter(part, first)

    def _dips(self) -> Steps:
        while True:
            yield self.env.timeout(float(self.rng.exponential(self.plant.dips)))
            until = self.env.now + float(self.rng.uniform(300, 1500))
            for s in self.plant.stations:
                for unit in self.units[s.name] if s.dips else []:
                    unit.dip_until = until
                    if unit.working:
                        unit.process.interrupt()

    def _carry(self) -> Steps:
        """Now and then somebody takes parts from before a station and carries them past it, or keeps them a while."""
        while True:
            yield self.env.timeout(float(self.rng.exponential(self.plant.carried)))
            k = int(self.rng.integers(1, len(self.plant.stations) - 1))
            name = self.plant.stations[k].name
            queue = self.queue[name]
            taken = [queue.items.pop() for _ in range(min(len(queue.items), int(self.rng.integers(1, 4))))]
            for part in taken:
                if not part.free:
                    yield self.places[name].put(1)
            self._level(name)
            self.carried += len(taken)
            if self.rng.random() < 0.5:
                yield self.env.timeout(float(self.rng.uniform(600, 7200)))
            else:
                for part in taken:
                    part.at += 1
            for part in taken:
                self._enter(part, self.plant.routes[part.product][part.at], free=True)
