"""Refits: proposed when the evidence is strong, in effect when a person has approved, never silently.

A proposal names the parameter, what the plant file has and what was seen, the score of the newer half of the readings
before and after, and what it would change of the next hours. All of it is in the evidence log. An approval goes to
ingest as a `manual` row (property "refit"); it takes effect when the tracker reads that row, so a replay of the journal
alone gives the same posterior.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.compile import Compiled
from twin.believe import base_of, draw_scales, fixed, groups, in_force, posterior
from twin.calibrate import Row, group_table
from twin.decisions import Refused
from twin.estimate import rows_with
from twin.forecast import simulate
from twin.log import Entry, EvidenceLog
from twin.model import TwinState
from twin.parameters import FIELDS
from twin.texts import duration_text

NEWS = 0.05
"""A proposal is made anew when what is seen has moved by this (log) from the one that is open or was rejected."""
EVERY_MS = 1_800_000
"""Plant ms between two looks at the table."""
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

    def due(self, state: TwinState) -> bool:
        """Is it time to look at the table again?"""
        return state.learned.t > 0 and not 0 <= state.learned.t - self.looked < EVERY_MS

    def look(self, compiled: Compiled, state: TwinState) -> list[dict[str, Any]]:
        """What should be proposed now (nothing is written): the bodies of new proposals. Slow; needs no lock."""
        found = []
        for row in group_table(compiled.plant, state.learned, state.refits):
            if row.verdict == "differs" and not self._known(row):
                found.append(proposal(compiled, state, row))
        return found

    def _known(self, row: Row) -> bool:
        same = [r for r in self.rows.values() if r["name"] == row.name and r["status"] in ("proposed", "rejected")]
        return any(abs(math.log(row.seen / r["seen"])) < NEWS for r in same[-1:])

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

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """The proposal a decision is about; raises Refused with what was expected."""
        texts = [request.get(k) for k in ("id", "decision", "role", "reason")]
        if not all(isinstance(v, str) and 0 < len(v) <= 1000 for v in texts) or len(str(texts[2])) > 128:
            raise Refused("a refit's decision needs id, decision (approve or reject), role and reason, each a text")
        if texts[1] not in ("approve", "reject"):
            raise Refused(f"decision must be approve or reject, found {texts[1]!r}")
        row = self.rows.get(str(texts[0]))
        if row is None:
            raise Refused(f"there is no refit {texts[0]!r}; GET /refits lists them")
        if row["status"] != "proposed":
            raise Refused(f"refit {row['id']} is {row['status']} already")
        if texts[1] == "approve" and not row["takes_effect"]:
            raise Refused(f"{row['title']} has no factor in the running model: {row['how']}")
        return row

    def decide(self, row: dict[str, Any], request: dict[str, Any], t: int, pos: int) -> dict[str, Any]:
        """Write down what was decided; of an approval the journal holds the row already."""
        status = "approved" if request["decision"] == "approve" else "rejected"
        decided = {"status": status, "role": request["role"], "reason": request["reason"], "decided": t}
        return self._write(row | decided, t, pos, f"role:{request['role']}")


def manual_row(row: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The body of ingest's `/manual` for an approved refit."""
    text = json.dumps({"id": row["id"], "of": row["of"], "reason": request["reason"], "says": row["says"]})
    manual = {"thing": row["name"], "property": "refit", "value": row["factor"], "sd": row["sd"]}
    return manual | {"role": request["role"], "text": text[:4000]}


def proposal(compiled: Compiled, state: TwinState, row: Row) -> dict[str, Any]:
    """The body of a proposal. `factor` on the plant file's value `of`, `sd` its log standard deviation."""
    kind = row.name.partition("/")[0]
    members = groups(compiled.plant)[row.name]
    refit = in_force(members, state.refits)
    factor = (refit.value if refit else 1.0) * row.seen / row.file if kind != "yield" else row.seen
    sd = math.log(row.seen_hi / max(row.seen_lo, 1e-12)) / (2 * 1.645)
    has = kind in FIELDS
    return {
        "name": row.name,
        "title": row.title,
        "made": state.t,
        "says": sentence(row, "seen"),
        "seen": row.seen,
        "factor": round(factor, 5),
        "sd": round(sd, 5),
        "of": base_of(members),
        "n": row.n,
        "censored": row.cut,
        "left_out": row.left_out,
        "text": row.refit,
        "score": {"before": round(row.score[0], 5), "after": round(row.score[1], 5)} if row.score else None,
        "effect": effect(compiled, state, row.name, row.seen / row.file) if has else None,
        "takes_effect": has,
        "how": "" if has else "write it into the plant file (plantwin calibrate --out) and restart the twin with it",
        "posterior": posterior(compiled, state).id,
    }


def sentence(row: Row, what: str) -> str:
    """Such as: repair of paint: file 30 min, seen 61 min (52 to 72, n = 40)."""
    if row.unit == "s":
        number, unit = duration_text(row.seen).split(" ")
        size, unit = row.seen / float(number), f" {unit}"
    else:
        size, unit = (0.01, " %") if not row.unit else (1.0, "")
    file, mid, lo, hi = (f"{v / size:.3g}" for v in (row.file, row.seen, row.seen_lo, row.seen_hi))
    return f"{row.title}: file {file}{unit}, {what} {mid}{unit} ({lo} to {hi}, n = {row.n:.0f})"


def effect(compiled: Compiled, state: TwinState, name: str, ratio: float) -> dict[str, list[float]]:
    """What the next eight hours promise with the parameter as it is in force and as seen: mean and 5 % quantile of
    output, mean backlog; the other parameters drawn alike.
    """
    kind, thing = name.split("/")[:2]
    field_name, things = FIELDS[kind]
    column = [x.id for x in getattr(compiled.plant, things)].index(thing)
    centre = posterior(compiled, state).groups[name][0]
    found: dict[str, list[float]] = {"output": [], "output_5": [], "backlog": []}
    for factor in (centre, centre * ratio):
        scales = draw_scales(compiled, posterior(compiled, state), 5, EFFECT_REPLICAS)
        scales[field_name][:, column] = fixed(np.array(factor))
        sampled = simulate(compiled, rows_with(compiled, state, 5, EFFECT_REPLICAS, scales), state.t, EFFECT_S)
        output = sampled.series["output"][-1]
        found["output"].append(round(float(output.mean()), 2))
        found["output_5"].append(round(float(np.quantile(output, 0.05)), 2))
        found["backlog"].append(round(float(sampled.series["backlog"][-1].mean()), 2))
    return found
