"""What is believed, in the words of the kernel: `sim.facts.Facts` of a twin state."""

from __future__ import annotations

from dataclasses import dataclass

from sim.compile import Compiled
from sim.distributions import mean
from sim.facts import Facts, OrderFacts, PartFacts, StockFacts, UnitFacts
from sim.plant import DONE, Express, Station, Stock
from twin.floor import Floor
from twin.model import DOWN, LANES, OFF, SETUP, Order, Part, Standing, StockState, TwinState, Unit, standing
from twin.topology import build


def to_tick(compiled: Compiled, t: int) -> int:
    """Tick of plant time `t` (ms); never negative."""
    return max(round((t - compiled.start_ms) / compiled.tick_ms), 0)


def to_facts(compiled: Compiled, state: TwinState) -> Facts:
    """What is believed at `state.t`, as the kernel's facts (ticks and ids)."""
    return _Teller(compiled, state).facts()


@dataclass(slots=True)
class _Lane:
    """What is on its way in one lane, and what the source stock still owes."""

    orders: list[OrderFacts]
    owed: int = 0


class _Teller:
    """One state being told."""

    def __init__(self, compiled: Compiled, state: TwinState) -> None:
        self.c, self.state, self.topology = compiled, state, build(compiled.plant)
        self.tick = to_tick(compiled, state.t)
        self.ready = self.at_suppliers()
        self.waiting = {d.id: state.demands[i].waiting for i, d in enumerate(compiled.plant.demands)}

    def facts(self) -> Facts:
        plant, state = self.c.plant, self.state
        floor = Floor(self.topology, state, state.t)
        units: dict[tuple[str, int], UnitFacts] = {}
        queues: dict[str, tuple[PartFacts, ...]] = {}
        for s, (spec, station) in enumerate(zip(plant.stations, state.stations, strict=True)):
            for u, unit in enumerate(station.units):
                units[spec.id, u + 1] = self.unit(s, unit, spec)
            places = floor.places(s)
            kept = station.queue if places is None else station.queue[:places]
            queues[spec.id] = tuple(self.part(part, queued=True) for part in kept)
        stocks = self.stocks()
        return Facts(
            tick=self.tick,
            units=units,
            queues=queues,
            stocks=stocks,
            controls=dict(state.controls),
            demand_age=self.demand_age(),
            waiting=self.waiting,
            dates=self.dates(),
            released=self.released(),
            busy=self.busy(),
        )

    # --- the floor ------------------------------------------------------------------------------------------------

    def ticks(self, ms: int) -> int:
        return max(round(ms / self.c.tick_ms), 0)

    def part(self, part: Part, *, queued: bool = False) -> PartFacts:
        """A part; one that has ended and waits behind a blocked one may be finished or scrap already."""
        product = self.c.plant.products[part.product]
        step = product.steps[part.step].id if part.step >= 0 else "done" if part.step == DONE else "scrap"
        born = to_tick(self.c, part.born)
        due = None if product.due is None else born + round(mean(product.due))
        joined = min(to_tick(self.c, part.since), self.tick) if queued else None
        return PartFacts(product.id, step, born, due, joined)

    def unit(self, s: int, unit: Unit, spec: Station) -> UnitFacts:
        """A unit with what it holds, what it is at, and how long that has lasted."""
        parts = [self.part(part) for part in unit.parts]
        first, rest = (parts[0], tuple(parts[1:])) if parts else (None, ())
        phase = self.phase(unit)
        down = unit.state == DOWN and bool(spec.modes) and (phase in ("work", "setup") or self.topology.rests[s])
        known = {name: self.age(s, name, n) for name, n in unit.ages.items()}
        setting = phase == "setup"
        before = unit.family if setting and self.is_set_up(unit, spec, unit.family) else ""
        if setting and not before and not self.is_set_up(unit, spec, None):
            phase, setting = "work", False  # the plant file knows no setup for it
        return UnitFacts(
            state="down" if down else phase,
            part=first,
            worked=self.ticks(unit.on_setup if setting else unit.on_part) if parts and phase != "blocked" else 0,
            age=self.ticks(unit.worked),
            since=to_tick(self.c, unit.since),
            repaired=self.ticks(self.state.t - unit.repair) if down and unit.repair else None,
            parts=rest,
            mode=unit.mode if down else "",
            doing="" if not down else "nothing" if phase == "free" else phase,
            ages=known,
            family=self.family(s, unit, spec) if not parts or phase == "blocked" else before or None,
        )

    def phase(self, unit: Unit) -> str:
        """What the unit is at, or was at when it went down or was closed."""
        if not unit.parts:
            return "free"
        if unit.done:
            return "blocked"
        code = unit.was if unit.state in (DOWN, OFF) else unit.state
        return "setup" if code == SETUP else "work"

    def age(self, s: int, mode: str, n: int) -> int:
        """Age of a mode's clock: operations, or ms in ticks."""
        counts = any(m.id == mode and m.clock == "parts" for m in self.c.plant.stations[s].modes)
        return n if counts else self.ticks(n)

    def is_set_up(self, unit: Unit, spec: Station, before: str | None) -> bool:
        """Does the plant file know a setup for the part in hand, from this family (None: from any)?"""
        to = self.topology.family[unit.parts[0].product]
        return any(b == to and before in (None, a) for a, b, _ in spec.setups)

    def family(self, s: int, unit: Unit, spec: Station) -> str | None:
        """What a unit is set up for. Unknown: for what its station made most; before that: nothing, as at the start."""
        if not spec.setups or unit.family:
            return unit.family or None
        ended = self.state.stations[s].ended_of
        made: dict[str, int] = {}
        for p, n in enumerate(ended):
            if n:
                made[self.topology.family[p]] = made.get(self.topology.family[p], 0) + n
        return max(made, key=lambda name: (made[name], name)) if made else None

    def released(self) -> dict[str, int]:
        """Units released so far: what the release counters show, else what was seen."""
        found = {}
        for p, product in enumerate(self.c.plant.products):
            tags = [t for t, s in self.topology.tags.items() if (s.thing, s.property) == (product.id, "in")]
            shown = [self.state.channels[tag].last for tag in tags if tag in self.state.channels]
            found[product.id] = shown[0] if shown else self.state.meters.released[p]
        return found

    # --- supply ---------------------------------------------------------------------------------------------------

    def stocks(self) -> dict[str, StockFacts]:
        """Stocks as the rules allow them: nothing on hand where somebody waits or a shipment is owed."""
        plant, state = self.c.plant, self.state
        hand = {}
        lanes: dict[tuple[str, str], _Lane] = {}
        for k, spec in enumerate(plant.stocks):
            stock = state.stocks[k]
            both = min(stock.on_hand, stock.backorder)  # readings of one moment may overlap
            hand[spec.id] = stock.on_hand - both
            for lane, terms in (("regular", spec), ("express", spec.express)):
                if terms is not None and terms.lead is not None:
                    lanes[spec.id, lane] = self.lane(stock, lane, terms)
        for k, spec in enumerate(plant.stocks):
            for lane, i in self.topology.served[k]:
                if lane:
                    ahead = state.stocks[i].ahead.get(lane, 0)
                    found = lanes[plant.stocks[i].id, lane]
                    sent = min(found.owed, ahead + hand[spec.id])
                    hand[spec.id] -= max(sent - ahead, 0)
                    found.owed -= sent
                    found.orders += [OrderFacts(sent, placed=self.tick)] if sent else []
        most = self.c.layout.sizes["transit"]
        facts = {}
        for k, spec in enumerate(plant.stocks):
            regular, express = (lanes.get((spec.id, lane), _Lane([])) for lane in ("regular", "express"))
            facts[spec.id] = StockFacts(
                hand[spec.id], self.backorders(k), tuple(regular.orders[-most:]), tuple(express.orders[-most:]),
                regular.owed, express_owed=express.owed,
            )  # fmt: skip
        return facts

    def source(self, stock: str, lane: str) -> str:
        spec = self.c.plant.stocks[self.c.stock_index[stock]]
        if lane == "express":
            return "" if spec.express is None else spec.express.source
        return spec.source

    def backorders(self, k: int) -> int:
        """Units owed to customers who wait, brought in line with who they are."""
        plant, stock = self.c.plant, self.state.stocks[k]
        owed = max(stock.backorder - stock.on_hand, 0)
        if not any(plant.demands[d].unmet == "backorder" for d in self.topology.claims[k]):
            return 0
        over = sum(self.waiting[plant.demands[d].id] for d in self.topology.claims[k]) - owed
        for d in self.topology.claims[k]:
            given = min(max(over, 0), self.waiting[plant.demands[d].id])
            self.waiting[plant.demands[d].id] -= given
            over -= given
        return owed

    def lane(self, stock: StockState, lane: str, terms: Stock | Express) -> _Lane:
        """Orders of a lane. What a sensor has on order beyond all documents is in the regular lane, half its lead time
        old, or, from a stock that has nothing, still owed.
        """
        known = [entry for name in LANES for entry in standing(stock, name)]
        surplus = sum(entry.on_way + entry.owed for entry in known) - stock.on_order
        for entry in sorted(known, key=lambda e: e.order.issued):
            if surplus >= entry.on_way + entry.owed:
                surplus -= entry.on_way + entry.owed  # received, its document has not come yet
                known.remove(entry)
        found = _Lane([])
        from_stock = terms.source in self.topology.stock
        for entry in known:
            if entry.order.lane == lane:
                self.order(found, entry)
        if surplus > 0 and lane == "regular":  # sent before the first document came
            found.owed = max(found.owed - surplus, 0)
        if lane == "regular" and surplus < 0:
            if from_stock and not self.state.stocks[self.topology.stock[terms.source]].on_hand:
                found.owed -= surplus
            else:
                assert terms.lead is not None
                found.orders.insert(0, OrderFacts(-surplus, placed=self.tick - round(mean(terms.lead) / 2)))
        return found

    def order(self, lane: _Lane, entry: Standing) -> None:
        """One order: on its way since it was placed (or ready), or shipment by shipment."""
        order = entry.order
        lane.owed += entry.owed
        if not order.from_stock:
            lane.orders.append(OrderFacts(entry.on_way, placed=self.placed(order)))
            return
        come = order.received
        for sent in sorted(order.sent.values(), key=lambda s: s.left):
            left = max(sent.quantity - come, 0)
            come -= sent.quantity - left
            if left:
                lane.orders.append(OrderFacts(left, placed=min(to_tick(self.c, sent.left), self.tick)))

    def placed(self, order: Order) -> int:
        """The tick from which an order's lead time counts: later than now where the supplier is still busy."""
        return self.ready.get(order.doc, min(to_tick(self.c, order.issued), self.tick))

    def at_suppliers(self) -> dict[str, int]:
        """When the open orders at suppliers with limited capacity are ready, by document."""
        found: dict[str, int] = {}
        for supplier in self.c.plant.suppliers:
            at = 0
            for order in self.orders_at(supplier.id) if supplier.unit_ticks else ():
                at = max(to_tick(self.c, order.issued), at) + order.quantity * supplier.unit_ticks
                found[order.doc] = at
        return found

    def orders_at(self, supplier: str) -> list[Order]:
        """Open orders at a supplier, the oldest first."""
        pairs = zip(self.c.plant.stocks, self.state.stocks, strict=True)
        lanes = [(stock, name) for k, stock in pairs for name in LANES if self.source(k.id, name) == supplier]
        orders = [entry.order for stock, name in lanes for entry in standing(stock, name)]
        return sorted(orders, key=lambda o: (o.issued, o.doc))

    def busy(self) -> dict[str, int]:
        """Until when each supplier's capacity is taken."""
        ends = {s.id: max((self.ready[o.doc] for o in self.orders_at(s.id) if o.doc in self.ready), default=0)
                for s in self.c.plant.suppliers}  # fmt: skip
        return {name: at for name, at in ends.items() if at}

    # --- customers ------------------------------------------------------------------------------------------------

    def demand_age(self) -> dict[str, int]:
        ages = {}
        for i, demand in enumerate(self.c.plant.demands):
            customer = self.state.demands[i]
            if customer.counted:
                ages[demand.id] = max(self.tick - to_tick(self.c, customer.last or self.state.started), 0)
        return ages

    def dates(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """When the waiting units of each customer are promised, the oldest first."""
        found = {}
        for i, demand in enumerate(self.c.plant.demands):
            left, pairs = self.waiting[demand.id], []
            for at, n in reversed(self.state.demands[i].dates):
                if demand.due is not None and left > 0:
                    pairs.append((to_tick(self.c, at) + demand.due, min(n, left)))
                    left -= n
            found[demand.id] = tuple(reversed(pairs))
        return found
