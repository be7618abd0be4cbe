"""The tag-to-event layer: raw values of PLCs and foreign topics to tags and events of the plant (`mapping.yaml`).

    mapping = load(Path("mapping.yaml"), plant)          # MappingError: every problem, each with file and line
    mapping.raw_names()                                  # what to read from the field: ("holding/100:uint16", ...)
    engine = mapping.engine()
    for output in engine.feed(t, "holding/100:uint16", 6):   # plant ms, raw name, value, quality
        ...                                              # Value: a reading of a plant tag; Happening: an event
    engine.advance(t)                                    # time passes: debounce and stop thresholds come due
    memory = engine.memory()                             # plain JSON types; mapping.engine(memory) goes on from there

A *raw name* is an opaque text that an adapter understands: `ns=2;s=Turn.State`, `holding/100:uint16`, `coil/3`, an
MQTT topic, a column of a CSV file. A raw value is a number, a truth value, a text or bytes (numbers in texts are
read, a rule with `field` reads JSON), or None where there is none. What comes out depends on what went in and on
nothing else: no clock is read. The page for plant engineers is `docs/mapping.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from ingest.codes import GOOD

if TYPE_CHECKING:
    from ingest.mapping_engine import Engine
    from sim.plant import Plant

Raw: TypeAlias = float | int | bool | str | bytes | None
"""A raw value as an adapter gives it; None where there is none (then the quality says why)."""


class Value(msgspec.Struct, frozen=True):
    """A reading of a plant tag: `value` at plant ms `t`, states by their code, counters unwrapped.

    `spread` is how far a counter may be off after a drop that can be read in two ways (then `quality` is
    uncertain); `rule` is the key of the rule it comes from.
    """

    t: int
    tag: str
    value: float
    quality: int = GOOD
    spread: float = 0.0
    rule: str = ""


class Happening(msgspec.Struct, frozen=True):
    """An event as in docs/wire.md: `kind` of `thing` at plant ms `t`, with the `count` or `state` it leads to.

    `start` is plant ms at which something that is told when over began; `rule` is the key of the rule.
    """

    t: int
    kind: str
    thing: str
    unit: int | None = None
    product: str | None = None
    count: int | None = None
    state: str | None = None
    text: str | None = None
    start: int | None = None
    rule: str = ""

    def payload(self) -> dict[str, Any]:
        """The fields of an event on the wire, without `e` and `s`."""
        names = ("t", "kind", "thing", "unit", "product", "count", "state", "text", "start")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


Output: TypeAlias = Value | Happening
"""What a rule gives."""


class MappingError(ValueError):
    """A mapping that cannot be used; `problems` are lines of `file:line: what, expected, found, what to do`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Source:
    """What a rule looks at: a raw name, perhaps a field of its JSON, `width` bits from bit `low` on (None: the value).

    `signed` reads the bits as two's complement; `equals` turns the value into the truth of `value == equals`;
    `negate` turns that, or a bit, round.
    """

    raw: str
    field: tuple[str, ...] = ()
    low: int | None = None
    width: int = 1
    signed: bool = False
    equals: str | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a `priority` list: state `code` holds while `source` is true (always, where it is None)."""

    code: int
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Codes that say why a unit stopped: `texts` by code, taken up to `within` ms after the stop began."""

    source: Source
    texts: Dict[str, str]
    within: int


@dataclass(frozen=True, slots=True)
class Resets:
    """When a counter register starts anew: `never`, `sometimes` (shift, job: nobody tells), `daily` at a local time
    (`minute` of the day, in `zone`), or `told` by a bit (`source`).
    """

    kind: Literal["never", "sometimes", "daily", "told"] = "never"
    minute: int = 0
    zone: str = "UTC"
    source: Source | None = None


Kind: TypeAlias = Literal["value", "state", "counter", "edges", "edge", "codes", "each"]
Edge: TypeAlias = Literal["rising", "falling", "both"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the file. `key` is the tag, or `event N KIND of THING`; `line` its line in the file.

    `kind`: `value` (a number), `state` (of a unit, by `values` or `choices`), `counter` (a register), `edges`
    (a count of edges), `edge` (an event at an edge), `codes` (an event for each listed code), `each` (an event for
    each step of the counter `of`). Times in ms; `deadband` in units of the tag; `bits` None: never wraps.
    """

    key: str
    kind: Kind
    line: int = 0
    source: Source | None = None
    tag: str | None = None
    whole: bool = False  # the tag takes whole numbers only
    scale: float = 1.0
    offset: float = 0.0
    deadband: float = 0.0
    debounce: int = 0
    values: Dict[str, float] = field(default_factory=dict)  # lower-case text of the raw value -> number
    otherwise: float | None = None
    choices: tuple[Choice, ...] = ()
    microstop: int = 0
    reason: Reason | None = None
    bits: int | None = None
    resets: Resets = field(default_factory=Resets)
    edge: Edge = "rising"
    texts: Dict[str, str] = field(default_factory=dict)
    of: str | None = None
    event: Happening | None = None  # what an event rule tells, but for time and count
    thing: str = ""  # of a state rule: whose stops it tells
    unit: int | None = None

    def sources(self) -> tuple[Source, ...]:
        """Everything it looks at."""
        found = [self.source, *(c.source for c in self.choices), self.resets.source]
        found.append(self.reason.source if self.reason else None)
        return tuple(s for s in found if s is not None)


@dataclass(frozen=True)
class Mapping:
    """The rules of a file, tags first, each group in file order. `notes` are things worth knowing, not errors."""

    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()
    unfed: tuple[str, ...] = ()
    file: str = ""

    def raw_names(self) -> tuple[str, ...]:
        """Every raw name that some rule looks at, once, in file order."""
        return tuple(dict.fromkeys(s.raw for rule in self.rules for s in rule.sources()))

    def tags(self) -> tuple[str, ...]:
        """The plant tags that the rules feed, in file order."""
        return tuple(rule.tag for rule in self.rules if rule.tag is not None)

    def engine(self, memory: Any = None) -> Engine:
        """The rules at work, anew or from what `Engine.memory()` gave; MappingError where that cannot be read."""
        from ingest.mapping_engine import Engine

        return Engine(self.rules, memory)


def load(path: Path, plant: Plant) -> Mapping:
    """Read a mapping and check it against the plant; raises MappingError with every problem."""
    from ingest.mapping_read import read

    return read(path, plant)


def is_mapping(path: Path) -> bool:
    """Whether a file is a mapping (its first key is `mapping:`) and not a simple topic map."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    lines: Iterable[str] = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return next((line.split(":")[0].strip() == "mapping" for line in lines if line.strip() != "---"), False)
