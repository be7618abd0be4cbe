"""Policies of others, judged as ours are: anything that turns observations into grid indices."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles.policyspec import check_interval
from agents.control.over import Moves, applied
from agents.envs.epochs import INTERVAL, decision_kinds
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import AgentError

if TYPE_CHECKING:
    from agents.control.controllers import RuleController
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OwnController:
    """`ask` takes observations float32 [R, D] and returns grid indices [R, C] of the controls in file order.

    `warnings`: what could not be checked about it, told beside every verdict. `kinds`: the kinds of events at which it
    decides, as bits (`agents.envs.epochs.decision_kinds`); 0: at equal intervals. With a rule (`over`) the indices are
    those of moves from its setpoints (`agents.control.over`).
    """

    name: str
    ask: Callable[[NDArray[np.float32]], Any]
    observer: Observer
    grid: Grid
    epoch_s: float | None = None
    warnings: tuple[str, ...] = ()
    kinds: int = 0
    over: RuleController | None = None

    @property
    def static(self) -> bool:
        """It looks at the state every time."""
        return False

    def act(self, rows: Rows) -> Values | None:
        """Setpoints [R, C] in these states; `AgentError` where the answer is not one grid index a row and control."""
        observations = self.observer(rows)
        try:
            answer = self.ask(observations)
        except Exception as e:
            raise AgentError(f"{self.name}: it raised {type(e).__name__}: {str(e)[:300]}") from e
        found = np.asarray(answer)
        shape = (rows.shape[0], self.grid.size)
        if found.shape != shape or not np.issubdtype(found.dtype, np.integer):
            raise AgentError(
                f"{self.name}: expected whole numbers of shape {shape} (a grid index for each row and control), found "
                f"{found.dtype} of shape {found.shape}"
            )
        axes = self.grid if self.over is None else Moves(self.grid)
        outside = (found < 0) | (found >= axes.counts)
        if outside.any():
            c = int(outside.any(axis=0).argmax())
            raise AgentError(
                f"{self.name}: expected grid indices 0 to {int(axes.counts[c]) - 1} for control "
                f"{self.grid.ids[c]}, found {int(found[outside[:, c], c][0])}"
            )
        return self.grid.decode(found) if self.over is None else applied(found, self.over, rows)


def python_policy(what: str, compiled: Compiled, allow_code: bool) -> OwnController:
    """The callable `module:name` as a controller; the module is imported only where the user allows it.

    Attributes of the callable, where it has them: `epoch_s`, seconds between its decisions, and `decide`, "interval" or
    "events" (with `epoch_s` as the longest time between two of them).
    """
    if not allow_code:
        raise AgentError(
            f"{what}: expected leave to run this code, found none; read it, then say '--allow-code' (in Python: "
            f"allow_code=True)"
        )
    module_name, _, name = what.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # behind everything else: it must hide nothing
    try:
        module = importlib.import_module(module_name)
    except Exception as e:
        raise AgentError(
            f"{what}: expected a module {module_name!r} that can be imported from {here}, found {type(e).__name__}: {e}"
        ) from e
    found = getattr(module, name, None)
    if not callable(found):
        raise AgentError(f"{what}: expected a callable {name!r} in {module_name}, found {type(found).__name__}")
    epoch = getattr(found, "epoch_s", None)
    if epoch is not None and not isinstance(epoch, int | float):
        raise AgentError(f"{what}: expected epoch_s in seconds, found {epoch!r:.60}")
    if epoch is not None:
        check_interval(what, float(epoch), compiled)
    warning = "its observations and actions are taken on trust: a callable carries no schema hash"
    grid, observer = Grid(compiled.plant), Observer(compiled)
    kinds = decision_kinds(str(getattr(found, "decide", INTERVAL)), None)
    epoch_s = None if epoch is None else float(epoch)
    return OwnController(f"python:{what}", found, observer, grid, epoch_s, (warning,), kinds)
