"""Injected faults: pure, seeded, and each does what it says, on rows written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.wire import Aliases, decode
from tests.twin.journals import T0, Writer, line
from twin.faults import Bad, Channelled, Faults, arrivals, inject
from twin.faults_text import FaultError, bad_sensors, late, share, time_of, window
from twin.topology import build


@pytest.fixture(name="w")
def hundred(tmp_path: Path) -> Writer:
    """A hundred readings of one counter, 10 s apart, each followed by a tick."""
    w = Writer(line(tmp_path))
    for k in range(100):
        w.data(10.0 * k, cut__a=k)
        w.event(10.0 * k, "work_end", "cut", product="a", count=k)
        w.tick(10.0 * k)
    return w


def run(w: Writer, faults: Faults) -> Channelled:
    return inject(build(w.plant), w.rows, faults)


def values(log: Channelled, tag: str = "cut/a") -> list[tuple[int, float]]:
    """(seconds at which it came, value) of every reading of a tag."""
    aliases = Aliases()
    found = [(at, decode(row, aliases)) for at, row in zip(log.at, log.rows, strict=True)]
    return [((at - T0) // 1000, r.value) for at, readings in found for r in readings if r.name == tag]


def test_without_faults_the_rows_are_the_same(w: Writer) -> None:
    log = run(w, Faults())
    assert log.rows == w.rows
    assert log.at == arrivals(w.rows)
    assert log.counts == {}


def test_the_same_seed_loses_the_same_and_more_loss_the_same_and_more(w: Writer) -> None:
    few, again, more = (run(w, Faults(loss=p, channel="plain")) for p in (0.1, 0.1, 0.3))
    assert few == again
    lost = [{v for _, v in values(run(w, Faults()))} - {v for _, v in values(log)} for log in (few, more)]
    assert 0 < len(lost[0]) < len(lost[1])
    assert lost[0] < lost[1]
    assert run(w, Faults(loss=0.1, channel="plain", seed=2)) != few


def test_the_wire_loses_nothing_for_good(w: Writer) -> None:
    log = run(w, Faults(loss=0.3))
    assert sorted(v for _, v in values(log)) == list(range(100))
    delays = [at - 10 * v for at, v in values(log)]
    assert max(delays) >= 5
    assert log.counts["sent again"] > 30
    assert {row.s for row in log.rows if row.s} == {row.s for row in w.rows if row.s}


def test_after_an_outage_the_wire_tells_the_newest_first(w: Writer) -> None:
    log = run(w, Faults(outages=((300.0, 600.0),)))
    found = values(log)
    assert [v for at, v in found if 300 <= at < 600] == []
    at_600 = [v for at, v in found if at == 600]
    assert at_600[0] == 59, "the snapshot, then the backlog"
    assert set(range(30, 60)) <= {v for _, v in found}
    numbers = [row.s for row in log.rows if row.s is not None]
    assert sorted(numbers) == list(range(1, 202)), "the snapshot has a number of its own"


def test_a_plain_client_says_nothing_of_an_outage(w: Writer) -> None:
    log = run(w, Faults(outages=((300.0, 600.0),), channel="plain"))
    assert [v for _, v in values(log)] == [*range(30), *range(60, 100)]
    assert log.counts == {"lost in an outage": 60}


def test_doubles_lateness_and_order(w: Writer) -> None:
    doubled = run(w, Faults(duplicates=1.0, channel="plain"))
    assert sorted(v for _, v in values(doubled)) == sorted([*range(100), *range(100)])
    assert values(run(w, Faults(duplicates=1.0))) == values(run(w, Faults())), "ingest drops them"
    delayed = [at - 10 * v for at, v in values(run(w, Faults(late=1.0, late_s=100.0, channel="plain")))]
    assert 0 <= min(delayed) < max(delayed) <= 100
    order = [v for _, v in values(run(w, Faults(reorder=0.5, channel="plain")))]
    assert order != sorted(order)
    assert sorted(order) == list(range(100))


def test_sensors_stick_are_off_and_start_again(w: Writer) -> None:
    stuck = dict(values(run(w, Faults(sensors=(Bad("cut/a", None, 300.0, 600.0),)))))
    assert (stuck[290], stuck[300], stuck[590], stuck[600]) == (29, 29, 29, 60)
    off = dict(values(run(w, Faults(sensors=(Bad("cut/a", 2.0, 300.0, 600.0),)))))
    assert (off[290], off[300], off[600]) == (29, 32, 60)
    reset = run(w, Faults(resets=(500.0,)))
    assert dict(values(reset))[510] == 51 - 49
    events = dict(values(reset, "cut/work_end"))
    assert events[510] == 51 - 49, "the event's count is of the same register"


def test_clocks_that_are_ahead_stamp_later(w: Writer) -> None:
    log = run(w, Faults(skew_s=30.0))
    stamps = {row.s: row.t for row in log.rows if row.kind == "data"}
    assert all(stamps[row.s] == row.t + 30_000 for row in w.rows if row.kind == "data")
    assert log.at == arrivals(w.rows), "they come when they came"


def test_what_is_typed(w: Writer) -> None:
    assert (share("5%", "--loss"), late("0.05:10min"), window("2h..150min", "--outage")) == (
        0.05,
        (0.05, 600.0),
        (7200.0, 9000.0),
    )
    assert time_of("90 s", "--skew") == 90.0
    tags = [s.tag for s in w.plant.sensors]
    found = bad_sensors(["cut/a"], ["b1/level=-1@1h..2h"], tags)
    assert found == (Bad("cut/a"), Bad("b1/level", -1.0, 3600.0, 7200.0))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: share("2", "--loss"), "expected a share"),
        (lambda: window("2h", "--outage"), "expected BEGIN..END"),
        (lambda: window("3h..2h", "--outage"), "end after the beginning"),
        (lambda: bad_sensors(["nowhere"], [], ["cut/a"]), "no tag 'nowhere'"),
        (lambda: bad_sensors([], ["cut/a"], ["cut/a"]), "expected TAG for --stuck"),
        (lambda: bad_sensors([], ["cut/a=x"], ["cut/a"]), "expected a number"),
    ],
)
def test_what_cannot_be_understood_is_said(call: object, says: str) -> None:
    with pytest.raises(FaultError, match=says):
        call()  # type: ignore[operator]
