"""The skeleton of the page "Twin health": three views over empty elements, filled by assets/health.js and fidelity.js.

The tabs of the views are also the summary: each says in words how its part stands, so nothing is hidden by the others.
"""

from __future__ import annotations

from typing import Any

from dash import html

VIEWS = (
    ("trust", "Forecasts", "How far the forecasts may be believed, drift, refits"),
    ("sensors", "Sensors", "What every sensor says, what disagrees, counts by hand"),
    ("sources", "Sources", "What arrived and what is missing, sinks, evidence"),
)

ROLES = ("operator", "shift lead", "engineer")
"""Roles that are offered where one is asked for; any other may be typed, as there is no sign-in yet."""


def _marks(**values: Any) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in values.items()}


def _panel(title: str, name: str, aside: Any = None) -> html.Section:
    """A titled panel around the empty element `name`."""
    head = [html.H2(title)] + ([aside] if aside is not None else [])
    return html.Section(
        [html.Div(head, className="panel-head"), html.Div(id=name, className="body")],
        className=f"panel {name}-panel",
    )


def _tab(key: str, name: str, title: str) -> html.Button:
    return html.Button(
        [html.B(name), html.Span(id=f"sum-{key}", className="small")],
        className="button view-tab",
        id=f"tab-{key}",
        role="tab",
        title=title,
        **_marks(data_act="view", data_view=key, aria_controls=f"view-{key}", aria_selected="false"),
    )


def _view(key: str, *panels: Any) -> html.Div:
    return html.Div(
        list(panels), className=f"view view-{key}", id=f"view-{key}", role="tabpanel", **_marks(aria_label=key)
    )


def health() -> html.Div:
    """Can I trust it: how good the forecasts were, what the sensors say, what arrived."""
    return html.Div(
        [
            html.Div([_tab(*view) for view in VIEWS], className="view-tabs", role="tablist"),
            _view(
                "trust",
                _panel("Fidelity", "fidelity-now"),
                _panel("Drift and refits", "drift"),
                _panel("Forecast against what came", "residuals", html.Div(id="residual-choose", className="choose")),
                _panel("Promise and record of each series", "lines"),
            ),
            _view(
                "sensors",
                _panel("Sensors: quality and age", "matrix", html.Div(id="marks")),
                _panel("Failed checks and the chosen cell", "failed"),
                _panel("Contradictions", "contradictions"),
                _panel("Manual count", "manual"),
                _panel("What the twin holds to be true", "sensors"),
            ),
            _view(
                "sources",
                _panel("Sources", "ledger"),
                _panel("Pull the cable", "cable"),
                _panel("Sinks and order book", "sinks"),
                _panel("State", "lineage"),
                _panel("Evidence log, newest first", "log"),
            ),
            html.Datalist([html.Option(value=role) for role in ROLES], id="roles"),
        ],
        className="health",
        id="health",
        **_marks(data_view="trust"),
    )
