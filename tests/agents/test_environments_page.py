"""The page about environments and the examples do what they say: every block and every example is run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO

import plantwin
from agents.envs.env import PlantVectorEnv

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "environments.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [body for mark, body in BLOCKS if mark == "python"]
COMMANDS = [line for mark, body in BLOCKS if mark == "console" for line in body.splitlines()]


@pytest.mark.parametrize("body", PYTHON, ids=[str(k) for k in range(len(PYTHON))])
def test_block(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(body, "docs/environments.md", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = line.split()
    assert program == "plantwin"
    try:
        code = plantwin.main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 0
    assert capsys.readouterr().out


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_plain_loop() -> None:
    run: Any = example("gym_loop").main
    assert run("line3", 24) == run("line3", 24)
    assert np.isfinite(run("make_to_stock", 24))


def test_sb3_learns_in_twenty_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (EXAMPLES / "sb3_ppo.py").read_text().split('"""')[2].split("if __name__")[0].splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith("#")]) <= 20
    assert PPO is example("sb3_ppo").PPO
    first, later = (example("sb3_ppo").main(decisions=n) for n in (8192, 24_576))
    assert later < 0.7 * first
    assert (tmp_path / "policy.zip").exists()


def test_a_learner_in_numpy_learns() -> None:
    told = example("own_loop").main(rounds=7)
    assert told[-1] < 0.6 * told[0]


def test_a_reward_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    module = example("own_reward")
    service, calm = module.main(steps=60)
    plain = PlantVectorEnv(8, str(EXAMPLES / "bakery.yaml"), terms=True)
    plain.reset(seed=1)
    plain.action_space.seed(1)
    expected = np.zeros(8)
    for _ in range(60):
        *_, info = plain.step(plain.action_space.sample())
        expected -= info["cost"] + 2.0 * info["terms"]["lost.customers"]
    assert service == pytest.approx(expected.mean())
    assert info["terms"]["lost.customers"].shape == (8,)
    assert calm < 0
    assert "lost.customers" in capsys.readouterr().out


def test_the_page_names_every_example() -> None:
    for path in EXAMPLES.glob("*.py"):
        if path.stem != "publisher":
            assert f"examples/{path.name}" in PAGE
