"""Sessions of edge nodes as a pure state machine: births, order, deaths, time, rebirths without storms."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sparkplug_node import Sample, Taken
from ingest.sparkplug_pb import Payload
from ingest.sparkplug_rebirth import Key, Pace, Rebirths
from ingest.sparkplug_session import Limits, Sessions
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN, WireError
from tests.ingest.sparkplug_kit import Edge, Said, put

T = 1_767_592_800_000
PRESS = "spBv1.0/plant1/edge1/press"


@dataclass
class Host:
    """Sessions with a clock that the test moves; `values` is what came of the last call, by the end of the name."""

    sessions: Sessions = field(default_factory=lambda: Sessions(Limits(), Rebirths(Pace(), random.Random(1))))
    now: float = 1000.0

    @property
    def wall(self) -> int:
        return T + round((self.now - 1000.0) * 1000)

    def hear(self, *said: Said, retain: bool = False) -> list[Sample]:
        found: list[Taken] = []
        for topic, body in said:
            found += self.sessions.take(topic, body, self.wall, self.now, retain=retain)
        return [one for taken in found for one in taken.samples]

    def refused(self, said: Said, *, retain: bool = False) -> str:
        with pytest.raises(WireError) as why:
            self.hear(said, retain=retain)
        return why.value.reason

    def wait(self, seconds: float) -> list[Sample]:
        self.now += seconds
        return [one for taken in self.sessions.turn(self.wall, self.now) for one in taken.samples]

    def asked(self) -> list[Key]:
        return self.sessions.requests(self.now)

    def asked_within(self, seconds: float, step: float = 0.5) -> int:
        total = 0
        for _ in range(round(seconds / step)):
            self.wait(step)
            total += len(self.asked())
        return total


def good(samples: list[Sample]) -> dict[str, float | str]:
    return {s.name.removeprefix("spBv1.0/plant1/edge1/"): s.value for s in samples if s.quality == GOOD}


def stale(samples: list[Sample]) -> dict[str, float | str]:
    return {s.name.removeprefix("spBv1.0/plant1/edge1/"): s.value for s in samples if s.quality == STALE}


BORN: dict[str, float | str] = {
    "_node/bdSeq": 0.0, "_node/Node Control/Rebirth": 0.0, "_node/load": 0.5, "press/count": 7.0, "press/temp": 20.5,
}  # fmt: skip


@pytest.mark.parametrize("alias", [False, True])
def test_births_give_values_and_data_with_and_without_aliases_follow(alias: bool) -> None:
    host, edge = Host(), Edge(alias=alias)
    assert good(host.hear(*edge.births())) == BORN
    assert good(host.hear(edge.data(count=-8))) == {"press/count": -8.0}
    assert good(host.hear(edge.data("", load=0.25))) == {"_node/load": 0.25}
    assert host.asked_within(30) == 0
    assert host.sessions.online() == 1


def test_a_new_birth_has_a_new_alias_table() -> None:
    host, edge = Host(), Edge(alias=True)
    host.hear(*edge.births())
    edge.metrics = {"": {"load": (10, 0.5)}, "press": {"temp": (9, 20.5), "count": (4, 7)}}  # 101 and 102 swapped
    host.hear(*edge.births())
    assert good(host.hear(edge.data(count=9))) == {"press/count": 9.0}
    del edge.metrics["press"]["temp"]
    assert stale(host.hear(*edge.births())) == {"press/temp": 20.5}  # what a birth leaves out is gone


def test_sequence_numbers_wrap_at_255() -> None:
    host, edge = Host(), Edge()
    host.hear(*edge.births())
    for n in range(600):
        assert good(host.hear(edge.data(count=n))) == {"press/count": float(n)}
    assert host.asked_within(30) == 0


def test_a_gap_leads_to_exactly_one_rebirth_request_after_the_reorder_time() -> None:
    host, edge = Host(), Edge()
    host.hear(*edge.births())
    edge.data(count=8)  # lost
    assert host.hear(edge.data(count=9), edge.data(temp=21.0)) == []  # held
    assert (host.wait(1.9), host.asked()) == ([], [])
    assert good(host.wait(0.2)) == {"press/count": 9.0, "press/temp": 21.0}
    host.wait(0.5)
    assert host.asked() == [("plant1", "edge1")]
    assert host.asked_within(9) == 0
    host.hear(*edge.births())
    assert host.asked_within(600) == 0
    assert host.sessions.counts["gap"] == 1


def test_disorder_within_the_reorder_time_costs_nothing() -> None:
    host, edge = Host(), Edge(alias=True)
    host.hear(*edge.births())
    first, second, third = edge.data(count=1), edge.data(count=2), edge.data(count=3)
    assert host.hear(third, second) == []
    host.wait(1.0)
    assert [s.value for s in host.hear(first)] == [1.0, 2.0, 3.0]
    assert host.asked_within(60) == 0
    assert host.hear(third) == []  # once more
    assert host.sessions.counts["duplicate"] == 1


def test_after_a_gap_an_alias_is_not_trusted_until_the_birth_and_goes_stale_without_one() -> None:
    host, edge = Host(), Edge(alias=True)
    host.hear(*edge.births())
    edge.data(count=8)
    host.hear(edge.data(count=9))
    assert host.wait(2.1) == []
    assert host.hear(edge.data(count=10)) == []
    assert host.sessions.counts["alias_in_doubt"] == 2
    assert stale(host.wait(61)) == {"_node/load": 0.5, "press/count": 7.0, "press/temp": 20.5}
    edge.metrics["press"]["count"] = (4, 10)
    assert good(host.hear(*edge.births())) == BORN | {"press/count": 10.0}
    assert good(host.hear(edge.data(count=11))) == {"press/count": 11.0}


def test_a_lost_birth_of_a_restarted_node_is_noticed() -> None:
    host, edge = Host(), Edge()
    host.hear(*edge.births())
    for n in range(5):
        host.hear(edge.data(count=n))
    edge.nbirth()  # lost
    host.hear(edge.dbirth(t=T + 1))
    host.wait(2.1)
    assert host.asked_within(1) == 1


def test_data_before_birth_asks_once() -> None:
    host, edge = Host(), Edge()
    edge.births()
    for n in range(20):
        assert host.refused(edge.data(count=n)) == "no_birth"
    assert host.asked_within(9) == 1
    assert good(host.hear(*edge.births())) == BORN


def test_data_of_a_device_before_its_birth_asks_once_and_stores_nothing() -> None:
    host, edge = Host(), Edge()
    host.hear(edge.nbirth())
    assert host.hear(edge.data(count=1), edge.data(count=2)) == []
    assert host.asked_within(9) == 1
    assert host.sessions.counts["no_dbirth"] == 2


def test_a_device_that_dies_goes_stale_at_the_time_it_says() -> None:
    host, edge = Host(), Edge(alias=True)
    host.hear(*edge.births())
    host.hear(edge.data(count=12))
    dead = host.hear(edge.ddeath(t=T + 5))
    assert stale(dead) == {"press/count": 12.0, "press/temp": 20.5}
    assert {s.t for s in dead} == {T + 5}
    assert good(host.hear(edge.data("", load=1.0))) == {"_node/load": 1.0}  # the node lives on
    assert host.hear(edge.data(count=13)) == []
    assert good(host.hear(edge.dbirth())) == {"press/count": 7.0, "press/temp": 20.5}
    assert good(host.hear(edge.data(count=14))) == {"press/count": 14.0}


def test_a_node_that_dies_takes_its_devices_with_it_at_our_own_time() -> None:
    host, edge = Host(), Edge(bd=4)
    host.hear(*edge.births())
    host.now += 30
    dead = host.hear(edge.ndeath(t=T - 99))
    assert stale(dead) == BORN | {"_node/bdSeq": 4.0}
    assert {s.t for s in dead} == {T + 30_000}
    assert host.sessions.online() == 0
    assert host.hear(edge.ndeath()) == []
    assert host.refused(edge.data(count=1)) == "no_birth"


def test_a_death_of_an_earlier_connection_is_ignored() -> None:
    host = Host()
    host.hear(*Edge(bd=5).births())
    assert host.hear(Edge(bd=4).ndeath()) == []
    assert host.sessions.online() == 1
    assert host.sessions.counts["old_death"] == 1
    assert host.hear(("spBv1.0/plant1/NDEATH/edge1", b"")) != []  # one without a number is believed


def test_a_client_that_never_raises_bdseq_may_die_late_and_is_healed_by_a_rebirth() -> None:
    """The official JavaScript client: the old connection's will arrives after the new birth and looks like its own."""
    host, edge = Host(), Edge()
    host.hear(*edge.births())
    host.hear(*edge.births())
    assert len(stale(host.hear(edge.ndeath()))) == 5
    assert host.refused(edge.data(count=8)) == "no_birth"
    assert host.asked_within(5) == 1
    assert good(host.hear(*edge.births())) == BORN
    assert good(host.hear(edge.data(count=9))) == {"press/count": 9.0}


