"""The shell and the skeletons of the three pages.

Python lays out what stays; the JavaScript asset fills the empty elements named by `id` from the
live frame. An element that the asset fills has no children here, so React never touches its inside.
"""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

PAGES = (("/", "overview", "Overview"), ("/decide", "decide", "Decide"), ("/health", "health", "Twin health"))

THEME = {
    "fontFamily": "'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif",
    "primaryColor": "gray",
    "defaultRadius": 3,
    "breakpoints": {"xs": "36em", "sm": "48em", "md": "62em", "lg": "88em", "xl": "110em"},
}


def marks(**values: Any) -> dict[str, Any]:
    """Attributes whose names are no Python names: data_act -> data-act, aria_live -> aria-live."""
    return {name.replace("_", "-"): value for name, value in values.items()}


def _status(name: str, label: str, title: str) -> html.Div:
    """One figure of the header: a small label over a value that the asset fills."""
    return html.Div(
        [html.Span(label, className="status-label"), html.Span(id=name, className="status-value")],
        className="status",
        title=title,
        id=f"{name}-box",
    )


def _header() -> dmc.AppShellHeader:
    links = [
        dcc.Link([name, html.Span(id=f"count-{key}", className="count")], href=path, className="tab")
        for path, key, name in PAGES
    ]
    statuses = [
        _status("clock", "Plant time", "Time at the plant; a simulated plant may run faster than the wall clock"),
        _status("age", "Data age", "Age of the newest reading in the twin, plus the age of the frame on this screen"),
        _status("fidelity", "Twin", "How well the twin's state agrees with what the sensors say"),
        _status("down", "Stations down", "Stations whose state is down"),
        _status("notices", "Notices", "What the twin itself noticed: drift, staleness, contradictions"),
        _status("open", "Open advice", "Recommendations that wait for a decision"),
        _status("autonomy", "Autonomy", "Every action needs a person's approval"),
        _status("role", "Role", "No sign-in yet: everyone on this machine is operator"),
    ]
    return dmc.AppShellHeader(
        html.Div(
            [
                html.Div(
                    [html.Span("plantwin", className="brand"), html.Span(id="site", className="site")], className="name"
                ),
                html.Nav(links, className="tabs", **marks(aria_label="Pages")),
                html.Div(id="mode", className="mode", role="status"),
                html.Div(statuses, className="statuses"),
                html.Div(
                    [
                        html.Button("Pause optimiser", id="pause", className="button", **marks(data_act="pause")),
                        html.Button("Light", id="theme", className="button", **marks(data_act="theme")),
                    ],
                    className="tools",
                ),
            ],
            className="header",
        )
    )


def shell() -> dmc.MantineProvider:
    """What every page shares. Holds no data of any user."""
    return dmc.MantineProvider(
        id="mantine",
        forceColorScheme="dark",
        theme=THEME,
        children=[
            dcc.Location(id="url"),
            dmc.AppShell(
                [
                    _header(),
                    dmc.AppShellMain(
                        [
                            html.Div(id="banner", role="alert"),
                            html.Div(id="missing", role="status"),
                            html.Div(id="page", className="page"),
                        ]
                    ),
                ],
                header={"height": {"base": 196, "sm": 152, "lg": 112, "xl": 68}},
                padding=0,
            ),
            html.Div(id="toasts", **marks(aria_live="polite")),
        ],
    )


def panel(title: str, children: Any, name: str = "", aside: Any = None) -> html.Section:
    """A titled area of a page."""
    head = [html.H2(title)] + ([aside] if aside is not None else [])
    body = children if isinstance(children, list) else [children]
    return html.Section([html.Div(head, className="panel-head"), *body], className=f"panel {name}".strip())


def overview() -> html.Div:
    """Is the plant all right, where is the constraint, what needs me."""
    return html.Div(
        [
            panel("Plant", html.Div(id="map"), "map-panel", html.Div(id="legend")),
            html.Div(
                [
                    panel("What needs me", html.Div(id="needs"), "needs-panel"),
                    panel("In force", html.Div(id="recent"), "recent-panel"),
                ],
                className="side",
            ),
            html.Section(id="indicators", className="indicators", **marks(aria_label="Indicators")),
        ],
        className="overview",
        id="overview",
    )


def decide(cards: Any, shown: str = "") -> html.Div:
    """What should I do, what will it gain, what became of what was decided.

    `shown` names the frame's versions that the cards were made from, as the asset names them.
    """
    choose = html.Div(id="fan-choose", className="choose")
    return html.Div(
        [
            dcc.Store(id="rec-version", data=0),
            html.Div(cards, id="cards", className="cards", **marks(data_shown=shown)),
            html.Div(
                [
                    panel("Forecast from the present state", html.Div(id="fan"), "fan-panel", choose),
                    panel("What may happen", html.Div(id="events"), "events-panel"),
                    panel("Controls in force", html.Div(id="controls"), "controls-panel"),
                ],
                className="beside",
            ),
        ],
        className="decide",
        id="decide",
    )


def missing(path: str) -> html.Div:
    """An address without a page."""
    return html.Div(
        panel("No such page", [html.P(f"There is no page {path}."), dcc.Link("Overview", href="/", className="button")])
    )
