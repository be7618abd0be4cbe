"""One saturated machine: availability and rates of its stops, whatever the distributions."""

from __future__ import annotations

from math import inf

from scipy.stats import gamma, weibull_min

from tests.oracles.maintenance import Lifetime, Upkeep, age_replacement, best_age, block_replacement
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


LIFE = weibull_min(2.5, scale=80.0)
UPKEEP = Upkeep(4.0, 12.0)


def preventive(policy: str, every: float, clock: str = "odf") -> Case:
    """Maintenance by age or block; a saturated machine works whenever it is not down."""
    text = plant(
        "products: {part: {routing: [a]}}",
        "stations:",
        "  a:",
        "    work: 'gamma(mean=40 s, cv=0.6)'",
        "    fails: {clock: odf, after: 'weibull(scale=80 s, shape=2.5)', repair: 'gamma(mean=12 s, cv=0.5)'}",
        f"    maintenance: {{policy: {policy}, preventive: 'uniform(2 s, 6 s)', every: {every} s, clock: {clock}, "
        "finish: false}",
        "release: {part: {policy: saturated}}",
    )
    known = (age_replacement if policy == "age" else block_replacement)(LIFE, every, UPKEEP)
    exact = {
        "throughput": known.availability / 40, "a.work": known.availability,
        "a.down": known.in_preventive + known.in_corrective,
    }  # fmt: skip
    return Case(f"upkeep_{policy}_{every:g}_{clock}", text, exact, 200_000, 2000, {"a.down": 0.01})


CASES = (
    *(preventive("age", every) for every in (25.0, best_age(LIFE, UPKEEP, 200.0), 120.0)),
    *(preventive("block", every, clock) for every in (50.0, 150.0) for clock in ("odf", "tdf")),
    run_to_failure(
        "weibull", weibull_min(2.0, scale=60.0), "'weibull(scale=60 s, shape=2)'", "'lognormal(mean=9 s, cv=0.8)'", 9.0
    ),
    run_to_failure("gamma", gamma(4.0, scale=12.0), "'gamma(mean=48 s, cv=0.5)'", "8 s", 8.0),
)
