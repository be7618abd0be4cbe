"""Rules of ordering: a control follows an inventory position, up to a level, at most so much at a review.

A control of a base-stock policy is a level already, but orders what it takes. Where sales are lost, or a second source
is at hand, a large order comes too late to be worth it, and a cap is nearly optimal (Xin 2021, Operations Research 69;
for two sources Sun and Van Mieghem 2019, Management Science 65). A control of a constant order knows no position at
all. So a rule of ordering says how much to order, and the control is set to what that takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.envs.epochs import span_text, usual_epoch
from agents.envs.grid import Grid
from agents.errors import SchemaError
from agents.rules import positions
from sim.plant import Control, Plant, Stock
from sim.tables import downstream
from sim.traits import mean_ticks

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]

NO_CAP = 1 << 40
CONSTANT = "constant_order"
MOST = 3
"""A cap of so many times what is usually ordered at a review is none."""
PART = 64
"""Steps about the end of a search are such a part of a number's range."""
POLICIES = ("base_stock", CONSTANT)


@dataclass(frozen=True, slots=True)
class Order:
    """At every review the stock whose level `control` sets orders its position up to `level`, at most `most` units
    (None: whatever it takes). The position is the stock's own, or with `echelon` that of all that lies downstream too.

    The control is set to that order where the stock's policy is a constant order, and to the position with the order
    where it is a base stock; always within the control's range and in its steps, rounded down.
    """

    control: str
    level: int
    most: int | None = None
    echelon: bool = False

    @property
    def numbers(self) -> tuple[int, int]:
        """Level and cap as `apply` reads them."""
        return self.level, NO_CAP if self.most is None else self.most

    def said(self, plant: Plant) -> str:
        """The rule as a person would say it."""
        stock = stock_of(plant, self.control)
        whole = ", counting what is downstream too" if self.echelon else ""
        cap = f", at most {self.most} at once" if self.most is not None else ""
        every = span_text((stock.review or 0) * plant.tick_s)
        return f"{stock.id} orders up to {self.level}{whole}{cap}, every {every} ({self.control})"


def read(content: dict[str, Any]) -> Order:
    """The rule in a file; `ValueError` or `KeyError` where it is none."""
    most, whole = content.get("most"), content.get("echelon", False)
    if not isinstance(whole, bool):
        raise ValueError(f"echelon {whole!r}: expected true or false")
    return Order(str(content["control"]), int(content["level"]), None if most is None else int(most), whole)


def numbers_of(orders: tuple[Order, ...]) -> Values:
    """Levels and caps of rules [N, 2]."""
    return np.array([o.numbers for o in orders], dtype=np.int64)


def apply(orders: tuple[Order, ...], numbers: Values, rows: Rows, compiled: Compiled, out: Values) -> None:
    """Write what rules order in the states of rows [R, W] into setpoints `out` [R, C], with `numbers` int64 [R, N, 2]
    or [1, N, 2] in place of their own levels and caps (so that each row may have others).
    """
    plant = compiled.plant
    ids, sets = [c.id for c in plant.controls], [c.sets for c in plant.controls]
    own = positions.installation(rows, compiled)
    needed = any(o.echelon or stock_of(plant, o.control).echelon for o in orders)
    whole = positions.echelon(rows, compiled) if needed else own
    for i, order in enumerate(orders):
        c = ids.index(order.control)
        control, stock = plant.controls[c], stock_of(plant, order.control)
        k = compiled.stock_index[stock.id]
        soon = np.zeros(len(rows), dtype=np.int64)
        if stock.express is not None:
            faster = f"stocks.{stock.id}.express"
            told = out[:, sets.index(faster)] if faster in sets else compiled.layout.view(rows, "express_level")[:, k]
            soon = positions.at_once(rows, compiled, k, told)
        seen = (whole if order.echelon else own)[:, k] + soon
        value = np.clip(numbers[:, i, 0] - seen, 0, numbers[:, i, 1])
        if stock.policy != CONSTANT:
            value = value + (whole if stock.echelon else own)[:, k] + soon
        step = max(control.step, 1)
        out[:, c] = control.low + (np.clip(value, control.low, control.high) - control.low) // step * step


# --- which controls, and between which numbers --------------------------------------------------------------------


def stock_of(plant: Plant, control: str) -> Stock:
    """The stock whose level a control sets; `SchemaError` where no rule of ordering can say it."""
    found = next((c for c in plant.controls if c.id == control), None)
    kind, name, what = (*found.sets.split("."), "", "")[:3] if found is not None else ("", "", "")
    if found is None or (kind, what) != ("stocks", "level"):
        able = [c.id for c in plant.controls if c.sets.startswith("stocks.") and c.sets.endswith(".level")]
        raise SchemaError(
            f"order of {control!r}: expected a control of a stock's level, which are {', '.join(able) or 'none'}"
        )
    stock = next(k for k in plant.stocks if k.id == name)
    why = _why_not(plant, found, stock)
    if why:
        raise SchemaError(f"order of {control!r}: {why}")
    return stock


