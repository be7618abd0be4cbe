"""Sparkplug metrics through a mapping: words, counters, deaths, history in its own time, kills in the middle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

import plantwin
from ingest.codes import UNIT_STATES
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.mapping import MappingError, Output, Value
from ingest.mapping_metrics import Metrics
from ingest.mapping_past import QUIET_S
from ingest.mapping_rows import MappedTopics, load_topics
from ingest.message import Message, source_of
from ingest.payloads import Event
from ingest.readings import Aliases, Reading, Row, Spb, decode, wall_ms
from ingest.sparkplug_node import Sample
from ingest.sparkplug_pb import Payload
from ingest.sparkplug_rebirth import Pace, Rebirths
from ingest.sparkplug_rows import SparkplugRows, topic_hook
from ingest.sparkplug_session import Limits, Sessions
from ingest.topicmap import TopicMap
from ingest.wire import BAD, GOOD, STALE
from sim.plantfile import load as load_plant
from tests.ingest.kit import LINE
from tests.ingest.mappings import mapped
from tests.ingest.sparkplug_kit import Edge, Said, put
from twin.tracker import Tracker

M = "spBv1.0/plant1/edge1"
TEXT = f"""\
mapping: 1
tags:
  turn/state: {{from: {M}/press/mode, packml: true}}
  turn/count: {{from: {M}/press/n, counter: 16, resets: never}}
  mill/state:
    priority:
      - {{state: down, from: {M}/press/word, bit: 3}}
      - {{state: work, from: {M}/press/word, bit: 0}}
      - {{state: idle}}
  mill/count: {{from: {M}/press/done, count: rising}}
  wash/state: {{from: {M}/press/lamp, values: {{green: work, red: down}}, else: idle, microstop: 30 s}}
  b1/level: {{from: {M}/_node/level, debounce: 2 s}}
  b2/level: {{from: {M}/_node/raw, scale: 0.5, offset: -1}}
events:
  - {{event: work_end, thing: turn, product: housing, each: turn/count}}
  - {{event: work_end, thing: mill, product: housing, each: mill/count}}
