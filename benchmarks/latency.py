"""From a sensor's change to the twin's state (rows 15, 16): `plantwin bench latency [--json] [--seconds S] [--runs N]`.

Ingest (journal on disk with full sync) and the twin's fold are processes of their own, the broker is the embedded one;
a publisher sends messages of ten counters of a line of ten machines, each of which moves a part, with the time at which
they were made. Row 15 first finds the greatest rate at which the twin keeps up, then sends half of it. Row 16 sends 20
live messages a second, without and with ten minutes of backlog on `/hist` at the gateway's default rate beside them.
The first run waits (up to 150 s) until the twin settles what has left the lateness window while the backlog comes.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import _record
from benchmarks._record import Figure
from benchmarks._tracking_plants import line
from hardware.gateway_config import GatewayConfig, birth_tags
from ingest.broker import Options, free_port, make
from ingest.wire import Birth, Data, Tag, encode, root, topic
from sim.plant import Plant
from sim.plantfile import load
from twin.tracker import SETTLE_MS

ROOT = Path(__file__).resolve().parents[1]
TAGS = 10
LIVE_A_S = 20.0
BACKLOG_S = 600
REACH_MS = 100.0


class Publisher:
    """One source: births, then data messages of `TAGS` counters that grow by one each time."""

    def __init__(self, port: int, plant: Plant) -> None:
        self.source = root(plant.site, plant.area, plant.line, plant.sensors[0].cell)
        tags = birth_tags(plant, plant.sensors[0].cell)
        self.tags = [Tag(i=i, name=str(t["name"]), type=t["type"], enum=t.get("enum")) for i, t in enumerate(tags)]
        self.counters = [t.i for t in self.tags if t.type == "counter"][:TAGS]
        self.s = 0
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="source", protocol=mqtt.MQTTv5)
        self.client.max_inflight_messages_set(200)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        birth = Birth(v=1, e="e1", s=1, sw="bench", tags=self.tags)
        self.client.publish(topic(self.source, "birth"), encode(birth), qos=1, retain=True).wait_for_publish(10)

    def body(self, s: int, t: int, n: int, *, late: bool = False) -> bytes:
        k = len(self.counters)
        data = Data(e="e1", s=s, t0=t, i=self.counters, dt=[0] * k, v=[float(n)] * k, q=[0] * k, h=1 if late else None)
        return encode(data)

    def send(self, n: int) -> mqtt.MQTTMessageInfo:
        self.s += 1
        return self.client.publish(topic(self.source, "data"), self.body(self.s, _now(), n), qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def _now() -> int:
    return time.time_ns() // 1_000_000


class Twin:
    """The folding process; `take` gives the latencies (ms) that have come since."""

    def __init__(self, data: Path, plant: Path) -> None:
        call = [sys.executable, "-m", "benchmarks._latency_twin", str(data), str(plant)]
        self.process = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == "ready"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self._lines.put(json.loads(text))

    def take(self, count: int, patience_s: float = 60.0) -> list[int]:
        """The next `count` latencies; RuntimeError when they do not come."""
        found: list[int] = []
        end = time.monotonic() + patience_s
        while len(found) < count:
            try:
                found += self._lines.get(timeout=max(end - time.monotonic(), 0.01))
            except queue.Empty:
                raise RuntimeError(f"{count - len(found)} of {count} messages did not come through") from None
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def everything() -> Iterator[tuple[Publisher, Twin]]:
    """Broker, ingest, twin and a publisher."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "line.yaml"
        file.write_text(line(10, levels=False), encoding="utf-8")
        plant, port = load(str(file)), free_port()
        broker = make("embedded", Options(port))
        broker.start()
        data = Path(folder) / "data"
        call = [sys.executable, "-m", "plantwin", "ingest", str(file), "--broker", f"127.0.0.1:{port}", "--port", "0",
                "--data", str(data)]  # fmt: skip
        ingest = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not (data / "run" / "ingest.json").exists():
                time.sleep(0.05)
            twin, publisher = Twin(data, file), Publisher(port, plant)
            time.sleep(0.5)
            yield publisher, twin
            publisher.close()
            twin.close()
        finally:
            ingest.kill()
            ingest.wait()
            broker.stop()


