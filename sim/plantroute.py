"""The products of a plant file: routings with rework, scrap, alternatives and assembly, and all work times."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from sim import distributions
from sim.plant import DONE, SCRAP, Dist, Plant, Product, Release, Station, Step
from sim.plantdraft import Draft, identifier, named
from sim.schema import DIST, ONE, Reader, read_item
from sim.sections import PRODUCT, STEP
from sim.units import probability, suggestion
from sim.yamlfile import Item, convert

WORDS = {"done": DONE, "scrap": SCRAP}
REST = "rest"
_SUM_TOLERANCE = Fraction(1, 10**9)


@dataclass
class _RawStep:
    """A step as written: targets are still names; `stations` with the work time given for each, if any."""

    id: str
    item: Item
    stations: dict[str, Dist | None]
    work: Dist | None = None
    next: Item | None = None
    needs: tuple[tuple[str, int], ...] = ()


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
        r = Reader(draft, item, PRODUCT)
        for key, entry in r.entries.items():
            draft.see(("products", name, key), entry)
        if not r.has("routing"):
            r.need("routing", str, "", "[turn, mill]")
        raw = [_raw_step(draft, e) for e in r.sequence("routing")]
        for step in raw:
            draft.see(("products", name, "routing", step.id), step.item)
        if r.has("routing") and not raw:
            r.entries["routing"].fail("at least one step", "list the stations it passes")
        if name not in releases:
            todo = f"write 'release: {{{name}: {{policy: conwip, cap: 6}}}}'"
            draft.problems.error(item.line, f"product {name}: expected a release, found none; {todo}")
        lot, transfer = r["lot"], r["transfer"]
        if lot % transfer:
            r.entries["transfer" if r.has("transfer") else "lot"].fail(
                "a lot that is a multiple of the transfer size", "correct one of them", f"{lot} and {transfer}"
            )
        result.append(
            Product(
                id=name,
                steps=_steps(routes, name, raw),
                release=releases.get(name, Release("saturated")),
                revenue=r["revenue"],
                scrap_cost=r["scrap_cost"],
                family=r["family"],
                lot=lot,
                transfer=transfer,
                due=r["due"],
                priority=r["priority"],
                holding=r["holding"],
                tardiness=r["tardiness"],
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
        return _RawStep(station, item, {station: None})
    r = Reader(draft, item, STEP)
    stations = _stations(draft, r)
    first = next(iter(stations))
    if r.has("stations") and r.has("station"):
        r.entries["station"].fail("'station' or 'stations'", "keep one of them", "both")
    if r.has("stations") and not r.has("step"):
        r.need("step", str, "", "mill")
    return _RawStep(
        r["step"] or first,
        item,
        stations,
        read_item(draft, r.entries["work"], DIST, None) if r.has("work") else None,
        r.entries.get("next"),
        r["needs"],
    )


def _stations(draft: Draft, r: Reader) -> dict[str, Dist | None]:
    """The eligible stations of a step, with the work time that a mapping gives for each."""
    if not r.has("stations"):
        return {r["station"] if r.has("station") else r.need("station", identifier, "", "turn"): None}
    item = r.entries["stations"]
    found: dict[str, Dist | None] = {}
    if item.is_mapping:
        found = {name: read_item(draft, entry, DIST, ONE) for name, entry in r.mapping("stations").items()}
    else:
        for e in r.sequence("stations"):
            name = convert(e, identifier, "")
            if name in found:
                e.fail("each station once", "take one out")
            found[name] = None
    if not found:
        item.fail("at least one station", "list those that can do it")
    return found or {"": None}


def _steps(routes: Routes, product: str, raw: list[_RawStep]) -> tuple[Step, ...]:
    index: dict[str, int] = {}
    for place, step in enumerate(raw):
        if step.id in WORDS or step.id == REST:
            step.item.fail("another step name", f"'{step.id}' has a meaning in 'next': rename the step")
        elif step.id in index:
            todo = f"write {{step: NAME, station: {next(iter(step.stations))}}} for the second visit"
            step.item.fail("each step name once", todo, f"'{step.id}'")
        index.setdefault(step.id, place)
        for station in step.stations:
            if station and station not in routes.stations:
                step.item.fail("a declared station", suggestion(station, routes.stations), f"'{station}'")
    result = []
    for place, step in enumerate(raw):
        times = [(station, _work(routes, product, step, station)) for station in step.stations]
        targets = _with_yield(routes.draft, step, _next(step, place, len(raw), index))
        result.append(Step(step.id, *times[0], targets, tuple(times[1:]), step.needs))
    return tuple(result)


def _work(routes: Routes, product: str, step: _RawStep, station: str) -> Dist:
    """The step's own work time, else the station's for product/step, product, or default."""
    own = step.stations[station] or step.work
    if own is not None:
        return own
    given = routes.draft.works.get(station, {})
    for key in (f"{product}/{step.id}", product, "default"):
        if key in given:
            routes.used.add((station, key))
            return given[key]
    if station in routes.stations:
        line = routes.draft.line("stations", station)
        routes.draft.problems.error(
            line,
            f"station {station}, work: expected a work time for {product}/{step.id}, found none; "
            f"write 'work: {{{product}: exponential(60 s)}}'",
        )
    return ONE


def _with_yield(draft: Draft, step: _RawStep, targets: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    """The targets after what the stations spoil: the shares of the rest shrink by the yield."""
    yields = {draft.yields.get(station, 1.0) for station in step.stations}
    if len(yields) > 1:
        step.item.fail(
            "one yield for all stations of a step",
            "the scrap is drawn for the step: give them the same yield",
            "several",
        )
    good = min(yields)
    if good >= 1.0:
        return targets
    shares: dict[int, float] = {}
    for target, share in (*((t, p * good) for t, p in targets), (SCRAP, 1.0 - good)):
        shares[target] = shares.get(target, 0.0) + share
    return tuple(shares.items())


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
    return all(distributions.mean(work) == 0 for step in product.steps for _, work in step.eligible)


def zero_cycle(product: Product) -> list[str]:
    """Steps of a routing cycle that takes no time at all, so that a part could go round without the clock moving."""
    return _cycle(product, [all(distributions.mean(work) == 0 for _, work in step.eligible) for step in product.steps])


def zero_batches(plant: Plant, product: Product) -> dict[str, str]:
    """Steps whose parts may ride in a batch that takes no time, because a step that needs none leads it, with the name
    of that one ("oven: nut/rest"), where that lets the clock stand still: in a cycle of them, or in all steps of a
    product of which a next one is released as soon as one is gone.
    """
    free = [all(distributions.mean(work) == 0 for _, work in step.eligible) for step in product.steps]
    mates = {step.id: mate for step in product.steps if (mate := _leader(plant, product, step)) is not None}
    may = [own or step.id in mates for own, step in zip(free, product.steps, strict=True)]
    release = product.release
    endless = release.policy == "saturated" or (release.policy == "conwip" and release.base_stock is None)
    found = [step.id for step in product.steps] if all(may) and endless else _cycle(product, may)
    return {step: mates[step] for step in found if step in mates}


def _leader(plant: Plant, product: Product, step: Step) -> str | None:
    """A step without work that may lead a batch with parts of this one."""
    for station in plant.stations:
        if station.batch is None or station.batch.most < 2 or station.id not in dict(step.eligible):
            continue
        for other in plant.products:
            alike = {"any": True, "family": _family(other) == _family(product), "product": other == product}
            for one in other.steps if alike[station.batch.by] else ():
                work = dict(one.eligible).get(station.id)
                if one != step and work is not None and distributions.mean(work) == 0:
                    return f"{station.id}: {other.id}/{one.id}"
    return None


def _family(product: Product) -> str:
    return product.family or product.id


def _cycle(product: Product, idle: list[bool]) -> list[str]:
    """The steps of a routing cycle all of whose steps are `idle`."""
    for start, step in enumerate(product.steps):
        seen: set[int] = set()
        waiting = [t for t, _ in step.next if t >= 0 and idle[t]] if idle[start] else []
        while waiting:
            n = waiting.pop()
            if n in seen:
                continue
            seen.add(n)
            waiting += [t for t, _ in product.steps[n].next if t >= 0 and idle[t]]
        if start in seen:
            return [product.steps[n].id for n in sorted(seen)]
    return []
