"""What the virtual plant cannot run of a plant file: refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.shop_settings import first_settings
from sim.plant import Plant, Product, Station, Stock


def _of_station(s: Station) -> Iterator[str]:
    said = {"a condition": s.condition, "operators": s.operators}
    yield from (f"station {s.id}: {what}" for what, given in said.items() if given)
    for m in s.modes:
        if m.clock not in ("odf", "tdf", "parts") or m.at_level is not None or m.restores:
            yield f"station {s.id}: mode {m.id} at a condition"


def _of_product(p: Product) -> Iterator[str]:
    if p.lot != 1 or p.transfer != 1:
        yield f"product {p.id}: lots and transfer batches"
    if p.release.stops:
        yield f"product {p.id}: surplus work that is scrapped"


def _of_stock(k: Stock) -> Iterator[str]:
    if k.echelon:
        yield f"stock {k.id}: an echelon policy"
    if k.policy not in ("base_stock", "s_S", "r_Q"):
        yield f"stock {k.id}: policy {k.policy}"


def beyond(plant: Plant) -> list[str]:
    """Everything in the plant file that the virtual plant does not run, as `THING: WHAT`."""
    found = [line for s in plant.stations for line in _of_station(s)]
    found += [line for p in plant.products for line in _of_product(p)]
    found += [line for k in plant.stocks for line in _of_stock(k)]
    found += [f"demand {d.id}: a season" for d in plant.demands if d.season]
    if plant.conventions.get("blocking") == "before_service":
        found.append("conventions: blocking before_service")
    if plant.rules is not None:
        found.append(f"rules of its own ({plant.rules.file.name})")
    return found + [f"control {c.id}: {c.sets}" for c in plant.controls if c.sets not in first_settings(plant)]


def refuse(plant: Plant) -> None:
    """`ValueError` that names everything the virtual plant cannot run."""
    found = beyond(plant)
    if found:
        raise ValueError(
            f"plant {plant.id}: the virtual plant does not run " + "; ".join(found)
            + ". Simulate it with `plantwin simulate`, or take these out of the plant file"
        )  # fmt: skip
