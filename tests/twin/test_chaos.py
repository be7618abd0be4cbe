"""Readings, events and documents that fit nothing, on the plant with everything: parts are conserved all the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sim.compile import Compiled, compile_plant
from sim.kernel import run
from sim.plant import Plant
from sim.state import ERROR
from tests.twin.journals import T0, Writer
from tests.twin.motors import motors
from twin.estimate import ensemble
from twin.model import held
from twin.topology import capacity
from twin.tracker import Tracker

KINDS = ("work_start", "work_end", "work_start", "work_end", "scrap", "down", "up", "setup", "setup_end")
PAPERS = ("purchase_order", "shipment_notice", "goods_receipt", "order_change", "stock_count", "production_performance")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_plant(motors(tmp_path_factory.mktemp("motors")))


def happening(plant: Plant, r: random.Random) -> dict[str, Any]:
    """Something that may or may not be possible."""
    more: dict[str, Any] = {"unit": r.choice([1, 1, 2])}
    if r.random() < 0.7:
        more["product"] = r.choice(plant.products).id
    if r.random() < 0.5:
        more["count"] = r.randint(0, 8)
    if r.random() < 0.5:
        more["step"] = r.choice(["test", "rework", "paint", "mill", "nowhere"])
    more["state"] = r.choice(["down", "work", "setup", "off", "idle", "blocked"])
    return more | {"text": r.choice(["failure", "x"])}


def paper(plant: Plant, r: random.Random, t: int) -> dict[str, Any]:
    stock, kind = r.choice([k for k in plant.stocks if k.source != "line"]), r.choice(PAPERS)
    ref = f"TO-{stock.id}-{r.randint(1, 3)}"
    body: dict[str, Any] = {"doc": ref, "version": r.randint(0, 3), "kind": kind, "stock": stock.id}
    if kind in ("shipment_notice", "goods_receipt"):
        body |= {"doc": f"{kind[0].upper()}-{ref}-{r.randint(1, 3)}", "ref": ref}
    if r.random() < 0.8:
        body["supplier"] = r.choice([stock.source, "courier", "stock_s"])
    return body | {"item": stock.item, "quantity": r.randint(0, 9), "issued": T0 + t * 1000}


def chaos(plant: Plant, seed: int) -> Writer:
    r, w = random.Random(seed), Writer(plant)
    tags = sorted(tag for tag in w.index if tag != "mode")
    for t in range(7, 420, 7):
        w.data(t, **{r.choice(tags): r.randint(0, 6)})
        if r.random() < 0.7:
            kind, thing = r.choice(KINDS), r.choice(plant.stations).id
            for _ in range(r.choice([1, 1, 1, 2, 4])):
                w.event(t, kind, thing, **happening(plant, r))
        if r.random() < 0.3:
            w.put("supply", t, json.dumps(paper(plant, r, t)).encode())
    w.ticks(420, 480)
    return w


@pytest.mark.parametrize("seed", range(16))
def test_whatever_comes_parts_are_conserved_and_what_is_believed_can_be_run(compiled: Compiled, seed: int) -> None:
    plant = compiled.plant
    tracker = Tracker(plant)
    for row in chaos(plant, seed).rows:
        tracker.apply(row)
    state = tracker.state
    assert "rows_not_understood" not in state.counts
    came = sum(state.meters.released) + state.counts.get("appeared", 0)
    gone = sum(state.meters.finished) + sum(state.meters.scrapped) + state.counts.get("vanished", 0)
    assert came == gone + sum(map(held, state.stations))
    assert sum(state.wip) == sum(map(held, state.stations))
    everywhere = [q for s in state.stations for q in (s.queue, *(u.parts for u in s.units))]
    assert len({id(part) for parts in everywhere for part in parts}) == sum(state.wip), "nothing stands in two places"
    for s, (spec, station) in enumerate(zip(plant.stations, state.stations, strict=True)):
        most = 1 if spec.batch is None else spec.batch.most
        assert all(len(unit.parts) <= most for unit in station.units)
        assert all(tracker.topology.at[part.product][part.step] == s for part in station.queue)
        places = capacity(tracker.topology, s)
        assert places is None or len(station.queue) <= places + len(station.units)
    assert all(k.on_hand >= 0 and k.backorder >= 0 for k in state.stocks)
    rows = ensemble(compiled, state, 1, 4)
    run(rows, compiled, int(rows[0, 0]) + compiled.ticks(8 * 3600))
    assert not rows[:, ERROR].any()


def test_a_snapshot_keeps_everything(compiled: Compiled, tmp_path: Path) -> None:
    rows = chaos(compiled.plant, 3).rows
    whole, first = Tracker(compiled.plant), Tracker(compiled.plant)
    for row in rows[:90]:
        first.apply(row)
    path = tmp_path / "snapshot"
    path.write_bytes(first.snapshot())
    resumed = Tracker.restore(compiled.plant, path.read_bytes())
    for row in rows:
        whole.apply(row)
        resumed.apply(row)
    assert msgspec.json.encode(whole.state) == msgspec.json.encode(resumed.state)
