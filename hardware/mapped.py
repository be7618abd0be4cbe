"""The tag-to-event layer between the fieldbus and the gateway: raw names in, the plant's tags and events out.

What the rules know is kept in the gateway's file under `mapping`, in the transaction that holds the messages it led
to: after a kill no edge is counted twice and no total goes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.mapping import MappingError, Output, Value, load
from ingest.wire import GOOD
from sim.plant import Plant

KEY = "mapping"
"""Key of the memory in the gateway's file."""


class Mapped:
    """`translate` turns messages of a fieldbus into messages of the same form about tags of the plant."""

    def __init__(self, path: Path, plant: Plant, memory: str | None) -> None:
        self.mapping = load(path, plant)
        self.complaint = ""
        try:
            self.engine = self.mapping.engine(None if memory is None else json.loads(memory))
        except (MappingError, ValueError) as error:
            self.complaint = f"{error}; its counts begin anew"
            self.engine = self.mapping.engine()
        self.engine.lost()  # whatever happened before this process began was not seen
        self._known = {s.tag for s in plant.sensors} | {"mode", *(f"set/{c.id}" for c in plant.controls)}
        self._own = set(self.mapping.tags())
        self._of = {rule.key: rule.of for rule in self.mapping.rules if rule.of}
        self._dirty = False

    def translate(self, message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The messages that one of the fieldbus leads to; names that are tags of the plant already pass unchanged."""
        if "hello" in message:
            yield {**message, "hello": {**message["hello"], "tags": self._offered(message["hello"].get("tags", ()))}}
        elif "v" not in message:
            yield message
        else:
            yield from self._values(message)

    def _offered(self, tags: Any) -> list[dict[str, Any]]:
        """The tags as the plant calls them: what the rules make of the raw names, and what needs no rule."""
        names = {str(tag["name"]) for tag in tags}
        fed = [{"name": r.tag} for r in self.mapping.rules if r.tag and any(s.raw in names for s in r.sources())]
        plain = [tag for tag in tags if not self.engine.knows(str(tag["name"])) and str(tag["name"]) not in self._own]
        return [*fed, *plain]

    def _values(self, message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        t, qualities = int(message["t"]), message.get("q", {})
        heard = {k: (v, int(qualities.get(k, GOOD))) for k, v in message["v"].items() if self.engine.knows(k)}
        plain = {k: v for k, v in message["v"].items() if k not in heard and k in self._known - self._own}
        out = list(self._messages(self.engine.feed_all(t, heard)))
        self._dirty = self._dirty or bool(heard)
        yield from out
        if plain or message.get("all"):
            yield {**message, "v": plain}

    def _messages(self, outputs: list[Output]) -> Iterator[Mapping[str, Any]]:
        """Outputs as fieldbus messages, in order; values of one moment share one."""
        values: dict[str, float] = {}
        qualities: dict[str, int] = {}
        t = 0
        for output in outputs:
            if values and (not isinstance(output, Value) or output.t != t or output.tag in values):
                yield {"t": t, "v": values, "q": qualities}
                values, qualities = {}, {}
            if isinstance(output, Value):
                t = output.t
                values[output.tag], qualities[output.tag] = output.value, output.quality
            else:
                payload = output.payload() | ({"tag": self._of[output.rule]} if output.rule in self._of else {})
                yield {"t": payload.pop("t"), "event": payload}
        if values:
            yield {"t": t, "v": values, "q": qualities}

    def advance(self, t: int) -> Iterator[Mapping[str, Any]]:
        """What comes due up to plant ms `t`."""
        out = self.engine.advance(t)
        self._dirty = self._dirty or bool(out)
        yield from self._messages(out)

    def refused(self) -> list[str]:
        """What of the last message no rule could read."""
        return [f"{key}: {text}" for key, text in self.engine.refused]

    def lost(self) -> None:
        """The fieldbus is away."""
        self.engine.lost()
        self._dirty = True

    def forget(self) -> None:
        """Another plant: everything begins anew."""
        self.engine = self.mapping.engine()
        self._dirty = True

    def memory(self) -> str | None:
        """What to keep, None where nothing has changed since `kept`."""
        return json.dumps(self.engine.memory(), separators=(",", ":")) if self._dirty else None

    def kept(self) -> None:
        """The memory is on disk."""
        self._dirty = False
