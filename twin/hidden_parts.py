"""The tracker's own parts in a stretch that has an ensemble stand where its members have them.

Whenever the members have gone on, parts are moved along the stretch until as many stand at each of its stations and
beyond as in the members' mean, rounded; each unit then is in its commonest state. What is counted at the ends of a
stretch, and parts made up or given up there, stay whole numbers, so parts are conserved as everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim.plant import DONE
from twin import floor, moves, search
from twin.floor import Floor
from twin.hidden_kernel import DOWN as IS_DOWN
from twin.hidden_kernel import FIELDS, FREE, HOLDS, LOGW, PHASE, QUEUES, UNSEEN, WORKS
from twin.hidden_model import Floats, Stretch, mode_of
from twin.hidden_state import Hidden
from twin.model import BLOCKED, DOWN, STARVED, WORK, Part, Unit
from twin.topology import capacity

STAY = 0.6
"""Parts by which the members' mean must differ from what is believed to have passed before parts are moved: a mean that
wavers about a half moves nothing."""


@dataclass(slots=True)
class Mean:
    """The members in the mean: parts at each place, and for each unit the chances of [free, works, holds] x [up, down]
    (float64[stations, units, 3, 2]).
    """

    held: list[float]
    units: Floats


@dataclass(slots=True)
class _Lines:
    """The parts of each place of a stretch, the foremost first, and the floor they stand on."""

    f: Floor
    stretch: Stretch
    parts: list[list[Part]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(map(len, self.parts))


def mean_of(stretch: Stretch, mem: Floats) -> Mean:
    """The mean of weighted members (`twin.hidden_kernel`), float64[n, W]."""
    w = np.exp(mem[:, LOGW] - mem[:, LOGW].max())
    w /= w.sum()
    n = len(stretch.stations)
    held = w @ mem[:, QUEUES : QUEUES + len(stretch.places)]
    block = mem[:, QUEUES + n + 1 :].reshape(len(mem), n, -1, FIELDS)
    down = block[..., IS_DOWN] > 0.0
    phases = [block[..., PHASE] == phase for phase in (FREE, WORKS, HOLDS)]
    each = np.array([[there & ~down, there & down] for there in phases], dtype=np.float64)
    units = np.moveaxis(np.tensordot(each, w, axes=(2, 0)), (0, 1), (2, 3))
    held[:n] += units[:, :, 1:, :].sum(axis=(1, 2, 3))
    return Mean(held.tolist(), units)


def follow(f: Floor, stretch: Stretch, hidden: Hidden) -> None:
    """Move the parts of a stretch to where the members have them; called when the members are at `f.t`."""
    mean = mean_of(stretch, np.frombuffer(hidden.members, dtype=np.float64).reshape(hidden.n, -1))
    lines = _Lines(f, stretch, [_line(f, stretch, k) for k in range(len(stretch.places))])
    wanted = _wanted(lines, mean)
    gone = max(hidden.served - hidden.left, 0) if stretch.told and hidden.left >= 0 else 0
    if stretch.behind == UNSEEN and hidden.left >= 0:
        gone = lines.total - sum(wanted)
        gone = max(gone, -sum(f.state.meters.finished[p] for p, _ in f.topology.into[stretch.stations[-1]]))
    hidden.left = hidden.served
    with moves.made_up(f):
        _shift(lines, wanted, gone)
    for k in range(len(stretch.places)):
        _stand(lines, k, mean)


def _line(f: Floor, stretch: Stretch, k: int) -> list[Part]:
    station = f.state.stations[stretch.places[k]]
    if k >= len(stretch.stations):
        return list(station.queue)
    busy = sorted((u for u in station.units if u.parts), key=lambda u: (not u.done, u.started))
    return [*(part for unit in busy for part in unit.parts), *station.queue]


def _wanted(lines: _Lines, mean: Mean) -> list[int]:
    """Parts at each place: those there and beyond are the members' mean, rounded, as far as there are places."""
    found, beyond, own, near = [0] * len(mean.held), 0, 0, 0.0
    for k in reversed(range(len(mean.held))):
        own, near = own + len(lines.parts[k]), near + mean.held[k]
        upto = own if abs(near - own) <= STAY else round(near)
        found[k] = max(upto - beyond, 0)
        most = _places(lines, k)
        found[k] = found[k] if most is None else min(found[k], most)
        beyond += found[k]
    return found


def _places(lines: _Lines, k: int) -> int | None:
    s = lines.stretch.places[k]
    if k >= len(lines.stretch.stations):
        return lines.f.places(s)
    most = capacity(lines.f.topology, s)
    return None if most is None else most + len(lines.f.state.stations[s].units)


def _shift(lines: _Lines, wanted: list[int], gone: int) -> None:
    """Move parts along the stretch until `wanted` are at each place; `gone` of them leave it at its end (negative: come
    back). What is then too many or too few came in, or not, at its beginning.
    """
    n = len(wanted)
    flow = [gone] * (n + 1)
    for k in reversed(range(n)):
        flow[k] = flow[k + 1] + wanted[k] - len(lines.parts[k])
    for _ in range(-gone):
        lines.parts[-1].insert(0, _come_back(lines))
    for k in reversed(range(1, n)):
        for _ in range(-flow[k]):
            _back(lines, k)
    for _ in range(-flow[0]):
        _too_many(lines)
    for _ in range(flow[0]):
        lines.parts[0].append(_one_more(lines))
    for k in range(1, n):
        for _ in range(flow[k]):
            _forward(lines, k)
    for _ in range(gone):
        part = lines.parts[-1].pop(0)
        _ended(lines, n - 1, part)
        moves.leave(lines.f, part, DONE)


