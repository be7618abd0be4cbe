"""Small plants for tests of the virtual plant: ticks of one second, from Monday 2026-01-05 00:00 UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hardware.shop import Shop
from sim.plant import DONE, Dist, Plant, Product, Release, Station, Step, Stock, Supplier

SATURATED = Release("saturated")


def exp(mean: float) -> Dist:
    return Dist("exponential", (mean,))


def const(value: float) -> Dist:
    return Dist("constant", (value,))


def plant(products: tuple[Product, ...], stations: tuple[Station, ...], **more: object) -> Plant:
    """A plant of one-second ticks that starts on Monday 2026-01-05 in UTC."""
    fields = {"id": "t", "site": "s", "area": "a", "line": "l", "timezone": "UTC", "tick_s": 1.0, "time_unit": "s"}
    start = datetime(2026, 1, 5, tzinfo=UTC)
    return Plant(**fields, currency="EUR", start=start, products=products, stations=stations, **more)  # type: ignore[arg-type]


def product(name: str, *works: tuple[str, float], release: Release = SATURATED, **more: Any) -> Product:
    """A product that goes through (station, constant seconds) in order. `needs` is of its first step."""
    needs = more.pop("needs", ())
    steps = tuple(
        Step(f"{name}{i}", s, const(t), ((i + 1 if i + 1 < len(works) else DONE, 1.0),), needs=needs if i == 0 else ())
        for i, (s, t) in enumerate(works)
    )
    return Product(name, steps, release, **more)


def supplied(name: str, source: str, lead: float, level: int | None, initial: int, **more: Any) -> Stock:
    """A stock supplied after a constant lead time."""
    return Stock(name, more.pop("item", "x"), source, initial, level=level, lead=const(lead), **more)


def only(shop: Shop, *kinds: str) -> list[dict[str, Any]]:
    """The news of these kinds, without what else is told."""
    return [event for event in shop.news if event["kind"] in kinds]


def timed(shop: Shop, until: float) -> list[tuple[float, str, int, str]]:
    """Run to `until`; the news as (plant seconds, kind, unit, product)."""
    log: list[tuple[float, str, int, str]] = []
    tell = shop.tell

    def noted(kind: str, unit: Any, part: Any = None, **leads_to: Any) -> None:
        tell(kind, unit, part, **leads_to)
        log.append((shop.env.now, kind, unit.number, str(shop.news[-1].get("product", "-"))))

    shop.tell = noted  # type: ignore[method-assign]
    shop.run(until)
    return log


ACME = Supplier("acme")