"""
TOPICS = MappedTopics(mapped(TEXT))
SOURCE = source_of(LINE, "plant1", "edge1")


def edge(**more: Any) -> Edge:
    press = {"mode": (4, 6), "n": (4, 65530), "word": (7, 129), "done": (11, False), "lamp": (12, "green")}
    return Edge(metrics={"": {"level": (4, 1), "raw": (4, 10)}, "press": press}, **more)


@dataclass
class Plant:
    """An intake of a mapping on a journal, with a clock that the test moves. `die` is a kill and a new life."""

    path: Path
    now: float = 1_000.0
    topics: TopicMap = field(default_factory=lambda: TOPICS)
    open: tuple[Journal, Intake] = field(init=False)

    def __post_init__(self) -> None:
        self.open = self._life()

    def _life(self) -> tuple[Journal, Intake]:
        journal = Journal(self.path / "journal.db")
        intake = Intake.restore(LINE, self.topics, journal)
        assert intake.mapped is not None
        intake.mapped.metrics.past._clock = lambda: self.now
        for node in intake.mapped.metrics.past._held:
            intake.mapped.metrics.past._first[node] = intake.mapped.metrics.past._newest[node] = self.now
        sessions = Sessions(Limits(), Rebirths(Pace(), random.Random(1)))
        rows = SparkplugRows(LINE, topic_hook(self.topics), sessions, mapped=intake.mapped, clock=lambda: self.now)
        rows.plant = intake.now
        intake.sparkplug = rows.recall(journal)
        return journal, intake

    def say(self, *said: Said, recv: int | None = None, commit: bool = True) -> None:
        journal, intake = self.open
        batch = intake.take([Message(topic, body, False, recv or wall_ms()) for topic, body in said])
        if commit:
            journal.commit(batch)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.say()

    def die(self) -> None:
        self.open[0].close()
        self.open = self._life()

    def rows(self) -> list[Row]:
        return [row for row in self.open[0].read(0, 100_000) if row.kind in ("spb", "plain", "event")]

    def readings(self, name: str = "") -> list[Reading]:
        return [r for row in self.rows() for r in decode(row, Aliases()) if name in ("", r.name)]

    def events(self, thing: str) -> list[Event]:
        found = [msgspec.json.decode(row.body, type=Event) for row in self.rows() if row.kind == "event"]
        return [one for one in found if one.thing == thing]

    @property
    def sparkplug(self) -> SparkplugRows:
        assert self.open[1].sparkplug is not None
        return self.open[1].sparkplug


@pytest.fixture
def plant(tmp_path: Path) -> Any:
    found = Plant(tmp_path)
    yield found
    found.open[0].close()


@pytest.mark.parametrize("alias", [False, True])
def test_metrics_go_through_the_rules(plant: Plant, alias: bool) -> None:
    made, t = edge(alias=alias), wall_ms()
    plant.say(*made.births(t), made.data(t=t + 10, n=65535, word=137, done=True), made.data(t=t + 20, n=2, lamp="red"))
    newest = {r.name: r.value for r in plant.readings()}
    states = {name: UNIT_STATES[int(newest[f"{name}/state"])] for name in ("turn", "mill")}
    assert states == {"turn": "work", "mill": "down"}
    assert [r.value for r in plant.readings("turn/count")] == [65530, 65535, 65538]
    assert (newest["mill/count"], newest["b1/level"], newest["b2/level"]) == (1, 1, 4)
    assert [one.count for one in plant.events("turn")] == list(range(65531, 65539))
    assert {row.source for row in plant.rows()} == {SOURCE}
    assert [UNIT_STATES[int(r.value)] for r in plant.readings("wash/state")] == ["work"]  # it stands not yet for 30 s
    view = plant.sparkplug.view()
    assert (view["counts"]["mapped"], view["unmapped"]) == (12, [f"{M}/_node/Node Control/Rebirth", f"{M}/_node/bdSeq"])
    assert plant.open[1].ledger.source(SOURCE).accepted == 4
    tracker = Tracker(load_plant("line3"))  # the twin takes them as it takes those of a gateway
    for row in plant.rows():
        tracker.apply(row)
    assert tracker.state.tags["turn/count"].value == 65538


def test_what_time_alone_decides_stands_under_its_node(plant: Plant) -> None:
    made, t = edge(), wall_ms() - 60_000
    plant.say(*made.births(t), made.data("", t=t + 100, level=3), made.data(t=t + 100, lamp="red"))
    plant.say()
    (level,) = [r for r in plant.readings("b1/level") if r.value == 3]
    assert (level.t, level.source, level.kind) == (t + 100, SOURCE, "plain")
    (down,) = [one for one in plant.events("wash") if one.kind == "down"]
    assert (down.t, down.count) == (t + 100, 1)


@pytest.mark.parametrize("device", [True, False])
def test_deaths_make_what_they_fed_stale_and_a_birth_goes_on(plant: Plant, device: bool) -> None:
    made, t = edge(), wall_ms()
    plant.say(*made.births(t), made.data(t=t + 1, n=65535, done=True))
    plant.say(made.ddeath(t=t + 2) if device else made.ndeath(t + 2))
    newest = {r.name: (r.value, r.quality) for r in plant.readings()}
    assert newest["turn/count"] == (65535, STALE)
    assert newest["mill/count"] == (1, STALE)
    assert newest["turn/state"] == (UNIT_STATES.index("work"), STALE)
    assert newest["b2/level"] == (4, GOOD if device else STALE)
    made.metrics["press"]["n"] = (4, 4)  # five more, over the wrap
    plant.say(*([made.dbirth(t=t + 3)] if device else made.births(t + 3)))
    newest = {r.name: (r.value, r.quality) for r in plant.readings()}
    assert newest["turn/count"] == (65540, GOOD)
    assert newest["turn/state"] == (UNIT_STATES.index("work"), GOOD)


def test_null_and_the_quality_property_say_that_a_value_is_not_known(plant: Plant) -> None:
    made, t = edge(), wall_ms()
    plant.say(*made.births(t))
    for quality, told in ((500, STALE), (192, GOOD), (0, BAD)):
        payload = Payload(timestamp=t + quality, seq=made._next())
        metric = put(payload, "n", 4, 65531, timestamp=t + quality)
        metric.properties.keys.append("Quality")
        metric.properties.values.add(type=3, int_value=quality)
        plant.say((made.topic("DDATA", "press"), payload.SerializeToString()))
        assert plant.readings("turn/count")[-1].quality == told
    made.metrics["press"]["mode"] = (4, None)
    plant.say(made.dbirth(t=t + 1000))
    assert [r.quality for r in plant.readings("turn/state")] == [GOOD, BAD]


# -- history ----------------------------------------------------------------------------------------------


Said_ = tuple[int, dict[str, float | str]]
CHOICES: dict[str, list[float | str]] = {
    "mode": [6.0, 9.0, 5.0], "word": [129.0, 137.0, 128.0], "lamp": ["green", "red", "off"],
}  # fmt: skip


def stream(rnd: random.Random, t: int, n: int) -> list[Said_]:
    """A device's life: (ms, metrics that changed); counts go up and wrap, parts are ejected, machines stop."""
    count, found = 65_000, list[Said_]()
    found.append((t, {"mode": 6.0, "n": float(count), "word": 129.0, "done": 0.0, "lamp": "green"}))
    for _ in range(n):
        t += rnd.randint(1, 20_000)
        changed: dict[str, float | str] = {}
        if rnd.random() < 0.5:
            count += rnd.randint(1, 90)
            changed["n"] = float(count % 65_536)
        for name, choices in CHOICES.items():
            if rnd.random() < 0.4:
                changed[name] = rnd.choice(choices)
        if rnd.random() < 0.4:
            changed["done"] = float(rnd.random() < 0.5)
        if changed:
            found.append((t, changed))
    return found


