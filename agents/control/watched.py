"""A policy at work, and how often it decides in states outside what it has seen in training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.bundles.familiar import OUTSIDE, Familiar
from agents.control.controllers import Controller, PolicyController

if TYPE_CHECKING:
    Rows = NDArray[np.int64]

LOOKED_AT = 64
"""Replicas whose decisions are counted: all would take as long as the policy itself."""


@dataclass(slots=True)
class Watched:
    """A controller that is this policy, or asks nothing else; its decisions in the first `LOOKED_AT` replicas are
    looked at while `counts`.
    """

    who: Controller
    policy: PolicyController
    familiar: Familiar
    counts: bool = False
    decisions: int = field(default=0, init=False)
    outside: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """That of the policy."""
        return self.who.name

    @property
    def static(self) -> bool:
        """A policy looks at the state every time."""
        return False

    @property
    def epoch_s(self) -> float | None:
        """The policy's interval."""
        return self.who.epoch_s

    @property
    def kinds(self) -> int:
        """The kinds of events at which the policy decides."""
        return self.policy.kinds

    def act(self, rows: Rows) -> Rows | None:
        """Setpoints [R, C] of the policy in these states."""
        if self.counts:
            found = self.familiar.percentile(self.policy.observer(rows[:LOOKED_AT])) > OUTSIDE
            self.decisions += len(found)
            self.outside += int(found.sum())
        return self.who.act(rows)

    @property
    def share(self) -> float | None:
        """Share of the decisions looked at that were outside; None before the first."""
        return self.outside / self.decisions if self.decisions else None


def watched(who: Controller) -> Watched | None:
    """The policy (or a wrapper of one, by its attribute `who`), watched; None for what is no policy, or one whose
    bundle does not say what it has seen.
    """
    policy = who if isinstance(who, PolicyController) else getattr(who, "who", None)
    if not isinstance(policy, PolicyController):
        return None
    familiar = policy.bundle.familiar
    return None if familiar is None else Watched(who, policy, familiar)
