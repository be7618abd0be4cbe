"""One observation applied to the believed floor: readings, events, documents, counts by hand, ticks."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.payloads import CmdAck, Event, Supply
from twin import byhand, floor, hidden, moves, reconcile, supply, transit
from twin.check import REFUSED, Probe, run_checks
from twin.events import busy_unit, delta, doubt, ends, happened
from twin.floor import Floor
from twin.model import DOWN, SETUP, WORK, Channel, Command, Manual, Refit, TagState, TwinState, Unit, count, done, held
from twin.topology import Topology

RELEASE, END, SCRAPPED, START, SUPPLY, COUNTER, VALUE, MANUAL, COMMAND, TICK = range(10)
"""Rank of observations of one moment: what happened comes in the order in which it can happen (a part is released or
ends before it starts elsewhere), then what it led to; ticks come last. Sources share no order but time."""
EVENTS = (END, SCRAPPED, START)
MINUTE_MS = 60_000
REMEMBERED = 240
"""Minutes of history kept in the state."""


class Obs(msgspec.Struct):
    """One thing observed at plant time `t`; `key` orders those of one moment. `stamped` is the time it carried
    (it differs from `t` only when it came too late to be put in its place; those are told in the order they happened).
    """

    t: int
    rank: int
    source: str
    s: int
    k: int
    stamped: int
    name: str = ""
    value: float = 0.0
    quality: int = 0
    body: Any = None
    e: str = ""  # epoch of the source, "" where it has none

    @property
    def key(self) -> tuple[int, int, int, str, int, int, str]:
        return (self.t, self.stamped, self.rank, self.source, self.s, self.k, self.name)


def apply_observation(topology: Topology, state: TwinState, obs: Obs) -> None:
    """Change `state` by one observation. Times never run backwards: `obs.t` >= `state.t`."""
    f = Floor(topology, state, max(obs.t, state.t))
    if f.t > state.t:
        _advance(f)
    if obs.rank == TICK:
        reconcile.tick(f)
    elif obs.rank in EVENTS:
        happened(f, msgspec.convert(obs.body, Event))
    elif obs.rank in (RELEASE, COUNTER, VALUE):
        _reading(f, obs)
    elif obs.rank == SUPPLY:
        transit.document(topology, state, msgspec.convert(obs.body, Supply), f.t)
    elif obs.rank == MANUAL:
        _manual(f, obs)
    else:
        _command(f, obs)


def _advance(f: Floor) -> None:
    """Bring the meters to `f.t`; settle what waited for the end of the moment before."""
    state = f.state
    _settle(Floor(f.topology, state, state.t))
    if state.t == 0:
        state.t = state.started = f.t
        return
    dt, meters = f.t - state.t, state.meters
    _remember(state, f.t, f.topology.ends)
    for s, station in enumerate(state.stations):
        meters.queue_ms[s] += len(station.queue) * dt
        for unit in station.units:
            if unit.state >= 0:
                meters.state_ms[s][unit.state] += dt
            if unit.state == WORK:
                unit.worked += dt
                unit.on_part += dt
            elif unit.state == SETUP:
                unit.on_setup += dt
            if f.topology.clocks[s]:
                _grow_older(f, s, unit, dt)
    for k, stock in enumerate(state.stocks):
        meters.hand_ms[k] += stock.on_hand * dt
        meters.back_ms[k] += stock.backorder * dt
    for d, customer in enumerate(state.demands):
        meters.wait_ms[d] += customer.waiting * dt
    for p, n in enumerate(state.wip):
        meters.wip_ms[p] += n * dt
    state.t = f.t


def _grow_older(f: Floor, s: int, unit: Unit, dt: int) -> None:
    """The clocks of a unit's modes that run in time."""
    for mode in f.topology.plant.stations[s].modes:
        runs = unit.state == WORK if mode.clock == "odf" else unit.state != DOWN
        if mode.clock in ("odf", "tdf") and runs:
            unit.ages[mode.id] = unit.ages.get(mode.id, 0) + dt


