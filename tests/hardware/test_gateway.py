"""The gateway between a real fieldbus, a real broker and a twin that only stores: kills and outages lose nothing."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hardware.fieldbus import FieldbusClient, FieldbusServer
from hardware.outbox import issued, pending
from hardware.twist import Twist
from hardware.virtual_plant import Options, VirtualPlant
from ingest.keys import load_private, make_keys, sign
from ingest.wire import Cmd, PlantClock, encode
from sim.plantfile import load
from tests.hardware.fakes import ROOT, FakeTwin, Running, wait_until

PROJECT = Path(__file__).parents[2]


@dataclass
class Floor:
    """A virtual plant with its fieldbus in a thread of the test."""

    speed: float = 120.0
    plant: VirtualPlant = field(init=False)
    port: int = 0
    extra: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        ready = threading.Event()
        self._stop = threading.Event()

        async def live() -> None:
            self.plant = VirtualPlant(load("line3"), Options(seed=3, speed=self.speed, warmup_s=86400.0, twist=Twist()))
            async with FieldbusServer(self.plant, self.port) as bus:
                self.port, self.plant.emit = bus.port, bus.send
                ready.set()
                while not self._stop.is_set():
                    self.plant.advance()
                    self.plant.check_heartbeat()
                    while self.extra:
                        bus.send(self.extra.pop(0))
                    await asyncio.sleep(0.02)

        self._thread = threading.Thread(target=asyncio.run, args=(live(),))
        self._thread.start()
        assert ready.wait(20)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def touch(self, tag: str, value: int) -> dict[str, Any]:
        """A hand at the machine."""

        async def write() -> dict[str, Any]:
            client = FieldbusClient("127.0.0.1", self.port, lambda _: None)
            task = asyncio.get_running_loop().create_task(client.run_once())
            while not client.connected:  # noqa: ASYNC110 - a test may poll
                await asyncio.sleep(0.01)
            answer = await client.write(tag, value, local=True)
            task.cancel()
            return answer

        return asyncio.run(write())


@pytest.fixture
def floor() -> Iterator[Floor]:
    floor = Floor()
    floor.start()
    yield floor
    floor.stop()


@dataclass
class GatewayProcess:
    """`plantwin gateway` as its users run it."""

    data: Path
    fieldbus: int
    broker: Running
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        bus = f"127.0.0.1:{self.fieldbus}"
        command = [
            sys.executable,
            "plantwin.py",
            "gateway",
            "line3",
            "--fieldbus",
            bus,
            "--broker",
            self.broker.address,
        ]
        with (self.data / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--data", str(self.data)], cwd=PROJECT, stdout=log, stderr=log)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def log(self) -> str:
        return (self.data / "gateway.log").read_text()


@pytest.fixture
def gateway(tmp_path: Path, floor: Floor, broker: Running) -> Iterator[GatewayProcess]:
    make_keys(tmp_path)
    process = GatewayProcess(tmp_path, floor.port, broker)
    process.start()
    yield process
    if process.process is not None and process.process.poll() is None:
        process.process.kill()
        process.process.wait()


def epoch(gateway: GatewayProcess) -> str:
    return next(e for (_, e) in issued(gateway.data / "outbox.db"))


def drained(gateway: GatewayProcess, twin: FakeTwin) -> bool:
    """Every number issued is at the twin, and the outbox knows it."""
    numbers = issued(gateway.data / "outbox.db")
    return (
        bool(numbers)
        and all(twin.hw.get(k) == n for k, n in numbers.items())
        and not pending(gateway.data / "outbox.db")
    )


def command(gateway: GatewayProcess, floor: Floor, ident: str, value: int, lease_s: int = 3600) -> Cmd:
    pace = floor.plant.pace
    now = PlantClock(pace.origin, pace.wall, pace.speed).now()
    cmd = Cmd(
        id=ident, target="cap", value=value, not_before=now - 1000, expires=now + 600_000, lease_s=lease_s,
        state="sha256:x", rec="r-1", issuer="twin@demo", sig="", to=ROOT,
    )  # fmt: skip
    return sign(msgspec.structs.replace(cmd), load_private(gateway.data))


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)  # the broker plays no part in it
def test_readings_arrive_as_the_plant_has_them_and_a_clean_stop_leaves_nothing(
    gateway: GatewayProcess, floor: Floor, twin: FakeTwin
) -> None:
    wait_until(lambda: any(len(g) > 60 for g in twin.got.values()), "sixty messages", 30)
    assert gateway.end() == 0
    wait_until(lambda: drained(gateway, twin), "the outbox is drained")
    e = epoch(gateway)
    values = twin.values(ROOT, e)
    assert set(values) == {s.tag for s in floor.plant.plant.sensors} | {"mode", "set/cap"}
    counts = [v for _, v, _ in values["wash/count"]]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert all(rows[-1][2] == 2 for rows in values.values())  # stale: nobody watches any more
    birth = twin.births[0]
    assert birth["plant_time"] == {"origin": floor.plant.pace.origin, "speed": 120.0, "wall": floor.plant.pace.wall}
    ends = [
        json.loads(body)
        for kind, body in twin.got[(ROOT, e)].values()
        if kind == "event" and b'"wash"' in body and b"work_end" in body
    ]
    shown = {t: v for t, v, _ in values["wash/count"]}
    assert ends
    assert all(shown[event["t"]] == event["count"] for event in ends)  # events lead to what the counter says


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
@pytest.mark.usefixtures("gateway")
def test_a_fieldbus_that_goes_away_is_in_the_retained_status(floor: Floor, twin: FakeTwin) -> None:
    wait_until(lambda: bool(twin.status) and twin.status[-1]["online"], "the gateway is online", 30)
    assert "degraded" not in twin.status[-1]
    floor.stop()
    wait_until(lambda: "degraded" in twin.status[-1], "it tells that it is degraded", 20)
    (told,) = twin.status[-1]["degraded"]
    assert (told["what"], told["text"]) == ("fieldbus_down", "the fieldbus does not answer: every value is stale")
    lasted = (twin.status[-1]["ts"] - told["since"]) / 120
    assert 2_500 < lasted < 20_000, "since the moment it went, in plant time"


def test_kill_9_at_seeded_moments_loses_no_number(gateway: GatewayProcess, twin: FakeTwin) -> None:
    rng = random.Random(11)
    for _ in range(4):
        wait_until(lambda: bool(issued(gateway.data / "outbox.db")), "the outbox exists")
        time.sleep(rng.uniform(0.2, 1.5))
        gateway.end(signal.SIGKILL)
        gateway.start()
    before = sum(twin.hw.values())
    wait_until(lambda: sum(twin.hw.values()) > before + 40, "it goes on", 30)
    gateway.end()
    wait_until(lambda: drained(gateway, twin), "the outbox is drained")
    assert len({e for _, e in twin.got}) == 1  # one epoch through all of it
    assert twin.conflicts == 0
    (numbers,) = twin.got.values()
    assert sorted(numbers) == list(range(1, max(numbers) + 1))
    counts = [v for _, v, _ in twin.values(ROOT, epoch(gateway))["wash/count"]]
    assert counts == sorted(counts)


def test_broker_away_and_twin_away_only_delay(gateway: GatewayProcess, twin: FakeTwin, broker: Running) -> None:
    wait_until(lambda: sum(twin.hw.values()) > 10, "it runs", 30)
    broker.broker.stop()
    time.sleep(2.0)
    broker.start()
    wait_until(lambda: any(k == "hist" for g in twin.got.values() for k, _ in g.values()), "backlog as history", 30)
    twin.online(False)
    time.sleep(0.5)
    at = sum(len(g) for g in twin.got.values())
    time.sleep(1.5)
    assert sum(len(g) for g in twin.got.values()) == at  # it buffers while the twin is away
    twin.online(True)
    wait_until(lambda: sum(len(g) for g in twin.got.values()) > at + 10, "it goes on")
    gateway.end()
    wait_until(lambda: drained(gateway, twin), "the outbox is drained")
    (numbers,) = twin.got.values()
    assert sorted(numbers) == list(range(1, max(numbers) + 1))


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("broker", ["embedded"], indirect=True)  # the broker plays no part in it
def test_a_replay_brings_the_original_and_a_rebirth_the_birth(twin: FakeTwin) -> None:
    twin.acknowledging = False
    wait_until(lambda: any(len(g) > 30 for g in twin.got.values()), "thirty messages", 30)
    (source,) = twin.got
    before = dict(twin.got[source])
    duplicates, births = twin.duplicates, len(twin.births)
    far = 4_000_000_000_000
    twin.send(f"{ROOT}/req", {"e": source[1], "want": "replay", "from": 5, "to": 14, "expires": far})
    wait_until(lambda: twin.duplicates >= duplicates + 10, "ten numbers again")
    twin.send(f"{ROOT}/req", {"e": source[1], "want": "replay", "from": 5, "to": 14, "expires": 1})
    twin.send(f"{ROOT}/req", {"e": source[1], "want": "replay", "from": 9, "to": 3, "expires": far})
    twin.send(f"{ROOT}/req", b"\xff\xfe not json")
    twin.send(f"{ROOT}/req", {"want": "rebirth", "expires": far})
    wait_until(lambda: len(twin.births) > births, "the birth again")
    time.sleep(0.5)
    assert twin.duplicates == duplicates + 10  # the expired and the senseless ones were left alone
    assert twin.conflicts == 0
    assert all(twin.got[source][s] == before[s] for s in range(5, 15))


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)  # the broker plays no part in it
def test_a_signed_command_works_and_the_operator_wins(gateway: GatewayProcess, floor: Floor, twin: FakeTwin) -> None:
    wait_until(lambda: sum(twin.hw.values()) > 5, "it runs", 30)
    cmd = command(gateway, floor, "c-1", 8)
    twin.send(f"{ROOT}/cmd/c-1", encode(msgspec.structs.replace(cmd, value=7)))
    wait_until(lambda: [a["step"] for a in twin.acks] == ["rejected"], "the altered one is refused")
    assert floor.plant.shop.settings["release.housing.cap"] == 6
    twin.send(f"{ROOT}/cmd/c-1", encode(cmd))
    wait_until(lambda: len(twin.acks) == 4, "three steps")
    assert [a["step"] for a in twin.acks[1:]] == ["received", "accepted", "executed"]
    assert floor.plant.shop.settings["release.housing.cap"] == twin.acks[-1]["read_back"] == 8
    assert floor.touch("set/cap", 5)["ok"]
    wait_until(lambda: twin.acks[-1]["step"] == "lease_ended", "the lease is over")
    assert twin.acks[-1]["reason"].startswith("changed_at_machine")
    assert floor.plant.shop.settings["release.housing.cap"] == 5
    assert twin.values(ROOT, epoch(gateway))["set/cap"][-1][1] == 5


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)  # the broker plays no part in it
def test_a_lease_runs_out_and_strange_tags_change_nothing(
    gateway: GatewayProcess, floor: Floor, twin: FakeTwin
) -> None:
    wait_until(lambda: sum(twin.hw.values()) > 5, "it runs", 30)
    now = int(floor.plant.shop.env.now * 1000) + floor.plant.start_ms
    floor.extra.append({"t": now, "v": {"nobody/knows": 1, "b1/level": "NaN", "turn/state": 99, "mill/count": -4}})
    floor.extra.append({"t": now, "event": {"kind": "NOT ALLOWED", "thing": "turn"}})
    floor.extra.append({"what": "is this"})
    twin.send(f"{ROOT}/cmd/c-9", encode(command(gateway, floor, "c-9", 9, lease_s=60)))
    wait_until(lambda: [a["step"] for a in twin.acks][-1:] == ["lease_ended"], "the lease runs out")
    assert twin.acks[-1]["reason"] == "expired: back to 6"
    assert floor.plant.shop.settings["release.housing.cap"] == 6
    values = twin.values(ROOT, epoch(gateway))
    assert max(v for _, v, _ in values["turn/state"]) <= 6
    assert min(v for _, v, _ in values["mill/count"]) >= 0
    assert "tag value: message 1" in gateway.log()
