"""For all tests: the same examples in every run of the continuous integration, other ones at every developer's; one
thread for linear algebra.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from agents.control.rollout import Span
    from sim.compile import Compiled

# Read when numpy and torch are imported, by the processes that tests start too. Tests run beside each other: a product
# of small matrices by as many threads as there are cores waits, spinning, for cores that others have: twenty to a
# hundred times the CPU time on two busy cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A run that lands or rejects a change must not depend on luck; new counterexamples are looked for at the desk.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture
def briefly_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training judges its policies by a day of each replica: for tests of what it does, not of how good it gets.

    Most of a small training is else its verdicts: `line3` is judged by five weeks, three hundred times.
    """
    from agents.control.rollout import Span

    def span(compiled: Compiled) -> Span:
        return Span(compiled.ticks(3600.0), compiled.ticks(7200.0), compiled.ticks(86_400.0))

    for module in ("rules.tune", "training.learning", "evaluation.evaluate"):
        monkeypatch.setattr(f"agents.{module}.judge_span", span)
