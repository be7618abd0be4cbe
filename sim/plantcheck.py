"""Checks of a plant as a whole: references between sections, reachability, controls and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sim.plant import STATES, UNLIMITED, Control, Limit, Plant, Product
from sim.plantread import Draft
from sim.plantroute import exits, reached, zero_work
from sim.units import suggestion

Path = tuple[str, ...]
"""Keys that lead to a thing of the file: `("stations", "turn")`."""

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
"""Comparisons a limit may use."""


class Reporter:
    """Puts problems at the lines that `draft` knows of things."""

    def __init__(self, plant: Plant, draft: Draft) -> None:
        self.plant = plant
        self.draft = draft

    def fault(self, path: Path, expected: str, found: object, todo: str, part: str = "") -> None:
        """One problem with the thing at `path` (or with a part of it)."""
        what = ".".join(path) + (f", {part}" if part else "")
        self.draft.problems.error(self.draft.line(*path), f"{what}: expected {expected}, found {found}; {todo}")

    def known(self, path: Path, expected: str, name: str, names: Iterable[str]) -> bool:
        """Whether `name` is one of `names`; a problem with a suggestion otherwise."""
        pool = list(names)
        if name in pool:
            return True
        self.fault(path, expected, f"'{name}'", suggestion(name, pool))
        return False

    def doubles(self, section: str, rule: str, pairs: list[tuple[str, str]]) -> None:
        """A problem for each owner whose key another owner has already."""
        first: dict[str, str] = {}
        for key, owner in pairs:
            if key and key in first:
                self.fault((section, owner), rule, f"'{key}' of '{first[key]}' again", "take one out")
            first.setdefault(key, owner)


def check(plant: Plant, draft: Draft) -> None:
    """Record every problem of a plant whose sections were read."""
    report = Reporter(plant, draft)
    for part in (_names, _calendars_and_crews, _buffers, _products, _releases, _stocks, _demands, _controls, _limits):
        part(report)


def _names(report: Reporter) -> None:
    """One name, one thing: sensors, draws and figures go by it."""
    plant = report.plant
    groups: dict[str, list[str]] = {
        "stations": [s.id for s in plant.stations],
        "products": [p.id for p in plant.products],
        "stocks": [k.id for k in plant.stocks],
        "buffers": [s.buffer for s in plant.stations if s.buffer],
        "demand": [d.id for d in plant.demands],
        "controls": [c.id for c in plant.controls],
        "suppliers": [s.id for s in plant.suppliers],
    }
    owner: dict[str, str] = {}
    for section, names in groups.items():
        for name in names:
            if name in owner:
                report.fault((section, name), "a name of its own", f"'{name}' in {owner[name]} too", "rename one")
            owner.setdefault(name, section)


def _calendars_and_crews(report: Reporter) -> None:
    plant = report.plant
    calendars = [c.id for c in plant.calendars]
    users = [("stations", s.id, s.calendar) for s in plant.stations]
    users += [("release", p.id, p.release.calendar) for p in plant.products]
    users += [("demand", d.id, d.calendar) for d in plant.demands]
    for section, name, calendar in users:
        if calendar is not None:
            report.known((section, name), "a declared calendar", calendar, calendars)
    crews = [c.id for c in plant.crews]
    for s in plant.stations:
        if s.fails and s.fails.crew is not None:
            report.known(("stations", s.id), "a declared crew", s.fails.crew, crews)


def _buffers(report: Reporter) -> None:
    most = report.plant.unlimited
    for s in report.plant.stations:
        if s.buffer and s.capacity != UNLIMITED and s.capacity > most:
            todo = "raise 'unlimited:' at the top of the file"
            report.fault(("buffers", s.buffer), f"at most unlimited ({most}) places", s.capacity, todo)


def _products(report: Reporter) -> None:
    visited: set[str] = set()
    for p in report.plant.products:
        path = ("products", p.id)
        seen = reached(p)
        visited |= {p.steps[n].station for n in seen}
        for n, step in enumerate(p.steps):
            if n not in seen:
                todo = "correct the 'next' of the steps before it"
                report.fault(path, "every step to be reachable", f"that no part comes to '{step.id}'", todo)
        stuck = exits(p)
        if stuck:
            found = f"a routing cycle without one at {', '.join(stuck)}"
            report.fault(path, "a way out of every step", found, "let one of them lead to done, scrap or a later step")
        if p.steps and zero_work(p):
            report.fault(path, "work that takes time", "none in any step", "the clock would stand still: give a time")
    for s in report.plant.stations:
        if s.id not in visited:
            todo = "the station is unreachable: add it to a routing or remove it"
            report.fault(("stations", s.id), "a routing that leads to it", "none", todo)


def _releases(report: Reporter) -> None:
    for p in report.plant.products:
        path, release, most = ("release", p.id), p.release, report.plant.unlimited
        if release.cap is not None and release.cap > most:
            report.fault(path, f"a cap of at most unlimited ({most})", release.cap, "lower it or raise 'unlimited:'")
        if release.base_stock is not None and not _filled(report.plant, p):
            todo = f"declare 'stocks: {{NAME: {{item: {p.id}, from: line}}}}'"
            report.fault(path, f"a stock filled with {p.id} for its base_stock", "none", todo)
        stocks = {k.id: k for k in report.plant.stocks}
        for name, _ in release.consumes:
            if report.known(path, "a declared stock", name, stocks) and stocks[name].source == "line":
                todo = "consuming the line's own products (assembly) is not in this version"
                report.fault(path, "a stock from a supplier", f"'{name}', which the line fills", todo)


def _filled(plant: Plant, product: Product) -> bool:
    return any(k.source == "line" and k.item == product.id for k in plant.stocks)


def _stocks(report: Reporter) -> None:
    plant = report.plant
    suppliers = [s.id for s in plant.suppliers]
    used = {d.stock for d in plant.demands} | {n for p in plant.products for n, _ in p.release.consumes}
    for k in plant.stocks:
        if k.source != "line":
            report.known(("stocks", k.id), "'line' or a declared supplier", k.source, [*suppliers, "line"])
        elif k.item:
            report.known(("stocks", k.id), "a product as item", k.item, [p.id for p in plant.products])
        if k.id not in used:
            report.draft.problems.note(f"stock {k.id}: nobody demands or consumes it, so it only grows")
    line = [(k.item, k.id) for k in plant.stocks if k.source == "line"]
    report.doubles("stocks", "one stock a product in this version", line)
    for supplier in suppliers:
        if not any(k.source == supplier for k in plant.stocks):
            report.draft.problems.note(f"supplier {supplier}: no stock orders from it")


def _demands(report: Reporter) -> None:
    stocks = [k.id for k in report.plant.stocks]
    for d in report.plant.demands:
        if d.stock:
            report.known(("demand", d.id), "a declared stock", d.stock, stocks)
    report.doubles("demand", "one demand a stock in this version", [(d.stock, d.id) for d in report.plant.demands])


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


def _controls(report: Reporter) -> None:
    current, most = settings(report.plant), report.plant.unlimited
    report.doubles("controls", "one control a setting", [(c.sets, c.id) for c in report.plant.controls])
    for c in report.plant.controls:
        path = ("controls", c.id)
        if not c.sets or not report.known(path, "a setting that exists", c.sets, current):
            continue
        value = current[c.sets]
        if not c.low <= value <= c.high or (value - c.low) % c.step:
            grid = f"{c.sets} = {value} to be one of {c.low}, {c.low + c.step} .. {c.high}"
            report.fault(path, grid, "that it is not", "change the range, the step or the setting")
        if c.high > most:
            report.fault(path, f"'to' of at most unlimited ({most})", c.high, "lower it or raise 'unlimited:'")
        if c.sets.endswith(".cap") and c.low < 1:
            report.fault(path, "'from' of 1 or more for a cap", c.low, "raise it")


def _limits(report: Reporter) -> None:
    controls = {c.id: c for c in report.plant.controls}
    stations = [s.id for s in report.plant.stations]
    for n, limit in enumerate(report.plant.limits, 1):
        path = ("limits", str(n))
        if limit.control and report.known(path, "a declared control in 'then'", limit.control, controls):
            _leaves_room(report, path, controls[limit.control], limit)
        if limit.condition:
            thing, dot, state = limit.condition.rpartition(".")
            if not dot:
                report.fault(path, "'STATION.STATE' in 'if'", f"'{limit.condition}'", "write it so")
            elif report.known(path, "a station in 'if'", thing, stations):
                report.known(path, "a state in 'if'", state, STATES)


def _leaves_room(report: Reporter, path: Path, control: Control, limit: Limit) -> None:
    """A limit that allows no value, or that the file itself breaks, is a slip of the pen."""
    compare, rule = OPERATORS[limit.op], f"'{control.id} {limit.op} {limit.value:g}'"
    grid = range(control.low, control.high + 1, control.step)
    if not any(compare(x, limit.value) for x in grid):
        found = f"none in {control.low}..{control.high} with {rule}"
        report.fault(path, f"a value of {control.id} to be left", found, "correct the number")
        return
    present = settings(report.plant).get(control.sets)
    if not limit.condition and present is not None and not compare(present, limit.value):
        report.fault(path, f"the present {control.sets} to obey {rule}", present, "correct one of them")
