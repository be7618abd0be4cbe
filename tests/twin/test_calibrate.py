"""Calibration from the twin's rows: against the virtual plant's truth, under loss, in any order, with a step change."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.wire import Row
from sim.distributions import mean
from sim.plant import Plant
from sim.plantfile import load
from tests.twin.calibration_rows import SCALED, plant, run
from tests.twin.journals import LINE, T0, Writer, line, renumber
from tests.twin.shop_rows import ShopRows
from twin.believe import believe, groups, prior_of
from twin.calibrate import table
from twin.hours import Hours
from twin.learned import Learned, OpenUnit, Spans
from twin.parameters import parameters
from twin.tracker import Tracker

SEEDS = 10
HOURS = 120.0


@cache
def runs(folder: Path) -> tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]:
    where = plant(folder)
    return where, [run(where, seed, HOURS) for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]:
    return runs(tmp_path_factory.mktemp("cal"))


def test_intervals_cover_the_truth(ran: tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]) -> None:
    """90 % intervals of work, repair, failure, lead time and demand, the truth drawn from the prior for those that the
    virtual plant can change. A hundred intervals; 81 to 98 is where a binomial of 0.9 lies with probability 0.998.
    """
    where, found = ran
    hits: dict[str, int] = {}
    for rows, truth in found:
        for name, value in truth.items():
            members = groups(where)[name]
            belief = believe(rows.tracker.learned, members, prior_of(members))
            hits[name] = hits.get(name, 0) + (belief.lo <= value <= belief.hi)
    assert 81 <= sum(hits.values()) <= 98, hits
    assert all(n >= 6 for n in hits.values()), hits
    assert sum(hits[name] for name in SCALED) >= 46, hits


def test_intervals_cover_yields_and_setups(ran: tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]) -> None:
    where, found = ran
    covered = 0
    for rows, _ in found:
        by_name = {row.name: row for row in table(where, rows.tracker.learned)}
        scrap = by_name["yield/a/mill"]
        covered += scrap.seen_lo <= 0.04 <= scrap.seen_hi
        for name in ("setup/mill/a/b", "setup/mill/b/a"):
            assert by_name[name].n > 40
            covered += by_name[name].seen_lo <= 360.0 <= by_name[name].seen_hi
    assert 3 * SEEDS * 0.7 <= covered <= 3 * SEEDS, covered


def test_time_between_departures_is_not_work(ran: tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]) -> None:
    """What a careless fit would take: far off, here as starving, blocking, failures and nights are in it."""
    where, found = ran
    rows, truth = found[0]
    ends: dict[tuple[str, int], list[int]] = {}
    for row in rows.rows:
        if row.kind == "event":
            event = msgspec.json.decode(row.body)
            if event["kind"] == "work_end":
                ends.setdefault((event["thing"], event.get("unit", 1)), []).append(event["t"])
    for station, of in (("mill", 0.5 * (17 + 21) * 60e3), ("wash", mean(where.products[0].steps[2].work))):
        gaps = np.concatenate([np.diff(t) for (thing, _), t in ends.items() if thing == station])
        expected = of * truth.get(f"work/{station}", 1.0)
        assert gaps.mean() > 1.3 * expected
        members = groups(where)[f"work/{station}"]
        belief = believe(rows.tracker.learned, members, prior_of(members))
        assert belief.mean == pytest.approx(truth.get(f"work/{station}", 1.0), rel=0.05)


def test_the_wait_for_the_crew_is_not_repair(ran: tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]) -> None:
    """One fitter for three machines: time down is longer than the repair, and is not taken for it."""
    down = believed = 0.0
    for rows, truth in ran[1]:
        since: dict[tuple[str, int], int] = {}
        spans = []
        for row in rows.rows:
            event = msgspec.json.decode(row.body) if row.kind == "event" else {}
            key = (event.get("thing", ""), event.get("unit", 1))
            if event.get("kind") == "down":
                since[key] = event["t"]
            elif event.get("kind") == "up" and key in since and key[0] == "mill":
                spans.append(event["t"] - since.pop(key))
        found = rows.tracker.learned.spans["repair/mill/failure"]
        down += float(np.mean(spans)) / (40 * 60e3 * truth["repair/mill"])
        believed += float(np.mean(found.x)) / (40 * 60e3 * truth["repair/mill"])
    assert down / SEEDS > 1.15
    assert believed / SEEDS == pytest.approx(1.0, abs=0.1)


def test_forgetting_follows_a_step(tmp_path: Path) -> None:
    """Work takes 30 % longer since day 20 of 30: with a half-life of two days that is what is believed."""
    where = line(tmp_path)
    rng, day = np.random.default_rng(3), 86_400_000
    t = np.sort(rng.integers(0, 30 * day, 190))
    x = 100_000 * rng.gamma(25, 1 / 25, 190) * np.where(t > 20 * day, 1.3, 1.0)
    spans = Spans([int(v) for v in t], [int(v) for v in x], [0] * 190, 190)
    members = [p for p in parameters(where) if p.name == "work/mill/a/mill"]
    found = {}
    for name, half in (("never", 0), ("two days", 2 * day)):
        learned = Learned(forget_ms=half, t=30 * day, spans={"work/mill/a/mill": spans})
        found[name] = believe(learned, members, prior_of(members))
    assert found["never"].hi < 1.2
    assert found["two days"].lo < 1.3 < found["two days"].hi + 0.03
    assert found["two days"].mean > 1.22
    assert found["two days"].hi - found["two days"].lo > found["never"].hi - found["never"].lo


def parts(w: Writer, n: int, lost: int = -1) -> None:
    """Parts of 60 s each at `cut`, ten seconds apart; the end of one may be lost on the way."""
    for i in range(n):
        w.event(70 * i, "work_start", "cut", product="a", unit=1, count=i + 1)
        w.ticks(70 * i + 1, 70 * i + 60)
        if i == lost:
            w.skip()
        else:
            w.event(70 * i + 60, "work_end", "cut", product="a", unit=1, count=i + 1)
        w.ticks(70 * i + 60, 70 * i + 70)
    w.ticks(70 * n, 70 * n + 700)


def test_a_lost_end_does_not_poison(tmp_path: Path) -> None:
    where = line(tmp_path, "  - {thing: fa, property: on_hand, tag: fa/on_hand, type: int}\n")
    w = Writer(where)
    parts(w, 20, lost=8)
    tracker = Tracker(where)
    for row in w.rows:
        tracker.apply(row)
    spans = tracker.learned.spans["work/cut/a/cut"]
    assert tracker.learned.lost == 1
    assert [x for x, cut in zip(spans.x, spans.cut, strict=True) if not cut] == [60_000] * 19
    assert [x for x, cut in zip(spans.x, spans.cut, strict=True) if cut] == [0]  # certain only up to the row before
    assert next(r for r in table(where, tracker.learned) if r.name == "work/cut/a/cut").verdict == "agrees"


@pytest.mark.parametrize("part", ["resumes", "repeats"])
def test_time_down_is_not_work(tmp_path: Path, part: str) -> None:
    """30 s of work, down 100 s, up; then 30 s more, or all of it again: the first 30 s are then a censored span."""
    text = LINE.replace("exponential(10 min)}", f"exponential(10 min), part: {part}}}")
    (tmp_path / "one.yaml").write_text(
        text.strip() + "\n  - {thing: fa, property: on_hand, tag: fa/on_hand, type: int}\n"
    )
    where = load(str(tmp_path / "one.yaml"))
    w = Writer(where)
    last = 160 if part == "resumes" else 190
    for t, kind in ((10, "work_start"), (40, "down"), (140, "up"), (last + 10, "work_end")):
        w.ticks(int(w.ticked) + 1, t)
        w.event(t, kind, "cut", product="a", unit=1, text="failure" if kind in ("down", "up") else None)
    w.ticks(last + 11, last + 900)
    tracker = Tracker(where)
    for row in w.rows:
        tracker.apply(row)
    work, repair, fail = (
        tracker.learned.spans[f"{n}"] for n in ("work/cut/a/cut", "repair/cut/failure", "fail/cut/failure")
    )
    expected = ([60_000], [0]) if part == "resumes" else ([30_000, 60_000], [1, 0])
    assert (work.x, work.cut) == expected
    assert (repair.x, fail.x) == ([100_000], [30_000])


def learned_of(where: Plant, rows: list[Row]) -> bytes:
    tracker = Tracker(where)
    for row in rows:
        tracker.apply(row)
    assert tracker.state.learned is tracker.learned
    return msgspec.msgpack.encode(tracker.learned)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_late_readings_does_not_matter(
    ran: tuple[Plant, list[tuple[ShopRows, dict[str, float]]]], seed: int
) -> None:
    """Messages come up to four minutes late, in any order: inside the window the same is learned."""
    where, found = ran
    rows = found[1][0].rows[:900]
    rng = np.random.default_rng(seed)

    def comes(row: Row) -> float:
        return row.t + (0.0 if row.kind in ("tick", "birth") else float(rng.uniform(0, 200_000)))

    shuffled = renumber(sorted(rows, key=comes))
    last = [
        Row(len(rows) + 1 + i, t, t, "tick", "", None, None, b'{"t":%d}' % t)
        for i, t in enumerate(range(rows[-1].t, rows[-1].t + 700_000, 50_000))
    ]
    assert learned_of(where, [*shuffled, *last]) == learned_of(where, [*rows, *last])


def test_a_snapshot_goes_on_where_it_was(ran: tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]) -> None:
    where, found = ran
    rows = found[2][0].rows[:1500]
    tracker = Tracker(where)
    for row in rows[:700]:
        tracker.apply(row)
    restored = Tracker.restore(where, tracker.snapshot())
    for row in rows[700:]:
        restored.apply(row)
    assert msgspec.msgpack.encode(restored.learned) == learned_of(where, rows)


def test_open_hours_count_minute_by_minute(ran: tuple[Plant, list[tuple[ShopRows, dict[str, float]]]]) -> None:
    """Over the night the clocks go forward in Berlin: 06:00 to 22:00 local, whatever the zone does."""
    hours = Hours(ran[0])
    a = int(datetime(2026, 3, 28, 3, 17, tzinfo=UTC).timestamp() * 1000)
    local = [(a // 60_000 + m) for m in range(3000)]
    zone = [datetime.fromtimestamp(m * 60, hours._zone) for m in local]
    expected = sum(6 <= t.hour < 22 for t in zone) * 60_000
    assert hours.open_ms("day", a, a + 3000 * 60_000) == expected
    assert hours.open_ms(None, a, a + 5) == 5
    assert hours.hour_of_week(a) == 5 * 24 + 4


def test_a_failure_clock_in_progress_is_censored(tmp_path: Path) -> None:
    """No failure in ten means of exposure says that failures are rarer; nothing is known without exposure."""
    where = line(tmp_path)
    members = groups(where)["fail/cut"]
    unit = OpenUnit(age={"failure": 60_000_000})
    learned = Learned(t=T0, stations=["cut", "mill", "wash"], units=[[unit], [OpenUnit()], [OpenUnit()]])
    assert believe(learned, members, prior_of(members)).mean > 1.5
    assert believe(Learned(t=T0), members, prior_of(members)).mean == pytest.approx(1.0, abs=0.02)
