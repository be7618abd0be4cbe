"""The history: one answer from rollups, closed files and the journal's end, equal to counting by hand."""

from __future__ import annotations

import asyncio
import random
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import httpx
import msgspec
import pytest
from fastapi import FastAPI

import plantwin
from ingest.history import Answer, History
from ingest.history_api import routes
from ingest.journal import Journal
from ingest.retention import Limits
from tests.ingest.history_kit import SMALL, T0, TAGS, Value, born, compact, minutes, tell

HOUR, MINUTE = 3_600_000, 60_000
Points = dict[str, list[tuple[int, float, int]]]
"""tag -> (plant ms, value, quality) in order of the journal"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "journal.db")
    born(found)
    yield found
    found.close()


def by_hand(
    points: list[tuple[int, float, int]], low: int, high: int, step: int, newest: int
) -> dict[str, dict[int, float]]:
    """Every aggregate of one tag, bucket by bucket, the plain way."""
    good = sorted((p for p in points if p[2] != 3), key=lambda p: p[0])
    found: dict[str, dict[int, float]] = {}
    for b in range(low, high, step):
        inside = [(t, v) for t, v, _ in good if b <= t < b + step]
        bad = sum(q == 3 and b <= t < b + step for t, _, q in points)
        if inside or bad:
            found.setdefault("count", {})[b] = len(inside)
            found.setdefault("bad", {})[b] = bad
        if inside:
            values = [v for _, v in inside]
            found.setdefault("mean", {})[b] = sum(values) / len(values)
            found.setdefault("min", {})[b] = min(values)
            found.setdefault("max", {})[b] = max(values)
            found.setdefault("first", {})[b] = values[0]
            found.setdefault("last", {})[b] = values[-1]
        before = [v for t, v, _ in good if t < b]
        corners = ([(b, before[-1])] if before else []) + inside
        end = min(b + step, max(newest, inside[-1][0] if inside else b))
        if not corners or b > newest:
            continue
        ends = [t for t, _ in corners[1:]] + [end]
        area = sum(v * (e - t) for (t, v), e in zip(corners, ends, strict=True))
        span = end - corners[0][0]
        found.setdefault("twmean", {})[b] = area / span if span > 0 else corners[-1][1]
    return found


def values(answer: Answer, tag: str) -> dict[int, float]:
    return {t: value for t, name, value, _, _, _ in answer.rows if name == tag and value is not None}


def test_any_mix_of_late_data_restarts_and_tail_is_what_counting_by_hand_gives(
    journal: Journal, tmp_path: Path
) -> None:
    rnd = random.Random(4)
    points: Points = {tag.name: [] for tag in TAGS}
    number = 1
    history = History(tmp_path)
    for turn in range(8):
        messages: list[list[Value]] = []
        for _ in range(rnd.randrange(3, 30)):
            t = T0 + turn * 40 * MINUTE + rnd.randrange(40 * MINUTE)
            if rnd.random() < 0.1:  # late, by up to a few hours
                t = max(T0, t - rnd.randrange(5 * HOUR))
            alias = rnd.choice((1, 2))
            messages.append([(alias, t, float(rnd.randrange(50)), rnd.choice((0, 0, 0, 0, 3)))])
        for ((alias, t, value, quality),) in messages:
            points[TAGS[alias].name].append((t, value, quality))
        number = tell(journal, number, messages)
        if turn % 3 != 2:  # at times the compactor is behind, and it is always a new one
            compact(tmp_path, close_all=turn % 2 == 0).close()
        newest = max(t for name in points for t, _, _ in points[name])
        low, high = T0 + turn * 20 * MINUTE // HOUR * HOUR, T0 + 6 * HOUR
        for step in (HOUR, 5 * MINUTE, 90_000, 2 * HOUR):
            start, end = low // step * step, -(-high // step) * step
            for aggregate in ("mean", "twmean", "min", "max", "count", "bad", "last", "first"):
                answer = history.query(["turn/temp", "b1/level"], low, high, step, aggregate)
                for tag in ("turn/temp", "b1/level"):
                    expected = by_hand(points[tag], start, end, step, newest).get(aggregate, {})
                    assert values(answer, tag) == pytest.approx(expected), (turn, step, aggregate, tag)
        raw = history.query(["turn/temp"], T0 - HOUR, T0 + 9 * HOUR)
        assert sorted((t, v, q) for t, _, v, q, _, _ in raw.rows) == sorted(points["turn/temp"])
    history.close()


def test_auto_takes_the_mean_over_time_for_levels_and_over_readings_for_what_is_sampled(
    journal: Journal, tmp_path: Path
) -> None:
    tell(
        journal,
        1,
        [[(2, T0, 4.0, 0), (1, T0, 10.0, 0)], [(2, T0 + 45 * MINUTE, 0.0, 0), (1, T0 + 45 * MINUTE, 20.0, 0)]],
    )
    tell(journal, 3, [[(1, T0 + 2 * HOUR, 50.0, 0)]])
    compact(tmp_path).close()
    with History(tmp_path) as history:
        answer = history.query(["b1/level", "turn/temp"], T0, T0 + 2 * HOUR, HOUR)
        assert values(answer, "b1/level") == {T0: 3.0, T0 + HOUR: 0.0}  # 4 parts for 45 minutes; nothing was told later
        assert values(answer, "turn/temp") == {T0: 15.0}
        assert answer.series()["turn/temp"] == {"t": [T0], "v": [15.0], "n": [2]}


def test_a_value_from_days_before_is_still_held(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, [[(2, T0, 7.0, 0)]])
    tell(journal, 2, [[(2, T0 + 80 * HOUR, 1.0, 0)]])
    compact(tmp_path).close()
    with History(tmp_path) as history:
        answer = history.query(["b1/level"], T0 + 78 * HOUR, T0 + 80 * HOUR, HOUR, "twmean")
        assert values(answer, "b1/level") == {T0 + 78 * HOUR: 7.0, T0 + 79 * HOUR: 7.0}


def test_last_values_know_the_end_of_the_journal_and_what_was_long_compacted(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(3))
    compact(tmp_path).close()
    with History(tmp_path) as history:
        assert {tag.tag: (tag.t, tag.value, tag.unit) for tag in history.last()} == {
            "b1/level": (T0 + 2 * MINUTE, 2.0, "parts"), "turn/temp": (T0 + 2 * MINUTE, 22.0, "degC"),
        }  # fmt: skip
        tell(journal, 4, [[(1, T0 + 3 * MINUTE, 99.0, 0), (0, T0 + 3 * MINUTE, 1.0, 0)]])
        assert [(tag.tag, tag.value) for tag in history.last(["turn/temp"])] == [("turn/temp", 99.0)]
        assert [(tag.tag, tag.type) for tag in history.last(["turn/state"])] == [("turn/state", "enum")]
        tell(journal, 5, [[(1, T0 + MINUTE, -1.0, 0)]])  # late: no news
        assert [tag.value for tag in history.last(["turn/temp"])] == [99.0]


def test_files_that_are_merged_away_under_a_reader_do_not_disturb_it(journal: Journal, tmp_path: Path) -> None:
    number = tell(journal, 1, minutes(5))
    compact(tmp_path).close()
    history = History(tmp_path)
    asked = ["turn/temp"], T0, T0 + 4 * HOUR
    assert len(history.query(*asked).rows) == 5
    for n in range(1, 12):
        number = tell(journal, number, minutes(5, T0 + n * 5 * MINUTE))
        compact(tmp_path).close()
        assert len(history.query(*asked).rows) == 5 * (n + 1)
    files = list((tmp_path / "history" / "readings").rglob("*.parquet"))
    assert len(files) < 8
    history.close()


def test_views_of_the_closed_files_are_plain_sql(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(120))
    compact(tmp_path).close()
    with History(tmp_path) as history, history.connect() as db:
        assert db.execute("SELECT count(*), min(lineage) FROM readings").fetchall() == [(240, "exactly_once")]
        assert db.execute("SELECT n, total / n FROM rollup_1h WHERE tag='turn/temp' ORDER BY b").fetchall() == [
            (60, 49.5), (60, 109.5),
        ]  # fmt: skip
        assert db.execute("SELECT count(*) FROM rollup_1m").fetchall() == [(240,)]


def test_a_late_reading_of_a_day_whose_readings_are_gone_leaves_its_rollup_alone(
    journal: Journal, tmp_path: Path
) -> None:
    tell(journal, 1, minutes(60))
    compact(tmp_path).close()
    gone = msgspec.structs.replace(SMALL, readings=msgspec.structs.replace(SMALL.readings, days=0.0))
    compact(tmp_path, gone).close()
    assert not list((tmp_path / "history" / "readings").rglob("*.parquet"))
    tell(journal, 61, [[(1, T0, 1000.0, 0)]])
    with History(tmp_path) as history:
        for _ in range(2):  # while it is in the journal only, and once it is compacted
            assert values(history.query(["turn/temp"], T0, T0 + HOUR, HOUR, "max"), "turn/temp") == {T0: 79.0}
            compact(tmp_path, SMALL).close()


def test_questions_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with History(tmp_path) as history:
        assert history.query(["turn/temp"], 0, 10).rows == []
        assert history.query(["nobody's"], T0, T0 + HOUR, MINUTE, "twmean").rows == []
        for wrong, words in (
            (([], 0, 1), "tags: expected 1"),
            ((["a"], 5, 5), "expected from before to"),
            ((["a"], 0, 10**12, 1), "make it longer"),
            ((["a"], 0, 10, 1, "median"), "expected one of auto"),
        ):
            with pytest.raises(ValueError, match=words):
                history.query(*wrong)


def test_quotes_in_a_name_stay_text(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(2))
    compact(tmp_path).close()
    with History(tmp_path) as history:
        assert history.query(["x') OR true --", "o'k"], T0, T0 + HOUR, MINUTE).rows == []


def test_a_history_without_any_compaction_is_the_journal(journal: Journal, tmp_path: Path) -> None:
    tell(journal, 1, minutes(10))
    with History(tmp_path) as history:
        assert len(history.query(["turn/temp"], T0, T0 + HOUR).rows) == 10
        assert values(history.query(["turn/temp"], T0, T0 + HOUR, HOUR), "turn/temp") == {T0: 24.5}


def test_the_limits_have_their_defaults_from_the_first_day() -> None:
    kept = Limits().kept()
    assert all(keep.days >= 90 and keep.bytes > 2**30 for keep in kept.values())


# -- over HTTP and by command -------------------------------------------------------------------------------


class Client:
    """Asks the routes without a server."""

    def __init__(self, data: Path) -> None:
        self._app = FastAPI()
        self._app.include_router(routes(data))

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.get(path, params=params)

        return asyncio.run(ask())


@pytest.fixture
def client(journal: Journal, tmp_path: Path) -> Client:
    tell(journal, 1, minutes(60))
    compact(tmp_path).close()
    tell(journal, 61, minutes(30, T0 + HOUR))
    return Client(tmp_path)


ASKED = {"tag": ["turn/temp", "b1/level"], "from": T0, "to": T0 + 2 * HOUR, "step": HOUR}


def test_the_history_over_http_in_each_format(client: Client, tmp_path: Path) -> None:
    body = client.get("/history", params=ASKED | {"agg": "mean"}).json()
    assert body["series"] == {
        "b1/level": {"t": [T0, T0 + HOUR], "v": [2.0, 2.0], "n": [60, 30]},
        "turn/temp": {"t": [T0, T0 + HOUR], "v": [49.5, 34.5], "n": [60, 30]},
    }
    lines = client.get("/history", params=ASKED | {"format": "csv"}).text.splitlines()
    assert lines[0] == "t,tag,value,n,source,lineage"
    assert len(lines) == 5
    found = client.get("/history", params={"tag": "turn/temp", "from": T0, "to": T0 + 5, "format": "parquet"})
    path = tmp_path / "found.parquet"
    path.write_bytes(found.content)
    with duckdb.connect() as db:
        rows = db.execute("SELECT t, tag, value, quality FROM read_parquet($1)", [str(path)]).fetchall()
    assert rows == [(T0, "turn/temp", 20.0, 0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agg": "median"}, "expected one of auto"),
        ({"format": "arrow"}, "json, csv or parquet"),
        ({"step": 0}, "step: "),
    ],
)
def test_a_wrong_question_over_http_is_refused_with_words(
    client: Client, change: dict[str, object], words: str
) -> None:
    answer = client.get("/history", params=ASKED | change)
    assert answer.status_code == 422
    assert words in answer.json()["error"]


def test_last_values_over_http(client: Client) -> None:
    (found,) = client.get("/last", params={"tag": "turn/temp"}).json()["last"]
    assert (found["t"], found["value"], found["unit"]) == (T0 + HOUR + 29 * MINUTE, 49.0, "degC")
    assert len(client.get("/last").json()["last"]) == 2


def command(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        plantwin.main(arguments)
    return int(end.value.code or 0)


@pytest.mark.usefixtures("client")
def test_the_commands_read_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path)]
    assert command(["history", *data]) == 0
    assert "turn/temp  float degC  49 at 2026-01-05T07:29:00+00:00" in capsys.readouterr().out
    span = ["--from", "2026-01-05T06:00", "--to", "2026-01-05T08:00Z", "--step", "1h", *data]
    assert command(["history", "turn/temp", *span, "--agg", "max"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[1]
        == f"{T0},turn/temp,79.0,60,ptw/v1/demo/machining/line3/cell1,exactly_once"
    )
    assert command(["history", "turn/temp", *span, "--out", str(tmp_path / "x.parquet")]) == 0
    assert "2 rows" in capsys.readouterr().out
    assert command(["compact", *data]) == 0
    assert "journal position 91, 1 segments, 60 readings" in capsys.readouterr().out
    for wrong in (["history", "a", "--from", "soon", *data], ["history", "a", "--out", "x.txt", *data]):
        assert command(wrong) == 2
        assert "expected a" in capsys.readouterr().err
    assert command(["history", "--data", str(tmp_path / "nowhere")]) == 1


def test_the_import_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.csv").write_text(f"time,name,value\n{T0},T1,1\n{T0},T2,2\n", encoding="utf-8")
    (tmp_path / "names.yaml").write_text("T1: turn/temp\n", encoding="utf-8")
    call = ["import", "csv", str(tmp_path / "old.csv"), "--map", str(tmp_path / "names.yaml"), "--site", "a/b/c"]
    assert command([*call, "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 readings in 1 days; 0 days were there already; refused: 1 unmapped\n"
    assert command(["import", "influx", "http://x", "--map", str(tmp_path / "names.yaml")]) == 2


def test_the_example_of_the_page_runs(journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(journal, 1, minutes(120))
    compact(tmp_path).close()
    page = (Path(__file__).parents[2] / "docs" / "storage.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        script = tmp_path / "example.py"
        script.write_text(block.replace("plantwin-data", str(tmp_path)), encoding="utf-8")
        runpy.run_path(str(script))
    said = capsys.readouterr().out
    assert "turn/temp" in said
    assert "49.5" in said
