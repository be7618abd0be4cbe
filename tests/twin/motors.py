"""A small plant with everything the gear motor plant has: setups by family, components, an oven, rework, a shared crew,
several calendars, a CONWIP group, two echelons, an unreliable supplier with express orders."""

from __future__ import annotations

from pathlib import Path

from sim.plant import Plant
from sim.plantfile import load

MOTORS = """
# Does the twin know where everything is?
plantwin: 1
site: demo
area: drives
line: motors
timezone: UTC
tick: 1 ms
time_unit: h
currency: EUR
unlimited: 400

products:
  small:
    routing: &routing
      - turn
      - {step: assembly, station: assembly, needs: {housings_s: 1, coils: 1}}
      - {step: test, station: test, next: {rework: 15 %, scrap: 5 %, paint: rest}}
      - {step: rework, station: rework, next: test}
      - paint
      - pack
    revenue: 240 EUR
    scrap_cost: 50 EUR
  large:
    routing:
      - turn
      - {step: assembly, station: assembly, needs: {housings_l: 1, coils: 2}}
      - {step: test, station: test, next: {rework: 15 %, scrap: 5 %, paint: rest}}
      - {step: rework, station: rework, next: test}
      - paint
      - pack
    revenue: 400 EUR
    scrap_cost: 90 EUR
  housing_s: {routing: [mill]}
  housing_l: {routing: [mill]}

stations:
  mill:
    units: 2
    calendar: long
    work: {housing_s: "gamma(mean=5 min, cv=0.3)", housing_l: "gamma(mean=7 min, cv=0.3)"}
    setup: "lognormal(mean=12 min, cv=0.3)"
    setup_cost: 5 EUR
    dispatch: {setup: 2, waited: -1}
    fails: {clock: odf, after: exponential(9 h), repair: "lognormal(mean=40 min, cv=0.6)", crew: fitters, priority: 1}
  turn:
    units: 2
    calendar: day
    work: {small: "gamma(mean=6 min, cv=0.3)", large: "gamma(mean=9 min, cv=0.3)"}
    fails: {clock: odf, after: exponential(8 h), repair: "lognormal(mean=40 min, cv=0.6)", crew: fitters}
  assembly: {units: 2, calendar: day, work: {default: "lognormal(mean=7 min, cv=0.3)"}}
  test: {calendar: day, work: {default: "triangular(2 min, 3 min, 5 min)"}}
  rework: {calendar: day, work: {default: "gamma(mean=12 min, cv=0.5)"}}
  paint:
    calendar: long
    batch: {min: 2, max: 4, wait: 25 min, by: any}
    work: {default: 14 min}
    power: {idle: 2 kW, work: 20 kW}
    fails: {clock: odf, after: exponential(10 h), repair: "lognormal(mean=30 min, cv=0.6)", crew: fitters, priority: 2}
  pack: {calendar: long, work: {default: "lognormal(mean=3 min, cv=0.3)"}}

buffers:
  to_mill: {before: mill, capacity: 12, holding: 0.1 EUR/h}
  to_turn: {before: turn, capacity: 4, holding: 0.1 EUR/h}
  to_assembly: {before: assembly, capacity: 6, holding: 0.1 EUR/h}
  to_test: {before: test, capacity: 20, holding: 0.1 EUR/h}
  to_rework: {before: rework, capacity: 20, holding: 0.1 EUR/h}
  to_paint: {before: paint, capacity: 6, holding: 0.1 EUR/h}
  to_pack: {before: pack, capacity: 3, holding: 0.1 EUR/h}

crews: {fitters: {size: 1}}
calendars:
  day: {open: "Mon-Fri 06:00-22:00", breaks: "Mon-Fri 12:00-12:30", at_close: finish}
  long: {open: "Mon-Fri 04:00-23:00", at_close: finish}

energy:
  tariff: {peak: {price: 0.3 EUR/kWh, hours: "Mon-Fri 08:00-20:00"}, night: {price: 0.2 EUR/kWh}}

release:
  small: {policy: conwip, base_stock: 18}
  large: {policy: conwip, base_stock: 12}
  housing_s: {policy: base_stock, level: 8, consumes: {castings: 1}}
  housing_l: {policy: base_stock, level: 6, consumes: {castings: 1}}
groups:
  motors: {cap: 14, mix: {small: 2, large: 1}}

suppliers:
  foundry: {note: castings}
  copper: {reliability: 70 %, late: "gamma(mean=10 h, cv=0.5)"}
  courier: {note: dear and fast}
stocks:
  castings:
    item: casting
    from: foundry
    policy: {kind: s_S, reorder: 130, level: 230, every: 8 h}
    lead: gamma(mean=9 h, cv=0.3)
    initial: 150
    order_cost: 40 EUR
    price: 5 EUR
  coils:
    item: coil
    from: copper
    policy: {kind: r_Q, reorder: 120, quantity: 60}
    lead: gamma(mean=8 h, cv=0.3)
    initial: 130
    price: 8 EUR
    express: {from: courier, lead: 2 h, level: 50, price: 14 EUR, order_cost: 30 EUR, multiple: 10}
  housings_s: {item: housing_s, from: line, initial: 4}
  housings_l: {item: housing_l, from: line, initial: 3}
  stock_s: {item: small, from: line, initial: 10, holding: 0.1 EUR/h}
  stock_l: {item: large, from: line, initial: 6, holding: 0.1 EUR/h}
  export_s:
    {item: small, from: stock_s, lead: 5 h, policy: {kind: base_stock, level: 16}, initial: 14, holding: 0.1 EUR/h}
  export_l:
    {item: large, from: stock_l, lead: 5 h, policy: {kind: base_stock, level: 9, every: 4 h}, initial: 8}

demand:
  home_s: {stock: stock_s, arrivals: poisson(3.2/h), calendar: day, backlog: 2 EUR/h}
  home_l: {stock: stock_l, arrivals: poisson(1.8/h), calendar: day, backlog: 3 EUR/h}
  north_s: {stock: export_s, arrivals: poisson(2.6/h), calendar: day, backlog: 3 EUR/h}
  south_s: {stock: export_s, arrivals: poisson(1.3/h), calendar: long, backlog: 1 EUR/h, priority: 1}
  north_l: {stock: export_l, arrivals: poisson(1.5/h), calendar: day, backlog: 4 EUR/h}

controls:
  cap: {sets: groups.motors.cap, from: 6, to: 24, every: 30 min, worth: 5 EUR}
  base_s: {sets: release.small.base_stock, from: 10, to: 40, every: 1 h, worth: 5 EUR}
  export: {sets: stocks.export_s.level, from: 8, to: 30, every: 4 h, worth: 5 EUR, approve: engineer}
  express: {sets: stocks.coils.express, from: 0, to: 80, step: 10, every: 4 h, worth: 5 EUR, approve: engineer}
  setup: {sets: stations.mill.dispatch.setup, from: 0, to: 10, every: 1 h, worth: 5 EUR}
sensors:
"""


