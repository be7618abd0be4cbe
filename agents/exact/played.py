"""A table of a small plant as a controller: it sets the controls so that the plant does what the table says.

So the exact optimum can be simulated and compared like any rule or policy. To stock and in a tandem line it decides at
every event, under periodic review at every review. Where no setpoint says what the table asks for (maintenance of a
machine as good as new, rest while customers wait, both with the usual ranges) the nearest admissible one is set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.envs.schema import digest
from agents.errors import NotExactError
from agents.exact.optimum import Table, kind_of, read_policy

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]
FREE = 0
"""Phase of a unit without a part."""
AFTER = "receive_satisfy_review_order"


@dataclass(slots=True)
class TableController:
    """A table on a plant of a small kind; `NotExactError` on others, and where the order of products is fixed."""

    table: Table
    compiled: Compiled
    static: bool = field(default=False, init=False)
    epoch_s: float | None = field(default=None, init=False)
    kinds: int = field(default=0, init=False)
    _act: str = field(default="", init=False)
    _column: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        from sim.batch import kinds_of

        plant = self.compiled.plant
        self._act = kind_of(plant).name
        if self._act == "c-mu":
            raise NotExactError(
                f"plant {plant.id}: an order of priority is no table of setpoints; expected fixed ones, such as cmu=-1"
            )
        if self._act == "periodic review":
            if plant.conventions.get("review_order") == AFTER:
                raise NotExactError(
                    f"plant {plant.id}: reviews follow the demand of their tick, and setpoints are set before it: "
                    f"expected another review_order than {AFTER}, or fixed levels"
                )
            self.epoch_s = (plant.stocks[0].review or 0) * plant.tick_s
        else:
            self.kinds = kinds_of()
        self._column = {c.sets.rsplit(".", 1)[-1]: i for i, c in enumerate(plant.controls)}

    @property
    def name(self) -> str:
        """`table:sha256:...`"""
        return f"table:{digest(self.table)}"

    def act(self, rows: Rows) -> Values | None:
        """Setpoints [R, C] in the states of rows [R, W]."""
        from sim.kernel import get_controls

        values = np.array(get_controls(rows, self.compiled))
        view = self.compiled.layout.view
        net = view(rows, "on_hand")[:, 0] - view(rows, "backorders")[:, 0]
        if self._act == "make to stock":
            self._stock(rows, net, values)
        elif self._act == "tandem release":
            self._tandem(rows, net, values)
        else:
            self._periodic(rows, net, values)
        return values

    def _asked(self, keys: Values) -> NDArray[np.str_]:
        """Entries of the table for keys [R, N]; each different state is looked up once."""
        least = keys.min(axis=0)
        # one number a state: finding equal rows takes many times as long
        code = (keys - least) @ np.cumprod([1, *(keys.max(axis=0) - least + 1)[:-1]])
        _, first, back = np.unique(code, return_index=True, return_inverse=True)
        told = []
        for state in keys[first].tolist():
            key = ",".join(map(str, state))
            if key not in self.table:
                raise NotExactError(f"policy: nothing is said about the state {key}, which the plant has come to")
            told.append(self.table[key])
        return np.array(told)[back.reshape(-1)]

    def _range(self, name: str) -> tuple[int, int]:
        control = self.compiled.plant.controls[self._column[name]]
        return control.low, control.high

    def _stock(self, rows: Rows, net: Values, values: Values) -> None:
        """Produce: the highest base stock, maintenance never; rest: the lowest; maintenance: at the present level."""
        view = self.compiled.layout.view
        # a machine that is down is as good as new when it comes back
        level = np.where(view(rows, "unit_mode")[:, 0] >= 0, 0, view(rows, "unit_level")[:, 0])
        actions = self._asked(np.column_stack([net, level]))
        (low, high), (least, never) = self._range("base_stock"), self._range("at_level")
        values[:, self._column["base_stock"]] = np.where(actions == "produce", high, low)
        values[:, self._column["at_level"]] = np.where(actions == "pm", np.maximum(level, least), never)

    def _tandem(self, rows: Rows, net: Values, values: Values) -> None:
        """Start: cap and base stock as high as may be; wait: so low that nothing is released."""
        view = self.compiled.layout.view
        free, wip = view(rows, "unit_phase")[:, 0] == FREE, view(rows, "wip")[:, 0]
        start = np.zeros(len(rows), dtype=np.bool_)
        if free.any():
            start[free] = self._asked(np.column_stack([wip, net])[free]) == "start"
        if "cap" in self._column:
            low, high = self._range("cap")
            values[:, self._column["cap"]] = np.where(start, high, np.clip(wip, low, high))
        if "base_stock" in self._column:
            low, high = self._range("base_stock")
            values[:, self._column["base_stock"]] = np.where(start, high, low)

    def _periodic(self, rows: Rows, net: Values, values: Values) -> None:
        """The levels that lift the positions by what the table orders."""
        plant = self.compiled.plant
        stock, now = plant.stocks[0], rows[:, self.compiled.layout.at("now")]
        view = self.compiled.layout.view
        due, units = view(rows, "transit_due")[:, 0], view(rows, "transit_qty")[:, 0]
        lead = round((stock.lead.args[0] if stock.lead else 0.0) / (stock.review or 1))
        ahead = (due - now[:, None]) // (stock.review or 1)
        # what comes before the next demand counts as there
        later = [np.where(ahead == i, units, 0).sum(axis=1) for i in range(1, lead)]
        here = net + np.where(ahead <= 0, units, 0).sum(axis=1)
        keys = np.column_stack([here, *later])
        orders = np.array([[int(n) for n in text.split("+")] for text in self._asked(keys).tolist()])
        fast = orders[:, 0] if orders.shape[1] == 2 else np.zeros(len(rows), dtype=np.int64)
        values[:, self._column["level"]] = keys.sum(axis=1) + fast + orders[:, -1]
        if orders.shape[1] == 2:
            values[:, self._column["express"]] = here + fast


def played(path: Path, compiled: Compiled) -> TableController:
    """The table in a JSON file, for this plant."""
    return TableController(read_policy(path), compiled)


def is_table(path: Path) -> bool:
    """Whether a JSON file is a table {state: action} (and not a rule, or nothing that can be read)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and bool(content) and all(isinstance(v, str) for v in content.values())
