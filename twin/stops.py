"""Stops seen in states, ends and scrap seen in counters: where no event tells of them.

A unit whose state says `down` has failed, if the tags leave no doubt of what: the station has one mode, and it is no
maintenance; the unit was seen to be up before; it was not closed in between. A stop that closing hours, lost messages
or the end of the data cut short counts as censored, so does a long silence of a source whose messages have no numbers.
The wait for a crew is no repair: that begins when the crew is believed to come (`twin/crews.py`). A counter of parts
tells ends as `work_end` events do, one of scrap what is scrapped. As soon as an event of a kind has come, its station's
tags are not asked about that kind any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.payloads import Event
from sim.plant import SCRAP, Mode
from twin.events import MOST
from twin.model import DOWN, OFF, TwinState

if TYPE_CHECKING:
    from sim.plant import Sensor
    from twin.learn import Learner
    from twin.learned import OpenUnit
    from twin.observe import Obs
    from twin.topology import Topology


def only_mode(topology: Topology, s: int) -> Mode | None:
    """The failure that a unit of a station is down for, where nothing but a state says so."""
    modes = topology.plant.stations[s].modes
    return modes[0] if len(modes) == 1 and not modes[0].planned and modes[0].clock in ("odf", "tdf", "parts") else None


def _asked(learner: Learner, s: int) -> Mode | None:
    """The same, None where events tell of failures."""
    told = learner.learned.told
    return None if f"{learner.topology.plant.stations[s].id}/down" in told else only_mode(learner.topology, s)


def begun(learner: Learner, s: int, unit: OpenUnit, before: int, t: int) -> None:
    """The unit's state says down, `before` another (-1: nothing was known); its work stands still already."""
    mode = _asked(learner, s)
    if mode is None:
        return
    learner.still_alive(s, unit, t)
    unit.alive = unit.stop = 0
    if before in (-1, OFF):
        return  # since when it is down, nobody knows
    learner.failed(s, unit, mode, t)
    unit.stop = t
    if unit.doing == "work" and mode.part in ("repeats", "scrapped"):
        unit.done = 0
        unit.doing = "" if mode.part == "scrapped" else unit.doing


def left(learner: Learner, s: int, unit: OpenUnit, change: tuple[int, int], now: tuple[int, int]) -> None:
    """The unit's state goes from one to another; `now`: plant ms, and since when it was repaired (0: not known)."""
    run_on(learner, s, unit, now[0])
    mode = _asked(learner, s) if change[0] == DOWN else None
    if mode is not None:
        _end(learner, s, unit, now, cut=change[1] == OFF)
        unit.alive, unit.age[mode.id], unit.fresh[mode.id] = now[0], 0, True
    elif not unit.alive and not unit.down:
        unit.alive = now[0]


def run_on(learner: Learner, s: int, unit: OpenUnit, t: int) -> None:
    """Clocks of failures that run with the work have run as long as the unit's state has said work, up to `t`."""
    if unit.ran:
        spec = learner.topology.plant.stations[s]
        calendar = spec.calendar if learner.topology.freezes[s] else None
        for mode in spec.modes:
            if mode.clock == "odf":
                unit.age[mode.id] = unit.age.get(mode.id, 0) + learner.hours.open_ms(calendar, unit.ran, t)
        unit.ran = t


def lost(learner: Learner, s: int, unit: OpenUnit, now: tuple[int, int]) -> None:
    """What comes after `now` was not heard: an open stop, and the work, are known up to there only."""
    _end(learner, s, unit, now, cut=True)
    run_on(learner, s, unit, now[0])
    unit.fresh, unit.ran, unit.seen = {}, 0, -1


def _end(learner: Learner, s: int, unit: OpenUnit, now: tuple[int, int], *, cut: bool) -> None:
    mode, (t, repair) = only_mode(learner.topology, s), now
    if not unit.stop or mode is None:
        return
    begins, unit.stop = unit.stop if mode.crew is None else repair, 0
    name = f"repair/{learner.topology.plant.stations[s].id}/{mode.id}"
    if begins:
        learner.learned.span(name, t, max(t - begins, 0), cut=cut)
    else:
        learner.learned.of(name).left_out += 1


