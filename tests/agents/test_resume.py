"""A training that is cut off goes on as if it had not been; what does not fit is refused by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.bundles import bundle
from agents.envs.env import compiled_plant
from agents.errors import TrainingError
from agents.rules.rule import Rule
from agents.training import checkpoint, resume, train
from agents.training.learning import Config
from agents.training.recipe import read_begun
from agents.training.train import Job, Run
from sim.compile import Compiled

SMALL = Config(
    lanes=16, steps=8, minibatch=64, epochs=2, hidden=(16,), select=4, checks=3, episode_weeks=0.15, rate=5e-3,
    improve=0.0,
)  # fmt: skip
STEPS = 16 * 8 * 6


@pytest.fixture(autouse=True)
def short_runs(briefly_judged: None) -> None:
    """How long a policy is judged is not what is tested here."""


@pytest.fixture
def last(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Everything that a checkpoint would hold at the end of each training: which policy was chosen says less."""
    found: list[dict[str, Any]] = []
    look = ("look", lambda run: found.append(resume.take(run.model, run.lanes)[0]))
    monkeypatch.setattr(train, "STAGES", (*train.STAGES, look))
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Names of the arrays that are not the same in both, bit for bit."""
    assert set(a) == set(b)
    return [name for name in a if a[name].tobytes() != b[name].tobytes()]


class CutOff(Exception):  # noqa: N818 - no error: the power fails
    """Stands for a kill."""


def job(plant: Compiled, out: Path, **changes: Any) -> Job:
    base = Job(plant, Rule({"cap": 6}), out, steps=STEPS, device="cpu", pairs=2, config=SMALL, keep_s=0.0)
    return replace(base, **changes)


def cut_after(monkeypatch: pytest.MonkeyPatch, kept: int, seed: int = 0) -> None:
    """The power fails once `kept` checkpoints of a seed are written."""
    keep, count = Run.keep, iter(range(1, 10**6))

    def kept_then_cut(self: Run) -> None:
        keep(self)
        if self.seed == seed and next(count) == kept:
            raise CutOff

    monkeypatch.setattr(Run, "keep", kept_then_cut)


@pytest.mark.parametrize("trainer", ["resident", "stock", "masked"])
def test_cut_off_and_resumed_weights_are_those_of_an_uninterrupted_training(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch, last: list[dict[str, Any]], trainer: str
) -> None:
    config = replace(SMALL, trainer=trainer) if trainer != "masked" else replace(SMALL, masks=True)
    train.train(job(line3, tmp_path / "whole", config=config), 1)
    whole = bundle.load(tmp_path / "whole")
    with monkeypatch.context() as patch:
        cut_after(patch, 3)
        with pytest.raises(CutOff):
            train.train(job(line3, tmp_path / "cut", config=config), 1)
    assert not (tmp_path / "cut" / "policy.json").exists()
    steps = checkpoint.read(job(line3, tmp_path / "cut").kept(0)).fact("timesteps")
    assert 0 < steps < STEPS
    np.random.default_rng(1).random()  # what happens between must not matter
    train.train(job(line3, tmp_path / "cut", config=config, resume=True), 1)
    resumed = bundle.load(tmp_path / "cut")
    assert len(last) == 2
    assert same(*last) == []  # weights, Adam's moments, random numbers, rows and clocks of all lanes
    # the name is a hash of the chosen weights, and of the range of observations met in all of the training
    assert resumed.name == whole.name
    assert resumed.evidence["selection"] == whole.evidence["selection"]
    assert resumed.evidence["verdicts"] == whole.evidence["verdicts"]
    assert resumed.evidence["resumed_at"] == [steps]
    assert not list((tmp_path / "cut" / "checkpoints").iterdir())


def test_so_it_is_with_decisions_at_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: list[dict[str, Any]]
) -> None:
    plant = compiled_plant("make_to_stock")
    asked = job(plant, tmp_path / "whole", rule=Rule({"base": 7, "care": 2}))
    train.train(asked, 1)
    cut = replace(asked, out=tmp_path / "cut")
    with monkeypatch.context() as patch:
        cut_after(patch, 4)
        with pytest.raises(CutOff):
            train.train(cut, 1)
    train.train(replace(cut, resume=True), 1)
    assert same(*last) == []
    assert (last[0]["lanes.moved"] > 0).any(), "when a control moved last is part of it"
    assert bundle.load(tmp_path / "whole").name == bundle.load(tmp_path / "cut").name


def test_it_is_the_state_that_matters(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch, last: list[dict[str, Any]]
) -> None:
    """Each part of a checkpoint that is spoilt changes the weights: the test above can fail."""
    with monkeypatch.context() as patch:
        cut_after(patch, 3)
        with pytest.raises(CutOff):
            train.train(job(line3, tmp_path), 1)
    path, begun = job(line3, tmp_path).kept(0), (tmp_path / "training.json").read_bytes()
    saved = checkpoint.read(path)
    spoil: dict[str, Callable[[Any], Any]] = {
        "model.starts": lambda a: a,
        "adam.exp_avg_sq.value_net.weight": lambda a: a * 2,
        "adam.step.value_net.weight": lambda a: a * 2,
        "random.torch": lambda _: torch.Generator().manual_seed(5).get_state().numpy(),
        "lanes.rows": lambda a: np.roll(a, 1, axis=0),
        "lanes.elapsed": lambda a: np.roll(a, 1),
        "lanes.episode": lambda a: a + 1,
        "lanes.money": lambda a: a + 1.0,
        "model.observation": lambda a: np.roll(a, 1, axis=0),
    }
    for name, change in spoil.items():
        (tmp_path / "training.json").write_bytes(begun)
        checkpoint.write(path, {**saved.arrays, name: change(saved.arrays[name])}, saved.facts)
        train.train(job(line3, tmp_path, resume=True), 1)
    weights = [{k: v for k, v in state.items() if k.startswith("network.")} for state in last]
    for name, changed in zip(spoil, weights, strict=True):
        assert (same(weights[0], changed) == []) == (name == "model.starts"), name


def test_seeds_that_are_done_are_not_trained_again(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut_after(patch, 1, seed=1)
        with pytest.raises(CutOff):
            train.train(job(line3, tmp_path), 3)
    assert read_begun(tmp_path).done == (0,)
    first = (tmp_path / "seed-0" / "evidence.json").stat().st_mtime_ns
    said: list[str] = []
    done = train.train(job(line3, tmp_path, resume=True, say=said.append), 3)
    assert (tmp_path / "seed-0" / "evidence.json").stat().st_mtime_ns == first
    assert said == ["seed 2: no checkpoint yet, begins anew"]
    costs = [
        json.loads((tmp_path / f"seed-{n}" / "evidence.json").read_text())["selected_cost_per_hour"] for n in range(3)
    ]
    assert done.cost == min(costs)
    assert done.seed == costs.index(min(costs))
    assert train.train(job(line3, tmp_path, resume=True), 3) == done  # all done: judged again by nobody


def test_wall_time_goes_on(tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        cut_after(patch, 1)
        with pytest.raises(CutOff):
            train.train(job(line3, tmp_path, steps=None, budget_s=500.0), 1)
    path = job(line3, tmp_path).kept(0)
    saved = checkpoint.read(path)
    checkpoint.write(path, saved.arrays, {**saved.facts, "used_s": 499.7})
    began = time.monotonic()
    train.train(job(line3, tmp_path, steps=None, budget_s=500.0, resume=True), 1)
    assert time.monotonic() - began < 60.0
    assert 500.0 <= bundle.load(tmp_path).evidence["seconds"] < 560.0


def test_another_stage_starts_over_and_says_so(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True, False])
    told: list[int] = []

    def polish(run: Run) -> None:
        if next(fails):
            raise CutOff
        told.append(run.model.num_timesteps)

    monkeypatch.setattr(train, "STAGES", (*train.STAGES, ("polish", polish)))
    with pytest.raises(CutOff):
        train.train(job(line3, tmp_path, keep_s=1e9), 1)
    said: list[str] = []
    monkeypatch.setattr("agents.training.train.PPO.learn", None)  # PPO is done and must not be asked again
    train.train(job(line3, tmp_path, resume=True, say=said.append), 1)
    assert told == [STEPS]
    assert said == ["seed 0: stage polish is not resumed, it starts over from the last checkpoint"]


def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, line3: Compiled, two_motors: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match="`plantwin train --out` begins a training"):
        train.train(job(line3, tmp_path, resume=True), 1)
    with monkeypatch.context() as patch:
        cut_after(patch, 1)
        with pytest.raises(CutOff):
            train.train(job(line3, tmp_path), 1)
    again = job(line3, tmp_path, resume=True)
    with pytest.raises(TrainingError, match="a training that was cut off; go on with it by --resume"):
        train.train(job(line3, tmp_path), 1)
    values = {"cap40": 20, "cap80": 12, "base40": 30, "base80": 20, "kit_level": 700}
    with pytest.raises(TrainingError, match=r"training of plant line3 .* found .*another plant"):
        train.train(replace(again, compiled=two_motors, rule=Rule(values)), 1)
    with pytest.raises(TrainingError, match="expected the rule that the training began with"):
        train.train(replace(again, rule=Rule({"cap": 7})), 1)
    for changed, match in (
        ({"config": replace(SMALL, lanes=32)}, "lanes 32: the training in .* was begun with 16"),
        ({"steps": 2 * STEPS}, f"steps {2 * STEPS}: the training in .* was begun with {STEPS}"),
        ({"config": replace(SMALL, hidden=(8,))}, r"hidden \[8\]: the training in .* was begun with \[16\]"),
    ):
        with pytest.raises(TrainingError, match=match):
            train.train(replace(again, **changed), 1)
    path = again.kept(0)
    saved = checkpoint.read(path)
    checkpoint.write(path, {**saved.arrays, "lanes.rows": saved.arrays["lanes.rows"][:8]}, saved.facts)
    with pytest.raises(TrainingError, match=r"lanes\.rows: expected int64 of shape \[16, .* found int64 of shape \[8,"):
        train.train(again, 1)
    checkpoint.write(path, saved.arrays, {**saved.facts, "device": "cuda"})
    with pytest.raises(TrainingError, match="written on cuda, found cpu"):
        train.train(again, 1)
    for content in (b"", b"\x80\x04K\x01.", path.read_bytes()[:500]):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match="no checkpoint can be read"):
            train.train(again, 1)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, {"a": np.arange(3)}, {"n": 1, "big": 1 << 100, "x": 0.1})

    def fails(_: int) -> None:
        raise OSError("the power fails")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="the power fails"):
            checkpoint.write(path, {"a": np.arange(4)}, {"n": 2})
    saved = checkpoint.read(path)
    assert saved.arrays["a"].tolist() == [0, 1, 2]
    assert (saved.fact("big"), saved.fact("x")) == (1 << 100, 0.1)


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path: Path) -> None:
    """kill -9 of `plantwin train`, and --resume: the bundle of a training that nobody killed."""
    config = tmp_path / "small.yaml"
    config.write_text(
        "lanes: 16\nrollout: 8\nminibatch: 64\nepochs: 2\nhidden: [16]\nselect: 4\nchecks: 3\nepisode_weeks: 0.15\n"
        "improve: 0.0\n"
        f"steps: {STEPS * 10}\ndevice: cpu\n"
    )
    rule = tmp_path / "rule.json"
    rule.write_text('{"values": {"cap": 6}}')
    base = [sys.executable, "-m", "plantwin", "train", "conwip4"]  # judged in a second: it keeps no hours
    begin = [*base, "--config", str(config), "--rule", str(rule), "--keep", "0s", "--json"]
    root = Path(__file__).resolve().parents[2]
    cut = subprocess.Popen([*begin, "--out", str(tmp_path / "cut")], cwd=root, stdout=subprocess.DEVNULL)
    path, limit = tmp_path / "cut" / "checkpoints" / "seed-0.safetensors", time.monotonic() + 200.0
    while not path.exists() and time.monotonic() < limit and cut.poll() is None:
        time.sleep(0.02)
    cut.send_signal(signal.SIGKILL)
    assert cut.wait() == -signal.SIGKILL, "it ended before it could be killed"
    subprocess.run([*base, "--resume", str(tmp_path / "cut"), "--json"], cwd=root, check=True, capture_output=True)
    subprocess.run([*begin, "--out", str(tmp_path / "whole")], cwd=root, check=True, capture_output=True)
    found, expected = (bundle.load(tmp_path / name) for name in ("cut", "whole"))
    assert found.name == expected.name
    assert found.evidence["resumed_at"]
