"""What is wrong with a gateway although it goes on, and since when: told with the status of its sources.

The status stands retained at the broker, so whoever comes later knows it too. What lasts less than `LASTING_S` is not
told (a connection that is made anew); since when is from its first moment, in plant time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hardware.tagbus import TagBus
from ingest.wire import Trouble

if TYPE_CHECKING:
    from hardware.adapter import Fieldbus
    from hardware.uplink import Uplink

LASTING_S = 3.0
FULL = 0.5
"""An outbox that holds more than this share of what it may is filling."""
CALM = 0.4
"""It is told until it holds less than this share."""
MOST_TEXT = 256


class Troubles:
    """`look` once a second, with what holds for every source of the gateway, as (what, in words)."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], tuple[float, int, str]] = {}

    def look(self, uplinks: Iterable[Uplink], common: Iterable[tuple[str, str]], now: int) -> None:
        """Bring the sources' troubles up to date; tell the status of those where they changed. `now`: plant ms."""
        shared, moment = list(common), time.monotonic()
        for uplink in uplinks:
            found = dict([*shared, *of_uplink(uplink)])
            for key in [key for key in self._since if key[0] == uplink.root and key[1] not in found]:
                del self._since[key]
            for what, text in found.items():
                known = self._since.get((uplink.root, what))
                if known is None or known[1] > now:  # another plant, whose time begins again
                    self._since[uplink.root, what] = (moment, now, text)
            lasting = [
                Trouble(what=what, since=since, text=text[:MOST_TEXT])
                for (root, what), (at, since, text) in self._since.items()
                if root == uplink.root and moment - at >= LASTING_S
            ]
            if tuple(lasting) != uplink.troubles:
                uplink.troubles = tuple(lasting)
                uplink.tell(now)


def of_uplink(uplink: Uplink) -> Iterator[tuple[str, str]]:
    """What is wrong with one source's way up."""
    if uplink.degraded:
        yield "overload", "more comes than can be sent: of each tag the newest once a second"
    outbox, known = uplink.outbox, any(one.what == "outbox_filling" for one in uplink.troubles)
    share = outbox.bytes / outbox.limits.max_bytes
    if share > (CALM if known else FULL):
        yield (
            "outbox_filling",
            f"the outbox is {share:.0%} full: less is confirmed than comes; the oldest goes first",
        )


def of_gateway(bus: Fieldbus, heard: bool, disk: str) -> Iterator[tuple[str, str]]:
    """What is wrong with all of it. `heard`: has the fieldbus told its image; `disk`: why nothing is written."""
    if not (heard and bus.connected):
        yield "fieldbus_down", "the fieldbus does not answer: every value is stale"
    device = bus.device if isinstance(bus, TagBus) else None
    if device is not None and device.skew_ms is not None and abs(device.skew_ms) > device.tolerance_ms:
        side = "behind" if device.skew_ms > 0 else "ahead"
        off = f"the device's clock is {abs(device.skew_ms) / 1000:.1f} s {side}"
        yield "clock_skew", f"{off}: times are corrected, and uncertain"
    if disk:
        yield "disk", f"the outbox cannot be written ({disk}): nothing is sent"
