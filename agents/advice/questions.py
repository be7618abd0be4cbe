"""What recommendations were asked from, kept beside the log (`DATA/advice/ID.npz`), so that any can be recomputed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.advice.compare import rows_hash
from agents.errors import AgentError

Rows = NDArray[np.int64]
KEPT = 500
"""Stored questions; the oldest go first."""


def store(data: Path, name: str, rows: Rows, evidence: dict[str, Any]) -> None:
    """Keep the rows [N, W] and the evidence of a recommendation."""
    folder = data / "advice"
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=rows)
    draft = folder / f".{name}.part"
    draft.write_bytes(buffer.getvalue())
    draft.replace(folder / f"{name}.npz")
    (folder / f"{name}.json").write_text(json.dumps(evidence) + "\n", encoding="utf-8")
    for old in sorted(folder.glob("r-*.npz"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
        old.unlink()
        old.with_suffix(".json").unlink(missing_ok=True)


def stored(data: Path, name: str) -> tuple[dict[str, Any], Rows]:
    """Evidence and rows of a recommendation made here; `AgentError` when they are gone or changed."""
    folder = data / "advice"
    try:
        evidence: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        with np.load(folder / f"{name}.npz", allow_pickle=False) as held:
            rows = held["rows"]
    except (OSError, ValueError) as e:
        raise AgentError(f"{name}: no stored question in {folder} ({e}); the last {KEPT} are kept") from e
    if rows_hash(rows) != evidence["rows"]:
        raise AgentError(f"{name}: the stored rows are not those of the evidence; the file was changed")
    return evidence, rows
