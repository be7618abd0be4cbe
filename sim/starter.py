"""The commented plant file that `plantwin init` writes."""

from __future__ import annotations

TEXT = """\
# What is this plant to answer? (This first comment is shown wherever the plant is listed.)
#
# Every number with a dimension carries its unit: 45 s, 2 h, 30/h, 42 EUR, 0.2 EUR/h, 8 %.
# `plantwin validate {name}` checks the file and prints what it takes for granted.
# Setups, ovens, wear, assembly, operators, energy and more: docs/plant-file.md shows a small plant for each, and
# `plantwin init FILE --feature NAME` writes it.
plantwin: 1                     # the format of this file
site: mysite                    # the three names make up the MQTT topics: ptw/v1/mysite/hall1/line1/...
area: hall1
line: line1
timezone: Europe/Berlin         # calendars are in local time, daylight saving included
tick: 1 ms                      # the clock of the simulation
time_unit: h                    # unit of reported times and rates
currency: EUR

products:
  widget:
    routing:                    # stations in order; a step may branch (rework, scrap)
      - cut
      - drill
      - {{step: check, station: check, next: {{drill: 5 %, scrap: 1 %, done: rest}}}}
    revenue: 42 EUR

stations:
  cut:
    units: 1                    # parallel machines that share one queue
    work: {{widget: exponential(60 s)}}
    fails: {{clock: odf, after: exponential(100 min), repair: exponential(10 min), crew: fitters}}
  drill:
    work: {{widget: gamma(mean=50 s, cv=0.4)}}
  check:
    work: 40 s                  # one time for all products

buffers:                        # the queue before a station; without one it is unlimited
  to_drill: {{before: drill, capacity: 14, holding: 0.2 EUR/h}}   # rework returns: room for all the cap admits
  to_check: {{before: check, capacity: 6, holding: 0.2 EUR/h}}

crews:
  fitters: {{size: 1}}

calendars:
  shifts: {{open: "Mon-Fri 06:00-22:00"}}      # the only calendar is everybody's

release:                        # push (arrivals), conwip (cap, base_stock), base_stock, saturated or orders
  widget: {{policy: conwip, cap: 8, base_stock: 40, consumes: {{blanks: 1}}}}

suppliers:
  acme: {{}}

stocks:
  blanks:
    item: blank
    from: acme
    policy: {{kind: base_stock, level: 2400, every: 24 h}}
    lead: gamma(mean=2 d, cv=0.3)
    initial: 2000
    holding: 0.001 EUR/h
    order_cost: 60 EUR
  finished: {{item: widget, from: line, initial: 20, holding: 0.2 EUR/h}}

demand:
  customer: {{stock: finished, arrivals: poisson(36/h), unmet: backorder, backlog: 3 EUR/h}}

controls:                       # numbers that may be changed while the plant runs
  cap: {{sets: release.widget.cap, from: 3, to: 14, every: 10 min, worth: 5 EUR, approve: operator}}

limits:                         # rules that no command may break
  - {{if: cut.down, then: cap <= 10}}

sensors:                        # what the plant really reports, under which tag
  - {{thing: cut, property: state, tag: cut/state}}
  - {{thing: cut, property: out, tag: cut/count, bits: 16, resets: shift}}
  - {{thing: drill, property: state, tag: drill/state}}
  - {{thing: drill, property: out, tag: drill/count, bits: 16, resets: shift}}
  - {{thing: check, property: state, tag: check/state}}
  - {{thing: check, property: out, tag: check/count, bits: 16, resets: shift}}
  - {{thing: to_drill, property: level, tag: to_drill/level, type: int, range: [0, 6]}}
  - {{thing: to_check, property: level, tag: to_check/level, type: int, range: [0, 6]}}
  - {{thing: finished, property: on_hand, tag: finished/on_hand}}
  - {{thing: finished, property: backorder, tag: finished/backorder}}
  - {{thing: blanks, property: on_hand, tag: blanks/on_hand}}
"""


def text(name: str) -> str:
    """The file's text; `name` is what its comment calls it."""
    return TEXT.format(name=name)