def samples(said: list[Said_], historical: bool = False) -> list[Sample]:
    return [Sample(f"{M}/press/{k}", v, t, GOOD, historical) for t, values in said for k, v in values.items()]


def every(said: list[Said_]) -> Said_:
    """All metrics as they stand after these: what a birth says."""
    values: dict[str, float | str] = {}
    for _, changed in said:
        values |= changed
    return said[-1][0], values


def key(output: Output) -> tuple[Any, ...]:
    if isinstance(output, Value):
        return (output.t, output.tag, output.value, output.quality)
    count = None if output.kind == "down" else output.count  # of a stop that was told late another may have the number
    return (output.t, output.kind, output.thing, count, output.text)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def told_all(metrics: Metrics, clock: Clock) -> list[Output]:
    clock.now += QUIET_S + 1
    return [output for _, outputs in metrics.due() for output in outputs]


@pytest.mark.parametrize("seed", [*range(16), 18, 33])
def test_history_tells_what_would_have_been_told_had_it_been_heard(seed: int) -> None:
    """The oracle is the same stream with nothing missing; history comes in pieces, shuffled, metric by metric."""
    rnd, t0 = random.Random(seed), 1_767_600_000_000
    whole = stream(rnd, t0, 120)
    cut, back = 40, 90
    mapping = mapped(TEXT)
    clock = Clock()
    oracle, lived = (Metrics(mapping.engine(), mapping.rules, {}, clock) for _ in range(2))
    for moment in whole[:cut]:
        oracle.take("n", samples([moment]))
    expected = [key(o) for moment in whole[cut:back] for o in oracle.take("n", samples([moment])).outputs]
    expected += [key(o) for o in oracle.engine.advance(whole[back][0])]
    for moment in whole[back:]:
        oracle.take("n", samples([moment]))
    for moment in whole[:cut]:
        lived.take("n", samples([moment]))
    died = whole[cut - 1][0] + 1
    lived.take("n", [one._replace(t=died, quality=STALE) for one in samples([every(whole[:cut])])])
    present = [key(o) for o in lived.take("n", samples([every(whole[: back + 1])])).outputs]
    missed = samples(whole[cut:back], historical=True)
    rnd.shuffle(missed)
    for k in range(0, len(missed), 37):
        assert lived.take("n", missed[k : k + 37]).outputs == []
    found = [key(o) for o in told_all(lived, clock)]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert present  # what is, is said at once
    for moment in whole[back + 1 :]:
        lived.take("n", samples([moment]))
    for name in ("turn/count", "mill/count"):
        assert lived.engine.worker(name).m.total == oracle.engine.worker(name).m.total
    told = {one[0] for one in present if one[1] == "down"}  # a stop seen at both ends may have been two short ones
    untrue = told - {one[0] for one in expected if one[1] == "down"}
    assert 0 <= lived.engine.stops["wash"] - oracle.engine.stops["wash"] <= len(untrue)


