"""The folder of compiled kernels changes with whatever can change the machine code."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sim import cache

ROOT = Path(__file__).resolve().parents[2]


def sources(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "kernel.py").write_text("from sim.rules import LIMIT\n")
    (folder / "rules.py").write_text("LIMIT = 3\n")
    return folder


def test_a_constant_in_another_file_changes_the_folder(tmp_path: Path) -> None:
    folder = sources(tmp_path)
    before = cache.fingerprint(folder, "1.0")
    assert cache.fingerprint(folder, "1.0") == before
    (folder / "rules.py").write_text("LIMIT = 4\n")
    assert cache.fingerprint(folder, "1.0") != before


def test_numba_s_version_and_file_names_change_it_too(tmp_path: Path) -> None:
    folder = sources(tmp_path)
    before = cache.fingerprint(folder, "1.0")
    assert cache.fingerprint(folder, "1.1") != before
    (folder / "rules.py").rename(folder / "limits.py")
    assert cache.fingerprint(folder, "1.0") != before


def test_text_moved_between_files_changes_it(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("xy")
    (tmp_path / "b.py").write_text("z")
    before = cache.fingerprint(tmp_path, "1")
    (tmp_path / "a.py").write_text("x")
    (tmp_path / "b.py").write_text("yz")
    assert cache.fingerprint(tmp_path, "1") != before


def test_numba_uses_the_folder_whoever_comes_first(tmp_path: Path) -> None:
    program = (
        "import sys\nif sys.argv[1] == 'numba': import numba\nimport sim.jit, numba\nprint(numba.config.CACHE_DIR)"
    )
    for first in ("numba", "ours"):
        argv = (sys.executable, "-c", program, first)
        environment = {**os.environ, "PLANTWIN_CACHE": str(tmp_path)}
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(tmp_path / f"kernel-{cache.fingerprint()}")


def test_an_unwritable_home_still_has_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.delenv("PLANTWIN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    found = cache.root()
    assert found.parent == tmp_path
    assert found.stat().st_mode & 0o077 == 0


def test_old_folders_go_and_recent_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTWIN_CACHE", str(tmp_path))
    for number in range(cache.KEEP + 3):
        made = tmp_path / f"kernel-{number:016d}"
        made.mkdir()
        os.utime(made, (1_000_000 + number, 1_000_000 + number))
    recent = tmp_path / "kernel-recent"
    recent.mkdir()
    here = cache.folder()
    left = {path.name for path in tmp_path.iterdir()}
    assert {here.name, recent.name} <= left
    assert len(left) == cache.KEEP + 1
    assert "kernel-0000000000000000" not in left
