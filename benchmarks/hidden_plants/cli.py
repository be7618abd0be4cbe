"""Figure Q13: `plantwin bench hidden_plants [--plants 30] [--seed 0] [--json] [--work DIR] [--page FILE]`.

Each plant's result is kept in the work folder as soon as it is there; a run that was broken off goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks._record import Figure, keep, show, versions
from benchmarks.hidden_plants.page import write_page
from benchmarks.hidden_plants.rivals import LOOKED_AT, RIVALS, SPREAD, best_single, better, score

VERSION = 2
"""Of the results that are kept in the work folder."""
HERE = Path(__file__).parents[2]


def one(seed: int, work: Path, listen_days: float, shifts: int) -> dict[str, Any]:
    """The result of one plant: from the work folder, or measured now and kept there."""
    from benchmarks.hidden_plants.listen import run

    os.environ["OMP_NUM_THREADS"] = "1"
    path = work / f"plant{seed:03d}.json"
    asked = {"version": VERSION, "seed": seed, "listen_days": listen_days, "shifts": shifts}
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept["asked"] == asked:
            return kept["result"]  # type: ignore[no-any-return]
    folder = work / f"plant{seed:03d}"
    result = run(seed, folder, listen_days * 86_400, shifts)
    shutil.rmtree(folder)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"asked": asked, "result": result}), encoding="utf-8")
    partial.replace(path)
    return result


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Results of all plants, by seed, in up to two processes."""
    from rich.console import Console
    from rich.progress import Progress

    given.work.mkdir(parents=True, exist_ok=True)
    seeds = range(given.seed, given.seed + given.plants)
    found: dict[int, dict[str, Any]] = {}
    with (
        Progress(console=Console(stderr=True)) as progress,
        ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool,
    ):
        task = progress.add_task("hidden plants", total=given.plants)
        waiting = {pool.submit(one, s, given.work, given.listen, given.shifts): s for s in seeds}
        for done in as_completed(waiting):
            found[waiting[done]] = done.result()
            progress.advance(task)
    return [score(found[s]) for s in seeds]


def figures_of(results: Sequence[dict[str, Any]]) -> list[Figure]:
    """Shares of plants on which the twin is better, and how well its bands cover."""
    single, n = best_single(results), len(results)

    def share(rival: str, who: str = "twin") -> float:
        return sum(better(r, rival, who) for r in results) / n

    def total(who: str) -> float:
        return max(fmean(r["crps"][who] / r["output"] for r in results), 1e-9)

    def of(what: str, peer: str, value: float, target: str = "none", among: int = n) -> Figure:
        return Figure("Q13", what, peer, value, target, among, None)

    lower = "share of plants with lower CRPS"
    fresh = [better(r, single) for r in results if r["seed"] >= LOOKED_AT]
    mae = sum(r["crps"]["mae"] < r["crps"][single] for r in results) / n
    return [
        of(f"{lower}, best single naive ({single})", "naive", share(single), ">= 0.8"),
        of(f"{lower}, best naive of each plant", "naive", share("best"), ">= 0.8"),
        *(of(f"{lower}, best single, seeds from {LOOKED_AT} on", "naive", fmean(x), ">= 0.8", len(x))
          for x in [fresh] if x),
        of(f"{lower}, {SPREAD} (a sample, no single number)", "naive", share(SPREAD)),
        of(f"share of plants with lower MAE, {single}", "naive", mae),
        of(f"{lower}, corrected by its own counts, best single naive", "naive", share(single, "counted")),
        of(f"{lower}, without correction, best single naive", "naive", share(single, "alone")),
        of("90 % bands cover", "truth", fmean(r["coverage"] for r in results), "0.9"),
        *(of("CRPS over all plants, in units of their output", who, total("twin") / total(who), "< 1")
          for who in (*RIVALS, SPREAD)),
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="plantwin bench hidden_plants", description=__doc__)
    parser.add_argument("--plants", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first plant; the others follow")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, default=HERE / "build" / "hidden_plants", help="where results are kept")
    parser.add_argument("--listen", type=float, default=7.0, help="days of listening")
    parser.add_argument("--shifts", type=int, default=15, help="shifts that are forecast and scored")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--page", type=Path, help="write the page of results there (docs/hidden-plants.md)")
    given = parser.parse_args(argv)
    if given.plants < 1 or given.shifts < 1 or given.listen < 2 or given.processes < 1:
        parser.error("expected --plants, --shifts and --processes from 1, --listen from 2 days")
    results = measure(given)
    figures = figures_of(results)
    asked = {"plants": given.plants, "seed": given.seed, "listen_days": given.listen, "shifts": given.shifts}
    path = keep("hidden_plants", figures, versions("simpy", "numpy", "numba"), {"asked": asked, "plants": results})
    if given.page is not None:
        write_page(given.page, results, figures, asked)
    print(json.dumps([asdict(f) for f in figures]) if given.json else f"{show(figures)}\nkept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
