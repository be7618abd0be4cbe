"""What is wrong in a mapping is said with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.mapping import MappingError, is_mapping, load
from tests.ingest.mappings import CELL, line3, mapped

TAGS = "mapping: 1\ntags:\n"
EVENTS = "mapping: 1\ntags:\n  turn/count: r\nevents:\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("tags: {}\n", 1, "expected the key 'mapping'"),
        ("mapping: 2\n", 1, "expected 1, found '2'"),
        ("mapping: 1\n", 1, "expected 'tags:' or 'events:'"),
        ("mapping: 1\ntag: {}\n", 2, "did you mean 'tags'"),
        (TAGS + "  turn/stat: r\n", 3, "did you mean 'turn/state'"),
        (TAGS + "  turn/count: r\n  turn/count: s\n", 4, "once"),
        (TAGS + "  b1/level: {frm: r}\n", 3, "did you mean 'from'"),
        (TAGS + "  b1/level: {scale: 2}\n", 3, "expected the key 'from'"),
        (TAGS + "  b1/level: {from: r, scale: big}\n", 3, "start with a number"),
        (TAGS + "  b1/level: {from: r, scale: 0}\n", 3, "a factor other than 0"),
        (TAGS + "  b1/level: {from: r, deadband: -1}\n", 3, "0 or more"),
        (TAGS + "  b1/level: {from: r, debounce: 2}\n", 3, "write the unit"),
        (TAGS + "  b1/level: {from: r, bit: 64}\n", 3, "from 0 to 63"),
        (TAGS + "  b1/level: {from: r, bits: 7..4}\n", 3, "write '4..7'"),
        (TAGS + "  b1/level: {from: r, bits: 7}\n", 3, "for one bit write 'bit: 3'"),
        (TAGS + "  b1/level: {from: r, bit: 1, bits: 1..2}\n", 3, "leave one out"),
        (TAGS + "  b1/level: {from: r, values: {1: 1}, scale: 2}\n", 3, "either values or scale"),
        (TAGS + "  b1/level: {from: r, not: yes}\n", 3, "true or false"),
        (TAGS + "  b1/level: {from: r, packml: true}\n", 3, "known key"),
        (TAGS + "  turn/state: {from: r}\n", 3, "one of packml, values, priority"),
        (TAGS + "  turn/state: {from: r, packml: true, values: {1: work}}\n", 3, "packml and values"),
        (TAGS + "  turn/state: {from: r, values: {1: wrk}}\n", 3, "did you mean 'work'"),
        (TAGS + "  turn/state: {from: r, packml: {suspend: work}}\n", 3, "a PackML state"),
        (TAGS + "  turn/state: {from: r, packml: maybe}\n", 3, "expected true"),
        (TAGS + "  turn/state:\n    priority:\n      - {state: idle}\n      - {state: work, from: r}\n", 5, "last"),
        (TAGS + "  turn/state:\n    from: r\n    priority:\n      - {state: work, from: r}\n", 4, "move them there"),
        (TAGS + "  turn/state: {from: r, packml: true, reason: {from: c}}\n", 3, "'codes:'"),
        (TAGS + "  turn/count: {from: r, counter: 12}\n", 3, "8, 16, 32 or 64"),
        (TAGS + "  turn/count: {from: r, resets: nightly}\n", 3, "{on: RAW NAME}"),
        (TAGS + "  turn/count: {from: r, resets: {bit: 3}}\n", 3, "expected the key 'on'"),
        (TAGS + "  turn/count: {from: r, count: up}\n", 3, "rising or falling or both"),
        (TAGS + "  turn/count: {from: r, scale: 2}\n", 3, "known key"),
        (TAGS + "  mode: {from: r, values: {0: hand}}\n", 3, "auto or manual"),
        (EVENTS + "  - {event: alarm, thing: turn, from: r}\n", 5, "one of edge, codes, each"),
        (EVENTS + "  - {event: alarm, thing: tun, from: r, edge: rising}\n", 5, "did you mean 'turn'"),
        (EVENTS + "  - {event: alarm, thing: turn, unit: 2, from: r, edge: rising}\n", 5, "turn has 1"),
        (EVENTS + "  - {event: work_end, thing: turn, product: x, each: turn/count}\n", 5, "a product of the plant"),
        (EVENTS + "  - {event: work_end, thing: turn, each: mill/count}\n", 5, "a counter tag of this file"),
        (EVENTS + "  - {event: work_end, thing: turn, each: turn/count, from: r}\n", 5, "no such key beside each"),
        (EVENTS + "  - {event: Alarm!, thing: turn, from: r, edge: rising}\n", 5, "a kind of event"),
        ("mapping: 1\ntags: [a]\n", 2, "mapping"),
        ("mapping: 1\ntags: [\n", 3, "YAML"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(MappingError) as caught:
        load(path, line3())
    assert any(p.startswith(f"{path}:{line}: ") and what in p for p in caught.value.problems), caught.value.problems


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(MappingError) as caught:
        mapped(TAGS + "  nothing: r\n  turn/count: {from: r, counter: 7}\n")
    assert len(caught.value.problems) == 2


def test_raw_names_tags_and_what_nothing_feeds() -> None:
    mapping = mapped(CELL)
    assert mapping.raw_names() == (
        "word/1", "word/2", "word/3", "coil/9", "word/4", "coil/7", "word/5", "word/6", "word/7", "word/8",
    )  # fmt: skip
    assert mapping.unfed == ("finished/backorder", "finished/on_hand", "wash/state")
    assert mapping.tags()[:2] == ("turn/state", "turn/count")


def test_raw_names_are_taken_as_they_are() -> None:
    names = ("ns=2;s=Turn.State", "holding/100:uint16", "plant/turn state", "a#b")
    tags = ("b1/level", "b2/level", "finished/on_hand", "finished/backorder")
    plain = "".join(f'  {t}: {{from: "{n}", bit: 1}}\n' for t, n in zip(tags, names, strict=True))
    assert mapped(TAGS + plain).raw_names() == names
    assert mapped(TAGS + "  b1/level: {from: holding/100:uint16, bit: 1}\n").raw_names() == ("holding/100:uint16",)


def test_notes_say_what_is_worth_knowing() -> None:
    notes = mapped(
        TAGS + "  turn/state:\n    priority:\n      - {state: down, from: r, bit: 1}\nevents:\n"
        "  - {event: work_end, thing: turn, from: r, edge: rising}\n"
    ).notes
    assert "keeps its state" in notes[0]
    assert "each: TAG" in notes[1]


def test_a_mapping_is_told_from_a_topic_map(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for text, expected in (("# c\n---\nmapping: 1\n", True), ("a/b: turn/count\n", False), ("", False)):
        path.write_text(text)
        assert is_mapping(path) is expected
    assert not is_mapping(tmp_path / "none.yaml")
