"""What there is to draw of a plant: things and generic connections, without a place yet.

The command line draws it (`sim.drawing`) and the twin hands it to the dashboard as `flow` of `GET /plant`, so both
show the same picture. A connection is (from, to, label, kind, weight); nothing below this module knows what a station
is, so new kinds of things and connections only have to be listed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.plant import DONE, SCRAP, Plant, Product
from sim.traffic import traffic, visits

SIZES: Mapping[str, tuple[float, float]] = {
    "station": (168.0, 116.0),
    "stock": (128.0, 104.0),
    "supplier": (128.0, 56.0),
    "demand": (128.0, 64.0),
    "source": (128.0, 56.0),
    "exit": (104.0, 44.0),
}
"""Width and height of a thing by its kind; one with many connections is drawn higher."""

KINDS = ("supply", "release", "flow", "scrap", "demand")
"""Kinds of connections. `scrap` has no target: it is drawn as a short exit below its station."""

THRESHOLDS = (0.0, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30)
DENSE = 1.5
"""Connections for each thing that a drawing stays readable with; above, the rare ones are thinned out."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One box. `index` is its position in the plant's list of its kind (-1 where it has none)."""

    key: str
    id: str
    kind: str
    index: int = -1


@dataclass(frozen=True, slots=True)
class Link:
    """A connection. `weight` orders the drawing (what is heavy goes forward); `share` is the part of what leaves
    `source` that goes this way, 0 to 1; `target` is "" where it leaves the plant as scrap.
    """

    source: str
    target: str
    label: str = ""
    kind: str = "flow"
    weight: float = 1.0
    share: float = 1.0


@dataclass(slots=True)
class Graph:
    """Things in the order in which the file declares them (sources first), their connections, and what is left out.

    `hidden` are connections with a share below `threshold`, not drawn because there are too many.
    """

    things: list[Thing] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    hidden: list[Link] = field(default_factory=list)
    threshold: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """`flow` of `GET /plant`: the things, and all connections, hidden ones too."""
        return {
            "things": [{"key": t.key, "id": t.id, "kind": t.kind, "index": t.index} for t in self.things],
            "links": [
                {
                    "from": e.source,
                    "to": e.target,
                    "label": e.label,
                    "kind": e.kind,
                    "weight": e.weight,
                    "share": e.share,
                }
                for e in (*self.links, *self.hidden)
            ],
        }


def from_json(flow: Mapping[str, Any]) -> Graph:
    """The graph that `Graph.as_json` wrote, thinned again."""
    things = [Thing(t["key"], t["id"], t["kind"], int(t["index"])) for t in flow["things"]]
    links = [
        Link(e["from"], e["to"], e["label"], e["kind"], float(e["weight"]), float(e["share"])) for e in flow["links"]
    ]
    return thinned(Graph(things, links))


def percent(share: float) -> str:
    """A share as people read it: 7 %, 1.5 %, <0.1 %."""
    value = 100.0 * share
    if value < 0.1:
        return "<0.1 %"
    if value >= 9.95:
        return f"{value:.0f} %" if value < 99.5 or share >= 1 else ">99 %"
    return f"{value:.1f}".removesuffix(".0") + " %"


def graph(plant: Plant) -> Graph:
    """Everything of a plant that is drawn, rare connections thinned out where there are too many to read."""
    made = Graph()
    filled = {k.item: k.id for k in plant.stocks if k.source == "line"}
    made.things += [Thing(f"supplier:{s.id}", s.id, "supplier", i) for i, s in enumerate(plant.suppliers)]
    stocks = [(k, Thing(f"stock:{k.id}", k.id, "stock", i)) for i, k in enumerate(plant.stocks)]
    made.things += [thing for k, thing in stocks if k.source != "line"]
    made.things += [Thing(f"source:{p.id}", p.id, "source", i) for i, p in enumerate(plant.products) if _enters(p)]
    made.things += [Thing(f"station:{s.id}", s.id, "station", i) for i, s in enumerate(plant.stations)]
    made.things += [thing for k, thing in stocks if k.source == "line"]
    leaves = [p for p in plant.products if p.id not in filled]
    made.things += [Thing(f"exit:{p.id}", p.id, "exit", plant.products.index(p)) for p in leaves]
    made.things += [Thing(f"demand:{d.id}", d.id, "demand", i) for i, d in enumerate(plant.demands)]
    suppliers = {s.id for s in plant.suppliers}
    for k in plant.stocks:
        for source in dict.fromkeys([k.source, k.express.source if k.express else k.source]):
            if source != "line":
                kind = "supplier" if source in suppliers else "stock"
                made.links.append(Link(f"{kind}:{source}", f"stock:{k.id}", kind="supply"))
    made.links += _entries(plant)
    made.links += _flows(plant, filled)
    made.links += [Link(f"stock:{d.stock}", f"demand:{d.id}", kind="demand") for d in plant.demands]
    return thinned(made)


