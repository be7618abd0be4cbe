from __future__ import annotations

from pathlib import Path

import pytest

from ingest.topicmap import Rule, TopicMap, TopicMapError, load
from ingest.wire import WireError


def written(folder: Path, text: str) -> Path:
    path = folder / "topics.yaml"
    path.write_text(text)
    return path


def test_a_map_is_read(tmp_path: Path) -> None:
    topics = load(
        written(
            tmp_path,
            'shop/turn/count: turn/count\nshop/+/temp: {tag: "{1}/temp", scale: 0.1, offset: -5}\n'
            "erp/#: {tag: b1/level, field: a.b}\n",
        )
    )
    assert topics.filters() == ["shop/turn/count", "shop/+/temp", "erp/#"]
    got = [
        topics.convert(t, b, 7)
        for t, b in (("shop/turn/count", b"3"), ("shop/m2/temp", b"250"), ("erp/x/y", b'{"a":{"b":9}}'))
    ]
    assert [(p.tag, p.value, p.t) for p in got] == [("turn/count", 3.0, 7), ("m2/temp", 20.0, 7), ("b1/level", 9.0, 7)]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a/b: {tag: x, scael: 2}\n", 1, "scael"),
        ("ok: x\na/b: {scale: 2}\n", 2, "tag"),
        ("ok: x\na/b: {tag: x, scale: big}\n", 2, "expected a number, found 'big'"),
        ("a/b: {tag: x, scale: nan}\n", 1, "expected a number"),
        ("\n\na/#/b: x\n", 3, "MQTT topic filter"),
        ("a/b+: x\n", 1, "MQTT topic filter"),
        ("ptw/v1/x: x\n", 1, "need no map"),
        ("'#': x\n", 1, "need no map"),
        ("a/+: '{2}/x'\n", 1, "1 wildcards"),
        ("a: x\na: y\n", 2, "once"),
        ("- a\n", 1, "mapping"),
        ("a: [\n", 2, "YAML"),
        ("{}\n", 1, "found none"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TopicMapError) as caught:
        load(path)
    assert any(p.startswith(f"{path}:{line}: ") and what in p for p in caught.value.problems), caught.value.problems


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(TopicMapError) as caught:
        load(written(tmp_path, "a: {tag: x, scale: q}\nb: {field: y}\n"))
    assert len(caught.value.problems) == 2
    with pytest.raises(TopicMapError, match="readable"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff", "not_utf8"),
        (b"", "not_json"),
        (b"hello", "not_json"),
        (b"nan", "bad_number"),
        (b"-Infinity", "bad_number"),
        (b"1e999", "not_json"),
        (b"1e17", "bad_number"),
        (b'"5"', "wrong_type"),
        (b"[5]", "wrong_type"),
        (b'{"n":5}', "wrong_type"),
        (b"[" * 20_000, "not_json"),
    ],
)
def test_what_is_no_number_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        TopicMap((Rule("a", "x"),)).convert("a", body, 0)
    assert caught.value.reason == reason


def test_a_wildcard_must_not_smuggle_a_strange_tag_in() -> None:
    topics = TopicMap((Rule("a/+", "{1}/n"),))
    with pytest.raises(WireError, match="no tag name"):
        topics.convert("a/ä$", b"1", 0)
    with pytest.raises(WireError, match="no rule"):
        topics.convert("a/b/c", b"1", 0)
    assert TopicMap((Rule("a", "x"),)).convert("a", b" on ", 0).value == 1.0
