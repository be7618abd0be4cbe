"""Any plant file must draw: nothing overlaps, nothing leaves the canvas, no connection crosses a node."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.layout import READABLE, Edge, Map, Node, fit, place
from sim.drawing_graph import graph
from sim.drawing_layout import arrange
from sim.plantfile import load
from tests.dashboard.fake_twin import plant
from twin.views import plant_view


@st.composite
def plants(draw: st.DrawFn) -> dict[str, Any]:
    """Up to 14 stations joined at random (loops included), with up to three stocks, suppliers and demands."""
    names = [f"s{i}" for i in range(draw(st.integers(1, 14)))]
    following = st.lists(st.sampled_from(names), max_size=3, unique=True)
    suppliers = [f"v{i}" for i in range(draw(st.integers(0, 3)))]
    stocks = [
        {"id": f"k{i}", "source": draw(st.sampled_from(["line", *suppliers]))} for i in range(draw(st.integers(0, 3)))
    ]
    ids = [str(stock["id"]) for stock in stocks]
    demands = [{"id": f"d{i}", "stock": name} for i, name in enumerate(ids)]
    product = {
        "id": "p",
        "stations": draw(st.lists(st.sampled_from(names), min_size=1, max_size=5)),
        "consumes": [[name, 1] for name in ids[:1]],
        "stock": ids[-1] if ids else None,
    }
    stations = [{"id": name, "next": draw(following)} for name in names]
    return {"stations": stations, "stocks": stocks, "suppliers": suppliers, "demands": demands, "products": [product]}


def overlaps(a: Node, b: Node) -> bool:
    return a.x < b.x + b.w and b.x < a.x + a.w and a.y < b.y + b.h and b.y < a.y + a.h


def crosses(edge: Edge, node: Node) -> bool:
    """Whether a part of the connection runs through the inside of the node."""
    for (x0, y0), (x1, y1) in zip(edge.points, edge.points[1:], strict=False):
        left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        inside_x = right > node.x + 0.01 and left < node.x + node.w - 0.01
        inside_y = bottom > node.y + 0.01 and top < node.y + node.h - 0.01
        if inside_x and inside_y:
            return True
    return False


def check(drawn: Map, wanted: set[str]) -> None:
    assert {node.key for node in drawn.nodes} == wanted
    for node in drawn.nodes:
        assert node.x >= 0
        assert node.y >= 0
        assert node.x + node.w <= drawn.width
        assert node.y + node.h <= drawn.height
    for a, b in combinations(drawn.nodes, 2):
        assert not overlaps(a, b), (a, b)
    for edge in drawn.edges:
        for x, y in edge.points:
            assert 0 <= x <= drawn.width
            assert 0 <= y <= drawn.height
        for (x0, y0), (x1, y1) in zip(edge.points, edge.points[1:], strict=False):
            assert x0 == x1 or y0 == y1, "connections are horizontal and vertical"
        for node in drawn.nodes:
            assert not crosses(edge, node), (edge, node)


def keys(description: dict[str, Any]) -> set[str]:
    kinds = {"stations": "station", "stocks": "stock", "suppliers": "supplier", "demands": "demand"}
    return {
        f"{kind}:{entry['id'] if isinstance(entry, dict) else entry}"
        for name, kind in kinds.items()
        for entry in description[name]
    }


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plants(), st.integers(1, 9), st.integers(1, 6))
def test_nothing_overlaps_and_no_connection_crosses_a_node(
    description: dict[str, Any], per_row: int, most: int
) -> None:
    check(place(description, per_row, most), keys(description))


@pytest.mark.parametrize("aspect", [0.7, 1.4, 2.3, 4.0])
def test_the_folding_suits_the_screen(aspect: float) -> None:
    drawn = fit(plant(), aspect)
    check(drawn, keys(plant()))
    scale = min(aspect / drawn.width, 1 / drawn.height)
    for per_row in range(1, 14):
        for most in (4, 6, 9):
            other = place(plant(), per_row, most)
            assert scale >= min(aspect / other.width, 1 / other.height) * 0.998


def test_the_flow_reads_from_left_to_right_and_rework_goes_back() -> None:
    drawn = place(plant(), 20)
    x = {node.key: node.x for node in drawn.nodes}
    route = ["supplier:steelworks", "stock:bar_steel", *(f"station:{s}" for s in ("cut", "hob", "heat", "grind"))]
    assert [x[key] for key in route] == sorted(x[key] for key in route)
    back = {(edge.source, edge.target) for edge in drawn.edges if edge.back}
    assert back == {("station:grind", "station:hob"), ("station:test", "station:assemble")}


def test_a_plant_with_nothing_draws_an_empty_map() -> None:
    assert fit({}, 2.0).nodes == ()


def test_a_long_line_is_drawn_without_recursion() -> None:
    names = [f"s{i}" for i in range(300)]
    stations = [{"id": a, "next": [b]} for a, b in zip(names, [*names[1:], names[0]], strict=True)]
    drawn = place({"stations": stations}, 12)
    assert len(drawn.nodes) == 300
    assert sum(edge.back for edge in drawn.edges) == 1


@pytest.mark.parametrize("name", ["gearmotor", "machine_shop"])
def test_the_map_is_the_drawing_of_plantwin_show(name: str) -> None:
    """What the twin sends through JSON is laid out exactly as the plant file is."""
    sent = json.loads(json.dumps(plant_view(load(name))))
    drawn = place(sent, 8)
    assert drawn.as_json() == arrange(graph(load(name)), 8).as_json()
    check(drawn, {thing.key for thing in graph(load(name)).things})
    assert {"7 %", "1.5 %"} <= {edge.label for edge in drawn.edges} or drawn.hidden


def test_where_the_page_scrolls_a_large_plant_is_drawn_so_that_it_can_be_read() -> None:
    large, width = plant_view(load("gearmotor")), 780.0
    squeezed, tall = fit(large, 1.2), fit(large, 1.2, width)
    assert min(width / squeezed.width, width / 1.2 / squeezed.height) < READABLE
    assert width / tall.width >= READABLE
    assert fit(plant(), 1.2, 1500.0) == fit(plant(), 1.2), "what can be read already stays as it is"
