"""Small plants, each built around one rule of the floor, in the corners where two readings of the rule would differ."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sim.plant import (
    DONE,
    FEATURES,
    SCRAP,
    Batch,
    Calendar,
    Condition,
    Control,
    Crew,
    Dist,
    Group,
    Mode,
    Plant,
    Pool,
    Product,
    Release,
    Station,
    Step,
    Stock,
    Supplier,
    Tariff,
)

SATURATED = Release("saturated")
CREW = (Crew("fitters", 1),)
SHIFT = Calendar("shift", tuple((0, first, first + 17) for first in range(0, 1400, 25)))
FREEZING = Calendar("freezing", tuple((0, first, first + 13) for first in range(0, 1400, 21)), "freeze", overtime=3)


def const(ticks: float) -> Dist:
    return Dist("constant", (float(ticks),))


def exp(mean: float) -> Dist:
    return Dist("exponential", (float(mean),))


def push(mean: float, **more: Any) -> Release:
    return Release("push", arrivals=exp(mean), **more)


def conwip(cap: int, **more: Any) -> Release:
    return Release("conwip", cap=cap, **more)


def product(name: str, steps: list[tuple[str, Dist]], release: Release = SATURATED, **more: Any) -> Product:
    """A product that visits (station, work) in turn."""
    last = len(steps) - 1
    made = (
        Step(f"op{i}", where, work, ((DONE if i == last else i + 1, 1.0),)) for i, (where, work) in enumerate(steps)
    )
    return Product(name, tuple(made), release, **more)


def plant(name: str, stations: list[Station], products: list[Product], **more: Any) -> Plant:
    """A tick is a minute; tick 0 is Monday midnight, UTC."""
    return Plant(
        name, "site", "area", "line", "UTC", 60.0, "min", "EUR", datetime(2026, 1, 5),
        products=tuple(products), stations=tuple(stations), **more,
    )  # fmt: skip


def control(sets: str, low: int, high: int) -> Control:
    return Control(sets.replace(".", "-"), sets, low, high, 1, 1, "dispatch", 0.0, "operator")


def _after_parts(blocking: bool) -> Plant:
    """Several clocks that count operations strike at once; `blocking`: with a part that finds no room."""
    modes = (
        Mode("failure", "parts", const(3), life=((2, 1.0),)),
        Mode("tool", "parts", const(4), life=((3, 0.5), (4, 0.5))),
        Mode("clean", "parts", const(5), life=((2, 1.0),), planned=True),
        Mode("check", "parts", const(5), life=((6, 1.0),), planned=True, renews=("tool", "failure")),
    )
    steps = [("a", const(5)), ("b", const(9))] if blocking else [("a", const(5))]
    stations = [Station("a", modes=modes), Station("b", capacity=0)]
    return plant(f"parts-{blocking}", stations, [product("x", steps)])


def _wear(part: str, blocking: str) -> Plant:
    """Wear, calendar failures and planned work, with one crew for all; parts resume, repeat or are scrapped."""
    condition = Condition(
        (const(10), const(10), const(20)), (None, const(7), const(3)), (1.0, 1.7, 0.5), (0.0, 0.3, 0.6)
    )
    worn = Mode("worn", "condition", exp(8), restores=True, part=part, crew="fitters")
    breaks = Mode("breaks", "tdf", const(8), after=const(30), part=part, crew="fitters", priority=1, renews=("worn",))
    service = Mode(
        "service", "odf", const(8), after=const(33), planned=True, finish=True, crew="fitters", renews=("breaks",)
    )
    grease = Mode("grease", "none", const(2), planned=True, finish=True, restores=True, at_level=2)
    stations = [
        Station("a", units=2, condition=condition, modes=(worn, breaks, service, grease)),
        Station(
            "b",
            capacity=1,
            buffer="before-b",
            kanban=2,
            modes=(Mode("jams", "tdf", const(8), after=const(30), part=part),),
        ),
    ]
    lines = [
        product("x", [("a", const(5)), ("b", const(4)), ("a", const(2)), ("b", const(3))], conwip(7)),
        product("y", [("b", const(5)), ("a", const(4))], push(20)),
    ]
    controls = (
        control("stations.a.at_level", 1, 3),
        control("buffers.before-b.kanban", 2, 4),
        control("release.x.cap", 1, 9),
    )
    return plant(
        f"wear-{part}-{blocking}", stations, lines, crews=CREW, controls=controls, conventions={"blocking": blocking}
    )


def _batch(by: str) -> Plant:
    oven = Station(
        "a", units=2, batch=Batch(3, 4, 15, by), dispatch=(("priority", 1), ("waited", 1)), calendar="freezing"
    )
    lines = [
        product("x", [("a", const(5)), ("b", const(2))], push(7), family="f", priority=2),
        product("y", [("a", exp(5)), ("b", const(2))], push(9), family="f"),
        product("z", [("a", const(5))], push(9), family="g", priority=1),
    ]
    return plant(f"batch-{by}", [oven, Station("b", capacity=1)], lines, calendars=(FREEZING,))


def _dispatch(feature: str) -> Plant:
    setups = (("f", "g", const(4)), ("g", "f", exp(6)), ("", "g", const(3)))
    stations = [
        Station("a", dispatch=((feature, 1),), setups=setups),
        Station("b", units=2, dispatch=((feature, -2), ("waited", 1))),
    ]
    rework = (
        Step("s0", "a", const(3), ((0, 0.4), (1, 0.6)), (("b", const(4)),)),
        Step("s1", "b", const(2), ((DONE, 0.5), (0, 0.5))),
    )
    lines = [
        Product("x", rework, conwip(8), family="f", lot=4, transfer=2, holding=0.3, due=exp(60), priority=1),
        product("y", [("b", exp(3)), ("a", exp(4))], push(30), family="g", due=const(40), holding=0.1),
        product("z", [("a", exp(4)), ("b", exp(4))], push(25), lot=3, transfer=3),
    ]
    return plant(f"dispatch-{feature}", stations, lines, controls=(control(f"stations.a.dispatch.{feature}", -2, 2),))


def _operators() -> Plant:
    """Two people for three stations, one of which fails while it waits, and two of which close."""
    breaks = Mode("failure", "tdf", const(6), after=const(10), part="scrapped")
    stations = [
        Station("a", operators=("staff", 2), priority=1, calendar="shift"),
        Station("b", operators=("staff", 1), priority=1, modes=(breaks,)),
        Station("c", operators=("staff", 1), calendar="freezing"),
    ]
    lines = [
        product("x", [("a", const(4)), ("c", const(2))]),
        product("y", [("b", const(3)), ("a", const(3))]),
        product("z", [("c", const(5))], push(11)),
    ]
    calendars, controls = (SHIFT, FREEZING), (control("calendars.freezing.overtime", 0, 30),)
    return plant("operators", stations, lines, pools=(Pool("staff", 2),), calendars=calendars, controls=controls)


def _doors() -> Plant:
    """Alternatives, rework to the station a part comes from, kanban, and blocked units that fail."""
    first = Step("s0", "a", const(3), ((0, 0.4), (1, 0.6)), (("b", const(4)),))
    second = Step("s1", "b", const(2), ((DONE, 0.4), (0, 0.5), (SCRAP, 0.1)), (("a", const(3)), ("c", exp(3))))
    other = Step("s0", "c", const(4), ((DONE, 1.0),), (("b", const(2)),))
    stations = [
        Station("a", kanban=2, units=2),
        Station("b", kanban=3, capacity=1, modes=(Mode("failure", "tdf", const(9), after=const(14)),)),
        Station("c", capacity=0),
    ]
    return plant("doors", stations, [Product("x", (first, second), conwip(6)), Product("y", (other,), SATURATED)])


def _assembly() -> Plant:
    """Two stations and a release want the same components."""
    fit = Step("fit", "a", exp(3), ((DONE, 1.0),), (("b", exp(4)),), needs=(("screws", 2), ("boards", 1)))
    stocks = (
        Stock("screws", "screw", "acme", 6, level=12, lead=exp(9)),
        Stock("boards", "board", "line", 2),
    )
    lines = [
        Product("x", (fit,), conwip(4), lot=2, transfer=2),
        product("board", [("b", exp(2))], conwip(3, base_stock=4, consumes=(("screws", 1),))),
    ]
    return plant("assembly", [Station("a"), Station("b")], lines, stocks=stocks, suppliers=(Supplier("acme"),))


def _group() -> Plant:
    lines = [
        product("x", [("a", exp(3)), ("b", exp(3))], conwip(5)),
        product("y", [("b", exp(3)), ("a", exp(3))], conwip(9), lot=2),
        product("z", [("a", exp(2))], conwip(9, calendar="shift")),
    ]
    group = Group("all", 6, (("x", 2), ("z", 3), ("y", 1)))
    stations = [Station("a", capacity=2), Station("b", kanban=3)]
    controls = (control("groups.all.cap", 2, 9),)
    return plant("group", stations, lines, groups=(group,), calendars=(SHIFT,), controls=controls)


def _energy() -> Plant:
    setups = (("x", "y", const(3)), ("y", "x", const(2)))
    station = Station("a", power=(1, 2, 3, 4, 5, 6, 7), part_energy=2.5, setups=setups, calendar="freezing")
    lines = [product("x", [("a", exp(3))], push(9)), product("y", [("a", exp(3))], push(9))]
    tariff = Tariff((0.1, 0.2, 0.3), tuple(hour * 7 % 3 for hour in range(168)))
    return plant("energy", [station], lines, calendars=(FREEZING,), tariff=tariff)


def _overtime() -> Plant:
    """Closed at the beginning; a break; overtime longer than the pause that follows."""
    hours = Calendar("shift", ((0, 30, 60), (0, 80, 200)), breaks=((0, 90, 100),), overtime=50)
    line = product("x", [("a", exp(3))], push(9, calendar="shift"))
    return plant("overtime", [Station("a", calendar="shift")], [line], calendars=(hours,))


def _no_time() -> Plant:
    """Failures and wear that would take no time at all take one tick."""
    breaks = Mode("failure", "tdf", const(0), after=const(0))
    worn = Mode("worn", "condition", const(3), restores=True)
    condition = Condition((const(0), const(10)), (const(0), None), (2.0, 1.0), (0.0, 1.0))
    stations = [Station("a", modes=(breaks,)), Station("b", condition=condition, modes=(worn,))]
    return plant("no-time", stations, [product("x", [("a", const(5)), ("b", const(5))])])


PLANTS: dict[str, Plant] = {
    told.id: told
    for told in (
        *(_after_parts(blocking) for blocking in (False, True)),
        *(
            _wear(part, how)
            for part in ("resumes", "repeats", "scrapped")
            for how in ("after_service", "before_service")
        ),
        *(_batch(by) for by in ("family", "product", "any")),
        *(_dispatch(feature) for feature in FEATURES),
        *(_operators(), _doors(), _assembly(), _group(), _energy(), _overtime(), _no_time()),
    )
}
