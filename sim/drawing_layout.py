"""A plant's drawing with all its coordinates: boxes in columns and rows, connections in the gaps and lanes between.

Columns come from `sim.drawing_layers`, heights from `sim.drawing_place`; here connections are routed. They run only in
the gaps between columns and in the lanes below rows, so none crosses a box; side by side each has a track of its
own, so none covers another. All coordinates are SVG user units, origin top left.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.drawing_graph import SIZES, Graph, Link
from sim.drawing_layers import Columns, Item, columns
from sim.drawing_place import SPACE, TRACK, Heights, heights

MARGIN = 14.0
ARROW = 16.0
"""Room before a box for the tip of a connection."""
STUB = 12.0
"""Room after a box before connections turn."""
LANE = 12.0
"""Room above and below the tracks of a lane."""
CHAR, LABEL = 7.4, 15.0
"""Room for a character of a label, and the height of a label."""
CLEAR = 5.0
SEEN = 1.5
"""A smaller step in a connection is left out."""
EXIT = 20.0
"""Length of a scrap exit."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Node:
    """A box: `index` is its position in the plant's (and the frame's) list of its kind."""

    key: str
    id: str
    kind: str
    index: int
    x: float = 0.0
    y: float = 0.0
    w: float = 0.0
    h: float = 0.0


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection: corner points from `source` to `target`, and the box (x, y, w, h) of its label."""

    source: str
    target: str
    back: bool
    points: tuple[Point, ...]
    kind: str = "flow"
    label: str = ""
    label_box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Map:
    """The whole drawing. `hidden`: how many connections with a share below `threshold` are left out."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    hidden: tuple[Edge, ...] = ()
    threshold: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The map as the browser wants it: plain lists, coordinates rounded to a tenth of a unit."""
        return {
            "width": round(self.width, 1),
            "height": round(self.height, 1),
            "threshold": self.threshold,
            "nodes": [
                {"key": n.key, "id": n.id, "kind": n.kind, "index": n.index}
                | {name: round(getattr(n, name), 1) for name in ("x", "y", "w", "h")}
                for n in self.nodes
            ],
            "edges": [_edge_json(e) for e in self.edges],
            "hidden": [_edge_json(e) for e in self.hidden],
        }


def _edge_json(e: Edge) -> dict[str, Any]:
    return {
        "from": e.source,
        "to": e.target,
        "back": e.back,
        "kind": e.kind,
        "label": e.label,
        "at": [round(v, 1) for v in e.label_box] if e.label_box else None,
        "points": [[round(x, 1), round(y, 1)] for x, y in e.points],
    }


@dataclass(slots=True)
class _Net:
    """The upright part of a connection in a gap: `left` and `right` are the heights of its ends there (None: it comes
    from or goes to a lane there), `low` and `high` what it spans.
    """

    link: int
    left: float | None
    right: float | None
    low: float
    high: float
    x: float = 0.0


def _overlap(e: _Net, f: _Net) -> bool:
    """Would they lie on one another with e on the left of f: one comes in at the height at which the other goes out?"""
    return f.left is not None and e.right is not None and abs(f.left - e.right) < CLEAR


def _clash(e: _Net, f: _Net) -> float:
    """What it costs to have e on the left of f: crossings, and far more where they would lie on one another."""
    cost = 1000.0 * _overlap(e, f)
    if f.left is not None:
        cost += e.low < f.left < e.high
    if e.right is not None:
        cost += f.low < e.right < f.high
    return cost


def _sorted(nets: list[_Net]) -> list[_Net]:
    """Nets from left to right: exchanges of neighbours as long as one saves crossings; then none lies on another, be
    they neighbours or not (unless each would have to be on the left of the other).
    """
    found = sorted(nets, key=lambda n: (n.low, n.high, n.link))
    for _ in found:
        moved = False
        for i in range(len(found) - 1):
            e, f = found[i], found[i + 1]
            if _clash(f, e) < _clash(e, f):
                found[i], found[i + 1] = f, e
                moved = True
        if not moved:
            break
    for _ in range(len(found) ** 2):
        pairs = itertools.combinations(range(len(found)), 2)
        wrong = next(((i, j) for i, j in pairs if _overlap(found[i], found[j])), None)
        if wrong is None:
            break
        found.insert(wrong[0], found.pop(wrong[1]))
    return found


def _tracks(spans: Sequence[tuple[float, float]]) -> list[int]:
    """A track for each span in turn: right of all earlier ones that it would touch."""
    tracks: list[int] = []
    for i, (low, high) in enumerate(spans):
        beside = [tracks[j] for j in range(i) if spans[j][0] < high + CLEAR and low < spans[j][1] + CLEAR]
        tracks.append(max(beside, default=-1) + 1)
    return tracks


class _Router:
    def __init__(self, graph: Graph, made: Columns, tall: Heights) -> None:
        self.graph, self.made, self.tall = graph, made, tall
        self.kind = {t.key: t.kind for t in graph.things}
        self.count = max((len(row) for row in made.rows), default=0)
        self.wide = [0.0] * self.count
        for key, (_, c) in made.place.items():
            self.wide[c] = max(self.wide[c], SIZES[self.kind[key]][0])
        self.nets: dict[int, list[_Net]] = {i: [] for i in range(len(graph.links))}
        self.gaps: list[list[_Net]] = [[] for _ in range(self.count + 1)]
        self.lane: dict[int, int] = {}  # link -> row below which it runs
        self.lane_y: dict[int, float] = {}
        for i, e in enumerate(graph.links):
            if e.target and made.paths[i] is None and not self._near(e):
                self.lane[i] = made.place[e.source][0]
        # a first guess: every connection has a track of its own in its lane
        thick = [sum(row == r for row in self.lane.values()) for r in range(len(made.rows))]
        self._stack(thick)

    def _near(self, e: Link) -> bool:
        """Rows apart, but with the same gap between them: one upright line joins them."""
        (r0, c0), (r1, c1) = self.made.place[e.source], self.made.place[e.target]
        return r0 != r1 and c1 == c0 + 1

    def _stack(self, tracks: Sequence[int]) -> None:
        """Tops of the rows, given the number of tracks in the lane below each."""
        self.top: list[float] = []
        y = MARGIN
        for tall, n in zip(self.tall.row, tracks, strict=True):
            self.top.append(y)
            y += tall + ((n - 1) * TRACK + 2 * LANE if n else SPACE)
        self.bottom = y - (0.0 if tracks and tracks[-1] else SPACE) + MARGIN

    def _lane_top(self, r: int) -> float:
        return self.top[r] + self.tall.row[r] + LANE

    def _end(self, i: int, out: bool) -> float:
        e = self.graph.links[i]
        r = self.made.place[e.source if out else e.target][0]
        return self.top[r] + (self.tall.out if out else self.tall.into)[i]

    def _add(self, gap: int, net: _Net) -> None:
        self.nets[net.link].append(net)
        self.gaps[gap].append(net)

    def _collect(self) -> None:
        for i, e in enumerate(self.graph.links):
            if not e.target:
                continue
            (r0, c0), (_, c1) = self.made.place[e.source], self.made.place[e.target]
            start, end = self._end(i, True), self._end(i, False)
            if i in self.lane:
                above = self._lane_top(r0)
                below = above + TRACK * sum(r == r0 for r in self.lane.values())
                self._add(c0 + 1, _Net(i, start, None, start, below))
                low, high = (above, end) if end > above else (end, below)
                self._add(c1, _Net(i, None, end, low, high))
                continue
            ys = [start, *[self.top[r0] + self.tall.center[item] for _, item in self.made.paths[i] or []], end]
            for n, (a, b) in enumerate(itertools.pairwise(ys)):
                self._add(c0 + 1 + n, _Net(i, a, b, min(a, b), max(a, b)))

    def _widths(self) -> None:
        """Tracks in the gaps, then the place of every column."""
        self.x: list[float] = []
        x = MARGIN
        for g, nets in enumerate(self.gaps):
            turning = _sorted([n for n in nets if n.left is None or n.right is None or n.high - n.low >= SEEN])
            tracks = _tracks([(n.low, n.high) for n in turning])
            stub = max([STUB, *[_label_width(self.graph.links[n.link]) + 8 for n in nets if self._starts(n, g)]])
            for net, track in zip(turning, tracks, strict=True):
                net.x = x + (stub if g else 0.0) + track * TRACK
            room = max(tracks, default=0) * TRACK
            inner = max(stub + room + ARROW, 40.0 if nets else SPACE)
            if g == 0:
                x += room + ARROW if nets else 0.0
            elif g < self.count:
                x += inner
            else:
                x += stub + room if nets else 0.0
            if g < self.count:
                self.x.append(x)
                x += self.wide[g]
        self.right = x + MARGIN

    def _starts(self, net: _Net, gap: int) -> bool:
        """Whether the connection leaves its source in this gap."""
        return self.made.place[self.graph.links[net.link].source][1] + 1 == gap and net.left is not None

    def _lanes(self) -> None:
        """Tracks in the lanes: short connections next to the row; then the rows stand where they stand."""
        used: list[int] = []
        tracks_of: dict[int, int] = {}
        for r in range(len(self.made.rows)):
            spans = {}
            for i in (i for i, row in self.lane.items() if row == r):
                a, b = self.nets[i][0].x, self.nets[i][1].x
                spans[i] = (min(a, b), max(a, b))
            ordered = sorted(spans, key=lambda i: (spans[i][1] - spans[i][0], i))
            tracks = _tracks([spans[i] for i in ordered])
            tracks_of.update(dict(zip(ordered, tracks, strict=True)))
            used.append(max(tracks) + 1 if tracks else 0)
        self._stack(used)
        self.lane_y = {i: self._lane_top(self.lane[i]) + track * TRACK for i, track in tracks_of.items()}

    def _points(self, i: int) -> tuple[Point, ...]:
        e = self.graph.links[i]
        source, target = self.box(e.source), self.box(e.target)
        start, end = self._end(i, True), self._end(i, False)
        points: list[Point] = [(source.x + source.w, start)]
        nets = self.nets[i]
        if i in self.lane:
            y = self.lane_y[i]
            points += [(nets[0].x, start), (nets[0].x, y), (nets[1].x, y), (nets[1].x, end)]
        else:
            r0 = self.made.place[e.source][0]
            ys = [start, *[self.top[r0] + self.tall.center[item] for _, item in self.made.paths[i] or []], end]
            y = start
            for net, b in zip(nets, ys[1:], strict=True):
                if net.x:
                    points += [(net.x, y), (net.x, b)]
                    y = b
            end = y  # where no turn was needed it stays at its height: nobody sees the difference
        points.append((target.x, end))
        return _without_doubles(points)

    def box(self, key: str) -> Node:
        """The place of one thing."""
        thing = next(t for t in self.graph.things if t.key == key)
        r, c = self.made.place[key]
        w, h = SIZES[thing.kind][0], self.tall.tall[key]
        x = self.x[c] + (self.wide[c] - w) / 2
        return Node(key, thing.id, thing.kind, thing.index, x, self.top[r] + self.tall.center[Item(key)] - h / 2, w, h)

    def run(self) -> Map:
        self._collect()
        self._widths()
        self._lanes()
        nodes = tuple(self.box(t.key) for t in self.graph.things)
        edges = []
        for i, e in enumerate(self.graph.links):
            points = self._points(i) if e.target else _exit(self.box(e.source))
            edges.append(Edge(e.source, e.target, i in self.made.back, points, e.kind, e.label, _label(e, points)))
        boxes = {n.key: n for n in nodes}
        hidden = tuple(
            Edge(e.source, e.target, False, _direct(boxes[e.source], boxes[e.target]), e.kind, e.label)
            for e in self.graph.hidden
        )
        return Map(self.right, self.bottom, nodes, tuple(edges), hidden, self.graph.threshold)


def _label_width(e: Link) -> float:
    return len(e.label) * CHAR + 4 if e.label and e.target else 0.0


def _label(e: Link, points: Sequence[Point]) -> tuple[float, float, float, float] | None:
    """The box of a label: on the first part of its connection, beside a scrap exit."""
    if not e.label:
        return None
    (x, y), wide = points[0], len(e.label) * CHAR + 4
    if not e.target:
        return (x - 6 - wide, y + 5, wide, LABEL)
    return (x + 4, y - LABEL / 2, wide, LABEL)


def _exit(n: Node) -> tuple[Point, ...]:
    """The way out of a station for scrap: straight down, right of the middle."""
    x, y = n.x + n.w - 34, n.y + n.h
    return ((x, y), (x, y + EXIT))


def _direct(a: Node, b: Node) -> tuple[Point, ...]:
    """A straight line from side to side: only shown while someone points at one of its ends."""
    return ((a.x + a.w, a.y + a.h / 2), (b.x, b.y + b.h / 2))


def _without_doubles(points: Sequence[Point]) -> tuple[Point, ...]:
    """Corners only: no point twice, none on a straight line between its neighbours."""
    found: list[Point] = []
    for point in points:
        if found and abs(found[-1][0] - point[0]) < 1e-6 and abs(found[-1][1] - point[1]) < 1e-6:
            continue
        if len(found) > 1 and (found[-2][0] == found[-1][0] == point[0] or found[-2][1] == found[-1][1] == point[1]):
            found.pop()
        found.append(point)
    return tuple(found)


def arrange(graph: Graph, per_row: int, most: int = 6) -> Map:
    """The drawing with at most `per_row` columns in a row (1 or more) and `most` things in a column."""
    if not graph.things:
        return Map(100.0, 100.0, (), ())
    made = columns(graph, per_row, most)
    return _Router(graph, made, heights(graph, made)).run()


def foldings(graph: Graph) -> list[Map]:
    """The drawing in every folding that is tried, whatever the canvas; laying them out is what takes the time."""
    return [
        arrange(graph, per_row, most)
        for most in (4, 6, 9)
        for per_row in range(1, min(len(graph.things), 14) + 1)
    ]  # fmt: skip


def largest(drawn: Sequence[Map], aspect: float) -> Map:
    """The folding that is drawn largest on a canvas of `aspect` = width / height (0.2 to 10)."""
    aspect = min(max(aspect, 0.2), 10.0)
    best: tuple[float, Map] | None = None
    for one in drawn:
        scale = min(aspect / one.width, 1.0 / one.height)
        if best is None or scale > best[0] * 1.001:
            best = (scale, one)
    return best[1] if best else Map(100.0, 100.0, (), ())


def fit(graph: Graph, aspect: float) -> Map:
    """The drawing of `graph` for a canvas of `aspect` = width / height (0.2 to 10)."""
    return largest(foldings(graph), aspect)
