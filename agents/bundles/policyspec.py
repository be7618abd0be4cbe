"""What policy.json must hold, checked before anything of it is used."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from agents.bundles.familiar import LEVELS
from agents.errors import BundleError, SchemaError

if TYPE_CHECKING:
    from sim.compile import Compiled

FORMAT, OVER = 1, 2
"""Of policy.json, and of one with a rule inside, which who knows the first alone cannot follow."""
LARGEST = 3.4e38
"""Of float32, in which observations are scaled; not a number is not below it either."""
LONGEST_S = 366 * 86_400.0
Count = Annotated[int, Meta(ge=1, le=100_000)]
Floats = Annotated[list[float], Meta(max_length=100_000)]


class Control(Struct):
    id: str
    low: int
    high: int
    step: int
    count: Count


class Action(Struct):
    hash: str
    controls: Annotated[list[Control], Meta(min_length=1, max_length=1000)]


class Scaling(Struct):
    scale: Floats
    shift: Floats


class Familiar(Struct):
    """See `agents.bundles.familiar.Familiar`."""

    mean: Floats
    scale: Floats
    vectors: Annotated[list[Floats], Meta(min_length=1, max_length=1000)]
    values: Floats
    rest: float
    quantiles: Floats
    count: Annotated[int, Meta(ge=1)]


class Observation(Struct):
    fields: Annotated[list[str], Meta(min_length=1, max_length=100_000)]
    hash: str
    scaling: Scaling
    seen: tuple[Floats, Floats]
    familiar: Familiar | None = None


class Architecture(Struct):
    kind: Literal["mlp"]
    activation: Literal["tanh"]
    widths: Annotated[list[Count], Meta(min_length=1, max_length=32)]


class PolicySpec(Struct):
    """policy.json; what else a later version writes into it is left to that version."""

    plant: str
    epoch_s: Annotated[float, Meta(gt=0)]
    architecture: Architecture
    observation: Observation
    action: Action
    decide: Literal["interval", "events"] = "interval"
    decode: Literal["mode", "median"] = "mode"
    decide_on: Annotated[list[str], Meta(max_length=100)] | None = None
    rule: dict[str, Any] | None = None


def check_spec(path: Path, value: dict[str, Any]) -> PolicySpec:
    """The typed content of policy.json; `BundleError` names the file, the place in it, what was expected and found."""
    if value.get("format") not in {FORMAT, OVER}:
        raise BundleError(
            f"{path}: expected format {FORMAT} or {OVER}, found {value.get('format')!r:.40}; update plantwin or train "
            f"again"
        )
    try:
        spec = msgspec.convert(value, PolicySpec)
    except msgspec.ValidationError as e:
        raise BundleError(f"{path}: {e}; take the bundle afresh") from e
    seen, scaling, size = spec.observation.seen, spec.observation.scaling, len(spec.observation.fields)
    if not len(seen[0]) == len(seen[1]) == size:
        raise BundleError(
            f"{path}: expected a range for each of {size} fields, found {len(seen[0])} and {len(seen[1])}"
        )
    if len(scaling.scale) != len(scaling.shift) or len(scaling.scale) > size:
        raise BundleError(
            f"{path}: expected as many scales as shifts, at most {size}, found {len(scaling.scale)} and "
            f"{len(scaling.shift)}"
        )
    numbers = (spec.epoch_s, *seen[0], *seen[1], *scaling.scale, *scaling.shift)
    if not all(abs(x) <= LARGEST for x in numbers):
        raise BundleError(f"{path}: expected finite numbers of float32, found others; take the bundle afresh")
    if spec.observation.familiar is not None:
        _check_familiar(path, spec.observation.familiar, size)
    return spec


def _check_familiar(path: Path, found: Familiar, size: int) -> None:
    """What is said about the observations of training must be of these fields, finite, and spreads above 0."""
    rows, levels = len(found.vectors), len(LEVELS)
    lengths = (len(found.mean), len(found.scale), *map(len, found.vectors), len(found.values), len(found.quantiles))
    if lengths != (size, size, *(size for _ in found.vectors), rows, levels):
        raise BundleError(
            f"{path}: observation.familiar: expected {size} means and scales, {rows} vectors of {size} numbers, {rows} "
            f"values and {levels} quantiles, found others; take the bundle afresh"
        )
    spreads = (*found.scale, *found.values, found.rest)
    rising = all(a < b for a, b in pairwise(found.quantiles))
    numbers = (*found.mean, *spreads, *found.quantiles, *(x for v in found.vectors for x in v))
    if not all(abs(x) <= LARGEST for x in numbers) or not all(x > 0.0 for x in spreads) or not rising:
        raise BundleError(
            f"{path}: observation.familiar: expected finite numbers, spreads above 0 and quantiles that rise, found "
            f"others; take the bundle afresh"
        )


def check_shapes(path: Path, spec: PolicySpec, widths: list[int], inputs: int) -> None:
    """Whether the tensors are those of the architecture: layer widths, and one input for each field."""
    if widths != spec.architecture.widths:
        raise BundleError(
            f"{path}: expected layers of {spec.architecture.widths} as policy.json says, found {widths}; the file is "
            f"malformed"
        )
    if inputs != len(spec.observation.fields):
        raise BundleError(
            f"{path}: expected {len(spec.observation.fields)} inputs, one for each field in policy.json, found "
            f"{inputs}; the file is malformed"
        )


def check_interval(where: str, epoch_s: float, compiled: Compiled) -> None:
    """Whether a plant can be run in intervals of `epoch_s` seconds: a tick of it at least (an interval that rounds to
    none would never end), a year at most. `SchemaError` otherwise.
    """
    tick_s = compiled.plant.tick_s
    if not tick_s <= epoch_s <= LONGEST_S:
        raise SchemaError(
            f"{where}: expected decisions every {tick_s:g} s (a tick of this plant) to {LONGEST_S:g} s (a year), found "
            f"{epoch_s!r:.40} s"
        )
