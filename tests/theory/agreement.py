"""What a kernel run must show to agree with an exact value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim import kernel
from sim.compile import Compiled
from sim.kpi import kpis, station_kpis, stock_kpis

Values = NDArray[np.float64]
SEED = 20260105


def run(compiled: Compiled, warmup: int, until: int, replicas: int) -> dict[str, Values]:
    """Figures of each replication after the warm-up: `kpi`, `station.kpi` and `stock.kpi`."""
    rows = kernel.new_rows(compiled, SEED, replicas)
    kernel.run(rows, compiled, warmup)
    kernel.clear_stats(rows, compiled)
    kernel.run(rows, compiled, until)
    found = dict(kpis(rows, compiled))
    for owner, figures in (station_kpis(rows, compiled) | stock_kpis(rows, compiled)).items():
        found |= {f"{owner}.{name}": values for name, values in figures.items()}
        if "work" in figures:
            found[f"{owner}.utilisation"] = figures["work"] + figures["down"]
    return found


def assert_agrees(name: str, values: Values, exact: float, relative: float = 0.005) -> None:
    """The mean over replications is `exact` within three standard errors, and within `relative` of it.

    Three standard errors must be within twice `relative`, so that a wide interval cannot pass for agreement.
    """
    mean, error = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5
    said = f"{name}: {mean:.6g} (standard error {error:.2g}), exact {exact:.6g}"
    assert 3 * error <= 2 * relative * abs(exact), f"{said}: too wide to say anything"
    assert abs(mean - exact) <= 3 * error + 1e-12 * abs(exact), said
    assert abs(mean - exact) <= relative * abs(exact), said
