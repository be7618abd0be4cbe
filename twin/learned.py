"""What has been learned of the plant's parameters so far: spans and counts, bounded, plain, writable to bytes.

A parameter has a name: `work/STATION/PRODUCT/STEP`, `setup/STATION/FROM/TO`, `fail/STATION/MODE`,
`repair/STATION/MODE`, `lead/STOCK/LANE` have spans (plant ms; operations for failures that count parts);
`yield/PRODUCT/STEP`, `demand/DEMAND`, `arrival/PRODUCT` have counts.
"""

from __future__ import annotations

import msgspec

from twin.condition import Change
from twin.drift import SPANS, Drift

KEPT = 200
"""Newest spans kept of each parameter: enough for a mean to 0.7 % at a coefficient of variation of 0.1."""
BIN_MS = 6 * 3_600_000
BINS = 400
"""Counts are kept in bins of six hours, the newest hundred days of them."""
CHANGES = 200
"""Newest changes of a machine's condition that are kept."""
ABANDONED = 4096
"""Numbers of a source that may be missing at once before it is taken to have begun anew."""


class Spans(msgspec.Struct):
    """Durations by the time they ended: `t` plant ms, `x` ms (or operations), `cut` 1 where the end was not seen.

    `n` and `left_out`: how many were taken and how many could not be used since the beginning.
    """

    t: list[int] = []
    x: list[int] = []
    cut: list[int] = []
    n: int = 0
    left_out: int = 0

    def add(self, t: int, x: int, *, cut: bool) -> None:
        self.t.append(t)
        self.x.append(x)
        self.cut.append(int(cut))
        self.n += not cut
        if len(self.t) > KEPT:
            del self.t[0], self.x[0], self.cut[0]

    def drop_last(self) -> None:
        """The newest span was none."""
        self.n -= not self.cut[-1]
        self.left_out += 1
        del self.t[-1], self.x[-1], self.cut[-1]


class Tally(msgspec.Struct):
    """Counts in bins: `t` start of the bin, `n` what happened, `x` exposure (open ms, or parts that could have been
    scrapped).
    """

    t: list[int] = []
    n: list[float] = []
    x: list[float] = []

    def add(self, t: int, n: float, x: float) -> None:
        at = t - t % BIN_MS
        if not self.t or self.t[-1] != at:
            self.t.append(at)
            self.n.append(0.0)
            self.x.append(0.0)
        self.n[-1] += n
        self.x[-1] += x
        if len(self.t) > BINS:
            del self.t[0], self.n[0], self.x[0]


class OpenUnit(msgspec.Struct):
    """What a work unit is doing, as far as events have said it for certain.

    `doing` "", "work" or "setup"; `name` the parameter it is a span of; `since` when the running piece began (0: it
    stands still); `done` ms before that. `down` since when it is down (0: it is not), for `mode`. `alive` since when
    it is known not to be down. `age` and `fresh` by mode: exposure since the failure before, and whether that was seen.
    `starts`: events tell when work begins; `state` as last read, -1 where nothing is known; `stop` since when it says
    down, where no event tells (0: it does not, or nobody knows since when), `ran` since when it says work, `seen` what
    it said last (-1: messages may be missing since). `source`: who tells of it.
    """

    doing: str = ""
    name: str = ""
    work: str = ""
    since: int = 0
    begun: int = 0
    done: int = 0
    down: int = 0
    mode: str = ""
    alive: int = 0
    age: dict[str, int] = {}
    fresh: dict[str, bool] = {}
    ended: str = ""
    ended_t: int = 0
    starts: bool = False
    state: int = -1
    stop: int = 0
    ran: int = 0
    seen: int = -1
    source: str = ""


class Numbers(msgspec.Struct):
    """How far a source's numbers are accounted for: all up to `upto` came or are known to be lost. `t`: of the newest
    settled message. `some`: numbers beyond `upto` that have come.
    """

    upto: int
    t: int
    some: list[int] = []


class Learned(msgspec.Struct):
    """Everything learned up to plant time `t` (ms). `forget_ms`: half-life of what is remembered, 0 for ever.

    `units` by station, in the order of `stations`. `open_leads` (name, age in ms) of the orders that are still to
    come, `open_repairs` the same of repairs under way; `told`: "STATION/KIND" of the events that have come; `asked` and
    `released` the counters of the twin as of `t`; `lost` messages that never came; `heard` when anything was last
    heard; `active` counted ends by slot (`twin/shiftplan.py`); `sources` by "source epoch".
    """

    forget_ms: int = 0
    t: int = 0
    spans: dict[str, Spans] = {}
    tallies: dict[str, Tally] = {}
    stations: list[str] = []
    units: list[list[OpenUnit]] = []
    sources: dict[str, Numbers] = {}
    open_leads: list[tuple[str, int]] = []
    open_repairs: list[tuple[str, int]] = []
    told: dict[str, bool] = {}
    asked: list[int] = []
    released: list[int] = []
    lost: int = 0
    heard: int = 0
    active: dict[int, int] = {}
    drift: Drift = msgspec.field(default_factory=lambda: Drift(budget=SPANS))
    changes: list[Change] = []  # of the machines' condition, the oldest first
    good: dict[str, int] = {}  # good parts since the last scrapped one, from the first scrapped one on

    def of(self, name: str) -> Spans:
        """The spans of a parameter, begun where there are none."""
        return self.spans.setdefault(name, Spans())

    def span(self, name: str, t: int, x: int, *, cut: bool) -> None:
        """A span ended at plant ms `t`; a whole one is charted too."""
        self.of(name).add(t, x, cut=cut)
        if not cut and x > 0:
            kind, _, place = name.partition("/")
            self.drift.feed("failure" if kind == "fail" else kind, place, float(x), t)

    def made(self, operation: str, t: int, *, scrap: bool) -> None:
        """An operation "STATION/PRODUCT/STEP" ended, or scrapped its part: good parts between two such are charted."""
        if scrap:
            if self.good.get(operation, 0) > 0:
                self.drift.feed("yield", operation, float(self.good[operation]), t)
            self.good[operation] = 0
        elif operation in self.good:
            self.good[operation] += 1

    def changed(self, change: Change) -> None:
        """A machine has begun to behave differently."""
        self.changes.append(change)
        del self.changes[:-CHANGES]

    def tally(self, name: str) -> Tally:
        return self.tallies.setdefault(name, Tally())
