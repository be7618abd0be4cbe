"""What a mapping makes of what is heard: counted by rule and by raw name, live or from a recording."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ingest.codes import GOOD, QUALITIES, UNIT_STATES
from ingest.mapping import Mapping, Output, Raw, Rule, Value
from ingest.mapping_guess import proposals
from ingest.mapping_metrics import Metrics
from sim.plant import Plant

if TYPE_CHECKING:
    from ingest.sparkplug_node import Sample

MOST_UNMAPPED = 2_000
"""Names beyond this many are counted together."""
MOST_TIMELINE = 100_000


class HistoryError(ValueError):
    """A recording that cannot be read: `file:line: what, expected, found, what to do`."""


@dataclass(slots=True)
class Heard:
    """A raw name: its newest value, how often it came, when, and what it last led to."""

    value: Raw
    n: int = 0
    t: int = 0
    led_to: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Told:
    """A rule: how much it has told, when first and last (plant ms), and the newest."""

    n: int = 0
    first: int = 0
    last: int = 0
    text: str = ""


class Preview:
    """Feed it with `hear` and `advance`; `report` is everything it has seen, as plain types."""

    def __init__(self, mapping: Mapping, plant: Plant, rule: str | None = None) -> None:
        self.mapping, self.plant = mapping, plant
        self.engine = mapping.engine()
        self.metrics = Metrics(self.engine, mapping.rules, {})
        self.sparkplug: dict[str, int] = {}  # refused messages of edge nodes, by reason
        self.unborn: list[str] = []  # edge nodes heard whose births were not
        self.rule = rule
        self.heard: dict[str, Heard] = {}
        self.unmapped: dict[str, Heard] = {}
        self.beyond = 0
        self.told = {rule.key: Told() for rule in mapping.rules}
        self.timeline: list[tuple[int, str]] = []
        self._states = {s.tag for s in plant.sensors if s.type == "enum"}

    def hear(self, t: int, name: str, value: Raw, quality: int = GOOD) -> None:
        """A raw value at plant ms `t`."""
        entry = self._entry_of(t, name, value)
        if entry is not None and self.engine.knows(name):
            outputs = self._note(self.engine.feed(t, name, value, quality))
            refused = [f"{key}: {text}" for key, text in self.engine.refused]
            entry.led_to = [*outputs, *refused] or entry.led_to

    def _entry_of(self, t: int, name: str, value: Raw) -> Heard | None:
        """Where a raw name is written down, None where there is no room for more."""
        known = self.engine.knows(name)
        where = self.heard if known else self.unmapped
        if name not in where:
            if not known and len(where) >= MOST_UNMAPPED:
                self.beyond += 1
                return None
            where[name] = Heard(value)
        entry = where[name]
        entry.value, entry.n, entry.t = value, entry.n + 1, t
        return entry

    def hear_metrics(self, node: str, samples: list[Sample]) -> None:
        """What a message of a Sparkplug edge node (GROUP/NODE) says; historical values wait until all were told."""
        for one in samples:
            if not one.historical:
                self._entry_of(one.t, one.name, one.value)
        outputs = self.metrics.take(node, samples).outputs
        texts = self._note(outputs)
        for name in dict.fromkeys(one.name for one in samples if one.name in self.heard):
            rules = {rule.key for rule in self._looking(name)}
            led_to = [text for output, text in zip(outputs, texts, strict=True) if output.rule in rules]
            led_to += [f"{key}: {text}" for key, text in self.engine.refused if key in rules]
            self.heard[name].led_to = led_to or self.heard[name].led_to

    def advance(self, t: int) -> None:
        """Time passes."""
        self._note(self.engine.advance(t))
        for _, outputs in self.metrics.due():
            self._note(outputs)

    def _note(self, outputs: list[Output]) -> list[str]:
        found = []
        for output in outputs:
            text = self.text(output)
            entry = self.told[output.rule]
            entry.first = output.t if not entry.n else min(entry.first, output.t)
            entry.n, entry.last, entry.text = entry.n + 1, output.t, text
            if output.rule == self.rule and len(self.timeline) < MOST_TIMELINE:
                self.timeline.append((output.t, text))
            found.append(text)
        return found

    def text(self, output: Output) -> str:
        """An output in a few words."""
        if isinstance(output, Value):
            number = f"{output.value:.15g}"
            shown = UNIT_STATES[int(output.value)] if output.tag in self._states else number
            spread = f" (up to {output.spread:g} off)" if output.spread else ""
            quality = "" if output.quality == GOOD else f" {QUALITIES[output.quality]}"
            return f"{output.tag} = {shown}{quality}{spread}"
        unit = f" unit {output.unit}" if output.unit is not None else ""
        more = [output.product or "", f"count {output.count}" if output.count is not None else "", output.text or ""]
        return " ".join([f"{output.kind} of {output.thing}{unit}", *(m for m in more if m)])

    def counts(self, name: str) -> str:
        """How many outputs each rule that looks at a raw name has given, those of its `each` events as well."""
        return "\n".join(f"{rule.key}: {self.told[rule.key].n}" for rule in self._looking(name))

    def _looking(self, name: str) -> list[Rule]:
        looking = [rule for rule in self.mapping.rules if any(s.raw == name for s in rule.sources())]
        tags = {rule.tag for rule in looking}
        return looking + [rule for rule in self.mapping.rules if rule.kind == "each" and rule.of in tags]

    def silent(self) -> list[str]:
        """Tags that have a rule and no value yet."""
        return [rule.tag for rule in self.mapping.rules if rule.tag and not self.told[rule.key].n]

    def report(self) -> dict[str, Any]:
        """Rules, raw names, what is unmapped, unheard or not fed, and proposed lines."""
        rules = []
        for rule in self.mapping.rules:
            told, (refused, why) = self.told[rule.key], self.engine.faults.get(rule.key, (0, ""))
            raw = list(dict.fromkeys(s.raw for s in rule.sources())) or [f"(each step of {rule.of})"]
            entry = {"rule": rule.key, "kind": rule.kind, "line": rule.line, "raw": raw, "outputs": told.n}
            if told.n:
                entry |= {"first": told.first, "last": told.last, "newest": told.text}
            rules.append(entry | ({"refused": refused, "why": why} if refused else {}))
        unmapped = {name: entry.value for name, entry in self.unmapped.items()}
        return {
            "file": self.mapping.file,
            "rules": rules,
            "raw": [
                _entry(name, self.heard[name]) | {"led_to": self.heard[name].led_to}
                for name in self.mapping.raw_names()
                if name in self.heard
            ],
            "unmapped": [_entry(name, entry) for name, entry in self.unmapped.items()],
            "unmapped_beyond": self.beyond,
            "unheard": [name for name in self.mapping.raw_names() if name not in self.heard],
            "silent": self.silent(),
            "unfed": list(self.mapping.unfed),
            "proposals": [p._asdict() for p in proposals(unmapped, self.mapping.unfed, self.plant)],
            "notes": [*self.mapping.notes, *self._sparkplug_notes()],
        }

    def _sparkplug_notes(self) -> list[str]:
        found = []
        if self.unborn:
            found.append(
                f"edge nodes whose births came before we listened: {', '.join(self.unborn)}; their metrics are not "
                "known until they are born again (--rebirth asks them to)"
            )
        if self.sparkplug:
            counted = ", ".join(f"{reason} {n}" for reason, n in sorted(self.sparkplug.items()))
            found.append(f"messages of edge nodes that were refused: {counted}")
        past = {what: n for what, n in self.metrics.past.counts.items() if n and what != "told"}
        if past:
            counted = ", ".join(f"{what} {n}" for what, n in sorted(past.items()))
            found.append(f"historical values that led to nothing: {counted} (docs/sparkplug.md)")
        return found


def _entry(name: str, entry: Heard) -> dict[str, Any]:
    return {"name": name, "value": shown(entry.value), "heard": entry.n, "t": entry.t}


def shown(value: Raw, most: int = 60) -> str:
    """A raw value as a person reads it."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else "nothing" if value is None else str(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def history(path: Path, zone: str) -> Iterator[tuple[int, str, str]]:
    """(plant ms, raw name, value) of a CSV file with the columns t, name and value; raises HistoryError.

    `t` is UTC milliseconds, or an ISO time (local in the plant's `zone` where it names none); rows are in
    order of time.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or []
            if not {"t", "name", "value"} <= set(columns):
                raise HistoryError(
                    f"{path}:1: expected the columns t, name, value, found {', '.join(columns) or 'none'}; add a first "
                    "line with these names"
                )
            tz = ZoneInfo(zone)
            for row in rows:
                yield _time(row["t"] or "", tz, f"{path}:{rows.line_num}"), row["name"] or "", row["value"] or ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HistoryError(
            f"{path}: expected a CSV file in UTF-8, found {error}; check the path and the file"
        ) from None


def _time(text: str, zone: ZoneInfo, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise HistoryError(
            f"{where}: t: expected UTC milliseconds or a time such as 2026-01-05T06:00:00, found {text[:40]!r}; "
            "correct it"
        ) from None
    return round((found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC).timestamp() * 1000)
