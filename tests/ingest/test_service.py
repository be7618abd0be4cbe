"""The service on both brokers: what is lost on the way comes back, and everything ends up once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ingest.journal import Batch, Journal
from ingest.service import Job
from ingest.topicmap import Rule, TopicMap
from ingest.wire import Cmd, CmdAck, Manual, TwinState, encode, parse, topic, wall_ms
from tests.ingest.kit import CELL1, CELL2, Live, Publisher, Running, data, numbers, serve, until


@pytest.fixture
def publisher(fresh_broker: Running) -> Iterator[Publisher]:
    with Publisher(fresh_broker.port) as found:
        yield found


def test_lost_doubled_and_disordered_messages_end_up_once(live: Live, fresh_broker: Running) -> None:
    rnd = random.Random(4)
    with Publisher(fresh_broker.port, lose=lambda _: rnd.random() < 0.1) as gateway:
        # the twin's state makes a gateway send all again: it must be over before, so that only requests can help
        until(lambda: any(isinstance(payload, TwinState) for _, payload in gateway.heard))
        for n in range(300):
            gateway.send()
            if n % 7 == 0 and gateway.outbox:
                gateway.raw(*rnd.choice(list(gateway.outbox.values())))
        gateway.lose = lambda _: False
        gateway.send()
        until(lambda: not gateway.outbox, 20, "the outbox to drain")
        entry = live.entry()
        assert sorted(numbers(live.path)) == list(range(1, 302))
        assert (entry.hw, entry.hole, entry.rejected) == (301, 0, {})
        assert entry.duplicate >= 20
        assert entry.replayed >= 10
        replays = [p for _, p in gateway.heard if getattr(p, "want", "") == "replay"]
        assert 1 <= len(replays) <= 30


def test_two_sources_and_a_new_epoch_are_kept_apart(live: Live, fresh_broker: Running) -> None:
    with (
        Publisher(fresh_broker.port) as one,
        Publisher(fresh_broker.port, source=CELL2, epoch="e2") as two,
    ):
        for _ in range(40):
            one.send()
            two.send()
        until(lambda: not one.outbox and not two.outbox, what="both outboxes to drain")
    with Publisher(fresh_broker.port, epoch="e3") as again:
        for _ in range(5):
            again.send()
        until(lambda: not again.outbox, what="the new epoch to drain")
    assert numbers(live.path) == [*range(1, 41), *range(1, 6)]
    assert numbers(live.path, CELL2) == list(range(1, 41))
    assert live.entry().e == "e3"


def test_data_before_its_birth_is_asked_for_again(live: Live, fresh_broker: Running) -> None:
    with Publisher(fresh_broker.port) as gateway:
        until(lambda: live.entry().e == "e1")
        gateway.epoch = "e5"
        for _ in range(4):
            gateway.send()
        until(lambda: not gateway.outbox, what="rebirth and replay")
    assert numbers(live.path) == [1, 2, 3, 4]
    assert live.entry().rejected["no_birth"] >= 1


def test_rubbish_is_counted_and_good_messages_go_on(live: Live, publisher: Publisher) -> None:
    publisher.send()
    where = topic(CELL1, "data")
    for body in (b"\xff\xfe", b'{"e":"e1","s":2,"v":NaN}', b"[" * 15_000, b"x" * 17_000, b""):
        publisher.raw(where, body)
    publisher.raw(where.replace("demo", "elsewhere"), data(2))
    publisher.raw(f"{CELL1}/nonsense", b"{}")
    publisher.send()
    until(lambda: not publisher.outbox, what="good messages")
    rejected = live.service.intake.ledger.rejected
    until(lambda: sum(rejected.values()) >= 7)
    assert rejected == {"not_utf8": 1, "bad_number": 1, "wrong_type": 1, "too_big": 1, "not_json": 1, "wrong_site": 1,
                        "bad_topic": 1}  # fmt: skip
    assert numbers(live.path) == [1, 2]


def test_the_watermark_is_retained_and_nothing_is_confirmed_before_it_is_on_disk(
    live: Live, publisher: Publisher
) -> None:
    commit = live.service.journal.commit
    held: list[float] = []

    def slow(batch: Batch) -> int:
        held.append(time.monotonic())
        time.sleep(0.4)
        return commit(batch)

    live.service.journal.commit = slow  # type: ignore[method-assign]
    publisher.send()
    until(lambda: not publisher.outbox)
    assert time.monotonic() - held[0] >= 0.4
    with Publisher(publisher.port, obedient=False) as other:
        until(lambda: any(t.endswith("/ack") and p.hw == 1 for t, p in other.heard), what="the retained watermark")


def test_a_full_disk_confirms_nothing_and_recovers_without_restart(live: Live, publisher: Publisher) -> None:
    publisher.send()
    until(lambda: not publisher.outbox)
    live.service.journal.limit_pages(1)
    for _ in range(30):
        publisher.send(lambda n: data(n)[:-1] + b',"x":"' + b"y" * 3000 + b'"}')
    until(lambda: live.service.trouble is not None, what="the refusal")
    health = live.service.health()
    assert not health["ok"]
    assert "no space left" in health["journal"]
    refused = live.service.submit(Job("manual", b"", Manual(t=1, thing="b1", property="level", value=2.0)))
    with pytest.raises(Exception, match="no space left"):
        refused.result(5)
    assert publisher.outbox
    live.service.journal.limit_pages(1_000_000)
    until(lambda: not publisher.outbox, 15, "recovery")
    assert numbers(live.path) == list(range(1, 32))
    assert live.service.health()["ok"]


def test_the_broker_may_vanish_and_come_back(fresh_broker: Running, tmp_path: Path) -> None:
    live = serve(tmp_path / "d", fresh_broker.port)
    try:
        with Publisher(fresh_broker.port) as gateway:
            gateway.send()
            until(lambda: not gateway.outbox)
            fresh_broker.broker.stop()
            until(lambda: not live.service.link.connected, what="the loss to be noticed")
            fresh_broker.broker.start()
            until(lambda: live.service.link.connected and live.service.link.number == 2, 15, "the reconnection")
            until(gateway._client.is_connected, 15)
            gateway.send()
            gateway.again()
            until(lambda: not gateway.outbox, 15, "the outbox to drain")
        assert numbers(live.path) == [1, 2]
    finally:
        live.service.stop()


def test_a_restarted_service_goes_on_and_says_that_it_was_away(fresh_broker: Running, tmp_path: Path) -> None:
    first = serve(tmp_path / "d", fresh_broker.port)
    with Publisher(fresh_broker.port) as gateway:
        for _ in range(5):
            gateway.send()
        until(lambda: not gateway.outbox)
        first.service.stop()
        until(lambda: not [p for _, p in gateway.heard if isinstance(p, TwinState)][-1].online, what="the goodbye")
        for _ in range(5):
            gateway.send()
        second = serve(tmp_path / "d", fresh_broker.port)
        gateway.again()
        until(lambda: not gateway.outbox, what="what was sent in between")
        second.service.stop()
    assert numbers(second.path) == list(range(1, 11))


def test_ticks_carry_plant_time_into_the_journal(live: Live, publisher: Publisher) -> None:
    """At 60 times real time there is a tick at most every 50 ms, on whole seconds, never backwards."""
    publisher.send()
    until(lambda: not publisher.outbox)
    time.sleep(0.8)
    with_ticks = [row for row in Journal.open_reader(live.path).read(0, 1000) if row.kind == "tick"]
    assert 8 <= len(with_ticks) <= 30
    times = [row.t for row in with_ticks]
    assert times == sorted(set(times))
    assert all(t % 1000 == 0 for t in times)
    assert 60 * 0.7 <= (times[-1] - times[0]) / (with_ticks[-1].recv - with_ticks[0].recv) <= 60 * 1.3


def test_plain_numbers_from_any_client(fresh_broker: Running, tmp_path: Path) -> None:
    import shutil
    import subprocess

    rules = TopicMap((Rule("shop/count", "turn/count"), Rule("erp/+", "{1}/level", ("n",), 0.5)))
    live = serve(tmp_path / "d", fresh_broker.port, rules)
    try:
        with Publisher(fresh_broker.port) as anyone:
            anyone.raw("shop/count", b"41")
            anyone.raw("erp/b1", b'{"n": 3}')
            wanted = {("turn/count", 41.0), ("b1/level", 1.5)}
            if shutil.which("mosquitto_pub"):  # a 3.1.1 client, as most are
                call = ["mosquitto_pub", "-p", str(fresh_broker.port_311), "-q", "1", "-t", "erp/b2", "-m", '{"n":8}']
                subprocess.run(call, check=True)
                wanted.add(("b2/level", 4.0))
            until(lambda: len(_plain(live.path)) == len(wanted), what="plain rows")
        assert _plain(live.path) == wanted
    finally:
        live.service.stop()


def _plain(path: Path) -> set[tuple[str, float]]:
    rows = [msgspec.json.decode(r.body) for r in Journal.open_reader(path).read(0, 1000) if r.kind == "plain"]
    return {(row["tag"], row["value"]) for row in rows}


def command(ident: str, now: int, to: str | None = None) -> Cmd:
    return Cmd(
        id=ident, target="cap", value=8, not_before=now, expires=now + 600_000, lease_s=60, state="", rec="r",
        issuer="twin@demo", sig="ed25519:x", to=to,
    )  # fmt: skip


def test_a_command_is_journaled_published_unretained_and_repeated_until_answered(
    live: Live, publisher: Publisher
) -> None:
    until(lambda: live.service.intake.clock is not None)
    now = live.service.intake.now(wall_ms())
    cmd = command("c-1", now)
    result = live.service.submit(Job("command", encode(cmd), cmd)).result(5)
    assert result == {"id": "c-1", "topic": f"{CELL1}/cmd/c-1", "duplicate": False}
    until(lambda: [p for t, p in publisher.heard if t.endswith("/cmd/c-1")] == [cmd], what="the command")
    assert live.service.submit(Job("command", encode(cmd), cmd)).result(5)["duplicate"]
    with pytest.raises(ValueError, match="another content"):
        live.service.submit(Job("command", encode(command("c-1", now + 1)), command("c-1", now + 1))).result(5)
    with pytest.raises(ValueError, match="expired"):
        live.service.submit(Job("command", b"", command("c-2", now - 10**7))).result(5)
    with pytest.raises(ValueError, match="expected one source"):
        live.service.submit(Job("command", b"", command("c-3", now, CELL2))).result(5)
    with Publisher(publisher.port, obedient=False) as late:  # nothing retained waits for a late listener
        until(lambda: any(t.endswith("/ack") for t in late.stored))
        assert not [t for t in late.stored if "/cmd/" in t]  # one that is repeated may come just then
    assert "c-1" in live.service.intake.pending
    publisher.send(lambda n: encode(CmdAck(e="e1", s=n, id="c-1", step="received", t=now)), "cmdack", "c-1")
    until(lambda: not publisher.outbox, what="the answer to be on disk")
    assert "c-1" not in live.service.intake.pending
    kinds = [row.kind for row in Journal.open_reader(live.path).read(0, 1000)]
    assert (kinds.count("cmd"), kinds.count("cmdack")) == (1, 1)


def test_an_unexpected_failure_of_a_commit_confirms_nothing(live: Live, publisher: Publisher) -> None:
    """After any failure the state goes back to the journal's: what it does not hold must never be acknowledged."""
    publisher.send()
    until(lambda: not publisher.outbox)
    commit = live.service.journal.commit
    live.service.journal.commit = broken  # type: ignore[method-assign, assignment]
    publisher.send()
    until(lambda: live.service.trouble is not None, what="the failure to be noticed")
    time.sleep(1.0)
    assert publisher.hw == 1
    assert list(publisher.outbox) == [2]
    live.service.journal.commit = commit  # type: ignore[method-assign]
    publisher.again()
    until(lambda: not publisher.outbox, what="recovery")
    assert numbers(live.path) == [1, 2]
    assert live.service.health()["ok"]


def broken(_batch: Batch) -> int:
    raise MemoryError("not a failure of SQLite")


def test_an_unanswered_command_survives_a_restart(fresh_broker: Running, tmp_path: Path) -> None:
    live = serve(tmp_path / "d", fresh_broker.port)
    with Publisher(fresh_broker.port) as gateway:
        until(lambda: live.service.intake.clock is not None)
        cmd = command("c-9", live.service.intake.now(wall_ms()))
        live.service.submit(Job("command", encode(cmd), cmd)).result(5)
        live.service.stop()
        gateway.heard.clear()
        live = serve(tmp_path / "d", fresh_broker.port)
        until(lambda: [p for t, p in gateway.heard if "/cmd/" in t] == [cmd], what="the command again")
        live.service.stop()
    assert parse("cmd", encode(cmd)) == cmd
