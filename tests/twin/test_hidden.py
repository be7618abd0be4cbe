"""The ensemble for what no sensor sees: against the exact Bayes filter, and inside the tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from hardware.twist import Twist
from ingest.wire import Row
from sim.compile import compile_plant
from sim.plant import Plant
from sim.plantfile import load
from tests.oracles.bayes_filter import Line, Spec
from tests.twin.hidden_lines import LINES, Told, compare, plant, ratio
from tests.twin.shop_rows import ShopRows
from twin.estimate import ensemble, state_hash
from twin.hidden_kernel import COUNTED, LOGW
from twin.hidden_model import Stretch, stretches, table, why_not
from twin.hidden_view import Place, places, present
from twin.model import held
from twin.topology import build
from twin.tracker import Tracker
from twin.views import Around, frame, state_view

HALF = """# Half of a line without a sensor
plantwin: 1
site: demo
area: a
line: half
timezone: UTC
tick: 1 ms
time_unit: h
products:
  part: {routing: [m0, m1, m2, m3, m4, m5]}
stations:
  m0: {work: "gamma(mean=60 s, cv=0.5)"}
  m1: {work: "gamma(mean=55 s, cv=0.4)"}
  m2: {work: exponential(50 s), fails: {clock: odf, after: exponential(20 min), repair: exponential(3 min)}}
  m3: {work: "gamma(mean=58 s, cv=0.5)"}
  m4: {work: "gamma(mean=55 s, cv=0.5)"}
  m5: {work: exponential(55 s)}
buffers:
  b1: {before: m1, capacity: 4}
  b2: {before: m2, capacity: 4}
  b3: {before: m3, capacity: 4}
  b4: {before: m4, capacity: 4}
  b5: {before: m5, capacity: 4}
release:
  part: {policy: saturated}
sensors:
  - {thing: m0, property: state, tag: m0/state, type: enum}
  - {thing: m0, property: out, tag: m0/out, type: counter}
  - {thing: m3, property: state, tag: m3/state, type: enum}
  - {thing: m3, property: out, tag: m3/out, type: counter}
  - {thing: m5, property: state, tag: m5/state, type: enum}
  - {thing: m5, property: out, tag: m5/out, type: counter}
