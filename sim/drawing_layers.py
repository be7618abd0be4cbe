"""Which column of a layered drawing each thing stands in, and in which order: the first half of Sugiyama's method.

1. Loops are opened: an order of the things in which little weight goes backwards, from the file's own order improved by
   moving one thing at a time (the sifting heuristic for the minimum feedback arc set).
2. Layers by the longest path from the sources; a source stands right before what it feeds.
3. Layers are split where they are too tall and folded into rows, like words of a text.
4. Order within a column by barycentre sweeps, keeping the order with the fewest crossings; a connection over several
   columns of a row holds a place (a dummy) in each column between.

Source: Sugiyama, Tagawa and Toda, Methods for Visual Understanding of Hierarchical System Structures, 1981;
Matuszewski, Schönfeld and Molitor, Using Sifting for k-Layer Straightline Crossing Minimization, 1999.
Ties go by the order of the file, so the result is the same each time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.drawing_graph import Graph, Link

LONGEST = 6
"""Connections over more columns of one row than this go by the lane below the row, not between the boxes."""
SWEEPS = 6
EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Item:
    """What holds a place in a column: a thing (`key`), or connection number `link` on its way through `column`."""

    key: str
    link: int = -1
    column: int = -1


@dataclass(slots=True)
class Columns:
    """`rows[r][c]` are the items of column c of row r from top to bottom; `back` positions of links that go back.

    `paths[i]` are the (column, item) places of link i between its ends; None where it goes by a lane.
    """

    rows: list[list[list[Item]]]
    place: dict[str, tuple[int, int]]
    back: frozenset[int]
    paths: list[list[tuple[int, Item]] | None] = field(default_factory=list)


def order(keys: Sequence[str], links: Sequence[Link]) -> list[str]:
    """The things in an order that little weight goes against."""
    joined: dict[str, list[tuple[str, float]]] = {key: [] for key in keys}
    for e in links:
        if e.target and e.source != e.target:
            joined[e.source].append((e.target, e.weight))  # costs its weight when the target stands before
            joined[e.target].append((e.source, -e.weight))
    starts = [list(keys), _greedy(keys, joined)]
    found = [_sift(start, keys, joined) for start in starts]
    return min(found, key=lambda order: round(_against(order, links), 9))


def _against(present: list[str], links: Sequence[Link]) -> float:
    """Weight that goes backwards in an order."""
    at = {key: i for i, key in enumerate(present)}
    return sum(e.weight for e in links if e.target and at[e.source] > at[e.target])


def _greedy(keys: Sequence[str], joined: dict[str, list[tuple[str, float]]]) -> list[str]:
    """Sinks last, sources first, in a loop what sends most and receives least first (Eades, Lin and Smyth, 1993)."""
    first: list[str] = []
    last: list[str] = []
    left = list(keys)
    while left:
        inside = set(left)
        out = {key: sum(w for name, w in joined[key] if w > 0 and name in inside) for key in left}
        into = {key: -sum(w for name, w in joined[key] if w < 0 and name in inside) for key in left}
        sink = next((key for key in reversed(left) if out[key] <= EPSILON), None)
        if sink is not None:
            left.remove(sink)
            last.append(sink)
            continue
        best = max(left, key=lambda key: out[key] - into[key] if into[key] > EPSILON else float("inf"))
        left.remove(best)
        first.append(best)
    return first + last[::-1]


def _sift(start: list[str], keys: Sequence[str], joined: dict[str, list[tuple[str, float]]]) -> list[str]:
    """The order after moving one thing at a time as long as that saves weight."""
    present = list(start)
    for _ in range(len(keys)):
        moved = False
        for key in keys:
            at = present.index(key)
            best = _sifted(key, joined[key], present, at)
            if best != at:
                present.insert(best, present.pop(at))
                moved = True
        if not moved:
            break
    return present


def _sifted(key: str, joined: list[tuple[str, float]], present: list[str], at: int) -> int:
    """The cheapest position of one thing in the order, the others as they are; its own where none is better."""
    others = [name for name in present if name != key]
    gain = dict.fromkeys(others, 0.0)
    for name, weight in joined:
        gain[name] += weight
    # the cost of standing at position p, up to a constant: passing a target costs, passing a source saves
    cost, costs = 0.0, [0.0]
    for name in others:
        cost += gain[name]
        costs.append(cost)
    best = min(range(len(costs)), key=lambda p: (costs[p], abs(p - at)))
    return best if costs[best] < costs[at] - EPSILON else at


def back_links(keys: Sequence[str], links: Sequence[Link], hidden: Sequence[Link] = ()) -> frozenset[int]:
    """Positions of the `links` that go back: without them there is no loop. `hidden` ones have their say as well."""
    rank = {key: i for i, key in enumerate(order(keys, [*links, *hidden]))}
    return frozenset(i for i, e in enumerate(links) if e.target and rank[e.source] >= rank[e.target])


def layers(keys: Sequence[str], links: Sequence[Link], back: frozenset[int]) -> list[list[str]]:
    """The things by longest path from the sources, none empty, in the order of `keys`."""
    after: dict[str, list[str]] = {key: [] for key in keys}
    waiting = dict.fromkeys(keys, 0)
    for i, e in enumerate(links):
        if e.target and i not in back:
            after[e.source].append(e.target)
            waiting[e.target] += 1
    rank = dict.fromkeys(keys, 0)
    fed = {key for key, n in waiting.items() if n}
    ready = [key for key in keys if not waiting[key]]
    done: list[str] = []
    while ready:
        key = ready.pop()
        done.append(key)
        for target in after[key]:
            rank[target] = max(rank[target], rank[key] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for key in reversed(done):
        # a source stands right before what it feeds; so do things fed by sources alone that moved away
        if after[key] and key not in fed:
            rank[key] = min(rank[target] for target in after[key]) - 1
    found: dict[int, list[str]] = {}
    for key in keys:
        found.setdefault(rank[key], []).append(key)
    return [found[r] for r in sorted(found)]


def columns(graph: Graph, per_row: int, most: int) -> Columns:
    """The folded drawing: at most `per_row` columns in a row (1 or more), at most `most` things in a column."""
    keys = [t.key for t in graph.things]
    back = back_links(keys, graph.links, graph.hidden)
    place: dict[str, tuple[int, int]] = {}
    rows: list[list[list[Item]]] = []
    height: dict[str, float] = {}
    number = 0
    for layer in layers(keys, graph.links, back):
        settled = _by_feeders(layer, graph.links, back, height)
        height.update({key: i - (len(settled) - 1) / 2 for i, key in enumerate(settled)})
        for at in range(0, len(settled), most):
            r, c = divmod(number, per_row)
            if c == 0:
                rows.append([])
            rows[r].append([Item(key) for key in settled[at : at + most]])
            place.update(dict.fromkeys(settled[at : at + most], (r, c)))
            number += 1
    made = Columns(rows, place, back)
    _lay_paths(made, graph.links)
    for r in range(len(rows)):
        _uncross(made, graph.links, r)
    return made


def _by_feeders(layer: list[str], links: Sequence[Link], back: frozenset[int], height: dict[str, float]) -> list[str]:
    """A layer in the order of the mean height of what feeds each thing."""
    means: dict[str, tuple[float, int]] = {}
    for position, key in enumerate(layer):
        feeders = [
            height[e.source] for i, e in enumerate(links) if e.target == key and i not in back and e.source in height
        ]
        means[key] = (sum(feeders) / len(feeders) if feeders else position - (len(layer) - 1) / 2, position)
    return sorted(layer, key=lambda key: means[key])


def _lay_paths(made: Columns, links: Sequence[Link]) -> None:
    """Give every connection its dummies in the columns between, or send it by a lane."""
    for i, e in enumerate(links):
        if not e.target:
            made.paths.append([])
            continue
        (r0, c0), (r1, c1) = made.place[e.source], made.place[e.target]
        if r0 != r1 or not 1 <= c1 - c0 <= LONGEST:
            made.paths.append(None)
            continue
        path = [(c, Item("", i, c)) for c in range(c0 + 1, c1)]
        for c, item in path:
            made.rows[r0][c].append(item)
        made.paths.append(path)


def _neighbours(made: Columns, links: Sequence[Link], r: int) -> list[list[tuple[Item, Item]]]:
    """For each pair of neighbouring columns of a row, the connected items (left, right)."""
    pairs: list[list[tuple[Item, Item]]] = [[] for _ in made.rows[r]]
    for i, e in enumerate(links):
        path = made.paths[i]
        if not e.target or path is None or made.place[e.source][0] != r:
            continue
        stops = [Item(e.source), *[item for _, item in path], Item(e.target)]
        first = made.place[e.source][1]
        for n, pair in enumerate(itertools.pairwise(stops)):
            pairs[first + n].append(pair)
    return pairs


def _uncross(made: Columns, links: Sequence[Link], r: int) -> None:
    """Barycentre sweeps over the columns of row `r`; the best order seen is kept."""
    row = made.rows[r]
    pairs = _neighbours(made, links, r)
    best, fewest = [list(column) for column in row], crossings(row, pairs)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        for c in range(1, len(row)) if forward else range(len(row) - 2, -1, -1):
            beside = row[c - 1] if forward else row[c + 1]
            at = {item: (n + 0.5) / len(beside) for n, item in enumerate(beside)}
            own = {item: (n + 0.5) / len(row[c]) for n, item in enumerate(row[c])}
            seen: dict[Item, list[float]] = {}
            for left, right in pairs[c - 1 if forward else c]:
                item, other = (right, left) if forward else (left, right)
                seen.setdefault(item, []).append(at[other])
            row[c].sort(key=lambda item: sum(seen[item]) / len(seen[item]) if item in seen else own[item])
        count = crossings(row, pairs)
        if count < fewest:
            best, fewest = [list(column) for column in row], count
    made.rows[r] = best


def crossings(row: Sequence[Sequence[Item]], pairs: Sequence[Sequence[tuple[Item, Item]]]) -> int:
    """Crossings between neighbouring columns of a row."""
    total = 0
    for c in range(len(row) - 1):
        left = {item: n for n, item in enumerate(row[c])}
        right = {item: n for n, item in enumerate(row[c + 1])}
        ends = sorted((left[a], right[b]) for a, b in pairs[c])
        total += sum(1 for i, (a, b) in enumerate(ends) for p, q in ends[i + 1 :] if a < p and b > q)
    return total
