"""YAML read as a tree in which every node knows its line, and a reader that collects every problem.

Only the node graph is built (never Python objects from tags), so loading is safe. Values stay texts: what
`1:30` or `yes` means is for the caller to say. Commas, colons and brackets inside parentheses on one line
belong to the text, so that `{work: gamma(mean=55 s, cv=0.4)}` needs no quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from sim.units import QuantityError, suggestion

T = TypeVar("T")

MAX_BYTES = 8_000_000
"""A larger file is refused: nothing a person writes comes near it."""

_HIDDEN = str.maketrans(",:[]#", "\ue000\ue001\ue002\ue003\ue004")
_SHOWN = str.maketrans("\ue000\ue001\ue002\ue003\ue004", ",:[]#")
_PARENTHESES = re.compile(r"\(([^()\n\"']*)\)")
_MAX_MERGES = 1000


def visible(node: yaml.ScalarNode) -> str:
    """The text of a scalar as it was written."""
    return str(node.value).translate(_SHOWN).strip()


@dataclass
class Problems:
    """Errors (`file:line: what, expected, found, what to do`) and notes of one file, in the order found."""

    file: str
    errors: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def error(self, line: int, what: str) -> None:
        if (line, what) not in self.errors:
            self.errors.append((line, what))

    def note(self, what: str) -> None:
        self.notes.append(what)

    def lines(self) -> list[str]:
        """All errors, by line."""
        return [f"{self.file}:{line}: {what}" for line, what in sorted(self.errors, key=lambda e: e[0])]


class WrongKindError(ValueError):
    """The node is a mapping where a text is needed, or the like. The message is the problem."""


@dataclass(frozen=True)
class Item:
    """One node: a text, a list or a mapping. `what` names it in messages (`station turn, units`)."""

    node: yaml.Node
    what: str
    problems: Problems

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_empty(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == "tag:yaml.org,2002:null"

    def shown(self) -> str:
        """The node in a few words, for messages."""
        if isinstance(self.node, yaml.ScalarNode):
            text = str(self.node.value).translate(_SHOWN)
            return "nothing" if self.is_empty else f"'{text[:60]}'"
        return "a mapping" if self.is_mapping else "a list"

    def fail(self, expected: str, todo: str, found: str | None = None) -> None:
        """Record a problem with this node."""
        self.problems.error(self.line, f"{self.what}: expected {expected}, found {found or self.shown()}; {todo}")

    def text(self) -> str:
        """The text of a scalar; raises `WrongKindError` for anything else."""
        if not isinstance(self.node, yaml.ScalarNode) or self.is_empty:
            raise WrongKindError(f"{self.what}: expected a value, found {self.shown()}; write a single value here")
        return str(self.node.value).translate(_SHOWN).strip()

    def elements(self) -> list[Item]:
        """The elements of a list; raises `WrongKindError` for anything else."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise WrongKindError(f"{self.what}: expected a list, found {self.shown()}; write [a, b] or lines with '- '")
        return [Item(child, f"{self.what} {n}", self.problems) for n, child in enumerate(self.node.value, 1)]

    def entries(self) -> dict[str, Item]:
        """The entries of a mapping, merges (`<<`) resolved; duplicate keys are problems.

        Raises `WrongKindError` for anything else; an empty node is an empty mapping.
        """
        if self.is_empty:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise WrongKindError(f"{self.what}: expected a mapping, found {self.shown()}; write 'key: value' lines")
        own: dict[str, Item] = {}
        for key, value in self.node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = str(key.value).translate(_SHOWN) if isinstance(key, yaml.ScalarNode) else "?"
            if name in own:
                line = int(key.start_mark.line) + 1
                self.problems.error(line, f"{self.what}: expected each key once, found '{name}' again; remove one")
            own[name] = Item(value, f"{self.what}, {name}" if self.what else name, self.problems)
        for name, value in self._merged():
            own.setdefault(name, Item(value, f"{self.what}, {name}" if self.what else name, self.problems))
        return own

    def _merged(self) -> Iterator[tuple[str, yaml.Node]]:
        """Key-value pairs that `<<` brings in, nearest first."""
        seen = 0
        waiting = [value for key, value in self.node.value if key.tag == "tag:yaml.org,2002:merge"]
        while waiting:
            node = waiting.pop(0)
            seen += 1
            if seen > _MAX_MERGES:
                self.fail("a few merges", "the merges (<<) of this mapping refer to each other", "a circle")
                return
            if isinstance(node, yaml.SequenceNode):
                waiting[:0] = node.value
            elif isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.tag == "tag:yaml.org,2002:merge":
                        waiting.append(value)
                    elif isinstance(key, yaml.ScalarNode):
                        yield str(key.value).translate(_SHOWN), value
            else:
                self.fail("an anchored mapping after '<<:'", "write '<<: *anchor'")
                return


