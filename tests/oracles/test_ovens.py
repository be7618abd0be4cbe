"""The exact figures of ovens against single servers, limits and a run followed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles import queues
from tests.oracles.chain import long_run
from tests.oracles.ovens import arrivals, bulk, patient


@pytest.mark.parametrize("phases", [None, 1, 3])
def test_an_oven_for_one_part_is_a_single_server(phases: int | None) -> None:
    known = queues.mg1(0.6, 1.0, 0.0 if phases is None else phases**-0.5)
    found = bulk(0.6, 1, 1, 1.0, phases)
    assert (found.queue, found.wip, found.flow_time) == pytest.approx((known.queue, known.wip, known.flow_time))
    assert (found.work, found.batch) == pytest.approx((0.6, 1.0))


def test_an_oven_with_exponential_times_is_a_markov_chain() -> None:
    rate, pace, least, most = 1.3, 0.5, 2, 4

    def moves(state: tuple[int, int]) -> list[tuple[float, tuple[int, int]]]:
        queue, busy = state

        def settled(waiting: int, at_work: int) -> tuple[int, int]:
            return (waiting - min(waiting, most), min(waiting, most)) if not at_work and waiting >= least else (
                waiting, at_work
            )  # fmt: skip

        found = [(pace, settled(queue, 0))] if busy else []
        return [*found, (rate, settled(queue + 1, busy))] if queue < 100 else found

    chain = long_run((0, 0), moves)
    known = bulk(rate, least, most, 1 / pace, 1)
    assert known.queue == pytest.approx(chain.mean(lambda s: s[0]), rel=1e-6)
    assert known.wip == pytest.approx(chain.mean(lambda s: s[0] + s[1]), rel=1e-6)
    assert known.work == pytest.approx(chain.share(lambda s: s[1] > 0), rel=1e-6)


def test_arrivals_during_a_service() -> None:
    assert arrivals(2.0, 1.5, None)[:2] == pytest.approx(np.exp(-3.0) * np.array([1.0, 3.0]))
    assert arrivals(2.0, 1.5, 1)[:2] == pytest.approx([1 / 4, 3 / 16]), "exponential: geometric"


def test_patience_without_end_is_the_rule_of_the_least_batch_and_none_is_a_start_at_once() -> None:
    forever, at_once = patient(0.8, 4, 1e6, 2.0), patient(0.8, 4, 1e-9, 2.0)
    known, single = bulk(0.8, 4, 300, 2.0), bulk(0.8, 1, 300, 2.0)
    assert (forever.queue, forever.work) == pytest.approx((known.queue, known.work), rel=1e-6)
    assert (at_once.queue, at_once.work) == pytest.approx((single.queue, single.work), rel=1e-6)


def test_patience_against_cycles_followed_singly() -> None:
    rate, least, wait, mean, rng = 0.8, 4, 2.5, 2.0, np.random.default_rng(1)
    idle, area = [], []
    for _ in range(20_000):
        came = np.sort(rng.uniform(-mean, 0.0, rng.poisson(rate * mean)))  # the service ended at 0
        later = np.cumsum(rng.exponential(1 / rate, least))
        times = np.concatenate([came, later])
        start = 0.0 if len(came) >= least else max(0.0, min(times[least - 1], times[0] + wait))
        idle.append(start)
        area.append(float((start - np.maximum(times[times < start], 0.0)).sum()))
    cycle = np.array(idle) + mean
    known = patient(rate, least, wait, mean)
    queue = (np.mean(area) + rate * mean**2 / 2) / cycle.mean()
    assert queue == pytest.approx(known.queue, rel=0.015)
    assert mean / cycle.mean() == pytest.approx(known.work, rel=0.01)
