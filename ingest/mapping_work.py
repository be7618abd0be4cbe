"""Rules at work, one worker a rule: values, edges, counters. What a worker knows is its `Memory` and nothing else.

Plant time is the only clock, and it is told: by the values fed, and by `advance`. A value stamped before what its
rule has already decided is taken as of that decision; one more than a minute before it means that the clock was
set back, and the rule's time begins again there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping as Dict
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from ingest.codes import BAD, GOOD, STALE, UNCERTAIN
from ingest.counters import Counter
from ingest.mapping import Output, Raw, Rule, Source, Value
from ingest.mapping_source import UnreadableError, key_of, look, number, truth, whole

STEPPED_BACK_MS = 60_000
"""A stamp further back than this is a clock that was set back."""
TOLD_MS = 60_000
"""Plant ms for which a reset bit explains a drop before or after it."""
SLACK_MS = 600_000
"""How far the PLC's clock may be off the declared time of a daily reset."""
DAY_MS = 86_400_000
LAST_MS = 250_000_000_000_000
"""A stamp beyond this (the year 9892) is no date."""
MOST_STEPS = 100
"""Most events for one step of a counter; a larger step is told as one event with the count it leads to."""

Heard: TypeAlias = Dict[str, tuple[Raw, int]]
"""Raw name -> (value, quality), all of one moment."""


class Memory(msgspec.Struct, omit_defaults=True):
    """Everything a rule knows. Times are plant ms; `print` names the rule's definition."""

    print: str = ""
    t: int = 0
    watched: bool = True
    quality: int = GOOD
    settled: float | str | None = None  # debounced
    candidate: float | str | None = None
    since: int = 0
    said: float | str | None = None  # as last told
    said_quality: int = GOOD
    raw: int | None = None  # register
    raw_t: int = 0
    total: int = 0
    surprises: int = 0
    reset_bit: float | None = None
    reset_at: int | None = None  # a bit has told a reset that no drop has shown yet
    dropped_at: int | None = None  # a drop that no bit has told yet
    levels: dict[str, float] = {}
    stop: int | None = None
    phase: int = 0
    ended: int | None = None
    stop_count: int = 0
    reason_key: str | None = None
    reason_text: str | None = None
    reason_t: int = 0


def print_of(rule: Rule) -> str:
    """Names what a rule looks at and how, so that memory of another rule is not taken for its own."""
    what = (rule.kind, rule.sources(), rule.choices, sorted(rule.values.items()), rule.bits, rule.edge)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