class Fields:
    """Reads the known keys of a mapping; unknown ones are problems with a suggestion.

    `later` maps keys that plant files will know one day to the name of the feature: they are refused by name.
    `refused` maps keys that they never will to what to do instead.
    """

    def __init__(
        self,
        item: Item,
        known: Iterable[str],
        later: Mapping[str, str] | None = None,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self.item = item
        self.entries: dict[str, Item] = {}
        names = list(known)
        try:
            self.entries = item.entries()
        except WrongKindError as err:
            item.problems.error(item.line, str(err))
        for name, entry in self.entries.items():
            if name in names:
                continue
            if refused and name in refused:
                place = item.what or "the file"
                entry.problems.error(entry.line, f"{place}: expected no such key, found '{name}'; {refused[name]}")
            elif later and name in later:
                todo = "this feature is not in this version: take the line out"
                entry.problems.error(entry.line, f"{entry.what}: {later[name]} found; {todo}")
            elif not name.startswith("x-"):
                todo = suggestion(name, names)
                place = item.what or "the file"
                entry.problems.error(entry.line, f"{place}: expected a known key, found '{name}'; {todo}")

    def has(self, key: str) -> bool:
        return key in self.entries and not self.entries[key].is_empty

    def line(self, key: str) -> int:
        return self.entries[key].line if key in self.entries else self.item.line

    def take(self, key: str, read: Callable[[str], T], default: T) -> T:
        """The value of an optional key; `default` also when it cannot be read (then a problem is recorded)."""
        if not self.has(key):
            return default
        return convert(self.entries[key], read, default)

    def need(self, key: str, read: Callable[[str], T], default: T, example: str) -> T:
        """As `take`, but absence is a problem. `example` shows what to write."""
        if not self.has(key):
            what = self.item.what or "the file"
            self.item.problems.error(
                self.item.line, f"{what}: expected the key '{key}', found none; write for example '{key}: {example}'"
            )
            return default
        return convert(self.entries[key], read, default)

    def mapping(self, key: str) -> dict[str, Item]:
        """The entries under `key`, empty when it is absent or no mapping (then a problem is recorded)."""
        if not self.has(key):
            return {}
        try:
            return self.entries[key].entries()
        except WrongKindError as err:
            self.item.problems.error(self.entries[key].line, str(err))
            return {}

    def sequence(self, key: str) -> list[Item]:
        """The elements under `key`, empty when it is absent or no list (then a problem is recorded)."""
        if not self.has(key):
            return []
        try:
            return self.entries[key].elements()
        except WrongKindError as err:
            self.item.problems.error(self.entries[key].line, str(err))
            return []


def convert(item: Item, read: Callable[[str], T], default: T) -> T:
    """`read` applied to the item's text; a refusal becomes a problem of the item and gives `default`."""
    try:
        return read(item.text())
    except QuantityError as err:
        item.fail(err.expected, err.todo, f"'{err.found[:80]}'")
    except WrongKindError as err:
        item.problems.error(item.line, str(err))
    return default


def one_of(*choices: str, later: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """A reader of one of some words; words of `later` are refused as not in this version."""

    def read(text: str) -> str:
        if text in choices:
            return text
        if later and text in later:
            raise QuantityError(" or ".join(choices), text, f"{later[text]}: not in this version")
        raise QuantityError(" or ".join(choices), text, suggestion(text, choices))

    return read


def read_tree(path: Path, problems: Problems) -> Item | None:
    """The file's top node, or None with the problem recorded."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise QuantityError(f"a file below {MAX_BYTES} bytes", f"{path.stat().st_size}", "this is no plant file")
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, QuantityError) as err:
        problems.error(1, f"the file: expected a readable UTF-8 text, found {err}; check the path and the file")
        return None
    hidden = _PARENTHESES.sub(lambda m: m.group().translate(_HIDDEN), source)
    try:
        node = yaml.compose(hidden, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        said = (err.problem or "something else").translate(_SHOWN)
        problems.error(mark.line + 1 if mark else 1, f"YAML: expected well-formed YAML, found: {said}; correct it")
        return None
    except (yaml.YAMLError, RecursionError) as err:
        kind = "nesting too deep" if isinstance(err, RecursionError) else str(err).splitlines()[0]
        problems.error(1, f"YAML: expected well-formed YAML, found: {kind}; correct it")
        return None
    if node is None:
        problems.error(1, "the file: expected a plant, found nothing; start from 'plantwin init'")
        return None
    return Item(node, "", problems)
