"""The twin's side of rows 15 and 16: `python -m benchmarks._latency_twin DATA PLANT`.

Folds the journal as `plantwin twin` does (the same interval between two looks), and prints one JSON line for each look
in which live data came: for each message the wall ms between the time it carries and the end of the look.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import msgspec

from ingest.journal import Journal
from ingest.wire import Data
from sim.plantfile import load
from twin.engine import BATCH
from twin.service import POLL_EVERY_S
from twin.tracker import Tracker


def main(data: str, plant: str) -> None:
    tracker = Tracker(load(plant))
    path = Path(data) / "journal.db"
    while not path.exists():
        time.sleep(0.05)
    reader = Journal.open_reader(path)
    print("ready", flush=True)
    while True:
        began = time.monotonic()
        sent: list[int] = []
        while rows := reader.read(tracker.pos, BATCH):
            for row in rows:
                tracker.apply(row)
                if row.kind == "data":
                    sent.append(msgspec.json.decode(row.body, type=Data).t0)
        if sent:
            _ = tracker.glance.t  # what a frame shows
            now = time.time_ns() // 1_000_000
            print(json.dumps([now - t for t in sent]), flush=True)
        time.sleep(max(POLL_EVERY_S - (time.monotonic() - began), 0.001))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
