"""A few kills and some ten thousand readings; a million by `make faults`."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.outbox import Outbox, Pending
from hardware.store import Store
from ingest.compactor import Compactor
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.message import Line, Message
from ingest.topicmap import TopicMap
from ingest.wire import Birth, Tag, encode
from sim.plantfile import load
from tests.faults.campaign import Plan, run, schedule
from tests.faults.check import Verdict, check
from tests.faults.floor import CELLS, EVENT_EVERY, WIDTH, Floor, cell_of, plant_text, tag_name
from tests.faults.rig import KINDS

ROOT = "ptw/v1/demo/machining/faults/"


def test_the_plant_of_the_campaign_is_one(tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(plant_text())
    sensors = load(str(tmp_path / "faults.yaml")).sensors
    assert [(s.tag, s.cell) for s in sensors] == [(tag_name(k), cell_of(k)) for k in range(WIDTH)]


def test_the_schedule_kills_every_process_and_is_the_seed_s() -> None:
    plan = Plan()
    kills = schedule(plan)
    assert len(kills) == plan.kills >= 20
    assert {name for _, name in kills} == {*KINDS, "follower"}
    assert kills == schedule(plan) != schedule(replace(plan, seed=2))
    assert [share for share, _ in kills] == sorted(share for share, _ in kills)


def written(folder: Path, steps: int = 25) -> Floor:
    """An outbox and a journal as if all had gone well."""
    floor = Floor()
    names = {cell: [k for k in range(WIDTH) if cell_of(k) == cell] for cell in map(cell_of, range(0, WIDTH, 2))}
    with Store(folder / "outbox.db") as store, closing(Journal(folder / "journal.db")) as journal:
        boxes = {cell: Outbox(store, ROOT + cell) for cell in names}
        intake = Intake.restore(Line("demo", "machining", "faults"), TopicMap(), journal)
        for cell, ks in names.items():
            tags = [Tag(i=i, name=tag_name(k), type="int") for i, k in enumerate(ks)]
            birth = encode(Birth(v=1, e=boxes[cell].epoch, s=1, sw="x", tags=tags))
            journal.commit(intake.take([Message(f"{ROOT}{cell}/birth", birth, True, 1)]))
        for _ in range(steps):
            for said in floor.step():
                for cell, ks in names.items():
                    made = _pending(said, cell, ks)
                    messages = boxes[cell].append([made]) if made else []
                    taken = [Message(f"{ROOT}{cell}/{m.suffix}", m.body, False, 2) for m in messages]
                    journal.commit(intake.take(taken))
        with store.transaction():
            store.db.execute("DELETE FROM messages")  # all confirmed
    return floor


def _pending(said: dict[str, object], cell: str, ks: list[int]) -> Pending | None:
    t = said["t"]
    if "event" in said:
        event = said["event"]
        assert isinstance(event, dict)
        return Pending("event", "event", {"t": t, **event}) if cell_of(int(event["thing"][1:]) * 2) == cell else None
    values = said["v"]
    assert isinstance(values, dict)
    many = list(range(len(ks)))
    body = {"t0": t, "i": many, "dt": [0] * len(ks), "v": [values[tag_name(k)] for k in ks], "q": [0] * len(ks)}
    return Pending("data", "data", body)


def spoiled(folder: Path, *statements: str) -> Verdict:
    """What is found when the journal has been changed by hand before it was compacted."""
    floor = written(folder)
    db = sqlite3.connect(folder / "journal.db", isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()
    compactor = Compactor(folder)
    while compactor.step(close_all=True):
        pass
    compactor.close()
    return check(folder, folder / "outbox.db", floor)


ONE = "(SELECT pos FROM rows WHERE kind='data' AND s=7 LIMIT 1)"
COLUMNS = "recv, t, kind, source, e, s, body"


def test_the_check_says_good_of_what_is_good(tmp_path: Path) -> None:
    verdict = spoiled(tmp_path)
    assert verdict.good, verdict
    assert (verdict.readings, verdict.events) == (25 * WIDTH, 25 // EVENT_EVERY)
    assert verdict.issued == verdict.messages == 25 * 4 + 2
    assert (verdict.unread, verdict.stored_readings) == (0, 25 * WIDTH)


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        ([f"DELETE FROM rows WHERE pos={ONE}"], "lost"),
        (
            [f"INSERT INTO rows SELECT (SELECT max(pos)+1 FROM rows), {COLUMNS} FROM rows WHERE pos={ONE}"],
            "doubled",
        ),
        ([f"UPDATE rows SET body=CAST(replace(body, '\"dt\":[0', '\"dt\":[1') AS BLOB) WHERE pos={ONE}"], "altered"),
        ([f"UPDATE rows SET source=source || 'x' WHERE pos={ONE}"], "altered"),
        (
            [
                "UPDATE rows SET s=-7 WHERE kind='data' AND s=7", "UPDATE rows SET s=7 WHERE kind='data' AND s=20",
                "UPDATE rows SET s=20 WHERE s=-7",
            ],
            "out_of_order",
        ),
    ],
)  # fmt: skip
def test_the_check_finds(tmp_path: Path, statements: list[str], what: str) -> None:
    verdict = spoiled(tmp_path, *statements)
    assert not verdict.good
    assert getattr(verdict, what) > 0
    assert verdict.wrong


def test_a_line_under_fire_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    plan = Plan(readings=12_000, kills=5, seed=5, rate=1_500.0, segment=150, cut_every_s=3.0)
    outcome = asyncio.run(run(tmp_path, plan))
    verdict = outcome.verdict
    assert verdict.good, verdict.wrong or verdict
    assert verdict.waiting <= 2 * CELLS, "no more than the last words of each cell are still in the outbox"
    assert verdict.readings >= plan.readings * 0.9
    assert set(outcome.kills) == {*KINDS, "follower"}
    assert outcome.hash_live == outcome.hash_replay != ""
    assert outcome.trimmed > 0, "rows have left the journal for the archive, and were read from there"
    assert sum(sum(v for k, v in counts.items() if k != "connections") for counts in outcome.network.values()) > 0
    slowest = max(s for many in outcome.back_s.values() for s in many)
    assert slowest <= 30, "ten seconds on a quiet machine, see docs/faults.md"
