"""Checks of the material flow: routings, lots, batches, dispatching, and what can lock a line for ever."""

from __future__ import annotations

from sim.deadlock import deadlocks, most_parts_at, most_parts_of
from sim.plant import UNLIMITED, Batch, Product, Station
from sim.plantcheck import Path, Reporter
from sim.plantroute import exits, reached, zero_batches, zero_cycle, zero_work

_NEEDS_DATE = ("due", "slack", "ratio")


def check(report: Reporter) -> None:
    """Record what is wrong with the flow of parts."""
    for part in (
        _products,
        _releases,
        _lots,
        _conditions,
        _batches,
        _before_service,
        _assembly,
        _groups,
        _dispatch,
        _locks,
    ):
        part(report)


def _products(report: Reporter) -> None:
    visited: set[str] = set()
    for p in report.plant.products:
        path = ("products", p.id)
        seen = reached(p)
        visited |= {station for n in seen for station, _ in p.steps[n].eligible}
        for n, step in enumerate(p.steps):
            if n not in seen:
                todo = "correct the 'next' of the steps before it"
                report.fault(
                    (*path, "routing", step.id),
                    "every step to be reachable",
                    f"that no part comes to '{step.id}'",
                    todo,
                )
        stuck = exits(p)
        if stuck:
            found = f"a routing cycle without one at {', '.join(stuck)}"
            report.fault(path, "a way out of every step", found, "let one of them lead to done, scrap or a later step")
        if p.steps and zero_work(p):
            report.fault(path, "work that takes time", "none in any step", "the clock would stand still: give a time")
        elif around := zero_cycle(p):
            found = f"none at {', '.join(around)}, which lead to each other"
            report.fault(path, "work that takes time in every cycle", found, "the clock would stand still: give a time")
        elif riders := zero_batches(report.plant, p):
            rider, mate = next(iter(riders.items()))
            found = f"a batch that {rider} rides in and that takes none where {mate} leads it"
            todo = "the clock could stand still: give that one a time, or keep them out of one batch ('by')"
            report.fault(path, "batches that take time", found, todo)
        dated = p.due is not None or any(o.due is not None for o in p.release.orders)
        if p.tardiness and not dated:
            todo = "add 'due', or dates to its order list"
            report.fault((*path, "tardiness"), "'due' beside 'tardiness'", "none", todo)
    for s in report.plant.stations:
        if s.id not in visited:
            todo = "the station is unreachable: add it to a routing or remove it"
            report.fault(("stations", s.id), "a routing that leads to it", "none", todo)


def _releases(report: Reporter) -> None:
    for p in report.plant.products:
        path, release, most = ("release", p.id), p.release, report.plant.unlimited
        if release.cap is not None and release.cap > most:
            report.fault(path, f"a cap of at most unlimited ({most})", release.cap, "lower it or raise 'unlimited:'")
        if release.cap is not None and release.cap < p.lot:
            report.fault(
                (*path, "cap"), f"a cap of at least the lot ({p.lot})", release.cap, "nothing could ever be released"
            )
        if release.base_stock is not None and not _filled(report, p):
            todo = f"declare 'stocks: {{NAME: {{item: {p.id}, from: line}}}}'"
            report.fault(path, f"a stock filled with {p.id} for its base_stock", "none", todo)


def _filled(report: Reporter, product: Product) -> bool:
    return any(k.source == "line" and k.item == product.id for k in report.plant.stocks)


def room(station: Station) -> int | None:
    """The most parts a station takes in queue and units; None where nothing bounds it."""
    bounds = [] if station.capacity == UNLIMITED else [station.capacity + station.units]
    bounds += [] if station.kanban is None else [station.kanban]
    return min(bounds) if bounds else None


def _lots(report: Reporter) -> None:
    """A lot enters its first station as a whole."""
    stations = {s.id: s for s in report.plant.stations}
    for p in report.plant.products:
        parts = p.lot // max(p.transfer, 1)
        for name in [k for k, _ in p.steps[0].eligible] if p.steps else []:
            places = room(stations[name]) if name in stations else None
            if places is not None and parts > places:
                todo = "enlarge its buffer (or kanban), or release smaller lots"
                report.fault(
                    ("products", p.id), f"a lot of at most the {places} parts that {name} takes", f"{parts} parts", todo
                )


