"""What a plant's own rules may decide in the SimPy model: the hooks, each with what the plant file's rules do.

docs/own-rules.md is the guide. A hook is a pure function of the state of the plant and of the rules' own state: no
clock of the machine, no random numbers but `Reference.uniform`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.reference_clock import Part, Wakeable
    from sim.reference_floor import WorkCenter
    from sim.reference_release import ProductLine
    from sim.reference_stock import StockPoint
    from sim.reference_unit import WorkUnit
    from sim.state import Array


class Rules:
    """The hooks, doing what the plant file says."""

    # --- decisions

    def order_queue(self, station: WorkCenter) -> Sequence[Part]:
        """The parts waiting at a station, the one to start first in front; those left out must wait.

        The first of them that has what its operation needs is started.
        """
        return station.dispatch.order()

    def choose_station(self, part: Part | ProductLine, able: Sequence[WorkCenter]) -> WorkCenter:
        """One of `able`, the stations (one or more) with room that may do the part's next operation; also for the next
        lot of a product.
        """
        from sim.reference_queue import least_loaded

        return least_loaded(able)

    def may_release(self, product: ProductLine) -> bool:
        """Is the release of the product's next lot allowed by decision? Hours, stock and room are asked besides."""
        return product.policy_allows()

    def order_quantity(self, stock: StockPoint) -> int:
        """Units a stock wants to order now in its regular lane, before its lots (none where 0 or below)."""
        return stock.policy_wish()

    def work_ticks(self, unit: WorkUnit, parts: Sequence[Part], ticks: int) -> int:
        """Ticks, 0 or more, of the operation that begins on a unit; `ticks` were drawn for it."""
        return ticks

    # --- reactions

    def after_event(self) -> Iterable[Wakeable]:
        """An event and all its consequences are over, or controls were set: the stations and products that must look
        again at what they can do.
        """
        return ()

    def start_own(self) -> None:
        """All processes start now, in an empty plant or in one made from a row: start own ones with `self.process`."""

    # --- own state

    def prepare(self) -> None:
        """The model has just been made: give own attributes their first values."""

    def save(self, own: Array) -> None:
        """Write own state into `own`, int64[state]."""

    def load(self, own: Array) -> None:
        """Take own state back from `own`, int64[state], as `save` wrote it (after `prepare`)."""
