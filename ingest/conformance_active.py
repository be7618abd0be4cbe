"""The active half of the check: act as the twin, and see whether the gateway does what the page says.

What is confirmed here the gateway deletes, so this is for a gateway on a bench; it refuses to begin while a twin is
online. The only commands sent are ones that must be rejected (they carry the value that is in force anyway), unless
the caller hands over a key and a command.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.conformance import Finding, Rule, judge
from ingest.conformance_live import SETTLE_S, Ear, Target
from ingest.conformance_log import Item, Log, Seen, Unjudged
from ingest.conformance_numbers import same
from ingest.mqtt import Will
from ingest.payloads import Ack, Req, TwinState, encode
from ingest.readings import PlantClock, wall_ms
from ingest.topics import topic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ANSWER_S = 8.0
"""A gateway has this long to answer."""
QUIET_S = 2.0
"""So long nothing must come where nothing may; half of it is granted to what was under way."""
ASKED = 10
"""Numbers asked for again."""


class TwinOnline(RuntimeError):  # noqa: N818 - the name of a state
    """A twin is online on this line: it would answer too."""


@dataclass(frozen=True, slots=True)
class Order:
    """A valid command to send: set `control` to `value`, signed with the site's key."""

    control: str
    value: int
    key: Ed25519PrivateKey


@dataclass
class Session:
    """One conversation with a gateway. Every probe is a check over `log()` as it stands after it asked."""

    ear: Ear
    target: Target
    seconds: float
    order: Order | None = None
    waits: tuple[float, float] = (ANSWER_S, QUIET_S)
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def answer_s(self) -> float:
        return self.waits[0]

    @property
    def quiet_s(self) -> float:
        return self.waits[1]

    def log(self) -> Log:
        return Log.of(self.ear.heard, self.target.root)

    def clock(self) -> PlantClock:
        found = self.log().clock()
        return found if found is not None else PlantClock()

    def now(self) -> int:
        return self.clock().at(wall_ms())

    def say(self, kind: str, body: bytes, ident: str = "", *, retain: bool = False) -> None:
        self.ear.link.publish(topic(self.target.root, kind, ident), body, retain=retain)

    def twin(self, *, online: bool) -> None:
        """Tell the gateways of the line whether a twin listens."""
        self.ear.link.publish(self.target.state_topic, encode(TwinState(online=online, ts=self.now())), retain=True)

    def request(self, want: str, low: int | None = None, high: int | None = None, *, late: bool = False) -> None:
        """Ask for something; `late`: with an expiry that has passed."""
        life = round(60_000 * self.clock().speed)
        expires = self.now() + (-life if late else life)
        epoch = self.epoch()
        self.say("req", encode(Req(e=epoch, want=want, from_=low, to=high, expires=expires)))  # type: ignore[arg-type]

    def epoch(self) -> str:
        born = self.log().kind("birth")
        if not born:
            raise Unjudged("there is no birth that decodes")
        return str(born[-1].payload.e)

    def hear(self, seconds: float, until: Callable[[Item], bool] | None = None) -> list[Item]:
        """Messages of the source in the next seconds, or until one of them is what was waited for."""

        def enough(new: list[Seen]) -> bool:
            return until is not None and any(until(item) for item in Log.of(new[-1:], self.target.root).items)

        return Log.of(self.ear.listen(seconds, enough), self.target.root).items

    def known(self) -> dict[int, Item]:
        """The first message of each number of the present epoch."""
        epoch, found = self.epoch(), dict[int, Item]()
        for item in self.log().items:
            if item.number is not None and item.number[0] == epoch and item.payload is not None:
                found.setdefault(item.number[1], item)
        return found


def run(
    target: Target, seconds: float, order: Order | None = None, waits: tuple[float, float] = (ANSWER_S, QUIET_S)
) -> tuple[list[Seen], list[Finding]]:
    """Talk to a gateway as the twin; returns what was heard (for the passive rules as well) and the findings.

    `waits`: how long an answer may take, and how long nothing must come where nothing may.

    Raises TwinOnline where a twin is there already, OSError without a broker, TlsError.
    """
    from ingest.conformance_commands import COMMANDS

    gone = Will(target.state_topic, encode(TwinState(online=False, ts=0)))
    with Ear(target, [f"{target.root}/#", target.state_topic], gone) as ear:
        session = Session(ear, target, seconds, order, waits)
        for seen in ear.listen(SETTLE_S):
            if seen.topic == target.state_topic and b'"online":true' in seen.body.replace(b" ", b""):
                raise TwinOnline(f"{target.state_topic}: a twin is online; stop it, or check on a broker of its own")
        try:
            session.twin(online=True)
            ear.listen(seconds)
            findings = [judge(session.log(), _bound(rule, session)) for rule in (*ACTIVE, *COMMANDS)]
        finally:
            session.twin(online=False)
        with Ear(target, [f"{target.root}/#"]) as again:
            ear.heard.extend(seen for seen in again.listen(SETTLE_S) if seen.retained)
    return ear.heard, findings


Probe = Callable[[Session], Iterator[tuple[Item | None, str]]]


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """A rule that asks before it judges."""

    id: str
    page: str
    probe: Probe


def _bound(rule: ActiveRule, session: Session) -> Rule:
    return Rule(rule.id, rule.page, lambda _: rule.probe(session))


