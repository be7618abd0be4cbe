"""What an environment and a policy cost beside their kernel (rows 8 and 21).

`plantwin bench agents [--json] [--pairs N]`. CPU times, single-threaded, both sides in turn. Row 8:
`PlantVectorEnv.step` at 1,024 replicas against setting the same controls and running the same rows with no
environment around. Row 21: one decision of a policy in numpy against `predict` of the same network in
Stable-Baselines3. Beside them, without a target: what a decision at an event costs on `make_to_stock`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from agents.bundles.policy import Network
from agents.envs.env import PlantVectorEnv
from benchmarks import _record
from benchmarks._record import Figure
from sim.kernel import get_controls, run, set_controls
from sim.state import EVENTS, NOW

LANES = 1024
STEPS = 40
DECISIONS = 1000


def env_pair(pairs: int) -> tuple[list[float], list[float]]:
    """CPU seconds of `STEPS` steps of the environment and of the bare kernel on copies of the same rows."""
    env = PlantVectorEnv(LANES, "gearmotor", copy=False)
    env.reset(seed=0)
    rng = np.random.Generator(np.random.PCG64(0))
    actions = rng.integers(0, env.grid.counts, size=(STEPS, LANES, env.grid.size))
    values = env.grid.decode(actions)
    for _ in range(7):
        env.step(actions[0])  # into the first shift

    def bare() -> float:
        rows = env.rows.copy()
        now = int(rows[0, 0])
        began = time.process_time()
        for k in range(STEPS):
            set_controls(rows, env.compiled, values[k])
            now += env.epoch
            run(rows, env.compiled, now)
        return time.process_time() - began

    def ours() -> float:
        kept = env.rows.copy(), env._elapsed.copy()
        began = time.process_time()
        for k in range(STEPS):
            env.step(actions[k])
        spent = time.process_time() - began
        env.rows[...], env._elapsed[...] = kept
        return spent

    bare(), ours()
    return _record.interleave(ours, bare, pairs)


def at_events(pairs: int, lanes: int = 2 * LANES, steps: int = 200) -> dict[str, float]:
    """Decisions at events on `make_to_stock` whose setpoints stay: nanoseconds of CPU a decision, and of the bare
    kernel over the same plant time from the same rows; events a second of CPU of both (medians of `pairs`).
    """
    env = PlantVectorEnv(lanes, "make_to_stock", decide="events", copy=False, stagger=True)
    env.reset(seed=0)
    action = env.grid.encode(get_controls(env.rows, env.compiled))
    found: list[tuple[float, ...]] = []
    for _ in range(pairs + 1):
        rows, until, events = env.rows.copy(), env.rows[:, NOW].copy(), int(env.rows[:, EVENTS].sum())
        began = time.process_time()
        for _ in range(steps):
            until += env.step(action)[4]["elapsed"]
        ours = time.process_time() - began
        began = time.process_time()
        run(rows, env.compiled, until)
        bare = time.process_time() - began
        happened = int(rows[:, EVENTS].sum()) - events
        found.append((1e9 * ours / (steps * lanes), 1e9 * bare / (steps * lanes), happened / ours, happened / bare))
    names = ("ns_a_decision", "ns_bare", "events_per_s", "events_per_s_bare")
    return dict(zip(names, np.median(found[1:], axis=0).tolist(), strict=True))


def decide_pair(pairs: int) -> tuple[list[float], list[float], float]:
    """CPU seconds of `DECISIONS` decisions at batch 1, ours and SB3's, and the largest difference of logits."""
    import torch
    from stable_baselines3 import PPO

    from agents.training.lanes import Lanes

    torch.set_num_threads(1)
    env = PlantVectorEnv(2, "gearmotor")
    model = PPO("MlpPolicy", Lanes(env), n_steps=8, batch_size=16, device="cpu", policy_kwargs={"net_arch": [64, 64]})
    policy: Any = model.policy
    layers = [m for m in policy.mlp_extractor.policy_net if isinstance(m, torch.nn.Linear)] + [policy.action_net]
    mine = Network(
        tuple(layer.weight.detach().numpy().copy() for layer in layers),
        tuple(layer.bias.detach().numpy().copy() for layer in layers),
        tuple(int(n) for n in env.grid.counts),
    )
    seen, _ = env.reset(seed=0)
    with torch.no_grad():
        theirs = policy.action_net(policy.mlp_extractor.forward_actor(torch.from_numpy(seen))).numpy()
    assert np.array_equal(model.predict(seen, deterministic=True)[0], mine.decide(seen))

    def ours() -> float:
        began = time.process_time()
        for _ in range(DECISIONS):
            mine.decide(seen[:1])
        return time.process_time() - began

    def sb3() -> float:
        began = time.process_time()
        for _ in range(DECISIONS):
            model.predict(seen[:1], deterministic=True)
        return time.process_time() - began

    ours(), sb3()
    return *_record.interleave(ours, sb3, pairs), float(np.abs(theirs - mine.logits(seen)).max())


def main(argv: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="plantwin bench agents", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args(argv)
    step, bare = env_pair(options.pairs)
    ratio, spread = _record.ratios(step, bare)
    figures = [Figure(8, f"VectorEnv.step at {LANES}", "bare kernel call", ratio, "<= 1.25x", options.pairs, spread)]
    decide, predict, apart = decide_pair(options.pairs)
    ratio, spread = _record.ratios(predict, decide)
    figures.append(Figure(21, "policy at batch 1 in numpy", "SB3 predict", ratio, ">= 10x", options.pairs, spread))
    assert apart <= 1e-6, f"numpy and torch differ by {apart}"
    detail: dict[str, Any] = {
        "step_s": step,
        "bare_s": bare,
        "decide_s": decide,
        "predict_s": predict,
        "largest_difference_of_logits": apart,
        "at_events": at_events(options.pairs),
    }
    if options.pairs >= 5:
        names = ("numba", "numpy", "gymnasium", "stable-baselines3", "torch")
        _record.keep("agents", figures, _record.versions(*names), detail)
    print(json.dumps([f.__dict__ for f in figures], default=list) if options.json else _record.show(figures))
    if not options.json:
        told = detail["at_events"]
        print(
            f"     a decision at an event, make_to_stock, {2 * LANES} lanes: {told['ns_a_decision']:.0f} ns "
            f"({told['events_per_s']:,.0f} events/s); bare kernel over the same time: {told['ns_bare']:.0f} ns "
            f"({told['events_per_s_bare']:,.0f} events/s)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
