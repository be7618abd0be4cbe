"""Rules of a plant's own, written in SimPy: who may run them, how they are loaded, whose fault an error is.

Running code from a file is a decision of the user, never of the file: `allow` marks a plant as allowed, and only
commands and settings that say so call it. Nothing here is imported by those who only read plant files.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sim.plant import OwnRules, Plant

if TYPE_CHECKING:
    from sim.reference import Reference


class OwnRulesError(ValueError):
    """The rules may not run or cannot be loaded; the message says which file, what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The class of a plant's own rules, the file it came from and the SHA-256 of that file."""

    model: type[Reference]
    file: Path
    sha256: str

    def blame(self, error: BaseException) -> str:
        """What went wrong in the model: file, line and class, where the error came from or passed through the rules."""
        return _blame(self.file, self.model.__name__, error)


def allow(plant: Plant) -> Plant:
    """The plant, whose own rules (if it has any) may run from now on."""
    return plant if plant.rules is None else replace(plant, rules=replace(plant.rules, allowed=True))


def load(plant: Plant) -> Loaded | None:
    """The class of the plant's own rules; None for a plant without. Raises `OwnRulesError`."""
    rules = plant.rules
    if rules is None:
        return None
    if not rules.allowed:
        raise OwnRulesError(
            f"plant {plant.id}: expected leave to run the code in {rules.file} (engine: simpy, class {rules.name}), "
            "found none; read that file, then say '--allow-code' (in Python: allow_code=True, or sim.ownrules.allow)"
        )
    try:
        data = rules.file.read_bytes()
    except OSError as error:
        raise OwnRulesError(f"plant {plant.id}: expected the rules in {rules.file}, found {error}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    found = getattr(_module(rules, data, sha256), rules.name, None)
    return Loaded(_checked(rules, found), rules.file, sha256)


def _module(rules: OwnRules, data: bytes, sha256: str) -> ModuleType:
    """The module of the file's present text, run once a process."""
    name = f"plantwin_rules_{hashlib.sha256(f'{rules.file}:{sha256}'.encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, rules.file)
    if spec is None:
        raise OwnRulesError(f"{rules.file}: expected a Python file, found something else; name it FILE.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        exec(compile(data, str(rules.file), "exec"), module.__dict__)  # noqa: S102 - the text whose hash was taken
    except Exception as error:
        del sys.modules[name]
        raise OwnRulesError(_blame(rules.file, rules.name, error)) from error
    return module


def _checked(rules: OwnRules, found: object) -> type[Reference]:
    from sim.reference import Reference

    where = f"{rules.file}, class {rules.name}"
    if found is None:
        raise OwnRulesError(f"{where}: expected such a class in the file, found none; correct 'engine:'")
    if not (isinstance(found, type) and issubclass(found, Reference)):
        raise OwnRulesError(f"{where}: expected a subclass of sim.reference.Reference, found {found!r}")
    if "__init__" in vars(found):
        raise OwnRulesError(f"{where}: expected no __init__ (one made from a row skips it), found one; use prepare()")
    return found


def _blame(file: Path, name: str, error: BaseException) -> str:
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{file}, line {error.lineno}, class {name}: {said}"
    lines: list[int | None] = []
    cause: BaseException | None = error
    while cause is not None and not lines:  # SimPy raises a copy of what a process raised, with that as its cause
        lines = [frame.lineno for frame in traceback.extract_tb(cause.__traceback__) if frame.filename == str(file)]
        cause = cause.__cause__
    if not lines:
        return f"{file}, class {name}: {said} (in the model, after what the rules did)"
    return f"{file}, line {lines[-1]}, class {name}: {said}"
