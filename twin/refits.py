"""Refits: proposed when the evidence is strong, in effect when a person has approved, never silently.

A proposal names the parameter, what the plant file has and what was seen, the score of the newer half of the readings
before and after, and what it would change of the next hours. All of it is in the evidence log. An approval goes to
ingest as a `manual` row (property "refit"); it takes effect when the tracker reads that row, so a replay of the journal
alone gives the same posterior. A refit in force is undone by a later one, or withdrawn (a row of the same kind).

Factors are drawn in each row; setup times, shares of scrap and shapes take effect through `twin.inforce`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from sim.compile import Compiled
from sim.plant import Dist, Plant
from twin.believe import Array, base_of, draw_scales, fixed, groups, in_force, posterior
from twin.calibrate import Row, group_table, table
from twin.decisions import Refused
from twin.estimate import rows_with, running
from twin.fit import MOST
from twin.forecast import simulate
from twin.inforce import SHAPE, as_json, names_in_force, shaped
from twin.log import Entry, EvidenceLog
from twin.model import Refit, TwinState
from twin.parameters import FIELDS, Parameter, parameters
from twin.shape import Shape, other_shape
from twin.texts import dist_text, duration_text

NEWS = 0.05
"""A proposal is made anew when what is seen has moved by this (log) from the one that is open or was rejected."""
EVERY_MS = 1_800_000
"""Plant ms between two looks at the table."""
DECISIONS = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"}
"""What may be decided, and what a proposal becomes by it."""
MOST_TEXT = 4000
"""Letters that ingest keeps of a manual row's text."""
EFFECT_REPLICAS = 64
EFFECT_S = 8 * 3600


