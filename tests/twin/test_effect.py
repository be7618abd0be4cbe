"""What doing nothing would have cost: setpoints under a lease go back by themselves."""

from __future__ import annotations

import numpy as np

from sim.compile import compile_plant
from sim.kernel import get_controls, new_rows, run, set_controls
from sim.plantfile import load
from sim.value import cost_between, operating_terms
from tests.plants import TWO_MOTORS
from twin.effect import counterfactual

HOUR = 3_600_000


def test_doing_nothing_lets_leases_end() -> None:
    compiled = compile_plant(load(str(TWO_MOTORS)))
    hour = compiled.ticks(3600.0)
    rows = new_rows(compiled, 5, 8)
    run(rows, compiled, 24 * hour)
    ids = [c.id for c in compiled.plant.controls]
    file = np.array(get_controls(rows, compiled))
    leased, low = file.copy(), {c.id: c.low for c in compiled.plant.controls}
    leased[:, ids.index("base40")], leased[:, ids.index("base80")] = low["base40"], low["base80"]
    set_controls(rows, compiled, leased)
    terms = list(operating_terms(compiled.plant))
    until = (24 + 60) * HOUR + compiled.start_ms
    back = {
        "base40": [int(file[0, ids.index("base40")]), (24 + 10) * HOUR + compiled.start_ms],
        "base80": [int(file[0, ids.index("base80")]), until + HOUR],
    }
    by_hand = rows.copy()
    run(by_hand, compiled, 34 * hour)
    leased[:, ids.index("base40")] = file[:, ids.index("base40")]
    set_controls(by_hand, compiled, leased)
    run(by_hand, compiled, 84 * hour)
    expected = cost_between(rows, by_hand, compiled, terms)
    assert np.array_equal(counterfactual(compiled, rows, until, terms, back), expected)
    assert not np.allclose(counterfactual(compiled, rows, until, terms), expected), "the lease matters here"
