"""The virtual plant without a twist and the twin's kernel describe one plant: they were written apart, and must agree.

Both start empty and run the same fortnight, so that no warm-up has to be chosen. The plant uses everything at once:
setups and dispatching by weights, an oven, assembly from stocks that the line fills, a group's cap, two fitters with
priorities, a tool, several calendars with a break, unreliable and express supply, two echelons and three demands.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from hardware.shop import Shop
from hardware.twist import Twist
from sim.compile import compile_plant
from sim.engine import new_rows, run
from sim.plant import STATES, Plant
from sim.plantfile import load
from sim.state import State

PLANT = """\
# Do two models of one plant agree?
plantwin: 1
site: test
area: hall
line: everything
time_unit: h
tick: 1 s
products:
  small:
    routing: &routing
      - cut
      - {step: join, station: join, needs: {frames: 1}}
      - {step: test, station: test, next: {mend: 10 %, scrap: 2 %, bake: rest}}
      - {step: mend, station: join, work: 9 min, next: test}
      - bake
  large: {routing: *routing, priority: 1}
  frame: {routing: [weld]}
stations:
  cut:
    calendar: long
    work: {small: "gamma(mean=11 min, cv=0.4)", large: "gamma(mean=16 min, cv=0.4)"}
    setup: {default: "gamma(mean=14 min, cv=0.3)"}
    dispatch: {setup: 30, waited: -1, priority: 200}
    fails: {clock: odf, after: exponential(9 h), repair: "lognormal(mean=50 min, cv=0.8)", crew: fitters, priority: 1}
    tool: {life: 40, change: 8 min}
  join:
    units: 2
    calendar: day
    work: {default: "lognormal(mean=13 min, cv=0.3)"}
    fails: {clock: tdf, after: exponential(12 h), repair: exponential(40 min), crew: fitters, priority: 0}
  test: {calendar: day, work: "triangular(4 min, 5 min, 8 min)"}
  bake: {calendar: day, work: 40 min, batch: {min: 5, max: 6, wait: 70 min, by: any}}
  weld:
    units: 2
    calendar: long
    work: "gamma(mean=14 min, cv=0.3)"
    fails: {clock: odf, after: "weibull(scale=8 h, shape=1.4)", repair: exponential(1 h), crew: fitters, priority: 2}
buffers:
  to_join: {before: join, capacity: 30}
  to_test: {before: test, capacity: 40}
  to_bake: {before: bake, capacity: 10}
crews: {fitters: {size: 2}}
calendars:
  day: {open: "Mon-Sat 06:00-22:00", breaks: "Mon-Fri 12:00-12:30"}
  long: {open: "Mon-Sat 00:00-24:00"}
suppliers:
  mill: {lead: "gamma(mean=40 h, cv=0.2)", reliability: 50 %, late: "gamma(mean=40 h, cv=0.4)", multiple: 10}
  dealer: {lead: 12 h, multiple: 5}
release:
  small: {policy: conwip, base_stock: 16, consumes: {bars: 1}}
  large: {policy: conwip, cap: 5, base_stock: 10, consumes: {bars: 2}}
  frame: {policy: base_stock, level: 12, consumes: {plates: 1}}
groups: {both: {cap: 10, mix: {small: 2, large: 1}}}
stocks:
  bars:
    item: bar
    from: mill
    policy: {kind: base_stock, level: 180, every: 12 h}
    initial: 120
    express: {from: dealer, level: 90}
  plates: {item: plate, from: mill, policy: {kind: r_Q, reorder: 90, quantity: 70}, min_order: 80, initial: 150}
  frames: {item: frame, from: line, initial: 8}
  out_s: {item: small, from: line, initial: 10}
  out_l: {item: large, from: line, initial: 6}
  far_s:
    item: small
    from: out_s
    lead: "gamma(mean=10 h, cv=0.3)"
    policy: {kind: s_S, reorder: 14, level: 22, every: 8 h}
    initial: 16
demand:
  near_s: {stock: out_s, arrivals: poisson(1.6/h), calendar: day, priority: 1}
  far: {stock: far_s, arrivals: poisson(1/h), calendar: day}
  near_l:
    stock: out_l
    arrivals: poisson(0.5/h)
    quantity: {1: 70 %, 3: 30 %}
    calendar: day
    unmet: lost
    lost_cost: 1 EUR
