"""What a plant gains where every recommendation is accepted: `gearmotor`, advice beside rule and policy.

`plantwin bench followed [--runs N] [--weeks N] [--futures N] [--keep] [--write PAGE]`. Every run begins with the same
plant after a warm-up under the plant file's setpoints and goes on, on the same luck, under: nothing; the tuned rule's
constants; the policy followed at every shift; advice with single moves; advice with joint moves; and both where a
control under a lease may be moved again (renewal). The advisor is asked at the start of both shifts of every working
day, from copies of the row whose hidden numbers are drawn anew; what it recommends is accepted at once. A lease ends as
at the gateway: the setpoint before it returns, and the control may not move until its `every` has passed.
`--keep` writes benchmarks/results/followed.json run by run, with the size, and goes on with what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.advice.compare import Question, propose
from agents.control.controllers import Controller, Hold, PolicyController, controller
from agents.control.rollout import Operation, default_epoch, ticks
from agents.control.unseen import Unseen
from agents.rules.tune import judge_span
from agents.seeds import TEST, block_seed
from benchmarks import _record
from benchmarks._paired import WEEK_S, Gap, Size, gap, play
from sim.compile import Compiled, compile_plant
from sim.kernel import get_controls, new_rows, run, set_controls
from sim.plantfile import load
from sim.value import operating_cost

Rows = NDArray[np.int64]
BEGIN, END = (
    "<!-- followed: written by `plantwin bench followed --write docs/agents.md` -->",
    "<!-- end of followed -->",
)
SHIFTS_H = (6, 14)
"""Hours of a working day at which the advisor is asked."""
PRESENTS = 512
ADVICE = {
    "advice, single moves": (False, False),
    "advice, joint moves": (True, False),
    "single, renewed": (False, True),
    "joint, renewed": (True, True),
}
"""May several controls be moved with one click? May a control be moved again while its lease runs?"""


@dataclass(frozen=True, slots=True)
class Advice:
    """Who is asked, and how."""

    compiled: Compiled
    policy: PolicyController | None
    rule: Controller | None
    futures: int
    joint: bool
    renewed: bool
    threads: int = 1


@dataclass(slots=True)
class Followed:
    """One plant whose people accept every recommendation. `leases`: (value before, tick of the end) by control;
    `changed`: tick of its last change.
    """

    advice: Advice
    row: Rows
    unseen: Unseen
    leases: dict[int, tuple[int, int]] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    clicks: int = 0
    moves: int = 0
    asked: int = 0
    leased: int = 0

    @property
    def now(self) -> int:
        """Tick."""
        return int(self.row[0, self.advice.compiled.layout.at("now")])

    def run(self, until: int) -> None:
        """To a tick; leases that end on the way end."""
        compiled = self.advice.compiled
        while True:
            due = min([until, *(end for _, end in self.leases.values())])
            self.leased += (due - self.now) * bool(self.leases)
            run(self.row, compiled, due)
            over = [c for c, (_, end) in self.leases.items() if end <= due]
            if over:
                self._set({c: self.leases.pop(c)[0] for c in over})
            if due >= until:
                return

    def _set(self, values: dict[int, int]) -> None:
        wanted = np.array(get_controls(self.row, self.advice.compiled))
        for c, value in values.items():
            wanted[0, c] = value
            self.changed[c] = self.now
        set_controls(self.row, self.advice.compiled, wanted)

    def ask(self, seed: int) -> dict[str, Any] | None:
        """Ask, accept, and return what was recommended."""
        advice, now = self.advice, self.now
        compiled, controls = advice.compiled, advice.compiled.plant.controls
        locked = {i for i, c in enumerate(controls) if now < self.changed.get(i, -(1 << 60)) + c.every}
        if not advice.renewed:
            locked |= set(self.leases)
        rows = np.repeat(self.row, PRESENTS, axis=0)
        self.unseen.redraw(rows, np.random.Generator(np.random.PCG64(seed)).random((PRESENTS, self.unseen.words, 2)))
        present = {c.id: int(v) for c, v in zip(controls, get_controls(self.row, compiled)[0], strict=True)}
        question = Question(
            compiled,
            rows,
            present,
            seed,
            advice.policy,
            advice.rule,
            tuple(controls[i].id for i in sorted(locked)),
            threads=advice.threads,
            joint=advice.joint,
            futures=advice.futures,
            leases=tuple((c, before, end) for c, (before, end) in sorted(self.leases.items())),
        )
        body = propose(question).recommendation
        self.asked += 1
        if body is None:
            return None
        end = now + ticks(compiled, body["lease_s"])
        moves = {compiled.control_index[m["control"]]: m for m in body["moves"]}
        self._set({c: m["to"] for c, m in moves.items()})
        for c, m in moves.items():
            self.leases[c] = (self.leases[c][0] if c in self.leases else m["from"], end)
        self.clicks += 1
        self.moves += len(moves)
        return body


def follow(advice: Advice, number: int, weeks: int) -> dict[str, Any]:
    """Run `number` for so many weeks under advice: its cost an hour, and what its people clicked."""
    compiled = advice.compiled
    row, warm = new_rows(compiled, block_seed(TEST, 0), 1, number), judge_span(compiled).warmup
    Operation(compiled, Hold(), default_epoch(compiled)).run(row, warm)
    before, began = row.copy(), time.process_time()
    plant = Followed(advice, row, Unseen(compiled))
    log = []
    for day in range(7 * weeks):
        for hour in SHIFTS_H if day % 7 < 5 else ():
            plant.run(warm + ticks(compiled, 86_400.0 * day + 3600.0 * hour))
            body = plant.ask(1000 * number + 10 * day + hour % 10)
            if body is not None:
                log.append([day, hour, {m["control"]: m["to"] for m in body["moves"]}, body["lease_s"] / 3600.0])
    plant.run(warm + ticks(compiled, WEEK_S * weeks))
    return {
        "cost": float(operating_cost(before, plant.row, compiled)[0]) / (weeks * WEEK_S / 3600.0),
        "clicks": plant.clicks / weeks,
        "moves": plant.moves / max(plant.clicks, 1),
        "leased": plant.leased / ticks(compiled, WEEK_S * weeks),
        "cpu_s": (time.process_time() - began) / max(plant.asked, 1),
        "log": log,
    }


def constants(compiled: Compiled, runs: int, weeks: int) -> dict[str, list[float]]:
    """Costs an hour of every run under nothing, the rule and the policy."""
    found = {}
    for word, name in (("nothing", "nothing"), ("tuned rule", "rule"), ("policy, every shift", "policy")):
        found[word] = play(compiled, Hold(), controller(name, compiled), Size(runs, 0, weeks)).costs.tolist()
    return found


def lines_of(compiled: Compiled, costs: dict[str, list[float]], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each way beside nothing, over the runs made so far."""
    n = len(runs)
    nothing = np.array(costs["nothing"][:n])
    lines = []
    for name in (*costs, *ADVICE):
        mine = np.array(costs[name][:n] if name in costs else [r[name]["cost"] for r in runs])
        line: dict[str, Any] = {"name": name, "cost": float(mine.mean()), "unit": f"{compiled.plant.currency}/h"}
        line["beside"] = gap(mine - nothing, float(nothing.mean())).as_json()
        for key in ("clicks", "moves", "leased", "cpu_s"):
            line[key] = None if name in costs else float(np.mean([r[name][key] for r in runs]))
        lines.append(line)
    return lines


