"""Training really trains: SB3's own PPO on our lanes, into a bundle that the service can run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env

from agents.bundles import bundle
from agents.commands_train import told_of
from agents.control.controllers import Hold, PolicyController, controller
from agents.envs.env import PlantEnv, PlantVectorEnv, compiled_plant
from agents.errors import TrainingError
from agents.evaluation.evaluate import Trial, compare
from agents.exact.table import table_of
from agents.rules.rule import Rule
from agents.training.lanes import Lanes
from agents.training.learning import Config, Judge, card, check_learnable, start_bias
from agents.training.train import Job, Trained, train
from sim.compile import Compiled
from sim.kernel import new_rows

SMALL = Config(
    lanes=16, steps=16, minibatch=128, epochs=2, hidden=(16, 16), select=4, checks=2, episode_weeks=0.5, improve=0.0
)


@pytest.mark.parametrize("name", ["gearmotor", "line3"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # the checker advises in warnings; what it asserts still fails
def test_stable_baselines_own_checker_passes(name: str) -> None:
    check_env(PlantEnv(name))


def test_lanes_hand_out_what_ppo_needs(line3: Compiled) -> None:
    lanes = Lanes(PlantVectorEnv(4, line3, max_episode_steps=5, stagger=True, copy=False), centre=2.0, scale=4.0)
    twin = PlantVectorEnv(4, line3, max_episode_steps=5, stagger=True)
    lanes.seed(3)
    last: Any = lanes.reset()
    expected = twin.reset(seed=3)[0]
    infos: list[dict[str, Any]] = []
    for _ in range(12):
        assert np.array_equal(last, expected)
        kept, old = last, last.copy()
        action = twin.action_space.sample()
        last, reward, done, infos = lanes.step(action)
        assert np.array_equal(kept, old), "SB3 still needs the observation before"
        expected, _, _, truncated, info = twin.step(action)
        assert reward == pytest.approx((2.0 - info["cost"]) / 4.0, rel=1e-5)
        assert np.array_equal(done, truncated)
        for i in range(4):
            assert ("terminal_observation" in infos[i]) == bool(done[i])
            if done[i]:
                assert infos[i]["TimeLimit.truncated"]
                assert np.array_equal(infos[i]["terminal_observation"], info["final_obs"][i])


def test_the_untrained_policy_is_the_rule(two_motors: Compiled) -> None:
    values = {"cap40": 20, "cap80": 12, "base40": 30, "base80": 20, "kit_level": 700}
    bias = start_bias(two_motors, Rule(values), 0.06)
    env = PlantVectorEnv(1, two_motors, reward_unit=1.0)
    at, best = 0, []
    for n in env.grid.counts:
        best.append(int(bias[at : at + n].argmax()))
        at += int(n)
    assert env.grid.decode(np.array(best)).tolist() == list(values.values())


@pytest.mark.usefixtures("briefly_judged")
def test_training_gives_a_bundle_and_the_same_one_again(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, temporary = [], tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for run in ("a", "b"):
        job = Job(line3, Rule({"cap": 6}), tmp_path / run, steps=512, device="cpu", pairs=4, config=SMALL)
        told: list[Any] = []
        done = train(job, 2 if run == "a" else 1, lambda _seed, p, told=told: told.append(p))  # type: ignore[misc]
        assert told[-1].steps > 0
        assert set(done.verdicts) == {"rule", "nothing"}
        names.append(bundle.load(tmp_path / run / "seed-0").name)
    assert names[0] == names[1]
    assert list(temporary.glob("SB3-*")) == [], "no folder of a log that nobody reads"
    best = bundle.load(tmp_path / "a")
    other = bundle.load(tmp_path / "a" / "seed-1")
    assert best.evidence["selected_cost_per_hour"] <= other.evidence["selected_cost_per_hour"]
    policy = controller(str(tmp_path / "a"), line3)
    assert isinstance(policy, PolicyController)
    values = policy.act(new_rows(line3, 1, 3))
    assert values is not None
    assert ((values >= 2) & (values <= 11)).all()
    judge = Judge(line3, SMALL, line3.ticks(policy.bundle.epoch_s))
    assert judge.network(policy.bundle.network) == pytest.approx(best.evidence["selected_cost_per_hour"])
    card = (tmp_path / "a" / "card.md").read_text()
    assert best.name in card
    assert json.loads((tmp_path / "a" / "evidence.json").read_text())["verdicts"]["rule"]["sentence"] in card


@pytest.mark.parametrize(
    ("difference", "advice"),
    [(-2.0, ""), (0.0, "the policy: it is not shown to be better"), (2.0, "the policy: it costs more than the rule")],
)
def test_who_trains_is_told_when_the_rule_is_as_good(line3: Compiled, difference: float, advice: str) -> None:
    nothing = compare(Hold(), Hold(), line3, Trial(4, warmup_s=3600.0, length_s=86_400.0))
    found = replace(nothing, difference=difference, lo=difference - 1.0, hi=difference + 1.0)
    done = Trained(Path("bundle"), 0, 10.0, 8.0, {"rule": found, "nothing": nothing})
    last = told_of("line3", done, as_json=False).splitlines()[-1]
    assert last.startswith(advice or "A = policy, B = nothing")
    assert json.loads(told_of("line3", done, as_json=True))["advice"] == last.removeprefix("the policy: ") * bool(
        advice
    )
    verdicts = {"rule": found.as_json(), "nothing": nothing.as_json()}
    about = {"verdicts": verdicts, "command": "c", "hardware": "h", "steps": 1, "epoch_s": 3600.0, "seconds": 1.0}
    about |= {"seed": 0, "versions": "v", "rule": "rule:fixed:x", "selection": [{"steps": 0.0, "cost_per_hour": 1.0}]}
    assert ("**In short: it" in card(line3, about)) is bool(advice)
    assert "this policy is the tuned rule in the form" in card(line3, about)
    assert "this policy is the tuned rule's constants" in card(line3, about | {"rule": "rule:order:x"})


def test_ppo_learns_to_open_a_line_that_the_rule_starves(tmp_path: Path, line3: Compiled) -> None:
    # two parts cannot keep three stations busy enough: orders pile up, and any learning at all moves the cap up
    config = Config(
        lanes=64,
        steps=16,
        minibatch=1024,
        hidden=(16,),
        select=8,
        checks=3,
        rate=0.02,
        explore=0.3,
        episode_weeks=0.5,
        improve=0.0,
    )
    rule = Rule({"cap": 2})
    job = Job(line3, rule, tmp_path, steps=16_384, device="cpu", pairs=8, config=config)
    done = train(job, 1)
    assert done.cost < 0.5 * done.rule_cost
    assert done.verdicts["rule"].hi < 0.0, done.verdicts["rule"].sentence


def test_lanes_at_events_pay_by_the_time_a_step_took() -> None:
    settings: dict[str, Any] = {"decide": "events", "max_episode_s": 30 * 3600.0}
    lanes = Lanes(PlantVectorEnv(4, "make_to_stock", copy=False, **settings), centre=9.0, scale=5.0)
    twin = PlantVectorEnv(4, "make_to_stock", **settings)
    lanes.seed(3)
    lanes.reset()
    twin.reset(seed=3)
    took = 0
    for _ in range(40):
        action = twin.action_space.sample()
        _, reward, _, _ = lanes.step(action)
        *_, info = twin.step(action)
        expected = (9.0 * info["elapsed"] / twin.epoch - info["cost"]) * info["accrual"] / 5.0
        assert reward == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert lanes.discount == pytest.approx(info["discount"])
        took += int(info["elapsed"].sum())
    assert lanes.take()[1] == took
    assert lanes.take() == (0.0, 0)


@pytest.mark.usefixtures("briefly_judged")
def test_a_policy_for_free_controls_is_trained_and_played_at_events(tmp_path: Path) -> None:
    plant = compiled_plant("make_to_stock")
    job = Job(plant, Rule({"base": 9, "care": 3}), tmp_path, steps=512, device="cpu", pairs=2, config=SMALL)
    train(job, 1)
    policy = controller(str(tmp_path), plant)
    assert isinstance(policy, PolicyController)
    assert policy.bundle.decide == "events"
    assert policy.bundle.network.decode == "median"
    assert policy.kinds != 0
    assert policy.grid.counts.tolist() == [2, 2], "both controls only say yes or no"
    assert policy.bundle.spec["plant_hash"] == plant.hash
    card = (tmp_path / "card.md").read_text()
    assert "at events, from the observed state alone" in card
    assert "its switches undecided" in card
    table = table_of(policy, plant).policy
    assert len(table) == 38 * 5
    assert set(table.values()) <= {"idle", "produce", "pm"}


@pytest.mark.usefixtures("briefly_judged")
def test_stock_ppo_trains_at_intervals_and_refuses_events(tmp_path: Path, line3: Compiled) -> None:
    config = replace(SMALL, trainer="stock")
    train(Job(line3, Rule({"cap": 6}), tmp_path, steps=512, device="cpu", pairs=2, config=config), 1)
    assert bundle.load(tmp_path).decide == "interval"
    assert config.decides(compiled_plant("make_to_stock")) == "interval"
    with pytest.raises(TrainingError, match="stock PPO discounts every step alike"):
        replace(config, decide="events").decides(line3)
    with pytest.raises(TrainingError, match="decide 'never': expected one of auto, interval, events"):
        replace(config, decide="never").decides(line3)


@pytest.mark.usefixtures("briefly_judged")
def test_what_cannot_be_learned_is_said(tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError, match="no controls"):
        check_learnable(compiled_plant("mm1"))
    job = Job(line3, Rule({"cap": 6}), tmp_path, steps=512, device="cpu", pairs=4, config=SMALL)
    step = PlantVectorEnv.step
    count = iter(range(10**9))

    def poisoned(self: PlantVectorEnv, actions: np.ndarray) -> Any:
        result = step(self, actions)
        if next(count) > 520:
            result[4]["cost"][0] = np.nan
        return result

    monkeypatch.setattr(PlantVectorEnv, "step", poisoned)
    with pytest.raises(TrainingError, match="not finite"):
        train(job, 1)
