"""Loops of full queues: where rework and re-entrant routes can block a line for ever.

A part that waits for room holds its unit. If every station of a loop of the material flow has a bounded queue, all
of them can be full of parts for the next one, and none moves again. One station in the loop whose queue holds every
part that may be in the system breaks the loop.
"""

from __future__ import annotations

from sim.plant import UNLIMITED, Plant


def flows(plant: Plant) -> set[tuple[str, str]]:
    """(from, to) of every pair of stations between which parts move."""
    return {
        (step.station, product.steps[target].station)
        for product in plant.products
        for step in product.steps
        for target, _ in step.next
        if target >= 0
    }


def most_parts(plant: Plant) -> int | None:
    """The most parts that can be in the system at once, with every cap at its highest; None when nothing bounds it."""
    highest = {c.sets: c.high for c in plant.controls}
    total = 0
    for p in plant.products:
        if p.release.cap is None:
            return None
        total += max(p.release.cap, highest.get(f"release.{p.id}.cap", 0))
    return total


def deadlocks(plant: Plant) -> list[list[str]]:
    """Groups of stations (file order) that can block each other for ever."""
    most = most_parts(plant)
    tight = [
        s.id for s in plant.stations if s.capacity != UNLIMITED and (most is None or s.capacity + s.units < most)
    ]
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
