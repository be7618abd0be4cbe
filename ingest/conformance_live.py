"""Recording what a gateway says on a broker, and telling what became of each rule."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from ingest.conformance import Finding
from ingest.conformance_log import Seen
from ingest.message import Message
from ingest.mqtt import Link, Will
from ingest.tls import Tls

CONNECT_S = 5.0
SETTLE_S = 1.0
MARKS = {"pass": "ok", "fail": "FAILS", "unjudged": "?"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the gateway publishes: broker, TLS files, its topic root; `login` is our user name and password."""

    host: str
    port: int
    root: str
    tls: Tls | None = None
    login: tuple[str, str] | None = None

    @property
    def state_topic(self) -> str:
        return self.root.rsplit("/", 1)[0] + "/_twin/state"


@dataclass
class Ear:
    """A connection that writes down everything it hears: a context manager; `heard` grows."""

    target: Target
    filters: list[str]
    will: Will | None = None
    heard: list[Seen] = field(default_factory=list)
    _queue: queue.SimpleQueue[Seen] = field(default_factory=queue.SimpleQueue)

    def __enter__(self) -> Self:
        self.trouble = ""
        self.link = Link(
            self.target.host, self.target.port, self.filters, self._message, will=self.will, name="wire-check",
            tls=self.target.tls, login=self.target.login,
        )  # fmt: skip
        self.link.on_trouble = self._note
        self.link.start()
        end = time.monotonic() + CONNECT_S
        while not self.link.granted:
            refused = self.link.connected and self.trouble  # a subscription: asking again changes nothing
            if refused or time.monotonic() > end:
                self.link.stop()
                raise OSError(self.trouble or f"{self._address}: expected an MQTT broker, found no answer to CONNECT")
            time.sleep(0.02)
        return self

    @property
    def _address(self) -> str:
        return f"{self.target.host}:{self.target.port}"

    def __exit__(self, *_: object) -> None:
        self.link.stop()

    def _note(self, why: str) -> None:
        self.trouble = why

    def _message(self, message: Message) -> None:
        self._queue.put(Seen(message.topic, message.body, message.qos, message.retain, message.recv))
        self.link.acknowledge([message])

    def listen(self, seconds: float, until: Callable[[list[Seen]], bool] | None = None) -> list[Seen]:
        """What comes in the next seconds (less where `until` says that it is enough); also kept in `heard`."""
        end, new = time.monotonic() + seconds, list[Seen]()
        while (left := end - time.monotonic()) > 0:
            try:
                new.append(self._queue.get(timeout=min(left, 0.1)))
            except queue.Empty:
                continue
            if until is not None and until(new):
                break
        self.heard.extend(new)
        return new


def record(target: Target, seconds: float) -> list[Seen]:
    """Everything under the root for so long, then what the broker holds for a new subscriber.

    Raises OSError where there is no broker, TlsError where TLS cannot begin.
    """
    filters = [f"{target.root}/#", target.state_topic]
    with Ear(target, filters) as ear:
        ear.listen(seconds)
        with Ear(target, filters) as again:
            stored = [seen for seen in again.listen(SETTLE_S) if seen.retained]
        return [*ear.heard, *stored]


def write_recording(path: Path, messages: Iterable[Seen]) -> int:
    """Write a recording; returns how many messages it holds."""
    lines = [seen.line() for seen in messages]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return len(lines)


def as_text(root: str, findings: list[Finding], messages: int) -> str:
    """What a person reads: one line for each rule, under a failure the offending messages and the page's sentence."""
    lines = [f"{root}: {messages} messages"]
    for one in findings:
        lines.append(f"  {MARKS[one.verdict]:<6}{one.rule:<16} {one.why}".rstrip())
        if one.verdict != "fail":
            continue
        lines.append(f"{'':10}the page says: {one.page}")
        for sample in one.samples:
            if "topic" in sample:
                marks = f"QoS {sample['qos']}{', retained' if sample['retained'] else ''}"
                lines.append(f"{'':10}{sample['topic']} ({marks}): {sample['payload'][:160]}")
    counts = {mark: sum(one.verdict == mark for one in findings) for mark in MARKS}
    lines.append(f"{counts['pass']} rules kept, {counts['fail']} broken, {counts['unjudged']} could not be judged")
    return "\n".join(lines)


def as_json(root: str, findings: list[Finding], messages: int) -> dict[str, Any]:
    """The same for a program."""
    return {
        "root": root,
        "messages": messages,
        "ok": all(one.verdict != "fail" for one in findings),
        "findings": [msgspec.to_builtins(one) for one in findings],
    }


def silence(target: Target, seconds: float) -> str:
    """What to say where nothing at all was heard: a broker need not tell us that we may not read."""
    return (
        f"{target.host}:{target.port}: expected at least the retained birth under {target.root}, found nothing in "
        f"{seconds:g} s; has the gateway been on this broker, is the root right, and may we read it? (mosquitto "
        "accepts a subscription that its ACL forbids: use the certificate of `twin`)"
    )
