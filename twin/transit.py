"""Supply documents: orders, what has been sent of them and what has come, by lane.

Whatever order the documents come in, the state they lead to is the same. An order at a supplier is on its way as a
whole; one at another stock is owed until that stock has sent it, in one or several shipments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.payloads import Supply
from sim.plant import Stock
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
            _ordered(topology, state, k, doc)
    elif doc.kind == "goods_receipt":
        _received(topology, state, k, doc)
    elif doc.kind == "stock_count":
        if quantity != stock.on_hand:
            name = topology.plant.stocks[k].id
            what = f"{name}: the count says {quantity}, the book {stock.on_hand}"
            contradict(state, f"count/{name}", Contradiction(what, [doc.doc], quantity - stock.on_hand, t, t))
        stock.on_hand = max(quantity, 0)
        stock.measured_t["on_hand"] = t
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


def _order(topology: Topology, stock: StockState, k: int, doc: Supply) -> Order | None:
    """The order a document is about, a new one where it is the first; None when that is closed."""
    key = doc.ref or doc.doc
    if key in stock.closed:
        return None
    if key not in stock.orders:
        lane = _lane(topology.plant.stocks[k], key, doc.supplier)
        from_stock = _source(topology, k, doc) >= 0
        stock.orders[key] = Order(doc=key, issued=doc.issued, due=doc.due or 0, lane=lane, from_stock=from_stock)
        stock.placed[lane] = stock.placed.get(lane, 0) + 1
    return stock.orders[key]


def _ordered(topology: Topology, state: TwinState, k: int, doc: Supply) -> None:
    stock = state.stocks[k]
    order = _order(topology, stock, k, doc)
    if order is None or (order.version >= doc.version and doc.kind != "shipment_notice"):
        return
    quantity = round(doc.quantity or 0)
    stock.ordered[order.lane] = stock.ordered.get(order.lane, 0) + quantity - order.quantity
    if order.version < 0:
        order.issued = doc.issued
    order.version, order.quantity = doc.version, quantity
    order.due = doc.due if doc.due is not None else order.due
    _settle(stock)


def _sent(topology: Topology, state: TwinState, k: int, doc: Supply) -> None:
    """The source stock has sent a part of an order; its own sensor, if it has one, has seen that."""
    order = _order(topology, state.stocks[k], k, doc)
    if order is None or doc.doc in order.sent:
        return
    stock, quantity = state.stocks[k], round(doc.quantity or 0)
    order.sent[doc.doc] = Shipment(quantity=quantity, left=doc.issued)
    known = min(stock.ahead.get(order.lane, 0), quantity)
    if known:
        stock.ahead[order.lane] -= known
    source = state.stocks[_source(topology, k, doc)]
    if "on_hand" not in source.measured_t:
        take(source, quantity - known)
    _settle(state.stocks[k])


def _received(topology: Topology, state: TwinState, k: int, doc: Supply) -> None:
    stock, quantity, key = state.stocks[k], round(doc.quantity or 0), doc.ref or doc.doc
    order = stock.orders.get(key)
    if key in stock.closed or (order is not None and doc.doc in order.got):
        count(state, "supply_repeated")
        return
    if _source(topology, k, doc) >= 0:
        order = _order(topology, stock, k, doc)
        assert order is not None
        order.got[doc.doc] = quantity
    else:
        if order is None:
            count(state, "receipt_without_order")
        stock.orders.pop(key, None)
        _close(stock, key, doc.version)
    _settle(stock)
    if "on_hand" in stock.measured_t:  # its sensor counts the delivery itself
        stock.received += quantity
    else:
        receive(topology, state, k, quantity)


def _settle(stock: StockState) -> None:
    """Orders that have come as a whole are closed; what is on order follows where no sensor says it."""
    open_ = [entry for lane in LANES for entry in standing(stock, lane)]
    keep = {entry.order.doc for entry in open_}
    for order in [o for o in stock.orders.values() if o.version >= 0 and o.doc not in keep]:
        del stock.orders[order.doc]
        _close(stock, order.doc, order.version)
    for lane, ahead in stock.ahead.items():
        stock.ahead[lane] = min(ahead, sum(entry.owed for entry in standing(stock, lane)))
    if "on_order" not in stock.measured_t:
        stock.on_order = sum(entry.on_way + entry.owed for entry in open_)


def _close(stock: StockState, key: str, version: int) -> None:
    stock.closed[key] = version
    while len(stock.closed) > CLOSED:
        del stock.closed[next(iter(stock.closed))]


def find_stock(topology: Topology, doc: Supply) -> int:
    """Position of the stock a document is about: by stock id, else by item (and supplier); -1 when there is none."""
    if doc.stock is not None and doc.stock in topology.stock:
        return topology.stock[doc.stock]
    for k, stock in enumerate(topology.plant.stocks):
        sources = (stock.source, stock.express.source if stock.express else None)
        if stock.item == doc.item and (doc.supplier is None or doc.supplier in sources or stock.source == "line"):
            return k
    return -1
