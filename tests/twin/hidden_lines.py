"""Small lines for which the exact filter of `tests/oracles/bayes_filter.py` exists, told to the twin's ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.plant import Plant
from sim.plantfile import load
from tests.oracles.bayes_filter import FREE, HOLDS, WORKS, BayesFilter, Line, Shown, Spec, State, path, wip
from twin.hidden import Run
from twin.hidden_kernel import DOWN, FIELDS, LOGW, PHASE, QUEUES
from twin.hidden_model import Stretch, new_members, settings, stretches
from twin.hidden_state import Hidden, Seen
from twin.topology import Topology

Floats = NDArray[np.float64]
LINES = {
    "one": Line((Spec(1.0), Spec(1.1, places=3), Spec(1.05, places=3)), (0, 2)),
    "two": Line((Spec(1.0), Spec(1.1, places=2), Spec(1.05, places=2), Spec(1.0, places=2)), (0, 3)),
    "erlang": Line((Spec(1.0), Spec(3.3, stages=3, places=3), Spec(1.05, places=3)), (0, 2)),
    "odf": Line((Spec(1.0), Spec(1.3, places=3, fails=0.05, repair=0.2), Spec(1.05, places=3)), (0, 2)),
    "tdf": Line(
        (
            Spec(1.0), Spec(1.3, places=2, fails=0.05, repair=0.2, always=True), Spec(1.1, places=2),
            Spec(1.05, places=2),
        ),
        (0, 3),
    ),
    "source": Line((Spec(1.0), Spec(1.1, places=3), Spec(1.05, places=3)), (2,)),
}  # fmt: skip
"""Lines of three and four machines of which the ends and states of some are seen; times in units of a mean work."""
UNIT_MS = 60_000.0
"""One unit of the line's time."""


def plant(line: Line, folder: Path) -> Plant:
    """The plant file of a line."""
    rows = ["# Does the ensemble know as much as can be known?", "plantwin: 1", "site: demo", "area: t", "line: hidden"]
    rows += ["timezone: UTC", "tick: 1 ms", "time_unit: h", "products:"]
    rows += [f"  part: {{routing: [{', '.join(f'm{k}' for k in range(len(line.machines)))}]}}", "stations:"]
    for k, m in enumerate(line.machines):
        mean = m.stages / m.rate * 60.0
        work = f"erlang(mean={mean:.6f} s, k={m.stages})" if m.stages > 1 else f"exponential({mean:.6f} s)"
        clock = "tdf" if m.always else "odf"
        fails = (
            f", fails: {{clock: {clock}, after: exponential({60 / (m.fails or 1.0):.6f} s),"
            f" repair: exponential({60 / m.repair:.6f} s)}}"
        )
        rows.append(f"  m{k}: {{work: {work}{fails if m.fails else ''}}}")
    if len(line.machines) > 1:
        rows.append("buffers:")
    rows += [f"  b{k}: {{before: m{k}, capacity: {m.places}}}" for k, m in enumerate(line.machines) if k]
    rows += ["release:", "  part: {policy: saturated}", "sensors:"]
    for k in line.seen:
        rows.append(f"  - {{thing: m{k}, property: state, tag: m{k}/state, type: enum}}")
        rows.append(f"  - {{thing: m{k}, property: out, tag: m{k}/out, type: counter}}")
    file = folder / "hidden.yaml"
    file.write_text("\n".join(rows) + "\n")
    return load(str(file))


