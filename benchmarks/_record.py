"""How figures are measured, shown and kept: pairs taken in turn, their median, a result file that names the machine."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One row: a ratio against a peer (None where it could not be measured), the target, how often, and its spread.

    `row` is a number for speed and "Q" and a number for quality; there the ratio may be a plain figure.
    """

    row: int | str
    what: str
    peer: str
    ratio: float | None
    target: str
    n: int
    spread: tuple[float, float] | None


def in_order(row: int | str) -> tuple[bool, int]:
    """Sorts rows: speed first, then quality."""
    return str(row).startswith("Q"), int(str(row).lstrip("Q"))


def interleave(ours: Callable[[], float], theirs: Callable[[], float], n: int) -> tuple[list[float], list[float]]:
    """Call both in turn, n times each; their results in order."""
    mine, others = [], []
    for _ in range(n):
        others.append(theirs())
        mine.append(ours())
    return mine, others


def ratios(mine: list[float], others: list[float]) -> tuple[float, tuple[float, float]]:
    """Median, least and greatest of the pairwise ratios."""
    pairs = [a / b for a, b in zip(mine, others, strict=True)]
    return median(pairs), (min(pairs), max(pairs))


def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions(*names: str) -> dict[str, str]:
    """Versions of Python and of distributions ("not installed" where that is so)."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def keep(
    group: str, figures: list[Figure], libraries: dict[str, str], detail: dict[str, Any], device: str | None = None
) -> Path:
    """Write the result file of a group; return its path. One measured on a named device has a file of its own a day."""
    RESULTS.mkdir(exist_ok=True)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    slug = "" if device is None else f"-{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}-{today}"
    path = RESULTS / f"{group}{slug}.json"
    content: dict[str, Any] = {
        "command": f"plantwin bench {group}",
        "date": today,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "versions": libraries,
        "figures": [asdict(figure) for figure in figures],
        "detail": detail,
    }
    if device is not None:
        content["device"] = device
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def show(figures: list[Figure]) -> str:
    """The figures as lines for people."""
    lines = []
    for figure in figures:
        spread = "" if figure.spread is None else f" ({figure.spread[0]:.3g} to {figure.spread[1]:.3g})"
        ratio = "not measured" if figure.ratio is None else f"{figure.ratio:.3g}x{spread}, median of {figure.n}"
        lines.append(f"{figure.row:>3}  {figure.what} / {figure.peer}: {ratio}; target {figure.target}")
    return "\n".join(lines)
