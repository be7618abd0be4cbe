"""The fold from journal rows to what is believed."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.wire import Row
from sim.compile import compile_plant
from sim.kernel import run
from sim.plant import Plant
from sim.state import ERROR
from tests.twin.journals import ROOT, T0, Writer, fold, line, renumber
from twin.estimate import ensemble
from twin.model import STARVED, WORK, TwinState
from twin.tracker import WINDOW_MS, Tracker


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return line(tmp_path_factory.mktemp("plant"))


def begin(plant: Plant) -> Writer:
    """A line that is empty and known to be."""
    w = Writer(plant)
    zero = {tag: 0 for tag in w.index if tag.endswith(("/a", "/b"))}
    w.data(0, cut__state=STARVED, wash__state=STARVED, b1__level=0, b2__level=0, fa__on_hand=5, **zero)
    return w


def held(state: TwinState) -> list[int]:
    return [len(s.queue) + sum(u.part is not None for u in s.units) for s in state.stations]


def walk(w: Writer, product: str, at: float, n: int) -> None:
    """One part through the line, told by counters, states and levels; `n` are the counts it leads to."""
    w.data(at, **{f"in__{product}": n})
    w.data(at, cut__state=WORK)
    w.data(at + 60, **{f"cut__{product}": n})
    w.data(at + 60, cut__state=STARVED)
    w.data(at + 160, **{f"mill__{product}": n})
    w.data(at + 160, wash__state=WORK)
    w.data(at + 210, **{f"wash__{product}": n})
    w.data(at + 210, wash__state=STARVED)
    w.tick(at + 211)


def test_one_part_through_the_line(plant: Plant) -> None:
    w = begin(plant)
    walk(w, "a", 10, 1)
    seen = [
        held(fold(plant, [r for r in w.rows if r.t <= T0 + ms]).state)
        for ms in (10_000, 60_000, 70_000, 170_000, 220_000)
    ]
    assert seen == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    state = fold(plant, w.rows).state
    assert state.meters.finished == [1, 0]
    assert state.stocks[0].on_hand == 6  # until its sensor says otherwise
    assert state.stocks[1].on_hand == 5
    assert state.counts == {}


def test_a_lost_message_costs_nothing_once_the_next_counter_comes(plant: Plant) -> None:
    whole, broken = begin(plant), begin(plant)
    for w in (whole, broken):
        for n in (1, 2, 3):
            walk(w, "a", 300 * n, n)
    lost = {row.pos for row in broken.rows if row.t in (T0 + 360_000, T0 + 460_000) and row.kind == "data"}
    assert lost
    rows = renumber([row for row in broken.rows if row.pos not in lost])
    a, b = fold(plant, whole.rows).state, fold(plant, rows).state
    assert held(a) == held(b) == [0, 0, 0]
    assert a.meters.finished == b.meters.finished == [3, 0]
    assert sum(b.wip) == 0


def test_ghost_parts_vanish_after_the_next_readings(plant: Plant) -> None:
    w = begin(plant)
    w.data(5, in__a=3)  # three releases that never were: their work is never seen
    w.data(6, b1__level=0)
    assert sum(held(fold(plant, w.rows).state)) == 3
    w.data(7, cut__state=STARVED)
    w.ticks(8, 60)
    state = fold(plant, w.rows).state
    assert sum(held(state)) == 0
    assert any("a unit is free and would take a part" in c.what for c in state.contradictions.values())
    assert state.counts["vanished"] == 3


def test_contradictions_name_the_sensors_and_by_how_much(plant: Plant) -> None:
    w = begin(plant)
    w.event(1, "work_start", "mill", unit=1, product="a", count=1)
    w.event(2, "work_start", "cut", unit=1, product="a", count=1)
    w.data(3, b1__level=0)
    w.data(10, b1__level=3)
    state = fold(plant, w.rows).state
    (found,) = state.contradictions.values()
    assert found.sensors == ["b1/level", "cut counts"]
    assert found.by == 3
    assert "b1/level shows 3, the counts leave 0" in found.what
    assert len(state.stations[1].queue) == 0  # not averaged away, not believed at once
    w.data(20, b1__level=2)
    w.data(30, b1__level=3)
    assert len(fold(plant, w.rows).state.stations[1].queue) == 0
    w.data(40, b1__level=4)
    w.data(50, b1__level=4)
    assert len(fold(plant, w.rows).state.stations[1].queue) == 4  # two equal readings in a row are


def test_no_queue_is_longer_than_its_places(plant: Plant) -> None:
    w = begin(plant)
    w.data(1, in__a=9)
    w.data(100, cut__a=9)
    w.tick(101)
    state = fold(plant, w.rows).state
    assert [len(s.queue) for s in state.stations[1:]] <= [4, 4]
    assert sum(held(state)) + state.counts.get("vanished", 0) == 9 + state.counts.get("appeared", 0)


def test_states_set_what_they_assert_and_keep_their_age(plant: Plant) -> None:
    w = begin(plant)
    w.data(10, in__a=1, cut__state=WORK)
    w.data(30, cut__state=WORK)
    w.data(45, cut__state=5)
    w.tick(50)
    unit = fold(plant, w.rows).state.stations[0].units[0]
    assert (unit.state, unit.since) == (5, T0 + 45_000)
    assert unit.on_part == 35_000
    assert unit.worked == 35_000
    w.data(100, cut__state=WORK)
    w.tick(120)
    unit = fold(plant, w.rows).state.stations[0].units[0]
    assert unit.worked == 20_000  # the failure clock began anew with the repair
    assert unit.on_part == 55_000


@pytest.mark.parametrize(
    ("values", "check"),
    [
        ({"b1__level": 9}, "range"),
        ({"b1__level": -1}, "range"),
        ({"b1__level": 1.5}, "unit"),
        ({"cut__state": 12}, "unit"),
        ({"fa__on_hand": 90_000}, "rate"),
        ({"cut__a": -4}, "range"),
    ],
)
def test_a_failed_check_flags_and_changes_nothing(plant: Plant, values: dict[str, Any], check: str) -> None:
    w = begin(plant)
    w.tick(1)
    before = fold(plant, w.rows).state
    w.data(2, **values)
    after = fold(plant, w.rows).state
    (name,) = [k.replace("__", "/") for k in values]
    assert check in after.tags[name].failed
    assert after.tags[name].flag
    assert after.tags[name].value == before.tags[name].value
    assert held(after) == held(before)
    assert [k.on_hand for k in after.stocks] == [k.on_hand for k in before.stocks]


def test_a_bad_reading_is_flagged_a_stale_one_is_believed(plant: Plant) -> None:
    w = begin(plant)
    w.data(2, q=3, fa__on_hand=9)
    w.data(3, q=2, b1__level=0)
    state = fold(plant, w.rows).state
    assert state.stocks[0].on_hand == 5
    assert state.tags["fa/on_hand"].flag == "bad"
    assert state.tags["b1/level"].flag == "stale"


def test_values_of_a_sparkplug_message_are_readings_like_any(plant: Plant) -> None:
    w = begin(plant)
    t = T0 + 2000
    w.json("spb", 2, node="g/n", device="", verb="NDATA", t=[t, t, t], tag=["fa/on_hand", "b1/level", "in/a"],
           v=[9, 0, 1], q=[0, 2, 3], h=[])  # fmt: skip
    w.tick(3)
    state = fold(plant, w.rows).state
    assert state.stocks[0].on_hand == 9
    assert state.tags["b1/level"].flag == "stale"  # its node died: believed, and marked
    assert state.tags["in/a"].flag == "bad"  # not believed
    assert held(state) == [0, 0, 0]


def test_an_older_reading_goes_to_history_only(plant: Plant) -> None:
    w = begin(plant)
    w.ticks(1, 500)
    w.data(500, fa__on_hand=8)
    w.ticks(500, 1500)
    w.data(100, fa__on_hand=3)  # far behind the window
    w.tick(1501)
    state = fold(plant, w.rows).state
    assert state.stocks[0].on_hand == 8
    assert state.counts["history_only"] == 1
    assert state.counts["late"] == 1


def test_after_an_outage_the_backlog_is_believed(plant: Plant) -> None:
    w = begin(plant)
    w.ticks(1, 2000)
    w.data(100, in__a=2)
    w.data(200, cut__a=1)
    w.data(1000, fa__on_hand=2)
    w.tick(2001)
    state = fold(plant, w.rows).state
    assert state.meters.released == [2, 0]
    assert state.stocks[0].on_hand == 2


def test_a_reset_counter_counts_nothing_and_is_counted(plant: Plant) -> None:
    w = begin(plant)
    walk(w, "a", 10, 1)
    w.data(230, cut__a=0)
    state = fold(plant, w.rows).state
    assert state.counts["counter_resets"] == 1
    assert sum(held(state)) == 0


def test_a_manual_count_is_a_reading_with_its_own_spread(plant: Plant) -> None:
    w = begin(plant)
    w.json("manual", 5, t=T0 + 5000, thing="b2", property="level", value=3, sd=0.5, role="operator")
    state = fold(plant, w.rows).state
    assert len(state.stations[2].queue) == 3
    assert (state.manual["b2/level"].sd, state.manual["b2/level"].role) == (0.5, "operator")
    w.json("manual", 6, t=T0 + 6000, thing="b2", property="level", value=4, sd=2, role="operator")
    assert len(fold(plant, w.rows).state.stations[2].queue) == 3  # inside the spread of the count


def test_commands_are_followed_through_the_journal(plant: Plant) -> None:
    w = begin(plant)
    cmd = {"id": "c-1", "target": "cap", "value": 8, "not_before": 1, "expires": 9, "lease_s": 60}
    w.json("cmd", 5, **cmd, state="s", rec="r-1", issuer="twin", sig="x")
    for s, step in ((900, "received"), (901, "executed")):
        w.json("cmdack", 6, e="e1", s=s, id="c-1", step=step, t=T0 + 6000, **({"read_back": 8} if s == 901 else {}))
    command = fold(plant, w.rows).state.commands["c-1"]
    assert (command.target, command.value, command.step, command.read_back) == ("cap", 8, "executed", 8)


def test_holes_and_gaps_are_counted(plant: Plant) -> None:
    w = begin(plant)
    w.skip()
    w.skip()
    w.data(3, b1__level=0)
    tracker = fold(plant, w.rows)
    assert tracker.holes == 2
    w.s += 1
    w.put("gap", 4, f'{{"e":"e1","s":{w.s},"from":2,"to":3,"why":"outbox_full"}}'.encode(), numbered=True)
    assert fold(plant, w.rows).holes == 0


def test_rows_that_cannot_be_understood_change_nothing(plant: Plant) -> None:
    w = begin(plant)
    w.put("data", 2, b'{"e":"e1"', numbered=True)
    w.put("event", 2, b"\xff\xfe", numbered=True)
    w.put("manual", 2, b"[]")
    w.put("supply", 2, b'{"doc":1}')
    state = fold(plant, w.rows).state
    assert state.counts["rows_not_understood"] == 4
    assert held(state) == [0, 0, 0]


def story(plant: Plant, seed: int) -> list[Row]:
    """Parts of both products on their way, for longer than the lateness window."""
    w, rng = begin(plant), random.Random(seed)
    count = {"a": 0, "b": 0}
    at = 5.0
    while at < 2 * WINDOW_MS / 1000:
        product = rng.choice("ab")
        count[product] += 1
        walk(w, product, at, count[product])
        at += 60 + rng.random() * 40
        w.data(at, b1__level=rng.choice([0, 0, 0, 1]))
    w.data(at + 400, b1__level=0)
    return renumber(sorted(w.rows, key=lambda row: (row.t, row.kind == "tick", row.pos)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 5), order=st.randoms(use_true_random=False))
def test_the_state_is_that_of_the_ordered_run(plant: Plant, seed: int, order: random.Random) -> None:
    """Any delay inside the window gives the same state; births and ticks come in time."""
    rows = story(plant, seed)
    delay = {row.pos: order.uniform(0, WINDOW_MS / 2) if row.kind == "data" else 0.0 for row in rows}
    delayed = sorted(rows, key=lambda row: (row.t + delay[row.pos], row.pos))
    a, b = fold(plant, rows), fold(plant, renumber(delayed))
    assert msgspec.json.encode(a.state) == msgspec.json.encode(b.state)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 3), cut=st.integers(1, 60))
def test_a_restored_tracker_goes_on_as_if_nothing_had_happened(plant: Plant, seed: int, cut: int) -> None:
    rows = story(plant, seed)
    cut = min(cut, len(rows) - 1)
    first = fold(plant, rows[:cut])
    resumed = Tracker.restore(plant, first.snapshot())
    for row in rows[cut:]:
        resumed.apply(row)
    whole = fold(plant, rows)
    assert msgspec.json.encode(resumed.state) == msgspec.json.encode(whole.state)
    assert resumed.holes == whole.holes


def chaos(plant: Plant, seed: int) -> Writer:
    """Readings and events that fit nothing."""
    r, w = random.Random(seed), begin(plant)
    tags = sorted(set(w.index) - {"mode"})
    for t in range(1, 40):
        w.data(t, **{r.choice(tags): r.randint(0, 6)})
        if r.random() < 0.5:
            kind = r.choice(["work_start", "work_end", "scrap", "down", "up"])
            thing = r.choice(["cut", "mill", "wash"])
            w.event(t, kind, thing, unit=1, product=r.choice("ab"), count=r.randint(0, 5))
    return w


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_parts_are_conserved_whatever_comes(plant: Plant, data: st.DataObject) -> None:
    """In + appeared = held + finished + scrapped + vanished; queues in bounds, stock not negative; any readings."""
    w = begin(plant)
    tags = sorted(set(w.index) - {"mode"})
    for t in range(1, 40):
        tag = data.draw(st.sampled_from(tags))
        w.data(t, **{tag: data.draw(st.integers(0, 6))})
        if data.draw(st.booleans()):
            kind = data.draw(st.sampled_from(["work_start", "work_end", "scrap", "down", "up"]))
            thing = data.draw(st.sampled_from(["cut", "mill", "wash"]))
            w.event(
                t, kind, thing, unit=1, product=data.draw(st.sampled_from("ab")), count=data.draw(st.integers(0, 5))
            )
    w.ticks(41, 44)
    state = fold(plant, w.rows).state
    m = state.meters
    came = sum(m.released) + state.counts.get("appeared", 0)
    assert came == sum(held(state)) + sum(m.finished) + sum(m.scrapped) + state.counts.get("vanished", 0)
    assert sum(state.wip) == sum(held(state))
    assert all(len(s.queue) <= 4 for s in state.stations[1:])
    assert all(k.on_hand >= 0 and k.backorder >= 0 for k in state.stocks)


@pytest.mark.parametrize("seed", range(0, 300, 12))
def test_whatever_is_believed_can_be_run_ahead(plant: Plant, seed: int) -> None:
    """Even a state full of ghosts becomes rows, and the rows a forecast; nothing overflows."""
    compiled = compile_plant(plant)
    state = fold(plant, chaos(plant, seed).rows).state
    rows = ensemble(compiled, state, 1, 8)
    run(rows, compiled, int(rows[0, 0]) + compiled.ticks(8 * 3600))
    assert not rows[:, ERROR].any()


@pytest.mark.parametrize("seed", [29, 175, 190])
def test_a_part_that_moves_in_while_room_is_made_is_not_lost(plant: Plant, seed: int) -> None:
    """Three stories in which handing over a finished part let the next one start by itself in the same unit."""
    state = fold(plant, chaos(plant, seed).rows).state
    came = sum(state.meters.released) + state.counts.get("appeared", 0)
    gone = sum(state.meters.finished) + sum(state.meters.scrapped) + state.counts.get("vanished", 0)
    assert came == sum(held(state)) + gone


def test_a_source_that_goes_offline_is_known(plant: Plant) -> None:
    w = begin(plant)
    w.json("status", 2, online=False, e="e1", ts=T0)
    assert not fold(plant, w.rows).sources[ROOT].online


def test_a_new_plant_whose_time_begins_again_starts_from_nothing(plant: Plant) -> None:
    w = begin(plant)
    w.data(10, in__a=3)
    w.ticks(11, 3000)
    again = Writer(plant)
    body = again.rows[0].body.replace(b'"e1"', b'"e2"')
    w.put("birth", 5, body)
    w.ticks(6, 30)
    tracker = fold(plant, w.rows)
    assert tracker.state.t == T0 + 29_000
    assert held(tracker.state) == [0, 0, 0]
    assert tracker.state.meters.released == [0, 0]


def test_a_clock_that_steps_back_keeps_what_is_believed(plant: Plant) -> None:
    w = begin(plant)
    w.data(10, in__a=3)
    w.ticks(11, 7500)
    w.ticks(300, 330)
    w.data(331, fa__on_hand=9)
    w.tick(332)
    state = fold(plant, w.rows).state
    assert state.t == T0 + 332_000
    assert state.counts["clock_stepped_back"] == 1
    assert state.meters.released == [3, 0]
    assert state.stocks[0].on_hand == 9


def test_a_backlog_does_not_hold_up_a_glance(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late readings are in their place when none has come for half a second; the present goes on meanwhile."""
    clock = [100.0]
    monkeypatch.setattr("twin.tracker.time.monotonic", lambda: clock[0])
    w = begin(plant)
    w.ticks(1, 200)
    tracker = fold(plant, w.rows)
    assert tracker.state.stocks[0].on_hand == 5

    def more() -> None:
        for row in w.rows:
            tracker.apply(row)  # those known already are passed over

    w.data(10, fa__on_hand=9)
    w.data(201, in__a=1)
    more()
    assert tracker.behind
    seen = tracker.glance
    assert (seen.stocks[0].on_hand, seen.t) == (5, T0 + 201_000)  # the late one waits, the new one does not
    clock[0] += 0.4
    w.data(11, fa__on_hand=8)
    more()
    clock[0] += 0.4
    assert tracker.glance.stocks[0].on_hand == 5  # still coming in
    clock[0] += 0.2
    assert tracker.glance.stocks[0].on_hand == 8
    assert not tracker.behind
    assert tracker.state == fold(plant, w.rows).state


