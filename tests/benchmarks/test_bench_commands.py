"""A storm of bad commands: none is carried out, each is counted by its own reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import commands
from hardware.guard import REASONS

NOT_HERE = {"write_failed", "gateway_restarted", "too_many"}
"""Reasons that are not about the command."""


@pytest.mark.parametrize("n", [2_000, pytest.param(12_000, marks=pytest.mark.slow)])
def test_nothing_of_a_storm_is_carried_out_and_each_is_counted_by_its_reason(n: int, tmp_path: Path) -> None:
    found = commands.storm(tmp_path, n, seed=7)
    print(f"{n} bad commands: executed {found['executed']}, written {found['written']}, {found['refused']}")
    assert (found["executed"], found["written"]) == (0, 0)
    assert found["refused"] == found["expected"]
    assert sum(found["refused"].values()) == n
    assert set(found["refused"]) == set(REASONS) - NOT_HERE


def test_the_command_prints_what_the_function_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["--n", "200", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["executed"]) == (200, 0)


def test_a_gate_that_lets_one_through_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.commander.authentic", lambda *_: None)
    assert commands.storm(tmp_path, 300, seed=7)["executed"] > 0
    assert commands.main(["--n", "300"]) == 1
