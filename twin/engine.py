"""The running twin: journal rows in, everything the API shows out. One lock, no HTTP.

`poll` folds new rows; `look_ahead` makes a forecast from a copy of the state (in a worker thread); `progress` moves
recommendations on. What must survive a kill is in the log or follows from the journal.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ingest.journal import Cursor, Journal, JournalError, JournalReader
from sim import kernel
from sim.compile import Compiled, compile_plant
from sim.plant import STATES, Plant
from twin import effect, missing, views
from twin.decisions import Book, Present, Refused, overdue
from twin.estimate import HASH_ROWS, HASH_SEED, ensemble, posterior, rows_hash, running, state_hash
from twin.forecast import Options, forecast, series_names
from twin.inforce import encode, values_of
from twin.leases import beside, held
from twin.log import Entry, EvidenceLog
from twin.lookahead import PosteriorKeeper, look_at_shifts
from twin.machines import rows
from twin.model import TwinState
from twin.refits import Refits
from twin.scores import Scores
from twin.shiftbook import ShiftBook
from twin.shiftplan import proposed
from twin.tracker import LOOK_S, Tracker, write_snapshot
from twin.watch import Watch, folded, places, told

STALE_S = 3.0
"""Wall seconds without a row after which the twin says that it is stale."""
SNAPSHOT_EVERY_S = 10.0
BATCH = 2000
HOURS_EVERY_MS = 1_800_000
"""Plant ms between two comparisons of the calendar with the hours that are worked."""
IN_PIECES_S = 5.0
"""For so long (wall) a look that must see everything lets the present go on between the pieces of a rewind."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and what: data folder, plant, wall seconds between two forecasts, forecast options."""

    data: Path
    plant: Plant
    forecast_every_s: float = 10.0
    forecast: Options = field(default_factory=Options)
    forget_ms: int = 0  # half-life (plant ms) of what parameters are learned from, 0 for ever


