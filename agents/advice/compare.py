"""From a live state to a recommendation, or to "doing nothing is best": pure functions of a `Question`.

Candidates (`agents.advice.moves`) are chosen on one half of the twin's presents and one block of seeds, the promise is
computed on the other half and a fresh block. Several controls are moved with one click only where that is surely
better than the best single move. Everything is a function of the question, so `reproduce` recomputes a recommendation
bit for bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.advice.experience import in_distribution, unfamiliar
from agents.advice.futures import Block, Outcome, block, halve, play
from agents.advice.gain import Gain, gain_of
from agents.advice.horizon import Reach
from agents.advice.moves import Candidate, listed, propose_candidates, pruned, reaches, together
from agents.advice.why import effects, reasons
from agents.control.controllers import Controller, PolicyController
from agents.envs.grid import Grid
from agents.seeds import ADVICE_PROMISE, ADVICE_SELECT, Spread, block_seed

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Costs = NDArray[np.float64]

ALPHA = 0.02
"""One-sided level of the test that an action beats doing nothing, shared by the finalists of a moment: an engineer
looks at many moments a shift, so it is stricter than the usual 5 %."""
FUTURES = 768
"""Futures of a promise whose horizon is at most `SHORT_S`; beyond, fewer, so that a promise costs the same, but a
quarter at least."""
SHORT_S = 60 * 3600.0
SPREADS = {
    "work": "working times", "fail": "times to failure", "repair": "repair times", "arrival": "times between arrivals",
    "demand": "times between orders", "lead": "lead times",
}  # fmt: skip
"""Fields of `agents.seeds.Spread` in words."""
MOST_WORSE = 0.50
"""An action that turns out worse than nothing more often than this is not worth a click, whatever its mean."""


@dataclass(frozen=True, slots=True)
class Question:
    """A decision moment: the twin's rows [N, W] (halves for choice and promise), the controls in force, which of
    them may not move yet, and a seed. `policy` and `rule` propose; either may be missing. `joint`: may several controls
    be moved with one click? `futures`: of a promise, those of a first look are a fixed part of it. `leases`: see
    `agents.advice.futures.Block`.
    """

    compiled: Compiled
    rows: Rows
    present: dict[str, int]
    seed: int
    policy: PolicyController | None = None
    rule: Controller | None = None
    locked: tuple[str, ...] = ()
    spread: Spread = field(default_factory=Spread)
    threads: int = 1
    joint: bool = True
    futures: int = FUTURES
    leases: tuple[tuple[int, int, int], ...] = ()

    @property
    def half(self) -> int:
        """Presents for choosing; the others are for the promise."""
        return len(self.rows) // 2

    @property
    def looks(self) -> int:
        """Futures in which every candidate is tried at first."""
        return max(self.futures // 48, 4)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell the twin. `recommendation` is None when doing nothing is best, and `why` says why."""

    why: str
    recommendation: dict[str, Any] | None
    candidates: int
    selected: dict[str, Any]


def propose(q: Question) -> Answer:
    """The most valuable change that is surely better than nothing and worth a click, or why there is none."""
    grid = Grid(q.compiled.plant)
    of = reaches(q, grid)
    candidates = propose_candidates(q, grid, of)
    if not candidates:
        return Answer("no control may move now: every one is at its rate limit or its bound", None, 0, {})
    choice = block(q.rows[: q.half], q.compiled, block_seed(ADVICE_SELECT, q.seed), q.spread)
    # several futures of each present where the snapshot is small
    many = np.resize(q.rows[q.half :], (q.futures, q.rows.shape[1]))
    fresh = block(many, q.compiled, block_seed(ADVICE_PROMISE, q.seed), q.spread)
    choice, fresh = (replace(b, leases=q.leases) for b in (choice, fresh))
    finalists: list[_Finalist] = []
    for over in sorted({together(c, of) for c in candidates}, key=lambda h: (h.horizon, h.lease)):
        group = [c for c in candidates if together(c, of) == over]
        finalists += _select(q, grid, choice, group, of)
    return _promise(q, grid, fresh, finalists, len(candidates))


@dataclass(frozen=True, slots=True)
class _Finalist:
    """The best single or the best joint move of one class of action: `over` its lease and horizon, `gain` at a first
    look; `entry` says it for people, `ranked` all of its class, best first.
    """

    candidate: Candidate
    over: Reach
    gain: float
    entry: dict[str, Any]
    ranked: list[dict[str, Any]]


