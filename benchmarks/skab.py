"""Change-point notices on a real pump-and-valve test bed: delay, misses, false notices per quiet hour.

`plantwin bench skab [--json] [--journal FREE VALVE1] [--write docs/real-data.md] [--kept]`. Each file of SKAB is
learned from its first 400 rows and charted from there; notices are held against the file's labels. With `--journal`,
the journals into which `plantwin replay --table` sent anomaly-free.csv and the sixteen valve1 files one after another
(over MQTT, with ingest killed meanwhile), every reading is held against the files first, and the fold also runs over
valve1 as one stream that is learned from once. With river installed, ADWIN and Page-Hinkley run beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._record import RESULTS, keep, versions
from benchmarks._skab import DEVELOPED, Found, Table, f1, judge, read, rivals, summary, twin_calls
from benchmarks.real_data import data_folder, replace_between
from hardware.replay_table import tag_name
from ingest.wire import Reading
from twin.condition import Condition, Settings
from twin.condition_journal import readings

HALF = 4700
LEARN = 400
FILES = 16


def tables() -> list[Table]:
    """valve1 in order, then anomaly-free in two halves (the second learns from the 400 rows before it)."""
    folder = data_folder().parent / "skab"
    whole = read(folder / "anomaly-free.csv")
    halves = (
        whole.part(0, HALF, "anomaly-free, first half"),
        whole.part(HALF - LEARN, len(whole.t), "anomaly-free, rest"),
    )
    return [*(read(folder / "valve1" / f"{i}.csv") for i in range(FILES)), *halves]


def developed(name: str) -> bool:
    """Were options chosen on it?"""
    return name in DEVELOPED or name.endswith("first half")


def joined(parts: Sequence[Table]) -> Table:
    """Files that follow each other, as one."""
    first = parts[0]
    whole = (np.concatenate([getattr(p, name) for p in parts]) for name in ("t", "values", "anomaly"))
    return Table("valve1 as one stream", first.tags, *whole)


def stored(table: Table, found: Sequence[Reading]) -> dict[str, int]:
    """Readings of a journal against a table: how many are there once, more often, not, or not in the table."""
    names = [tag_name(tag) for tag in table.tags]
    want = {
        (int(t), n, float(v))
        for t, row in zip(table.t, table.values, strict=True)
        for n, v in zip(names, row, strict=True)
    }
    have = Counter((r.t, r.name, r.value) for r in found)
    return {
        "rows": len(table.t), "readings": len(want), "once": sum(have[key] == 1 for key in want),
        "more_often": sum(have[key] > 1 for key in want), "lost": sum(not have[key] for key in want),
        "foreign": sum(n for key, n in have.items() if key not in want),
    }  # fmt: skip


def stream(table: Table, found: Sequence[Reading]) -> dict[str, Any]:
    """The fold over one long stream, from its readings: each anomaly noticed or not, notices outside."""
    names = tuple(tag_name(tag) for tag in table.tags)
    fold = Condition(Settings("valve1", names, learn=LEARN))
    for reading in found:
        fold.take(reading)
    fold.end()
    calls = np.array([n.t for n in fold.notices], dtype=np.int64)
    edges = np.flatnonzero(np.diff(table.anomaly.astype(int)))
    begins, ends = table.t[edges[::2] + 1], table.t[edges[1::2] + 1]
    inside = [calls[(calls >= a) & (calls < b)] for a, b in zip(begins, ends, strict=True)]
    after = [calls[(calls >= b) & (calls <= b + 60_000)] for b in ends]
    quiet = ~table.anomaly & (table.t > table.t[LEARN])
    for b in ends:
        quiet &= ~((table.t >= b) & (table.t <= b + 60_000))
    hours = float(quiet.sum()) / 3600
    false = len(calls) - sum(map(len, inside)) - sum(map(len, after))
    delays = [(float(c[0] - a) / 1000 if len(c) else None) for c, a in zip(inside, begins, strict=True)]
    found_ = [
        Found(f"valve1/{i}", d, True, 0, 0.0, bool(len(b)), np.zeros(0, dtype=bool))
        for i, (d, b) in enumerate(zip(delays, after, strict=True))
    ]
    found_.append(Found("quiet", None, False, false, hours, False, np.zeros(0, dtype=bool)))
    return summary(found_) | {"returns": sum(map(bool, map(len, after))), "late": fold.state.late}


def measure(journals: Sequence[Path]) -> dict[str, Any]:
    """Everything that the page says."""
    every = tables()
    found = [judge(table, twin_calls(table, LEARN)[0], LEARN) for table in every]
    parts = {
        "files the options were chosen on": [i for i, t in enumerate(every) if developed(t.name)],
        "the other files": [i for i, t in enumerate(every) if not developed(t.name)],
    }
    detail: dict[str, Any] = {"twin": {}, "rivals": {}}
    for part, which in parts.items():
        labelled = [i for i in which if found[i].has]
        rows = f1([every[i] for i in labelled], [found[i] for i in labelled], LEARN)
        detail["twin"][part] = summary([found[i] for i in which]) | rows
    detail["rivals"] = rivals([every[i] for i in parts["the other files"]], LEARN)
    detail["autocorrelation"] = twin_calls(every[-2], LEARN)[1].autocorrelation()
    detail["files"] = [
        {
            "file": f.file,
            "delay": f.delay,
            "has": f.has,
            "false": f.false,
            "quiet_min": 60 * f.quiet_h,
            "moved": f.moved,
        }
        for f in found
    ]
    if journals:
        folder = data_folder().parent / "skab"
        free, valve = read(folder / "anomaly-free.csv"), joined(every[:FILES])
        names = tuple(tag_name(tag) for tag in valve.tags)
        seen = [readings(path, names)[0] for path in journals]
        detail["stored"] = {"anomaly-free": stored(free, seen[0]), "valve1": stored(valve, seen[1])}
        detail["stream"] = stream(valve, seen[1])
    return detail


def _row(name: str, s: dict[str, Any]) -> str:
    delay = "-" if s["median_delay_s"] is None else f"{s['median_delay_s']:.0f} s"
    rows = f"{s['f1']:.2f} / {100 * s['far']:.0f} % / {100 * s['mar']:.0f} %" if "f1" in s else "-"
    rate = f"{s['false']} in {s['quiet_h']:.1f} h: {s['false_per_h']:.1f} an hour ({s['low']:.2f} to {s['high']:.1f})"
    return f"| {name} | {s['detected']} of {s['files']} | {s['within_60_s']} | {delay} | {rate} | {rows} |"


def table(detail: dict[str, Any]) -> str:
    """The summary as Markdown."""
    out = [
        "| detector | changes found | within 60 s | median delay | false notices | F1 / false / missed by row |",
        "|---|---|---|---|---|---|",
        *(_row(f"twin, {part}", s) for part, s in detail["twin"].items()),
        *(_row(f"{name}, the other files", s) for name, s in detail["rivals"].items()),
    ]
    if "stream" in detail:
        out.append(_row("twin, valve1 as one stream from the journal", detail["stream"]))
    return "\n".join(out)


def files_table(detail: dict[str, Any]) -> str:
    """File by file."""
    out = ["| file | options chosen on it | first notice after the change | moved most | false | quiet minutes |"]
    out.append("|---|---|---|---|---|---|")
    for f in detail["files"]:
        delay = "no change in it" if not f["has"] else "**missed**" if f["delay"] is None else f"{f['delay']:.0f} s"
        yes = "yes" if developed(f["file"]) else "no"
        out.append(f"| {f['file']} | {yes} | {delay} | {f['moved'] or '-'} | {f['false']} | {f['quiet_min']:.0f} |")
    return "\n".join(out)


def stored_table(detail: dict[str, Any]) -> str:
    """What the journals hold."""
    out = [
        "| recording | rows | readings | stored once | more often | lost | not in the file |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, s in detail.get("stored", {}).items():
        cells = [s[key] for key in ("rows", "readings", "once", "more_often", "lost", "foreign")]
        out.append(f"| {name} | {' | '.join(f'{c:,}' for c in cells)} |")
    return "\n".join(out)


def main(argv: Sequence[str]) -> int:
    """Entry point of `plantwin bench skab`."""
    parser = argparse.ArgumentParser(prog="plantwin bench skab", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--journal", type=Path, nargs=2, default=[], help="journals: anomaly-free, then valve1")
    parser.add_argument("--kept", action="store_true", help="take the figures of benchmarks/results, measure nothing")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    options = parser.parse_args(argv)
    if options.kept:
        detail = json.loads((RESULTS / "skab.json").read_text(encoding="utf-8"))["detail"]
    elif not (data_folder().parent / "skab").exists():
        print("skab is absent: set PLANTWIN_DATA to the folder with skab/valve1", file=sys.stderr)
        return 1
    else:
        detail = measure(options.journal)
        keep("skab", [], versions("numpy", "river"), detail)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        for name, body in (
            ("skab", table(detail)),
            ("skab-files", files_table(detail)),
            ("stored", stored_table(detail)),
        ):
            page = replace_between(page, name, body)
        options.write.write_text(page, encoding="utf-8")
    print(json.dumps(detail) if options.json else table(detail))
    return 0
