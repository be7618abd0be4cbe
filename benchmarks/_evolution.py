"""CMA-ES: search for the least of a function of a few numbers by adapting a normal distribution.

Source: Hansen (2016), The CMA Evolution Strategy: A Tutorial, arXiv 1604.00772, with its default parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Evolution:
    """State of a search: mean, step size, covariance and the two paths; `ask` and `tell` in turn."""

    def __init__(self, start: Floats, spread: float, population: int, seed: int) -> None:
        n, half = len(start), population // 2
        self.mean, self.step, self.population = start.astype(np.float64), spread, population
        raw = np.log((population + 1) / 2) - np.log(np.arange(1, half + 1))
        self.share = raw / raw.sum()
        self.mass = float(1.0 / (self.share**2).sum())
        self.c_step = (self.mass + 2) / (n + self.mass + 5)
        self.damp = 1 + 2 * max(0.0, np.sqrt((self.mass - 1) / (n + 1)) - 1) + self.c_step
        self.c_path = (4 + self.mass / n) / (n + 4 + 2 * self.mass / n)
        self.c_one = 2 / ((n + 1.3) ** 2 + self.mass)
        self.c_rank = min(1 - self.c_one, 2 * (self.mass - 2 + 1 / self.mass) / ((n + 2) ** 2 + self.mass))
        self.usual = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
        self.covariance, self.path, self.path_step = np.eye(n), np.zeros(n), np.zeros(n)
        self.generator, self.generation = np.random.Generator(np.random.PCG64(seed)), 0

    def ask(self) -> Floats:
        """Points [population, N] to be judged."""
        values, vectors = np.linalg.eigh(self.covariance)
        self.root = vectors * np.sqrt(np.maximum(values, 1e-20))
        self.whiten = (vectors / np.sqrt(np.maximum(values, 1e-20))) @ vectors.T
        self.moves = self.generator.standard_normal((self.population, len(self.mean))) @ self.root.T
        return np.asarray(self.mean + self.step * self.moves)

    def tell(self, costs: Floats) -> None:
        """What the points of the last `ask` cost [population]."""
        n, self.generation = len(self.mean), self.generation + 1
        best = self.moves[np.argsort(costs, kind="stable")[: len(self.share)]]
        move = self.share @ best
        self.mean = self.mean + self.step * move
        keep = 1 - self.c_step
        self.path_step = keep * self.path_step + np.sqrt(self.c_step * (2 - self.c_step) * self.mass) * (
            self.whiten @ move
        )
        length = float(np.linalg.norm(self.path_step))
        early = length / np.sqrt(1 - keep ** (2 * self.generation)) < (1.4 + 2 / (n + 1)) * self.usual
        self.path = (1 - self.c_path) * self.path + early * np.sqrt(self.c_path * (2 - self.c_path) * self.mass) * move
        lost = (1 - early) * self.c_path * (2 - self.c_path)
        self.covariance = (
            (1 - self.c_one - self.c_rank + self.c_one * lost) * self.covariance
            + self.c_one * np.outer(self.path, self.path)
            + self.c_rank * (best.T * self.share) @ best
        )
        self.step *= float(np.exp((self.c_step / self.damp) * (length / self.usual - 1)))


def least(price: Callable[[Floats], Floats], search: Evolution, generations: int) -> tuple[Floats, float]:
    """(the point [N] of all that were judged which cost least, its cost), of `price` [K, N] -> [K]."""
    best, cost = search.mean, np.inf
    for _ in range(generations):
        points = search.ask()
        costs = price(points)
        search.tell(costs)
        k = int(costs.argmin())
        if costs[k] < cost:
            best, cost = points[k], float(costs[k])
    return best, cost
