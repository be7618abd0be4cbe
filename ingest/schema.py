"""JSON Schemas of the wire with one worked example each: `python -m ingest.schema` writes ingest/schemas/*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from ingest.payloads import TYPES

FOLDER = Path(__file__).resolve().parent / "schemas"

_E = "9f2c51d0"
EXAMPLES: dict[str, dict[str, Any]] = {
    "birth": {
        "v": 1, "e": _E, "s": 1, "sw": "plantwin 0.1.0",
        "tags": [
            {"i": 0, "name": "turn/state", "type": "enum",
             "enum": ["idle", "work", "blocked", "starved", "setup", "down", "off"]},
            {"i": 1, "name": "turn/count", "type": "counter"},
            {"i": 2, "name": "b1/level", "type": "int", "unit": "parts", "range": [0, 4]},
        ],
        "plant_time": {"origin": 1767592800000, "speed": 60, "wall": 1767592800000},
    },
    "status": {"online": True, "e": _E, "ts": 1767592800000,
               "degraded": [{"what": "outbox_filling", "since": 1767592500000, "text": "the outbox is 61% full"}]},
    "data": {"e": _E, "s": 1841, "t0": 1767600000000, "i": [1, 2, 1], "dt": [0, 0, 60000], "v": [5120, 3, 5121],
             "q": [0, 0, 0]},
    "event": {"e": _E, "s": 1842, "t": 1767600060000, "kind": "work_end", "thing": "turn", "product": "housing",
              "count": 5121},
    "gap": {"e": _E, "s": 1843, "from": 1700, "to": 1712, "why": "outbox_full"},
    "hist": {"e": _E, "s": 1650, "h": 1, "t0": 1767596400000, "i": [2], "dt": [0], "v": [1], "q": [0]},
    "ack": {"e": _E, "hw": 1843, "holes": [[1845, 1846]], "ts": 1767600062000},
    "req": {"e": _E, "want": "replay", "from": 1845, "to": 1846, "expires": 1767600662000},
    "cmd": {"id": "c-20260105-0007", "target": "cap", "value": 8, "not_before": 1767600070000,
            "expires": 1767607270000, "lease_s": 14400, "state": "sha256:ab12", "rec": "r-41", "issuer": "twin@demo",
            "sig": "ed25519:bzAvogdy9hHKTZh2qGOEdN7HFN4IQ10XGAaCB9SygSi3ENuI69ZPdVk-pB_iq5m7A7m2WsLUZ-RTKUj0OHCiCg=="},
    "cmdack": {"e": _E, "s": 1850, "id": "c-20260105-0007", "step": "executed", "read_back": 8, "t": 1767600072000},
    "supply": {"doc": "PO-8812", "version": 3, "kind": "purchase_order", "item": "coil", "quantity": 400,
               "due": 1767952800000, "supplier": "acme", "issued": 1767589200000},
    "rec": {"id": "r-41", "control": "cap", "from": 6, "to": 8,
            "gain": {"mean": 18.0, "lo": 4.1, "hi": 31.9, "unit": "EUR", "worse": 0.04}, "expires": 1767607265000,
            "moves": [{"control": "cap", "from": 6, "to": 8}, {"control": "coil_level", "from": 60, "to": 80}]},
    "state": {"online": True, "ts": 1767600062000},
}  # fmt: skip
"""One worked example of each payload, by kind."""


BEYOND: dict[str, str] = {
    "birth": "retained, QoS 1; no two tags share i or name; s is the epoch's first number, the birth takes none",
    "status": "retained, QoS 1, also the last will with online false (then ts may be 0), and when degraded changes",
    "data": "QoS 1, never retained; i, dt, v and q have one length; every i is a tag of the epoch's birth",
    "event": "QoS 1, never retained; carries the count or the state it leads to",
    "gap": "QoS 1, never retained; from <= to < s",
    "hist": "QoS 1, never retained; columns as data; s is the number that the message always had",
    "ack": "retained; every number up to hw is on disk or covered; holes lie above hw, lowest first",
    "req": "not retained; void after expires",
    "cmd": "never retained; not_before < expires; the signature covers every field but sig",
    "cmdack": "QoS 1, never retained; id as in the topic; executed carries read_back, rejected and lease_ended reason",
    "supply": "not retained; known by doc and version, the highest version holds; bom_change: ref is the product",
    "rec": "retained, advisory: only a command may be acted on; moves[0] is control, from and to; no control twice",
    "state": "retained, also the twin's last will with online false",
}
"""What the contract says beyond the schema, as its `$comment`."""


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a payload, its example included."""
    found = msgspec.json.schema(TYPES[kind])
    definition: dict[str, Any] = found["$defs"][str(found["$ref"]).rsplit("/", 1)[1]]
    if kind == "hist":
        definition["required"] = [*definition["required"], "h"]
    elif kind == "req":
        replay = {"properties": {"want": {"const": "replay"}}}
        definition |= {"if": replay, "then": {"required": ["e", "from", "to"]}}
    title = {"state": "_twin/state"}.get(kind, kind)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"plantwin wire 1: {title}"}
    head["$comment"] = BEYOND[kind]
    return head | found | {"examples": [EXAMPLES[kind]]}


def text(kind: str) -> str:
    """The content of `schemas/KIND.json`."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all schema files."""
    FOLDER.mkdir(exist_ok=True)
    for kind in TYPES:
        (FOLDER / f"{kind}.json").write_text(text(kind))


if __name__ == "__main__":
    main()
