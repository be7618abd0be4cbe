"""Loops of full queues: where rework and re-entrant routes can block a line for ever.

A part that waits for room holds its unit. If every station of a loop of the material flow has a bounded queue, all
of them can be full of parts for the next one, and none moves again. One station in the loop whose queue holds every
part that may be in the system breaks the loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim.plant import UNLIMITED, Plant, Station


def flows(plant: Plant) -> set[tuple[str, str]]:
    """(from, to) of every pair of stations between which parts move."""
    return {
        (a, b)
        for product in plant.products
        for step in product.steps
        for target, _ in step.next
        if target >= 0
        for a, _ in step.eligible
        for b, _ in product.steps[target].eligible
    }


def most_parts_of(plant: Plant, products: Sequence[str]) -> int | None:
    """The most parts (transfer batches) of some products that can be in the system at once, with every cap at its
    highest; None when nothing bounds them.
    """
    highest = {c.sets: c.high for c in plant.controls}
    chosen = [p for p in plant.products if p.id in products]
    total = 0
    free: set[str] = set()  # those without a cap of their own
    for p in chosen:
        if p.release.cap is None:
            free.add(p.id)
        else:
            total += max(p.release.cap, highest.get(f"release.{p.id}.cap", 0)) // p.transfer
    for g in plant.groups:
        inside = free & {name for name, _ in g.mix}
        if inside:
            least = min(p.transfer for p in chosen if p.id in inside)
            total += max(g.cap, highest.get(f"groups.{g.id}.cap", 0)) // least
        free -= inside
    return None if free else total


def most_parts_at(plant: Plant, stations: Sequence[str]) -> int | None:
    """The most parts that can be in the system at once and come to one of these stations, with every cap at its
    highest; None when nothing bounds them.
    """
    there = [p.id for p in plant.products if any(k in stations for step in p.steps for k, _ in step.eligible)]
    return most_parts_of(plant, there)


def deadlocks(plant: Plant) -> list[list[str]]:
    """Groups of stations (file order) that can block each other for ever."""
    tight = [s.id for s in plant.stations if _bounded(s, most_parts_at(plant, [s.id]))]
    after: dict[str, set[str]] = {name: set() for name in tight}
    for a, b in flows(plant):
        if a in after and b in after:
            after[a].add(b)
    reach = {name: _reachable(after, name) for name in tight}
    groups: list[list[str]] = []
    for name in tight:
        if name in reach[name] and not any(name in group for group in groups):
            groups.append([other for other in tight if other in reach[name] and name in reach[other]])
    return groups


def _bounded(station: Station, most: int | None) -> bool:
    """Whether a station may be full while a part wants to come to it."""
    queue = station.capacity != UNLIMITED and (most is None or station.capacity + station.units < most)
    return queue or (station.kanban is not None and (most is None or station.kanban < most))


def _reachable(after: dict[str, set[str]], start: str) -> set[str]:
    """Stations that can be reached from `start` in one move or more."""
    seen: set[str] = set()
    waiting = list(after[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += after[name]
    return seen
