"""Compare an engine with the SimPy reference on many random plants: `python -m tests.sim.equality --help`.

Each plant is compared in all ways of `tests.sim.ways`; every difference is printed, with the tick and the fields in
which the engines part. A run that was interrupted goes on with `--seeds FIRST:LAST` from the seed it names.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

SEEDS = range(1000)
"""The plants of `make equality`; they cover every pair of features that the rules allow together."""
VARIABLES = {
    "kernel": {"NUMBA_DISABLE_JIT": "0", "NUMBA_ENABLE_CUDASIM": "0"},
    "python": {"NUMBA_DISABLE_JIT": "1", "NUMBA_ENABLE_CUDASIM": "0"},
    "cuda": {"NUMBA_DISABLE_JIT": "1", "NUMBA_ENABLE_CUDASIM": "1"},
}
"""What makes an engine of numba: compiled; plain Python; the CUDA kernel in numba's simulator of a device."""


def compare(seed: int, until: int, engine: str) -> tuple[int, int, str]:
    """(Seed, events compared, what differs or "") of one plant."""
    from sim.compile import compile_plant
    from tests.sim.engines import device_events, kernel_events
    from tests.sim.random_plants import random_plant
    from tests.sim.ways import check_all_ways

    compiled = compile_plant(random_plant(seed))
    try:
        return seed, check_all_ways(compiled, until, seed, device_events if engine == "cuda" else kernel_events), ""
    except AssertionError as error:
        return seed, 0, str(error)


def compared(seeds: Sequence[int], until: int, engine: str, processes: int) -> Iterable[tuple[int, int, str]]:
    """`compare` for every seed, in order."""
    one = partial(compare, until=until, engine=engine)
    if processes == 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, seeds, chunksize=4)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.equality", description=__doc__)
    parser.add_argument("--engine", choices=VARIABLES, default="kernel")
    parser.add_argument("--seeds", default=f"{SEEDS.start}:{SEEDS.stop}", metavar="FIRST:LAST", help="LAST is left out")
    parser.add_argument("--until", type=int, default=400, metavar="TICKS")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; 0 when all plants are equal, 1 when some differ, 130 when interrupted."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    options = parse(arguments)
    first, last = (int(text) for text in options.seeds.split(":"))
    events, done, different, began = 0, 0, list[int](), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=options.quiet) as bar:
        task = bar.add_task(f"{options.engine} = reference", total=last - first)
        try:
            for seed, count, text in compared(range(first, last), options.until, options.engine, options.processes):
                done, events = done + 1, events + count
                if text:
                    different.append(seed)
                    bar.console.print(f"seed {seed}: {text}", markup=False, highlight=False)
                bar.advance(task)
        except KeyboardInterrupt:
            bar.stop()
            rest = f"--engine {options.engine} --until {options.until} --seeds {first + done}:{last}"
            sys.stdout.write(f"interrupted; go on with: python -m tests.sim.equality {rest}\n")
            return 130
    verdict = f"seeds that differ: {different}" if different else "all equal"
    sys.stdout.write(
        f"{options.engine} = SimPy reference: {done} plants (seeds {first} to {last - 1}), {events} events until tick "
        f"{options.until} in all ways, {time.monotonic() - began:.0f} s: {verdict}\n"
    )
    return 1 if different else 0


def restarted() -> None:
    """Numba reads its variables once, at its import: begin again with those of the engine, where they are not set."""
    wanted = VARIABLES[parse(None).engine]
    if any(os.environ.get(name, "0") != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, "-m", "tests.sim.equality", *sys.argv[1:]], os.environ | wanted)


if __name__ == "__main__":
    restarted()
    sys.exit(main())
