"""Energy in the SimPy reference model: the watts of the whole plant, accumulated in the price band in force."""

from __future__ import annotations

from collections.abc import Callable

from sim.reference_clock import Countdown, Shared, Wakeable
from sim.state import K_TARIFF


class Meter:
    """What the plant uses: `used` watt-ticks of each price band; `power` watts now."""

    def __init__(self, shared: Shared, bands: int) -> None:
        self.shared = shared
        self.power = 0
        self.band = 0
        self.used = [0] * bands
        self.since = shared.clock.now

    def _accumulate(self) -> None:
        now = self.shared.clock.now
        if self.used:
            self.used[self.band] += self.power * (now - self.since)
        self.since = now

    def add_power(self, watts: int) -> None:
        """The plant uses so many watts more from now on."""
        self._accumulate()
        self.power += watts

    def add(self, energy: int) -> None:
        """Watt-ticks used all at once."""
        if self.used:
            self.used[self.band] += energy

    def switch(self, band: int) -> None:
        """Another price is in force from now on."""
        self._accumulate()
        self.band = band

    def totals(self) -> list[int]:
        """Watt-ticks of each band up to now."""
        self._accumulate()
        return self.used


class TariffClock:
    """The process that switches the meter at the hours of the tariff."""

    def __init__(self, shared: Shared, meter: Meter, at: Callable[[int], tuple[int, int] | None]) -> None:
        self.shared = shared
        self.meter = meter
        self.number = 0
        """Number of the next change."""
        self.at = at
        """(Tick, band) of change `number`, None where there is none."""
        self.change: Countdown = shared.countdown(K_TARIFF, "tariff")

    def set_first(self) -> None:
        """Wait for the first change of the table."""
        if (change := self.at(self.number)) is not None:
            self.change.start(change[0] - self.shared.clock.now)

    def begin(self) -> None:
        """Start the process."""
        self.shared.whenever(self.change, self.happen)

    def happen(self) -> list[Wakeable]:
        """The next price is in force."""
        change = self.at(self.number)
        if change is not None:
            self.meter.switch(change[1])
        self.number += 1
        self.set_first()
        return []
