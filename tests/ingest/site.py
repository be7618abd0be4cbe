"""A site with certificates and a mosquitto with the configuration that we ship."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest import pki
from ingest.broker import free_port, mosquitto_path
from ingest.brokerconfig import edge_identity, write
from ingest.tls import Tls
from tests.ingest.kit import LINE, _open, until

CELLS = ("cell1", "cell2", "erp")
EDGES = ("edge1", "edge2")
"""Sparkplug edge nodes of the group `plant1`."""


@dataclass
class Site:
    """Certificates of the twin, of three cells and of the broker; `port` is the TLS broker's."""

    data: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def reload(self) -> None:
        """Have the broker read its ACL anew."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)

    def tls(self, name: str | None) -> Tls:
        keys = self.data / "keys"
        if name is None:
            return Tls(keys / "ca.crt")
        return Tls(keys / "ca.crt", keys / f"{name}.crt", keys / f"{name}.key")


def make_site(data: Path) -> Site:
    pki.make_ca(data, "demo")
    for name in (*CELLS, pki.TWIN, pki.SERVER):
        line = None if name in (pki.TWIN, pki.SERVER) else LINE
        pki.enrol(data, name, pki.common_name(line, name), 90)
    for name in EDGES:
        pki.enrol(data, name, edge_identity("plant1", name), 90)
    return Site(data)


@contextmanager
def running(site: Site) -> Iterator[Site]:
    """mosquitto with the written configuration, on a free port of loopback."""
    conf, _ = write(site.data / "broker", [f"plant1/{name}" for name in EDGES])
    for name in ("ca.crt", "server.crt", "server.key"):
        shutil.copy(site.data / "keys" / name, site.data / "broker" / name)
    site.port = free_port()
    conf.write_text(conf.read_text().replace("listener 8883", f"listener {site.port} 127.0.0.1\nuser root"))
    process = subprocess.Popen([mosquitto_path() or "", "-c", str(conf)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or _open(site.port), what="mosquitto with TLS")
        assert process.poll() is None
        site.process = process
        yield site
    finally:
        process.terminate()
        process.wait(5)


@contextmanager
def client(site: Site, name: str | None) -> Iterator[mqtt.Client]:
    """A plain client with the certificate of a name; `mid_codes` of its acknowledged publishes, `got` messages."""
    found = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    found.tls_set_context(site.tls(name).context())
    codes: dict[int, bool] = {}
    got: list[tuple[str, bytes]] = []
    found.on_publish = lambda _c, _u, mid, reason, _p: codes.__setitem__(mid, bool(reason.is_failure))
    found.on_message = lambda _c, _u, m: got.append((m.topic, bytes(m.payload)))
    found.user_data_set((codes, got))
    found.connect("127.0.0.1", site.port)
    found.loop_start()
    try:
        until(found.is_connected, 5, f"the connection of {name}")
        yield found
    finally:
        found.disconnect()
        found.loop_stop()


def expired(data: Path, name: str, identity: str) -> None:
    """Replace a certificate by one that ended an hour ago, signed by the same CA."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    ca_key = serialization.load_pem_private_key((data / "keys" / "ca.key").read_bytes(), None)
    key = serialization.load_pem_private_key((data / "keys" / f"{name}.key").read_bytes(), None)
    ca = x509.load_pem_x509_certificate((data / "keys" / "ca.crt").read_bytes())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, identity)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(7)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    cert = builder.sign(ca_key, hashes.SHA256())  # type: ignore[arg-type]
    (data / "keys" / f"{name}.crt").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