"""
DAYS, SEEDS, REPLICAS = 12, 8, 96
STEP_S = 420.0
"""How often the virtual plant is looked at."""


def of_kernel(plant: Plant) -> dict[str, np.ndarray]:
    """Means over the run of every replica, by name."""
    compiled = compile_plant(plant)
    rows = new_rows(compiled, 1, REPLICAS)
    ticks = round(DAYS * 86400 / plant.tick_s)
    run(rows, compiled, ticks)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(float(value))

    lanes = [f"{k.id}" for k in plant.stocks if k.lead is not None]
    lanes += [f"{k.id}/express" for k in plant.stocks if k.express is not None]
    for row in rows:
        state = State(row, compiled.layout)
        for i, p in enumerate(plant.products):
            note(f"finished {p.id}", state.finished[i])
            note(f"wip {p.id}", state.wip_area[i] / ticks)
        for i, s in enumerate(plant.stations):
            note(f"queue {s.id}", state.q_area[i] / ticks)
            note(f"setups {s.id}", state.set_ups[i])
            note(f"failures {s.id}", state.failures[i] + state.maintained[i])
            for code, name in enumerate(STATES):
                note(f"{name} {s.id}", state.st_ticks[i, code] / ticks)
        for i, k in enumerate(plant.stocks):
            note(f"on hand {k.id}", state.on_hand_area[i] / ticks)
            note(f"backorders {k.id}", state.backorder_area[i] / ticks)
            note(f"lost {k.id}", state.lost[i])
        for i, name in enumerate(lanes):
            note(f"orders {name}", state.orders[i])
            note(f"ordered {name}", state.ordered[i])
    return {name: np.array(values) for name, values in found.items()}


def of_shop(plant: Plant, seed: int) -> dict[str, float]:
    """The same means of one run of the virtual plant, looked at every `STEP_S`."""
    shop = Shop(plant, seed, Twist())
    sums: dict[str, float] = {}
    looks = int(DAYS * 86400 / STEP_S)
    for look in range(looks):
        shop.run((look + 0.5) * STEP_S)
        now = {f"wip {p}": float(n) for p, n in shop.wip.items()}
        for name, room in shop.rooms.items():
            now |= {f"on hand {name}": room.on_hand, f"backorders {name}": room.backorders}
        for name, station in shop.stations.items():
            states = [u.state for u in station.units]
            now |= {f"{s} {name}": states.count(s) for s in STATES} | {f"queue {name}": len(station.queue)}
        for name, value in now.items():
            sums[name] = sums.get(name, 0.0) + value / looks
    shop.run(DAYS * 86400.0)
    found = sums | {f"finished {p}": float(n) for p, n in shop.finished.items()}
    for name, station in shop.stations.items():
        found |= {f"setups {name}": station.setups, f"failures {name}": station.failures}
    for name, room in shop.rooms.items():
        found[f"lost {name}"] = sum(m.lost for m in room.markets)
        for lane in room.lanes:
            end = f"{name}/express" if lane.express else name
            orders = [p for p in shop.papers if p["kind"] == "purchase_order" and p["stock"] == name]
            mine = [p["quantity"] for p in orders if p["doc"][1] == "X"] if lane.express else []
            mine = mine or [p["quantity"] for p in orders if p["doc"][1] == "O" and not lane.express]
            found |= {f"orders {end}": len(mine), f"ordered {end}": sum(mine)}
    found["batches bake"] = shop.stations["bake"].operations
    return found


def test_everything_at_once_agrees_with_the_kernel(tmp_path: Path) -> None:
    """Every figure within 0.5 % of the kernel's mean or, where it varies more, drawn from the same distribution
    (rank sum, p above 1e-4: about one false alarm in a hundred whole comparisons; no tail is too heavy for it).
    """
    file = tmp_path / "everything.yaml"
    file.write_text(PLANT)
    plant = load(str(file))
    kernel = of_kernel(plant)
    kernel["batches bake"] = kernel["work bake"] * DAYS * 24 / (40 / 60)
    runs = [of_shop(plant, seed) for seed in range(1, SEEDS + 1)]
    assert kernel.keys() == runs[0].keys()
    wrong = []
    for name, many in kernel.items():
        few = np.array([r[name] for r in runs])
        near = abs(few.mean() - many.mean()) <= 0.005 * many.mean() + 0.001
        if near:
            continue
        p = float(mannwhitneyu(few, many, method="asymptotic").pvalue)
        if p < 1e-4:
            wrong.append(f"{name}: {few.mean():.4f} here, {many.mean():.4f} in the kernel, p {p:.1e}")
    assert not wrong, "\n".join(wrong)
    used = ("setups cut", "failures join", "batches bake", "orders bars/express", "orders far_s", "lost out_l")
    assert all(np.mean([r[name] for r in runs]) > 1 for name in used), "a feature that did not come to play"
    assert pytest.approx(sum(kernel[f"{s} cut"].mean() for s in STATES)) == 1.0
