"""Another shape of a distribution, for a parameter whose mean agrees: another coefficient of variation, or a table.

It is believed where it forecasts better: fitted to the older half of the spans it is scored (CRPS) on the newer half,
against the shape that is in force, both with the mean of the older half.
"""

from __future__ import annotations

import math

import numpy as np

from sim.distributions import mean
from sim.plant import Dist
from twin import fit
from twin.believe import prior_of
from twin.calibrate import CRPS_LEVELS, LEAST, TABLE_LEVELS, Row, crps, dist_quantiles
from twin.inforce import scaled_to
from twin.learned import Learned
from twin.model import Refit
from twin.parameters import Parameter, seen
from twin.texts import with_cv

KINDS = ("work", "setup", "repair", "lead")
VERDICTS = ("another shape", "another spread")
Shape = tuple[Dist, tuple[float, float]]


def other_shape(learned: Learned, parameter: Parameter, row: Row, refit: Refit | None) -> Shape | None:
    """The shape that the spans have, at the plant file's mean, and the scores (as in force, as seen; less is better).

    `row` is the parameter's line of the table. None where the table sees no other shape, where the new one does not
    forecast better, or where a lead time's spans hold lateness as well, which has a distribution of its own.
    """
    dist = parameter.dist
    if row.verdict not in VERDICTS or parameter.kind not in KINDS or dist is None or _is_mixed(parameter, row):
        return None
    data = seen(learned, [parameter], refit.t if refit else 0, refit.value if refit else 1.0).data
    ended = [i for i, cut in enumerate(data.cut) if not cut]
    if len(ended) < 2 * LEAST:
        return None
    half = ended[len(ended) // 2]
    old = fit.Data(data.x[:half], data.w[:half], data.cut[:half])
    prior = prior_of([parameter])
    fitted = fit.spans(fit.Prior(0.99, prior.kind, prior.cv, robust=False), old)
    tried = _shape(dist, row.verdict, _ended(old), fitted.cv)
    newer = np.array([x for x, cut in zip(data.x[half:], data.cut[half:], strict=True) if not cut])
    before, after = (crps(dist_quantiles(d, CRPS_LEVELS) / mean(d) * fitted.mean, newer) for d in (dist, tried))
    if not after < before:
        return None
    return scaled_to(_shape(dist, row.verdict, _ended(data), row.cv_seen), mean(dist)), (before, after)


def _is_mixed(parameter: Parameter, row: Row) -> bool:
    """Does the size hold more than the distribution, as a lead time of a supplier who is late at times does?"""
    assert parameter.dist is not None
    return parameter.kind == "lead" and not math.isclose(row.cv_file, _cv(parameter.dist), rel_tol=1e-6)


def _cv(dist: Dist) -> float:
    from sim.distributions import variance

    return variance(dist) ** 0.5 / mean(dist)


def _ended(data: fit.Data) -> fit.Values:
    return np.array([x for x, cut in zip(data.x, data.cut, strict=True) if not cut])


def _shape(dist: Dist, verdict: str, ended: fit.Values, cv: float) -> Dist:
    if verdict == "another spread":
        return with_cv(dist, cv)
    return Dist("empirical", tuple(float(v) for v in np.quantile(ended, TABLE_LEVELS)))
