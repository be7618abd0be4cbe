"""The examples for gateway authors keep the contract; altered, they break exactly the rule that was altered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import plantwin
from ingest.broker import Embedded, Options, free_port, make
from ingest.conformance import Finding, check
from ingest.conformance_active import run
from ingest.conformance_live import Ear, Target
from ingest.conformance_log import Log
from ingest.journal import Journal
from ingest.topicmap import load
from ingest.wire import TwinState, encode
from tests.ingest.kit import Publisher, numbers, serve, until

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PUBLISHER = (EXAMPLES / "publisher.py").read_text()
OBEYS = '\nTAGS.append({"i": 2, "name": "set/cap", "type": "int"})\n'
STEPS = {
    "obeys": 'for step in ("accepted", "executed"):\n'
    '            tell("cmdack/" + body["id"], id=body["id"], step=step, t=now(), read_back=body["value"])',
}  # fmt: skip
ALTERED: dict[str, tuple[str, str, set[str]]] = {
    "as_it_is": ("", "", set()),
    "no_rebirth": ("        connected(client)  # rebirth, time", "        pass", {"rebirth", "time-probe"}),
    "no_expiry": ('elif body["expires"] > now():', "else:", {"request-expiry"}),
    "no_replay": ('again(body["from"], body["to"])', "pass", {"replay"}),
    "other_words": (
        'again(body["from"], body["to"])',
        """client.publish(f'{ROOT}/gap', f'{{"e":"{EPOCH}","s":{body["to"]},"from":1,"to":1,"why":"x"}}', qos=1)""",
        {"replay", "sequence-once"},
    ),
    "never_buffers": ("    if online:\n        again(last, last)", "    again(last, last)", {"twin-offline"}),
    "never_deletes": ('db.execute("DELETE FROM outbox WHERE s <= ?", (body["hw"],))', "pass", {"ack-deletes"}),
    "forgets": ("again(0, last if online else 0)", "pass", {"twin-offline"}),
    "obeys_anyone": ("", STEPS["obeys"], {"cmd-unsigned", "cmd-forged", "cmd-expired"}),
}  # fmt: skip


def altered(old: str, new: str) -> str:
    """The example with one thing changed; with `old` empty, `new` is what it does with a command."""
    if old or not new:
        assert not old or PUBLISHER.count(old) == 1
        return PUBLISHER.replace(old, new) if old else PUBLISHER
    text = PUBLISHER.replace("\ndb = ", OBEYS + "db = ", 1)
    text = text.replace('(f"{ROOT}/req", 1),', '(f"{ROOT}/req", 1), (f"{ROOT}/cmd/+", 1),', 1)
    branch = f'    if "/cmd/" in message.topic:\n        {new}\n    elif kind == "state":'
    return text.replace('    if kind == "state":', branch, 1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    made = make("embedded", Options(free_port(), folder=tmp_path_factory.mktemp("broker")))
    assert isinstance(made, Embedded)
    made.start()
    yield made
    made.stop()


def start(text: str, folder: Path, port: int, root: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    (folder / "publisher.py").write_text(text)
    return subprocess.Popen([sys.executable, "publisher.py", "127.0.0.1", str(port), root], cwd=folder)


@pytest.fixture(scope="module")
def findings(broker: Embedded, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """Every altered example checked, each on a line of its own, all at the same time."""
    found: dict[str, list[Finding]] = {}

    def one(name: str) -> None:
        root = f"ptw/v1/demo/machining/{name}/cell1"
        folder = tmp_path_factory.mktemp(name)
        process = start(altered(*ALTERED[name][:2]), folder, broker.options.port, root)
        target = Target("127.0.0.1", broker.options.port, root)
        try:
            with Ear(target, [f"{root}/birth"]) as ear:
                ear.listen(60, bool)  # a dozen of them start at the same time
            messages, active = run(target, 2.5, waits=(3.0, 1.0))
            found[name] = [*check(Log.of(messages, root)), *active]
        finally:
            process.kill()
            process.wait()

    threads = [threading.Thread(target=one, args=(name,)) for name in ALTERED]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found


@pytest.mark.parametrize("name", list(ALTERED))
def test_the_check_finds_what_was_altered_and_nothing_else(name: str, findings: dict[str, list[Finding]]) -> None:
    broken = {one.rule: one.why for one in findings[name] if one.verdict == "fail"}
    assert set(broken) == ALTERED[name][2], broken


def test_the_command_records_and_checks_a_live_gateway(
    broker: Embedded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = "ptw/v1/demo/machining/live/cell1"
    where = ["--broker", f"127.0.0.1:{broker.options.port}", "--root", root, "--seconds", "2"]
    online = encode(TwinState(online=True, ts=1))
    process = start(PUBLISHER, tmp_path / "example", broker.options.port, root)
    try:
        with Publisher(broker.options.port, source="ptw/v1/demo/machining/live/other") as twin:
            twin.raw("ptw/v1/demo/machining/live/_twin/state", online, retain=True)
            with Ear(Target("127.0.0.1", broker.options.port, root), [f"{root}/#"]) as ear:
                ear.listen(30, lambda new: any(seen.topic.endswith("/event") for seen in new))
        assert wire("record", str(tmp_path / "log.jsonl"), *where) == 0
        assert wire("check", "--file", str(tmp_path / "log.jsonl")) == 0
        assert wire("check", *where) == 0
        told = capsys.readouterr().out
        assert told.count("0 broken, 1 could not be judged") == 2  # the will
        assert wire("check", "--active", *where) == 1
        assert "a twin is online" in capsys.readouterr().err
    finally:
        process.kill()
        process.wait()


def wire(*arguments: str) -> int:
    try:
        return plantwin.main(["wire", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)


def test_the_example_loses_nothing_to_a_kill(broker: Embedded, tmp_path: Path) -> None:
    """Killed and started again in the middle: every number of its outbox is in the journal once."""
    live = serve(tmp_path / "d", broker.options.port)
    root = "ptw/v1/demo/machining/line3/example"
    folder = tmp_path / "example"
    try:
        for _ in range(2):
            process = start(PUBLISHER, folder, broker.options.port, root)
            before = live.entry(root).hw
            try:
                until(lambda: live.entry(root).hw >= before + 4, 30, "numbers of the example")  # noqa: B023
            finally:
                process.kill()
                process.wait()
        got = numbers(live.path, root)
        assert sorted(got) == list(range(1, len(got) + 1))
        assert len(got) >= 7
        assert live.entry(root).rejected == {}
    finally:
        live.service.stop()


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed here")
def test_plain_topics_from_mosquitto_pub(broker: Embedded, tmp_path: Path) -> None:
    live = serve(tmp_path / "d", broker.options.port, load(EXAMPLES / "topics.yaml"))
    try:
        env = os.environ | {"HOST": "127.0.0.1", "PORT": str(broker.port_311)}
        subprocess.run(["sh", str(EXAMPLES / "mosquitto_pub.sh")], env=env, check=True)
        wanted = {("turn/count", 41.0), ("oven/temperature", 21.3), ("b1/level", 3.0)}

        def got() -> set[tuple[str, float]]:
            rows = [r for r in Journal.open_reader(live.path).read(0, 1000) if r.kind == "plain"]
            return {(row["tag"], round(row["value"], 6)) for row in map(msgspec.json.decode, (r.body for r in rows))}

        until(lambda: got() == wanted, what="plain rows")
    finally:
        live.service.stop()


def test_the_topic_map_of_the_example_is_valid() -> None:
    rules = load(EXAMPLES / "topics.yaml")
    assert rules.convert("shop/turn/count", b"41", 0).tag == "turn/count"
    assert rules.convert("shop/oven/temperature", b"213", 0).value == pytest.approx(21.3)
    assert rules.convert("erp/buffer", b'{"levels": {"b1": 3}}', 0).value == 3.0
