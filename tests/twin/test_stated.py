"""Work times from states and counted ends alone, where no event tells when work begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.plant import Plant
from tests.twin.journals import STATES, Writer, line
from twin.believe import groups
from twin.learned import Learned
from twin.tracker import Tracker

SENSORS = """
  - {thing: cut, property: state, tag: cut/state, type: enum}
  - {thing: cut, property: out, product: a, tag: cut/a, type: counter}
  - {thing: mill, unit: 1, property: state, tag: mill/1/state, type: enum}
  - {thing: mill, property: out, product: a, tag: mill/a, type: counter}
"""
IDLE, WORK, BLOCKED, STARVED, SETUP, DOWN, OFF = range(len(STATES))


@pytest.fixture
def where(tmp_path: Path) -> Plant:
    return line(tmp_path, SENSORS)


def learn(w: Writer, until: int) -> Learned:
    for t in range(int(w.ticked) + 10, until + 700, 10):
        w.tick(t)
    tracker = Tracker(w.plant)
    for row in w.rows:
        tracker.apply(row)
    return tracker.learned


def end(w: Writer, t: float, n: int, thing: str = "cut") -> None:
    w.data(t, **{f"{thing}__a": n})
    w.event(t, "work_end", thing, product="a", count=n)


def whole(learned: Learned, name: str = "work/cut/a/cut") -> list[int]:
    spans = learned.spans.get(name)
    return [] if spans is None else [x for x, cut in zip(spans.x, spans.cut, strict=True) if not cut]


def test_a_unit_that_works_on_is_timed_from_end_to_end(where: Plant) -> None:
    w = Writer(where)
    w.data(0, cut__state=STARVED)
    w.data(10, cut__state=WORK)
    for n in range(1, 6):
        end(w, 10 + 70 * n, n)
    assert whole(learn(w, 400)) == [70_000] * 5


def test_waiting_stops_and_blocking_are_no_work(where: Plant) -> None:
    """Starved for a minute, down for five, blocked until the end is counted: each time 70 s of work."""
    w = Writer(where)
    w.data(0, cut__state=STARVED)
    w.data(10, cut__state=WORK)
    end(w, 80, 1)
    w.data(82, cut__state=STARVED)  # two seconds late: that was no work either
    w.data(140, cut__state=WORK)
    w.data(170, cut__state=DOWN)
    w.event(170, "down", "cut", count=1)
    w.data(470, cut__state=WORK)  # of one moment: the event goes first, whichever comes first
    w.event(470, "up", "cut", state="work")
    end(w, 510, 2)
    w.data(580, cut__state=BLOCKED)
    end(w, 700, 3)
    w.data(700, cut__state=WORK)
    end(w, 770, 4)
    learned = learn(w, 800)
    assert whole(learned) == [70_000] * 4
    assert learned.spans["fail/cut/failure"].x == [70_000 + 2_000 + 30_000]  # the clock of failures runs with the work


def test_what_nobody_can_know_gives_no_span(where: Plant) -> None:
    w = Writer(where)
    w.data(0, cut__state=WORK)  # since when?
    end(w, 40, 1)
    end(w, 110, 2)  # 70 s
    end(w, 320, 3)  # three ends told at once: what lies between them is not known
    end(w, 320, 4)
    end(w, 320, 5)
    end(w, 390, 6)  # 70 s
    end(w, 1500, 7)  # after a long silence
    end(w, 1570, 8)  # begun where its state was not known
    w.data(1580, cut__state=STARVED)
    w.data(1600, cut__state=WORK)
    end(w, 1670, 9)  # 70 s
    assert whole(learn(w, 1700)) == [70_000] * 3


def test_ends_of_one_of_several_units_belong_to_nobody(where: Plant) -> None:
    w = Writer(where)
    w.data(0, mill__1__state=STARVED)
    w.data(10, mill__1__state=WORK)
    for n in range(1, 4):
        end(w, 10 + 50 * n, n, "mill")
    assert whole(learn(w, 300), "work/mill/a/mill") == []


def test_starts_that_are_told_are_believed_instead(where: Plant) -> None:
    w = Writer(where)
    w.data(0, cut__state=STARVED)
    for n in range(1, 4):
        w.data(100 * n, cut__state=WORK)
        w.event(100 * n + 5, "work_start", "cut", product="a", count=n)
        end(w, 100 * n + 65, n)
        w.data(100 * n + 65, cut__state=STARVED)
    assert whole(learn(w, 400)) == [60_000] * 3


def test_a_failure_without_any_work_seen_says_nothing_of_failures(tmp_path: Path) -> None:
    """Downs are told and no work ever is: that is no failure in no time, it is nothing."""
    where = line(tmp_path, "  - {thing: wash, property: out, product: a, tag: wash/a, type: counter}\n")
    w = Writer(where)
    for n in range(1, 6):
        w.data(300 * n - 1, wash__a=n)
        w.event(300 * n, "down", "cut", count=n)
        w.event(300 * n + 60, "up", "cut", state="work")
    learned = learn(w, 1700)
    assert learned.spans["fail/cut/failure"].n == 0
    assert learned.spans["fail/cut/failure"].left_out == 5
    assert "fail/cut" in groups(where)
