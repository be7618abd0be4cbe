"""Has the plant changed? Charts on the twin's own one-step residuals, with one stated rate of false notices for all.

A residual is a span that the twin expected and then saw the whole of: one operation's work, one repair, the work
between two failures, good parts between two scrapped ones, one lead time, one time between orders; or the rank of
what came among the replicas of a forecast. Raw streams (levels, rates) are never charted: they are autocorrelated, and
starving, blocking and shifts move them while nothing has changed.

**Spans** become independent standard normal scores by their *sequential rank*: where the newest value stands among
those before it. While nothing changes the ranks are independent and uniform whatever the distribution, and however few
values there were before (Parent 1965; Conover, Tercero-Gomez and Cordero-Franco 2017), so nothing has to be fitted and
parameters that were never estimated cost no false notices. **Forecast ranks** are uniform already.

**The chart** is a two-sided CUSUM of the scores (Page 1954) with allowance `ALLOWANCE`. Its limit follows from its
share of the plant-wide budget by Siegmund's approximation of the run length (1985), for the number of values a week
that this stream really has. All is a pure fold in the order of the spans: a replay gives the same notices.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from math import exp, log
from statistics import NormalDist, fmean

import msgspec

ALLOWANCE = 0.35
"""Half of the shift (in standard deviations of the score) for which the chart is quickest: a doubled exponential time
moves its scores by about 0.65, work that takes 7 % longer at a coefficient of variation of 0.1 by 0.7."""
LEAST = 20
"""Spans before a chart begins: ranks among fewer say next to nothing."""
HOLD_FROM = 100
"""From so many spans on, those since the larger sum last left 0 wait outside the reference until it is back: a change
is not ranked among itself, which takes a fifth off the delay. Before, all are taken in at once: with a short frozen
reference the charts would call several times too often. The run length is then 0.9 of the stated one."""
GRAIN = 200
"""Values are rounded to a relative step of 1 / GRAIN (0.5 %): ranks of rounded values are as valid, and any number of
spans fits into a few hundred cells. A reference that forgets would not do: ranks among the newest 400 only call
a third too often at a run length of 1,000, and more so at longer ones."""
WEEK_MS = 7 * 86_400_000
BUDGET = 0.7
"""False notices a week that all charts of a plant may give together. The promise is at most 1."""
SPANS = 0.5
"""Share of it for the charts of spans in a plant whose machines tell no signals; forecast ranks have the rest."""
CONDITION = 0.2
"""Share of the plant's false notices a week that the signals of its machines may give, where it has any."""
_NORMAL = NormalDist()


class Shares(msgspec.Struct, frozen=True):
    """False notices a week that charts of spans, of forecast ranks and of machines' signals may give together."""

    spans: float
    ranks: float
    signals: float


def divided(*, signals: bool) -> Shares:
    """The one budget of a plant; machines' signals take their part of it from the others, where there are any."""
    mine = CONDITION if signals else 0.0
    left = (BUDGET - mine) / BUDGET
    return Shares(SPANS * left, (BUDGET - SPANS) * left, mine)


def run_length(limit: float, allowance: float = ALLOWANCE) -> float:
    """Mean number of scores until a two-sided CUSUM of standard normal scores calls although nothing has changed.

    Siegmund (1985), Sequential Analysis, section II.6: corrected diffusion with overshoot 1.166, both sides together.
    """
    b = limit + 1.166
    return (exp(2 * allowance * b) - 2 * allowance * b - 1) / (2 * allowance**2) / 2


def limit_for(length: float, allowance: float = ALLOWANCE) -> float:
    """The limit at which `run_length` is `length` scores (at least 10 are taken)."""
    low, high = 0.5, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if run_length(middle, allowance) < max(length, 10.0) else (low, middle)
    return (low + high) / 2


@lru_cache(1024)
def _limit_near(log8: int) -> float:
    return limit_for(exp(log8 / 8))


class Chart(msgspec.Struct):
    """One stream: its reference and the two sums; `up_n`, `down_n`: values since each sum last left 0.

    `ranked`: its values are scores already (forecast ranks), no reference is kept. `new`: (value, score, plant ms) of
    those since the larger sum left 0, of which the first `inside` are part of the reference already.
    """

    ranked: bool = False
    n: int = 0
    first: int = 0
    last: int = 0
    cells: list[int] = []  # the reference: rounded logarithms, sorted
    counts: list[int] = []  # how many fell into each
    size: int = 0
    total: float = 0.0  # sum of the reference's values
    up: float = 0.0
    down: float = 0.0
    up_n: int = 0
    down_n: int = 0
    new: list[tuple[float, float, int]] = []
    inside: int = 0


class Notice(msgspec.Struct):
    """A change that a chart has called.

    `kind` and `place` name the parameter (`repair` of `paint`), `ratio` is mean since / mean before (for ranks: the
    mean score, in standard deviations), `since` when it probably began, `t` when it was called, after `n` values of
    the new kind. `closed` says why it is settled, "" while it is open.
    """

    id: str
    kind: str
    place: str
    up: bool
    ratio: float
    before: float
    after: float
    since: int
    t: int
    n: int
    closed: str = ""


