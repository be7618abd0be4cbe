"""The gateway without network: a full disk, another plant, strange configurations, clocks that step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardware.gateway import Gateway
from hardware.gateway_config import GatewayConfig, birth_tags, cells_of
from hardware.gateway_file import read_config
from hardware.pace import SteadyWall
from hardware.store import Store
from ingest.wire import UNCERTAIN
from sim.plant import STATES
from sim.plantfile import load

HELLO = {"origin": 1_767_600_000_000, "speed": 60.0, "wall": 1_700_000_000_000}
TAGS = [
    {"name": s.tag, "type": s.type, "enum": list(STATES) if s.type == "enum" else None} for s in load("line3").sensors
]


def on_loop(story: Callable[[Gateway, Store], None], data: Path) -> None:
    """Run a story with a gateway that never connects anywhere."""

    async def run() -> None:
        with Store(data / "outbox.db") as store:
            gateway = Gateway(GatewayConfig("line3", "127.0.0.1:1", "127.0.0.1:1", data), load("line3"), store)
            gateway._linked = True
            story(gateway, store)
            for task in gateway._tasks:
                task.cancel()

    asyncio.run(run())


def hear(gateway: Gateway, *messages: dict[str, Any]) -> None:
    for message in messages:
        gateway._heard_bus(message)
    uplink = gateway.home
    uplink._since = -1e9  # the group is due
    gateway.flush()


def test_a_full_disk_is_said_loses_no_number_and_heals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def story(gateway: Gateway, store: Store) -> None:
        hear(gateway, {"hello": {**HELLO, "tags": TAGS}}, {"t": 1, "v": {"turn/count": 1}})
        before = gateway.home.outbox.next
        (pages,) = store.db.execute("PRAGMA page_count").fetchone()
        store.db.execute(f"PRAGMA max_page_count={pages}")
        t = 2
        while not gateway._disk_says:
            hear(gateway, *({"t": t + k, "v": {"turn/count": t + k}} for k in range(200)))
            t += 200
        full_at = gateway.home.outbox.next
        assert full_at >= before
        hear(gateway, {"t": t, "v": {"turn/count": t}})
        assert gateway.home.outbox.next == full_at
        store.db.execute("PRAGMA max_page_count=1000000")
        hear(gateway, {"t": t + 1, "v": {"turn/count": t + 1}})
        stored = gateway.home.outbox.stored(1, 10_000, 10_000)
        assert [m.s for m in stored] == list(range(1, gateway.home.outbox.next))
        assert json.loads(stored[-1].body)["v"][-1] == t + 1

    on_loop(story, tmp_path)
    assert capsys.readouterr().out.count("cannot be written") == 1


def test_counters_are_unwrapped_across_a_restart(tmp_path: Path) -> None:
    def first(gateway: Gateway, _: Store) -> None:
        hear(gateway, {"hello": {**HELLO, "tags": TAGS}}, {"t": 1, "v": {"turn/count": 480}, "all": True})

    def second(gateway: Gateway, _: Store) -> None:
        hear(gateway, {"hello": {**HELLO, "tags": TAGS}}, {"t": 9, "v": {"turn/count": 20}, "all": True})
        assert gateway.home.values["turn/count"] == (500, UNCERTAIN)

    on_loop(first, tmp_path)
    on_loop(second, tmp_path)


def test_another_plant_begins_another_epoch_and_the_same_plant_does_not(tmp_path: Path) -> None:
    def story(gateway: Gateway, _: Store) -> None:
        hear(gateway, {"hello": {**HELLO, "tags": TAGS}}, {"t": 1, "v": {"turn/count": 7}, "all": True})
        epoch = gateway.home.outbox.epoch
        hear(gateway, {"hello": {**HELLO, "tags": TAGS}}, {"t": 2, "v": {"turn/count": 8}, "all": True})
        assert gateway.home.outbox.epoch == epoch
        hear(gateway, {"hello": {**HELLO, "origin": 5, "tags": TAGS}}, {"t": 3, "v": {"turn/count": 2}, "all": True})
        assert gateway.home.outbox.epoch != epoch
        assert gateway.home.values["turn/count"][0] == 2
        birth = gateway.home.birth()
        assert birth.plant_time is not None
        assert birth.plant_time.origin == 5

    on_loop(story, tmp_path)


def test_strange_and_missing_tags_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def story(gateway: Gateway, _: Store) -> None:
        hear(gateway, {"hello": {**HELLO, "tags": [*TAGS[1:], {"name": "x/unknown", "type": "int"}]}})

    on_loop(story, tmp_path)
    said = capsys.readouterr().out
    assert "1 tags of the fieldbus are not in the plant file: x/unknown" in said
    assert "turn/state" in said


def test_packml_states_are_translated(tmp_path: Path) -> None:
    def story(gateway: Gateway, _: Store) -> None:
        tag = {"name": "turn/state", "type": "enum", "enum": ["Idle", "Execute", "Held", "Aborted"]}
        hear(gateway, {"hello": {**HELLO, "tags": [tag]}}, {"t": 1, "v": {"turn/state": 3}})
        assert gateway.home.values["turn/state"][0] == STATES.index("down")
        assert gateway.situation().states == {"turn": {"down"}}

    on_loop(story, tmp_path)


def test_the_pause_file_is_seen(tmp_path: Path) -> None:
    def story(gateway: Gateway, _: Store) -> None:
        assert not gateway.situation().paused
        (tmp_path / "pause").touch()
        assert gateway.situation().paused

    on_loop(story, tmp_path)


def test_every_cell_is_a_source_and_every_tag_is_in_one() -> None:
    plant = load("gearmotor")
    names = [tag["name"] for cell in cells_of(plant) for tag in birth_tags(plant, cell)]
    assert len(names) == len(set(names))
    assert {s.tag for s in plant.sensors} | {"mode"} | {f"set/{c.id}" for c in plant.controls} == set(names)


def test_configuration_files(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    file.write_text(
        "plant: line3\nfieldbus: 127.0.0.1:5\nbroker: 127.0.0.1:6\noutbox: {max_mb: 1}\ndeadband: {b1/level: 0.5}\n"
    )
    config = read_config(file, tmp_path)
    assert (config.plant, config.outbox.max_bytes, config.deadband) == ("line3", 2**20, {"b1/level": 0.5})
    for wrong in ("plant: line3\n", "plant: a\nfieldbus: b\nbroker: c\ncolour: red\n", "[", "outbox: {max_mb: -1}\n"):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=r"gw\.yaml"):
            read_config(file, tmp_path)


def test_a_clock_that_steps_is_told_once_and_not_followed() -> None:
    wall, mono = [1_000_000], [50.0]
    clock = SteadyWall(lambda: wall[0], lambda: mono[0])
    mono[0], wall[0] = 60.0, 1_010_000
    assert (clock.now(), clock.stepped()) == (1_010_000, None)
    wall[0] += 7_200_000
    assert clock.now() == 1_010_000
    assert clock.stepped() == 7_200_000
    assert clock.stepped() is None
