"""The preview of a mapping on the screen: tables for a person, the same facts as JSON for a machine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ingest.mapping_preview import Preview, shown

MOST_ROWS = 40
"""Rows of one table; the rest is counted (`--json` has all of them)."""
MOST_TIMELINE = 200


def rules_table(report: dict[str, Any], zone: ZoneInfo) -> Table:
    """One row a rule: what it told, when first and last, and what it could not read."""
    table = Table(title="rules", title_justify="left")
    for name in ("rule", "raw names", "outputs", "first", "last", "newest"):
        table.add_column(name, justify="right" if name == "outputs" else "left", overflow="fold")
    for rule in report["rules"]:
        times = [clock(rule[key], zone) if key in rule else "-" for key in ("first", "last")]
        newest = Text(rule.get("newest", "nothing yet"), style="" if rule["outputs"] else "yellow")
        if rule.get("refused"):
            newest.append(f"\nrefused {rule['refused']}: {rule['why']}", style="red")
        table.add_row(rule["rule"], Text(", ".join(rule["raw"])), str(rule["outputs"]), *times, newest)
    return table


def live_table(preview: Preview, now: int) -> Table:
    """One row a mapped raw name: last value, what it led to, its age, how often it came, and outputs by rule."""
    table = Table(title=f"{preview.mapping.file}: {len(preview.mapping.rules)} rules", title_justify="left")
    for name in ("raw name", "last value", "leads to", "age", "heard", "outputs by rule"):
        table.add_column(name, justify="right" if name in {"age", "heard"} else "left", overflow="fold")
    names = preview.mapping.raw_names()
    for name in names[:MOST_ROWS]:
        entry, counts = preview.heard.get(name), Text(preview.counts(name))
        if entry is None:
            table.add_row(Text(name), Text("not heard", style="yellow"), "", "", "0", counts)
        else:
            led_to = Text("\n".join(entry.led_to) or "nothing yet: it waits (debounce, threshold)")
            table.add_row(Text(name), Text(shown(entry.value)), led_to, age(now - entry.t), str(entry.n), counts)
    if len(names) > MOST_ROWS:
        table.caption = f"and {len(names) - MOST_ROWS} more (--json shows all)"
    return table


def rest(report: dict[str, Any]) -> Iterable[RenderableType]:
    """What is unmapped, unheard and not fed, and the lines that may be meant."""
    if report["unmapped"]:
        table = Table(title="unmapped: heard, and no rule looks at it", title_justify="left")
        for name in ("raw name", "last value", "heard"):
            table.add_column(name, overflow="fold")
        for entry in report["unmapped"][:MOST_ROWS]:
            table.add_row(Text(entry["name"]), Text(entry["value"]), str(entry["heard"]))
        more = len(report["unmapped"]) - MOST_ROWS
        table.caption = f"and {more} more (--json shows all)" if more > 0 else None
        yield table
    for key, what in (
        ("unheard", "unheard: raw names of the mapping that were not heard"),
        ("silent", "silent: tags that have a rule and got no value"),
        ("unfed", "not fed: tags of the plant that no rule feeds"),
    ):
        if report[key]:
            yield Text(f"{what}: {', '.join(report[key])}", style="yellow")
    if report["proposals"]:
        yield Text("lines that may be meant, by the words in the names (check them, then put them under 'tags:'):")
        for one in report["proposals"]:
            yield Text(f"  {one['line']}  # {one['why']}", style="green")
    for note in report["notes"]:
        yield Text(f"note: {note}")


def whole(preview: Preview, zone: ZoneInfo) -> Group:
    """Rules, what is left over, and the timeline of the chosen rule."""
    report = preview.report()
    parts: list[RenderableType] = [rules_table(report, zone), *rest(report)]
    if preview.rule is not None:
        parts.append(Text(f"timeline of {preview.rule}: {len(preview.timeline)} outputs"))
        left = len(preview.timeline) - MOST_TIMELINE
        parts += [Text(f"  {clock(t, zone)}  {text}") for t, text in preview.timeline[:MOST_TIMELINE]]
        if left > 0:
            parts.append(Text(f"  and {left} more (--json shows all)"))
    return Group(*parts)


def clock(t: int, zone: ZoneInfo) -> str:
    """Plant ms as local time of the plant."""
    return datetime.fromtimestamp(t / 1000, zone).strftime("%m-%d %H:%M:%S")


def age(ms: int) -> str:
    """`12 s`, `3 min`."""
    seconds = max(0, ms) / 1000
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def console() -> Console:
    """Wide where the output is no terminal, so that no name is cut."""
    found = Console()
    return found if found.is_terminal else Console(width=160)
