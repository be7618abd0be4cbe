"""What a Sparkplug message of 50 metrics costs the twin's side: decoded alone, and all the way to a journal row.

`plantwin bench sparkplug [--json] [--messages M] [--runs N]`. One core, nothing but Python: the time of a
process's own CPU, the least of N runs. Metrics have aliases and their own times, half are Int32 and half Double.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from ingest.message import Line, Message
from ingest.sparkplug import decode
from ingest.sparkplug_pb import Payload
from ingest.sparkplug_rebirth import Pace, Rebirths
from ingest.sparkplug_rows import SparkplugRows, topic_hook
from ingest.sparkplug_session import Limits, Sessions
from ingest.topicmap import Rule, TopicMap

METRICS = 50
T = 1_767_592_800_000


def message(seq: int, *, birth: bool) -> Message:
    """A birth with names and aliases, or data with aliases only."""
    payload = Payload(timestamp=T, seq=seq)
    for k in range(METRICS):
        metric = payload.metrics.add(alias=k, timestamp=T)
        if k % 2:
            metric.double_value = seq + k / 7
        else:
            metric.int_value = seq + k
        if birth:
            metric.name, metric.datatype = f"axis/{k}/position", 10 if k % 2 else 3
    verb = "NBIRTH" if birth else "NDATA"
    return Message(f"spBv1.0/plant1/{verb}/edge1", payload.SerializeToString(), False, T)


def measure(messages: int, runs: int) -> dict[str, float]:
    """CPU microseconds a message, by what is done with it, and the size of one in bytes."""
    said = [message((k + 1) % 256, birth=False) for k in range(messages)]
    rules = TopicMap((Rule("spBv1.0/plant1/+/_node/#", "{1}/{2}"),))
    line = Line("demo", "machining", "line3")

    def decoded() -> None:
        for one in said:
            decode(one.body)

    def whole() -> None:
        rows = SparkplugRows(line, topic_hook(rules), Sessions(Limits(), Rebirths(Pace())))
        rows.take(message(0, birth=True))
        found = sum(len(rows.take(one)) for one in said)
        assert found == messages
        assert rows.sessions.counts["stored"] == METRICS * (messages + 1)

    return {"decode_us": _least(decoded, messages, runs), "to_row_us": _least(whole, messages, runs),
            "bytes": float(len(said[0].body))}  # fmt: skip


def _least(work: Callable[[], None], messages: int, runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) / messages * 1e6)
    return min(times)


def main(argv: list[str]) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="plantwin bench sparkplug")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args(argv)
    found = measure(given.messages, given.runs)
    if given.json:
        print(json.dumps(found))
    else:
        print(f"a message of {METRICS} metrics ({found['bytes']:.0f} bytes), CPU time on one core:")
        print(f"  decoded                       {found['decode_us']:7.1f} us")
        print(f"  decoded, mapped, journal row  {found['to_row_us']:7.1f} us")
    return 0
