"""The command `evaluate` without its options: what to compare, on which plants, and what is told of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.control.controllers import Controller, controller
from agents.control.timed import Timed, in_words
from agents.errors import AgentError
from agents.evaluation.evaluate import Trial, over_seeds, run_all, verdict
from agents.evaluation.report import lines_of, robust_lines, seeds_lines
from agents.evaluation.robust import Scales, believed, disturbed, robustness

if TYPE_CHECKING:
    from sim.compile import Compiled

_SEED = re.compile(r"seed-(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Case:
    """What to compare: `a` with `against` (`agents.control.controllers.controller`) on a plant, or on `draws` plants
    that are `disturb`ed or drawn from a `posterior`.
    """

    compiled: Compiled
    a: str
    against: str
    disturb: float | None = None
    posterior: Path | None = None
    draws: int = 40
    allow_code: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it: for machines, for people, and what people should know first (the controllers' own warnings, and
    doubts about the interval).
    """

    data: dict[str, Any]
    lines: list[str]
    warnings: list[str]


def seed_folders(what: str) -> dict[str, str]:
    """The folders `seed-N` of a training that hold a policy, by name in the order of N; empty where there are none."""
    path = Path(what)
    found = [f for f in path.glob("seed-*") if _SEED.fullmatch(f.name) and (f / "policy.json").is_file()]
    return {f.name: str(f) for f in sorted(found, key=lambda f: int(f.name[5:]))} if path.is_dir() else {}


def judged(case: Case, pairs: int, seed: int, threads: int) -> Told:
    """Compare; `AgentError` for what cannot be compared."""
    compiled, scales, drawn = case.compiled, None, ""
    if case.posterior is not None:
        from twin.posterior_file import read_posterior

        posterior = read_posterior(case.posterior, compiled)
        compiled = posterior.plant_of(compiled)
        scales, drawn = believed(compiled, posterior, seed, case.draws), f"drawn from posterior {posterior.id}"
    elif case.disturb is not None:
        scales = disturbed(compiled, case.disturb, seed, case.draws)
        drawn = f"disturbed by {100 * case.disturb:g} %"
    both = Timed(_controller(case.a, case, compiled)), Timed(_controller(case.against, case, compiled))
    warnings = [f"{who.name}: {text}" for who in both for text in getattr(who, "warnings", ())]
    trial = Trial(pairs, seed, threads=threads)
    if scales is not None:
        return _over_plants(both, compiled, trial, scales, drawn, warnings)
    folders = seed_folders(case.a)
    a, b = (run_all(who, compiled, trial) for who in both)
    found = verdict(a, b, compiled, trial)
    data, lines = found.as_json(), lines_of(found)
    data["decision_cpu_s"] = dict(zip("ab", (who.each for who in both), strict=True))
    lines = [
        *lines,
        "CPU time a decision: " + ", ".join(f"{n} {in_words(w.each)}" for n, w in zip("AB", both, strict=True)),
    ]
    if folders:
        seeds = {name: _controller(path, case, compiled) for name, path in folders.items()}
        over = over_seeds(seeds, b, compiled, trial)
        data["seeds"], lines = over.as_json(), lines + seeds_lines(over)
    return Told({**data, "warnings": warnings}, lines, warnings + _doubted(found.doubts))


def _controller(what: str, case: Case, compiled: Compiled) -> Controller:
    return controller(what, compiled, allow_code=case.allow_code)


def _over_plants(
    both: tuple[Controller, Controller],
    compiled: Compiled,
    trial: Trial,
    scales: Scales,
    drawn: str,
    warnings: list[str],
) -> Told:
    if compiled.own is not None:
        raise AgentError(f"plant {compiled.plant.id} has rules of its own: expected one that the kernel runs")
    found = robustness(both, compiled, trial, scales, drawn)
    data = {**found.as_json(), "warnings": warnings}
    return Told(data, robust_lines(found), warnings + _doubted(found.doubts))


def _doubted(doubts: tuple[str, ...]) -> list[str]:
    return [f"the interval cannot be trusted: {text}" for text in doubts]
