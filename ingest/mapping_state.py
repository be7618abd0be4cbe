"""The state of a work unit: enumerations, PackML, bits by priority; micro-stops, and reasons that come late."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any

from ingest.codes import UNIT_STATES
from ingest.mapping import Happening, Output, Raw, Rule
from ingest.mapping_source import UnreadableError, key_of, look, truth
from ingest.mapping_work import Heard, Memory, Worker, listing

DOWN = UNIT_STATES.index("down")
EARLY_MS = 10_000
"""A reason code may be written this much before the stop it explains."""
UNKNOWN = "unknown"
NO_STOP, PENDING, TOLD, OVER, MICRO = range(5)
"""Phases of the newest stop: none, below the threshold, told and standing, told and over, told as a micro-stop."""


class StateWorker(Worker):
    """Emits the state as a value and, where a threshold or reasons are declared, `down`, `up` and `micro_stop`."""

    def __init__(self, rule: Rule, memory: Memory | None = None) -> None:
        super().__init__(rule, memory)
        self.stops: Tally[str] = Tally()  # stops told so far of each thing; the engine gives all workers the same one
        self._tells = rule.microstop > 0 or rule.reason is not None

    def advance(self, t: int) -> list[Output]:
        """Debounce first, then the threshold of a stop."""
        return [*super().advance(t), *self._overdue(t)]

    def standing(self) -> int | None:
        """When the stop that stands now began, None where none does."""
        return self.m.stop if self.m.phase in {PENDING, TOLD} else None

    def told(self) -> bool:
        """Whether the newest stop has been told."""
        return self.m.phase in {TOLD, OVER}

    def join(self, past: StateWorker, stop: int) -> int:
        """The stop that began at `stop`, as far as was seen then, is the one that stands where the past ends.

        Gives how many of the two were told.
        """
        m, other = self.m, past.m
        if past.standing() is None or m.stop != stop or m.phase in {NO_STOP, MICRO}:
            return 0
        told = self.told() + past.told()
        if m.phase == PENDING:
            m.phase, m.stop_count = other.phase, other.stop_count
        m.stop = other.stop
        return told

    def _take(self, t: int, heard: Heard) -> list[Output]:
        out: list[Output] = []
        rule = self.rule
        if rule.reason is not None and rule.reason.source.raw in heard:
            try:
                out += self._reason(t, *heard[rule.reason.source.raw])
            except UnreadableError as error:
                self.refused.append(f"reason: {error}")
        names = {rule.source.raw} if rule.source else {c.source.raw for c in rule.choices if c.source}
        known = {name: heard[name] for name in names if name in heard}
        if not known:
            return out
        away = [quality for raw, quality in known.values() if self._away(raw, quality)]
        if away:
            return out + self._unknown(t, max(away))
        code = self._code(known)
        self.m.quality = max(quality for _, quality in known.values())
        if code is not None:
            self.m.watched = True
            for at, held in self._settle(t, code):
                out += self._settled(at, held)
        return out

    def _code(self, known: Heard) -> float | None:
        """The state that the sources show; None while one that decides has not been heard."""
        rule = self.rule
        if rule.source is not None:
            seen = key_of(look(rule.source, known[rule.source.raw][0]))
            code = rule.values.get(seen, rule.otherwise)
            if code is None:
                raise UnreadableError(f"expected one of the states {listing(rule.values)}, found {seen[:40]!r}")
            return code
        levels = self.m.levels
        for k, choice in enumerate(rule.choices):
            if choice.source is not None and choice.source.raw in known:
                levels[str(k)] = truth(choice.source, known[choice.source.raw][0])
        for k, choice in enumerate(rule.choices):
            level = 1.0 if choice.source is None else levels.get(str(k))
            if level is None:
                return None
            if level:
                return float(choice.code)
        return None

    # stops -----------------------------------------------------------------------------------------

    def _settled(self, t: int, value: float | str) -> list[Output]:
        code = float(value)
        if not self._tells:
            return [self._say(t, code, self.m.quality)]
        m = self.m
        if code == DOWN:
            if m.phase in {NO_STOP, OVER, MICRO}:
                m.stop, m.phase = t, PENDING
            return [self._say(t, code, m.quality)] if m.phase == TOLD else self._overdue(t)
        return [*self._end(t, code), self._say(t, code, m.quality)]

    def _overdue(self, t: int) -> list[Output]:
        """A stop that has lasted as long as the threshold is told, as of its beginning."""
        m = self.m
        if m.phase != PENDING or m.stop is None or t < m.stop + self.rule.microstop or not m.watched:
            return []
        m.phase = TOLD
        m.t = max(m.t, m.stop + self.rule.microstop)
        self.stops[self.rule.thing] += 1
        m.stop_count = self.stops[self.rule.thing]
        return [self._down(self._known_reason()), self._say(m.stop, DOWN, m.quality)]

    def _end(self, t: int, code: float) -> list[Output]:
        m = self.m
        if m.stop is None or m.phase not in {PENDING, TOLD}:
            return []
        told, began = m.phase == TOLD, m.stop
        short = t - began < self.rule.microstop
        text = self._known_reason()
        m.ended = t
        m.phase = OVER if told else MICRO
        if told:
            return [self._event(t, "up", UNIT_STATES[int(code)])]
        if not short:  # it was out of sight when the threshold passed: how long it stood nobody knows
            m.phase = NO_STOP
            return []
        return [self._micro(text)]

    def _known_reason(self) -> str | None:
        """The reason written since the stop before it ended, and not long before this one."""
        m, reason = self.m, self.rule.reason
        if reason is None or m.stop is None:
            return None
        since = m.stop - EARLY_MS if m.ended is None else max(m.stop - EARLY_MS, m.ended)
        fresh = m.reason_text is not None and m.reason_t >= since and m.reason_t <= m.stop + reason.within
        return m.reason_text if fresh else UNKNOWN

    def _reason(self, t: int, raw: Raw, quality: int) -> list[Output]:
        """A reason code: it completes the newest stop where it comes within the window."""
        m, reason = self.m, self.rule.reason
        if self._away(raw, quality) or reason is None:
            return []
        key = key_of(look(reason.source, raw))
        if key == m.reason_key:
            return []
        first, m.reason_key = m.reason_key is None, key
        m.reason_text, m.reason_t = (None if first else reason.texts.get(key)), t  # the first sight may be an old one
        if m.reason_text is None:
            if key not in {"0", ""} and key not in reason.texts:
                self.refused.append(f"expected a reason code of {listing(reason.texts)}, found {key[:40]!r}")
            return []
        if m.stop is None or t > m.stop + reason.within:
            return []
        if m.phase in {TOLD, OVER}:
            return [self._down(m.reason_text)]
        return [self._micro(m.reason_text)] if m.phase == MICRO else []

    def _down(self, text: str | None) -> Output:
        assert self.m.stop is not None
        return self._event(self.m.stop, "down", "down", text=text, count=self.m.stop_count)

    def _micro(self, text: str | None) -> Output:
        assert self.m.ended is not None
        return self._event(self.m.ended, "micro_stop", None, text=text, start=self.m.stop)

    def _event(self, t: int, kind: str, state: str | None, **more: Any) -> Output:
        rule = self.rule
        return Happening(t, kind, rule.thing, rule.unit, state=state, rule=rule.key, **more)
