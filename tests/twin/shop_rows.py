"""Journal rows of the virtual plant's floor, made without network: the truth and what its sensors say, side by side."""

from __future__ import annotations

import random
from typing import Any

from hardware.erp import Erp
from hardware.twist import Twist
from hardware.virtual_plant import Disturbance, Options, VirtualPlant
from ingest.wire import Birth, Data, Event, Row, Tag, encode
from sim.plant import Plant
from tests.twin.journals import ROOT
from twin.model import held
from twin.tracker import Tracker

SAID = ("kind", "thing", "unit", "product", "count", "step", "state", "text")
"""What the gateway passes on of an event."""


class ShopRows:
    """Runs the virtual plant and a tracker side by side. `loss` is the share of messages that never come."""

    def __init__(
        self,
        plant: Plant,
        twist: Twist | None,
        *,
        loss: float = 0.0,
        down: float = 0.0,
        warmup_s: float = 86400.0,
        seed: int = 3,
    ) -> None:
        script = (Disturbance(15.0, plant.stations[0].id, down),) if down else ()
        self.plant = VirtualPlant(plant, Options(seed=seed, warmup_s=warmup_s, twist=twist, script=script))
        self.tracker, self.loss, self.rng = Tracker(plant), loss, random.Random(1)
        self.rows: list[Row] = []
        self.pos = self.s = 0
        tags = [
            Tag(i=i, name=t["name"], type=t["type"], enum=t.get("enum")) for i, t in enumerate(self.plant.image.tags)
        ]
        self.index = {t.name: t.i for t in tags}
        self._put("birth", encode(Birth(v=1, e="e1", s=1, sw="test", tags=tags)), self.plant.ms(self.plant.live_s))
        self.now = self.plant.live_s
        self.erp = Erp(self.plant, "r", lambda body: self._put("supply", body, self.plant.ms(self.plant.shop.env.now)))
        self.plant.shop.papers.clear()  # of the time before; what is open was told just now
        self.plant.emit, self.plant.erp = self._emit, self.erp.paper
        self._emit({"t": self.plant.ms(self.now), "v": self.plant.values()["v"]})

    def _put(self, kind: str, body: bytes, t: int, s: int | None = None) -> None:
        self.pos += 1
        source = "" if kind in ("tick", "supply") else ROOT
        row = Row(self.pos, t, t, kind, source, None if s is None else "e1", s, body)
        self.rows.append(row)
        self.tracker.apply(row)

    def _emit(self, message: dict[str, Any]) -> None:
        self.s += 1
        if self.s > 1 and self.rng.random() < self.loss:
            return
        t = message["t"]
        if "v" in message:
            values = {self.index[k]: float(v) for k, v in message["v"].items()}
            n = len(values)
            data = Data(e="e1", s=self.s, t0=t, i=list(values), dt=[0] * n, v=list(values.values()), q=[0] * n)
            self._put("data", encode(data), t, self.s)
        else:
            known = {k: v for k, v in message["event"].items() if k in SAID}
            self._put("event", encode(Event(e="e1", s=self.s, t=t, **known)), t, self.s)

    def run(self, seconds: float, tick_s: float = 5.0) -> None:
        """Let plant time pass; the tracker has every row when this returns."""
        end, env = self.now + seconds, self.plant.shop.env
        while self.now < end:
            self.now += tick_s
            while env.peek() < self.now:
                env.step()
                if env.peek() > env.now:
                    self.plant._publish(self.plant.image.scan(env.now))
            env.run(until=self.now)
            self.plant._publish(self.plant.image.due(self.now))
            self.plant._hand_papers_over()
            t = self.plant.ms(self.now)
            self._put("tick", b'{"t":%d}' % t, t)

    def errors(self) -> list[int]:
        """Absolute error of the believed WIP, by station."""
        true = [station.wip for station in self.plant.shop.stations.values()]
        state = self.tracker.state
        believed = [held(s) for s in state.stations]
        return [abs(a - b) for a, b in zip(true, believed, strict=True)]