class Engine:
    """One twin over one data folder. Thread-safe: every public method takes the lock as long as it needs it."""

    def __init__(self, settings: Settings, wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.settings, self._wall = settings, wall
        self.plant = settings.plant
        self.compiled: Compiled = compile_plant(self.plant)
        self.lock = threading.RLock()
        settings.data.mkdir(parents=True, exist_ok=True)
        self.log = EvidenceLog(settings.data / "log.db", self.plant.site)
        self.tracker = self._restore()
        self.book = Book.replay(self.plant, self.log)
        self.refits = Refits.replay(self.log)
        self.watch = self._rebuild_record()
        self.shifts = ShiftBook.replay(self.compiled, self.log, self.tracker.now)
        self.forecast: dict[str, Any] = {}
        self.fc_v = 0
        self.frame: dict[str, Any] = {}
        self.errors: dict[str, int] = {}
        self._erred: dict[str, float] = {}  # when (monotonic) each was last met
        self.ingest: list[str] = []  # what ingest has to do without, as the courier has last seen it
        self.rows = 0
        self._seq, self._posterior = 0, PosteriorKeeper(self.compiled, settings.data)
        self._hours: tuple[int, dict[str, Any]] = (-1, {"hours": [], "open": {}})
        self._reader: JournalReader | None = None
        self._recv, self._heard = 0, 0.0
        self._saved = time.monotonic()
        self._scored = max((check["made"] for check in self.watch.scores.waiting), default=0)

    # start -----------------------------------------------------------------------------------

    @property
    def _snapshot(self) -> Path:
        return self.settings.data / "tracker.snapshot"

    def _restore(self) -> Tracker:
        try:
            return Tracker.restore(self.plant, self._snapshot.read_bytes(), self.settings.forget_ms)
        except (OSError, ValueError):
            return Tracker(self.plant, self.settings.forget_ms)  # no usable snapshot: the journal is read again

    def _rebuild_record(self) -> Watch:
        watch = Watch(series_names(self.compiled), signals=bool(self.tracker.topology.signals))
        for row in self.log.of_type("forecast", "score", "drift"):
            watch.remember(row)
        return watch

    @property
    def scores(self) -> Scores:
        return self.watch.scores

    # the journal -----------------------------------------------------------------------------

    def poll(self) -> int:
        """Fold the new rows of the journal; returns how many. A journal that is not there yet gives 0."""
        total = 0
        while True:
            rows = self._read()
            if not rows:
                return total
            with self.lock:
                for row in rows:
                    self.shifts.before(self.tracker, row)
                    self.tracker.apply(row)
                    self._recv = max(self._recv, row.recv)
            total += len(rows)
            self.rows += len(rows)
            self._heard = time.monotonic()

    def _read(self) -> list[Any]:
        path = self.settings.data / "journal.db"
        try:
            if self._reader is None:
                if not path.exists():
                    return []
                self._reader = Journal.open_reader(path)
                if self._reader.last() < self.tracker.pos:  # another journal than that of the snapshot
                    with self.lock:
                        self.tracker = Tracker(self.plant, self.settings.forget_ms)
            return self._reader.read(self.tracker.pos, BATCH)
        except JournalError as error:
            self.note_error("journal", error)
            self._reader = None
            return []

    def note_error(self, where: str, error: BaseException) -> None:
        """Count a fault and say it once for each kind."""
        key = f"{where}: {type(error).__name__}"
        if key not in self.errors:
            print(f"twin: {where}: {error}", flush=True)
        self.errors[key] = self.errors.get(key, 0) + 1
        self._erred[key] = time.monotonic()

    def missing(self) -> list[str]:
        """What this twin has to do without although it goes on, a sentence each with what to do."""
        with self.lock:
            tags = missing.of_tags(self.tracker.topology, self.tracker.glance, self.tracker.machines)
            policy = missing.of_policy(self.book.policy)
            return self.ingest + policy + tags + missing.of_errors(self._erred, time.monotonic())

    def save_if_due(self) -> None:
        """Every ten seconds; what is being settled then is waited for twice as long at most."""
        due = time.monotonic() - self._saved - SNAPSHOT_EVERY_S
        if due < 0:
            return
        with self.lock:
            settled = self.tracker.settle(LOOK_S)
        if settled or due >= SNAPSHOT_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the tracker's snapshot, so that a restart goes on from here."""
        with self.lock:
            data, pos = self.tracker.snapshot(), self.tracker.pos
        write_snapshot(data, self._snapshot)
        Cursor(self.settings.data / "cursors" / "twin.json").store(pos)  # the journal may let go of what is before
        self._saved = time.monotonic()

    # the present -----------------------------------------------------------------------------

    @contextmanager
    def whole(self) -> Iterator[TwinState]:
        """The lock, held as long as the block runs, and the state with everything late in its place.

        The rewind before it goes in pieces between which the lock is free: frames and new rows do not wait for it.
        """
        end = time.monotonic() + IN_PIECES_S
        while time.monotonic() < end:
            with self.lock:
                if self.tracker.catch_up(LOOK_S):
                    yield self.tracker.state
                    return
            time.sleep(0.001)  # a lock that is taken again at once would go to nobody else
        with self.lock:
            yield self.tracker.state

    def age_s(self) -> float:
        """Wall seconds since the newest row was received by ingest, and no less than we have waited for one since.

        The second is what holds when the machine's clock steps back.
        """
        since = max(self._wall() - self._recv, 0) / 1000
        return max(since, time.monotonic() - self._heard) if self._recv else float("inf")

    def stale(self) -> str:
        """Why the data are stale, "" when they are not."""
        if not self._recv:
            return "no data have come yet"
        if self.age_s() > STALE_S:
            return f"no row for {self.age_s():.0f} s"
        away = [root.rsplit("/", 1)[-1] for root, source in self.tracker.sources.items() if not source.online]
        return f"{', '.join(sorted(away))} offline" if away else ""

    def present(self, *, with_hash: bool = False) -> Present:
        """What decisions need to know of the newest state."""
        with self.lock:
            state = self.tracker.state if with_hash else self.tracker.glance
            units = zip(self.plant.stations, state.stations, strict=True)
            return Present(
                t=state.t,
                pos=self.tracker.pos,
                speed=self.tracker.clock.speed,
                stale=self.stale(),
                paused=self.book.paused,
                mode=state.mode,
                state=state_hash(self.compiled, state) if with_hash and state.t else "",
                posterior=posterior(self.compiled, state).id if with_hash and state.t else "",
                controls=dict(state.controls),
                control_t=dict(state.control_t),
                states={spec.id: [STATES[u.state] for u in s.units if u.state >= 0] for spec, s in units},
                commands=dict(state.commands),
            )

    def make_frame(self) -> dict[str, Any]:
        """A new frame (twice a second)."""
        with self.lock:
            self._seq += 1
            age = self.age_s()
            around = views.Around(
                seq=self._seq,
                age_s=min(age, 1e6),
                stale=self.stale(),
                holes=self.tracker.holes,
                fidelity=str(self.watch.last["light"]),
                drifting=int(self.watch.last.get("drifting", 0)),
                rec_v=self.book.version,
                fc_v=self.fc_v,
                paused=self.book.paused,
                advice={"evaluated": self.book.evaluated, "t": self.book.advice_t, "why": self.book.advice_why}
                | ({"policy": self.book.policy} if self.book.policy is not None else {}),
                missing=self.missing(),
            )
            self.frame = views.frame(self.tracker.topology, self.tracker.glance, around)
            return self.frame

    def certificate(self) -> dict[str, Any]:
        """The fidelity certificate at the present state (`twin.fidelity`)."""
        with self.whole() as state:
            names = [s.id for s in self.plant.stations], [k.id for k in self.plant.stocks]
            return self.watch.certify(state, places(*names, state))

    def drift_view(self) -> dict[str, Any]:
        """`{notices, charts, machines, hours, open}`: every notice so far, the newest first, how many charts there are,
        how each machine is that tells signals, and the hours that are lived differently from the calendar
        (`twin.shiftplan.proposed`).
        """
        with self.whole() as state:
            charts = len(self.watch.drift.charts) + len(state.learned.drift.charts)
            notices = self.watch.notices(state)
            charts += len(self.tracker.machines.tags)
            slot = state.learned.t // HOURS_EVERY_MS
            if slot != self._hours[0]:
                self._hours = slot, proposed(self.plant, state.learned.active)
            machines = rows(self.tracker.machines, state.t, notices)
            return {"notices": notices, "charts": charts, "machines": machines, **self._hours[1]}

    def settle_notice(self, notice: str, why: str, actor: str) -> bool:
        """A person has dealt with a notice of drift; False: there is no such open one."""
        with self.whole() as state:
            if not self.watch.close(notice, why, folded(state)):
                return False
            body = {"id": notice, "closed": why}
            self.log.append(Entry(state.t, "drift", actor, body, journal=self.tracker.pos))
            return True

    def state_view(self) -> dict[str, Any]:
        with self.whole() as state:
            view = views.state_view(self.tracker.topology, state, stale=self.stale())
            view["machines"] = rows(self.tracker.machines, state.t, self.watch.notices(state))
            return view | {"pos": self.tracker.pos, "hash": state_hash(self.compiled, state) if state.t else ""}

    def copy_state(self) -> tuple[TwinState, int]:
        """A copy of the state and its journal position, for work outside the lock."""
        with self.whole() as state:
            data, pos = msgspec.msgpack.encode(state), self.tracker.pos
        return msgspec.msgpack.decode(data, type=TwinState), pos

    def snapshot(self, n: int, seed: int) -> bytes:
        """The present state as an `.npz` of `n` rows with what is needed to name and repeat it."""
        state, pos = self.copy_state()
        rows, live = ensemble(self.compiled, state, seed, n), running(self.compiled, state.refits)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            rows=rows,
            t=state.t,
            pos=pos,
            hash=rows_hash(live, rows),
            params_hash=live.hash,
            refitted=encode(values_of(self.plant, state.refits)),
            start_ms=live.start_ms,
            controls=kernel.get_controls(rows[:1], live)[0],
            seed=seed,
            state=state_hash(self.compiled, state),
            posterior=posterior(self.compiled, state).id,
        )
        return buffer.getvalue()

    # forecasts and scores --------------------------------------------------------------------

    def look_ahead(self) -> None:
        """Make, log and publish a forecast; nothing happens while the data are stale."""
        if self.stale():
            return
        state, pos = self.copy_state()
        if state.t == 0 or state.t == self.forecast.get("t"):
            return
        look_at_shifts(self.shifts, self.lock, state, pos)
        base = self.settings.forecast
        options = Options(base.replicas, base.horizon_s, base.seed + state.t // 1000 % 1_000_000)
        made = forecast(self.compiled, state, options)
        with self.lock:
            body = {k: made[k] for k in ("horizon_s", "n", "events")} | {"checks": self.watch.take(made["checks"])}
            entry = Entry(
                t=state.t,
                type="forecast",
                actor="service:twin",
                body=body,
                journal=pos,
                state=made["state"],
                posterior=made["posterior"],
                seeds=(options.seed,),
            )
            self.log.buffer(entry)
            self.fc_v += 1
            shown = {k: v for k, v in self.watch.adjusted(made).items() if k != "checks"}
            self.forecast = {"v": self.fc_v, **shown, "shift": self.shifts.view(state)}
        try:
            self._posterior.keep(state, made["posterior"])
        except OSError as error:  # the twin itself does not need it
            self.note_error("posterior", error)
        self.look_at_parameters(state, pos)

    def look_at_parameters(self, state: TwinState, pos: int) -> None:
        """Propose refits where the readings contradict the plant file."""
        if not self.refits.due(state):
            return
        found = self.refits.look(self.compiled, state)
        with self.lock:
            self.refits.propose(found, state, pos)

    def settle_scores(self) -> None:
        """Score the forecasts whose time has come."""
        with self.lock:
            state = self.tracker.glance
            if self.tracker.behind:
                return  # what came late may change what is scored: when it is in its place
            if self._scored > state.t:
                self.scores.drop_after(state.t)
            self._scored = state.t
            rows, notices = self.watch.settle(state)
            drifted = [told(notice) for notice in notices] + self.watch.fresh(state)
            for kind, bodies in (("score", rows), ("drift", drifted)):
                for body in bodies:
                    self.log.buffer(Entry(state.t, kind, "service:twin", body, journal=self.tracker.pos))
            self.log.flush()
        if rows or drifted or self.watch.last["n"] == 0:
            self.certificate()  # in pieces, so not under the lock

    # recommendations -------------------------------------------------------------------------

    def decide(self, request: dict[str, Any], actor: str) -> dict[str, Any]:
        """An operator's decision (raises Refused). The evidence of an acceptance is stored first."""
        with self.whole() as state:
            now = self.present(with_hash=True)
            extra = None
            if request.get("decision") == "accept" and now.t:
                _, leases = held(self.book.newest_first(), self.plant, now.t, now.controls)
                extra = effect.keep(self.compiled, state, self.log, HASH_SEED + HASH_ROWS, leases)
            return self.book.decide(request, now, actor, extra)

    def progress(self) -> None:
        """Expiry, withdrawal, commands, and the effects whose horizon has ended."""
        with self.lock:
            now = self.present()
            if not now.t:
                return
            self.book.tick(now)
            due = overdue(self.book.in_status("confirmed"), now.t)
            if not due or now.stale:
                return
            now = self.present(with_hash=True)
            for rec in due:
                try:
                    found = effect.realised(self.compiled, self.tracker.state, self.log, rec["accepted"])
                except (KeyError, ValueError, OSError, RuntimeError) as error:
                    found = {"value": None, "label": "model-based", "why": f"could not be computed: {error}"}
                    self.note_error(f"effect of {rec['id']}", error)
                if others := beside(self.book.newest_first(), rec, now.t):
                    found["beside"] = others
                self.book.outcome(rec, found, now)

    def replay_hash(self) -> str:
        with self.whole() as state:
            return state_hash(self.compiled, state)


def replay(journal: Path, plant: Plant, upto: int | None = None) -> tuple[Tracker, str]:
    """The tracker after the journal's rows up to position `upto` (all of them when None), and its state hash."""
    reader, tracker = Journal.open_reader(journal), Tracker(plant)
    try:
        while rows := reader.read(tracker.pos, BATCH):
            for row in rows:
                if upto is not None and row.pos > upto:
                    return tracker, state_hash(compile_plant(plant), tracker.state)
                tracker.apply(row)
    finally:
        reader.close()
    return tracker, state_hash(compile_plant(plant), tracker.state)


__all__ = ["Engine", "Refused", "Settings", "replay"]
