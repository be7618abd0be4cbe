"""Opening hours in the SimPy reference model: a process that opens and closes the things that keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sim.plant import Calendar
from sim.reference_clock import Shared, Wakeable, known
from sim.state import FREE, K_CALENDAR

if TYPE_CHECKING:
    from sim.reference_floor import WorkCenter
    from sim.reference_release import ProductLine


class Pausable(Protocol):
    """A clock that stands still while its calendar is closed."""

    def pause(self) -> None:
        """The calendar has closed."""

    def resume(self) -> None:
        """The calendar has opened."""


class WorkCalendar:
    """Opening hours: changes at the ticks of a table, closings later where overtime is worked."""

    def __init__(self, shared: Shared, spec: Calendar, is_open: bool, at: Callable[[int], int | None]) -> None:
        self.shared = shared
        self.spec = spec
        self.is_open = is_open
        self.number = 0
        """Number of the next change."""
        self.at = at
        """Tick of change `number`, None where there is none."""
        self.overtime = spec.overtime
        """Ticks by which closings are put off."""
        self.extra = False
        """Is the present opening in overtime?"""
        self.overtime_ticks = 0
        self.centers: list[WorkCenter] = []
        self.products: list[ProductLine] = []
        self.listeners: list[Pausable] = []
        self.change = shared.countdown(K_CALENDAR, spec.id)

    @property
    def freezes(self) -> bool:
        """Do units stop in the middle of their work when it closes?"""
        return self.spec.at_close == "freeze"

    def set_first(self) -> None:
        """Wait for the first change of the table."""
        self._wait_for(self.at(0))

    def begin(self) -> None:
        """Start the calendar's process."""
        self.shared.whenever(self.change, self.happen)

    def _wait_for(self, tick: int | None) -> None:
        if tick is not None:
            self.change.start(max(tick - self.shared.clock.now, 0))

    def happen(self) -> list[Wakeable]:
        """Begin overtime, or close, or open. Returns whom that wakes."""
        now = self.shared.clock.now
        if self.is_open and self.overtime > 0 and not self.extra:
            self.extra = True
            following = self.at(self.number + 1)
            self._wait_for(now + self.overtime if following is None else min(now + self.overtime, following))
            return []
        if self.extra:
            self.overtime_ticks += now - known(self.at(self.number))
            self.extra = False
        self.number += 1
        self.is_open = not self.is_open
        self._wait_for(self.at(self.number))
        for center in self.centers:
            center.refresh_units()
        for one in self.listeners:
            if self.is_open:
                one.resume()
            else:
                one.pause()
        if self.is_open:
            return self.whom_opening_wakes()
        return self.whom_closing_wakes()

    def whom_closing_wakes(self) -> list[Wakeable]:
        """Those who counted on free units there, and on releases in its hours."""
        woken: list[Wakeable] = [one for product in self.products for one in product.who_may_be_misled()]
        for center in self.centers:
            if any(unit.phase == FREE and not unit.is_down for unit in center.units):
                woken += center.unit_gone()
        return woken

    def whom_opening_wakes(self) -> list[Wakeable]:
        """Its stations and those who may have waited for room there, and the products released in its hours."""
        woken: list[Wakeable] = [*self.products]
        for center in self.centers:
            woken += center.room_appeared()
        return woken
