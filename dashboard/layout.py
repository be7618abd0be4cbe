"""Where everything stands on the plant map: the layout of `plantwin show`, for what the twin says of its plant.

`GET /plant` carries the things and connections to draw as `flow` (`sim.drawing_graph`). A description without it is
drawn from its lists of stations, stocks, suppliers and demands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sim.drawing_graph import Graph, Link, Thing, from_json
from sim.drawing_layout import Edge, Map, Node, arrange, foldings, largest

__all__ = ["READABLE", "Edge", "Map", "Node", "fit", "place"]

READABLE = 0.75
"""Pixels a unit of the drawing below which its texts (13 to 16 units) are hard to read."""


def _ids(entries: Iterable[Any]) -> list[dict[str, Any]]:
    """Entries of `/plant` lists as mappings; a bare id is allowed."""
    return [entry if isinstance(entry, dict) else {"id": str(entry)} for entry in entries]


def _graph(plant: Mapping[str, Any]) -> Graph:
    """Things and connections of a plant as `GET /plant` describes it."""
    if isinstance(plant.get("flow"), Mapping):
        return from_json(plant["flow"])
    graph = Graph()
    known: set[str] = set()
    for kind, name in (("supplier", "suppliers"), ("stock", "stocks"), ("station", "stations"), ("demand", "demands")):
        for index, entry in enumerate(_ids(plant.get(name, []))):
            key = f"{kind}:{entry['id']}"
            if key not in known:
                known.add(key)
                graph.things.append(Thing(key, str(entry["id"]), kind, index))
    joined: set[tuple[str, str]] = set()

    def link(source: str, target: str, kind: str) -> None:
        if source in known and target in known and source != target and (source, target) not in joined:
            joined.add((source, target))
            graph.links.append(Link(source, target, kind=kind))

    for stock in _ids(plant.get("stocks", [])):
        link(f"supplier:{stock.get('source')}", f"stock:{stock['id']}", "supply")
    for product in _ids(plant.get("products", [])):
        route = [str(station) for station in product.get("stations", [])]
        for consumed in product.get("consumes", []):
            name = consumed[0] if isinstance(consumed, (list, tuple)) else consumed
            if route:
                link(f"stock:{name}", f"station:{route[0]}", "supply")
        if route and product.get("stock"):
            link(f"station:{route[-1]}", f"stock:{product['stock']}", "flow")
    for station in _ids(plant.get("stations", [])):
        for target in station.get("next", []):
            link(f"station:{station['id']}", f"station:{target}", "flow")
    for demand in _ids(plant.get("demands", [])):
        link(f"stock:{demand.get('stock')}", f"demand:{demand['id']}", "demand")
    return graph


def place(plant: Mapping[str, Any], per_row: int, most: int = 6) -> Map:
    """The map with at most `per_row` columns in a row (1 or more) and `most` nodes in a column."""
    return arrange(_graph(plant), per_row, most)


@lru_cache(maxsize=4)
def _foldings(plant: str) -> tuple[Map, ...]:
    """All foldings of a plant given as JSON: they take seconds for a large one, and every page asks for them."""
    return tuple(foldings(_graph(json.loads(plant))))


def fit(plant: Mapping[str, Any], aspect: float, width: float = 0.0) -> Map:
    """The folding that is drawn largest on a canvas of `aspect` = width / height (0.2 to 10).

    `width` in pixels is given where the canvas may be as high as need be: a drawing that would be smaller than
    `READABLE` pixels a unit there is folded into less width instead, and the canvas gets its height.
    """
    drawn = _foldings(json.dumps(plant, sort_keys=True))
    found = largest(drawn, aspect)
    if width <= 0 or not drawn or min(width / found.width, width / aspect / found.height) >= READABLE:
        return found
    readable = [one for one in drawn if width / one.width >= READABLE]
    return min(readable, key=lambda m: m.height) if readable else min(drawn, key=lambda m: m.width)
