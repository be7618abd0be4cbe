"""What a comparison says beside its mean: families of products, what the common luck gave, training seeds."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from agents import commands
from agents.bundles import familiar
from agents.control.controllers import Hold, RuleController, policy
from agents.envs.env import compiled_plant
from agents.envs.grid import Grid
from agents.evaluation import robust, tails
from agents.evaluation.evaluate import OverSeeds, Trial, compare, over_seeds, run_all, verdict
from agents.evaluation.families import SHARED, Families
from agents.evaluation.judging import seed_folders
from agents.evaluation.report import lines_of
from agents.rules.rule import Rule
from agents.seeds import Spread
from agents.training.learning import Config
from agents.training.train import Job, train
from sim.compile import Compiled
from sim.kernel import new_rows, run
from sim.value import operating_cost
from tests.agents.kit import PLANTS

SHORT: dict[str, Any] = {"warmup_s": 86_400.0, "length_s": 5 * 86_400.0}


def fixed(compiled: Compiled, **values: int) -> RuleController:
    return RuleController(Rule(values), compiled, Grid(compiled.plant))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two seeds on line3, of a few thousand decisions."""
    out = tmp_path_factory.mktemp("trained")
    line3 = compiled_plant("line3")
    small = Config(
        lanes=16, steps=32, minibatch=512, epochs=1, hidden=(8,), select=1, checks=1, episode_weeks=0.5, improve=0.0
    )
    train(Job(line3, Rule({"cap": 6}), out, steps=16 * 32 * 8, device="cpu", pairs=2, config=small), 2)
    return out


@pytest.mark.parametrize("name", PLANTS)
def test_families_share_out_the_whole_cost(name: str) -> None:
    compiled = compiled_plant(name)
    rows = new_rows(compiled, 4, 3)
    before = rows.copy()
    run(rows, compiled, compiled.ticks(3 * 86_400.0))
    families = Families(compiled)
    found = families.cost(before, rows)
    assert found.shape == (len(families.names), 3)
    assert found.sum(axis=0) == pytest.approx(operating_cost(before, rows, compiled))
    assert SHARED not in families.names[:-1]


def test_families_are_products_that_are_sold(gearmotor: Compiled) -> None:
    assert Families(gearmotor).names == ("gm40", "gm63", "gm80", SHARED)
    assert Families(compiled_plant("line3")).names == ("housing", SHARED)
    assert set(Families(compiled_plant("lost_sales")).names) == {SHARED}, "bought and sold on: there is no product"


def test_the_worst_family_is_the_one_that_was_starved(two_motors: Compiled) -> None:
    values = {"cap40": 14, "cap80": 9, "base40": 34, "base80": 22, "kit_level": 760}
    starved = fixed(two_motors, **{**values, "base80": 10, "cap80": 5})
    found = compare(starved, fixed(two_motors, **values), two_motors, Trial(24, **SHORT))
    assert found.worst_family == "gm80"
    mean, lo, hi = found.families[found.worst_family]
    assert 0 < lo < mean < hi
    assert sum(f[0] for f in found.families.values()) == pytest.approx(found.difference)
    said = next(line for line in lines_of(found) if line.startswith("families"))
    assert said.startswith(f"families, the worst for A first: {found.worst_family} +")


def test_what_the_common_luck_gave_is_said(line3: Compiled) -> None:
    trial = Trial(40, **SHORT)
    a, b = (run_all(fixed(line3, cap=cap), line3, trial) for cap in (7, 8))
    found = verdict(a, b, line3, trial)
    assert found.worth == pytest.approx((a.costs.var() + b.costs.var()) / (a.costs - b.costs).var())
    assert found.worth is not None
    assert found.worth > 5
    unpaired = run_all(fixed(line3, cap=8), line3, Trial(40, seed=9, **SHORT))
    alone = verdict(a, unpaired, line3, trial)
    assert alone.worth is not None
    assert alone.worth < 2, "other luck is worth nothing"
    assert alone.hi - alone.lo > 2 * (found.hi - found.lo)
    same = compare(Hold(), Hold(), line3, Trial(4, **SHORT))
    assert (same.worth, same.tail_index) == (None, None)
    json.dumps(same.as_json(), allow_nan=False)