class Drift(msgspec.Struct):
    """All charts of a plant. `feed` and `rank` return a notice when one is due; it is also kept in `notices`.

    `streams`: how many charts share the budget (those that will exist, not only those that do).
    """

    streams: int = 0
    budget: float = BUDGET
    charts: dict[str, Chart] = {}
    notices: list[Notice] = []

    def feed(self, kind: str, place: str, value: float, t: int) -> Notice | None:
        """A whole span of `value` (any unit, above 0) ended at plant ms `t`."""
        chart = self._chart(kind, place, ranked=False)
        score = _sequential(chart, value)
        if score is None:
            _came(chart, t)
            _remember(chart, value)
            return None
        return self._charted(kind, place, score, value, t)

    def rank(self, kind: str, place: str, share: float, t: int) -> Notice | None:
        """What came stood above the share `share` (0 to 1) of the replicas of a forecast."""
        self._chart(kind, place, ranked=True)
        score = _NORMAL.inv_cdf(min(max(share, 0.002), 0.998))
        return self._charted(kind, place, score, score, t)

    def close(self, notice: str, why: str) -> bool:
        """An open notice is settled (a refit was approved or rejected, a person has seen it); False: no such one."""
        for one in self.notices:
            if one.id == notice and not one.closed:
                one.closed = why
                return True
        return False

    @property
    def open(self) -> list[Notice]:
        return [one for one in self.notices if not one.closed]

    def _chart(self, kind: str, place: str, *, ranked: bool) -> Chart:
        return self.charts.setdefault(f"{kind} {place}", Chart(ranked=ranked))

    def _limit(self, chart: Chart) -> float:
        """The chart's limit now: its share of the budget, at the rate at which its values really come."""
        a_week = max(chart.n - 1, 1) * WEEK_MS / max(chart.last - chart.first, 1)
        length = a_week * max(self.streams, len(self.charts)) / self.budget
        return _limit_near(round(8 * log(max(length, 1.0))))

    def _charted(self, kind: str, place: str, score: float, value: float, t: int) -> Notice | None:
        chart = self.charts[f"{kind} {place}"]
        _came(chart, t)
        chart.up = max(chart.up + score - ALLOWANCE, 0.0)
        chart.down = max(chart.down - score - ALLOWANCE, 0.0)
        chart.up_n = chart.up_n + 1 if chart.up else 0
        chart.down_n = chart.down_n + 1 if chart.down else 0
        chart.new.append((value, score, t))
        _let_in(chart)
        if max(chart.up, chart.down) < self._limit(chart):
            return None
        return self._call(kind, place, chart, t)

    def _call(self, kind: str, place: str, chart: Chart, t: int) -> Notice:
        rises = chart.up >= chart.down
        fresh = _fresh(chart.new[-(chart.up_n if rises else chart.down_n) :])
        n, since = len(fresh), fresh[0][2]
        after = fmean(value for value, _, _ in fresh)
        others = chart.size - chart.inside
        before = (chart.total - sum(value for value, _, _ in chart.new[: chart.inside])) / others if others > 0 else 0.0
        ratio = after if chart.ranked else after / before if before > 0 else float("inf")
        notice = Notice(f"{kind}-{place}-{t}", kind, place, rises, ratio, before, after, since, t, n)
        self.notices.append(notice)
        # The reference begins anew, empty: the values since the sum left 0 were chosen for being high (or low).
        self.charts[f"{kind} {place}"] = Chart(chart.ranked, chart.n, chart.first, chart.last)
        return notice


def _fresh(new: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """The values since the likeliest time of the change: where the mean score since then stands out most (a sum of
    scores over m values has variance m). A sum may have left 0 long before, by chance.
    """
    best, found, total = 0.0, 0, 0.0
    for i in range(len(new) - 1, -1, -1):
        total += new[i][1]
        strength = total * total / (len(new) - i)
        if strength > best:
            best, found = strength, i
    return new[found:]


def _came(chart: Chart, t: int) -> None:
    chart.n += 1
    chart.first, chart.last = chart.first or t, t


def _let_in(chart: Chart) -> None:
    """Values from before the larger sum left 0 join the reference; while that is short, all do."""
    keep = chart.up_n if chart.up >= chart.down else chart.down_n
    leave = max(len(chart.new) - keep, 0)
    if not chart.ranked:
        upto = len(chart.new) if chart.size < HOLD_FROM else leave
        for value, _, _ in chart.new[chart.inside : upto]:
            _remember(chart, value)
        chart.inside = max(max(chart.inside, upto) - leave, 0)
    del chart.new[:leave]


def _cell(value: float) -> int:
    return round(log(max(value, 1e-9)) * GRAIN)


def _sequential(chart: Chart, value: float) -> float | None:
    """The normal score of `value`'s rank among the reference and itself (ties share their ranks); None: too few yet."""
    if chart.size < LEAST:
        return None
    cell = _cell(value)
    i = bisect_left(chart.cells, cell)
    below = sum(chart.counts[:i])
    same = chart.counts[i] if i < len(chart.cells) and chart.cells[i] == cell else 0
    return _NORMAL.inv_cdf((below + (same + 1) / 2) / (chart.size + 1))


def _remember(chart: Chart, value: float) -> None:
    cell = _cell(value)
    i = bisect_left(chart.cells, cell)
    if i == len(chart.cells) or chart.cells[i] != cell:
        chart.cells.insert(i, cell)
        chart.counts.insert(i, 0)
    chart.counts[i] += 1
    chart.size += 1
    chart.total += value


WORDS = {
    "work": "work time",
    "setup": "setup time",
    "repair": "repair time",
    "failure": "work between failures",
    "yield": "good parts between scrapped ones",
    "lead": "lead time",
    "demand": "time between orders",
    "arrival": "time between arrivals",
}
"""How a stream of spans is called in a sentence; other kinds are forecasts."""


def sentence(notice: Notice) -> str:
    """What a person reads: the place, the likely parameter and how much (since when is added by who knows the zone)."""
    if notice.kind in WORDS:
        return f"{WORDS[notice.kind]} of {notice.place}: {notice.ratio:.2g} times what it was ({notice.n} seen)"
    side = "above" if notice.up else "below"
    return (
        f"{notice.place} comes out {side} its forecasts ({abs(notice.ratio):.1f} standard deviations, {notice.n} seen)"
    )
