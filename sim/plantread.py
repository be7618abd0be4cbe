"""The sections of a plant file, each read into the types of `sim.plant`.

Every function takes the section's mapping and records what is wrong with it; what it returns may then hold
defaults, and the file as a whole is refused. References between sections are checked by `sim.plantcheck`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sim import distributions
from sim.calendars import parse as parse_calendar
from sim.plant import (
    UNLIMITED,
    Calendar,
    Control,
    Crew,
    Demand,
    Dist,
    Failure,
    Mode,
    Limit,
    Release,
    Station,
    Stock,
    Supplier,
)
from sim.units import QuantityError, Scale, number, whole
from sim.yamlfile import Fields, Item, Problems, convert, one_of

ID = re.compile(r"[a-z0-9_-]{1,64}\Z")
ALWAYS = "always"
"""Written as a calendar: open at all times, whatever the file's default calendar."""

_ONE = Dist("constant", (1.0,))
_LATER_STATION = {
    "setup": "setups",
    "setups": "setups",
    "batch": "batches",
    "lot": "lots",
    "assembly": "assembly (bills of material)",
    "needs": "assembly (bills of material)",
    "condition": "wear by condition",
    "maintenance": "preventive maintenance",
    "tool": "tool life",
    "power": "energy",
    "energy": "energy",
    "operators": "operator pools",
    "dispatch": "dispatching rules",
    "yield": "station yield (give 'next: {scrap: ..}' in the routing)",
    "speed": "speed changes",
}
_LATER_STOCK = {"echelon": "echelon stocks", "expedite": "expediting", "capacity": "stock capacity"}
_LATER_RELEASE = {
    "kanban": "kanban",
    "orders": "order lists",
    "order_list": "order lists",
    "base_stock": "base-stock without a cap (write conwip with 'base_stock')",
}
_LATER_DEMAND = {"due": "due dates", "priority": "customer priority", "quantity": "compound demand"}


@dataclass
class Draft:
    """What the readers share: the units of the file, its problems, and the line of every named thing.

    `where` maps `stations.turn`, `release.housing`, ... to lines; `works` holds the work times each station gives, by
    `product`, `product/step` or `default`.
    """

    scale: Scale
    problems: Problems
    where: dict[str, int] = field(default_factory=dict)
    works: dict[str, dict[str, Dist]] = field(default_factory=dict)

    def line(self, *path: str) -> int:
        """The line of the innermost known part of a path."""
        for end in range(len(path), 0, -1):
            key = ".".join(path[:end])
            if key in self.where:
                return self.where[key]
        return 1


def named(draft: Draft, section: str, word: str, entries: dict[str, Item]) -> dict[str, Item]:
    """The entries of a section whose ids are well formed, with their lines noted."""
    good: dict[str, Item] = {}
    for name, item in entries.items():
        if not ID.match(name):
            draft.problems.error(
                item.line, f"{section}: expected an id of a-z 0-9 _ -, at most 64, found '{name}'; rename the {word}"
            )
            continue
        draft.where[f"{section}.{name}"] = item.line
        good[name] = replace(item, what=f"{word} {name}")
    return good


def identifier(text: str) -> str:
    """A reader of ids."""
    if not ID.match(text):
        raise QuantityError("an id of a-z 0-9 _ -, at most 64 characters", text, "rename it")
    return text


def read_dist(draft: Draft, item: Item) -> Dist:
    """A distribution: an expression, or a table `{empirical: [..], unit: min}` (with `counts:`) of observations."""
    if not item.is_mapping:
        return convert(item, draft.scale.dist, _ONE)
    f = Fields(item, ("empirical", "counts", "unit"))
    unit = f.need("unit", lambda text: draft.scale.duration(f"1 {text}"), 1.0, "min")
    values = [convert(e, lambda text: _observation(text) * unit, 0.0) for e in f.sequence("empirical")]
    counts = [convert(e, lambda text: whole(text, 1, "a count"), 1) for e in f.sequence("counts")]
    if not values or (counts and len(counts) != len(values)):
        item.fail("{empirical: [..], unit: ..} with as many counts as values (or none)", "list the values")
        return _ONE
    if counts:
        return distributions.discrete(values, counts)
    return Dist("empirical", tuple(sorted(values)))