class Worker:
    """Base: `feed` and `advance` give outputs; `refused` holds what of the last feed could not be read."""

    waits: ClassVar[bool] = True
    """Whether time alone can make it say something."""

    def __init__(self, rule: Rule, memory: Memory | None = None) -> None:
        self.rule = rule
        own = print_of(rule)
        if memory is None or memory.print != own:
            # a rule that was changed begins anew, but a count must never go back
            memory = Memory(print=own, total=memory.total if memory else 0, watched=memory is None)
        self.m = memory
        self.refused: list[str] = []

    def feed(self, t: int, heard: Heard) -> list[Output]:
        """What the raw values of one moment lead to."""
        self.refused = []
        t = self._time(t)
        out = self.advance(t)
        try:
            out += self._take(t, heard)
        except UnreadableError as error:
            self.refused.append(str(error))
        return out

    def advance(self, t: int) -> list[Output]:
        """What comes due up to plant ms `t`."""
        return [output for at, value in self._ripe(t) for output in self._settled(at, value)]

    def lost(self) -> None:
        """The source is away: what is pending can no longer be called stable, and anything may happen unseen."""
        self.m.watched, self.m.candidate = False, None

    def _take(self, t: int, heard: Heard) -> list[Output]:
        source = self.rule.source
        assert source is not None
        raw, quality = heard[source.raw]
        if self._away(raw, quality):
            return self._unknown(t, quality)
        value = self._read(source, raw)
        self.m.quality = quality
        out = [output for at, held in self._settle(t, value) for output in self._settled(at, held)]
        self.m.watched = True
        return out

    def _read(self, source: Source, raw: Raw) -> float | str:
        return number(look(source, raw))

    def _settled(self, t: int, value: float | str) -> list[Output]:
        """A value that counts as stable since `t` (or is asserted again at `t`)."""
        raise NotImplementedError

    @staticmethod
    def _away(raw: Raw, quality: int) -> bool:
        return raw is None or quality in {STALE, BAD}

    def _unknown(self, t: int, quality: int) -> list[Output]:
        """The source says that it knows nothing: the tag keeps its value, with that quality."""
        self.lost()
        quality = quality if quality in {STALE, BAD} else STALE
        if self.rule.tag is None or not isinstance(self.m.said, float) or self.m.said_quality == quality:
            return []
        self.m.said_quality = quality
        return [Value(t, self.rule.tag, self.m.said, quality, rule=self.rule.key)]

    def _say(self, t: int, value: float, quality: int, spread: float = 0.0) -> Value:
        assert self.rule.tag is not None
        self.m.said, self.m.said_quality = float(value), quality
        return Value(t, self.rule.tag, float(value), quality, spread, self.rule.key)

    # time ------------------------------------------------------------------------------------------

    def _time(self, t: int) -> int:
        m = self.m
        if t < m.t - STEPPED_BACK_MS:
            m.since, m.raw_t = min(m.since, t), min(m.raw_t, t)
            m.stop = None if m.stop is None else min(m.stop, t)
            m.t = t
        m.t = max(m.t, t)
        return m.t

    def _settle(self, t: int, value: float | str) -> list[tuple[int, float | str]]:
        """Debounce: (since, value) of what has become stable; a stable value fed again is asserted."""
        m = self.m
        if self.rule.debounce == 0 or m.settled is None or value == m.settled:
            m.settled, m.candidate = value, None
            return [(t, value)]
        if value != m.candidate:
            m.candidate, m.since = value, t
        return []

    def _ripe(self, t: int) -> list[tuple[int, float | str]]:
        m = self.m
        if m.candidate is None or t < m.since + self.rule.debounce:
            return []
        m.settled, m.candidate = m.candidate, None
        m.t = max(m.t, m.since + self.rule.debounce)
        return [(m.since, m.settled)]


class ValueWorker(Worker):
    """A number: enumeration or scale and offset, debounce, deadband."""

    def _read(self, source: Source, raw: Raw) -> float | str:
        rule, seen = self.rule, look(source, raw)
        if rule.values:
            listed = rule.values.get(key_of(seen), rule.otherwise)
            if listed is None:
                raise UnreadableError(f"expected one of {listing(rule.values)}, found {key_of(seen)[:40]!r}")
            return listed
        value = number(number(seen) * rule.scale + rule.offset)
        return float(round(value)) if rule.whole else value

    def _settled(self, t: int, value: float | str) -> list[Output]:
        m, quality = self.m, self.m.quality
        assert not isinstance(value, str)
        near = isinstance(m.said, float) and abs(value - m.said) < self.rule.deadband
        return [] if near and quality == m.said_quality else [self._say(t, value, quality)]


class EdgeWorker(Worker):
    """Edges of a bit: an event at each, or the count of them."""

    each: tuple[Rule, ...] = ()

    def _read(self, source: Source, raw: Raw) -> float | str:
        return truth(source, raw)

    def _settled(self, t: int, value: float | str) -> list[Output]:
        m, rule = self.m, self.rule
        before, m.levels["is"] = m.levels.get("is"), float(value)
        edge = before is not None and before != value and rule.edge in {"both", "rising" if value else "falling"}
        m.total += edge
        if rule.kind == "edges":
            quality = m.quality if m.watched else max(m.quality, UNCERTAIN)  # edges may have passed unseen
            return [self._say(t, m.total, quality), *(steps(self.each, t, m.total - edge, m.total))]
        assert rule.event is not None
        return [msgspec.structs.replace(rule.event, t=t)] if edge else []


class CodeWorker(Worker):
    """Codes that mean something: an event at each change to a listed one."""

    def _read(self, source: Source, raw: Raw) -> float | str:
        return key_of(look(source, raw))

    def _settled(self, t: int, value: float | str) -> list[Output]:
        m, rule = self.m, self.rule
        before, m.said = m.said, value
        text = rule.texts.get(str(value))
        assert rule.event is not None
        if before is None or before == value or text is None:
            return []
        return [msgspec.structs.replace(rule.event, t=t, text=text)]


