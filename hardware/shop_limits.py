"""What the virtual plant can run: the shop floor of docs/hardware.md. A plant file may say more; that is refused."""

from __future__ import annotations

from collections.abc import Iterator

from sim.plant import Calendar, Demand, Plant, Product, Station, Stock, Supplier


def _of_station(s: Station) -> Iterator[str]:
    said = {
        "setups": s.setups, "a batch": s.batch, "a condition": s.condition, "operators": s.operators,
        "a kanban": s.kanban is not None, "a dispatching rule": s.dispatch,
    }  # fmt: skip
    yield from (f"station {s.id}: {what}" for what, given in said.items() if given)
    for m in s.modes:
        if m.planned or m.clock != "odf" or m.part != "resumes" or m is not s.fails:
            yield f"station {s.id}: mode {m.id} (one failure by working time that resumes its part is all)"


def _of_product(p: Product) -> Iterator[str]:
    if p.lot != 1 or p.transfer != 1:
        yield f"product {p.id}: lots and transfer batches"
    if p.release.policy == "orders":
        yield f"product {p.id}: a list of orders"
    for step in p.steps:
        if step.others:
            yield f"step {p.id}/{step.id}: a choice of stations"
        if step.needs:
            yield f"step {p.id}/{step.id}: components"


def _of_stock(k: Stock, suppliers: set[str]) -> Iterator[str]:
    if k.policy != "base_stock" or k.echelon or k.least != 1 or k.multiple != 1:
        yield f"stock {k.id}: another policy than ordering single units up to its level"
    if k.express is not None:
        yield f"stock {k.id}: an express source"
    if k.source != "line" and k.source not in suppliers:
        yield f"stock {k.id}: supply from another stock"


def _of_supplier(s: Supplier) -> Iterator[str]:
    if s.unit_ticks or s.reliability < 1.0:
        yield f"supplier {s.id}: capacity and reliability"


def _of_demand(d: Demand) -> Iterator[str]:
    said = {
        "lost orders": d.unmet != "backorder", "order quantities": d.quantity != ((1, 1.0),), "a season": d.season,
        "a book of orders": d.book,
    }  # fmt: skip
    yield from (f"demand {d.id}: {what}" for what, given in said.items() if given)


def _of_calendar(c: Calendar) -> Iterator[str]:
    said = {
        "breaks": c.breaks, "planned stops": c.closed, "overtime": c.overtime,
        "freezing at closing": c.at_close != "finish",
    }  # fmt: skip
    yield from (f"calendar {c.id}: {what}" for what, given in said.items() if given)


def beyond(plant: Plant) -> list[str]:
    """Everything in the plant file that the virtual plant does not run, as `THING: WHAT`."""
    suppliers = {s.id for s in plant.suppliers}
    found = [line for s in plant.stations for line in _of_station(s)]
    found += [line for p in plant.products for line in _of_product(p)]
    found += [line for k in plant.stocks for line in _of_stock(k, suppliers)]
    found += [line for s in plant.suppliers for line in _of_supplier(s)]
    found += [line for d in plant.demands for line in _of_demand(d)]
    found += [line for c in plant.calendars for line in _of_calendar(c)]
    found += [f"group {g.id}: a cap over several products" for g in plant.groups]
    if plant.conventions.get("blocking") == "before_service":
        found.append("conventions: blocking before_service")
    sets = [c for c in plant.controls if c.sets.split(".")[-1] not in ("cap", "base_stock", "level")]
    return found + [f"control {c.id}: {c.sets}" for c in sets]


def refuse(plant: Plant) -> None:
    """`ValueError` that names everything the virtual plant cannot run."""
    found = beyond(plant)
    if found:
        raise ValueError(
            f"plant {plant.id}: the virtual plant does not run " + "; ".join(found)
            + ". Simulate it with `plantwin simulate`, or take these out of the plant file"
        )  # fmt: skip
