"""The table of a controller under periodic review: what it orders in each state of the exact chain.

A state of `agents.exact.optimum_periodic` is (what is there once today's delivery has come, what comes a period, two,
.. later). A controller is shown more before it decides: how much of the first number is on hand and how much arrives
only now, and the setpoints it chose last. So what it does in a state is asked for everything it may then be shown, each
weighted by how often the plant shows it: the state before and its demand say all of it. The order it places most often
counts. How often each state comes depends on the orders, so this is repeated until the table stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.control.controllers import Controller
from agents.control.rollout import default_epoch
from agents.errors import NotExactError
from agents.exact.optimum import Table
from agents.exact.optimum_periodic import Chain, read

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
Floats = NDArray[np.float64]
ROUNDS = 12
"""Times that the table is made anew before it counts as unsettled."""
SELDOM = 1e-12
"""States that come more seldom are asked once, as if an ordinary delivery arrived."""
BLOCK = 4096
"""Rows that a controller is shown at once."""
STILL = 1e-11
"""Change of the shares of time at which they count as found."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Situations [R]: `state` of the chain, units `now` that today's delivery brings, setpoints `held` [R, C]."""

    state: Values
    now: Values
    held: Values


def periodic_table(who: Controller, compiled: Compiled) -> tuple[Table, tuple[str, ...]]:
    """(table, sentences about what was not unambiguous). `NotExactError` where the controller's orders are no function
    of the state: reviews that follow the demand of their tick, decisions at other times than the reviews.
    """
    _fits(who, compiled)
    found = Asking(who, Chain(read(compiled.plant)), compiled)
    notes = []
    for _ in range(ROUNDS):
        before, share = found.orders.copy(), found.improve()
        if np.array_equal(before, found.orders):
            break
    else:
        notes.append(f"the table still changed after {ROUNDS} rounds; the last one counts")
    if share > 0.0:
        notes.append(
            f"in {100.0 * share:.2g} % of the periods it orders something else in the same state, by what is on hand "
            f"before today's delivery or by its last setpoints; the most frequent order counts"
        )
    return found.table(), tuple(notes)


def _fits(who: Controller, compiled: Compiled) -> None:
    plant, review = compiled.plant, compiled.plant.stocks[0].review or 0
    if read(plant).late:
        raise NotExactError(
            f"plant {plant.id}: reviews follow the demand of their tick, and {who.name} decides before it: expected "
            f"another review_order, or fixed levels"
        )
    if getattr(who, "kinds", 0):
        raise NotExactError(f"{who.name} decides at events, expected once every review")
    every = default_epoch(compiled) if who.epoch_s is None else round(who.epoch_s / plant.tick_s)
    if every != review:
        raise NotExactError(f"{who.name} decides every {every} ticks, expected every review ({review} ticks)")


