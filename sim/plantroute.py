"""The products of a plant file: routings with rework and scrap, and the work time of every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from sim import distributions
from sim.plant import DONE, SCRAP, Dist, Product, Release, Station, Step
from sim.plantread import Draft, identifier, named, read_dist
from sim.units import probability, suggestion
from sim.yamlfile import Fields, Item, convert

WORDS = {"done": DONE, "scrap": SCRAP}
REST = "rest"
_LATER_PRODUCT = {
    "needs": "assembly (bills of material)",
    "bom": "assembly (bills of material)",
    "lot": "lots",
    "family": "product families",
    "due": "due dates",
    "priority": "priorities",
}
_LATER_STEP = {"setup": "setups", "batch": "batches", "needs": "assembly", "stations": "eligible work units"}
_ONE = Dist("constant", (1.0,))
_SUM_TOLERANCE = Fraction(1, 10**9)


@dataclass
class _RawStep:
    """A step as written: targets are still names."""

    id: str
    station: str
    item: Item
    work: Dist | None = None
    next: Item | None = None


@dataclass
class Routes:
    """What the routing of all products needs: the stations there are and the work entries that were used."""

    draft: Draft
    stations: dict[str, Station]
    used: set[tuple[str, str]] = field(default_factory=set)


def read_products(
    draft: Draft, entries: dict[str, Item], stations: list[Station], releases: dict[str, Release]
) -> list[Product]:
    """The products in file order. Releases of unknown products and work times nobody uses are problems."""
    routes = Routes(draft, {s.id: s for s in stations})
    result: list[Product] = []
    for name, item in named(draft, "products", "product", entries).items():
        f = Fields(item, ("routing", "revenue", "scrap_cost"), _LATER_PRODUCT)
        if not f.has("routing"):
            f.need("routing", str, "", "[turn, mill]")
        raw = [_raw_step(draft, e) for e in f.sequence("routing")]
        if f.has("routing") and not raw:
            f.entries["routing"].fail("at least one step", "list the stations it passes")
        if name not in releases:
            todo = f"write 'release: {{{name}: {{policy: conwip, cap: 6}}}}'"
            draft.problems.error(item.line, f"product {name}: expected a release, found none; {todo}")
        result.append(
            Product(
                id=name,
                steps=_steps(routes, name, raw),
                release=releases.get(name, Release("saturated")),
                revenue=f.take("revenue", draft.scale.money, 0.0),
                scrap_cost=f.take("scrap_cost", draft.scale.money, 0.0),
            )
        )
    names = [p.id for p in result]
    for name in releases:
        if name not in names:
            line = draft.line("release", name)
            draft.problems.error(line, f"release: expected a product, found '{name}'; {suggestion(name, names)}")
    _unused_works(routes, names)
    return result


def _raw_step(draft: Draft, item: Item) -> _RawStep:
    if not item.is_mapping:
        station = convert(item, identifier, "")
        return _RawStep(station, station, item)
    f = Fields(item, ("step", "station", "work", "next"), _LATER_STEP)
    station = f.need("station", identifier, "", "turn")
    work = read_dist(draft, f.entries["work"]) if f.has("work") else None
    return _RawStep(f.take("step", identifier, station), station, item, work, f.entries.get("next"))


def _steps(routes: Routes, product: str, raw: list[_RawStep]) -> tuple[Step, ...]:
    index: dict[str, int] = {}
    for place, step in enumerate(raw):
        if step.id in WORDS or step.id == REST:
            step.item.fail("another step name", f"'{step.id}' has a meaning in 'next': rename the step")
        elif step.id in index:
            todo = f"write {{step: NAME, station: {step.station}}} for the second visit"
            step.item.fail("each step name once", todo, f"'{step.id}'")
        index.setdefault(step.id, place)
        if step.station and step.station not in routes.stations:
            hint = suggestion(step.station, routes.stations)
            step.item.fail("a declared station", hint, f"'{step.station}'")
    return tuple(
        Step(step.id, step.station, _work(routes, product, step), _next(step, place, len(raw), index))
        for place, step in enumerate(raw)
    )


def _work(routes: Routes, product: str, step: _RawStep) -> Dist:
    """The step's own work time, else the station's for product/step, product, or default."""
    if step.work is not None:
        return step.work
    given = routes.draft.works.get(step.station, {})
    for key in (f"{product}/{step.id}", product, "default"):
        if key in given:
            routes.used.add((step.station, key))
            return given[key]
    if step.station in routes.stations:
        line = routes.draft.line("stations", step.station)
        routes.draft.problems.error(
            line,
            f"station {step.station}, work: expected a work time for {product}/{step.id}, found none; "
            f"write 'work: {{{product}: exponential(60 s)}}'",
        )
    return _ONE


def _next(step: _RawStep, place: int, steps: int, index: dict[str, int]) -> tuple[tuple[int, float], ...]:
    following = place + 1 if place + 1 < steps else DONE
    if step.next is None or step.next.is_empty:
        return ((following, 1.0),)
    if not step.next.is_mapping:
        target = convert(step.next, str, "done")
        return ((_target(step.next, target, index), 1.0),)
    shares: dict[str, Fraction] = {}
    rest = ""
    for name, item in step.next.entries().items():
        if not item.is_mapping and not item.is_list and not item.is_empty and item.text() == REST:
            if rest:
                item.fail("'rest' once", "give the other target its probability")
            rest = name
            shares[name] = Fraction(0)
        else:
            shares[name] = convert(item, probability, Fraction(0))
    total = sum(shares.values(), Fraction(0))
    if rest:
        shares[rest] = 1 - total
        if shares[rest] <= 0:
            step.next.fail("probabilities below 100 % beside 'rest'", "correct them", f"{float(total) * 100:g} %")
    elif abs(total - 1) > _SUM_TOLERANCE:
        todo = "correct them, or give one target 'rest'"
        step.next.fail("probabilities that sum to 100 %", todo, f"{float(total) * 100:g} %")
    targets = [(_target(step.next, name, index), float(share)) for name, share in shares.items()]
    return tuple(t for t in targets if t[1] > 0) or ((following, 1.0),)


def _target(item: Item, name: str, index: dict[str, int]) -> int:
    if name in WORDS:
        return WORDS[name]
    if name not in index:
        item.fail("a step of this routing, done or scrap", suggestion(name, [*index, *WORDS]), f"'{name}'")
        return DONE
    return index[name]


def _unused_works(routes: Routes, products: list[str]) -> None:
    for station, given in routes.draft.works.items():
        for key in given:
            if (station, key) in routes.used:
                continue
            product = key.split("/")[0]
            if key != "default" and product not in products:
                line = routes.draft.line("stations", station)
                routes.draft.problems.error(
                    line,
                    f"station {station}, work: expected a product (or product/step, or default), found '{key}'; "
                    f"{suggestion(product, products)}",
                )
            else:
                routes.draft.problems.note(f"station {station}: the work time of '{key}' is used by no routing step")


def exits(product: Product) -> list[str]:
    """Steps from which a part can never finish or be scrapped (a routing cycle with no exit)."""
    leaving = {n for n, s in enumerate(product.steps) if any(t < 0 for t, _ in s.next)}
    while True:
        more = {n for n, s in enumerate(product.steps) if n not in leaving and any(t in leaving for t, _ in s.next)}
        if not more:
            return [s.id for n, s in enumerate(product.steps) if n not in leaving]
        leaving |= more


def reached(product: Product) -> set[int]:
    """Indices of the steps a part can come to."""
    seen: set[int] = set()
    waiting = [0] if product.steps else []
    while waiting:
        n = waiting.pop()
        if n in seen:
            continue
        seen.add(n)
        waiting += [t for t, _ in product.steps[n].next if t >= 0]
    return seen


def zero_work(product: Product) -> bool:
    """Whether all its work takes no time at all, so that a part would pass without the clock moving."""
    return all(distributions.mean(step.work) == 0 for step in product.steps)
