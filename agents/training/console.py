"""What `plantwin train` shows and where its starting rule comes from; knows nothing of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from agents.control.controllers import rule as read_rule
from agents.envs.grid import Grid
from agents.rules.rule import Rule, load_rule, save_rule
from agents.rules.tune import Effort, tune

if TYPE_CHECKING:
    from sim.compile import Compiled


RULE = "rule.json"


def rule_for(compiled: Compiled, path: Path | None, threads: int, out: Path) -> Rule:
    """The rule to start from: the file given, else one tuned now; stored as `rule.json` in `out`, for a resume."""
    if path is not None:
        read_rule(path, compiled)
        found = load_rule(path)
        if path.resolve() != (out / RULE).resolve():
            save_rule(out / RULE, found, compiled.plant)
        return found
    console = Console(stderr=True)
    console.print("tuning the rule to start from and to beat ...")
    found = tune(compiled, Effort(threads=threads)).rule
    found.check(compiled.plant, Grid(compiled.plant))
    save_rule(out / RULE, found, compiled.plant)
    return found


def said_of(p: Any, unit: str) -> str:
    """A line about an `agents.training.watch.Progress`."""
    parts = [f"{p.rate:,.0f}/s", f"cost {p.cost:.2f}", f"best {p.best:.2f} {unit}"]
    for name, least in (("rule", p.rule), ("optimum", p.optimum)):
        if least:
            parts.append(f"{100.0 * (p.best - least) / abs(least):+.1f} % of {name}")
    return ", ".join(parts)


@contextmanager
def bar(compiled: Compiled, quiet: bool = False) -> Iterator[Callable[[int, Any], None]]:
    """A progress bar on stderr: decisions a second, cost of the training lanes, and how far the best checkpoint is from
    the rule and, where it is known, above the optimum.
    """
    columns = (
        TextColumn("seed {task.fields[seed]}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}", table_column=Column(no_wrap=False)),
    )
    unit = f"{compiled.plant.currency}/h"
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        tasks: dict[int, Any] = {}

        def show(seed: int, p: Any) -> None:
            if seed not in tasks:
                tasks[seed] = progress.add_task("train", total=1.0, seed=seed, said="")
            progress.update(tasks[seed], completed=p.done, said=said_of(p, unit))

        yield show
