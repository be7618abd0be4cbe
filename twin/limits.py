"""What the twin can track. A plant file may say more; that is refused when the twin starts, never tracked wrongly."""

from __future__ import annotations

from collections.abc import Iterator

from sim.plant import Plant, Product, Station, Stock


class TwinLimitError(ValueError):
    """The plant has features whose state the twin cannot believe anything sound about."""


def _of_station(s: Station) -> Iterator[str]:
    if s.condition is not None:
        yield f"station {s.id}: a condition (no reading tells a unit's level of wear)"
    for m in s.modes:
        if m.clock in ("condition", "none") and s.condition is None:
            yield f"station {s.id}: mode {m.id} of a condition"


def _of_product(p: Product) -> Iterator[str]:
    if p.transfer != 1:
        yield f"product {p.id}: transfer batches (readings count single parts)"
    if p.due is not None and p.due.kind != "constant":
        yield f"product {p.id}: dates that are drawn at release (no reading tells them)"
    if p.release.stops:
        yield f"product {p.id}: surplus work that is scrapped (a stop looks like the end of a part)"
    if p.release.policy == "orders":
        yield f"product {p.id}: a list of orders (no reading tells which part is for which)"
    for step in p.steps:
        if step.others:
            yield f"step {p.id}/{step.id}: a choice of stations"


def _of_stock(plant: Plant, k: Stock) -> Iterator[str]:
    if k.policy == "forecast":
        yield f"stock {k.id}: policy forecast (the demand of past periods is not kept)"
    if k.vehicle:
        yield f"stock {k.id}: a vehicle (no reading tells what was ordered and waits for it)"
    demands = [d for d in plant.demands if d.stock == k.id]
    counted = {s.thing for s in plant.sensors if s.property == "demand"}
    if k.id in counted and not counted.issuperset(d.id for d in demands):
        if len({d.unmet for d in demands}) > 1:
            yield f"stock {k.id}: demands that wait and demands that are lost behind one counter"
        if len(demands) > 1 and any(d.most is not None for d in demands):
            yield f"stock {k.id}: several demands behind one counter, of which only so many units wait"


def beyond(plant: Plant) -> list[str]:
    """Everything in the plant file that the twin does not track, as `THING: WHAT`."""
    found = [line for s in plant.stations for line in _of_station(s)]
    found += [line for p in plant.products for line in _of_product(p)]
    found += [line for k in plant.stocks for line in _of_stock(plant, k)]
    if plant.conventions.get("blocking") == "before_service":
        found.append("conventions: blocking before_service (a barred unit looks like a blocked one)")
    return found


def refuse(plant: Plant) -> None:
    """`TwinLimitError` that names everything the twin cannot track."""
    found = beyond(plant)
    if found:
        raise TwinLimitError(
            f"plant {plant.id}: the twin does not track " + "; ".join(found)
            + ". Simulate it with `plantwin simulate`, or take these out of the plant file"
        )  # fmt: skip
