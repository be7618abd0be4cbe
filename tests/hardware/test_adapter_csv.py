"""CSV as a fieldbus: both forms, at speed, followed as it grows, and what cannot be read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from hardware.adapter import FieldbusError, Sample
from hardware.adapter_csv import CsvAdapter, CsvOptions, Rows
from hardware.adapter_mqtt import time_of
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN
from tests.hardware.test_adapter_opcua import Heard

T0 = 1_767_600_000_000
LONG = ["t", "name", "value", "quality"]


def test_long_form_with_words_and_opc_numbers_for_quality() -> None:
    rows = Rows(LONG, "t", {"A", "B"})
    assert rows.samples(f"{T0},A,4.5,good") == {"A": Sample(4.5, GOOD, T0)}
    assert rows.samples(f"{T0},A,4,192") == {"A": Sample(4, GOOD, T0)}
    assert rows.samples(f"{T0},B,true,64") == {"B": Sample(1, UNCERTAIN, T0)}
    assert rows.samples(f"{T0},B,EXECUTE,stale") == {"B": Sample("EXECUTE", STALE, T0)}
    assert rows.samples(f"{T0},B,4,0") == {"B": Sample(4, BAD, T0)}
    assert rows.samples(f"{T0},B,,good") == {"B": Sample(None, BAD, T0)}
    assert rows.samples(f"{T0},elsewhere,4,good") == {}
    assert rows.bad == 0
    for wrong in ("yesterday,A,4,good", f"{T0},A", f"{T0},A,4,splendid"):
        assert rows.samples(wrong) == {}
    assert rows.bad == 3
    assert rows.samples(f"{T0 - 5000},A,9,good") == {"A": Sample(9, UNCERTAIN, T0)}
    assert rows.backward == 1


def test_wide_form_and_times() -> None:
    rows = Rows(["when", "A", "B"], "when", {"A", "B"})
    assert rows.samples("2026-01-05T08:00:00Z,1,") == {"A": Sample(1, t=T0)}
    assert rows.samples('2026-01-05T09:00:01+01:00,"1",2.5') == {
        "A": Sample(1, t=T0 + 1000),
        "B": Sample(2.5, t=T0 + 1000),
    }
    with pytest.raises(
        FieldbusError, match=r"expected a column 't' with the time, found when, A; name it with csv\.time"
    ):
        Rows(["when", "A"], "t", set())


@pytest.mark.parametrize(
    ("text", "ms"),
    [("2026-01-05T08:00:00", T0), (T0, T0), (T0 / 1000, T0), (str(T0), T0), ("soon", None), (True, None), (-1, None)],
)
def test_times_of_devices(text: object, ms: int | None) -> None:
    assert time_of(text) == ms


def test_a_recording_plays_at_its_speed_declares_its_clock_and_ends_stale(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("t,A,B\n" + "".join(f"{T0 + 1000 * k},{k},7\n" for k in range(31)))

    async def story() -> None:
        heard, adapter = Heard(), CsvAdapter(file, ["A", "B"], CsvOptions(60.0))
        began = time.monotonic()
        task = asyncio.get_running_loop().create_task(adapter.run_once(heard))
        await heard.until(lambda h: any(s.quality == STALE for _, s in h.news), "the end")
        assert 0.45 < time.monotonic() - began < 5.0  # 30 s at 60
        assert adapter.clock is not None
        assert (adapter.clock.origin, adapter.clock.speed) == (T0, 60.0)
        assert [s.value for raw, s in heard.news if raw == "A"] == [*range(1, 31), 30]
        assert heard.images == [{"A": Sample(0, t=T0), "B": Sample(7, t=T0)}]
        with pytest.raises(FieldbusError, match="a file cannot be commanded"):
            await adapter.write([("A", 1)])
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_a_growing_file_is_followed_by_whole_lines_and_a_cut_one_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_text(f"t,name,value\n{T0},A,1\n{T0},B,5\n{T0 + 1},A,2\n")

    async def story() -> None:
        heard, adapter = Heard(), CsvAdapter(file, ["A", "B"], CsvOptions(0.0))
        task = asyncio.get_running_loop().create_task(adapter.run_once(heard))
        await heard.until(lambda h: bool(h.images), "the image")
        assert {raw: s.value for raw, s in heard.images[0].items()} == {"A": 2, "B": 5}
        with file.open("a") as out:
            out.write(f"{T0 + 2},A,3\n{T0 + 3},A,")
            out.flush()
            await heard.until(lambda h: len(h.news) == 1, "one line")
            out.write("4\n")
        await heard.until(lambda h: [s.value for _, s in h.news] == [3, 4], "the other")
        assert (await adapter.read(["A"]))["A"].value == 4
        file.write_text("t,name,value\n")
        with pytest.raises(FieldbusError, match="replaced or cut"):
            await asyncio.wait_for(task, 5)

    asyncio.run(story())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = CsvAdapter(tmp_path / "none.csv", ["A"], CsvOptions())
    with pytest.raises(OSError, match=r"none\.csv"):
        asyncio.run(missing.run_once(lambda *_: None))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(FieldbusError, match="expected a header line, found nothing"):
        asyncio.run(CsvAdapter(tmp_path / "empty.csv", ["A"], CsvOptions()).run_once(lambda *_: None))
