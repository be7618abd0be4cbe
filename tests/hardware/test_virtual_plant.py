"""The virtual plant as others see it: paced time, honest registers, setpoints, fallback, truth."""

from __future__ import annotations

import asyncio
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hardware.erp import Erp
from hardware.fieldbus import FieldbusClient, FieldbusError, FieldbusServer
from hardware.pace import MAX_SPEED, Pace
from hardware.plant_service import warmup_of
from hardware.service import seconds_of
from hardware.twist import Twist
from hardware.virtual_plant import Disturbance, Options, VirtualPlant, script_of
from ingest.wire import Supply, parse
from sim.plantfile import load


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def make(clock: Clock, name: str = "line3", **more: Any) -> VirtualPlant:
    return VirtualPlant(load(name), Options(**{"seed": 2, "warmup_s": 3600.0, **more}), mono=clock)


def catch_up(plant: VirtualPlant) -> None:
    while plant.lag_s > 0 or plant.shop.env.now * 1000 < plant.pace.now() - plant.start_ms:
        plant.advance()


def test_plant_time_follows_the_clock_at_its_speed() -> None:
    clock = Clock()
    plant = make(clock, speed=60.0)
    begin = plant.shop.env.now
    for wall in (0.5, 1.0, 7.25):
        clock.s = 100.0 + wall
        catch_up(plant)
        assert plant.shop.env.now - begin == pytest.approx(60 * wall)
    assert plant.pace.now() == plant.pace.origin + 435_000
    clock.s -= 3.0  # a clock that goes back must not take the plant with it
    plant.advance()
    assert plant.shop.env.now - begin == pytest.approx(435.0)


@pytest.mark.parametrize("speed", [0.0, -1.0, MAX_SPEED + 1, float("nan")])
def test_speeds_out_of_range_are_refused(speed: float) -> None:
    with pytest.raises(ValueError, match=r"expected 0\.1 to 600"):
        Pace(0, speed)


def test_a_plant_that_cannot_keep_up_says_by_how_much() -> None:
    class Slow(Clock):
        def __call__(self) -> float:
            self.s += 0.02  # looking at the clock is all this machine manages
            return self.s

    plant = make(Slow(), speed=600.0)
    plant.advance()
    assert plant.lag_s > 0


def test_it_goes_live_while_the_plant_is_open() -> None:
    plant = make(Clock(), warmup_s=6 * 86400.0)  # Sunday
    assert plant.shop.openings["day"].open
    assert plant.live_s >= 6 * 86400


@pytest.mark.parametrize("name", ["line3", "gearmotor", "mm1", "line10"])
def test_the_stream_of_changes_leads_to_the_values(name: str) -> None:
    clock = Clock()
    described = load(name)
    plant = VirtualPlant(described, Options(seed=5, warmup_s=warmup_of("auto", described) / 10), mono=clock)
    seen: dict[str, Any] = dict(plant.values()["v"])
    messages: list[dict[str, Any]] = []
    plant.emit = messages.append
    for _ in range(20):
        clock.s += 1.0
        catch_up(plant)
        for message in messages:
            seen |= message.get("v", {})
            assert message["t"] <= plant.pace.now()
        messages.clear()
        assert seen == plant.values()["v"]
    for sensor in described.sensors:
        value = plant.image.shown[sensor.tag]
        if sensor.range is not None:
            assert sensor.range[0] <= value <= sensor.range[1]
        if sensor.bits is not None:
            assert 0 <= value < 1 << sensor.bits


def test_events_carry_the_register_they_lead_to_and_noise_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    plant = make(clock, seed=7)
    messages: list[dict[str, Any]] = []
    plant.emit = messages.append
    level_errors = 0
    late: list[bool] = []
    delay = plant.image._delay

    def counted(*a: Any) -> bool:
        late.append(delay(*a))
        return late[-1]

    monkeypatch.setattr(plant.image, "_delay", counted)
    for _ in range(600):
        clock.s += 1.0
        catch_up(plant)
        level_errors += plant.image.shown["b1/level"] != len(plant.shop.stations["mill"].queue)
    shown: dict[str, Any] = {}
    for message in messages:
        shown |= message.get("v", {})
        event = message.get("event", {})
        if event.get("kind") == "work_end":
            assert event["count"] == shown[event["tag"]]
    assert level_errors > 0
    assert 0 < sum(late) < len(late) / 2
    twice = sum(a == b for a, b in pairwise(messages) if "v" in a)
    assert twice > 0


def test_shift_registers_go_back_to_zero_at_the_shift() -> None:
    clock = Clock()
    plant = make(clock, speed=600.0, twist=Twist())
    messages: list[dict[str, Any]] = []
    plant.emit = messages.append
    for _ in range(170):  # more than a day
        clock.s += 1.0
        catch_up(plant)
    counts = [m["v"]["turn/count"] for m in messages if "turn/count" in m.get("v", {})]
    drops = [(a, b) for a, b in pairwise(counts) if b < a]
    assert len(drops) == 1
    assert drops[0][1] <= 1


def test_setpoints_are_checked_by_the_plant_itself() -> None:
    plant = make(Clock())
    assert plant.write({"tag": "set/cap", "value": 8}) == {"ok": True, "value": 8, "tag": "set/cap"}
    assert plant.shop.settings["release.housing.cap"] == 8
    for request in ({"tag": "set/cap", "value": 99}, {"tag": "set/cap", "value": True}, {"tag": "x", "value": 1}, {}):
        assert plant.write(request)["ok"] is False
    assert plant.write({"tag": "mode", "value": 1})["ok"] is False
    assert plant.write({"tag": "mode", "value": 1, "local": True})["ok"]
    assert "manual" in plant.write({"tag": "set/cap", "value": 7})["why"]
    assert plant.write({"tag": "set/cap", "value": 5, "local": True})["ok"]
    assert plant.shop.settings["release.housing.cap"] == 5


