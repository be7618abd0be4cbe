"""The life of a recommended action: who may do what when, and why not. Pure bookkeeping over log rows.

Every change of a recommendation is one row of the evidence log; `Book.replay` builds the same book from those
rows, so that a killed twin goes on where it was. Nothing here knows HTTP, keys or the kernel.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sim.plant import Control, Plant
from twin import joint
from twin.joint import FAILED, SET, UNDER_WAY, WAITING, command_id, moves_of
from twin.log import Entry, EvidenceLog
from twin.model import Command

OPEN = ("proposed", "deferred")
ON_ITS_WAY = ("accepted", "sent")
ALLOWED: dict[str, frozenset[str]] = {
    "proposed": frozenset({"expired", "withdrawn", "rejected", "deferred", "superseded", "accepted"}),
    "deferred": frozenset({"expired", "withdrawn", "rejected", "superseded", "accepted"}),
    "accepted": frozenset({"sent", "failed"}),
    "sent": frozenset({"confirmed", "failed"}),
    "confirmed": frozenset({"evaluated", "failed"}),
}
"""Transitions; a status that is not a key is final."""
DECISIONS = {"accept": "accepted", "reject": "rejected", "defer": "deferred"}
LEAST_WALL_MS = 120_000
"""A recommendation lives at least this long on the wall."""
CLASS_LIFE_MS = {"release": 15 * 60_000, "supply": 60 * 60_000}
"""Life of a recommendation by class of action, in plant ms."""
CLOCK_MS = 300_000
"""Plant ms by which the clock must have gone back before what was proposed under it is withdrawn."""
_ID = re.compile(r"[a-z0-9_-]{1,62}")
_OPS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq, "!=": operator.ne}
_REQUIRED = ("id", "control", "from", "to", "gain", "horizon_s")


class Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    """What was asked is not done; the text is the reason for the person who asked."""


@dataclass(frozen=True, slots=True)
class Present:
    """The newest state as far as decisions need it. Times are plant ms; `states` has the unit states by station id."""

    t: int
    pos: int = 0
    speed: float = 1.0
    stale: str = ""  # why the data are stale, "" when they are not
    paused: bool = False
    mode: str = ""
    state: str = ""
    posterior: str = ""
    controls: dict[str, int] = field(default_factory=dict)
    control_t: dict[str, int] = field(default_factory=dict)
    states: dict[str, list[str]] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)

    def wall(self, ms: int) -> int:
        """Plant ms in `ms` of wall time."""
        return round(ms * self.speed)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a recommendation: new status, who made it, a note, fields that change, the type of the log row."""

    status: str
    actor: str
    note: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    kind: str = "decision"


def inadmissible(plant: Plant, now: Present, control_id: str, frm: int, to: int) -> list[str]:
    """Everything that forbids setting a control from `frm` to `to` now; empty when it may be done."""
    control = next((c for c in plant.controls if c.id == control_id), None)
    if control is None:
        return [f"control {control_id!r} is not in plant {plant.id}; it has {', '.join(c.id for c in plant.controls)}"]
    problems = []
    if now.paused:
        problems.append("the optimiser is paused")
    if now.stale:
        problems.append(f"the data are stale ({now.stale})")
    if now.mode == "manual":
        problems.append("the plant is in manual mode")
    if not control.low <= to <= control.high:
        problems.append(f"{control.id}: {to} is outside {control.low}..{control.high}")
    elif (to - control.low) % control.step:
        problems.append(f"{control.id}: {to} is not a multiple of the step {control.step} from {control.low}")
    if to == frm:
        problems.append(f"{control.id} is {to} already")
    present = now.controls.get(control_id)
    if present != frm:
        problems.append(f"premise changed: {control.id} is {present} now, the recommendation assumed {frm}")
    problems += _too_soon(plant, control, now)
    problems += limit_problems(plant, now, control_id, to)
    return problems


def all_problems(plant: Plant, now: Present, rec: dict[str, Any]) -> list[str]:
    """Everything that forbids the moves of a recommendation now, each reason once, in the order of the moves.

    Each move is judged in the present state: no other move of the same recommendation makes it admissible or not
    (`twin.joint` says why), so that what holds here holds after each command, in whatever order they are carried out.
    """
    found = (p for m in moves_of(rec) for p in inadmissible(plant, now, m["control"], m["from"], m["to"]))
    return list(dict.fromkeys(found))


