"""A mapping whose raw names are MQTT topics, for plain messages: what `plantwin ingest --topics mapping.yaml` does.

What the rules know is written to the journal **in the transaction that holds the rows it led to**, rule by rule (only
those that were touched). The other way, following it from the journal, would need the raw messages there beside
the rows, and every restart would read them all. After a kill the memory is that of the last commit and so are
the rows: a message that was not committed was not counted, and one that was is in both. Raw values assert (a level, a
register), so a message that is delivered twice changes nothing the second time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ingest.journal import Journal
from ingest.mapping import Mapping, MappingError, Output, Value, is_mapping, load
from ingest.payloads import Event, WireError
from ingest.readings import Plain
from ingest.topicmap import TopicMap
from ingest.topicmap import load as load_simple

SETTLE_MS = 250
"""Messages may wait this long (wall) before they are taken: rules wait for time up to this much behind the present."""
_STOPS = ""
"""Key of what belongs to no rule: stops told so far of each thing."""

Row = tuple[int, str, bytes]
"""(plant ms, kind of journal row, body)."""


class MappedTopics(TopicMap):
    """Stands where a topic map does; the rules themselves are at work in `MappedRows`."""

    def __init__(self, mapping: Mapping) -> None:
        super().__init__()
        self.mapping = mapping

    def filters(self) -> list[str]:
        """The topics to subscribe to."""
        return list(self.mapping.raw_names())


class MappedRows:
    """Messages to journal rows. `changed()` is what to commit with them."""

    def __init__(self, mapping: Mapping, stored: dict[str, bytes]) -> None:
        kept = {key: msgspec.json.decode(body) for key, body in stored.items()}
        stops = kept.pop(_STOPS, None)
        self.engine = mapping.engine({**stops, "rules": kept} if stops is not None else None)
        self.engine.lost()  # whatever was said before this process listened was not heard

    @classmethod
    def restore(cls, topics: TopicMap, journal: Journal) -> MappedRows | None:
        """The rules as the journal knows them; None for a simple topic map."""
        return cls(topics.mapping, journal.memory()) if isinstance(topics, MappedTopics) else None

    def take(self, topic: str, body: bytes, t: int) -> tuple[list[Row], str]:
        """The rows of a message, and what some rule could not read of it ("" for nothing); WireError: no rule could."""
        if not self.engine.knows(topic):
            raise WireError("unmapped", f"no rule of the mapping looks at {topic[:100]!r}")
        rows = [_row(output, topic) for output in self.engine.feed(t, topic, body)]
        refused = "; ".join(f"{key}: {text}" for key, text in self.engine.refused)
        if refused and not rows:
            raise WireError("wrong_type", refused)
        return rows, refused

    def advance(self, t: int) -> list[Row]:
        """The rows of what comes due up to plant ms `t`."""
        return [_row(output, "") for output in self.engine.advance(t)]

    def changed(self) -> dict[str, bytes]:
        """The memory of the rules touched since the last call, by key."""
        touched = self.engine.changed()
        if not touched:
            return {}
        memory: dict[str, Any] = self.engine.memory(touched)
        rules = {key: msgspec.json.encode(kept) for key, kept in memory.pop("rules").items()}
        return rules | {_STOPS: msgspec.json.encode(memory)}


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
    """Raw names that are no topics of another system."""
    found = []
    for rule in mapping.rules:
        for name in dict.fromkeys(source.raw for source in rule.sources()):
            if name.startswith(("ptw/", "$")) or "+" in name or "#" in name:
                todo = "name the topic itself; our own topics (ptw/...) need no mapping"
                found.append(f"{mapping.file}:{rule.line}: {rule.key}: expected an MQTT topic, found {name!r}; {todo}")
    return found


def _row(output: Output, topic: str) -> Row:
    if isinstance(output, Value):
        return output.t, "plain", msgspec.json.encode(Plain(output.t, output.tag, output.value, topic, output.quality))
    return output.t, "event", msgspec.json.encode(Event(e="plain", s=0, **output.payload()))
