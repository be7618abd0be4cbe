"""Does the present state lie within what the policy in force has learned from? Said beside every recommendation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.bundles.familiar import OUTSIDE, Familiar, nearer
from agents.envs.fields import fields

if TYPE_CHECKING:
    from agents.advice.compare import Question


def in_distribution(q: Question) -> dict[str, Any]:
    """Where the present state lies among those that the policy learned from: `value` is its percentile (the middle of
    the twin's presents), `ok` up to `agents.bundles.familiar.OUTSIDE`. For bundles that only say ranges: how much of
    what is observed lies inside them, `ok` from 95 % on.
    """
    if q.policy is None:
        return {"note": "no policy in force"}
    familiar, observer = q.policy.bundle.familiar, q.policy.observer
    observation = observer(q.rows)
    if familiar is not None:
        return _among(q, familiar, observation)
    low, high = q.policy.bundle.ranges
    slack = 0.02 + 0.05 * (high - low)
    inside = (observation >= low - slack) & (observation <= high + slack)
    score = float(inside.mean())
    worst = int(inside.mean(axis=0).argmin())
    note = f"{100 * score:.0f} % of what it looks at lies within the bounds of its training"
    if inside[:, worst].mean() < 0.5:
        note += f"; furthest outside: {_field(q, observer.fields[worst])}"
    return {"ok": score >= 0.95, "note": f"{'yes' if score >= 0.95 else 'no'}: {note}", "value": round(score, 4)}


def _among(q: Question, familiar: Familiar, observation: NDArray[np.float32]) -> dict[str, Any]:
    """The percentile of observations [N, D] among those of training, in words too."""
    assert q.policy is not None
    middle = round(float(np.median(familiar.percentile(observation))), 2)
    if middle <= OUTSIDE:
        note = f"yes: further from the usual than {nearer(middle)} of the states of its training"
        return {"ok": True, "note": note, "value": middle}
    furthest = q.policy.observer.fields[int(familiar.parts(observation).mean(axis=0).argmax())]
    note = f"no: further from the usual than {nearer(middle)} of the states of its training, most of all in what is "
    return {"ok": False, "note": note + _field(q, furthest), "value": middle, "furthest": furthest}


def _field(q: Question, name: str) -> str:
    """An observed number in words, with its name."""
    known = {field.name: field.meaning for field in fields(q.compiled)}
    return f"{known[name]} ({name})" if name in known else name


def unfamiliar(score: dict[str, Any], how: str = "") -> list[str]:
    """What a state outside what the policy has seen means for who reads the advice; nothing for one inside. `how`: in
    place of how far outside it is.
    """
    if score.get("ok", True):
        return []
    how = how or str(score["note"]).removeprefix("no: ")
    what = f"note: the state lies outside what the policy has seen ({how}), so what it proposes here is a guess"
    return [f"{what}; gains and chances are the twin's own simulation and do not depend on it"]
