"""What a host application remembers of one edge node, and the samples its metrics become."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.codes import BAD, STALE, UNCERTAIN
from ingest.sparkplug import Address, Decoded, Metric, Unstored, Value, scalar

MAX_HELD = 64
"""Messages of a node kept while one before them is missing."""
AHEAD_MS = 60_000
BEHIND_MS = 86_400_000
"""A live value stamped further ahead or behind than this comes from a wrong clock: it gets the time of arrival."""


class Sample(NamedTuple):
    """A value of a metric at UTC ms `t`; `mapped` says that `name` is a plant tag already (from the journal)."""

    name: str
    value: Value
    t: int
    quality: int
    historical: bool = False
    mapped: bool = False


class Taken(NamedTuple):
    """What one message, or the passing of time, came to: samples of a node or device, in their order."""

    group: str
    node: str
    device: str
    verb: str
    t: int
    samples: list[Sample]


class Held(NamedTuple):
    """A message that came before its turn."""

    address: Address
    decoded: Decoded
    size: int
    recv: int


@dataclass(slots=True)
class Known:
    """A metric that a birth declared: `name` the virtual topic, `value` the last live one."""

    name: str
    device: str
    datatype: int
    value: Value | None = None
    mapped: bool = False


@dataclass(slots=True)
class Node:
    """One edge node. `devices` holds its own metrics under "" and those of each device that is born; `former` those of
    devices that a birth of the node has put in question until they are born again (or `settle_at` has passed).
    """

    group: str
    node: str
    born: bool = False
    doubt: bool = False
    bd: int | None = None
    expected: int = 0
    devices: dict[str, dict[str, Known]] = field(default_factory=dict)
    aliases: dict[int, Known] = field(default_factory=dict)
    former: dict[str, dict[str, Known]] = field(default_factory=dict)
    settle_at: float = 0.0
    held: dict[int, Held] = field(default_factory=dict)
    held_since: float = 0.0
    doubt_since: float = 0.0
    doubt_told: bool = False
    recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=16))
    last_recv: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Group and edge node."""
        return (self.group, self.node)

    def size(self) -> int:
        """How many metrics are remembered."""
        return sum(map(len, self.devices.values())) + sum(map(len, self.former.values()))

    def held_bytes(self) -> int:
        """How much is held."""
        return sum(held.size for held in self.held.values())

    def forget_device(self, device: str) -> dict[str, Known]:
        """Take a device (or, with "", the node's own metrics) out, its aliases as well."""
        gone = self.devices.pop(device, {})
        if gone and self.aliases:
            self.aliases = {alias: known for alias, known in self.aliases.items() if known.device != device}
        return gone


def stale(metrics: dict[str, Known], t: int) -> list[Sample]:
    """The last values of these metrics, as stale at `t`.

    What only the journal knows of is bad instead, which nobody believes: its value is that of the last birth, and a
    counter must not seem to fall.
    """
    return [
        Sample(k.name, k.value, t, BAD if k.mapped else STALE, mapped=k.mapped)
        for k in metrics.values()
        if k.value is not None
    ]


class Moment(NamedTuple):
    """When a message says it was made (None: it does not) and when it came, both UTC ms; `birth`: it is a birth."""

    said: int | None
    recv: int
    birth: bool


def sample(known: Known, metric: Metric, when: Moment, counts: dict[str, int]) -> Sample | None:
    """The sample of a metric, remembered as last value where it is a live one; None (and counted) where it has none."""
    if metric.transient:
        count(counts, "transient")
        return None
    try:
        value = scalar(metric, known.datatype)
    except Unstored as why:
        count(counts, why.reason)
        if why.reason == "null" and known.value is not None and not metric.historical:
            return Sample(known.name, known.value, _moment(metric, when, counts)[0], BAD)
        return None
    t, quality = _moment(metric, when, counts)
    if not metric.historical:
        known.value = value
    return Sample(known.name, value, t, max(metric.quality, quality), metric.historical)


def _moment(metric: Metric, when: Moment, counts: dict[str, int]) -> tuple[int, int]:
    """Time and doubt of a sample. A birth asserts present values, however long ago each came about."""
    t = when.said if when.birth and not metric.historical else metric.t or when.said
    if t is None:
        count(counts, "no_time")
        return when.recv, UNCERTAIN
    if t > when.recv + AHEAD_MS or (t < when.recv - BEHIND_MS and not metric.historical):
        count(counts, "clock")
        return when.recv, UNCERTAIN
    return t, 0


def count(counts: dict[str, int], what: str, by: int = 1) -> None:
    """Add to a counter."""
    counts[what] = counts.get(what, 0) + by
