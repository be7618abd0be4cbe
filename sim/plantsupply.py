"""Suppliers, stocks and demand, read from the plant file."""

from __future__ import annotations

from typing import Any

from sim.plant import Demand, Dist, Express, Stock, Supplier
from sim.plantdraft import Draft, named
from sim.plantrelease import read_orders
from sim.schema import FACTOR, ONE, Reader, read_item
from sim.sections_supply import DEMAND, EXPRESS, POLICY, SEASON, STOCK, SUPPLIER
from sim.yamlfile import Item

_TERMS = ("lead", "price", "order_cost", "min_order", "multiple")
_NEEDED = {
    "base_stock": ("level",),
    "s_S": ("reorder", "level"),
    "r_Q": ("reorder", "quantity"),
    "forecast": ("window", "cover", "every"),
    "constant_order": ("level", "every"),
}
_EXAMPLES = {"level": "30", "reorder": "5", "quantity": "12", "window": "7", "cover": "3", "every": "1 d"}
_FROM_ORDERS = ("policy", "express", "priority", "vehicle", *_TERMS)

Terms = dict[str, Any]
"""What a supplier says for every stock that orders from it: values by key, only those it gives."""


def read_suppliers(draft: Draft, entries: dict[str, Item]) -> tuple[list[Supplier], dict[str, Terms]]:
    """The suppliers in file order, and the terms of each."""
    result, terms = [], {}
    for name, item in named(draft, "suppliers", "supplier", entries).items():
        r = Reader(draft, item, SUPPLIER)
        reliability = r["reliability"]
        late: Dist | None = r["late"]
        if reliability < 1 and late is None:
            item.fail("'late' beside a reliability below 100 %", "say how much longer late orders take", "none")
        if reliability >= 1 and late is not None:
            r.entries["late"].fail("'reliability' below 100 % beside it", "add it, or take 'late' out")
        terms[name] = {key: r[key] for key in _TERMS if r.has(key)}
        result.append(Supplier(name, r["note"], r["capacity"], reliability, late))
    return result, terms


def read_stocks(draft: Draft, entries: dict[str, Item], terms: dict[str, Terms]) -> list[Stock]:
    result = []
    for name, item in named(draft, "stocks", "stock", entries).items():
        r = Reader(draft, item, STOCK)
        for key, entry in r.entries.items():
            draft.see(("stocks", name, key), entry)
        source = r["from"]
        common = {"id": name, "item": r["item"], "source": source, "initial": r["initial"], "holding": r["holding"]}
        if source == "line":
            r.forbid(_FROM_ORDERS, "for a stock from the line", "the line fills it: take it out")
            result.append(Stock(**common))
            continue
        given = _terms(r, terms.get(source, {}))
        policy, more = _policy(draft, r), {"express": _express(r, terms), "priority": r["priority"]}
        if r.has("vehicle") and policy.get("review") is None:
            r.entries["vehicle"].fail("'every' in the policy beside it", "a vehicle leaves at reviews: add it", "none")
        result.append(Stock(**common, **given, **policy, **more, vehicle=r["vehicle"] or 0))
    return result


def _terms(r: Reader, supplier: Terms) -> dict[str, Any]:
    """Lead time and terms of a lane: its own, else the supplier's."""
    found = {key: r[key] if r.has(key) or key not in supplier else supplier[key] for key in _TERMS}
    if found["lead"] is None:
        if not r.has("lead"):
            r.need("lead", str, "", "constant(2 d)")
        found["lead"] = ONE
    found["least"] = found.pop("min_order")
    return found


def _express(stock: Reader, terms: dict[str, Terms]) -> Express | None:
    r = stock.block("express", EXPRESS)
    if r is None:
        return None
    source = r["from"]
    return Express(source=source, level=r["level"], **_terms(r, terms.get(source, {})))


