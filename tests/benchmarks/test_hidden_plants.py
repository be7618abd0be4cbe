"""Hidden plants: models that keep their parts, registers that are dirty as they say, a clean one tracked exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hidden_plants import cli, engineer, rivals
from benchmarks.hidden_plants.border import Border, ms
from benchmarks.hidden_plants.field import Field, Wired, Wiring, wire
from benchmarks.hidden_plants.listen import plan_of
from benchmarks.hidden_plants.model import Floor
from benchmarks.hidden_plants.page import write_page
from benchmarks.hidden_plants.spec import DAY, WARM, Plant, draw, real_windows
from ingest.mapping import load as load_mapping
from sim.compile import compile_plant
from sim.plantfile import load
from twin.limits import beyond
from twin.log import EvidenceLog
from twin.shiftbook import ShiftBook
from twin.tracker import Tracker


def clean(seed: int) -> tuple[Plant, Wiring]:
    """A serial line without anything hidden, everything wired; its registers still wrap and are reset."""
    plant = draw(seed)
    stations = [replace(s, crew=False, hands=False, dips=False) for s in plant.stations]
    plant = replace(
        plant, release="saturated", stations=stations, deviation="as planned", before_service=False, hands=0, dips=0.0,
        slow=0.0, carried=0.0,
    )  # fmt: skip
    plant.windows = real_windows(plant)
    resets = ("told", "never", "day")
    wired = {
        s.name: Wired(s.name, 100 * (k + 1), ("packml", "bits")[k % 2], resets[k % 3], 0.0, 0.0, first=65_500)
        for k, s in enumerate(stations)
    }
    return plant, Wiring(wired, 0.2, True, "gateway", [], 0.0, 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_model_keeps_its_parts(seed: int) -> None:
    """Made = finished + scrapped + inside, whatever the kind; somebody carries parts, power dips, nothing is lost."""
    plant = replace(draw(seed), carried=1800.0, dips=7200.0)
    for s in plant.stations[:2]:
        s.dips = True
    floor = Floor(plant, lambda *_: None)
    floor.run(-WARM + 20 * 3600)
    assert floor.made > 50
    assert len(floor.done) > 20
    assert floor.made == len(floor.done) + floor.lost + floor.inside
    assert floor.inside >= sum(len(q.items) for q in floor.queue.values())


def test_work_is_done_in_the_hours_of_the_plant_only() -> None:
    plant = draw(1)
    starts: list[float] = []
    floor = Floor(plant, lambda t, _s, _u, what, _d: starts.append(t) if what == "start" else None)
    floor.run(-WARM + DAY)
    assert starts
    assert all(any(a - 1e-6 <= t <= b + 1e-6 for a, b in plant.windows) for t in starts)


def test_a_clean_plant_is_tracked_exactly(tmp_path: Path) -> None:
    """Registers that wrap and are reset, words and bits: every finished part counted, every part in the line known."""
    plant, wiring = clean(6)
    registers = Field(plant, wiring)
    floor = Floor(plant, registers.tell)
    end = -WARM + 10 * 3600
    floor.run(end)
    files = engineer.write(plant, wiring, tmp_path)
    believed = load(str(files[0]))
    border = Border(believed, load_mapping(files[1], believed), wiring, 6)
    tracker = Tracker(believed)
    for row in border.rows(registers.stream(), -WARM, end):
        tracker.apply(row)
    state = tracker.state
    assert sum(state.meters.finished) == len(floor.done) > 60
    assert sum(state.wip) == floor.inside
    assert state.counts.get("vanished", 0) == 0
    for s, (spec, station) in enumerate(zip(plant.stations, state.stations, strict=True)):
        inside = len(station.queue) + sum(len(u.parts) for u in station.units)
        assert abs(inside - len(floor.queue[spec.name].items)) <= 1, s  # one is in the unit


def test_the_registers_are_dirty() -> None:
    plant, wiring = clean(6)
    wiring.wired["s1"] = replace(wiring.wired["s1"], misses=0.2)
    registers = Field(plant, wiring)
    ends = {s.name: 0 for s in plant.stations}

    def tell(t: float, station: str, unit: int, what: str, detail: Any) -> None:
        if what == "end":
            ends[station] += 1
        registers.tell(t, station, unit, what, detail)

    Floor(plant, tell).run(-WARM + DAY)
    first = [v for _, name, v in registers.stream() if name == wiring.wired["s2"].count("a", 0)]
    assert {0, 65_535} <= set(first)
    assert max(first) == 65_535
    assert first[-1] == (65_500 + ends["s2"]) % 65_536
    assert 0.1 * ends["s1"] < registers.missed < 0.3 * ends["s1"]
    resets = [v for _, name, v in registers.stream() if name == wiring.wired["s1"].count("a", 0)]
    assert any(b == 0 and a > 0 for a, b in pairwise(resets))


@pytest.mark.parametrize("seed", range(12))
def test_the_engineer_writes_valid_files_and_knows_little(seed: int, tmp_path: Path) -> None:
    plant, wiring = draw(seed), wire(draw(seed))
    files = engineer.write(plant, wiring, tmp_path)
    believed = load(str(files[0]))
    assert beyond(believed) == []
    mapping = load_mapping(files[1], believed)
    assert mapping.unfed == ()
    assert len(wiring.wired) < len(plant.stations)
    assert plant.stations[-1].name in wiring.wired
    text = files[0].read_text(encoding="utf-8")
    assert "before_service" not in text
    hours = {(a, b) for a, b in real_windows(replace(plant, deviation="as planned"))}
    assert (set(plant.windows) == hours) == (plant.deviation == "as planned")
    assert (tmp_path / "tags.csv").read_text(encoding="utf-8").count("\n") > 2


def test_the_fleet_has_every_kind_and_every_dirt() -> None:
    fleet = [(draw(seed), wire(draw(seed))) for seed in range(30)]
    assert len({p.kind for p, _ in fleet}) == 6
    assert len({p.release for p, _ in fleet}) == 4
    assert len({p.deviation for p, _ in fleet}) == 5
    dirt = " ".join(word for _, w in fleet for word in w.dirt)
    for word in ("wraps", "misses", "late reason", "plain MQTT", "clock off", "outages", "hand moves", "power dips"):
        assert word in dirt


RAW = {
    "seed": 1, "kind": "serial", "release": "push", "stations": 4, "dirt": ["16-bit wraps"], "calendar": [],
    "went_wrong": ["1 parts believed in the line, 2 there"],
    "past": [
        {"kind": "early", "values": [90.0 + k / 5 for k in range(99)], "out": 110, "counted": 100} for _ in range(6)
    ],
}  # fmt: skip


def shift(out: int, naive: float) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(rivals.RIVALS, naive) | {rivals.SPREAD: [naive - 20, naive, naive + 20]}
    return found | {"kind": "early", "t": 0, "out": out, "counted": 100, "values": [90.0 + k / 5 for k in range(99)]}


def test_scores_and_shares(tmp_path: Path) -> None:
    """The twin says 100 where 110 comes, and has learned it; one rival is right, another is 20 off."""
    lost = rivals.score(RAW | {"seed": 2, "shifts": [shift(110, 110.0)] * 3})
    won = rivals.score(RAW | {"shifts": [shift(110, 130.0)] * 3})
    assert (won["crps"]["last shift"], lost["crps"]["last shift"]) == (20, 0)
    assert won["crps"]["twin"] < won["crps"]["alone"] < 20
    assert abs(won["bias"]) < 3 < abs(won["bias_alone"])
    assert won["crps"]["counted"] > won["crps"]["twin"], "its own counts were 10 short, so it learned nothing from them"
    assert rivals.better(won, "best")
    assert not rivals.better(lost, "best")
    figures = cli.figures_of([won, lost])
    assert [f.ratio for f in figures[:3]] == [0.5, 0.5, 0.5]  # no seed from 6 on
    page = tmp_path / "page.md"
    write_page(page, [won, lost], figures, {"plants": 2, "seed": 1, "listen_days": 7.0, "shifts": 3})
    text = page.read_text(encoding="utf-8")
    assert "**Plant 1** (better" in text
    assert "**Plant 2** (**not better**" in text


def test_a_tiny_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plant from its tag list to a scored forecast; the second time it is read from the work folder."""
    result = cli.one(11, tmp_path, 1.2, 1)
    (forecast,) = result["shifts"]
    assert len(forecast["values"]) == 99
    assert 0.3 < sum(forecast["values"]) / 99 / forecast["out"] < 3
    monkeypatch.setattr("benchmarks.hidden_plants.listen.run", None)
    again = cli.one(11, tmp_path, 1.2, 1)
    assert json.dumps(again) == json.dumps(result)
    with pytest.raises(TypeError):
        cli.one(11, tmp_path, 1.3, 1)


