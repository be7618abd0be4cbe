"""What the README says to type works, and what it links to exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import plantwin

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*) ?(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands(mark: str) -> list[str]:
    """The lines of all blocks with this mark, without comments."""
    lines = [line.split("#")[0].strip() for _, found, body in BLOCKS if found == mark for line in body.splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("line", commands("runnable"))
def test_runnable_line(line: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(line)
    assert program == "plantwin"
    argv = (sys.executable, "-m", "plantwin", *arguments)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_other_line_is_a_target_of_make() -> None:
    for line in commands(""):
        program, target = shlex.split(line)
        assert program == "make"
        subprocess.run(("make", "-n", target), cwd=ROOT, check=True, capture_output=True)


def test_commands_in_the_text_exist() -> None:
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`plantwin (\w+)", prose)
    assert named
    assert set(named) <= set(plantwin.COMMANDS)


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}, which does not exist"


def test_the_first_paragraph_is_five_lines() -> None:
    assert len(TEXT.split("\n\n")[1].splitlines()) == 5
