"""The tracker's own parts stand where the ensemble has them: small lines worked out by hand, and what always holds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks._tracking_plants import plant_of
from hardware.recorder import Recorder
from hardware.twist import Twist
from hardware.virtual_plant import Options
from sim.compile import compile_plant
from sim.plant import Plant
from sim.plantfile import load
from tests.twin.journals import T0, Writer, renumber
from twin import track
from twin.estimate import state_hash
from twin.faults import Faults, inject
from twin.hidden_kernel import COUNTED, UNSEEN
from twin.hidden_model import stretches
from twin.model import BLOCKED, STARVED, WORK, TwinState, held
from twin.topology import build
from twin.tracker import SNAPSHOT_VERSION, Tracker
from twin.views import kpis


def plant(folder: Path, works: dict[str, str], seen: str, release: str = "policy: saturated", places: int = 1) -> Plant:
    """A line of these stations; those in `seen` have a state and a counter of ends."""
    names = list(works)
    rows = ["# A line of which some stations say nothing", "plantwin: 1", "site: demo", "area: t", "line: parts"]
    rows += ["timezone: UTC", "tick: 1 ms", "time_unit: h", "products:", f"  p: {{routing: [{', '.join(names)}]}}"]
    rows += ["stations:", *(f"  {s}: {{work: {work}}}" for s, work in works.items()), "buffers:"]
    rows += [f"  to_{s}: {{before: {s}, capacity: {places}}}" for s in names[1:]]
    rows += ["release:", f"  p: {{{release}}}", "sensors:"]
    for s in seen:
        rows.append(f"  - {{thing: {s}, property: state, tag: {s}/state, type: enum}}")
        rows.append(f"  - {{thing: {s}, property: out, tag: {s}/out, type: counter}}")
    if "conwip" in release:
        rows.append("  - {thing: p, property: in, tag: in/p, type: counter}")
    file = folder / "parts.yaml"
    file.write_text("\n".join(rows) + "\n")
    return load(str(file))


def begin(plant: Plant) -> Writer:
    """The first machine works, nothing else is in the line, all counters stand at 0."""
    w = Writer(plant)
    first, *others = [s.thing for s in plant.sensors if s.property == "state"]
    counts = {s.tag: 0 for s in plant.sensors if s.type == "counter" and s.property == "out"}
    w.data(0, **counts, **{f"{first}/state": WORK}, **{f"{s}/state": STARVED for s in others})
    return w


def at(w: Writer, t: float) -> TwinState:
    """What is believed at second `t`, and a tick then."""
    tracker = Tracker(w.plant)
    for row in w.rows:
        if row.t <= T0 + t * 1000:
            tracker.apply(row)
    return tracker.state


def stands(state: TwinState) -> list[int]:
    return [held(s) for s in state.stations]


EXP, FIXED = "exponential(60 s)", "60 s"


MET = 25
"""Minutes until what stood in the line before the first row has gone, or is known."""


def test_a_part_stays_until_it_is_seen_to_go(tmp_path: Path) -> None:
    """`c` is free and would take it: until it does, the part is in `b`, five mean work times long."""
    w = begin(plant(tmp_path, {"a": EXP, "b": EXP, "c": EXP}, "ac"))
    w.data(60, a__out=1)
    w.ticks(61, 360)
    w.data(360, c__state=WORK)
    w.ticks(361, 363)
    for t in (61, 125, 200, 359):
        state = at(w, t)
        assert stands(state) == [1, 1, 0], t
        assert state.stations[1].units[0].state == WORK
        assert [s.ended for s in state.stations] == [1, 0, 0]
        assert "vanished" not in state.counts
    state = at(w, 362)
    assert stands(state) == [1, 0, 1]
    assert [s.ended for s in state.stations] == [1, 1, 0]
    assert state.counts.get("appeared", 0) == state.counts.get("vanished", 0) == 0


def test_a_part_moves_on_when_its_work_must_be_over(tmp_path: Path) -> None:
    """Work of 60 s (3 % of play) that began at 130 has not ended at 185, and has at 195: it waits for `c`, at work."""
    w = begin(plant(tmp_path, {"a": FIXED, "b": FIXED, "c": "500 s"}, "ac"))
    w.data(60, a__out=1)
    w.data(120, c__state=WORK)
    w.data(130, a__out=2)
    w.ticks(131, 210)
    assert [stands(at(w, t)) for t in (121, 185, 205)] == [[1, 0, 1], [1, 1, 1], [1, 0, 2]]
    assert [s.ended for s in at(w, 185).stations] == [2, 1, 0]
    assert [s.ended for s in at(w, 205).stations] == [2, 2, 0]


def test_room_is_as_the_unit_before_says(tmp_path: Path) -> None:
    """One place before `b` and `c`. `a` was never blocked in four parts, so each place is taken; the fifth stays."""
    w = begin(plant(tmp_path, {"a": FIXED, "b": EXP, "c": EXP}, "ac"))
    w.data(60, a__out=1)
    w.data(70, c__state=WORK)
    for n, t in ((2, 80), (3, 90), (4, 100)):
        w.data(t, a__out=n)
        w.data(t, a__state=WORK)
    w.ticks(101, 105)
    state = at(w, 104)
    assert stands(state) == [1, 2, 2]
    assert len(state.stations[2].queue) == 1
    w.data(110, a__out=5)
    w.data(110, a__state=BLOCKED)
    w.ticks(111, 500)
    state = at(w, 115)
    assert stands(state) == [1, 2, 2]
    assert state.stations[0].units[0].done
    assert state.stations[0].ended == 5
    late = at(w, 499)
    assert late.stations[1].units[0].state == BLOCKED, "b has ended its part by now, and c's place is taken"
    assert late.stations[1].units[0].done
    assert [s.ended for s in late.stations] == [5, 3, 0]
    assert stands(late) == [1, 2, 2]
    assert not late.contradictions
    w.data(500, c__out=1)  # c ends: everything moves up
    w.data(500, a__state=WORK)
    w.ticks(501, 503)
    state = at(w, 502)
    assert [s.ended for s in state.stations] == [5, 3, 1]
    assert stands(state) == [1, 2, 2]
    assert not state.stations[0].units[0].done


def test_finished_without_a_counter(tmp_path: Path) -> None:
    """Behind `b` nothing is seen: its part has gone when its work must be over, and the output has a band meanwhile."""
    made = plant(tmp_path, {"a": FIXED, "b": FIXED}, "a")
    (stretch,) = stretches(build(made), (False, False))
    assert stretch.behind == UNSEEN
    w = begin(made)
    w.data(60, a__out=1)
    w.ticks(61, 200)
    seen = [at(w, t) for t in (110, 120, 135)]
    assert [stands(state) for state in (seen[0], seen[2])] == [[1, 1], [1, 0]]
    assert [sum(state.meters.finished) for state in (seen[0], seen[2])] == [0, 1]
    widths = [state_band[2] - state_band[1] for state_band in (kpis(build(made), s)["output"] for s in seen)]  # type: ignore[operator]
    assert widths[1] > 0.5 > max(widths[0], widths[2]) - 0.5


def test_a_release_says_that_one_has_gone(tmp_path: Path) -> None:
    """At most two in the line: the third is released when, and only when, the first is finished."""
    made = plant(tmp_path, {"a": FIXED, "b": EXP}, "a", release="policy: conwip, cap: 2")
    (stretch,) = stretches(build(made), (False, False))
    assert (stretch.behind, stretch.pulled) == (COUNTED, (0,))
    w = begin(made)
    w.data(1, in__p=2)
    w.data(60, a__out=1)
    w.ticks(61, 300)
    w.data(300, in__p=3)
    w.data(301, a__out=2)
    w.ticks(302, 305)
    for t, there, finished in ((299, [1, 1], 0), (300.5, [2, 0], 1), (304, [1, 1], 1)):
        w.tick(t)
        state = at(w, t)
        assert (stands(state), sum(state.meters.finished)) == (there, finished), t
        assert kpis(build(made), state)["output"] == [finished] * 3


@pytest.mark.parametrize(
    "release",
    ["policy: conwip, cap: 2, base_stock: 9", "policy: saturated"],
)
def test_other_rules_of_release_say_nothing(tmp_path: Path, release: str) -> None:
    made = plant(tmp_path, {"a": FIXED, "b": EXP}, "a", release="policy: conwip, cap: 2")
    text = (tmp_path / "parts.yaml").read_text().replace("policy: conwip, cap: 2", release)
    if "base_stock" in release:
        text = text.replace("sensors:", "stocks:\n  f: {item: p, from: line, initial: 0}\nsensors:")
    (tmp_path / "parts.yaml").write_text(text)
    made = load(str(tmp_path / "parts.yaml"))
    assert [s.pulled for s in stretches(build(made), (False, False))] == [()]


def test_a_snapshot_of_the_version_before_is_refused(tmp_path: Path) -> None:
    w = begin(plant(tmp_path, {"a": FIXED, "b": EXP}, "a"))
    tracker = Tracker(w.plant)
    for row in w.rows:
        tracker.apply(row)
    old = msgspec.msgpack.decode(tracker.snapshot())
    old["version"] = SNAPSHOT_VERSION - 1
    with pytest.raises(ValueError, match="version; the journal is replayed instead"):
        Tracker.restore(w.plant, msgspec.msgpack.encode(old))


def happenings(made: Plant, seed: int) -> Writer:
    """What may or may not be possible at the ends of the stretches of a line."""
    r, w = random.Random(seed), begin(made)
    counts: dict[str, int] = {}
    for t in range(7, 600, 7):
        said: dict[str, float] = {}
        for sensor in r.sample(made.sensors, r.randint(0, 2)):
            if sensor.type == "counter":
                counts[sensor.tag] = counts.get(sensor.tag, 0) + r.choice([1, 1, 1, 2])
                said[sensor.tag] = counts[sensor.tag]
            else:
                said[sensor.tag] = r.choice([WORK, WORK, STARVED, BLOCKED, 5])
        if said:
            w.data(t, 0, **said)
    w.ticks(601, 640)
    return w


def conserved(state: TwinState) -> None:
    came = sum(state.meters.released) + state.counts.get("appeared", 0)
    gone = sum(state.meters.finished) + sum(state.meters.scrapped) + state.counts.get("vanished", 0)
    assert came == gone + sum(map(held, state.stations))
    assert sum(state.wip) == sum(map(held, state.stations))
    assert min(state.meters.finished) >= 0
    parts = [p for s in state.stations for line in (s.queue, *(u.parts for u in s.units)) for p in line]
    assert len({id(part) for part in parts}) == len(parts), "nothing stands in two places"


LINES: dict[str, dict[str, Any]] = {
    "between": {"seen": "ad"},
    "open": {"seen": "a"},
    "pulled": {"seen": "a", "release": "policy: conwip, cap: 5"},
    "counted": {"seen": "ac"},
}


@pytest.fixture(scope="module", params=sorted(LINES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    works = {"a": FIXED, "b": EXP, "c": EXP, "d": FIXED}
    return plant(tmp_path_factory.mktemp("line"), works, places=2, **LINES[request.param])


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_whatever_comes_parts_are_conserved_and_order_does_not_matter(made: Plant, seed: int) -> None:
    """Also when rows overtake each other within the lateness window: the same parts, members and hash."""
    rows = happenings(made, seed).rows
    head = Tracker(made)
    for row in rows:
        head.apply(row)
        if row.kind == "data":
            conserved(head.state)
    conserved(head.state)
    assert head.state.hidden
    for s, station in enumerate(head.state.stations):
        assert all(head.topology.at[part.product][part.step] == s for part in station.queue)
    r = random.Random(seed)
    late = sorted(rows, key=lambda row: row.t + (r.uniform(0, 60_000) if row.kind == "data" else 0))
    other = Tracker(made)
    for k, row in enumerate(renumber([rows[0], *(row for row in late if row.kind != "birth")])):
        other.apply(row)
        if k == len(rows) // 2:
            other = Tracker.restore(made, other.snapshot())
    assert msgspec.to_builtins(other.state) == msgspec.to_builtins(head.state)
    compiled = compile_plant(made)
    assert state_hash(compiled, other.state) == state_hash(compiled, head.state)


def test_half_of_a_line_met_at_work(tmp_path: Path) -> None:
    """Every second machine says nothing, and the line has run for an hour before anybody listens."""
    made = plant_of("half", tmp_path)
    Recorder(made, Options(seed=1, warmup_s=3600.0, twist=Twist()), tmp_path).run(0.6)
    rows, truth = track.read_rows(tmp_path / "journal.db"), track.read_truth(tmp_path / "truth.jsonl")
    run = track.follow(made, inject(build(made), rows, Faults()), truth)
    assert float(np.abs(run.error["done"]).max()) == 0.0, "a release tells of each part that is finished"
    for s in range(1, 11, 2):
        assert not run.error[f"state/s{s}/1"].any(), "room before a silent machine is as the state before it says"
    assert not np.abs(run.error["wip/s1"][MET:]).any()
    assert "state_corrections" not in run.counts
