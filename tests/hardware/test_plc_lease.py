"""Leases through the real gateway process to the function block of docs/plc.md, over OPC UA and over Modbus."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hardware.outbox import issued
from ingest.keys import load_private, make_keys, sign
from ingest.wire import Cmd, encode, wall_ms
from tests.hardware.fakes import ROOT, FakeTwin, Running, wait_until
from tests.hardware.plc import Controller, ModbusPlc, OpcUaPlc, tags_of, words_of

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.parametrize("broker", ["embedded"], indirect=True)  # the broker plays no part in it


@pytest.fixture(params=[OpcUaPlc, ModbusPlc])
def plc(request: pytest.FixtureRequest) -> Iterator[Controller]:
    plc: Controller = request.param()
    plc.start()
    yield plc
    plc.stop()


@dataclass
class Gateway:
    """`plantwin gateway --config FILE` between a controller and a broker."""

    data: Path
    plc: Controller
    broker: Running
    changes: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    sent: int = 0

    def start(self) -> None:
        assert isinstance(self.plc, OpcUaPlc | ModbusPlc)
        config = {
            "plant": "line3",
            "fieldbus": self.plc.url,
            "broker": self.broker.address,
            "data": str(self.data),
            "tags": tags_of(self.plc),
            "plc": words_of(self.plc) | {"readback_s": 1.0},
            "modbus": {"poll_s": 0.1},
            "opcua": {"publish_ms": 100, "sampling_ms": 50},
        }
        (self.data / "gateway.yaml").write_text(json.dumps(config | self.changes))  # JSON is YAML
        command = [sys.executable, "plantwin.py", "gateway", "--config", str(self.data / "gateway.yaml")]
        with (self.data / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def send(self, twin: FakeTwin, value: int, lease_s: int = 3600) -> str:
        """A signed command; its id."""
        self.sent += 1
        now = wall_ms()
        cmd = Cmd(
            id=f"c-{self.sent}", target="cap", value=value, not_before=now - 1000, expires=now + 60_000,
            lease_s=lease_s, state="sha256:x", rec="r-1", issuer="twin@demo", sig="", to=ROOT,
        )  # fmt: skip
        twin.send(f"{ROOT}/cmd/{cmd.id}", encode(sign(cmd, load_private(self.data))))
        return cmd.id


@pytest.fixture
def gateway(tmp_path: Path, plc: Controller, broker: Running) -> Iterator[Gateway]:
    make_keys(tmp_path)
    gateway = Gateway(tmp_path, plc, broker)
    yield gateway
    if gateway.process is not None and gateway.process.poll() is None:
        gateway.end(signal.SIGKILL)


def last_ack(twin: FakeTwin, ident: str, step: str) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        return [a for a in twin.acks if a["id"] == ident and a["step"] in (step, "rejected", "executed")]

    wait_until(lambda: any(a["step"] in (step, "rejected") for a in found()), f"{step} of {ident}; {twin.acks}", 20)
    return next(a for a in found() if a["step"] in (step, "rejected"))


def listening(twin: FakeTwin, gateway: Gateway) -> None:
    """Until the gateway has told the setpoint: then it can be commanded."""
    gateway.start()

    def known() -> bool:
        numbers = issued(gateway.data / "outbox.db") if (gateway.data / "outbox.db").exists() else {}
        return any("set/cap" in twin.values(ROOT, e) for _, e in numbers)

    wait_until(known, f"the setpoint is told; {(gateway.data / 'gateway.log').read_text()}", 30)


def test_a_killed_gateway_leaves_a_setpoint_that_the_plc_takes_back(
    gateway: Gateway, plc: Controller, twin: FakeTwin
) -> None:
    listening(twin, gateway)
    ident = gateway.send(twin, 9)
    ack = last_ack(twin, ident, "executed")
    assert (ack["step"], ack.get("read_back")) == ("executed", 9), ack
    wait_until(lambda: plc.block["diValue"] == 9, "the value has followed")
    time.sleep(plc.timeout_ms / 1000 + 0.5)
    assert plc.block["xLeased"]  # the heartbeat holds it
    assert len(plc.beats) >= 3
    gateway.end(signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: plc.block["diSetpoint"] == 6, "the PLC falls back", 10)
    assert plc.block["uiState"] == 2
    fell = next(t for t, setpoint, _ in plc.trace if t > killed and setpoint == 6)
    assert fell - killed <= plc.timeout_ms / 1000 + 1.0
    wait_until(lambda: plc.block["diValue"] == 6, "the value walks back")
    values = [(t, v) for t, _, v in plc.trace if t > killed]
    assert [v for (_, v), (_, w) in pairwise(values) if v != w] == [9, 8, 7]  # without a bump
    gateway.start()
    ack = last_ack(twin, ident, "lease_ended")
    assert ack["read_back"] == 6


def test_a_change_at_the_machine_ends_the_lease_and_no_renewal_overwrites_it(
    gateway: Gateway, plc: Controller, twin: FakeTwin
) -> None:
    listening(twin, gateway)
    first = gateway.send(twin, 9)
    assert last_ack(twin, first, "executed")["step"] == "executed"
    plc.panel(4)
    renewal = gateway.send(twin, 9)  # at once: the gateway may not have seen the hand at the panel yet
    told = last_ack(twin, renewal, "executed")
    assert told["step"] == "rejected", told
    assert told["reason"].startswith(("write_failed", "too_soon")), told
    ended = last_ack(twin, first, "lease_ended")
    assert ended["reason"].startswith("changed_at_machine"), ended
    assert ended["read_back"] == 4
    assert plc.block["diSetpoint"] == 4
    assert gateway.end(signal.SIGTERM) == 0
    time.sleep(plc.timeout_ms / 1000 + 0.3)
    assert plc.block["diSetpoint"] == 4  # nothing is leased any more: silence changes nothing
    after = plc.trace[[s for _, s, _ in plc.trace].index(4) :]
    assert {setpoint for _, setpoint, _ in after} == {4}


@pytest.mark.parametrize("plc", [ModbusPlc], indirect=True)  # the protocol plays no part in it
def test_a_lease_that_ends_in_its_time_is_given_back_by_the_gateway(
    gateway: Gateway, plc: Controller, twin: FakeTwin
) -> None:
    listening(twin, gateway)
    ident = gateway.send(twin, 9, lease_s=2)
    ack = last_ack(twin, ident, "lease_ended")
    assert ack["reason"].startswith("expired"), ack
    assert (plc.block["diSetpoint"], plc.block["xLeased"], plc.block["uiState"]) == (6, 0, 0)


@pytest.mark.parametrize("plc", [ModbusPlc], indirect=True)  # the protocol plays no part in it
def test_without_a_heartbeat_word_commands_are_refused_with_the_reason(
    gateway: Gateway, plc: Controller, twin: FakeTwin
) -> None:
    gateway.changes["plc"] = {key: v for key, v in words_of(plc).items() if key != "heartbeat"}
    listening(twin, gateway)
    ack = last_ack(twin, gateway.send(twin, 9), "rejected")
    assert ack["reason"].startswith("advisory: no heartbeat word is configured for cap")
    assert plc.block["diSetpoint"] == 6
    assert plc.beats == {0}


@pytest.mark.parametrize("plc", [OpcUaPlc], indirect=True)  # Modbus carries no time
def test_a_controller_whose_clock_is_an_hour_behind_is_told_corrected_and_flagged(
    gateway: Gateway, plc: OpcUaPlc, twin: FakeTwin
) -> None:
    plc.skew_s = -3600.0
    listening(twin, gateway)
    sent: dict[int, int] = {}
    for count in range(1, 41):
        sent[count] = wall_ms()
        plc.set("turn/count", count)
        time.sleep(0.05)
    (epoch,) = {e for _, e in issued(gateway.data / "outbox.db")}
    wait_until(lambda: twin.values(ROOT, epoch)["turn/count"][-1][1] == 40, "the last count")
    values = twin.values(ROOT, epoch)
    skew = values["clock/skew_ms"][-1][1]
    assert 3_600_000 <= skew < 3_605_000
    rows = [(t, int(v), q) for t, v, q in values["turn/count"] if v in sent]
    assert [v for _, v, _ in rows] == sorted(v for _, v, _ in rows)
    assert all(q == 1 for _, v, q in rows if v > 0)  # uncertain: the time is a guess
    assert all(abs(t - sent[v]) < 5000 for t, v, _ in rows)
    assert [t for t, _, _ in rows] == sorted(t for t, _, _ in rows)
