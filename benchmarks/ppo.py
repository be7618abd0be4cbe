"""What learning costs: stock PPO through our adapter, PPO with a resident buffer, and both beside a CUDA device.

`plantwin bench ppo [--json] [--pairs N] [--plant PLANT] [--device cpu|cuda] [--lanes N]`. A measurement is one rollout
and one update after another of each side in turn. On the CPU: CPU time, one thread (rows 9 and 10). On a CUDA device:
wall time between two waits for it, stock PPO with its network there and the simulation on one or on all cores (row 11).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from stable_baselines3 import PPO

from agents.envs.env import PlantVectorEnv
from agents.training.lanes import Lanes
from agents.training.resident import ResidentPPO
from benchmarks import _record
from benchmarks._plain_ppo import PlainPPO
from benchmarks._record import Figure

SETTINGS: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": 16_384,
    "n_epochs": 4,
    "gamma": 0.998,
    "gae_lambda": 0.97,
    "learning_rate": 3e-4,
}
GRAPHS = True
"""Does the resident PPO replay its minibatches as a CUDA graph on a device?"""
LIBRARIES = ("numba", "numba-cuda", "numpy", "gymnasium", "stable-baselines3", "torch")
Seconds = tuple[float, float]
"""Of a rollout, and of an update."""


@dataclass(frozen=True)
class Bench:
    """What is measured: plant, lanes, where the network is, and the clock."""

    plant: str
    lanes: int
    device: str

    def clock(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def host(self, threads: int = 1) -> PlantVectorEnv:
        return PlantVectorEnv(self.lanes, self.plant, copy=False, stagger=True, threads=threads)

    def steps(self, rollout: Callable[[], object], update: Callable[[], object]) -> Seconds:
        a = self.clock()
        rollout()
        b = self.clock()
        update()
        return b - a, self.clock() - b


def of_sb3(bench: Bench, kind: Callable[..., PPO], env: Any) -> Callable[[], Seconds]:
    """One rollout and one update of a PPO of SB3's kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SB3 advises against a CUDA device for a small network
        model = kind("MlpPolicy", env, device=bench.device, seed=0, policy_kwargs={"net_arch": [64, 64]}, **SETTINGS)
    _, callback = model._setup_learn(10**9)
    buffer = model.rollout_buffer

    def turn() -> Seconds:
        return bench.steps(
            lambda: model.collect_rollouts(model.env, callback, buffer, SETTINGS["n_steps"]),  # type: ignore[arg-type]
            model.train,
        )

    return turn


def of_plain(bench: Bench) -> Callable[[], Seconds]:
    """The same by hand."""
    env = bench.host()
    plain = PlainPPO(env, bench.device, SETTINGS, env.reward_unit)
    return lambda: bench.steps(plain.rollout, plain.update)


def lanes_of(env: PlantVectorEnv) -> Lanes:
    return Lanes(env, 0.0, env.reward_unit)


def in_turn(sides: dict[str, Callable[[], Seconds]], pairs: int) -> dict[str, list[Seconds]]:
    """Every side once to warm up, then in turn."""
    for side in sides.values():
        side()
    found: dict[str, list[Seconds]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, side in sides.items():
            found[name].append(side())
    return found


def ratio(found: dict[str, list[Seconds]], ours: str, peer: str, what: str) -> tuple[float, tuple[float, float]]:
    """How many times as fast as the peer we are: the whole, or the rollouts alone."""

    def pick(times: Seconds) -> float:
        return sum(times) if what == "whole" else times[0]

    return _record.ratios([pick(t) for t in found[peer]], [pick(t) for t in found[ours]])


def on_cpu(bench: Bench, pairs: int) -> tuple[list[Figure], dict[str, Any]]:
    """Rows 9 (1,024 lanes) and 10 (`bench.lanes`)."""
    torch.set_num_threads(1)
    small = Bench(bench.plant, 1024, "cpu")
    nine = in_turn({"stock": of_sb3(small, PPO, lanes_of(small.host())), "plain": of_plain(small)}, pairs)
    ten = in_turn(
        {
            "stock": of_sb3(bench, PPO, lanes_of(bench.host())),
            "resident": of_sb3(bench, ResidentPPO, lanes_of(bench.host())),
        },
        pairs,
    )
    where = f"{bench.plant}, {bench.lanes:,} lanes"
    whole, rolled = (ratio(ten, "resident", "stock", what) for what in ("whole", "rollouts"))
    stock = ratio(nine, "stock", "plain", "whole")
    name = f"stock SB3 PPO through our adapter, {small.plant}, {small.lanes:,} lanes"
    figures = [
        Figure(9, name, "PPO written by hand", stock[0], ">= 0.90x", pairs, stock[1]),
        Figure(10, f"resident PPO, {where}: whole", "stock SB3", whole[0], ">= 1.1x", pairs, whole[1]),
        Figure(10, f"resident PPO, {where}: rollouts", "stock SB3", rolled[0], ">= 1.5x", pairs, rolled[1]),
    ]
    return figures, {"row 9": nine, "row 10": ten}


def on_device(bench: Bench, pairs: int) -> tuple[list[Figure], dict[str, Any]]:
    """Row 11: everything on the device, against stock SB3 there with the simulation on the host."""
    from agents.envs.device import PlantDeviceEnv
    from agents.training.device_lanes import DeviceLanes

    cores = os.cpu_count() or 1
    device = PlantDeviceEnv(bench.lanes, bench.plant, stagger=True)
    sides = {
        "resident": of_sb3(bench, partial(ResidentPPO, graphs=GRAPHS), DeviceLanes(device, 0.0, device.reward_unit)),
        "stock": of_sb3(bench, PPO, lanes_of(bench.host())),
        f"stock, {cores} threads": of_sb3(bench, PPO, lanes_of(bench.host(cores))),
    }
    found = in_turn(sides, pairs)
    figures = []
    for peer, target in (("stock", ">= 5x"), (f"stock, {cores} threads", "none")):
        fast = ratio(found, "resident", peer, "whole")
        what = f"resident PPO on a CUDA device, {bench.plant}, {bench.lanes:,} lanes"
        name = "stock SB3 there, simulation on " + ("one core" if peer == "stock" else f"{cores} cores")
        figures.append(Figure(11, what, name, fast[0], target, pairs, fast[1]))
    return figures, found


def main(argv: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="plantwin bench ppo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--plant", default="make_to_stock")
    parser.add_argument("--lanes", type=int, default=4096)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args(argv)
    bench = Bench(options.plant, options.lanes, options.device)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("bench ppo: torch sees no CUDA device here; `plantwin doctor` says what is missing", file=sys.stderr)
        return 1
    figures, detail = (on_cpu if options.device == "cpu" else on_device)(bench, options.pairs)
    if options.pairs >= 5:
        name = None if options.device == "cpu" else torch.cuda.get_device_name()
        _record.keep("ppo", figures, _record.versions(*LIBRARIES), {"settings": SETTINGS, **detail}, name)
    print(json.dumps([f.__dict__ for f in figures], default=list) if options.json else _record.show(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
