"""The serial chain: our environment against or-gym-inventory's (row 5), and what rules and plans earn of the optimum.

`plantwin bench supply [--json] [--pairs N] [--paths N] [--train STEPS]`. Row 5: CPU seconds a step of one
environment, one core, both sides in turn, orders drawn beforehand: `SupplyVectorEnv.step` at 4,096 replicas, with
observation and reward, against the package's environment stepped in a Python loop; that both earn the same is
`tests/agents/test_supply.py`. The package is put beside the environment by `benchmarks/install_peers.sh`. The
yardsticks need no peer: on the same paths of demand, the optimum with all demand known, the plan re-made every period
for the mean demand, the plan made once for the best demand, and the best static echelon base stock; and `--train STEPS`
a PPO trained for so many periods, which starts as the plan made once. Any other policy joins them as one more `Policy`
(`yardsticks(trade, paths, {name: policy})`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.envs.supply import OR_GYM, Chain, SupplyVectorEnv, Trade
from agents.rules.supply_plan import followed, perfect_information, shrinking_horizon, tuned_plan
from agents.rules.supply_rules import Policy, base_stock, demand_paths, played, tuned_base_stock
from benchmarks import _or_gym, _record
from benchmarks._record import Figure

REPLICAS = 4096
EPISODES = 20
"""Of the package's environment in one measurement; ours plays one of each replica."""
PLANT = "serial_backlog4"
TRADES = {
    "at the sale": OR_GYM,
    "at the purchase": replace(OR_GYM, prices=(2.0, 0.0, 0.0, 0.0), costs=(0.0, 0.0, 0.0, 0.5)),
}
"""When a stage books what a unit cost it: as or-gym-inventory does, or as or-gym 0.5.0 did. There what the stages pay
each other cancels in the sum: customers pay 2 for a unit, raw material costs 0.5."""
CHOICES, VERDICT = 7, 1000
"""Seeds of the paths that base stock is tuned on, and of those that all are judged on."""


def speed(pairs: int) -> tuple[list[float], list[float]]:
    """CPU seconds of a step of one environment, ours and the package's."""
    env = SupplyVectorEnv(REPLICAS, PLANT)
    rng = np.random.Generator(np.random.PCG64(0))
    periods = env.trade.periods
    orders = rng.integers(0, env.chain.most + 1, (periods, REPLICAS, len(env.chain.most)))
    peer = _or_gym.peer(env.chain, conserving=False)
    env.reset(seed=0)

    def ours() -> float:
        began = time.process_time()
        for t in range(periods):  # the last step begins new episodes
            env.step(orders[t])
        return (time.process_time() - began) / (periods * REPLICAS)

    def theirs() -> float:
        began = time.process_time()
        for k in range(EPISODES):
            peer.reset(seed=k)
            for t in range(periods):
                peer.step(orders[t, k])
        return (time.process_time() - began) / (periods * EPISODES)

    ours(), theirs()
    return _record.interleave(ours, theirs, pairs)


@dataclass(frozen=True)
class Yardstick:
    """What a policy earned on the same paths: mean profit with its 95 % half-width, its share of the optimum's mean
    with the half-width of a ratio of means, CPU seconds a period of one chain, deciding and playing, and what it earned
    beyond the plan made once, path by path, with its half-width.
    """

    name: str
    mean: float
    half: float
    ratio: float
    ratio_half: float
    decision_s: float
    beyond: float = 0.0
    beyond_half: float = 0.0


def yardstick(
    name: str,
    earned: NDArray[np.float64],
    best: NDArray[np.float64],
    spent: float,
    once: NDArray[np.float64] | None = None,
) -> Yardstick:
    """The figures of profits [N] beside the optimum's [N] and those of the plan made `once` [N], on the same paths."""
    n, ratio = len(earned), float(earned.mean() / best.mean())
    spread = float((earned - ratio * best).std(ddof=1)) / best.mean()  # of the ratio of means, by the delta method
    more = earned - (earned if once is None else once)
    halves = [1.96 * float(x.std(ddof=1)) / n**0.5 for x in (earned, more)]
    shares = ratio, 1.96 * float(spread) / n**0.5
    return Yardstick(name, float(earned.mean()), halves[0], *shares, spent, float(more.mean()), halves[1])


def asked(chain: Chain) -> int:
    """Mean demand of a period, rounded, as the paths for choices show it."""
    return round(float(demand_paths(chain, CHOICES, 4096).mean()))


