"""A single exponential server that keeps opening hours, while parts arrive at all times.

Within each part of the day the queue is a Markov chain with constant rates, so its law moves by a matrix exponential
(the forward equations; Kleinrock, "Queueing Systems I", 1975, section 2.4). The long run is the law at the opening that
a whole day reproduces; averages over the day are integrals of the law, by the exponential of a bordered matrix (Van
Loan, "Computing integrals involving the matrix exponential", 1978).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Day:
    """Means over a day: parts waiting, parts in the system, share of time at work, off, and open without a part."""

    queue: float
    wip: float
    work: float
    off: float
    starved: float


def shifted(arrival: float, service: float, open_for: float, closed_for: float, finishes: bool, far: int = 60) -> Day:
    """A server open for `open_for` and closed for `closed_for`, over and over. At closing it `finishes` the part in
    hand, or keeps it untouched until it opens.

    States: n parts in the system with the server entitled to work (n = 0 .. far), and n parts while it rests, all of
    them waiting. A server that finishes is entitled until its part ends; one that freezes rests at once, with its part.
    """
    size = far + 1
    up = arrival * (np.eye(size, k=1) - np.diag([1.0] * far + [0.0]))
    opened, closed = np.zeros((2 * size, 2 * size)), np.zeros((2 * size, 2 * size))
    opened[:size, :size] = up + service * (np.eye(size, k=-1) - np.diag([0.0] + [1.0] * far))
    closed[:size, :size] = up - service * np.diag([0.0] + [1.0] * far)
    closed[:size, size:] = service * np.eye(size, k=-1)
    closed[size:, size:] = up
    closes, opens = np.eye(2 * size), np.eye(2 * size)
    if finishes:
        closes[0, 0], closes[0, size] = 0.0, 1.0  # without a part it rests at once
    else:
        closes[:size] = np.eye(2 * size)[size:]
    opens[size:] = np.eye(2 * size)[:size]
    through_open, during_open = _both(opened, open_for)
    through_closed, during_closed = _both(closed, closed_for)
    day = through_open @ closes @ through_closed @ opens
    law = _kept(day[:size, :size])
    start = np.concatenate([law, np.zeros(size)])
    spent_open = start @ during_open
    at_closing = start @ through_open
    spent_closed = at_closing @ closes @ during_closed
    # a frozen part stays in the unit, while those that come to a closed server wait before it
    frozen = 0.0 if finishes else float(at_closing[1:size].sum()) * closed_for
    return _day(spent_open, spent_closed, open_for + closed_for, frozen)


def _both(rates: Values, time: float) -> tuple[Values, Values]:
    """exp(Q t), and its integral from 0 to t."""
    size = len(rates)
    bordered = np.zeros((2 * size, 2 * size))
    bordered[:size, :size], bordered[:size, size:] = rates, np.eye(size)
    found = expm(bordered * time)
    return found[:size, :size], found[:size, size:]


def _kept(day: Values) -> Values:
    """The law that a day reproduces."""
    system = day.T - np.eye(len(day))
    system[0] = 1.0
    law = np.linalg.solve(system, np.eye(len(day))[0])
    if law[-5:].sum() > 1e-9:
        raise ValueError("the server cannot do the work of a day, or hardly")
    return law


def _day(opened: Values, closed: Values, length: float, frozen: float) -> Day:
    size = len(opened) // 2
    n = np.arange(size)
    entitled, resting = (opened + closed)[:size] / length, (opened + closed)[size:] / length
    work = float(entitled[1:].sum())
    wip = float((entitled + resting) @ n)
    return Day(wip - work - frozen / length, wip, work, float(resting.sum()), float(opened[0]) / length)
