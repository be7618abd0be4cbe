"""`jobshop10`, ten machines and orders with dates that keep coming: rules, learnt weights and a trained policy.

Weights are the same at every machine and are learned by CMA-ES from slack alone, every generation on fresh luck. The
policy is PPO's (`agents.training.train`), which sets the weight of work at each machine every hour, by what waits
everywhere; it starts from those weights. All are judged on the same random numbers, which none of them was learned on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._evolution import Evolution, least
from benchmarks._jobshop import LARGEST, Floats, Values, whole
from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import FEATURES, Plant
from sim.plantfile import load
from sim.value import operating_cost

USED = ("work", "work_left", "slack", "ratio", "waited")
SCALE = np.array([10.0, 1.0, 1.0, 3.0, 1.0])
"""What a step of one in the search is worth, so that the features weigh about alike."""
RULES = {"FIFO": {}, "SPT": {"work": 1}, "critical ratio": {"ratio": 1}, "least slack": {"slack": 1}}
LEARN, HELD = 31, 47
"""Seeds of the luck that is learned from, and of that all are judged on."""
STEP = 50
"""Between two weights of work that the policy may set."""
PARTS = 1000
"""Places for orders; ten thousand would only make the rows long."""


@dataclass(frozen=True)
class Effort:
    """`generations` of `population` weight vectors, each on `replicas` of `hours` after the warm-up; `held` replicas of
    `held_hours` judge; PPO trains for `train_s` seconds of wall time (0: not at all), or for so many `decisions`.
    """

    generations: int = 30
    population: int = 12
    replicas: int = 8
    hours: int = 600
    held: int = 64
    held_hours: int = 2000
    warm_up: int = 200
    train_s: float = 0.0
    decisions: int | None = None


def shop() -> Compiled:
    """The bundled plant with fewer places."""
    return compile_plant(replace(load("jobshop10"), unlimited=PARTS))


def full(weights: dict[str, int]) -> Values:
    """Weights [F] of all features."""
    return np.array([weights.get(name, 0) for name in FEATURES], dtype=np.int64)


def costs(compiled: Compiled, weights: Values, replicas: int, hours: tuple[int, int], luck: tuple[int, int]) -> Floats:
    """Operating cost an hour [K, replicas] of weights [K, F] at all machines; `hours`: warm-up and length; `luck`: seed
    and first replica.
    """
    count, hour = len(weights), compiled.ticks(3600.0)
    each = np.repeat(np.repeat(weights, replicas, axis=0)[:, None, :], len(compiled.plant.stations), axis=1)
    blocks = []
    for k in range(count):
        part = each[k * replicas : (k + 1) * replicas]
        rows = kernel.new_rows(compiled, luck[0], replicas, luck[1], scales={"weights": part})
        kernel.run(rows, compiled, hours[0] * hour)
        before = rows.copy()
        kernel.run(rows, compiled, sum(hours) * hour)
        blocks.append(operating_cost(before, rows, compiled) / hours[1])
    return np.array(blocks)


def learnt(compiled: Compiled, effort: Effort) -> dict[str, int]:
    """The weights found."""
    drawn = 0

    def price(points: Floats) -> Floats:
        nonlocal drawn
        drawn += effort.replicas
        weights = np.array([full(_named(point)) for point in points])
        found = costs(compiled, weights, effort.replicas, (effort.warm_up, effort.hours), (LEARN, drawn))
        return np.asarray(found.mean(axis=1))

    start = np.array([1.0 if name == "slack" else 0.0 for name in USED])
    search = Evolution(start, 0.3, effort.population, 0)
    least(price, search, effort.generations)
    return _named(search.mean)  # luck changes by generation, so the best cost of one of them is mostly luck


def _named(point: Floats) -> dict[str, int]:
    return dict(zip(USED, whole(point * SCALE).tolist(), strict=True))


def halved(weights: dict[str, int]) -> dict[str, int]:
    """About the same rule with room in the range of weights to move up."""
    return {name: round(value / 2) for name, value in weights.items()}


def _steered(plant: Plant, weights: dict[str, int]) -> Plant:
    """With these weights at every machine and a control of that of work, from nought to the largest there may be."""
    kept = [c for c in plant.controls if c.sets.endswith(".work")]
    stations = tuple(replace(s, dispatch=tuple(weights.items())) for s in plant.stations)
    return replace(plant, stations=stations, controls=tuple(replace(c, high=LARGEST, step=STEP) for c in kept))


def policy_costs(
    compiled: Compiled, weights: dict[str, int], effort: Effort, show: Callable[[str], None]
) -> tuple[Floats, int]:
    """(operating cost an hour [held] of a policy trained here from these weights, on the same luck as the others; the
    decisions it took to train it).
    """
    from agents.control.controllers import controller
    from agents.control.rollout import Operation, default_epoch
    from agents.rules.rule import Rule
    from agents.training.learning import Config
    from agents.training.train import Job, train

    compiled = compile_plant(_steered(compiled.plant, weights))
    rule = Rule({c.id: round(weights["work"] / STEP) * STEP for c in compiled.plant.controls})
    hour = compiled.ticks(3600.0)
    with tempfile.TemporaryDirectory() as folder:
        config = Config(lanes=512, minibatch=4096, rate=1e-3)
        job = Job(compiled, rule, Path(folder), effort.train_s, effort.decisions, "cpu", pairs=16, config=config)
        steps = 0

        def told(seed: int, progress: Any) -> None:
            nonlocal steps
            del seed
            steps = progress.steps
            if progress.done >= 1.0:
                show(f"{steps} decisions, best checkpoint {progress.best:.3f}, start {progress.rule:.3f}")

        train(job, 1, told)
        who = controller(folder, compiled)
        rows = kernel.new_rows(compiled, HELD, effort.held)
        operation = Operation(compiled, who, default_epoch(compiled))
        operation.run(rows, effort.warm_up * hour)
        before = rows.copy()
        operation.run(rows, (effort.warm_up + effort.held_hours) * hour)
    return operating_cost(before, rows, compiled) / effort.held_hours, steps


def measure(effort: Effort, show: Callable[[str], None]) -> dict[str, Any]:
    """Costs by rule with their standard errors, and paired differences to the learnt weights."""
    compiled = shop()
    weights = learnt(compiled, effort)
    show(f"jobshop10: {weights}")
    rules = {**RULES, "learnt": weights, "start": halved(weights)}
    every = costs(
        compiled,
        np.array([full(r) for r in rules.values()]),
        effort.held,
        (effort.warm_up, effort.held_hours),
        (HELD, 0),
    )
    found, steps = dict(zip(rules, every, strict=True)), 0
    if effort.train_s:
        found["policy"], steps = policy_costs(compiled, halved(weights), effort, show)
    told: dict[str, Any] = {}
    for name, each in found.items():
        away = each - found["learnt"]
        told[name] = {
            "cost": round(float(each.mean()), 4),
            "against_learnt": round(float(away.mean()), 4),
            "standard_error": round(float(away.std(ddof=1) / np.sqrt(len(away))), 4),
        }
    show(f"jobshop10: {told}")
    return {"effort": vars(effort).copy(), "weights": weights, "costs": told, "decisions": steps}
