"""What a training was asked for: settings from a file and from the command line, and `training.json`, by which it can
be taken up again. Knows nothing of torch.

Later layers win: defaults, the file of `--config`, the options of the command line.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from agents.errors import TrainingError
from agents.training.checkpoint import replace as put_file
from agents.training.learning import Config

if TYPE_CHECKING:
    from sim.compile import Compiled

NAME = "training.json"
FORMAT = 1
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
AT_LEAST = {"lanes": 1, "steps": 1, "minibatch": 2, "epochs": 1, "select": 2, "checks": 1, "seeds": 1, "threads": 1}
ABOVE_ZERO = ("rate", "clip", "horizons", "explore", "episode_weeks", "epoch_s", "budget_s")
RENAMED = {"steps": "rollout"}
"""Settings of `Config` under another name in a file: `steps` there means how long to train, as on the command line."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long to train, on what, until when (`target`: see `agents.training.goal`), and the settings of the
    learner.
    """

    budget_s: float = 600.0
    steps: int | None = None
    seeds: int = 1
    device: str = "auto"
    threads: int = 1
    target: str | None = None
    config: Config = field(default_factory=Config)

    def check(self) -> Recipe:
        """Itself; `TrainingError` names a setting that cannot be."""
        if self.device not in {"auto", "cpu", "cuda"}:
            raise TrainingError(f"device {self.device!r}: expected auto, cpu or cuda")
        mine = [(f.name, getattr(self, f.name)) for f in fields(self)]
        for name, value in mine + [(f.name, getattr(self.config, f.name)) for f in fields(self.config)]:
            if name in AT_LEAST and value is not None and value < AT_LEAST[name]:
                raise TrainingError(f"{name} {value}: expected at least {AT_LEAST[name]}")
            if name in ABOVE_ZERO and value is not None and not 0 < value < float("inf"):
                raise TrainingError(f"{name} {value}: expected a number above 0")
        for name in ("gae", "entropy"):
            if not 0 <= getattr(self.config, name) <= 1:
                raise TrainingError(f"{name} {getattr(self.config, name)}: expected a number from 0 to 1")
        improve = self.config.improve
        if improve is not None and not 0 <= improve < 1:
            raise TrainingError(f"improve {improve}: expected a share of the budget, 0 or more and below 1")
        if self.config.masks and self.config.trainer == "stock":
            raise TrainingError("masks: stock PPO has none; use --trainer resident")
        if not self.config.hidden or min(self.config.hidden) < 1:
            raise TrainingError(f"hidden {list(self.config.hidden)}: expected the widths of one or more layers")
        return self

    def flat(self) -> dict[str, Any]:
        """Every setting by its name in a file."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"config", "budget_s"}}
        config = {RENAMED.get(k, k): list(v) if isinstance(v, tuple) else v for k, v in asdict(self.config).items()}
        return {"budget": f"{self.budget_s:g}s", **own, **config}

    def updated(self, settings: dict[str, Any], where: str) -> Recipe:
        """With these settings in the place of its own; `TrainingError` names one that is unknown or of a wrong type."""
        known = self.flat()
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"
                raise TrainingError(f"{where}: there is no setting {name!r}{hint}")
        values = {**known, **settings}
        budget = span_s(str(values.pop("budget")), where)
        config = {old: values.pop(RENAMED.get(old, old)) for old in asdict(self.config)}
        try:
            made = msgspec.convert({**values, "budget_s": budget, "config": config}, Recipe)
        except msgspec.ValidationError as e:
            raise TrainingError(f"{where}: {e}") from e
        return made.check()


def span_s(text: str, where: str = "budget") -> float:
    """Seconds of `90s`, `10m`, `2h` or a bare number of seconds; `TrainingError` otherwise."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    try:
        value = float(number) * UNITS[unit]
    except ValueError as e:
        raise TrainingError(f"{where}: budget {text!r}: expected a time such as 90s, 10m or 2h") from e
    if not 0 < value < float("inf"):
        raise TrainingError(f"{where}: budget {text!r}: expected a time greater than 0")
    return value


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a YAML or JSON file (`plantwin search` writes one); `TrainingError` says what is wrong."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise TrainingError(
            f"{path}: cannot be read ({e.strerror}); expected a file of settings, such as the best.yaml of `plantwin "
            f"search`"
        ) from e
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise TrainingError(f"{path}: not YAML or JSON ({e})") from e
    if not isinstance(found, dict):
        raise TrainingError(f"{path}: expected settings `NAME: VALUE`, found {type(found).__name__}")
    return found


@dataclass(frozen=True, slots=True)
class Begun:
    """What `training.json` says: whose training it is, what was asked for, which seeds are done."""

    plant: str
    plant_hash: str
    rule: str
    posterior: str | None
    recipe: Recipe
    versions: str
    done: tuple[int, ...] = ()

    def write(self, folder: Path) -> None:
        """Put it into the folder of the training."""
        content = {
            "format": FORMAT, "plant": self.plant, "plant_hash": self.plant_hash, "rule": self.rule,
            "posterior": self.posterior, "versions": self.versions, "done": list(self.done),
            "settings": self.recipe.flat(),
        }  # fmt: skip
        put_file(folder / NAME, (json.dumps(content, indent=1) + "\n").encode())

    def finished(self, seed: int, folder: Path) -> Begun:
        """The same with one more seed done, written."""
        later = replace(self, done=(*self.done, seed))
        later.write(folder)
        return later

    def check(self, compiled: Compiled, folder: Path) -> None:
        """`TrainingError` unless this plant is the one that was trained on."""
        if self.plant_hash != compiled.hash:
            what = "another plant" if self.plant != compiled.plant.id else "another state of its file"
            raise TrainingError(
                f"{folder} holds the training of plant {self.plant} ({self.plant_hash[:14]}..), found "
                f"{compiled.plant.id} ({compiled.hash[:14]}..), {what}; a training goes on with the plant that it "
                f"began with, or begins anew in another folder"
            )

    def same(self, given: dict[str, Any], folder: Path) -> None:
        """`TrainingError` for a setting given now that was another when the training began."""
        began = self.recipe.flat()
        now = self.recipe.updated(given, "the command line").flat()
        for name in given:
            if now[name] != began[name]:
                raise TrainingError(
                    f"{name} {now[name]}: the training in {folder} was begun with {began[name]}; it goes on as it "
                    f"began (leave the option out), or begins anew in another folder"
                )


def read_begun(folder: Path) -> Begun:
    """What was begun in a folder; `TrainingError` where nothing was, or the file is broken."""
    path = folder / NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise TrainingError(f"{path}: of format {found['format']!r}, expected {FORMAT}; begin the training anew")
        posterior = found["posterior"]
        return Begun(
            str(found["plant"]), str(found["plant_hash"]), str(found["rule"]),
            None if posterior is None else str(posterior), Recipe().updated(found["settings"], str(path)),
            str(found["versions"]), tuple(int(n) for n in found["done"]),
        )  # fmt: skip
    except OSError as e:
        raise TrainingError(f"{path}: cannot be read ({e.strerror}); `plantwin train --out` begins a training") from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise TrainingError(f"{path}: not what `plantwin train` writes ({type(e).__name__}: {e})") from e
