"""Files that plantwin wrote on 2026-11-23 (commit d5512c8): opened and gone on with, or refused in one sentence.

They were made by that commit's own code: a journal of a birth, ten data messages and an event, with the tracker's
snapshot of it; an outbox of five messages, two of them confirmed; an evidence log of five rows.
"""

from __future__ import annotations

import gzip
from contextlib import closing
from pathlib import Path

import pytest

from hardware.outbox import Outbox, Pending
from hardware.store import Store
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.message import Message
from ingest.readings import Aliases, decode
from ingest.topicmap import TopicMap
from sim.plantfile import load
from tests.ingest.kit import CELL1, LINE, data
from twin.log import Entry, EvidenceLog, verify
from twin.tracker import Tracker

OLD = Path(__file__).resolve().parents[1] / "data" / "of-2026-11-23"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    for path in OLD.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return tmp_path


def test_an_old_journal_is_read_and_gone_on_with(old: Path) -> None:
    with closing(Journal.open_reader(old / "journal.db")) as reader:
        assert [row.kind for row in reader.read(0, 99)] == ["birth", *["data"] * 10, "event"]
    with closing(Journal(old / "journal.db")) as journal:
        intake = Intake.restore(LINE, TopicMap(), journal)
        again = [Message(f"{CELL1}/data", data(n), False, 1) for n in (9, 12)]
        assert [row[5] for row in intake.take(again).rows] == [12], "what it had is known as a duplicate"
        journal.commit(intake._batch)
        aliases, values = Aliases(), []
        with closing(Journal.open_reader(old / "journal.db")) as reader:
            for row in reader.read(0, 99):
                values += [r.value for r in decode(row, aliases) if row.kind == "data"]
    assert values == [*range(1, 11), 12]


def test_an_old_outbox_goes_on_with_its_numbers(old: Path) -> None:
    with Store(old / "outbox.db") as store:
        box = Outbox(store, CELL1)
        assert (box.hw, box.next) == (2, 6)
        assert [m.s for m in box.stored(1, 9)] == [3, 4, 5]
        assert box.append([Pending("event", "event", {"t": 1, "kind": "alarm", "thing": "x"})])[0].s == 6


def test_an_old_evidence_log_is_whole_and_gone_on_with(old: Path) -> None:
    assert verify(old / "log.db") == []
    log = EvidenceLog(old / "log.db", "demo")
    log.append(Entry(9, "state", "twin", {"k": 9}))
    log.close()
    assert verify(old / "log.db") == []


def test_an_old_snapshot_is_refused_in_one_sentence_and_the_journal_stands_for_it(old: Path) -> None:
    plant = load("line3")
    with pytest.raises(ValueError, match="of another plant file or version; the journal is replayed instead"):
        Tracker.restore(plant, (old / "tracker.snapshot").read_bytes())
    tracker = Tracker(plant)
    with closing(Journal.open_reader(old / "journal.db")) as reader:
        for row in reader.read(0, 99):
            tracker.apply(row)
    assert tracker.state.tags["turn/count"].value == 10
