"""Every decoder under random input: counted, nothing changed, and no exception but the one it documents."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.commander import Commander
from hardware.gateway import Gateway
from hardware.gateway_config import GatewayConfig
from hardware.guard import REASONS
from hardware.link import Arrival
from hardware.store import Store
from ingest.api import RefusedError, checked
from ingest.intake import Intake
from ingest.message import Message
from ingest.payloads import WireError
from ingest.supplydrop import Rejected, read_rows
from ingest.topicmap import Rule, TopicMap
from ingest.topics import parse_topic
from ingest.wire import encode
from sim.plant import Plant
from sim.plantfile import load
from tests.hardware.test_commands import KEY, Bench
from tests.hardware.test_gateway_inside import HELLO, TAGS
from tests.ingest.kit import CELL1, LINE, birth, data

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(SCALAR, lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=8), c, max_size=4))
WORD = st.sampled_from("e s t0 i dt v q t kind thing id doc version item tags".split())
OBJECT = st.dictionaries(WORD, JSON, max_size=8).map(lambda found: json.dumps(found).encode())
BODY = st.binary(max_size=300) | OBJECT | st.text(max_size=80).map(str.encode)
KIND = st.sampled_from(["birth", "status", "data", "event", "gap", "hist", "cmdack", "supply", "cmd", "ack", "nothing"])


@FEW
@given(st.text(max_size=200) | st.lists(st.sampled_from(["ptw", "v1", "", "+", "é", "a" * 70, "data"])).map("/".join))
def test_topics(text: str) -> None:
    try:
        found = parse_topic(text)
    except WireError:
        return
    assert text.startswith(found.root)


@FEW
@given(st.lists(st.tuples(KIND, BODY, st.booleans()), max_size=8))
def test_intake_counts_what_it_cannot_take_and_goes_on(storm: list[tuple[str, bytes, bool]]) -> None:
    intake = Intake(LINE, TopicMap((Rule("shop/+/count", "{1}/count"),)))
    intake.take([Message(f"{CELL1}/birth", birth(), True, 1)])
    intake.take([Message(f"{CELL1}/{kind}", body, retain, 2) for kind, body, retain in storm])
    intake.take([Message("shop/turn/count", body, False, 2) for _, body, _ in storm])
    batch = intake.take([Message(f"{CELL1}/data", data(1), False, 3)])
    assert [row[5] for row in batch.rows if row[2] == "data"] == [1], "the next good message is taken as ever"


@FEW
@given(BODY, st.text(max_size=30))
def test_a_topic_map(body: bytes, word: str) -> None:
    try:
        found = TopicMap((Rule("a/+", "{1}/level"),)).convert(f"a/{word}", body, 5)
    except WireError:
        return
    assert abs(found.value) <= 2**53


@FEW
@given(st.binary(max_size=200) | st.text(alphabet="docversinkitm,;\n\"'0123é\t", max_size=200).map(str.encode))
def test_a_file_of_supply_documents(tmp_path: Path, body: bytes) -> None:
    for head in (b"", b"doc,version,kind,item,quantity,issued,due\n"):
        path = tmp_path / "x.csv"
        path.write_bytes(head + body)
        try:
            assert isinstance(read_rows(path), list)
        except Rejected:
            continue


@FEW
@given(st.sampled_from(["cmd", "supply", "rec"]), BODY)
def test_what_comes_over_http(kind: str, body: bytes) -> None:
    try:
        assert checked(kind, body) is not None
    except RefusedError:
        return


@FEW
@given(BODY, st.text(max_size=20), st.booleans(), st.integers(0, 10**6), st.integers(0, 255))
def test_the_command_gate_does_nothing(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, ident: str, retained: bool, place: int, byte: int
) -> None:
    bench = _bench(tmp_path_factory.getbasetemp())
    bench.send(body, retained=retained, ident=ident or "x")
    valid = bytearray(json.dumps({"a": 1}).encode() if place % 7 == 0 else _signed(bench))
    old = valid[place % len(valid)]
    valid[place % len(valid)] = byte
    bench.send(bytes(valid), ident="c-1", retained=old == byte)  # unchanged it is refused as a retained one
    assert bench.bus.writes == []
    assert set(bench.commander.refused) <= {*REASONS, "malformed"}
    assert bench.commander.executed == 0


@cache
def _bench(folder: Path) -> Bench:
    (folder / "gate").mkdir(exist_ok=True)
    bench = Bench(folder / "gate")
    bench.commander.key = KEY.public_key()
    assert isinstance(bench.commander, Commander)
    return bench


def _signed(bench: Bench) -> bytes:
    return encode(bench.cmd())


WORDS = st.sampled_from(["ack", "req", "cmd/x", "zz"])


@cache
def _line3() -> Plant:
    return load("line3")


LINES = st.dictionaries(
    st.sampled_from(["hello", "t", "v", "q", "all", "event", "x"]),
    JSON | st.dictionaries(st.sampled_from(["turn/count", "turn/state", "b1/level", "mode"]), SCALAR, max_size=4),
    max_size=5,
)


@settings(FEW, max_examples=15)
@given(st.lists(LINES, max_size=6), st.lists(st.tuples(WORDS, BODY), max_size=4))
def test_the_gateway_between_a_mad_fieldbus_and_a_mad_twin(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], words: list[tuple[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("gateway")

    async def story() -> None:
        with Store(folder / "outbox.db") as store:
            gateway = Gateway(GatewayConfig("line3", "127.0.0.1:1", "127.0.0.1:1", folder), _line3(), store)
            gateway._linked = True
            gateway._heard_bus({"hello": {**HELLO, "tags": TAGS}})
            for line in lines:
                if "hello" not in line:  # a fieldbus that is another plant each time has another test
                    gateway._heard_bus(line)
            for word, body in words:
                gateway._heard(gateway.home, Arrival(f"{gateway.home.root}/{word}", body, False))
            gateway._heard_bus({"t": HELLO["origin"] + 10**9, "v": {"b1/level": 3}})
            gateway.home._since = -1e9
            gateway.flush()
            assert gateway.home.values["b1/level"] == (3, 0)
            assert gateway.home.outbox.next > 1
            for task in list(gateway._tasks):
                task.cancel()
            await asyncio.gather(*gateway._tasks, return_exceptions=True)

    asyncio.run(story())
