"""A small plant with everything that misleads a careless estimate: blocking, starving, shifts that freeze the work, a
crew that is not always free, setups, scrap, orders still on their way.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hardware.twist import Twist
from sim.plant import Plant
from sim.plantfile import load
from tests.twin.shop_rows import ShopRows

FILE = """
plantwin: 1
site: demo
area: cal
line: test
timezone: Europe/Berlin
tick: 1 ms
time_unit: h
products:
  a:
    routing:
      - cut
      - {step: mill, station: mill, next: {scrap: 4 %, wash: rest}}
      - wash
    revenue: 40 EUR
  b: {routing: [cut, mill, wash], revenue: 40 EUR}
stations:
  cut:                      # its fitter is also the mill's
    units: 1
    work: {a: "gamma(mean=8 min, cv=0.3)", b: "gamma(mean=10 min, cv=0.3)"}
    fails: {clock: odf, after: exponential(4 h), repair: "lognormal(mean=30 min, cv=0.8)", crew: fitter}
  mill:
    units: 2
    calendar: day
    work: {a: "lognormal(mean=17 min, cv=0.5)", b: "lognormal(mean=21 min, cv=0.5)"}
    setup: {default: "gamma(mean=6 min, cv=0.4)"}
    fails: {clock: odf, after: "weibull(scale=5 h, shape=1.5)", repair: exponential(40 min), crew: fitter}
  wash: {units: 1, work: "triangular(5 min, 6 min, 8 min)"}
buffers:
  b1: {before: mill, capacity: 2, holding: 0.2 EUR/h}
  b2: {before: wash, capacity: 2, holding: 0.2 EUR/h}
crews:
  fitter: {size: 1}
calendars:
  day: {open: "Mon-Sun 06:00-22:00", at_close: freeze}
suppliers:
  mine: {lead: "gamma(mean=9 h, cv=0.3)", order_cost: 5 EUR}
release:
  a: {policy: conwip, cap: 5, base_stock: 400, consumes: {ore: 1}}
  b: {policy: conwip, cap: 4, base_stock: 400, consumes: {ore: 1}}
stocks:
  ore:
    {item: ore, from: mine, policy: {kind: base_stock, level: 120, every: 1 h}, initial: 120, holding: 0.01 EUR/h}
  fa: {item: a, from: line, initial: 5, holding: 0.2 EUR/h}
  fb: {item: b, from: line, initial: 5, holding: 0.2 EUR/h}
demand:
  da: {stock: fa, arrivals: poisson(3/h), unmet: backorder, backlog: 3 EUR/h}
  db: {stock: fb, arrivals: poisson(2/h), unmet: backorder, backlog: 3 EUR/h}
controls:
  cap: {sets: release.a.cap, from: 2, to: 11, step: 1, every: 10 min, class: release, worth: 5 EUR, approve: operator}
sensors:
  - {thing: da, property: demand, tag: da/count, type: counter}
  - {thing: db, property: demand, tag: db/count, type: counter}
  - {thing: a, property: in, tag: in/a, type: counter}
  - {thing: b, property: in, tag: in/b, type: counter}
"""
SCALED = {
    "work/mill": 0.05,
    "repair/cut": 0.25,
    "repair/mill": 0.25,
    "lead/ore": 0.2,
    "demand/da": 0.1,
    "demand/db": 0.1,
}
"""Factors that are drawn for a run, with their prior spread."""
KEPT = ("work/cut", "work/wash", "fail/cut", "fail/mill")
"""Factors that the virtual plant cannot change: they are 1."""


def plant(folder: Path) -> Plant:
    path = folder / "cal.yaml"
    path.write_text(FILE.strip() + "\n")
    return load(str(path))


def run(where: Plant, seed: int, hours: float) -> tuple[ShopRows, dict[str, float]]:
    """A run with factors drawn from the prior, and those factors."""
    rng = np.random.default_rng([seed, 77])
    repair = float(np.exp(0.25 * rng.standard_normal()))
    slow, lead = (float(np.exp(sd * rng.standard_normal())) for sd in (0.05, 0.2))
    often = float(np.exp(0.1 * rng.standard_normal()))
    twist = Twist(repair_scale=repair, slow_station="mill", slow_scale=slow, lead_scale=lead, demand_scale=1 / often)
    rows = ShopRows(where, twist, warmup_s=7200.0, seed=seed)
    rows.run(hours * 3600, tick_s=60.0)
    truth = dict.fromkeys(KEPT, 1.0) | {"work/mill": slow, "repair/cut": repair, "repair/mill": repair}
    return rows, truth | {"lead/ore": lead, "demand/da": often, "demand/db": often}
