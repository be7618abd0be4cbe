"""What the demo refuses, prepares and decides, without starting the loop."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hardware.demo import MARK, DemoError, Options, check, parts, prepare
from hardware.demo_twin import Operator, TwinApi


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(DemoError, match=f"port {port} is taken"):
            check(Options(port=port))


def test_wrong_options_are_refused() -> None:
    for options in (Options(approve="maybe"), Options(broker="kafka"), Options(speed=0), Options(seconds=-1)):
        with pytest.raises(DemoError):
            check(replace(options, port=0))


def test_a_report_that_could_not_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="--report"):
        check(Options(report=tmp_path / "none" / "r.json"))
    with pytest.raises(DemoError, match="--report"):
        check(Options(report=tmp_path))


def test_a_folder_with_foreign_data_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("precious")
    with pytest.raises(DemoError, match="no demo made"):
        prepare(tmp_path)
    assert (tmp_path / "journal.db").read_text() == "precious"


def test_the_folder_of_an_ended_demo_is_emptied(tmp_path: Path) -> None:
    (tmp_path / MARK).write_text(json.dumps({"pid": 2**22 + 1}))
    (tmp_path / "journal.db").write_text("old")
    prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_running_demo_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MARK).write_text(json.dumps({"pid": os.getpid()}))
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"python\0-m\0plantwin\0demo")
    with pytest.raises(DemoError, match="still runs"):
        prepare(tmp_path)


def test_every_part_is_its_own_plantwin_process(tmp_path: Path) -> None:
    made = parts(Options(data=tmp_path, port=8123), 1, (2, 3), (4, 5))
    assert [part.name for part in made] == "broker ingest twin dashboard plant cable gateway advise".split()
    for part in made:
        assert part.argv[1:4] == ("-m", "plantwin", part.name)
        assert part.argv[-2:] == ("--data", str(tmp_path))
    by_name = {part.name: part.argv for part in made}
    assert by_name["cable"][4:8] == ("--port", "5", "--broker", "127.0.0.1:1")
    assert "127.0.0.1:5" in by_name["gateway"], "the gateway reaches the broker across the cable only"


class FakeApi(TwinApi):
    def __init__(self, rows: list[dict[str, Any]], status: int = 200) -> None:
        super().__init__("", "")
        self.fidelity = "unknown"
        self.rows, self.status, self.posted = rows, status, list[dict[str, Any]]()

    def get(self, path: str) -> Any:
        return self.rows if path == "/recommendations" else {"sync": {"fidelity": self.fidelity}}

    def decide(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.posted.append(body)
        return self.status, "why"


def proposed(name: str, mean: float = 5.0, worse: float = 0.3, status: str = "proposed", **more: Any) -> dict[str, Any]:
    gain = {"mean": mean, "lo": mean - 10, "hi": mean + 10, "unit": "EUR", "worse": worse}
    return {"id": name, "version": 3, "status": status, "control": "cap", "from": 6, "to": 8, "gain": gain, **more}


def test_operator_accepts_the_first_that_is_worth_it_once() -> None:
    api = FakeApi([proposed("r1", status="expired"), proposed("r2", -1.0), proposed("r3")])
    said: list[str] = []
    operator = Operator(api, said.append)
    operator.look()
    assert api.posted == []  # it looks before it acts
    for _ in range(5):
        operator.look()
    assert [(body["id"], body["version"], body["decision"]) for body in api.posted] == [("r3", 3, "accept")]
    assert any("accepted" in line for line in said)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (proposed("r1", -1.0), "no gain"),
        (proposed("r1", 3.0, 0.5), "a loss is as likely"),
        (proposed("r1", checks={"limits": {"ok": False, "note": "cap40 <= 12"}}), "limits: cap40 <= 12"),
    ],
)
def test_operator_leaves_a_doubtful_one_alone_and_says_why(row: dict[str, Any], why: str) -> None:
    api = FakeApi([row])
    said: list[str] = []
    operator = Operator(api, said.append)
    for _ in range(5):
        operator.look()
    assert api.posted == []
    assert len([line for line in said if "left alone" in line and why in line]) == 1


def test_operator_waits_until_the_twin_is_trusted() -> None:
    api = FakeApi([proposed("r1", checks={"twin fidelity": {"ok": False, "note": "unknown"}})])
    said: list[str] = []
    operator = Operator(api, said.append)
    for _ in range(4):
        operator.look()
    assert api.posted == []
    assert len([line for line in said if "left alone" in line]) == 1
    api.fidelity = "green"
    operator.look()
    assert len(api.posted) == 1


def test_operator_goes_on_after_a_refusal() -> None:
    api = FakeApi([proposed("r1")], status=409)
    operator = Operator(api, print)
    for _ in range(4):
        operator.look()
    assert len(api.posted) == 2
    assert operator.accepted is None


def test_an_absent_twin_is_no_error() -> None:
    api = TwinApi("http://127.0.0.1:1", "http://127.0.0.1:1")
    assert api.get("/state") is None
    assert api.decide({}) == (0, None)
    assert api.duplicates() == 0
