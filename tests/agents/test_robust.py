"""Better on the file's plant is not enough: verdicts over plants that are disturbed, or that a twin believes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from agents import commands
from agents.control.controllers import RuleController
from agents.envs.grid import Grid
from agents.evaluation.evaluate import Trial, run_all
from agents.evaluation.robust import believed, disturbed, factors_of, robustness
from agents.rules.rule import Rule
from sim.compile import Compiled
from twin.fit import LEVELS
from twin.posterior_file import FORMAT, FilePosterior

SHORT: dict[str, Any] = {"warmup_s": 86_400.0, "length_s": 4 * 86_400.0}
ONE = 65_536


def fixed(compiled: Compiled, cap: int) -> RuleController:
    return RuleController(Rule({"cap": cap}), compiled, Grid(compiled.plant))


@pytest.fixture
def folder(line3: Compiled, tmp_path: Path) -> Path:
    """What a twin believes: the mill takes between once and twice the time of the file."""
    body = {
        "plantwin_posterior": FORMAT, "id": "p-test", "plant": line3.plant.id, "params": line3.hash, "until": 0,
        "levels": len(LEVELS), "factors": {"work/mill": np.linspace(1.0, 2.0, len(LEVELS)).tolist()}, "refitted": "",
    }  # fmt: skip
    (tmp_path / "posterior.json").write_text(json.dumps(body))
    return tmp_path


def test_disturbances_are_lognormal_about_the_file_and_follow_the_seed(gearmotor: Compiled) -> None:
    scales = disturbed(gearmotor, 0.2, 3, 400)
    for field in ("work_scale", "fail_scale", "repair_scale", "arrival_scale", "demand_scale", "lead_scale"):
        logs = np.log(scales[field] / ONE).ravel()
        assert abs(np.median(logs)) < 4 * 0.25 / len(logs) ** 0.5
        assert logs.std() == pytest.approx(0.2, rel=0.1)
    again, other = disturbed(gearmotor, 0.2, 3, 400), disturbed(gearmotor, 0.2, 4, 400)
    assert all(np.array_equal(scales[k], again[k]) for k in scales)
    assert not np.array_equal(scales["work_scale"], other["work_scale"])
    for wrong in (0.0, -0.1, 1.5):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            disturbed(gearmotor, wrong, 3, 5)


def test_the_same_controller_is_never_better_than_itself(line3: Compiled) -> None:
    found = robustness(
        (fixed(line3, 6), fixed(line3, 6)), line3, Trial(20, **SHORT), disturbed(line3, 0.2, 1, 5), "disturbed by 20 %"
    )
    assert set(found.by_draw) == {0.0}, "the same plants and the same luck"
    assert (found.difference, found.better) == (0.0, 0.0)
    assert found.again == (0.0, 0.0, 0.0)


def test_draws_are_plants_judged_on_luck_of_their_own(line3: Compiled) -> None:
    scales, trial = disturbed(line3, 0.1, 2, 6), Trial(24, seed=5, **SHORT)
    both = fixed(line3, 4), fixed(line3, 8)
    found = robustness(both, line3, trial, scales, "disturbed by 10 %")
    assert (found.draws, found.each, len(found.by_draw)) == (6, 4, 6)
    for draw in range(6):
        one = {k: np.repeat(v[draw : draw + 1], 4, axis=0) for k, v in scales.items()}
        a, b = (run_all(who, line3, Trial(4, 5, first=4 * draw, scales=one, **SHORT)) for who in both)
        assert found.by_draw[draw] == pytest.approx((a.costs - b.costs).mean())
    low, high = stats.t.interval(0.95, 5, np.mean(found.by_draw), stats.sem(found.by_draw))
    assert (found.lo, found.hi) == pytest.approx((low, high))
    assert found.median == pytest.approx(np.median(found.by_draw))
    assert found.better == pytest.approx(np.mean(np.array(found.by_draw) < 0))


def test_the_worst_plant_is_named_and_judged_again_on_fresh_luck(line3: Compiled) -> None:
    scales, trial = disturbed(line3, 0.1, 2, 6), Trial(24, seed=5, **SHORT)
    both = fixed(line3, 4), fixed(line3, 8)
    found = robustness(both, line3, trial, scales, "disturbed by 10 %")
    assert found.worst_draw == int(np.argmax(found.by_draw))
    assert found.worst == max(found.by_draw)
    one = {k: np.repeat(v[found.worst_draw : found.worst_draw + 1], 64, axis=0) for k, v in scales.items()}
    a, b = (run_all(who, line3, Trial(64, 5, first=24, scales=one, **SHORT)).costs for who in both)
    assert found.again[0] == pytest.approx((a - b).mean())
    factors = factors_of(line3, scales, found.worst_draw)
    assert found.factors == factors
    assert set(factors) == {"work/turn", "work/mill", "work/wash", "fail/turn", "repair/turn", "demand/customer"}
    assert factors["work/mill"] == pytest.approx(scales["work_scale"][found.worst_draw, 1] / ONE, abs=1e-4)
    furthest = max(factors, key=lambda name: abs(np.log(factors[name])))
    said = found.worst_sentence.split("furthest from the file: ")[1]
    assert said.startswith(f"{furthest} × {factors[furthest]:.2f}, ")
    assert f"worst plant for A (number {found.worst_draw})" in found.worst_sentence


def test_a_plant_under_more_load_makes_the_small_cap_worse(line3: Compiled) -> None:
    """The draws are played: what a factor does is in the costs."""
    scales = disturbed(line3, 0.01, 0, 5)
    scales["demand_scale"][2] = round(0.8 * ONE)
    found = robustness((fixed(line3, 4), fixed(line3, 8)), line3, Trial(40, **SHORT), scales, "by hand")
    assert found.worst_draw == 2
    assert "demand/customer × 0.80" in found.worst_sentence
    assert found.again[1] > 0
    assert any("5 plants say little" in text for text in found.doubts)


def test_draws_of_a_posterior_are_what_the_twin_believes(line3: Compiled) -> None:
    table = np.linspace(1.0, 2.0, len(LEVELS))[None]
    posterior = FilePosterior("p-x", line3.plant.id, line3.hash, 0, ("work/mill",), table)
    scales = believed(line3, posterior, 0, 200)
    mill = scales["work_scale"][:, 1] / ONE
    assert mill.min() >= 1.0
    assert mill.mean() == pytest.approx(1.5, abs=0.1)
    assert set(scales["work_scale"][:, 0]) == {ONE}
    assert set(factors_of(line3, scales, 0)) == {"work/mill"}
    with pytest.raises(ValueError, match="at least 5"):
        robustness((fixed(line3, 4), fixed(line3, 8)), line3, Trial(8), believed(line3, posterior, 0, 4), "p-x")


def test_the_command_tells_it(folder: Path) -> None:
    app = typer.Typer()
    app.command()(commands.evaluate)
    runner = CliRunner()
    asked = ["cap=4", "--against", "cap=8", "--plant", "conwip4", "--pairs", "20", "--draws", "5"]
    done = runner.invoke(app, [*asked, "--disturb", "0.1"])
    assert done.exit_code == 0, done.output
    assert "over 5 plants (disturbed by 10 %) A " in done.stdout
    assert "worst plant for A (number " in done.stdout
    assert "5 plants say little about the tails" in done.stderr
    asked[4] = "line3"
    done = runner.invoke(app, [*asked, "--posterior", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["drawn"] == "drawn from posterior p-test"
    assert list(found["factors"]) == ["work/mill"]
    assert len(found["by_draw"]) == 5
    for wrong, why in (
        (["--disturb", "0.1", "--posterior", str(folder)], "found both"),
        (["--disturb", "3"], "at most 1"),
    ):
        done = runner.invoke(app, [*asked, *wrong])
        assert done.exit_code == 2
        assert why in done.stderr
    done = runner.invoke(app, [*asked, "--posterior", str(folder / "none.json")])
    assert done.exit_code == 1
    assert "no posterior can be read" in done.stderr
