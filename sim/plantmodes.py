"""What takes a unit out of work, as the plant file says it: failures, minor stops, tools, wear, maintenance."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from sim import distributions
from sim.plant import Condition, Dist, Mode
from sim.plantdraft import Draft
from sim.schema import FACTOR, NEVER, ONE, PERCENT, POSITIVE, Kind, Reader
from sim.sections import CONDITION, FAILS, MAINTENANCE, MINOR, TOOL
from sim.units import suggestion
from sim.yamlfile import Item

T = TypeVar("T")

BREAKDOWN = "breakdown"
"""Name of the mode that a condition leads to."""
_MINOR, _TOOL = "minor", "tool"


def read_condition(station: Reader) -> Condition | None:
    """The wear of a station's units; None without one."""
    r = station.block("condition", CONDITION)
    if r is None:
        return None
    n = r["levels"]
    wear: tuple[Dist, ...] = _levels(r, "wear", n, POSITIVE, ONE)
    speed = _levels(r, "speed", n, FACTOR, 1.0)
    if any(v <= 0 for v in speed):
        r.entries["speed"].fail("speeds above 0", "a unit that stands still is down: end the levels before it")
        speed = (1.0,) * n
    return Condition(
        wear=wear,
        fails=_levels(r, "fails", n, NEVER, None),
        slow=tuple(1.0 / v for v in speed),
        scrap=_levels(r, "scrap", n, PERCENT, 0.0),
    )


def _levels(r: Reader, key: str, n: int, kind: Kind, default: T) -> tuple[T, ...]:
    """A list with one entry for each of n levels."""
    _ = r[key]  # records its absence where it is required
    if not r.has(key):
        return (default,) * n
    values = tuple(r.read(e, kind, default) for e in r.sequence(key))
    if len(values) != n:
        r.entries[key].fail(f"{n} entries, one for each level", "add or remove some", str(len(values)))
        return (default,) * n
    return values


def read_modes(station: Reader, condition: Condition | None) -> tuple[Mode, ...]:
    """All modes of a station: failures, minor stops, tool, breakdown, maintenance."""
    failures = _several(station, "fails", _failure)
    minor = _minor(station)
    tool = _tool(station)
    planned = _several(station, "maintenance", _preventive)
    broken = _breakdown(station, condition)
    for_all = tuple(m.id for m in failures)
    modes = [*failures, *minor, *tool, *broken]
    block = _block_modes(station)
    young = tuple(m.id for m in planned if m.after is not None and m.id not in block)
    modes = [replace(m, renews=(*m.renews, *young)) if m.id in (*for_all, BREAKDOWN) else m for m in modes]
    for m in planned:
        renews = for_all if m.renews == ("*",) else m.renews
        modes.append(replace(m, renews=renews, restores=condition is not None))
    _check(station, modes)
    return tuple(modes)


def _items(station: Reader, key: str) -> list[Item]:
    """The mapping under a key, or the elements of a list of them."""
    if not station.has(key):
        return []
    return station.sequence(key) if station.entries[key].is_list else [station.entries[key]]


def _several(station: Reader, key: str, read: object) -> list[Mode]:
    """Modes from one mapping or a list of them; from the second on they need a name."""
    assert callable(read)
    modes: list[Mode] = []
    for item in _items(station, key):
        mode = read(station.draft, item)
        if mode is None:
            continue
        if any(m.id == mode.id for m in modes):
            item.fail("a name of its own for each mode", f"write 'name:' (there is '{mode.id}' already)", "none")
            continue
        modes.append(mode)
    return modes


def _failure(draft: Draft, item: Item) -> Mode:
    r = Reader(draft, item, FAILS)
    clock = r["clock"] or draft.conventions["failure_clock"]
    by_parts = clock == "parts"
    wrong = "after" if by_parts else "life"
    r.forbid((wrong,), f"with clock {clock}", "'after' is a time (odf, tdf), 'life' a number of operations (parts)")
    if by_parts and not r.has("life"):
        r.need("life", str, "", "400")
    if not by_parts and not r.has("after"):
        r.need("after", str, "", "exponential(100 min)")
    return Mode(
        id=r["name"],
        clock=clock,
        repair=r["repair"],
        after=None if by_parts else r["after"] or ONE,
        life=(r["life"] or ((1, 1.0),)) if by_parts else (),
        crew=r["crew"],
        part=r["part"] or draft.conventions["interrupted_part"],
        priority=r["priority"],
        renews=r["renews"],
        cost=r["cost"],
    )


