"""A scripted twin with a manual clock that speaks the contract of docs/architecture.md.

Nothing happens in it unless the test calls `step`; the test changes its attributes directly, as the
service runs in a thread of the test's own process.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
import time
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tests.dashboard.fake_belief import Belief, routes

ORIGIN = 1_767_592_800_000
STATIONS = ("cut", "hob", "heat", "grind", "wind", "assemble", "test")
MINUTE = 60_000


def plant() -> dict[str, Any]:
    following = {
        "cut": ["hob", "wind"],
        "hob": ["heat"],
        "heat": ["grind"],
        "grind": ["assemble", "hob"],
        "wind": ["assemble"],
        "assemble": ["test"],
        "test": ["assemble"],
    }
    units = {"hob": 2, "heat": 3}
    return {
        "id": "gearmotor",
        "site": "demo",
        "area": "drives",
        "line": "gearmotor",
        "timezone": "Europe/Berlin",
        "time_unit": "h",
        "currency": "EUR",
        "stations": [
            {
                "id": name,
                "units": units.get(name, 1),
                "capacity": -1 if name == "cut" else 8,
                "buffer": f"b_{name}",
                "next": following[name],
            }
            for name in STATIONS
        ],
        "suppliers": [{"id": "steelworks"}, {"id": "copper_co"}],
        "stocks": [
            {"id": "bar_steel", "item": "bar", "source": "steelworks", "level": 60},
            {"id": "wire", "item": "wire", "source": "copper_co", "level": 40},
            {"id": "finished_s", "item": "motor_s", "source": "line", "level": None},
            {"id": "finished_l", "item": "motor_l", "source": "line", "level": None},
        ],
        "demands": [{"id": "customers_s", "stock": "finished_s"}, {"id": "customers_l", "stock": "finished_l"}],
        "products": [
            {
                "id": "motor_s",
                "stations": ["cut", "hob", "heat", "grind", "assemble", "test"],
                "policy": "conwip",
                "consumes": [["bar_steel", 1]],
                "stock": "finished_s",
            },
            {
                "id": "motor_l",
                "stations": ["cut", "wind", "assemble", "test"],
                "policy": "conwip",
                "consumes": [["bar_steel", 2], ["wire", 1]],
                "stock": "finished_l",
            },
        ],
        "controls": [
            {
                "id": "cap_s",
                "sets": "release.motor_s.cap",
                "low": 2,
                "high": 20,
                "step": 1,
                "every_s": 600,
                "class": "release",
                "worth": 5,
                "unit": "parts",
                "approve": "operator",
            },
            {
                "id": "steel_level",
                "sets": "stocks.bar_steel.level",
                "low": 10,
                "high": 120,
                "step": 10,
                "every_s": 3600,
                "class": "supply",
                "worth": 20,
                "unit": "parts",
                "approve": "operator",
            },
        ],
        "horizons": {"release": 28800, "supply": 604800},
    }


def recommendation(number: int, t: int, **changes: Any) -> dict[str, Any]:
    gain = {"mean": 41.0, "lo": 6.2, "hi": 79.5, "unit": "EUR", "worse": 0.03}
    made = {
        "id": f"r-{number}",
        "version": 1,
        "status": "proposed",
        "created": t,
        "expires": t + 120 * MINUTE,
        "control": "cap_s",
        "from": 6,
        "to": 8,
        "gain": gain,
        "vs": {"nothing": gain, "rule": {"mean": 12.5, "lo": -9.0, "hi": 33.0, "unit": "EUR", "worse": 0.18}},
        "kpis": {
            "throughput": {"from": [11.2, 9.8, 12.4], "to": [12.1, 10.6, 13.3]},
            "backlog": {"from": [9, 3, 17], "to": [5, 1, 12]},
        },
        "why": [
            "grind starves 18 % of the time while 4 orders wait",
            "cap of motor_s binds: without it the gain falls to 3 EUR",
        ],
        "alternatives": [
            {"control": "cap_s", "to": 7, "gain": {"mean": 22.0, "lo": -3.0, "hi": 48.0, "unit": "EUR", "worse": 0.09}}
        ],
        "horizon_s": 28800,
        "then": "rule:conwip",
        "checks": {"limits": True, "fidelity": "green", "data_age_s": 0.4, "in_distribution": 0.92},
        "evidence": {
            "state": "sha256:" + "ab12" * 16,
            "pos": 1841,
            "seeds": [7, 11],
            "n": 512,
            "policy": "sha256:" + "77fe" * 16,
            "plant": "sha256:" + "0c" * 32,
        },
        "timeline": [{"t": t, "status": "proposed", "by": "policy", "note": ""}],
        "realised": None,
        "reason": None,
    }
    return made | changes


class FakeTwin:
    """The script: plain attributes for everything, `step()` moves time and numbers the next frame."""

    def __init__(self) -> None:
        self.t = ORIGIN
        self.seq = 100
        self.mode = "live"
        self.st = [1, 1, 1, 1, 1, 3, 1]
        self.q = [0, 0, 0, 0, 0, 5, 0]
        self.buf = [[3, -1], [5, 8], [2, 8], [4, 8], [1, 8], [0, 8], [2, 8]]
        self.stk = [[44, 0, 16], [31, 0, 9], [6, 0, 0], [2, 1, 0]]
        self.kpi: dict[str, list[float]] = {
            "throughput": [11.4, 10.2, 12.5],
            "wip": [17, 17, 17],
            "backlog": [1, 1, 1],
            "output": [86, 86, 86],
        }
        self.sync = {"age_s": 0.4, "fidelity": "green", "holes": 0}
        self.ctl = {"cap_s": 6, "steel_level": 60}
        self.notices = 0
        self.lead = 3
        self.paused = False
        self.advice: dict[str, Any] = {"evaluated": 12, "t": ORIGIN, "why": "No candidate gained more than 5 EUR."}
        self.rec_v = 1
        self.fc_v = 1
        self.recs: list[dict[str, Any]] = []
        self.decisions: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self.contradictions: list[dict[str, Any]] = []
        self.belief = Belief(self.t, STATIONS)
        self.slow_s = 0.0
        self.broken = False
        self.troubles: list[dict[str, Any]] = []
        self.asked = 0
        for text in ("service", "forecast", "advice"):
            self.note(text, "twin", {"why": "started"})

    def begin_again(self) -> None:
        """Everything as at the start, an hour and ten frames after the newest moment so far."""
        t, seq, rec_v, fc_v = self.t, self.seq, self.rec_v, self.fc_v
        self.__dict__.update(FakeTwin().__dict__)
        self.t, self.seq, self.rec_v, self.fc_v = t + 60 * MINUTE, seq + 10, rec_v + 1, fc_v + 1
        self.belief = Belief(self.t, STATIONS)

    def step(self, seconds: float = 30.0, n: int = 1) -> int:
        """Advance by `n` frames of `seconds` plant time; returns the number of the newest frame."""
        for _ in range(n):
            self.t += int(seconds * 1000)
            self.seq += 1
        return self.seq

    def note(self, kind: str, actor: str, body: dict[str, Any]) -> None:
        self.log.append({"seq": len(self.log) + 1, "t": self.t, "type": kind, "actor": actor, "body": body})

    def propose(self, **changes: Any) -> dict[str, Any]:
        made = recommendation(41 + len(self.recs), self.t, **changes)
        self.recs.insert(0, made)
        self.rec_v += 1
        self.note("recommendation", "policy", {"id": made["id"]})
        return made

    def advance(self, rec_id: str, status: str, by: str, note: str = "") -> dict[str, Any]:
        """Move a recommendation on, as the real twin does when a command is sent and read back."""
        rec = next(r for r in self.recs if r["id"] == rec_id)
        rec.update(version=rec["version"] + 1, status=status)
        rec["timeline"] = [*rec["timeline"], {"t": self.t, "status": status, "by": by, "note": note}]
        self.rec_v += 1
        self.note(status, by, {"id": rec_id})
        return rec

    def frame(self) -> dict[str, Any]:
        return {"v": 1} | {
            name: getattr(self, name)
            for name in (
                "seq",
                "t",
                "mode",
                "st",
                "q",
                "buf",
                "stk",
                "kpi",
                "sync",
                "ctl",
                "notices",
                "rec_v",
                "fc_v",
                "lead",
                "paused",
                "advice",
            )
        }

    def decide(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Compare-and-set on the version; the same key again returns the same answer."""
        for done in self.decisions:
            if done["key"] == body["key"]:
                return 200, next(r for r in self.recs if r["id"] == done["id"])
        rec = next((r for r in self.recs if r["id"] == body["id"]), None)
        if rec is None:
            return 404, {"detail": f"recommendation {body['id']}: not known"}
        if rec["status"] not in ("proposed", "deferred"):
            return 409, {"detail": f"recommendation {rec['id']} is already {rec['status']}"}
        if self.t > rec["expires"]:
            return 409, {"detail": f"recommendation {rec['id']} has expired"}
        if rec["version"] != body["version"]:
            return 409, {"detail": f"version: expected {rec['version']}, found {body['version']}"}
        self.decisions.append(body)
        rec["reason"] = body.get("reason")
        status = {"accept": "accepted", "reject": "rejected", "defer": "deferred"}[body["decision"]]
        return 200, self.advance(rec["id"], status, "operator")

    def count_by_hand(self, body: dict[str, Any]) -> None:
        """A manual count is believed at once."""
        self.belief.counted.append(body)
        name = f"{body['thing']}/{body['property']}"
        self.belief.manual[name] = {"value": body["value"], "sd": body["sd"], "t": self.t, "role": body["role"]}

    def state(self) -> dict[str, Any]:
        values = [
            {
                "thing": name,
                "property": "state",
                "value": self.st[i],
                "spread": 0,
                "quality": self.q[i],
                "age_s": 2.0 + i,
                "mark": "measured",
            }
            for i, name in enumerate(STATIONS)
        ]
        values += [
            {
                "thing": name,
                "property": "level",
                "value": self.buf[i][0],
                "spread": 0.6 if self.q[i] == 5 else 0,
                "quality": self.q[i],
                "age_s": 8.0 + i,
                "mark": "measured",
            }
            for i, name in enumerate(STATIONS)
        ]
        for held in values:
            count = self.belief.manual.get(f"{held['thing']}/{held['property']}")
            held["value"] = count["value"] if count else held["value"]
        return {
            "sensors": self.belief.sensors(STATIONS, self.buf),
            "manual": self.belief.manual,
            "supply": {"age_s": 5400.0, "kinds": {"purchase_order": 5400.0}, "differs": {}, "notices": []},
            "t": self.t,
            "pos": 1841,
            "hash": "sha256:" + hashlib.sha256(str(self.seq).encode()).hexdigest(),
            "values": values,
            "contradictions": self.contradictions,
            "wip": {name: [self.buf[i][0] + 1, 0.3] for i, name in enumerate(STATIONS)},
        }

    def forecast(self) -> dict[str, Any]:
        series = {}
        for name, (value, _, _) in self.kpi.items():
            times = [self.t + k * 30 * MINUTE for k in range(17)]
            mean = [value + (0.4 if name == "throughput" else 0.1) * math.sin(k / 3) for k in range(17)]
            width = [0.1 * value * math.sqrt(k / 4) + 0.05 for k in range(17)]
            series[name] = {
                "t": times,
                "mean": mean,
                "lo": [max(0.0, m - w) for m, w in zip(mean, width, strict=True)],
                "hi": [m + w for m, w in zip(mean, width, strict=True)],
            }
        events = [{"what": "grind goes down", "p": 0.31}, {"what": "wire runs out", "p": 0.07}]
        made = {"v": self.fc_v, "t": self.t, "horizon_s": 28800, "series": series, "events": events}
        return made | {"shift": self.belief.shift}


