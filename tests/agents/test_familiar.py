"""A policy knows what it has seen: far out is told from near, in numbers that the bundle carries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from agents.advice.compare import Question, propose
from agents.advice.experience import in_distribution
from agents.bundles import bundle
from agents.bundles.bundle import BUNDLED, load, save
from agents.bundles.familiar import DIRECTIONS, FEWEST, Familiar, fit, nearer, read, shrunk
from agents.bundles.policy import Network
from agents.bundles.policyspec import check_spec
from agents.control.controllers import PolicyController, policy
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import BundleError
from agents.training.learning import spec
from sim.compile import Compiled
from sim.kernel import new_rows, run, set_controls


def drawn(n: int, seed: int = 0) -> np.ndarray:
    """Observations [n, 4]: two that go together, one alone, one that never changes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    a, b, c = rng.standard_normal((3, n))
    return np.column_stack([a, 0.95 * a + 0.05 * b, c, np.full(n, 0.5)]).astype(np.float32)


def fitted(x: np.ndarray) -> Familiar:
    made = fit(x)
    assert made is not None
    return made


def test_percentiles_are_those_of_observations_never_seen() -> None:
    made = fitted(drawn(6000))
    fresh = made.percentile(drawn(6000, 1))
    assert stats.kstest(fresh / 100.0, "uniform").statistic < 0.04
    assert (fresh > 99.0).mean() == pytest.approx(0.01, abs=0.006)


def test_far_out_is_outside_and_so_is_what_does_not_go_together() -> None:
    x = drawn(6000)
    made = fitted(x)
    usual, far, odd, moved = (
        np.array([v]) for v in ([0, 0, 0, 0.5], [0, 0, 9, 0.5], [1.5, -1.5, 0, 0.5], [0, 0, 0, 1])
    )
    low, high = np.quantile(x, [0.001, 0.999], axis=0)
    assert ((odd >= low) & (odd <= high)).all(), "each number alone is usual"
    assert made.percentile(usual)[0] < 20
    for strange in (far, odd, moved):
        assert made.percentile(strange)[0] == 100.0
    assert made.parts(far)[0].argmax() == 2
    assert made.parts(moved)[0].argmax() == 3
    assert made.parts(odd)[0].argmax() in {0, 1}


def test_the_distance_is_mahalanobis_with_the_shrunk_covariance() -> None:
    x = drawn(4000)
    made = fitted(x)
    held = np.arange(4000) // 64 % 4 == 3
    z = (x[~held].astype(float) - made.mean) / made.scale
    inverse = np.linalg.inv(shrunk((x[~held] - x[~held].mean(axis=0)) / made.scale))
    assert made.distance(x[~held]) == pytest.approx(np.sqrt(np.einsum("nd,de,ne->n", z, inverse, z)), rel=1e-3)


def test_more_numbers_than_directions_share_one_variance() -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    size = DIRECTIONS + 20
    x = rng.standard_normal((3000, size)) @ rng.standard_normal((size, size))
    made = fitted(x)
    assert made.vectors.shape == (DIRECTIONS, size)
    kept = made.vectors.T @ made.vectors
    whole = made.vectors.T @ np.diag(made.values) @ made.vectors + made.rest * (np.eye(size) - kept)
    z = (x[:50] - made.mean) / made.scale
    expected = np.einsum("nd,de,ne->n", z, np.linalg.inv(whole), z)
    assert made.distance(x[:50]) ** 2 == pytest.approx(expected, rel=1e-3)
    assert stats.kstest(made.percentile(x[made_held(3000)]) / 100.0, "uniform").statistic < 0.05


