"""`plantwin map`: what a mapping makes of a recording and of live topics, and what is left over."""

from __future__ import annotations

import io
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish
from paho.mqtt.enums import MQTTProtocolVersion
from rich.console import Console

import plantwin
from ingest import commands_map, mapping_show
from ingest.mapping import Raw
from ingest.mapping_guess import proposals, words_of
from ingest.mapping_preview import MOST_UNMAPPED, HistoryError, Preview, history
from sim.plantfile import load
from tests.ingest.kit import Running
from tests.ingest.mappings import CELL, T0, line3, mapped

SMALL = "mapping: 1\ntags:\n  turn/count: {from: shop/turn, field: n, counter: 16}\n  mill/count: shop/mill\n"


def run(*arguments: str) -> int:
    try:
        return plantwin.main(["map", *arguments])
    except SystemExit as stop:
        return int(str(stop.code or 0))


def written(folder: Path, text: str = SMALL, name: str = "mapping.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_check_says_what_is_there_and_what_is_left_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert run(file, "--plant", "line3", "--check") == 0
    out = capsys.readouterr().out
    assert "2 rules, 2 raw names" in out
    assert "8 tags of the plant that no rule feeds: b1/level" in out
    assert run(file, "--plant", "line3", "--check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["raw_names"] == ["shop/turn", "shop/mill"]
    assert run(file, "--check") == 2
    assert "--plant" in capsys.readouterr().err
    assert run(written(tmp_path, SMALL.replace("16", "12")), "--plant", "line3", "--check") == 2
    assert f"{file}:3: " in capsys.readouterr().err


def test_lines_on_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('shop/turn {"n": 4}\nshop/mill x\nshop/other 1\n'))
    assert run(written(tmp_path), "--plant", "line3") == 0
    assert capsys.readouterr().out.splitlines() == [
        "shop/turn: turn/count = 4",
        "shop/mill: mill/count: expected a number, found 'x'",
        "shop/other: unmapped",
    ]


RECORDING = f"""t,name,value
{T0},shop/mill,5
2026-01-05T09:00:01,shop/mill,7
2026-01-05T08:00:02+00:00,shop/mill,9
{T0 + 3000},shop/wash/count,9
"""


def test_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = written(tmp_path, RECORDING, "r.csv")
    arguments = (written(tmp_path), "--plant", "line3", "--history", recording, "--rule", "mill/count")
    assert run(*arguments) == 0
    out = capsys.readouterr().out
    for text in (
        "01-05 09:00:00",
        "01-05 09:00:02",
        "mill/count = 9",
        "shop/wash/count",
        "unheard",
        "wash/count: {from",
    ):
        assert text in out
    assert run(*arguments, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [(one["t"] - T0, one["output"]) for one in report["timeline"]] == [
        (0, "mill/count = 5"), (1000, "mill/count = 7"), (2000, "mill/count = 9"),
    ]  # fmt: skip
    mill = report["rules"][1]
    assert (mill["outputs"], mill["first"], mill["last"]) == (3, T0, T0 + 2000)
    assert report["unheard"] == ["shop/turn"]
    assert report["silent"] == ["turn/count"]
    assert [one["tag"] for one in report["proposals"]] == ["wash/count"]
    assert run(*arguments[:-1], "mil/count") == 2
    assert "did you mean 'mill/count'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("time,name,value\n", ":1: expected the columns t, name, value, found time, name, value"),
        ("", ":1: expected the columns t, name, value, found none"),
        ("t,name,value\nnow,a,1\n", ":2: t: expected UTC milliseconds"),
        ("t,name,value\n1,a,\xff\n", "UTF-8"),
    ],
)
def test_a_wrong_recording_is_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(HistoryError) as caught:
        list(history(path, "UTC"))
    assert what in str(caught.value)
    assert run(written(tmp_path), "--plant", "line3", "--history", str(path)) == 2


def test_the_preview_counts_what_rules_refuse_and_bounds_what_it_keeps() -> None:
    preview = Preview(mapped(CELL), line3())
    preview.hear(T0, "word/1", 6)
    preview.hear(T0 + 1, "word/1", "x")
    for k in range(MOST_UNMAPPED + 5):
        preview.hear(T0, f"other/{k}", k)
    report = preview.report()
    state = report["rules"][0]
    assert (state["outputs"], state["refused"], state["newest"]) == (1, 1, "turn/state = work")
    assert len(report["unmapped"]) == MOST_UNMAPPED
    assert report["unmapped_beyond"] == 5


