"""Whatever happens in the field: true histories come out true, loss creates nothing, memory loses nothing."""

from __future__ import annotations

import json
from collections import Counter as Tally

from hypothesis import given
from hypothesis import strategies as st

from ingest.codes import BAD, GOOD, STALE
from ingest.mapping import Mapping, Output, Raw, Value
from tests.ingest.mappings import CELL, T0, events, mapped, tag, told, values

WHOLE = mapped(CELL)
HOUR = 3_600_000


@given(st.lists(st.integers(0, 127), max_size=80))
def test_a_register_that_wraps_gives_the_true_count(made: list[int]) -> None:
    engine, true = tag("wash/count", "{from: r, counter: 8, resets: never}"), 0
    engine.feed(T0, "r", 0)
    for k, n in enumerate(made):
        true += n
        (value,) = engine.feed(T0 + k, "r", true % 256)
        assert isinstance(value, Value)
        assert (value.value, value.quality, value.spread) == (true, GOOD, 0)


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["", "before", "after"])), max_size=60))
def test_a_reset_told_by_a_bit_is_known_from_a_wrap(history: list[tuple[int, str]]) -> None:
    """An 8-bit register that wraps and is reset; the bit comes before or after the register shows it."""
    engine, register, true = tag("turn/count", "{from: r, counter: 8, resets: {on: bit}}"), 0, 0
    told(engine, (0, "r", 0), (0, "bit", 0))
    for k, (n, reset) in enumerate(history):
        t = k * 10_000
        if reset and 0 < register < 190:  # from its top quarter a late bit cannot be told from a wrap in time
            seen: list[tuple[int, str, Raw]] = [(t, "bit", 1), (t + 1, "r", 0)]
            told(engine, *(seen if reset == "before" else [(t, "r", 0), (t + 1, "bit", 1)]), (t + 2, "bit", 0))
            register = 0
        register, true = (register + n) % 256, true + n
        (value,) = engine.feed(T0 + t + 5_000, "r", register)
        assert isinstance(value, Value)
        assert value.value == true


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(-8, 8)), min_size=1, max_size=20))
def test_a_daily_reset_is_known_from_a_wrap(days: list[tuple[int, int]]) -> None:
    """Reset each day about 06:00 local time, a clock that is off by minutes; 8 bits wrap during the day."""
    engine, register, true = tag("turn/count", "{from: r, counter: 8, resets: '06:00'}"), 0, 0
    engine.feed(T0, "r", 0)
    for day, (rate, off) in enumerate(days):
        for hour in range(20):  # 09:00 to 04:00
            register, true = (register + rate * 5) % 256, true + rate * 5
            (value,) = engine.feed(T0 + day * 24 * HOUR + hour * HOUR, "r", register)
            assert isinstance(value, Value)
            assert value.value == true, (day, hour)
        register = 0
        engine.feed(T0 + day * 24 * HOUR + 21 * HOUR + off * 60_000, "r", 0)


BOUNCES = st.lists(st.integers(1, 60), max_size=6)


@given(st.lists(st.tuples(st.integers(1_000, 9_000), BOUNCES), max_size=40))
def test_bouncing_contacts_are_counted_once(changes: list[tuple[int, list[int]]]) -> None:
    engine, t, level, true = tag("mill/count", "{from: c, count: rising, debounce: 400 ms}"), 0, 0, 0
    out = told(engine, (0, "c", 0))
    for pause, bounces in changes:
        t += pause
        level = 1 - level
        true += level
        at, history = t, [(t, level)]
        for k, width in enumerate(bounces):
            at += width
            history.append((at, 1 - level if k % 2 == 0 else level))
        history.append((at + 1, level))
        out += told(engine, *((when, "c", value) for when, value in history))
    out += told(engine, (t + 10_000, "", None))
    assert values(out, "mill/count")[-1] == true
    times = [o.t for o in out]
    assert times == sorted(times)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.booleans()), max_size=80), st.sampled_from([None, 8, 16])
)
def test_lost_messages_never_create_counts(history: list[tuple[int, bool, bool]], bits: int | None) -> None:
    """Steps, resets and losses as they come: the count is at most the true one, or says by how much it may be off."""
    width = "endless" if bits is None else bits
    engine, register, true, doubt = tag("turn/count", f"{{from: r, counter: {width}, resets: shift}}"), 0, 0, 0.0
    engine.feed(T0, "r", 0)
    before = 0.0
    for k, (n, reset, lost) in enumerate(history):
        register, true = 0 if reset else register, true + n
        register += n
        if bits is not None:
            register %= 1 << bits
        if lost:
            continue
        (value,) = engine.feed(T0 + k, "r", register)
        assert isinstance(value, Value)
        doubt += value.spread
        assert before <= value.value <= true + doubt
        before = value.value


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=80))
def test_lost_edges_never_create_counts(history: list[tuple[int, bool]]) -> None:
    engine, true, last = tag("mill/count", "{from: c, count: rising}"), 0, 0
    engine.feed(T0, "c", 0)
    for k, (level, lost) in enumerate(history):
        true += level > last
        last = level
        for count in [] if lost else values(engine.feed(T0 + k, "c", level), "mill/count"):
            assert count <= true


FEED = st.tuples(
    st.integers(0, 40_000),
    st.sampled_from([*WHOLE.raw_names(), "", "strange"]),
    st.one_of(st.integers(0, 63), st.sampled_from([None, "6", "execute", b"\xff", 1e300, -3, True, "", "nan", 70_000])),
    st.sampled_from([GOOD, GOOD, GOOD, STALE, BAD]),
)


def run(mapping: Mapping, history: list[tuple[int, str, Raw, int]], restart: set[int], extra: bool) -> list[Output]:
    engine, t, out = mapping.engine(), T0, list[Output]()
    for k, (dt, name, value, quality) in enumerate(history):
        if extra:
            out += engine.advance(t + dt // 2)
        t += dt
        out += engine.feed(t, name, value, quality) if name else engine.advance(t)
        if k in restart:
            engine = mapping.engine(json.loads(json.dumps(engine.memory())))
    return out + engine.advance(t + HOUR)


@given(st.lists(FEED, max_size=60), st.sets(st.integers(0, 59)))
def test_memory_is_all_that_the_rules_know(history: list[tuple[int, str, Raw, int]], restart: set[int]) -> None:
    assert run(WHOLE, history, restart, extra=False) == run(WHOLE, history, set(), extra=False)


@given(st.lists(FEED, max_size=60))
def test_when_time_is_told_changes_nothing_but_the_order(history: list[tuple[int, str, Raw, int]]) -> None:
    often, seldom = run(WHOLE, history, set(), extra=True), run(WHOLE, history, set(), extra=False)
    assert Tally(often) == Tally(seldom)
    for rule in {o.rule for o in seldom}:
        assert [o for o in often if o.rule == rule] == [o for o in seldom if o.rule == rule]


@given(st.lists(FEED, max_size=60))
def test_totals_never_go_back_and_stops_alternate(history: list[tuple[int, str, Raw, int]]) -> None:
    out = run(WHOLE, history, {10, 30}, extra=False)
    for name in ("turn/count", "mill/count", "wash/count"):
        assert values(out, name) == sorted(values(out, name))
    stands = False
    for event in events(out):
        if event.kind == "down" and event.text == "unknown":
            assert not stands
            stands = True
        elif event.kind == "up":
            stands = False
    counts = [e.count for e in events(out, "work_end")]
    assert counts == list(range(1, len(counts) + 1))
