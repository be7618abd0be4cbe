"""Several controls moved with one click: proposed where that is surely better than one, without what adds nothing."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.advice.compare import Question, propose, reproduce
from agents.advice.futures import Block, Outcome, play
from agents.advice.horizon import Reach, reach
from agents.advice.moves import MOST, Candidate, moved, propose_candidates
from agents.control.controllers import RuleController
from agents.envs.grid import Grid
from agents.rules.rule import Rule
from sim.compile import Compiled
from sim.kernel import get_controls, new_rows, run, set_controls
from twin.joint import moves_of

PRESENT = {"cap40": 8, "cap80": 5, "base40": 20, "base80": 12, "kit_level": 600}
WANTED = {"cap40": 14, "cap80": 9, "base40": 34, "base80": 22, "kit_level": 760}
Worth = Callable[[dict[str, bool]], float]


@pytest.fixture
def asked(two_motors: Compiled) -> Question:
    grid = Grid(two_motors.plant)
    rows = new_rows(two_motors, 11, 1)
    set_controls(rows, two_motors, grid.vector(PRESENT))
    run(rows, two_motors, two_motors.ticks(34 * 3600))
    rule = RuleController(Rule(WANTED), two_motors, grid)
    return Question(two_motors, np.repeat(rows, 64, axis=0), PRESENT, 4711, rule=rule)


def worth(monkeypatch: pytest.MonkeyPatch, q: Question, of: Worth, noise: float = 0.0) -> None:
    """Futures in which setpoints gain what `of` says of the controls that stand where the rule wants them."""
    ids, width = [c.id for c in q.compiled.plant.controls], q.compiled.layout.width

    def played(b: Block, _c: Any, values: Any, _o: Any, _t: int = 1, first: int | None = None) -> Outcome:
        n = len(b.rows) if first is None else first
        luck = np.random.default_rng(b.seed).normal(1000, 200, n)
        costs = []
        for vector in values if values.ndim == 2 else values[:, 0]:
            own = np.random.default_rng([b.seed % 9973, zlib.crc32(vector.tobytes())]).normal(0, noise, n)
            at = {c: int(v) == WANTED[c] for c, v in zip(ids, vector, strict=True)}
            costs.append(luck - of(at) + own * any(at.values()))
        return Outcome(np.array(costs), np.zeros((len(values), n, width), dtype=np.int64))

    for where in ("agents.advice.futures.play", "agents.advice.compare.play", "agents.advice.moves.play"):
        monkeypatch.setattr(where, played)


def sums(**each: float) -> Worth:
    return lambda at: sum(each.get(control, 0.0) for control, there in at.items() if there)


def body_of(q: Question) -> dict[str, Any]:
    answer = propose(q)
    assert answer.recommendation is not None, answer.why
    return answer.recommendation


def test_a_joint_move_that_is_better_than_each_single_one(monkeypatch: pytest.MonkeyPatch, asked: Question) -> None:
    worth(monkeypatch, asked, sums(cap40=90, cap80=120, base40=60))
    body = body_of(asked)
    assert body["moves"] == [
        {"control": "cap80", "from": 5, "to": 9},  # it matters most; the others stand in the plant's order
        {"control": "cap40", "from": 8, "to": 14},
        {"control": "base40", "from": 20, "to": 34},
    ], "base80 and kit_level add nothing"
    assert (body["control"], body["from"], body["to"]) == ("cap80", 5, 9)
    assert body["gain"]["mean"] == pytest.approx(270.0)
    assert "+270 EUR over" in next(line for line in body["why"] if line.startswith("proposed by the tuned rule"))
    single = next(other for other in body["alternatives"] if len(other["moves"]) == 1)
    assert single["moves"] == [{key: single[key] for key in ("control", "from", "to")}]
    q = asked
    assert reproduce(body["evidence"], q.rows, q.compiled, None, q.rule) == body


def test_the_longest_lease_and_horizon_of_what_is_moved(monkeypatch: pytest.MonkeyPatch, asked: Question) -> None:
    controls = {c.id: c for c in asked.compiled.plant.controls}
    now = asked.compiled.ticks(34 * 3600)
    for names in (("cap40", "cap80"), ("cap40", "kit_level")):
        worth(monkeypatch, asked, sums(**dict(zip(names, (300.0, 600.0), strict=True))))
        body = body_of(asked)
        assert {m["control"] for m in body["moves"]} == set(names)
        reaches = [reach(controls[name], asked.compiled, now) for name in names]
        second = asked.compiled.plant.tick_s
        assert body["lease_s"] == max(r.lease for r in reaches) * second
        assert body["horizon_s"] == max(r.horizon for r in reaches) * second


def test_moves_that_only_do_the_same_again_are_left_out(monkeypatch: pytest.MonkeyPatch, asked: Question) -> None:
    worth(monkeypatch, asked, lambda at: 100.0 * (at["cap40"] or at["cap80"]))
    assert len(body_of(asked)["moves"]) == 1


def test_one_thing_is_moved_where_more_is_not_surely_better(monkeypatch: pytest.MonkeyPatch, asked: Question) -> None:
    worth(monkeypatch, asked, sums(cap40=200, cap80=4), noise=60.0)
    found = [body_of(replace(asked, seed=seed))["moves"] for seed in range(20)]
    assert sum(len(moves) > 1 for moves in found) <= 1
    worth(monkeypatch, asked, sums(cap40=200, cap80=100), noise=60.0)
    found = [body_of(replace(asked, seed=seed))["moves"] for seed in range(20)]
    assert sum({m["control"] for m in moves} >= {"cap40", "cap80"} for moves in found) >= 18


def test_a_joint_move_must_deserve_the_dearest_click(monkeypatch: pytest.MonkeyPatch, asked: Question) -> None:
    worths = {c.id: c.worth for c in asked.compiled.plant.controls}
    assert worths["cap40"] < worths["kit_level"]
    cap = 0.9 * worths["cap40"]
    kit = 0.95 * worths["kit_level"] - cap
    worth(monkeypatch, asked, sums(cap40=cap, kit_level=kit))
    answer = propose(asked)
    assert cap + kit > worths["cap40"]
    assert answer.recommendation is None, "more than the cap deserves, less than the kits do"
    assert f"{cap + kit:+.1f} EUR, less than the {worths['kit_level']:g} EUR that deserve a click" in answer.why


def test_what_is_locked_is_not_part_of_it(asked: Question) -> None:
    found = propose_candidates(replace(asked, locked=("cap80", "base40")), Grid(asked.compiled.plant))
    together = [dict(c.moves) for c in found if c.joint]
    assert {"cap40": 14, "base80": 22, "kit_level": 760} in together
    assert {"cap40": 14, "base80": 22} in together, "and what acts within the shortest horizon"
    assert len(found) <= MOST
    asked = replace(asked, locked=("cap80", "base40", "base80", "kit_level"))
    alone = propose_candidates(asked, Grid(asked.compiled.plant))
    assert not any(c.joint for c in alone)


def test_evidence_from_before_joint_moves_is_recomputed_as_it_was(
    monkeypatch: pytest.MonkeyPatch, asked: Question
) -> None:
    worth(monkeypatch, asked, sums(cap40=90, cap80=120))
    before = body_of(replace(asked, joint=False))
    assert before["moves"] == [{"control": "cap80", "from": 5, "to": 9}]
    evidence = {k: v for k, v in before["evidence"].items() if k not in {"joint", "futures"}}
    assert reproduce(evidence, asked.rows, asked.compiled, None, asked.rule) == before


def test_words_of_several_moves() -> None:
    moves = (("cap", 132), ("base40", 64), ("wire", 900))
    assert Candidate(moves, "").words == "cap to 132, base40 to 64 and wire to 900"
    assert Candidate(moves[:2], "").path({"cap": 116, "base40": 60}) == "cap 116 to 132 and base40 60 to 64"
    old = {"control": "cap", "from": 116, "to": 132}
    assert moves_of(old) == [old], "a body without moves is a single move"
    assert moved(old).moves == moves[:1]


def test_leases_that_run_end_in_the_futures_too(two_motors: Compiled) -> None:
    grid, hour = Grid(two_motors.plant), two_motors.ticks(3600)
    rows = new_rows(two_motors, 11, 2)
    set_controls(rows, two_motors, grid.vector(WANTED))
    run(rows, two_motors, 34 * hour)
    leases = ((0, 8, 36 * hour), (1, 5, 44 * hour), (2, 20, 99 * hour))  # of 14, 9, 34
    presents = Block(rows, 1, leases)
    moved_one = grid.vector({**WANTED, "cap80": 12})
    ends: dict[float, list[list[int]]] = {}
    for hours in (1.0, 3.0, 7.0, 11.0):
        over = Reach(6 * hour, round(hours * hour))
        if over.horizon > over.lease:
            out = play(presents, two_motors, np.array([grid.vector(WANTED), moved_one]), over)
            ends[hours] = [get_controls(rows + change, two_motors)[0, :3].tolist() for change in out.change]
    assert ends[7.0] == [[8, 9, 34], [8, 5, 34]], "the new lease of cap80 leads back to where the old one does"
    assert ends[11.0] == [[8, 5, 34], [8, 5, 34]]


def test_a_renewed_lease_says_where_it_leads_in_the_end(monkeypatch: pytest.MonkeyPatch, asked: Question) -> None:
    worth(monkeypatch, asked, sums(cap40=90, cap80=120))
    q = replace(asked, leases=((1, 12, asked.compiled.ticks(40 * 3600)), (4, 700, asked.compiled.ticks(40 * 3600))))
    body = body_of(q)
    assert "after the lease, what was moved before goes back as it would have: cap80 to 12" in body["why"]
    assert reproduce(body["evidence"], q.rows, q.compiled, None, q.rule) == body