def _minor(station: Reader) -> list[Mode]:
    r = station.block("minor_stops", MINOR)
    return [] if r is None else [Mode(_MINOR, "odf", r["last"], after=r["after"])]


def _tool(station: Reader) -> list[Mode]:
    r = station.block("tool", TOOL)
    if r is None:
        return []
    how = {"crew": r["crew"], "priority": r["priority"], "cost": r["cost"]}
    return [Mode(_TOOL, "parts", r["change"], life=r["life"], planned=True, finish=True, **how)]


def _breakdown(station: Reader, condition: Condition | None) -> list[Mode]:
    """The mode with clock "condition", from the maintenance that says how it is repaired."""
    found = [r for r in (Reader(station.draft, i, MAINTENANCE) for i in _items(station, "maintenance")) if
             r.has("corrective")]  # fmt: skip
    if condition is None:
        for r in found:
            r.entries["corrective"].fail(
                "a 'condition' of the station for it", "add one, or write the failure and its repair under 'fails'"
            )
        return []
    if not found:
        station.entries["condition"].fail(
            "'maintenance: {corrective: ..}' to bring a worn-out unit back",
            "nothing else would restore its condition: add the time of that repair",
            "none",
        )
        return []
    r = found[0]
    return [
        Mode(
            id=BREAKDOWN,
            clock="condition",
            repair=r["corrective"] or ONE,
            crew=r["crew"],
            part=r["part"] or station.draft.conventions["interrupted_part"],
            priority=r["priority"],
            restores=True,
            cost=r["corrective_cost"],
        )
    ]


def _preventive(draft: Draft, item: Item) -> Mode | None:
    """The planned mode of a maintenance; None where only a corrective one is given. `renews` ("*",) means all."""
    r = Reader(draft, item, MAINTENANCE)
    if not r.has("preventive"):
        if not r.has("corrective"):
            r.need("preventive", str, "", "2 h")
        r.forbid(
            ("at_level", "every", "cost", "renews"), "without 'preventive'", "add how long it takes, or take it out"
        )
        return None
    level, every = r["at_level"], r["every"]
    if (level is None) == (every is None):
        item.fail("'at_level' or 'every', one of them", "say when it begins", "both" if level is not None else "none")
    renews = r["renews"]
    return Mode(
        id=r["name"],
        clock="none" if every is None else r["clock"],
        repair=r["preventive"] or ONE,
        after=every,
        crew=r["crew"],
        part=r["part"] or draft.conventions["interrupted_part"],
        priority=r["priority"],
        planned=True,
        finish=r["finish"],
        renews=("*",) if renews is None else renews,
        at_level=level if every is None else None,
        cost=r["cost"],
    )


def _block_modes(station: Reader) -> set[str]:
    """Names of the maintenance whose time a repair does not start anew."""
    readers = [Reader(station.draft, item, MAINTENANCE) for item in _items(station, "maintenance")]
    return {r["name"] for r in readers if r["policy"] == "block"}


def _check(station: Reader, modes: list[Mode]) -> None:
    """Names that mean one mode each, renewals of modes that exist, levels that are reached, repairs that take time."""
    names = [m.id for m in modes]
    for m in modes:
        where = _written(station, m)
        if names.count(m.id) > 1:
            where.fail("a name of its own for each mode", f"'{m.id}' is there already: rename one", f"'{m.id}'")
        for other in m.renews:
            if other not in names or other == m.id:
                todo = suggestion(other, [n for n in names if n != m.id])
                where.fail("another mode of the station in 'renews'", todo, f"'{other}'")
        if m.clock == "tdf" and m.planned and distributions.mean(m.repair) == 0:
            where.fail("maintenance that takes time", "with 0 it would change nothing: give a time", "0")


def _written(station: Reader, mode: Mode) -> Item:
    """Where a mode stands in the file."""
    key = {_MINOR: "minor_stops", _TOOL: "tool"}.get(mode.id, "maintenance" if mode.planned else "fails")
    for name in (key, "fails", "maintenance", "condition", "tool", "minor_stops"):
        if name in station.entries:
            return station.entries[name]
    return station.item
