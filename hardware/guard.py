"""Whether a command may be carried out: pure functions, one reason each.

The order is that of the gate: is it ours (signature, issuer, address), is it fresh (retained, replayed,
not yet, expired), may it (target, pause, mode, range, step, rate, limits).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.keys import SCHEME, verify
from ingest.wire import Cmd
from sim.plant import Control, Limit

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

REASONS = (
    "malformed", "retained", "unsigned", "bad_signature", "wrong_issuer", "wrong_address", "replayed", "not_yet",
    "expired", "unknown_target", "advisory", "paused", "no_plant", "manual_mode", "out_of_range", "off_step",
    "too_soon", "limit", "write_failed", "gateway_restarted", "too_many",
)  # fmt: skip
"""Every reason by which a command is rejected; the text after it says what was found."""

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not; `reason` is one of `REASONS`."""

    reason: str
    found: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.found}"[:250]


@dataclass(frozen=True, slots=True)
class Situation:
    """What the gateway knows at the moment it decides.

    `now` is plant ms; `states` the state names of each thing's units (a thing not in it was never heard);
    `settings` the setpoints in force; `changed` plant ms of each control's last change; `mode` None: never heard.
    """

    now: int
    controls: Mapping[str, Control]
    tick_ms: float
    limits: tuple[Limit, ...] = ()
    states: Mapping[str, set[str]] = field(default_factory=dict)
    settings: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    mode: str | None = "auto"
    connected: bool = True
    advisory: Mapping[str, str] = field(default_factory=dict)  # control -> why the PLC cannot hold a lease of it
    paused: bool = False


def authentic(cmd: Cmd, key: Ed25519PublicKey, issuer: str, root: str, ident: str) -> Refused | None:
    """Is the command signed by the site, from its issuer, and meant for this address?"""
    if not cmd.sig.startswith(SCHEME):
        return Refused("unsigned", f"expected a signature {SCHEME}..., found {cmd.sig[:20]!r}")
    if not verify(cmd, key):
        return Refused("bad_signature", "the signature is not the site key's over this content")
    if cmd.issuer != issuer:
        return Refused("wrong_issuer", f"expected {issuer}, found {cmd.issuer}")
    if cmd.id != ident or cmd.to not in (None, root):
        return Refused("wrong_address", f"command {cmd.id} for {cmd.to or 'any source'} came as {ident} to {root}")
    return None


def fresh(cmd: Cmd, now: int, *, seen: bool, retained: bool) -> Refused | None:
    """Is this its time, and its first time?"""
    if retained:
        return Refused("retained", "a stored command may be of any age; send it unretained")
    if seen:
        return Refused("replayed", f"{cmd.id} was received before")
    if now < cmd.not_before:
        return Refused("not_yet", f"valid in {(cmd.not_before - now) / 1000:.1f} s of plant time")
    if now >= cmd.expires:
        return Refused("expired", f"{(now - cmd.expires) / 1000:.1f} s of plant time ago")
    return None


def admissible(cmd: Cmd, situation: Situation) -> Refused | None:
    """May this value be set at this moment?"""
    control = situation.controls.get(cmd.target)
    if control is None:
        return Refused("unknown_target", f"{cmd.target}; this plant has {', '.join(sorted(situation.controls))}")
    if cmd.target in situation.advisory:
        return Refused("advisory", situation.advisory[cmd.target])
    if situation.paused:
        return Refused("paused", "the optimiser is paused at the gateway")
    if not situation.connected or cmd.target not in situation.settings:
        return Refused("no_plant", "the fieldbus is away or has not told the setpoint")
    if situation.mode != "auto":
        return Refused("manual_mode", f"the plant's mode is {situation.mode or 'unknown'}, expected auto")
    if not control.low <= cmd.value <= control.high:
        return Refused("out_of_range", f"{cmd.value} is outside {control.low}..{control.high}")
    if (cmd.value - control.low) % control.step:
        return Refused("off_step", f"{cmd.value} is not {control.low} plus a multiple of {control.step}")
    last = situation.changed.get(cmd.target)
    wait = control.every * situation.tick_ms
    if last is not None and situation.now - last < wait and cmd.value != situation.settings[cmd.target]:
        return Refused(
            "too_soon", f"{(situation.now - last) / 1000:.0f} s after the last change, {wait / 1000:.0f} s must pass"
        )
    return within_limits(cmd.target, cmd.value, situation)


def within_limits(control: str, value: int, situation: Situation) -> Refused | None:
    """The plant file's hard rules. A condition whose thing was never heard counts as true: unknown is not safe."""
    for limit in situation.limits:
        if limit.control != control or _COMPARE[limit.op](value, limit.value):
            continue
        thing, _, state = limit.condition.partition(".")
        states = situation.states.get(thing)
        if limit.condition == "" or states is None or state in states:
            known = limit.condition or "always"
            heard = "" if states is not None or limit.condition == "" else " (its state is unknown)"
            return Refused("limit", f"{known}{heard}: {control} {limit.op} {limit.value:g}, found {value}")
    return None
