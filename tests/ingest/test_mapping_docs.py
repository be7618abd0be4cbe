"""What docs/mapping.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingest.mapping_preview import Preview, history
from tests.ingest.mappings import line3, mapped

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "mapping.md").read_text()
BLOCKS = dict[str, str](re.findall(r"^```\w+ (\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
RULES = re.findall(r"^\| [^|]+ \| `(.+)` \|$", PAGE, re.MULTILINE)


def test_every_yaml_block_has_a_test() -> None:
    assert len(re.findall(r"^```yaml", PAGE, re.MULTILINE)) == 1
    assert len(RULES) == 24


def test_the_worked_example(tmp_path: Path) -> None:
    mapping = mapped(BLOCKS["mapping"])
    assert mapping.notes == ()
    assert set(mapping.unfed) == {"wash/state", "wash/count", "b2/level", "finished/on_hand", "finished/backorder"}
    path = tmp_path / "recording.csv"
    path.write_text(BLOCKS["recording"])
    preview = Preview(mapping, line3(), "turn/state")
    for t, name, value in history(path, "Europe/Berlin"):
        preview.hear(t, name, value)
    assert [(clock(t), text) for t, text in preview.timeline if "=" not in text] == [
        ("05:52:12", "micro_stop of turn unknown"),
        ("06:10:00", "down of turn count 1 unknown"),
        ("06:10:00", "down of turn count 1 chip jam"),
    ]
    preview.advance(preview.heard["holding/100:uint16"].t + 5_000)
    assert preview.timeline[-2][1] == "up of turn"
    report = preview.report()
    newest = {rule["rule"]: rule.get("newest") for rule in report["rules"]}
    assert newest["turn/count"] == "turn/count = 65537"
    assert newest["mill/count"] == "mill/count = 1"
    assert newest["mill/state"] == "mill/state = down"
    assert [entry["name"] for entry in report["unmapped"]] == ["holding/300:uint16"]
    assert all("refused" not in rule for rule in report["rules"])


def clock(t: int) -> str:
    from zoneinfo import ZoneInfo

    from ingest.mapping_show import clock as shown

    return shown(t, ZoneInfo("Europe/Berlin")).split()[1]


@pytest.mark.parametrize("line", RULES)
def test_each_rule_of_the_table(line: str) -> None:
    if line.startswith("- "):
        mapping = mapped(f"mapping: 1\ntags:\n  turn/count: r\nevents:\n  {line}\n")
        assert mapping.rules[1].event is not None
    else:
        assert mapped(f"mapping: 1\ntags:\n  {line}\n").tags() == (line.partition(":")[0],)
