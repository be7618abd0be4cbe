"""What leaves the lateness window is settled in pieces: the same as at once, and no look waits for it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.plant import Plant
from tests.twin.journals import Writer, line
from twin import settling
from twin.learn import Learner
from twin.model import TwinState
from twin.observe import Obs
from twin.tracker import Tracker


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return line(tmp_path_factory.mktemp("plant"))


def story(plant: Plant, seed: int) -> Writer:
    """A quarter of an hour with messages that come late, a gap, and a clock that is put back in one of four."""
    w, luck = Writer(plant), random.Random(seed)
    for k in range(1, 300):
        at = max(3 * k - luck.choice((0, 0, 0, 1, 5, 60, 200, 900)), 1)
        w.data(at, **luck.choice(({"in__a": k // 2}, {"cut__a": k // 3}, {"fa__on_hand": luck.randint(0, 9)})))
        w.tick(3 * k)
    if seed % 4 == 0:
        w.ticks(100, 120)
    return w


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_pieces_between_glances_come_to_the_same(plant: Plant, seed: int, every: int) -> None:
    w, straight, looked = story(plant, seed), Tracker(plant), Tracker(plant)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "MOST_S", -1.0)  # one piece a look
        patch.setattr(settling, "PIECE", 2)
        for i, row in enumerate(w.rows):
            straight.apply(row)
            looked.apply(row)
            if i % every == 0:
                assert looked.glance.t >= 0
        kept = Tracker.restore(plant, looked.snapshot())
    assert looked.learned == straight.learned == kept.learned
    assert looked.state == straight.state == kept.state
    assert looked._base == straight._base


def test_a_tick_settles_nothing_and_a_look_a_piece(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = Learner.take

    def counted(self: Learner, state: TwinState, obs: Obs) -> None:
        taken.append(obs.t)
        take(self, state, obs)

    monkeypatch.setattr(Learner, "take", counted)
    monkeypatch.setattr(settling, "MOST_S", -1.0)
    w, one = Writer(plant), Tracker(plant)
    for k in range(1, 200):
        w.data(k, in__a=k)
    for row in w.rows:
        one.apply(row)
    w.tick(600)
    one.apply(w.rows[-1])
    assert taken == [], "199 readings have left the window; the row that says so does not wait for them"
    for looks in (1, 2, 3):
        assert one.glance.meters.released[0] == 198
        assert len(taken) == looks * settling.PIECE
    assert one.settle(0.0) is False
    assert one.learned.t > 0
    gone = [row for row in w.rows if row.kind in ("data", "tick") and row.t < w.rows[-1].t]
    assert len(taken) == len(gone) > 199, "whoever needs what is settled has all of it"
    assert one.settle(0.0) is True


def test_a_look_gives_a_share_of_the_time_since_the_last(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 10 ms, at most 50 ms of a clock that goes on by 1 ms for each observation."""
    clock = [100.0]
    take = Learner.take

    def slow(self: Learner, state: TwinState, obs: Obs) -> None:
        clock[0] += 0.001
        take(self, state, obs)

    monkeypatch.setattr(Learner, "take", slow)
    monkeypatch.setattr(settling, "PIECE", 1)
    monkeypatch.setattr("twin.settling.time.monotonic", lambda: clock[0])
    w, one = Writer(plant), Tracker(plant)
    for k in range(1, 280):
        w.data(k, in__a=k)
    w.tick(600)
    for row in w.rows:
        one.apply(row)
    assert one.glance.t  # the first look
    for since, wanted in ((0.02, 0.01), (0.05, 0.02), (0.1, 0.04), (1.0, 0.05)):
        before = clock[0] = one._settling._looked + since
        assert one.glance.t
        assert clock[0] - before == pytest.approx(wanted, abs=0.0015)


def test_late_readings_are_late_before_the_work_is_done(plant: Plant) -> None:
    """What is behind the window is so from the tick on, not from when it has been settled."""
    w, one = Writer(plant), Tracker(plant)
    w.data(5, fa__on_hand=3)
    w.data(100, fa__on_hand=4)
    w.tick(600)
    w.data(50, fa__on_hand=9)
    for row in w.rows:
        one.apply(row)
    assert one.state.counts == {"late": 1, "history_only": 1}
    assert one.state.stocks[0].on_hand == 4
