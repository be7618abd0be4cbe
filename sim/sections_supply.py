"""The sections of a plant file about supply, demand, energy and control, with every key."""

from __future__ import annotations

from sim.schema import (
    CO2,
    DIST,
    DURATION,
    HOURS,
    ID,
    INTEGER,
    MONEY,
    MONEY_RATE,
    PERCENT,
    PERIOD,
    POSITIVE,
    PRICE_KWH,
    QUANTITY_0,
    RATE,
    TEXT,
    Key,
    Section,
    inner,
    whole_of,
    word,
)
from sim.sections import LINES, ONLY_CALENDAR

_TERMS = (
    Key("lead", DIST, "time from order to receipt"),
    Key("price", MONEY, "for each unit", 0.0),
    Key("order_cost", MONEY, "for each order", 0.0),
    Key("min_order", whole_of(1), "smallest order", 1),
    Key("multiple", whole_of(1), "orders are rounded up to a multiple of it", 1),
)
SUPPLIER = Section(
    "suppliers.SUPPLIER",
    "Lead time and terms here hold for all stocks that order from it and say nothing else.",
    (
        Key("note", TEXT, "for people", ""),
        Key("capacity", RATE, "units it can make in a time", 0, "unlimited"),
        Key("reliability", PERCENT, "share of orders that are in time", 1.0, "`100 %`"),
        Key("late", DIST, "how much longer the others take"),
        *_TERMS,
    ),
    {"mode": "transport modes", "transport": "transport modes"},
)
STOCK = Section(
    "stocks.STOCK",
    "Filled by the line, or by orders from a supplier or from another stock.",
    (
        Key("item", ID, "what lies there", "", example="housing"),
        Key("from", ID, "`line`, a supplier or a stock", "line", example="line"),
        Key("initial", whole_of(0), "on hand at the start", 0),
        Key("holding", MONEY_RATE, "for each unit on hand", 0.0),
        Key("policy", inner("policy"), "when it orders how much", example="{kind: base_stock, level: 30, every: 8 h}"),
        *(Key(k.name, k.kind, k.meaning, k.default, "the supplier's") for k in _TERMS),
        Key("express", inner("express"), "a second, faster source"),
        Key(
            "vehicle",
            whole_of(1),
            "what was ordered leaves at a review, at most so many units at once",
            None,
            "no vehicle",
        ),
        Key("priority", INTEGER, "among what its source serves: the lower is first", 0),
    ),
    {"capacity": "stock capacity"},
    {"expedite": "write 'express'", "echelon": "write 'policy: {kind: echelon_base_stock, ..}'"},
)
POLICY = Section(
    "stocks.STOCK.policy",
    "Decided at every withdrawal, or every so often. Put `echelon_` before the first three to count everything "
    "downstream as well.",
    (
        Key("kind", word("base_stock", "s_S", "r_Q", "forecast", "constant_order", "echelon_base_stock", "echelon_s_S",
                         "echelon_r_Q"),
            "base_stock: up to level; s_S: at reorder or below up to level; r_Q: at reorder or below, quantities; "
            "forecast: up to cover periods of mean demand plus safety; constant_order: level units at every review",
            "base_stock"),
        Key("level", whole_of(0), "base_stock, s_S: order up to it; constant_order: order so many"),
        Key("reorder", whole_of(-(10**9)), "s_S, r_Q: order at or below it"),
        Key("quantity", whole_of(1), "r_Q: order multiples of it"),
        Key("every", PERIOD, "review period; the first review is at the start", None, "at every withdrawal"),
        Key("window", whole_of(1, 64), "forecast: periods that are averaged"),
        Key("cover", inner("number"), "forecast: periods of mean demand to order up to"),
        Key("safety", whole_of(0), "forecast: units besides", 0),
    ),
)  # fmt: skip
EXPRESS = Section(
    "stocks.STOCK.express",
    "Orders up to `level` on what will be there within its own lead time.",
    (
        Key("from", ID, "a supplier or a stock", "", example="SUPPLIER"),
        Key("level", whole_of(0), "order up to it", 0, example="12"),
        *(Key(k.name, k.kind, k.meaning, k.default, "the supplier's") for k in _TERMS),
    ),
)
DEMAND = Section(
    "demand.DEMAND",
    "Customer orders on a stock.",
    (
        Key("stock", ID, "where they ask", "", example="finished"),
        Key("arrivals", POSITIVE, "time between orders (or `book`)"),
        Key("book", LINES, "a trace of orders"),
        Key("quantity", QUANTITY_0, "units an order asks for; 0 is possible without `due`", ((1, 1.0),), "`1`"),
        Key("season", inner("season"), "factors on the rate by hour and day"),
        Key("unmet", word("backorder", "lost"), "what cannot be met at once waits, or is lost", "backorder"),
        Key(
            "most",
            whole_of(1),
            "units that wait at most; the part of an order that fits waits, the rest is lost",
            None,
            "any number",
        ),
        Key("backlog", MONEY_RATE, "for each unit that waits", 0.0),
        Key("lost_cost", MONEY, "for each unit lost", 0.0),
        Key("due", DURATION, "time from order to promised date", None, "no date"),
        Key("tardiness", MONEY_RATE, "for each unit late", 0.0),
        Key("priority", INTEGER, "the lower is served first", 0),
        Key("calendar", ID, "no orders while it is closed", None, f"{ONLY_CALENDAR}, except with `book` or `season`"),
    ),
)
SEASON = Section(
    "demand.DEMAND.season",
    "Factors on the stated rate; an hour of the week has day x hour.",
    (
        Key("hours", inner("list of 24 factors"), "by hour of the day", None, "`1`"),
        Key("days", inner("list of 7 factors"), "Monday to Sunday", None, "`1`"),
    ),
)
ENERGY_SECTION = Section(
    "energy",
    "",
    (
        Key("tariff", inner("mapping name: band"), "prices by hour; one band has no hours and is the rest",
            example="{all: {price: 0.2 EUR/kWh}}"),
        Key("co2", CO2, "mass of CO2 for each kWh", 0.0),
    ),
    {"peak": "peak tariffs", "demand_charge": "peak tariffs"},
)  # fmt: skip
BAND = Section(
    "energy.tariff.BAND",
    "",
    (
        Key("price", PRICE_KWH, "of energy", 0.0, example="0.31 EUR/kWh"),
        Key("hours", HOURS, "when it applies, in whole hours", None, "all other hours"),
    ),
)
CONTROL = Section(
    "controls.CONTROL",
    "A number that may be changed while the plant runs. The file's own value must be one of from, from + step .. to.",
    (
        Key("sets", TEXT, "path of the number", "", example="release.PRODUCT.cap"),
        Key("from", inner("whole number; a time for overtime"), "lowest value", example="2"),
        Key("to", inner("whole number; a time for overtime"), "highest value", example="11"),
        Key("step", inner("whole number; a time for overtime"), "between two values", None, "`1` (1 min)"),
        Key("every", DURATION, "time between two changes", 1, example="10 min"),
        Key("class", word("release", "supply", "dispatch", "maintenance", "capacity"), "action class", None,
            "follows from `sets`"),
        Key("worth", MONEY, "smallest gain that deserves an operator's click", 0.0),
        Key("approve", word("operator", "engineer", "admin"), "who may approve", "operator"),
    ),
)  # fmt: skip
LIMIT = Section(
    "limits",
    "Rules that no command may break: permissives, not safety functions.",
    (
        Key("if", TEXT, "`STATION.STATE`: while any unit is in it", "", "always"),
        Key("then", TEXT, "`CONTROL <= NUMBER` (or `>= < > == !=`)", "", example='"cap <= 8"'),
    ),
)
