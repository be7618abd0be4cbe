"""The function block of `docs/plc.md` as a Python object: its structured text, translated line by line and run.

Only what that block uses is known: one statement a line, IF / ELSIF / ELSE / END_IF, integers and booleans.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import CodeType
from typing import Any

DOC = Path(__file__).parents[2] / "docs" / "plc.md"
_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "TRUE": "True", "FALSE": "False", "MIN": "min", "MAX": "max"}
_TYPES = {"BOOL": (0, 1), "UINT": (0, 2**16 - 1), "DINT": (-(2**31), 2**31 - 1)}


def source(path: Path = DOC) -> str:
    """The block's text without comments."""
    found = re.search(r"```iecst\n(.*?)```", path.read_text(), re.DOTALL)
    assert found is not None, "docs/plc.md has no function block"
    return re.sub(r"\(\*.*?\*\)", "", found.group(1), flags=re.DOTALL)


def _expression(text: str) -> str:
    text = text.replace("<>", "!=").replace("/", "//")
    text = re.sub(r"(?<![<>!:=])=(?!=)", "==", text)
    return re.sub(r"\b[A-Z]+\b", lambda m: _WORDS.get(m.group(), m.group()), text)


def _translate(lines: list[str]) -> str:
    out, depth = [], 0
    for line in lines:
        if line == "END_IF;":
            depth -= 1
            continue
        if line.startswith(("IF ", "ELSIF ")):
            assert line.endswith(" THEN"), line
            word, _, condition = line.removesuffix(" THEN").partition(" ")
            depth -= word == "ELSIF"
            out.append(f"{'    ' * depth}{'elif' if word == 'ELSIF' else 'if'} {_expression(condition)}:")
            depth += 1
        elif line == "ELSE":
            out.append("    " * (depth - 1) + "else:")
        else:
            name, mark, value = line.removesuffix(";").partition(" := ")
            assert mark, line
            assert line.endswith(";"), line
            out.append(f"{'    ' * depth}{name} = {_expression(value)}")
    assert depth == 0, "an IF is not closed"
    return "\n".join(out)


class Block:
    """One instance: `block.scan(diScan=20, xPanel=True, ...)`, then `block["diValue"]`."""

    def __init__(self, **inputs: int) -> None:
        lines = [line.strip() for line in source().splitlines() if line.strip()]
        assert lines[0].startswith("FUNCTION_BLOCK")
        assert lines.pop() == "END_FUNCTION_BLOCK"
        last = len(lines) - 1 - lines[::-1].index("END_VAR")
        self.types: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        for line in lines[1 : last + 1]:
            found = re.fullmatch(r"(\w+) : (BOOL|UINT|DINT)(?: := (\w+))?;", line)
            if found is not None:
                name, kind, first = found.groups()
                self.types[name] = kind
                self.values[name] = False if kind == "BOOL" else int(first or 0)
            else:
                assert line in ("VAR_INPUT", "VAR_OUTPUT", "VAR", "END_VAR"), line
        self._code: CodeType = compile(_translate(lines[last + 1 :]), str(DOC), "exec")
        self.values |= inputs

    def __getitem__(self, name: str) -> int:
        return int(self.values[name])

    def scan(self, **inputs: int) -> None:
        """One call of the block; every variable must stay within its declared type."""
        assert set(inputs) <= set(self.types), inputs
        self.values |= inputs
        functions = {"min": min, "max": max, "LIMIT": lambda low, x, high: min(max(low, x), high)}
        exec(self._code, {"__builtins__": {}, **functions}, self.values)
        for name, kind in self.types.items():
            low, high = _TYPES[kind]
            assert low <= self.values[name] <= high, f"{name} = {self.values[name]} is no {kind}"
