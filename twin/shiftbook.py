"""The forecasts of shifts of the running twin: made at the change of shift, kept, scored, and learned from.

When the journal's clock passes the beginning of a shift the state is kept; the forecast is made from it in the
background. When the shift is over and nothing late can move it any more, its good parts are what the twin has counted,
or what a person has booked. Forecasts that have ended correct the next one (`twin/experience.py`). At the end of the
first week of listening, in which little was known, and after a new plant file of the same stations (other hours), those
forecasts are made again from the kept states with what is known then, so that the correction is of the model as it is.
Not oftener: a plant that has changed since would be blamed on the model of today.

All of it follows from the journal and the evidence log (rows `shift`, the newest of a shift holds; states as blobs).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ingest.wire import Row
from sim.compile import Compiled
from sim.traits import end_products
from twin.experience import Experience
from twin.log import Entry, EvidenceLog
from twin.model import TwinState, done
from twin.scores import crps
from twin.shiftcast import Said, again, good_by, pack, said
from twin.shifts import Shift, Shifts
from twin.tracker import SETTLE_MS, WINDOW_MS, Tracker

SETTLED_MS = WINDOW_MS + SETTLE_MS
"""So long after a moment nothing late moves what was believed then."""
GRACE_MS = 300_000
"""A beginning that is noticed later than this (the twin heard nothing) gives no forecast."""
FIRST_MS = 86_400_000
"""Forecasts of shifts that begin within the first day of listening count for nothing: what stands in the line is still
made up then."""
WEEK_MS = 7 * 86_400_000
BOOKED_MS = 1_800_000
"""A booking made up to this long before the end of a shift belongs to it already."""
BOOKS = b"production_performance"
KEPT = 60
"""Newest shifts that the correction rests on: four weeks of fifteen."""


class Kept(msgspec.Struct):
    """One shift. `state` names the kept state, `pos` the journal row at which it was kept, `ahead` good parts made in
    the shift before that; `values` the model's replicas, sorted, of the parameter set `model` with what was `known`,
    first made at plant ms `made`; `began` good parts counted before the shift, `out` in it; `void` why it counts for
    nothing; `score` how the forecast fared that was made while the shift ran.
    """

    kind: str
    a: int
    b: int
    pos: int
    started: int
    shape: str
    state: str
    count: int
    ahead: int = 0
    values: list[float] = []
    model: str = ""
    known: str = ""
    made: int = 0
    began: int | None = None
    ended: bool = False
    out: float | None = None
    by: str = ""
    void: str = ""
    score: dict[str, Any] = {}

    @property
    def open(self) -> bool:
        return self.out is None and not self.void


class ShiftBook:
    """The shifts of one twin, kept in its log. Not thread-safe: the engine's lock is held, but for `make`."""

    def __init__(self, compiled: Compiled, log: EvidenceLog) -> None:
        self.compiled, self.log = compiled, log
        self.shifts = Shifts(compiled.plant)
        self.rows: dict[int, Kept] = {}
        self.now = 0
        self.due = 0
        self._ends = end_products(compiled.plant)
        self._shape = shape_of(compiled)

    @classmethod
    def replay(cls, compiled: Compiled, log: EvidenceLog, now: int) -> ShiftBook:
        """As the log says, less what is no shift any more; `now` is the tracker's time, from which rows will come."""
        found = cls(compiled, log)
        for row in log.of_type("shift"):
            kept = msgspec.convert(row["body"], Kept)
            planned = found.shifts.at(kept.a)
            if planned is not None and planned.a == kept.a:
                found.rows[kept.a] = kept
        found._trim()
        found.now = now
        return found

    # the journal -------------------------------------------------------------------------------

    def before(self, tracker: Tracker, row: Row) -> None:
        """Look at a journal row just before the tracker takes it."""
        if row.kind == "manual" or (row.kind == "supply" and BOOKS in row.body):
            self.due = 0  # it may book an output
        if row.kind != "tick":
            return
        back = row.t < self.now - WINDOW_MS
        if back:
            for kept in [k for k in self.rows.values() if k.open]:
                self._void(kept, "the clock went back", row)
            self.now = 0
        if (back or row.t >= self.due) and tracker.now:
            self._look(tracker, row)
        self.now = max(self.now, row.t)

    def _look(self, tracker: Tracker, row: Row) -> None:
        state = tracker.state
        shift = self.shifts.at(row.t, self.shifts.overtime_ms(state.controls))
        away = ", ".join(sorted(r.rsplit("/", 1)[-1] for r, s in tracker.sources.items() if not s.online))
        if shift is not None and 0 < self.now < shift.a and row.t - shift.a <= GRACE_MS:
            self._keep(shift, state, row)
        for kept in [k for k in self.rows.values() if k.open]:
            self._follow(kept, state, row, away)
        self._bookings(state, row)
        following = self.shifts.after(row.t)
        times = [following.a] if following is not None else []
        for kept in [k for k in self.rows.values() if k.open]:
            end = kept.b + SETTLED_MS if kept.ended else kept.b
            times.append(kept.a + SETTLED_MS if kept.began is None else end)
        self.due = min(times, default=row.t + FIRST_MS)

    def _keep(self, shift: Shift, state: TwinState, row: Row) -> None:
        known = self.rows.get(shift.a)
        if known is not None and (known.pos, known.b) == (row.pos, shift.b):
            return  # the journal is read again
        if len(self.rows) >= KEPT and shift.a < min(self.rows):
            return  # and what is too old to count has been let go
        count = good_by(state, shift.a) if state.t > shift.a else None
        now = done(state, self._ends)
        count = now if count is None else count
        kept = Kept(
            kind=shift.kind, a=shift.a, b=shift.b, pos=row.pos, started=state.started, shape=self._shape,
            state=self.log.put_blob(pack(state)), count=count, ahead=now - count,
        )  # fmt: skip
        self.rows[shift.a] = kept
        self._trim()
        self._write(kept, state.t, row.pos)

    def _follow(self, kept: Kept, state: TwinState, row: Row, away: str) -> None:
        """Take the counts at the beginning and at the end of a shift when nothing moves them any more."""
        if kept.started != state.started:
            return self._void(kept, "the plant began anew", row)
        crossed = [t for t in (kept.a, kept.b) if self.now < t <= row.t]
        if crossed and away:
            return self._void(kept, f"{away} offline at the change of shift", row)
        kept.ended |= row.t >= kept.b
        if kept.began is None and row.t >= kept.a + SETTLED_MS:
            kept.began = good_by(state, kept.a)
            if kept.began is None:
                return self._void(kept, "nothing was heard at its beginning", row)
            self._write(kept, state.t, row.pos)
        if kept.began is not None and row.t >= kept.b + SETTLED_MS:
            end = good_by(state, kept.b)
            if end is None or end < kept.began:
                return self._void(kept, "nothing was heard at its end", row)
            self._over(kept, float(end - kept.began), "counted", state, row.pos)
        return None

    def _over(self, kept: Kept, out: float, by: str, state: TwinState, pos: int) -> None:
        kept.out, kept.by = out, by
        if kept.values and kept.made <= kept.b:
            kept.score = scored(self.said(kept), out)
        self._write(kept, state.t, pos)

    def _bookings(self, state: TwinState, row: Row) -> None:
        """What a person or a document has booked of the line, or of each of its products, holds against the count."""
        for kept in [k for k in list(self.rows.values())[-3:] if k.out is not None and not k.void]:
            following = self.shifts.after(kept.a)
            until = following.b - BOOKED_MS if following is not None else kept.b + FIRST_MS
            found = self._booked(state, kept.b - BOOKED_MS, until)
            if found is not None and (kept.out, kept.by) != found:
                self._over(kept, *found, state, row.pos)

    def _booked(self, state: TwinState, a: int, b: int) -> tuple[float, str] | None:
        """(good parts, by whom) as booked from plant ms `a` on and before `b`: a person before documents, the line
        before its products, of which each must be told. Documents of one thing add up.
        """
        plant = self.compiled.plant
        things = [[plant.line], [plant.products[p].id for p in self._ends]]
        people = {
            name.removesuffix("/output"): (m.value, m.role)
            for name, m in state.manual.items() if name.endswith("/output") and a <= m.t < b
        }  # fmt: skip
        papers: dict[str, tuple[float, str]] = {}
        for doc, one in state.booked.items():
            if a <= one.issued < b:
                papers[one.item] = (papers.get(one.item, (0.0, ""))[0] + one.quantity, doc)
        for told in (people, papers):
            for names in things:
                if names and all(name in told for name in names):
                    return sum(told[name][0] for name in names), f"booked by {told[names[0]][1]}"
        return None

    def _void(self, kept: Kept, why: str, row: Row) -> None:
        kept.void = why
        self._write(kept, row.t, row.pos)

    def _write(self, kept: Kept, t: int, pos: int) -> None:
        body = msgspec.to_builtins(kept)
        self.log.append(Entry(t=t, type="shift", actor="service:twin", body=body, journal=pos))

    def _trim(self) -> None:
        self.rows = dict(sorted(self.rows.items())[-KEPT:])

    # forecasts ---------------------------------------------------------------------------------

    def wanting(self, state: TwinState) -> Kept | None:
        """The shift whose forecast should be made (or made again) next, the newest first."""
        known = known_of(state)
        for kept in reversed(self.rows.values()):
            if kept.void or kept.shape != self._shape:
                continue
            stale = kept.out is not None and (kept.model, kept.known) != (self.compiled.hash, known)
            if not kept.values or stale:
                return kept
        return None

    def make(self, kept: Kept, state: TwinState) -> list[float]:
        """The model's replicas of a shift with what `state` has learned. Slow; needs no lock."""
        data, seed = self.log.get_blob(kept.state), kept.a // 1000 % 1_000_003
        shift = Shift(kept.kind, kept.a, kept.b)
        values = again(self.compiled, data, shift, state.learned, state.refits, seed)
        return [v + kept.ahead for v in values]

    def take(self, kept: Kept, values: list[float], state: TwinState, pos: int) -> None:
        """Write a forecast down, unless its shift has been given up meanwhile."""
        if self.rows.get(kept.a) is not kept or kept.void:
            return
        kept.values, kept.model, kept.known = values, self.compiled.hash, known_of(state)
        kept.made = kept.made or state.t
        self._write(kept, state.t, pos)

    def experience(self, before: int) -> Experience:
        """What the shifts teach that were over at plant ms `before`, of the parameters in force."""
        found = Experience()
        for kept in self.rows.values():
            counts = kept.out is not None and not kept.void and kept.a >= kept.started + FIRST_MS
            if counts and kept.values and kept.b <= before and kept.model == self.compiled.hash:
                found.add(kept.kind, kept.values, kept.out or 0.0)
        return found

    def said(self, kept: Kept) -> Said:
        """The forecast of a shift, corrected by those that were over when it began."""
        return said(self.experience(kept.a), kept.kind, kept.values)

    # what is shown -----------------------------------------------------------------------------

    def view(self, state: TwinState) -> dict[str, Any]:
        """The `shift` part of `GET /forecast` (docs/architecture.md)."""
        shift = self.shifts.at(state.t, self.shifts.overtime_ms(state.controls))
        kept = self.rows.get(shift.a) if shift is not None else None
        following = self.shifts.after(state.t)
        found: dict[str, Any] = {"plan": "fixed" if self.shifts.calendar is None else self.shifts.calendar.id}
        found |= {"next": following.a if following is not None else None, "last": self._last(), "mean": None}
        if shift is None:
            return found | {"why": "closed"}
        found |= {"kind": shift.kind, "a": shift.a, "b": shift.b}
        if kept is None:
            return found | {"why": "its beginning was not heard"}
        found |= {"b": kept.b, "why": kept.void}
        count = kept.began if kept.began is not None else kept.count
        if kept.void or not kept.values:
            return found | {"why": kept.void or "being made"}
        return found | self.said(kept).brief() | {"made": kept.made, "so_far": done(state, self._ends) - count}

    def _last(self) -> dict[str, Any] | None:
        over = [kept for kept in self.rows.values() if kept.score]
        return self._told(over[-1]) if over else None

    def _told(self, kept: Kept) -> dict[str, Any]:
        return {"kind": kept.kind, "a": kept.a, "b": kept.b, "out": kept.out, "by": kept.by, **kept.score}

    def summary(self) -> dict[str, Any]:
        """`{n, coverage90, crps, crps_alone, bias, bias_alone, rows}` of the kept shifts that were forecast in time."""
        over = [kept for kept in self.rows.values() if kept.score]
        found: dict[str, Any] = {"n": len(over), "rows": [self._told(kept) for kept in over]}
        for name in ("covered", "crps", "crps_alone", "bias", "bias_alone"):
            mean = sum(float(kept.score[name]) for kept in over) / len(over) if over else None
            found["coverage90" if name == "covered" else name] = None if mean is None else round(mean, 4)
        return found


def scored(told: Said, out: float) -> dict[str, Any]:
    """A forecast against what came: `{mean, lo, hi, alone, n, same, covered, crps, crps_alone, bias, bias_alone}`."""
    return told.brief() | {
        "covered": bool(told.lo <= out <= told.hi),
        "crps": round(crps(told.values, out), 4),
        "crps_alone": round(crps(told.alone_values, out), 4),
        "bias": round(told.mean - out, 4),
        "bias_alone": round(told.alone_mean - out, 4),
    }


def known_of(state: TwinState) -> str:
    """Changes when forecasts that have ended are worth making again: once, when the first week of listening is over."""
    return "first week" if state.t - state.started < WEEK_MS else "later"


def shape_of(compiled: Compiled) -> str:
    """Names what a kept state is about: one of another line (other stations, products, stocks) is of no use."""
    plant = compiled.plant
    routes = [(p.id, [s.station for s in p.steps]) for p in plant.products]
    things = [(s.id, s.units) for s in plant.stations], [k.id for k in plant.stocks], [d.id for d in plant.demands]
    controls = [c.id for c in plant.controls]
    return hashlib.sha256(repr((routes, things, controls)).encode()).hexdigest()[:16]