def _observation(text: str) -> float:
    value = number(text, "an observed time")
    if value < 0:
        raise QuantityError("an observed time of 0 or more", text, "take it out")
    return value


def positive_dist(draft: Draft, item: Item) -> Dist:
    """As `read_dist`, with a mean above zero (times between arrivals, times to failure)."""
    dist = read_dist(draft, item)
    if distributions.mean(dist) <= 0:
        item.fail("a distribution with a mean above 0", "a clock that never advances would stop the simulation")
        return _ONE
    return dist


def _dist_field(
    draft: Draft, fields: Fields, key: str, example: str, read: Callable[[Draft, Item], Dist] = positive_dist
) -> Dist:
    if not fields.has(key):
        fields.need(key, str, "", example)
        return _ONE
    return read(draft, fields.entries[key])


def read_calendars(draft: Draft, entries: dict[str, Item]) -> list[Calendar]:
    result = []
    for name, item in named(draft, "calendars", "calendar", entries).items():
        f = Fields(item, ("open", "at_close"), {"closed": "holidays", "holidays": "holidays", "breaks": "breaks"})
        f.take("at_close", one_of("finish", later={"freeze": "freezing the part in hand"}), "finish")
        texts = []
        if f.has("open") and f.entries["open"].is_list:
            texts = [convert(e, str, "") for e in f.sequence("open")]
        else:
            texts = [f.need("open", str, "", '"Mon-Fri 06:00-22:00"')]
        try:
            windows = parse_calendar(", ".join(texts)) if all(texts) else ()
        except QuantityError as err:
            f.entries["open"].fail(err.expected, err.todo, f"'{err.found}'")
            windows = ()
        if name == ALWAYS:
            item.fail(f"another name than '{ALWAYS}'", "this word means open at all times", f"'{name}'")
        result.append(Calendar(name, windows))
    return result


def read_crews(draft: Draft, entries: dict[str, Item]) -> list[Crew]:
    result = []
    for name, item in named(draft, "crews", "crew", entries).items():
        f = Fields(item, ("size",), {"calendar": "crew shifts", "priority": "repair priorities"})
        result.append(Crew(name, f.need("size", lambda t: whole(t, 1), 1, "1")))
    return result


def read_stations(draft: Draft, entries: dict[str, Item]) -> list[Station]:
    result = []
    for name, item in named(draft, "stations", "station", entries).items():
        f = Fields(item, ("units", "work", "fails", "calendar"), _LATER_STATION)
        draft.works[name] = _works(draft, f)
        result.append(
            Station(
                id=name,
                units=f.take("units", lambda t: whole(t, 1), 1),
                modes=tuple(m for m in (_failure(draft, f),) if m is not None),
                calendar=f.take("calendar", identifier, None),
            )
        )
    return result


def _works(draft: Draft, fields: Fields) -> dict[str, Dist]:
    """Work times by product, product/step or default; one distribution alone is the default."""
    if not fields.has("work"):
        return {}
    item = fields.entries["work"]
    if not item.is_mapping or "empirical" in item.entries():
        return {"default": read_dist(draft, item)}
    return {key: read_dist(draft, value) for key, value in item.entries().items()}


def _failure(draft: Draft, fields: Fields) -> Mode | None:
    if not fields.has("fails"):
        return None
    item = fields.entries["fails"]
    if item.is_list:
        todo = "several failure modes a station are not in this version: keep the one that matters"
        item.fail("one failure mode", todo)
        return None
    f = Fields(item, ("clock", "after", "repair", "crew"), {"priority": "repair priorities", "part": "lost parts"})
    later = {"tdf": "failures by calendar time (tdf)", "parts": "failures per part", "tool": "tool life"}
    return Failure(
        clock=f.take("clock", one_of("odf", later=later), "odf"),
        after=_dist_field(draft, f, "after", "exponential(100 min)"),
        repair=_dist_field(draft, f, "repair", "exponential(10 min)", read_dist),
        crew=f.take("crew", identifier, None),
    )