def most(seconds: float) -> float:
    """The greatest rate (messages a second, in steps of a quarter) at which the twin keeps up: 99 % within a second."""
    rate = found = 100.0
    while True:
        with everything() as (publisher, twin):
            steady(publisher, twin, 50.0, 1.0)
            try:
                late = float(np.percentile(steady(publisher, twin, rate, seconds), 99))
            except RuntimeError:
                late = float("inf")
        if late > 1000:
            return found
        found, rate = rate, rate * 1.25


def steady(publisher: Publisher, twin: Twin, rate: float, seconds: float) -> list[int]:
    """Latencies of messages sent at `rate` a second."""
    count, began = int(rate * seconds), time.monotonic()
    for n in range(count):
        time.sleep(max(began + n / rate - time.monotonic(), 0))
        publisher.send(n)
    return twin.take(count)


def at_half(rate: float, seconds: float) -> list[int]:
    with everything() as (publisher, twin):
        steady(publisher, twin, min(rate, 50.0), 1.0)
        return steady(publisher, twin, rate / 2, seconds)


def until_settled(after_s: float) -> float:
    """Seconds to wait so that `after_s` later the twin settles (at whole multiples of `SETTLE_MS` of plant time)."""
    return (-_now() / 1000 - after_s) % (SETTLE_MS / 1000)


def beside_backlog(seconds: float, *, settles: bool = False) -> tuple[list[int], list[int]]:
    """Latencies without and with a backlog of ten minutes beside the live messages; `settles`: the twin settles when
    half of the time beside it is over.
    """
    with everything() as (publisher, twin):
        if settles:
            time.sleep(until_settled(1.5 * seconds))
        alone = steady(publisher, twin, LIVE_A_S, seconds)
        behind, first = int(BACKLOG_S * LIVE_A_S), publisher.s + 1
        publisher.s += behind  # numbers that were issued while nobody listened
        stop = threading.Event()
        sender = threading.Thread(target=_replay, args=(publisher, first, behind, stop), daemon=True)
        sender.start()
        with_it = steady(publisher, twin, LIVE_A_S, seconds)
        stop.set()
        sender.join()
        return alone, with_it


def _replay(publisher: Publisher, first: int, count: int, stop: threading.Event) -> None:
    rate = GatewayConfig("", "", "").hist_rate
    start, began = _now() - BACKLOG_S * 1000, time.monotonic()
    for k in range(count):
        time.sleep(max(began + k / rate - time.monotonic(), 0))
        if stop.is_set():
            return
        body = publisher.body(first + k, start + k * 1000 * BACKLOG_S // count, k, late=True)
        publisher.client.publish(topic(publisher.source, "hist"), body, qos=1)


def measure(seconds: float, runs: int) -> tuple[list[Figure], dict[str, Any]]:
    rate = most(seconds)
    p99 = [float(np.percentile(at_half(rate, seconds), 99)) for _ in range(runs)]
    pairs = [beside_backlog(seconds, settles=k == 0) for k in range(runs)]
    ratios = [float(np.percentile(b, 99) / np.percentile(a, 99)) for a, b in pairs]
    medians = [float(np.median(b) / np.median(a)) for a, b in pairs]
    reach = [late / REACH_MS for late in p99]
    half = (
        f"sensor change to twin state, p99 (here {np.median(p99):.0f} ms), half of {rate:.0f} messages/s of {TAGS} tags"
    )
    figures = [
        Figure(15, half, f"{REACH_MS:.0f} ms", float(np.median(reach)), "<= 1x", runs, (min(reach), max(reach))),
        Figure(16, "live latency, p99, while ten minutes of backlog are replayed", "without backlog",
               float(np.median(ratios)), "<= 2x", runs, (min(ratios), max(ratios))),
    ]  # fmt: skip
    detail = {"rate": rate, "p99_ms": p99, "backlog_p99": ratios, "backlog_median": medians,
              "alone_p99_ms": [float(np.percentile(a, 99)) for a, _ in pairs]}  # fmt: skip
    return figures, detail


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="plantwin bench latency", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args(argv)
    if given.seconds < 1 or given.runs < 1:
        parser.error("expected --seconds and --runs from 1")
    figures, detail = measure(given.seconds, given.runs)
    path = _record.keep("latency", figures, _record.versions("paho-mqtt", "msgspec", "iotcore"), detail)
    print(json.dumps([asdict(f) for f in figures]) if given.json else f"{_record.show(figures)}\nkept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
