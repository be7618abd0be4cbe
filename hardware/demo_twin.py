"""The demo's view of the running twin: a small client, the scripted operator, one line of what is going on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


class TwinApi:
    """JSON over loopback HTTP; a service that does not answer gives None, since the demo watches services that die."""

    def __init__(self, twin: str, ingest: str) -> None:
        self.twin, self.ingest = twin, ingest

    def get(self, path: str) -> Any:
        """The body of GET `path` at the twin, or None."""
        return _request(self.twin, "GET", path)[1]

    def decide(self, body: dict[str, Any]) -> tuple[int, Any]:
        """POST a decision: (HTTP status, body); status 0 when nobody answered."""
        return _request(self.twin, "POST", "/decisions", body)

    def duplicates(self) -> int:
        """Messages that came more than once, over all sources, by ingest's ledger."""
        ledger = _request(self.ingest, "GET", "/ledger")[1] or {}
        return sum(int(source.get("duplicate") or 0) for source in ledger.get("sources", {}).values())


def _request(base: str, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    where = urlsplit(base)
    connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=TIMEOUT_S)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()
    return answer.status, found if method == "POST" or answer.status == 200 else None


class Operator:
    """A scripted operator for the demo only: accepts the first recommendation that is worth it.

    It looks at each recommendation once it has been shown for two turns, says what it sees, and asks nobody. The
    promise is a prediction interval with all the plant's luck in it, so it mostly reaches below zero; worth it means
    that the mean is positive, that a loss is less likely than a gain, and that no check of the twin is open. A check of
    the twin's fidelity that was open when the recommendation was made is looked up again: forecasts must have been met.
    """

    def __init__(self, api: TwinApi, say: Callable[[str], None]) -> None:
        self.api, self.say = api, say
        self.accepted: str | None = None
        self.looked: dict[str, int] = {}
        self.doubted: dict[str, str] = {}

    def look(self) -> None:
        """One turn: look at what is proposed and decide."""
        if self.accepted is not None:
            return
        for row in self.api.get("/recommendations") or []:
            if row.get("status") != "proposed":
                continue
            turns = self.looked[row["id"]] = self.looked.get(row["id"], 0) + 1
            if turns < 2:
                continue
            if turns == 2:
                self.say(f"recommended {row['id']}: {describe(row)}")
            doubt = doubts(row, self._fidelity())
            if not doubt:
                self._accept(row)
                return
            if self.doubted.get(row["id"]) != doubt:
                self.doubted[row["id"]] = doubt
                self.say(f"  left alone: {doubt} ({row['id']})")

    def _fidelity(self) -> str:
        frame = self.api.get("/frame")
        return str((frame.get("sync") or {}).get("fidelity")) if isinstance(frame, dict) else ""

    def _accept(self, row: dict[str, Any]) -> None:
        body = {
            "id": row["id"],
            "version": row["version"],
            "decision": "accept",
            "reason": "scripted operator of the demo",
            "key": f"demo-{row['id']}",
        }
        status, answer = self.api.decide(body)
        if status == 200:
            self.accepted = row["id"]
            together = f", {len(moves(row))} setpoints" if len(moves(row)) > 1 else ""
            self.say(f"  accepted by the scripted operator ({row['id']}{together})")
        else:
            self.looked[row["id"]] = 0
            self.say(f"  could not be accepted ({row['id']}): {answer}")


def doubts(row: dict[str, Any], fidelity: str = "") -> str:
    """Why the scripted operator leaves a recommendation alone; empty when it would accept."""
    gain = row.get("gain") or {}
    if not float(gain.get("mean") or 0) > 0:
        return "it promises no gain"
    if not float(gain.get("worse", 1.0)) < 0.5:
        return "a loss is as likely as a gain"
    for name, check in (row.get("checks") or {}).items():
        if name == "twin fidelity" and fidelity == "green":
            continue
        if isinstance(check, dict) and check.get("ok") is False:
            return f"a check is open: {name}: {check.get('note', '')}"
    return ""


def moves(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The setpoints of a recommendation, `{control, from, to}` each; without a list its one."""
    return [{name: move.get(name) for name in ("control", "from", "to")} for move in row.get("moves") or [row]]


def describe(row: dict[str, Any]) -> str:
    """Such as `cap 6 -> 8, gain 18 EUR (90 %: 4.1 to 31.9)`; several setpoints joined by `and`."""
    gain = row.get("gain") or {}
    mean, low, high = (_short(gain.get(name)) for name in ("mean", "lo", "hi"))
    changes = [f"{m.get('control')} {_number(m.get('from'))} -> {_number(m.get('to'))}" for m in moves(row)]
    return f"{' and '.join(changes)}, gain {mean} {gain.get('unit', '')} (90 %: {low} to {high})"


def status_line(api: TwinApi, zone: tzinfo = UTC, time_unit: str = "h") -> str:
    """One calm line: plant time (in `zone`), how the twin is, its first figures, what waits for a person.

    Empty without a twin.
    """
    frame = api.get("/frame")
    if not isinstance(frame, dict):
        return ""
    when = datetime.fromtimestamp(frame["t"] / 1000, zone) if frame.get("t") else None
    pieces = [f"plant time {when:%a %d %b %H:%M}" if when else "no plant time yet", str(frame.get("mode", ""))]
    for name, unit in (("throughput", f"parts/{time_unit}"), ("wip", "parts")):
        value = (frame.get("kpi") or {}).get(name)
        if value and value[0] is not None:
            pieces.append(f"{name} {value[0]:.3g} {unit}")
    waiting = [row for row in api.get("/recommendations") or [] if row.get("status") == "proposed"]
    if waiting:
        pieces.append(f"waiting for a decision: {describe(waiting[0])}")
    return " · ".join(piece for piece in pieces if piece)


def _short(value: object) -> str:
    """An amount for reading: three significant digits, whole from 100 up."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
