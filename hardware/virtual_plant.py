"""A plant that is not there: the SimPy shop behind sensors, setpoints and a paced clock.

It keeps nothing through its end: started again it is another plant, with a new origin of time,
new counters and new document numbers, and gateways start a new epoch for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from hardware.load import bottleneck
from hardware.openings import start_of
from hardware.pace import Pace
from hardware.sensors import MODES, Image
from hardware.shop import Shop
from hardware.shop_limits import refuse
from hardware.twist import Twist, draw_twist
from sim.plant import Plant

HEARTBEAT_TIMEOUT_S = 30.0
"""Wall seconds without the gateway's heartbeat after which the PLC takes leased setpoints back."""
TRUTH_EVERY_S = 60.0
SLICE_S = 0.05
"""Longest wall time spent on the model before the bus is served again."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A breakdown of one machine, `after_min` plant minutes after going live, lasting `minutes`."""

    after_min: float
    station: str
    minutes: float


def script_of(name: str, plant: Plant) -> tuple[Disturbance, ...]:
    """Disturbances by name: `auto` (the demo's, for gearmotor only), `none`, `bottleneck`, or a JSON file.

    The file is a list of `{"after_min": 15, "station": "mill", "minutes": 60}`; ValueError says what is wrong with it.
    """
    if name == "none" or (name == "auto" and plant.id != "gearmotor"):
        return ()
    if name in ("auto", "bottleneck", "gearmotor"):
        return (Disturbance(15.0, bottleneck(plant), 240.0),)  # a spindle: half a shift
    known = {s.id for s in plant.stations}
    try:
        found = tuple(Disturbance(**entry) for entry in json.loads(Path(name).read_text()))
    except (OSError, ValueError, TypeError) as error:
        expected = 'a JSON list of {"after_min", "station", "minutes"}'
        raise ValueError(f"--disturb {name}: expected auto, none, bottleneck or {expected}; {error}") from error
    for d in found:
        if d.station not in known:
            raise ValueError(
                f"--disturb {name}: station {d.station!r} is not in plant {plant.id}; it has {', '.join(sorted(known))}"
            )
    return found


@dataclass(frozen=True, slots=True)
class Options:
    """How a virtual plant is started. `warmup_s` is fast-forwarded before going live."""

    seed: int = 1
    speed: float = 60.0
    warmup_s: float = 3 * 86400.0
    twist: Twist | None = None  # None: drawn from the seed
    script: tuple[Disturbance, ...] = ()


