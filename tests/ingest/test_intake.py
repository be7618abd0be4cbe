"""What becomes of messages, without any broker: against a model, and case by case."""

from __future__ import annotations

import random
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.asking import Asking
from ingest.intake import Intake
from ingest.journal import Batch, Journal
from ingest.ledger import Ledger
from ingest.message import Message
from ingest.topicmap import Rule, TopicMap
from ingest.wire import CmdAck, Data, Event, Gap, Status, Supply, Trouble, encode, topic
from tests.ingest.kit import CELL1, CELL2, LINE, birth, data, said

D = topic(CELL1, "data")
B = topic(CELL1, "birth")


class Keep:
    """Takes messages in batches and keeps all rows, as a journal would."""

    def __init__(self, topics: TopicMap | None = None) -> None:
        self.intake = Intake(LINE, topics or TopicMap())
        self.rows: list[tuple[int, int, str, str, str | None, int | None, bytes]] = []

    def take(self, *messages: Message) -> Batch:
        batch = self.intake.take(list(messages))
        self.rows += batch.rows
        return batch

    def numbers(self, source: str = CELL1) -> list[int]:
        return [row[5] for row in self.rows if row[3] == source and row[5] is not None]

    @property
    def rejected(self) -> dict[str, int]:
        return self.intake.ledger.rejected


def born() -> Keep:
    keep = Keep()
    keep.take(said(B, birth(), retain=True))
    return keep


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 25), st.lists(st.integers(1, 25), max_size=60), st.integers(1, 9), st.randoms(use_true_random=False)
)
def test_any_order_and_repetition_ends_in_each_number_once(
    count: int, again: list[int], size: int, rnd: random.Random
) -> None:
    """The journal's content does not depend on order, duplicates or how messages fall into batches."""
    sent = [*range(1, count + 1), *(n for n in again if n <= count)]
    rnd.shuffle(sent)
    keep = born()
    messages = [said(D, data(n)) for n in sent]
    for start in range(0, len(messages), size):
        keep.take(*messages[start : start + size])
    assert sorted(keep.numbers()) == list(range(1, count + 1))
    entry = keep.intake.ledger.source(CELL1)
    assert (entry.hw, entry.newest, entry.hole) == (count, count, 0)
    assert entry.received == len(sent) + 1
    assert entry.duplicate == len(sent) - count
    assert entry.accepted == count + 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), unique=True, max_size=30), st.integers(0, 30))
def test_a_restart_anywhere_continues_where_it_was(
    tmp_path_factory: pytest.TempPathFactory, sent: list[int], cut: int
) -> None:
    """Restored from the journal after any batch, the intake decides as the one that went on."""
    with closing(Journal(tmp_path_factory.mktemp("restart") / "j.db")) as journal:
        one = Intake(LINE)
        journal.commit(one.take([said(B, birth(), retain=True)]))
        journal.commit(one.take([said(D, data(n)) for n in sent[:cut]]))
        two = Intake.restore(LINE, TopicMap(), journal)
    rest = [said(D, data(n)) for n in [*sent[cut:], *sent[:3]]]
    first, second = one.take(rest), two.take(rest)
    assert [row[4:] for row in first.rows] == [row[4:] for row in second.rows]
    assert first.marks == second.marks
    assert one.ledger.sources == two.ledger.sources
    assert one.clock == two.clock


def test_bad_messages_are_counted_and_change_nothing() -> None:
    keep = born()
    keep.take(said(D, data(1)))
    marks = dict(keep.intake.marks)
    bad = [
        ("bad_number", said(D, b'{"e":"e1","s":2,"t0":0,"i":[1],"dt":[0],"v":[NaN],"q":[0]}')),
        ("not_utf8", said(D, b"\xff")),
        ("too_big", said(D, b"x" * 20_000)),
        ("unknown_tag", said(D, encode(Data(e="e1", s=3, t0=0, i=[77], dt=[0], v=[0], q=[0])))),
        ("wrong_site", said(D.replace("demo", "elsewhere"), data(9))),
        ("bad_topic", said(f"{CELL1}/dta", data(9))),
        ("bad_id", said(D.replace("cell1", "CELL1"), data(9))),
        ("no_birth", said(D, data(1, "e9"))),
        ("other_source", said(topic(CELL2, "data"), data(2))),
        ("other_source", said(topic(CELL2, "birth"), birth(), retain=True)),
        ("retained", said(D, data(2), retain=True)),
        ("sequence", said(D, data(10**9))),
        ("unmapped", said("shop/x", b"1")),
        (
            "topic_mismatch",
            said(topic(CELL1, "cmdack", "c-1"), encode(CmdAck(e="e1", s=2, id="c-2", step="received", t=0))),
        ),
    ]
    before = len(keep.rows)
    for reason, message in bad:
        count = keep.rejected.get(reason, 0)
        batch = keep.take(message)
        assert keep.rejected.get(reason, 0) == count + 1, reason
        assert not batch.rows
        assert not batch.marks
    assert len(keep.rows) == before
    assert keep.intake.marks == marks
    samples = keep.intake.ledger.samples()
    assert {s.reason for s in samples} == {reason for reason, _ in bad}
    assert all(len(s.body) <= 4 * 512 for s in samples)
    keep.take(said(D, data(2)))
    assert keep.numbers() == [1, 2]


