"""A mapping whose raw names are MQTT topics, for plain messages: what `plantwin ingest --topics mapping.yaml` does.

What the rules know is written to the journal **in the transaction that holds the rows it led to**, rule by rule (only
those that were touched). The other way, following it from the journal, would need the raw messages there beside
the rows, and every restart would read them all. After a kill the memory is that of the last commit and so are
the rows: a message that was not committed was not counted, and one that was is in both. Raw values assert (a level, a
register), so a message that is delivered twice changes nothing the second time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ingest.journal import Journal
from ingest.mapping import Mapping, MappingError, Output, Value, is_mapping, load
from ingest.mapping_metrics import Metrics
from ingest.mapping_past import SPARKPLUG, Past, node_of
from ingest.message import Line, source_of
from ingest.payloads import Event, WireError
from ingest.readings import Plain
from ingest.topicmap import TopicMap
from ingest.topicmap import load as load_simple

SETTLE_MS = 250
"""Messages may wait this long (wall) before they are taken: rules wait for time up to this much behind the present."""
_STOPS = ""
"""Key of what belongs to no rule: stops told so far of each thing."""
VERSION = 2
"""Of the memory in the journal. Version 2 has the past of Sparkplug metrics beside the rules; 1 is read as well."""
_VERBS = frozenset({"NBIRTH", "NDATA", "NDEATH", "NCMD", "DBIRTH", "DDATA", "DDEATH", "DCMD", "STATE"})


class Row(NamedTuple):
    """A row of the journal at plant ms `t`; `source` is its topic root where it is not that of plain messages."""

    t: int
    kind: str
    body: bytes
    source: str = ""


class MappedTopics(TopicMap):
    """Stands where a topic map does; the rules themselves are at work in `MappedRows`."""

    def __init__(self, mapping: Mapping) -> None:
        super().__init__()
        self.mapping = mapping

    def filters(self) -> list[str]:
        """The topics to subscribe to."""
        return list(self.mapping.raw_names())


class MappedRows:
    """Messages to journal rows. `changed()` is what to commit with them; `metrics` takes those of Sparkplug."""

    def __init__(self, mapping: Mapping, stored: dict[str, bytes], line: Line) -> None:
        stored = dict(stored)
        past = Past.split(stored)
        kept = {key: msgspec.json.decode(body) for key, body in stored.items()}
        stops = kept.pop(_STOPS, None)
        self.engine = mapping.engine({**_of_this_version(stops), "rules": kept} if stops is not None else None)
        self.metrics = Metrics(self.engine, mapping.rules, past)
        self.metrics.past.away(self.metrics.names)
        self.engine.lost()  # whatever was said before this process listened was not heard
        self._sources = _sources(mapping, line)

    @classmethod
    def restore(cls, topics: TopicMap, journal: Journal, line: Line) -> MappedRows | None:
        """The rules as the journal knows them; None for a simple topic map."""
        return cls(topics.mapping, journal.memory(), line) if isinstance(topics, MappedTopics) else None

    def take(self, topic: str, body: bytes, t: int) -> tuple[list[Row], str]:
        """The rows of a message, and what some rule could not read of it ("" for nothing); WireError: no rule could."""
        if not self.engine.knows(topic):
            raise WireError("unmapped", f"no rule of the mapping looks at {topic[:100]!r}")
        rows = [row_of(output, topic) for output in self.engine.feed(t, topic, body)]
        refused = "; ".join(f"{key}: {text}" for key, text in self.engine.refused)
        if refused and not rows:
            raise WireError("wrong_type", refused)
        return rows, refused

    def advance(self, t: int) -> list[Row]:
        """The rows of what comes due up to plant ms `t`."""
        return [row_of(output, "", self._sources.get(output.rule, "")) for output in self.engine.advance(t)]

    def changed(self) -> dict[str, bytes]:
        """The memory of the rules touched since the last call, by key."""
        touched, past = self.engine.changed(), self.metrics.past.changed()
        if not touched and not past:
            return {}
        memory: dict[str, Any] = self.engine.memory(touched)
        rules = {key: msgspec.json.encode(kept) for key, kept in memory.pop("rules").items()}
        return past | rules | {_STOPS: msgspec.json.encode(memory | {"version": VERSION})}


def load_topics(path: Path, plant: str | None) -> TopicMap:
    """A simple topic map, or a mapping checked against the plant; TopicMapError or MappingError."""
    if not is_mapping(path):
        return load_simple(path)
    if plant is None:
        raise MappingError([f"{path}:1: a mapping is checked against a plant; name the PLANT"])
    from sim.plantfile import load as load_plant

    mapping = load(path, load_plant(plant))
    problems = topic_problems(mapping)
    if problems:
        raise MappingError(problems)
    return MappedTopics(mapping)


def topic_problems(mapping: Mapping) -> list[str]:
    """Raw names that are neither topics of another system nor metrics of Sparkplug."""
    found = []
    for rule in mapping.rules:
        for name in dict.fromkeys(source.raw for source in rule.sources()):
            why = _metric_problem(name) if name.startswith("spBv1.0") else _topic_problem(name)
            if why:
                found.append(f"{mapping.file}:{rule.line}: {rule.key}: {why}")
    return found


def _topic_problem(name: str) -> str:
    if not name.startswith(("ptw/", "$")) and "+" not in name and "#" not in name:
        return ""
    return f"expected an MQTT topic, found {name!r}; name the topic itself; our own topics (ptw/...) need no mapping"


def _metric_problem(name: str) -> str:
    parts = name.split("/", 4)
    whole = len(parts) == 5 and parts[0] == "spBv1.0" and all(parts) and not _VERBS & set(parts[1:3])
    if whole and not any(sign in part for part in parts[1:4] for sign in "+#"):
        return ""
    return (
        f"expected the metric spBv1.0/GROUP/NODE/DEVICE/METRIC, found {name!r}; leave the verb (NDATA, ...) out, and "
        "write _node for the device where the metric is the edge node's own"
    )


def sparkplug_names(topics: TopicMap) -> list[str]:
    """The Sparkplug metrics that a mapping looks at; none of a simple topic map."""
    if not isinstance(topics, MappedTopics):
        return []
    return [name for name in topics.mapping.raw_names() if name.startswith(SPARKPLUG)]


def row_of(output: Output, topic: str, source: str = "") -> Row:
    """An output as a row of its own."""
    if isinstance(output, Value):
        plain = Plain(output.t, output.tag, output.value, topic, output.quality)
        return Row(output.t, "plain", msgspec.json.encode(plain), source)
    return Row(output.t, "event", msgspec.json.encode(Event(e="plain", s=0, **output.payload())), source)


def _sources(mapping: Mapping, line: Line) -> dict[str, str]:
    """The topic root of each rule whose raw names are all of one edge node, as that of its messages."""
    found: dict[str, str] = {}
    for rule in mapping.rules:
        nodes = {node_of(s.raw) if s.raw.startswith(SPARKPLUG) else "" for s in rule.sources()}
        if len(nodes) == 1 and (node := nodes.pop()):
            group, _, name = node.partition("/")
            found[rule.key] = source_of(line, group, name)
    return found | {r.key: found[r.of] for r in mapping.rules if r.of in found}


def _of_this_version(stops: Any) -> dict[str, Any]:
    """The head of a memory as the engine knows it: what version 2 added stands beside it."""
    found = stops.get("version") if isinstance(stops, dict) else None
    if found not in {1, VERSION}:
        text = f"memory of the mapping in the journal: expected version {VERSION} or 1, found {found!r}"
        raise MappingError([f"{text}; it is of a newer program: use that one, or begin with another data folder"])
    return {**stops, "version": 1}
