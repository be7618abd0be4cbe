"""How parts are released, read from the plant file: policies, order lists, groups under one cap."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from sim.plant import Group, Order, Release
from sim.plantdraft import Draft, named
from sim.schema import ONE, Reader
from sim.sections import GROUP, ORDER, RELEASE
from sim.units import QuantityError, whole
from sim.yamlfile import Item

T = TypeVar("T")

_ALLOWED = {
    "push": {"arrivals"},
    "conwip": {"cap", "base_stock"},
    "base_stock": {"level"},
    "saturated": set[str](),
    "orders": {"orders"},
}
MOST_LINES = 100_000
"""Lines of an order list or book; all of them stand in the simulator's tables."""


def read_releases(draft: Draft, entries: dict[str, Item], grouped: set[str]) -> dict[str, Release]:
    """Releases by product. `grouped` products may leave their own cap out."""
    result: dict[str, Release] = {}
    for name, item in named(draft, "release", "release of", entries).items():
        r = Reader(draft, item, RELEASE)
        for key, entry in r.entries.items():
            draft.see(("release", name, key), entry)
        policy = r["policy"]
        for key in ("cap", "base_stock", "level", "arrivals", "orders"):
            if key not in _ALLOWED[policy]:
                r.forbid((key,), f"with policy {policy}", "take it out or change the policy")
        if r["surplus"] == "scrapped" and not (r.has("base_stock") or r.has("level")):
            todo = "add one (policy conwip or base_stock), or take 'surplus' out"
            r.entries["surplus"].fail("a base stock beside 'surplus: scrapped'", todo, "none")
        if policy == "orders":
            r.forbid(("calendar",), "with policy orders", "an order list is bound to no calendar: take it out")
        if policy == "push" and not r.has("arrivals"):
            r.need("arrivals", str, "", "poisson(36/h)")
        if policy == "conwip" and not r.has("cap") and name not in grouped:
            r.need("cap", str, "", "6")
        if policy == "base_stock" and not r.has("level"):
            r.need("level", str, "", "30")
        if policy == "orders" and not r.has("orders"):
            r.need("orders", str, "", "[{at: 2 h, quantity: 3, due: 9 h}]")
        result[name] = Release(
            policy="conwip" if policy == "base_stock" else policy,
            cap=r["cap"] if policy == "conwip" else None,
            base_stock=(r["level"] or 0) if policy == "base_stock" else r["base_stock"],
            arrivals=(r["arrivals"] or ONE) if policy == "push" else None,
            calendar=r["calendar"],
            consumes=r["consumes"],
            orders=read_orders(draft, r, "orders") if policy == "orders" else (),
            stops=r["surplus"] == "scrapped",
        )
    return result


def read_groups(draft: Draft, entries: dict[str, Item]) -> list[Group]:
    result = []
    for name, item in named(draft, "groups", "group", entries).items():
        r = Reader(draft, item, GROUP)
        result.append(Group(name, r["cap"], r["mix"]))
    return result


def read_orders(draft: Draft, r: Reader, key: str) -> tuple[Order, ...]:
    """An order list or book, from the file itself or from a CSV file beside it. Lines are in rising order of time."""
    if not r.has(key):
        return ()
    item = r.entries[key]
    lines = [_order(Reader(draft, e, ORDER)) for e in r.sequence(key)] if item.is_list else _table(draft, r, key)
    if not lines:
        item.fail("at least one line", "list the orders")
    if len(lines) > MOST_LINES:
        item.fail(f"at most {MOST_LINES} lines", "split the run", str(len(lines)))
    if any(b.at < a.at for a, b in pairwise(lines)):
        item.fail("lines in rising order of 'at'", "sort them", "one that is earlier than the one before")
    return tuple(lines)


def _order(r: Reader) -> Order:
    order = Order(r["at"], r["quantity"], r["due"])
    if order.due is not None and order.due < order.at:
        r.entries["due"].fail("a due date not before 'at'", "both count from the start of the run: correct one")
    return order


def _table(draft: Draft, r: Reader, key: str) -> list[Order]:
    """The lines of a CSV file with the columns at, quantity, due (units written in the cells)."""
    item = r.entries[key]
    name = item.text() if not item.is_mapping else ""
    if not name.endswith(".csv") or "/" in name or "\\" in name:
        item.fail("a list of {at, quantity, due}, or the name of a CSV file beside this file", "write one of them")
        return []
    try:
        with (draft.folder / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        item.fail("a readable CSV file beside this file", f"check it ({err})", f"'{name}'")
        return []
    unknown = sorted({str(column) for row in rows for column in row} - {"at", "quantity", "due"})
    if unknown:
        item.fail("the columns at, quantity, due", f"rename or remove {', '.join(unknown)}", f"'{name}'")
        return []
    return [_row(draft, replace(item, what=f"{name}:{n}"), row) for n, row in enumerate(rows, 2)]


def _row(draft: Draft, item: Item, row: dict[str, str | None]) -> Order:
    """One line of a table; an empty cell is the default."""

    def cell(column: str, read: Callable[[str], int], default: T) -> int | T:
        text = (row.get(column) or "").strip()
        if not text:
            return default
        try:
            return read(text)
        except QuantityError as err:
            item.fail(f"{err.expected} in column '{column}'", err.todo, f"'{err.found[:40]}'")
            return default

    if not (row.get("at") or "").strip():
        item.fail("a time in column 'at'", "write for example 2 h", "none")
    order = Order(
        cell("at", draft.scale.ticks, 0),
        cell("quantity", lambda t: whole(t, 1), 1),
        cell("due", draft.scale.ticks, None),
    )
    if order.due is not None and order.due < order.at:
        item.fail("a due date not before 'at'", "both count from the start of the run: correct one")
    return order
