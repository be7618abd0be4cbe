"""`plantwin ingest` with segments small enough for a short run: DATA BROKER_PORT ROWS."""

from __future__ import annotations

import sys
from pathlib import Path

from ingest.message import Line
from ingest.retention import Limits
from ingest.run import run
from ingest.service import Settings

if __name__ == "__main__":
    limits = Limits(segment_rows=int(sys.argv[3]), segment_s=3.0, journal_hours=0.0, free_bytes=1 << 20)
    where = Line("demo", "machining", "faults")
    sys.exit(run(Settings(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), where, limits=limits), 0))
