from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ingest.broker import BrokerError, Options, free_port, make, mosquitto_path, round_trip
from ingest.brokerconfig import write
from tests.ingest.kit import Running, _open, until


def test_healthy_is_a_round_trip(fresh_broker: Running) -> None:
    assert fresh_broker.broker.healthy()
    fresh_broker.broker.stop()
    assert not fresh_broker.broker.healthy()
    assert not round_trip("127.0.0.1", fresh_broker.port, 0.5)
    fresh_broker.broker.start()
    assert fresh_broker.broker.healthy()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
def test_only_loopback_without_an_explicit_flag(kind: str, host: str) -> None:
    with pytest.raises(BrokerError, match="expected a loopback address"):
        make("embedded" if kind == "embedded" else "mosquitto", Options(1, host))


def test_a_taken_port_is_named(broker: Running) -> None:
    other = make("mosquitto" if broker.kind == "mosquitto" else "embedded", Options(broker.port))
    with pytest.raises(BrokerError, match=str(broker.port)):
        other.start()


def test_the_production_configuration_starts_and_keeps_strangers_out(tmp_path: Path) -> None:
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed on this machine (apt-get install mosquitto)")
    conf, acl = write(tmp_path)
    text = acl.read_text()
    writers = [line for line in text.splitlines() if "/cmd/" in line and "write" in line]
    assert len(writers) == 1
    assert text.index("user twin") < text.index(writers[0])
    port = free_port()
    names = ("ca", "server")
    for name in names:
        call = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.crt")]  # fmt: skip
        subprocess.run(call, check=True, capture_output=True)
    conf.write_text(conf.read_text().replace("listener 8883", f"listener {port} 127.0.0.1\nuser root"))
    process = subprocess.Popen([mosquitto_path() or "", "-c", str(conf)], stderr=subprocess.PIPE)
    try:
        until(lambda: process.poll() is not None or _open(port), what="mosquitto with TLS")
        assert process.poll() is None, process.stderr.read() if process.stderr else b""
        assert not round_trip("127.0.0.1", port, 0.5)  # no TLS, no certificate: no entry
    finally:
        process.terminate()
        process.wait(5)
        if process.stderr:
            process.stderr.close()


def test_the_command_refuses_and_says_why(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    call = [sys.executable, str(root / "plantwin.py"), "broker", "--host", "0.0.0.0", "--data", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "expected a loopback address" in done.stderr
