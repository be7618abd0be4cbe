"""The commands of a joint move on their way to ingest: none twice, none lost, none after a refusal."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ingest.keys import load_public, verify
from ingest.wire import Cmd, parse
from sim.plant import Plant
from tests.twin.joints import IDS, MOVES, PRESENT, body, joint_line
from tests.twin.journals import T0
from tests.twin.rig import Fake, Rig
from twin.api import build
from twin.courier import Courier
from twin.log import verify as verify_log


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return joint_line(tmp_path_factory.mktemp("joint"))


@pytest.fixture
def rig(rig: Rig) -> Iterator[Rig]:
    rig.w.data(5, set__cap_b=4, set__base_a=12)
    at(rig, 6)
    return rig


def at(rig: Rig, seconds: int) -> None:
    """Plant time goes on to `seconds` after the start."""
    rig.go(seconds)


def now(rig: Rig) -> int:
    return round((rig.w.rows[-1].t - T0) / 1000)


def accept(rig: Rig, **more: Any) -> None:
    assert rig.post("/recommendations", **body(**more)).status_code == 200
    answer = rig.post("/decisions", id="r-1", version=1, decision="accept", reason="", key="k")
    assert answer.status_code == 200, answer.text


def answer(rig: Rig, cmd: Cmd, step: str = "executed", **more: Any) -> None:
    """The gateway's answer to a command, in the journal with the command itself; the plant shows what was set."""
    t = now(rig) + 1
    rig.w.json("cmd", t, **msgspec.to_builtins(cmd))
    told = {"read_back": cmd.value} if step == "executed" else {}
    rig.w.s += 1
    rig.w.json("cmdack", t, e="e1", s=rig.w.s, id=cmd.id, step=step, t=T0 + 1000 * t, **(told | more))
    if step == "executed":
        rig.w.data(t, **{f"set__{cmd.target}": cmd.value})
    at(rig, t + 1)


def the_one(rig: Rig) -> dict[str, Any]:
    (found,) = rig.client.get("/recommendations").json()
    return dict(found)


def again(rig: Rig, plant: Plant) -> None:
    """Killed and started: the book is what the log holds, the courier remembers nothing."""
    rig.engine.log.close()
    rig.engine = rig.start(plant)
    client = httpx.Client(transport=httpx.MockTransport(rig.courier.client._transport.handler))  # type: ignore[attr-defined]
    rig.courier = Courier(rig.engine, "http://ingest", rig.data, client)
    rig.client.app = build(rig.engine, rig.courier)


