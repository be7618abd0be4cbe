"""From Sparkplug messages to journal rows: names mapped to tags, plant time, and what a mapping refuses."""

from __future__ import annotations

import random

import msgspec
import pytest

from ingest.message import Message
from ingest.readings import PlantClock, Spb
from ingest.sparkplug_rebirth import Pace, Rebirths
from ingest.sparkplug_rows import Mapped, RowOut, SparkplugRows, topic_hook
from ingest.sparkplug_session import Limits, Sessions
from ingest.topicmap import Rule, TopicMap
from ingest.wire import GOOD, STALE, WireError
from tests.ingest.kit import LINE, ORIGIN
from tests.ingest.sparkplug_kit import Edge, T

HOOK = topic_hook(
    TopicMap(
        (Rule("spBv1.0/plant1/+/press/count", "{1}/count", scale=0.5, offset=1), Rule("spBv1.0/plant1/#", "x/{1}"))
    )
)


def rows(made: SparkplugRows, *said: tuple[str, bytes]) -> list[RowOut]:
    return [row for topic, body in said for row in made.take(Message(topic, body, False, T))]


def fresh() -> SparkplugRows:
    return SparkplugRows(LINE, HOOK, Sessions(Limits(), Rebirths(Pace(), random.Random(1))), clock=lambda: 5.0)


def test_the_first_rule_names_and_scales() -> None:
    assert HOOK("spBv1.0/plant1/e/press/count", 7.0, T, STALE) == [Mapped("e/count", 4.5, T, STALE)]
    assert HOOK("spBv1.0/plant1/e/mill/a/b", 7.0, T, GOOD) == [Mapped("x/e/mill/a/b", 7.0, T, GOOD)]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("spBv1.0/plant2/e/press/count", 1.0, "unmapped"), ("spBv1.0/plant1/e/press/count", "Execute", "wrong_type"),
        ("spBv1.0/plant1/e/press/\n", 1.0, "bad_id"), ("spBv1.0/plant1/e/press/Zähler", 1.0, "bad_id"),
        (f"spBv1.0/plant1/e/press/{'x' * 200}", 1.0, "bad_id"),
    ],
)  # fmt: skip
def test_what_a_topic_map_cannot_take_is_named(name: str, value: float | str, reason: str) -> None:
    with pytest.raises(WireError) as why:
        HOOK(name, value, T, GOOD)
    assert why.value.reason == reason


def test_times_are_plant_time_where_the_plant_is_simulated() -> None:
    made = fresh()
    made.plant = PlantClock(ORIGIN, T - 1000, 60.0).at
    born, _ = rows(made, *Edge().births())
    body = msgspec.json.decode(born.body, type=Spb)
    assert (born.t, set(body.t)) == (ORIGIN + 60_000, {ORIGIN + 60_000})
    assert (born.key, born.online) == ("plant1/edge1/", True)


def test_one_row_for_each_message_and_each_thing_that_dies() -> None:
    made, edge = fresh(), Edge()
    assert len(rows(made, *edge.births(), edge.data(count=8), edge.data("", load=1.0))) == 4
    dead = [msgspec.json.decode(row.body, type=Spb) for row in rows(made, edge.ndeath())]
    assert [(row.device, row.verb, set(row.q)) for row in dead] == [
        ("", "NDEATH", {STALE}),
        ("press", "NDEATH", {STALE}),
    ]
    assert dead[1].v == [5.0, 20.5]
    assert made.view()["counts"] == {"stored": 12}  # five born, two told, five dead
