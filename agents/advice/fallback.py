"""A policy is asked with a time limit: one that hangs, raises or answers nonsense is left out, and the rule decides.

The policy runs in a thread of its own; a thread cannot be ended from outside, so while one still hangs the policy is
not asked again, and at most one such thread exists. (Code that never lets go of the interpreter stops its process all
the same: the supervisor restarts that, and the twin goes on without it.)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.control.controllers import PolicyController, Rows, Values

BUDGET_S = 5.0
"""Wall seconds that a policy may take for the presents of one decision moment (the shipped ones need milliseconds)."""


@dataclass(frozen=True, slots=True)
class Answered(PolicyController):
    """A policy that has answered: `values` [R, C] for `rows` [R, W] are not asked for again."""

    rows: Rows
    values: Values

    def act(self, rows: Rows) -> Values | None:
        """Setpoints [R, C] of the policy in these states."""
        return self.values if rows is self.rows else PolicyController.act(self, rows)


class _Question:
    """One call in a daemon thread; `answer` or `error` is set when it has ended."""

    def __init__(self, policy: PolicyController, rows: Rows) -> None:
        self.answer: Any = None
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=(policy, rows), name="policy", daemon=True)
        self.thread.start()

    def _run(self, policy: PolicyController, rows: Rows) -> None:
        try:
            self.answer = policy.act(rows)
        except Exception as error:  # noqa: BLE001 - whatever a policy raises, the rule decides
            self.error = error


class Guard:
    """Asks and counts. `late`, `failed`: decision moments at which the policy did not answer in time, and at which it
    raised or answered nonsense. `why` is "" while it answers.
    """

    def __init__(self, budget_s: float = BUDGET_S) -> None:
        self.budget_s = budget_s
        self.late = self.failed = 0
        self.why = ""
        self._open: _Question | None = None

    def ask(self, policy: PolicyController | None, rows: Rows) -> Answered | None:
        """The policy with its answer for these rows [R, W]; None, and `why`, where there is none."""
        if policy is None:
            self.why = ""
            return None
        if self._open is not None and self._open.thread.is_alive():
            self.late += 1
            self.why = "the policy has still not answered an earlier question"
            return None
        self._open = question = _Question(policy, rows)
        question.thread.join(self.budget_s)
        if question.thread.is_alive():
            self.late += 1
            self.why = f"the policy did not answer within {self.budget_s:g} s"
            return None
        problem = self._problem(question, (len(rows), policy.grid.size))
        if problem:
            self.failed += 1
            self.why = problem
            return None
        self.why = ""
        return Answered(policy.bundle, policy.observer, policy.grid, rows, question.answer, over=policy.over)

    @staticmethod
    def _problem(question: _Question, shape: tuple[int, int]) -> str:
        if question.error is not None:
            return f"the policy failed: {type(question.error).__name__}: {str(question.error)[:200]}"
        found = question.answer
        if not isinstance(found, np.ndarray) or found.shape != shape:
            return f"the policy answered {getattr(found, 'shape', type(found).__name__)}, expected setpoints of {shape}"
        return "" if np.isfinite(found).all() else "the policy answered numbers that are not finite"

    def told(self) -> dict[str, Any]:
        """What the twin is told: `{ok, why, late, failed}`."""
        return {"ok": not self.why, "why": self.why, "late": self.late, "failed": self.failed}
