"""Heights of a layered drawing: where in its column everything stands, and where connections meet its sides.

Both are the same small problem, solved exactly: put ordered things as near as possible (weighted least squares) to
where their neighbours want them, without overlap and within bounds. With the needed distances taken off, that is
isotonic regression, solved by pooling adjacent violators (Ayer et al., 1955; Best and Chakravarti, 1990, on bounds).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.drawing_graph import SIZES, Graph
from sim.drawing_layers import Columns, Item

SPACE = 24.0
"""Room between two boxes of one column."""
PASS = 16.0
"""Room between a box and a connection that passes it."""
TRACK = 9.0
"""Room between two connections side by side."""
PORT = 17.0
"""Room between two connections at one side of a box: a label fits."""
EDGE = 14.0
"""Room between the corner of a box and the first connection."""
FOOT = 30.0
"""Room below a station for its scrap exit."""
SWEEPS = 10
STRAIGHT = 4.0
"""How much more a long connection wants to be straight than a short one."""


def fitted(wanted: Sequence[float], weights: Sequence[float], apart: Sequence[float], room: float) -> list[float]:
    """Positions in 0..room, ascending by at least `apart[i]` from i to i + 1, nearest to `wanted` in the mean square.

    `apart` has one entry less than the others; room must be at least its sum.
    """
    if not wanted:
        return []
    offsets = [0.0]
    for gap in apart:
        offsets.append(offsets[-1] + gap)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = want - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, heavy, more = pools.pop()
            mean = (mean * total + other * heavy) / (total + heavy)
            total, count = total + heavy, count + more
        pools.append((mean, total, count))
    last = max(room - offsets[-1], 0.0)
    flat = [min(max(mean, 0.0), last) for mean, _, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


@dataclass(slots=True)
class Heights:
    """`center[item]` is the height of an item's middle in its row, `tall[key]` of a box, `row[r]` of a row.

    `out[i]` and `into[i]` are where link i leaves its source and meets its target, counted from the top of their row.
    """

    center: dict[Item, float] = field(default_factory=dict)
    tall: dict[str, float] = field(default_factory=dict)
    row: list[float] = field(default_factory=list)
    out: dict[int, float] = field(default_factory=dict)
    into: dict[int, float] = field(default_factory=dict)


class _Placing:
    def __init__(self, graph: Graph, columns: Columns) -> None:
        self.graph, self.columns = graph, columns
        self.foot = {e.source: FOOT for e in graph.links if not e.target}
        self.out: dict[str, list[int]] = {t.key: [] for t in graph.things}
        self.into: dict[str, list[int]] = {t.key: [] for t in graph.things}
        for i, e in enumerate(graph.links):
            if e.target:
                self.out[e.source].append(i)
                self.into[e.target].append(i)
        self.made = Heights()
        for t in graph.things:
            most = max(len(self.out[t.key]), len(self.into[t.key]), 1)
            self.made.tall[t.key] = max(SIZES[t.kind][1], 2 * EDGE + (most - 1) * PORT)
        self.beside: dict[Item, tuple[list[Item], list[Item]]] = {}

    def _half(self, item: Item) -> float:
        return self.made.tall[item.key] / 2 if item.key else 0.0

    def _apart(self, a: Item, b: Item) -> float:
        """Least distance of the middles of two neighbours in a column."""
        room = SPACE if a.key and b.key else PASS if a.key or b.key else TRACK
        return self._half(a) + self.foot.get(a.key, 0.0) + room + self._half(b)

    def _need(self, column: list[Item]) -> float:
        if not column:
            return 0.0
        between = sum(self._apart(a, b) for a, b in itertools.pairwise(column))
        return self._half(column[0]) + between + self._half(column[-1]) + self.foot.get(column[-1].key, 0.0)

    def _join(self) -> None:
        """Who stands beside whom along the connections."""
        for row in self.columns.rows:
            for column in row:
                self.beside.update({item: ([], []) for item in column})
        for i, path in enumerate(self.columns.paths):
            e = self.graph.links[i]
            if path is None or not e.target:
                continue
            stops = [Item(e.source), *[item for _, item in path], Item(e.target)]
            for a, b in itertools.pairwise(stops):
                self.beside[a][1].append(b)
                self.beside[b][0].append(a)

    def run(self) -> Heights:
        self._join()
        for row in self.columns.rows:
            self.made.row.append(max(self._need(column) for column in row))
            for column in row:
                self._spread(column, self.made.row[-1])
            for sweep in range(SWEEPS):
                sides = (0,) if sweep % 2 == 0 else (1,)
                for column in row if sweep % 2 == 0 else reversed(row):
                    self._settle(column, self.made.row[-1], sides if sweep < SWEEPS - 2 else (0, 1))
        for side in (self.into, self.out):
            for thing in self.graph.things:
                self._ports(thing.key, side)
        return self.made

    def _spread(self, column: list[Item], room: float) -> None:
        y = (room - self._need(column)) / 2
        for n, item in enumerate(column):
            y = y + self._half(item) if n == 0 else y + self._apart(column[n - 1], item)
            self.made.center[item] = y

    def _settle(self, column: list[Item], room: float, sides: tuple[int, ...]) -> None:
        """Move the items of a column towards their neighbours on these sides."""
        wanted, weights = [], []
        for item in column:
            pulls = [(other, STRAIGHT if not (item.key and other.key) else 1.0)
                     for side in sides for other in self.beside[item][side]]  # fmt: skip
            total = sum(weight for _, weight in pulls)
            middle = sum(self.made.center[other] * weight for other, weight in pulls)
            wanted.append(middle / total if total else self.made.center[item])
            weights.append(total or 0.1)
        if not column:
            return
        first = self._half(column[0])
        apart = [self._apart(a, b) for a, b in itertools.pairwise(column)]
        end = room - self._half(column[-1]) - self.foot.get(column[-1].key, 0.0)
        found = fitted([want - first for want in wanted], weights, apart, end - first)
        self.made.center.update({item: y + first for item, y in zip(column, found, strict=True)})

    def _ports(self, key: str, side: dict[str, list[int]]) -> None:
        """Where the connections of one side of a box meet it: each as near as possible to where it comes from."""
        found = self.made.into if side is self.into else self.made.out
        if not side[key]:
            return
        wanted = {i: self._far_end(i, side is self.into) for i in side[key]}
        # of those that go by a lane the longest goes round the others
        numbers = sorted(side[key], key=lambda i: (wanted[i], -self._reach(i), i))
        top = self.made.center[Item(key)] - self.made.tall[key] / 2 + EDGE
        room = self.made.tall[key] - 2 * EDGE
        inside = [min(max(wanted[i] - top, 0.0), room) for i in numbers]
        ys = fitted(inside, [1.0] * len(numbers), [PORT] * (len(numbers) - 1), room)
        found.update({i: top + y for i, y in zip(numbers, ys, strict=True)})

    def _reach(self, i: int) -> int:
        """How many columns a connection by a lane runs along."""
        e = self.graph.links[i]
        (_, c0), (_, c1) = self.columns.place[e.source], self.columns.place[e.target]
        return abs(c0 + 1 - c1) if self.columns.paths[i] is None else 0

    def _far_end(self, i: int, into: bool) -> float:
        """Height from which link i comes (or to which it goes), seen from one of its ends."""
        e, path = self.graph.links[i], self.columns.paths[i]
        here, there = (e.target, e.source) if into else (e.source, e.target)
        if path is None:
            above = self.columns.place[there][0] < self.columns.place[here][0]
            return -1e9 if above and into else 1e9
        if path:
            return self.made.center[path[-1][1] if into else path[0][1]]
        return self.made.center[Item(there)] if into else self.made.into[i]


def heights(graph: Graph, columns: Columns) -> Heights:
    """Heights of everything in a folded drawing, each row from 0."""
    return _Placing(graph, columns).run()
