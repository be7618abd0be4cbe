"""What a controller does in every state of a small plant, as a table whose exact cost can be computed.

To stock, a state is (net stock x, condition k) and the action what the machine would do at once under the setpoints
that the controller chooses: maintenance where the condition has reached `at_level`, else a part where the base stock
asks for one, else nothing. The controller is shown rows of the kernel as it sees them at work.
Under periodic review see `agents.exact.table_periodic`, for an order of service `agents.exact.table_priority`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.control.controllers import Controller
from agents.errors import AgentError, NotExactError
from agents.exact import optimum_periodic, optimum_stock, optimum_tandem
from agents.exact.optimum import Table, kind_of
from agents.exact.table_periodic import periodic_table
from agents.exact.table_priority import priority_table
from agents.exact.table_tandem import tandem_table

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
SEEN = ("auto", "working", "free")
LOOKS = 10
"""How often a controller that sees its own setpoints may change them before they count as unsettled."""
HOURS = 6
"""Hours between the moments of a week at which a controller is asked; what it does most often is written."""


@dataclass(frozen=True, slots=True)
class Found:
    """A table, and sentences about what was not unambiguous."""

    policy: Table
    notes: tuple[str, ...] = ()


def table_of(who: Controller, compiled: Compiled, seen: str = "auto") -> Found:
    """The table of a controller on a plant of a small kind; `NotExactError` where its states are not those of the kind.

    `seen`, to stock: is the controller shown a machine at work (also where it is free) or free? `auto`: at work, and
    free where it then lets the machine rest, as it would see it next.
    """
    if seen not in SEEN:
        raise AgentError(f"seen {seen!r}: expected one of {', '.join(SEEN)}")
    kind = kind_of(compiled.plant).name
    if kind == "make to stock":
        return _stock(who, compiled, seen)
    if kind == "periodic review" and not who.static:
        return Found(*periodic_table(who, compiled))
    if kind == "c-mu":
        return Found(*priority_table(who, compiled))
    if kind == "tandem release" and not who.static:
        return Found(*tandem_table(who, compiled))
    if not who.static:
        raise NotExactError(
            f"plant {compiled.plant.id} ({kind}): {who.name} looks at the state, expected constant setpoints (a rule "
            f"without boosts): what it sees is not a function of the states of this kind"
        )
    return Found(_constant(who, compiled, kind))


def _constant(who: Controller, compiled: Compiled, kind: str) -> Table:
    """The table of constant setpoints."""
    from sim.engine import new_rows
    from sim.kernel import get_controls

    rows = new_rows(compiled, 0, 1)
    chosen = who.act(rows)
    numbers = (get_controls(rows, compiled) if chosen is None else chosen)[0].tolist()
    values = {c.sets.rsplit(".", 1)[-1]: v for c, v in zip(compiled.plant.controls, numbers, strict=True)}
    if kind == "periodic review":
        orders = optimum_periodic.Chain(optimum_periodic.read(compiled.plant))
        return optimum_periodic.by_levels(orders, values["level"], values.get("express"))
    if kind == "tandem release":
        release, chain = compiled.plant.products[0].release, optimum_tandem.Chain(optimum_tandem.read(compiled.plant))
        return optimum_tandem.by_levels(
            chain, values.get("cap", release.cap or 0), values.get("base_stock", release.base_stock or 0)
        )
    raise AssertionError(f"kind {kind} has no table of constant setpoints")


def _stock(who: Controller, compiled: Compiled, seen: str) -> Found:
    m = optimum_stock.read(compiled.plant)
    states = [(x, k) for x in range(m.low, m.high + 1) for k in range(m.conditions)]
    notes = []
    actions = {}
    for kind in ("working", "free"):
        actions[kind], said = _asked(who, compiled, states, kind)
        notes += said if seen in {kind, "auto"} else []
    idle, top = optimum_stock.ACTIONS.index("idle"), np.array([x == m.high for x, _ in states])
    mixed = np.where((actions["working"] == idle) | top, actions["free"], actions["working"])
    chosen = mixed if seen == "auto" else actions[seen]
    differ = int(np.count_nonzero((actions["working"] != actions["free"]) & ~top))
    if differ:
        notes.append(f"in {differ} of {len(states)} states it does not do the same with the machine at work and free")
    policy = {f"{x},{k}": optimum_stock.ACTIONS[a] for (x, k), a in zip(states, chosen.tolist(), strict=True)}
    return Found(policy, tuple(notes))


def _asked(who: Controller, compiled: Compiled, states: list[tuple[int, int]], kind: str) -> tuple[Values, list[str]]:
    """(action [S] in each state with the machine at work or free, sentences)."""
    plant = compiled.plant
    week = np.arange(0, 7 * 24, HOURS) * 3600.0 / plant.tick_s
    rows = np.repeat(stock_rows(compiled, states, kind), len(week), axis=0)
    rows[:, compiled.layout.at("now")] = np.tile(week.astype(np.int64), len(states))
    setpoints, unsettled = settle(who, compiled, rows)
    sets = [c.sets for c in plant.controls]
    base = setpoints[:, sets.index(f"release.{plant.products[0].id}.base_stock")]
    care = setpoints[:, sets.index(f"stations.{plant.stations[0].id}.at_level")]
    x, k = np.repeat(np.array(states), len(week), axis=0).T
    action = np.where(care <= k, 2, np.where(x < base, 1, 0)).reshape(len(states), len(week))
    counts = np.stack([(action == a).sum(axis=1) for a in range(3)], axis=1)
    notes = []
    wavering = int(np.count_nonzero(counts.max(axis=1) < len(week)))
    if wavering:
        notes.append(
            f"machine {kind}: in {wavering} of {len(states)} states the hour of the week matters; the most frequent "
            f"action counts"
        )
    if unsettled:
        notes.append(
            f"machine {kind}: in {unsettled} of {len(rows)} looks it kept changing its setpoints; the last count"
        )
    return counts.argmax(axis=1), notes


def settle(who: Controller, compiled: Compiled, rows: Rows) -> tuple[Values, int]:
    """(setpoints [R, C] that a controller keeps when it is asked again and again in the same state, rows in which it
    keeps none). It sees the present setpoints, so they are written into the rows.
    """
    from sim.kernel import get_controls

    present = get_controls(rows, compiled)
    changing = np.ones(len(rows), dtype=np.bool_)
    for _ in range(LOOKS):
        chosen = who.act(rows)
        if chosen is None:
            return present, 0
        changing = (chosen != present).any(axis=1)
        present = chosen
        rows[:, compiled.controls] = present
        if not changing.any():
            break
    return present, int(np.count_nonzero(changing))


def stock_rows(compiled: Compiled, states: list[tuple[int, int]], kind: str) -> Rows:
    """Rows [S, W] of the kernel in states (net stock, condition), the machine "working" on a part or "free", with the
    plant file's setpoints. They are to be looked at: their clocks are those of a plant that has just begun.
    """
    from sim.compile import compile_plant
    from sim.engine import new_rows
    from sim.kernel import get_controls

    plant, product = compiled.plant, compiled.plant.products[0]
    begins = kind == "working"
    release = replace(product.release, base_stock=1 if begins else 0)
    stock = replace(plant.stocks[0], initial=0 if begins else 1)
    other = compile_plant(replace(plant, products=(replace(product, release=release),), stocks=(stock,)))
    rows = np.repeat(new_rows(other, 0, 1), len(states), axis=0)
    x, k = np.array(states, dtype=np.int64).T
    layout = compiled.layout
    rows[:, layout.at("on_hand", 0)] = np.maximum(x, 0)
    rows[:, layout.at("backorders", 0)] = rows[:, layout.at("waiting", 0)] = np.maximum(-x, 0)
    rows[:, layout.at("unit_level", 0)] = k
    rows[:, compiled.controls] = get_controls(new_rows(compiled, 0, 1), compiled)
    return rows
