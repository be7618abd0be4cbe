"""Where everything stands on the plant map: any plant file must draw without overlaps.

Nodes are put in columns by the longest path from the sources of the flow (rework loops are left
out of the ranking), columns are folded into rows of text like words of a sentence, and connections
run only in the gaps between columns and in the lanes between rows, so none crosses a node.
All coordinates are SVG user units, origin top left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 168.0, 116.0
"""Size of a station, the largest node; other nodes are narrower and centred in their column."""
GAP = 52.0
"""Room between columns, for the vertical parts of connections."""
SPACE = 22.0
"""Room between nodes of one column."""
TRACK = 9.0
"""Distance between two connections in one lane."""
TRACKS = 6
"""A lane has at most this many tracks; further connections share them."""
MARGIN = 14.0

SIZES: Mapping[str, tuple[float, float]] = {
    "station": (WIDTH, HEIGHT),
    "stock": (128.0, 104.0),
    "supplier": (128.0, 56.0),
    "demand": (128.0, 64.0),
}


@dataclass(frozen=True, slots=True)
class Node:
    """One thing on the map: `index` is its position in the frame's list of its kind."""

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
    """A connection: corner points from the right side of `source` to the left side of `target`."""

    source: str
    target: str
    back: bool
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Map:
    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def as_json(self) -> dict[str, Any]:
        """The map as the browser wants it: plain lists, coordinates rounded to a tenth of a unit."""
        return {
            "width": round(self.width, 1),
            "height": round(self.height, 1),
            "nodes": [
                {"key": n.key, "id": n.id, "kind": n.kind, "index": n.index}
                | {name: round(getattr(n, name), 1) for name in ("x", "y", "w", "h")}
                for n in self.nodes
            ],
            "edges": [
                {
                    "from": e.source,
                    "to": e.target,
                    "back": e.back,
                    "points": [[round(x, 1), round(y, 1)] for x, y in e.points],
                }
                for e in self.edges
            ],
        }


@dataclass(slots=True)
class _Graph:
    nodes: list[Node] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


def _ids(entries: Iterable[Any]) -> list[dict[str, Any]]:
    """Entries of `/plant` lists as mappings; a bare id is allowed."""
    return [entry if isinstance(entry, dict) else {"id": str(entry)} for entry in entries]


def _graph(plant: Mapping[str, Any]) -> _Graph:
    """Nodes and flow connections of a plant as `GET /plant` describes it."""
    graph = _Graph()
    known: set[str] = set()
    for kind, name in (("supplier", "suppliers"), ("stock", "stocks"), ("station", "stations"), ("demand", "demands")):
        for index, entry in enumerate(_ids(plant.get(name, []))):
            key = f"{kind}:{entry['id']}"
            if key not in known:
                known.add(key)
                graph.nodes.append(Node(key, str(entry["id"]), kind, index))

    def link(source: str, target: str) -> None:
        if source in known and target in known and source != target and (source, target) not in graph.links:
            graph.links.append((source, target))

    for stock in _ids(plant.get("stocks", [])):
        link(f"supplier:{stock.get('source')}", f"stock:{stock['id']}")
    for product in _ids(plant.get("products", [])):
        route = [str(station) for station in product.get("stations", [])]
        for consumed in product.get("consumes", []):
            name = consumed[0] if isinstance(consumed, (list, tuple)) else consumed
            if route:
                link(f"stock:{name}", f"station:{route[0]}")
        if route and product.get("stock"):
            link(f"station:{route[-1]}", f"stock:{product['stock']}")
    for station in _ids(plant.get("stations", [])):
        for target in station.get("next", []):
            link(f"station:{station['id']}", f"station:{target}")
    for demand in _ids(plant.get("demands", [])):
        link(f"stock:{demand.get('stock')}", f"demand:{demand['id']}")
    return graph


def _back_links(graph: _Graph) -> set[tuple[str, str]]:
    """Connections that close a loop, found depth first in declaration order (no recursion: long lines)."""
    targets: dict[str, list[str]] = {node.key: [] for node in graph.nodes}
    incoming = {node.key: 0 for node in graph.nodes}
    for source, target in graph.links:
        targets[source].append(target)
        incoming[target] += 1
    back: set[tuple[str, str]] = set()
    colour = dict.fromkeys(targets, 0)  # 0 not seen, 1 on the present path, 2 finished
    for root in sorted(targets, key=lambda key: incoming[key] > 0):
        if colour[root]:
            continue
        colour[root] = 1
        path = [(root, iter(targets[root]))]
        while path:
            key, rest = path[-1]
            step = next(rest, None)
            if step is None:
                colour[key] = 2
                path.pop()
            elif colour[step] == 1:
                back.add((key, step))
            elif colour[step] == 0:
                colour[step] = 1
                path.append((step, iter(targets[step])))
    return back


