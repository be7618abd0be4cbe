"""The picture of a plant as one SVG text: `plantwin show`.

Boxes and connections stand where the dashboard draws them (`sim.drawing_graph`, `sim.drawing_layout`); what is in the
boxes comes from the plant file instead of from the live state. The same plant and theme always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim import distributions
from sim.drawing_graph import graph, percent
from sim.drawing_layout import Edge, Map, Node, fit
from sim.plant import UNLIMITED, Calendar, Dist, Plant, Station, Stock
from sim.svg import CHAR, FONT, THEMES, fitting, tag, title, width, words
from sim.units import TIME_UNITS

ASPECT = 1.78
LINE = 20.0
HEAD = 58.0
CELLS = 12
"""Places of a queue, and units of a station, that are drawn one by one; more are a number."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def duration(seconds: float) -> str:
    """A time in the largest unit in which it is at least two: 100 s, 14 min, 40 h."""
    least = "s" if seconds >= 1 else "ms"
    unit = next((u for u in ("d", "h", "min", "s") if seconds >= 2 * float(TIME_UNITS[u])), least)
    return f"{seconds / float(TIME_UNITS[unit]):.3g} {unit}"


def svg(plant: Plant, theme: str = "dark", aspect: float = ASPECT) -> str:
    """The picture of `plant`; `theme` is dark or light, `aspect` about width over height. Ends in a line feed."""
    drawn = fit(graph(plant), aspect)
    notes = _notes(plant, drawn)
    wide = max(drawn.width, 640.0)
    notes = [line for note in notes for line in _wrapped(note, (wide - 40) / (13 * CHAR))]
    high = HEAD + drawn.height + (len(notes) + 1) * LINE
    body = [tag("rect", width=wide, height=high, class_="bg"), _defs(), _head(plant, wide)]
    shift = (wide - drawn.width) / 2
    inner = [_edge(e) for e in drawn.edges]
    inner += [_node(n, plant) for n in drawn.nodes]
    inner += [_edge_label(e) for e in drawn.edges if e.label]
    body.append(tag("g", "".join(inner), transform=f"translate({shift:.1f} {HEAD:.1f})"))
    y = HEAD + drawn.height + LINE / 2
    body += [words(line, 20, y + (n + 0.5) * LINE, 13, class_="muted") for n, line in enumerate(notes)]
    text = tag(
        "svg", title(f"{plant.id}: {plant.question}") + _style(theme) + "".join(body), xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {wide:.1f} {high:.1f}", width=f"{wide:.0f}", height=f"{high:.0f}", role="img", font_family=FONT,
    )  # fmt: skip
    return text.replace("><", ">\n<") + "\n"


def _style(theme: str) -> str:
    t = THEMES[theme]
    rules = (
        f".bg{{fill:{t['bg']}}}.box{{fill:{t['box']};stroke:{t['edge']};stroke-width:1.2}}"
        f"text{{fill:{t['text']}}}.muted{{fill:{t['muted']}}}.name{{font-weight:700}}"
        f".flow{{fill:none;stroke:{t['flow']};stroke-width:1.8}}.back{{stroke-dasharray:6 4}}"
        f".supply{{stroke-width:1.4}}.tip{{fill:{t['flow']}}}.halo{{fill:{t['bg']}}}"
        f".cell{{fill:{t['bar']};stroke:{t['edge']};stroke-width:1}}.unit{{fill:{t['fill']}}}"
        f".open{{fill:none;stroke:{t['edge']};stroke-width:1;stroke-dasharray:3 3}}"
    )
    return tag("style", rules)


def _defs() -> str:
    tip = tag("path", d="M0 0L8 4L0 8z", class_="tip")
    return tag("defs", tag(
        "marker", tip, id="tip", viewBox="0 0 8 8", refX=7, refY=4, markerWidth=8, markerHeight=8, orient="auto",
        markerUnits="userSpaceOnUse",
    ))  # fmt: skip


def _head(plant: Plant, wide: float) -> str:
    where = " / ".join(dict.fromkeys((plant.site, plant.area, plant.line)))
    name = words(plant.id, 20, 30, 20, class_="name")
    place = words(fitting(where, 13, wide / 2), wide - 20, 28, 13, class_="muted", text_anchor="end")
    return name + place + words(fitting(plant.question, 14, wide - 40), 20, 50, 14, class_="muted")