def read_buffers(draft: Draft, entries: dict[str, Item], stations: list[Station]) -> list[Station]:
    """The stations, each with the buffer declared before it as its queue."""
    by_id = {s.id: s for s in stations}
    for name, item in named(draft, "buffers", "buffer", entries).items():
        f = Fields(item, ("before", "capacity", "holding"), {"kanban": "kanban", "after": "buffers after a station"})
        before = f.need("before", identifier, "", "STATION")
        capacity = f.need("capacity", _capacity, UNLIMITED, "4")
        holding = f.take("holding", draft.scale.money_rate, 0.0)
        if before not in by_id:
            if before:
                f.entries["before"].fail("a declared station", "declare it under 'stations'")
            continue
        if by_id[before].buffer is not None:
            f.entries["before"].fail("one buffer a station", f"'{by_id[before].buffer}' stands there already")
            continue
        by_id[before] = replace(by_id[before], buffer=name, capacity=capacity, holding=holding)
    return [by_id[s.id] for s in stations]


def _capacity(text: str) -> int:
    return UNLIMITED if text == "unlimited" else whole(text, 0, "'unlimited' or a whole number of places")


def read_releases(draft: Draft, entries: dict[str, Item]) -> dict[str, Release]:
    result: dict[str, Release] = {}
    for name, item in named(draft, "release", "release of", entries).items():
        f = Fields(item, ("policy", "cap", "base_stock", "arrivals", "calendar", "consumes"), {"due": "due dates"})
        policy = f.need("policy", one_of("push", "conwip", "saturated", later=_LATER_RELEASE), "saturated", "conwip")
        allowed = {"push": {"arrivals"}, "conwip": {"cap", "base_stock"}, "saturated": set[str]()}[policy]
        for key in ("cap", "base_stock", "arrivals"):
            if f.has(key) and key not in allowed:
                f.entries[key].fail(f"no '{key}' with policy {policy}", "take it out or change the policy")
        arrivals = _dist_field(draft, f, "arrivals", "poisson(36/h)") if policy == "push" else None
        cap = f.need("cap", lambda t: whole(t, 1), 1, "6") if policy == "conwip" else None
        consumes = {k: convert(v, lambda t: whole(t, 1), 1) for k, v in f.mapping("consumes").items()}
        result[name] = Release(
            policy=policy,
            cap=cap,
            base_stock=f.take("base_stock", lambda t: whole(t, 0), None),
            arrivals=arrivals,
            calendar=f.take("calendar", identifier, None),
            consumes=tuple(consumes.items()),
        )
    return result


def read_suppliers(draft: Draft, entries: dict[str, Item]) -> list[Supplier]:
    later = {"capacity": "supplier capacity", "reliability": "supplier reliability", "lead": "a lead time per supplier"}
    result = []
    for name, item in named(draft, "suppliers", "supplier", entries).items():
        f = Fields(item, ("note",), later)
        result.append(Supplier(name, f.take("note", str, "")))
    return result


def read_stocks(draft: Draft, entries: dict[str, Item]) -> list[Stock]:
    result = []
    for name, item in named(draft, "stocks", "stock", entries).items():
        known = ("item", "from", "initial", "holding", "policy", "lead", "order_cost", "price")
        f = Fields(item, known, _LATER_STOCK)
        source = f.need("from", identifier, "line", "line")
        stock = Stock(
            id=name,
            item=f.need("item", identifier, "", "housing"),
            source=source,
            initial=f.take("initial", lambda t: whole(t, 0), 0),
            holding=f.take("holding", draft.scale.money_rate, 0.0),
        )
        if source == "line":
            for key in ("policy", "lead", "order_cost", "price"):
                if f.has(key):
                    f.entries[key].fail(f"no '{key}' for a stock from the line", "the line fills it: take it out")
        else:
            level, review = _policy(draft, f)
            stock = replace(
                stock,
                level=level,
                review=review,
                lead=_dist_field(draft, f, "lead", "constant(2 d)", read_dist),
                order_cost=f.take("order_cost", draft.scale.money, 0.0),
                price=f.take("price", draft.scale.money, 0.0),
            )
        result.append(stock)
    return result


