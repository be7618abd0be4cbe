"""What works on this machine, and what to do about the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from hardware.supervisor import port_is_free
from plantwin import how_to_add

OK, NOTE, BAD = "ok", "note", "bad"
"""Works; works with less, or is only wanted by some; does not work."""
PORTS = {1883: "MQTT broker", 8050: "dashboard"}
FREE_BYTES = 2 * 10**9
EXTRAS = ("sim", "ingest", "dashboard", "edge", "train")
NEEDED = ("sim", "ingest", "dashboard", "edge")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, what was seen, and what to do where it is not ok."""

    what: str
    status: str
    seen: str
    todo: str = ""

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)


def examine(data: Path) -> list[Finding]:
    """Look at everything; a check that fails by itself is a finding, never a traceback."""
    checks: list[Callable[[], list[Finding]]] = [
        python_version,
        extras,
        broker,
        gpu,
        cuda_kernel,
        browser,
        ports,
        lambda: disk(data),
        clock,
        cores,
    ]
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            name = getattr(check, "__name__", "disk")
            found.append(Finding(name, NOTE, f"could not be looked at: {error}", "please report this"))
    return found


def python_version() -> list[Finding]:
    seen = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        return [Finding("Python", BAD, seen, "make an environment with Python 3.11")]
    if sys.prefix == sys.base_prefix:
        return [Finding("Python", NOTE, f"{seen}, not in a virtual environment", "use one: make setup")]
    return [Finding("Python", OK, seen)]


def requirements() -> dict[str, list[str]]:
    """Requirement strings of each extra, from pyproject.toml in a checkout, else from the installed distribution."""
    file = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if file.is_file():
        table: dict[str, list[str]] = tomllib.loads(file.read_text())["project"]["optional-dependencies"]
        return table
    found: dict[str, list[str]] = {extra: [] for extra in EXTRAS}
    try:
        lines = requires("plantwin") or []
    except PackageNotFoundError:
        return found
    for line in lines:
        need, _, marker = line.partition(";")
        for extra in EXTRAS:
            if f'extra == "{extra}"' in marker or f"extra == '{extra}'" in marker:
                found[extra].append(need.strip())
    return found


def extras() -> list[Finding]:
    """Each extra with the versions of its libraries."""
    table, found = requirements(), []
    for extra in EXTRAS:
        present, missing = [], []
        for need in table.get(extra, []):
            name = need.split(";")[0].split("[")[0].split("<")[0].split(">")[0].split("=")[0].strip()
            if name == "plantwin":
                continue
            try:
                present.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                missing.append(name)
        if not missing:
            found.append(Finding(f"extra {extra}", OK, ", ".join(present)))
            continue
        status = BAD if extra in NEEDED else NOTE
        todo = how_to_add(extra) + ("" if status == BAD else " (only to train policies)")
        found.append(Finding(f"extra {extra}", status, f"missing: {', '.join(missing)}", todo))
    return found


def broker() -> list[Finding]:
    """The embedded broker, and mosquitto."""
    found = []
    if find_spec("iotcore") is None:
        todo = how_to_add("ingest")
        found.append(Finding("embedded broker", BAD, "its library iotcore is missing", todo))
    else:
        found.append(Finding("embedded broker", OK, f"iotcore {version('iotcore')}"))
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        found.append(Finding("mosquitto", NOTE, "not found", "only for --broker mosquitto: apt-get install mosquitto"))
    else:
        found.append(Finding("mosquitto", OK, f"{_first_line([path, '-h'])} ({path})"))
    return found


