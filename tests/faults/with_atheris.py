"""Coverage-guided fuzzing of the decoders, where atheris is installed (it is not asked for by any extra).

`PYTHONPATH=. python -m tests.faults.with_atheris -max_total_time=60`; it ends with the input that broke a promise.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ingest.intake import Intake
from ingest.message import Message
from ingest.payloads import WireError
from ingest.topicmap import Rule, TopicMap
from ingest.topics import parse_topic
from tests.ingest.kit import CELL1, LINE, birth, data

KINDS = ("birth", "status", "data", "event", "gap", "hist", "cmdack", "supply")


def one(body: bytes) -> None:
    """Whatever comes: a topic is refused by name, a message is counted, and the next good one is taken."""
    try:
        parse_topic(body[:200].decode("utf-8", "replace"))
    except WireError:
        pass
    intake = Intake(LINE, TopicMap((Rule("shop/+/count", "{1}/count"),)))
    intake.take([Message(f"{CELL1}/birth", birth(speed=None), True, 1)])
    kind = KINDS[body[0] % len(KINDS)] if body else "data"
    intake.take([Message(f"{CELL1}/{kind}", body[1:], False, 2), Message("shop/turn/count", body[1:], False, 2)])
    batch = intake.take([Message(f"{CELL1}/data", data(4_000), False, 3)])
    marks = intake.marks[CELL1, "e1"]
    assert batch.rows or marks.hw >= 4_000 or marks.runs, "a good message is taken as ever"


if __name__ == "__main__":
    atheris: Any = importlib.import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
