"""Where a training's numbers go besides the screen: TensorBoard, an MLflow server. Needs the extras of these names."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.logger import KVWriter, Logger

from agents.training.mlflow import Server

if TYPE_CHECKING:
    from agents.training.checkpoint import Saved
    from agents.training.mlflow import MlflowRun
    from agents.training.train import Run, Trained

EVERY_S = 2.0
"""Seconds between two posts to a server: updates may follow each other faster than it answers."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """`tensorboard`: a folder that gets one folder of events a seed; `mlflow`: a server that gets one run a seed, in
    the experiment `experiment` (default: the plant's name).
    """

    tensorboard: Path | None = None
    mlflow: Server | None = None
    experiment: str | None = None

    def begin(self, run: Run, saved: Saved | None) -> Outputs:
        """Send what the model records to all of them from now on; a resumed training goes on in its MLflow run."""
        writers: list[KVWriter] = []
        if self.tensorboard is not None:
            from stable_baselines3.common.logger import TensorBoardOutputFormat

            check_tensorboard()
            writers.append(TensorBoardOutputFormat(str(self.tensorboard / f"seed-{run.seed}")))
        sent = None
        if self.mlflow is not None:
            plant = run.job.compiled.plant.id
            known = None if saved is None else saved.facts.get("mlflow")
            settings = {
                "plant": plant,
                "plant_hash": run.job.compiled.hash,
                "seed": run.seed,
                "rule": run.job.rule.name,
            }
            settings |= run.job.recipe().flat() | {f"scale.{k}": v for k, v in asdict(run.scales).items()}
            sent = self.mlflow.run(self.experiment or f"plantwin {plant}", f"{plant} seed {run.seed}", settings, known)
            run.extra["mlflow"] = sent.id
            writers.append(_Mlflow(sent))
        run.model.set_logger(Logger(None, writers))
        return Outputs(writers, sent, run.job.say)


def check_tensorboard() -> None:
    """`ModuleNotFoundError` names tensorboard where it is missing, before hours are trained."""
    import tensorboard  # noqa: F401


@dataclass(slots=True)
class Outputs:
    """Writers of one seed's training."""

    writers: list[KVWriter]
    sent: MlflowRun | None
    say: Callable[[str], None]

    def end(self, done: Trained) -> None:
        """Close them; a run of MLflow gets the bundle and how good it is."""
        for writer in self.writers:
            writer.close()
        if self.sent is None:
            return
        for against, verdict in done.verdicts.items():
            for name in ("difference", "lo", "hi", "p_worse", "cost_a"):
                self.sent.metric(f"test.{against}.{name}", float(getattr(verdict, name)), 0)
        self.sent.metric("selected_cost", done.cost, 0)
        self.sent.flush()
        for name in ("policy.safetensors", "policy.json", "evidence.json", "card.md"):
            self.sent.artifact(name, (done.path / name).read_bytes())
        self.sent.end()
        if self.sent.lost:
            self.say(f"{self.sent.lost} numbers did not reach {self.sent.server.address}: {self.sent.trouble}")


@dataclass(slots=True)
class _Mlflow(KVWriter):
    """Stable-Baselines3's records as metrics of a run, not more often than every `EVERY_S` seconds, and the last."""

    run: MlflowRun
    sent: float = field(default=-1e9)
    held: tuple[dict[str, Any], int] | None = None

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        del key_excluded
        self.held = dict(key_values), step
        if time.monotonic() - self.sent >= EVERY_S:
            self.send()

    def send(self) -> None:
        """What came last, unless it was sent."""
        (key_values, step), self.held = self.held or ({}, 0), None
        for key, value in key_values.items():
            if isinstance(value, int | float | np.number) and np.isfinite(value):
                self.run.metric(key, float(value), step)
        self.run.flush()
        self.sent = time.monotonic()

    def close(self) -> None:
        self.send()
