"""A message as the service takes it, and the line it belongs to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

from ingest.topics import root

_OTHER = re.compile(r"[^a-z0-9_-]")


class Message(NamedTuple):
    """A message as it came: `recv` wall ms, `mid` and `link` only to acknowledge it."""

    topic: str
    body: bytes
    retain: bool
    recv: int
    mid: int = 0
    qos: int = 1
    link: int = 0


@dataclass(frozen=True)
class Line:
    """The production line this ingest serves."""

    site: str
    area: str
    line: str

    def cell(self, cell: str) -> str:
        """The topic root of a cell."""
        return root(self.site, self.area, self.line, cell)

    @property
    def plain(self) -> str:
        """The source name of mapped plain messages."""
        return self.cell("_plain")


def source_of(line: Line, group: str, node: str) -> str:
    """The topic root of a Sparkplug edge node's rows: its name as far as a root allows, else with a hash."""
    name = f"{group}-{node}"
    clean = _OTHER.sub("-", name.lower())
    if clean != name or "-" in group or len(clean) > 58:
        digest = hashlib.sha256(f"{group}/{node}".encode()).hexdigest()[:8]
        clean = f"{clean[:48]}-{digest}"
    return line.cell(f"_spb-{clean}")