def _enters(product: Product) -> bool:
    """Whether parts come from nowhere that is drawn already: by arrivals, or released without a stock."""
    return product.release.policy == "push" or not product.release.consumes


def _entries(plant: Plant) -> list[Link]:
    """Sources to the first stations, and stocks to the stations that take from them, at release or at a step.

    Products that take the same are one connection.
    """
    quantities: dict[tuple[str, str], list[int]] = {}
    links: list[Link] = []
    for p in plant.products:
        first = f"station:{p.steps[0].station}"
        if _enters(p):
            links.append(Link(f"source:{p.id}", first, kind="release"))
        for stock, number in p.release.consumes:
            quantities.setdefault((f"stock:{stock}", first), []).append(number)
        for step in p.steps:
            for stock, number in step.needs:
                quantities.setdefault((f"stock:{stock}", f"station:{step.station}"), []).append(number)
    for (stock, station), numbers in quantities.items():
        least, most = min(numbers), max(numbers)
        label = "" if most == 1 else f"{most} ×" if least == most else f"{least}–{most} ×"
        links.append(Link(stock, station, label, "supply"))
    return links


def _flows(plant: Plant, filled: Mapping[str, str]) -> list[Link]:
    """What leaves each station, joined over products and steps, with its share by the traffic equations."""
    rates = traffic(plant).rates
    if not any(rate > 0 for rate in rates.values()):
        rates = dict.fromkeys(rates, 1.0)
    leaving: dict[str, dict[str, float]] = {s.id: {} for s in plant.stations}
    for p in plant.products:
        for step, times in zip(p.steps, visits(p), strict=True):
            to = leaving[step.station]
            for target, share in step.next:
                if target == SCRAP:
                    key = ""
                elif target == DONE:
                    key = f"stock:{filled[p.id]}" if p.id in filled else f"exit:{p.id}"
                else:
                    key = f"station:{p.steps[target].station}"
                to[key] = to.get(key, 0.0) + rates[p.id] * times * share
    most = max((sum(to.values()) for to in leaving.values()), default=0.0) or 1.0
    links = []
    for station, to in leaving.items():
        total = sum(to.values())
        for key, flow in to.items():
            share = flow / total if total > 0 else 1.0 / len(to)
            label = percent(share) if len(to) > 1 else ""
            links.append(
                Link(
                    f"station:{station}", key, label, "flow" if key else "scrap", round(flow / most, 9), round(share, 9)
                )
            )
    return links


def _kept(links: list[Link], threshold: float) -> set[int]:
    """Positions of the connections that stay at a threshold: the frequent ones, and the heaviest of every thing."""
    kept = {i for i, e in enumerate(links) if e.kind != "flow" or e.share >= threshold}
    for side in ("source", "target"):
        best: dict[str, int] = {}
        for i, e in enumerate(links):
            end = getattr(e, side)
            if end and e.kind != "scrap" and (end not in best or e.weight > links[best[end]].weight):
                best[end] = i
        kept.update(best.values())
    return kept


def thinned(graph: Graph) -> Graph:
    """The graph with the lowest threshold that leaves at most `DENSE` connections for each thing (or the highest)."""
    # in the order of their ends, so that it does not matter in which order they came (through JSON, say)
    at = {t.key: i for i, t in enumerate(graph.things)} | {"": len(graph.things)}
    links = sorted(_unique([*graph.links, *graph.hidden]), key=lambda e: (at[e.source], at[e.target]))
    kept: set[int] = set()
    threshold = 0.0
    for threshold in THRESHOLDS:
        kept = _kept(links, threshold)
        if sum(links[i].kind != "scrap" for i in kept) <= DENSE * max(len(graph.things), 1):
            break
    shown = [e for i, e in enumerate(links) if i in kept]
    return Graph(graph.things, shown, [e for i, e in enumerate(links) if i not in kept], threshold)


def _unique(links: Iterable[Link]) -> list[Link]:
    """One connection for each pair of ends: the first."""
    found: dict[tuple[str, str], Link] = {}
    for e in links:
        found.setdefault((e.source, e.target), e)
    return list(found.values())
