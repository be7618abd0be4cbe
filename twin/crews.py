"""Who is being repaired: crews are hidden, but who went down and came up when is seen, and the rule is known.

A crew that is free takes the unit that goes down, else the unit waits; who comes up frees the crew for the first in
the order of (mode's priority, since when it is down, unit), as docs/kernel.md says.
"""

from __future__ import annotations

from sim.plant import Mode
from twin.model import DOWN, TwinState, Unit
from twin.topology import Topology


def mode_of(topology: Topology, s: int, unit: Unit) -> Mode | None:
    """The mode a unit is down for: what was said, else the station's first failure."""
    return next((m for m in topology.plant.stations[s].modes if m.id == unit.mode), topology.mode[s])


def went_down(topology: Topology, state: TwinState, s: int, u: int) -> None:
    """Unit `u` of station `s` went down at `state.t`: its repair begins where somebody is free."""
    unit = state.stations[s].units[u]
    mode = mode_of(topology, s, unit)
    if mode is None:
        return
    others = [] if mode.crew is None else [other for _, _, other in _down(topology, state, mode.crew)]
    busy = sum(other.repair > 0 for other in others if other is not unit)
    if mode.crew is None or busy < _size(topology, mode.crew):
        unit.repair = unit.since


def came_up(topology: Topology, state: TwinState, s: int, u: int) -> None:
    """Unit `u` of station `s`, still down, comes up: the crew goes on to the next.

    If it was thought to be waiting, somebody has repaired it all the same: the repair believed to have begun last has
    not, but begins now.
    """
    unit = state.stations[s].units[u]
    mode, had = mode_of(topology, s, unit), unit.repair
    unit.repair, unit.mode = 0, ""
    if mode is None:
        return
    _renew(topology, s, unit, mode)
    if mode.crew is None:
        return
    others = [(key, i, other) for key, i, other in _down(topology, state, mode.crew) if other is not unit]
    served = [other for _, _, other in others if other.repair > 0]
    if not had and len(served) >= _size(topology, mode.crew):
        last = max(served, key=lambda other: (other.repair, other.since))
        last.repair = state.t
        return
    waiting = [found for found in others if not found[2].repair]
    if waiting and len(served) < _size(topology, mode.crew):
        min(waiting, key=lambda found: found[:2])[2].repair = state.t


def _renew(topology: Topology, s: int, unit: Unit, mode: Mode) -> None:
    unit.worked, unit.age_known = 0, True
    if topology.clocks[s]:
        for name in (mode.id, *mode.renews):
            unit.ages[name] = 0


def _size(topology: Topology, crew: str) -> int:
    return next(c.size for c in topology.plant.crews if c.id == crew)


def _down(topology: Topology, state: TwinState, crew: str) -> list[tuple[tuple[int, int], int, Unit]]:
    """((priority, since), number, unit) of all that are down for this crew."""
    found, number = [], 0
    for s, station in enumerate(state.stations):
        for unit in station.units:
            number += 1
            mode = mode_of(topology, s, unit) if unit.state == DOWN else None
            if mode is not None and mode.crew == crew:
                found.append(((mode.priority, unit.since), number, unit))
    return found
