"""Plants that together have every feature a live state may be in the midst of. A tick is a minute."""

from __future__ import annotations

from dataclasses import replace

from sim.plant import (
    DONE,
    SCRAP,
    Batch,
    Condition,
    Crew,
    Demand,
    Dist,
    Express,
    Group,
    Mode,
    Order,
    Plant,
    Pool,
    Product,
    Release,
    Station,
    Step,
    Stock,
    Tariff,
)
from tests.sim.small_plants import const, conwip, plant, product, push, shift


def exp(mean: float) -> Dist:
    return Dist("exponential", (mean,))


def floor() -> Plant:
    """A choice of machines with setups, an oven, an assembly with operators, transfer batches, a CONWIP group, failures
    of every clock, wear, planned maintenance, a crew with priorities, hours that freeze the work, overtime, energy.
    """
    crew = Crew("fitters", 1)
    breaks = Mode("failure", "odf", exp(8), after=exp(40), crew="fitters", priority=1)
    power_cut = Mode("power", "tdf", exp(5), after=exp(90))
    tool = Mode("tool", "parts", const(3), life=((6, 0.5), (9, 0.5)), planned=True, finish=True, crew="fitters")
    jam = Mode("jam", "condition", exp(6), crew="fitters", restores=True)
    service = Mode("service", "none", const(7), planned=True, finish=True, at_level=1, restores=True)
    wear = Condition((exp(30), exp(30)), (None, exp(50)), (1.0, 1.5), (0.0, 0.2))
    setups = (("a", "b", const(3)), ("b", "a", exp(4)))
    watts = (500, 4000, 600, 500, 1000, 100, 0)
    day = replace(shift(*((h * 60, h * 60 + 48) for h in range(0, 24, 2))), at_close="freeze", overtime=10)
    stations = [
        Station("saw", units=2, modes=(breaks, power_cut), setups=setups, calendar="shift", power=watts),
        Station("mill", modes=(breaks, tool), setups=setups, kanban=3, dispatch=(("due", 1), ("setup", 2))),
        Station("oven", capacity=8, batch=Batch(2, 4, wait=15), power=watts, part_energy=200.0),
        Station("fit", units=2, capacity=2, operators=("people", 1), modes=(jam, service), condition=wear),
        Station("pack", capacity=1, operators=("people", 1), priority=1, calendar="shift"),
    ]

    def steps(*works: float) -> tuple[Step, ...]:
        return (
            Step("cut", "saw", exp(works[0]), ((1, 1.0),), others=(("mill", exp(works[1])),)),
            Step("heat", "oven", const(12), ((2, 0.9), (SCRAP, 0.1))),
            Step("join", "fit", exp(works[2]), ((3, 0.9), (0, 0.1)), needs=(("bolts", 1),)),
            Step("box", "pack", const(4), ((DONE, 1.0),)),
        )

    products = [
        Product("a", steps(8, 9, 7), conwip(6), due=exp(60), lot=2),
        Product("b", steps(6, 7, 9), conwip(4), lot=2, transfer=2, priority=1),
    ]
    return plant(
        stations,
        products,
        crews=(crew,),
        calendars=(day,),
        pools=(Pool("people", 2),),
        groups=(Group("all", 8, (("a", 2), ("b", 1))),),
        stocks=(Stock("bolts", "bolt", "acme", 20, level=25, lead=exp(30)),),
        tariff=Tariff((0.1, 0.2), tuple(int(h % 5 > 1) for h in range(168))),
    )


def supply() -> Plant:
    """A chain of stocks with express orders, a forecast, an order list, a book, dates, lost orders and a season."""
    orders = tuple(Order(at, 2, at + 60) for at in range(5, 2000, 35))
    listed = product("p", [("m", 5), ("n", 6)], Release("orders", orders=orders))
    made = product("q", [("n", 3)], push(14))
    fast = Express("acme", const(6), 8)
    stocks = (
        Stock("depot", "bolt", "acme", 30, level=40, review=30, lead=exp(25), policy="s_S", reorder=30),
        Stock("shop", "bolt", "depot", 12, level=14, lead=const(9), express=fast),
        Stock("raw", "ore", "acme", 9, review=40, lead=const(30), policy="forecast", window=3, cover=2.5, safety=1),
        Stock("done", "p", "line", 1),
        Stock("spare", "q", "line", 0),
    )
    season = tuple(0.5 if h % 3 else 2.0 for h in range(168))
    demands = (
        Demand("walk_in", "shop", exp(5), unmet="lost", quantity=((1, 0.7), (3, 0.3))),
        Demand("ores", "raw", exp(11), season=season),
        Demand("book", "done", None, book=tuple(Order(at, 1, at + 9) for at in range(9, 2000, 25))),
        Demand("early", "spare", exp(30), due=4, priority=0),
        Demand("later", "spare", exp(30), due=9, priority=1),
    )
    return plant([Station("m"), Station("n", capacity=2)], [listed, made], stocks=stocks, demands=demands)


def before_service() -> Plant:
    """Three stations that start only what has room downstream."""
    steps = (
        Step("x", "m0", exp(5), ((1, 0.5), (2, 0.5))),
        Step("y", "m1", exp(8), ((2, 1.0),)),
        Step("z", "m2", exp(7), ((DONE, 1.0),)),
    )
    stations = [Station("m0", units=2), Station("m1", capacity=1), Station("m2", capacity=1)]
    made = Product("p", steps, conwip(7))
    return plant(stations, [made], conventions={"blocking": "before_service"})


RICH = {"floor": floor, "supply": supply, "before_service": before_service}