def test_without_heartbeat_the_plc_takes_leased_setpoints_back() -> None:
    clock = Clock()
    plant = make(clock)
    plant.write({"tag": "set/cap", "value": 9, "fallback": 6})
    clock.s += 29
    assert plant.check_heartbeat() == []
    plant.heartbeat(1)
    clock.s += 29
    assert plant.check_heartbeat() == []
    clock.s += 2
    assert plant.check_heartbeat() == ["set/cap"]
    assert plant.shop.settings["release.housing.cap"] == 6
    plant.write({"tag": "set/cap", "value": 9})  # set without a lease: nothing to go back to
    clock.s += 100
    assert plant.check_heartbeat() == []


def test_the_scripted_breakdown_comes_when_it_should() -> None:
    clock = Clock()
    script = (Disturbance(15.0, "mill", 60.0),)
    plant = make(clock, script=script)
    unit = plant.shop.stations["mill"].units[0]
    clock.s += 14.9
    catch_up(plant)
    assert unit.state != "down"
    clock.s += 3.0
    catch_up(plant)
    assert unit.state == "down"
    clock.s += 57.0
    catch_up(plant)
    assert unit.state == "down"
    clock.s += 6.0
    catch_up(plant)
    assert unit.state != "down"


def test_scripts_are_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    line3 = load("line3")
    assert script_of("none", line3) == script_of("auto", line3) == ()
    assert script_of("auto", load("gearmotor"))[0].station == "hobbing"
    file = tmp_path / "d.json"
    file.write_text('[{"after_min": 5, "station": "wash", "minutes": 10}]')
    assert script_of(str(file), line3) == (Disturbance(5, "wash", 10),)
    file.write_text('[{"after_min": 5, "station": "nowhere", "minutes": 10}]')
    with pytest.raises(ValueError, match="turn, wash"):
        script_of(str(file), line3)
    with pytest.raises(ValueError, match="expected auto"):
        script_of(str(tmp_path / "none.json"), line3)


def test_the_truth_log_has_a_line_a_minute_that_adds_up() -> None:
    clock = Clock()
    plant = make(clock)
    plant.truth = io.StringIO()
    for _ in range(10):
        clock.s += 1.0
        catch_up(plant)
    lines = [json.loads(line) for line in plant.truth.getvalue().splitlines()]
    assert [b["t"] - a["t"] for a, b in pairwise(lines)] == [60_000] * (len(lines) - 1)
    assert len(lines) == 11
    assert all(sum(x["wip"].values()) == sum(x["product_wip"].values()) for x in lines)
    assert plant.header()["twist"] == plant.twist.header()


def test_erp_documents_are_valid_and_add_up() -> None:
    clock = Clock()
    plant = make(clock, "gearmotor", warmup_s=3 * 86400.0, speed=600.0)
    sent: list[Supply] = []
    erp = Erp(plant, "run1", lambda body: sent.append(parse("supply", body)))
    plant.erp = erp.paper
    for _ in range(300):
        clock.s += 1.0
        catch_up(plant)
        erp.tick()
    kinds = {s.kind for s in sent}
    assert {"purchase_order", "goods_receipt", "stock_count", "customer_order"} <= kinds
    ordered = {s.doc for s in sent if s.kind == "purchase_order"}
    assert {s.ref for s in sent if s.kind == "goods_receipt"} <= ordered
    last = {s.stock: s.quantity for s in sent if s.kind == "stock_count"}
    assert last.keys() == plant.shop.rooms.keys()
    before = len(sent)
    erp.send_again()
    again = {(s.doc, s.version) for s in sent[before:]}
    assert {d for d in ordered if d in {o + "-run1" for r in plant.shop.rooms.values() for o in r.open_orders}} <= {
        doc for doc, _ in again
    }


def test_the_bus_answers_and_survives_nonsense() -> None:
    async def story() -> None:
        plant = make(Clock())
        heard: list[dict[str, Any]] = []
        async with FieldbusServer(plant) as bus:
            client = FieldbusClient("127.0.0.1", bus.port, heard.append)
            task = asyncio.get_running_loop().create_task(client.run_once())
            while len(heard) < 2:  # noqa: ASYNC110 - a test may poll
                await asyncio.sleep(0.01)
            assert heard[0]["hello"]["origin"] == plant.pace.origin
            assert heard[1]["v"] == plant.values()["v"]
            assert (await client.write("set/cap", 7))["ok"]
            assert await client.read("set/cap", "nothing") == {"set/cap": 7}
            reader, writer = await asyncio.open_connection("127.0.0.1", bus.port)
            for line in (b"not json", b'"text"', b"[1]", b'{"write": 5, "id": 1}', b'{"read": 7}'):
                writer.write(line + b"\n")
                while "error" not in json.loads(await asyncio.wait_for(reader.readline(), 5)):
                    pass
            writer.close()
            assert (await client.write("set/cap", 8))["ok"]
            assert bus.refused == 5
            task.cancel()
        with pytest.raises(FieldbusError):
            await client.read("mode")

    asyncio.run(story())


def test_a_taken_port_is_a_sentence() -> None:
    async def story() -> None:
        plant = make(Clock())
        async with FieldbusServer(plant) as bus:
            with pytest.raises(OSError, match=f"fieldbus port {bus.port} cannot be opened"):
                async with FieldbusServer(plant, bus.port):
                    pass

    asyncio.run(story())


@pytest.mark.parametrize(("text", "seconds"), [("3d", 259200), ("90 min", 5400), ("0", 0), ("1.5 h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["3", "d", "3 fortnights", ""])
def test_durations_without_a_unit_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number with a unit"):
        seconds_of(text)
