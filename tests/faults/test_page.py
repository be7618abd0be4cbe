"""docs/faults.md names tests that exist, and shows the figures that were measured."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def there_are() -> set[str]:
    """The name of every test function."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        functions = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef)]
        found |= {function.name for function in functions if function.name.startswith("test_")}
    return found


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 50
    assert named - there_are() == set()


def test_the_page_shows_the_campaign_that_was_kept() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "faults.json").read_text(encoding="utf-8"))
    verdict = kept["verdict"]
    assert kept["good"]
    assert sum(kept["kills"].values()) >= 20
    assert verdict["readings"] >= 1_000_000
    for number in (verdict["readings"], verdict["messages"], verdict["events"], kept["rows"], verdict["unread"]):
        assert f"{number:,}" in PAGE
    assert kept["hash_live"] == kept["hash_replay"]
