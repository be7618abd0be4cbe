"""The gateway as a process."""

from __future__ import annotations

from hardware.gateway import Gateway
from hardware.gateway_config import GatewayConfig
from hardware.service import announce, retire, say, stop_on_signals
from hardware.store import Store
from sim.plantfile import load


async def serve(config: GatewayConfig) -> None:
    """Run until a signal comes. Errors are OSError, ValueError and RuntimeError with one sentence."""
    plant = load(config.plant)
    stop = stop_on_signals()
    config.data.mkdir(parents=True, exist_ok=True)
    with Store(config.data / "outbox.db") as store:
        gateway = Gateway(config, plant, store)
        for uplink in gateway.uplinks.values():
            if uplink.link.tls is not None:
                uplink.link.tls.context()  # what is wrong with a file is said now, not when the plant is heard
        epochs = {source: uplink.outbox.epoch for source, uplink in gateway.uplinks.items()}
        ready = announce(config.data, "gateway", port=None, url=None, sources=epochs)
        say("gateway", f"{plant.id}: {len(epochs)} source(s), fieldbus {config.fieldbus}, broker {config.broker}")
        await gateway.run(stop)
        retire(ready)