def _policy(draft: Draft, stock: Reader) -> dict[str, Any]:
    """The fields of a stock that its policy sets."""
    r = stock.block("policy", POLICY)
    if r is None:
        return {"level": 1}
    for key, entry in r.entries.items():
        draft.see(("stocks", stock.item.what.split()[-1], key), entry)
    written = r["kind"]
    kind = written.removeprefix("echelon_")
    needed = _NEEDED[kind]
    for key in needed:
        if not r.has(key):
            r.need(key, str, "", _EXAMPLES[key])
    allowed = {*needed, "every", *(("safety",) if kind == "forecast" else ())}
    wrong = tuple(k for k in ("level", "reorder", "quantity", "window", "cover", "safety") if k not in allowed)
    r.forbid(wrong, f"with policy {written}", "take it out or change the kind")
    level, reorder = r["level"], r["reorder"]
    if kind == "s_S" and level is not None and reorder is not None and reorder >= level:
        r.entries["reorder"].fail(
            f"a reorder point below 'level' ({level})", "lower it or raise the level", str(reorder)
        )
    cover = read_item(draft, r.entries["cover"], FACTOR, 1.0) if kind == "forecast" and r.has("cover") else 0.0
    return {
        "policy": kind,
        "echelon": written != kind,
        "level": (1 if level is None else level) if "level" in needed else None,
        "reorder": (0 if reorder is None else reorder) if "reorder" in needed else None,
        "quantity": (r["quantity"] or 1) if kind == "r_Q" else None,
        "review": r["every"],
        "window": (r["window"] or 1) if kind == "forecast" else 0,
        "cover": cover,
        "safety": r["safety"] if kind == "forecast" else 0,
    }


def read_demands(draft: Draft, entries: dict[str, Item]) -> list[Demand]:
    result = []
    for name, item in named(draft, "demand", "demand", entries).items():
        r = Reader(draft, item, DEMAND)
        for key, entry in r.entries.items():
            draft.see(("demand", name, key), entry)
        by_book = r.has("book")
        if by_book:
            todo = "the book says when, how many and for when: take it out"
            r.forbid(("arrivals", "quantity", "season", "calendar", "due"), "beside a book", todo)
        elif not r.has("arrivals"):
            r.need("arrivals", str, "", "poisson(36/h)")
        _money(r)
        quantity = r["quantity"]
        if any(n == 0 for n, _ in quantity) and r.has("due"):
            r.entries["quantity"].fail("quantities of 1 or more beside 'due'", "an order of nothing has no date")
        result.append(
            Demand(
                id=name,
                stock=r["stock"],
                arrivals=None if by_book else r["arrivals"] or ONE,
                calendar=r["calendar"],
                backlog=r["backlog"],
                unmet=r["unmet"],
                lost_cost=r["lost_cost"],
                quantity=quantity,
                priority=r["priority"],
                due=r["due"],
                tardiness=r["tardiness"],
                season=_season(r),
                book=read_orders(draft, r, "book"),
                most=r["most"],
            )
        )
    return result


def _money(r: Reader) -> None:
    """Costs that can never arise are slips of the pen."""
    if r["unmet"] == "lost":
        todo = "nothing waits: take it out, or write 'unmet: backorder'"
        r.forbid(("most", "backlog", "due", "tardiness"), "where unmet demand is lost", todo)
    elif not r.has("most"):
        todo = "write 'unmet: lost', or 'most' (units that wait at most), or take it out"
        r.forbid(("lost_cost",), "where unmet demand waits, however much", todo)
    if r.has("tardiness") and not r.has("due") and not r.has("book"):
        r.entries["tardiness"].fail("'due' beside 'tardiness'", "nothing is late without a date: add one", "none")


def _season(demand: Reader) -> tuple[float, ...]:
    """Factors of the 168 hours of the week."""
    r = demand.block("season", SEASON)
    if r is None:
        return ()
    if demand.has("calendar"):
        todo = "a factor of 0 closes an hour: take the calendar out"
        demand.entries["calendar"].fail("no 'calendar' beside a season", todo)
    days, hours = _factors(r, "days", 7), _factors(r, "hours", 24)
    factors = tuple(day * hour for day in days for hour in hours)
    if sum(factors) <= 0:
        r.item.fail("a factor above 0", "nobody would ever order", "zeros only")
        return (1.0,) * 168
    mean = sum(factors) / 168
    if abs(mean - 1) > 1e-6:
        what = f"season factors average {mean:.3g}, so the mean rate is that times the stated one"
        demand.draft.problems.note(f"{demand.item.what}: {what}")
    return factors


def _factors(r: Reader, key: str, n: int) -> tuple[float, ...]:
    if not r.has(key):
        return (1.0,) * n
    values = tuple(r.read(e, FACTOR, 1.0) for e in r.sequence(key))
    if len(values) != n:
        r.entries[key].fail(f"{n} factors", "add or remove some", str(len(values)))
        return (1.0,) * n
    return values