def premise_problems(now: Present, rec: dict[str, Any]) -> str:
    """Which controls are no longer what the recommendation assumed, or ""."""
    found = [(m, now.controls.get(m["control"])) for m in moves_of(rec)]
    changed = [f"{m['control']} is {value} now, {m['from']} was assumed" for m, value in found if value != m["from"]]
    return f"premise changed: {'; '.join(changed)}" if changed else ""


def _too_soon(plant: Plant, control: Control, now: Present) -> list[str]:
    last = now.control_t.get(control.id)
    every_ms = round(control.every * plant.tick_s * 1000)
    if last is None or now.t - last >= every_ms:
        return []
    ago = f"{(now.t - last) / 60000:.0f} min ago"
    return [f"{control.id} was changed {ago}; {every_ms / 60000:.0f} min must pass between changes"]


def limit_problems(plant: Plant, now: Present, control_id: str, to: int) -> list[str]:
    """Limits of the plant file that setting `control_id` to `to` would break in the present state."""
    problems = []
    for limit in plant.limits:
        if limit.control != control_id or _OPS[limit.op](to, limit.value):
            continue
        thing, _, state = limit.condition.partition(".")
        if not limit.condition or state in now.states.get(thing, []):
            when = f" while {thing} is {state}" if limit.condition else ""
            problems.append(f"limit{when}: {limit.control} {limit.op} {limit.value:g}, found {to}")
    return problems


