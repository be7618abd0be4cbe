"""The twin's tracker as a process that reads the journal and keeps snapshots: one more thing to kill.

`python -m tests.faults.follower DATA PLANT [--once]`: with `--once` it reads from empty to the end, keeps nothing, and
prints the hash; without it goes on until DATA/run/done exists and all is read, then writes DATA/run/follower-hash.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import msgspec

from ingest.journal import Cursor, Journal, JournalError, JournalReader
from sim.plantfile import load
from twin.tracker import Tracker, write_snapshot

EVERY_S = 2.0
BATCH = 2_000


def digest(tracker: Tracker) -> str:
    """All that is believed, in 16 letters."""
    return hashlib.sha256(msgspec.json.encode(tracker.state)).hexdigest()[:16]


def reader_of(data: Path) -> JournalReader:
    """The journal, waited for."""
    while True:
        try:
            return Journal.open_reader(data / "journal.db")
        except JournalError:
            time.sleep(0.2)


def follow(data: Path, plant_file: str) -> str:
    """Follow the journal to its end, from the snapshot where there is one."""
    plant, snapshot = load(plant_file), data / "follower.snapshot"
    tracker = Tracker.restore(plant, snapshot.read_bytes()) if snapshot.exists() else Tracker(plant)
    cursor, reader, due = Cursor(data / "cursors" / "follower.json"), reader_of(data), time.monotonic() + EVERY_S
    while True:
        done = (data / "run" / "done").exists()  # before reading: nothing is written after it
        rows = reader.read(tracker.pos, BATCH)
        for row in rows:
            tracker.apply(row)
        if time.monotonic() >= due:
            write_snapshot(tracker.snapshot(), snapshot)
            cursor.store(tracker.pos)
            due = time.monotonic() + EVERY_S
        if not rows:
            if done:
                return digest(tracker)
            time.sleep(0.1)


def once(data: Path, plant_file: str) -> tuple[str, int]:
    """One uninterrupted replay of the whole journal from empty, archive included: hash and last position."""
    tracker, reader = Tracker(load(plant_file)), reader_of(data)
    for rows in reader.follow(0, BATCH):
        for row in rows:
            tracker.apply(row)
    reader.close()
    return digest(tracker), tracker.pos


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "run").mkdir(parents=True, exist_ok=True)
    (folder / "run" / "follower.json").write_text("{}\n")
    (folder / "run" / "follower-hash").write_text(follow(folder, sys.argv[2]))
