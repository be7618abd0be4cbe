"""The commands of the wire: broker and ingest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ingest.message import Line
    from ingest.retention import Limits
    from ingest.sparkplug_host import SparkplugSettings
    from ingest.topicmap import TopicMap

DATA = typer.Option(help="Data folder.")


def _fail(text: str, code: int = 1) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(code)


def broker(
    port: Annotated[int, typer.Option(help="Port (MQTT 5; with mosquitto 3.1.1 as well); 0 takes a free one.")] = 1883,
    kind: Annotated[Literal["embedded", "mosquitto"], typer.Option(help="Which broker.")] = "embedded",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port_311: Annotated[int, typer.Option(help="Embedded: port for MQTT 3.1.1 clients; 0 takes a free one.")] = 0,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Listen beyond loopback, unprotected.")] = False,
    write_config: Annotated[
        Path | None, typer.Option(help="Write a production mosquitto configuration here and end.")
    ] = None,
    edge_nodes: Annotated[
        list[str] | None, typer.Option("--edge-node", help="--write-config: a Sparkplug edge node, GROUP/NODE.")
    ] = None,
    data: Annotated[Path, DATA] = Path("plantwin-data"),
) -> None:
    """Run a broker for one machine, or write the configuration of a real one."""
    from ingest import broker as brokers

    if write_config is not None:
        from ingest.brokerconfig import write

        try:
            written = write(write_config, edge_nodes or ())
        except ValueError as error:
            raise _fail(f"plantwin broker: --edge-node: {error}", 2) from None
        for path in written:
            typer.echo(str(path))
        return
    chosen = port or brokers.free_port(host)
    options = brokers.Options(chosen, host, port_311, data / "broker", allow_remote)

    def ready() -> None:
        extra = getattr(made, "port_311", None)
        _running(data, "broker", {"port": chosen, "port_311": extra, "host": host, "kind": kind})
        old = f"; MQTT 3.1.1 (mosquitto_pub without -V mqttv5) on {host}:{extra}" if extra else ""
        typer.echo(f"broker ({kind}) on {host}:{chosen}" + (f", MQTT 5 only{old}" if kind == "embedded" else ""))

    try:
        made = brokers.make(kind, options)
        code = brokers.run_until_signal(made, ready)
    except brokers.BrokerError as error:
        raise _fail(f"plantwin broker: {error}") from None
    if code:
        raise typer.Exit(code)


def ingest(
    plant: Annotated[str | None, typer.Argument(help="Plant whose site, area and line to serve.")] = None,
    broker: Annotated[str, typer.Option(help="Broker, HOST:PORT.")] = "127.0.0.1:1883",
    site: Annotated[str | None, typer.Option(help="Site, instead of a plant.")] = None,
    area: Annotated[str | None, typer.Option(help="Area.")] = None,
    line: Annotated[str | None, typer.Option(help="Line.")] = None,
    port: Annotated[int, typer.Option("--port", "--http-port", help="Loopback HTTP port; 0 takes a free one.")] = 8090,
    topics: Annotated[Path | None, typer.Option(help="Topic map or mapping for plain messages.")] = None,
    data: Annotated[Path, DATA] = Path("plantwin-data"),
    influx: Annotated[str | None, typer.Option(help="InfluxDB v2 address: also write every reading there.")] = None,
    influx_token: Annotated[str, typer.Option(envvar="INFLUX_TOKEN", help="Token (better in the environment).")] = "",
    influx_org: Annotated[str, typer.Option(help="Organisation.")] = "plantwin",
    influx_bucket: Annotated[str, typer.Option(help="Bucket.")] = "plantwin",
    sparkplug: Annotated[
        list[str] | None, typer.Option(help="Be a Sparkplug B host application of this id (repeatable).")
    ] = None,
    sparkplug_nodes: Annotated[
        list[str] | None, typer.Option(help="Edge nodes to follow, GROUP or GROUP/NODE (repeatable; all without).")
    ] = None,
    sparkplug_reorder: Annotated[float, typer.Option(help="Seconds to wait for a message that is missing.")] = 2.0,
    supply_drop: Annotated[
        Path | None, typer.Option(help="Folder where CSV files of supply documents are put.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="TLS: certificate of the site's CA.")] = None,
    cert: Annotated[Path | None, typer.Option(help="TLS: the twin's certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS: its private key.")] = None,
    history: Annotated[bool, typer.Option(help="Compact the journal into Parquet and rollups.")] = True,
    journal_hours: Annotated[float, typer.Option(min=0, help="Journal rows stay at least this long.")] = 24.0,
    journal_gb: Annotated[float, typer.Option(min=0.001, help="Size at which the journal refuses.")] = 8.0,
    keep_days: Annotated[float, typer.Option(min=0, help="Readings are kept this long.")] = 730.0,
    keep_gb: Annotated[float, typer.Option(min=0.001, help="Readings take at most this much.")] = 50.0,
    archive_days: Annotated[float, typer.Option(min=0, help="Raw rows, for a replay from empty, this long.")] = 90.0,
    reserve_mb: Annotated[float, typer.Option(min=0, help="Refuse new messages below this much free space.")] = 256.0,
) -> None:
    """Journal what arrives over MQTT, tell sources what is safe, and send approved commands out."""
    from ingest.influx import Target
    from ingest.journal import JournalError
    from ingest.mapping import MappingError
    from ingest.mapping_rows import load_topics
    from ingest.run import run
    from ingest.service import Settings
    from ingest.tls import Tls, TlsError
    from ingest.topicmap import TopicMap, TopicMapError

    host, number = _address(broker)
    target = Target(influx, influx_token, influx_org, influx_bucket) if influx else None
    try:
        mapped = load_topics(topics, plant) if topics else TopicMap()
        spb = _sparkplug(sparkplug or [], sparkplug_nodes or [], sparkplug_reorder, mapped)
        limits = _limits(journal_hours, journal_gb, reserve_mb, keep_gb, (keep_days, archive_days))
        settings = Settings(
            data, host, number, _line(plant, (site, area, line)), mapped, sparkplug=spb, tls=Tls.of(ca, cert, key),
            drop=supply_drop, limits=limits, history=history,
        )  # fmt: skip
        code = run(settings, port, target)
    except (TopicMapError, MappingError) as error:
        raise _fail(str(error), 2) from None
    except (JournalError, TlsError, OSError) as error:
        raise _fail(f"plantwin ingest: {error}") from None
    raise typer.Exit(code)


def _address(broker: str) -> tuple[str, int]:
    host, _, number = broker.rpartition(":")
    if not host or not number.isdigit():
        raise _fail(f"plantwin ingest: --broker: expected HOST:PORT, found {broker}", 2)
    return host, int(number)


def _limits(hours: float, gb: float, reserve_mb: float, keep_gb: float, days: tuple[float, float]) -> Limits:
    """The limits of the storage; `days` are those of readings and of raw rows."""
    from ingest.retention import GB, Keep, Limits

    readings, archive = (Keep(one, int(keep_gb * GB)) for one in days)
    return Limits(
        journal_hours=hours, journal_bytes=int(gb * GB), free_bytes=int(reserve_mb * 1024**2), readings=readings,
        archive=archive,
    )  # fmt: skip


def _sparkplug(hosts: list[str], nodes: list[str], reorder_s: float, topics: TopicMap) -> SparkplugSettings | None:
    from ingest.mapping_rows import sparkplug_names

    if not hosts:
        if names := sparkplug_names(topics):
            what = f"{names[0]} is a Sparkplug metric"
            raise _fail(f"plantwin ingest: --topics: {what}; name our host id with --sparkplug as well", 2)
        if nodes:
            raise _fail("plantwin ingest: --sparkplug-nodes: name a host id with --sparkplug as well", 2)
        return None
    from ingest.sparkplug_host import SparkplugSettings
    from ingest.sparkplug_session import Limits as Reorder

    try:
        return SparkplugSettings(tuple(hosts), tuple(nodes), Reorder(reorder_s=reorder_s))
    except ValueError as error:
        raise _fail(f"plantwin ingest: --sparkplug: {error}", 2) from None


def _line(plant: str | None, given: tuple[str | None, str | None, str | None]) -> Line:
    from ingest.message import Line
    from ingest.payloads import WireError

    names = given
    if plant is not None:
        from sim.plantfile import load

        loaded = load(plant)
        names = (given[0] or loaded.site, given[1] or loaded.area, given[2] or loaded.line)
    if names[0] is None or names[1] is None or names[2] is None:
        raise _fail("plantwin ingest: name a PLANT, or --site, --area and --line", 2)
    line = Line(names[0], names[1], names[2])
    try:
        line.cell("cell1")
    except WireError as error:
        raise _fail(f"plantwin ingest: {error.detail}", 2) from None
    return line


def _running(data: Path, name: str, facts: dict[str, object]) -> None:
    import msgspec

    from ingest.journal import write_atomic

    write_atomic(data / "run" / f"{name}.json", msgspec.json.encode({"name": name, "pid": os.getpid(), **facts}))
