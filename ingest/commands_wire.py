"""`plantwin wire`: does a gateway keep the contract?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.commands import _fail

if TYPE_CHECKING:
    from ingest.conformance import Finding
    from ingest.conformance_active import Order
    from ingest.conformance_live import Target
    from ingest.conformance_log import Seen

wire = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Broker = Annotated[str, typer.Option("--broker", help="Broker, HOST:PORT.")]
Root = Annotated[str, typer.Option("--root", help="Topic root of the gateway: ptw/v1/site/area/line/cell.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0.5, max=86_400, help="Listen for so long.")]
Ca = Annotated[Path | None, typer.Option("--ca", help="TLS: certificate of the site's CA.")]
Cert = Annotated[Path | None, typer.Option("--cert", help="TLS: our certificate (that of the twin may read all).")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="TLS: its private key.")]
User = Annotated[str, typer.Option("--user", help="User name, where the broker wants one.")]
Password = Annotated[
    str, typer.Option("--password", envvar="PLANTWIN_MQTT_PASSWORD", help="Its password (better in the environment).")
]
NOT_HEARD = 3
"""Exit code where nothing could be judged: no broker, no right, nothing said."""


@wire.callback()
def main() -> None:
    """Check a gateway against the contract (docs/wire.md), live or on a recording."""


@wire.command()
def check(
    broker: Broker = "127.0.0.1:1883",
    root: Root = "",
    seconds: Seconds = 30.0,
    active: Annotated[
        bool, typer.Option("--active", help="Act as the twin: what is confirmed the gateway deletes. On a bench only.")
    ] = False,
    file: Annotated[Path | None, typer.Option(help="Judge this recording instead of a broker.")] = None,
    command: Annotated[str, typer.Option(help="--active: also send this valid command, CONTROL=VALUE.")] = "",
    key: Annotated[Path | None, typer.Option(help="--active: private key (keys/site.key) that signs it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    ca: Ca = None,
    cert: Cert = None,
    tls_key: TlsKey = None,
    user: User = "",
    password: Password = "",
) -> None:
    """Say what a gateway keeps, what it breaks and why, and what could not be judged.

    Exit code 1 for a broken rule, 3 where the broker did not let us listen or nothing was heard.
    """
    if bool(command) != (key is not None) or (command and not active):
        raise _fail("plantwin wire check: --command CONTROL=VALUE, --key FILE and --active belong together", 2)
    if file is not None:
        found = _offline(file, root)
    else:
        found = [
            _live(_target(broker, root, (ca, cert, tls_key), (user, password)), seconds, active, _order(command, key))
        ]
    _tell(found, as_json)
    if any(one.verdict == "fail" for _, findings, _ in found for one in findings):
        raise typer.Exit(1)


@wire.command()
def record(
    out: Annotated[Path, typer.Argument(help="File to write (JSON lines).")],
    broker: Broker = "127.0.0.1:1883",
    root: Root = "",
    seconds: Seconds = 30.0,
    ca: Ca = None,
    cert: Cert = None,
    tls_key: TlsKey = None,
    user: User = "",
    password: Password = "",
) -> None:
    """Write what a gateway says to a file for `plantwin wire check --file`."""
    from ingest.conformance_live import record as listen
    from ingest.conformance_live import write_recording
    from ingest.tls import TlsError

    target = _target(broker, root, (ca, cert, tls_key), (user, password))
    try:
        messages = listen(target, seconds)
    except (TlsError, OSError) as error:
        raise _fail(f"plantwin wire record: {error}", NOT_HEARD) from None
    try:
        written = write_recording(out, messages)
    except OSError as error:
        raise _fail(f"plantwin wire record: {error}") from None
    typer.echo(f"{out}: {written} messages")


Result = tuple[str, "list[Finding]", int]


def _target(
    broker: str, root: str, tls: tuple[Path | None, Path | None, Path | None], login: tuple[str, str]
) -> Target:
    from ingest.conformance_live import Target
    from ingest.payloads import WireError
    from ingest.tls import Tls, TlsError
    from ingest.topics import parse_topic

    host, _, port = broker.rpartition(":")
    if not host or not port.isdigit():
        raise _fail(f"plantwin wire: --broker: expected HOST:PORT, found {broker}", 2)
    try:
        parse_topic(f"{root}/birth")
        return Target(host, int(port), root, Tls.of(*tls), login if login[0] else None)
    except WireError as error:
        raise _fail(f"plantwin wire: --root: expected ptw/v1/site/area/line/cell; {error.detail}", 2) from None
    except TlsError as error:
        raise _fail(f"plantwin wire: {error}", 2) from None


def _order(command: str, key: Path | None) -> Order | None:
    from ingest.conformance_active import Order
    from ingest.keys import KeyFileError, read_private

    if not command or key is None:
        return None
    control, _, value = command.partition("=")
    try:
        return Order(control, int(value), read_private(key))
    except KeyFileError as error:
        raise _fail(f"plantwin wire check: {error}", 2) from None
    except ValueError:
        raise _fail(f"plantwin wire check: --command: expected CONTROL=WHOLE NUMBER, found {command!r}", 2) from None


def _live(target: Target, seconds: float, active: bool, order: Order | None) -> Result:
    from ingest.conformance import check as judge_all
    from ingest.conformance_active import TwinOnline, run
    from ingest.conformance_live import record as listen
    from ingest.conformance_live import silence
    from ingest.conformance_log import Log
    from ingest.tls import TlsError

    try:
        messages, findings = run(target, seconds, order) if active else (listen(target, seconds), [])
    except TwinOnline as error:
        raise _fail(f"plantwin wire check: {error}") from None
    except (TlsError, OSError) as error:
        raise _fail(f"plantwin wire check: {error}", NOT_HEARD) from None
    if not any(one.topic.startswith(f"{target.root}/") for one in messages):
        raise _fail(f"plantwin wire check: {silence(target, seconds)}", NOT_HEARD)
    return target.root, [*judge_all(Log.of(messages, target.root)), *findings], len(messages)


def _offline(file: Path, root: str) -> list[Result]:
    from ingest.conformance import check as judge_all
    from ingest.conformance_log import Log, RecordingError, read_recording, roots

    try:
        messages: list[Seen] = read_recording(file)
    except (RecordingError, OSError) as error:
        raise _fail(f"plantwin wire check: {error}", 2) from None
    chosen = [root] if root else roots(messages)
    if not chosen:
        raise _fail(f"plantwin wire check: {file}: no message of a gateway in it", 2)
    return [(one, judge_all(Log.of(messages, one)), len(messages)) for one in chosen]


def _tell(found: list[Result], as_json: bool) -> None:
    from ingest import conformance_live

    if as_json:
        typer.echo(json.dumps([conformance_live.as_json(*one) for one in found], indent=1))
        return
    for one in found:
        typer.echo(conformance_live.as_text(*one))
