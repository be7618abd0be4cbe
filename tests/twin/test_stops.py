"""Failures, repairs and scrap from states and counters alone, and what the tags cannot tell."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hardware.twist import Twist
from sim.plant import Plant
from sim.plantfile import load
from tests.twin.calibration_rows import FILE
from tests.twin.journals import LINE, STATES, Writer, renumber
from tests.twin.shop_rows import ShopRows
from twin.calibrate import table
from twin.learned import Learned
from twin.parameters import parameters, seen
from twin.tracker import Tracker

SENSORS = """
  - {thing: cut, property: state, tag: cut/state, type: enum}
  - {thing: cut, property: out, product: a, tag: cut/a, type: counter}
  - {thing: mill, property: state, tag: mill/state, type: enum}
  - {thing: mill, property: out, product: a, tag: mill/a, type: counter}
  - {thing: mill, property: scrap, product: a, tag: mill/scrap, type: counter}
"""
IDLE, WORK, BLOCKED, STARVED, SETUP, DOWN, OFF = range(len(STATES))
FAIL, REPAIR = "fail/cut/failure", "repair/cut/failure"


def plant(folder: Path, *changes: tuple[str, str]) -> Plant:
    text = LINE.replace(
        "a: {routing: [cut, mill, wash], revenue: 42 EUR}",
        "a: {routing: [cut, {step: mill, station: mill, next: {scrap: 5 %, wash: rest}}, "
        "{step: wash, station: wash, next: {scrap: 2 %, done: rest}}], revenue: 42 EUR}",
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "stops.yaml"
    path.write_text("\n".join(row for row in (text + SENSORS).splitlines() if row))
    return load(str(path))


def learn(w: Writer, until: float) -> Tracker:
    for t in range(int(w.ticked) + 10, int(until) + 700, 10):
        w.tick(t)
    tracker = Tracker(w.plant)
    for row in w.rows:
        tracker.apply(row)
    return tracker


def quiet(w: Writer, t: float, **values: float) -> None:
    """A reading with one tick before it, however long nothing was said."""
    w.ticked = max(w.ticked, t - 15)
    w.data(t, 0, **values)


def spans(learned: Learned, name: str) -> list[tuple[int, int]]:
    """(seconds, cut) of every span."""
    found = learned.spans.get(name)
    return [] if found is None else [(x // 1000, c) for x, c in zip(found.x, found.cut, strict=True)]


def test_a_stop_is_a_failure_and_a_repair(tmp_path: Path) -> None:
    """Two stops of 300 and 100 s after 80 and 160 s of work; waiting is not work."""
    w = Writer(plant(tmp_path))
    w.data(0, cut__state=STARVED)
    w.data(10, cut__state=WORK)
    w.data(90, cut__state=DOWN)
    w.data(390, cut__state=WORK)
    w.data(450, cut__state=STARVED)
    w.data(500, cut__state=WORK)
    w.data(600, cut__state=DOWN)
    w.data(700, cut__state=WORK)
    learned = learn(w, 700).learned
    assert spans(learned, REPAIR) == [(300, 0), (100, 0)]
    assert spans(learned, FAIL) == [(80, 0), (160, 0)]


def test_what_is_cut_short_is_censored(tmp_path: Path) -> None:
    """By closing hours, by the end of the data; a stop whose beginning was not seen gives nothing."""
    w = Writer(plant(tmp_path))
    w.data(0, cut__state=DOWN)  # since when?
    w.data(50, cut__state=WORK)
    w.data(150, cut__state=DOWN)
    w.data(250, cut__state=OFF)  # the shift is over
    w.data(400, cut__state=DOWN)  # still, or again: it is no new failure
    w.data(450, cut__state=WORK)
    w.data(500, cut__state=DOWN)
    tracker = learn(w, 520)
    learned = tracker.learned
    assert spans(learned, REPAIR) == [(100, 1)]
    assert spans(learned, FAIL) == [(100, 0), (50, 0)]
    (repair,) = [p for p in parameters(tracker.topology.plant) if p.name == REPAIR]
    data = seen(learned, [repair]).data
    assert data.cut == (True, True)
    assert data.x[1] == pytest.approx((learned.t - tracker.state.started - 500_000) / repair.size, rel=1e-6)


def test_a_lost_message_cuts_a_stop(tmp_path: Path) -> None:
    w = Writer(plant(tmp_path))
    w.data(0, cut__state=STARVED)
    w.data(10, cut__state=WORK)
    w.data(60, cut__state=DOWN)
    w.data(100, cut__a=0)
    w.skip()
    w.data(300, cut__state=WORK)
    w.data(400, cut__state=DOWN)  # after a loss: nobody has told that it worked all the time
    w.data(430, cut__state=WORK)
    learned = learn(w, 500).learned
    assert spans(learned, REPAIR) == [(40, 1), (30, 0)]


def test_the_wait_for_the_crew_is_no_repair(tmp_path: Path) -> None:
    """One fitter for two machines: the second repair begins when the first is over."""
    crew = ("repair: exponential(10 min)}", "repair: exponential(10 min), crew: fitter}")
    broken = "fails: {clock: odf, after: exponential(100 min), repair: exponential(10 min), crew: fitter}}"
    work = "work: {a: 100 s, b: 110 s}"
    more = (f"mill: {{units: 2, {work}}}", f"mill: {{units: 1, {work}, {broken}")
    where = plant(tmp_path, more, ("buffers:", "crews:\n  fitter: {size: 1}\nbuffers:"), crew)
    w = Writer(where)
    w.data(0, cut__state=STARVED, mill__state=STARVED)
    w.data(10, cut__state=WORK, mill__state=WORK)
    w.data(100, cut__state=DOWN)
    w.data(200, mill__state=DOWN)
    w.data(400, cut__state=WORK)
    w.data(450, mill__state=WORK)
    learned = learn(w, 500).learned
    assert spans(learned, REPAIR) == [(300, 0)]
    assert spans(learned, "repair/mill/failure") == [(50, 0)]


def test_events_are_believed_instead(tmp_path: Path) -> None:
    """Where failures and ends are told, the state and the counters of the same do not count a second time."""
    w = Writer(plant(tmp_path))
    w.data(0, cut__state=STARVED, cut__a=0, mill__a=0, mill__scrap=0)
    for n in range(3):
        t = 10 + 300 * n
        w.tick(t)
        w.event(t, "work_start", "mill", product="a", unit=1, count=n + 1)
        w.data(t, cut__state=WORK)
        w.tick(t + 60)
        w.event(t + 60, "down", "cut", count=n + 1)
        w.data(t + 61, cut__state=DOWN)
        w.tick(t + 160)
        w.event(t + 160, "up", "cut", state="work")
        w.data(t + 161, cut__state=WORK)
        w.tick(t + 200)
        w.event(t + 200, "work_end", "mill", product="a", unit=1, count=n + 1)
        w.event(t + 200, "scrap", "mill", product="a", unit=1, count=n + 1)
        w.data(t + 201, mill__a=n + 1, mill__scrap=n + 1, cut__state=STARVED)
    learned = learn(w, 900).learned
    assert spans(learned, REPAIR) == [(100, 0)] * 3
    tally = learned.tallies["yield/a/mill"]
    assert (sum(tally.n), sum(tally.x)) == (3, 3)


def test_a_scrap_counter_tells_the_yield(tmp_path: Path) -> None:
    """Two counters polled every six minutes, several parts at once."""
    w = Writer(plant(tmp_path))
    rng = np.random.default_rng(5)
    out = scrapped = 0
    w.data(0, mill__a=0, mill__scrap=0)
    for minute in range(1, 301):
        more = int(rng.integers(0, 4))
        out, scrapped = out + more, scrapped + int(rng.binomial(more, 0.15))
        quiet(w, 360 * minute, mill__a=out, mill__scrap=scrapped)
    tracker = learn(w, 360 * 300)
    tally = tracker.learned.tallies["yield/a/mill"]
    assert (sum(tally.n), sum(tally.x)) == (scrapped, out)
    row = next(r for r in table(tracker.topology.plant, tracker.learned) if r.name == "yield/a/mill")
    assert row.seen == pytest.approx(scrapped / out, rel=0.1)
    assert row.seen_lo < 0.15 < row.seen_hi
    assert row.verdict == "differs"


def test_failures_and_repairs_are_found_again(tmp_path: Path) -> None:
    """States of a machine whose repairs take twice as long as the file says and whose failures come twice as often."""
    w, rng, t = Writer(plant(tmp_path)), np.random.default_rng(2), 10.0
    w.data(0, cut__state=STARVED)
    w.data(t, cut__state=WORK)
    for _ in range(40):
        for mean, state in ((3000, DOWN), (1200, WORK)):
            until = t + float(rng.exponential(mean))
            while t + 300 < until:  # others are heard meanwhile
                t += 300
                quiet(w, t, mill__a=0)
            t = until
            quiet(w, t, cut__state=state)
    tracker = learn(w, t)
    rows = {r.name: r for r in table(tracker.topology.plant, tracker.learned)}
    assert rows[REPAIR].n == rows[FAIL].n == 40
    assert rows[REPAIR].seen_lo < 1200 < rows[REPAIR].seen_hi
    assert rows[FAIL].seen_lo < 3000 < rows[FAIL].seen_hi
    assert rows[REPAIR].verdict == rows[FAIL].verdict == "differs"


TAGS = """
  - {thing: cut, property: state, tag: cut/state, type: enum}
  - {thing: cut, property: out, product: a, tag: cut/a, type: counter}
  - {thing: cut, property: out, product: b, tag: cut/b, type: counter}
  - {thing: mill, unit: 1, property: state, tag: mill/1/state, type: enum}
  - {thing: mill, unit: 2, property: state, tag: mill/2/state, type: enum}
  - {thing: mill, unit: 1, property: out, product: a, tag: mill/1/a, type: counter}
  - {thing: mill, unit: 1, property: out, product: b, tag: mill/1/b, type: counter}
  - {thing: mill, unit: 2, property: out, product: a, tag: mill/2/a, type: counter}
  - {thing: mill, unit: 2, property: out, product: b, tag: mill/2/b, type: counter}
  - {thing: mill, property: scrap, product: a, tag: mill/scrap, type: counter}
