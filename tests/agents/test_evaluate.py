from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import sim
from agents import commands
from agents.control.controllers import Hold, RuleController, controller
from agents.control.rollout import Span, cost_of
from agents.envs.grid import Grid
from agents.evaluation.evaluate import Trial, compare
from agents.exact.optimum import optimum, policy_cost
from agents.exact.table import table_of
from agents.rules.rule import Boost, Rule, load_rule, save_rule
from agents.rules.tune import Effort, Result, tune
from agents.seeds import LIMIT, TEST, TRAIN, block_seed
from sim.compile import Compiled, compile_plant
from sim.plantfile import load


def fixed(compiled: Compiled, cap: int) -> RuleController:
    return RuleController(Rule({"cap": cap}), compiled, Grid(compiled.plant))


def short(pairs: int, threads: int = 1) -> Trial:
    return Trial(pairs, warmup_s=86_400.0, length_s=5 * 86_400.0, threads=threads)


def test_a_controller_equals_itself(line3: Compiled) -> None:
    verdict = compare(fixed(line3, 6), Hold(), line3, short(pairs=8))
    assert (verdict.difference, verdict.p_worse) == (0.0, 0.0), "the file's own cap is 6"
    assert "no difference" in verdict.sentence


def test_a_starved_line_costs_more_and_common_luck_helps(line3: Compiled) -> None:
    verdict = compare(fixed(line3, 2), fixed(line3, 8), line3, short(pairs=24))
    assert verdict.lo > 0
    assert verdict.p_worse == 1.0
    assert verdict.worst_decile >= verdict.difference
    near = compare(fixed(line3, 7), fixed(line3, 8), line3, short(pairs=24))
    assert near.correlation is not None
    assert near.correlation > 0.9
    json.dumps(verdict.as_json(), allow_nan=False)


def test_pairs_do_not_depend_on_how_they_are_run(line3: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare(fixed(line3, 5), fixed(line3, 8), line3, short(pairs=10))
    monkeypatch.setattr("agents.evaluation.evaluate.CHUNK", 3)
    assert compare(fixed(line3, 5), fixed(line3, 8), line3, short(pairs=10, threads=2)) == whole


def test_blocks_of_seeds_never_meet() -> None:
    assert block_seed(TRAIN, LIMIT - 1) < block_seed(TEST, 0)
    with pytest.raises(ValueError, match="2\\^40"):
        block_seed(TEST, LIMIT)


def test_tuning_finds_the_best_of_all_caps(line3: Compiled) -> None:
    result = tune(line3, Effort(candidates=8, replicas=4, final=16))
    grid = Grid(line3.plant)
    span = Span(line3.ticks(3600), line3.ticks(7 * 86_400), line3.ticks(28 * 86_400))
    costs = {cap: cost_of(fixed(line3, cap), line3, span, block_seed(TEST, 5), 24).mean() for cap in range(2, 12)}
    best = min(costs.values())
    hours = 28 * 24
    assert costs[result.rule.values["cap"]] / hours <= best / hours + 0.01 * abs(best) / hours
    assert result.cost <= 1.01 * result.nothing
    result.rule.check(line3.plant, grid)


def _exactly(result: Result, tandem: Compiled) -> float:
    """What the constants that were found cost, as a multiple of the optimum."""
    rule = result.rule if result.rule.static else result.families["fixed"].rule
    table = table_of(RuleController(rule, tandem, Grid(tandem.plant)), tandem)
    return policy_cost(tandem.plant, table.policy)[0] / optimum(tandem.plant).cost


def test_a_loaded_line_is_judged_for_as_long_as_its_queues_remember() -> None:
    """The best constants are 0.41 % above the optimum. Judged over two days what was found was 24 % above it."""
    tandem = compile_plant(load("tandem_release"))
    assert _exactly(tune(tandem, Effort(candidates=8, replicas=4, final=24)), tandem) < 1.03


def test_a_plant_that_is_set_well_is_not_set_worse(tmp_path: Path) -> None:
    """With four replicas: of 24 points the best by luck was 19 to 2000 % above the optimum."""
    file = tmp_path / "tandem.yaml"
    text = (Path(sim.__file__).parent / "plants" / "tandem_release.yaml").read_text(encoding="utf-8")
    assert "cap: 8, base_stock: 6" in text
    file.write_text(text.replace("cap: 8, base_stock: 6", "cap: 14, base_stock: 10"), encoding="utf-8")
    tandem = compile_plant(load(file))
    for seed in range(2):
        result = tune(tandem, Effort(candidates=24, replicas=2, final=4, seed=seed))
        assert _exactly(result, tandem) < 1.01
        assert result.cost <= result.nothing


def test_a_rule_comes_back_from_its_file(tmp_path: Path, two_motors: Compiled) -> None:
    values = {"cap40": 14, "cap80": 9, "base40": 34, "base80": 22, "kit_level": 760}
    rule = Rule(values, (Boost("cap40", "stock40", 3, 5),), {"weeks": 3})
    save_rule(tmp_path / "r.json", rule, two_motors.plant)
    assert load_rule(tmp_path / "r.json") == rule
    assert load_rule(tmp_path / "r.json").name == rule.name


def test_what_is_shipped_fits_its_plant(gearmotor: Compiled) -> None:
    rule = controller("rule", gearmotor)
    assert rule.name.startswith("rule:")
    policy = controller("policy", gearmotor)
    assert policy.name.startswith("policy:sha256:")
    assert policy.epoch_s is not None
    evidence = json.loads((Path(commands.__file__).parent / "policies" / "gearmotor" / "evidence.json").read_text())
    assert evidence["command"].startswith("plantwin train gearmotor")
    assert evidence["rule"] == rule.name


def test_seconds_of_a_budget() -> None:
    assert [commands.seconds(t) for t in ("90s", "10m", "2h", "45")] == [90.0, 600.0, 7200.0, 45.0]
    for wrong in ("ten", "-3m", "0", "inf", ""):
        with pytest.raises(typer.BadParameter):
            commands.seconds(wrong)


def test_the_commands_answer_in_json_and_with_one_sentence() -> None:
    app = typer.Typer()
    for function in (commands.env, commands.evaluate):
        app.command()(function)
    runner = CliRunner()
    done = runner.invoke(
        app, ["evaluate", "cap=5", "--against", "nothing", "--plant", "line3", "--pairs", "4", "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert np.isfinite(found["difference"])
    assert {"sentence", "lo", "hi", "p_worse", "worst_decile", "correlation"} <= set(found)
    done = runner.invoke(app, ["env", "mm1"])
    assert done.exit_code == 1
    assert "mm1 has no controls" in done.stderr