def gpu() -> list[Finding]:
    """An NVIDIA device as the driver sees it, and whether the libraries here can use it."""
    path = shutil.which("nvidia-smi")
    if path is None:
        return [Finding("GPU", NOTE, "no NVIDIA driver found", "nothing: everything also runs on the CPU")]
    name = _first_line([path, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"])
    if find_spec("torch") is None:
        return [Finding("GPU", NOTE, f"{name}; torch is missing", f"to train on it: {how_to_add('train')}")]
    built = _first_line([sys.executable, "-c", "import torch; print(torch.cuda.is_available(), torch.__version__)"], 60)
    if not built.startswith("True"):
        todo = "install a build of torch for CUDA to train on it"
        return [Finding("GPU", NOTE, f"{name}; torch {built.split()[-1]} cannot use it", todo)]
    return [Finding("GPU", OK, f"{name}; torch {built.split()[-1]}")]


def cuda_kernel() -> list[Finding]:
    """Whether `--engine cuda` works here, and what it lacks."""
    from hardware.doctor_cuda import judge, look

    seen, todo = judge(look())
    return [Finding("CUDA kernel", NOTE if todo else OK, seen, todo)]


def browser() -> list[Finding]:
    """A chromium for the dashboard's own tests; people use any browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        return [Finding("chromium", NOTE, "not found", "only the browser tests want it: apt-get install chromium")]
    return [Finding("chromium", OK, f"{_first_line([path, '--version', '--no-sandbox'])}")]


def ports() -> list[Finding]:
    """The ports that are used unless told otherwise."""
    found = []
    for number, use in PORTS.items():
        if port_is_free(number):
            found.append(Finding(f"port {number}", OK, f"free (for the {use})"))
        else:
            found.append(Finding(f"port {number}", NOTE, f"taken (the {use} would want it)", "choose another: --port"))
    return found


def disk(data: Path) -> list[Finding]:
    """Room and the right to write where the data folder is or would be."""
    folder = data.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    seen = f"{free / 1e9:.1f} GB free at {folder}"
    if not os.access(folder, os.W_OK):
        return [Finding("data folder", BAD, f"{folder} cannot be written", "name another: --data DIR")]
    if free < FREE_BYTES:
        return [Finding("data folder", NOTE, seen, "make room: the journal keeps every message")]
    return [Finding("data folder", OK, seen)]


def clock() -> list[Finding]:
    """Whether the wall clock is plausible, moves as fast as the monotonic one, and is kept by a time service."""
    if time.time() < 1_700_000_000:
        return [Finding("clock", BAD, time.strftime("%Y-%m-%d"), "set the date: messages carry the time")]
    wall, steady = time.time(), time.monotonic()
    time.sleep(0.2)
    apart = abs((time.time() - wall) - (time.monotonic() - steady))
    if apart > 0.05:
        return [Finding("clock", NOTE, f"stepped by {apart:.2f} s while looked at", "let a time service slew it")]
    path = shutil.which("timedatectl")
    if path and _first_line([path, "show", "-p", "NTPSynchronized", "--value"]) == "no":
        return [Finding("clock", NOTE, "not kept by a time service", "turn one on: timedatectl set-ntp true")]
    return [Finding("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S %z"))]


def cores() -> list[Finding]:
    """Cores this process may use; the loop is comfortable with two."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return [Finding("cores", NOTE, "1", "the demo runs, but slowly: lower --speed")]
    return [Finding("cores", OK, str(count))]


def show(findings: list[Finding]) -> None:
    """Print the findings as a table for a person."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {OK: "green", NOTE: "yellow", BAD: "bold red"}
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "seen", "what to do"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        # Text: a plain string's [train] would be read as markup and vanish
        row = (Text(finding.status, colours[finding.status]), *map(Text, (finding.what, finding.seen, finding.todo)))
        table.add_row(*row)
    Console().print(table)
    bad = sum(finding.status == BAD for finding in findings)
    Console().print("everything that plantwin needs is here" if not bad else f"{bad} thing(s) must be mended first")


def _first_line(argv: list[str], timeout_s: float = 10.0) -> str:
    """First line a program prints; a sentence in its place when it cannot be run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"could not be run ({error})"
    return next(iter((done.stdout or done.stderr).strip().splitlines()), "no output")
