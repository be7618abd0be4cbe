"""Small helpers to write SVG by hand: elements, text that fits, the two themes of the dashboard."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

FONT = "system-ui, 'DejaVu Sans', 'Segoe UI', sans-serif"
CHAR = 0.57
"""Width of a character over the size of the text: a cautious mean of the fonts named above."""

THEMES: dict[str, dict[str, str]] = {
    "dark": {
        "bg": "#16191c", "box": "#2a2f34", "line": "#3b4249", "edge": "#79838c", "text": "#e4e7ea", "muted": "#a9b2ba",
        "fill": "#97a1aa", "flow": "#7d8891", "bar": "#16191c", "strong": "#f5f7f8",
    },
    "light": {
        "bg": "#e6e8ea", "box": "#f3f4f5", "line": "#b3b9be", "edge": "#646d74", "text": "#15191c", "muted": "#454e55",
        "fill": "#667078", "flow": "#6b747b", "bar": "#cfd3d6", "strong": "#0a0c0d",
    },
}  # fmt: skip
"""The greys of the dashboard's style sheet: grey is normal, colour is for what is abnormal."""


def tag(name: str, content: str = "", **attributes: object) -> str:
    """An element; `_` in attribute names stands for `-`, a trailing one is dropped (`class_`)."""
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(number(value))}" for key, value in attributes.items()
    )
    return f"<{name}{shown}>{content}</{name}>" if content else f"<{name}{shown}/>"


def number(value: object) -> str:
    """A number with at most two decimals, anything else as its text."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def width(text: str, size: float) -> float:
    """Estimated width of a text."""
    return len(text) * size * CHAR


def fitting(text: str, size: float, room: float) -> str:
    """The text, cut with an ellipsis where it would be wider than `room`."""
    most = max(int(room / (size * CHAR)), 1)
    return text if len(text) <= most else text[: most - 1] + "…"


def words(text: str, x: float, y: float, size: float, **attributes: object) -> str:
    """A line of text with its foot at y."""
    return tag("text", escape(text), x=x, y=y, font_size=size, **attributes)


def title(text: str) -> str:
    """What a browser shows while one points at the element around it."""
    return tag("title", escape(text))
