"""A mapping in ingest: its rows and its memory are one transaction, so a kill neither doubles nor loses a count."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from ingest.codes import UNCERTAIN
from ingest.intake import Intake
from ingest.journal import Journal, JournalFull
from ingest.mapping import MappingError
from ingest.mapping_rows import MappedTopics, load_topics
from ingest.message import Message
from ingest.readings import Aliases, PlantClock, Reading, decode, wall_ms
from sim.plantfile import load as load_plant
from tests.ingest.kit import LINE, Running, serve, until
from tests.ingest.mappings import mapped
from twin.tracker import Tracker

ROOT = Path(__file__).resolve().parents[2]
TEXT = """\
mapping: 1
tags:
  turn/state: {from: shop/turn, field: state, packml: true}
  turn/count: {from: shop/turn, field: n, counter: 8, resets: never}
  mill/count: {from: shop/mill/done, count: rising}
  b1/level: {from: shop/b1, debounce: 50 ms}
events:
  - {event: work_end, thing: mill, each: mill/count}
"""
TOPICS = MappedTopics(mapped(TEXT))


def message(topic: str, body: str, recv: int) -> Message:
    return Message(topic, body.encode(), False, recv)


def readings(journal: Path) -> list[Reading]:
    reader = Journal.open_reader(journal)
    try:
        return [r for rows in reader.follow(0) for row in rows for r in decode(row, Aliases())]
    finally:
        reader.close()


def test_one_message_feeds_several_tags_and_events(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    intake = Intake.restore(LINE, TOPICS, journal)
    said = [("shop/turn", '{"state": "Execute", "n": 250}'), ("shop/mill/done", "0"), ("shop/mill/done", "1")]
    journal.commit(intake.take([message(topic, body, 1000 + k) for k, (topic, body) in enumerate(said)]))
    found = [(r.name, r.value, r.kind) for r in readings(journal.path)]
    assert found == [
        ("turn/state", 1, "plain"), ("turn/count", 250, "plain"), ("mill/count", 0, "plain"),
        ("mill/count", 1, "plain"), ("mill/work_end", 1, "event"),
    ]  # fmt: skip
    tracker = Tracker(load_plant("line3"))  # the twin takes them as it takes those of a gateway
    for row in journal.read(0, 100):
        tracker.apply(row)
    journal.close()


def test_what_cannot_be_read_is_counted_and_what_can_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    intake = Intake.restore(LINE, TOPICS, journal)
    batch = intake.take([message("shop/turn", '{"state": "Dancing", "n": 3}', 1), message("shop/b1", "x", 2)])
    batch.rows += intake.take([message("shop/other", "1", 3)]).rows
    assert [row[2] for row in batch.rows] == ["plain"]
    assert intake.ledger.rejected == {"wrong_type": 2, "unmapped": 1}
    journal.close()


def test_what_waits_for_time_comes_without_a_message(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    intake = Intake.restore(LINE, TOPICS, journal)
    now = wall_ms() + 3_600_000
    first = intake.take([message("shop/b1", "1", now), message("shop/b1", "2", now + 1)])
    assert len(first.rows) == 1
    assert intake.take([]).rows == []  # an hour too early
    intake.clock = PlantClock(now + 1000, wall_ms(), 1.0)
    (row,) = intake.take([]).rows
    assert (row[1], row[2], msgspec.json.decode(row[6])["value"]) == (now + 1, "plain", 2)
    journal.close()


def test_kills_at_any_commit_double_nothing(tmp_path: Path) -> None:
    """Every process ends without a word after some commits; what it had taken but not committed is gone."""
    rnd = random.Random(5)
    count, level, edges, recv = 0, 0, 0, 1_000
    journal = Journal(tmp_path / "journal.db")
    journal.commit(Intake.restore(LINE, TOPICS, journal).take([message("shop/mill/done", "0", recv)]))
    journal.close()
    for _ in range(12):
        journal = Journal(tmp_path / "journal.db")
        intake = Intake.restore(LINE, TOPICS, journal)
        for _ in range(rnd.randint(1, 6)):
            messages = []
            for _ in range(rnd.randint(1, 5)):
                recv += 1000
                count += rnd.randint(0, 5)
                level, edges = 1 - level, edges + 1 - level
                messages.append(message("shop/turn", f'{{"state": 6, "n": {count % 256}}}', recv))
                messages.append(message("shop/mill/done", str(level), recv))
            journal.commit(intake.take(messages))
            if rnd.random() < 0.3:  # the same messages again: they assert what is known
                journal.commit(intake.take(messages[-2:]))
        intake.take([message("shop/mill/done", str(1 - level), recv)])  # never committed
        journal.close()
    found = readings(tmp_path / "journal.db")
    assert [r.value for r in found if r.name == "turn/count"][-1] == count
    edge_counts = [r.value for r in found if r.name == "mill/work_end"]
    assert edge_counts == sorted(set(edge_counts))
    assert [r.value for r in found if r.name == "mill/count"][-1] == edges
    assert {r.quality for r in found if r.name == "turn/count"} == {0}
    assert UNCERTAIN in {r.quality for r in found if r.name == "mill/count"}  # edges may pass while nobody listens


def test_a_batch_that_cannot_be_written_leaves_the_rules_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    intake = Intake.restore(LINE, TOPICS, journal)
    journal.commit(intake.take([message("shop/turn", '{"state": 6, "n": 5}', 1)]))
    before = journal.memory()
    journal.limit_pages(1)
    big = [message("shop/turn", f'{{"state": 6, "n": {n % 256}}}', n) for n in range(6, 4000)]
    with pytest.raises(JournalFull):
        journal.commit(intake.take(big))
    assert journal.memory() == before
    journal.limit_pages(1_000_000)
    intake = Intake.restore(LINE, TOPICS, journal)
    journal.commit(intake.take(big))
    assert [r.value for r in readings(journal.path) if r.name == "turn/count"][-1] == 3999
    journal.close()


def test_an_older_journal_takes_the_memory_of_rules(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal._db.execute("DROP TABLE memory")
    journal.close()
    again = Journal(tmp_path / "journal.db")
    assert again.memory() == {}
    again.close()


def test_a_killed_ingest_counts_on(broker: Running, tmp_path: Path) -> None:
    """The process itself, with kill -9, on a broker."""
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(TEXT)
    data = tmp_path / "d"
    program = [sys.executable, str(ROOT / "plantwin.py"), "ingest", "line3", "--broker", f"127.0.0.1:{broker.port}"]
    program += ["--topics", str(mapping), "--data", str(data), "--port", "0"]

    def counts() -> list[float]:
        return [r.value for r in readings(data / "journal.db") if r.name == "turn/count"]

    for life, n in enumerate((200, 44)):  # the last one is 300: it wrapped while the process was dead
        (data / "run" / "ingest.json").unlink(missing_ok=True)
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(program, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)})
        try:
            until((data / "run" / "ingest.json").exists, 20, "ingest to start")
            _publish(broker.port, "shop/turn", f'{{"state": 6, "n": {n}}}')
            until(partial(_reached, counts, life + 1), 10, "the count in the journal")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
    assert counts() == [200, 300]


def _reached(counts: Callable[[], list[float]], n: int) -> bool:
    return len(counts()) == n


def _publish(port: int, topic: str, body: str) -> None:
    from paho.mqtt import publish
    from paho.mqtt.enums import MQTTProtocolVersion

    publish.single(topic, body, qos=1, port=port, protocol=MQTTProtocolVersion.MQTTv5)


def test_the_service_lets_time_pass_without_any_birth(broker: Running, tmp_path: Path) -> None:
    live = serve(tmp_path, broker.port, TOPICS)
    try:
        _publish(broker.port, "shop/b1", "1")
        _publish(broker.port, "shop/b1", "2")
        until(
            lambda: [r.value for r in readings(live.path) if r.name == "b1/level"] == [1, 2], 10, "the debounced level"
        )
    finally:
        live.service.stop()


def test_topics_are_a_map_or_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a/b: turn/count\n")
    assert load_topics(path, None).filters() == ["a/b"]
    path.write_text(TEXT)
    assert load_topics(path, "line3").filters() == ["shop/turn", "shop/mill/done", "shop/b1"]
    with pytest.raises(MappingError, match="name the PLANT"):
        load_topics(path, None)
    path.write_text("mapping: 1\ntags:\n  turn/count: ptw/v1/x\n  mill/count: a/+\n")
    with pytest.raises(MappingError) as caught:
        load_topics(path, "line3")
    assert [p.split(":")[1] for p in caught.value.problems] == ["3", "4"]


def test_the_quality_of_a_mapped_value_is_kept(tmp_path: Path) -> None:
    old = msgspec.json.encode({"t": 1, "tag": "x", "value": 2.0, "topic": "a"})
    journal = Journal(tmp_path / "journal.db")
    intake = Intake.restore(LINE, TOPICS, journal)
    intake._row(1, 1, "plain", LINE.plain, None, None, old)
    journal.commit(intake._batch)
    assert readings(journal.path)[0].quality == 0
    journal.close()