def _policy(draft: Draft, fields: Fields) -> tuple[int, int | None]:
    if not fields.has("policy"):
        fields.need("policy", str, "", "{kind: base_stock, level: 30, every: 8 h}")
        return 1, None
    f = Fields(fields.entries["policy"], ("kind", "level", "every"), {"reorder": "(s,S)", "quantity": "(r,Q)"})
    later = {"s_S": "(s,S)", "r_Q": "(r,Q)", "echelon": "echelon base-stock", "order_up_to": "forecast order-up-to"}
    f.take("kind", one_of("base_stock", later=later), "base_stock")
    every = f.take("every", draft.scale.ticks, None)
    if every == 0:
        f.entries["every"].fail("a review period above 0", "leave 'every' out for continuous review")
    return f.need("level", lambda t: whole(t, 0), 1, "30"), every


def read_demands(draft: Draft, entries: dict[str, Item]) -> list[Demand]:
    result = []
    for name, item in named(draft, "demand", "demand", entries).items():
        f = Fields(item, ("stock", "arrivals", "unmet", "backlog", "calendar"), _LATER_DEMAND)
        f.take("unmet", one_of("backorder", later={"lost": "lost sales"}), "backorder")
        result.append(
            Demand(
                id=name,
                stock=f.need("stock", identifier, "", "finished"),
                arrivals=_dist_field(draft, f, "arrivals", "poisson(36/h)"),
                calendar=f.take("calendar", identifier, None),
                backlog=f.take("backlog", draft.scale.money_rate, 0.0),
            )
        )
    return result


def read_controls(draft: Draft, entries: dict[str, Item]) -> list[Control]:
    result = []
    later = dict.fromkeys(("dispatch", "maintenance", "capacity", "overtime", "energy"), "this action class")
    for name, item in named(draft, "controls", "control", entries).items():
        f = Fields(item, ("sets", "from", "to", "step", "every", "class", "worth", "approve"))
        low = f.need("from", lambda t: whole(t, 0), 0, "2")
        high = f.need("to", lambda t: whole(t, 0), low, "11")
        if high < low:
            f.entries["to"].fail(f"a value of at least 'from' ({low})", "exchange them")
        sets = f.need("sets", str, "", "release.PRODUCT.cap")
        supposed = "supply" if sets.startswith("stocks.") else "release"
        klass = f.take("class", one_of("release", "supply", later=later), supposed)
        if klass != supposed:
            f.entries["class"].fail(f"'{supposed}' for what it sets", "correct the class or leave it out")
        result.append(
            Control(
                id=name,
                sets=sets,
                low=low,
                high=high,
                step=f.take("step", lambda t: whole(t, 1), 1),
                every=f.need("every", draft.scale.ticks, 1, "10 min"),
                klass=klass,
                worth=f.take("worth", draft.scale.money, 0.0),
                approve=f.take("approve", one_of("operator", "engineer", "admin"), "operator"),
            )
        )
    return result


_THEN = re.compile(r"^\s*(\S+?)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*$")


def read_limits(draft: Draft, items: list[Item]) -> list[Limit]:
    result = []
    for n, item in enumerate(items, 1):
        draft.where[f"limits.{n}"] = item.line
        f = Fields(replace(item, what=f"limit {n}"), ("if", "then"))
        condition = f.take("if", str, "")
        then = f.need("then", str, "", '"cap <= 8"')
        match = _THEN.match(then)
        if match is None:
            if then:
                f.entries["then"].fail("'CONTROL <= NUMBER' (or >=, <, >, ==, !=)", "write it so")
            result.append(Limit(condition, "", "<=", 0.0))
            continue
        try:
            bound = number(match.group(3))
        except QuantityError as err:
            f.entries["then"].fail("a number after the comparison", err.todo)
            bound = 0.0
        result.append(Limit(condition, match.group(1), match.group(2), bound))
    return result
