"""A message as the service takes it, and the line it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ingest.topics import root


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
