"""The watermark against the obvious model: a set of numbers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest import watermark
from ingest.watermark import Mark, acceptable, add, begin, has, holes, missing, newest


class AgainstASet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.mark = begin(5)
        self.model: set[int] = set()

    @rule(low=st.integers(0, 60), length=st.integers(0, 12))
    def put(self, low: int, length: int) -> None:
        self.mark = add(self.mark, low, low + length)
        self.model |= {n for n in range(low, low + length + 1) if n >= 5}

    @rule(n=st.integers(5, 80))
    def put_one(self, n: int) -> None:
        self.mark = add(self.mark, n, n)
        self.model.add(n)

    @invariant()
    def agrees(self) -> None:
        mark = self.mark
        assert all(has(mark, n) == (n < 5 or n in self.model) for n in range(100))
        hw = 4
        while hw + 1 in self.model:
            hw += 1
        assert mark.hw == hw
        assert newest(mark) == max(self.model, default=4)
        gone = sorted(set(range(5, newest(mark) + 1)) - self.model)
        assert [n for a, b in holes(mark) for n in range(a, b + 1)] == gone
        assert missing(mark) == len(gone)

    @invariant()
    def is_normal(self) -> None:
        """Runs are sorted, disjoint, apart from each other and above hw + 1: one value for one set."""
        edge = self.mark.hw
        for a, b in self.mark.runs:
            assert edge + 1 < a <= b
            edge = b


TestAgainstASet = AgainstASet.TestCase
TestAgainstASet.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=10))
def test_order_and_repetition_do_not_matter(order: list[int], more: list[int]) -> None:
    mark = begin(0)
    for n in [*order, *more]:
        mark = add(mark, n, n)
    assert mark == Mark(0, 11)


def test_holes_up_to_a_number_only_heard_of() -> None:
    mark = add(begin(1), 3, 4)
    assert holes(mark, seen=7) == [(1, 2), (5, 7)]
    assert holes(mark, seen=7, limit=1) == [(1, 2)]
    assert missing(mark, 7) == 5


def test_a_forged_number_opens_no_endless_hole() -> None:
    mark = add(begin(1), 1, 10)
    assert acceptable(mark, 11) is None
    assert acceptable(mark, 10 + watermark.MAX_JUMP) is None
    assert "more than" in (acceptable(mark, 11 + watermark.MAX_JUMP) or "")


def test_a_source_of_holes_is_stopped_but_may_fill_them() -> None:
    mark = Mark(0, -1, tuple((2 * n + 1, 2 * n + 1) for n in range(watermark.MAX_RUNS)))
    assert acceptable(mark, newest(mark) + 2) is not None
    assert acceptable(mark, newest(mark) + 1) is None
    assert acceptable(mark, 0) is None