class VirtualPlant:
    """The running plant. `emit(message)` receives what goes to the fieldbus; `erp` what goes to the ERP."""

    def __init__(self, plant: Plant, options: Options, mono: Callable[[], float] = time.monotonic) -> None:
        refuse(plant)
        self.plant, self.options = plant, options
        self.twist = options.twist if options.twist is not None else draw_twist(plant, options.seed)
        self.shop = Shop(plant, options.seed, self.twist)
        self.start_ms = int(start_of(plant).timestamp() * 1000)
        self._mono = mono
        self.live_s = self._warm_up()
        self.image = Image(self.shop)
        self.pace = Pace(self.ms(self.live_s), options.speed, mono=mono)
        self.emit: Callable[[dict[str, Any]], None] = lambda _: None
        self.erp: Callable[[dict[str, Any]], None] = lambda _: None
        self.truth: TextIO | None = None
        self.lag_s = 0.0  # plant seconds behind the clock
        self._next_truth = self.live_s
        self._fallback: dict[str, int] = {}
        self._beat = mono()
        for disturbance in options.script:
            self.shop.env.process(self._disturb(disturbance))

    def ms(self, seconds: float) -> int:
        """Plant seconds since the start as UTC milliseconds."""
        return self.start_ms + round(seconds * 1000)

    def _warm_up(self) -> float:
        """Run to the first quarter hour after the warm-up at which the plant has been open for half an hour."""
        at = self.options.warmup_s
        self.shop.run(at)
        used = {s.calendar for s in self.plant.stations if s.calendar}
        for _ in range(14 * 96):
            openings = [self.shop.openings[c] for c in used]
            if all(o.open and at - o.opened_at >= 1800 for o in openings):
                return at
            at += 900.0
            self.shop.run(at)
        return at

    def _disturb(self, disturbance: Disturbance) -> Any:
        yield self.shop.env.timeout(disturbance.after_min * 60)
        self.shop.stations[disturbance.station].units[0].break_down(disturbance.minutes * 60)

    # the fieldbus asks -----------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        pace = self.pace
        return {"origin": pace.origin, "speed": pace.speed, "wall": pace.wall, "tags": self.image.tags}

    def values(self) -> dict[str, Any]:
        return {"t": self.ms(self.shop.env.now), "v": dict(self.image.shown), "all": True}

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A setpoint or the mode; refusals are answers, nothing is changed by them."""
        tag, value, local = request.get("tag"), request.get("value"), bool(request.get("local"))
        if isinstance(value, bool) or not isinstance(value, int):
            return {"ok": False, "why": f"{tag}: expected an integer, found {value!r}"}
        if tag == "mode":
            if not local or value not in range(len(MODES)):
                return {"ok": False, "why": "mode is switched at the machine only, to 0 (auto) or 1 (manual)"}
            self.image.mode = MODES[value]
            return self._written("mode", value)
        control = next((c for c in self.plant.controls if tag == f"set/{c.id}"), None)
        if control is None:
            return {"ok": False, "why": f"{tag}: no such setpoint"}
        if not control.low <= value <= control.high:
            return {"ok": False, "why": f"{tag}: {value} is outside {control.low}..{control.high}"}
        if self.image.mode != "auto" and not local:
            return {"ok": False, "why": "the plant is in manual mode"}
        self._fallback.pop(f"set/{control.id}", None)
        fallback = request.get("fallback")
        if isinstance(fallback, int) and not local:
            self._fallback[f"set/{control.id}"] = fallback
        self.shop.set(control.sets, value)
        return self._written(f"set/{control.id}", value)

    def _written(self, tag: str, value: int) -> dict[str, Any]:
        self._publish(self.image.scan(self.shop.env.now))
        return {"ok": True, "value": value, "tag": tag}

    def heartbeat(self, n: int) -> None:  # noqa: ARG002 - the word's value only has to change
        self._beat = self._mono()

    def check_heartbeat(self) -> list[str]:
        """Bumpless fallback: without the gateway's heartbeat leased setpoints return to what they were. Names them."""
        if not self._fallback or self._mono() - self._beat <= HEARTBEAT_TIMEOUT_S:
            return []
        back, self._fallback = self._fallback, {}
        for control in self.plant.controls:
            value = back.get(f"set/{control.id}")
            if value is not None:
                self.shop.set(control.sets, value)
        self._publish(self.image.scan(self.shop.env.now))
        return sorted(back)

    # time goes on ----------------------------------------------------------------------------

    def advance(self) -> None:
        """Bring the plant up to its clock, for at most `SLICE_S` of wall time; `lag_s` says what is missing."""
        target = (self.pace.now() - self.start_ms) / 1000
        give_up = self._mono() + SLICE_S
        env = self.shop.env
        while env.now < target and self._mono() <= give_up:
            stop = min(target, self._next_truth)
            while env.peek() < stop and self._mono() <= give_up:
                env.step()
                if env.peek() > env.now:
                    self._publish(self.image.scan(env.now))
            if env.peek() < stop:
                break
            if stop > env.now:
                env.run(until=stop)
                self._publish(self.image.due(stop))
            if stop >= self._next_truth:
                self._tell_truth()
                self._next_truth += TRUTH_EVERY_S
        self.lag_s = max(0.0, target - env.now)
        self._hand_papers_over()

    def run_to(self, seconds: float) -> None:
        """Bring the plant to plant second `seconds`, however long that takes: no clock is waited for (recordings)."""
        env = self.shop.env
        while env.now < seconds:
            stop = min(seconds, self._next_truth) if self._next_truth > env.now else seconds
            while env.peek() < stop:
                env.step()
                if env.peek() > env.now:
                    self._publish(self.image.scan(env.now))
            env.run(until=stop)
            self._publish(self.image.due(stop))
            self._hand_papers_over()
            if stop >= self._next_truth:
                self._tell_truth()
                self._next_truth += TRUTH_EVERY_S

    def _publish(self, lines: list[tuple[str, float, dict[str, Any]]]) -> None:
        for kind, seconds, content in lines:
            self.emit({"t": self.ms(seconds), kind: content})

    def _hand_papers_over(self) -> None:
        for paper in self.shop.papers:
            self.erp(paper)
        self.shop.papers.clear()

    def header(self) -> dict[str, Any]:
        """First line of the truth log: what this plant really is."""
        return {
            "plant": self.plant.id,
            "seed": self.options.seed,
            "origin": self.pace.origin,
            "speed": self.pace.speed,
            "wall": self.pace.wall,
            "twist": self.twist.header(),
            "disturbances": [asdict(d) for d in self.options.script],
        }

    def snapshot(self) -> dict[str, Any]:
        """One line of the truth log."""
        shop = self.shop
        return {
            "t": self.ms(shop.env.now),
            "wip": {k: s.wip for k, s in shop.stations.items()},
            "stock": {k: r.on_hand for k, r in shop.rooms.items()},
            "done": sum(shop.finished.values()),
            "backorder": {k: r.backorders for k, r in shop.rooms.items()},
            "on_order": {k: r.on_order for k, r in shop.rooms.items()},
            "product_wip": dict(shop.wip),
            "finished": dict(shop.finished),
            "down": [u.name for s in shop.stations.values() for u in s.units if u.state == "down"],
            "state": {u.name: u.state for s in shop.stations.values() for u in s.units},
            "set": {c.id: shop.settings[c.sets] for c in self.plant.controls},
            "mode": self.image.mode,
        }

    def _tell_truth(self) -> None:
        if self.truth is not None:
            self.truth.write(json.dumps(self.snapshot(), separators=(",", ":")) + "\n")
            self.truth.flush()