def _remember(state: TwinState, t: int, ends: list[int]) -> None:
    """Keep what was believed at each whole minute that passes before `t`, for forecasts to be scored against."""
    first = -(-state.t // MINUTE_MS)
    last = (t - 1) // MINUTE_MS
    if last < first:
        return
    finished = done(state, ends)
    values = [sum(state.wip), finished, sum(k.backorder for k in state.stocks), *(k.on_hand for k in state.stocks)]
    values += [held(s) for s in state.stations] + [s.ended for s in state.stations]
    for minute in range(max(first, last - REMEMBERED + 1), last + 1):
        state.history.append([minute * MINUTE_MS, *values])
    del state.history[:-REMEMBERED]


def _settle(f: Floor) -> None:
    """The end of a moment: everything of that moment has been seen, so bounds must hold."""
    state = f.state
    for s, station in enumerate(state.stations):
        for u, unit in enumerate(station.units):
            if unit.parts and unit.ended == f.t:
                moves.spare(f, s, u)
        if station.refill:
            reconcile.refill(f, s)
    reconcile.bound_all(f)
    if f.t:
        hidden.observe(f)


def _reading(f: Floor, obs: Obs) -> None:
    """A tag's reading: checked, kept, and believed unless a check forbids."""
    if obs.name in f.topology.signals:
        return  # of a machine's condition (`twin/machines.py`); here only time goes on
    sensor = f.topology.tags.get(obs.name)
    old = f.state.tags.get(obs.name)
    failed = run_checks(sensor, old, Probe(obs.value, obs.stamped, obs.quality, f.state.t))
    if old is None:
        old = f.state.tags[obs.name] = TagState(value=obs.value, t=obs.stamped, n=0, changed=obs.stamped)
    old.n += 1
    for name in failed:
        old.failed[name] = old.failed.get(name, 0) + 1
    if obs.stamped < old.t:
        count(f.state, "history_only")
        return
    old.flag = failed[0] if failed else ""
    old.quality, old.t = obs.quality, obs.stamped
    if REFUSED.intersection(failed):
        count(f.state, "not_believed")
        return
    old.same = old.same + 1 if obs.value == old.value else 1
    if obs.value != old.value:
        old.value, old.changed = obs.value, obs.stamped
    if sensor is None:
        _control(f, obs)
    elif sensor.type == "counter":
        if obs.name in f.topology.counters:
            _counter(f, obs)
    else:
        _value(f, obs)


def _control(f: Floor, obs: Obs) -> None:
    if obs.name == "mode":
        f.state.mode = "manual" if obs.value else "auto"
    elif obs.name.startswith("set/") and obs.name[4:] in f.state.controls:
        if f.state.controls[obs.name[4:]] != int(obs.value):
            f.state.control_t[obs.name[4:]] = f.t
        f.state.controls[obs.name[4:]] = int(obs.value)


def _counter(f: Floor, obs: Obs) -> None:
    sensor = f.topology.tags[obs.name]
    n, known = delta(f, obs.name, int(obs.value), 0)
    s = f.topology.station.get(sensor.thing)
    if n < 0:
        for station in f.state.stations:
            station.suspect = True
        return
    if s is not None:
        _station_counter(f, s, obs.name, n)
    elif sensor.thing in f.topology.product and sensor.property == "in":
        f.state.channels.setdefault(f"=in/{sensor.thing}", Channel(last=0, t=f.t)).last += n
        p = f.topology.product[sensor.thing]
        if known:
            moves.released_before(f, p, known)
        for _ in range(n):
            moves.join(f, moves.release(f, p, seen=True), 0)
    elif sensor.property == "demand":
        _asked(f, sensor.thing, n)


def _asked(f: Floor, thing: str, n: int) -> None:
    """A counter of a customer, or of a stock, says that `n` more units were asked for."""
    d = f.topology.demand.get(thing)
    k = f.topology.stock.get(thing, -1)
    if d is None and k >= 0 and len(f.topology.claims[k]) == 1:
        (d,) = f.topology.claims[k]
    if d is not None:
        f.state.demands[d].counted = True
        supply.demand(f.topology, f.state, d, n)
    elif k >= 0 and not all(f.state.demands[i].counted for i in f.topology.claims[k]):
        supply.demand_at(f.topology, f.state, k, n)


def _station_counter(f: Floor, s: int, tag: str, n: int) -> None:
    sensor = f.topology.tags[tag]
    product = f.topology.product.get(sensor.product) if sensor.product else None
    product = product if any(p == product for p, _ in f.topology.into[s]) else None
    unit = sensor.unit - 1 if sensor.unit is not None else None
    if n and f.state.stations[s].events:
        count(f.state, "healed_by_counter", n)
        doubt(f, s)
    if sensor.property == "out":
        ends(f, s, unit, product, n)
        f.state.stations[s].refill = n > 0 and not f.state.stations[s].events
    elif sensor.property == "in":
        for _ in range(n):
            free = floor.free_units(f, s)
            moves.start(f, s, unit if unit is not None else free[0] if free else busy_unit(f, s, product), product)
    elif sensor.property == "scrap":
        for _ in range(n):
            moves.scrap(f, s, product, unit)


def _value(f: Floor, obs: Obs) -> None:
    sensor = f.topology.tags[obs.name]
    value = int(obs.value)
    s = f.topology.station.get(sensor.thing, f.topology.buffers.get(sensor.thing))
    if s is not None and sensor.property == "state":
        _state(f, s, sensor.unit, value)
    elif s is not None and sensor.property == "level":
        reconcile.level(f, s, value, obs.name)
    elif sensor.thing in f.topology.stock:
        what = "on_hand" if sensor.property == "level" else sensor.property
        if what in ("on_hand", "backorder", "on_order"):
            k = f.topology.stock[sensor.thing]
            f.state.stocks[k].by_sensor |= what == "on_hand"
            _stock(f, k, what, value, obs.stamped)
    elif sensor.thing in f.topology.demand and sensor.property == "backorder":
        supply.owed_to(f.topology, f.state, f.topology.demand[sensor.thing], value)


def _stock(f: Floor, k: int, what: str, value: int, t: int) -> None:
    """A stock's sensor, or a person, says what is on hand, owed or on order."""
    stock = f.state.stocks[k]
    if what == "backorder":
        supply.backordered(f.topology, f.state, k, value)
    elif what == "on_order":
        stock.on_order = value
    else:
        stock.grown = f.t if value > stock.on_hand else stock.grown
        stock.on_hand = value
    stock.measured_t[what] = t


def _state(f: Floor, s: int, unit: int | None, code: int) -> None:
    units = f.state.stations[s].units
    if unit is not None or len(units) == 1:
        if (unit or 1) <= len(units):
            reconcile.unit_state(f, s, (unit or 1) - 1, code)
    elif code not in (1, 2, 4, 5):  # one sensor for several units: only "none of them works" speaks for each
        for u in range(len(units)):
            reconcile.unit_state(f, s, u, code)


def _manual(f: Floor, obs: Obs) -> None:
    """A count by a person: believed as far as its spread goes."""
    thing, _, what = obs.name.rpartition("/")
    sd, role = float(obs.body["sd"]), str(obs.body["role"])
    f.state.manual[obs.name] = Manual(value=obs.value, sd=sd, t=f.t, role=role)
    s = f.topology.station.get(thing, f.topology.buffers.get(thing))
    if what in byhand.ACTS:
        if not byhand.act(f, thing, what, max(round(obs.value), 0), str(obs.body.get("to", ""))):
            count(f.state, "manual_unknown")
    elif s is not None and what in ("level", "queue"):
        by = round(obs.value) - len(f.state.stations[s].queue)
        if abs(by) > sd:
            reconcile.correct(f, s, by)
            f.state.stations[s].misses = 0
    elif thing in f.topology.stock and what in ("on_hand", "backorder", "on_order"):
        k = f.topology.stock[thing]
        known = getattr(f.state.stocks[k], what)
        _stock(f, k, what, max(round(obs.value), 0) if abs(obs.value - known) > sd else known, f.t)
    elif what == "refit":
        made = Refit(value=obs.value, sd=sd, t=f.t, role=role, text=str(obs.body.get("text", "")))
        byhand.refit(f.state, thing, made)
    elif what != "output" or (thing not in f.topology.product and thing != f.topology.plant.line):
        count(f.state, "manual_unknown")  # an output that is booked is kept, and taken by `twin/shiftbook.py`


def _command(f: Floor, obs: Obs) -> None:
    if obs.name == "cmd":
        command = f.state.commands.setdefault(obs.body["id"], Command())
        command.target, command.value, command.t = obs.body["target"], obs.body["value"], f.t
        command.step = command.step or "journalled"
        return
    ack = msgspec.convert(obs.body, CmdAck)
    command = f.state.commands.setdefault(ack.id, Command())
    steps = ("", "journalled", "received", "accepted", "executed", "rejected", "lease_ended")
    if steps.index(ack.step) >= steps.index(command.step):
        command.step, command.reason, command.t = ack.step, ack.reason or command.reason, f.t
    if ack.read_back is not None:
        command.read_back = ack.read_back
