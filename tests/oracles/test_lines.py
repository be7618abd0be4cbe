"""The oracle of serial lines against published values, closed forms and an independent formulation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.lines import Line, Machine, Solution, solve
from tests.oracles.queues import finite_source, mmck

ONE = Machine(1.0)
WEAK = Machine(1.0, 0.05, 0.2)
UNEQUAL = (Machine(1.0, 0.02, 0.3), Machine(1.4, 0.1, 0.5), Machine(0.9, 0.01, 0.1))


def balanced(count: int, places: int, machine: Machine = ONE, **more: str) -> Solution:
    return solve(Line((machine,) * count, (places,) * (count - 1), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "places", "published"),
    [(2, 0, 0.6667), (3, 0, 0.5641), (4, 0, 0.5148), (5, 0, 0.4858), (3, 1, 0.6705), (4, 1, 0.6312), (3, 2, 0.7340)],
)
def test_balanced_lines_of_hillier_and_boling(count: int, places: int, published: float) -> None:
    """Hillier and Boling, "Finite queues in series with exponential or Erlang service times", Operations Research 15
    (1967), table of balanced exponential lines.
    """
    assert balanced(count, places).throughput == pytest.approx(published, abs=5e-5)


def test_three_machines_without_places_by_hand() -> None:
    assert balanced(3, 0).throughput == pytest.approx(22 / 39, abs=1e-12)  # Hunt (1956)


def test_the_blocking_convention_moves_the_throughput() -> None:
    assert balanced(3, 1).throughput == pytest.approx(0.670, abs=5e-4)
    assert balanced(3, 1, blocking="before_service").throughput == pytest.approx(0.578, abs=5e-4)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_part_held_upstream_until_the_start_is_one_place_less(count: int) -> None:
    """Before service with the part left in the queue: places + 1 are worth what places are after service."""
    rates = (1.0, 1.3, 0.8, 1.1)[:count]
    machines = tuple(Machine(rate) for rate in rates)
    after = solve(Line(machines, (1,) * (count - 1)))
    before = solve(Line(machines, (2,) * (count - 1), "before_service", waits="queue"))
    assert before.throughput == pytest.approx(after.throughput, rel=1e-11)


@pytest.mark.parametrize("clock", ["odf", "tdf"])
def test_where_the_part_waits_matters_only_if_an_idle_machine_can_fail(clock: str) -> None:
    in_machine, lent = (solve(Line(UNEQUAL, (1, 2), "before_service", clock, waits=w)) for w in ("machine", "lent"))
    if clock == "odf":
        assert lent.throughput == pytest.approx(in_machine.throughput, rel=1e-11)
        assert lent.blocked == pytest.approx(in_machine.blocked, abs=1e-11)
        waiting = lent.blocked[1]  # counted in the queue instead of in the machine
        assert lent.buffers[0] == pytest.approx(in_machine.buffers[0] + waiting, rel=1e-9)
    else:
        assert lent.throughput < in_machine.throughput


@pytest.mark.parametrize("places", [0, 1, 4])
def test_two_reliable_machines_are_a_queue_with_loss(places: int) -> None:
    """The first machine is a Poisson source that stops while the part it finished has no place: M/M/1/(places + 2)."""
    found = solve(Line((Machine(0.8), Machine(1.0)), (places,)))
    exact = mmck(0.8, 1.0, 1, places + 2)
    assert found.throughput == pytest.approx(exact.throughput, rel=1e-12)
    assert found.blocked[0] == pytest.approx(exact.lost, rel=1e-12)
    assert found.buffers[0] == pytest.approx(exact.queue - found.blocked[0], rel=1e-11)


def kronecker(first: Machine, second: Machine, places: int) -> float:
    """Throughput of two machines (after service, odf) as a queue with phases: level = parts behind machine one."""
    top = places + 2

    def clock(machine: Machine) -> NDArray[np.float64]:  # phases up, down; without completions
        return np.array([[-machine.fail - machine.work, machine.fail], [machine.repair, -machine.repair]])

    done = np.array([[1.0, 0.0], [0.0, 0.0]])
    eye = np.eye(2)
    generator = np.zeros((4 * (top + 1), 4 * (top + 1)))
    for level in range(top + 1):
        here = slice(4 * level, 4 * level + 4)
        if level < top:  # machine one works: it is in the left factor
            generator[here, here] += np.kron(clock(first), eye)
            generator[here, slice(4 * level + 4, 4 * level + 8)] += np.kron(first.work * done, eye)
        if level > 0:
            generator[here, here] += np.kron(eye, clock(second))
            generator[here, slice(4 * level - 4, 4 * level)] += np.kron(eye, second.work * done)
    # phase combinations that cannot be reached (down without work) make the system singular: drop them
    phases = [(n, a, b) for n in range(top + 1) for a in (0, 2) for b in (0, 1)]
    kept = [4 * n + a + b for n, a, b in phases if (n < top or a == 0) and (n > 0 or b == 0)]
    generator = generator[np.ix_(kept, kept)]
    system = np.vstack([generator.T, np.ones(len(kept))])
    chance = np.linalg.lstsq(system, np.r_[np.zeros(len(kept)), 1.0], rcond=None)[0]
    return float(second.work * sum(p for p, k in zip(chance, kept, strict=True) if k >= 4 and k % 2 == 0))


@pytest.mark.parametrize("places", [0, 1, 6])
def test_two_unreliable_machines_in_another_formulation(places: int) -> None:
    found = solve(Line(UNEQUAL[:2], (places,)))
    assert found.throughput == pytest.approx(kronecker(*UNEQUAL[:2], places), rel=1e-10)


@pytest.mark.parametrize("blocking", ["after_service", "before_service"])
@pytest.mark.parametrize("clock", ["odf", "tdf"])
@pytest.mark.parametrize("crew", [None, 1])
@pytest.mark.parametrize(("waits", "leaves"), [("lent", True), ("machine", False), ("queue", True)])
def test_what_flows_in_flows_out(blocking: str, clock: str, crew: int | None, waits: str, leaves: bool) -> None:
    line = Line(UNEQUAL, (1, 2), blocking, clock, crew, waits, leaves)
    found = solve(line)
    for i, machine in enumerate(UNEQUAL):
        assert machine.work * found.works[i] == pytest.approx(found.throughput, rel=1e-10)
        assert found.works[i] + found.starved[i] + found.blocked[i] + found.down[i] == pytest.approx(1.0, abs=1e-12)
        if crew is None and clock == "odf":
            assert found.down[i] == pytest.approx(found.works[i] * machine.fail / machine.repair, rel=1e-10)
        if crew is None and clock == "tdf":
            assert found.down[i] == pytest.approx(machine.fail / (machine.fail + machine.repair), rel=1e-10)
    assert found.starved[0] == pytest.approx(0.0, abs=1e-12)
    assert found.blocked[-1] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("crew", [1, 2])
def test_calendar_failures_share_a_crew_as_in_machine_interference(crew: int) -> None:
    """With `tdf` the line does not matter: its machines are the units of a finite-source queue."""
    found = solve(Line((WEAK,) * 4, (0,) * 3, clock="tdf", crew=crew))
    exact = finite_source(4, WEAK.fail, WEAK.repair, crew)
    assert sum(found.down) == pytest.approx(exact.down, rel=1e-10)


@pytest.mark.parametrize("places", [(0, 0), (2, 1)])
def test_the_line_backwards_makes_as_much(places: tuple[int, ...]) -> None:
    """Reversibility (Yamazaki and Sakasegawa 1975; Muth 1979), after service, work with operation-dependent
    failures."""
    line = Line(UNEQUAL, places)
    assert solve(line.backwards()).throughput == pytest.approx(solve(line).throughput, rel=1e-10)


def test_wide_buffers_leave_the_bottleneck() -> None:
    found = solve(Line((Machine(1.0, 0.05, 0.2), Machine(2.0, 0.1, 0.5)), (150,)))
    assert found.throughput == pytest.approx(1.0 / (1 + 0.05 / 0.2), rel=1e-9)


def test_more_places_and_more_repairers_never_hurt() -> None:
    by_places = [balanced(3, places, WEAK).throughput for places in range(5)]
    by_crew = [solve(Line((WEAK,) * 3, (1, 1), crew=crew)).throughput for crew in (1, 2, 3)]
    assert by_places == sorted(by_places)
    assert by_crew == sorted(by_crew)
    assert by_crew[-1] == pytest.approx(balanced(3, 1, WEAK).throughput, rel=1e-10)


def test_operation_dependent_failures_cost_less_than_calendar_failures() -> None:
    odf, tdf = (balanced(3, 5, Machine(1.0, 0.01, 0.1), clock=clock).throughput for clock in ("odf", "tdf"))
    assert 0.95 < tdf / odf < 0.99


def test_the_iteration_agrees_with_the_factorisation(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line((WEAK,) * 4, (1,) * 3)
    direct = solve(line)
    monkeypatch.setattr("tests.oracles.lines.DIRECT", 1)
    assert solve(line).throughput == pytest.approx(direct.throughput, rel=1e-10)
