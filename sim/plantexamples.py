"""One small plant for every feature of the plant file: the examples of docs/plant-file.md, ready to run.

Each example is `BASE` with some of its top-level sections replaced or added. `examples()` gives whole files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BASE = """\
# What does this feature do to a line of two machines?
plantwin: 1
site: demo
area: hall
line: example
timezone: Europe/Berlin
time_unit: h
products:
  nut: {routing: [cut, pack], revenue: 4 EUR}
stations:
  cut: {work: gamma(mean=60 s, cv=0.4)}
  pack: {work: 45 s}
buffers:
  b: {before: pack, capacity: 10, holding: 0.2 EUR/h}
release:
  nut: {policy: conwip, cap: 8, base_stock: 30}
stocks:
  out: {item: nut, from: line, initial: 20, holding: 0.2 EUR/h}
demand:
  shop: {stock: out, arrivals: poisson(30/h), backlog: 3 EUR/h}
"""


@dataclass(frozen=True)
class Example:
    """A feature: what is said about it, and the sections that show it."""

    name: str
    says: str
    text: str


FOLDER = Path(__file__).parent / "examples"
"""Where the examples lie, one file each: `# words` lines first, then the sections."""

_SECTION = re.compile(r"^(?=[a-z_]+:)", re.MULTILINE)


def features() -> list[Example]:
    """The examples in the order of their file names (`01-name.yaml`)."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        words = [line.lstrip("# ") for line in lines if line.startswith("# ")]
        text = "\n".join(line for line in lines if not line.startswith("# ")) + "\n"
        found.append(Example(path.stem.partition("-")[2], " ".join(words), text))
    return found


def whole(example: Example) -> str:
    """The whole plant file of an example: the base with the example's sections in place of its own."""
    head, *parts = _SECTION.split(BASE)
    sections = {part.partition(":")[0]: part for part in parts}
    sections |= {part.partition(":")[0]: part for part in _SECTION.split(example.text) if part.strip()}
    return head + "".join(sections.values())


def examples() -> dict[str, str]:
    """Plant files by the name of the feature they show."""
    return {example.name: whole(example) for example in features()}
