"""A server with opening hours against balance, M/M/1 and hours followed in small steps."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles import queues
from tests.oracles.hours import shifted


@pytest.mark.parametrize("finishes", [True, False])
def test_what_comes_is_done_and_the_day_has_its_length(finishes: bool) -> None:
    found = shifted(0.4, 1.0, 16.0, 8.0, finishes)
    assert found.work == pytest.approx(0.4)
    assert found.work + found.off + found.starved == pytest.approx(1.0)
    assert found.off < 8 / 24 if finishes else found.off == pytest.approx(8 / 24)


def test_hardly_ever_closed_is_an_mm1_queue() -> None:
    known = queues.mm1(0.6, 1.0)
    for finishes in (True, False):
        found = shifted(0.6, 1.0, 20.0, 1e-6, finishes)
        assert (found.wip, found.queue) == pytest.approx((known.wip, known.queue), rel=1e-4)


@pytest.mark.parametrize("finishes", [True, False])
def test_the_day_followed_in_small_steps(finishes: bool) -> None:
    # Euler's method with a step of a hundredth: parts n, with one in hand or not
    arrival, service, open_for, closed_for, step, far = 0.5, 1.0, 6.0, 2.0, 0.01, 40
    idle, hand = np.zeros(far), np.zeros(far)  # by parts waiting
    idle[0] = 1.0
    area = [0.0, 0.0]
    for day in range(16):
        for opened, length in ((True, open_for), (False, closed_for)):
            for _ in range(round(length / step)):
                if opened:  # a free server takes a part at once
                    hand[:-1] += idle[1:]
                    idle[1:] = 0.0
                served = service * hand * (opened or finishes)
                new_idle = idle + step * (np.roll(idle, 1) * arrival - idle * arrival + served)
                new_hand = hand + step * (np.roll(hand, 1) * arrival - hand * arrival - served)
                idle, hand = new_idle, new_hand
                if day == 15:
                    area[0] += step * float((idle + hand) @ np.arange(far))
                    area[1] += step * float(hand.sum())
    found = shifted(arrival, service, open_for, closed_for, finishes, 60)
    assert area[0] / (open_for + closed_for) == pytest.approx(found.queue, rel=0.02)
    assert area[1] / (open_for + closed_for) == pytest.approx(found.wip - found.queue, rel=0.02)
