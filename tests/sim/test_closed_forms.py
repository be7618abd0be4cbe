"""Which closed forms are told for which plant, and how `simulate` shows them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest

from sim import closed_forms
from sim.closed_forms import theory
from sim.commands_run import simulate
from sim.plant import DONE, Demand, Dist, Failure, Plant, Product, Release, Station, Step, Stock, Supplier
from sim.plantfile import load
from tests.sim.small_plants import SATURATED, const, conwip, plant, product, shift, station

EXPONENTIAL = Dist("exponential", (600.0,))
POISSON = Release("push", arrivals=Dist("exponential", (1000.0,)))


def one_station(work: Dist = EXPONENTIAL, release: Release = POISSON, **station_fields: object) -> Plant:
    machine = replace(Station("a"), **station_fields)  # type: ignore[arg-type]
    return plant([machine], [Product("x", (Step("op", "a", work, ((DONE, 1.0),)),), release)])


def told(described: Plant) -> dict[str, float]:
    return {f"{t.owner}.{t.name}" if t.owner else t.name: t.value for t in theory(described)}


def forms(described: Plant) -> set[tuple[str, bool]]:
    return {(t.form, t.exact) for t in theory(described) if t.form != "traffic"}


def test_mm1_in_the_time_unit_of_the_file() -> None:
    described = load("mm1")
    assert told(described) == pytest.approx(
        {"throughput": 0.8, "wip": 4.0, "wait": 4.0, "flow_time": 5.0, "server.utilisation": 0.8, "server.queue": 3.2}
    )
    assert forms(described) == {("M/M/1", True)}
    minutes = told(replace(described, time_unit="min"))
    assert minutes["wait"] == pytest.approx(4 / 60)
    assert minutes["throughput"] == pytest.approx(48)


def test_each_form_where_its_assumptions_hold() -> None:
    gamma, broken = Dist("gamma", (600.0, 0.5)), Failure("odf", EXPONENTIAL, const(60.0))
    ageing = replace(broken, after=Dist("weibull", (600.0, 2.0)))
    erlang = Release("push", arrivals=Dist("erlang", (1000.0, 2.0)))
    assert forms(one_station(units=2)) == {("M/M/2", True)}
    assert forms(one_station(gamma)) == {("M/G/1", True)}
    assert forms(one_station(modes=(broken,))) == {("M/G/1", True)}
    assert forms(one_station(modes=(ageing,))) == {("VUT", False)}
    assert forms(one_station(modes=(replace(broken, crew="fitters"),))) == {("VUT", False)}
    assert forms(one_station(gamma, units=2)) == {("VUT", False)}
    assert forms(one_station(release=erlang)) == {("VUT", False)}
    assert forms(one_station(release=conwip(3))) == {("MVA", True)}
    assert forms(one_station(gamma, release=SATURATED)) == {("bottleneck rate", True)}
    assert told(one_station(gamma, release=SATURATED, units=3)) == pytest.approx({"throughput": 3 / 600})


def test_mg1_with_two_products_is_that_of_the_mixture() -> None:
    """Works of 2 and 6 at equal rates: mean 4, second moment 20; wait = rate * 20 / 2 / (1 - load)."""
    first, second = (product(name, [("a", work)], POISSON) for name, work in (("x", 200.0), ("y", 600.0)))
    found = told(plant([station("a")], [first, second]))
    assert found["wait"] == pytest.approx(0.002 * 200_000 / 2 / (1 - 0.8))


@pytest.mark.parametrize(
    "described",
    [
        one_station(capacity=3),
        one_station(calendar="shift"),
        one_station(Dist("exponential", (1000.0,))),
        one_station(release=replace(POISSON, calendar="shift")),
        one_station(release=replace(POISSON, consumes=(("kits", 1),))),
        one_station(release=conwip(3, base_stock=4)),
        one_station(Dist("gamma", (600.0, 0.5)), release=conwip(3)),
        one_station(EXPONENTIAL, release=conwip(3), units=2),
        one_station(release=SATURATED, modes=(Failure("odf", EXPONENTIAL, const(60.0), "fitters"),)),
        one_station(modes=(Failure("tdf", EXPONENTIAL, const(60.0)),)),
        plant([station("a"), station("b", 1)], [product("x", [("a", 5), ("b", 5)], conwip(3))]),
        plant([], []),
    ],
    ids=(
        "bounded calendar overload closed_release consumes base_stock gamma_conwip two_units crew tdf blocking empty"
    ).split(),
)
def test_nothing_is_told_where_nothing_holds(described: Plant) -> None:
    assert theory(replace(described, calendars=(shift((0, 60)),))) == []


def test_scrap_takes_the_flow_time_away_and_nothing_else() -> None:
    scrapping = Step("op", "a", EXPONENTIAL, ((DONE, 0.9), (-2, 0.1)))
    found = told(plant([station("a")], [Product("x", (scrapping,), POISSON)]))
    assert "flow_time" not in found
    assert found["throughput"] == pytest.approx(0.0009)
    assert found["wait"] == pytest.approx(told(one_station())["wait"])


def stock_plant(**fields: object) -> Plant:
    stock = replace(Stock("shelf", "part", "acme", 3, level=3, lead=const(10.0)), **fields)  # type: ignore[arg-type]
    return plant([], [], stocks=(stock,), demands=(Demand("customer", "shelf", Dist("exponential", (10.0,))),))


def test_a_stock_is_told_only_for_what_the_form_knows() -> None:
    assert told(stock_plant())["shelf.on_hand"] == pytest.approx(5.5 * 0.36787944)
    assert "shelf.best_level" not in told(stock_plant()), "nobody said what holding and waiting cost"
    assert told(stock_plant(review=5)) == {}
    closed = stock_plant()
    assert told(replace(closed, demands=(replace(closed.demands[0], calendar="shift"),))) == {}
    assert told(replace(closed, demands=(replace(closed.demands[0], arrivals=const(10.0)),))) == {}
    assert told(replace(closed, suppliers=(Supplier("other"),))) == {}


@dataclass(frozen=True, slots=True)
class NewStation(Station):
    """A station of a later version with a feature the closed forms have never heard of."""

    setup: Dist | None = None


def test_a_feature_added_later_silences_the_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(closed_forms._KNOWN, "NewStation", closed_forms._KNOWN["Station"])
    described = one_station()
    assert theory(replace(described, stations=(NewStation("a"),)))
    assert theory(replace(described, stations=(NewStation("a", setup=const(5.0)),))) == []


def test_simulate_shows_theory_beside_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    simulate("mm1", "10 min", "1 min", 2, 7, "kernel", as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["analytic"]["kpis"]["wait"] == {"value": pytest.approx(4), "form": "M/M/1", "exact": True}
    assert report["analytic"]["stations"]["server"]["queue"]["value"] == pytest.approx(3.2)
    simulate("mm1", "10 min", "1 min", 2, 7, "kernel", as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "5 (M/M/1)" in shown
    assert "theory, server: utilisation 0.8 (traffic), queue 3.2 (M/M/1)" in shown
    simulate("line3", "36 h", "0 s", 2, 7, "kernel", as_json=False)
    assert "theory" not in capsys.readouterr().out
    simulate("line3", "36 h", "0 s", 2, 7, "kernel", as_json=True)
    assert "analytic" not in json.loads(capsys.readouterr().out)


def test_closed_forms_are_light() -> None:
    """No numpy, scipy or numba comes with them."""
    code = "import sys, sim.closed_forms; print(sorted({'numpy', 'scipy', 'numba', 'simpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
