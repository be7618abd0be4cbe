"""Commands at the gateway: checked, carried out, read back, acknowledged step by step; setpoints are leases.

Everything that must survive a kill is on disk before it has an effect: a command's id before it is
carried out, the value before the lease with it. After a restart a command that was accepted but has no end is
settled by looking at the plant, never by doing it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from hardware.fieldbus import FieldbusError
from hardware.guard import Refused, Situation, admissible, authentic, fresh, within_limits
from hardware.link import Arrival
from hardware.store import Store
from hardware.uplink import Uplink
from ingest.wire import Cmd, WireError, parse, parse_topic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEPT_MS = 30 * 86_400_000
"""How long the ids of expired commands are remembered (an expired command is refused anyway)."""
COLUMNS = "id, source, control, value, before, ends, state"


class Setpoints(Protocol):
    """How the plant is written to and read (the fieldbus client)."""

    async def write(self, tag: str, value: int, fallback: int | None = None) -> dict[str, Any]: ...

    async def read(self, *tags: str) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Lease:
    """Setpoint `control` = `value` until plant ms `ends`; then back to `before`. `id` is the command that holds it."""

    control: str
    id: str
    source: str
    value: int
    before: int
    ends: int


class Commander:
    """Carries out commands. `look()` tells the present situation (without what is on disk here)."""

    def __init__(
        self, store: Store, plant: Setpoints, uplinks: Mapping[str, Uplink], look: Callable[[], Situation], issuer: str
    ) -> None:
        self._store, self._db, self._plant, self._uplinks, self._look = store, store.db, plant, uplinks, look
        self._issuer = issuer
        self.key: Ed25519PublicKey | None = None
        self.refused: dict[str, int] = {}
        self.executed = 0
        self._lock = asyncio.Lock()
        self._writing: dict[str, int] = {}
        self._strangers = 0.0

    # what is on disk ---------------------------------------------------------------------------

    def leases(self) -> list[Lease]:
        return [Lease(*row) for row in self._db.execute("SELECT control, id, source, value, before, ends FROM leases")]

    def _lease(self, control: str) -> Lease | None:
        return next((lease for lease in self.leases() if lease.control == control), None)

    def _situation(self) -> Situation:
        changed = {str(c): int(t) for c, t in self._db.execute("SELECT control, t FROM changes")}
        return replace(self._look(), changed=changed)

    def _changed(self, control: str, t: int) -> None:
        self._db.execute(
            "INSERT INTO changes VALUES (?, ?) ON CONFLICT (control) DO UPDATE SET t = excluded.t", (control, t)
        )

    def _settle(self, ident: str, state: str) -> None:
        self._db.execute("UPDATE commands SET state = ? WHERE id = ?", (state, ident))

    def forget_plant(self) -> None:
        """Another plant is on the fieldbus: leases and the times of changes meant the old one."""
        with self._store.transaction():
            self._db.execute("DELETE FROM leases")
            self._db.execute("DELETE FROM changes")
            self._db.execute("UPDATE commands SET state = 'rejected' WHERE state = 'accepted'")

    @contextmanager
    def _group(self, root: str) -> Iterator[None]:
        """What changes here and what is told about it reach the disk together, or not at all."""
        uplink = self._uplinks[root]
        try:
            with self._store.transaction():
                yield
                uplink.store()
        except BaseException:
            uplink.not_stored()
            raise
        uplink.stored()

    def _ack(self, root: str, ident: str, step: str, **more: Any) -> None:
        now = self._look().now
        self._uplinks[root].numbered("cmdack", f"cmdack/{ident}", {"id": ident, "step": step, "t": now, **more})

    # a command arrives -------------------------------------------------------------------------

    async def handle(self, arrival: Arrival, root: str) -> None:
        """Check, act, read back, acknowledge."""
        async with self._lock:
            await self._handle(arrival, root)

    async def _handle(self, arrival: Arrival, root: str) -> None:
        if not arrival.payload:
            return  # a retained command being cleared
        try:
            ident = parse_topic(arrival.topic).id
        except WireError:  # nobody can be told: an answer's topic would be no topic either
            self.refused["malformed"] = self.refused.get("malformed", 0) + 1
            return
        try:
            cmd: Cmd = parse("cmd", arrival.payload)
        except WireError as error:
            self._refuse_stranger(root, ident, Refused("malformed", str(error)))
            return
        if self.key is None:
            stranger: Refused | None = Refused(
                "bad_signature", "this gateway has no site key; put keys/site.pub into its data folder"
            )
        else:
            stranger = authentic(cmd, self.key, self._issuer, root, ident)
        if stranger is not None:
            self._refuse_stranger(root, ident, stranger)
            return
        situation = self._situation()
        known = self._db.execute("SELECT state FROM commands WHERE id = ?", (cmd.id,)).fetchone()
        if known is not None and known[0] == "accepted":
            return  # cut off by a kill, settled as soon as the plant is heard again
        refused = fresh(cmd, situation.now, seen=known is not None, retained=arrival.retained)
        if refused is not None and refused.reason in ("retained", "replayed"):
            self._refuse_stranger(root, ident, refused)  # its id stays as it is, whatever came of it the first time
            return
        self._ack(root, cmd.id, "received")
        refused = refused or admissible(cmd, situation)
        self._remember(cmd, root, situation, "rejected" if refused else "accepted")
        if refused is not None:
            self._refuse(root, cmd.id, refused)
            return
        self._ack(root, cmd.id, "accepted")
        await self._carry_out(cmd.id)

    def _refuse_stranger(self, root: str, ident: str, refused: Refused) -> None:
        """Refuse what is not known to be ours: counted always, answered once a second (it must not fill the outbox)."""
        now = asyncio.get_running_loop().time()
        if now - self._strangers >= 1.0 or refused.reason in ("retained", "replayed"):
            self._strangers = now
            self._refuse(root, ident, refused)
        else:
            self.refused[refused.reason] = self.refused.get(refused.reason, 0) + 1

    def _refuse(self, root: str, ident: str, refused: Refused) -> None:
        self.refused[refused.reason] = self.refused.get(refused.reason, 0) + 1
        with self._group(root):
            self._ack(root, ident, "rejected", reason=str(refused))

    def _remember(self, cmd: Cmd, root: str, situation: Situation, state: str) -> None:
        """On disk before any effect: the id, and what the setpoint was before the first lease in a row."""
        lease = self._lease(cmd.target)
        before = lease.before if lease is not None else situation.settings.get(cmd.target, cmd.value)
        ends = situation.now + cmd.lease_s * 1000
        with self._group(root):
            self._db.execute(
                "DELETE FROM commands WHERE expires < ? AND state <> 'accepted'", (situation.now - KEPT_MS,)
            )
            self._db.execute(
                "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (cmd.id, root, cmd.target, cmd.value, before, ends, state, cmd.expires),
            )

    async def _carry_out(self, ident: str) -> None:
        _, root, control, value, before, ends, _ = self._db.execute(
            f"SELECT {COLUMNS} FROM commands WHERE id = ?",  # noqa: S608 - a constant
            (ident,),
        ).fetchone()
        self._writing[control] = value
        try:
            answer = await self._plant.write(f"set/{control}", value, before)
            found = (await self._plant.read(f"set/{control}")).get(f"set/{control}")
        except FieldbusError as error:
            answer, found = {"ok": False, "why": str(error)}, None
        finally:
            self._writing.pop(control, None)
        if answer.get("ok") and found == value:
            self._executed(Lease(control, ident, root, value, before, ends))
        else:
            why = answer.get("why") or f"read back {found}, expected {value}"
            more = {} if found is None else {"read_back": found}
            self.refused["write_failed"] = self.refused.get("write_failed", 0) + 1
            with self._group(root):
                self._settle(ident, "rejected")
                self._ack(root, ident, "rejected", reason=str(Refused("write_failed", why)), **more)

    def _executed(self, lease: Lease) -> None:
        previous = self._lease(lease.control)
        with self._group(lease.source):
            self._settle(lease.id, "executed")
            if previous is None or previous.value != lease.value:  # a renewal is no change
                self._changed(lease.control, self._look().now)
            self._db.execute("DELETE FROM leases WHERE control = ?", (lease.control,))
            self._db.execute(
                "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?)",
                (lease.control, lease.id, lease.source, lease.value, lease.before, lease.ends),
            )
            self._ack(lease.source, lease.id, "executed", read_back=lease.value)
        self.executed += 1

    # afterwards --------------------------------------------------------------------------------

    async def settle_after_restart(self) -> None:
        """Commands accepted before a kill: executed if the plant shows their value, else given up."""
        async with self._lock:
            rows = self._db.execute(f"SELECT {COLUMNS} FROM commands WHERE state = 'accepted'").fetchall()  # noqa: S608
            for ident, root, control, value, before, ends, _ in rows:
                found = (await self._plant.read(f"set/{control}")).get(f"set/{control}")
                if found == value:
                    self._executed(Lease(control, ident, root, value, before, ends))
                    continue
                with self._group(root):
                    self._settle(ident, "rejected")
                    why = Refused("gateway_restarted", f"the plant shows {found}, expected {value}")
                    self._refuse(root, ident, why)

    def leased_otherwise(self, control: str, value: int) -> bool:
        """The plant tells a setpoint: is it another than what is leased (or being written)?"""
        lease = self._lease(control)
        return lease is not None and value not in (lease.value, self._writing.get(control))

    async def heard_setpoint(self, control: str, value: int) -> None:
        """A setpoint that is not ours was set at the machine and ends the lease: as soon as a look says the same.

        What was told may be older than our own write (two changes within one publishing interval come one after the
        other): a lease ended for that would be held by the PLC for ever and given back by nobody.
        """
        tag = f"set/{control}"
        async with self._lock:
            lease = self._lease(control)
            if lease is None or value == lease.value:
                return
            try:
                value = int((await self._plant.read(tag)).get(tag, value))
            except FieldbusError:
                pass  # then what was told is the newest we know
            if value != lease.value:
                self._end(lease, value, f"changed_at_machine: the plant shows {value}, leased was {lease.value}")

    def note_change(self, control: str, t: int) -> None:
        """A setpoint changed at plant ms `t`: the time between two changes counts from here."""
        if control not in self._writing:
            with self._store.transaction():
                self._changed(control, t)

    def _end(self, lease: Lease, found: int, why: str) -> None:
        with self._group(lease.source):
            self._db.execute("DELETE FROM leases WHERE control = ?", (lease.control,))
            self._ack(lease.source, lease.id, "lease_ended", read_back=found, reason=why)

    async def end_leases(self) -> None:
        """Give setpoints back whose lease is over; where a limit forbids the old value, as soon as it does not."""
        if self._lock.locked():
            return
        async with self._lock:
            situation = self._situation()
            for lease in self.leases():
                over = situation.now >= lease.ends and situation.connected and situation.mode == "auto"
                if over and within_limits(lease.control, lease.before, situation) is None:
                    await self._give_back(lease)

    async def _give_back(self, lease: Lease) -> None:
        tag = f"set/{lease.control}"
        self._writing[lease.control] = lease.before
        try:
            answer = await self._plant.write(tag, lease.before)
            found = (await self._plant.read(tag)).get(tag)
        except FieldbusError:
            return  # tried again when the fieldbus is back
        finally:
            self._writing.pop(lease.control, None)
        if answer.get("ok") and found == lease.before:
            with self._store.transaction():
                self._changed(lease.control, self._look().now)
            self._end(lease, lease.before, f"expired: back to {lease.before}")
