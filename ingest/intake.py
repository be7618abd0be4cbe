"""From messages to journal rows: what is taken, what is a duplicate, what is rejected, what is asked for.

`Intake` knows neither MQTT nor SQLite: `take` turns messages into a `Batch`, and the caller commits it.
When the commit fails the caller makes a new `Intake` from the journal and gives it the same messages.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ingest import watermark
from ingest.journal import Batch, Journal
from ingest.ledger import MAX_SOURCES, Ledger, SourceLedger, sample
from ingest.mapping_rows import SETTLE_MS, MappedRows, Row
from ingest.message import Line, Message
from ingest.papers import Papers
from ingest.payloads import MAX_BYTES, NUMBERED, Birth, Cmd, CmdAck, Envelope, Gap, Status, Supply, WireError, parse
from ingest.readings import Aliases, Manual, PlantClock, check_tags, wall_ms
from ingest.topicmap import TopicMap
from ingest.topics import TWIN_CELL, UP, Topic, parse_topic
from ingest.watermark import Mark

if TYPE_CHECKING:
    from ingest.sparkplug_rows import RowOut, SparkplugRows

MAX_POISON = 1_000
_BY_MESSAGE = frozenset({"wrong_type", "bad_number", "bad_id", "columns", "bad_range", "unknown_tag", "topic_mismatch"})
"""Reasons that will be the same however often the message comes."""


@dataclass
class Intake:
    """State of the wire as of the last batch; rebuilt from the journal by `restore`."""

    line: Line
    topics: TopicMap = field(default_factory=TopicMap)
    mapped: MappedRows | None = None  # where `topics` is a mapping: its rules at work
    aliases: Aliases = field(default_factory=Aliases)
    ledger: Ledger = field(default_factory=Ledger)
    marks: dict[tuple[str, str], Mark] = field(default_factory=dict)
    seen: dict[tuple[str, str], int] = field(default_factory=dict)  # highest number heard of, even if not taken
    orphans: dict[str, str] = field(default_factory=dict)  # source -> epoch that has had no birth
    asked: dict[str, tuple[int, int]] = field(default_factory=dict)  # source -> range of the replay on its way
    clock: PlantClock | None = None
    step: int = 0  # ms by which the machine's clock has stepped since we started: plant time does not follow it
    pending: dict[str, tuple[str, Cmd]] = field(default_factory=dict)  # commands without any answer: id -> (root, cmd)
    sparkplug: SparkplugRows | None = None
    _last: dict[str, bytes] = field(default_factory=dict)  # topic -> retained body last journaled
    _poison: OrderedDict[tuple[str, str, int], int] = field(default_factory=OrderedDict)
    papers: Papers = field(default_factory=Papers)
    _docs: set[str] = field(default_factory=set)
    _batch: Batch = field(default_factory=Batch)
    _touched: set[str] = field(default_factory=set)

    @classmethod
    def restore(cls, line: Line, topics: TopicMap, journal: Journal) -> Intake:
        """The intake as the journal knows it."""
        intake = cls(line, topics, MappedRows.restore(topics, journal, line))
        intake.marks = journal.marks()
        intake.ledger.load(journal.ledgers())
        for row in journal.keyed_rows("birth"):
            birth = intake.aliases.feed_row(row)
            intake._set_clock(birth, row.recv)
            intake._last[f"{row.source}/birth"] = row.body
        for row in journal.keyed_rows("status"):
            intake._last[f"{row.source}/status"] = row.body
        for row in journal.keyed_rows("cmd"):
            cmd: Cmd = parse("cmd", row.body)
            if journal.keyed("cmdack", cmd.id) is None:
                intake.pending[cmd.id] = (row.source, cmd)
        intake._docs = journal.keys("supply")
        for row in journal.keyed_rows("supply"):
            intake.papers.take(parse("supply", row.body))
        return intake

    def take(self, messages: list[Message]) -> Batch:
        """The rows, marks and counts that these messages lead to, in order."""
        batch = self._batch = Batch()
        self._touched = set()
        before = sum(self.ledger.rejected.values())
        for message in messages:
            self._one(message)
        if self.sparkplug is not None:
            self._spb(self.sparkplug.turn(wall_ms()), wall_ms())
        if self.mapped is not None:
            self._mapped(self.mapped.advance(self.now(wall_ms() - SETTLE_MS)), wall_ms())
            batch.memory = self.mapped.changed()
        if self._touched or sum(self.ledger.rejected.values()) != before:
            for source in self._touched:
                self._levels(source)
            batch.ledger = self.ledger.stored(self._touched)
        return batch

    def now(self, wall: int) -> int:
        """Plant ms at a wall time; wall time itself before any birth."""
        return self.clock.at(wall - self.step) if self.clock else wall - self.step

    def _one(self, message: Message) -> None:
        topic: Topic | None = None
        try:
            if self.sparkplug is not None and message.topic.startswith("spBv1.0/"):
                self._spb(self.sparkplug.take(message), message.recv)
                return
            if not message.topic.startswith("ptw/"):
                self._plain(message)
                return
            topic = parse_topic(message.topic)
            if topic.kind not in UP or topic.cell == TWIN_CELL:
                return  # what we said ourselves
            self._addressed(topic, message)
        except WireError as error:
            self._reject(topic, message, error)

    def _addressed(self, topic: Topic, message: Message) -> None:
        line = self.line
        if topic.site != line.site:
            raise WireError("wrong_site", f"expected site {line.site}, found {topic.site}")
        if (topic.area, topic.line) != (line.area, line.line):
            return  # another line of this site has an ingest of its own
        if topic.kind in NUMBERED:
            if message.retain:
                raise WireError("retained", f"/{topic.kind} must not be retained")
            self._numbered(topic, message)
        else:
            payload = parse(topic.kind, message.body)
            if topic.kind == "birth":
                self._birth(topic, message, payload)
            elif topic.kind == "status":
                self._status(topic, message, payload)
            else:
                self._supply(topic, message, payload)

    # -- numbered kinds ---------------------------------------------------------------------------------

    def _numbered(self, topic: Topic, message: Message) -> None:
        source, kind = topic.root, topic.kind
        payload = parse(kind, message.body)
        key = (source, payload.e)
        number: int = payload.s
        mark = self.marks.get(key)
        if mark is None:
            self._orphan(source, payload.e, number)
        mark = self.marks[key]
        if watermark.has(mark, number):
            entry = self._entry(source, message.recv)
            entry.duplicate += 1
            return
        if kind in ("data", "hist"):
            check_tags(source, payload, self.aliases)
            t = payload.t0 + payload.dt[-1]
        elif kind == "gap":
            t = self.now(message.recv)
        else:
            t = payload.t
        if kind == "cmdack" and payload.id != topic.id:
            raise WireError("topic_mismatch", f"topic says command {topic.id}, payload {payload.id}")
        if why := watermark.acceptable(mark, payload.from_ if kind == "gap" else number):
            raise WireError("sequence", why)
        self._accept(topic, message, payload, t)

    def _accept(self, topic: Topic, message: Message, payload: Any, t: int) -> None:
        source, number = topic.root, payload.s
        key = (source, payload.e)
        mark = self.marks[key]
        entry = self._entry(source, message.recv)
        entry.accepted += 1
        if number <= max(watermark.newest(mark), self.seen.get(key, -1)):
            entry.late += 1
            low, high = self.asked.get(source, (1, 0))
            entry.replayed += topic.kind == "hist" or low <= number <= high
        elif topic.kind == "hist":
            entry.replayed += 1
        if isinstance(payload, Gap):
            mark = self._cover(mark, payload, entry)
        self._row(message.recv, t, topic.kind, source, payload.e, number, message.body)
        if isinstance(payload, CmdAck):
            self._keep("cmdack", payload.id)
            self.pending.pop(payload.id, None)
        self._set_mark(key, watermark.add(mark, number, number))

    def _cover(self, mark: Mark, gap: Gap, entry: SourceLedger) -> Mark:
        """The mark after a gap record; only numbers that are really missing are counted as dropped."""
        low = max(gap.from_, mark.first)
        if low > gap.to:
            return mark
        missing = watermark.missing(mark, gap.to)
        mark = watermark.add(mark, low, gap.to)
        lost = missing - watermark.missing(mark, gap.to)
        rule = gap.why[:64]
        if lost and (rule in entry.dropped or len(entry.dropped) < 32):
            entry.dropped[rule] = entry.dropped.get(rule, 0) + lost
        return mark

    def _orphan(self, source: str, epoch: str, number: int) -> None:
        """An epoch without a birth: not taken, remembered, so that the birth is asked for and then the number."""
        for other, known in self.marks:
            if known == epoch and other != source:
                raise WireError("other_source", f"epoch {epoch} belongs to {other}")
        if source not in self.orphans and len(self.orphans) >= 1_000:
            raise WireError("no_birth", f"epoch {epoch} of {source}, and too many like it")
        if self.orphans.get(source) != epoch:
            self.seen.pop((source, self.orphans.get(source, "")), None)
        self.orphans[source] = epoch
        self.seen[source, epoch] = max(number, self.seen.get((source, epoch), -1))
        raise WireError("no_birth", f"epoch {epoch} of {source} has had no birth; asked for one")

    # -- kinds without a number -------------------------------------------------------------------------

    def _birth(self, topic: Topic, message: Message, birth: Birth) -> None:
        source = topic.root
        for other, epoch in self.marks:
            if epoch == birth.e and other != source:
                raise WireError("other_source", f"epoch {epoch} belongs to {other}")
        if self.orphans.get(source) == birth.e:
            del self.orphans[source]
        entry = self._entry(source, message.recv)
        if self._last.get(message.topic) == message.body:
            entry.duplicate += 1
            return
        entry.accepted += 1
        entry.e = birth.e
        self.aliases.feed(source, birth)
        key = (source, birth.e)
        if key not in self.marks:
            self._set_mark(key, watermark.begin(birth.s))
            jump = birth.s + watermark.MAX_JUMP
            if self.seen.get(key, -1) > jump:
                del self.seen[key]
        self._set_clock(birth, message.recv)
        self._last[message.topic] = message.body
        self._row(message.recv, self.now(message.recv), "birth", source, birth.e, None, message.body)
        self._keep("birth", f"{source} {birth.e}")

    def _set_clock(self, birth: Birth, recv: int) -> None:
        """A source without a clock of its own does not overrule the simulated plant's."""
        if birth.plant_time is not None or self.clock is None:
            self.clock = PlantClock.of(birth.plant_time, recv)

    def _status(self, topic: Topic, message: Message, status: Status) -> None:
        entry = self._entry(topic.root, message.recv)
        if self._last.get(message.topic) == message.body:
            entry.duplicate += 1
            return
        entry.accepted += 1
        entry.online, entry.degraded = status.online, status.degraded if status.online else ()
        self._last[message.topic] = message.body
        self._row(message.recv, self.now(message.recv), "status", topic.root, status.e, None, message.body)
        self._keep("status", topic.root)

    def _supply(self, topic: Topic, message: Message, supply: Supply) -> None:
        entry = self._entry(topic.root, message.recv)
        key = f"{supply.doc}:{supply.version}"
        if key in self._docs:
            entry.duplicate += 1
            return
        entry.accepted += 1
        self._docs.add(key)
        self.papers.take(supply)
        self._row(message.recv, supply.issued, "supply", topic.root, None, None, message.body)
        self._keep("supply", key)

    def _plain(self, message: Message) -> None:
        if len(message.body) > MAX_BYTES:
            raise WireError("too_big", f"{len(message.body)} bytes, at most {MAX_BYTES} are allowed")
        if message.retain and self._last.get(message.topic) == message.body:
            self._entry(self.line.plain, message.recv).duplicate += 1
            return  # the broker says the same again after each connect
        if self.mapped is not None:
            rows, refused = self.mapped.take(message.topic, message.body, self.now(message.recv))
            if refused:
                self._reject(None, message, WireError("wrong_type", refused))
        else:
            found = self.topics.convert(message.topic, message.body, self.now(message.recv))
            rows = [Row(found.t, "plain", msgspec.json.encode(found))]
        entry = self._entry(self.line.plain, message.recv)
        entry.at_most_once = True
        entry.accepted += 1
        if message.retain:
            self._last[message.topic] = message.body
        self._mapped(rows, message.recv)

    def _mapped(self, rows: list[Row], recv: int) -> None:
        for t, kind, body, source in rows:
            self._row(recv, t, kind, source or self.line.plain, None, None, body)

    def _spb(self, rows: list[RowOut], recv: int) -> None:
        for row in rows:
            try:
                entry = self._entry(row.source, recv)
            except WireError as why:
                self.ledger.reject(why.reason, sample(recv, why.reason, why.detail, row.source, row.body))
                continue
            entry.at_most_once = True
            entry.accepted += 1
            entry.online = entry.online if row.online is None else row.online
            if row.body:
                self._row(recv, row.t, "spb", row.source, None, None, row.body)
            if row.key:
                self._keep("spb", row.key)
            self._mapped(list(row.more), recv)

    # -- what comes over HTTP, and time ----------------------------------------------------------------

    def command(self, cmd: Cmd, body: bytes, recv: int, known: bytes | None) -> str:
        """Take a signed command into the batch; returns the topic root it goes to. Raises WireError."""
        if known is not None and known != body:
            raise WireError("sequence", f"command {cmd.id} is in the journal with another content; use a new id")
        source = self._target(cmd)
        now = self.now(recv)
        if now >= cmd.expires:
            raise WireError("bad_range", f"command {cmd.id} expired at {cmd.expires}, it is {now}")
        if known is None:
            self._row(recv, now, "cmd", source, None, None, body)
            self._keep("cmd", cmd.id)
            self.pending[cmd.id] = (source, cmd)
        return source

    def _target(self, cmd: Cmd) -> str:
        """The source whose newest birth has the control's tag (`set/TARGET`), or the only source there is."""
        sources = self.aliases.holder(f"set/{cmd.target}") or self.aliases.holder(cmd.target) or self.aliases.sources()
        if cmd.to is not None:
            sources = [source for source in self.aliases.sources() if source == cmd.to]
        if len(sources) != 1:
            raise WireError(
                "unknown_tag",
                f"expected one source with tag set/{cmd.target}, found {sources or 'none'}; name it in `to`",
            )
        return sources[0]

    def manual(self, manual: Manual, recv: int) -> int:
        """Take a count made by a person into the batch; returns its plant ms."""
        t = manual.t or self.now(recv)
        body = msgspec.json.encode(msgspec.structs.replace(manual, t=t))
        self._row(recv, t, "manual", self.line.cell("_manual"), None, None, body)
        return t

    def supply(self, supply: Supply, body: bytes, recv: int) -> bool:
        """Take a supply document into the batch; False when it is there already."""
        before = len(self._batch.rows)
        source = self.line.cell("_erp")
        topic = Topic(source, self.line.site, self.line.area, self.line.line, "_erp", "supply")
        self._supply(topic, Message(f"{source}/supply", body, False, recv), supply)
        self._batch.ledger = self.ledger.stored(self._touched)
        return len(self._batch.rows) > before

    def tick(self, t: int, recv: int, body: bytes) -> None:
        """Take a tick row into the batch."""
        self._row(recv, t, "tick", self.line.cell(TWIN_CELL), None, None, body)

    # -- bookkeeping ------------------------------------------------------------------------------------

    def _reject(self, topic: Topic | None, message: Message, error: WireError) -> None:
        ours = topic is not None and (topic.site, topic.area, topic.line) == (
            self.line.site, self.line.area, self.line.line
        )  # fmt: skip
        source = topic.root if topic is not None and ours else None
        taken = sample(message.recv, error.reason, error.detail, message.topic, message.body)
        self.ledger.reject(error.reason, taken, source)
        if source is not None:
            self._touched.add(source)
            if topic is not None and topic.kind in NUMBERED and error.reason in _BY_MESSAGE:
                self._poisoned(source, message, error.reason)

    def _poisoned(self, source: str, message: Message, reason: str) -> None:
        """A number that is rejected twice will never be good: it becomes a counted gap instead of an endless hole."""
        try:
            envelope = msgspec.json.decode(message.body, type=Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        key = (source, envelope.e)
        mark = self.marks.get(key)
        if mark is None or watermark.has(mark, envelope.s) or watermark.acceptable(mark, envelope.s):
            return
        self.seen[key] = max(envelope.s, self.seen.get(key, -1))
        times = self._poison.pop((*key, envelope.s), 0) + 1
        if times < 2:
            self._poison[*key, envelope.s] = times
            while len(self._poison) > MAX_POISON:
                self._poison.popitem(last=False)
            return
        n = envelope.s
        gap = Gap(e=envelope.e, s=n, from_=n, to=n, why=f"rejected:{reason}", by="ingest")
        entry = self.ledger.source(source)
        entry.dropped[gap.why] = entry.dropped.get(gap.why, 0) + 1
        body = msgspec.json.encode(gap)
        self._row(message.recv, self.now(message.recv), "gap", source, envelope.e, n, body)
        self._set_mark(key, watermark.add(mark, n, n))

    def _entry(self, source: str, recv: int) -> SourceLedger:
        if source not in self.ledger.sources and len(self.ledger.sources) >= MAX_SOURCES:
            raise WireError("overflow", f"more than {MAX_SOURCES} sources; {source} is not taken")
        entry = self.ledger.source(source)
        entry.received += 1
        entry.last_recv = recv
        self._touched.add(source)
        return entry

    def _row(  # noqa: PLR0913, PLR0917 - the columns of the journal
        self, recv: int, t: int, kind: str, source: str, e: str | None, s: int | None, body: bytes
    ) -> None:
        self._batch.rows.append((recv, t, kind, source, e, s, body))

    def _keep(self, kind: str, key: str) -> None:
        self._batch.keyed.append((kind, key, len(self._batch.rows) - 1))

    def _set_mark(self, key: tuple[str, str], mark: Mark) -> None:
        self.marks[key] = mark
        self._batch.marks[key] = mark

    def _levels(self, source: str) -> None:
        """Bring hw, newest and the number of holes of a source's ledger up to date."""
        entry = self.ledger.sources.get(source)
        epoch = self.aliases.epoch(source)
        mark = self.marks.get((source, epoch)) if epoch else None
        if entry is None or mark is None or epoch is None:
            return
        seen = self.seen.get((source, epoch), -1)
        entry.level(epoch, mark, seen)
