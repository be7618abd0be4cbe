"""The scenarios of an experiment: named sets of overrides of one plant file, each checked by the ordinary reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.compile import CompileError, compile_plant
from sim.design import Run
from sim.factors import Factor, parse
from sim.override import OverrideError, written
from sim.ownrules import allow
from sim.plant import Plant
from sim.plantfile import PlantError, load, resolve
from sim.units import QuantityError, suggestion
from sim.yamlfile import Item, Problems, read_tree

BASE = "base"
"""The plant file as it is."""

Overrides = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name and what differs from the plant file."""

    name: str
    overrides: Overrides


@dataclass(frozen=True, slots=True)
class Plan:
    """`scenarios` in order; `runs` [n] are those of the design, `of_run` [n] the scenario of each run (two runs may be
    the same plant).
    """

    scenarios: tuple[Scenario, ...]
    runs: tuple[Run, ...]
    of_run: tuple[int, ...]

    def index(self, name: str) -> int:
        """The place of a scenario. Raises `PlantError` for an unknown name."""
        names = [s.name for s in self.scenarios]
        if name not in names:
            raise PlantError([f"baseline: expected the name of a scenario, found '{name}'; {suggestion(name, names)}"])
        return names.index(name)


def tree(plant: str | Path) -> Item:
    """The YAML tree of a plant file. Raises `PlantError`."""
    file = resolve(plant)
    problems = Problems(file.name)
    top = read_tree(file, problems)
    if top is None:
        raise PlantError(problems.lines())
    return top


def factors_of(plant: str | Path, settings: Mapping[str, str]) -> list[Factor]:
    """The factors that `settings` [path -> values] describe. Raises `PlantError` with all that is wrong."""
    top, found, problems = tree(plant), [], []
    for path, text in settings.items():
        try:
            found.append(parse(path, text, written(top, path)))
        except OverrideError as error:
            problems.append(f"{top.problems.file}:{error.line}: {error}")
        except QuantityError as error:
            problems.append(f"{path}: expected {error.expected}, found '{error.found}'; {error.todo}")
    if problems:
        raise PlantError(problems)
    return found


def plan(
    plant: str | Path,
    factors: Sequence[Factor],
    runs: Sequence[Run],
    named: Mapping[str, Mapping[str, str]],
    baseline: str,
    allow_code: bool = False,
) -> Plan:
    """The scenarios of a design's runs and of `named` ones; the file as it is comes first where it is the baseline.

    Scenarios that are the same plant are one. Raises `PlantError` with the problems of every scenario.
    """
    top = tree(plant)
    scenarios = [Scenario(BASE, ())] if baseline == BASE else []
    known: dict[Overrides, int] = {s.overrides: n for n, s in enumerate(scenarios)}
    of_run: list[int] = []

    def add(name: str, values: dict[str, str]) -> int:
        overrides = _differing(top, values)
        if overrides not in known:
            known[overrides] = len(scenarios)
            scenarios.append(Scenario(name if overrides else BASE, overrides))
        return known[overrides]

    short = short_names([f.path for f in factors])
    for run in runs:
        given = {f.path: v for f, v in zip(factors, run, strict=True) if v is not None}
        of_run.append(add(" ".join(f"{short[p]}={v}" for p, v in given.items()), given))
    for name, values in named.items():
        add(name, dict(values))
    check(plant, scenarios, allow_code)
    return Plan(tuple(scenarios), tuple(runs), tuple(of_run))


def check(plant: str | Path, scenarios: Sequence[Scenario], allow_code: bool = False) -> None:
    """Read and compile every scenario's plant. Raises `PlantError` with all that is wrong."""
    first: Plant | None = None
    problems: dict[str, None] = {}
    for scenario in scenarios:
        try:
            read = load(plant, dict(scenario.overrides))
            compile_plant(allow(read) if allow_code else read)
        except CompileError as error:
            problems[f"scenario {scenario.name}: {error}"] = None
            continue
        except PlantError as error:
            problems |= dict.fromkeys(f"scenario {scenario.name}: {p}" for p in error.problems)
            continue
        first = first or read
        for word, one, other in (("tick", first.tick_s, read.tick_s), ("time_unit", first.time_unit, read.time_unit)):
            if one != other:
                text = f"scenario {scenario.name}: {word}: expected {one} as in the others, found {other}"
                problems[f"{text}; scenarios of one experiment share their units"] = None
    if problems:
        raise PlantError(list(problems))


def _differing(top: Item, values: Mapping[str, str]) -> Overrides:
    """The overrides that say something else than the file; those the file has no such place for stay, to be refused."""
    kept = []
    for path, text in values.items():
        try:
            same = written(top, path) == text.strip()
        except OverrideError:
            same = False
        if not same:
            kept.append((path, text.strip()))
    return tuple(sorted(kept))


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Each path's last parts, as many as tell it from the others."""
    names = {}
    for path in paths:
        parts = path.split(".")
        tails = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [other for other in paths if other != path]
        names[path] = next((t for t in tails if not any(("." + o).endswith("." + t) for o in others)), path)
    return names
