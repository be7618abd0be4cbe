"""A recommendation in the plant engineer's words. No arithmetic on the promise: what the twin said is what is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

REASONS: Mapping[str, str] = {
    "already_done": "Already done at the plant",
    "not_possible": "Not possible now (people, material)",
    "twin_wrong": "The twin does not know something",
    "data_doubtful": "I doubt the data",
    "gain_too_small": "Gain too small for the effort",
    "too_risky": "Too risky now",
}
"""The six one-tap reasons for a rejection: what is stored -> what is on the button."""

DECISIONS = ("accept", "reject", "defer")

STATUS: Mapping[str, str] = {
    "proposed": "Waiting for you",
    "deferred": "Deferred, still open",
    "expired": "Expired",
    "withdrawn": "Withdrawn: the situation changed",
    "rejected": "Rejected",
    "superseded": "Replaced by a newer one",
    "accepted": "Accepted",
    "sent": "Command sent, waiting for the plant",
    "confirmed": "Confirmed: the plant read the new value back",
    "failed": "Failed",
    "evaluated": "Effect evaluated",
}
KINDS: Mapping[str, str] = {
    "cap": "WIP cap",
    "base_stock": "base stock",
    "level": "order-up-to level",
    "reorder": "reorder point",
    "express": "order-up-to level of the express source",
    "kanban": "kanban",
    "at_level": "condition for maintenance",
    "overtime": "overtime",
}
"""Last part of a control's `sets` -> what people call it."""
MEANING: Mapping[str, str] = {
    "cap": "The WIP cap is how many parts may be in the line at once.",
    "base_stock": "The base stock is how many units are kept in stock and under way together.",
    "level": "The order-up-to level is how much is kept on hand and on order together.",
    "reorder": "The reorder point is the stock, with what is on order, at which a new order is placed.",
    "express": "The dearer, faster source is asked for what is missing up to this level.",
    "kanban": "Kanbans are how many parts may wait there, cards in circulation.",
    "at_level": "The machine is maintained once its condition has worn down to this level.",
}
"""Last part of a control's `sets` -> what it does, in a sentence."""
WEIGHT = "The higher this weight, the more it counts when the next part for a free machine is chosen."
NO_SIGN_IN = "There is no sign-in yet, so nothing checks who presses the button."
OPEN = frozenset({"proposed", "deferred"})
ON_ITS_WAY = frozenset({"accepted", "sent"})


def decision_problem(body: Mapping[str, Any]) -> str | None:
    """Why this is not a decision that may be passed on, or None."""
    if not isinstance(body.get("id"), str) or not body["id"]:
        return f"id: expected a recommendation's id, found {body.get('id')!r}"
    if not isinstance(body.get("version"), int) or isinstance(body["version"], bool):
        return f"version: expected a whole number, found {body.get('version')!r}"
    if body.get("decision") not in DECISIONS:
        return f"decision: expected one of {', '.join(DECISIONS)}, found {body.get('decision')!r}"
    key = body.get("key")
    if not isinstance(key, str) or not 8 <= len(key) <= 100:
        return "key: expected an idempotency key of 8 to 100 characters; make a new one for each decision"
    if body["decision"] == "reject" and body.get("reason") not in REASONS:
        return f"reason: expected one of {', '.join(REASONS)}, found {body.get('reason')!r}"
    return None


def number(value: object) -> str:
    """A number for reading: no trailing zeros, at most three significant places after the integer part."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "unknown" if value is None else str(value)
    if not math.isfinite(value):
        return "unknown"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.3g}"


def signed(value: float) -> str:
    """The same with its sign."""
    return f"{'+' if value > 0 else ''}{number(value)}"


def hours(seconds: object) -> str:
    """A length of time: `45 min`, `8 h`, `2.5 d`."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return "an unknown time"
    if seconds < 5400:
        return f"{number(round(seconds / 60, 1))} min"
    if seconds < 48 * 3600:
        return f"{number(round(seconds / 3600, 1))} h"
    return f"{number(round(seconds / 86400, 1))} d"


