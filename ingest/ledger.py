"""The ledger: what came, and what became of it, counted per source and by reason."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from ingest import watermark
from ingest.payloads import Trouble
from ingest.watermark import Mark

MAX_SAMPLES = 100
SAMPLE_BYTES = 512
MAX_SOURCES = 1_000
"""Rejected messages of more topic roots than this are counted under one name, so that a flood cannot grow us."""


class SourceLedger(msgspec.Struct):
    """One source's counts since the journal began.

    received: messages that came under this root; accepted: of these, now in the journal; duplicate: there
    already; late: accepted below the newest number seen; replayed: of those, asked for by us or history;
    rejected: by reason; dropped: numbers the source itself gave up, by its rule. hole is how many
    numbers are missing now between hw and newest. degraded: what the online source says is wrong with it.
    """

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    hole: int = 0
    replayed: int = 0
    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    e: str = ""
    hw: int = -1
    newest: int = -1
    last_recv: int = 0
    online: bool = False
    at_most_once: bool = False
    degraded: tuple[Trouble, ...] = ()

    def reject(self, reason: str) -> None:
        """Count a rejected message."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def level(self, epoch: str, mark: Mark, seen: int) -> None:
        """Bring hw, newest and the number of holes up to date; `seen` is the highest number heard of."""
        self.e, self.hw = epoch, mark.hw
        self.newest = max(watermark.newest(mark), seen)
        self.hole = watermark.missing(mark, seen) if mark.runs or seen > mark.hw else 0


class Sample(msgspec.Struct, frozen=True):
    """The beginning of a rejected message, kept so that a person can see what is wrong."""

    recv: int
    reason: str
    detail: str
    topic: str
    body: str


class Ledger:
    """All sources, what fits no source, and the quarantine: the newest samples of each reason."""

    def __init__(self) -> None:
        self.sources: dict[str, SourceLedger] = {}
        self.rejected: dict[str, int] = {}
        self._samples: dict[str, deque[Sample]] = {}

    def source(self, root: str) -> SourceLedger:
        """The ledger of one topic root, made when it is new."""
        found = self.sources.get(root)
        if found is None:
            found = self.sources[root] = SourceLedger()
        return found

    def reject(self, reason: str, sample: Sample, root: str | None = None) -> None:
        """Count a rejected message and keep it as a sample; `root` only where the topic is one of our line's."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        if root is not None and (root in self.sources or len(self.sources) < MAX_SOURCES):
            entry = self.source(root)
            entry.received += 1
            entry.reject(reason)
        kept = self._samples.setdefault(reason, deque(maxlen=MAX_SAMPLES // 10))
        kept.append(sample)

    def samples(self) -> list[Sample]:
        """The quarantined samples, newest first."""
        # copies, since the writer goes on while another thread looks
        found = [sample for kept in list(self._samples.values()) for sample in list(kept)]
        return sorted(found, key=lambda sample: -sample.recv)[:MAX_SAMPLES]

    def load(self, stored: dict[str, bytes]) -> None:
        """Take the counts that the journal holds (a journal of another version may lack some)."""
        for root, body in stored.items():
            if root == "":
                self.rejected = msgspec.json.decode(body, type=dict[str, int])
            else:
                self.sources[root] = msgspec.json.decode(body, type=SourceLedger)

    def stored(self, roots: set[str]) -> dict[str, bytes]:
        """The counts of `roots` as the journal holds them; under "" those of no source."""
        kept = {root: msgspec.json.encode(self.sources[root]) for root in roots if root in self.sources}
        kept[""] = msgspec.json.encode(self.rejected)
        return kept

    def degraded(self) -> list[str]:
        """What is wrong with sources that are online, a sentence for each of them."""
        found = [(root.rsplit("/", 1)[-1], entry.degraded) for root, entry in list(self.sources.items())]
        return [f"{cell}: {'; '.join(t.text or t.what.replace('_', ' ') for t in of)}" for cell, of in found if of]

    def view(self) -> dict[str, Any]:
        """What `GET /ledger` answers, but for the sinks."""
        return {
            "sources": {root: msgspec.to_builtins(entry) for root, entry in list(self.sources.items())},
            "rejected": dict(self.rejected),
            "samples": [msgspec.to_builtins(sample) for sample in self.samples()],
        }


def sample(recv: int, reason: str, detail: str, topic: str, body: bytes) -> Sample:
    """A sample of bounded size, its bytes shown as text where they are."""
    return Sample(recv, reason, detail[:300], topic[:200], body[:SAMPLE_BYTES].decode("utf-8", "backslashreplace"))
