"""Which features a random plant shall have: a covering design over every pair of features.

A *feature* is a word for one thing that a plant file can say. A design is a set of wishes; `tests.sim.random_plants`
builds a plant from it, and `tests.sim.plant_features` reads from a plant what it really has, so that a wish that could
not be fulfilled counts for nothing.
"""

from __future__ import annotations

from random import Random

from sim.plant import FEATURES
from sim.settings import PATHS

ROUTES = ("rework", "self loop", "scrap", "early end", "no work", "alternatives", "needs", "lots", "transfer")
POLICIES = ("push", "conwip", "saturated", "orders")
RELEASES = (*POLICIES, "base stock", "no cap", "release hours", "consumes", "group", "mix")
DATES = ("due", "dates of orders", "priority", "holding")
QUEUES = ("parallel", "finite", "no queue", "kanban", "setups", "first setup", "batch wait")
BATCHES = ("batch by family", "batch by product", "batch by any")
DISPATCH = tuple(f"by {name}" for name in FEATURES)
CLOCKS = ("odf", "tdf", "parts", "condition", "planned odf", "planned tdf", "planned parts", "at level")
MODES = ("finish", "preempt", "resumes", "repeats", "scrapped", "renews", "restores", "crew", "ranks", "no repair time")
AT_ONCE = ("level at once",)
CONDITION = ("slow", "worn scrap", "level failures")
PEOPLE = ("operators", "two operators", "rank for operators")
HOURS = ("finish at close", "freeze", "breaks", "planned stop", "overtime", "summer time", "open at start")
ENERGY = ("power", "part energy", "tariff")
ORDERING = ("base_stock", "s_S", "r_Q", "forecast", "review", "echelon", "least", "multiple", "rank of stock")
SOURCES = ("stock from stock", "stock from goods", "express", "express from stock", "supplier capacity", "unreliable")
CUSTOMERS = ("backorder", "lost", "lumpy", "nobody", "rank of demand", "promises", "season", "demand hours", "book")
BOOKS = ("dates of book",)
BOUNDS = ("limited", "surplus")
CONTROLS = tuple(f"control {path}" for path in PATHS)
REVIEW_ORDERS = ("receive_satisfy_review_order", "receive_review_order_satisfy", "review_order_receive_satisfy")
BLOCKING = ("after_service", "before_service")

ALL = (
    *ROUTES, *RELEASES, *DATES, *QUEUES, *BATCHES, *DISPATCH, *CLOCKS, *MODES, *AT_ONCE, *CONDITION, *PEOPLE, *HOURS,
    *ENERGY,
    *ORDERING, *SOURCES, *CUSTOMERS, *BOOKS, *CONTROLS, *REVIEW_ORDERS, *BLOCKING, *BOUNDS,
)  # fmt: skip
"""Every feature."""

OF_STATION = (
    *QUEUES, *BATCHES, *DISPATCH, *CLOCKS, *MODES, *AT_ONCE, *CONDITION, *PEOPLE,
    "finish at close", "freeze", "power", "part energy",
)  # fmt: skip
"""Those that a station has: their pairs must meet at one station, not only in one plant."""

IMPLIED = {
    "two operators": ("operators",),
    "rank for operators": ("operators",),
    "mix": ("group", "conwip"),
    "group": ("conwip",),
    "base stock": ("conwip",),
    "no cap": ("conwip",),
    "dates of orders": ("orders",),
    "first setup": ("setups",),
    "transfer": ("lots",),
    "batch wait": ("batch by any",),
    "slow": ("condition",),
    "worn scrap": ("condition",),
    "level failures": ("condition",),
    "restores": ("condition",),
    "at level": ("condition",),
    "level at once": ("at level",),
    "finish": ("planned odf",),
    "preempt": ("planned tdf",),
    "repeats": ("odf",),
    "scrapped": ("odf",),
    "resumes": ("odf",),
    "renews": ("odf", "planned parts"),
    "crew": ("tdf",),
    "ranks": ("crew", "odf"),
    "no repair time": ("odf",),
    "forecast": ("review",),
    "echelon": ("stock from stock",),
    "express from stock": ("express", "stock from stock"),
    "rank of stock": ("stock from stock",),
    "dates of book": ("book",),
    "promises": ("backorder",),
    "limited": ("backorder",),
    "surplus": ("control release.PRODUCT.base_stock",),
    "overtime": ("finish at close",),
    "breaks": ("finish at close",),
    "planned stop": ("finish at close",),
    "summer time": ("finish at close",),
    "tariff": ("power",),
    "control release.PRODUCT.cap": ("conwip",),
    "control release.PRODUCT.base_stock": ("base stock",),
    "control groups.GROUP.cap": ("group",),
    "control buffers.BUFFER.kanban": ("kanban",),
    "control stocks.STOCK.level": ("base_stock",),
    "control stocks.STOCK.reorder": ("s_S",),
    "control stocks.STOCK.express": ("express",),
    "control stations.STATION.at_level": ("at level",),
    "control stations.STATION.dispatch.FEATURE": ("by waited",),
    "control calendars.CALENDAR.overtime": ("freeze",),
}
"""What a wish needs besides itself."""


def excluded(one: str, other: str, *, station: bool = False) -> bool:
    """Whether docs/kernel.md rules out that a plant (or a station) has both."""
    pair = {one, other}
    batch = {*BATCHES, "batch wait"}
    if len(pair) == 2 and (pair <= set(REVIEW_ORDERS) or pair <= set(BLOCKING)):  # one of each kind in a plant
        return True
    if "before_service" in pair and pair & {*batch, "alternatives"}:
        return True
    if not station:
        return False
    one_each = ({"finite", "no queue"}, set(BATCHES), {"freeze", "finish at close"})
    return len(pair) == 2 and any(pair <= kind for kind in one_each)


def close(wishes: set[str]) -> frozenset[str]:
    """The wishes with all that they need, and without those that others rule out."""
    waiting = sorted(wishes)
    full = set(wishes)
    while waiting:
        for name in IMPLIED.get(waiting.pop(), ()):
            if name not in full:
                full.add(name)
                waiting.append(name)
    if "before_service" in full:
        full -= {name for name in ALL if excluded("before_service", name)}
    return frozenset(full)


def _one_of_each(wishes: set[str], chooser: Random) -> set[str]:
    """A plant has one order of reviews and one way of blocking: the wished one, else any."""
    for kind, weights in ((REVIEW_ORDERS, (2, 1, 1)), (BLOCKING, (3, 1))):
        wished = sorted(wishes & set(kind)) or chooser.choices(kind, weights)
        wishes = (wishes - set(kind)) | {wished[0]}
    return wishes


def design(seed: int) -> frozenset[str]:
    """The wishes of a seed: few, some or many features; in any case the next two of the list."""
    chooser = Random(seed)
    share = (0.08, 0.22, 0.42)[seed % 3]
    wishes = {name for name in ALL if name not in (*REVIEW_ORDERS, *BLOCKING) and chooser.random() < share}
    at, lap = seed % len(ALL), seed // len(ALL)
    wishes |= {ALL[at], ALL[(at + 7 * lap + 1) % len(ALL)]}
    return close(_one_of_each(wishes, chooser))
