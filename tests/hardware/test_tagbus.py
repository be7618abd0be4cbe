"""From samples to the gateway's messages: bad values are no values, times are placed, the estimate is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hardware.adapter import Clock, Deliver, FieldbusError, Sample
from hardware.buses import make_bus
from hardware.deviceclock import DeviceClock
from hardware.gateway import Gateway
from hardware.gateway_config import GatewayConfig
from hardware.plcnodes import ControlNodes, PlcNodes, beat
from hardware.store import Store
from hardware.tagbus import CLOCK_TAGS, TagBus
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN
from sim.plantfile import load

NOW = 1_767_600_000_000


class Fake:
    """An adapter that the test plays itself; `obeys` says what a write does to `values`."""

    timed = True
    clock: Clock | None = None
    connected = True

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"serial": 65_535, "cap": 6}
        self.writes: list[Sequence[tuple[str, int]]] = []
        self.obeys: Callable[[dict[str, Any]], None] = lambda _: None

    async def run_once(self, deliver: Deliver) -> None:
        raise NotImplementedError

    async def read(self, raws: Sequence[str]) -> dict[str, Sample]:
        return {raw: Sample(self.values[raw]) for raw in raws if raw in self.values}

    async def write(self, items: Sequence[tuple[str, int]]) -> None:
        self.writes.append(items)
        self.values |= dict(items)
        self.obeys(self.values)


class Bench:
    def __init__(self, names: dict[str, str]) -> None:
        self.told: list[dict[str, Any]] = []
        self.now = NOW
        self.adapter = Fake()
        self.bus = TagBus(self.adapter, names, self.told.append, lambda: self.now, DeviceClock())
        self.bus.holds(PlcNodes("beat", {"cap": ControlNodes("want", "kept", "seen", "serial")}, 0.1), ["cap"])


def test_the_first_image_is_of_now_and_changes_are_of_their_time() -> None:
    bench = Bench({"a": "A", "b": "B", "b2": "B"})
    bench.bus._heard({"A": Sample(1, t=NOW - 5_000_000), "B": Sample(True)}, True)
    hello, image = bench.told
    assert [t["name"] for t in hello["hello"]["tags"]] == ["a", "b", "b2", *CLOCK_TAGS]
    assert image == {"t": NOW, "v": {"a": 1, "b": 1, "b2": 1}, "q": {}, "all": True}
    bench.now += 1000
    bench.bus._heard({"A": Sample(2, t=NOW + 700), "B": Sample(0, t=NOW + 600)}, False)
    assert bench.told[2:] == [
        {"t": NOW + 600, "v": {"b": 0, "b2": 0}, "q": {}},
        {"t": NOW + 700, "v": {"a": 2}, "q": {}},
    ]


def test_a_recordings_clock_is_declared_and_its_times_are_taken() -> None:
    bench = Bench({"a": "A"})
    bench.bus.device = None
    bench.adapter.clock = Clock(NOW - 9000, 60.0, NOW)
    bench.bus._heard({"A": Sample(1, t=NOW - 9000)}, True)
    bench.bus._heard({"A": Sample(2, t=NOW - 8000)}, False)
    bench.bus._heard({"A": Sample(3, t=NOW + 8000)}, False)
    hello = bench.told[0]["hello"]
    assert {k: hello[k] for k in ("origin", "speed", "wall")} == {"origin": NOW - 9000, "speed": 60.0, "wall": NOW}
    assert [m["t"] for m in bench.told[2:]] == [NOW - 8000, NOW]  # never after the present


def test_a_bad_sample_gives_no_value_and_its_note_is_said_once(capsys: Any) -> None:
    bench = Bench({"a": "A"})
    for _ in range(3):
        bench.bus._heard({"A": Sample(0, BAD, None, "BadSensorFailure")}, False)
    assert bench.told[-1] == {"t": NOW, "v": {"a": None}, "q": {"a": BAD}}
    assert capsys.readouterr().out == "gateway: A: BadSensorFailure\n"


def test_skew_is_estimated_from_changes_and_told_as_tags() -> None:
    bench = Bench({"a": "A"})
    bench.bus._heard({"A": Sample(0, t=NOW - 86_400_000)}, True)
    for k in range(1, 40):
        bench.now = NOW + 1000 * k
        bench.bus._heard({"A": Sample(k, t=bench.now - 30 - 7_200_000)}, False)
    told = [m["v"] for m in bench.told if CLOCK_TAGS[0] in m.get("v", {})]
    assert told[0][CLOCK_TAGS[0]] == 7_200_030
    assert told[-1][CLOCK_TAGS[1]] >= 30  # a day-old first image has no part in it
    last = [m for m in bench.told if "a" in m.get("v", {})][-1]
    assert last == {"t": bench.now, "v": {"a": 39}, "q": {"a": UNCERTAIN}}


def test_a_request_is_heartbeat_value_fallback_expected_and_serial_last() -> None:
    bench = Bench({"set/cap": "cap"})
    bench.adapter.obeys = lambda v: v.update(cap=v["want"])

    async def story() -> None:
        assert not (await bench.bus.write("set/cap", 9, 6))["ok"]  # never heard: what would be replaced?
        bench.bus._heard({"cap": Sample(6)}, True)
        assert await bench.bus.write("set/cap", 9, 6) == {"ok": True, "value": 9}
        (alive, *words) = bench.adapter.writes[0]
        assert alive[0] == "beat"
        assert words == [("want", 9), ("kept", 6), ("seen", 6), ("serial", 0)]
        assert await bench.bus.write("set/cap", 6) == {"ok": True, "value": 6}  # given back: nothing is leased
        assert bench.adapter.writes[1][1:] == [("want", 6), ("kept", 6), ("seen", 9), ("serial", 1)]
        bench.adapter.obeys = lambda _: None
        answer = await bench.bus.write("set/cap", 8, 6)
        assert not answer["ok"]
        assert "did not take 8 over, it shows 6" in answer["why"]
        assert "no setpoint" in (await bench.bus.write("a", 1))["why"]

    asyncio.run(story())


def test_a_renewal_is_executed_only_when_the_block_has_looked_at_it() -> None:
    bench = Bench({"set/cap": "cap"})
    bench.bus.holds(
        PlcNodes("beat", {"cap": ControlNodes("want", "kept", "seen", "serial", taken="taken")}, 0.1), ["cap"]
    )
    bench.adapter.values |= {"cap": 9, "taken": 65_535}

    async def story() -> None:
        bench.bus._heard({"cap": Sample(9)}, True)
        answer = await bench.bus.write("set/cap", 9, 6)  # the value stands there, the block is busy
        assert not answer["ok"]
        assert "has not looked" in answer["why"]
        bench.adapter.obeys = lambda v: v.update(cap=v["want"], taken=v["serial"])
        assert await bench.bus.write("set/cap", 9, 6) == {"ok": True, "value": 9}

    asyncio.run(story())


def test_a_fault_of_a_library_ends_the_connection_and_not_the_gateway() -> None:
    async def story() -> None:
        bench = Bench({"a": "A"})
        with pytest.raises(FieldbusError, match="unexpected NotImplementedError"):
            await bench.bus.run_once()

    asyncio.run(story())


def test_raw_names_may_be_handed_on_as_they_are_beside_the_table(tmp_path: Path) -> None:
    config = GatewayConfig("line3", "modbus://127.0.0.1:1", "127.0.0.1:1", tmp_path, tags={"mode": "input/5"})
    bus = make_bus(config, [], lambda _: None, lambda: NOW, ["holding/1", "input/5"])
    assert isinstance(bus, TagBus)
    assert bus.names == {"holding/1": "holding/1", "input/5": "input/5", "mode": "input/5"}


def test_why_a_control_stays_advisory() -> None:
    nodes = ControlNodes("a", "b", "c", "d")
    tags = {"set/cap": "x"}
    assert PlcNodes("h", {"cap": nodes}).advisory(["cap"], tags) == {}
    assert "names no words of cap" in PlcNodes("h").advisory(["cap"], tags)["cap"]
    assert "no heartbeat word" in PlcNodes(None, {"cap": nodes}).advisory(["cap"], tags)["cap"]
    assert "no raw name" in PlcNodes("h", {"cap": nodes}).advisory(["cap"], {})["cap"]
    assert [beat(n) for n in (1, 65_535, 65_536)] == [1, 65_535, 1]


def test_the_gateway_keeps_a_tags_value_through_bad_readings(tmp_path: Path) -> None:
    async def story() -> None:
        config = GatewayConfig(
            "line3", "opc.tcp://127.0.0.1:1", "127.0.0.1:1", tmp_path, tags={"turn/count": "ns=2;s=C", "mode": "i=1"}
        )
        with Store(tmp_path / "outbox.db") as store:
            gateway = Gateway(config, load("line3"), store)
            gateway._linked = True
            hear = gateway.bus._heard  # type: ignore[attr-defined]
            hear({"ns=2;s=C": Sample(480, t=NOW), "i=1": Sample(0, t=NOW)}, True)
            assert gateway.home.values["turn/count"] == (480, GOOD)
            hear({"ns=2;s=C": Sample(0, BAD, NOW, "BadDeviceFailure")}, False)
            assert gateway.home.values["turn/count"] == (480, BAD)  # not a reset to 0
            hear({"ns=2;s=C": Sample(481, STALE, NOW, "UncertainLastUsableValue")}, False)
            assert gateway.home.values["turn/count"] == (481, STALE)
            assert {t.name for t in gateway.home.tags} >= set(CLOCK_TAGS)
            assert gateway.situation().advisory.keys() == {"cap"}
            for task in gateway._tasks:
                task.cancel()

    asyncio.run(story())
