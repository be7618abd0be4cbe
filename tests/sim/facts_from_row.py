"""Test helper: what an all-seeing observer would report about a kernel row."""

from __future__ import annotations

from collections.abc import Iterator

from sim.compile import Compiled
from sim.facts import Facts, OrderFacts, PartFacts, StockFacts, UnitFacts
from sim.plant import DONE, SCRAP
from sim.state import FREE, HOLDS, IN_SETUP, IN_WORK, INFINITY, UNDRAWN, Array, State

DOING = {FREE: "nothing", IN_SETUP: "setup", IN_WORK: "work", HOLDS: "blocked"}
UP = DOING | {FREE: "free"}


class _Reader:
    def __init__(self, row: Array, compiled: Compiled) -> None:
        self.c, self.state = compiled, State(row, compiled.layout)

    def part(self, i: int) -> PartFacts:
        state = self.state
        at = int(state.part_step[i])
        product = self.c.plant.products[state.part_product[i]].id
        step = {DONE: "done", SCRAP: "scrap"}[at] if at < 0 else self.c.steps[at][1]
        due, target = int(state.part_due[i]), int(state.part_target[i])
        then = {UNDRAWN: "", DONE: "done", SCRAP: "scrap"}.get(target) if target < 0 else self.c.steps[target][1]
        return PartFacts(
            product, step, int(state.part_release[i]), None if due == INFINITY else due, int(state.part_queued[i]),
            then or "",
        )  # fmt: skip

    def chain(self, i: int) -> Iterator[PartFacts]:
        while i >= 0:
            yield self.part(i)
            i = int(self.state.part_next[i])

    def unit(self, u: int) -> UnitFacts:
        state, (station, number) = self.state, self.c.units[u]
        phase, down = int(state.unit_phase[u]), int(state.unit_mode[u])
        parts = tuple(self.chain(int(state.unit_part[u])))
        repair = self.c.slot_index.get(("repair_end", f"{station}/{number}"))
        repaired = 0 if down >= 0 and repair is not None and state.next_time[repair] < INFINITY else None
        modes = next(s.modes for s in self.c.plant.stations if s.id == station)
        family = int(state.unit_family[u])
        return UnitFacts(
            "down" if down >= 0 else UP[phase],
            parts[0] if parts else None,
            since=int(state.unit_asked[u]),
            repaired=repaired,
            parts=parts[1:],
            mode=self.c.clocks[down][2] if down >= 0 else "",
            doing=DOING[phase] if down >= 0 else "",
            due=tuple(m.id for i, m in enumerate(modes) if state.unit_due[u] >> i & 1),
            family=self.c.families[family] if phase in (FREE, HOLDS) and family >= 0 else None,
            level=int(state.unit_level[u]),
        )

    def stock(self, k: int) -> StockFacts:
        state, stock = self.state, self.c.plant.stocks[k]
        orders: dict[str, tuple[OrderFacts, ...]] = {"regular": (), "express": ()}
        owed = {"regular": 0, "express": 0}
        for which in orders:
            lane = self.c.lane_index.get((stock.id, which))
            if lane is not None:
                pairs = zip(state.transit_qty[lane], state.transit_due[lane], strict=True)
                orders[which] = tuple(OrderFacts(int(q), due=int(d)) for q, d in pairs if q > 0)
                owed[which] = int(state.owed[lane])
        return StockFacts(
            int(state.on_hand[k]), int(state.backorders[k]), orders["regular"], orders["express"],
            owed["regular"], int(state.demanded[k] - state.seen[k]),
            tuple(int(v) for v in state.past[k][: stock.window]), owed["express"],
        )  # fmt: skip

    def dates(self, d: int) -> tuple[tuple[int, int], ...]:
        n = int(self.state.ring_len[d])
        pairs = zip(self.state.ring_due[d][:n], self.state.ring_qty[d][:n], strict=True)
        return tuple((int(due), int(q)) for due, q in pairs)


def facts_from_row(row: Array, compiled: Compiled) -> Facts:
    """Everything visible in the row; ages and work done are not known to the row and stay 0."""
    reader = _Reader(row, compiled)
    state, plant = reader.state, compiled.plant
    return Facts(
        state.now,
        {key: reader.unit(u) for u, key in enumerate(compiled.units)},
        {s.id: tuple(reader.chain(int(state.q_head[i]))) for i, s in enumerate(plant.stations)},
        {k.id: reader.stock(i) for i, k in enumerate(plant.stocks)},
        {c.id: int(row[compiled.controls[i]]) for i, c in enumerate(plant.controls)},
        {p.id: int(state.pending[i]) for i, p in enumerate(plant.products)},
        waiting={d.id: int(state.waiting[i]) for i, d in enumerate(plant.demands)},
        dates={d.id: reader.dates(i) for i, d in enumerate(plant.demands)},
        released={p.id: int(state.released[i]) for i, p in enumerate(plant.products)},
        busy={s.id: int(state.busy_until[i]) for i, s in enumerate(plant.suppliers)},
    )
