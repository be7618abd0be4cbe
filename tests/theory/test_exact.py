"""Every case whose long run is known: within three standard errors, and never off to one side."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
import pytest
from scipy.stats import chi2, norm

from tests.theory import (
    cases_lines,
    cases_maintenance,
    cases_networks,
    cases_priorities,
    cases_queues,
    cases_sharing,
    cases_supply,
)
from tests.theory.compare import Case, assert_case, estimates

CASES = (
    *cases_queues.CASES,
    *cases_networks.CASES,
    *cases_lines.CASES,
    *cases_maintenance.CASES,
    *cases_priorities.CASES,
    *cases_supply.CASES,
    *cases_sharing.CASES,
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_simulator_agrees_with_theory(case: Case) -> None:
    assert_case(case)


def deviations(word: str) -> Iterator[float]:
    """Of every case that knows a figure of this name, the deviation of the first one: they are independent."""
    for case in CASES:
        named = [figure for figure in case.exact if figure.rpartition(".")[2] == word]
        if named:
            yield estimates(case)[named[0]].z(case.exact[named[0]])


WORDS = ("throughput", "flow_time", "queue", "work", "starved", "blocked", "down")
CHANCE = 0.01 / (2 * len(WORDS))
"""Of each of the two tests of a word, so that all of them together fail by chance one time in a hundred."""


@pytest.mark.parametrize("word", WORDS)
def test_the_simulator_is_never_systematically_off(word: str) -> None:
    """Over all cases the deviations in standard errors have mean 0 and variance 1, as chance alone would make them."""
    z = np.array(list(deviations(word)))
    n = len(z)
    assert n >= 8, f"{n} cases know {word}: too few to speak of a system"
    assert abs(float(z.mean())) * sqrt(n) < norm.ppf(1 - CHANCE / 2), f"mean deviation {z.mean():+.2f} over {n} cases"
    lo, hi = chi2.ppf([CHANCE / 2, 1 - CHANCE / 2], n - 1)
    assert lo < float(z.var(ddof=1)) * (n - 1) < hi, f"variance {z.var(ddof=1):.2f} of {n} deviations"
