"""Single stations whose long run is known: what is measured, and the exact values from the oracle."""

from __future__ import annotations

from math import gamma, sqrt

from tests.oracles import queues as q
from tests.theory.compare import SHARP, Case
from tests.theory.plants import plant, push, single

HALF = {"wait": 0.015, "flow_time": 0.0075, "wip": 0.0075}
HEAVY = {"wait": 0.03, "flow_time": 0.025, "wip": 0.025}
SATURATED = "policy: saturated"


def open_case(name: str, text: str, rate: float, known: q.Queue, seconds: float, sharp: dict[str, float]) -> Case:
    """A station with arrivals: flow time, WIP, wait and throughput."""
    exact = {"flow_time": known.flow_time, "wip": known.wip, "wait": known.wait, "throughput": rate}
    return Case(name, text, exact, seconds, 2000, sharp)


def mg1_case(name: str, work: str, mean: float, cv: float, rate: float = 0.5, seconds: float = 60_000) -> Case:
    return open_case(f"mg1_{name}", single(work, push(rate)), rate, q.mg1(rate, mean, cv), seconds, HALF)


def _gm1() -> Case:
    """Three exponential phases between two arrivals."""

    def transform(s: float) -> float:
        return (2.1 / (2.1 + s)) ** 3

    text = single("exponential(1 s)", f"policy: push, arrivals: 'erlang(mean={1 / 0.7:.12g} s, k=3)'")
    return open_case("gm1_erlang", text, 0.7, q.gm1(transform, 0.7, 1.0), 100_000, HALF | {"throughput": SHARP})


def _breakdowns() -> Case:
    """A server that fails while it works and resumes: an M/G/1 queue of completion times."""
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations:",
        "  a:",
        "    work: gamma(mean=1 s, cv=0.5)",
        "    fails: {clock: odf, after: exponential(20 s), repair: gamma(mean=4 s, cv=0.5)}",
        f"release: {{part: {{{push(0.4)}}}}}",
    )
    mean, cv = q.with_breakdowns(1.0, 0.5, 1 / 20, 4.0, 0.5)
    known = q.mg1(0.4, mean, cv)
    exact = {
        "wip": known.wip, "flow_time": known.flow_time, "a.queue": known.queue, "a.work": 0.4, "a.down": 0.4 * 4 / 20,
        "throughput": 0.4,
    }  # fmt: skip
    sharp = {"wip": 0.015, "flow_time": 0.015, "a.queue": 0.025, "a.down": 0.015}
    return Case("mg1_breakdowns", text, exact, 100_000, 2000, sharp)


def _two_products() -> Case:
    """Two kinds of parts in one queue, first come first served: one wait (M/G/1 of the mixture), own works."""
    text = plant(
        "products: {short: {routing: [a]}, long: {routing: [a]}}",
        "stations: {a: {work: {short: exponential(0.5 s), long: 'gamma(mean=2 s, cv=0.5)'}}}",
        f"release: {{short: {{{push(0.4)}}}, long: {{{push(0.2)}}}}}",
    )
    mean = (0.4 * 0.5 + 0.2 * 2.0) / 0.6
    second = (0.4 * 2 * 0.5**2 + 0.2 * 2.0**2 * 1.25) / 0.6
    known = q.mg1(0.6, mean, sqrt(second / mean**2 - 1))
    exact = {
        "short.flow_time": known.wait + 0.5, "long.flow_time": known.wait + 2.0, "wait": known.wait,
        "short.wip": 0.4 * (known.wait + 0.5), "long.wip": 0.2 * (known.wait + 2.0), "wip": known.wip,
    }  # fmt: skip
    return Case("mg1_two_products", text, exact, 80_000, 2000, dict.fromkeys(exact, 0.0125))


def shelf_case(base_stock: int) -> Case:
    """A machine that refills a shelf from which Poisson demand takes; what is not there waits."""
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations: {a: {work: exponential(1 s)}}",
        f"release: {{part: {{policy: conwip, cap: 400, base_stock: {base_stock}}}}}",
        f"stocks: {{shelf: {{item: part, from: line, initial: {base_stock}}}}}",
        "demand: {customer: {stock: shelf, arrivals: poisson(0.7/s), unmet: backorder}}",
    )
    known = q.make_to_stock(0.7, 1.0, base_stock)
    exact = {"fill_rate": known.fill_rate, "shelf.on_hand": known.on_hand, "backorders": known.backorders}
    return Case(
        f"shelf_{base_stock}",
        text,
        exact,
        60_000,
        2000,
        {"fill_rate": 0.0075, "shelf.on_hand": 0.01, "backorders": 0.06},
    )


