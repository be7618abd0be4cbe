"""The conformance check against our own gateway and virtual plant, and against gateways that break the active rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.commands import Shot, Storm
from ingest.conformance import RULES, check
from ingest.conformance_active import ACTIVE, Order, TwinOnline
from ingest.conformance_active import run as talk
from ingest.conformance_commands import COMMANDS
from ingest.conformance_live import Target
from ingest.conformance_log import Log
from ingest.keys import load_private, make_keys
from tests.hardware.fakes import ROOT, FakeTwin, Running, wait_until
from tests.hardware.test_gateway import Floor, GatewayProcess


@pytest.fixture
def process(tmp_path: Path, broker: Running) -> Iterator[GatewayProcess]:
    """Our gateway at a virtual plant."""
    make_keys(tmp_path)
    floor = Floor()
    floor.start()
    process = GatewayProcess(tmp_path, floor.port, broker)
    process.start()
    yield process
    process.end()
    floor.stop()


@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.slow)], indirect=True)
def test_our_own_gateway_keeps_every_rule(process: GatewayProcess, broker: Running, tmp_path: Path) -> None:
    order = Order("cap", 8, load_private(tmp_path))
    target = Target("127.0.0.1", broker.port, ROOT)
    wait_until((tmp_path / "run" / "gateway.json").exists, "the gateway", 30)
    messages, findings = talk(target, 2.0, order, (8.0, 0.8))
    findings += check(Log.of(messages, ROOT))
    broken = {one.rule: (one.why, one.samples) for one in findings if one.verdict == "fail"}
    assert broken == {}, process.log()
    unjudged = {one.rule: one.why for one in findings if one.verdict == "unjudged"}
    assert set(unjudged) <= {"will", "sequence-holes"}, unjudged
    assert len(findings) == len(RULES) + len(ACTIVE) + len(COMMANDS)


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_it_does_not_answer_beside_a_twin(broker: Running, twin: FakeTwin) -> None:
    wait_until(twin.client.is_connected, "the twin")
    with pytest.raises(TwinOnline, match="a twin is online"):
        talk(Target("127.0.0.1", broker.port, ROOT), 0.5)


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_a_storm_through_a_broker_changes_nothing(broker: Running, twin: FakeTwin, tmp_path: Path) -> None:
    """Retained ones wait for the gateway; the others come at once. The plant's setpoint stays what it was."""
    make_keys(tmp_path)
    floor = Floor()
    floor.start()
    makes = Storm(3, load_private(tmp_path), [])
    for shot in (makes.forged(), makes.unsigned(), makes.retained()):
        twin.send(f"{ROOT}/cmd/{shot.ident}", shot.body, retain=True)
    gateway = GatewayProcess(tmp_path, floor.port, broker)
    gateway.start()
    try:
        wait_until(lambda: any(twin.got.values()), "the gateway", 30)
        before = [floor.plant.shop.settings[c.sets] for c in floor.plant.plant.controls]
        kinds: tuple[Callable[[], Shot], ...] = (
            makes.unsigned,
            makes.forged,
            makes.tampered,
            makes.wrong_role,
            makes.wrong_site,
            makes.elsewhere,
        )
        kinds += (makes.expired, makes.unknown, makes.rubbish)
        shots = [kinds[n % len(kinds)]() for n in range(400)]
        for shot in shots:
            twin.client.publish(f"{ROOT}/cmd/{shot.ident}", shot.body, 1)
        last = makes.forged()

        def answered() -> bool:  # strangers are answered once a second, so the last one must be asked for
            twin.send(f"{ROOT}/cmd/{last.ident}", last.body)
            time.sleep(0.4)
            return any(a["id"] == last.ident for a in twin.acks)

        wait_until(answered, "the answer to the last one")
        steps = {a["step"] for a in twin.acks}
        assert "rejected" in steps
        assert not steps & {"accepted", "executed"}
        assert [floor.plant.shop.settings[c.sets] for c in floor.plant.plant.controls] == before
    finally:
        gateway.end()
        floor.stop()
