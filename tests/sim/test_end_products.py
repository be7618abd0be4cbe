"""What leaves the plant is counted as its output; components are not."""

from __future__ import annotations

import numpy as np
import pytest

from sim.compile import compile_plant
from sim.kernel import new_rows, run
from sim.kpi import kpis, product_kpis
from sim.plantfile import load
from sim.traits import end_products


def test_components_are_no_output() -> None:
    plant = load("gearmotor")
    assert [plant.products[i].id for i in end_products(plant)] == ["gm40", "gm63", "gm80"]
    compiled = compile_plant(plant)
    rows = new_rows(compiled, 3, 2)
    run(rows, compiled, compiled.ticks(7 * 86_400))
    whole, each = kpis(rows, compiled), product_kpis(rows, compiled)
    motors = [each[name] for name in ("gm40", "gm63", "gm80")]
    assert whole["throughput"] == pytest.approx(sum(m["throughput"] for m in motors))
    spent = sum(m["throughput"] * m["flow_time"] for m in motors)
    assert whole["flow_time"] == pytest.approx(spent / whole["throughput"])
    assert (whole["throughput"] < np.sum([p["throughput"] for p in each.values()], axis=0)).all()


def test_where_nothing_is_a_component_everything_is_output() -> None:
    plant = load("jobshop10")
    assert end_products(plant) == list(range(len(plant.products)))
