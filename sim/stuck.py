"""Deadlock of a running model: which parts wait for what, when none of them can ever move again.

`sim.deadlock` finds loops of a plant file that may lock; this module looks at one row. It begins with everything that
waits (units with ended parts before a door, stations whose queue has no part that could start) and takes out, until
nothing changes, what something else in the plant can still set free: work under way, a repair, an opening, a delivery,
an order, a release. What is left waits for itself. Wherever it is in doubt something counts as able to move, so that
no plant is called stuck that is not; one that is may be missed while it still expects orders or deliveries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.compile import Compiled
from sim.plant import Product, Station, Stock
from sim.state import FREE, HOLDS, IN_SETUP, IN_WORK, NO_LIMIT, UNDRAWN, Array, State


@dataclass(frozen=True, slots=True)
class Wait:
    """`who` holds parts (`holds`) at `station` and waits for `what`; `on`: the stations where that is decided."""

    station: str
    who: str
    holds: str
    what: str
    on: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.who} holds {self.holds} and waits for {self.what}"


class Stuck:
    """What is stuck in one row int64[W] at rest; `waits` is empty where everything can still move."""

    def __init__(self, row: Array, compiled: Compiled) -> None:
        self.state = State(row, compiled.layout)
        self.compiled = compiled
        self.plant = compiled.plant
        self.stations = {s.id: i for i, s in enumerate(self.plant.stations)}
        self.units: list[list[int]] = [[] for _ in self.plant.stations]
        for u, (name, _) in enumerate(compiled.units):
            self.units[self.stations[name]].append(u)
        self.queues = [self._chain(int(head)) for head in self.state.q_head]
        self.dead_units = {u for u, phase in enumerate(self.state.unit_phase) if phase == HOLDS}
        self.dead_starts = {s for s in range(len(self.queues)) if self._waits_to_start(s)}
        self._asking: set[str] = set()
        self._reduce()

    @property
    def waits(self) -> list[Wait]:
        """Everything that can never move again, in the order of stations."""
        found = [self._wait_of_unit(u) for u in sorted(self.dead_units)]
        found += [self._wait_of_start(s) for s in sorted(self.dead_starts)]
        return sorted(found, key=lambda wait: self.stations[wait.station])

    def cycle(self) -> list[str]:
        """Stations that wait for each other, the first again at the end; empty where there is no such circle."""
        after: dict[str, list[str]] = {}
        for wait in self.waits:
            after.setdefault(wait.station, []).extend(wait.on)
        for start in after:
            found = _path_back(after, start)
            if found:
                return found
        return []

    # --- what can still move

    def _reduce(self) -> None:
        changed = True
        while changed:
            free_units = {u for u in self.dead_units if self._gets_room(u)}
            free_starts = {s for s in self.dead_starts if any(self._may_start(s, part) for part in self.queues[s])}
            self.dead_units -= free_units
            self.dead_starts -= free_starts
            changed = bool(free_units or free_starts)

    def _chain(self, part: int) -> list[int]:
        found = []
        while part >= 0:
            found.append(part)
            part = int(self.state.part_next[part])
        return found

    def _waits_to_start(self, s: int) -> bool:
        """Has station `s` a unit without a part (down and closed ones too) and parts before it?"""
        return bool(self.queues[s]) and any(self.state.unit_phase[u] == FREE for u in self.units[s])

    def _moves(self, s: int) -> bool:
        """May a part ever leave station `s` or begin there?"""
        phases = self.state.unit_phase
        return any(
            phases[u] in (IN_SETUP, IN_WORK)
            or (phases[u] == HOLDS and u not in self.dead_units)
            or (phases[u] == FREE and s not in self.dead_starts)
            for u in self.units[s]
        )

    def _takes(self, s: int) -> bool:
        """Has station `s` room for one more part, now or later?"""
        station, state = self.plant.stations[s], self.state
        here = int(state.q_len[s] + state.st_reserved[s])
        room = station.capacity < 0 or here < station.capacity + state.st_free[s]
        inside = here + sum(int(state.unit_count[u]) for u in self.units[s])
        return bool(room and inside < state.kanban[s]) or self._moves(s)

    def _eligible(self, step: int) -> list[int]:
        """Stations of a global step."""
        product, name = self.compiled.steps[step]
        spec = self.plant.products[self.compiled.product_index[product]]
        return [self.stations[k] for k, _ in next(x for x in spec.steps if x.id == name).eligible]

    def _gets_room(self, u: int) -> bool:
        step = int(self.state.part_step[self.state.unit_part[u]])
        return step < 0 or any(self._takes(s) for s in self._eligible(step))

    def _may_start(self, s: int, part: int) -> bool:
        return not any(True for _ in self._lacks(s, part))

    def _lacks(self, s: int, part: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What a part in the queue of `s` lacks and will not get: in words, and the stations it would come from."""
        state, station = self.state, self.plant.stations[s]
        product = self.plant.products[state.part_product[part]]
        for name, n in self._needs(product, part):
            stock = self.compiled.stock_index[name]
            if state.on_hand[stock] < n and not self._comes(name):
                yield f"{n} {name} ({state.on_hand[stock]} on hand)", self._makers(name)
        batch, here = station.batch, self._alike(s, part)
        if batch is not None and batch.wait is None and here < batch.least and not self._more_come():
            yield f"{batch.least} parts of one {batch.by}, of which {here} are here", ()
        if station.operators is not None:
            pool, n = station.operators
            there = int(state.pool_free[[p.id for p in self.plant.pools].index(pool)])
            if there < n and not self._returns(pool):
                yield f"{n} of {pool} ({there} free)", ()
        target = int(state.part_target[part])
        if target != UNDRAWN and target >= 0 and not any(self._takes(d) for d in self._eligible(target)):
            names = tuple(self.plant.stations[d].id for d in self._eligible(target))
            yield f"room at {' or '.join(names)}", names

    def _needs(self, product: Product, part: int) -> list[tuple[str, int]]:
        name = self.compiled.steps[self.state.part_step[part]][1]
        step = next(step for step in product.steps if step.id == name)
        return [(stock, n * product.transfer) for stock, n in step.needs]

    def _alike(self, s: int, part: int) -> int:
        """Parts in the queue with the batch key of this one."""
        products, by = self.plant.products, getattr(self.plant.stations[s].batch, "by", "any")

        def key(p: Product) -> str:
            return {"family": p.family or p.id, "product": p.id, "any": ""}[by]

        mine = key(products[self.state.part_product[part]])
        return sum(key(products[self.state.part_product[other]]) == mine for other in self.queues[s])

    def _returns(self, pool: str) -> bool:
        """Does anybody work who belongs to the pool?"""
        users = [i for i, s in enumerate(self.plant.stations) if s.operators is not None and s.operators[0] == pool]
        return any(self.state.unit_phase[u] in (IN_SETUP, IN_WORK) for s in users for u in self.units[s])

    def _more_come(self) -> bool:
        """May any part in the plant still move, or any product be released?"""
        return any(self._made(product) for product in self.plant.products)

    # --- supply and release

    def _comes(self, name: str) -> bool:
        """May stock `name` ever get more?"""
        k = self.compiled.stock_index[name]
        stock: Stock = self.plant.stocks[k]
        if stock.source == "line":
            return any(p.id == stock.item and self._made(p) for p in self.plant.products)
        lanes = [i for i, (owner, _) in enumerate(self.compiled.lanes) if owner == name]
        if any(self.state.lane_order[lane] > self.state.owed[lane] for lane in lanes):
            return True
        if any(self.state.owed[lane] for lane in lanes):
            if stock.vehicle and stock.source not in self.compiled.stock_index:
                return True
            sources = [stock.source, *([stock.express.source] if stock.express else [])]
            return any(source in self.compiled.stock_index and self._comes(source) for source in sources)
        asked = any(d.stock == name for d in self.plant.demands)
        return stock.review is not None or asked or bool(self.state.on_hand[k] > 0)

    def _made(self, product: Product) -> bool:
        """May a part of the product still move, or one be released? (Within itself the question counts as no.)"""
        if product.id in self._asking:
            return False
        self._asking.add(product.id)
        try:
            return self._any_moves([product]) or self._released(product)
        finally:
            self._asking.discard(product.id)

    def _any_moves(self, products: list[Product]) -> bool:
        """Is a part of these products in work, or where something moves?"""
        state = self.state
        numbers = {self.compiled.product_index[p.id] for p in products}
        for u, head in enumerate(state.unit_part):
            if u not in self.dead_units and any(state.part_product[i] in numbers for i in self._chain(int(head))):
                return True
        moving = [queue for s, queue in enumerate(self.queues) if self._moves(s)]
        return any(state.part_product[i] in numbers for queue in moving for i in queue)

    def _released(self, product: Product) -> bool:
        """May a part of the product ever be released?"""
        state, p = self.state, self.compiled.product_index[product.id]
        if not any(self._takes(self.stations[s]) for s, _ in product.steps[0].eligible):
            return False
        for name, n in product.release.consumes:
            if state.on_hand[self.compiled.stock_index[name]] < n * product.lot and not self._comes(name):
                return False
        if product.release.policy != "conwip":
            return product.release.policy != "orders" or bool(
                state.pending[p] > 0 or state.order_at[p] < len(product.release.orders)
            )
        mates = [product]
        full = state.wip[p] + product.lot > state.cap[p]
        for g, group in enumerate(self.plant.groups):
            if product.id in dict(group.mix):
                mates = [x for x in self.plant.products if x.id in dict(group.mix)]
                full = full or state.group_wip[g] + product.lot > state.group_cap[g]
        if full:
            return self._any_moves(mates)
        filled = next((k for k in self.plant.stocks if k.source == "line" and k.item == product.id), None)
        if filled is None or state.base_stock[p] < 0:
            return True
        k = self.compiled.stock_index[filled.id]
        short = state.on_hand[k] - state.backorders[k] + state.wip[p] < state.base_stock[p]
        return bool(short) or any(d.stock == filled.id for d in self.plant.demands)

    def _makers(self, name: str) -> tuple[str, ...]:
        """Stations where dead parts stand whose product fills the stock, or where it begins."""
        stock = self.plant.stocks[self.compiled.stock_index[name]]
        for p in self.plant.products:
            if stock.source == "line" and p.id == stock.item:
                number, of = self.compiled.product_index[p.id], self.state.part_product
                dead = sorted(self.dead_units)
                places = [self.compiled.units[u][0] for u in dead if of[self.state.unit_part[u]] == number]
                queues = zip(self.plant.stations, self.queues, strict=True)
                places += [s.id for s, queue in queues if any(of[i] == number for i in queue)]
                return tuple(dict.fromkeys(places)) or tuple(s for s, _ in p.steps[0].eligible)
        return ()

    # --- in words

    def _parts(self, parts: list[int]) -> str:
        names = [self.plant.products[self.state.part_product[i]].id for i in parts]
        counted = [f"{names.count(name)} of {name}" for name in dict.fromkeys(names)]
        return ("part" if len(parts) == 1 else "parts") + " (" + ", ".join(counted) + ")"

    def _wait_of_unit(self, u: int) -> Wait:
        name, number = self.compiled.units[u]
        parts = self._chain(int(self.state.unit_part[u]))
        doors = [self.plant.stations[s] for s in self._eligible(int(self.state.part_step[parts[0]]))]
        rooms = " or ".join(f"{s.id} ({self._fill(s)})" for s in doors)
        return Wait(name, f"unit {name}/{number}", self._parts(parts), f"room at {rooms}", tuple(s.id for s in doors))

    def _fill(self, station: Station) -> str:
        s, state = self.stations[station.id], self.state
        text = f"{state.q_len[s]} in its queue" + ("" if station.capacity < 0 else f" of {station.capacity}")
        return text + ("" if state.kanban[s] >= NO_LIMIT else f", kanban {state.kanban[s]}")

    def _wait_of_start(self, s: int) -> Wait:
        station, lacks = self.plant.stations[s], dict[str, tuple[str, ...]]()
        for part in self.queues[s]:
            lacks.update(self._lacks(s, part))
        on = tuple(dict.fromkeys(name for names in lacks.values() for name in names))
        return Wait(station.id, f"station {station.id}", self._parts(self.queues[s]), " and ".join(lacks), on)


