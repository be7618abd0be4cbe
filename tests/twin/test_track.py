"""Recordings of the virtual plant against its truth: what the tracker makes of faults, and what the report says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import plantwin
from benchmarks._tracking_plants import plant_of
from hardware.recorder import Recorder
from hardware.twist import Twist
from hardware.virtual_plant import Options
from ingest.wire import Row
from sim.plant import Plant
from twin import track
from twin.faults import Bad, Channelled, Faults, arrivals, inject
from twin.topology import build
from twin.tracker import Tracker

Recording = tuple[Plant, list[Row], track.Truth]


def recorded(name: str, folder: Path, *, events: bool = True) -> Recording:
    plant = plant_of(name, folder)
    Recorder(plant, Options(seed=1, warmup_s=3600.0, twist=Twist()), folder, events=events).run(1.0)
    return plant, track.read_rows(folder / "journal.db"), track.read_truth(folder / "truth.jsonl")


@pytest.fixture(name="line10", scope="module")
def _line10(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recorded("line10", tmp_path_factory.mktemp("line10"))


def followed(found: Recording, faults: Faults) -> track.Followed:
    plant, rows, truth = found
    return track.follow(plant, inject(build(plant), rows, faults), truth)


UNSEEN = 25
"""Minutes until the parts have gone that stood before the first machine at the start: no level sensor is there."""


def test_a_complete_recording_is_tracked_without_error(line10: Recording) -> None:
    run = followed(line10, Faults())
    assert len(run.t) >= 59
    for group in ("wip", "product_wip", "state", "done"):
        assert float(run.total(group)[UNSEEN:].max()) == 0.0, group
    assert float(run.total("state").max()) == 0.0


def test_counters_without_events_too(tmp_path: Path) -> None:
    """A part that moves in at the moment at which one ends is no contradiction to the level that misses it."""
    run = followed(recorded("resets", tmp_path, events=False), Faults())
    assert float(run.total()[UNSEEN:].max()) == 0.0
    assert "level_corrections" not in run.counts


def test_backlog_does_not_overrule_what_came_before_it(line10: Recording) -> None:
    """After an outage beyond the lateness window: newest values first, then history. Back in step at once."""
    clean = followed(line10, Faults())
    run = followed(line10, Faults(outages=((1200.0, 2400.0),)))
    assert run.total().max() > 3
    back = track.reconverged(run, clean, int(run.t[0]) + 2_400_000)
    assert back is not None
    assert back <= 120
    assert run.counts["history_only"] > 100


def test_a_snapshot_remembers_what_is_newest(line10: Recording) -> None:
    plant, rows, _ = line10
    log = inject(build(plant), rows, Faults(outages=((1200.0, 2400.0),)))
    whole, cut = Tracker(plant), Tracker(plant)
    backlog = next(k for k, (at, row) in enumerate(zip(log.at, log.rows, strict=True)) if row.t < at - 600_000)
    for k, row in enumerate(log.rows):
        whole.apply(row)
        cut.apply(row)
        if k == backlog:
            cut = Tracker.restore(plant, cut.snapshot())
    assert whole.state == cut.state


def test_a_sensor_that_is_off_is_named_and_no_other(line10: Recording) -> None:
    plant, rows, truth = line10
    found, *_ = track.report(plant, rows, truth, Faults(sensors=(Bad("b5/level", 2.0, 600.0),)))
    assert found["named"][0]["sensor"] == "b5/level"
    wip = found["quantities"]["wip"]
    assert wip["mean_abs"] > wip["clean_mean_abs"]


def test_reconvergence_and_growth_by_hand() -> None:
    t = np.arange(0, 60 * 60_000 * 8, 60_000)
    worse = np.where((t >= 3_600_000) & (t < 5_400_000), 2.0, 0.0)
    clean = track.Followed(t, {"wip/a": np.zeros(len(t))}, {})
    run = track.Followed(t, {"wip/a": worse}, {})
    assert track.reconverged(run, clean, 4_500_000) == 900.0
    assert track.reconverged(track.Followed(t, {"wip/a": np.ones(len(t))}, {}), clean, 0) is None
    grown = track.growth([track.Followed(t, {"wip/a": t / 86_400_000.0}, {})])
    assert grown["slope_per_day"] == pytest.approx(1.0)
    assert grown["p"] < 0.01
    assert track.growth([clean])["p"] == 1.0


def test_a_band_of_whole_numbers() -> None:
    error = {"wip/a": np.array([0.0, 1.0, -2.0, 3.0])}
    run = track.Followed(np.arange(4), error, {"wip/a": np.array([0.0, 0.0, 1.0, 2.0])})
    found = track.figures(run, "wip")
    assert found is not None
    assert found["coverage90"] == 0.75  # 1 with a spread of 0 is outside; 2 of 1.645 + 0.5 and 3 of 3.79 are inside
    assert found["rmse"] == pytest.approx(np.sqrt(14 / 4))
    assert found["out_of_step"] == 0.75


def command(*arguments: str) -> tuple[int, str]:
    import typer

    name, *rest = arguments
    app = typer.Typer()
    app.command(name)(plantwin._function(name))  # type: ignore[type-var]
    done = CliRunner().invoke(app, rest)
    return done.exit_code, done.output


def test_the_command(tmp_path: Path) -> None:
    code, _ = command("plant", "line3", "--record", "30min", "--warmup", "9h", "--data", str(tmp_path))
    assert code == 0
    picture = tmp_path / "error.svg"
    rest = ("--loss", "5%", "--outage", "10min..15min", "--plot", str(picture))
    code, said = command("track", str(tmp_path), *rest, "--json")
    assert code == 0
    found = json.loads(said)
    assert found["plant"] == "line3"
    assert found["outages"][0]["to_s"] == 900.0
    assert found["messages"]["sent again"] > 0
    assert picture.read_text().startswith("<?xml")
    code, said = command("track", str(tmp_path), *rest)
    assert code == 0
    assert "outage from 10 to 15 min" in said
    assert command("plant", "line3", "--record", "30min", "--data", str(tmp_path))[0] == 1, "nothing is overwritten"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("nowhere",), "truth log"), (("nowhere", "--channel", "x"), "truth log"), (("here", "--loss", "2"), "a share")],
)
def test_wrong_use_is_said(
    arguments: Sequence[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "truth.jsonl").write_text('{"header": {"plant": "line3"}}\n{"t": 1, "wip": {}}\n')
    monkeypatch.chdir(tmp_path)
    code, said = command("track", *arguments)
    assert code == 2
    assert says in said


def test_a_log_of_another_time_is_refused(line10: Recording) -> None:
    plant, rows, _ = line10
    with pytest.raises(track.TrackError, match="no time in common"):
        track.follow(plant, Channelled(rows, arrivals(rows)), track.Truth({}, [{"t": 1, "wip": {"s1": 0}}]))