class Asking:
    """The orders [S, 2] (at once, regular) found so far, and the setpoints [S, C] that said so."""

    def __init__(self, who: Controller, chain: Chain, compiled: Compiled) -> None:
        from sim.engine import new_rows
        from sim.kernel import get_controls

        self.who, self.chain, self.compiled = who, chain, compiled
        self.blank: Rows = new_rows(compiled, 0, 1)
        size, mean = len(chain.states), round(float(chain.units @ chain.chance))
        here = chain.states[:, 0]
        usual = np.full(size, mean) if not chain.m.lost_sales else np.minimum(here, mean)
        held = np.repeat(np.asarray(get_controls(self.blank, compiled)), size, axis=0)
        self.first = Shown(np.arange(size), usual if chain.m.lead else np.zeros(size, dtype=np.int64), held)
        self.orders, self.held = self.ask(self.first)

    def table(self) -> Table:
        return self.chain.table(self._pairs())

    def _pairs(self) -> Values:
        """Pairs [S] of the chain that the orders are."""
        chain, found = self.chain, self.chain.orders
        most = int(max(found.max(), self.orders.max())) + 1
        owner = chain.problem.owner
        known = (owner * most + found[:, 0]) * most + found[:, 1]  # rising: pairs are sorted by state and order
        wanted = (np.arange(len(chain.states)) * most + self.orders[:, 0]) * most + self.orders[:, 1]
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        wrong = np.flatnonzero(known[at] != wanted)
        if wrong.size:
            state, order = chain.states[wrong[0]].tolist(), self.orders[wrong[0]].tolist()
            raise NotExactError(
                f"{self.who.name}: in the state {','.join(map(str, state))} it orders {order[0]} at once and "
                f"{order[1]} from the regular source, which no level within the controls' ranges says"
            )
        return at.astype(np.int64)

    def improve(self) -> float:
        """Ask for everything the plant shows under the present orders; the share of periods in which what is then
        ordered is not the most frequent order of the state.
        """
        shown, weight = self._shown()
        orders, held = self.ask(shown)
        keys = np.column_stack([shown.state, orders])
        each, back = np.unique(keys, axis=0, return_inverse=True)
        back = back.reshape(-1)
        mass = np.bincount(back, weights=weight, minlength=len(each))
        # of each state the order with most weight comes last
        by = np.lexsort((mass, each[:, 0]))
        last = np.append(each[by][1:, 0] != each[by][:-1, 0], True)
        best = by[last]
        agrees = np.isin(back, best)
        self.orders[each[best, 0]] = each[best, 1:]
        self.held[shown.state[agrees]] = held[agrees]
        return float(weight[~agrees].sum() / weight.sum())

    def _shown(self) -> tuple[Shown, Floats]:
        """(situations [R], how often each comes [R]) under the present orders."""
        chain, pairs = self.chain, self._pairs()
        share = stationary(chain.problem.moves[pairs], chain.start)
        often = np.flatnonzero(share > SELDOM)
        state = chain.where(chain.after(chain.states[often], self.orders[often])).reshape(-1)
        count, width = len(often), len(chain.units)
        coming = np.zeros(count, dtype=np.int64)
        if chain.m.lead:
            coming = chain.states[often, 1] if chain.m.lead > 1 else self.orders[often, 1]
        situations = np.column_stack([state, np.repeat(coming, width), np.repeat(self.held[often], width, axis=0)])
        weight = (share[often][:, None] * chain.chance).reshape(-1)
        each, back = np.unique(situations, axis=0, return_inverse=True)
        often_each: Floats = np.bincount(back.reshape(-1), weights=weight, minlength=len(each)).astype(np.float64)
        return Shown(each[:, 0], each[:, 1], each[:, 2:]), often_each

    def ask(self, shown: Shown) -> tuple[Values, Values]:
        """(orders [R, 2], setpoints [R, C]) in these situations."""
        held = []
        for begin in range(0, len(shown.state), BLOCK):
            part = slice(begin, begin + BLOCK)
            rows = self.rows(Shown(shown.state[part], shown.now[part], shown.held[part]))
            chosen = self.who.act(rows)
            held.append(shown.held[part] if chosen is None else np.asarray(chosen, dtype=np.int64))
        setpoints = np.concatenate(held)
        sets = [c.sets.rsplit(".", 1)[-1] for c in self.compiled.plant.controls]
        states = self.chain.states[shown.state]
        fast = np.zeros(len(states), dtype=np.int64)
        if self.chain.m.express is not None:
            fast = np.maximum(setpoints[:, sets.index("express")] - states[:, 0], 0)
        slow = np.maximum(setpoints[:, sets.index("level")] - states.sum(axis=1) - fast, 0)
        return np.column_stack([fast, slow]), setpoints

    def rows(self, shown: Shown) -> Rows:
        """Rows [R, W] of the kernel, to be looked at only (their timers are those of a plant that has just begun)."""
        layout, review = self.compiled.layout, self.compiled.plant.stocks[0].review or 0
        rows = np.repeat(self.blank, len(shown.state), axis=0)
        states, lead = self.chain.states[shown.state], self.chain.m.lead
        coming = np.column_stack([shown.now, states[:, 1:]])[:, : max(lead, 0)]
        net = states[:, 0] - shown.now
        now = lead * review
        rows[:, layout.at("now")] = now
        rows[:, layout.at("on_hand", 0)] = np.maximum(net, 0)
        rows[:, layout.at("backorders", 0)] = rows[:, layout.at("waiting", 0)] = np.maximum(-net, 0)
        total = coming.sum(axis=1)
        rows[:, layout.at("on_order", 0)] = rows[:, layout.at("lane_order", 0)] = total
        dues, units = layout.view(rows, "transit_due"), layout.view(rows, "transit_qty")
        for k in range(coming.shape[1]):
            some = coming[:, k] > 0
            dues[some, 0, k], units[some, 0, k] = now + k * review, coming[some, k]
        rows[:, self.compiled.controls] = shown.held
        return rows


def stationary(moves: Any, start: int) -> Floats:
    """Shares of time [S] that a chain with these transition probabilities (sparse [S, S]), begun in `start`, spends in
    its states: power iteration, damped, because a chain that is periodic would swing for ever.
    """
    back = moves.T.tocsr()
    share = np.zeros(moves.shape[0])
    share[start] = 1.0
    for _ in range(20_000):
        after = 0.05 * share + 0.95 * (back @ share)
        change = float(np.abs(after - share).sum())
        share = after
        if change < STILL:
            break
    return np.asarray(share)
