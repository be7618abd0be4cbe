"""Sparkplug payloads: each data type as clients really write it, compression, and everything that is no payload."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codes import REASONS
from ingest.sparkplug import (
    COMPRESSED,
    DATATYPES,
    MAX_BYTES,
    Metric,
    Unstored,
    bdseq,
    decode,
    parse_address,
    rebirth,
    scalar,
    state,
    state_topic,
)
from ingest.sparkplug_pb import CLASSES, Payload, file_descriptor
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN, WireError
from tests.ingest.sparkplug_kit import FIELDS, Edge, put

T = 1_767_592_800_000


def one(datatype: int, **fields: Any) -> Metric:
    payload = Payload(timestamp=T, seq=3)
    payload.metrics.add(name="x", datatype=datatype, timestamp=T, **fields)
    (metric,) = decode(payload.SerializeToString()).metrics
    return metric


def value(datatype: int, **fields: Any) -> float | str:
    return scalar(one(datatype, **fields), datatype)


def refused(datatype: int, **fields: Any) -> str:
    with pytest.raises(Unstored) as why:
        value(datatype, **fields)
    return why.value.reason


@pytest.mark.parametrize(
    ("datatype", "fields", "expected"),
    [
        (1, {"int_value": 0xFFFFFFFF}, -1.0), (1, {"int_value": 0xFF}, -1.0), (1, {"int_value": 0x80}, -128.0),
        (1, {"int_value": 127}, 127.0), (2, {"int_value": 0xFFFF8000}, -32768.0), (2, {"int_value": 0x8000}, -32768.0),
        (3, {"int_value": 0x80000000}, -(2.0**31)), (3, {"long_value": 2**64 - 5}, -5.0),
        (4, {"long_value": 2**64 - 1}, -1.0), (4, {"long_value": 2**53 - 1}, 2.0**53 - 1), (4, {"int_value": 9}, 9.0),
        (5, {"int_value": 255}, 255.0), (6, {"int_value": 65535}, 65535.0), (7, {"long_value": 2**32 - 1}, 2.0**32 - 1),
        (7, {"int_value": 2**32 - 1}, 2.0**32 - 1), (8, {"long_value": 2**53}, 2.0**53),
        (9, {"float_value": 0.5}, 0.5), (10, {"double_value": -1e9}, -1e9), (9, {"double_value": 0.25}, 0.25),
        (11, {"boolean_value": True}, 1.0), (11, {"int_value": 0}, 0.0), (13, {"long_value": T}, float(T)),
        (12, {"string_value": "Execute"}, "Execute"), (14, {"string_value": ""}, ""), (15, {"string_value": "u"}, "u"),
        (0, {"double_value": 2.0}, 2.0), (0, {"int_value": 5}, 5.0), (0, {"string_value": "s"}, "s"),
    ],
)  # fmt: skip
def test_scalars_of_every_type(datatype: int, fields: dict[str, Any], expected: float | str) -> None:
    assert value(datatype, **fields) == expected


@pytest.mark.parametrize(
    ("datatype", "fields", "reason"),
    [
        (1, {"int_value": 300}, "bad_range"), (5, {"int_value": 256}, "bad_range"),
        (6, {"int_value": 65536}, "bad_range"),
        (8, {"long_value": 2**53 + 1}, "bad_number"), (4, {"long_value": 2**62}, "bad_number"),
        (9, {"float_value": float("nan")}, "bad_number"), (10, {"double_value": float("inf")}, "bad_number"),
        (10, {"double_value": 1e300}, "bad_number"), (3, {"string_value": "5"}, "wrong_type"),
        (12, {"int_value": 5}, "wrong_type"), (11, {"int_value": 2}, "wrong_type"),
        (13, {"float_value": 1}, "wrong_type"),
        (3, {"is_null": True}, "null"), (3, {}, "null"), (17, {"bytes_value": b"x"}, "Bytes"),
        (18, {"bytes_value": b"x"}, "File"), (16, {"dataset_value": CLASSES["DataSet"]()}, "DataSet"),
        (19, {"template_value": CLASSES["Template"]()}, "Template"), (20, {"bytes_value": b""}, "PropertySet"),
        (99, {"int_value": 1}, "Unknown"), (0, {"int_value": 2**32 - 1}, "Unknown"), (0, {"bytes_value": b""}, "Bytes"),
        *((n, {"bytes_value": b"\0"}, DATATYPES[n]) for n in range(22, 35)),
    ],
)  # fmt: skip
def test_what_is_no_number_is_named(datatype: int, fields: dict[str, Any], reason: str) -> None:
    assert refused(datatype, **fields) == reason


@given(st.sampled_from([1, 2, 3, 4]), st.data())
def test_signed_integers_come_back_whatever_the_width(datatype: int, data: st.DataObject) -> None:
    bits = {1: 8, 2: 16, 3: 32, 4: 54}[datatype]
    number = data.draw(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    payload = Payload()
    put(payload, "x", datatype, number)
    (metric,) = decode(payload.SerializeToString()).metrics
    assert scalar(metric, datatype) == number
    if datatype < 4:
        assert value(datatype, int_value=number % (1 << bits)) == number  # the sign not extended


@pytest.mark.parametrize(("code", "quality"), [(0, BAD), (192, GOOD), (500, STALE), (64, UNCERTAIN)])
def test_the_quality_property(code: int, quality: int) -> None:
    payload = Payload()
    metric = payload.metrics.add(name="x", datatype=3, int_value=1)
    metric.properties.keys.extend(["engUnit", "Quality"])
    metric.properties.values.add(type=12, string_value="mm")
    metric.properties.values.add(type=3, int_value=code)
    assert decode(payload.SerializeToString()).metrics[0].quality == quality


def test_flags_times_and_numbers_of_a_payload() -> None:
    metric = one(3, int_value=1, is_historical=True, is_transient=True, alias=0)
    assert (metric.historical, metric.transient, metric.alias, metric.t) == (True, True, 0, T)
    assert decode(b"") == (None, None, [])
    assert decode(Payload(timestamp=0, seq=0).SerializeToString())[:2] == (None, 0)
    assert decode(Payload(timestamp=2**63).SerializeToString()).t is None
    assert rejected(Payload(seq=256).SerializeToString()) == "bad_number"
    assert bdseq(decode(Edge(bd=200).ndeath()[1]).metrics) == 200
    assert bdseq(decode(Edge().data(count=3)[1]).metrics) is None


def rejected(body: bytes) -> str:
    with pytest.raises(WireError) as why:
        decode(body)
    assert why.value.reason in REASONS
    return why.value.reason


def packed(inner: bytes, algorithm: str, seq: int | None = None) -> bytes:
    body = gzip.compress(inner) if algorithm == "GZIP" else zlib.compress(inner)
    outer = Payload(uuid=COMPRESSED, body=body)
    if seq is not None:
        outer.seq = seq
    outer.metrics.add(name="algorithm", datatype=12, string_value=algorithm)
    return bytes(outer.SerializeToString())


@pytest.mark.parametrize("algorithm", ["GZIP", "DEFLATE"])
def test_compressed_payloads_with_time_and_number_inside_or_outside(algorithm: str) -> None:
    topic, body = Edge().nbirth()
    assert decode(packed(body, algorithm)) == decode(body)
    bare = Payload.FromString(body)
    bare.ClearField("seq")
    assert decode(packed(bare.SerializeToString(), algorithm, seq=0)) == decode(body)
    assert parse_address(topic).verb == "NBIRTH"


def test_bombs_and_broken_compression_are_refused() -> None:
    assert rejected(packed(b"\0" * (MAX_BYTES * 50), "DEFLATE")) == "bomb"  # 50 MiB in 50 KiB: stopped at 1 MiB
    assert rejected(packed(b"\0" * 500_000, "GZIP")) == "bomb"  # below the cap, but a thousandfold
    assert rejected(packed(packed(b"", "GZIP"), "GZIP")) == "bomb"
    assert rejected(Payload(uuid=COMPRESSED, body=b"nonsense").SerializeToString()) == "not_protobuf"
    assert rejected(Payload(uuid=COMPRESSED, body=zlib.compress(b"x" * 99)[:-6]).SerializeToString()) == "not_protobuf"
    assert rejected(packed(b"\xff\xff", "DEFLATE")) == "not_protobuf"


def deep(levels: int) -> bytes:
    def field(tag: bytes, inner: bytes) -> bytes:
        size, length = len(inner), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return tag + length + bytes([size]) + inner

    body = b""
    for _ in range(levels):
        body = field(b"\x12", field(b"\x92\x01", body))  # metrics { template_value { ... } }
    return body


def test_what_is_no_payload() -> None:
    assert rejected(b"\xff\xff\xff") == "not_protobuf"
    assert rejected(b'{"timestamp":1}') == "not_protobuf"
    assert rejected(b"\0" * (MAX_BYTES + 1)) == "too_big"
    assert rejected(b"\x12\x00" * 20_001) == "too_big"
    assert rejected(deep(300)) == "not_protobuf"
    assert len(decode(deep(10)).metrics) == 1
    assert rejected(b"\x12\x03\x0a\x01\xff") == "not_utf8"  # a name
    (text,) = decode(b"\x12\x03\x7a\x01\xff").metrics
    with pytest.raises(Unstored, match="not_utf8"):
        scalar(text, 12)


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_taken_or_refused_by_name(body: bytes) -> None:
    mutated = bytearray(Edge(alias=True).nbirth()[1])
    for k, byte in enumerate(body[:20]):
        mutated[(byte * 7 + k) % len(mutated)] ^= byte
    reasons: set[str] = set()
    for candidate in (body, bytes(mutated), packed(bytes(mutated), "DEFLATE")):
        try:
            found = decode(candidate)
        except WireError as error:
            reasons.add(error.reason)
            continue
        for metric in found.metrics:
            for datatype in range(36):
                try:
                    got = scalar(metric, datatype)
                except Unstored:
                    continue
                assert isinstance(got, str) or abs(got) <= 2**53
    assert reasons <= set(REASONS)


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0/g/NBIRTH", "spBv1.0/g/NBIRTH/n/d", "spBv1.0/g/DDATA/n", "spBv1.0/g/XDATA/n", "spAv1.0/g/NDATA/n",
        "spBv1.0//NDATA/n", "spBv1.0/g/NDATA/", "spBv1.0/g/DDATA/n/_node", "spBv1.0/g/DDATA/n/d/e", "spBv1.0/STATE/h",
        "spBv1.0/g/NDATA/a\x00b", f"spBv1.0/g/NDATA/{'x' * 129}",
    ],
)  # fmt: skip
def test_topics_that_are_none(topic: str) -> None:
    with pytest.raises(WireError, match=r"expected spBv1|is no verb|is no Sparkplug id"):
        parse_address(topic)


def test_topics_with_names_of_any_script() -> None:
    assert parse_address("spBv1.0/Werk Süd/DDATA/Linie 3/Presse β") == ("Werk Süd", "DDATA", "Linie 3", "Presse β")


def test_the_two_messages_a_host_may_send() -> None:
    topic, body = rebirth("plant1", "edge1", T)
    payload = Payload.FromString(body)
    assert (topic, payload.timestamp, payload.HasField("seq")) == ("spBv1.0/plant1/NCMD/edge1", T, False)
    (metric,) = payload.metrics
    assert (metric.name, metric.datatype, metric.boolean_value) == ("Node Control/Rebirth", 11, True)
    assert state_topic("twin") == "spBv1.0/STATE/twin"
    assert state(online=True, t=T) == b'{"online":true,"timestamp":%d}' % T


def test_the_schema_is_read_line_by_line() -> None:
    assert set(FIELDS.values()) <= {f.name for f in CLASSES["Metric"].DESCRIPTOR.fields}
    numbers = {f.name: f.number for f in CLASSES["Metric"].DESCRIPTOR.fields}
    assert (numbers["name"], numbers["alias"], numbers["is_null"], numbers["template_value"]) == (1, 2, 7, 18)
    assert {f.name: f.number for f in Payload.DESCRIPTOR.fields} == {
        "timestamp": 1, "metrics": 2, "seq": 3, "uuid": 4, "body": 5,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"sparkplug_b\.proto:2: expected a message"):
        file_descriptor("message A {\n  map<int32, string> x = 1;\n}\n")