def known_control(control: object, plant: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the plant says about a control; empty where it does not know it."""
    for known in plant.get("controls", []):
        if isinstance(known, Mapping) and known.get("id") == control:
            return known
    return {}


def control_words(control: str, plant: Mapping[str, Any]) -> str:
    """A control's name as a person says it: what it is, then which.

    The control's `sets` path says what it is; without one the id itself is shown.
    """
    path = str(known_control(control, plant).get("sets") or "").split(".")
    if len(path) == 3:
        return f"{KINDS.get(path[2], path[2])} of {path[1]}"
    if len(path) == 4:
        return f"dispatching weight of {path[3].replace('_', ' ')} at {path[1]}"
    return control.replace("_", " ")


def meaning(control: object, plant: Mapping[str, Any]) -> str:
    """What a control does, in a sentence; empty where its name says it."""
    path = str(known_control(control, plant).get("sets") or "").split(".")
    return WEIGHT if len(path) == 4 else MEANING.get(path[-1], "")


def setpoint(value: object, control: object, plant: Mapping[str, Any]) -> str:
    """A setpoint with its unit, where it has one."""
    return f"{number(value)} {known_control(control, plant).get('unit') or ''}".strip()


def moves(rec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a recommendation sets: `{control, from, to}` each, the one that matters most first; at least one."""
    given = rec.get("moves")
    found = [move for move in given if isinstance(move, Mapping)] if isinstance(given, list) else []
    return found or [rec]


def control_to(move: Mapping[str, Any], plant: Mapping[str, Any]) -> str:
    """One setpoint in a few words: `WIP cap of motor_s to 8 parts`."""
    control = str(move.get("control", "?"))
    return f"{control_words(control, plant)} to {setpoint(move.get('to'), control, plant)}"


def action(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> str:
    """The one sentence of a recommendation: what to change, from what to what, for how long; of several setpoints how
    many they are, as a table names them.
    """
    span = rec.get("lease_s", rec.get("horizon_s"))
    tail = f" for the next {hours(span)}" if span is not None else ""
    if len(moves(rec)) > 1:
        return f"Set {len(moves(rec))} setpoints{tail}"
    before, after = rec.get("from"), rec.get("to")
    verb = "Set"
    if isinstance(before, (int, float)) and isinstance(after, (int, float)):
        verb = "Raise" if after > before else "Lower" if after < before else "Keep"
    what = control_words(str(rec.get("control", "?")), plant)
    to = setpoint(after, rec.get("control"), plant)
    return f"{verb} {what} from {number(before)} to {to}{tail}"


def gain(found: Mapping[str, Any] | None) -> str:
    """A gain with the 90 % prediction interval of the difference."""
    if not found or found.get("mean") is None:
        return "not known"
    unit = str(found.get("unit") or "")
    return (
        f"{signed(found['mean'])} {unit}".strip() + f" (90 %: {number(found.get('lo'))} to {number(found.get('hi'))})"
    )


def realised(found: Mapping[str, Any], unit: str) -> str:
    """What an action came to: its gain with the band of the forecast it is compared with, both costs behind it, and
    what the figure leaves out or holds besides.
    """
    unit = str(found.get("unit") or unit)
    if found.get("value") is None:
        return f"What it gained is not known: {found.get('why') or 'no reason was recorded'}."
    said = f"Realised gain {gain({**found, 'mean': found['value'], 'unit': unit})}"
    cost, nothing = found.get("cost"), found.get("counterfactual")
    if cost is not None and nothing is not None:
        over = f" in {hours(3600.0 * found['hours'])}" if found.get("hours") is not None else ""
        said += f": it cost {number(cost)} {unit}{over}, doing nothing would have cost {number(nothing)} {unit}"
    said += "."
    if found.get("beside"):
        said += f" Together with {', '.join(map(str, found['beside']))}, carried out in the same time."
    if found.get("not_measured"):
        said += f" Without {', '.join(map(str, found['not_measured']))}, which nobody measures yet."
    return said


def chance(worse: object) -> str:
    """P(worse) as a percentage."""
    if not isinstance(worse, (int, float)) or isinstance(worse, bool):
        return "not known"
    percent = 100 * float(worse)
    return "less than 1 %" if 0 <= percent < 1 else f"{percent:.0f} %"


def against_rule(found: Mapping[str, Any] | None, n: int = 1) -> str:
    """What the comparison with the rule means, as the rule may be said to gain more than the advice, which sets `n`."""
    said = "The rule: all setpoints that tuning found best as constants, for the same time."
    mean = (found or {}).get("mean")
    if isinstance(mean, bool) or not isinstance(mean, (int, float)) or not mean < 0:
        return said
    return (
        f"{said} Setting them all is expected to gain {number(-mean)} {(found or {}).get('unit') or ''}".rstrip()
        + f" more than this, which sets {n} setpoint{'s' if n > 1 else ''}."
    )


def close_call(worse: object) -> str:
    """What a chance near one half means for a person; empty where the direction is clear."""
    if not isinstance(worse, (int, float)) or isinstance(worse, bool) or worse < 0.35:
        return ""
    return "Small against the plant's luck: it pays on average over many such decisions, not surely this time."


def check_words(name: str, value: object) -> tuple[str, str]:
    """(mark, sentence) of one check: the mark is ok, bad or info. A check is true, false, or a figure."""
    label = name.replace("_", " ")
    if name.endswith("_s") and isinstance(value, (int, float)) and not isinstance(value, bool):
        return "info", f"{label[:-2]}: {number(value)} s"
    if isinstance(value, Mapping):
        ok = value.get("ok", value.get("passed"))
        note = value.get("note", value.get("why", value.get("value")))
        mark = "info" if ok is None else "ok" if ok else "bad"
        return mark, f"{label}: {note}" if note is not None else label
    if isinstance(value, bool):
        return ("ok", label) if value else ("bad", label)
    if value is None:
        return "info", f"{label}: not known"
    if isinstance(value, str) and value.lower() in ("ok", "pass", "passed", "green", "good"):
        return "ok", f"{label}: {value}"
    return "info", f"{label}: {number(value)}"