def rebirth(session: Session) -> Iterator[tuple[Item | None, str]]:
    """Asked for, the birth comes again and says the same."""
    before = session.log().births()[session.epoch()]
    session.request("rebirth")
    heard = session.hear(session.answer_s, lambda item: item.kind == "birth")
    again = [item for item in heard if item.kind == "birth" and item.payload is not None]
    if not again:
        yield None, f"no birth within {session.answer_s:g} s of /req rebirth"
    elif (again[-1].payload.e, again[-1].payload.s) != (before.e, before.s):
        yield again[-1], "the birth that came is of another epoch or another first number"


def expired_request(session: Session) -> Iterator[tuple[Item | None, str]]:
    """A request that has expired is not answered."""
    session.request("rebirth", late=True)
    for item in session.hear(session.quiet_s):
        if item.kind == "birth":
            yield item, "a birth came although the request had expired"


def time_probe(session: Session) -> Iterator[tuple[Item | None, str]]:
    """Asked for the time, the gateway says its status with the present plant time."""
    session.request("time")
    heard = session.hear(session.answer_s, lambda item: item.kind == "status")
    told = [item for item in heard if item.kind == "status" and item.payload is not None]
    if not told:
        yield None, f"no status within {session.answer_s:g} s of /req time"
        return
    clock = session.clock()
    off = abs(told[-1].payload.ts - clock.at(told[-1].seen.recv)) / clock.speed
    if off > 120_000:
        yield told[-1], f"the time told is {off / 1000:.0f} s (wall time) off"


def offline(session: Session) -> Iterator[tuple[Item | None, str]]:
    """While the twin is offline nothing numbered is sent; afterwards everything that the outbox holds comes."""
    before = session.known()
    if not before:
        raise Unjudged("no numbered message came: have the plant move, or record for longer")
    session.twin(online=False)
    session.hear(session.quiet_s / 2)
    heard = [item for item in session.hear(max(2 * session.quiet_s, session.seconds / 2)) if item.number is not None]
    session.twin(online=True)
    for item in heard:
        yield item, f"number {item.number[1] if item.number else ''} was sent while the twin was offline"
    if heard:
        return
    newest = max(session.known())
    again = session.hear(session.answer_s, lambda item: item.number is not None and item.number[1] == newest)
    again += session.hear(session.quiet_s)
    numbers = {item.number[1] for item in again if item.number is not None}
    if newest not in numbers:
        yield None, f"number {newest} was never confirmed, and did not come again when the twin came back"
    high = max(numbers, default=newest)
    missing = sorted(set(range(newest + 1, high)) - numbers - _covered(again))
    if missing:
        yield None, f"{len(missing)} numbers from {missing[0]} on were lost while the twin was offline"


def _covered(items: list[Item]) -> set[int]:
    found: set[int] = set()
    for item in items:
        if item.kind == "gap" and item.payload is not None:
            found.update(range(item.payload.from_, min(item.payload.to, item.payload.from_ + 100_000) + 1))
    return found


def _range(session: Session) -> tuple[int, int, dict[int, Item]]:
    """The newest numbers in a row that were heard (at most `ASKED`), none of them a gap."""
    known = session.known()
    if not known:
        raise Unjudged("no numbered message came: have the plant move, or record for longer")
    high = low = max(known)
    while high - low + 1 < ASKED and low - 1 in known:
        low -= 1
    return low, high, known


def replay(session: Session) -> Iterator[tuple[Item | None, str]]:
    """A range that is asked for again comes word for word, on its original topics."""
    low, high, known = _range(session)
    session.request("replay", low, high)
    left, came = set(range(low, high + 1)), list[Item]()

    def done(item: Item) -> bool:
        if item.number is not None and item.kind != "hist":
            left.discard(item.number[1])
        return not left

    came = [item for item in session.hear(session.answer_s, done) if item.number is not None]
    found = {item.number[1]: item for item in came if item.number is not None and item.kind != "hist"}
    history = {item.number[1]: item for item in came if item.number is not None and item.kind == "hist"}
    for number in range(low, high + 1):
        again = found.get(number)
        if again is None and number in history:
            yield history[number], f"number {number} was asked for again and came on /hist, not on its own topic"
        elif again is None:
            yield None, f"number {number} was asked for again and did not come within {session.answer_s:g} s"
        elif same(again) != same(known[number]):
            yield again, f"number {number} came again with another content"


def confirmed(session: Session) -> Iterator[tuple[Item | None, str]]:
    """What a watermark covers is deleted: asked for again, it does not come."""
    low, high, _ = _range(session)
    session.say("ack", encode(Ack(e=session.epoch(), hw=high, holes=[], ts=session.now())), retain=True)
    session.hear(session.quiet_s)
    session.request("replay", low, high)
    for item in session.hear(session.quiet_s):
        if item.number is not None and low <= item.number[1] <= high and item.kind != "gap":
            yield item, f"number {item.number[1]} was confirmed with hw {high}, and is still sent"


ACTIVE = (
    ActiveRule("rebirth", "/req rebirth: publish the birth again.", rebirth),
    ActiveRule("request-expiry", "/req is void after expires.", expired_request),
    ActiveRule("time-probe", "/req time: say the status with the present plant time.", time_probe),
    ActiveRule("replay", "/req replay: send those again, original payload, original s, original topic.", replay),
    ActiveRule("twin-offline", "_twin/state online false: keep buffering; online true: send what is left.", offline),
    ActiveRule("ack-deletes", "/ack hw: delete everything up to hw.", confirmed),
)
