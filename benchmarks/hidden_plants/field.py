"""What the controllers of a hidden plant show: words, bits and 16-bit registers, and what is wrong with them.

`Wiring` is drawn from the seed: who has a controller at all (about half of the stations), what kind of word it has, how
its counter is reset, what its part sensor misses. `Field` hears the floor and keeps the changes of the registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.hidden_plants.spec import DAY, WARM, Plant, official_shifts

PACKML = {"idle": 4, "work": 6, "blocked": 11, "starved": 5, "setup": 3, "down": 9, "off": 2}
BITS = {"work": 1, "starved": 2, "blocked": 4, "down": 8, "off": 0, "idle": 128, "setup": 16}
"""Bits of a word: 0 runs, 1 waits for parts, 2 output full, 3 fault, 4 changeover, 7 power."""
REASONS = {11: "mechanical", 12: "power", 13: "jam"}
Change = tuple[float, str, int]


@dataclass
class Wired:
    """One station's controller. `word`: packml, bits or none; `counter`: how its registers are reset; `each_unit`: own
    registers for every unit; `cycle`: a bit that rises when work begins; `level`: a count of the queue before it.
    """

    station: str
    base: int
    word: str
    counter: str
    misses: float
    lag: float
    cycle: bool = False
    level: bool = False
    reasons: bool = False
    each_unit: bool = False
    first: int = 0

    def count(self, product: str, unit: int) -> str:
        """Raw name of the parts register."""
        k = ("a", "b").index(product) + 2 * (unit if self.each_unit else 0)
        return f"holding/{self.base + 10 + k}:uint16"

    def state(self, unit: int) -> str:
        return f"holding/{self.base + unit}:uint16"

    def reason(self, unit: int) -> str:
        return f"holding/{self.base + 30 + unit}:uint16"

    @property
    def queue(self) -> str:
        return f"holding/{self.base + 40}:uint16"

    def bit(self, unit: int) -> str:
        return f"coil/{self.base + unit}"

    @property
    def reset(self) -> str:
        return f"coil/{self.base + 50}"


@dataclass
class Wiring:
    wired: dict[str, Wired]
    scan: float
    released: bool
    transport: str
    outages: list[tuple[float, float, str]]
    skew: float
    loss: float
    dirt: list[str] = field(default_factory=list)


def wire(plant: Plant) -> Wiring:
    """How a plant is wired. The last station always has a counter; nobody sells a line without one."""
    rng = np.random.default_rng([plant.seed, 0xF1E1D])
    names = [s.name for s in plant.stations]
    extra = rng.permutation(len(names) - 1)[: max(1, round(len(names) / 2) - 1 + int(rng.random() < 0.3))]
    chosen = sorted({*(names[int(k)] for k in extra), names[-1]})
    wired = {n: _wired(rng, plant, n, 100 * (k + 1)) for k, n in enumerate(chosen)}
    transport = "plain" if rng.random() < 0.4 else "gateway"
    shifts = [b for _, _, b in official_shifts(plant, 17)]
    outages = []
    for kind in ("gateway", "network", "gateway")[: int(rng.integers(1, 4))]:
        # every other outage lies over a change of shift, so that counters are reset unseen
        at = float(rng.choice(shifts)) - 600 if kind == "gateway" else float(rng.uniform(0.5, 16) * DAY)
        outages.append((at, at + float(rng.uniform(900, 7200)), kind))
    wiring = Wiring(
        wired, float(rng.choice([0.2, 0.5, 1.0])), bool(rng.random() < 0.4), transport, sorted(outages),
        float(rng.uniform(-20, 20)) if rng.random() < 0.4 else 0.0,
        float(rng.uniform(0.002, 0.02)) if transport == "plain" else 0.0,
    )  # fmt: skip
    wiring.dirt = _dirt(plant, wiring)
    return wiring


def _wired(rng: np.random.Generator, plant: Plant, name: str, base: int) -> Wired:
    station = next(s for s in plant.stations if s.name == name)
    last = name == plant.stations[-1].name
    word = str(rng.choice(["packml", "bits", "none"], p=[0.45, 0.35, 0.2]))
    return Wired(
        name, base, word, str(rng.choice(["never", "shift", "day", "told"])),
        float(rng.choice([0.0, 0.01, 0.02, 0.03], p=[0.5, 0.2, 0.2, 0.1])) if not last else 0.0,
        float(rng.choice([0.0, 1.0, 3.0])), bool(rng.random() < 0.35), bool(rng.random() < 0.35),
        word != "none" and bool(rng.random() < 0.6), station.units > 1 and bool(rng.random() < 0.6),
        int(rng.integers(60_000, 65_536)) if rng.random() < 0.6 else 0,
    )  # fmt: skip


def _dirt(plant: Plant, w: Wiring) -> list[str]:
    """What is dirty, in words."""
    found = [f"{len(w.wired)} of {len(plant.stations)} stations wired"]
    kinds = sorted({x.counter for x in w.wired.values()} - {"never"})
    found += [f"counters reset by {', '.join(kinds)}"] if kinds else []
    found += ["16-bit wraps"] if any(x.first for x in w.wired.values()) else []
    worst = max(x.misses for x in w.wired.values())
    found += [f"part sensor misses {100 * worst:.0f} %"] if worst else []
    found += ["late reason codes"] if any(x.reasons for x in w.wired.values()) else []
    lag = max(x.lag for x in w.wired.values())
    found += [f"states lag {lag:.0f} s"] if lag else []
    found += [f"plain MQTT loses {100 * w.loss:.1f} %"] if w.loss else []
    found += [f"clock off {w.skew:+.0f} s"] if w.skew else []
    found += [f"{len(w.outages)} outages"]
    found += ["hand moves"] if plant.carried else []
    found += ["power dips stop half"] if plant.dips else []
    found += ["blocks before service"] if plant.before_service else []
    found += ["slow start"] if plant.slow else []
    found += ["one operator for two"] if plant.hands else []
    found += ["one repair crew"] if plant.crew and any(s.crew for s in plant.stations) else []
    found += [plant.deviation] if plant.deviation != "as planned" else []
    return found


class Field:
    """The registers. `changes` are (seconds, raw name, value) in the order in which they happened."""

    def __init__(self, plant: Plant, wiring: Wiring) -> None:
        self.plant, self.wiring = plant, wiring
        self.rng = np.random.default_rng([plant.seed, 0xD197])
        self.registers: dict[str, int] = {}
        self.changes: list[Change] = []
        self.missed = 0
        self._resets: dict[str, list[float]] = {}
        turns = sorted({b for _, _, b in official_shifts(plant, 17)} | {a for _, a, _ in official_shifts(plant, 17)})
        for w in wiring.wired.values():
            days = [d * DAY + 6 * 3600 for d in range(-int(WARM // DAY), 18)]
            self._resets[w.station] = {"shift": turns, "told": turns, "day": days, "never": []}[w.counter].copy()
            station = next(s for s in plant.stations if s.name == w.station)
            self.registers |= {w.reset: 0} if w.counter == "told" else {}
            self.registers |= {w.bit(u): 0 for u in range(station.units)} if w.cycle else {}
            for product in plant.routes:
                for unit in range(station.units if w.each_unit else 1):
                    self.registers[w.count(product, unit)] = w.first
        if wiring.released:
            self.registers |= {f"holding/{900 + k}:uint16": 0 for k in range(len(plant.routes))}
        self.changes += [(-WARM, name, value) for name, value in self.registers.items()]

    def tell(self, t: float, station: str, unit: int, what: str, detail: Any) -> None:
        """What the floor calls."""
        if station == "release":
            if self.wiring.released:
                name = f"holding/{900 + ('a', 'b').index(detail)}:uint16"
                self._set(t, name, (self.registers[name] + 1) & 0xFFFF)
            return
        w = self.wiring.wired.get(station)
        if w is None:
            return
        self._reset(w, t)
        if what == "state" and w.word != "none":
            self._state(w, t, unit, detail)
        elif what == "end":
            if self.rng.random() < w.misses:
                self.missed += 1
                return
            name = w.count(detail, unit)
            self._set(t, name, (self.registers[name] + 1) & 0xFFFF)
        elif what == "start" and w.cycle:
            self._set(t, w.bit(unit), 1)
            self._set(t + 2.0, w.bit(unit), 0)
        elif what == "level" and w.level:
            self._set(t, w.queue, int(detail))

    def _state(self, w: Wired, t: float, unit: int, state: str) -> None:
        late = t + (float(self.rng.uniform(0, w.lag)) if w.lag else 0.0)
        if w.word == "packml":
            noise = int(self.rng.integers(8)) << 8  # a door, a recipe: other bits of the same word
            self._set(late, w.state(unit), PACKML[state] | noise)
        else:
            self._set(late, w.state(unit), BITS[state] | (128 if state != "off" else 0))
        if state == "down" and w.reasons:
            code = int(self.rng.choice([11, 12, 13]))
            typed = t + float(self.rng.uniform(30, 1500))
            self._set(typed, w.reason(unit), code)
            self._set(typed + 1800, w.reason(unit), 0)

    def _reset(self, w: Wired, t: float) -> None:
        """What the controller sets back at a change of shift or day, up to now."""
        due = self._resets[w.station]
        while due and due[0] <= t:
            at = due.pop(0)
            for name in [n for n in self.registers if n.startswith("holding/") and self._of(w, n)]:
                if w.counter == "told":
                    self._set(at - 1.0, w.reset, 1)
                    self._set(at + 20.0, w.reset, 0)
                self._set(at, name, 0)

    def _of(self, w: Wired, name: str) -> bool:
        return w.base + 10 <= int(name[len("holding/") : -len(":uint16")]) < w.base + 30

    def _set(self, t: float, name: str, value: int) -> None:
        self.registers[name] = value
        self.changes.append((t, name, value))

    def stream(self) -> list[Change]:
        """The changes in order, at the moments at which a scan would see them."""
        scan = self.wiring.scan
        seen = [((-(-t // scan)) * scan, n, name, value) for n, (t, name, value) in enumerate(self.changes)]
        return [(t, name, value) for t, _, name, value in sorted(seen)]