def _columns(graph: _Graph, back: set[tuple[str, str]]) -> list[list[Node]]:
    """Nodes by longest path from a source; within a column ordered by the mean place of what feeds them."""
    forward = [link for link in graph.links if link not in back]
    rank = {node.key: 0 for node in graph.nodes}
    for _ in graph.nodes:
        moved = False
        for source, target in forward:
            if rank[target] < rank[source] + 1:
                rank[target] = rank[source] + 1
                moved = True
        if not moved:
            break
    # A source (a supplier, a stock that nothing fills) stands right before what it feeds.
    fed = {target for _, target in forward}
    for node in reversed(graph.nodes):
        after = [rank[target] for source, target in forward if source == node.key]
        if after and node.key not in fed:
            rank[node.key] = min(after) - 1
    columns: list[list[Node]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for node in graph.nodes:
        columns[rank[node.key]].append(node)
    columns = [column for column in columns if column]
    place: dict[str, float] = {}
    for column in columns:
        means = {}
        for position, node in enumerate(column):
            feeders = [place[source] for source, target in forward if target == node.key and source in place]
            means[node.key] = (sum(feeders) / len(feeders) if feeders else float(position), position)
        column.sort(key=lambda node: means[node.key])
        for position, node in enumerate(column):
            place[node.key] = position - (len(column) - 1) / 2
    return columns


def _tall(column: list[Node]) -> float:
    return sum(SIZES[node.kind][1] for node in column) + SPACE * (len(column) - 1)


def _split(columns: list[list[Node]], most: int) -> list[list[list[Node]]]:
    """Columns too tall to read are split into neighbours of at most `most` nodes."""
    return [[column[i : i + most] for i in range(0, len(column), most)] for column in columns]


@dataclass(slots=True)
class _Place:
    row: int
    column: int
    node: Node


class _Router:
    """Gives every connection its corner points; keeps count of the tracks used in gaps and lanes."""

    def __init__(self, places: dict[str, _Place], lanes: list[float]) -> None:
        self.places = places
        self.lanes = lanes
        self.used: dict[tuple[str, int, int], int] = {}

    def _track(self, kind: str, row: int, column: int) -> float:
        count = self.used.get((kind, row, column), 0)
        self.used[kind, row, column] = count + 1
        return (count % TRACKS) * TRACK

    def points(self, source: str, target: str) -> tuple[tuple[float, float], ...]:
        a, b = self.places[source], self.places[target]
        x0, y0 = a.node.x + a.node.w, a.node.y + a.node.h / 2
        x1, y1 = b.node.x, b.node.y + b.node.h / 2
        if a.row == b.row and b.column == a.column + 1:
            if abs(y0 - y1) < 0.5:
                return ((x0, y0), (x1, y1))
            bend = self._out(a)
            return ((x0, y0), (bend, y0), (bend, y1), (x1, y1))
        lane = self.lanes[a.row] + 4.0 + self._track("lane", a.row, 0)
        out, into = self._out(a), self._into(b)
        return ((x0, y0), (out, y0), (out, lane), (into, lane), (into, y1), (x1, y1))

    def _out(self, place: _Place) -> float:
        right = MARGIN + GAP + place.column * (WIDTH + GAP) + WIDTH
        return right + 6.0 + self._track("out", place.row, place.column) * 0.45

    def _into(self, place: _Place) -> float:
        left = MARGIN + GAP + place.column * (WIDTH + GAP)
        return left - 11.0 - self._track("in", place.row, place.column) * 0.2


def place(plant: Mapping[str, Any], per_row: int, most: int = 6) -> Map:
    """The map with at most `per_row` columns in a row (1 or more) and `most` nodes in a column."""
    graph = _graph(plant)
    back = _back_links(graph)
    columns = [part for column in _split(_columns(graph, back), most) for part in column]
    rows = [columns[i : i + per_row] for i in range(0, len(columns), per_row)]
    places: dict[str, _Place] = {}
    lanes: list[float] = []
    y = MARGIN
    for row, members in enumerate(rows):
        tall = max(_tall(column) for column in members)
        for number, column in enumerate(members):
            top = y + (tall - _tall(column)) / 2
            for node in column:
                w, h = SIZES[node.kind]
                x = MARGIN + GAP + number * (WIDTH + GAP) + (WIDTH - w) / 2
                places[node.key] = _Place(row, number, Node(node.key, node.id, node.kind, node.index, x, top, w, h))
                top += h + SPACE
        lanes.append(y + tall + 6.0)
        crossing = sum(
            1
            for source, target in graph.links
            if source in places
            and places[source].row == row
            and not (target in places and places[target].row == row and _adjacent(places, source, target))
        )
        y += tall + (14.0 + min(crossing, TRACKS) * TRACK if crossing else SPACE)
    router = _Router(places, lanes)
    edges = tuple(Edge(s, t, (s, t) in back, router.points(s, t)) for s, t in graph.links)
    width = MARGIN * 2 + GAP + max((len(row) for row in rows), default=0) * (WIDTH + GAP)
    return Map(width, y + MARGIN - SPACE + 8.0, tuple(p.node for p in places.values()), edges)


def _adjacent(places: dict[str, _Place], source: str, target: str) -> bool:
    return places[target].column == places[source].column + 1


def fit(plant: Mapping[str, Any], aspect: float) -> Map:
    """The folding that is drawn largest on a canvas of `aspect` = width / height (0.2 to 10)."""
    aspect = min(max(aspect, 0.2), 10.0)
    things = sum(len(plant.get(name, [])) for name in ("stations", "stocks", "suppliers", "demands"))
    best: tuple[float, Map] | None = None
    for most in (4, 6, 9):
        for per_row in range(1, min(things, 14) + 1):
            drawn = place(plant, per_row, most)
            scale = min(aspect / drawn.width, 1.0 / drawn.height)
            if best is None or scale > best[0] * 1.001:
                best = (scale, drawn)
    return best[1] if best else Map(100.0, 100.0, (), ())
