"""The real processes of a line, each of which can be killed with -9 and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ingest.broker import Options, free_port, local_config, mosquitto_path
from tests.faults.floor import plant_text

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("gateway", "broker", "ingest", "compactor")
PATIENCE_S = 60.0


def open_port(port: int) -> bool:
    """Does someone answer there?"""
    try:
        with socket.create_connection(("127.0.0.1", port), 0.3):
            return True
    except OSError:
        return False


def children(pid: int) -> dict[int, str]:
    """Processes whose parent is `pid`: id -> command line (Linux)."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError, IndexError):
                continue  # it ended while we looked
    return found


@dataclass
class Rig:
    """Folders, ports and processes. `segment` closes the store's segments after that many rows (None: as shipped)."""

    folder: Path
    fieldbus: int
    gateway_broker: int  # where the gateway finds the broker (a proxy)
    ingest_broker: int
    broker_port: int
    segment: int | None = None
    kind: str = field(init=False)  # of the broker
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kind = "mosquitto" if mosquitto_path() else "embedded"
        for name in ("edge", "data", "broker"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.plant.write_text(plant_text())
        (self.folder / "gateway.yaml").write_text(
            f"plant: {self.plant}\nfieldbus: 127.0.0.1:{self.fieldbus}\nbroker: 127.0.0.1:{self.gateway_broker}\n"
            f"data: {self.edge}\nhist_rate: 2000\n"
        )

    @property
    def plant(self) -> Path:
        return self.folder / "faults.yaml"

    @property
    def edge(self) -> Path:
        return self.folder / "edge"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def command(self, name: str) -> list[str]:
        """How a process is started."""
        ours = [sys.executable, str(ROOT / "plantwin.py")]
        if name == "gateway":
            return [*ours, "gateway", "--config", str(self.folder / "gateway.yaml")]
        if name == "follower":
            return [sys.executable, "-m", "tests.faults.follower", str(self.data), str(self.plant)]
        if name == "ingest" and self.segment is None:
            line = ["--site", "demo", "--area", "machining", "--line", "faults"]
            more = ["--port", "0", "--journal-hours", "0", "--reserve-mb", "1"]
            where = ["--broker", f"127.0.0.1:{self.ingest_broker}", "--data", str(self.data)]
            return [*ours, "ingest", *where, *line, *more]
        if name == "ingest":
            call = [str(self.data), str(self.ingest_broker), str(self.segment)]
            return [sys.executable, "-m", "tests.faults.small_segments", *call]
        program = mosquitto_path()
        if program is None:
            return [*ours, "broker", "--port", str(self.broker_port), "--data", str(self.folder / "broker")]
        config = self.folder / "broker" / "mosquitto.conf"
        config.write_text(local_config(Options(self.broker_port)))
        return [program, "-c", str(config)]

    def start(self, name: str) -> None:
        """Start a process; its output is appended to NAME.log."""
        if name != "broker":
            self.said(name).unlink(missing_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name), stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT
            )

    def said(self, name: str) -> Path:
        """The file by which a process says that it is ready."""
        return (self.edge if name == "gateway" else self.data) / "run" / f"{name}.json"

    def ready(self, name: str) -> bool:
        """Has the process said so?"""
        if name == "broker":
            return open_port(self.broker_port)
        return self.said(name).exists()

    def compactor(self) -> int | None:
        """The process id of the store's compactor, a child of ingest."""
        found = children(self.processes["ingest"].pid) if "ingest" in self.processes else {}
        return next((pid for pid, line in found.items() if "ingest.compactor" in line), None)

    async def wait(self, name: str, pid: int | None = None) -> float:
        """Seconds until a process is ready (the compactor: until another than `pid` has said something)."""
        begin = time.monotonic()
        told = self.data / "run" / "sink-history.json"
        since = time.time()
        while True:
            if name == "compactor":
                now = self.compactor()
                if now not in (None, pid) and told.exists() and told.stat().st_mtime > since:
                    break
            elif self.ready(name):
                break
            if time.monotonic() - begin > PATIENCE_S:
                raise AssertionError(f"{name} did not come back in {PATIENCE_S:g} s: {self.tail(name)}")
            await asyncio.sleep(0.02)
        return time.monotonic() - begin

    async def kill(self, name: str) -> float:
        """kill -9, and start anew what nobody else starts; seconds until it is back."""
        if name == "compactor":
            pid = await self._there()
            os.kill(pid, signal.SIGKILL)
            return await self.wait(name, pid)
        process = self.processes[name]
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        assert process.returncode == -signal.SIGKILL, f"{name} had ended by itself: {self.tail(name)}"
        begin = time.monotonic()
        self.start(name)
        await self.wait(name)
        return time.monotonic() - begin

    async def _there(self) -> int:
        """The compactor's process id, as soon as there is one."""
        while True:
            if (pid := self.compactor()) is not None:
                return pid
            await asyncio.sleep(0.05)

    def tail(self, name: str) -> str:
        """The end of what it has said."""
        path = self.folder / f"{'ingest' if name == 'compactor' else name}.log"
        return path.read_text(errors="replace")[-1500:] if path.exists() else "nothing said"

    def pids(self) -> dict[str, int]:
        """Process ids by name, as far as they run."""
        found = {name: p.pid for name, p in self.processes.items() if p.poll() is None}
        pid = self.compactor()
        return found | ({"compactor": pid} if pid else {})

    async def stop(self, name: str, seconds: float = 30.0) -> int:
        """End a process decently; its exit code."""
        process = self.processes[name]
        process.terminate()
        return await asyncio.to_thread(process.wait, seconds)

    def end(self) -> None:
        """Leave nothing behind."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def ports(count: int) -> list[int]:
    """Free ports, different ones."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
