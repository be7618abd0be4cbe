"""A quick start: the same machine code without numba, never an old one, and numba where code is missing.

As in test_cache_stale: real processes and a copied package whose kernel compiles in a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim import native, shelf
from sim.plant import Dist
from sim.quantile import LENGTH, table
from tests.sim.test_cache_stale import ROOT, change, copied_package

LOOP = """
from sim.jit import entry
from sim.rule import called, inlined

@entry
def run(row):
    return inlined(row) + called(row)

@entry
def fill(row, value):
    for i in range(row.shape[0]):
        row[i] = value

@entry
def raises(row):
    if row[0] == 1:
        raise ValueError("one")
    return row[0]
"""
PROGRAM = """
import json, sys
import numpy as np
from sim import native
if "usual" not in sys.argv:
    native.ask()
from sim.jit import QUICK
from sim.loop import fill, raises, run
row = np.ones(3, dtype=np.int64)
if "fixed" in sys.argv:
    row.flags.writeable = False
if "strided" in sys.argv:
    row = np.ones((3, 2), dtype=np.int64)[:, 0]
answer = int(run(row))
nothing = None if "fixed" in sys.argv else fill(row, 7)
before = "numba" in sys.modules
try:
    raised = "" if "raise" not in sys.argv else raises(np.ones(1, dtype=np.int64))
except ValueError as error:
    raised = str(error)
print(json.dumps({"answer": answer, "row": row.tolist(), "nothing": nothing, "numba": before, "quick": QUICK,
                  "raised": raised}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = copied_package(tmp_path)
    (folder / "loop.py").write_text(LOOP, encoding="utf-8")
    return folder


def run(package: Path, *words: str, **settings: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {
        "PLANTWIN_CACHE": str(package.parents[1] / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",  # as in test_cache_stale
        **settings,
    }
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM, *words),
        cwd=package.parent, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kept(package: Path) -> list[Path]:
    return sorted((package.parents[1] / "cache").glob("kernel-*/native-*/*.native"))


def test_the_second_start_needs_no_numba_and_says_the_same(package: Path) -> None:
    first = run(package, "raise")
    assert first["numba"]  # nothing kept yet: numba compiles, also in a process that asked for a quick start
    assert (first["answer"], first["row"], first["raised"]) == (14, [7, 7, 7], "one")
    names = [path.name.split("-")[0] for path in kept(package)]
    assert names == ["sim.loop.fill", "sim.loop.run"], "an entry that raises needs Python, so it must not be kept"
    second = run(package, "raise")
    assert second == first | {"numba": False}
    assert not run(package, "usual")["quick"]  # who does not ask gets numba, as ever
    # a changed constant two files away is seen, as by numba's own cache (test_cache_stale)
    change(package, "limits.py", "CAP = 3", "CAP = 5")
    changed = run(package)
    assert (changed["numba"], changed["answer"]) == (True, 16)


def test_other_types_and_broken_files_go_to_numba(package: Path) -> None:
    run(package)
    for words in (("fixed",), ("strided",)):
        found = run(package, *words)
        assert (found["numba"], found["answer"]) == (True, 14)
    assert not run(package, "fixed")["numba"]  # read-only arrays: another type, kept by now
    for path in kept(package):
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
    found = run(package)
    assert (found["numba"], found["answer"]) == (True, 14)


def test_settings_of_numba_switch_it_off(package: Path) -> None:
    run(package)
    found = run(package, NUMBA_OPT="0")
    assert (found["numba"], found["quick"], found["answer"]) == (True, False, 14)
    found = run(package, NUMBA_DISABLE_JIT="1")
    assert (found["quick"], found["answer"]) == (False, 14)


def test_simulate_and_validate_never_import_numba_or_scipy_stats() -> None:
    """The commands themselves, on a plant whose tables want scipy when they are built."""
    program = (
        "import sys, plantwin\n"
        "sys.argv = ['plantwin', *sys.argv[1:]]\n"
        "try:\n    plantwin.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numba', 'scipy', 'scipy.stats', 'simpy', 'torch'} & set(sys.modules)), file=sys.stderr)\n"
    )
    arguments = ("simulate", "line3", "--until", "1d", "--replications", "2", "--json")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    # scipy.special, without the rest of scipy, knows Student's t
    for words, there in ((arguments, None), (arguments, "['scipy']"), (("validate", "line3"), "[]")):
        done = subprocess.run(
            (sys.executable, "-c", program, *words),
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        if there is not None:
            assert done.stderr.splitlines()[-1] == there


def test_a_kept_table_is_the_table_and_a_broken_one_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "_folder", lambda: tmp_path / "tables")
    dist = Dist("gamma", (1234.5, 0.4))
    built = table.__wrapped__(dist)
    (path,) = (tmp_path / "tables").iterdir()
    found = shelf.get(dist, LENGTH)
    assert found is not None
    assert found.tolist() == built.tolist()
    assert shelf.get(Dist("gamma", (1234.5, 0.4000000000000001)), LENGTH) is None
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    assert shelf.get(dist, LENGTH) is None
    assert table.__wrapped__(dist).tolist() == built.tolist()
    path.write_bytes(content[:100])
    assert shelf.get(dist, LENGTH) is None
    monkeypatch.setattr(shelf, "MOST", 1)
    table.__wrapped__(Dist("gamma", (7.0, 0.4)))
    assert len(list((tmp_path / "tables").iterdir())) == 1


def test_a_process_that_has_numba_already_goes_on_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_wanted", True)
    monkeypatch.setattr(native, "plain_numba", lambda: True)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert native.usable()
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert not native.usable()
