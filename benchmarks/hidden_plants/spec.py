"""What a hidden plant really is: drawn from a seed, known to the model and to the one who writes down what went wrong.

Nothing here comes from the twin or from the plant file's reader. Times are seconds from the Monday on which listening
begins; the model has run for three days before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

DAY = 86_400.0
WEEK = 7 * DAY
WARM = 3 * DAY
"""Seconds the hidden plant runs before anybody listens."""
Window = tuple[float, float]
KINDS = ("serial", "branch", "rework", "parallel", "oven", "mix")
RELEASES = ("saturated", "push", "conwip", "demand")
DEVIATIONS = ("as planned", "long break", "saturday shift", "early stop", "late start")


@dataclass
class Station:
    """`work` mean seconds by product; `cv` of work; `mtbf`, `repair` seconds (0: never fails), `by_age` wears out."""

    name: str
    work: dict[str, float]
    cv: float = 0.2
    units: int = 1
    places: int = 8
    mtbf: float = 0.0
    repair: float = 0.0
    by_age: bool = False
    batch: int = 1
    setup: float = 0.0
    scrap: float = 0.0
    back: float = 0.0
    hands: bool = False
    crew: bool = False
    dips: bool = False


@dataclass
class Plant:
    """The truth of one plant. `routes` by product; `official` and `real` are shifts by name as weekly windows."""

    seed: int
    kind: str
    release: str
    stations: list[Station]
    routes: dict[str, list[str]]
    share: dict[str, float]
    gap: float
    cap: int
    shifts: list[tuple[str, float, float]]
    deviation: str
    before_service: bool
    crew: int
    hands: int
    dips: float
    slow: float
    carried: float
    windows: list[Window] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"hidden{self.seed:03d}"


def draw(seed: int) -> Plant:
    """The plant of a seed. The first six seeds have a kind each, and so on, so that no kind is missing."""
    rng = np.random.default_rng([seed, 0x4811])
    kind = KINDS[seed % len(KINDS)]
    takt = float(rng.uniform(110, 240))
    products = ["a", "b"] if kind in ("mix", "branch") else ["a"]
    stations = [_station(rng, f"s{k + 1}", takt, products) for k in range(int(rng.integers(4, 7)))]
    routes = {p: [s.name for s in stations] for p in products}
    _shape(rng, kind, stations, routes)
    release = RELEASES[int(rng.integers(len(RELEASES)))]
    share = {"a": 1.0} if len(products) == 1 else {"a": 0.6, "b": 0.4}
    gap = float(_slowest(stations, share, routes) / rng.uniform(0.8, 0.93))
    has_crew = bool(rng.random() < 0.5)
    for s in stations:
        s.crew = has_crew
    dips = float(rng.uniform(25, 60)) * 3600 if rng.random() < 0.35 else 0.0
    for s in stations[: len(stations) // 2]:
        s.dips = dips > 0
    hands = int(rng.random() < 0.3)
    for s in stations[1:3] if hands else []:
        s.hands = True
    plant = Plant(
        seed, kind, release, stations, routes, share, gap, int(rng.integers(2, 4)) * len(stations) + 4,
        _official(rng), DEVIATIONS[seed % 7 % len(DEVIATIONS)], bool(rng.random() < 0.3), 1, hands, dips,
        float(rng.uniform(0.15, 0.35)) if rng.random() < 0.35 else 0.0,
        float(rng.uniform(6, 14)) * 3600 if rng.random() < 0.4 else 0.0,
    )  # fmt: skip
    plant.windows = real_windows(plant)
    return plant


def _station(rng: np.random.Generator, name: str, takt: float, products: list[str]) -> Station:
    work = takt * float(rng.uniform(0.65, 1.0))
    fails = rng.random() < 0.75
    repair = float(rng.uniform(6, 30)) * 60
    return Station(
        name,
        {p: work * (1.0 if p == "a" else float(rng.uniform(0.8, 1.3))) for p in products},
        cv=float(rng.uniform(0.05, 0.4)),
        places=int(rng.integers(3, 13)),
        mtbf=repair * float(rng.uniform(7, 25)) if fails else 0.0,
        repair=repair if fails else 0.0,
        by_age=bool(rng.random() < 0.4),
    )


def _shape(rng: np.random.Generator, kind: str, stations: list[Station], routes: dict[str, list[str]]) -> None:
    """Change the serial line into what the kind says."""
    middle = stations[1 + int(rng.integers(len(stations) - 2))]
    if kind == "branch":
        routes["b"] = [s.name for s in stations if s is not middle]
    elif kind == "rework":
        stations[-1].back, stations[-1].scrap = float(rng.uniform(0.04, 0.1)), float(rng.uniform(0.005, 0.03))
        for s in stations[-2:]:
            s.work = {p: v * 0.85 for p, v in s.work.items()}
    elif kind == "parallel":
        middle.units = int(rng.integers(2, 4))
        middle.work = {p: v * middle.units for p, v in middle.work.items()}
    elif kind == "oven":
        middle.batch = int(rng.integers(3, 7))
        middle.work = {p: v * middle.batch * 0.8 for p, v in middle.work.items()}
        middle.places = max(middle.places, 2 * middle.batch)
    elif kind == "mix":
        middle.setup = float(rng.uniform(20, 60))


def _slowest(stations: list[Station], share: dict[str, float], routes: dict[str, list[str]]) -> float:
    """Seconds a part of the station that can do least."""
    found = []
    for s in stations:
        mean = sum(f * s.work[p] for p, f in share.items() if s.name in routes[p]) / (s.units * s.batch)
        mean += s.setup * 0.48 / s.units
        found.append(mean * (1 + (s.repair / s.mtbf if s.mtbf else 0.0)) / (1 - s.back))
    return max(found)


def _official(rng: np.random.Generator) -> list[tuple[str, float, float]]:
    """Two or three shifts of eight hours: name, beginning and end in seconds of the day."""
    names = [("early", 6.0, 14.0), ("late", 14.0, 22.0), ("night", 22.0, 30.0)]
    return [(n, a * 3600, b * 3600) for n, a, b in names[: 2 + int(rng.random() < 0.35)]]


def official_shifts(plant: Plant, days: int) -> list[tuple[str, float, float]]:
    """The shifts of the official plan on Monday to Friday: (kind, from, to), seconds; day 0 is the first Monday."""
    found = []
    for day in range(-int(WARM // DAY), days):
        if day % 7 < 5:
            found += [(n, day * DAY + a, day * DAY + b) for n, a, b in plant.shifts]
    return found


BREAK_S = 1800.0


def official_breaks(a: float) -> Window:
    """Each shift has half an hour off, four hours after it begins."""
    return a + 4 * 3600, a + 4 * 3600 + BREAK_S


def real_windows(plant: Plant, days: int = 24) -> list[Window]:
    """When people really work: the official windows, but for what this plant does otherwise. Merged, in order."""
    found: list[Window] = []
    for name, begin, close in official_shifts(plant, days):
        a, b, (rest, back) = begin, close, official_breaks(begin)
        day = int(a // DAY) % 7
        if plant.deviation == "long break":
            back += 1500
        elif plant.deviation == "early stop" and day == 4 and name == plant.shifts[-1][0]:
            b -= 3 * 3600
        elif plant.deviation == "late start" and name == "early":
            a += 2400
        found += [(a, rest), (back, b)] if b > back else [(a, min(b, rest))]
    if plant.deviation == "saturday shift":
        found += [(d * DAY + 6 * 3600, d * DAY + 12 * 3600) for d in range(-2, days) if d % 7 == 5]
    merged: list[Window] = []
    for a, b in sorted(found):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return merged