class CounterWorker(Worker):
    """A register of declared width and reset rule, unwrapped."""

    waits = False
    each: tuple[Rule, ...] = ()

    def __init__(self, rule: Rule, memory: Memory | None = None) -> None:
        super().__init__(rule, memory)
        m = self.m
        resets = rule.resets.kind != "never"
        self.counter = Counter(rule.bits, resets, raw=m.raw, total=m.total, t=m.raw_t, surprises=m.surprises)

    def _take(self, t: int, heard: Heard) -> list[Output]:
        source, told = self.rule.source, self.rule.resets.source
        assert source is not None
        if told is not None and told.raw in heard:
            self._heard_reset(t, told, *heard[told.raw])
        if source.raw not in heard:
            return []
        raw, quality = heard[source.raw]
        if self._away(raw, quality):
            return self._unknown(t, quality)
        count = whole(look(source, raw))
        number(count)  # totals are told as numbers within +-2^53
        if count < 0 and self.rule.bits is not None:
            count &= (1 << self.rule.bits) - 1  # a word read as a signed one
        return self._count(t, count, quality)

    def _count(self, t: int, count: int, quality: int) -> list[Output]:
        m, counter = self.m, self.counter
        first, last, before = counter.raw is None, counter.raw, counter.total
        was_reset = self._was_reset(t, count)
        try:
            total, sure = counter.feed(count, t, watched=m.watched, was_reset=was_reset)
        except ValueError as error:
            raise UnreadableError(str(error)) from None
        if last is not None and count < last:
            m.dropped_at, m.reset_at = (None if m.reset_at is not None else t), None
        m.raw, m.raw_t, m.total, m.surprises, m.watched = count, t, total, counter.surprises, True
        out: list[Output] = [self._say(t, total, max(quality, sure), counter.spread)]
        if sure == GOOD and not first:
            out += steps(self.each, t, before, total)
        return out

    def _heard_reset(self, t: int, source: Source, raw: Raw, quality: int) -> None:
        """A reset bit: it explains the drop that comes, or the one that has just come."""
        m = self.m
        if self._away(raw, quality):
            return
        before, m.reset_bit = m.reset_bit, truth(source, raw)
        if not m.reset_bit or before is None or before:
            return
        if m.dropped_at is not None and t - m.dropped_at <= TOLD_MS:
            m.dropped_at = None
        else:
            m.reset_at = t

    def _was_reset(self, t: int, count: int) -> bool | None:
        """True, False, or None where nothing tells; a rise is never read as a reset that was overtaken."""
        m, resets = self.m, self.rule.resets
        if m.raw is None or count >= m.raw:
            return None
        if resets.kind == "told":
            if m.reset_at is not None and t - m.reset_at <= TOLD_MS:
                return True
            m.reset_at = None
        elif resets.kind == "daily":
            return daily_between(m.raw_t - SLACK_MS, t + SLACK_MS, resets.minute, resets.zone)
        return None


def listing(names: Dict[str, object]) -> str:
    """The first names of a list of codes, for messages."""
    return ", ".join(list(names)[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def daily_between(low: int, high: int, minute: int, zone: str) -> bool:
    """Whether the local time `minute` (of the day) lies within the plant ms `low`..`high`."""
    if high - low >= DAY_MS or not 0 <= low < LAST_MS:
        return True  # also where a stamp is no date: then the drop says enough
    tz = ZoneInfo(zone)
    day = datetime.fromtimestamp(low / 1000, tz)
    at = day.replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
    if at.timestamp() * 1000 < low:
        at = (at.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=tz)
    return at.timestamp() * 1000 <= high


def steps(rules: tuple[Rule, ...], t: int, before: int, after: int) -> list[Output]:
    """The events of `each` rules for a counter that went from `before` to `after`, each with its own count."""
    counts = range(before + 1, after + 1) if after - before <= MOST_STEPS else range(after, after + 1)
    return [
        msgspec.structs.replace(rule.event, t=t, count=count)
        for count in counts
        for rule in rules
        if rule.event is not None
    ]
