"""Job shops for many weights at once: the oracle's schedules; the search; the network; the page."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _jobshop_net as net
from benchmarks import _jobshop_orders as orders
from benchmarks import shop as bench
from benchmarks._evolution import Evolution, least
from benchmarks._jobshop import RULES, USED, by_priority, drawn, makespans, named, random_shops, whole
from benchmarks._jobshop_learn import Effort, learnt, ratios, searched
from benchmarks._plot_rows import rows
from benchmarks._record import RESULTS
from sim import jobshop, kernel
from sim.value import operating_cost
from tests.oracles import jobshop as oracle
from tests.theory.compare import compiled

RESULT = json.loads((RESULTS / "shop.json").read_text(encoding="utf-8"))["detail"]
NAMES = tuple(RESULT["instances"])


@pytest.mark.parametrize("name", NAMES)
def test_makespans_are_those_of_the_oracle(name: str) -> None:
    shop = named(name)
    found = makespans(shop, np.array(list(RULES.values())))
    for rule, end in zip(RULES, found.tolist(), strict=True):
        assert end == oracle.makespan(shop.jobs, oracle.dispatch_by_event(shop.jobs, rule))


@pytest.mark.parametrize("name", NAMES)
def test_the_results_of_rules_and_learnt_weights_come_again(name: str) -> None:
    told, shop = RESULT["instances"][name], named(name)
    assert told["best"] == shop.best == oracle.load(name).optimum
    size = RESULT["sizes"][f"{told['size'][0]}x{told['size'][1]}"]
    weights = np.array([*RULES.values(), [size["weights"][feature] for feature in USED]])
    assert makespans(shop, weights).tolist() == [told[column] for column in (*RULES, "learnt")]
    assert all(told[column] >= shop.best for column in bench.COLUMNS)


def test_learnt_weights_stand_in_a_plant_file_and_give_the_same_makespan() -> None:
    told, name = RESULT["instances"]["ft10"], "ft10"
    weights = RESULT["sizes"]["10x10"]["weights"]
    rule = "{" + ", ".join(f"{k}: {v}" for k, v in weights.items()) + "}"
    built = compiled(jobshop.plant_text((oracle.HERE / f"{name}.txt").read_text(), rule))
    done = kernel.new_rows(built, 0, 1)
    kernel.run(done, built, 60 * told["learnt"])
    assert int(built.layout.view(done, "finished").sum()) == 9
    kernel.run(done, built, 60 * told["learnt"] + 1)
    assert int(built.layout.view(done, "finished").sum()) == 10


def test_random_instances_are_job_shops() -> None:
    jobs = drawn(5, (6, 4), 9)
    assert jobs == drawn(5, (6, 4), 9) != drawn(6, (6, 4), 9)
    assert all(sorted(m for m, _ in job) == [0, 1, 2, 3] for job in jobs)
    times = [t for seed in range(40) for job in drawn(seed, (6, 4), 9) for _, t in job]
    assert (min(times), max(times)) == (1, 9)


def test_random_priorities_are_no_better_than_the_optimum_and_differ() -> None:
    found = by_priority(named("ft06"), 12)
    assert found.min() >= 55
    assert len(set(found.tolist())) > 4


def test_weights_are_learnt_that_beat_the_rules_they_are_made_of() -> None:
    """On the instances learnt from; on others `held` of the result file says how it is."""
    shops = random_shops(1, 12, (6, 6), 10)
    weights = learnt(shops, Effort(generations=12, population=16))
    assert np.abs(weights).max() == 1000
    rules = ratios(shops, np.array(list(RULES.values()))).mean(axis=1)
    assert ratios(shops, weights[None, :]).mean() < rules.min()


def test_searching_an_instance_finds_what_one_vector_for_all_machines_does_not() -> None:
    shop = named("la01")
    start = np.array(RULES["MWKR"])
    assert shop.best <= searched(shop, start, Effort(own=15)) < int(makespans(shop, start[None, :])[0])


def test_a_network_of_noughts_is_the_weights_and_another_is_not() -> None:
    shop, start = named("ft06"), np.array([1000, -400, 0, 0])
    networks = np.zeros((3, net.SIZE))
    networks[2] = np.random.default_rng(3).standard_normal(net.SIZE)
    plain = int(makespans(shop, start[None, :])[0])
    assert net.makespans(shop, networks, start)[:2].tolist() == [plain, plain]
    others = np.random.default_rng(4).standard_normal((32, net.SIZE)) * 3
    assert len(set(net.makespans(shop, others, start).tolist())) > 3


def test_evolution_finds_the_bottom_of_a_bent_valley() -> None:
    """Rosenbrock's function of four numbers, whose least value is 0 at (1, 1, 1, 1)."""

    def price(points: np.ndarray) -> np.ndarray:
        a, b = points[:, :-1], points[:, 1:]
        return np.asarray((100 * (b - a**2) ** 2 + (1 - a) ** 2).sum(axis=1))

    found, cost = least(price, Evolution(np.zeros(4), 0.5, 12, 1), 250)
    assert cost < 1e-8
    assert found == pytest.approx(np.ones(4), abs=1e-3)