def _path_back(after: dict[str, list[str]], start: str) -> list[str]:
    """A shortest way from `start` over `after` back to it, both ends included; empty where there is none."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for name in after.get(way[-1], []):
            if name == start:
                return [*way, start]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def explain(row: Array, compiled: Compiled) -> str:
    """Which parts of a row [W] wait for what and can never move again, a line each; "" where everything can."""
    stuck = Stuck(row, compiled)
    waits = stuck.waits
    circle = stuck.cycle()
    lines = [f"  {wait}" for wait in waits]
    lines += [f"  they wait for each other: {' -> '.join(circle)}"] if circle else []
    return "\n".join(lines)


def first_stuck(rows: Array, compiled: Compiled, most: int = 64) -> tuple[int, int, str]:
    """Of the first `most` replicas with something that waits in rows [R, W]: (how many of them are stuck, how many were
    looked at, in words what the first of the stuck ones waits for).
    """
    layout = compiled.layout
    holding = (layout.view(rows, "unit_phase") == HOLDS).any(axis=-1)
    queued = (layout.view(rows, "q_len") > 0).any(axis=-1)
    looked = np.flatnonzero(holding | queued)[:most]
    texts = [(int(rows[r, layout.at("replica")]), explain(rows[r], compiled)) for r in looked]
    bad = [(replica, text) for replica, text in texts if text]
    told = f"replica {bad[0][0]}:\n{bad[0][1]}" if bad else ""
    return len(bad), len(looked), told
