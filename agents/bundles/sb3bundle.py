"""Make a bundle of a Stable-Baselines3 zip for a plant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles import bundle
from agents.bundles.policyspec import check_interval
from agents.bundles.sb3zip import Read, read_zip
from agents.control.controllers import PolicyController
from agents.control.rollout import default_epoch, ticks
from agents.envs.grid import Grid
from agents.envs.schema import Observer
from agents.seeds import TRAIN, block_seed
from agents.training.learning import spec

if TYPE_CHECKING:
    from sim.compile import Compiled

REPLICAS = 16
DECISIONS = 256
"""Of the run that finds out which observations the policy meets; the zip does not say what it has learned from."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`name` of the bundle that was written to `path`, and what was read and not read of the zip."""

    name: str
    path: Path
    read: Read


def import_zip(zip_path: Path, compiled: Compiled, out: Path, epoch_s: float | None = None) -> Imported:
    """Read the policy of an SB3 zip and write it as an unsigned bundle for this plant into `out`.

    `epoch_s`: seconds between two decisions it was trained for (None: the plant's usual interval). `BundleError` says
    what in the zip was not as expected.
    """
    grid, observer = Grid(compiled.plant), Observer(compiled)
    read = read_zip(zip_path, observer.size, tuple(int(n) for n in grid.counts))
    if epoch_s is not None:
        check_interval("--epoch", epoch_s, compiled)
    epoch = default_epoch(compiled) if epoch_s is None else ticks(compiled, epoch_s)
    draft = spec(compiled, read.network, epoch, np.zeros((1, observer.size), dtype=np.float32))
    seen = _seen(PolicyController(bundle.Bundle("imported", read.network, draft, {}), observer, grid), compiled, epoch)
    about = spec(compiled, read.network, epoch, seen)
    evidence: dict[str, Any] = {
        "plant": compiled.plant.id,
        "plant_hash": compiled.hash,
        "epoch_s": about["epoch_s"],
        "imported": {
            "file": zip_path.name,
            "sha256": read.sha256,
            "stable_baselines3": read.version,
            "serialized_not_decoded": list(read.undecoded),
            "members_not_read": list(read.unread),
            "not_checked": [*read.unchecked, "the order and meaning of its observations and actions"],
            "ranges_from": f"{REPLICAS} replicas of {DECISIONS} decisions under this policy, from the empty plant",
        },
        "verdicts": {},
    }
    return Imported(bundle.save(out, read.network, about, evidence, _card(compiled, read, zip_path.name)), out, read)


def _seen(policy: PolicyController, compiled: Compiled, epoch: int) -> NDArray[np.float32]:
    """Observations [REPLICAS * DECISIONS, D] that this policy meets on this plant."""
    from sim.engine import new_rows, run, set_controls

    rows, seen = new_rows(compiled, block_seed(TRAIN, 0), REPLICAS), []
    for k in range(DECISIONS):
        seen.append(policy.observer(rows))
        values = policy.act(rows)
        assert values is not None
        set_controls(rows, compiled, policy.grid.limit(values, rows, compiled.layout))
        run(rows, compiled, (k + 1) * epoch)
    return np.concatenate(seen)


def _card(compiled: Compiled, read: Read, file: str) -> str:
    lines = [
        f"# Policy for {compiled.plant.id}, imported",
        "",
        "Name: `{name}`",
        "",
        (
            f"The tensors of `{file}` ({read.sha256}), written by Stable-Baselines3 {read.version}. Nothing in that "
            "file was run. It does not say what its observations and actions mean: that they are those of "
            f"`plantwin env {compiled.plant.id}`, in that order and scaling, was taken on trust."
        ),
        "",
        "Not judged yet: `plantwin evaluate FOLDER --against rule` does.",
        "",
    ]
    return "\n".join(lines)
