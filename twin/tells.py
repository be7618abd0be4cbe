"""What the tags and events of a plant cannot tell of a parameter, in a sentence."""

from __future__ import annotations

from sim.plant import Plant, Sensor, Station
from twin.learned import Learned
from twin.parameters import Parameter
from twin.stops import only_mode
from twin.topology import Topology


def untold(topology: Topology, learned: Learned, parameter: Parameter) -> str:
    """Why nothing is seen of a parameter, "" where something is, or could be."""
    kind, thing, *more = parameter.name.split("/")
    if kind in ("work", "setup", "fail", "repair"):
        s = topology.station[thing]
        return {"work": _work, "setup": _setup, "fail": _stops, "repair": _stops}[kind](topology, learned, s)
    if kind == "yield":
        return _scrap(topology, learned, thing, more[0])
    if kind == "demand":
        return _demand(topology.plant, thing)
    if kind == "arrival":
        tagged = any(t.thing == thing and t.property == "in" for t in topology.plant.sensors)
        return "" if tagged else f"no tag tells arrivals of {thing}"
    return ""


def _of(topology: Topology, s: int, what: str) -> list[Sensor]:
    station = topology.plant.stations[s]
    return [t for t in topology.plant.sensors if t.thing == station.id and t.property == what]


def _state(topology: Topology, s: int) -> str:
    """Why the state tags of a station say nothing of a unit, "" where they do."""
    station, tags = topology.plant.stations[s], _of(topology, s, "state")
    if not tags:
        return "no tag"
    if station.units > 1 and all(t.unit is None for t in tags):
        return "its one state tag stands for several units, so it does not"
    return "its state does not" if station.batch is not None else ""


def _heard(learned: Learned, station: Station, *kinds: str) -> bool:
    return any(f"{station.id}/{kind}" in learned.told for kind in kinds)


def _work(topology: Topology, learned: Learned, s: int) -> str:
    station = topology.plant.stations[s]
    if _heard(learned, station, "work_start"):
        return ""
    states, ends = _state(topology, s), _of(topology, s, "out") or _heard(learned, station, "work_end")
    if states or not ends:
        who = states if states and states != "no tag" else "no tag"
        return f"{who} tell{'s' if who == 'no tag' else ''} work of {station.id}"
    alone = station.units == 1 or any(t.unit is not None for t in _of(topology, s, "out"))
    return "" if alone or _heard(learned, station, "work_end") else f"no tag tells which unit of {station.id} has ended"


def _setup(topology: Topology, learned: Learned, s: int) -> str:
    station = topology.plant.stations[s]
    if _heard(learned, station, "setup"):
        return ""
    if _of(topology, s, "state"):
        return f"no event tells setups of {station.id}: a state does not say from which family to which"
    return f"no tag tells setups of {station.id}"


def _stops(topology: Topology, learned: Learned, s: int) -> str:
    station = topology.plant.stations[s]
    if _heard(learned, station, "down"):
        return ""
    states = _state(topology, s)
    if states:
        return f"{states} tell{'s' if states == 'no tag' else ''} failures of {station.id}"
    if only_mode(topology, s) is None:
        return f"no tag tells which of its {len(station.modes)} modes {station.id} is down for"
    return ""


def _scrap(topology: Topology, learned: Learned, product: str, step: str) -> str:
    spec = next(p for p in topology.plant.products if p.id == product)
    s = topology.station[next(k.station for k in spec.steps if k.id == step)]
    station = topology.plant.stations[s]
    if not _heard(learned, station, "scrap"):
        tags = [t for t in _of(topology, s, "scrap") if t.product in (None, product)]
        if not tags:
            return f"no tag tells scrap of {station.id}"
        if all(t.product is None for t in tags) and len(topology.into[s]) > 1:
            return f"no tag tells which product {station.id} has scrapped"
    ends = _heard(learned, station, "work_end") or _of(topology, s, "out")
    return "" if ends else f"no tag tells of how many parts {station.id} scraps some"


def _demand(plant: Plant, demand: str) -> str:
    stock = next(d.stock for d in plant.demands if d.id == demand)
    tagged = any(t.property == "demand" and t.thing in (demand, stock) for t in plant.sensors)
    return "" if tagged else f"no tag tells demand of {demand}"
