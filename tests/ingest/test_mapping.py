"""Rules of the mapping, one small story each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingest.codes import BAD, GOOD, PACKML_CODES, PACKML_STATES, STALE, UNCERTAIN, UNIT_STATES
from ingest.mapping import MappingError, Raw, Value
from tests.ingest.mappings import CELL, T0, events, mapped, tag, told, values

ROOT = Path(__file__).resolve().parents[2]
DOWN, WORK, IDLE = (UNIT_STATES.index(name) for name in ("down", "work", "idle"))


@pytest.mark.parametrize(
    ("rule", "raw", "value"),
    [
        ("r", 3, 3),
        ("r", True, 1),
        ("r", b" 7 ", 7),
        ("r", "on", 1),
        ("{from: r, bit: 3}", 0b1010, 1),
        ("{from: r, bit: 3, not: true}", 0b1010, 0),
        ("{from: r, bits: 4..7}", 0xA5, 10),
        ("{from: r, bits: 4..7, signed: true}", 0xA5, -6),
        ("{from: r, bit: 15}", -1, 1),
        ("{from: r, bit: 63}", 2**63, 1),
        ("{from: r, bits: 62..63}", str(2**64 - 1), 3),
        ("{from: r, is: 4}", 4, 1),
        ("{from: r, is: open}", "Open", 1),
        ("{from: r, is: open, not: true}", "Open", 0),
        ("{from: r, scale: 0.1, offset: -20}", 453, 25),  # 25.3 parts are 25: the tag is a whole number
        ("{from: r, values: {auto: 4, 7: 5}}", "AUTO", 4),
        ("{from: r, values: {auto: 4, 7: 5}}", 7.0, 5),
        ("{from: r, values: {0x10: 2}}", 16, 2),
        ("{from: r, values: {1: 2}, else: 3}", 99, 3),
        ("{from: r, field: level.b1}", b'{"level": {"b1": 4}}', 4),
        ("{from: r, field: list.1.n}", '{"list": [{}, {"n": 2.0}]}', 2),
    ],
)
def test_what_a_rule_sees(rule: str, raw: Raw, value: float) -> None:
    assert values(tag("b1/level", rule).feed(T0, "r", raw), "b1/level") == [value]


@pytest.mark.parametrize(
    ("rule", "raw", "what"),
    [
        ("r", "many", "expected a number, found 'many'"),
        ("r", float("nan"), "finite"),
        ("r", 1e17, "finite number within"),
        ("r", b"\xff", "UTF-8"),
        ("r", "nan", "finite"),
        ("{from: r, bit: 3}", 1.5, "whole number"),
        ("{from: r, bit: 3}", 10**400, "up to 64 bits"),
        ("{from: r, field: a}", '{"a": 1' + "0" * 400 + "}", "found"),
        ("r", 2**60, "within"),
        ("{from: r, field: a.b}", "no json", "expected JSON with the field a.b"),
        ("{from: r, field: a.b}", '{"a": 5}', "expected the field a.b"),
        ("{from: r, field: a}", '{"a": null}', "a number or a text, found NoneType"),
        ("{from: r, values: {1: 2}}", 3, "expected one of 1, found '3'"),
    ],
)
def test_what_cannot_be_read_is_refused_and_changes_nothing(rule: str, raw: Raw, what: str) -> None:
    engine = tag("b1/level", rule)
    before = engine.memory()
    assert engine.feed(T0, "r", raw) == []
    assert what in engine.refused[0][1]
    assert engine.faults["b1/level"][0] == 1
    before["rules"]["b1/level"]["t"] = T0
    assert engine.memory() == before


def test_packml_by_number_and_name_with_a_plants_own_difference() -> None:
    engine = tag("turn/state", "{from: s, packml: {suspended: blocked}}")
    for code, name in enumerate(PACKML_CODES[1:], 1):
        ours = "blocked" if name == "suspended" else PACKML_STATES[name]
        for raw in (code, str(code), name.upper()):
            assert values(engine.feed(T0, "s", raw), "turn/state") == [UNIT_STATES.index(ours)], name
    assert engine.feed(T0, "s", 0) == []
    assert "found '0'" in engine.refused[0][1]


def test_bits_by_priority_once_a_moment() -> None:
    rule = """
    priority:
      - {state: down, from: a, bit: 0}
      - {state: work, from: b, bit: 0}
      - {state: idle}"""
    engine = tag("mill/state", rule)
    assert told(engine, (0, "b", 1)) == []  # whether it is down nobody has said
    assert values(told(engine, (1, "a", 0)), "mill/state") == [WORK]
    both = engine.feed_all(T0 + 2, {"b": (0, GOOD), "a": (1, GOOD)})
    assert values(both, "mill/state") == [DOWN]  # not idle in between
    assert values(told(engine, (3, "a", 0)), "mill/state") == [IDLE]


def test_debounce_tells_what_has_lasted_as_of_its_beginning() -> None:
    engine = tag("b1/level", "{from: r, debounce: 2 s}")
    out = told(engine, (0, "r", 1), (1000, "r", 2), (2000, "r", 1), (5000, "r", 3), (6000, "r", 3), (6999, "", None))
    assert [(o.t - T0, o.value) for o in out if isinstance(o, Value)] == [(0, 1), (2000, 1)]
    assert [(o.t - T0, o.value) for o in told(engine, (7000, "", None)) if isinstance(o, Value)] == [(5000, 3)]


def test_a_deadband_holds_small_changes_back_but_not_a_change_of_quality() -> None:
    engine = tag("b1/level", "{from: r, deadband: 3}")
    assert values(told(engine, *((k, "r", v) for k, v in enumerate((5, 7, 3, 8, 9)))), "b1/level") == [5, 8]
    (value,) = engine.feed(T0 + 9, "r", 9, UNCERTAIN)
    assert isinstance(value, Value)
    assert (value.value, value.quality) == (9, UNCERTAIN)


STOPS = "{from: s, values: {0: idle, 1: work, 9: down}, microstop: 30 s, reason: {from: c, codes: {1: tool, 2: jam}}}"


def story(*history: tuple[int, str, Raw]) -> list[tuple[Any, ...]]:
    """Seconds after T0 -> events as (seconds, kind, text, count or seconds of start)."""
    engine = tag("turn/state", STOPS)
    out = told(engine, *((t * 1000, name, value) for t, name, value in history))
    return [
        ((e.t - T0) // 1000, e.kind, e.text, e.count if e.start is None else (e.start - T0) // 1000)
        for e in events(out)
    ]


def test_a_short_stop_is_a_micro_stop_told_when_it_is_over() -> None:
    engine = tag("turn/state", STOPS)
    out = told(engine, (0, "s", 1), (10_000, "s", 9), (20_000, "", None), (39_999, "s", 1))
    assert values(out, "turn/state") == [WORK, WORK]
    assert story((0, "s", 1), (10, "s", 9), (39, "s", 1)) == [(39, "micro_stop", "unknown", 10)]
    assert story((0, "s", 1), (10, "s", 9), (40, "s", 1)) == [(10, "down", "unknown", 1), (40, "up", None, None)]


def test_a_reason_completes_the_stop_at_the_stops_own_time() -> None:
    begin: list[tuple[int, str, Raw]] = [(0, "s", 1), (0, "c", 0), (10, "s", 9), (60, "", None)]
    down = (10, "down", "unknown", 1)
    assert story(*begin, (70, "c", 2)) == [down, (10, "down", "jam", 1)]
    assert story(*begin, (70, "s", 1), (80, "c", 1)) == [down, (70, "up", None, None), (10, "down", "tool", 1)]
    assert story(*begin, (611, "c", 1)) == [down]  # too late
    assert story(*begin, (70, "c", 2), (80, "c", 1)) == [down, (10, "down", "jam", 1), (10, "down", "tool", 1)]
    assert story(*begin, (70, "c", 7)) == [down]  # not listed


def test_a_reason_that_is_there_first_is_told_with_the_stop_and_not_with_the_next_one() -> None:
    first: list[tuple[int, str, Raw]] = [(0, "s", 1), (0, "c", 0), (8, "c", 2), (10, "s", 9), (50, "s", 1)]
    told_first = [(10, "down", "jam", 1), (50, "up", None, None)]
    assert story(*first) == told_first
    assert story(*first, (100, "s", 9), (200, "", None)) == [*told_first, (100, "down", "unknown", 2)]


def test_an_old_reason_explains_nothing() -> None:
    lingering = story((0, "s", 1), (8, "c", 2), (10, "s", 9), (60, "", None))  # seen first: who knows since when
    assert lingering == [(10, "down", "unknown", 1)]
    begin: list[tuple[int, str, Raw]] = [(0, "s", 1), (0, "c", 0), (10, "s", 9), (48, "c", 2), (50, "s", 1)]
    found = story(*begin, (55, "s", 9), (100, "", None))  # written for the stop before
    assert found[-1] == (55, "down", "unknown", 2)


def test_a_reason_completes_a_micro_stop() -> None:
    found = story((0, "s", 1), (0, "c", 0), (10, "s", 9), (20, "s", 1), (25, "c", 1))
    assert found == [(20, "micro_stop", "unknown", 10), (20, "micro_stop", "tool", 10)]


def test_what_happened_out_of_sight_is_not_made_up() -> None:
    engine = tag("turn/state", STOPS)
    told(engine, (0, "s", 1), (10_000, "s", 9))
    engine.lost()
    assert told(engine, (60_000, "", None)) == []
    out = told(engine, (70_000, "s", 1))  # how long it stood nobody knows
    assert events(out) == []
    assert values(out, "turn/state") == [WORK]


def test_edges_alarms_and_codes() -> None:
    engine = mapped(CELL).engine()
    word = [(0, "word/4", 0), (50, "word/4", 32), (90, "word/4", 0), (200, "word/4", 32), (400, "word/4", 0)]
    out = told(engine, *word, (900, "", None))
    assert [(e.t - T0, e.text) for e in events(out)] == [(200, "door"), (400, "door")]
    codes = told(engine, *((1000 + k, "word/8", v) for k, v in enumerate((2, 1, 1, 9, 0, 2))))
    assert [(e.t - T0, e.text) for e in events(codes)] == [(1001, "overload"), (1005, "coolant")]


def test_each_step_of_a_counter_is_an_event_with_its_own_count() -> None:
    engine = mapped(
        "mapping: 1\ntags:\n  turn/count: {from: r, counter: 16, resets: shift}\nevents:\n"
        "  - {event: work_end, thing: turn, each: turn/count}\n"
    ).engine()
    assert events(told(engine, (0, "r", 40))) == []
    assert [e.count for e in events(told(engine, (1, "r", 43)))] == [41, 42, 43]
    assert [e.count for e in events(told(engine, (2, "r", 2)))] == [44, 45]  # reset in sight
    assert [e.count for e in events(told(engine, (3, "r", 502)))] == [545]  # no batch: one event that asserts
    engine.lost()
    assert events(told(engine, (4, "r", 510))) == []  # it may have been reset meanwhile
    (value,) = told(engine, (5, "r", 510))
    assert isinstance(value, Value)
    assert (value.value, value.quality) == (553, GOOD)


def test_an_ambiguous_drop_says_by_how_much_it_may_be_off() -> None:
    engine = tag("turn/count", "{from: r, counter: 16, resets: shift}")
    told(engine, (0, "r", 60_000))
    (value,) = told(engine, (1, "r", 10))
    assert isinstance(value, Value)
    assert (value.value, value.quality, value.spread) == (65_546, UNCERTAIN, 5_536)


def test_a_bit_tells_a_reset_from_a_wrap_near_the_top_too() -> None:
    rule = "{from: r, counter: 8, resets: {on: bit}}"
    start: list[tuple[int, str, Raw]] = [(0, "bit", 0), (0, "r", 250)]
    (known,) = told(tag("turn/count", rule), *start, (1, "bit", 1), (2, "r", 3))[1:]
    (guessed,) = told(tag("turn/count", rule), *start, (2, "r", 3))[1:]
    (expired,) = told(tag("turn/count", rule), *start, (1, "bit", 1), (70_000, "r", 3))[1:]
    found = [(o.value, o.quality, o.spread) for o in (known, guessed, expired) if isinstance(o, Value)]
    assert found == [(253, GOOD, 0), (259, UNCERTAIN, 6), (259, UNCERTAIN, 6)]


def test_a_bit_that_comes_after_its_drop_explains_that_one_and_no_other() -> None:
    engine = tag("turn/count", "{from: r, counter: 8, resets: {on: bit}}")
    out = told(engine, (0, "bit", 0), (0, "r", 100), (1000, "r", 0), (2000, "bit", 1), (3000, "r", 250), (4000, "r", 4))
    assert values(out, "turn/count") == [100, 100, 350, 360]


def test_a_pending_change_is_not_stable_once_the_source_is_away() -> None:
    engine = tag("b1/level", "{from: r, debounce: 2 s}")
    told(engine, (0, "r", 1), (1000, "r", 2))
    engine.lost()
    assert told(engine, (9_000, "", None), (9_500, "r", 2), (11_499, "", None)) == []
    assert values(told(engine, (11_500, "", None)), "b1/level") == [2]


def test_stops_are_counted_over_a_restart() -> None:
    mapping = mapped(f"mapping: 1\ntags:\n  turn/state: {STOPS}\n")
    first = mapping.engine()
    told(first, (0, "s", 1), (10_000, "s", 9), (60_000, "s", 1))
    engine = mapping.engine(first.memory())
    assert [e.count for e in events(told(engine, (90_000, "s", 9), (190_000, "", None)))] == [2]


def test_a_source_that_knows_nothing_makes_its_tag_stale_once() -> None:
    engine = tag("turn/count", "{from: r, counter: 16}")
    told(engine, (0, "r", 5))
    out = [*engine.feed(T0 + 1, "r", None, BAD), *engine.feed(T0 + 2, "r", 9, BAD), *engine.feed(T0 + 3, "r", None)]
    assert [(o.t - T0, o.value, o.quality) for o in out if isinstance(o, Value)] == [(1, 5, BAD), (3, 5, STALE)]
    (value,) = engine.feed(T0 + 4, "r", 7)
    assert isinstance(value, Value)
    assert (value.value, value.quality) == (7, UNCERTAIN)  # the plant file says that it is reset at shifts


def test_a_clock_that_is_set_back_does_not_silence_a_rule() -> None:
    engine = tag("b1/level", "{from: r, debounce: 2 s}")
    told(engine, (3_600_000, "r", 1), (0, "r", 2))
    assert values(told(engine, (2_000, "", None)), "b1/level") == [2]


def test_a_changed_rule_begins_anew_but_its_count_goes_on() -> None:
    old = tag("turn/count", "{from: r, counter: 16}")
    told(old, (0, "r", 500))
    new = mapped("mapping: 1\ntags:\n  turn/count: {from: other, counter: 32}\n").engine(old.memory())
    assert values(told(new, (1, "other", 7), (2, "other", 9)), "turn/count") == [500, 502]


def test_the_layer_is_light() -> None:
    """A gateway has the base and [edge] only; the layer itself needs not even a client of MQTT."""
    heavy = ("numba", "scipy", "torch", "dash", "paho", "pymodbus", "asyncua", "simpy")
    program = (
        "import sys, ingest.mapping, ingest.mapping_read, ingest.mapping_engine, hardware.mapped\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run((sys.executable, "-c", program), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("memory", [{"version": 2}, [], {"version": 1, "rules": {"x": 5}, "stops": {}}])
def test_memory_of_another_kind_is_refused(memory: Any) -> None:
    with pytest.raises(MappingError, match="start without it"):
        mapped(CELL).engine(memory)
