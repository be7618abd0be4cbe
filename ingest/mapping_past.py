"""The past of a mapping: historical values that a source stored while it was away, in the order they happened.

The rules at work know the present only. When a source goes away, what each of its rules knew is kept (an `Outage`);
when it is back, the rules at work go on with what is said then. What the source tells afterwards of the time between
is held until it has said all of it (`QUIET_S` without more), sorted by time, and fed to rules that begin with what
was kept: so counts, stops and edges of the outage come out as if they had been heard, at their own time, and the
rules at work are not touched. What their totals lack then (edges nobody heard, a reset between two readings) is added
to them without a word; the next value says it. Nothing is ever taken away from a count.

Rules whose raw names are all of one device (or of an edge node itself) have a past; where a rule looks at several
sources one of them was there, and its values of that time are gone.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from ingest.mapping import Happening, Output, Rule
from ingest.mapping_engine import VERSION, Engine
from ingest.mapping_state import StateWorker
from ingest.mapping_work import Memory

SPARKPLUG = "spBv1.0/"
"""Raw names of Sparkplug metrics begin so: `spBv1.0/GROUP/NODE/DEVICE/METRIC`."""
QUIET_S = 3.0
"""A source that has told no history for so long (wall) has told all of it."""
PATIENCE_S = 60.0
"""After so long (wall) what was told so far is taken, though more comes."""
MOST_HELD = 20_000
"""Historical values held, all sources together; then those of the source that told most are taken as they are."""
MOST_OUTAGES = 4
"""Outages of a rule of which history may still come; the oldest is given up first."""
_OUTAGES, _HELD = "~past ", "~held "


class Held(NamedTuple):
    """A historical value at plant ms `t` of a raw name."""

    t: int
    name: str
    value: float | str
    quality: int


class Outage(msgspec.Struct, omit_defaults=True):
    """A rule's source was away after plant ms `began`; its history has been told up to `since`.

    `memory` is what the rule knows of the past up to there, `until` when its source was heard again (None: not yet),
    `then` what it said at that moment, and `total` what the rule at work counted with it. `stop` is when the stop that
    stood there began, as far as was seen, and `told` whether it had been told before the source went away. `seen` is
    when the stop began that stood when the source went away, if the present has told it since.
    """

    began: int
    since: int
    memory: dict[str, Any]
    until: int | None = None
    then: dict[str, tuple[float | str, int]] = {}
    total: int = 0
    stop: int | None = None
    told: bool = False
    seen: int | None = None


@dataclass(slots=True)
class Branch:
    """A rule at work on an outage (None: on single values of a time that was heard), with its stops before, and those
    that the present has told as well.
    """

    rule: Rule
    engine: Engine
    outage: Outage | None
    stops: int
    twice: int = 0


@dataclass(slots=True)
class Telling:
    """History on its way through the rules: the branches by rule and outage (-1: none), and what came out."""

    branches: dict[tuple[str, int], Branch] = field(default_factory=dict)
    out: list[Output] = field(default_factory=list)


def device_of(name: str) -> str:
    """`spBv1.0/GROUP/NODE/DEVICE`, "" for a raw name that is no Sparkplug metric."""
    return "/".join(name.split("/", 4)[:4]) if name.startswith(SPARKPLUG) else ""


def node_of(name: str) -> str:
    """`GROUP/NODE` of a metric's raw name."""
    return "/".join(name.split("/", 3)[1:3])