@dataclass
class Refits:
    """The proposals of one twin, kept in its log."""

    log: EvidenceLog
    site: str = ""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    looked: int = 0

    @classmethod
    def replay(cls, log: EvidenceLog) -> Refits:
        """As the log says: the newest row of each id."""
        found = cls(log)
        for row in log.of_type("refit"):
            found.rows[row["body"]["id"]] = row["body"]
        return found

    def newest_first(self) -> list[dict[str, Any]]:
        return list(self.rows.values())[::-1]

    def told(self, plant: Plant, state: TwinState) -> list[dict[str, Any]]:
        """All of them, the newest first; `in_force`: is it what forecasts rest on now?"""
        standing = names_in_force(plant, state.refits)
        return [r | {"in_force": r["status"] == "approved" and r["name"] in standing} for r in self.newest_first()]

    def due(self, state: TwinState) -> bool:
        """Is it time to look at the table again?"""
        return state.learned.t > 0 and not 0 <= state.learned.t - self.looked < EVERY_MS

    def look(self, compiled: Compiled, state: TwinState) -> list[dict[str, Any]]:
        """What should be proposed now (nothing is written): the bodies of new proposals. Slow; needs no lock."""
        found = []
        for row in group_table(compiled.plant, state.learned, state.refits):
            if row.verdict == "differs" and not self._known(row.name, row.seen):
                found.append(proposal(compiled, state, row))
        now = {p.name: p for p in parameters(shaped(compiled.plant, state.refits))}  # with the shapes in force
        centres = groups(compiled.plant)
        for row in table(compiled.plant, state.learned, state.refits):
            refit = in_force(centres[now[row.name].group], state.refits)
            shape = other_shape(state.learned, now[row.name], row, refit)
            if shape is not None and not self._known(SHAPE + row.name, row.cv_seen):
                found.append(shape_proposal(compiled, state, row, shape))
        return found

    def _known(self, name: str, seen: float) -> bool:
        kept = ("proposed", "rejected", "withdrawn")
        same = [r for r in self.rows.values() if r["name"] == name and r["status"] in kept]
        return any(abs(math.log(max(seen, 1e-9) / max(r["seen"], 1e-9))) < NEWS for r in same[-1:])

    def propose(self, bodies: list[dict[str, Any]], state: TwinState, pos: int) -> None:
        """Write new proposals; an open one of the same parameter gives way."""
        self.looked = state.learned.t
        for body in bodies:
            for old in [r for r in self.rows.values() if r["name"] == body["name"] and r["status"] == "proposed"]:
                self._write(old | {"status": "superseded"}, state.t, pos, "service:twin")
            number = f"c-{len(self.rows) + 1}"
            self._write({"id": number, "status": "proposed", **body}, state.t, pos, "service:twin")

    def _write(self, body: dict[str, Any], t: int, pos: int, actor: str) -> dict[str, Any]:
        self.log.append(Entry(t=t, type="refit", actor=actor, body=body, journal=pos, posterior=body["posterior"]))
        self.rows[body["id"]] = body
        return body

    def open(self, request: dict[str, Any], plant: Plant | None = None) -> dict[str, Any]:
        """The proposal a decision is about; raises Refused with what was expected. `plant`: the one that runs."""
        texts = [request.get(k) for k in ("id", "decision", "role", "reason")]
        if not all(isinstance(v, str) and 0 < len(v) <= 1000 for v in texts) or len(str(texts[2])) > 128:
            raise Refused("a refit's decision needs id, decision (approve or reject), role and reason, each a text")
        if texts[1] not in DECISIONS:
            raise Refused(f"decision must be approve or reject, or withdraw of one in force; found {texts[1]!r}")
        row = self.rows.get(str(texts[0]))
        if row is None:
            raise Refused(f"there is no refit {texts[0]!r}; GET /refits lists them")
        expected = "approved" if texts[1] == "withdraw" else "proposed"
        if row["status"] != expected:
            already = "already" if expected == "proposed" else "and not in force: there is nothing to withdraw"
            raise Refused(f"refit {row['id']} is {row['status']} {already}")
        why = why_not(plant, row) if plant is not None and texts[1] == "approve" else ""
        if why:
            raise Refused(f"refit {row['id']} cannot take effect: {why}")
        return row

    def decide(self, row: dict[str, Any], request: dict[str, Any], t: int, pos: int) -> dict[str, Any]:
        """Write down what was decided; of an approval or withdrawal the journal holds the row already."""
        status = DECISIONS[request["decision"]]
        if status == "approved":
            for old in [r for r in self.rows.values() if r["name"] == row["name"] and r["status"] == "approved"]:
                self._write(old | {"status": "superseded"}, t, pos, f"role:{request['role']}")
        decided = {"status": status, "role": request["role"], "reason": request["reason"], "decided": t}
        return self._write(row | decided, t, pos, f"role:{request['role']}")


def why_not(plant: Plant, row: dict[str, Any]) -> str:
    """Why a proposal must not be put in force, in a sentence; "" where it may."""
    name, score = row["name"], row["score"]
    members = groups(plant).get(name) or [p for p in parameters(plant) if SHAPE + p.name == name]
    if not members:
        return f"the plant file has no {row['title']} (any more); it was proposed for another plant file"
    if abs(row["of"] / base_of(members) - 1) > 1e-6 or row.get("was", _was(members[0])) != _was(members[0]):
        return "it was proposed on another value of the plant file; the next look (every half hour) proposes anew"
    if score is None or not score["after"] < score["before"]:
        return "the newer half of what was seen would be forecast no better with it"
    if name.startswith(SHAPE):
        return "" if row.get("dist") else "it does not say which shape; reject it, and the next look proposes it anew"
    low, high = (0.0, 1.0) if name.startswith("yield/") else (1 / MOST, MOST)
    if not low < row["factor"] < high:
        what = "a share of scrap lies between 0 and 1" if low == 0 else f"a factor lies between 1/{MOST:g} and {MOST:g}"
        return f"{what}, found {row['factor']:g}; correct the plant file instead"
    return ""


def _was(parameter: Parameter) -> Any:
    return as_json(parameter.dist) if parameter.dist is not None else None


