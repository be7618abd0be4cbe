"""Schemas, worked examples and the page for gateway authors say the same as the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.codes import REASONS
from ingest.payloads import TYPES
from ingest.schema import EXAMPLES, FOLDER, text
from ingest.wire import Cmd, encode, parse

DOCS = Path(__file__).resolve().parents[2] / "docs" / "wire.md"
BLOCKS = re.findall(r"```json\n(.*?)\n```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_the_schema_file_is_up_to_date_and_its_example_decodes(kind: str) -> None:
    stored = (FOLDER / f"{kind}.json").read_text()
    assert stored == text(kind), "run `python -m ingest.schema`"
    example = json.loads(stored)["examples"][0]
    payload = parse(kind, json.dumps(example).encode())
    assert json.loads(encode(payload)) == example
    assert json.loads(msgspec.json.encode(msgspec.to_builtins(payload))) == example


def test_there_is_one_schema_for_each_payload() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(TYPES) == set(EXAMPLES)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_the_schema_knows_the_fields_and_which_are_needed(kind: str) -> None:
    """Field by field against the decoder: leaving out a needed one is refused, an optional one is not."""
    schema = json.loads((FOLDER / f"{kind}.json").read_text())
    definition: dict[str, Any] = schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    example = EXAMPLES[kind]
    assert set(example) <= set(definition["properties"])
    for name in example:
        less = json.dumps({key: value for key, value in example.items() if key != name}).encode()
        if name in definition["required"]:
            with pytest.raises(ValueError, match=name):
                parse(kind, less)
        elif (kind, name) not in {("hist", "h"), ("req", "e"), ("req", "from"), ("req", "to")}:
            parse(kind, less)


def test_the_page_shows_exactly_the_examples() -> None:
    shown = [json.loads(block) for block in BLOCKS]
    assert len(shown) == len(EXAMPLES)
    assert all(example in shown for example in EXAMPLES.values())


def test_the_page_names_every_reason_and_every_command_field_is_in_the_example() -> None:
    page = DOCS.read_text()
    assert all(reason in page for reason in REASONS)
    assert set(Cmd.__struct_fields__) - {"to"} == set(EXAMPLES["cmd"])
