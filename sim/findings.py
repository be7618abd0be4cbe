"""What an experiment found, as the stable JSON form of `plantwin experiment --json` and as columns for Parquet."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from sim.estimate import Batches, Values, interval, paired, simultaneous
from sim.experiment import units_of
from sim.results import Store
from sim.selection import Rule, kim_nelson
from sim.sensitivity import Responses, Table, main_effects, one_at_a_time
from sim.study import BLOCK, Found, Goal, Study, sampler
from sim.work import Executor


def report(study: Study, store: Store, workers: Executor, found: list[Found]) -> dict[str, Any]:
    """Everything that was found. Selection may compute further replications."""
    spec, tick_s = study.spec, study.compiled.plant.tick_s
    units = units_of(study.compiled)
    joined = {name: study.joined(store, name) for name in study.outputs}
    comparisons = max(1, (len(study.plan.scenarios) - 1) * len(study.outputs))
    level = simultaneous(spec.level, comparisons) if spec.simultaneous else spec.level
    return {
        "plant": study.compiled.plant.id, "plant_sha256": study.source.sha256, "engine": spec.engine,
        "seed": spec.seed, "method": spec.method, "replications": spec.replications, "design": spec.design,
        "until_s": study.units(study.baseline, 1)[0].until * tick_s, "warmup_s": study.forgotten * tick_s,
        "level": spec.level, "simultaneous": spec.simultaneous, "comparison_level": level,
        "baseline": study.plan.scenarios[study.baseline].name,
        "factors": {f.path: list(f.levels) for f in study.factors},
        "scenarios": _scenarios(study, {name: values for name, (values, _) in joined.items()}, level, units),
        "warmup": _warmup(study, found), "batches": _batches(study, {n: checks for n, (_, checks) in joined.items()}),
        "selection": _selection(study, store, workers, spec.goal) if spec.goal else None,
        "sensitivity": [_table(t) for t in tables(study, store)],
    }  # fmt: skip


def _scenarios(
    study: Study, joined: dict[str, list[Values]], level: float, units: dict[str, str]
) -> list[dict[str, Any]]:
    """Each scenario with its figures, and against the baseline where it is another."""
    result = []
    for i, scenario in enumerate(study.plan.scenarios):
        one: dict[str, Any] = {"name": scenario.name, "overrides": dict(scenario.overrides), "kpis": {}, "against": {}}
        for name, values in joined.items():
            unit = {"unit": units.get(name.rpartition(".")[2], "1")}
            one["kpis"][name] = asdict(interval(values[i], study.spec.level)) | unit
            if i != study.baseline:
                pair = paired(values[i], values[study.baseline], level)
                one["against"][name] = asdict(pair.difference) | unit | {
                    "correlation": pair.correlation, "variance_ratio": pair.variance_ratio,
                    "significant": pair.significant,
                }  # fmt: skip
        result.append(one)
    return result


def _warmup(study: Study, found: list[Found]) -> dict[str, Any]:
    tick_s = study.compiled.plant.tick_s
    decisive = max(found, key=lambda f: f.ticks) if found else None
    return {
        "asked": study.spec.warmup, "seconds": study.forgotten * tick_s,
        "enough": all(f.warmup.enough for f in found),
        "found": [
            {"scenario": f.scenario, "figure": f.figure, "seconds": f.ticks * tick_s, "enough": f.warmup.enough}
            for f in found
        ],
        "series": None if decisive is None else {
            "scenario": decisive.scenario, "figure": decisive.figure, "every_s": decisive.every * tick_s,
            "values": decisive.series.tolist(),
        },
    }  # fmt: skip


def _batches(study: Study, checks: dict[str, list[Batches]]) -> list[dict[str, Any]]:
    """Batch means: how many batches were joined and what correlation is left."""
    return [
        {
            "scenario": scenario.name, "figure": name, "size": b.size, "batches": len(b.values), "lag1": b.lag1,
            "p": b.p, "enough": b.enough,
        }
        for name, found in checks.items() for scenario, b in zip(study.plan.scenarios, found, strict=False)
    ]  # fmt: skip


def _selection(study: Study, store: Store, workers: Executor, goal: Goal) -> dict[str, Any]:
    spec = study.spec
    rule = Rule(goal.delta, spec.level, spec.replications, BLOCK, max(goal.most, spec.replications))
    choice = kim_nelson(len(study.plan.scenarios), rule, sampler(study, store, workers, goal))
    names = [s.name for s in study.plan.scenarios]
    return {
        "figure": goal.figure, "goal": "maximise" if goal.maximise else "minimise", "delta": goal.delta,
        "level": spec.level, "best": names[choice.best], "decided": choice.decided,
        "replications": dict(zip(names, choice.used, strict=True)),
        "rivals": [n for i, n in enumerate(names) if i != choice.best and i not in choice.left],
    }  # fmt: skip


def tables(study: Study, store: Store) -> list[Table]:
    """Sensitivity of every output, where the design tells something about it."""
    if not study.factors:
        return []
    from sim.override import written
    from sim.scenario import tree

    result = []
    top = tree(study.spec.plant)
    current = [written(top, f.path) for f in study.factors]
    for name in study.outputs:
        values, _ = study.joined(store, name)
        rows = np.stack([values[i] for i in study.plan.of_run])
        responses = Responses(name, study.factors, study.plan.runs, rows, study.spec.level)
        result.append(one_at_a_time(responses, current) if study.spec.design == "oat" else main_effects(responses))
    return result


def _table(table: Table) -> dict[str, Any]:
    return {
        "figure": table.figure, "r2": table.r2, "note": table.note,
        "effects": [asdict(effect) for effect in table.effects],
    }  # fmt: skip


def columns(study: Study, store: Store) -> dict[str, np.ndarray]:
    """Every figure of every replication (batch), one a row: scenario, overrides (JSON), seed, replica, batch, figure,
    value.
    """
    names: list[str] = []
    texts: list[str] = []
    labels: list[str] = []
    places: list[tuple[int, int]] = []
    values: list[float] = []
    for i, scenario in enumerate(study.plan.scenarios):
        wanted = study.spec.replications
        for unit in study.units(i, wanted):
            for figure, found in store.get(unit).items():
                for (r, b), value in np.ndenumerate(found):
                    if unit.first + r >= wanted:
                        continue
                    names.append(scenario.name)
                    texts.append(json.dumps(dict(scenario.overrides)))
                    labels.append(figure)
                    places.append((unit.first + int(r), int(b)))
                    values.append(float(value))
    return {
        "scenario": np.array(names, dtype=object), "overrides": np.array(texts, dtype=object),
        "seed": np.full(len(names), study.spec.seed, dtype=np.int64),
        "replica": np.array([r for r, _ in places], dtype=np.int64),
        "batch": np.array([b for _, b in places], dtype=np.int64),
        "figure": np.array(labels, dtype=object), "value": np.array(values, dtype=np.float64),
    }  # fmt: skip
