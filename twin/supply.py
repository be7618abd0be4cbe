"""Stocks and customers: what is on hand and what is owed. Orders and what is on its way: `twin/transit.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.model import Contradiction, DemandState, StockState, TwinState, owed

if TYPE_CHECKING:
    from twin.topology import Topology


def receive(topology: Topology, state: TwinState, k: int, n: int) -> None:
    """`n` units come into stock `k`; those who wait for them are served first, in their order."""
    stock = state.stocks[k]
    stock.received += n
    for lane, i in topology.served[k]:
        if lane:
            given = min(n, owed(state.stocks[i], lane))
            state.stocks[i].ahead[lane] = state.stocks[i].ahead.get(lane, 0) + given
        else:
            customer = state.demands[i]
            given = min(n, customer.waiting, stock.backorder)
            customer.waiting -= given
            forget(customer)
            stock.backorder -= given
            stock.shipped += given
        n -= given
    if n:
        stock.on_hand += n
        stock.grown = state.t


def serve(topology: Topology, state: TwinState, k: int, n: int) -> None:
    """`n` units go to the customers that wait at stock `k`, first served first."""
    for d in topology.claims[k]:
        customer = state.demands[d]
        given = min(n, customer.waiting)
        n -= given
        customer.waiting -= given
        forget(customer)


def forget(customer: DemandState) -> None:
    """Only what still waits keeps its date: the oldest orders were served first."""
    over = sum(n for _, n in customer.dates) - customer.waiting
    while over > 0:
        at, n = customer.dates.pop(0)
        if n > over:
            customer.dates.insert(0, (at, n - over))
        over -= n


def take(stock: StockState, n: int) -> None:
    """Withdraw `n`; stock on hand is never negative (a sensor or a count will say what is right)."""
    stock.on_hand = max(stock.on_hand - n, 0)


def demand(topology: Topology, state: TwinState, d: int, n: int) -> None:
    """Customer `d` asks for `n` units; what cannot be met waits (as far as that many may), or is lost."""
    spec, customer = topology.plant.demands[d], state.demands[d]
    stock = state.stocks[topology.demand_stock[spec.id]]
    served = min(n, stock.on_hand)
    customer.demanded += n
    if n:
        customer.last = state.t
    stock.demanded += n
    stock.shipped += served
    stock.on_hand -= served
    owed = n - served if spec.unmet == "backorder" else 0
    if spec.most is not None:
        owed = min(owed, max(spec.most - customer.waiting, 0))
    customer.lost += n - served - owed
    if owed > 0:
        customer.waiting += owed
        stock.backorder += owed
        if spec.due is not None:
            customer.dates.append((state.t, owed))


def demand_at(topology: Topology, state: TwinState, k: int, n: int) -> None:
    """`n` units were asked for at stock `k`, nobody says by whom: taken as by the customer served last."""
    served_last = topology.claims[k]
    if served_last:
        demand(topology, state, served_last[-1], n)


def backordered(topology: Topology, state: TwinState, k: int, n: int) -> None:
    """A sensor says that `n` units are owed at stock `k`: who waits for them is brought to that sum."""
    stock = state.stocks[k]
    stock.backorder = n
    waiting = sum(state.demands[d].waiting for d in topology.claims[k])
    serve(topology, state, k, waiting - n)
    last = next((d for d in reversed(topology.claims[k]) if topology.plant.demands[d].unmet == "backorder"), None)
    if n > waiting and last is not None:
        state.demands[last].waiting += n - waiting


def owed_to(topology: Topology, state: TwinState, d: int, n: int) -> None:
    """A sensor says that `n` units are owed to customer `d`."""
    k = topology.demand_stock[topology.plant.demands[d].id]
    customer, stock = state.demands[d], state.stocks[k]
    customer.waiting = n
    forget(customer)
    if "backorder" not in stock.measured_t:
        stock.backorder = sum(state.demands[i].waiting for i in topology.claims[k])


def contradict(state: TwinState, key: str, found: Contradiction) -> None:
    """Name a contradiction; one that goes on keeps the time it began and is counted."""
    old = state.contradictions.get(key)
    if old is not None:
        found.since, found.n = old.since, old.n + 1
    state.contradictions[key] = found
