"""The page of the hidden plants, written from the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._record import Figure


def write_page(path: Path, results: Sequence[dict[str, Any]], figures: Sequence[Figure], asked: dict[str, Any]) -> None:
    """Write the page of the results."""
    path.write_text("# Hidden plants\n", encoding="utf-8")
