"""The files of a policy bundle: read once, with limits, without following links."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from agents.errors import BundleError

REQUIRED = ("policy.safetensors", "policy.json", "evidence.json", "card.md")
SIGNATURE = "SIGNATURE"
MOST_FILES = 32
MOST_BYTES = 64 * 1024 * 1024
"""Of the tensors; a policy of two layers of 64 has some hundred kilobytes."""
MOST_TEXT = 4 * 1024 * 1024
"""Of any other file."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


def sha256(content: bytes) -> str:
    """`sha256:` and the digest in hexadecimal."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def name_of(weights: bytes, text: bytes) -> str:
    """A bundle's name: the SHA-256 of the digests of policy.safetensors and policy.json."""
    return sha256(hashlib.sha256(weights).digest() + hashlib.sha256(text).digest())


def plain_name(name: object) -> bool:
    """Whether this is a file's name without folders, dots in front or odd characters."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def entries(folder: Path) -> list[str]:
    """Names of everything in a bundle's folder, sorted; `BundleError` where it is no folder or holds too much."""
    found: list[str] = []
    try:
        with os.scandir(folder) as listing:
            for entry in listing:
                found.append(entry.name)
                if len(found) > MOST_FILES:
                    raise BundleError(
                        f"{folder}: expected at most {MOST_FILES} files, found more; a bundle is a folder made by "
                        f"`plantwin train --out`"
                    )
    except OSError as e:
        raise BundleError(
            f"{folder}: cannot be read ({e.strerror}); a bundle is a folder made by `plantwin train --out`"
        ) from e
    return sorted(found)


def read(folder: Path, name: str) -> bytes:
    """The content of a regular file in a bundle's folder; a link, a pipe, a folder or a file too large is refused."""
    path = folder / name
    most = MOST_BYTES if name == "policy.safetensors" else MOST_TEXT
    try:
        # a pipe must not be waited for, a link not be followed: not even one that is put there after a look
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as e:
        if path.is_symlink():
            raise BundleError(f"{path}: expected a file, found a symbolic link; copy the file itself there") from e
        raise BundleError(
            f"{path}: cannot be read ({e.strerror}); a bundle is a folder made by `plantwin train --out`"
        ) from e
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise BundleError(f"{path}: expected a file, found {stat.filemode(about.st_mode)}; take the bundle afresh")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(most + 1) if about.st_size <= most else b""
    finally:
        os.close(handle)
    if about.st_size > most or len(content) > most:
        raise BundleError(
            f"{path}: larger than {most} bytes (found {max(about.st_size, len(content))}); this is not a policy of ours"
        )
    return content


def json_object(path: Path, text: bytes) -> dict[str, Any]:
    """The JSON object in a file's text; numbers that are not finite are none of JSON's and refused."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        raise BundleError(f"{path}: not JSON ({e}); take the bundle afresh") from e
    if not isinstance(value, dict):
        raise BundleError(f"{path}: expected an object, found {type(value).__name__}; take the bundle afresh")
    return value


def check_folder_name(folder: Path, name: str) -> None:
    """A folder that is called like a hash must be the bundle of that hash."""
    called = folder.resolve().name
    if _HASH.fullmatch(called) and name != f"sha256:{called}":
        raise BundleError(f"{folder}: expected the bundle sha256:{called}, found {name}; take the bundle afresh")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")
