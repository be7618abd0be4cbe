"""`plantwin bench commands`: a seeded storm of commands at the gateway's gate, none of which may be carried out.

The gateway's real guard and commander, its real outbox file, a fake fieldbus that would do what it is told. Every kind
of bad command comes in a random order with random content; between them the plant's mode, a limit and the pause
change. What counts: values written to the bus (0), commands executed (0), and every refusal counted by its reason.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hardware.commander import Commander
from hardware.guard import Situation
from hardware.link import Arrival, Link
from hardware.outbox import Outbox
from hardware.store import Store
from hardware.uplink import Uplink
from ingest.keys import sign
from ingest.wire import Cmd, encode
from sim.plantfile import load

ROOT = "ptw/v1/demo/machining/line3/cell1"
NOW = 1_767_600_000_000
N = 12_000


@dataclass
class Bus:
    """A plant that does what it is told, and remembers it."""

    value: int = 6
    writes: int = 0

    async def write(self, tag: str, value: int, fallback: int | None = None) -> dict[str, Any]:
        self.value, self.writes = value, self.writes + 1
        return {"ok": True, "value": value, "tag": tag, "fallback": fallback}

    async def read(self, *tags: str) -> dict[str, Any]:
        return dict.fromkeys(tags, self.value)


@dataclass(frozen=True)
class Shot:
    """One bad command as it arrives, and the reason by which it must be refused."""

    reason: str
    body: bytes
    ident: str
    retained: bool = False
    change: dict[str, Any] = field(default_factory=dict)  # of the situation


class Storm:
    """Makes bad commands, one of each kind in turn at random. `used` are ids that a good command had before."""

    def __init__(self, seed: int, key: Ed25519PrivateKey, used: list[Cmd]) -> None:
        self.rnd, self.key, self.used = random.Random(seed), key, used
        self.cap = load("line3").controls[0]
        self.stranger = Ed25519PrivateKey.generate()
        self.n = 0
        self.makers: tuple[Callable[[], Shot], ...] = (
            self.unsigned, self.forged, self.tampered, self.wrong_role, self.wrong_site, self.elsewhere,
            self.other_topic, self.off_step, self.too_soon,
            self.retained, self.replayed, self.expired, self.early, self.unknown, self.out_of_range, self.manual,
            self.paused, self.no_plant, self.limit, self.advisory, self.rubbish,
        )  # fmt: skip

    def shot(self) -> Shot:
        return self.rnd.choice(self.makers)()

    def cmd(self, **changes: Any) -> Cmd:
        self.n += 1
        plain = Cmd(
            id=f"s-{self.n}", target="cap", value=self.rnd.choice((4, 5, 7, 8)), not_before=NOW - 1,
            expires=NOW + 600_000,
            lease_s=self.rnd.randint(1, 86_400), state="sha256:x", rec="r-1", issuer="twin@demo", sig="",
        )  # fmt: skip
        return msgspec.structs.replace(plain, **changes)

    def good(self, **changes: Any) -> Cmd:
        return sign(self.cmd(**changes), self.key)

    def _shot(self, reason: str, cmd: Cmd, **more: Any) -> Shot:
        return Shot(reason, encode(cmd), cmd.id, **more)

    def unsigned(self) -> Shot:
        return self._shot("unsigned", self.cmd(sig=self.rnd.choice(("", "none", "rsa:AAAA", "ED25519:AAAA"))))

    def forged(self) -> Shot:
        return self._shot("bad_signature", sign(self.cmd(), self.stranger))

    def tampered(self) -> Shot:
        name, value = self.rnd.choice(
            (("value", 9), ("lease_s", 31_000_000), ("expires", NOW + 10**9), ("target", "speed"), ("id", "s-free"),
             ("to", ROOT), ("not_before", 0), ("issuer", "twin@demo2"))
        )  # fmt: skip
        return self._shot("bad_signature", msgspec.structs.replace(self.good(), **{name: value}))

    def wrong_role(self) -> Shot:
        issuer = self.rnd.choice(("operator@demo", "gateway@demo", "advise@demo", "twin"))
        return self._shot("wrong_issuer", self.good(issuer=issuer))

    def wrong_site(self) -> Shot:
        return self._shot("wrong_issuer", self.good(issuer="twin@elsewhere"))

    def elsewhere(self) -> Shot:
        return self._shot("wrong_address", self.good(to=ROOT.replace("demo", "other")))

    def other_topic(self) -> Shot:
        return replace(self._shot("wrong_address", self.good()), ident=f"s-x{self.n}")

    def retained(self) -> Shot:
        return self._shot("retained", self.good(), retained=True)

    def replayed(self) -> Shot:
        return self._shot("replayed", self.rnd.choice(self.used))

    def expired(self) -> Shot:
        ago = self.rnd.randint(0, 10**9)
        return self._shot("expired", self.good(not_before=NOW - 2 * 10**9, expires=NOW - ago))

    def advisory(self) -> Shot:
        return self._shot("advisory", self.good(), change={"advisory": {"cap": "no heartbeat word is configured"}})

    def early(self) -> Shot:
        return self._shot("not_yet", self.good(not_before=NOW + self.rnd.randint(1, 500_000)))

    def unknown(self) -> Shot:
        return self._shot("unknown_target", self.good(target=self.rnd.choice(("speed", "Cap", "cap ", "set/cap"))))

    def out_of_range(self) -> Shot:
        value = self.rnd.choice((-1, 0, 1, 12, 2**53 - 1, -(2**53) + 1))
        return self._shot("out_of_range", self.good(value=value))

    def manual(self) -> Shot:
        return self._shot("manual_mode", self.good(), change={"mode": self.rnd.choice(("manual", None))})

    def paused(self) -> Shot:
        return self._shot("paused", self.good(), change={"paused": True})

    def no_plant(self) -> Shot:
        return self._shot("no_plant", self.good(), change={"connected": False})

    def limit(self) -> Shot:
        states = self.rnd.choice(({"turn": {"down"}}, {}))
        later = {"now": NOW + 3_600_000}  # past the time between two changes
        return self._shot("limit", self.good(value=9, expires=NOW + 7_200_000), change={"states": states} | later)

    def too_soon(self) -> Shot:
        return self._shot("too_soon", self.good(value=8))

    def off_step(self) -> Shot:
        coarse = {"cap": replace(self.cap, step=3)}
        return self._shot("off_step", self.good(value=7), change={"controls": coarse})

    def rubbish(self) -> Shot:
        self.n += 1
        body = self.rnd.choice((b"\xff", b"{}", b"[" * 5000, b'{"id":"x","value":NaN}', encode(self.good())[:-9]))
        return Shot("malformed", body, f"s-{self.n}")


def storm(folder: Path, n: int, seed: int) -> dict[str, Any]:
    """Run it: {n, executed, written, by reason, expected by reason, seconds}. One good command before and one after
    show that the gate does open.
    """
    plant, key, bus = load("line3"), Ed25519PrivateKey.generate(), Bus()
    base = Situation(
        now=NOW, controls={c.id: c for c in plant.controls}, tick_ms=plant.tick_s * 1000, limits=plant.limits,
        states={"turn": {"work"}},
    )  # fmt: skip
    now = [base]
    with Store(folder / "outbox.db") as store:
        uplink = Uplink(Outbox(store, ROOT), Link("127.0.0.1", 1, "none"), [])
        look: Callable[[], Situation] = lambda: replace(now[0], settings={"cap": bus.value})  # noqa: E731
        gate = Commander(store, bus, {ROOT: uplink}, look, "twin@demo")
        gate.key = key.public_key()
        makes = Storm(seed, key, [])

        async def send(body: bytes, ident: str, *, retained: bool = False) -> None:
            await gate.handle(Arrival(f"{ROOT}/cmd/{ident}", body, retained), ROOT)

        async def run() -> tuple[Counter[str], int, int, float]:
            first = makes.good(value=7)
            await send(encode(first), first.id)
            assert (gate.executed, bus.value) == (1, 7), "the gate does not open at all"
            makes.used.append(first)
            written, begun, expected = bus.writes, time.perf_counter(), Counter[str]()
            store.db.execute("PRAGMA synchronous=OFF")  # the disk plays no part in what is asked here
            for _ in range(n):
                shot = makes.shot()
                expected[shot.reason] += 1
                now[0] = replace(base, **shot.change)
                await send(shot.body, shot.ident, retained=shot.retained)
            seconds = time.perf_counter() - begun
            now[0] = replace(base, now=NOW + 100 * 3_600_000)
            last = makes.good(value=8, not_before=NOW, expires=NOW + 200 * 3_600_000)
            executed, wrote = gate.executed - 1, bus.writes - written
            await send(encode(last), last.id)
            assert bus.value == 8, "the gate does not open any more"
            return expected, executed, wrote, seconds

        expected, executed, wrote, seconds = asyncio.run(run())
        return {
            "n": n, "seed": seed, "executed": executed, "written": wrote, "seconds": round(seconds, 1),
            "refused": dict(sorted(gate.refused.items())), "expected": dict(sorted(expected.items())),
        }  # fmt: skip


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="plantwin bench commands", description=__doc__)
    parser.add_argument("--n", type=int, default=N, help="commands (at least 10,000 for the published figure)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = storm(Path(folder), given.n, given.seed)
    if given.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['n']} bad commands in {found['seconds']} s: "
            f"executed {found['executed']}, written {found['written']}"
        )
        for reason, count in found["refused"].items():
            print(f"  {reason:<16}{count:>7}")
    return 0 if found["executed"] == found["written"] == 0 and found["refused"] == found["expected"] else 1
