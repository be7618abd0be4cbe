"""The live twin looks ahead with a plant's own rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer import Exit

from sim import engine
from sim.ownrules import allow
from sim.plantfile import load
from tests.sim.own_rules import drum, write
from twin.commands import twin
from twin.engine import Engine, Settings
from twin.estimate import ensemble, to_tick
from twin.forecast import Options, forecast, simulate
from twin.tracker import Tracker

HOUR = 3_600_000


def test_a_forecast_is_the_model_run_on(tmp_path: Path) -> None:
    compiled = drum(tmp_path)
    state = Tracker(compiled.plant).state
    state.t = compiled.start_ms + 30 * HOUR + 60_000
    rows = ensemble(compiled, state, 1, 3)
    seen = simulate(compiled, rows, state.t, 3600)
    after = rows.copy()
    engine.run(after, compiled, to_tick(compiled, seen.t[-1]))
    assert np.array_equal(seen.series["wip"][-1], compiled.layout.view(after, "wip").sum(axis=1))
    assert (seen.series["output"][-1] > 0).all()
    told = forecast(compiled, state, Options(replicas=3, horizon_s=3600))
    assert told == forecast(compiled, state, Options(replicas=3, horizon_s=3600)), "repeatable by seed"


def test_the_twin_runs_them_only_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    with pytest.raises(Exit):
        twin(str(path), data=tmp_path / "data")
    assert "--allow-code" in capsys.readouterr().err
    running = Engine(Settings(tmp_path / "data", allow(load(path))))
    assert running.compiled.own is not None
    running.log.close()
