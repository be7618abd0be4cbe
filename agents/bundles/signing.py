"""The signature of a policy bundle: Ed25519 over a manifest of the SHA-256 of every file.

`SIGNATURE` is JSON: `format`, `name` of the bundle, `files` (name -> SHA-256), `signer` (the public key) and
`signature` over the canonical JSON (RFC 8785 subset of `ingest.keys`) of all the others, after a line that says what
is signed, so that no signature of a command can pass for one of a bundle, nor the other way round.
A signed folder holds what the manifest names and SIGNATURE, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.bundles import bundlefiles
from agents.bundles.bundlefiles import REQUIRED, SIGNATURE, plain_name, sha256
from agents.errors import BundleError
from ingest.keys import SCHEME, canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = 1
_PURPOSE = b"plantwin policy bundle 1\n"
_KEYS = {"format", "name", "files", "signer", "signature"}


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed: `signer` is `ed25519:` and the public key in base64; `known` says that it is the key asked for."""

    signer: str
    known: bool

    @property
    def sentence(self) -> str:
        """For evidence and people."""
        return f"signed by {self.signer}" + ("" if self.known else " (not checked against a key of yours)")


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as the text that stands in a manifest."""
    return SCHEME + base64.urlsafe_b64encode(key.public_bytes_raw()).decode("ascii")


def make(name: str, files: dict[str, bytes], key: Ed25519PrivateKey) -> bytes:
    """The text of SIGNATURE for a bundle's files."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "files": {file: sha256(content) for file, content in files.items()},
        "signer": public_text(key.public_key()),
    }
    signature = base64.urlsafe_b64encode(key.sign(_PURPOSE + canonical(manifest))).decode("ascii")
    return json.dumps({**manifest, "signature": SCHEME + signature}, indent=1, sort_keys=True).encode() + b"\n"


def check(folder: Path, name: str, files: dict[str, bytes], signer: Ed25519PublicKey | None) -> Signed:
    """Verify SIGNATURE in `files` (all files of the folder, read once) for the bundle of this name; `signer` is the
    key it must be from (None: whatever key it names). `BundleError` says what was expected and found.
    """
    path = folder / SIGNATURE
    manifest = _manifest(path, files[SIGNATURE])
    signature = manifest.pop("signature")
    if signer is not None and manifest["signer"] != public_text(signer):
        raise BundleError(
            f"{path}: expected the signature of {public_text(signer)}, found one of {manifest['signer']}; "
            f"ask for a bundle that was signed with your site's key"
        )
    if not _valid(_raw(path, "signer", manifest["signer"]), _raw(path, "signature", signature), manifest):
        raise BundleError(
            f"{path}: expected a signature by {manifest['signer']} over this manifest, found one that is not; "
            f"the manifest was changed, take the bundle afresh"
        )
    listed: dict[str, Any] = manifest["files"]
    for file in sorted(set(listed) | (set(files) - {SIGNATURE})):
        if file not in files:
            raise BundleError(f"{folder / file}: expected the file that was signed, found none; take the bundle afresh")
        if file not in listed:
            raise BundleError(
                f"{folder / file}: expected only the files that were signed ({', '.join(sorted(listed))}), found "
                f"this one too; remove it or sign the bundle again"
            )
        found = sha256(files[file])
        if listed[file] != found:
            raise BundleError(
                f"{folder / file}: expected {listed[file]} as signed, found {found}; the file was changed, take the "
                f"bundle afresh"
            )
    if manifest["name"] != name:
        raise BundleError(f"{path}: expected the bundle {manifest['name']}, found {name}; take the bundle afresh")
    return Signed(manifest["signer"], signer is not None)


def write(folder: Path, text: bytes) -> Path:
    """Put SIGNATURE into a bundle's folder, all of it or nothing."""
    draft = folder / f".{SIGNATURE}.part"
    draft.write_bytes(text)
    draft.replace(folder / SIGNATURE)
    return folder / SIGNATURE


def _manifest(path: Path, text: bytes) -> dict[str, Any]:
    value = bundlefiles.json_object(path, text)
    if value.get("format") != FORMAT:
        raise BundleError(f"{path}: expected format {FORMAT}, found {value.get('format')!r}; update plantwin")
    if set(value) != _KEYS:
        raise BundleError(f"{path}: expected {sorted(_KEYS)}, found {sorted(value)}; take the bundle afresh")
    for key in ("name", "signer", "signature"):
        if not isinstance(value[key], str):
            raise BundleError(f"{path}: expected text as {key}, found {type(value[key]).__name__}")
    files = value["files"]
    if not isinstance(files, dict) or not set(REQUIRED) <= set(files):
        raise BundleError(f"{path}: expected the SHA-256 of at least {', '.join(REQUIRED)}, found {files!r:.200}")
    for file, content in files.items():
        if not plain_name(file) or file == SIGNATURE or not isinstance(content, str):
            raise BundleError(f"{path}: expected names of files in the bundle's folder, found {file!r}")
    return value


def _raw(path: Path, what: str, text: str) -> bytes:
    size = 32 if what == "signer" else 64
    try:
        if not text.startswith(SCHEME):
            raise ValueError(f"no {SCHEME}")
        raw = base64.b64decode(text[len(SCHEME) :], altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as e:
        raise BundleError(f"{path}: expected {SCHEME} and base64 as {what}, found {text!r:.60} ({e})") from e
    if len(raw) != size:
        raise BundleError(f"{path}: expected {size} bytes as {what}, found {len(raw)}")
    return raw


def _valid(public: bytes, signature: bytes, manifest: dict[str, Any]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _PURPOSE + canonical(manifest))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
