"""Networks of exponential stations: open with rework (Jackson), closed by CONWIP (mean value analysis)."""

from __future__ import annotations

from tests.oracles.networks import Network, Node, closed, jackson
from tests.theory.compare import Case
from tests.theory.plants import push, routed

NAMES = ("a", "b", "c", "d")
TESTED = "[a, {step: test, station: b, next: {a: 25 %, done: rest}}]"
CHECK = "{step: check, station: b, next: {mend: 20 %, scrap: 10 %, c: rest}}"
LOOP = f"[a, {CHECK}, {{step: mend, station: d, next: check}}, c]"


def stations(nodes: tuple[Node, ...]) -> list[str]:
    told = zip(NAMES, nodes, strict=False)
    return [f"{name}: {{units: {node.servers}, work: exponential({node.mean} s)}}" for name, node in told]


def station_figures(known: Network) -> dict[str, float]:
    """Work fractions and queues by station."""
    load = {f"{name}.work": value for name, value in zip(NAMES, known.load, strict=False)}
    return load | {f"{name}.queue": value for name, value in zip(NAMES, known.queues, strict=False)}


def _rework() -> Case:
    """Parts that fail the test go back to the first station: 4/3 visits each."""
    nodes = (Node(1.0), Node(0.6))
    known = jackson(nodes, [0.45, 0.0], [[0.0, 1.0], [0.25, 0.0]])
    text = routed(TESTED, stations(nodes), push(0.45))
    exact = {"flow_time": known.flow_time, "wip": known.wip[0] + known.wip[1], "throughput": 0.45}
    sharp = {"flow_time": 0.015, "wip": 0.015, "a.queue": 0.025, "b.queue": 0.025}
    return Case("jackson_rework", text, exact | station_figures(known), 80_000, 2000, sharp)


def _loop() -> Case:
    """Two servers, scrap, and a repair station from which parts are checked again."""
    nodes = (Node(0.8), Node(2.0, 2), Node(1.1), Node(1.5))
    routing = [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.7, 0.2], [0.0] * 4, [0.0, 1.0, 0.0, 0.0]]
    known = jackson(nodes, [0.5, 0.0, 0.0, 0.0], routing)
    good = 0.5 * 0.7 / 0.8  # a part is checked until it is passed on (7 of 8) or scrapped
    exact = {"wip": sum(known.wip), "throughput": good} | station_figures(known)
    sharp = {"wip": 0.01, "d.work": 0.01} | {f"{name}.queue": 0.03 for name in NAMES} | {"d.queue": 0.04}
    return Case("jackson_loop", routed(LOOP, stations(nodes), push(0.5)), exact, 60_000, 2000, sharp)


def conwip(name: str, nodes: tuple[Node, ...], visits: tuple[float, ...], parts: int, routing: str) -> Case:
    """A part that leaves lets the next one in: `parts` are always there."""
    known = closed(nodes, visits, parts)
    text = routed(routing, stations(nodes), f"policy: conwip, cap: {parts}")
    exact = {"throughput": known.throughput, "flow_time": known.flow_time}
    figures = {figure: value for figure, value in station_figures(known).items() if value > 1e-9}
    sharp = {figure: 0.015 for figure in figures if figure.endswith("queue")}
    return Case(f"conwip_{name}", text, exact | figures, 20_000, 1000, sharp)


CASES = (
    _rework(),
    _loop(),
    conwip("balanced", (Node(1.0),) * 4, (1.0,) * 4, 6, "[a, b, c, d]"),
    conwip("alone", (Node(1.0), Node(0.5)), (1.0, 1.0), 1, "[a, b]"),
    conwip("servers", (Node(1.0), Node(2.2, 3), Node(0.7)), (1.0,) * 3, 5, "[a, b, c]"),
    conwip("rework", (Node(1.0), Node(0.9)), (4 / 3, 4 / 3), 8, TESTED),
)
