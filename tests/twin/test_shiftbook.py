"""Forecasts of shifts in the running twin: kept, made, scored with what was counted, corrected; restarts, late data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.wire import Supply, encode
from sim.compile import compile_plant
from sim.plant import Plant
from tests.twin.journals import T0, Writer, write_journal, written
from twin.engine import Engine, Settings
from twin.experience import Experience
from twin.forecast import Options
from twin.log import EvidenceLog
from twin.shiftbook import SETTLED_MS, ShiftBook
from twin.shiftcast import said
from twin.tracker import Tracker

FILE = """
plantwin: 1
site: demo
area: machining
line: test
timezone: UTC
tick: 1 ms
products: {a: {routing: [cut]}}
stations: {cut: {work: 120 s}}
release: {a: {policy: saturated}}
calendars:
  s: {open: "Mon-Fri 06:00-10:00, 10:00-14:00"}
sensors:
  - {thing: cut, property: out, product: a, tag: cut/a, type: counter}
"""
HOUR = 3600
IDLE = 1e9
TEN = 2 * HOUR
"""10:00, the change of shift, in the writer's seconds after 08:00."""


class Running:
    """A tracker and its book fed row by row, forecasts made as soon as they are wanted."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self.plant, self.compiled, self.folder = plant, compile_plant(plant), folder
        self.w = Writer(plant)
        self.n, self.fed, self.part = 0, 0, 0.0
        self.log = EvidenceLog(folder / "log.db", plant.site)
        self.tracker = Tracker(plant)
        self.book = ShiftBook.replay(self.compiled, self.log, 0)

    def feed(self) -> None:
        for row in self.w.rows[self.fed :]:
            self.book.before(self.tracker, row)
            self.tracker.apply(row)
        self.fed = len(self.w.rows)

    def forecast(self) -> None:
        while (kept := self.book.wanting(self.tracker.state)) is not None:
            self.book.take(kept, self.book.make(kept, self.tracker.state), self.tracker.state, self.tracker.pos)

    def work(self, a: float, b: float, every: float) -> None:
        """Ticks each minute after `a` up to `b`, a part counted each `every` seconds, told at the minute."""
        t, self.part = a, max(self.part, a if every > 9e8 else self.part)
        while t < b:
            t += 60
            self.w.tick(t)
            while self.part + every <= t:
                self.part += every
                self.n += 1
            self.w.data(t, cut__a=self.n)
        self.feed()

    def shift(self, day: int, first: bool, every: float) -> None:
        """A whole shift of a day (0 is Monday), forecast at its beginning, until it is scored."""
        a = day * 24 * HOUR + (-2 if first else 2) * HOUR
        self.part = a
        self.work(a - 60, a + 60, every)
        self.forecast()
        self.work(a + 60, a + 4 * HOUR, every)
        if not first:
            self.work(a + 4 * HOUR, a + 4 * HOUR + 600, IDLE)

    def restart(self, plant: Plant | None = None) -> None:
        """The process ends and comes back with its snapshot and log (or a new plant file and the whole journal)."""
        data = self.tracker.snapshot()
        self.plant = plant or self.plant
        self.compiled = compile_plant(self.plant)
        self.tracker = Tracker(self.plant) if plant else Tracker.restore(self.plant, data)
        self.book = ShiftBook.replay(self.compiled, self.log, self.tracker.now)
        self.fed = 0 if plant else self.fed


@pytest.fixture
def running(tmp_path: Path) -> Running:
    made = Running(written(tmp_path, FILE), tmp_path)
    made.w.data(0, cut__a=0)
    made.w.tick(1)
    return made


def test_the_exact_correction() -> None:
    """One forecast of 100 that became 110, then one that says 120: numbers by hand.

    Ratio of all (110 + 6.25) / (100 + 6.25) with 6.25 = 0.05^2 / 0.2^2 x 100; of the kind (110 + 1.09412 x 625) /
    (100 + 625) with 625 = 0.05^2 / 0.02^2 x 100, so 1.09493. Slope 1: expected 1.09493 x 120 = 131.391. Spread: the one
    that has ended was (110 - 109.493) / (0.02 x 109.493) = 0.2316 of its own off, so sqrt((0.0536 + 3) / 4) = 0.87372;
    replicas 10 apart become 10 x 1.09493 x 0.87372 = 9.5666 apart.
    """
    found = Experience()
    found.add("06:00 weekday", [100.0] * 99, 110.0)
    values = [110.0] * 33 + [120.0] * 33 + [130.0] * 33
    told = said(found, "06:00 weekday", values)
    assert told.mean == pytest.approx(131.391, abs=0.001)
    assert (told.lo, told.hi) == pytest.approx((131.391 - 9.567, 131.391 + 9.567), abs=0.001)
    assert (told.n, told.same) == (1, 1)
    assert told.brief()["alone"] == {"mean": 120.0, "lo": 110.0, "hi": 130.0}
    other = said(found, "14:00 weekday", values)
    assert other.mean == pytest.approx(120 * 116.25 / 106.25 - 0.0, abs=0.2), "another kind has the ratio of all"
    assert (other.n, other.same) == (1, 0)
    nothing = said(Experience(), "06:00 weekday", values)
    assert (nothing.mean, nothing.lo, nothing.hi, nothing.n) == (120.0, 110.0, 130.0, 0), "without experience as it is"


def test_a_shift_is_kept_at_its_beginning_and_scored_when_nothing_late_can_move_it(running: Running) -> None:
    running.work(0, TEN - 60, 100)
    assert not running.book.rows
    view = running.book.view(running.tracker.state)
    assert (view["mean"], view["why"]) == (None, "its beginning was not heard")
    running.work(TEN - 60, TEN + 120, 100)
    (kept,) = running.book.rows.values()
    assert (kept.kind, kept.a, kept.b) == ("10:00 weekday", T0 + TEN * 1000, T0 + 6 * HOUR * 1000)
    running.forecast()
    told = running.book.view(running.tracker.state)
    assert told["mean"] == told["alone"]["mean"] == pytest.approx(120, abs=3), "four hours of 120 s"
    assert (told["n"], told["b"], told["plan"]) == (0, kept.b, "s")
    running.work(TEN + 120, 6 * HOUR - 60, 100)
    assert running.book.view(running.tracker.state)["so_far"] == 143
    running.work(6 * HOUR - 60, 6 * HOUR, 100)
    running.work(6 * HOUR, 6 * HOUR + SETTLED_MS // 1000 - 60, IDLE)
    assert kept.open, "something late may still come"
    assert running.book.view(running.tracker.state)["why"] == "closed"
    running.work(6 * HOUR + SETTLED_MS // 1000 - 60, 6 * HOUR + SETTLED_MS // 1000 + 60, IDLE)
    assert (kept.began, kept.out, kept.by) == (72, 144, "counted"), "parts of 100 s"
    assert kept.score["bias"] == pytest.approx(kept.score["alone"]["mean"] - 144, abs=0.01)
    assert kept.score["crps"] == kept.score["crps_alone"] > 10
    assert not kept.score["covered"]
    last = running.book.view(running.tracker.state)["last"]
    assert (last["out"], last["a"], last["n"]) == (144, kept.a, 0)


def test_parts_that_are_told_late_belong_to_the_shift_in_which_they_were_made(running: Running) -> None:
    running.work(0, 6 * HOUR - 240, 100)
    assert running.n == 213
    for minute in range(-3, 4):
        running.w.tick(6 * HOUR + 60 * minute)
    running.w.data(6 * HOUR - 60, cut__a=215)  # two more by 13:59, told at 14:03
    running.w.data(6 * HOUR + 200, cut__a=219)  # and four after the end
    running.n = 219
    running.work(6 * HOUR + 240, 6 * HOUR + 600, IDLE)
    (kept,) = running.book.rows.values()
    assert (kept.began, kept.out) == (72, 143)


def test_a_part_after_the_end_is_not_of_the_shift(running: Running) -> None:
    running.work(0, 6 * HOUR, 100)
    running.w.data(6 * HOUR + 61, cut__a=running.n + 3)  # the part in hand and two that were moved by hand
    running.n += 3
    running.work(6 * HOUR + 120, 6 * HOUR + 600, IDLE)
    (kept,) = running.book.rows.values()
    assert kept.out == 144


def test_experience_begins_on_the_second_day_and_puts_the_next_forecast_right(running: Running) -> None:
    """The file says 120 s, parts come each 100 s: 144 where the model says 120."""
    running.shift(0, False, 100)
    for day in (1, 2):
        running.shift(day, True, 100)
        running.shift(day, False, 100)
    told = [running.book.said(kept) for kept in running.book.rows.values()]
    assert [one.n for one in told] == [0, 0, 0, 1, 2], "a shift whose end has just come is counted a little later"
    assert all(abs(one.alone_mean - 120) < 3 for one in told)
    assert told[-1].mean == pytest.approx(143, abs=2.5)
    assert told[-1].lo <= 144 <= told[-1].hi
    past = running.book.experience(running.book.now)
    assert [(p.kind, p.came) for p in past.past] == [
        ("10:00 weekday", 144), ("06:00 weekday", 144), ("10:00 weekday", 144)
    ], "Tuesday 06:00 is within a day of the beginning"  # fmt: skip
    summary = running.book.summary()
    assert summary["n"] == 5
    assert summary["crps"] < summary["crps_alone"]
    assert abs(summary["bias"]) < abs(summary["bias_alone"])


def test_a_restart_in_the_middle_changes_nothing(running: Running, tmp_path: Path) -> None:
    """Restarts in a shift, at its end before it was counted, and with the whole journal: the same rows."""
    (tmp_path / "other").mkdir()
    other = Running(written(tmp_path / "other", FILE), tmp_path / "other")
    other.w.data(0, cut__a=0)
    other.w.tick(1)
    for one in (running, other):
        for a, b, every in ((0, TEN + 60, 100), (TEN + 60, 3 * HOUR, 90), (3 * HOUR, 6 * HOUR + 120, 110)):
            one.work(a, b, every)
            one.forecast()
            if one is other:
                one.restart()
        one.work(6 * HOUR + 120, 6 * HOUR + 900, IDLE)
    assert other.book.rows == running.book.rows
    (kept,) = other.book.rows.values()
    assert kept.out
    assert kept.score
    seq = other.log.checkpoint().seq
    other.restart(other.plant)
    other.feed()
    assert other.book.rows == running.book.rows
    assert other.log.checkpoint().seq == seq, "nothing is written twice"


def test_a_journal_that_was_recorded_before_the_twin_gives_experience_at_once(running: Running) -> None:
    """Three days without a forecast, then all of them from the kept states; none counts as forecast in time."""
    for day in range(3):
        running.part = day * 24 * HOUR
        running.work(day * 24 * HOUR, day * 24 * HOUR + 7 * HOUR, 100)
    running.forecast()
    assert [p.came for p in running.book.experience(running.book.now).past] == [144, 144]
    assert running.book.summary()["n"] == 0


def test_what_a_person_books_holds_against_what_was_counted(running: Running) -> None:
    running.work(0, 6 * HOUR + 900, 100)
    (kept,) = running.book.rows.values()
    count, t = kept.out, 6 * HOUR + 900
    running.w.json("manual", t, t=T0 + t * 1000, thing="test", property="output", value=131, sd=0, role="shift lead")
    running.work(t, t + 120, IDLE)
    assert (count, kept.out, kept.by) == (144, 131, "booked by shift lead")
    assert running.tracker.state.counts.get("manual_unknown", 0) == 0
    t += 120
    running.w.json("manual", t, t=T0 + t * 1000, thing="a", property="output", value=132, sd=0, role="clerk")
    running.work(t, t + 120, IDLE)
    assert kept.out == 131, "the line's figure holds before a product's"
    running.w.json("manual", t, t=T0 + t * 1000, thing="nothing", property="output", value=9, sd=0, role="x")
    running.work(t + 120, t + 240, IDLE)
    assert running.tracker.state.counts["manual_unknown"] == 1
    assert kept.out == 131


def test_documents_of_finished_output_are_booked_and_a_person_overrules_them(running: Running) -> None:
    running.work(0, 6 * HOUR + 900, 100)
    (kept,) = running.book.rows.values()
    end, t = T0 + 6 * HOUR * 1000, 6 * HOUR + 900

    def tell(doc: str, quantity: float, issued: int, version: int = 1, **more: Any) -> tuple[float | None, str]:
        nonlocal t
        paper = Supply(
            doc=doc, version=version, kind="production_performance", issued=issued, quantity=quantity, **more
        )
        body = encode(paper)
        running.w.rows[-1] = msgspec.structs.replace(running.w.put("supply", t, body), t=issued)  # as ingest writes it
        running.work(t, t + 60, IDLE)
        t += 60
        return kept.out, kept.by

    assert tell("PP-0", 60, end - 3 * HOUR * 1000, item="a") == (144, "counted"), "of the shift before"
    assert tell("PP-1", 100, end + 60_000, item="a") == (100, "booked by PP-1")
    assert tell("PP-2", 41, end + 600_000, item="a") == (141, "booked by PP-2"), "two production orders in one shift"
    assert tell("PP-2", 40, end + 600_000, 2, item="a") == (140, "booked by PP-2")
    assert tell("PP-2", 41, end + 600_000, 1, item="a") == (140, "booked by PP-2"), "the highest version holds"
    assert tell("PP-3", 139, end + 700_000) == (139, "booked by PP-3"), (
        "no item: the line's, which holds before products'"
    )
    assert tell("PP-4", 7, end + 700_000, item="nothing") == (139, "booked by PP-3")
    state = running.tracker.state
    assert (state.counts["booked_unknown"], state.meters.finished, sorted(state.booked)) == (
        1, [running.n], ["PP-0", "PP-1", "PP-2", "PP-3"]
    ), "no part moves by it"  # fmt: skip
    running.w.json("manual", t, t=T0 + t * 1000, thing="test", property="output", value=131, sd=0, role="shift lead")
    running.work(t, t + 60, IDLE)
    assert (kept.out, kept.by) == (131, "booked by shift lead")


def test_a_change_of_shift_that_was_not_heard_counts_for_nothing(running: Running) -> None:
    running.work(0, TEN + 120, 100)
    running.w.json("status", TEN + 180, online=False, e="e1", ts=T0)
    for minute in range(3, 4 * 60 + 15):
        running.w.tick(TEN + 60 * minute)
    running.feed()
    (kept,) = running.book.rows.values()
    assert kept.void == "cell1 offline at the change of shift"
    assert running.book.wanting(running.tracker.state) is None
    running.w.tick(24 * HOUR + TEN + 600)  # nothing from the day before to ten minutes after the change
    running.feed()
    assert len(running.book.rows) == 1


def test_a_clock_that_goes_back_gives_the_running_shift_up(running: Running) -> None:
    running.work(0, TEN + 1200, 100)
    running.forecast()
    running.w.ticked = 0
    running.w.tick(TEN - 600)
    running.feed()
    (kept,) = running.book.rows.values()
    assert kept.void == "the clock went back"
    running.work(TEN - 600, TEN + 60, 100)
    (anew,) = running.book.rows.values()
    assert anew is not kept
    assert (anew.a, anew.void) == (kept.a, "")


def test_new_hours_and_the_first_weeks_end_make_the_past_anew(running: Running, tmp_path: Path) -> None:
    """The plant file of other hours: an old forecast of four hours counts only after it was made again for three."""
    running.shift(0, False, 100)
    running.shift(1, True, 100)
    running.shift(1, False, 100)
    running.forecast()
    old = {a: list(k.values) for a, k in running.book.rows.items()}
    other = written(tmp_path, FILE.replace('-14:00"', '-14:00", breaks: "Mon-Fri 11:00-12:00"'), "other")
    running.restart(other)
    running.feed()
    assert running.book.experience(running.book.now).past == []
    running.forecast()
    late = [k for k in running.book.rows.values() if k.kind == "10:00 weekday"]
    assert all(sum(k.values) == pytest.approx(0.75 * sum(old[k.a]), rel=0.02) for k in late)
    assert len(running.book.experience(running.book.now).past) == 1
    assert running.book.wanting(running.tracker.state) is None
    for day, wanted in ((6, False), (7, True), (14, False), (21, False)):
        running.w.tick(day * 24 * HOUR + 60)
        running.feed()
        assert (running.book.wanting(running.tracker.state) is not None) == wanted, day
        running.forecast()


def test_shifts_that_are_no_more_give_way_to_those_of_the_new_plan(running: Running, tmp_path: Path) -> None:
    """Two shifts of four hours become one from 06:00 to 14:00 with a break: nothing is counted twice."""
    running.shift(0, False, 100)
    running.shift(1, True, 100)
    running.shift(1, False, 100)
    running.restart(written(tmp_path, FILE.replace("10:00, 10:00-14:00", "10:00, 10:40-14:00"), "other"))
    running.feed()
    (kept,) = running.book.rows.values()
    assert (kept.a, kept.b, kept.out) == (T0 + 22 * HOUR * 1000, T0 + 30 * HOUR * 1000, 288)


def test_states_of_another_line_are_of_no_use(running: Running, tmp_path: Path) -> None:
    running.shift(0, False, 100)
    running.shift(1, True, 100)
    units = FILE.replace("cut: {work: 120 s}", "cut: {work: 240 s, units: 2}")
    running.restart(written(tmp_path, units, "other"))
    assert running.book.wanting(running.tracker.state) is None
    assert running.book.experience(T0 * 2).past == []


def test_the_engine_shows_the_shift_and_takes_it_up_again(tmp_path: Path) -> None:
    where = written(tmp_path, FILE)
    data, w = tmp_path / "data", Writer(where)
    data.mkdir()
    w.data(0, cut__a=0)
    for minute in range(1, 131):
        w.tick(60 * minute)
        w.data(60 * minute, cut__a=minute)
    write_journal(data / "journal.db", w.rows)

    def start() -> Engine:
        made = Engine(Settings(data, where, 10.0, Options(20, 3600)), wall=lambda: w.rows[-1].recv)
        made.poll()
        made.look_ahead()
        return made

    engine = start()
    shift = engine.forecast["shift"]
    assert (shift["kind"], shift["so_far"], shift["n"]) == ("10:00 weekday", 10, 0)
    assert shift["lo"] <= shift["mean"] <= shift["hi"]
    assert engine.shifts.summary()["n"] == 0
    assert engine.drift_view()["hours"] == []
    engine.save()
    engine.log.close()
    w.tick(7860)
    write_journal(data / "journal.db", w.rows[-1:])
    again = start()
    assert again.forecast["shift"] == shift
    assert again.log.checkpoint().seq == sum(1 for _ in again.log.read(0, 1000))
    kinds: list[Any] = [row["type"] for row in again.log.read(0, 1000)]
    assert kinds.count("shift") == 3, "kept, counted at its beginning, forecast"
    again.log.close()
