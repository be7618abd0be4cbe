"""Is A still better than B where the plant is another than its file says? One verdict over many plants.

Each draw is a plant: factors on its times and rates, drawn about the file's (`Spread`) or from what a twin believes. A
and B run on the same draws with the same luck, so a draw is one observation of the difference. The worst draw is run
once more, on fresh luck: the largest of many noisy means looks worse than it is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.evaluation.evaluate import Played, Trial, fresh, interval, run_all
from agents.evaluation.tails import doubts
from agents.seeds import ONE, TEST, Spread, block_seed, draw_parameters, spread_parameters
from twin.parameters import FIELDS

if TYPE_CHECKING:
    from agents.control.controllers import Controller
    from sim.compile import Compiled
    from twin.posterior_file import FilePosterior

Rows = NDArray[np.int64]
Scales = dict[str, Rows]
DRAWS = 40
FEWEST = 5
"""Draws from which anything can be said."""
NAMED = 4
"""Factors of the worst draw that are named, the furthest from 1 first."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """Differences (A minus B) are operating money an hour. `difference`, `lo`, `hi`: mean over `draws` plants, `each`
    pairs a plant, with its 95 % interval, in which a plant is one observation. `median` of the plants, which a few
    overloaded ones do not move. `better`: share of plants in which the
    mean of A is lower. `worst`: the mean in the plant that is worst for A, whose `factors` are named; `again`: mean and
    95 % interval there, on fresh luck. `by_draw`: the mean in each plant;
    `doubts`: why the interval cannot be trusted (`agents.evaluation.tails`).
    """

    a: str
    b: str
    drawn: str
    draws: int
    each: int
    difference: float
    lo: float
    hi: float
    median: float
    better: float
    worst: float
    worst_draw: int
    factors: dict[str, float]
    again: tuple[float, float, float]
    by_draw: tuple[float, ...]
    outside_a: float | None
    doubts: tuple[str, ...]
    unit: str

    @property
    def sentence(self) -> str:
        """The verdict over draws in one line."""
        shown = "is not shown to differ from B" if self.lo <= 0.0 <= self.hi else "differs from B"
        return (
            f"over {self.draws} plants ({self.drawn}) A {shown}: {self.difference:+.3f} {self.unit} "
            f"[{self.lo:+.3f}, {self.hi:+.3f}], median {self.median:+.3f}, cheaper in {100 * self.better:.0f} % of them"
        )

    @property
    def worst_sentence(self) -> str:
        """The worst draw in one line."""
        names = sorted(self.factors, key=lambda name: -abs(np.log(self.factors[name])))[:NAMED]
        mean, lo, hi = self.again
        return (
            f"worst plant for A (number {self.worst_draw}): {mean:+.3f} {self.unit} [{lo:+.3f}, {hi:+.3f}] on fresh "
            f"luck ({self.worst:+.3f} when it was found); furthest from the file: "
            + ", ".join(f"{name} × {self.factors[name]:.2f}" for name in names)
        )

    def as_json(self) -> dict[str, Any]:
        """All fields and both sentences."""
        return {**asdict(self), "sentence": self.sentence, "worst_sentence": self.worst_sentence}


def disturbed(compiled: Compiled, by: float, seed: int, draws: int) -> Scales:
    """Factors by field, int64 [draws, n]: lognormal with median 1 and standard deviation `by` of the logarithm, one a
    station's work, times to failure and repairs, a product's arrivals, a demand, a stock's lead times.
    """
    from sim.kernel import blank_rows

    if not 0.0 < by <= 1.0:
        raise ValueError(f"disturbed by {by:g}: expected a relative spread above 0 and at most 1, such as 0.2")
    rows = blank_rows(compiled, 0, draws)
    spread_parameters(rows, compiled, Spread(by, by, by, by, by, by), block_seed(TEST, seed))
    return {field: np.array(compiled.layout.view(rows, field)) for field, _ in FIELDS.values()}


def believed(compiled: Compiled, posterior: FilePosterior, seed: int, draws: int) -> Scales:
    """Factors by field, int64 [draws, n], drawn from what a twin believes."""
    return draw_parameters(posterior, compiled, (block_seed(TEST, seed), 0), draws)


def factors_of(compiled: Compiled, scales: Scales, draw: int) -> dict[str, float]:
    """The factors of one draw by name (`work/press`) that mean anything in this plant and are not 1."""
    plant, found = compiled.plant, {}
    used = {
        "fail": {s.id for s in plant.stations if any(m.clock in {"odf", "tdf", "condition"} for m in s.modes)},
        "repair": {s.id for s in plant.stations if s.modes},
        "arrival": {p.id for p in plant.products if p.release.policy == "push"},
        "lead": {k.id for k in plant.stocks if k.lead is not None},
    }
    for kind, (field, things) in FIELDS.items():
        for i, thing in enumerate(getattr(plant, things)):
            factor = float(scales[field][draw, i]) / ONE
            if factor != 1.0 and thing.id in used.get(kind, {thing.id}):
                found[f"{kind}/{thing.id}"] = round(factor, 4)
    return found


def robustness(
    both: tuple[Controller, Controller], compiled: Compiled, trial: Trial, scales: Scales, drawn: str
) -> Robustness:
    """Judge A and B on the plants of `scales` [draws, n], `drawn` how; the pairs of the trial are shared out evenly."""
    draws = len(next(iter(scales.values())))
    if draws < FEWEST:
        raise ValueError(f"{draws} draws: expected at least {FEWEST}")
    each = max(trial.pairs // draws, 2)
    spread = Trial(
        draws * each, trial.seed, trial.warmup_s, trial.length_s, trial.threads,
        scales={field: np.repeat(values, each, axis=0) for field, values in scales.items()},
    )  # fmt: skip
    a, b = (run_all(who, compiled, spread) for who in both)
    means = _means(a, b, draws)
    mean, lo, hi = interval(means)
    worst = int(means.argmax())
    more = max(4 * each, 64)
    last = fresh(spread, more)
    one = {field: np.repeat(values[worst : worst + 1], more, axis=0) for field, values in scales.items()}
    again = Trial(more, last.seed, last.warmup_s, last.length_s, last.threads, first=last.first, scales=one)
    once_more = [run_all(who, compiled, again).costs for who in both]
    return Robustness(
        a=a.name,
        b=b.name,
        drawn=drawn,
        draws=draws,
        each=each,
        difference=mean,
        lo=lo,
        hi=hi,
        median=float(np.median(means)),
        better=float((means < 0.0).mean()),
        worst=float(means[worst]),
        worst_draw=worst,
        factors=factors_of(compiled, scales, worst),
        again=interval(once_more[0] - once_more[1]),
        by_draw=tuple(float(x) for x in means),
        outside_a=a.outside,
        doubts=doubts(means, "plants"),
        unit=f"{compiled.plant.currency}/h",
    )


def _means(a: Played, b: Played, draws: int) -> NDArray[np.float64]:
    """Mean difference in each draw [draws]."""
    found: NDArray[np.float64] = (a.costs - b.costs).reshape(draws, -1).mean(axis=1)
    return found
