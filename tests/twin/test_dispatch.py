"""A guessed product is given up when its turn has been passed over, by hand on one station of two products."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sim.compile import compile_plant
from sim.plantfile import load
from twin import moves
from twin.estimate import ensemble
from twin.events import busy_unit
from twin.facts import to_facts
from twin.floor import Floor, set_state
from twin.forecast import measure, series_names
from twin.guesses import VARIANTS, drawn
from twin.model import DOWN, Part
from twin.topology import build, empty_state

MINUTE = 60_000
FILE = """
plantwin: 1
site: s
area: a
line: two
tick: 1 s
time_unit: min
products:
  x: {{routing: [saw, mill]}}
  y: {{routing: [saw, mill]}}
stations:
  saw: {{work: constant(1 min)}}
  mill:
    work: {{x: constant(5 min), y: constant(10 min)}}
    setup: {{default: constant(20 min)}}
    {dispatch}
release:
  x: {{policy: conwip, cap: 9}}
  y: {{policy: conwip, cap: 9}}
"""
X, Y, MILL = 0, 1, 1


def floor(folder: Path, dispatch: str = "") -> Floor:
    """The plant at minute 100; nothing is anywhere."""
    path = folder / "two.yaml"
    path.write_text(FILE.format(dispatch=dispatch))
    topology = build(load(str(path)))
    state = empty_state(topology)
    state.stations[MILL].events = True
    return Floor(topology, state, 100 * MINUTE)


def queue(f: Floor, *parts: tuple[int, int, bool]) -> None:
    """Parts before the mill: product, minute at which it joined, only guessed?"""
    for product, minute, guess in parts:
        part = Part(product=product, step=1, born=minute * MINUTE, since=minute * MINUTE, guess=guess)
        f.state.stations[MILL].queue.append(part)
        f.state.wip[product] += 1


def left(f: Floor) -> list[tuple[int, int, bool]]:
    return [(p.product, p.since // MINUTE, p.guess) for p in f.state.stations[MILL].queue]


def test_first_in_first_out_was_not_kept_so_the_guess_was_wrong(tmp_path: Path) -> None:
    f = floor(tmp_path)
    queue(f, (Y, 50, True), (X, 90, False), (Y, 95, False))
    moves.start(f, MILL, 0, X)
    assert left(f) == [(X, 90, False), (Y, 95, False)]  # what was taken for a y is the x that started
    assert f.state.wip == [2, 1]
    assert f.state.counts["relabelled"] == 1
    assert f.state.counts.get("appeared", 0) == 0


@pytest.mark.parametrize(
    "parts",
    [
        [(Y, 50, False), (X, 90, False)],  # known by an event: somebody chose otherwise
        [(Y, 50, True), (X, 50, True)],  # both only guessed
        [(Y, 89, True), (X, 89, False)],  # no clear turn
        [(X, 50, True), (X, 90, False)],  # the guess was right
    ],
)
def test_nothing_is_given_up_without_a_contradiction(tmp_path: Path, parts: list[tuple[int, int, bool]]) -> None:
    f = floor(tmp_path)
    queue(f, *parts)
    before = list(f.state.wip)
    moves.start(f, MILL, 0, X)
    assert f.state.wip == before
    assert "relabelled" not in f.state.counts


@pytest.mark.parametrize(("waits", "given_up"), [(59, False), (62, True)])
def test_a_setup_that_is_avoided_is_no_contradiction(tmp_path: Path, waits: int, given_up: bool) -> None:
    """Weights 3 : 1, a setup of 20 min: the other family waits for an hour longer before it has its turn."""
    f = floor(tmp_path, "dispatch: {setup: 3, waited: -1}")
    f.state.stations[MILL].units[0].family = f.topology.family[X]
    queue(f, (Y, 90 - waits, True), (X, 90, False))
    moves.start(f, MILL, 0, X)
    assert (f.state.counts.get("relabelled", 0) == 1) == given_up
    assert f.state.wip == ([2, 0] if given_up else [1, 1])


def test_a_rule_that_looks_at_what_is_not_known_contradicts_nothing(tmp_path: Path) -> None:
    f = floor(tmp_path, "dispatch: edd")
    queue(f, (Y, 10, True), (X, 90, False))
    moves.start(f, MILL, 0, X)
    assert "relabelled" not in f.state.counts


def test_doubt_is_handed_on_to_the_oldest_known_part(tmp_path: Path) -> None:
    """Of one guessed and two known y two have started: the third is there only if the guess was right."""
    f = floor(tmp_path)
    queue(f, (Y, 50, True), (Y, 60, False), (Y, 70, False), (X, 90, False))
    moves.start(f, MILL, 0, Y)
    assert left(f) == [(Y, 60, True), (Y, 70, False), (X, 90, False)]
    moves.end(f, MILL, 0, Y)
    moves.start(f, MILL, 0, Y)
    assert left(f) == [(Y, 70, True), (X, 90, False)]
    moves.end(f, MILL, 0, Y)
    moves.start(f, MILL, 0, X)
    assert left(f) == [(X, 90, False)]
    assert f.state.wip == [2, 0]


def test_who_changes_places_takes_the_doubt_along(tmp_path: Path) -> None:
    f = floor(tmp_path)
    queue(f, (Y, 50, True), (X, 90, False))
    moves.start(f, MILL, 0, None)  # a y, as far as is known
    moves.end(f, MILL, 0, X)
    assert left(f) == [(Y, 50, True)]
    assert f.state.wip == [0, 1]


def test_a_counter_that_names_no_unit_ends_a_part_in_one_that_is_up(tmp_path: Path) -> None:
    f = floor(tmp_path, "units: 2")
    queue(f, (X, 50, False), (Y, 60, False))
    moves.start(f, MILL, 0, X)
    f.t += MINUTE
    moves.start(f, MILL, 1, Y)
    assert busy_unit(f, MILL, X) == 0
    set_state(f, MILL, 0, DOWN)
    assert busy_unit(f, MILL, None) == 1
    assert busy_unit(f, MILL, X) == 1  # two x may have changed places; one that is down ends nothing


def test_guessed_products_are_drawn_by_their_shares_and_known_ones_are_kept(tmp_path: Path) -> None:
    f = floor(tmp_path)
    queue(f, *[(Y, 50, True)] * 40, (X, 90, False), (Y, 95, False))
    f.state.stations[MILL].ended_of[:] = [29, 9]
    f.state.t = f.t
    compiled = compile_plant(f.topology.plant)
    facts = to_facts(compiled, f.state)
    groups = drawn(compiled, f.topology, f.state, [facts], 3, 200)
    assert len(groups) == VARIANTS
    share = []
    for group in groups:
        names = [part.product for part in group.queues["mill"]]
        assert len(names) == 42
        assert names[40:] == ["x", "y"]
        assert [p.queued for p in group.queues["mill"]] == [p.queued for p in facts.queues["mill"]]
        share.append(names[:40].count("x") / 40)
    assert len(set(share)) > 1
    assert sum(share) / VARIANTS == pytest.approx(0.75, abs=0.09)  # 240 draws: three standard errors
    assert drawn(compiled, f.topology, f.state, [facts], 3, 200) == groups


def test_without_guesses_nothing_is_drawn(tmp_path: Path) -> None:
    f = floor(tmp_path)
    queue(f, (Y, 50, False), (X, 90, False))
    f.state.t = f.t
    compiled = compile_plant(f.topology.plant)
    groups = [to_facts(compiled, f.state)]
    assert drawn(compiled, f.topology, f.state, groups, 3, 200) is groups


def test_a_queue_that_an_ensemble_has_filled_is_left_as_it_is(tmp_path: Path) -> None:
    f = floor(tmp_path)
    queue(f, (Y, 50, True), (X, 90, False))
    f.state.t = f.t
    compiled = compile_plant(f.topology.plant)
    facts = to_facts(compiled, f.state)
    other = replace(facts, queues=facts.queues | {"mill": facts.queues["mill"][:1]})
    groups = [facts, other]
    assert drawn(compiled, f.topology, f.state, groups, 3, 200) is groups


def test_rows_hold_the_same_parts_whatever_they_are(tmp_path: Path) -> None:
    f = floor(tmp_path)
    queue(f, *[(Y, 50, True)] * 6, (X, 90, False))
    f.state.t = f.t
    compiled = compile_plant(f.topology.plant)
    rows = ensemble(compiled, f.state, 5, 24)
    at = dict(zip(series_names(compiled), measure(rows, compiled), strict=True))
    assert set(at["at/mill"].tolist()) == {7.0}
    assert len({tuple(row) for row in compiled.layout.view(rows, "part_product").tolist()}) > 1
