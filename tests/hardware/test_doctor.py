"""The doctor on machines that lack things."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hardware import doctor
from plantwin import how_to_add

ROOT = Path(__file__).resolve().parents[2]


def only(found: list[doctor.Finding], what: str) -> doctor.Finding:
    return next(finding for finding in found if finding.what == what)


def test_a_taken_port_is_a_note_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        number = held.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {number: "dashboard"})
        found = doctor.ports()
    assert (found[0].status, found[0].todo) == (doctor.NOTE, "choose another: --port")
    assert "taken" in found[0].seen


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name in {"numba", "torch"}:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", version)
    found = doctor.extras()
    assert only(found, "extra sim") == doctor.Finding("extra sim", doctor.BAD, "missing: numba", how_to_add("sim"))
    assert only(found, "extra train").status == doctor.NOTE
    assert only(found, "extra edge").status == doctor.OK


def test_nothing_of_the_advice_is_lost_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.show([doctor.Finding("extra train", doctor.NOTE, "missing: torch", "pip install -e '.[train]'")])
    assert ".[train]" in capsys.readouterr().out


def test_programs_that_are_missing_are_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_more: None)
    assert only(doctor.broker(), "mosquitto").status == doctor.NOTE
    assert doctor.browser()[0].status == doctor.NOTE
    assert doctor.gpu()[0].status == doctor.NOTE


def test_a_data_folder_that_cannot_be_written_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.disk(tmp_path / "new" / "folder")[0].status in {doctor.OK, doctor.NOTE}
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert doctor.disk(tmp_path)[0].status == doctor.BAD


def test_a_check_that_fails_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[doctor.Finding]:
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "clock", broken)
    found = doctor.examine(tmp_path)
    assert any("could not be looked at: no such thing" in finding.seen for finding in found)


def test_json_is_a_list_of_findings(tmp_path: Path) -> None:
    argv = (sys.executable, "-m", "plantwin", "doctor", "--json", "--data", str(tmp_path))
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert {"what", "status", "seen", "todo"} == set(found[0])
    assert done.returncode == int(any(row["status"] == doctor.BAD for row in found))
    assert {"Python", "embedded broker", "mosquitto", "GPU", "chromium", "port 8050", "data folder", "clock"} <= {
        row["what"] for row in found
    }
