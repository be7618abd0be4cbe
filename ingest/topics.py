"""Topics of the wire: `ptw/v1/{site}/{area}/{line}/{cell}/SUFFIX[/ID]`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ingest.payloads import WireError

PREFIX = "ptw/v1"
TWIN_CELL = "_twin"
"""The cell name under which the twin itself speaks."""

WITH_ID = frozenset({"cmd", "cmdack"})
UP = frozenset({"birth", "data", "event", "gap", "hist", "status", "supply", "cmdack"})
"""Suffixes that ingest takes in."""
DOWN = frozenset({"ack", "req", "cmd", "rec", "state"})
"""Suffixes that ingest or the twin publishes."""

_ID = re.compile(r"[a-z0-9_-]{1,64}\Z")


class Topic(NamedTuple):
    """A parsed topic; `root` is the source, `kind` the suffix, `id` the command id or ""."""

    root: str
    site: str
    area: str
    line: str
    cell: str
    kind: str
    id: str = ""


def root(site: str, area: str, line: str, cell: str) -> str:
    """The topic root of a source (= one gateway, one outbox); raises WireError bad_id."""
    for what, value in (("site", site), ("area", area), ("line", line), ("cell", cell)):
        if not _ID.match(value):
            raise WireError("bad_id", f"{what} {value!r} must be 1 to 64 of a-z 0-9 _ -")
    return f"{PREFIX}/{site}/{area}/{line}/{cell}"


def topic(source: str, kind: str, ident: str = "") -> str:
    """The topic of `kind` under a topic root; cmd and cmdack need the command's id."""
    if kind not in UP and kind not in DOWN:
        raise WireError("bad_topic", f"no suffix {kind!r}; known are {', '.join(sorted(UP | DOWN))}")
    if (kind in WITH_ID) != bool(ident):
        raise WireError("bad_topic", f"/{kind} {'needs an' if kind in WITH_ID else 'takes no'} id, found {ident!r}")
    return f"{source}/{kind}/{ident}" if ident else f"{source}/{kind}"


def twin_state_topic(site: str, area: str, line: str) -> str:
    """Where the twin says that it is online (retained, and its last will)."""
    return topic(root(site, area, line, TWIN_CELL), "state")


@lru_cache(maxsize=4096)
def parse_topic(text: str) -> Topic:
    """Take a topic apart; raises WireError bad_topic or bad_id."""
    parts = text.split("/")
    if len(parts) not in (7, 8) or parts[0] != "ptw" or parts[1] != "v1":
        raise WireError("bad_topic", f"expected {PREFIX}/site/area/line/cell/suffix, found {text[:200]!r}")
    for part in parts[2:]:
        if not _ID.match(part):
            raise WireError("bad_id", f"{part[:80]!r} in {text[:200]!r} must be 1 to 64 of a-z 0-9 _ -")
    kind = parts[6]
    ident = parts[7] if len(parts) == 8 else ""
    if kind not in UP and kind not in DOWN:
        raise WireError("bad_topic", f"no suffix {kind!r}; known are {', '.join(sorted(UP | DOWN))}")
    if (kind in WITH_ID) != bool(ident):
        raise WireError("bad_topic", f"/{kind} {'needs an' if kind in WITH_ID else 'takes no'} id: {text[:200]!r}")
    return Topic("/".join(parts[:6]), parts[2], parts[3], parts[4], parts[5], kind, ident)
