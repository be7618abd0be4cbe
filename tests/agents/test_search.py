"""The search for settings goes on where it was cut off, compares on the same luck, and says what it found."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

import plantwin
from agents.errors import TrainingError
from agents.rules.rule import Rule
from agents.training import search
from agents.training.recipe import Recipe, read_config
from agents.training.search import Told
from agents.training.train import Job
from sim.compile import Compiled
from tests.agents.test_resume import SMALL, CutOff, job, short_runs  # noqa: F401 - a fixture of its own


def recipe_of(asked: Job) -> Recipe:
    return replace(asked.recipe(), seeds=1)


def test_a_search_goes_on_and_says_what_it_found(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = replace(SMALL, rate=0.02, explore=0.3)
    asked = job(line3, tmp_path, rule=Rule({"cap": 2}), config=eager, keep_s=float("inf"))
    tried, seen = search._tried, []

    def counted(job: Job, recipe: Recipe, number: int) -> Told:
        seen.append(number)
        if len(seen) == 3:
            raise CutOff
        if len(seen) == 4:
            raise TrainingError("the loss is no longer finite")
        return tried(job, recipe, number)

    monkeypatch.setattr(search, "_tried", counted)
    with pytest.raises(CutOff):
        search.search(asked, recipe_of(asked), 4)
    shown: list[str] = []
    found = search.search(asked, recipe_of(asked), 4, shown.append)
    assert seen == [0, 1, 2, 3, 4], "what is done is not done again; what was cut off does not count"
    assert (found.trials, found.failed) == (3, 1)
    assert "trial 3: failed, the loss is no longer finite" in shown
    study = optuna.load_study(study_name="plantwin", storage=f"sqlite:///{tmp_path / 'study.db'}")
    values = {t.number: t.value for t in study.trials if t.value is not None}
    assert found.trial == min(values, key=lambda n: values[n])
    assert study.trials[0].user_attrs["settings"] == {}, "the first are the settings that the search began with"
    assert found.first is not None
    assert found.best.difference != values[found.trial], "measured once more on fresh replicas"
    assert len(set(values.values())) > 1, "settings differ in what they give"
    assert not (tmp_path / "checkpoints").exists()
    search.write_config(tmp_path / "best.yaml", found, "plantwin search line3", "EUR/h")
    assert "# made by: plantwin search line3" in (tmp_path / "best.yaml").read_text()
    given = read_config(tmp_path / "best.yaml")
    assert "budget" not in given
    made = Recipe().updated(given, "best.yaml").config
    assert {k: v for k, v in Recipe(config=made).flat().items() if k in found.settings} == found.settings
    with pytest.raises(TrainingError, match=r"a study of settings .* found .*costs of trials would not compare"):
        search.search(replace(asked, steps=64), replace(recipe_of(asked), steps=64), 9)
    pages = search.write_plots(tmp_path / "study.db")
    assert [page.name for page in pages] == ["history.html", "settings.html"]
    assert "rate" in pages[1].read_text()


def test_a_minibatch_is_never_larger_than_a_rollout() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(50):
        base = Recipe()
        settings = search.suggested(study.ask(), base)
        config = base.updated(settings, "here").config
        rollout = config.lanes * config.steps
        assert rollout % config.minibatch == 0
        assert config.hidden[0] == config.hidden[1]


def test_where_optuna_is_missing_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "agents.training.search")
    assert plantwin.main(["search", "line3", "--out", str(tmp_path / "out")]) == 1
    assert "search needs optuna, which is not installed" in capsys.readouterr().err


def test_the_command_writes_settings_that_train_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, rule, out = tmp_path / "s.yaml", tmp_path / "rule.json", tmp_path / "out"
    settings.write_text(
        "lanes: 8\nrollout: 8\nselect: 2\nchecks: 1\nepisode_weeks: 0.15\nsteps: 64\ndevice: cpu\nimprove: 0.0\n"
    )
    rule.write_text(json.dumps({"values": {"cap": 6}}))
    monkeypatch.setattr(search, "suggested", lambda _trial, _base: {"rate": 1e-3})
    base = ["search", "line3", "--config", str(settings), "--rule", str(rule), "--out", str(out), "--trials", "2"]
    with pytest.raises(SystemExit):
        plantwin.main([*base, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["trials"], told["unit"]) == (2, "EUR/h")
    with pytest.raises(SystemExit) as stop:
        plantwin.main(
            ["train", "line3", "--config", str(out / "best.yaml"), "--rule", str(rule), "--steps", "64", "--json",
             "--out", str(tmp_path / "trained")]
        )  # fmt: skip
    assert stop.value.code == 0
    evidence = json.loads((tmp_path / "trained" / "evidence.json").read_text())
    assert evidence["config"]["lanes"] == 8
