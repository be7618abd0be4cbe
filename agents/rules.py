"""Simple rules: base stock and CONWIP with constant setpoints, and the same with a boost while customers wait.

A rule stands beside every policy: an agent that does not beat a tuned rule has not earned its place.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.errors import SchemaError
from agents.grid import Grid
from agents.schema import digest
from sim.plant import Plant

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Boost:
    """While more than `above` units of `stock` are backordered, `control` is `by` higher."""

    control: str
    stock: str
    above: int
    by: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Setpoints of all controls, and boosts on top of them; `tuned` says how they were found."""

    values: dict[str, int]
    boosts: tuple[Boost, ...] = ()
    tuned: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`rule:fixed:sha256:...` or `rule:boost:sha256:...` by content, without how it was found."""
        content = digest({"values": self.values, "boosts": [asdict(b) for b in self.boosts]})
        return f"rule:{'boost' if self.boosts else 'fixed'}:{content}"

    def act(self, rows: Rows, compiled: Compiled, grid: Grid) -> Values:
        """Setpoints [R, C] in the states of rows [R, W], inside the grid."""
        out = np.repeat(grid.vector(self.values)[None, :], rows.shape[0], axis=0)
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


def save_rule(path: Path, rule: Rule, plant: Plant) -> None:
    """Write a rule as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": 1,
        "plant": plant.id,
        "name": rule.name,
        "values": rule.values,
        "boosts": [asdict(b) for b in rule.boosts],
        "tuned": rule.tuned,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_rule(path: Path) -> Rule:
    """Read a rule; `SchemaError` says what is wrong with the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {str(k): int(v) for k, v in content["values"].items()}
        boosts = tuple(
            Boost(str(b["control"]), str(b["stock"]), int(b["above"]), int(b["by"])) for b in content.get("boosts", [])
        )
        return Rule(values, boosts, dict(content.get("tuned", {})))
    except OSError as e:
        raise SchemaError(f"{path}: cannot be read ({e.strerror}); `plantwin tune` makes one") from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise SchemaError(
            f"{path}: not a rule file ({type(e).__name__}: {e}); expected "
            f"{{values: {{CONTROL: NUMBER}}, boosts: [...]}}"
        ) from e
