"""Simple rules: base stock and CONWIP with constant setpoints, the same with a boost while customers wait, with one
number per condition of a machine that wears, and with orders by inventory position (`agents.rules.orders`).

A rule stands beside every policy: an agent that does not beat a tuned rule has not earned its place.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.envs.grid import Grid
from agents.envs.schema import FREE_S, digest
from agents.errors import SchemaError
from agents.rules import conditions, orders
from agents.rules.conditions import ByCondition
from agents.rules.orders import Order
from sim.plant import Plant

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
LARGEST = 1 << 40
"""Of the numbers in a rule."""


@dataclass(frozen=True, slots=True)
class Boost:
    """While more than `above` units of `stock` are backordered, `control` is `by` higher."""

    control: str
    stock: str
    above: int
    by: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Setpoints of all controls, tables and orders that take the place of some of them, and boosts on top; `tuned` says
    how they were found.
    """

    values: dict[str, int]
    boosts: tuple[Boost, ...] = ()
    tuned: dict[str, Any] = field(default_factory=dict)
    by_condition: tuple[ByCondition, ...] = ()
    orders: tuple[Order, ...] = ()

    @property
    def name(self) -> str:
        """`rule:KIND:sha256:...` by content, without how it was found; KIND is fixed, boost, condition or order."""
        content: dict[str, Any] = {"values": self.values, "boosts": [asdict(b) for b in self.boosts]}
        if self.by_condition:
            content["by_condition"] = [t.content for t in self.by_condition]
        if self.orders:
            content["orders"] = [asdict(o) for o in self.orders]
        kind = "boost" if self.boosts else "fixed"
        kind = "order" if self.orders else "condition" if self.by_condition else kind
        return f"rule:{kind}:{digest(content)}"

    @property
    def static(self) -> bool:
        """Whether the rule is a set of constant setpoints."""
        return not self.boosts and not self.by_condition and not self.orders

    def free(self, plant: Plant) -> bool:
        """Whether all that its tables move may move at any time: such a rule decides at events (one with orders at
        intervals, as reviews do).
        """
        moved = set() if self.orders else {t.control for t in self.by_condition}
        return bool(moved) and all(c.every * plant.tick_s < FREE_S for c in plant.controls if c.id in moved)

    def act(self, rows: Rows, compiled: Compiled, grid: Grid) -> Values:
        """Setpoints [R, C] in the states of rows [R, W], inside the grid."""
        out = np.repeat(grid.vector(self.values)[None, :], rows.shape[0], axis=0)
        if self.by_condition:
            conditions.apply(self.by_condition, conditions.numbers_of(self.by_condition)[None], rows, compiled, out)
        if self.orders:
            orders.apply(self.orders, orders.numbers_of(self.orders)[None], rows, compiled, out)
        waiting = compiled.layout.view(rows, "backorders")
        for boost in self.boosts:
            c = grid.ids.index(boost.control)
            out[:, c] += boost.by * (waiting[:, compiled.stock_index[boost.stock]] > boost.above)
        return np.clip(out, grid.low, grid.high)

    def check(self, plant: Plant, grid: Grid) -> None:
        """`SchemaError` unless the rule names every control of the plant once, within its range, and existing
        stocks.
        """
        values = grid.vector(self.values)
        for c, value in zip(grid.controls, values, strict=True):
            if not c.low <= value <= c.high:
                raise SchemaError(
                    f"{c.id}: expected {c.low} to {c.high}, found {value}; tune the rule for this plant again"
                )
        stocks = {s.id for s in plant.stocks}
        for boost in self.boosts:
            if boost.control not in grid.ids or boost.stock not in stocks:
                raise SchemaError(
                    f"boost of {boost.control!r} by {boost.stock!r}: the plant has controls {grid.ids} and "
                    f"stocks {sorted(stocks)}"
                )
        conditions.check(self.by_condition, plant, grid)
        orders.check(self.orders, plant, grid)
        for order in self.orders:
            if order.control in {t.control for t in self.by_condition} | {b.control for b in self.boosts}:
                raise SchemaError(
                    f"order of {order.control!r}: expected no table and no boost of the same control, found one"
                )


def sentences(rule: Rule, plant: Plant) -> list[str]:
    """What a rule does beside its constant setpoints, as a person would say it."""
    said = [order.said(plant) for order in rule.orders]
    for table in rule.by_condition:
        way = "down to" if table.below else "from"
        what = f"lowest {way} a net {table.stock} of" if table.stock else "at"
        said.append(f"{table.control} by the condition of {table.station}: {what} {', '.join(map(str, table.values))}")
    for boost in rule.boosts:
        said.append(f"{boost.control} +{boost.by} while more than {boost.above} customers wait for {boost.stock}")
    return said


def save_rule(path: Path, rule: Rule, plant: Plant) -> None:
    """Write a rule as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content_of(rule) | {"plant": plant.id, "tuned": rule.tuned}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def content_of(rule: Rule) -> dict[str, Any]:
    """What a file says of a rule, without how it was found."""
    content: dict[str, Any] = {
        "format": _format(rule),
        "name": rule.name,
        "values": rule.values,
        "boosts": [asdict(b) for b in rule.boosts],
    }
    if rule.by_condition:
        content["by_condition"] = [t.content for t in rule.by_condition]
    if rule.orders:
        content["orders"] = [asdict(o) for o in rule.orders]
    return content


def _format(rule: Rule) -> int:
    """The oldest format that can say what a rule says."""
    if rule.orders:
        return 4
    if any(t.below for t in rule.by_condition):
        return 3
    return 2 if rule.by_condition else 1


def load_rule(path: Path) -> Rule:
    """Read a rule; `SchemaError` says what is wrong with the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise SchemaError(f"{path}: cannot be read ({e.strerror}); `plantwin tune` makes one") from e
    except (ValueError, RecursionError) as e:
        raise SchemaError(f"{path}: not a rule file ({type(e).__name__}: {e}); `plantwin tune` makes one") from e
    return read_rule(content, str(path))


def read_rule(content: Any, where: str) -> Rule:
    """The rule in what a file says; `SchemaError` says what is wrong with it, and that it is in `where`."""
    try:
        values = {str(k): _whole(v) for k, v in content["values"].items()}
        boosts = tuple(
            Boost(str(b["control"]), str(b["stock"]), _whole(b["above"]), _whole(b["by"]))
            for b in content.get("boosts", [])
        )
        tables = tuple(_table(t) for t in content.get("by_condition", []))
        ordering = tuple(orders.read(o) for o in content.get("orders", []))
        if content.get("format", 1) not in {1, 2, 3, 4}:
            raise SchemaError(
                f"{where}: rule file of format {content['format']!r:.40}, expected 1 to 4; tune the rule again"
            )
        return Rule(values, boosts, dict(content.get("tuned", {})), tables, ordering)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as e:
        raise SchemaError(
            f"{where}: not a rule file ({type(e).__name__}: {e!s:.200}); expected "
            f"{{values: {{CONTROL: NUMBER}}, boosts: [...], by_condition: [...], orders: [...]}}"
        ) from e


def _whole(value: Any) -> int:
    """A number that int64 arithmetic on setpoints bears."""
    found = int(value)
    if abs(found) > LARGEST:
        raise ValueError(f"expected numbers up to {LARGEST}, found {found!r:.40}")
    return found


def _table(content: dict[str, Any]) -> ByCondition:
    stock = content.get("stock")
    numbers = tuple(_whole(v) for v in content["values"])
    return ByCondition(
        str(content["control"]), str(content["station"]), numbers, None if stock is None else str(stock),
        bool(content.get("below", False)),
    )  # fmt: skip