def table(lines: list[dict[str, Any]], size: str) -> str:
    """The page's table."""
    out = [
        "| followed | cost | beside nothing | clicks a week | controls a click | time under a lease |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        share = "" if line["name"] == "nothing" else Gap(**line["beside"]).words()
        counted = ["", "", ""]
        if line["clicks"] is not None:
            counted = [f"{line['clicks']:.1f}", f"{line['moves']:.1f}", f"{100 * line['leased']:.0f} %"]
        out.append(f"| {line['name']} | {line['cost']:.2f} {line['unit']} | {share} | {' | '.join(counted)} |")
    return "\n".join([*out, "", f"Less than 0 is a gain; 95 % intervals of paired runs. Size: {size}."])


def words(runs: int, options: dict[str, Any]) -> str:
    """The size in words, with the command that measures it again."""
    asked_for = f"--runs {runs} --weeks {options['weeks']} --futures {options['futures']}"
    return (
        f"{runs} runs of {options['weeks']} weeks, {options['futures']} futures a promise (the service takes 768); "
        f"`plantwin bench followed {asked_for} --keep`"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plantwin bench followed", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plant", default="gearmotor")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--weeks", type=int, default=3)
    parser.add_argument("--futures", type=int, default=256, help="of a promise (the service takes 768)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/followed.json, run by run")
    parser.add_argument("--write", type=Path, help="page whose table is replaced by that of the result file")
    return parser


def _keep(lines: list[dict[str, Any]], runs: list[dict[str, Any]], options: argparse.Namespace, size: str) -> None:
    asked = {k: str(v) for k, v in vars(options).items() if k not in {"keep", "write", "json"}}
    detail = {"lines": lines, "runs": runs, "size": {"words": size, "options": asked}}
    _record.keep("followed", [], _record.versions("numba", "numpy", "scipy"), detail)


def _kept(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs that were made before with these options."""
    path = _record.RESULTS / "followed.json"
    if not path.exists():
        return []
    detail = json.loads(path.read_text(encoding="utf-8"))["detail"]
    same = all(detail["size"]["options"][k] == str(getattr(options, k)) for k in ("plant", "weeks", "futures"))
    return list(detail["runs"]) if same else []


def main(argv: list[str]) -> int:
    """Measure, print, keep; or write the page from what was kept."""
    options = _parser().parse_args(argv)
    if options.write is not None:
        kept = json.loads((_record.RESULTS / "followed.json").read_text(encoding="utf-8"))["detail"]
        head, rest = options.write.read_text(encoding="utf-8").split(BEGIN)
        made = table(kept["lines"], kept["size"]["words"])
        options.write.write_text(f"{head}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}", encoding="utf-8")
        return 0
    compiled = compile_plant(load(options.plant))
    policy, rule = controller("policy", compiled), controller("rule", compiled)
    assert isinstance(policy, PolicyController)
    costs = constants(compiled, options.runs, options.weeks)
    runs = _kept(options) if options.keep else []
    lines: list[dict[str, Any]] = []
    size = ""
    for number in range(options.runs):
        each = runs[number] if number < len(runs) else {}
        for name, (joint, renewed) in ADVICE.items():
            if name in each:
                continue
            asked = Advice(compiled, policy, rule, options.futures, joint, renewed, options.threads)
            each[name] = follow(asked, number, options.weeks)
            told = each[name] | {"nothing": costs["nothing"][number]}
            print(f"{time.strftime('%H:%M:%S')} run {number}, {name}: {told}", file=sys.stderr, flush=True)
        runs[number : number + 1] = [each]
        whole = [run for run in runs if set(run) == set(ADVICE)]
        lines, size = lines_of(compiled, costs, whole), words(len(whole), vars(options))
        if options.keep:
            _keep(lines, runs, options, size)
    print(json.dumps(lines) if options.json else table(lines, size))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