def agent(trade: Trade, steps: int) -> dict[str, Policy]:
    """A PPO trained for so many periods, by name."""
    from benchmarks._supply_agent import trained

    chain = Chain(PLANT, trade)
    return {f"PPO, {steps / 1e6:.1f} M days": trained(chain, tuned_plan(chain, CHOICES)[1], steps)}


def yardsticks(
    trade: Trade, paths: int, more: dict[str, Policy] | None = None, rounds: int = 8
) -> tuple[list[Yardstick], list[int]]:
    """Plans, rules and `more` on the same paths; the base-stock levels that tuning found (in `rounds`)."""
    chain = Chain(PLANT, trade)
    demand = demand_paths(chain, VERDICT, paths)
    mean = asked(chain)
    levels = tuned_base_stock(chain, CHOICES, rounds=rounds)
    env = SupplyVectorEnv(paths, chain.compiled, trade)
    env.reset(seed=VERDICT)
    began = time.process_time()
    best = np.array([plan.profit for plan in perfect_information(env, demand)])
    spent = (time.process_time() - began) / paths / trade.periods
    planned, once = tuned_plan(chain, CHOICES)
    start = played(env, followed(once), VERDICT).sum(axis=0)
    found = [yardstick("all demand known", best, best, spent, start)]
    policies = {
        "plan for the mean, every period": shrinking_horizon(chain, mean),
        f"plan for {planned} a day, made once": followed(once),
        "echelon base stock": base_stock(levels),
    } | (more or {})
    for name, policy in policies.items():
        began = time.process_time()
        earned = played(env, policy, VERDICT).sum(axis=0)
        spent = (time.process_time() - began) / paths / trade.periods
        found.append(yardstick(name, earned, best, spent, start))
    return found, levels.tolist()


def table(detail: dict[str, Any]) -> str:
    """The yardsticks as a table of docs/agents.md."""
    lines = [
        "| cost booked | policy | profit of 30 days, EUR | of the optimum | beyond a plan made once, EUR | CPU time |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in detail["yardsticks"].items():
        for y in found["found"]:
            shown = y["name"] + (f" {tuple(found['levels'])}" if y["name"].startswith("echelon") else "")
            share = f"{100 * y['ratio']:.1f} %" + (f" ± {100 * y['ratio_half']:.1f}" if y["ratio_half"] > 1e-9 else "")
            took = f"{1000 * y['decision_s']:.2g} ms" if y["decision_s"] > 1e-4 else f"{1e6 * y['decision_s']:.2g} µs"
            more = f"{y['beyond']:+.1f} ± {y['beyond_half']:.1f}" if y["beyond_half"] > 1e-9 else ""
            lines.append(f"| {name} | {shown} | {y['mean']:.1f} ± {y['half']:.1f} | {share} | {more} | {took} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="plantwin bench supply", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--paths", type=int, default=200, help="paths of demand for the yardsticks; 0: none of these")
    parser.add_argument("--train", type=int, default=0, metavar="STEPS", help="train a PPO as well")
    options = parser.parse_args(argv)
    detail: dict[str, Any] = {"paths": options.paths, "yardsticks": {}}
    what, peer = f"serial chain, a step of {REPLICAS} replicas", "or-gym-inventory in a Python loop"
    if _or_gym.source() is None:
        figures = [Figure(5, what, f"{peer} (not installed: benchmarks/install_peers.sh)", None, ">= 600x", 0, None)]
    else:
        ours, theirs = speed(options.pairs)
        ratio, spread = _record.ratios(theirs, ours)
        figures = [Figure(5, what, peer, ratio, ">= 600x", options.pairs, spread)]
        detail |= {"ours_s": ours, "theirs_s": theirs}
    for name, trade in TRADES.items() if options.paths else ():
        found, levels = yardsticks(trade, options.paths, agent(trade, options.train) if options.train else None)
        detail["yardsticks"][name] = {"levels": levels, "found": [y.__dict__ for y in found]}
    if options.pairs >= 5 and options.paths >= 100:
        libraries = _record.versions("numba", "numpy", "scipy", "gymnasium") | {"or-gym-inventory": _or_gym.VERSION}
        _record.keep("supply", figures, libraries, detail)
    print(json.dumps([f.__dict__ for f in figures], default=list) if options.json else _record.show(figures))
    if options.paths and not options.json:
        print(table(detail))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
