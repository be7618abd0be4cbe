"""Plants that the twin's authors did not make comfortable: `plantwin bench hidden_plants`."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Measure figure Q13."""
    from benchmarks.hidden_plants.cli import main as run

    return run(argv)
