"""The exact filter against chains worked by hand, and against counting paths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles.bayes_filter import FREE, WORKS, BayesFilter, Line, Spec, path, wip

A, B = 0.7, 0.4


def test_two_states_by_hand() -> None:
    """A source that is seen feeds a machine that is not; nothing leaves unseen but its ends.

    After the first end of the source at any time the second machine works; given no further end of the source (rate A,
    which tells nothing of the second machine), it has ended by t with probability 1 - exp(-B t).
    """
    line = Line((Spec(A), Spec(B, places=5)), seen=(0,))
    exact = BayesFilter(line)
    assert exact.silence(2.0) == pytest.approx(math.exp(-A * 2.0))
    assert exact.see(((1,), (WORKS,))) == pytest.approx(A)
    assert exact.mean() == pytest.approx([1.0, 1.0])
    assert exact.silence(1.5) == pytest.approx(math.exp(-A * 1.5))
    assert exact.mean()[1] == pytest.approx(math.exp(-B * 1.5))
    # a second part comes: with p = exp(-B t) it waits behind the first one
    exact.see(((1,), (WORKS,)))
    assert exact.mean()[1] == pytest.approx(1.0 + math.exp(-B * 1.5))


def test_silence_speaks_against_what_would_have_been_seen() -> None:
    """A hidden machine with failures (up, at work) before one that is seen to starve: silence says that it is down.

    With work rate m, failure rate f, repair rate r: the unnormalised probabilities of (up, down) follow
    u' = -(m + f) u + r d, d' = f u - r d; its solution by the eigenvalues of that 2 x 2 matrix.
    """
    m, f, r, t = 1.0, 0.2, 0.05, 6.0
    line = Line((Spec(1e-9), Spec(m, fails=f, repair=r), Spec(5.0)), seen=(0, 2))
    start = ((0, WORKS, 1, 1), (0, WORKS, 1, 1), (0, FREE, 0, 1))
    exact = BayesFilter(line, start)
    exact.silence(t)
    values, vectors = np.linalg.eig(np.array([[-(m + f), r], [f, -r]]))
    up, down = vectors @ (np.exp(values * t) * np.linalg.solve(vectors, [1.0, 0.0]))
    assert exact.is_down()[1] == pytest.approx(down / (up + down), rel=1e-6)
    assert exact.is_down()[1] > 0.9


def test_blocking_is_evidence() -> None:
    """A blocked source with no place between: the next machine holds a part for sure."""
    line = Line((Spec(A), Spec(B)), seen=(0,))
    exact = BayesFilter(line)
    exact.see(((1,), (WORKS,)))
    exact.silence(1.0)
    exact.see(((1,), (2,)))  # ended, and blocked
    assert exact.mean()[1] == pytest.approx(1.0)


def test_beliefs_are_calibrated() -> None:
    """Over many paths the expected WIP of the hidden machines, given what was seen, is right on average."""
    line = Line((Spec(1.0), Spec(1.1, stages=2, places=2, fails=0.05, repair=0.2), Spec(1.2, places=2)), seen=(0, 2))
    rng, errors = np.random.default_rng(3), []
    for _ in range(60):
        exact, before = BayesFilter(line), 0.0
        state = line.empty()
        for t, after, shown in path(line, 60, rng):
            if shown is not None:
                exact.silence(t - before)
                exact.see(shown)
                before = t
            state = after
        exact.silence(t - before) if t > before else None
        errors.append(np.array(wip(state)) - exact.mean())
    found = np.array(errors)
    assert np.all(np.abs(found.mean(axis=0)) < 4.0 * found.std(axis=0) / np.sqrt(len(found)) + 1e-9)
