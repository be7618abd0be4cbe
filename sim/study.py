"""An experiment as asked for: one plant file, its scenarios, how to sample them, and what to say about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sim.compile import Compiled
from sim.design import runs_of
from sim.engine import engine_of, new_rows
from sim.estimate import Batches, Values, WarmUp, batch_means, mser5
from sim.experiment import Run, usual_end
from sim.factors import Factor
from sim.ownrules import allow
from sim.results import Store
from sim.scenario import BASE, Plan, factors_of, plan
from sim.units import suggestion
from sim.work import Executor, Source, Unit, WorkError, compiled_of, figures

BLOCK = 10
"""Replications of a unit of work: part of the unit's key, so it never follows from the machine."""
PILOTS = 12
"""Scenarios whose warm-up is looked for; of more, so many evenly spread ones."""
LOOKS = 300
"""Observations of a warm-up's series: sixty batches of five."""
WEEK_S = 7 * 86_400
METHODS = ("replications", "batch")


class StudyError(ValueError):
    """The experiment cannot be made as asked; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Which figure the best scenario has most (or least) of, the difference worth detecting, replications at most."""

    figure: str
    maximise: bool
    delta: float
    most: int = 1000


@dataclass(frozen=True)
class Spec:
    """What was asked for. Texts are as written: `until` and `warmup` durations (`warmup` may be `auto`).

    `engine` "" is the plant's own; `allow_code`: may rules of the plant's own run?
    """

    plant: str
    settings: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    design: str = "factorial"
    points: int = 20
    outputs: tuple[str, ...] = ()
    until: str | None = None
    warmup: str = "0 s"
    replications: int = 20
    seed: int = 7
    engine: str = ""
    allow_code: bool = False
    baseline: str = BASE
    level: float = 0.95
    simultaneous: bool = False
    method: str = "replications"
    batches: int = 64
    goal: Goal | None = None

    def __post_init__(self) -> None:
        least = {"replications": (self.replications, 2), "batches": (self.batches, 20), "points": (self.points, 2)}
        for name, (found, low) in least.items():
            if found < low:
                raise StudyError(f"{name}: expected at least {low}, found {found}; give more")
        if not 0 < self.level < 1:
            raise StudyError(f"level: expected a confidence between 0 and 1, found {self.level}; write 0.95")
        for name, known, found_word in (
            ("method", METHODS, self.method),
            ("engine", ("kernel", "simpy"), self.engine or "kernel"),
        ):
            if found_word not in known:
                raise StudyError(f"{name}: expected {' or '.join(known)}, found '{found_word}'; choose one of them")
        if self.goal and self.method == "batch":
            raise StudyError("selection: expected method replications, found batch; leave '--method' out")
        if self.goal and not self.goal.delta > 0:
            raise StudyError(
                f"delta: expected a difference above 0, found {self.goal.delta}; give the least worth acting on"
            )


