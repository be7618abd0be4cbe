"""A run on an MLflow tracking server, by its public REST API (version 2.0; MLflow 2 and 3 have it).

The library itself is not needed: it wants a protobuf that the wire's does not allow, and brings forty packages. A
server on a file or a database of one's own is `mlflow server --backend-store-uri sqlite:///runs.db`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from agents.errors import TrainingError

if TYPE_CHECKING:
    import httpx

API = "/api/2.0/mlflow/"
MOST_METRICS, MOST_PARAMETERS, LONGEST = 1000, 100, 500
"""Of one request, and of a parameter's text: what the server takes."""
WAIT_S = 10.0


class Server:
    """An MLflow tracking server; `TrainingError` where the address is none, or nobody answers there."""

    def __init__(self, address: str) -> None:
        import httpx

        self.address = address.rstrip("/")
        parts = urlsplit(self.address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise TrainingError(
                f"mlflow {address!r}: expected the address of a tracking server, such as http://127.0.0.1:5000; for a "
                f"file or a database start one: mlflow server --backend-store-uri {address}"
            )
        self._client: httpx.Client = httpx.Client(base_url=self.address, timeout=WAIT_S)

    def check(self) -> None:
        """`TrainingError` unless an MLflow server answers."""
        self.post("experiments/search", {"max_results": 1})

    def run(self, experiment: str, name: str, parameters: dict[str, Any], known: str | None = None) -> MlflowRun:
        """A new run in an experiment (made where there is none), or the run `known` again."""
        if known is not None:
            self.post("runs/update", {"run_id": known, "status": "RUNNING"})
            found = self.get("runs/get", {"run_id": known})["run"]
        else:
            about = {"experiment_id": self._experiment(experiment), "run_name": name, "start_time": _now()}
            tags = [{"key": "mlflow.source.name", "value": "plantwin train"}]
            found = self.post("runs/create", {**about, "tags": tags})["run"]
        made = MlflowRun(self, str(found["info"]["run_id"]), str(found["info"].get("artifact_uri", "")))
        if known is None:
            told = [{"key": k, "value": str(v)[:LONGEST]} for k, v in parameters.items()]
            for at in range(0, len(told), MOST_PARAMETERS):
                self.post("runs/log-batch", {"run_id": made.id, "params": told[at : at + MOST_PARAMETERS]})
        return made

    def _experiment(self, name: str) -> str:
        answer = self.ask("GET", "experiments/get-by-name", params={"experiment_name": name})
        if answer.status_code == 404:
            return str(self.post("experiments/create", {"name": name})["experiment_id"])
        return str(self._good(answer)["experiment"]["experiment_id"])

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer to a request, whatever its status; `TrainingError` where there is none."""
        import httpx

        try:
            return self._client.request(method, path if path.startswith("/") else API + path, **request)
        except httpx.HTTPError as e:
            raise TrainingError(f"mlflow {self.address}: no answer ({type(e).__name__}: {e})") from e

    def get(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._good(self.ask("GET", path, params=parameters))

    def post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        return self._good(self.ask("POST", path, json=content))

    def _good(self, answer: httpx.Response) -> dict[str, Any]:
        if not answer.is_success:
            raise TrainingError(f"mlflow {self.address}: {answer.status_code} {answer.text:.300}")
        try:
            found = answer.json()
        except ValueError as e:
            raise TrainingError(f"mlflow {self.address}: no MLflow server answers there ({e})") from e
        if not isinstance(found, dict):
            raise TrainingError(f"mlflow {self.address}: expected an object, found {type(found).__name__}")
        return found


@dataclass(slots=True)
class MlflowRun:
    """A run: metrics are collected and sent together. A server that goes away loses numbers, never a training: what it
    missed is counted in `lost`, and `trouble` says what it said last.
    """

    server: Server
    id: str
    artifacts: str
    waiting: list[dict[str, Any]] = field(default_factory=list)
    lost: int = 0
    trouble: str = ""

    def metric(self, key: str, value: float, step: int) -> None:
        """Keep a number to be sent."""
        self.waiting.append({"key": key.replace("/", "."), "value": value, "timestamp": _now(), "step": step})

    def flush(self) -> None:
        """Send what waits."""
        while self.waiting:
            part, self.waiting = self.waiting[:MOST_METRICS], self.waiting[MOST_METRICS:]
            self._try("POST", API + "runs/log-batch", len(part), json={"run_id": self.id, "metrics": part})

    def artifact(self, name: str, content: bytes) -> None:
        """A file beside the run, where the server keeps such files itself (its default)."""
        scheme, _, path = self.artifacts.partition(":")
        if scheme == "mlflow-artifacts":
            folder = urlsplit(self.artifacts).path.strip("/") if path.startswith("//") else path.strip("/")
            where = f"/api/2.0/mlflow-artifacts/artifacts/{quote(folder)}/{quote(name)}"
            self._try("PUT", where, 1, content=content, headers={"content-type": "application/octet-stream"})

    def end(self) -> None:
        """The run is done."""
        body = {"run_id": self.id, "status": "FINISHED", "end_time": _now()}
        self._try("POST", API + "runs/update", 0, json=body)

    def _try(self, method: str, path: str, things: int, **request: Any) -> None:
        try:
            answer = self.server.ask(method, path, **request)
            if answer.is_success:
                return
            self.trouble = f"{answer.status_code} {answer.text:.200}"
        except TrainingError as e:
            self.trouble = str(e)
        self.lost += things


def _now() -> int:
    return int(time.time() * 1000)
