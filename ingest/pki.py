"""A small certificate authority of the site: who may connect to the broker, and as whom.

Files lie in `DATA/keys` under the names that `plantwin broker --write-config` expects: `ca.crt`, `server.crt`,
`server.key`; one pair for each gateway (`CELL.crt`, `CELL.key`, common name SITE/AREA/LINE/CELL) and one `twin`.
Private keys have mode 0600 and are EC P-256. There is no revocation list: a certificate ends by its date, so give
them short lives and rotate.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.journal import write_atomic
from ingest.message import Line
from ingest.tls import WARN_DAYS, TlsError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

FOLDER = Path("keys")
CA_DAYS = 3650
DAYS = 365
SKEW = timedelta(minutes=10)
"""A certificate is valid from a little before it is made: clocks of machines differ."""
TWIN, SERVER = "twin", "server"
SIGNING = frozenset({"site"})
"""Names that are taken by the key that signs commands."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate in the folder. `days` until it ends (negative: it has)."""

    file: Path
    name: str
    until: datetime
    days: float

    @property
    def state(self) -> str:
        """`expired`, `renew` (within 30 days) or `ok`."""
        return "expired" if self.days <= 0 else "renew" if self.days <= WARN_DAYS else "ok"


def common_name(line: Line | None, name: str) -> str:
    """The identity behind a name: a gateway's SITE/AREA/LINE/CELL, or `twin`, or `server` as it is."""
    if name in (TWIN, SERVER):
        return name
    if line is None:
        raise TlsError(f"{name}: a gateway's certificate names its line; give --plant, or --site, --area and --line")
    return line.cell(name).removeprefix("ptw/v1/")


def make_ca(data: Path, site: str, days: int = CA_DAYS) -> tuple[Path, Path]:
    """The site's CA: (private key, certificate); never overwrites (FileExistsError)."""
    from cryptography import x509

    key_path, cert_path = data / FOLDER / "ca.key", data / FOLDER / "ca.crt"
    if key_path.exists():
        raise FileExistsError(f"{key_path}: the site has a CA; move it away first if you really want a new one")
    key = _key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"plantwin CA of {site}")])
    builder = _builder(name, name, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(ca=True), critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(own, critical=False)
    _write_key(key_path, key)
    write_atomic(cert_path, _pem(_sign(builder, key)))
    return key_path, cert_path


def enrol(data: Path, name: str, identity: str, days: int = DAYS, hosts: Iterable[str] = ()) -> tuple[Path, Path]:
    """A key and its certificate signed by the site's CA: (key, certificate). FileExistsError where `name` has one."""
    key_path = _files(data, name)[0]
    if key_path.exists():
        raise FileExistsError(f"{key_path}: {name} is enrolled; `plantwin keys rotate {name}` makes a new certificate")
    return _issue(data, name, identity, days, hosts)


def rotate(data: Path, name: str, days: int = DAYS) -> tuple[Path, Path]:
    """A new key and certificate for an enrolled name, with the same identity and host names.

    The old pair is kept beside it (`.old`) and stays valid to its own end: connections go on until the holder has
    taken the new one.
    """
    from cryptography import x509

    key_path, cert_path = _files(data, name)
    old = _load(cert_path)
    hosts: list[str] = []
    try:
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        pass
    before = {path: path.read_bytes() for path in (key_path, cert_path)}
    for path, body in before.items():
        _write_secret(path.with_name(path.name + ".old"), body)
    return _issue(data, name, _common(old), days, hosts)


def sign_request(data: Path, name: str, identity: str, request: bytes, days: int = DAYS) -> Path:
    """A certificate for a key that never left its machine: `request` is its CSR (PEM). Whatever name it asks for, it
    gets `identity`. TlsError where it is no request or not signed by its own key.
    """
    from cryptography import x509

    try:
        asked = x509.load_pem_x509_csr(request)
    except ValueError as error:
        raise TlsError(f"{name}: expected a certificate request in PEM, found {error}") from None
    if not asked.is_signature_valid:
        raise TlsError(f"{name}: the request is not signed by its own key")
    _, cert_path = _files(data, name)
    write_atomic(cert_path, _pem(_certify(data, identity, asked.public_key(), days, ())))
    return cert_path


def listed(data: Path, now: datetime | None = None) -> list[Issued]:
    """All certificates of the folder, the first to expire first."""
    now = now or datetime.now(UTC)
    found = []
    for path in sorted((data / FOLDER).glob("*.crt")):
        cert = _load(path)
        until = cert.not_valid_after_utc
        found.append(Issued(path, _common(cert), until, (until - now).total_seconds() / 86_400))
    return sorted(found, key=lambda one: one.until)


def _files(data: Path, name: str) -> tuple[Path, Path]:
    if name in SIGNING or name == "ca" or not name or "/" in name or name.startswith("."):
        raise TlsError(f"{name!r} cannot be enrolled; expected a cell, `twin` or `server`")
    return data / FOLDER / f"{name}.key", data / FOLDER / f"{name}.crt"


def _issue(data: Path, name: str, identity: str, days: int, hosts: Iterable[str]) -> tuple[Path, Path]:
    key_path, cert_path = _files(data, name)
    key = _key()
    cert = _certify(data, identity, key.public_key(), days, hosts)
    # the key first: who watches the pair waits until both belong together
    _write_key(key_path, key)
    write_atomic(cert_path, _pem(cert))
    return key_path, cert_path


def _certify(data: Path, identity: str, public: object, days: int, hosts: Iterable[str]) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key_path = data / FOLDER / "ca.key"
    try:
        signer = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise TlsError(f"{key_path}: the site's CA cannot be read ({error}); make it with `plantwin keys ca`") from None
    if not isinstance(signer, EllipticCurvePrivateKey):
        raise TlsError(f"{key_path}: expected an EC key, found {type(signer).__name__}")
    ca = _load(data / FOLDER / "ca.crt")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, identity)])
    days = min(days, int((ca.not_valid_after_utc - datetime.now(UTC)).total_seconds() // 86_400))
    if days < 1:
        raise TlsError(f"{data / FOLDER / 'ca.crt'}: the CA itself ends before the new certificate would begin")
    builder = _builder(subject, ca.subject, public, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(ca=False), critical=True)
    server = identity == SERVER
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(own, critical=False)
    if server:
        names = [_general(host) for host in (hosts or ("localhost", "127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _sign(builder, signer)


def _general(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, public: object, days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)  # type: ignore[arg-type]
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - SKEW)
    return builder.not_valid_after(now + timedelta(days=days))


def _usage(*, ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _sign(builder: x509.CertificateBuilder, key: EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _pem(cert: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return cert.public_bytes(serialization.Encoding.PEM)


def _load(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TlsError(f"{path}: no certificate can be read ({error}); make it with `plantwin keys`") from None


def _common(cert: x509.Certificate) -> str:
    from cryptography import x509

    found = cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _write_key(path: Path, key: EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.PKCS8
    _write_secret(path, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def _write_secret(path: Path, body: bytes) -> None:
    """Replace a file that nobody else may read, in one step; it is never open to others in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(body)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
