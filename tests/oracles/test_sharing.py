"""The chains of shared servers, pools and kits against closed forms and limits."""

from __future__ import annotations

from math import sqrt

import pytest

from tests.oracles import queues
from tests.oracles.sharing import Families, Kit, Place, assembly, exhaustive, in_turn, pooled

QUICK = (1e-4, 1e-4)


def test_a_server_without_setups_obeys_the_conservation_law() -> None:
    chain = exhaustive(Families((0.2, 0.3), (1.0, 0.8), QUICK))
    loads = (0.2, 0.3 / 0.8)
    waits = chain.mean(lambda s: s[0]) / 0.2, chain.mean(lambda s: s[1]) / 0.3
    residual = 0.2 / 1.0**2 + 0.3 / 0.8**2
    known = sum(loads) * residual / (1 - sum(loads))
    assert loads[0] * waits[0] + loads[1] * waits[1] == pytest.approx(known, rel=1e-3)
    assert chain.share(lambda s: s[3] == "work") == pytest.approx(sum(loads), rel=1e-6)


def test_equal_families_in_turn_are_an_mg1_queue() -> None:
    # every other part on average, whatever came before, needs a setup
    work, setup = 1.0, 0.5
    mean = work + setup / 2
    second = 2 * work**2 + 2 * work * setup / 2 + 2 * setup**2 / 2
    known = queues.mg1(0.6, mean, sqrt(second - mean**2) / mean)
    chain = in_turn(Families((0.3, 0.3), (1 / work, 1 / work), (setup, setup)))
    assert chain.mean(lambda s: s[0]) == pytest.approx(known.queue, rel=1e-4)
    assert chain.share(lambda s: s[2] == "setup") == pytest.approx(0.6 * setup / 2, rel=1e-6)


def test_staying_with_a_family_saves_setups() -> None:
    given = Families((0.25, 0.35), (1.0, 1.25), (0.6, 0.4))
    stays, turns = exhaustive(given), in_turn(given)
    assert stays.share(lambda s: s[3] == "setup") < 0.8 * turns.share(lambda s: s[2] == "setup")
    assert stays.mean(lambda s: s[0] + s[1]) < turns.mean(lambda s: s[0])


def test_with_people_enough_stations_are_on_their_own() -> None:
    chain = pooled([Place(0.5, 1.0), Place(0.9, 0.8, units=2)], 3)
    assert chain.mean(lambda s: s[0][0]) == pytest.approx(queues.mm1(0.5, 1.0).queue, rel=1e-6)
    assert chain.mean(lambda s: s[0][1]) == pytest.approx(queues.mmc(0.9, 0.8, 2).queue, rel=1e-6)


def test_one_operator_for_equal_stations_is_one_server() -> None:
    chain = pooled([Place(0.3, 1.0), Place(0.3, 1.0)], 1)
    assert chain.mean(lambda s: sum(s[0])) == pytest.approx(queues.mm1(0.6, 1.0).queue, rel=1e-6)


def test_one_operator_with_priorities_is_cobhams_queue() -> None:
    chain = pooled([Place(0.3, 1.0, priority=1), Place(0.3, 1.5)], 1)
    residual, urgent = 0.3 / 1.0 + 0.3 / 1.5**2, 0.3 / 1.5
    first = residual / (1 - urgent)
    second = residual / ((1 - urgent) * (1 - urgent - 0.3))
    assert chain.mean(lambda s: s[0][1]) == pytest.approx(0.3 * first, rel=1e-6)
    assert chain.mean(lambda s: s[0][0]) == pytest.approx(0.3 * second, rel=1e-6)


def test_who_needs_more_people_is_not_passed_over() -> None:
    # both people are wanted by the second station: while it waits the first one may not start
    chain = pooled([Place(0.4, 1.0, units=2), Place(0.2, 1.0, people=2)], 2)
    assert chain.share(lambda s: s[2][:1] == (1,) and s[1] == (1, 0)) > 0.02
    assert chain.share(lambda s: s[1][0] == 2 and s[1][1] == 1) == 0.0


def test_a_kit_with_one_place_each_starts_when_the_last_is_there() -> None:
    a, b, c = 1.0, 0.7, 1.2
    longest = 1 / a + 1 / b + 1 / c - 1 / (a + b) - 1 / (a + c) - 1 / (b + c) + 1 / (a + b + c)
    chain = assembly(Kit((a, b), (1, 1), (1, 1), c))
    assert c * chain.share(lambda s: s[2]) == pytest.approx(1 / longest)


def test_a_kit_with_much_of_everything_is_its_slowest_part() -> None:
    chain = assembly(Kit((1.0, 5.0), (40, 40), (1, 2), 2.0))
    assert 2.0 * chain.share(lambda s: s[2]) == pytest.approx(1.0, rel=1e-3), "the first component"
    busy = assembly(Kit((6.0, 9.0), (40, 40), (1, 2), 2.0))
    assert busy.share(lambda s: s[2]) == pytest.approx(1.0, rel=1e-3)
