"""docs/experiments.md: its commands run, its messages are what is said, and it names every design and key."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

import plantwin
from sim.studyfile import DESIGNS, KEYS, read_study

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).splitlines()
(FILE,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(MESSAGES,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        raise SystemExit(plantwin.main(["experiment", *arguments]))
    return int(end.value.code or 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--parquet" in command and not (find_spec("duckdb") and find_spec("matplotlib") and find_spec("plotly")):
        pytest.skip("extra [experiment] is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yaml").write_text(FILE, encoding="utf-8")
    words = shlex.split(command)
    assert words[:2] == ["plantwin", "experiment"]
    assert run(*words[2:], "--executor", "serial", "--replications", "4") == 0
    assert capsys.readouterr().out
    if "--out" in words:
        kept = {p.name for p in (tmp_path / "results").iterdir()}
        assert {"units.jsonl", "report.json"} <= kept
        assert ("results.parquet" in kept) == ("--parquet" in words)
        assert any(name.endswith(".png") for name in kept) == ("--plots" in words)


def test_the_messages_are_those_that_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    for setting, line in zip(("release.housing.cap=50", "stations.trn.units=1,2"), MESSAGES.splitlines(), strict=True):
        assert run("line3", "--set", setting) == 2
        assert line in capsys.readouterr().err


def test_the_page_names_designs_and_keys(tmp_path: Path) -> None:
    assert all(f"`{design}`" in PAGE for design in DESIGNS)
    path = tmp_path / "experiment.yaml"
    path.write_text(FILE, encoding="utf-8")
    read = read_study(path)
    assert read["named"] == {"second lathe": {"stations.turn.units": "2"}}
    assert read["settings"]["release.housing.cap"] == "4,6"
    assert all(f"{key}:" in FILE or f"--{key}" in PAGE for key in KEYS if key != "engine")


def test_a_bad_file_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("plant: line3\nfactor: {a: 1}\nuntil: 2 d\nselect: {delta: 1}\nreplications: 1\n", encoding="utf-8")
    assert run("--file", str(path)) == 2
    said = capsys.readouterr().err
    assert "bad.yaml:2: the file: expected a known key, found 'factor'; did you mean 'factors'?" in said
    assert "bad.yaml:4: select: expected either 'maximise' or 'minimise'" in said
    assert "bad.yaml:5: replications: expected a whole number of 2 or more" in said
