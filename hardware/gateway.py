"""`plantwin gateway`: a fieldbus to MQTT and checked commands back, with a durable outbox in between.

One process serves one fieldbus. Each cell of the plant file is a source of its own (topic root, epoch,
sequence, connection with its own will); all of them share one file, so a group of messages costs one sync.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from hardware.buses import make_bus
from hardware.certificates import Certificates
from hardware.commander import Commander
from hardware.gateway_config import GatewayConfig, birth_tags, cells_of, config_tls, home_cell
from hardware.guard import Situation
from hardware.link import Arrival, Hooks, host_port
from hardware.mapped import KEY, Mapped
from hardware.outbox import Outbox
from hardware.pace import SteadyWall
from hardware.readout import Readout
from hardware.service import say
from hardware.store import Store
from hardware.tagbus import CLOCK_TAGS, TagBus
from hardware.troubles import Troubles, of_gateway
from hardware.uplink import Uplink, load_news, make_link
from ingest.keys import KeyFileError, load_public
from ingest.wire import (
    BAD,
    STALE,
    Ack,
    PlantClock,
    PlantTime,
    Req,
    Tag,
    TwinState,
    WireError,
    parse,
    root,
    twin_state_topic,
    wall_ms,
)
from sim.plant import Plant

GROUP_S = 0.05
"""Longest time a message waits for its group commit."""
TICK_S = 0.01
SNAPSHOT_S = 60.0
FAREWELL_S = 2.0
HEARTBEAT_S = 1.0
MAPPED_S = 0.1
"""How often rules that wait for time are asked, in wall seconds."""
PAUSE = "pause"
"""While a file of this name lies in the data folder, commands are refused (works with the twin dead)."""


class Gateway:
    """`await Gateway(config, plant, store).run(stop)`."""

    def __init__(self, config: GatewayConfig, plant: Plant, store: Store) -> None:
        self.config, self.plant, self.store = config, plant, store
        self.clock, self.steady = PlantClock(), SteadyWall()
        self.mapped = Mapped(config.mapping, plant, store.get(KEY)) if config.mapping is not None else None
        raws = self.mapped.mapping.raw_names() if self.mapped is not None else ()
        self.bus = make_bus(config, [c.id for c in plant.controls], self._heard_bus, self.now, raws)
        own = CLOCK_TAGS if isinstance(self.bus, TagBus) and self.bus.device is not None else ()
        self._address = host_port(config.broker, "--broker")
        self._state_topic = twin_state_topic(plant.site, plant.area, plant.line)
        cells = [c for c in cells_of(plant) if not config.cells or c in config.cells]
        self.uplinks: dict[str, Uplink] = {}
        for cell in cells:
            self._add_source(cell, own if cell == home_cell(plant) else ())
        self.home = self.uplinks.get(
            root(plant.site, plant.area, plant.line, home_cell(plant)), next(iter(self.uplinks.values()))
        )
        self.readout = Readout(plant, config.deadband, store.counters(), own)
        if self.mapped is not None:
            self.readout.take_as_told(self.mapped.mapping.tags())
            if self.mapped.complaint:
                say("gateway", self.mapped.complaint)
        self.commander = Commander(store, self.bus, self.uplinks, self.situation, f"twin@{plant.site}")
        self.certificates = Certificates(self.uplinks.values(), self._later)
        self.last_t = 0
        self.bad: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._linked = False
        self._watched = False
        self._disk_says = ""
        self._degraded: set[str] = set()
        self._troubles = Troubles()
        self._next = dict.fromkeys(("beat", "snapshot", "lease", "mapped"), 0.0)
        self._beat = 0
        known = store.get("plant_time")
        if known is not None:
            self._take_time(json.loads(known))

    def _add_source(self, cell: str, own: tuple[str, ...]) -> None:
        plant = self.plant
        source = root(plant.site, plant.area, plant.line, cell)
        tags = [msgspec.convert({"i": i, **tag}, Tag) for i, tag in enumerate(birth_tags(plant, cell, own))]
        hooks = Hooks()
        link = make_link(self._address, source, self._state_topic, hooks, config_tls(self.config, cell))
        uplink = Uplink(Outbox(self.store, source, self.config.outbox), link, tags, self.config.hist_rate)
        hooks.on_connect = lambda: self._connected(uplink)
        hooks.on_message = lambda arrival: self._heard(uplink, arrival)
        hooks.on_disconnect = lambda why: self._disconnected(uplink, why)
        hooks.on_trouble = lambda why: say("gateway", why)
        self.uplinks[source] = uplink

    # time and the plant's identity -------------------------------------------------------------

    def _take_time(self, found: Mapping[str, Any]) -> None:
        """Plant time as announced; without an origin it is wall time."""
        declared = PlantTime(**found) if found.get("origin") is not None else None
        self.clock = PlantClock.of(declared, wall_ms())
        for uplink in self.uplinks.values():
            uplink.plant_time = declared

    def now(self) -> int:
        """Plant ms."""
        return self.clock.at(self.steady.now())

    def _heard_hello(self, hello: Mapping[str, Any]) -> None:
        found = {k: hello.get(k) for k in ("origin", "speed", "wall")}
        before = self.store.get("plant_time")
        if before is not None and json.loads(before) != found:
            left = sum(u.outbox.new_epoch() for u in self.uplinks.values())
            self.commander.forget_plant()
            self.readout.forget()
            if self.mapped is not None:
                self.mapped.forget()
            say(
                "gateway",
                f"another plant is on the fieldbus: new epoch, {left} undelivered messages of the old one abandoned",
            )
        if before is None or json.loads(before) != found:
            self.store.put("plant_time", json.dumps(found))
        self._take_time(found)
        strange = self.readout.announced(hello.get("tags", ()))
        if strange:
            say("gateway", f"{len(strange)} tags of the fieldbus are not in the plant file: {', '.join(strange[:20])}")
        missing = self.readout.unheard()
        if missing:
            say("gateway", f"{len(missing)} tags of the plant file are not on the fieldbus: {', '.join(missing[:20])}")
        if not self._linked or (before is not None and json.loads(before) != found):
            self._later(self._start_links())

    async def _start_links(self) -> None:
        for uplink in self.uplinks.values():
            if self._linked:
                await uplink.link.stop()  # the will names the epoch
            uplink.link.will = uplink.will()
            uplink.link.start()
        self._linked = True

    # from the fieldbus -------------------------------------------------------------------------

    def _heard_bus(self, message: Mapping[str, Any]) -> None:
        if self.mapped is None:
            self._heard_tags(message)
            return
        try:
            told = list(self.mapped.translate(message))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._count_bad("fieldbus", error)
            return
        for refused in self.mapped.refused():
            self._count_bad("mapping", ValueError(refused))
        for one in told:
            self._heard_tags(one)

    def _heard_tags(self, message: Mapping[str, Any]) -> None:
        try:
            if "hello" in message:
                self._heard_hello(message["hello"])
            elif "v" in message:
                self._heard_values(message["t"], message["v"], message.get("q", {}), bool(message.get("all")))
            elif "event" in message:
                self._heard_event(message["t"], message["event"])
        except (KeyError, TypeError, ValueError, AttributeError, sqlite3.Error) as error:
            self._count_bad("fieldbus", error)

    def _count_bad(self, where: str, error: Exception) -> None:
        self.bad[where] = self.bad.get(where, 0) + 1
        if self.bad[where] in (1, 10, 100) or self.bad[where] % 1000 == 0:
            say("gateway", f"{where}: message {self.bad[where]} not understood and left out ({error})")

    def _heard_values(self, t: int, values: Mapping[str, Any], qualities: Mapping[str, int], everything: bool) -> None:
        self.last_t = max(self.last_t, int(t))
        for name, raw in values.items():
            uplink = self._uplink_of_tag(name)
            if uplink is None:
                continue
            before = uplink.values.get(name)
            if raw is None:  # no usable value: the last one stands, with the quality of this one
                if before is not None and before[1] != qualities.get(name, BAD):
                    uplink.value(t, name, before[0], qualities.get(name, BAD))
                continue
            try:
                value, quality = self.readout.take(name, raw, t, watched=self._watched or not everything)
            except ValueError as error:
                self._count_bad("tag value", error)
                continue
            quality = max(quality, int(qualities.get(name, quality)))
            if everything or self.readout.worth(name, before, (value, quality)):
                uplink.value(t, name, value, quality)
            if name.startswith("set/"):
                if self.commander.leased_otherwise(name[4:], int(value)):
                    self._later(self.commander.heard_setpoint(name[4:], int(value)))
                if before is not None and before[0] != value:
                    self.commander.note_change(name[4:], t)
        if everything:
            self._watched = True
            self._later(self.commander.settle_after_restart())

    def _uplink_of_tag(self, name: str) -> Uplink | None:
        cell = self.readout.cell_of(name)
        if cell is None:
            return None
        return self.uplinks.get(root(self.plant.site, self.plant.area, self.plant.line, cell))

    def _heard_event(self, t: int, event: Mapping[str, Any]) -> None:
        payload = self.readout.event(t, event)
        cell = self.readout.cell_of_thing(str(payload["thing"]))
        uplink = self.uplinks.get(root(self.plant.site, self.plant.area, self.plant.line, cell))
        if uplink is not None:
            uplink.numbered("event", "event", payload)

    def _bus_lost(self) -> None:
        """Nothing is known any more: every value is stale from the last time heard."""
        self._watched = False
        if self.mapped is not None:
            self.mapped.lost()
        for uplink in self.uplinks.values():
            uplink.snapshot(self.last_t, STALE)

    async def _keep_bus(self, stop: asyncio.Event) -> None:
        delay, said = 0.5, ""
        while not stop.is_set():
            try:
                await self.bus.run_once()
                why, delay = "closed by the other side", 0.5
            except (OSError, ValueError) as error:
                why = str(error)
            if self._watched:
                self._bus_lost()
                said = ""
            if why != said:
                say("gateway", f"fieldbus {self.config.fieldbus}: {why}; trying again")
                said = why
            await asyncio.sleep(delay * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
            delay = min(5.0, delay * 1.5)

    # from the broker ---------------------------------------------------------------------------

    def _connected(self, uplink: Uplink) -> None:
        try:
            uplink.announce(self.now())
        except WireError as error:
            say("gateway", f"{uplink.root}: the birth cannot be sent ({error}); give its sensors more cells")
        uplink.begin()

    def _disconnected(self, uplink: Uplink, why: str) -> None:
        if uplink.online:
            say("gateway", f"{uplink.root}: broker away ({why}); readings wait in the outbox")
        uplink.online = False

    def _heard(self, uplink: Uplink, arrival: Arrival) -> None:
        try:
            self._dispatch(uplink, arrival)
        except WireError as error:
            uplink.counts.bad += 1
            self._count_bad("broker", error)

    def _dispatch(self, uplink: Uplink, arrival: Arrival) -> None:
        if arrival.topic == self._state_topic:
            state: TwinState = parse("state", arrival.payload)
            if state.online and not uplink.online:
                uplink.online = True
                uplink.begin()
                uplink.snapshot(self._settled())
            uplink.online = state.online
            return
        kind = arrival.topic[len(uplink.root) + 1 :].partition("/")[0]
        if kind == "ack":
            ack: Ack = parse("ack", arrival.payload)
            complaint = uplink.heard_ack(ack)
            if complaint is not None:
                self._count_bad("ack", ValueError(complaint))
        elif kind == "req":
            self._answer(uplink, parse("req", arrival.payload))
        elif kind == "cmd":
            if len(self._tasks) >= 64:
                self.commander.refused["too_many"] = self.commander.refused.get("too_many", 0) + 1
                return
            self._later(self._command(arrival, uplink.root))

    def _answer(self, uplink: Uplink, req: Req) -> None:
        wanted = uplink.heard_request(req, self.now())
        if wanted == "rebirth":
            uplink.announce(self.now())
            uplink.snapshot(self._settled())
        elif wanted == "time":
            uplink.tell(self.now())

    async def _command(self, arrival: Arrival, source: str) -> None:
        if self.commander.key is None:
            try:
                self.commander.key = load_public(self.config.data)
            except KeyFileError as error:
                say("gateway", f"commands are refused: {error}")
        await self.commander.handle(arrival, source)

    def situation(self) -> Situation:
        """What a command is judged by (times of changes are added by the commander)."""
        return Situation(
            now=self.now(),
            controls={c.id: c for c in self.plant.controls},
            tick_ms=self.plant.tick_s * 1000,
            limits=self.plant.limits,
            states=self.readout.states(),
            settings=self.readout.settings(),
            mode=self.readout.mode(),
            connected=self.bus.connected and self._watched,
            paused=(self.config.data / PAUSE).exists(),
            advisory=self.bus.advisory,
        )

    # the loop ----------------------------------------------------------------------------------

    def _settled(self) -> int:
        """Plant ms up to which everything has been heard: the present less what may still be under way."""
        return max(self.last_t, self.now() - int(500 * self.clock.speed)) if self._watched else self.last_t

    def _later(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            say("gateway", f"not carried out: {task.exception()}")

    def flush(self) -> None:
        """One group commit over all sources, when one is due."""
        if not any(u.due(GROUP_S) for u in self.uplinks.values()):
            return
        try:
            with self.store.transaction():
                for uplink in self.uplinks.values():
                    uplink.store()
                rows = [(self.home.root, tag, c.raw, c.total, c.t) for tag, c in self.readout.dirty()]
                self.store.db.executemany("INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?)", rows)
                if self.mapped is not None and (memory := self.mapped.memory()) is not None:
                    self.store.put(KEY, memory)
        except sqlite3.Error as error:
            for uplink in self.uplinks.values():
                uplink.not_stored()
            if str(error) != self._disk_says:
                self._disk_says = str(error)
                say("gateway", f"{self.store.path} cannot be written ({error}): nothing is sent until it can")
            return
        self._disk_says = ""
        self.readout.clean()
        if self.mapped is not None:
            self.mapped.kept()
        for uplink in self.uplinks.values():
            uplink.stored()

    def _periodic(self) -> None:
        now = time.monotonic()
        if now >= self._next["beat"]:
            self._next["beat"] = now + HEARTBEAT_S
            self._beat += 1
            self.bus.heartbeat(self._beat)
            for news in load_news(self.uplinks.values(), self._degraded):
                say("gateway", news)
            common = of_gateway(self.bus, self._watched, self._disk_says)
            self._troubles.look(self.uplinks.values() if self._linked else (), common, self.now())
        if now >= self._next["lease"] and self._watched:
            self._next["lease"] = now + 0.2
            self._later(self.commander.end_leases())
        if self.mapped is not None and self._watched and now >= self._next["mapped"]:
            self._next["mapped"] = now + MAPPED_S
            for told in self.mapped.advance(self._settled()):
                self._heard_tags(told)
        if self.config.tls is not None:
            self.certificates.look(now, linked=self._linked)
        if now >= self._next["snapshot"]:
            self._next["snapshot"] = now + SNAPSHOT_S
            step = self.steady.stepped()
            if step is not None:
                say("gateway", f"the machine's clock is {step / 1000:.1f} s off since it stepped; leases go on unmoved")
            if self._watched:
                for uplink in self.uplinks.values():
                    uplink.snapshot(self._settled())

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; what waits is on disk afterwards."""
        if self.store.get("plant_time") is not None:
            await self._start_links()
        bus = asyncio.get_running_loop().create_task(self._keep_bus(stop))
        try:
            while not stop.is_set():
                if bus.done():
                    bus.result()
                self._periodic()
                self.flush()
                for uplink in self.uplinks.values():
                    uplink.pump()
                await asyncio.sleep(TICK_S)
        finally:
            bus.cancel()
            await self._leave()

    async def _leave(self) -> None:
        """Say that the values are stale from now on, give the twin a moment to confirm it, and part."""
        for uplink in self.uplinks.values():
            uplink.snapshot(self.last_t, STALE)
        end = time.monotonic() + FAREWELL_S
        while time.monotonic() < end:
            await asyncio.sleep(TICK_S)
            self.flush()
            for uplink in self.uplinks.values():
                uplink.pump()
            if all(uplink.settled for uplink in self.uplinks.values()):
                break
        if self._linked:
            await asyncio.gather(*(self._part(u) for u in self.uplinks.values()))

    async def _part(self, uplink: Uplink) -> None:
        uplink.online = False
        await uplink.link.stop(lambda: uplink.farewell(self.now()))