def interference_case(units: int, crew: int) -> Case:
    """Saturated units that fail as they work: each is up or down, whatever it makes."""
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations:",
        "  a:",
        f"    units: {units}",
        "    work: exponential(10 s)",
        "    fails: {clock: odf, after: exponential(10 s), repair: exponential(2.5 s), crew: fitters}",
        f"crews: {{fitters: {{size: {crew}}}}}",
        f"release: {{part: {{{SATURATED}}}}}",
    )
    known = q.finite_source(units, 1 / 10, 1 / 2.5, crew)
    exact = {"a.work": known.working / units, "a.down": known.down / units, "throughput": known.working / 10}
    return Case(f"interference_{units}_{crew}", text, exact, 50_000, 500, {"a.down": 0.0075})


def loss_case(places: int, servers: int, rate: float) -> Case:
    """Arrivals from a machine that stops while its part has no place: M/M/c/K, since its clock has no memory."""
    text = plant(
        "products: {part: {routing: [source, a]}}",
        "stations:",
        f"  source: {{work: exponential({1 / rate:.12g} s)}}",
        f"  a: {{units: {servers}, work: exponential(1 s)}}",
        f"buffers: {{b: {{before: a, capacity: {places - servers - 1}}}}}",
        f"release: {{part: {{{SATURATED}}}}}",
    )
    known = q.mmck(rate, 1.0, servers, places)
    exact = {
        "throughput": known.throughput, "source.blocked": known.lost, "a.work": known.throughput / servers,
        "a.queue": known.queue - known.lost,
    }  # fmt: skip
    exact = {figure: value for figure, value in exact.items() if value > 1e-9}  # no queue without places
    sharp = {"source.blocked": 0.03, "a.queue": 0.015}
    return Case(f"loss_{places}_{servers}", text, exact, 25_000, 1000, sharp)


def weibull(shape: float) -> tuple[float, float]:
    """Scale that makes the mean 1, and the cv."""
    first, second = gamma(1 + 1 / shape), gamma(1 + 2 / shape)
    return 1 / first, sqrt(second / first**2 - 1)


SCALE, CV = weibull(1.5)

CASES = (
    open_case("mm1_half", single("exponential(1 s)", push(0.5)), 0.5, q.mm1(0.5, 1.0), 100_000, HALF),
    open_case("mm1_heavy", single("exponential(1 s)", push(0.8)), 0.8, q.mm1(0.8, 1.0), 60_000, HEAVY),
    *(
        open_case(
            f"mmc_{c}", single("exponential(1 s)", push(load * c), c), load * c, q.mmc(load * c, 1.0, c), seconds, sharp
        )
        for c, load, seconds, sharp in (
            (2, 0.6, 60_000, HALF),
            (3, 0.75, 30_000, {"wait": 0.03, "flow_time": 0.015, "wip": 0.015}),
            (6, 0.75, 12_000, {"wait": 0.05, "flow_time": 0.01, "wip": 0.01}),
        )
    ),
    open_case("md1", single("1 s", push(0.6)), 0.6, q.md1(0.6, 1.0), 60_000, HALF),
    mg1_case("gamma", "'gamma(mean=1 s, cv=0.5)'", 1.0, 0.5),
    mg1_case("weibull", f"'weibull(scale={SCALE:.12g} s, shape=1.5)'", 1.0, CV),
    mg1_case("uniform", "'uniform(0.2 s, 1.8 s)'", 1.0, 1.6 / sqrt(12)),
    mg1_case("discrete", "'discrete(0.5 s: 75 %, 2.5 s: 25 %)'", 1.0, sqrt(0.75 * 0.25 + 0.25 * 2.25)),
    open_case(
        "mg1_lognormal", single("'lognormal(mean=1 s, cv=1.5)'", push(0.4)), 0.4, q.mg1(0.4, 1.0, 1.5), 150_000,
        {"wait": 0.03, "flow_time": 0.015, "wip": 0.015},
    ),
    _gm1(),
    _breakdowns(),
    _two_products(),
    shelf_case(4),
    *(interference_case(units, crew) for units, crew in ((6, 1), (6, 2), (3, 3))),
    *(loss_case(places, servers, rate) for places, servers, rate in ((2, 1, 0.8), (6, 1, 1.0), (5, 2, 1.6))),
)  # fmt: skip