def _select(q: Question, grid: Grid, choice: Block, group: list[Candidate], of: dict[str, Reach]) -> list[_Finalist]:
    """The best single move among candidates of one horizon on the choosing block, and the best joint one where it looks
    better, without moves that add nothing; the others as alternatives.
    """
    over = together(group[0], of)
    values = np.array([grid.vector(q.present)] + [c.vector(grid, q.present) for c in group])
    order, gains = halve(choice, q.compiled, values, over, q.threads, q.looks)
    ranked = [_entry(q, group[k - 1], float(gains[k]), over) for k in order]
    found: list[_Finalist] = []
    for joint in (False, True):
        at = next((i for i, k in enumerate(order) if group[k - 1].joint == joint), None)
        if at is None:
            continue
        candidate, gain = group[order[at] - 1], float(gains[order[at]])
        if joint and gain <= max([0.0, *(f.gain for f in found)]):
            continue
        less = pruned(q, grid, choice, candidate, over) if joint else candidate
        if less != candidate:
            candidate = less
            ranked[at] = _entry(q, candidate, gain, over)
        if all(f.candidate.moves != candidate.moves for f in found):
            found.append(_Finalist(candidate, together(candidate, of), gain, ranked[at], ranked))
    return found


def _entry(q: Question, candidate: Candidate, gain: float, over: Reach) -> dict[str, Any]:
    """A candidate and what it gained at a first look, as an alternative in a recommendation."""
    hours = over.horizon * q.compiled.plant.tick_s / 3600.0
    return {
        "control": candidate.control,
        "from": q.present[candidate.control],
        "to": candidate.value,
        "moves": candidate.steps(q.present),
        "by": _who(candidate.by),
        "words": f"{candidate.words}: {_money(gain)} {q.compiled.plant.currency} over {hours:.0f} h at a first look",
    }


@dataclass(frozen=True, slots=True)
class _Final:
    """A finalist judged on the fresh block: `outcome` holds doing nothing (0) and, as `arm`, what it does."""

    finalist: _Finalist
    outcome: Outcome
    arm: int
    gain: Gain

    @property
    def candidate(self) -> Candidate:
        """What is moved."""
        return self.finalist.candidate

    @property
    def hourly(self) -> Costs:
        """Gain [R] of each future, by tick of the horizon: the longer one would win by its length alone."""
        gained: Costs = (self.outcome.costs[0] - self.outcome.costs[self.arm]) / self.finalist.over.horizon
        return gained


def _promise(q: Question, grid: Grid, fresh: Block, finalists: list[_Finalist], n: int) -> Answer:
    unit = q.compiled.plant.currency
    hopeful = [f for f in finalists if f.gain > 0.0 or not q.joint]
    said = [
        f"{f.candidate.path(q.present)}: {_money(f.gain)} {unit} at a first look" for f in finalists if f not in hopeful
    ]
    level = _level(len(hopeful), len(fresh.rows))
    worth = {c.id: c.worth for c in grid.controls}
    good: list[_Final] = []
    selected: dict[str, Any] = {}
    for final in _judged(q, grid, fresh, hopeful):
        candidate = final.candidate
        problem = _problem(final.gain, max(worth[c] for c, _ in candidate.moves), level, unit)
        selected[candidate.words] = {"by": _who(candidate.by), **final.gain.as_json(unit), "problem": problem}
        if problem is None:
            good.append(final)
        else:
            said.append(f"{candidate.path(q.present)}: {problem}")
    if not good:
        said += unfamiliar(in_distribution(q))
        return Answer(f"doing nothing is best: of {n} candidates, " + "; ".join(said), None, n, selected)
    best = _preferred(q, good)
    mine = best.finalist
    alternatives = [e for e in mine.ranked if e is not mine.entry][:3]
    alternatives += [f.finalist.entry for f in good if f is not best and f.finalist.entry not in alternatives]
    return Answer("recommended", _recommendation(q, grid, fresh, best, alternatives), n, selected)


def _level(finalists: int, replicas: int) -> float:
    """What the mean of a gain must exceed, in its standard errors, where so many share the test."""
    return float(stats.t.ppf(1.0 - ALPHA / max(finalists, 1), replicas - 1))


