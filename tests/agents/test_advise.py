"""The advice service against a scripted twin."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agents.advice.advise import Advisor, Options, Stop, WrongTwinError, serve
from agents.advice.compare import reproduce
from agents.advice.questions import stored
from agents.bundles import bundle
from agents.bundles.signing import public_text
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.errors import AgentError
from sim.compile import Compiled
from sim.distributions import mean
from sim.kernel import new_rows, run, set_controls
from sim.plant import Dist
from tests.agents.test_bundle import write
from twin.inforce import compiled_with, encode


class Twin:
    """Answers as the contract says; `posted` holds what it was told."""

    def __init__(self, compiled: Compiled, **setpoints: int) -> None:
        self.compiled = compiled
        self.frame: dict[str, Any] = {
            "t": 0, "mode": "live", "paused": False, "sync": {"age_s": 0.4, "fidelity": "green"}, "ctl": {**setpoints},
        }  # fmt: skip
        self.recommendations: list[dict[str, Any]] = []
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.params_hash, self.pos, self.alive = compiled.hash, 100, True
        self.refitted = ""
        rows = new_rows(compiled, 11, 1)
        set_controls(rows, compiled, Grid(compiled.plant).vector(setpoints))
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
    return Twin(line3, cap=2)


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


@pytest.fixture
def two(two_motors: Compiled) -> tuple[Twin, dict[str, Any]]:
    """A twin of several controls, and a recommendation that moves two of them."""
    twin = Twin(two_motors, cap40=14, cap80=5, base40=34, base80=22, kit_level=760)
    moves = [{"control": "cap80", "from": 5, "to": 9}, {"control": "cap40", "from": 14, "to": 15}]
    now = two_motors.start_ms + 34 * 3_600_000
    body = {"id": "r-7", "moves": moves, **moves[0], "created": now - 3_600_000, "lease_s": 7200.0}
    return twin, body


@pytest.mark.parametrize("status", ["accepted", "sent", "confirmed"])
def test_all_that_is_moved_with_one_click_is_locked(
    two: tuple[Twin, dict[str, Any]], tmp_path: Path, status: str
) -> None:
    twin, body = two
    mine = advisor(twin, tmp_path)

    def locked(after_s: float, rec: dict[str, Any]) -> tuple[str, ...]:
        twin.recommendations = [{**rec, "status": status}]
        return mine._in_force(body["created"] + round(1000 * after_s), twin.frame["ctl"])[1]

    every = {c.id: c.every * twin.compiled.plant.tick_s for c in twin.compiled.plant.controls}
    assert every["cap40"] == every["cap80"] > 60.0
    assert locked(60.0, body) == ("cap40", "cap80")
    assert locked(60.0, {k: v for k, v in body.items() if k != "moves"}) == ("cap80",), "a body from before"
    assert locked(every["cap40"], body) == (() if status == "confirmed" else ("cap40", "cap80"))


def test_a_control_under_a_lease_may_be_moved_again(two: tuple[Twin, dict[str, Any]], tmp_path: Path) -> None:
    """Its futures say where it goes back to and when, with and without the new move."""
    twin, body = two
    twin.recommendations = [{**body, "lease_s": 8 * 3600.0, "status": "confirmed"}]
    twin.frame["ctl"] |= {"cap40": 15, "cap80": 9}
    mine = advisor(twin, tmp_path)
    mine.moment()
    posted = [b for path, b in twin.posted if path == "/recommendations"]
    assert posted, twin.posted
    evidence, rows = stored(tmp_path, "r-100")
    now, hour = twin.compiled.ticks(34 * 3600), twin.compiled.ticks(3600)
    assert evidence["leases"] == [[0, 14, now + 7 * hour], [1, 5, now + 7 * hour]], "one of the eight hours has passed"
    again = reproduce(evidence, rows, twin.compiled, None, None)
    assert again is not None
    assert again["gain"] == posted[0]["gain"]


def test_a_joint_recommendation_lives_by_all_its_moves(two: tuple[Twin, dict[str, Any]], tmp_path: Path) -> None:
    twin, body = two
    mine = advisor(twin, tmp_path)
    twin.recommendations = [{**body, "status": "proposed"}]
    assert "still pays" in mine.moment()
    twin.frame["ctl"]["cap40"] = 11
    assert mine.moment() == "r-7 withdrawn: cap40 is 11 now, not 14"
    assert {k: twin.posted[-2][1][k] for k in ("id", "status")} == {"id": "r-7", "status": "withdrawn"}


def test_a_joint_recommendation_is_rechecked_with_all_its_moves(
    two: tuple[Twin, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin, body = two

    def costs(_b: Any, _c: Any, values: np.ndarray, *_: Any) -> SimpleNamespace:
        money = -100.0 * (values[:, 1] == 9) + 130.0 * (values[:, 0] == 15)
        return SimpleNamespace(costs=np.repeat(money[:, None], 8, axis=1))

    monkeypatch.setattr("agents.advice.advise.play", costs)
    mine = advisor(twin, tmp_path)
    twin.recommendations = [{**body, "moves": body["moves"][:1], "status": "proposed"}]
    assert "still pays" in mine.moment()
    twin.recommendations = [{**body, "status": "proposed"}]
    assert mine.moment() == "r-7 withdrawn: on the newest state it would gain -30.0 EUR only"


def test_another_plant_is_refused(twin: Twin, tmp_path: Path) -> None:
    twin.params_hash = "0" * 64
    with pytest.raises(WrongTwinError, match="same plant file"):
        advisor(twin, tmp_path).moment()


def test_it_waits_for_a_twin_that_is_away(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = httpx.Client
    monkeypatch.setattr(
        "agents.advice.advise.httpx.Client",
        lambda **k: real(transport=httpx.MockTransport(twin), base_url=k["base_url"]),
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


class Moody:
    """A policy that can be made to hang, to raise or to answer nonsense; else it wants the cap at 8."""

    name, static, epoch_s, over = "policy:moody", False, None, None

    def __init__(self, compiled: Compiled) -> None:
        self.grid, self.mood, self.asked = Grid(compiled.plant), "", 0
        self.free = threading.Event()
        self.observer = Observer(compiled)
        low = np.full(len(self.observer.fields), -1e9, dtype=np.float32)
        self.bundle = SimpleNamespace(ranges=(low, -low), familiar=None, name="moody", vouched="unsigned")

    def act(self, rows: Any) -> Any:
        self.asked += 1
        if self.mood == "hang":
            self.free.wait(30)
        if self.mood == "raise":
            raise RuntimeError("no such layer")
        values = np.tile(self.grid.vector({"cap": 8}), (len(rows), 1))
        return values[:1] if self.mood == "short" else values.astype(float) * np.nan if self.mood == "nan" else values


@pytest.fixture
def moody(twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Advisor, Moody]]:
    client = httpx.Client(transport=httpx.MockTransport(twin), base_url="http://twin")
    mine = Advisor(Options(twin.compiled.plant, "http://twin", tmp_path, policy_budget_s=0.2), client)
    policy = Moody(twin.compiled)
    monkeypatch.setattr(mine, "_load", lambda: setattr(mine, "policy", policy))
    yield mine, policy
    policy.free.set()


def told(twin: Twin) -> list[dict[str, Any]]:
    """What the twin was told of the policy; it is then part of its frame, as in the real one."""
    found = [body["policy"] for path, body in twin.posted if path == "/advice" and "policy" in body]
    twin.frame["advice"] = {"policy": found[-1]} if found else {}
    return found


def test_a_policy_that_hangs_leaves_the_moment_to_rule_and_search(
    twin: Twin, moody: tuple[Advisor, Moody], tmp_path: Path
) -> None:
    mine, policy = moody
    policy.mood = "hang"
    began = time.monotonic()
    asked = threading.active_count()
    said = mine.moment()
    assert said.startswith("r-100: cap 2 to "), "the decision is made without it"
    assert told(twin) == [{"ok": False, "why": "the policy did not answer within 0.2 s", "late": 1, "failed": 0}]
    body = next(body for path, body in twin.posted if path == "/recommendations")
    assert body["evidence"]["policy"] is None
    assert body["checks"]["policy"] == {
        "ok": False, "note": "the policy did not answer within 0.2 s; rule and search",
    }  # fmt: skip
    evidence, rows = stored(tmp_path, "r-100")
    assert reproduce(evidence, rows, twin.compiled, None, None) is not None
    mine.moment()
    assert policy.asked == 1, "while one question is open no other is asked"
    assert threading.active_count() == asked + 1
    assert told(twin)[-1]["why"] == "the policy has still not answered an earlier question"
    assert told(twin)[-1]["late"] == 2
    policy.mood = ""
    policy.free.set()
    mine.guard._open.thread.join(10)  # type: ignore[union-attr]
    mine.moment()
    assert told(twin)[-1] == {"ok": True, "why": "", "late": 2, "failed": 0}
    assert twin.posted[-1][1]["evidence"]["policy"] == "policy:moody", "and its answers count again"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("raise", "the policy failed: RuntimeError: no such layer"),
        ("short", "the policy answered (1, 1), expected setpoints of (64, 1)"),
        ("nan", "the policy answered numbers that are not finite"),
    ],
)
def test_a_policy_that_fails_is_left_out_and_counted(
    twin: Twin, moody: tuple[Advisor, Moody], mood: str, why: str
) -> None:
    mine, policy = moody
    policy.mood = mood
    assert mine.moment().startswith("r-100: cap 2 to ")
    assert told(twin) == [{"ok": False, "why": why, "late": 0, "failed": 1}]


def test_a_service_without_a_policy_takes_an_old_complaint_back(twin: Twin, tmp_path: Path) -> None:
    twin.frame["advice"] = {"policy": {"ok": False, "why": "it hung", "late": 3, "failed": 1}}
    advisor(twin, tmp_path).moment()
    assert told(twin) == [{"ok": True, "why": "", "late": 3, "failed": 1}]


def test_the_evidence_says_who_vouches_for_the_policy(
    twin: Twin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = Ed25519PrivateKey.generate()
    folder = tmp_path / "bundle"
    write(folder, twin.compiled)
    client = httpx.Client(transport=httpx.MockTransport(twin), base_url="http://twin")

    def evidence(signer: Any = None) -> dict[str, Any]:
        twin.posted.clear()
        options = Options(twin.compiled.plant, "http://twin", tmp_path, policy=str(folder), signer=signer)
        assert Advisor(options, client).moment().startswith("r-100: ")
        body = next(body for path, body in twin.posted if path == "/recommendations")
        found: dict[str, Any] = body["evidence"]
        return found

    assert evidence()["policy_signature"] == "unsigned"
    assert evidence(key.public_key())["policy"] is None
    assert "going on without a policy: " in capsys.readouterr().out
    bundle.sign(folder, key)
    assert evidence()["policy_signature"].endswith("(not checked against a key of yours)")
    found = evidence(key.public_key())
    assert found["policy"].startswith("policy:sha256:")
    assert found["policy_signature"] == "signed by " + public_text(key.public_key())
    assert "policy_signature" not in evidence(Ed25519PrivateKey.generate().public_key())
    assert "expected the signature of" in capsys.readouterr().out
    (folder / "card.md").write_text("changed")
    assert evidence(key.public_key())["policy"] is None
    assert "card.md: expected" in capsys.readouterr().out


def test_advice_takes_bundles_only(twin: Twin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = httpx.Client(transport=httpx.MockTransport(twin), base_url="http://twin")
    Advisor(Options(twin.compiled.plant, "http://twin", tmp_path, policy="cap=3"), client).moment()
    assert "going on without a policy: expected the folder of a bundle, found 'cap=3'" in capsys.readouterr().out
