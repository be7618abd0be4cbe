"""The virtual plant's ERP: purchase orders, goods receipts, stock counts and customer orders on `/supply`.

It knows nothing of sequence numbers; its documents are idempotent by id and version, so whenever the
twin comes online everything that still matters is simply sent again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from hardware.link import Arrival, Hooks, Link
from hardware.virtual_plant import VirtualPlant
from ingest.tls import Tls
from ingest.wire import Supply, TwinState, WireError, encode, parse, root, topic, twin_state_topic

CELL = "erp"
KEPT = 400
"""Documents remembered for sending again; the oldest closed ones are forgotten first."""
COUNT_EVERY_S = 3600.0


class Erp:
    """Turns the plant's papers into supply documents; `send(payload bytes)` takes them to the broker.

    `run` is a short name of this life of the plant: document numbers must not repeat those of an earlier one.
    """

    def __init__(self, plant: VirtualPlant, run: str, send: Callable[[bytes], object]) -> None:
        self._plant, self._run, self._send = plant, run, send
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._counted = {d: m.count for d, m in plant.shop.markets.items()}
        self._next_count = plant.live_s
        self._hour = 0
        for room in plant.shop.rooms.values():
            for order in room.open_orders.values():
                self.paper({"kind": "purchase_order", **order, "quantity": order["open"]})  # what is still to come
            for notice in room.notices.values():
                self.paper({"kind": "shipment_notice", **notice})
        plant.shop.papers.clear()  # what lies before this is history

    def paper(self, paper: Mapping[str, Any]) -> None:
        """A purchase order, a shipment notice or a goods receipt of the plant."""
        number, kind, ms = f"{paper['doc']}-{self._run}", paper["kind"], self._plant.ms
        order = f"{paper.get('ref', paper['doc'])}-{self._run}"
        common = {name: paper[name] for name in ("item", "quantity", "supplier", "stock")}
        if kind == "purchase_order":
            issued, due = ms(paper["issued_s"]), ms(paper["due_s"])
            self._issue(Supply(doc=number, version=1, kind=kind, issued=issued, due=due, **common))
        elif kind == "shipment_notice":
            issued, due = ms(paper["issued_s"]), ms(paper["due_s"])
            self._issue(Supply(doc=f"SN-{number}", version=1, kind=kind, issued=issued, due=due, ref=order, **common))
        else:
            issued = ms(paper["received_s"])
            self._issue(Supply(doc=f"GR-{number}", version=1, kind=kind, issued=issued, ref=order, **common))
            for closed in (f"SN-{number}", *((order,) if paper["closes"] else ())):
                self._kept.pop(closed, None)

    def tick(self) -> None:
        """Once a plant hour: count the stocks and tell how many customer orders came."""
        shop = self._plant.shop
        while shop.env.now >= self._next_count:
            self._next_count += COUNT_EVERY_S
            self._hour += 1
            now = self._plant.ms(shop.env.now)
            for stock, room in shop.rooms.items():
                doc = f"SC-{stock}-{self._run}"
                item, n = room.spec.item, room.on_hand
                self._issue(
                    Supply(
                        doc=doc, version=self._hour, kind="stock_count", issued=now, item=item, quantity=n, stock=stock
                    )
                )
            for name, market in shop.markets.items():
                new, self._counted[name] = market.count - self._counted[name], market.count
                doc = f"CO-{name}-{self._run}-{self._hour}"
                self._issue(
                    Supply(
                        doc=doc,
                        version=1,
                        kind="customer_order",
                        issued=now,
                        quantity=new,
                        stock=market.spec.stock,
                        customer=name,
                    )
                )

    def _issue(self, supply: Supply) -> None:
        body = encode(supply)
        self._kept.pop(supply.doc, None)
        self._kept[supply.doc] = body
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        self._send(body)

    def send_again(self) -> None:
        """Everything remembered, once more."""
        for body in self._kept.values():
            self._send(body)


def erp_link(plant: VirtualPlant, address: tuple[str, int], run: str, tls: Tls | None = None) -> tuple[Erp, Link]:
    """The ERP with its own MQTT connection (not yet started)."""
    p = plant.plant
    where = topic(root(p.site, p.area, p.line, CELL), "supply")
    files = None if tls is None else tls.for_cell(CELL)
    link = Link(*address, f"erp-{p.id}", [twin_state_topic(p.site, p.area, p.line)], tls=files)
    erp = Erp(plant, run, lambda body: link.publish(where, body))

    def heard(arrival: Arrival) -> None:
        try:
            state: TwinState = parse("state", arrival.payload)
        except WireError:
            return
        if state.online:
            erp.send_again()

    link.hooks = Hooks(on_message=heard)
    return erp, link
