"""A machine of the virtual plant: set up, works, breaks down, is repaired and maintained, hands its parts on.

Its whole life is one SimPy process. Clocks of its modes age while time passes in `_pass` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import simpy

from hardware.sampling import Sampler, chooser, stream
from hardware.shop_part import Part, Ticket
from sim.plant import DONE, SCRAP, Mode

if TYPE_CHECKING:
    from hardware.shop_station import Station

Steps = Generator[simpy.Event, Any, None]
NEVER = float("inf")


class Clock:
    """The clock of one mode: `left` is what is left to the next failure, in seconds or, for `parts`, in operations.

    `due`: it has struck and waits until the unit has no part.
    """

    def __init__(self, unit: WorkUnit, mode: Mode) -> None:
        shop = unit.station.shop
        end = unit.name if mode.id == "failure" else f"{unit.name} {mode.id}"
        scale = 1.0 if mode.planned else shop.twist.repair_scale
        self.mode = mode
        self.repair = Sampler(stream(shop.seed, f"repair {end}"), mode.repair, shop.plant.tick_s, scale)
        rng = stream(shop.seed, f"fail {end}")
        self._draw: Callable[[], float] = lambda: NEVER
        if mode.clock == "parts":
            self._draw = chooser(rng, mode.life)
        elif mode.after is not None:
            self._draw = Sampler(rng, mode.after, shop.plant.tick_s)
        self.left, self.due = NEVER, False
        self.renew()

    def renew(self) -> None:
        """As new."""
        self.left, self.due = self._draw(), False

    def runs(self, *, works: bool) -> bool:
        """Does it age while time goes by (at work or not)?"""
        return self.mode.clock == "tdf" or (works and self.mode.clock == "odf")


class WorkUnit:
    """One machine. `parts` are in it, from the start of their operation until each has found room further on."""

    def __init__(self, station: Station, number: int) -> None:
        shop = station.shop
        self.station, self.number, self.env = station, number, shop.env
        self.name = f"{station.spec.id}/{number}"
        self.parts: list[Part] = []
        self.family: str | None = None  # of the part it was last set up for or worked on
        self.free = False
        self.doing = "starved"
        self.faults = 0
        self._wake = shop.env.event()
        self._interruptible = False
        self._forced: float | None = None
        self._setup_s: float | None = None
        self._routes = stream(shop.seed, f"route {self.name}")
        self._minor = stream(shop.seed, f"minor {self.name}")
        self.clocks = [Clock(self, mode) for mode in station.spec.modes]
        self._process = shop.env.process(self._life())

    @property
    def state(self) -> str:
        """One of sim.plant.STATES."""
        if self.free:
            return self.station.free_state()
        return "off" if self.doing in ("work", "setup") and self.station.freezing()[0] else self.doing

    def start(self, parts: list[Part], setup_s: float | None) -> None:
        """Take parts for an operation; the unit must be free. `setup_s`: how long it is set up (None: not at all)."""
        self.parts, self.free, self._setup_s = parts, False, setup_s
        self.family = parts[0].family
        self.doing = "work" if setup_s is None else "setup"
        self._wake.succeed()

    def break_down(self, seconds: float) -> None:
        """A breakdown of a given length, now or at the next start of work (a script's doing)."""
        if self._interruptible:
            self._interruptible = False
            self._process.interrupt(seconds)
        else:
            self._forced = seconds

    # its life ----------------------------------------------------------------------------------

    def _life(self) -> Steps:
        while True:
            yield from self._stand_free()
            yield from self._operate()
            yield from self._hand_over()
            for clock in self.clocks:
                if clock.due:
                    yield from self._down(clock)

    def _stand_free(self) -> Steps:
        while True:
            self.free, self._wake = True, self.env.event()
            self.station.shop.settle(self.station)
            yield from self._pass(NEVER, self._wake, works=False)
            if self._wake.triggered:
                return
            clock = self._struck(works=False)
            if clock is not None:
                self.free = False
                yield from self._down(clock)

    def _operate(self) -> Steps:
        if self._setup_s is not None:
            yield from self._do(self._setup_s, works=False)
            self.doing = "work"
            self.station.shop.tell("setup_end", self, state="work")
        yield from self._do(self._work_time(), works=True)
        if not self.parts:
            return
        self.station.ended(self)
        for part in self.parts:
            part.step = self._next(part)
        for clock in self.clocks:
            if clock.mode.clock == "parts":
                clock.left -= 1
                clock.due = clock.due or clock.left <= 0

    def _work_time(self) -> float:
        shop, twist, part = self.station.shop, self.station.shop.twist, self.parts[0]
        seconds = shop.work[(self.name, part.product.id, part.step)]()
        opening = self.station.opening
        if opening is not None and self.env.now - opening.opened_at < twist.slow_start_s:
            seconds *= twist.slow_start_scale
        if twist.micro_station == self.station.spec.id and twist.micro_every_s > 0:
            stops = int(self._minor.poisson(seconds / twist.micro_every_s))
            seconds += float(self._minor.uniform(*twist.micro_s, size=stops).sum())
        return seconds

    def _do(self, seconds: float, *, works: bool) -> Steps:
        """Set up or work for `seconds`, with all that comes between. Afterwards there may be no part any more."""
        while True:
            if works and self._forced is not None:
                yield from self._down(None)
                continue
            frozen, change = self.station.freezing()
            gone = yield from self._pass(NEVER if frozen else seconds, change, works=works and not frozen)
            seconds -= 0.0 if frozen else gone
            if seconds <= 0:
                return
            clock = self._struck(works=works and not frozen)
            if clock is None:
                continue
            if clock.mode.planned and clock.mode.finish:
                clock.left, clock.due = NEVER, True
                continue
            yield from self._down(clock)
            if not self.parts:
                return
            if works and clock.mode.part == "repeats":
                seconds = self._work_time()

    def _pass(self, seconds: float, event: simpy.Event | None, *, works: bool) -> Generator[simpy.Event, Any, float]:
        """Time goes by until `seconds` are over, `event` comes or a clock strikes, whatever is first; returns how long.

        Clocks age by it. A script's breakdown ends it early while the unit works (`_forced` is set then).
        """
        since, run = self.env.now, seconds
        for clock in self.clocks:
            if clock.left < run and clock.runs(works=works):
                run = max(clock.left, 0.0)
        timer = self.env.timeout(run) if run < NEVER else None
        self._interruptible = works
        try:
            if timer is None or event is None:
                yield timer or event  # type: ignore[misc]  # nobody waits for ever
            else:
                yield timer | event
        except simpy.Interrupt as stop:
            self._forced = float(stop.cause or 0.0)
        self._interruptible = False
        gone = run if timer is not None and timer.processed else self.env.now - since
        for clock in self.clocks:
            if clock.runs(works=works):
                clock.left -= gone
        return gone

    def _struck(self, *, works: bool) -> Clock | None:
        return next((c for c in self.clocks if c.left <= 0 and c.runs(works=works)), None)

    # down --------------------------------------------------------------------------------------

    def _down(self, clock: Clock | None) -> Steps:
        """Out of work until repaired; without a clock for as long as the script says."""
        shop, back = self.station.shop, self.doing
        mode = clock.mode if clock is not None else self.station.spec.fails
        seconds = clock.repair() if clock is not None else self._forced or 0.0
        name = mode.id if mode is not None else None
        self._forced = None if clock is None else self._forced
        self.doing = "down"
        self.faults += 1
        self.station.failures += 1
        shop.tell("down", self, state="down", text=name)
        if clock is not None and mode is not None and mode.part == "scrapped" and back == "work":
            while self.parts:
                shop.leave(self.parts.pop(0), self, scrapped=True)
        crew = shop.crews[mode.crew] if mode is not None and mode.crew else None
        request = crew.request(priority=mode.priority) if crew is not None and mode is not None else None
        if request is not None:
            yield request
        walk = float(self._minor.uniform(*shop.twist.walk_s)) if shop.twist.walk_s[1] > 0 else 0.0
        yield self.env.timeout(walk + seconds)
        if crew is not None and request is not None:
            crew.release(request)
        for other in self.clocks:
            if mode is not None and (other.mode is mode or other.mode.id in mode.renews):
                other.renew()
        self.doing = back
        shop.tell("up", self, state=self.state if self.parts else self.station.free_state(), text=name)

    # handing on --------------------------------------------------------------------------------

    def _next(self, part: Part) -> int:
        choices = part.operation.next
        if len(choices) == 1:
            return choices[0][0]
        u = float(self._routes.random())
        for target, p in choices:
            u -= p
            if u < 0:
                return target
        return choices[-1][0]

    def _hand_over(self) -> Steps:
        shop = self.station.shop
        while self.parts:
            part = self.parts[0]
            if part.step in (DONE, SCRAP):
                shop.leave(self.parts.pop(0), self, scrapped=part.step == SCRAP)
                continue
            doors = shop.doors[(part.product.id, part.step)]
            following = shop.shortest(doors, self)
            if following is not None:
                following.append(self.parts.pop(0))
                shop.settle(following, self.station)
                continue
            self.doing = "blocked"
            broken = next((c for c in self.clocks if c.due and not c.mode.planned), None)
            if broken is not None:
                yield from self._down(broken)
                continue
            ticket = Ticket(self, doors, self.env.event())
            for station in doors:
                station.waiting.append(ticket)
            yield from self._pass(NEVER, ticket.through, works=False)
            if not ticket.through.triggered:
                ticket.withdraw()
            clock = self._struck(works=False)
            if clock is not None and not ticket.through.triggered:
                yield from self._blocked_strike(clock)

    def _blocked_strike(self, clock: Clock) -> Steps:
        if clock.mode.planned and clock.mode.finish:
            clock.left, clock.due = NEVER, True
        else:
            yield from self._down(clock)
