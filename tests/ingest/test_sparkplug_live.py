"""The Sparkplug host application on both brokers: edge nodes of the tests' own make, rows in the journal, STATE."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

import plantwin
from ingest.journal import Journal
from ingest.message import source_of
from ingest.readings import Spb, wall_ms
from ingest.service import Service, Settings
from ingest.sparkplug import COMPRESSED
from ingest.sparkplug_host import HostLink, SparkplugSettings
from ingest.sparkplug_pb import Payload
from ingest.sparkplug_rebirth import Pace
from ingest.sparkplug_session import Limits
from ingest.topicmap import Rule, TopicMap
from ingest.wire import BAD, GOOD, STALE, Aliases, Reading, decode
from tests.ingest.kit import CELL1, LINE, Publisher, Running, until
from tests.ingest.sparkplug_kit import STATE, Edge, Player, Spectator

TOPICS = TopicMap(
    (Rule("spBv1.0/plant1/+/press/#", "{1}/{2}"), Rule("spBv1.0/plant1/+/_node/load", "{1}/load", scale=100))
)
FAST = SparkplugSettings(
    ("twin1", "twin2"), ("plant1",), Limits(reorder_s=0.3, settle_s=1.0, jitter_s=0.2), Pace(6000, 20, first_s=5.0)
)


@pytest.fixture
def spectator(fresh_broker: Running) -> Iterator[Spectator]:
    found = Spectator(fresh_broker.port)
    yield found
    found.stop()


def serve(folder: Path, port: int, sparkplug: SparkplugSettings = FAST) -> Service:
    service = Service(Settings(folder, "127.0.0.1", port, LINE, TOPICS, wait_s=0.3, sparkplug=sparkplug))
    service.start()
    until(lambda: service.link.granted and all(one.link.granted for one in links(service)), what="subscriptions")
    return service


def links(service: Service) -> list[HostLink]:
    assert service.sparkplug is not None
    return service.sparkplug.links


@pytest.fixture
def host(fresh_broker: Running, spectator: Spectator, tmp_path: Path) -> Iterator[Service]:  # noqa: ARG001 - before
    service = serve(tmp_path / "data", fresh_broker.port)
    yield service
    service.stop()


def readings(service: Service) -> list[Reading]:
    reader = Journal.open_reader(service.settings.data / "journal.db")
    try:
        return [one for row in reader.read(0, 100_000) if row.kind == "spb" for one in decode(row, Aliases())]
    finally:
        reader.close()


def values(service: Service, name: str, quality: int = GOOD) -> list[float]:
    return [one.value for one in readings(service) if (one.name, one.quality) == (name, quality)]


def cut(link: HostLink) -> None:
    """Cut a connection of ours, as a broken cable does."""
    sock: Any = link.link._client.socket()
    sock.shutdown(socket.SHUT_RDWR)


def test_births_and_data_become_rows_that_say_at_most_once(host: Service, fresh_broker: Running) -> None:
    with Player(Edge(alias=True), fresh_broker.port) as edge:
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
        edge.send(count=8)
        edge.send("", load=0.75)
        until(lambda: values(host, "edge1/load") == [50.0, 75.0], what="the data")
    assert values(host, "edge1/count") == [7.0, 8.0]
    source = source_of(LINE, "plant1", "edge1")
    assert {one.source for one in readings(host)} == {source} == {"ptw/v1/demo/machining/line3/_spb-plant1-edge1"}
    entry = host.intake.ledger.source(source)
    assert (entry.at_most_once, entry.online, entry.accepted) == (True, True, 4)
    assert host.sparkplug is not None
    assert host.health()["sparkplug"] == "connected"
    view = host.sparkplug.view()
    assert view["nodes"]["plant1/edge1"]["devices"] == ["press"]
    assert (view["counts"]["stored"], view["counts"]["unmapped"]) == (5, 2)
    assert view["unmapped"] == ["spBv1.0/plant1/edge1/_node/Node Control/Rebirth", "spBv1.0/plant1/edge1/_node/bdSeq"]


def test_a_gap_leads_to_one_rebirth_request(host: Service, fresh_broker: Running, spectator: Spectator) -> None:
    with Player(Edge(), fresh_broker.port) as edge:
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
        edge.edge.data(count=8)  # lost
        edge.send(count=9)
        until(lambda: values(host, "edge1/count") == [7.0, 9.0, 7.0], what="the birth that was asked for")
        edge.send(count=10)
        until(lambda: values(host, "edge1/count")[-1] == 10.0, what="data after it")
    assert spectator.asked() == ["spBv1.0/plant1/NCMD/edge1"]


def test_the_javascript_client(host: Service, fresh_broker: Running, spectator: Spectator) -> None:
    """MQTT 3.1.1, a clean session, a will at QoS 0, and a bdSeq that is never raised."""
    for n in range(2):
        edge = Player(Edge(bd=0), fresh_broker.port_311, MQTTProtocolVersion.MQTTv311, will_qos=0)
        with edge:
            until(lambda n=n: len(values(host, "edge1/count")) == n + 1, what="the birth")  # type: ignore[misc]
            edge.vanish()
            until(lambda n=n: values(host, "edge1/count", STALE) == [7.0] * (n + 1), what="the death")  # type: ignore[misc]
    assert spectator.asked() == []
    assert host.sparkplug is not None
    assert host.sparkplug.view()["nodes"]["plant1/edge1"]["online"] is False


def test_compressed_payloads_and_rubbish(host: Service, fresh_broker: Running) -> None:
    with Player(Edge(), fresh_broker.port) as edge:
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
        topic, body = edge.edge.data(count=11, t=wall_ms())
        edge.say((topic, Payload(uuid=COMPRESSED, body=gzip.compress(body)).SerializeToString()))
        edge.say((topic, b"\xff\xff"))
        bomb = Payload(uuid=COMPRESSED, body=gzip.compress(b"\0" * 30_000_000), seq=edge.edge.seq)
        edge.say((topic, bomb.SerializeToString()))
        edge.say(("spBv1.0/plant1/NDATA/edge1/press", body))
        edge.send(count=12)
        until(lambda: values(host, "edge1/count") == [7.0, 11.0, 12.0], what="the good ones")
    rejected = host.intake.ledger.rejected
    assert rejected == {"not_protobuf": 1, "bomb": 1, "bad_topic": 1}
    assert {one.reason for one in host.intake.ledger.samples()} == set(rejected)


def test_state_is_retained_and_has_the_time_of_the_will(
    host: Service, fresh_broker: Running, spectator: Spectator
) -> None:
    until(lambda: len(spectator.states()) == 1, what="our birth")
    born = spectator.states()[0]
    assert born == {"online": True, "timestamp": links(host)[0].born_at}
    cut(links(host)[0])
    until(lambda: len(spectator.states()) >= 3, 15, "the will and the next birth")
    gone, again = spectator.states()[1:3]
    assert gone == {"online": False, "timestamp": born["timestamp"]}
    assert again["online"] is True
    assert again["timestamp"] > born["timestamp"]
    late = Spectator(fresh_broker.port)
    until(lambda: late.states() == [again], what="the retained STATE")
    late.stop()
    before = wall_ms()
    host.stop()
    until(lambda: spectator.states()[-1]["online"] is False, what="our goodbye")
    assert spectator.states()[-1]["timestamp"] >= before
    until(lambda: spectator.states("spBv1.0/STATE/twin2")[-1]["online"] is False, what="the other id's goodbye")


def test_state_is_said_again_when_someone_denies_it(host: Service, spectator: Spectator) -> None:
    until(lambda: len(spectator.states()) == 1, what="our birth")
    spectator.client.publish(STATE, b'{"online":false,"timestamp":1}', qos=1, retain=True)
    spectator.client.publish(STATE, b"OFFLINE", qos=1)
    until(lambda: len(spectator.states()) >= 3, what="our answer")
    ours = {"online": True, "timestamp": links(host)[0].born_at}
    assert spectator.states() == [ours, {"online": False, "timestamp": 1}, ours]


def test_the_first_thing_said_is_state_after_the_subscription(
    fresh_broker: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []
    subscribe, publish = mqtt.Client.subscribe, mqtt.Client.publish

    def recorded(self: Any, *args: Any, **more: Any) -> Any:
        if self._client_id.startswith(b"sparkplug"):
            calls.append(("subscribe", [topic for topic, _ in args[0]]))
        return subscribe(self, *args, **more)

    def published(self: Any, topic: str, *args: Any, **more: Any) -> Any:
        if self._client_id.startswith(b"sparkplug"):
            calls.append(("publish", (topic, more["qos"], more["retain"])))
            assert self._will_topic == topic.encode()
            assert (self._will_qos, self._will_retain, self._clean_start) == (1, True, True)
            assert json.loads(self._will_payload) == json.loads(args[0]) | {"online": False}
        return publish(self, topic, *args, **more)

    monkeypatch.setattr(mqtt.Client, "subscribe", recorded)
    monkeypatch.setattr(mqtt.Client, "publish", published)
    service = serve(tmp_path / "data", fresh_broker.port, SparkplugSettings(("twin1",), ("plant1", "plant2/edge7")))
    until(lambda: len(calls) == 2, what="both calls")
    monkeypatch.undo()
    service.stop()
    assert calls == [
        ("subscribe", [STATE, "spBv1.0/plant1/#", "spBv1.0/plant2/+/edge7/#"]), ("publish", (STATE, 1, True)),
    ]  # fmt: skip


def test_a_restarted_host_asks_for_births_once_and_gives_up_what_stays_away(
    fresh_broker: Running, spectator: Spectator, tmp_path: Path
) -> None:
    first = serve(tmp_path / "data", fresh_broker.port)
    with Player(Edge(alias=True), fresh_broker.port) as edge, Player(Edge("edge2"), fresh_broker.port) as other:
        until(lambda: values(first, "edge1/count") and values(first, "edge2/count"), what="the births")
        first.stop()
        edge.send(count=8)
        other.obedient = False
        second = serve(tmp_path / "data", fresh_broker.port)
        try:
            edge.send(count=9)  # unless the birth was there first, its alias means nothing any more
            until(lambda: values(second, "edge1/count")[:2] == [7.0, 7.0], what="the birth that was asked for")
            edge.send(count=10)
            until(lambda: values(second, "edge1/count")[-1] == 10.0, what="data after it")
            until(lambda: values(second, "edge2/count", BAD) == [7.0], what="the silent one to be given up")
            assert values(second, "edge1/count", BAD) == values(second, "edge1/count", STALE) == []
        finally:
            second.stop()
    asked = sorted(spectator.asked())
    assert asked[0] == "spBv1.0/plant1/NCMD/edge1"
    assert set(asked[1:]) == {"spBv1.0/plant1/NCMD/edge2"}  # the silent one again where its back-off has passed
    assert len(asked) <= 3


def test_a_storm_of_two_hundred_nodes_is_asked_once_each(host: Service, spectator: Spectator) -> None:
    edges = {f"edge{n}": Edge(f"edge{n}") for n in range(200)}
    client = spectator.client
    for _ in range(3):
        for edge in edges.values():
            client.publish(*edge.data(count=1, t=wall_ms()), qos=0)
    answered: set[str] = set()

    def born() -> bool:
        for topic in set(spectator.asked()) - answered:
            answered.add(topic)
            for said in edges[topic.split("/")[3]].births(wall_ms()):
                client.publish(*said, qos=0)
        return (
            host.sparkplug is not None
            and host.sparkplug.rows is not None
            and (host.sparkplug.rows.sessions.online() == 200)
        )

    until(born, 20, "two hundred births")
    until(lambda: len({one.name for one in readings(host) if one.name.endswith("/count")}) == 200, what="their values")
    assert len(spectator.asked()) == 200
    assert host.intake.ledger.rejected["no_birth"] == 600


def test_nothing_but_state_and_rebirth_is_ever_published(
    host: Service, fresh_broker: Running, spectator: Spectator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands of the twin go to its own gateways only, however a foreign edge node calls its metrics."""
    said: list[str] = []
    for one in links(host):
        publish = one.link.publish

        def recorded(topic: str, body: bytes, publish: Any = publish, **more: Any) -> bool:
            said.append(topic)
            return bool(publish(topic, body, **more))

        monkeypatch.setattr(one.link, "publish", recorded)
    metrics = {"": {"set/cap": (3, 4)}, "press": {"set/cap": (3, 4), "count": (4, 7)}}
    with Player(Edge(metrics=metrics), fresh_broker.port, obedient=False) as edge, Publisher(fresh_broker.port) as own:
        edge.born()
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
        until(lambda: host.intake.aliases.holder("set/cap") == [CELL1], what="our own gateway")
        edge.edge.data(count=8)
        edge.send(count=9)
        own.send()
        until(lambda: spectator.asked() and not own.outbox, what="the one request")
    assert set(said) <= {"spBv1.0/plant1/NCMD/edge1", STATE, "spBv1.0/STATE/twin2"}
    assert set(spectator.asked()) == {"spBv1.0/plant1/NCMD/edge1"}
    assert not [topic for topic, _ in spectator.said if "/DCMD/" in topic]


