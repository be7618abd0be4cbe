"""`plantwin keys`: the pair that signs commands, and the site's certificates for TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingest.commands import _fail, _line

DATA = typer.Option(help="Data folder.")
DAYS = typer.Option(min=1, max=3650, help="Days the certificate is valid.")
keys = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@keys.callback(invoke_without_command=True)
def sign(context: typer.Context, data: Annotated[Path, DATA] = Path("plantwin-data")) -> None:
    """Without a subcommand: make the site's key pair, by which gateways know that a command is ours."""
    if context.invoked_subcommand is not None:
        return
    from ingest.keys import make_keys

    try:
        private, public = make_keys(data)
    except OSError as error:
        raise _fail(f"plantwin keys: {error}") from None
    typer.echo(f"{private}  (keep it here)\n{public}  (copy it to every gateway)")


@keys.command()
def ca(
    site: Annotated[str, typer.Option(help="Name in the CA's certificate.")] = "site",
    data: Annotated[Path, DATA] = Path("plantwin-data"),
    days: Annotated[int, DAYS] = 3650,
) -> None:
    """Make the site's certificate authority (once)."""
    from ingest.pki import make_ca

    try:
        private, cert = make_ca(data, site, days)
    except OSError as error:
        raise _fail(f"plantwin keys ca: {error}") from None
    typer.echo(f"{private}  (keep it here, and a copy in a safe)\n{cert}  (copy it to the broker and every gateway)")


@keys.command()
def enrol(
    name: Annotated[str, typer.Argument(help="A cell of the line, `twin` for ingest, or `server` for the broker.")],
    plant: Annotated[str | None, typer.Option(help="Plant whose site, area and line the cell belongs to.")] = None,
    site: Annotated[str | None, typer.Option(help="Site, instead of a plant.")] = None,
    area: Annotated[str | None, typer.Option(help="Area.")] = None,
    line: Annotated[str | None, typer.Option(help="Line.")] = None,
    sparkplug: Annotated[str | None, typer.Option(help="NAME is an edge node of this Sparkplug group.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="server: a name or address of the broker; repeat it.")] = None,
    csr: Annotated[Path | None, typer.Option(help="Certify this request: the private key stays where it is.")] = None,
    data: Annotated[Path, DATA] = Path("plantwin-data"),
    days: Annotated[int, DAYS] = 365,
) -> None:
    """Give a gateway, the twin or the broker a key and a certificate of the site's CA."""
    from ingest import pki
    from ingest.brokerconfig import edge_identity
    from ingest.payloads import WireError
    from ingest.tls import TlsError

    try:
        if sparkplug is not None:
            identity, name = edge_identity(sparkplug, name), f"{sparkplug}-{name}"
        else:
            where = None if name in (pki.TWIN, pki.SERVER) else _line(plant, (site, area, line))
            identity = pki.common_name(where, name)
        if csr is not None:
            files = [pki.sign_request(data, name, identity, csr.read_bytes(), days)]
        else:
            files = list(pki.enrol(data, name, identity, days, host or ()))
    except WireError as error:
        raise _fail(f"plantwin keys enrol: {error.detail}", 2) from None
    except (TlsError, OSError) as error:
        raise _fail(f"plantwin keys enrol: {error}") from None
    except ValueError as error:
        raise _fail(f"plantwin keys enrol: {error}", 2) from None
    typer.echo(f"{identity}: {', '.join(map(str, files))}")


@keys.command()
def rotate(
    name: Annotated[str, typer.Argument(help="An enrolled name.")],
    data: Annotated[Path, DATA] = Path("plantwin-data"),
    days: Annotated[int, DAYS] = 365,
) -> None:
    """Make a new key and certificate; the old one stays valid to its end, so nothing stops in between."""
    from ingest import pki
    from ingest.tls import TlsError

    try:
        files = pki.rotate(data, name, days)
    except (TlsError, OSError) as error:
        raise _fail(f"plantwin keys rotate: {error}") from None
    typer.echo(f"{name}: {', '.join(map(str, files))}; the old pair ends with .old and is valid to its own end")


@keys.command(name="list")
def list_(data: Annotated[Path, DATA] = Path("plantwin-data")) -> None:
    """Show every certificate and when it ends; exit code 1 where one has, or will within 30 days."""
    from ingest import pki
    from ingest.tls import TlsError

    try:
        found = pki.listed(data)
    except TlsError as error:
        raise _fail(f"plantwin keys list: {error}") from None
    if not found:
        typer.echo(f"{data / pki.FOLDER}: no certificates; begin with `plantwin keys ca`")
    for one in found:
        typer.echo(f"{one.state:<8} {one.days:6.0f} d  {one.until:%Y-%m-%d}  {one.name:<40} {one.file}")
    if any(one.state != "ok" for one in found):
        raise typer.Exit(1)