def _edge(e: Edge) -> str:
    kind = "flow back" if e.back else f"flow {e.kind}" if e.kind != "flow" else "flow"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in e.points)
    said = f"{e.source.partition(':')[2]} to {e.target.partition(':')[2] or 'scrap'}" + (f": {e.label}" * bool(e.label))
    return tag("polyline", title(said), points=points, class_=kind, marker_end="url(#tip)")


def _edge_label(e: Edge) -> str:
    if e.label_box is None:
        return ""
    x, y, w, h = e.label_box
    text = words(e.label, x + w / 2, y + h - 3.5, 12, text_anchor="middle")
    return tag("rect", x=x, y=y, width=w, height=h, class_="halo") + text


def _node(n: Node, plant: Plant) -> str:
    said = {"supplier": "supplier", "exit": "finished"}.get(n.kind)
    if said is not None:
        inside = words(said, 11, n.h - 12, 12, class_="muted")
    else:
        inside = {"station": _station, "stock": _stock, "demand": _demand, "source": _source}[n.kind](n, plant)
    box = tag("rect", width=n.w, height=n.h, rx=3, class_="box")
    # bold letters are wider
    size = next((size for size in (15, 13, 11) if width(n.id, 1.15 * size) <= n.w - 18), 11)
    name = words(fitting(n.id, 1.15 * size, n.w - 18), 11, 22, size, class_="name")
    return tag("g", title(n.id) + box + name + inside, transform=f"translate({n.x:.1f} {n.y:.1f})", class_=n.kind)


def _cells(x: float, y: float, count: int, style: str) -> str:
    return "".join(tag("rect", x=x + i * 11.0, y=y, width=9, height=9, class_=style) for i in range(count))


def _station(n: Node, plant: Plant) -> str:
    s = plant.stations[n.index]
    lines = [_queue(s), _work(plant, s), _failing(plant, s)]
    parts = []
    if s.units <= CELLS:
        parts.append(_cells(11, 31, s.units, "unit"))
    else:
        parts.append(tag("rect", x=11, y=31, width=9, height=9, class_="unit") + words(f"× {s.units}", 25, 40, 13))
    room = n.w - 30 - (11.0 * s.units if s.units <= CELLS else 40.0)
    aside = next((text for text in _asides(plant, s) if width(text, 12) <= room), "")
    if aside:
        parts.append(words(aside, n.w - 11, 40, 12, text_anchor="end", class_="muted"))
    if 0 < s.capacity <= CELLS:
        parts.append(_cells(11, 46, s.capacity, "cell"))
    else:
        parts.append(tag("rect", x=11, y=46, width=n.w - 22, height=9, class_="open" if s.capacity < 0 else "cell"))
    parts += [words(fitting(line, 12, n.w - 18), 11, 71 + 17 * i, 12, class_="muted") for i, line in enumerate(lines)]
    return "".join(parts)


def _queue(s: Station) -> str:
    if s.capacity == UNLIMITED:
        return "queue without limit"
    return f"queue of {s.capacity}" if s.capacity else "no queue"


def _span(low: object, high: object) -> str:
    return f"{low}" if low == high else f"{low}–{high}"


def _range(seconds: Sequence[float]) -> str:
    """Shortest to longest of some times, the unit said once where it is the same."""
    low, high = duration(min(seconds)), duration(max(seconds))
    if low.partition(" ")[2] == high.partition(" ")[2]:
        low = low.partition(" ")[0] if low != high else low
    return _span(low, high)


def _asides(plant: Plant, s: Station) -> list[str]:
    """What stands beside the units, the fullest first: parts in a batch, times of a changeover."""
    batch = f"batch {_span(s.batch.least, s.batch.most)}" if s.batch else ""
    setup = f"setup {_range([_mean(plant, time) for _, _, time in s.setups])}" if s.setups else ""
    return [", ".join(text for text in (batch, setup) if text), batch, setup]


def _mean(plant: Plant, dist: Dist) -> float:
    return distributions.mean(dist) * plant.tick_s


def _work(plant: Plant, s: Station) -> str:
    means = [_mean(plant, step.work) for p in plant.products for step in p.steps if step.station == s.id]
    if not means:
        return "not visited"
    return f"work {_range(means)}"


def _failing(plant: Plant, s: Station) -> str:
    fails = s.fails
    if fails is None or fails.after is None:
        return ""
    return f"fails {duration(_mean(plant, fails.after))} / {duration(_mean(plant, fails.repair))}"


