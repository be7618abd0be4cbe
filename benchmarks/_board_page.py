"""The page of leader boards, from what `plantwin bench board --run` stored."""

from __future__ import annotations

from statistics import mean, median, stdev
from typing import Any

from scipy import stats

HEAD = """\
# Leader board

Written by `plantwin bench board --page docs/leaderboard.md` from `benchmarks/results/board-*.json`; do not edit.

Less is better. What varies between agents is the training seed: the median and the worst of the seeds count, not the
best. Wall times are of one seed, or of one family of rules; agents start from the tuned constants, whose search is not
counted in.
"""
TABLE = [
    "| | cost | above the optimum | simulated hours | decisions | wall time |",
    "|---|---|---|---|---|---|",
]


def page(found: list[dict[str, Any]]) -> str:
    """The page of all plants."""
    return "\n".join([HEAD, *(line for each in found for line in section(each))]).rstrip() + "\n"


def section(found: dict[str, Any]) -> list[str]:
    """A plant's part of the page."""
    best, rows = found["optimum"], []
    if best is not None:
        rows.append((best["cost"], row("**optimum**", best, best)))
    rows += [(line["cost"], row(line["name"], line, best)) for line in found["lines"] if line["kind"] != "agent"]
    agents = [line for line in found["lines"] if line["kind"] == "agent"]
    rows += [(line["cost"], row(name, line, best)) for name, line in summary(agents)]
    lines = [f"## {found['plant']}", "", costs_are(found), "", *TABLE, *(text for _, text in sorted(rows)), ""]
    if agents:
        lines += [seeds(agents), ""]
    notes = [f"- {line['name']}: {line['about']}" for line in found["lines"] if line["about"]]
    if notes:
        lines += [*notes, ""]
    return [*lines, f"`{found['command']}`, {found['date']}, {found['machine']}.", ""]


def costs_are(found: dict[str, Any]) -> str:
    """What the costs are and how sure they are."""
    best = found["optimum"]
    if best is None:
        return (
            f"Costs are simulated, {found['unit']}: {found['pairs']} runs of the block of seeds for tests, ± half of a "
            f"95 % interval. No exact optimum: {found['not_exact']}."
        )
    return (
        f"Costs are exact, {found['unit']}, except where one has a ±. The optimum is proved to lie in "
        f"[{best['low']:.6g}, {best['high']:.6g}]."
    )


def summary(agents: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The median and the worst of the seeds, with what each took (of an even number: the worse of the two in the
    middle).
    """
    if not agents:
        return []
    ordered = sorted(agents, key=lambda line: float(line["cost"]))
    names = (f"agent, median of {len(agents)} seeds", f"agent, worst of {len(agents)} seeds")
    return list(zip(names, (ordered[len(ordered) // 2], ordered[-1]), strict=True))


def seeds(agents: list[dict[str, Any]]) -> str:
    """Costs seed by seed, and the interval of their mean, the seed as the unit."""
    costs = [float(line["cost"]) for line in agents]
    text = f"Agents, seed by seed: {', '.join(f'{c:.4f}' for c in costs)}"
    if len(costs) < 3:
        return text + "."
    half = float(stats.t.ppf(0.975, len(costs) - 1)) * stdev(costs) / len(costs) ** 0.5
    took = median(float(line["wall_s"]) for line in agents)
    return f"{text}; mean {mean(costs):.4f} ± {half:.4f} (95 %, the seed as the unit), median {took:,.0f} s a seed."


def row(name: str, line: dict[str, Any], best: dict[str, Any] | None) -> str:
    """A line of the table."""
    cost, half, wall = line["cost"], line.get("half"), line["wall_s"]
    gap = "" if best is None else f"{100 * (cost / best['cost'] - 1):.2f} %"
    hours, decisions = line.get("hours"), line.get("decisions")
    cells = (
        name,
        f"{cost:.4f}" if half is None else f"{cost:.4f} ± {half:.4f}",
        "0.00 %" if gap == "-0.00 %" else gap,
        f"{hours:.2g}" if hours else "",
        f"{decisions:,}" if decisions else "",
        f"{wall:,.0f} s" if wall >= 0.5 else "",
    )
    return f"| {' | '.join(cells)} |"
