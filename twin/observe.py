"""One observation applied to the believed floor: readings, events, documents, counts by hand, ticks."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.payloads import CmdAck, Event, Supply
from twin import floor, reconcile, supply
from twin.check import REFUSED, Probe, run_checks
from twin.floor import Floor
from twin.model import WORK, Channel, Command, Manual, TagState, TwinState, count
from twin.topology import Topology, event_counter

RELEASE, END, SCRAPPED, START, SUPPLY, COUNTER, VALUE, MANUAL, COMMAND, TICK = range(10)
"""Rank of observations of one moment: what happened comes in the order in which it can happen (a part is released or
ends before it starts elsewhere), then what it led to; ticks come last. Sources share no order but time."""
EVENTS = (END, SCRAPPED, START)
MOST = 500
"""More parts than this in one step of a counter are not believed to have been missed (the counter was reset)."""
MINUTE_MS = 60_000
REMEMBERED = 240
"""Minutes of history kept in the state."""


class Obs(msgspec.Struct):
    """One thing observed at plant time `t`; `key` orders those of one moment. `stamped` is the time it carried
    (it differs from `t` only when it came too late to be put in its place).
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

    @property
    def key(self) -> tuple[int, int, str, int, int, str]:
        return (self.t, self.rank, self.source, self.s, self.k, self.name)


def apply_observation(topology: Topology, state: TwinState, obs: Obs) -> None:
    """Change `state` by one observation. Times never run backwards: `obs.t` >= `state.t`."""
    f = Floor(topology, state, max(obs.t, state.t))
    if f.t > state.t:
        _advance(f)
    if obs.rank == TICK:
        reconcile.tick(f)
    elif obs.rank in EVENTS:
        _event(f, obs)
    elif obs.rank in (RELEASE, COUNTER, VALUE):
        _reading(f, obs)
    elif obs.rank == SUPPLY:
        supply.document(topology, state, msgspec.convert(obs.body, Supply), f.t)
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
    _remember(state, f.t)
    for s, station in enumerate(state.stations):
        meters.queue_ms[s] += len(station.queue) * dt
        for unit in station.units:
            if unit.state >= 0:
                meters.state_ms[s][unit.state] += dt
            if unit.state == WORK:
                unit.worked += dt
                unit.on_part += dt
    for k, stock in enumerate(state.stocks):
        meters.hand_ms[k] += stock.on_hand * dt
        meters.back_ms[k] += stock.backorder * dt
    for p, n in enumerate(state.wip):
        meters.wip_ms[p] += n * dt
    state.t = f.t


