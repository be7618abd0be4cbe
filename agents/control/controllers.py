"""Things that decide: hold, a rule, a policy. All answer one question: which setpoints now?"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.bundles import bundle
from agents.bundles.policyspec import check_interval
from agents.control.over import decided
from agents.envs.epochs import EVENTS, decision_kinds
from agents.envs.grid import Grid, as_switches
from agents.envs.schema import Observer
from agents.errors import AgentError, SchemaError
from agents.rules.rule import Rule, load_rule, sentences

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from sim.compile import Compiled

Rows = NDArray[np.int64]
Values = NDArray[np.int64]

_CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


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
    def says(self) -> list[str]:
        """What the rule does beside constant setpoints, in words."""
        return sentences(self.rule, self.compiled.plant)

    @property
    def static(self) -> bool:
        """Whether the rule is a set of constant setpoints."""
        return self.rule.static

    @property
    def kinds(self) -> int:
        """All kinds of events where a number by condition moves what may move at any time; 0: at equal intervals."""
        return decision_kinds(EVENTS, None) if self.rule.free(self.compiled.plant) else 0

    @property
    def epoch_s(self) -> float | None:
        """The usual interval of the plant."""
        return None

    def act(self, rows: Rows) -> Values:
        """Setpoints [R, C] of the rule in these states."""
        return self.rule.act(rows, self.compiled, self.grid)


@dataclass(frozen=True, slots=True)
class PolicyController:
    """A trained policy on a plant, without exploration. `over`: the rule inside whose setpoints it moves."""

    bundle: bundle.Bundle
    observer: Observer
    grid: Grid
    over: RuleController | None = field(default=None, kw_only=True)

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
        return decided(self.bundle.network, self.grid, self.over, self.observer(rows), rows)


def policy(folder: Path, compiled: Compiled, signer: Ed25519PublicKey | None = None) -> PolicyController:
    """The verified policy in a folder, for this plant; signed with that key, where one is asked for."""
    observer = Observer(compiled)
    grids = {grid.hash: grid for grid in (Grid(as_switches(compiled.plant)), Grid(compiled.plant))}
    loaded = bundle.load(folder, observer.hash, tuple(grids)[::-1], signer)
    grid = grids[loaded.spec["action"]["hash"]]
    observer.use_scaling(loaded.spec["observation"]["scaling"])
    check_interval(f"{folder}, policy.json", loaded.epoch_s, compiled)
    decision_kinds(loaded.decide, loaded.decide_on)  # a bundle of events that nobody knows is refused here
    over = None if loaded.over is None else rule_on(loaded.over, compiled, grid, f"the rule in {folder}/policy.json")
    return PolicyController(loaded, observer, grid, over=over)


def rule(path: Path, compiled: Compiled) -> RuleController:
    """The rule in a JSON file, for this plant."""
    return rule_on(load_rule(path), compiled, Grid(compiled.plant), str(path))


def rule_on(found: Rule, compiled: Compiled, grid: Grid, where: str) -> RuleController:
    """A rule that names this plant's controls and stocks; `SchemaError` says `where` one that does not is."""
    try:
        found.check(compiled.plant, grid)
    except SchemaError as e:
        raise SchemaError(f"{where} is no rule for plant {compiled.plant.id}: {e}") from e
    return RuleController(found, compiled, grid)


def _shipped(what: str, file: Path, compiled: Compiled) -> Path:
    """The file of what is shipped for this plant; `AgentError` says how to make one where nothing is."""
    if file.exists():
        return file
    plant = compiled.plant.id
    how = {
        "rule": f"make one with `plantwin tune {plant} --out rule.json` and say rule.json in place of rule",
        "policy": f"make one with `plantwin train {plant} --out DIR` and say DIR in place of policy",
    }
    raise AgentError(
        f"{what}: expected one that is shipped for plant {plant}, found none; {how[what]}, or say nothing to compare "
        f"with the plant file's setpoints"
    )


def controller(
    what: str, compiled: Compiled, signer: Ed25519PublicKey | None = None, allow_code: bool = False
) -> Controller:
    """The controller that a word or path means.

    `nothing`: the plant file's setpoints; `rule`, `policy`: those shipped for this plant; a folder: a policy bundle
    (signed with the key `signer`, where one is asked for); a file `*.json`: a rule, or a table of `plantwin policy
    table`; `*.onnx`: a policy from elsewhere;
    `cap=8,level=30`: fixed setpoints (every control once); `module:name`: a Python callable, with `allow_code` only;
    `rollout:` and any of these: one step of improvement over it, by simulation at each decision.
    """
    if what.startswith("rollout:"):
        from agents.control.lookahead import Rollout

        return Rollout(controller(what.removeprefix("rollout:"), compiled, signer, allow_code), compiled)
    shipped = bundle.BUNDLED / compiled.plant.id
    if what == "nothing":
        return Hold()
    if what == "rule":
        return rule(_shipped(what, shipped / "rule.json", compiled), compiled)
    if what == "policy":
        return policy(_shipped(what, shipped / "policy.json", compiled).parent, compiled, signer)
    path = Path(what)
    if path.is_dir():
        return policy(path, compiled, signer)
    if path.suffix == ".json":
        from agents.exact.played import is_table, played

        return played(path, compiled) if is_table(path) else rule(path, compiled)
    if "=" in what:
        grid = Grid(compiled.plant)
        fixed = Rule(_pairs(what))
        fixed.check(compiled.plant, grid)
        return RuleController(fixed, compiled, grid)
    if path.suffix == ".onnx":
        from agents.bundles.onnxpolicy import onnx_policy

        return onnx_policy(path, compiled)
    if _CALLABLE.fullmatch(what):
        from agents.control.own import python_policy

        return python_policy(what, compiled, allow_code)
    raise AgentError(
        f"{what!r}: expected nothing, rule, policy, the folder of a policy, a rule's .json file, an .onnx file, "
        f"CONTROL=VALUE,..., MODULE:CALLABLE, or rollout: and one of these"
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
