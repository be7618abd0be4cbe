"""Replications of one plant with confidence intervals, on any of the engines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim import kpi, student
from sim.compile import Compiled
from sim.engine import engine_of, new_rows, run, simpy_trace
from sim.kernel import clear_stats, trace
from sim.state import EVENTS, K_OWN, KINDS, Array
from sim.stuck import first_stuck

ENGINES = ("kernel", "simpy", "cuda")
CHUNK_BYTES = 64 << 20
"""Rows simulated at once: keeps memory flat and lets progress show."""
LOOKED_AT = 64
"""Replicas that are looked through for deadlocks at their end."""


@dataclass(frozen=True, slots=True)
class Run:
    """What to simulate: until and warm-up in ticks, replications, seed, engine, threads."""

    until: int
    warmup: int = 0
    replications: int = 100
    seed: int = 7
    engine: str = "kernel"
    threads: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < self.until:
            raise ValueError(
                f"warm-up {self.warmup} and end {self.until} ticks: the warm-up must end before the run does"
            )
        if self.replications < 1:
            raise ValueError(f"replications {self.replications}: at least one")
        if self.engine not in ENGINES:
            raise ValueError(f"engine {self.engine!r}: one of {', '.join(ENGINES)}")


USUAL_DAYS = 30
EVENT_BUDGET = {"kernel": 100_000_000, "cuda": 100_000_000, "simpy": 2_000_000}
"""Timed events of a run whose end nobody named: seconds on two cores, on every machine the same run."""


def usual_end(compiled: Compiled, plan: Run, day: int) -> int:
    """End in ticks when none was named: 30 days, or the whole days (at least one) that the event budget allows.

    `day`: ticks of a day. Events are counted in one replica's first week (a day of a busy plant), so plant, seed and
    replications alone decide, never the speed of the machine.
    """
    budget = EVENT_BUDGET[plan.engine]
    for days in (1, 7):
        rows = _rows(compiled, Run(days * day, seed=plan.seed), 0, 1)
        a_day = int(rows[0, EVENTS]) / days
        if a_day * USUAL_DAYS * plan.replications > budget:
            break
    allowed = int(budget / max(a_day * plan.replications, 1e-9))
    return day * min(USUAL_DAYS, max(1, allowed))


def _rows(compiled: Compiled, plan: Run, first: int, count: int) -> Array:
    """Rows advanced as the plant asks: by the kernel, or by its own rules."""
    rows = new_rows(compiled, plan.seed, count, first)
    if plan.warmup:
        run(rows, compiled, plan.warmup, plan.threads)
        clear_stats(rows, compiled)
    run(rows, compiled, plan.until, plan.threads)
    return rows


def _simpy(compiled: Compiled, plan: Run, first: int, count: int) -> Array:
    from sim.reference import Reference

    rows = []
    for replica in range(first, first + count):
        model = Reference(compiled, plan.seed, replica)
        if plan.warmup:
            model.run(plan.warmup)
            row = model.to_row()[None].copy()
            clear_stats(row, compiled)
            model = Reference.from_row(compiled, row[0])
        model.run(plan.until)
        rows.append(model.to_row())
    return np.stack(rows)


def _cuda(compiled: Compiled, plan: Run, first: int, count: int) -> Array:
    from sim.cuda import run_device

    rows = new_rows(compiled, plan.seed, count, first)
    if plan.warmup:
        rows = run_device(rows, compiled, plan.warmup)
        clear_stats(rows, compiled)
    return run_device(rows, compiled, plan.until)


def replicate(compiled: Compiled, plan: Run) -> Iterator[Array]:
    """Rows of the replications, chunk by chunk in order of replica number."""
    engine: Callable[[Compiled, Run, int, int], Array] = {
        "kernel": _rows, "simpy": _simpy if compiled.own is None else _rows, "cuda": _cuda,
    }[engine_of(compiled, plan.engine)]  # fmt: skip
    size = max(1, min(CHUNK_BYTES // (8 * compiled.layout.width), -(-plan.replications // 4)))
    for first in range(0, plan.replications, size):
        yield engine(compiled, plan, first, min(size, plan.replications - first))


def interval(values: kpi.Values) -> dict[str, Any]:
    """Mean with a 95 % Student interval over the replicas in which the figure has a meaning."""
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return {"mean": None, "lo": None, "hi": None, "n": 0}
    mean = float(values.mean())
    half = student.quantile(0.975, n - 1) * float(values.std(ddof=1)) / n**0.5 if n > 1 else float("nan")
    if n == 1:
        return {"mean": mean, "lo": None, "hi": None, "n": 1}
    return {"mean": mean, "lo": mean - half, "hi": mean + half, "n": n}


def units_of(compiled: Compiled) -> dict[str, str]:
    """Unit of each figure."""
    unit, money = compiled.plant.time_unit, compiled.plant.currency
    return {
        "throughput": f"parts/{unit}", "wip": "parts", "flow_time": unit, "wait": unit, "cost_rate": f"{money}/{unit}",
        "fill_rate": "1", "backorders": "units", "on_hand": "units", "order_rate": f"orders/{unit}", "queue": "parts",
        "rate": f"parts/{unit}", "tardiness": unit, "tardy": "1", "lateness": unit, "late": "1", "lost": "1",
        "energy": f"kWh/{unit}", "co2": f"kg/{unit}", "setup_rate": f"setups/{unit}",
    }  # fmt: skip


class Collector:
    """Joins the figures of the chunks and states them with intervals."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.parts: dict[tuple[str, str, str], list[kpi.Values]] = {}
        self.stuck = [0, 0]
        """Replicas that ended in a deadlock, and replicas looked at."""
        self.first_stuck = ""

    def add(self, rows: Array) -> None:
        """Take in the rows of a chunk."""
        self._put("kpis", "", kpi.kpis(rows, self.compiled))
        for station, figures in kpi.station_kpis(rows, self.compiled).items():
            self._put("stations", station, figures)
        for product, figures in kpi.product_kpis(rows, self.compiled).items():
            self._put("products", product, figures)
        for stock, figures in kpi.stock_kpis(rows, self.compiled).items():
            self._put("stocks", stock, figures)
        bad, looked, told = first_stuck(rows, self.compiled, LOOKED_AT - self.stuck[1])
        self.stuck = [self.stuck[0] + bad, self.stuck[1] + looked]
        self.first_stuck = self.first_stuck or told

    def _put(self, group: str, owner: str, figures: dict[str, kpi.Values]) -> None:
        for name, values in figures.items():
            self.parts.setdefault((group, owner, name), []).append(values)

    def report(self, plan: Run) -> dict[str, Any]:
        """The stable JSON form of `plantwin simulate --json`."""
        units = units_of(self.compiled)
        report: dict[str, Any] = {
            "plant": self.compiled.plant.id, "engine": plan.engine, "seed": plan.seed,
            "replications": plan.replications,
            "until_s": plan.until * self.compiled.plant.tick_s, "warmup_s": plan.warmup * self.compiled.plant.tick_s,
            "conventions": dict(self.compiled.plant.conventions),
            "kpis": {}, "stations": {}, "products": {}, "stocks": {},
        }  # fmt: skip
        for (group, owner, name), values in self.parts.items():
            figure = interval(np.concatenate(values)) | {"unit": units.get(name, "1")}
            target = report[group] if not owner else report[group].setdefault(owner, {})
            target[name] = figure
        if self.first_stuck:
            report["stuck"] = {"replicas": self.stuck[0], "looked_at": self.stuck[1], "first": self.first_stuck}
        return report


def simulate(compiled: Compiled, plan: Run, progress: Callable[[int], None] = lambda n: None) -> dict[str, Any]:
    """Run the plan; `progress` is told the number of replications of each chunk that ends."""
    collector = Collector(compiled)
    for rows in replicate(compiled, plan):
        collector.add(rows)
        progress(len(rows))
    return collector.report(plan)


def trace_lines(compiled: Compiled, engine: str, seed: int, until: int) -> str:
    """Events of replica 0 as `tick slot kind` lines, each ended by a line feed."""
    engine = engine_of(compiled, engine)
    if engine == "kernel":
        rows = new_rows(compiled, seed, 1)
        events = [(int(t), int(s), int(k)) for t, s, k in trace(rows[0], compiled, until)]
    elif engine == "simpy":
        events = simpy_trace(compiled, seed, until)
    else:
        raise ValueError(f"engine {engine!r}: a trace comes from kernel or simpy")
    return "".join(f"{t} {s} {'own' if k == K_OWN else KINDS[k]}\n" for t, s, k in events)


def trace_hash(lines: str) -> str:
    """SHA-256 of the trace's bytes."""
    return hashlib.sha256(lines.encode()).hexdigest()
