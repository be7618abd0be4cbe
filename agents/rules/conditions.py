"""Rules with one number per condition: setpoints by the observed condition of a station's one unit.

A machine that wears is worth another stock in every condition, and is best maintained when there is stock to live on
meanwhile, or when so many wait already that the next customers are lost anyway. So a table of a control has a number
for each condition, of one of three meanings: the setpoint itself; a stock from which the control stands at its lowest
value and below which at its highest (for the condition at which maintenance begins: "maintain now" and "never"); or a
stock down from which it stands at its lowest value, whatever another table says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.envs.grid import Grid, switches
from agents.errors import SchemaError
from sim.plant import Control, Plant, Stock

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ByCondition:
    """In condition k of the one unit of `station`, `control` is `values[k]`; with a `stock`, it is at its lowest value
    where the net stock (on hand minus backorders) is at least `values[k]`, else at its highest. With `below`, it is at
    its lowest value where the net stock is at most `values[k]`, else as the control's other table says.

    A unit that is down counts as in condition 0: as good as new when it comes back.
    """

    control: str
    station: str
    values: tuple[int, ...]
    stock: str | None = None
    below: bool = False

    @property
    def content(self) -> dict[str, Any]:
        """What a file says of it: without `below` where it is not."""
        return {k: v for k, v in asdict(self).items() if k != "below" or v}


def apply(tables: tuple[ByCondition, ...], numbers: Values, rows: Rows, compiled: Compiled, out: Values) -> None:
    """Write what tables say in the states of rows [R, W] into setpoints `out` [R, C], with `numbers` int64 [R, T, N]
    or [1, T, N] in place of the tables' own (so that each row may have another rule).
    """
    plant, view = compiled.plant, compiled.layout.view
    ids = [c.id for c in plant.controls]
    here = np.arange(len(rows)) if len(numbers) > 1 else np.zeros(len(rows), dtype=np.intp)
    for t, table in enumerate(tables):
        unit = unit_of(plant, table.station)
        level = np.where(view(rows, "unit_mode")[:, unit] >= 0, 0, view(rows, "unit_level")[:, unit])
        told = numbers[here, t, level]
        c = ids.index(table.control)
        if table.stock is not None:
            s, control = compiled.stock_index[table.stock], plant.controls[c]
            net = view(rows, "on_hand")[:, s] - view(rows, "backorders")[:, s]
            other = out[:, c] if table.below else control.high
            told = np.where(net <= told if table.below else net >= told, control.low, other)
        out[:, c] = told


def numbers_of(tables: tuple[ByCondition, ...]) -> Values:
    """The numbers of tables [T, N], in the shape that `apply` reads: rows of fewer conditions are filled up."""
    most = max((len(t.values) for t in tables), default=0)
    return np.array([(*t.values, *(t.values[-1],) * (most - len(t.values))) for t in tables], dtype=np.int64)


def check(tables: tuple[ByCondition, ...], plant: Plant, grid: Grid) -> None:
    """`SchemaError` unless each table is for a control of the plant of its own, and a station of one unit with as many
    conditions as it has numbers; one `below` follows the other table of its control.
    """
    ids = [t.control for t in tables if not t.below]
    for i, table in enumerate(tables):
        what = f"table of {table.control!r} by the condition of {table.station!r}"
        before = [t for t in tables[:i] if t.control == table.control]
        if table.below and (table.stock is None or [(t.stock is None, t.below) for t in before] != [(False, False)]):
            raise SchemaError(
                f"{what}, below: expected a stock, and before it one other table by stock of this control"
            )
        if table.control not in grid.ids or ids.count(table.control) > 1:
            raise SchemaError(f"{what}: expected one table for a control among {', '.join(grid.ids)}")
        levels = {s.id: len(s.condition.wear) for s in plant.stations if s.condition is not None and s.units == 1}
        if levels.get(table.station) != len(table.values):
            raise SchemaError(
                f"{what}: expected a number for each condition of a station with one unit, found "
                f"{len(table.values)} numbers; such stations, and how many conditions: {levels or 'none'}"
            )
        if table.stock is not None and table.stock not in {s.id for s in plant.stocks}:
            raise SchemaError(f"{what}: no stock {table.stock!r}; expected one of {[s.id for s in plant.stocks]}")
        control = plant.controls[grid.ids.index(table.control)]
        if table.stock is None and not all(control.low <= v <= control.high for v in table.values):
            raise SchemaError(f"{what}: expected {control.low} to {control.high}, found {list(table.values)}")


def unit_of(plant: Plant, station: str) -> int:
    """Position of a station's first unit among all units."""
    first = 0
    for s in plant.stations:
        if s.id == station:
            return first
        first += s.units
    raise SchemaError(f"no station {station!r} in plant {plant.id}")


