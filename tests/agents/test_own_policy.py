"""A Python callable is judged as a policy of ours is, where the user has said that its code may run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from agents.commands import evaluate
from agents.control.controllers import controller
from agents.errors import AgentError
from agents.evaluation.evaluate import Trial, compare
from sim.compile import Compiled
from sim.kernel import new_rows

MODULE = """
from pathlib import Path
Path("imported").touch()
import numpy as np

def six(observations):
    assert observations.dtype == np.float32 and observations.ndim == 2
    return np.full((len(observations), 1), 4)

def lists(observations):
    return [[4]] * len(observations)

def short(observations):
    return np.zeros((1, 1), dtype=np.int64)

def fractions(observations):
    return np.full((len(observations), 1), 0.5)

def outside(observations):
    return np.full((len(observations), 1), 10)

tall, halves, beyond = (lambda o, f=f: f(o) for f in (short, fractions, outside))

def raises(observations):
    raise RuntimeError("no such layer")

def often(observations):
    return six(observations)

often.decide = "events"
six.epoch_s = 7200
lists.epoch_s = -1.0
short.epoch_s = 1e-9
fractions.epoch_s = "soon"
outside.decide = "sometimes"
number = 5
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_policy_of_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield tmp_path
    sys.modules.pop("own_policy_of_a_test", None)


def test_it_is_judged_on_the_same_random_numbers(own: Path, line3: Compiled) -> None:
    found = controller("own_policy_of_a_test:six", line3, allow_code=True)
    assert (found.name, found.epoch_s, found.static) == ("python:own_policy_of_a_test:six", 7200.0, False)
    trial = Trial(4, warmup_s=86_400.0, length_s=2 * 86_400.0)
    verdict = compare(found, controller("cap=6", line3), line3, trial)
    assert (verdict.difference, verdict.lo, verdict.hi) == (0.0, 0.0, 0.0), "grid index 4 is a cap of 6"
    assert (own / "imported").exists()


@pytest.mark.usefixtures("own")
def test_it_decides_at_events_where_it_says_so(line3: Compiled) -> None:
    found = controller("own_policy_of_a_test:often", line3, allow_code=True)
    assert getattr(found, "kinds", 0) > 0
    verdict = compare(found, controller("cap=6", line3), line3, Trial(2, warmup_s=3600.0, length_s=4 * 3600.0))
    assert verdict.difference == 0.0


def test_nothing_is_imported_without_leave(own: Path, line3: Compiled) -> None:
    with pytest.raises(AgentError, match=r"expected leave to run this code, found none.*--allow-code"):
        controller("own_policy_of_a_test:six", line3)
    assert not (own / "imported").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tall", r"expected whole numbers of shape \(3, 1\).*found int64 of shape \(1, 1\)"),
        ("halves", r"expected whole numbers of shape \(3, 1\).*found float64"),
        ("beyond", r"expected grid indices 0 to 9 for control cap, found 10"),
        ("raises", r"it raised RuntimeError: no such layer"),
    ],
)
@pytest.mark.usefixtures("own")
def test_answers_that_are_no_setpoints_are_refused(line3: Compiled, name: str, told: str) -> None:
    with pytest.raises(AgentError, match=told):
        controller(f"own_policy_of_a_test:{name}", line3, allow_code=True).act(new_rows(line3, 1, 3))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("own_policy_of_a_test:none", "expected a callable 'none' in own_policy_of_a_test, found NoneType"),
        ("own_policy_of_a_test:number", "found int"),
        ("own_policy_of_a_test:lists", "found -1.0 s"),
        ("own_policy_of_a_test:short", "a tick of this plant"),
        ("own_policy_of_a_test:fractions", "expected epoch_s in seconds, found 'soon'"),
        ("own_policy_of_a_test:outside", "decide 'sometimes': expected interval or events"),
        ("no_such_module_anywhere:act", "expected a module 'no_such_module_anywhere'"),
        ("own_policy_of_a_test:", "expected nothing, rule, policy"),
        ("a b:c", "expected nothing, rule, policy"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_cannot_be_called_gets_a_sentence(line3: Compiled, what: str, told: str) -> None:
    with pytest.raises(AgentError, match=told):
        controller(what, line3, allow_code=True)


@pytest.mark.usefixtures("own")
def test_evaluate_takes_a_callable_and_says_what_it_trusts() -> None:
    app = typer.Typer()
    app.command()(evaluate)
    arguments = ["own_policy_of_a_test:six", "--against", "nothing", "--plant", "line3", "--pairs", "2", "--json"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 1
    assert "expected leave to run this code" in refused.output
    done = CliRunner().invoke(app, [*arguments, "--allow-code"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["a"] == "python:own_policy_of_a_test:six"
    assert "carries no schema hash" in told["warnings"][0]
    assert np.isfinite(told["cost_a"])
