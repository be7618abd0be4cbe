"""The demo: a virtual plant and every process of plantwin around it, supervised, observed and, if asked, approved.

The order of a run: prepare a data folder, start the parts, watch, then end the plant first so that the gateway's outbox
can drain before anything is counted.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

from hardware.demo_evidence import read_journal, read_outbox, read_truth, undelivered
from hardware.demo_report import Observed, StateSample, report
from hardware.demo_twin import Operator, TwinApi, status_line
from hardware.supervisor import Part, StartError, Supervisor, free_ports, port_is_free, python
from sim import plantfile

MARK = "demo.json"
"""A folder with this file was made by a demo and may be emptied by the next one."""
LOOK_S = 1.0
STATUS_S = 20.0
DRAIN_S = 20.0
HOST = "127.0.0.1"


class DemoError(Exception):
    """The demo cannot run as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a demo run is asked to do; see `plantwin demo --help`."""

    plant: str = "gearmotor"
    speed: float = 60.0
    seconds: float | None = None
    headless: bool = False
    approve: str = "none"
    report: Path | None = None
    data: Path = Path("plantwin-data")
    port: int = 8050
    broker: str = "embedded"


def check(options: Options) -> None:
    """Refuse what cannot work before anything is started. Raises DemoError, and PlantError for a wrong plant."""
    if options.approve not in {"auto", "none"}:
        raise DemoError(f"--approve: expected auto or none, found {options.approve}")
    if options.broker not in {"embedded", "mosquitto"}:
        raise DemoError(f"--broker: expected embedded or mosquitto, found {options.broker}")
    if options.speed <= 0 or (options.seconds is not None and options.seconds <= 0):
        raise DemoError("--speed and --for must be greater than 0")
    if options.broker == "mosquitto" and mosquitto() is None:
        raise DemoError("--broker mosquitto: there is no mosquitto here; install it or leave the option out")
    plantfile.load(options.plant)
    if options.report is not None and (options.report.is_dir() or not options.report.absolute().parent.is_dir()):
        raise DemoError(f"--report {options.report}: expected a file in a folder that exists; make the folder first")
    if not port_is_free(options.port):
        raise DemoError(
            f"port {options.port} is taken by another program; end that one or choose another port: "
            "plantwin demo --port 8051 (or --port 0 for any free one)"
        )


def mosquitto() -> str | None:
    """Path of the mosquitto broker; Debian keeps it where users do not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def prepare(folder: Path) -> None:
    """Make an empty data folder. Raises DemoError where it holds what is not of an earlier demo."""
    if folder.exists() and not folder.is_dir():
        raise DemoError(f"--data {folder}: expected a folder, found a file")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise DemoError(
                f"--data {folder} holds data that no demo made; the demo starts from nothing: name another folder"
            )
        if _in_use(folder):
            raise DemoError(f"--data {folder} is in use by a demo that still runs; end it or name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _in_use(folder: Path) -> bool:
    """Whether the demo that wrote the mark still runs."""
    try:
        pid = int(json.loads((folder / MARK).read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return b"plantwin" in command and b"demo" in command


def parts(options: Options, broker: int, http: tuple[int, int], edge: tuple[int, int]) -> list[Part]:
    """The processes of the loop in the order of their start; ports on loopback: broker, (ingest, twin), (fieldbus,
    cable).
    """
    data = ("--data", str(options.data))
    mqtt = ("--broker", f"{HOST}:{broker}")
    ingest, twin = (f"http://{HOST}:{port}" for port in http)
    fieldbus, cable = edge
    bus = f"{HOST}:{fieldbus}"
    across = ("--broker", f"{HOST}:{cable}")
    speed = ("--speed", f"{options.speed:g}")
    plant = options.plant
    page = str(options.port)
    return [
        Part("broker", python("broker", "--port", str(broker), "--kind", options.broker, *data)),
        Part("ingest", python("ingest", plant, *mqtt, "--port", str(http[0]), *data)),
        Part("twin", python("twin", plant, "--port", str(http[1]), "--ingest", ingest, *data), start_s=240.0),
        Part("dashboard", python("dashboard", "--twin", twin, "--port", page, *data)),
        # the plant's clock runs from its start, so everything that watches it is there before
        Part("plant", python("plant", plant, "--port", str(fieldbus), *speed, *mqtt, *data), start_s=120.0),
        # what the gateway says crosses a cable that a person may pull on the page "Twin health"
        Part("cable", python("cable", "--port", str(cable), *mqtt, *data)),
        Part("gateway", python("gateway", plant, "--fieldbus", bus, *across, *data)),
        # ready after its first look at the plant, which may take a while
        Part("advise", python("advise", plant, "--twin", twin, *data), wait=False),
    ]


@dataclass
class Demo:
    """One run. `say` gets one line at a time; `stopping` ends the watch at the next turn."""

    options: Options
    say: Callable[[str], None]
    stopping: bool = False
    starting: bool = False
    seen: Observed = field(init=False)

    def __post_init__(self) -> None:
        self.seen = Observed(plant=self.options.plant)

    def run(self) -> int:
        """The whole run; returns the exit code. Raises DemoError or StartError when it cannot start."""
        check(self.options)
        prepare(self.options.data)
        _write_mark(self.options)
        broker, ingest, twin, fieldbus, cable = free_ports(5)
        group = Supervisor(self.options.data, parts(self.options, broker, (ingest, twin), (fieldbus, cable)), self.say)
        api = TwinApi(f"http://{HOST}:{twin}", f"http://{HOST}:{ingest}")
        with _signals(self):
            try:
                began = time.monotonic()
                self.starting = True
                self._make_keys()
                self._warm_up()
                group.start()
                self.starting = False
                self._greet(group, time.monotonic() - began)
                self._watch(group, api)
                self._finish(group, api)
            except _Stopped:
                self.say("stopped before everything was running")
            finally:
                group.stop()
        if self.options.report is not None:
            self._write_report(group)
        self.say("all parts have stopped")
        return 0

    def _make_keys(self) -> None:
        argv = python("keys", "--data", str(self.options.data))
        made = subprocess.run(argv, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise StartError(f"the signing keys could not be made:\n{(made.stderr or made.stdout).strip()}")

    def _warm_up(self) -> None:
        """Compile the kernel before the plant's clock runs, once for twin and advice; later starts find it done."""
        self.say("getting the kernel ready (a new version is compiled once, which takes up to a minute)")
        short = ("--until", "60 s", "--replications", "2", "--json")
        made = subprocess.run(
            python("simulate", self.options.plant, *short), capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise StartError(f"the plant could not be simulated:\n{(made.stderr or made.stdout).strip()}")

    def _greet(self, group: Supervisor, seconds: float) -> None:
        self.say(f"{len(group.parts)} parts are running (after {seconds:.0f} s); output in {group.run_folder}")
        url = group.info("dashboard").get("url") or f"http://{HOST}:{self.options.port}"
        self.say(f"dashboard: {url}")
        faster = f"the plant {self.options.plant} runs {self.options.speed:g} times as fast as the clock"
        ends = f"for {self.options.seconds:g} s" if self.options.seconds else "until Ctrl-C"
        self.say(f"{faster}, {ends}")

    def _watch(self, group: Supervisor, api: TwinApi) -> None:
        """Observe, approve and restart until the time is over or somebody stops it."""
        operator = Operator(api, self.say) if self.options.approve == "auto" else None
        began = time.monotonic()
        next_look = next_status = began
        plant = plantfile.load(self.options.plant)
        zone = ZoneInfo(plant.timezone)
        while not self.stopping:
            now = time.monotonic()
            if self.options.seconds is not None and now - began >= self.options.seconds:
                break
            group.poll()
            if now >= next_look:
                next_look = now + LOOK_S
                self._look(api)
                if operator is not None:
                    operator.look()
            if now >= next_status:
                next_status = now + STATUS_S
                line = status_line(api, zone, plant.time_unit)
                if line:
                    self.say(line)
            time.sleep(0.1)

    def _look(self, api: TwinApi) -> None:
        state, frame = api.get("/state"), api.get("/frame")
        if not isinstance(state, dict) or not isinstance(frame, dict):
            return
        known = {station: pair for station, pair in state.get("wip", {}).items() if pair and pair[0] is not None}
        wip = {station: float(pair[0]) for station, pair in known.items()}
        age = frame.get("sync", {}).get("age_s")
        if age is not None and state.get("t"):
            self.seen.samples.append(StateSample(int(state["t"]), float(age), wip))

    def _finish(self, group: Supervisor, api: TwinApi) -> None:
        """Collect what the running parts know, end the plant, let the outbox drain, count."""
        self.seen.scores = api.get("/scores") or {}
        self.seen.recommendations = api.get("/recommendations") or []
        frame: dict[str, Any] = api.get("/frame") or {}
        self.seen.evaluated = int((frame.get("advice") or {}).get("evaluated") or 0)
        self.seen.restarts = group.restarts
        group.stop_part("plant")
        end = time.monotonic() + DRAIN_S
        while (left := undelivered(self.options.data)) and time.monotonic() < end:
            time.sleep(0.1)
        if left:
            self.say(f"{left} readings are still in the gateway's outbox after {DRAIN_S:.0f} s")
        group.stop_part("gateway")
        self.seen.duplicate = api.duplicates()

    def _write_report(self, group: Supervisor) -> None:
        journal = read_journal(self.options.data)
        self.seen.journal, self.seen.gaps = journal.numbers, journal.gaps
        self.seen.commands, self.seen.steps = journal.commands, journal.steps
        self.seen.issued, self.seen.abandoned = read_outbox(self.options.data)
        self.seen.truth = read_truth(self.options.data)
        self.seen.restarts = max(self.seen.restarts, group.restarts)
        told = report(self.seen)
        target = self.options.report
        if target is not None:
            target.write_text(json.dumps(told, indent=2) + "\n")
            self.say(f"report: {target}")


class _Stopped(Exception):  # noqa: N818 - a request, not an error
    """SIGINT or SIGTERM came while the parts were starting."""


class _signals:  # noqa: N801 - used as a function
    """While inside, SIGINT and SIGTERM ask the demo to end; during the start they interrupt it."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self._asked)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        if self.demo.stopping:
            return
        self.demo.stopping = True
        self.demo.say(f"{signal.Signals(number).name}: stopping")
        if self.demo.starting:
            raise _Stopped


def _write_mark(options: Options) -> None:
    import os

    (options.data / MARK).write_text(json.dumps({"pid": os.getpid(), "plant": options.plant}) + "\n")
