"""Classical job shops in the kernel, many dispatching weights at a time; random ones of the same size.

Every machine is a station, every job a lot of one part with a routing of its own, all there at tick 0
(`sim.jobshop.plant_text`). A rule is a vector of weights of the kernel's dispatching features; the part with the least
weighted sum goes first. Weights are written into the rows before they begin, so no plant is compiled twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.jobshop import Jobs, plant_text
from sim.plant import FEATURES, Dist, Plant
from sim.plantfile import load
from tests.oracles import jobshop as oracle

Values = NDArray[np.int64]
Floats = NDArray[np.float64]
MINUTE = 60
"""Ticks."""
USED = ("work", "work_left", "steps_left", "waited")
"""The features that mean something where jobs have no dates, no setups and no costs."""
LARGEST = 1000
"""Of a weight in a plant file."""
RULES = {
    "SPT": (1, 0, 0, 0), "MWKR": (0, -1, 0, 0), "MOR": (0, 0, -1, 0), "FIFO": (0, 0, 0, 0),
}  # fmt: skip
"""Weights of `USED`; all 0 is the order of joining the queue."""


@dataclass(frozen=True)
class Shop:
    """An instance ready to run. `best`: the least makespan known (of all instances here: proved), minutes; of a random
    one the lower bound stands for it.
    """

    name: str
    jobs: Jobs
    best: int
    compiled: Compiled

    @property
    def machines(self) -> int:
        """Stations of the plant."""
        return len(self.compiled.plant.stations)

    @property
    def longest(self) -> int:
        """Ticks after which every schedule that never idles needlessly has ended."""
        return sum(time for job in self.jobs for _, time in job) * MINUTE + 1


def makespans(shop: Shop, weights: Values) -> Values:
    """Makespans [R] in minutes under weights [R, F] of `USED`, the same at every machine, or [R, S, F], one each."""
    each = weights if weights.ndim == 3 else np.repeat(weights[:, None, :], shop.machines, axis=1)
    rows = begun(shop, each)
    kernel.run(rows, shop.compiled, shop.longest)
    return ended(shop, rows)


def begun(shop: Shop, weights: Values) -> Values:
    """Rows [R, W] at tick 0 under weights [R, S, F] of `USED`, the first operations begun."""
    full = np.zeros((*weights.shape[:2], len(FEATURES)), dtype=np.int64)
    full[:, :, [FEATURES.index(name) for name in USED]] = weights
    return kernel.new_rows(shop.compiled, 0, len(weights), scales={"weights": full})


def ended(shop: Shop, rows: Values) -> Values:
    """Makespans [R] in minutes of rows that have run to the end: all jobs began at tick 0, so a flow time is an end."""
    view = shop.compiled.layout.view
    if not (view(rows, "finished") == 1).all():
        raise RuntimeError(f"{shop.name}: a job is not done after the work of all of them")
    return np.asarray(view(rows, "flow_sum").max(axis=1) // MINUTE, dtype=np.int64)


def whole(directions: Floats) -> Values:
    """Whole weights [R, ...] in the same directions, the largest of the last axis `LARGEST`: scale orders nothing."""
    size = np.abs(directions).max(axis=-1, keepdims=True)
    return np.asarray(np.rint(LARGEST * directions / np.maximum(size, 1e-12)), dtype=np.int64)


def named(name: str) -> Shop:
    """A published instance."""
    found = oracle.load(name)
    return Shop(name, found.jobs, found.optimum, compile_plant(_plant(found.jobs)))


def drawn(seed: int, size: tuple[int, int], longest: int) -> Jobs:
    """A random instance of (jobs, machines): every job visits every machine once, in random order, for 1 to `longest`
    minutes, as Lawrence, Adams et al. and Taillard drew theirs.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    jobs, machines = size
    return tuple(
        tuple((int(m), int(generator.integers(1, longest + 1))) for m in generator.permutation(machines))
        for _ in range(jobs)
    )


def random_shops(first: int, count: int, size: tuple[int, int], longest: int) -> list[Shop]:
    """Random instances of seeds `first` on, with their lower bounds."""
    found = []
    for seed in range(first, first + count):
        jobs = drawn(seed, size, longest)
        found.append(Shop(f"random {seed}", jobs, oracle.lower_bound(jobs), compile_plant(_plant(jobs))))
    return found


def by_priority(shop: Shop, draws: int, seed: int = 0) -> Values:
    """Makespans [draws] of the shop when its jobs have random priorities (another plant each time)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    plant, out = shop.compiled.plant, []
    weights = np.zeros((1, shop.machines, len(FEATURES)), dtype=np.int64)
    weights[:, :, FEATURES.index("priority")] = 1
    for _ in range(draws):
        ranks = generator.permutation(len(plant.products)).tolist()
        products = tuple(replace(p, priority=r) for p, r in zip(plant.products, ranks, strict=True))
        other = replace(shop, compiled=compile_plant(replace(plant, products=products)))
        rows = kernel.new_rows(other.compiled, 0, 1, scales={"weights": weights})
        kernel.run(rows, other.compiled, shop.longest)
        out.append(int(ended(other, rows)[0]))
    return np.array(out)


@lru_cache(maxsize=8)
def _template(jobs: int, machines: int) -> Plant:
    """A plant file of this size, read once; its operations are replaced."""
    head = f"{jobs} {machines}\n"
    text = head + "\n".join(" ".join(f"{m} 1" for m in range(machines)) for _ in range(jobs))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jobshop.yaml"
        path.write_text(plant_text(text, "SPT"), encoding="utf-8")
        return load(path)


def _plant(jobs: Jobs) -> Plant:
    """The plant of an instance in which every job visits every machine once."""
    template = _template(len(jobs), len({m for job in jobs for m, _ in job}))
    products = []
    for product, job in zip(template.products, jobs, strict=True):
        steps = tuple(
            replace(step, station=f"m{machine}", work=Dist("constant", (float(time * MINUTE),)))
            for step, (machine, time) in zip(product.steps, job, strict=True)
        )
        products.append(replace(product, steps=steps))
    return replace(template, products=tuple(products))
