"""From a live state to a recommendation, or to "doing nothing is best": pure functions of a `Question`.

Candidates are chosen on one half of the twin's presents and one block of seeds, the promise is computed on the other
half and a fresh block. Everything is a function of the question, so `reproduce` recomputes a recommendation bit for
bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.controllers import Controller, PolicyController
from agents.familiar import OUTSIDE, Familiar, nearer
from agents.fields import fields
from agents.futures import Block, Outcome, block, halve, play
from agents.gain import Gain, gain_of
from agents.grid import Grid
from agents.horizon import Reach, reach
from agents.seeds import ADVICE_PROMISE, ADVICE_SELECT, Spread, block_seed
from agents.why import effects, reasons

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
Costs = NDArray[np.float64]

MOST = 20
"""Candidates checked at one decision moment."""
ALPHA = 0.02
"""One-sided level of the test that an action beats doing nothing, shared by the finalists of a moment: an engineer
looks at many moments a shift, so it is stricter than the usual 5 %."""
FUTURES = 768
"""Futures of a promise whose horizon is at most `SHORT_S`; beyond, fewer, so that a promise costs the same."""
FEWEST = 192
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
    them may not move yet, and a seed. `policy` and `rule` propose; either may be missing.
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """One control moved to one value, and who proposed it."""

    control: str
    value: int
    by: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell the twin. `recommendation` is None when doing nothing is best, and `why` says why."""

    why: str
    recommendation: dict[str, Any] | None
    candidates: int
    selected: dict[str, Any]


