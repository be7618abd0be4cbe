"""The conformance table of `docs/sparkplug.md` names tests that exist, and each id once."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ingest.mapping_rows import topic_problems
from tests.ingest.mappings import mapped

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sparkplug.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| (`tck-id-.+?) \| (.+) \|$", PAGE, re.MULTILINE)


def test_every_test_that_the_page_names_exists() -> None:
    have = {
        node.name
        for path in Path(__file__).parent.glob("test_sparkplug_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named <= have, named - have
    assert len(named) >= 25


def test_every_id_stands_once_and_has_a_test_or_a_reason() -> None:
    ids = [one for names, _ in TABLE for one in re.findall(r"tck-id-[A-Za-z0-9-]+", names)]
    assert len(ids) == len(set(ids)) == 299  # all of the specification
    assert all(re.search(r"`test_\w+`", why) or len(why.split()) >= 5 for _, why in TABLE)
    for must in ("payloads-state-birth", "operational-behavior-host-reordering-rebirth", "conformance-primary-host"):
        why = next(why for names, why in TABLE if f"`tck-id-{must}`" in names)
        assert why.startswith("`test_"), must


def test_the_mapping_of_the_page_is_one() -> None:
    (text,) = re.findall(r"^```yaml\n(mapping: 1\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    mapping = mapped(text)
    assert topic_problems(mapping) == []
    assert set(mapping.tags()) == {"turn/state", "turn/count"}