def test_one_click_sets_three_controls_and_its_effect_is_measured(rig: Rig) -> None:
    accept(rig)
    for n, move in enumerate(MOVES):
        rig.courier.work()
        rig.courier.work()  # nothing new: the one before must be read back first
        assert [cmd.target for cmd in rig.fake.commands] == [m["control"] for m in MOVES[: n + 1]]
        cmd = rig.fake.commands[-1]
        assert verify(cmd, load_public(rig.data))
        assert (cmd.id, cmd.value, cmd.lease_s, cmd.rec) == (IDS[move["control"]], move["to"], 300, "r-1")
        assert the_one(rig)["status"] == ("accepted" if n < 2 else "sent")
        answer(rig, cmd)
    found = the_one(rig)
    assert [step["status"] for step in found["timeline"]] == ["proposed", "accepted", "sent", "confirmed"]
    assert found["timeline"][-1]["note"] == "read back cap 8, cap_b 5, base_a 20"
    begun = found["timeline"][1]["t"]
    at(rig, (begun - T0) // 1000 + 599)
    assert the_one(rig)["status"] == "confirmed"
    at(rig, (begun - T0) // 1000 + 601)
    found = the_one(rig)
    assert found["status"] == "evaluated"
    assert found["accepted"]["t"] == begun  # from the acceptance of the whole, not from the last command
    assert found["realised"]["label"] == "model-based"
    assert found["realised"]["hours"] == pytest.approx(600 / 3600, abs=0.01)
    assert verify_log(rig.data / "log.db") == []


def test_the_retained_message_has_all_moves_and_the_first_where_it_always_was(rig: Rig) -> None:
    rig.post("/recommendations", **body())
    rig.courier.work()
    told = json.loads(rig.fake.shown[-1])
    assert (told["control"], told["from"], told["to"]) == ("cap", 6, 8)
    assert told["moves"] == MOVES
    assert parse("rec", rig.fake.shown[-1]).moves[2].control == "base_a"
    rig.post("/recommendations", id="r-1", status="withdrawn", reason="no")
    rig.propose("r-2")
    rig.courier.work()
    assert "moves" not in json.loads(rig.fake.shown[-1])


def test_a_refusal_by_ingest_stops_the_rest(rig: Rig) -> None:
    accept(rig)
    rig.courier.work()
    answer(rig, rig.fake.commands[0])
    rig.fake.refuse = "expected one source with tag set/cap_b, found none"
    rig.courier.work()
    found = the_one(rig)
    assert (found["status"], len(rig.fake.commands)) == ("failed", 1)
    assert found["reason"] == (
        f"cap_b: {rig.fake.refuse}; set already, and stands until its lease ends: cap 6 to 8; not sent: base_a"
    )
    rig.fake.refuse = ""
    rig.courier.work()
    assert len(rig.fake.commands) == 1


def test_a_refusal_of_the_first_changes_nothing_at_the_plant(rig: Rig) -> None:
    accept(rig)
    rig.fake.refuse = "no gateway has control cap"
    rig.courier.work()
    assert the_one(rig)["status"] == "failed"
    assert the_one(rig)["reason"] == "cap: no gateway has control cap; not sent: cap_b, base_a"


def test_a_refusal_by_the_gateway_stops_the_rest(rig: Rig) -> None:
    accept(rig)
    rig.courier.work()
    answer(rig, rig.fake.commands[0])
    rig.courier.work()
    answer(rig, rig.fake.commands[1], "rejected", reason="too_soon: 5 s after the last change, 600 s must pass")
    rig.courier.work()
    found = the_one(rig)
    assert (found["status"], len(rig.fake.commands)) == ("failed", 2)
    assert found["reason"].startswith("cap_b: too_soon: 5 s after")
    assert found["progress"]["cap"]["until"] == found["progress"]["cap"]["t"] + 300_000


def test_a_setpoint_that_was_changed_by_hand_is_not_overwritten(rig: Rig) -> None:
    accept(rig)
    rig.courier.work()
    rig.w.data(now(rig) + 1, set__cap_b=9)
    answer(rig, rig.fake.commands[0])
    rig.courier.work()
    found = the_one(rig)
    assert (found["status"], len(rig.fake.commands)) == ("failed", 1)
    assert "premise changed: cap_b is 9 now, the recommendation assumed 4" in found["reason"]


def test_a_missing_key_fails_with_its_reason(rig: Rig) -> None:
    accept(rig)
    for path in (rig.data / "keys").iterdir():
        path.unlink()
    rig.courier.work()
    assert the_one(rig)["status"] == "failed"
    assert rig.fake.commands == []


class Killed(BaseException):
    """The process is gone at this point."""


class Killing:
    """An ingest that the twin is killed in front of: before it has the command, or before it can say so."""

    def __init__(self, fake: Fake, moments: list[str]) -> None:
        self.fake, self.moments = fake, moments

    def __call__(self, request: httpx.Request) -> httpx.Response:
        moment = self.moments.pop(0) if self.moments and request.url.path == "/command" else ""
        if moment == "before":
            raise Killed
        found = self.fake(request)
        if moment == "after":
            raise Killed
        if moment == "away":
            raise httpx.ConnectError("ingest is away")
        return found


@pytest.mark.parametrize("seed", range(6))
def test_kills_between_note_post_and_answer_send_each_command_once(rig: Rig, plant: Plant, seed: int) -> None:
    """`kill -9` at seeded moments: what is posted again is the same command, bit for bit; all three are executed."""
    rng = random.Random(seed)
    moments = [rng.choice(["before", "after", "away"]) for _ in range(3)] + ["before"] * (seed % 3)
    rig.courier.client = httpx.Client(transport=httpx.MockTransport(Killing(rig.fake, moments)))
    accept(rig)
    executed: list[str] = []
    for _ in range(40):
        try:
            rig.courier.work()
        except Killed:
            again(rig, plant)
        for cmd in list(rig.fake.commands):
            if cmd.id not in executed and rng.random() < 0.6:
                executed.append(cmd.id)
                answer(rig, cmd)
        if the_one(rig)["status"] == "confirmed":
            break
    assert the_one(rig)["status"] == "confirmed"
    assert executed == list(IDS.values())
    assert len({msgspec.json.encode(cmd) for cmd in rig.fake.commands}) == 3  # again or not, it is the same
    assert rig.engine.tracker.state.controls == PRESENT | {"cap": 8, "cap_b": 5, "base_a": 20}
    assert verify_log(rig.data / "log.db") == []
    assert moments == []


def test_a_kill_after_the_note_goes_on_with_the_command_of_the_log(rig: Rig, plant: Plant, tmp_path: Path) -> None:
    rig.courier.client = httpx.Client(transport=httpx.MockTransport(Killing(rig.fake, ["before"])))
    accept(rig)
    with pytest.raises(Killed):
        rig.courier.work()
    noted = the_one(rig)["commands"]["cap"]
    assert rig.fake.commands == []
    again(rig, plant)
    rig.courier.work()
    assert msgspec.to_builtins(rig.fake.commands[0]) == noted
    assert tmp_path == rig.data