def test_whole_weights_keep_the_direction() -> None:
    assert whole(np.array([[0.5, -0.25, 0.0, 0.1]])).tolist() == [[1000, -500, 0, 200]]


def test_rows_of_a_plot_stand_where_their_numbers_say() -> None:
    drawing = rows("gaps <x>", [("one", 10.0, (0.0, 40.0)), ("two", 20.0, (20.0, 20.0))])
    places = [float(part.split('"')[1]) for part in drawing.split("<circle cx=")[1:]]
    left = 190.0
    assert places[1] - left == pytest.approx(2 * (places[0] - left), abs=0.2)
    assert "gaps &lt;x&gt;" in drawing


def test_the_page_shows_the_results() -> None:
    page = bench.PAGE.read_text(encoding="utf-8")
    assert bench.instance_table(RESULT) in page
    assert bench.held_table(RESULT) in page
    assert (bench.PAGE.parent / "img" / bench.PLOT).read_text(encoding="utf-8") == bench.plot(RESULT)


def test_what_the_page_says_of_job_shops_is_so() -> None:
    """Weights beat every single rule at every size by more than chance; a network beats weights by it at one."""
    for one, rule in product(RESULT["sizes"].values(), RULES):
        assert one["held"][rule]["against_learnt"] > 3 * one["held"][rule]["standard_error"]
    better = {
        size: one["held"]["network"]["against_learnt"] / one["held"]["network"]["standard_error"]
        for size, one in RESULT["sizes"].items()
    }
    assert [size for size, z in better.items() if z < -1.96] == ["20x5"]
    assert all(z < 1.96 for z in better.values())
    both = {
        size: (one["held"]["best rule"]["mean"], one["held"]["learnt"]["mean"]) for size, one in RESULT["sizes"].items()
    }
    assert [size for size, (rule, weights) in both.items() if rule < weights] == ["6x6"]
    gaps = {c: np.mean([bench.gap(one, c) for one in RESULT["instances"].values()]) for c in bench.COLUMNS}
    assert gaps == pytest.approx(gaps | {"searched": 5.3, "learnt": 9.4, "network": 10.3}, abs=0.06)
    assert RESULT["instances"]["ft20"]["SPT"] < RESULT["instances"]["ft20"]["learnt"]
    assert RESULT["instances"]["la16"]["MWKR"] < RESULT["instances"]["la16"]["learnt"]


def test_what_the_page_says_of_orders_that_keep_coming_is_so() -> None:
    found = RESULT["orders"]["costs"]
    assert found["learnt"]["cost"] / min(found[rule]["cost"] for rule in orders.RULES) == pytest.approx(0.86, abs=0.005)
    assert abs(found["policy"]["against_learnt"]) < 1.96 * found["policy"]["standard_error"]
    assert 2.75e6 < RESULT["orders"]["decisions"] < 2.85e6
    assert RESULT["orders"]["effort"]["train_s"] == 300
    text = ", ".join(f"{k}: {v}" for k, v in RESULT["orders"]["weights"].items())
    assert f"`{{{text}}}`" in bench.PAGE.read_text(encoding="utf-8")


def test_weights_in_rows_are_those_of_a_plant_file() -> None:
    """The bundled plant dispatches by slack: the same money, to the cent, as that weight written into the rows."""
    shop = orders.shop()
    hour = shop.ticks(3600.0)
    slack, work = (orders.full(w) for w in ({"slack": 1}, {"work": 1}))
    found = orders.costs(shop, np.array([slack, work]), 3, (20, 100), (5, 0))
    rows = kernel.new_rows(shop, 5, 3)
    kernel.run(rows, shop, 20 * hour)
    before = rows.copy()
    kernel.run(rows, shop, 120 * hour)
    assert found[0].tolist() == (operating_cost(before, rows, shop) / 100).tolist()
    assert (found[1] != found[0]).any()


@pytest.mark.slow
def test_a_policy_is_trained_from_the_weights_and_judged_on_the_luck_of_all() -> None:
    shop, effort = orders.shop(), orders.Effort(held=4, held_hours=100, warm_up=20, decisions=40_000)
    found, steps = orders.policy_costs(shop, {"work": 500, "slack": 10}, effort, lambda _text: None)
    start = orders.costs(shop, orders.full({"work": 500, "slack": 10})[None, :], 4, (20, 100), (orders.HELD, 0))[0]
    assert steps > 0
    assert found == pytest.approx(start, rel=0.5)


def test_the_command_learns_from_next_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {n} --><!-- /{n} -->" for n in ("instances", "held", "orders")), encoding="utf-8")
    monkeypatch.setattr(bench, "SIZES", {(6, 6): 10})
    monkeypatch.setattr(bench, "INSTANCES", ("ft06",))
    monkeypatch.setattr(bench, "DRAWS", 3)
    before = (RESULTS / "shop.json").read_bytes()
    assert bench.main(["--quick", "--write", str(page)]) == 0
    assert "| `ft06` | 6 x 6 | 55 |" in page.read_text(encoding="utf-8")
    assert (RESULTS / "shop.json").read_bytes() == before
    assert "| least slack | " in page.read_text(encoding="utf-8")
    assert (tmp_path / "img" / bench.PLOT).exists()
