"""A recommendation that sets several controls with one click: its words, its table, and what became of each setpoint.

The twin sends `moves` (`{control, from, to}` each, the one that matters most first) and, once accepted, `progress` by
control; a recommendation without them moves its one `control`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from dashboard import words
from dashboard.pages import marks

NAMED = 2
"""So many setpoints are named in a line, the others counted."""
STEPS: Mapping[str, str] = {
    "sent": "Commands sent, waiting for the plant",
    "confirmed": "Confirmed: the plant read all new values back",
}
"""Steps of the timeline that are several commands'; the others as in `words.STATUS`."""


def standing(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> dict[str, Any] | None:
    """What of a failed recommendation was carried out all the same: how many of how many, until when, what failed."""
    progress = _progress(rec)
    held = [one for one in progress.values() if one.get("state") == "set"]
    if rec.get("status") != "failed" or not held:
        return None
    bad = [
        f"{words.control_words(control, plant)}: {one.get('note') or 'not known'}"
        for control, one in progress.items()
        if one.get("state") == "failed"
    ]
    until = max(int(one.get("until") or 0) for one in held)
    return {"set": len(held), "of": len(words.moves(rec)), "until": until, "why": "; ".join(bad)}


def _progress(rec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = rec.get("progress")
    return {k: v for k, v in found.items() if isinstance(v, Mapping)} if isinstance(found, Mapping) else {}


def status(rec: Mapping[str, Any]) -> str:
    """How it stands, in words; with several setpoints, how many of them are set."""
    name = str(rec.get("status"))
    plain, n = words.STATUS.get(name, name), len(words.moves(rec))
    states = [str(one.get("state")) for one in _progress(rec).values()]
    done, failed = states.count("set"), states.count("failed")
    if n == 1 or not states:
        return plain
    if name == "confirmed":
        return f"Confirmed: the plant read all {n} new values back"
    if name == "failed":
        return f"Failed: {done} of {n} setpoints were set" if done else "Failed: no setpoint was set"
    if name in words.ON_ITS_WAY:
        trouble = f", {failed} failed" if failed else ""
        return f"{plain.partition(',')[0]}: {done} of {n} set{trouble}, waiting for the plant"
    return plain


def step(rec: Mapping[str, Any], name: str) -> str:
    """A step of its timeline in words."""
    return (STEPS if len(words.moves(rec)) > 1 else words.STATUS).get(name) or words.STATUS.get(name, name)


def short(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> str:
    """The action without its time, for a list."""
    if len(words.moves(rec)) == 1:
        return words.action(rec, plant).partition(" for the next ")[0]
    return f"Set {len(words.moves(rec))} setpoints: {named(rec, plant, 1)}"


def named(rec: Mapping[str, Any], plant: Mapping[str, Any], most: int = NAMED) -> str:
    """Which setpoints, in a line; "" for a single one, whose sentence says it."""
    moves = words.moves(rec)
    if len(moves) == 1:
        return ""
    shown = [words.control_to(move, plant) for move in moves[:most]]
    more = f" and {len(moves) - most} more" if len(moves) > most else ""
    return ", ".join(shown) + more


def table(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> html.Table | None:
    """One row a setpoint, with what it does where that was not said above, and what became of it; None for one."""
    moves, progress = words.moves(rec), _progress(rec)
    if len(moves) == 1:
        return None
    head = [html.Th("Setpoint"), html.Th("From"), html.Th("To")] + ([html.Th("At the plant")] if progress else [])
    rows, said = [], set()
    for move in moves:
        control = str(move.get("control", "?"))
        meaning = words.meaning(control, plant)
        what: list[Any] = [html.Span(words.control_words(control, plant))]
        if meaning and meaning not in said:
            what.append(html.Div(meaning, className="small"))
        said.add(meaning)
        cells = [
            html.Th(what, scope="row"),
            html.Td(words.number(move.get("from")), className="num from"),
            html.Td([html.B(words.setpoint(move.get("to"), control, plant)), _change(move)], className="num"),
        ]
        if progress:
            cells.append(
                html.Td(_became(progress.get(control), over=rec.get("status") == "failed"), className="became")
            )
        rows.append(html.Tr(cells, **marks(data_control=control)))
    return html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="moves")


def _change(move: Mapping[str, Any]) -> html.Span:
    before, after = move.get("from"), move.get("to")
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return html.Span()
    return html.Span(f" ({after - before:+,.4g})", className="small")


def _became(one: Mapping[str, Any] | None, *, over: bool) -> list[Any]:
    """What became of one setpoint, with a sign, in words. `over`: nothing more is done for it."""
    state, note = str((one or {}).get("state")), str((one or {}).get("note") or "")
    if state == "set":
        until = html.Span(**marks(data_t=str((one or {}).get("until"))))
        return [html.Span("✓", className="sign ok"), html.Span(["set, until ", until])]
    if state == "failed":
        return [html.Span("✕", className="sign bad"), html.Span(f"failed: {note}")]
    if state == "under way":
        return [html.Span("·", className="sign info"), "sent, not known whether it was done" if over else "sent"]
    return [html.Span("·", className="sign info"), "not sent" if over else "waits for the one before"]


def approval(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> str:
    """Whose approval the plant file asks for, for any of the setpoints, where it is not the operator's."""
    asked: dict[str, list[str]] = {}
    for move in words.moves(rec):
        control = str(move.get("control"))
        who = str(words.known_control(control, plant).get("approve") or "")
        if who not in ("", "operator"):
            asked.setdefault(who, []).append(words.control_words(control, plant))
    if not asked:
        return ""
    several = len(words.moves(rec)) > 1
    people = [who + (f" (for {', '.join(what)})" if several else "") for who, what in asked.items()]
    return f"Needs the approval of: {'; '.join(people)}. {words.NO_SIGN_IN}"
