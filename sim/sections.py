"""Every section of a plant file with every key: the one declaration that readers and reference page share."""

from __future__ import annotations

from sim.plant import UNLIMITED
from sim.schema import (
    CO2,
    DIST,
    DURATION,
    ENERGY,
    HOURS,
    ID,
    IDS,
    INTEGER,
    MONEY,
    MONEY_RATE,
    ONE,
    PERCENT,
    PERIOD,
    PLACES,
    POSITIVE,
    POWER,
    PRICE_KWH,
    QUANTITY,
    QUANTITY_0,
    RATE,
    SHARES,
    TEXT,
    YES_NO,
    Key,
    Section,
    inner,
    whole_of,
    word,
)

_CALENDAR = "the only one there is"
_PRIORITY = Key("priority", INTEGER, "the lower is served first", 0)
_PART = word("resumes", "repeats", "scrapped")
_TIMES = inner("distribution, or one for each `product/step`, `product` or `default`")
_LINES = inner("list of `{at, quantity, due}`, or a CSV file with these columns beside this file")

PRODUCT = Section(
    "products.PRODUCT",
    "What is made. A routing is a list of steps: a station's id, or a mapping (next table).",
    (
        Key("routing", inner("list of steps"), "operations in order", example="[turn, mill]"),
        Key("revenue", MONEY, "earned at shipment, or at completion where no stock receives the product", 0.0),
        Key("scrap_cost", MONEY, "for each scrapped unit", 0.0),
        Key("family", ID, "products of one family need no setup between them", "", "the product's id"),
        Key("lot", whole_of(1), "units released together", 1),
        Key("transfer", whole_of(1), "units that move as one part; `lot` is a multiple of it", 1),
        Key("due", DIST, "time from release to due date"),
        Key("tardiness", MONEY_RATE, "for each unit finished late", 0.0),
        Key("holding", MONEY_RATE, "for each unit in the system", 0.0),
        Key("priority", INTEGER, "for the dispatching rule `priority`: the lower goes first", 0),
    ),
    dict.fromkeys(("co_products", "coproducts", "by_products"), "co-products"),
    dict.fromkeys(("bom", "assembly", "needs"), "write 'needs: {STOCK: n}' at the step"),
)
STEP = Section(
    "products.PRODUCT.routing step",
    "",
    (
        Key("step", ID, "name; needed when a part comes to a station twice", None, "the station's id"),
        Key("station", ID, "where it is done (or `stations`)"),
        Key("stations", inner("list of ids, or a mapping id: work time"), "alternatives; the part joins the shortest"),
        Key("work", DIST, "time of the operation", None, "what the station says"),
        Key("next", inner("step, `done`, `scrap`, or a mapping of them to probabilities"), "where the part goes",
            None, "the following step, or `done`"),
        Key("needs", SHARES, "units of stocks that go into the part here (assembly)", (), "none"),
    ),
    {"disassembly": "disassembly"},
    {"setup": "write it at the station", "batch": "write it at the station"},
)  # fmt: skip
STATION = Section(
    "stations.STATION",
    "A work center of parallel work units that share one queue.",
    (
        Key("units", whole_of(1), "parallel work units", 1),
        Key("work", _TIMES, "time of an operation; the most exact entry wins"),
        Key("calendar", ID, "when it is open; `always` opts out", None, _CALENDAR),
        Key("fails", inner("failure, or list of them with `name`"), "failures of each unit"),
        Key("minor_stops", inner("minor stops"), "short stops that nobody scarce repairs"),
        Key("tool", inner("tool"), "a tool that is changed after some operations"),
        Key("condition", inner("condition"), "wear in levels"),
        Key("maintenance", inner("maintenance, or list of them with `name`"), "planned and corrective maintenance"),
        Key("yield", PERCENT, "share of good parts; the rest is scrapped after the operation", 1.0, "`100 %`"),
        Key("setup", inner("time between any two families, or setup"), "setup times", None),
        Key("setup_cost", MONEY, "for each setup", 0.0),
        Key("batch", inner("batch"), "an oven: parts that are worked together"),
        Key("dispatch", inner("rule, or a mapping feature: weight (-1000..1000)"), "which waiting part goes first",
            (), "`fifo`"),
        Key("operators", SHARES, "people of a pool that a unit needs while it is set up and works", (), "none"),
        Key("priority", INTEGER, "among stations that wait for operators: the lower goes first", 0),
        Key("power", inner("power"), "power of a unit in each state"),
        Key("energy_per_part", ENERGY, "for each operation", 0.0),
    ),
    {"skills": "skill matrices"},
    {"speed": "write 'condition: {speed: [..]}'", "needs": "write it at the step", "setups": "write 'setup'"},
)  # fmt: skip
FAILS = Section(
    "stations.STATION.fails",
    "One failure mode.",
    (
        Key("name", ID, "of the mode; needed from the second on", "failure"),
        Key("clock", word("odf", "tdf", "parts"), "ages while it works, whenever it is not down, or with each "
            "operation", None, "convention `failure_clock`"),
        Key("after", POSITIVE, "time to failure (odf, tdf)"),
        Key("life", QUANTITY, "operations to failure (parts)", ()),
        Key("repair", DIST, "time of the repair", ONE, example="exponential(10 min)"),
        Key("crew", ID, "who repairs", None, "nobody scarce"),
        Key("part", _PART, "what happens to the work in hand", None, "convention `interrupted_part`"),
        Key("priority", INTEGER, "among repairs that wait for the crew: the lower is first", 0),
        Key("renews", IDS, "other modes that are as new after the repair", (), "none"),
        Key("cost", MONEY, "for each repair", 0.0),
    ),
    {"correlated": "correlated failures", "with": "correlated failures"},
)  # fmt: skip
MINOR = Section(
    "stations.STATION.minor_stops",
    "",
    (
        Key("after", POSITIVE, "working time to a stop", ONE, example="exponential(20 min)"),
        Key("last", DIST, "how long it lasts", ONE, example="exponential(40 s)"),
    ),
)
TOOL = Section(
    "stations.STATION.tool",
    "Changed when a part is finished; counts as maintenance.",
    (
        Key("life", QUANTITY, "operations a tool lasts", ((1, 1.0),), example="400"),
        Key("change", DIST, "time of a change", ONE, example="5 min"),
        Key("crew", ID, "who changes it", None, "nobody scarce"),
        Key("priority", INTEGER, "among what waits for the crew", 0),
        Key("cost", MONEY, "for each change", 0.0),
    ),
)
CONDITION = Section(
    "stations.STATION.condition",
    "Levels 0 .. n-1 that a unit passes through while it works; after the last it breaks down. Lists have n entries.",
    (
        Key("levels", whole_of(1, 64), "how many", 1, example="5"),
        Key("wear", inner("list of distributions"), "working time at each level", example="[exponential(8 h), ..]"),
        Key("fails", inner("list of distributions or `never`"), "working time to a sudden breakdown at each level",
            None, "`never`"),
        Key("speed", inner("list of factors above 0"), "speed at each level, as a share of full speed", None, "`1`"),
        Key("scrap", inner("list of probabilities"), "share of parts spoilt at each level", None, "`0 %`"),
    ),
)  # fmt: skip
MAINTENANCE = Section(
    "stations.STATION.maintenance",
    "Preventive maintenance at a condition or after a time, and the repair of a worn-out unit.",
    (
        Key("name", ID, "of the preventive mode; needed from the second on", "preventive"),
        Key("preventive", DIST, "time of a preventive maintenance"),
        Key("at_level", whole_of(1, 64), "begins when the unit is free and worn to this level; `levels` is never"),
        Key("every", POSITIVE, "begins after this time"),
        Key("clock", word("odf", "tdf"), "of `every`: time at work, or time not down", "odf"),
        Key("policy", word("age", "block"), "age: a repair starts `every` anew; block: it does not", "age"),
        Key("finish", YES_NO, "wait until the unit has no part", True),
        Key("renews", IDS, "failures that are as new afterwards", None, "all of `fails`"),
        Key("cost", MONEY, "for each preventive maintenance", 0.0),
        Key("corrective", DIST, "time of the repair after wear or a sudden breakdown (with `condition`)"),
        Key("corrective_cost", MONEY, "for each of these", 0.0),
        Key("crew", ID, "who does both", None, "nobody scarce"),
        Key("priority", INTEGER, "among what waits for the crew", 0),
        Key("part", _PART, "what a breakdown does to the work in hand", None, "convention `interrupted_part`"),
    ),
)
SETUP = Section(
    "stations.STATION.setup",
    "Times between families (a product's family is its id unless it names one).",
    (
        Key("default", DIST, "between any two different families", None, "no setup"),
        Key("matrix", inner("mapping from: {to: time or `none`}"), "single pairs, before `default`"),
    ),
)
BATCH = Section(
    "stations.STATION.batch",
    "",
    (
        Key("min", whole_of(1), "fewest parts to start with", 1),
        Key("max", whole_of(1), "most parts at once", 1, example="6"),
        Key("wait", PERIOD, "start with fewer once the first has waited so long", None, "never with fewer"),
        Key("by", word("family", "product", "any"), "what the parts of a batch have in common", "family"),
    ),
)
POWER_STATES = Section(
    "stations.STATION.power",
    "",
    (
        Key("work", POWER, "while it works", 0, example="12 kW"),
        Key("idle", POWER, "free, nothing to release", 0, example="3 kW"),
        Key("starved", POWER, "free, nothing to do", None, "as `idle`"),
        Key("blocked", POWER, "with parts that wait for room", None, "as `idle`"),
        Key("setup", POWER, "during setup", None, "as `idle`"),
        Key("down", POWER, "during repair and maintenance", None, "as `idle`"),
        Key("off", POWER, "while its calendar is closed", 0, "`0 kW`"),
    ),
)
BUFFER = Section(
    "buffers.BUFFER",
    "The queue of a station.",
    (
        Key("before", ID, "the station", "", example="STATION"),
        Key("capacity", PLACES, "places (0 is possible)", UNLIMITED, example="4"),
        Key("kanban", whole_of(1), "most parts in this queue and in the station's units together"),
        Key("holding", MONEY_RATE, "for each part in it", 0.0),
    ),
    {"after": "buffers after a station"},
)
CREW = Section(
    "crews.CREW",
    "Who repairs and maintains.",
    (Key("size", whole_of(1), "repairs at once", 1, example="2"),),
    {"calendar": "crew shifts", "skills": "skill matrices"},
)
POOL = Section(
    "operators.POOL",
    "Operators as a number of people, never persons.",
    (Key("size", whole_of(1), "people", 1, example="3"),),
    {"calendar": "operator shifts", "skills": "skill matrices"},
)
CALENDAR = Section(
    "calendars.CALENDAR",
    "Local time, daylight saving included.",
    (
        Key("open", HOURS, "weekly opening hours", (), example='"Mon-Fri 06:00-22:00"'),
        Key("breaks", HOURS, "closed within them", (), "none"),
        Key("closed", inner("list of days `2026-12-24` or `2026-12-24 to 2027-01-01`"), "planned stops, whole days"),
        Key("at_close", word("finish", "freeze"), "the part in hand", None, "convention `at_close`"),
        Key("overtime", DURATION, "by which each closing is put off", 0, "`0 h`"),
        Key("overtime_cost", MONEY_RATE, "for time used beyond the planned closing", 0.0),
    ),
    {},
    {"holidays": "write 'closed: [2026-12-25]'"},
)
RELEASE = Section(
    "release.PRODUCT",
    "When lots of a product enter the line.",
    (
        Key("policy", word("push", "conwip", "base_stock", "saturated", "orders", later={
            "kanban": "write conwip or base_stock, and 'kanban' at the buffers; kanban as a release policy"}),
            "what lets a lot in", "saturated", example="conwip"),
        Key("cap", whole_of(1), "conwip: most units released and unfinished; may be left out in a group"),
        Key("base_stock", whole_of(0), "conwip: release only while on hand - backorders + units in the line is below"),
        Key("level", whole_of(0), "base_stock: the same without a cap"),
        Key("arrivals", POSITIVE, "push: time between arrivals"),
        Key("orders", _LINES, "orders: the list, `quantity` in lots"),
        Key("calendar", ID, "no release while it is closed", None, f"push: {_CALENDAR}; else none"),
        Key("consumes", SHARES, "units of stocks taken for each unit at release", (), "none"),
    ),
)  # fmt: skip
GROUP = Section(
    "groups.GROUP",
    "One CONWIP cap over several products.",
    (
        Key("cap", whole_of(1), "most units of all of them released and unfinished", 1, example="30"),
        Key("mix", SHARES, "products and their shares of the releases", (), example="{a: 2, b: 1}"),
    ),
)
ORDER = Section(
    "line of an order list or order book",
    "Times count from the start of the run.",
    (
        Key("at", DURATION, "when it becomes known", 0, example="2 h"),
        Key("quantity", whole_of(1), "lots (order list) or units (book)", 1),
        Key("due", DURATION, "when it is wanted", None, "no date"),
    ),
)
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
        Key("kind", word("base_stock", "s_S", "r_Q", "forecast", "echelon_base_stock", "echelon_s_S", "echelon_r_Q"),
            "base_stock: up to level; s_S: at reorder or below up to level; r_Q: at reorder or below, quantities; "
            "forecast: up to cover periods of mean demand plus safety", "base_stock"),
        Key("level", whole_of(0), "base_stock, s_S: order up to it"),
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
        Key("book", _LINES, "a trace of orders"),
        Key("quantity", QUANTITY_0, "units an order asks for", ((1, 1.0),), "`1`"),
        Key("season", inner("season"), "factors on the rate by hour and day"),
        Key("unmet", word("backorder", "lost"), "what cannot be met at once waits, or is lost", "backorder"),
        Key("backlog", MONEY_RATE, "for each unit that waits", 0.0),
        Key("lost_cost", MONEY, "for each unit lost", 0.0),
        Key("due", DURATION, "time from order to promised date", None, "no date"),
        Key("tardiness", MONEY_RATE, "for each unit late", 0.0),
        _PRIORITY,
        Key("calendar", ID, "no orders while it is closed", None, f"{_CALENDAR}, except with `book` or `season`"),
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