def manual_row(row: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The body of ingest's `/manual` for an approved or withdrawn refit."""
    said = {"id": row["id"], "of": row["of"], "says": row["says"]}
    if request["decision"] == "withdraw":
        said["withdrawn"] = True
    else:
        said |= {k: row[k] for k in ("was", "dist") if row.get(k)}
    said["reason"] = request["reason"]
    text = json.dumps(said, ensure_ascii=False)
    if len(text) > MOST_TEXT:  # a cut text would be none: the refit would be in the journal and not in force
        text = json.dumps(said | {"reason": request["reason"][:100]}, ensure_ascii=False)
    manual = {"thing": row["name"], "property": "refit", "value": row["factor"], "sd": row["sd"]}
    return manual | {"role": request["role"], "text": text}


def proposal(compiled: Compiled, state: TwinState, row: Row) -> dict[str, Any]:
    """The body of a proposal. `factor` on the plant file's value `of` (of a share of scrap the share itself), `sd` its
    log standard deviation.
    """
    kind = row.name.partition("/")[0]
    members = groups(compiled.plant)[row.name]
    refit = in_force(members, state.refits)
    factor = (refit.value if refit else 1.0) * row.seen / row.file if kind != "yield" else row.seen
    sd = math.log(row.seen_hi / max(row.seen_lo, 1e-12)) / (2 * 1.645)
    body: dict[str, Any] = {"factor": round(factor, 5), "sd": round(sd, 5), "of": base_of(members), "seen": row.seen}
    body |= {"says": sentence(row, "seen"), "words": words(row, row.score), "text": row.refit}
    if kind in FIELDS:
        body["effect"] = effect(compiled, state, row.name, row.seen / row.file)
    else:
        body["effect"] = effect_of(compiled, state, row.name, _as_if(body))
    return _body(compiled, state, row, body) | {"score": scores(row.score)}


def shape_proposal(compiled: Compiled, state: TwinState, row: Row, shape: Shape) -> dict[str, Any]:
    """The body of a proposal of another shape at the same mean: `dist` [kind, [arguments in ticks]] instead of `was`,
    `factor` its coefficient of variation.
    """
    parameter = next(p for p in parameters(compiled.plant) if p.name == row.name)
    assert parameter.dist is not None, "a share has no shape"
    dist, score = shape
    tick_ms = compiled.tick_ms
    body: dict[str, Any] = {"factor": round(row.cv_seen, 5), "sd": 0.0, "of": parameter.size, "seen": row.cv_seen}
    body |= {"was": as_json(parameter.dist), "dist": as_json(dist), "text": dist_text(dist, tick_ms)}
    spread = f"varies by {_percent(row.cv_file)} of its mean in the file, seen {_percent(row.cv_seen)}"
    body["says"] = f"shape of {row.title}: {spread} (n = {row.n:.0f})"
    told = "a table of 40 values" if dist.kind == "empirical" else _short(dist, tick_ms)
    body["words"] = f"{row.title}: {_short(parameter.dist, tick_ms)} -> {told}{_better(row, score)}"
    body["effect"] = effect_of(compiled, state, SHAPE + row.name, _as_if(body))
    return _body(compiled, state, row, body) | {"name": SHAPE + row.name, "score": scores(score)}


def _body(compiled: Compiled, state: TwinState, row: Row, more: dict[str, Any]) -> dict[str, Any]:
    seen = {"n": row.n, "censored": row.cut, "left_out": row.left_out, "takes_effect": True, "how": ""}
    about = {"name": row.name, "title": row.title, "made": state.t, "posterior": posterior(compiled, state).id}
    return about | more | seen


def scores(score: tuple[float, float] | None) -> dict[str, float] | None:
    """The scores before and after as the API tells them."""
    return {"before": round(score[0], 5), "after": round(score[1], 5)} if score else None


def _as_if(body: dict[str, Any]) -> Refit:
    """The refit that an approval of a proposal would put in force."""
    text = json.dumps({k: body[k] for k in ("of", "was", "dist") if k in body})
    return Refit(value=body["factor"], sd=body["sd"], t=0, role="", text=text)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _short(dist: Dist, tick_ms: float) -> str:
    text = dist_text(dist, tick_ms)
    return text if len(text) < 60 else f"{dist.kind} of {len(dist.args)} values"


def words(row: Row, score: tuple[float, float] | None) -> str:
    """Such as: setup of paint: 12 min -> 9 min (8 to 10), its next ones are forecast 14 % better."""
    file, mid, lo, hi, unit = _numbers(row)
    return f"{row.title}: {file}{unit} -> {mid}{unit} ({lo} to {hi}){_better(row, score)}"


def _better(row: Row, score: tuple[float, float] | None) -> str:
    """How much better the newer half is forecast; log scores (failures, counts) have no zero to take a share of."""
    kind = row.name.partition("/")[0]
    if score is None or kind in ("fail", "demand", "arrival", "yield") or not score[0] > 0:
        return ", its next ones are forecast better" if score is not None and score[1] < score[0] else ""
    return f", its next ones are forecast {100 * (1 - score[1] / score[0]):.0f} % better"


def _numbers(row: Row) -> tuple[str, str, str, str, str]:
    """(file, seen, its interval's ends, unit with a space before it), all in one unit."""
    if row.unit == "s":
        number, unit = duration_text(row.seen).split(" ")
        size, unit = row.seen / float(number), f" {unit}"
    else:
        size, unit = (0.01, " %") if not row.unit else (1.0, "")
    file, mid, lo, hi = (f"{v / size:.3g}" for v in (row.file, row.seen, row.seen_lo, row.seen_hi))
    return file, mid, lo, hi, unit


def sentence(row: Row, what: str) -> str:
    """Such as: repair of paint: file 30 min, seen 61 min (52 to 72, n = 40)."""
    file, mid, lo, hi, unit = _numbers(row)
    return f"{row.title}: file {file}{unit}, {what} {mid}{unit} ({lo} to {hi}, n = {row.n:.0f})"


def effect(compiled: Compiled, state: TwinState, name: str, ratio: float) -> dict[str, list[float]]:
    """What the next eight hours promise with the parameter as it is in force and as seen: mean and 5 % quantile of
    output, mean backlog; the other parameters drawn alike.
    """
    kind, thing = name.split("/")[:2]
    field_name, things = FIELDS[kind]
    column = [x.id for x in getattr(compiled.plant, things)].index(thing)
    centre = posterior(compiled, state).groups[name][0]
    found = []
    for factor in (centre, centre * ratio):
        scales = draw_scales(compiled, posterior(compiled, state), 5, EFFECT_REPLICAS)
        scales[field_name][:, column] = fixed(np.array(factor))
        found.append(_promise(compiled, state, scales))
    return {key: [one[key] for one in found] for key in found[0]}


def effect_of(compiled: Compiled, state: TwinState, name: str, refit: Refit) -> dict[str, list[float]]:
    """The same for a refit that stands in the kernel's tables: with what is in force, and with `refit` as well."""
    scales = draw_scales(compiled, posterior(compiled, state), 5, EFFECT_REPLICAS)
    then = msgspec.structs.replace(state, refits=state.refits | {name: refit})
    found = [_promise(compiled, one, scales) for one in (state, then)]
    return {key: [one[key] for one in found] for key in found[0]}


def _promise(compiled: Compiled, state: TwinState, scales: dict[str, Array]) -> dict[str, float]:
    rows = rows_with(compiled, state, 5, EFFECT_REPLICAS, scales)
    sampled = simulate(running(compiled, state.refits), rows, state.t, EFFECT_S)
    output = sampled.series["output"][-1]
    return {
        "output": round(float(output.mean()), 2),
        "output_5": round(float(np.quantile(output, 0.05)), 2),
        "backlog": round(float(sampled.series["backlog"][-1].mean()), 2),
    }
