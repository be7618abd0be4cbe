"""Checks of a plant as a whole: names, and references from one section to another.

The other checks stand in `sim.checkflow` (routings, lots, batches, what can lock), `sim.checksupply` and
`sim.checkcontrol`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.plant import UNLIMITED, Plant
from sim.plantdraft import Draft
from sim.units import suggestion

Path = tuple[str, ...]
"""Keys that lead to a thing of the file: `("stations", "turn")`."""


class Reporter:
    """Puts problems at the lines that `draft` knows of things."""

    def __init__(self, plant: Plant, draft: Draft) -> None:
        self.plant = plant
        self.draft = draft

    def fault(self, path: Path, expected: str, found: object, todo: str, part: str = "") -> None:
        """One problem with the thing at `path` (or with a part of it)."""
        what = ".".join(path) + (f", {part}" if part else "")
        self.draft.problems.error(self.draft.line(*path), f"{what}: expected {expected}, found {found}; {todo}")

    def warn(self, path: Path, what: str) -> None:
        """Something allowed but probably not meant."""
        self.draft.warn(path, what)

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
    from sim import checkcontrol, checkflow, checksupply  # they need Reporter: a cycle otherwise

    report = Reporter(plant, draft)
    for part in (_names, _references, _groups, _buffers):
        part(report)
    for module in (checkflow, checksupply, checkcontrol):
        module.check(report)


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


def _references(report: Reporter) -> None:
    """Calendars, crews, pools and stocks that are named exist."""
    plant = report.plant
    calendars = [c.id for c in plant.calendars]
    users = [("stations", s.id, s.calendar) for s in plant.stations]
    users += [("release", p.id, p.release.calendar) for p in plant.products]
    users += [("demand", d.id, d.calendar) for d in plant.demands]
    for section, name, calendar in users:
        if calendar is not None:
            report.known((section, name), "a declared calendar", calendar, calendars)
    crews = [c.id for c in plant.crews]
    pools = {p.id: p.size for p in plant.pools}
    for s in plant.stations:
        for crew in dict.fromkeys(m.crew for m in s.modes):
            if crew is not None:
                report.known(("stations", s.id), "a declared crew", crew, crews)
        if s.operators is None:
            continue
        path = ("stations", s.id, "operators")
        if (
            report.known(path, "a declared pool of operators", s.operators[0], pools)
            and s.operators[1] > pools[s.operators[0]]
        ):
            size = pools[s.operators[0]]
            report.fault(
                path, f"at most the {size} of {s.operators[0]}", s.operators[1], "the station could never start"
            )
    stocks = [k.id for k in plant.stocks]
    for p in plant.products:
        for step in p.steps:
            for name, _ in step.needs:
                report.known(("products", p.id, "routing", step.id), "a declared stock in 'needs'", name, stocks)


def _groups(report: Reporter) -> None:
    products = {p.id: p for p in report.plant.products}
    member: dict[str, str] = {}
    for g in report.plant.groups:
        path = ("groups", g.id)
        if g.cap > report.plant.unlimited:
            todo = "lower it or raise 'unlimited:'"
            report.fault(path, f"a cap of at most unlimited ({report.plant.unlimited})", g.cap, todo)
        for name, _ in g.mix:
            if not report.known(path, "a product in 'mix'", name, products):
                continue
            if name in member:
                report.fault(path, "each product in one group", f"'{name}' in {member[name]} too", "take it out of one")
            member[name] = g.id
            if products[name].release.policy != "conwip":
                found = f"'{products[name].release.policy}'"
                report.fault(("release", name), f"policy conwip in group {g.id}", found, "change one of them")
            if products[name].lot > g.cap:
                report.fault(path, f"a cap of at least the lot of {name} ({products[name].lot})", g.cap, "raise it")


def _buffers(report: Reporter) -> None:
    most = report.plant.unlimited
    for s in report.plant.stations:
        if s.buffer and s.capacity != UNLIMITED and s.capacity > most:
            todo = "raise 'unlimited:' at the top of the file"
            report.fault(("buffers", s.buffer), f"at most unlimited ({most}) places", s.capacity, todo)
