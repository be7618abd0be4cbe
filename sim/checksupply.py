"""Checks of stocks, suppliers and demand: sources that exist and never go round, levels that suffice."""

from __future__ import annotations

from sim import distributions
from sim.plant import Stock
from sim.plantcheck import Reporter


def check(report: Reporter) -> None:
    """Record what is wrong with the supply side of a plant."""
    for part in (_sources, _circles, _uses, _suppliers, _demands, _levels):
        part(report)


def _sources(report: Reporter) -> None:
    plant = report.plant
    suppliers = [s.id for s in plant.suppliers]
    stocks = {k.id: k for k in plant.stocks}
    for k in plant.stocks:
        path = ("stocks", k.id)
        if k.source == "line":
            if k.item:
                report.known(path, "a product as item", k.item, [p.id for p in plant.products])
            continue
        for source in [k.source, *([k.express.source] if k.express is not None else [])]:
            if not source or not report.known(
                path, "'line', a declared supplier or stock", source, [*suppliers, *stocks, "line"]
            ):
                continue
            if source == "line":
                report.fault(
                    (*path, "express"), "a supplier or a stock", "'line'", "the line fills a stock, it takes no orders"
                )
            elif source in stocks and stocks[source].item != k.item:
                found = f"'{stocks[source].item}' in {source}"
                report.fault(path, f"the same item as its source ('{k.item}')", found, "correct one of them")
        if (
            k.express is not None
            and k.lead is not None
            and distributions.mean(k.express.lead) >= distributions.mean(k.lead)
        ):
            report.warn((*path, "express"), "the express lead time is not below the regular one")
    line = [(k.item, k.id) for k in plant.stocks if k.source == "line"]
    report.doubles("stocks", "one stock from the line a product (let other stocks order from it)", line)


def _circles(report: Reporter) -> None:
    """A stock that orders from itself in the end would never be filled."""
    stocks = {k.id: k for k in report.plant.stocks}
    for k in report.plant.stocks:
        seen: set[str] = set()
        waiting = _above(k)
        while waiting:
            name = waiting.pop()
            if name in stocks and name not in seen:
                seen.add(name)
                waiting += _above(stocks[name])
        if k.id in seen:
            todo = "let one of them order from a supplier or the line"
            report.fault(
                ("stocks", k.id), "sources that end at a supplier or the line", "a circle back to itself", todo
            )


def _above(stock: Stock) -> list[str]:
    return [stock.source] + ([stock.express.source] if stock.express is not None else [])


def _uses(report: Reporter) -> None:
    plant = report.plant
    used = {d.stock for d in plant.demands} | {n for p in plant.products for n, _ in p.release.consumes}
    used |= {n for p in plant.products for step in p.steps for n, _ in step.needs}
    used |= {name for k in plant.stocks for name in _above(k)}
    for k in plant.stocks:
        if k.id not in used:
            report.draft.problems.note(f"stock {k.id}: nobody demands or consumes it, so it only grows")
        serial = any(other.id == k.source and other.echelon for other in plant.stocks)  # the last stage of a chain
        if k.echelon and not serial and not any(k.id in _above(other) for other in plant.stocks):
            report.warn(("stocks", k.id), "an echelon policy without stocks downstream is an ordinary one")


def _suppliers(report: Reporter) -> None:
    for s in report.plant.suppliers:
        if not any(s.id in _above(k) for k in report.plant.stocks):
            report.draft.problems.note(f"supplier {s.id}: no stock orders from it")


def _demands(report: Reporter) -> None:
    stocks = [k.id for k in report.plant.stocks]
    for d in report.plant.demands:
        if d.stock:
            report.known(("demand", d.id), "a declared stock", d.stock, stocks)


def _levels(report: Reporter) -> None:
    """A withdrawal that is larger than what a stock can ever hold waits for ever."""
    plant = report.plant
    stocks = {k.id: k for k in plant.stocks}
    taken: list[tuple[tuple[str, ...], str, int]] = [
        (("release", p.id), k, n * p.lot) for p in plant.products for k, n in p.release.consumes
    ]
    taken += [
        (("products", p.id, "routing", step.id), k, n * p.transfer)
        for p in plant.products
        for step in p.steps
        for k, n in step.needs
    ]
    for path, name, units in taken:
        if name not in stocks:
            if path[0] == "release":
                report.known(path, "a declared stock", name, stocks)
            continue
        most = _most(report, stocks[name])
        if most is not None and units > most:
            todo = f"raise the level of {name}, or take fewer at a time"
            report.fault(path, f"at most {most} units of {name} at a time, which is all it ever holds", units, todo)


def _most(report: Reporter, stock: Stock) -> int | None:
    """The most units that will ever lie in a stock; None where that is not plain."""
    span = {c.sets: c.high for c in report.plant.controls}
    if stock.source == "line":
        product = next((p for p in report.plant.products if p.id == stock.item), None)
        base = product.release.base_stock if product is not None else None
        if product is None or base is None:
            return None
        return max(stock.initial, max(base, span.get(f"release.{product.id}.base_stock", 0)) + product.lot - 1)
    if stock.policy not in ("base_stock", "s_S") or stock.echelon or stock.level is None:
        return None
    highest = max(stock.level, span.get(f"stocks.{stock.id}.level", 0))
    if stock.express is not None:
        highest = max(highest, stock.express.level, span.get(f"stocks.{stock.id}.express", 0))
    return max(stock.initial, highest + stock.least + stock.multiple - 2)