def _conditions(report: Reporter) -> None:
    for s in report.plant.stations:
        for m in s.modes:
            if m.at_level is None:
                continue
            path = ("stations", s.id, "maintenance")
            if s.condition is None:
                report.fault(path, "a 'condition' for 'at_level'", "none", "add one, or write 'every' instead")
            elif m.at_level > len(s.condition.wear):
                levels = len(s.condition.wear)
                report.fault(path, f"'at_level' of 1 .. {levels} ({levels} is never)", m.at_level, "lower it")


def _batches(report: Reporter) -> None:
    for s in report.plant.stations:
        if s.batch is None:
            continue
        path = ("stations", s.id, "batch")
        for p in report.plant.products:
            for step in p.steps:
                if step.needs and any(k == s.id for k, _ in step.eligible):
                    todo = "let a step before the oven take the components"
                    report.fault(path, "no 'needs' at a batch station", f"those of {p.id}/{step.id}", todo)
        if s.batch.wait is None:
            _fills(report, path, s, s.batch)


def _fills(report: Reporter, path: Path, station: Station, batch: Batch) -> None:
    """Whether the fewest parts of a batch can ever wait together."""
    places = room(station)
    if places is not None and batch.least > places:
        report.fault(path, f"'min' of at most {places}, all that can wait here", batch.least, "lower it, or add 'wait'")
        return
    here = [p for p in report.plant.products if any(k == station.id for step in p.steps for k, _ in step.eligible)]
    keys: dict[str, list[Product]] = {}
    for p in here:
        keys.setdefault({"family": p.family or p.id, "product": p.id, "any": ""}[batch.by], []).append(p)
    for key, products in keys.items():
        most = most_parts_of(report.plant, [p.id for p in products])
        if most is not None and batch.least > most:
            found = f"{batch.least}, and {most} parts of '{key or 'all products'}' that the caps admit"
            todo = "the oven would never start: lower 'min', add 'wait', or raise the cap"
            report.fault(path, "'min' of at most what can wait together", found, todo)
    _shared_ovens(report, path, batch, keys)


def _shared_ovens(report: Reporter, path: Path, batch: Batch, keys: dict[str, list[Product]]) -> None:
    """A common cap that incomplete batches of several families can use up."""
    for g in report.plant.groups:
        inside = [key for key, products in keys.items() if any(p.id in dict(g.mix) for p in products)]
        if len(inside) > 1 and len(inside) * (batch.least - 1) >= g.cap:
            short, names = batch.least - 1, ", ".join(inside)
            report.warn(
                path,
                f"{short} parts of each of {names} can use up the cap of group {g.id} ({g.cap}) while each batch waits "
                f"for one more: add 'wait', or a cap of {len(inside) * short + 1} or more",
            )


def _before_service(report: Reporter) -> None:
    if report.plant.conventions.get("blocking") != "before_service":
        return
    for s in report.plant.stations:
        if s.batch is not None:
            todo = "use after_service, or take the batch out"
            report.fault(("stations", s.id, "batch"), "no batch with blocking before_service", "one", todo)
    for p in report.plant.products:
        for step in p.steps:
            if step.others:
                path = ("products", p.id, "routing", step.id)
                todo = "use after_service, or one station"
                report.fault(path, "one station a step with blocking before_service", "several", todo)


def _assembly(report: Reporter) -> None:
    """Products that wait for each other's parts, and components stuck behind what waits for them."""
    plant = report.plant
    stocks = {k.id: k for k in plant.stocks}
    makes = {p.id: p for p in plant.products}
    waits: dict[str, set[str]] = {p.id: set() for p in plant.products}
    for p in plant.products:
        taken = [n for n, _ in p.release.consumes] + [n for step in p.steps for n, _ in step.needs]
        for name in taken:
            k = stocks.get(name)
            if k is not None and k.source == "line" and k.item in makes and k.initial == 0:
                waits[p.id].add(k.item)
    for p in plant.products:
        seen: set[str] = set()
        waiting = list(waits[p.id])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += waits[name]
        if p.id in seen:
            todo = "none of them could ever be made: take one need out, or give its stock an 'initial'"
            report.fault(
                ("products", p.id), "components that are made without it", f"a circle of needs through {p.id}", todo
            )
    _shared_queues(report, stocks_of_needs(report))