def test_devices_that_are_not_born_again_after_their_node_go_stale() -> None:
    host, edge = Host(), Edge()
    host.hear(*edge.births())
    host.hear(edge.nbirth())
    assert host.wait(59) == []
    assert stale(host.wait(2)) == {"press/count": 7.0, "press/temp": 20.5}
    assert host.wait(100) == []


def test_historical_null_and_transient_metrics() -> None:
    host, edge = Host(), Edge()
    host.hear(*edge.births())
    (old,) = host.hear(edge.data(t=T - 10 * 86_400_000, historical=True, count=3))
    assert (old.historical, old.t, old.value) == (True, T - 10 * 86_400_000, 3.0)
    (null,) = host.hear(edge.data(count=None))
    assert (null.value, null.quality) == (7.0, BAD)  # the last live value, not the historical one
    payload = Payload(seq=edge._next(), timestamp=T)
    put(payload, "count", 4, 9, is_transient=True)
    assert host.hear((edge.topic("DDATA", "press"), payload.SerializeToString())) == []
    assert (host.sessions.counts["null"], host.sessions.counts["transient"]) == (1, 1)


def test_times_of_metrics_of_payloads_and_of_wrong_clocks() -> None:
    host, edge = Host(), Edge()
    host.hear(*edge.births())

    def said(payload_t: int | None, metric_t: int | None) -> Sample:
        payload = Payload(seq=edge._next())
        more = {} if metric_t is None else {"timestamp": metric_t}
        put(payload, "count", 4, 9, **more)
        if payload_t is not None:
            payload.timestamp = payload_t
        (found,) = host.hear((edge.topic("DDATA", "press"), payload.SerializeToString()))
        return found

    assert said(T, T - 1000)[2:4] == (T - 1000, GOOD)
    assert said(T - 5, None)[2:4] == (T - 5, GOOD)
    assert said(None, None)[2:4] == (T, UNCERTAIN)
    assert said(T, T + 3_600_000)[2:4] == (T, UNCERTAIN)
    assert said(T, 86_400_000)[2:4] == (T, UNCERTAIN)  # 1970: a clock that was never set
    edge.metrics["press"]["count"] = (4, 7)
    old = Payload.FromString(edge.dbirth()[1])
    for metric in old.metrics:
        metric.timestamp = T - 86_400_000 * 30  # changed a month ago, but asserted now
    assert {s.t for s in host.hear((edge.topic("DBIRTH", "press"), old.SerializeToString()))} == {T}


