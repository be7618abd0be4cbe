"""Samples of Sparkplug metrics through the rules of a mapping: the present at once, history in its own time.

A metric is a raw name of the mapping, `spBv1.0/GROUP/NODE/DEVICE/METRIC` (`_node` for the device where the metric is
the edge node's own). What a message says of one moment is fed together. A sample that is stale or bad (its node or
device died, its value is null, its `Quality` says so) tells the rules that its source is away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ingest.codes import BAD, STALE
from ingest.mapping import Output, Rule
from ingest.mapping_engine import Engine
from ingest.mapping_past import SPARKPLUG, Held, Past, moments

if TYPE_CHECKING:
    from ingest.sparkplug_node import Sample


class Fed(NamedTuple):
    """What samples came to: outputs, how many some rule looks at (now or once their history is told), and the names
    that none does.
    """

    outputs: list[Output]
    known: int
    unmapped: list[str]


class Metrics:
    """`take` for samples of a message, `due` for history that is complete; names are looked up in `engine`."""

    def __init__(
        self,
        engine: Engine,
        rules: tuple[Rule, ...],
        stored: Mapping[str, bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.past = Past(engine, rules, stored, clock)
        self.names = tuple(
            dict.fromkeys(s.raw for rule in rules for s in rule.sources() if s.raw.startswith(SPARKPLUG))
        )
        self._rules_of: dict[str, list[str]] = {}
        for rule in rules:
            for name in {source.raw for source in rule.sources()}:
                self._rules_of.setdefault(name, []).append(rule.key)

    def take(self, node: str, samples: list[Sample], plant: Callable[[int], int] = lambda wall: wall) -> Fed:
        """Feed the samples of a message of an edge node (GROUP/NODE); `plant` turns UTC ms into plant ms."""
        known = [one for one in samples if self.engine.knows(one.name)]
        values = [Held(plant(one.t), one.name, one.value, one.quality) for one in known if not one.historical]
        self.past.hold(node, [Held(plant(one.t), one.name, one.value, one.quality) for one in known if one.historical])
        out: list[Output] = []
        for t, heard in moments(values):
            away = {name for name, (_, quality) in heard.items() if quality in {STALE, BAD}}
            self.past.away(away)
            out += self.engine.feed_all(t, heard)
            self.past.back(t, {name: value for name, value in heard.items() if name not in away})
        return Fed(out, len(known), [one.name for one in samples if not self.engine.knows(one.name)])

    def due(self) -> list[tuple[str, list[Output]]]:
        """(GROUP/NODE, outputs) of history that is complete."""
        return self.past.due()

    def remembered(self) -> list[str]:
        """The metrics whose rules have been told something in an earlier life."""
        return [name for name in self.names if any(self.engine.worker(key).m.t for key in self._rules_of[name])]
