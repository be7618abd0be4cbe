"""What the virtual plant tells of a plant with everything: events of batches and setups, papers of all lanes."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hardware.erp import Erp
from hardware.plant_service import warmup_of
from hardware.twist import Twist
from hardware.virtual_plant import Options, VirtualPlant
from ingest.wire import Event, Supply, encode, parse
from sim.plant import STATES, Plant
from sim.plantfile import load
from tests.hardware.test_shop_agreement import PLANT

TOLD = """\
controls:
  total: {sets: groups.both.cap, from: 4, to: 20, every: 1 h}
  fast: {sets: stocks.bars.express, from: 0, to: 200, step: 10, every: 1 h}
  avoid: {sets: stations.cut.dispatch.setup, from: 0, to: 40, every: 1 h}
sensors:
  - {thing: cut, unit: 1, property: state, tag: cut/1/state, type: enum}
  - {thing: bake, property: state, tag: bake/state, type: enum}
  - {thing: bake, property: out, product: small, tag: bake/small, type: counter, bits: 16, resets: shift}
  - {thing: bake, property: out, product: large, tag: bake/large, type: counter, bits: 16}
  - {thing: far_s, property: on_order, tag: far_s/on_order}
  - {thing: far, property: backorder, tag: far/waiting}
"""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    file: Path = tmp_path_factory.mktemp("plant") / "everything.yaml"
    file.write_text(PLANT + TOLD)
    return load(str(file))


def live(
    plant: Plant, hours: float, twist: Twist | None = None, warmup_h: float = 30.0
) -> tuple[VirtualPlant, list[dict[str, Any]], list[Supply]]:
    """Run for some hours of plant time; the plant, what the bus heard and what the ERP sent."""
    clock = [0.0]
    running = VirtualPlant(plant, Options(seed=4, warmup_s=warmup_h * 3600, twist=twist), mono=lambda: clock[0])
    bus: list[dict[str, Any]] = []
    sent: list[Supply] = []
    erp = Erp(running, "r", lambda body: sent.append(parse("supply", body)))
    running.emit, running.erp = bus.append, erp.paper
    for _ in range(round(hours * 60)):
        clock[0] += 1.0  # a minute of plant time
        running.advance()
        while running.lag_s > 0:
            running.advance()
        erp.tick()
    return running, bus, sent


def test_every_part_of_a_batch_is_told_with_the_count_it_leads_to(described: Plant) -> None:
    _, bus, _ = live(described, 30, Twist())
    register = {"bake/small": -1, "bake/large": -1}
    batches: Counter[int] = Counter()
    resets = 0
    for message in bus:
        event = message.get("event")
        if event is None:
            continue
        parse("event", encode(Event(e="x", s=0, t=message["t"], **{k: v for k, v in event.items() if k != "tag"})))
        if event["kind"] == "work_end" and event["thing"] == "bake":
            last = register[event["tag"]]
            resets += event["count"] == 1 and last > 1
            assert last in (-1, event["count"] - 1) or event["count"] == 1
            register[event["tag"]] = event["count"]
            batches[message["t"]] += 1
    assert max(batches.values()) >= 5
    assert len(batches) > 8
    assert resets == 1  # the register of small, at the shift change, which no break is


def test_a_setup_is_told_and_seen(described: Plant) -> None:
    plant, bus, _ = live(described, 24, Twist())
    told = [m["event"] for m in bus if "event" in m and m["event"]["thing"] == "cut"]
    begun = [e for e in told if e["kind"] == "setup"]
    assert len(begun) > 5
    assert [e["state"] for e in begun] == ["setup"] * len(begun)
    follows = {
        "work_start": ("setup", "work_end"),
        "setup": ("setup_end",),
        "setup_end": ("work_end",),
        "work_end": ("work_start",),
    }
    for a, b in pairwise(e["kind"] for e in told if e["kind"] not in ("down", "up")):
        assert b in follows[a]
    seen = [m["v"]["cut/1/state"] for m in bus if "cut/1/state" in m.get("v", {})]
    assert seen.count(STATES.index("setup")) == pytest.approx(len(begun), abs=1)
    assert {e["step"] for e in told if "product" in e} == {"cut"}
    changed = [e for e in told if e["kind"] == "down" and "product" not in e]
    assert {e["text"] for e in changed} == {"tool"}  # changed when the unit holds nothing
    assert json.dumps(plant.snapshot())


def on_order(sent: list[Supply]) -> Counter[str]:
    """Units on order by stock, as the documents say."""
    stands: Counter[str] = Counter()
    for doc in {(s.doc, s.version): s for s in sent}.values():
        sign = {"purchase_order": 1, "goods_receipt": -1}.get(doc.kind, 0)
        stands[str(doc.stock)] += sign * round(doc.quantity or 0)
    return stands


def test_documents_say_what_is_on_order_under_way_and_owed(described: Plant) -> None:
    plant, _, sent = live(described, 120)
    rooms = plant.shop.rooms
    assert {k: on_order(sent)[k] for k in rooms} == {k: r.on_order for k, r in rooms.items()}
    transfers = [s for s in sent if s.stock == "far_s" and s.kind not in ("stock_count", "customer_order")]
    assert {s.supplier for s in transfers} == {"out_s"}
    assert {s.doc[:3] for s in transfers if s.kind == "purchase_order"} == {"TO-"}
    notices = [s for s in transfers if s.kind == "shipment_notice"]
    receipts = [s for s in transfers if s.kind == "goods_receipt"]
    assert {s.ref for s in notices} <= {s.doc for s in transfers if s.kind == "purchase_order"}
    assert len(notices) > 3
    moving = sum(round(s.quantity or 0) for s in notices) - sum(round(s.quantity or 0) for s in receipts)
    assert moving == rooms["far_s"].on_order - rooms["far_s"].lanes[0].owed
    assert {s.doc[3:] for s in receipts} <= {s.doc[3:] for s in notices}
    assert any(s.doc.startswith("PX-bars-") and s.supplier == "dealer" for s in sent)


def test_what_is_open_when_the_erp_begins_is_sent_first(described: Plant) -> None:
    """Also orders that have come in part: what is still to come of them."""
    plant, _, _ = live(described, 0.1, warmup_h=80.0)
    order = next(o for r in plant.shop.rooms.values() for o in r.open_orders.values())
    order["quantity"] += 7  # as if seven of it had come already
    sent: list[Supply] = []
    erp = Erp(plant, "q", lambda body: sent.append(parse("supply", body)))
    assert on_order(sent) == Counter({k: r.on_order for k, r in plant.shop.rooms.items() if r.on_order})
    before = len(sent)
    erp.send_again()
    assert {s.doc for s in sent[before:]} == {s.doc for s in sent[:before]}


def test_a_plant_that_only_stocks_and_sells_runs_too() -> None:
    described = load("dual_sourcing")
    plant, _, sent = live(described, 24, warmup_h=warmup_of("auto", described) / 3600)
    assert plant.shop.rooms["shelf"].demanded > 0
    assert {"purchase_order", "stock_count"} <= {s.kind for s in sent}


def test_controls_reach_the_plant(described: Plant) -> None:
    plant, bus, _ = live(described, 0.1)
    for tag, value, path in (
        ("set/total", 6, "groups.both.cap"),
        ("set/fast", 120, "stocks.bars.express"),
        ("set/avoid", 1, "stations.cut.dispatch.setup"),
    ):
        assert plant.write({"tag": tag, "value": value})["ok"]
        assert plant.shop.settings[path] == value
        assert bus[-1]["v"][tag] == value
