"""Certificates of the gateway's connections: replaced files are taken into use, expiry is said in time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from hardware.service import say
from hardware.uplink import Uplink

LOOK_S = 2.0
"""How often the files are looked at."""
WARN_S = 86_400.0
"""How often an expiry that comes near is said again."""


class Certificates:
    """Call `look` often; `later` starts what must be awaited."""

    def __init__(self, uplinks: Iterable[Uplink], later: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._uplinks, self._later = uplinks, later
        self._next = self._warn = 0.0

    def look(self, now: float, *, linked: bool) -> None:
        """Connect anew with replaced files (once `linked`); warn once a day of those that are about to expire."""
        if now < self._next:
            return
        self._next = now + LOOK_S
        warn = now >= self._warn
        for uplink in self._uplinks:
            if linked:
                self._later(self._renew(uplink))
            tls = uplink.link.tls
            if warn and tls is not None and (warning := tls.warning()) is not None:
                say("gateway", warning)
        if warn:
            self._warn = now + WARN_S

    async def _renew(self, uplink: Uplink) -> None:
        if await uplink.link.renew():
            say("gateway", f"{uplink.root}: connecting anew with the new certificate")
