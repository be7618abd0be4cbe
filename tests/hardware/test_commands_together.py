"""Several commands at once at the gateway: one recommendation may set many controls."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hardware.guard import Situation
from hardware.link import Arrival
from ingest.keys import sign
from ingest.wire import Cmd, encode
from sim.plantfile import load
from tests.hardware.test_commands import KEY, NOW, ROOT, Bench, Setpoints

TO = {"cap": 104, "base40": 80, "export40_level": 60}
BEFORE = {"cap": 100, "base40": 70, "export40_level": 50}


class Slow(Setpoints):
    """A fieldbus on which every write takes a while: what is not in order would show."""

    async def write(self, tag: str, value: int, fallback: int | None = None) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return await super().write(tag, value, fallback)


class Together(Bench):
    """A commander of a plant with ten controls."""

    def __init__(self, folder: Path) -> None:
        self.plant = load("gearmotor")
        self.bus = Slow({f"set/{name}": value for name, value in BEFORE.items()})
        self.path = folder / "outbox.db"
        self.situation = Situation(
            now=NOW,
            controls={c.id: c for c in self.plant.controls},
            tick_ms=self.plant.tick_s * 1000,
            limits=self.plant.limits,
            states={"paint": {"work"}},
        )
        self.open()

    def look(self) -> Situation:
        return replace(self.situation, settings={tag[4:]: value for tag, value in self.bus.values.items()})

    def commands(self, **changes: Any) -> list[Cmd]:
        """One command a control, of one moment and one lease."""
        made = [self.cmd(f"c{n}-r-1" if n > 1 else "c-r-1", value) for n, value in enumerate(TO.values(), 1)]
        return [
            sign(msgspec.structs.replace(cmd, target=name, sig="", **changes), KEY)
            for cmd, name in zip(made, TO, strict=True)
        ]

    def at_once(self, commands: list[Cmd]) -> None:
        """All arrive before the first is done, as the gateway takes them: each a task of its own."""

        async def work() -> None:
            handled = (self.commander.handle(Arrival(f"{ROOT}/cmd/{c.id}", encode(c), False), ROOT) for c in commands)
            await asyncio.gather(*handled)

        asyncio.run(work())


@pytest.fixture
def bench(tmp_path: Path) -> Together:
    return Together(tmp_path)


def test_three_commands_for_three_controls_at_one_moment_are_all_carried_out(bench: Together) -> None:
    commands = bench.commands()
    bench.at_once(commands)
    assert bench.bus.values == {f"set/{name}": value for name, value in TO.items()}
    assert bench.bus.writes == [(f"set/{name}", TO[name], BEFORE[name]) for name in TO]
    for cmd in commands:
        assert bench.steps(cmd.id) == ["received", "accepted", "executed"]
    assert {lease.control: (lease.value, lease.before) for lease in bench.commander.leases()} == {
        name: (TO[name], BEFORE[name]) for name in TO
    }


def test_the_same_three_again_change_nothing(bench: Together) -> None:
    bench.at_once(bench.commands())
    bench.at_once(bench.commands())
    assert len(bench.bus.writes) == 3
    assert bench.commander.executed == 3


def test_one_that_is_refused_does_not_keep_the_others_from_their_controls(bench: Together) -> None:
    """The rate limit of one control is its own; the twin sends the next one only after the one before, for this."""
    bench.commander.note_change("base40", NOW - 60_000)
    bench.at_once(bench.commands())
    assert [bench.steps(cmd.id)[-1] for cmd in bench.commands()] == ["executed", "rejected", "executed"]
    assert bench.acks()[-1]["step"] == "executed"
    assert bench.bus.values["set/base40"] == BEFORE["base40"]


def test_what_stands_of_a_part_of_them_goes_back_when_its_lease_ends(bench: Together) -> None:
    bench.commander.note_change("base40", NOW - 60_000)
    bench.at_once(bench.commands(lease_s=7200))
    bench.tick(7199)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values["set/cap"] == TO["cap"]
    bench.tick(2)
    asyncio.run(bench.commander.end_leases())
    assert bench.bus.values == {f"set/{name}": value for name, value in BEFORE.items()}
    assert bench.commander.leases() == []


def test_a_hand_at_one_control_ends_its_lease_and_no_other(bench: Together) -> None:
    bench.at_once(bench.commands())
    bench.bus.values["set/base40"] = 90
    asyncio.run(bench.commander.heard_setpoint("base40", 90))
    told = [a for a in bench.acks() if a["step"] == "lease_ended"]
    assert [(a["id"], a["read_back"]) for a in told] == [("c2-r-1", 90)]
    assert sorted(lease.control for lease in bench.commander.leases()) == ["cap", "export40_level"]


def test_a_restart_between_two_commands_settles_the_first_and_takes_the_second(bench: Together) -> None:
    """Killed after the first was written and before it was told: the plant shows it, so it is told executed."""
    first, second, third = bench.commands()
    bench.commander._ack(ROOT, first.id, "received")
    bench.commander._remember(first, ROOT, bench.look(), "accepted")
    bench.bus.values["set/cap"] = TO["cap"]
    bench.store.close()
    bench.open()
    asyncio.run(bench.commander.settle_after_restart())
    assert bench.steps(first.id)[-1] == "executed"
    bench.at_once([first, second, third])
    assert bench.bus.writes == [(f"set/{name}", TO[name], BEFORE[name]) for name in list(TO)[1:]]
    assert bench.steps(third.id)[-1] == "executed"