def test_a_live_preview_by_json_and_by_table(
    broker: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path)
    stop = threading.Event()

    def say() -> None:
        n = 0
        while not stop.wait(0.1):
            n += 1
            said = [
                ("shop/turn", f'{{"n": {n}}}'),
                ("shop/mill", "4"),
                ("Shop/B2/Level", "3"),
                ("ptw/v1/a/b/c/d/ack", "{}"),
            ]
            messages: list[Any] = [{"topic": topic, "payload": body, "qos": 1} for topic, body in said]
            publish.multiple(messages, port=broker.port, protocol=MQTTProtocolVersion.MQTTv5)

    thread = threading.Thread(target=say)
    thread.start()
    try:
        address = ("--plant", "line3", "--broker", f"127.0.0.1:{broker.port}")
        assert run(file, *address, "--seconds", "1.5", "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert run(file, *address, "--once", "--seconds", "10") == 0
        table = capsys.readouterr().out
        assert run(file, *address, "--listen", "nothing/#", "--once", "--json") == 0
        narrow = json.loads(capsys.readouterr().out)
    finally:
        stop.set()
        thread.join()
    assert [entry["name"] for entry in report["raw"]] == ["shop/turn", "shop/mill"]
    assert report["raw"][0]["heard"] >= 3
    assert report["raw"][0]["led_to"][0].startswith("turn/count = ")
    names = [entry["name"] for entry in report["unmapped"]]
    assert "Shop/B2/Level" in names
    assert not [name for name in names if name.startswith("ptw/")]
    assert "b2/level: {from: Shop/B2/Level}" in [one["line"] for one in report["proposals"]]
    assert "mill/count = 4" in table
    assert narrow["unmapped"] == []
    assert narrow["unheard"] == []


def test_the_live_screen(broker: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table as a terminal shows it, for a few turns."""
    screen = io.StringIO()
    monkeypatch.setattr(mapping_show, "console", lambda: Console(file=screen, force_terminal=True, width=140))
    listening = commands_map.Listening(mapped(SMALL), line3(), f"127.0.0.1:{broker.port}", "nothing/#")
    preview = Preview(mapped(SMALL), line3())
    listening.link.start()
    until = commands_map._Until(once=True, seconds=5.0, as_json=False)
    preview.hear(T0, "shop/mill", "4")
    preview.hear(T0, "shop/x", "4")
    preview.hear(T0, "shop/turn", "{}")
    turns = iter([False, False, True])
    monkeypatch.setattr(until, "reached", lambda _: next(turns))
    try:
        commands_map._watch(listening, preview, until)
    finally:
        listening.link.stop()
    for text in (
        "raw name",
        "mill/count = 4",
        "mill/count: 1",
        "expected the field n",
        "min",
        "unmapped",
        "shop/x",
        "not fed",
    ):
        assert text in screen.getvalue()


def test_no_broker_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert run(file, "--plant", "line3", "--broker", "127.0.0.1:1", "--seconds", "0.3") == 1
    assert "no broker answered" in capsys.readouterr().err
    assert run(file, "--plant", "line3", "--broker", "nowhere") == 2
    assert run(written(tmp_path, "a/b: turn/count\n", "t.yaml"), "--broker", "127.0.0.1:1") == 2
    assert run(written(tmp_path, "mapping: 1\ntags: {turn/count: a/+}\n"), "--plant", "line3", "--broker", "a:1") == 2
    assert "expected an MQTT topic" in capsys.readouterr().err


def test_words_of_a_name() -> None:
    assert words_of("Shop/TurnPartCount_2") == {"shop", "turn", "part", "count", "2", "turnpartcount"}
    assert {"packml", "ns"} <= words_of("ns=2;s=Wash.PackML")


GEARMOTOR = load("gearmotor")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("plc/Turning_2/Status", "Execute", "turning/2/state: {from: plc/Turning_2/Status, packml: true}"),
        ("Grinding.State", "work", "grinding/state: {from: Grinding.State, values: {idle: idle"),
        ("ns=2;s=Grinding.State", 6, 'grinding/state: {from: "ns=2;s=Grinding.State", packml: true}'),
        ("line", b'{"hobbing": {"gm40": {"good": 12}}}', "hobbing/out/gm40: {from: line, field: hobbing.gm40.good,"),
    ],
)
def test_proposals_for_obvious_names(name: str, value: Raw, line: str) -> None:
    found = proposals({name: value}, [s.tag for s in GEARMOTOR.sensors], GEARMOTOR)
    assert [one.line[: len(line)] for one in found] == [line]
    mapped(f"mapping: 1\ntags:\n  {found[0].line}\n", GEARMOTOR)  # it can be put into the file as it is


@pytest.mark.parametrize(
    "names",
    [
        ["turning/state"],  # which of the two?
        ["hobbing/good"],  # of which product?
        ["grinding/temperature"],
        ["a/grinding/state", "b/grinding/state"],  # two names for one tag
    ],
)
def test_no_proposals_where_it_is_not_obvious(names: list[str]) -> None:
    assert proposals(dict.fromkeys(names, 1), [s.tag for s in GEARMOTOR.sensors], GEARMOTOR) == []