def test_a_request_goes_out_at_qos_0_and_not_retained(
    host: Service, fresh_broker: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, int, bool]] = []
    publish = mqtt.Client.publish

    def recorded(self: Any, topic: str, payload: Any, qos: int, retain: bool = False) -> Any:
        sent.append((topic, qos, retain))
        return publish(self, topic, payload, qos=qos, retain=retain)

    with Player(Edge(), fresh_broker.port) as edge:
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
        monkeypatch.setattr(mqtt.Client, "publish", recorded)
        links(host)[0].ask(("plant1", "edge1"))
        until(lambda: edge.heard, what="the request")
        until(lambda: len(sent) >= 3, what="the births")
    assert sent[0] == ("spBv1.0/plant1/NCMD/edge1", 0, False)


def test_a_full_disk_is_survived_by_asking_for_births_again(
    host: Service, fresh_broker: Running, spectator: Spectator
) -> None:
    with Player(Edge(alias=True), fresh_broker.port) as edge:
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
        host.journal.limit_pages(1)
        for n in range(100, 400):
            edge.send(count=n)
        until(lambda: host.trouble is not None, what="the refusal")
        host.journal.limit_pages(1_000_000)
        until(lambda: host.trouble is None, 15, "recovery")
        until(lambda: "spBv1.0/plant1/NCMD/edge1" in spectator.asked(), 15, "the request")
        until(lambda: host.sparkplug and host.sparkplug.view()["nodes"]["plant1/edge1"]["online"], what="the birth")
        edge.send(count=500)
        until(lambda: 500.0 in values(host, "edge1/count"), what="data after it")


