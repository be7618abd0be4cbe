"""Supply documents: orders, what has been sent of them and what has come, by lane.

Whatever order the documents come in, the state they lead to is the same. An order at a supplier is on its way as a
whole; one at another stock is owed until that stock has sent it, in one or several shipments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.payloads import Supply
from sim.plant import Stock
from twin import papers
from twin.model import LANES, Contradiction, Order, Shipment, StockState, TwinState, count, standing
from twin.supply import contradict, receive, take

if TYPE_CHECKING:
    from twin.topology import Topology

CLOSED = 500
"""Closed documents remembered for each stock, so that they count once."""
EXPRESS_NUMBERS = ("PX-", "TX-")
"""Orders with such numbers are express orders where both lanes have the same supplier."""


def document(topology: Topology, state: TwinState, doc: Supply, t: int) -> None:
    """Apply a supply document; the highest version of a document holds, an unknown item is counted."""
    papers.note(topology, state, doc)
    if doc.kind in papers.ONLY:
        return
    k = find_stock(topology, doc)
    if k < 0:
        count(state, "supply_unknown_item")
        return
    stock, quantity = state.stocks[k], round(doc.quantity or 0)
    if doc.kind in ("purchase_order", "order_change"):
        _ordered(topology, state, k, doc)
    elif doc.kind == "shipment_notice":
        if _source(topology, k, doc) >= 0:
            _sent(topology, state, k, doc)
        else:
            _announced(topology, state, k, doc)
    elif doc.kind == "goods_receipt":
        _received(topology, state, k, doc)
    elif doc.kind == "stock_count":
        if doc.issued < stock.measured_t.get("on_hand", 0):
            count(state, "stock_count_old")  # something newer is known
            return
        if quantity != stock.on_hand:
            name = topology.plant.stocks[k].id
            what = f"{name}: the count says {quantity}, the book {stock.on_hand}"
            contradict(state, f"count/{name}", Contradiction(what, [doc.doc], quantity - stock.on_hand, t, t))
        stock.on_hand = max(quantity, 0)
        stock.measured_t["on_hand"] = min(doc.issued, t)
    else:
        count(state, f"supply_{doc.kind}")


def _source(topology: Topology, k: int, doc: Supply) -> int:
    """The stock that sends what a document is about, -1 where a supplier does."""
    spec = topology.plant.stocks[k]
    fast = _lane(spec, doc.ref or doc.doc, doc.supplier) == "express"
    return topology.stock.get(spec.express.source if fast and spec.express is not None else spec.source, -1)


def _lane(spec: Stock, doc: str, supplier: str | None) -> str:
    if spec.express is None:
        return "regular"
    if spec.express.source == spec.source or supplier is None:
        return "express" if doc.startswith(EXPRESS_NUMBERS) else "regular"
    return "express" if supplier == spec.express.source else "regular"


def _order(topology: Topology, stock: StockState, k: int, doc: Supply) -> Order:
    """The order a document is about: a new one where it is the first, opened again where nothing was to come of it."""
    key = doc.ref or doc.doc
    if key in stock.closed:
        stock.orders[key] = stock.closed.pop(key)
    if key not in stock.orders:
        lane = _lane(topology.plant.stocks[k], key, doc.supplier)
        from_stock = _source(topology, k, doc) >= 0
        stock.orders[key] = Order(doc=key, issued=doc.issued, due=0, lane=lane, from_stock=from_stock)
        stock.placed[lane] = stock.placed.get(lane, 0) + 1
    order = stock.orders[key]
    order.issued = min(order.issued, doc.issued)
    said = (int(doc.kind == "shipment_notice"), doc.version, doc.doc)
    if doc.due is not None and said > order.due_said:
        order.due, order.due_said = doc.due, said
    return order


def _ordered(topology: Topology, state: TwinState, k: int, doc: Supply) -> None:
    stock = state.stocks[k]
    order = _order(topology, stock, k, doc)
    if doc.version > order.version:
        _on_lane(stock, order, _lane(topology.plant.stocks[k], order.doc, doc.supplier))
        order.from_stock = _source(topology, k, doc) >= 0
        quantity = round(doc.quantity or 0)
        stock.ordered[order.lane] = stock.ordered.get(order.lane, 0) + quantity - order.quantity
        order.version, order.quantity = doc.version, quantity
    _settle(stock)


def _announced(topology: Topology, state: TwinState, k: int, doc: Supply) -> None:
    """A supplier says when an order comes, and how much where the order itself is not known."""
    order = _order(topology, state.stocks[k], k, doc)
    if doc.version > order.versions.get(doc.doc, -1):
        order.sent[doc.doc] = Shipment(quantity=round(doc.quantity or 0), left=doc.issued)
        order.versions[doc.doc] = doc.version
    _settle(state.stocks[k])


def _on_lane(stock: StockState, order: Order, lane: str) -> None:
    """What a receipt did not say, the order does: by which lane it comes."""
    if lane == order.lane:
        return
    for table, n in ((stock.placed, 1), (stock.ordered, order.quantity)):
        table[order.lane] = table.get(order.lane, 0) - n
        table[lane] = table.get(lane, 0) + n
    order.lane = lane


def _sent(topology: Topology, state: TwinState, k: int, doc: Supply) -> None:
    """The source stock has sent a part of an order; its own sensor, if it has one, has seen that."""
    order = _order(topology, state.stocks[k], k, doc)
    before = order.sent.get(doc.doc)
    if before is None or doc.version > order.versions.get(doc.doc, -1):
        stock, quantity = state.stocks[k], round(doc.quantity or 0)
        order.sent[doc.doc] = Shipment(quantity=quantity, left=doc.issued)
        order.versions[doc.doc] = doc.version
        more = quantity - (before.quantity if before is not None else 0)
        known = max(min(stock.ahead.get(order.lane, 0), more), 0)
        if known:
            stock.ahead[order.lane] -= known
        source = state.stocks[_source(topology, k, doc)]
        if not source.by_sensor:
            _add(source, known - more)
    _settle(state.stocks[k])


def _received(topology: Topology, state: TwinState, k: int, doc: Supply) -> None:
    """Goods have come, all of an order or a part of it; a higher version of a receipt corrects it."""
    stock, quantity = state.stocks[k], round(doc.quantity or 0)
    order = _order(topology, stock, k, doc)
    if doc.version <= order.versions.get(doc.doc, -1):
        count(state, "supply_repeated")
        _settle(stock)
        return
    more = quantity - order.got.get(doc.doc, 0)
    order.got[doc.doc], order.versions[doc.doc] = quantity, doc.version
    _settle(stock)
    if stock.by_sensor or more < 0:  # a sensor counts the delivery itself
        stock.received += more
        if not stock.by_sensor:
            _add(stock, more)
    else:
        receive(topology, state, k, more)


def _add(stock: StockState, n: int) -> None:
    if n > 0:
        stock.on_hand += n
    else:
        take(stock, -n)


def _settle(stock: StockState) -> None:
    """Orders of which nothing is to come are closed; what is on order follows where no sensor says it."""
    open_ = [entry for lane in LANES for entry in standing(stock, lane)]
    keep = {entry.order.doc for entry in open_}
    for key in [key for key in stock.orders if key not in keep]:
        stock.closed[key] = stock.orders.pop(key)
    while len(stock.closed) > CLOSED:
        del stock.closed[min(stock.closed, key=lambda key: (stock.closed[key].issued, key))]
    for lane, ahead in stock.ahead.items():
        stock.ahead[lane] = min(ahead, sum(entry.owed for entry in standing(stock, lane)))
    if "on_order" not in stock.measured_t:
        stock.on_order = sum(entry.on_way + entry.owed for entry in open_)


def find_stock(topology: Topology, doc: Supply) -> int:
    """Position of the stock a document is about: by stock id, else by item (and supplier); -1 when there is none."""
    if doc.stock is not None and doc.stock in topology.stock:
        return topology.stock[doc.stock]
    for k, stock in enumerate(topology.plant.stocks):
        sources = (stock.source, stock.express.source if stock.express else None)
        if stock.item == doc.item and (doc.supplier is None or doc.supplier in sources or stock.source == "line"):
            return k
    return -1
