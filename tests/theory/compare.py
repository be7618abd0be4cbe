"""Hold the simulator to a number known exactly: cases, runs, and what counts as agreement.

A case is a plant file's text, the run, and the figures with their exact values. Agreement means that the exact value
lies within three standard errors of the mean over independent replications, and that three standard errors are at most
`sharp` of the value, so that a wide interval cannot pass for agreement: together, the mean is off by at most `sharp`.
Each case has a seed of its own, made from its name once and for all, so that cases are independent of each other.

Among hundreds of figures one in 250 lies beyond three standard errors by chance alone (Student's t, 49 degrees of
freedom). Such a figure is measured again, by four times as many replications of another seed, and these decide: chance
does not strike twice, while an error of the simulator stands out twice as clearly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import sqrt
from pathlib import Path
from zlib import crc32

import numpy as np

from sim import plantfile
from sim.compile import Compiled, compile_plant
from sim.experiment import Collector, Run, replicate
from sim.kpi import Values

SHARP = 0.005
"""Relative precision asked of a figure where nothing else is said."""
REPLICATIONS = 50


@dataclass(frozen=True)
class Case:
    """`text` of the plant file; `exact` values by figure (`throughput`, `wait`, .., or `STATION.FIGURE`, in units of
    the plant file); seconds simulated after `warmup` seconds; `sharp` by figure where it is not `SHARP`.
    """

    name: str
    text: str
    exact: Mapping[str, float]
    seconds: float
    warmup: float
    sharp: Mapping[str, float] = field(default_factory=dict)
    replications: int = REPLICATIONS

    @property
    def seed(self) -> int:
        return crc32(self.name.encode())


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean over the replications and its standard error."""

    mean: float
    error: float

    def z(self, exact: float) -> float:
        """Standard errors between the mean and the exact value."""
        return (self.mean - exact) / self.error


def compiled(text: str) -> Compiled:
    """The plant described by the text of a plant file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plant.yaml"
        path.write_text(text, encoding="utf-8")
        return compile_plant(plantfile.load(path))


def figures(plant: Compiled, plan: Run) -> dict[str, Values]:
    """Every figure of every replication: plant, stations, products, stocks."""
    collector = Collector(plant)
    for rows in replicate(plant, plan):
        collector.add(rows)
    parts = collector.parts.items()
    return {f"{owner}.{name}" if owner else name: np.concatenate(found) for (_, owner, name), found in parts}


def estimate(values: Values) -> Estimate:
    """Mean and standard error of independent values."""
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / sqrt(len(values)))


_CASES: dict[str, Case] = {}


def estimates(case: Case, again: bool = False) -> dict[str, Estimate]:
    """The figures of a case that are known exactly; a case is run once, whoever asks, and once more for `again`."""
    if _CASES.setdefault(case.name, case) is not case:
        raise ValueError(f"two cases are named {case.name}: the name makes the seed")
    return _estimates(case.name, again)


@cache
def _estimates(name: str, again: bool) -> dict[str, Estimate]:
    case = _CASES[name]
    plant = compiled(case.text)
    until, warmup = plant.ticks(case.warmup + case.seconds), plant.ticks(case.warmup)
    replications, seed = (4 * case.replications, case.seed + 1) if again else (case.replications, case.seed)
    found = figures(plant, Run(until, warmup, replications, seed))
    return {figure: estimate(found[figure]) for figure in case.exact}


def assert_case(case: Case) -> None:
    """Every figure of the case agrees with its exact value, at the second measurement if not at the first."""
    for figure, found in estimates(case).items():
        exact, sharp = case.exact[figure], case.sharp.get(figure, SHARP)
        decides = found if abs(found.z(exact)) <= 3 else estimates(case, again=True)[figure]
        try:
            assert_agrees(decides, exact, sharp)
        except AssertionError as err:
            raise AssertionError(f"{case.name}, {figure}: {err}") from None


def assert_agrees(found: Estimate, exact: float, sharp: float = SHARP) -> None:
    """Three standard errors, and sharp enough to say something."""
    assert 3 * found.error <= sharp * abs(exact), f"three standard errors {3 * found.error:.4g} say too little: {exact}"
    assert abs(found.z(exact)) <= 3, f"{found.mean:.6g} is not {exact:.6g}: {found.z(exact):+.2f} standard errors"
