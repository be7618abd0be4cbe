"""The outbox never loses, never doubles, stays in its bounds, and covers every drop with a gap."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hardware.outbox import Limits, Outbox, Pending, issued, merged, pending, spans
from hardware.store import Store, StoreError

ROOT = "ptw/v1/s/a/l/cell1"
MAX = 6_000


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def make(kind: str, size: int) -> Pending:
    return Pending(kind, kind if kind != "cmdack" else "cmdack/c-1", {"pad": "x" * size})


class OutboxMachine(RuleBasedStateMachine):
    """A model that remembers every number and what became of it."""

    @initialize()
    def start(self) -> None:
        memory = Path("/dev/shm")  # the sync of a real disk would make this take minutes
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock = Clock()
        self.open()
        self.bodies: dict[int, bytes] = {}
        self.gaps: dict[int, tuple[int, int]] = {}
        self.hw = 0

    def open(self) -> None:
        self.store = Store(self.path)
        limits = Limits(max_bytes=MAX, max_age_s=100, event_age_s=1000)
        self.box = Outbox(self.store, ROOT, limits, self.clock)

    @rule(items=st.lists(st.tuples(st.sampled_from(["data", "event", "cmdack"]), st.integers(1, 400)), max_size=12))
    def append(self, items: list[tuple[str, int]]) -> None:
        expected = self.box.next
        made = self.box.append([make(k, n) for k, n in items])
        assert [m.s for m in made] == list(range(expected, expected + len(made)))  # one sequence, nothing skipped
        assert len(made) >= len(items)
        for m in made:
            body = json.loads(m.body)
            assert body["s"] == m.s
            assert body["e"] == self.box.epoch
            self.bodies[m.s] = m.body
            if m.kind == "gap":
                assert body["from"] <= body["to"] < m.s
                self.gaps[m.s] = (body["from"], body["to"])

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.clock.ms += seconds * 1000

    @precondition(lambda self: self.box.next > 1)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        hw = data.draw(st.integers(0, self.box.next - 1))
        self.box.confirm(hw)
        self.hw = max(self.hw, hw)

    @rule()
    def killed_and_back(self) -> None:
        self.store.close()
        epoch, following = self.box.epoch, self.box.next
        self.open()
        assert (self.box.epoch, self.box.next, self.box.hw) == (epoch, following, self.hw)

    @rule()
    def refuses_a_mark_from_the_future(self) -> None:
        with pytest.raises(ValueError, match="only"):
            self.box.confirm(self.box.next)

    @invariant()
    def every_number_is_accounted_for(self) -> None:
        if not hasattr(self, "box"):
            return
        stored = {m.s: m for m in self.box.stored(1, self.box.next, 100_000)}
        assert all(m.body == self.bodies[s] for s, m in stored.items())  # replayed as it was
        assert min(stored, default=self.hw + 1) > self.hw
        covered = {n for s, (a, b) in self.gaps.items() if s in stored or s <= self.hw for n in range(a, b + 1)}
        for s in range(self.hw + 1, self.box.next):
            assert s in stored or s in covered, s
        for m in stored.values():
            assert m.s not in covered  # never both alive and given up

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "box"):
            real = sum(len(m.body) + 64 for m in self.box.stored(1, self.box.next, 100_000))
            assert real == self.box.bytes <= MAX

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


OutboxMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestOutbox = OutboxMachine.TestCase


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "outbox.db")


def test_telemetry_goes_before_events(store: Store) -> None:
    with store:
        box = Outbox(store, ROOT, Limits(max_bytes=9_000))
        for _ in range(20):
            box.append([make("event", 50), make("data", 900)])
        kinds = [m.kind for m in box.stored(1, box.next, 1000)]
        assert kinds.count("event") == 20
        assert 0 < kinds.count("data") < 20
        assert box.dropped == 20 - kinds.count("data")


def test_two_sources_of_one_file_have_sequences_of_their_own(store: Store) -> None:
    with store:
        one, two = Outbox(store, ROOT), Outbox(store, ROOT + "b")
        with store.transaction():
            one.append([make("data", 1)])
            two.append([make("data", 1), make("event", 1)])
        assert store.commits >= 1
        assert one.epoch != two.epoch
        assert issued(store.path) == {(ROOT, one.epoch): 1, (ROOT + "b", two.epoch): 2}
        assert pending(store.path) == 3
        one.confirm(1)
        assert (one.count(), two.count()) == (0, 2)


def test_a_rolled_back_group_leaves_no_number(store: Store) -> None:
    with store:
        box = Outbox(store, ROOT)
        with pytest.raises(ValueError, match="kind"):
            box.append([make("data", 1), make("birth", 1)])
        assert box.next == 1
        assert box.count() == 0
        assert box.append([make("data", 1)])[0].s == 1


def test_a_new_epoch_starts_over_and_says_what_it_abandoned(store: Store) -> None:
    with store:
        box = Outbox(store, ROOT)
        old = box.epoch
        box.append([make("data", 1), make("data", 1)])
        assert box.new_epoch() == 2
        assert box.epoch != old
        assert box.next == 1
        assert box.bytes == 0


def test_a_foreign_file_and_another_layout_are_refused_in_a_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.db"
    bad.write_text("this is not a database, only some text that is long enough to be looked at" * 10)
    with pytest.raises(StoreError, match="move it away"):
        Store(bad)
    newer = Store(tmp_path / "new.db")
    newer.db.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StoreError, match="layout 99"):
        Store(tmp_path / "new.db")


def test_ranges() -> None:
    assert spans([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
    assert merged([(5, 6), (1, 2), (3, 3), (6, 9)]) == [(1, 3), (5, 9)]
