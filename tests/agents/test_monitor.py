"""A training's numbers arrive in TensorBoard's files and on an MLflow server, as its REST API says."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import plantwin
from agents.errors import TrainingError
from agents.training import train
from agents.training.mlflow import Server
from agents.training.monitor import Monitor
from agents.training.train import Run
from sim.compile import Compiled
from tests.agents.test_resume import STEPS, CutOff, cut_after, job, short_runs  # noqa: F401 - a fixture of its own


class Fake:
    """What of MLflow's REST API 2.0 a run needs: experiments, runs, batches, artifacts; it refuses what MLflow
    refuses.
    """

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.broken = False

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(path)
        if self.broken:
            return 500, {"error_code": "INTERNAL_ERROR"}
        if parts.path.startswith("/api/2.0/mlflow-artifacts/artifacts/") and method == "PUT":
            self.files[parts.path.removeprefix("/api/2.0/mlflow-artifacts/artifacts/")] = body
            return 200, {}
        name = parts.path.removeprefix("/api/2.0/mlflow/")
        if method == "GET":
            asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
        else:
            asked = json.loads(body)
        found = getattr(self, "do_" + name.replace("/", "_").replace("-", "_"))(asked)
        return (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}) if found is None else (200, found)

    def do_experiments_search(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["max_results"] > 0
        return {}

    def do_experiments_get_by_name(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        known = self.experiments.get(asked["experiment_name"])
        return None if known is None else {"experiment": {"experiment_id": known}}

    def do_experiments_create(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.experiments[asked["name"]] = str(len(self.experiments) + 1)
        return {"experiment_id": self.experiments[asked["name"]]}

    def do_runs_create(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(asked["start_time"], int)
        assert all(set(tag) == {"key", "value"} for tag in asked["tags"])
        ident = f"r{len(self.runs)}"
        uri = f"mlflow-artifacts:/{asked['experiment_id']}/{ident}/artifacts"
        info = {"run_id": ident, "run_name": asked["run_name"], "artifact_uri": uri, "status": "RUNNING"}
        self.runs[ident] = {"info": info, "metrics": [], "params": {}}
        return {"run": {"info": info}}

    def do_runs_get(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"run": {"info": self.runs[asked["run_id"]]["info"]}}

    def do_runs_update(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.runs[asked["run_id"]]["info"]["status"] = asked["status"]
        return {}

    def do_runs_log_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        run, metrics = self.runs[asked["run_id"]], asked.get("metrics", [])
        assert len(metrics) <= 1000
        assert len(asked.get("params", [])) <= 100
        for metric in metrics:
            assert {k: type(v) for k, v in metric.items()} == {
                "key": str, "value": float, "timestamp": int, "step": int,
            }  # fmt: skip
            assert "/" not in metric["key"]
        run["metrics"] += metrics
        for p in asked.get("params", []):
            assert run["params"].setdefault(p["key"], p["value"]) == p["value"], "MLflow's parameters never change"
        return {}


@pytest.fixture
def mlflow() -> Iterator[tuple[Fake, str]]:
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, content = fake.answer(self.command, self.path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = reply  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield fake, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_run_of_mlflow_a_seed_which_a_resume_goes_on_with(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch, mlflow: tuple[Fake, str]
) -> None:
    fake, address = mlflow
    server = Server(address)
    server.check()
    monkeypatch.setattr("agents.training.monitor.EVERY_S", 0.0)
    mirrored = job(line3, tmp_path, monitor=Monitor(mlflow=server))
    with monkeypatch.context() as patch:
        cut_after(patch, 2)
        with pytest.raises(CutOff):
            train.train(mirrored, 2)
    assert [run["info"]["status"] for run in fake.runs.values()] == ["RUNNING"]
    train.train(replace(mirrored, resume=True), 2)
    assert list(fake.experiments) == ["plantwin line3"]
    assert [run["info"]["run_name"] for run in fake.runs.values()] == ["line3 seed 0", "line3 seed 1"]
    for seed, run in enumerate(fake.runs.values()):
        assert run["info"]["status"] == "FINISHED"
        assert run["params"]["lanes"] == "16"
        assert run["params"]["seed"] == str(seed)
        names = {m["key"] for m in run["metrics"]}
        assert {"cost.best_checkpoint", "cost.percent_above_rule", "train.value_loss", "test.rule.lo"} <= names
        assert max(m["step"] for m in run["metrics"]) >= STEPS * 5 // 6
        files = f"1/{run['info']['run_id']}/artifacts/"
        assert fake.files[files + "card.md"] == (tmp_path / f"seed-{seed}" / "card.md").read_bytes()


def test_a_server_that_goes_away_costs_numbers_not_the_training(
    tmp_path: Path, line3: Compiled, monkeypatch: pytest.MonkeyPatch, mlflow: tuple[Fake, str]
) -> None:
    fake, address = mlflow
    monkeypatch.setattr("agents.training.monitor.EVERY_S", 0.0)
    keep = Run.keep

    def kept(self: Run) -> None:
        keep(self)
        fake.broken = True

    monkeypatch.setattr(Run, "keep", kept)
    said: list[str] = []
    train.train(job(line3, tmp_path, monitor=Monitor(mlflow=Server(address)), say=said.append), 1)
    assert (tmp_path / "policy.json").exists()
    assert len(said) == 1
    assert "numbers did not reach http://127.0.0.1" in said[0]
    assert "500" in said[0]
    with pytest.raises(TrainingError, match="500"):
        Server(address).check()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(TrainingError, match="start one: mlflow server --backend-store-uri sqlite:///runs"):
        Server("sqlite:///runs.db")
    with pytest.raises(TrainingError, match="no answer"):
        Server("http://127.0.0.1:9").check()


def test_tensorboard_gets_the_numbers(tmp_path: Path, line3: Compiled) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train.train(job(line3, tmp_path / "out", monitor=Monitor(tmp_path / "events")), 1)
    found = EventAccumulator(str(tmp_path / "events" / "seed-0"))
    found.Reload()
    assert {"cost/best_checkpoint", "cost/rule", "train/value_loss", "time/decisions_per_second"} <= set(
        found.Tags()["scalars"]
    )
    steps = [event.step for event in found.Scalars("cost/training_lanes")]
    assert steps == list(range(STEPS // 6, STEPS, STEPS // 6))


def test_what_is_missing_is_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    out, events = str(tmp_path / "out"), str(tmp_path / "events")
    assert plantwin.main(["train", "line3", "--out", out, "--tensorboard", events]) == 1
    told = capsys.readouterr().err
    assert "train needs tensorboard, which is not installed" in told
    assert "[tensorboard]" in told
    assert not (tmp_path / "out").exists()
