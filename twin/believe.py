"""The posterior of all of a plant's parameters from what has been learned, and what is drawn from it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from sim.compile import Compiled
from twin import fit
from twin.inforce import base_of, groups, in_force, shaped
from twin.learned import Learned
from twin.model import Refit, TwinState
from twin.parameters import FIELDS, SPREADS, YIELD_SPREAD, Parameter, counted, seen

Array = NDArray[np.int64]
ONE = 65_536
_KEPT: OrderedDict[tuple[str, str], Posterior] = OrderedDict()
_MOST_KEPT = 16
__all__ = [
    "Array",
    "Posterior",
    "base_of",
    "believe",
    "draw_scales",
    "fixed",
    "groups",
    "in_force",
    "posterior",
    "prior_of",
]


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of the parameters: by group the factor it is centred on (an approved refit, else 1) and what is
    believed of the factor beyond that; of a share of scrap the share itself.
    """

    groups: dict[str, tuple[float, fit.Belief]]

    @property
    def id(self) -> str:
        """Names the posterior by its content."""
        rows = sorted((name, c, b.mean, b.lo, b.hi) for name, (c, b) in self.groups.items())
        text = repr([(name, *(round(v, 6) for v in values)) for name, *values in rows])
        return "p-" + hashlib.sha256(text.encode()).hexdigest()[:12]

    def factor(self, name: str) -> tuple[float, float, float]:
        """(mean, 5 %, 95 %) of the factor on the plant file's value."""
        centre, believed = self.groups[name]
        return centre * believed.mean, centre * believed.lo, centre * believed.hi


def prior_of(members: list[Parameter], refit: Refit | None = None) -> fit.Prior:
    """The prior of a group: the plant file's, or what was approved."""
    shapes = {m.shape for m in members}
    spread = SPREADS[members[0].kind] if refit is None else max(refit.sd, 0.01)
    cv = max(sum(m.cv for m in members) / len(members), fit.LEAST_CV)
    return fit.Prior(spread, shapes.pop() if len(shapes) == 1 else "gamma", cv)


def believe(learned: Learned, members: list[Parameter], prior: fit.Prior, refit: Refit | None = None) -> fit.Belief:
    """The posterior of a group's factor beyond its centre."""
    first, since = members[0], refit.t if refit else 0
    centre = refit.value if refit else 1.0
    if first.kind == "yield":
        n, x = counted(learned, first, since)
        return fit.share(centre if refit else first.size, prior.spread, min(n, x), x)
    if first.kind in ("demand", "arrival"):
        n, x = counted(learned, first, since)
        many = first.cv**2
        return fit.rate(prior, n / many, x / (first.size * centre) / many)
    return fit.spans(prior, seen(learned, members, since, centre).data)


def posterior(compiled: Compiled, state: TwinState) -> Posterior:
    """What is believed after what `state` has learned. Remembered, for it is asked for often."""
    content = msgspec.msgpack.encode([state.learned, state.refits])
    key = (compiled.hash, hashlib.blake2b(content).hexdigest())
    if key in _KEPT:
        return _KEPT[key]
    found = {}
    for name, members in groups(shaped(compiled.plant, state.refits)).items():
        refit = in_force(members, state.refits)
        prior = fit.Prior(YIELD_SPREAD) if members[0].kind == "yield" else prior_of(members, refit)
        centre = 1.0 if refit is None or members[0].kind == "yield" else refit.value
        found[name] = (centre, believe(state.learned, members, prior, refit))
    _KEPT[key] = Posterior(found)
    while len(_KEPT) > _MOST_KEPT:
        _KEPT.pop(next(iter(_KEPT)), None)
    return Posterior(found)


def draw_scales(compiled: Compiled, believed: Posterior, seed: int, replicas: int) -> dict[str, Array]:
    """Replica-wise parameter factors (2^-16), int64[replicas, n] by field: the posterior, drawn from `seed` alone."""
    rng = np.random.Generator(np.random.PCG64([seed, 0x7077]))
    plant = compiled.plant
    scales: dict[str, Array] = {}
    for kind, (name, things) in FIELDS.items():
        columns = np.ones((replicas, compiled.layout.sizes[things]))
        for i, thing in enumerate(getattr(plant, things)):
            if f"{kind}/{thing.id}" in believed.groups:
                centre, belief = believed.groups[f"{kind}/{thing.id}"]
                columns[:, i] = centre * belief.draw(rng, replicas)
        scales[name] = fixed(columns)
    return scales


def fixed(factor: NDArray[np.float64]) -> Array:
    """A factor in the kernel's 2^-16."""
    return np.clip(np.rint(factor * ONE), ONE // 8, 8 * ONE).astype(np.int64)
