"""The loopback HTTP interface, over a live service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from ingest.keys import load_private, make_keys, sign
from ingest.run import Web, listen
from ingest.wire import Cmd, Gain, Rec, Supply, encode, wall_ms
from tests.ingest.kit import CELL1, Live, Publisher, Running, serve, until


@pytest.fixture
def parts(broker: Running, tmp_path: Path) -> Iterator[tuple[Live, Publisher, httpx.Client]]:
    make_keys(tmp_path / "d")
    live = serve(tmp_path / "d", broker.port)
    with Publisher(broker.port) as gateway:
        until(lambda: live.service.intake.clock is not None)
        listener = listen(0)
        web = Web(live.service, listener)
        web.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as http:
            until(lambda: web.server.started)
            yield live, gateway, http
        web.stop()
        listener.close()
    live.service.stop()


def test_the_interface(parts: tuple[Live, Publisher, httpx.Client]) -> None:
    live, gateway, http = parts
    gateway.send()
    until(lambda: not gateway.outbox)
    health = http.get("/healthz")
    assert (health.status_code, health.json()["broker"]) == (200, "connected")
    entry = http.get("/ledger").json()["sources"][CELL1]
    assert {
        "received",
        "duplicate",
        "late",
        "hole",
        "replayed",
        "rejected",
        "dropped",
        "hw",
        "newest",
        "last_recv",
        "online",
    } <= set(entry)
    assert (entry["hw"], entry["newest"]) == (1, 1)
    check_commands(live, http)
    check_rows(live, gateway, http)


def check_commands(live: Live, http: httpx.Client) -> None:
    now = live.service.intake.now(wall_ms())
    plain = Cmd(
        id="c-1", target="cap", value=8, not_before=now, expires=now + 600_000, lease_s=60, state="", rec="r",
        issuer="twin@demo", sig="",
    )  # fmt: skip
    cmd = sign(plain, load_private(live.service.settings.data))
    assert http.post("/command", content=encode(plain)).status_code == 403
    assert http.post("/command", content=encode(msgspec.structs.replace(cmd, value=9))).status_code == 403
    assert http.post("/command", content=b"{}").status_code == 422
    before = live.service.journal.last()
    good = http.post("/command", content=encode(cmd))
    assert (good.status_code, good.json()["duplicate"]) == (200, False)
    assert http.post("/command", content=encode(cmd)).json()["duplicate"]
    late = sign(
        msgspec.structs.replace(plain, id="c-2", not_before=1, expires=2), load_private(live.service.settings.data)
    )
    answer = http.post("/command", content=encode(late))
    assert (answer.status_code, "expired" in answer.json()["error"]) == (409, True)
    rows = [row for row in live.service.journal.read(before, 100) if row.kind == "cmd"]
    assert [row.body for row in rows] == [encode(cmd)]


def check_rows(live: Live, gateway: Publisher, http: httpx.Client) -> None:
    before = live.service.journal.last()
    manual = {"thing": "b1", "property": "level", "value": 3, "sd": 0.5, "role": "operator"}
    assert http.post("/manual", json=manual | {"text": "counted twice"}).status_code == 200
    assert http.post("/manual", json=manual | {"text": "x" * 4001}).status_code == 422
    assert http.post("/manual", json=manual | {"value": "3"}).status_code == 422
    assert http.post("/manual", content=b'{"thing":"b1","property":"level","value":NaN}').status_code == 422
    document = encode(Supply(doc="PO-7", version=1, kind="goods_receipt", issued=5, item="coil", quantity=4))
    assert [http.post("/supply", content=document).json()["duplicate"] for _ in range(2)] == [False, True]
    kinds = [row.kind for row in live.service.journal.read(before, 100) if row.kind != "tick"]
    assert kinds == ["manual", "supply"]
    gain = Gain(mean=18.0, lo=4.1, hi=31.9, unit="EUR", worse=0.04)
    rec = Rec(id="r-41", control="cap", from_=6, to=8, gain=gain, expires=9)
    assert http.post("/rec", content=encode(rec)).json() == {"published": True}
    until(lambda: [p for t, p in gateway.heard if t.endswith("_twin/rec")] == [rec], what="the recommendation")
    assert http.post("/rec", content=b"{}").json() == {"published": True}


def test_strangers_are_kept_out(parts: tuple[Live, Publisher, httpx.Client]) -> None:
    _, _, http = parts
    assert http.get("/healthz", headers={"host": "evil.example"}).status_code == 400
    assert http.post("/manual", json={}, headers={"origin": "https://evil.example"}).status_code == 403
    assert http.post("/supply", content=b"x" * 20_000).status_code == 413
