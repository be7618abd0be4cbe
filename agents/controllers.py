"""Things that decide: hold, a rule, a policy. All answer one question: which setpoints now?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agents import bundle
from agents.epochs import decision_kinds
from agents.errors import AgentError, SchemaError
from agents.grid import Grid
from agents.rules import Rule, load_rule
from agents.schema import Observer

if TYPE_CHECKING:
    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]


class Controller(Protocol):
    """`name` identifies it in evidence; `static` says that it never changes its mind, so it is asked once; `epoch_s`
    is the time between two of its decisions (None: what is usual for the plant).

    One that decides at events says so by a further attribute `kinds`, the kinds of events as bits
    (`sim.batch.kinds_of`); `epoch_s` is then the longest time between two of its decisions.
    """

    @property
    def name(self) -> str: ...

    @property
    def static(self) -> bool: ...

    @property
    def epoch_s(self) -> float | None: ...

    def act(self, rows: Rows) -> Values | None:
        """Setpoints [R, C] for rows [R, W], or None to leave all controls as they are."""


class Hold:
    """Doing nothing: the controls stay where the plant file (or the plant) has them."""

    name = "nothing"
    static = True
    epoch_s: float | None = None

    def act(self, rows: Rows) -> Values | None:
        """Nothing is changed."""
        del rows
        return None


@dataclass(frozen=True, slots=True)
class RuleController:
    """A tuned rule on a plant."""

    rule: Rule
    compiled: Compiled
    grid: Grid

    @property
    def name(self) -> str:
        """`rule:KIND:sha256...`"""
        return self.rule.name

    @property
    def static(self) -> bool:
        """Whether the rule is a set of constant setpoints."""
        return not self.rule.boosts

    @property
    def epoch_s(self) -> float | None:
        """The usual interval of the plant."""
        return None

    def act(self, rows: Rows) -> Values | None:
        """Setpoints [R, C] of the rule in these states."""
        return self.rule.act(rows, self.compiled, self.grid)


@dataclass(frozen=True, slots=True)
class PolicyController:
    """A trained policy on a plant, without exploration."""

    bundle: bundle.Bundle
    observer: Observer
    grid: Grid

    @property
    def name(self) -> str:
        """`policy:sha256:...`"""
        return f"policy:{self.bundle.name}"

    @property
    def static(self) -> bool:
        """A policy looks at the state every time."""
        return False

    @property
    def epoch_s(self) -> float | None:
        """The interval it was trained for."""
        return self.bundle.epoch_s

    @property
    def kinds(self) -> int:
        """The kinds of events at which it decides, as bits; 0: at equal intervals."""
        return decision_kinds(self.bundle.decide, self.bundle.decide_on)

    def act(self, rows: Rows) -> Values | None:
        """Setpoints [R, C] of the policy in these states."""
        return self.grid.decode(self.bundle.network.decide(self.observer(rows)))


def policy(folder: Path, compiled: Compiled) -> PolicyController:
    """The verified policy in a folder, for this plant."""
    grid, observer = Grid(compiled.plant), Observer(compiled)
    loaded = bundle.load(folder, observer.hash, grid.hash)
    observer.use_scaling(loaded.spec["observation"]["scaling"])
    return PolicyController(loaded, observer, grid)


def rule(path: Path, compiled: Compiled) -> RuleController:
    """The rule in a JSON file, for this plant."""
    grid = Grid(compiled.plant)
    loaded = load_rule(path)
    loaded.check(compiled.plant, grid)
    return RuleController(loaded, compiled, grid)


def controller(what: str, compiled: Compiled) -> Controller:
    """The controller that a word or path means.

    `nothing`: the plant file's setpoints; `rule`, `policy`: those shipped for this plant; a folder: a policy bundle; a
    file `*.json`: a rule; `cap=8,level=30`: fixed setpoints (every control once).
    """
    shipped = bundle.BUNDLED / compiled.plant.id
    if what == "nothing":
        return Hold()
    if what == "rule":
        return rule(shipped / "rule.json", compiled)
    if what == "policy":
        return policy(shipped, compiled)
    path = Path(what)
    if path.is_dir():
        return policy(path, compiled)
    if path.suffix == ".json":
        return rule(path, compiled)
    if "=" in what:
        grid = Grid(compiled.plant)
        fixed = Rule(_pairs(what))
        fixed.check(compiled.plant, grid)
        return RuleController(fixed, compiled, grid)
    raise AgentError(
        f"{what!r}: expected nothing, rule, policy, the folder of a policy, a rule's .json file or CONTROL=VALUE,..."
    )


def _pairs(text: str) -> dict[str, int]:
    out: dict[str, int] = {}
    for item in text.split(","):
        key, _, value = item.partition("=")
        try:
            out[key.strip()] = int(value)
        except ValueError as e:
            raise SchemaError(f"{item!r}: expected CONTROL=WHOLE NUMBER") from e
    return out
