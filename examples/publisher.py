"""A small gateway: paho-mqtt, and an outbox in SQLite, so that neither a kill nor an outage loses a message.

python publisher.py HOST PORT [ptw/v1/site/area/line/cell]
plantwin wire check --broker HOST:PORT --root ptw/v1/site/area/line/cell
"""
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, PLW0603

import json
import secrets
import sqlite3
import sys
import time

import paho.mqtt.client as mqtt

HOST, PORT, ROOT = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or ["ptw/v1/demo/machining/line3/example"])[0]
NAMES = ["idle", "work", "blocked", "starved", "setup", "down", "off"]
TAGS = [
    {"i": 0, "name": "turn/state", "type": "enum", "enum": NAMES},
    {"i": 1, "name": "turn/count", "type": "counter"},
]
db = sqlite3.connect("outbox.db", isolation_level=None)  # every statement is on disk before the next one runs
db.execute("CREATE TABLE IF NOT EXISTS outbox(s INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, body TEXT)")
db.execute("CREATE TABLE IF NOT EXISTS epoch(e TEXT)")
if not db.execute("SELECT e FROM epoch").fetchone():
    db.execute("INSERT INTO epoch VALUES(?)", (secrets.token_hex(4),))  # a new outbox is a new epoch
EPOCH = db.execute("SELECT e FROM epoch").fetchone()[0]
last = db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()[0]
online = False


def now():
    return time.time_ns() // 1_000_000


def tell(kind, /, **body):  # into the outbox first, then to the broker
    global last
    last += 1
    db.execute("INSERT INTO outbox VALUES(?, ?, ?)", (last, kind, json.dumps({"e": EPOCH, "s": last} | body)))
    if online:
        again(last, last)


def again(low, high):
    for kind, body in db.execute("SELECT kind, body FROM outbox WHERE s BETWEEN ? AND ? ORDER BY s", (low, high)):
        client.publish(f"{ROOT}/{kind}", body, qos=1)


def keep(kind, /, **body):
    client.publish(f"{ROOT}/{kind}", json.dumps(body), qos=1, retain=True)


def connected(client, *_):
    client.subscribe([(f"{ROOT}/ack", 1), (f"{ROOT}/req", 1), (f"{ROOT.rsplit('/', 1)[0]}/_twin/state", 1)])
    keep("birth", v=1, e=EPOCH, s=1, sw="example 1", tags=TAGS)
    keep("status", online=True, e=EPOCH, ts=now())


def heard(client, _user, message):
    global online
    kind, body = message.topic.rsplit("/", 1)[1], json.loads(message.payload or b"{}")
    if kind == "state":
        online = body["online"]
        again(0, last if online else 0)
    elif body.get("e") != EPOCH:
        return
    elif kind == "ack":
        db.execute("DELETE FROM outbox WHERE s <= ?", (body["hw"],))
    elif body["expires"] > now() and body["want"] == "replay":
        again(body["from"], body["to"])
    elif body["expires"] > now():
        connected(client)  # rebirth, time


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.on_connect, client.on_message = connected, heard
client.will_set(f"{ROOT}/status", json.dumps({"online": False, "e": EPOCH, "ts": 0}), qos=1, retain=True)
client.connect(HOST, PORT, keepalive=10)
part, count = time.monotonic(), (last + 1) // 2
while True:
    if client.loop(0.05) != mqtt.MQTT_ERR_SUCCESS:
        online = False  # whoever comes back says so again
        time.sleep(1)
        try:
            client.reconnect()
        except OSError:
            continue
    if time.monotonic() >= part:  # here your machine is read
        part, count = part + 0.5, count + 1
        tell("data", t0=now(), i=[0, 1], dt=[0, 0], v=[1, count], q=[0, 0])
        tell("event", t=now(), kind="work_end", thing="turn", count=count)
