"""One saturated machine: availability and rates of its stops, whatever the distributions."""

from __future__ import annotations

from math import inf

from scipy.stats import gamma, weibull_min

from tests.oracles.maintenance import Lifetime, Upkeep, age_replacement
from tests.theory.compare import Case
from tests.theory.plants import plant


def run_to_failure(name: str, life: Lifetime, after: str, repair: str, mean_repair: float) -> Case:
    """As good as new after every repair, nothing done before a failure."""
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations:",
        f"  a: {{work: 'gamma(mean=40 s, cv=0.6)', fails: {{clock: odf, after: {after}, repair: {repair}}}}}",
        "release: {part: {policy: saturated}}",
    )
    known = age_replacement(life, inf, Upkeep(0.0, mean_repair))
    exact = {
        "throughput": known.availability / 40, "a.work": known.availability, "a.down": known.in_corrective
    }  # fmt: skip
    return Case(f"upkeep_{name}", text, exact, 200_000, 2000, {"a.down": 0.01})


CASES = (
    run_to_failure(
        "weibull", weibull_min(2.0, scale=60.0), "'weibull(scale=60 s, shape=2)'", "'lognormal(mean=9 s, cv=0.8)'", 9.0
    ),
    run_to_failure("gamma", gamma(4.0, scale=12.0), "'gamma(mean=48 s, cv=0.5)'", "8 s", 8.0),
)