def made_held(n: int) -> np.ndarray:
    return np.flatnonzero(np.arange(n) // 64 % 4 == 3)


def test_shrinking_is_ledoit_and_wolfs() -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    z = rng.standard_normal((40, 12)) * np.linspace(1, 3, 12)
    sample = z.T @ z / 40
    level = np.trace(sample) / 12
    target = level * np.eye(12)
    noise = np.mean([((np.outer(row, row) - sample) ** 2).sum() for row in z]) / 40
    share = min(noise / ((sample - target) ** 2).sum(), 1.0)
    assert shrunk(z) == pytest.approx((1 - share) * sample + share * target)
    assert 0.05 < share < 0.95
    few = rng.standard_normal((5, 12))
    assert np.linalg.eigvalsh(shrunk(few)).min() > 0, "fewer observations than numbers: still not singular"


def test_few_observations_say_nothing() -> None:
    assert fit(drawn(FEWEST - 1)) is None
    assert fit(np.zeros((1, 4), dtype=np.float32)) is None
    same = fitted(np.zeros((FEWEST, 4), dtype=np.float32))
    assert same.percentile(np.full((1, 4), 0.2))[0] == 100.0


def test_what_is_written_is_what_is_meant() -> None:
    made = fitted(drawn(2000))
    back = read(json.loads(json.dumps(made.as_json())))
    assert back is not None
    assert np.array_equal(back.percentile(drawn(500, 3)), made.percentile(drawn(500, 3)))
    assert read(None) is None


def test_a_percentile_in_words() -> None:
    assert [nearer(x) for x in (1, 62.6, 98.2, 99.3, 99.97, 100)] == ["1 %", "63 %", "98 %", "99.3 %", "99.97 %", "all"]


@pytest.fixture(scope="module")
def network() -> Network:
    rng = np.random.Generator(np.random.PCG64(5))
    first, last = (rng.standard_normal(s).astype(np.float32) * 0.1 for s in ((8, 25), (10, 8)))
    return Network((first, last), (np.zeros(8, np.float32), np.zeros(10, np.float32)), (10,))


def met(line3: Compiled) -> np.ndarray:
    """Observations of three weeks of the plant with all caps."""
    rows, observer, seen = new_rows(line3, 7, 8), Observer(line3), []
    rng = np.random.Generator(np.random.PCG64(6))
    for hour in range(1, 500):
        set_controls(rows, line3, rng.integers(2, 12, (8, 1)))
        run(rows, line3, line3.ticks(3600 * hour))
        seen.append(observer(rows))
    return np.concatenate(seen)


@pytest.fixture
def folder(line3: Compiled, network: Network, tmp_path: Path) -> Path:
    bundle.save(tmp_path / "b", network, spec(line3, network, line3.ticks(3600), met(line3)), {}, "card of {name}")
    return tmp_path / "b"


def test_a_bundle_carries_it_under_its_hash(line3: Compiled, folder: Path) -> None:
    made, seen = load(folder).familiar, met(line3)
    assert made is not None
    expected = fit(seen)
    assert expected is not None
    assert np.array_equal(made.percentile(seen[:100]), expected.percentile(seen[:100]))
    content = (folder / "policy.json").read_text()
    (folder / "policy.json").write_text(content.replace('"count": 3992', '"count": 3993'))
    with pytest.raises(BundleError, match="the file was changed"):
        load(folder)


def test_a_bundle_of_before_says_nothing_and_opens(tmp_path: Path) -> None:
    shipped = load(BUNDLED / "gearmotor")
    about = json.loads(json.dumps(shipped.spec))
    about["observation"].pop("familiar", None)
    evidence = {k: v for k, v in shipped.evidence.items() if k not in {"name", "files"}}
    save(tmp_path, shipped.network, about, evidence, "# Policy `{name}`")
    assert load(tmp_path).familiar is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"mean": [0.0]}, "expected 25 means and scales"),
        ({"vectors": []}, "length >= 1"),
        ({"vectors": [[0.0]]}, "expected 25 means and scales"),
        ({"rest": 0.0}, "spreads above 0"),
        ({"rest": 1e39}, "expected finite numbers"),
        ({"quantiles": [0.0] * 13}, "quantiles that rise"),
        ({"quantiles": [1.0]}, "13 quantiles"),
        ({"count": "many"}, "Expected `int`"),
        ({"scale": None}, "Expected `array`"),
    ],
)
def test_what_is_malformed_is_refused(change: dict[str, Any], why: str, folder: Path) -> None:
    content = json.loads((folder / "policy.json").read_text())
    content["observation"]["familiar"] |= change
    with pytest.raises(BundleError, match=why):
        check_spec(folder / "policy.json", content)


def question(line3: Compiled, folder: Path, rows: np.ndarray) -> Question:
    who = policy(folder, line3)
    assert isinstance(who, PolicyController)
    present = {"cap": int(Grid(line3.plant).vector({"cap": 2})[0])}
    rows[:, line3.controls] = 2
    return Question(line3, rows, present, 4711, policy=who)


def test_advice_says_where_the_state_lies(line3: Compiled, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.repeat(new_rows(line3, 11, 1), 64, axis=0)
    run(rows, line3, line3.ticks(34 * 3600))
    usual = in_distribution(question(line3, folder, rows))
    line3.layout.view(rows, "backorders")[...] = 150
    asked = question(line3, folder, rows)
    strange = in_distribution(asked)
    assert strange["ok"] is False
    assert strange["value"] == 100.0
    assert strange["furthest"] == "finished.backorders"
    assert strange["note"].startswith("no: further from the usual than all of the states of its training, most of all")
    assert "owed to the customers of finished (finished.backorders)" in strange["note"]
    assert usual["value"] < 100.0
    assert usual["note"].startswith("yes: " if usual["ok"] else "no: ")
    monkeypatch.setattr("agents.advice.compare._problem", lambda *_: None)
    answer = propose(asked)
    body = answer.recommendation
    assert body is not None, answer.why
    assert body["checks"]["state familiar to the policy"] == strange
    assert body["evidence"]["state_among_training"] == 100.0
    line = next(line for line in body["why"] if "outside what the policy has seen" in line)
    assert "no: " not in line, "the words of the check, without its answer"
    assert "do not depend on it" in line


def test_doing_nothing_says_it_too(line3: Compiled, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.repeat(new_rows(line3, 11, 1), 64, axis=0)
    line3.layout.view(rows, "backorders")[...] = 150
    monkeypatch.setattr("agents.advice.compare._problem", lambda *_: "not worth it")
    answer = propose(question(line3, folder, rows))
    assert answer.recommendation is None
    assert "note: the state lies outside what the policy has seen" in answer.why
