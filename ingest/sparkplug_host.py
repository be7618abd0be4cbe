"""The connections of a Sparkplug host application: STATE with its will, subscriptions, and requests for rebirth.

MQTT gives a connection one will, and ours is `_twin/state`; so each host id has a connection of its own. The
first one listens to the edge nodes and queues into the same writer as everything else. What is ever published
here is STATE and `Node Control/Rebirth`, nothing else: writing back goes through plantwin's own gateway, whose commands
carry a signature and a lease.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingest.intake import Intake
from ingest.journal import Journal
from ingest.message import Line, Message
from ingest.mqtt import Link, Will
from ingest.readings import wall_ms
from ingest.sparkplug import NAMESPACE, rebirth, state, state_topic
from ingest.sparkplug_rebirth import Key, Pace, Rebirths
from ingest.sparkplug_rows import Hook, SparkplugRows
from ingest.sparkplug_session import Limits, Sessions

log = logging.getLogger("ingest.sparkplug")

AGAIN = 10
"""STATE is said again at most this often a minute: two hosts with one id would otherwise never end."""
_ID = re.compile(r"[^+/#\x00-\x1f\x7f]{1,128}\Z")


@dataclass(frozen=True)
class SparkplugSettings:
    """`hosts`: our host ids, `accept`: `GROUP` or `GROUP/NODE` to listen to (empty: all). Raises ValueError."""

    hosts: tuple[str, ...]
    accept: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        for host in self.hosts:
            if not _ID.match(host):
                raise ValueError(f"host id: expected 1 to 128 characters without + / #, found {host!r}")
        if len(set(self.hosts)) != len(self.hosts):
            raise ValueError(f"host id: expected different ids, found {', '.join(self.hosts)}")
        if not 0.0 <= self.limits.reorder_s <= 60.0:
            raise ValueError(f"reorder time: expected 0 to 60 s, found {self.limits.reorder_s:g}")
        for one in self.accept:
            if not all(_ID.match(part) for part in one.split("/")) or one.count("/") > 1:
                raise ValueError(f"edge nodes: expected GROUP or GROUP/NODE, found {one!r}")

    def filters(self) -> list[str]:
        """The topic filters of the edge nodes."""
        if not self.accept:
            return [f"{NAMESPACE}/#"]
        found = []
        for one in self.accept:
            group, _, node = one.partition("/")
            found.append(f"{NAMESPACE}/{group}/+/{node}/#" if node else f"{NAMESPACE}/{group}/#")
        return found


class HostLink:
    """One host id on the broker: its will, its STATE, and (with `queue`) what the edge nodes say."""

    def __init__(self, host_id: str, link: Link, queue: Callable[[Message], None] | None) -> None:
        self.topic = state_topic(host_id)
        self.born_at = 0
        self.link = link
        self._queue = queue
        self._again: list[float] = []
        self._going = False
        link.make_will = self._will
        link.on_up = self._up
        link.on_message = self._message
        link.on_down = lambda why: log.warning("Sparkplug host %s: broker connection lost: %s", host_id, why)

    def _will(self) -> Will:
        """Before each CONNECT: will and birth carry the same time (chapter 5, "Host Application Session")."""
        self.born_at = wall_ms()
        return Will(self.topic, state(online=False, t=self.born_at))

    def _up(self) -> None:
        self._publish_state()

    def _publish_state(self) -> None:
        self.link.publish(self.topic, state(online=True, t=self.born_at), retain=True)

    def _message(self, message: Message) -> None:
        """On paho's thread."""
        if message.topic == self.topic:
            if not self._going and _says_offline(message.body) and self._may_again():
                self._publish_state()
        elif self._queue is not None and not message.topic.startswith(f"{NAMESPACE}/STATE/"):
            self._queue(message)

    def _may_again(self) -> bool:
        now = time.monotonic()
        self._again = [at for at in self._again if now - at < 60.0]
        if len(self._again) >= AGAIN:
            return False
        self._again.append(now)
        return True

    def ask(self, key: Key) -> bool:
        """Ask an edge node for its births: the only command there is."""
        topic, body = rebirth(*key, wall_ms())
        return self.link.publish(topic, body, qos=0)

    def stop(self) -> None:
        """Say that we go, and go (and do not take our own word for somebody's denial)."""
        self._going = True
        self.link.stop(self.topic, state(online=False, t=wall_ms()))


def _says_offline(body: bytes) -> bool:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("online") is False


class SparkplugHost:
    """All of it: `attach` to an intake, `start`, `turn` from the writer, `stop`."""

    def __init__(self, settings: SparkplugSettings, hook: Hook, connect: Callable[[list[str]], Link]) -> None:
        """`connect(filters)` makes a connection that is not started yet, and that has no will."""
        self.settings = settings
        self.rebirths = Rebirths(settings.pace)
        self._hook = hook
        self._connect = connect
        self.links: list[HostLink] = []
        self.rows: SparkplugRows | None = None

    def open(self, queue: Callable[[Message], None]) -> None:
        """Make the connections; messages of edge nodes go to `queue`, from another thread."""
        for k, host_id in enumerate(self.settings.hosts):
            filters = [state_topic(host_id), *(self.settings.filters() if k == 0 else [])]
            link = self._connect(filters)
            link.qos = 0  # edge nodes publish at QoS 0: nothing is there to be acknowledged
            self.links.append(HostLink(host_id, link, queue if k == 0 else None))

    def attach(self, intake: Intake, line: Line, journal: Journal) -> None:
        """Give an intake that was made from the journal its sessions: none, until the births come again."""
        rows = SparkplugRows(line, self._hook, Sessions(self.settings.limits, self.rebirths), mapped=intake.mapped)
        rows.plant = intake.now
        self.rows = intake.sparkplug = rows.recall(journal)

    def start(self) -> None:
        """Connect."""
        for link in self.links:
            link.link.start()

    def turn(self) -> None:
        """Ask those whose turn it is (from the writer thread)."""
        if self.rows is not None and self.links[0].link.connected:
            for key in self.rows.requests():
                self.links[0].ask(key)

    def stop(self) -> None:
        """Say goodbye under every host id."""
        for link in self.links:
            link.stop()

    def connected(self) -> str:
        """Whether every host id is on the broker, in a word."""
        return "connected" if all(one.link.connected for one in self.links) else "down"

    def view(self) -> dict[str, Any]:
        """What `GET /ledger` says of Sparkplug."""
        found = self.rows.view() if self.rows is not None else {}
        return {"hosts": {one.topic: one.link.connected for one in self.links}, **found}
