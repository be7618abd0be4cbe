"""The reference part of docs/plant-file.md, written from the declarations that the readers use.

`python -m sim.plantpage docs/plant-file.md` puts it between the two marks of that page; a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sim import sections as s
from sim import sections_supply as supply
from sim.plantengine import ENGINE
from sim.plantexamples import BASE, features
from sim.plantfile import CONVENTION, TOP
from sim.plantsensor import SENSOR, SIGNAL
from sim.schema import Key, Section, default_shown

BEGIN = "<!-- reference: written by `python -m sim.plantpage docs/plant-file.md`, do not edit below -->"
END = "<!-- end of the reference -->"

SECTIONS: tuple[Section, ...] = (
    *(TOP, s.PRODUCT, s.STEP, s.STATION, s.FAILS, s.MINOR, s.TOOL, s.CONDITION, s.MAINTENANCE, s.SETUP, s.BATCH),
    *(s.POWER_STATES, s.BUFFER, s.CREW, s.POOL, s.CALENDAR, s.RELEASE, s.GROUP, s.ORDER),
    *(supply.SUPPLIER, supply.STOCK, supply.POLICY, supply.EXPRESS, supply.DEMAND, supply.SEASON),
    *(supply.ENERGY_SECTION, supply.BAND, CONVENTION, supply.CONTROL, supply.LIMIT, SENSOR, SIGNAL, ENGINE),
)
"""All sections in the order of the reference."""

_KINDS = """\
`distribution` is a time, an expression or a table (see above). `quantity` is a whole number, `{1: 60 %, 2: 40 %}`,
`poisson(5)` or `geometric(2.5)` (from 1 on). `money / time` is written `0.2 EUR/h`, `probability` as `8 %` or `0.08`,
`factor` as `90 %` or `0.9`, `rate` as `400/d`, `power` as `12 kW`, `energy` as `0.4 kWh`.
"""


def _row(key: Key) -> str:
    cells = (f"`{key.name}`", key.kind.says, default_shown(key), key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(section: Section) -> str:
    """A section as a heading, a sentence and a table of its keys."""
    lines = [f"### {section.path}", ""]
    lines += [section.intro, ""] if section.intro else []
    lines += ["| key | value | default | meaning |", "|---|---|---|---|", *(_row(key) for key in section.keys), ""]
    return "\n".join(lines)


def refused() -> str:
    """Features that no version knows yet, by section: their keys are errors that say so."""
    lines = ["### Not in this version", ""]
    for section in SECTIONS:
        words = ", ".join(dict.fromkeys(section.later.values()))
        lines += [f"- {section.path}: {words}"] if words else []
    return "\n".join([*lines, ""])


def reference() -> str:
    """The whole generated part, marks included."""
    parts = [BEGIN, "## Reference", "", _KINDS]
    parts += [table(section) for section in SECTIONS]
    parts += [
        refused(),
        "## An example of each feature",
        "",
        "Every example is this plant:",
        "",
        "```yaml base",
        BASE + "```",
    ]
    parts += [
        "",
        "with the sections shown here in place of its own. `plantwin init FILE --feature NAME` writes the whole file.",
        "",
    ]
    for example in features():
        parts += [f"### {example.name}", "", example.says, "", "```yaml feature", example.text + "```", ""]
    return "\n".join([*parts, END]) + "\n"


def page(text: str) -> str:
    """A page with its reference written anew; raises `ValueError` when it has no marks."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the marks '{BEGIN}' and '{END}', found none; add them where the reference belongs")
    return head + reference().rstrip("\n") + tail


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
