"""Between the twin and ingest: signed commands out, the recommendation in force, what is only passed on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import msgspec

from ingest.keys import KeyFileError, load_private, sign
from ingest.wire import Cmd
from twin.decisions import OPEN, Refused
from twin.engine import Engine
from twin.joint import command_id, controls_of, moves_of
from twin.missing import of_ingest
from twin.refits import manual_row

COMMAND_LIFE_MS = 600_000
"""A command may be carried out for this long (plant ms), or for 120 s of wall time where that is longer."""
TIMEOUT_S = 5.0
LOOK_S = 5.0
"""Wall seconds between two looks at how ingest is."""
KEEPALIVE_S = 2.0
"""uvicorn closes a connection that was idle for 5 s; one as old here would be closed under the next request."""


class Courier:
    """Carries what was decided to ingest at `url`. Everything may be repeated: a command is known by its id."""

    def __init__(self, engine: Engine, url: str, data: Path, client: httpx.Client | None = None) -> None:
        self.engine, self.url, self.data = engine, url.rstrip("/"), data
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE_S)
        self.client = client or httpx.Client(timeout=TIMEOUT_S, trust_env=False, limits=limits)
        self._shown: str | None = None
        self._taken: set[str] = set()  # ids of commands that ingest has said it has
        self._looked = 0.0

    def work(self) -> None:
        """One turn: post what is accepted and not sent, and say which recommendation is in force."""
        for rec in list(self.engine.book.in_status("accepted")):
            try:
                self._send(rec)
            except httpx.HTTPError as error:
                self.engine.note_error("ingest", error)
        self._publish()
        if time.monotonic() - self._looked >= LOOK_S:
            self.look()

    def look(self) -> None:
        """See what ingest has to do without."""
        self._looked = time.monotonic()
        try:
            health = self.client.get(f"{self.url}/healthz").json()
            self.engine.ingest = of_ingest(health if isinstance(health, dict) else None)
        except (httpx.HTTPError, ValueError):
            self.engine.ingest = of_ingest(None)

    def _send(self, rec: dict[str, Any]) -> None:
        """Post the command that is next, if one is. A kill may come at any point: what was signed is in the log before
        it is posted and is posted again as it is; nothing is signed twice.
        """
        engine = self.engine
        with engine.lock:
            command = self._next(rec) if rec["status"] == "accepted" else None
        if command is None:
            return
        answer = self.client.post(f"{self.url}/command", content=msgspec.json.encode(command))
        with engine.lock:
            if answer.status_code == 200:
                self._taken.add(command["id"])
                if command["target"] == controls_of(rec)[-1]:
                    engine.book.sent(rec, engine.present(), "in the journal")
            elif answer.status_code < 500 and rec["status"] == "accepted":
                engine.book.refuse(rec, command["target"], engine.present(), reason_of(answer))

    def _next(self, rec: dict[str, Any]) -> dict[str, Any] | None:
        """The signed command to post now, or None; called with the lock held."""
        book, now = self.engine.book, self.engine.present()
        move = book.due(rec, now)
        if move is None:
            return None
        control = move["control"]
        if control not in rec.get("commands", {}):
            try:
                book.command(rec, self._signed(rec, move), now, control)
            except KeyFileError as error:
                self.engine.note_error("keys", error)
                book.refuse(rec, control, now, str(error))
                return None
        command: dict[str, Any] = rec["commands"][control]
        if command["id"] in self._taken:
            return None
        if now.t >= command["expires"]:
            book.refuse(rec, control, now, "it expired before it could be sent")
            return None
        return command

    def _signed(self, rec: dict[str, Any], move: dict[str, Any]) -> dict[str, Any]:
        now = self.engine.present(with_hash=True)
        cmd = Cmd(
            id=command_id(rec, controls_of(rec).index(move["control"])),
            target=move["control"],
            value=move["to"],
            not_before=now.t,
            expires=now.t + max(COMMAND_LIFE_MS, now.wall(120_000)),
            lease_s=max(int(rec.get("lease_s") or rec["horizon_s"]), round(now.wall(120_000) / 1000), 1),
            state=now.state,
            rec=rec["id"],
            issuer=f"twin@{self.engine.plant.site}",
            sig="",
        )
        found: dict[str, Any] = msgspec.to_builtins(sign(cmd, load_private(self.data)))
        return found

    def _publish(self) -> None:
        """The newest open recommendation becomes the retained `/rec`; none empties it."""
        with self.engine.lock:
            newest = next((r for r in self.engine.book.newest_first() if r["status"] in OPEN), None)
            shown = newest["id"] if newest else None
            if shown == self._shown:
                return
            body = _rec(newest) if newest else b"null"
        try:
            if self.client.post(f"{self.url}/rec", content=body).status_code < 500:
                self._shown = shown
        except httpx.HTTPError as error:
            self.engine.note_error("ingest", error)

    def ledger(self) -> dict[str, Any]:
        """Ingest's ledger (raises httpx.HTTPError when it cannot be had)."""
        answer = self.client.get(f"{self.url}/ledger")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def manual(self, body: bytes) -> tuple[int, Any]:
        """Pass a manual count on; (HTTP status, answer)."""
        answer = self.client.post(f"{self.url}/manual", content=body)
        return answer.status_code, answer.json()

    def refit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Decide about a refit (raises Refused; httpx.HTTPError when ingest cannot be reached: nothing is decided)."""
        engine = self.engine
        with engine.lock:
            row = engine.refits.open(request, engine.plant)
        if request["decision"] != "reject":
            answer = self.client.post(f"{self.url}/manual", content=msgspec.json.encode(manual_row(row, request)))
            if answer.status_code != 200:
                raise Refused(f"ingest did not take the refit: {reason_of(answer)}")
        with engine.lock:
            return engine.refits.decide(row, request, engine.tracker.state.t, engine.tracker.pos)


def _rec(rec: dict[str, Any]) -> bytes:
    """The wire's `/rec`; readers that know one control only find the move that matters most."""
    gain, moves = rec["gain"], moves_of(rec)
    return msgspec.json.encode(
        {
            "id": rec["id"],
            "control": rec["control"],
            "from": rec["from"],
            "to": rec["to"],
            "expires": rec["expires"],
            "gain": {
                "mean": gain["mean"],
                "lo": gain["lo"],
                "hi": gain["hi"],
                "unit": str(gain.get("unit", "")),
                "worse": min(max(float(gain.get("worse") or 0.0), 0.0), 1.0),
            },
        }
        | ({"moves": moves} if len(moves) > 1 else {})
    )


def reason_of(answer: httpx.Response) -> str:
    """Why ingest refused, in its words."""
    try:
        return str(answer.json().get("error") or answer.text)[:300]
    except ValueError:
        return f"ingest answered {answer.status_code}"