def _remember(state: TwinState, t: int) -> None:
    """Keep what was believed at each whole minute that passes before `t`, for forecasts to be scored against."""
    first = -(-state.t // MINUTE_MS)
    last = (t - 1) // MINUTE_MS
    if last < first:
        return
    finished = sum(state.meters.finished)
    values = [sum(state.wip), finished, sum(k.backorder for k in state.stocks), *(k.on_hand for k in state.stocks)]
    for minute in range(max(first, last - REMEMBERED + 1), last + 1):
        state.history.append([minute * MINUTE_MS, *values])
    del state.history[:-REMEMBERED]


def _settle(f: Floor) -> None:
    """The end of a moment: everything of that moment has been seen, so bounds must hold."""
    state = f.state
    for s, station in enumerate(state.stations):
        if station.refill:
            station.refill = False
            for u, unit in enumerate(station.units):
                if unit.said == WORK and unit.part is None:
                    floor.start(f, s, u, None)
                    unit.assumed = True
    reconcile.bound_all(f)


def _delta(f: Floor, key: str, value: int, first: int) -> int:
    """How many a cumulative count has gone up (`first` when it is new); a drop or a leap is a reset and counts
    nothing.
    """
    channel = f.state.channels.get(key)
    if channel is None:
        f.state.channels[key] = Channel(last=value, t=f.t)
        return first
    delta, channel.last, channel.t = value - channel.last, value, f.t
    if 0 <= delta <= MOST:
        return delta
    channel.resets += 1
    count(f.state, "counter_resets")
    return -1


def _event(f: Floor, obs: Obs) -> None:
    event = msgspec.convert(obs.body, Event)
    s = f.topology.station.get(event.thing)
    if s is None:
        count(f.state, "event_unknown_thing")
        return
    station = f.state.stations[s]
    u = (event.unit or 1) - 1
    if u >= len(station.units):
        count(f.state, "event_unknown_unit")
        return
    product = f.topology.product.get(event.product) if event.product else None
    if event.kind in ("down", "up") or (event.kind == "state" and event.state == "down"):
        _failure(f, s, u, event)
    elif event.kind in ("work_start", "work_end", "scrap"):
        _work(f, s, u, event, product)
    elif event.kind not in ("state", "alarm"):
        count(f.state, f"event_{event.kind}")


def _failure(f: Floor, s: int, u: int, event: Event) -> None:
    unit = f.state.stations[s].units[u]
    if event.kind == "up":
        unit.worked, unit.age_known = 0, True
        floor.set_state(f, s, u, WORK)
        return
    if event.count is None or _delta(f, f"@{event.thing}/down", event.count, 1) != 0:
        f.state.stations[s].failures += 1
    if unit.part is None or unit.done:
        floor.start(f, s, u, None)
    floor.set_state(f, s, u, 5)


def _work(f: Floor, s: int, u: int, event: Event, product: int | None) -> None:
    station = f.state.stations[s]
    tag = event_counter(f.topology, event.thing, event.kind, event.unit, event.product)
    n = 1 if event.count is None else _delta(f, tag or f"@{event.thing}/{event.kind}", event.count, 1)
    if n == 0:
        count(f.state, "events_already_counted")
        return
    if n != 1:
        _doubt(f, s)
        count(f.state, "lost_events", max(n - 1, 0))
    if event.kind == "work_start":
        station.events = True
        floor.start(f, s, u, product)
        station.units[u].assumed = False
    elif event.kind == "scrap":
        floor.scrap(f, s, product)
    else:
        floor.end(f, s, u, product)
        if n > 1:
            _ends(f, s, None, product, n - 1)
    station.units[u].odd = 0


def _doubt(f: Floor, s: int) -> None:
    """Something at `s` was missed: the next level readings there and downstream are believed."""
    f.state.stations[s].suspect = True
    for d, feeds in enumerate(f.topology.feeds):
        if s in feeds:
            f.state.stations[d].suspect = True


def _ends(f: Floor, s: int, u: int | None, product: int | None, n: int) -> None:
    """`n` parts ended at `s`, as a counter says."""
    for _ in range(n):
        floor.end(f, s, _busy_unit(f, s, product) if u is None else u, product)


def _busy_unit(f: Floor, s: int, product: int | None) -> int:
    """The unit that most likely ended: of the product, working, started first."""
    units = f.state.stations[s].units

    def order(u: int) -> tuple[bool, bool, bool, int, int]:
        unit = units[u]
        busy = unit.part is not None and not unit.done
        fits = unit.part is not None and product in (None, unit.part.product)
        return (not busy, not fits, unit.said != WORK, unit.started, u)

    return min(range(len(units)), key=order)


def _reading(f: Floor, obs: Obs) -> None:
    """A tag's reading: checked, kept, and believed unless a check forbids."""
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
    n = _delta(f, obs.name, int(obs.value), 0)
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
        for _ in range(n):
            floor.join(f, floor.release(f, p, seen=True), 0)
    elif sensor.property == "demand":
        k = f.topology.demand_stock.get(sensor.thing, f.topology.stock.get(sensor.thing, -1))
        if k >= 0:
            f.state.channels.setdefault(f"=demand/{k}", Channel(last=0, t=f.t)).t = f.t
            plant = f.topology.plant
            waits = any(d.stock == plant.stocks[k].id and d.unmet == "backorder" for d in plant.demands)
            supply.demand(f.state.stocks[k], n, waits=waits)


def _station_counter(f: Floor, s: int, tag: str, n: int) -> None:
    sensor = f.topology.tags[tag]
    product = f.topology.product.get(sensor.product) if sensor.product else None
    unit = sensor.unit - 1 if sensor.unit is not None else None
    if n and f.state.stations[s].events:
        count(f.state, "healed_by_counter", n)
        _doubt(f, s)
    if sensor.property == "out":
        _ends(f, s, unit, product, n)
        f.state.stations[s].refill = n > 0 and not f.state.stations[s].events
    elif sensor.property == "in":
        for _ in range(n):
            free = floor.free_units(f, s)
            floor.start(f, s, unit if unit is not None else free[0] if free else _busy_unit(f, s, product), product)
    elif sensor.property == "scrap":
        for _ in range(n):
            floor.scrap(f, s, product)


def _value(f: Floor, obs: Obs) -> None:
    sensor = f.topology.tags[obs.name]
    value = int(obs.value)
    s = f.topology.station.get(sensor.thing, f.topology.buffers.get(sensor.thing))
    if s is not None and sensor.property == "state":
        _state(f, s, sensor.unit, value)
    elif s is not None and sensor.property == "level":
        reconcile.level(f, s, value, obs.name)
    elif sensor.thing in f.topology.stock:
        stock = f.state.stocks[f.topology.stock[sensor.thing]]
        what = "on_hand" if sensor.property == "level" else sensor.property
        if what in ("on_hand", "backorder", "on_order"):
            setattr(stock, what, value)
            stock.measured_t[what] = obs.stamped


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
    if s is not None and what in ("level", "queue"):
        by = round(obs.value) - len(f.state.stations[s].queue)
        if abs(by) > sd:
            reconcile.correct(f, s, by)
            f.state.stations[s].misses = 0
    elif thing in f.topology.stock and what in ("on_hand", "backorder", "on_order"):
        stock = f.state.stocks[f.topology.stock[thing]]
        if abs(obs.value - getattr(stock, what)) > sd:
            setattr(stock, what, max(round(obs.value), 0))
        stock.measured_t[what] = f.t
    else:
        count(f.state, "manual_unknown")


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