def test_only_the_groups_and_nodes_that_were_named_are_heard(host: Service, fresh_broker: Running) -> None:
    with Player(Edge(group="plant9"), fresh_broker.port), Player(Edge(), fresh_broker.port):
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
    assert host.sparkplug is not None
    assert list(host.sparkplug.view()["nodes"]) == ["plant1/edge1"]


def test_rows_hold_the_message_they_come_from(host: Service, fresh_broker: Running) -> None:
    with Player(Edge(), fresh_broker.port) as edge:
        until(lambda: values(host, "edge1/count") == [7.0], what="the birth")
        edge.say(edge.edge.data(t=wall_ms() - 5000, historical=True, temp=19.0, count=6))
        until(lambda: values(host, "edge1/temp") == [20.5, 19.0], what="history")
    reader = Journal.open_reader(host.settings.data / "journal.db")
    rows = [msgspec.json.decode(row.body, type=Spb) for row in reader.read(0, 1000) if row.kind == "spb"]
    reader.close()
    told = [(row.node, row.device, row.verb, row.tag, row.h) for row in rows[:3]]
    assert told == [
        ("plant1/edge1", "", "NBIRTH", ["edge1/load"], []),
        ("plant1/edge1", "press", "DBIRTH", ["edge1/count", "edge1/temp"], []),
        ("plant1/edge1", "press", "DDATA", ["edge1/temp", "edge1/count"], [0, 1]),
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--sparkplug", "a/b"], "host id: expected"), (["--sparkplug", "a", "--sparkplug", "a"], "different ids"),
        (["--sparkplug", "a", "--sparkplug-nodes", "g/n/x"], "expected GROUP or GROUP/NODE, found 'g/n/x'"),
        (["--sparkplug-nodes", "g"], "name a host id"),
        (["--sparkplug", "a", "--sparkplug-reorder", "-1"], "reorder time: expected 0 to 60 s, found -1"),
    ],
)  # fmt: skip
def test_options_that_are_wrong(args: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--site", "s", "--area", "a", "--line", "l", "--data", str(tmp_path)]
    with pytest.raises(SystemExit, match="2"):
        plantwin.main(["ingest", *line, *args])
    assert said in capsys.readouterr().err


def test_sources_of_any_name_are_different_topic_roots() -> None:
    names = [("a", "b"), ("a-b", "c"), ("a", "b-c"), ("A", "b"), ("Werk Süd", "β"), ("x" * 100, "y" * 100)]
    roots = {source_of(LINE, *name) for name in names}
    assert len(roots) == len(names)
    assert all(len(root.split("/")[-1]) <= 64 for root in roots)
