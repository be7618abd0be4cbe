"""Pictures of `plantwin track` and `plantwin observe` (matplotlib, extra `[experiment]`); same input, same file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin.faults import Faults
    from twin.track import Followed

KINDS = (".png", ".svg")
BLUE, GREY, RED = "#4c78a8", "#8c959f", "#e45756"


def _save(figure: Any, file: Path) -> None:
    if file.suffix not in KINDS:
        raise ValueError(f"--plot {file}: expected a name that ends in {' or '.join(KINDS)}")
    figure.savefig(file, dpi=120, metadata={"Date": None} if file.suffix == ".svg" else {"Software": None})


def draw(plant: str, run: Followed, clean: Followed, faults: Faults, file: Path) -> None:
    """Total WIP error over time, with the faults and without; outages are shaded."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "plantwin"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for one, colour, label in ((run, RED, f"with faults ({faults.channel})"), (clean, GREY, "without")):
            axes.step((one.t - one.t[0]) / 3.6e6, one.total(), where="post", color=colour, label=label, linewidth=1.2)
        for a, b in faults.outages:
            axes.axvspan(a / 3600, b / 3600, color=BLUE, alpha=0.15, label="outage")
        axes.set_xlabel("hours")
        axes.set_ylabel("WIP error, all stations [parts]")
        axes.set_title(f"{plant}: believed less true")
        axes.legend(loc="upper right")
        _save(figure, file)


def draw_spreads(found: dict[str, Any], file: Path) -> None:
    """Spread of every quantity with these tags, beside that without any."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = [q for q in found["quantities"] if q["spread"] is not None]
    with rc_context({"svg.hashsalt": "plantwin"}):
        figure = Figure(figsize=(8, max(2.4, 0.28 * len(rows) + 1.2)), layout="constrained")
        axes = figure.add_subplot()
        at = range(len(rows))
        axes.barh(at, [q["blind"] for q in rows], color=GREY, alpha=0.4, label="without any tag")
        axes.barh(at, [q["spread"] for q in rows], color=BLUE, label="with these tags")
        axes.set_yticks(list(at), [q["what"] for q in rows])
        axes.invert_yaxis()
        axes.set_xlabel("spread (root mean square of believed less true)")
        axes.set_title(f"{found['plant']}: what {found['tags']} tags let the twin know")
        axes.legend(loc="lower right")
        _save(figure, file)