class Book:
    """All recommendations, newest last, with compare-and-set on their version. Every change goes to `log` first."""

    def __init__(self, plant: Plant, log: EvidenceLog) -> None:
        self.plant, self.log = plant, log
        self.recs: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.evaluated = 0
        self.advice_t: int | None = None
        self.advice_why = ""
        self.policy: dict[str, Any] | None = None  # does the policy answer: {ok, why, late, failed}; None: nobody said
        self.paused = False
        self._keys: dict[str, str] = {}

    @classmethod
    def replay(cls, plant: Plant, log: EvidenceLog) -> Book:
        """The book as the rows of `log` leave it."""
        book = cls(plant, log)
        for row in log.of_type("recommendation", "decision", "command", "outcome", "advice", "pause"):
            book._apply(row["type"], row["body"], row["t"])
        return book

    def newest_first(self) -> list[dict[str, Any]]:
        return list(self.recs.values())[::-1]

    def in_status(self, *statuses: str) -> list[dict[str, Any]]:
        return [rec for rec in self.recs.values() if rec["status"] in statuses]

    # changes ---------------------------------------------------------------------------------

    def propose(self, body: dict[str, Any], now: Present, actor: str) -> dict[str, Any]:
        """Take a recommendation from advise; raises Refused with every reason why it cannot be shown."""
        self._check_body(body)
        known = self.recs.get(body["id"])
        if known is not None:
            return self._close_known(known, body, now, actor)
        problems = all_problems(self.plant, now, body)
        if problems:
            raise Refused("; ".join(problems))
        moved = joint.controls_of(body)
        classes = [CLASS_LIFE_MS.get(c.klass, CLASS_LIFE_MS["release"]) for c in self.plant.controls if c.id in moved]
        life = max(min(classes), now.wall(LEAST_WALL_MS))  # as long as the class that is over first
        rec = {k: v for k, v in body.items() if k not in ("version", "status", "timeline", "realised", "created")}
        rec |= {
            "created": now.t,
            "expires": max(int(body.get("expires") or 0), now.t + life),
            "realised": None,
            "reason": "",
        }
        for old in self.in_status(*OPEN):
            if joint.share_controls(rec, old):
                self._change(old, now, Step("superseded", "service:twin", f"by {rec['id']}"))
        self._write("recommendation", {"rec": rec, "by": actor}, now, actor)
        return self.recs[rec["id"]]

    def _close_known(self, rec: dict[str, Any], body: dict[str, Any], now: Present, actor: str) -> dict[str, Any]:
        status = body.get("status")
        if status not in ("withdrawn", "superseded"):
            raise Refused(f"recommendation {rec['id']} exists already ({rec['status']})")
        if rec["status"] not in OPEN:
            raise Refused(f"recommendation {rec['id']} is {rec['status']}, no longer open")
        return self._change(rec, now, Step(status, actor, str(body.get("reason") or "premise changed")))

    def decide(
        self, request: dict[str, Any], now: Present, actor: str, extra: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """An operator's decision; raises Refused with the reason. The same `key` twice is the same decision once.

        `extra` is kept with an acceptance (evidence for the later evaluation).
        """
        rec, key = self.recs.get(str(request.get("id"))), str(request.get("key") or "")
        if rec is None:
            raise Refused(f"recommendation {request.get('id')!r} is not known")
        if key and self._keys.get(key) == rec["id"]:
            return rec
        self._may_decide(rec, request, now)
        status, reason = DECISIONS[request["decision"]], str(request.get("reason") or "")
        if status == "rejected" and not reason:
            raise Refused("a rejection needs a reason")
        if status == "deferred" and rec["status"] == "deferred":
            raise Refused(f"recommendation {rec['id']} is deferred already")
        changes: dict[str, Any] = {"key": key}
        if status == "accepted":
            problems = all_problems(self.plant, now, rec) + self._being_set(rec)
            if problems:
                if any(p.startswith("premise changed") for p in problems):
                    self._change(rec, now, Step("withdrawn", "service:twin", "; ".join(problems)))
                raise Refused("; ".join(problems))
            changes["accepted"] = extra or {}
        return self._change(rec, now, Step(status, actor, reason, changes))

    def _being_set(self, rec: dict[str, Any]) -> list[str]:
        """Another recommendation's commands are under way to the same controls: which of them would win is luck."""
        found = [(other, joint.share_controls(rec, other)) for other in self.in_status(*ON_ITS_WAY)]
        return [f"{', '.join(both)}: being set by {other['id']} just now" for other, both in found if both]

    def _may_decide(self, rec: dict[str, Any], request: dict[str, Any], now: Present) -> None:
        if request.get("decision") not in DECISIONS:
            raise Refused(f"decision {request.get('decision')!r}: expected accept, reject or defer")
        if rec["status"] in OPEN and now.t >= rec["expires"]:
            self._change(rec, now, Step("expired", "service:twin", ""))
        if rec["status"] not in OPEN:
            why = f" ({rec['reason']})" if rec["reason"] else ""
            raise Refused(f"recommendation {rec['id']} is {rec['status']}{why}")
        if request.get("version") != rec["version"]:
            versions = f"version {rec['version']}, yours is {request.get('version')}"
            raise Refused(f"recommendation {rec['id']} has changed: {versions}; look again")

    def tick(self, now: Present) -> list[dict[str, Any]]:
        """What time and the plant do to recommendations: expiry, withdrawal, progress of commands. Returns the
        changed ones.
        """
        changed = []
        for rec in self.in_status(*OPEN):
            if now.t < rec["created"] - CLOCK_MS:
                changed.append(self._change(rec, now, Step("withdrawn", "service:twin", "the plant's clock went back")))
            elif now.t >= rec["expires"]:
                changed.append(self._change(rec, now, Step("expired", "service:twin", "")))
            elif now.controls and (note := premise_problems(now, rec)):
                changed.append(self._change(rec, now, Step("withdrawn", "service:twin", note)))
        for rec in self.in_status("confirmed"):
            if now.t < rec["confirmed"] - CLOCK_MS:
                note = "the plant's clock went back (or it began anew): the effect cannot be measured"
                changed.append(self._change(rec, now, Step("failed", "service:twin", note)))
        for rec in self.in_status(*ON_ITS_WAY):
            if now.t < rec["created"] - CLOCK_MS:
                changed.append(self._failed(rec, now, "the plant's clock went back"))
            else:
                changed += self._follow(rec, now)
        return changed

    # what is on its way ----------------------------------------------------------------------

    def due(self, rec: dict[str, Any], now: Present) -> dict[str, Any] | None:
        """The move whose command is to be posted now, None where there is none, as one must be waited for.

        One after another, each only when the one before was read back: where the plant refuses one, the others are
        not tried, so that as little as possible stands without what it was judged with. Each must still be admissible
        (age of the data apart): what was changed by hand since the acceptance is left alone, the gateway does not know.
        """
        found = joint.progress(rec, now.commands, now.t)
        for n, move in enumerate(moves_of(rec)):
            control, state = move["control"], found[move["control"]].state
            if state == SET:
                continue
            if state == FAILED or command_id(rec, n) in now.commands:
                return None
            if state == WAITING:
                problems = inadmissible(self.plant, replace(now, stale=""), control, move["from"], move["to"])
                if problems:
                    self.refuse(rec, control, now, f"not sent: {'; '.join(problems)}")
                    return None
            return move if now.controls.get(control) in (move["from"], move["to"]) else None
        return None

    def command(self, rec: dict[str, Any], fields: dict[str, Any], now: Present, control: str = "") -> None:
        """Note the signed command of an accepted recommendation's move (by its control; the first one's without)
        before it is posted; the status stays accepted.
        """
        body = {"id": rec["id"], "control": control or moves_of(rec)[0]["control"], "command": fields}
        self._write("command", body, now, "service:twin")

    def sent(self, rec: dict[str, Any], now: Present, note: str) -> None:
        """All commands are where they cannot be lost."""
        if rec["status"] == "accepted":
            self._change(rec, now, Step("sent", "service:twin", note, kind="command"))

    def refuse(self, rec: dict[str, Any], control: str, now: Present, note: str) -> None:
        """One move cannot be carried out. The recommendation has failed as soon as none of its commands is under way:
        until then nobody can say what stands.
        """
        self._write("command", {"id": rec["id"], "control": control, "refused": note}, now, "service:twin")
        self._follow(rec, now)

    def _follow(self, rec: dict[str, Any], now: Present) -> list[dict[str, Any]]:
        """Move an accepted recommendation on by what the journal holds of its commands."""
        changed = []
        ids = [command_id(rec, n) for n in range(len(moves_of(rec)))]
        if rec["status"] == "accepted" and all(ident in now.commands for ident in ids):
            changed.append(self._change(rec, now, Step("sent", "service:twin", "in the journal")))
        found = joint.progress(rec, now.commands, now.t)
        told = joint.told(found) if len(found) > 1 else None
        if joint.in_state(found, FAILED) and not joint.in_state(found, UNDER_WAY):
            changed.append(self._failed(rec, now))
        elif not joint.in_state(found, FAILED, UNDER_WAY, WAITING):
            changes: dict[str, Any] = {"confirmed": now.t} | ({"progress": told} if told else {})
            note = joint.confirmed_note(rec, found)
            changed.append(self._change(rec, now, Step("confirmed", "gateway", note, changes, kind="command")))
        elif told and told != rec.get("progress"):
            self._write("command", {"id": rec["id"], "progress": told}, now, "service:twin")
            changed.append(rec)
        return changed

    def _failed(self, rec: dict[str, Any], now: Present, why: str = "") -> dict[str, Any]:
        """It has failed; what of it was carried out is said, and stands until its lease ends."""
        found = joint.progress(rec, now.commands, now.t)
        changes = {"progress": joint.told(found)} if len(found) > 1 else {}
        by = "gateway" if any(one.state == FAILED and one.by == "gateway" for one in found.values()) else "service:twin"
        note = joint.failed_note(rec, found, why)
        return self._change(rec, now, Step("failed", by, note, changes, kind="command"))

    def outcome(self, rec: dict[str, Any], realised: dict[str, Any], now: Present) -> None:
        self._change(rec, now, Step("evaluated", "service:twin", "", {"realised": realised}, kind="outcome"))

    def advise(self, n: int, why: str, now: Present, actor: str) -> None:
        self._write("advice", {"evaluated": n, "why": why}, now, actor)

    def policy_told(self, told: dict[str, Any], now: Present, actor: str) -> None:
        """The advice service says whether its policy answers; while it does not, rule and search go on without it."""
        self._write("advice", {"evaluated": 0, "policy": told}, now, actor)

    def pause(self, on: bool, now: Present, actor: str) -> None:
        self._write("pause", {"on": on}, now, actor)

    # writing and applying --------------------------------------------------------------------

    def _change(self, rec: dict[str, Any], now: Present, step: Step) -> dict[str, Any]:
        if step.status not in ALLOWED.get(rec["status"], frozenset()):
            raise Refused(f"recommendation {rec['id']} is {rec['status']}; it cannot become {step.status}")
        body = {
            "id": rec["id"],
            "version": rec["version"] + 1,
            "status": step.status,
            "by": step.actor,
            "note": step.note,
            "changes": step.changes,
        }
        self._write(step.kind, body, now, step.actor)
        return rec

    def _write(self, kind: str, body: dict[str, Any], now: Present, actor: str) -> None:
        self.log.append(
            Entry(t=now.t, type=kind, actor=actor, body=body, journal=now.pos, state=now.state, posterior=now.posterior)
        )
        self._apply(kind, body, now.t)

    def _apply(self, kind: str, body: dict[str, Any], t: int) -> None:
        self.version += 1
        if kind == "advice":
            self.evaluated += body["evaluated"]
            if "policy" in body:
                self.policy = body["policy"]
            else:
                self.advice_t, self.advice_why = t, body["why"]
        elif kind == "pause":
            self.paused = body["on"]
        elif kind == "recommendation":
            rec = dict(body["rec"])
            rec |= {"version": 1, "status": "proposed"}
            rec["timeline"] = [{"t": t, "status": "proposed", "by": body["by"], "note": ""}]
            self.recs[rec["id"]] = rec
        elif "status" not in body:
            self._carried(self.recs[body["id"]], body)
        else:
            self._step(self.recs[body["id"]], body, t)

    def _step(self, rec: dict[str, Any], body: dict[str, Any], t: int) -> None:
        rec["status"], rec["version"] = body["status"], body["version"]
        rec["timeline"] = [*rec["timeline"], {"t": t, "status": body["status"], "by": body["by"], "note": body["note"]}]
        if body["status"] not in ("sent", "confirmed", "evaluated"):
            rec["reason"] = body["note"]
        changes = dict(body["changes"])
        if key := changes.pop("key", ""):
            self._keys[key] = rec["id"]
        rec.update(changes)

    def _carried(self, rec: dict[str, Any], body: dict[str, Any]) -> None:
        """A row about the commands of a recommendation; of old it was its only one's, without a control."""
        control = body.get("control") or moves_of(rec)[0]["control"]
        if "command" in body:
            rec["commands"] = rec.get("commands", {}) | {control: body["command"]}
        elif "refused" in body:
            rec["refused"] = rec.get("refused", {}) | {control: body["refused"]}
        else:
            rec["progress"] = body["progress"]

    def _check_body(self, body: dict[str, Any]) -> None:
        if not isinstance(body, dict):
            raise Refused(f"recommendation: expected an object, found {type(body).__name__}")
        if not _ID.fullmatch(str(body.get("id", ""))):
            raise Refused(f"recommendation: id must match {_ID.pattern}, found {body.get('id')!r}")
        if body["id"] in self.recs:
            return
        missing = [name for name in _REQUIRED if name not in body]
        if missing:
            raise Refused(f"recommendation {body['id']}: {', '.join(missing)} missing")
        if problem := joint.moves_problem(body):
            raise Refused(f"recommendation {body['id']}: {problem}")
        gain = body["gain"]
        numbers = isinstance(gain, dict) and all(isinstance(gain.get(k), (int, float)) for k in ("mean", "lo", "hi"))
        if not numbers or not all(abs(gain[k]) < 1e15 for k in ("mean", "lo", "hi")):
            raise Refused(f"recommendation {body['id']}: gain must hold finite mean, lo and hi, found {gain!r}")
        if not isinstance(body["horizon_s"], (int, float)) or not 0 < body["horizon_s"] <= 366 * 86400:
            raise Refused(
                f"recommendation {body['id']}: horizon_s must be seconds above 0, found {body['horizon_s']!r}"
            )


def overdue(recs: Iterable[dict[str, Any]], t: int) -> list[dict[str, Any]]:
    """Confirmed recommendations whose horizon has ended by plant time `t`."""
    return [r for r in recs if r["status"] == "confirmed" and t >= r["accepted"].get("t", 0) + r["horizon_s"] * 1000]
