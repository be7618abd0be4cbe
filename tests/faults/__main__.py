"""`python -m tests.faults`: the long campaign, its result in benchmarks/results/faults.json."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks._record import RESULTS, cpu_model, versions
from tests.faults.campaign import Outcome, Plan, run


def bar(share: float, text: str, begin: float) -> None:
    """One line that is written over."""
    width = int(share * 40)
    left = (time.monotonic() - begin) * (1 / share - 1) if share > 0.02 else 0.0
    tail = f" {left:4.0f} s left" if left else ""
    if sys.stderr.isatty():
        drawn = f"\r[{'#' * width}{'.' * (40 - width)}] {share:6.1%}  {text}{tail}  "
        print(drawn, end="", file=sys.stderr, flush=True)


def told(outcome: Outcome) -> str:
    """The outcome for a person."""
    v = outcome.verdict
    slowest = max((s for many in outcome.back_s.values() for s in many), default=0.0)
    kills = ", ".join(f"{kind} {n}" for kind, n in sorted(outcome.kills.items()))
    lines = [
        f"{v.readings} readings and {v.events} events in {v.messages} numbered messages, broker {outcome.broker}",
        f"{outcome.seconds} s, of them {outcome.drain_s} s until the outbox was empty at the end",
        f"kill -9: {sum(outcome.kills.values())} ({kills}); slowest to come back {slowest} s",
        f"network: {outcome.network}",
        f"lost {v.lost}, doubled {v.doubled}, altered {v.altered}, out of order {v.out_of_order}, gap records {v.gaps}",
        f"journal rows {outcome.rows}, of them in the archive only {outcome.trimmed}",
        f"readings in Parquet {v.stored_readings}, doubled {v.stored_doubled}, missing {v.stored_missing}",
        f"never numbered, in a killed gateway's memory or on the way to it: {v.unread} readings of the fieldbus",
        f"state hash live {outcome.hash_live}, replayed {outcome.hash_replay}",
    ]
    return "\n".join(lines + v.wrong)


def main() -> int:
    """Run, show, keep; exit code 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=4_000.0, help="readings a second at most")
    parser.add_argument("--segment", type=int, default=None, help="rows of a segment of the store (as shipped)")
    parser.add_argument("--folder", type=Path, default=None, help="empty folder to keep everything in")
    parser.add_argument("--no-result", action="store_true", help="leave benchmarks/results alone")
    given = parser.parse_args()
    plan = Plan(given.readings, given.kills, given.seed, given.rate, given.segment)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="plantwin-faults-") as made:
        outcome = asyncio.run(run(given.folder or Path(made), plan, lambda s, t: bar(s, t, begin)))
    print("\n" + told(outcome))
    good = outcome.verdict.good and outcome.hash_live == outcome.hash_replay
    if not given.no_result:
        content = {
            "command": f"python -m tests.faults --readings {plan.readings} --kills {plan.kills} --seed {plan.seed}",
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "load_1min": round(os.getloadavg()[0], 1),
            "versions": versions("paho-mqtt", "msgspec", "duckdb", "iotcore"),
            "good": good,
            **outcome.facts(),
        }
        (RESULTS / "faults.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