def test_what_is_no_number_is_counted_by_type_and_costs_nothing_else() -> None:
    host, edge = Host(), Edge()
    payload = Payload(timestamp=T, seq=0)
    put(payload, "ok", 3, -1, datatype=3)
    put(payload, "blob", 17, b"x", datatype=17)
    put(payload, "file", 18, b"x", datatype=18)
    put(payload, "nan", 10, float("nan"), datatype=10)
    payload.metrics.add(name="table", datatype=16).dataset_value.num_of_columns = 2
    payload.metrics.add(name="motor", datatype=19).template_value.is_definition = True
    payload.metrics.add(name="array", datatype=24, bytes_value=b"\0\0\0\0")
    payload.metrics.add(datatype=3, int_value=1)
    assert good(host.hear((edge.topic("NBIRTH"), payload.SerializeToString()))) == {"_node/ok": -1.0}
    counts = {"Bytes": 1, "File": 1, "DataSet": 1, "Template": 1, "Int32Array": 1, "bad_number": 1, "no_name": 1}
    assert host.sessions.counts == counts | {"birth_without_bdseq": 1}


def test_data_that_no_birth_declared() -> None:
    host, edge = Host(), Edge(alias=True)
    host.hear(*edge.births())
    payload = Payload(timestamp=T, seq=edge._next())
    put(payload, "", 4, 1, alias=999)
    put(payload, "", 10, 1.0, alias=100)  # the node's own, said of a device
    put(payload, "other", 4, 1)
    put(payload, "", 4, 5, alias=101)
    topic = edge.topic("DDATA", "press")
    assert good(host.hear((topic, payload.SerializeToString()))) == {"press/count": 5.0}
    assert (host.sessions.counts["unknown_alias"], host.sessions.counts["not_in_birth"]) == (2, 1)
    assert host.asked_within(9) == 1


