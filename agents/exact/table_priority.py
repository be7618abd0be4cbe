"""What a controller of dispatching weights does at one machine that several products come to: an order, or a table.

The controller is shown rows of the kernel in which a part is being worked on and others wait; the weights it then sets
decide which goes first when that part is finished. Where that is the same order in every state it was shown, the table
is that order, {"1": PRODUCT, "2": PRODUCT, ..}, else an entry a state (`agents.exact.optimum_order`).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.control.controllers import Controller
from agents.errors import NotExactError
from agents.exact import optimum_priority
from agents.exact.optimum_order import Table, key
from sim.plant import FEATURES, STATES, Plant

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
MOST, ASKED = 12, 20_000
"""Parts of a product that wait in the states asked for; fewer where that would be more than so many states."""
BLOCK = 128
"""Rows that a controller is shown at once: those of a queue without a limit are long."""
FAR = 1 << 40


def priority_table(who: Controller, compiled: Compiled) -> tuple[Table, tuple[str, ...]]:
    """(table, sentences about what was not unambiguous). `NotExactError` where nothing but the time of arrival decides
    (first come, first served) everywhere.
    """
    kinds = optimum_priority.read(compiled.plant)
    size = len(kinds)
    most = max(n for n in range(1, MOST + 1) if n == 1 or (n + 1) ** size * size <= ASKED)
    states = np.array(
        [(*n, k) for n in product(range(most + 1), repeat=size) for k in range(size) if sum(map(bool, n)) > 1]
    )
    weights = np.concatenate([_weights(who, compiled, states[at : at + BLOCK]) for at in range(0, len(states), BLOCK)])
    waited = FEATURES.index("waited")
    if (weights[:, waited] != 0).any():
        raise NotExactError(f"plant {compiled.plant.id} (c-mu): {who.name} weighs how long parts have waited, {_NOT}")
    keys = np.where(states[:, :size] > 0, weights @ features(compiled.plant).T, np.iinfo(np.int64).max)
    tied = (keys == keys.min(axis=1, keepdims=True)).sum(axis=1) > 1
    if tied.all():
        raise NotExactError(f"plant {compiled.plant.id} (c-mu): {who.name} serves who came first, {_NOT}")
    # of equal ones the one that should be last, so that the table does not flatter
    index = np.array([k.waiting / k.mean for k in kinds])
    by = np.argsort(index, kind="stable")
    chosen = by[keys[:, by].argmin(axis=1)]
    names, notes = [k.name for k in kinds], []
    if tied.any():
        notes.append(
            f"in {int(tied.sum())} of {len(states)} states two products are equal and the first come goes first; the "
            f"table says that the less urgent does"
        )
    if not who.static and not getattr(who, "kinds", 0):
        notes.append("it decides at equal intervals: the table says what its weights of that moment would do at once")
    found = fixed(states[:, :size], chosen)
    if found is not None:
        return {str(i + 1): names[k] for i, k in enumerate(found)}, tuple(notes)
    best = fixed_choice(states[:, :size], [kinds.index(k) for k in optimum_priority.best(kinds)])
    notes.append(
        f"in {int(np.count_nonzero(chosen != best))} of {len(states)} states (at most {most} of each product) it "
        f"serves another product than the c-mu rule; more of a product are as {most}"
    )
    entries = zip(states.tolist(), chosen.tolist(), strict=True)
    return {key(state[:size], names[state[size]]): names[k] for state, k in entries}, tuple(notes)


_NOT = "and a table says in which order the products are served"


def fixed_choice(waiting: Values, order: list[int]) -> Values:
    """The product [S] that goes first of those that wait [S, K] in an order."""
    there = waiting[:, order] > 0
    return np.asarray(order)[there.argmax(axis=1)]


def fixed(waiting: Values, chosen: Values) -> list[int] | None:
    """The order [K] of which `chosen` [S] are the first that wait [S, K]; None where there is none."""
    times = np.bincount(chosen, minlength=waiting.shape[1])
    order = np.argsort(-times, kind="stable").tolist()
    return order if np.array_equal(fixed_choice(waiting, order), chosen) else None


def features(plant: Plant) -> Values:
    """Dispatching features [K, F] of one part of each product at its only operation, as docs/kernel.md defines them; 0
    for the time waited, which is no feature of a product.
    """
    from sim.reference_queue import Route

    out = np.zeros((len(plant.products), len(FEATURES)), dtype=np.int64)
    for i, p in enumerate(plant.products):
        route, left = Route(p, 0, plant.tick_s), 0
        left = route.work_left[0]
        values = {
            "work": route.work[0][plant.stations[0].id], "work_left": left, "steps_left": route.steps_left[0],
            "due": FAR, "slack": FAR - left, "ratio": min((FAR << 10) // max(left, 1), FAR), "cmu": route.cmu[0],
            "priority": p.priority,
        }  # fmt: skip
        out[i] = [values.get(name, 0) for name in FEATURES]
    return out


def _weights(who: Controller, compiled: Compiled, states: Values) -> Values:
    """Dispatching weights [S, F] that the controller keeps in these states [S, K + 1]."""
    from agents.exact.table import settle

    rows = machine_rows(compiled, states)
    setpoints, _ = settle(who, compiled, rows)
    rows[:, compiled.controls] = setpoints
    return np.array(compiled.layout.view(rows, "weights")[:, 0, :])


def machine_rows(compiled: Compiled, states: Values) -> Rows:
    """Rows [S, W] of the kernel in states [S, K + 1]: how many of each product wait, and which is worked on. To be
    looked at only: their clocks are those of a plant that has just begun.
    """
    from sim.engine import new_rows

    size, layout = states.shape[1] - 1, compiled.layout
    rows = np.repeat(new_rows(compiled, 0, 1), len(states), axis=0)
    waiting, work = states[:, :size], states[:, size]
    layout.view(rows, "wip")[:, :size] = waiting + (np.arange(size) == work[:, None])
    rows[:, layout.at("q_len", 0)] = waiting.sum(axis=1)
    shares = layout.view(rows, "n_state")
    shares[:, 0, :] = 0
    shares[:, 0, STATES.index("work")] = 1
    return rows
