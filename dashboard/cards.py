"""The Decide page's cards: one recommendation each, in plain words, with the band on the difference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dashboard import moves, words
from dashboard.pages import marks


def build(recs: Sequence[Mapping[str, Any]], plant: Mapping[str, Any], frame: Mapping[str, Any] | None) -> list[Any]:
    """Open cards first, then one line each for what was decided before (at most 12): what is on its way or stands half
    done, then the newest first.
    """
    waiting = [rec for rec in recs if rec.get("status") in words.OPEN]
    moving = [rec for rec in recs if rec.get("status") in words.ON_ITS_WAY]
    t = (frame or {}).get("t") or 0
    moving += [rec for rec in recs if (left := moves.standing(rec, plant)) and left["until"] > t]
    past = [rec for rec in recs if rec not in waiting and rec not in moving]
    children: list[Any] = [_nothing(frame, recs)] if not waiting else []
    children += [_open_card(rec, plant) for rec in waiting]
    if moving or past:
        rows = [_past(rec, plant) for rec in [*moving, *past][:12]]
        children.append(html.Section([html.H2("Decided before"), *rows], className="panel past-panel"))
    return children


def _nothing(frame: Mapping[str, Any] | None, recs: Sequence[Mapping[str, Any]]) -> html.Section:
    """Doing nothing is best: an answer, with when it was last checked, or that nothing was checked yet.

    An answer older than the newest proposal says nothing of the time since, so it is not shown as one.
    """
    advice = (frame or {}).get("advice") or {}
    when = advice.get("t")
    if (frame or {}).get("paused"):
        title, note = "The optimiser is paused", "Nothing is being proposed until someone resumes it."
    elif when is None:
        title, note = "No advice yet", "No decision moment has been checked since the twin started."
    elif any(isinstance(rec.get("created"), (int, float)) and rec["created"] > when for rec in recs):
        title = "Nothing waits for you"
        note = "The newest proposal is decided or over; no decision moment has been checked since."
    elif about := _of_a_proposal(str(advice.get("why") or ""), recs):
        title, note = "Nothing waits for you", about
    else:
        title = "Doing nothing is best"
        why = str(advice.get("why") or "no candidate beat doing nothing and the rule by enough to be worth a click")
        note = re.sub(r"^doing nothing is best:\s*", "", why, flags=re.IGNORECASE)
        note = note[:1].upper() + note[1:]
    lines: list[Any] = [html.H2(title, className="sentence"), html.P(note)]
    if when is not None:
        checked = html.Span(**marks(data_t=str(when)))
        lines.append(
            html.P(["Last checked ", checked, f"; decision moments checked so far: {advice.get('evaluated', 0)}."])
        )
    return html.Section(lines, className="panel card nothing", id="nothing")


def _of_a_proposal(why: str, recs: Sequence[Mapping[str, Any]]) -> str:
    """What the last check said, where it was about a proposal (`r-41 is open and still pays`); that one is decided or
    over, so nobody may read it as advice to do nothing. Empty for any other answer.
    """
    name = why.partition(" ")[0]
    if ": refused by the twin:" in why:
        return f"The last proposal was not taken: {why}."
    if not any(rec.get("id") == name for rec in recs):
        return ""
    if " withdrawn:" in why:
        return f"The last proposal, {why}."
    return f"The last proposal ({name}) is decided or over; no decision moment has been checked since."


def _versus(label: str, found: Mapping[str, Any] | None, span: float) -> html.Tr:
    """One row of the comparison: the difference, its 90 % prediction interval as a bar around zero, P(worse)."""
    if not found or found.get("mean") is None:
        return html.Tr([html.Th(label), html.Td("not compared", colSpan=3)])
    mean, lo, hi = (float(found.get(name, found["mean"])) for name in ("mean", "lo", "hi"))

    def at(value: float) -> float:
        return 50.0 + 50.0 * value / span

    bar = html.Div(
        [
            html.Span(className="zero"),
            html.Span(className="band", style={"left": f"{at(lo):.2f}%", "width": f"{at(hi) - at(lo):.2f}%"}),
            html.Span(className="mean", style={"left": f"{at(mean):.2f}%"}),
        ],
        className="difference",
        role="img",
        title=f"difference {words.gain(found)}",
        **marks(aria_label=f"against {label}: {words.gain(found)}"),
    )
    unit = str(found.get("unit") or "")
    return html.Tr(
        [
            html.Th(label),
            html.Td([html.B(words.signed(mean)), f" {unit}"]),
            html.Td([bar, html.Div(f"{words.number(lo)} to {words.number(hi)} {unit}".rstrip(), className="ends")]),
            html.Td(words.chance(found.get("worse"))),
        ]
    )


def _comparison(rec: Mapping[str, Any]) -> html.Table:
    versus = rec.get("vs") or {}
    nothing = versus.get("nothing") or rec.get("gain")
    found = [f for f in (nothing, versus.get("rule")) if f and f.get("mean") is not None]
    span = max((abs(float(f.get(n) or 0.0)) for f in found for n in ("mean", "lo", "hi")), default=1.0) * 1.1 or 1.0
    head = html.Tr(
        [html.Th("Against"), html.Th("Expected"), html.Th("90 % of outcomes between"), html.Th("Chance it is worse")]
    )
    body = [_versus("doing nothing", nothing, span), _versus("the rule", versus.get("rule"), span)]
    return html.Table([html.Thead(head), html.Tbody(body)], className="comparison")


def _effects(rec: Mapping[str, Any]) -> list[Any]:
    """KPI: from -> to, each with its band when given, and over what time."""
    rows = []
    for name, change in (rec.get("kpis") or {}).items():
        if isinstance(change, Mapping):
            before, after = (_band(change.get(side)) for side in ("from", "to"))
            after = "the same" if after == before else after
            rows.append(html.Tr([html.Th(name.replace("_", " ")), html.Td(before), html.Td("→"), html.Td(after)]))
    over = f" over {words.hours(rec['horizon_s'])}" if rec.get("horizon_s") is not None else ""
    head = html.Thead(html.Tr([html.Td(), html.Td("doing nothing"), html.Td(), html.Td("with this")]))
    title = html.H3(f"Expected effect{over}: mean (90 % of outcomes)")
    return [title, html.Table([head, html.Tbody(rows)], className="effects")] if rows else []


def _band(value: object) -> str:
    if isinstance(value, (list, tuple)) and len(value) >= 3:
        return f"{words.number(value[0])} ({words.number(value[1])} to {words.number(value[2])})"
    if isinstance(value, (list, tuple)) and value:
        return words.number(value[0])
    return words.number(value)


def _checks(rec: Mapping[str, Any]) -> html.Ul:
    signs = {"ok": "✓", "bad": "✕", "info": "·"}
    items = []
    for name, value in (rec.get("checks") or {}).items():
        mark, sentence = words.check_words(name, value)
        items.append(html.Li([html.Span(signs[mark], className=f"sign {mark}"), html.Span(sentence)]))
    return html.Ul(items or [html.Li("none were recorded")], className="checks")


def _button(rec: Mapping[str, Any], decision: str, label: str, reason: str = "", main: bool = False) -> html.Button:
    data = marks(data_act="decide", data_id=rec.get("id"), data_version=str(rec.get("version")))
    data |= marks(data_decision=decision, data_reason=reason, data_moves=str(len(words.moves(rec))))
    return html.Button(label, className="button main" if main else "button", **data)


def _open_card(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> html.Section:
    why = [html.Li(str(line)) for line in rec.get("why") or []] or [html.Li("no reason was recorded")]
    others = [html.Li(_alternative(other, plant)) for other in (rec.get("alternatives") or [])[:4]]
    then = rec.get("then")
    reasons = [_button(rec, "reject", text, code) for code, text in words.REASONS.items()]
    n = len(words.moves(rec))
    after = _afterwards(str(then), n) if then else ""
    over = rec.get("horizon_s")
    counted = f", counted over {words.hours(over)}" if over is not None else ""
    return html.Section(
        [
            _head(rec),
            html.H2(words.action(rec, plant), className="sentence"),
            html.P(
                [
                    html.B(words.gain(rec.get("gain"))),
                    f" better than doing nothing{counted}; chance that it is worse: ",
                    html.B(words.chance((rec.get("gain") or {}).get("worse"))),
                    f". {after}",
                ],
                className="lead",
            ),
            html.P(words.close_call((rec.get("gain") or {}).get("worse")), className="small"),
            moves.table(rec, plant) or html.P(words.meaning(rec.get("control"), plant), className="small"),
            _comparison(rec),
            html.P(
                words.against_rule(rule, n) if (rule := (rec.get("vs") or {}).get("rule")) else "", className="small"
            ),
            html.Div(
                [
                    html.Div([html.H3("Why"), html.Ul(why)]),
                    html.Div(
                        [html.H3("Checks"), _checks(rec)]
                        + ([html.H3("Also considered"), html.Ul(others)] if others else [])
                    ),
                ],
                className="columns",
            ),
            html.Div(_effects(rec)),
            html.P(moves.approval(rec, plant), className="small approval"),
            html.Div(
                [
                    _button(rec, "accept", "Accept and send" + (f" {n} setpoints" if n > 1 else ""), main=True),
                    _button(rec, "defer", "Defer"),
                    html.Details(
                        [html.Summary("Reject …", className="button"), html.Div(reasons, className="reasons")],
                        className="reject",
                    ),
                ],
                className="actions",
            ),
            _timeline(rec),
            html.P(_evidence(rec), className="evidence"),
        ],
        className="panel card open",
        id={"kind": "card", "id": str(rec.get("id"))},
        **marks(data_rec=rec.get("id"), data_status=rec.get("status")),
    )


def _head(rec: Mapping[str, Any]) -> html.Div:
    """How it stands, and until when it is valid."""
    status = words.STATUS.get(str(rec.get("status")), str(rec.get("status")))
    expires = html.B(**marks(data_expires=str(rec.get("expires"))))
    return html.Div(
        [
            html.Span([html.Span("?", className="shape"), status], className="chip"),
            html.Span(["Expires in ", expires], className="expiry"),
        ],
        className="card-head",
    )


def _afterwards(then: str, n: int) -> str:
    """What acts when the time of the `n` setpoints is over: those before them, or a rule or policy by its name."""
    name = then.removeprefix("rule:")
    before = "setpoint before it returns" if n == 1 else "setpoints before them return"
    return f"Afterwards the {before}." if name == "setpoint before" else f"Afterwards: {name}."


def _alternative(other: object, plant: Mapping[str, Any]) -> str:
    if not isinstance(other, Mapping):
        return str(other)
    found = other.get("gain") if isinstance(other.get("gain"), Mapping) else None
    several, said = words.moves(other), str(other.get("words") or "")
    label = moves.named(other, plant) or words.control_to(several[0], plant)
    name = str(other.get("control", ""))
    if said and len(several) > 1:  # what is said of them comes after the list
        label += f": {tail}" if (tail := said.partition(": ")[2]) else ""
    elif said:  # begins with the control's id and its value, for who has no plant at hand
        label += said.removeprefix(f"{name} to {other.get('to')}")
    return f"{label}: {words.gain(found)}" if found else str(label)


def _evidence(rec: Mapping[str, Any]) -> str:
    found = rec.get("evidence") or {}
    parts = [str(rec.get("id"))]
    if found.get("n") is not None:
        parts.append(f"{words.number(found['n'])} paired replicas")
    for name in ("policy", "state"):
        if found.get(name):
            parts.append(f"{name} {str(found[name]).rpartition('sha256:')[2][:19]}")
    return " · ".join(parts)


def _timeline(rec: Mapping[str, Any]) -> html.Ol:
    """What happened to it, oldest first: when, what, by whom."""
    rows = []
    for entry in rec.get("timeline") or []:
        status = str(entry.get("status"))
        text = [html.Span(**marks(data_t=str(entry.get("t"))), className="when"), html.Span(className=f"dot {status}")]
        text += [html.Span(moves.step(rec, status) if status != "proposed" else "Proposed")]
        tail = " · ".join(str(entry[name]) for name in ("by", "note") if entry.get(name))
        rows.append(html.Li([*text, html.Span(tail, className="by")], **marks(data_status=status)))
    return html.Ol(rows, className="timeline")


def _realised(rec: Mapping[str, Any]) -> list[Any]:
    found = rec.get("realised")
    if not found:
        return []
    label = str(found.get("label") or "model-based")
    note = "compared with the twin's own forecast of doing nothing, not measured"
    tag = html.Span(label, className="tag", title=note)
    return [html.P([words.realised(found, str((rec.get("gain") or {}).get("unit") or "")), tag], className="realised")]


def _did(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> str:
    """The sentence of an action that was decided; of several setpoints with the first of them."""
    which = moves.named(rec, plant, 1)
    return words.action(rec, plant) + (f": {which}" if which else "")


def _past(rec: Mapping[str, Any], plant: Mapping[str, Any]) -> html.Details:
    status = str(rec.get("status"))
    reason = rec.get("reason")
    said, several = moves.status(rec), moves.table(rec, plant)
    if reason and status in ("rejected", "withdrawn", "superseded", "failed", "expired"):
        # of several setpoints the table says what became of each
        said += f": {words.REASONS.get(str(reason), reason)}" if not (rec.get("progress") and several) else ""
    promised = html.P(f"Promised {words.gain(rec.get('gain'))} against doing nothing.")
    # What is on its way, or just arrived, is open so that the confirmation is seen without a click.
    return html.Details(
        [
            html.Summary(
                [
                    html.Span(className=f"dot {status}"),
                    html.Span(_did(rec, plant), className="what"),
                    html.Span(said, className="said"),
                ]
            ),
            *([several] if several else []),
            promised,
            *_realised(rec),
            _timeline(rec),
            html.P(_evidence(rec), className="evidence"),
        ],
        className="past",
        open=status in words.ON_ITS_WAY
        or status in ("confirmed", "evaluated")
        or moves.standing(rec, plant) is not None,
        id={"kind": "past", "id": str(rec.get("id"))},
        **marks(data_rec=rec.get("id"), data_status=status),
    )
