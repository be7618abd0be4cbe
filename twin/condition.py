"""Machine condition from analog signals: has this machine begun to behave differently, and in which signals?

The signals of one machine (tags of the journal) are gathered into frames of `step_ms`; a one-step model of all of them
(`twin/onestep.py`) is learned from the first `learn` frames, which should be quiet, and goes on learning slowly. Its
errors, never the signals themselves, become normal scores by their *sequential rank* among all errors before them, and
each signal has a two-sided CUSUM of its scores. The limit follows from the share of one signal in the plant-wide budget
of false notices (as in `twin/drift.py`).

The budget holds for independent errors. Those of a real machine are not quite independent and a machine does change
without being ill; docs/real-data.md says how often it called on a real test bed. All is a pure fold in the order of the
frames: `save` and `load` go on exactly, and a replay gives the same notices.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest.codes import GOOD
from ingest.wire import Reading
from twin.drift import BUDGET, WEEK_MS, limit_for
from twin.onestep import OneStep, Saved

VERSION = 1
ALLOWANCE = 0.5
"""Half of the shift (standard deviations of the one-step error) for which a chart is quickest."""
HOLD = 3.0
"""From this sum on a change may be under way: the model does not choose its level anew for this signal."""
GAP = 3
"""Lagged frames that lie further apart than this many times their number are no lagged frames."""
WAIT = 2
"""Frames after which one is closed: so much may the readings of different sources be out of order."""
SETTLE_MS = 60_000
"""After a notice the signal's new level is learned for so long before its chart goes on; further signals that follow
within this time belong to the same notice."""
NEWEST = 2000
"""Scores a chart looks back over, and notices that are kept: memory is bounded whatever comes."""
BINS, REACH = 801, 8.0
LEAST_SHARE = 0.002
"""A rank says no more than 1 in 500: one wild value moves a sum by 2.9."""
_NORMAL = NormalDist()


class Settings(msgspec.Struct, frozen=True):
    """`tags`: the signals, as the journal names them. `learn`: frames to learn from before any notice.

    `streams`: analog signals charted in the whole plant, which share the budget of false notices (0: these alone).
    """

    place: str
    tags: tuple[str, ...]
    step_ms: int = 1000
    lags: int = 2
    learn: int = 400
    memory: int = 2000
    streams: int = 0
    budget: float = BUDGET


class Moved(msgspec.Struct, frozen=True):
    """A signal and its mean score since the change began (standard deviations of its one-step error)."""

    tag: str
    shift: float


class Change(msgspec.Struct, frozen=True):
    """A notice: `place` has behaved differently since about `since` (plant ms), called at `t`; what moved, most
    first. `seen`: frames since then.
    """

    place: str
    since: int
    t: int
    seen: int
    moved: tuple[Moved, ...]


class Chart(msgspec.Struct):
    """One signal: how its errors have been distributed, the two sums, (score, plant ms) since the larger left 0."""

    counts: list[int]
    n: int = 0
    up: float = 0.0
    down: float = 0.0
    new: list[tuple[float, int]] = []
    quiet_until: int = 0
    level: float = 0.0
    levels: int = 0
    products: tuple[float, float] = (0.0, 0.0)  # of scores with their predecessors; of scores with themselves
    before: float = 0.0


class State(msgspec.Struct):
    """Everything that `Condition` knows. `last`: (plant ms, value) of the newest good reading of each signal."""

    version: int
    settings: Settings
    first: list[tuple[int, list[float]]]
    model: Saved | None
    charts: list[Chart]
    frames: dict[int, list[tuple[float, int]]]
    index: int = -1
    fed: int = 0
    recent: list[int] = []
    called: int = -SETTLE_MS
    late: int = 0
    partial: int = 0
    notices: list[Change] = []
    last: list[tuple[int, float]] = []


class Condition:
    """The fold. `take` a reading, or `frame` where frames exist already; either returns a notice when one is due."""

    def __init__(self, settings: Settings) -> None:
        if not settings.tags or len(set(settings.tags)) != len(settings.tags):
            raise ValueError(f"{settings.place}: expected tags, each once, found {', '.join(settings.tags) or 'none'}")
        if settings.step_ms < 1 or settings.learn < 40 or settings.budget <= 0:
            raise ValueError(
                f"{settings.place}: expected a step from 1 ms, 40 frames or more to learn from and a budget above 0"
            )
        charts = [Chart([0] * BINS) for _ in settings.tags]
        self.state = State(VERSION, settings, [], None, charts, {}, last=[(0, 0.0)] * len(settings.tags))
        self._model: OneStep | None = None
        self._set()

    def _set(self) -> None:
        settings = self.state.settings
        self._column = {tag: i for i, tag in enumerate(settings.tags)}
        streams = max(settings.streams, len(settings.tags))
        self.limit = limit_for(WEEK_MS / settings.step_ms * streams / settings.budget, ALLOWANCE)

    def keep(self) -> State:
        """The state with the model in it, to be written down; the fold goes on in the same object."""
        self.state.model = self._model.save() if self._model is not None else None
        return self.state

    def save(self) -> bytes:
        """The state as JSON."""
        return msgspec.json.encode(self.keep())

    @classmethod
    def load(cls, body: bytes) -> Self:
        """The fold that `save` wrote down. Raises ValueError where that was another version."""
        return cls.of(msgspec.json.decode(body, type=State))

    @classmethod
    def of(cls, state: State) -> Self:
        """The fold that `keep` gave. Raises ValueError where that was another version."""
        if state.version != VERSION:
            raise ValueError(f"a condition state of version {VERSION} expected, found {state.version}; begin anew")
        found = cls(state.settings)
        found.state = state
        state.last = state.last or [(0, 0.0)] * len(state.settings.tags)
        found._model = OneStep.load(state.model) if state.model is not None else None
        return found

    @property
    def notices(self) -> list[Change]:
        """All so far."""
        return self.state.notices

    @property
    def learned(self) -> int:
        """Frames learned from so far; from `settings.learn` on changes are told."""
        return min(len(self.state.first) + self.state.fed, self.state.settings.learn)

    def unheard(self) -> list[str]:
        """Signals of which nothing good has ever come (or not since the clock was put back)."""
        return [tag for tag, (at, _) in zip(self.state.settings.tags, self.state.last, strict=True) if not at]

    def step_back(self) -> None:
        """The clock was put back: frames of another time are no neighbours, what is known of the machine stays."""
        state = self.state
        state.frames.clear()
        state.index, state.called, state.recent = -1, -SETTLE_MS, []
        state.last = [(0, value) for _, value in state.last]
        for chart in state.charts:
            chart.up = chart.down = 0.0
            chart.new.clear()
            chart.quiet_until = 0
        if self._model is not None:
            self._model.restart()

    def autocorrelation(self) -> dict[str, float]:
        """Lag-1 autocorrelation of each signal's scores, as charted."""
        charts = zip(self.state.settings.tags, self.state.charts, strict=True)
        return {tag: c.products[0] / c.products[1] if c.products[1] else 0.0 for tag, c in charts}

    def take(self, reading: Reading) -> Change | None:
        """A reading of any tag, good or not, in the journal's order."""
        column = self._column.get(reading.name)
        if column is None or reading.quality != GOOD:
            return None
        state, found = self.state, None
        if reading.t >= state.last[column][0]:
            state.last[column] = (reading.t, reading.value)
        index = reading.t // state.settings.step_ms
        if index <= state.index:
            state.late += 1
            return None
        sums = state.frames.setdefault(index, [(0.0, 0)] * len(self._column))
        total, n = sums[column]
        sums[column] = (total + reading.value, n + 1)
        newest = max(state.frames)
        for due in sorted(i for i in state.frames if i < newest - WAIT):
            found = self._close(due) or found
        return found

    def end(self) -> Change | None:
        """Nothing more comes: close the frames that wait for late readings."""
        found = None
        for due in sorted(self.state.frames):
            found = self._close(due) or found
        return found

    def _close(self, index: int) -> Change | None:
        state = self.state
        sums = state.frames.pop(index)
        state.index = index
        if not all(n for _, n in sums):
            state.partial += 1
            return None
        return self.frame((index + 1) * state.settings.step_ms, np.array([total / n for total, n in sums]))

    def frame(self, t: int, values: NDArray[np.float64]) -> Change | None:
        """A frame [signals] that ended at plant ms `t`."""
        state, settings = self.state, self.state.settings
        if self._model is None:
            state.first.append((t, values.tolist()))
            if len(state.first) == settings.learn // 2:
                self._model = OneStep(np.array([v for _, v in state.first]), settings.lags, settings.memory)
                for at, frame in state.first:
                    self._step(at, np.array(frame))
                state.first.clear()
            return None
        scores = self._step(t, values)
        if scores is None or state.fed <= settings.learn // 2:
            return None
        return self._charted(t, *scores)

    def _step(self, t: int, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        state, model = self.state, self._model
        assert model is not None
        lags = state.settings.lags
        state.recent = [*state.recent[-lags:], t]
        if len(state.recent) > lags and t - state.recent[0] > GAP * lags * state.settings.step_ms:
            model.restart()
            state.recent = [t]
        state.fed += 1
        hold = np.array([state.fed > state.settings.learn and max(c.up, c.down) >= HOLD for c in state.charts])
        return model.step(values, hold)

    def _charted(self, t: int, errors: NDArray[np.float64], raw: NDArray[np.float64]) -> Change | None:
        state, model = self.state, self._model
        for i, chart in enumerate(state.charts):
            score = _score(chart, float(errors[i]))
            if state.fed <= state.settings.learn:
                continue
            chart.products = (chart.products[0] + score * chart.before, chart.products[1] + score * score)
            chart.before = score
            if t < chart.quiet_until and model is not None:
                chart.level += (float(raw[i]) - chart.level) / (chart.levels + 1)
                chart.levels += 1
                model.level[0, i] = chart.level
            else:
                _add(chart, score, t)
        over = [i for i, c in enumerate(state.charts) if max(c.up, c.down) > self.limit]
        return self._call(over, t) if over else None

    def _call(self, over: list[int], t: int) -> Change | None:
        state = self.state
        since, seen = _since(max((state.charts[i] for i in over), key=lambda c: max(c.up, c.down)))
        moved = []
        for tag, chart in zip(state.settings.tags, state.charts, strict=True):
            fresh = [score for score, at in chart.new if at >= since]
            shift = sum(fresh) / max(len(fresh), 1)
            if abs(sum(fresh)) > 3.0 * max(len(fresh), 1) ** 0.5:
                moved.append(Moved(tag, round(shift, 2)))
        for i in over:
            counts, n = state.charts[i].counts, state.charts[i].n
            state.charts[i] = Chart(counts, n, quiet_until=t + SETTLE_MS, products=state.charts[i].products)
        follows, state.called = t - state.called <= SETTLE_MS, t
        if follows:
            return None
        moved.sort(key=lambda m: -abs(m.shift))
        notice = Change(state.settings.place, since, t, seen, tuple(moved))
        state.notices.append(notice)
        del state.notices[:-NEWEST]
        return notice


def _score(chart: Chart, error: float) -> float:
    """The normal score of the error's rank among all before it and itself (ties share their ranks)."""
    cell = min(max(int((error + REACH) / (2 * REACH) * (BINS - 1)), 0), BINS - 1)
    share = (sum(chart.counts[:cell]) + (chart.counts[cell] + 1) / 2) / (chart.n + 1)
    chart.counts[cell] += 1
    chart.n += 1
    return _NORMAL.inv_cdf(min(max(share, LEAST_SHARE), 1 - LEAST_SHARE))


def _add(chart: Chart, score: float, t: int) -> None:
    chart.up = max(chart.up + score - ALLOWANCE, 0.0)
    chart.down = max(chart.down - score - ALLOWANCE, 0.0)
    chart.new.append((score, t))
    del chart.new[:-NEWEST]
    if not (chart.up or chart.down):
        chart.new.clear()


def _since(chart: Chart) -> tuple[int, int]:
    """When the change probably began, and how many frames ago: where the sum of scores stands out most."""
    best, found, total = 0.0, len(chart.new) - 1, 0.0
    for i in range(len(chart.new) - 1, -1, -1):
        total += chart.new[i][0]
        strength = total * total / (len(chart.new) - i)
        if strength > best:
            best, found = strength, i
    return chart.new[found][1], len(chart.new) - found


def sentence(notice: Change) -> str:
    """What a person reads (when is added by who knows the zone)."""
    moved = ", ".join(f"{m.tag} {'up' if m.shift > 0 else 'down'} ({m.shift:+.1f} sd)" for m in notice.moved[:3])
    return f"{notice.place} behaves differently: {moved or 'several signals a little'}, {notice.seen} frames seen"
