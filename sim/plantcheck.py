"""Checks of a plant as a whole: references between sections, reachability, controls, limits and sensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sim.plant import STATES, UNLIMITED, Control, Plant, Product, Release, Sensor
from sim.plantread import Draft
from sim.plantroute import exits, reached, zero_work
from sim.units import suggestion

_TAG = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*\Z")
_COUNTERS = ("in", "out", "scrap", "demand", "shipped")
PROPERTIES: dict[str, tuple[str, ...]] = {
    "station": ("state", "in", "out", "scrap", "level", "wip"),
    "buffer": ("level", "in", "out"),
    "stock": ("on_hand", "on_order", "backorder", "demand", "shipped", "in"),
    "demand": ("demand", "shipped", "backorder"),
    "product": ("in", "out", "scrap", "wip"),
    "control": ("set",),
}
"""What a sensor can observe of each kind of thing."""
_MAX_TAG = 128


class Checker:
    """Runs all checks on one plant; problems get the line that `draft` knows of the thing."""

    def __init__(self, plant: Plant, draft: Draft) -> None:
        self.plant = plant
        self.draft = draft
        self.things = _things(plant)

    def error(self, path: tuple[str, ...], what: str) -> None:
        self.draft.problems.error(self.draft.line(*path), what)

    def known(self, path: tuple[str, ...], what: str, name: str, names: Iterable[str]) -> bool:
        """Whether `name` is one of `names`; a problem with a suggestion otherwise."""
        pool = list(names)
        if name in pool:
            return True
        self.error(path, f"{'.'.join(path)}: expected {what}, found '{name}'; {suggestion(name, pool)}")
        return False

    def run(self) -> None:
        self._unique()
        for check in (self._references, self._products, self._stocks, self._controls, self._limits, self._sensors):
            check()

    def _unique(self) -> None:
        owner: dict[str, str] = {}
        sections = {"stations": self.plant.stations, "products": self.plant.products, "stocks": self.plant.stocks}
        groups: dict[str, list[str]] = {name: [x.id for x in xs] for name, xs in sections.items()}
        groups["buffers"] = [s.buffer for s in self.plant.stations if s.buffer]
        groups["demand"] = [d.id for d in self.plant.demands]
        groups["controls"] = [c.id for c in self.plant.controls]
        groups["suppliers"] = [s.id for s in self.plant.suppliers]
        for section, names in groups.items():
            for name in names:
                if name in owner:
                    self.error(
                        (section, name),
                        f"{section}.{name}: expected a name of its own, found '{name}' in {owner[name]} too; rename one",
                    )
                owner[name] = section

    def _references(self) -> None:
        crews = [c.id for c in self.plant.crews]
        calendars = [c.id for c in self.plant.calendars]
        for s in self.plant.stations:
            if s.fails and s.fails.crew is not None:
                self.known(("stations", s.id), "a declared crew", s.fails.crew, crews)
            if s.calendar is not None:
                self.known(("stations", s.id), "a declared calendar", s.calendar, calendars)
            if s.buffer and not 0 <= s.capacity <= self.plant.unlimited and s.capacity != UNLIMITED:
                self.error(
                    ("buffers", s.buffer),
                    f"buffers.{s.buffer}: expected at most unlimited ({self.plant.unlimited}) places, "
                    f"found {s.capacity}; raise 'unlimited:' at the top of the file",
                )
        for p in self.plant.products:
            if p.release.calendar is not None:
                self.known(("release", p.id), "a declared calendar", p.release.calendar, calendars)
        stocks = [k.id for k in self.plant.stocks]
        for d in self.plant.demands:
            if d.calendar is not None:
                self.known(("demand", d.id), "a declared calendar", d.calendar, calendars)
            if d.stock:
                self.known(("demand", d.id), "a declared stock", d.stock, stocks)
        _doubles(self, [(d.stock, d.id) for d in self.plant.demands], "demand", "one demand a stock in this version")

    def _products(self) -> None:
        visited: set[str] = set()
        for p in self.plant.products:
            seen = reached(p)
            visited |= {p.steps[n].station for n in seen}
            for n, step in enumerate(p.steps):
                if n not in seen:
                    self.error(
                        ("products", p.id),
                        f"product {p.id}: expected every step to be reachable, found that no part comes to "
                        f"'{step.id}'; correct the 'next' of the steps before it",
                    )
            stuck = exits(p)
            if stuck:
                self.error(
                    ("products", p.id),
                    f"product {p.id}: expected a way out of every step, found a cycle without one at "
                    f"{', '.join(stuck)}; let one of them lead to done, scrap or a later step",
                )
            if p.steps and zero_work(p):
                self.error(
                    ("products", p.id),
                    f"product {p.id}: expected work that takes time, found none in any step; the clock would stand still",
                )
            self._release(p, p.release)
        for s in self.plant.stations:
            if s.id not in visited:
                self.error(
                    ("stations", s.id),
                    f"station {s.id}: expected a routing that leads to it, found none; add it to a routing or remove it",
                )

    def _release(self, product: Product, release: Release) -> None:
        path = ("release", product.id)
        if release.cap is not None and release.cap > self.plant.unlimited:
            self.error(
                path,
                f"release.{product.id}: expected a cap of at most unlimited ({self.plant.unlimited}), "
                f"found {release.cap}; lower it or raise 'unlimited:'",
            )
        if release.base_stock is not None and not any(
            k.source == "line" and k.item == product.id for k in self.plant.stocks
        ):
            self.error(
                path,
                f"release.{product.id}: expected a stock filled with {product.id} for its base_stock, found none; "
                f"declare 'stocks: {{NAME: {{item: {product.id}, from: line}}}}'",
            )
        for name, _ in release.consumes:
            if self.known(path, "a declared stock", name, [k.id for k in self.plant.stocks]):
                stock = next(k for k in self.plant.stocks if k.id == name)
                if stock.source == "line":
                    self.error(
                        path,
                        f"release.{product.id}: expected a stock from a supplier, found '{name}' which the line fills; "
                        "consuming the line's own products (assembly) is not in this version",
                    )

    def _stocks(self) -> None:
        suppliers = [s.id for s in self.plant.suppliers]
        products = [p.id for p in self.plant.products]
        used = {d.stock for d in self.plant.demands} | {n for p in self.plant.products for n, _ in p.release.consumes}
        for k in self.plant.stocks:
            if k.source != "line":
                self.known(("stocks", k.id), "'line' or a declared supplier", k.source, [*suppliers, "line"])
            elif k.item:
                self.known(("stocks", k.id), "a product as item", k.item, products)
            if k.id not in used:
                self.draft.problems.note(f"stock {k.id}: nobody demands or consumes it, so it only grows")
        line = [(k.item, k.id) for k in self.plant.stocks if k.source == "line"]
        _doubles(self, line, "stocks", "one stock a product in this version")
        for supplier in suppliers:
            if not any(k.source == supplier for k in self.plant.stocks):
                self.draft.problems.note(f"supplier {supplier}: no stock orders from it")

    def _controls(self) -> None:
        current = settings(self.plant)
        _doubles(self, [(c.sets, c.id) for c in self.plant.controls], "controls", "one control a setting")
        for c in self.plant.controls:
            path = ("controls", c.id)
            if not c.sets or not self.known(path, "a setting that exists", c.sets, current):
                continue
            value = current[c.sets]
            if not c.low <= value <= c.high or (value - c.low) % c.step:
                self.error(
                    path,
                    f"controls.{c.id}: expected {c.sets} = {value} to be one of {c.low}, {c.low + c.step} .. {c.high}, "
                    "found that it is not; change the range, the step or the setting",
                )
            if c.high > self.plant.unlimited:
                self.error(
                    path,
                    f"controls.{c.id}: expected 'to' of at most unlimited ({self.plant.unlimited}), found {c.high}; "
                    "lower it or raise 'unlimited:'",
                )
            if c.sets.endswith(".cap") and c.low < 1:
                self.error(path, f"controls.{c.id}: expected 'from' of 1 or more for a cap, found {c.low}; raise it")

    def _limits(self) -> None:
        controls = {c.id: c for c in self.plant.controls}
        stations = [s.id for s in self.plant.stations]
        for n, limit in enumerate(self.plant.limits, 1):
            path = ("limits", str(n))
            if limit.control and self.known(path, "a declared control in 'then'", limit.control, controls):
                self._limit_leaves_room(path, controls[limit.control], limit.op, limit.value, limit.condition)
            if limit.condition:
                thing, dot, state = limit.condition.rpartition(".")
                if not dot:
                    self.error(path, f"limit {n}: expected 'STATION.STATE' in 'if', found '{limit.condition}'; write it so")
                elif self.known(path, "a station in 'if'", thing, stations):
                    self.known(path, "a state in 'if'", state, STATES)

    def _limit_leaves_room(self, path: tuple[str, ...], c: Control, op: str, value: float, condition: str) -> None:
        compare = _OPERATORS[op]
        allowed = [x for x in range(c.low, c.high + 1, c.step) if compare(x, value)]
        if not allowed:
            self.error(
                path,
                f"{'.'.join(path)}: expected a value of {c.id} to be left, found none in {c.low}..{c.high} with "
                f"'{c.id} {op} {value:g}'; correct the number",
            )
        elif not condition and c.sets in settings(self.plant) and not compare(settings(self.plant)[c.sets], value):
            self.error(
                path,
                f"{'.'.join(path)}: expected the present {c.sets} to obey '{c.id} {op} {value:g}', "
                f"found {settings(self.plant)[c.sets]}; correct one of them",
            )

    def _sensors(self) -> None:
        tags: dict[str, int] = {}
        for n, sensor in enumerate(self.plant.sensors, 1):
            path = ("sensors", str(n))
            if sensor.tag in tags:
                self.error(
                    path,
                    f"sensor {n}: expected a tag of its own, found '{sensor.tag}' of sensor {tags[sensor.tag]} again; "
                    "rename one",
                )
            tags.setdefault(sensor.tag, n)
            self._sensor(path, n, sensor)

    def _sensor(self, path: tuple[str, ...], n: int, sensor: Sensor) -> None:
        if not sensor.thing or not self.known(path, "a station, buffer, stock, demand, product or control", sensor.thing, self.things):
            return
        kind = self.things[sensor.thing]
        self.known(path, f"a property of a {kind}", sensor.property, PROPERTIES[kind])
        expected = expected_types(sensor.property)
        if sensor.type not in expected:
            self.error(
                path, f"sensor {n}, type: expected {' or '.join(expected)} for {sensor.property}, found '{sensor.type}'; correct it"
            )
        if not _TAG.match(sensor.tag) or len(sensor.tag) > _MAX_TAG:
            self.error(
                path, f"sensor {n}, tag: expected words of A-Z a-z 0-9 _ . - joined by '/', found '{sensor.tag}'; rename it"
            )
        if kind == "control" and sensor.tag != f"set/{sensor.thing}":
            self.error(path, f"sensor {n}, tag: expected 'set/{sensor.thing}' for a control, found '{sensor.tag}'; rename it")
        elif kind != "control" and (sensor.tag.startswith("set/") or sensor.tag == "mode"):
            self.error(path, f"sensor {n}, tag: expected a tag other than 'set/..' and 'mode', found '{sensor.tag}'; rename it")
        if sensor.unit is not None:
            units = next((s.units for s in self.plant.stations if s.id == sensor.thing), 0)
            if sensor.unit > units:
                self.error(path, f"sensor {n}, unit: expected a unit of {sensor.thing} (1..{units}), found {sensor.unit}; correct it")
        if sensor.product is not None:
            self.known(path, "a product", sensor.product, [p.id for p in self.plant.products])


_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def expected_types(prop: str) -> tuple[str, ...]:
    """Tag types that fit a property."""
    if prop == "state":
        return ("enum",)
    return ("counter",) if prop in _COUNTERS else ("int", "float")


def settings(plant: Plant) -> dict[str, int]:
    """Every number a control may set, by its path, with its present value."""
    result: dict[str, int] = {}
    for p in plant.products:
        if p.release.cap is not None:
            result[f"release.{p.id}.cap"] = p.release.cap
        if p.release.base_stock is not None:
            result[f"release.{p.id}.base_stock"] = p.release.base_stock
    for k in plant.stocks:
        if k.level is not None:
            result[f"stocks.{k.id}.level"] = k.level
    return result


def _things(plant: Plant) -> dict[str, str]:
    result = {s.id: "station" for s in plant.stations}
    result |= {s.buffer: "buffer" for s in plant.stations if s.buffer}
    result |= {k.id: "stock" for k in plant.stocks}
    result |= {d.id: "demand" for d in plant.demands}
    result |= {p.id: "product" for p in plant.products}
    return result | {c.id: "control" for c in plant.controls}


def _doubles(checker: Checker, pairs: list[tuple[str, str]], section: str, rule: str) -> None:
    first: dict[str, str] = {}
    for key, owner in pairs:
        if key and key in first:
            checker.error(
                (section, owner), f"{section}.{owner}: expected {rule}, found '{key}' of '{first[key]}' again; take one out"
            )
        first.setdefault(key, owner)