def test_history_does_not_disturb_the_present(plant: Plant) -> None:
    made, t = edge(), wall_ms() - 10_000
    plant.say(*made.births(t))
    plant.say(made.ndeath(t + 1000), recv=t + 1000)
    made.metrics["press"]["n"] = (4, 65534)
    plant.say(*made.births(t + 5000))
    before = {r.name: (r.t, r.value, r.quality) for r in plant.readings()}
    plant.say(
        made.data(t=t + 2000, historical=True, n=65531, mode=9),
        made.data(t=t + 6000, mode=6, n=65535),
        made.data(t=t + 1500, historical=True, n=65530),
        made.data(t=t + 3000, historical=True, n=65533, mode=6),
    )
    assert [r.value for r in plant.readings("turn/count")][-1] == 65535
    assert not [row for row in plant.rows() if b'"history"' in row.body]  # it may not have told all
    plant.wait(QUIET_S + 0.1)
    (row,) = [row for row in plant.rows() if b'"history"' in row.body]
    body = msgspec.json.decode(row.body, type=Spb)
    assert body.h == list(range(len(body.t)))
    told = list(zip(body.t, body.tag, body.v, strict=True))
    assert told == [
        (t + 1500, "turn/count", 65530),
        (t + 2000, "turn/state", UNIT_STATES.index("down")),
        (t + 2000, "turn/count", 65531),
        (t + 3000, "turn/state", UNIT_STATES.index("work")),
        (t + 3000, "turn/count", 65533),
    ]
    assert before["turn/count"] == (t + 5000, 65534, GOOD)
    plant.say(made.data(t=t + 7000, n=0))
    assert [r.value for r in plant.readings("turn/count")][-1] == 65536
    assert [one.count for one in plant.events("turn") if one.t < t + 4000] == [65531, 65532, 65533]


def test_history_said_twice_is_told_once(plant: Plant) -> None:
    made, t = edge(), wall_ms() - 10_000
    plant.say(*made.births(t))
    plant.say(made.ndeath(t + 1000), recv=t + 1000)
    plant.say(*made.births(t + 5000))
    for _ in range(2):
        plant.say(made.data(t=t + 2000, historical=True, done=True), made.data(t=t + 3000, historical=True, done=False))
        plant.wait(QUIET_S + 0.1)
    assert [one.count for one in plant.events("mill")] == [1]
    plant.say(made.data(t=t + 6000, done=True))
    assert [one.count for one in plant.events("mill")] == [1, 2]  # the edge of the past is in the count now
    history = plant.sparkplug.view()["history"]
    assert (history["told"], history["known"]) == (2, 2)


def test_history_that_no_outage_explains_changes_no_count(plant: Plant) -> None:
    made, t = edge(), wall_ms() - 10_000
    plant.say(*made.births(t), made.data(t=t + 1000, historical=True, n=7, mode=9))
    plant.say(made.data(t=t - 50_000, historical=True, n=3))
    plant.wait(QUIET_S + 0.1)
    assert [r.value for r in plant.readings("turn/count")] == [65530]
    assert [(r.t, r.value) for r in plant.readings("turn/state")][-1] == (t + 1000, UNIT_STATES.index("down"))
    assert plant.sparkplug.view()["history"]["unplaced"] == 2


def test_a_rule_of_two_devices_has_no_past(tmp_path: Path) -> None:
    text = f"mapping: 1\ntags:\n  mill/state:\n    priority:\n      - {{state: down, from: {M}/press/word, bit: 3}}\n"
    topics = MappedTopics(mapped(f"{text}      - {{state: work, from: {M}/_node/level}}\n      - {{state: idle}}\n"))
    plant, made, t = Plant(tmp_path, topics=topics), edge(), wall_ms() - 10_000
    plant.say(*made.births(t), made.data(t=t + 1000, historical=True, word=8))
    plant.wait(QUIET_S + 0.1)
    assert len(plant.readings("mill/state")) == 1
    assert plant.sparkplug.view()["history"]["mixed"] == 1
    plant.open[0].close()


