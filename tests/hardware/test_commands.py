"""Commands at the gateway: each reason to refuse leaves the plant alone; leases end as they should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hardware.commander import Commander
from hardware.fieldbus import FieldbusError
from hardware.guard import REASONS, Situation
from hardware.link import Arrival, Link
from hardware.outbox import Outbox
from hardware.store import Store
from hardware.uplink import Uplink
from ingest.keys import sign
from ingest.wire import Cmd, encode
from sim.plant import Plant
from sim.plantfile import load

ROOT = "ptw/v1/demo/machining/line3/cell1"
NOW = 1_767_600_000_000
KEY = Ed25519PrivateKey.generate()


@dataclass
class Setpoints:
    """A plant that remembers what was written to it."""

    values: dict[str, int] = field(default_factory=lambda: {"set/cap": 6})
    writes: list[tuple[str, int, int | None]] = field(default_factory=list)
    obeys: bool = True
    away: bool = False

    async def write(self, tag: str, value: int, fallback: int | None = None) -> dict[str, Any]:
        if self.away:
            raise FieldbusError("the fieldbus is away")
        self.writes.append((tag, value, fallback))
        if self.obeys:
            self.values[tag] = value
        return {"ok": True, "value": value}

    async def read(self, *tags: str) -> dict[str, Any]:
        return {t: self.values[t] for t in tags}


class Bench:
    """A commander on a real outbox file with a fake plant and a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.plant: Plant = load("line3")
        self.bus = Setpoints()
        self.path = folder / "outbox.db"
        self.situation = Situation(
            now=NOW,
            controls={c.id: c for c in self.plant.controls},
            tick_ms=self.plant.tick_s * 1000,
            limits=self.plant.limits,
            states={"turn": {"work"}},
        )
        self.open()

    def open(self) -> None:
        self.store = Store(self.path)
        self.uplink = Uplink(Outbox(self.store, ROOT), Link("127.0.0.1", 1, "none"), [])
        self.commander = Commander(self.store, self.bus, {ROOT: self.uplink}, self.look, "twin@demo")
        self.commander.key = KEY.public_key()

    def look(self) -> Situation:
        return replace(self.situation, settings={"cap": self.bus.values["set/cap"]})

    def tick(self, seconds: float) -> None:
        self.situation = replace(self.situation, now=self.situation.now + int(seconds * 1000))

    def cmd(self, ident: str = "c-1", value: int = 8, **changes: Any) -> Cmd:
        cmd = Cmd(
            id=ident,
            target="cap",
            value=value,
            not_before=self.situation.now,
            expires=self.situation.now + 600_000,
            lease_s=3600,
            state="sha256:x",
            rec="r-1",
            issuer="twin@demo",
            sig="",
        )
        return sign(msgspec.structs.replace(cmd, **changes), KEY)

    def send(self, cmd: Cmd | bytes, *, retained: bool = False, ident: str | None = None) -> None:
        body = cmd if isinstance(cmd, bytes) else encode(cmd)
        name = ident or (cmd.id if isinstance(cmd, Cmd) else "c-1")
        asyncio.run(self.commander.handle(Arrival(f"{ROOT}/cmd/{name}", body, retained), ROOT))

    def acks(self) -> list[dict[str, Any]]:
        with self.store.transaction():
            self.uplink.store()
        self.uplink.stored()
        found = [json.loads(m.body) for m in self.uplink.outbox.stored(1, 10_000, 10_000)]
        return [a for a in found if "step" in a]

    def steps(self, ident: str = "c-1") -> list[str]:
        return [a["step"] for a in self.acks() if a["id"] == ident]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_good_command_is_acknowledged_in_steps_and_read_back(bench: Bench) -> None:
    bench.send(bench.cmd())
    assert bench.steps() == ["received", "accepted", "executed"]
    assert bench.acks()[-1]["read_back"] == 8
    assert bench.bus.writes == [("set/cap", 8, 6)]


def _unsigned(b: Bench) -> None:
    b.send(msgspec.structs.replace(b.cmd(), sig=""))


def _wrong_key(b: Bench) -> None:
    b.send(sign(b.cmd(), Ed25519PrivateKey.generate()))


def _altered(b: Bench) -> None:
    b.send(msgspec.structs.replace(b.cmd(value=7), value=8))