@dataclass
class Told:
    """The ensemble of one stretch of a line, told what is seen as the tracker would tell it."""

    line: Line
    topology: Topology
    stretch: Stretch
    hidden: Hidden
    entered: int = 0
    served: int = 0

    @staticmethod
    def of(line: Line, topology: Topology, seed: int, n: int) -> Told:
        (stretch,) = stretches(topology, tuple(False for _ in topology.plant.stations))
        cfg = settings(topology, stretch)
        hidden = Hidden(f"{stretch.key}{seed}", n, bytearray(new_members(cfg, n).tobytes()), t=0)
        told = Told(line, topology, stretch, hidden)
        hidden.willing, hidden.least, hidden.most = told.ends(line.empty())
        return told

    def ends(self, state: State) -> tuple[int, int, int]:
        """(free units behind, least and most blocked units before) in a state of the line."""
        behind = self.stretch.next
        willing = int(behind >= 0 and state[behind][1] == FREE and state[behind][3] == 1)
        blocked = [state[s][1] == HOLDS and state[s][3] == 1 for s in self.stretch.before]
        unknown = [not state[s][3] for s in self.stretch.before]  # down: it may hold a part
        return willing, sum(blocked), sum(blocked) + sum(unknown)

    def see(self, t: float, before: State, after: State, shown: Shown) -> None:
        """A transition that is seen, at `t` units of time."""
        ended = dict(zip(self.line.seen, shown[0], strict=True))
        self.entered += sum(ended.get(s, 0) for s in self.stretch.before)
        behind = self.stretch.next
        if behind >= 0:
            self.served += after[behind][1] == WORKS and bool(ended.get(behind) or before[behind][1] != WORKS)
        else:
            self.served += ended.get(self.stretch.stations[-1], 0)
        run = Run(self.topology, self.stretch, self.hidden)
        run.go(round(t * UNIT_MS))
        run.impose(Seen(self.entered, self.served, *self.ends(after), ()))

    def down(self, t: float) -> list[float]:
        """Chance at `t` that the machine of each station of the stretch is down."""
        run = self._at(t)
        w, k = np.exp(run.mem[:, LOGW]), len(self.stretch.stations)
        fields = [QUEUES + k + 1 + s * FIELDS + DOWN for s in range(k)]
        return [float(w @ (run.mem[:, u] > 0.0) / w.sum()) for u in fields]

    def _at(self, t: float) -> Run:
        """A copy of the members at `t`."""
        kept = msgspec.msgpack.decode(msgspec.msgpack.encode(self.hidden), type=Hidden)
        run = Run(self.topology, self.stretch, kept)
        run.go(round(t * UNIT_MS))
        return run

    def look(self, t: float) -> tuple[Floats, Floats]:
        """(mean, standard deviation) of the parts at each place of the stretch at `t`, the unit behind left out."""
        run = self._at(t)
        w = np.exp(run.mem[:, LOGW])
        w /= w.sum()
        k = len(self.stretch.stations)
        parts = run.mem[:, QUEUES : QUEUES + len(self.stretch.places)].copy()
        for s in range(k):
            parts[:, s] += run.mem[:, QUEUES + k + 1 + s * FIELDS + PHASE] > 0
        if self.stretch.saturated:
            parts[:, 0] -= 1.0  # the part that always waits there is not counted by the line
        mean = w @ parts
        return mean, np.sqrt(np.maximum(w @ parts**2 - mean**2, 0.0))


@dataclass
class Compared:
    """Squared errors by place, ours and the exact filter's, of one path, and the effective sample sizes."""

    ours: Floats
    exact: Floats
    between: Floats
    covered: Floats
    ess: Floats


def compare(line: Line, topology: Topology, seed: int, events: int, n: int, every: float = 2.0) -> Compared:
    """One true path, seen by both filters, looked at every `every` units of time."""
    told, exact = Told.of(line, topology, seed, n), BayesFilter(line)
    places = list(told.stretch.places)
    ours, theirs, between, covered, ess = [], [], [], [], []
    before, seen_at, at = line.empty(), 0.0, every
    for t, after, shown in path(line, events, np.random.default_rng(seed)):
        while at < t:
            mean, spread = told.look(at)
            exact.silence(at - seen_at)
            seen_at = at
            truth = np.array(wip(before), dtype=float)[places]
            best = exact.mean()[places]
            if told.stretch.next >= 0:  # the unit behind is seen: only its queue is hidden
                held = float(before[told.stretch.next][1] != FREE)
                truth[-1], best[-1] = truth[-1] - held, best[-1] - held
            ours.append((mean - truth) ** 2)
            theirs.append((best - truth) ** 2)
            between.append((mean - best) ** 2)
            covered.append(np.abs(truth - mean) <= 1.645 * spread + 0.5)
            ess.append(told.hidden.ess / told.hidden.n)
            at += every
        if shown is not None:
            if t > seen_at:
                exact.silence(t - seen_at)
            exact.see(shown)
            seen_at = t
            told.see(t, before, after, shown)
        before = after
    return Compared(*(np.array(x) for x in (ours, theirs, between, covered, ess)))


def ratio(found: list[Compared]) -> float:
    """RMSE of the ensemble's mean over that of the exact filter's."""
    return float(np.sqrt(sum(one.ours.sum() for one in found) / sum(one.exact.sum() for one in found)))