def test_messages_that_change_nothing() -> None:
    host, edge = Host(), Edge()
    host.hear(*edge.births())
    assert host.refused(edge.nbirth(), retain=True) == "retained"
    assert host.refused((edge.topic("NDATA"), b"\xff")) == "not_protobuf"
    assert host.refused((edge.topic("NDATA"), b"")) == "sequence"
    assert host.refused(("spBv1.0/plant1/NDATA/edge1/press", b"")) == "bad_topic"
    assert host.hear(("spBv1.0/plant1/NCMD/edge1", b"\xff"), ("spBv1.0/plant1/DCMD/edge1/press", b"\xff")) == []
    edge.seq = 2
    assert good(host.hear(edge.data(count=1))) == {"press/count": 1.0}
    assert host.asked_within(60) == 0


def test_memory_is_bounded() -> None:
    limits = Limits(nodes=3, devices=2, metrics=20, held_bytes=2000)
    host = Host(Sessions(limits, Rebirths(Pace(), random.Random(1))))
    for n in range(50):
        host.refused(Edge(node=f"ghost{n}").data(count=1))  # names alone take no room for good
    assert len(host.sessions.nodes) == 3
    edges = [Edge(node=f"edge{n}") for n in range(3)]
    for edge in edges:
        host.hear(*edge.births())
    assert host.refused(Edge(node="edge9").nbirth()) == "overflow"
    edges[0].metrics |= {"a": {"x": (3, 1)}, "b": {"x": (3, 1)}}
    host.hear(*edges[0].births())
    assert host.sessions.counts["overflow"] == 1  # a third device
    edges[1].metrics["press"] = {f"m{n}": (3, n) for n in range(30)}
    host.hear(*edges[1].births())
    assert host.sessions.counts["overflow"] == 2
    edges[2].data(count=1)
    for n in range(80):
        host.hear(edges[2].data(count=n))
    assert sum(node.held_bytes() for node in host.sessions.nodes.values()) <= 2000
    assert host.sessions.counts["gap"] >= 1


def test_what_an_earlier_life_knew_is_given_up_unless_born_again() -> None:
    host = Host()
    host.sessions.remember(("plant1", "edge1"), "", {"load": 0.5}, host.now)
    host.sessions.remember(("plant1", "edge1"), "press", {"turn/count": 7.0}, host.now)
    host.sessions.remember(("plant1", "edge2"), "press", {"mill/count": 1.0}, host.now)
    assert host.asked_within(5) == 2
    host.hear(*Edge(node="edge1").births())
    found = host.wait(60)
    assert [(s.name, s.value, s.quality, s.mapped) for s in found] == [("mill/count", 1.0, BAD, True)]
    host.sessions.remember(("plant1", "edge3"), "", {"saw/count": 2.0}, host.now)
    assert [s.name for s in host.hear(Edge(node="edge3").ndeath())] == ["saw/count"]


def test_five_hundred_nodes_without_births_are_asked_a_few_at_a_time() -> None:
    host = Host()
    edges = [Edge(node=f"edge{n}") for n in range(500)]
    asked: list[tuple[float, Key]] = []
    for _ in range(600):  # five minutes, each node says something every ten seconds
        for edge in edges[round(host.now * 2) % 20 :: 20]:
            try:
                host.hear(edge.data(count=1))
            except WireError as error:
                assert error.reason == "no_birth"  # noqa: PT017
        host.wait(0.5)
        for key in host.asked():
            asked.append((host.now, key))
            host.hear(*edges[int(key[1][4:])].births())
    for start in range(0, 240, 10):
        window = [key for at, key in asked if 1000 + start < at <= 1060 + start]
        assert len(window) <= 120 + 10
    assert len(asked) == len({key for _, key in asked}) == 500  # each exactly once
    assert host.sessions.online() == 500


