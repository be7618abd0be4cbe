"""Which controls a recommendation holds now, from the twin's list: what is on its way, and leases that run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sim.plant import Plant
from twin.joint import SET, moves_of

ON_ITS_WAY = ("accepted", "sent")
LEASED = ("confirmed", "evaluated")


@dataclass(frozen=True, slots=True)
class Lease:
    """A control that was moved at plant ms `since` holds `value` until plant ms `ends`, then goes back to `before`."""

    value: int
    before: int
    since: int
    ends: int


def leases_of(known: Iterable[dict[str, Any]]) -> dict[str, Lease]:
    """The last lease of each control in a list of recommendations, running or not. One that took the place of another
    leads back to where that would have led, as at the gateway.
    """
    found: dict[str, Lease] = {}
    steps = [step for rec in known for step in _carried_out(rec)]
    for move, since, ends in sorted(steps, key=lambda step: step[1]):
        last = found.get(move["control"])
        took_over = last is not None and since < last.ends and last.value == move["from"]
        before = last.before if last is not None and took_over else int(move["from"])
        found[move["control"]] = Lease(int(move["to"]), before, since, ends)
    return found


def _carried_out(rec: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The moves of a recommendation that were carried out, each with the plant ms of that and of its lease's end; of
    one that failed, those that were set before and stand.
    """
    if rec["status"] in LEASED:
        since, signed = _since(rec), rec.get("commands") or {}
        for move in moves_of(rec):
            # the command says it: a lease lasts two minutes of wall time at least, which may be more than was asked for
            lease_s = signed.get(move["control"], rec).get("lease_s") or 0.0
            yield move, since, since + round(1000.0 * float(lease_s))
    elif rec["status"] == "failed":
        became = rec.get("progress") or {}
        set_ = [(move, became.get(move["control"], {})) for move in moves_of(rec)]
        yield from ((move, int(one["t"]), int(one["until"])) for move, one in set_ if one.get("state") == SET)


def _since(rec: dict[str, Any]) -> int:
    """When it was carried out, plant ms."""
    confirmed = rec.get("confirmed")
    return int(rec.get("created") or 0) if confirmed is None else int(confirmed)


def beside(known: Iterable[dict[str, Any]], rec: dict[str, Any], t: int) -> list[str]:
    """The other recommendations that were carried out, wholly or in part, from the acceptance of `rec` to plant ms `t`:
    what is measured then is what all of them did.
    """
    begun = int(rec["accepted"].get("t", 0))
    others = [other for other in known if other["id"] != rec["id"]]
    return sorted(o["id"] for o in others if any(begun <= since < t for _, since, _ in _carried_out(o)))


def held(
    known: list[dict[str, Any]], plant: Plant, t: int, present: Mapping[str, int]
) -> tuple[set[str], dict[str, Lease]]:
    """At plant ms `t`: controls that may not move (a command is on its way, or they were moved less than their `every`
    ago), and the leases that run. A control that shows another value than its lease was changed at the machine, which
    ends the lease.
    """
    locked = {move["control"] for rec in known if rec["status"] in ON_ITS_WAY for move in moves_of(rec)}
    last = leases_of(known)
    every = {c.id: c.every * plant.tick_s * 1000.0 for c in plant.controls}
    locked |= {control for control, lease in last.items() if t < lease.since + every.get(control, 0.0)}
    return locked, {c: lease for c, lease in last.items() if t < lease.ends and present.get(c) == lease.value}
