"""The gateway with a mapping: raw names of a fieldbus become its tags and events; a kill doubles no count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardware.gateway import Gateway
from hardware.gateway_config import GatewayConfig
from hardware.gateway_file import ConfigError, read_config
from hardware.mapped import KEY
from hardware.store import Store
from ingest.mapping import MappingError
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN, UNIT_STATES
from sim.plantfile import load

HELLO = {"origin": 1_767_600_000_000, "speed": 60.0, "wall": 1_700_000_000_000}
TEXT = """\
mapping: 1
tags:
  turn/state: {from: holding/1, packml: true, microstop: 30 s, reason: {from: holding/5, codes: {1: tool}}}
  turn/count: {from: holding/2, counter: 16, resets: shift}
  mill/count: {from: coil/7, count: rising}
  set/cap: holding/9
events:
  - {event: work_end, thing: mill, product: housing, each: mill/count}
"""
NAMES = ("holding/1", "holding/2", "holding/5", "holding/9", "coil/7", "b1/level", "strange")
T = 1_767_600_000_000


def on_loop(story: Callable[[Gateway, Store], None], folder: Path, text: str = TEXT) -> None:
    """Run a story with a gateway that never connects anywhere."""
    (folder / "mapping.yaml").write_text(text)
    config = GatewayConfig("line3", "127.0.0.1:1", "127.0.0.1:1", folder, mapping=folder / "mapping.yaml")

    async def run() -> None:
        with Store(folder / "outbox.db") as store:
            gateway = Gateway(config, load("line3"), store)
            gateway._linked = True
            gateway._heard_bus({"hello": {**HELLO, "tags": [{"name": name} for name in NAMES]}})
            story(gateway, store)
            for task in gateway._tasks:
                task.cancel()

    asyncio.run(run())


def hear(gateway: Gateway, *messages: dict[str, Any]) -> None:
    for message in messages:
        gateway._heard_bus(message)
    gateway.home._since = -1e9  # the group is due
    gateway.flush()


def sent(gateway: Gateway) -> list[dict[str, Any]]:
    """Events in the outbox, without epoch and number."""
    stored = gateway.home.outbox.stored(1, 10_000, 10_000)
    found = [json.loads(m.body) for m in stored if m.kind == "event"]
    return [{k: v for k, v in event.items() if k not in {"e", "s"}} for event in found]


def test_raw_names_become_tags_and_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def story(gateway: Gateway, _: Store) -> None:
        first = {"holding/1": 6, "holding/2": 480, "coil/7": 0, "b1/level": 3, "holding/9": 8, "strange": 5}
        hear(gateway, {"t": T, "v": first, "all": True}, {"t": T + 1, "v": {"coil/7": 1, "holding/2": 65_000}})
        assert gateway.home.values == {
            "turn/state": (UNIT_STATES.index("work"), GOOD), "turn/count": (65_000, GOOD), "mill/count": (1, GOOD),
            "b1/level": (3, GOOD), "set/cap": (8, GOOD),
        }  # fmt: skip
        assert gateway._watched
        assert gateway.readout.settings() == {"cap": 8}
        assert sent(gateway) == [{"t": T + 1, "kind": "work_end", "thing": "mill", "product": "housing", "count": 1}]
        hear(gateway, {"t": T + 2, "v": {"holding/2": 4}})  # beyond 16 bits: the total is not a register any more
        assert gateway.home.values["turn/count"] == (65_540, UNCERTAIN)
        hear(
            gateway, {"t": T + 3, "v": {"holding/2": 7}, "q": {"holding/2": BAD}}, {"t": T + 3, "v": {"holding/1": 99}}
        )
        assert gateway.home.values["turn/count"] == (65_540, BAD)
        assert gateway.bad == {"mapping": 1}

    on_loop(story, tmp_path)
    said = capsys.readouterr().out
    assert "1 tags of the fieldbus are not in the plant file: strange" in said
    missing = said.split("not on the fieldbus: ")[1].splitlines()[0]
    assert "mode" in missing
    assert "turn/state" not in missing


def test_stops_are_told_when_their_time_has_come(tmp_path: Path) -> None:
    def story(gateway: Gateway, _: Store) -> None:
        hear(
            gateway,
            {"t": T, "v": {"holding/1": 6, "holding/5": 0}, "all": True},
            {"t": T + 1000, "v": {"holding/1": 9}},
        )
        assert sent(gateway) == []
        gateway.last_t = T + 40_000
        gateway._next["snapshot"] = float("inf")
        gateway._periodic()
        hear(gateway, {"t": T + 50_000, "v": {"holding/5": 1}})
        down = {"t": T + 1000, "kind": "down", "thing": "turn", "count": 1, "state": "down"}
        assert sent(gateway) == [{**down, "text": "unknown"}, {**down, "text": "tool"}]
        assert gateway.home.values["turn/state"] == (UNIT_STATES.index("down"), GOOD)

    on_loop(story, tmp_path)


def test_a_kill_between_group_commits_doubles_and_loses_no_count(tmp_path: Path) -> None:
    def first(gateway: Gateway, _: Store) -> None:
        hear(gateway, {"t": T, "v": {"coil/7": 0, "holding/2": 10}, "all": True}, {"t": T + 1, "v": {"coil/7": 1}})
        gateway._heard_bus({"t": T + 2, "v": {"coil/7": 0, "holding/2": 12}})  # heard, and never committed:
        gateway._heard_bus({"t": T + 3, "v": {"coil/7": 1}})  # neither the message nor what the rule knew of it

    def second(gateway: Gateway, _: Store) -> None:
        assert gateway.mapped is not None
        rules = gateway.mapped.engine.memory()["rules"]
        assert (rules["mill/count"]["total"], rules["turn/count"]["raw"]) == (1, 10)
        hear(gateway, {"t": T + 9, "v": {"coil/7": 1, "holding/2": 12}, "all": True})
        assert gateway.home.values["mill/count"] == (1, UNCERTAIN)  # edges may have passed unseen
        assert gateway.home.values["turn/count"][0] == 12
        hear(gateway, {"t": T + 10, "v": {"coil/7": 0}}, {"t": T + 11, "v": {"coil/7": 1}})
        assert [event["count"] for event in sent(gateway)] == [1, 2]

    on_loop(first, tmp_path)
    on_loop(second, tmp_path)


def test_a_lost_bus_and_another_plant(tmp_path: Path) -> None:
    def story(gateway: Gateway, _: Store) -> None:
        hear(gateway, {"t": T, "v": {"coil/7": 0, "holding/2": 10}, "all": True}, {"t": T + 1, "v": {"coil/7": 1}})
        gateway._bus_lost()
        assert gateway.home.values["mill/count"][0] == 1
        assert gateway.home.values["mill/count"][1] in {GOOD, STALE}
        hear(gateway, {"t": T + 5, "v": {"coil/7": 1, "holding/2": 11}, "all": True})
        assert gateway.home.values["turn/count"] == (11, UNCERTAIN)
        gateway._heard_bus({"hello": {**HELLO, "origin": 1, "tags": []}})
        hear(gateway, {"t": 5, "v": {"coil/7": 0}, "all": True})
        assert gateway.home.values["mill/count"] == (0, GOOD)

    on_loop(story, tmp_path)


def test_memory_that_cannot_be_read_is_said_and_totals_do_not_go_back(tmp_path: Path) -> None:
    def first(gateway: Gateway, store: Store) -> None:
        hear(gateway, {"t": T, "v": {"holding/2": 500}, "all": True})
        store.put(KEY, '{"version": 7}')

    def second(gateway: Gateway, _: Store) -> None:
        assert gateway.mapped is not None
        assert "version 1, found 7" in gateway.mapped.complaint
        hear(gateway, {"t": T + 9, "v": {"holding/2": 3}, "all": True})
        assert gateway.home.values["turn/count"] == (503, UNCERTAIN)

    on_loop(first, tmp_path)
    on_loop(second, tmp_path)


def test_the_configuration_names_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("plant: line3\nfieldbus: a:1\nbroker: b:2\nmapping: mapping.yaml\n")
    (tmp_path / "mapping.yaml").write_text("mapping: 1\ntags:\n  turn/state: r\n")
    assert read_config(path, tmp_path).mapping == tmp_path / "mapping.yaml"
    (tmp_path / "mapping.yaml").write_text("mapping: 1\ntags:\n  turn/stat: r\n")
    with pytest.raises(ConfigError, match=r"mapping.yaml:3: .*turn/stat"):
        read_config(path, tmp_path)
    with pytest.raises(MappingError, match="turn/stat"):
        on_loop(lambda *_: None, tmp_path, "mapping: 1\ntags:\n  turn/stat: r\n")