"""
HIDDEN = ("m1", "m2", "m4")


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    file = tmp_path_factory.mktemp("half") / "half.yaml"
    file.write_text(HALF)
    return load(str(file))


class HalfSeen(ShopRows):
    """The virtual plant, of which three stations say nothing. Keeps the rows."""

    def __init__(self, plant: Plant, *, loss: float = 0.0, warmup_s: float = 0.0) -> None:
        self.rows: list[Row] = []
        super().__init__(plant, Twist(), loss=loss, warmup_s=warmup_s)
        tell = self.plant.shop.tell

        def only_others(kind: str, unit: Any, *more: Any, **named: Any) -> None:
            if unit.station.spec.id not in HIDDEN:
                tell(kind, unit, *more, **named)

        self.plant.shop.tell = only_others  # type: ignore[method-assign]

    def _put(self, kind: str, body: bytes, t: int, s: int | None = None) -> None:
        super()._put(kind, body, t, s)
        source = "" if kind in ("tick", "supply") else "ptw/v1/demo/machining/test/cell1"
        self.rows.append(Row(self.pos, t, t, kind, source, None if s is None else "e1", s, body))

    def truth(self) -> list[int]:
        return [station.wip for station in self.plant.shop.stations.values()]

    def places(self) -> dict[int, Place]:
        return places(self.tracker.topology, self.tracker.state)


@pytest.mark.parametrize("name", ["one", "erlang", "odf"])
def test_as_good_as_the_exact_filter(name: str, tmp_path: Path) -> None:
    """RMSE of the hidden WIP within a tenth of the least that is possible, on the same paths (all: `-m slow`)."""
    line = LINES[name]
    topology = build(plant(line, tmp_path))
    found = [compare(line, topology, seed, 300, 400) for seed in range(5)]
    assert ratio(found) <= 1.10
    assert np.mean(np.concatenate([one.covered for one in found])) >= 0.90
    assert np.mean(np.concatenate([one.ess for one in found])) >= 0.4


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LINES))
def test_as_good_as_the_exact_filter_on_thirty_paths(name: str, tmp_path: Path) -> None:
    line = LINES[name]
    topology = build(plant(line, tmp_path))
    found = [compare(line, topology, seed, 600, 400) for seed in range(30)]
    assert ratio(found) <= 1.10
    assert np.mean(np.concatenate([one.covered for one in found])) >= 0.90


@pytest.mark.slow
def test_the_error_does_not_grow(tmp_path: Path) -> None:
    """Ten thousand events of one path: the second half is tracked as well as the first, and as well as possible."""
    line = LINES["two"]
    found = compare(line, build(plant(line, tmp_path)), 5, 10_000, 400, every=4.0)
    middle = len(found.ours) // 2
    assert found.ours[middle:].sum() <= 1.15**2 * found.ours[:middle].sum() * (len(found.ours) - middle) / middle
    assert ratio([found]) <= 1.10
    low = found.ess < 0.05
    assert not any(low[i : i + 5].all() for i in range(len(low) - 5)), "the ensemble has collapsed for long"


def test_silence_says_that_a_hidden_machine_is_down(tmp_path: Path) -> None:
    line = Line((Spec(0.2), Spec(1.0, places=3, fails=0.05, repair=0.05), Spec(5.0, places=3)), seen=(0, 2))
    told = Told.of(line, build(plant(line, tmp_path)), 1, 400)
    start, blocked = line.empty(), ((0, 1, 1, 1), (0, 1, 1, 1), (0, 0, 0, 1))
    told.see(1.0, start, blocked, ((1, 0), (1, 0)))
    chances = [told.down(t)[0] for t in (1.0, 3.0, 8.0)]
    assert chances[0] < 0.1 < chances[1] < chances[2]
    assert chances[2] > 0.6


def test_parts_between_two_counters_are_never_lost(half: Plant) -> None:
    """How many are inside is known all the time; where they are is known as far as it can be."""
    rows, errors, covered, guesses, own = HalfSeen(half), [], [], [], []
    rule, told = Tracker(half), 0  # moves parts at the mean work times, for it has no ensemble
    for _ in range(60):
        rows.run(60.0)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("twin.hidden.observe", lambda f: None)
            for row in rows.rows[told:]:
                rule.apply(row)
            thumb, told = rule.state, len(rows.rows)
        true, found = rows.truth(), rows.places()
        for inside in ((1, 2, 3), (4, 5)):
            total = sum(found[s].held for s in inside)
            # a part that is blocked before the stretch may be counted in it for some seconds
            assert abs(total - sum(true[s] for s in inside)) <= 1.001
        errors.append([found[s].held - true[s] for s in sorted(found)])
        covered.append([abs(found[s].held - true[s]) <= 1.645 * found[s].spread + 0.5 for s in sorted(found)])
        guesses.append([held(thumb.stations[s]) - true[s] for s in sorted(found)])
        own.append([held(rows.tracker.state.stations[s]) - found[s].held for s in sorted(found)])
    assert np.mean(covered) >= 0.9
    assert np.mean(np.square(errors)) < 0.5 * np.mean(np.square(guesses)), "no better than the rule of thumb"
    assert np.abs(own).max() < 2.0, "the tracker's own parts are not where the ensemble has them"
    assert np.mean(np.abs(own)) < 0.5


def test_lost_messages_heal(half: Plant) -> None:
    rows = HalfSeen(half, loss=0.2)
    rows.run(3600.0, tick_s=10.0)
    rows.loss = 0.0
    rows.run(600.0)
    true, found = rows.truth(), rows.places()
    for inside in ((1, 2, 3), (4, 5)):
        assert abs(sum(found[s].held for s in inside) - sum(true[s] for s in inside)) <= 1.001


def test_same_rows_same_members(half: Plant) -> None:
    """Replay, a snapshot in the middle and a row that comes late lead to the same members and the same hash."""
    rows = HalfSeen(half)
    rows.run(900.0)
    compiled, head = compile_plant(half), rows.tracker
    assert len(head.state.hidden) == 2
    again = Tracker(half)
    for row in rows.rows[:200]:
        again.apply(row)
    again = Tracker.restore(half, again.snapshot())
    for row in rows.rows[200:]:
        again.apply(row)
    assert state_hash(compiled, again.state) == state_hash(compiled, head.state)
    assert msgspec.msgpack.encode(again.state.hidden) == msgspec.msgpack.encode(head.state.hidden)
    late = Tracker(half)
    moved = next(i for i, row in enumerate(rows.rows) if row.kind == "event" and i > len(rows.rows) - 80)
    order = [*rows.rows[:moved], *rows.rows[moved + 1 : moved + 20], rows.rows[moved], *rows.rows[moved + 20 :]]
    for pos, row in enumerate(order):
        late.apply(row._replace(pos=pos + 1) if hasattr(row, "_replace") else msgspec.structs.replace(row, pos=pos + 1))
    assert msgspec.msgpack.encode(late.state.hidden) == msgspec.msgpack.encode(head.state.hidden)


def test_rows_differ_as_the_members_do(half: Plant) -> None:
    rows = HalfSeen(half)
    rows.run(1800.0, tick_s=10.0)
    compiled, state = compile_plant(half), rows.tracker.state
    drawn = ensemble(compiled, state, 3, 200)
    queue, held_now = compiled.layout.view(drawn, "q_len"), rows.places()
    for s, place in held_now.items():
        assert abs(queue[:, s].mean() - place.queue) <= 0.3 + 0.3 * place.queue_spread, half.stations[s].id
        assert (queue[:, s].std() > 0.0) == (place.queue_spread > 0.2), half.stations[s].id
    view = state_view(rows.tracker.topology, state, stale="")
    assert [view["wip"]["m2"][0], view["wip"]["m2"][1]] == [round(held_now[2].held, 2), round(held_now[2].spread, 2)]
    assert any(v["thing"] == "m2" and v["property"] == "down" and v["mark"] == "estimated" for v in view["values"])
    assert [s["stations"] for s in view["hidden"]["stretches"]] == [["m1", "m2", "m3"], ["m4", "m5"]]
    assert frame(rows.tracker.topology, state, Around())["buf"][2][0] == round(held_now[2].queue)


def test_where_all_is_seen_nothing_is_drawn() -> None:
    rows = ShopRows(load("gearmotor"), Twist())
    rows.run(60.0)
    assert rows.tracker.state.hidden == {}
    assert present(rows.tracker.topology, rows.tracker.state) == []
    assert "hidden" in state_view(rows.tracker.topology, rows.tracker.state, stale="")


def test_what_makes_a_stretch(tmp_path: Path) -> None:
    """Between what is seen to come and what is seen to go; else the station is named with the reason."""

    def found(text: str) -> tuple[tuple[Stretch, ...], dict[str, str]]:
        file = tmp_path / "plant.yaml"
        file.write_text(text)
        topology = build(load(str(file)))
        return stretches(topology, (False,) * 6), why_not(topology, (False,) * 6)

    no_first = "\n".join(row for row in HALF.splitlines() if "thing: m0" not in row) + "\n"
    first, _ = found(no_first)[0]
    assert (first.stations, first.saturated, first.before, first.next) == ((0, 1, 2), True, (), 3)
    assert [s.places for s in found(HALF)[0]] == [(1, 2, 3), (4, 5)]
    kept, odd = found(no_first.replace("policy: saturated", "policy: conwip, cap: 9"))
    assert [s.stations for s in kept] == [(4,)]
    assert odd == dict.fromkeys(("m0", "m1", "m2"), "it is not seen what is released to it")
    kept, odd = found(HALF.replace("{before: m4, capacity: 4}", "{before: m4, capacity: 4, kanban: 3}"))
    assert [s.stations for s in kept] == [(1, 2)]
    assert odd == {"m4": "it has a kanban"}
    (_, last), _ = found(HALF.replace("  - {thing: m5, property: state, tag: m5/state, type: enum}\n", ""))
    assert (last.stations, last.behind) == ((4, 5), COUNTED)


def test_durations_keep_mean_and_spread(half: Plant) -> None:
    """The tabulated distribution function has the mean and the standard deviation of the plant file's."""
    found = table((half.products[0].steps[1].work,), 1.0)
    points, chances = found[2 : 2 + 224], found[2 + 224 :]
    middle, share = (points[1:] + points[:-1]) / 2, np.diff(chances)
    mean = float(share @ middle)
    sd = float(np.sqrt(share @ ((points[1:] ** 2 + points[1:] * points[:-1] + points[:-1] ** 2) / 3) - mean**2))
    assert mean == pytest.approx(55_000.0, rel=1e-3)
    assert sd == pytest.approx(22_000.0, rel=5e-3)


def test_weights_stay_finite(half: Plant) -> None:
    rows = HalfSeen(half, loss=0.3)
    rows.run(1200.0, tick_s=20.0)
    for _, hidden, mem in present(rows.tracker.topology, rows.tracker.state):
        assert np.isfinite(mem).all()
        assert np.exp(mem[:, LOGW]).sum() == pytest.approx(1.0)
        assert 1.0 <= hidden.ess <= hidden.n