def _stock(n: Node, plant: Plant) -> str:
    k = plant.stocks[n.index]
    lines = [f"{k.initial} at start", f"of {k.item}"]
    if k.source != "line":
        every = "" if k.review is None else f"every {duration(k.review * plant.tick_s)}"
        lead = "" if k.lead is None else f"lead {duration(_mean(plant, k.lead))}"
        lines[1:] = [_ordering(k), every, lead]
    shown = [fitting(line, 12, n.w - 16) for line in lines if line]
    return "".join(words(line, 11, 41 + 17 * i, 12, class_="muted") for i, line in enumerate(shown))


def _ordering(k: Stock) -> str:
    """When and how much a stock orders, by the usual names: (r, Q), (s, S), or up to a level."""
    if k.policy == "r_Q":
        return f"r {k.reorder}, Q {k.quantity}"
    if k.policy == "s_S":
        return f"s {k.reorder}, S {k.level}"
    if k.policy == "constant_order":
        return f"{k.level} each time"
    return "" if k.level is None else f"up to {k.level}"


def _demand(n: Node, plant: Plant) -> str:
    d = plant.demands[n.index]
    every = "by its book of orders" if d.arrivals is None else f"one in {duration(_mean(plant, d.arrivals))}"
    return words(fitting(every, 12, n.w - 18), 11, 42, 12, class_="muted")


def _source(n: Node, plant: Plant) -> str:
    release = plant.products[n.index].release
    said = release.policy
    if release.policy == "push" and release.arrivals is not None:
        said = f"one in {duration(_mean(plant, release.arrivals))}"
    elif release.cap is not None:
        said = f"{release.policy}, cap {release.cap}"
    return words(fitting(said, 12, n.w - 18), 11, 42, 12, class_="muted")


def _notes(plant: Plant, drawn: Map) -> list[str]:
    """What has no place in the picture: releases, crews, calendars, what is left out, how to read it."""
    notes = []
    capped = {product for group in plant.groups for product, _ in group.mix}
    for p in plant.products:
        r = p.release
        numbers = (("cap", r.cap), ("base stock", r.base_stock))
        what = [f"{word} {n}" for word, n in numbers if n is not None]
        # base stock alone is a policy of its own, although the line is then run as CONWIP without a cap
        what = what if r.policy == "conwip" and what and p.id not in capped and r.cap is None else [r.policy, *what]
        what += [f"takes {n} × {stock}" for stock, n in r.consumes]
        what += [f"calendar {r.calendar}"] if r.calendar else []
        notes.append(f"{p.id}: {', '.join(what)}")
    for group in plant.groups:
        mix = ", ".join(f"{share} {product}" for product, share in group.mix)
        notes.append(f"{group.id}: together at most {group.cap} in work, released as {mix}")
    for crew in plant.crews:
        served = [s.id for s in plant.stations if s.fails and s.fails.crew == crew.id]
        notes.append(f"crew {crew.id} ({crew.size}) repairs {', '.join(served) or 'nothing'}")
    for calendar in plant.calendars:
        kept = [s.id for s in plant.stations if s.calendar == calendar.id]
        kept += [d.id for d in plant.demands if d.calendar == calendar.id]
        whom = "all stations and demands" if len(kept) == len(plant.stations) + len(plant.demands) else ", ".join(kept)
        notes.append(f"calendar {calendar.id} ({_hours(calendar)}): {whom or 'nobody'}")
    if drawn.hidden:
        rare = percent(drawn.threshold)
        notes.append(
            f"{len(drawn.hidden)} connections that less than {rare} of what leaves a station takes are not drawn"
        )
    notes.append(
        "filled squares: units; open squares: places in the queue; dashed: goes back; short arrow down: scrap; "
        "fails: mean time to failure / to repair"
    )
    return notes


def _hours(calendar: Calendar) -> str:
    """Opening hours, days with the same hours together."""
    hours: dict[tuple[int, int], list[int]] = {}
    for day, start, end in calendar.open:
        hours.setdefault((start, end), []).append(day)
    said = []
    for (start, end), days in hours.items():
        run = days == list(range(days[0], days[-1] + 1)) and len(days) > 1
        names = f"{DAYS[days[0]]}–{DAYS[days[-1]]}" if run else " ".join(DAYS[d] for d in days)
        said.append(f"{names} {start // 60:02d}:{start % 60:02d}–{end // 60:02d}:{end % 60:02d}")
    return ", ".join(said)


def _wrapped(text: str, most: float) -> list[str]:
    """The text in lines of at most `most` characters, later ones indented."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > most:
            lines.append(line)
            line = "\u2003" + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