def stocks_of_needs(report: Reporter) -> dict[str, set[str]]:
    """For each product: the products whose finished parts its steps need (not its release)."""
    stocks = {k.id: k for k in report.plant.stocks}
    return {
        p.id: {stocks[n].item for step in p.steps for n, _ in step.needs if n in stocks and stocks[n].source == "line"}
        for p in report.plant.products
    }


def _shared_queues(report: Reporter, makers: dict[str, set[str]]) -> None:
    """Parts that wait for components in a bounded queue can bar the way of those components."""
    products = {p.id: p for p in report.plant.products}
    stations = {s.id: s for s in report.plant.stations}
    for name, needed in makers.items():
        p = products[name]
        first = next((i for i, step in enumerate(p.steps) if step.needs), None)
        if first is None:
            continue
        before = {k for step in p.steps[: first + 1] for k, _ in step.eligible}
        assembly = [stations[k] for k, _ in p.steps[first].eligible if k in stations]
        most = most_parts_of(report.plant, [name])
        tight = [s.id for s in assembly if (places := room(s)) is not None and (most is None or most > places)]
        for maker in sorted(needed & set(products)):
            shared = before & {k for step in products[maker].steps for k, _ in step.eligible}
            names, where = ", ".join(tight), ", ".join(sorted(shared))
            if tight and shared:
                report.warn(
                    ("products", name),
                    f"parts that wait at {names} for {maker} can fill {where}, "
                    f"which {maker} passes too: they can lock for ever; cap the product below the queue's places, or "
                    "enlarge it",
                )


def _groups(report: Reporter) -> None:
    """A common cap that waiting assemblies can use up leaves nothing for the makers of their components."""
    products = {p.id: p for p in report.plant.products}
    makers = stocks_of_needs(report)
    for g in report.plant.groups:
        members = [products[name] for name, _ in g.mix if name in products]
        ids = {p.id for p in members}
        waiting = [p for p in members if makers[p.id] & ids]
        inside = sorted({m for p in waiting for m in makers[p.id] & ids})
        if not inside:
            continue
        caps = [p.release.cap for p in waiting]
        own = None if None in caps else sum(c for c in caps if c is not None)
        lot = max(products[m].lot for m in inside)
        if own is None or own > g.cap - lot:
            names = ", ".join(p.id for p in waiting)
            report.fault(
                ("groups", g.id),
                f"room for {', '.join(inside)} beside the assemblies that wait for it",
                f"a cap of {g.cap} that {names} alone can fill",
                f"give {names} own caps of at most {g.cap - lot} together, or take the components out of the group",
            )


def _dispatch(report: Reporter) -> None:
    plant = report.plant
    for s in plant.stations:
        path = ("stations", s.id, "dispatch")
        here = [p for p in plant.products if any(k == s.id for step in p.steps for k, _ in step.eligible)]
        used = {name for name, weight in s.dispatch if weight}
        if used & set(_NEEDS_DATE) and not any(p.due is not None or any(o.due for o in p.release.orders) for p in here):
            report.warn(path, "it looks at due dates, but no product here has one ('due' at the product)")
        if "cmu" in used and not any(p.holding for p in here):
            report.warn(path, "c-mu looks at holding costs, but no product here has one ('holding' at the product)")
        if "setup" in used and not s.setups:
            report.warn(path, "it looks at setup times, but the station has none")


def _locks(report: Reporter) -> None:
    stations = {s.id: s for s in report.plant.stations}
    for group in deadlocks(report.plant):
        most = most_parts_at(report.plant, group)
        names = ", ".join(group)
        first = stations[group[0]]
        path: Path = ("buffers", first.buffer) if first.buffer else ("stations", first.id)
        report.warn(
            path,
            f"parts go round between {names}, whose queues are bounded: they can block each other for ever; "
            + (
                "cap the products (conwip), or leave one of these queues unlimited"
                if most is None
                else f"make one queue large enough for all parts the caps admit (here {most - first.units} places), "
                "or lower the caps"
            ),
        )
