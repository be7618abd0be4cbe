"""`plantwin wire check` where the broker does not let it listen: one sentence, and exit code 3."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import plantwin
from ingest import conformance_live, pki
from ingest.broker import free_port, mosquitto_path
from tests.ingest.kit import CELL1, Publisher, Running, _open, until
from tests.ingest.site import Site, running

NEEDS_MOSQUITTO = pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed here")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance_live, "CONNECT_S", 1.0)
    monkeypatch.setattr(conformance_live, "SETTLE_S", 0.2)


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and the one line that was told."""
    try:
        code = plantwin.main(["wire", "check", "--root", CELL1, "--seconds", "0.5", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = capsys.readouterr().err
    assert told.count("\n") == 1, told
    assert told.startswith("plantwin wire check: ")
    return code, told


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    code, told = check(capsys, "--broker", f"127.0.0.1:{port}")
    assert code == 3
    assert f"127.0.0.1:{port}: expected an MQTT broker, found nobody listening" in told
    assert "start it (`plantwin broker`), or correct the port" in told


def test_a_name_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = check(capsys, "--broker", "no-such-broker.invalid:1883")
    assert (code, "found no such host" in told, "correct the name" in told) == (3, True, True)


@pytest.fixture
def with_password(tmp_path: Path) -> Iterator[int]:
    """mosquitto that knows `anna` with the password `right`, and nobody else."""
    port, users, conf = free_port(), tmp_path / "users", tmp_path / "conf"
    users.touch(0o600)
    tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
    subprocess.run([tool, "-b", str(users), "anna", "right"], check=True)
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {users}\nuser root\n")
    process = subprocess.Popen([mosquitto_path() or "", "-c", str(conf)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or _open(port), what="mosquitto with passwords")
        yield port
    finally:
        process.terminate()
        process.wait(5)


@NEEDS_MOSQUITTO
def test_a_broker_that_wants_a_password(
    with_password: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = ("--broker", f"127.0.0.1:{with_password}")
    code, told = check(capsys, *broker)
    assert code == 3
    assert "expected a certificate or a user name with its password; give us one" in told
    monkeypatch.setenv("PLANTWIN_MQTT_PASSWORD", "wrong")
    code, told = check(capsys, *broker, "--user", "anna")
    assert code == 3
    assert "found 'Not authorized'; expected another password, or another name than 'anna'; correct them" in told
    monkeypatch.setenv("PLANTWIN_MQTT_PASSWORD", "right")
    code, told = check(capsys, *broker, "--user", "anna")  # let in, and hears nothing
    assert (code, f"expected at least the retained birth under {CELL1}" in told) == (3, True)


@NEEDS_MOSQUITTO
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves such sockets to the GC
def test_tls_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki.make_ca(tmp_path, "demo")
    pki.enrol(tmp_path, pki.TWIN, pki.TWIN)
    pki.enrol(tmp_path, pki.SERVER, pki.SERVER, hosts=["broker.plant"])
    keys = tmp_path / "keys"
    with running(Site(tmp_path)) as site:
        broker = ("--broker", f"127.0.0.1:{site.port}")
        ours = ("--ca", str(keys / "ca.crt"), "--cert", str(keys / "twin.crt"), "--tls-key", str(keys / "twin.key"))
        code, told = check(capsys, *broker, *ours)
        assert (code, "certificate is for another name" in told, "name the broker as in it" in told) == (3, True, True)
        code, told = check(capsys, *broker)  # no TLS at all
        assert (code, "is it the TLS port? Then give the certificate of the site's CA" in told) == (3, True)
        code, told = check(
            capsys, *broker, *ours[:2], "--cert", str(keys / "no.crt"), "--tls-key", str(keys / "no.key")
        )
        assert (code, "no.crt: no certificate can be read" in told) == (3, True)


def test_a_subscription_that_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A broker of few words: it lets us in, and refuses the subscription (as mosquitto's ACL file never does)."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK: success
                asked = peer.recv(4096)
                filters = asked.count(b"ptw/v1/")
                peer.sendall(bytes([0x90, 3 + filters]) + asked[2:4] + b"\x00" + b"\x87" * filters)  # not authorized
                peer.recv(4096)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        code, told = check(capsys, "--broker", f"127.0.0.1:{server.getsockname()[1]}")
        thread.join(5)
    assert code == 3
    assert f"expected to be allowed to subscribe to {CELL1}/#, found Not authorized" in told
    assert "give us an identity that may read it" in told


def test_a_right_that_mosquitto_withholds_in_silence_is_named(
    fresh_broker: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    with Publisher(fresh_broker.port, CELL1.replace("cell1", "cell9")):
        code, told = check(capsys, "--broker", f"127.0.0.1:{fresh_broker.port}")
    assert code == 3
    assert "found nothing in 0.5 s" in told
    assert "may we read it? (mosquitto accepts a subscription that its ACL forbids" in told


def test_the_page_names_the_exit_code() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "wire.md").read_text()
    assert "exit code 3 where nothing could be judged" in page
