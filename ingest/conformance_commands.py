"""What a gateway does with commands: those that must be rejected, and one that is valid where the caller gives it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from ingest.conformance_active import ActiveRule, Session
from ingest.conformance_log import Item, Unjudged
from ingest.keys import sign
from ingest.payloads import Cmd, encode

PAUSE_S = 1.2
"""A gateway answers strangers once a second at most."""
LEASE_WALL_S = 3.0


def _control(session: Session) -> tuple[str, int]:
    """A control of the source with the value in force: a command that slipped through would change nothing."""
    born = session.log().births().get(session.epoch())
    tags = [tag for tag in (born.tags if born else []) if tag.name.startswith("set/")]
    if not tags:
        raise Unjudged("the birth has no set/CONTROL tag: this source takes no commands")
    value = int(tags[0].range[0]) if tags[0].range else 0
    for item in session.log().kind("data", "hist"):
        p = item.payload
        value = next((int(v) for i, v in zip(p.i, p.v, strict=True) if i == tags[0].i), value)
    return tags[0].name.removeprefix("set/"), value


def _cmd(session: Session, name: str, **changes: Any) -> Cmd:
    control, value = (session.order.control, session.order.value) if session.order else _control(session)
    now, speed = session.now(), session.clock().speed
    site = session.target.root.split("/")[2]
    cmd = Cmd(
        id=f"check-{session.tag}-{name}", target=control, value=value, not_before=now - 1, to=session.target.root,
        expires=now + round(60_000 * speed), lease_s=max(1, round(LEASE_WALL_S * speed)), state="sha256:check",
        rec="check", issuer=f"twin@{site}", sig="",
    )  # fmt: skip
    return msgspec.structs.replace(cmd, **changes)


def _answers(session: Session, cmd: Cmd, last: tuple[str, ...]) -> list[Item]:
    """Send a command and wait for its last step."""

    def mine(item: Item) -> bool:
        ours = item.kind == "cmdack" and item.payload is not None and item.payload.id == cmd.id
        return ours and item.number not in before

    time.sleep(PAUSE_S)
    session.hear(0.1)
    before = {item.number for item in session.log().kind("cmdack")}  # a tail that is sent again is no answer
    session.say("cmd", encode(cmd), cmd.id)
    heard = session.hear(session.answer_s, lambda item: mine(item) and item.payload.step in last)
    found = [item for item in heard if mine(item)]
    once = {item.number: item for item in found}
    return list(once.values())


def _rejected(session: Session, cmd: Cmd, what: str) -> Iterator[tuple[Item | None, str]]:
    answers = _answers(session, cmd, ("rejected", "executed"))
    steps = [item.payload.step for item in answers]
    bad = next((item for item in answers if item.payload.step in ("accepted", "executed")), None)
    if bad is not None:
        yield bad, f"{what} command was {bad.payload.step}"
    elif "rejected" not in steps:
        told = f"told {', '.join(steps)}" if steps else "said nothing"
        yield None, f"{what} command: expected the step rejected within {session.answer_s:g} s, the gateway {told}"


def unsigned(session: Session) -> Iterator[tuple[Item | None, str]]:
    """No signature: rejected."""
    _control(session)
    yield from _rejected(session, _cmd(session, "unsigned"), "an unsigned")


def badly_signed(session: Session) -> Iterator[tuple[Item | None, str]]:
    """Another key's signature: rejected."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    _control(session)
    yield from _rejected(session, sign(_cmd(session, "forged"), Ed25519PrivateKey.generate()), "a badly signed")


def expired(session: Session) -> Iterator[tuple[Item | None, str]]:
    """After its expiry: rejected (signed by the site where we have its key)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    _control(session)
    key = session.order.key if session.order else Ed25519PrivateKey.generate()
    now, hour = session.now(), 3_600_000
    cmd = _cmd(session, "expired", not_before=now - 2 * hour, expires=now - hour)
    yield from _rejected(session, sign(cmd, key), "an expired")


def valid(session: Session) -> Iterator[tuple[Item | None, str]]:
    """Received, accepted, executed with the value read back; the same again is rejected."""
    if session.order is None:
        raise Unjudged("no valid command is sent without --command CONTROL=VALUE and --key FILE")
    cmd = sign(_cmd(session, "valid"), session.order.key)
    answers = _answers(session, cmd, ("executed", "rejected"))
    steps = [item.payload.step for item in answers]
    if steps[-1:] == ["rejected"]:
        raise Unjudged(f"the gateway refused it: {answers[-1].payload.reason}")
    if steps != ["received", "accepted", "executed"]:
        yield (answers[-1] if answers else None), f"expected received, accepted, executed; told {steps or 'nothing'}"
        return
    if answers[-1].payload.read_back != cmd.value:
        yield answers[-1], f"executed, but {answers[-1].payload.read_back} was read back, not {cmd.value}"
    yield from _rejected(session, cmd, "a repeated")


def lease(session: Session) -> Iterator[tuple[Item | None, str]]:
    """A lease that is not renewed ends, and the gateway says so."""
    if session.order is None:
        raise Unjudged("no lease without --command CONTROL=VALUE and --key FILE")
    ident = f"check-{session.tag}-valid"

    def ended() -> Item | None:
        told = session.log().kind("cmdack")
        return next((i for i in told if i.payload.id == ident and i.payload.step == "lease_ended"), None)

    if not any(i.payload.id == ident and i.payload.step == "executed" for i in session.log().kind("cmdack")):
        raise Unjudged("the command was not executed")
    if ended() is None:
        wanted = (ident, "lease_ended")
        session.hear(
            LEASE_WALL_S + session.answer_s,
            lambda item: item.kind == "cmdack" and item.payload and (item.payload.id, item.payload.step) == wanted,
        )
    if ended() is None:
        yield None, f"the lease of {LEASE_WALL_S:g} s wall time ended, and no lease_ended was told"


COMMANDS = (
    ActiveRule("cmd-unsigned", "Check a command's signature first; answer rejected with the reason.", unsigned),
    ActiveRule("cmd-forged", "The signature is the site's Ed25519 over the canonical JSON.", badly_signed),
    ActiveRule("cmd-expired", "not_before <= now < expires.", expired),
    ActiveRule("cmd-valid", "Then act, read back, acknowledge; an id is good once.", valid),
    ActiveRule("cmd-lease", "A setpoint with a lease goes back at its end: lease_ended.", lease),
)
