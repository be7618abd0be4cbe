"""Any plant must draw so that people can read it: nothing overlaps, nothing crosses a box, the same bytes each time."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import pytest

from sim.drawing import svg
from sim.drawing_graph import DENSE, Graph, Link, Thing, from_json, graph, percent, thinned
from sim.drawing_layers import back_links
from sim.drawing_layout import Edge, Map, Node, arrange, fit
from sim.drawing_place import fitted
from sim.plant import Plant
from sim.plantfile import load
from tests.plants import TWO_MOTORS
from tests.sim.random_plants import random_plant

BUNDLED = sorted(path.stem for path in (Path(__file__).parents[2] / "sim" / "plants").glob("*.yaml"))
Box = tuple[float, float, float, float]


def box(node: Node) -> Box:
    return node.x, node.y, node.w, node.h


def overlap(a: Box, b: Box) -> bool:
    near_x, near_y = a[0] < b[0] + b[2] - 0.01 and b[0] < a[0] + a[2] - 0.01, b[1] < a[1] + a[3] - 0.01
    return near_x and near_y and a[1] < b[1] + b[3] - 0.01


def parts(edge: Edge) -> list[Box]:
    """The straight parts of a connection as boxes without thickness."""
    return [
        (min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0))
        for (x0, y0), (x1, y1) in zip(edge.points, edge.points[1:], strict=False)
    ]


def inside(part: Box, area: Box) -> bool:
    """Whether a straight part runs through the inside of a box."""
    x, y, w, h = part
    return (
        x + w > area[0] + 0.01
        and x < area[0] + area[2] - 0.01
        and y + h > area[1] + 0.01
        and y < area[1] + area[3] - 0.01
    )


def lie_on_another(a: Edge, b: Edge) -> bool:
    for p in parts(a):
        for q in parts(b):
            flat = p[3] == q[3] == 0 and abs(p[1] - q[1]) < 1 and min(p[0] + p[2], q[0] + q[2]) - max(p[0], q[0]) > 1
            steep = p[2] == q[2] == 0 and abs(p[0] - q[0]) < 1 and min(p[1] + p[3], q[1] + q[3]) - max(p[1], q[1]) > 1
            if flat or steep:
                return True
    return False


def check(drawn: Map) -> None:
    boxes = {n.key: box(n) for n in drawn.nodes}
    labels = [e.label_box for e in drawn.edges if e.label_box]
    for a, b in combinations([*boxes.values(), *labels], 2):
        assert not overlap(a, b), (a, b)
    for x, y, w, h in (*boxes.values(), *labels):
        assert min(x, y) >= 0
        assert x + w <= drawn.width
        assert y + h <= drawn.height
    for e in drawn.edges:
        assert all(p[2] == 0 or p[3] == 0 for p in parts(e)), "horizontal and vertical only"
        assert all(0 <= x <= drawn.width and 0 <= y <= drawn.height for x, y in e.points)
        assert not any(inside(part, area) for part in parts(e) for area in boxes.values()), e
        x, y, w, h = boxes[e.source]
        start, end = e.points[0], e.points[-1]
        if e.target:
            assert start[0] == pytest.approx(x + w)
            assert y < start[1] < y + h
            x, y, w, h = boxes[e.target]
            assert end[0] == pytest.approx(x)
            assert y < end[1] < y + h
        others = [f for f in drawn.edges if f is not e and f.label_box]
        assert not any(inside(part, f.label_box) for f in others for part in parts(e) if f.label_box), e
    for one, other in combinations(drawn.edges, 2):
        assert not lie_on_another(one, other), (one, other)


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("aspect", [0.7, 1.78])
def test_a_bundled_plant_is_readable(name: str, aspect: float) -> None:
    made = graph(load(name))
    drawn = fit(made, aspect)
    assert {n.key for n in drawn.nodes} == {t.key for t in made.things}
    assert [(e.source, e.target) for e in drawn.edges] == [(e.source, e.target) for e in made.links]
    check(drawn)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_plant_is_readable(seed: int) -> None:
    made = graph(random_plant(seed))
    for per_row, most in ((3, 2), (20, 6)):
        check(arrange(made, per_row, most))


def test_a_plant_with_nothing_is_an_empty_drawing() -> None:
    assert fit(Graph(), 1.78).nodes == ()


def test_rework_goes_back_and_the_main_flow_forward() -> None:
    made = graph(load(TWO_MOTORS))
    back = back_links([t.key for t in made.things], made.links)
    assert {(made.links[i].source, made.links[i].target) for i in back} == {("station:test", "station:assembly")}
    x = {n.key: n.x for n in arrange(made, 20).nodes}
    route = [
        "supplier:foundry",
        "stock:kits",
        *(f"station:{s.id}" for s in load(TWO_MOTORS).stations),
        "stock:stock40",
    ]
    assert [x[key] for key in route] == sorted(x[key] for key in route)


def test_shares_and_quantities_are_on_the_connections() -> None:
    made = graph(load(TWO_MOTORS))
    label = {(e.source, e.target): e.label for e in made.links}
    assert label["station:test", "station:assembly"] == "7 %"
    assert label["station:test", ""] == "1.5 %"
    assert label["station:assembly", "station:test"] == ""
    assert [percent(s) for s in (1.0, 0.996, 0.915, 0.0701, 0.015, 0.0004)] == [
        "100 %", ">99 %", "92 %", "7 %", "1.5 %", "<0.1 %",
    ]  # fmt: skip


def test_what_a_step_takes_of_a_stock_is_a_connection() -> None:
    links = {(e.source, e.target): e for e in graph(load("gearmotor")).links}
    taken = {source for source, target in links if target == "station:assembly"}
    parts = {f"stock:{k}" for k in ("housings_s", "housings_l", "stators_s", "stators_l")}
    assert taken == {"station:grinding", *parts}
    assert links["stock:stators_l", "station:assembly"].kind == "supply"


def test_the_picture_tells_policies_batches_setups_and_groups_uncut() -> None:
    texts = [text.text for text in ET.fromstring(svg(load("gearmotor"))).iter("{http://www.w3.org/2000/svg}text")]
    assert not [text for text in texts if text and "…" in text]
    assert {"s 800, S 1300", "r 740, Q 300", "batch 7–8", "setup 24–36 min", "lead 30 h"} <= set(texts)
    assert "housing_s: base stock 40, takes 1 × castings_s" in texts
    assert "motors: together at most 116 in work, released as 8 gm40, 5 gm63, 3 gm80" in texts


def test_a_dense_plant_is_thinned_but_everything_stays_joined() -> None:
    made = graph(load("machine_shop"))
    assert made.hidden
    assert all(e.share < made.threshold for e in made.hidden)
    assert sum(e.kind != "scrap" for e in made.links) <= DENSE * len(made.things)
    assert {e.target for e in made.links if e.target} >= {e.target for e in made.hidden}
    assert {e.source for e in made.links} >= {e.source for e in made.hidden}
    again = from_json(made.as_json())
    assert (set(again.links), again.threshold) == (
        {Link(e.source, e.target, e.label, e.kind, round(e.weight, 9), round(e.share, 9)) for e in made.links},
        made.threshold,
    )


def test_several_sources_of_one_station_and_several_stations_of_one_step() -> None:
    """Assembly joins stocks and parts; alternatives fan out: the layout takes any list of connections."""
    things = [Thing(f"stock:{i}", str(i), "stock", i) for i in range(5)]
    things += [Thing(f"station:{i}", str(i), "station", i) for i in range(9)]
    links = [Link(f"stock:{i}", "station:0", f"{i} ×") for i in range(5)]
    links += [Link("station:0", f"station:{i}", f"{i} %", weight=0.1) for i in range(1, 8)]
    links += [Link(f"station:{i}", "station:8") for i in range(1, 8)]
    links += [Link("station:8", "station:8", "3 %", weight=0.03), Link("station:8", "", "1 %", "scrap")]
    drawn = fit(thinned(Graph(things, links)), 1.78)
    check(drawn)
    assert {(e.source, e.target) for e in drawn.edges if e.back} == {("station:8", "station:8")}


def text_boxes(picture: str) -> list[tuple[str, float]]:
    """Texts in boxes with the room that they have and the room that they need, as the renderer's narrow estimate."""
    found = []
    for group in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}g"):
        rect = group.find("{http://www.w3.org/2000/svg}rect")
        for text in group.findall("{http://www.w3.org/2000/svg}text"):
            if rect is not None and rect.get("class") == "box":
                size, x = float(text.get("font-size", "0")), float(text.get("x", "0"))
                room = x if text.get("text-anchor") == "end" else float(rect.get("width", "0")) - x
                found.append((text.text or "", room - 0.5 * size * len(text.text or "")))
                assert size >= 11
    return found


@pytest.mark.parametrize("name", BUNDLED)
def test_the_picture_is_the_same_each_time_and_its_texts_fit(name: str) -> None:
    plant: Plant = load(name)
    dark, light = svg(plant, "dark"), svg(plant, "light")
    assert dark == svg(load(name), "dark")
    assert re.sub(r"#[0-9a-f]{6}", "", dark) == re.sub(r"#[0-9a-f]{6}", "", light), "themes differ in colours alone"
    texts = text_boxes(dark)
    assert len(texts) >= len(plant.stations)
    assert [text for text, room in texts if room < 0] == []


def test_positions_are_the_nearest_that_keep_their_distance() -> None:
    assert fitted([0, 0, 30], [1, 1, 1], [10, 10], 100) == pytest.approx([0, 10, 30])
    assert fitted([50, 50], [1, 1], [10], 100) == pytest.approx([45, 55])
    assert fitted([50, 50], [3, 1], [10], 100) == pytest.approx([47.5, 57.5])
    assert fitted([200, 0], [1, 1], [10], 20) == pytest.approx([10, 20])
    assert fitted([], [], [], 5) == []
    assert math.isclose(sum(fitted([5, 1, 9, 2], [1, 1, 1, 1], [0, 0, 0], 99)), 17)
