"""A disk that turns read-only: nothing is confirmed, it is said, and it recovers without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.gateway import Gateway
from hardware.store import Store
from ingest.broker import Options, free_port, make
from tests.hardware.test_gateway_inside import HELLO, TAGS, hear, on_loop
from tests.ingest.kit import Publisher, numbers, serve, until


def test_ingest_refuses_and_goes_on_when_it_can(tmp_path: Path) -> None:
    port = free_port()
    broker = make("embedded", Options(port, folder=tmp_path / "broker"))
    broker.start()
    live = serve(tmp_path / "data", port)
    try:
        with Publisher(port) as gateway:
            gateway.send()
            until(lambda: gateway.hw == 1)
            live.service.journal._db.execute("PRAGMA query_only=ON")  # what SQLite then says is the same sentence
            gateway.send()
            until(lambda: live.service.trouble is not None)
            health = live.service.health()
            assert not health["ok"]
            assert "readonly" in health["journal"]
            assert gateway.hw == 1
            live.service.journal._db.execute("PRAGMA query_only=OFF")
            until(lambda: gateway.hw == 2)
            assert live.service.health()["ok"]
        assert numbers(live.path) == [1, 2]
    finally:
        live.service.stop()
        broker.stop()


def test_the_gateway_says_so_sends_nothing_and_heals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def story(gateway: Gateway, store: Store) -> None:
        hear(gateway, {"hello": {**HELLO, "tags": TAGS}}, {"t": 1, "v": {"turn/count": 1}})
        before = gateway.home.outbox.next
        store.db.execute("PRAGMA query_only=ON")
        hear(gateway, {"t": 2, "v": {"turn/count": 2}})
        hear(gateway, {"t": 3, "v": {"turn/count": 3}})
        assert gateway.home.outbox.next == before
        assert not gateway.home._fresh
        store.db.execute("PRAGMA query_only=OFF")
        hear(gateway, {"t": 4, "v": {"turn/count": 4}})
        stored = gateway.home.outbox.stored(before, 99)
        assert stored
        assert [m.s for m in stored] == list(range(before, gateway.home.outbox.next))

    on_loop(story, tmp_path)
    out = capsys.readouterr().out
    assert out.count("cannot be written") == 1
    assert "readonly" in out