def _judged(q: Question, grid: Grid, fresh: Block, finalists: list[_Finalist]) -> list[_Final]:
    """All finalists on the fresh block; those of one horizon in the same futures, beside doing nothing once."""
    found = []
    for over in dict.fromkeys(f.over for f in finalists):
        group = [f for f in finalists if f.over == over]
        arms = np.array([grid.vector(q.present), *(f.candidate.vector(grid, q.present) for f in group)])
        outcome = play(_share(q, fresh, over), q.compiled, arms, over, q.threads)
        for arm, finalist in enumerate(group, 1):
            gain = gain_of(outcome.costs[0], outcome.costs[arm], len(q.rows) - q.half)
            found.append(_Final(finalist, outcome, arm, gain))
    return found


def _share(q: Question, fresh: Block, over: Reach) -> Block:
    """The first replicas of the fresh block, the fewer the longer the horizon."""
    share = min(1.0, SHORT_S / (over.horizon * q.compiled.plant.tick_s))
    return replace(fresh, rows=fresh.rows[: max(round(share * len(fresh.rows)), q.futures // 4)])


def _preferred(q: Question, good: list[_Final]) -> _Final:
    """The best by gain an hour, the classes having different horizons; several moves with one click only where that is
    surely better than the best single one in the futures that both have been tried in: who moves one thing knows what
    it did.
    """
    single, joint = (
        max((f for f in good if f.candidate.joint == kind), key=lambda f: float(f.hourly.mean()), default=None)
        for kind in (False, True)
    )
    if single is None or joint is None:
        return single or joint or good[0]
    n = min(len(single.hourly), len(joint.hourly))
    more = gain_of(joint.hourly[:n], single.hourly[:n], len(q.rows) - q.half)
    return joint if more.t > _level(1, n) else single


def _against_rule(q: Question, grid: Grid, fresh: Block, final: _Final) -> Gain | None:
    """The gain over the rule's setpoints for the same lease, in the same futures; None without a rule."""
    over = final.finalist.over
    shared = _share(q, fresh, over)
    ruled = q.rule.act(shared.rows) if q.rule is not None else None
    if ruled is None:
        return None
    arms = grid.limit(ruled, shared.rows, q.compiled.layout)[None]
    return gain_of(play(shared, q.compiled, arms, over, q.threads).costs[0], final.outcome.costs[final.arm])


def _problem(gain: Gain, worth: float, level: float, unit: str) -> str | None:
    """Why a finalist is not shown; None when it is."""
    found = f"{gain.mean:+.1f} {unit}"
    if gain.t <= level:
        return f"{found}, not surely better than nothing"
    if gain.mean < worth:
        return f"{found}, less than the {worth:g} {unit} that deserve a click"
    if gain.worse > MOST_WORSE:
        return f"{found}, but worse than nothing in {100 * gain.worse:.0f} % of futures"
    return None


def _recommendation(
    q: Question, grid: Grid, fresh: Block, final: _Final, alternatives: list[dict[str, Any]]
) -> dict[str, Any]:
    """The body of a recommendation, without what only the service knows (id, times, position in the journal)."""
    compiled, unit = q.compiled, q.compiled.plant.currency
    candidate, over, finalist = final.candidate, final.finalist.over, final.finalist
    before, after = final.outcome.change[0], final.outcome.change[final.arm]
    score = in_distribution(q)
    broken = grid.broken(candidate.vector(grid, q.present), q.rows, compiled.layout)
    versus: dict[str, Any] = {"nothing": final.gain.as_json(unit)}
    rule = _against_rule(q, grid, fresh, final)
    if rule is not None:
        versus["rule"] = rule.as_json(unit)
    why = reasons(compiled, q.rows, before, after, over.horizon)
    why.append(
        f"proposed by {_who(candidate.by)}; the best of {len(finalist.ranked)} changes that act within the same "
        f"horizon ({finalist.entry['words'].partition(': ')[2]}; the gain promised was computed again, with other "
        "random numbers)"
    )
    why += _renewed(q, grid, candidate)
    why += unfamiliar(score, "see the checks")
    return {
        "control": candidate.control,
        "from": q.present[candidate.control],
        "to": candidate.value,
        "moves": candidate.steps(q.present),
        "gain": final.gain.as_json(unit),
        "vs": versus,
        "kpis": effects(compiled, before, after, over.horizon),
        "why": why,
        "alternatives": alternatives,
        "lease_s": over.lease * compiled.plant.tick_s,
        "horizon_s": over.horizon * compiled.plant.tick_s,
        "then": "rule:setpoint before",
        "checks": {
            "limits": {"ok": not broken, "note": "; ".join(broken) or "none broken"},
            "state familiar to the policy": score,
            "parameters": {
                "note": "not known exactly, so each future drew its own about the plant file's, by "
                + ", ".join(f"{SPREADS.get(k, k)} {100 * v:.0f} %" for k, v in asdict(q.spread).items())
            },
        },
        "evidence": _evidence(q, fresh, final, score),
    }


def _evidence(q: Question, fresh: Block, final: _Final, score: dict[str, Any]) -> dict[str, Any]:
    """What a recommendation rests on: enough to ask the same question again."""
    nothing, action = final.outcome.costs[0], final.outcome.costs[final.arm]
    return {
        "seeds": [block_seed(ADVICE_SELECT, q.seed), fresh.seed],
        "seed": q.seed,
        "n": final.outcome.costs.shape[1],
        "policy": q.policy.name if q.policy else None,
        "rule": q.rule.name if q.rule else None,
        "plant": q.compiled.hash,
        "rows": rows_hash(q.rows),
        "state_among_training": score.get("value") if q.policy and q.policy.bundle.familiar else None,
        "model": {"nothing": _band(nothing), "action": _band(action), "unit": q.compiled.plant.currency},
        "joint": q.joint,
        "leases": [list(lease) for lease in q.leases],
        "futures": q.futures,
        "locked": list(q.locked),
        "present": q.present,
        "spread": asdict(q.spread),
    }


def _renewed(q: Question, grid: Grid, candidate: Candidate) -> list[str]:
    """What is moved while a lease of it runs: where it goes in the end is not where it stands now."""
    moves = dict(candidate.moves)
    back = [f"{grid.ids[c]} to {before}" for c, before, _ in q.leases if grid.ids[c] in moves]
    return [f"after the lease, what was moved before goes back as it would have: {listed(back)}"] if back else []


def rows_hash(rows: Rows) -> str:
    """SHA-256 of the rows a question starts from."""
    return "sha256:" + hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").tobytes()).hexdigest()


def _band(costs: Costs) -> dict[str, float]:
    lo, hi = np.quantile(costs, [0.05, 0.95])
    return {"mean": round(float(costs.mean()), 4), "lo": round(float(lo), 4), "hi": round(float(hi), 4)}


def _money(gain: float) -> str:
    """A gain in few digits."""
    return f"{gain:+,.{0 if abs(gain) >= 100 else 1}f}"


def _who(name: str) -> str:
    return {"policy": "the trained policy", "rule": "the tuned rule"}.get(
        name.partition(":")[0], "search about the present setpoint"
    )


def question_of(
    evidence: dict[str, Any], rows: Rows, compiled: Compiled, policy: PolicyController | None, rule: Controller | None
) -> Question:
    """The question that a recommendation's evidence and its stored rows describe; `ValueError` when they do not
    belong together.
    """
    expected = {
        "rows": rows_hash(rows),
        "plant": compiled.hash,
        "policy": policy.name if policy else None,
        "rule": rule.name if rule else None,
    }
    for what, found in expected.items():
        if evidence[what] != found:
            raise ValueError(
                f"{what}: the evidence names {evidence[what]}, this is {found}; reproduce with what was in force then"
            )
    return Question(
        compiled,
        rows,
        {str(k): int(v) for k, v in evidence["present"].items()},
        int(evidence["seed"]),
        policy,
        rule,
        tuple(evidence["locked"]),
        Spread(**evidence["spread"]),
        joint=bool(evidence.get("joint", False)),  # older evidence is of single moves
        futures=int(evidence.get("futures", FUTURES)),
        leases=tuple((int(c), int(before), int(end)) for c, before, end in evidence.get("leases", [])),
    )


def reproduce(
    evidence: dict[str, Any], rows: Rows, compiled: Compiled, policy: PolicyController | None, rule: Controller | None
) -> dict[str, Any] | None:
    """The recommendation body recomputed from its evidence: equal to what was shown, number by number."""
    return propose(question_of(evidence, rows, compiled, policy, rule)).recommendation