def _issuer(b: Bench) -> None:
    b.send(b.cmd(issuer="twin@elsewhere"))


def _address(b: Bench) -> None:
    b.send(b.cmd(to="ptw/v1/demo/machining/line9/cell1"))


def _other_topic(b: Bench) -> None:
    b.send(b.cmd("c-2"), ident="c-1")


def _expired(b: Bench) -> None:
    cmd = b.cmd()
    b.tick(600)
    b.send(cmd)


def _not_yet(b: Bench) -> None:
    b.send(b.cmd(not_before=NOW + 5_000))


def _retained(b: Bench) -> None:
    b.send(b.cmd(), retained=True)


def _unknown_target(b: Bench) -> None:
    b.send(b.cmd(target="speed"))


def _range(b: Bench) -> None:
    b.send(b.cmd(value=12))


def _manual(b: Bench) -> None:
    b.situation = replace(b.situation, mode="manual")
    b.send(b.cmd())


def _mode_unknown(b: Bench) -> None:
    b.situation = replace(b.situation, mode=None)
    b.send(b.cmd())


def _limit(b: Bench) -> None:
    b.situation = replace(b.situation, states={"turn": {"down"}})
    b.send(b.cmd(value=9))


def _limit_unknown(b: Bench) -> None:
    b.situation = replace(b.situation, states={})
    b.send(b.cmd(value=9))


def _paused(b: Bench) -> None:
    b.situation = replace(b.situation, paused=True)
    b.send(b.cmd())


def _no_plant(b: Bench) -> None:
    b.situation = replace(b.situation, connected=False)
    b.send(b.cmd())


def _malformed(b: Bench) -> None:
    b.send(b'{"id":"c-1","value":NaN}')


def _off_step(b: Bench) -> None:
    cap = replace(b.plant.controls[0], step=3)
    b.situation = replace(b.situation, controls={"cap": cap})
    b.send(b.cmd(value=7))


@pytest.mark.parametrize(
    ("reason", "attempt"),
    [
        ("unsigned", _unsigned),
        ("bad_signature", _wrong_key),
        ("bad_signature", _altered),
        ("wrong_issuer", _issuer),
        ("wrong_address", _address),
        ("wrong_address", _other_topic),
        ("expired", _expired),
        ("not_yet", _not_yet),
        ("retained", _retained),
        ("unknown_target", _unknown_target),
        ("out_of_range", _range),
        ("off_step", _off_step),
        ("manual_mode", _manual),
        ("manual_mode", _mode_unknown),
        ("limit", _limit),
        ("limit", _limit_unknown),
        ("paused", _paused),
        ("no_plant", _no_plant),
        ("malformed", _malformed),
    ],
)
def test_refused_and_nothing_written(bench: Bench, reason: str, attempt: Callable[[Bench], None]) -> None:
    attempt(bench)
    assert bench.bus.writes == []
    assert bench.commander.executed == 0
    assert bench.commander.refused == {reason: 1}
    last = bench.acks()[-1]
    assert (last["step"], last["reason"].split(":")[0]) == ("rejected", reason)
    assert reason in REASONS


def test_the_same_conditions_pass_where_the_limit_allows(bench: Bench) -> None:
    bench.situation = replace(bench.situation, states={"turn": {"down"}})
    bench.send(bench.cmd(value=8))
    assert bench.steps()[-1] == "executed"


def test_a_replayed_command_does_nothing_also_after_a_restart(bench: Bench) -> None:
    cmd = bench.cmd()
    bench.send(cmd)
    bench.send(cmd)
    bench.store.close()
    bench.open()
    bench.send(cmd)
    assert len(bench.bus.writes) == 1
    assert [a["reason"].split(":")[0] for a in bench.acks() if a["step"] == "rejected"] == ["replayed", "replayed"]


def test_a_refused_command_cannot_be_tried_again(bench: Bench) -> None:
    bench.situation = replace(bench.situation, mode="manual")
    cmd = bench.cmd()
    bench.send(cmd)
    bench.situation = replace(bench.situation, mode="auto")
    bench.send(cmd)
    assert bench.bus.writes == []


def test_two_changes_need_their_time_between_them(bench: Bench) -> None:
    bench.send(bench.cmd("c-1", 8))
    bench.tick(599)
    bench.send(bench.cmd("c-2", 9))
    assert bench.steps("c-2") == ["received", "rejected"]
    bench.tick(1)
    bench.send(bench.cmd("c-3", 9))
    assert bench.steps("c-3")[-1] == "executed"


