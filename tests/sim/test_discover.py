"""Discovery on a log small enough to check by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sim.discover import HUNDREDTHS, Weighing, discover, kaplan_meier
from sim.draft import open_text, plant_file
from sim.eventlog import EventLogError, activity_id, read
from sim.plantfile import load

HEADER = "case,activity,resource,start,complete,report_type\n"


def write(folder: Path, rows: list[str]) -> Path:
    path = folder / "events.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def small_log(folder: Path) -> Path:
    """Three weeks: each working day one order is sawn (1 h), waits 1 h, is milled (2 h), and packed the next
    morning."""
    rows = []
    for week in range(3):
        for day in range(2 + 7 * week, 7 + 7 * week):
            order = f"A{day}"
            rows += [
                f"{order},Saw,Ann,2012-01-{day:02d} 06:00,2012-01-{day:02d} 07:00,D",
                f"{order},Milling,Bob,2012-01-{day:02d} 08:00,2012-01-{day:02d} 10:00,D",
                f"{order},Packing,Ann,2012-01-{day:02d} 12:00,2012-01-{day:02d} 12:30,D",
                f"{order},Packing,Ann,2012-01-{day:02d} 13:00,2012-01-{day:02d} 13:30,D",
            ]
    return write(folder, rows)


def test_the_small_log_is_understood(tmp_path: Path) -> None:
    found = discover(read(small_log(tmp_path)), datetime(2012, 1, 23))
    assert set(found.centers) == {"saw", "milling", "packing"}
    assert dict(found.first) == {"saw": 10}
    assert found.arrivals == 10  # the five of the first week may have been running before
    assert dict(found.centers["saw"].next) == {"milling": 15}
    assert dict(found.centers["milling"].next) == {"packing": 15}
    assert not found.centers["packing"].next  # what follows the first packing report is not part of the flow
    # saw and milling open at 6 and 8 on these days; an order that begins right at the opening was ready some time
    # before:
    # half of the hour since it left the saw is taken as wait
    assert found.centers["saw"].moves == [0.5] * 15
    assert found.centers["saw"].again == 0
    assert found.centers["milling"].work == [2.0] * 15
    assert found.centers["saw"].parallel == 1
    assert found.arrival_days == frozenset(range(5))


def test_the_draft_is_a_plant_file_that_loads(tmp_path: Path) -> None:
    found = discover(read(small_log(tmp_path)), datetime(2012, 1, 23))
    path = tmp_path / "draft.yaml"
    path.write_text(plant_file(found, "small", "a test"), encoding="utf-8")
    plant = load(path)
    assert {s.id for s in plant.stations} == {"intake", "saw", "leave-saw", "milling", "leave-milling", "packing"}
    assert plant.products[0].release.arrivals is not None


def test_only_what_was_known_at_the_cut_is_used(tmp_path: Path) -> None:
    log = read(small_log(tmp_path))
    found = discover(log, datetime(2012, 1, 9, 9, 0))  # in the middle of a milling report
    assert len(found.centers["milling"].work) == 5
    assert found.centers["milling"].reports == 6
    assert found.until == datetime(2012, 1, 9, 9, 0)


def test_no_worker_leaves_the_reader(tmp_path: Path) -> None:
    path = small_log(tmp_path)
    log = read(path)
    draft = plant_file(discover(log, datetime(2012, 1, 23)), "small", "a test")
    assert "Ann" not in repr(log)
    assert "Bob" not in repr(log)
    assert "Ann" not in draft


def test_kaplan_meier_moves_mass_of_waits_that_go_on_to_longer_ones() -> None:
    assert kaplan_meier([1.0, 2.0, 3.0, 4.0], [], 4) == [1.0, 2.0, 3.0, 4.0]
    # one wait still going on after 2.5: the two later observations share its mass
    assert kaplan_meier([1.0, 2.0, 3.0, 4.0], [2.5], 5) == [1.0, 2.0, 3.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("A,Saw,Ann,yesterday,2012-01-02 07:00,D", "events.csv:2: a local time"),
        ("A,Saw,Ann,2012-01-02 08:00,2012-01-02 07:00,D", "lies before start"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(EventLogError, match=words):
        read(write(tmp_path, [row]))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("order,what\n1,2\n", encoding="utf-8")
    with pytest.raises(EventLogError, match="column 'case'"):
        read(path)


def test_activity_ids() -> None:
    assert activity_id("SETUP     Turning & Milling") == activity_id("Turning & Milling") == "turning-milling"
    assert open_text(frozenset({6, 7, 8, 23, 24})) == "Mon 06:00-09:00, Mon 23:00-24:00, Tue 00:00-01:00"


def test_without_options_weighing_is_counting_once(tmp_path: Path) -> None:
    log, until = read(small_log(tmp_path)), datetime(2012, 1, 23)
    plain, weighed = discover(log, until), discover(log, until, weighing=Weighing(until))
    for name, center in plain.centers.items():
        assert weighed.centers[name].work == center.work
        assert weighed.centers[name].moves == center.moves
        assert {k: round(n / HUNDREDTHS) for k, n in weighed.centers[name].next.items()} == dict(center.next)
    assert weighed.arrivals_per_hour == plain.arrivals_per_hour


def test_old_reports_count_less_and_none_is_impossible(tmp_path: Path) -> None:
    rows = []
    for day in range(2, 30):  # orders go from the saw to milling until the 22nd, then to lapping
        target = "Milling" if day < 22 else "Lapping"
        rows += [f"A{day},Saw,Ann,2012-01-{day:02d} 06:00,2012-01-{day:02d} 07:00,D"]
        rows += [f"A{day},{target},Bob,2012-01-{day:02d} 08:00,2012-01-{day:02d} 10:00,D"]
        rows += [f"A{day},Packing,Ann,2012-01-{day:02d} 12:00,2012-01-{day:02d} 12:30,D"]
    log, until = read(write(tmp_path, rows)), datetime(2012, 1, 30)
    found = discover(log, until, weighing=Weighing(until, timedelta(days=2), grain=20))
    ways = found.centers["saw"].next
    # half-lives of 2 days: what began in the last eight days has 15/16 of the weight
    assert ways["lapping"] / ways.total() == pytest.approx(15 / 16, abs=0.03)
    drawn = discover(log, until, weighing=Weighing(until, timedelta(days=0.2), np.random.default_rng(1)))
    assert 0 < drawn.centers["saw"].next["milling"] < 3  # seen once upon a time: hundredths of an observation
    (tmp_path / "draft.yaml").write_text(plant_file(drawn, "small", "a test"), encoding="utf-8")
    assert load(tmp_path / "draft.yaml").products


def test_a_bootstrap_varies_as_the_number_of_observations_says(tmp_path: Path) -> None:
    log, until = read(small_log(tmp_path)), datetime(2012, 1, 23)
    rng = np.random.default_rng(3)
    rates = [discover(log, until, weighing=Weighing(until, rng=rng)).arrivals_per_hour for _ in range(300)]
    plain = discover(log, until).arrivals_per_hour
    assert np.mean(rates) == pytest.approx(plain, rel=0.08)
    assert np.std(rates) / plain == pytest.approx(10**-0.5, rel=0.15)  # of ten orders: Poisson


def test_orders_that_go_elsewhere_can_be_kept_apart(tmp_path: Path) -> None:
    log = read(write(tmp_path, [
        f"A{day},Saw,Ann,2012-01-{day:02d} 06:00,2012-01-{day:02d} 07:00,D" for day in range(2, 30)
    ] + [f"A{day},Packing,Ann,2012-01-{day:02d} 12:00,2012-01-{day:02d} 12:30,D" for day in range(9, 30)]))  # fmt: skip
    found = discover(log, datetime(2012, 1, 30))
    assert found.centers["saw"].abandoned > 0
    (tmp_path / "draft.yaml").write_text(plant_file(found, "small", "a test", gone="gone"), encoding="utf-8")
    assert "gone" in {s.id for s in load(tmp_path / "draft.yaml").stations}
    assert "gone" not in plant_file(found, "small", "a test").split("\nproducts:")[1]
