"""Small plants by hand, each about one rule of supply, demand or release, with as many ties as fit in."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sim.plant import (
    DONE,
    SCRAP,
    Calendar,
    Control,
    Demand,
    Dist,
    Express,
    Group,
    Order,
    Plant,
    Product,
    Release,
    Station,
    Step,
    Stock,
    Supplier,
)

REVIEW_ORDERS = ("receive_satisfy_review_order", "receive_review_order_satisfy", "review_order_receive_satisfy")
HOURS = tuple((day, start, start + 240) for day in range(7) for start in range(0, 1440, 480))
"""Four hours open, four closed, all week."""


def constant(ticks: float) -> Dist:
    return Dist("constant", (float(ticks),))


def exponential(mean: float) -> Dist:
    return Dist("exponential", (float(mean),))


def lumpy(*pairs: float) -> Dist:
    """A discrete distribution: value, probability, ..."""
    return Dist("discrete", tuple(float(v) for v in pairs))


def plant(name: str, **parts: Any) -> Plant:
    """A plant of one minute ticks with whatever is given, and where no product is, one that never enters."""
    step = Step("rest", "yard", constant(1), ((DONE, 1.0),))
    floor = {"products": (Product("none", (step,), Release("conwip", cap=0)),), "stations": (Station("yard"),)}
    parts = {**floor, "suppliers": (Supplier("acme"),), "unlimited": 400, **parts}
    return Plant(name, "site", "area", "line", "UTC", 60.0, "h", "EUR", datetime(2026, 1, 7, 5, 30), **parts)


def supplied(name: str = "raw", **terms: Any) -> Stock:
    """A stock of 6 from acme, 10 or 14 ticks away, unless said otherwise."""
    terms = {"source": "acme", "initial": 6, "lead": lumpy(10, 0.5, 14, 0.5), "level": 8, "item": name, **terms}
    return Stock(name, **terms)


def customers(stock: str = "raw", name: str = "customers", every: Dist | None = None, **terms: Any) -> Demand:
    """Orders about every 3 ticks."""
    return Demand(name, stock, every or lumpy(2, 0.5, 4, 0.5), **terms)


def product(name: str, release: Release, *stations: str, **terms: Any) -> Product:
    """A product that visits the stations in turn, 3 ticks each, with some scrap at the end."""
    steps = []
    for i, station in enumerate(stations):
        last = i == len(stations) - 1
        onward = ((DONE, 0.9), (SCRAP, 0.1)) if last else ((i + 1, 1.0),)
        steps.append(Step(f"{name}{i}", station, constant(3) if i % 2 else lumpy(2, 0.5, 4, 0.5), onward))
    return Product(name, tuple(steps), release, **terms)


def controls(*ranges: tuple[str, int, int]) -> tuple[Control, ...]:
    """Controls of the given settings, each (path, low, high)."""
    return tuple(
        Control(f"c{i}", sets, low, high, 1, 1, "supply", 0.0, "operator") for i, (sets, low, high) in enumerate(ranges)
    )


def policies() -> list[Plant]:
    """Each order policy, continuous and periodic, with its setting as a control."""
    terms: dict[str, dict[str, Any]] = {
        "base_stock": {},
        "s_S": {"policy": "s_S", "reorder": 4, "level": 11},
        "r_Q": {"policy": "r_Q", "reorder": 5, "quantity": 4, "level": None},
        "lots": {"least": 3, "multiple": 4},
    }
    made = []
    for name, given in terms.items():
        for review in (None, 7):
            stock = supplied(review=review, **given)
            sets = "reorder" if "reorder" in given else "level"
            made.append(
                plant(
                    f"{name}-{review}",
                    stocks=(stock,),
                    demands=(customers(quantity=((1, 0.7), (3, 0.3))),),
                    controls=controls((f"stocks.raw.{sets}", 1, 12)),
                )
            )
    forecast = supplied(policy="forecast", review=9, window=3, cover=1.75, safety=2, level=None)
    made.append(plant("forecast", stocks=(forecast, supplied("other", review=4)), demands=(customers(),)))
    return made


def ties() -> list[Plant]:
    """Delivery, arrival, demand and review at the same ticks, in each order that a plant may choose."""
    made = []
    for order in REVIEW_ORDERS:
        stocks = (
            supplied(lead=constant(6), review=6),
            supplied("part", lead=constant(6), review=12, initial=3, express=Express("acme", constant(3), 4)),
        )
        demands = (customers(every=constant(3)), customers("part", "others", constant(6), quantity=((2, 1.0),)))
        push = Release("push", arrivals=constant(6), consumes=(("raw", 1),))
        made.append(
            plant(
                f"ties-{order}",
                stocks=stocks,
                demands=demands,
                stations=(Station("mill", capacity=2),),
                products=(product("thing", push, "mill"),),
                conventions={"review_order": order},
            )
        )
    return made


def _chain(depth: int, review: int | None, *, echelon: bool) -> Plant:
    """Stocks behind each other, the first from the supplier; the last two are both supplied by the one before them."""
    names = ["top", "mid", "shop"][-depth:]
    stocks = [
        supplied(
            name,
            source="acme" if i == 0 else names[i - 1],
            level=8 + (9 * (depth - i - 1) if echelon else 0),
            initial=9,
            review=review if i % 2 else None,
            echelon=echelon,
        )
        for i, name in enumerate(names)
    ]
    branch = supplied("branch", source=names[-2], level=4, initial=2, priority=-1, lead=constant(2))
    demands = (
        customers("shop", quantity=((1, 0.5), (2, 0.5))),
        customers("branch", "near", exponential(7)),
        customers(names[0], "direct", exponential(20), quantity=((3, 1.0),), priority=1),
    )
    sets = controls((f"stocks.{names[0]}.level", 5, 40), ("stocks.shop.level", 0, 15))
    name = f"chain{depth}-{review}-{'echelon' if echelon else 'installation'}"
    return plant(name, stocks=(*stocks, branch), demands=demands, controls=sets)


def chains() -> list[Plant]:
    """Two and three echelons, by installation and by echelon positions."""
    made = [
        _chain(depth, review, echelon=echelon) for depth in (2, 3) for review in (None, 11) for echelon in (False, True)
    ]
    fast = Express("top", constant(3), 3, least=2)
    stocks = (
        supplied("top", review=5, level=14),
        supplied("mid", source="top", level=9),
        supplied("shop", source="mid", express=fast),
    )
    made.append(
        plant(
            "express-from-above", stocks=stocks, demands=(customers("shop"), customers("mid", "second", exponential(9)))
        )
    )
    return made


def sources() -> list[Plant]:
    """Express lanes, supplier capacity and reliability."""
    express = Express("dear", lumpy(2, 0.5, 5, 0.5), 4, multiple=2)
    slow = Supplier("acme", unit_ticks=2, reliability=0.6, late=lumpy(5, 0.5, 20, 0.5))
    made = []
    for review in (None, 6):
        stocks = (
            supplied(review=review, express=express),
            supplied("other", review=review, lead=constant(9), policy="s_S", reorder=3),
        )
        demands = (customers(quantity=((1, 0.6), (2, 0.4))), customers("other", "others", exponential(5)))
        made.append(
            plant(
                f"dual-{review}",
                stocks=stocks,
                demands=demands,
                suppliers=(slow, Supplier("dear", unit_ticks=1)),
                controls=controls(("stocks.raw.express", 0, 9)),
            )
        )
    return made


def demands() -> list[Plant]:
    """Lost sales, priorities, promised dates, books, seasons and opening hours of customers."""
    short = supplied(review=13, level=9, lead=lumpy(12, 0.5, 17, 0.5))
    lumps, slow = ((1, 0.5), (4, 0.5)), exponential(6)
    season = (0.0, 2.5, 1.0, 0.25) * 42
    book = tuple(
        Order(at, 1 + at % 4, due) for at, due in ((3, 9), (3, None), (20, 60), (18, 18), (90, None), (140, 150))
    )
    return [
        plant("lost", stocks=(short,), demands=(customers(quantity=lumps, unmet="lost"), customers(name="wait"))),
        plant("ranks", stocks=(short,), demands=tuple(customers(name=f"rank{n}", priority=n) for n in (2, 0, 1))),
        plant("dates", stocks=(short,), demands=(customers(due=5, quantity=lumps), customers(name="free", due=0))),
        plant("book", stocks=(short,), demands=(customers(), Demand("book", "raw", None, book=book))),
        plant("book-due", stocks=(short,), demands=(Demand("book", "raw", None, book=book, due=4),)),
        plant("season", stocks=(supplied(),), demands=(customers(season=season, every=slow), customers(name="flat"))),
        plant(
            "hours",
            stocks=(supplied(),),
            demands=(customers(calendar="shop"),),
            calendars=(Calendar("shop", HOURS),),
        ),
    ]


def releases() -> list[Plant]:
    """Push, CONWIP, saturated and order lists, with lots, transfer batches, due dates and components."""
    stations = (Station("saw", capacity=4), Station("mill", units=2, capacity=2), Station("test"))
    raw = supplied(initial=9, level=14, lead=constant(8))
    goods = Stock("goods", "gear", "line", 2)
    base: dict[str, Any] = {
        "stations": stations,
        "stocks": (raw, goods),
        "demands": (customers("goods", every=exponential(5)),),
    }
    lots = {"lot": 4, "transfer": 2, "due": lumpy(20, 0.5, 60, 0.5)}
    needs = (("raw", 1),)
    lines = tuple(Order(at, n, due) for at, n, due in ((0, 2, 30), (0, 1, None), (25, 3, 40), (24, 1, 90), (60, 2, 61)))
    ways = {
        "push": Release("push", arrivals=exponential(9), consumes=needs),
        "conwip": Release("conwip", cap=9, consumes=needs),
        "base-stock": Release("conwip", base_stock=6, consumes=needs),
        "saturated": Release("saturated", consumes=needs),
        "listed": Release("orders", orders=lines, consumes=needs),
    }
    made = [
        plant(name, products=(product("gear", way, "saw", "mill", "test", **lots),), **base)
        for name, way in ways.items()
    ]
    hours = (Calendar("shift", HOURS),)
    for name, way in ways.items():
        timed = replace(way, calendar="shift")
        made.append(plant(f"{name}-hours", products=(product("gear", timed, "saw", "mill"),), calendars=hours, **base))
    return made


def groups() -> list[Plant]:
    """Products that share a cap and take turns."""
    stations = (Station("saw", capacity=3), Station("mill", capacity=1))
    goods = Stock("goods", "gear", "line", 0)
    members = (
        product("gear", Release("conwip", base_stock=5, consumes=(("raw", 1),)), "saw", "mill"),
        product("axle", Release("conwip", cap=4), "mill", lot=2),
        product("plate", Release("conwip", calendar="shift"), "saw"),
    )
    mix = (("plate", 3), ("gear", 2), ("axle", 1))
    made = []
    for cap in (3, 6):
        made.append(
            plant(
                f"group{cap}",
                stations=stations,
                products=members,
                groups=(Group("all", cap, mix),),
                stocks=(supplied(), goods),
                demands=(customers("goods", every=exponential(9)),),
                calendars=(Calendar("shift", HOURS),),
                controls=controls(("groups.all.cap", 1, 9), ("release.axle.cap", 0, 6)),
            )
        )
    return made


def assembly() -> list[Plant]:
    """Operations that need components, from stocks in two echelons, for transfer batches."""
    needy = Step(
        "join", "bench", constant(4), ((DONE, 1.0),), others=(("desk", constant(6)),), needs=(("raw", 1), ("bolt", 2))
    )
    gear = Product(
        "gear", (Step("saw", "saw", constant(3), ((1, 1.0),)), needy), Release("conwip", cap=8), lot=2, transfer=2
    )
    stocks = (
        supplied("store", level=20, initial=9),
        supplied("raw", source="store", lead=constant(3)),
        supplied("bolt", review=10, level=30, initial=12),
        Stock("goods", "gear", "line", 0),
    )
    stations = (Station("saw", capacity=3), Station("bench", capacity=2), Station("desk", capacity=1))
    return [
        plant(
            "assembly",
            stations=stations,
            products=(gear,),
            stocks=stocks,
            demands=(customers("goods", every=exponential(4)),),
        )
    ]


PLANTS = {
    made.id: made
    for made in [*policies(), *ties(), *chains(), *sources(), *demands(), *releases(), *groups(), *assembly()]
}
"""All of them by id."""
