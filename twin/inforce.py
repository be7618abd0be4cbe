"""The plant as the running twin takes it to be: the plant file with what was approved and no factor of a row carries.

Work, failure, repair, lead, arrival and demand times have a factor in every row of the kernel, so a refit of one of
them is drawn with its spread. Setup times, shares of scrap and the shape of a distribution (a refit named
`shape/PARAMETER`) stand in the kernel's tables, which all rows share: an approved refit of one is written into a copy
of the plant, which is compiled anew. Only durations and probabilities change, never the layout of a row.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import replace
from typing import Any

from sim.compile import Compiled, compile_plant
from sim.distributions import PARAMETERS, mean
from sim.plant import SCRAP, Dist, Plant, Product, Station, Step, Stock
from twin.fit import MOST
from twin.model import Refit
from twin.parameters import Parameter, parameters
from twin.texts import scaled

SHAPE = "shape/"
OF_TOLERANCE = 1e-6
Values = dict[str, Dist | float]
"""What differs from the plant file, by the parameter's name: a distribution in ticks, or a share of scrap."""
_KEPT: OrderedDict[tuple[str, str], Compiled] = OrderedDict()
_MOST_KEPT = 8


def groups(plant: Plant) -> dict[str, list[Parameter]]:
    """The parameters that have a factor in common, by its name."""
    found: dict[str, list[Parameter]] = {}
    for parameter in parameters(plant):
        found.setdefault(parameter.group, []).append(parameter)
    return found


def base_of(members: list[Parameter]) -> float:
    """The plant file's value that a group's factor is on: the mean of its members' (ms, operations or a share)."""
    return sum(m.size for m in members) / len(members)


def in_force(members: list[Parameter], refits: dict[str, Refit]) -> Refit | None:
    """The approved refit of a group, None where there is none or where the plant file has changed since: the factor was
    on another value then, and the new file is taken to contain what was learned.
    """
    refit = refits.get(members[0].group)
    if refit is None:
        return None
    of = refit.said.get("of", 0)
    fits = isinstance(of, int | float) and abs(of / base_of(members) - 1) < OF_TOLERANCE
    return refit if fits else None


def shape_in_force(parameter: Parameter, refits: dict[str, Refit]) -> Dist | None:
    """The approved shape of a parameter's distribution, at the plant file's mean; None as with `in_force`."""
    refit = refits.get(SHAPE + parameter.name)
    if refit is None or parameter.dist is None:
        return None
    said = refit.said
    if said.get("was") != as_json(parameter.dist):
        return None
    found = _dist(said.get("dist"))
    return None if found is None else scaled_to(found, mean(parameter.dist))


def names_in_force(plant: Plant, refits: dict[str, Refit]) -> set[str]:
    """The names of the approved refits that count: the plant file has not changed since."""
    found = {name for name, members in groups(plant).items() if in_force(members, refits) is not None}
    return found | {SHAPE + name for name in shapes(plant, refits)}


def as_json(value: Dist | float) -> Any:
    """A distribution as [kind, [arguments in ticks]], a share as it is."""
    return [value.kind, list(value.args)] if isinstance(value, Dist) else value


def _dist(found: Any) -> Dist | None:
    """A distribution from `as_json`, None for anything that is none (a row of the journal may hold anything)."""
    try:
        kind, args = found
        dist = Dist(str(kind), tuple(float(v) for v in args))
        size = mean(dist) if _complete(dist) else math.nan
    except (TypeError, ValueError, IndexError, KeyError, AssertionError, ArithmeticError):
        return None
    sound = all(math.isfinite(v) and v >= 0 for v in dist.args) and math.isfinite(size) and size > 0
    return dist if sound else None


def _complete(dist: Dist) -> bool:
    many = {"constant": len(dist.args) == 1, "empirical": len(dist.args) > 0}
    many["discrete"] = len(dist.args) > 0 and len(dist.args) % 2 == 0
    return many.get(dist.kind, len(dist.args) == len(PARAMETERS.get(dist.kind, ())) > 0) and dist.kind != "poisson"


def scaled_to(dist: Dist, size: float) -> Dist:
    """The distribution with the mean `size` (ticks)."""
    return scaled(dist, size / mean(dist))


