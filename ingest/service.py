"""`plantwin ingest`: the writer thread between MQTT, the HTTP interface and the journal.

Messages are queued by the MQTT thread, taken in batches (up to 100, or what came within a few
milliseconds), committed with full sync, and only then acknowledged, in the order of delivery. A kill at any
point leaves the journal as of the last commit; what was not acknowledged comes again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ingest.asking import Asking
from ingest.intake import Intake
from ingest.journal import Journal, JournalError
from ingest.message import Line, Message
from ingest.mqtt import Link, Will
from ingest.outgoing import Outgoing
from ingest.payloads import Cmd, Rec, TwinState, WireError, encode
from ingest.readings import Manual, Tick, wall_ms
from ingest.retention import Limits, Storage
from ingest.steady import SteadyWall
from ingest.tls import Tls
from ingest.topicmap import TopicMap
from ingest.topics import topic, twin_state_topic

if TYPE_CHECKING:
    from ingest.sparkplug_host import SparkplugHost, SparkplugSettings

log = logging.getLogger("ingest")

MAX_BATCH = 100
LINGER_S = 0.005
"""How long a batch waits for more once it has a message (at most 50 ms are promised)."""
TICK_MS = 1000
MIN_TICK_S = 0.05
QUEUE = 20_000
BEHIND_S = 60.0
"""So long after a message was dropped for want of room `/healthz` says that we are degraded."""


@dataclass(frozen=True)
class Settings:
    """What `plantwin ingest` was told."""

    data: Path
    host: str
    port: int
    line: Line
    topics: TopicMap = field(default_factory=TopicMap)
    queue: int = QUEUE
    wait_s: float = 2.0
    sparkplug: SparkplugSettings | None = None
    tls: Tls | None = None
    drop: Path | None = None  # CSV files of supply documents
    limits: Limits = field(default_factory=Limits)
    history: bool = True


@dataclass
class Job:
    """Something that the HTTP interface wants in the journal; `done` is resolved after the commit."""

    kind: str
    body: bytes
    payload: Any
    done: Future[dict[str, Any]] = field(default_factory=Future)


class _Up:
    """The connection is (again) there."""


class Service:
    """One line's ingest. `start()`, `stop()`; `submit` and the read-only views are safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        line = settings.line
        self.settings = settings
        self.journal = Journal(settings.data / "journal.db")
        self.sparkplug = self._sparkplug(settings) if settings.sparkplug else None
        self.storage = Storage(settings.data, self.journal, settings.limits)
        self.steady = SteadyWall()
        self.intake = self._intake()
        self.asking = Asking(settings.wait_s)
        self.trouble: str | None = None
        self.overflow = 0
        self._behind = -BEHIND_S  # when we last had to drop a body
        self._queue: queue.SimpleQueue[Message | Job | _Up] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._state_topic = twin_state_topic(line.site, line.area, line.line)
        gone = encode(TwinState(online=False, ts=self.intake.now(wall_ms())))
        plain = [f for f in settings.topics.filters() if not f.startswith("spBv1.0/")]
        filters = [f"ptw/v1/+/{line.area}/{line.line}/#", *plain]
        will = Will(self._state_topic, gone)
        self.link = Link(settings.host, settings.port, filters, self._received, will=will, tls=settings.tls)
        self.link.on_trouble = lambda why: log.warning("broker: %s", why)
        self.link.on_up = lambda: self._queue.put(_Up())
        self.link.on_down = lambda why: log.warning("broker connection lost: %s", why)
        self.out = Outgoing(self.link, self._state_topic)
        self._last_tick = 0
        self._next_tick = 0.0
        self._next_slow = 0.0
        if self.sparkplug is not None:
            self.sparkplug.open(self._received)

    @staticmethod
    def _sparkplug(settings: Settings) -> SparkplugHost:
        from ingest.sparkplug_host import SparkplugHost
        from ingest.sparkplug_rows import topic_hook

        assert settings.sparkplug is not None

        def connect(filters: list[str]) -> Link:
            return Link(settings.host, settings.port, filters, lambda _: None, name="sparkplug", tls=settings.tls)

        return SparkplugHost(settings.sparkplug, topic_hook(settings.topics), connect)

    def _intake(self) -> Intake:
        """The intake as the journal knows it."""
        intake = Intake.restore(self.settings.line, self.settings.topics, self.journal)
        intake.step = self.steady.step
        if self.sparkplug is not None:
            self.sparkplug.attach(intake, self.settings.line, self.journal)
        return intake

    def start(self) -> None:
        """Start writing and connect."""
        self._thread.start()
        self.link.start()
        if self.sparkplug is not None:
            self.sparkplug.start()

    def stop(self) -> None:
        """Finish the batch in hand, say goodbye and close."""
        if self.sparkplug is not None:
            self.sparkplug.stop()
        self.link.stop(self._state_topic, encode(TwinState(online=False, ts=self.intake.now(wall_ms()))))
        self._stop.set()
        self._thread.join(10)
        self.storage.close()
        self.journal.close()

    # -- other threads ----------------------------------------------------------------------------------

    def _received(self, message: Message) -> None:
        """On paho's thread: only queue. When full, the body is dropped and counted; it will be asked for again."""
        if self._queue.qsize() >= self.settings.queue:
            self.overflow += 1
            self._behind = time.monotonic()
            if message.qos:  # keeps its place in the order of acknowledgements
                self._queue.put(message._replace(topic="", body=b""))
            return
        self._queue.put(message)

    def submit(self, job: Job) -> Future[dict[str, Any]]:
        """Have a job written; its future fails with WireError (refused) or JournalError (cannot write)."""
        if self.trouble is not None:
            job.done.set_exception(JournalError(self.trouble))
        else:
            self._queue.put(job)
        return job.done

    def health(self) -> dict[str, Any]:
        """State of the service; `ok` is false while nothing can be written."""
        return {
            "ok": self.trouble is None and self._thread.is_alive(),
            "journal": self.trouble or "ok",
            "broker": "connected" if self.link.connected else "down",
            "connections": self.link.number,
            "pos": self.journal.last(),
            "queue": self._queue.qsize(),
            "overflow": self.overflow,
            "degraded": self._degraded(),
            "sources": self.intake.ledger.degraded(),
            **({"sparkplug": self.sparkplug.connected()} if self.sparkplug is not None else {}),
            "t": self.intake.now(wall_ms()),
        }

    def _degraded(self) -> str:
        """In words what is not as it should be although we go on, "" when all is."""
        if time.monotonic() - self._behind < BEHIND_S:
            return f"more came than could be written: {self.overflow} messages were dropped and are asked for again"
        waiting = self._queue.qsize()
        return f"{waiting} messages wait to be written" if waiting > self.settings.queue // 2 else ""

    def publish_rec(self, rec: Rec | None) -> bool:
        """Publish the recommendation in force (retained), or clear it."""
        return self.out.rec(topic(self.settings.line.cell("_twin"), "rec"), encode(rec) if rec else b"")

    # -- the writer -------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception:  # the writer must not die of one message; nothing was acknowledged
                log.exception("the writer met something unexpected; the batch is not acknowledged")
                self.trouble = "unexpected error, see the log"
                self._restore()

    def _turn(self) -> None:
        items = self._collect()
        messages = [item for item in items if isinstance(item, Message)]
        jobs = [item for item in items if isinstance(item, Job)]
        if any(isinstance(item, _Up) for item in items):
            self.out.up(self.intake)
        if not self._write(messages, jobs):
            return
        now = time.monotonic()
        if now >= self._next_slow:
            self._next_slow = now + 0.1
            wall = wall_ms()
            for source, req in self.asking.due(self.intake, now, wall):
                self.link.publish(topic(source, "req"), encode(req))
            self.out.slow(self.intake, now, wall)
            if self.sparkplug is not None:
                self.sparkplug.turn()
            self.storage.turn()

    def _collect(self) -> list[Message | Job | _Up]:
        wait = max(0.001, min(self._next_tick - time.monotonic(), 0.05)) if self.intake.clock else 0.05
        items: list[Message | Job | _Up] = []
        try:
            items.append(self._queue.get(timeout=wait))
        except queue.Empty:
            return items
        if self._queue.qsize() < MAX_BATCH:
            time.sleep(LINGER_S)  # being woken for each message would cost more than the message
        while len(items) < MAX_BATCH:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return items

    def _restore(self) -> bool:
        """Go back to what the journal knows: the intake is ahead of it, and must never be confirmed to anyone.

        Tries until it can be read; False when we are told to stop before.
        """
        while not self._stop.wait(0.5):
            try:
                self.intake = self._intake()
            except Exception:
                log.exception("the journal cannot be read")
            else:
                return True
        return False

    def _write(self, messages: list[Message], jobs: list[Job]) -> bool:
        """Commit, however long it takes; jobs are refused at once meanwhile. False when stopped before it was done."""
        while True:
            batch = self.intake.take([m for m in messages if m.topic])
            taken = self._take_jobs(jobs)
            self._tick()
            if not batch:
                for job, result in taken:  # known already
                    _settle(job, result)
                break
            rows = batch.rows
            try:
                self.storage.check()
                self.journal.commit(batch)
            except JournalError as error:
                if self.trouble is None:
                    log.error("cannot write: %s", error)
                self.trouble = str(error)
                for job in jobs:
                    _settle(job, error)
                jobs = []
                if not self._restore():
                    return False
                self.storage.turn()  # which is what may make room
                continue
            self.out.committed(self.intake, rows)
            for job, result in taken:
                _settle(job, result)
            break
        if self.trouble is not None and batch:
            log.warning("writing again")
            self.trouble = None
        self.link.acknowledge(messages)
        return True

    def _take_jobs(self, jobs: list[Job]) -> list[tuple[Job, dict[str, Any]]]:
        taken: list[tuple[Job, dict[str, Any]]] = []
        for job in jobs:
            try:
                taken.append((job, self._take(job)))
            except WireError as error:
                _settle(job, error)
        return taken

    def _take(self, job: Job) -> dict[str, Any]:
        wall = wall_ms()
        if job.kind == "command":
            cmd: Cmd = job.payload
            known = self.journal.keyed("cmd", cmd.id)
            root = self.intake.command(cmd, job.body, wall, known.body if known else None)
            return {"id": cmd.id, "topic": topic(root, "cmd", cmd.id), "duplicate": known is not None}
        if job.kind == "manual":
            manual: Manual = job.payload
            return {"t": self.intake.manual(manual, wall)}
        new = self.intake.supply(job.payload, job.body, wall)
        return {"doc": job.payload.doc, "version": job.payload.version, "duplicate": not new}

    def _look_at_clock(self) -> None:
        """Plant time goes on by the monotonic clock when the machine's own steps; a restart takes the new time over."""
        step = self.steady.stepped()
        if step is not None:
            log.warning("the machine's clock is %.1f s off since it stepped; plant time goes on unmoved", step / 1000)
            self.intake.step = step

    def _tick(self) -> None:
        """A row for every second of plant time, at most every 50 ms of wall time: time itself is in the journal."""
        self._look_at_clock()
        now = time.monotonic()
        clock = self.intake.clock
        if clock is None or now < self._next_tick:
            return
        wall = wall_ms()
        t = self.intake.now(wall) // TICK_MS * TICK_MS
        if t == self._last_tick:
            self._next_tick = now + min(1.0, (TICK_MS / clock.speed) / 4000)
            return
        self._last_tick = t
        self._next_tick = now + max(MIN_TICK_S, TICK_MS / clock.speed / 1000 - 0.01)
        self.intake.tick(t, wall, msgspec.json.encode(Tick(t)))


def _settle(job: Job, outcome: dict[str, Any] | Exception) -> None:
    if job.done.done():
        return
    if isinstance(outcome, Exception):
        job.done.set_exception(outcome)
    else:
        job.done.set_result(outcome)
