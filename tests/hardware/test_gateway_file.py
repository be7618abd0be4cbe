"""The gateway's configuration: errors by line, what it leaves open, and every example in the docs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.buses import check_url, make_adapter
from hardware.gateway_check import run_check
from hardware.gateway_file import ConfigError, check_file, read_config
from tests.hardware.plc import OpcUaPlc, tags_of

PROJECT = Path(__file__).parents[2]
HEAD = "plant: line3\nbroker: 127.0.0.1:1883\n"
OPCUA = HEAD + "fieldbus: opc.tcp://plc1:4840\ntags:\n  turn/count: ns=2;s=Turn.Count\n"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "gw.yaml"
    file.write_text(text)
    return [p.removeprefix(f"{file}:") for p in check_file(file, tmp_path).problems]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1: the file: expected a gateway's configuration, found nothing"),
        ("[", "1: YAML: expected well-formed YAML"),
        ("plant: line3\n", "1: the file: expected the key 'fieldbus', found none; write for example"),
        (HEAD + "fieldbus: plc1:80\ncolour: red\n", "4: the file: expected a known key, found 'colour'"),
        (
            HEAD + "fieldbus: s7://plc1\n",
            "3: fieldbus: expected something that fits (fieldbus 's7://plc1': expected one of",
        ),
        (HEAD + "fieldbus: modbus://plc1?unit=300\n", "3: fieldbus: expected something that fits"),
        (HEAD + "fieldbus: csv:log.csv\n", "3: fieldbus: expected something that fits"),
        (
            HEAD + "fieldbus: opc.tcp://u:secret@plc1\n",
            "3: fieldbus: expected something that fits (fieldbus: no password",
        ),
        (HEAD + "fieldbus: opc.tcp://plc1:4840\n", "3: fieldbus: expected a table 'tags' beside it, found none"),
        (OPCUA + "  turn/cuont: i=5\n", "6: tags: expected a tag of the plant line3, found 'turn/cuont'; did you mean"),
        (
            OPCUA + "  mill/count: Mill.Count\n",
            "6: tags, mill/count: expected something that fits ('Mill.Count' is no node",
        ),
        (OPCUA + "deadband: {b1/level: -1}\n", "6: deadband, b1/level: expected a number from 0 to"),
        (OPCUA + "outbox: {max_mb: 0}\n", "6: outbox, max_mb: expected a number from 0.1 to 1e+06 (megabytes)"),
        (OPCUA + "cells: [cell9]\n", "6: cells 1: expected cell1, found 'cell9'"),
        (OPCUA + "opcua: {security: Basic128Rsa15}\n", "6: opcua, security: expected Basic256Sha256 or"),
        (OPCUA + "opcua: {security: Basic256Sha256}\n", "6: opcua, security: expected certificate and key beside it"),
        (OPCUA + "opcua: {certificate: nowhere.pem}\n", "6: opcua, certificate: expected a file that exists"),
        (OPCUA + "opcua: {watchdog_s: 0.1}\n", "6: opcua, watchdog_s: expected a number from 1 to 600 (seconds)"),
        (OPCUA + "modbus: {order: abdc}\n", "6: modbus, order: expected abcd or cdab or badc or dcba"),
        (
            OPCUA + "plc: {controls: {cap: {request: i=1}}}\n",
            "6: plc, controls, cap: expected the key 'fallback', found none",
        ),
        (
            OPCUA + "plc: {controls: {cop: {}}}\n",
            "6: plc, controls: expected a control of the plant line3, found 'cop'",
        ),
        (OPCUA + "plc: {heartbeat: beat}\n", "6: plc, heartbeat: expected something that fits"),
        (OPCUA + "tls: {ca: ca.pem, cert: c.pem}\n", "6: tls: expected "),
        (OPCUA.replace("line3", "line99"), "1: plant: expected a bundled plant or a plant file without errors"),
        (HEAD + "fieldbus: h:1\nplc: {heartbeat: x}\n", "4: plc: expected no such section with a virtual plant"),
    ],
)
def test_errors_name_line_expected_found_and_what_to_do(tmp_path: Path, text: str, says: str) -> None:
    found = problems(tmp_path, text)
    assert any(p.startswith(says) for p in found), found


def test_all_problems_are_told_at_once_and_in_order(tmp_path: Path) -> None:
    text = "plant: line3\nfieldbus: opc.tcp://plc1\nbroker: nowhere\nhist_rate: fast\ntags: {x: i=1, b1/level: y}\n"
    assert [p.partition(":")[0] for p in problems(tmp_path, text)] == ["3", "4", "5", "5"]
    with pytest.raises(ConfigError, match=r"gw\.yaml:3: broker"):
        read_config(tmp_path / "gw.yaml", tmp_path)


def test_what_a_correct_file_leaves_open_is_told(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text(OPCUA + "  set/cap: ns=2;s=Cap\ncells: [cell1]\n")
    checked = check_file(file, tmp_path)
    assert checked.problems == []
    assert "turn/state" in checked.uncovered
    assert "turn/count" not in checked.uncovered
    assert any("commands of cap will be refused: plc.controls names no words of cap" in n for n in checked.notes)
    assert any("no raw name is configured for mode" in n for n in checked.notes)


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("127.0.0.1:5020", "plant"), ("opc.tcp://plc1:4840/path", "opc.tcp"), ("modbus://plc1?unit=7", "modbus"),
        ("mqtt://localhost", "mqtt"), ("csv:a/b.csv?speed=60", "csv"), ("csv:a/b.csv?follow=1", "csv"),
    ],
)  # fmt: skip
def test_urls(url: str, scheme: str) -> None:
    assert check_url(url) == scheme


def yaml_blocks() -> list[tuple[str, str]]:
    """Every YAML block of the pages, (page and number, text)."""
    found = []
    for page in ("gateway.md", "plc.md"):
        text = (PROJECT / "docs" / page).read_text()
        found += [(f"{page}-{n}", block) for n, block in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))]
    return found


@pytest.mark.parametrize(("name", "block"), yaml_blocks(), ids=[name for name, _ in yaml_blocks()])
def test_every_example_of_the_docs_is_read(tmp_path: Path, name: str, block: str) -> None:
    """A fragment is completed to a file with the keys it does not have."""
    keys = set(re.findall(r"^(\w+):", block, re.MULTILINE))
    rest = {"plant": "line3", "broker": "127.0.0.1:1883"}
    rest["fieldbus"] = "opc.tcp://plc1:4840"
    for named in re.findall(r": (\S+\.(?:pem|txt))\b", block):
        (tmp_path / Path(named).name).touch()
        block = block.replace(named, str(tmp_path / Path(named).name))
    if "tags" not in keys and not re.search(r"^fieldbus: [\w.]+:\d+", block, re.MULTILINE):
        block += "\ntags: {mode: i=1}\n" if "fieldbus" not in keys else ""
    file = tmp_path / "gateway.yaml"
    (tmp_path / "mapping.yaml").write_text("mapping: 1\ntags:\n  hobbing/queue: r\n")
    file.write_text("".join(f"{k}: {v}\n" for k, v in rest.items() if k not in keys) + block)
    checked = check_file(file, tmp_path)
    assert checked.problems == [], name
    assert checked.config is not None
    if checked.config.tags:
        make_adapter(checked.config, list(checked.config.tags.values()))


def test_a_gateway_reads_its_file_without_the_heavy_libraries(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text(OPCUA)
    program = (
        "import sys; from pathlib import Path\n"
        "import hardware.gateway_service, hardware.gateway_check\n"
        "from hardware.gateway_file import read_config; from hardware.buses import make_adapter\n"
        f"config = read_config(Path({str(file)!r}), Path('.')); make_adapter(config, list(config.tags.values()))\n"
        "heavy = {'numba', 'torch', 'dash', 'simpy', 'scipy', 'numpy', 'asyncua', 'pymodbus'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, timeout=60)


# the command ------------------------------------------------------------------------------------


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "plantwin.py", "gateway", "--check", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)


def test_check_says_2_for_a_wrong_file_and_1_for_one_that_leaves_tags_out(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text(OPCUA + "colour: red\n")
    wrong = check(str(file))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith(f"{file}:6: the file: expected a known key, found 'colour'")
    file.write_text(OPCUA)
    open_ends = check(str(file))
    assert open_ends.returncode == 1
    assert f"{file}: tags: turn/state of the plant file has no raw name" in open_ends.stdout


def test_check_connects_reads_every_tag_and_tells_the_unread_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plc = OpcUaPlc()
    plc.start()
    file = tmp_path / "gw.yaml"
    try:
        tags = tags_of(plc)
        config = {"plant": "line3", "fieldbus": plc.url, "broker": "127.0.0.1:1883", "tags": tags}
        file.write_text(json.dumps(config))
        plc.set("turn/count", 4711)
        assert run_check(file, tmp_path, connect=True, as_json=False) == 0
        table = capsys.readouterr().out
        assert "4711" in table
        assert "12 of 12 tags read" in table
        file.write_text(json.dumps(config | {"tags": tags | {"mill/count": "ns=2;s=Mlil"}}))
        assert run_check(file, tmp_path, connect=True, as_json=True) == 1
        report = json.loads(capsys.readouterr().out.splitlines()[-1])
        line = next(t for t in report["tags"] if t["tag"] == "mill/count")
        assert (line["value"], line["quality"], line["note"]) == (None, "bad", "BadNodeIdUnknown")
        assert [t["tag"] for t in report["tags"] if t["value"] is None] == ["mill/count"]
        assert all(0 <= t["age_s"] < 60 for t in report["tags"] if t["value"] is not None)
    finally:
        plc.stop()
    assert run_check(file, tmp_path, connect=True, as_json=False) == 1
    assert plc.url in capsys.readouterr().out
    assert not (tmp_path / "outbox.db").exists()  # a check writes nothing
