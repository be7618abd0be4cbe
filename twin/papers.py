"""What supply documents say about themselves: how old the order book is, and where a bill of material differs.

A BOM change is never applied: the plant file is a person's to change, and a forecast must not follow a document that
nobody has read. It is named for as long as the two differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.papers import NOT_ORDERS
from ingest.payloads import Supply
from twin.model import Booking, TwinState, count

if TYPE_CHECKING:
    from twin.topology import Topology

OLD_MS = 86_400_000
"""An order book is old when its newest document was issued a day of plant time ago."""
MOST = 200
"""Differences kept; more than these are only counted. As many bookings, the newest."""
ONLY = ("bom_change", "production_performance")
"""Kinds that move nothing: what they say is kept beside the state."""


def note(topology: Topology, state: TwinState, doc: Supply) -> None:
    """A document has come, whatever becomes of it."""
    state.papers[doc.kind] = max(doc.issued, state.papers.get(doc.kind, 0))
    if doc.kind == "bom_change":
        _bom(topology, state, doc)
    elif doc.kind == "production_performance":
        _book(topology, state, doc)


def _book(topology: Topology, state: TwinState, doc: Supply) -> None:
    """Finished output of `item`, the line where it names none; taken by `twin/shiftbook.py`. Parts move by their
    counters, never by a document.
    """
    item = doc.item or topology.plant.line
    if doc.quantity is None or (item not in topology.product and item != topology.plant.line):
        count(state, "booked_unknown")
        return
    known = state.booked.get(doc.doc)
    if known is not None and doc.version <= known.version:
        return
    state.booked[doc.doc] = Booking(item, doc.quantity, doc.issued, doc.version)
    while len(state.booked) > MOST:
        del state.booked[min(state.booked, key=lambda key: (state.booked[key].issued, key))]


def _bom(topology: Topology, state: TwinState, doc: Supply) -> None:
    """`ref` is the product, `item` (or `stock`) the component, `quantity` the units that go into one product."""
    product, component = doc.ref or "", doc.item or doc.stock or ""
    p = topology.product.get(product)
    key = f"{product}/{component}"
    known = state.bom_versions.get(key, (-1, -1))
    if (doc.issued, doc.version) <= known:
        return
    if known == (-1, -1) and len(state.bom_versions) >= MOST:
        count(state, "bom_changes_not_kept")
        return
    state.bom_versions[key] = (doc.issued, doc.version)
    wanted = doc.quantity or 0
    has = _goes_into(topology, p, doc) if p is not None else None
    if has == wanted:
        state.differs.pop(key, None)
    elif p is None:
        state.differs[key] = f"{doc.doc}: product {product or '(no ref)'} is not in the plant file"
    else:
        state.differs[key] = (
            f"{doc.doc}: {wanted:g} {component} go into one {product}, the plant file says {has:g}: plant file differs"
        )


def _goes_into(topology: Topology, p: int, doc: Supply) -> int:
    """Units of a component that the plant file puts into one product, at its release and at its operations."""
    stocks = topology.plant.stocks
    rows = [*topology.consumes[p], *(need for step in topology.needs[p] for need in step)]
    # what goes in at the release stands in `consumes`; a first operation's needs may repeat nothing of it
    return sum(n for k, n in rows if stocks[k].id == doc.stock or (doc.item is not None and stocks[k].item == doc.item))


def age_ms(state: TwinState) -> int | None:
    """Plant ms since the newest order document was issued, None before any."""
    issued = [t for kind, t in state.papers.items() if kind not in NOT_ORDERS]
    return max(state.t - max(issued), 0) if issued else None


def notices(state: TwinState) -> list[str]:
    """What a person should know of the documents, in words."""
    age = age_ms(state)
    found = [f"order book {age / 86_400_000:.1f} days old"] if age is not None and age >= OLD_MS else []
    return [*found, *state.differs.values()]


def view(state: TwinState) -> dict[str, Any]:
    """For `GET /state`: ages in plant seconds, differences, notices."""
    age = age_ms(state)
    return {
        "age_s": None if age is None else round(age / 1000, 1),
        "kinds": {kind: round(max(state.t - t, 0) / 1000, 1) for kind, t in sorted(state.papers.items())},
        "differs": dict(sorted(state.differs.items())),
        "notices": notices(state),
    }
