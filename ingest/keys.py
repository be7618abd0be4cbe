"""Site keys and signed commands: Ed25519 over canonical JSON without `sig`.

Canonical JSON here is RFC 8785 (JCS) restricted to what a command needs: objects, arrays, strings,
true, false, null, and integers within +-(2^53 - 1). Fractions are refused instead of formatted, so the two
sides can never disagree on how a float is written. Keys are sorted by their UTF-16 code units,
no white space, UTF-8, and only the escapes that JSON demands.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ingest.payloads import Cmd

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE = Path("keys/site.key")
PUBLIC = Path("keys/site.pub")
SCHEME = "ed25519:"
_SAFE = 2**53 - 1


class KeyFileError(ValueError):
    """A key file that is missing, unreadable or of another kind; says which and what to do."""


def canonical(value: Any) -> bytes:
    """RFC 8785 form of the subset above; raises TypeError or ValueError for anything outside it."""
    return _canonical(value).encode("utf-8")


def _canonical(value: Any) -> str:
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > _SAFE:
            raise ValueError(f"canonical JSON takes integers within +-(2^53 - 1), found {value}")
        return str(value)
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: str(key).encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_key(k)}:{_canonical(value[k])}" for k in keys) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_canonical(item) for item in value) + "]"
    raise TypeError(f"canonical JSON of a command takes no {type(value).__name__} ({value!r}); use integers and text")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"keys must be text, found {key!r}")
    return json.dumps(key, ensure_ascii=False)


def signed_bytes(cmd: Cmd) -> bytes:
    """The bytes that the signature of a command covers: every field on the wire but `sig`."""
    fields: dict[str, Any] = msgspec.to_builtins(cmd)
    fields.pop("sig", None)
    return canonical(fields)


def sign(cmd: Cmd, key: Ed25519PrivateKey) -> Cmd:
    """The command with its `sig` filled in (whatever it held before is ignored)."""
    sig = base64.urlsafe_b64encode(key.sign(signed_bytes(cmd))).decode("ascii")
    return msgspec.structs.replace(cmd, sig=SCHEME + sig)


def verify(cmd: Cmd, pub: Ed25519PublicKey) -> bool:
    """Whether the command carries a valid signature of `pub`'s owner."""
    from cryptography.exceptions import InvalidSignature

    if not cmd.sig.startswith(SCHEME):
        return False
    try:
        raw = base64.b64decode(cmd.sig[len(SCHEME) :], altchars=b"-_", validate=True)
        pub.verify(raw, signed_bytes(cmd))
    except (InvalidSignature, ValueError):
        return False
    return True


def make_keys(data: Path) -> tuple[Path, Path]:
    """Make the site's pair under `data`/keys (private PEM 0600, public PEM); never overwrites: FileExistsError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = data / PRIVATE, data / PUBLIC
    private.parent.mkdir(parents=True, exist_ok=True)
    if private.exists():
        raise FileExistsError(f"{private}: a key exists; move it away first if you really want a new one")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(secret)
    public.write_bytes(shown)
    return private, public


def load_private(data: Path) -> Ed25519PrivateKey:
    """The site's private key; raises KeyFileError."""
    return read_private(data / PRIVATE)


def read_private(path: Path) -> Ed25519PrivateKey:
    """The private key of a PEM file; raises KeyFileError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: no private key can be read ({error}); make one with `plantwin keys`") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: expected an Ed25519 key, found {type(key).__name__}")
    return key


def load_public(data: Path) -> Ed25519PublicKey:
    """The site's public key; raises KeyFileError."""
    return read_public(data / PUBLIC)


def read_public(path: Path) -> Ed25519PublicKey:
    """The public key of a PEM file; raises KeyFileError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: no public key can be read ({error}); make one with `plantwin keys`") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path}: expected an Ed25519 key, found {type(key).__name__}")
    return key
