"""Experimental designs: which level of each factor goes into which scenario.

A design is a list of runs, each one text of a value per factor (None: as the file says). Names as in the statistics of
experiments: full factorial; one at a time; Latin hypercube (McKay, Beckman and Conover 1979, from `scipy.stats.qmc`);
screening by two-level designs of Plackett and Burman (1946), which estimate n - 1 main effects in n runs. Where n is a
power of two these are the regular fractions of resolution III.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.factors import Factor

Run = tuple[str | None, ...]
MOST_RUNS = 20_000


class DesignError(ValueError):
    """The design cannot be made of these factors; the message says why and what to do."""


def factorial(factors: Sequence[Factor]) -> list[Run]:
    """Every combination of levels; the last factor changes fastest."""
    count = int(np.prod([len(f.levels) for f in factors], dtype=float))
    if count > MOST_RUNS:
        raise DesignError(
            f"design factorial: expected at most {MOST_RUNS} scenarios, found {count}; "
            "take fewer levels, or '--design lhs' or '--design screening'"
        )
    return list(itertools.product(*(f.levels for f in factors)))


def one_at_a_time(factors: Sequence[Factor]) -> list[Run]:
    """The file as it is, then each level of each factor alone."""
    runs: list[Run] = [(None,) * len(factors)]
    for i, factor in enumerate(factors):
        runs += [tuple(level if j == i else None for j in range(len(factors))) for level in factor.levels]
    return runs


def latin_hypercube(factors: Sequence[Factor], points: int, seed: int) -> list[Run]:
    """`points` runs; each factor's range is cut into as many equal parts and each part is met once."""
    from scipy.stats import qmc

    if points < 2:
        raise DesignError(f"design lhs: expected at least 2 points, found {points}; give '--points'")
    shares = qmc.LatinHypercube(len(factors), rng=np.random.default_rng(seed)).random(points)
    return [tuple(f.between(float(u)) for f, u in zip(factors, row, strict=True)) for row in shares]


def screening(factors: Sequence[Factor], folded: bool = False) -> list[Run]:
    """First and last level of each factor in the rows of a Hadamard matrix.

    `folded` adds each run's mirror image: twice the runs, and no main effect is mixed with a two-factor interaction any
    more (resolution IV).
    """
    single = [f.path for f in factors if len(f.levels) < 2]
    if single:
        raise DesignError(f"design screening: expected two levels, found one of {', '.join(single)}; add another")
    signs = hadamard(len(factors) + 1)[:, 1 : len(factors) + 1]
    if folded:
        signs = np.vstack([signs, -signs])
    return [tuple(f.levels[-1] if s > 0 else f.levels[0] for f, s in zip(factors, row, strict=True)) for row in signs]


def hadamard(least: int) -> NDArray[np.int64]:
    """The smallest Hadamard matrix int64[n, n] of +-1 with n >= `least` that Sylvester's or Paley's construction gives.

    H H' = n I; the first column is all +1. Paley (1933): n - 1 = q a prime of the form 4 m + 3, quadratic residues.
    """
    from scipy.linalg import hadamard as sylvester

    n = next(n for n in itertools.count(max(4, -(-least // 4) * 4), 4) if n & (n - 1) == 0 or _is_prime(n - 1))
    if n & (n - 1) == 0:
        return np.asarray(sylvester(n), dtype=np.int64)
    q = n - 1
    residues = {x * x % q for x in range(1, q)}
    character = np.array([0 if d == 0 else 1 if d in residues else -1 for d in range(q)])
    jacobsthal = character[(np.arange(q)[None, :] - np.arange(q)[:, None]) % q]
    matrix = np.ones((n, n), dtype=np.int64)
    matrix[1:, 1:] = jacobsthal - np.eye(q, dtype=np.int64)
    return matrix * matrix[:, :1]


def _is_prime(q: int) -> bool:
    return q > 1 and all(q % d for d in range(2, int(q**0.5) + 1))


def runs_of(design: str, factors: Sequence[Factor], points: int, seed: int) -> list[Run]:
    """The runs of a design by its name. Raises `DesignError`."""
    known: dict[str, Callable[[], list[Run]]] = {
        "factorial": lambda: factorial(factors),
        "oat": lambda: one_at_a_time(factors),
        "lhs": lambda: latin_hypercube(factors, points, seed),
        "screening": lambda: screening(factors),
        "screening-folded": lambda: screening(factors, folded=True),
    }
    if design not in known:
        from sim.units import suggestion

        raise DesignError(f"design: expected {', '.join(known)}, found '{design}'; {suggestion(design, known)}")
    return known[design]() if factors else []