def test_the_running_twins_own_book_keeps_up_with_a_hidden_plant(tmp_path: Path) -> None:
    """Three days of dirty registers, nobody who books or approves anything: shifts are found in the plan, forecast at
    their beginning, counted as they were to a part or two, and the model's error is put right.
    """
    plant, wiring = draw(13), wire(draw(13))
    registers = Field(plant, wiring)
    floor = Floor(plant, registers.tell)
    worked = {ms(s.a): s for s in plan_of(plant, floor, 2 * DAY, 2)}
    files = engineer.write(plant, wiring, tmp_path)
    compiled = compile_plant(load(str(files[0])))
    border = Border(compiled.plant, load_mapping(files[1], compiled.plant), wiring, 13)
    tracker, log = Tracker(compiled.plant), EvidenceLog(tmp_path / "log.db", "hidden")
    book, due = ShiftBook(compiled, log), -1
    for row in border.rows(registers.stream(), 0.0, 3 * DAY):
        book.before(tracker, row)
        tracker.apply(row)
        if book.due != due and (kept := book.wanting(tracker.state)) is not None:
            book.take(kept, book.make(kept, tracker.state), tracker.state, tracker.pos)
        due = book.due
    over = [k for k in book.rows.values() if k.out is not None]
    assert [(k.a, k.b) for k in over] == [(a, ms(s.b)) for a, s in worked.items() if s.a > 0]
    assert all(abs((k.out or 0) - worked[k.a].out) <= 2 for k in over)
    assert [book.said(k).n for k in over] == [0, 0, 0, 1, 2, 3]
    last = [k.score for k in over[-2:]]
    assert sum(s["crps"] for s in last) < sum(s["crps_alone"] for s in last)
    log.close()
