"""What a comparison says, for people."""

from __future__ import annotations

from agents.evaluation.evaluate import OverSeeds, Verdict
from agents.evaluation.robust import Robustness


def lines_of(v: Verdict) -> list[str]:
    """A verdict, line by line."""
    lines = [f"A = {v.a}", f"B = {v.b}", v.sentence]
    lines.append(
        f"A {v.cost_a:.3f}, B {v.cost_b:.3f} {v.unit}; A worse in {100 * v.p_worse:.0f} % of {v.pairs} pairs, "
        f"by {v.worst_decile:.3f} in its worst tenth"
    )
    lines.append(
        f"undiscounted, {v.length_s / 86_400:g} days after {v.warmup_s / 86_400:g} days of warm-up; test block of "
        f"seeds, which neither training nor choosing used, seed {v.seed}"
    )
    luck = "A or B does not vary" if v.correlation is None else f"correlation {v.correlation:.3f}"
    lines.append(
        f"the common luck gave: {luck}"
        + (f"; a pair tells as much as {v.worth:.1f} pairs on luck of their own" if v.worth else "")
    )
    index = "" if v.tail_index is None else f"index {v.tail_index:.1f}, "
    lines.append(
        f"tails: {index}kurtosis {v.kurtosis:.1f}, the largest hundredth of the pairs makes "
        f"{100 * v.largest_share:.0f} % of the variance"
    )
    if v.worst_family is not None and len(v.families) > 1:
        lines.append(
            "families, the worst for A first: "
            + "; ".join(
                f"{name} {mean:+.3f} [{lo:+.3f}, {hi:+.3f}]"
                for name, (mean, lo, hi) in sorted(v.families.items(), key=lambda item: -item[1][0])
            )
        )
    for who, share in (("A", v.outside_a), ("B", v.outside_b)):
        if share is not None:
            lines.append(f"{who} decides outside what it has seen in {100 * share:.1f} % (1 % in training itself)")
    return lines


def seeds_lines(s: OverSeeds) -> list[str]:
    """What the training seeds say, line by line."""
    each = ", ".join(f"{name} {x:+.3f}" for name, x in s.differences.items())
    return [s.sentence, f"A is the one that was chosen of {each}"]


def robust_lines(r: Robustness) -> list[str]:
    """What the draws say, line by line."""
    lines = [f"A = {r.a}", f"B = {r.b}", r.sentence, r.worst_sentence]
    if r.outside_a is not None:
        lines.append(f"A decides outside what it has seen in {100 * r.outside_a:.1f} % (1 % in training itself)")
    return lines
