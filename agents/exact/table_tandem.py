"""What a controller of releases does in a tandem line: {"n,x": start | wait} for a free first machine, n parts at the
second and net stock x (`agents.exact.optimum_tandem`).

The controller is shown rows of the kernel in these states, and asked again until it keeps its setpoints. When the first
machine ends a part, what was set while it worked holds until the controller is asked: it may start the next part before
that. So a state that is come to in that way is started in where either says so; where the two differ is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.control.controllers import Controller
from agents.exact import optimum_tandem
from sim.plant import STATES

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
FREE, AT_WORK = 0, 2
"""Phases of a unit."""


def tandem_table(who: Controller, compiled: Compiled) -> tuple[dict[str, str], tuple[str, ...]]:
    """(table, sentences about what was not unambiguous)."""
    m = optimum_tandem.read(compiled.plant)
    top = max(m.base[1], m.initial)
    states = np.array([(n, x) for x in range(m.low, top + 1) for n in range(m.cap[1] + 1) if x + n <= top])
    may = (states[:, 0] < m.cap[1]) & (states.sum(axis=1) < m.base[1])
    asked = _starts(who, compiled, states, busy=False) & may
    # with the first machine at work and one part less at the second, as it is just before it ends its part
    at_work = np.zeros(len(states), dtype=np.bool_)
    after = states[:, 0] > 0
    at_work[after] = _starts(who, compiled, states[after] - [1, 0], busy=True) & may[after]
    notes = []
    early = int(np.count_nonzero(at_work & ~asked))
    if early:
        notes.append(
            f"in {early} of {len(states)} states it waits, but starts at once where the first machine has just ended a "
            f"part, by what was set while it worked; the table says start"
        )
    if not who.static and not getattr(who, "kinds", 0):
        notes.append("it decides at equal intervals: the table says what its setpoints of that moment would do at once")
    said = np.where(asked | at_work, *optimum_tandem.ACTIONS[::-1]).tolist()
    return {f"{n},{x}": word for (n, x), word in zip(states.tolist(), said, strict=True)}, tuple(notes)


def _starts(who: Controller, compiled: Compiled, states: Values, busy: bool) -> NDArray[np.bool_]:
    """Would the first machine begin a part [S] under the setpoints that the controller keeps in these states [S, 2]? At
    work it would when its part is done, which then is at the second machine.
    """
    from agents.exact.table import settle

    rows = line_rows(compiled, states, busy)
    setpoints, _ = settle(who, compiled, rows)
    release, sets = compiled.plant.products[0].release, [c.sets.rsplit(".", 1)[-1] for c in compiled.plant.controls]
    present = {"cap": release.cap or 0, "base_stock": release.base_stock or 0}
    cap, base = (setpoints[:, sets.index(s)] if s in sets else np.int64(v) for s, v in present.items())
    wip = states[:, 0] + busy
    found: NDArray[np.bool_] = (wip < cap) & (wip + states[:, 1] < base)
    return found


def line_rows(compiled: Compiled, states: Values, busy: bool) -> Rows:
    """Rows [S, W] of the kernel in states [S, 2] of parts at the second machine and net stock, the first one busy or
    free, with the plant file's setpoints. To be looked at only: their clocks are those of a plant that has just begun.
    """
    from sim.engine import new_rows

    layout, (n, x) = compiled.layout, states.T
    rows = np.repeat(new_rows(compiled, 0, 1), len(states), axis=0)
    rows[:, layout.at("on_hand", 0)] = np.maximum(x, 0)
    rows[:, layout.at("backorders", 0)] = rows[:, layout.at("waiting", 0)] = np.maximum(-x, 0)
    layout.view(rows, "wip")[:, 0] = n + busy
    rows[:, layout.at("q_len", 0)] = 0
    rows[:, layout.at("q_len", 1)] = np.maximum(n - 1, 0)
    shares, phase = layout.view(rows, "n_state"), layout.view(rows, "unit_phase")
    shares[:] = 0
    # a first machine that nothing is let into is idle, a second one that nothing comes to is starved
    for station, (works, else_) in enumerate(((np.full(len(n), busy), "idle"), (n > 0, "starved"))):
        shares[:, station, STATES.index("work")] = works
        shares[:, station, STATES.index(else_)] = ~works
        phase[:, station] = np.where(works, AT_WORK, FREE)
    return rows
