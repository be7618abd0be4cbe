"""What `plantwin train` shows and where its starting rule comes from; knows nothing of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agents.controllers import rule as read_rule
from agents.grid import Grid
from agents.rules import Rule, load_rule, save_rule
from agents.tune import Effort, tune

if TYPE_CHECKING:
    from sim.compile import Compiled


def rule_for(compiled: Compiled, path: Path | None, threads: int, out: Path) -> Rule:
    """The rule to start from: the file given, else one tuned now and stored as `rule.json` in `out`."""
    if path is not None:
        read_rule(path, compiled)
        return load_rule(path)
    console = Console(stderr=True)
    console.print("tuning the rule to start from and to beat ...")
    found = tune(compiled, Effort(threads=threads)).rule
    found.check(compiled.plant, Grid(compiled.plant))
    save_rule(out / "rule.json", found, compiled.plant)
    return found


@contextmanager
def bar(compiled: Compiled, quiet: bool = False) -> Iterator[Callable[[int, Any], None]]:
    """A progress bar on stderr: decisions a second, cost of the training lanes, and the gap of the best checkpoint
    to the rule.
    """
    columns = (
        TextColumn("seed {task.fields[seed]}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    unit = f"{compiled.plant.currency}/h"
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        tasks: dict[int, Any] = {}

        def show(seed: int, p: Any) -> None:
            if seed not in tasks:
                tasks[seed] = progress.add_task("train", total=1.0, seed=seed, said="")
            gap = 100.0 * (p.best - p.rule) / abs(p.rule) if p.rule else 0.0
            said = (
                f"{p.rate:,.0f} decisions/s, cost {p.cost:.2f} {unit}, best checkpoint {p.best:.2f} "
                f"({gap:+.1f} % of the rule)"
            )
            progress.update(tasks[seed], completed=p.done, said=said)

        yield show