"""


def test_tags_tell_what_events_tell(tmp_path: Path) -> None:
    """The virtual plant with shifts, a crew for two stations and scrap, its journal with and without its events."""
    path = tmp_path / "tags.yaml"
    path.write_text(FILE.strip() + TAGS)
    where = load(str(path))
    shop = ShopRows(where, Twist(repair_scale=1.5), warmup_s=7200.0, seed=3)
    shop.run(48 * 3600, tick_s=60.0)
    tracker, s = Tracker(where), 0
    for row in renumber([row for row in shop.rows if row.kind != "event"]):
        if row.s is None:
            tracker.apply(row)
            continue
        s += 1  # the source that sends no events has no numbers for them
        body = json.dumps(json.loads(row.body) | {"s": s}).encode()
        tracker.apply(msgspec.structs.replace(row, s=s, body=body))
    by_event, by_tag = shop.tracker.learned, tracker.learned
    assert (by_event.lost, by_tag.lost) == (0, 0)
    for name in ("fail/cut/failure", "fail/mill/failure", REPAIR, "repair/mill/failure"):
        assert len(spans(by_tag, name)) >= 6
        assert spans(by_tag, name) == spans(by_event, name), name
    told, seen_ = ({r.name: r for r in table(where, one)} for one in (by_event, by_tag))
    assert (seen_["yield/a/mill"].n, seen_["yield/a/mill"].seen) == (told["yield/a/mill"].n, told["yield/a/mill"].seen)
    for name in ("work/cut/a/cut", "work/cut/b/cut"):
        assert seen_[name].seen == pytest.approx(told[name].seen, rel=0.05), name


def test_what_the_tags_cannot_tell_is_said(tmp_path: Path) -> None:
    first, second = (f"{{name: {n}, clock: odf, after: exponential(9 h), repair: 9 min}}" for n in ("jam", "tool"))
    two = ("{clock: odf, after: exponential(100 min), repair: exponential(10 min)}", f"[{first}, {second}]")
    washed = "wash: {units: 1, work: {a: 50 s, b: 50 s}"
    where = plant(tmp_path, two, (f"{washed}}}", f"{washed}, setup: {{default: 5 min}}}}"))
    w = Writer(where)
    w.data(0, cut__state=STARVED, mill__a=0)
    tracker = learn(w, 100)
    said = {r.name: r.untold for r in table(where, tracker.learned)}
    assert said["yield/a/wash"] == "no tag tells scrap of wash"
    assert said["yield/a/mill"] == ""
    assert said["work/wash/a/wash"] == "no tag tells work of wash"
    assert said["work/mill/a/mill"] == "its one state tag stands for several units, so it does not tell work of mill"
    assert said["work/cut/a/cut"] == ""
    assert said["fail/cut/jam"] == "no tag tells which of its 2 modes cut is down for"
    assert said["setup/wash/a/b"] == "no tag tells setups of wash"
    assert said["demand/da"] == "no tag tells demand of da"


def test_nothing_depends_on_where_a_snapshot_was_taken(tmp_path: Path) -> None:
    where = plant(tmp_path)
    w = Writer(where)
    w.data(0, cut__state=STARVED, mill__a=0, mill__scrap=0)
    for n in range(1, 12):
        w.data(100 * n, cut__state=DOWN if n % 3 == 2 else WORK, mill__a=n, mill__scrap=n // 3)
    whole = learn(w, 1200)
    half = Tracker(where)
    for row in w.rows[: len(w.rows) // 2]:
        half.apply(row)
    half = Tracker.restore(where, half.snapshot())
    for row in w.rows[len(w.rows) // 2 :]:
        half.apply(row)
    assert msgspec.msgpack.encode(half.learned) == msgspec.msgpack.encode(whole.learned)
