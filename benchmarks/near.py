"""How near training comes to an exact optimum, and how long it takes to 1 % above it (row 12).

`plantwin bench near [--json] [--plant make_to_stock] [--cap 600]`. Three trainings, one after the other, one thread
each, of the same environment (decisions at events, switches): `plantwin train`; stock SB3's PPO with its defaults on
one environment; stock SB3's PPO with the settings that are known to work on such a plant, on 2,048 lanes. Each is
stopped at `--cap` seconds, or where its policy costs at most 1 % more than the optimum. What a policy costs is the
exact cost of its table; the time that takes does not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from agents.bundles.policy import Network
from agents.envs.env import PlantEnv, PlantVectorEnv, compiled_plant
from agents.envs.grid import Grid, as_switches
from agents.envs.schema import Observer
from agents.exact.optimum import optimum, policy_cost
from agents.exact.table import table_of
from agents.rules.rule import Rule
from agents.training.goal import Goal
from agents.training.lanes import Lanes
from agents.training.learning import Config, Untold, longest_s, measure
from agents.training.train import Job, Run, learned, prepare_torch
from agents.training.watch import extract
from benchmarks import _record
from benchmarks._record import Figure
from sim.compile import compile_plant
from sim.settings import settings

NEAR = 0.01
"""Share above the optimum that counts as reached."""
EVERY_S = 10.0
"""Least time between two looks at a policy."""
TUNED: dict[str, Any] = {"n_steps": 64, "batch_size": 16_384, "n_epochs": 4, "gamma": 0.998, "gae_lambda": 0.97}
LANES, RATE = 2048, 2.0e-3
LIBRARIES = ("numba", "numpy", "stable-baselines3", "torch")


class Reached(Exception):  # noqa: N818 - it is no error
    """The policy is near enough, or the time is over."""


@dataclass
class Look:
    """The exact cost of policies over the time of a training; raises `Reached`."""

    plant: str
    cap_s: float
    curve: list[tuple[float, float]] = field(default_factory=list)
    began: float = 0.0
    away: float = 0.0
    last: float = 0.0

    def __post_init__(self) -> None:
        self.full = compiled_plant(self.plant)
        self.compiled = compile_plant(as_switches(self.full.plant))
        self.decide = Config().decides(self.compiled)
        self.least = optimum(self.full.plant).cost
        self.settings: dict[str, Any] = {"decide": self.decide, "epoch_s": longest_s(self.compiled, Config())}
        self.kinds = PlantVectorEnv(1, self.compiled, **self.settings).pace.kinds

    def start(self) -> None:
        self.began = time.monotonic()
        self.away = self.last = 0.0

    def at(self, network: Callable[[], Network | None]) -> None:
        """Look at a policy, where it is time to."""
        now = time.monotonic()
        used = now - self.began - self.away
        if used - self.last < EVERY_S and used < self.cap_s:
            return
        found = network()
        if found is None:
            return
        self.last = used
        who = Untold(found, Observer(self.compiled), Grid(self.compiled.plant), self.kinds)
        cost = policy_cost(self.full.plant, table_of(who, self.full).policy)[0]
        self.curve.append((round(used, 1), cost / self.least - 1.0))
        self.away += time.monotonic() - now
        if self.curve[-1][1] <= NEAR or used >= self.cap_s:
            raise Reached

    def run(self, task: Callable[[], object]) -> dict[str, Any]:
        """A training under the clock: seconds to `NEAR` (None: not reached), the least gap seen, the curve."""
        self.start()
        try:
            task()
        except Reached:
            pass
        gaps = [gap for _, gap in self.curve]
        near = next((s for s, gap in self.curve if gap <= NEAR), None)
        return {"seconds": near, "least_gap": min(gaps, default=None), "curve": self.curve}


@dataclass
class _Probe:
    """Stands where a monitor would, to see the run."""

    run: Run | None = None

    def begin(self, run: Run, _: object) -> None:
        self.run = run


def ours(look: Look, rule: Rule) -> None:
    """`plantwin train` with its defaults."""
    probe: Any = _Probe()

    def policy() -> Network | None:
        run = probe.run
        if run is None or run.improver is None or run.improver.moments_told == 0:
            return None if run is None else run.watch.best
        found: Network = run.improver.network
        return found

    with tempfile.TemporaryDirectory() as folder:
        job = Job(look.full, rule, Path(folder), look.cap_s, device="cpu", keep_s=float("inf"), monitor=probe)
        prepare_torch(job)
        learned(job, 0, Goal(), lambda _: look.at(policy))


class _At(BaseCallback):
    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def _on_step(self) -> bool:
        if self.n_calls % 256 == 0 or self.training_env.num_envs > 1:
            self.look.at(lambda: extract(self.model, Grid(self.look.compiled.plant)))
        return True


def defaults(look: Look) -> None:
    """Stock PPO as it comes, on one environment."""
    model = PPO("MlpPolicy", PlantEnv(look.compiled, **look.settings), device="cpu", seed=0)
    model.learn(10**12, _At(look), log_interval=10**9)


def tuned(look: Look, rule: Rule) -> None:
    """Stock PPO with settings that work."""
    env = PlantVectorEnv(LANES, look.compiled, copy=False, stagger=True, reward_unit=1.0, **look.settings)
    scales = measure(env, rule, Config())
    lanes = Lanes(env, scales.centre, scales.scale)

    def rate(_: float) -> float:
        return RATE * max(1.0 - (time.monotonic() - look.began - look.away) / look.cap_s, 0.0)

    model = PPO("MlpPolicy", lanes, learning_rate=rate, device="cpu", seed=0, **TUNED)
    model.learn(10**12, _At(look), log_interval=10**9)


def figures(found: dict[str, dict[str, Any]], cap: float, plant: str) -> list[Figure]:
    """Row 12 against both peers; a peer that did not get there took at least the cap."""
    mine = found["plantwin train"]["seconds"]
    rows = []
    for name, target in (("stock SB3, its defaults", ">= 10x"), ("stock SB3, tuned", ">= 1.2x")):
        peer = found[name]
        other = peer["seconds"]
        how = "" if other is not None else f", which after {cap:g} s was {100 * peer['least_gap']:.1f} % above at best"
        ratio = None if mine is None else (other or cap) / mine
        spread = None if ratio is None else (ratio, ratio)
        least = "" if other is not None else " (at least)"
        what = f"time to 1 % above the optimum of {plant}{least}"
        rows.append(Figure(12, what, name + how, ratio, target, 1, spread))
    return rows


def main(argv: list[str]) -> int:
    """Measure, keep, show."""
    parser = argparse.ArgumentParser(prog="plantwin bench near", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plant", default="make_to_stock")
    parser.add_argument("--cap", type=float, default=600.0, help="seconds each training may take")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    present = settings(compiled_plant(options.plant).plant)
    rule = Rule({c.id: present[c.sets] for c in compiled_plant(options.plant).plant.controls})
    found = {}
    for name, task in (
        ("plantwin train", lambda look: ours(look, rule)),
        ("stock SB3, tuned", lambda look: tuned(look, rule)),
        ("stock SB3, its defaults", defaults),
    ):
        look = Look(options.plant, options.cap)
        found[name] = look.run(lambda task=task, look=look: task(look))  # type: ignore[misc]
    rows = figures(found, options.cap, options.plant)
    where = _record.keep("near", rows, _record.versions(*LIBRARIES), {"cap_s": options.cap, "trainings": found})
    print(json.dumps(found) if options.json else _record.show(rows) + f"\nkept in {where}")
    return 0
