"""The sections of a plant file about the line, with every key: the declarations that readers and reference page share.

Those about supply, demand, energy and control are in `sim.sections_supply`.
"""

from __future__ import annotations

from sim.plant import UNLIMITED
from sim.schema import (
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
    QUANTITY,
    SHARES,
    YES_NO,
    Key,
    Section,
    inner,
    whole_of,
    word,
)

ONLY_CALENDAR = "the only one there is"
_PART = word("resumes", "repeats", "scrapped")
_TIMES = inner("distribution, or one for each `product/step`, `product` or `default`")
LINES = inner("list of `{at, quantity, due}`, or a CSV file with these columns beside this file")

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
        Key("calendar", ID, "when it is open; `always` opts out", None, ONLY_CALENDAR),
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
        Key(
            "at_level",
            whole_of(1, 64),
            "begins when the unit is worn to this level (and, with `finish`, has no part); `levels` is never",
        ),
        Key("every", POSITIVE, "begins after this time"),
        Key("clock", word("odf", "tdf"), "of `every`: time at work, or time not down", "odf"),
        Key("policy", word("age", "block"), "age: a repair starts `every` anew; block: it does not", "age"),
        Key("finish", YES_NO, "wait until the unit has no part; else it stops at once: see `part`", True),
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
        Key(
            "at_close",
            word("finish", "freeze"),
            "the part in hand (an oven always finishes)",
            None,
            "convention `at_close`",
        ),
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
        Key("surplus", word("finished", "scrapped"),
            "what becomes of work in hand that a lowered base stock does not ask for any more", "finished"),
        Key("arrivals", POSITIVE, "push: time between arrivals"),
        Key("orders", LINES, "orders: the list, `quantity` in lots"),
        Key("calendar", ID, "no release while it is closed", None, f"push: {ONLY_CALENDAR}; else none"),
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
