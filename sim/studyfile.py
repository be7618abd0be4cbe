"""An experiment written down: a YAML file with the same things the options of `plantwin experiment` say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.plantfile import PlantError
from sim.study import METHODS, Goal
from sim.units import number, whole
from sim.yamlfile import Fields, Item, Problems, WrongKindError, convert, one_of, read_tree

DESIGNS = ("factorial", "oat", "lhs", "screening", "screening-folded")
KEYS = (
    *("plant", "factors", "scenarios", "design", "points", "outputs", "until", "warmup", "replications", "seed"),
    *("engine", "baseline", "level", "simultaneous", "method", "batches", "select"),
)


def read_study(path: Path) -> dict[str, Any]:
    """The fields of `study.Spec` that the file gives. Raises `PlantError` with every problem."""
    problems = Problems(path.name)
    top = read_tree(path, problems)
    if top is None:
        raise PlantError(problems.lines())
    f = Fields(top, KEYS)
    found = {
        "plant": f.take("plant", str, None),
        "settings": {k: _values(v) for k, v in f.mapping("factors").items()},
        "named": {name: _texts(item) for name, item in f.mapping("scenarios").items()},
        "design": f.take("design", one_of(*DESIGNS), None),
        "points": f.take("points", lambda t: whole(t, 2), None),
        "outputs": tuple(convert(e, str, "") for e in f.sequence("outputs")),
        "until": f.take("until", str, None),
        "warmup": f.take("warmup", str, None),
        "replications": f.take("replications", lambda t: whole(t, 2), None),
        "seed": f.take("seed", lambda t: whole(t, 0), None),
        "engine": f.take("engine", one_of("kernel", "simpy"), None),
        "baseline": f.take("baseline", str, None),
        "level": f.take("level", number, None),
        "simultaneous": f.take("simultaneous", _yes, None),
        "method": f.take("method", one_of(*METHODS), None),
        "batches": f.take("batches", lambda t: whole(t, 20), None),
        "goal": _goal(f),
    }
    if problems.errors:
        raise PlantError(problems.lines())
    return {key: value for key, value in found.items() if value not in (None, {}, ())}


def _yes(text: str) -> bool:
    return one_of("true", "false")(text) == "true"


def _values(item: Item) -> str:
    """A factor's values: a text in the form of `--set`, or a list of values."""
    try:
        return ",".join(e.text() for e in item.elements()) if item.is_list else item.text()
    except WrongKindError as error:
        item.problems.error(item.line, str(error))
        return ""


def _texts(item: Item) -> dict[str, str]:
    try:
        return {path: convert(value, str, "") for path, value in item.entries().items()}
    except WrongKindError as error:
        item.problems.error(item.line, str(error))
        return {}


def _goal(fields: Fields) -> Goal | None:
    if not fields.has("select"):
        return None
    f = Fields(fields.entries["select"], ("maximise", "minimise", "delta", "most"))
    if f.has("maximise") == f.has("minimise"):
        fields.entries["select"].fail("either 'maximise' or 'minimise'", "write the figure after one of them")
    word = "maximise" if f.has("maximise") else "minimise"
    figure = f.take(word, str, "")
    return Goal(
        figure, word == "maximise", f.need("delta", number, 1.0, "0.5"), f.take("most", lambda t: whole(t, 2), 1000)
    )
