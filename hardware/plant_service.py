"""`plantwin plant`: the virtual plant as a process, with its fieldbus, its ERP and its truth log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from hardware.erp import Erp, erp_link
from hardware.fieldbus import FieldbusServer
from hardware.link import Link, host_port
from hardware.pace import MAX_SPEED, check_speed, wall_ms
from hardware.sampling import mean_of
from hardware.service import announce, retire, say, seconds_of, stop_on_signals
from hardware.twist import Twist
from hardware.virtual_plant import Options, VirtualPlant, script_of
from ingest.tls import Tls
from sim.plant import Plant
from sim.plantfile import load

STEP_S = 0.02
CERTIFICATE_S = 2.0
BEHIND_S = 30.0
"""Plant seconds of lag at speed 60 that deserve a warning (half a wall second)."""


@dataclass(frozen=True, slots=True)
class PlantOptions:
    """The command line of `plantwin plant`."""

    plant: str
    data: Path
    port: int
    speed: float
    seed: int
    warmup: str
    broker: str
    disturb: str
    twist: bool
    tls: Tls | None = None


def warmup_of(text: str, plant: Plant) -> float:
    """Seconds to fast-forward. `auto`: 3 days where there are shifts, else some thousand cycles, at most 3 days."""
    if text != "auto":
        return seconds_of(text)
    if plant.calendars or not plant.products:
        return 3 * 86400.0
    slowest = max(mean_of(step.work) for p in plant.products for step in p.steps) * plant.tick_s
    return min(3 * 86400.0, 3000 * slowest)


async def serve(options: PlantOptions) -> None:
    """Run until a signal comes. Errors are OSError and ValueError with one sentence."""
    check_speed(options.speed)
    described = load(options.plant)
    chosen = Options(
        seed=options.seed,
        speed=options.speed,
        warmup_s=warmup_of(options.warmup, described),
        twist=None if options.twist else Twist(),
        script=script_of(options.disturb, described),
    )
    address = host_port(options.broker, "--broker") if options.broker else None
    stop = stop_on_signals()
    options.data.mkdir(parents=True, exist_ok=True)
    plant = VirtualPlant(described, chosen)
    async with contextlib.AsyncExitStack() as stack:
        bus = await stack.enter_async_context(FieldbusServer(plant, options.port))
        plant.emit = bus.send
        erp: Erp | None = None
        link: Link | None = None
        if address is not None:
            erp, link = erp_link(plant, address, f"{wall_ms() // 1000:x}", options.tls)
            plant.erp = erp.paper
            link.start()
        plant.truth = stack.enter_context((options.data / "truth.jsonl").open("w"))
        plant.truth.write(json.dumps({"header": plant.header()}) + "\n")
        ready = announce(
            options.data,
            "plant",
            port=bus.port,
            host="127.0.0.1",
            plant=described.id,
            origin=plant.pace.origin,
            speed=options.speed,
        )
        say(
            "plant",
            f"{described.id} runs {options.speed:g} times as fast as the clock (at most {MAX_SPEED:g} is possible)",
        )
        say("plant", f"fieldbus on 127.0.0.1:{bus.port}; nothing is kept when it stops, a new start is another plant")
        await _live(plant, erp, link, stop)
        retire(ready)
        if link is not None:
            await link.stop()


async def _live(plant: VirtualPlant, erp: Erp | None, link: Link | None, stop: asyncio.Event) -> None:
    warned, looked = False, time.monotonic()
    while not stop.is_set():
        if link is not None and time.monotonic() - looked >= CERTIFICATE_S:
            looked = time.monotonic()
            await link.renew()
        plant.advance()
        if erp is not None:
            erp.tick()
        for tag in plant.check_heartbeat():
            say("plant", f"no heartbeat from the gateway: {tag} went back to what it was before the lease")
        allowed = BEHIND_S * max(1.0, plant.pace.speed / 60)
        if plant.lag_s > allowed and not warned:
            say("plant", f"falls behind its clock by {plant.lag_s:.0f} plant seconds: choose a lower --speed")
        warned = plant.lag_s > (allowed / 4 if warned else allowed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), STEP_S)
