"""The rules of the contract one by one: a recording that keeps them all, and for each rule one that breaks only it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import plantwin
from ingest.conformance import RULES, Finding, check
from ingest.conformance_live import as_json, as_text, write_recording
from ingest.conformance_log import Log, RecordingError, Seen, read_recording
from tests.ingest.kit import CELL1, CELL2

NOW = 1_767_600_000_000
NAMES = ["idle", "work", "blocked", "starved", "setup", "down", "off"]
BIRTH: dict[str, Any] = {
    "v": 1, "e": "e1", "s": 1, "sw": "test 1",
    "tags": [
        {"i": 0, "name": "turn/state", "type": "enum", "enum": NAMES},
        {"i": 1, "name": "turn/count", "type": "counter"},
        {"i": 2, "name": "oven/t", "type": "float"},
    ],
}  # fmt: skip


def seen(kind: str, body: dict[str, Any] | bytes, root: str = CELL1, **changes: Any) -> Seen:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = Seen(f"{root}/{kind}", raw, retained=kind in ("birth", "status"), recv=NOW)
    return msgspec.structs.replace(found, **changes)


def data(s: int, values: dict[int, float], **changes: Any) -> Seen:
    n = len(values)
    body = {"e": "e1", "s": s, "t0": NOW, "i": list(values), "dt": [0] * n, "v": list(values.values()), "q": [0] * n}
    return seen("data", body | changes)


def event(s: int, kind: str, **more: Any) -> Seen:
    return seen("event", {"e": "e1", "s": s, "t": NOW, "kind": kind, "thing": "turn"} | more)


def good() -> list[Seen]:
    """A gateway that keeps every rule; a killed one too, so that its will is in it."""
    return [
        seen("birth", BIRTH),
        seen("status", {"online": True, "e": "e1", "ts": NOW}),
        data(1, {0: 1, 1: 5, 2: 20.5}),
        event(2, "work_end", count=6),
        event(3, "setup", state="setup"),
        data(4, {0: 0, 1: 7}),
        seen("gap", {"e": "e1", "s": 6, "from": 5, "to": 5, "why": "outbox_full"}),
        seen("cmdack/c1", {"e": "e1", "s": 7, "id": "c1", "step": "received", "t": NOW}),
        seen("cmdack/c1", {"e": "e1", "s": 8, "id": "c1", "step": "accepted", "t": NOW}),
        seen("cmdack/c1", {"e": "e1", "s": 9, "id": "c1", "step": "executed", "read_back": 8, "t": NOW}),
        seen("status", {"online": False, "e": "e1", "ts": 0}),
        seen("status", {"online": True, "e": "e1", "ts": NOW}),
    ]


def without(kind: str) -> list[Seen]:
    return [one for one in good() if not one.topic.endswith(f"/{kind}")]


def swapped(where: int, new: Seen) -> list[Seen]:
    found = good()
    found[where] = new
    return found


def with_birth(**changes: Any) -> Seen:
    return seen("birth", BIRTH | changes)


BROKEN: dict[str, Callable[[], list[Seen]]] = {
    "birth": lambda: without("birth"),
    "birth-retained": lambda: swapped(0, seen("birth", BIRTH, retained=False)),
    "birth-first": lambda: [*good(), seen("event", {"e": "e9", "s": 1, "t": NOW, "kind": "alarm", "thing": "turn"})],
    "birth-same": lambda: [*good(), with_birth(tags=[{"i": 1, "name": "mill/count", "type": "counter"}])],
    "epoch-own": lambda: [*good(), seen("birth", BIRTH, CELL2)],
    "topics": lambda: [*good(), seen("dta", {})],
    "size": lambda: [*good(), data(10, {1: 8}, x="x" * 17_000)],
    "payload": lambda: [*good(), data(10, {1: 8}, t0="now")],
    "columns": lambda: [*good(), data(10, {1: 8}, q=[0, 0])],
    "gap": lambda: [*good(), seen("gap", {"e": "e1", "s": 10, "from": 9, "to": 10, "why": "x"})],
    "tags": lambda: [*good(), data(10, {9: 8})],
    "qos": lambda: swapped(3, msgspec.structs.replace(good()[3], qos=0)),
    "not-retained": lambda: swapped(3, msgspec.structs.replace(good()[3], retained=True)),
    "status": lambda: [*good(), seen("status", {"online": True, "e": "e0", "ts": NOW})],
    "sequence-first": lambda: swapped(0, with_birth(s=2)),
    "sequence-once": lambda: [*good(), event(2, "work_end", count=6, text="again")],
    "sequence-holes": lambda: [*good(), event(12, "work_end", count=9)],
    "epoch-turn": lambda: [*good(), with_birth(e="e2"), data(10, {1: 8}), with_status("e2")],
    "counters": lambda: [*good(), data(10, {1: 6})],
    "states": lambda: [*good(), data(10, {0: 7})],
    "types": lambda: [*good(), data(10, {0: 1.5})],
    "events-assert": lambda: [*good(), event(10, "work_end")],
    "plant-time": lambda: [*good(), data(10, {1: 8}, t0=NOW // 1000)],
    "cmdack": lambda: [*good(), seen("cmdack/c1", {"e": "e1", "s": 10, "id": "c1", "step": "accepted", "t": NOW})],
}
"""For each rule a recording of a publisher that breaks it and nothing else."""


def with_status(epoch: str) -> Seen:
    return seen("status", {"online": True, "e": epoch, "ts": NOW})


def verdicts(messages: list[Seen]) -> dict[str, Finding]:
    return {one.rule: one for one in check(Log.of(messages, CELL1))}


def test_a_good_gateway_keeps_every_rule() -> None:
    assert {one.verdict for one in verdicts(good()).values()} == {"pass"}


@pytest.mark.parametrize("rule", [rule.id for rule in RULES if rule.id != "will"])
def test_exactly_the_broken_rule_fails(rule: str) -> None:
    found = verdicts(BROKEN[rule]())
    assert [name for name, one in found.items() if one.verdict == "fail"] == [rule]
    assert found[rule].why
    assert found[rule].page


@pytest.mark.parametrize(
    ("rule", "messages"),
    [
        ("counters", [*good(), event(10, "work_end", count=5)]),
        ("states", [*good(), event(10, "up", state="running")]),
        ("sequence-once", [*good(), seen("data", {**json.loads(good()[2].body), "v": [1, 5, 21]})]),
        ("plant-time", [*good(), event(10, "work_end", count=7, t=NOW + 600_000)]),
        ("plant-time", [*good(), event(10, "work_end", count=7, t=NOW - 90 * 86_400_000)]),
        ("payload", [*good(), seen("data", b"\xff\xfe")]),
        ("payload", [*good(), data(10, {1: 2.0**60})]),
        ("birth-same", [*good(), with_birth(s=1, tags=[*BIRTH["tags"][:2], {"i": 2, "name": "x", "type": "int"}])]),
        ("status", without("status")),
        ("cmdack", [*good(), seen("cmdack/c2", {"e": "e1", "s": 10, "id": "c3", "step": "received", "t": NOW})]),
        ("cmdack", [*good(), seen("cmdack/c2", {"e": "e1", "s": 10, "id": "c2", "step": "rejected", "t": NOW})]),
        ("sequence-first", [*good(), event(0, "work_end", count=1)]),
        ("events-assert", [*good(), event(10, "state")]),
    ],
)  # fmt: skip
def test_other_ways_to_break_a_rule(rule: str, messages: list[Seen]) -> None:
    assert verdicts(messages)[rule].verdict == "fail"


def test_what_is_allowed_is_not_called_wrong() -> None:
    original = json.loads(good()[2].body)
    again = [
        good()[2],  # a replay, word for word
        *([data(10, {1: 8}, i=[1, 1], dt=[0, 1], v=[8, 9], q=[0, 0])] * 2),  # two counts in one message, sent twice
        seen("hist", original | {"h": 1}),  # the same number as history
        with_birth(plant_time={"origin": NOW, "speed": 60, "wall": NOW}),
    ]
    found = verdicts([*good(), *again])
    assert [name for name, one in found.items() if one.verdict == "fail"] == []
    new_epoch = [with_birth(e="e2"), seen("data", original | {"e": "e2", "v": [0, 0, 0]}), with_status("e2")]
    found = verdicts([*good(), *new_epoch])
    assert [name for name, one in found.items() if one.verdict == "fail"] == []  # a new epoch counts from zero


def test_what_cannot_be_judged_says_what_would_help() -> None:
    silent = verdicts([])
    assert {one.verdict for one in silent.values()} <= {"unjudged", "pass"}
    assert "is the gateway running" in silent["birth"].why
    quiet = verdicts([seen("birth", BIRTH), with_status("e1")])
    assert (quiet["will"].verdict, quiet["sequence-holes"].verdict) == ("unjudged", "unjudged")
    assert "kill it" in quiet["will"].why
    arriving = [*good(), event(20, "work_end", count=30), seen("hist", json.loads(good()[2].body) | {"h": 1})]
    assert verdicts(arriving)["sequence-holes"].verdict == "unjudged"


def test_a_failure_shows_the_message_and_the_page() -> None:
    findings = check(Log.of([*good(), data(10, {1: 6})], CELL1))
    text = as_text(CELL1, findings, 13)
    assert "turn/count fell from 7 to 6 inside epoch e1" in text
    assert f"{CELL1}/data (QoS 1): " in text
    assert "the page says: Counters are cumulative since the epoch" in text
    assert text.endswith(f"{len(RULES) - 1} rules kept, 1 broken, 0 could not be judged")
    told = as_json(CELL1, findings, 13)
    assert told["ok"] is False
    assert [one["rule"] for one in told["findings"] if one["verdict"] == "fail"] == ["counters"]


def test_many_faults_are_counted_and_few_are_shown() -> None:
    found = verdicts([*good(), *(data(10 + n, {0: 9}) for n in range(50))])["states"]
    assert found.faults == 50
    assert len(found.samples) == 3
    assert found.why.endswith("(and 49 more)")


def test_a_recording_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    messages = [*good(), seen("data", b"\xff\x00")]
    assert write_recording(path, messages) == 13
    assert read_recording(path) == messages
    path.write_text('{"topic":"a","payload":"x"}\n\n{"topic":1}\n')
    with pytest.raises(RecordingError, match=r"log\.jsonl:3: "):
        read_recording(path)
    path.write_text('{"topic":"a"}\n')
    with pytest.raises(RecordingError, match="expected a payload"):
        read_recording(path)


def run(*arguments: str) -> int:
    try:
        return plantwin.main(["wire", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_the_command_on_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    write_recording(path, good())
    assert run("check", "--file", str(path)) == 0
    assert "0 broken" in capsys.readouterr().out
    write_recording(path, BROKEN["states"]())
    assert run("check", "--file", str(path), "--json") == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["root"], told["ok"]) == (CELL1, False)
    path.write_text("")
    assert run("check", "--file", str(path)) == 2
    assert "no message of a gateway" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "--broker", "nowhere", "--root", CELL1], "expected HOST:PORT"),
        (["check", "--root", "ptw/v1/demo"], "expected ptw/v1/site/area/line/cell"),
        (["check", "--root", CELL1, "--command", "cap=8"], "belong together"),
        (["check", "--root", CELL1, "--active", "--command", "cap=8", "--key", "none.pem"], "no private key"),
        (["check", "--file", "no-such-file"], "no-such-file"),
        (["record", "out.jsonl", "--root", CELL1, "--cert", "a.crt"], "cert and key without ca"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert told in capsys.readouterr().err