def test_a_spread_is_common_to_a_pair(line3: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(8, spread=Spread(), **SHORT)
    assert compare(fixed(line3, cap=6), Hold(), line3, trial).difference == 0.0
    plants = run_all(Hold(), line3, trial).costs
    assert len(set(plants.tolist())) == 8
    monkeypatch.setattr("agents.evaluation.evaluate.CHUNK", 3)
    assert np.array_equal(run_all(Hold(), line3, trial).costs, plants), "however many run together"


def test_few_pairs_are_doubted_in_the_command_and_many_are_not(line3: Compiled) -> None:
    few = compare(fixed(line3, cap=5), fixed(line3, cap=8), line3, Trial(6, **SHORT))
    assert any("6 pairs say little about the tails" in text for text in few.doubts)
    many = compare(fixed(line3, cap=7), fixed(line3, cap=8), line3, Trial(300, warmup_s=0.0, length_s=2 * 86_400.0))
    assert not any("say little" in text for text in many.doubts)


def test_a_training_seed_is_one_observation(line3: Compiled) -> None:
    trial = Trial(10, **SHORT)
    b = run_all(fixed(line3, cap=8), line3, trial)
    seeds = {f"seed-{k}": fixed(line3, cap=cap) for k, cap in enumerate((4, 5, 7))}
    found = over_seeds(dict(seeds), b, line3, trial)
    means = [compare(who, fixed(line3, cap=8), line3, trial).difference for who in seeds.values()]
    assert list(found.differences.values()) == pytest.approx(means)
    low, high = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert (found.lo, found.hi) == pytest.approx((low, high))
    assert "over 3 training seeds" in found.sentence
    alone = over_seeds({"seed-0": seeds["seed-0"]}, b, line3, trial)
    assert (alone.lo, alone.hi) == (None, None)
    assert "one training seed says nothing about another" in alone.sentence
    assert "differs from B" in OverSeeds({"a": 1.0, "b": 1.1}, 1.05, 0.9, 1.2, "EUR/h").sentence


def test_the_command_judges_every_seed_of_a_training(trained: Path) -> None:
    assert list(seed_folders(str(trained))) == ["seed-0", "seed-1"]
    assert seed_folders("policy") == {}
    app = typer.Typer()
    app.command()(commands.evaluate)
    runner = CliRunner()
    asked = [str(trained), "--against", "cap=6", "--plant", "line3", "--pairs", "6"]
    done = runner.invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found["seeds"]["differences"]) == {"seed-0", "seed-1"}
    assert found["difference"] in found["seeds"]["differences"].values(), "the folder itself is one of them"
    assert 0.0 <= found["outside_a"] < 0.2
    assert found["outside_b"] is None
    done = runner.invoke(app, asked)
    assert "over 2 training seeds" in done.stdout
    assert "A decides outside what it has seen in" in done.stdout
    assert "the common luck gave: correlation" in done.stdout
    assert "the interval cannot be trusted: 6 pairs say little" in done.stderr


def test_a_policy_decides_outside_more_often_where_the_plant_is_another(trained: Path, line3: Compiled) -> None:
    who = policy(trained, line3)
    usual = run_all(who, line3, Trial(16, **SHORT)).outside
    scale = {"demand_scale": np.full((16, 1), 65_536 // 4)}
    crowded = run_all(who, line3, Trial(16, scales=scale, **SHORT)).outside
    assert usual is not None
    assert crowded is not None
    assert usual < 0.2
    assert crowded > 0.9


def test_the_page_says_what_the_code_does() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text()
    known = {"--" + name.strip("_").replace("_", "-") for name in inspect.signature(commands.evaluate).parameters}
    assert set(re.findall(r"--[a-z]+", page)) <= known
    for number, said in (
        (tails.FEWEST, "fewer than {} pairs"),
        (tails.FINITE, "a tail index below {:g}"),
        (robust.DRAWS, "draws `--draws` plants ({})"),
        (familiar.DIRECTIONS, "the {} widest directions"),
        (familiar.OUTSIDE, "Above the {:g}th percentile"),
        (familiar.BLOCK, "Training keeps {} observations of each update"),
    ):
        assert said.format(number) in page
    assert inspect.signature(commands.evaluate).parameters["draws"].default == robust.DRAWS
    assert tails.needed(np.array([-1.0, 1.0])) == 28
    assert "28 + 25 × skewness²" in page