def test_a_node_that_never_answers_or_always_loses_is_asked_ever_more_rarely() -> None:
    silent, edge = Host(), Edge()
    silent.refused(edge.data(count=1))
    assert 7 <= silent.asked_within(3600, 1.0) <= 12
    losing = Host()
    losing.hear(*edge.births())
    total = 0
    for _ in range(720):  # an hour in which a message is lost every five seconds and each request is answered
        edge.data(count=1)
        losing.hear(edge.data(t=losing.wall, count=2))
        losing.wait(2.5)
        losing.wait(2.5)
        if losing.asked():
            total += 1
            losing.hear(*edge.births(losing.wall))
    assert 5 <= total <= 14


ACTIONS = ["nbirth", "dbirth", "data", "ndata", "ddeath", "ndeath", "lose", "rubbish", "wait", "old", "retain", "swap"]


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2), st.integers(0, 255)), max_size=120))
@settings(max_examples=300, deadline=None)
def test_any_interleaving_is_survived_in_bounds(steps: list[tuple[str, int, int]]) -> None:
    limits = Limits(nodes=2, devices=2, metrics=30, held_bytes=1500)
    host = Host(Sessions(limits, Rebirths(Pace(per_minute=30, burst=3), random.Random(2))))
    edges = [Edge(node=f"edge{n}", alias=n != 1) for n in range(3)]
    said: list[Said] = []
    sent: list[float] = []
    for action, who, number in steps:
        edge = edges[who]
        made: dict[str, Callable[[], Said]] = {
            "nbirth": edge.nbirth, "dbirth": edge.dbirth, "ddeath": edge.ddeath, "ndeath": edge.ndeath,
            "data": partial(edge.data, count=number, temp=None), "ndata": partial(edge.data, "", load=1.0),
            "retain": edge.nbirth, "lose": edge.data,
        }  # fmt: skip
        message: Said = made[action]() if action in made else (edge.topic("NDATA"), bytes([number]))
        if action == "old" and said:
            message = said[number % len(said)]
        if action == "swap":
            edge.bd, edge.seq = number, number
        said.append(message)
        if action == "wait":
            host.wait(number / 10)
        elif action != "lose":
            _survived(host, message, retain=action == "retain")
        sent += [host.now for _ in host.asked()]
        assert len(host.sessions.nodes) <= limits.nodes
        assert sum(node.size() for node in host.sessions.nodes.values()) <= limits.metrics
        assert sum(node.held_bytes() for node in host.sessions.nodes.values()) <= limits.held_bytes
        assert len([at for at in sent if at > host.now - 60]) <= 33
    host.wait(120)
    assert not any(node.held for node in host.sessions.nodes.values())
    edge = edges[0]
    edge.bd = 0
    quiet = Host()  # and no state is a trap: a birth is taken, whatever was before
    for message in (*said, edge.nbirth()):
        _survived(quiet, message, retain=False)
    assert quiet.sessions.nodes["plant1", "edge0"].born


def _survived(host: Host, message: Said, *, retain: bool) -> None:
    try:
        samples: list[Any] = host.hear(message, retain=retain)
    except WireError:
        return
    assert all(isinstance(one, Sample) for one in samples)


def test_a_birth_may_begin_with_any_number() -> None:
    """0 by one chapter of the specification, 0 to 255 by another; what follows counts on from it."""
    host, edge = Host(), Edge()
    birth = Payload.FromString(edge.nbirth()[1])
    for first in (0, 17, 255, None):
        birth.ClearField("seq")
        if first is not None:
            birth.seq = first
        edge.seq = ((first or 0) + 1) % 256
        host.hear((edge.topic("NBIRTH"), birth.SerializeToString()), edge.dbirth())
        assert good(host.hear(edge.data(count=first or 3))) == {"press/count": float(first or 3)}
    assert host.asked_within(30) == 0
    assert host.sessions.counts == {"birth_without_seq": 1}
