"""A broker behind three functions: start, stop, healthy.

`embedded` is iotcore (rumqttd in a wheel): loopback only unless told otherwise, since it knows no topic
ACL and no client certificates. It needs one listener for MQTT 5 (`port`) and another for 3.1.1 (`port_311`).
`mosquitto` is the real broker, with a configuration written by us; one port speaks both versions.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from threading import Event
from typing import Any, Literal, Protocol

Kind = Literal["embedded", "mosquitto"]
MAX_PACKET = 65_536


class BrokerError(RuntimeError):
    """A broker that cannot start; says why and what to do."""


class Broker(Protocol):
    """What every broker can do."""

    def start(self) -> None:
        """Start and return when it accepts connections; raises BrokerError."""

    def stop(self) -> None:
        """Stop and give the ports back."""

    def healthy(self) -> bool:
        """Whether a message makes the round trip."""


@dataclass(frozen=True)
class Options:
    """Where a broker listens. `port_311` (embedded only) 0 takes a free port, None leaves 3.1.1 out."""

    port: int
    host: str = "127.0.0.1"
    port_311: int | None = 0
    folder: Path | None = None
    allow_remote: bool = False


def make(kind: Kind, options: Options) -> Broker:
    """The broker of a kind, not yet started; raises BrokerError for an address that is not loopback."""
    if not _loopback(options.host) and not options.allow_remote:
        raise BrokerError(
            f"host {options.host}: expected a loopback address; this broker lets everyone on the network in. "
            "Use `--kind mosquitto --write-config DIR` for a plant, or --allow-remote if you know what you do"
        )
    return Embedded(options) if kind == "embedded" else Mosquitto(options)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass
class Embedded:
    """iotcore in a child process, which ends when we end."""

    options: Options
    port_311: int | None = field(default=None, init=False)
    _broker: Any = field(default=None, init=False)

    def start(self) -> None:
        """Start; raises BrokerError when a port is taken."""
        from iotcore import Broker as IotcoreBroker

        self.port_311 = self.options.port_311
        if self.port_311 == 0:
            self.port_311 = free_port(self.options.host)
        folder = self.options.folder or Path(tempfile.mkdtemp(prefix="plantwin-broker-"))
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "broker.toml"
        config.write_text(self.config())
        broker = IotcoreBroker(config_path=str(config))
        try:
            broker.start()
        except (OSError, RuntimeError) as error:
            raise BrokerError(f"embedded broker on port {self.options.port}: {error}; choose another --port") from None
        self._broker = broker

    def config(self) -> str:
        """The rumqttd configuration."""
        text = _ROUTER
        for version, port in (("v5", self.options.port), ("v4", self.port_311)):
            if port is not None:
                text += _LISTENER.format(version=version, host=self.options.host, port=port, packet=MAX_PACKET)
        return text

    def stop(self) -> None:
        """Stop and give the ports back."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def healthy(self) -> bool:
        """Whether a message makes the round trip."""
        return self._broker is not None and self._broker.is_running and round_trip(self.options.host, self.options.port)


_ROUTER = """# written by plantwin: the embedded broker
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 10
"""
_LISTENER = """
[{version}.1]
name = "{version}"
listen = "{host}:{port}"
next_connection_delay_ms = 1
    [{version}.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = {packet}
    max_inflight_count = 500
    dynamic_filters = true
"""


@dataclass
class Mosquitto:
    """A mosquitto process with a written configuration, for one machine."""

    options: Options
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start; raises BrokerError when mosquitto is missing, or ends at once (a port that is taken)."""
        program = mosquitto_path()
        if program is None:
            raise BrokerError("mosquitto: not found in PATH or /usr/sbin; install it, or use --kind embedded")
        if _accepts(self.options.host, self.options.port):
            raise BrokerError(f"mosquitto: port {self.options.port} is taken; choose another --port")
        folder = self.options.folder or Path(tempfile.mkdtemp(prefix="plantwin-broker-"))
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "mosquitto.conf"
        config.write_text(local_config(self.options))
        self._process = subprocess.Popen(
            [program, "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock is taken
        )
        deadline = time.monotonic() + 10
        while not _accepts(self.options.host, self.options.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BrokerError(
                    f"mosquitto on port {self.options.port}: it did not start; try `mosquitto -c {config}`"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop and wait for it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def healthy(self) -> bool:
        """Whether a message makes the round trip."""
        return (
            self._process is not None
            and self._process.poll() is None
            and round_trip(self.options.host, self.options.port)
        )


def mosquitto_path() -> str | None:
    """Where mosquitto is; Debian keeps it out of users' PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def local_config(options: Options) -> str:
    """A mosquitto for one machine: loopback, with limits that let a burst through."""
    return (
        f"listener {options.port} {options.host}\nallow_anonymous true\npersistence false\n"
        f"max_inflight_messages 500\nmax_queued_messages 100000\nmessage_size_limit {MAX_PACKET}\n"
        "set_tcp_nodelay true\n"
    )


def run_until_signal(broker: Broker, ready: Callable[[], None]) -> int:
    """Run a broker until SIGTERM or SIGINT; exit code 1 when it stops being healthy three times in a row."""
    done = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    broker.start()
    try:
        ready()
        failures = 0
        while not done.wait(5.0):
            failures = 0 if broker.healthy() else failures + 1
            if failures == 3:
                return 1
    finally:
        broker.stop()
    return 0


def round_trip(host: str, port: int, timeout_s: float = 3.0) -> bool:
    """Publish to a topic of our own and wait for it to come back (MQTT 5)."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    name = uuid.uuid4().hex
    topic, back, subscribed = f"_health/{name}", Event(), Event()
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=f"health-{name[:8]}", protocol=MQTTProtocolVersion.MQTTv5
    )

    def up(*_: object) -> None:
        client.subscribe(topic, qos=1)

    client.on_connect = up
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda *_: back.set()
    try:
        client.connect(host, port, keepalive=10)
    except OSError:
        return False
    client.loop_start()
    try:
        if not subscribed.wait(timeout_s):
            return False
        client.publish(topic, b"1", qos=1)
        return back.wait(timeout_s)
    finally:
        client.disconnect()
        client.loop_stop()


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.3):
            return True
    except OSError:
        return False


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _die_with_parent() -> None:
    """Linux: have the kernel end the child when we are killed, so that no broker is left behind."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
        if os.getppid() == 1:
            os._exit(1)
    except (OSError, AttributeError):
        pass
