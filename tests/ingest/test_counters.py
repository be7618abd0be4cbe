"""Counters: whatever wraps and resets, the unwrapped total is the true count or says that it may not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.counters import Counter
from ingest.wire import GOOD, UNCERTAIN


@given(st.integers(0, 65535), st.lists(st.integers(0, 32_000), max_size=60))
def test_a_wrapping_register_gives_the_true_count(start: int, steps: list[int]) -> None:
    counter, true = Counter(bits=16), start
    counter.feed(start, 0)
    for step in steps:
        true += step
        total, quality = counter.feed(true % 65536, 1)
        assert (total, quality) == (true, GOOD)


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans()), max_size=60))
def test_resets_seen_live_lose_nothing(steps: list[tuple[int, bool]]) -> None:
    counter, register, true = Counter(bits=16, reset=True), 0, 0
    counter.feed(0, 0)
    for n, resets in steps:
        if resets and register:
            register = 0
            counter.feed(0, 1)
        register, true = register + n, true + n
        assert counter.feed(register, 1)[0] == true


def test_after_an_absence_a_resettable_counter_is_uncertain() -> None:
    counter = Counter(bits=16, reset=True)
    counter.feed(480, 0)
    assert counter.feed(500, 1, watched=False) == (500, UNCERTAIN)
    assert counter.feed(501, 2) == (501, GOOD)
    assert counter.feed(3, 3, watched=False) == (504, UNCERTAIN)
    plain = Counter(bits=16)
    plain.feed(480, 0)
    assert plain.feed(500, 1, watched=False) == (500, GOOD)


def test_a_huge_wrap_and_an_unexplained_drop_are_uncertain() -> None:
    counter = Counter(bits=16)
    counter.feed(40_000, 0)
    assert counter.feed(20_000, 1) == (40_000 - 20_000 + 65_536, UNCERTAIN)
    odd = Counter()
    odd.feed(100, 0)
    assert odd.feed(7, 1) == (107, UNCERTAIN)
    assert odd.surprises == 1


@pytest.mark.parametrize("raw", [-1, 65_536])
def test_an_impossible_value_changes_nothing(raw: int) -> None:
    counter = Counter(bits=16)
    counter.feed(10, 0)
    with pytest.raises(ValueError, match="register"):
        counter.feed(raw, 1)
    assert (counter.raw, counter.total) == (10, 10)


def test_an_event_counts_with_the_value_last_seen_or_one_that_its_change_passed_over() -> None:
    counter = Counter(bits=16)
    counter.feed(65_535, 0)
    counter.feed(2, 1)
    assert counter.leads_to(2) == 65_538
    assert counter.leads_to(1) == 65_537  # passed over by the newest change: an earlier part of the same moment
    assert counter.leads_to(65_535) is None
    assert counter.leads_to(3) is None
    counter.feed(2, 1)  # said twice
    assert [counter.leads_to(n) for n in (65_535, 0, 1, 2)] == [None, 65_536, 65_537, 65_538]
    counter.feed(3, 2)
    assert [counter.leads_to(n) for n in (2, 3)] == [None, 65_539]
