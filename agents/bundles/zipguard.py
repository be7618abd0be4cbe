"""A zip file from elsewhere, read with suspicion: names, kinds, counts and sizes are checked before a byte is unpacked.

Nothing is ever written to disk: members are read into memory, one by one, each with a limit of its own.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents.errors import BundleError

_END = 22
"""Bytes of the record at the end of a zip without a comment."""
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError, OverflowError,
)  # fmt: skip
"""What zipfile raises on damaged files, NotImplementedError (a RuntimeError) included."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`most` members, of `most_bytes` unpacked together; `expected(name)` is "" for a name that may occur, else what is
    wrong with it.
    """

    most: int
    most_bytes: int
    expected: Callable[[str], str]


class Archive:
    """The members of a zip file that passed all checks, by name. `where` names it in messages."""

    def __init__(self, where: str, content: bytes, limits: Limits) -> None:
        self.where = where
        if content[-_END : -_END + 4] != b"PK\x05\x06":  # zipfile would take the end of a zip inside a part of this one
            raise BundleError(
                f"{where}: expected a whole zip file, found none or a part of one (it begins with "
                f"{content[:4].hex(' ') or 'nothing'} and does not end as a zip does)"
            )
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except _DAMAGED as e:
            raise BundleError(f"{where}: expected a whole zip file, found a damaged one ({e})") from e
        infos = self._zip.infolist()
        if infos and min(info.header_offset for info in infos) > 0:
            raise BundleError(f"{where}: expected a zip file only, found other bytes before its first member")
        self.members = self._checked(infos, limits)

    def read(self, name: str) -> bytes:
        """The content of a member; `BundleError` when it is missing, damaged or longer than it says."""
        info = self.members.get(name)
        if info is None:
            raise BundleError(f"{self.where}: expected a member {name!r}, found {sorted(self.members)!r:.300}")
        try:
            with self._zip.open(info) as file:
                content = file.read(info.file_size + 1)
        except _DAMAGED as e:
            raise BundleError(f"{self.where}, member {name!r}: damaged ({e}); take the file afresh") from e
        if len(content) != info.file_size:
            raise BundleError(
                f"{self.where}, member {name!r}: expected {info.file_size} bytes as the zip says, found {len(content)}"
            )
        return content

    def _checked(self, infos: list[zipfile.ZipInfo], limits: Limits) -> dict[str, zipfile.ZipInfo]:
        if len(infos) > limits.most:
            raise BundleError(f"{self.where}: expected at most {limits.most} members, found {len(infos)}")
        total = sum(info.file_size for info in infos)
        if total > limits.most_bytes:
            raise BundleError(
                f"{self.where}: expected at most {limits.most_bytes} bytes unpacked, found {total}; this is no policy"
            )
        members: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            where = f"{self.where}, member {info.filename!r:.120}"
            problem = _kind(info) or limits.expected(info.filename)
            if problem:
                raise BundleError(f"{where}: {problem}")
            if info.filename in members:
                raise BundleError(f"{where}: expected each name once, found it twice; which is meant cannot be known")
            members[info.filename] = info
        return members


def read_limited(path: Path, most: int) -> bytes:
    """A file's content of at most `most` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as e:
        raise BundleError(f"{path}: cannot be read ({e.strerror})") from e
    if len(content) > most:
        raise BundleError(f"{path}: expected at most {most} bytes, found more; this is no policy")
    return content


def _kind(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member before its name is even looked at; "" when nothing is."""
    name = info.filename
    if ".." in name.replace("\\", "/").split("/") or name.startswith(("/", "\\")) or ":" in name or "\\" in name:
        return "expected a name inside the zip, found a path that leads out of it"
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "expected a file, found a symbolic link"
    if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
        return "expected a file, found something else"
    if info.flag_bits & 1:
        return "expected a readable member, found an encrypted one"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return f"expected a stored or deflated member, found compression {info.compress_type}"
    return ""