def test_a_plant_that_does_not_obey_is_found_by_reading_back(bench: Bench) -> None:
    bench.bus.obeys = False
    bench.send(bench.cmd())
    last = bench.acks()[-1]
    assert (last["step"], last["read_back"]) == ("rejected", 6)
    assert bench.commander.leases() == []


def test_a_fieldbus_that_goes_away_in_between_is_reported(bench: Bench) -> None:
    bench.bus.away = True
    bench.send(bench.cmd())
    assert bench.acks()[-1]["reason"].startswith("write_failed")


def test_a_lease_that_ends_returns_the_setpoint(bench: Bench) -> None:
    bench.send(bench.cmd())
    bench.tick(3599)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 8
    bench.tick(1)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 6
    last = bench.acks()[-1]
    assert (last["step"], last["read_back"]) == ("lease_ended", 6)
    assert bench.commander.leases() == []


def test_renewal_keeps_the_value_before_the_first_lease_and_is_no_change(bench: Bench) -> None:
    bench.send(bench.cmd("c-1", 8))
    bench.tick(60)
    bench.send(bench.cmd("c-2", 8))
    assert bench.steps("c-2")[-1] == "executed"
    bench.tick(3599)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 8
    bench.tick(1)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 6


def test_a_change_at_the_machine_ends_the_lease_and_is_left_alone(bench: Bench) -> None:
    bench.send(bench.cmd())
    bench.bus.values["set/cap"] = 4
    assert bench.commander.leased_otherwise("cap", 4)
    asyncio.run(bench.commander.heard_setpoint("cap", 4))
    assert bench.acks()[-1]["reason"].startswith("changed_at_machine")
    bench.tick(4000)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 4


def test_news_older_than_our_own_write_ends_no_lease(bench: Bench) -> None:
    """Two changes within one publishing interval are told one after the other, when the second is in force."""
    bench.send(bench.cmd(value=8))
    assert not bench.commander.leased_otherwise("cap", 8)
    assert bench.commander.leased_otherwise("cap", 6)
    asyncio.run(bench.commander.heard_setpoint("cap", 6))
    assert [lease.value for lease in bench.commander.leases()] == [8]
    bench.tick(3600)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 6  # it is given back in its time


def test_a_plant_that_cannot_be_looked_at_is_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.send(bench.cmd(value=8))

    async def away(*_: str) -> dict[str, Any]:
        raise FieldbusError("away")

    monkeypatch.setattr(bench.bus, "read", away)
    asyncio.run(bench.commander.heard_setpoint("cap", 4))
    assert bench.commander.leases() == []
    assert bench.acks()[-1]["read_back"] == 4


def test_a_limit_delays_the_return_until_it_allows_it(bench: Bench) -> None:
    bench.bus.values["set/cap"] = 10
    bench.send(bench.cmd(value=7))
    bench.tick(3600)
    bench.situation = replace(bench.situation, states={"turn": {"down"}})
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 7
    bench.situation = replace(bench.situation, states={"turn": {"work"}})
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == 10


@pytest.mark.parametrize(("shown", "step"), [(8, "executed"), (6, "rejected")])
def test_a_command_cut_off_by_a_kill_is_settled_by_looking(bench: Bench, shown: int, step: str) -> None:
    async def killed(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    bench.bus.write = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        bench.send(bench.cmd())
    bench.store.close()
    bench.bus = Setpoints({"set/cap": shown})
    bench.open()
    asyncio.run(bench.commander.settle_after_restart())
    assert bench.steps()[-1] == step
    assert bench.bus.writes == []
    assert len(bench.commander.leases()) == (step == "executed")


def test_a_storm_of_strangers_cannot_fill_the_outbox(bench: Bench) -> None:
    async def storm() -> None:
        body = encode(msgspec.structs.replace(bench.cmd(), sig="ed25519:AAAA"))
        for _ in range(300):
            await bench.commander.handle(Arrival(f"{ROOT}/cmd/c-1", body, False), ROOT)

    asyncio.run(storm())
    assert bench.commander.refused == {"bad_signature": 300}
    assert len(bench.acks()) < 5
