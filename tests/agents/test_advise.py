"""The advice service against a scripted twin."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from agents.advise import Advisor, Options, Stop, WrongTwinError, serve, stored
from agents.compare import reproduce
from agents.errors import AgentError
from agents.grid import Grid
from sim.compile import Compiled
from sim.distributions import mean
from sim.kernel import new_rows, run, set_controls
from sim.plant import Dist
from twin.inforce import compiled_with, encode


class Twin:
    """Answers as the contract says; `posted` holds what it was told."""

    def __init__(self, compiled: Compiled, cap: int) -> None:
        self.compiled, self.cap = compiled, cap
        self.frame: dict[str, Any] = {
            "t": 0, "mode": "live", "paused": False, "sync": {"age_s": 0.4, "fidelity": "green"}, "ctl": {"cap": cap},
        }  # fmt: skip
        self.recommendations: list[dict[str, Any]] = []
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.params_hash, self.pos, self.alive = compiled.hash, 100, True
        self.refitted = ""
        rows = new_rows(compiled, 11, 1)
        set_controls(rows, compiled, Grid(compiled.plant).vector({"cap": cap}))
        run(rows, compiled, compiled.ticks(34 * 3600))
        self.rows = np.repeat(rows, 64, axis=0)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.alive:
            raise httpx.ConnectError("refused")
        path = request.url.path
        if request.method == "POST":
            self.posted.append((path, json.loads(request.content)))
            return httpx.Response(200, json={})
        if path == "/frame":
            return httpx.Response(200, json=self.frame)
        if path == "/recommendations":
            return httpx.Response(200, json=self.recommendations)
        buffer = io.BytesIO()
        now = self.compiled.start_ms + 34 * 3_600_000
        np.savez(
            buffer, rows=self.rows, t=now, pos=self.pos, hash="sha256:abc", params_hash=self.params_hash,
            start_ms=self.compiled.start_ms, controls=self.rows[:, self.compiled.controls], refitted=self.refitted,
        )  # fmt: skip
        return httpx.Response(200, content=buffer.getvalue())


@pytest.fixture
def twin(line3: Compiled) -> Twin:
    return Twin(line3, 2)


def advisor(twin: Twin, data: Path) -> Advisor:
    client = httpx.Client(transport=httpx.MockTransport(twin), base_url="http://twin")
    return Advisor(Options(twin.compiled.plant, "http://twin", data), client)


def test_it_recommends_stores_and_can_recompute(twin: Twin, tmp_path: Path) -> None:
    said = advisor(twin, tmp_path).moment()
    ((path, body),) = twin.posted
    assert path == "/recommendations"
    assert said.startswith("r-100: cap 2 to ")
    needed = (
        "id control from to gain vs kpis why alternatives horizon_s lease_s then checks evidence timeline "
        "status created"
    )
    assert set(needed.split()) <= set(body)
    assert {"state", "pos", "seeds", "n", "policy", "plant", "model"} <= set(body["evidence"])
    assert body["checks"]["limits"]["ok"]
    evidence, rows = stored(tmp_path, "r-100")
    again = reproduce(evidence, rows, twin.compiled, None, None)
    assert again is not None
    assert {k: body[k] for k in ("control", "from", "to", "gain", "vs", "kpis")} == {
        k: again[k] for k in ("control", "from", "to", "gain", "vs", "kpis")
    }


def test_it_plays_the_plant_that_runs_in_the_twin(twin: Twin, tmp_path: Path) -> None:
    """Approved refits of what rows do not carry: the evidence says which, and the hash is of the plant with them."""
    product = twin.compiled.plant.products[0]
    step = product.steps[0]
    name = f"work/{step.station}/{product.id}/{step.id}"
    twin.refitted = encode({name: Dist("gamma", (1.2 * mean(step.work), 0.5))})
    live = compiled_with(twin.compiled, twin.refitted)
    assert live.hash != twin.compiled.hash
    with pytest.raises(WrongTwinError, match="start twin and advise with the same plant file"):
        advisor(twin, tmp_path).moment()  # the hash is still that of the plant file alone
    twin.params_hash = live.hash
    assert advisor(twin, tmp_path).moment().startswith("r-100: cap 2 to ")
    evidence, rows = stored(tmp_path, "r-100")
    assert (evidence["plant"], evidence["refitted"]) == (live.hash, twin.refitted)
    assert reproduce(evidence, rows, compiled_with(twin.compiled, evidence["refitted"]), None, None) is not None
    twin.refitted = '{"work/x": ["gamma", [0.0, 1.0]]}'
    with pytest.raises(WrongTwinError, match="the twin's refits are none of plant line3"):
        advisor(twin, tmp_path).moment()


def test_a_changed_question_is_noticed(twin: Twin, tmp_path: Path) -> None:
    advisor(twin, tmp_path).moment()
    path = tmp_path / "advice" / "r-100.npz"
    np.savez_compressed(path, rows=twin.rows + 1)
    with pytest.raises(AgentError, match="changed"):
        stored(tmp_path, "r-100")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"paused": True}, "paused"),
        ({"mode": "stale"}, "stale"),
        ({"sync": {"age_s": 500.0, "fidelity": "green"}}, "500"),
        ({"sync": {"age_s": 0.1, "fidelity": "red"}}, "red"),
        ({"ctl": {"cap": None}}, "setpoints"),
    ],
)
def test_it_is_silent_when_it_should_be(twin: Twin, tmp_path: Path, change: dict[str, Any], word: str) -> None:
    twin.frame |= change
    assert word in advisor(twin, tmp_path).moment()
    assert twin.posted == []


def test_an_open_recommendation_is_withdrawn_when_its_premise_is_gone(twin: Twin, tmp_path: Path) -> None:
    mine = advisor(twin, tmp_path)
    mine.moment()
    body = twin.posted[0][1]
    twin.recommendations = [body]
    twin.pos = 101
    assert "still pays" in mine.moment()
    assert twin.posted[-1] == ("/advice", {"evaluated": 1, "why": "r-100 is open and still pays"})
    twin.frame["ctl"] = {"cap": 11}
    assert "withdrawn: cap is 11 now" in mine.moment()
    assert twin.posted[-2][0] == "/recommendations"
    assert {k: twin.posted[-2][1][k] for k in ("id", "status")} == {"id": "r-100", "status": "withdrawn"}


def test_a_control_under_a_lease_or_just_moved_is_left_alone(twin: Twin, tmp_path: Path) -> None:
    mine = advisor(twin, tmp_path)
    mine.moment()
    body = {**twin.posted[0][1], "status": "confirmed"}
    twin.recommendations = [body]
    assert "no control may move now" in mine.moment()
    twin.recommendations = []
    twin.frame["ctl"] = {"cap": 3}
    assert "no control may move now" in mine.moment(), "changed at the machine a moment ago"
    assert twin.posted[-1][0] == "/advice"


def test_another_plant_is_refused(twin: Twin, tmp_path: Path) -> None:
    twin.params_hash = "0" * 64
    with pytest.raises(WrongTwinError, match="same plant file"):
        advisor(twin, tmp_path).moment()


def test_it_waits_for_a_twin_that_is_away(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = httpx.Client
    monkeypatch.setattr(
        "agents.advise.httpx.Client", lambda **k: real(transport=httpx.MockTransport(twin), base_url=k["base_url"])
    )
    monkeypatch.setattr("os.nice", lambda _n: 0)
    twin.alive, rounds = False, []

    class Once(Stop):
        def __call__(self) -> bool:
            rounds.append(1)
            twin.alive = len(rounds) > 4
            return bool(twin.posted)

    stop = Once()
    serve(Options(twin.compiled.plant, "http://twin", tmp_path, every=0.01), stop, lambda _s: None)
    said = capsys.readouterr().out
    assert "does not answer" in said
    assert "r-100" in said
    assert not (tmp_path / "run" / "advise.json").exists(), "taken away at the end"


def test_a_thought_is_given_up_when_asked_to_stop_and_a_message_is_not() -> None:
    stop = Stop()
    with pytest.raises(SystemExit), stop.thought():
        stop.ask()
    stop = Stop()
    stop.ask()
    assert stop(), "asked outside of a thought: what is under way is finished"
    with pytest.raises(SystemExit), stop.thought():
        raise AssertionError("no thought begins once it was asked")
    with pytest.raises(SystemExit):
        stop.ask()  # twice
