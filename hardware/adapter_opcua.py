"""OPC UA: a client with one subscription and a watchdog of its own. The one module that knows asyncua.

asyncua reconnects by itself when asked to, but a gateway must also tell the twin that nothing is known meanwhile; so
a lost connection ends here and the gateway begins a new one, with a new subscription.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware.adapter import Clock, Deliver, FieldbusError, Sample
from ingest.wire import BAD, GOOD, STALE, UNCERTAIN

if TYPE_CHECKING:
    from asyncua.client.client import Client
    from asyncua.common.subscription import Subscription

CHUNK = 500
"""Nodes in one request: what small servers still take."""
CURRENT_TIME = "i=2258"
"""Server_ServerStatus_CurrentTime."""
LAST_USABLE = 0x40900000
"""Uncertain_LastUsableValue: whatever updated this value has stopped doing so (OPC UA Part 8)."""
POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
MODES = ("Sign", "SignAndEncrypt")


@dataclass(frozen=True, slots=True)
class OpcUaOptions:
    """`deadband`: raw name -> smallest change reported by the server. `security` needs certificate and key (PEM)."""

    publish_ms: int = 500
    sampling_ms: int = 250
    watchdog_s: float = 10.0
    timeout_s: float = 4.0
    username: str | None = None
    password_file: Path | None = None
    security: str | None = None
    mode: str = "SignAndEncrypt"
    certificate: Path | None = None
    key: Path | None = None
    server_certificate: Path | None = None
    deadband: Mapping[str, float] = field(default_factory=dict)


class _Inbox:
    """What the subscription brings, collected for the next turn; `wake` is set when there is something."""

    def __init__(self) -> None:
        self.news: list[tuple[Any, Any]] = []
        self.ended = ""
        self.wake = asyncio.Event()

    def datachange_notification(self, node: Any, _value: Any, data: Any) -> None:
        self.news.append((node.nodeid, data.monitored_item.Value))
        self.wake.set()

    def status_change_notification(self, status: Any) -> None:
        self.end(f"the server ended the subscription ({status.Status.name})")

    def end(self, why: str) -> None:
        self.ended = self.ended or why
        self.wake.set()


class OpcUaAdapter:
    """The server at `url` (`opc.tcp://host:port/path`); `raws` are node ids as texts."""

    timed = True
    clock: Clock | None = None

    def __init__(self, url: str, raws: Sequence[str], options: OpcUaOptions) -> None:
        self._url, self._raws, self._options = url, list(raws), options
        self._client: Client | None = None
        self._types: dict[str, Any] = {}
        self._known: dict[str, tuple[Any, int]] = {}
        self.connects = 0

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def run_once(self, deliver: Deliver) -> None:
        from asyncua.client.client import Client

        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what matters is said here, once and plainly
        client = Client(self._url, timeout=self._options.timeout_s)
        inbox = _Inbox()
        try:
            await self._secure(client)
            await client.connect()
        except _failures() as error:
            raise FieldbusError(f"{self._url}: {_said(error)}") from error
        try:
            self._client = client
            self.connects += 1
            client.connection_lost_callback = _lost(inbox)
            await self._watch(client, inbox, deliver)
        except _failures() as error:
            raise FieldbusError(f"{self._url}: {_said(error)}") from error
        finally:
            self._client = None
            with contextlib.suppress(Exception):  # it is being left; what it says about that does not matter
                await asyncio.wait_for(client.disconnect(), 1.0)
            client.disconnect_socket()  # a server that does not answer is not asked twice

    async def _secure(self, client: Client) -> None:
        """User, password and certificates; ValueError where a file cannot be used."""
        options = self._options
        if options.username is not None:
            client.set_user(options.username)
            if options.password_file is not None:
                client.set_password(options.password_file.read_text().strip())
        if options.security is None:
            return
        from asyncua import ua
        from asyncua.crypto import security_policies

        if options.certificate is None or options.key is None:
            raise FieldbusError(f"{self._url}: opcua.security {options.security} needs opcua.certificate and opcua.key")
        client.application_uri = application_uri(options.certificate)
        await client.set_security(
            getattr(security_policies, f"SecurityPolicy{options.security}"),
            str(options.certificate),
            str(options.key),
            server_certificate=str(options.server_certificate) if options.server_certificate else None,
            mode=getattr(ua.MessageSecurityMode, options.mode),
        )

    # the subscription ---------------------------------------------------------------------------

    async def _watch(self, client: Client, inbox: _Inbox, deliver: Deliver) -> None:
        subscription = await self._subscribe(client, inbox)
        image = await self.read(self._raws)
        self._known = {raw: (s.value, s.quality) for raw, s in image.items()}
        deliver(image, True)
        by_node = {_node_id(raw): raw for raw in self._raws if _node_id(raw) is not None}
        alive = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(inbox.wake.wait(), self._options.watchdog_s / 4)
            inbox.wake.clear()
            self._hand_over(inbox, by_node, deliver)
            if inbox.ended:
                raise FieldbusError(f"{self._url}: {inbox.ended}")
            alive = await self._alive(client, subscription, alive)

    def _hand_over(self, inbox: _Inbox, by_node: Mapping[Any, str], deliver: Deliver) -> None:
        """Changes in order; several of one node in one turn are handed over one by one."""
        news, inbox.news = inbox.news, []
        batch: dict[str, Sample] = {}
        for node, data in news:
            raw = by_node.get(node)
            if raw is None:
                continue
            sample = sample_of(data)
            if self._known.get(raw) == (sample.value, sample.quality):
                continue  # told with the first image
            self._known[raw] = (sample.value, sample.quality)
            if raw in batch:
                deliver(batch, False)
                batch = {}
            batch[raw] = sample
        if batch:
            deliver(batch, False)

    async def _alive(self, client: Client, subscription: Subscription, alive: float) -> float:
        """The watchdog: when the server was last heard; FieldbusError when that is too long ago.

        A subscription has a keep-alive even when nothing changes; a server that answers but sends none has lost it.
        """
        patience, now = self._options.watchdog_s, time.monotonic()
        published = max(subscription.last_publish_at or 0.0, alive)
        if now - published < patience / 2:
            return published
        try:
            await asyncio.wait_for(client.get_node(CURRENT_TIME).read_value(), max(0.1, patience / 2))
        except _failures() as error:
            why = f"no notification for {now - published:.1f} s, and the server's clock cannot be read"
            raise FieldbusError(f"{self._url}: {why} ({_said(error)})") from error
        if now - published >= patience:
            raise FieldbusError(f"{self._url}: no notification for {now - published:.1f} s; subscribing anew")
        return published

    async def _subscribe(self, client: Client, inbox: _Inbox) -> Subscription:
        from asyncua import ua

        options = self._options
        keep_alive = max(1, int(options.watchdog_s * 1000 / 4 / options.publish_ms))
        parameters = ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = options.publish_ms
        parameters.RequestedMaxKeepAliveCount = keep_alive
        parameters.RequestedLifetimeCount = 10 * keep_alive
        parameters.MaxNotificationsPerPublish = 10_000
        parameters.PublishingEnabled = True
        subscription = await client.create_subscription(parameters, inbox)
        wanted = [(n, raw) for n, raw in enumerate(self._raws) if _node_id(raw) is not None]
        for k in range(0, len(wanted), CHUNK):
            part = wanted[k : k + CHUNK]
            results = await subscription.create_monitored_items([self._item(n, raw, banded=True) for n, raw in part])
            plain = [
                self._item(n + len(self._raws), raw, banded=False)
                for (n, raw), result in zip(part, results, strict=True)
                if not isinstance(result, int) and raw in options.deadband
            ]  # a server without deadbands reports every change
            if plain:
                await subscription.create_monitored_items(plain)
        return subscription

    def _item(self, n: int, raw: str, *, banded: bool) -> Any:
        from asyncua import ua
        from asyncua.ua.attribute_ids import AttributeIds

        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor = ua.ReadValueId(_node_id(raw), AttributeIds.Value)
        item.MonitoringMode = ua.MonitoringMode.Reporting
        parameters = ua.MonitoringParameters()
        parameters.ClientHandle = n + 1
        parameters.SamplingInterval = self._options.sampling_ms
        parameters.QueueSize = 20
        parameters.DiscardOldest = True
        if banded and raw in self._options.deadband:
            band = ua.DataChangeFilter()
            band.Trigger = ua.DataChangeTrigger.StatusValue
            band.DeadbandType = 1  # absolute
            band.DeadbandValue = self._options.deadband[raw]
            parameters.Filter = band
        item.RequestedParameters = parameters
        return item

    # asked for ----------------------------------------------------------------------------------

    async def read(self, raws: Sequence[str]) -> dict[str, Sample]:
        from asyncua.ua.attribute_ids import AttributeIds

        client = self._connection()
        found = {raw: Sample(None, BAD, None, "no node id") for raw in raws}
        wanted = [raw for raw in raws if _node_id(raw) is not None]
        for k in range(0, len(wanted), CHUNK):
            part = wanted[k : k + CHUNK]
            try:
                values = await client.uaclient.read_attributes([_node_id(r) for r in part], AttributeIds.Value)
            except _failures() as error:
                raise FieldbusError(f"{self._url}: {_said(error)}") from error
            for raw, value in zip(part, values, strict=True):
                found[raw] = sample_of(value)
                if value.Value is not None and value.Value.Value is not None:
                    self._types[raw] = value.Value.VariantType
        return found

    async def write(self, items: Sequence[tuple[str, int]]) -> None:
        """One request with all items; the server carries them out in their order (OPC UA Part 4, 5.11.4)."""
        from asyncua import ua
        from asyncua.ua.attribute_ids import AttributeIds

        client = self._connection()
        untyped = [raw for raw, _ in items if raw not in self._types]
        if untyped:
            await self.read(untyped)
        values = []
        for raw, value in items:
            if raw not in self._types:
                raise FieldbusError(f"{raw}: its type cannot be read, so nothing can be written")
            kind = self._types[raw]
            number = float(value) if kind in (ua.VariantType.Float, ua.VariantType.Double) else value
            values.append(ua.DataValue(ua.Variant(bool(value) if kind == ua.VariantType.Boolean else number, kind)))
        try:
            nodes = [_node_id(raw) for raw, _ in items]
            results = await client.uaclient.write_attributes(nodes, values, AttributeIds.Value)
        except _failures() as error:
            raise FieldbusError(f"{self._url}: not written: {_said(error)}") from error
        refused = [f"{raw} ({r.name})" for (raw, _), r in zip(items, results, strict=True) if not r.is_good()]
        if refused:
            raise FieldbusError(f"{self._url}: not written: {', '.join(refused)}")

    def _connection(self) -> Client:
        if self._client is None:
            raise FieldbusError(f"{self._url} is not connected")
        return self._client


def _failures() -> tuple[type[Exception], ...]:
    """What asyncua raises when a server is away, refuses, or is no OPC UA server."""
    import struct

    from asyncua.ua.uaerrors import UaError

    # a number that its type cannot hold is a struct.error
    return (UaError, OSError, TimeoutError, asyncio.IncompleteReadError, struct.error)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _lost(inbox: _Inbox) -> Any:
    async def lost(error: Exception) -> None:
        inbox.end(f"connection lost ({_said(error)})")

    return lost


def _node_id(raw: str) -> Any:
    """The node id of a raw name, or None where it is none."""
    from asyncua import ua
    from asyncua.ua.uaerrors import UaError

    try:
        return ua.NodeId.from_string(raw)
    except (UaError, ValueError):
        return None


def sample_of(data: Any) -> Sample:
    """A DataValue as a sample: status code to quality, source time stamp (else the server's) to device time."""
    code = data.StatusCode
    number = 0 if code is None else int(code.value)
    if number >> 30 == 0:
        quality, note = GOOD, ""
    elif number >> 30 == 1:
        quality, note = (STALE if number & 0xFFFF0000 == LAST_USABLE else UNCERTAIN), code.name
    else:
        quality, note = BAD, code.name
    value = data.Value.Value if data.Value is not None else None
    if value is not None and not isinstance(value, bool | int | float | str):
        value, quality, note = None, BAD, f"expected a number or a text, found {type(value).__name__}"
    if value is None and quality == GOOD:
        quality, note = BAD, "the node has no value"
    stamp: datetime | None = data.SourceTimestamp or data.ServerTimestamp
    if stamp is None:
        return Sample(value, quality, None, note)
    aware = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    return Sample(value, quality, round(aware.timestamp() * 1000), note)


def application_uri(certificate: Path) -> str:
    """The application URI in a client certificate, which the session has to name; ValueError without one."""
    from cryptography import x509

    try:
        body = certificate.read_bytes()
        found = x509.load_pem_x509_certificate(body) if b"-----" in body else x509.load_der_x509_certificate(body)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    except (OSError, ValueError, x509.ExtensionNotFound, IndexError) as error:
        why = f"expected a certificate with an application URI ({_said(error)})"
        raise FieldbusError(f"{certificate}: {why}") from error