def test_a_storm_of_rubbish_needs_no_memory() -> None:
    keep = born()
    rnd = random.Random(1)
    for n in range(3000):
        keep.take(said(f"ptw/v1/demo/machining/line3/c{n}/data", rnd.randbytes(50)), said(D, rnd.randbytes(50)))
    assert sum(keep.rejected.values()) == 6000
    assert len(keep.intake.ledger.sources) <= 1001
    assert len(keep.intake.ledger.samples()) <= 100


def test_gaps_cover_and_only_what_was_missing_counts_as_dropped() -> None:
    keep = born()
    keep.take(*[said(D, data(n)) for n in (1, 2, 5)])
    keep.take(said(topic(CELL1, "gap"), encode(Gap(e="e1", s=7, from_=2, to=6, why="outbox_full"))))
    entry = keep.intake.ledger.source(CELL1)
    assert entry.dropped == {"outbox_full": 3}
    assert (entry.hw, entry.hole) == (7, 0)
    keep.take(said(D, data(4)))
    assert entry.duplicate == 1
    assert keep.numbers() == [1, 2, 5, 7]


def test_a_number_that_is_rejected_twice_becomes_a_counted_gap() -> None:
    """A message that will never be good must not hold the outbox of its gateway for ever."""
    keep = born()
    poison = said(D, encode(Data(e="e1", s=2, t0=0, i=[77], dt=[0], v=[0], q=[0])))
    keep.take(said(D, data(1)), poison, said(D, data(3)))
    entry = keep.intake.ledger.source(CELL1)
    assert (entry.hw, entry.hole) == (1, 1)
    keep.take(poison)
    assert (entry.hw, entry.hole) == (3, 0)
    assert entry.dropped == {"rejected:unknown_tag": 1}
    assert [row[2] for row in keep.rows[1:]] == ["data", "data", "gap"]
    gap = msgspec.json.decode(keep.rows[-1][6])
    assert (gap["from"], gap["to"], gap["by"]) == (2, 2, "ingest")


def test_an_epoch_without_birth_is_asked_for_then_its_numbers() -> None:
    keep, asking = Keep(), Asking(wait_s=2.0)
    keep.take(said(D, data(3, "e7")))
    ((source, req),) = asking.due(keep.intake, now=10.0, wall=0)
    assert (source, req.want, req.e) == (CELL1, "rebirth", "e7")
    assert asking.due(keep.intake, now=10.1, wall=0) == []
    keep.take(said(B, birth("e7"), retain=True))
    assert keep.rows[0][2] == "birth"
    assert asking.due(keep.intake, now=11.0, wall=0) == []
    ((_, req),) = asking.due(keep.intake, now=13.1, wall=0)
    assert (req.want, req.from_, req.to) == ("replay", 1, 3)


def test_holes_are_asked_for_once_with_back_off_and_never_in_a_storm() -> None:
    keep, asking = born(), Asking(wait_s=2.0)
    keep.take(*[said(D, data(n)) for n in (1, 4, 5, 9)])
    times = [t / 10 for t in range(1200) if asking.due(keep.intake, now=t / 10, wall=0)]
    assert times[0] == 2.0
    steps = [b - a for a, b in pairwise(times)]
    assert all(later > earlier * 1.2 for earlier, later in pairwise(steps))
    assert len(times) <= 6
    keep.take(*[said(D, data(n)) for n in (2, 3)])
    entry = keep.intake.ledger.source(CELL1)
    assert entry.replayed == 2
    ((_, req),) = asking.due(keep.intake, now=200.0, wall=0) or asking.due(keep.intake, now=203.0, wall=0)
    assert (req.from_, req.to) == (6, 8)
    keep.take(*[said(D, data(n)) for n in (6, 7, 8)])
    assert asking.due(keep.intake, now=300.0, wall=0) == []


