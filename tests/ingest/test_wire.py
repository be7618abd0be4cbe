"""Payloads, topics, readings and clocks of the wire."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.payloads import _CHECKS
from ingest.wire import (
    REASONS,
    TYPES,
    UNIT_STATES,
    Aliases,
    Birth,
    Data,
    Event,
    Gap,
    PlantClock,
    PlantTime,
    Row,
    Tag,
    WireError,
    decode,
    encode,
    parse,
    parse_topic,
    root,
    topic,
)
from sim.plant import STATES
from tests.ingest.kit import CELL1, data

GOOD = b'{"e":"9f","s":1,"t0":5,"i":[1],"dt":[0],"v":[2],"q":[0]}'


def changed(old: bytes, new: bytes) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new)


CMD_BACKWARDS = (
    b'{"id":"c","target":"t","value":1,"not_before":5,"expires":5,"lease_s":1,"state":"","rec":"","issuer":"","sig":""}'
)

BAD = [
    ("not_utf8", b"\xff\xfe"),
    ("not_utf8", changed(b"9f", b"\xff")),
    ("not_json", b""),
    ("not_json", b"hello"),
    ("not_json", GOOD[:-1]),
    ("not_json", GOOD + b"x"),
    ("wrong_type", b"5"),
    ("wrong_type", b"[" * 9000),
    ("wrong_type", b"{}"),
    ("wrong_type", changed(b'"s":1', b'"s":"1"')),
    ("wrong_type", changed(b'"s":1', b'"s":1.5')),
    ("wrong_type", changed(b'"s":1', b'"s":null')),
    ("wrong_type", changed(b"[2]", b'["2"]')),
    ("wrong_type", changed(b"[2]", b"[true]")),
    ("wrong_type", changed(b"[2]", b"[null]")),
    ("wrong_type", changed(b"[2]", b"[]")),
    ("bad_number", changed(b"[2]", b"[NaN]")),
    ("bad_number", changed(b"[2]", b"[Infinity]")),
    ("bad_number", changed(b"[2]", b"[-Infinity]")),
    ("bad_number", changed(b"[2]", b"[1e400]")),
    ("bad_number", changed(b"[2]", b"[1e17]")),
    ("bad_number", changed(b"[2]", b"[1" + b"0" * 400 + b"]")),
    ("bad_number", changed(b'"s":1', b'"s":-1')),
    ("bad_number", changed(b'"s":1', b'"s":1' + b"0" * 5000)),
    ("bad_number", changed(b"[0]}", b"[6]}")),
    ("too_deep", GOOD[:-1] + b',"x":' + b"[" * 9000 + b"]" * 6000 + b"}"),
    ("too_big", GOOD[:-1] + b',"x":"' + b"x" * 16384 + b'"}'),
    ("bad_id", changed(b"9f", b"9F")),
    ("bad_id", changed(b"9f", b"9f\\n")),
    ("bad_id", changed(b"9f", b"../x")),
    ("columns", changed(b'"i":[1]', b'"i":[1,1]')),
]


@pytest.mark.parametrize(("reason", "body"), BAD, ids=[f"{r}-{n}" for n, (r, _) in enumerate(BAD)])
def test_bad_payloads_are_refused_with_their_reason(reason: str, body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        parse("data", body)
    assert caught.value.reason == reason


REC = (
    b'{"id":"r-1","control":"cap","from":6,"to":8,"expires":9,"gain":{"mean":1,"lo":0,"hi":2,"unit":"EUR","worse":0.1}'
)
CAP, LEVEL = b'{"control":"cap","from":6,"to":8}', b'{"control":"level","from":60,"to":80}'


def test_a_recommendation_may_move_several_controls() -> None:
    assert parse("rec", REC + b"}").moves is None  # as it was written before there were several
    moves = parse("rec", REC + b',"moves":[' + CAP + b"," + LEVEL + b"]}").moves
    assert [(m.control, m.from_, m.to) for m in moves] == [("cap", 6, 8), ("level", 60, 80)]


@pytest.mark.parametrize(
    ("reason", "moves"),
    [
        ("wrong_type", b"[]"),
        ("wrong_type", b"[" + b",".join([CAP] * 65) + b"]"),
        ("wrong_type", b'[{"control":"cap","from":6}]'),
        ("wrong_type", b'["cap"]'),
        ("bad_range", b"[" + LEVEL + b"," + CAP + b"]"),
        ("bad_range", b"[" + CAP.replace(b"8", b"9") + b"]"),
        ("columns", b"[" + CAP + b"," + LEVEL + b"," + LEVEL + b"]"),
    ],
)
def test_moves_that_make_no_sense_are_refused(reason: str, moves: bytes) -> None:
    with pytest.raises(WireError) as caught:
        parse("rec", REC + b',"moves":' + moves + b"}")
    assert caught.value.reason == reason


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from(sorted(TYPES)))
def test_nothing_but_a_wire_error_comes_of_rubbish(body: bytes, kind: str) -> None:
    try:
        payload = parse(kind, body)
    except WireError as error:
        found = error.reason in REASONS
    else:
        found = isinstance(payload, TYPES[kind])
    assert found


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_still_a_payload(place: int, byte: int) -> None:
    body = GOOD[:place] + bytes([byte]) + GOOD[place + 1 :]
    try:
        found = parse("data", body)
    except WireError:
        return
    assert isinstance(found, Data)
    assert all(-(2**53) <= v <= 2**53 for v in found.v)


def test_unknown_fields_are_allowed_so_that_versions_can_meet() -> None:
    assert parse("data", changed(b'"e"', b'"new":{"a":[1]},"e"')).s == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("gap", b'{"e":"a","s":5,"from":3,"to":5,"why":"x"}'),
        ("gap", b'{"e":"a","s":5,"from":4,"to":3,"why":"x"}'),
        ("req", b'{"want":"replay","expires":1}'),
        ("cmd", CMD_BACKWARDS),
    ],
)
def test_ranges_that_make_no_sense(kind: str, body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        parse(kind, body)
    assert caught.value.reason == "bad_range"
    assert kind in _CHECKS


def test_a_birth_with_an_alias_twice_is_refused() -> None:
    tags = [Tag(i=0, name="a", type="int"), Tag(i=0, name="b", type="int")]
    with pytest.raises(WireError, match="same alias"):
        parse("birth", encode(Birth(v=1, e="e", s=0, sw="", tags=tags)))
    with pytest.raises(WireError) as caught:
        parse("birth", b'{"v":2,"e":"e","s":0,"sw":"","tags":[]}')
    assert caught.value.reason == "wrong_type"


def test_encode_refuses_what_no_broker_would_carry() -> None:
    with pytest.raises(WireError, match="at most 16384"):
        encode(Data(e="e", s=1, t0=0, i=[1] * 9000, dt=[0] * 9000, v=[0.5] * 9000, q=[0] * 9000))


def test_topics_there_and_back() -> None:
    source = root("demo", "a-1", "l_2", "c3")
    assert topic(source, "data") == "ptw/v1/demo/a-1/l_2/c3/data"
    found = parse_topic(topic(source, "cmdack", "c-1"))
    assert (found.root, found.site, found.cell, found.kind, found.id) == (source, "demo", "c3", "cmdack", "c-1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ptw/v1/a/b/c/d/dta", "bad_topic"),
        ("ptw/v2/a/b/c/d/data", "bad_topic"),
        ("ptw/v1/a/b/c/d", "bad_topic"),
        ("ptw/v1/a/b/c/d/data/x", "bad_topic"),
        ("ptw/v1/a/b/c/d/cmdack", "bad_topic"),
        ("ptw/v1/A/b/c/d/data", "bad_id"),
        ("ptw/v1/a//c/d/data", "bad_id"),
        ("ptw/v1/a/b\n/c/d/data", "bad_id"),
        ("ptw/v1/" + "a" * 65 + "/b/c/d/data", "bad_id"),
    ],
)
def test_bad_topics(text: str, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_topic(text)
    assert caught.value.reason == reason


def row(kind: str, body: bytes, s: int | None = 1) -> Row:
    return Row(7, 100, 50, kind, CELL1, "e1", s, body)


def test_readings_of_a_data_row() -> None:
    aliases = Aliases()
    tags = [Tag(i=3, name="turn/count", type="counter"), Tag(i=9, name="b1/level", type="int")]
    assert decode(row("birth", encode(Birth(v=1, e="e1", s=1, sw="", tags=tags)), None), aliases) == []
    body = encode(Data(e="e1", s=4, t0=1000, i=[3, 9, 3], dt=[0, -5, 10], v=[1, 2.5, 3], q=[0, 1, 2]))
    found = decode(row("data", body, 4), aliases)
    assert [(r.t, r.name, r.value, r.quality, r.s, r.pos) for r in found] == [
        (1000, "turn/count", 1.0, 0, 4, 7),
        (995, "b1/level", 2.5, 1, 4, 7),
        (1010, "turn/count", 3.0, 2, 4, 7),
    ]
    assert aliases.holder("b1/level") == [CELL1]


def test_a_new_epoch_has_a_table_of_its_own_and_the_old_one_is_still_readable() -> None:
    aliases = Aliases()
    for epoch, name in (("e1", "old"), ("e2", "new")):
        birth = Birth(v=1, e=epoch, s=1, sw="", tags=[Tag(i=1, name=name, type="int")])
        decode(Row(1, 0, 0, "birth", CELL1, epoch, None, encode(birth)), aliases)
    names = [decode(row("data", data(1, epoch)), aliases)[0].name for epoch in ("e1", "e2")]
    assert names == ["old", "new"]
    with pytest.raises(WireError, match="no birth"):
        decode(row("data", data(1, "e3")), aliases)


def test_readings_of_events() -> None:
    count = Event(e="e1", s=1, t=77, kind="work_end", thing="turn", count=5121)
    state = Event(e="e1", s=1, t=78, kind="state", thing="turn", state="down")
    alarm = Event(e="e1", s=1, t=79, kind="alarm", thing="turn", text="door open")
    found = [decode(row("event", encode(e)), Aliases()) for e in (count, state, alarm)]
    flat = [(r.name, r.value, r.t) for rs in found for r in rs]
    assert flat == [("turn/work_end", 5121.0, 77), ("turn/state", 5.0, 78)]
    assert decode(row("gap", encode(Gap(e="e1", s=4, from_=1, to=2, why="x"))), Aliases()) == []


def test_state_codes_are_those_of_the_plant() -> None:
    assert UNIT_STATES == STATES


@given(st.integers(0, 2**41), st.integers(0, 2**41), st.sampled_from([1.0, 60.0, 0.5, 1000.0]), st.integers(0, 10**7))
def test_plant_clock_and_its_inverse(origin: int, wall: int, speed: float, passed: int) -> None:
    clock = PlantClock.of(PlantTime(origin=origin, speed=speed, wall=wall), recv=0)
    assert clock.at(wall) == origin
    assert clock.at(wall + passed) == origin + round(passed * speed)
    assert abs(clock.wall_of(clock.at(wall + passed)) - (wall + passed)) <= 1 + 1 / speed


def test_without_a_declared_clock_plant_time_is_wall_time() -> None:
    assert PlantClock.of(None, recv=5).at(1234) == 1234
    assert PlantClock.of(PlantTime(origin=9, speed=2.0), recv=100).at(105) == 19


def test_the_wire_needs_nothing_heavy() -> None:
    code = (
        "import sys, ingest.wire, ingest.keys, ingest.watermark; "
        "heavy = ('numba', 'numpy', 'torch', 'paho', 'dash', 'fastapi', 'cryptography', 'yaml');"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
