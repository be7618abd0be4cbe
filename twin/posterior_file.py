"""What is believed of a plant's parameters as a small JSON file: from the twin, or `calibrate --json`, to training.

It holds the quantiles of every factor that a row of the kernel carries, and the approved refits of what rows do not
carry (setup times, shares of scrap, shapes), which stand in the plant. The twin writes it beside its snapshot when a
forecast has been made; it names the plant file it belongs to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from twin.believe import fixed, posterior
from twin.fit import LEVELS, MOST
from twin.inforce import compiled_with, decode, encode, values_of
from twin.model import TwinState
from twin.parameters import FIELDS

FORMAT = 1
NAME = "posterior.json"
DIGITS = 6

Array = NDArray[np.int64]


class PosteriorError(ValueError):
    """No posterior of this plant; the message says what was expected and what was found."""


@dataclass(frozen=True)
class FilePosterior:
    """A posterior of the plant `plant` (params hash `params`), after what was seen until plant ms `until`.

    `names` of the factors ("work/mill", ...), `quantiles` float64[names, levels] of each at `twin.fit.LEVELS`.
    `refitted`: what approved refits change in the plant, for `plant_of`.
    """

    id: str
    plant: str
    params: str
    until: int
    names: tuple[str, ...]
    quantiles: NDArray[np.float64]
    refitted: str = ""

    def plant_of(self, compiled: Compiled) -> Compiled:
        """The plant with its approved refits, whose rows the factors are for."""
        return compiled_with(compiled, self.refitted)

    def draw(self, compiled: Compiled, rng: np.random.Generator, replicas: int) -> dict[str, Array]:
        """Factors (2^-16) int64[replicas, n] by field of the row, each drawn on its own from its posterior."""
        share = rng.random((replicas, len(self.names)))
        at = np.clip(np.searchsorted(LEVELS, share, side="right") - 1, 0, len(LEVELS) - 2)
        part = np.clip((share - LEVELS[at]) / (LEVELS[at + 1] - LEVELS[at]), 0.0, 1.0)
        column = np.arange(len(self.names))
        low, high = self.quantiles[column, at], self.quantiles[column, at + 1]
        drawn = fixed(low + part * (high - low))
        plant, found = compiled.plant, {}
        for kind, (name, things) in FIELDS.items():
            values = np.full((replicas, compiled.layout.sizes[things]), fixed(np.array(1.0)))
            for i, thing in enumerate(getattr(plant, things)):
                if f"{kind}/{thing.id}" in self.names:
                    values[:, i] = drawn[:, self.names.index(f"{kind}/{thing.id}")]
            found[name] = values
        return found


def as_body(compiled: Compiled, state: TwinState) -> dict[str, Any]:
    """The posterior of a state as the file has it; `compiled` is the plant file's, at its own start."""
    believed = posterior(compiled, state)
    factors = {}
    for name, (centre, belief) in believed.groups.items():
        if name.partition("/")[0] in FIELDS:
            factors[name] = [round(centre * q, DIGITS) for q in belief.quantiles]
    return {
        "plantwin_posterior": FORMAT,
        "id": believed.id,
        "plant": compiled.plant.id,
        "params": compiled.hash,
        "until": state.learned.t,
        "levels": len(LEVELS),
        "factors": factors,
        "refitted": encode(values_of(compiled.plant, state.refits)),
    }


def write_posterior(compiled: Compiled, state: TwinState, path: Path) -> None:
    """Write the file in one step."""
    part = path.with_name(f".{path.name}.new")
    part.write_text(json.dumps(as_body(compiled, state)) + "\n", encoding="utf-8")
    part.replace(path)


def read_posterior(where: Path, compiled: Compiled) -> FilePosterior:
    """The posterior in a twin's data folder or a file, of the plant `compiled`; raises `PosteriorError`."""
    path = where / NAME if where.is_dir() else where
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        how = (
            "`plantwin twin` writes it with its forecasts, `plantwin calibrate PLANT --data DIR --json > FILE` at once"
        )
        raise PosteriorError(f"{path}: no posterior can be read ({error.strerror}); {how}") from error
    except ValueError as error:
        raise PosteriorError(f"{path}: expected the JSON of a posterior, found something else ({error})") from error
    if isinstance(found, dict) and isinstance(found.get("posterior"), dict):
        found = found["posterior"]
    if not isinstance(found, dict) or found.get("plantwin_posterior") != FORMAT:
        raise PosteriorError(f"{path}: expected a posterior of format {FORMAT}; make it with this version of plantwin")
    try:
        made = _made(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PosteriorError(f"{path}: not a whole posterior ({error}); make it anew") from error
    _fits(path, made, compiled)
    return made


def _made(found: dict[str, Any]) -> FilePosterior:
    names = tuple(str(name) for name in found["factors"])
    table = np.array([found["factors"][name] for name in names] or np.ones((0, len(LEVELS))), dtype=np.float64)
    if table.shape != (len(names), len(LEVELS)):
        raise ValueError(f"expected {len(LEVELS)} quantiles of each factor, found {table.shape}")
    if not (np.isfinite(table).all() and (np.diff(table, axis=1) >= 0).all() and (table > 0).all()):
        raise ValueError("expected quantiles that rise, above 0")
    refitted = str(found["refitted"])
    decode(refitted)
    table = np.clip(table, 1 / MOST, MOST)
    by = {key: str(found[key]) for key in ("id", "plant", "params")}
    return FilePosterior(by["id"], by["plant"], by["params"], int(found["until"]), names, table, refitted)


def _fits(path: Path, made: FilePosterior, compiled: Compiled) -> None:
    """Is it of this plant, as its file is now?"""
    plant = compiled.plant
    if made.plant != plant.id:
        raise PosteriorError(f"{path}: posterior {made.id} is of plant {made.plant}, expected one of plant {plant.id}")
    if made.params != compiled.hash:
        raise PosteriorError(
            f"{path}: posterior {made.id} is stale: it is of {plant.id} with the parameters {made.params[:12]}, the "
            f"plant file has {compiled.hash[:12]} now; calibrate again (a running twin: restart it with the new file)"
        )
    for name in made.names:
        kind, _, thing = name.partition("/")
        if kind not in FIELDS or thing not in {x.id for x in getattr(plant, FIELDS[kind][1])}:
            raise PosteriorError(f"{path}: posterior {made.id} has a factor {name}, which plant {plant.id} has not")
