"""Whether what a command was asked for can be done, before anything is computed: where its output goes, on what it
runs. Each problem is a wrong option: `typer.BadParameter`, which names the option.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from agents.training.recipe import Recipe
    from sim.compile import Compiled

TRAINING = ("training.json", "policy.json", "study.db")
"""Any of these tells a folder of ours."""
BESIDE = frozenset({"rule.json", "checkpoints"})
"""What may lie in a folder before a training begins there: a rule that was tuned into it, checkpoints (told apart
later).
"""


def wrong(option: str, problem: str) -> typer.BadParameter:
    """The error that says which option cannot be what."""
    return typer.BadParameter(problem, param_hint=f"'{option}'")


def out_file(path: Path | None, option: str = "--out") -> None:
    """Can a file be put there? None is fine."""
    if path is None:
        return
    if path.is_dir():
        raise wrong(option, f"{path}: expected a file, found a folder; name a file in it")
    _above(path, option)


def out_folder(path: Path, option: str = "--out") -> None:
    """Can a folder be there?"""
    if path.exists() and not path.is_dir():
        raise wrong(option, f"{path}: expected a folder, found a file; choose another name")
    _above(path, option)


def training_folder(path: Path, compiled: Compiled, option: str = "--out") -> None:
    """May a training of this plant begin there: in a new or empty folder, or over an earlier one of the same plant?"""
    from agents.training.recipe import NAME, read_begun

    out_folder(path, option)
    found = sorted(p.name for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else []
    strange = [name for name in found if name not in BESIDE]
    if strange and not any(name in found for name in TRAINING):
        raise wrong(
            option,
            f"{path}: expected a new or empty folder, or one of an earlier training, found {strange[0]}"
            + (f" and {len(strange) - 1} more" if len(strange) > 1 else "")
            + "; choose another, so that nothing is written between them",
        )
    if NAME in found and (begun := read_begun(path)).plant != compiled.plant.id:
        raise wrong(option, f"{path}: holds a training of plant {begun.plant}, not {compiled.plant.id}; choose another")


def _above(path: Path, option: str) -> None:
    """Is what the path lies in a folder, or can it be made?"""
    for parent in path.parents:
        if parent.is_dir():
            return
        if parent.exists():
            raise wrong(option, f"{path}: expected {parent} to be a folder, found a file; choose another place")


def device(name: str | None, option: str = "--device") -> None:
    """Is this device there? `auto`, `cpu` and None always are; other names are for who knows them to refuse."""
    if name != "cuda":
        return
    from agents.training.graphed import usable

    if not usable():
        raise wrong(option, "cuda: no CUDA device can be used here; expected cpu or auto (`plantwin doctor` says more)")


def trainable(recipe: Recipe, compiled: Compiled) -> None:
    """Settings that only make sense for a plant, and a device that must be there: told before a rule is tuned."""
    recipe.config.decides(compiled)
    device(recipe.device)