def propose_candidates(q: Question, grid: Grid) -> list[Candidate]:
    """Single-control moves: what policy and rule would set, then neighbours of the present setpoints, nearest first."""
    layout = q.compiled.layout
    present = grid.vector(q.present)
    wanted: list[tuple[str, Values]] = []
    for who in (q.policy, q.rule):
        values = None if who is None else who.act(q.rows)
        if who is not None and values is not None:
            middle = np.rint(np.median(values, axis=0)).astype(np.int64)
            wanted.append((who.name, grid.decode(grid.encode(middle))))
    strides = [-1, 1, -2, 2, -4, 4]
    moves = [(name, c, int(values[c])) for name, values in wanted for c in range(grid.size)]
    for stride in strides:
        unit = np.maximum(grid.counts // 16, 1) * grid.step
        moves += [("neighbour", c, int(present[c] + stride * unit[c])) for c in range(grid.size)]
    found: dict[tuple[int, int], Candidate] = {}
    for name, c, raw in moves:
        vector = present.copy()
        vector[c] = np.clip(raw, grid.low[c], grid.high[c])
        allowed = grid.limit(vector[None, :], q.rows[:1], layout)[0]
        value = int(allowed[c])
        if (
            value == present[c]
            or grid.ids[c] in q.locked
            or (c, value) in found
            or grid.broken(allowed, q.rows, layout)
        ):
            continue
        found[c, value] = Candidate(grid.ids[c], value, name)
    return list(found.values())[:MOST]


def propose(q: Question) -> Answer:
    """The most valuable single change that is surely better than nothing and worth a click, or the reason why there
    is none.
    """
    grid = Grid(q.compiled.plant)
    now = int(q.rows[0, q.compiled.layout.at("now")])
    candidates = propose_candidates(q, grid)
    if not candidates:
        return Answer("no control may move now: every one is at its rate limit or its bound", None, 0, {})
    half = len(q.rows) // 2
    choice = block(q.rows[:half], q.compiled, block_seed(ADVICE_SELECT, q.seed), q.spread)
    # several futures of each present where the snapshot is small
    fresh = block(
        np.resize(q.rows[half:], (FUTURES, q.rows.shape[1])), q.compiled, block_seed(ADVICE_PROMISE, q.seed), q.spread
    )
    horizons = {c.id: reach(c, q.compiled, now) for c in grid.controls}
    finalists: list[_Finalist] = []
    for over in sorted(set(horizons.values()), key=lambda h: (h.horizon, h.lease)):
        group = [c for c in candidates if horizons[c.control] == over]
        if group:
            finalists.append(_select(q, grid, choice, group, over))
    return _promise(q, grid, fresh, finalists, len(candidates))


def _vector(grid: Grid, present: dict[str, int], candidate: Candidate | None) -> Values:
    values = dict(present)
    if candidate is not None:
        values[candidate.control] = candidate.value
    return grid.vector(values)


@dataclass(frozen=True, slots=True)
class _Finalist:
    """The winner of one class of action: `over` its lease and horizon, `ranked` all of its class, best first, for
    people.
    """

    candidate: Candidate
    over: Reach
    ranked: list[dict[str, Any]]


def _select(q: Question, grid: Grid, choice: Block, group: list[Candidate], over: Reach) -> _Finalist:
    """The winner among candidates of one horizon on the choosing block, and the runners-up as alternatives."""
    values = np.array([_vector(grid, q.present, None)] + [_vector(grid, q.present, c) for c in group])
    order, gains = halve(choice, q.compiled, values, over, q.threads)
    hours = over.horizon * q.compiled.plant.tick_s / 3600.0
    ranked = [
        {
            "control": group[k - 1].control,
            "from": q.present[group[k - 1].control],
            "to": group[k - 1].value,
            "by": _who(group[k - 1].by),
            "words": f"{group[k - 1].control} to {group[k - 1].value}: {gains[k]:+.1f} "
            f"{q.compiled.plant.currency} over {hours:.0f} h at a first look",
        }
        for k in order
    ]
    return _Finalist(group[order[0] - 1], over, ranked)


@dataclass(frozen=True, slots=True)
class _Final:
    """A finalist judged on the fresh block."""

    candidate: Candidate
    over: Reach
    others: list[dict[str, Any]]
    outcome: Outcome  # 0 nothing, 1 the candidate, 2 the rule (where there is one)
    gain: Gain
    rule: Gain | None


def _promise(q: Question, grid: Grid, fresh: Block, finalists: list[_Finalist], n: int) -> Answer:
    level = float(stats.t.ppf(1.0 - ALPHA / len(finalists), len(fresh.rows) - 1))
    good: list[_Final] = []
    said: list[str] = []
    selected: dict[str, Any] = {}
    for finalist in finalists:
        candidate = finalist.candidate
        final = _judge(q, grid, fresh, finalist)
        control = next(c for c in grid.controls if c.id == candidate.control)
        problem = _problem(final.gain, control.worth, level, q.compiled.plant.currency)
        selected[candidate.control] = {
            "to": candidate.value,
            "by": _who(candidate.by),
            **final.gain.as_json(q.compiled.plant.currency),
            "problem": problem,
        }
        if problem is None:
            good.append(final)
        else:
            said.append(f"{candidate.control} {q.present[candidate.control]} to {candidate.value}: {problem}")
    if not good:
        told = in_distribution(q)
        said += _unfamiliar(told)
        return Answer(f"doing nothing is best: of {n} candidates, " + "; ".join(said), None, n, selected)
    # the longer horizon would win by its length alone, so the classes are compared by gain an hour
    best = max(good, key=lambda f: f.gain.mean / f.over.horizon)
    rest = [f for f in good if f is not best]
    alternatives = best.others[1:4] + [f.others[0] for f in rest]
    return Answer("recommended", _recommendation(q, grid, fresh, best, alternatives), n, selected)


def _judge(q: Question, grid: Grid, fresh: Block, finalist: _Finalist) -> _Final:
    share = min(1.0, SHORT_S / (finalist.over.horizon * q.compiled.plant.tick_s))
    fresh = Block(fresh.rows[: max(round(share * len(fresh.rows)), FEWEST)], fresh.seed)
    replicas = len(fresh.rows)
    arms = [np.repeat(_vector(grid, q.present, c)[None, :], replicas, axis=0) for c in (None, finalist.candidate)]
    ruled = q.rule.act(fresh.rows) if q.rule is not None else None
    if ruled is not None:
        arms.append(grid.limit(ruled, fresh.rows, q.compiled.layout))
    outcome = play(fresh, q.compiled, np.array(arms), finalist.over, q.threads)
    rule = gain_of(outcome.costs[2], outcome.costs[1]) if ruled is not None else None
    return _Final(
        finalist.candidate,
        finalist.over,
        finalist.ranked,
        outcome,
        gain_of(outcome.costs[0], outcome.costs[1], len(q.rows) - len(q.rows) // 2),
        rule,
    )


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
    before, after = final.outcome.change[0], final.outcome.change[1]
    score = in_distribution(q)
    broken = grid.broken(_vector(grid, q.present, final.candidate), q.rows, compiled.layout)
    versus: dict[str, Any] = {"nothing": final.gain.as_json(unit)}
    if final.rule is not None:
        versus["rule"] = final.rule.as_json(unit)
    why = reasons(compiled, q.rows, before, after, final.over.horizon)
    why.append(
        f"proposed by {_who(final.candidate.by)}; the best of {len(final.others)} changes that act within the same "
        f"horizon ({final.others[0]['words'].partition(': ')[2]}; the gain promised was computed again, with other "
        "random numbers)"
    )
    why += _unfamiliar(score, "see the checks")
    return {
        "control": final.candidate.control,
        "from": q.present[final.candidate.control],
        "to": final.candidate.value,
        "gain": final.gain.as_json(unit),
        "vs": versus,
        "kpis": effects(compiled, before, after, final.over.horizon),
        "why": why,
        "alternatives": alternatives,
        "lease_s": final.over.lease * compiled.plant.tick_s,
        "horizon_s": final.over.horizon * compiled.plant.tick_s,
        "then": "rule:setpoint before",
        "checks": {
            "limits": {"ok": not broken, "note": "; ".join(broken) or "none broken"},
            "state familiar to the policy": score,
            "parameters": {
                "note": "not known exactly, so each future drew its own about the plant file's, by "
                + ", ".join(f"{SPREADS.get(k, k)} {100 * v:.0f} %" for k, v in asdict(q.spread).items())
            },
        },
        "evidence": {
            "seeds": [block_seed(ADVICE_SELECT, q.seed), fresh.seed],
            "seed": q.seed,
            "n": final.outcome.costs.shape[1],
            "policy": q.policy.name if q.policy else None,
            "rule": q.rule.name if q.rule else None,
            "plant": compiled.hash,
            "rows": rows_hash(q.rows),
            "state_among_training": score.get("value") if q.policy and q.policy.bundle.familiar else None,
            "model": {"nothing": _band(final.outcome.costs[0]), "action": _band(final.outcome.costs[1]), "unit": unit},
            "locked": list(q.locked),
            "present": q.present,
            "spread": asdict(q.spread),
        },
    }


def in_distribution(q: Question) -> dict[str, Any]:
    """Where the present state lies among those that the policy learned from: `value` is its percentile (the middle of
    the twin's presents), `ok` up to `agents.familiar.OUTSIDE`. For bundles that only say ranges: how much of what is
    observed lies inside them, `ok` from 95 % on.
    """
    if q.policy is None:
        return {"note": "no policy in force"}
    familiar, observer = q.policy.bundle.familiar, q.policy.observer
    observation = observer(q.rows)
    if familiar is not None:
        return _among(q, familiar, observation)
    low, high = q.policy.bundle.ranges
    slack = 0.02 + 0.05 * (high - low)
    inside = (observation >= low - slack) & (observation <= high + slack)
    score = float(inside.mean())
    worst = int(inside.mean(axis=0).argmin())
    note = f"{100 * score:.0f} % of what it looks at lies within the bounds of its training"
    if inside[:, worst].mean() < 0.5:
        note += f"; furthest outside: {_field(q, observer.fields[worst])}"
    return {"ok": score >= 0.95, "note": f"{'yes' if score >= 0.95 else 'no'}: {note}", "value": round(score, 4)}


def _among(q: Question, familiar: Familiar, observation: NDArray[np.float32]) -> dict[str, Any]:
    """The percentile of observations [N, D] among those of training, in words too."""
    assert q.policy is not None
    middle = round(float(np.median(familiar.percentile(observation))), 2)
    if middle <= OUTSIDE:
        note = f"yes: further from the usual than {nearer(middle)} of the states of its training"
        return {"ok": True, "note": note, "value": middle}
    furthest = q.policy.observer.fields[int(familiar.parts(observation).mean(axis=0).argmax())]
    note = f"no: further from the usual than {nearer(middle)} of the states of its training, most of all in what is "
    return {"ok": False, "note": note + _field(q, furthest), "value": middle, "furthest": furthest}


def _field(q: Question, name: str) -> str:
    """An observed number in words, with its name."""
    known = {field.name: field.meaning for field in fields(q.compiled)}
    return f"{known[name]} ({name})" if name in known else name


def _unfamiliar(score: dict[str, Any], how: str = "") -> list[str]:
    """What a state outside what the policy has seen means for who reads the advice; nothing for one inside. `how`: in
    place of how far outside it is.
    """
    if score.get("ok", True):
        return []
    how = how or str(score["note"]).removeprefix("no: ")
    what = f"note: the state lies outside what the policy has seen ({how}), so what it proposes here is a guess"
    return [f"{what}; gains and chances are the twin's own simulation and do not depend on it"]


def rows_hash(rows: Rows) -> str:
    """SHA-256 of the rows a question starts from."""
    return "sha256:" + hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").tobytes()).hexdigest()


def _band(costs: Costs) -> dict[str, float]:
    lo, hi = np.quantile(costs, [0.05, 0.95])
    return {"mean": round(float(costs.mean()), 4), "lo": round(float(lo), 4), "hi": round(float(hi), 4)}


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
    )


def reproduce(
    evidence: dict[str, Any], rows: Rows, compiled: Compiled, policy: PolicyController | None, rule: Controller | None
) -> dict[str, Any] | None:
    """The recommendation body recomputed from its evidence: equal to what was shown, number by number."""
    return propose(question_of(evidence, rows, compiled, policy, rule)).recommendation
