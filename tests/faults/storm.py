"""A storm of malformed messages, and very many good ones: `python -m tests.faults.storm [--messages N] [--leak N]`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ingest.intake import Intake
from ingest.message import Line, Message
from ingest.payloads import MAX_BYTES, Birth, Data, Tag, encode
from ingest.readings import Aliases, Row, decode

LINE = Line("demo", "machining", "line3")
CELL = LINE.cell("cell1")
ORIGIN = 1_767_592_800_000
TAGS = 20
BATCH = 100


def resident_kb() -> int:
    """Resident memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def descriptors() -> int:
    """Open file descriptors of this process (Linux)."""
    return len(list(Path("/proc/self/fd").iterdir()))


def born() -> Intake:
    """An intake that knows one source."""
    intake = Intake(LINE)
    tags = [Tag(i=i, name=f"s{i}/level", type="int") for i in range(TAGS)]
    intake.take([Message(f"{CELL}/birth", encode(Birth(v=1, e="e1", s=1, sw="x", tags=tags)), True, 1)])
    return intake


def good(number: int) -> Message:
    """A message of twenty readings."""
    many = list(range(TAGS))
    values = [float(number + i) for i in many]
    body = encode(Data(e="e1", s=number, t0=ORIGIN + number, i=many, dt=[0] * TAGS, v=values, q=[0] * TAGS))
    return Message(f"{CELL}/data", body, False, 2)


def rubbish(rnd: random.Random) -> Message:
    """One of all kinds of what is wrong, its size up to a megabyte."""
    valid = good(rnd.randrange(10**6)).body
    name = b"x" * rnd.choice((300, MAX_BYTES + 1))
    kinds: list[Callable[[], tuple[str, bytes]]] = [
        lambda: (f"{CELL}/data", rnd.randbytes(rnd.randrange(200))),
        lambda: (f"{CELL}/data", valid[: rnd.randrange(len(valid))]),
        lambda: (f"{CELL}/data", valid.replace(b'"q":[0', b'"q":[9')),
        lambda: (f"{CELL}/data", valid.replace(b'"v":[', b'"v":[1e999,')),
        lambda: (f"{CELL}/event", b"[" * rnd.choice((100, 10_000)) + b"]" * 100),
        lambda: (f"{CELL}/birth", b'{"v":1,"e":"e9","s":1,"sw":"' + name + b'","tags":[]}'),
        lambda: (f"{CELL}/hist", b"\0" * rnd.choice((1, 10_000, 1_000_000 if rnd.random() < 0.05 else 2))),
        lambda: (f"ptw/v1/demo/machining/line3/c{rnd.randrange(10**6)}/data", valid),
        lambda: ("ptw/v1/elsewhere/machining/line3/cell1/data", valid),
        lambda: (f"ptw/v{rnd.randrange(9)}/../{rnd.randrange(99)}", b"{}"),
        lambda: ("x" * rnd.randrange(1, 500), b'{"value":' + b"9" * rnd.randrange(1, 500) + b"}"),
        lambda: (f"{CELL}/data", valid.replace(b'"e":"e1"', b'"e":"e%d"' % rnd.randrange(10**6))),
    ]  # fmt: skip
    topic, body = rnd.choice(kinds)()
    return Message(topic, body, rnd.random() < 0.1, 2)


class Times:
    """Milliseconds of CPU each good message took, from the begin of its batch (what is before it counts for it)."""

    def __init__(self) -> None:
        self.ms: list[float] = []

    def p99(self) -> float:
        """The 99th percentile."""
        return sorted(self.ms)[int(len(self.ms) * 0.99)]


def batches(storm: int, per_good: int, seed: int) -> Iterator[list[Message]]:
    """One good message behind `per_good` bad ones, until `storm` bad ones have come."""
    rnd = random.Random(seed)
    for number in range(1, storm // per_good + 1):
        yield [*(rubbish(rnd) for _ in range(per_good)), good(number)]


def storm(count: int, seed: int = 1) -> tuple[dict[str, float], dict[str, int]]:
    """`count` bad messages, four for each good one: figures (p99 of a good one's own work among them), and reasons."""
    intake, calm, rough = born(), Times(), Times()
    for number in range(1, 1001):
        _timed(intake, good(number), calm)
    intake = born()
    first = resident_kb()
    for n, batch in enumerate(batches(count, 4, seed)):
        intake.take(batch[:-1])
        _timed(intake, batch[-1], rough)
        if n == count // 40:
            first = resident_kb()  # everything that is bounded has been filled
    reasons = dict(intake.ledger.rejected)
    figures: dict[str, float] = {
        "bad": sum(reasons.values()), "good": len(rough.ms), "taken": intake.ledger.source(CELL).accepted - 1,
        "hw": intake.marks[CELL, "e1"].hw, "calm_p99_ms": calm.p99(), "storm_p99_ms": rough.p99(),
        "grown_kb": resident_kb() - first, "sources": len(intake.ledger.sources),
    }  # fmt: skip
    return figures, reasons


def _timed(intake: Intake, message: Message, times: Times) -> None:
    begin = time.thread_time()
    intake.take([message])
    times.ms.append((time.thread_time() - begin) * 1000)


def leak(count: int) -> dict[str, float]:
    """`count` good messages through intake and decoding: growth of memory and descriptors after the first tenth."""
    intake, aliases = born(), Aliases()
    tags = [Tag(i=i, name=f"s{i}/level", type="int") for i in range(TAGS)]
    aliases.feed(CELL, Birth(v=1, e="e1", s=1, sw="x", tags=tags))
    memory, files, readings, begin = resident_kb(), descriptors(), 0, time.monotonic()
    for low in range(1, count + 1, BATCH):
        batch = intake.take([good(n) for n in range(low, min(low + BATCH, count + 1))])
        for recv, t, kind, source, e, s, body in batch.rows:
            readings += len(decode(Row(low, recv, t, kind, source, e, s, body), aliases))
        if low == count // 10 // BATCH * BATCH + 1:
            memory, files = resident_kb(), descriptors()
    return {
        "messages": count, "readings": readings, "grown_kb": resident_kb() - memory,
        "more_descriptors": descriptors() - files, "seconds": round(time.monotonic() - begin, 1),
    }  # fmt: skip


def main() -> int:
    """Both, as asked for; prints one JSON object a part."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="of the storm")
    parser.add_argument("--leak", type=int, default=1_000_000, help="good messages, looking for a leak")
    given = parser.parse_args()
    if given.messages:
        print(msgspec.json.encode({"storm": storm(given.messages)}).decode(), flush=True)
    if given.leak:
        print(msgspec.json.encode({"leak": leak(given.leak)}).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
