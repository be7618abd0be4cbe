"""What a demo run left on disk: the journal, the gateway's outbox, the virtual plant's truth log. Read-only."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardware.demo_report import Gap, Source
from hardware.outbox import issued, pending


@dataclass(slots=True)
class JournalFacts:
    """The numbers in the journal by source and epoch, the ranges given up, commands sent and the answers to them."""

    numbers: dict[Source, set[int]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)


def read_journal(folder: Path) -> JournalFacts:
    """Read `journal.db` (see docs/architecture.md for its table); empty facts where there is none."""
    facts = JournalFacts()
    path = folder / "journal.db"
    if not path.exists():
        return facts
    with closing(_open(path)) as database:
        kinds = "('data', 'event', 'gap', 'cmdack', 'hist')"
        numbered = f"SELECT source, e, s FROM rows WHERE kind IN {kinds} AND s IS NOT NULL"  # noqa: S608 - a constant
        for source, epoch, number in database.execute(numbered):
            facts.numbers.setdefault((str(source), str(epoch)), set()).add(int(number))
        told = "SELECT kind, source, e, body FROM rows WHERE kind IN ('gap', 'cmd', 'cmdack') ORDER BY pos"
        for kind, source, epoch, body in database.execute(told):
            _note(facts, str(kind), (str(source), str(epoch)), _parsed(body))
    return facts


def _note(facts: JournalFacts, kind: str, source: Source, body: dict[str, Any]) -> None:
    if kind == "gap" and {"from", "to"} <= body.keys():
        facts.gaps.append((source, int(body["from"]), int(body["to"])))
    elif kind == "cmd" and "id" in body:
        facts.commands.append(str(body["id"]))
    elif kind == "cmdack" and "id" in body:
        facts.steps.append((str(body["id"]), str(body.get("step"))))


def _parsed(body: bytes | str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_outbox(folder: Path) -> tuple[dict[Source, int], int]:
    """The newest number issued for each source and epoch, and how many messages of earlier epochs were abandoned."""
    path = folder / "outbox.db"
    if not path.exists():
        return {}, 0
    with closing(_open(path)) as database:
        abandoned = database.execute("SELECT COALESCE(SUM(abandoned), 0) FROM sources").fetchone()[0]
    return issued(path), int(abandoned)


def undelivered(folder: Path) -> int:
    """How many readings wait in the outbox; an outbox that is being written is looked at again by the caller."""
    return pending(folder / "outbox.db")


def read_truth(folder: Path) -> list[dict[str, Any]]:
    """The rows of `truth.jsonl`; a last line that is not whole is left out."""
    path = folder / "truth.jsonl"
    if not path.exists():
        return []
    rows = [_parsed(line) for line in path.read_text().splitlines()]
    return [row for row in rows if "t" in row and "wip" in row]