def still_open(learner: Learner, state: TwinState) -> list[tuple[str, int]]:
    """(parameter, ms so far) of the repairs under way, told by states or by events."""
    found = []
    for s, units in enumerate(learner.learned.units):
        station = learner.topology.plant.stations[s]
        for u, unit in enumerate(units):
            single = only_mode(learner.topology, s)
            mode = single if unit.stop else next((m for m in station.modes if m.id == unit.mode and unit.down), None)
            if mode is None:
                continue
            begins = (unit.stop or unit.down) if mode.crew is None else state.stations[s].units[u].repair
            if begins and state.t > begins:
                found.append((f"repair/{station.id}/{mode.id}", state.t - begins))
    return found


# counters ------------------------------------------------------------------------------------------------------------


def stood(topology: Topology, state: TwinState, obs: Obs) -> int:
    """What has to be known before a reading is applied: of a unit's state since when it is repaired, of a counter its
    value; -1 where that is nothing.
    """
    sensor = topology.tags.get(obs.name)
    s = topology.station.get(sensor.thing) if sensor is not None else None
    if sensor is None or s is None:
        return -1
    if sensor.property == "state":
        units = state.stations[s].units
        return units[(sensor.unit or 1) - 1].repair if (sensor.unit or 1) <= len(units) else -1
    channel = state.channels.get(obs.name)
    return -1 if channel is None else channel.last


def counted(learner: Learner, state: TwinState, obs: Obs, before: int) -> None:
    """A counter of ended or scrapped parts that stood at `before` has been applied."""
    topology, channel = learner.topology, state.channels.get(obs.name)
    sensor = topology.tags.get(obs.name)
    if sensor is None or channel is None or before < 0 or not 0 < channel.last - before <= MOST:
        return
    s, kind = topology.station.get(sensor.thing), {"out": "work_end", "scrap": "scrap"}.get(sensor.property)
    if s is None or kind is None or f"{sensor.thing}/{kind}" in learner.learned.told:
        return
    n, t = channel.last - before, max(obs.t, 1)
    if kind == "scrap":
        scrapped(learner, operations(topology, s, sensor), n, t)
        return
    if (sensor.unit or 1) > len(learner.learned.units[s]):
        return
    unit, product = learner.learned.units[s][(sensor.unit or 1) - 1], product_of(topology, s, sensor)
    event = Event(e="tag", s=0, t=t, kind=kind, thing=sensor.thing, unit=sensor.unit, product=product)
    for _ in range(n):
        if unit.state >= 0:
            learner.ended(s, unit, event, t)
        else:
            learner.passed(learner.operation(s, event), t)


def scrapped(learner: Learner, names: list[str], n: int, t: int) -> None:
    """`n` parts were scrapped at the one operation of a counter."""
    if len(names) != 1:
        return
    operation = names[0].partition("/")[2]
    learner.learned.tally("yield/" + operation).add(t, n, 0)
    for _ in range(n):
        learner.learned.made(operation, t, scrap=True)


def product_of(topology: Topology, s: int, sensor: Sensor) -> str | None:
    """The product that a counter speaks of: its own, or the only one that is worked there."""
    made = {topology.plant.products[p].id for p, _ in topology.into[s]}
    return sensor.product or (next(iter(made)) if len(made) == 1 else None)


def operations(topology: Topology, s: int, sensor: Sensor) -> list[str]:
    """STATION/PRODUCT/STEP of the operations at a station which may scrap a part that the counter speaks of."""
    found = []
    for p, k in topology.into[s]:
        product = topology.plant.products[p]
        if sensor.product in (None, product.id) and any(target == SCRAP for target, _ in product.steps[k].next):
            found.append(f"{sensor.thing}/{product.id}/{product.steps[k].id}")
    return found


__all__ = ["begun", "counted", "left", "lost", "only_mode", "run_on", "still_open", "stood"]
