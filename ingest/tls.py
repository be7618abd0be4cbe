"""TLS of every MQTT connection of ours: which files, what is wrong with them in one sentence, when they change.

TLS 1.2 or newer, the broker's certificate checked against `ca` and its name; `cert` and `key` are the client's
identity. A file that was replaced (`plantwin keys rotate`) is noticed by `Watch`.
"""

from __future__ import annotations

import socket
import ssl
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

WARN_DAYS = 30
"""Expiry is told this many days ahead."""


class TlsError(ValueError):
    """TLS files that cannot be used: which one, what is wrong, what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a connection. `{cell}` in `cert` and `key` stands for the cell of a gateway with several sources."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, ca: Path | None, cert: Path | None = None, key: Path | None = None) -> Tls | None:
        """The settings as typed, None where TLS is not wanted; raises TlsError for half of them."""
        if ca is None:
            if cert is not None or key is not None:
                raise TlsError("tls: cert and key without ca; name the certificate of the CA that signed the broker's")
            return None
        if (cert is None) != (key is None):
            raise TlsError("tls: cert and key belong together, found one of them")
        return cls(ca, cert, key)

    def for_cell(self, cell: str) -> Tls:
        """The files of one cell."""
        cert, key = (
            None if path is None else Path(str(path).replace("{cell}", cell)) for path in (self.cert, self.key)
        )
        return replace(self, cert=cert, key=key)

    def context(self) -> ssl.SSLContext:
        """What a connection needs; raises TlsError naming the file that is at fault."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"{self.ca}: no CA certificate can be read ({error}); copy the site's keys/ca.crt") from None
        if self.cert is not None and self.key is not None:
            until = expiry(self.cert)
            if until <= datetime.now(UTC):
                raise TlsError(
                    f"{self.cert}: expired on {until:%Y-%m-%d %H:%M} UTC; renew it with `plantwin keys rotate`"
                )
            try:
                context.load_cert_chain(self.cert, self.key)
            except (OSError, ssl.SSLError) as error:
                raise TlsError(
                    f"{self.cert} and {self.key}: not a certificate and its key ({error}); make both anew with "
                    "`plantwin keys enrol`"
                ) from None
        return context

    def stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Changes when one of the files is replaced."""
        return tuple(_stamp(path) for path in (self.ca, self.cert, self.key))

    def warning(self, now: datetime | None = None) -> str | None:
        """What to tell a person: the certificate that expires within `WARN_DAYS`, or has, or cannot be read."""
        now = now or datetime.now(UTC)
        for path in (self.cert, self.ca):
            if path is None:
                continue
            try:
                until = expiry(path)
            except TlsError as error:
                return str(error)
            days = (until - now).total_seconds() / 86_400
            if days <= 0:
                return f"{path}: expired on {until:%Y-%m-%d}; no new connection will be let in"
            if days <= WARN_DAYS:
                return f"{path}: expires in {days:.0f} days ({until:%Y-%m-%d}); renew it with `plantwin keys rotate`"
        return None


class Watch:
    """Notices that the files of a connection were replaced by ones that can be used."""

    def __init__(self, tls: Tls) -> None:
        self._tls, self._stamp = tls, tls.stamp()
        self.trouble = ""

    def changed(self) -> bool:
        """Whether there are new files since the last time that said so; a pair half replaced is waited for."""
        stamp = self._tls.stamp()
        if stamp == self._stamp:
            return False
        try:
            self._tls.context()
        except TlsError as error:
            self.trouble = str(error)
            return False
        self._stamp, self.trouble = stamp, ""
        return True


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def expiry(path: Path) -> datetime:
    """When the first certificate of a PEM file ends; raises TlsError."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise TlsError(f"{path}: no certificate can be read ({error})") from None


def connect_trouble(address: str) -> str:
    """Why paho's present attempt to connect failed; to be called from its `on_connect_fail`.

    paho calls that inside its exception handler and does not hand the exception over.
    """
    error = sys.exc_info()[1]
    return explain(error, address) if error is not None else f"{address}: no connection"


def explain(error: BaseException, address: str) -> str:
    """A failure to connect as one sentence that says what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or str(error)
        if "expired" in why:
            return f"{address}: the broker's certificate has expired; renew it (`plantwin keys rotate` makes one)"
        if "ostname" in why or "IP address" in why:
            return f"{address}: the broker's certificate is for another name ({why}); name the broker as in it"
        return f"{address}: the broker's certificate is not signed by our CA ({why}); is tls.ca the site's keys/ca.crt?"
    if isinstance(error, ssl.SSLError):
        text = (error.reason or str(error)).lower().replace("_", " ")
        if "certificate required" in text or "unknown ca" in text or "bad certificate" in text or "expired" in text:
            return f"{address}: the broker refused our certificate ({text}); expected one that the site's CA signed"
        if "wrong version number" in text or "record layer" in text:
            return f"{address}: the broker does not speak TLS here ({text}); is this the TLS port (8883)?"
        return f"{address}: TLS failed ({text})"
    return f"{address}: expected an MQTT broker, found {_absence(error)}"


def _absence(error: BaseException) -> str:
    """How nobody answers, and what to do."""
    if isinstance(error, ConnectionRefusedError):
        return "nobody listening (connection refused); start it (`plantwin broker`), or correct the port"
    if isinstance(error, socket.gaierror):
        return f"no such host ({error.strerror}); correct the name"
    if isinstance(error, TimeoutError):
        return "no answer in time; is the address right, and does a firewall let us through?"
    return f"{error}; is the address right?"


def refusal(address: str, reason: str, tls: Tls | None, login: tuple[str, str] | None) -> str:
    """A broker that said no to our CONNECT, as one sentence that says what to do."""
    said = f"{address}: the broker refused the connection, found {reason!r}"
    if reason not in ("Not authorized", "Bad user name or password"):
        return f"{said}; see the broker's log"
    if login is not None:
        return f"{said}; expected another password, or another name than {login[0]!r}; correct them"
    if tls is not None and tls.cert is not None:
        return f"{said}; expected an identity that it knows; is {tls.cert} the certificate that it should be?"
    return f"{said}; expected a certificate or a user name with its password; give us one"


REFUSED = "not authorised by the broker's ACL; is the certificate's common name SITE/AREA/LINE/CELL of this source?"
EARLY_PLAIN = (
    "the broker ended the connection before it answered; expected MQTT 5 without TLS on this port; is it the TLS port? "
    "Then give the certificate of the site's CA"
)
EARLY = "the broker ended the connection before it answered; with TLS that is how it refuses a certificate"
