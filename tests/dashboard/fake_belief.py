"""What the scripted twin says of itself: certificate, scores, drift, refits, tags, counts by hand."""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

QUARTER = 900_000
SERIES = ("wip", "output", "backlog")


def line(name: str, light: str = "green", **changes: Any) -> dict[str, Any]:
    """A line of the certificate with enough epochs."""
    made = {
        "name": name,
        "ahead_s": 900,
        "n": 48,
        "need": 28,
        "light": light,
        "why": [],
        "coverage90": 0.9167,
        "coverage_lo": 0.8246,
        "coverage_hi": 0.9627,
        "bias": -0.21,
        "bias_lo": -0.6,
        "bias_hi": 0.18,
        "tolerance": 1.4,
        "p_uniform": 0.41,
        "crps": 0.8,
        "skill": {"persistence": 0.31, "season": None, "ever": 0.2},
        "widen": 1.0,
        "seen": [9, 21],
        "newest": 0,
    }
    return made | changes


def score_rows(t: int) -> list[dict[str, Any]]:
    """Forty epochs of three series; each tenth one came outside."""
    rows = []
    for name in SERIES:
        for k in range(40):
            mean = 14 + 3 * math.sin(k / 4)
            value = mean + (5.0 if k % 10 == 9 else 0.6 * math.cos(k))
            rows.append(
                {"t": t - (40 - k) * QUARTER, "name": name, "ahead_s": 900, "value": round(value), "mean": mean}
                | {"lo": round(mean - 3, 1), "hi": round(mean + 3, 1), "covered": k % 10 != 9, "share": (k % 10) / 10}
            )
    return rows


def shift(t: int, **changes: Any) -> dict[str, Any]:
    """The shift that runs, and the one before it."""
    told = {"mean": 151.62, "lo": 140.1, "hi": 163.4, "alone": {"mean": 170.9, "lo": 160.0, "hi": 181.0}, "n": 9}
    last = told | {"a": t - 36_000_000, "b": t - 7_200_000, "out": 149.0, "by": "counted", "kind": "22:00 weekday"}
    made = {"plan": "shifts", "kind": "06:00 weekday", "a": t - 7_200_000, "b": t + 21_600_000, "made": t - 7_190_000}
    return made | told | {"same": 3, "so_far": 38, "why": "", "next": t + 21_600_000, "last": last} | changes


def refit(t: int, **changes: Any) -> dict[str, Any]:
    made = {
        "id": "c-1",
        "status": "proposed",
        "name": "repair/heat",
        "title": "repair of heat",
        "made": t,
        "says": "repair of heat: file 30 min, seen 61 min (52 to 72, n = 40)",
        "factor": 2.03,
        "sd": 0.1,
        "n": 40.0,
        "left_out": 2,
        "text": "lognormal(mean=61 min, cv=0.8)",
        "score": {"before": 0.61234, "after": 0.41},
        "effect": {"output": [88.0, 81.5], "output_5": [70.0, 62.0], "backlog": [2.0, 5.1]},
        "takes_effect": True,
        "how": "",
    }
    return made | changes


def drift_notice(t: int, **changes: Any) -> dict[str, Any]:
    made = {
        "id": f"repair-heat-{t}",
        "kind": "repair",
        "place": "heat",
        "up": True,
        "ratio": 2.0,
        "before": 1_812_000.0,
        "after": 3_660_000.0,
        "since": t - 20 * QUARTER,
        "t": t - 4 * QUARTER,
        "n": 14,
        "closed": "",
        "text": "repair time of heat: 2 times what it was (14 seen)",
    }
    return made | changes


def machine(name: str, condition: str = "learnt", **changes: Any) -> dict[str, Any]:
    """A machine with two analog signals."""
    signals = [("vibration", "mm/s", 4.23), ("temperature", "°C", 61.0)]
    made = {
        "machine": name,
        "station": name.partition("/")[0],
        "unit": None,
        "condition": condition,
        "since": None,
        "moved": [],
        "have": 400,
        "need": 400,
        "silent": [],
        "silent_s": None,
        "signals": [
            {"tag": f"{name}/{what}", "name": what, "in": unit, "value": value, "age_s": 0.8}
            for what, unit, value in signals
        ],
    }
    return made | changes


