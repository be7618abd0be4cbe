"""Stocks and supply documents: what is on hand, owed to customers and on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.payloads import Supply
from twin.model import Contradiction, Order, StockState, TwinState, count

if TYPE_CHECKING:
    from twin.topology import Topology


def receive(stock: StockState, n: int) -> None:
    """`n` units come in; waiting customers are served first."""
    stock.received += n
    served = min(n, stock.backorder)
    stock.backorder -= served
    stock.shipped += served
    stock.on_hand += n - served


def take(stock: StockState, n: int) -> None:
    """Withdraw `n`; stock on hand is never negative (a sensor or a count will say what is right)."""
    stock.on_hand = max(stock.on_hand - n, 0)


def demand(stock: StockState, n: int, *, waits: bool) -> None:
    """`n` customer orders of one unit; what cannot be met waits, or is lost."""
    served = min(n, stock.on_hand)
    stock.demanded += n
    stock.shipped += served
    stock.on_hand -= served
    stock.backorder += n - served if waits else 0


def document(topology: Topology, state: TwinState, doc: Supply, t: int) -> None:
    """Apply a supply document; the highest version of a document holds, an unknown item is counted."""
    k = find_stock(topology, doc)
    if k < 0:
        count(state, "supply_unknown_item")
        return
    stock, key = state.stocks[k], doc.ref or doc.doc
    quantity = round(doc.quantity or 0)
    if doc.kind in ("purchase_order", "order_change", "shipment_notice"):
        _order(stock, doc, key, quantity)
    elif doc.kind == "goods_receipt":
        order = stock.orders.pop(key, None)
        if order is not None:
            if "on_order" not in stock.measured_t:
                stock.on_order = max(stock.on_order - order.quantity, 0)
        elif key in stock.closed:
            count(state, "supply_repeated")
            return
        else:
            count(state, "receipt_without_order")
        stock.closed[key] = doc.version
        if "on_hand" in stock.measured_t:  # its sensor counts the delivery itself
            stock.received += quantity
        else:
            receive(stock, quantity)
        while len(stock.closed) > 500:
            del stock.closed[next(iter(stock.closed))]
    elif doc.kind == "stock_count":
        if quantity != stock.on_hand:
            name = topology.plant.stocks[k].id
            what = f"{name}: the count says {quantity}, the book {stock.on_hand}"
            contradict(state, f"count/{name}", Contradiction(what, [doc.doc], quantity - stock.on_hand, t, t))
        stock.on_hand = max(quantity, 0)
        stock.measured_t["on_hand"] = t
    else:
        count(state, f"supply_{doc.kind}")


def _order(stock: StockState, doc: Supply, key: str, quantity: int) -> None:
    if stock.closed.get(key, -1) >= doc.version or key in stock.closed:
        return
    old = stock.orders.get(key)
    if old is not None and old.version >= doc.version and doc.kind != "shipment_notice":
        return
    if old is None:
        stock.placed += 1
    if "on_order" not in stock.measured_t:
        stock.on_order += quantity - (old.quantity if old else 0)
    stock.ordered += quantity - (old.quantity if old else 0)
    due = doc.due if doc.due is not None else (old.due if old else 0)
    issued = old.issued if old is not None else doc.issued
    stock.orders[key] = Order(doc=key, version=doc.version, quantity=quantity, issued=issued, due=due)


def find_stock(topology: Topology, doc: Supply) -> int:
    """Position of the stock a document is about: by stock id, else by item (and supplier); -1 when there is none."""
    if doc.stock is not None and doc.stock in topology.stock:
        return topology.stock[doc.stock]
    for k, stock in enumerate(topology.plant.stocks):
        if stock.item == doc.item and (doc.supplier is None or stock.source in (doc.supplier, "line")):
            return k
    return -1


def contradict(state: TwinState, key: str, found: Contradiction) -> None:
    """Name a contradiction; one that goes on keeps the time it began and is counted."""
    old = state.contradictions.get(key)
    if old is not None:
        found.since, found.n = old.since, old.n + 1
    state.contradictions[key] = found
