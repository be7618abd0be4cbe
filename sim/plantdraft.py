"""What the readers of a plant file share: its units, its problems, and the line of every named thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sim.plant import Dist
from sim.units import QuantityError, Scale
from sim.yamlfile import Item, Problems

ID = re.compile(r"[a-z0-9_-]{1,64}\Z")
WARNING = "warning: "
"""What the notes begin with that are warnings."""
ALWAYS = "always"
"""Written as a calendar: open at all times, whatever the file's default calendar."""


@dataclass(frozen=True)
class Setups:
    """Setup times of a station as written: `default` between two families, `matrix` for single pairs (None: none)."""

    default: Dist | None
    matrix: dict[tuple[str, str], Dist | None]


@dataclass
class Draft:
    """What belongs to the file as a whole while it is read.

    `where` maps `stations.turn`, `release.housing`, ... to lines; `works` holds the work times each station gives, by
    `product`, `product/step` or `default`; `setups`, `yields` what it says besides; `folder` is where the file lies.
    """

    scale: Scale
    problems: Problems
    folder: Path = Path()
    where: dict[str, int] = field(default_factory=dict)
    conventions: dict[str, str] = field(default_factory=dict)
    works: dict[str, dict[str, Dist]] = field(default_factory=dict)
    setups: dict[str, Setups] = field(default_factory=dict)
    yields: dict[str, float] = field(default_factory=dict)

    def line(self, *path: str) -> int:
        """The line of the innermost known part of a path."""
        for end in range(len(path), 0, -1):
            key = ".".join(path[:end])
            if key in self.where:
                return self.where[key]
        return 1

    def see(self, path: Sequence[str], item: Item) -> None:
        """Remember where a part of a thing stands, so that what is found wrong with it later has a line."""
        self.where[".".join(path)] = item.line

    def warn(self, path: Sequence[str], what: str) -> None:
        """Something allowed but probably not meant, with its line."""
        self.problems.note(f"{WARNING}{self.problems.file}:{self.line(*path)}: {'.'.join(path)}: {what}")


def named(draft: Draft, section: str, word: str, entries: dict[str, Item]) -> dict[str, Item]:
    """The entries of a section whose ids are well formed, with their lines noted."""
    good: dict[str, Item] = {}
    for name, item in entries.items():
        if not ID.match(name):
            draft.problems.error(
                item.line, f"{section}: expected an id of a-z 0-9 _ -, at most 64, found '{name}'; rename the {word}"
            )
            continue
        draft.where[f"{section}.{name}"] = item.line
        good[name] = replace(item, what=f"{word} {name}")
    return good


def identifier(text: str) -> str:
    """A reader of ids."""
    if not ID.match(text):
        raise QuantityError("an id of a-z 0-9 _ -, at most 64 characters", text, "rename it")
    return text
