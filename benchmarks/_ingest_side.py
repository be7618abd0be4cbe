"""One side of row 13 in a process of its own: `python -m benchmarks._ingest_side ours|peer PORT N FOLDER|URL`.

It says `ready`, takes N messages, and prints its CPU seconds from the first line on standard input to the last message
being safe: for ours in the journal and acknowledged, for the peer taken by the server.
"""

# mypy: disable-error-code=no-untyped-call
# (influxdb-client has only half of its types)
from __future__ import annotations

import json
import logging
import sys
import threading
import time
from pathlib import Path

SOURCE = "ptw/v1/bench/a/b/cell1"


def ours(port: int, count: int, folder: str) -> float:
    """The ingest service as it ships, without its HTTP interface."""
    from ingest.message import Line
    from ingest.service import Service, Settings

    service = Service(Settings(Path(folder), "127.0.0.1", port, Line("bench", "a", "b")))
    service.start()
    while not service.link.connected:
        time.sleep(0.01)
    time.sleep(0.3)
    began = begin()
    while (mark := service.intake.marks.get((SOURCE, "e1"))) is None or mark.hw < count:
        time.sleep(0.05)
    time.sleep(0.1)  # the last batch is being written
    used = time.process_time() - began
    service.stop()
    return used


def peer(port: int, count: int, url: str) -> float:
    """What people write: paho acknowledging by itself, json, Point, the batching WriteApi with its defaults."""
    import paho.mqtt.client as mqtt
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write.point import Point
    from influxdb_client.client.write_api import WriteOptions
    from paho.mqtt.enums import CallbackAPIVersion

    client = InfluxDBClient(url=url, token="t", org="o")  # noqa: S106 - the server looks at none
    api = client.write_api(write_options=WriteOptions())
    done, seen = threading.Event(), 0

    def on_message(_client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        nonlocal seen
        if not message.topic.endswith("/data"):
            return
        got = json.loads(message.payload)
        _, _, site, area, line, cell, _ = message.topic.split("/")
        for i, dt, v, q in zip(got["i"], got["dt"], got["v"], got["q"], strict=True):
            point = Point("reading").tag("site", site).tag("area", area).tag("line", line).tag("cell", cell)
            point = point.tag("tag", f"tag{i}").field("value", float(v)).field("q", q)
            api.write(bucket="b", record=point.time(got["t0"] + dt, "ms"))
        seen += 1
        if seen == count:
            done.set()

    taker = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="peer", protocol=mqtt.MQTTv5)
    taker.on_message = on_message
    taker.connect("127.0.0.1", port)
    taker.loop_start()
    taker.subscribe("ptw/v1/bench/#", qos=1)
    time.sleep(0.5)
    began = begin()
    done.wait()
    api.close()
    used = time.process_time() - began
    taker.disconnect()
    taker.loop_stop()
    client.close()
    return used


def begin() -> float:
    """Say that we are ready, wait for the start, return the CPU time used so far."""
    print("ready", flush=True)
    sys.stdin.readline()
    return time.process_time()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    run = ours if sys.argv[1] == "ours" else peer
    print(run(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]), flush=True)
