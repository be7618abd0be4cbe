"""Compiled code is never older than its source: the real numba cache, real processes, a copied package.

A kernel of its own stands beside the real `sim/cache.py`, `sim/jit.py` in a copy: small, so that it compiles in a
second, but built as the real one is: a compiled loop in one file, its rule in another, a constant in a third.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "__init__.py": "",
    "limits.py": "CAP = 3\n",
    "rule.py": (
        "from sim.jit import leaf, rule\n"
        "from sim.limits import CAP\n"
        "@leaf\n"
        "def inlined(row):\n"
        "    return row[0] + CAP\n"
        "@rule\n"
        "def called(row):\n"
        "    return row[0] * 10\n"
    ),
    "loop.py": (
        "from sim.jit import entry\n"
        "from sim.rule import called, inlined\n"
        "@entry\n"
        "def run(row):\n"
        "    return inlined(row) + called(row)\n"
    ),
}
PROGRAM = """
import numpy as np
from sim.loop import run
answer = run(np.ones(1, dtype=np.int64))
print(answer, sum(run.stats.cache_hits.values()), sum(run.stats.cache_misses.values()))
"""


def copied_package(tmp_path: Path) -> Path:
    """A copied package `sim` with the real cache and decorators, and a kernel of its own."""
    folder = tmp_path / "copy" / "sim"
    folder.mkdir(parents=True)
    for name in ("cache.py", "jit.py", "jit_numba.py", "native.py"):
        shutil.copy(ROOT / "sim" / name, folder / name)
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return copied_package(tmp_path)


def answer(package: Path) -> tuple[int, int, int]:
    """What the kernel says in a new process, and how often the cache had it or not."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment["PLANTWIN_CACHE"] = str(package.parents[1] / "cache")
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # Python's own cache of sources looks only at their time and size
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM),
        cwd=package.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, hits, misses = done.stdout.split()
    return int(found), int(hits), int(misses)


def change(package: Path, name: str, old: str, new: str) -> None:
    """Edit a file so that only its content tells: same size, same time of change."""
    path = package / name
    before = path.stat()
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    assert len(old) == len(new)
    path.write_text(text.replace(old, new), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_changed_rule_and_a_changed_constant_are_seen(package: Path) -> None:
    assert answer(package) == (14, 0, 1)
    assert answer(package) == (14, 1, 0), "the second process must find the first one's code, or this proves nothing"
    change(package, "limits.py", "CAP = 3", "CAP = 5")  # inlined two files away from the loop
    assert answer(package)[0] == 16
    change(package, "rule.py", "row[0] * 10", "row[0] * 20")  # called from another file
    assert answer(package)[0] == 26


def test_without_the_folder_numba_would_answer_as_of_old(package: Path) -> None:
    """The danger is real: with one folder for all contents, numba runs old machine code. If this fails, numba learned
    to see such changes, and the folder may go."""
    path = package / "cache.py"
    text = path.read_text(encoding="utf-8")
    assert text.count("{fingerprint()}") == 1
    path.write_text(text.replace("{fingerprint()}", "one"), encoding="utf-8")
    assert answer(package) == (14, 0, 1)
    change(package, "limits.py", "CAP = 3", "CAP = 5")
    change(package, "rule.py", "row[0] * 10", "row[0] * 20")
    assert answer(package) == (14, 1, 0)
