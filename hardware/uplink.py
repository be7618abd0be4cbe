"""One source's way up: readings into columns, columns into the outbox, the outbox to the broker.

Order of sending: live messages first, then what the twin asked for again, then the backlog (telemetry of
the backlog goes to `/hist`, rate-limited, with its original number). While the twin is not online or the
broker is away nothing is sent and everything waits in the outbox, which is bounded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from hardware.link import Hooks, Link, Will
from hardware.outbox import Message, Outbox, Pending
from ingest.tls import Tls
from ingest.wire import UNCERTAIN, Ack, Birth, PlantTime, Req, Status, Tag, Trouble, encode, topic

WINDOW = 200
"""Messages handed to the connection and not yet acknowledged by the broker; more wait in the outbox."""
GRACE_S = 0.3
"""After connecting: time for the retained acknowledgement to arrive before the backlog is sent."""
STALL_S = 10.0
CALM_S = 10.0
"""So long after more came than could be sent live, values are still told newest first, once a `COALESCE_S` a tag."""
COALESCE_S = 1.0
MAX_COLUMN = 100
MAX_WAITING = 1000


@dataclass(slots=True)
class Counts:
    """What a source has done since it started."""

    sent: int = 0
    history: int = 0
    replayed: int = 0
    requests: int = 0
    bad: int = 0
    discarded: int = 0  # never numbered, because the disk could not be written
    coalesced: int = 0  # readings that a newer one of the same tag replaced before they were numbered


class Uplink:
    """The source `outbox.root`. `tags` are its birth's; all times are plant ms unless they say wall."""

    def __init__(self, outbox: Outbox, link: Link, tags: list[Tag], hist_rate: float = 200.0) -> None:
        self.outbox, self.link, self.root = outbox, link, outbox.root
        self.tags = tags
        self.alias = {tag.name: tag.i for tag in tags}
        self.values: dict[str, tuple[float, int]] = {}
        self.counts = Counts()
        self.plant_time: PlantTime | None = None
        self.online = False  # the twin's
        self.troubles: tuple[Trouble, ...] = ()
        self._columns: list[tuple[int, int, float, int]] = []
        self._place: dict[int, int] = {}  # alias -> its place in the columns, while degraded
        self._degraded_until = 0.0
        self._pending: list[Pending] = []
        self._since: float | None = None
        self._fresh: deque[Message] = deque()
        self._replays: deque[tuple[int, int]] = deque()
        self._backlog: deque[tuple[int, int]] = deque()
        self._hist_rate, self._tokens, self._filled = hist_rate, 0.0, time.monotonic()
        self._not_before = 0.0
        self._confirmed: int | None = None
        self._progress = time.monotonic()
        self._patience = STALL_S

    # readings in -------------------------------------------------------------------------------

    def value(self, t: int, name: str, value: float, quality: int) -> None:
        """One reading of a tag of the birth; while degraded the newest takes the place of one not yet numbered."""
        self.values[name] = (value, quality)
        alias = self.alias[name]
        if self.degraded and (place := self._place.get(alias)) is not None:
            if self._columns[place][3] == UNCERTAIN:  # a count that may have been reset stays so
                quality = max(quality, UNCERTAIN)
            self._columns[place] = (alias, t, value, quality)
            self.counts.coalesced += 1
            return
        self._place[alias] = len(self._columns)
        self._columns.append((alias, t, value, quality))
        if len(self._columns) >= MAX_COLUMN:
            self._close_columns()
        self._touch()

    def snapshot(self, t: int, quality: int | None = None) -> None:
        """All values as they stand, asserted at `t` (with another quality where given)."""
        for name, (value, known) in list(self.values.items()):
            self.value(t, name, value, known if quality is None else quality)

    def numbered(self, kind: str, suffix: str, payload: Mapping[str, Any]) -> None:
        """An event or a command acknowledgement (without `e` and `s`)."""
        self._close_columns()
        self._pending.append(Pending(kind, suffix, payload))
        self._touch()

    def _touch(self) -> None:
        if self._since is None:
            self._since = time.monotonic()

    def _close_columns(self) -> None:
        if not self._columns:
            return
        t0 = self._columns[0][1]
        self._pending.append(
            Pending(
                "data",
                "data",
                {
                    "t0": t0,
                    "i": [c[0] for c in self._columns],
                    "dt": [c[1] - t0 for c in self._columns],
                    "v": [c[2] for c in self._columns],
                    "q": [c[3] for c in self._columns],
                },
            )
        )
        self._columns.clear()
        self._place.clear()

    @property
    def degraded(self) -> bool:
        """Has more come of late than could be sent while the way was open?"""
        return time.monotonic() < self._degraded_until

    @property
    def waiting(self) -> int:
        """Messages not yet in the outbox."""
        return len(self._pending) + bool(self._columns)

    @property
    def settled(self) -> bool:
        """Is nothing waiting, and all that could be confirmed confirmed?"""
        return self.waiting == 0 and (not self.online or self.outbox.next == self.outbox.hw + 1)

    def due(self, delay_s: float) -> bool:
        """Is it time to write what waits (or a confirmation) to disk?"""
        delay_s = max(delay_s, COALESCE_S) if self.degraded and not self._pending else delay_s
        old = self._since is not None and time.monotonic() - self._since >= delay_s
        return old or self.waiting >= 100 or self._confirmed is not None

    def store(self) -> None:
        """Write what waits to the outbox and delete what is confirmed; inside the group's transaction."""
        self._close_columns()
        if self._pending:
            self._fresh.extend(self.outbox.append(self._pending))
        if self._confirmed is not None:
            self.outbox.confirm(self._confirmed)

    def stored(self) -> None:
        """The group is on disk."""
        self._pending.clear()
        self._since = None
        if self._confirmed is not None:
            self._confirmed = None
            self._progress, self._patience = time.monotonic(), STALL_S

    def not_stored(self) -> None:
        """The group was rolled back: what waits goes on waiting, the newest thousand of it."""
        self.counts.discarded += max(0, len(self._pending) - MAX_WAITING)
        self._pending = self._pending[-MAX_WAITING:]
        self.outbox.reload()
        self._fresh.clear()
        self._backlog.clear()
        self._backlog.append((self.outbox.hw + 1, self.outbox.next - 1))

    # connection --------------------------------------------------------------------------------

    def will(self) -> Will:
        return Will(topic(self.root, "status"), encode(Status(online=False, e=self.outbox.epoch, ts=0)))

    def birth(self) -> Birth:
        return Birth(
            v=1, e=self.outbox.epoch, s=self.outbox.first, sw=software(), tags=self.tags, plant_time=self.plant_time
        )

    def announce(self, ts: int) -> None:
        """Birth and status, retained; ValueError (WireError) where the birth is too big for a message."""
        self.link.publish(topic(self.root, "birth"), encode(self.birth()), retain=True)
        self.tell(ts)

    def tell(self, ts: int) -> None:
        """The status, retained, with what is wrong."""
        status = Status(online=True, e=self.outbox.epoch, ts=ts, degraded=self.troubles)
        self.link.publish(topic(self.root, "status"), encode(status), retain=True)

    def farewell(self, ts: int) -> None:
        self.link.publish(
            topic(self.root, "status"), encode(Status(online=False, e=self.outbox.epoch, ts=ts)), retain=True
        )

    def begin(self) -> None:
        """A new conversation (connected, or the twin is back): everything unconfirmed is backlog."""
        self._fresh.clear()
        self._replays.clear()
        self._backlog.clear()
        if self.outbox.next > self.outbox.hw + 1:
            self._backlog.append((self.outbox.hw + 1, self.outbox.next - 1))
        self._not_before = time.monotonic() + GRACE_S
        self._progress = time.monotonic()

    def heard_ack(self, ack: Ack) -> str | None:
        """The twin's watermark; returns a complaint where it cannot be true."""
        if ack.e != self.outbox.epoch:
            return None
        if ack.hw >= self.outbox.next:
            return (
                f"{self.root}: the twin has committed number {ack.hw}, the outbox issued {self.outbox.next - 1} only; "
                "is outbox.db an old copy? move it away to start a new epoch"
            )
        if ack.hw > max(self.outbox.hw, self._confirmed or 0):
            self._confirmed = ack.hw
        return None

    def heard_request(self, req: Req, now: int) -> str | None:
        """A request of the twin; returns "rebirth" or "time" where the caller has to act."""
        if req.expires <= now or (req.e is not None and req.e != self.outbox.epoch):
            return None
        self.counts.requests += 1
        if req.want != "replay":
            return req.want
        if req.from_ is not None and req.to is not None and len(self._replays) < 16:
            self._replays.append((max(req.from_, self.outbox.hw + 1), min(req.to, self.outbox.next - 1)))
        return None

    # out ---------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what may be sent now."""
        self._refill()
        if not (self.online and self.link.connected):
            self._fresh.clear()  # it is on disk, and backlog once the conversation begins again
            return
        while self._fresh and self.link.in_flight < WINDOW:
            message = self._fresh.popleft()
            if message.s > self.outbox.hw and not self._send(message):
                self._fresh.appendleft(message)
                return
            self.counts.sent += 1
        if len(self._fresh) > 5 * WINDOW:
            self._degraded_until = time.monotonic() + CALM_S
            self._backlog.append((self._fresh[0].s, self._fresh[-1].s))
            self._fresh.clear()
        if time.monotonic() >= self._not_before and not self._fresh:
            self._send_replays()
            self._send_backlog()
        self._watch_progress()

    def _refill(self) -> None:
        now = time.monotonic()
        self._tokens = min(self._hist_rate, self._tokens + (now - self._filled) * self._hist_rate)
        self._filled = now

    def _send(self, message: Message, *, history: bool = False) -> bool:
        body, suffix = message.body, message.suffix
        if history and message.kind == "data":
            body, suffix = body[:-1] + b',"h":1}', "hist"
        kind, _, ident = suffix.partition("/")
        return self.link.publish(topic(self.root, kind, ident), body)

    def _budget(self) -> int:
        return max(0, min(int(self._tokens), WINDOW // 2 - self.link.in_flight, 100))

    def _send_range(self, ranges: deque[tuple[int, int]], *, history: bool) -> int:
        """Send the head range's next messages as far as the rate allows; returns how many."""
        low, high = ranges[0]
        budget = self._budget()
        if budget == 0:
            return 0
        messages = self.outbox.stored(low, high, budget)
        for n, message in enumerate(messages):
            if not self._send(message, history=history):
                ranges[0] = (message.s, high)
                return n
        self._tokens -= len(messages)
        if len(messages) < budget:
            ranges.popleft()
        else:
            ranges[0] = (messages[-1].s + 1, high)
        return len(messages)

    def _send_replays(self) -> None:
        if self._replays and self._budget():
            low, high = self._replays[0]
            for gap in self.outbox.covered(low, high)[:100]:
                self._send(gap)
            self.counts.replayed += self._send_range(self._replays, history=False)

    def _send_backlog(self) -> None:
        if self._backlog:
            self.counts.history += self._send_range(self._backlog, history=True)

    def _watch_progress(self) -> None:
        """Nothing confirmed for long although things were sent: the tail may be lost, send it again (with back-off)."""
        now = time.monotonic()
        if self.outbox.next == self.outbox.hw + 1:
            self._progress = now
        elif now - self._progress > self._patience and not self._backlog:
            self._backlog.append((self.outbox.hw + 1, min(self.outbox.next - 1, self.outbox.hw + 1000)))
            self._progress, self._patience = now, min(120.0, self._patience * 2)


def load_news(uplinks: Iterable[Uplink], known: set[str]) -> Iterator[str]:
    """What to say of sources that now tell less than they hear, or everything again; `known` is kept up to date."""
    for uplink in uplinks:
        if uplink.degraded and uplink.root not in known:
            known.add(uplink.root)
            yield f"{uplink.root}: degraded: more comes than can be sent; of each tag the newest once a second"
        elif not uplink.degraded and uplink.root in known:
            known.discard(uplink.root)
            yield f"{uplink.root}: every change is told again; {uplink.counts.coalesced} readings were replaced so far"


def make_link(address: tuple[str, int], root: str, state_topic: str, hooks: Hooks, tls: Tls | None = None) -> Link:
    """The connection of one source with its subscriptions."""
    name = "gw-" + root.replace("/", "-")
    return Link(*address, name, [f"{root}/ack", f"{root}/req", f"{root}/cmd/+", state_topic], hooks, tls=tls)


@cache
def software() -> str:
    """Name and version for the birth."""
    try:
        return f"plantwin {metadata.version('plantwin')}"
    except metadata.PackageNotFoundError:
        return "plantwin from a checkout"
