"""A fieldbus made of an adapter and a table `tag: raw name`: samples become the gateway's messages.

It speaks the three messages of `hardware.fieldbus` (hello, values, and answers to reads and writes), so that the
gateway does not know what is behind it. Here device times are placed on the plant's clock, and here
a setpoint becomes the words of the PLC's part of a lease (`docs/plc.md`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from hardware.adapter import Adapter, FieldbusError, Sample, worse
from hardware.deviceclock import DeviceClock
from hardware.plcnodes import PlcNodes, beat
from hardware.service import say
from ingest.wire import BAD, GOOD

CLOCK_TAGS = ("clock/skew_ms", "clock/flagged")
"""Own tags of a source whose device stamps its readings: the estimated skew, and how many readings were flagged."""
SKEW_NEWS_MS = 100
LOOK_AGAIN_S = 0.05


class TagBus:
    """`TagBus(adapter, {tag: raw}, listen, now, plc)`; `now()` is plant time in ms.

    `advisory`: control -> why the PLC cannot hold a lease of it. `notes`: raw name -> what is wrong with it.
    """

    def __init__(
        self,
        adapter: Adapter,
        names: Mapping[str, str],
        listen: Callable[[dict[str, Any]], None],
        now: Callable[[], int],
        clock: DeviceClock | None = None,
    ) -> None:
        self._adapter, self._names, self._listen, self._now = adapter, dict(names), listen, now
        self._tags: dict[str, list[str]] = {}
        for tag, raw in names.items():
            self._tags.setdefault(raw, []).append(tag)
        self.device = clock if adapter.timed else None
        self.plc = PlcNodes()
        self.advisory: Mapping[str, str] = {}
        self.notes: dict[str, str] = {}
        self._seen: dict[str, int | float | str] = {}
        self._told: tuple[int | None, int] = (None, 0)
        self._beating: asyncio.Task[None] | None = None
        self._beats = int(time.time())  # so that a restart does not begin with the number that stands there
        self._beat_says = ""

    def holds(self, plc: PlcNodes, controls: list[str]) -> None:
        """The PLC's part of leases, and the plant's controls."""
        self.plc, self.advisory = plc, plc.advisory(controls, self._names)

    @property
    def names(self) -> Mapping[str, str]:
        """The table: tag (or raw name, where a mapping makes tags of them) -> raw name."""
        return self._names

    @property
    def connected(self) -> bool:
        return self._adapter.connected

    async def run_once(self) -> None:
        """Connect and hand out messages until the connection ends; OSError when there is none."""
        try:
            await self._adapter.run_once(self._heard)
        except (OSError, ValueError):
            raise
        except Exception as error:  # a fault of a library or of a server's answer must not end the gateway
            raise FieldbusError(f"unexpected {type(error).__name__}: {error}") from error

    # samples in ---------------------------------------------------------------------------------

    def _heard(self, samples: Mapping[str, Sample], everything: bool) -> None:
        if everything:
            self._listen({"hello": self._hello()})
        arrival = self._now()
        groups: dict[int, dict[str, tuple[Any, int]]] = {}
        for raw, sample in samples.items():
            self._note(raw, sample)
            for tag in self._tags.get(raw, ()):
                t, quality = self._placed(tag, sample, arrival, everything)
                groups.setdefault(t, {})[tag] = (_value(sample), quality)
        for t in sorted(groups) or [arrival] * everything:
            self._tell(t, groups.get(t, {}), everything)
        self._tell_clock()

    def _hello(self) -> dict[str, Any]:
        own = CLOCK_TAGS if self.device is not None else ()
        hello: dict[str, Any] = {"tags": [{"name": tag} for tag in (*self._names, *own)]}
        clock = self._adapter.clock
        return hello if clock is None else {**hello, "origin": clock.origin, "speed": clock.speed, "wall": clock.wall}

    def _placed(self, tag: str, sample: Sample, arrival: int, everything: bool) -> tuple[int, int]:
        """Time and quality. The first image says how things stand now; when they last changed is not asked."""
        if everything:
            if self.device is not None:
                self.device.seen(tag, arrival)
            return arrival, sample.quality
        if sample.t is None:
            return arrival, sample.quality
        if self.device is None:
            return min(sample.t, arrival), sample.quality  # a recording tells the time itself
        t, quality = self.device.place(tag, sample.t, arrival)
        return t, worse(quality, sample.quality)

    def _tell(self, t: int, values: Mapping[str, tuple[Any, int]], everything: bool) -> None:
        message: dict[str, Any] = {"t": t, "v": {tag: v for tag, (v, _) in values.items()}}
        message["q"] = {tag: q for tag, (_, q) in values.items() if q != GOOD}
        if everything:
            message["all"] = True
        self._seen.update({tag: v for tag, (v, _) in values.items() if v is not None})
        self._listen(message)

    def _tell_clock(self) -> None:
        """The estimate as tags of its own, when it has moved or something was flagged."""
        if self.device is None or self.device.skew_ms is None:
            return
        skew, flagged = self.device.skew_ms, self.device.flagged
        known, before = self._told
        if known is None or abs(skew - known) >= SKEW_NEWS_MS or flagged // 10 != before // 10:
            self._told = (skew, flagged)
            self._listen({"t": self._now(), "v": dict(zip(CLOCK_TAGS, self._told, strict=True))})

    def _note(self, raw: str, sample: Sample) -> None:
        """What is wrong with a raw name is said once, and again when it is something else."""
        if sample.note and self.notes.get(raw) != sample.note:
            say("gateway", f"{raw}: {sample.note}")
        if sample.note:
            self.notes[raw] = sample.note
        elif sample.quality == GOOD:
            self.notes.pop(raw, None)

    # reads and writes ---------------------------------------------------------------------------

    async def samples(self, *tags: str) -> dict[str, Sample]:
        """The present samples of tags, {tag: sample}; FieldbusError when nobody answers."""
        raws = {tag: self._names[tag] for tag in tags if tag in self._names}
        found = await self._adapter.read(list(dict.fromkeys(raws.values())))
        return {tag: found[raw] for tag, raw in raws.items() if raw in found}

    async def read(self, *tags: str) -> dict[str, Any]:
        """Values of tags, {tag: value}; what has no usable value is left out."""
        found = {tag: _value(sample) for tag, sample in (await self.samples(*tags)).items()}
        return {tag: value for tag, value in found.items() if value is not None}

    async def write(self, tag: str, value: int, fallback: int | None = None) -> dict[str, Any]:
        """Ask the PLC for a setpoint; without `fallback` it is not leased (the value stays when we are gone).

        The answer has `ok` once the PLC shows the value, or `why` it does not.
        """
        control = tag.removeprefix("set/")
        if control == tag or control in self.advisory or control not in self.plc.controls:
            why = self.advisory.get(control, f"{tag} is no setpoint of a control")
            return {"ok": False, "why": why}
        nodes = self.plc.controls[control]
        if tag not in self._seen:
            return {"ok": False, "why": f"{tag} was never heard, so what a write would replace is not known"}
        found = (await self._adapter.read([nodes.serial])).get(nodes.serial)
        serial = _value(found) if found is not None else None
        if not isinstance(serial, int):
            raise FieldbusError(f"{nodes.serial}: expected a serial number, found {serial!r}")
        kept = value if fallback is None else fallback
        alive = [(word, self._next_beat()) for word in [self.plc.heartbeat_of(control)] if word is not None]
        words = nodes.items(value, kept, int(self._seen[tag]), serial)
        await self._adapter.write(alive + words)
        return await self._read_back(tag, value, nodes.taken, words[-1][1])

    async def _read_back(self, tag: str, value: int, taken: str | None, serial: int) -> dict[str, Any]:
        """Look until the PLC's scan has taken the request over, or its time is up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.plc.readback_s
        while True:
            # the serial number first: the block writes it last
            looked = taken is None or _value((await self._adapter.read([taken]))[taken]) == serial
            shown = (await self.read(tag)).get(tag)
            if looked and shown == value:
                self._seen[tag] = value
                return {"ok": True, "value": value}
            if loop.time() >= end:
                told = "changed at the machine, or not automatic" if looked else "it has not looked at the request"
                why = f"the PLC did not take {value} over, it shows {shown}: {told}"
                return {"ok": False, "why": why, "value": shown}
            await asyncio.sleep(LOOK_AGAIN_S)

    def heartbeat(self, n: int) -> None:  # noqa: ARG002 - the words count by themselves
        """Write the heartbeat words; one that is still under way is not overtaken.

        The words have a count of their own, which a request moves too: a PLC takes no request of one it has not heard.
        """
        words = self.plc.heartbeats()
        if words and self.connected and (self._beating is None or self._beating.done()):
            self._beating = asyncio.get_running_loop().create_task(self._beat(words, self._next_beat()))

    def _next_beat(self) -> int:
        self._beats += 1
        return beat(self._beats)

    async def _beat(self, words: list[str], n: int) -> None:
        said = ""
        for word in words:
            try:
                await self._adapter.write([(word, n)])
            except FieldbusError as error:
                said = str(error)
        if said and said != self._beat_says:
            say("gateway", f"heartbeat: {said}; the PLC will fall back")
        self._beat_says = said


def _value(sample: Sample) -> int | float | str | None:
    """What may be used as a value: nothing of a bad sample (a counter that shows 0 by fault was not reset)."""
    if sample.quality == BAD:
        return None
    return int(sample.value) if isinstance(sample.value, bool) else sample.value