class Belief:
    """Plain attributes; the tests change them."""

    def __init__(self, t: int, stations: tuple[str, ...]) -> None:
        self.fidelity: dict[str, Any] = {
            "t": t,
            "light": "green",
            "why": [],
            "expires": t + 86_400_000,
            "n": 312,
            "lines": [line(name) for name in SERIES]
            + [line(f"{kind}/{s}") for s in stations for kind in ("at", "out")]
            + [
                {
                    "name": "wip",
                    "ahead_s": 28800,
                    "n": 4,
                    "need": 10,
                    "light": "unknown",
                    "why": ["too early: 4 of 10 forecasts"],
                }
            ],
            "stations": dict.fromkeys(stations, "green"),
            "outside": [],
        }
        self.rows = score_rows(t)
        self.shift: dict[str, Any] = shift(t)
        self.hours: list[str] = []
        self.open: dict[str, str] = {}
        self.notices: list[dict[str, Any]] = []
        self.refits: list[dict[str, Any]] = []
        self.machines: list[dict[str, Any]] = []
        self.manual: dict[str, Any] = {}
        self.decided: list[dict[str, Any]] = []
        self.counted: list[dict[str, Any]] = []
        self.unheard: set[str] = set()
        self.failed: dict[str, dict[str, int]] = {}

    def drifted(self, t: int) -> None:
        """A station has come to need longer for its repairs, and a refit is proposed."""
        self.notices, self.refits = [drift_notice(t)], [refit(t)]
        self.fidelity["stations"]["heat"] = "amber"
        self.fidelity["lines"].append(line("at/heat", "amber", ahead_s=3600, why=["an open notice of drift"]))

    def sensors(self, stations: tuple[str, ...], levels: list[Any]) -> list[dict[str, Any]]:
        """Two tags at each station, and what the stocks say."""
        stock = ("bar_steel", "wire")
        tags = [
            (f"{s}/{p}", f"b_{s}" if p == "level" else s, p, s) for s in stations for p in ("state", "level", "out")
        ]
        tags += [(f"{k}/on_hand", k, "on_hand", k) for k in stock]
        found = []
        for i, (tag, thing, what, place) in enumerate(tags):
            heard, failed = tag not in self.unheard, self.failed.get(tag, {})
            row: dict[str, Any] = {"tag": tag, "thing": thing, "property": what, "place": place, "heard": heard}
            value = {"state": 1, "level": levels[i // 3 % len(levels)][0]}.get(what, 10 + i)
            flag = next(iter(failed), "")
            row |= {"unit": None, "product": None, "failed": failed, "flag": flag, "n": 90 if heard else 0}
            row |= {"value": value if heard else None, "age_s": 2.0 + i if heard else None}
            found.append(row | {"quality": (3 if flag else 0) if heard else None})
        return found

    def decide(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        found = next((r for r in self.refits if r["id"] == body["id"]), None)
        if found is None:
            return 409, {"error": f"there is no refit {body['id']!r}; GET /refits lists them"}
        if found["status"] != ("approved" if body["decision"] == "withdraw" else "proposed"):
            return 409, {"error": f"refit {found['id']} is {found['status']} already"}
        self.decided.append(body)
        became = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"}
        found |= {"status": became[body["decision"]]}
        found |= {"role": body["role"], "reason": body["reason"], "decided": self.fidelity["t"]}
        return 200, found


def routes(made: FastAPI, twin: Any) -> None:
    """The contract's routes over `twin.belief`."""

    @made.get("/fidelity")
    async def fidelity() -> Any:
        return twin.belief.fidelity

    @made.get("/drift")
    async def drift() -> Any:
        believed = twin.belief
        return {
            "notices": believed.notices, "charts": 10, "machines": believed.machines, "hours": believed.hours,
            "open": believed.open,
        }  # fmt: skip

    @made.post("/drift")
    async def settle(request: Request) -> Any:
        body = await request.json()
        found = next((n for n in twin.belief.notices if n["id"] == body["id"] and not n["closed"]), None)
        if found is None:
            return JSONResponse({"error": f"no open notice of drift {body['id']!r}"}, status_code=409)
        found["closed"] = body["why"]
        return {"id": body["id"], "closed": body["why"]}

    @made.get("/refits")
    async def refits() -> Any:
        return twin.belief.refits

    @made.post("/refits")
    async def decide(request: Request) -> Any:
        status, body = twin.belief.decide(await request.json())
        return JSONResponse(body, status_code=status)

    @made.get("/scores")
    async def scores(name: str = "", last: int = 60) -> Any:
        rows = [row for row in twin.belief.rows if not name or row["name"] in name.split(",")]
        figures = {"n": len(rows), "coverage90": 0.88, "bias": -0.1, "crps": 0.5}
        return figures | {"rows": rows[-3 * last :], "ranks": [12] * 10, "groups": [], "unscored": 0}

    @made.post("/manual")
    async def manual(request: Request) -> Any:
        body = await request.json()
        if body["thing"] == "wire" and body["value"] > 1000:
            return JSONResponse({"error": "wire: the store holds 1000 at most"}, status_code=409)
        twin.count_by_hand(body)
        return {"t": twin.t}
