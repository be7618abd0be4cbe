"""When a training may end early, what it shows, and where its settings come from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plantwin
from agents.bundles.bundle import load
from agents.envs.env import compiled_plant
from agents.errors import TrainingError
from agents.training import train
from agents.training.console import said_of
from agents.training.goal import ROUNDS, Goal, goal_of, known_optimum, reached
from agents.training.recipe import Recipe, read_begun, read_config
from agents.training.watch import Progress
from sim.compile import Compiled
from tests.agents.test_resume import STEPS, CutOff, cut_after, job, short_runs  # noqa: F401 - a fixture of its own


def test_a_target_is_a_cost_or_a_share_above_the_optimum(line3: Compiled) -> None:
    plant = compiled_plant("make_to_stock")
    best, _ = known_optimum(plant)
    assert best is not None
    assert best == pytest.approx(8.628, abs=1e-3)
    assert goal_of(plant, "1 %").target == pytest.approx(1.01 * best)
    assert goal_of(plant, "8.7/h") == Goal(8.7, best)
    assert goal_of(line3, "24/d") == Goal(1.0, None)
    assert goal_of(line3, None) == Goal(None, None)
    daily, _ = known_optimum(compiled_plant("lost_sales"))
    assert daily == pytest.approx(4.3953 / 24, abs=1e-4), "figures of training are an hour's"
    with pytest.raises(
        TrainingError, match=r"target 1%: the optimum of plant line3 is not known \(.*expected.*state a"
    ):
        goal_of(line3, "1%")
    with pytest.raises(TrainingError, match="drawn afresh in each episode"):
        goal_of(plant, "1%", known=False)
    for wrong in ("soon", "8.7/week", "%"):
        with pytest.raises(TrainingError, match="expected a cost an hour"):
            goal_of(line3, wrong)


def test_a_target_is_reached_where_fresh_replicas_say_so() -> None:
    rng = np.random.default_rng(3)
    asked: list[tuple[int, int]] = []

    def more(mean: float) -> Any:
        def draw(k: int, n: int) -> np.ndarray:
            asked.append((k, n))
            return rng.normal(mean, 4.0, n)

        return draw

    flattering = np.full(1000, 8.0)
    assert not reached(8.7, np.full(1000, 8.8), more(0.0))
    assert asked == [], "what is above the target is not looked at again"
    assert not reached(8.7, flattering, more(10.0))
    assert asked == [(0, 1000)], "one look is enough for what is far above"
    asked.clear()
    assert reached(8.7, flattering, more(8.0))
    asked.clear()
    assert not reached(8.7, flattering, more(8.69))
    assert asked == [(k, 1000 << k) for k in range(ROUNDS)], "what cannot be told is not reached"
    wrong = [reached(8.7, flattering, more(8.8)) for _ in range(200)]
    assert sum(wrong) / 200 < 0.1, "looked at up to five times, each time one-sided 5 %"


def test_training_ends_at_its_target(tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    never = train.train(job(line3, tmp_path / "never", target="0.1"), 1)
    assert load(never.path).evidence["goal"] == {"target": 0.1, "optimum": None, "reached": False}
    assert load(never.path).evidence["steps"] == STEPS
    at_once = train.train(job(line3, tmp_path / "once", target=f"{100 * never.rule_cost}"), 1)
    evidence = load(at_once.path).evidence
    with monkeypatch.context() as patch:  # cut off after PPO, before anything was played
        cut_after(patch, 1)
        with pytest.raises(CutOff):
            train.train(job(line3, tmp_path / "cut", target=f"{100 * never.rule_cost}"), 1)
    resumed = train.train(job(line3, tmp_path / "cut", target=f"{100 * never.rule_cost}", resume=True), 1)
    assert load(resumed.path).name == load(at_once.path).name
    assert evidence["goal"]["reached"]
    assert evidence["steps"] < STEPS
    assert evidence["selected_cost_per_hour"] <= evidence["goal"]["target"]


def test_progress_says_how_far_from_rule_and_optimum() -> None:
    shown = Progress(0.5, 10_000, 1234.5, 9.0, 8.8, 9.7, 8.628)
    assert said_of(shown, "EUR/h") == "1,234/s, cost 9.00, best 8.80 EUR/h, -9.3 % of rule, +2.0 % of optimum"
    assert said_of(replace(shown, optimum=None), "EUR/h").endswith("-9.3 % of rule")


def test_settings_of_a_file_and_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("lanes: 64\nrollout: 16\nhidden: [32, 32]\nbudget: 2m\nrate: 1.0e-3\n")
    made = Recipe().updated(read_config(path), str(path)).updated({"lanes": 128}, "the command line")
    assert (made.config.lanes, made.config.steps, made.config.hidden, made.budget_s) == (128, 16, (32, 32), 120.0)
    assert Recipe().updated(made.flat(), "again") == made, "what is written is read back"
    for text, match in (
        ("lane: 3", "there is no setting 'lane'; did you mean lanes?"),
        ("lanes: many", "Expected `int`, got `str`.*lanes"),
        ("lanes: 0", "lanes 0: expected at least 1"),
        ("rate: .inf", "rate inf: expected a number above 0"),
        ("gae: 1.5", "gae 1.5: expected a number from 0 to 1"),
        ("hidden: []", r"hidden \[\]: expected the widths"),
        ("device: tpu", "device 'tpu': expected auto, cpu or cuda"),
        ("budget: soon", "budget 'soon': expected a time such as"),
        ("- 1", "expected settings `NAME: VALUE`, found list"),
        ("{", "not YAML or JSON"),
        ("!!python/object/apply:os.system ['true']", "not YAML or JSON"),
    ):
        path.write_text(text)
        with pytest.raises(TrainingError, match=match):
            Recipe().updated(read_config(path), str(path))
    with pytest.raises(TrainingError, match="cannot be read"):
        read_config(tmp_path / "absent.yaml")


def test_the_command_resumes_with_the_settings_it_began_with(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, rule, out = tmp_path / "s.yaml", tmp_path / "rule.json", tmp_path / "out"
    settings.write_text(
        "lanes: 16\nrollout: 8\nminibatch: 64\nepochs: 2\nhidden: [16]\nselect: 4\nchecks: 3\nepisode_weeks: 0.15\n"
        f"rate: 5.0e-3\nsteps: {STEPS}\ndevice: cpu\nimprove: 0.0\n"
    )
    rule.write_text(json.dumps({"values": {"cap": 6}}))
    begin = ["train", "line3", "--config", str(settings), "--rule", str(rule), "--keep", "0s", "--json"]
    with monkeypatch.context() as patch:
        cut_after(patch, 2)
        with pytest.raises(CutOff):
            plantwin.main([*begin, "--out", str(out)])
    assert read_begun(out).recipe.config.lanes == 16
    for arguments, code, told in (
        (["--resume", str(out), "--lanes", "32"], 1, "lanes 32: the training in"),
        (["--resume", str(tmp_path)], 1, "training.json: cannot be read"),
        ([], 2, "expected one of --out DIR"),
        (["--resume", str(out), "--out", str(out)], 2, "expected one of --out DIR"),
    ):
        with pytest.raises(SystemExit) as stop:
            plantwin.main(["train", "line3", *arguments])
        assert stop.value.code == code
        assert told in " ".join(capsys.readouterr().err.replace("│", " ").split())
    with pytest.raises(SystemExit) as stop:
        plantwin.main(["train", "gearmotor", "--resume", str(out)])
    assert "holds the training of plant line3" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        plantwin.main(["train", "line3", "--resume", str(out), "--json"])
    assert json.loads(capsys.readouterr().out)["bundle"] == str(out)
    whole = job(line3, tmp_path / "whole", pairs=300, keep_s=1e9)
    train.train(replace(whole, config=read_begun(out).recipe.config), 1)
    assert load(out).name == load(tmp_path / "whole").name
