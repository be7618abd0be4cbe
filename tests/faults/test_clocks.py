"""The machine's clock steps by two hours: intervals go on, leases end when they should, and the step is told."""

from __future__ import annotations

import logging
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from hardware.gateway import Gateway
from hardware.pace import SteadyWall
from hardware.store import Store
from ingest import service as ingest_service
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.message import Message
from ingest.service import Service, Settings
from ingest.topicmap import TopicMap
from sim.plantfile import load
from tests.hardware.test_gateway_inside import HELLO, TAGS, hear, on_loop
from tests.ingest.kit import CELL1, LINE, birth, data
from twin import engine as twin_engine
from twin.engine import STALE_S, Engine
from twin.engine import Settings as EngineSettings

HOURS = 2 * 3_600_000


class Clocks:
    """A wall clock (ms) and a monotonic one (s); `step` sets the wall clock only."""

    def __init__(self) -> None:
        self.ms, self.s = 1_767_600_000_000, 1_000.0

    def wall(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.s

    def run(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        self.s += seconds

    def step(self, ms: int) -> None:
        self.ms += ms


def service_of(folder: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(ingest_service, "wall_ms", clocks.wall)
    service = Service(Settings(folder, "127.0.0.1", 1, LINE))
    service.steady = SteadyWall(clocks.wall, clocks.monotonic)
    return service


@pytest.mark.parametrize("step", [HOURS, -HOURS])
def test_ingest_s_ticks_go_on_and_the_step_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    clocks = Clocks()
    service = service_of(tmp_path, clocks, monkeypatch)
    ticks: list[int] = []
    try:
        service.intake.take([Message(f"{CELL1}/birth", birth(speed=None), True, clocks.wall())])
        with caplog.at_level(logging.WARNING, "ingest"):
            for second in range(20):
                if second == 10:
                    clocks.step(step)
                clocks.run(1.0)
                service._next_tick = 0.0
                batch = service.intake.take([])
                service._tick()
                ticks += [row[1] for row in batch.rows if row[2] == "tick"]
        assert len(ticks) == 20
        assert [b - a for a, b in pairwise(ticks)] == [1000] * 19
        told = [record.getMessage() for record in caplog.records if "stepped" in record.getMessage()]
        assert told == [f"the machine's clock is {step / 1000:.1f} s off since it stepped; plant time goes on unmoved"]
        # what comes without a time of its own is placed by the same clock, and what is asked of the journal again too
        assert abs(service.intake.now(clocks.wall()) - ticks[-1]) < 1000
        assert abs(service._intake().now(clocks.wall()) - ticks[-1]) < 1000
    finally:
        service.storage.close()
        service.journal.close()


@pytest.mark.parametrize("step", [HOURS, -HOURS])
def test_a_message_is_taken_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    clocks = Clocks()
    service = service_of(tmp_path, clocks, monkeypatch)
    try:
        assert service._write([Message(f"{CELL1}/birth", birth(), True, clocks.wall(), qos=1)], [])
        for n in range(1, 11):
            if n == 6:
                clocks.step(step)
            clocks.run(0.1)
            assert service._write([Message(f"{CELL1}/data", data(n), False, clocks.wall(), n, 1)], [])
        assert service.intake.marks[CELL1, "e1"].hw == 10  # order is that of the numbers
    finally:
        service.storage.close()
        service.journal.close()


@pytest.mark.parametrize("step", [HOURS, -HOURS])
def test_a_lease_ends_after_its_own_time(tmp_path: Path, step: int, capsys: pytest.CaptureFixture[str]) -> None:
    clocks = Clocks()

    def story(gateway: Gateway, _: Store) -> None:
        gateway.steady = SteadyWall(clocks.wall, clocks.monotonic)
        hear(gateway, {"hello": {**HELLO, "wall": clocks.wall(), "tags": TAGS}})
        begun = gateway.now()
        clocks.run(10)
        clocks.step(step)
        assert gateway.now() - begun == 10_000 * HELLO["speed"], "leases are judged by this clock"
        gateway._next["snapshot"] = 0.0
        gateway._watched = False
        gateway._periodic()
        assert f"the machine's clock is {step / 1000:.1f} s off since it stepped" in capsys.readouterr().out
        clocks.run(10)
        assert gateway.now() - begun == 20_000 * HELLO["speed"]

    on_loop(story, tmp_path)


def test_the_twin_knows_that_its_data_are_old_when_the_clock_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks()
    monkeypatch.setattr(twin_engine, "time", clocks)
    engine = Engine(EngineSettings(tmp_path, load("line3")), clocks.wall)
    with closing(Journal(tmp_path / "journal.db")) as journal:
        intake = Intake.restore(LINE, TopicMap(), journal)
        journal.commit(intake.take([Message(f"{CELL1}/birth", birth(), True, clocks.wall())]))
        engine.poll()
        assert engine.stale() == ""
        clocks.step(-HOURS)
        assert engine.stale() == ""
        clocks.run(STALE_S + 1)
        assert "no row for" in engine.stale()
        journal.commit(intake.take([Message(f"{CELL1}/data", data(1), False, clocks.wall())]))
        engine.poll()
        assert engine.stale() == ""
