"""The entry point: what it prints, how fast, what it refuses; what a wheel of it holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import plantwin

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-m", "plantwin", *arguments)
    return subprocess.run(
        argv, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_help_lists_every_command_of_the_architecture_page() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    table = page[page.index("| package | commands |") : page.index("A PLANT argument")]
    names = set()
    for line in table.splitlines()[2:]:
        cells = line.split("|")
        if len(cells) > 2:
            names |= {name.split()[0] for name in re.findall(r"`([^`]+)`", cells[2]) if "/" not in name}
    assert {"demo", "twin", "bench", "validate"} <= names
    shown = run("--help").stdout
    for name in names:
        assert re.search(rf"^  {name} +\S.*\.$", shown, re.MULTILINE), name
    assert names == set(plantwin.COMMANDS)
    assert sorted(name for _, group in plantwin.GROUPS for name in group) == sorted(plantwin.COMMANDS)


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    times = []
    for _ in range(3):
        began = os.times()
        assert run("--help").returncode == 0
        ended = os.times()  # time of computing: other work of the machine does not count
        times.append(ended.children_user + ended.children_system - began.children_user - began.children_system)
    assert min(times) < 0.3
    code = "import plantwin, sys; plantwin.main(['--help']); print([m for m in sys.modules if m in %r])"
    heavy = {"numba", "numpy", "torch", "dash", "paho", "typer", "rich", "fastapi"}
    shown = subprocess.run((sys.executable, "-c", code % heavy), cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_every_command_has_its_function_and_its_own_help() -> None:
    for name in plantwin.COMMANDS:
        shown = run(name, "--help", COLUMNS="200")
        assert shown.returncode == 0, (name, shown.stderr)
        assert "Usage: plantwin " + name in shown.stdout + shown.stderr


def test_commands_modules_import_nothing_heavy() -> None:
    modules = sorted({module for module, _ in plantwin.COMMANDS.values() if module})
    code = "import importlib, sys\nfor m in %r: importlib.import_module(m)\nprint([m for m in sys.modules if m in %r])"
    heavy = {"numba", "torch", "dash", "paho", "fastapi", "uvicorn", "scipy", "simpy", "gymnasium", "stable_baselines3"}
    for module in modules:
        argv = (sys.executable, "-c", code % ([module], heavy))
        shown = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == "[]", module


def test_version_is_that_of_the_changelog() -> None:
    assert run("--version").stdout == f"plantwin {plantwin.__version__}\n"
    assert f"[{plantwin.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_unknown_command_is_wrong_usage_with_a_hint() -> None:
    done = run("simulat")
    assert done.returncode == 2
    assert "did you mean simulate?" in done.stderr


def test_unknown_option_is_wrong_usage() -> None:
    assert run("doctor", "--nonsense").returncode == 2


def test_wrong_plant_file_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("plantwin: 1\nsite: [\n")
    done = run("validate", str(tmp_path / "bad.yaml"))
    assert done.returncode == 2
    assert "bad.yaml:" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ModuleNotFoundError(\"No module named 'numba'\", name='numba')")
    done = run("env", "line3", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    how = plantwin.how_to_add("sim")
    assert done.stderr == f"plantwin: env needs numba, which is not installed: {how}\n"
    assert how.startswith("make setup in "), "in a checkout, no registry's package of the same name"


def test_a_foreign_package_in_front_is_refused_with_its_path(tmp_path: Path) -> None:
    fake = tmp_path / "agents"
    fake.mkdir()
    (fake / "__init__.py").write_text("raise SystemExit('must never run')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import plantwin; sys.exit(plantwin.main(['--help']))"
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert str(fake / "__init__.py") in done.stderr
    assert "must never run" not in done.stderr


def test_a_missing_package_is_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "plantwin.py", tmp_path)
    done = run("--help", cwd=tmp_path, PYTHONSAFEPATH="", PYTHONPATH="")
    assert done.returncode == 1
    assert f"expected {tmp_path.resolve() / 'twin'}" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built offline from a copy of what git would carry."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    ignore = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", "plantwin-data", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=ignore)
    argv = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run((*argv, "--wheel-dir", str(folder), str(copy)), check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def test_wheel_has_exactly_our_top_level_names(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = f"plantwin-{plantwin.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {*plantwin.PACKAGES, "plantwin.py", info}
    for pattern in ("sim/plants/*.yaml", "dashboard/assets/*", "agents/policies/**/*", "ingest/schemas/*"):
        for path in ROOT.glob(pattern):
            if path.is_file():
                assert str(path.relative_to(ROOT)) in names
    assert "sim/plants/gearmotor.yaml" in names


def test_bench_outside_a_checkout_says_so(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    done = run("bench", "kernel", cwd=tmp_path)
    assert done.returncode == 1
    assert "checkout" in done.stderr


def test_bench_without_a_group_lists_the_groups() -> None:
    done = run("bench")
    assert done.returncode == 2
    for path in (ROOT / "benchmarks").glob("[!_]*.py"):
        assert path.stem in done.stderr


def test_ctrl_c_says_what_was_stopped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Not `Aborted!`, and the exit code of a program that an interrupt ended."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agents.rules.rule.Rule.check", interrupted)
    with pytest.raises(SystemExit) as ended:
        plantwin.main(["evaluate", "level=16", "--against", "nothing", "--plant", "lost_sales", "--pairs", "4"])
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == "plantwin: evaluate was stopped"
