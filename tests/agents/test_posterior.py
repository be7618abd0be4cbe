"""Training on what a twin believes of the plant's parameters: drawn anew for each episode, named, refused elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plantwin
from agents.envs.env import PlantVectorEnv
from agents.rules.rule import Rule
from agents.seeds import SELECT, TRAIN, Spread, block_seed, draw_parameters
from agents.training.learning import Config, Judge
from agents.training.train import Job, train
from sim.compile import Compiled, compile_plant
from sim.kernel import new_rows
from twin.believe import posterior
from twin.fit import LEVELS
from twin.learned import Learned, Spans
from twin.model import Refit, TwinState
from twin.parameters import parameters
from twin.posterior_file import NAME, FilePosterior, PosteriorError, read_posterior, write_posterior
from twin.topology import build, empty_state

ONE = 65_536
SLOW = 1.3
"""How much longer the work has taken than the plant file says."""
SEEN = 200


def believed(line3: Compiled) -> TwinState:
    """A twin that has seen many pieces of work at each station, longer than the file says."""
    state = empty_state(build(line3.plant))
    state.t = line3.start_ms + 86_400_000
    rng = np.random.default_rng(6)
    spans = {}
    for parameter in parameters(line3.plant):
        if parameter.kind == "work":
            x = [int(v) for v in SLOW * parameter.size * rng.gamma(9, 1 / 9, SEEN)]
            spans[parameter.name] = Spans([state.t - 1000] * SEEN, x, [0] * SEEN, SEEN)
    state.learned = Learned(t=state.t, spans=spans)
    return state


@pytest.fixture
def folder(line3: Compiled, tmp_path: Path) -> Path:
    write_posterior(line3, believed(line3), tmp_path / NAME)
    return tmp_path


def moments(quantiles: Any) -> tuple[float, float]:
    """Mean and standard deviation of the distribution with these quantiles at `LEVELS`, linear between them."""
    u = (np.arange(200_000) + 0.5) / 200_000
    drawn = np.interp(u, LEVELS, quantiles)
    return float(drawn.mean()), float(drawn.std())


def test_draws_have_the_posteriors_mean_and_spread(line3: Compiled, folder: Path) -> None:
    state = believed(line3)
    groups = posterior(line3, state).groups
    found = read_posterior(folder, line3)
    assert set(found.names) == {name for name in groups if not name.startswith(("setup", "yield"))}
    env = PlantVectorEnv(1500, line3, posterior=found)
    env.reset(seed=3)
    checked = 0
    for kind, field, things in (("work", "work_scale", "stations"), ("demand", "demand_scale", "demands")):
        for i, thing in enumerate(getattr(line3.plant, things)):
            name = f"{kind}/{thing.id}"
            drawn = line3.layout.view(env.rows, field)[:, i] / ONE
            mean, sd = moments(groups[name][1].quantiles)
            assert drawn.mean() == pytest.approx(mean, abs=4 * sd / 1500**0.5), name
            assert drawn.std() == pytest.approx(sd, rel=0.1), name
            assert mean == pytest.approx(groups[name][1].mean, rel=0.005)
            checked += 1
            if kind == "work":
                assert mean > 1.05  # it is the readings that are believed, not the file
    assert checked >= 3
    columns = line3.layout.view(env.rows, "work_scale")
    assert abs(np.corrcoef(columns[:, 0], columns[:, 1])[0, 1]) < 0.1  # each on its own


def test_draws_follow_from_the_seed_and_change_with_the_episode(line3: Compiled, folder: Path) -> None:
    found = read_posterior(folder / NAME, line3)
    envs = [PlantVectorEnv(6, line3, posterior=found, max_episode_steps=2) for _ in range(2)]
    scale = line3.layout.view
    for env in envs:
        env.reset(seed=4)
    first = scale(envs[0].rows, "work_scale").copy()
    assert np.array_equal(envs[0].rows, envs[1].rows)
    assert len(np.unique(first[:, 0])) == 6
    shifted = PlantVectorEnv(2, line3, posterior=found, first=3)
    shifted.reset(seed=4)
    assert np.array_equal(shifted.rows, envs[0].rows[3:5])  # environment i plays (seed, first + i), parameters too
    action = np.zeros((6, len(envs[0].grid.counts)), dtype=np.int64)
    for env in envs:
        for _ in range(2):
            env.step(action)
    assert np.array_equal(envs[0].rows, envs[1].rows)
    assert not np.array_equal(scale(envs[0].rows, "work_scale"), first)  # a new episode, a new plant
    envs[1].reset(seed=5)
    assert not np.array_equal(scale(envs[1].rows, "work_scale"), first)


def test_the_first_failure_is_of_the_drawn_plant(gearmotor: Compiled) -> None:
    """The factor holds from the first draw on: the times to the first failure are longer by it."""
    fails = [f"fail/{s.id}" for s in gearmotor.plant.stations if s.fails is not None]
    table = np.full((len(fails), len(LEVELS)), 4.0)
    found = FilePosterior("p-x", gearmotor.plant.id, gearmotor.hash, 0, tuple(fails), table)
    plain = new_rows(gearmotor, 5, 20)
    scaled = new_rows(gearmotor, 5, 20, scales=draw_parameters(found, gearmotor, (5, 0), 20))
    left = [gearmotor.layout.view(rows, "clock_left").astype(float) for rows in (plain, scaled)]
    due = [gearmotor.layout.view(rows, "next_time") for rows in (plain, scaled)]
    longer = left[1] > left[0] + 1
    assert longer.any() or (due[1] > due[0]).any()
    assert left[1][longer] == pytest.approx(4 * left[0][longer], abs=3)


def test_without_the_option_nothing_changes(line3: Compiled) -> None:
    env = PlantVectorEnv(5, line3)
    env.reset(seed=9)
    seed = block_seed(TRAIN, 9)
    assert np.array_equal(env.rows, np.concatenate([new_rows(line3, seed, 1, i) for i in range(5)]))
    judge = Judge(line3, Config(select=4), env.epoch)
    assert judge.posterior is None
    assert np.array_equal(
        new_rows(line3, block_seed(SELECT, 1), 4), new_rows(line3, block_seed(SELECT, 1), 4, scales={})
    )


def test_a_posterior_of_something_else_is_refused_by_name(line3: Compiled, folder: Path, two_motors: Compiled) -> None:
    with pytest.raises(PosteriorError, match=f"is of plant line3, expected one of plant {two_motors.plant.id}"):
        read_posterior(folder, two_motors)
    changed = replace(line3.plant, stations=(replace(line3.plant.stations[0], units=7), *line3.plant.stations[1:]))
    with pytest.raises(PosteriorError, match="is stale: it is of line3 with the parameters"):
        read_posterior(folder, compile_plant(changed))
    with pytest.raises(PosteriorError, match="no posterior can be read"):
        read_posterior(folder / "none.json", line3)
    for change, why in (
        ({"plantwin_posterior": 2}, "format 1"),
        ({"factors": {"work/nowhere": [1.0] * len(LEVELS)}}, "a factor work/nowhere, which plant line3 has not"),
        ({"factors": {"work/press": [1.0, 2.0]}}, "not a whole posterior"),
        ({"factors": {"work/press": [-1.0] * len(LEVELS)}}, "not a whole posterior"),
        ({"refitted": '{"yield/a/b": "much"}'}, "not a whole posterior"),
    ):
        body = json.loads((folder / NAME).read_text()) | change
        (folder / "other.json").write_text(json.dumps(body))
        with pytest.raises(PosteriorError, match=why):
            read_posterior(folder / "other.json", line3)
    with pytest.raises(ValueError, match="spread or posterior"):
        PlantVectorEnv(1, line3, spread=Spread(), posterior=read_posterior(folder, line3))


def test_approved_refits_of_tables_are_in_the_plant(line3: Compiled, tmp_path: Path) -> None:
    """A shape that was approved is what training plays; it is the plant's, not a row's."""
    state = believed(line3)
    (work,) = [s.work for s in line3.plant.products[0].steps[:1]]
    name = f"shape/work/{line3.plant.products[0].steps[0].station}/{line3.plant.products[0].id}"
    name += f"/{line3.plant.products[0].steps[0].id}"
    said = {"was": [work.kind, list(work.args)], "dist": ["uniform", [1.0, 3.0]], "of": 1.0}
    state.refits[name] = Refit(0.3, 0.0, 1, "engineer", json.dumps(said))
    write_posterior(line3, state, tmp_path / NAME)
    found = read_posterior(tmp_path, line3)
    live = found.plant_of(line3)
    assert live.hash != line3.hash
    assert live.plant.products[0].steps[0].work.kind == "uniform"
    env = PlantVectorEnv(3, live, posterior=found)
    env.reset(seed=1)
    env.step(np.zeros((3, len(env.grid.counts)), dtype=np.int64))


@pytest.mark.usefixtures("briefly_judged")
def test_training_with_it_says_so(line3: Compiled, folder: Path, tmp_path: Path) -> None:
    found = read_posterior(folder, line3)
    small = Config(lanes=8, steps=8, minibatch=64, epochs=1, hidden=(8,), select=4, checks=1, episode_weeks=0.25)
    job = Job(line3, Rule({"cap": 6}), tmp_path / "a", steps=64, device="cpu", pairs=4, config=small, posterior=found)
    train(job, 1)
    evidence = json.loads((tmp_path / "a" / "evidence.json").read_text())
    assert evidence["posterior"] == found.id
    assert found.id in (tmp_path / "a" / "card.md").read_text()


def test_the_command_refuses_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        plantwin.main(["train", "line3", "--out", str(tmp_path / "out"), "--posterior", str(tmp_path)])
    assert stop.value.code == 1
    assert "no posterior can be read" in capsys.readouterr().err