def shapes(plant: Plant, refits: dict[str, Refit]) -> Values:
    """The approved shapes that are in force."""
    if not any(name.startswith(SHAPE) for name in refits):
        return {}
    found = {p.name: shape_in_force(p, refits) for p in parameters(plant)}
    return {name: dist for name, dist in found.items() if dist is not None}


def shaped(plant: Plant, refits: dict[str, Refit]) -> Plant:
    """The plant with the approved shapes and the means of its file: what factors are believed on."""
    return with_values(plant, shapes(plant, refits))


def values_of(plant: Plant, refits: dict[str, Refit]) -> Values:
    """Everything that approved refits change in the plant's tables."""
    found = shapes(plant, refits)
    for parameter in parameters(plant) if refits else ():
        refit = in_force([parameter], refits) if parameter.kind in ("setup", "yield") else None
        if refit is None:
            continue
        if parameter.kind == "yield" and 0 < refit.value < 1:
            found[parameter.name] = refit.value
        elif parameter.dist is not None and 1 / MOST <= refit.value <= MOST:
            dist = found.get(parameter.name, parameter.dist)
            assert isinstance(dist, Dist)
            found[parameter.name] = scaled(dist, refit.value)
    return found


def with_values(plant: Plant, values: Values) -> Plant:
    """A copy of the plant with these distributions and shares of scrap; other targets keep their proportions."""
    if not values:
        return plant
    return replace(
        plant,
        products=tuple(_product(p, values) for p in plant.products),
        stations=tuple(_station(s, values) for s in plant.stations),
        stocks=tuple(_stock(k, values) for k in plant.stocks),
    )


def _time(values: Values, name: str, dist: Dist) -> Dist:
    found = values.get(name, dist)
    assert isinstance(found, Dist), f"{name} is a duration"
    return found


def _product(product: Product, values: Values) -> Product:
    return replace(product, steps=tuple(_step(product.id, step, values) for step in product.steps))


def _step(product: str, step: Step, values: Values) -> Step:
    named = f"{product}/{step.id}"
    work = [(station, _time(values, f"work/{station}/{named}", dist)) for station, dist in step.eligible]
    share = values.get(f"yield/{named}")
    targets = step.next
    if isinstance(share, float):
        now = sum(p for target, p in targets if target == SCRAP)
        targets = tuple((g, p * (share / now if g == SCRAP else (1 - share) / (1 - now))) for g, p in targets)
    return replace(step, work=work[0][1], others=tuple(work[1:]), next=targets)


def _station(s: Station, values: Values) -> Station:
    setups = tuple((a, b, _time(values, f"setup/{s.id}/{a}/{b}", time)) for a, b, time in s.setups)
    modes = tuple(replace(m, repair=_time(values, f"repair/{s.id}/{m.id}", m.repair)) for m in s.modes)
    return replace(s, setups=setups, modes=modes)


def _stock(k: Stock, values: Values) -> Stock:
    if k.lead is not None:
        k = replace(k, lead=_time(values, f"lead/{k.id}/regular", k.lead))
    if k.express is not None:
        k = replace(k, express=replace(k.express, lead=_time(values, f"lead/{k.id}/express", k.express.lead)))
    return k


def encode(values: Values) -> str:
    """The values as JSON, "" where nothing differs from the plant file."""
    return json.dumps({name: as_json(v) for name, v in sorted(values.items())}) if values else ""


def decode(text: str) -> Values:
    """Values from `encode`; ValueError for what is none."""
    found: Values = {}
    for name, value in (json.loads(text) if text else {}).items():
        made = value if isinstance(value, float) else _dist(value)
        if made is None:
            raise ValueError(f"{name}: expected a share or [distribution, [arguments]], found {value!r}")
        found[name] = made
    return found


def running(compiled: Compiled, refits: dict[str, Refit]) -> Compiled:
    """The plant with what is in force, compiled for the same tick 0; `compiled` itself where that is the file's."""
    return compiled_with(compiled, encode(values_of(compiled.plant, refits))) if refits else compiled


def compiled_with(compiled: Compiled, text: str) -> Compiled:
    """`compiled` with the values of `encode`; remembered. Rows of the one are rows of the other."""
    if not text:
        return compiled
    key = (compiled.hash, text)
    found = _KEPT.get(key)
    if found is None:
        found = compile_plant(with_values(compiled.plant, decode(text)), compiled.start)
        assert found.layout.width == compiled.layout.width, "durations and shares have changed the layout"
        _KEPT[key] = found
        while len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
    return found
