"""The benchmark of the serial chain: its statistics, a policy that joins it, and that the page shows its results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.envs.schema import Floats
from agents.envs.supply import OR_GYM, Chain, SupplyVectorEnv
from agents.rules.supply_rules import Orders, played
from benchmarks.supply import TRADES, table, yardstick, yardsticks

ROOT = Path(__file__).resolve().parents[2]


def test_a_share_of_the_optimum_has_the_spread_of_a_ratio_of_means() -> None:
    """Against resampling the pairs: what varies in both alike does not count."""
    rng = np.random.default_rng(1)
    best = rng.normal(800.0, 60.0, 400)
    earned = 0.5 * best + rng.normal(0.0, 10.0, 400)
    found = yardstick("half", earned, best, 0.0)
    assert found.ratio == pytest.approx(0.5, abs=0.005)
    picks = rng.integers(0, 400, (4000, 400))
    again = earned[picks].mean(axis=1) / best[picks].mean(axis=1)
    assert found.ratio_half == pytest.approx(1.96 * again.std(), rel=0.06)


def test_both_ways_to_book_pay_the_same_for_what_leaves_the_chain() -> None:
    """What one stage earns from the next it has, unit for unit, once all of it is sold."""
    assert len({round(sum(t.prices) - sum(t.costs), 9) for t in TRADES.values()}) == 1


def order_nothing(env: SupplyVectorEnv, _: Floats) -> Orders:
    return np.zeros((env.num_envs, 3), dtype=np.int64)


def test_a_policy_joins_the_yardsticks() -> None:
    found, levels = yardsticks(OR_GYM, 3, {"nothing": order_nothing}, rounds=1)
    by = {y.name: y for y in found}
    assert by["all demand known"].ratio == 1.0
    assert by["nothing"].mean < by["echelon base stock"].mean < by["plan for the mean, every period"].mean
    assert sorted(levels) == levels, "an echelon holds what the one below it holds, and more"


def test_the_page_shows_the_results() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "supply.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    assert table(kept["detail"]) in page
    assert f"{kept['figures'][0]['ratio']:.0f} times" in page


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain("serial_backlog4")


def test_an_agent_learns_something(chain: Chain) -> None:
    """Some seconds of training beat ordering the mean, from which it starts here."""
    pytest.importorskip("stable_baselines3")
    from benchmarks._supply_agent import trained

    env = SupplyVectorEnv(50, chain.compiled)
    learnt = played(env, trained(chain, np.full((30, 3), 20), 120_000, lanes=128), 9).sum(axis=0)
    constant = played(env, lambda env, _: np.full((50, 3), 20), 9).sum(axis=0)
    assert learnt.mean() > constant.mean() + 50
