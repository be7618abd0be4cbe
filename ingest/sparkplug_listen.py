"""Sparkplug edge nodes for the preview of a mapping: sessions without a journal, and without a word of our own.

A preview comes late: births were before it, and what is known by alias alone cannot be read without them. It asks for
births only where it is told to, with the one command that plantwin ever gives an edge node.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ingest.mapping import Mapping
from ingest.mapping_past import SPARKPLUG, node_of
from ingest.mapping_preview import Preview
from ingest.message import Message
from ingest.payloads import WireError
from ingest.readings import wall_ms
from ingest.sparkplug import rebirth
from ingest.sparkplug_node import Taken
from ingest.sparkplug_session import Limits, Sessions
from ingest.topicmap import Rule

JITTER_S = 0.2


def filters(mapping: Mapping, listen: str) -> list[str]:
    """The topics of the edge nodes that a mapping names and that `listen` does not cover."""
    covered = Rule(listen, "")
    nodes = dict.fromkeys(node_of(name) for name in mapping.raw_names() if name.startswith(SPARKPLUG))
    found = []
    for node in nodes:
        group, _, name = node.partition("/")
        if covered.match(f"{SPARKPLUG}{group}/DDATA/{name}/device") is None:
            found.append(f"{SPARKPLUG}{group}/+/{name}/#")
    return found


class Nodes:
    """`hear` for a message, `turn` as time passes; what comes of them goes to a preview."""

    def __init__(self, mapping: Mapping, *, ask: bool) -> None:
        self.sessions = Sessions(Limits(jitter_s=JITTER_S))
        self._ask = ask
        if ask:
            names = [name for name in mapping.raw_names() if name.startswith(SPARKPLUG)]
            self.sessions.expect(names, time.monotonic())

    def hear(self, preview: Preview, message: Message) -> None:
        """A message of the Sparkplug namespace."""
        if message.topic.startswith(f"{SPARKPLUG}STATE/"):
            return
        try:
            self._tell(
                preview,
                self.sessions.take(message.topic, message.body, message.recv, time.monotonic(), retain=message.retain),
            )
        except WireError as why:
            preview.sparkplug[why.reason] = preview.sparkplug.get(why.reason, 0) + 1

    def turn(self, preview: Preview, publish: Callable[[str, bytes], object]) -> None:
        """Time passes; those who have to be asked are asked, if we may."""
        self._tell(preview, self.sessions.turn(wall_ms(), time.monotonic()))
        preview.unborn = sorted("/".join(key) for key, node in self.sessions.nodes.items() if not node.born)
        if self._ask:
            for key in self.sessions.requests(time.monotonic()):
                publish(*rebirth(*key, wall_ms()))

    @staticmethod
    def _tell(preview: Preview, found: list[Taken]) -> None:
        for taken in found:
            preview.hear_metrics(f"{taken.group}/{taken.node}", taken.samples)