def tags() -> str:
    """Sensors of everything: states, counters by product, queues, stocks, customers, releases."""
    lines = []
    made, parts = ("small", "large"), ("housing_s", "housing_l")
    stations = {"mill": 2, "turn": 2, "assembly": 2, "test": 1, "rework": 1, "paint": 1, "pack": 1}
    for station, units in stations.items():
        for u in range(1, units + 1):
            lines.append(f"{{thing: {station}, unit: {u}, property: state, tag: {station}/{u}/state, type: enum}}")
        for product in parts if station == "mill" else made:
            lines.append(f"{{thing: {station}, property: out, product: {product}, tag: {station}/out/{product}}}")
        lines.append(f"{{thing: to_{station}, property: level, tag: {station}/queue, range: [0, 30]}}")
    lines += [f"{{thing: test, property: scrap, product: {p}, tag: test/scrap/{p}}}" for p in made]
    lines += [f"{{thing: {p}, property: in, tag: release/{p}}}" for p in (*made, *parts)]
    shipped = ("stock_s", "stock_l", "export_s", "export_l")
    bought = ("castings", "coils", "export_s", "export_l")
    for k in ("castings", "coils", "housings_s", "housings_l", *shipped):
        lines.append(f"{{thing: {k}, property: on_hand, tag: {k}/on_hand}}")
    lines += [f"{{thing: {k}, property: on_order, tag: {k}/on_order}}" for k in bought]
    lines += [f"{{thing: {k}, property: backorder, tag: {k}/backorder}}" for k in shipped]
    customers = ("home_s", "home_l", "north_s", "south_s", "north_l")
    lines += [f"{{thing: {d}, property: demand, tag: {d}/count}}" for d in customers]
    return "".join(f"  - {line}\n" for line in lines)


def motors(folder: Path, sensors: str | None = None) -> Plant:
    """The plant, its file written to `folder`; `sensors` in place of its tags."""
    path = folder / "motors.yaml"
    path.write_text(MOTORS.lstrip("\n") + (tags() if sensors is None else sensors))
    return load(str(path))
