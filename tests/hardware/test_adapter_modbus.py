"""The Modbus adapter against a server: types, bits, exception codes, a server that is late, away and back, writes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from hardware.adapter import FieldbusError, Sample
from hardware.adapter_modbus import ModbusAdapter, ModbusOptions
from ingest.broker import free_port
from ingest.wire import BAD, GOOD, STALE
from tests.hardware.plc import ModbusPlc
from tests.hardware.test_adapter_opcua import Heard

QUICK = ModbusOptions(poll_s=0.05, timeout_s=0.2)


@pytest.fixture
def plc() -> Iterator[ModbusPlc]:
    plc = ModbusPlc()
    plc.start()
    yield plc
    plc.stop()


def adapter(plc: ModbusPlc, raws: Sequence[str], options: ModbusOptions = QUICK) -> ModbusAdapter:
    return ModbusAdapter(("127.0.0.1", plc.port), 1, raws, options)


@asynccontextmanager
async def running(bus: ModbusAdapter) -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.get_running_loop().create_task(bus.run_once(heard))
    try:
        while not heard.images:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, FieldbusError):
            await task


def test_a_cancellation_that_an_answer_swallows_still_ends_it(plc: ModbusPlc) -> None:
    """As `asyncio.wait_for` does it in Python 3.11 when both come at once; the gateway could not stop then."""

    async def story() -> None:
        bus = adapter(plc, ["input/10"])

        async def image() -> tuple[dict[str, Sample], bool]:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
            return {"input/10": Sample(1)}, True

        bus._image = image  # type: ignore[method-assign]
        heard = Heard()
        task = asyncio.get_running_loop().create_task(bus.run_once(heard))
        await heard.until(lambda h: bool(h.images), "the first image")
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done == {task}
        assert task.cancelled()

    asyncio.run(story())


def test_one_poll_reads_few_blocks_and_tells_changes_only(plc: ModbusPlc) -> None:
    raws = ["input/10", "input/11", "input/14", "holding/101:int32", "holding/107", "coil/0", "coil/1", "discrete/1"]

    async def story() -> None:
        async with running(adapter(plc, raws)) as heard:
            assert plc.asked[:4] == [(1, 0, 2), (2, 1, 1), (3, 101, 7), (4, 10, 5)]
            image = {raw: s.value for raw, s in heard.images[0].items()}
            assert (image["coil/0"], image["coil/1"], image["discrete/1"], image["input/10"]) == (1, 0, 1, 0)
            await asyncio.sleep(0.2)
            assert heard.news == []
            plc.set("input/14", 65_000)
            await heard.until(lambda h: bool(h.news), "a change")
            assert heard.news == [("input/14", Sample(65_000))]

    asyncio.run(story())


def test_a_hole_in_the_registers_costs_one_exception_and_a_wrong_address_names_itself(plc: ModbusPlc) -> None:
    async def story() -> None:
        bus = adapter(plc, ["holding/109", "holding/200", "holding/209", "holding/400", "input/5"],
                      ModbusOptions(0.05, 0.2, max_gap=100))  # fmt: skip
        async with running(bus) as heard:
            image = heard.images[0]
            assert [image[f"holding/{a}"].value for a in (109, 200, 209)] == [0, 7, 7]
            assert image["holding/400"] == Sample(None, BAD, None, "Modbus exception 2 (illegal data address)")
            assert image["input/5"].quality == GOOD
            asked = len(plc.asked)
            await asyncio.sleep(0.2)
            wide = [a for a in plc.asked[asked:] if a[1] == 109 and a[2] > 1]
            assert wide == []  # what was refused once is not asked for again

    asyncio.run(story())


def test_a_late_answer_makes_values_stale_and_several_end_the_connection(plc: ModbusPlc) -> None:
    async def story() -> None:
        async with running(adapter(plc, ["input/10", "input/11"])) as heard:
            plc.mute = True
            await heard.until(lambda h: bool(h.news), "stale values")
            assert {(raw, s.value, s.quality) for raw, s in heard.news} == {
                ("input/10", 0, STALE), ("input/11", 0, STALE),
            }  # fmt: skip

    asyncio.run(story())
    plc.mute = False


def test_a_server_that_stays_silent_is_left(plc: ModbusPlc) -> None:
    async def story() -> None:
        heard = Heard()
        bus = adapter(plc, ["input/10"])
        task = asyncio.get_running_loop().create_task(bus.run_once(heard))
        await heard.until(lambda h: bool(h.images), "the image")
        plc.mute = True
        began = time.monotonic()
        with pytest.raises(FieldbusError, match="no answer to 3 polls"):
            await asyncio.wait_for(task, 5)
        assert time.monotonic() - began < 2
        assert not bus.connected

    asyncio.run(story())
    plc.mute = False


def test_a_server_that_goes_and_comes_back_is_read_again(plc: ModbusPlc) -> None:
    async def story() -> None:
        heard = Heard()
        bus = adapter(plc, ["input/10"])
        task = asyncio.get_running_loop().create_task(bus.run_once(heard))
        await heard.until(lambda h: bool(h.images), "the image")
        await asyncio.to_thread(plc.stop)
        with pytest.raises(FieldbusError, match="modbus://127"):
            await asyncio.wait_for(task, 5)
        with pytest.raises(FieldbusError, match="nobody answers there"):
            await bus.run_once(heard)
        await asyncio.to_thread(plc.start)
        task = asyncio.get_running_loop().create_task(bus.run_once(heard))
        await heard.until(lambda h: len(h.images) == 2, "another image")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_neighbouring_registers_are_written_in_one_request_and_refusals_are_named(plc: ModbusPlc) -> None:
    async def story() -> None:
        bus = adapter(plc, ["holding/101:int32", "holding/107"])
        with pytest.raises(FieldbusError, match="not connected"):
            await bus.write([("holding/101:int32", 1)])
        async with running(bus):
            await bus.write([("holding/101:int32", -9), ("holding/103:int32", 70_000), ("coil/2", 1)])
            assert [a[:2] for a in plc.asked if a[0] in (5, 16)] == [(16, 101), (5, 2)]
            found = await bus.read(["holding/101:int32", "holding/103:int32", "coil/2"])
            assert {raw: s.value for raw, s in found.items()} == {
                "holding/101:int32": -9, "holding/103:int32": 70_000, "coil/2": 1,
            }  # fmt: skip
            with pytest.raises(FieldbusError, match="holding/400: not written, Modbus exception 2"):
                await bus.write([("holding/400", 1)])
            with pytest.raises(FieldbusError, match="input/3: cannot be written by its nature"):
                await bus.write([("input/3", 1)])
            with pytest.raises(FieldbusError, match="does not fit into uint16"):
                await bus.write([("holding/107", -1)])

    asyncio.run(story())


def test_where_nobody_listens_it_says_so() -> None:
    bus = ModbusAdapter(("127.0.0.1", free_port()), 1, ["input/1"], QUICK)
    with pytest.raises(FieldbusError, match="nobody answers there"):
        asyncio.run(bus.run_once(lambda *_: None))
