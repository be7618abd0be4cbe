"""What moves through the virtual plant's shop floor, and who waits before whose door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.plant import Product, Step

if TYPE_CHECKING:
    from simpy import Event

    from hardware.shop_station import Station
    from hardware.shop_unit import WorkUnit


@dataclass(slots=True, eq=False)
class Part:
    """One part on its way; `step` is the operation it waits for or undergoes, or DONE or SCRAP once that is known.

    Times are plant seconds: `born` at release, `queued` when it joined its present queue, `due` its date (None: none).
    """

    product: Product
    step: int
    born: float
    due: float | None = None
    queued: float = 0.0

    @property
    def operation(self) -> Step:
        """The step it waits for or undergoes."""
        return self.product.steps[self.step]

    @property
    def family(self) -> str:
        """What decides setups and batches."""
        return family_of(self.product)


def family_of(product: Product) -> str:
    """A product's family; its own id where it names none."""
    return product.family or product.id


@dataclass(slots=True, eq=False)
class Ticket:
    """A unit with an ended part before the door of one or several stations; `through` fires when one has let it in."""

    unit: WorkUnit
    doors: list[Station]
    through: Event

    def withdraw(self) -> None:
        """Stand before no door any more."""
        for station in self.doors:
            station.waiting.remove(self)
