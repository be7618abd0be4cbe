"""A tracker restored from its snapshot goes on as one that never stopped, on a plant without stations as well."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ingest.payloads import Birth, Data, PlantTime, Tag, encode
from ingest.readings import Row, Tick
from sim.plantfile import load
from tests.faults.floor import WIDTH, cell_of, plant_text, tag_name
from tests.faults.follower import digest
from twin.tracker import Tracker

ROOT = "ptw/v1/demo/machining/faults/"
ORIGIN = 1_767_592_800_000


def rows() -> list[Row]:
    """Births, then a reading of every tag and a tick each plant minute, for half an hour."""
    found: list[Row] = []

    def put(t: int, kind: str, source: str, s: int | None, body: bytes) -> None:
        found.append(Row(len(found) + 1, t, t, kind, source, "e" if kind != "tick" else None, s, body))

    cells = {cell: [k for k in range(WIDTH) if cell_of(k) == cell] for cell in sorted(map(cell_of, range(WIDTH)))}
    for cell, ks in cells.items():
        tags = [Tag(i=i, name=tag_name(k), type="int") for i, k in enumerate(ks)]
        clock = PlantTime(origin=ORIGIN, speed=60.0, wall=1)
        put(ORIGIN, "birth", ROOT + cell, None, encode(Birth(v=1, e="e", s=1, sw="x", tags=tags, plant_time=clock)))
    for n in range(1, 31):
        t = ORIGIN + n * 60_000
        for cell, ks in cells.items():
            many = list(range(len(ks)))
            values = [float(n * WIDTH + k) for k in ks]
            data = Data(e="e", s=n, t0=t, i=many, dt=[0] * len(ks), v=values, q=[0] * len(ks))
            put(t, "data", ROOT + cell, n, encode(data))
        put(t, "tick", ROOT + "_twin", None, msgspec.json.encode(Tick(t)))
    return found


def test_what_was_learned_survives_a_restart_on_a_plant_without_stations(tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(plant_text())
    plant = load(str(tmp_path / "faults.yaml"))
    whole, cut = Tracker(plant), Tracker(plant)
    for row in rows():
        whole.apply(row)
        cut.apply(row)
        if row.kind == "tick":
            cut = Tracker.restore(plant, cut.snapshot())
    assert digest(cut) == digest(whole)
    assert whole.learned.t > 0
