"""The colours keep the rules: enough contrast in both themes, no network, one asset of bounded length."""

from __future__ import annotations

import colorsys
import re
from pathlib import Path

import pytest

import dashboard

ASSETS = Path(str(dashboard.__file__)).parent / "assets"


def colours(theme: str) -> dict[str, tuple[float, float, float]]:
    """Custom properties of a theme as (red, green, blue) from 0 to 1."""
    text = (ASSETS / "plantwin.css").read_text()
    block = re.search(rf':root\[data-mantine-color-scheme="{theme}"\] {{(.*?)}}', text, re.DOTALL)
    assert block
    found = re.findall(r"--([\w-]+): #([0-9a-f]{6})", block.group(1))
    return {name: tuple(int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name, code in found}  # type: ignore[misc]


def luminance(colour: tuple[float, float, float]) -> float:
    """Relative luminance, WCAG 2.2."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_contrast_is_aa(theme: str) -> None:
    c = colours(theme)
    text = [(front, back) for front in ("text", "muted", "strong") for back in ("bg", "panel", "raised", "box")]
    text += [
        ("action-text", "action"),
        ("alarm-text", "alarm"),
        ("warn-text", "warn"),
        ("panel", "strong"),
        ("panel", "text"),
    ]
    for front, back in text:
        assert contrast(c[front], c[back]) >= 4.5, (theme, front, back, contrast(c[front], c[back]))
    for front, back in [("edge", "panel"), ("edge", "box"), ("fill", "bar"), ("alarm", "panel"), ("alarm", "box")]:
        assert contrast(c[front], c[back]) >= 3.0, (theme, front, back, contrast(c[front], c[back]))


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_only_alarm_and_warning_have_a_warm_hue(theme: str) -> None:
    for name, colour in colours(theme).items():
        hue, lightness, saturation = colorsys.rgb_to_hls(*colour)
        if name in ("alarm", "warn"):
            assert saturation > 0.6
        elif not name.startswith(("alarm", "warn")) and 0.05 < lightness < 0.95:
            assert saturation < 0.2 or 0.5 < hue < 0.7, (theme, name)


SCRIPTS, SHEETS = ["fidelity.js", "health.js", "plantwin.js"], ["plantwin.css", "twinhealth.css"]


def test_few_short_scripts_no_build_step_nothing_from_the_network() -> None:
    assert sorted(path.name for path in ASSETS.iterdir()) == sorted(SCRIPTS + SHEETS)
    for name in SCRIPTS:
        assert (ASSETS / name).read_text().count("\n") <= 600
    addresses = re.findall(r"https?://[^\s\"')]+", "".join((ASSETS / name).read_text() for name in SCRIPTS + SHEETS))
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    for name in SHEETS:
        for moving in ("gradient(to", "linear-gradient(90", "@keyframes", "animation", "transition"):
            assert moving not in (ASSETS / name).read_text()


def test_the_sheet_of_one_page_comes_after_that_of_all() -> None:
    """Dash links the assets in the order of their names, and of two rules that are as exact the later one holds."""
    assert sorted(SHEETS) == SHEETS
    assert SHEETS[0] == "plantwin.css"