@dataclass(frozen=True, slots=True)
class Many:
    """A controller under which each row follows a rule of its own: constant setpoints `values` [C], and tables with
    `numbers` [R, T, N] in place of their own. It is what many rules are compared by in one run; see `Operation` for
    `kinds`.
    """

    compiled: Compiled
    tables: tuple[ByCondition, ...]
    values: Values
    numbers: Values
    kinds: int
    name = "many rules"
    static = False
    epoch_s: float | None = None

    def act(self, rows: Rows) -> Values:
        """Setpoints [R, C] of each row's rule."""
        out = np.repeat(self.values[None, :], len(rows), axis=0)
        apply(self.tables, self.numbers, rows, self.compiled, out)
        return out


@dataclass(frozen=True, slots=True)
class Family:
    """Tables that a plant could have, none of whose numbers is tuned yet: they say what the constants do. `low` and
    `high`, int64 [T, N]: between which numbers to search; where they are equal a number decides nothing.
    """

    tables: tuple[ByCondition, ...]
    low: Values
    high: Values


def family(plant: Plant, values: Values) -> Family:
    """The tables worth tuning about constant setpoints `values` [C]: for each station with one unit that wears, the
    base stocks of what it makes, by its condition, and the condition at which it is maintained, as a stock by condition
    (where what it makes fills one stock), and as a stock down from which too where the base stock is a switch.
    """
    parts: list[tuple[ByCondition, list[int], list[int]]] = []
    yes_or_no = switches(plant)
    for station in (s for s in plant.stations if s.condition is not None and s.units == 1):
        levels = len(station.condition.wear) if station.condition is not None else 0
        made = [p.id for p in plant.products if any(station.id == s for step in p.steps for s, _ in step.eligible)]
        stocks = [s for s in plant.stocks if s.source == "line" and s.item in made]
        bases = [c.id for c in plant.controls if c.sets in {f"release.{item}.base_stock" for item in made}]
        for c, control in enumerate(plant.controls):
            if control.id in bases:
                table = ByCondition(control.id, station.id, (int(values[c]),) * levels)
                parts.append((table, [control.low] * levels, [control.high] * levels))
            elif control.sets == f"stations.{station.id}.at_level" and len(stocks) == 1 and control.id in yes_or_no:
                parts += _maintained(plant, station.id, stocks[0], (control, int(values[c]), levels))[
                    : 2 if set(bases) <= set(yes_or_no) else 1
                ]
    width = max((len(low) for _, low, _ in parts), default=0)
    low = [row + [0] * (width - len(row)) for _, row, _ in parts]
    high = [row + [0] * (width - len(row)) for _, _, row in parts]
    tables = tuple(table for table, _, _ in parts)
    return Family(tables, np.array(low, dtype=np.int64), np.array(high, dtype=np.int64))


def _maintained(
    plant: Plant, station: str, stock: Stock, now: tuple[Control, int, int]
) -> list[tuple[ByCondition, list[int], list[int]]]:
    """Tables (with the ends of their numbers) of the condition at which a station is maintained: by the stock from
    which, and by the stock down from which; `now`: its control, constant setpoint and number of conditions.
    """
    control, value, levels = now
    least, most = _range(plant, stock)
    never, told = least - 1, tuple(least if k >= value else most for k in range(levels))
    # at its lowest value a control says "maintain" only from that condition on
    may = [k >= control.low for k in range(levels)]
    return [
        (ByCondition(control.id, station, told, stock.id), [least if m else most for m in may], [most] * levels),
        (
            ByCondition(control.id, station, (never,) * levels, stock.id, below=True),
            [never] * levels,
            [most if m else never for m in may],
        ),
    ]


def _range(plant: Plant, stock: Stock) -> tuple[int, int]:
    """Net stocks at which a rule of maintenance may begin: from the most that may be owed ("always") to one more than
    the highest base stock ("never").
    """
    highs = [c.high for c in plant.controls if c.sets == f"release.{stock.item}.base_stock"]
    product = next(p for p in plant.products if p.id == stock.item)
    high = max([*highs, product.release.base_stock or 0, stock.initial])
    owed = [d.most for d in plant.demands if d.stock == stock.id]
    least = -max((m if m is not None else max(high, 10) for m in owed), default=0)
    return least, high + 1