def _why_not(plant: Plant, control: Control, stock: Stock) -> str:
    """Why a rule of ordering cannot set this control of a stock's level; empty where it can."""
    if stock.policy not in POLICIES or not stock.review:
        when = "at reviews" if stock.review else "at every withdrawal"
        return f"stock {stock.id} orders by {stock.policy} {when}, expected {' or '.join(POLICIES)} at reviews"
    usual = usual_epoch(plant)
    held = max(-(-control.every // usual), 1) * usual
    if stock.review % held:
        every, review = span_text(held * plant.tick_s), span_text(stock.review * plant.tick_s)
        return f"it is decided every {every}, stock {stock.id} is reviewed every {review}: expected at every review"
    return ""


def able(plant: Plant) -> list[Control]:
    """The controls that a rule of ordering may set."""
    found = []
    for control in plant.controls:
        try:
            stock_of(plant, control.id)
        except SchemaError:
            continue
        found.append(control)
    return found


def _room(control: Control, stock: Stock) -> int:
    """The highest level that may make sense for the stock alone: its control's, or the largest order for every review
    of the lead time and one more.
    """
    if stock.policy != CONSTANT:
        return control.high
    return control.high * (_periods(stock) + 1)


def _periods(stock: Stock) -> int:
    """Reviews within the mean lead time, rounded up."""
    return -(-mean_ticks(stock.lead) // (stock.review or 1))


def ends(plant: Plant, order: Order) -> tuple[tuple[int, int], tuple[int, int]]:
    """Lowest and highest level, and lowest and highest cap, that mean anything for a rule's stock and position."""
    stock, controls = stock_of(plant, order.control), {c.sets: c for c in able(plant)}
    control = controls[f"stocks.{stock.id}.level"]
    same = stock.policy != CONSTANT and (order.echelon == stock.echelon or not downstream(plant, stock.id))
    low, high = (control.low if same else 0), _room(control, stock)
    for name in downstream(plant, stock.id) if order.echelon and not stock.echelon else []:
        k = next(k for k in plant.stocks if k.id == name)
        other = controls.get(f"stocks.{name}.level")
        high += _room(other, k) if other is not None else max(k.level or 0, k.initial)
    least = max(stock.least, 1)
    least += -least % stock.multiple
    return (low, high), (least, max(control.high, least))


def check(orders: tuple[Order, ...], plant: Plant, grid: Grid) -> None:
    """`SchemaError` unless each rule is for another control that it can set, with a level and a cap that mean anything
    there.
    """
    for i, order in enumerate(orders):
        stock = stock_of(plant, order.control)
        if order.control not in grid.ids or order.control in {o.control for o in orders[:i]}:
            raise SchemaError(f"order of {order.control!r}: expected one rule for a control, found two")
        (low, high), (least, most) = ends(plant, order)
        if not low <= order.level <= high:
            raise SchemaError(f"order of {order.control!r}: expected a level of {low} to {high}, found {order.level}")
        if order.most is None:
            continue
        if not least <= order.most <= most or order.most % stock.multiple:
            whole = f", a multiple of {stock.multiple}" if stock.multiple > 1 else ""
            raise SchemaError(
                f"order of {order.control!r}: expected at most {least} to {most} at once{whole}, found {order.most}"
            )


# --- what to tune --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Family:
    """Rules of ordering that a plant could have. A point int64 [D] of the search is a level each, then a cap each, then
    a setpoint for each control of a faster source of their stocks, all as counts of steps from `first` [D] in units of
    `unit` [D]; `low`, `high` [D] and `start` [D] are such points. A cap at its end is none.
    """

    orders: tuple[Order, ...]
    faster: tuple[int, ...]
    first: Values
    unit: Values
    high: Values
    start: Values

    @property
    def low(self) -> Values:
        """Where the counts of steps begin."""
        return np.zeros_like(self.high)

    def numbers(self, points: Values) -> tuple[Values, Values]:
        """(levels and caps [K, N, 2], setpoints of the faster sources [K, M]) of points [K, D]."""
        n, values = len(self.orders), self.first + points * self.unit
        caps = np.where(points[:, n : 2 * n] >= self.high[n : 2 * n], NO_CAP, values[:, n : 2 * n])
        return np.stack([values[:, :n], caps], axis=2), values[:, 2 * n :]

    def drawn(self, rng: np.random.Generator, count: int) -> Values:
        """Points [1 + count, D]: the start, and such with levels within a half of it and, as likely as not, a cap."""
        n, size = len(self.orders), (count, len(self.high))
        near = np.rint(self.start * rng.uniform(0.5, 1.5, size)).astype(np.int64)
        caps = rng.integers(0, self.high[n : 2 * n], size=(count, n))
        near[:, n : 2 * n] = np.where(rng.random((count, n)) < 0.5, self.high[n : 2 * n], caps)
        return np.concatenate([self.start[None], np.clip(near, 0, self.high)])

    def near(self, rng: np.random.Generator, point: Values, count: int) -> Values:
        """A point [D], first, and at most so many others about it [K, D]: a step up or down in some of its numbers."""
        step = np.maximum(self.high // PART, 1)
        others = np.clip(point + rng.integers(-1, 2, size=(count, len(point))) * step, 0, self.high)
        others = np.unique(others, axis=0)
        return np.concatenate([point[None], others[(others != point).any(axis=1)]])

    def rules(self, point: Values) -> tuple[Order, ...]:
        """The rules that a point [D] means."""
        numbers = self.numbers(point[None])[0][0].tolist()
        return tuple(
            Order(o.control, level, None if most == NO_CAP else most, o.echelon)
            for o, (level, most) in zip(self.orders, numbers, strict=True)
        )


def family(plant: Plant, values: Values, whole: bool) -> Family | None:
    """The rules worth tuning about constant setpoints `values` [C]: by installation positions or, with `whole`, by
    echelon positions; None where there are none, or no stock lies downstream of another.

    They begin where the constants say: a constant order is about what is asked for in a period, so its stock needs that
    for the lead time and a period; an echelon's level is the sum of those of its stocks.
    """
    controls = able(plant)
    under = {c.id: downstream(plant, stock_of(plant, c.id).id) for c in controls}
    if not controls or (whole and not any(under.values())):
        return None
    alone = {c.sets.split(".")[1]: _alone(plant, values, c) for c in controls}
    alone |= {k.id: k.level or k.initial for k in plant.stocks if k.id not in alone}
    orders, rows = [], []
    caps: list[tuple[int, int, int, int]] = []
    for c in controls:
        stock = stock_of(plant, c.id)
        order = Order(c.id, alone[stock.id], None, whole and bool(under[c.id]))
        if order.echelon:
            order = Order(c.id, order.level + sum(alone[name] for name in under[c.id]), None, True)
        (low, high), (least, most) = ends(plant, order)
        step, batch = max(c.step, 1), math.lcm(max(c.step, 1), stock.multiple)
        rows.append((low, step, (high - low) // step, (min(max(order.level, low), high) - low) // step))
        first = least + -least % batch
        usual = alone[stock.id] // (_periods(stock) + 1)
        end = max(min(most, MOST * usual) - first, 0) // batch + 1
        caps.append((first, batch, end, end))
        orders.append(order)
    sets = [c.sets for c in plant.controls]
    named = [f"stocks.{stock_of(plant, c.id).id}.express" for c in controls]
    faster = tuple(sets.index(name) for name in named if name in sets)
    grid = Grid(plant)
    more = [
        (int(grid.low[c]), int(grid.step[c]), int(grid.counts[c]) - 1, int((values[c] - grid.low[c]) // grid.step[c]))
        for c in faster
    ]
    first_, unit, high_, start = np.array([*rows, *caps, *more], dtype=np.int64).T
    return Family(tuple(orders), faster, first_, unit, high_, start)


def _alone(plant: Plant, values: Values, control: Control) -> int:
    """The installation level that a constant setpoint comes to."""
    stock, value = stock_of(plant, control.id), int(values[[c.id for c in plant.controls].index(control.id)])
    if stock.policy == CONSTANT:
        return value * (_periods(stock) + 1)
    if stock.echelon:  # what is left for the stock itself, if those below hold theirs
        sets = {c.sets: int(v) for c, v in zip(plant.controls, values, strict=True)}
        below = [k for k in plant.stocks if k.source == stock.id]
        return max(value - sum(sets.get(f"stocks.{k.id}.level", k.level or k.initial) for k in below), 0)
    return value


@dataclass(frozen=True, slots=True)
class Many:
    """A controller under which each row follows a rule of its own: setpoints `values` [R, C], and rules of ordering
    with `numbers` [R, N, 2] in place of their own.
    """

    compiled: Compiled
    orders: tuple[Order, ...]
    values: Values
    numbers: Values
    name = "many rules"
    static = False
    epoch_s: float | None = None

    def act(self, rows: Rows) -> Values:
        """Setpoints [R, C] of each row's rule."""
        out = self.values.copy()
        apply(self.orders, self.numbers, rows, self.compiled, out)
        return out
