"""Several controls moved by one recommendation: which, by which commands, and what became of each. Pure functions.

A recommendation's `moves` are carried out one after another in their order, `moves[0]` being the one that matters most;
a body without them (old log rows, other advisers) is the one move of its `control`, `from` and `to`. No order of them
can break a limit of the plant file that their end keeps: a limit binds one control under a station's state, never two
controls to each other, and the ranges of a reorder point and its order-up-to level may not overlap
(`sim.checkcontrol`). What can happen in between is that the plant itself changes; the gateway looks again before each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from twin.model import Command

MOST_MOVES = 64
"""The wire's `/rec` holds no more."""
MOST_ID = 64
"""Longest id of a command on the wire."""
_FIELDS = ("control", "from", "to")

WAITING, UNDER_WAY, SET, FAILED = "waiting", "under way", "set", "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of one move: `state` is waiting (no command was made), under way, set (read back) or failed.

    `t` is the plant time (ms) of the last that is known of its command, `until` when the lease of what is set ends,
    0 where nothing is set.
    """

    state: str
    note: str = ""
    by: str = "service:twin"
    t: int = 0
    until: int = 0


def moves_of(rec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The moves of a recommendation or of one of its alternatives: `{control, from, to}` each, at least one."""
    return list(rec.get("moves") or ()) or [{name: rec.get(name) for name in _FIELDS}]


def controls_of(rec: Mapping[str, Any]) -> list[str]:
    """The controls it moves, in the order of its moves."""
    return [move["control"] for move in moves_of(rec)]


def moves_problem(body: Mapping[str, Any]) -> str:
    """Why the moves of a proposed body are not well formed, or ""; `control`, `from` and `to` are there."""
    moves = body.get("moves")
    for name in ("from", "to"):
        if not _whole(body[name]):
            return f"{name} must be a whole number, found {body[name]!r}"
    if not isinstance(body["control"], str):
        return f"control must be a control's id, found {body['control']!r}"
    if moves is None:
        return ""
    if not isinstance(moves, list) or not 1 <= len(moves) <= MOST_MOVES:
        found = f"{len(moves)}" if isinstance(moves, list) else type(moves).__name__
        return f"moves must be a list of 1 to {MOST_MOVES}, found {found}"
    for n, move in enumerate(moves):
        if not isinstance(move, dict) or set(move) != set(_FIELDS):
            return f"moves[{n}] must hold control, from and to and nothing else, found {str(move)[:100]}"
        if not isinstance(move["control"], str) or not _whole(move["from"]) or not _whole(move["to"]):
            return f"moves[{n}] must be a control's id and two whole numbers, found {str(move)[:100]}"
    twice = sorted({m["control"] for m in moves if sum(other["control"] == m["control"] for other in moves) > 1})
    if twice:
        return f"moves: {', '.join(twice)} is moved more than once; one command a control"
    if any(moves[0][name] != body[name] for name in _FIELDS):
        return f"moves[0] must be the body's own {_said(body)}, found {_said(moves[0])}"
    if len(command_id(body, len(moves) - 1)) > MOST_ID:
        return f"id must leave room for {len(moves)} commands, whose ids have at most {MOST_ID} letters"
    return ""


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _said(move: Mapping[str, Any]) -> str:
    return f"{move['control']} {move['from']} to {move['to']}"


def command_id(rec: Mapping[str, Any], n: int = 0) -> str:
    """The id of the command of move `n`: made from the recommendation's, so that posting it again after a kill changes
    nothing. The number stands before the dash, where no other recommendation's id can make it the same.
    """
    return f"c-{rec['id']}" if n == 0 else f"c{n + 1}-{rec['id']}"


def progress(rec: Mapping[str, Any], commands: Mapping[str, Command], t: int) -> dict[str, Progress]:
    """What became of each move by plant time `t`, by the commands made for it and the journal's `commands`."""
    made, refused = rec.get("commands") or {}, rec.get("refused") or {}
    found = {}
    for n, move in enumerate(moves_of(rec)):
        control = move["control"]
        if control in refused:
            found[control] = Progress(FAILED, refused[control])
        else:
            found[control] = _progress(move, made.get(control), commands.get(command_id(rec, n)), t)
    return found


def _progress(move: Mapping[str, Any], fields: Mapping[str, Any] | None, command: Command | None, t: int) -> Progress:
    expired = fields is not None and t >= fields["expires"]
    if command is None:
        if fields is None:
            return Progress(WAITING)
        return Progress(FAILED, "the command never came into the journal", t=t) if expired else Progress(UNDER_WAY)
    if command.step == "rejected":
        return Progress(FAILED, command.reason or "rejected", "gateway", command.t)
    if command.step in ("executed", "lease_ended"):
        if command.read_back is not None and command.read_back == move["to"]:
            lease_ms = 1000 * int((fields or {}).get("lease_s") or 0)
            return Progress(SET, f"read back {command.read_back:g}", "gateway", command.t, command.t + lease_ms)
        why = f" ({command.reason})" if command.reason else ""
        return Progress(FAILED, f"read back {command.read_back}, expected {move['to']}{why}", "gateway", command.t)
    if expired:
        return Progress(FAILED, f"no execution was acknowledged in time (last step: {command.step})", t=t)
    return Progress(UNDER_WAY, command.step, t=command.t)


def told(found: Mapping[str, Progress]) -> dict[str, dict[str, Any]]:
    """Progress as the log and the API hold it."""
    return {control: asdict(one) for control, one in found.items()}


def in_state(found: Mapping[str, Progress], *states: str) -> list[str]:
    """The controls whose move is in one of these states, in the order of the moves."""
    return [control for control, one in found.items() if one.state in states]


def confirmed_note(rec: Mapping[str, Any], found: Mapping[str, Progress]) -> str:
    """What was read back."""
    if len(found) == 1:
        return next(iter(found.values())).note
    return "read back " + ", ".join(f"{move['control']} {move['to']}" for move in moves_of(rec))


def failed_note(rec: Mapping[str, Any], found: Mapping[str, Progress], why: str = "") -> str:
    """Which moves failed and why, which were carried out and stand, which were not tried. `why`: of the whole."""
    if len(found) == 1:
        return why or next(iter(found.values())).note
    parts = [f"{control}: {one.note}" for control, one in found.items() if one.state == FAILED]
    parts = [f"{why} ({'; '.join(parts)})" if parts else why] if why else parts
    if stands := [_said(move) for move in moves_of(rec) if found[move["control"]].state == SET]:
        parts.append(f"set already, and stands until its lease ends: {', '.join(stands)}")
    if unknown := in_state(found, UNDER_WAY):
        parts.append(f"sent, and not known whether it was done: {', '.join(unknown)}")
    if waiting := in_state(found, WAITING):
        parts.append(f"not sent: {', '.join(waiting)}")
    return "; ".join(parts)


def share_controls(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The controls that both recommendations move."""
    theirs = set(controls_of(other))
    return [control for control in controls_of(one) if control in theirs]