def test_a_hole_that_closes_by_itself_is_never_asked_for() -> None:
    keep, asking = born(), Asking(wait_s=2.0)
    keep.take(said(D, data(2)))
    assert asking.due(keep.intake, now=0.0, wall=0) == []
    keep.take(said(D, data(1)))
    assert asking.due(keep.intake, now=5.0, wall=0) == []


def test_retained_repeats_of_birth_and_status_are_journaled_once() -> None:
    keep = Keep()
    body = birth()
    online = encode(Status(online=True, e="e1", ts=5))
    for _ in range(3):
        keep.take(said(B, body, retain=True), said(topic(CELL1, "status"), online, retain=True))
    assert [row[2] for row in keep.rows] == ["birth", "status"]
    assert keep.intake.ledger.source(CELL1).online


def test_what_a_source_says_is_wrong_with_it_is_kept_until_it_is_over() -> None:
    keep = born()
    full = Trouble(what="outbox_filling", since=3, text="the outbox is 61% full")
    for troubles, online, expected in (
        ((full,), True, ["cell1: the outbox is 61% full"]),
        ((full, Trouble(what="clock_skew", since=4)), True, ["cell1: the outbox is 61% full; clock skew"]),
        ((), False, []),
    ):
        status = Status(online=online, e="e1", ts=5, degraded=troubles)
        keep.take(said(topic(CELL1, "status"), encode(status), retain=True))
        assert keep.intake.ledger.degraded() == expected
        again = Ledger()
        again.load(keep.intake.ledger.stored({CELL1}))
        assert again.source(CELL1).degraded == troubles
    assert keep.intake.ledger.view()["sources"][CELL1]["degraded"] == ()


def test_a_new_epoch_starts_its_own_numbers() -> None:
    keep = born()
    keep.take(*[said(D, data(n)) for n in (1, 2, 3)])
    keep.take(said(B, birth("e2"), retain=True), said(D, data(1, "e2")), said(D, data(4)))
    assert [(row[4], row[5]) for row in keep.rows if row[5]] == [("e1", 1), ("e1", 2), ("e1", 3), ("e2", 1), ("e1", 4)]
    assert keep.intake.ledger.source(CELL1).hw == 1


def test_supply_is_idempotent_by_document_and_version() -> None:
    keep = Keep()
    where = topic(CELL1, "supply")
    one = Supply(doc="PO-1", version=1, kind="purchase_order", issued=5, item="coil", quantity=4)
    two = msgspec.structs.replace(one, version=2, quantity=6)
    keep.take(*[said(where, encode(doc)) for doc in (one, one, two, one)])
    assert [row[2] for row in keep.rows] == ["supply", "supply"]
    assert keep.intake.ledger.source(CELL1).duplicate == 2


def test_events_and_readings_share_one_sequence() -> None:
    keep = born()
    event = Event(e="e1", s=2, t=5, kind="work_end", thing="turn", count=1)
    keep.take(
        said(D, data(1)),
        said(topic(CELL1, "event"), encode(event)),
        said(topic(CELL1, "hist"), data(3)[:-1] + b',"h":1}'),
    )
    assert [row[2] for row in keep.rows[1:]] == ["data", "event", "hist"]
    assert keep.intake.ledger.source(CELL1).hw == 3


def test_plain_messages_are_mapped_and_marked() -> None:
    keep = Keep(TopicMap((Rule("shop/+/n", "{1}/count", scale=2.0),)))
    keep.take(said("shop/turn/n", b" 21 "), said("shop/turn/n", b"NaN"), said("shop/turn/n", b"1e300"))
    assert [row[2:4] for row in keep.rows] == [("plain", LINE.plain)]
    assert msgspec.json.decode(keep.rows[0][6])["value"] == 42.0
    assert keep.intake.ledger.source(LINE.plain).at_most_once
    assert keep.rejected == {"bad_number": 2}


def test_another_line_of_the_same_site_is_none_of_our_business(tmp_path: Path) -> None:
    keep = born()
    batch = keep.take(said(D.replace("line3", "line4"), data(1)))
    assert not batch
    assert keep.rejected == {}
    assert tmp_path.exists()
