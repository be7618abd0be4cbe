"""Verdicts told from chance: exact binomial tails by fractions, how often a right twin is called wrong, and by whom."""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest

from twin.fidelity import certify
from twin.scores import Group, Scores
from twin.verdict import (
    ALONE,
    AMBER_COVER,
    AMBER_LEVEL,
    HALF,
    RED_COVER,
    RED_LEVEL,
    SEEN,
    aside,
    biased,
    inside,
    limits,
    needed,
    worse,
)

QUARTER = 900_000


def tail(hits: int, n: int, cover: float) -> Fraction:
    """P(X <= hits) of n at `cover`, exactly."""
    p = Fraction(str(cover))
    return sum((comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(hits + 1)), Fraction(0))


@pytest.mark.parametrize("lines", [1, 24, 60, 300])
@pytest.mark.parametrize("n", [10, 11, 28, 96, 200])
def test_limits_are_the_last_hits_whose_exact_tail_is_small_enough(n: int, lines: int) -> None:
    for most, cover, level in zip(limits(n, lines), (RED_COVER, AMBER_COVER), (RED_LEVEL, AMBER_LEVEL), strict=True):
        allowed = Fraction(str(level)) / 2 / lines
        assert most < 0 or tail(most, n, cover) <= allowed
        assert tail(most + 1, n, cover) > allowed


def test_eleven_forecasts_of_one_among_sixty() -> None:
    """7 of 11 inside has 1.9 % where 90 % is true: doubtful of one series, to be expected of sixty."""
    assert float(tail(7, 11, 0.9)) == pytest.approx(0.018535, abs=1e-6)
    assert 1 - float(1 - tail(7, 11, 0.9)) ** 60 == pytest.approx(0.6745, abs=1e-3)
    assert (inside(7, 11, None), inside(4, 11, None), inside(8, 11, None)) == ("amber", "red", "")
    assert limits(11, 60) == (1, 4)
    assert float(tail(4, 11, 0.85)) == pytest.approx(3.219e-4, rel=1e-3), "under 0.05 / 2 / 60"
    assert (inside(7, 11, 60), inside(5, 11, 60), inside(4, 11, 60), inside(1, 11, 60)) == ("", "", "amber", "red")


@pytest.mark.parametrize(("lines", "n"), [(6, 19), (24, 26), (60, 28), (120, 30)])
def test_how_many_forecasts_a_good_word_needs(lines: int, n: int) -> None:
    """A series that is inside half of the time is found in four cases of five, one forecast earlier it is not."""
    assert needed(lines) == n
    assert tail(limits(n, lines)[1], n, HALF) >= SEEN > tail(limits(n - 1, lines)[1], n - 1, HALF)


@pytest.mark.parametrize("lines", [24, 60, 300])
def test_a_page_of_right_forecasts_looked_at_two_hundred_times_is_hardly_ever_called_wrong(lines: int) -> None:
    """Exactly, by the distribution of hits of those never called: the chance that any of the lines ever is."""
    still, called = np.array([1.0]), 0.0
    for n in range(1, 201):
        still = np.append(still * 0.1, 0.0) + np.append(0.0, still * 0.9)
        if n >= ALONE and (most := limits(n, lines)[1]) >= 0:
            called += still[: most + 1].sum()
            still[: most + 1] = 0.0
    assert 0 < called * lines < 0.01


def test_those_judged_alone_are_judged_as_ever() -> None:
    """What switches advice off: most hits of n that are red and amber by Wilson's interval, as they were."""
    found = [[sum(inside(h, n, None) == c for h in range(n + 1)) for c in ("red", "amber")] for n in (10, 11, 48, 200)]
    assert found == [[4, 3], [5, 3], [29, 7], [135, 26]]


def test_a_burst_that_has_not_come_is_no_bias_and_a_real_one_is() -> None:
    rng = np.random.default_rng(4)
    quiet = [
        float(s) for s in rng.uniform(0, 0.4966, 12)
    ]  # a right forecast of 0.7 parts on the mean, of which none came
    assert biased([0.7] * 11 + [0.71], quiet, 0.5, None)
    assert not biased([0.7] * 11 + [0.71], quiet, 0.5, 60)
    assert biased([3.0 + 0.1 * k for k in range(30)], [0.05] * 30, 0.5, 60)
    assert aside([0.5] * 9) == aside([0.5] * 40) == 1.0
    assert aside([0.25] * 12) == pytest.approx(0.0027, abs=1e-4), "three standard deviations"


def test_worse_than_standing_still_by_a_hair_is_chance_among_many() -> None:
    ours, theirs = [1.0, 0.5, 1.5, 0.8] * 5, [0.9, 0.6, 1.4, 0.7] * 5
    assert worse(ours, theirs, None)
    assert worse([2.0 + x for x in ours], theirs, 60)
    assert not worse([1.0, 0.0] * 10, [0.0, 0.9] * 10, 60)
    assert not worse([0.1] * 20, [0.0] * 20, None), "standing still was perfect: nothing can be said"


def page(n: int, seed: int, hits: dict[str, float] | None = None, stations: int = 28) -> dict[str, Any]:
    """The certificate of a plant of many stations whose forecasts are right, but for the coverage of some."""
    rng, scores = np.random.default_rng(seed), Scores([])
    for name in ["wip", *(f"{kind}/s{k}" for k in range(stations) for kind in ("at", "out"))]:
        group = Group()
        for i in range(n):
            share = float(rng.uniform())
            covered = rng.uniform() < hits[name] if hits and name in hits else 0.05 < share < 0.95
            group.add({"t": QUARTER * i, "value": 20 + 8 * (share - 0.5), "mean": 20.0, "share": share,
                       "covered": bool(covered), "crps": 1.0, "still": float(rng.uniform(0.5, 2.5))})  # fmt: skip
        scores.groups[name, 900] = group
    return certify(scores, QUARTER * n, {})


def test_a_page_says_too_early_until_it_can_tell() -> None:
    found = page(11, 1)
    told = [one for one in found["lines"] if one["name"] != "wip"]
    assert {one["light"] for one in told} == {"unknown"}
    assert {one["why"][0] for one in told} == {"too early: 11 of 28 forecasts"}
    assert {one["need"] for one in told} == {needed(56)} == {28}
    assert found["lines"][-1]["need"] == 10
    assert set(found["stations"].values()) == {"unknown"}
    assert set(page(28, 1)["stations"].values()) == {"green"}


def test_right_pages_stay_clean_and_a_wrong_series_is_found_at_once() -> None:
    lights = [one["light"] for seed in range(12) for one in page(40, seed)["lines"] if one["name"] != "wip"]
    assert (len(lights), lights.count("red"), lights.count("amber")) == (12 * 56, 0, 0)
    early = page(14, 3, {"at/s3": 0.0})
    assert early["stations"]["s3"] == "red", "told from chance before the others may be called green"
    assert sorted(set(early["stations"].values())) == ["red", "unknown"]
    assert page(11, 3, {"wip": 0.0})["light"] == "red", "what advice rests on is judged from ten on"
