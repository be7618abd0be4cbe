"""Bare numbers and plain JSON from any MQTT client, by a map of topics to tags (`topics.yaml`).

    shop/turn/count: turn/count                                  # a bare number
    shop/+/temperature: {tag: "{1}/temperature", scale: 0.1}     # {1} is what the first + stands for
    erp/buffer: {tag: b1/level, field: levels.b1}                # one field of a JSON object

Such messages carry no sequence number, so what is lost cannot be asked for again: at most once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ingest.payloads import BIG, WireError
from ingest.readings import Plain
from sim.units import QuantityError
from sim.yamlfile import Fields, Item, Problems, WrongKindError, convert, read_tree

_TAG = re.compile(r"[A-Za-z0-9_.:/ {}-]{1,128}\Z")
_TAKEN = re.compile(r"[A-Za-z0-9_.:/ -]{1,128}\Z")
_PLACE = re.compile(r"\{(\d+)\}")


class TopicMapError(ValueError):
    """A topic map that cannot be used; `problems` are lines of `file:line: what, expected, found, what to do`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Rule:
    """Messages on `filter` are tag `tag`: the number (or that in `field`) x `scale` + `offset`."""

    filter: str
    tag: str
    field: tuple[str, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    line: int = 0

    def match(self, topic: str) -> tuple[str, ...] | None:
        """What the wildcards stand for, None where the topic does not match."""
        taken: list[str] = []
        want, have = self.filter.split("/"), topic.split("/")
        for k, part in enumerate(want):
            if part == "#":
                return (*taken, "/".join(have[k:]))
            if k >= len(have) or part not in ("+", have[k]):
                return None
            if part == "+":
                taken.append(have[k])
        return tuple(taken) if len(want) == len(have) else None

    def named(self, taken: tuple[str, ...]) -> str:
        """The tag with what the wildcards stand for put in."""
        return _PLACE.sub(lambda m: taken[int(m.group(1)) - 1], self.tag)


class TopicMap:
    """Rules in file order; the first that matches a topic holds."""

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self.rules = rules

    def filters(self) -> list[str]:
        """The topic filters to subscribe to."""
        return [rule.filter for rule in self.rules]

    def convert(self, topic: str, body: bytes, t: int) -> Plain:
        """The mapped reading of a message at plant ms `t`; raises WireError."""
        for rule in self.rules:
            taken = rule.match(topic)
            if taken is None:
                continue
            tag = rule.named(taken)
            if not is_tag(tag):
                raise WireError("bad_id", f"topic {topic[:100]!r} leads to the tag {tag[:100]!r}, which is no tag name")
            value = _number(body, rule) * rule.scale + rule.offset
            if not math.isfinite(value) or abs(value) > BIG:
                raise WireError("bad_number", f"{value} after scaling")
            return Plain(t, tag, value, topic)
        raise WireError("unmapped", f"no rule of the topic map matches {topic[:100]!r}")


def is_tag(text: str) -> bool:
    """Whether this may be the name of a tag."""
    return _TAKEN.match(text) is not None


def _number(body: bytes, rule: Rule) -> float:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        raise WireError("not_utf8", "the payload is not UTF-8") from None
    lowered = text.lower()
    if not rule.field and lowered in ("true", "on", "false", "off"):
        return 1.0 if lowered in ("true", "on") else 0.0
    try:
        value: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        reason = "bad_number" if lowered.lstrip("+-") in ("nan", "inf", "infinity") else "not_json"
        raise WireError(reason, f"expected a number, found {text[:60]!r} ({error})") from None
    for key in rule.field:
        if not isinstance(value, dict) or key not in value:
            raise WireError("wrong_type", f"no field {'.'.join(rule.field)} in {text[:100]!r}")
        value = value[key]
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, (int, float)):
        raise WireError("wrong_type", f"expected a number, found {str(value)[:60]!r}")
    if abs(value) > BIG:
        raise WireError("bad_number", f"{str(value)[:40]} is beyond +-2^53")
    return float(value)


def load(path: Path) -> TopicMap:
    """Read a topic map; raises TopicMapError with every problem."""
    problems = Problems(str(path))
    top = read_tree(path, problems)
    rules: list[Rule] = []
    if top is not None:
        try:
            entries = top.entries()
        except WrongKindError as error:
            problems.error(top.line, str(error))
            entries = {}
        for topic, item in entries.items():
            rule = _rule(topic, item)
            if rule is not None:
                rules.append(rule)
        if not entries and not problems.errors:
            problems.error(
                1, "the file: expected 'topic: tag' lines, found none; write for example 'shop/count: turn/count'"
            )
    if problems.errors:
        raise TopicMapError(problems.lines())
    return TopicMap(tuple(rules))


def _rule(topic: str, item: Item) -> Rule | None:
    _check_filter(topic, item)
    if not item.is_mapping:
        return Rule(topic, convert(item, _tag(topic), ""), line=item.line)
    fields = Fields(item, ("tag", "field", "scale", "offset"))
    tag = fields.need("tag", _tag(topic), "", "turn/count")
    none: tuple[str, ...] = ()
    field = fields.take("field", _path, none)
    return Rule(topic, tag, field, fields.take("scale", finite, 1.0), fields.take("offset", finite, 0.0), item.line)


def _check_filter(topic: str, item: Item) -> None:
    parts = topic.split("/")
    if not topic or topic.startswith(("ptw/", "$")) or parts[0] in ("+", "#"):
        item.fail(
            "a topic of another system", "our own topics (ptw/...) and filters that cover them need no map", repr(topic)
        )
    for k, part in enumerate(parts):
        if ("#" in part and (part != "#" or k != len(parts) - 1)) or ("+" in part and part != "+"):
            item.fail("an MQTT topic filter", "+ stands for one whole level, # for all the last ones", repr(topic))
            return


def _tag(topic: str) -> Any:
    wild = sum(part in ("+", "#") for part in topic.split("/"))

    def read(text: str) -> str:
        if not _TAG.match(text):
            raise QuantityError("a tag name of up to 128 letters, digits and _ . : / -", text, "correct it")
        for place in _PLACE.findall(text):
            if not 1 <= int(place) <= wild:
                raise QuantityError(f"{{1}} to {{{wild}}}", text, f"the filter {topic} has {wild} wildcards")
        if ("{" in _PLACE.sub("", text)) or ("}" in _PLACE.sub("", text)):
            raise QuantityError("{1}, {2}, ... in a tag", text, "correct the braces")
        return text

    return read


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split("."))


def finite(text: str) -> float:
    """A plain number; raises QuantityError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise QuantityError("a number", text, "write it plainly, for example 0.1")
    return value
