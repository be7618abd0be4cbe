"""Unwrapping of counter registers: 16 or 32 bits wide, reset at shift change, sometimes while nobody looks.

The unwrapped total only grows. What cannot be known for sure (a register that may have been reset
while the gateway was away) gets quality "uncertain" instead of a guess that looks like a fact.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.codes import GOOD, UNCERTAIN


@dataclass(slots=True)
class Counter:
    """One register: its declared width (`bits`, None: never wraps) and whether it is `reset` now and then.

    `raw` is the last register value seen (None: never), `total` the unwrapped count, `t` plant ms of the last sight.
    """

    bits: int | None = None
    reset: bool = False
    raw: int | None = None
    total: int = 0
    t: int = 0
    surprises: int = 0  # drops that neither wrap nor reset explains
    step: int = 0  # how much the newest change added
    spread: int = 0  # how far the newest reading may be off: the distance to what the other explanation would count

    def feed(self, raw: int, t: int, *, watched: bool = True, was_reset: bool | None = None) -> tuple[int, int]:
        """The unwrapped total and its quality after reading `raw`.

        `watched` is False for the first sight after the fieldbus was away. `was_reset` says whether the register was
        reset since the last sight, where something else tells (a bit, the time of day); None: nothing tells.
        ValueError: not a register value.
        """
        if raw < 0 or (self.bits is not None and raw >= 1 << self.bits):
            raise ValueError(f"{raw} does not fit into a register of {self.bits} bits")
        last, self.raw, self.t = self.raw, raw, t
        self.spread = 0
        before = self.total
        if was_reset and last is not None:
            self.total += raw  # parts between the last sight and the reset are not known
            quality = GOOD if watched else UNCERTAIN
        else:
            quality = self._count(last, raw, watched, was_reset is None and self.reset)
        if last != raw:
            self.step = self.total - before if last is not None else 0
        return self.total, quality

    def _count(self, last: int | None, raw: int, watched: bool, resets: bool) -> int:
        if last is None:
            self.total = self.total or raw  # a total without a register goes on (its rule was changed)
            return GOOD
        if raw >= last:
            self.total += raw - last
            if resets and not watched and raw > last:
                self.spread = last
                return UNCERTAIN
            return GOOD
        return self._dropped(last, raw, watched, resets)

    def _dropped(self, last: int, raw: int, watched: bool, resets: bool) -> int:
        span = 1 << self.bits if self.bits is not None else None
        wraps = span is not None and (not resets or (last >= 0.75 * span and raw < 0.25 * span))
        if wraps and span is not None:
            step = raw - last + span
            self.total += step
            if resets:  # it may as well have been reset near its top
                self.spread = span - last
                return UNCERTAIN
            return GOOD if step < span // 2 else UNCERTAIN
        self.total += raw  # parts between the last sight and the reset are not known
        if not resets:
            self.surprises += 1
            return UNCERTAIN
        return GOOD if watched else UNCERTAIN

    def leads_to(self, raw: int) -> int | None:
        """The total that an event's register value stands for: where it is the value last seen, or one that the
        newest change passed over (several parts of one moment).
        """
        if self.raw is None:
            return None
        back = self.raw - raw if self.bits is None else (self.raw - raw) % (1 << self.bits)
        return self.total - back if back == 0 or 0 < back < self.step else None
