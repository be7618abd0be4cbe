"""One stock under periodic review with lead times: lost sales, backorders, and a second source that delivers at once.

In a period: order, receive what is due, meet the demand; a unit left costs h, a unit owed b, a lost one p (Zipkin 2008,
Operations Research 56; Veeraraghavan and Scheller-Wolf 2008, the same journal). The state before ordering is
(x_0, x_1, .., x_{L-1}): net stock once what is due before the next demand has come, and what comes a period, two, ..
later. What may be ordered is what the plant's own levels can say: nothing, or up to a level of the control's range.
Those ranges make the chain finite; it is not cut anywhere. The conventions differ in when the review stands: after the
demand (`receive_satisfy_review_order`) an order has one period less to come before the demand it is to serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, product
from math import comb

import numpy as np
from numpy.typing import NDArray

from agents.errors import NotExactError, TooLargeError
from agents.exact.optimum_read import Scale, control, exactly, plain, whole_plant
from agents.exact.optimum_solver import Indices, Problem
from sim.plant import Control, Dist, Plant

MOST = 10_000_000
"""Transitions of the largest chain that is built: about half a gigabyte."""
TO_DO = "; a shorter lead time, or a smaller range or larger step of the levels, would do"
Block = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Periodic:
    """Money a unit left or owed at the end of a period, lost, ordered, bought at once; an order of each kind.

    `lead` is in periods, counted to the demand the order is to serve. `late`: the review follows the demand of its
    tick; `early`: then stock is counted before the next demand where orders come at once. `levels`, `express`: the
    levels that may be set, rising (`express` None: there is no second source).
    """

    demand: tuple[tuple[int, float], ...]
    lead: int
    lost_sales: bool
    holding: float
    backlog: float
    lost: float
    order_cost: float
    dearer: float
    express_cost: float
    late: bool
    early: bool
    levels: tuple[int, ...]
    express: tuple[int, ...] | None
    period: float
    """Time units a period."""
    initial: int

    @property
    def width(self) -> int:
        """Numbers in a state."""
        return max(self.lead, 1)


def read(plant: Plant) -> Periodic:
    """The plant as this kind; `NotExactError` says what does not fit."""
    whole_plant(plant)
    stock, demand, scale = plant.stocks[0], plant.demands[0], Scale(plant)
    for supplier in plant.suppliers:
        plain(supplier, f"supplier {supplier.id}", {"id", "note"})
    plain(stock, stock.id, {"id", "item", "source", "initial", "holding", "level", "review", "lead", "order_cost",
                            "price", "express", "priority"})  # fmt: skip
    plain(demand, demand.id, {"id", "stock", "arrivals", "backlog", "unmet", "lost_cost", "quantity", "priority"})
    if stock.review is None:
        raise NotExactError(f"{stock.id}: expected a review every period, found one at every withdrawal")
    exactly(demand.arrivals, Dist("constant", (float(stock.review),)), f"{demand.id}, arrivals (one every review)")
    late = plant.conventions.get("review_order", "") == "receive_satisfy_review_order"
    lead = _periods(stock.lead, stock.review, stock.id)
    express = None
    if stock.express is not None:
        plain(stock.express, f"{stock.id} express", {"source", "lead", "level", "price", "order_cost"})
        fast = _periods(stock.express.lead, stock.review, f"{stock.id} express") - int(late)
        if fast != 0 or lead - int(late) < 1:
            raise NotExactError(
                f"{stock.id}: expected an express order to come with the next delivery before a demand and a regular "
                f"one at least a period later, found lead times of {fast + late} and {lead} periods"
            )
        express = _levels(control(plant, f"stocks.{stock.id}.express"), stock.review)
    period = stock.review / scale.ticks
    found = Periodic(
        demand=demand.quantity,
        lead=max(lead - int(late), 0),
        lost_sales=demand.unmet == "lost",
        holding=scale.money("on_hand_area") * period,
        backlog=scale.money("waiting_area") * period,
        lost=scale.money("lost_units"),
        order_cost=scale.money("orders", 0),
        dearer=scale.money("ordered", 1),
        express_cost=scale.money("orders", 1),
        # what is ordered after the demand and comes at once lies there until the next one
        late=late,
        early=late and lead == 0,
        levels=_levels(control(plant, f"stocks.{stock.id}.level"), stock.review),
        express=express,
        period=period,
        initial=stock.initial,
    )
    scale.settled()
    return found


def _periods(lead: Dist | None, review: int, what: str) -> int:
    """A constant lead time in whole periods."""
    if lead is None or lead.kind != "constant" or lead.args[0] % review != 0.0:
        raise NotExactError(f"{what}: expected a constant lead time of whole review periods, found {lead}")
    return round(lead.args[0] / review)


def _levels(c: Control, review: int) -> tuple[int, ...]:
    if c.every > review:
        raise NotExactError(
            f"control {c.id}: may be changed every {c.every} ticks, expected at every review ({review} ticks)"
        )
    return tuple(range(c.low, c.high + 1, max(c.step, 1)))


class Chain:
    """The chain of a plant of this kind, from all states that can be reached.

    `states` [S, L]; `orders` [K, 2]: units from the source at once and from the regular one, by pair.
    """

    def __init__(self, m: Periodic) -> None:
        self.m = m
        self._refuse_too_large()
        self.units = np.array([n for n, _ in m.demand])
        self.chance = np.array([p for _, p in m.demand])
        # numbers of a state as one: none is below `_low`, none reaches `_low` + `_base`
        self._low = min(0 if m.lost_sales else min(m.levels) - int(self.units.max()) * (m.lead + 1), m.initial)
        self._base = max(m.levels) + max(m.express or (0,)) + abs(m.initial) + int(self.units.max()) - 2 * self._low + 1
        frontier = np.array([(m.initial, *[0] * (m.width - 1))], dtype=np.int64)
        codes, made, pairs = self._code(frontier), [], 0
        while len(frontier):
            owner, orders = self._choices(frontier)
            pairs += len(owner)
            if pairs * len(self.units) > MOST:
                raise TooLargeError(f"too large: more than {MOST:.0e} transitions{TO_DO}")
            after = self.after(frontier[owner], orders)
            made.append((frontier, owner, orders, self._code(after)))
            fresh = np.setdiff1d(made[-1][3], codes)
            codes = np.union1d(codes, fresh)
            frontier = self._states(fresh)
        self.states: Block = np.concatenate([block for block, *_ in made])
        self.orders: Block = np.concatenate([orders for _, _, orders, _ in made])
        self.start = 0
        self.problem = self._problem(made)

    def _code(self, states: Block) -> Block:
        """States [.., L] as one number each."""
        assert states.min() >= self._low, "a state below what can be reached"
        assert states.max() < self._low + self._base, "a state above what can be reached"
        code = np.zeros(states.shape[:-1], dtype=np.int64)
        for i in range(self.m.width):
            code = code * self._base + (states[..., i] - self._low)
        return code

    def where(self, states: Block) -> Indices:
        """Positions [..] of states [.., L] of the chain."""
        rising = np.argsort(self._code(self.states))
        return rising[np.searchsorted(self._code(self.states)[rising], self._code(states))].astype(np.int64)

    def _states(self, codes: Block) -> Block:
        """The states [N, L] of codes [N]."""
        states = np.empty((len(codes), self.m.width), dtype=np.int64)
        for i in reversed(range(self.m.width)):
            codes, states[:, i] = np.divmod(codes, self._base)
        return states + self._low

    def _refuse_too_large(self) -> None:
        """A bound of the number of transitions, before any is made."""
        m, widest = self.m, max(self.m.levels)
        if m.lost_sales and m.express is None:
            pairs = float(comb(widest + m.width + 1, m.width + 1))
        else:
            most = max(n for n, _ in m.demand)
            order = max(widest - min(m.levels), 0) + most + 1
            pairs = float((order + most * (m.lead + 1)) * order ** (m.width - 1) * (len(m.express or ()) + 1) * order)
        # the bound is not sharp: what is a little above it is tried, and given up when it grows too large
        if pairs * len(m.demand) > 30 * MOST:
            raise TooLargeError(
                f"too large: up to {pairs:.1e} pairs of a state and an order, with {len(m.demand)} demands each; at "
                f"most {MOST:.0e} transitions{TO_DO}"
            )

    def _choices(self, block: Block) -> tuple[Indices, Block]:
        """(position in the block [K], units at once and regular [K, 2]) of everything that may be ordered."""
        m = self.m
        owners, orders = [], []
        position = block.sum(axis=1)
        for level, at_once in product((None, *m.levels), (None, *(m.express or ()))):
            # None: no order, which any level at or below the position says
            fast = np.zeros(len(block), dtype=np.int64) if at_once is None else at_once - block[:, 0]
            slow = np.zeros(len(block), dtype=np.int64) if level is None else level - position - fast
            fits = (
                fast > 0
                if at_once is not None
                else np.full(len(block), m.express is None) | (block[:, 0] >= min(m.express or (0,)))
            )
            fits &= slow > 0 if level is not None else position + fast >= min(m.levels)
            owners.append(np.flatnonzero(fits))
            orders.append(np.column_stack([fast, slow])[fits])
        owner, order = np.concatenate(owners), np.concatenate(orders)
        by = np.lexsort((order[:, 1], order[:, 0], owner))
        return owner[by].astype(np.int64), order[by]

    def after(self, block: Block, orders: Block) -> Block:
        """States [K, D, L] after each demand."""
        m = self.m
        here = block[:, 0] + orders[:, 0] + (orders[:, 1] if m.lead == 0 else 0)
        left = here[:, None] - self.units
        if m.lost_sales:
            left = np.maximum(left, 0)
        after = np.empty((len(block), len(self.units), m.width), dtype=np.int64)
        after[:, :, 0] = left
        if m.lead > 0:
            coming = np.column_stack([block[:, 1:], orders[:, 1]])
            after[:, :, 0] += coming[:, 0, None]
            after[:, :, 1:] = coming[:, None, 1:]
        return after

    def _problem(self, made: list[tuple[Block, Indices, Block, Block]]) -> Problem:
        from scipy.sparse import csr_matrix

        size, pairs, width = len(self.states), len(self.orders), len(self.units)
        codes = self._code(self.states)
        rising = np.argsort(codes)
        after = np.concatenate([target.reshape(-1) for *_, target in made])
        columns = rising[np.searchsorted(codes[rising], after)]
        begun = np.cumsum([0, *(len(block) for block, *_ in made[:-1])])
        owner = np.concatenate([owner + k for k, (_, owner, _, _) in zip(begun, made, strict=True)])
        rows = np.arange(pairs + 1) * width
        moves = csr_matrix((np.tile(self.chance, pairs), columns, rows), shape=(pairs, size))
        moves.sum_duplicates()
        first = np.searchsorted(owner, np.arange(size)).astype(np.int64)
        return Problem(first, moves, self._cost(owner), self.m.period)

    def _cost(self, owner: Indices) -> NDArray[np.float64]:
        """Expected cost of a period, by pair."""
        m, fast, slow = self.m, self.orders[:, 0], self.orders[:, 1]
        here = self.states[owner, 0] + fast + (slow if m.lead == 0 else 0)
        gap = here[:, None] - self.units
        short = np.maximum(-gap, 0) @ self.chance
        if m.early:
            stock = m.holding * np.maximum(here, 0) + m.backlog * np.maximum(-here, 0)
        else:
            stock = m.holding * (np.maximum(gap, 0) @ self.chance) + (0.0 if m.lost_sales else m.backlog * short)
        lost = m.lost * short if m.lost_sales else 0.0
        placed = m.order_cost * (slow > 0) + m.express_cost * (fast > 0) + m.dearer * fast
        return np.asarray(stock + lost + placed, dtype=np.float64)

    def table(self, chosen: Indices) -> dict[str, str]:
        """{"x0,x1,..": order} of pairs [S]: units of the regular source, or "at once + regular" with two sources."""
        orders = self.orders[chosen].tolist()
        both = self.m.express is not None
        return {
            ",".join(map(str, state)): f"{fast}+{slow}" if both else str(slow)
            for state, (fast, slow) in sorted(zip(self.states.tolist(), orders, strict=True))
        }

    def chosen(self, policy: dict[str, str]) -> Indices:
        """Pairs [S] of such a table; `NotExactError` where an entry is missing or cannot be ordered.

        States that the table leaves out take the first order; whether that matters shows `agents.exact.optimum`.
        """
        first, ends = self.problem.first, np.append(self.problem.first[1:], len(self.orders))
        pairs = np.array(first, dtype=np.int64)
        for i, state in enumerate(self.states.tolist()):
            key = ",".join(map(str, state))
            if key not in policy:
                raise NotExactError(
                    f"policy: no order for the state {key} (stock, and what comes a period, two, .. later)"
                )
            asked = _order(policy[key], key)
            block = self.orders[first[i] : ends[i]].tolist()
            if asked not in block:
                may = ", ".join(f"{a}+{b}" if self.m.express is not None else str(b) for a, b in block[:12])
                raise NotExactError(
                    f"policy at {key}: {policy[key]} cannot be ordered there; expected one of {may} ..."
                )
            pairs[i] = first[i] + block.index(asked)
        return pairs


def _order(text: str, key: str) -> list[int]:
    """[at once, regular] of an entry."""
    parts = str(text).split("+")
    try:
        return [0, int(parts[0])] if len(parts) == 1 else [int(parts[0]), int(parts[1])]
    except ValueError:
        raise NotExactError(f"policy at {key}: expected units, or units at once + regular, found {text!r}") from None


def by_levels(chain: Chain, level: int, express: int | None = None, cap: int | None = None) -> dict[str, str]:
    """The table of a base-stock level (with an express level: dual index; with a cap: at most that many an order)."""
    table = {}
    for state in chain.states.tolist():
        fast = max(express - state[0], 0) if express is not None else 0
        slow = max(level - sum(state) - fast, 0)
        slow = slow if cap is None else min(slow, cap)
        table[",".join(map(str, state))] = f"{fast}+{slow}" if express is not None else str(slow)
    return table


def structure(chain: Chain, chosen: Indices) -> list[str]:
    """What a policy orders where nothing is on its way, a line for stocks with the same order."""
    both = chain.m.express is not None
    rows = sorted(zip(chain.states.tolist(), chain.orders[chosen].tolist(), strict=True))
    alone = [(state[0], tuple(order)) for state, order in rows if not any(state[1:])]
    lines = []
    for order, group in groupby(alone, key=lambda pair: pair[1]):
        stocks = [x for x, _ in group]
        where = f"{stocks[0]}" if len(stocks) == 1 else f"{stocks[0]} to {stocks[-1]}"
        says = f"{order[0]} at once and {order[1]} from the regular source" if both else str(order[1])
        lines.append(f"stock {where}, nothing later on its way: order {says}")
    return lines
