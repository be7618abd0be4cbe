"""The rules of a mapping at work: raw values in, readings and events of the plant out; memory that can be kept."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping as Dict
from typing import Any

import msgspec

from ingest.codes import GOOD
from ingest.mapping import MappingError, Output, Raw, Rule
from ingest.mapping_state import StateWorker
from ingest.mapping_work import CodeWorker, CounterWorker, EdgeWorker, Heard, Memory, ValueWorker, Worker

VERSION = 1

_WORKERS: dict[str, type[Worker]] = {
    "value": ValueWorker, "state": StateWorker, "counter": CounterWorker, "edges": EdgeWorker, "edge": EdgeWorker,
    "codes": CodeWorker,
}  # fmt: skip


class _Kept(msgspec.Struct):
    version: int
    rules: dict[str, Memory]
    stops: dict[str, int]


class Engine:
    """`feed`, `feed_all`, `advance`, `lost`, `memory`. Never raises for what comes from the field.

    `refused` holds (rule key, what was expected and found) of the last feed, `faults` how often each rule refused
    and the newest text, `counts` how many outputs each rule has given since this object was made.
    """

    def __init__(self, rules: tuple[Rule, ...], memory: Any = None) -> None:
        kept = _read(memory)
        self.stops: Tally[str] = Tally(kept.stops)
        self.workers: list[Worker] = []
        self.refused: list[tuple[str, str]] = []
        self.faults: dict[str, tuple[int, str]] = {}
        self.counts: Tally[str] = Tally()
        self._touched: set[str] = set()
        self._by_raw: dict[str, list[Worker]] = {}
        each: dict[str, list[Rule]] = {}
        for rule in rules:
            if rule.kind == "each" and rule.of is not None:
                each.setdefault(rule.of, []).append(rule)
                continue
            worker = _WORKERS[rule.kind](rule, kept.rules.get(rule.key))
            self.workers.append(worker)
            for name in dict.fromkeys(source.raw for source in rule.sources()):
                self._by_raw.setdefault(name, []).append(worker)
        self._by_key = {worker.rule.key: worker for worker in self.workers}
        self._order = {id(worker): k for k, worker in enumerate(self.workers)}
        for worker in self.workers:
            if isinstance(worker, StateWorker):
                worker.stops = self.stops
            elif isinstance(worker, CounterWorker | EdgeWorker):
                worker.each = tuple(each.get(worker.rule.tag or "", ()))
        self._waiting = [worker for worker in self.workers if worker.waits]

    def worker(self, key: str) -> Worker:
        """The worker of a rule (none of `each` has one); KeyError."""
        return self._by_key[key]

    def knows(self, name: str) -> bool:
        """Whether some rule looks at this raw name."""
        return name in self._by_raw

    def feed(self, t: int, name: str, value: Raw, quality: int = GOOD) -> list[Output]:
        """What one raw value at plant ms `t` leads to; names that no rule looks at lead to nothing."""
        return self.feed_all(t, {name: (value, quality)})

    def feed_all(self, t: int, heard: Heard) -> list[Output]:
        """As `feed`, for values of one moment: a rule that looks at several of them is worked out once."""
        touched = {id(w): w for name in heard for w in self._by_raw.get(name, ())}
        self.refused = []
        out: list[Output] = []
        for worker in sorted(touched.values(), key=lambda w: self._order[id(w)]):
            out += worker.feed(t, heard)
            self._touched.add(worker.rule.key)
            self.refuse([(worker.rule.key, text) for text in worker.refused])
        return self._counted(out)

    def refuse(self, refused: list[tuple[str, str]]) -> None:
        """Count what rules (by key) could not read, and why."""
        self.refused += refused
        for key, text in refused:
            self.faults[key] = (self.faults.get(key, (0, ""))[0] + 1, text)

    def amend(self, rule: Rule, more: int, stops: int) -> None:
        """Add to a rule's count and to the stops of its thing what is known of the past by now; nothing is told."""
        if more:
            worker = self.worker(rule.key)
            worker.m.total += more
            if isinstance(worker, CounterWorker):
                worker.counter.total += more
        if stops:
            self.stops[rule.thing] += stops
        self._touched.add(rule.key)

    def advance(self, t: int) -> list[Output]:
        """What comes due up to plant ms `t` without any value: debounced changes, stops above their threshold."""
        return self._counted([output for worker in self._waiting for output in worker.advance(t)])

    def lost(self) -> None:
        """The field is away (or was, before a restart): nothing pending counts as stable, counts may have gaps."""
        for worker in self.workers:
            worker.lost()
            self._touched.add(worker.rule.key)

    def changed(self) -> set[str]:
        """Keys of the rules whose memory may have changed since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def memory(self, only: set[str] | None = None) -> dict[str, Any]:
        """All that the rules (or those of some keys) know, as plain JSON types."""
        chosen = [w for w in self.workers if only is None or w.rule.key in only]
        rules = {worker.rule.key: msgspec.to_builtins(worker.m) for worker in chosen}
        return {"version": VERSION, "rules": rules, "stops": dict(self.stops)}

    def _counted(self, out: list[Output]) -> list[Output]:
        for output in out:
            self.counts[output.rule] += 1
            self._touched.add(output.rule)
        return out


def _read(memory: Any) -> _Kept:
    if memory is None:
        return _Kept(VERSION, {}, {})
    version = memory.get("version") if isinstance(memory, Dict) else None
    if version != VERSION:
        raise MappingError([f"memory of a mapping: expected version {VERSION}, found {version!r}; start without it"])
    try:
        return msgspec.convert(memory, _Kept)
    except msgspec.ValidationError as error:
        raise MappingError([f"memory of a mapping: cannot be read ({error}); start without it"]) from None