def test_a_long_rewind_is_made_in_pieces(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]

    def later() -> float:
        clock[0] += 0.015
        return clock[0]

    monkeypatch.setattr("twin.tracker.time.monotonic", later)
    w = begin(plant)
    w.ticks(1, 290)
    tracker = fold(plant, w.rows)
    assert tracker.state.stocks[0].on_hand == 5
    w.data(10, fa__on_hand=9)
    for row in w.rows:
        tracker.apply(row)
    clock[0] += 10.0
    looks = 0
    while tracker.glance.stocks[0].on_hand == 5:
        looks += 1
        w.tick(290 + looks)
        tracker.apply(w.rows[-1])
    assert 2 <= looks <= 12
    assert tracker.state == fold(plant, w.rows).state


def test_what_is_history_only_costs_no_rewind(plant: Plant) -> None:
    w = begin(plant)
    w.data(2, fa__on_hand=9)
    w.ticks(3, 1000)
    w.data(1001, fa__on_hand=5)
    tracker = fold(plant, w.rows)
    assert tracker.state.stocks[0].on_hand == 5  # what came in another order at one moment is in its place
    w.data(4, fa__on_hand=7)
    for row in w.rows:
        tracker.apply(row)
    assert not tracker.behind
    assert tracker.state.counts["history_only"] == 1
    assert tracker.state == fold(plant, w.rows).state


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_asking_in_between_changes_nothing(plant: Plant, seed: int, every: int) -> None:
    """Rewinds from a near copy, from the base, over settled observations: the state is that of one straight fold."""
    w, luck = begin(plant), random.Random(seed)
    for k in range(1, 260):
        late = luck.choice((0, 0, 0, 0, 1, 2, 5, 60, 200, 900))
        at = max(3 * k - late, 1)
        w.data(at, **luck.choice(({"in__a": k // 2}, {"cut__a": k // 3}, {"fa__on_hand": luck.randint(0, 9)})))
        w.tick(3 * k)
    asked = Tracker(plant)
    for i, row in enumerate(w.rows):
        asked.apply(row)
        if i % every == 0:
            assert asked.state.t >= 0
    assert asked.state == fold(plant, w.rows).state
