"""The order book: open orders, where they are, and the rows that follow."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sim.compile import Compiled, compile_plant
from sim.discover import Center, Discovery
from sim.draft import plant_file
from sim.facts import rows_from_facts
from sim.kernel import run
from sim.plantfile import load
from twin.orders import DAY_MS, OrderBook, ensemble, open_marks, wip_by_center

HOUR = 3_600_000
EVENTS = [
    (1 * HOUR, "report_start", "A", "turning"),
    (3 * HOUR, "report_complete", "A", "turning"),
    (4 * HOUR, "report_start", "A", "lapping"),
    (2 * HOUR, "report_start", "B", "lapping"),
    (6 * HOUR, "report_complete", "B", "lapping"),
    (7 * HOUR, "report_start", "B", "packing"),
    (8 * HOUR, "report_complete", "B", "packing"),
]


def book(events: list[tuple[int, str, str, str]]) -> OrderBook:
    result = OrderBook()
    for event in events:
        result.apply(*event)
    return result


def test_open_orders_and_wip_by_work_center() -> None:
    b = book(EVENTS)
    assert dict(b.wip(8 * HOUR)) == {"lapping": 1}
    assert b.completions(0, 8 * HOUR) == 0
    assert b.completions(8 * HOUR, 9 * HOUR) == 1


def test_a_second_packing_report_moves_no_completion() -> None:
    b = book([*EVENTS, (9 * HOUR, "report_start", "B", "packing"), (10 * HOUR, "report_complete", "B", "packing")])
    assert b.orders["B"].finished == 8 * HOUR


def test_repeated_events_change_nothing() -> None:
    once, twice = book(EVENTS), book([e for e in EVENTS for _ in range(2)])
    assert once.wip(8 * HOUR) == twice.wip(8 * HOUR)
    assert {o: v.finished for o, v in once.orders.items()} == {o: v.finished for o, v in twice.orders.items()}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_state_of_an_order_does_not_depend_on_the_order_of_arrival(order: tuple[int, ...]) -> None:
    events = [EVENTS[0], EVENTS[1], EVENTS[2]]
    b = book([events[i] for i in order])
    assert b.at(b.orders["A"]) == "lapping"
    assert set(b.orders["A"].running) == {"lapping"}
    assert b.orders["A"].first == HOUR


def test_an_order_without_reports_for_two_weeks_is_gone() -> None:
    b = book(EVENTS[:2])
    assert set(b.open(10 * DAY_MS)) == {"A"}
    assert not b.open(15 * DAY_MS)


def found() -> Discovery:
    """A draft by hand: turning -> lapping (wait 1, 2, 3 or 4 h) or more turning (wait 1 h); lapping opens from 6 to
    18."""
    day = frozenset(d * 24 + h for d in range(7) for h in range(6, 18))
    turning = Center("turning", "Turning", reports=9, work=[1.0], pauses=[1.0], moves=[1.0, 2.0, 3.0, 4.0], again=1,
                     next=Counter({"lapping": 3}), open_hours=frozenset(range(168)))  # fmt: skip
    lapping = Center(
        "lapping", "Lapping", reports=9, work=[1.0], moves=[1.0], next=Counter({"packing": 1}), open_hours=day
    )
    packing = Center("packing", "Packing", reports=9, work=[1.0], open_hours=day)
    begin = datetime(2012, 1, 2)
    return Discovery(
        {c.id: c for c in (turning, lapping, packing)}, Counter({"turning": 1}), 5, frozenset(range(5)), 0.1, "packing",
        begin,
        datetime(2012, 2, 1), [], frozenset(range(168)), {n: n for n in ("turning", "lapping", "packing")},
    )  # fmt: skip


def compiled_draft(folder: Path) -> Compiled:
    path = folder / "draft.yaml"
    path.write_text(plant_file(found(), "small", "a test"), encoding="utf-8")
    return compile_plant(load(path))


def ms(hour: float) -> int:
    return round(datetime(2012, 1, 3, tzinfo=UTC).timestamp() * 1000 + hour * HOUR)


def standing(tmp_path: Path, hour: float) -> Counter[str]:
    """Where an order that left turning at 14:00 on 3 January stands, in 100 draws at `hour` of that day."""
    compiled = compiled_draft(tmp_path)
    b = book([(ms(13), "report_start", "A", "turning"), (ms(14), "report_complete", "A", "turning")])
    places: Counter[str] = Counter()
    for member in ensemble(b, compiled, found(), ms(hour), 100, 7):
        places.update(s for (s, _), u in member.units.items() if u.state == "work")
        places.update(s for s, q in member.queues.items() if q)
    return places


def test_a_waiting_order_stands_where_its_silence_allows(tmp_path: Path) -> None:
    # 16:30: 2.5 h of silence. More turning would have begun after 1 h; lapping is open, so it is not ready either.
    assert set(standing(tmp_path, 16.5)) == {"leave-turning"}
    # 20:00: lapping closed at 18; a wait of 4 h or less that ended after 18:00 leaves it in front of lapping. Nothing
    # else is possible.
    assert set(standing(tmp_path, 20.0)) == {"lapping"}
    # 18:30 (4.5 h): waits of 4 h ended at 18:00, when lapping had just closed.
    assert set(standing(tmp_path, 18.5)) == {"lapping"}
    # 17:30 (3.5 h): only the wait of 4 h is still going on.
    assert set(standing(tmp_path, 17.5)) == {"leave-turning"}


def test_the_shares_are_those_of_the_draft(tmp_path: Path) -> None:
    # 14:30: every wait still goes on; one of four reports is followed by more turning
    places = standing(tmp_path, 14.5)
    assert places["pause-turning"] / 100 == pytest.approx(0.25, abs=0.12)
    assert places["leave-turning"] / 100 == pytest.approx(0.75, abs=0.12)


def test_an_order_at_work_stands_in_a_unit(tmp_path: Path) -> None:
    compiled = compiled_draft(tmp_path)
    b = book([(ms(10), "report_start", "A", "turning")])
    member = ensemble(b, compiled, found(), ms(11), 1, 7)[0]
    ((key, unit),) = member.units.items()
    assert key == ("turning", 1)
    assert unit.worked == 3600
    rows = rows_from_facts(compiled, member, 1, 3)
    assert (compiled.layout.view(rows, "wip") == 1).all()


def test_rows_tell_which_orders_are_still_open_and_where_they_were_last_reported(tmp_path: Path) -> None:
    compiled, draft = compiled_draft(tmp_path), found()
    b = book(
        [
            (ms(13), "report_start", "A", "turning"),
            (ms(14), "report_complete", "A", "turning"),
            (ms(18), "report_start", "B", "packing"),
        ]
    )
    facts = ensemble(b, compiled, draft, ms(18.5), 1, 7)[0]
    rows = rows_from_facts(compiled, facts, 1, 20)
    assert open_marks(rows, compiled, 2).all()
    names = sorted(draft.centers)
    # A is ready in front of closed lapping: the book still has it at turning (nothing else leads to lapping)
    assert facts.queues["lapping"]
    assert (wip_by_center(rows, compiled, draft, 1) == [[0, 1, 1]] * 20).all()
    assert names == ["lapping", "packing", "turning"]
    run(rows, compiled, facts.tick + 2 * 3600)
    still = open_marks(rows, compiled, 2)
    assert still[:, 0].all()
    assert not still[:, 1].any()  # packing takes an hour


def test_the_bundled_machine_shop_takes_an_order_book() -> None:
    compiled = compile_plant(load("machine_shop"))
    assert {"turning-milling", "leave-turning-milling", "packing"} <= set(compiled.station_index)