class Past:
    """`away`, `back` around what the engine is fed; `hold` and `due` for history; `changed` is what to keep of it.

    `counts` says what became of historical values: `told` to rules, `known` already, `unplaced` where no outage of
    the rule is known at that time, `mixed` where a rule looks at several devices.
    """

    def __init__(
        self,
        engine: Engine,
        rules: tuple[Rule, ...],
        stored: Dict[str, bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self._clock = engine, clock
        self.counts: Tally[str] = Tally()
        self._each: dict[str, tuple[Rule, ...]] = {}
        self._by_name: dict[str, list[Rule]] = {}
        self._mixed: set[str] = set()
        self._place = {rule.key: k for k, rule in enumerate(rules)}
        for rule in rules:
            self._learn(rule)
        self._outages: dict[str, list[Outage]] = {}
        self._held: dict[str, list[Held]] = {}
        self._first: dict[str, float] = {}
        self._newest: dict[str, float] = {}
        self._dirty: set[str] = set()
        self._load(stored)

    def _learn(self, rule: Rule) -> None:
        if rule.of is not None:
            self._each[rule.of] = (*self._each.get(rule.of, ()), rule)
        names = dict.fromkeys(source.raw for source in rule.sources())
        metrics = [name for name in names if device_of(name)]
        if len({device_of(name) for name in names}) == 1 and metrics:
            for name in metrics:
                self._by_name.setdefault(name, []).append(rule)
        else:
            self._mixed.update(metrics)

    def _load(self, stored: Dict[str, bytes]) -> None:
        known = {rule.key for rules in self._by_name.values() for rule in rules}
        for key, body in stored.items():
            name = key.partition(" ")[2]
            if key.startswith(_OUTAGES) and name in known:
                own = self.engine.worker(name).m.print
                found = msgspec.json.decode(body, type=list[Outage])
                self._outages[name] = [one for one in found if one.memory["rules"][name].get("print") == own]
            elif key.startswith(_HELD):
                self._held[name] = msgspec.json.decode(body, type=list[Held])
                self._first[name] = self._newest[name] = self._clock()

    # the present -----------------------------------------------------------------------------------

    def away(self, names: Iterable[str]) -> None:
        """To be told before the engine is: these raw names are not heard from now on."""
        for rule in self._rules(names):
            m = self.engine.worker(rule.key).m
            if m.watched and m.t and self._open(rule) is None:
                kept = [*self._outages.get(rule.key, ()), Outage(m.t, m.t, _memory(self.engine, rule))]
                self._outages[rule.key] = kept[-MOST_OUTAGES:]
                self._dirty.add(_OUTAGES + rule.key)

    def back(self, t: int, heard: Dict[str, tuple[float | str, int]]) -> None:
        """To be told after the engine was: these raw names said something at plant ms `t`."""
        for rule in self._rules(heard):
            outage, worker = self._open(rule), self.engine.worker(rule.key)
            if outage is not None and worker.m.watched:
                names = {source.raw for source in rule.sources()}
                outage.until, outage.total = t, worker.m.total
                if isinstance(worker, StateWorker):
                    before = StateWorker(rule, msgspec.convert(outage.memory["rules"][rule.key], Memory))
                    outage.stop = worker.standing()
                    same = before.m.stop is not None and before.m.stop == worker.m.stop
                    outage.told = same and before.told()
                    outage.seen = before.standing() if same and worker.told() and not before.told() else None
                outage.then = {name: value for name, value in heard.items() if name in names}
                self._dirty.add(_OUTAGES + rule.key)

    def _rules(self, names: Iterable[str]) -> Iterable[Rule]:
        return {rule.key: rule for name in names for rule in self._by_name.get(name, ())}.values()

    def _open(self, rule: Rule) -> Outage | None:
        newest = self._outages.get(rule.key, [])[-1:]
        return newest[0] if newest and newest[0].until is None else None

    # history ---------------------------------------------------------------------------------------

    def hold(self, node: str, values: list[Held]) -> None:
        """Historical values of an edge node (GROUP/NODE), in any order."""
        if not values:
            return
        now = self._clock()
        self._first.setdefault(node, now)
        self._newest[node] = now
        self._held.setdefault(node, []).extend(values)
        self._dirty.add(_HELD + node)

    def due(self) -> list[tuple[str, list[Output]]]:
        """(GROUP/NODE, outputs in the order of their time) of the nodes that have told all."""
        now = self._clock()
        ready = [
            node for node in self._held if now - self._newest[node] >= QUIET_S or now - self._first[node] >= PATIENCE_S
        ]
        if not ready and sum(map(len, self._held.values())) > MOST_HELD:
            ready = [max(self._held, key=lambda node: len(self._held[node]))]
        return [(node, self.tell(node)) for node in ready]

    def tell(self, node: str) -> list[Output]:
        """What the held history of a node leads to."""
        held = self._held.pop(node, [])
        self._first.pop(node, None)
        self._newest.pop(node, None)
        self._dirty.add(_HELD + node)
        telling = Telling()
        for t, heard in moments(held):
            self._moment(t, heard, telling)
        for branch in telling.branches.values():
            telling.out += self._close(branch)
        return sorted(telling.out, key=lambda output: output.t)

    def _moment(self, t: int, heard: dict[str, tuple[float | str, int]], telling: Telling) -> None:
        self.counts["mixed"] += sum(name in self._mixed for name in heard)
        for rule in sorted(self._rules(heard), key=lambda rule: self._place[rule.key]):
            branch = self._branch(rule, t, telling)
            if branch is None:
                continue
            names = {source.raw for source in rule.sources()}
            self.counts["told"] += 1
            found = branch.engine.feed_all(t, {name: value for name, value in heard.items() if name in names})
            if branch.outage is not None:
                branch.outage.since = t
            self.engine.refuse(branch.engine.refused)
            telling.out += [self._numbered(one, branch) for one in found]

    def _branch(self, rule: Rule, t: int, telling: Telling) -> Branch | None:
        """The rule as of the outage that `t` lies in; None (counted) where there is none and it needs to know more."""
        outages, key = self._outages.get(rule.key, []), rule.key
        inside = [k for k, one in enumerate(outages) if one.began < t and (one.until is None or t < one.until)]
        at = inside[-1] if inside else -1
        if (key, at) in telling.branches:
            return telling.branches[key, at]
        outage = outages[at] if at >= 0 else None
        if outage is not None and outage.began < outage.since >= t:
            self.counts["known"] += 1
            return None
        if outage is None and not _alone(rule):
            self.counts["unplaced"] += 1
            return None
        for k in range(at):  # times are in order: what is before this outage is over
            if (key, k) in telling.branches:
                telling.out += self._close(telling.branches.pop((key, k)))
        rules = (rule, *self._each.get(rule.tag or "", ()))
        engine = Engine(rules, outage.memory if outage is not None else None)
        made = telling.branches[key, at] = Branch(rule, engine, outage, engine.stops[rule.thing])
        return made

    def _numbered(self, output: Output, branch: Branch) -> Output:
        """A stop of the past has no number where stops after it have been told: those have it."""
        outage = branch.outage
        if outage is not None and outage.seen == output.t and isinstance(output, Happening) and output.kind == "down":
            branch.twice = 1
            return output
        told_since = self.engine.stops[branch.rule.thing] > branch.stops
        if isinstance(output, Happening) and output.kind == "down" and told_since:
            return msgspec.structs.replace(output, count=None)
        return output

    def _close(self, branch: Branch) -> list[Output]:
        """Keep what the past knows now, and give the rule at work what its totals lack."""
        outage, rule, engine = branch.outage, branch.rule, branch.engine
        if outage is None:
            return []
        out: list[Output] = []
        if outage.until is not None:
            out = [self._numbered(one, branch) for one in engine.advance(outage.until)]
        outage.memory = _memory(engine, rule)
        more = 0
        if outage.until is not None and rule.kind in {"counter", "edges"}:
            probe = Engine((rule,), outage.memory)
            probe.feed_all(outage.until, outage.then)
            more = max(0, probe.worker(rule.key).m.total - outage.total)
            outage.total += more
        stops = engine.stops[rule.thing] - branch.stops
        self._amend(branch, more, stops - self._twice(branch, outage))
        return out

    def _twice(self, branch: Branch, outage: Outage) -> int:
        """How many stops the past and the present have both told: the one that stood at the begin of the outage, or
        the one that stood at its end, or both.
        """
        present, past = self.engine.worker(branch.rule.key), branch.engine.worker(branch.rule.key)
        if outage.stop is None or not isinstance(present, StateWorker) or not isinstance(past, StateWorker):
            return branch.twice
        both, one = int(present.join(past, outage.stop) == 2 and not outage.told), outage.stop == outage.seen
        outage.stop = past.standing()
        return max(branch.twice, both) if one else branch.twice + both

    def _amend(self, branch: Branch, more: int, stops: int) -> None:
        """Add what the past has found to the rule at work, and to what later outages began with."""
        rule = branch.rule
        self.engine.amend(rule, more, stops)
        outages = self._outages[rule.key]
        for later in outages[outages.index(branch.outage) + 1 :] if branch.outage in outages else ():
            kept = later.memory["rules"][rule.key]
            kept["total"] = kept.get("total", 0) + more
            later.total += more
            if stops:
                later.memory["stops"][rule.thing] = later.memory["stops"].get(rule.thing, 0) + stops
        self._dirty.add(_OUTAGES + rule.key)

    # what to keep ----------------------------------------------------------------------------------

    def changed(self) -> dict[str, bytes]:
        """What has changed since the last call, by key; no key is that of a rule."""
        dirty, self._dirty = self._dirty, set()
        found: dict[str, bytes] = {}
        for key in dirty:
            name = key.partition(" ")[2]
            kept: Any = self._outages.get(name, []) if key.startswith(_OUTAGES) else self._held.get(name, [])
            found[key] = msgspec.json.encode(kept)
        return found

    @staticmethod
    def split(stored: dict[str, bytes]) -> dict[str, bytes]:
        """Take what is the past's out of a memory."""
        own = [key for key in stored if key.startswith((_OUTAGES, _HELD))]
        return {key: body for key in own if (body := stored.pop(key)) != b"[]"}


def moments(values: Iterable[Held]) -> Iterator[tuple[int, dict[str, tuple[float | str, int]]]]:
    """Values by time; those of one moment together, but for a second value of the same name."""
    at, heard = 0, dict[str, tuple[float | str, int]]()
    for one in sorted(values, key=lambda held: held.t):
        if heard and (one.t != at or one.name in heard):
            yield at, heard
            heard = {}
        at = one.t
        heard[one.name] = (one.value, one.quality)
    if heard:
        yield at, heard


def _memory(engine: Engine, rule: Rule) -> dict[str, Any]:
    """What one rule knows, with the stops of its thing alone."""
    rules = engine.memory({rule.key})["rules"]
    return {"version": VERSION, "rules": rules, "stops": {rule.thing: engine.stops[rule.thing]} if rule.thing else {}}


def _alone(rule: Rule) -> bool:
    """Whether a single value can be read without knowing what came before."""
    if rule.debounce or rule.kind not in {"value", "state"}:
        return False
    return len(rule.sources()) == 1 and not rule.microstop
