"""Learning dispatching weights, or a network that sets them, on random job shops; judging them on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import _jobshop_net as net
from benchmarks._evolution import Evolution, least
from benchmarks._jobshop import RULES, USED, Floats, Shop, Values, makespans, named, random_shops, whole

TRAIN, HELD = 10_000, 20_000
"""First seeds of the random instances that are learned from, and of those that all are judged on."""
Size = tuple[int, int]


@dataclass(frozen=True)
class Effort:
    """How much to learn from. `shops` random instances a size, `population` weight vectors a generation; networks learn
    from `net_shops` of them (more would take minutes a size). `held` further instances judge. `own`: generations of a
    search on one instance itself, each machine with weights of its own.
    """

    shops: int = 96
    generations: int = 40
    population: int = 32
    net_shops: int = 32
    net_generations: int = 60
    net_population: int = 16
    held: int = 200
    own: int = 300


def ratios(shops: Sequence[Shop], weights: Values) -> Floats:
    """Makespan over `best` [R, shops] of weights [R, F]."""
    return np.stack([makespans(shop, weights) / shop.best for shop in shops], axis=1)


def learnt(shops: Sequence[Shop], effort: Effort, seed: int = 0) -> Values:
    """Weights [F] of `USED` with the least mean ratio found on these shops."""

    def price(points: Floats) -> Floats:
        return np.asarray(ratios(shops, whole(points)).mean(axis=1))

    start = np.zeros(len(USED))
    search = Evolution(start, 1.0, effort.population, seed)
    found, _ = least(price, search, effort.generations)
    return np.asarray(whole(found))


def network(shops: Sequence[Shop], start: Values, effort: Effort, seed: int = 0) -> Floats:
    """Numbers [SIZE] of the network with the least mean ratio found on these shops, from weights `start` [F]."""

    def price(points: Floats) -> Floats:
        each = [net.makespans(shop, points, start) / shop.best for shop in shops]
        return np.asarray(np.stack(each, axis=1).mean(axis=1))

    # the second layer begins at nought, as the weights are; a little of the first keeps its gradient alive
    first = np.random.Generator(np.random.PCG64(seed)).standard_normal(net.SIZE) * 0.3
    first[net.SEEN * net.HIDDEN :] = 0.0
    found, _ = least(price, Evolution(first, 0.1, effort.net_population, seed), effort.net_generations)
    return found


def searched(shop: Shop, start: Values, effort: Effort) -> int:
    """The least makespan found on this very instance with weights of their own at each machine, minutes."""
    size = (shop.machines, len(USED))

    def price(points: Floats) -> Floats:
        return makespans(shop, whole(points.reshape(-1, *size))).astype(np.float64)

    begin = np.tile(start / np.abs(start).max(), shop.machines)
    return int(least(price, Evolution(begin, 0.5, effort.population, 0), effort.own)[1])


@dataclass(frozen=True)
class Learned:
    """What a size has learned: `weights` [F], the network's numbers or None, and how all do on instances held back."""

    size: Size
    weights: Values
    numbers: Floats | None
    held: dict[str, Any]


def of_size(size: Size, longest: int, effort: Effort, say: Callable[[str], None]) -> Learned:
    """Learn from random instances of this size, and judge on others: mean ratio to the lower bound by rule, and paired
    differences to the learnt weights with their standard errors.
    """
    shops = random_shops(TRAIN, effort.shops, size, longest)
    weights = learnt(shops, effort)
    say(f"{size[0]} x {size[1]}: {dict(zip(USED, weights.tolist(), strict=True))}")
    numbers = network(shops[: effort.net_shops], weights, effort) if effort.net_generations else None
    held = random_shops(HELD, effort.held, size, longest)
    found = dict(zip([*RULES, "learnt"], ratios(held, np.array([*RULES.values(), weights])), strict=True))
    if numbers is not None:
        found["network"] = np.array([net.makespans(s, numbers[None, :], weights)[0] / s.best for s in held])
    found["best rule"] = np.min([found[rule] for rule in RULES], axis=0)
    told = {}
    for name, each in found.items():
        away = each - found["learnt"]
        told[name] = {
            "mean": round(float(each.mean()), 4),
            "against_learnt": round(float(away.mean()), 4),
            "standard_error": round(float(away.std(ddof=1) / np.sqrt(len(away))), 4),
        }
    say(f"{size[0]} x {size[1]}: " + ", ".join(f"{name} {t['mean']:.3f}" for name, t in told.items()))
    return Learned(size, weights, numbers, told)


def instance(name: str, learned: Learned, effort: Effort, random: Values) -> dict[str, Any]:
    """Makespans of everything on a published instance; `random`: of random priorities."""
    shop = named(name)
    rules = makespans(shop, np.array([*RULES.values(), learned.weights]))
    found: dict[str, Any] = {"best": shop.best, "size": list(learned.size)}
    found |= dict(zip([*RULES, "learnt"], rules.tolist(), strict=True))
    found["random"] = round(float(random.mean()), 1)
    if learned.numbers is not None:
        found["network"] = int(net.makespans(shop, learned.numbers[None, :], learned.weights)[0])
    found["searched"] = searched(shop, learned.weights, effort)
    return found