# -- kills ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_kills_at_any_commit_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    """Outages, history and live values, with a kill between any two commits; the oracle counts by itself."""
    rnd, plant, made = random.Random(seed), Plant(tmp_path), edge()
    count, t = 65530, wall_ms() - 40_000_000
    for _ in range(8):
        made.metrics["press"]["n"] = (4, count % 65536)
        plant.say(*made.births(t), recv=t)
        for _ in range(rnd.randint(1, 4)):
            count, t = count + rnd.randint(1, 9), t + 1000
            plant.say(made.data(t=t, n=count % 65536), recv=t)
            if rnd.random() < 0.3:
                plant.say(made.data(t=t, n=(count + 1) % 65536), recv=t, commit=False)  # lost with the process
                made.seq = (made.seq - 1) % 256
                plant.die()
                plant.say(*_reborn(made, count, t), recv=t)
        plant.say(made.ndeath(t + 1), recv=t + 1)
        stored, t = list[tuple[int, int]](), t + 1
        for _ in range(rnd.randint(2, 6)):
            count, t = count + rnd.randint(1, 9), t + 1000
            stored.append((t, count))
        t += 1000
        plant.say(*_reborn(made, count, t), recv=t)
        for at, n in stored:
            plant.say(made.data(t=at, historical=True, n=n % 65536), recv=t)
            if rnd.random() < 0.3:
                plant.die()
                t += 1
                plant.say(*_reborn(made, count, t), recv=t)
        plant.wait(QUIET_S + 1)
        t += 1000
    counts = plant.readings("turn/count")
    assert max(r.value for r in counts) == count
    ends = [(one.t, one.count) for one in plant.events("turn")]
    assert {n for _, n in ends} == set(range(65531, count + 1))
    assert len(ends) == len(set(ends))  # none twice at its time
    plant.open[0].close()


def _reborn(made: Edge, count: int, t: int) -> list[Said]:
    made.metrics["press"]["n"] = (4, count % 65536)
    return made.births(t)


def test_after_a_restart_what_is_not_born_again_goes_stale(plant: Plant) -> None:
    made = edge()
    plant.say(*made.births(wall_ms()))
    plant.die()
    assert plant.sparkplug.sessions.rebirths.waiting() == 1
    plant.wait(30.0)
    assert plant.sparkplug.requests() == [("plant1", "edge1")]
    assert STALE not in {r.quality for r in plant.readings()}
    plant.wait(31.0)
    newest = {r.name: (r.value, r.quality) for r in plant.readings()}
    assert newest["turn/count"] == (65530, STALE)
    assert newest["b2/level"] == (4, STALE)


def test_a_memory_of_version_1_is_opened_and_a_newer_one_refused(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.say(*edge().births(wall_ms()))
    db = plant.open[0]._db
    head = msgspec.json.decode(plant.open[0].memory()[""])
    assert head["version"] == 2
    db.execute("UPDATE memory SET body=? WHERE name=''", (msgspec.json.encode({**head, "version": 1}),))
    plant.die()
    assert plant.open[1].mapped is not None
    assert plant.open[1].mapped.engine.worker("turn/count").m.total == 65530
    plant.open[0]._db.execute("UPDATE memory SET body=? WHERE name=''", (msgspec.json.encode({**head, "version": 3}),))
    with pytest.raises(MappingError, match="expected version 2 or 1, found 3"):
        Intake.restore(LINE, TOPICS, plant.open[0])
    plant.open[0].close()


# -- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "spBv1.0/plant1/edge1/n", "spBv1.0/plant1/DDATA/edge1/press/n", "spBv1.0/plant1/+/press/n",
        "spBv1.0/plant1//press/n", "spBv1.0",
    ],
)  # fmt: skip
def test_names_that_are_no_metrics_are_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(f'mapping: 1\ntags:\n  turn/count: "{name}"\n')
    with pytest.raises(MappingError, match=r"expected the metric spBv1\.0/GROUP/NODE/DEVICE/METRIC") as caught:
        load_topics(path, "line3")
    assert caught.value.problems[0].startswith(f"{path}:3: turn/count:")


def test_metrics_without_a_host_id_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(TEXT)
    with pytest.raises(SystemExit) as ended:
        plantwin.main(["ingest", "line3", "--topics", str(path), "--data", str(tmp_path / "d")])
    assert ended.value.code == 2
    assert "name our host id with --sparkplug" in capsys.readouterr().err
