"""Work seen without a start: where a unit's state and its counted ends are told, but no event says when work begins.

That is the common case on a shop floor: a word with the state of the machine and a register of parts. A piece of work
begins when the unit is seen to go to work, or at the end before where it works on without a pause; it ends with its
counted end. Waiting, setups and stops inside it do not count. What cannot be certain gives no span: the work that was
under way when the state was first heard, several ends told at one moment, anything across a long silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin import stops
from twin.learned import OpenUnit
from twin.model import DOWN, OFF, WORK

if TYPE_CHECKING:
    from twin.learn import Learner
    from twin.model import TwinState
    from twin.observe import Obs

QUIET_MS = 600_000
"""After a silence of all sources as long as this nobody knows what has ended meanwhile."""


def said(learner: Learner, obs: Obs, t: int, repair: int) -> None:
    """A reading of a unit's state, applied at `t`; `repair`: since when it was repaired until then."""
    sensor = learner.topology.tags.get(obs.name)
    if sensor is None or sensor.property != "state" or sensor.thing not in learner.topology.station:
        return
    s = learner.topology.station[sensor.thing]
    units = learner.learned.units[s]
    several = sensor.unit is None and len(units) > 1
    if several or learner.topology.plant.stations[s].batch is not None:
        return
    unit, code = units[(sensor.unit or 1) - 1], int(obs.value)
    before, unit.state, unit.source = unit.state, code, obs.source
    last, unit.seen = unit.seen, code
    if unit.starts or code == before:
        return
    if code != last:
        stops.left(learner, s, unit, (last, code), (t, repair))
    if code != WORK:
        if unit.doing:
            learner.pause(s, unit, t)
        if code == DOWN and code != last:
            stops.begun(learner, s, unit, last, t)
    elif not unit.doing:
        if before >= 0 and before != DOWN:
            begin(unit, t)
    elif not unit.since and not unit.down:
        if before != DOWN and not (before == OFF and learner.topology.freezes[s]):
            unit.done, unit.begun = 0, t  # what had begun with the end before was the delay of the state
        unit.since = t
    if code != last:
        unit.ran = t if code == WORK else 0


def begin(unit: OpenUnit, t: int) -> None:
    """A piece of work whose operation its end will tell."""
    unit.doing, unit.name, unit.work, unit.done = "work", "", "", 0
    unit.since = unit.begun = t
    unit.alive = unit.alive or t


def forget(learner: Learner, state: TwinState, t: int) -> None:
    """What was seen of states until `t` is not to be relied on any more."""
    for s, units in enumerate(learner.learned.units):
        for u, unit in enumerate(units):
            if not unit.starts and not learner.numbered(unit.source):
                stops.lost(learner, s, unit, (t, state.stations[s].units[u].repair))
            unit.state = -1
            if unit.doing and not unit.starts:
                unit.doing = ""


def ended(learner: Learner, s: int, unit: OpenUnit, operation: str, t: int, *, unit_told: bool) -> bool:
    """An end at a unit whose starts are not told: True where that was all there is to do."""
    if unit.starts or unit.state < 0 or learner.topology.plant.stations[s].batch is not None:
        return False
    if len(learner.learned.units[s]) > 1 and not unit_told:
        return True  # one of several units: nobody knows which
    spans = learner.learned.of("work/" + operation) if operation else None
    if unit.ended_t == t:
        if spans is not None and spans.t and spans.t[-1] == t:
            spans.drop_last()  # several at one moment: their ends were told late
    elif unit.doing and spans is not None and not unit.down:
        learner.pause(s, unit, t)
        if unit.done > 0:
            spans.add(t, unit.done, cut=False)
    unit.doing = ""
    if unit.state == WORK and not unit.down:
        begin(unit, t)
    return True
