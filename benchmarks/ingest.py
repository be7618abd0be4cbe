"""CPU time a message costs at the twin's side: one reading in it (row 13), fifty (row 14).

`plantwin bench ingest [--json] [--runs N] [--messages M] [--broker embedded|mosquitto]`. One reading of 200 bytes a
message, QoS 1, as fast as one publisher sends. Ours: decoded, checked, deduplicated, in the journal with full sync
and only then acknowledged. The peer: acknowledged by paho at once, `json`, `Point`, batching `WriteApi` to a server
here that throws everything away. Both are processes of their own, measured in turn by their CPU time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

from benchmarks import _record
from benchmarks._ingest_side import SOURCE
from benchmarks._record import Figure
from ingest.broker import Options, free_port, make
from ingest.wire import Birth, Data, Tag, encode, topic

PEER = "paho auto-ack + json + Point + batching WriteApi"
ROOT = Path(__file__).resolve().parents[1]
BYTES = 200
MANY = 50


class Sink(BaseHTTPRequestHandler):
    """Takes every write and throws it away."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


def messages(count: int, tags: int = 1) -> list[bytes]:
    """Messages of `tags` readings, numbered from 1; those of one reading have 200 bytes."""
    found = []
    numbers, zeros = list(range(1, tags + 1)), [0] * tags
    for s in range(1, count + 1):
        values = [s / 8 + k for k in range(tags)]
        body = encode(Data(e="e1", s=s, t0=1_767_600_000_000 + s, i=numbers, dt=zeros, v=values, q=zeros))
        pad = BYTES - len(body) - len(',"pad":""')
        found.append(body[:-1] + b',"pad":"' + b"x" * pad + b'"}' if tags == 1 else body)
    return found


def publish(port: int, bodies: list[bytes]) -> None:
    """A birth and then all messages, 100 in flight."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="source", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(100)
    client.connect("127.0.0.1", port)
    client.loop_start()
    tags = [Tag(i=i, name=f"turn/{i}", type="float") for i in range(1, MANY + 1)]
    birth = Birth(v=1, e="e1", s=1, sw="bench", tags=tags)
    client.publish(topic(SOURCE, "birth"), encode(birth), qos=1).wait_for_publish(10)
    where = topic(SOURCE, "data")
    info = None
    for body in bodies:
        info = client.publish(where, body, qos=1)
    if info is not None:
        info.wait_for_publish(120)
    client.disconnect()
    client.loop_stop()


def side(which: str, port: int, bodies: list[bytes], where: str) -> float:
    """CPU microseconds a message of one side."""
    call = [sys.executable, "-m", "benchmarks._ingest_side", which, str(port), str(len(bodies)), where]
    with subprocess.Popen(call, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready", f"{which} did not start"
        process.stdin.write("go\n")
        process.stdin.flush()
        publish(port, bodies)
        used = float(process.stdout.readline())
    return used / len(bodies) * 1e6


def main(argv: list[str]) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="plantwin bench ingest", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--broker", choices=("embedded", "mosquitto"), default="embedded")
    options = parser.parse_args(argv)
    port = free_port()
    broker = make(options.broker, Options(port))
    broker.start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        one = both(port, messages(options.messages), url, options.runs)
        many = both(port, messages(max(options.messages // 5, 1), MANY), url, options.runs)
    finally:
        broker.stop()
        server.shutdown()
    ratio, spread = _record.ratios(*one)
    faster, fast_spread = _record.ratios(many[1], many[0])
    a_second = MANY / median(many[0]) * 1e6
    what = f"ingest, one {BYTES}-byte reading a message, QoS 1, on disk before the acknowledgement, CPU"
    figures = [
        Figure(13, what, PEER, ratio, "<= 0.5x", options.runs, spread),
        Figure(14, f"ingest, {MANY} tags a message, tags a CPU second (here {a_second:,.0f})", PEER, faster,
               ">= 20x, >= 200,000 tags/s", options.runs, fast_spread),
    ]  # fmt: skip
    detail = {
        "broker": options.broker, "messages": options.messages, "ours_us": one[0], "peer_us": one[1],
        "many_ours_us": many[0], "many_peer_us": many[1], "tags_a_second": a_second,
    }  # fmt: skip
    libraries = _record.versions("paho-mqtt", "influxdb-client", "msgspec", "iotcore")
    _record.keep("ingest", figures, libraries, detail)
    print(json.dumps([asdict(figure) for figure in figures]) if options.json else _record.show(figures))
    return 0


def both(port: int, bodies: list[bytes], url: str, runs: int) -> tuple[list[float], list[float]]:
    """CPU microseconds a message of ours and of the peer, measured in turn."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(runs))
        return _record.interleave(
            lambda: side("ours", port, bodies, f"{folder}/{next(numbers)}"),
            lambda: side("peer", port, bodies, url),
            runs,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
