"""Journal rows of the motor plant, written by hand, and what is believed after them."""

from __future__ import annotations

import json
from typing import Any

from sim.compile import compile_plant
from sim.facts import Facts
from sim.plant import Plant
from tests.twin.journals import T0, Writer
from twin.facts import to_facts
from twin.model import STARVED, TwinState
from twin.tracker import Tracker

NO_TAGS = """
  - {thing: stock_s, property: on_hand, tag: stock_s/on_hand}
  - {thing: assembly, unit: 1, property: state, tag: assembly/1/state, type: enum}
"""
"""In place of the plant's tags: events and documents say all."""


def begin(plant: Plant) -> Writer:
    """Everything empty and known to be, a full working day before it."""
    w = Writer(plant)
    values = {tag: STARVED if tag.endswith("/state") else 0 for tag in w.index if "/" in tag and tag[:4] != "set/"}
    stocks = {k.id: k.initial for k in plant.stocks}
    values |= {tag: stocks[tag.split("/")[0]] for tag in w.index if tag.endswith("/on_hand")}
    w.data(0, **values)
    return w


def state_of(w: Writer) -> TwinState:
    return tracked(w).state


def tracked(w: Writer) -> Tracker:
    tracker = Tracker(w.plant)
    for row in w.rows:
        tracker.apply(row)
    return tracker


def facts_of(w: Writer) -> Facts:
    return to_facts(compile_plant(w.plant), state_of(w))


def until(w: Writer, second: float) -> None:
    """Time goes on in ticks of ten seconds."""
    while w.ticked + 10 < second:
        w.tick(w.ticked + 10)


class Shop:
    """Writes what a shop floor tells: each event with the count it leads to."""

    def __init__(self, w: Writer) -> None:
        self.w, self.counts = w, dict[tuple[str, str, str], int]()

    def __call__(self, at: float, kind: str, thing: str, product: str = "", unit: int = 1, **more: Any) -> None:
        """An event; starts, ends and scrap count."""
        if kind in ("work_start", "work_end", "scrap"):
            by_product = kind != "work_start"
            key = (thing, kind, product if by_product and len(self.w.index) > 20 else "")
            self.counts[key] = self.counts.get(key, 0) + 1
            more["count"] = self.counts[key]
        if product:
            more["product"] = product
        until(self.w, at)
        self.w.event(at, kind, thing, unit=unit, **more)

    def lose(self, kind: str, thing: str, product: str = "") -> None:
        """An event that happens and never comes: only its count goes on."""
        key = (thing, kind, product if kind != "work_start" and len(self.w.index) > 20 else "")
        self.counts[key] = self.counts.get(key, 0) + 1
        self.w.skip()


def to_paint(w: Writer, products: str, at: float = 1.0) -> Shop:
    """Motors (s or l) stand before the oven, in this order; each has come through the whole line."""
    shop, names = Shop(w), {"s": "small", "l": "large"}
    released: dict[str, int] = {}
    for i, letter in enumerate(products):
        name = names[letter]
        released[name] = released.get(name, 0) + 1
        w.data(at + i, **{f"release__{name}": released[name]})
        for j, station in enumerate(("turn", "assembly", "test")):
            shop(at + i + 0.2 * j, "work_start", station, name, step=station)
            shop(at + i + 0.2 * j + 0.1, "work_end", station, name, step=station)
    return shop


def at(state: TwinState, plant: Plant, station: str) -> list[Any]:
    """[parts in the queue, parts in each unit] of a station, by product."""
    s = [x.id for x in plant.stations].index(station)
    names = [p.id for p in plant.products]
    found = state.stations[s]
    return [[names[p.product] for p in found.queue], *([names[p.product] for p in u.parts] for u in found.units)]


def paper(w: Writer, second: float, doc: str, kind: str, stock: str, quantity: int, **more: Any) -> None:
    item = next(k.item for k in w.plant.stocks if k.id == stock)
    body = {"doc": doc, "version": 1, "kind": kind, "item": item, "stock": stock, "quantity": quantity}
    until(w, second)
    w.put("supply", second, json.dumps(body | {"issued": T0 + round(second * 1000)} | more).encode())
