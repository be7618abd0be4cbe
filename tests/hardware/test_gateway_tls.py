"""The gateway with a certificate: rotation while it runs loses nothing; what it may not do it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.gateway_config import GatewayConfig, config_tls
from hardware.gateway_file import read_config
from hardware.outbox import issued, pending
from ingest import pki
from ingest.broker import mosquitto_path
from ingest.service import Service, Settings
from tests.hardware.fakes import ROOT, wait_until
from tests.hardware.test_gateway import PROJECT, Floor
from tests.ingest.kit import LINE, numbers
from tests.ingest.site import Site, expired, make_site, running

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed here")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(make_site(tmp_path / "site")) as found:
        yield found


def gateway(site: Site, data: Path, fieldbus: int, cert: str) -> subprocess.Popen[bytes]:
    keys = site.data / "keys"
    call = [
        sys.executable,
        "plantwin.py",
        "gateway",
        "line3",
        "--fieldbus",
        f"127.0.0.1:{fieldbus}",
        "--data",
        str(data),
    ]
    call += ["--broker", f"127.0.0.1:{site.port}", "--ca", str(keys / "ca.crt")]
    call += ["--cert", str(keys / f"{cert}.crt"), "--key", str(keys / f"{cert}.key")]
    data.mkdir(exist_ok=True)
    with (data / "gateway.log").open("ab") as log:
        return subprocess.Popen(call, cwd=PROJECT, stdout=log, stderr=log)


def test_a_certificate_rotated_while_running_loses_nothing(site: Site, tmp_path: Path) -> None:
    floor, data = Floor(), tmp_path / "gw"
    floor.start()
    service = Service(Settings(tmp_path / "twin", "127.0.0.1", site.port, LINE, tls=site.tls("twin")))
    service.start()
    process = gateway(site, data, floor.port, "{cell}")
    try:
        journal = tmp_path / "twin" / "journal.db"
        wait_until(lambda: len(numbers(journal, ROOT)) > 20, "messages over TLS", 30)
        old = (site.data / "keys" / "cell1.crt").read_bytes()
        pki.rotate(site.data, "cell1")
        assert (site.data / "keys" / "cell1.crt").read_bytes() != old
        wait_until(lambda: "with the new certificate" in (data / "gateway.log").read_text(), "the new certificate", 15)
        before = len(numbers(journal, ROOT))
        wait_until(lambda: len(numbers(journal, ROOT)) > before + 20, "messages with the new certificate", 30)
        process.terminate()
        assert process.wait(15) == 0
        last = next(iter(issued(data / "outbox.db").values()))
        wait_until(lambda: sorted(numbers(journal, ROOT)) == list(range(1, last + 1)), "every number once")
        assert pending(data / "outbox.db") == 0
        entry = service.intake.ledger.source(ROOT)
        assert (entry.hole, entry.dropped, entry.rejected) == (0, {}, {})
    finally:
        process.kill()
        process.wait()
        service.stop()
        floor.stop()


def test_the_certificate_of_another_cell_is_told(site: Site, tmp_path: Path) -> None:
    floor, data = Floor(), tmp_path / "gw"
    floor.start()
    process = gateway(site, data, floor.port, "cell2")
    try:
        wait_until(lambda: "not authorised by the broker's ACL" in (data / "gateway.log").read_text(), "the reason", 30)
    finally:
        process.kill()
        process.wait()
        floor.stop()


def test_an_expired_certificate_is_told_at_once(site: Site, tmp_path: Path) -> None:
    expired(site.data, "cell1", "demo/machining/line3/cell1")
    process = gateway(site, tmp_path / "gw", 9, "cell1")
    assert process.wait(30) == 1
    told = (tmp_path / "gw" / "gateway.log").read_text()
    assert "cell1.crt: expired on" in told
    assert "Traceback" not in told


def test_the_file_names_the_files(tmp_path: Path) -> None:
    file = tmp_path / "gw.yaml"
    text = "plant: line3\nfieldbus: 127.0.0.1:5\nbroker: 127.0.0.1:6\n"
    file.write_text(text + 'tls: {ca: ca.crt, cert: "{cell}.crt", key: "{cell}.key"}\n')
    found = config_tls(read_config(file, tmp_path), "cell7")
    assert found is not None
    assert (str(found.cert), str(found.key)) == ("cell7.crt", "cell7.key")
    assert config_tls(GatewayConfig("line3", "a", "b"), "cell7") is None
    for wrong in ("tls: {cert: a}\n", "tls: {ca: a, colour: b}\n"):
        file.write_text(text + wrong)
        with pytest.raises(ValueError, match=r"gw\.yaml"):
            read_config(file, tmp_path)
    file.write_text(text + "tls: {ca: a, cert: b}\n")
    with pytest.raises(ValueError, match=r"gw\.yaml.*belong together"):
        read_config(file, tmp_path)
