"""Q5: has a trained policy earned its place? `gearmotor` and random job shops, against rollout over the tuned rule.

`plantwin bench q5 [--plants N] [--seeds N] [--train 60s] [--pairs N] [--rollout-pairs N] [--weeks N] [--write PAGE]`.
On each plant: the rule tuned on common random numbers (on `gearmotor` the shipped one), rollout over it
(`agents.control.lookahead`), and policies: `gearmotor`'s shipped one (or the seeds of a training, `--gearmotor DIR`),
elsewhere `--seeds` trained for `--train` of wall time each. All are played on the same luck after the same warm-up
under the rule; the cost is that of whole weeks, and CPU seconds a decision are counted in the same runs. `--keep`
writes benchmarks/results/q5.json, which says at what size it was measured. A policy passes where it costs less than the
rollout, or where it is as good at a hundredth of the rollout's time: no difference is shown, and the mean is at most
1 % above the rollout's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.commands import seconds
from agents.control.controllers import Controller, RuleController, controller
from agents.control.costtogo import Fit
from agents.control.lookahead import Plan, Rollout
from agents.envs.grid import Grid
from agents.rules.rule import Rule, save_rule
from agents.rules.tune import Effort, tune
from benchmarks import _record
from benchmarks._paired import Gap, Run, Size, gap, play
from benchmarks._plot_gap import Row, gaps
from benchmarks._random_plants import random_plant
from benchmarks._record import Figure
from sim.compile import Compiled, compile_plant
from sim.plantfile import load

BEGIN, END = "<!-- q5: written by `plantwin bench q5 --write docs/agents.md` -->", "<!-- end of q5 -->"
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "img" / "agents-q5.svg"
LESS, EQUAL = 100, 0.01
"""A policy that is as good as the rollout must take at most this part of its time; and it is as good where its mean is
above by at most so much (where seeds differ by tens of per cent an interval alone would let anything pass).
"""


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _tuned(compiled: Compiled, options: argparse.Namespace) -> tuple[Rule, dict[str, Any]]:
    """The tuned rule, and what finding it took."""
    began = time.perf_counter()
    found = tune(compiled, Effort(options.candidates, max(options.replicas // 16, 2), options.replicas), _say)
    spent = {"weeks": round(found.weeks), "wall_s": round(time.perf_counter() - began, 1)}
    return found.rule, spent | {"nothing": found.nothing, "cost": found.cost}


def _trained(
    compiled: Compiled, rule: Rule, options: argparse.Namespace, folder: Path
) -> tuple[list[Controller], list[dict[str, Any]]]:
    """Policies of several seeds, and what each took."""
    from agents.training.train import Job, train

    job = Job(compiled, rule, folder / compiled.plant.id, seconds(options.train), device="cpu", pairs=2)
    train(job, options.seeds)
    return _seeds(compiled, job.out)


def _seeds(compiled: Compiled, trained: Path) -> tuple[list[Controller], list[dict[str, Any]]]:
    """The policies of all seeds in the folder of a training, and what each took."""
    found: list[Controller] = []
    took = []
    for where in sorted(trained.glob("seed-*"), key=lambda f: int(f.name[5:])):
        evidence = json.loads((where / "evidence.json").read_text(encoding="utf-8"))
        took.append({key: evidence[key] for key in ("steps", "seconds", "epoch_s", "decide")})
        found.append(controller(str(where), compiled))
    return found, took


def _policies(runs: list[Run], rule: Run, ahead: Run) -> dict[str, Any]:
    """The gaps of policies to the rule and to the rollout: over pairs for one seed, over seeds for several."""
    n = len(ahead.costs)
    base, over = float(rule.costs.mean()), float(ahead.costs.mean())
    each = [gap(run.costs - rule.costs, base) for run in runs]
    against = [gap(run.costs[:n] - ahead.costs, over) for run in runs]
    if len(runs) > 1:
        whole = gap(np.array([float((run.costs - rule.costs).mean()) for run in runs]), base)
        both = gap(np.array([float((run.costs[:n] - ahead.costs).mean()) for run in runs]), over)
    else:
        whole, both = each[0], against[0]
    return {
        "seeds": len(runs),
        "against_rule": whole.as_json(),
        "against_rollout": both.as_json(),
        "each": [g.as_json() for g in each],
        "decision_s": float(np.mean([run.decision_s or 0.0 for run in runs])),
    }


def measure(compiled: Compiled, options: argparse.Namespace, folder: Path, shipped: bool) -> dict[str, Any]:
    """Everything about one plant."""
    name = compiled.plant.id
    line: dict[str, Any] = {"plant": name, "stations": len(compiled.plant.stations)}
    if shipped:
        rule = controller("rule", compiled)
        line["tuned"] = "shipped"
    else:
        found, line["tuned"] = _tuned(compiled, options)
        save_rule(folder / f"{name}-rule.json", found, compiled.plant)
        rule = RuleController(found, compiled, Grid(compiled.plant))
    if not shipped:
        policies, line["trained"] = _trained(compiled, found, options, folder)
    elif options.gearmotor is None:
        policies, line["trained"] = [controller("policy", compiled)], "shipped"
    else:
        policies, line["trained"] = _seeds(compiled, options.gearmotor)
    size = Size(options.pairs, options.settle, options.weeks)
    costs = play(compiled, rule, rule, size, _say)
    runs = [play(compiled, rule, who, size, _say) for who in policies]
    ahead = Rollout(rule, compiled, Plan(fit=Fit(options.fit_replicas, options.fit_steps)))
    rolled = play(compiled, rule, ahead, replace(size, pairs=options.rollout_pairs), _say)
    gained: Gap = gap(rolled.costs - costs.costs[: len(rolled.costs)], float(costs.costs.mean()))
    line |= {
        "rule": rule.name,
        "cost": float(costs.costs.mean()),
        "unit": f"{compiled.plant.currency}/h",
        "rollout": gained.as_json()
        | {"decision_s": rolled.decision_s, "fit_s": ahead.fit_s, "moved": ahead.moved / max(ahead.asked, 1)},
        "policy": _policies(runs, costs, rolled),
    }
    _say(f"{name}: rollout {gained.words()}, policy {Gap(**line['policy']['against_rule']).words()}")
    return line


def passes(line: dict[str, Any]) -> bool:
    """Is the policy better than the rollout, or as good at a hundredth of its time?"""
    policy, against = line["policy"], line["policy"]["against_rollout"]
    equal = against["lo"] <= 0 and against["share"] <= EQUAL
    return bool(against["hi"] < 0 or (equal and LESS * policy["decision_s"] <= line["rollout"]["decision_s"]))


def table(lines: list[dict[str, Any]], size: dict[str, Any]) -> str:
    """The page's table."""
    out = [
        "| plant | tuned rule | rollout over it | policy (seeds) | policy against rollout | CPU a decision |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        policy, rollout = line["policy"], line["rollout"]
        keys = set(Gap.__dataclass_fields__)
        gap_words = [
            Gap(**{k: v for k, v in g.items() if k in keys}).words()
            for g in (rollout, policy["against_rule"], policy["against_rollout"])
        ]
        ratio = rollout["decision_s"] / max(policy["decision_s"], 1e-12)
        out.append(
            f"| `{line['plant']}` ({line['stations']} stations) | {line['cost']:.2f} {line['unit']} | {gap_words[0]} | "
            f"{gap_words[1]} ({policy['seeds']}) | {gap_words[2]}{'' if passes(line) else ' **lost**'} | "
            f"rollout {rollout['decision_s']:.2g} s, policy {1000 * policy['decision_s']:.2g} ms ({ratio:,.0f} times) |"
        )
    note = "Shares of the rule's (the rollout's) cost with 95 % intervals; less than 0 is a gain."
    out += ["", f"{note} Size: {size['words']}."]
    return "\n".join(out)


def picture(lines: list[dict[str, Any]]) -> str:
    """Gaps to the rule of all plants."""
    rows: list[Row] = []
    for line in lines:
        for who, g in (("rollout", line["rollout"]), ("policy", line["policy"]["against_rule"])):
            rows.append((f"{line['plant']}, {who}", g["share"], g["share_lo"], g["share_hi"]))
    return gaps("Cost beside the tuned rule's (left: less; bars: 95 %)", rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plantwin bench q5", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plants", type=int, default=10, help="random plants")
    parser.add_argument("--gearmotor", type=Path, help="folder of a training of gearmotor (default: what is shipped)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--no-gearmotor", action="store_true")
    parser.add_argument("--seeds", type=int, default=5, help="training seeds a random plant")
    parser.add_argument("--train", default="10m", help="wall time of a training")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--rollout-pairs", type=int, default=48)
    parser.add_argument("--settle", type=int, default=1, help="weeks under each controller that are not counted")
    parser.add_argument("--weeks", type=int, default=8, help="weeks that are counted")
    parser.add_argument("--candidates", type=int, default=96, help="of tuning the rule")
    parser.add_argument("--replicas", type=int, default=96, help="of tuning the rule")
    parser.add_argument("--fit-replicas", type=int, default=1024, help="of the rollout's estimate of a state's worth")
    parser.add_argument("--fit-steps", type=int, default=168)
    parser.add_argument("--keep", action="store_true", help="add the lines to benchmarks/results/q5.json, one by one")
    parser.add_argument("--write", type=Path, help="page whose table is replaced by that of benchmarks/results/q5.json")
    return parser


def _kept() -> list[dict[str, Any]]:
    path = _record.RESULTS / "q5.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["detail"]["lines"]) if path.exists() else []


def _keep(lines: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """The result file, as far as it is known."""
    share = float(np.mean([passes(line) for line in lines]))
    what = f"policy against rollout over the tuned rule: passes on {sum(map(passes, lines))} of {len(lines)} plants"
    figure = Figure("Q5", what, "better, or as good at 1/100 of its time", share, ">= 1", len(lines), None)
    words = (
        f"{options.pairs} pairs ({options.rollout_pairs} of the rollout) of {options.weeks} weeks; {options.seeds} "
        f"training seed(s) of {options.train} a random plant, its rule tuned with {options.candidates} candidates and "
        f"{options.replicas} replicas"
    )
    asked = {k: str(v) for k, v in vars(options).items() if k not in {"keep", "write", "json", "gearmotor"}}
    detail = {"lines": lines, "size": {"words": words, "options": asked}}
    libraries = _record.versions("numba", "numpy", "scipy", "torch", "stable-baselines3")
    _record.keep("q5", [figure], libraries, detail)


def main(argv: list[str]) -> int:
    """Measure, print, keep; or write the page from what was kept."""
    options = _parser().parse_args(argv)
    if options.write is not None:
        kept = json.loads((_record.RESULTS / "q5.json").read_text(encoding="utf-8"))["detail"]
        text = options.write.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        made = table(kept["lines"], kept["size"])
        options.write.write_text(f"{head}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}", encoding="utf-8")
        PICTURE.write_text(picture(kept["lines"]), encoding="utf-8")
        return 0
    lines = _kept() if options.keep else []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plants = [] if options.no_gearmotor else ["gearmotor"]
        for seed in range(options.first, options.first + options.plants):
            file = folder / f"shop{seed}.yaml"
            file.write_text(random_plant(seed), encoding="utf-8")
            plants.append(str(file))
        for name in plants:
            compiled = compile_plant(load(name))
            if any(line["plant"] == compiled.plant.id for line in lines):
                continue
            lines.append(measure(compiled, options, folder, name == "gearmotor"))
            if options.keep:
                _keep(lines, options)
    size = {"words": f"{options.pairs} pairs ({options.rollout_pairs} of the rollout) of {options.weeks} weeks"}
    print(json.dumps(lines) if options.json else table(lines, size))
    return 0
