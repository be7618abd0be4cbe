"""Which part goes next and where to, in the SimPy reference model: routes, dispatching keys, readiness, doors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from sim import distributions
from sim.plant import FEATURES, Product
from sim.reference_clock import Part, Wakeable, known
from sim.state import INFINITY, NO_LIMIT

if TYPE_CHECKING:
    from sim.reference_floor import WorkCenter
    from sim.reference_release import ProductLine
    from sim.reference_stock import StockPoint
    from sim.reference_unit import WorkUnit

FAR = 1 << 40
"""The time to the due date of a part without one, and the bound on all such times and ratios."""


def within(value: int) -> int:
    """The value, held within the bounds."""
    return max(-FAR, min(FAR, value))


def least_loaded(centers: Sequence[WorkCenter]) -> WorkCenter:
    """The station with the fewest parts a unit, ties in the order given."""
    return min(centers, key=lambda center: Fraction(center.load, len(center.units)))


def choose(what: Part | ProductLine, centers: Sequence[WorkCenter], giver: WorkUnit | None = None) -> WorkCenter | None:
    """Where a part, or the next lot of a product, goes among the stations with room; None where there is no room.

    `giver` is the unit that the part comes from.
    """
    able = [center for center in centers if center.has_room(giver=giver)]
    if not able:
        return None
    chosen = able[0].shared.rules.choose_station(what, able)
    if chosen not in able:
        names = ", ".join(center.spec.id for center in able)
        raise ValueError(f"choose_station: expected one of the stations with room ({names}), found {chosen!r}")
    return chosen


class Door:
    """A set of stations that may do the same operation, and the units blocked until one of them has room."""

    def __init__(self, centers: Sequence[WorkCenter]) -> None:
        self.centers = list(centers)
        self.waiting: list[WorkUnit] = []
        for center in centers:
            center.doors.append(self)

    def ask(self, unit: WorkUnit) -> None:
        """Join the units that wait, in the order of their asking."""
        unit.asked = unit.shared.clock.now
        unit.door = self
        self.waiting.append(unit)
        self.waiting.sort(key=lambda one: (one.asked, one.rank))

    def leave(self, unit: WorkUnit) -> set[Wakeable]:
        """Wait no longer. Returns whom that wakes: a station with a kanban may have room for the next one, if not for
        this one.
        """
        self.waiting.remove(unit)
        unit.door = None
        unit.asked = 0
        return {center for center in self.centers if center.kanban < NO_LIMIT}


class Route:
    """The operations of a product: where they may be done, what they need, and what dispatching knows of them.

    `first_step` is the global number of its first operation.
    """

    def __init__(self, spec: Product, first_step: int, tick_s: float) -> None:
        self.spec = spec
        self.first_step = first_step
        self.centers: list[list[WorkCenter]] = [[] for _ in spec.steps]
        """The stations that may do each operation, in file order."""
        self.doors: list[Door] = []
        self.needs: list[list[tuple[StockPoint, int]]] = []
        """Units of each stock that go into one part at each operation."""
        means = [distributions.mean(step.work) for step in spec.steps]
        batch = spec.transfer
        onward = np.zeros((len(spec.steps), len(spec.steps)))
        for i, step in enumerate(spec.steps):
            for target, probability in step.next:
                if target >= 0:
                    onward[i, target] += probability
        rest = np.eye(len(spec.steps)) - onward
        self.work_left = [round(float(v)) for v in np.linalg.solve(rest, np.array(means) * batch)]
        self.steps_left = [round(float(v) * 1024) for v in np.linalg.solve(rest, np.ones(len(means)))]
        hourly = spec.holding * 3600.0 / tick_s
        self.cmu = [round(hourly * (1 << 20) / max(mean * tick_s, 1e-3)) for mean in means]
        self.work = [
            {name: round(distributions.mean(work) * batch) for name, work in step.eligible} for step in spec.steps
        ]
        """Mean ticks of each operation by station."""


class Dispatch:
    """The rule by which a station picks the next part of its queue."""

    def __init__(self, center: WorkCenter) -> None:
        self.center = center
        given = dict(center.spec.dispatch)
        self.weights = [given.get(feature, 0) for feature in FEATURES]

    def order(self) -> list[Part]:
        """The queue in the order of the parts' keys, the least first."""
        if not any(self.weights):
            return list(self.center.queue)
        return sorted(self.center.queue, key=self.key)

    def key(self, part: Part) -> int:
        """The weighted sum of the part's features."""
        return sum(
            weight * self.feature(name, part) for name, weight in zip(FEATURES, self.weights, strict=True) if weight
        )

    def feature(self, name: str, part: Part) -> int:
        """One feature of a part that waits here (see docs/kernel.md)."""
        now = self.center.shared.clock.now
        route = self.center.shared.routes[part.product.spec.id]
        to_due = FAR if part.due == INFINITY else within(part.due - now)
        values = {
            "work": lambda: route.work[part.step][self.center.spec.id],
            "work_left": lambda: route.work_left[part.step],
            "steps_left": lambda: route.steps_left[part.step],
            "waited": lambda: now - part.queued,
            "due": lambda: to_due,
            "slack": lambda: to_due - route.work_left[part.step],
            "ratio": lambda: within((to_due << 10) // max(route.work_left[part.step], 1)),
            "setup": lambda: self.least_setup(part),
            "cmu": lambda: route.cmu[part.step],
            "priority": lambda: part.product.spec.priority,
        }
        return values[name]()

    def least_setup(self, part: Part) -> int:
        """The least mean setup time of a free unit for the part."""
        return min((self.center.mean_setup(unit, part) for unit in self.center.free_units()), default=0)

    # --- readiness

    def is_ready(self, part: Part) -> bool:
        """Is everything there that its operation needs: components, and enough parts for a batch?"""
        if any(stock.on_hand.value < number for stock, number in self.needs(part)):
            return False
        batch = self.center.spec.batch
        if batch is None:
            return True
        now = self.center.shared.clock.now
        if batch.wait is not None and now - part.queued >= batch.wait:
            return True
        key = self.batch_key(part)
        return sum(self.batch_key(other) == key for other in self.center.queue) >= batch.least

    def needs(self, part: Part) -> list[tuple[StockPoint, int]]:
        """Units of each stock that the start of the part's operation takes, in file order."""
        route = self.center.shared.routes[part.product.spec.id]
        return [(stock, number * part.quantity) for stock, number in route.needs[part.step]]

    def batch_key(self, part: Part) -> str:
        """Parts with the same key may go into one batch."""
        by = known(self.center.spec.batch).by
        return {"family": part.family, "product": part.product.spec.id, "any": ""}[by]

    def candidates(self) -> list[Part]:
        """The parts that would start now: the first ready one, in a batch also those that go with it."""
        order = self.center.shared.rules.order_queue(self.center)
        if any(part not in self.center.queue for part in order):
            raise ValueError(f"order_queue: expected parts that wait at {self.center.spec.id}, found another one")
        for place, part in enumerate(order):
            if self.is_ready(part):
                batch = self.center.spec.batch
                if batch is None:
                    return [part]
                key = self.batch_key(part)
                return [other for other in order[place:] if self.batch_key(other) == key][: batch.most]
        return []

    def next_wait(self) -> int:
        """The first tick after now at which a part has waited long enough to start with fewer; INFINITY for none."""
        batch = self.center.spec.batch
        if batch is None or batch.wait is None:
            return INFINITY
        now = self.center.shared.clock.now
        return min((t for part in self.center.queue if (t := part.queued + batch.wait) > now), default=INFINITY)
