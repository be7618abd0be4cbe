"""Collecting what calibration rests on: a pure fold over what can no longer be preceded by anything.

The tracker hands over each observation when it leaves the lateness window, in the order of event time, together with
what was believed just before it. So nothing here is ever taken back: readings that came late, within the window, are
already in their place, and statistics need no copies. The price is that they lag by the window (five minutes).

Events count: a unit's start, setup, failure, repair and end as they were told; where no start is told, states
and counted ends (`twin/stated.py`). What a lost message leaves open
ends as censored at the last moment before the loss (throwing the span away would favour short ones).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.codes import GOOD
from ingest.payloads import Event, Supply
from sim.facts_supply import mean_quantity
from sim.plant import SCRAP, Mode
from twin import stated, stops
from twin.crews import mode_of
from twin.drift import divided
from twin.hours import Hours
from twin.learned import ABANDONED, Learned, Numbers, OpenUnit
from twin.model import LANES, WORK, TwinState
from twin.observe import COUNTER, END, EVENTS, SUPPLY, TICK, VALUE, Obs, apply_observation
from twin.shiftplan import KEPT_SLOTS, SLOT_MS
from twin.topology import Topology
from twin.transit import find_stock

if TYPE_CHECKING:
    from collections.abc import Iterable


class Learner:
    """The fold. `learned` is what is known so far; `take` applies an observation to the settled state as well."""

    def __init__(self, topology: Topology, learned: Learned | None = None) -> None:
        self.topology, self.hours = topology, Hours(topology.plant)
        self.learned = Learned() if learned is None else learned
        self._came: dict[str, set[int]] = {}
        if learned is None:  # not: has it no units, as a plant without stations never has
            self.begin_anew()

    def begin_anew(self) -> None:
        """Another plant, or none yet: nothing is known."""
        units = [[OpenUnit() for _ in range(s.units)] for s in self.topology.plant.stations]
        stations = [s.id for s in self.topology.plant.stations]
        self.learned = Learned(forget_ms=self.learned.forget_ms, stations=stations, units=units)
        self.learned.drift.streams = _charts(self.topology)
        self.learned.drift.budget = divided(signals=bool(self.topology.signals)).spans

    def step_back(self) -> None:
        """The clock was put back: what was open is not a span any more."""
        self.learned.units = [[OpenUnit() for _ in units] for units in self.learned.units]
        self.learned.sources.clear()
        self.learned.t = 0

    def begin(self, settled: Iterable[Obs], later: Iterable[Obs]) -> None:
        """Observations will be settled, one `take` each and then `end`; `later` are those known that come after."""
        self._came = {}
        for obs in [*settled, *later]:
            if obs.source and obs.rank != SUPPLY:
                self._came.setdefault(_source(obs), set()).add(obs.s)

    def take(self, state: TwinState, obs: Obs) -> None:
        """Apply an observation to the settled `state`, and learn from it."""
        self._account(state, obs)
        self._silence(state, obs)
        event = msgspec.convert(obs.body, Event) if obs.rank in EVENTS else None
        at = self._unit(event) if event is not None else None
        repair = state.stations[at[0]].units[at[1]].repair if at else 0
        if obs.rank == SUPPLY:
            self._receipt(state, msgspec.convert(obs.body, Supply))
        stood = stops.stood(self.topology, state, obs) if obs.rank in (VALUE, COUNTER) else -1
        apply_observation(self.topology, state, obs)
        if obs.rank == VALUE and obs.quality == GOOD:
            stated.said(self, obs, max(obs.t, 1), max(stood, 0))
        elif obs.rank == COUNTER and obs.quality == GOOD:
            stops.counted(self, state, obs, stood)
        if event is not None and at is not None:
            self.learned.units[at[0]][at[1]].source = obs.source
            self.learned.told[f"{event.thing}/{_kind(event)}"] = True
            self._event(state, at, event, max(obs.t, 1), repair)

    def _silence(self, state: TwinState, obs: Obs) -> None:
        """After a long silence nothing that only states and counts have told is certain."""
        if obs.rank == TICK:
            return
        if self.learned.heard and obs.t - self.learned.heard > stated.QUIET_MS:
            stated.forget(self, state, self.learned.heard)
        self.learned.heard = obs.t
        active, slot = self.learned.active, obs.t // SLOT_MS
        active[slot] = active.get(slot, 0) + (obs.rank == END and obs.body["kind"] == "work_end")
        while len(active) > KEPT_SLOTS:
            del active[next(iter(active))]

    # lost messages ---------------------------------------------------------------------------

    def _account(self, state: TwinState, obs: Obs) -> None:
        """Is anything before this message lost? Then whatever the source told of may have ended unseen."""
        if obs.rank in (SUPPLY, TICK) or not obs.e:
            return
        key = _source(obs)
        known = self.learned.sources.get(key)
        if known is None or abs(obs.s - known.upto) > ABANDONED:
            if len(self.learned.sources) > 64:
                self.learned.sources.clear()
            self.learned.sources[key] = Numbers(obs.s, obs.t)
            self._doubt(state, known.t if known else obs.t, obs.source)
            return
        came = self._came[key]
        lost = sum(s not in came for s in range(known.upto + 1, obs.s))
        if lost:
            self.learned.lost += lost
            self._doubt(state, known.t, obs.source)
        known.upto, known.t = max(known.upto, obs.s), obs.t

    def numbered(self, source: str) -> bool:
        """Do the messages of a source have numbers, so that none is missing unless it is known to be?"""
        return any(key.partition(" ")[0] == source for key in self.learned.sources)

    def _doubt(self, state: TwinState, t: int, source: str) -> None:
        """Everything open that this source tells of is known up to `t` only."""
        for s, units in enumerate(self.learned.units):
            for u, unit in enumerate(units):
                if unit.source != source:
                    continue
                self.pause(s, unit, t)
                if unit.doing and unit.name:
                    self.learned.span(unit.name, t, unit.done, cut=True)
                if unit.down:
                    self._end_repair(s, unit, t, state.stations[s].units[u].repair, cut=True)
                stops.lost(self, s, unit, (t, state.stations[s].units[u].repair))
                self.still_alive(s, unit, t)
                unit.doing, unit.down, unit.alive, unit.state = "", 0, 0, -1
                unit.age = {m.id: 0 if m.clock == "parts" else unit.age.get(m.id, 0) for m in self._modes(s)}
                unit.fresh = {}

    # events ----------------------------------------------------------------------------------

    def _unit(self, event: Event) -> tuple[int, int] | None:
        s, u = self.topology.station.get(event.thing), (event.unit or 1) - 1
        return None if s is None or u >= len(self.learned.units[s]) else (s, u)

    def _event(self, state: TwinState, at: tuple[int, int], event: Event, t: int, repair: int) -> None:
        s, u = at
        unit, kind = self.learned.units[s][u], event.kind
        if kind == "down" or (kind == "state" and event.state == "down"):
            self._down(state, s, u, t)
        elif kind == "up":
            self._up(s, unit, t, repair)
        elif kind == "work_start":
            self._start(s, unit, event, t)
        elif kind == "setup" and unit.doing == "work" and unit.begun == t:
            family = state.stations[s].units[u].family
            unit.doing, unit.name = "setup", f"setup/{event.thing}/{family}/{self._family(event)}"
        elif kind == "setup_end" and unit.doing == "setup":
            self.pause(s, unit, t)
            if family_known(unit.name):
                self.learned.span(unit.name, t, unit.done, cut=False)
            unit.doing, unit.name, unit.done, unit.since = "work", unit.work, 0, t
        elif kind == "work_end":
            self.ended(s, unit, event, t)
        elif kind == "scrap" and not unit.down and unit.ended_t == t and unit.ended:
            self.learned.tally("yield/" + unit.ended).add(t, 1, 0)
            self.learned.made(unit.ended, t, scrap=True)

    def _family(self, event: Event) -> str:
        p = self.topology.product.get(event.product or "")
        return "" if p is None else self.topology.family[p]

    def operation(self, s: int, event: Event) -> str:
        """The STATION/PRODUCT/STEP of an event, "" where it does not say."""
        p = self.topology.product.get(event.product or "")
        if p is None:
            return ""
        steps = [k for q, k in self.topology.into[s] if q == p]
        ids = [self.topology.plant.products[p].steps[k].id for k in steps]
        step = event.step if event.step in ids else ids[0] if len(ids) == 1 and event.step is None else None
        return "" if step is None else f"{event.thing}/{event.product}/{step}"

    def _start(self, s: int, unit: OpenUnit, event: Event, t: int) -> None:
        if unit.doing == "work" and unit.begun == t and unit.starts:
            return  # another part of the same batch
        if not unit.starts:
            stops.run_on(self, s, unit, t)
            unit.ran = 0
            unit.starts, unit.doing = True, ""  # from now on events tell, not states
        name = self.operation(s, event)
        if unit.doing:  # its end was not told, and no number is missing: a source without numbers, or a rewired one
            self.learned.of(unit.name).left_out += 1
        unit.doing, unit.name = ("work", "work/" + name) if name else ("", "")
        unit.work, unit.done, unit.since, unit.begun, unit.down = unit.name, 0, t, t, 0
        unit.alive = unit.alive or t

    def ended(self, s: int, unit: OpenUnit, event: Event, t: int) -> None:
        """An operation has ended at a unit, as an event or a counter (`event` in its words) says."""
        name = self.operation(s, event)
        self.passed(name, t)
        if stated.ended(self, s, unit, name, t, unit_told=event.unit is not None):
            unit.ended, unit.ended_t = name.partition("/")[2], t
            self._one_more(s, unit)
            return
        first = unit.ended_t != t or not unit.ended
        unit.ended, unit.ended_t = name.partition("/")[2], t
        if not unit.doing:
            if first and name:
                self.learned.of("work/" + name).left_out += 1
            return
        batch = self.topology.plant.stations[s].batch is not None
        if unit.down or unit.doing == "setup" or not (batch or unit.name == "work/" + name):
            self.learned.of(unit.name).left_out += 1
            unit.doing, unit.down = "", 0
            return
        self.pause(s, unit, t)
        self.learned.span(unit.name, t, unit.done, cut=False)
        unit.doing = ""
        self._one_more(s, unit)

    def passed(self, operation: str, t: int) -> None:
        """A part has been through an operation ("" none known) that may scrap it."""
        if operation and any(target == SCRAP for target, _ in self._next(operation)):
            self.learned.tally("yield/" + operation.partition("/")[2]).add(t, 0, 1)
            self.learned.made(operation.partition("/")[2], t, scrap=False)

    def _one_more(self, s: int, unit: OpenUnit) -> None:
        for mode in self._modes(s):
            if mode.clock == "parts":
                unit.age[mode.id] = unit.age.get(mode.id, 0) + 1

    def _next(self, operation: str) -> tuple[tuple[int, float], ...]:
        _, product, step = operation.split("/", 2)
        spec = self.topology.plant.products[self.topology.product[product]]
        return next(x.next for x in spec.steps if x.id == step)

    def pause(self, s: int, unit: OpenUnit, t: int) -> None:
        """The running piece of work or setup stands still from `t` on."""
        if not unit.doing or not unit.since:
            return
        spec = self.topology.plant.stations[s]
        calendar = spec.calendar if self.topology.freezes[s] else None
        piece = self.hours.open_ms(calendar, unit.since, t)
        unit.done, unit.since = unit.done + piece, 0
        if unit.doing == "work" and not unit.ran:  # else its state tells how long it has run
            for mode in self._modes(s):
                if mode.clock == "odf":
                    unit.age[mode.id] = unit.age.get(mode.id, 0) + piece

    def still_alive(self, s: int, unit: OpenUnit, t: int) -> None:
        """The unit is not down at `t`: clocks that run whatever it does have run."""
        if unit.alive:
            for mode in self._modes(s):
                if mode.clock == "tdf":
                    unit.age[mode.id] = unit.age.get(mode.id, 0) + max(t - unit.alive, 0)
            unit.alive = t

    def _modes(self, s: int) -> list[Mode]:
        return [m for m in self.topology.plant.stations[s].modes if m.clock in ("odf", "tdf", "parts")]

    def _down(self, state: TwinState, s: int, u: int, t: int) -> None:
        unit, believed = self.learned.units[s][u], state.stations[s].units[u]
        if unit.down:
            return
        self.pause(s, unit, t)
        stops.run_on(self, s, unit, t)
        self.still_alive(s, unit, t)
        unit.ran = 0
        mode = mode_of(self.topology, s, believed)
        unit.down, unit.mode, unit.alive = t, mode.id if mode else "", 0
        if mode is None:
            return
        self.failed(s, unit, mode, t)
        if unit.doing == "work" and mode.part in ("repeats", "scrapped"):
            if unit.name:
                self.learned.span(unit.name, t, unit.done, cut=True)
            unit.done = 0
            if mode.part == "scrapped":
                unit.doing = ""

    def failed(self, s: int, unit: OpenUnit, mode: Mode, t: int) -> None:
        """A unit went down for `mode` at `t`: its exposure ends, and begins anew for what the repair renews."""
        name = f"fail/{self.topology.plant.stations[s].id}/{mode.id}"
        spans = self.learned.of(name)
        memoryless = mode.after is not None and mode.after.kind == "exponential"
        aged = mode.clock != "odf" or unit.age.get(mode.id, 0) > 0  # else nobody has told of its work
        if not mode.planned and aged and (memoryless or unit.fresh.get(mode.id)):
            self.learned.span(name, t, unit.age.get(mode.id, 0), cut=False)
        else:
            spans.left_out += 1
        for renewed in (mode.id, *mode.renews):
            unit.age[renewed], unit.fresh[renewed] = 0, True

    def _up(self, s: int, unit: OpenUnit, t: int, repair: int) -> None:
        if unit.down:
            self._end_repair(s, unit, t, repair, cut=False)
        elif not unit.doing:
            unit.done = 0
        unit.down, unit.alive = 0, t
        unit.ran = t if unit.seen == WORK and not unit.starts else 0
        if unit.doing and not unit.since:
            unit.since = t

    def _end_repair(self, s: int, unit: OpenUnit, t: int, repair: int, *, cut: bool) -> None:
        """`repair`: since when it was worked on (0: not known; with a crew that is left out)."""
        station = self.topology.plant.stations[s]
        mode = next((m for m in station.modes if m.id == unit.mode), None)
        name = f"repair/{station.id}/{unit.mode}"
        begun = unit.down if mode is not None and mode.crew is None else repair
        if mode is None or not begun:
            self.learned.of(name).left_out += 1
        else:
            self.learned.span(name, t, max(t - begun, 0), cut=cut)

    # documents and counts --------------------------------------------------------------------

    def _receipt(self, state: TwinState, doc: Supply) -> None:
        """A goods receipt ends the lead time of its order (or, from another stock, of its only shipment)."""
        k = find_stock(self.topology, doc)
        if doc.kind != "goods_receipt" or k < 0:
            return
        stock, key = state.stocks[k], doc.ref or doc.doc
        order = stock.orders.get(key)
        if key in stock.closed or (order is not None and doc.doc in order.got):
            return
        lane = order.lane if order is not None else LANES[0]
        name = f"lead/{self.topology.plant.stocks[k].id}/{lane}"
        begun = order.issued if order is not None and order.version >= 0 and not order.from_stock else 0
        if order is not None and order.from_stock and len(order.sent) == 1 and not order.got:
            begun = next(iter(order.sent.values())).left
        if not self._timed(k, lane) or begun < max(state.started, 1):
            self.learned.of(name).left_out += 1
        else:
            self.learned.span(name, doc.issued, max(doc.issued - begun, 0), cut=False)

    def _timed(self, k: int, lane: str) -> bool:
        """Is an order's time that of its lead alone? Not where the supplier works orders off one after another."""
        spec = self.topology.plant.stocks[k]
        source = spec.express.source if lane == "express" and spec.express is not None else spec.source
        supplier = next((x for x in self.topology.plant.suppliers if x.id == source), None)
        return supplier is None or not supplier.unit_ticks

    def end(self, state: TwinState) -> None:
        """Counts and exposures since the last time, and the orders that are open now."""
        learned, plant, t = self.learned, self.topology.plant, state.t
        asked = [d.demanded for d in state.demands]
        released = list(state.meters.released)
        if learned.t and learned.t < t and len(learned.asked) == len(asked):
            for d, spec in enumerate(plant.demands):
                if state.demands[d].counted and spec.arrivals is not None and asked[d] >= learned.asked[d]:
                    x = float(self.hours.open_ms(spec.calendar, learned.t, t))
                    x *= spec.season[self.hours.hour_of_week((learned.t + t) // 2)] if spec.season else 1.0
                    n = (asked[d] - learned.asked[d]) / max(mean_quantity(spec.quantity), 1e-9)
                    learned.tally(f"demand/{spec.id}").add(t, n, x)
            for p, product in enumerate(plant.products):
                if product.release.arrivals is not None and f"=in/{product.id}" in state.channels:
                    x = float(self.hours.open_ms(product.release.calendar, learned.t, t))
                    n = (released[p] - learned.released[p]) / product.lot
                    learned.tally(f"arrival/{product.id}").add(t, max(n, 0.0), x)
        learned.t, learned.asked, learned.released = t, asked, released
        learned.open_leads = [
            (f"lead/{plant.stocks[k].id}/{order.lane}", t - order.issued)
            for k, stock in enumerate(state.stocks)
            for order in stock.orders.values()
            if order.version >= 0 and not order.from_stock and order.issued >= state.started
            if self._timed(k, order.lane) and order.issued <= t
        ]
        learned.open_repairs = stops.still_open(self, state)


def _charts(topology: Topology) -> int:
    """How many streams of spans the plant has (setups come as their families meet)."""
    plant = topology.plant
    modes = sum(not m.planned for s in plant.stations for m in s.modes)
    scrap = sum(any(target == SCRAP for target, _ in step.next) for p in plant.products for step in p.steps)
    return sum(len(p.steps) for p in plant.products) + 2 * modes + scrap + len(plant.stocks)


def _kind(event: Event) -> str:
    """An event's kind; a state that says down and the end of a failure count as "down"."""
    return "down" if event.kind == "up" or (event.kind == "state" and event.state == "down") else event.kind


def family_known(name: str) -> bool:
    """Does a setup's name say both families?"""
    parts = name.split("/")
    return len(parts) == 4 and all(parts)


def _source(obs: Obs) -> str:
    return f"{obs.source} {obs.e}"
