"""How old the order book is: the newest supply document of each kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ingest.payloads import Supply

NOT_ORDERS = frozenset({"stock_count", "bom_change", "production_performance"})
"""Kinds that say nothing about orders."""


@dataclass
class Papers:
    """`take` every new document. Times are plant ms; `newest` by kind is when it was issued."""

    newest: dict[str, int] = field(default_factory=dict)
    documents: int = 0

    def take(self, doc: Supply) -> None:
        """A document that is new in the journal."""
        self.documents += 1
        self.newest[doc.kind] = max(doc.issued, self.newest.get(doc.kind, 0))

    def view(self, now: int) -> dict[str, Any]:
        """For the ledger: `age_s` of the order book (plant seconds since its newest document was issued, None before
        any), and of each kind.
        """
        orders = [t for kind, t in self.newest.items() if kind not in NOT_ORDERS]
        ages = {kind: _age(t, now) for kind, t in sorted(self.newest.items())}
        return {"documents": self.documents, "age_s": _age(max(orders), now) if orders else None, "kinds": ages}


def _age(t: int, now: int) -> float:
    return round(max(now - t, 0) / 1000, 1)
