"""A state chart as SVG or HTML: one row a work unit, time to the right, the seven states by pattern and colour.

Every state has a pattern of its own, so the chart is readable without colour (print, colour-blind eyes); grey is
normal, the alarm hue is for *down* alone. The colours follow the theme of whoever looks (`prefers-color-scheme`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from html import escape
from zoneinfo import ZoneInfo

from sim.compile import Compiled
from sim.gantt import Bar, Chart
from sim.plant import STATES
from sim.svg import FONT, THEMES, fitting, tag, title, width, words

ROW, BAR, GROUP = 24.0, 16.0, 8.0
LEFT_MOST, RIGHT, TOP, FOOT = 220.0, 96.0, 92.0, 46.0
NARROWEST, WIDEST, ROOM = 1180.0, 9000.0, 5.0
"""Width of the time axis, and the room that a bar of the busiest row should have on average."""
TEXT = 11.0
STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 2 * 86400, 7 * 86400)
HUES = {
    "dark": {"blocked": "#7fb2e5", "starved": "#8fa9c4", "setup": "#5fc0b0", "down": "#ff5a52"},
    "light": {"blocked": "#1f5f99", "starved": "#4a6a8a", "setup": "#14776a", "down": "#c00f0c"},
}
TONES = {"dark": ("#8b959e", "#626c75", "#b9c2ca", "#4b545c"), "light": ("#89929a", "#b3bac0", "#626b73", "#cdd2d6")}
"""Greys of the work on the first products; further products take them again (the bar names its product)."""
MEANING = {
    "idle": "idle: nothing is released, by decision alone", "work": "work", "blocked": "blocked: no room downstream",
    "starved": "starved: no part", "setup": "setup", "down": "down", "off": "off: calendar closed",
}  # fmt: skip


def svg(chart: Chart, compiled: Compiled) -> str:
    """The chart as one SVG text, the same bytes for the same chart."""
    products = [p.id for p in compiled.plant.products]
    left = min(max((width(name, 13) for name in chart.units), default=0.0) + 30, LEFT_MOST)
    most = max((sum(bar.unit == u for bar in chart.bars) for u in range(len(chart.units))), default=0)
    axis = min(max(NARROWEST, most * ROOM), WIDEST)
    tops = _tops(chart)
    high, wide = (tops[-1] if tops else TOP) + ROW + FOOT, left + axis + RIGHT

    def x(tick: float) -> float:
        return left + axis * (tick - chart.start) / (chart.end - chart.start)

    body = [_style(), _patterns(), tag("rect", width=wide, height=high, class_="bg")]
    body += [words(f"{chart.plant}: states of the work units", 16, 28, 18, class_="name"), _legend(products)]
    body += _axis(chart, compiled, x, high - FOOT)
    for u, (name, top) in enumerate(zip(chart.units, tops, strict=True)):
        body.append(words(fitting(name, 13, left - 22), left - 10, top + 13, 13, text_anchor="end"))
        body.append(
            words(f"work {100 * chart.shares(u)['work']:.0f} %", left + axis + 10, top + 13, 12, class_="muted")
        )
    body += [_bar(bar, tops[bar.unit], x, products, compiled) for bar in chart.bars]
    said = f"{chart.plant}: states of {len(chart.units)} units, {len(chart.bars)} bars, seed {chart.seed}, replica 0"
    text = tag(
        "svg", title(said) + "".join(body), xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {wide:.1f} {high:.1f}",
        width=f"{wide:.0f}", height=f"{high:.0f}", role="img", font_family=FONT,
    )  # fmt: skip
    return text.replace("><", ">\n<") + "\n"


def html(chart: Chart, compiled: Compiled) -> str:
    """A page of its own: the chart, scrolled sideways, and the shares of time as a table."""
    head = "".join(f"<th scope=col>{state}</th>" for state in STATES)
    rows = ""
    for u, name in enumerate(chart.units):
        cells = "".join(f"<td>{100 * share:.1f} %</td>" for share in chart.shares(u).values())
        rows += f"<tr><th scope=row>{escape(name)}</th>{cells}</tr>\n"
    dark, light = THEMES["dark"], THEMES["light"]
    style = (
        f"body{{margin:16px;background:{light['bg']};color:{light['text']};font:15px {FONT}}}"
        ".chart{overflow-x:auto}table{border-collapse:collapse;margin-top:16px}"
        f"th,td{{padding:4px 12px;text-align:right;border-bottom:1px solid {light['line']}}}"
        f"@media(prefers-color-scheme:dark){{body{{background:{dark['bg']};color:{dark['text']}}}"
        f"th,td{{border-color:{dark['line']}}}}}"
    )
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{escape(chart.plant)}: state chart</title>\n"
        f"<style>{style}</style>\n<div class=chart tabindex=0>\n{svg(chart, compiled)}</div>\n"
        f"<table>\n<caption>Share of the time in each state</caption>\n<tr><th></th>{head}</tr>\n{rows}"
        f"</table>\n</html>\n"
    )


def _tops(chart: Chart) -> list[float]:
    """Top of every row; stations stand a little apart."""
    tops, y = [], TOP
    for u in range(len(chart.units)):
        if u and chart.station[u] != chart.station[u - 1]:
            y += GROUP
        tops.append(y)
        y += ROW
    return tops


def _theme(name: str) -> str:
    t, hue = THEMES[name], HUES[name]
    rules = f".bg{{fill:{t['bg']}}}text{{fill:{t['text']}}}.muted{{fill:{t['muted']}}}.rule{{stroke:{t['line']}}}"
    rules += f".idle{{fill:{t['bg']};stroke:{t['edge']}}}.off{{fill:{t['edge']}}}.paper{{fill:{t['bg']}}}"
    rules += "".join(
        f".ink-{state}{{stroke:{colour}}}.edge-{state}{{stroke:{colour}}}" for state, colour in hue.items()
    )
    rules += "".join(f".work{i}{{fill:{tone}}}.on{i}{{fill:{_ink(tone)}}}" for i, tone in enumerate(TONES[name]))
    return rules


def _ink(tone: str) -> str:
    """Black or white, whichever reads better on a grey."""
    return "#0a0c0d" if int(tone[1:3], 16) > 110 else "#ffffff"


def _style() -> str:
    fixed = ".name{font-weight:700}.ink{stroke-width:2;fill:none}.bar{stroke-width:1}.down{stroke-width:1.6}"
    return tag("style", f"{fixed}{_theme('light')}@media(prefers-color-scheme:dark){{{_theme('dark')}}}")


def _patterns() -> str:
    drawn = {
        "blocked": ("M-2 2L2 -2M0 8L8 0M6 10L10 6", 8),
        "starved": ("M2 3h1.6M6 7h1.6", 8),
        "setup": ("M2 0V6", 6),
        "down": ("M0 0L7 7M7 0L0 7", 7),
    }
    made = ""
    for state, (path, size) in drawn.items():
        paper = tag("rect", width=size, height=size, class_="paper")
        made += tag(
            "pattern", paper + tag("path", d=path, class_=f"ink ink-{state}"), id=f"p-{state}", width=size, height=size,
            patternUnits="userSpaceOnUse",
        )  # fmt: skip
    return tag("defs", made)


def _shape(state: str, x: float, y: float, wide: float, tone: int) -> str:
    """The bar of one state; its pattern says the state without colour."""
    if state == "off":
        return tag("rect", x=x, y=y + BAR / 2 - 1, width=wide, height=2, class_="off")
    style = "idle bar" if state == "idle" else f"work{tone}" if state == "work" else f"bar {state} edge-{state}"
    fill = {} if state in ("idle", "work") else {"fill": f"url(#p-{state})"}
    return tag("rect", x=x, y=y, width=wide, height=BAR, class_=style, **fill)


def _bar(bar: Bar, top: float, x: object, products: list[str], compiled: Compiled) -> str:
    assert callable(x)
    left, right = x(bar.start), x(bar.end)
    tone = products.index(bar.product) % len(TONES["dark"]) if bar.product else 0
    # a hair of background between two bars that touch, where there is room for it
    wide = right - left - (0.8 if bar.state == "work" and right - left > 3 else 0.0)
    shape = _shape(bar.state, left, top, max(wide, 0.3), tone)
    label = ""
    if bar.state == "work" and bar.product and width(bar.product, TEXT) < wide - 8:
        label = words(bar.product, (left + right) / 2, top + 12, TEXT, text_anchor="middle", class_=f"on{tone}")
    return tag("g", title(_said(bar, compiled)) + shape + label)


def _said(bar: Bar, compiled: Compiled) -> str:
    """What a bar says while someone points at it."""
    tick = compiled.plant.tick_s
    what = f"{bar.state} {bar.product} ({bar.step})" if bar.state == "work" else f"{bar.state} {bar.product}".strip()
    lasted = f"{(bar.end - bar.start) * tick:.6g} s"
    return f"{what}, {_local(compiled, bar.start):%a %H:%M:%S} to {_local(compiled, bar.end):%a %H:%M:%S} ({lasted})"


def _local(compiled: Compiled, tick: float) -> datetime:
    zone = ZoneInfo(compiled.plant.timezone)
    begin = datetime.fromtimestamp(compiled.start_ms / 1000, tz=zone)
    return (begin.astimezone(ZoneInfo("UTC")) + timedelta(seconds=tick * compiled.plant.tick_s)).astimezone(zone)


def _axis(chart: Chart, compiled: Compiled, x: object, foot: float) -> list[str]:
    """Upright lines with local times: a step that leaves room for the words."""
    assert callable(x)
    tick = compiled.plant.tick_s
    seconds = (chart.end - chart.start) * tick
    axis = x(chart.end) - x(chart.start)
    step = next((s for s in STEPS_S if axis * s / seconds >= 84), STEPS_S[-1])
    first = _local(compiled, chart.start)
    into = first.hour * 3600 + first.minute * 60 + first.second + first.microsecond / 1e6
    at = (-into) % step
    form = "%a %d %b" if step >= 86400 else "%H:%M:%S" if step < 60 else "%H:%M"
    found = []
    while at <= seconds:
        place, when = x(chart.start + at / tick), _local(compiled, chart.start + at / tick)
        found.append(tag("line", x1=place, x2=place, y1=TOP - 6, y2=foot, class_="rule"))
        text = when.strftime(form if step >= 86400 or when.strftime("%H:%M:%S") != "00:00:00" else "%a %d %b")
        found.append(words(text, place, foot + 18, 12, text_anchor="middle", class_="muted"))
        at += step
    said = f"{first:%a %Y-%m-%d %H:%M:%S} to {_local(compiled, chart.end):%a %Y-%m-%d %H:%M:%S}"
    said += f", {compiled.plant.timezone}; seed {chart.seed}, replica 0"
    said += f"; {chart.left_out} units that did no work are left out" if chart.left_out else ""
    return [*found, words(said, 16, foot + 38, 12, class_="muted")]


def _legend(products: list[str]) -> str:
    found, place = "", 16.0
    for state in STATES:
        tones = len(TONES["dark"])
        shared = [", ".join(products[i::tones]) for i in range(min(tones, len(products)))]
        names = shared if state == "work" and len(products) <= 2 * tones else [""]
        for i, name in enumerate(names):
            text = f"work on {name}" if name else MEANING[state].partition(":")[0]
            found += tag("g", title(MEANING[state]) + _shape(state, place, 46.0, 30, i))
            found += words(text, place + 36, 58, 12, class_="muted")
            place += 36 + width(text, 12) + 20
    return found


__all__ = ["html", "svg"]
