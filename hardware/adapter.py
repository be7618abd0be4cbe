"""What the gateway needs of a fieldbus, and what an adapter of a PLC's protocol offers for it.

An adapter knows *raw names* only (`ns=2;s=Turn.State`, `holding/100:uint16`, an MQTT topic, a CSV column): it
is made with the list of those to watch and delivers samples of them. What they mean is for others to say
(`hardware.tagbus` for the plain table `tag: raw name`), so that any table of names can stand in front of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hardware.fieldbus import FieldbusError
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN

__all__ = ["Adapter", "Clock", "Deliver", "Fieldbus", "FieldbusError", "Sample", "worse"]

Value = int | float | str

_GRAVITY = {GOOD: 0, UNCERTAIN: 1, STALE: 2, BAD: 3}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a raw name. `t` is the device's own clock in ms UTC (None: the protocol carries none).

    `quality` is one of `ingest.wire.QUALITIES`; `value` None: there is none. `note` says why it is not good.
    """

    value: Value | None
    quality: int = GOOD
    t: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """A recording's clock, as a virtual plant declares it: plant ms = origin + (wall now - wall) x speed."""

    origin: int
    speed: float
    wall: int


Deliver = Callable[[Mapping[str, Sample], bool], None]
"""`deliver(samples, everything)`; `everything` is True for the first, complete image of a connection."""


class Fieldbus(Protocol):
    """The gateway's view: tags in, setpoints out. `advisory` says, by control, why it cannot be commanded."""

    advisory: Mapping[str, str]

    @property
    def connected(self) -> bool: ...

    async def run_once(self) -> None:
        """Connect and hand out messages until the connection ends; OSError when there is none."""

    async def read(self, *tags: str) -> dict[str, Any]: ...

    async def write(self, tag: str, value: int, fallback: int | None = None) -> dict[str, Any]: ...

    def heartbeat(self, n: int) -> None: ...


class Adapter(Protocol):
    """One protocol. `timed`: do samples carry the device's clock? `clock`: that of a recording, once it is known."""

    timed: bool
    clock: Clock | None

    @property
    def connected(self) -> bool: ...

    async def run_once(self, deliver: Deliver) -> None:
        """Connect, deliver everything once, then changes, until the connection ends; OSError when there is none."""

    async def read(self, raws: Sequence[str]) -> dict[str, Sample]:
        """The present samples of these raw names, asked for now; FieldbusError when nobody answers."""

    async def write(self, items: Sequence[tuple[str, int]]) -> None:
        """Write values in this order, the last one last; FieldbusError names what was refused."""


def worse(a: int, b: int) -> int:
    """The graver of two qualities (manual and estimated ones do not come from a fieldbus)."""
    return max(a, b, key=lambda q: _GRAVITY.get(q, 0))
