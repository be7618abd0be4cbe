"""Sparkplug B 3.0 payloads: topics, decoding with limits, values by data type, and the two messages a host may send.

Pure functions; no MQTT, no state. What concerns one metric (a type that is no number, a value out of range) never costs
the message: the metric is counted and the others are taken. What makes the message unreadable raises WireError.
The public specification is "Eclipse Sparkplug Specification 3.0.0"; chapters are named where they matter.
"""

from __future__ import annotations

import math
import re
import zlib
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import DecodeError

from ingest.codes import BAD, GOOD, STALE, UNCERTAIN
from ingest.payloads import BIG, WireError
from ingest.sparkplug_pb import Payload

NAMESPACE = "spBv1.0"
MAX_BYTES = 1 << 20
"""Largest payload, as it comes and after decompression; empty metrics of this size need about 50 MB while parsed."""
MAX_RATIO = 200
"""A compressed payload that grows more than this (beyond 64 KiB) is a bomb: telemetry shrinks far less."""
MAX_METRICS = 20_000
COMPRESSED = "SPBV1.0_COMPRESSED"
REBIRTH = "Node Control/Rebirth"
BDSEQ = "bdSeq"
NODE_VERBS = frozenset({"NBIRTH", "NDEATH", "NDATA", "NCMD"})
DEVICE_VERBS = frozenset({"DBIRTH", "DDEATH", "DDATA", "DCMD"})
NODE_LEVEL = "_node"
"""Stands for the device in the raw name of a metric of the edge node itself."""
BOOLEAN = 11

DATATYPES = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
    "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList",
    "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array",
    "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
)  # fmt: skip
"""Data types by number (chapter 6, "Data Types")."""

Value = float | str
_ID = re.compile(r"[^+/#\x00-\x1f\x7f]{1,128}\Z")
_QUALITY = {0: BAD, 192: GOOD, 500: STALE}
_BITS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64}
_WIDTH = {"int_value": 32, "long_value": 64}
_BY_FIELD = {
    "int_value": "Int", "bytes_value": "Bytes", "dataset_value": "DataSet", "template_value": "Template",
}  # fmt: skip


class Address(NamedTuple):
    """A Sparkplug topic taken apart; `device` is "" for a verb of the edge node."""

    group: str
    verb: str
    node: str
    device: str


class Metric(NamedTuple):
    """A metric as it came: `field` names the value's protobuf field (None: none), `raw` is what stands there."""

    name: str
    alias: int | None
    t: int | None
    datatype: int
    historical: bool
    transient: bool
    null: bool
    field: str | None
    raw: Any
    quality: int


class Decoded(NamedTuple):
    """A payload: `t` and `seq` are None where they are missing."""

    t: int | None
    seq: int | None
    metrics: list[Metric]


