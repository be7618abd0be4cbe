"""The OPC UA adapter against a server: values, qualities, a frozen and a killed server, writes, wrong node ids."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua.ua.status_codes import StatusCodes

from hardware.adapter import FieldbusError, Sample
from hardware.adapter_opcua import OpcUaAdapter, OpcUaOptions
from ingest.broker import free_port
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN
from tests.hardware.plc import OpcUaPlc

PROJECT = Path(__file__).parents[2]
QUICK = OpcUaOptions(publish_ms=50, sampling_ms=20, watchdog_s=1.0, timeout_s=2.0)
RAWS = ["ns=2;s=turn/count", "ns=2;s=Oven", "ns=2;s=Nowhere", "ns=2;s=Cap.Request"]


@pytest.fixture(scope="module")
def plc() -> Iterator[OpcUaPlc]:
    plc = OpcUaPlc()
    plc.start()
    yield plc
    plc.stop()


@dataclass
class Heard:
    """What an adapter delivered."""

    images: list[Mapping[str, Sample]] = field(default_factory=list)
    news: list[tuple[str, Sample]] = field(default_factory=list)

    def __call__(self, samples: Mapping[str, Sample], everything: bool) -> None:
        if everything:
            self.images.append(samples)
        else:
            self.news += samples.items()

    async def until(self, true: Callable[[Heard], bool], what: str, timeout_s: float = 10.0) -> None:
        end = time.monotonic() + timeout_s
        while not true(self):
            assert time.monotonic() < end, f"still not so: {what}; heard {self.news[-5:]}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(adapter: OpcUaAdapter) -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.get_running_loop().create_task(adapter.run_once(heard))
    try:
        while not heard.images:
            if task.done():
                task.result()
            await asyncio.sleep(0.02)
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, FieldbusError):
            await task


def put(plc: OpcUaPlc, name: str, value: float, status: int = 0, at: datetime | None = None) -> None:
    plc.set(name, value, status=status, at=at)


def test_values_qualities_and_times_come_as_the_server_has_them(plc: OpcUaPlc) -> None:
    async def story() -> None:
        put(plc, "turn/count", 41)
        async with running(OpcUaAdapter(plc.url, RAWS, QUICK)) as heard:
            image = heard.images[0]
            assert image["ns=2;s=turn/count"].value == 41
            assert image["ns=2;s=Nowhere"] == Sample(None, BAD, None, "BadNodeIdUnknown")
            stamp = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
            put(plc, "turn/count", 42, at=stamp)
            await heard.until(lambda h: len(h.news) == 1, "one change")
            assert heard.news[0] == ("ns=2;s=turn/count", Sample(42, GOOD, int(stamp.timestamp() * 1000)))
            for code in (StatusCodes.UncertainSensorNotAccurate, StatusCodes.UncertainLastUsableValue):
                put(plc, "turn/count", 42, code)
            put(plc, "turn/count", 42, StatusCodes.BadDeviceFailure)
            await heard.until(lambda h: len(h.news) == 4, "three status changes")
            qualities = [(s.quality, s.note) for _, s in heard.news[1:]]
            assert qualities == [
                (UNCERTAIN, "UncertainSensorNotAccurate"),
                (STALE, "UncertainLastUsableValue"),
                (BAD, "BadDeviceFailure"),
            ]

    asyncio.run(story())


def test_several_changes_within_one_publish_arrive_one_by_one_and_in_order(plc: OpcUaPlc) -> None:
    async def story() -> None:
        put(plc, "turn/count", 0)
        async with running(OpcUaAdapter(plc.url, RAWS, QUICK)) as heard:
            for k in range(1, 11):
                put(plc, "turn/count", k)
            await heard.until(lambda h: len(h.news) == 10, "ten changes")
            assert [s.value for _, s in heard.news] == list(range(1, 11))

    asyncio.run(story())


def test_a_deadband_is_kept_by_the_server(plc: OpcUaPlc) -> None:
    from dataclasses import replace

    async def story() -> None:
        put(plc, "Oven", 180.0)
        options = replace(QUICK, deadband={"ns=2;s=Oven": 2.0})
        async with running(OpcUaAdapter(plc.url, RAWS, options)) as heard:
            for value in (180.5, 181.0, 185.0, 186.0):
                put(plc, "Oven", value)
            await heard.until(lambda h: any(s.value == 185.0 for _, s in h.news), "the big step")
            assert 180.5 not in [s.value for _, s in heard.news]

    asyncio.run(story())


def test_writes_take_the_nodes_type_and_what_is_refused_is_named(plc: OpcUaPlc) -> None:
    async def story() -> None:
        adapter = OpcUaAdapter(plc.url, RAWS, QUICK)
        with pytest.raises(FieldbusError, match="not connected"):
            await adapter.write([("ns=2;s=Cap.Request", 1)])
        async with running(adapter):
            await adapter.write([("ns=2;s=Cap.Request", 9), ("ns=2;s=Cap.Serial", 3)])
            found = await adapter.read(["ns=2;s=Cap.Request", "ns=2;s=Cap.Serial"])
            assert [s.value for s in found.values()] == [9, 3]
            with pytest.raises(FieldbusError, match=r"ns=2;s=Cap\.Setpoint \(Bad.*\)"):
                await adapter.write([("ns=2;s=Cap.Setpoint", 4)])
            with pytest.raises(FieldbusError, match="ns=2;s=Nowhere"):
                await adapter.write([("ns=2;s=Nowhere", 4)])
            with pytest.raises(FieldbusError, match="not written"):
                await adapter.write([("ns=2;s=Cap.Serial", 70_000)])

    asyncio.run(story())


@dataclass
class ServerProcess:
    """The server as a process of its own."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "tests.hardware.plc", str(self.port)], cwd=PROJECT)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait(10)


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    server = ServerProcess()
    server.start()
    yield server
    server.signal(signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_and_a_frozen_server_are_noticed_and_subscribed_anew(server: ServerProcess) -> None:
    async def image(adapter: OpcUaAdapter, heard: Heard) -> asyncio.Task[None]:
        """Try until the server is there, as the gateway does."""
        n, end = len(heard.images), time.monotonic() + 20
        while True:
            task = asyncio.get_running_loop().create_task(adapter.run_once(heard))
            while not task.done() and len(heard.images) == n:  # noqa: ASYNC110 - a test may poll
                await asyncio.sleep(0.02)
            if not task.done():
                return task
            assert task.exception() is not None
            assert time.monotonic() < end, task.exception()
            await asyncio.sleep(0.1)

    async def story() -> None:
        adapter, heard = OpcUaAdapter(f"opc.tcp://127.0.0.1:{server.port}/plc", RAWS, QUICK), Heard()
        task = await image(adapter, heard)
        server.signal(signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(FieldbusError, match="connection lost"):
            await asyncio.wait_for(task, 5)
        assert time.monotonic() - began < 1.0  # a closed connection needs no watchdog
        assert not adapter.connected
        server.start()
        task = await image(adapter, heard)
        server.signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(FieldbusError, match="no notification for"):
            await asyncio.wait_for(task, 10)
        assert 0.5 < time.monotonic() - began < 2.5 + 2.0  # the watchdog, and the time to part
        server.signal(signal.SIGCONT)
        task = await image(adapter, heard)
        assert adapter.connects == 3
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_where_nobody_listens_it_says_so() -> None:
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    with pytest.raises(FieldbusError, match=url):
        asyncio.run(OpcUaAdapter(url, RAWS, QUICK).run_once(lambda *_: None))


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate with an application URI, as an OPC UA application has one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(True, True, True, True, False, False, False, False, False)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:{name}"), x509.DNSName("localhost")])
    body = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False).add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([Oid.CLIENT_AUTH, Oid.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    where = folder / f"{name}.pem", folder / f"{name}.key.pem"
    where[0].write_bytes(body.public_bytes(serialization.Encoding.PEM))
    where[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return where


def test_a_secured_server_is_read_with_certificate_user_and_password(tmp_path: Path) -> None:
    from asyncua import ua
    from asyncua.crypto.permission_rules import User, UserRole
    from asyncua.server.user_managers import UserManager

    class Users(UserManager):
        def get_user(  # the signature is asyncua's
            self,
            iserver: Any,  # noqa: ARG002
            username: str | None = None,
            password: str | None = None,
            certificate: Any = None,  # noqa: ARG002
        ) -> User | None:
            return User(role=UserRole.User) if (username, password) == ("gateway", "secret") else None

    cert, key = certificate(tmp_path, "plc")
    mine, my_key = certificate(tmp_path, "gateway")
    (tmp_path / "password").write_text("secret\n")
    policies = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
    plc = OpcUaPlc(security={"policies": policies, "certificate": cert, "key": key, "users": Users()})
    plc.start()

    async def value(options: OpcUaOptions) -> object:
        async with running(OpcUaAdapter(plc.url, ["ns=2;s=turn/count"], options)) as heard:
            return heard.images[0]["ns=2;s=turn/count"].value

    secured = OpcUaOptions(
        publish_ms=50, username="gateway", password_file=tmp_path / "password", security="Basic256Sha256",
        certificate=mine, key=my_key, server_certificate=cert,
    )  # fmt: skip
    try:
        plc.set("turn/count", 17)
        assert asyncio.run(value(secured)) == 17
        (tmp_path / "password").write_text("guessed\n")
        with pytest.raises(FieldbusError, match="Bad"):
            asyncio.run(value(secured))
        with pytest.raises(FieldbusError):
            asyncio.run(value(QUICK))  # unencrypted is not offered
    finally:
        plc.stop()
