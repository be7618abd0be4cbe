"""A line under fire: readings of known content through real processes while these are killed and cut off."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hardware.outbox import pending
from ingest.journal import Journal
from tests.faults.check import Verdict, check
from tests.faults.floor import WIDTH, Bus, Floor
from tests.faults.follower import once
from tests.faults.proxy import FaultProxy
from tests.faults.rig import KINDS, PATIENCE_S, ROOT, Rig, ports

FULL = 3_000
"""Unconfirmed messages at which the plant holds its breath, so that a slow machine measures the same."""


@dataclass(frozen=True)
class Plan:
    """What is to be done. `segment` as in `Rig`; `cut_every_s` is the mean time between faults of each proxy."""

    readings: int = 1_000_000
    kills: int = 24
    seed: int = 1
    rate: float = 4_000.0
    segment: int | None = None
    cut_every_s: float = 8.0
    follow: bool = True
    drain_s: float = 180.0

    @property
    def steps(self) -> int:
        """Steps of the plant: some more than the readings need, because a killed gateway takes a few with it."""
        return self.readings // WIDTH + self.readings // 5_000 + 1


@dataclass
class Outcome:
    """What came of it: kills by process, seconds until each was back, faults of the network, the verdict."""

    plan: Plan
    broker: str
    kills: dict[str, int] = field(default_factory=dict)
    back_s: dict[str, list[float]] = field(default_factory=dict)
    network: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    drain_s: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    hash_live: str = ""  # of the follower that was killed as well
    hash_replay: str = ""  # of one uninterrupted replay
    rows: int = 0  # of the journal and its archive
    trimmed: int = 0  # of them in the archive only

    def facts(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def schedule(plan: Plan) -> list[tuple[float, str]]:
    """(share of the readings, process) of every kill: all processes in turn, in shuffled order, at jittered places."""
    rnd = random.Random(plan.seed)
    kinds = [*KINDS, "follower"] if plan.follow else list(KINDS)
    names: list[str] = []
    while len(names) < plan.kills:
        names += rnd.sample(kinds, len(kinds))
    return [((n + rnd.uniform(0.2, 0.8)) / plan.kills, name) for n, name in enumerate(names[: plan.kills])]


async def _kill_all(rig: Rig, bus: Bus, plan: Plan, outcome: Outcome) -> None:
    steps, rnd = plan.steps, random.Random(plan.seed + 1)
    for share, name in schedule(plan):
        await bus.reach(share * steps)
        await asyncio.sleep(rnd.random() * 0.1)
        outcome.back_s.setdefault(name, []).append(round(await rig.kill(name), 2))
        outcome.kills[name] = outcome.kills.get(name, 0) + 1


async def _hold_back(rig: Rig, bus: Bus) -> None:
    while True:
        bus.asleep = pending(rig.edge / "outbox.db") > FULL
        await asyncio.sleep(0.25)


async def _drain(rig: Rig, seconds: float) -> None:
    end = time.monotonic() + seconds
    while left := pending(rig.edge / "outbox.db"):
        if time.monotonic() > end:
            raise AssertionError(f"{left} messages are still unconfirmed; {rig.tail('gateway')} {rig.tail('ingest')}")
        await asyncio.sleep(0.2)


async def _end(rig: Rig, outcome: Outcome) -> None:
    """Everything decently to its end: the last words are journaled, the journal is compacted, the hash is told."""
    for name in ("gateway", "ingest"):
        code = await rig.stop(name)
        assert code == 0, f"{name} ended with {code}: {rig.tail(name)}"
    (rig.data / "run" / "done").touch()
    if "follower" in rig.processes:
        await asyncio.to_thread(rig.processes["follower"].wait, 300)
        outcome.hash_live = (rig.data / "run" / "follower-hash").read_text()
    command = [sys.executable, str(ROOT / "plantwin.py"), "compact", "--data", str(rig.data)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, cwd=ROOT, timeout=300)


async def run(folder: Path, plan: Plan, show: Callable[[float, str], None] = lambda *_: None) -> Outcome:
    """Carry a plan out in an empty folder."""
    floor = Floor()
    (broker_port,) = ports(1)
    begin = time.monotonic()
    async with (
        Bus(floor) as bus,
        FaultProxy(broker_port, plan.seed) as edge,
        FaultProxy(broker_port, plan.seed + 1) as middle,
    ):
        rig = Rig(folder, bus.port, edge.port, middle.port, broker_port, plan.segment)
        outcome = Outcome(plan, rig.kind)
        tasks: list[asyncio.Task[None]] = []
        try:
            for name in ("broker", "ingest", "gateway", *(["follower"] if plan.follow else [])):
                rig.start(name)
                await rig.wait(name)
            tasks = [
                asyncio.create_task(work)
                for work in (
                    bus.run(plan.steps, plan.rate), _kill_all(rig, bus, plan, outcome),
                    edge.trouble(plan.cut_every_s), middle.trouble(plan.cut_every_s), _hold_back(rig, bus),
                )
            ]  # fmt: skip
            await _watch(tasks, floor, plan, outcome, show)
            for task in tasks[2:4]:
                task.cancel()
            drained = time.monotonic()
            await _drain(rig, plan.drain_s)
            outcome.drain_s = round(time.monotonic() - drained, 1)
            outcome.network = {"gateway": dict(edge.counts), "ingest": dict(middle.counts)}
            await _end(rig, outcome)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            rig.end()
    outcome.verdict = await asyncio.to_thread(check, rig.data, rig.edge / "outbox.db", floor)
    reader = Journal.open_reader(rig.data / "journal.db")
    outcome.trimmed = reader.trimmed()
    reader.close()
    if plan.follow:
        outcome.hash_replay, outcome.rows = await asyncio.to_thread(once, rig.data, str(rig.plant))
    outcome.seconds = round(time.monotonic() - begin, 1)
    return outcome


async def _watch(
    tasks: list[asyncio.Task[None]], floor: Floor, plan: Plan, outcome: Outcome, show: Callable[[float, str], None]
) -> None:
    """Until all readings are told and all kills done; a task that fails ends it, and so does standing still."""
    steps, moved, last = plan.steps, time.monotonic(), 0
    while not all(task.done() for task in tasks[:2]):
        await asyncio.sleep(0.2)
        for task in tasks:
            if task.done():
                task.result()
        if len(floor.times) != last:
            moved, last = time.monotonic(), len(floor.times)
        if time.monotonic() - moved > 2 * PATIENCE_S:
            raise AssertionError(f"nothing moves since step {last} of {steps}; kills so far {outcome.kills}")
        show(last / steps, f"kills {sum(outcome.kills.values())}/{plan.kills}")
