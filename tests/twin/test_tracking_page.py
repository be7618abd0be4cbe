"""What docs/tracking.md says to type works; its tables are those of the result file; the benchmark runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _tracking_page as page
from benchmarks._tracking_plants import CASES
from benchmarks.tracking import measure

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_the_page_says_to_type(tmp_path: Path) -> None:
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert len([line for line in lines if line.startswith("plantwin ")]) >= 6
    script = "set -e\n" + "\n".join(line.replace("plantwin ", f"{sys.executable} -m plantwin ", 1) for line in lines)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = ("sh", "-c", script)
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "back in step" in done.stdout


def test_the_page_shows_the_result_file() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "tracking.json").read_text(encoding="utf-8"))
    assert page.text(result) in TEXT
    assert all((ROOT / "docs" / "img" / name).exists() for name in page.IMAGES)


@pytest.mark.slow
def test_the_benchmark_is_reproducible_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Half an hour of one plant, twice; and a third time from what the first has kept."""
    first, second = (measure(CASES[:1], tmp_path / name, 0.5, tiny=True) for name in ("a", "b"))
    again = measure(CASES[:1], tmp_path / "a", 0.5, tiny=True)
    for found in (second, again):
        assert found["increments"] == first["increments"]
        for mine, other in zip(found["faults"], first["faults"], strict=True):
            assert {k: v for k, v in mine.items() if k != "seconds"} == {
                k: v for k, v in other.items() if k != "seconds"
            }
    lost = {r["what"]: r["quantities"]["wip"]["mean_abs"] for r in first["faults"]}
    assert lost["loss 5% wire"] <= lost["loss 5% plain"]
    ways = first["increments"]
    assert ways["cumulative"]["mean"] < 0.3 * ways["increments"]["mean"]