@dataclass(frozen=True, slots=True)
class Found:
    """The warm-up of one figure of one scenario: MSER-5's finding on `series` [looks], a look every `every` ticks."""

    scenario: str
    figure: str
    every: int
    series: Values
    warmup: WarmUp

    @property
    def ticks(self) -> int:
        """What to forget: the cut, or the longest one that could be, where the run is too short to tell."""
        return self.every * (self.warmup.cut if self.warmup.enough else self.warmup.n // 2)


class Study:
    """A spec made ready: every scenario read, the end and the outputs known. Raises `PlantError`, `StudyError`."""

    def __init__(self, spec: Spec, ticks: Callable[[Compiled, str, str], int]) -> None:
        from sim.plantfile import load, resolve

        self.spec = spec
        file = resolve(spec.plant)
        read = load(file)
        self.source = Source.of(file, (allow(read) if spec.allow_code else read).rules)
        _one_set_of_rules(spec)
        self.factors: list[Factor] = factors_of(spec.plant, spec.settings)
        runs = runs_of(spec.design, self.factors, spec.points, spec.seed)
        self.plan: Plan = plan(spec.plant, self.factors, runs, spec.named, spec.baseline, spec.allow_code)
        self.baseline = self.plan.index(spec.baseline)
        self.compiled = compiled_of(self.source, self.plan.scenarios[self.baseline].overrides)
        try:
            self.spec = spec = replace(spec, engine=engine_of(self.compiled, spec.engine))
        except ValueError as error:
            raise StudyError(str(error)) from error
        self.forgotten = 0 if spec.warmup == "auto" else ticks(self.compiled, spec.warmup, "--warmup")
        day = ticks(self.compiled, "1 d", "--until")
        self.until = self._usual(day) if spec.until is None else ticks(self.compiled, spec.until, "--until")
        if not 0 <= self.forgotten < self.until:
            raise StudyError(f"warm-up {spec.warmup}: expected one that ends before the run does ({spec.until})")
        self.outputs = spec.outputs or tuple(n for n in self.known if "." not in n)
        for name in (*self.outputs, *([spec.goal.figure] if spec.goal else [])):
            if name not in self.known:
                raise StudyError(
                    f"output: expected a figure of this plant, found '{name}'; {suggestion(name, self.known)}"
                )

    def _usual(self, day: int) -> int:
        """As `plantwin simulate` chooses it, the event budget shared by the scenarios."""
        many = self.spec.replications * len(self.plan.scenarios)
        run = Run(day, replications=many, seed=self.spec.seed, engine=self.spec.engine)
        return self.forgotten + usual_end(self.compiled, run, day)

    @cached_property
    def known(self) -> list[str]:
        """Names of all figures of the plant."""
        return list(figures(new_rows(self.compiled, 0, 1), self.compiled))

    def units(self, scenario: int, replications: int) -> list[Unit]:
        """The blocks that hold the scenario's replications 0 .. `replications` - 1 (batch method: its one long run)."""
        spec = self.spec
        overrides = self.plan.scenarios[scenario].overrides
        if spec.method == "batch":
            until, looks = self.batched()
            return [Unit(self.source, overrides, spec.seed, 0, 1, self.forgotten, until, spec.engine, looks)]
        return [
            Unit(self.source, overrides, spec.seed, first, BLOCK, self.forgotten, self.until, spec.engine)
            for first in range(0, replications, BLOCK)
        ]

    def batched(self) -> tuple[int, int]:
        """(end, number of batches) of the long run; a batch is a whole week where the plant has opening hours."""
        if not self.compiled.plant.calendars:
            return self.until, self.spec.batches
        week = self.compiled.ticks(WEEK_S)
        weeks = (self.until - self.forgotten) // week
        if weeks < 10:
            raise StudyError(
                f"method batch: expected at least ten weeks after the warm-up for a plant with opening hours, found "
                f"{weeks}; give a longer '--until' or use replications"
            )
        return self.forgotten + weeks * week, weeks

    def values(self, store: Store, scenario: int, figure: str, replications: int | None = None) -> Values:
        """A figure's values [n] of a scenario: one a replication, or one a batch before any are joined."""
        wanted = self.spec.replications if replications is None else replications
        parts = [store.get(unit)[figure] for unit in self.units(scenario, wanted)]
        return parts[0][0] if self.spec.method == "batch" else np.concatenate([p[:, 0] for p in parts])[:wanted]

    # --- warm-up ---------------------------------------------------------------------------------------------------

    def pilots(self) -> list[int]:
        """The scenarios in which the warm-up is looked for."""
        count = len(self.plan.scenarios)
        return sorted({round(i * (count - 1) / max(1, PILOTS - 1)) for i in range(PILOTS)}) if count else []

    def pilot_units(self) -> list[Unit]:
        """A block of replications of each pilot, looked at in equal spans; a batch of five spans is a whole week where
        the plant has opening hours, so that the week's rhythm is no transient.
        """
        every = max(1, self.until // LOOKS)
        if self.compiled.plant.calendars:
            every = self.compiled.ticks(WEEK_S) // 5
        looks = self.until // every // 5 * 5
        if looks < 20:
            raise StudyError(
                f"warm-up auto: expected a run of at least four weeks for a plant with opening hours, found "
                f"{self.until * self.compiled.plant.tick_s / 86_400:g} d; give a longer '--until' or the warm-up itself"
            )
        scenarios = self.plan.scenarios
        return [
            Unit(
                self.source, scenarios[i].overrides, self.spec.seed, 0, BLOCK, 0, every * looks, self.spec.engine, looks
            )
            for i in self.pilots()
        ]

    def detect(self, store: Store) -> list[Found]:
        """MSER-5 on the series of every output, averaged over the replications of each pilot. Sets `forgotten` to the
        longest. A figure that has no meaning in some span has no say.
        """
        found = []
        for i, unit in zip(self.pilots(), self.pilot_units(), strict=True):
            every = unit.until // unit.looks
            for name in self.outputs:
                series = store.get(unit)[name].mean(axis=0)
                if not np.isnan(series).any():
                    found.append(Found(self.plan.scenarios[i].name, name, every, series, mser5(series)))
        if not found:
            raise StudyError(
                "warm-up auto: expected an output with a value in every span of time, found none; "
                "add '--output wip', or give the warm-up itself"
            )
        self.forgotten = max(f.ticks for f in found)
        return found

    # --- batch means -----------------------------------------------------------------------------------------------

    def joined(self, store: Store, figure: str) -> tuple[list[Values], list[Batches]]:
        """The values of every scenario for the analysis: replications as they are; batches joined to the largest size
        that any scenario needs, so that they pair.
        """
        raw = [self.values(store, i, figure) for i in range(len(self.plan.scenarios))]
        if self.spec.method == "replications":
            return raw, []
        checks = [batch_means(values) for values in raw]
        size = max(b.size for b in checks)
        return [_join(values, size) for values in raw], checks

    def run(self, store: Store, workers: Executor, progress: Callable[[int, int], None]) -> list[Found]:
        """Compute the pilots (warm-up auto) and the replications of all scenarios; `progress` is told done, total."""
        found: list[Found] = []
        if self.spec.warmup == "auto":
            _all(store, workers, self.pilot_units(), progress)
            found = self.detect(store)
        units = [u for i in range(len(self.plan.scenarios)) for u in self.units(i, self.spec.replications)]
        _all(store, workers, units, progress)
        return found


def _all(store: Store, workers: Executor, units: list[Unit], progress: Callable[[int, int], None]) -> None:
    for n, _ in enumerate(store.fill(units, workers), 1):
        progress(n, len(units))


def _join(values: Values, size: int) -> Values:
    while size > 1:
        values = values[len(values) % 2 :].reshape(-1, 2).mean(axis=1)
        size //= 2
    return values


def sampler(study: Study, store: Store, workers: Executor, goal: Goal) -> Callable[[list[int], int], Values]:
    """Outputs for `selection.kim_nelson`, more units of work as it asks for them; where less is better, the sign is
    turned.
    """
    sign = 1.0 if goal.maximise else -1.0

    def sample(who: list[int], n: int) -> Values:
        for _ in store.fill([unit for i in who for unit in study.units(i, n)], workers):
            pass
        values = np.stack([study.values(store, i, goal.figure, n) for i in who])
        if np.isnan(values).any():
            raise WorkError(f"selection: {goal.figure} has no meaning in some replication; give a longer '--until'")
        return sign * values

    return sample


def _one_set_of_rules(spec: Spec) -> None:
    """All scenarios run the rules of the file, whose text goes with the work and counts in its key."""
    for path in (*spec.settings, *(p for values in spec.named.values() for p in values)):
        if path.split(".")[0] == "engine":
            raise StudyError(
                f"{path}: expected the same rules in all scenarios, found them as a factor; "
                "make an experiment of each set of rules, with the same seed"
            )
