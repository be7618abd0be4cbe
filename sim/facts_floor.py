"""Facts of the shop floor: units with what they have in hand, their clocks, repairs, queues, blocked units."""

from __future__ import annotations

import numpy as np

from sim import state as st
from sim.compile import Compiled
from sim.draws import FAIL, ONE, REPAIR, ROUTE, SETUP, WEAR, WORK
from sim.factsheet import Facts, FactsError, PartFacts, UnitFacts
from sim.plant import DONE, SCRAP, Mode
from sim.plant import Station as StationSpec
from sim.residual import Drawer
from sim.state import INFINITY, NOBODY, Array
from sim.tables import family_of

PHASES = {"free": st.FREE, "nothing": st.FREE, "setup": st.IN_SETUP, "work": st.IN_WORK, "blocked": st.HOLDS}

ENDS = {"done": DONE, "scrap": SCRAP}


class FloorWriter:
    """Writes the shop floor into `rows`, all replicas at once. Calendars must stand there already."""

    def __init__(self, compiled: Compiled, facts: Facts, rows: Array, drawer: Drawer) -> None:
        self.c, self.facts, self.rows, self.d = compiled, facts, rows, drawer
        self.parts = 0
        self.view = {f.name: compiled.layout.view(rows, f.name) for f in st.FIELDS}
        self.open = [
            s.calendar is None or bool(self.view["cal_open"][0, self._calendar(s.calendar)])
            for s in compiled.plant.stations
        ]
        self.before = bool(compiled.params[st.BEFORE_SERVICE])
        self.view["n_state"][...] = 0
        self.view["st_free"][...] = 0

    def _calendar(self, name: str) -> int:
        return [c.id for c in self.c.plant.calendars].index(name)

    def write(self) -> None:
        """Units, queues, and who waits for whom."""
        for key in self.c.units:
            self.unit(key, self.facts.units.get(key, UnitFacts()))
        for station, queue in self.facts.queues.items():
            self.queue(station, queue)
        self.blocked_lists()
        self.repairs()
        self.rows[:, st.PART_USED] = self.parts
        for product, units in self.facts.released.items():
            self.view["released"][:, self.c.product_index[product]] = units

    # --- parts ----------------------------------------------------------------------------------------------------

    def part(self, facts: PartFacts, *, queued: bool = False, ended: bool = False) -> int:
        """A record for the part; its index. Where it has `ended`, it may be finished or scrap."""
        c, n, now = self.c, self.parts, self.facts.tick
        at = ENDS.get(facts.step) if ended else None
        if at is None:
            at = c.step_index.get((facts.product, facts.step))
        if facts.product not in c.product_index or at is None:
            raise FactsError(
                f"a part of product {facts.product!r} at step {facts.step!r}: plant {c.plant.id} has no such operation"
            )
        if n == c.most_known_parts:
            raise FactsError(f"more than {n} parts in plant {c.plant.id}: more than its caps or `unlimited:` admit")
        product = c.product_index[facts.product]
        values = {
            "part_product": product, "part_step": at,
            "part_release": now if facts.released is None else facts.released,
            "part_due": INFINITY if facts.due is None else facts.due, "part_target": self.target(facts),
            "part_queued": (now if facts.queued is None else facts.queued) if queued else 0,
            "part_dest": NOBODY, "part_next": NOBODY,
        }  # fmt: skip
        for name, value in values.items():
            self.view[name][:, n] = value
        units, group = self.d.of("products", product, "transfer"), self.d.of("products", product, "product_group")
        self.view["wip"][:, product] += units
        if group >= 0:
            self.view["group_wip"][:, group] += units
        self.parts += 1
        return n

    def target(self, facts: PartFacts) -> int:
        """The part's next step, where it is known and decided before the work."""
        if not (self.before and facts.then):
            return st.UNDRAWN
        key = (facts.product, facts.then)
        if facts.then not in ENDS and key not in self.c.step_index:
            raise FactsError(f"a part of {facts.product} goes on to {facts.then!r}, which is no step of it")
        return ENDS[facts.then] if facts.then in ENDS else self.c.step_index[key]

    def step(self, part: int) -> int:
        return int(self.view["part_step"][0, part])

    def choice(self, part: int, s: int) -> int | None:
        """Quantile table of the part's operation at station `s`; None where it cannot be done there."""
        rows = self.d.listed("steps", self.step(part), "choices")
        return next((table for station, table in zip(rows[::4], rows[1::4], strict=True) if station == s), None)

    def queue(self, station: str, queue: tuple[PartFacts, ...]) -> None:
        s = self.c.station_index[station]
        capacity = self.d.of("stations", s, "capacity")
        if self.d.of("stations", s, "eager"):  # a part may wait for room, people or companions in a free unit's place
            mine = [u for u, (name, _) in enumerate(self.c.units) if name == station]
            capacity += int((self.view["unit_phase"][0, mine] == st.FREE).sum())  # also one that has closed since
        if len(queue) > capacity:
            raise FactsError(
                f"queue of {station}: at most {capacity} parts, found {len(queue)}; reconcile the level first"
            )
        before = NOBODY
        for facts in queue:
            n = self.part(facts, queued=True)
            if self.choice(n, s) is None:
                raise FactsError(
                    f"queue of {station}: step {facts.step!r} of {facts.product} is done at another station"
                )
            if before < 0:
                self.view["q_head"][:, s] = n
            else:
                self.view["part_next"][:, before] = n
            before = n
        self.view["q_tail"][:, s] = before
        self.view["q_len"][:, s] = len(queue)

    # --- units ----------------------------------------------------------------------------------------------------

    def unit(self, key: tuple[str, int], facts: UnitFacts) -> None:
        name = f"unit {key[0]}/{key[1]}"
        if facts.state not in ("free", "setup", "work", "blocked", "down"):
            raise FactsError(f"{name}: state free, setup, work, blocked or down, found {facts.state!r}")
        u, s = self.c.unit_index[key], self.c.station_index[key[0]]
        doing = facts.state
        if doing == "down":
            doing = facts.doing or ("work" if facts.part is not None else "nothing")
        if doing not in PHASES:
            raise FactsError(f"{name}: it was at work, setup, blocked or nothing, found {facts.doing!r}")
        phase = PHASES[doing]
        if phase != st.FREE and facts.part is None:
            raise FactsError(f"{name}: it is {facts.state}, so it must have a part in hand")
        down = self.mode_of(key, facts) if facts.state == "down" else NOBODY
        frozen = self.d.of("stations", s, "freezes") == 1 and not self.open[s]
        running = phase in (st.IN_SETUP, st.IN_WORK) and down < 0 and not frozen
        self.view["unit_phase"][:, u] = phase
        self.view["unit_mode"][:, u] = down
        if phase != st.FREE:
            self.load(u, s, facts, name)
        if phase in (st.IN_SETUP, st.IN_WORK):
            left = self.setup_left(u, s, facts, name) if phase == st.IN_SETUP else self.work_left(u, s, facts)
            place = self.view["next_time"][:, u] if running else self.view["unit_left"][:, u]
            place[:] = left + self.facts.tick if running else left
            self.operators(s)
        self.family(u, s, facts, phase)
        self.state(u, s, phase, down, frozen=frozen)
        self.clocks(u, s, facts, down, works=running and phase == st.IN_WORK)

    def mode_of(self, key: tuple[str, int], facts: UnitFacts) -> int:
        """The clock for whose mode the unit is down."""
        spec = self.c.plant.stations[self.c.station_index[key[0]]]
        if not spec.modes:
            raise FactsError(f"unit {key[0]}/{key[1]} is down, but station {key[0]} has no `fails:` in the plant file")
        mode = facts.mode or (spec.fails or spec.modes[0]).id
        if (*key, mode) not in self.c.clock_index:
            raise FactsError(
                f"unit {key[0]}/{key[1]} is down for {mode!r}; station {key[0]} has "
                + ", ".join(m.id for m in spec.modes)
            )
        return self.c.clock_index[(*key, mode)]

    def load(self, u: int, s: int, facts: UnitFacts, name: str) -> None:
        """The parts in the unit, in their order."""
        given = [p for p in (facts.part, *facts.parts) if p is not None]
        most = self.d.of("stations", s, "batch_most")
        if len(given) > most:
            raise FactsError(f"{name}: {len(given)} parts in it, it holds {most}")
        before = NOBODY
        blocked = int(self.view["unit_phase"][0, u]) == st.HOLDS
        for part in given:
            n = self.part(part, ended=blocked and before >= 0)
            if not blocked and self.choice(n, s) is None:
                raise FactsError(f"{name}: step {part.step!r} of {part.product} is done at another station")
            if before < 0:
                self.view["unit_part"][:, u] = n
            else:
                self.view["part_next"][:, before] = n
            before = n
        self.view["unit_count"][:, u] = len(given)
        if self.before and int(self.view["unit_phase"][0, u]) != st.HOLDS:
            self.targets(u)

    def targets(self, u: int) -> None:
        """Blocking before service: where the part goes next is drawn already, and its place there reserved."""
        n = int(self.view["unit_part"][0, u])
        ways = self.d.listed("steps", self.step(n), "route")
        ends, targets = np.array(ways[::2]), np.array(ways[1::2])
        chances = self.d.chances(self.d.of("units", u, "unit_entity"), ROUTE)
        drawn = targets[np.minimum(np.searchsorted(ends, chances, side="right"), len(targets) - 1)]
        known = self.view["part_target"][:, n]
        known[:] = np.where(known == st.UNDRAWN, drawn, known)
        for i in range(len(self.rows)):
            target = int(known[i])
            if target >= 0:
                d = self.d.of("steps", target, "step_station")
                self.view["part_dest"][i, n] = d
                self.view["st_reserved"][i, d] += 1

    def work_left(self, u: int, s: int, facts: UnitFacts) -> Array:
        """What remains of the work in hand. In a transfer batch the pieces count as done at their mean pace."""
        n = int(self.view["unit_part"][0, u])
        table = self.choice(n, s)
        assert table is not None
        scale, stream = self.view["work_scale"][:, s], (self.d.of("units", u, "unit_entity"), WORK)
        condition = self.d.of("stations", s, "condition_at")
        slow = 1.0 if condition < 0 else int(self.d.params[condition + 4 * facts.level + 2]) / ONE
        pieces = self.d.of("products", int(self.view["part_product"][0, n]), "transfer")
        worked, done = facts.worked / slow, 0
        if pieces > 1:
            mean = max(self.d.mean(table), 1.0)
            done = min(int(worked // mean), pieces - 1)
            worked -= done * mean
        left = self.d.left(table, worked, stream, scale)
        for i in range(done + 1, pieces):
            left = left + self.d.fresh(table, stream, scale, i)
        return left if slow == 1.0 else np.rint(left * slow).astype(np.int64)

    def setup_left(self, u: int, s: int, facts: UnitFacts, name: str) -> Array:
        """What remains of the setup for the part in hand, from the family before or, unknown, from any."""
        at, families = self.d.of("stations", s, "setup_at"), len(self.c.families)
        product = int(self.view["part_product"][0, int(self.view["unit_part"][0, u])])
        to = self.d.of("products", product, "family")
        froms = range(families + 1) if facts.family is None else [self.family_index(facts.family, name) + 1]
        tables = [int(self.d.params[at + 2 * (f * families + to)]) for f in froms] if at >= 0 else []
        found = next((t for t in tables if t >= 0), None)
        if found is None:
            raise FactsError(f"{name}: in setup for {self.c.families[to]}, but the plant file has no such setup")
        return self.d.left(found, facts.worked, (self.d.of("units", u, "unit_entity"), SETUP))

    def family_index(self, family: str, name: str) -> int:
        if family not in self.c.families:
            raise FactsError(f"{name}: family {family!r}; the plant has {', '.join(self.c.families)}")
        return self.c.families.index(family)

    def family(self, u: int, s: int, facts: UnitFacts, phase: int) -> None:
        """What the unit is set up for."""
        if self.d.of("stations", s, "setup_at") < 0:
            return
        if phase in (st.IN_SETUP, st.IN_WORK) and facts.part is not None:
            product = self.c.plant.products[self.c.product_index[facts.part.product]]
            self.view["unit_family"][:, u] = self.c.families.index(family_of(product))
        elif facts.family is not None:
            self.view["unit_family"][:, u] = self.family_index(facts.family, f"unit {self.c.units[u]}")

    def operators(self, s: int) -> None:
        """Operators stay with their unit. More than there are: nobody is free until enough have come back."""
        pool = self.d.of("stations", s, "st_pool")
        if pool >= 0:
            self.view["pool_free"][:, pool] -= self.d.of("stations", s, "st_people")

    def state(self, u: int, s: int, phase: int, down: int, *, frozen: bool) -> None:
        """The unit's state, in the order of docs/kernel.md."""
        if down >= 0:
            new = st.DOWN
        elif phase == st.FREE:
            new = st.STARVED if self.open[s] else st.OFF
            self.view["st_free"][:, s] += int(self.open[s])
        elif phase == st.HOLDS:
            new = st.BLOCKED
        elif frozen:
            new = st.OFF
        else:
            new = st.SETUP if phase == st.IN_SETUP else st.WORKING
        self.view["unit_state"][:, u] = new
        self.view["n_state"][:, s, new] += 1

    # --- clocks ---------------------------------------------------------------------------------------------------

    def clocks(self, u: int, s: int, facts: UnitFacts, down: int, *, works: bool) -> None:
        """The unit's condition and the clock of each of its modes."""
        spec = self.c.plant.stations[s]
        levels = self.d.of("stations", s, "levels")
        if facts.level and not 0 <= facts.level < levels:
            raise FactsError(f"unit {self.c.units[u]}: condition {facts.level}; station {spec.id} has {levels} levels")
        self.view["unit_level"][:, u] = facts.level
        for number, mode in enumerate(spec.modes):
            c = self.d.of("units", u, "first_clock") + number
            if mode.id in facts.due and mode.planned and c != down:
                self.view["unit_due"][:, u] |= 1 << number
                self.view["clock_left"][:, c] = INFINITY
            elif c == down:
                self.view["clock_left"][:, c] = INFINITY if mode.clock == "none" else 0
            else:
                runs = (down < 0 and mode.clock == "tdf") or (works and mode.clock in ("odf", "condition"))
                left = self.clock_left(c, s, mode, facts)
                self.start(self.d.of("clocks", c, "clock_slot"), self.view["clock_left"][:, c], left, runs=runs)
        slot = self.d.of("units", u, "wear_slot")
        self.view["unit_wear"][:, u] = INFINITY
        if slot >= 0:
            table = int(self.d.params[self.d.of("stations", s, "condition_at") + 4 * facts.level])
            stream = (self.d.of("units", u, "unit_entity"), WEAR)
            left = np.maximum(self.d.left(table, facts.worn, stream, self.view["fail_scale"][:, s]), 1)
            self.start(slot, self.view["unit_wear"][:, u], left, runs=works)

    def start(self, slot: int, place: Array, left: Array, *, runs: bool) -> None:
        """A clock that runs stands in its slot, another keeps what is left; INFINITY never runs."""
        never = left >= INFINITY
        place[:] = np.where(never | (not runs), left, 0)
        if runs:
            self.view["next_time"][:, slot] = np.where(never, INFINITY, self.facts.tick + left)

    def clock_left(self, c: int, s: int, mode: Mode, facts: UnitFacts) -> Array:
        """Ticks or operations [R] until the clock strikes."""
        stream = (self.d.of("clocks", c, "clock_entity"), FAIL)
        if mode.clock == "parts":
            return self.operations_left(mode, facts.ages.get(mode.id, 0), stream)
        table, age = self.d.of("clocks", c, "clock_table"), facts.ages.get(mode.id, facts.age)
        if mode.clock == "condition":
            table = int(self.d.params[self.d.of("stations", s, "condition_at") + 4 * facts.level + 1])
            age = facts.ages.get(mode.id, facts.worn)
        if mode.clock == "none" or table < 0:
            return np.full(len(self.rows), INFINITY, dtype=np.int64)
        scale = None if mode.planned else self.view["fail_scale"][:, s]
        return np.maximum(self.d.left(table, age, stream, scale), 1)

    def operations_left(self, mode: Mode, done: int, stream: tuple[int, int]) -> Array:
        """Operations left of a life that has lasted `done` of them already; one where it should be over."""
        lives = [(value - done, p) for value, p in mode.life if value > done] or [(1, 1.0)]
        ends = np.cumsum([p for _, p in lives])
        u = self.d.chances(*stream) / 2.0**32 * ends[-1]
        picked = np.minimum(np.searchsorted(ends, u, side="right"), len(lives) - 1)
        return np.array([value for value, _ in lives], dtype=np.int64)[picked]

    # --- who waits ------------------------------------------------------------------------------------------------

    def chain(self, head: str, at: int, units: list[tuple[int, int]]) -> None:
        """Link (since, unit) pairs in their order into the list `head[at]`."""
        before = NOBODY
        for since, u in units:
            self.view["unit_asked"][:, u] = min(since, self.facts.tick)
            if before < 0:
                self.view[head][:, at] = u
            else:
                self.view["unit_link"][:, before] = u
            before = u

    def blocked_lists(self) -> None:
        """Blocked units wait before the door of their first part's step."""
        waiting: dict[int, list[tuple[int, int]]] = {}
        for key, facts in self.facts.units.items():
            if facts.state == "blocked":
                u = self.c.unit_index[key]
                door = self.d.of("steps", self.step(int(self.view["unit_part"][0, u])), "step_door")
                waiting.setdefault(door, []).append((facts.since, u))
        for door, units in waiting.items():
            self.chain("blocked_head", door, sorted(units))

    def repairs(self) -> None:
        """Crews work on the units known to be in repair, then on those first in their order; the others wait."""
        down: dict[int, list[tuple[int, int, tuple[str, int]]]] = {}
        for key, facts in self.facts.units.items():
            if facts.state == "down":
                c = int(self.view["unit_mode"][0, self.c.unit_index[key]])
                crew, priority = self.d.of("clocks", c, "clock_crew"), self.d.of("clocks", c, "clock_priority")
                down.setdefault(crew, []).append((priority, facts.since, key))
        for crew, units in down.items():
            units.sort(key=lambda item: (item[0], item[1], self.c.unit_index[item[2]]))
            known = [key for _, _, key in units if self.facts.units[key].repaired is not None]
            size = len(units) if crew < 0 else self.c.plant.crews[crew].size
            served = [*known, *(key for _, _, key in units if key not in known)][:size]
            for key in served:
                self.repair(key)
            if crew >= 0:
                self.view["crew_free"][:, crew] = size - len(served)
                rest = [(since, self.c.unit_index[key]) for _, since, key in units if key not in served]
                self.chain("crew_head", crew, rest)

    def repair(self, key: tuple[str, int]) -> None:
        u, s = self.c.unit_index[key], self.c.station_index[key[0]]
        c = int(self.view["unit_mode"][0, u])
        spec: StationSpec = self.c.plant.stations[s]
        planned = spec.modes[self.d.of("clocks", c, "clock_number")].planned
        scale = None if planned else self.view["repair_scale"][:, s]
        stream = (self.d.of("clocks", c, "clock_entity"), REPAIR)
        left = self.d.left(self.d.of("clocks", c, "repair_table"), self.facts.units[key].repaired or 0, stream, scale)
        self.view["next_time"][:, self.d.of("units", u, "repair_slot")] = self.facts.tick + left
