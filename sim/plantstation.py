"""Stations and the queues before them, read from the plant file."""

from __future__ import annotations

from dataclasses import replace

from sim.plant import FEATURES, RULES, STATES, UNLIMITED, Batch, Dist, Product, Station
from sim.plantdraft import Draft, Setups, named
from sim.plantmodes import read_condition, read_modes
from sim.schema import DIST, INTEGER, ONE, Reader, is_dist, read_item
from sim.sections import BATCH, BUFFER, POWER_STATES, SETUP, STATION
from sim.units import suggestion
from sim.yamlfile import Item, convert


def read_stations(draft: Draft, entries: dict[str, Item]) -> list[Station]:
    """The stations in file order, without the setup times, which need the products' families (`with_setups`)."""
    result = []
    for name, item in named(draft, "stations", "station", entries).items():
        r = Reader(draft, item, STATION)
        for key, entry in r.entries.items():
            draft.see(("stations", name, key), entry)
        draft.works[name] = works(draft, r.entries["work"]) if r.has("work") else {}
        if r.has("setup"):
            draft.setups[name] = _setups(draft, r.entries["setup"])
        draft.yields[name] = r["yield"]
        if draft.yields[name] <= 0:
            r.entries["yield"].fail("a yield above 0 %", "nothing would ever be finished: correct it")
        condition = read_condition(r)
        result.append(
            Station(
                id=name,
                units=r["units"],
                modes=read_modes(r, condition),
                calendar=r["calendar"],
                setup_cost=r["setup_cost"],
                batch=_batch(r),
                dispatch=_dispatch(r),
                condition=condition,
                operators=_operators(r),
                priority=r["priority"],
                power=_power(r),
                part_energy=r["energy_per_part"],
            )
        )
    return result


def works(draft: Draft, item: Item) -> dict[str, Dist]:
    """Work times by product, product/step or default; one distribution alone is the default."""
    if is_dist(item):
        return {"default": read_item(draft, item, DIST, ONE)}
    return {key: read_item(draft, value, DIST, ONE) for key, value in item.entries().items()}


def _setups(draft: Draft, item: Item) -> Setups:
    if is_dist(item):
        return Setups(read_item(draft, item, DIST, ONE), {})
    r = Reader(draft, item, SETUP)
    matrix: dict[tuple[str, str], Dist | None] = {}
    for before, row in r.mapping("matrix").items():
        if not row.is_mapping:
            row.fail("a mapping of families to times", "write {red: {blue: 20 min}}")
            continue
        for after, entry in row.entries().items():
            none = not entry.is_mapping and not entry.is_list and not entry.is_empty and entry.text() == "none"
            matrix[before, after] = None if none else read_item(draft, entry, DIST, ONE)
    return Setups(r["default"], matrix)


def with_setups(draft: Draft, stations: list[Station], products: list[Product]) -> list[Station]:
    """The stations with a setup time for every pair of families that meet there. Unknown families are problems."""
    every = sorted({p.family or p.id for p in products})
    result = []
    for s in stations:
        given = draft.setups.get(s.id)
        if given is None:
            result.append(s)
            continue
        here = [p.family or p.id for p in products if any(s.id == k for step in p.steps for k, _ in step.eligible)]
        families = list(dict.fromkeys(here))
        for pair in given.matrix:
            for family in pair:
                if family not in every:
                    draft.problems.error(
                        draft.line("stations", s.id, "setup"),
                        f"station {s.id}, setup: expected a family of the products, found '{family}'; "
                        f"{suggestion(family, every)}",
                    )
        table: list[tuple[str, str, Dist]] = []
        for a in families:
            for b in families:
                time = given.matrix.get((a, b), None if a == b else given.default)
                if time is not None:
                    table.append((a, b, time))
        if not table:
            draft.warn(("stations", s.id, "setup"), "no two families meet here, so nothing is ever set up")
        result.append(replace(s, setups=tuple(table)))
    return result


def _batch(station: Reader) -> Batch | None:
    r = station.block("batch", BATCH)
    if r is None:
        return None
    least, most = r["min"], r["max"]
    if least > most:
        r.entries["min"].fail(f"at most 'max' ({most})", "exchange them", str(least))
    return Batch(least, most, r["wait"], r["by"])


def _dispatch(station: Reader) -> tuple[tuple[str, int], ...]:
    if not station.has("dispatch"):
        return ()
    item = station.entries["dispatch"]
    if not item.is_mapping:
        rule = convert(item, str, "fifo")
        if rule not in RULES:
            item.fail("a dispatching rule, or {feature: weight}", suggestion(rule, RULES), f"'{rule}'")
        return RULES.get(rule, ())
    weights = []
    for feature, entry in item.entries().items():
        if feature not in FEATURES:
            entry.fail("a feature of parts", suggestion(feature, FEATURES), f"'{feature}'")
            continue
        weight = read_item(station.draft, entry, INTEGER, 0)
        if weight:
            weights.append((feature, weight))
    return tuple(weights)


def _operators(station: Reader) -> tuple[str, int] | None:
    needed: tuple[tuple[str, int], ...] = station["operators"]
    if len(needed) > 1:
        station.entries["operators"].fail("one pool", "join the pools: a unit takes all its operators from one")
    return needed[0] if needed else None


def _power(station: Reader) -> tuple[int, ...]:
    r = station.block("power", POWER_STATES)
    if r is None:
        return ()
    idle = r["idle"]
    found = {state: r[state] for state in STATES}
    return tuple(idle if found[state] is None else found[state] for state in STATES)


def read_buffers(draft: Draft, entries: dict[str, Item], stations: list[Station]) -> list[Station]:
    """The stations, each with the buffer declared before it as its queue."""
    by_id = {s.id: s for s in stations}
    for name, item in named(draft, "buffers", "buffer", entries).items():
        r = Reader(draft, item, BUFFER)
        before = r["before"]
        kanban = r["kanban"]
        capacity = UNLIMITED if kanban is not None and not r.has("capacity") else r["capacity"]
        holding = r["holding"]
        if before not in by_id:
            if before:
                r.entries["before"].fail("a declared station", suggestion(before, by_id))
            continue
        if by_id[before].buffer is not None:
            r.entries["before"].fail("one buffer a station", f"'{by_id[before].buffer}' stands there already")
            continue
        queue = {"buffer": name, "capacity": capacity, "holding": holding, "kanban": kanban}
        by_id[before] = replace(by_id[before], **queue)
    return [by_id[s.id] for s in stations]
