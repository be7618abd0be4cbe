"""When to ask an edge node for its births again: once, then backing off; so many a minute at most, plant-wide."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

MAX_KEPT = 10_000
"""More edge nodes than this are not remembered as asked: the longest ago are forgotten first."""
Key = tuple[str, str]
"""Group and edge node."""


@dataclass(frozen=True)
class Pace:
    """How patient the asking is. `per_minute` and `burst` hold for all edge nodes together (a token bucket)."""

    per_minute: float = 120.0
    burst: int = 10
    first_s: float = 10.0
    most_s: float = 600.0
    forget_s: float = 900.0


@dataclass(slots=True)
class _Wish:
    due: float
    why: str


@dataclass
class Rebirths:
    """`want` and `born` from the session, `due` from the clock; all times are monotonic seconds.

    A node that was asked is asked again after `first_s`, twice that, and so on up to `most_s`, until a birth comes. The
    waiting does not start anew with each birth: a node that loses a message every second (two clients with one
    id, a broken link) is asked ever more rarely, and is forgiven after `forget_s` without a wish.
    """

    pace: Pace = field(default_factory=Pace)
    rng: random.Random = field(default_factory=random.Random)
    sent: int = 0
    _wishes: dict[Key, _Wish] = field(default_factory=dict)
    _times: dict[Key, int] = field(default_factory=dict)
    _last: dict[Key, float] = field(default_factory=dict)
    _tokens: float = field(default=-1.0)
    _filled: float = 0.0

    def want(self, key: Key, now: float, why: str, within: float = 0.0) -> None:
        """A birth is needed; asked for at a random moment of the next `within` seconds, or when the back-off allows."""
        if key in self._wishes:
            return
        last = self._last.get(key)
        due = now + self.rng.uniform(0.0, within)
        if last is not None:
            if now - last > self.pace.forget_s:
                self._times.pop(key, None)
            due = max(due, last + self._wait(self._times.get(key, 0)))
        self._wishes[key] = _Wish(due, why)

    def born(self, key: Key) -> None:
        """The birth came (asked for or not)."""
        self._wishes.pop(key, None)

    def due(self, now: float) -> list[tuple[Key, str]]:
        """The edge nodes to ask now, longest waiting first, and why each."""
        self._fill(now)
        if len(self._last) > MAX_KEPT:
            old = [key for key, last in self._last.items() if key not in self._wishes]
            for key in sorted(old, key=lambda k: self._last[k])[: MAX_KEPT // 2]:
                del self._last[key]
                self._times.pop(key, None)
        waiting = sorted((wish.due, key) for key, wish in self._wishes.items() if wish.due <= now)
        found = []
        for _, key in waiting[: int(self._tokens)]:
            self._tokens -= 1
            self.sent += 1
            wish = self._wishes[key]
            found.append((key, wish.why))
            self._last[key] = now
            self._times[key] = min(self._times.get(key, 0) + 1, 30)
            wish.due = now + self._wait(self._times[key])
        return found

    def waiting(self) -> int:
        """How many edge nodes are wanted to be born again."""
        return len(self._wishes)

    def _wait(self, times: int) -> float:
        if times == 0:
            return 0.0
        return min(self.pace.most_s, self.pace.first_s * 2.0 ** (times - 1)) * self.rng.uniform(1.0, 1.3)

    def _fill(self, now: float) -> None:
        if self._tokens < 0:
            self._tokens = float(self.pace.burst)
        else:
            gained = max(0.0, now - self._filled) * self.pace.per_minute / 60.0
            self._tokens = min(float(self.pace.burst), self._tokens + gained)
        self._filled = now