class Unstored(ValueError):  # noqa: N818 - it is no error of the program
    """A metric without a value that can be stored; `reason` is a data type's name or a reason of rejection."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@lru_cache(maxsize=8192)
def parse_address(topic: str) -> Address:
    """Take `spBv1.0/GROUP/VERB/NODE[/DEVICE]` apart; raises WireError bad_topic or bad_id."""
    parts = topic.split("/")
    if len(parts) not in (4, 5) or parts[0] != NAMESPACE:
        raise WireError("bad_topic", f"expected {NAMESPACE}/GROUP/VERB/NODE[/DEVICE], found {topic[:200]!r}")
    verb = parts[2]
    if verb not in (NODE_VERBS if len(parts) == 4 else DEVICE_VERBS):
        raise WireError("bad_topic", f"{verb[:40]!r} is no verb of a topic with {len(parts)} levels: {topic[:200]!r}")
    for part in (parts[1], *parts[3:]):
        if not _ID.match(part) or part == NODE_LEVEL:
            raise WireError("bad_id", f"{part[:80]!r} in {topic[:200]!r} is no Sparkplug id")
    return Address(parts[1], verb, parts[3], parts[4] if len(parts) == 5 else "")


def decode(body: bytes) -> Decoded:
    """The payload of a message, decompressed where it is compressed.

    Raises WireError too_big, not_protobuf, not_utf8, bomb or bad_number (a sequence number that cannot be one).
    """
    if len(body) > MAX_BYTES:
        raise WireError("too_big", f"{len(body)} bytes, at most {MAX_BYTES} are taken")
    outer = _parse(body)
    inner = outer
    if outer.uuid == COMPRESSED:
        inner = _parse(_inflate(outer.body))
        if inner.uuid == COMPRESSED:
            raise WireError("bomb", "a compressed payload inside a compressed payload")
    if len(inner.metrics) > MAX_METRICS:
        raise WireError("too_big", f"{len(inner.metrics)} metrics, at most {MAX_METRICS} are taken")
    seq = _first(inner, outer, "seq")
    if seq is not None and seq > 255:
        raise WireError("bad_number", f"sequence number {seq} is beyond 255")
    metrics = [_metric(m) for m in inner.metrics]
    return Decoded(_time(_first(inner, outer, "timestamp")), seq, metrics)


def _first(inner: Any, outer: Any, name: str) -> int | None:
    """Clients differ in whether a compressed payload carries time and sequence number inside or outside."""
    for payload in (inner, outer):
        if payload.HasField(name):
            return int(getattr(payload, name))
    return None


def _parse(body: bytes) -> Any:
    try:
        return Payload.FromString(body)
    except (DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise WireError("not_protobuf", str(error)[:200]) from None


def _inflate(packed: bytes) -> bytes:
    """Unpack zlib or gzip, whichever it is (chapter 6 leaves compression to a convention: uuid and body)."""
    machine = zlib.decompressobj(wbits=47)
    try:
        found = machine.decompress(packed, MAX_BYTES + 1)
        if len(found) > MAX_BYTES:
            raise WireError("bomb", f"{len(packed)} bytes unpack to more than {MAX_BYTES}")
        if len(found) > max(1 << 16, MAX_RATIO * len(packed)):
            raise WireError("bomb", f"{len(packed)} bytes unpack to {len(found)}, more than {MAX_RATIO} times as many")
        if not machine.eof:
            raise WireError("not_protobuf", "the compressed body is cut off")
    except zlib.error as error:
        raise WireError("not_protobuf", f"the compressed body cannot be unpacked: {error}") from None
    return found


def _time(ms: int | None) -> int | None:
    """A time that can be one: 0 (never set) counts as missing, and so does what is beyond the year 9999."""
    return ms if ms is not None and 0 < ms < 253_402_300_800_000 else None


def _metric(m: Any) -> Metric:
    field = m.WhichOneof("value")
    null = m.is_null or field is None
    name = m.name
    if not isinstance(name, str):  # proto2 hands out what is not UTF-8 as bytes
        raise WireError("not_utf8", f"a metric's name is not UTF-8: {name[:60]!r}")
    return Metric(
        name,
        m.alias if m.HasField("alias") else None,
        _time(m.timestamp),
        m.datatype,
        m.is_historical,
        m.is_transient,
        null,
        field,
        None if null else getattr(m, field),
        _quality(m) if m.HasField("properties") else GOOD,
    )


def _quality(m: Any) -> int:
    """The `Quality` property: 0 bad, 192 good, 500 stale; any other number is doubtful."""
    for key, value in zip(m.properties.keys, m.properties.values, strict=False):
        if isinstance(key, str) and key.lower() == "quality" and value.WhichOneof("value") in _WIDTH:
            return _QUALITY.get(value.int_value or value.long_value, UNCERTAIN)
    return GOOD


def scalar(metric: Metric, datatype: int) -> Value:
    """The number (or text) of a metric of a data type; DateTime is UTC ms, Boolean 0 or 1.

    Raises Unstored: with the type's name where the type is no scalar, else null, bad_number, bad_range or wrong_type.
    """
    field, raw = metric.field, metric.raw
    if metric.null or field is None:
        raise Unstored("null")
    if datatype in (9, 10):
        if field not in ("float_value", "double_value"):
            raise Unstored("wrong_type")
        return _finite(raw)
    if 1 <= datatype <= 8:
        if field not in _WIDTH:
            raise Unstored("wrong_type")
        return _integer(raw, min(_BITS[datatype], _WIDTH[field]), _WIDTH[field], signed=datatype <= 4)
    if datatype == BOOLEAN:
        if field == "boolean_value" or (field in _WIDTH and raw in (0, 1)):
            return float(raw)
        raise Unstored("wrong_type")
    if datatype in (12, 14, 15):
        if field != "string_value":
            raise Unstored("wrong_type")
        return _text(raw)
    if datatype == 13:
        return _finite(raw) if field in _WIDTH else _wrong()
    if datatype == 0:
        return _untyped(field, raw)
    raise Unstored(DATATYPES[datatype] if datatype < len(DATATYPES) else "Unknown")


def _text(raw: str | bytes) -> str:
    if isinstance(raw, bytes):
        raise Unstored("not_utf8")
    return raw


def _wrong() -> float:
    raise Unstored("wrong_type")


def _untyped(field: str, raw: Any) -> Value:
    """A birth that forgot the data type (against the specification): only what can mean one thing is taken."""
    if field in ("float_value", "double_value", "boolean_value"):
        return _finite(raw)
    if field == "string_value":
        return _text(raw)
    if field in _WIDTH and raw < 1 << (_WIDTH[field] - 1):
        return _finite(raw)
    raise Unstored("Unknown" if field in _WIDTH else _BY_FIELD[field])


def _integer(raw: int, bits: int, width: int, *, signed: bool) -> float:
    """Two's complement of `bits`, whether the sender extended the sign to the field's `width` or not."""
    value = raw
    if signed:
        half = 1 << (bits - 1)
        if half <= raw < 2 * half:
            value = raw - 2 * half
        elif raw >= (1 << width) - half:
            value = raw - (1 << width)
        elif raw >= half:
            raise Unstored("bad_range")
    elif raw >> bits:
        raise Unstored("bad_range")
    return _finite(value)


def _finite(value: float) -> float:
    if not math.isfinite(value) or abs(value) > BIG:
        raise Unstored("bad_number")
    return float(value)


def bdseq(metrics: list[Metric]) -> int | None:
    """The birth-death sequence number among the metrics, None where there is none."""
    for metric in metrics:
        if metric.name == BDSEQ and metric.field in _WIDTH:
            return int(metric.raw)
    return None


def raw_name(group: str, node: str, device: str, metric: str) -> str:
    """The name by which rules know a metric: a virtual topic."""
    return f"{NAMESPACE}/{group}/{node}/{device or NODE_LEVEL}/{metric}"


def state_topic(host_id: str) -> str:
    """Where a host application says that it is online."""
    return f"{NAMESPACE}/STATE/{host_id}"


def state(*, online: bool, t: int) -> bytes:
    """Birth or death certificate of a host application; `t` is UTC ms."""
    return msgspec.json.encode({"online": online, "timestamp": t})


def rebirth(group: str, node: str, t: int) -> tuple[str, bytes]:
    """Topic and payload of the one command that plantwin ever gives a foreign edge node; `t` is UTC ms."""
    made = Payload(timestamp=t)
    made.metrics.add(name=REBIRTH, timestamp=t, datatype=BOOLEAN, boolean_value=True)
    return f"{NAMESPACE}/{group}/NCMD/{node}", made.SerializeToString()