def _ended(lines: _Lines, k: int, part: Part, by: int = 1) -> None:
    """The work on a part at the `k`-th station has ended, or (`by` -1) has not."""
    f, s = lines.f, lines.stretch.places[k]
    if part.done == (by > 0):
        return
    station = f.state.stations[s]
    station.ended += by
    station.ended_of[part.product] += by
    part.done, part.came, part.moved = by > 0, s if by > 0 else -1, f.t
    here = _step(f, s, part.product)
    part.step, part.alts = (f.topology.likely[part.product][here], []) if by > 0 else (here, part.alts)


def _step(f: Floor, s: int, product: int) -> int:
    return next((k for p, k in f.topology.into[s] if p == product), 0)


def _forward(lines: _Lines, k: int) -> None:
    """The foremost part before the `k`-th place moves into it."""
    part = lines.parts[k - 1].pop(0)
    _ended(lines, k - 1, part)
    part.done, part.since = False, lines.f.t
    lines.parts[k].append(part)


def _back(lines: _Lines, k: int) -> None:
    """The last part of the `k`-th place has not left the station before it."""
    part = lines.parts[k].pop()
    if k < len(lines.stretch.stations):
        _ended(lines, k, part, -1)
    part.done = True
    _ended(lines, k - 1, part, -1)
    part.since = lines.f.t
    lines.parts[k - 1].insert(0, part)


def _come_back(lines: _Lines) -> Part:
    """A part that was taken for finished is still in the last station."""
    f, s = lines.f, lines.stretch.stations[-1]
    made = [p for p, _ in f.topology.into[s] if f.state.meters.finished[p] > 0]
    product = max(made, key=lambda p: (f.state.meters.finished[p], -p))
    part = Part(product, DONE, f.t, f.t, guess=True, done=True)
    search.undo_leave(f, part)
    _ended(lines, len(lines.stretch.stations) - 1, part, -1)
    return part


def _one_more(lines: _Lines) -> Part:
    """A part that must have come to the stretch: out of a unit that does not hold it any more, else made up."""
    f, s = lines.f, lines.stretch.stations[0]
    waiting = floor.blocked_for(f, s)
    if waiting is not None and f.state.stations[waiting[0]].units[waiting[1]].said != BLOCKED:
        unit = f.state.stations[waiting[0]].units[waiting[1]]
        part = floor.take_out(f, *waiting, unit.parts[0])
    else:
        product = search.likely_product(f, s)
        step = _step(f, s, product)
        part = moves.release(f, product, seen=False) if lines.stretch.saturated else floor.appear(f, product, step)
        part.step = step
    part.since = f.t
    return part


def _too_many(lines: _Lines) -> None:
    """A part that cannot be in the stretch, the last one that was made up if there is one."""
    line = lines.parts[0]
    part = next((p for p in reversed(line) if p.guess), line[-1])
    floor.drop(line, part)
    _ended(lines, 0, part, -1)
    floor.vanish(lines.f, part)


def _stand(lines: _Lines, k: int, mean: Mean) -> None:
    """Put the parts of the `k`-th place into its units and its queue."""
    f, s, line = lines.f, lines.stretch.places[k], lines.parts[k]
    station = f.state.stations[s]
    if k >= len(lines.stretch.stations):
        station.queue = line
        return
    chance = mean.units[k][: len(station.units)]
    busy = chance[:, 1:, :].sum(axis=(1, 2))
    able = [u for u in range(len(station.units)) if chance[u, 0, 1] <= 0.5]
    chosen = sorted(able, key=lambda u: (-busy[u], u))[: len(line)]
    first, station.queue = line[: len(chosen)], line[len(chosen) :]
    for waits in station.queue:
        _ended(lines, k, waits, -1)
    keeps = {u: p for u in chosen for p in station.units[u].parts[:1] if any(p is part for part in first)}
    others = [part for part in first if not any(part is kept for kept in keeps.values())]
    for u, unit in enumerate(station.units):
        part: Part | None = keeps.get(u) or (others.pop(0) if u in chosen else None)
        if part is not None and u not in keeps:
            unit.started, unit.on_part, unit.on_setup, unit.assumed = f.t, 0, 0, False
            station.started += 1
        unit.parts = [] if part is None else [part]
        _be(lines, k, unit, chance[u])


def _be(lines: _Lines, k: int, unit: Unit, chance: Floats) -> None:
    """The unit's commonest state, given whether it holds a part. Nobody has seen it: no crew is called. A unit whose
    crew also serves others is not shown as down, for that would take the crew from them.
    """
    mode = mode_of(lines.f.topology.plant.stations[lines.stretch.places[k]])
    falls = mode is not None and mode.crew is None
    up, down = chance[:, 0], float(chance[1:, 1].sum() if unit.parts else chance[0, 1])
    if unit.parts:
        code = BLOCKED if up[2] > up[1] else WORK
        likely = float(max(up[1], up[2]))
        _ended(lines, k, unit.parts[0], 1 if code == BLOCKED else -1)
    else:
        code, likely = STARVED, float(up[0])
    if falls and down > likely:
        unit.was, code = code, DOWN
    if unit.state != code:
        unit.state, unit.since = code, lines.f.t