def app(twin: FakeTwin) -> FastAPI:
    """The contract's routes over the script."""
    made = FastAPI()
    routes(made, twin)

    @made.get("/frame")
    async def frame() -> Any:
        twin.asked += 1
        return JSONResponse({"detail": "broken"}, status_code=500) if twin.broken else twin.frame()

    @made.get("/plant")
    async def get_plant() -> Any:
        return plant()

    @made.get("/state")
    async def state() -> Any:
        return twin.state()

    @made.get("/forecast")
    async def forecast() -> Any:
        return twin.forecast()

    @made.get("/recommendations")
    async def recommendations() -> Any:
        if twin.slow_s:
            await asyncio.sleep(twin.slow_s)
        return twin.recs

    @made.post("/decisions")
    async def decisions(request: Request) -> Any:
        status, body = twin.decide(await request.json())
        return JSONResponse(body, status_code=status)

    @made.post("/pause")
    async def pause(request: Request) -> Any:
        twin.paused = bool((await request.json())["on"])
        return {"paused": twin.paused}

    @made.get("/log")
    async def log(after: int | None = None, limit: int = 100) -> Any:
        rows = twin.log[-limit:] if after is None else [row for row in twin.log if row["seq"] > after][:limit]
        return {"rows": rows, "checkpoint": len(twin.log)}

    @made.get("/ledger")
    async def ledger() -> Any:
        source = {
            "received": 18410,
            "duplicate": 12,
            "late": 3,
            "hole": 0,
            "replayed": 40,
            "rejected": {"unknown_tag": 2},
            "dropped": {},
            "e": "9f2c51d0",
            "hw": 18422,
            "newest": 18422,
            "last_recv": int(time.time() * 1000),
            "online": True,
            "degraded": twin.troubles,
        }
        return {
            "sources": {"ptw/v1/demo/drives/gearmotor/cell1": source},
            "rejected": {"too_large": 1},
            "samples": [],
            "sinks": {"influx": {"state": "ok", "pos": 1830, "behind": 11, "failures": 0}},
        }

    return made


class Running:
    """The script served on a free loopback port from a thread."""

    def __init__(self, twin: FakeTwin) -> None:
        self.twin = twin
        config = uvicorn.Config(app(twin), host="127.0.0.1", port=0, log_level="warning", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started:
            if time.monotonic() > deadline or not self.thread.is_alive():
                raise RuntimeError("the scripted twin did not start within 20 s")
            time.sleep(0.02)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)
