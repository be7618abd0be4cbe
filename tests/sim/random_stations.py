"""Random stations: queues, failure modes, condition, setups, batches, people and energy, as a design wishes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from sim.plant import FEATURES, UNLIMITED, Batch, Calendar, Condition, Dist, Mode, Pool, Station
from tests.sim.plant_design import BATCHES
from tests.sim.random_choices import LEADS, TIMES, UPTIMES, ZERO, Choices

LIVES = (((2, 1.0),), ((3, 0.5), (5, 0.5)), ((7, 1.0),))


class StationMaker:
    """Makes the stations of one plant."""

    def __init__(
        self, choices: Choices, crews: Sequence[str], pools: Sequence[Pool], calendars: Sequence[Calendar]
    ) -> None:
        self.choices = choices
        self.crews = crews
        self.pools = pools
        self.calendars = calendars

    def station(self, name: str, families: tuple[str, ...]) -> Station:
        """One station with about half of what is wished of stations."""
        c = self.choices
        condition = self._condition() if c.rather("condition", 0.7) else None
        pool = c.pick(*self.pools)
        people = c.pick(1, 2) if c.has("two operators") else 1
        hours = self._hours()
        return Station(
            id=name,
            units=c.pick(2, 3) if c.rather("parallel") else 1,
            modes=self._modes(condition is not None),
            calendar=None if hours is None else hours.id,
            buffer=f"before-{name}",
            capacity=self._capacity(),
            kanban=c.pick(2, 3, 5) if c.rather("kanban") else None,
            setups=self._setups(families) if c.rather("setups", 0.7) else (),
            batch=self._batch(),
            dispatch=tuple((f, c.pick(-2, -1, 1, 1, 3)) for f in FEATURES if c.rather(f"by {f}")),
            condition=condition,
            operators=(pool.id, people) if c.rather("operators", 0.7) else None,
            priority=c.pick(-1, 1, 2) if c.has("rank for operators") else 0,
            power=tuple(c.random.randint(0, 9) for _ in range(7)) if c.rather("power") else (),
            part_energy=c.pick(0.3, 2.5) if c.rather("part energy") else 0.0,
        )

    def _capacity(self) -> int:
        c = self.choices
        if c.rather("no queue", 0.4):
            return 0
        return c.pick(1, 2, 4) if c.rather("finite") or c.tight else UNLIMITED

    def _hours(self) -> Calendar | None:
        how = [word for word in ("freeze", "finish at close") if self.choices.rather(word)]
        right = [cal for cal in self.calendars if ("freeze" if cal.at_close == "freeze" else "finish at close") in how]
        return self.choices.pick(*right) if right else None

    def _setups(self, families: tuple[str, ...]) -> tuple[tuple[str, str, Dist], ...]:
        c = self.choices
        pairs = [(a, b) for a, b in product(families, families) if a != b and c.maybe(0.8)]
        pairs += [("", b) for b in families if c.has("first setup")]
        return tuple((a, b, c.time(LEADS[:2] + TIMES[:5])) for a, b in pairs)

    def _batch(self) -> Batch | None:
        c = self.choices
        by = [name for name in BATCHES if c.has(name)]
        if not by or c.has("before_service") or not c.maybe(0.6):
            return None
        least = c.pick(1, 2, 2, 3)
        wait = c.pick(0, 10, 25) if c.has("batch wait") else None
        return Batch(least, least + c.pick(0, 1, 3), wait, c.pick(*by).removeprefix("batch by "))

    def _condition(self) -> Condition:
        c = self.choices
        n = c.pick(1, 2, 3)
        fails = tuple(c.time(UPTIMES) if c.rather("level failures") else None for _ in range(n))
        slow = tuple(c.pick(1.0, 1.25, 1.7) if c.has("slow") else 1.0 for _ in range(n))
        scrap = tuple(c.pick(0.0, 0.1, 0.5) if c.has("worn scrap") else 0.0 for _ in range(n))
        return Condition(tuple(c.time(UPTIMES) for _ in range(n)), fails, slow, scrap)

    def _modes(self, worn: bool) -> tuple[Mode, ...]:
        c = self.choices
        kinds = [k for k in ("odf", "tdf", "parts", "planned odf", "planned tdf", "planned parts") if c.rather(k)]
        kinds += ["condition"] if worn else []
        kinds += ["at level"] if worn and c.has("at level") else []
        c.random.shuffle(kinds)
        names = ["failure" if kind == "odf" else kind.replace(" ", "-") for kind in kinds]
        return tuple(self._mode(kind, names, worn) for kind in kinds)

    def _mode(self, kind: str, names: list[str], worn: bool) -> Mode:
        c = self.choices
        name = "failure" if kind == "odf" else kind.replace(" ", "-")
        planned = kind.startswith("planned") or kind == "at level"
        clock = {"at level": "none"}.get(kind, kind.removeprefix("planned "))
        rest = [other for other in names if other != name]
        renews = c.random.sample(rest, c.random.randint(1, len(rest))) if rest and c.rather("renews") else []
        idle = c.rather("no repair time", 0.4) and kind != "planned tdf"
        parts = [word for word in ("resumes", "repeats", "scrapped") if c.has(word)]
        ways = [word == "finish" for word in ("finish", "preempt") if c.has(word)]
        if kind == "at level" and c.has("level at once"):
            ways = [False]
        return Mode(
            name,
            clock,
            ZERO if idle else c.time(TIMES),
            after=c.time(UPTIMES) if clock in ("odf", "tdf") else None,
            life=c.pick(*LIVES) if clock == "parts" else (),
            crew=c.pick(*self.crews) if c.rather("crew", 0.7) else None,
            part=c.pick(*parts) if parts else "resumes",
            priority=c.pick(-1, 1, 2) if c.has("ranks") else 0,
            planned=planned,
            finish=planned and (c.pick(*ways) if ways else True),
            renews=tuple(renews),
            restores=worn and (kind in ("condition", "at level") or c.rather("restores", 0.5)),
            at_level=c.pick(1, 2) if kind == "at level" else None,
        )
