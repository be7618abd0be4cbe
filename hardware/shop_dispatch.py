"""Which waiting part goes first: the features of docs/plant-file.md, weighed as the settings say.

Times count in ticks of the plant file, so that weights mean what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hardware.sampling import mean_of
from hardware.shop_part import Part
from sim.plant import DONE, FEATURES, SCRAP, Plant

if TYPE_CHECKING:
    from hardware.shop import Shop
    from hardware.shop_station import Station

SCALE = 2**10
"""Of numbers of steps and of critical ratios."""
FAR = 2**40
"""Ticks to the date of a part that has none; more than this never counts."""


class Outlook:
    """What a part of each step has before it by its routing: expected `work` (ticks) and `steps`, its own included."""

    def __init__(self, plant: Plant) -> None:
        self.work: dict[tuple[str, int], float] = {}
        self.steps: dict[tuple[str, int], float] = {}
        self.cmu: dict[str, list[float]] = {}
        for product in plant.products:
            times = np.array([mean_of(step.eligible[0][1]) for step in product.steps])
            into = np.zeros((len(times), len(times)))
            for j, step in enumerate(product.steps):
                for target, p in step.next:
                    if target not in (DONE, SCRAP):
                        into[j, target] += p
            left = np.linalg.solve(np.eye(len(times)) - into, np.column_stack([times, np.ones(len(times))]))
            for j in range(len(times)):
                self.work[product.id, j], self.steps[product.id, j] = float(left[j, 0]), float(left[j, 1])
            per_hour = product.holding * 3600 / plant.tick_s
            self.cmu[product.id] = [per_hour * 2**20 / max(float(t) * plant.tick_s, 1e-3) for t in times]


class Dispatcher:
    """The order in which a station looks at its queue."""

    def __init__(self, shop: Shop, station: Station) -> None:
        self._shop, self._station, self._tick = shop, station, shop.plant.tick_s
        self._paths = {name: f"stations.{station.spec.id}.dispatch.{name}" for name in FEATURES}
        self._features: dict[str, Callable[[Part], float]] = {
            "work": self._work,
            "work_left": lambda part: shop.outlook.work[part.product.id, part.step],
            "steps_left": lambda part: shop.outlook.steps[part.product.id, part.step] * SCALE,
            "waited": lambda part: (shop.env.now - part.queued) / self._tick,
            "due": self._due,
            "slack": lambda part: _held(self._due(part) - shop.outlook.work[part.product.id, part.step]),
            "ratio": self._ratio,
            "setup": self._setup,
            "cmu": lambda part: shop.outlook.cmu[part.product.id][part.step],
            "priority": lambda part: float(part.product.priority),
        }

    def ordered(self, queue: list[Part]) -> list[Part]:
        """The queue by rising key, equal keys in queue order; the queue itself where nothing is weighed."""
        settings = self._shop.settings
        weights = [(self._features[name], settings[path]) for name, path in self._paths.items() if settings[path]]
        if not weights or len(queue) < 2:
            return queue
        return sorted(queue, key=lambda part: sum(weight * feature(part) for feature, weight in weights))

    def _work(self, part: Part) -> float:
        return mean_of(dict(part.operation.eligible)[self._station.spec.id])

    def _due(self, part: Part) -> float:
        return FAR if part.due is None else _held((part.due - self._shop.env.now) / self._tick)

    def _ratio(self, part: Part) -> float:
        return _held(self._due(part) * SCALE / max(self._shop.outlook.work[part.product.id, part.step], 1.0))

    def _setup(self, part: Part) -> float:
        free = [u for u in self._station.units if u.free]
        return min((self._station.mean_setup(u.family, part.family) for u in free), default=0.0) / self._tick


def _held(ticks: float) -> float:
    return min(max(ticks, -FAR), FAR)
