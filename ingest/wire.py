"""The wire contract, version 1, as code: payloads, topics, readings, clocks.

This is the one module that others import for the wire (the gateway, the virtual plant, the tracker,
the tests). It needs msgspec and nothing else. The prose is in `docs/wire.md`, the JSON Schemas
are in `ingest/schemas/`.

    birth = Birth(v=1, e="9f2c51d0", s=1, sw="mine 1.0", tags=[Tag(i=0, name="turn/count", type="counter")])
    client.publish(topic(root("demo", "machining", "line3", "cell1"), "birth"), encode(birth), qos=1, retain=True)
"""

from __future__ import annotations

from ingest.codes import BAD, ESTIMATED, GOOD, MANUAL, PACKML_STATES, QUALITIES, REASONS, STALE, UNCERTAIN, UNIT_STATES
from ingest.payloads import (
    CMD_STEPS,
    MAX_BYTES,
    NUMBERED,
    TYPES,
    Ack,
    Birth,
    Cmd,
    CmdAck,
    Data,
    Event,
    Gain,
    Gap,
    Payload,
    PlantTime,
    Rec,
    RecMove,
    Req,
    Status,
    Supply,
    Tag,
    Trouble,
    TwinState,
    WireError,
    encode,
    parse,
)
from ingest.readings import (
    ROW_KINDS,
    Aliases,
    Manual,
    Plain,
    PlantClock,
    Reading,
    Row,
    Tick,
    check_tags,
    decode,
    wall_ms,
)
from ingest.topics import DOWN, PREFIX, TWIN_CELL, UP, Topic, parse_topic, root, topic, twin_state_topic

__all__ = [
    "BAD", "CMD_STEPS", "DOWN", "ESTIMATED", "GOOD", "MANUAL", "MAX_BYTES", "NUMBERED", "PACKML_STATES", "PREFIX",
    "QUALITIES", "REASONS", "ROW_KINDS", "STALE", "TWIN_CELL", "TYPES", "UNCERTAIN", "UNIT_STATES", "UP", "Ack",
    "Aliases", "Birth", "Cmd", "CmdAck", "Data", "Event", "Gain", "Gap", "Manual", "Payload", "Plain", "PlantClock",
    "PlantTime", "Reading", "Rec", "RecMove", "Req", "Row", "Status", "Supply", "Tag", "Tick", "Topic", "Trouble",
    "TwinState", "WireError", "check_tags", "decode", "encode", "parse", "parse_topic", "root", "topic",
    "twin_state_topic", "wall_ms",
]  # fmt: skip
