"""The advice service: at each decision moment take the twin's presents, look for a better setpoint, and say so, or
say that there is none.

It reads the twin over HTTP and posts to it; it never speaks to the plant. What it was asked from is stored
(`agents.advice.questions`), so that any recommendation can be recomputed bit for bit
(`agents.advice.compare.reproduce`).
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
from numpy.typing import NDArray

from agents.advice.compare import FUTURES, Question, propose
from agents.advice.fallback import BUDGET_S, Guard
from agents.advice.futures import block, play
from agents.advice.gain import gain_of
from agents.advice.moves import moved, reaches, together
from agents.advice.questions import store
from agents.bundles.bundle import BUNDLED
from agents.control import controllers
from agents.control.controllers import Controller, PolicyController
from agents.envs.grid import Grid
from agents.errors import AgentError
from agents.seeds import ADVICE_PROMISE, Spread, block_seed
from sim.compile import Compiled, compile_plant
from sim.plant import Plant
from twin.joint import moves_of
from twin.leases import Lease, held

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from agents.advice.compare import Answer

Rows = NDArray[np.int64]

PRESENTS = 512
KEEPALIVE_S = 2.0
"""uvicorn closes a connection that was idle for 5 s; one as old here would be closed under the next request."""
OLDEST_S = 120.0
"""Data older than this (wall seconds) are not advised on."""
OPEN = ("proposed", "deferred")


class WrongTwinError(AgentError):
    """The twin runs another plant than this service was started for."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Presents [N, W] of the twin at plant time `t` and journal position `pos`; `hash` names the state. `refitted`:
    what approved refits change in the plant file ("" nothing).
    """

    rows: Rows
    t: int
    pos: int
    hash: str
    params_hash: str
    start_ms: int
    refitted: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """`twin`: address of the twin's API; `every` wall seconds between decision moments; `threads` of the kernel;
    `signer`: the key a policy must be signed with (None: any policy, and the evidence says who vouches for it).
    """

    plant: Plant
    twin: str
    data: Path
    every: float = 10.0
    threads: int = 1
    presents: int = PRESENTS
    spread: Spread = field(default_factory=Spread)
    policy: str | None = None
    rule: str | None = None
    policy_budget_s: float = BUDGET_S
    signer: Ed25519PublicKey | None = None


class Stop:
    """Has anybody asked the service to end? A request in the middle of a thought ends the thought: nothing is lost by
    it, and a moment may take longer than a supervisor waits.
    """

    def __init__(self) -> None:
        self.asked = False
        self.thinking = False

    def __call__(self) -> bool:
        return self.asked

    def ask(self, *_: object) -> None:
        """A signal handler; raises `SystemExit` where nothing has to be finished."""
        if self.asked or self.thinking:
            raise SystemExit(0)
        self.asked = True

    @contextmanager
    def thought(self) -> Iterator[None]:
        """While inside, a request ends the process at once."""
        if self.asked:
            raise SystemExit(0)
        self.thinking = True
        try:
            yield
        finally:
            self.thinking = False


class Advisor:
    """Asks the twin, thinks, answers. One moment is one call of `moment()`, which returns a line for the log."""

    def __init__(self, options: Options, client: httpx.Client, stop: Stop | None = None) -> None:
        self.options, self.client = options, client
        self.stop = stop or Stop()
        self.compiled: Compiled | None = None
        self.policy: PolicyController | None = None
        self.rule: Controller | None = None
        self.guard = Guard(options.policy_budget_s)
        self._values: dict[str, int] = {}
        self._changed: dict[str, int] = {}

    def moment(self) -> str:
        """One decision moment. Raises `httpx.HTTPError` when the twin cannot be reached, `WrongTwinError` for another
        plant.
        """
        frame = self._get("/frame")
        problem = self._not_now(frame)
        if problem:
            return problem
        snapshot = self._snapshot()
        compiled = self._compiled(snapshot)
        present = {k: int(v) for k, v in frame["ctl"].items() if k in compiled.control_index}
        open_now, locked, leases = self._in_force(snapshot.t, present)
        rows = self._with_controls(snapshot.rows, compiled, present)
        with self.stop.thought():
            policy = None if open_now else self.guard.ask(self.policy, rows)
        if not open_now:
            self._tell_policy(frame)
        question = Question(
            compiled,
            rows,
            present,
            snapshot.pos,
            policy,
            self.rule,
            locked,
            self.options.spread,
            self.options.threads,
            leases=self._in_ticks(leases, snapshot, compiled),
        )
        if open_now:
            return self._recheck(question, open_now[0])
        with self.stop.thought():
            answer = propose(question)
        if answer.recommendation is None:
            self._post("/advice", {"evaluated": 1, "why": answer.why})
            return answer.why
        return self._recommend(question, answer, snapshot, frame)

    def _tell_policy(self, frame: dict[str, Any]) -> None:
        """Whether the policy answers, where the twin does not know it so."""
        known = frame.get("advice", {}).get("policy")
        mine = self.guard.told() if self.policy is not None else None
        if mine is None and known is not None and not known["ok"]:
            mine = known | {"ok": True, "why": ""}  # of a service before this one, which had a policy
        if mine is not None and mine != known:
            self._post("/advice", {"evaluated": 0, "policy": mine})

    def _not_now(self, frame: dict[str, Any]) -> str | None:
        """Why no advice is given at this moment, in a sentence; None when it is."""
        age = frame.get("sync", {}).get("age_s")
        if frame.get("paused"):
            return "paused: no advice until the optimiser is resumed"
        if frame.get("mode") == "stale" or (isinstance(age, (int, float)) and age > OLDEST_S):
            return f"the twin's data are {age} s old: no advice on a stale state"
        if frame.get("sync", {}).get("fidelity") == "red":
            return "the twin does not match the plant (fidelity red): no advice on it"
        if not frame.get("ctl") or any(v is None for v in frame["ctl"].values()):
            return "the setpoints in force are not known yet: no advice without them"
        return None

    def _get(self, path: str, **query: Any) -> Any:
        response = self.client.get(path, params=query)
        response.raise_for_status()
        return response.json()

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.client.post(path, json=body)

    def _snapshot(self) -> Snapshot:
        response = self.client.get("/snapshot", params={"n": self.options.presents})
        response.raise_for_status()
        with np.load(io.BytesIO(response.content), allow_pickle=False) as held:
            rows = np.ascontiguousarray(held["rows"], dtype=np.int64)
            return Snapshot(
                rows,
                int(held["t"]),
                int(held["pos"]),
                str(held["hash"]),
                str(held["params_hash"]),
                int(held["start_ms"]),
                str(held["refitted"]) if "refitted" in held else "",
            )

    def _compiled(self, snapshot: Snapshot) -> Compiled:
        """The plant compiled for the twin's tick 0, and policy and rule for it, made once."""
        if self.compiled is None or self.compiled.start_ms != snapshot.start_ms:
            zone = ZoneInfo(self.options.plant.timezone)
            self.compiled = compile_plant(
                self.options.plant, datetime.fromtimestamp(snapshot.start_ms / 1000.0, UTC).astimezone(zone)
            )
            self._load()
        live = self._refitted(self.compiled, snapshot.refitted)
        if live.hash != snapshot.params_hash:
            raise WrongTwinError(
                f"the twin's plant is {snapshot.params_hash[:12]}, {self.options.plant.id} here is "
                f"{live.hash[:12]}; "
                "start twin and advise with the same plant file"
            )
        return live

    @staticmethod
    def _refitted(compiled: Compiled, text: str) -> Compiled:
        """The plant with the refits that are in force in the twin. Policy and rule are the plant file's: what they see
        and may do is the same.
        """
        from twin.inforce import compiled_with

        try:
            return compiled_with(compiled, text)
        except (ValueError, AssertionError) as e:
            raise WrongTwinError(f"the twin's refits are none of plant {compiled.plant.id}: {e}") from e

    def _load(self) -> None:
        """Policy and rule, each only where it is there and fits: what is missing or broken is said and left out."""
        assert self.compiled is not None
        shipped = BUNDLED / self.options.plant.id
        self.policy, self.rule = None, None
        if self.options.policy or (shipped / "policy.json").exists():
            try:
                found = controllers.controller(self.options.policy or "policy", self.compiled, self.options.signer)
                if not isinstance(found, PolicyController):
                    raise AgentError(f"expected the folder of a bundle, found {self.options.policy!r}")
                self.policy = found
            except AgentError as e:
                print(f"advise: going on without a policy: {e}", flush=True)
        if self.options.rule or (shipped / "rule.json").exists():
            try:
                self.rule = controllers.controller(self.options.rule or "rule", self.compiled)
            except AgentError as e:
                print(f"advise: going on without a rule: {e}", flush=True)

    @staticmethod
    def _with_controls(rows: Rows, compiled: Compiled, present: dict[str, int]) -> Rows:
        """Presents whose setpoints are those read back from the plant."""
        from sim.engine import set_controls
        from sim.kernel import get_controls

        values = Grid(compiled.plant).vector(present)
        if not (get_controls(rows, compiled) == values).all():
            set_controls(rows, compiled, values)
        return rows

    def _in_force(
        self, t: int, present: dict[str, int]
    ) -> tuple[list[dict[str, Any]], tuple[str, ...], dict[str, Lease]]:
        """Recommendations that wait for a person; the controls that may not be moved now: changed less than their
        `every` ago, or with a command on its way; and the leases that run.
        """
        for name, value in present.items():
            if name in self._values and self._values[name] != value:
                self._changed[name] = t
        self._values = dict(present)
        tick_ms = self.options.plant.tick_s * 1000.0
        locked = {
            c.id for c in self.options.plant.controls if t < self._changed.get(c.id, -(1 << 60)) + c.every * tick_ms
        }
        known = self._get("/recommendations")
        more, leases = held(known, self.options.plant, t, present)
        return [rec for rec in known if rec["status"] in OPEN], tuple(sorted(locked | more)), leases

    @staticmethod
    def _in_ticks(leases: dict[str, Lease], snapshot: Snapshot, compiled: Compiled) -> tuple[tuple[int, int, int], ...]:
        """Running leases as `agents.advice.futures.Block` takes them."""
        now, tick_ms = int(snapshot.rows[0, compiled.layout.at("now")]), compiled.plant.tick_s * 1000.0
        return tuple(
            sorted(
                (
                    compiled.control_index[control],
                    lease.before,
                    now + max(round((lease.ends - snapshot.t) / tick_ms), 1),
                )
                for control, lease in leases.items()
            )
        )

    def _recheck(self, question: Question, rec: dict[str, Any]) -> str:
        """Whether an open recommendation still pays on the newest state; it is withdrawn when it does not."""
        with self.stop.thought():
            why = self._premise(question, rec)
        if why is None:
            self._post("/advice", {"evaluated": 1, "why": f"{rec['id']} is open and still pays"})
            return f"{rec['id']} is open and still pays"
        self._post("/recommendations", {"id": rec["id"], "status": "withdrawn", "reason": why})
        self._post("/advice", {"evaluated": 1, "why": f"{rec['id']} withdrawn: {why}"})
        return f"{rec['id']} withdrawn: {why}"

    def _premise(self, question: Question, rec: dict[str, Any]) -> str | None:
        """Why a recommendation pays no longer, all its moves together; None while it does."""
        compiled, grid = question.compiled, Grid(question.compiled.plant)
        candidate = moved(rec)
        for move in moves_of(rec):
            name, found = move["control"], question.present.get(move["control"])
            if found != move["from"]:
                return f"{name} is {found} now, not {move['from']}"
        futures = np.resize(question.rows, (FUTURES // 2, question.rows.shape[1]))
        fresh = block(futures, compiled, block_seed(ADVICE_PROMISE, question.seed), question.spread)
        fresh = replace(fresh, leases=question.leases)
        values = np.array([grid.vector(question.present), candidate.vector(grid, question.present)])
        over = together(candidate, reaches(question, grid))
        costs = play(fresh, compiled, values, over, question.threads).costs
        gain = gain_of(costs[0], costs[1])
        # half the worth: a recommendation that hovers about its threshold shall not come and go
        if gain.mean < 0.5 * max(c.worth for c in grid.controls if c.id in dict(candidate.moves)):
            return f"on the newest state it would gain {gain.mean:.1f} {compiled.plant.currency} only"
        return None

    def _recommend(self, question: Question, answer: Answer, snapshot: Snapshot, frame: dict[str, Any]) -> str:
        assert answer.recommendation is not None
        body = dict(answer.recommendation)
        sync = frame.get("sync", {})
        body["id"] = f"r-{snapshot.pos}"
        body |= {"version": 1, "status": "proposed", "created": snapshot.t, "realised": None, "reason": ""}
        body["checks"] = {
            "data_age_s": sync.get("age_s"),
            "twin fidelity": {"ok": sync.get("fidelity") == "green", "note": _fidelity(sync.get("fidelity"))},
            **({"policy": {"ok": False, "note": f"{self.guard.why}; rule and search"}} if self.guard.why else {}),
            **body["checks"],
        }
        body["evidence"] = {
            **body["evidence"],
            "state": snapshot.hash,
            "pos": snapshot.pos,
            "start_ms": snapshot.start_ms,
            "refitted": snapshot.refitted,
            **({"policy_signature": question.policy.bundle.vouched} if question.policy is not None else {}),
        }
        body["timeline"] = [{"t": snapshot.t, "status": "proposed", "by": "service:advise", "note": ""}]
        store(self.options.data, body["id"], question.rows, body["evidence"])
        response = self._post("/recommendations", body)
        said = f"{moved(body).path(question.present)}, {body['gain']['mean']:+.1f} {body['gain']['unit']}"
        if response.status_code >= 400:
            why = f"{said}: refused by the twin: {response.text[:300]}"
            self._post("/advice", {"evaluated": 1, "why": why})
            return why
        return f"{body['id']}: {said}"


def _fidelity(light: object) -> str:
    """The twin's light with what it means."""
    means = {
        "green": "the forecasts that have come due held what they promised",
        "amber": "some forecasts did not hold what they promised; Twin health says which",
        "unknown": "too few forecasts have come due to judge it; believe gain and chance with care",
    }
    return f"{light}: {means[str(light)]}" if str(light) in means else str(light)


def client_of(twin: str) -> httpx.Client:
    """A client of the twin at an address, which keeps no connection that the twin may have closed."""
    return httpx.Client(base_url=twin, timeout=60.0, limits=httpx.Limits(keepalive_expiry=KEEPALIVE_S))


def serve(options: Options, stop: Stop, sleep: Callable[[float], None] = time.sleep) -> None:
    """Advise until `stop()`; writes `run/advise.json` when the twin has answered first. `WrongTwinError` ends it."""
    os.nice(5)  # thinking about the future must not delay keeping up with the present
    run_file = options.data / "run" / "advise.json"
    try:
        with client_of(options.twin) as client:
            _moments(Advisor(options, client, stop), run_file, sleep)
    finally:
        run_file.unlink(missing_ok=True)


def _moments(advisor: Advisor, run_file: Path, sleep: Callable[[float], None]) -> None:
    """One decision moment after the other, each told when it is not what was told last."""
    last, stop, options = "", advisor.stop, advisor.options
    while not stop():
        began = time.monotonic()
        try:
            said = advisor.moment()
            if not run_file.exists():
                _announce(run_file)
        except httpx.HTTPStatusError as e:
            said = f"the twin is not ready: {e.response.status_code} for {e.request.url.path}"
        except httpx.HTTPError as e:
            said = f"the twin at {options.twin} does not answer ({type(e).__name__}); trying again"
        if said != last:
            print(f"advise: {said}", flush=True)
            last = said
        while not stop() and time.monotonic() < began + options.every:
            sleep(0.2)


def _announce(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(".advise.json.part")
    draft.write_text(
        json.dumps({"name": "advise", "pid": os.getpid(), "port": None, "url": None}) + "\n", encoding="utf-8"
    )
    draft.replace(path)
